/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * logmutate: makes a log that is wrong in one known way, for tests of what a replay says about it.
 *Not installed.
 *
 *	logmutate --move-event N --by K IN OUT		event N (its whole take: warp, mark,
 *inputs), K instructions later (K may be < 0)
 *	logmutate --move-input N --by K IN OUT		the same, for the Nth take of inputs, from 0
 *	logmutate --set-char N OFFSET BYTE IN OUT	byte OFFSET of the Nth CHAR_READ event, from
 *0 logmutate --set-output N OFFSET BYTE IN OUT	byte OFFSET of the Nth OUTPUT event logmutate
 *--set-config KEY VALUE IN OUT		a value of the config event logmutate --drop-event N IN OUT
 *	logmutate --set-version V IN OUT		V as 0x00e0200c
 *	logmutate --flip-byte OFFSET IN OUT		of the file: all its bits
 *	logmutate --cut BYTES IN OUT			keep that many bytes of the file; negative:
 *lose as many
 *
 * Numbers of events are those of `dejavm-log dump`. The encoding of IN is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log_reader.h"
#include "log_writer.h"

static _Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void die(const char *fmt, ...)
{
	va_list ap;

	fputs("logmutate: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static long long number(const char *text)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 0);
	if (!*text || *end || errno)
		die("'%s' is not a number", text);
	return v;
}

/* ---- whole files ---- */

static uint8_t *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = NULL;
	size_t len = 0, n;

	if (!f)
		die("cannot open '%s': %s", path, strerror(errno));
	do {
		p = realloc(p, len + 65536);
		if (!p)
			die("no memory");
		n = fread(p + len, 1, 65536, f);
		len += n;
	} while (n > 0);
	fclose(f);
	*ret_len = len;
	return p;
}

static void write_file(const char *path, const uint8_t *p, size_t len)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(p, 1, len, f) != len || fclose(f) != 0)
		die("cannot write '%s': %s", path, strerror(errno));
}

/* ---- events ---- */

static struct log_event *events;
static size_t n_events;
static enum log_encoding encoding;

static void load(const uint8_t *p, size_t len)
{
	struct log_source src;
	struct log_reader r;
	struct log_event ev;
	struct error err = ERROR_INIT;
	int ret = log_reader_init(&r, log_source_mem(&src, p, len), &err);

	encoding = r.encoding;
	while (ret == 0 && (ret = log_reader_next(&r, &ev, &err)) == 1) {
		uint8_t *copy = malloc(ev.len + 1);

		events = realloc(events, (n_events + 1) * sizeof(*events));
		if (!events || !copy)
			die("no memory");
		if (ev.len > 0)
			memcpy(copy, ev.data, ev.len);
		ev.data = copy;
		events[n_events++] = ev;
		ret = 0;
	}
	if (ret < 0 && ret != -ENODATA)
		die("%s", err.msg);
	log_reader_done(&r);
}

static void save(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
	struct log_writer w;
	struct error err = ERROR_INIT;
	int ret;

	if (fd < 0)
		die("cannot create '%s': %s", path, strerror(errno));
	if (log_writer_init(&w, fd, false, encoding, NULL, &err) < 0)
		die("%s", err.msg);
	for (size_t i = 0; i < n_events; i++) {
		if (events[i].id == LOG_INSTRUCTION)
			continue;
		ret = log_writer_put(&w, events[i].icount, &events[i]);
		if (ret == 0)
			ret = log_writer_maybe_flush(&w);
		if (ret < 0)
			die("event %llu: %s", (unsigned long long)events[i].number, strerror(-ret));
	}
	if (log_writer_flush(&w) < 0)
		die("cannot write '%s'", path);
	log_writer_done(&w);
	close(fd);
}

static struct log_event *event_of_number(long long n)
{
	for (size_t i = 0; i < n_events; i++)
		if (events[i].number == (uint64_t)n && events[i].id != LOG_INSTRUCTION)
			return &events[i];
	die("there is no event %lld that can be changed", n);
}

static bool starts_take(const struct log_event *ev)
{
	return ev->id == LOG_WARP ||
	       (ev->id == LOG_CPU_MARK && (ev == events || ev[-1].id != LOG_WARP));
}

static bool in_take(const struct log_event *ev)
{
	return ev->id == LOG_WARP || ev->id == LOG_CPU_MARK || ev->id == LOG_ASYNC ||
	       ev->id == LOG_REQUEST;
}

/* They are made anew from the icounts. */
static void drop_instructions(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_events; i++)
		if (events[i].id != LOG_INSTRUCTION)
			events[n++] = events[i];
	n_events = n;
}

/* By icount; what lies at the same one keeps its order. */
static void sort_events(void)
{
	for (size_t i = 1; i < n_events; i++)
		for (size_t k = i; k > 0 && events[k].icount < events[k - 1].icount; k--) {
			struct log_event e = events[k];

			events[k] = events[k - 1];
			events[k - 1] = e;
		}
}

/* Moves the take around ev, in front of or behind what it overtakes. */
static void move_take(struct log_event *ev, long long by)
{
	struct log_event *from = ev, *to;

	if (in_take(ev))
		while (from > events && !starts_take(from) && in_take(from - 1))
			from--;
	for (to = from + 1;
		in_take(ev) && to < events + n_events && in_take(to) && !starts_take(to); to++)
		;
	for (struct log_event *e = from; e < to; e++)
		e->icount += (uint64_t)by;
	drop_instructions();
	sort_events();
}

static struct log_event *nth(long long n, bool (*is)(const struct log_event *), const char *what)
{
	for (size_t i = 0; i < n_events; i++)
		if (is(&events[i]) && n-- == 0)
			return &events[i];
	die("the log has not so many %s", what);
}

static bool is_char(const struct log_event *ev)
{
	return ev->id == LOG_ASYNC && ev->kind == LOG_ASYNC_CHAR_READ;
}

static bool is_output(const struct log_event *ev)
{
	return ev->id == LOG_OUTPUT;
}

static void set_byte(struct log_event *ev, long long offset, long long byte)
{
	if (offset < 0 || offset >= ev->len)
		die("event %llu has %u bytes, there is no byte %lld",
			(unsigned long long)ev->number, ev->len, offset);
	((uint8_t *)ev->data)[offset] = (uint8_t)byte;
}

static void set_config(const char *key, const char *value)
{
	uint8_t *buf = malloc(LOG_EVENT_MAX);
	struct log_config_item it;
	size_t pos = 0, len = 0;
	bool found = false;

	if (!buf || n_events == 0 || events[0].id != LOG_CONFIG)
		die("the log has no config event");
	while (log_config_next(events[0].data, events[0].len, &pos, &it) == 1) {
		char *k = strndup(it.key, it.key_len), *v = strndup(it.value, it.value_len);
		bool this = strcmp(k, key) == 0;

		found |= this;
		if (log_config_put(buf, LOG_EVENT_MAX - 64, &len, k, this ? value : v) < 0)
			die("the configuration is too large");
		free(k);
		free(v);
	}
	if (!found && log_config_put(buf, LOG_EVENT_MAX - 64, &len, key, value) < 0)
		die("the configuration is too large");
	events[0].data = buf;
	events[0].len = (uint32_t)len;
}

static void mutate_file(const char *op, const char *arg, uint8_t *p, size_t len, const char *out)
{
	long long n = number(arg);

	if (!strcmp(op, "--cut")) {
		if (n < 0)
			n += (long long)len;
		if (n < 0 || n > (long long)len)
			die("the file has %zu bytes", len);
		len = (size_t)n;
	} else if (!strcmp(op, "--flip-byte")) {
		if (n < 0 || n >= (long long)len)
			die("the file has %zu bytes", len);
		p[n] ^= 0xff;
	} else {
		if (len < LOG_HEADER_LEN)
			die("the file has no header");
		for (int i = 0; i < 4; i++)
			p[i] = (uint8_t)((unsigned long long)n >> (24 - 8 * i));
	}
	write_file(out, p, len);
}

int main(int argc, char **argv)
{
	const char *op = argc > 2 ? argv[1] : "", *out = argv[argc - 1];
	uint8_t *p;
	size_t len;

	if (argc < 5)
		die("see the comment at the top of logmutate.c for how to use it");
	p = read_file(argv[argc - 2], &len);
	if (argc == 5 && (!strcmp(op, "--cut") || !strcmp(op, "--flip-byte") ||
				 !strcmp(op, "--set-version"))) {
		mutate_file(op, argv[2], p, len, out);
		free(p);
		return 0;
	}
	load(p, len);
	if (argc == 7 && !strcmp(op, "--move-event") && !strcmp(argv[3], "--by"))
		move_take(event_of_number(number(argv[2])), number(argv[4]));
	else if (argc == 7 && !strcmp(op, "--move-input") && !strcmp(argv[3], "--by"))
		move_take(nth(number(argv[2]), starts_take, "takes of inputs"), number(argv[4]));
	else if (argc == 7 && !strcmp(op, "--set-char"))
		set_byte(nth(number(argv[2]), is_char, "char-read events"), number(argv[3]),
			number(argv[4]));
	else if (argc == 7 && !strcmp(op, "--set-output"))
		set_byte(nth(number(argv[2]), is_output, "output events"), number(argv[3]),
			number(argv[4]));
	else if (argc == 6 && !strcmp(op, "--set-config"))
		set_config(argv[2], argv[3]);
	else if (argc == 5 && !strcmp(op, "--drop-event"))
		event_of_number(number(argv[2]))->id = LOG_INSTRUCTION;
	else
		die("cannot '%s'", op);
	save(out);
	free(p);
	return 0;
}
