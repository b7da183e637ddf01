/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only way to the drives (proto/blk.h): requests, and their answers whenever the machine wants
 * them. An answer may come long before that, or, in a replay that is faster than the disks, after.
 */
#ifndef DEJAVM_BLK_CLIENT_H
#define DEJAVM_BLK_CLIENT_H

#include "blk.h"
#include "error.h"
#include "peer.h"

struct blk_client {
	struct peer peer;
	const uint8_t *in; /* segment blkin, BLK_DATA_LEN bytes */
	/* by buffer */
	struct {
		uint64_t id; /* 0: none was sent */
		uint32_t error;
		bool answered;
	} row[BLK_BUFS];
	uint64_t n_dropped; /* answers that nobody waited for */
};

/* chan and in stay the caller's. */
void blk_client_init(
	struct blk_client *c, struct chan *chan, const uint8_t *in, struct machine_page *page);
/* Sends a request. 0 or -errno with *err; any failure is the end: blkproxy is mad. */
int blk_client_submit(struct blk_client *c, const struct blk_req *rq, struct error *err);
/* A snapshot is loaded, and blkproxy has answered all: nothing is in flight. */
int blk_client_reset(struct blk_client *c, struct error *err);
/*
 * Waits for the answer to a request that was sent: its errno, or 0, in *ret_error; *ret_data: what
 * was read, valid until the next request with this buffer. 0 or -errno with *err.
 */
int blk_client_wait(struct blk_client *c, const struct blk_req *rq, uint32_t *ret_error,
	const uint8_t **ret_data, struct error *err);

#endif
