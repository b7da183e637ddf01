/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dejavm-log: looks into logs, checks, compares, converts and repairs them. The commands are in
 * logtool_*.c. */
#include "logtool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "build.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *args, *what;
};

static const struct command commands[] = {
	{ "info", tool_info, "[--config] LOG",
		"what the log is: version, size, end, configuration" },
	{ "dump", tool_dump, "[--json] [--verbose] LOG",
		"one line an event (--json: one object a line)" },
	{ "stat", tool_stat, "LOG", "events and bytes by kind, and over icount" },
	{ "verify", tool_verify, "LOG", "structure, CRCs, does it end cleanly?" },
	{ "diff", tool_diff, "A B", "the first event that differs, in words" },
	{ "convert", tool_convert, "--raw|--chunked IN OUT", "the same log in the other encoding" },
	{ "repair", tool_repair, "IN OUT", "keep all up to the last whole chunk, and end there" },
	{ "extract", tool_extract, "--serial N [--input|--output] LOG",
		"the bytes of a character stream (default: the guest's output)" },
};

static void usage(FILE *f)
{
	fprintf(f, "usage: dejavm-log COMMAND [OPTIONS] LOG\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(f, "  %s %s\n        %s\n", commands[i].name, commands[i].args,
			commands[i].what);
	fprintf(f,
		"\nLOG may be '-': standard input, also a pipe. OUT may be '-': standard output.\n"
		"Exit status: 0 all is well; 1 bad arguments, or a file that cannot be read or "
		"written; 3 the\n"
		"logs differ; 4 the log is cut off (what is whole was used); 5 not a log that can "
		"be used.\n");
}

void tool_complain(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("dejavm-log: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

bool tool_number(const char *text, uint64_t max, const char *what, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || v > max) {
		tool_complain("%s is '%s', a number from 0 to %llu was expected", what, text,
			(unsigned long long)max);
		return false;
	}
	*ret = v;
	return true;
}

static void set_failure(struct tool_log *log, int code)
{
	log->status = code == -ENODATA				     ? TOOL_LOG_CUT
		      : code == -EBADMSG || code == -EPROTONOSUPPORT ? TOOL_LOG_UNUSABLE
								     : TOOL_FAILED;
	if (!log->quiet)
		tool_complain("%s: %s", log->name, log->why.msg);
}

bool tool_open(struct tool_log *log, const char *path)
{
	bool quiet = log->quiet;
	int ret;

	memset(log, 0, sizeof(*log));
	log->quiet = quiet;
	log->name = strcmp(path, "-") == 0 ? "standard input" : path;
	log->fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (log->fd < 0) {
		log->status = TOOL_FAILED;
		tool_complain("cannot open '%s': %s", path, strerror(errno));
		return false;
	}
	ret = log_reader_init(&log->r, log_source_fd(&log->src, log->fd), &log->why);
	if (ret == 0)
		return true;
	set_failure(log, ret);
	return false;
}

bool tool_next(struct tool_log *log, struct log_event *ev)
{
	int ret;

	if (log->status != TOOL_OK)
		return false;
	ret = log_reader_next(&log->r, ev, &log->why);
	if (ret < 0)
		set_failure(log, ret);
	return ret == 1;
}

void tool_close(struct tool_log *log)
{
	if (log->r.src)
		log_reader_done(&log->r);
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}

int tool_create(const char *path, const struct tool_log *not_this)
{
	struct stat in, out;
	int fd;

	if (strcmp(path, "-") == 0)
		return dup(STDOUT_FILENO);
	/* Truncating what is being read would be the end of it. */
	if (fstat(not_this->fd, &in) == 0 && stat(path, &out) == 0 && in.st_dev == out.st_dev &&
		in.st_ino == out.st_ino) {
		tool_complain("'%s' is the file that is being read; another one is needed", path);
		return -1;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		tool_complain("cannot create '%s': %s", path, strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	int ret;

	/* A reader that has seen enough is an error of write() here, not a death. */
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return TOOL_OK;
	}
	if (argc >= 2 && !strcmp(argv[1], "--version")) {
		printf("dejavm-log %s (%s)\n", DEJAVM_VERSION, build_id());
		return TOOL_OK;
	}
	for (size_t i = 0; argc >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (argc == 3 && !strcmp(argv[2], "--help")) {
			printf("usage: dejavm-log %s %s\n%s\n", commands[i].name, commands[i].args,
				commands[i].what);
			return TOOL_OK;
		}
		ret = commands[i].run(argc - 2, argv + 2);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			tool_complain("cannot write to standard output: %s", strerror(errno));
			return TOOL_FAILED;
		}
		return ret;
	}
	if (argc >= 2)
		tool_complain("there is no command '%s'", argv[1]);
	usage(stderr);
	return TOOL_FAILED;
}
