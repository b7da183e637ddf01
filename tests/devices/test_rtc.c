/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The MC146818, by the statements of its data sheet. */
#include "chip_test.h"

static int setup(void **state)
{
	return chip_setup(&mc146818_class);
}

static uint8_t get(uint8_t reg)
{
	outb(&m, 0x70, reg);
	return inb(&m, 0x71);
}

static void put(uint8_t reg, uint8_t val)
{
	outb(&m, 0x70, reg);
	outb(&m, 0x71, val);
}

static int irq(void)
{
	return fake_level(chip, "irq", 0);
}

static void seconds(uint64_t s)
{
	fake_advance(&m, s * NS_PER_S);
}

/* century, year, month, day, weekday, hour, minute, second as the registers have them */
static void assert_time(const uint8_t *want)
{
	static const uint8_t regs[8] = { 0x32, 9, 8, 7, 6, 4, 2, 0 };

	for (int i = 0; i < 8; i++)
		assert_int_equal(get(regs[i]), want[i]);
}
#define ASSERT_TIME(...) assert_time((const uint8_t[8]){ __VA_ARGS__ })

static void put_time(const uint8_t *v)
{
	static const uint8_t regs[8] = { 0x32, 9, 8, 7, 6, 4, 2, 0 };
	uint8_t b = get(0x0b);

	put(0x0b, b | 0x80);
	for (int i = 0; i < 8; i++)
		put(regs[i], v[i]);
	put(0x0b, b & 0x7f);
}
#define PUT_TIME(...) put_time((const uint8_t[8]){ __VA_ARGS__ })

static void test_base(void **state)
{
	ASSERT_TIME(0x20, 0x01, 0x09, 0x09, 1, 0x01, 0x46, 0x40);
	assert_int_equal(get(0x0a), 0x26);
	assert_int_equal(get(0x0b), 0x02);
	assert_int_equal(get(0x0d), 0x80);
	m.now_ns = 999999999 - 3000000;
	assert_int_equal(get(0), 0x40);
	m.now_ns = NS_PER_S;
	assert_int_equal(get(0), 0x41);
	seconds(19);
	ASSERT_TIME(0x20, 0x01, 0x09, 0x09, 1, 0x01, 0x47, 0x00);
}

/* Our calendar against the C library's, on days all over the centuries. */
static void test_calendar(void **state)
{
	static const int64_t when[] = { 0, 951782399, 951782400, 951868800, 1078012800, 1709164800,
		1709251200, 2147483647, 4102444800, 4107542400, 5680281600, 13569465600 };
	struct tm tm;
	time_t t;

	for (size_t i = 0; i < ARRAY_LEN(when) + 3000; i++) {
		t = i < ARRAY_LEN(when) ? when[i] : (time_t)(i * 1234567 + 86399);
		fake_done(&m);
		fake_init(&m);
		m.rtc_base_s = t;
		chip = fake_add(&m, &mc146818_class, NULL);
		gmtime_r(&t, &tm);
		put(0x0b, 0x06); /* binary */
		ASSERT_TIME((tm.tm_year + 1900) / 100, tm.tm_year % 100, tm.tm_mon + 1, tm.tm_mday,
			tm.tm_wday + 1, tm.tm_hour, tm.tm_min, tm.tm_sec);
		/* Setting the same time gives the same time: the way back. */
		put(0x0b, 0x86);
		put(0x0b, 0x06);
		ASSERT_TIME((tm.tm_year + 1900) / 100, tm.tm_year % 100, tm.tm_mon + 1, tm.tm_mday,
			tm.tm_wday + 1, tm.tm_hour, tm.tm_min, tm.tm_sec);
	}
}

static void test_formats(void **state)
{
	put(0x0b, 0x06);
	ASSERT_TIME(20, 1, 9, 9, 1, 1, 46, 40);
	/* 12-hour clock: midnight, noon, afternoon. */
	PUT_TIME(20, 1, 9, 9, 1, 0, 0, 0);
	put(0x0b, 0x04);
	assert_int_equal(get(4), 12);
	seconds(3600);
	assert_int_equal(get(4), 1);
	seconds(11 * 3600);
	assert_int_equal(get(4), 0x80 | 12);
	seconds(3600);
	assert_int_equal(get(4), 0x80 | 1);
	put(0x0b, 0x00);
	seconds(10 * 3600);
	assert_int_equal(get(4), 0x91);
	PUT_TIME(0x20, 0x01, 0x09, 0x09, 1, 0x92, 0x30, 0x00);
	put(0x0b, 0x02);
	assert_int_equal(get(4), 0x12);
}

static void test_set(void **state)
{
	put(0x0b, 0x82);
	seconds(5);
	assert_int_equal(get(0), 0x40); /* stopped */
	PUT_TIME(0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x58);
	ASSERT_TIME(0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x58);
	seconds(2);
	ASSERT_TIME(0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x00, 0x00);
	/* The weekday is its own counter: it goes on from what was set. */
	PUT_TIME(0x20, 0x00, 0x02, 0x28, 5, 0x23, 0x59, 0x59);
	seconds(1);
	ASSERT_TIME(0x20, 0x00, 0x02, 0x29, 6, 0x00, 0x00, 0x00);
	/* A single register, without SET. */
	put(2, 0x30);
	assert_int_equal(get(2), 0x30);
	assert_int_equal(get(4), 0x00);
	/* SET clears UIE. */
	put(0x0b, 0x12);
	put(0x0b, 0x92);
	assert_int_equal(get(0x0b), 0x82);
}

/* Leaving divider reset, the first update comes after 500 ms. */
static void test_divider(void **state)
{
	put(0x0a, 0x76);
	seconds(10);
	assert_int_equal(get(0), 0x40);
	put(0x0a, 0x26);
	fake_advance(&m, 499 * MS);
	assert_int_equal(get(0), 0x40);
	fake_advance(&m, 2 * MS);
	assert_int_equal(get(0), 0x41);
	fake_advance(&m, 998 * MS);
	assert_int_equal(get(0), 0x41);
	fake_advance(&m, 1 * MS);
	assert_int_equal(get(0), 0x42);
}

/* UIP: set 244 us before the update cycle of 1984 us, and never while the clock is stopped. */
static void test_uip(void **state)
{
	uint64_t first = 0, n = 0, t;

	for (t = 0; t < 2000; t++) {
		m.now_ns = t * 500 * US;
		if (get(0x0a) & 0x80) {
			n++;
			if (!first)
				first = m.now_ns;
		}
	}
	assert_int_equal(n, 4);
	assert_int_equal(first, 998 * MS);
	m.now_ns = 1997771 * US;
	assert_int_equal(get(0x0a) & 0x80, 0);
	/* While UIP is clear, the time does not change for 244 us at least. */
	m.now_ns = 1997773 * US;
	assert_int_equal(get(0x0a) & 0x80, 0x80);
	m.now_ns = 2 * NS_PER_S;
	assert_int_equal(get(0x0a) & 0x80, 0);
	assert_int_equal(get(0), 0x42);
	put(0x0b, 0x82);
	m.now_ns = 2999 * MS;
	assert_int_equal(get(0x0a) & 0x80, 0);
	/* UIP is read-only. */
	put(0x0a, 0xa6);
	assert_int_equal(get(0x0a), 0x26);
}

static void test_periodic(void **state)
{
	static const struct {
		uint8_t rate;
		unsigned hz;
	} rates[] = { { 1, 256 }, { 2, 128 }, { 3, 8192 }, { 6, 1024 }, { 10, 64 }, { 15, 2 } };
	unsigned n;

	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		put(0x0a, 0x20 | rates[i].rate);
		get(0x0c);
		put(0x0b, 0x42);
		n = 0;
		for (uint64_t end = m.now_ns + NS_PER_S; m.now_ns < end;) {
			fake_advance(&m, 10 * US);
			if (irq()) {
				n++;
				assert_int_equal(get(0x0c) & 0xc0, 0xc0);
				assert_int_equal(irq(), 0);
			}
		}
		assert_in_range(n, rates[i].hz - 1, rates[i].hz);
		put(0x0b, 0x02);
	}
	/* Rate 0: none. */
	put(0x0a, 0x20);
	get(0x0c);
	put(0x0b, 0x42);
	seconds(2);
	assert_int_equal(irq(), 0);
}

/* Flags are set without an enable, too, and then raise when enabled; reading C clears them all. */
static void test_flags(void **state)
{
	uint64_t fired = m.n_fired;

	seconds(3);
	assert_int_equal(m.n_fired, fired); /* no timer for what nobody waits for */
	assert_int_equal(irq(), 0);
	assert_int_equal(get(0x0c) & 0xd0, 0x50); /* PF and UF, no IRQF */
	assert_int_equal(get(0x0c), 0x00);
	seconds(1);
	put(0x0b, 0x12);
	assert_int_equal(irq(), 1);
	assert_int_equal(get(0x0c), 0xd0);
	assert_int_equal(irq(), 0);
	/* While it is pending nothing more comes; the timer rests. */
	seconds(1);
	assert_int_equal(irq(), 1);
	fired = m.n_fired;
	seconds(100);
	assert_int_equal(m.n_fired, fired);
	assert_int_equal(fake_rises(chip, "irq", 0), 2);
}

static void test_update_ended(void **state)
{
	get(0x0c);
	put(0x0b, 0x12);
	fake_advance_to(&m, NS_PER_S - 1);
	assert_int_equal(irq(), 0);
	fake_advance_to(&m, NS_PER_S);
	assert_int_equal(irq(), 1);
	assert_int_equal(fake_wire(chip, "irq", 0)->rise_ns, NS_PER_S);
	assert_int_equal(get(0x0c) & 0x90, 0x90);
	assert_int_equal(get(0), 0x41); /* the new time is there */
}

static void test_alarm(void **state)
{
	/* 01:46:40 now; at 01:47:10. */
	put(1, 0x10);
	put(3, 0x47);
	put(5, 0x01);
	get(0x0c);
	put(0x0b, 0x22);
	seconds(29);
	assert_int_equal(irq(), 0);
	seconds(1);
	assert_int_equal(irq(), 1);
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
	/* Once a day. */
	seconds(86399);
	assert_int_equal(irq(), 0);
	seconds(1);
	assert_int_equal(irq(), 1);
	get(0x0c);
	/* Don't care: each minute; each second. */
	put(3, 0xff);
	put(5, 0xc0);
	seconds(60);
	assert_int_equal(irq(), 1);
	get(0x0c);
	put(1, 0xff);
	seconds(1);
	assert_int_equal(irq(), 1);
	get(0x0c);
	/* A time that does not exist never comes, and costs no timer. */
	put(1, 0x61);
	seconds(100000);
	assert_int_equal(irq(), 0);
	/* 12-hour format compares with the PM bit. */
	put(0x0b, 0x20);
	put(1, 0x00);
	put(3, 0x00);
	put(5, 0x81);
	get(0x0c);
	for (int i = 0; i < 86400 && !irq(); i++)
		seconds(1);
	assert_int_equal(get(4), 0x81);
	assert_int_equal(get(2), 0x00);
}

/* An alarm in a long time that nobody looked: set if it was in between, not else. */
static void test_alarm_long(void **state)
{
	put(1, 0x39);
	put(3, 0x46);
	put(5, 0x01); /* a second before now: in a day less one second */
	get(0x0c);
	m.now_ns += 86398 * NS_PER_S;
	assert_int_equal(get(0x0c) & 0x20, 0);
	m.now_ns += 2 * NS_PER_S;
	assert_int_equal(get(0x0c) & 0x20, 0x20);
	m.now_ns += 400 * 86400 * NS_PER_S;
	assert_int_equal(get(0x0c) & 0x20, 0x20);
}

static void test_cmos(void **state)
{
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x17) | get(0x18) << 8, 65535); /* KiB above 1 MiB, at most that */
	assert_int_equal(get(0x30) | get(0x31) << 8, 65535);
	assert_int_equal(get(0x34) | get(0x35) << 8, (128 - 16) * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0);
	assert_int_equal(get(0x14), 0x06);
	assert_int_equal(get(0x3d), 0x12);
	assert_int_equal(get(0x38), 0x31);
	for (unsigned r = 0x0e; r < 0x80; r++) {
		if (r == 0x32)
			continue;
		put((uint8_t)r, (uint8_t)(r * 37));
	}
	for (unsigned r = 0x0e; r < 0x80; r++)
		if (r != 0x32)
			assert_int_equal(get((uint8_t)r), (uint8_t)(r * 37));
	/* RAM, time and a running alarm outlive a machine reset; enables do not. */
	put(0x0b, 0x72);
	seconds(10);
	fake_reset(&m);
	assert_int_equal(get(0x20), (uint8_t)(0x20 * 37));
	assert_int_equal(get(0x0b), 0x02);
	assert_int_equal(get(0), 0x50);
	assert_int_equal(irq(), 0);
	/* Read-only registers. */
	put(0x0d, 0x00);
	assert_int_equal(get(0x0d), 0x80);
}

static void test_small_and_large_ram(void **state)
{
	fake_done(&m);
	fake_init(&m);
	m.ram_bytes = 8u << 20;
	chip = fake_add(&m, &mc146818_class, NULL);
	assert_int_equal(get(0x17) | get(0x18) << 8, 7 * 1024);
	assert_int_equal(get(0x34) | get(0x35) << 8, 0);
	fake_done(&m);
	fake_init(&m);
	m.ram_bytes = UINT64_C(3) << 30;
	chip = fake_add(&m, &mc146818_class, NULL);
	assert_int_equal(get(0x34) | get(0x35) << 8, (3072 - 16) * 16);
}

static void test_nmi_mask(void **state)
{
	assert_int_equal(fake_level(chip, "nmi-mask", 0), 0);
	outb(&m, 0x70, 0x8f);
	assert_int_equal(fake_level(chip, "nmi-mask", 0), 1);
	assert_int_equal(inb(&m, 0x70), 0xff);
	outb(&m, 0x70, 0x0f);
	assert_int_equal(fake_level(chip, "nmi-mask", 0), 0);
}

/* Nothing a guest writes makes the clock crash or the time jump by itself. */
static void test_garbage_time(void **state)
{
	uint32_t r = 1;

	for (int i = 0; i < 50000; i++) {
		r = r * 1664525 + 1013904223;
		put((uint8_t)(r >> 8 & 15), (uint8_t)(r >> 16));
		get((uint8_t)(r >> 12 & 15));
		fake_advance(&m, r >> 10);
	}
	put(0x0a, 0x26);
	put(0x0b, 0x02);
	PUT_TIME(0x20, 0x10, 0x03, 0x14, 1, 0x15, 0x09, 0x26);
	ASSERT_TIME(0x20, 0x10, 0x03, 0x14, 1, 0x15, 0x09, 0x26);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_base),
		TEST(test_calendar),
		TEST(test_formats),
		TEST(test_set),
		TEST(test_divider),
		TEST(test_uip),
		TEST(test_periodic),
		TEST(test_flags),
		TEST(test_update_ended),
		TEST(test_alarm),
		TEST(test_alarm_long),
		TEST(test_cmos),
		TEST(test_small_and_large_ram),
		TEST(test_nmi_mask),
		TEST(test_garbage_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
