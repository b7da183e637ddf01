/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replaying from a snapshot, and making one: a place in the log is the number of the first event
 * that has not happened, with a hash of all before it, so that another log is told from this one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "replay.h"

/* Reads the log up to the first event that is not before `number`. 1: there, 0: it ends before. */
static int read_to(struct cursor *c, uint64_t number, struct replay *promise_to, struct error *err)
{
	while (c->reader.events < number) {
		int ret = log_reader_next(&c->reader, &c->ev, err);

		if (ret != 1)
			return ret < 0 && ret != -ENODATA ? ret : 0;
		if (promise_to && c->ev.id == LOG_OUTPUT)
			promise_to->stream[c->ev.dev].promised += c->ev.len;
	}
	return 1;
}

/* Number of events before main's, and what they are: read again, since main has gone past its own.
 */
static int position_find(struct sequencer *s, Dejavm__ReplaylogState *ret, struct error *err)
{
	const struct replay *r = s->state;
	struct cursor c;
	int e = cursor_open(&c, s->conf.log_fd, err);

	if (e == 0)
		e = read_to(&c, r->main.ev.number, NULL, err);
	if (e >= 0) {
		ret->next_event = c.reader.events;
		ret->position_icount = c.reader.icount;
		ret->prefix_hash = c.reader.hash;
	}
	log_reader_done(&c.reader);
	return e < 0 ? e : 0;
}

int replay_save(struct sequencer *s, const char *name, uint64_t icount, Dejavm__ReplaylogState *ret,
	struct error *err)
{
	const struct replay *r = s->state;
	int e;

	if (r->ending)
		return error_set(err, EBUSY, "the replay is ending");
	ret->has_position = true;
	ret->last_clock = r->last_clock;
	e = position_find(s, ret, err);
	if (e < 0)
		return e;
	for (unsigned int i = 0; i < REPLAY_STREAMS; i++)
		if (stream_position_add(ret, i, r->stream[i].sent) < 0)
			return error_set(err, ENOMEM, "no memory for the state of the log");
	return 0;
}

int replay_check(struct sequencer *s, const Dejavm__ReplaylogState *st, struct error *err)
{
	struct cursor c;
	int e;

	if (!st->has_position)
		return error_set(err, EINVAL,
			"it was made without a log, so that it is not known where '%s' would go on",
			s->conf.file_name);
	e = cursor_open(&c, s->conf.log_fd, err);
	if (e == 0)
		e = read_to(&c, st->next_event, NULL, err);
	if (e == 0 || (e == 1 && (c.reader.hash != st->prefix_hash ||
					 c.reader.icount != st->position_icount)))
		e = error_set(err, EINVAL,
			"it does not belong to the log '%s': the log's %" PRIu64
			" events up to icount %" PRIu64 " are not those before the snapshot",
			s->conf.file_name, st->next_event, st->position_icount);
	log_reader_done(&c.reader);
	return e < 0 ? e : 0;
}

void replay_load(struct sequencer *s, const Dejavm__ReplaylogState *st)
{
	struct replay *r = s->state;
	struct error err = ERROR_INIT;

	replay_close_cursors(s);
	if (replay_open_cursors(s) < 0)
		return;
	for (unsigned int i = 0; i < REPLAY_STREAMS; i++) {
		struct expected *e = &r->stream[i];

		e->pos = e->len = 0;
		e->sent = e->promised = e->skip = 0;
	}
	for (size_t i = 0; i < st->n_streams; i++)
		r->stream[st->streams[i]->stream].sent = r->stream[st->streams[i]->stream].skip =
			st->streams[i]->sent;
	r->last_clock = st->last_clock;
	r->ending = r->stopped = false;
	r->n_halts = 0;
	if (read_to(&r->main, st->next_event, r, &err) != 1) {
		sequencer_finish(s, RUN_LOG_UNUSABLE, SHUTDOWN_HOST_ERROR,
			"the log '%s' has changed while it was replayed: %s", s->conf.file_name,
			err.msg);
		return;
	}
	agreed(s, "snapshot");
	advance(s);
}
