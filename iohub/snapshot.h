/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots, seen from the hub: it has the group stand still, asks each process for its state (or
 * gives it one), and whoever keeps snapshots for the rest. One operation at a time, in steps of one
 * message and its answer each; the event loop goes on meanwhile. docs/snapshots.md.
 */
#ifndef DEJAVM_HUB_SNAPSHOT_H
#define DEJAVM_HUB_SNAPSHOT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "control.pb-c.h"
#include "error.h"

struct hub;
struct process;

#define SNAPSHOT_NAME_MAX 255

enum snapshot_what { SNAPSHOT_DO_SAVE, SNAPSHOT_DO_LOAD, SNAPSHOT_DO_DELETE, SNAPSHOT_DO_LIST };

/* error: NULL, or a sentence. reply: of LIST, else NULL. */
typedef void snapshot_done_fn(void *opaque, const char *error, const Dejavm__SnapshotReply *reply);

struct snapshots {
	const struct snapshot_step *step; /* what is being done; NULL: nothing */
	enum snapshot_what what;
	char name[SNAPSHOT_NAME_MAX + 1];
	snapshot_done_fn *done;
	void *opaque;
	uint64_t id;	      /* of the message that is waited for */
	struct process *from; /* who answers it */
	bool held;	      /* the vCPU and replaylog stand still */
	bool spoilt; /* the machine is no longer what it was, and not yet what it is to be */
	uint64_t icount, vtime_ns, len[3];
	struct event *timer;
	bool start_done; /* rrsnapshot=, -loadvm */
	char *path;	 /* of the file, without disks; NULL: there is none */
	bool file_open;
};

/* Adds the segments in which states travel, before any process is started. 0 or -errno. */
int snapshots_open(struct hub *hub, struct error *err);
void snapshots_close(struct hub *hub);
/* done() is called exactly once, perhaps at once, unless the group ends. */
void snapshot_do(struct hub *hub, enum snapshot_what what, const char *name, snapshot_done_fn *done,
	void *opaque);
bool snapshot_busy(const struct hub *hub);
/* What has to be done before the guest runs: true once it is. */
bool snapshot_at_start(struct hub *hub);

/* ---- for process.c and life.c ---- */
void snapshot_on_ready(struct process *p);
void snapshot_on_state_reply(struct process *p, const Dejavm__StateReply *r);
void snapshot_on_reply(struct process *p, const Dejavm__SnapshotReply *r);
/* True: the death of one that is not missed. */
bool snapshot_on_death(struct process *p, const char *how);

#endif
