/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks. Two channels:
 *
 *	"blk"		devices (side A) ask, blkproxy (side B) answers
 *	"blkseq"	blkproxy (side A) tells replaylog (side B) what is complete; replaylog tells
 *			blkproxy which requests have to fail, as they did when they were recorded
 *
 * The way of a request: devices put it into "blk", with a written one's bytes in the segment
 * "blkout". blkproxy does the I/O, puts the bytes that were read into the segment "blkin", pushes
 * the answer into "blk", and only then says BLKSEQ_DONE. That is the input: replaylog orders it
 * (SEQ_EV_BLOCK), and when devices take the event they find the answer in their ring, or wait for
 * it (a replay may be faster than the I/O). Data reach the guest at that moment and at no other.
 *
 * A request is done at least once: whoever takes over from a blkproxy that died does again what
 * "blkflight" lists, and may answer twice. Ids are never reused, so a second answer, or event, is
 * to one that nobody waits for, and is dropped.
 *
 * Requests of one drive are done in the order of their ids.
 */
#ifndef DEJAVM_BLK_H
#define DEJAVM_BLK_H

#include <stdint.h>
#include "ring.h"

#define BLK_NSLOTS     64
#define BLK_SECTOR     512
#define BLK_DRIVES_MAX 8
#define BLK_BUFS       32			/* buffers, hence requests, in flight */
#define BLK_BUF_LEN    (1024 * 1024)		/* bytes of a buffer: the longest request */
#define BLK_DATA_LEN   (BLK_BUFS * BLK_BUF_LEN) /* bytes of the segments blkout and blkin */

#define BLK_OPS(X)                                                                       \
	X(BLK_READ)    /* len bytes at offset, into buffer buf of blkin */               \
	X(BLK_WRITE)   /* len bytes at offset, out of buffer buf of blkout */            \
	X(BLK_FLUSH)   /* all that was answered before is durable (cache= permitting) */ \
	X(BLK_DISCARD) /* len bytes at offset read as zeros from now on; len may exceed  \
			  BLK_BUF_LEN */

enum blk_op {
#define X(n) n,
	BLK_OPS(X)
#undef X
		BLK_OP_COUNT
};

struct blk_req {
	struct slot_hdr hdr; /* type: enum blk_op */
	uint64_t id;	     /* 1, 2, 3...: of all drives together */
	uint64_t offset;     /* bytes; a multiple of BLK_SECTOR */
	uint64_t len;	     /* bytes; a multiple of BLK_SECTOR; FLUSH: 0 */
	uint32_t drive;	     /* DriveConfig.index */
	uint32_t buf;	     /* 0 .. BLK_BUFS - 1; unused by FLUSH and DISCARD */
};
_Static_assert(sizeof(struct blk_req) <= RING_SLOT_SIZE, "a slot");

struct blk_rep {
	struct slot_hdr hdr; /* type: the request's */
	uint64_t id;
	uint32_t error; /* errno, 0: done. A failed READ brings no bytes */
	uint32_t pad_;
};
_Static_assert(sizeof(struct blk_rep) <= RING_SLOT_SIZE, "a slot");

/* ---- blkproxy and replaylog ---- */

#define BLKSEQ_NSLOTS 256

#define BLKSEQ_MESSAGES(X)                                                                  \
	/* blkproxy -> replaylog */                                                         \
	X(BLKSEQ_DONE) /* id; error, and how many bytes of it a failed WRITE or DISCARD did \
			  all the same: the log keeps both */                               \
	/* replaylog -> blkproxy, before the machine runs */                                \
	X(BLKSEQ_FAIL) /* this request does done bytes, and then fails with error */

enum blkseq_message {
#define X(n) n,
	BLKSEQ_MESSAGES(X)
#undef X
		BLKSEQ_MESSAGE_COUNT
};

struct blkseq_msg {
	struct slot_hdr hdr; /* type: enum blkseq_message */
	uint64_t id;
	uint64_t done; /* bytes */
	uint32_t error;
	uint32_t pad_;
};
_Static_assert(sizeof(struct blkseq_msg) <= RING_SLOT_SIZE, "a slot");

/*
 * Segment "blkflight": what a blkproxy's successor has to know. Owned by the hub, so that it
 * outlives a blkproxy, who is the only one to write it.
 *
 * A row is a request that has been taken out of the ring and not yet been answered to both. It is
 * written before the request's slot is freed, and cleared after BLKSEQ_DONE. In between it says
 *
 *	that the I/O is done, before the drive's next request is begun: a read that is done again
 *	behind a later write would find what it must not
 *	at which places of the rings its two answers are, before the first of them is given: the
 *	buffer is the machine's again by then (a replay does not wait for the second), and whoever
 *	did the request again would destroy what is another's. What lies before a ring's head is
 *	out.
 *
 * The list of BLKSEQ_FAIL is kept here, too: replaylog tells it once.
 */
enum blk_flight_state { BLK_FLIGHT_TODO, BLK_FLIGHT_DONE, BLK_FLIGHT_ANSWERING };

/* What a drive has done so far, in all lives of blkproxy; by enum blk_op. For people. */
struct blk_stats {
	_Atomic uint64_t n[BLK_OP_COUNT], bytes[BLK_OP_COUNT], failed[BLK_OP_COUNT],
		ns[BLK_OP_COUNT];
};

#define BLK_FAILS (1u << 20) /* rows of the hash table; it may be half full */

struct blk_flight {
	struct blk_flight_row {
		_Atomic uint64_t id; /* 0: the row is free; written last */
		struct blk_req rq;
		_Atomic uint32_t state; /* enum blk_flight_state */
		/* BLK_FLIGHT_DONE: what came of it */
		uint32_t error;
		uint64_t done;
		/* BLK_FLIGHT_ANSWERING: ring indices of the answers */
		uint32_t rep_at, seq_at;
	} row[BLK_BUFS];
	struct blk_stats stats[BLK_DRIVES_MAX];
	uint64_t injected[BLK_DRIVES_MAX]; /* bits: errors on purpose that were to come once, and
					      came */
	uint64_t n_fails;
	struct blk_fail {
		uint64_t id; /* 0: free; written last */
		uint64_t done;
		uint32_t error;
		uint32_t pad_;
	} fail[BLK_FAILS];
};

#endif
