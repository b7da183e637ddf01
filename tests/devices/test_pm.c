/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PIIX4 power management: PM1 block, timer, APM, configuration. */
#include "chip_test.h"

#define PM    0x600
#define PMTMR UINT64_C(3579545)

static int setup(void **state)
{
	return chip_setup(&piix4_pm_class);
}

static int sci(void)
{
	return fake_level(chip, "sci", 0);
}

static uint32_t timer(void)
{
	return fake_in(&m, PM + 8, 4);
}

static void test_config(void **state)
{
	assert_int_equal(m.pci->devfn, 0x0b);
	assert_int_equal(m.pci->config[0] | m.pci->config[1] << 8, 0x8086);
	assert_int_equal(m.pci->config[2] | m.pci->config[3] << 8, 0x7113);
	assert_int_equal(m.pci->config[0x0a] | m.pci->config[0x0b] << 8, 0x0680);
	assert_int_equal(m.pci->config[0x40] | m.pci->config[0x41] << 8, 0x0601);
	/* Moving the block. */
	fake_pci_write(&m, 0x41, 0xb0);
	assert_int_equal(fake_in(&m, PM + 4, 2), 0xffff);
	assert_int_equal(fake_in(&m, 0xb000 + 4, 2), 0x0000);
	fake_pci_write(&m, 0x40, 0xff); /* 64 ports, bit 0 is fixed */
	assert_int_equal(fake_in(&m, 0xb0c0 + 4, 2), 0x0000);
	fake_pci_write(&m, 0x80, 0x00);
	assert_int_equal(fake_in(&m, 0xb0c0 + 4, 2), 0xffff);
	/* A base of 0 is none; one that is in use costs the mapping, and comes back. */
	fake_pci_write(&m, 0x40, 0);
	fake_pci_write(&m, 0x41, 0);
	fake_pci_write(&m, 0x80, 0x01);
	fake_pci_write(&m, 0x40, 0x80); /* over the APM ports */
	assert_int_equal(inb(&m, 0xb2), 0x00);
	assert_int_equal(inb(&m, 0x84), 0xff);
	fake_pci_write(&m, 0x41, 0x06);
	assert_int_equal(fake_in(&m, 0x680 + 4, 2), 0);
	/* The identity is read-only. */
	fake_pci_write(&m, 0x00, 0x12);
	assert_int_equal(m.pci->config[0], 0x86);
	fake_reset(&m);
	assert_int_equal(fake_in(&m, PM + 4, 2), 0);
}

static void test_no_base(void **state)
{
	const struct fake_prop own[] = { { "pm-base", 0 }, { NULL, 0 } };
	const struct fake_prop bad[] = { { "pm-base", 0x610 }, { NULL, 0 } };
	struct error err = ERROR_INIT;

	fake_done(&m);
	fake_init(&m);
	chip = fake_add(&m, &piix4_pm_class, own);
	assert_int_equal(fake_in(&m, PM + 4, 2), 0xffff);
	assert_int_equal(m.pci->config[0x80], 0);
	assert_null(fake_try_add(&m, &piix4_pm_class, bad, &err));
	assert_non_null(strstr(err.msg, "0x610"));
}

static void test_timer(void **state)
{
	uint64_t t;

	assert_int_equal(timer(), 0);
	for (t = 1; t < 20; t++) {
		m.now_ns = t * 1234567;
		assert_int_equal(timer(), t * 1234567 * PMTMR / NS_PER_S);
	}
	fake_advance_to(&m, NS_PER_S);
	assert_int_equal(timer(), 3579545);
	/* 24 bits, exact after a day. */
	m.now_ns = 86400 * NS_PER_S;
	assert_int_equal(timer(), 86400 * PMTMR & 0xffffff);
	assert_int_equal(fake_in(&m, PM + 8, 2), 86400 * PMTMR & 0xffff);
	assert_int_equal(inb(&m, PM + 10), 86400 * PMTMR >> 16 & 0xff);
	/* Read-only. */
	fake_out(&m, PM + 8, 4, 0);
	assert_int_equal(timer(), 86400 * PMTMR & 0xffffff);
}

/* TMROF_STS at each change of bit 23: every 2.34 s. */
static void test_timer_overflow(void **state)
{
	uint64_t half_ns = ((UINT64_C(1) << 23) * NS_PER_S + PMTMR - 1) / PMTMR;
	uint64_t fired;

	fake_advance_to(&m, half_ns - 1);
	assert_int_equal(fake_in(&m, PM, 2), 0);
	fake_advance_to(&m, half_ns);
	assert_int_equal(fake_in(&m, PM, 2), 1);
	fake_out(&m, PM, 2, 1);
	assert_int_equal(fake_in(&m, PM, 2), 0);
	assert_int_equal(m.n_fired, 0); /* nobody waits for it */
	fake_out(&m, PM + 2, 2, 1);
	outb(&m, 0xb2, 0xf1);
	for (int i = 2; i < 6; i++) {
		fake_advance_to(&m, i * (UINT64_C(1) << 23) * NS_PER_S / PMTMR - 2);
		assert_int_equal(sci(), 0);
		fake_advance(&m, 10);
		assert_int_equal(sci(), 1);
		fake_out(&m, PM, 2, 1);
		assert_int_equal(sci(), 0);
	}
	/* Pending: the timer rests. */
	fake_advance(&m, half_ns * 2);
	fired = m.n_fired;
	fake_advance(&m, half_ns * 20);
	assert_int_equal(m.n_fired, fired);
	assert_int_equal(sci(), 1);
}

static void test_power_button(void **state)
{
	piix4_pm_class.powerdown(chip);
	assert_int_equal(fake_in(&m, PM, 2), 0x100);
	assert_int_equal(sci(), 0);
	fake_out(&m, PM + 2, 2, 0x120);
	assert_int_equal(fake_in(&m, PM + 2, 2), 0x120);
	assert_int_equal(sci(), 0);
	outb(&m, 0xb2, 0xf1); /* the way into ACPI mode */
	assert_int_equal(fake_in(&m, PM + 4, 2), 0x0001);
	assert_int_equal(sci(), 1);
	fake_out(&m, PM, 2, 0x100);
	assert_int_equal(fake_in(&m, PM, 2), 0);
	assert_int_equal(sci(), 0);
	piix4_pm_class.powerdown(chip);
	assert_int_equal(sci(), 1);
	outb(&m, 0xb2, 0xf0); /* and out */
	assert_int_equal(sci(), 0);
	assert_int_equal(inb(&m, 0xb2), 0xf0);
	outb(&m, 0xb3, 0x42);
	assert_int_equal(inb(&m, 0xb3), 0x42);
}

static void test_sleep(void **state)
{
	fake_out(&m, PM + 4, 2, 0x0001 | 5 << 10);
	assert_int_equal(fake_in(&m, PM + 4, 2), 0x1401);
	assert_int_equal(m.n_requests[MACHINE_SHUTDOWN], 0);
	fake_out(&m, PM + 4, 2, 0x2001 | 1 << 10);	  /* suspend: woken at once */
	assert_int_equal(fake_in(&m, PM + 4, 2), 0x0401); /* SLP_EN reads as 0 */
	assert_int_equal(fake_in(&m, PM, 2), 0x8000);
	fake_out(&m, PM, 2, 0x8000);
	assert_int_equal(fake_in(&m, PM, 2), 0);
	assert_int_equal(m.n_requests[MACHINE_SHUTDOWN], 0);
	fake_out(&m, PM + 4, 2, 0x2001); /* soft off */
	assert_int_equal(m.n_requests[MACHINE_SHUTDOWN], 1);
	outb(&m, PM + 5, 0x20); /* by bytes, too */
	assert_int_equal(m.n_requests[MACHINE_SHUTDOWN], 2);
}

static void test_gpe(void **state)
{
	fake_out(&m, 0xafe2, 2, 0x0102);
	assert_int_equal(fake_in(&m, 0xafe2, 2), 0x0102);
	assert_int_equal(fake_in(&m, PM + 0x0e, 2), 0x0102);
	assert_int_equal(fake_in(&m, 0xafe0, 2), 0);
	fake_out(&m, 0xafe0, 2, 0xffff); /* clears, never sets */
	assert_int_equal(fake_in(&m, 0xafe0, 2), 0);
}

static void test_smbus(void **state)
{
	fake_pci_write(&m, 0x91, 0x07);
	fake_pci_write(&m, 0xd2, 0x09);
	assert_int_equal(inb(&m, 0x700), 0xff);
	fake_pci_write(&m, 0x04, 0x01);
	assert_int_equal(inb(&m, 0x700), 0x00); /* idle */
	outb(&m, 0x704, 0xa1);
	assert_int_equal(inb(&m, 0x704), 0xa1);
	outb(&m, 0x702, 0x48);
	assert_int_equal(inb(&m, 0x702), 0x08);
	assert_int_equal(inb(&m, 0x700), 0x04); /* nobody answers */
	outb(&m, 0x700, 0x04);
	assert_int_equal(inb(&m, 0x700), 0x00);
}

/* Registers that are only kept, and those that are not there. */
static void test_others(void **state)
{
	fake_out(&m, PM + 0x28, 4, 0x12345678);
	assert_int_equal(fake_in(&m, PM + 0x28, 4), 0x12345678);
	fake_out(&m, PM + 0x38, 4, 0xffffffff);
	assert_int_equal(fake_in(&m, PM + 0x38, 4), 0);
	assert_int_equal(inb(&m, PM + 0x14), 0);
	/* Across the end of the block: the rest is nobody's. */
	assert_int_equal(fake_in(&m, PM + 0x3e, 4), 0xffff0000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_config),
		TEST(test_no_base),
		TEST(test_timer),
		TEST(test_timer_overflow),
		TEST(test_power_button),
		TEST(test_sleep),
		TEST(test_gpe),
		TEST(test_smbus),
		TEST(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
