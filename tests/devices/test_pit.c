/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8254, by the timing diagrams and statements of its data sheet; tests count clocks, not ns. */
#include "chip_test.h"

#define HZ UINT64_C(1193182)

static uint64_t ns_of(uint64_t tick)
{
	return (uint64_t)(((unsigned __int128)tick * NS_PER_S + HZ - 1) / HZ);
}

static uint64_t tick(void)
{
	return muldiv64(m.now_ns, HZ, NS_PER_S);
}

static void clocks(uint64_t n)
{
	fake_advance_to(&m, ns_of(tick() + n));
}

static int setup(void **state)
{
	chip_setup(&i8254_class);
	clocks(1000);
	return 0;
}

static void control(uint8_t chan, uint8_t rw, uint8_t mode, uint8_t bcd)
{
	outb(&m, 0x43, (uint8_t)(chan << 6 | rw << 4 | mode << 1 | bcd));
}

static void count16(uint8_t chan, uint16_t v)
{
	outb(&m, 0x40u + chan, (uint8_t)v);
	outb(&m, 0x40u + chan, v >> 8);
}

static uint16_t latch16(uint8_t chan)
{
	uint8_t lo;

	outb(&m, 0x43, (uint8_t)(chan << 6));
	lo = inb(&m, 0x40u + chan);
	return (uint16_t)(lo | inb(&m, 0x40u + chan) << 8);
}

static uint8_t status(uint8_t chan)
{
	outb(&m, 0x43, (uint8_t)(0xe0 | 2 << chan));
	return inb(&m, 0x40u + chan);
}

static int out(uint8_t chan)
{
	return status(chan) >> 7;
}

static void gate2(int level)
{
	outb(&m, 0x61, level ? 1 : 0);
}

static int irq_level(void)
{
	return fake_level(chip, "irq", 0);
}

static unsigned irq_rises(void)
{
	return fake_rises(chip, "irq", 0);
}

/* OUT goes high N + 1 clocks after the count was written, and stays. */
static void test_mode0(void **state)
{
	control(0, 3, 0, 0);
	assert_int_equal(out(0), 0);
	assert_int_equal(irq_level(), 0);
	count16(0, 4);
	clocks(1);
	assert_int_equal(latch16(0), 4);
	clocks(3);
	assert_int_equal(latch16(0), 1);
	assert_int_equal(out(0), 0);
	clocks(1);
	assert_int_equal(latch16(0), 0);
	assert_int_equal(out(0), 1);
	assert_int_equal(irq_level(), 1);
	assert_int_equal(irq_rises(), 2); /* one from reset */
	clocks(1);
	assert_int_equal(latch16(0), 0xffff); /* the counter goes on */
	assert_int_equal(out(0), 1);
	clocks(200000);
	assert_int_equal(irq_rises(), 2);
	/* A new count sets OUT low; with two bytes, the first does and stops the counter. */
	outb(&m, 0x40, 0x10);
	assert_int_equal(out(0), 0);
	assert_int_equal(irq_level(), 0);
	clocks(100);
	assert_int_equal(out(0), 0);
	outb(&m, 0x40, 0x00);
	clocks(16);
	assert_int_equal(out(0), 0);
	clocks(1);
	assert_int_equal(out(0), 1);
}

static void test_mode0_gate(void **state)
{
	control(2, 1, 0, 0);
	outb(&m, 0x42, 10); /* gate low: loaded, but not counted */
	clocks(50);
	assert_int_equal(status(2) & 0x40, 0);
	gate2(1);
	clocks(4);
	gate2(0);
	clocks(77);
	outb(&m, 0x43, 0x80);
	assert_int_equal(inb(&m, 0x42), 6);
	gate2(1);
	clocks(5);
	assert_int_equal(out(2), 0);
	clocks(1);
	assert_int_equal(out(2), 1);
	assert_int_equal(inb(&m, 0x61) & 0x20, 0x20);
}

/* Right behind its write, before the clock that loads it, a count reads as the new one: what
 * Linux's quick_pit_calibrate() does with accesses that take no time. */
static void test_read_before_load(void **state)
{
	gate2(1);
	control(2, 3, 0, 0);
	count16(2, 0xffff);
	assert_int_equal(status(2) & 0xc0, 0x40); /* OUT low, null count */
	inb(&m, 0x42);
	assert_int_equal(inb(&m, 0x42), 0xff);
	assert_int_equal(latch16(2), 0xffff);
	clocks(1);
	assert_int_equal(status(2) & 0xc0, 0);
	assert_int_equal(latch16(2), 0xffff);
	clocks(255);
	assert_int_equal(latch16(2), 0xff00);
	clocks(1);
	assert_int_equal(latch16(2), 0xfeff);
	control(2, 3, 3, 0);
	count16(2, 1000);
	assert_int_equal(latch16(2), 1000);
}

/* Hardware retriggerable one-shot. */
static void test_mode1(void **state)
{
	control(2, 1, 1, 0);
	assert_int_equal(out(2), 1);
	outb(&m, 0x42, 5);
	clocks(20);
	assert_int_equal(out(2), 1); /* the count alone starts nothing */
	assert_int_equal(status(2) & 0x40, 0x40);
	gate2(1);
	assert_int_equal(out(2), 1);
	clocks(1);
	assert_int_equal(out(2), 0);
	clocks(4);
	assert_int_equal(out(2), 0);
	clocks(1);
	assert_int_equal(out(2), 1); /* N clocks low */
	/* Retrigger in the middle; the gate's level has no effect. */
	gate2(0);
	gate2(1);
	clocks(3);
	gate2(0);
	clocks(1);
	gate2(1);
	clocks(5);
	assert_int_equal(out(2), 0);
	clocks(1);
	assert_int_equal(out(2), 1);
	/* A new count does not touch the pulse on its way. */
	gate2(0);
	gate2(1);
	clocks(2);
	outb(&m, 0x42, 9);
	clocks(4);
	assert_int_equal(out(2), 1);
	gate2(0);
	gate2(1);
	clocks(9);
	assert_int_equal(out(2), 0);
	clocks(1);
	assert_int_equal(out(2), 1);
}

/* Rate generator: low for one clock in each N. */
static void test_mode2(void **state)
{
	unsigned rises;

	control(0, 1, 2, 0);
	assert_int_equal(out(0), 1);
	outb(&m, 0x40, 3);
	clocks(1);
	for (int i = 0; i < 5; i++) {
		outb(&m, 0x43, 0x00);
		assert_int_equal(inb(&m, 0x40), 3);
		assert_int_equal(out(0), 1);
		clocks(2);
		outb(&m, 0x43, 0x00);
		assert_int_equal(inb(&m, 0x40), 1);
		assert_int_equal(out(0), 0);
		clocks(1);
		assert_int_equal(out(0), 1);
	}
	rises = irq_rises();
	clocks(300);
	assert_int_equal(irq_rises() - rises, 100);
	/* A new count is used from the end of the cycle. */
	outb(&m, 0x43, 0x00);
	assert_int_equal(inb(&m, 0x40), 3);
	clocks(1);
	outb(&m, 0x40, 10);
	assert_int_equal(status(0) & 0x40, 0x40);
	outb(&m, 0x43, 0x00);
	assert_int_equal(inb(&m, 0x40), 2);
	clocks(2);
	assert_int_equal(status(0) & 0x40, 0);
	outb(&m, 0x43, 0x00);
	assert_int_equal(inb(&m, 0x40), 10);
}

static void test_mode2_gate(void **state)
{
	gate2(1);
	control(2, 1, 2, 0);
	outb(&m, 0x42, 6);
	clocks(1 + 5);
	assert_int_equal(out(2), 0);
	gate2(0);
	assert_int_equal(out(2), 1); /* at once */
	clocks(40);
	assert_int_equal(out(2), 1);
	gate2(1);
	clocks(1); /* the trigger reloads */
	outb(&m, 0x43, 0x80);
	assert_int_equal(inb(&m, 0x42), 6);
	clocks(5);
	assert_int_equal(out(2), 0);
}

/* Square wave, even: N/2 high, N/2 low, counting by two. */
static void test_mode3_even(void **state)
{
	static const uint8_t values[8] = { 8, 6, 4, 2, 8, 6, 4, 2 };
	unsigned rises;

	control(0, 1, 3, 0);
	outb(&m, 0x40, 8);
	clocks(1);
	for (int i = 0; i < 24; i++) {
		outb(&m, 0x43, 0x00);
		assert_int_equal(inb(&m, 0x40), values[i % 8]);
		assert_int_equal(out(0), i % 8 < 4);
		assert_int_equal(irq_level(), i % 8 < 4);
		clocks(1);
	}
	rises = irq_rises();
	clocks(800);
	assert_int_equal(irq_rises() - rises, 100);
}

/* Odd: (N + 1)/2 high, (N - 1)/2 low; N - 1 is loaded. */
static void test_mode3_odd(void **state)
{
	static const uint8_t values[5] = { 4, 2, 0, 4, 2 };

	control(0, 1, 3, 0);
	outb(&m, 0x40, 5);
	clocks(1);
	for (int i = 0; i < 20; i++) {
		outb(&m, 0x43, 0x00);
		assert_int_equal(inb(&m, 0x40), values[i % 5]);
		assert_int_equal(out(0), i % 5 < 3);
		clocks(1);
	}
}

/* A new count in mode 3 is used from the end of the half-cycle. */
static void test_mode3_new_count(void **state)
{
	control(0, 1, 3, 0);
	outb(&m, 0x40, 8);
	clocks(2);
	outb(&m, 0x40, 20);
	clocks(3); /* end of the high half */
	for (int i = 0; i < 10; i++, clocks(1))
		assert_int_equal(out(0), 0);
	for (int i = 0; i < 10; i++, clocks(1))
		assert_int_equal(out(0), 1);
	/* ... and in the low half. */
	clocks(2);
	outb(&m, 0x40, 4);
	clocks(8);
	for (int i = 0; i < 16; i++, clocks(1))
		assert_int_equal(out(0), i % 4 < 2);
}

/* Software triggered strobe: low for one clock, N + 1 after the write. */
static void test_mode4(void **state)
{
	unsigned rises;

	control(0, 1, 4, 0);
	assert_int_equal(out(0), 1);
	rises = irq_rises();
	outb(&m, 0x40, 4);
	clocks(4);
	assert_int_equal(out(0), 1);
	clocks(1);
	assert_int_equal(out(0), 0);
	assert_int_equal(irq_rises(), rises);
	clocks(1);
	assert_int_equal(out(0), 1);
	assert_int_equal(irq_rises(), rises + 1);
	clocks(100000);
	assert_int_equal(irq_rises(), rises + 1);
	/* Writing again restarts it, also before it ended. */
	outb(&m, 0x40, 10);
	clocks(8);
	outb(&m, 0x40, 10);
	clocks(10);
	assert_int_equal(irq_rises(), rises + 1);
	clocks(2);
	assert_int_equal(irq_rises(), rises + 2);
}

/* Hardware triggered strobe. */
static void test_mode5(void **state)
{
	control(2, 1, 5, 0);
	outb(&m, 0x42, 3);
	clocks(10);
	assert_int_equal(out(2), 1);
	gate2(1);
	clocks(3);
	assert_int_equal(out(2), 1);
	clocks(1);
	assert_int_equal(out(2), 0);
	clocks(1);
	assert_int_equal(out(2), 1);
	gate2(0);
	gate2(1);
	clocks(2);
	gate2(0);
	gate2(1); /* retrigger */
	clocks(3);
	assert_int_equal(out(2), 1);
	clocks(1);
	assert_int_equal(out(2), 0);
}

static void test_bcd(void **state)
{
	control(0, 3, 2, 1);
	count16(0, 0x1000);
	clocks(1);
	assert_int_equal(latch16(0), 0x1000);
	clocks(1);
	assert_int_equal(latch16(0), 0x0999);
	clocks(998);
	assert_int_equal(latch16(0), 0x0001);
	clocks(1);
	assert_int_equal(latch16(0), 0x1000);
	/* 0 is 10000. */
	control(0, 3, 0, 1);
	count16(0, 0);
	clocks(1);
	assert_int_equal(latch16(0), 0x0000);
	clocks(1);
	assert_int_equal(latch16(0), 0x9999);
	clocks(9998);
	assert_int_equal(out(0), 0);
	clocks(1);
	assert_int_equal(out(0), 1);
}

static void test_latch(void **state)
{
	control(0, 3, 2, 0);
	count16(0, 0x1234);
	clocks(5);
	outb(&m, 0x43, 0x00);
	clocks(100);
	outb(&m, 0x43, 0x00); /* ignored: the first is still to be read */
	assert_int_equal(inb(&m, 0x40), 0x30);
	clocks(100);
	assert_int_equal(inb(&m, 0x40), 0x12);
	/* Then reads follow the counter. */
	assert_int_equal(latch16(0), 0x1234 - 204);
	/* Low, high in turn without a latch. */
	assert_int_equal(inb(&m, 0x40), (0x1234 - 204) & 0xff);
	assert_int_equal(inb(&m, 0x40), (0x1234 - 204) >> 8);
	/* One-byte formats. */
	control(0, 2, 2, 0);
	outb(&m, 0x40, 0x20);
	clocks(1);
	assert_int_equal(inb(&m, 0x40), 0x20);
	clocks(1);
	assert_int_equal(inb(&m, 0x40), 0x1f);
	outb(&m, 0x43, 0x00);
	assert_int_equal(inb(&m, 0x40), 0x1f);
}

static void test_read_back(void **state)
{
	control(0, 3, 2, 0);
	count16(0, 1000);
	assert_int_equal(status(0), 0x80 | 0x40 | 0x34); /* not loaded yet */
	clocks(11);
	assert_int_equal(status(0), 0x80 | 0x34);
	/* Count and status of counters 0 and 1 at once; the status is read first. */
	control(1, 1, 2, 0);
	outb(&m, 0x41, 18);
	clocks(1);
	outb(&m, 0x43, 0xc0 | 2 | 4);
	clocks(30);
	assert_int_equal(inb(&m, 0x40), 0x80 | 0x34);
	assert_int_equal(inb(&m, 0x40), (1000 - 11) & 0xff);
	assert_int_equal(inb(&m, 0x40), (1000 - 11) >> 8);
	assert_int_equal(inb(&m, 0x41), 0x80 | 0x14);
	assert_int_equal(inb(&m, 0x41), 18);
}

/* Port 61h: gate, OUT2, the refresh bit; other bits are kept or 0. */
static void test_port61(void **state)
{
	unsigned toggles = 0, last = inb(&m, 0x61) & 0x10, v;

	outb(&m, 0x61, 0xff);
	assert_int_equal(inb(&m, 0x61) & 0xcf, 0x0f);
	for (unsigned i = 0; i < 18 * 50; i++) {
		clocks(1);
		v = inb(&m, 0x61) & 0x10;
		toggles += v != last;
		last = v;
	}
	assert_int_equal(toggles, 50);
	/* As a kernel calibrates: mode 0 on counter 2, wait for OUT2. */
	outb(&m, 0x61, 0x00);
	control(2, 3, 0, 0);
	count16(2, 11932);
	outb(&m, 0x61, 0x01);
	clocks(11930);
	assert_int_equal(inb(&m, 0x61) & 0x20, 0);
	clocks(2);
	assert_int_equal(inb(&m, 0x61) & 0x20, 0x20);
}

/* 1193182 clocks are a second to the ns, after an hour, too; and one timer firing a cycle is all it
 * costs. */
static void test_no_drift(void **state)
{
	uint64_t start, fired, t0;

	control(0, 3, 2, 0);
	t0 = tick();
	count16(0, 1193);
	start = m.n_fired;
	fired = irq_rises();
	fake_advance_to(&m, ns_of(t0 + 1 + UINT64_C(1193) * 100000));
	assert_int_equal(irq_rises() - fired, 100000);
	assert_int_equal(m.n_fired - start, 100000);
	assert_int_equal(
		fake_wire(chip, "irq", 0)->rise_ns, ns_of(t0 + 1 + UINT64_C(1193) * 100000));
	/* A counter nobody is interrupted by costs nothing. */
	control(0, 3, 0, 0);
	start = m.n_fired;
	fake_advance(&m, 1000 * NS_PER_S);
	assert_int_equal(m.n_fired, start);
}

/* Timers that come late lose no interrupt that a guest could have seen. */
static void test_late(void **state)
{
	unsigned rises;

	m.late_ns = 20 * US;
	control(0, 1, 3, 0);
	outb(&m, 0x40, 40); /* a half-cycle is shorter than that */
	rises = irq_rises();
	clocks(4000);
	assert_true(irq_rises() - rises >= 40);
	control(0, 1, 2, 0);
	outb(&m, 0x40, 100);
	rises = irq_rises();
	clocks(10000);
	assert_in_range(irq_rises() - rises, 98, 100);
}

/* An edge that has passed when the guest reprograms the counter is not lost. */
static void test_edge_before_write(void **state)
{
	unsigned rises;

	control(0, 1, 2, 0);
	outb(&m, 0x40, 100);
	rises = irq_rises();
	m.now_ns = ns_of(tick() + 120); /* no checkpoint meanwhile */
	outb(&m, 0x40, 50);
	assert_int_equal(irq_rises() - rises, 1);
}

static void test_reset_state(void **state)
{
	fake_reset(&m);
	assert_int_equal(status(0) & 0x3f, 0x36);
	assert_int_equal(inb(&m, 0x61) & 0x0f, 0);
	assert_int_equal(inb(&m, 0x43), 0xff);
	clocks(1);
	assert_int_equal(latch16(0), 0); /* 65536 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mode0),
		TEST(test_mode0_gate),
		TEST(test_read_before_load),
		TEST(test_mode1),
		TEST(test_mode2),
		TEST(test_mode2_gate),
		TEST(test_mode3_even),
		TEST(test_mode3_odd),
		TEST(test_mode3_new_count),
		TEST(test_mode4),
		TEST(test_mode5),
		TEST(test_bcd),
		TEST(test_latch),
		TEST(test_read_back),
		TEST(test_port61),
		TEST(test_no_drift),
		TEST(test_late),
		TEST(test_edge_before_write),
		TEST(test_reset_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
