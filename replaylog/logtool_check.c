/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dejavm-log verify and diff. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "log_words.h"
#include "logtool.h"

int tool_verify(int argc, char **argv)
{
	struct tool_log log = { .fd = -1, .quiet = true };
	struct log_event ev;
	uint64_t number = UINT64_MAX;
	const char *cause = "no cause";

	if (argc != 1 || (argv[0][0] == '-' && argv[0][1])) {
		tool_complain("verify takes the name of one log");
		return TOOL_FAILED;
	}
	if (tool_open(&log, argv[0]))
		while (tool_next(&log, &ev)) {
			if (ev.id == LOG_SHUTDOWN) {
				number = ev.number;
				cause = log_cause_name(ev.sub);
			}
			if (ev.number == 0 && ev.id != LOG_CONFIG) {
				log.status = TOOL_LOG_UNUSABLE;
				snprintf(log.why.msg, sizeof(log.why.msg),
					"its first event is %s, a config event was expected",
					log_event_name(ev.id));
				break;
			}
			if (ev.id == LOG_END && number + 1 != ev.number)
				cause = "no cause";
		}
	if (log.status == TOOL_OK)
		printf("%s: good: %" PRIu64 " events, %" PRIu64 " bytes, ends at icount %" PRIu64
		       " (%s)\n",
			log.name, log.r.events, log.r.file_pos, log.r.icount, cause);
	else if (log.why.msg[0])
		tool_complain("%s: %s", log.name, log.why.msg);
	tool_close(&log);
	return log.status;
}

/* ---- diff ---- */

/* INSTRUCTION events say where the others lie, and no more: how a distance is cut up is nobody's
 * business. */
static bool next_real(struct tool_log *log, struct log_event *ev)
{
	while (tool_next(log, ev))
		if (ev->id != LOG_INSTRUCTION)
			return true;
	return false;
}

static void print_side(const char *name, const struct log_event *ev, bool there)
{
	char words[512];

	if (!there) {
		printf("  %s: ends before\n", name);
		return;
	}
	log_event_words(ev, words, sizeof(words));
	printf("  %s: event %" PRIu64 " at icount %" PRIu64 ": %s\n", name, ev->number, ev->icount,
		words);
}

static bool find_key(
	const struct log_event *ev, const struct log_config_item *want, struct log_config_item *ret)
{
	size_t pos = 0;

	while (log_config_next(ev->data, ev->len, &pos, ret) == 1)
		if (ret->key_len == want->key_len && !memcmp(ret->key, want->key, want->key_len))
			return true;
	return false;
}

static void diff_config(const struct log_event *a, const char *a_name, const struct log_event *b,
	const char *b_name)
{
	struct log_config_item x, y;
	size_t pos = 0;

	while (log_config_next(a->data, a->len, &pos, &x) == 1) {
		bool there = find_key(b, &x, &y);

		if (there && x.value_len == y.value_len && !memcmp(x.value, y.value, x.value_len))
			continue;
		printf("  %.*s: %s %.*s, %s %.*s\n", (int)x.key_len, x.key, a_name,
			(int)x.value_len, x.value, b_name, there ? (int)y.value_len : 4,
			there ? y.value : "none");
	}
	pos = 0;
	while (log_config_next(b->data, b->len, &pos, &y) == 1)
		if (!find_key(a, &y, &x))
			printf("  %.*s: %s none, %s %.*s\n", (int)y.key_len, y.key, a_name, b_name,
				(int)y.value_len, y.value);
}

/* Two events that say the same of the same kind, but for a byte: which? */
static void diff_bytes(const struct log_event *a, const struct log_event *b)
{
	uint32_t n = a->len < b->len ? a->len : b->len, at = 0;

	if (a->id == LOG_CONFIG || a->id == LOG_DIGEST || !a->data || !b->data)
		return;
	while (at < n && a->data[at] == b->data[at])
		at++;
	if (at < n)
		printf("  byte %u of their data differs: 0x%02x, 0x%02x\n", at, a->data[at],
			b->data[at]);
	else if (a->len != b->len)
		printf("  their data have %u and %u bytes\n", a->len, b->len);
}

static void say_difference(const struct tool_log *la, const struct log_event *a, bool has_a,
	const struct tool_log *lb, const struct log_event *b, bool has_b)
{
	if (has_a && has_b && a->icount == b->icount)
		printf("the first difference is at icount %" PRIu64 "\n", a->icount);
	else if (has_a && has_b)
		printf("the first difference is where an event lies: icount %" PRIu64
		       " and %" PRIu64 "\n",
			a->icount, b->icount);
	else
		printf("one log is the beginning of the other\n");
	print_side(la->name, a, has_a);
	print_side(lb->name, b, has_b);
	if (!has_a || !has_b || a->id != b->id)
		return;
	if (a->id == LOG_DIGEST)
		digest_diff(stdout, a->data, a->len, la->name, b->data, b->len, lb->name, 32);
	else if (a->id == LOG_CONFIG)
		diff_config(a, la->name, b, lb->name);
	else
		diff_bytes(a, b);
}

int tool_diff(int argc, char **argv)
{
	struct tool_log a = { .fd = -1 }, b = { .fd = -1 };
	struct log_event x, y;
	int status = TOOL_OK;
	bool has_x = true, has_y = true;

	if (argc != 2 || (argv[0][0] == '-' && argv[0][1]) || (argv[1][0] == '-' && argv[1][1]) ||
		(!strcmp(argv[0], "-") && !strcmp(argv[1], "-"))) {
		tool_complain("diff takes the names of two logs");
		return TOOL_FAILED;
	}
	if (!tool_open(&a, argv[0]) || !tool_open(&b, argv[1])) {
		status = a.status ? a.status : b.status;
	} else {
		while (status == TOOL_OK && has_x && has_y) {
			has_x = next_real(&a, &x);
			has_y = next_real(&b, &y);
			if (has_x != has_y ||
				(has_x && (x.icount != y.icount || !log_event_equal(&x, &y)))) {
				say_difference(&a, &x, has_x, &b, &y, has_y);
				status = TOOL_DIFFERS;
			}
		}
		/* A log that is corrupt was not compared to its end; one that is cut ends like
		 * that. */
		if (a.status == TOOL_LOG_UNUSABLE || b.status == TOOL_LOG_UNUSABLE)
			status = TOOL_LOG_UNUSABLE;
		else if (a.status == TOOL_FAILED || b.status == TOOL_FAILED)
			status = TOOL_FAILED;
		if (status == TOOL_OK)
			printf("the logs are the same: %" PRIu64 " and %" PRIu64
			       " events, up to icount %" PRIu64 "\n",
				a.r.events, b.r.events, a.r.icount);
	}
	tool_close(&a);
	tool_close(&b);
	return status;
}
