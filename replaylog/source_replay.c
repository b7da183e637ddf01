/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source that reads the log: events come where they came, and whatever the machine does is
 * compared with what the log says it did. The rules are in docs/architecture.md, "Rules of the
 * sequencer".
 *
 * Three readers share the file. `main` stands at the next thing that the machine must do; `scout`
 * runs ahead to the next event that a TAKE or HALT delivers, because the machine must be told where
 * to stop; `out` runs ahead through OUTPUT events, because output is compared as a stream of bytes
 * when it comes and is in the log later, in batches.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "log_words.h"
#include "replay.h"

#define DIFFS_MAX 24
/* Deadlines in a row (times SEQ_HALTS_ASK) that do not wake the CPU, while the log has it go on. */
#define HALTS_AT_ONE_MAX 10000

/* ---- divergence ---- */

void diverge(struct sequencer *s, const char *what, const char *fmt, ...)
{
	struct replay *r = s->state;
	char detail[SEQUENCER_TEXT_MAX - 1024];
	size_t n;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	n = strlen(detail);
	while (n > 0 && detail[n - 1] == '\n')
		detail[--n] = '\0';
	s->result.events = r->main.reader.events;
	s->result.log_bytes = r->file_len;
	sequencer_finish(s, RUN_DIVERGED, SHUTDOWN_HOST_ERROR,
		"the replay differs from the log '%s'\n"
		"  last check that agreed: %s at icount %" PRIu64 " (event %" PRIu64 ")\n"
		"  first that did not: %s at icount %" PRIu64 " (event %" PRIu64 ")\n"
		"  window: instructions %" PRIu64 " to %" PRIu64 "\n%s",
		s->conf.file_name, r->good.what, r->good.icount, r->good.number, what, s->icount,
		r->main.ev.number, r->good.icount, s->icount, detail);
}

void agreed(struct sequencer *s, const char *what)
{
	struct replay *r = s->state;

	snprintf(r->good.what, sizeof(r->good.what), "%s", what);
	r->good.icount = s->icount;
	r->good.number = r->main.ev.number;
}

/* ---- cursors ---- */

/* To the next event. The log was good when it was looked through, so that anything but its end
 * means that it has changed since. */
bool cursor_next(struct sequencer *s, struct cursor *c)
{
	struct error err = ERROR_INIT;
	int ret;

	if (c->over)
		return false;
	ret = log_reader_next(&c->reader, &c->ev, &err);
	if (ret == 1)
		return true;
	c->over = true;
	if (ret < 0 && ret != -ENODATA)
		sequencer_finish(s, RUN_LOG_UNUSABLE, SHUTDOWN_HOST_ERROR,
			"the log '%s' has changed while it was replayed: %s", s->conf.file_name,
			err.msg);
	return false;
}

static bool is_input(const struct replay *r, const struct log_event *ev)
{
	return ev->id == LOG_ASYNC || ev->id == LOG_REQUEST ||
	       (ev->id == LOG_SHUTDOWN && ev->number != r->closing_number);
}

static bool is_closing(const struct replay *r, const struct log_event *ev)
{
	return ev->id == LOG_END || (ev->id == LOG_SHUTDOWN && ev->number == r->closing_number);
}

/* Does the machine do something at this event, or is it a note that nothing has to agree with? */
static bool is_step(const struct log_event *ev)
{
	switch (ev->id) {
	case LOG_ASYNC:
	case LOG_REQUEST:
	case LOG_SHUTDOWN:
	case LOG_END:
	case LOG_WARP:
	case LOG_CPU_MARK:
	case LOG_CLOCK_HOST:
	case LOG_CLOCK_VIRTUAL_RT:
	case LOG_DIGEST: return true;
	case LOG_CHECKPOINT: return ev->sub == LOG_CP_WARP_START;
	default: return false;
	}
}

/* Moves main to the next step, and counts the output that must have been sent by then. A log that
 * was cut ends as if by a host's error. */
void advance(struct sequencer *s)
{
	struct replay *r = s->state;
	struct log_event *ev = &r->main.ev;

	while (cursor_next(s, &r->main)) {
		if (ev->id == LOG_OUTPUT)
			r->stream[ev->dev].promised += ev->len;
		if (is_step(ev))
			return;
	}
	*ev = (struct log_event){ .id = LOG_SHUTDOWN,
		.sub = SHUTDOWN_HOST_ERROR,
		.icount = r->end_icount,
		.number = r->n_events };
	r->closing_number = r->n_events;
}

/* Moves scout to the next event that a TAKE or HALT delivers, or to the log's end. Returns its
 * icount. */
static uint64_t next_stop(struct sequencer *s)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->scout.ev;

	while (!r->scout.over && (ev->number < r->main.ev.number || r->scout.reader.events == 0 ||
					 !(is_input(r, ev) || is_closing(r, ev) ||
						 ev->id == LOG_WARP || ev->id == LOG_CPU_MARK)))
		cursor_next(s, &r->scout);
	return r->scout.over ? r->end_icount : ev->icount;
}

/* ---- steps ---- */

/* Nothing but the end is left of a log that ended in the middle of things. The machine goes on to
 * where it can be stopped. */
static bool past_abrupt_end(const struct replay *r)
{
	return r->abrupt && is_closing(r, &r->main.ev);
}

/* ... and here it can be. */
static bool at_abrupt_end(const struct replay *r, uint64_t icount)
{
	return past_abrupt_end(r) && icount >= r->main.ev.icount;
}

/* What the machine does is not what the log has next. */
static void unexpected(struct sequencer *s, const char *what)
{
	struct replay *r = s->state;
	char words[512];

	log_event_words(&r->main.ev, words, sizeof(words));
	if (is_closing(r, &r->main.ev))
		diverge(s, what, "  the log ends at icount %" PRIu64 " (%s), the replay goes on\n",
			r->end_icount, log_cause_name(r->end_cause));
	else
		diverge(s, what,
			"  log: event %" PRIu64 " at icount %" PRIu64
			", %s\n  replay: %s at icount %" PRIu64 "\n",
			r->main.ev.number, r->main.ev.icount, words, what, s->icount);
}

/* False: the machine has passed the log's next event. */
static bool not_passed(struct sequencer *s, const char *what)
{
	struct replay *r = s->state;
	char words[512];

	/* Where a log ends that was cut, the machine is stopped as soon as it can be: perhaps a
	 * little later. */
	if (r->ending || r->main.ev.icount >= s->icount || past_abrupt_end(r))
		return true;
	if (is_closing(r, &r->main.ev)) {
		unexpected(s, what);
		return false;
	}
	log_event_words(&r->main.ev, words, sizeof(words));
	diverge(s, what,
		"  log: event %" PRIu64 " at icount %" PRIu64
		", %s\n  replay: it has passed that icount without it\n",
		r->main.ev.number, r->main.ev.icount, words);
	return false;
}

static bool mark_agrees(struct sequencer *s, const uint32_t *mark)
{
	static const char *const names[] = {
#define X(n) #n,
		CPU_MARK_REGS(X)
#undef X
	};
	struct replay *r = s->state;
	char text[1024];
	size_t n = 0;

	for (int i = 0; i < CPU_MARK_COUNT; i++)
		if (mark[i] != r->main.ev.mark[i])
			n += (size_t)snprintf(text + n, sizeof(text) - n,
				"  register %s: log 0x%08x, replay 0x%08x\n", names[i],
				r->main.ev.mark[i], mark[i]);
	if (n > 0)
		diverge(s, "cpu-mark", "%s", text);
	else
		agreed(s, "cpu-mark");
	return n == 0;
}

static void send_shutdown(struct sequencer *s, uint32_t cause)
{
	struct replay *r = s->state;
	struct input in = { .event = SEQ_EV_SHUTDOWN, .a = cause };

	r->ending = true;
	sequencer_event(s, &in);
}

/* The mark, if there is one, and the events that were taken with it. False: diverged. */
static bool deliver_group(struct sequencer *s, const uint32_t *mark)
{
	struct replay *r = s->state;
	bool last = false;

	if (r->main.ev.id == LOG_CPU_MARK) {
		if (!mark_agrees(s, mark))
			return false;
		advance(s);
	}
	while (!last && !s->result.over && r->main.ev.icount == s->icount &&
		is_input(r, &r->main.ev)) {
		struct input *in;

		if (input_from_event(&r->main.ev, &in) < 0) {
			sequencer_finish(
				s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "no memory for an event");
			return false;
		}
		sequencer_event(s, in);
		last = in->event == SEQ_EV_SHUTDOWN;
		free(in);
		advance(s);
	}
	if (!last && !s->result.over && at_abrupt_end(r, s->icount))
		send_shutdown(s, r->end_cause);
	return !s->result.over;
}

/* Somebody here wants to end the replay. */
static bool asked_to_stop(struct sequencer *s)
{
	struct replay *r = s->state;
	struct input *in = sequencer_next_input(s);

	atomic_store_release(&s->conf.machine->input_pending, 0);
	if (!in)
		return false;
	r->stopped = true;
	send_shutdown(s, in->a);
	free(in);
	return true;
}

static int replay_begin(struct sequencer *s)
{
	if (replay_open(s) < 0)
		return -1;
	agreed(s, "config");
	advance(s);
	return s->result.over ? -1 : 0;
}

static void replay_init(struct sequencer *s, const struct seq_req *rq)
{
	sequencer_done_reply(s, next_stop(s), 0);
}

static void replay_resume(struct sequencer *s, const struct seq_req *rq)
{
	sequencer_done_reply(s, next_stop(s), 0);
}

static void replay_take(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->main.ev;

	if (asked_to_stop(s) || r->ending) {
		sequencer_done_reply(s, SEQ_NEVER, 0);
		return;
	}
	if (!not_passed(s, "checkpoint"))
		return;
	/* A WARP is for the HALT that will come. If none comes, the machine passes it, and that is
	 * found then. */
	if (at_abrupt_end(r, s->icount))
		send_shutdown(s, r->end_cause);
	else if (ev->icount == s->icount && (ev->id == LOG_CPU_MARK || is_input(r, ev)) &&
		 !deliver_group(s, mark))
		return;
	sequencer_done_reply(s, next_stop(s), 0);
}

/* A machine that is halted and that nothing will wake, although the log has it go on. */
static bool halt_is_endless(struct sequencer *s, const struct seq_req *rq)
{
	struct replay *r = s->state;
	uint64_t max = s->halts_free ? HALTS_AT_ONE_MAX : HALTS_AT_ONE_MAX * SEQ_HALTS_ASK;

	if (r->halt_icount != rq->icount)
		r->n_halts = 0;
	r->halt_icount = rq->icount;
	r->n_halts++;
	next_stop(s);
	if (!r->scout.over && r->scout.ev.id == LOG_WARP && r->scout.ev.value < rq->now_ns) {
		diverge(s, "virtual time while halted",
			"  log: an input came at icount %" PRIu64 " when virtual time was %" PRIu64
			" ns\n  replay: virtual time is %" PRIu64 " ns already\n",
			r->scout.ev.icount, r->scout.ev.value, rq->now_ns);
		return true;
	}
	if (r->n_halts < max)
		return false;
	diverge(s, "halt",
		"  log: the machine goes on to icount %" PRIu64
		"\n  replay: it is halted, and %d deadlines have not woken it (virtual time "
		"%" PRIu64 " ns)\n",
		r->main.ev.icount, HALTS_AT_ONE_MAX * SEQ_HALTS_ASK, rq->now_ns);
	return true;
}

/* Virtual time at which this HALT ends; UINT64_MAX when it has been dealt with (ended the log, or
 * diverged). */
static uint64_t halt_value(struct sequencer *s, const struct seq_req *rq)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->main.ev;
	uint64_t deadline = halt_deadline(rq);

	if (ev->icount == rq->icount && ev->id == LOG_CHECKPOINT)
		advance(s);
	/* What was sent before a halt was counted one instruction further, to which a machine that
	 * sleeps may never come. */
	if (past_abrupt_end(r) && (rq->icount + 1 >= ev->icount || deadline == SEQ_NEVER)) {
		send_shutdown(s, r->end_cause);
		sequencer_halt_reply(s, next_stop(s), rq->now_ns);
		return SEQ_NEVER;
	}
	if (ev->icount == rq->icount) {
		if (ev->id == LOG_CPU_MARK || is_input(r, ev)) {
			unexpected(s, "a machine that is halted");
			return SEQ_NEVER;
		}
		if (ev->id == LOG_WARP && ev->value >= rq->now_ns && ev->value <= deadline)
			return ev->value;
	}
	if (halt_is_endless(s, rq))
		return SEQ_NEVER;
	if (deadline == SEQ_NEVER)
		unexpected(s, "a machine that is halted for ever (no deadline)");
	return deadline;
}

/* Answers a HALT: with what the log has at this icount, or with the deadline. */
static void halt_answer(
	struct sequencer *s, const struct seq_req *rq, const uint32_t *mark, uint64_t value)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->main.ev;

	if (ev->id == LOG_WARP && ev->icount == rq->icount && ev->value == value) {
		advance(s);
		if (!deliver_group(s, mark))
			return;
	}
	sequencer_halt_reply(s, next_stop(s), value);
}

static void replay_halt(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark)
{
	struct replay *r = s->state;
	uint64_t value;

	if (asked_to_stop(s) || r->ending) {
		sequencer_halt_reply(s, SEQ_NEVER, rq->now_ns);
		return;
	}
	if (!not_passed(s, "halt"))
		return;
	value = halt_value(s, rq);
	if (value == SEQ_NEVER)
		return;
	if (s->conf.realtime)
		sequencer_halt_wait(s, rq, mark, value);
	else
		halt_answer(s, rq, mark, value);
}

/* replay-speed=realtime: the time that the guest slept has passed, or somebody wants to stop. */
static void replay_halt_wake(struct sequencer *s, uint64_t now_ns)
{
	struct seq_req rq = s->halt.rq;
	uint32_t mark[CPU_MARK_COUNT];

	memcpy(mark, s->halt.mark, sizeof(mark));
	if (asked_to_stop(s))
		sequencer_halt_reply(s, SEQ_NEVER, rq.now_ns);
	else
		halt_answer(s, &rq, mark, s->halt.target_ns);
}

static void replay_clock(struct sequencer *s, const struct seq_req *rq)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->main.ev;
	uint8_t want = rq->arg == SEQ_CLOCK_HOST ? LOG_CLOCK_HOST : LOG_CLOCK_VIRTUAL_RT;
	const char *what = rq->arg == SEQ_CLOCK_HOST ? "a read of the host's clock"
						     : "a read of the virtual-rt clock";

	/* In the last instruction of a log that was cut, or behind it, nobody will see what the
	 * clock says. */
	if (r->ending || past_abrupt_end(r)) {
		sequencer_done_reply(s, next_stop(s), r->last_clock);
		return;
	}
	if (!not_passed(s, what))
		return;
	if (ev->id != want || ev->icount != s->icount) {
		unexpected(s, what);
		return;
	}
	r->last_clock = ev->value;
	agreed(s, log_event_name(want));
	advance(s);
	sequencer_done_reply(s, next_stop(s), r->last_clock);
}

static void digest_differs(
	struct sequencer *s, const uint8_t *items, uint32_t len, const char *missing)
{
	struct replay *r = s->state;
	char text[SEQUENCER_TEXT_MAX - 1024] = "";
	FILE *f = fmemopen(text, sizeof(text) - 1, "w");

	if (f) {
		if (digest_diff(f, r->main.ev.data, r->main.ev.len, "log", items, len, "replay",
			    DIFFS_MAX) == 0 &&
			!missing[0])
			fprintf(f, "  the items are the same, but in another order\n");
		fputs(missing, f);
		fclose(f);
	}
	diverge(s, "digest", "%s", text);
}

static void replay_digest(
	struct sequencer *s, const struct seq_req *rq, const uint8_t *items, uint32_t len)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->main.ev;
	char missing[2048];

	if (r->ending || past_abrupt_end(r)) {
		sequencer_done_reply(s, r->ending ? SEQ_NEVER : next_stop(s), 0);
		return;
	}
	if (!not_passed(s, "digest"))
		return;
	if (ev->id != LOG_DIGEST || ev->icount != s->icount) {
		unexpected(s, "a digest");
		return;
	}
	output_missing(s, missing, sizeof(missing));
	if (len != ev->len || memcmp(items, ev->data, len) != 0 || missing[0]) {
		digest_differs(s, items, len, missing);
		return;
	}
	agreed(s, "digest");
	advance(s);
	sequencer_done_reply(s, next_stop(s), 0);
}

static void replay_shutdown(struct sequencer *s, const struct seq_req *rq)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->main.ev;
	uint32_t status = rq->value ? (uint32_t)(rq->value - 1) & 0xff : RUN_OK;
	char missing[2048] = "", what[64];

	snprintf(what, sizeof(what), "a shutdown (%s)", log_cause_name((uint8_t)rq->arg));
	/* A log that stopped just before its end does not know the cause. */
	if (!r->ending && !past_abrupt_end(r)) {
		if (!not_passed(s, what))
			return;
		if (!is_closing(r, ev)) {
			unexpected(s, what);
			return;
		}
		if (ev->icount != s->icount || r->end_cause != rq->arg) {
			diverge(s, what,
				"  log: it ends at icount %" PRIu64
				", %s\n  replay: it ends at icount %" PRIu64 ", %s\n",
				r->end_icount, log_cause_name(r->end_cause), s->icount,
				log_cause_name((uint8_t)rq->arg));
			return;
		}
		output_missing(s, missing, sizeof(missing));
	}
	if (missing[0]) {
		diverge(s, what, "%s", missing);
		return;
	}
	sequencer_done_reply(s, SEQ_NEVER, 0);
	s->result.events = r->stopped ? r->main.reader.events : r->n_events;
	s->result.log_bytes = r->file_len;
	if (r->stopped)
		sequencer_finish(s, RUN_FAILED, rq->arg,
			"the replay was stopped (%s) at icount %" PRIu64
			", before the log's end at icount %" PRIu64,
			log_cause_name((uint8_t)rq->arg), s->icount, r->end_icount);
	else if (r->cut)
		sequencer_finish(s, RUN_LOG_CUT, rq->arg,
			"the log '%s' was replayed to its last event and agreed, but it has no "
			"end: %s",
			s->conf.file_name, r->cut_text);
	else
		sequencer_finish(s, status, rq->arg, NULL);
}

static void replay_abandon(struct sequencer *s, const char *text)
{
	struct replay *r = s->state;

	s->result.events = r->main.reader.events;
	s->result.log_bytes = r->file_len;
}

/* The world is not heard, but for somebody who wants to end the replay. */
static bool replay_wants(struct sequencer *s, const struct input *in)
{
	return in->event == SEQ_EV_SHUTDOWN;
}

static int64_t replay_tick(struct sequencer *s, int64_t mono_ns)
{
	return INT64_MAX;
}

const struct source_ops source_replay = {
	.name = "replay",
	.state_size = sizeof(struct replay),
	.open = replay_begin,
	.close = replay_close,
	.init = replay_init,
	.resume = replay_resume,
	.take = replay_take,
	.halt = replay_halt,
	.halt_wake = replay_halt_wake,
	.clock = replay_clock,
	.digest = replay_digest,
	.output = replay_output,
	.shutdown = replay_shutdown,
	.abandon = replay_abandon,
	.wants = replay_wants,
	.tick = replay_tick,
	.save = replay_save,
	.check = replay_check,
	.load = replay_load,
};
