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
#include "log_reader.h"
#include "log_words.h"
#include "sequencer.h"

#define STREAMS	    256
#define DIFFS_MAX   24
#define CONTEXT_LEN 24
#define HALTS_AT_ONE_MAX \
	10000000 /* deadlines in a row that do not wake the CPU, while the log has it go on */

/* A reader and the event at which it stands. */
struct cursor {
	struct log_source src;
	struct log_reader reader;
	struct log_event ev;
	bool over; /* it stands behind the last event */
};

struct expected {
	uint8_t *buf;
	size_t pos, len, cap;
	uint64_t sent;	   /* bytes that the machine has sent */
	uint64_t promised; /* bytes that it must have sent when main's event happens */
};

struct replay {
	struct cursor main, scout, out;
	int n_cursors;
	/* from the first look at the whole log */
	bool cut;
	bool abrupt; /* cut, or ended by a host's error: its end is not the guest's doing */
	uint64_t closing_number; /* the SHUTDOWN before END: it ends the log, it is not delivered */
	uint64_t end_icount;
	uint8_t end_cause;
	uint64_t n_events, file_len;
	char cut_text[512];
	/* progress */
	uint64_t last_clock;
	bool ending;  /* SHUTDOWN was sent that is not in the log: nothing is compared any more */
	bool stopped; /* ... because somebody here asked for it */
	uint64_t halt_icount, n_halts;
	struct {
		char what[64];
		uint64_t icount, number;
	} good; /* the last check that agreed */
	struct expected stream[STREAMS];
};

/* ---- divergence ---- */

static void diverge(struct sequencer *s, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* what: the check that failed, at s->icount. fmt: lines that say how; each begins with two spaces
 * and ends with a newline. */
static void diverge(struct sequencer *s, const char *what, const char *fmt, ...)
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

static void agreed(struct sequencer *s, const char *what)
{
	struct replay *r = s->state;

	snprintf(r->good.what, sizeof(r->good.what), "%s", what);
	r->good.icount = s->icount;
	r->good.number = r->main.ev.number;
}

/* ---- cursors ---- */

static int cursor_open(struct cursor *c, int fd, struct error *err)
{
	memset(c, 0, sizeof(*c));
	return log_reader_init(&c->reader, log_source_file(&c->src, fd), err);
}

/* To the next event. The log was good when it was looked through, so that anything but its end
 * means that it has changed since. */
static bool cursor_next(struct sequencer *s, struct cursor *c)
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
static void advance(struct sequencer *s)
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

/* ---- the first look ---- */

static int unusable(struct sequencer *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int unusable(struct sequencer *s, const char *fmt, ...)
{
	char text[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sequencer_finish(s, RUN_LOG_UNUSABLE, SHUTDOWN_HOST_ERROR,
		"the log '%s' cannot be replayed: %s", s->conf.file_name, text);
	return -1;
}

/* Can this machine do what the event says? Other programs' logs hold more than we record. */
static bool is_replayable(const struct log_event *ev)
{
	struct input *in;

	switch (ev->id) {
	case LOG_ASYNC:
		if (input_from_event(ev, &in) < 0)
			return false;
		free(in);
		return true;
	case LOG_CHAR_WRITE:
	case LOG_CHAR_READ_ALL:
	case LOG_CHAR_READ_ALL_ERROR:
	case LOG_AUDIO_OUT:
	case LOG_AUDIO_IN: return false;
	default: return true;
	}
}

/* Reads the whole log once: all chunks are checked before anything runs, and it is known how the
 * log ends. */
static int look_through(struct sequencer *s)
{
	struct replay *r = s->state;
	struct cursor c;
	struct error err = ERROR_INIT;
	uint64_t shutdown_number = UINT64_MAX;
	uint8_t shutdown_cause = SHUTDOWN_NONE, last_id = LOG_INSTRUCTION;
	bool final = false;
	int ret = cursor_open(&c, s->conf.log_fd, &err);

	r->closing_number = UINT64_MAX;
	while (ret >= 0 && (ret = log_reader_next(&c.reader, &c.ev, &err)) == 1) {
		if (c.ev.number == 0 && c.ev.id != LOG_CONFIG) {
			ret = unusable(s, "its first event is %s, a config event was expected",
				log_event_name(c.ev.id));
			break;
		}
		if (!is_replayable(&c.ev)) {
			char title[64];

			log_event_title(&c.ev, title, sizeof(title));
			ret = unusable(s,
				"event %" PRIu64 " at icount %" PRIu64
				" is '%s', which this machine has no use for",
				c.ev.number, c.ev.icount, title);
			break;
		}
		if (c.ev.id == LOG_END) {
			r->closing_number =
				shutdown_number + 1 == c.ev.number ? shutdown_number : c.ev.number;
			r->end_cause =
				shutdown_number + 1 == c.ev.number ? shutdown_cause : SHUTDOWN_NONE;
			r->end_icount = c.ev.icount;
		} else if (c.ev.id != LOG_INSTRUCTION) {
			/* A clock is read, and a character sent, in the middle of an instruction.
			 */
			bool middle = c.ev.id == LOG_OUTPUT || c.ev.id == LOG_CLOCK_HOST ||
				      c.ev.id == LOG_CLOCK_VIRTUAL_RT;

			if (c.ev.icount + middle > r->end_icount)
				r->end_icount = c.ev.icount + middle;
		}
		if (c.ev.id == LOG_SHUTDOWN) {
			shutdown_number = c.ev.number;
			shutdown_cause = c.ev.sub;
		}
		/* A log that lost only its END: the final digest and the cause are there. */
		final = c.ev.id == LOG_SHUTDOWN && last_id == LOG_DIGEST;
		last_id = c.ev.id;
	}
	r->n_events = c.reader.events;
	r->file_len = c.reader.file_pos;
	log_reader_done(&c.reader);
	if (s->result.over)
		return -1;
	if (ret < 0 && ret != -ENODATA)
		return unusable(s, "%s", err.msg);
	if (r->n_events == 0)
		return unusable(s, "it holds no events (%s)", err.msg);
	r->cut = ret == -ENODATA;
	r->abrupt = r->cut || r->end_cause == SHUTDOWN_HOST_ERROR;
	if (r->cut) {
		r->end_cause = final ? shutdown_cause : SHUTDOWN_HOST_ERROR;
		if (final)
			r->closing_number = shutdown_number;
		snprintf(r->cut_text, sizeof(r->cut_text), "%s", err.msg);
	}
	return 0;
}

/* ---- configuration ---- */

static bool key_is(const struct log_config_item *it, const char *key)
{
	return strlen(key) == it->key_len && !memcmp(it->key, key, it->key_len);
}

static void print_escaped(FILE *f, const char *p, size_t n)
{
	char text[256];

	bytes_escape(text, sizeof(text), (const uint8_t *)p, n);
	fputs(text, f);
}

static void compare_item(struct sequencer *s, FILE *f, const struct log_config_item *it, int *n)
{
	for (size_t i = 0; i < s->conf.n_config; i++) {
		const char *value = s->conf.config[i].value;

		if (!key_is(it, s->conf.config[i].key))
			continue;
		if (strlen(value) == it->value_len && !memcmp(it->value, value, it->value_len))
			return;
		++*n;
		fputs("\n  ", f);
		print_escaped(f, it->key, it->key_len);
		fputs(": log ", f);
		print_escaped(f, it->value, it->value_len);
		fputs(", this machine ", f);
		print_escaped(f, value, strlen(value));
		return;
	}
	++*n;
	fputs("\n  ", f);
	print_escaped(f, it->key, it->key_len);
	fputs(": log ", f);
	print_escaped(f, it->value, it->value_len);
	fputs(", this machine has none", f);
}

static int compare_config(struct sequencer *s)
{
	struct replay *r = s->state;
	const struct log_event *ev = &r->main.ev;
	char text[SEQUENCER_TEXT_MAX - 512] = "";
	FILE *f = fmemopen(text, sizeof(text) - 1, "w");
	struct log_config_item it;
	size_t pos = 0;
	int n = 0;

	if (!f)
		return unusable(s, "no memory to compare the configuration");
	while (log_config_next(ev->data, ev->len, &pos, &it) == 1)
		compare_item(s, f, &it, &n);
	for (size_t i = 0; i < s->conf.n_config; i++) {
		bool there = false;

		for (pos = 0; !there && log_config_next(ev->data, ev->len, &pos, &it) == 1;)
			there = key_is(&it, s->conf.config[i].key);
		if (there)
			continue;
		n++;
		fprintf(f, "\n  %s: log has none, this machine ", s->conf.config[i].key);
		print_escaped(f, s->conf.config[i].value, strlen(s->conf.config[i].value));
	}
	fclose(f);
	if (n == 0)
		return 0;
	sequencer_finish(s, RUN_CONFIG_DIFFERS, SHUTDOWN_HOST_ERROR,
		"this is not the machine that was recorded in '%s': %d difference%s%s",
		s->conf.file_name, n, n == 1 ? "" : "s", text);
	return -1;
}

static int replay_open(struct sequencer *s)
{
	struct replay *r = s->state;
	struct cursor *const c[] = { &r->main, &r->scout, &r->out };
	struct error err = ERROR_INIT;

	if (look_through(s) < 0)
		return -1;
	for (; r->n_cursors < 3; r->n_cursors++)
		if (cursor_open(c[r->n_cursors], s->conf.log_fd, &err) < 0) {
			r->n_cursors++;
			return unusable(s, "%s", err.msg);
		}
	if (!cursor_next(s, &r->main))
		return unusable(s, "it has changed while it was read");
	s->result.log_bytes = r->file_len;
	if (compare_config(s) < 0)
		return -1;
	agreed(s, "config");
	advance(s);
	return s->result.over ? -1 : 0;
}

static void replay_close(struct sequencer *s)
{
	struct replay *r = s->state;
	struct cursor *const c[] = { &r->main, &r->scout, &r->out };

	for (int i = 0; i < r->n_cursors; i++)
		log_reader_done(&c[i]->reader);
	for (int i = 0; i < STREAMS; i++)
		free(r->stream[i].buf);
}

/* ---- output ---- */

/* Reads ahead until `want` more bytes of the stream are known, or the log is over. */
static size_t output_expect(struct sequencer *s, unsigned int stream, size_t want)
{
	struct replay *r = s->state;
	struct expected *e = &r->stream[stream];

	while (e->len - e->pos < want && cursor_next(s, &r->out)) {
		const struct log_event *ev = &r->out.ev;
		struct expected *x;

		if (ev->id != LOG_OUTPUT)
			continue;
		x = &r->stream[ev->dev];
		if (x->pos > 0) {
			memmove(x->buf, x->buf + x->pos, x->len - x->pos);
			x->len -= x->pos;
			x->pos = 0;
		}
		if (x->len + ev->len > x->cap) {
			size_t cap = (x->len + ev->len) * 2;
			uint8_t *p = realloc(x->buf, cap);

			if (!p) {
				sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
					"no memory to compare the guest's output");
				break;
			}
			x->buf = p;
			x->cap = cap;
		}
		memcpy(x->buf + x->len, ev->data, ev->len);
		x->len += ev->len;
	}
	return e->len - e->pos;
}

static void output_differs(
	struct sequencer *s, unsigned int stream, size_t at, const uint8_t *p, size_t len)
{
	struct replay *r = s->state;
	struct expected *e = &r->stream[stream];
	size_t known = output_expect(s, stream, at + CONTEXT_LEN);
	const uint8_t *want = known > at ? e->buf + e->pos + at : p;
	size_t n_want = known - at < CONTEXT_LEN ? known - at : CONTEXT_LEN;
	char a[CONTEXT_LEN * 4 + 8], b[CONTEXT_LEN * 4 + 8], what[32];

	bytes_escape(a, sizeof(a), want, n_want);
	bytes_escape(b, sizeof(b), p + at, len - at < CONTEXT_LEN ? len - at : CONTEXT_LEN);
	snprintf(what, sizeof(what), "output of stream %u", stream);
	if (n_want == 0)
		diverge(s, what,
			"  output stream %u: the log has %" PRIu64
			" bytes; the replay sends more: byte %" PRIu64 " is 0x%02x, \"%s\"\n",
			stream, e->sent + at, e->sent + at, p[at], b);
	else
		diverge(s, what,
			"  output stream %u, byte %" PRIu64
			": log 0x%02x, replay 0x%02x\n  log:    \"%s\"\n  replay: \"%s\"\n",
			stream, e->sent + at, want[0], p[at], a, b);
}

static void replay_output(
	struct sequencer *s, const struct seq_req *rq, const uint8_t *p, uint32_t len)
{
	struct replay *r = s->state;
	struct expected *e = &r->stream[rq->arg];
	size_t known = output_expect(s, rq->arg, len), n = known < len ? known : len, at = 0;

	while (at < n && e->buf[e->pos + at] == p[at])
		at++;
	/* Behind the end of a log that was cut, or of one that we have left, nothing is known. */
	if (at < n || (n < len && !r->abrupt && !r->ending)) {
		output_differs(s, rq->arg, at, p, len);
		return;
	}
	e->pos += n;
	e->sent += len;
}

/* Has all been sent that the log has up to here? Lines that say what is missing, "" if nothing is.
 */
static void output_missing(struct sequencer *s, char *buf, size_t cap)
{
	struct replay *r = s->state;
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < STREAMS && n + 256 < cap; i++) {
		struct expected *e = &r->stream[i];
		char text[CONTEXT_LEN * 4 + 8];
		size_t known;

		if (e->sent == e->promised)
			continue;
		if (e->sent > e->promised) {
			n += (size_t)snprintf(buf + n, cap - n,
				"  output stream %u: log %" PRIu64 " bytes, replay %" PRIu64 "\n",
				i, e->promised, e->sent);
			continue;
		}
		known = output_expect(s, i, CONTEXT_LEN);
		bytes_escape(text, sizeof(text), e->buf + e->pos,
			known < CONTEXT_LEN ? known : CONTEXT_LEN);
		n += (size_t)snprintf(buf + n, cap - n,
			"  output stream %u: log %" PRIu64 " bytes, replay %" PRIu64
			"; missing: \"%s\"\n",
			i, e->promised, e->sent, text);
	}
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

static void replay_init(struct sequencer *s, const struct seq_req *rq)
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
	if (r->n_halts < HALTS_AT_ONE_MAX)
		return false;
	diverge(s, "halt",
		"  log: the machine goes on to icount %" PRIu64
		"\n  replay: it is halted, and %d deadlines have not woken it (virtual time "
		"%" PRIu64 " ns)\n",
		r->main.ev.icount, HALTS_AT_ONE_MAX, rq->now_ns);
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
	.open = replay_open,
	.close = replay_close,
	.init = replay_init,
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
};
