/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events in words and as fields (see log_words.h). */
#include "log_words.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "digest.h"
#include "hash.h"
#include "seq.h"

static const char *const mark_names[] = {
#define X(n) #n,
	CPU_MARK_REGS(X)
#undef X
};

static const char *const input_names[] = { "key", "button", "relative", "absolute" };

struct fields {
	struct field *v;
	int n;
};

static void add(struct fields *f, const char *name, enum field_type type, uint64_t value)
{
	if (f->n < FIELDS_MAX)
		f->v[f->n++] = (struct field){ .name = name, .type = type, .value = value };
}

static void add_word(struct fields *f, const char *name, const char *text)
{
	if (f->n < FIELDS_MAX)
		f->v[f->n++] = (struct field){ .name = name, .type = FIELD_WORD, .text = text };
}

static void add_bytes(struct fields *f, const char *name, const uint8_t *p, size_t n)
{
	if (f->n < FIELDS_MAX)
		f->v[f->n++] =
			(struct field){ .name = name, .type = FIELD_BYTES, .data = p, .len = n };
}

static void input_fields(struct fields *f, const struct log_event *ev)
{
	add_word(f, "input", input_names[ev->input & 3]);
	switch (ev->input) {
	case LOG_INPUT_KEY:
		add(f, ev->a == LOG_KEY_QCODE ? "qcode" : "code", FIELD_UINT, ev->value);
		add(f, "down", FIELD_UINT, ev->down);
		break;
	case LOG_INPUT_BTN:
		add(f, "button", FIELD_UINT, ev->a);
		add(f, "down", FIELD_UINT, ev->down);
		break;
	default:
		add(f, "axis", FIELD_UINT, ev->a);
		add(f, "value", FIELD_INT, ev->value);
		break;
	}
}

static void async_fields(struct fields *f, const struct log_event *ev)
{
	add_word(f, "checkpoint", log_checkpoint_name(ev->sub));
	add_word(f, "kind", log_async_name(ev->kind));
	switch (ev->kind) {
	case LOG_ASYNC_BH:
	case LOG_ASYNC_BLOCK: add(f, "id", FIELD_UINT, ev->value); break;
	case LOG_ASYNC_INPUT: input_fields(f, ev); break;
	case LOG_ASYNC_CHAR_READ:
		add(f, "dev", FIELD_UINT, ev->dev);
		add_bytes(f, "data", ev->data, ev->len);
		break;
	case LOG_ASYNC_NET:
		add(f, "nic", FIELD_UINT, ev->dev);
		add(f, "flags", FIELD_HEX, ev->a);
		add_bytes(f, "data", ev->data, ev->len);
		break;
	}
}

static int count_items(const struct log_event *ev)
{
	struct digest_item d;
	struct log_config_item c;
	size_t pos = 0;
	int n = 0;

	if (ev->id == LOG_DIGEST)
		while (digest_next(ev->data, ev->len, &pos, &d) == 1)
			n++;
	else
		while (log_config_next(ev->data, ev->len, &pos, &c) == 1)
			n++;
	return n;
}

int log_event_fields(const struct log_event *ev, struct field out[FIELDS_MAX])
{
	struct fields f = { out, 0 };

	switch (ev->id) {
	case LOG_INSTRUCTION: add(&f, "count", FIELD_UINT, ev->a); break;
	case LOG_ASYNC: async_fields(&f, ev); break;
	case LOG_SHUTDOWN: add_word(&f, "cause", log_cause_name(ev->sub)); break;
	case LOG_CHAR_WRITE:
		add(&f, "result", FIELD_UINT, ev->a);
		add(&f, "offset", FIELD_UINT, ev->b);
		break;
	case LOG_CHAR_READ_ALL_ERROR: add(&f, "error", FIELD_UINT, ev->a); break;
	case LOG_AUDIO_OUT: add(&f, "samples", FIELD_UINT, ev->a); break;
	case LOG_AUDIO_IN:
		add(&f, "samples", FIELD_UINT, ev->a);
		add(&f, "wpos", FIELD_UINT, ev->b);
		add_bytes(&f, "data", ev->data, ev->len);
		break;
	case LOG_CLOCK_HOST:
	case LOG_CLOCK_VIRTUAL_RT:
	case LOG_WARP: add(&f, "ns", FIELD_UINT, ev->value); break;
	case LOG_CHECKPOINT: add_word(&f, "checkpoint", log_checkpoint_name(ev->sub)); break;
	case LOG_CONFIG: add(&f, "items", FIELD_UINT, (uint64_t)count_items(ev)); break;
	case LOG_DIGEST:
		add(&f, "items", FIELD_UINT, (uint64_t)count_items(ev));
		add(&f, "hash", FIELD_HEX, log_digest_hash(ev->data, ev->len));
		break;
	case LOG_SNAPSHOT: add_bytes(&f, "name", ev->data, ev->len); break;
	case LOG_RESTART: add_bytes(&f, "role", ev->data, ev->len); break;
	case LOG_REQUEST:
		add_word(&f, "request", log_request_name(ev->kind));
		if (ev->kind == LOG_REQUEST_BREAK)
			add(&f, "stream", FIELD_UINT, ev->dev);
		break;
	case LOG_CPU_MARK:
		for (int i = 0; i < CPU_MARK_COUNT; i++)
			add(&f, mark_names[i], FIELD_HEX, ev->mark[i]);
		break;
	case LOG_BLOCK_ERROR:
		add(&f, "id", FIELD_UINT, ev->value);
		add(&f, "error", FIELD_UINT, ev->a);
		add(&f, "done", FIELD_UINT, ev->done);
		break;
	case LOG_OUTPUT: add(&f, "stream", FIELD_UINT, ev->dev); /* fall through */
	default:
		if (ev->id == LOG_CHAR_READ_ALL || ev->id >= LOG_EXT_FIRST)
			add_bytes(&f, "data", ev->data, ev->len);
		break;
	}
	return f.n;
}

void log_event_title(const struct log_event *ev, char *buf, size_t cap)
{
	if (ev->id == LOG_ASYNC)
		snprintf(buf, cap, "async %s", log_async_name(ev->kind));
	else if (ev->id == LOG_SHUTDOWN)
		snprintf(buf, cap, "shutdown %s", log_cause_name(ev->sub));
	else if (ev->id == LOG_CHECKPOINT)
		snprintf(buf, cap, "checkpoint %s", log_checkpoint_name(ev->sub));
	else if (ev->id == LOG_REQUEST)
		snprintf(buf, cap, "request %s", log_request_name(ev->kind));
	else if (!strcmp(log_event_name(ev->id), "unknown"))
		snprintf(buf, cap, "event %u (unknown)", ev->id);
	else
		snprintf(buf, cap, "%s", log_event_name(ev->id));
}

size_t bytes_escape(char *buf, size_t cap, const uint8_t *p, size_t n)
{
	size_t len = 0;

	if (cap == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char one[8];
		int k;

		switch (p[i]) {
		case '\n': k = snprintf(one, sizeof(one), "\\n"); break;
		case '\r': k = snprintf(one, sizeof(one), "\\r"); break;
		case '\t': k = snprintf(one, sizeof(one), "\\t"); break;
		case '"':
		case '\\': k = snprintf(one, sizeof(one), "\\%c", p[i]); break;
		default:
			k = snprintf(one, sizeof(one), p[i] >= 32 && p[i] < 127 ? "%c" : "\\x%02x",
				p[i]);
			break;
		}
		if (len + (size_t)k + 4 > cap) {
			len += (size_t)snprintf(
				buf + len, cap - len, "%.*s", (int)(cap - len - 1), "...");
			return len;
		}
		memcpy(buf + len, one, (size_t)k);
		len += (size_t)k;
	}
	buf[len] = '\0';
	return len;
}

void log_event_print_fields(FILE *f, const struct log_event *ev)
{
	struct field v[FIELDS_MAX];
	int n = log_event_fields(ev, v);

	for (int i = 0; i < n; i++) {
		char text[72];

		/* The title has said most words; the checkpoint of an input is for other programs.
		 */
		if (v[i].type == FIELD_WORD && strcmp(v[i].name, "input") != 0)
			continue;
		switch (v[i].type) {
		case FIELD_UINT: fprintf(f, " %s=%" PRIu64, v[i].name, v[i].value); break;
		case FIELD_HEX: fprintf(f, " %s=0x%" PRIx64, v[i].name, v[i].value); break;
		case FIELD_INT: fprintf(f, " %s=%" PRId64, v[i].name, (int64_t)v[i].value); break;
		case FIELD_WORD: fprintf(f, " %s=%s", v[i].name, v[i].text); break;
		case FIELD_BYTES:
			bytes_escape(text, sizeof(text), v[i].data, v[i].len);
			fprintf(f, " %s[%zu]=\"%s\"", v[i].name, v[i].len, text);
			break;
		}
	}
}

void log_event_words(const struct log_event *ev, char *buf, size_t cap)
{
	FILE *f;
	size_t n;

	log_event_title(ev, buf, cap);
	n = strlen(buf);
	if (cap - n < 2 || !(f = fmemopen(buf + n, cap - n, "w")))
		return;
	log_event_print_fields(f, ev);
	fclose(f);
	buf[cap - 1] = '\0';
}

uint64_t log_digest_hash(const uint8_t *items, size_t len)
{
	return hash64(0, items, len);
}

bool log_event_equal(const struct log_event *a, const struct log_event *b)
{
	struct field fa[FIELDS_MAX], fb[FIELDS_MAX];
	int n = log_event_fields(a, fa);

	if (a->id != b->id || n != log_event_fields(b, fb))
		return false;
	if ((a->id == LOG_CONFIG || a->id == LOG_DIGEST) &&
		(a->len != b->len || (a->len > 0 && memcmp(a->data, b->data, a->len) != 0)))
		return false;
	for (int i = 0; i < n; i++) {
		if (strcmp(fa[i].name, fb[i].name) != 0 || fa[i].value != fb[i].value ||
			fa[i].len != fb[i].len)
			return false;
		if (fa[i].type == FIELD_WORD && strcmp(fa[i].text, fb[i].text) != 0)
			return false;
		if (fa[i].len > 0 && memcmp(fa[i].data, fb[i].data, fa[i].len) != 0)
			return false;
	}
	return true;
}

/* ---- digests ---- */

static bool same_item(const struct digest_item *a, const struct digest_item *b)
{
	return a->kind == b->kind && a->first_page == b->first_page && a->npages == b->npages &&
	       !strcmp(a->name, b->name);
}

/* The item of the same name in buf. Both digests usually have the same items in the same order, so
 * *hint finds it at once. */
static bool find_item(const uint8_t *buf, size_t len, const struct digest_item *want, size_t *hint,
	struct digest_item *ret)
{
	for (int round = 0; round < 2; round++) {
		size_t pos = round == 0 ? *hint : 0;

		while (digest_next(buf, len, &pos, ret) == 1) {
			if (same_item(ret, want)) {
				*hint = pos;
				return true;
			}
			if (round == 0)
				break;
		}
	}
	return false;
}

static void value_words(const struct digest_item *it, char *buf, size_t cap)
{
	if (it->kind == DIGEST_OUTPUT)
		snprintf(buf, cap, "%" PRIu64 " bytes", it->value);
	else if (it->kind == DIGEST_REG)
		snprintf(buf, cap, "0x%08" PRIx64, it->value);
	else
		snprintf(buf, cap, "hash %016" PRIx64, it->value);
}

int digest_diff(FILE *f, const uint8_t *a, size_t a_len, const char *a_name, const uint8_t *b,
	size_t b_len, const char *b_name, int max)
{
	struct digest_item x, y;
	size_t pos = 0, hint = 0;
	char words[96], va[40], vb[40];
	int n = 0;

	while (digest_next(a, a_len, &pos, &x) == 1) {
		bool there = find_item(b, b_len, &x, &hint, &y);

		if (there && x.value == y.value)
			continue;
		if (n++ >= max)
			continue;
		digest_item_words(&x, words, sizeof(words));
		value_words(&x, va, sizeof(va));
		if (there)
			value_words(&y, vb, sizeof(vb));
		else
			snprintf(vb, sizeof(vb), "none");
		fprintf(f, "  %s: %s %s, %s %s\n", words, a_name, va, b_name, vb);
	}
	pos = hint = 0;
	while (digest_next(b, b_len, &pos, &y) == 1) {
		if (find_item(a, a_len, &y, &hint, &x) || n++ >= max)
			continue;
		digest_item_words(&y, words, sizeof(words));
		value_words(&y, vb, sizeof(vb));
		fprintf(f, "  %s: %s none, %s %s\n", words, a_name, b_name, vb);
	}
	if (n > max)
		fprintf(f, "  ... and %d more\n", n - max);
	return n;
}
