/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the replaying source share (see source_replay.c): replay_open.c looks the log
 * through and compares the configuration, replay_output.c compares what the guest sends,
 * source_replay.c everything else.
 */
#ifndef DEJAVM_REPLAY_H
#define DEJAVM_REPLAY_H

#include "log_reader.h"
#include "sequencer.h"

#define REPLAY_STREAMS 256

/* A reader and the event at which it stands. */
struct cursor {
	struct log_source src;
	struct log_reader reader;
	struct log_event ev;
	bool over; /* it stands behind the last event */
};

struct expected {
	uint8_t *buf;
	size_t pos, len, cap;
	uint64_t sent;	   /* bytes that the machine has sent */
	uint64_t promised; /* bytes that it must have sent when main's event happens */
	uint64_t skip;	   /* bytes that come first and were sent before a snapshot */
};

struct replay {
	struct cursor main, scout, out;
	int n_cursors;
	/* from the first look at the whole log */
	bool cut;
	bool abrupt; /* cut, or ended by a host's error: its end is not the guest's doing */
	uint64_t closing_number; /* the SHUTDOWN before END: it ends the log, it is not delivered */
	uint64_t end_icount;
	uint8_t end_cause;
	uint64_t n_events, file_len;
	char cut_text[512];
	/* progress */
	uint64_t last_clock;
	bool ending;  /* SHUTDOWN was sent that is not in the log: nothing is compared any more */
	bool stopped; /* ... because somebody here asked for it */
	uint64_t halt_icount, n_halts;
	struct {
		char what[64];
		uint64_t icount, number;
	} good; /* the last check that agreed */
	struct expected stream[REPLAY_STREAMS];
};
/* Reads the log, compares the configuration, and opens the cursors: main stands behind CONFIG. Not
 * 0: sequencer_finish() has been called. */
int replay_open(struct sequencer *s);
void replay_close(struct sequencer *s);

/* Opens all cursors, at the log's start. 0, or -1 and sequencer_finish() has been called. */
int replay_open_cursors(struct sequencer *s);
void replay_close_cursors(struct sequencer *s);
/* Begins to read the log again; cursor_close() is needed in any case. */
int cursor_open(struct cursor *c, int fd, struct error *err);
/* The check that agreed last is what. */
void agreed(struct sequencer *s, const char *what);
/* Moves main to the next step, and counts the output that must have been sent by then. */
void advance(struct sequencer *s);

/* Snapshots (replay_state.c) */
int replay_save(struct sequencer *s, const char *name, uint64_t icount, Dejavm__ReplaylogState *ret,
	struct error *err);
int replay_check(struct sequencer *s, const Dejavm__ReplaylogState *st, struct error *err);
void replay_load(struct sequencer *s, const Dejavm__ReplaylogState *st);

/* To the next event. False: there is none. */
bool cursor_next(struct sequencer *s, struct cursor *c);
/* Ends the run as a divergence. what: the check that failed, at s->icount. fmt: lines that say how;
 * each begins with two spaces and ends with a newline. */
void diverge(struct sequencer *s, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Compares what the guest sends, as it comes. */
void replay_output(struct sequencer *s, const struct seq_req *rq, const uint8_t *p, uint32_t len);
/* Has all been sent that the log has up to main's event? Lines that say what is missing, "" if
 * nothing is. */
void output_missing(struct sequencer *s, char *buf, size_t cap);

#endif
