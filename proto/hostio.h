/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hub (side A) and replaylog (side B): inputs on their way to become events, and the guest's output
 * on its way out. An output record is sent only after every input that came before it is in the
 * log.
 */
#ifndef DEJAVM_HOSTIO_H
#define DEJAVM_HOSTIO_H

#include <stdint.h>
#include "ring.h"

#define HOSTIO_NSLOTS	 1024
#define HOSTIO_ARENA_LEN (1024 * 1024)

#define HOSTIO_MESSAGES(X)                                                                        \
	/* hub -> replaylog */                                                                    \
	X(HOSTIO_INPUT) /* an input: event: enum seq_event, dev, a, b; data: bytes of SEQ_EV_CHAR \
			 */                                                                       \
	X(HOSTIO_PAUSE) /* value: 1 freeze virtual time while halted, 0 thaw */                   \
	/* replaylog -> hub */                                                                    \
	X(HOSTIO_OUTPUT)   /* dev: stream; data */                                                \
	X(HOSTIO_CREDIT)   /* dev: stream; value: bytes of input that may be sent in addition */  \
	X(HOSTIO_RESTORED) /* a snapshot was loaded: no credit holds; what comes next is the      \
			      restored machine's */

enum hostio_message {
#define X(n) n,
	HOSTIO_MESSAGES(X)
#undef X
		HOSTIO_MESSAGE_COUNT
};

struct hostio_msg {
	struct slot_hdr hdr; /* type: enum hostio_message */
	uint64_t value;
	int64_t b;
	uint32_t event;
	uint32_t dev;
	uint32_t a;
	uint32_t pad_;
};
_Static_assert(sizeof(struct hostio_msg) <= RING_SLOT_SIZE, "a slot");

#endif
