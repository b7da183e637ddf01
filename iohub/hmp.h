/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor: lines of text in, text out. Words are QEMU's. A monitor sits on a character
 * back end (-monitor, or Ctrl-A c on mon:...); QMP's human-monitor-command runs single lines.
 */
#ifndef DEJAVM_HUB_HMP_H
#define DEJAVM_HUB_HMP_H

#include "chardev.h"
#include "mux.h"

struct hub;

#define HMP_LINE_MAX  1024
#define HMP_INPUT_MAX 4096

/* text: what the command says, "" when it has nothing to say. */
typedef void hmp_done_fn(void *opaque, const char *text);

/* Runs one line. done() is called exactly once, perhaps at once, unless the group ends. */
void hmp_run(struct hub *hub, const char *line, hmp_done_fn *done, void *opaque);

struct hmp {
	struct hub *hub;
	struct chardev *chr;
	struct mux *mux; /* or NULL: chr is this monitor's alone */
	bool echo;	 /* a person types */
	bool busy;	 /* a command is at work */
	bool feeding;	 /* within hmp_input(): who calls it brings the rest */
	bool greeted, skip_lf;
	char line[HMP_LINE_MAX];
	size_t len;
	bool too_long;
	uint8_t in[HMP_INPUT_MAX]; /* came while busy */
	size_t n_in;
};

/* A monitor on c, behind mux unless that is NULL. NULL: no room there. */
struct hmp *hmp_new(struct hub *hub, struct chardev *c, struct mux *mux);
void hmp_free(struct hmp *h);

#endif
