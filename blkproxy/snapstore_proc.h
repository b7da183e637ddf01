/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process that keeps snapshots (snapstore.h) has around that: memory, messages, threads. */
#ifndef DEJAVM_SNAPSTORE_PROC_H
#define DEJAVM_SNAPSTORE_PROC_H

#include <pthread.h>

#include "proc.h"
#include "snapstore.h"

/* Maps guest RAM and the states' segments, and makes the threads: before the sandbox. 0 or -errno
 * with *err. */
int snapstore_map(struct snapstore *s, struct proc *p, struct error *err);

/* Requests on their way from the control thread; the hub sends one at a time. */
struct snapstore_inbox {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	Dejavm__SnapshotRequest *rq;
	bool closed;
};
#define SNAPSTORE_INBOX_INIT                                                     \
	{                                                                        \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, false \
	}

void snapstore_inbox_post(struct snapstore_inbox *b, const Dejavm__SnapshotRequest *rq);
void snapstore_inbox_close(struct snapstore_inbox *b);
/* The next one, which is the caller's; NULL: it is closed. */
Dejavm__SnapshotRequest *snapstore_inbox_wait(struct snapstore_inbox *b);
/* Sends r to the hub, and frees what is in it. */
void snapstore_answer(struct proc *p, Dejavm__SnapshotReply *r);

#endif
