/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading, writing and discarding data, and the order of writing:
 *
 *	data and the initial contents of new tables
 *	reference counts that were raised
 *	(barrier)
 *	L2 entries, then L1 entries
 *	(barrier)
 *	reference counts that fall; holes in the file
 *
 * The barriers are there with IMAGE_TABLES_BACK, where tables wait for a flush; with _THROUGH each
 *request goes through the list at its end, and the order is that of the system calls. Whatever part
 *of the list a cut leaves undone, each reference in the file goes to a cluster that is counted and
 *complete.
 */
#include "qcow2.h"

#include <errno.h>
#include <string.h>

/* So many runs of clusters wait to become free before tables are written for their sake. */
#define FREES_MAX 65536

static const uint8_t zeros[65536];

int qcow2_read(struct qcow2 *q, uint64_t offset, void *buf, size_t len, struct error *err)
{
	uint8_t *p = buf;

	while (len > 0) {
		struct qcow2_run run;
		const uint8_t *data;
		size_t n, in = offset & (q->cluster_len - 1);
		int r = qcow2_map(q, offset, len, &run, err);

		if (r < 0)
			return r;
		n = (size_t)run.len;
		switch (run.kind) {
		case QCOW2_HOLE: r = image_read_backing(q->img, offset, p, n, err); break;
		case QCOW2_ZEROS: memset(p, 0, n); break;
		case QCOW2_NORMAL: r = image_file_read(q->file, run.host, p, n, err); break;
		case QCOW2_COMPRESSED:
			r = qcow2_unpack(q, run.entry, offset, &data, err);
			if (r == 0)
				memcpy(p, data + in, n);
			break;
		}
		if (r < 0)
			return r;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

/* ---- writing ---- */

/* May the cluster of this L2 entry be written where it is? */
static int in_place(struct qcow2 *q, uint64_t entry, uint64_t offset, bool *ret, struct error *err)
{
	uint64_t cluster = (entry & QCOW2_OFFSET_MASK) >> q->cluster_bits, count;
	enum qcow2_table t;
	enum qcow2_kind kind;
	int r = qcow2_entry_kind(q, entry, offset, &kind, err);

	*ret = false;
	if (r < 0 || kind != QCOW2_NORMAL)
		return r;
	r = qcow2_ref_get(q, cluster, &count, err);
	if (r < 0)
		return r;
	t = qcow2_set_find(&q->tables, cluster);
	if (count == 0 || t != QCOW2_T_NONE)
		return qcow2_damaged(q, err,
			"a write to %#llx of the disk would overwrite %s at %#llx (reference count "
			"%llu)",
			(unsigned long long)offset,
			t == QCOW2_T_NONE ? "a free cluster" : qcow2_table_words(t),
			(unsigned long long)(entry & QCOW2_OFFSET_MASK), (unsigned long long)count);
	*ret = count == 1 && (entry & QCOW2_COPIED);
	return 0;
}

/*
 * Looks at up to max L2 entries from index on. *ret_host != 0: the first *ret_n clusters can be
 * written in place and lie in a row from there. 0: the first *ret_n have to be allocated.
 */
static int find_target(struct qcow2 *q, uint64_t l2, uint32_t index, uint32_t max, uint64_t offset,
	uint64_t *ret_host, uint32_t *ret_n, struct error *err)
{
	uint64_t first = 0;
	uint32_t n;

	for (n = 0; n < max; n++) {
		uint64_t entry, at = (uint64_t)n << q->cluster_bits, host;
		bool here = false;
		int r = qcow2_l2_get(q, l2, index + n, &entry, err);

		if (r == 0)
			r = in_place(q, entry, offset + at, &here, err);
		if (r < 0)
			return r;
		host = entry & QCOW2_OFFSET_MASK;
		if (n == 0 && here)
			first = host;
		else if (here != !!first || (here && host != first + at))
			break;
	}
	*ret_host = first;
	*ret_n = n;
	return 0;
}

/* Does all of len bytes (in one cluster) read as zeros, as far as our tables say? */
static int reads_zero(struct qcow2 *q, uint64_t offset, size_t len, bool *ret, struct error *err)
{
	struct qcow2_run run;
	int r = qcow2_map(q, offset, len, &run, err);

	if (r == 0)
		*ret = run.kind == QCOW2_ZEROS ||
		       (run.kind == QCOW2_HOLE && !image_backing_reach(q->img, offset));
	return r;
}

/* What the disk has at offset goes to a cluster's host bytes. fresh: those are zeros already. */
static int copy_part(
	struct qcow2 *q, uint64_t offset, uint64_t host, size_t len, bool fresh, struct error *err)
{
	bool zero = false;
	int r;

	if (!len)
		return 0;
	r = reads_zero(q, offset, len, &zero, err);
	if (r < 0)
		return r;
	if (zero)
		return fresh ? 0 : image_file_zero(q->file, host, len, err);
	r = qcow2_read(q, offset, q->bounce, len, err);
	return r < 0 ? r : image_file_write(q->file, host, q->bounce, len, err);
}

/* n new clusters from host on, whole: what is written and around it what was there. */
static int fill_clusters(struct qcow2 *q, uint64_t offset, uint64_t host, uint64_t n,
	const void *buf, size_t len, struct error *err)
{
	size_t in = offset & (q->cluster_len - 1);
	uint64_t end = host + (n << q->cluster_bits);
	size_t tail = (size_t)((n << q->cluster_bits) - in - len);
	bool fresh = host >= q->file_end;
	int r;

	/* Before the first write: if one fails, there may be more than zeros from now on. */
	qcow2_grown_to(q, end);
	if (fresh && tail) {
		r = image_file_truncate(q->file, end, err);
		if (r < 0)
			return r;
	}
	r = copy_part(q, offset - in, host, in, fresh, err);
	if (r == 0)
		r = image_file_write(q->file, host + in, buf, len, err);
	if (r == 0)
		r = copy_part(q, offset + len, host + in + len, tail, fresh, err);
	return r;
}

static int write_new(struct qcow2 *q, uint64_t l2, uint32_t index, uint32_t n, uint64_t offset,
	const void *buf, size_t len, size_t *ret_done, struct error *err)
{
	size_t in = offset & (q->cluster_len - 1), room;
	uint64_t first, got, j = 0;
	int r = qcow2_alloc(q, n, true, QCOW2_T_NONE, &first, &got, err);

	if (r < 0)
		return r;
	room = (size_t)(got << q->cluster_bits) - in;
	if (len > room)
		len = room;
	r = fill_clusters(q, offset, first << q->cluster_bits, got, buf, len, err);
	for (; j < got && r == 0; j++) {
		uint64_t old;

		r = qcow2_l2_get(q, l2, index + (uint32_t)j, &old, err);
		if (r == 0)
			r = qcow2_l2_put(q, l2, index + (uint32_t)j,
				(first + j) << q->cluster_bits | QCOW2_COPIED, err);
		if (r < 0)
			break;
		qcow2_free_entry_later(q, old);
	}
	if (r < 0) {
		qcow2_unalloc(q, first + j, got - j);
		return r;
	}
	*ret_done = len;
	return 0;
}

/* As much as lies in one slice of an L2 table, and in a row. */
static int write_some(struct qcow2 *q, uint64_t offset, const void *buf, size_t len,
	size_t *ret_done, struct error *err)
{
	uint32_t i = (uint32_t)(offset >> (q->l2_bits + q->cluster_bits)), n;
	uint32_t index = (uint32_t)(offset >> q->cluster_bits) & ((1u << q->l2_bits) - 1);
	uint32_t per_slice = q->l2_cache.slice_len / 8;
	size_t in = offset & (q->cluster_len - 1);
	uint64_t l2, host, max = qcow2_clusters(q, in + len);
	int r = qcow2_l2_for_write(q, i, &l2, err);

	if (r < 0)
		return r;
	if (max > per_slice - index % per_slice)
		max = per_slice - index % per_slice;
	r = find_target(q, l2, index, (uint32_t)max, offset, &host, &n, err);
	if (r < 0)
		return r;
	if (!host)
		return write_new(q, l2, index, n, offset, buf, len, ret_done, err);
	if (len > ((size_t)n << q->cluster_bits) - in)
		len = ((size_t)n << q->cluster_bits) - in;
	*ret_done = len;
	return image_file_write(q->file, host + in, buf, len, err);
}

int qcow2_write(struct qcow2 *q, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	const uint8_t *p = buf;
	int r = 0;

	while (len > 0 && r == 0) {
		size_t done = 0;

		r = write_some(q, offset, p, len, &done, err);
		p += done;
		offset += done;
		len -= done;
	}
	return r;
}

/* ---- discarding ---- */

static int write_zeros(struct qcow2 *q, uint64_t offset, uint64_t len, struct error *err)
{
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

		r = qcow2_write(q, offset, zeros, n, err);
		offset += n;
		len -= n;
	}
	return r;
}

static int discard_part(struct qcow2 *q, uint64_t offset, size_t len, struct error *err)
{
	bool zero = false;
	int r = reads_zero(q, offset, len, &zero, err);

	return r < 0 || zero ? r : write_zeros(q, offset, len, err);
}

/* One whole cluster. */
static int discard_cluster(struct qcow2 *q, uint64_t offset, struct error *err)
{
	uint32_t i = (uint32_t)(offset >> (q->l2_bits + q->cluster_bits));
	uint32_t index = (uint32_t)(offset >> q->cluster_bits) & ((1u << q->l2_bits) - 1);
	bool over = image_backing_reach(q->img, offset) > 0;
	struct qcow2_run run;
	uint64_t l2;
	int r = qcow2_map(q, offset, 1, &run, err);

	if (r < 0)
		return r;
	if (run.kind == QCOW2_HOLE && !over)
		return 0;
	if (run.kind == QCOW2_ZEROS && !(run.entry & QCOW2_OFFSET_MASK))
		return 0;
	/* Version 2 has no word for "zeros here, whatever is below". */
	if (over && q->version == 2)
		return write_zeros(q, offset, q->cluster_len, err);
	r = qcow2_l2_for_write(q, i, &l2, err);
	if (r == 0)
		r = qcow2_l2_put(q, l2, index, over ? QCOW2_ZERO : 0, err);
	if (r == 0)
		qcow2_free_entry_later(q, run.entry);
	return r;
}

int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t len, struct error *err)
{
	int r = 0;

	/* The last cluster is whole when all of the disk's part of it is. */
	if (offset + len == q->len)
		len = ((q->len + q->cluster_len - 1) & ~(uint64_t)(q->cluster_len - 1)) - offset;
	while (len > 0 && r == 0) {
		uint64_t in = offset & (q->cluster_len - 1), n = q->cluster_len - in;
		struct qcow2_run run;

		if (n > len)
			n = len;
		if (n < q->cluster_len) {
			r = discard_part(q, offset, (size_t)n, err);
		} else {
			/* Holes of the whole L2 table, of which there may be many. */
			r = qcow2_map(q, offset, len, &run, err);
			if (r == 0 && run.kind == QCOW2_HOLE && run.len > n &&
				!image_backing_reach(q->img, offset))
				n = run.len & ~(uint64_t)(q->cluster_len - 1);
			else if (r == 0)
				r = discard_cluster(q, offset, err);
		}
		offset += n;
		len -= n;
	}
	return r;
}

/* ---- tables to the file ---- */

int qcow2_tables_write(struct qcow2 *q, struct error *err)
{
	int r = qcow2_sound(q, err);

	if (r == 0 && !q->lazy)
		r = qcow2_cache_write(q, &q->ref_cache, err);
	if (r < 0 || (!q->l2_cache.n_dirty && q->l1_lo == q->l1_hi))
		return r;
	if (!q->through)
		r = image_file_sync(q->file, err);
	if (r == 0)
		r = qcow2_cache_write(q, &q->l2_cache, err);
	if (r == 0 && q->l1_lo != q->l1_hi)
		r = qcow2_write_entries(q, q->l1_offset + (uint64_t)q->l1_lo * 8, q->l1 + q->l1_lo,
			q->l1_hi - q->l1_lo, err);
	if (r == 0)
		q->l1_lo = q->l1_hi = 0;
	return r;
}

static int write_and_free(struct qcow2 *q, struct error *err)
{
	int r = qcow2_tables_write(q, err);

	if (r < 0 || !q->frees.n)
		return r;
	if (!q->through)
		r = image_file_sync(q->file, err);
	return r < 0 ? r : qcow2_frees_run(q, err);
}

int qcow2_request_end(struct qcow2 *q, int r, struct error *err)
{
	int end = 0;

	/* What a request that failed has changed is sound, and goes the same way. */
	if (!q->broken && (q->through || q->frees.n > FREES_MAX))
		end = write_and_free(q, r < 0 ? NULL : err);
	return r < 0 ? r : end;
}

int qcow2_flush(struct qcow2 *q, struct error *err)
{
	int r = write_and_free(q, err);

	if (r == 0 && !q->lazy)
		r = qcow2_cache_write(q, &q->ref_cache, err);
	return r < 0 ? r : image_file_sync(q->file, err);
}
