/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP session with one client, without sockets: bytes come in, lines go out, commands that
 * concern the run go to the hub one at a time. While the hub works on one, no further input is
 * taken, so that answers come in the order of the questions.
 */
#ifndef DEJAVM_QMPD_QMP_H
#define DEJAVM_QMPD_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json_in.h"

/* Of one command, as plain JSON: it has to fit into a packet to the hub. */
#define QMP_ARGUMENTS_MAX 65536

struct qmp {
	/* One or more whole lines for the client. */
	void (*output)(void *opaque, const char *text, size_t len);
	/* A command for the hub, arguments as a JSON object or ""; its answer comes by qmp_reply()
	 * with the same number. */
	void (*forward)(void *opaque, uint64_t number, const char *command, const char *arguments);
	void *opaque;
	/* private */
	struct json_in in;
	bool negotiated;
	uint64_t pending; /* number of the command that the hub works on, 0: none */
	uint64_t *next_number;
	struct json_object *pending_id; /* its id member; meaningful if has_id */
	bool has_id;
};

/*
 * Begins a session: sends the greeting. next_number: a counter that outlives sessions, so that a
 * late answer to the client before is recognised.
 */
void qmp_init(struct qmp *q, uint64_t *next_number,
	void (*output)(void *opaque, const char *text, size_t len),
	void (*forward)(void *opaque, uint64_t number, const char *command, const char *arguments),
	void *opaque);
void qmp_done(struct qmp *q);
/* Bytes from the client; returns how many were taken. The rest is offered again when qmp_busy() is
 * false. */
size_t qmp_feed(struct qmp *q, const void *data, size_t len);
bool qmp_busy(const struct qmp *q);
/* The hub's answer. value: JSON of "return"; error_desc NULL when all went well. One that nobody
 * waits for is dropped. */
void qmp_reply(struct qmp *q, uint64_t number, const char *value, const char *error_class,
	const char *error_desc);
/* An event; data: JSON object or "". Clients get it once they have negotiated. */
void qmp_event(struct qmp *q, const char *name, const char *data, int64_t time_us);

#endif
