/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices' side of the sequencer's ring: see seq_client.h. */
#include "seq_client.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "trace.h"

static struct trace_point tp_call = TRACE_POINT("seq_call");
static struct trace_point tp_done = TRACE_POINT("seq_done");

static const char *const message_names[] = {
#define X(n) #n,
	SEQ_MESSAGES(X)
#undef X
};

/* A halted guest may wait as long as it likes. */
static bool describe(const void *opaque, char *buf, size_t cap)
{
	const struct seq_req *rq = opaque;

	snprintf(buf, cap, "%s at icount %" PRIu64, message_names[rq->hdr.type], rq->icount);
	return rq->hdr.type != SEQ_HALT;
}

int seq_client_init(struct seq_client *c, struct chan *chan, struct machine_page *page,
	unsigned n_streams, struct error *err)
{
	memset(c, 0, sizeof(*c));
	c->peer = (struct peer){ .chan = chan,
		.page = page,
		.what = "sequencer",
		.process = "replaylog",
		.describe = describe };
	peer_init(&c->peer);
	c->n_streams = n_streams;
	c->next_icount = SEQ_NEVER;
	c->output = calloc(n_streams ? n_streams : 1, sizeof(*c->output));
	if (!c->output)
		return error_set(err, ENOMEM, "no memory for the output of %u streams", n_streams);
	return 0;
}

void seq_client_done(struct seq_client *c)
{
	free(c->output);
	free(c->ev);
	free(c->data);
	memset(c, 0, sizeof(*c));
}

/* ---- asking ---- */

static int send_all(
	struct seq_client *c, struct seq_req *rq, const void *data, uint32_t len, struct error *err)
{
	union slot s;

	memset(&s, 0, sizeof(s));
	memcpy(&s, rq, sizeof(*rq));
	trace(&tp_call, "%s arg %u value %" PRIu64 " len %u icount %" PRIu64,
		message_names[rq->hdr.type], rq->arg, rq->value, len, rq->icount);
	for (int steps = 0;;) {
		int r = peer_send(&c->peer, rq, &s, data, len, &steps, err);

		if (r != -EAGAIN)
			return r;
	}
}

static int wait_one(struct seq_client *c, const struct seq_req *rq, struct error *err)
{
	for (int steps = 0;;) {
		int r = peer_wait(&c->peer, rq, &steps, err);

		if (r != -EAGAIN)
			return r;
	}
}

/* ---- events ---- */

static int grow(void **p, uint32_t *cap, uint32_t need, size_t elem, uint32_t max)
{
	uint32_t n = *cap ? *cap : 64;
	void *q;

	if (need <= *cap)
		return 0;
	if (need > max)
		return -EMSGSIZE;
	while (n < need)
		n *= 2;
	q = realloc(*p, n * elem);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = n;
	return 0;
}

static int event_keep(struct seq_client *c, const struct seq_rep *rep, const void *data)
{
	uint32_t len = rep->hdr.data_len;
	int r;

	if (len > SEQ_CHAR_MAX)
		return -EMSGSIZE;
	r = grow((void **)&c->ev, &c->cap_ev, c->n_ev + 1, sizeof(*c->ev), SEQ_CLIENT_EVENTS_MAX);
	if (r == 0)
		r = grow(
			(void **)&c->data, &c->data_cap, c->data_len + len, 1, SEQ_CLIENT_DATA_MAX);
	if (r < 0)
		return r;
	c->ev[c->n_ev] = *rep;
	c->ev[c->n_ev++].hdr.data_off = c->data_len;
	if (len)
		memcpy(c->data + c->data_len, data, len);
	c->data_len += len;
	return 0;
}

/* Sends a request and collects its events until DONE, which *done gets. */
static int call(struct seq_client *c, struct seq_req *rq, const void *data, uint32_t len,
	struct seq_rep *done, struct error *err)
{
	int r = seq_flush(c, err);

	rq->icount = c->icount;
	rq->now_ns = c->now_ns;
	c->n_ev = 0;
	c->data_len = 0;
	if (r == 0)
		r = send_all(c, rq, data, len, err);
	while (r == 0) {
		const void *bytes = NULL;
		union slot s;

		r = wait_one(c, rq, err);
		if (r < 0)
			return r;
		r = chan_peek(c->peer.chan, &s, &bytes);
		if (r < 0)
			return peer_broken(&c->peer, rq, r, err);
		memcpy(done, &s, sizeof(*done));
		if (done->hdr.type == SEQ_EVENT)
			r = event_keep(c, done, bytes);
		chan_release(c->peer.chan);
		if (r < 0)
			return error_set(err, -r,
				"sequencer (replaylog): event %u of %u bytes in answer to %s: more "
				"than fits",
				c->n_ev, done->hdr.data_len, message_names[rq->hdr.type]);
		if (done->hdr.type == SEQ_DONE)
			break;
		if (done->hdr.type != SEQ_EVENT)
			return error_set(err, EPROTO,
				"sequencer (replaylog): message %u in answer to %s: expected EVENT "
				"or DONE",
				done->hdr.type, message_names[rq->hdr.type]);
	}
	if (r < 0)
		return r;
	c->next_icount = done->next_icount;
	c->halts_free = (done->a & SEQ_HALTS_FREE) != 0;
	trace(&tp_done, "%s events %u next %" PRIu64 " value %" PRIu64, message_names[rq->hdr.type],
		c->n_ev, done->next_icount, done->value);
	return 0;
}

/* Only TAKE and HALT are answered with events. */
static int call_quiet(struct seq_client *c, struct seq_req *rq, const void *data, uint32_t len,
	struct seq_rep *done, struct error *err)
{
	int r = call(c, rq, data, len, done, err);

	if (r == 0 && c->n_ev)
		return error_set(err, EPROTO, "sequencer (replaylog): an event in answer to %s",
			message_names[rq->hdr.type]);
	return r;
}

/* ---- requests ---- */

int seq_init(struct seq_client *c, struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_INIT };
	struct seq_rep done;

	return call_quiet(c, &rq, NULL, 0, &done, err);
}

int seq_resume(struct seq_client *c, const uint64_t *credit, struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_RESUME };
	struct seq_rep done;
	int r = call_quiet(c, &rq, NULL, 0, &done, err);

	c->n_halts = 0;
	for (unsigned i = 0; r == 0 && i < c->n_streams; i++)
		if (credit[i])
			r = seq_credit(c, i, (uint32_t)credit[i], err);
	return r;
}

int seq_take(struct seq_client *c, const uint32_t *mark, struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_TAKE };
	struct seq_rep done;

	return call(c, &rq, mark, CPU_MARK_COUNT * 4, &done, err);
}

/* Is the answer "deadline" without asking? (proto/seq.h, SEQ_HALTS_FREE) */
static bool halt_is_known(struct seq_client *c, uint64_t deadline_ns)
{
	bool known = c->halts_free && c->next_icount - c->icount > 1 &&
		     c->next_icount > c->icount && deadline_ns != SEQ_NEVER &&
		     !(c->peer.page && atomic_load_acquire(&c->peer.page->input_pending)) &&
		     ++c->n_halts % SEQ_HALTS_ASK != 0;

	if (!known)
		c->n_halts = 0;
	return known;
}

int seq_halt(struct seq_client *c, const uint32_t *mark, uint64_t deadline_ns, uint64_t *ret_ns,
	struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_HALT, .deadline_ns = deadline_ns };
	struct seq_rep done;
	int r;

	if (halt_is_known(c, deadline_ns)) {
		*ret_ns = deadline_ns;
		c->n_ev = 0;
		return seq_flush(c, err);
	}
	r = call(c, &rq, mark, CPU_MARK_COUNT * 4, &done, err);
	if (r < 0)
		return r;
	if (done.value < c->now_ns || done.value > deadline_ns)
		return error_set(err, EPROTO,
			"sequencer (replaylog): halt from %" PRIu64 " to at most %" PRIu64
			" ns ended at %" PRIu64,
			c->now_ns, deadline_ns, done.value);
	*ret_ns = done.value;
	return 0;
}

int seq_clock(struct seq_client *c, enum seq_clock which, int64_t *ret_ns, struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_CLOCK, .arg = which };
	struct seq_rep done;
	int r = call_quiet(c, &rq, NULL, 0, &done, err);

	if (r == 0)
		*ret_ns = (int64_t)done.value;
	return r;
}

int seq_digest(struct seq_client *c, const uint8_t *items, uint32_t len, struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_DIGEST };
	struct seq_rep done;

	return call_quiet(c, &rq, items, len, &done, err);
}

int seq_shutdown(
	struct seq_client *c, enum shutdown_cause cause, uint32_t exit_value, struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_SHUTDOWN, .arg = cause, .value = exit_value };
	struct seq_rep done;

	return call_quiet(c, &rq, NULL, 0, &done, err);
}

/* ---- output ---- */

static int output_send(struct seq_client *c, unsigned stream, struct error *err)
{
	struct seq_req rq = {
		.hdr.type = SEQ_OUTPUT, .arg = stream, .icount = c->icount, .now_ns = c->now_ns
	};
	struct seq_output *o = &c->output[stream];
	uint32_t len = o->len;

	o->len = 0;
	return len ? send_all(c, &rq, o->buf, len, err) : 0;
}

int seq_output(
	struct seq_client *c, unsigned stream, const uint8_t *buf, size_t len, struct error *err)
{
	struct seq_output *o = &c->output[stream];

	must(stream < c->n_streams);
	while (len > 0) {
		size_t n = SEQ_CHAR_MAX - o->len < len ? SEQ_CHAR_MAX - o->len : len;

		memcpy(o->buf + o->len, buf, n);
		o->len += (uint32_t)n;
		buf += n;
		len -= n;
		c->output_waits = true;
		if (o->len == SEQ_CHAR_MAX) {
			int r = output_send(c, stream, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

int seq_credit(struct seq_client *c, unsigned stream, uint32_t len, struct error *err)
{
	struct seq_req rq = { .hdr.type = SEQ_CREDIT,
		.arg = stream,
		.value = len,
		.icount = c->icount,
		.now_ns = c->now_ns };

	return send_all(c, &rq, NULL, 0, err);
}

int seq_flush(struct seq_client *c, struct error *err)
{
	if (!c->output_waits)
		return 0;
	c->output_waits = false;
	for (unsigned i = 0; i < c->n_streams; i++) {
		int r = output_send(c, i, err);

		if (r < 0)
			return r;
	}
	return 0;
}
