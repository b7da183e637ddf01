/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All references of an image counted, and compared with its reference counts; and the search for
 * all tables that comes before any writing.
 *
 * Repair believes the references: it sets counts and COPIED bits by them. That is enough for what a
 * cut leaves behind. An image in which tables overlap, or entries point nowhere, is refused
 * instead.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTERS_MAX (UINT64_C(1) << 28) /* four bytes of memory each */
#define ENTRIES_MAX  (UINT64_C(1) << 34) /* L2 entries looked at: minutes */

/* ---- finding the tables ---- */

static int add_range(
	struct qcow2 *q, enum qcow2_table what, uint64_t offset, uint64_t len, struct error *err)
{
	uint64_t first = offset >> q->cluster_bits, n = qcow2_clusters(q, len);

	for (uint64_t c = first; c < first + n; c++) {
		int r = qcow2_set_add(&q->tables, c, what);

		if (r == -EEXIST)
			return error_set(err, EINVAL, "'%s': %s overlaps %s at %#llx", q->img->name,
				qcow2_table_words(what),
				qcow2_table_words(qcow2_set_find(&q->tables, c)),
				(unsigned long long)c << q->cluster_bits);
		if (r < 0)
			return error_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

static int add_l2s(struct qcow2 *q, const uint64_t *l1, uint32_t n, struct error *err)
{
	struct qcow2_set own = { 0 };
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++) {
		uint64_t l2;

		r = qcow2_l2_offset(q, l1[i], i, &l2, err);
		if (r < 0 || !l2)
			continue;
		if (qcow2_set_add(&own, l2 >> q->cluster_bits, QCOW2_T_L2) == -EEXIST)
			r = error_set(err, EINVAL,
				"'%s': two entries of one L1 table name the L2 table at %#llx",
				q->img->name, (unsigned long long)l2);
		/* Snapshots share tables with each other and with the present. */
		else if (qcow2_set_find(&q->tables, l2 >> q->cluster_bits) != QCOW2_T_L2)
			r = add_range(q, QCOW2_T_L2, l2, 1, err);
	}
	qcow2_set_done(&own);
	return r;
}

int qcow2_tables_find(struct qcow2 *q, struct error *err)
{
	int r = add_range(q, QCOW2_T_HEADER, 0, 1, err);

	if (r == 0)
		r = add_range(q, QCOW2_T_L1, q->l1_offset, (uint64_t)q->l1_size * 8, err);
	if (r == 0)
		r = add_range(q, QCOW2_T_REFT, q->reft_offset,
			(uint64_t)q->reft_clusters << q->cluster_bits, err);
	if (r == 0)
		r = add_range(q, QCOW2_T_SNAPSHOTS, q->snap_offset, q->snap_len, err);
	for (uint32_t i = 0; i < q->reft_size && r == 0; i++)
		if (q->reft[i])
			r = add_range(q, QCOW2_T_REFBLOCK, q->reft[i], 1, err);
	for (uint32_t i = 0; i < q->n_snaps && r == 0; i++)
		r = add_range(q, QCOW2_T_SNAP_L1, q->snaps[i].l1_offset,
			(uint64_t)q->snaps[i].l1_size * 8, err);
	if (r == 0)
		r = add_l2s(q, q->l1, q->l1_size, err);
	for (uint32_t i = 0; i < q->n_snaps && r == 0; i++) {
		uint64_t *l1;

		r = qcow2_snap_l1(q, &q->snaps[i], &l1, err);
		if (r < 0)
			break;
		r = add_l2s(q, l1, q->snaps[i].l1_size, err);
		free(l1);
		if (r < 0)
			error_prefix(err, "snapshot '%s'", q->snaps[i].s.id);
	}
	return r;
}

/* ---- counting ---- */

struct count {
	struct qcow2 *q;
	uint32_t *refs;
	uint64_t n, entries;
	struct image_check *out;
};

static void found(struct count *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void found(struct count *c, const char *fmt, ...)
{
	va_list ap;

	if (c->out->errors++ == 0) {
		va_start(ap, fmt);
		vsnprintf(c->out->first, sizeof(c->out->first), fmt, ap);
		va_end(ap);
	}
}

static void count_range(struct count *c, const char *what, uint64_t offset, uint64_t len)
{
	uint64_t first, last;

	if (!len)
		return;
	first = offset >> c->q->cluster_bits;
	last = (offset + len - 1) >> c->q->cluster_bits;
	for (uint64_t i = first; i <= last; i++) {
		if (i >= c->n) {
			found(c, "%s at %#llx reaches beyond the end of the file", what,
				(unsigned long long)offset);
			return;
		}
		if (c->refs[i] < UINT32_MAX)
			c->refs[i]++;
	}
}

static int count_l2(struct count *c, uint64_t l2, uint64_t at, struct error *err)
{
	struct qcow2 *q = c->q;

	for (uint32_t j = 0; j < 1u << q->l2_bits; j++) {
		enum qcow2_kind kind;
		struct error why = ERROR_INIT;
		uint64_t entry, offset, len;
		int r = qcow2_l2_get(q, l2, j, &entry, err);

		if (r < 0)
			return r;
		if (!entry)
			continue;
		if (qcow2_entry_kind(q, entry, at + ((uint64_t)j << q->cluster_bits), &kind, &why) <
			0) {
			found(c, "%s", why.msg);
			continue;
		}
		if (kind == QCOW2_COMPRESSED) {
			qcow2_zip_where(q, entry, &offset, &len);
			/* The last one's sectors may reach a little beyond the file. */
			if (offset + len > c->n << q->cluster_bits)
				len = (c->n << q->cluster_bits) - offset;
			count_range(c, "a compressed cluster", offset, len);
		} else if (entry & QCOW2_OFFSET_MASK) {
			count_range(c, "a cluster", entry & QCOW2_OFFSET_MASK, 1);
		}
	}
	return 0;
}

static int count_l1(struct count *c, const uint64_t *l1, uint32_t n, struct error *err)
{
	struct qcow2 *q = c->q;
	struct qcow2_set own = { 0 };
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++) {
		struct error why = ERROR_INIT;
		uint64_t l2;

		if (qcow2_l2_offset(q, l1[i], i, &l2, &why) < 0) {
			found(c, "%s", why.msg);
			continue;
		}
		if (!l2)
			continue;
		if (qcow2_set_add(&own, l2 >> q->cluster_bits, QCOW2_T_L2) < 0) {
			found(c, "two entries of one L1 table name the L2 table at %#llx",
				(unsigned long long)l2);
			continue;
		}
		c->entries += UINT64_C(1) << q->l2_bits;
		if (c->entries > ENTRIES_MAX) {
			r = error_set(err, EFBIG, "'%s': too many tables to check", q->img->name);
			break;
		}
		count_range(c, "an L2 table", l2, q->cluster_len);
		r = count_l2(c, l2, (uint64_t)i << (q->l2_bits + q->cluster_bits), err);
	}
	qcow2_set_done(&own);
	return r;
}

static int count_all(struct count *c, struct error *err)
{
	struct qcow2 *q = c->q;
	int r;

	count_range(c, "the header", 0, 1);
	count_range(c, "the L1 table", q->l1_offset, (uint64_t)q->l1_size * 8);
	count_range(c, "the reference count table", q->reft_offset,
		(uint64_t)q->reft_clusters << q->cluster_bits);
	count_range(c, "the snapshot table", q->snap_offset, q->snap_len);
	for (uint32_t i = 0; i < q->reft_size; i++)
		if (q->reft[i])
			count_range(c, "a reference count block", q->reft[i], q->cluster_len);
	r = count_l1(c, q->l1, q->l1_size, err);
	for (uint32_t i = 0; i < q->n_snaps && r == 0; i++) {
		struct qcow2_snap *s = &q->snaps[i];
		uint64_t *l1;

		count_range(
			c, "the L1 table of a snapshot", s->l1_offset, (uint64_t)s->l1_size * 8);
		r = qcow2_snap_l1(q, s, &l1, err);
		if (r < 0)
			break;
		r = count_l1(c, l1, s->l1_size, err);
		free(l1);
	}
	return r;
}

/* ---- comparing ---- */

static int compare_one(struct count *c, uint64_t cluster, bool repair, struct error *err)
{
	uint64_t want = cluster < c->n ? c->refs[cluster] : 0, is;
	int r = qcow2_ref_get(c->q, cluster, &is, err);

	if (r < 0 || is == want)
		return r;
	if (is > want)
		c->out->leaks++;
	else
		found(c, "cluster %llu has %llu references, but its reference count is %llu",
			(unsigned long long)cluster, (unsigned long long)want,
			(unsigned long long)is);
	if (!repair)
		return 0;
	if (want > qcow2_ref_max(c->q))
		return error_set(err, EIO,
			"'%s': cluster %llu has %llu references, more than its reference count can "
			"say",
			c->q->img->name, (unsigned long long)cluster, (unsigned long long)want);
	c->out->fixed++;
	return qcow2_ref_set(c->q, cluster, want, err);
}

/* What blocks count, then what none counts. */
static int compare(struct count *c, bool repair, struct error *err)
{
	struct qcow2 *q = c->q;
	uint64_t per = UINT64_C(1) << q->block_bits;
	int r = 0;

	for (uint64_t b = 0; b < q->reft_size && r == 0; b++) {
		if (!q->reft[b])
			continue;
		/* There could be a million of these, which would take long. */
		if (c->refs[q->reft[b] >> q->cluster_bits] > 1) {
			found(c, "the reference count block at %#llx is something else, too",
				(unsigned long long)q->reft[b]);
			continue;
		}
		for (uint64_t i = b * per; i < (b + 1) * per && r == 0; i++)
			r = compare_one(c, i, repair, err);
	}
	if (repair)
		q->free_hint = c->n; /* where nothing can be in use */
	for (uint64_t i = 0; i < c->n && r == 0; i++) {
		if (!c->refs[i] ||
			(i >> q->block_bits < q->reft_size && q->reft[i >> q->block_bits]))
			continue;
		if (!repair) {
			r = compare_one(c, i, false, err);
			continue;
		}
		r = qcow2_refs_cover(q, i, 1, err);
		/* The block is there now: the rest of its clusters as well. */
		for (uint64_t j = i; r == 0 && j < c->n && j >> q->block_bits == i >> q->block_bits;
			j++)
			if (c->refs[j])
				r = compare_one(c, j, true, err);
	}
	return r;
}

/* COPIED where exactly one reference is, in the present state; other tables' bits mean nothing. */
static int check_flag(struct count *c, const char *what, uint64_t entry, struct error *err)
{
	uint64_t cluster = (entry & QCOW2_OFFSET_MASK) >> c->q->cluster_bits;

	if (!cluster || cluster >= c->n)
		return 0;
	if ((c->refs[cluster] == 1) != !!(entry & QCOW2_COPIED)) {
		found(c, "%s at %#llx has %u references and the COPIED bit %d", what,
			(unsigned long long)(entry & QCOW2_OFFSET_MASK), c->refs[cluster],
			!!(entry & QCOW2_COPIED));
		return 1;
	}
	return 0;
}

static int check_flags(struct count *c, bool repair, struct error *err)
{
	struct qcow2 *q = c->q;
	uint64_t wrong = 0;
	int r = 0;

	for (uint32_t i = 0; i < q->l1_size; i++) {
		uint64_t l2, entry;

		if (qcow2_l2_offset(q, q->l1[i], i, &l2, NULL) < 0 || !l2)
			continue;
		wrong += (uint64_t)check_flag(c, "the L2 table", q->l1[i], err);
		for (uint32_t j = 0; j < 1u << q->l2_bits; j++) {
			r = qcow2_l2_get(q, l2, j, &entry, err);
			if (r < 0)
				return r;
			if (!(entry & QCOW2_PACKED))
				wrong += (uint64_t)check_flag(c, "the cluster", entry, err);
		}
	}
	if (!repair || !wrong)
		return 0;
	c->out->fixed += wrong;
	return qcow2_flag_tree(q, q->l1, q->l1_size, err);
}

static int check(struct count *c, bool repair, struct error *err)
{
	struct qcow2 *q = c->q;
	uint64_t before;
	int r = count_all(c, err);

	/* Where references lead nowhere, counts made of them would be wrong, too. */
	before = c->out->errors;
	if (r == 0 && repair && before)
		return error_set(
			err, EIO, "'%s' cannot be repaired: %s", q->img->name, c->out->first);
	if (r == 0)
		r = compare(c, repair, err);
	if (r == 0 && repair)
		r = qcow2_cache_write(q, &q->ref_cache, err);
	if (r == 0 && repair)
		r = image_file_sync(q->file, err);
	if (r == 0)
		r = check_flags(c, repair, err);
	if (repair)
		q->free_hint = 0;
	return r;
}

int qcow2_check(struct qcow2 *q, bool repair, struct image_check *ret, struct error *err)
{
	struct count c = { .q = q, .out = ret };
	int r = 0;

	if (!q->readonly)
		r = qcow2_flush(q, err);
	if (r < 0)
		return r;
	c.n = qcow2_clusters(q, q->file_end);
	if (c.n > CLUSTERS_MAX)
		return error_set(err, EFBIG, "'%s': %llu clusters are too many to check",
			q->img->name, (unsigned long long)c.n);
	c.refs = calloc(c.n ? c.n : 1, sizeof(*c.refs));
	if (!c.refs)
		return error_set(err, ENOMEM, "out of memory to check '%s'", q->img->name);
	q->checking = true;
	r = check(&c, repair, err);
	q->checking = false;
	free(c.refs);
	if (r == 0 && repair)
		r = qcow2_flush(q, err);
	return r;
}
