/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 16550A, by the statements of its data sheet, and its host flow control. */
#include "chip_test.h"

#define BASE	0x3f8
#define CHAR_NS UINT64_C(86805) /* 115200 8N1 */

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

static uint8_t get(unsigned reg)
{
	return inb(&m, BASE + reg);
}

static void put(unsigned reg, uint8_t val)
{
	outb(&m, BASE + reg, val);
}

static int irq(void)
{
	return fake_level(chip, "irq", 0);
}

static void set_line(uint16_t divisor, uint8_t lcr)
{
	put(LCR, 0x80);
	put(DATA, (uint8_t)divisor);
	put(IER, divisor >> 8);
	put(LCR, lcr);
}

static int setup(void **state)
{
	chip_setup(&ns16550_class);
	set_line(1, 0x03);
	put(MCR, 0x0b); /* DTR, RTS, OUT2 */
	return 0;
}

static void feed(const void *buf, size_t len)
{
	assert_true(m.credit >= len);
	m.credit -= (uint32_t)len;
	ns16550_class.chr_receive(chip, buf, len);
}

static void chars(unsigned n)
{
	fake_advance(&m, n * CHAR_NS);
}

static void test_reset_state(void **state)
{
	fake_reset(&m);
	assert_int_equal(get(IER), 0x00);
	assert_int_equal(get(IIR), 0x01);
	assert_int_equal(get(LCR), 0x00);
	assert_int_equal(get(MCR), 0x00);
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(MSR), 0xb0);
	assert_int_equal(m.credit, 1024); /* granted once, not by each reset */
}

static void test_registers(void **state)
{
	put(SCR, 0x5a);
	assert_int_equal(get(SCR), 0x5a);
	put(IER, 0xff);
	assert_int_equal(get(IER), 0x0f);
	put(MCR, 0xff);
	assert_int_equal(get(MCR), 0x1f);
	put(LCR, 0x83);
	put(DATA, 0x34);
	put(IER, 0x12);
	assert_int_equal(get(DATA), 0x34);
	assert_int_equal(get(IER), 0x12);
	put(LCR, 0x03);
	assert_int_equal(get(IER), 0x0f); /* untouched */
	put(FCR, 0x01);
	assert_int_equal(get(IIR) & 0xc0, 0xc0);
	put(FCR, 0x00);
	assert_int_equal(get(IIR) & 0xc0, 0x00);
	assert_int_equal(m.out_len, 0);
}

static void test_send(void **state)
{
	static const char text[] = "hello";

	for (const char *p = text; *p; p++) {
		assert_int_equal(get(LSR) & 0x60, 0x60);
		put(DATA, (uint8_t)*p);
	}
	assert_int_equal(m.out_len, 5);
	assert_memory_equal(m.out, "hello", 5);
	/* Five data bits. */
	put(LCR, 0x00);
	put(DATA, 0xff);
	assert_int_equal(m.out[5], 0x1f);
}

static void test_thre_interrupt(void **state)
{
	put(IER, 0x02);
	assert_int_equal(irq(), 1); /* enabling it with THR empty raises it */
	assert_int_equal(get(IIR), 0x02);
	assert_int_equal(irq(), 0); /* reading IIR as the source ends it */
	assert_int_equal(get(IIR), 0x01);
	put(DATA, 'x');
	assert_int_equal(irq(), 1);
	assert_int_equal(get(IIR), 0x02);
	/* Enabling again: again. Writing IER without a change: not. */
	put(IER, 0x02);
	assert_int_equal(irq(), 0);
	put(IER, 0x00);
	put(IER, 0x02);
	assert_int_equal(irq(), 1);
	/* IIR shows a higher source: THRE stays pending behind it. */
	put(IER, 0x03);
	feed("a", 1);
	chars(1);
	assert_int_equal(get(IIR), 0x04);
	assert_int_equal(get(DATA), 'a');
	assert_int_equal(get(IIR), 0x02);
	assert_int_equal(get(IIR), 0x01);
}

static void test_receive_16450(void **state)
{
	put(IER, 0x01);
	feed("ab", 2);
	assert_int_equal(irq(), 0);
	fake_advance(&m, CHAR_NS - 1);
	assert_int_equal(get(LSR) & 1, 0);
	fake_advance(&m, 1);
	assert_int_equal(irq(), 1);
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(IIR), 0x04);
	/* No room: the second waits, nothing is overrun. */
	chars(10);
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(DATA), 'a');
	assert_int_equal(irq(), 0);
	assert_int_equal(get(LSR) & 1, 0);
	chars(1);
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(DATA), 'b');
	assert_int_equal(get(DATA), 'b'); /* empty: the last one again */
}

static void test_fifo_trigger(void **state)
{
	static const struct {
		uint8_t fcr;
		unsigned level;
	} t[] = { { 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 } };
	static const uint8_t bytes[16] = "0123456789abcdef";

	put(IER, 0x01);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		put(FCR, t[i].fcr | 0x02);
		feed(bytes, t[i].level);
		chars(t[i].level - 1);
		assert_int_equal(irq(), 0);
		chars(1);
		assert_int_equal(irq(), 1);
		assert_int_equal(get(IIR), 0xc4);
		/* Below the trigger level it ends. */
		assert_int_equal(get(DATA), '0');
		assert_int_equal(irq(), 0);
		for (unsigned k = 1; k < t[i].level; k++)
			assert_int_equal(get(DATA), bytes[k]);
		assert_int_equal(get(LSR) & 1, 0);
	}
}

static void test_fifo_timeout(void **state)
{
	put(IER, 0x01);
	put(FCR, 0xc1);
	feed("xyz", 3);
	chars(3);
	fake_advance(&m, 4 * CHAR_NS - 1);
	assert_int_equal(irq(), 0);
	fake_advance(&m, 1);
	assert_int_equal(irq(), 1);
	assert_int_equal(get(IIR), 0xcc);
	assert_int_equal(get(DATA), 'x'); /* a read ends it and starts the time again */
	assert_int_equal(irq(), 0);
	chars(4);
	assert_int_equal(get(IIR), 0xcc);
	assert_int_equal(get(DATA), 'y');
	assert_int_equal(get(DATA), 'z');
	chars(20);
	assert_int_equal(irq(), 0); /* an empty FIFO does not time out */
	/* Arrivals start it again, too. */
	feed("1", 1);
	chars(4);
	feed("2", 1);
	chars(4);
	assert_int_equal(irq(), 0);
	chars(1);
	assert_int_equal(irq(), 1);
}

/* 64 KiB pasted at full speed, a slow guest: every byte arrives, in order, at no more than the
 * line's rate. */
static void test_paste(void **state)
{
	static uint8_t sent[65536];
	size_t fed = 0, got = 0, n;
	uint64_t start = m.now_ns;
	uint32_t r = 7;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + (i >> 8));
	put(FCR, 0xc1);
	put(IER, 0x01);
	while (got < sizeof(sent)) {
		n = m.credit < sizeof(sent) - fed ? m.credit : sizeof(sent) - fed;
		if (n > 0) {
			feed(sent + fed, n);
			fed += n;
		}
		/* A guest that is late by a random time. */
		r = r * 1664525 + 1013904223;
		fake_advance(&m, (r >> 8) % (30 * CHAR_NS));
		if (!irq())
			continue;
		while (get(LSR) & 1)
			assert_int_equal(get(DATA), sent[got++]);
		assert_true(m.now_ns < 100 * NS_PER_S);
	}
	assert_true(m.now_ns - start >= sizeof(sent) * CHAR_NS);
	assert_int_equal(get(LSR) & 0x9e, 0);
	fake_advance(&m, NS_PER_S);
	assert_int_equal(m.credit, 1024);
}

/* With the guest keeping up, the line's rate is held although timers come late. */
static void test_rate(void **state)
{
	uint8_t buf[1000] = { 0 };
	uint64_t start = m.now_ns;
	unsigned got = 0;

	m.late_ns = 5 * US;
	put(FCR, 0x01);
	feed(buf, sizeof(buf));
	while (got < sizeof(buf)) {
		fake_advance(&m, 10 * US);
		while (get(LSR) & 1) {
			get(DATA);
			got++;
		}
	}
	assert_in_range(m.now_ns - start, 1000 * CHAR_NS, 1000 * CHAR_NS + 30 * US);
}

/* Character times of some formats. */
static void test_char_time(void **state)
{
	static const struct {
		uint16_t divisor;
		uint8_t lcr;
		uint64_t ns;
	} t[] = {
		{ 12, 0x03, 1041666 },	 /* 9600 8N1: 10 bits */
		{ 12, 0x1a, 1041666 },	 /* 9600 7E1 */
		{ 12, 0x07, 1145833 },	 /* 9600 8N2 */
		{ 1, 0x04, 65104 },	 /* 115200 5N1.5: 7.5 bits */
		{ 0, 0x03, 5688888888 }, /* divisor 0 is 65536 */
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		set_line(t[i].divisor, t[i].lcr);
		feed("\1", 1);
		fake_advance(&m, t[i].ns - 1);
		assert_int_equal(get(LSR) & 1, 0);
		fake_advance(&m, 2);
		assert_int_equal(get(LSR) & 1, 1);
		assert_int_equal(get(DATA), 1);
	}
}

static void test_loopback(void **state)
{
	put(MCR, 0x10);
	get(MSR);
	assert_int_equal(get(MSR), 0x00);
	put(MCR, 0x1f);
	assert_int_equal(get(MSR), 0xfb); /* RI rises: no TERI; the others changed */
	assert_int_equal(get(MSR), 0xf0);
	put(MCR, 0x11);
	assert_int_equal(get(MSR), 0x2d); /* DTR is DSR; CTS, DCD fell, and RI: TERI */
	put(MCR, 0x12);
	assert_int_equal(get(MSR) & 0xf0, 0x10);
	put(MCR, 0x14);
	assert_int_equal(get(MSR) & 0xf0, 0x40);
	put(MCR, 0x18);
	assert_int_equal(get(MSR) & 0xf0, 0x80);
	/* Data come back, and do not go out. */
	put(DATA, 0xa5);
	assert_int_equal(m.out_len, 0);
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(DATA), 0xa5);
	/* Overrun: the FIFO keeps its 16, the rest is lost. */
	put(FCR, 0x01);
	for (int i = 0; i < 20; i++)
		put(DATA, (uint8_t)i);
	assert_int_equal(get(LSR), 0x63);
	assert_int_equal(get(LSR), 0x61); /* OE ends with the read */
	for (int i = 0; i < 16; i++)
		assert_int_equal(get(DATA), i);
	assert_int_equal(get(LSR) & 1, 0);
	/* Without FIFO the new one replaces the old. */
	put(FCR, 0x00);
	put(DATA, 1);
	put(DATA, 2);
	assert_int_equal(get(LSR), 0x63);
	assert_int_equal(get(DATA), 2);
	/* What the stream sends meanwhile waits. */
	feed("s", 1);
	chars(5);
	assert_int_equal(get(LSR) & 1, 0);
	put(MCR, 0x0b);
	chars(1);
	assert_int_equal(get(DATA), 's');
}

/* OUT2 passes the interrupt; loopback cuts it off. */
static void test_out2(void **state)
{
	put(IER, 0x02);
	assert_int_equal(irq(), 1);
	put(MCR, 0x03);
	assert_int_equal(irq(), 0);
	put(MCR, 0x0b);
	assert_int_equal(irq(), 1);
	put(MCR, 0x1b);
	assert_int_equal(irq(), 0);
}

static void test_modem_status_interrupt(void **state)
{
	put(MCR, 0x18); /* loopback, OUT2 is DCD */
	get(MSR);
	put(IER, 0x08);
	assert_int_equal(get(IIR), 0x01);
	put(MCR, 0x1a);
	assert_int_equal(get(IIR), 0x00);
	assert_int_equal(get(MSR) & 0x0f, 0x01);
	assert_int_equal(get(IIR), 0x01);
}

static void test_break(void **state)
{
	put(FCR, 0x01);
	put(IER, 0x05);
	feed("a", 1);
	ns16550_class.chr_break(chip);
	feed("b", 1);
	chars(3);
	assert_int_equal(get(IIR), 0xc4);
	assert_int_equal(get(LSR), 0xe1); /* an error lies in the FIFO, not at its head */
	assert_int_equal(get(DATA), 'a');
	assert_int_equal(get(IIR), 0xc6); /* now it is at the head */
	assert_int_equal(get(LSR), 0xf1);
	assert_int_equal(get(IIR), 0xc4); /* reading LSR ends it */
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(DATA), 0);
	assert_int_equal(get(DATA), 'b');
	assert_int_equal(get(LSR), 0x60);
}

static void test_fifo_reset(void **state)
{
	put(FCR, 0x01);
	feed("abcd", 4);
	chars(4);
	put(FCR, 0x03); /* receiver reset */
	assert_int_equal(get(LSR), 0x60);
	feed("ef", 2);
	chars(2);
	put(FCR, 0x00); /* switching FIFOs empties them */
	assert_int_equal(get(LSR), 0x60);
	/* With bit 0 clear the other bits are not programmed. */
	put(IER, 0x01);
	put(FCR, 0xc0);
	feed("g", 1);
	chars(1);
	assert_int_equal(irq(), 1);
}

static void test_priority(void **state)
{
	put(MCR, 0x10);
	put(FCR, 0x01);
	get(MSR);
	put(IER, 0x0f);
	get(IIR); /* THRE by enabling */
	put(MCR, 0x12);
	for (int i = 0; i < 17; i++)
		put(DATA, 'x');
	assert_int_equal(get(IIR), 0xc6);
	get(LSR);
	assert_int_equal(get(IIR), 0xc4);
	while (get(LSR) & 1)
		get(DATA);
	assert_int_equal(get(IIR), 0xc2);
	assert_int_equal(get(IIR), 0xc0);
	get(MSR);
	assert_int_equal(get(IIR), 0xc1);
}

/* A stream that sends more than it was granted costs bytes, not memory. */
static void test_flood(void **state)
{
	static uint8_t buf[5000];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)i;
	ns16550_class.chr_receive(chip, buf, sizeof(buf));
	for (int i = 0; i < 100; i++)
		ns16550_class.chr_break(chip);
	for (int i = 0; i < 2048; i++) {
		chars(1);
		assert_int_equal(get(DATA), (uint8_t)i);
	}
	chars(10);
	assert_int_equal(get(LSR) & 1, 0);
}

static void test_props(void **state)
{
	const struct fake_prop second[] = { { "index", 1 }, { NULL, 0 } };
	const struct fake_prop own[] = { { "iobase", 0x1230 }, { "irq", 7 }, { NULL, 0 } };
	const struct fake_prop bad_index[] = { { "index", 4 }, { NULL, 0 } };
	const struct fake_prop bad_base[] = { { "iobase", 0xfffc }, { NULL, 0 } };
	const struct fake_prop bad_irq[] = { { "iobase", 0x100 }, { "irq", 16 }, { NULL, 0 } };
	struct error err = ERROR_INIT;

	fake_add(&m, &ns16550_class, second);
	outb(&m, 0x2ff, 0x77);
	assert_int_equal(inb(&m, 0x2ff), 0x77);
	fake_add(&m, &ns16550_class, own);
	outb(&m, 0x1237, 0x66);
	assert_int_equal(inb(&m, 0x1237), 0x66);
	assert_null(fake_try_add(&m, &ns16550_class, bad_index, &err));
	assert_non_null(strstr(err.msg, "index 4"));
	assert_null(fake_try_add(&m, &ns16550_class, bad_base, &err));
	assert_non_null(strstr(err.msg, "0xfffc"));
	assert_null(fake_try_add(&m, &ns16550_class, bad_irq, &err));
	assert_non_null(strstr(err.msg, "irq 16"));
	assert_null(fake_try_add(&m, &ns16550_class, NULL, &err)); /* the ports are taken */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reset_state),
		TEST(test_registers),
		TEST(test_send),
		TEST(test_thre_interrupt),
		TEST(test_receive_16450),
		TEST(test_fifo_trigger),
		TEST(test_fifo_timeout),
		TEST(test_paste),
		TEST(test_rate),
		TEST(test_char_time),
		TEST(test_loopback),
		TEST(test_out2),
		TEST(test_modem_status_interrupt),
		TEST(test_break),
		TEST(test_fifo_reset),
		TEST(test_priority),
		TEST(test_flood),
		TEST(test_props),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
