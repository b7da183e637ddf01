/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ctrl-A keys (see mux.h). The keys are QEMU's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "mux.h"

#define MUX_ESCAPE 0x01 /* Ctrl-A */

int mux_add(struct mux *m, const struct mux_user *u)
{
	if (m->n_users == MUX_USERS)
		return -ENOSPC;
	m->users[m->n_users] = *u;
	m->users[m->n_users++].len = 0;
	return 0;
}

static void say(struct mux *m, const char *text)
{
	chardev_write(m->chr, text, strlen(text));
}

static void say_help(struct mux *m)
{
	say(m, "\r\n"
	       "C-a h    this help\r\n"
	       "C-a x    end the machine\r\n"
	       "C-a b    send a serial break\r\n"
	       "C-a c    switch to the next stream\r\n"
	       "C-a C-a  send C-a\r\n");
}

static void switch_focus(struct mux *m)
{
	char text[96];

	if (m->n_users < 2) {
		say(m, "\r\nThere is nothing to switch to: this machine has no human monitor.\r\n");
		return;
	}
	m->focus = (m->focus + 1) % m->n_users;
	snprintf(text, sizeof(text), "\r\nInput now goes to %s.\r\n", m->users[m->focus].name);
	say(m, text);
	if (m->users[m->focus].focus)
		m->users[m->focus].focus(m->users[m->focus].opaque);
}

static void put(struct mux *m, uint8_t byte)
{
	struct mux_user *u = &m->users[m->focus];

	/* mux_room() allowed for as many bytes as came. */
	if ((!m->discard || u->always) && u->len < MUX_BUFFER)
		u->buf[u->len++] = byte;
}

static void on_key(struct mux *m, uint8_t byte)
{
	struct mux_user *u = &m->users[m->focus];

	switch (byte) {
	case 'h':
	case '?': say_help(m); break;
	case 'x':
		say(m, "\r\ndejavm: terminated\r\n");
		m->quit(m->opaque);
		break;
	case 'c': switch_focus(m); break;
	case 'b':
		if (!m->discard && u->send_break) {
			/* What was typed before the break comes before it. */
			mux_flush(m);
			u->send_break(u->opaque);
		}
		break;
	case MUX_ESCAPE: put(m, byte); break;
	default: break; /* as with QEMU: no such key, nothing happens */
	}
}

void mux_input(void *opaque, const uint8_t *data, size_t len)
{
	struct mux *m = opaque;

	for (size_t i = 0; i < len; i++) {
		if (m->escaped) {
			m->escaped = false;
			on_key(m, data[i]);
		} else if (data[i] == MUX_ESCAPE) {
			m->escaped = true;
		} else {
			put(m, data[i]);
		}
	}
	mux_flush(m);
}

size_t mux_room(void *opaque)
{
	struct mux *m = opaque;
	size_t most = MUX_BUFFER;

	must(m->n_users > 0);
	/* A key may change the focus in the middle of what is read: it must fit whoever has it. */
	for (int i = 0; i < m->n_users; i++)
		if ((!m->discard || m->users[i].always) && MUX_BUFFER - m->users[i].len < most)
			most = MUX_BUFFER - m->users[i].len;
	return most;
}

void mux_flush(struct mux *m)
{
	for (int i = 0; i < m->n_users; i++) {
		struct mux_user *u = &m->users[i];
		size_t n;

		while (u->len > 0 && (n = u->room(u->opaque)) > 0) {
			if (n > u->len)
				n = u->len;
			u->input(u->opaque, u->buf, n);
			u->len -= n;
			memmove(u->buf, u->buf + n, u->len);
		}
	}
}
