/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer of logs (see log_writer.h; the format is in docs/log-format.md). */
#include "log_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hash.h"
#include "log.h"

static int write_out(struct log_writer *w, const uint8_t *p, size_t n)
{
	uint64_t at = w->file_len;
	size_t left = n;

	while (left > 0) {
		ssize_t done =
			w->seekable ? pwrite(w->fd, p, left, (off_t)at) : write(w->fd, p, left);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			w->failed = done < 0 ? -errno : -EIO;
			/* Half a chunk helps nobody; if it cannot be removed, readers find it cut
			 * off. */
			if (w->seekable && ftruncate(w->fd, (off_t)w->file_len) < 0)
				return w->failed;
			return w->failed;
		}
		p += done;
		at += (uint64_t)done;
		left -= (size_t)done;
	}
	w->file_len += n;
	return 0;
}

/* What the bank says of the chunk that begins in it. Only then may it become the current one. */
static void bank_begin(struct log_writer *w, unsigned int which)
{
	w->bank = &w->tail->bank[which];
	w->bank->start_icount = w->icount;
	w->bank->start_event = w->events;
	w->bank->file_len = w->file_len;
	w->len = 0;
	atomic_set(&w->bank->head, 0);
	/* Pairs with the acquire in logtail_salvage(). */
	atomic_store_release(&w->tail->current, which);
}

int log_writer_init(struct log_writer *w, int fd, bool seekable, enum log_encoding encoding,
	struct logtail *tail, struct error *err)
{
	uint8_t hdr[LOG_HEADER_LEN];

	memset(w, 0, sizeof(*w));
	w->fd = fd;
	w->seekable = seekable;
	w->encoding = encoding;
	w->own_tail = !tail;
	w->tail = tail ? tail : calloc(1, sizeof(*tail));
	w->disk = malloc(LOG_CHUNK_DISK_MAX);
	if (!w->tail || !w->disk)
		return error_set(err, ENOMEM, "no memory for a log writer");
	w->tail->encoding = encoding;
	bank_begin(w, 0);
	atomic_store_release(&w->tail->state, LOGTAIL_RECORDING);
	log_header_encode(hdr, LOG_VERSION, encoding);
	/* Nothing of a longer log that was here may follow ours. EINVAL: not a file that has a
	 * length. */
	if (seekable && ftruncate(fd, 0) < 0 && errno != EINVAL) {
		w->failed = -errno;
		return error_set(err, errno, "cannot empty the log file: %s", strerror(errno));
	}
	if (write_out(w, hdr, sizeof(hdr)) < 0)
		return error_set(
			err, -w->failed, "cannot write the log's header: %s", strerror(-w->failed));
	bank_begin(w, 1);
	return 0;
}

void log_writer_done(struct log_writer *w)
{
	if (w->own_tail)
		free(w->tail);
	free(w->disk);
	w->tail = NULL;
	w->disk = NULL;
}

/* One event as it is. A bank that is full is written first, even in the middle of what belongs
 * together. */
static int append(struct log_writer *w, const struct log_event *ev)
{
	int n = log_event_encode(ev, w->bank->data + w->len, LOGTAIL_BANK_MAX - w->len);

	if (n == -EMSGSIZE && w->len > 0) {
		int ret = log_writer_flush(w);

		if (ret < 0)
			return ret;
		n = log_event_encode(ev, w->bank->data, LOGTAIL_BANK_MAX);
	}
	if (n < 0)
		return w->failed = n;
	w->hash = hash64(w->hash, w->bank->data + w->len, (size_t)n);
	w->len += (size_t)n;
	w->events++;
	return 0;
}

int log_writer_put(struct log_writer *w, uint64_t icount, const struct log_event *ev)
{
	must(icount >= w->icount);
	while (w->failed == 0 && icount > w->icount) {
		uint64_t left = icount - w->icount;
		uint32_t step = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;

		if (append(w, &(struct log_event){ .id = LOG_INSTRUCTION, .a = step }) == 0)
			w->icount += step;
	}
	return w->failed ? w->failed : append(w, ev);
}

void log_writer_publish(struct log_writer *w)
{
	atomic_store_release(&w->bank->head, w->len);
	if (w->icount > atomic_read(&w->tail->last_icount))
		atomic_store_release(&w->tail->last_icount, w->icount);
}

void log_writer_set_end(struct log_writer *w, uint64_t icount)
{
	if (icount > atomic_read(&w->tail->last_icount))
		atomic_store_release(&w->tail->last_icount, icount);
}

size_t log_writer_pending(const struct log_writer *w)
{
	return (size_t)atomic_read(&w->bank->head);
}

int log_writer_flush(struct log_writer *w)
{
	const uint8_t *p = w->bank->data;
	long n = (long)w->len;

	if (w->failed)
		return w->failed;
	log_writer_publish(w);
	if (n == 0)
		return 0;
	if (w->encoding == LOG_CHUNKED) {
		n = log_chunk_build(p, w->len, w->bank->start_icount, w->bank->start_event, w->disk,
			LOG_CHUNK_DISK_MAX);
		if (n < 0)
			return w->failed = (int)n;
		p = w->disk;
	}
	if (write_out(w, p, (size_t)n) < 0)
		return w->failed;
	bank_begin(w, w->bank == &w->tail->bank[0]);
	return 0;
}

int log_writer_maybe_flush(struct log_writer *w)
{
	return w->len >= LOG_CHUNK_CLOSE ? log_writer_flush(w) : w->failed;
}

int log_writer_end(struct log_writer *w, uint64_t icount, uint8_t cause)
{
	if (log_writer_put(w, icount, &(struct log_event){ .id = LOG_SHUTDOWN, .sub = cause }) <
			0 ||
		log_writer_put(w, icount, &(struct log_event){ .id = LOG_END }) < 0 ||
		log_writer_flush(w) < 0)
		return w->failed;
	/* A pipe cannot be synced, and need not. */
	if (fsync(w->fd) < 0 && errno != EINVAL && errno != EROFS)
		return w->failed = -errno;
	atomic_store_release(&w->tail->state, LOGTAIL_CLOSED);
	return 0;
}
