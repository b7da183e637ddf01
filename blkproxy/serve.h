/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of the machine: from the ring "blk" to the drives, and the answers back, by the
 * rules of proto/blk.h.
 */
#ifndef DEJAVM_BLKPROXY_SERVE_H
#define DEJAVM_BLKPROXY_SERVE_H

#include <pthread.h>

#include "drive.h"
#include "proc.h"

struct server {
	struct proc *p;
	struct chan blk, seq;
	struct blk_flight *flight;
	const uint8_t *out; /* segment blkout */
	uint8_t *in;	    /* segment blkin */
	struct drive *drives;
	unsigned n_drives;
	uint64_t last_id;
	bool held; /* an answer finds no room */
	unsigned n_told;
	/* work[i] is flight->row[i]'s */
	struct drive_work work[BLK_BUFS];
	struct drive_work *ready, **ready_end; /* done, and not answered: in order */
	int wake_fd;
	_Atomic bool quit;
	/* what drives' threads have done; under lock */
	pthread_mutex_t lock;
	struct drive_work *done, **done_end;
	/* server_wait_idle(): under lock */
	pthread_cond_t idle_changed;
	uint64_t idle_asked, idle_told;
};

/* Maps and opens what the hub handed out. 0 or -errno with *err. */
int server_init(struct server *s, struct proc *p, struct drive *drives, unsigned n_drives,
	struct error *err);
/* Starts the drives' threads. Before the sandbox; drives are opened after it. */
int server_start(struct server *s, struct error *err);
/* Serves until server_quit(). */
void server_run(struct server *s);
/* Any thread. */
void server_quit(struct server *s);
/*
 * Any other thread, while the machine stands still: returns when each request that it has made was
 * answered.
 */
void server_wait_idle(struct server *s);
/* The same: the machine has become one that has made fewer requests. */
void server_forget_ids(struct server *s);

#endif
