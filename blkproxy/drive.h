/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A drive: the image that its requests go to, and the thread that does them one after the other.
 *
 *	drive_init(d, config, false);
 *	drive_start(d, done, opaque, &err);
 *	drive_open(d, opener, opaque, &err);
 *	drive_submit(d, &work);		done(opaque, &work) when it is done
 *
 * For what has to do with a drive from outside of its requests (the VM state that snapshots keep in
 * the image): drive_quiesce(), then drive_writable() and image.h's functions, drive_resume().
 */
#ifndef DEJAVM_DRIVE_H
#define DEJAVM_DRIVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "atomic.h"
#include "blk.h"
#include "control.pb-c.h"
#include "error.h"
#include "image.h"

struct drive;

/* A request on its way through a drive. The caller's; untouched by the drive once done() runs. */
struct drive_work {
	struct drive_work *next;
	struct drive *drive;
	struct blk_req rq;
	void *in;	 /* READ: where the bytes go */
	const void *out; /* WRITE: where they are */
	/* It has to fail as it did when it was recorded: after done bytes, with error. */
	bool must_fail;
	/* The outcome. done: of a WRITE or DISCARD that failed */
	uint32_t error;
	uint64_t done;
	/* The run cannot go on: a replay's request failed though the recorded one did not, or not
	 * there. */
	bool broken;
	struct error err; /* if it failed by itself: what happened */
};

struct drive {
	const Dejavm__BlkDrive *cfg; /* the caller's, for the drive's life */
	struct image
		*image;	    /* what requests go to: the overlay, if there is one; NULL: no medium */
	struct image *kept; /* under the overlay: cfg->kept, or NULL; the overlay's */
	uint64_t len;
	char format[16]; /* of the image under the overlay */
	uint32_t cluster_len;
	bool replaying;		 /* errors are the log's to make; a new one is the end */
	bool through;		 /* cache=writethrough */
	uint8_t *bounce;	 /* the first sector of a write */
	uint64_t *injected;	 /* bits: rules with once=on that have fired */
	uint64_t injected_here;	 /* where, if nobody has a place for it that lasts */
	struct blk_stats *stats; /* or NULL */
	/* Requests, in order. Everything below is under lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct drive_work *first, **end;
	unsigned n_held; /* drive_quiesce() without drive_resume() */
	bool busy, stop;
	/* its thread */
	bool started;
	pthread_t thread;
	void (*done)(void *opaque, struct drive_work *w);
	void *opaque;
};

void drive_init(struct drive *d, const Dejavm__BlkDrive *cfg, bool replaying);
/*
 * Opens cfg's image, and makes and opens its overlay. Every file comes from opener (image.h). 0 or
 * -errno with *err, a sentence that begins with the option.
 */
int drive_open(struct drive *d,
	int (*opener)(void *opaque, const char *name, enum image_open_flags flags), void *opaque,
	struct error *err);
/* Starts its thread. done() is called on that thread. 0 or -errno with *err. */
int drive_start(struct drive *d, void (*done)(void *opaque, struct drive_work *w), void *opaque,
	struct error *err);
void drive_submit(struct drive *d, struct drive_work *w);
/* Does it here and now, in the place of a thread. */
void drive_do(struct drive *d, struct drive_work *w);
/* What is wrong with a request, in words, or NULL. */
const char *drive_request_wrong(const struct drive *d, const struct blk_req *rq);
/* Ends its thread, once all that was submitted is done. */
void drive_stop(struct drive *d);
/* Writes what is pending in the images and closes them. Ends its thread. */
int drive_close(struct drive *d, struct error *err);

/* Returns when no request is in flight; new ones wait until drive_resume(). Calls nest. */
void drive_quiesce(struct drive *d);
void drive_resume(struct drive *d);
/*
 * The qcow2 image that the drive's writes go to (its overlay, or the image itself), or NULL with
 * *err: it is raw, or cannot be written. Stays the drive's. Quiesce first.
 */
struct image *drive_writable(struct drive *d, struct error *err);
/* All that was written is durable. */
int drive_flush(struct drive *d, struct error *err);

#endif
