/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP sessions: what goes in, what comes out, to the byte. The table's words are those of QEMU 7.2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qmp.h"

#define GREETING                                                                          \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, " \
	"\"package\": \"dejavm " DEJAVM_VERSION "\"}, \"capabilities\": []}}\r\n"
#define OK	    "{\"return\": {}}\r\n"
#define ERR(c, d)   "{\"error\": {\"class\": \"" c "\", \"desc\": \"" d "\"}}\r\n"
#define GENERIC(d)  ERR("GenericError", d)
#define NOTFOUND(d) ERR("CommandNotFound", d)

struct side {
	struct qmp q;
	uint64_t counter, asked; /* number of the last command forwarded */
	char command[64], arguments[128];
	char out[200000];
	size_t out_len;
};

static void on_output(void *opaque, const char *text, size_t len)
{
	struct side *s = opaque;

	assert_true(s->out_len + len < sizeof(s->out));
	memcpy(s->out + s->out_len, text, len);
	s->out_len += len;
	s->out[s->out_len] = '\0';
}

static void on_forward(void *opaque, uint64_t number, const char *command, const char *arguments)
{
	struct side *s = opaque;

	s->asked = number;
	snprintf(s->command, sizeof(s->command), "%s", command);
	snprintf(s->arguments, sizeof(s->arguments), "%s", arguments);
}

static struct side *side_new(void)
{
	struct side *s = calloc(1, sizeof(*s));

	qmp_init(&s->q, &s->counter, on_output, on_forward, s);
	return s;
}

static void side_free(struct side *s)
{
	qmp_done(&s->q);
	free(s);
}

/* What the side has said since the last look. */
static const char *said(struct side *s)
{
	static char copy[200000];

	memcpy(copy, s->out, s->out_len + 1);
	s->out_len = 0;
	s->out[0] = '\0';
	return copy;
}

static void feed(struct side *s, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(qmp_feed(&s->q, text, len), len);
}

static struct side *negotiated(void)
{
	struct side *s = side_new();

	assert_string_equal(said(s), GREETING);
	feed(s, "{\"execute\": \"qmp_capabilities\"}");
	assert_string_equal(said(s), OK);
	return s;
}

/* ---- requests that are answered at once ---- */

static const struct {
	bool negotiated;
	const char *in, *out;
} dialogues[] = {
	{ false, "{\"execute\": \"query-status\"}",
		NOTFOUND("Expecting capabilities negotiation with 'qmp_capabilities'") },
	{ false, "{\"execute\": \"nonsense\"}",
		NOTFOUND("Expecting capabilities negotiation with 'qmp_capabilities'") },
	{ false, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": []}}", OK },
	{ false, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]}}",
		GENERIC("Capability oob not available") },
	{ false, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"nope\"]}}",
		GENERIC("Parameter 'null' does not accept value 'nope'") },
	{ false, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": 1}}",
		GENERIC("Invalid parameter type for 'enable', expected: array") },
	{ false, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"x\": 1}}",
		GENERIC("Parameter 'x' is unexpected") },
	{ true, "{\"execute\": \"qmp_capabilities\"}",
		NOTFOUND("Capabilities negotiation is already complete, command ignored") },
	{ true, "{\"execute\": \"nonsense\"}",
		NOTFOUND("The command nonsense has not been found") },
	{ true, "{\"execute\": \"stop\", \"arguments\": {\"x\": 1}}",
		GENERIC("Parameter 'x' is unexpected") },
	{ true, "[]", GENERIC("QMP input must be a JSON object") },
	{ true, "\"x\"", GENERIC("QMP input must be a JSON object") },
	{ true, "42 ", GENERIC("QMP input must be a JSON object") },
	{ true, "null ", GENERIC("QMP input must be a JSON object") },
	{ true, "{}", GENERIC("QMP input lacks member 'execute'") },
	{ true, "{\"execute\": 1}", GENERIC("QMP input member 'execute' must be a string") },
	{ true, "{\"execute\": \"stop\", \"arguments\": []}",
		GENERIC("QMP input member 'arguments' must be an object") },
	{ true, "{\"execute\": \"stop\", \"foo\": 1}",
		GENERIC("QMP input member 'foo' is unexpected") },
	{ true, "{\"exec-oob\": \"stop\"}", GENERIC("QMP input member 'exec-oob' is unexpected") },
	{ true, "{'execute': 'nonsense', 'id': {'a': [1, 'x', null, true, 1.5]}}",
		"{\"id\": {\"a\": [1, \"x\", null, true, 1.5]}, \"error\": {\"class\": "
		"\"CommandNotFound\", "
		"\"desc\": \"The command nonsense has not been found\"}}\r\n" },
	{ true, "{\"execute\": \"query-version\", \"id\": null}",
		"{\"return\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, \"package\": "
		"\"dejavm " DEJAVM_VERSION "\"}, \"id\": null}\r\n" },
	/* An id comes back whatever it is: ASCII, with big numbers and odd characters as they were.
	 */
	{ true,
		"{\"execute\": \"x\", \"id\": "
		"\"\\u00e4\xe2\x82\xac\xf0\x9f\x98\x80\\n\\\"\\\\\\/\"}",
		"{\"id\": \"\\u00E4\\u20AC\\uD83D\\uDE00\\n\\\"\\\\/\", \"error\": {\"class\": "
		"\"CommandNotFound\", \"desc\": \"The command x has not been found\"}}\r\n" },
	{ true, "{\"execute\": \"x\", \"id\": [18446744073709551615, -9223372036854775808, 1e3]}",
		"{\"id\": [18446744073709551615, -9223372036854775808, 1e3], \"error\": "
		"{\"class\": "
		"\"CommandNotFound\", \"desc\": \"The command x has not been found\"}}\r\n" },
	/* Two values without a line end; white space of all kinds. */
	{ true, "{}{}",
		GENERIC("QMP input lacks member 'execute'")
			GENERIC("QMP input lacks member 'execute'") },
	{ true, " \t\r\n{ }\n", GENERIC("QMP input lacks member 'execute'") },
	/* What is no JSON. */
	{ true, "{\"execute\" \"stop\"}", GENERIC("JSON parse error, missing : in object pair") },
	{ true, "{\"a\": 1 \"b\": 2}", GENERIC("JSON parse error, expected separator in dict") },
	{ true, "[1 2]", GENERIC("JSON parse error, expected separator in list") },
	{ true, "{1: 2}", GENERIC("JSON parse error, key is not a string in object") },
	{ true, "{\"a\": 1, \"a\": 2}", GENERIC("JSON parse error, duplicate key") },
	{ true, "[,]", GENERIC("JSON parse error, expecting value") },
	{ true, "[1,]", GENERIC("JSON parse error, expecting value") },
	{ true, "}", GENERIC("JSON parse error, expecting value") },
	{ true, "{]}",
		GENERIC("JSON parse error, key is not a string in object")
			GENERIC("JSON parse error, expecting value") },
	{ true, "[tru]", GENERIC("JSON parse error, invalid keyword 'tru'") },
	{ true, "[01]",
		GENERIC("JSON parse error, stray '01'")
			GENERIC("JSON parse error, expecting value") },
	{ true, "[\"\\x\"]",
		GENERIC("JSON parse error, invalid escape sequence '\\\\x' in string") },
	{ true, "[\"\\u12g4\"]",
		GENERIC("JSON parse error, invalid hex escape '\\\\u12g4' in string") },
	{ true, "[\"\\ud800\"]",
		GENERIC("JSON parse error, \\\\ud800 is not a valid Unicode character") },
	{ true, "[\"\xc3(\"]", GENERIC("JSON parse error, invalid UTF-8 sequence in string") },
	/* One stray byte, one error; what follows is understood again. */
	{ true, "\xff{}",
		GENERIC("JSON parse error, stray '\\uFFFD'")
			GENERIC("QMP input lacks member 'execute'") },
	{ true, "\x01{}",
		GENERIC("JSON parse error, stray '\\u0001'")
			GENERIC("QMP input lacks member 'execute'") },
	{ true, "$%& nonsense {}",
		GENERIC("JSON parse error, stray '$'")
			GENERIC("QMP input lacks member 'execute'") },
	{ true, "[\"abc\n{}",
		GENERIC("JSON parse error, stray '\\\"abc\\n'")
			GENERIC("QMP input lacks member 'execute'") },
};

static void test_dialogues(void **state)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		struct side *s = dialogues[i].negotiated ? negotiated() : side_new();
		const char *got;

		said(s);
		feed(s, dialogues[i].in);
		got = said(s);
		if (strcmp(got, dialogues[i].out))
			fail_msg("to '%s' came\n%swanted\n%s", dialogues[i].in, got,
				dialogues[i].out);
		/* The same, byte for byte. */
		side_free(s);
		s = dialogues[i].negotiated ? negotiated() : side_new();
		said(s);
		for (const char *p = dialogues[i].in; *p; p++)
			assert_int_equal(qmp_feed(&s->q, p, 1), 1);
		assert_string_equal(said(s), dialogues[i].out);
		side_free(s);
	}
}

static void test_query_commands(void **state)
{
	struct side *s = negotiated();
	const char *got;

	feed(s, "{\"execute\": \"query-commands\"}");
	got = said(s);
	assert_non_null(strstr(got, "{\"return\": [{\"name\": \"qmp_capabilities\"}, "));
	assert_non_null(strstr(got, "{\"name\": \"system_powerdown\"}"));
	side_free(s);
}

/* ---- commands that the hub runs ---- */

static void test_arguments(void **state)
{
	struct side *s = negotiated();
	static char big[QMP_ARGUMENTS_MAX + 100];
	const char one[] = "{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"x\"}}",
		   bad[] = "{\"execute\": \"screendump\", \"arguments\": {\"file\": \"x\"}}";

	qmp_feed(&s->q, one, strlen(one));
	assert_string_equal(s->command, "screendump");
	assert_string_equal(s->arguments, "{\"filename\":\"x\"}");
	qmp_reply(&s->q, s->asked, "{}", "", NULL);
	s->out_len = 0;
	qmp_feed(&s->q, bad, strlen(bad));
	s->out[s->out_len] = '\0';
	assert_non_null(strstr(s->out, "Parameter 'file' is unexpected"));
	s->out_len = 0;
	memset(big, 'x', sizeof(big) - 4);
	memcpy(big, "{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"", 53);
	memcpy(big + sizeof(big) - 4, "\"}}", 3);
	qmp_feed(&s->q, big, sizeof(big) - 1);
	s->out[s->out_len] = '\0';
	assert_non_null(strstr(s->out, "too long"));
	side_free(s);
}

static void test_forwarding(void **state)
{
	struct side *s = negotiated();
	const char two[] = "{\"execute\": \"stop\", \"id\": 1}{\"execute\": \"cont\", \"id\": 2}";
	size_t n;

	/* Nothing behind the first is taken while the hub works on it. */
	n = qmp_feed(&s->q, two, strlen(two));
	assert_int_equal(n, strchr(two, '}') - two + 1);
	assert_string_equal(s->command, "stop");
	assert_true(qmp_busy(&s->q));
	assert_int_equal(qmp_feed(&s->q, two + n, strlen(two) - n), 0);
	assert_string_equal(said(s), "");
	/* A late answer to somebody else's question is nobody's. */
	qmp_reply(&s->q, s->asked + 7, "{}", "", NULL);
	assert_string_equal(said(s), "");
	qmp_event(&s->q, "STOP", "", 1500000);
	qmp_reply(&s->q, s->asked, "{\"x\": [1]}", "", NULL);
	assert_string_equal(said(s), "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 500000}, "
				     "\"event\": \"STOP\"}\r\n"
				     "{\"return\": {\"x\": [1]}, \"id\": 1}\r\n");
	assert_int_equal(qmp_feed(&s->q, two + n, strlen(two) - n), strlen(two) - n);
	assert_string_equal(s->command, "cont");
	qmp_reply(&s->q, s->asked, "", "GenericError", "No");
	assert_string_equal(said(s),
		"{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"No\"}}\r\n");
	assert_false(qmp_busy(&s->q));
	side_free(s);
}

static void test_events_wait_for_negotiation(void **state)
{
	struct side *s = side_new();

	said(s);
	qmp_event(&s->q, "STOP", "", 0);
	assert_string_equal(said(s), "");
	side_free(s);
	s = negotiated();
	qmp_event(&s->q, "SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-shutdown\"}", 7);
	assert_string_equal(said(s),
		"{\"timestamp\": {\"seconds\": 0, \"microseconds\": 7}, \"event\": \"SHUTDOWN\", "
		"\"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\r\n");
	side_free(s);
}

/* ---- limits ---- */

static void test_depth(void **state)
{
	struct side *s = negotiated();
	char *text = malloc(JSON_IN_DEPTH_MAX + 2);

	memset(text, '[', JSON_IN_DEPTH_MAX + 1);
	text[JSON_IN_DEPTH_MAX + 1] = '\0';
	feed(s, text);
	assert_string_equal(said(s), GENERIC("JSON nesting depth limit exceeded"));
	/* One level less is well-formed. */
	text[JSON_IN_DEPTH_MAX] = '\0';
	feed(s, "\n");
	feed(s, text);
	for (int i = 0; i < JSON_IN_DEPTH_MAX; i++)
		feed(s, "]");
	assert_string_equal(said(s), GENERIC("QMP input must be a JSON object"));
	free(text);
	side_free(s);
}

static void test_size(void **state)
{
	struct side *s = negotiated();
	size_t n = JSON_IN_TEXT_MAX + 1000;
	char *text = malloc(n + 1);

	memset(text, 'a', n);
	text[0] = '"';
	text[n] = '\0';
	feed(s, text);
	assert_string_equal(said(s), GENERIC("JSON token size limit exceeded"));
	feed(s, "\n[");
	for (size_t i = 0; i < JSON_IN_TOKENS_MAX - 1; i += 2) {
		assert_string_equal(s->out, "");
		feed(s, "1,");
	}
	feed(s, "1");
	assert_string_equal(said(s), GENERIC("JSON token count limit exceeded"));
	free(text);
	side_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_query_commands),
		cmocka_unit_test(test_forwarding),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_events_wait_for_negotiation),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
