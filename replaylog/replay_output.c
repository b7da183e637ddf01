/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replaying: the guest's output, compared byte by byte as it comes. The log has it later, in
 * batches. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "log_words.h"
#include "replay.h"

#define CONTEXT_LEN	 24
#define STREAM_WORDS_MAX 64

/* Reads ahead until `want` more bytes of the stream are known, or the log is over. */
static size_t output_expect(struct sequencer *s, unsigned int stream, size_t want)
{
	struct replay *r = s->state;
	struct expected *e = &r->stream[stream];

	while (e->len - e->pos < want && cursor_next(s, &r->out)) {
		const struct log_event *ev = &r->out.ev;
		struct expected *x;
		size_t skip;

		if (ev->id != LOG_OUTPUT)
			continue;
		x = &r->stream[ev->dev];
		skip = x->skip < ev->len ? (size_t)x->skip : ev->len;
		x->skip -= skip;
		if (x->pos > 0) {
			memmove(x->buf, x->buf + x->pos, x->len - x->pos);
			x->len -= x->pos;
			x->pos = 0;
		}
		if (x->len + ev->len - skip > x->cap) {
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
		if (ev->len > skip)
			memcpy(x->buf + x->len, ev->data + skip, ev->len - skip);
		x->len += ev->len - skip;
	}
	return e->len - e->pos;
}

/* The stream's name as the configuration has it ("streams": names in order, commas between), with
 * its number. */
static const char *stream_words(
	const struct sequencer *s, unsigned int stream, char *buf, size_t cap)
{
	const char *names = "";

	for (size_t i = 0; i < s->conf.n_config; i++)
		if (!strcmp(s->conf.config[i].key, "streams"))
			names = s->conf.config[i].value;
	for (unsigned int i = 0; i < stream && *names; i++) {
		names += strcspn(names, ",");
		names += *names == ',';
	}
	if (*names && *names != ',')
		snprintf(buf, cap, "%.*s (stream %u)", (int)strcspn(names, ","), names, stream);
	else
		snprintf(buf, cap, "stream %u", stream);
	return buf;
}

static void output_differs(
	struct sequencer *s, unsigned int stream, size_t at, const uint8_t *p, size_t len)
{
	struct replay *r = s->state;
	struct expected *e = &r->stream[stream];
	size_t known = output_expect(s, stream, at + CONTEXT_LEN);
	const uint8_t *want = known > at ? e->buf + e->pos + at : p;
	size_t n_want = known - at < CONTEXT_LEN ? known - at : CONTEXT_LEN;
	char a[CONTEXT_LEN * 4 + 8], b[CONTEXT_LEN * 4 + 8];
	char what[STREAM_WORDS_MAX + 16], name[STREAM_WORDS_MAX];

	bytes_escape(a, sizeof(a), want, n_want);
	bytes_escape(b, sizeof(b), p + at, len - at < CONTEXT_LEN ? len - at : CONTEXT_LEN);
	stream_words(s, stream, name, sizeof(name));
	snprintf(what, sizeof(what), "output of %s", name);
	if (n_want == 0)
		diverge(s, what,
			"  output of %s: the log has %" PRIu64
			" bytes; the replay sends more: byte %" PRIu64 " is 0x%02x, \"%s\"\n",
			name, e->sent + at, e->sent + at, p[at], b);
	else
		diverge(s, what,
			"  output of %s, byte %" PRIu64
			": log 0x%02x, replay 0x%02x\n  log:    \"%s\"\n  replay: \"%s\"\n",
			name, e->sent + at, want[0], p[at], a, b);
}

void replay_output(struct sequencer *s, const struct seq_req *rq, const uint8_t *p, uint32_t len)
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
void output_missing(struct sequencer *s, char *buf, size_t cap)
{
	struct replay *r = s->state;
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < REPLAY_STREAMS && n + 256 < cap; i++) {
		struct expected *e = &r->stream[i];
		char text[CONTEXT_LEN * 4 + 8], name[STREAM_WORDS_MAX];
		size_t known;

		if (e->sent == e->promised)
			continue;
		if (e->sent > e->promised) {
			n += (size_t)snprintf(buf + n, cap - n,
				"  output of %s: log %" PRIu64 " bytes, replay %" PRIu64 "\n",
				stream_words(s, i, name, sizeof(name)), e->promised, e->sent);
			continue;
		}
		known = output_expect(s, i, CONTEXT_LEN);
		bytes_escape(text, sizeof(text), e->buf + e->pos,
			known < CONTEXT_LEN ? known : CONTEXT_LEN);
		n += (size_t)snprintf(buf + n, cap - n,
			"  output of %s: log %" PRIu64 " bytes, replay %" PRIu64
			"; missing: \"%s\"\n",
			stream_words(s, i, name, sizeof(name)), e->promised, e->sent, text);
	}
}
