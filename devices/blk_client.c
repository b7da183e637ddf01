/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices' side of blkproxy's ring: see blk_client.h. */
#include "blk_client.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "log.h"
#include "trace.h"

static struct trace_point tp_answer = TRACE_POINT("blk_answer");

/* A disk's answer is a matter of tens of microseconds at best. */
#define SPIN_MAX_NS   (20 * 1000)
#define SPIN_MIN_NS   (2 * 1000)
#define WAIT_STEP_NS  (1000 * 1000 * 1000LL)
#define STEPS_TO_WARN 5

static const char *const op_names[] = {
#define X(n) #n,
	BLK_OPS(X)
#undef X
};

void blk_client_init(
	struct blk_client *c, struct chan *chan, const uint8_t *in, struct machine_page *page)
{
	memset(c, 0, sizeof(*c));
	c->chan = chan;
	c->in = in;
	c->page = page;
	c->spin = (struct chan_spin){ .min_ns = SPIN_MIN_NS, .max_ns = SPIN_MAX_NS };
}

static int broken(struct blk_client *c, const struct blk_req *rq, int r, struct error *err)
{
	const char *why = chan_error(c->chan);

	return error_set(err, -r, "disks (blkproxy): %s, request %" PRIu64 " of drive %u: %s",
		op_names[rq->hdr.type], rq->id, rq->drive, why ? why : strerror(-r));
}

/* For the report only: blkproxy may be stopped, or on its way back from a crash. */
static void wait_report(const struct blk_client *c, const struct blk_req *rq, int steps)
{
	if (steps != STEPS_TO_WARN)
		return;
	if (c->page && atomic_load_acquire(&c->page->run_state) != RUN_RUNNING)
		return;
	log_warn("waiting for blkproxy to answer %s, request %" PRIu64 " of drive %u, for %d s",
		op_names[rq->hdr.type], rq->id, rq->drive, steps);
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
	while (!chan_empty(c->chan)) {
		struct blk_rep rep;
		union slot s;
		int r = chan_recv(c->chan, &s, NULL, 0);

		if (r < 0)
			return broken(c, rq, r, err);
		memcpy(&rep, &s, sizeof(rep));
		answer_take(c, &rep);
	}
	return chan_error(c->chan) ? broken(c, rq, -EPROTO, err) : 0;
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
	for (int steps = 1;; steps++) {
		/* The ring to us must never be full when the one to blkproxy is. */
		int r = answers_take(c, rq, err);

		if (r < 0)
			return r;
		r = chan_send(c->chan, &s, NULL, 0, WAIT_STEP_NS);
		if (r == 0)
			return 0;
		if (r != -ETIMEDOUT)
			return broken(c, rq, r, err);
		wait_report(c, rq, steps);
	}
}

int blk_client_wait(struct blk_client *c, const struct blk_req *rq, uint32_t *ret_error,
	const uint8_t **ret_data, struct error *err)
{
	must(rq->buf < BLK_BUFS && c->row[rq->buf].id == rq->id);
	for (int steps = 1;;) {
		int r = answers_take(c, rq, err);

		if (r < 0)
			return r;
		if (c->row[rq->buf].answered)
			break;
		r = chan_wait_learning(c->chan, &c->spin, WAIT_STEP_NS, -1);
		if (r == -ETIMEDOUT)
			wait_report(c, rq, steps++);
		else if (r < 0)
			return broken(c, rq, r, err);
	}
	c->row[rq->buf].id = 0;
	*ret_error = c->row[rq->buf].error;
	*ret_data = c->in + (size_t)rq->buf * BLK_BUF_LEN;
	return 0;
}
