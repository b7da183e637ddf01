/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two sources that hear the world: "none" orders inputs and forgets them, "record" keeps them
 * in the log. What they share is live_*(); what is kept is a struct keeper, and "none" keeps
 * nothing. The rules are in docs/architecture.md, "Rules of the sequencer".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "log_writer.h"
#include "sequencer.h"

#define FLUSH_AFTER_NS INT64_C(1000000000) /* a killed host loses at most this much of the log */
#define STREAMS	       256
#define BATCH_MAX      4096 /* output bytes of one stream in one event */

/* What happens to what the machine was told. Each comes before the machine hears of it. */
struct keeper {
	void (*event)(struct sequencer *s, const struct log_event *ev);
	void (*mark)(struct sequencer *s,
		enum log_checkpoint id); /* a synchronisation mark, for rrmarks=all */
	void (*publish)(struct sequencer *s);
};

static void keep_mark(struct sequencer *s, const struct keeper *k, const uint32_t *mark)
{
	struct log_event ev = { .id = LOG_CPU_MARK };

	memcpy(ev.mark, mark, sizeof(ev.mark));
	k->event(s, &ev);
}

/* How a request failed, so that it fails like that in a replay, whatever its host's disks are. */
static void keep_block_error(struct sequencer *s, const struct keeper *k, const struct input *in)
{
	k->event(s, &(struct log_event){ .id = LOG_BLOCK_ERROR,
			    .value = (uint64_t)in->b,
			    .a = in->error,
			    .done = in->done });
}

/* Takes all that is queued, in order: first the log, then devices. Nothing comes after a request to
 * end the run. */
static void live_deliver(struct sequencer *s, const struct keeper *k, const uint32_t *mark)
{
	struct input *in, *list = NULL, **end = &list;
	bool last = false;

	keep_mark(s, k, mark);
	while (!last && (in = sequencer_next_input(s)) != NULL) {
		struct log_event ev;

		if (in->event == SEQ_EV_BLOCK && in->error)
			keep_block_error(s, k, in);
		input_to_event(in, &ev);
		k->event(s, &ev);
		last = in->event == SEQ_EV_SHUTDOWN;
		*end = in;
		end = &in->next;
	}
	k->publish(s);
	while ((in = list) != NULL) {
		list = in->next;
		if (!s->result.over)
			sequencer_event(s, in);
		free(in);
	}
}

static void live_init(struct sequencer *s, const struct keeper *k)
{
	k->mark(s, LOG_CP_INIT);
	k->publish(s);
	sequencer_done_reply(s, SEQ_NEVER, 0);
}

static void live_resume(struct sequencer *s, const struct seq_req *rq)
{
	sequencer_done_reply(s, SEQ_NEVER, 0);
}

static void live_take(struct sequencer *s, const struct keeper *k, const uint32_t *mark)
{
	/* Before the queue is read: an input that comes after this rings again. */
	atomic_store_release(&s->conf.machine->input_pending, 0);
	k->mark(s, LOG_CP_CLOCK_VIRTUAL);
	if (s->inputs)
		live_deliver(s, k, mark);
	else
		k->publish(s);
	sequencer_done_reply(s, SEQ_NEVER, 0);
}

/* Always opens the wait: the loop looks at it at once, with the inputs that are queued and the
 * pause that may hold. */
static void live_halt(
	struct sequencer *s, const struct keeper *k, const struct seq_req *rq, const uint32_t *mark)
{
	uint64_t deadline = halt_deadline(rq);

	if (!sequencer_halts_again(s, rq))
		k->mark(s, LOG_CP_WARP_START);
	k->publish(s);
	if (!s->conf.sleep && deadline != SEQ_NEVER)
		deadline = rq->now_ns;
	sequencer_halt_wait(s, rq, mark, deadline);
}

static void live_halt_wake(struct sequencer *s, const struct keeper *k, uint64_t now_ns)
{
	if (!s->inputs) {
		sequencer_halt_reply(s, SEQ_NEVER, halt_deadline(&s->halt.rq));
		return;
	}
	atomic_store_release(&s->conf.machine->input_pending, 0);
	if (!s->conf.sleep)
		now_ns = s->halt.rq.now_ns;
	k->event(s, &(struct log_event){ .id = LOG_WARP, .value = now_ns });
	live_deliver(s, k, s->halt.mark);
	if (!s->result.over)
		sequencer_halt_reply(s, SEQ_NEVER, now_ns);
}

static void live_clock(struct sequencer *s, const struct keeper *k, const struct seq_req *rq)
{
	bool host = rq->arg == SEQ_CLOCK_HOST;
	uint64_t ns = (uint64_t)(host ? host_realtime_ns() : host_monotonic_ns());

	k->event(s, &(struct log_event){
			    .id = host ? LOG_CLOCK_HOST : LOG_CLOCK_VIRTUAL_RT, .value = ns });
	k->publish(s);
	sequencer_done_reply(s, SEQ_NEVER, ns);
}

static void live_finish(struct sequencer *s, const struct seq_req *rq)
{
	sequencer_done_reply(s, SEQ_NEVER, 0);
	/* isa-debug-exit chose the exit status. */
	sequencer_finish(s, rq->value ? (uint32_t)(rq->value - 1) & 0xff : RUN_OK, rq->arg, NULL);
}

static bool live_wants(struct sequencer *s, const struct input *in)
{
	return true;
}

/* ---- none ---- */

static void forget_event(struct sequencer *s, const struct log_event *ev)
{
}
static void forget_mark(struct sequencer *s, enum log_checkpoint id)
{
}
static void forget_publish(struct sequencer *s)
{
}

static const struct keeper forget = { forget_event, forget_mark, forget_publish };

static int none_open(struct sequencer *s)
{
	return 0;
}

static void none_close(struct sequencer *s)
{
}

static void none_init(struct sequencer *s, const struct seq_req *rq)
{
	live_init(s, &forget);
}

static void none_take(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark)
{
	live_take(s, &forget, mark);
}

static void none_halt(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark)
{
	live_halt(s, &forget, rq, mark);
}

static void none_halt_wake(struct sequencer *s, uint64_t now_ns)
{
	live_halt_wake(s, &forget, now_ns);
}

static void none_clock(struct sequencer *s, const struct seq_req *rq)
{
	live_clock(s, &forget, rq);
}

static void none_digest(
	struct sequencer *s, const struct seq_req *rq, const uint8_t *items, uint32_t len)
{
	sequencer_done_reply(s, SEQ_NEVER, 0);
}

static void none_output(
	struct sequencer *s, const struct seq_req *rq, const uint8_t *p, uint32_t len)
{
}

static void none_shutdown(struct sequencer *s, const struct seq_req *rq)
{
	live_finish(s, rq);
}

static void none_abandon(struct sequencer *s, const char *text)
{
}

static int64_t none_tick(struct sequencer *s, int64_t mono_ns)
{
	return INT64_MAX;
}

static int none_save(struct sequencer *s, const char *name, uint64_t icount,
	Dejavm__ReplaylogState *ret, struct error *err)
{
	return 0;
}

static int none_check(struct sequencer *s, const Dejavm__ReplaylogState *st, struct error *err)
{
	return 0;
}

static void none_load(struct sequencer *s, const Dejavm__ReplaylogState *st)
{
}

const struct source_ops source_none = {
	.name = "none",
	.open = none_open,
	.close = none_close,
	.init = none_init,
	.resume = live_resume,
	.take = none_take,
	.halt = none_halt,
	.halt_wake = none_halt_wake,
	.clock = none_clock,
	.digest = none_digest,
	.output = none_output,
	.shutdown = none_shutdown,
	.abandon = none_abandon,
	.wants = live_wants,
	.tick = none_tick,
	.save = none_save,
	.check = none_check,
	.load = none_load,
};

/* ---- record ---- */

struct recorder {
	struct log_writer w;
	bool begun, ended;
	int64_t first_ns; /* when the oldest event that is not in the file came; 0: there is none */
	struct {
		uint8_t *buf;
		uint32_t len;
	} batch[STREAMS];
	unsigned int n_batched; /* streams with bytes in their batch */
	uint64_t sent[STREAMS]; /* bytes in all */
};

/* The run cannot be recorded any further; what is in the file is whole. */
static void record_failed(struct sequencer *s)
{
	struct recorder *r = s->state;

	sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
		"cannot write the log '%s': %s; it is whole up to %llu bytes", s->conf.file_name,
		strerror(-r->w.failed), (unsigned long long)r->w.file_len);
}

static void record_put(struct sequencer *s, const struct log_event *ev)
{
	struct recorder *r = s->state;

	/* An OUTPUT may have been put where a later request lies already. */
	if (log_writer_put(&r->w, s->icount > r->w.icount ? s->icount : r->w.icount, ev) < 0)
		record_failed(s);
	if (r->first_ns == 0)
		r->first_ns = host_monotonic_ns();
	/* A clock is read in the middle of an instruction: a replay can stop behind it only. */
	if (ev->id == LOG_CLOCK_HOST || ev->id == LOG_CLOCK_VIRTUAL_RT)
		log_writer_set_end(&r->w, s->icount + 1);
}

static void record_mark(struct sequencer *s, enum log_checkpoint id)
{
	if (s->conf.marks_all)
		record_put(s, &(struct log_event){ .id = LOG_CHECKPOINT, .sub = (uint8_t)id });
}

static void record_publish(struct sequencer *s)
{
	struct recorder *r = s->state;

	log_writer_publish(&r->w);
}

static const struct keeper keep = { record_put, record_mark, record_publish };

static void batch_flush(struct sequencer *s, unsigned int stream)
{
	struct recorder *r = s->state;

	if (r->batch[stream].len == 0)
		return;
	record_put(s, &(struct log_event){ .id = LOG_OUTPUT,
			      .dev = (uint8_t)stream,
			      .data = r->batch[stream].buf,
			      .len = r->batch[stream].len });
	r->batch[stream].len = 0;
	r->n_batched--;
}

static void batch_flush_all(struct sequencer *s)
{
	struct recorder *r = s->state;

	for (unsigned int i = 0; r->n_batched > 0 && i < STREAMS; i++)
		batch_flush(s, i);
	log_writer_publish(&r->w);
}

static int record_config(struct sequencer *s)
{
	uint8_t *buf = malloc(LOG_EVENT_MAX);
	size_t len = 0;
	int ret = buf ? 0 : -ENOMEM;

	for (size_t i = 0; ret == 0 && i < s->conf.n_config; i++)
		ret = log_config_put(buf, LOG_EVENT_MAX - 64, &len, s->conf.config[i].key,
			s->conf.config[i].value);
	if (ret == 0 && len == 0) {
		memset(buf, 0, 4);
		len = 4;
	}
	if (ret == 0)
		record_put(s,
			&(struct log_event){ .id = LOG_CONFIG, .data = buf, .len = (uint32_t)len });
	free(buf);
	if (ret < 0)
		sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR,
			"the machine's configuration does not fit into the log: %s",
			strerror(-ret));
	return ret;
}

static int record_open(struct sequencer *s)
{
	struct recorder *r = s->state;
	struct error err = ERROR_INIT;

	r->begun = true;
	if (log_writer_init(&r->w, s->conf.log_fd, true, s->conf.raw ? LOG_PLAIN : LOG_CHUNKED,
		    s->conf.tail, &err) < 0) {
		sequencer_finish(s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "log '%s': %s",
			s->conf.file_name, err.msg);
		return -1;
	}
	if (record_config(s) < 0)
		return -1;
	log_writer_publish(&r->w);
	return s->result.over ? -1 : 0;
}

/* Ends the log where it is, because the run cannot go on. */
static void record_abandon(struct sequencer *s, const char *text)
{
	struct recorder *r = s->state;
	uint64_t at;

	if (!r->begun || r->ended || r->w.failed)
		return;
	r->ended = true;
	batch_flush_all(s);
	at = atomic_read(&s->conf.tail->last_icount);
	log_writer_end(&r->w, at > r->w.icount ? at : r->w.icount, SHUTDOWN_HOST_ERROR);
	s->result.events = r->w.events;
	s->result.log_bytes = r->w.file_len;
}

static void record_close(struct sequencer *s)
{
	struct recorder *r = s->state;

	record_abandon(s, NULL);
	for (unsigned int i = 0; i < STREAMS; i++)
		free(r->batch[i].buf);
	if (r->begun)
		log_writer_done(&r->w);
}

static void record_init(struct sequencer *s, const struct seq_req *rq)
{
	live_init(s, &keep);
}

static void record_take(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark)
{
	live_take(s, &keep, mark);
}

static void record_halt(struct sequencer *s, const struct seq_req *rq, const uint32_t *mark)
{
	live_halt(s, &keep, rq, mark);
}

static void record_halt_wake(struct sequencer *s, uint64_t now_ns)
{
	live_halt_wake(s, &keep, now_ns);
}

static void record_clock(struct sequencer *s, const struct seq_req *rq)
{
	live_clock(s, &keep, rq);
}

static void record_digest(
	struct sequencer *s, const struct seq_req *rq, const uint8_t *items, uint32_t len)
{
	/* What was sent before a digest is in the log before it, so that a replay can count it
	 * there. */
	batch_flush_all(s);
	record_put(s, &(struct log_event){ .id = LOG_DIGEST, .data = items, .len = len });
	record_publish(s);
	sequencer_done_reply(s, SEQ_NEVER, 0);
}

static void record_output(
	struct sequencer *s, const struct seq_req *rq, const uint8_t *p, uint32_t len)
{
	struct recorder *r = s->state;
	unsigned int stream = rq->arg;

	if (!r->batch[stream].buf && !(r->batch[stream].buf = malloc(BATCH_MAX))) {
		sequencer_finish(
			s, RUN_FAILED, SHUTDOWN_HOST_ERROR, "no memory for the guest's output");
		return;
	}
	if (r->batch[stream].len + len > BATCH_MAX) {
		batch_flush(s, stream);
		record_publish(s);
	}
	if (r->batch[stream].len == 0)
		r->n_batched++;
	memcpy(r->batch[stream].buf + r->batch[stream].len, p, len);
	r->batch[stream].len += len;
	r->sent[stream] += len;
	if (r->first_ns == 0)
		r->first_ns = host_monotonic_ns();
	/* It left in the middle of the instruction after this count. */
	log_writer_set_end(&r->w, s->icount + 1);
}

static void record_shutdown(struct sequencer *s, const struct seq_req *rq)
{
	struct recorder *r = s->state;

	batch_flush_all(s);
	if (log_writer_end(
		    &r->w, s->icount > r->w.icount ? s->icount : r->w.icount, (uint8_t)rq->arg) < 0)
		record_failed(s);
	r->ended = true;
	s->result.events = r->w.events;
	s->result.log_bytes = r->w.file_len;
	live_finish(s, rq);
}

static int64_t record_tick(struct sequencer *s, int64_t mono_ns)
{
	struct recorder *r = s->state;

	if (log_writer_pending(&r->w) >= LOG_CHUNK_CLOSE ||
		(r->first_ns != 0 && mono_ns - r->first_ns >= FLUSH_AFTER_NS)) {
		batch_flush_all(s);
		if (log_writer_flush(&r->w) < 0)
			record_failed(s);
		r->first_ns = 0;
	}
	return r->first_ns != 0 ? r->first_ns + FLUSH_AFTER_NS : INT64_MAX;
}

/* The log has what was sent before, and the place, so that a replay can begin here. */
static int record_save(struct sequencer *s, const char *name, uint64_t icount,
	Dejavm__ReplaylogState *ret, struct error *err)
{
	const struct log_event ev = {
		.id = LOG_SNAPSHOT, .data = (const uint8_t *)name, .len = (uint32_t)strlen(name)
	};
	struct recorder *r = s->state;
	int e = 0;

	batch_flush_all(s);
	if (log_writer_put(&r->w, icount > r->w.icount ? icount : r->w.icount, &ev) < 0 ||
		log_writer_flush(&r->w) < 0) {
		record_failed(s);
		return error_set(err, EIO, "%s", s->result.text);
	}
	r->first_ns = 0;
	ret->has_position = true;
	ret->next_event = r->w.events;
	ret->position_icount = r->w.icount;
	ret->prefix_hash = r->w.hash;
	for (unsigned int i = 0; i < STREAMS && e == 0; i++)
		e = stream_position_add(ret, i, r->sent[i]);
	return e < 0 ? error_set(err, ENOMEM, "no memory for the state of the log") : 0;
}

static int record_check(struct sequencer *s, const Dejavm__ReplaylogState *st, struct error *err)
{
	return error_set(err, EBUSY,
		"a snapshot cannot be loaded while the machine is recorded: the log would have a "
		"past that never was");
}

static void record_load(struct sequencer *s, const Dejavm__ReplaylogState *st)
{
}

const struct source_ops source_record = {
	.name = "record",
	.state_size = sizeof(struct recorder),
	.open = record_open,
	.close = record_close,
	.init = record_init,
	.resume = live_resume,
	.take = record_take,
	.halt = record_halt,
	.halt_wake = record_halt_wake,
	.clock = record_clock,
	.digest = record_digest,
	.output = record_output,
	.shutdown = record_shutdown,
	.abandon = record_abandon,
	.wants = live_wants,
	.tick = record_tick,
	.save = record_save,
	.check = record_check,
	.load = record_load,
};
