/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making, applying and deleting internal snapshots. A snapshot is a copy of the L1 table; each
 * cluster that it reaches has one reference more, and is no longer COPIED.
 *
 * Each operation becomes true with one write of the header. Before it, counts go up; after it,
 * others go down. In between, counts and COPIED bits do not match, so the dirty bit is set (version
 * 3): a cut is followed by a repair when the image is next opened for writing. In version 2 a cut
 * can leave stale COPIED bits, which cost a copy and nothing else, because we look at the count,
 * too.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The VM state may be so long, which keeps all sums in 64 bits. */
#define VMSTATE_MAX (UINT64_C(1) << 50)

/* ---- walking ---- */

enum walk {
	WALK_INC,  /* one reference more each */
	WALK_UNDO, /* one less at once: of what was counted, but is not in the file yet */
	WALK_FREE, /* one less, later */
};

struct walk_state {
	enum walk what;
	uint64_t left; /* references to walk; the rest is left alone */
	uint64_t done;
};

static int walk_clusters(
	struct qcow2 *q, struct walk_state *w, uint64_t first, uint64_t n, struct error *err)
{
	int r = 0;

	for (uint64_t c = first; c < first + n && r == 0 && w->left; c++) {
		if (w->what == WALK_INC)
			r = qcow2_ref_inc(q, c, err);
		else if (w->what == WALK_UNDO)
			r = qcow2_ref_dec(q, c, NULL, err);
		else
			qcow2_free_later(q, c, 1);
		if (r == 0) {
			w->done++;
			w->left--;
		}
	}
	return r;
}

static int walk_l2(
	struct qcow2 *q, struct walk_state *w, uint64_t l2, uint64_t at, struct error *err)
{
	int r = 0;

	for (uint32_t j = 0; j < 1u << q->l2_bits && r == 0; j++) {
		enum qcow2_kind kind;
		uint64_t entry, offset, len, first;

		r = qcow2_l2_get(q, l2, j, &entry, err);
		if (r == 0 && entry)
			r = qcow2_entry_kind(
				q, entry, at + ((uint64_t)j << q->cluster_bits), &kind, err);
		if (r < 0 || !entry)
			continue;
		if (kind == QCOW2_COMPRESSED) {
			qcow2_zip_where(q, entry, &offset, &len);
			first = offset >> q->cluster_bits;
			r = walk_clusters(q, w, first,
				((offset + len - 1) >> q->cluster_bits) - first + 1, err);
		} else if (entry & QCOW2_OFFSET_MASK) {
			r = walk_clusters(
				q, w, (entry & QCOW2_OFFSET_MASK) >> q->cluster_bits, 1, err);
		}
	}
	return r;
}

/* All that n entries of an L1 table reach; in the same order each time. */
static int walk(
	struct qcow2 *q, struct walk_state *w, const uint64_t *l1, uint32_t n, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++) {
		uint64_t l2;

		r = qcow2_l2_offset(q, l1[i], i, &l2, err);
		if (r < 0 || !l2)
			continue;
		r = walk_l2(q, w, l2, (uint64_t)i << (q->l2_bits + q->cluster_bits), err);
		/* The table last: its clusters are known only as long as it is there. */
		if (r == 0)
			r = walk_clusters(q, w, l2 >> q->cluster_bits, 1, err);
	}
	return r;
}

/* All counts one up, or none of them. */
static int count_tree(struct qcow2 *q, const uint64_t *l1, uint32_t n, struct error *err)
{
	struct walk_state w = { .what = WALK_INC, .left = UINT64_MAX }, undo;
	int r = walk(q, &w, l1, n, err);

	if (r == 0)
		return 0;
	undo = (struct walk_state){ .what = WALK_UNDO, .left = w.done };
	if (walk(q, &undo, l1, n, NULL) < 0)
		qcow2_give_up(q, r);
	return r;
}

static void uncount_tree(struct qcow2 *q, const uint64_t *l1, uint32_t n)
{
	struct walk_state w = { .what = WALK_UNDO, .left = UINT64_MAX };

	if (walk(q, &w, l1, n, NULL) < 0)
		qcow2_give_up(q, -EIO);
}

static int free_tree(struct qcow2 *q, const uint64_t *l1, uint32_t n, struct error *err)
{
	struct walk_state w = { .what = WALK_FREE, .left = UINT64_MAX };

	return walk(q, &w, l1, n, err);
}

/* An entry as it has to be: COPIED if the cluster at it has one reference. */
static int flagged(struct qcow2 *q, uint64_t entry, uint64_t *ret, struct error *err)
{
	uint64_t cluster = (entry & QCOW2_OFFSET_MASK) >> q->cluster_bits, count;
	int r;

	*ret = entry & ~QCOW2_COPIED;
	if (!cluster)
		return 0;
	r = qcow2_ref_get(q, cluster, &count, err);
	if (r == 0 && count == 1)
		*ret |= QCOW2_COPIED;
	return r;
}

static int flag_l2(struct qcow2 *q, uint64_t l2, struct error *err)
{
	int r = 0;

	for (uint32_t j = 0; j < 1u << q->l2_bits && r == 0; j++) {
		uint64_t entry, want = 0;

		r = qcow2_l2_get(q, l2, j, &entry, err);
		if (r < 0 || !entry || (entry & QCOW2_PACKED))
			continue;
		r = flagged(q, entry, &want, err);
		if (r == 0 && want != entry)
			r = qcow2_l2_put(q, l2, j, want, err);
	}
	return r;
}

int qcow2_flag_tree(struct qcow2 *q, uint64_t *l1, uint32_t n, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++) {
		uint64_t l2, want = 0;

		r = qcow2_l2_offset(q, l1[i], i, &l2, err);
		if (r < 0 || !l2)
			continue;
		r = flag_l2(q, l2, err);
		if (r == 0)
			r = flagged(q, l1[i], &want, err);
		if (r < 0 || want == l1[i])
			continue;
		l1[i] = want;
		if (l1 == q->l1)
			qcow2_l1_dirty(q, i);
	}
	return r;
}

/* ---- frames of the operations ---- */

static int op_begin(struct qcow2 *q, struct error *err)
{
	int r = qcow2_flush(q, err);

	return r < 0 ? r : qcow2_set_dirty(q, err);
}

/* Counts are in the file before entries that rely on them. */
static int op_barrier(struct qcow2 *q, struct error *err)
{
	int r = qcow2_cache_write(q, &q->ref_cache, err);

	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r == 0)
		r = qcow2_tables_write(q, err);
	return r < 0 ? r : image_file_sync(q->file, err);
}

/* r: how it went. What failed before anything changed leaves a sound image. */
static int op_end(struct qcow2 *q, int r, struct error *err)
{
	struct error *e = r < 0 ? NULL : err;
	int end = q->broken ? -EIO : qcow2_flush(q, e);

	if (end == 0)
		end = qcow2_cache_write(q, &q->ref_cache, e);
	if (end == 0 && !q->lazy)
		end = qcow2_clear_dirty(q, e);
	return r < 0 ? r : end;
}

/* ---- making ---- */

static void next_id(const struct qcow2 *q, char *ret, size_t size)
{
	unsigned long max = 0;

	for (uint32_t i = 0; i < q->n_snaps; i++) {
		unsigned long id = strtoul(q->snaps[i].s.id, NULL, 10);

		if (id > max && id < 1000000000)
			max = id;
	}
	snprintf(ret, size, "%lu", max + 1);
}

static int new_snap(
	struct qcow2 *q, const struct image_snapshot *from, struct qcow2_snap *s, struct error *err)
{
	*s = (struct qcow2_snap){ .s = *from, .l1_size = q->l1_size };
	s->s.disk_len = q->len;
	s->s.id[sizeof(s->s.id) - 1] = s->s.name[sizeof(s->s.name) - 1] = '\0';
	if (!s->s.id[0])
		next_id(q, s->s.id, sizeof(s->s.id));
	for (uint32_t i = 0; i < q->n_snaps; i++)
		if (strcmp(q->snaps[i].s.id, s->s.id) == 0 ||
			strcmp(q->snaps[i].long_name, s->s.name) == 0)
			return error_set(err, EEXIST, "'%s' has a snapshot '%s' (id %s) already",
				q->img->name, q->snaps[i].long_name, q->snaps[i].s.id);
	s->long_name = strdup(s->s.name);
	return s->long_name ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* The copy of L1, in clusters of its own. */
static int write_snap_l1(struct qcow2 *q, struct qcow2_snap *s, struct error *err)
{
	uint64_t n = qcow2_clusters(q, (uint64_t)s->l1_size * 8), first;
	uint64_t *l1;
	int r;

	if (!n)
		return 0;
	l1 = malloc((size_t)s->l1_size * sizeof(*l1));
	if (!l1)
		return error_set(err, ENOMEM, "out of memory for the L1 table of a snapshot");
	for (uint32_t i = 0; i < s->l1_size; i++)
		l1[i] = q->l1[i] & ~QCOW2_COPIED;
	r = qcow2_alloc(q, n, false, QCOW2_T_SNAP_L1, &first, NULL, err);
	if (r == 0) {
		s->l1_offset = first << q->cluster_bits;
		qcow2_grown_to(q, s->l1_offset + (n << q->cluster_bits));
		r = image_file_zero(q->file, s->l1_offset, n << q->cluster_bits, err);
		if (r == 0)
			r = qcow2_write_entries(q, s->l1_offset, l1, s->l1_size, err);
		if (r < 0)
			qcow2_unalloc(q, first, n);
	}
	free(l1);
	return r;
}

/* From the counts on. What fails here leaves the file in a state that only a repair can know. */
static int make_true(struct qcow2 *q, const struct qcow2_snap_table *table, struct error *err)
{
	int r;

	/* The VM state moves to the snapshot, so its counts stay as they are. It leaves L1 first: a
	 * cut then loses it, but does not leave it with two owners. */
	for (uint32_t i = q->l1_disk; i < q->l1_size; i++)
		if (q->l1[i]) {
			q->l1[i] = 0;
			qcow2_l1_dirty(q, i);
		}
	r = qcow2_flag_tree(q, q->l1, q->l1_disk, err);
	if (r == 0)
		r = op_barrier(q, err);
	if (r == 0)
		r = qcow2_snaps_commit(q, table, err);
	return r < 0 ? qcow2_give_up(q, r) : 0;
}

static int create(
	struct qcow2 *q, struct qcow2_snap *snaps, struct qcow2_snap *s, struct error *err)
{
	struct qcow2_snap_table table;
	uint64_t l1_clusters = qcow2_clusters(q, (uint64_t)s->l1_size * 8);
	int r = write_snap_l1(q, s, err);

	if (r < 0)
		return r;
	if (q->n_snaps)
		memcpy(snaps, q->snaps, q->n_snaps * sizeof(*snaps));
	snaps[q->n_snaps] = *s;
	r = qcow2_snaps_prepare(q, snaps, q->n_snaps + 1, &table, err);
	if (r == 0) {
		r = count_tree(q, q->l1, q->l1_disk, err);
		if (r < 0)
			qcow2_snaps_cancel(q, &table);
	}
	if (r < 0) {
		if (l1_clusters)
			qcow2_unalloc(q, s->l1_offset >> q->cluster_bits, l1_clusters);
		return r;
	}
	return make_true(q, &table, err);
}

int qcow2_snapshot_create(struct qcow2 *q, const struct image_snapshot *snap, struct error *err)
{
	struct qcow2_snap s, *snaps;
	int r = new_snap(q, snap, &s, err);

	if (r < 0)
		return r;
	snaps = calloc((size_t)q->n_snaps + 1, sizeof(*snaps));
	if (!snaps) {
		free(s.long_name);
		return error_set(err, ENOMEM, "out of memory for snapshots");
	}
	r = op_begin(q, err);
	if (r == 0)
		r = create(q, snaps, &s, err);
	if (r < 0) {
		free(snaps);
		free(s.long_name);
	} else {
		free(q->snaps); /* its strings are the new one's now */
		q->snaps = snaps;
		q->n_snaps++;
	}
	return op_end(q, r, err);
}

/* ---- applying ---- */

static int apply(struct qcow2 *q, uint64_t *l1, struct error *err)
{
	uint32_t old_size = q->l1_size;
	uint64_t *old = NULL;
	int r;

	if (old_size) {
		old = malloc(old_size * sizeof(*old));
		if (!old) {
			free(l1);
			return error_set(err, ENOMEM, "out of memory for the L1 table");
		}
		memcpy(old, q->l1, old_size * sizeof(*old));
	}
	r = count_tree(q, l1, q->l1_disk, err);
	if (r == 0) {
		r = qcow2_flag_tree(q, l1, q->l1_disk, err);
		if (r == 0)
			r = op_barrier(q, err);
		if (r == 0)
			r = qcow2_l1_replace(q, l1, old_size, err);
		if (r < 0)
			uncount_tree(q, l1, q->l1_disk);
	}
	if (r < 0) {
		free(l1);
		free(old);
		return r;
	}
	r = free_tree(q, old, old_size, err);
	free(old);
	return r;
}

/* The disk's part of a snapshot's L1 table, without the VM state, which is read from the snapshot
 * itself. */
static int copy_l1(struct qcow2 *q, const char *name, uint64_t *l1, struct error *err)
{
	const struct qcow2_snap *s;
	uint64_t *from;
	uint32_t i;
	int r = qcow2_snap_find(q, name, &i, err);

	if (r < 0)
		return r;
	s = &q->snaps[i];
	if (s->s.disk_len != q->len)
		return error_set(err, ENOTSUP,
			"'%s': snapshot '%s' is of a disk of %llu bytes, the disk now has %llu",
			q->img->name, name, (unsigned long long)s->s.disk_len,
			(unsigned long long)q->len);
	r = qcow2_snap_l1(q, s, &from, err);
	if (r < 0)
		return r;
	for (uint32_t j = 0; j < q->l1_disk && j < s->l1_size; j++)
		l1[j] = from[j] & ~QCOW2_COPIED;
	free(from);
	return 0;
}

/* What the L1 table has to be for the disk to be as it was at a snapshot, or (NULL) before the
 * first write; the caller's to free. */
static int disk_of(struct qcow2 *q, const char *name, uint64_t **ret_l1, struct error *err)
{
	uint64_t *l1 = calloc(q->l1_size ? q->l1_size : 1, sizeof(*l1));
	int r = l1 ? 0 : error_set(err, ENOMEM, "out of memory for the L1 table");

	if (r == 0 && name)
		r = copy_l1(q, name, l1, err);
	if (r < 0) {
		free(l1);
		return r;
	}
	*ret_l1 = l1;
	return 0;
}

int qcow2_snapshot_apply(struct qcow2 *q, const char *name, struct error *err)
{
	uint64_t *l1;
	int r = disk_of(q, name, &l1, err);

	if (r < 0)
		return r;
	r = op_begin(q, err);
	if (r < 0) {
		free(l1);
		return r;
	}
	r = apply(q, l1, err);
	q->unpacked_entry = 0;
	return op_end(q, r, err);
}

int qcow2_snapshot_show(struct qcow2 *q, const char *name, struct error *err)
{
	uint64_t *l1;
	int r = disk_of(q, name, &l1, err);

	if (r < 0)
		return r;
	free(q->l1);
	q->l1 = l1;
	return 0;
}

/* ---- deleting ---- */

static int delete_at(struct qcow2 *q, uint32_t i, struct error *err)
{
	struct qcow2_snap gone = q->snaps[i];
	struct qcow2_snap_table table;
	uint64_t *l1, l1_clusters = qcow2_clusters(q, (uint64_t)gone.l1_size * 8);
	size_t rest = q->n_snaps - i - 1;
	int r = qcow2_snap_l1(q, &gone, &l1, err);

	if (r < 0)
		return r;
	/* The table without it; the entry goes to the end until that is true. */
	memmove(&q->snaps[i], &q->snaps[i + 1], rest * sizeof(gone));
	q->snaps[q->n_snaps - 1] = gone;
	r = qcow2_snaps_prepare(q, q->snaps, q->n_snaps - 1, &table, err);
	if (r == 0)
		r = qcow2_snaps_commit(q, &table, err);
	if (r < 0) {
		memmove(&q->snaps[i + 1], &q->snaps[i], rest * sizeof(gone));
		q->snaps[i] = gone;
		free(l1);
		return r;
	}
	q->n_snaps--;
	free(gone.extra);
	free(gone.long_name);
	r = free_tree(q, l1, gone.l1_size, err);
	free(l1);
	if (r == 0 && l1_clusters)
		qcow2_free_later(q, gone.l1_offset >> q->cluster_bits, l1_clusters);
	if (r == 0)
		r = qcow2_frees_run(q, err);
	/* What only the present state has now may be written in place again. */
	return r < 0 ? r : qcow2_flag_tree(q, q->l1, q->l1_size, err);
}

int qcow2_snapshot_delete(struct qcow2 *q, const char *name, struct error *err)
{
	uint32_t i;
	int r = qcow2_snap_find(q, name, &i, err);

	if (r == 0)
		r = op_begin(q, err);
	if (r < 0)
		return r;
	return op_end(q, delete_at(q, i, err), err);
}

/* ---- VM state ---- */

int qcow2_vmstate_write(
	struct qcow2 *q, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	uint64_t at = qcow2_vmstate_at(q) + offset;
	int r;

	if (offset > VMSTATE_MAX || len > VMSTATE_MAX - offset)
		return error_set(err, EFBIG, "'%s': a VM state of %llu bytes is too long",
			q->img->name, (unsigned long long)offset + len);
	r = qcow2_l1_grow(q, at + len, err);
	return r < 0 ? r : qcow2_write(q, at, buf, len, err);
}

int qcow2_vmstate_read(struct qcow2 *q, const char *name, uint64_t offset, void *buf, size_t len,
	struct error *err)
{
	uint64_t *l1 = q->l1, *of_snap;
	uint32_t size = q->l1_size, i;
	int r;

	if (offset > VMSTATE_MAX || len > VMSTATE_MAX - offset)
		return error_set(err, EINVAL, "'%s': the VM state is not that long", q->img->name);
	if (!name)
		return qcow2_read(q, qcow2_vmstate_at(q) + offset, buf, len, err);
	r = qcow2_snap_find(q, name, &i, err);
	if (r < 0)
		return r;
	if (offset > q->snaps[i].s.vm_state_len || len > q->snaps[i].s.vm_state_len - offset)
		return error_set(err, EINVAL,
			"'%s': %zu bytes at %llu reach beyond the %llu of VM state of snapshot "
			"'%s'",
			q->img->name, len, (unsigned long long)offset,
			(unsigned long long)q->snaps[i].s.vm_state_len, name);
	/* With nothing dirty, reading cannot make the cache write this L1 table in the place of
	 * ours. */
	if (!q->readonly)
		r = qcow2_tables_write(q, err);
	if (r == 0)
		r = qcow2_snap_l1(q, &q->snaps[i], &of_snap, err);
	if (r < 0)
		return r;
	q->l1 = of_snap;
	q->l1_size = q->snaps[i].l1_size;
	r = qcow2_read(q,
		(((q->snaps[i].s.disk_len + qcow2_l2_reach(q) - 1) >>
			 (q->l2_bits + q->cluster_bits))
			<< (q->l2_bits + q->cluster_bits)) +
			offset,
		buf, len, err);
	q->l1 = l1;
	q->l1_size = size;
	free(of_snap);
	return r;
}
