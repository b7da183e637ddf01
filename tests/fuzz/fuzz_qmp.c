/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP input: whatever a client sends, every answer is one whole line of ASCII JSON, nothing that
 * the hub is asked is not in the table, and after a reset the session still works.
 */
#include "fuzz.h"

#include <json.h>
#include <string.h>

#include "qmp.h"

static const char s0[] =
	"{\"execute\": \"qmp_capabilities\"}{\"execute\": \"query-status\", \"id\": [1, 2.5e3]}";
static const char s1[] = "{'execute': 'stop', 'arguments': {}}\n{\"execute\": \"x\", \"id\": "
			 "\"\\u00e4\\ud83d\\ude00\"}";
static const char s2[] = "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": "
			 "[\"oob\"]}} null true -0.5";

const struct fuzz_seed fuzz_seeds[] = { { s0, sizeof(s0) - 1 }, { s1, sizeof(s1) - 1 },
	{ s2, sizeof(s2) - 1 }, { NULL, 0 } };

static uint64_t asked;
static size_t n_lines;

static void on_output(void *opaque, const char *text, size_t len)
{
	struct json_object *o;

	FUZZ_CHECK(len > 2 && !memcmp(text + len - 2, "\r\n", 2));
	for (size_t i = 0; i < len - 2; i++)
		FUZZ_CHECK(text[i] >= 0x20 && text[i] < 0x7f);
	/* Deeply nested ids come back as they were: deeper than json-c's own parser goes by
	 * default. */
	if (len < 4096) {
		struct json_tokener *t = json_tokener_new_ex(JSON_IN_DEPTH_MAX + 8);

		o = json_tokener_parse_ex(t, text, (int)len - 2);
		FUZZ_CHECK(o && json_object_is_type(o, json_type_object));
		json_object_put(o);
		json_tokener_free(t);
	}
	n_lines++;
}

static void on_forward(void *opaque, uint64_t number, const char *command, const char *arguments)
{
	static const char *const known[] = { "query-name", "query-status", "stop", "cont",
		"system_reset", "system_powerdown", "quit", "screendump", "send-key",
		"input-send-event", "change-vnc-password", "set_password", "query-vnc",
		"query-mice" };
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], command); i++)
		;
	FUZZ_CHECK(i < sizeof(known) / sizeof(known[0]));
	FUZZ_CHECK(!asked);
	asked = number;
}

static void feed(struct qmp *q, const uint8_t *data, size_t size)
{
	while (size) {
		size_t n = qmp_feed(q, data, size);

		FUZZ_CHECK(n > 0 && n <= size);
		data += n;
		size -= n;
		if (qmp_busy(q)) {
			uint64_t number = asked;

			FUZZ_CHECK(asked);
			asked = 0;
			qmp_reply(q, number, "{}", "", NULL);
		}
		FUZZ_CHECK(!qmp_busy(q) && !asked);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char again[] = "{\"execute\": \"query-version\"}";
	static uint64_t counter;
	struct qmp q;

	asked = 0;
	qmp_init(&q, &counter, on_output, on_forward, NULL);
	feed(&q, data, size);
	/* A control character ends a string, and 0xff all that was open; then a request is
	 * answered, by one line. */
	feed(&q, (const uint8_t *)"\n\xff", 2);
	n_lines = 0;
	feed(&q, (const uint8_t *)again, sizeof(again) - 1);
	FUZZ_CHECK(n_lines == 1);
	qmp_done(&q);
	return 0;
}
