/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaying: the first look at the log, and is this the machine that was recorded? */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "blk.h"
#include "diskkey.h"
#include "log_words.h"
#include "replay.h"

#define BLK_TIMEOUT_NS INT64_C(10000000000)

int cursor_open(struct cursor *c, int fd, struct error *err)
{
	memset(c, 0, sizeof(*c));
	return log_reader_init(&c->reader, log_source_file(&c->src, fd), err);
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

/*
 * A disk request that failed fails again, in the same way. blkproxy is told before the machine can
 * ask for it.
 */
static int block_will_fail(struct sequencer *s, const struct log_event *ev)
{
	struct blkseq_msg m = {
		.hdr.type = BLKSEQ_FAIL, .id = ev->value, .done = ev->done, .error = ev->a
	};
	union slot slot = { 0 };

	if (!s->conf.blk)
		return 0; /* the configuration will be found to differ */
	memcpy(&slot, &m, sizeof(m));
	if (chan_send(s->conf.blk, &slot, NULL, 0, BLK_TIMEOUT_NS) == 0)
		return 0;
	sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
		"blkproxy does not take the list of requests that failed: %s",
		chan_error(s->conf.blk) ? chan_error(s->conf.blk) : "it does not read");
	return -1;
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
	bool final = false, marks = false;
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
		if (c.ev.id == LOG_BLOCK_ERROR && block_will_fail(s, &c.ev) < 0)
			break;
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
		marks |= c.ev.id == LOG_CHECKPOINT;
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
	/* A mark for each halt has to be met by a halt; pacing has to see them too. */
	s->halts_free = !marks && !s->conf.realtime;
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

/* A disk's files are named, and what of them has changed. False: it is nothing of the kind. */
static bool print_disk(FILE *f, const struct log_config_item *it, const struct config_item *mine)
{
	char *was = strndup(it->value, it->value_len);
	char *text = was ? disk_key_difference("log", was, mine->value, mine->files, mine->n_files)
			 : NULL;

	if (text)
		fputs(text, f);
	free(was);
	free(text);
	return text != NULL;
}

static void compare_item(struct sequencer *s, FILE *f, const struct log_config_item *it, int *n)
{
	for (size_t i = 0; i < s->conf.n_config; i++) {
		const struct config_item *mine = &s->conf.config[i];

		if (!key_is(it, mine->key))
			continue;
		if (strlen(mine->value) == it->value_len &&
			!memcmp(it->value, mine->value, it->value_len))
			return;
		++*n;
		fputs("\n  ", f);
		print_escaped(f, it->key, it->key_len);
		fputs(": ", f);
		if (mine->n_files && print_disk(f, it, mine))
			return;
		fputs("log ", f);
		print_escaped(f, it->value, it->value_len);
		fputs(", this machine ", f);
		print_escaped(f, mine->value, strlen(mine->value));
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

int replay_open_cursors(struct sequencer *s)
{
	struct replay *r = s->state;
	struct cursor *const c[] = { &r->main, &r->scout, &r->out };
	struct error err = ERROR_INIT;

	for (; r->n_cursors < 3; r->n_cursors++)
		if (cursor_open(c[r->n_cursors], s->conf.log_fd, &err) < 0) {
			r->n_cursors++;
			return unusable(s, "%s", err.msg);
		}
	return 0;
}

void replay_close_cursors(struct sequencer *s)
{
	struct replay *r = s->state;
	struct cursor *const c[] = { &r->main, &r->scout, &r->out };

	while (r->n_cursors > 0)
		log_reader_done(&c[--r->n_cursors]->reader);
}

int replay_open(struct sequencer *s)
{
	struct replay *r = s->state;

	if (look_through(s) < 0 || replay_open_cursors(s) < 0)
		return -1;
	if (!cursor_next(s, &r->main))
		return unusable(s, "it has changed while it was read");
	s->result.log_bytes = r->file_len;
	if (compare_config(s) < 0)
		return -1;
	return 0;
}

void replay_close(struct sequencer *s)
{
	struct replay *r = s->state;

	replay_close_cursors(s);
	for (int i = 0; i < REPLAY_STREAMS; i++)
		free(r->stream[i].buf);
}
