/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The snapshot table. It is only ever written anew, elsewhere, and becomes the image's with one
 * write of two neighbouring fields of the header. What other writers keep in an entry's extra data
 * stays.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_LEN 40
/* Extra data that we know: the length of the VM state, of the disk, and an instruction count. */
#define EXTRA_LEN 24

static uint64_t get_be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

static void put_be(uint8_t *p, unsigned n, uint64_t v)
{
	while (n-- > 0) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

void qcow2_snaps_free(struct qcow2_snap *snaps, uint32_t n)
{
	for (uint32_t i = 0; snaps && i < n; i++) {
		free(snaps[i].extra);
		free(snaps[i].long_name);
	}
	free(snaps);
}

/* ---- reading ---- */

static int bad_snap(struct qcow2 *q, uint32_t i, const char *what, uint64_t v, struct error *err)
{
	return error_set(err, EINVAL, "'%s': snapshot %u of the table: %s (%llu)", q->img->name, i,
		what, (unsigned long long)v);
}

static int read_extra(struct qcow2 *q, struct qcow2_snap *s, uint64_t at, struct error *err)
{
	int r;

	s->s.disk_len = q->len;
	s->s.icount = IMAGE_NO_ICOUNT;
	if (!s->extra_len)
		return 0;
	s->extra = malloc(s->extra_len);
	if (!s->extra)
		return error_set(err, ENOMEM, "out of memory for snapshots");
	r = image_file_read(q->file, at, s->extra, s->extra_len, err);
	if (r < 0)
		return r;
	if (s->extra_len >= 8)
		s->s.vm_state_len = get_be(s->extra, 8);
	if (s->extra_len >= 16)
		s->s.disk_len = get_be(s->extra + 8, 8);
	if (s->extra_len >= 24)
		s->s.icount = get_be(s->extra + 16, 8);
	return 0;
}

static int read_names(struct qcow2 *q, struct qcow2_snap *s, uint64_t at, uint32_t id_len,
	uint32_t name_len, uint32_t i, struct error *err)
{
	int r;

	if (id_len >= IMAGE_SNAPSHOT_ID_MAX)
		return bad_snap(q, i, "its id is too long", id_len, err);
	r = image_file_read(q->file, at, s->s.id, id_len, err);
	if (r < 0)
		return r;
	s->long_name = calloc(1, (size_t)name_len + 1);
	if (!s->long_name)
		return error_set(err, ENOMEM, "out of memory for snapshots");
	r = image_file_read(q->file, at + id_len, s->long_name, name_len, err);
	if (r < 0)
		return r;
	if (strlen(s->s.id) != id_len || strlen(s->long_name) != name_len)
		return bad_snap(
			q, i, "a zero byte in its id or name of so many bytes", name_len, err);
	memcpy(s->s.name, s->long_name,
		name_len < sizeof(s->s.name) ? name_len : sizeof(s->s.name) - 1);
	return 0;
}

/* The entry at *at, which moves on to the next one. */
static int read_snap(
	struct qcow2 *q, struct qcow2_snap *s, uint32_t i, uint64_t *at, struct error *err)
{
	uint8_t e[ENTRY_LEN];
	uint32_t id_len, name_len;
	uint64_t len;
	int r = image_file_read(q->file, *at, e, sizeof(e), err);

	if (r < 0)
		return r;
	s->l1_offset = get_be(e, 8);
	s->l1_size = (uint32_t)get_be(e + 8, 4);
	id_len = (uint32_t)get_be(e + 12, 2);
	name_len = (uint32_t)get_be(e + 14, 2);
	s->s.date_s = get_be(e + 16, 4);
	s->s.date_ns = (uint32_t)get_be(e + 20, 4);
	s->s.vm_clock_ns = get_be(e + 24, 8);
	s->s.vm_state_len = get_be(e + 32, 4);
	s->extra_len = (uint32_t)get_be(e + 36, 4);
	if (s->extra_len > QCOW2_SNAP_EXTRA_MAX)
		return bad_snap(q, i, "too much extra data", s->extra_len, err);
	len = ENTRY_LEN + (uint64_t)s->extra_len + id_len + name_len;
	/* The last one may be without the padding. */
	if (*at + len > q->file_end || *at + len - q->snap_offset > QCOW2_SNAP_TABLE_MAX)
		return bad_snap(q, i, "its entry reaches beyond the file, or the table is too long",
			len, err);
	r = qcow2_table_ok(q, "the L1 table of a snapshot", s->l1_offset, (uint64_t)s->l1_size * 8,
		QCOW2_L1_MAX, err);
	if (r == 0)
		r = read_extra(q, s, *at + ENTRY_LEN, err);
	if (r == 0)
		r = read_names(q, s, *at + ENTRY_LEN + s->extra_len, id_len, name_len, i, err);
	*at += (len + 7) & ~UINT64_C(7);
	return r;
}

int qcow2_snaps_read(struct qcow2 *q, struct error *err)
{
	uint64_t at = q->snap_offset;
	int r;

	if (!q->n_snaps)
		return 0;
	r = qcow2_table_ok(q, "the snapshot table", at, (uint64_t)q->n_snaps * ENTRY_LEN,
		QCOW2_SNAP_TABLE_MAX, err);
	if (r < 0)
		return r;
	q->snaps = calloc(q->n_snaps, sizeof(*q->snaps));
	if (!q->snaps)
		return error_set(err, ENOMEM, "out of memory for %u snapshots", q->n_snaps);
	for (uint32_t i = 0; i < q->n_snaps && r == 0; i++)
		r = read_snap(q, &q->snaps[i], i, &at, err);
	q->snap_len = at - q->snap_offset;
	return r;
}

int qcow2_snap_find(struct qcow2 *q, const char *name, uint32_t *ret_i, struct error *err)
{
	for (uint32_t i = 0; i < q->n_snaps; i++)
		if (strcmp(q->snaps[i].s.id, name) == 0) {
			*ret_i = i;
			return 0;
		}
	for (uint32_t i = 0; i < q->n_snaps; i++)
		if (strcmp(q->snaps[i].long_name, name) == 0) {
			*ret_i = i;
			return 0;
		}
	return error_set(err, ENOENT, "'%s' has no snapshot '%s'", q->img->name, name);
}

int qcow2_snap_l1(
	struct qcow2 *q, const struct qcow2_snap *snap, uint64_t **ret_l1, struct error *err)
{
	return qcow2_read_entries(q, snap->l1_offset, snap->l1_size, ret_l1, err);
}

/* ---- writing ---- */

static uint32_t extra_len(const struct qcow2_snap *s)
{
	return s->extra_len < EXTRA_LEN ? EXTRA_LEN : s->extra_len;
}

static size_t entry_len(const struct qcow2_snap *s)
{
	return (ENTRY_LEN + (size_t)extra_len(s) + strlen(s->s.id) + strlen(s->long_name) + 7) &
	       ~(size_t)7;
}

static void encode(const struct qcow2_snap *s, uint8_t *e)
{
	size_t id_len = strlen(s->s.id), name_len = strlen(s->long_name);
	uint8_t *x = e + ENTRY_LEN, *names = x + extra_len(s);

	put_be(e, 8, s->l1_offset);
	put_be(e + 8, 4, s->l1_size);
	put_be(e + 12, 2, id_len);
	put_be(e + 14, 2, name_len);
	put_be(e + 16, 4, s->s.date_s);
	put_be(e + 20, 4, s->s.date_ns);
	put_be(e + 24, 8, s->s.vm_clock_ns);
	/* The short field is for readers without extra data: too long says 0 there. */
	put_be(e + 32, 4, s->s.vm_state_len > UINT32_MAX ? 0 : s->s.vm_state_len);
	put_be(e + 36, 4, extra_len(s));
	if (s->extra_len)
		memcpy(x, s->extra, s->extra_len);
	put_be(x, 8, s->s.vm_state_len);
	put_be(x + 8, 8, s->s.disk_len);
	put_be(x + 16, 8, s->s.icount);
	memcpy(names, s->s.id, id_len);
	memcpy(names + id_len, s->long_name, name_len);
}

int qcow2_snaps_prepare(struct qcow2 *q, const struct qcow2_snap *snaps, uint32_t n,
	struct qcow2_snap_table *ret_table, struct error *err)
{
	struct qcow2_snap_table t = { .n_snaps = n };
	uint64_t first;
	uint8_t *buf, *e;
	int r;

	for (uint32_t i = 0; i < n; i++)
		t.len += entry_len(&snaps[i]);
	if (t.len > QCOW2_SNAP_TABLE_MAX || n > QCOW2_SNAPSHOTS_MAX)
		return error_set(err, EFBIG, "'%s': no room for more snapshots", q->img->name);
	t.clusters = qcow2_clusters(q, t.len);
	if (t.len) {
		buf = e = calloc(t.clusters, q->cluster_len);
		if (!buf)
			return error_set(err, ENOMEM, "out of memory for the snapshot table");
		for (uint32_t i = 0; i < n; i++) {
			encode(&snaps[i], e);
			e += entry_len(&snaps[i]);
		}
		r = qcow2_alloc(q, t.clusters, false, QCOW2_T_SNAPSHOTS, &first, NULL, err);
		if (r == 0) {
			t.offset = first << q->cluster_bits;
			qcow2_grown_to(q, t.offset + (t.clusters << q->cluster_bits));
			r = image_file_write(q->file, t.offset, buf,
				(size_t)(t.clusters << q->cluster_bits), err);
			if (r < 0)
				qcow2_unalloc(q, first, t.clusters);
		}
		free(buf);
		if (r < 0)
			return r;
	}
	*ret_table = t;
	return 0;
}

void qcow2_snaps_cancel(struct qcow2 *q, const struct qcow2_snap_table *t)
{
	if (t->clusters)
		qcow2_unalloc(q, t->offset >> q->cluster_bits, t->clusters);
}

int qcow2_snaps_commit(struct qcow2 *q, const struct qcow2_snap_table *t, struct error *err)
{
	uint64_t old_n = q->n_snaps ? qcow2_clusters(q, q->snap_len) : 0;
	int r = qcow2_cache_write(q, &q->ref_cache, err);

	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r == 0)
		r = qcow2_header_put_pair(q, QCOW2_AT_N_SNAPSHOTS, t->n_snaps, 4, t->offset, err);
	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r < 0)
		return qcow2_give_up(q, r);
	if (old_n)
		qcow2_free_later(q, q->snap_offset >> q->cluster_bits, old_n);
	q->snap_offset = t->offset;
	q->snap_len = t->len;
	return 0;
}
