/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dejavm-log convert, repair, extract: what makes something out of a log. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log_writer.h"
#include "logtool.h"
#include "seq.h"

static int write_failed(const char *path, int code)
{
	tool_complain("cannot write '%s': %s", path, strerror(-code));
	return TOOL_FAILED;
}

/* Copies events until the log ends, however it ends. What INSTRUCTION events say is in the icounts.
 * 0 or -errno of the writer. */
static int copy_events(struct tool_log *in, struct log_writer *w, struct log_event *last)
{
	struct log_event ev;
	int ret = 0;

	memset(last, 0, sizeof(*last));
	while (ret == 0 && tool_next(in, &ev)) {
		if (ev.id == LOG_INSTRUCTION)
			continue;
		ret = log_writer_put(w, ev.icount, &ev);
		if (ret == 0)
			ret = log_writer_maybe_flush(w);
		*last = ev;
	}
	last->data = NULL;
	return ret;
}

struct output {
	struct tool_log in;
	struct log_writer w;
	int fd;
};

static int open_both(
	struct output *o, const char *in, const char *out, const enum log_encoding *encoding)
{
	struct error err = ERROR_INIT;

	o->fd = o->in.fd = -1;
	if (!tool_open(&o->in, in))
		return o->in.status;
	o->fd = tool_create(out, &o->in);
	if (o->fd < 0)
		return TOOL_FAILED;
	if (log_writer_init(
		    &o->w, o->fd, false, encoding ? *encoding : o->in.r.encoding, NULL, &err) < 0) {
		tool_complain("'%s': %s", out, err.msg);
		return TOOL_FAILED;
	}
	return TOOL_OK;
}

static void close_both(struct output *o)
{
	if (o->w.tail)
		log_writer_done(&o->w);
	if (o->fd >= 0)
		close(o->fd);
	tool_close(&o->in);
}

int tool_convert(int argc, char **argv)
{
	struct output o = { .fd = -1 };
	enum log_encoding encoding;
	struct log_event last;
	int status, ret;

	if (argc != 3 || (strcmp(argv[0], "--raw") != 0 && strcmp(argv[0], "--chunked") != 0)) {
		tool_complain("convert takes --raw or --chunked, and the names of two files");
		return TOOL_FAILED;
	}
	encoding = strcmp(argv[0], "--raw") == 0 ? LOG_PLAIN : LOG_CHUNKED;
	status = open_both(&o, argv[1], argv[2], &encoding);
	if (status == TOOL_OK) {
		ret = copy_events(&o.in, &o.w, &last);
		if (ret == 0)
			ret = log_writer_flush(&o.w);
		status = ret < 0 ? write_failed(argv[2], ret) : (int)o.in.status;
	}
	close_both(&o);
	return status;
}

int tool_repair(int argc, char **argv)
{
	struct output o = { .in.quiet = true, .fd = -1 };
	struct log_event last;
	int status, ret;

	if (argc != 2) {
		tool_complain("repair takes the names of two files");
		return TOOL_FAILED;
	}
	status = open_both(&o, argv[0], argv[1], NULL);
	if (status != TOOL_OK) {
		if (o.in.why.msg[0])
			tool_complain("%s: %s", o.in.name, o.in.why.msg);
		close_both(&o);
		return status;
	}
	ret = copy_events(&o.in, &o.w, &last);
	if (ret == 0 && last.id == LOG_END) {
		ret = log_writer_flush(&o.w);
	} else if (ret == 0 && o.w.events > 0) {
		/* What is in the middle of an instruction has to be over before a replay can stop.
		 */
		bool middle = last.id == LOG_OUTPUT || last.id == LOG_CLOCK_HOST ||
			      last.id == LOG_CLOCK_VIRTUAL_RT;

		ret = log_writer_end(&o.w, last.icount + middle, SHUTDOWN_HOST_ERROR);
	}
	if (ret < 0) {
		status = write_failed(argv[1], ret);
	} else if (o.in.status == TOOL_FAILED || o.w.events == 0) {
		tool_complain("%s: nothing can be kept: %s", o.in.name,
			o.in.why.msg[0] ? o.in.why.msg : "it holds no events");
		status = o.in.status == TOOL_FAILED ? TOOL_FAILED : TOOL_LOG_UNUSABLE;
	} else if (o.in.status != TOOL_OK) {
		fprintf(stderr,
			"dejavm-log: %s\ndejavm-log: kept %" PRIu64 " events, up to icount %" PRIu64
			"\n",
			o.in.why.msg, o.w.events, o.w.icount);
	} else {
		fprintf(stderr, "dejavm-log: %s is whole; it was copied\n", o.in.name);
	}
	close_both(&o);
	return status;
}

/* ---- extract ---- */

int tool_extract(int argc, char **argv)
{
	struct tool_log log = { .fd = -1 };
	const char *path = NULL;
	uint64_t stream = UINT64_MAX;
	bool input = false;
	struct log_event ev;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--input")) {
			input = true;
		} else if (!strcmp(argv[i], "--output")) {
			input = false;
		} else if (!strcmp(argv[i], "--serial") && i + 1 < argc) {
			if (!tool_number(argv[++i], 255, "--serial", &stream))
				return TOOL_FAILED;
		} else if ((argv[i][0] == '-' && argv[i][1]) || path) {
			tool_complain("extract has no option '%s'", argv[i]);
			return TOOL_FAILED;
		} else {
			path = argv[i];
		}
	}
	if (!path || stream == UINT64_MAX) {
		tool_complain("extract needs --serial N and the name of a log");
		return TOOL_FAILED;
	}
	if (tool_open(&log, path))
		while (tool_next(&log, &ev)) {
			bool read = ev.id == LOG_ASYNC && ev.kind == LOG_ASYNC_CHAR_READ;

			if ((input ? read : ev.id == LOG_OUTPUT) && ev.dev == stream &&
				fwrite(ev.data, 1, ev.len, stdout) != ev.len)
				break;
		}
	tool_close(&log);
	return log.status;
}
