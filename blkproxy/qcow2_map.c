/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L1 and L2: from an offset of the disk to one of the file. L1 is kept whole, L2 tables in slices.
 * Every entry is checked when it is used: an image may be hostile, or become damaged under us.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int qcow2_l2_offset(
	struct qcow2 *q, uint64_t l1_entry, uint32_t i, uint64_t *ret_l2, struct error *err)
{
	uint64_t l2 = l1_entry & QCOW2_OFFSET_MASK;

	if (l1_entry & QCOW2_L1_RESERVED)
		return qcow2_damaged(q, err, "L1 entry %u (%#llx) has reserved bits set", i,
			(unsigned long long)l1_entry);
	if (l2 & (q->cluster_len - 1))
		return qcow2_damaged(q, err,
			"L1 entry %u: an L2 table at %#llx, which is no multiple of the cluster "
			"size",
			i, (unsigned long long)l2);
	if (l2 && (l2 >= q->file_end || q->cluster_len > q->file_end - l2))
		return qcow2_damaged(q, err,
			"L1 entry %u: an L2 table at %#llx, beyond the end of the file at %#llx", i,
			(unsigned long long)l2, (unsigned long long)q->file_end);
	*ret_l2 = l2;
	return 0;
}

static int bad_entry(
	struct qcow2 *q, uint64_t entry, uint64_t offset, const char *what, struct error *err)
{
	return qcow2_damaged(q, err, "the L2 entry of the disk's cluster at %#llx (%#llx) %s",
		(unsigned long long)(offset & ~(uint64_t)(q->cluster_len - 1)),
		(unsigned long long)entry, what);
}

int qcow2_entry_kind(struct qcow2 *q, uint64_t entry, uint64_t offset, enum qcow2_kind *ret_kind,
	struct error *err)
{
	uint64_t host = entry & QCOW2_OFFSET_MASK, at, len;

	if (entry & QCOW2_PACKED) {
		qcow2_zip_where(q, entry, &at, &len);
		if (entry & QCOW2_COPIED)
			return bad_entry(q, entry, offset, "is compressed and COPIED", err);
		if (at >= q->file_end || at < q->cluster_len)
			return bad_entry(q, entry, offset, "lies outside of the file", err);
		*ret_kind = QCOW2_COMPRESSED;
		return 0;
	}
	if (entry & QCOW2_L2_RESERVED)
		return bad_entry(q, entry, offset, "has reserved bits set", err);
	if (host & (q->cluster_len - 1))
		return bad_entry(q, entry, offset, "is no multiple of the cluster size", err);
	if (host >= q->file_end)
		return bad_entry(q, entry, offset, "lies beyond the end of the file", err);
	if ((entry & QCOW2_ZERO) && q->version == 2)
		return bad_entry(q, entry, offset, "says zero, which version 2 does not know", err);
	*ret_kind = entry & QCOW2_ZERO ? QCOW2_ZEROS : host ? QCOW2_NORMAL : QCOW2_HOLE;
	return 0;
}

/* ---- entries ---- */

static int l2_slice(struct qcow2 *q, uint64_t l2, uint32_t index, uint8_t **ret, struct error *err)
{
	uint64_t at = (uint64_t)index * 8;
	uint8_t *slice;
	int r = qcow2_cache_get(
		q, &q->l2_cache, l2 + (at & ~(uint64_t)(q->l2_cache.slice_len - 1)), &slice, err);

	if (r == 0)
		*ret = slice + (at & (q->l2_cache.slice_len - 1));
	return r;
}

int qcow2_l2_get(
	struct qcow2 *q, uint64_t l2, uint32_t index, uint64_t *ret_entry, struct error *err)
{
	uint8_t *p;
	int r = l2_slice(q, l2, index, &p, err);

	if (r == 0) {
		memcpy(ret_entry, p, 8);
		*ret_entry = be64toh(*ret_entry);
	}
	return r;
}

int qcow2_l2_put(struct qcow2 *q, uint64_t l2, uint32_t index, uint64_t entry, struct error *err)
{
	uint8_t *p;
	int r = l2_slice(q, l2, index, &p, err);

	if (r == 0) {
		entry = htobe64(entry);
		memcpy(p, &entry, 8);
		qcow2_cache_dirty(&q->l2_cache, p);
	}
	return r;
}

/* How far the run that begins with *run goes on in the same slice. */
static int extend(struct qcow2 *q, uint64_t l2, uint32_t index, uint64_t offset, uint64_t max_len,
	struct qcow2_run *run, struct error *err)
{
	uint32_t per_slice = q->l2_cache.slice_len / 8;

	while (run->len < max_len && ++index % per_slice) {
		enum qcow2_kind kind;
		uint64_t entry;
		int r = qcow2_l2_get(q, l2, index, &entry, err);

		if (r == 0)
			r = qcow2_entry_kind(q, entry, offset + run->len, &kind, err);
		if (r < 0)
			return r;
		if (kind != run->kind || kind == QCOW2_COMPRESSED)
			break;
		if (kind == QCOW2_NORMAL && (entry & QCOW2_OFFSET_MASK) != run->host + run->len)
			break;
		run->len += q->cluster_len;
	}
	return 0;
}

int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t max_len, struct qcow2_run *ret_run,
	struct error *err)
{
	unsigned shift = q->l2_bits + q->cluster_bits;
	uint64_t i = offset >> shift, in = offset & (q->cluster_len - 1), l2 = 0;
	uint32_t index = (uint32_t)(offset >> q->cluster_bits) & ((1u << q->l2_bits) - 1);
	struct qcow2_run run = { .kind = QCOW2_HOLE };
	int r = 0;

	if (i < q->l1_size)
		r = qcow2_l2_offset(q, q->l1[i], (uint32_t)i, &l2, err);
	if (r < 0)
		return r;
	if (l2) {
		r = qcow2_l2_get(q, l2, index, &run.entry, err);
		if (r == 0)
			r = qcow2_entry_kind(q, run.entry, offset, &run.kind, err);
		run.host = run.kind == QCOW2_NORMAL ? run.entry & QCOW2_OFFSET_MASK : 0;
		run.len = q->cluster_len;
		if (r == 0)
			r = extend(q, l2, index, offset - in, max_len + in, &run, err);
		if (r < 0)
			return r;
	} else {
		run.len = qcow2_l2_reach(q) - ((uint64_t)index << q->cluster_bits);
	}
	run.len -= in;
	if (run.host)
		run.host += in;
	if (run.len > max_len)
		run.len = max_len;
	*ret_run = run;
	return 0;
}

/* ---- tables ---- */

void qcow2_l1_dirty(struct qcow2 *q, uint32_t i)
{
	if (q->l1_lo == q->l1_hi) {
		q->l1_lo = i;
		q->l1_hi = i + 1;
	}
	if (i < q->l1_lo)
		q->l1_lo = i;
	if (i >= q->l1_hi)
		q->l1_hi = i + 1;
}

/* A new L2 table with the contents of old, or empty. It is complete in the file before L1 names it.
 */
static int write_l2(struct qcow2 *q, uint64_t at, uint64_t old, struct error *err)
{
	int r = 0;

	if (!old)
		return image_file_zero(q->file, at, q->cluster_len, err);
	for (uint32_t o = 0; o < q->cluster_len && r == 0; o += q->l2_cache.slice_len) {
		uint8_t *slice;

		r = qcow2_cache_get(q, &q->l2_cache, old + o, &slice, err);
		if (r == 0)
			r = image_file_write(q->file, at + o, slice, q->l2_cache.slice_len, err);
	}
	return r;
}

int qcow2_l2_for_write(struct qcow2 *q, uint32_t i, uint64_t *ret_l2, struct error *err)
{
	uint64_t l2, count, first;
	int r = qcow2_l2_offset(q, q->l1[i], i, &l2, err);

	if (r == 0 && l2) {
		r = qcow2_ref_get(q, l2 >> q->cluster_bits, &count, err);
		if (r == 0 && (count == 0 || qcow2_set_find(&q->tables, l2 >> q->cluster_bits) !=
						     QCOW2_T_L2))
			r = qcow2_damaged(q, err,
				"L1 entry %u: the L2 table at %#llx has reference count %llu and "
				"lies where %s was",
				i, (unsigned long long)l2, (unsigned long long)count,
				qcow2_table_words(
					qcow2_set_find(&q->tables, l2 >> q->cluster_bits)));
		if (r == 0 && count == 1 && (q->l1[i] & QCOW2_COPIED)) {
			*ret_l2 = l2;
			return 0;
		}
	}
	if (r == 0)
		r = qcow2_alloc(q, 1, false, QCOW2_T_L2, &first, NULL, err);
	if (r < 0)
		return r;
	qcow2_grown_to(q, (first + 1) << q->cluster_bits);
	r = write_l2(q, first << q->cluster_bits, l2, err);
	if (r < 0) {
		qcow2_unalloc(q, first, 1);
		return r;
	}
	q->l1[i] = first << q->cluster_bits | QCOW2_COPIED;
	qcow2_l1_dirty(q, i);
	if (l2)
		qcow2_free_later(q, l2 >> q->cluster_bits, 1);
	*ret_l2 = first << q->cluster_bits;
	return 0;
}

static int write_l1(struct qcow2 *q, uint64_t offset, uint64_t n, const uint64_t *l1, uint32_t size,
	struct error *err)
{
	int r;

	qcow2_grown_to(q, offset + (n << q->cluster_bits));
	r = image_file_zero(q->file, offset, n << q->cluster_bits, err);
	if (r == 0)
		r = qcow2_write_entries(q, offset, l1, size, err);
	if (r == 0)
		r = qcow2_cache_write(q, &q->ref_cache, err);
	if (r == 0)
		r = image_file_sync(q->file, err);
	return r;
}

int qcow2_l1_replace(struct qcow2 *q, uint64_t *l1, uint32_t size, struct error *err)
{
	uint64_t n = qcow2_clusters(q, (uint64_t)size * 8), first;
	uint64_t old_n = qcow2_clusters(q, (uint64_t)q->l1_size * 8);
	int r = qcow2_alloc(q, n, false, QCOW2_T_L1, &first, NULL, err);

	if (r < 0)
		return r;
	r = write_l1(q, first << q->cluster_bits, n, l1, size, err);
	if (r < 0) {
		qcow2_unalloc(q, first, n);
		return r;
	}
	r = qcow2_header_put_pair(q, QCOW2_AT_L1_SIZE, size, 4, first << q->cluster_bits, err);
	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r < 0)
		return qcow2_give_up(q, r); /* which one the file names is not known */
	if (old_n)
		qcow2_free_later(q, q->l1_offset >> q->cluster_bits, old_n);
	free(q->l1);
	q->l1 = l1;
	q->l1_size = size;
	q->l1_offset = first << q->cluster_bits;
	q->l1_lo = q->l1_hi = 0;
	return 0;
}

int qcow2_l1_grow(struct qcow2 *q, uint64_t end, struct error *err)
{
	unsigned shift = q->l2_bits + q->cluster_bits;
	uint64_t need = (end + qcow2_l2_reach(q) - 1) >> shift, *l1;
	int r;

	if (need <= q->l1_size)
		return 0;
	if (need > QCOW2_L1_MAX / 8)
		return error_set(err, EFBIG, "'%s': the L1 table cannot grow beyond %u bytes",
			q->img->name, QCOW2_L1_MAX);
	l1 = calloc(need, sizeof(*l1));
	if (!l1)
		return error_set(err, ENOMEM, "out of memory for the L1 table");
	if (q->l1_size)
		memcpy(l1, q->l1, q->l1_size * sizeof(*l1));
	r = qcow2_l1_replace(q, l1, (uint32_t)need, err);
	if (r < 0)
		free(l1);
	return r;
}
