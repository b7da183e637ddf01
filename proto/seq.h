/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * devices (side A) and replaylog, the sequencer (side B). Every request but
 * SEQ_OUTPUT and SEQ_CREDIT is answered by zero or more SEQ_EVENT slots and one SEQ_DONE.
 * Events are applied by devices in the order in which they come, at the icount of the request.
 */
#ifndef DEJAVM_SEQ_H
#define DEJAVM_SEQ_H

#include <stdint.h>
#include "ring.h"
#include "segments.h"

#define SEQ_NSLOTS    256
#define SEQ_ARENA_LEN (1024 * 1024)
#define SEQ_NEVER     UINT64_MAX
#define SEQ_CHAR_MAX  4096 /* bytes of one CHAR_READ event or one output record */

#define SEQ_MESSAGES(X)                                                                          \
	/* devices -> replaylog */                                                               \
	X(SEQ_INIT)	/* first: icount 0. DONE.next_icount */                                  \
	X(SEQ_TAKE)	/* at a checkpoint: what is queued? data: u32 mark[CPU_MARK_COUNT] */    \
	X(SEQ_HALT)	/* halted: wait for the deadline or an input. data: mark */              \
	X(SEQ_CLOCK)	/* arg: enum seq_clock. DONE.value */                                    \
	X(SEQ_DIGEST)	/* data: digest items (proto/digest.h) */                                \
	X(SEQ_SHUTDOWN) /* arg: enum shutdown_cause; after the final SEQ_DIGEST */               \
	X(SEQ_RESUME)	/* a snapshot was loaded: icount and now_ns are its. DONE.next_icount */ \
	X(SEQ_OUTPUT)	/* arg: stream; data: bytes that the guest sent. No answer */            \
	X(SEQ_CREDIT)	/* arg: stream; value: bytes of input that may be sent in addition. No   \
			   answer */                                                             \
	/* replaylog -> devices */                                                               \
	X(SEQ_EVENT) /* arg: enum seq_event */                                                   \
	X(SEQ_DONE)

enum seq_message {
#define X(n) n,
	SEQ_MESSAGES(X)
#undef X
		SEQ_MESSAGE_COUNT
};

#define SEQ_EVENTS(X)                                                                 \
	X(SEQ_EV_CHAR) /* dev: stream; data: bytes read */                            \
	X(SEQ_EV_KEY)  /* a: Linux key code (evdev), b: 1 down 0 up */                \
	X(SEQ_EV_REL)  /* a: axis 0 x, 1 y, 2 wheel; b: delta, signed */              \
	X(SEQ_EV_BTN)  /* a: button 0 left 1 right 2 middle; b: 1 down */             \
	X(SEQ_EV_INPUT_SYNC)                                                          \
	X(SEQ_EV_SHUTDOWN)  /* a: enum shutdown_cause; ends the run at this icount */ \
	X(SEQ_EV_RESET)	    /* system_reset */                                        \
	X(SEQ_EV_POWERDOWN) /* system_powerdown: press the power button */            \
	X(SEQ_EV_NMI)                                                                 \
	X(SEQ_EV_BREAK) /* a: stream; serial break */                                 \
	X(SEQ_EV_BLOCK) /* b: id of the block request that is complete (proto/blk.h) */

enum seq_event {
#define X(n) n,
	SEQ_EVENTS(X)
#undef X
		SEQ_EVENT_COUNT
};

enum seq_clock { SEQ_CLOCK_HOST, SEQ_CLOCK_VIRTUAL_RT };

/* The causes and their order are the log's (event ids 4..11). */
#define SHUTDOWN_CAUSES(X)                  \
	X(NONE, "none")                     \
	X(HOST_ERROR, "host-error")         \
	X(HOST_QMP, "host-qmp")             \
	X(HOST_SIGNAL, "host-signal")       \
	X(HOST_UI, "host-ui")               \
	X(GUEST_SHUTDOWN, "guest-shutdown") \
	X(GUEST_RESET, "guest-reset")       \
	X(GUEST_PANIC, "guest-panic")

enum shutdown_cause {
#define X(n, s) SHUTDOWN_##n,
	SHUTDOWN_CAUSES(X)
#undef X
		SHUTDOWN_COUNT
};

struct seq_req {
	struct slot_hdr hdr; /* type: enum seq_message */
	uint64_t icount;
	uint64_t now_ns;      /* virtual time */
	uint64_t deadline_ns; /* HALT: nearest deadline in virtual ns, SEQ_NEVER if none */
	uint64_t value;	      /* SHUTDOWN: isa-debug-exit's exit status + 1, or 0 */
	uint32_t arg;
	uint32_t pad_;
};
_Static_assert(sizeof(struct seq_req) <= RING_SLOT_SIZE, "a slot");

/*
 * DONE.a: a HALT at an icount more than one below next_icount ends at its deadline: it need not be
 * asked. Devices ask all the same when it has no deadline, when input_pending is set, and one time
 * in SEQ_HALTS_ASK, so that a machine which sleeps for ever is noticed.
 */
#define SEQ_HALTS_FREE 1
#define SEQ_HALTS_ASK  1024

struct seq_rep {
	struct slot_hdr hdr;  /* type: SEQ_EVENT or SEQ_DONE; data: bytes of SEQ_EV_CHAR */
	uint64_t next_icount; /* DONE: where the next event of the log lies; SEQ_NEVER when
				 recording */
	uint64_t value;	      /* DONE: CLOCK: ns. HALT: virtual time to go on at, now_ns <= value <=
				 deadline_ns */
	int64_t b;
	uint32_t arg; /* EVENT: enum seq_event */
	uint32_t a;
	uint32_t dev;
	uint32_t pad_;
};
_Static_assert(sizeof(struct seq_rep) <= RING_SLOT_SIZE, "a slot");

#endif
