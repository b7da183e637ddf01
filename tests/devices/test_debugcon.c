/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small ones: debug console, debug exit, port 92h and its neighbours. */
#include "chip_test.h"

static int setup(void **state)
{
	fake_init(&m);
	return 0;
}

static void test_debugcon(void **state)
{
	fake_add(&m, &debugcon_class, NULL);
	assert_int_equal(inb(&m, 0xe9), 0xe9);
	outb(&m, 0xe9, 'o');
	outb(&m, 0xe9, 'k');
	assert_int_equal(m.out_len, 2);
	assert_memory_equal(m.out, "ok", 2);
}

static void test_debugcon_props(void **state)
{
	const struct fake_prop props[] = { { "iobase", 0x402 }, { "readback", 0x55 }, { NULL, 0 } };
	const struct fake_prop bad[] = { { "iobase", 0x10000 }, { NULL, 0 } };
	struct error err = ERROR_INIT;

	fake_add(&m, &debugcon_class, props);
	assert_int_equal(inb(&m, 0x402), 0x55);
	assert_null(fake_try_add(&m, &debugcon_class, bad, &err));
	assert_non_null(strstr(err.msg, "0x10000"));
}

static void test_debug_exit(void **state)
{
	const struct fake_prop bad[] = { { "iosize", 5 }, { NULL, 0 } };
	struct error err = ERROR_INIT;

	fake_add(&m, &debug_exit_class, NULL);
	assert_int_equal(inb(&m, 0x501), 0);
	assert_int_equal(m.n_exits, 0);
	outb(&m, 0x501, 0x10);
	assert_int_equal(m.n_exits, 1);
	assert_int_equal(m.exit_status, 0x21);
	fake_out(&m, 0x501, 2, 0);
	assert_int_equal(m.n_exits, 2);
	assert_int_equal(m.exit_status, 1);
	outb(&m, 0x502, 0xff);
	assert_int_equal(m.exit_status, 0xff);
	assert_null(fake_try_add(&m, &debug_exit_class, bad, &err));
	assert_non_null(strstr(err.msg, "iosize 5"));
}

static void test_port92(void **state)
{
	fake_add(&m, &port92_class, NULL);
	assert_int_equal(inb(&m, 0x92), 0);
	assert_int_equal(m.a20[0], 0);
	outb(&m, 0x92, 0x02);
	assert_int_equal(m.a20[0], 1);
	assert_int_equal(inb(&m, 0x92), 0x02);
	assert_int_equal(m.n_requests[MACHINE_RESET], 0);
	outb(&m, 0x92, 0x03);
	assert_int_equal(m.n_requests[MACHINE_RESET], 1);
	outb(&m, 0x92, 0x03); /* the change of bit 0 resets */
	assert_int_equal(m.n_requests[MACHINE_RESET], 1);
	outb(&m, 0x92, 0x00);
	assert_int_equal(m.a20[0], 0);
	fake_reset(&m);
	assert_int_equal(inb(&m, 0x92), 0);
}

static void test_sinks(void **state)
{
	fake_add(&m, &port92_class, NULL);
	outb(&m, 0x80, 0x5a);
	assert_int_equal(inb(&m, 0x80), 0xff);
	assert_int_equal(inb(&m, 0xf0), 0xff);
}

/* IRQ 13 is latched; only a write to F0h ends it. */
static void test_ferr(void **state)
{
	struct device *p = fake_add(&m, &port92_class, NULL);
	uint8_t *saved;
	size_t len;

	assert_int_equal(fake_level(p, "irq", 0), 0);
	fake_drive(p, "ferr", 0, 1);
	assert_int_equal(fake_level(p, "irq", 0), 1);
	fake_drive(p, "ferr", 0, 0);
	fake_drive(p, "ferr", 0, 1);
	outb(&m, 0xf1, 0);
	assert_int_equal(fake_level(p, "irq", 0), 1);
	assert_int_equal(fake_rises(p, "irq", 0), 1);
	assert_int_equal(m.n_ignne, 0);
	saved = fake_save(p, &len);
	outb(&m, 0xf0, 0);
	assert_int_equal(fake_level(p, "irq", 0), 0);
	assert_int_equal(m.n_ignne, 1);
	/* The level that the CPU shows with its next request is the next error's. */
	fake_drive(p, "ferr", 0, 1);
	assert_int_equal(fake_rises(p, "irq", 0), 2);
	fake_reset(&m);
	assert_int_equal(fake_level(p, "irq", 0), 0);
	/* A restored latch is up: FERR# makes no second edge of it. */
	fake_load(p, saved, len);
	fake_drive(p, "ferr", 0, 1);
	assert_int_equal(fake_rises(p, "irq", 0), 2);
	free(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_debugcon),
		TEST(test_debugcon_props),
		TEST(test_debug_exit),
		TEST(test_port92),
		TEST(test_sinks),
		TEST(test_ferr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
