/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a log from a stream: a pipe, a file, memory. Believes nothing of it: every length is
 *bounded, every chunk's CRC and position is checked, and what is wrong is said with the place where
 *it is.
 *
 *	struct log_reader r;
 *	struct log_event ev;
 *
 *	ret = log_reader_init(&r, log_source_fd(&src, fd), &err);
 *	while (ret == 0 && (ret = log_reader_next(&r, &ev, &err)) == 1)
 *		use(&ev);
 *	log_reader_done(&r);
 */
#ifndef DEJAVM_LOG_READER_H
#define DEJAVM_LOG_READER_H

#include "logfmt.h"

/* Where the bytes come from. read: 1..len bytes, 0 at the end, -errno. */
struct log_source {
	long (*read)(struct log_source *s, uint8_t *buf, size_t len);
	int fd;
	uint64_t pos; /* for file and memory: of the next byte */
	const uint8_t *mem;
	size_t mem_len;
};

/* From a descriptor's own position (a pipe will do). Each returns s. */
struct log_source *log_source_fd(struct log_source *s, int fd);
/* From the start of a seekable file, whose own position is left alone, so that several readers
 * share it. */
struct log_source *log_source_file(struct log_source *s, int fd);
struct log_source *log_source_mem(struct log_source *s, const void *p, size_t len);

struct log_reader {
	struct log_source *src;
	/* valid after log_reader_init(), also after a failure */
	size_t header_len; /* bytes of the header that were there: LOG_HEADER_LEN if it is whole */
	uint32_t version;
	uint64_t reserved;
	enum log_encoding encoding;
	/* progress */
	uint64_t events, icount; /* read so far */
	uint64_t hash;		 /* of the events so far, as encoded */
	uint64_t file_pos;	 /* bytes taken from the source */
	uint64_t n_chunks;
	uint64_t whole_len; /* bytes of the file up to the end of the last whole chunk (plain:
			       event) */
	uint64_t cut_len;   /* after -ENODATA: bytes behind whole_len */
	bool ended;	    /* END has been read */
	/* private */
	uint8_t *raw, *stored;
	size_t raw_pos, raw_len;
	uint64_t raw_off; /* of raw[0] in the stream of events */
	bool eof;
	int failed;
	struct error why;
};

/*
 * Reads and checks the header. 0; -EPROTONOSUPPORT: another version or encoding, both named;
 * -EBADMSG: not a log (too short); -ENOMEM; the source's -errno. log_reader_done() is needed after
 * all of them.
 */
int log_reader_init(struct log_reader *r, struct log_source *src, struct error *err);
void log_reader_done(struct log_reader *r);
/*
 * The next event; ev->data is valid until the next call. 1: an event; 0: the log is over, and END
 * was its last event; -ENODATA: it stops without END (cut off); -EBADMSG: corrupt, or something
 * follows END; or the source's -errno. After a failure every later call fails alike.
 */
int log_reader_next(struct log_reader *r, struct log_event *ev, struct error *err);

#endif
