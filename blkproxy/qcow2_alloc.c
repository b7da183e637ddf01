/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding free clusters. Where no reference count block counts a part of the file yet, that part is
 * free; to take clusters there, blocks must come first, and maybe a longer table of blocks. They
 * are put right behind the clusters that were wanted, so the search is for a run that is long
 * enough for all of it.
 *
 * Nothing in the file refers to what was taken until the caller writes the reference, so an
 * interruption leaves clusters that nobody uses.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No entry can hold a larger offset. */
#define OFFSET_END (UINT64_C(1) << 56)

static bool has_block(const struct qcow2 *q, uint64_t block)
{
	return block < q->reft_size && q->reft[block];
}

/* The first run of n free clusters at from or later; with some, the first run at all, up to n long.
 * *ret_free: the first free cluster that was met. */
static int find_run(struct qcow2 *q, uint64_t from, uint64_t n, bool some, uint64_t *ret_first,
	uint64_t *ret_n, uint64_t *ret_free, struct error *err)
{
	uint64_t c = from, run = 0, first = from;

	*ret_free = UINT64_MAX;
	while (run < n) {
		uint64_t block = c >> q->block_bits, count = 0, step = 1;

		if ((c + n) >= OFFSET_END >> q->cluster_bits)
			return error_set(
				err, EFBIG, "'%s': the image cannot grow any more", q->img->name);
		if (!has_block(q, block)) {
			step = ((block + 1) << q->block_bits) - c;
			if (step > n - run)
				step = n - run;
		} else {
			int r = qcow2_ref_get(q, c, &count, err);

			if (r < 0)
				return r;
		}
		if (count == 0) {
			if (run == 0)
				first = c;
			if (*ret_free == UINT64_MAX)
				*ret_free = c;
			run += step;
		} else {
			if (some && run)
				break;
			run = 0;
		}
		c += step;
	}
	*ret_first = first;
	*ret_n = run;
	return 0;
}

/* What has to be taken beside the clusters themselves. */
struct extra {
	uint64_t n_blocks;
	uint64_t reft_size; /* entries of the longer table, 0: the present one will do */
	uint64_t reft_clusters;
};

static void find_extra(const struct qcow2 *q, uint64_t first, uint64_t n, struct extra *x)
{
	uint64_t last = (first + n - 1) >> q->block_bits;
	uint64_t per = q->cluster_len / 8;

	*x = (struct extra){ 0 };
	for (uint64_t b = first >> q->block_bits; b <= last; b++)
		x->n_blocks += !has_block(q, b);
	if (last >= q->reft_size) {
		uint64_t want = last + 1 + (last + 1) / 2;

		x->reft_clusters = (want + per - 1) / per;
		x->reft_size = x->reft_clusters * per;
	}
}

static int add_tables(
	struct qcow2 *q, uint64_t first, uint64_t n, enum qcow2_table what, struct error *err)
{
	for (uint64_t c = first; c < first + n; c++)
		if (qcow2_set_add(&q->tables, c, what) < 0)
			return error_set(err, ENOMEM, "out of memory");
	return 0;
}

static int all_one(struct qcow2 *q, uint64_t first, uint64_t n, struct error *err)
{
	for (uint64_t c = first; c < first + n; c++) {
		int r = qcow2_ref_set(q, c, 1, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The longer table, all of it, then the header. */
static int move_reft(struct qcow2 *q, uint64_t first, const struct extra *x, struct error *err)
{
	uint64_t offset = first << q->cluster_bits;
	int r = qcow2_write_entries(q, offset, q->reft, q->reft_size, err);

	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r == 0)
		r = qcow2_header_put_pair(
			q, QCOW2_AT_REFT_OFFSET, offset, 8, x->reft_clusters, err);
	if (r == 0)
		r = image_file_sync(q->file, err);
	if (r < 0)
		return r;
	qcow2_free_later(q, q->reft_offset >> q->cluster_bits, q->reft_clusters);
	q->reft_offset = offset;
	q->reft_clusters = (uint32_t)x->reft_clusters;
	return 0;
}

static int write_blocks(struct qcow2 *q, uint64_t first, uint64_t n, const struct extra *x,
	const bool *is_new, struct error *err)
{
	uint64_t last = (first + n - 1) >> q->block_bits;
	int r = qcow2_cache_write(q, &q->ref_cache, err);

	if (r == 0 && !q->through)
		r = image_file_sync(q->file, err);
	if (r == 0 && x->reft_size)
		return move_reft(q, first + n - x->reft_clusters, x, err);
	for (uint64_t b = first >> q->block_bits; b <= last && r == 0; b++)
		if (is_new[b - (first >> q->block_bits)])
			r = qcow2_write_entries(q, q->reft_offset + b * 8, &q->reft[b], 1, err);
	return r;
}

/* Counts 1 for the n clusters from first on, of which the last ones are what x says. */
static int install(
	struct qcow2 *q, uint64_t first, uint64_t n, const struct extra *x, struct error *err)
{
	uint64_t b0 = first >> q->block_bits, last = (first + n - 1) >> q->block_bits;
	uint64_t at = first + n - x->n_blocks - x->reft_clusters, next = at;
	uint64_t *reft = NULL;
	bool *is_new = calloc(last - b0 + 1, sizeof(*is_new));
	int r = 0;

	if (x->reft_size)
		reft = calloc(x->reft_size, sizeof(*reft));
	if (!is_new || (x->reft_size && !reft))
		r = error_set(err, ENOMEM, "out of memory for reference counts");
	/* So that running out of space happens here, where nothing has changed. */
	if (r == 0)
		qcow2_grown_to(q, (first + n) << q->cluster_bits);
	if (r == 0)
		r = image_file_zero(q->file, at << q->cluster_bits,
			(x->n_blocks + x->reft_clusters) << q->cluster_bits, err);
	if (r == 0)
		r = add_tables(q, at, x->n_blocks, QCOW2_T_REFBLOCK, err);
	if (r == 0)
		r = add_tables(q, at + x->n_blocks, x->reft_clusters, QCOW2_T_REFT, err);
	if (r < 0) {
		free(reft);
		free(is_new);
		return r;
	}
	if (reft) {
		memcpy(reft, q->reft, q->reft_size * sizeof(*reft));
		free(q->reft);
		q->reft = reft;
		q->reft_size = (uint32_t)x->reft_size;
	}
	for (uint64_t b = b0; b <= last; b++)
		if (!q->reft[b]) {
			is_new[b - b0] = true;
			q->reft[b] = next++ << q->cluster_bits;
		}
	r = all_one(q, first, n, err);
	if (r == 0)
		r = write_blocks(q, first, n, x, is_new, err);
	free(is_new);
	return r < 0 ? qcow2_give_up(q, r) : 0;
}

static int check_free(struct qcow2 *q, uint64_t first, uint64_t n, struct error *err)
{
	for (uint64_t c = first; c < first + n; c++) {
		enum qcow2_table t = qcow2_set_find(&q->tables, c);

		if (t != QCOW2_T_NONE)
			return qcow2_damaged(q, err,
				"cluster %llu holds %s, but its reference count is 0",
				(unsigned long long)c, qcow2_table_words(t));
	}
	return 0;
}

int qcow2_alloc(struct qcow2 *q, uint64_t n, bool some, enum qcow2_table table, uint64_t *ret_first,
	uint64_t *ret_n, struct error *err)
{
	uint64_t first, need, got, lowest, from = q->free_hint;
	struct extra x;
	int r;

	if (some) {
		r = find_run(q, from, n, true, &from, &n, &lowest, err);
		if (r < 0)
			return r;
	}
	for (need = n;; need = n + x.n_blocks + x.reft_clusters) {
		r = find_run(q, from, need, false, &first, &got, &lowest, err);
		if (r < 0)
			return r;
		find_extra(q, first, need, &x);
		if (x.reft_size * 8 > QCOW2_REFT_MAX)
			return error_set(err, EFBIG,
				"'%s': the reference count table cannot grow beyond %u bytes",
				q->img->name, QCOW2_REFT_MAX);
		if (n + x.n_blocks + x.reft_clusters <= need)
			break;
	}
	/* It may have become less since the length was fixed; then the run is too long. */
	while (n + x.n_blocks + x.reft_clusters < need) {
		need = n + x.n_blocks + x.reft_clusters;
		find_extra(q, first, need, &x);
	}
	r = check_free(q, first, need, err);
	if (r == 0)
		r = x.n_blocks + x.reft_clusters ? install(q, first, need, &x, err)
						 : all_one(q, first, n, err);
	if (r == 0 && table != QCOW2_T_NONE)
		r = add_tables(q, first, n, table, err);
	if (r < 0)
		return r;
	if (lowest == first)
		q->free_hint = first + n;
	else if (lowest > q->free_hint && !some)
		q->free_hint = lowest;
	*ret_first = first;
	if (ret_n)
		*ret_n = n;
	return 0;
}

void qcow2_unalloc(struct qcow2 *q, uint64_t first, uint64_t n)
{
	for (uint64_t c = first; c < first + n; c++)
		if (q->broken || qcow2_ref_dec(q, c, NULL, NULL) < 0)
			return; /* lost until a repair, no worse */
}

int qcow2_refs_cover(struct qcow2 *q, uint64_t first, uint64_t n, struct error *err)
{
	uint64_t last = (first + n - 1) >> q->block_bits, at;
	int r = 0;

	for (uint64_t b = first >> q->block_bits; b <= last && r == 0; b++) {
		if (has_block(q, b))
			continue;
		r = qcow2_alloc(q, 1, false, QCOW2_T_REFBLOCK, &at, NULL, err);
		if (r < 0)
			return r;
		if (has_block(q, b)) {
			/* It came with the room for itself. */
			qcow2_unalloc(q, at, 1);
			continue;
		}
		r = image_file_zero(q->file, at << q->cluster_bits, q->cluster_len, err);
		if (r == 0)
			r = qcow2_cache_write(q, &q->ref_cache, err);
		if (r == 0)
			r = image_file_sync(q->file, err);
		if (r == 0) {
			qcow2_grown_to(q, (at + 1) << q->cluster_bits);
			q->reft[b] = at << q->cluster_bits;
			r = qcow2_write_entries(q, q->reft_offset + b * 8, &q->reft[b], 1, err);
		}
	}
	return r;
}
