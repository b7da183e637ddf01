/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <errno.h>
#include <string.h>

#include "error.h"

static void set_returns_negative_code(void **state)
{
	struct error err = ERROR_INIT;

	assert_int_equal(error_set(&err, ENOENT, "file '%s' is missing", "a"), -ENOENT);
	assert_int_equal(err.code, ENOENT);
	assert_string_equal(err.msg, "file 'a' is missing");
	assert_int_equal(error_set(NULL, EINVAL, "nobody asks"), -EINVAL);
}

static void prefix_goes_before(void **state)
{
	struct error err = ERROR_INIT;

	error_set(&err, EIO, "cannot read");
	assert_int_equal(error_prefix(&err, "disk %d", 3), -EIO);
	assert_string_equal(err.msg, "disk 3: cannot read");
	assert_int_equal(error_prefix(NULL, "x"), 0);
}

static void own_message_as_argument(void **state)
{
	struct error err = ERROR_INIT;

	error_set(&err, EIO, "inner");
	error_set(&err, EPROTO, "outer: %s", err.msg);
	assert_string_equal(err.msg, "outer: inner");
	error_prefix(&err, "%s", err.msg);
	assert_string_equal(err.msg, "outer: inner: outer: inner");
}

static void long_messages_are_cut(void **state)
{
	struct error err = ERROR_INIT;
	char big[3000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	error_set(&err, EIO, "%s", big);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	error_prefix(&err, "short");
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	assert_memory_equal(err.msg, "short: xxx", 10);
	for (size_t n = sizeof(err.msg) - 4; n < sizeof(err.msg) + 4; n++) {
		error_set(&err, EIO, "tail");
		error_prefix(&err, "%.*s", (int)n, big);
		assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_returns_negative_code),
		cmocka_unit_test(prefix_goes_before),
		cmocka_unit_test(own_message_as_argument),
		cmocka_unit_test(long_messages_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
