/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop of the sequencer (see sequencer.h): requests from devices and inputs from the hub, each
 * copied and checked before it is believed; the wait of a halted machine; the guest's output on its
 * way to the hub.
 */
#include "sequencer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "blk.h"
#include "clock.h"
#include "digest.h"
#include "log.h"
#include "log_words.h"

#define REPLY_TIMEOUT_NS                                                                         \
	INT64_C(10000000000) /* devices read while they wait for us: a full ring this long means \
				that they hang */
#define SLEEP_MAX_NS	   INT64_C(250000000)
#define PACE_BEHIND_MAX_NS INT64_C(100000000)
#define BACKLOG_RETRY_NS   INT64_C(1000000)
#define REQUESTS_AT_ONCE   64
#define STREAM_MAX	   256

struct outgoing {
	struct outgoing *next;
	struct hostio_msg msg;
	uint32_t len;
	uint8_t data[];
};

static const char *const message_names[] = {
#define X(n) #n,
	SEQ_MESSAGES(X)
#undef X
};

/* ---- life ---- */

int sequencer_init(struct sequencer *s, const struct sequencer_conf *conf, struct error *err)
{
	static const struct source_ops *const sources[] = { &source_none, &source_record,
		&source_replay };

	memset(s, 0, sizeof(*s));
	s->conf = *conf;
	s->ops = sources[conf->mode];
	s->inputs_end = &s->inputs;
	s->out_end = &s->out;
	s->scratch = malloc(DIGEST_ITEMS_MAX);
	s->state = calloc(1, s->ops->state_size + 1);
	if (!s->scratch || !s->state)
		return error_set(err, ENOMEM, "no memory for the sequencer");
	return 0;
}

int sequencer_open(struct sequencer *s)
{
	return s->ops->open(s);
}

void sequencer_done(struct sequencer *s)
{
	struct input *in;

	if (s->state)
		s->ops->close(s);
	while ((in = sequencer_next_input(s)) != NULL)
		free(in);
	while (s->out) {
		struct outgoing *o = s->out;

		s->out = o->next;
		free(o);
	}
	free(s->scratch);
	free(s->state);
	s->state = NULL;
	s->scratch = NULL;
}

void sequencer_finish(
	struct sequencer *s, uint32_t exit_status, uint32_t cause, const char *fmt, ...)
{
	struct sequencer_result *r = &s->result;
	va_list ap;

	if (r->over)
		return;
	r->over = true;
	r->exit_status = exit_status;
	r->cause = cause;
	r->icount = s->icount;
	r->vtime_ns = s->now_ns;
	r->digest = s->digest;
	s->halt.open = false;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(r->text, sizeof(r->text), fmt, ap);
		va_end(ap);
	}
}

void sequencer_stop(struct sequencer *s, enum sequencer_stop_why why, const char *text)
{
	uint64_t one = 1;
	int expected = STOP_NOT;

	/* What was asked first holds: the main thread may be reading its text. */
	if (atomic_load(&s->stop) != STOP_NOT)
		return;
	snprintf(s->stop_text, sizeof(s->stop_text), "%s", text ? text : "");
	if (!atomic_compare_exchange_strong(&s->stop, &expected, (int)why))
		return;
	if (s->conf.wake_fd >= 0 && write(s->conf.wake_fd, &one, sizeof(one)) < 0)
		log_debug("cannot wake the sequencer: %s", strerror(errno));
}

/* ---- replies ---- */

static void peer_failed(struct sequencer *s, const char *who, struct chan *c, int code)
{
	sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "the channel to %s failed: %s", who,
		chan_error(c) ? chan_error(c) : strerror(-code));
}

static void reply(struct sequencer *s, struct seq_rep *rep, const void *data, uint32_t len)
{
	union slot slot = { 0 };
	int ret;

	memcpy(&slot, rep, sizeof(*rep));
	ret = chan_send(s->conf.seq, &slot, data, len, REPLY_TIMEOUT_NS);
	if (ret < 0)
		peer_failed(s, "devices", s->conf.seq, ret);
}

void sequencer_event(struct sequencer *s, const struct input *in)
{
	struct seq_rep rep = {
		.hdr.type = SEQ_EVENT, .arg = in->event, .dev = in->dev, .a = in->a, .b = in->b
	};

	reply(s, &rep, in->data, in->len);
}

void sequencer_done_reply(struct sequencer *s, uint64_t next_icount, uint64_t value)
{
	struct seq_rep rep = { .hdr.type = SEQ_DONE, .next_icount = next_icount, .value = value };

	s->next_told = next_icount;
	if (s->halts_free && next_icount != SEQ_NEVER)
		rep.a = SEQ_HALTS_FREE;
	reply(s, &rep, NULL, 0);
}

void sequencer_halt_reply(struct sequencer *s, uint64_t next_icount, uint64_t value)
{
	s->halt.open = false;
	s->now_ns = value;
	sequencer_done_reply(s, next_icount, value);
}

/*
 * By how much virtual time is behind the host's since an earlier halt: what the last waits
 * overslept, and what the machine spent on being woken. The next wait is shorter by it, so that a
 * guest that halts thousands of times a second keeps time. Bounded, so that a guest that was long
 * busy or stopped does not skip its sleeps.
 */
static int64_t pace_behind(struct sequencer *s, uint64_t now_ns, int64_t mono_ns)
{
	int64_t behind = 0;

	if (s->pace.known && now_ns >= s->pace.virtual_ns &&
		now_ns - s->pace.virtual_ns < (uint64_t)INT64_MAX / 2)
		behind = mono_ns - s->pace.host_ns - (int64_t)(now_ns - s->pace.virtual_ns);
	if (behind < 0)
		behind = 0;
	if (behind > PACE_BEHIND_MAX_NS)
		behind = PACE_BEHIND_MAX_NS;
	s->pace.known = true;
	s->pace.host_ns = mono_ns - behind;
	s->pace.virtual_ns = now_ns;
	return behind;
}

void sequencer_halt_wait(
	struct sequencer *s, const struct seq_req *rq, const uint32_t *mark, uint64_t target_ns)
{
	s->halt.open = true;
	s->halt.rq = *rq;
	memcpy(s->halt.mark, mark, sizeof(s->halt.mark));
	s->halt.start_ns = host_monotonic_ns();
	s->halt.target_ns = target_ns;
	if (s->held) {
		sequencer_hold(s);
		return;
	}
	if (sequencer_halts_again(s, rq)) {
		s->halt.start_ns -= s->again.slept_ns;
		s->pace.known = false;
	} else if (!s->paused) {
		s->halt.start_ns -= pace_behind(s, rq->now_ns, s->halt.start_ns);
	}
	s->again.known = false;
	/* A pause that came before the halt freezes it from its first moment. */
	if (s->paused)
		s->paused_since_ns = s->halt.start_ns;
}

uint64_t halt_deadline(const struct seq_req *rq)
{
	return rq->deadline_ns > rq->now_ns ? rq->deadline_ns : rq->now_ns;
}

uint64_t sequencer_halt_now(const struct sequencer *s, int64_t mono_ns)
{
	int64_t until = s->paused ? s->paused_since_ns : mono_ns;
	uint64_t passed = until > s->halt.start_ns ? (uint64_t)(until - s->halt.start_ns) : 0;
	uint64_t deadline = halt_deadline(&s->halt.rq);

	/* By difference, so that no sum can wrap; SEQ_NEVER - 1 is the last moment there is. */
	if (deadline == SEQ_NEVER)
		deadline--;
	if (passed >= deadline - s->halt.rq.now_ns)
		return deadline;
	return s->halt.rq.now_ns + passed;
}

struct input *sequencer_next_input(struct sequencer *s)
{
	struct input *in = s->inputs;

	if (!in)
		return NULL;
	s->inputs = in->next;
	if (!s->inputs)
		s->inputs_end = &s->inputs;
	s->n_inputs--;
	s->input_bytes -= in->len;
	in->next = NULL;
	return in;
}

/* ---- output and credits, to the hub ---- */

/* Sends what was held back. False while the ring is still full. */
static bool outgoing_flush(struct sequencer *s)
{
	bool any = false;

	while (s->out) {
		struct outgoing *o = s->out;
		union slot slot = { 0 };
		int ret = 0;

		if (!chan_has_room(s->conf.host, o->len))
			break;
		memcpy(&slot, &o->msg, sizeof(o->msg));
		if (o->len > 0) {
			void *p = chan_reserve(s->conf.host, &slot, o->len);

			if (!p)
				break;
			memcpy(p, o->data, o->len);
		}
		ret = chan_push(s->conf.host, &slot);
		if (ret < 0) {
			if (ret != -EAGAIN)
				peer_failed(s, "the hub", s->conf.host, ret);
			break;
		}
		any = true;
		s->out = o->next;
		if (!s->out)
			s->out_end = &s->out;
		s->out_bytes -= o->len + sizeof(*o);
		free(o);
	}
	if (any)
		chan_notify(s->conf.host);
	return !s->out;
}

static void outgoing_put(struct sequencer *s, uint16_t type, uint32_t dev, uint64_t value,
	const uint8_t *p, uint32_t len)
{
	struct outgoing *o = malloc(sizeof(*o) + len);

	if (!o) {
		sequencer_finish(
			s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "no memory for the guest's output");
		return;
	}
	memset(o, 0, sizeof(*o));
	o->msg.hdr.type = type;
	o->msg.dev = dev;
	o->msg.value = value;
	o->len = len;
	if (len > 0)
		memcpy(o->data, p, len);
	*s->out_end = o;
	s->out_end = &o->next;
	s->out_bytes += len + sizeof(*o);
	outgoing_flush(s);
}

/* ---- requests of devices ---- */

static void devices_broke(struct sequencer *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void devices_broke(struct sequencer *s, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->ops->abandon(s, NULL);
	sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
		"devices broke the protocol of the sequencer: %s", text);
}

static bool digest_is_good(const uint8_t *p, uint32_t len)
{
	struct digest_item it;
	size_t pos = 0;
	int ret;

	while ((ret = digest_next(p, len, &pos, &it)) == 1)
		;
	return ret == 0;
}

/* What every request has in common. False: it was refused. */
static bool check_request(struct sequencer *s, const struct seq_req *rq, uint32_t len)
{
	const char *name;

	if (rq->hdr.type > SEQ_CREDIT) {
		devices_broke(s, "message type %u", rq->hdr.type);
		return false;
	}
	name = message_names[rq->hdr.type];
	if ((rq->hdr.type == SEQ_TAKE || rq->hdr.type == SEQ_HALT) && len != CPU_MARK_COUNT * 4) {
		devices_broke(s, "%s with a mark of %u bytes", name, len);
		return false;
	}
	if (rq->hdr.type == SEQ_CREDIT || rq->hdr.type == SEQ_OUTPUT) {
		if (rq->arg >= STREAM_MAX || (rq->hdr.type == SEQ_OUTPUT && len > SEQ_CHAR_MAX)) {
			devices_broke(s, "%s of %u bytes on stream %u", name, len, rq->arg);
			return false;
		}
		return true;
	}
	if (s->halt.open) {
		devices_broke(s, "%s while a HALT waits for its answer", name);
		return false;
	}
	if (s->init_seen != (rq->hdr.type != SEQ_INIT)) {
		devices_broke(s, s->init_seen ? "a second %s" : "%s before SEQ_INIT", name);
		return false;
	}
	if (rq->icount < s->icount || rq->icount == SEQ_NEVER) {
		devices_broke(s, "%s at icount %" PRIu64 " after icount %" PRIu64, name, rq->icount,
			s->icount);
		return false;
	}
	return true;
}

static void serve_halt(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark)
{
	if (rq->now_ns == SEQ_NEVER) {
		devices_broke(s, "SEQ_HALT at the end of time");
		return;
	}
	s->ops->halt(s, rq, mark);
}

static void serve(struct sequencer *s, const struct seq_req *rq, const uint8_t *data, uint32_t len)
{
	uint32_t mark[CPU_MARK_COUNT];

	if (!check_request(s, rq, len))
		return;
	if (rq->hdr.type == SEQ_CREDIT) {
		outgoing_put(s, HOSTIO_CREDIT, rq->arg, rq->value, NULL, 0);
		return;
	}
	if (rq->icount > s->icount)
		s->icount = rq->icount;
	if (rq->now_ns != SEQ_NEVER && rq->now_ns > s->now_ns)
		s->now_ns = rq->now_ns;
	if (rq->hdr.type == SEQ_TAKE || rq->hdr.type == SEQ_HALT)
		memcpy(mark, data, sizeof(mark));
	switch (rq->hdr.type) {
	case SEQ_INIT:
		s->init_seen = true;
		s->ops->init(s, rq);
		break;
	case SEQ_RESUME: s->ops->resume(s, rq); break;
	case SEQ_TAKE: s->ops->take(s, rq, mark); break;
	case SEQ_HALT: serve_halt(s, rq, mark); break;
	case SEQ_CLOCK:
		if (rq->arg > SEQ_CLOCK_VIRTUAL_RT)
			devices_broke(s, "SEQ_CLOCK of clock %u", rq->arg);
		else
			s->ops->clock(s, rq);
		break;
	case SEQ_DIGEST:
		if (!digest_is_good(data, len)) {
			devices_broke(s, "a malformed digest of %u bytes", len);
			break;
		}
		s->digest = log_digest_hash(data, len);
		s->ops->digest(s, rq, data, len);
		break;
	case SEQ_SHUTDOWN:
		if (rq->arg >= SHUTDOWN_COUNT)
			devices_broke(s, "SEQ_SHUTDOWN of cause %u", rq->arg);
		else
			s->ops->shutdown(s, rq);
		break;
	case SEQ_OUTPUT:
		if (len == 0)
			break;
		s->ops->output(s, rq, data, len);
		if (!s->result.over)
			outgoing_put(s, HOSTIO_OUTPUT, rq->arg, 0, data, len);
		break;
	}
}

static bool poll_devices(struct sequencer *s)
{
	for (int i = 0; i < REQUESTS_AT_ONCE && !s->result.over; i++) {
		union slot slot;
		struct seq_req rq;
		int ret;

		/* The hub reads slowly: let the machine wait rather than lose what it says. */
		if (s->out_bytes > OUTPUT_BACKLOG_MAX)
			return i > 0;
		ret = chan_recv(s->conf.seq, &slot, s->scratch, DIGEST_ITEMS_MAX);
		if (ret == -EAGAIN)
			return i > 0;
		if (ret < 0) {
			s->ops->abandon(s, NULL);
			peer_failed(s, "devices", s->conf.seq, ret);
			return true;
		}
		memcpy(&rq, &slot, sizeof(rq));
		serve(s, &rq, s->scratch, slot.hdr.data_len);
	}
	return true;
}

/* ---- inputs of the hub ---- */

/* Why this input cannot be, or NULL. */
static const char *input_fault(const struct hostio_msg *m, uint32_t len)
{
	if (m->event != SEQ_EV_CHAR && len != 0)
		return "bytes with an input that has none";
	switch (m->event) {
	case SEQ_EV_CHAR:
		return m->dev < STREAM_MAX && len > 0 && len <= SEQ_CHAR_MAX
			       ? NULL
			       : "characters out of bounds";
	case SEQ_EV_KEY: return m->a <= KEY_CODE_MAX ? NULL : "a key code out of range";
	case SEQ_EV_REL:
	case SEQ_EV_BTN: return m->a <= 2 ? NULL : "an axis or button out of range";
	case SEQ_EV_SHUTDOWN: return m->a < SHUTDOWN_COUNT ? NULL : "a shutdown cause out of range";
	case SEQ_EV_BREAK: return m->a < STREAM_MAX ? NULL : "a stream out of range";
	case SEQ_EV_INPUT_SYNC:
	case SEQ_EV_RESET:
	case SEQ_EV_POWERDOWN:
	case SEQ_EV_NMI: return NULL;
	default: return "an unknown input";
	}
}

/* The input is the queue's from now on. */
static void enqueue(struct sequencer *s, struct input *in)
{
	if (!s->ops->wants(s, in)) {
		free(in);
		return;
	}
	*s->inputs_end = in;
	s->inputs_end = &in->next;
	s->n_inputs++;
	s->input_bytes += in->len;
	atomic_store_release(&s->conf.machine->input_pending, 1);
}

static void queue_input(
	struct sequencer *s, const struct hostio_msg *m, const uint8_t *p, uint32_t len)
{
	const char *fault = input_fault(m, len);
	struct input *in;

	if (fault) {
		s->ops->abandon(s, NULL);
		sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
			"the hub sent %s (event %u, dev %u, a %u, %u bytes)", fault, m->event,
			m->dev, m->a, len);
		return;
	}
	if (s->n_inputs >= INPUTS_MAX || s->input_bytes + len > INPUT_BYTES_MAX) {
		/* Characters wait for credits, so this is a keyboard or a mouse that nobody reads.
		 */
		if (s->inputs_dropped++ == 0)
			log_warn("%u inputs are waiting for the guest: further ones are dropped",
				s->n_inputs);
		return;
	}
	in = malloc(sizeof(*in) + len);
	if (!in) {
		sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "no memory for an input");
		return;
	}
	*in = (struct input){ .event = m->event, .dev = m->dev, .a = m->a, .b = m->b, .len = len };
	if (len > 0)
		memcpy(in->data, p, len);
	enqueue(s, in);
}

static void set_paused(struct sequencer *s, bool pause)
{
	int64_t now = host_monotonic_ns();

	if (pause == s->paused)
		return;
	if (pause)
		s->paused_since_ns = now;
	else if (s->halt.open)
		s->halt.start_ns += now - s->paused_since_ns;
	s->paused = pause;
	s->pace.known = false;
}

static bool poll_hub(struct sequencer *s)
{
	for (int i = 0; i < REQUESTS_AT_ONCE && !s->result.over; i++) {
		uint8_t data[SEQ_CHAR_MAX];
		struct hostio_msg m;
		union slot slot;
		int ret = chan_recv(s->conf.host, &slot, data, sizeof(data));

		if (ret == -EAGAIN)
			return i > 0;
		if (ret < 0) {
			s->ops->abandon(s, NULL);
			peer_failed(s, "the hub", s->conf.host, ret);
			return true;
		}
		memcpy(&m, &slot, sizeof(m));
		if (m.hdr.type == HOSTIO_INPUT) {
			queue_input(s, &m, data, slot.hdr.data_len);
		} else if (m.hdr.type == HOSTIO_PAUSE) {
			set_paused(s, m.value != 0);
		} else {
			s->ops->abandon(s, NULL);
			sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
				"the hub sent message type %u over the host channel", m.hdr.type);
		}
	}
	return true;
}

/* ---- completions of blkproxy ---- */

static void queue_block(struct sequencer *s, const struct blkseq_msg *m)
{
	struct input *in = calloc(1, sizeof(*in));

	if (!in) {
		sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "no memory for an input");
		return;
	}
	in->event = SEQ_EV_BLOCK;
	in->b = (int64_t)m->id;
	in->error = m->error;
	in->done = m->done;
	enqueue(s, in);
}

static bool poll_blk(struct sequencer *s)
{
	for (int i = 0; i < REQUESTS_AT_ONCE && !s->result.over; i++) {
		struct blkseq_msg m;
		union slot slot;
		int ret = chan_recv(s->conf.blk, &slot, NULL, 0);

		if (ret == -EAGAIN)
			return i > 0;
		if (ret < 0) {
			s->ops->abandon(s, NULL);
			peer_failed(s, "blkproxy", s->conf.blk, ret);
			return true;
		}
		memcpy(&m, &slot, sizeof(m));
		if (m.hdr.type == BLKSEQ_DONE) {
			queue_block(s, &m);
			continue;
		}
		s->ops->abandon(s, NULL);
		sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
			"blkproxy sent message type %u over its channel: expected BLKSEQ_DONE",
			m.hdr.type);
	}
	return true;
}

/* ---- for snapshots ---- */

void sequencer_drain(struct sequencer *s)
{
	while (!s->result.over && poll_hub(s))
		;
	while (!s->result.over && s->conf.blk && poll_blk(s))
		;
	while (!s->result.over && poll_devices(s))
		;
}

void sequencer_tell_restored(struct sequencer *s)
{
	outgoing_put(s, HOSTIO_RESTORED, 0, 0, NULL, 0);
}

/* ---- the loop ---- */

/* A queued request to end the run is heard even while the group is paused; everything else waits.
 */
static bool has_shutdown(const struct sequencer *s)
{
	for (const struct input *in = s->inputs; in; in = in->next)
		if (in->event == SEQ_EV_SHUTDOWN)
			return true;
	return false;
}

static bool poll_halt(struct sequencer *s, int64_t mono)
{
	uint64_t now;

	if (!s->halt.open)
		return false;
	if (s->paused && !has_shutdown(s))
		return false;
	now = sequencer_halt_now(s, mono);
	if (!s->inputs && now < s->halt.target_ns)
		return false;
	s->ops->halt_wake(s, now);
	return true;
}

bool sequencer_poll(struct sequencer *s)
{
	bool any = false;

	if (s->out)
		outgoing_flush(s);
	any |= poll_hub(s);
	if (s->conf.blk && !s->result.over)
		any |= poll_blk(s);
	if (!s->result.over)
		any |= poll_devices(s);
	if (!s->result.over)
		any |= poll_halt(s, host_monotonic_ns());
	return any;
}

static int64_t sleep_time(const struct sequencer *s, int64_t mono, int64_t tick_ns)
{
	int64_t left = SLEEP_MAX_NS;

	if (s->out && left > BACKLOG_RETRY_NS)
		left = BACKLOG_RETRY_NS;
	if (tick_ns != INT64_MAX && tick_ns - mono < left)
		left = tick_ns - mono;
	if (s->halt.open && !s->paused && s->halt.target_ns != SEQ_NEVER) {
		uint64_t now = sequencer_halt_now(s, mono);
		uint64_t more = s->halt.target_ns > now ? s->halt.target_ns - now : 0;

		if (more < (uint64_t)SLEEP_MAX_NS && (int64_t)more < left)
			left = (int64_t)more;
	}
	return left > 0 ? left : 0;
}

static void sleep_on_bell(struct sequencer *s, int64_t timeout_ns)
{
	struct timespec ts = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
	struct pollfd fds[2] = { { s->conf.seq->my_bell_fd, POLLIN, 0 },
		{ s->conf.wake_fd, POLLIN, 0 } };
	/* All flags must be up before any may be trusted: the bell is one for all channels. */
	bool seq_idle = s->out_bytes > OUTPUT_BACKLOG_MAX || chan_prepare_sleep(s->conf.seq);
	bool host_idle = chan_prepare_sleep(s->conf.host);
	bool blk_idle = !s->conf.blk || chan_prepare_sleep(s->conf.blk);

	if (seq_idle && host_idle && blk_idle && atomic_load(&s->stop) == STOP_NOT)
		ppoll(fds, 2, &ts, NULL);
	chan_awake(s->conf.seq);
	chan_awake(s->conf.host);
	if (s->conf.blk)
		chan_awake(s->conf.blk);
	if (fds[1].revents & POLLIN) {
		uint64_t n;

		if (read(s->conf.wake_fd, &n, sizeof(n)) < 0)
			log_debug("cannot read the wake descriptor: %s", strerror(errno));
	}
}

static bool stopped(struct sequencer *s)
{
	int why = atomic_load(&s->stop);

	if (why == STOP_NOT)
		return false;
	if (why == STOP_QUIT)
		return true;
	/* What devices said before they died is still theirs: it is in the ring. */
	while (!s->result.over && poll_devices(s))
		;
	if (!s->result.over) {
		s->ops->abandon(s, s->stop_text);
		sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "%s", s->stop_text);
	}
	return true;
}

void sequencer_run(struct sequencer *s)
{
	while (!s->result.over && !stopped(s)) {
		bool any;

		if (s->conf.between)
			s->conf.between(s->conf.opaque);
		any = sequencer_poll(s);
		int64_t mono = host_monotonic_ns(), tick;

		if (s->result.over)
			break;
		/* After the answers: whoever waited for one runs while a chunk is written. */
		tick = s->ops->tick(s, mono);
		if (!any && !s->result.over)
			sleep_on_bell(s, sleep_time(s, mono, tick));
	}
	/* The last words of the guest: the hub empties its ring, so a moment is enough. */
	for (int i = 0; i < 1000 && s->out && !outgoing_flush(s) && !chan_error(s->conf.host) &&
			atomic_load(&s->stop) != STOP_HUB_DIED;
		i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}
