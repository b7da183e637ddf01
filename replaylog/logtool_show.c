/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dejavm-log info, dump, stat: what is in a log. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "digest.h"
#include "log_words.h"
#include "logtool.h"

/* The only argument that is no option, or NULL (said). */
static const char *only_log(const char *command, int argc, char **argv)
{
	const char *path = NULL;

	for (int i = 0; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			tool_complain("%s has no option '%s'", command, argv[i]);
			return NULL;
		}
		if (path) {
			tool_complain("%s takes one log, not '%s' too", command, argv[i]);
			return NULL;
		}
		path = argv[i];
	}
	if (!path)
		tool_complain("%s needs the name of a log", command);
	return path;
}

/* Takes an option out of the arguments. */
static bool take_option(int *argc, char **argv, const char *name)
{
	for (int i = 0; i < *argc; i++)
		if (!strcmp(argv[i], name)) {
			memmove(argv + i, argv + i + 1, (size_t)(*argc - i - 1) * sizeof(*argv));
			--*argc;
			return true;
		}
	return false;
}

/* ---- info ---- */

/* As it is, but for what would break the line. */
static void print_value(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '\\')
			fputs("\\\\", stdout);
		else if (c < 32 || c == 127)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

static void print_config(const struct log_event *ev, const char *before)
{
	struct log_config_item it;
	size_t pos = 0;

	while (log_config_next(ev->data, ev->len, &pos, &it) == 1) {
		fputs(before, stdout);
		print_value(it.key, it.key_len);
		putchar('=');
		print_value(it.value, it.value_len);
		putchar('\n');
	}
}

struct summary {
	uint64_t inputs, digests, warps, clocks, output_bytes, raw_bytes, config_items;
	uint64_t last_digest;
	const char *cause;
};

static void sum_up(struct summary *s, const struct log_event *ev)
{
	struct field f[FIELDS_MAX];

	s->raw_bytes += ev->size;
	switch (ev->id) {
	case LOG_ASYNC:
	case LOG_REQUEST: s->inputs++; break;
	case LOG_DIGEST:
		s->digests++;
		s->last_digest = log_digest_hash(ev->data, ev->len);
		break;
	case LOG_WARP: s->warps++; break;
	case LOG_CLOCK_HOST:
	case LOG_CLOCK_VIRTUAL_RT: s->clocks++; break;
	case LOG_OUTPUT: s->output_bytes += ev->len; break;
	case LOG_SHUTDOWN: s->cause = log_cause_name(ev->sub); break;
	case LOG_CONFIG:
		log_event_fields(ev, f);
		s->config_items = f[0].value;
		break;
	}
}

int tool_info(int argc, char **argv)
{
	bool config = take_option(&argc, argv, "--config");
	const char *path = only_log("info", argc, argv);
	struct tool_log log = { .fd = -1 };
	struct summary s = { .cause = "none" };
	struct log_event ev;

	if (!path)
		return TOOL_FAILED;
	if (!tool_open(&log, path)) {
		tool_close(&log);
		return log.status;
	}
	if (config) {
		bool found = false;

		while (!found && tool_next(&log, &ev))
			found = ev.id == LOG_CONFIG;
		if (found)
			print_config(&ev, "");
		else if (log.status == TOOL_OK)
			tool_complain("%s: it has no config event", log.name);
		tool_close(&log);
		return found ? TOOL_OK : log.status ? (int)log.status : TOOL_LOG_UNUSABLE;
	}
	while (tool_next(&log, &ev))
		sum_up(&s, &ev);
	printf("version: 0x%08x\n", log.r.version);
	printf("encoding: %s\n", log.r.encoding == LOG_CHUNKED ? "chunks" : "plain");
	printf("bytes: %" PRIu64 "\n", log.r.file_pos);
	printf("event-bytes: %" PRIu64 "\n", s.raw_bytes);
	if (log.r.encoding == LOG_CHUNKED)
		printf("chunks: %" PRIu64 "\n", log.r.n_chunks);
	printf("events: %" PRIu64 "\n", log.r.events);
	printf("icount: %" PRIu64 "\n", log.r.icount);
	printf("end: %s\n", log.r.ended			 ? s.cause
			    : log.status == TOOL_LOG_CUT ? "none (cut off)"
							 : "none (corrupt)");
	printf("inputs: %" PRIu64 "\n", s.inputs);
	printf("clock-reads: %" PRIu64 "\n", s.clocks);
	printf("warps: %" PRIu64 "\n", s.warps);
	printf("output-bytes: %" PRIu64 "\n", s.output_bytes);
	printf("digests: %" PRIu64 "\n", s.digests);
	if (s.digests)
		printf("final-digest: %016" PRIx64 "\n", s.last_digest);
	printf("config-items: %" PRIu64 "\n", s.config_items);
	tool_close(&log);
	return log.status;
}

/* ---- dump ---- */

/* A JSON string; bytes beyond ASCII are the Latin-1 characters of that number, so that none is
 * lost. */
static void json_string(const uint8_t *p, size_t n)
{
	putchar('"');
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '"' || p[i] == '\\')
			printf("\\%c", p[i]);
		else if (p[i] < 32 || p[i] > 126)
			printf("\\u%04x", p[i]);
		else
			putchar(p[i]);
	}
	putchar('"');
}

static void json_text(const char *s)
{
	json_string((const uint8_t *)s, strlen(s));
}

static const char *item_kind(uint8_t kind)
{
	static const char *const names[] = { "?", "register", "cpu", "device", "ram", "ram-bucket",
		"output" };

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

static void json_items(const struct log_event *ev)
{
	struct log_config_item c;
	struct digest_item d;
	const char *comma = "";
	size_t pos = 0;

	if (ev->id == LOG_CONFIG) {
		printf(",\"config\":{");
		while (log_config_next(ev->data, ev->len, &pos, &c) == 1) {
			fputs(comma, stdout);
			json_string((const uint8_t *)c.key, c.key_len);
			putchar(':');
			json_string((const uint8_t *)c.value, c.value_len);
			comma = ",";
		}
		putchar('}');
		return;
	}
	printf(",\"digest\":[");
	while (digest_next(ev->data, ev->len, &pos, &d) == 1) {
		printf("%s{\"kind\":\"%s\"", comma, item_kind(d.kind));
		if (d.kind == DIGEST_RAM_BUCKET) {
			printf(",\"first_page\":%u,\"npages\":%u", d.first_page, d.npages);
		} else {
			printf(",\"name\":");
			json_text(d.name);
		}
		printf(",\"value\":\"0x%" PRIx64 "\"}", d.value);
		comma = ",";
	}
	putchar(']');
}

static void dump_json(const struct log_event *ev)
{
	struct field f[FIELDS_MAX];
	int n = log_event_fields(ev, f);

	printf("{\"number\":%" PRIu64 ",\"icount\":%" PRIu64 ",\"offset\":%" PRIu64
	       ",\"size\":%u,\"id\":%u,\"event\":\"%s\"",
		ev->number, ev->icount, ev->offset, ev->size,
		ev->id == LOG_SHUTDOWN || ev->id == LOG_CHECKPOINT ? ev->id + ev->sub : ev->id,
		log_event_name(ev->id));
	for (int i = 0; i < n; i++) {
		printf(",\"%s\":", f[i].name);
		switch (f[i].type) {
		case FIELD_UINT: printf("%" PRIu64, f[i].value); break;
		case FIELD_HEX: printf("\"0x%" PRIx64 "\"", f[i].value); break;
		case FIELD_INT: printf("%" PRId64, (int64_t)f[i].value); break;
		case FIELD_WORD: json_text(f[i].text); break;
		case FIELD_BYTES: json_string(f[i].data, f[i].len); break;
		}
	}
	if (ev->id == LOG_CONFIG || ev->id == LOG_DIGEST)
		json_items(ev);
	puts("}");
}

static void dump_items(const struct log_event *ev)
{
	struct digest_item d;
	char words[96];
	size_t pos = 0;

	if (ev->id == LOG_CONFIG) {
		print_config(ev, "                        ");
		return;
	}
	while (digest_next(ev->data, ev->len, &pos, &d) == 1) {
		digest_item_words(&d, words, sizeof(words));
		printf("                        %s = 0x%" PRIx64 "\n", words, d.value);
	}
}

int tool_dump(int argc, char **argv)
{
	bool json = take_option(&argc, argv, "--json"),
	     verbose = take_option(&argc, argv, "--verbose");
	const char *path = only_log("dump", argc, argv);
	struct tool_log log = { .fd = -1 };
	struct log_event ev;
	char title[64];

	if (!path)
		return TOOL_FAILED;
	if (tool_open(&log, path))
		while (tool_next(&log, &ev)) {
			if (json) {
				dump_json(&ev);
				continue;
			}
			log_event_title(&ev, title, sizeof(title));
			printf("%8" PRIu64 " %14" PRIu64 "  %s", ev.number, ev.icount, title);
			log_event_print_fields(stdout, &ev);
			putchar('\n');
			if (verbose && (ev.id == LOG_CONFIG || ev.id == LOG_DIGEST))
				dump_items(&ev);
		}
	tool_close(&log);
	return log.status;
}

/* ---- stat ---- */

#define BINS 32

struct bins {
	unsigned int shift; /* a bin is 2^shift instructions wide */
	uint64_t events[BINS], bytes[BINS];
};

/* The length of a log from a pipe is not known, so that bins are joined in pairs as it grows. */
static void bins_add(struct bins *b, const struct log_event *ev)
{
	while (ev->icount >> b->shift >= BINS) {
		for (int i = 0; i < BINS; i++) {
			uint64_t e = b->events[i], n = b->bytes[i];

			b->events[i] = b->bytes[i] = 0;
			b->events[i / 2] += e;
			b->bytes[i / 2] += n;
		}
		b->shift++;
	}
	b->events[ev->icount >> b->shift]++;
	b->bytes[ev->icount >> b->shift] += ev->size;
}

struct kind {
	uint64_t events, bytes;
};

static void print_kind(const char *name, const struct kind *k, uint64_t all)
{
	if (k->events)
		printf("%-28s %12" PRIu64 " %12" PRIu64 " %6.2f%%\n", name, k->events, k->bytes,
			all ? 100.0 * (double)k->bytes / (double)all : 0.0);
}

int tool_stat(int argc, char **argv)
{
	/* One row an id, and one more for each kind of the asynchronous ones. */
	static struct kind kinds[256], asyncs[LOG_ASYNC_COUNT];
	static struct bins bins;
	const char *path = only_log("stat", argc, argv);
	struct tool_log log = { .fd = -1 };
	struct log_event ev;
	struct kind all = { 0, 0 };
	int last = BINS - 1;

	if (!path)
		return TOOL_FAILED;
	if (!tool_open(&log, path)) {
		tool_close(&log);
		return log.status;
	}
	while (tool_next(&log, &ev)) {
		struct kind *k = ev.id == LOG_ASYNC ? &asyncs[ev.kind] : &kinds[ev.id];

		k->events++;
		k->bytes += ev.size;
		all.events++;
		all.bytes += ev.size;
		bins_add(&bins, &ev);
	}
	printf("%-28s %12s %12s %7s\n", "kind", "events", "bytes", "bytes");
	for (int i = 0; i < 256; i++) {
		char name[32];

		snprintf(name, sizeof(name), "event %d", i);
		if (strcmp(log_event_name((uint8_t)i), "unknown") != 0)
			snprintf(name, sizeof(name), "%s", log_event_name((uint8_t)i));
		print_kind(name, &kinds[i], all.bytes);
	}
	for (int i = 0; i < LOG_ASYNC_COUNT; i++) {
		char name[32];

		snprintf(name, sizeof(name), "async %s", log_async_name((uint8_t)i));
		print_kind(name, &asyncs[i], all.bytes);
	}
	print_kind("all", &all, all.bytes);
	printf("in the file: %" PRIu64 " bytes\n", log.r.file_pos);
	while (last > 0 && bins.events[last] == 0)
		last--;
	printf("\n%-28s %12s %12s\n", "from icount", "events", "bytes");
	for (int i = 0; i <= last; i++)
		printf("%-28" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n", (uint64_t)i << bins.shift,
			bins.events[i], bins.bytes[i]);
	tool_close(&log);
	return log.status;
}
