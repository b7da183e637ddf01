/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said of a disk that has changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "diskkey.h"

#define SOUND "8192 8192-1700000000.123456789-0123456789abcdef"

static char *names[] = { (char *)"a disk.qcow2", (char *)"../base.raw" };

static void says(const char *was, const char *now, const char *want)
{
	char *got = disk_key_difference("log", was, now, names, 2);

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
	free(got);
}

static void what_differs(void **state)
{
	says(SOUND, "8192 8192-1700000001.000000000-0123456789abcdef",
		"file 'a disk.qcow2' has changed: time of modification: log 2023-11-14 "
		"22:13:20.123456789 UTC, "
		"this machine 2023-11-14 22:13:21.000000000 UTC; its first 64 KiB are the same");
	says(SOUND, "8704 8704-1700000000.123456789-0123456789abcdee",
		"disk 'a disk.qcow2': log 8192 bytes, this machine 8704; file 'a disk.qcow2' has "
		"changed: length: log "
		"8192 bytes, this machine 8704; its first 64 KiB are others");
	says(SOUND, "8192 8192-0.000000000-0123456789abcdef",
		"file 'a disk.qcow2' has changed: time of modification: log 2023-11-14 "
		"22:13:20.123456789 UTC, "
		"this machine none (a block device); its first 64 KiB are the same");
}

static void which_file(void **state)
{
	says(SOUND " 512-5.000000000-0000000000000001", SOUND " 512-5.000000000-0000000000000002",
		"file '../base.raw' has changed: its first 64 KiB are others");
	says(SOUND " 512-5.000000000-0000000000000001", SOUND,
		"files of image 'a disk.qcow2' and what is below it: log 2, this machine 1");
}

static void no_such_values(void **state)
{
	static const char *const bad[] = { "none", "", "x", "8192 ", SOUND " ", SOUND "0",
		"8192 8192-1700000000.123456789-0123456789abcde",
		"8192 8192-1700000000.12345678-0123456789abcdef", "8192 8192-1700000000.123456789",
		"8192  8192-1.000000000-0123456789abcdef" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		says(bad[i], SOUND, NULL);
		says(SOUND, bad[i], NULL);
	}
}

/* Days before and after leap days and ends of centuries, as libc has them. */
static void times(void **state)
{
	for (int64_t s = -30600000000; s < 260000000000; s += 86400 * 37 + 12345) {
		char was[96], day[32], want[200], *got;
		time_t t = (time_t)s;
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
		snprintf(was, sizeof(was), "1 1-%lld.000000001-0000000000000000", (long long)s);
		snprintf(want, sizeof(want), "log %s.000000001 UTC,", day);
		got = disk_key_difference("log", was, "1 1-0.000000000-0000000000000000", names, 1);
		assert_non_null(got);
		if (!strstr(got, want))
			fail_msg("%s is not in: %s", want, got);
		free(got);
	}
}

static void round_trip(void **state)
{
	const struct disk_key_file k = { UINT64_MAX, INT64_MIN, 999999999, UINT64_MAX };
	char value[200], *got;
	FILE *f = fmemopen(value, sizeof(value), "w");

	fputs("1", f);
	disk_key_put_file(f, &k);
	fclose(f);
	got = disk_key_difference("log", value, value, names, 1);
	assert_string_equal(got, "");
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_differs),
		cmocka_unit_test(which_file),
		cmocka_unit_test(no_such_values),
		cmocka_unit_test(times),
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
