/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests of a drive, one after the other (see drive.h; opening is in drive_open.c). */
#include "drive.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* What a failed request is tried again in, to find out where it fails. */
#define CHUNK 65536u

/* ---- checks ---- */

const char *drive_request_wrong(const struct drive *d, const struct blk_req *rq)
{
	if (rq->hdr.type >= BLK_OP_COUNT)
		return "there is no such operation";
	if (rq->hdr.type == BLK_FLUSH)
		return NULL;
	if (!d->image)
		return "there is no medium in the drive";
	if (rq->offset % BLK_SECTOR || rq->len % BLK_SECTOR || !rq->len)
		return "offset and length have to be multiples of a sector";
	if (rq->offset > d->len || rq->len > d->len - rq->offset)
		return "it reaches beyond the end of the drive";
	if (rq->hdr.type != BLK_READ && d->cfg->readonly)
		return "the drive cannot be written";
	if (rq->hdr.type == BLK_DISCARD)
		return NULL;
	if (rq->len > BLK_BUF_LEN)
		return "it is longer than a buffer";
	return rq->buf < BLK_BUFS ? NULL : "there is no such buffer";
}

/* ---- parts of requests ---- */

static int write_zeros(struct drive *d, uint64_t offset, uint64_t len, struct error *err)
{
	static const uint8_t zeros[CHUNK];
	int r = 0;

	for (uint64_t n; len > 0 && r == 0; len -= n, offset += n) {
		n = len < sizeof(zeros) ? len : sizeof(zeros);
		r = image_write(d->image, offset, zeros, n, err);
	}
	return r;
}

/*
 * The first sector decides what an image is taken for (image_how.format): what is written has to
 * be what was looked at, and the buffer is not ours alone.
 */
static int write_from_start(struct drive *d, const uint8_t *data, uint64_t len, struct error *err)
{
	int r;

	memcpy(d->bounce, data, BLK_SECTOR);
	r = image_write(d->image, 0, d->bounce, BLK_SECTOR, err);
	if (r == 0 && len > BLK_SECTOR)
		r = image_write(d->image, BLK_SECTOR, data + BLK_SECTOR, len - BLK_SECTOR, err);
	return r;
}

/* len bytes, skip bytes behind the start, of a write or discard. */
static int change(
	struct drive *d, const struct drive_work *w, uint64_t skip, uint64_t len, struct error *err)
{
	uint64_t offset = w->rq.offset + skip;

	if (w->rq.hdr.type == BLK_DISCARD)
		return d->cfg->ignore_discard ? write_zeros(d, offset, len, err)
					      : image_discard(d->image, offset, len, err);
	if (!offset)
		return write_from_start(d, w->out, len, err);
	return image_write(d->image, offset, (const uint8_t *)w->out + skip, len, err);
}

/*
 * All of it, or up to the sector that fails. A log keeps how far that was, and a replay has to come
 * to the same contents, so it has to be known exactly. After a failure, what has been done is done
 * again, which changes nothing, in ever smaller pieces.
 */
static int change_all(struct drive *d, struct drive_work *w, struct error *err)
{
	uint64_t done = 0, left = w->rq.len;
	int r = change(d, w, 0, left, err);

	for (uint64_t piece = CHUNK; r < 0; piece = BLK_SECTOR) {
		for (r = 0; left > 0 && r == 0;) {
			uint64_t n = left < piece ? left : piece;

			r = change(d, w, done, n, err);
			if (r == 0) {
				done += n;
				left -= n;
			}
		}
		if (piece == BLK_SECTOR)
			break;
	}
	w->done = r < 0 ? done : w->rq.len;
	if (r == 0 && d->through)
		r = image_flush(d->image, err);
	return r;
}

/* ---- errors on purpose ---- */

static bool rule_hits(const Dejavm__BlkInject *k, const struct blk_req *rq)
{
	if (k->op != rq->hdr.type)
		return false;
	if (!k->has_sector || rq->hdr.type == BLK_FLUSH)
		return true;
	return k->sector >= rq->offset / BLK_SECTOR &&
	       k->sector - rq->offset / BLK_SECTOR < rq->len / BLK_SECTOR;
}

/* As a disk that has a bad sector: what lies before it is done. */
static void inject(struct drive *d, struct drive_work *w)
{
	for (size_t i = 0; i < d->cfg->n_inject && i < 64; i++) {
		const Dejavm__BlkInject *k = d->cfg->inject[i];

		if (!rule_hits(k, &w->rq) || (*d->injected >> i & 1))
			continue;
		if (k->once)
			*d->injected |= UINT64_C(1) << i;
		w->must_fail = true;
		w->error = k->error;
		w->done = k->has_sector ? k->sector * BLK_SECTOR - w->rq.offset : 0;
		return;
	}
}

/* ---- requests ---- */

static bool is_change(const struct drive_work *w)
{
	return w->rq.hdr.type == BLK_WRITE || w->rq.hdr.type == BLK_DISCARD;
}

/* w->error and w->done say how it fails. */
static int fail(struct drive *d, struct drive_work *w)
{
	int r = 0;

	if (!is_change(w))
		w->done = 0;
	if (w->done > w->rq.len)
		return error_set(&w->err, EPROTO,
			"request %llu has to fail after %llu of its %llu bytes",
			(unsigned long long)w->rq.id, (unsigned long long)w->done,
			(unsigned long long)w->rq.len);
	if (w->done)
		r = change(d, w, 0, w->done, &w->err);
	return r;
}

static void run(struct drive *d, struct drive_work *w)
{
	const struct blk_req *rq = &w->rq;
	int r = 0;

	w->err = (struct error)ERROR_INIT;
	if (!w->must_fail && !d->replaying)
		inject(d, w);
	if (w->must_fail) {
		/* What is done before the failure must not fail itself. */
		w->broken = fail(d, w) < 0;
		return;
	}
	w->error = 0;
	w->done = 0;
	if (rq->hdr.type == BLK_READ)
		r = image_read(d->image, rq->offset, w->in, rq->len, &w->err);
	else if (rq->hdr.type != BLK_FLUSH)
		r = change_all(d, w, &w->err);
	else if (d->image)
		r = image_flush(d->image, &w->err);
	if (r < 0)
		w->error = (uint32_t)-r;
	else
		w->done = 0;
	/* The log knows of no failure here. */
	w->broken = r < 0 && d->replaying;
}

static void count(struct drive *d, const struct drive_work *w, int64_t ns)
{
	unsigned op = w->rq.hdr.type;

	if (!d->stats)
		return;
	atomic_add(&d->stats->n[op], 1);
	atomic_add(&d->stats->bytes[op], w->error ? 0 : w->rq.len);
	atomic_add(&d->stats->failed[op], w->error != 0);
	atomic_add(&d->stats->ns[op], (uint64_t)ns);
}

static void run_counted(struct drive *d, struct drive_work *w)
{
	int64_t start = host_monotonic_ns();

	run(d, w);
	count(d, w, host_monotonic_ns() - start);
}

void drive_do(struct drive *d, struct drive_work *w)
{
	pthread_mutex_lock(&d->lock);
	while (d->n_held)
		pthread_cond_wait(&d->changed, &d->lock);
	d->busy = true;
	pthread_mutex_unlock(&d->lock);
	run_counted(d, w);
	pthread_mutex_lock(&d->lock);
	d->busy = false;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

/* ---- the thread ---- */

static void *worker(void *opaque)
{
	struct drive *d = opaque;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		struct drive_work *w = d->first;

		if (!w || d->n_held) {
			if (d->stop && !w)
				break;
			pthread_cond_wait(&d->changed, &d->lock);
			continue;
		}
		d->first = w->next;
		if (!d->first)
			d->end = &d->first;
		d->busy = true;
		pthread_mutex_unlock(&d->lock);
		run_counted(d, w);
		d->done(d->opaque, w);
		pthread_mutex_lock(&d->lock);
		d->busy = false;
		pthread_cond_broadcast(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

int drive_start(struct drive *d, void (*done)(void *opaque, struct drive_work *w), void *opaque,
	struct error *err)
{
	sigset_t all, old;
	int r;

	d->done = done;
	d->opaque = opaque;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&d->thread, NULL, worker, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return error_set(
			err, r, "drive '%s': cannot start its thread: %s", d->cfg->id, strerror(r));
	d->started = true;
	return 0;
}

void drive_submit(struct drive *d, struct drive_work *w)
{
	w->next = NULL;
	w->drive = d;
	pthread_mutex_lock(&d->lock);
	*d->end = w;
	d->end = &w->next;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

void drive_stop(struct drive *d)
{
	if (!d->started)
		return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	d->n_held = 0;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	d->started = false;
}

/* ---- for others ---- */

void drive_quiesce(struct drive *d)
{
	pthread_mutex_lock(&d->lock);
	/* Requests that are queued are done first: they are part of what the drive holds. */
	while (d->busy || (d->first && !d->n_held))
		pthread_cond_wait(&d->changed, &d->lock);
	d->n_held++;
	pthread_mutex_unlock(&d->lock);
}

void drive_resume(struct drive *d)
{
	pthread_mutex_lock(&d->lock);
	d->n_held--;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

struct image *drive_writable(struct drive *d, struct error *err)
{
	struct image_info info;

	if (!d->image || image_readonly(d->image)) {
		error_set(err, EROFS, "drive '%s' cannot be written", d->cfg->id);
		return NULL;
	}
	image_get_info(d->image, &info);
	if (strcmp(info.format, "qcow2")) {
		error_set(err, ENOTSUP,
			"drive '%s' is a %s image, which has no snapshots: that needs qcow2",
			d->cfg->id, info.format);
		return NULL;
	}
	return d->image;
}

int drive_flush(struct drive *d, struct error *err)
{
	return d->image ? image_flush(d->image, err) : 0;
}
