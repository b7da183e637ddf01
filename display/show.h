/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-display: shows the machine's picture to a user, and sends what he types and points to the
 * hub. It reads the adapter's registers and video memory (proto/display.h, proto/screen.h), writes
 * neither, and holds no state of the machine, so that it can be killed and started again.
 */
#ifndef DEJAVM_DISPLAY_SHOW_H
#define DEJAVM_DISPLAY_SHOW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "display.h"
#include "proc.h"
#include "screen.h"

#define SHOW_INPUTS_MAX	  256
#define SHOW_PASSWORD_MAX 8 /* of a VNC password, no more bytes count */

struct show {
	struct proc proc;
	const Dejavm__DisplayConfig *cfg;
	const struct display_page *page;
	const uint8_t *vram;
	uint64_t vram_len;
	/* the picture */
	struct display_regs regs;
	struct screen_mode mode;
	uint32_t *pixels; /* mode.width * mode.height */
	size_t n_pixels;
	/* inputs that have not been sent */
	struct {
		uint32_t kind, a;
		int64_t b;
	} input[SHOW_INPUTS_MAX];
	unsigned n_input;
	uint8_t down[32]; /* a bit for each key that is down */
	bool caps;	  /* Caps Lock, as far as it was pressed here */
	/* from the control thread */
	pthread_mutex_t lock;
	char password[SHOW_PASSWORD_MAX + 1];
};

/* Looks at the registers: s->regs and s->mode are those of now. */
void show_look(struct show *s);
/* show_look(), then s->pixels is the picture. False: no memory for it. */
bool show_render(struct show *s);
/* What blinks, now: SCREEN_CURSOR, SCREEN_BLINK. By the host's clock. */
unsigned show_phase(void);

/* A key by its Linux code. A second press of a key that is down is a repetition. */
void show_key(struct show *s, uint32_t code, bool down);
/*
 * The key that gives this character or function (X's keysym) on a US keyboard, with Shift as it
 * needs it, whatever the user's own keyboard is.
 */
void show_keysym(struct show *s, uint32_t keysym, bool down);
/* Everything that is down goes up: the user is gone. */
void show_release_all(struct show *s);
/* axis 0 x, 1 y, 2 wheel. */
void show_move(struct show *s, uint32_t axis, int64_t delta);
/* button 0 left, 1 right, 2 middle. */
void show_button(struct show *s, uint32_t button, bool down);
/* Sends what has been gathered. */
void show_flush(struct show *s);

/* The back ends; none returns. */
void vnc_run(struct show *s);
void curses_run(struct show *s);
/* Sets the back end up before the process is locked down. 0 or -errno with *err. */
int vnc_open(struct show *s, struct error *err);
int curses_open(struct show *s, struct error *err);
/* The hub has said quit, or is gone: gives the terminal back. Any thread. */
void curses_restore(void);

#endif
