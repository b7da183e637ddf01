/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "opts.h"

static struct error err;

static void parse(struct opts *o, const char *text, const char *implied)
{
	memset(&err, 0, sizeof(err));
	assert_int_equal(opts_parse(o, "-test", text, implied, &err), 0);
}

/* Each row: text, with or without implied key, and what it parses to, as "key=value" lines. */
static void parse_table(void **state)
{
	static const struct {
		const char *text, *implied, *expected;
	} rows[] = {
		{ "", NULL, "" },
		{ "", "type", "" },
		{ "a=1,b=2", NULL, "a=1\nb=2\n" },
		{ "pc,accel=tcg", "type", "type=pc\naccel=tcg\n" },
		{ "pc,accel=tcg", NULL, "pc=on\naccel=tcg\n" },
		{ "type=pc,flag", "type", "type=pc\nflag=on\n" },
		{ "a,b", "x", "x=a\nb=on\n" },
		{ "file=a,,b", NULL, "file=a,b\n" },
		{ "file=,,", NULL, "file=,\n" },
		{ "file=,,,,,x=1", NULL, "file=,,\nx=1\n" },
		{ "a,,b", "file", "file=a,b\n" },
		{ "a,,b=c", "file", "file=a,b=c\n" },
		{ "a,,b,c=d", "file", "file=a,b\nc=d\n" },
		{ "a=,b=", NULL, "a=\nb=\n" },
		{ "a=b=c", NULL, "a=b=c\n" },
		{ "a=1,", NULL, "a=1\n" },
		{ "nographic", NULL, "nographic=on\n" },
		{ "a=1,a=2", NULL, "a=1\na=2\n" },
		{ "v=\xff \n", NULL, "v=\xff \n\n" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[200] = "";
		struct opts o;

		parse(&o, rows[i].text, rows[i].implied);
		for (size_t k = 0; k < o.n; k++) {
			strcat(strcat(got, o.v[k].key), "=");
			strcat(strcat(got, o.v[k].value), "\n");
		}
		assert_string_equal(got, rows[i].expected);
		opts_done(&o);
		assert_null(o.v);
	}
}

static void parse_errors(void **state)
{
	static const char *const bad[] = { "=1", ",a=1", "a=1,=2", "a,,b", ",", "a=1,,,=b" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct opts o;

		memset(&err, 0, sizeof(err));
		assert_int_equal(opts_parse(&o, "-dev", bad[i], NULL, &err), -EINVAL);
		assert_int_equal(err.code, EINVAL);
		assert_ptr_equal(strstr(err.msg, "-dev: an element without a name"), err.msg);
		assert_int_equal(opts_parse(&o, "-dev", bad[i], NULL, NULL), -EINVAL);
		assert_int_equal(o.n, 0);
	}
}

static void too_many_elements(void **state)
{
	static char text[4096];
	struct opts o;

	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "a,", 2);
	assert_int_equal(opts_parse(&o, "-dev", text, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "more than 1024"));
}

static void last_value_wins(void **state)
{
	struct opts o;

	parse(&o, "a=1,b=x,a=2", NULL);
	assert_string_equal(opts_get(&o, "a"), "2");
	assert_null(opts_get(&o, "c"));
	assert_string_equal(opts_get(&o, "b"), "x");
	assert_int_equal(opts_check_unused(&o, NULL, &err), 0); /* the first a counts as used too */
	opts_done(&o);
}

static void booleans(void **state)
{
	static const struct {
		const char *text;
		int expected; /* -1: an error */
	} rows[] = { { "b=on", 1 }, { "b=off", 0 }, { "b=yes", 1 }, { "b=no", 0 }, { "b=true", 1 },
		{ "b=false", 0 }, { "b=y", 1 }, { "b=n", 0 }, { "b", 1 }, { "b=", -1 },
		{ "b=ON", -1 }, { "b=1", -1 }, { "b=on ", -1 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool start = rows[i].expected != 1, b = start;
		struct opts o;

		parse(&o, rows[i].text, NULL);
		if (rows[i].expected < 0) {
			assert_int_equal(opts_get_bool(&o, "b", &b, &err), -EINVAL);
			assert_int_equal(b, start);
			assert_non_null(strstr(err.msg, "-test: b='"));
			assert_non_null(strstr(err.msg, "'on' or 'off'"));
		} else {
			assert_int_equal(opts_get_bool(&o, "b", &b, &err), 0);
			assert_int_equal(b, rows[i].expected);
		}
		opts_done(&o);
	}
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int ok;
		uint64_t value;
	} rows[] = {
		{ "0", 0, 10, 1, 0 },
		{ "10", 0, 10, 1, 10 },
		{ "11", 0, 10, 0, 0 },
		{ "2", 3, 10, 0, 0 },
		{ "0x1F", 0, UINT64_MAX, 1, 31 },
		{ "010", 0, 100, 1, 8 },
		{ "18446744073709551615", 0, UINT64_MAX, 1, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, 0, 0 },
		{ "", 0, 10, 0, 0 },
		{ "-1", 0, UINT64_MAX, 0, 0 },
		{ "+1", 0, 10, 0, 0 },
		{ " 1", 0, 10, 0, 0 },
		{ "1 ", 0, 10, 0, 0 },
		{ "1x", 0, 10, 0, 0 },
		{ "0x", 0, 10, 0, 0 },
		{ "auto", 0, 10, 0, 0 },
		{ "08", 0, 10, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[64] = "n=";
		uint64_t n = 77;
		struct opts o;
		int r;

		parse(&o, strcat(text, rows[i].text), NULL);
		r = opts_get_u64(&o, "n", rows[i].min, rows[i].max, &n, &err);
		assert_int_equal(r, rows[i].ok ? 0 : -EINVAL);
		assert_int_equal(n, rows[i].ok ? rows[i].value : 77);
		if (r < 0)
			assert_non_null(strstr(err.msg, "expected a number from "));
		opts_done(&o);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int ok;
		uint64_t value;
	} rows[] = {
		{ "128", 1, UINT64_C(128) << 20 },
		{ "128M", 1, UINT64_C(128) << 20 },
		{ "1g", 1, UINT64_C(1) << 30 },
		{ "1.5G", 1, UINT64_C(3) << 29 },
		{ "0.25k", 1, 256 },
		{ "512B", 1, 512 },
		{ "0", 1, 0 },
		{ "0x10", 1, UINT64_C(16) << 20 },
		{ "2T", 1, UINT64_C(2) << 40 },
		{ "16777215T", 1, UINT64_C(16777215) << 40 },
		{ "16777216T", 0, 0 },
		{ "99999999999999999999", 0, 0 },
		{ "", 0, 0 },
		{ "M", 0, 0 },
		{ "-1M", 0, 0 },
		{ "1MB", 0, 0 },
		{ "1 M", 0, 0 },
		{ "1.M", 0, 0 },
		{ ".5M", 0, 0 },
		{ "1.5B", 0, 0 },
		{ "1e3", 0, 0 },
		{ "0x", 0, 0 },
		{ "0x10M", 0, 0 },
		{ "0x-1", 0, 0 },
		{ "0x 1", 0, 0 },
		{ "0x0x1", 0, 0 },
		{ "0x+1", 0, 0 },
		{ "0xffffffffffffffff", 0, 0 },
		{ "12Q", 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[64] = "size=";
		uint64_t n = 77;
		struct opts o;
		int r;

		parse(&o, strcat(text, rows[i].text), NULL);
		r = opts_get_size(&o, "size", 1 << 20, &n, &err);
		if (r != (rows[i].ok ? 0 : -EINVAL))
			fail_msg("size '%s': %d", rows[i].text, r);
		assert_int_equal(n, rows[i].ok ? rows[i].value : 77);
		opts_done(&o);
	}
}

static void absent_keys_leave_the_value(void **state)
{
	uint64_t n = 5;
	bool b = true;
	struct opts o;

	parse(&o, "x=1", NULL);
	assert_int_equal(opts_get_u64(&o, "n", 0, 1, &n, &err), 0);
	assert_int_equal(opts_get_size(&o, "n", 1, &n, &err), 0);
	assert_int_equal(opts_get_bool(&o, "n", &b, &err), 0);
	assert_int_equal(n, 5);
	assert_true(b);
	opts_done(&o);
}

static void unused_keys_are_named(void **state)
{
	static const char *const known[] = { "shift", "sleep", "rr", NULL };
	struct opts o;

	parse(&o, "shift=1,slepe=on,zzz=1", NULL);
	opts_get(&o, "shift");
	assert_int_equal(opts_check_unused(&o, known, &err), -EINVAL);
	assert_string_equal(err.msg, "-test: unknown key 'slepe' (there are: shift, sleep, rr)");
	assert_int_equal(opts_check_unused(&o, NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "-test: unknown key 'slepe' (there are: none)");
	opts_get(&o, "slepe");
	opts_get(&o, "zzz");
	assert_int_equal(opts_check_unused(&o, known, &err), 0);
	opts_done(&o);
}

static void many_known_keys_do_not_overflow(void **state)
{
	static const char *known[200];
	struct opts o;

	for (size_t i = 0; i < 199; i++)
		known[i] = "a-rather-long-property-name";
	parse(&o, "oops", NULL);
	assert_int_equal(opts_check_unused(&o, known, &err), -EINVAL);
	assert_true(strlen(err.msg) < sizeof(err.msg) - 1);
	opts_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_table),
		cmocka_unit_test(parse_errors),
		cmocka_unit_test(too_many_elements),
		cmocka_unit_test(last_value_wins),
		cmocka_unit_test(booleans),
		cmocka_unit_test(numbers),
		cmocka_unit_test(sizes),
		cmocka_unit_test(absent_keys_leave_the_value),
		cmocka_unit_test(unused_keys_are_named),
		cmocka_unit_test(many_known_keys_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
