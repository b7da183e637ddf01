/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reference counts of a qcow2 image: how many L1 tables reach a cluster (1: it may be written in
 * place, 0: it is free). Two levels: a table of blocks; a count has 1 to 64 bits, below 8 from the
 * low end of a byte, above in big-endian order.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>

uint64_t qcow2_count_get(const uint8_t *p, unsigned order, uint64_t i)
{
	uint64_t v = 0;

	if (order < 3) {
		unsigned bits = 1u << order, per = 8u >> order;

		return p[i / per] >> (i % per * bits) & ((1u << bits) - 1);
	}
	for (unsigned n = 1u << (order - 3), b = 0; b < n; b++)
		v = v << 8 | p[i * n + b];
	return v;
}

void qcow2_count_put(uint8_t *p, unsigned order, uint64_t i, uint64_t v)
{
	if (order < 3) {
		unsigned bits = 1u << order, per = 8u >> order, shift = (unsigned)(i % per) * bits;

		p[i / per] = (uint8_t)((p[i / per] & ~(((1u << bits) - 1) << shift)) | v << shift);
		return;
	}
	for (unsigned n = 1u << (order - 3), b = n; b-- > 0; v >>= 8)
		p[i * n + b] = (uint8_t)v;
}

uint64_t qcow2_ref_max(const struct qcow2 *q)
{
	return q->refcount_order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << q->refcount_order)) - 1;
}

/* The slice with a cluster's count, and the count's place in it. *ret_slice is NULL where no block
 * is. */
static int find_count(
	struct qcow2 *q, uint64_t cluster, uint8_t **ret_slice, uint64_t *ret_i, struct error *err)
{
	uint64_t block = cluster >> q->block_bits;
	uint64_t i = cluster & ((UINT64_C(1) << q->block_bits) - 1);
	uint64_t per_slice = ((uint64_t)q->ref_cache.slice_len * 8) >> q->refcount_order;

	if (block >= q->reft_size || !q->reft[block]) {
		*ret_slice = NULL;
		return 0;
	}
	*ret_i = i % per_slice;
	return qcow2_cache_get(q, &q->ref_cache,
		q->reft[block] + i / per_slice * q->ref_cache.slice_len, ret_slice, err);
}

int qcow2_ref_get(struct qcow2 *q, uint64_t cluster, uint64_t *ret_count, struct error *err)
{
	uint8_t *slice;
	uint64_t i = 0;
	int r = find_count(q, cluster, &slice, &i, err);

	if (r == 0)
		*ret_count = slice ? qcow2_count_get(slice, q->refcount_order, i) : 0;
	return r;
}

int qcow2_ref_set(struct qcow2 *q, uint64_t cluster, uint64_t count, struct error *err)
{
	uint8_t *slice;
	uint64_t i = 0;
	int r = find_count(q, cluster, &slice, &i, err);

	if (r < 0)
		return r;
	if (!slice)
		return qcow2_damaged(q, err, "no reference count block counts cluster %llu",
			(unsigned long long)cluster);
	qcow2_count_put(slice, q->refcount_order, i, count);
	qcow2_cache_dirty(&q->ref_cache, slice);
	return 0;
}

int qcow2_ref_inc(struct qcow2 *q, uint64_t cluster, struct error *err)
{
	uint64_t count;
	int r = qcow2_ref_get(q, cluster, &count, err);

	if (r < 0)
		return r;
	if (count == 0)
		return qcow2_damaged(q, err, "cluster %llu is in use, but its reference count is 0",
			(unsigned long long)cluster);
	if (count == qcow2_ref_max(q))
		return error_set(err, ENOSPC,
			"'%s': a cluster cannot have more than %llu references with reference "
			"counts of %u bits",
			q->img->name, (unsigned long long)count, 1u << q->refcount_order);
	return qcow2_ref_set(q, cluster, count + 1, err);
}

int qcow2_ref_dec(struct qcow2 *q, uint64_t cluster, bool *ret_gone, struct error *err)
{
	uint64_t count;
	int r = qcow2_ref_get(q, cluster, &count, err);

	if (r < 0)
		return r;
	if (count == 0)
		return qcow2_damaged(q, err,
			"cluster %llu was in use, but its reference count is 0",
			(unsigned long long)cluster);
	r = qcow2_ref_set(q, cluster, count - 1, err);
	if (r < 0)
		return r;
	if (count == 1) {
		if (qcow2_set_find(&q->tables, cluster) != QCOW2_T_NONE) {
			qcow2_set_remove(&q->tables, cluster);
			qcow2_cache_drop(&q->l2_cache, cluster << q->cluster_bits, q->cluster_len);
		}
		if (cluster < q->free_hint)
			q->free_hint = cluster;
	}
	if (ret_gone)
		*ret_gone = count == 1;
	return 0;
}

/* ---- references that go when the tables have been written ---- */

void qcow2_free_later(struct qcow2 *q, uint64_t first, uint64_t n)
{
	struct qcow2_frees *f = &q->frees;
	struct qcow2_free *last = f->n ? &f->list[f->n - 1] : NULL;

	/* Not when it would hide that a cluster is there twice. */
	if (last && last->first + last->n == first) {
		last->n += n;
		return;
	}
	if (f->n == f->size) {
		size_t size = f->size ? f->size * 2 : 64;
		struct qcow2_free *list = realloc(f->list, size * sizeof(*list));

		/* Without memory the clusters are lost until a repair, which is all that happens.
		 */
		if (!list)
			return;
		f->list = list;
		f->size = size;
	}
	f->list[f->n++] = (struct qcow2_free){ first, n };
}

void qcow2_free_entry_later(struct qcow2 *q, uint64_t entry)
{
	uint64_t offset, len, first;

	if (entry & QCOW2_PACKED) {
		qcow2_zip_where(q, entry, &offset, &len);
		first = offset >> q->cluster_bits;
		qcow2_free_later(q, first, ((offset + len - 1) >> q->cluster_bits) - first + 1);
	} else if (entry & QCOW2_OFFSET_MASK) {
		qcow2_free_later(q, (entry & QCOW2_OFFSET_MASK) >> q->cluster_bits, 1);
	}
}

static void give_back(struct qcow2 *q, uint64_t first, uint64_t n)
{
	/* Only a saving: if it fails, nothing is lost. */
	if (n)
		image_file_punch(q->file, first << q->cluster_bits, n << q->cluster_bits);
}

int qcow2_frees_run(struct qcow2 *q, struct error *err)
{
	struct qcow2_frees f = q->frees;
	int r = 0;

	q->frees = (struct qcow2_frees){ 0 };
	for (size_t i = 0; i < f.n && r == 0; i++) {
		uint64_t gone_first = 0, gone_n = 0;

		for (uint64_t c = f.list[i].first; c < f.list[i].first + f.list[i].n; c++) {
			bool gone;

			r = qcow2_ref_dec(q, c, &gone, err);
			if (r < 0)
				break;
			if (gone && gone_n && gone_first + gone_n == c) {
				gone_n++;
			} else if (gone) {
				give_back(q, gone_first, gone_n);
				gone_first = c;
				gone_n = 1;
			}
		}
		give_back(q, gone_first, gone_n);
	}
	free(f.list);
	return r;
}
