/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slices of L2 tables and of reference count blocks, kept as they are in the file. A slice is what
 * is read and written at once: a table as large as a cluster (up to 2 MiB) would be far too much
 * for one changed entry.
 *
 * Eight ways, the least recently used one goes. A slice that is dirty goes last, because with it
 * all tables have to be written in their order.
 */
#include "qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int qcow2_cache_init(struct qcow2_cache *c, uint32_t n_slots, uint32_t slice_len)
{
	c->n_slots = n_slots;
	c->slice_len = slice_len;
	c->data = calloc(n_slots, slice_len);
	c->slot = calloc(n_slots, sizeof(*c->slot));
	c->dirty = calloc(n_slots, sizeof(*c->dirty));
	return c->data && c->slot && c->dirty ? 0 : -ENOMEM;
}

void qcow2_cache_done(struct qcow2_cache *c)
{
	free(c->data);
	free(c->slot);
	free(c->dirty);
	*c = (struct qcow2_cache){ 0 };
}

static uint32_t first_way(const struct qcow2_cache *c, uint64_t offset)
{
	uint64_t h = (offset / c->slice_len) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)((h >> 32) % (c->n_slots / QCOW2_WAYS)) * QCOW2_WAYS;
}

static uint8_t *slice_of(const struct qcow2_cache *c, uint32_t i)
{
	return c->data + (size_t)i * c->slice_len;
}

static bool find(struct qcow2_cache *c, uint64_t offset, uint32_t *ret_i)
{
	uint32_t first = first_way(c, offset);

	for (uint32_t i = first; i < first + QCOW2_WAYS; i++)
		if (c->slot[i].offset == offset) {
			*ret_i = i;
			return true;
		}
	return false;
}

static bool find_victim(struct qcow2_cache *c, uint64_t offset, uint32_t *ret_i)
{
	uint32_t first = first_way(c, offset), best = UINT32_MAX;

	for (uint32_t i = first; i < first + QCOW2_WAYS; i++)
		if (!c->slot[i].dirty &&
			(best == UINT32_MAX || c->slot[i].stamp < c->slot[best].stamp))
			best = i;
	*ret_i = best;
	return best != UINT32_MAX;
}

int qcow2_cache_get(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, uint8_t **ret_slice,
	struct error *err)
{
	uint32_t i;
	int r;

	if (!find(c, offset, &i)) {
		if (!find_victim(c, offset, &i)) {
			/* Counts may always be written: they are raised before, and lowered after,
			 * what they count has been written. */
			r = c == &q->ref_cache ? qcow2_cache_write(q, c, err)
					       : qcow2_tables_write(q, err);
			if (r < 0)
				return r;
			if (!find_victim(c, offset, &i))
				return error_set(
					err, EIO, "'%s': no room for tables", q->img->name);
		}
		c->slot[i] = (struct qcow2_slot){ 0 };
		r = image_file_read(q->file, offset, slice_of(c, i), c->slice_len, err);
		if (r < 0)
			return r;
		c->slot[i].offset = offset;
	}
	c->slot[i].stamp = ++c->clock;
	*ret_slice = slice_of(c, i);
	return 0;
}

void qcow2_cache_dirty(struct qcow2_cache *c, const uint8_t *slice)
{
	uint32_t i = (uint32_t)((size_t)(slice - c->data) / c->slice_len);

	if (c->slot[i].dirty)
		return;
	c->slot[i].dirty = true;
	c->dirty[c->n_dirty++] = i;
}

int qcow2_cache_write(struct qcow2 *q, struct qcow2_cache *c, struct error *err)
{
	while (c->n_dirty) {
		uint32_t i = c->dirty[c->n_dirty - 1];
		int r = image_file_write(
			q->file, c->slot[i].offset, slice_of(c, i), c->slice_len, err);

		if (r < 0)
			return r;
		c->slot[i].dirty = false;
		c->n_dirty--;
	}
	return 0;
}

void qcow2_cache_drop(struct qcow2_cache *c, uint64_t offset, uint64_t len)
{
	for (uint64_t o = offset; o < offset + len; o += c->slice_len) {
		uint32_t i;

		if (!find(c, o, &i))
			continue;
		for (uint32_t d = 0; c->slot[i].dirty && d < c->n_dirty; d++)
			if (c->dirty[d] == i) {
				c->dirty[d] = c->dirty[--c->n_dirty];
				break;
			}
		c->slot[i] = (struct qcow2_slot){ 0 };
	}
}
