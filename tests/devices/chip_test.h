/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every chip test includes: cmocka in its order, the fake machine, and one to set up and tear
 * down. */
#ifndef DEJAVM_TESTS_CHIP_TEST_H
#define DEJAVM_TESTS_CHIP_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "fake_machine.h"

#define US	     1000u
#define MS	     1000000u
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The machine and the chip under test; one test at a time. */
static struct machine m;
static struct device *chip;

static inline int chip_setup(const struct device_class *cls)
{
	fake_init(&m);
	chip = fake_add(&m, cls, NULL);
	return 0;
}

static inline int teardown(void **state)
{
	fake_done(&m);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
