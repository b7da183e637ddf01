/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8259A pair, by the statements of its data sheet. */
#include "chip_test.h"

static void pic_init(uint8_t icw4_master, uint8_t icw4_slave)
{
	outb(&m, 0x20, 0x11);
	outb(&m, 0x21, 0x20);
	outb(&m, 0x21, 0x04);
	outb(&m, 0x21, icw4_master);
	outb(&m, 0xa0, 0x11);
	outb(&m, 0xa1, 0x28);
	outb(&m, 0xa1, 0x02);
	outb(&m, 0xa1, icw4_slave);
}

static int setup(void **state)
{
	chip_setup(&i8259_pic_class);
	pic_init(0x01, 0x01);
	return 0;
}

static void irq(int n, int level)
{
	fake_drive(chip, "irq", n, level);
}

static int intr(void)
{
	return fake_level(chip, "intr", 0);
}

static uint8_t ack(void)
{
	return i8259_pic_class.intack(chip);
}

static uint8_t read_irr(uint32_t port)
{
	outb(&m, port, 0x0a);
	return inb(&m, port);
}

static uint8_t read_isr(uint32_t port)
{
	outb(&m, port, 0x0b);
	return inb(&m, port);
}

static void eoi(void)
{
	outb(&m, 0x20, 0x20);
}

static void test_edge(void **state)
{
	irq(3, 1);
	assert_int_equal(intr(), 1);
	assert_int_equal(read_irr(0x20), 0x08);
	assert_int_equal(ack(), 0x23);
	assert_int_equal(intr(), 0);
	assert_int_equal(read_irr(0x20), 0);
	assert_int_equal(read_isr(0x20), 0x08);
	eoi();
	assert_int_equal(read_isr(0x20), 0);
	/* Still high: no new edge, no new interrupt. */
	assert_int_equal(intr(), 0);
	irq(3, 1);
	assert_int_equal(intr(), 0);
	irq(3, 0);
	irq(3, 1);
	assert_int_equal(intr(), 1);
}

static void test_level(void **state)
{
	outb(&m, 0x4d0, 0xff);
	outb(&m, 0x4d1, 0xff);
	assert_int_equal(inb(&m, 0x4d0), 0xf8);
	assert_int_equal(inb(&m, 0x4d1), 0xde);
	irq(5, 1);
	assert_int_equal(ack(), 0x25);
	assert_int_equal(read_irr(0x20), 0x20);
	eoi();
	assert_int_equal(intr(), 1); /* the level asks again */
	irq(5, 0);
	assert_int_equal(intr(), 0);
	assert_int_equal(read_irr(0x20), 0);
}

static void test_priority_and_nesting(void **state)
{
	irq(6, 1);
	irq(4, 1);
	assert_int_equal(ack(), 0x24);
	assert_int_equal(intr(), 0); /* 6 waits behind 4 */
	irq(1, 1);
	assert_int_equal(intr(), 1); /* 1 goes over 4 */
	assert_int_equal(ack(), 0x21);
	assert_int_equal(read_isr(0x20), 0x12);
	eoi(); /* the highest in service: 1 */
	assert_int_equal(read_isr(0x20), 0x10);
	assert_int_equal(intr(), 0);
	eoi();
	assert_int_equal(ack(), 0x26);
}

static void test_mask(void **state)
{
	outb(&m, 0x21, 0x08);
	assert_int_equal(inb(&m, 0x21), 0x08);
	irq(3, 1);
	assert_int_equal(intr(), 0);
	assert_int_equal(read_irr(0x20), 0x08); /* the mask hides, it does not clear */
	outb(&m, 0x21, 0x00);
	assert_int_equal(intr(), 1);
	outb(&m, 0x21, 0x08);
	assert_int_equal(intr(), 0);
}

static void test_spurious(void **state)
{
	irq(3, 1);
	irq(3, 0); /* goes away before the acknowledge */
	assert_int_equal(intr(), 0);
	assert_int_equal(ack(), 0x27);
	assert_int_equal(read_isr(0x20), 0); /* no bit: no EOI needed */
	/* The slave's: its request vanishes, the master's cascade has been latched by then. */
	irq(10, 1);
	outb(&m, 0x21, 0x00);
	assert_int_equal(intr(), 1);
	irq(10, 0);
	assert_int_equal(intr(), 0);
}

static void test_spurious_slave(void **state)
{
	/* A level-triggered slave input that goes between the master's choice and the slave's is
	 * level 7 of the slave. */
	irq(12, 1);
	outb(&m, 0xa1, 0x10); /* masks it: INT of the slave falls, and so does IR2 */
	assert_int_equal(intr(), 0);
	assert_int_equal(ack(), 0x27);
	outb(&m, 0xa1, 0x00);
	assert_int_equal(intr(), 1);
	assert_int_equal(ack(), 0x2c);
}

static void test_cascade(void **state)
{
	irq(12, 1);
	irq(9, 1);
	assert_int_equal(intr(), 1);
	assert_int_equal(ack(), 0x29);
	assert_int_equal(read_isr(0x20), 0x04);
	assert_int_equal(read_isr(0xa0), 0x02);
	/* A higher one of the slave cannot interrupt: the master's IR2 is in service. */
	irq(8, 1);
	assert_int_equal(intr(), 0);
	outb(&m, 0xa0, 0x20);
	eoi();
	assert_int_equal(intr(), 1);
	assert_int_equal(ack(), 0x28);
	outb(&m, 0xa0, 0x20);
	eoi();
	assert_int_equal(ack(), 0x2c);
	/* Input 2 is the cascade, not an input. */
	outb(&m, 0xa0, 0x20);
	eoi();
	irq(2, 1);
	assert_int_equal(intr(), 0);
}

static void test_special_fully_nested(void **state)
{
	pic_init(0x11, 0x01);
	irq(12, 1);
	assert_int_equal(ack(), 0x2c);
	irq(9, 1); /* higher on the same slave: goes through */
	assert_int_equal(intr(), 1);
	assert_int_equal(ack(), 0x29);
	irq(5, 1); /* lower on the master: does not */
	assert_int_equal(intr(), 0);
	irq(14, 1); /* lower on the slave: does not either */
	assert_int_equal(intr(), 0);
}

static void test_auto_eoi(void **state)
{
	pic_init(0x03, 0x03);
	irq(3, 1);
	assert_int_equal(ack(), 0x23);
	assert_int_equal(read_isr(0x20), 0);
	irq(12, 1);
	irq(9, 1);
	assert_int_equal(ack(), 0x29);
	assert_int_equal(intr(), 1); /* the slave's next one is an edge for the master */
	assert_int_equal(ack(), 0x2c);
	assert_int_equal(intr(), 0);
	/* Rotation in automatic EOI mode: the one served becomes the lowest. */
	outb(&m, 0x20, 0x80);
	irq(3, 0);
	irq(3, 1);
	irq(4, 1);
	assert_int_equal(ack(), 0x23);
	irq(3, 0);
	irq(3, 1);
	assert_int_equal(ack(), 0x24);
	assert_int_equal(ack(), 0x23);
	/* ... and off again. */
	outb(&m, 0x20, 0x00);
	irq(3, 0);
	irq(3, 1);
	assert_int_equal(ack(), 0x23);
}

static void test_eoi_kinds(void **state)
{
	irq(6, 1);
	assert_int_equal(ack(), 0x26);
	irq(3, 1);
	assert_int_equal(ack(), 0x23);
	outb(&m, 0x20, 0x66); /* specific EOI of 6 */
	assert_int_equal(read_isr(0x20), 0x08);
	outb(&m, 0x20, 0xa0); /* rotate on non-specific EOI: 3 becomes the lowest */
	assert_int_equal(read_isr(0x20), 0);
	irq(3, 0);
	irq(3, 1);
	irq(4, 1);
	assert_int_equal(ack(), 0x24);
	outb(&m, 0x20, 0xe4); /* rotate on specific EOI: 4 the lowest, 5 the highest */
	irq(5, 1);
	irq(4, 0);
	irq(4, 1);
	assert_int_equal(ack(), 0x25);
	outb(&m, 0x20, 0x20);
	outb(&m, 0x20, 0xc2); /* set priority: 2 the lowest, 3 the highest */
	assert_int_equal(ack(), 0x23);
	outb(&m, 0x20, 0x40); /* no operation */
	assert_int_equal(read_isr(0x20), 0x08);
}

static void test_special_mask(void **state)
{
	irq(3, 1);
	assert_int_equal(ack(), 0x23);
	irq(5, 1);
	assert_int_equal(intr(), 0);
	outb(&m, 0x21, 0x08);
	assert_int_equal(intr(), 0); /* a mask alone does not let 5 through */
	outb(&m, 0x20, 0x68);
	assert_int_equal(intr(), 1);
	assert_int_equal(ack(), 0x25);
	/* A non-specific EOI does not clear a masked level. */
	eoi();
	assert_int_equal(read_isr(0x20), 0x08);
	eoi();
	assert_int_equal(read_isr(0x20), 0x08);
	outb(&m, 0x20, 0x63);
	assert_int_equal(read_isr(0x20), 0);
	outb(&m, 0x20, 0x48); /* off */
	irq(3, 0);
	outb(&m, 0x21, 0);
	irq(3, 1);
	assert_int_equal(ack(), 0x23);
	outb(&m, 0x21, 0x08);
	irq(6, 1);
	assert_int_equal(intr(), 0);
}

static void test_poll(void **state)
{
	outb(&m, 0x20, 0x0c);
	assert_int_equal(inb(&m, 0x20), 0x00);
	irq(6, 1);
	outb(&m, 0x20, 0x0c);
	assert_int_equal(inb(&m, 0x20), 0x86);
	assert_int_equal(read_isr(0x20), 0x40); /* it was an acknowledge */
	assert_int_equal(intr(), 0);
	eoi();
	/* Polling master and slave. */
	irq(11, 1);
	outb(&m, 0x20, 0x0c);
	assert_int_equal(inb(&m, 0x20), 0x82);
	outb(&m, 0xa0, 0x0c);
	assert_int_equal(inb(&m, 0xa0), 0x83);
	assert_int_equal(read_isr(0xa0), 0x08);
	/* Only the next read is a poll. */
	assert_int_equal(inb(&m, 0xa0), 0x08);
}

static void test_init(void **state)
{
	irq(5, 1);
	assert_int_equal(ack(), 0x25);
	irq(4, 1);
	outb(&m, 0x21, 0xf0);
	outb(&m, 0x20, 0x11);
	assert_int_equal(intr(), 0); /* nothing until the sequence has ended */
	outb(&m, 0x21, 0x70);
	outb(&m, 0x21, 0x04);
	outb(&m, 0x21, 0x01);
	assert_int_equal(inb(&m, 0x21), 0x00); /* IMR was cleared */
	assert_int_equal(read_isr(0x20), 0x00);
	assert_int_equal(read_irr(0x20), 0x00); /* edge sense was cleared */
	assert_int_equal(intr(), 0);
	irq(4, 0);
	irq(4, 1);
	assert_int_equal(ack(), 0x74);
	/* Without ICW4: automatic EOI is off. Single: no ICW3. */
	pic_init(0x03, 0x01);
	outb(&m, 0x20, 0x12);
	outb(&m, 0x21, 0x40);
	outb(&m, 0x21, 0xfe); /* OCW1 already */
	assert_int_equal(inb(&m, 0x21), 0xfe);
	irq(0, 1);
	assert_int_equal(ack(), 0x40);
	assert_int_equal(read_isr(0x20), 0x01);
}

static void test_snapshot(void **state)
{
	size_t len;
	uint8_t *buf;

	irq(12, 1);
	irq(3, 1);
	ack();
	buf = fake_save(chip, &len);
	fake_done(&m);
	chip_setup(&i8259_pic_class);
	fake_load(chip, buf, len);
	free(buf);
	assert_int_equal(read_isr(0x20), 0x04);
	outb(&m, 0xa0, 0x20);
	eoi();
	assert_int_equal(ack(), 0x23);
}

/* One of every kind: what the machine's own intack() sees on both chips at once. */
static void test_random_invariants(void **state)
{
	uint32_t r = 12345;
	uint8_t vec;

	for (int i = 0; i < 20000; i++) {
		r = r * 1664525 + 1013904223;
		irq((int)(r >> 24 & 15), r >> 28 & 1);
		if (intr()) {
			vec = ack();
			assert_in_range(vec, 0x20, 0x2f);
			/* What is asked for is never spurious. */
			if (vec < 0x28)
				assert_true(read_isr(0x20) & 1 << (vec & 7));
			else
				assert_true(read_isr(0xa0) & 1 << (vec & 7));
		}
		if ((r >> 8 & 3) == 0) {
			outb(&m, 0xa0, 0x20);
			eoi();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_edge),
		TEST(test_level),
		TEST(test_priority_and_nesting),
		TEST(test_mask),
		TEST(test_spurious),
		TEST(test_spurious_slave),
		TEST(test_cascade),
		TEST(test_special_fully_nested),
		TEST(test_auto_eoi),
		TEST(test_eoi_kinds),
		TEST(test_special_mask),
		TEST(test_poll),
		TEST(test_init),
		TEST(test_snapshot),
		TEST(test_random_invariants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
