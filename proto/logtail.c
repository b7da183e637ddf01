/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ending the log for a replaylog that was killed (see logtail.h). */
#include "logtail.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "logfmt.h"
#include "seq.h"

/* Room for the events that end a log: INSTRUCTIONs for any distance that is believed, SHUTDOWN,
 * END. */
#define ENDING_MAX	  256
#define ENDING_ICOUNT_MAX (UINT64_C(32) << 32)

struct tail {
	uint8_t *raw; /* private copy: what lies in shared memory is not believed before it has been
			 walked */
	size_t len;
	uint64_t start_icount, start_event, file_len;
	uint64_t icount; /* after the last good event */
	bool ended;	 /* END is among the events */
};

/* Keeps the good events: a dead writer's head names whole events, but it may have died of a wild
 * pointer. */
static void tail_walk(struct tail *t)
{
	struct log_event ev;
	size_t pos = 0;

	t->icount = t->start_icount;
	while (pos < t->len && !t->ended) {
		int n = log_event_decode(t->raw + pos, t->len - pos, &ev, NULL);

		if (n <= 0)
			break;
		pos += (size_t)n;
		if (ev.id == LOG_INSTRUCTION)
			t->icount += ev.a;
		t->ended = ev.id == LOG_END;
	}
	t->len = pos;
}

static void tail_put(struct tail *t, struct log_event ev)
{
	int n = log_event_encode(&ev, t->raw + t->len, ENDING_MAX);

	if (n > 0)
		t->len += (size_t)n;
}

static void tail_end(struct tail *t, uint64_t last_icount, uint32_t cause)
{
	uint64_t left = last_icount > t->icount ? last_icount - t->icount : 0;

	if (left > ENDING_ICOUNT_MAX)
		left = 0;
	while (left > 0) {
		uint32_t step = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;

		tail_put(t, (struct log_event){ .id = LOG_INSTRUCTION, .a = step });
		left -= step;
	}
	tail_put(t, (struct log_event){ .id = LOG_SHUTDOWN,
			    .sub = cause < SHUTDOWN_COUNT ? (uint8_t)cause : SHUTDOWN_HOST_ERROR });
	tail_put(t, (struct log_event){ .id = LOG_END });
}

static int write_at(int fd, const uint8_t *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0)
			return -EIO;
		p += done;
		n -= (size_t)done;
		at += (uint64_t)done;
	}
	return 0;
}

static int tail_write(struct tail *t, uint64_t encoding, int fd)
{
	uint8_t hdr[LOG_HEADER_LEN], *disk = NULL;
	const uint8_t *p = t->raw;
	long n = (long)t->len;
	int ret = 0;

	if (ftruncate(fd, (off_t)t->file_len) < 0)
		return -errno;
	if (t->file_len == 0) {
		log_header_encode(hdr, LOG_VERSION, encoding);
		ret = write_at(fd, hdr, sizeof(hdr), 0);
		t->file_len = sizeof(hdr);
	}
	if (ret == 0 && encoding == LOG_CHUNKED) {
		disk = malloc(LOG_CHUNK_DISK_MAX);
		if (!disk)
			return -ENOMEM;
		n = log_chunk_build(
			t->raw, t->len, t->start_icount, t->start_event, disk, LOG_CHUNK_DISK_MAX);
		ret = n < 0 ? (int)n : 0;
		p = disk;
	}
	if (ret == 0)
		ret = write_at(fd, p, (size_t)n, t->file_len);
	if (ret == 0 && fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
		ret = -errno;
	free(disk);
	return ret;
}

int logtail_salvage(struct logtail *lt, int log_fd, uint32_t cause, struct error *err)
{
	const struct logtail_bank *b;
	struct tail t = { 0 };
	struct stat st;
	int ret;

	if (atomic_load_acquire(&lt->state) != LOGTAIL_RECORDING)
		return 0;
	b = &lt->bank[atomic_load_acquire(&lt->current) & 1];
	t.len = atomic_load_acquire(&b->head);
	t.start_icount = b->start_icount;
	t.start_event = b->start_event;
	t.file_len = b->file_len;
	if (t.len > LOGTAIL_BANK_MAX)
		return error_set(err, EBADMSG, "the log's tail claims %zu bytes, at most %u fit",
			t.len, LOGTAIL_BANK_MAX);
	if (fstat(log_fd, &st) < 0)
		return error_set(err, errno, "cannot look at the log file: %s", strerror(errno));
	if (t.file_len > (uint64_t)st.st_size)
		return error_set(err, EBADMSG,
			"the log's tail claims %llu bytes of whole chunks, the file has %lld",
			(unsigned long long)t.file_len, (long long)st.st_size);
	t.raw = malloc(t.len + ENDING_MAX * 2);
	if (!t.raw)
		return error_set(err, ENOMEM, "no memory to end the log");
	memcpy(t.raw, b->data, t.len);
	tail_walk(&t);
	if (!t.ended)
		tail_end(&t, atomic_load_acquire(&lt->last_icount), cause);
	ret = tail_write(&t, lt->encoding, log_fd);
	free(t.raw);
	if (ret < 0)
		return error_set(err, -ret, "cannot end the log: %s", strerror(-ret));
	atomic_store_release(&lt->state, LOGTAIL_CLOSED);
	return 0;
}
