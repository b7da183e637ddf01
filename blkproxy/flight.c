/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows of the segment "blkflight" (see flight.h). We may be killed between any two stores: each row
 * becomes valid with the last of them.
 */
#include "flight.h"

#include <stddef.h>
#include <string.h>

#include "atomic.h"

int flight_add(struct blk_flight *f, const struct blk_req *rq)
{
	for (unsigned i = 0; i < BLK_BUFS; i++) {
		struct blk_flight_row *row = &f->row[i];

		if (atomic_read(&row->id))
			continue;
		row->rq = *rq;
		atomic_set(&row->state, BLK_FLIGHT_TODO);
		atomic_store_release(&row->id, rq->id);
		return (int)i;
	}
	return -1;
}

void flight_clear(struct blk_flight *f, unsigned row)
{
	atomic_store_release(&f->row[row].id, 0);
}

bool flight_has(struct blk_flight *f, uint64_t id)
{
	for (unsigned i = 0; i < BLK_BUFS && id; i++)
		if (atomic_read(&f->row[i].id) == id)
			return true;
	return false;
}

void flight_done(struct blk_flight *f, unsigned row, uint32_t error, uint64_t done)
{
	struct blk_flight_row *r = &f->row[row];

	r->error = error;
	r->done = done;
	atomic_store_release(&r->state, BLK_FLIGHT_DONE);
}

void flight_answering(struct blk_flight *f, unsigned row, uint32_t rep_at, uint32_t seq_at)
{
	struct blk_flight_row *r = &f->row[row];

	r->rep_at = rep_at;
	r->seq_at = seq_at;
	atomic_store_release(&r->state, BLK_FLIGHT_ANSWERING);
}

unsigned flight_rows(struct blk_flight *f, unsigned rows[BLK_BUFS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < BLK_BUFS; i++) {
		uint64_t id = atomic_load_acquire(&f->row[i].id);
		unsigned at = n;

		if (!id)
			continue;
		for (; at > 0 && atomic_read(&f->row[rows[at - 1]].id) > id; at--)
			rows[at] = rows[at - 1];
		rows[at] = i;
		n++;
	}
	return n;
}

/* ---- the list of requests that fail ---- */

static uint32_t fail_slot(uint64_t id)
{
	return (uint32_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) % BLK_FAILS;
}

bool flight_add_fail(struct blk_flight *f, uint64_t id, uint64_t done, uint32_t error)
{
	uint32_t i = fail_slot(id);

	for (; f->fail[i].id && f->fail[i].id != id; i = (i + 1) % BLK_FAILS)
		;
	if (f->fail[i].id == id)
		return true;
	if (f->n_fails >= BLK_FAILS / 2)
		return false;
	f->n_fails++;
	f->fail[i].done = done;
	f->fail[i].error = error;
	smp_wmb();
	f->fail[i].id = id;
	return true;
}

const struct blk_fail *flight_find_fail(const struct blk_flight *f, uint64_t id)
{
	uint32_t i = fail_slot(id);

	if (!f->n_fails)
		return NULL;
	for (; f->fail[i].id; i = (i + 1) % BLK_FAILS)
		if (f->fail[i].id == id)
			return &f->fail[i];
	return NULL;
}
