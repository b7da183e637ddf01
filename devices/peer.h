/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that devices ask over a ring and wait for. Waits go in steps, and a long one is
 * reported once; that is all that their length does: a peer that was stopped by a signal comes
 * back, and if it is dead the control socket tells.
 *
 *	for (int steps = 0;;) {
 *		r = peer_wait(p, rq, &steps, &err);
 *		if (r != -EAGAIN)
 *			return r;
 *	}
 */
#ifndef DEJAVM_PEER_H
#define DEJAVM_PEER_H

#include "error.h"
#include "ring.h"
#include "segments.h"

#define PEER_REQUEST_LEN 120

struct peer {
	struct chan *chan;
	const struct machine_page *page; /* run state, for messages; NULL: it always runs */
	const char *what;		 /* "disks", for messages */
	const char *process;		 /* "blkproxy" */
	/* A request in words. False: it may take as long as it likes. */
	bool (*describe)(const void *rq, char *buf, size_t cap);
	struct chan_spin spin;
};

/* The caller's for the peer's life: all but spin. */
void peer_init(struct peer *p);
/* r: -errno that the ring returned. Returns it, with *err. */
int peer_broken(const struct peer *p, const void *rq, int r, struct error *err);
/*
 * One step each: 0: sent; there is something to read. -EAGAIN: not yet. Else -errno with *err; any
 * failure is the end. steps: 0 at first.
 */
int peer_send(struct peer *p, const void *rq, union slot *s, const void *data, uint32_t len,
	int *steps, struct error *err);
int peer_wait(struct peer *p, const void *rq, int *steps, struct error *err);

#endif
