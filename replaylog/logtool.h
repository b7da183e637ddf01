/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of dejavm-log share. */
#ifndef DEJAVM_LOGTOOL_H
#define DEJAVM_LOGTOOL_H

#include "log_reader.h"

/* Exit statuses; those of a log that cannot be used are the sequencer's (docs/exit-status.md). */
enum tool_status {
	TOOL_OK = 0,
	TOOL_FAILED = 1,       /* bad arguments, a file that cannot be read or written */
	TOOL_DIFFERS = 3,      /* diff */
	TOOL_LOG_CUT = 4,      /* the log has no end; all that is whole was used */
	TOOL_LOG_UNUSABLE = 5, /* not a log, another version, corrupt */
};

struct tool_log {
	const char *name; /* as messages call it */
	int fd;
	struct log_source src;
	struct log_reader r;
	enum tool_status status; /* TOOL_OK until something went wrong */
	bool quiet;		 /* the caller words what is wrong itself, from why */
	struct error why;
};

/* Opens a log by path, "-" is standard input. False: it has been said what is wrong, and
 * log->status is set. */
bool tool_open(struct tool_log *log, const char *path);
/* The next event; false at the end, whichever end it is: log->status tells. */
bool tool_next(struct tool_log *log, struct log_event *ev);
void tool_close(struct tool_log *log);
/* Creates a file; "-" is standard output. Descriptor or -1 (said). */
int tool_create(const char *path, const struct tool_log *not_this);
void tool_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Parses a decimal number, 0..max; false (said) otherwise. */
bool tool_number(const char *text, uint64_t max, const char *what, uint64_t *ret);

/*
 * Each command gets its arguments behind its name. A command that finds them wrong says so and
 * returns TOOL_FAILED.
 */
int tool_info(int argc, char **argv);
int tool_dump(int argc, char **argv);
int tool_stat(int argc, char **argv);
int tool_verify(int argc, char **argv);
int tool_diff(int argc, char **argv);
int tool_convert(int argc, char **argv);
int tool_repair(int argc, char **argv);
int tool_extract(int argc, char **argv);

#endif
