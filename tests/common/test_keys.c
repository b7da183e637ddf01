/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of keys: QMP's, X's, and numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "keys.h"

static void test_names(void **state)
{
	assert_int_equal(key_by_name("a"), 30);
	assert_int_equal(key_by_name("ret"), 28);
	assert_int_equal(key_by_name("ctrl_r"), 97);
	assert_int_equal(key_by_name("sysrq"), key_by_name("print"));
	assert_int_equal(key_by_name(""), 0);
	assert_int_equal(key_by_name("A"), 0);
}

/* Each printable character has one key, and needs Shift or not as a US keyboard has it. */
static void test_characters(void **state)
{
	const char *shifted = "~!@#$%^&*()_+{}|:\"<>?ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	uint32_t seen[256] = { 0 };

	for (uint32_t c = 0x20; c < 0x7f; c++) {
		bool shift = false;
		uint32_t code = key_by_keysym(c, &shift);

		assert_in_range(code, 1, 57);
		assert_int_equal(shift, strchr(shifted, (int)c) != NULL);
		/* The same key gives one character without and one with Shift. */
		assert_int_equal(seen[code] & (shift ? 2 : 1), 0);
		seen[code] |= shift ? 2 : 1;
	}
}

static void test_keysyms(void **state)
{
	bool shift = true;

	assert_int_equal(key_by_keysym(0xff0d, &shift), 28);
	assert_false(shift);
	assert_int_equal(key_by_keysym(0xff52, &shift), 103);
	assert_int_equal(key_by_keysym(0xffc9, &shift), 88);
	assert_int_equal(key_by_keysym(0xfe03, &shift), 100);
	assert_int_equal(key_by_keysym(0, &shift), 0);
	assert_int_equal(key_by_keysym(0x1234567, &shift), 0);
}

static void test_numbers(void **state)
{
	assert_int_equal(key_by_number(0x1e), 30);
	assert_int_equal(key_by_number(0x9c), 96);  /* E0 1C: keypad Enter */
	assert_int_equal(key_by_number(0xc8), 103); /* E0 48: up */
	assert_int_equal(key_by_number(0), 0);
	assert_int_equal(key_by_number(0x80), 0);
	assert_int_equal(key_by_number(0xffff), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_keysyms),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
