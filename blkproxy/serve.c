/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread, the main one, works at the rings; each drive's thread does its requests. A machine
 * with a single drive needs no second thread: the main one does the requests itself, which saves
 * two wake-ups for each.
 */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "flight.h"
#include "log.h"

#define RETRY_NS INT64_C(1000000) /* while a ring is full */
#define SLEEP_NS INT64_C(1000000000)
/* A full disk would fill a terminal as well. */
#define ERRORS_TOLD 10

static const char *const op_names[BLK_OP_COUNT] = { "read", "write", "flush", "discard" };

/* ---- set-up ---- */

int server_init(struct server *s, struct proc *p, struct drive *drives, unsigned n_drives,
	struct error *err)
{
	static const struct chan_geometry blk = { BLK_NSLOTS, 0, BLK_NSLOTS, 0 },
					  seq = { BLKSEQ_NSLOTS, 0, BLKSEQ_NSLOTS, 0 };
	int r;

	*s = (struct server){ .p = p, .drives = drives, .n_drives = n_drives };
	s->ready_end = &s->ready;
	s->done_end = &s->done;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle_changed, NULL);
	if ((r = proc_chan(p, &s->blk, "blk", false, &blk, "blkproxy", "devices", err)) < 0 ||
		(r = proc_chan(p, &s->seq, "blkseq", true, &seq, "blkproxy", "replaylog", err)) < 0)
		return r;
	s->flight = proc_map_min(p, "blkflight", true, sizeof(*s->flight), err);
	s->out = s->flight ? proc_map_min(p, "blkout", false, BLK_DATA_LEN, err) : NULL;
	s->in = s->out ? proc_map_min(p, "blkin", true, BLK_DATA_LEN, err) : NULL;
	if (!s->in)
		return -err->code;
	for (unsigned i = 0; i < n_drives; i++) {
		drives[i].stats = &s->flight->stats[i];
		drives[i].injected = &s->flight->injected[i];
	}
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s->wake_fd < 0 ? error_set(err, errno, "eventfd: %s", strerror(errno)) : 0;
}

static void wake(struct server *s)
{
	uint64_t one = 1;

	/* Full means that it is awake already. */
	if (write(s->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("eventfd: %s", strerror(errno));
}

/* On a drive's thread. */
static void on_done(void *opaque, struct drive_work *w)
{
	struct server *s = opaque;

	flight_done(s->flight, (unsigned)(w - s->work), w->error, w->done);
	pthread_mutex_lock(&s->lock);
	w->next = NULL;
	*s->done_end = w;
	s->done_end = &w->next;
	pthread_mutex_unlock(&s->lock);
	wake(s);
}

int server_start(struct server *s, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < s->n_drives && s->n_drives > 1 && r == 0; i++)
		r = drive_start(&s->drives[i], on_done, s, err);
	return r;
}

/* ---- peers ---- */

_Noreturn static void peer_failed(struct server *s, struct chan *c, const char *peer)
{
	proc_fatal(s->p, "the channel to %s is broken: %s", peer,
		chan_error(c) ? chan_error(c) : "it does not work");
}

/* What replaylog says, all of it before the machine runs. */
static void take_fails(struct server *s)
{
	union slot slot;
	struct blkseq_msg m;
	const void *data;
	int r;

	while ((r = chan_peek(&s->seq, &slot, &data)) == 0) {
		memcpy(&m, &slot, sizeof(m));
		if (m.hdr.type != BLKSEQ_FAIL)
			proc_fatal(s->p,
				"replaylog sent message type %u over the channel: expected "
				"BLKSEQ_FAIL",
				m.hdr.type);
		if (!m.id || !flight_add_fail(s->flight, m.id, m.done, m.error))
			proc_fatal(s->p,
				"the log has more than %u disk requests that failed: too many",
				BLK_FAILS / 2);
		/* Not before it is where a successor finds it. */
		chan_release(&s->seq);
	}
	if (r != -EAGAIN)
		peer_failed(s, &s->seq, "replaylog");
}

/* ---- requests ---- */

static void describe(const struct drive_work *w, char *buf, size_t cap)
{
	const struct blk_req *rq = &w->rq;

	if (rq->hdr.type == BLK_FLUSH)
		snprintf(buf, cap, "drive '%s', request %llu, flush", w->drive->cfg->id,
			(unsigned long long)rq->id);
	else
		snprintf(buf, cap, "drive '%s', request %llu, %s of %llu bytes at %llu",
			w->drive->cfg->id, (unsigned long long)rq->id, op_names[rq->hdr.type],
			(unsigned long long)rq->len, (unsigned long long)rq->offset);
}

/* Nobody but a process that has lost its mind sends such a one. */
static void check(struct server *s, const struct blk_req *rq)
{
	const char *wrong = rq->drive >= s->n_drives
				    ? "there is no such drive"
				    : drive_request_wrong(&s->drives[rq->drive], rq);

	if (!wrong && rq->id <= s->last_id)
		wrong = "its id is not higher than the one before";
	if (wrong)
		proc_fatal(s->p,
			"devices sent a request that cannot be (id %llu, operation %u, drive %u, "
			"offset %llu, length %llu, buffer %u): %s",
			(unsigned long long)rq->id, rq->hdr.type, rq->drive,
			(unsigned long long)rq->offset, (unsigned long long)rq->len, rq->buf,
			wrong);
	s->last_id = rq->id;
}

static void finish(struct server *s, struct drive_work *w)
{
	char what[200];

	describe(w, what, sizeof(what));
	if (w->broken)
		proc_fatal(s->p, "%s: it failed in this replay, but not when it was recorded: %s",
			what, w->err.msg);
	if (w->error && !w->must_fail && s->n_told++ < ERRORS_TOLD)
		log_warn("%s: %s%s", what, w->err.msg,
			s->n_told == ERRORS_TOLD ? " (further errors are not told)" : "");
	w->next = NULL;
	*s->ready_end = w;
	s->ready_end = &w->next;
}

/* The request of a row, which has been checked, goes to its drive. */
static void begin(struct server *s, unsigned row)
{
	struct drive_work *w = &s->work[row];
	const struct blk_req *rq = &s->flight->row[row].rq;
	const struct blk_fail *f = flight_find_fail(s->flight, rq->id);
	size_t at = rq->buf < BLK_BUFS ? (size_t)rq->buf * BLK_BUF_LEN : 0;

	*w = (struct drive_work){ .rq = *rq,
		.drive = &s->drives[rq->drive],
		.in = s->in + at,
		.out = s->out + at,
		.must_fail = f != NULL };
	if (f) {
		w->error = f->error;
		w->done = f->done;
	}
	if (s->n_drives > 1) {
		drive_submit(w->drive, w);
		return;
	}
	drive_do(w->drive, w);
	flight_done(s->flight, row, w->error, w->done);
	finish(s, w);
}

/* Takes one request out of the ring. False: there is none, or no row for it. */
static bool take_request(struct server *s)
{
	struct blk_req rq;
	union slot slot;
	const void *data;
	int row, r = chan_peek(&s->blk, &slot, &data);

	if (r == -EAGAIN)
		return false;
	if (r < 0)
		peer_failed(s, &s->blk, "devices");
	/* What it may be about has been said before it could be made. */
	take_fails(s);
	memcpy(&rq, &slot, sizeof(rq));
	row = flight_add(s->flight, &rq);
	if (row < 0)
		return false;
	check(s, &rq);
	chan_release(&s->blk);
	begin(s, (unsigned)row);
	return true;
}

/* ---- answers ---- */

static void push(struct server *s, struct chan *c, union slot *slot, const char *peer)
{
	if (chan_push(c, slot) < 0)
		peer_failed(s, c, peer);
	chan_notify(c);
}

static void push_rep(struct server *s, const struct blk_flight_row *row, uint64_t id)
{
	struct blk_rep rep = { .hdr.type = row->rq.hdr.type, .id = id, .error = row->error };
	union slot slot = { 0 };

	memcpy(&slot, &rep, sizeof(rep));
	push(s, &s->blk, &slot, "devices");
}

static void push_seq(struct server *s, const struct blk_flight_row *row, uint64_t id)
{
	struct blkseq_msg m = { .hdr.type = BLKSEQ_DONE,
		.id = id,
		.error = row->error,
		.done = row->error ? row->done : 0 };
	union slot slot = { 0 };

	memcpy(&slot, &m, sizeof(m));
	push(s, &s->seq, &slot, "replaylog");
}

static bool room(struct server *s)
{
	bool ok = chan_has_room(&s->blk, 0) && chan_has_room(&s->seq, 0);

	if (!ok && chan_error(&s->blk))
		peer_failed(s, &s->blk, "devices");
	if (!ok && chan_error(&s->seq))
		peer_failed(s, &s->seq, "replaylog");
	s->held = !ok;
	return ok;
}

/* Both answers of a row, and the end of it. False: there is no room now. */
static bool answer_row(struct server *s, unsigned i)
{
	struct blk_flight_row *row = &s->flight->row[i];
	uint64_t id = atomic_read(&row->id);

	if (!room(s))
		return false;
	flight_answering(s->flight, i, s->blk.tx_head, s->seq.tx_head);
	push_rep(s, row, id);
	push_seq(s, row, id);
	flight_clear(s->flight, i);
	return true;
}

static void answer_all(struct server *s)
{
	struct drive_work *w;

	pthread_mutex_lock(&s->lock);
	w = s->done;
	s->done = NULL;
	s->done_end = &s->done;
	pthread_mutex_unlock(&s->lock);
	while (w) {
		struct drive_work *next = w->next;

		finish(s, w);
		w = next;
	}
	s->held = false;
	while (s->ready && answer_row(s, (unsigned)(s->ready - s->work))) {
		s->ready = s->ready->next;
		if (!s->ready)
			s->ready_end = &s->ready;
	}
}

/* ---- after another's death ---- */

static bool is_out(const struct chan *c, uint32_t at)
{
	return (int32_t)(c->tx_head - at) > 0;
}

static void wait_for_room(struct server *s)
{
	while (!room(s))
		nanosleep(&(struct timespec){ .tv_nsec = RETRY_NS }, NULL);
}

/*
 * The row whose answers our predecessor was giving: what is not out is given now. There is one at
 * most, and nobody has moved a ring's head since, so that what is not out has its place at the head
 * still.
 */
static void go_on_answering(struct server *s, unsigned i)
{
	struct blk_flight_row *row = &s->flight->row[i];
	bool rep_out = is_out(&s->blk, row->rep_at), seq_out = is_out(&s->seq, row->seq_at);
	uint64_t id = atomic_read(&row->id);

	wait_for_room(s);
	if (!rep_out)
		push_rep(s, row, id);
	if (!seq_out)
		push_seq(s, row, id);
	flight_clear(s->flight, i);
}

/* Its slot was not yet freed, but it had a row already. */
static void drop_twin(struct server *s)
{
	union slot slot;
	struct blk_req rq;
	const void *data;

	if (chan_peek(&s->blk, &slot, &data) < 0)
		return;
	memcpy(&rq, &slot, sizeof(rq));
	if (flight_has(s->flight, rq.id))
		chan_release(&s->blk);
}

/*
 * What our predecessor left: what it had begun is done again, in order, before anything else; what
 * was done is answered, and not done again.
 */
static void recover(struct server *s)
{
	unsigned rows[BLK_BUFS], n = flight_rows(s->flight, rows);

	drop_twin(s);
	if (n)
		log_info("%u disk requests were in flight", n);
	for (unsigned i = 0; i < n; i++)
		if (atomic_load_acquire(&s->flight->row[rows[i]].state) == BLK_FLIGHT_ANSWERING)
			go_on_answering(s, rows[i]);
	n = flight_rows(s->flight, rows);
	for (unsigned i = 0; i < n; i++) {
		struct blk_flight_row *row = &s->flight->row[rows[i]];
		struct blk_req rq = row->rq;

		check(s, &rq);
		if (atomic_load_acquire(&row->state) == BLK_FLIGHT_TODO) {
			begin(s, rows[i]);
			continue;
		}
		wait_for_room(s);
		answer_row(s, rows[i]);
	}
	/* It may have died between an answer and the bell. */
	chan_notify(&s->blk);
	chan_notify(&s->seq);
}

/* ---- the loop ---- */

static bool rows_full(const struct server *s)
{
	for (unsigned i = 0; i < BLK_BUFS; i++)
		if (!atomic_read(&s->flight->row[i].id))
			return false;
	return true;
}

static bool rows_empty(const struct server *s)
{
	for (unsigned i = 0; i < BLK_BUFS; i++)
		if (atomic_read(&s->flight->row[i].id))
			return false;
	return true;
}

static void tell_idle(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->idle_told != s->idle_asked && chan_empty(&s->blk) && rows_empty(s)) {
		s->idle_told = s->idle_asked;
		pthread_cond_broadcast(&s->idle_changed);
	}
	pthread_mutex_unlock(&s->lock);
}

static void sleep_until_told(struct server *s)
{
	/* With all rows taken, what is in the ring has to wait for one. */
	bool full = rows_full(s);
	struct pollfd fds[2] = { { s->wake_fd, POLLIN, 0 }, { s->blk.my_bell_fd, POLLIN, 0 } };
	struct timespec ts = { SLEEP_NS / 1000000000, 0 };
	bool blk_idle = full || chan_prepare_sleep(&s->blk);
	bool seq_idle = chan_prepare_sleep(&s->seq);
	uint64_t n;

	if (s->held)
		ts = (struct timespec){ 0, RETRY_NS };
	if (blk_idle && seq_idle)
		ppoll(fds, full ? 1 : 2, &ts, NULL);
	if (!full)
		chan_awake(&s->blk);
	chan_awake(&s->seq);
	while (read(s->wake_fd, &n, sizeof(n)) > 0)
		;
}

void server_run(struct server *s)
{
	take_fails(s);
	recover(s);
	while (!atomic_read(&s->quit)) {
		bool any = false;

		answer_all(s);
		while (take_request(s)) {
			any = true;
			answer_all(s);
		}
		take_fails(s);
		tell_idle(s);
		if (!any)
			sleep_until_told(s);
	}
}

void server_quit(struct server *s)
{
	atomic_set(&s->quit, true);
	wake(s);
}

void server_wait_idle(struct server *s)
{
	uint64_t mine;

	pthread_mutex_lock(&s->lock);
	mine = ++s->idle_asked;
	wake(s);
	while (s->idle_told < mine)
		pthread_cond_wait(&s->idle_changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void server_forget_ids(struct server *s)
{
	s->last_id = 0;
}
