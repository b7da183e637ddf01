/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A human monitor on a character back end (see hmp.h): lines, echo, prompt. */
#include "hmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub.h"
#include "log.h"

#define PROMPT "(qemu) " /* scripts wait for it */

static void say(struct hmp *h, const char *text)
{
	/* Terminals in raw mode need the carriage return; scripts do not mind. */
	while (*text) {
		size_t n = strcspn(text, "\n");

		chardev_write(h->chr, text, n);
		text += n;
		if (*text == '\n') {
			chardev_write(h->chr, "\r\n", 2);
			text++;
		}
	}
}

static void greet(struct hmp *h)
{
	h->greeted = true;
	say(h, "dejavm " DEJAVM_VERSION " monitor - type 'help' for more information\n" PROMPT);
}

static void feed(struct hmp *h, const uint8_t *data, size_t len);

static void on_done(void *opaque, const char *text)
{
	struct hmp *h = opaque;
	uint8_t in[HMP_INPUT_MAX];
	size_t n = h->n_in;

	say(h, text);
	say(h, PROMPT);
	h->busy = false;
	memcpy(in, h->in, n);
	h->n_in = 0;
	feed(h, in, n);
	if (h->busy || h->feeding)
		return;
	if (h->mux)
		mux_flush(h->mux);
	chardev_kick(h->chr);
}

static void run_line(struct hmp *h)
{
	h->line[h->len] = '\0';
	h->len = 0;
	h->busy = true;
	if (h->too_long) {
		h->too_long = false;
		on_done(h, "Error: the line is too long\n");
		return;
	}
	hmp_run(h->hub, h->line, on_done, h);
}

static void erase(struct hmp *h, size_t n)
{
	while (n-- > 0 && h->len > 0) {
		h->len--;
		if (h->echo)
			chardev_write(h->chr, "\b \b", 3);
	}
}

static void on_byte(struct hmp *h, uint8_t c)
{
	bool lf = c == '\n' && h->skip_lf;

	h->skip_lf = c == '\r';
	if (lf)
		return;
	switch (c) {
	case '\r':
	case '\n':
		if (h->echo)
			chardev_write(h->chr, "\r\n", 2);
		run_line(h);
		break;
	case '\b':
	case 0x7f: erase(h, 1); break;
	case 'U' & 0x1f: erase(h, h->len); break;
	default:
		if (c < ' ' && c != '\t')
			break;
		if (h->len == HMP_LINE_MAX - 1) {
			h->too_long = true;
			break;
		}
		h->line[h->len++] = (char)c;
		if (h->echo)
			chardev_write(h->chr, &c, 1);
		break;
	}
}

/* One line at a time: what follows it waits for its answer. */
static void feed(struct hmp *h, const uint8_t *data, size_t len)
{
	size_t i = 0;

	while (i < len && !h->busy)
		on_byte(h, data[i++]);
	if (i == len)
		return;
	must(len - i <= HMP_INPUT_MAX - h->n_in);
	memcpy(h->in + h->n_in, data + i, len - i);
	h->n_in += len - i;
}

/* ---- the front of the back end ---- */

static size_t hmp_room(void *opaque)
{
	const struct hmp *h = opaque;

	return h->busy ? 0 : HMP_INPUT_MAX - h->n_in;
}

static void hmp_input(void *opaque, const uint8_t *data, size_t len)
{
	struct hmp *h = opaque;

	h->feeding = true;
	feed(h, data, len);
	h->feeding = false;
}

static void hmp_connected(void *opaque)
{
	struct hmp *h = opaque;

	h->len = 0;
	greet(h);
	life_try_start(h->hub);
}

static void hmp_focus(void *opaque)
{
	struct hmp *h = opaque;

	if (h->greeted)
		say(h, PROMPT);
	else
		greet(h);
}

struct hmp *hmp_new(struct hub *hub, struct chardev *c, struct mux *mux)
{
	struct hmp *h = calloc(1, sizeof(*h));

	must(h);
	h->hub = hub;
	h->chr = c;
	h->mux = mux;
	h->echo = c->spec->kind == CHARDEV_STDIO || c->spec->kind == CHARDEV_PTY || mux;
	if (mux) {
		if (mux_add(mux, &(struct mux_user){ .name = "the monitor",
					 .room = hmp_room,
					 .input = hmp_input,
					 .focus = hmp_focus,
					 .always = true,
					 .opaque = h }) < 0) {
			free(h);
			return NULL;
		}
		return h;
	}
	chardev_set_front(c, &(struct chardev_front){ .room = hmp_room,
				     .input = hmp_input,
				     .connected = hmp_connected,
				     .opaque = h });
	/* A socket greets who comes. */
	if (c->connected)
		greet(h);
	return h;
}

void hmp_free(struct hmp *h)
{
	free(h);
}
