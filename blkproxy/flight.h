/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What outlives us in the segment "blkflight": requests in flight, and those that have to fail. */
#ifndef DEJAVM_BLKPROXY_FLIGHT_H
#define DEJAVM_BLKPROXY_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "blk.h"

/* A row for the request, or -1: all are taken. */
int flight_add(struct blk_flight *f, const struct blk_req *rq);
void flight_clear(struct blk_flight *f, unsigned row);
bool flight_has(struct blk_flight *f, uint64_t id);
/* The I/O of the row is done. Before the drive's next request; any thread. */
void flight_done(struct blk_flight *f, unsigned row, uint32_t error, uint64_t done);
/* Its answers will be at these places. */
void flight_answering(struct blk_flight *f, unsigned row, uint32_t rep_at, uint32_t seq_at);
/* Rows in use, by id; returns how many. */
unsigned flight_rows(struct blk_flight *f, unsigned rows[BLK_BUFS]);

/* The request will have to fail. False: there is no more room. Twice is once. */
bool flight_add_fail(struct blk_flight *f, uint64_t id, uint64_t done, uint32_t error);
const struct blk_fail *flight_find_fail(const struct blk_flight *f, uint64_t id);

#endif
