/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices' side of blkproxy's ring: see blk_client.h. */
#include "blk_client.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "log.h"
#include "trace.h"

static struct trace_point tp_answer = TRACE_POINT("blk_answer");

static const char *const op_names[] = {
#define X(n) #n,
	BLK_OPS(X)
#undef X
};

static bool describe(const void *opaque, char *buf, size_t cap)
{
	const struct blk_req *rq = opaque;

	snprintf(buf, cap, "%s, request %" PRIu64 " of drive %u", op_names[rq->hdr.type], rq->id,
		rq->drive);
	return true;
}

void blk_client_init(
	struct blk_client *c, struct chan *chan, const uint8_t *in, struct machine_page *page)
{
	memset(c, 0, sizeof(*c));
	c->in = in;
	c->peer = (struct peer){ .chan = chan,
		.page = page,
		.what = "disks",
		.process = "blkproxy",
		.describe = describe };
	peer_init(&c->peer);
}

/* Takes an answer to what is in flight; an answer to anything else was given before. */
static void answer_take(struct blk_client *c, const struct blk_rep *rep)
{
	for (unsigned i = 0; rep->id && i < BLK_BUFS; i++) {
		if (c->row[i].id == rep->id && !c->row[i].answered) {
			c->row[i].answered = true;
			c->row[i].error = rep->error;
			trace(&tp_answer, "id %" PRIu64 " error %u", rep->id, rep->error);
			return;
		}
	}
	c->n_dropped++;
}

static int answers_take(struct blk_client *c, const struct blk_req *rq, struct error *err)
{
	struct chan *chan = c->peer.chan;

	while (!chan_empty(chan)) {
		struct blk_rep rep;
		union slot s;
		int r = chan_recv(chan, &s, NULL, 0);

		if (r < 0)
			return peer_broken(&c->peer, rq, r, err);
		memcpy(&rep, &s, sizeof(rep));
		answer_take(c, &rep);
	}
	return chan_error(chan) ? peer_broken(&c->peer, rq, -EPROTO, err) : 0;
}

int blk_client_reset(struct blk_client *c, struct error *err)
{
	const struct blk_req none = { 0 };
	int r = answers_take(c, &none, err);

	memset(c->row, 0, sizeof(c->row));
	return r;
}

int blk_client_submit(struct blk_client *c, const struct blk_req *rq, struct error *err)
{
	union slot s;

	must(rq->buf < BLK_BUFS && rq->id);
	memset(&s, 0, sizeof(s));
	memcpy(&s, rq, sizeof(*rq));
	c->row[rq->buf].id = rq->id;
	c->row[rq->buf].answered = false;
	for (int steps = 0;;) {
		/* The ring to us must never be full when the one to blkproxy is. */
		int r = answers_take(c, rq, err);

		if (r == 0)
			r = peer_send(&c->peer, rq, &s, NULL, 0, &steps, err);
		if (r != -EAGAIN)
			return r;
	}
}

int blk_client_wait(struct blk_client *c, const struct blk_req *rq, uint32_t *ret_error,
	const uint8_t **ret_data, struct error *err)
{
	must(rq->buf < BLK_BUFS && c->row[rq->buf].id == rq->id);
	for (int steps = 0;;) {
		int r = answers_take(c, rq, err);

		if (r < 0)
			return r;
		if (c->row[rq->buf].answered)
			break;
		r = peer_wait(&c->peer, rq, &steps, err);
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	c->row[rq->buf].id = 0;
	*ret_error = c->row[rq->buf].error;
	*ret_data = c->in + (size_t)rq->buf * BLK_BUF_LEN;
	return 0;
}
