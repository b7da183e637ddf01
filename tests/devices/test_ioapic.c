/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 82093AA, by the statements of its data sheet. */
#include "chip_test.h"

#define BASE 0xfec00000u

#define LEVEL	0x8000u
#define LOGICAL 0x0800u
#define MASKED	0x10000u
#define REMOTE	0x4000u

static int setup(void **state)
{
	return chip_setup(&ioapic_class);
}

static uint32_t get(uint8_t reg)
{
	fake_mmio_write(&m, BASE, 4, reg);
	return (uint32_t)fake_mmio_read(&m, BASE + 0x10, 4);
}

static void put(uint8_t reg, uint32_t val)
{
	fake_mmio_write(&m, BASE, 4, reg);
	fake_mmio_write(&m, BASE + 0x10, 4, val);
}

static uint32_t entry(int pin)
{
	return get((uint8_t)(0x10 + 2 * pin));
}

static void set_entry(int pin, uint8_t dest, uint32_t low)
{
	put((uint8_t)(0x11 + 2 * pin), (uint32_t)dest << 24);
	put((uint8_t)(0x10 + 2 * pin), low);
}

static void irq(int n, int level)
{
	fake_drive(chip, "irq", n, level);
}

static void assert_last(uint8_t vector, uint8_t mode, uint8_t dest, bool logical, bool level)
{
	const struct fake_apic_msg *a = &m.apic[(m.n_apic - 1) % 256];

	assert_int_equal(a->vector, vector);
	assert_int_equal(a->mode, mode);
	assert_int_equal(a->dest, dest);
	assert_int_equal(a->logical, logical);
	assert_int_equal(a->level, level);
}

static void test_registers(void **state)
{
	assert_int_equal(get(0), 0);
	put(0, 0xff000000);
	assert_int_equal(get(0), 0x0f000000);
	assert_int_equal(get(2), 0x0f000000); /* the arbitration ID follows the ID */
	assert_int_equal(get(1), 0x00170011);
	put(1, 0);
	assert_int_equal(get(1), 0x00170011);
	for (int pin = 0; pin < 24; pin++) {
		assert_int_equal(entry(pin), MASKED);
		set_entry(pin, (uint8_t)(pin + 1), MASKED | (0x2030u + (unsigned)pin));
	}
	for (int pin = 0; pin < 24; pin++) {
		assert_int_equal(entry(pin), MASKED | (0x2030u + (unsigned)pin));
		assert_int_equal(get((uint8_t)(0x11 + 2 * pin)), (unsigned)(pin + 1) << 24);
	}
	/* Reserved and read-only bits. */
	set_entry(3, 0xff, 0xffffffff);
	assert_int_equal(entry(3), 0x1afff);
	assert_int_equal(get(0x17), 0xff000000);
	/* What is not there. */
	assert_int_equal(get(0x03), 0);
	put(0x40, 0xffffffff);
	assert_int_equal(get(0x40), 0);
	put(0xff, 0xffffffff);
	assert_int_equal(get(0xff), 0);
	assert_int_equal(fake_mmio_read(&m, BASE + 0x20, 4), 0);
	fake_mmio_write(&m, BASE, 4, 0x21);
	assert_int_equal(fake_mmio_read(&m, BASE, 4), 0x21);
	assert_int_equal(m.n_apic, 0);
}

static void test_edge(void **state)
{
	set_entry(4, 0x02, LOGICAL | 0x100 | 0x34);
	irq(4, 1);
	assert_int_equal(m.n_apic, 1);
	assert_last(0x34, 1, 0x02, true, false);
	irq(4, 1);
	assert_int_equal(m.n_apic, 1);
	irq(4, 0);
	irq(4, 1);
	assert_int_equal(m.n_apic, 2);
	assert_int_equal(entry(4) & REMOTE, 0);
	/* An edge on a masked input is ignored, not held. */
	irq(4, 0);
	set_entry(4, 0x02, MASKED | 0x34);
	irq(4, 1);
	set_entry(4, 0x02, 0x34);
	assert_int_equal(m.n_apic, 2);
	/* An EOI of the vector is nothing to an edge. */
	ioapic_class.eoi(chip, 0x34);
	assert_int_equal(m.n_apic, 2);
}

static void test_level(void **state)
{
	set_entry(10, 0x00, LEVEL | 0x51);
	irq(10, 1);
	assert_int_equal(m.n_apic, 1);
	assert_last(0x51, 0, 0, false, true);
	assert_int_equal(entry(10), LEVEL | REMOTE | 0x51);
	irq(10, 0);
	irq(10, 1);
	assert_int_equal(m.n_apic, 1); /* one at a time */
	ioapic_class.eoi(chip, 0x52);
	assert_int_equal(m.n_apic, 1);
	ioapic_class.eoi(chip, 0x51);
	assert_int_equal(m.n_apic, 2); /* still asserted */
	irq(10, 0);
	ioapic_class.eoi(chip, 0x51);
	assert_int_equal(m.n_apic, 2);
	assert_int_equal(entry(10) & REMOTE, 0);
	/* Masked: held by the line itself. */
	set_entry(10, 0, LEVEL | MASKED | 0x51);
	irq(10, 1);
	assert_int_equal(m.n_apic, 2);
	set_entry(10, 0, LEVEL | 0x51);
	assert_int_equal(m.n_apic, 3);
	/* The guest cannot write remote IRR away, */
	put(0x24, LEVEL | 0x51);
	assert_int_equal(entry(10) & REMOTE, REMOTE);
	assert_int_equal(m.n_apic, 3);
	/* but for edge and back, as without an EOI register. */
	put(0x24, MASKED | 0x51);
	put(0x24, LEVEL | 0x51);
	assert_int_equal(m.n_apic, 4);
	/* Two inputs with one vector: one EOI ends both. */
	set_entry(11, 0, LEVEL | 0x51);
	irq(11, 1);
	assert_int_equal(m.n_apic, 5);
	irq(10, 0);
	irq(11, 0);
	ioapic_class.eoi(chip, 0x51);
	assert_int_equal((entry(10) | entry(11)) & REMOTE, 0);
}

static void test_modes(void **state)
{
	static const uint8_t modes[] = { 2, 4, 5, 7 };

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		/* Edge triggered whatever the entry says: no remote IRR. */
		set_entry(0, 0, LEVEL | (uint32_t)modes[i] << 8 | 0x20);
		irq(0, 1);
		assert_int_equal(m.n_apic, i + 1);
		assert_last(0x20, modes[i], 0, false, false);
		assert_int_equal(entry(0) & REMOTE, 0);
		irq(0, 0);
	}
}

/* The 8259's INT on input 0, as ExtINT: a message for each rise. */
static void test_ext_int(void **state)
{
	struct device *pic = fake_add(&m, &i8259_pic_class, NULL);

	fake_connect(pic, "intr", 0, chip, "irq", 0);
	set_entry(0, 0, 0x700);
	outb(&m, 0x20, 0x11);
	outb(&m, 0x21, 0x20);
	outb(&m, 0x21, 0x04);
	outb(&m, 0x21, 0x01);
	fake_drive(pic, "irq", 1, 1);
	assert_int_equal(m.n_apic, 1);
	assert_last(0, 7, 0, false, false);
	assert_int_equal(i8259_pic_class.intack(pic), 0x21);
}

static void test_polarity_is_kept(void **state)
{
	set_entry(9, 0, LEVEL | 0x2000 | 0x61);
	assert_int_equal(m.n_apic, 0);
	irq(9, 1);
	assert_int_equal(m.n_apic, 1);
	assert_int_equal(entry(9), LEVEL | 0x2000 | REMOTE | 0x61);
}

static void test_reset(void **state)
{
	irq(9, 1);
	set_entry(9, 1, LEVEL | 0x61);
	put(0, 0x05000000);
	fake_reset(&m);
	assert_int_equal(get(0), 0);
	assert_int_equal(entry(9), MASKED);
	set_entry(9, 1, LEVEL | 0x62); /* the line is still asserted */
	assert_last(0x62, 0, 1, false, true);
}

static void test_narrow(void **state)
{
	fake_mmio_write(&m, BASE, 1, 0x01);
	assert_int_equal(fake_mmio_read(&m, BASE + 0x10, 1), 0x11);
	assert_int_equal(fake_mmio_read(&m, BASE + 0x12, 1), 0x17);
	assert_int_equal(fake_mmio_read(&m, BASE + 0x12, 2), 0x0017);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registers),
		TEST(test_edge),
		TEST(test_level),
		TEST(test_modes),
		TEST(test_ext_int),
		TEST(test_polarity_is_kept),
		TEST(test_reset),
		TEST(test_narrow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
