/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ctrl-A keys on a back end with mux=on, and several streams that share one. Output of all goes to
 * the back end; input goes to one of them, which Ctrl-A c chooses. Input is read even while the
 * stream takes none (up to MUX_BUFFER bytes are kept), so that Ctrl-A x works when the guest hangs.
 */
#ifndef DEJAVM_HUB_MUX_H
#define DEJAVM_HUB_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chardev.h"

#define MUX_BUFFER 4096
#define MUX_USERS  8

/* One of the streams behind a mux. */
struct mux_user {
	const char *name;
	size_t (*room)(void *opaque);
	void (*input)(void *opaque, const uint8_t *data, size_t len);
	void (*send_break)(void *opaque);
	void (*focus)(void *opaque); /* input comes here from now on; may be NULL */
	bool always;		     /* input is for it in a replay, too */
	void *opaque;
	/* private: what it has not taken yet */
	uint8_t buf[MUX_BUFFER];
	size_t len;
};

struct mux {
	struct chardev *chr;
	struct mux_user users[MUX_USERS];
	int n_users, focus;
	bool escaped;		    /* the last byte was Ctrl-A */
	bool discard;		    /* replay: keys work, other input goes nowhere */
	void (*quit)(void *opaque); /* Ctrl-A x */
	void *opaque;
};

/* Adds a user; *u is copied. 0 or -ENOSPC. */
int mux_add(struct mux *m, const struct mux_user *u);
/* The back end's front (room and input). */
size_t mux_room(void *opaque);
void mux_input(void *opaque, const uint8_t *data, size_t len);
/* A user's room has changed: gives it what is kept. */
void mux_flush(struct mux *m);

#endif
