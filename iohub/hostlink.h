/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hub's end of the hostio channel (proto/hostio.h): inputs on their way to replaylog, and the
 * guest's output on its way to the character back ends.
 */
#ifndef DEJAVM_HUB_HOSTLINK_H
#define DEJAVM_HUB_HOSTLINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "chardev.h"
#include "hmp.h"
#include "mux.h"
#include "ring.h"

struct hub;
struct hostlink_pending;

struct stream {
	struct hub *hub;
	unsigned number;
	const char *name;
	struct chardev *chr;
	struct mux *mux; /* NULL: chr is this stream's alone */
	uint64_t credit; /* bytes of input that the guest's device has room for */
};

struct hostlink {
	struct chan chan;
	bool open;
	struct event *bell_ev, *retry_ev;
	struct stream streams[DEVICES_MAX];
	size_t n_streams;
	struct chardev *chardevs[CHARDEVS_MAX];
	struct mux *muxes[CHARDEVS_MAX];
	size_t n_chardevs;
	struct hmp *monitors[MONITORS_MAX + CHARDEVS_MAX];
	size_t n_monitors;
	bool frozen; /* a snapshot is being loaded: no credit holds */
	/* Inputs that found the ring full, in order. */
	struct hostlink_pending *pending, **pending_end;
	uint64_t n_in, n_out;
};

/* Opens the back ends and the channel. 0 or -errno with *err. */
int hostlink_open(struct hub *hub, struct error *err);
/* Whether a back end with wait=on still has no peer. */
bool hostlink_waiting(const struct hub *hub);
/* Prints what is waited for. */
void hostlink_say_waiting(const struct hub *hub);
/* Hands an input (enum seq_event) to replaylog; never fails: what finds the ring full is kept and
 * sent later. */
void hostlink_input(struct hub *hub, unsigned event, unsigned dev, uint32_t a, int64_t b,
	const void *data, size_t len);
/* Freezes (or thaws) virtual time while the guest is halted. */
void hostlink_pause(struct hub *hub, bool freeze);
/* Takes what is in the ring as far as back ends have room. */
void hostlink_drain(struct hub *hub);
/* Whether all output has left the hub, as far as it has a peer to go to. */
bool hostlink_flushed(struct hub *hub);
/* Bytes that are still queued; for messages. */
size_t hostlink_unsent(const struct hub *hub);
void hostlink_close(struct hub *hub);

/*
 * While a snapshot is loaded, characters from outside wait: credit that was granted is not any
 * more. What the restored machine grants comes after replaylog's HOSTIO_RESTORED, which ends this,
 * too.
 */
void hostlink_freeze(struct hub *hub);

#endif
