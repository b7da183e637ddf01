/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events in words and as fields: for dump, diff, and the messages of a divergence. */
#ifndef DEJAVM_LOG_WORDS_H
#define DEJAVM_LOG_WORDS_H

#include <stdio.h>
#include "logfmt.h"

enum field_type {
	FIELD_UINT,
	FIELD_HEX,
	FIELD_INT,
	FIELD_WORD,  /* text: one of a table's names */
	FIELD_BYTES, /* data, len */
};

struct field {
	const char *name;
	enum field_type type;
	uint64_t value;
	const char *text;
	const uint8_t *data;
	size_t len;
};

#define FIELDS_MAX 16

/* The arguments of an event, in the log's order; at most FIELDS_MAX. Returns how many. Items of
 * CONFIG and DIGEST are not among them. */
int log_event_fields(const struct log_event *ev, struct field out[FIELDS_MAX]);
/* "async char-read", "shutdown guest-reset", "event 200 (unknown)". */
void log_event_title(const struct log_event *ev, char *buf, size_t cap);
/* The arguments on one line, " name=value ..."; bytes are cut after a few dozen. */
void log_event_print_fields(FILE *f, const struct log_event *ev);
/* Title and arguments, as messages quote them. */
void log_event_words(const struct log_event *ev, char *buf, size_t cap);
/* hash64 of a digest event's items: the number that Finished, info and demo compare. */
uint64_t log_digest_hash(const uint8_t *items, size_t len);
/* Bytes as a C string literal without its quotes, cut ("...") to fit cap. Returns its length. */
size_t bytes_escape(char *buf, size_t cap, const uint8_t *p, size_t n);
/* The same kind of event with the same arguments, wherever they lie? */
bool log_event_equal(const struct log_event *a, const struct log_event *b);

/*
 * Differences between two digests, one line each ("  register eip: log 0x1, replay 0x2"), at most
 * max lines, in the order of a. What names the sides, as "log" and "replay". Returns the number of
 * items that differ, however many lines there was room for.
 */
int digest_diff(FILE *f, const uint8_t *a, size_t a_len, const char *a_name, const uint8_t *b,
	size_t b_len, const char *b_name, int max);

#endif
