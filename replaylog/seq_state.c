/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots and the sequencer: standing still for one, where the log stands, and going there. What
 * is on its way from the world to the machine is not part of a snapshot: characters that were
 * queued belong to a credit that ends with it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "clock.h"
#include "sequencer.h"

bool sequencer_halts_again(const struct sequencer *s, const struct seq_req *rq)
{
	return s->again.known && s->again.icount == rq->icount && s->again.now_ns == rq->now_ns;
}

/* The HALT that is open is answered: no time has passed, nothing came. The vCPU sends it once more
 * when it goes on. */
void sequencer_hold(struct sequencer *s)
{
	struct seq_req rq = s->halt.rq;
	int64_t slept = 0;

	s->held = true;
	if (!s->halt.open)
		return;
	if (sequencer_halts_again(s, &rq))
		slept = s->again.slept_ns;
	slept += (int64_t)(sequencer_halt_now(s, host_monotonic_ns()) - rq.now_ns);
	s->again.known = true;
	s->again.icount = rq.icount;
	s->again.now_ns = rq.now_ns;
	s->again.slept_ns = slept;
	sequencer_halt_reply(s, s->next_told, rq.now_ns);
}

void sequencer_release(struct sequencer *s)
{
	s->held = false;
	s->pace.known = false;
}

int stream_position_add(Dejavm__ReplaylogState *ret, unsigned stream, uint64_t sent)
{
	Dejavm__StreamPosition *p, **v;

	if (!sent)
		return 0;
	p = malloc(sizeof(*p));
	v = realloc(ret->streams, (ret->n_streams + 1) * sizeof(*v));
	if (v)
		ret->streams = v;
	if (!p || !v) {
		free(p);
		return -ENOMEM;
	}
	dejavm__stream_position__init(p);
	p->stream = stream;
	p->sent = sent;
	v[ret->n_streams++] = p;
	return 0;
}

int sequencer_save(struct sequencer *s, const char *name, uint64_t icount,
	Dejavm__ReplaylogState *ret, struct error *err)
{
	int r;

	sequencer_drain(s);
	if (s->result.over)
		return error_set(err, EBUSY, "the run is over");
	ret->version = REPLAYLOG_STATE_VERSION;
	ret->icount = s->icount;
	ret->now_ns = s->now_ns;
	ret->digest = s->digest;
	r = s->ops->save(s, name, icount, ret, err);
	return r;
}

int sequencer_check(struct sequencer *s, const Dejavm__ReplaylogState *st, struct error *err)
{
	if (s->result.over)
		return error_set(err, EBUSY, "the run is over");
	if (st->version != REPLAYLOG_STATE_VERSION)
		return error_set(err, EINVAL, "replaylog: state version %u: expected %d",
			st->version, REPLAYLOG_STATE_VERSION);
	if (st->icount >> 62 || st->now_ns >> 62)
		return error_set(err, EINVAL, "replaylog: icount %" PRIu64 " at %" PRIu64 " ns",
			st->icount, st->now_ns);
	for (size_t i = 0; i < st->n_streams; i++)
		if (st->streams[i]->stream > UINT8_MAX)
			return error_set(err, EINVAL, "replaylog: character stream %u",
				st->streams[i]->stream);
	return s->ops->check(s, st, err);
}

/* Characters that wait for the machine were sent on a credit that is gone. */
static void drop_characters(struct sequencer *s)
{
	struct input *list = s->inputs, *in;

	s->inputs = NULL;
	s->inputs_end = &s->inputs;
	s->n_inputs = s->input_bytes = 0;
	while ((in = list) != NULL) {
		list = in->next;
		if (in->event == SEQ_EV_CHAR || in->event == SEQ_EV_BLOCK) {
			free(in);
			continue;
		}
		in->next = NULL;
		*s->inputs_end = in;
		s->inputs_end = &in->next;
		s->n_inputs++;
	}
}

void sequencer_load(struct sequencer *s, const Dejavm__ReplaylogState *st)
{
	sequencer_drain(s);
	if (s->result.over)
		return;
	drop_characters(s);
	s->icount = st->icount;
	s->now_ns = st->now_ns;
	s->digest = st->digest;
	s->again.known = false;
	s->ops->load(s, st);
	sequencer_tell_restored(s);
}
