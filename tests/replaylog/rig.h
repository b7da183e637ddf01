/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A sequencer in a thread of its own, over real channels, with the test as devices and as hub.
 * Every wait has a deadline, so that a sequencer that hangs is a failure and not a hanging test.
 */
#ifndef DEJAVM_TEST_RIG_H
#define DEJAVM_TEST_RIG_H

#include <pthread.h>
#include "sequencer.h"

#define RIG_EVENTS_MAX 64
#define RIG_KEY(k, v)                    \
	{                                \
		.key = (k), .value = (v) \
	}

struct rig_event {
	struct seq_rep rep;
	uint8_t data[SEQ_CHAR_MAX];
	uint32_t len;
};

struct rig {
	struct chan dev, seq;  /* devices' side and the sequencer's */
	struct chan hub, host; /* the hub's side and the sequencer's */
	struct machine_page *machine;
	struct logtail *tail;
	struct sequencer s;
	pthread_t thread;
	bool running, opened;
	_Atomic bool ended; /* the loop has returned */
	int wake_fd;
	int fds[4], bells[3];
	/* of the last request */
	struct rig_event ev[RIG_EVENTS_MAX];
	int n_ev;
	struct seq_rep done;
};

/* Starts a sequencer; conf says mode, flags, config and log_fd. False: it refused to begin, and
 * r->s.result says why. */
bool rig_start(struct rig *r, struct sequencer_conf conf);
/* Sends a request. */
void rig_send(struct rig *r, struct seq_req rq, const void *data, uint32_t len);
/* Waits for DONE, collecting events. False: the run has ended instead. */
bool rig_wait(struct rig *r);
/* rig_send and rig_wait; type, icount and now as given; the mark, where there is one, is made of
 * icount. */
bool rig_request(struct rig *r, struct seq_req rq, const void *data, uint32_t len);
void rig_mark(uint32_t mark[CPU_MARK_COUNT], uint64_t icount);
bool rig_take(struct rig *r, uint64_t icount, uint64_t now);
bool rig_halt(struct rig *r, uint64_t icount, uint64_t now, uint64_t deadline);
void rig_output(struct rig *r, uint64_t icount, uint32_t stream, const char *text);
/* A digest of one register, "eip". */
bool rig_digest(struct rig *r, uint64_t icount, uint64_t now, uint64_t eip);
bool rig_shutdown(struct rig *r, uint64_t icount, uint64_t now, uint32_t cause);
/* As the hub. */
void rig_input(struct rig *r, struct hostio_msg m, const void *data, uint32_t len);
void rig_type(struct rig *r, uint32_t stream, const char *text);
/* Waits until the sequencer has queued what the hub sent. */
void rig_settle(struct rig *r);
/* Waits for the run to be over (at most 5 s) and returns the result. Frees the rig. */
struct sequencer_result rig_finish(struct rig *r);

#endif
