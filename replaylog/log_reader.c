/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The streaming reader of logs (see log_reader.h; the format is in docs/log-format.md). */
#include "log_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hash.h"

#define PLAIN_BUF_LEN (2 * LOG_EVENT_MAX)
_Static_assert(PLAIN_BUF_LEN <= LOG_CHUNK_RAW_MAX, "one buffer serves both encodings");

typedef unsigned long long ull;

/* ---- sources ---- */

static long fd_read(struct log_source *s, uint8_t *buf, size_t len)
{
	ssize_t n;

	do
		n = read(s->fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static long file_read(struct log_source *s, uint8_t *buf, size_t len)
{
	ssize_t n;

	do
		n = pread(s->fd, buf, len, (off_t)s->pos);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		s->pos += (uint64_t)n;
	return n < 0 ? -errno : n;
}

static long mem_read(struct log_source *s, uint8_t *buf, size_t len)
{
	size_t left = s->mem_len - (size_t)s->pos;

	if (len > left)
		len = left;
	if (len > 0)
		memcpy(buf, s->mem + s->pos, len);
	s->pos += len;
	return (long)len;
}

struct log_source *log_source_fd(struct log_source *s, int fd)
{
	*s = (struct log_source){ .read = fd_read, .fd = fd };
	return s;
}

struct log_source *log_source_file(struct log_source *s, int fd)
{
	*s = (struct log_source){ .read = file_read, .fd = fd };
	return s;
}

struct log_source *log_source_mem(struct log_source *s, const void *p, size_t len)
{
	*s = (struct log_source){ .read = mem_read, .fd = -1, .mem = p, .mem_len = len };
	return s;
}

/* Reads len bytes unless the source ends before. Bytes read, or -errno. */
static long read_full(struct log_reader *r, uint8_t *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		long n = r->src->read(r->src, buf + got, len - got);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	r->file_pos += got;
	return (long)got;
}

/* ---- the reader ---- */

/* Makes a failure final, with the place in front of what is already in r->why. */
static int fail(struct log_reader *r, int code)
{
	r->failed = code;
	r->why.code = -code;
	return code;
}

static int io_failed(struct log_reader *r, long code)
{
	error_set(&r->why, (int)-code, "cannot read: %s", strerror((int)-code));
	return fail(r, (int)code);
}

int log_reader_init(struct log_reader *r, struct log_source *src, struct error *err)
{
	uint8_t hdr[LOG_HEADER_LEN];
	long n;

	memset(r, 0, sizeof(*r));
	r->src = src;
	r->raw = malloc(LOG_CHUNK_RAW_MAX);
	if (!r->raw)
		return error_set(err, ENOMEM, "no memory for a log reader");
	n = read_full(r, hdr, sizeof(hdr));
	if (n < 0)
		return error_set(err, (int)-n, "cannot read: %s", strerror((int)-n));
	r->header_len = (size_t)n;
	if (n == 0)
		return error_set(err, EBADMSG,
			"it is empty: a log begins with a header of %d bytes", LOG_HEADER_LEN);
	if (n < LOG_HEADER_LEN)
		return error_set(err, EBADMSG,
			"it has %ld bytes only: a log begins with a header of %d bytes", n,
			LOG_HEADER_LEN);
	log_header_decode(hdr, &r->version, &r->reserved);
	if (r->version != LOG_VERSION)
		return error_set(err, EPROTONOSUPPORT,
			"its version is 0x%08x%s; this program reads version 0x%08x", r->version,
			r->version == 0 ? " (a recording that was never finished)" : "",
			LOG_VERSION);
	if (r->reserved > LOG_CHUNKED)
		return error_set(err, EPROTONOSUPPORT,
			"its encoding is 0x%llx; this program reads 0 (plain) and 1 (chunks)",
			(ull)r->reserved);
	r->encoding = (enum log_encoding)r->reserved;
	if (r->encoding == LOG_CHUNKED && !(r->stored = malloc(LOG_CHUNK_DISK_MAX)))
		return error_set(err, ENOMEM, "no memory for a log reader");
	r->whole_len = LOG_HEADER_LEN;
	return 0;
}

void log_reader_done(struct log_reader *r)
{
	free(r->raw);
	free(r->stored);
	r->raw = r->stored = NULL;
}

/* The source has ended. Is that the end of a log, or of a piece of one? */
static int stream_ended(struct log_reader *r, const char *where)
{
	r->cut_len = r->file_pos - r->whole_len;
	if (r->ended && r->cut_len == 0)
		return 0;
	if (r->ended)
		return error_set(&r->why, EBADMSG, "%llu bytes follow the end event",
			       (ull)r->cut_len),
		       fail(r, -EBADMSG);
	if (r->cut_len > 0)
		error_set(&r->why, ENODATA,
			"the log is cut off: it stops %llu bytes into %s at offset %llu, after "
			"event %llu at icount %llu",
			(ull)r->cut_len, where, (ull)r->whole_len, (ull)r->events, (ull)r->icount);
	else
		error_set(&r->why, ENODATA,
			"the log is cut off: it stops at offset %llu without an end event, after "
			"event %llu at icount %llu",
			(ull)r->whole_len, (ull)r->events, (ull)r->icount);
	return fail(r, -ENODATA);
}

static int chunk_bad(struct log_reader *r, uint64_t at, int code)
{
	error_prefix(&r->why, "chunk %llu at offset %llu (event %llu, icount %llu)",
		(ull)r->n_chunks, (ull)at, (ull)r->events, (ull)r->icount);
	return fail(r, code);
}

/* 1: raw holds the next chunk; else as log_reader_next(). */
static int next_chunk(struct log_reader *r)
{
	uint8_t hdr[LOG_CHUNK_HDR_LEN];
	uint64_t at = r->file_pos;
	struct log_chunk c;
	long n = read_full(r, hdr, sizeof(hdr));
	int ret;

	if (n < 0)
		return io_failed(r, n);
	if (n == 0)
		return stream_ended(r, "a chunk");
	if (r->ended) {
		error_set(&r->why, EBADMSG, "something follows the end event");
		return chunk_bad(r, at, -EBADMSG);
	}
	if (n < LOG_CHUNK_HDR_LEN)
		return stream_ended(r, "a chunk");
	if (log_chunk_decode(hdr, &c, &r->why) < 0)
		return chunk_bad(r, at, -EBADMSG);
	n = read_full(r, r->stored, c.stored_len);
	if (n < 0)
		return io_failed(r, n);
	if (n < (long)c.stored_len)
		return stream_ended(r, "a chunk");
	ret = log_chunk_open(hdr, &c, r->stored, r->raw, &r->why);
	if (ret < 0)
		return chunk_bad(r, at, ret);
	if (c.start_event != r->events || c.start_icount != r->icount) {
		error_set(&r->why, EBADMSG,
			"the chunk says that it starts at event %llu, icount %llu: chunks are "
			"missing or not in order",
			(ull)c.start_event, (ull)c.start_icount);
		return chunk_bad(r, at, -EBADMSG);
	}
	r->raw_off += r->raw_len;
	r->raw_pos = 0;
	r->raw_len = c.raw_len;
	r->n_chunks++;
	return 1;
}

/* Plain: 1: there are more bytes in raw than before; 0: the source has ended; -errno. */
static int refill(struct log_reader *r)
{
	long n;

	if (r->raw_pos > 0) {
		memmove(r->raw, r->raw + r->raw_pos, r->raw_len - r->raw_pos);
		r->raw_off += r->raw_pos;
		r->raw_len -= r->raw_pos;
		r->raw_pos = 0;
	}
	if (r->eof)
		return 0;
	n = r->src->read(r->src, r->raw + r->raw_len, PLAIN_BUF_LEN - r->raw_len);
	if (n < 0)
		return io_failed(r, n);
	r->eof = n == 0;
	r->raw_len += (size_t)n;
	r->file_pos += (uint64_t)n;
	return n > 0;
}

static int event_bad(struct log_reader *r)
{
	error_prefix(&r->why, "event %llu at offset %llu of the events%s (icount %llu)",
		(ull)r->events, (ull)(r->raw_off + r->raw_pos),
		r->encoding == LOG_CHUNKED ? ", inflated" : "", (ull)r->icount);
	return fail(r, -EBADMSG);
}

/* Decodes the event at raw_pos: its length, 0 if it is not whole, or the failure. */
static int decode(struct log_reader *r, struct log_event *ev)
{
	size_t left = r->raw_len - r->raw_pos;
	int n = log_event_decode(r->raw + r->raw_pos, left, ev, &r->why);

	if (n < 0)
		return event_bad(r);
	if (n == 0 && left >= LOG_EVENT_MAX) {
		error_set(&r->why, EBADMSG, "it has more than %u bytes", LOG_EVENT_MAX);
		return event_bad(r);
	}
	return n;
}

static int next_raw(struct log_reader *r, struct log_event *ev)
{
	int ret;

	if (r->encoding == LOG_CHUNKED) {
		if (r->raw_pos == r->raw_len && (ret = next_chunk(r)) != 1)
			return ret;
		ret = decode(r, ev);
		if (ret == 0) {
			error_set(&r->why, EBADMSG, "it does not end in its chunk");
			return event_bad(r);
		}
		return ret;
	}
	for (;;) {
		if (r->ended && r->raw_pos < r->raw_len) {
			error_set(&r->why, EBADMSG, "something follows the end event");
			return event_bad(r);
		}
		if (r->raw_pos < r->raw_len && (ret = decode(r, ev)) != 0)
			return ret;
		ret = refill(r);
		if (ret < 0)
			return ret;
		if (ret == 0)
			return stream_ended(r, "an event");
	}
}

int log_reader_next(struct log_reader *r, struct log_event *ev, struct error *err)
{
	int n;

	if (r->failed) {
		if (err)
			*err = r->why;
		return r->failed;
	}
	n = next_raw(r, ev);
	if (n < 0 && err)
		*err = r->why;
	if (n <= 0)
		return n;
	if (r->ended) {
		error_set(&r->why, EBADMSG, "something follows the end event");
		n = event_bad(r);
		if (err)
			*err = r->why;
		return n;
	}
	/* UINT64_MAX means "never" in the protocols. */
	if (ev->id == LOG_INSTRUCTION && ev->a >= UINT64_MAX - r->icount) {
		error_set(&r->why, EBADMSG, "the instruction counts add up to more than 2^64");
		n = event_bad(r);
		if (err)
			*err = r->why;
		return n;
	}
	if (ev->id == LOG_INSTRUCTION)
		r->icount += ev->a;
	ev->number = r->events++;
	ev->icount = r->icount;
	ev->offset = r->raw_off + r->raw_pos;
	r->hash = hash64(r->hash, r->raw + r->raw_pos, (size_t)n);
	r->raw_pos += (size_t)n;
	r->ended = ev->id == LOG_END;
	if (r->encoding == LOG_PLAIN)
		r->whole_len = LOG_HEADER_LEN + ev->offset + (uint64_t)n;
	else if (r->raw_pos == r->raw_len)
		r->whole_len = r->file_pos;
	return 1;
}
