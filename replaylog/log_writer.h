/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a log. Events are collected in a logtail (shared with the hub when recording, on the heap
 * in the tools) and become visible to a salvage only when they are published, so that what belongs
 * together is published together. A chunk goes to the file when it is large, or when its owner says
 * so.
 */
#ifndef DEJAVM_LOG_WRITER_H
#define DEJAVM_LOG_WRITER_H

#include "logfmt.h"

struct log_writer {
	struct logtail *tail;
	bool own_tail;
	bool seekable; /* pwrite at file_len; otherwise write, to a pipe */
	int fd;	       /* the caller's */
	enum log_encoding encoding;
	struct logtail_bank *bank;
	size_t len;	 /* bytes in the bank, published or not */
	uint64_t icount; /* of the last event */
	uint64_t events;
	uint64_t hash; /* of the events so far, as encoded */
	uint64_t file_len;
	uint8_t *disk;
	int failed; /* -errno of the first failure; nothing is written after it */
};

/*
 * Starts a log: writes the header. tail: a zeroed struct logtail, or NULL for one on the heap. 0 or
 * -errno with *err; log_writer_done() is needed after both.
 */
int log_writer_init(struct log_writer *w, int fd, bool seekable, enum log_encoding encoding,
	struct logtail *tail, struct error *err);
void log_writer_done(struct log_writer *w);
/* Appends ev at icount (never less than that of the event before; INSTRUCTION events are added as
 * needed). 0 or -errno. */
int log_writer_put(struct log_writer *w, uint64_t icount, const struct log_event *ev);
/* The events so far belong to the log: a salvage will keep them. */
void log_writer_publish(struct log_writer *w);
/* A log that ends now ends at this icount: where a replay can stop, at or after the last event. */
void log_writer_set_end(struct log_writer *w, uint64_t icount);
/* Bytes that are published and not yet in the file. */
size_t log_writer_pending(const struct log_writer *w);
/* Publishes, and writes what is pending as a chunk. 0 or -errno. */
int log_writer_flush(struct log_writer *w);
/* Flushes when the chunk is large. */
int log_writer_maybe_flush(struct log_writer *w);
/* Puts SHUTDOWN with its cause and END at icount, flushes and syncs. 0 or -errno. */
int log_writer_end(struct log_writer *w, uint64_t icount, uint8_t cause);

#endif
