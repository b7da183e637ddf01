/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8042 with its keyboard and mouse. */
#include "chip_test.h"

#define BYTE_NS 100000

/* evdev codes */
enum {
	KEY_A = 30,
	KEY_ESC = 1,
	KEY_LSHIFT = 42,
	KEY_LCTRL = 29,
	KEY_LALT = 56,
	KEY_F7 = 65,
	KEY_UP = 103,
	KEY_SYSRQ = 99,
	KEY_PAUSE = 119,
	KEY_KPENTER = 96,
};

static int setup(void **state)
{
	return chip_setup(&i8042_class);
}

static uint8_t status(void)
{
	return inb(&m, 0x64);
}

static void wait_byte(void)
{
	fake_advance(&m, BYTE_NS);
}

static int kbd_irq(void)
{
	return fake_level(chip, "kbd-irq", 0);
}

static int mouse_irq(void)
{
	return fake_level(chip, "mouse-irq", 0);
}

static void command(uint8_t val)
{
	outb(&m, 0x64, val);
}

static void command_byte(uint8_t val)
{
	command(0x60);
	outb(&m, 0x60, val);
}

/* The next byte, which must be there within the time of one. */
static void expect(uint8_t want)
{
	if (!(status() & 1))
		wait_byte();
	assert_int_equal(status() & 1, 1);
	assert_int_equal(inb(&m, 0x60), want);
}

static void expect_none(void)
{
	fake_advance(&m, 10 * BYTE_NS);
	assert_int_equal(status() & 1, 0);
}

#define EXPECT(...)                                           \
	do {                                                  \
		const uint8_t want_[] = { __VA_ARGS__ };      \
		for (size_t i_ = 0; i_ < sizeof(want_); i_++) \
			expect(want_[i_]);                    \
		expect_none();                                \
	} while (0)

static void key(uint32_t code, bool down)
{
	i8042_class.key(chip, code, down);
}

static void tap(uint32_t code)
{
	key(code, true);
	key(code, false);
}

static void kbd(uint8_t val)
{
	outb(&m, 0x60, val);
}

static void mouse(uint8_t val)
{
	command(0xd4);
	outb(&m, 0x60, val);
}

static void move(int64_t dx, int64_t dy, int64_t dz)
{
	if (dx)
		i8042_class.pointer_rel(chip, 0, dx);
	if (dy)
		i8042_class.pointer_rel(chip, 1, dy);
	if (dz)
		i8042_class.pointer_rel(chip, 2, dz);
	i8042_class.input_sync(chip);
}

static void button(uint32_t n, bool down)
{
	i8042_class.pointer_btn(chip, n, down);
	i8042_class.input_sync(chip);
}

/* ---- the controller ---- */

static void test_controller(void **state)
{
	assert_int_equal(status(), 0x1c);
	command(0xaa);
	assert_int_equal(status(), 0x1d);
	expect(0x55);
	command(0x20);
	expect(0x74); /* the self test disables both ports */
	command(0xab);
	expect(0x00);
	command(0xa9);
	expect(0x00);
	command_byte(0x47);
	assert_int_equal(status() & 0x08, 0); /* the last write was data */
	command(0x20);
	expect(0x47);
	assert_int_equal(status() & 0x04, 0x04); /* system flag */
	command_byte(0x43);
	assert_int_equal(status() & 0x04, 0);
	command(0xad);
	command(0x20);
	expect(0x53);
	command(0xae);
	command(0xa7);
	command(0x20);
	expect(0x63);
	command(0xa8);
	command(0x20);
	expect(0x43);
	/* The RAM. */
	command(0x75);
	outb(&m, 0x60, 0x99);
	command(0x35);
	expect(0x99);
	command(0xc0);
	expect(0x80);
	command(0x55); /* not a command */
	expect_none();
}

static void test_outputs(void **state)
{
	assert_int_equal(m.a20[1], 1);
	command(0xdd);
	assert_int_equal(m.a20[1], 0);
	command(0xdf);
	assert_int_equal(m.a20[1], 1);
	command(0xd1);
	outb(&m, 0x60, 0xdd);
	assert_int_equal(m.a20[1], 0);
	command(0xd0);
	assert_int_equal(inb(&m, 0x60) & 0x03, 0x01);
	assert_int_equal(m.n_requests[MACHINE_RESET], 0);
	command(0xff); /* pulses nothing */
	assert_int_equal(m.n_requests[MACHINE_RESET], 0);
	command(0xfe);
	assert_int_equal(m.n_requests[MACHINE_RESET], 1);
	command(0xd1);
	outb(&m, 0x60, 0xde);
	assert_int_equal(m.n_requests[MACHINE_RESET], 2);
}

static void test_write_output_buffer(void **state)
{
	command_byte(0x47);
	command(0xd2);
	outb(&m, 0x60, 0x5a);
	assert_int_equal(status() & 0x21, 0x01);
	assert_int_equal(kbd_irq(), 1);
	assert_int_equal(inb(&m, 0x60), 0x5a);
	assert_int_equal(kbd_irq(), 0);
	command(0xd3);
	outb(&m, 0x60, 0xa5);
	assert_int_equal(status() & 0x21, 0x21);
	assert_int_equal(mouse_irq(), 1);
	assert_int_equal(kbd_irq(), 0);
	assert_int_equal(inb(&m, 0x60), 0xa5);
	assert_int_equal(mouse_irq(), 0);
	/* The interrupt enables. */
	command_byte(0x44);
	command(0xd2);
	outb(&m, 0x60, 1);
	assert_int_equal(kbd_irq(), 0);
	command_byte(0x45);
	assert_int_equal(kbd_irq(), 1);
}

/* One buffer: the controller's answer waits for what lies there, and comes before the devices'
 * next. */
static void test_one_buffer(void **state)
{
	tap(KEY_A);
	wait_byte();
	command(0x20);
	expect(0x1e);
	assert_int_equal(status() & 1, 1);
	expect(0x65);
	assert_int_equal(status() & 1, 0);
	expect(0x9e);
	/* Reading twice gives the same byte: the next takes its time. */
	tap(KEY_A);
	wait_byte();
	assert_int_equal(inb(&m, 0x60), 0x1e);
	assert_int_equal(inb(&m, 0x60), 0x1e);
	assert_int_equal(fake_rises(chip, "kbd-irq", 0), 4); /* 1e, 65, 9e, 1e */
	expect(0x9e);
	assert_int_equal(fake_rises(chip, "kbd-irq", 0), 5);
}

static void test_disabled_port(void **state)
{
	command(0xad);
	tap(KEY_A);
	expect_none();
	command(0xae);
	EXPECT(0x1e, 0x9e);
	/* Sending to the keyboard enables its port. */
	command(0xad);
	kbd(0xee);
	EXPECT(0xee);
}

/* ---- the keyboard ---- */

static void test_kbd_commands(void **state)
{
	command_byte(0x05); /* no translation */
	kbd(0xff);
	EXPECT(0xfa, 0xaa);
	kbd(0xf2);
	EXPECT(0xfa, 0xab, 0x83);
	kbd(0xee);
	EXPECT(0xee);
	kbd(0xed);
	EXPECT(0xfa);
	kbd(0x07);
	EXPECT(0xfa);
	kbd(0xf3);
	EXPECT(0xfa);
	kbd(0x20);
	EXPECT(0xfa);
	kbd(0xfe); /* the last byte again */
	EXPECT(0xfa);
	kbd(0x80); /* unknown */
	EXPECT(0xfe);
	/* A command in place of the parameter. */
	kbd(0xed);
	expect(0xfa);
	kbd(0xf4);
	EXPECT(0xfa);
	/* Disabled keyboards say nothing. */
	kbd(0xf5);
	EXPECT(0xfa);
	tap(KEY_A);
	expect_none();
	kbd(0xf4);
	expect(0xfa);
	tap(KEY_A);
	EXPECT(0x1c, 0xf0, 0x1c);
}

static void test_identify_translated(void **state)
{
	kbd(0xf2);
	EXPECT(0xfa, 0xab, 0x41);
}

static void test_scan_sets(void **state)
{
	command_byte(0x05);
	kbd(0xf0);
	expect(0xfa);
	kbd(0x00);
	EXPECT(0xfa, 0x02);
	tap(KEY_UP);
	EXPECT(0xe0, 0x75, 0xe0, 0xf0, 0x75);
	tap(KEY_F7);
	EXPECT(0x83, 0xf0, 0x83);
	kbd(0xf0);
	expect(0xfa);
	kbd(0x01);
	expect(0xfa);
	tap(KEY_UP);
	EXPECT(0xe0, 0x48, 0xe0, 0xc8);
	tap(KEY_F7);
	EXPECT(0x41, 0xc1);
	tap(KEY_ESC);
	EXPECT(0x01, 0x81);
	kbd(0xf0);
	expect(0xfa);
	kbd(0x03);
	expect(0xfa);
	tap(KEY_UP); /* no break codes by default, */
	EXPECT(0x63);
	tap(KEY_LSHIFT); /* but for the modifiers */
	EXPECT(0x12, 0xf0, 0x12);
	kbd(0xfc); /* make and break for one key */
	expect(0xfa);
	kbd(0x63);
	expect(0xfa);
	kbd(0xfa); /* for all */
	expect(0xfa);
	tap(KEY_UP);
	EXPECT(0x63, 0xf0, 0x63);
	tap(KEY_A);
	EXPECT(0x1c, 0xf0, 0x1c);
	kbd(0xf0);
	expect(0xfa);
	kbd(0x04);
	EXPECT(0xfe);
}

static void test_set3_single_key(void **state)
{
	command_byte(0x05);
	kbd(0xf0);
	expect(0xfa);
	kbd(0x03);
	expect(0xfa);
	kbd(0xfc);
	expect(0xfa);
	kbd(0x1c);
	expect(0xfa);
	kbd(0x63); /* codes go on until a command */
	expect(0xfa);
	kbd(0xf4);
	expect(0xfa);
	tap(KEY_A);
	EXPECT(0x1c, 0xf0, 0x1c);
	tap(KEY_UP);
	EXPECT(0x63, 0xf0, 0x63);
	tap(KEY_ESC);
	EXPECT(0x08);
}

static void test_special_keys(void **state)
{
	/* As a PC sees them: set 2 translated. */
	tap(KEY_PAUSE);
	EXPECT(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	tap(KEY_SYSRQ);
	EXPECT(0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
	key(KEY_LALT, true);
	EXPECT(0x38);
	tap(KEY_SYSRQ);
	EXPECT(0x54, 0xd4);
	key(KEY_LALT, false);
	EXPECT(0xb8);
	key(KEY_LCTRL, true);
	EXPECT(0x1d);
	tap(KEY_PAUSE); /* Break */
	EXPECT(0xe0, 0x46, 0xe0, 0xc6);
	tap(KEY_SYSRQ);
	EXPECT(0xe0, 0x37, 0xe0, 0xb7);
	key(KEY_LCTRL, false);
	EXPECT(0x9d);
	tap(KEY_KPENTER);
	EXPECT(0xe0, 0x1c, 0xe0, 0x9c);
	/* Keys that do not exist. */
	key(0, true);
	key(84, true);
	key(255, true);
	key(4000000000u, true);
	expect_none();
}

/* The whole main block, against set 1 as everybody knows it: evdev codes up to 83 are its codes. */
static void test_all_keys_set1(void **state)
{
	for (uint32_t code = 1; code <= 88; code++) {
		if (code >= 84 && code <= 86)
			continue;
		tap(code);
		expect((uint8_t)code);
		expect((uint8_t)(code | 0x80));
	}
	tap(86);
	expect(0x56);
	expect(0xd6);
}

static void test_overrun(void **state)
{
	uint8_t v;
	unsigned n = 0;

	command_byte(0x05);
	for (int i = 0; i < 20; i++)
		key(KEY_A, true);
	for (;;) {
		wait_byte();
		if (!(status() & 1))
			break;
		v = inb(&m, 0x60);
		assert_int_equal(v, n < 16 ? 0x1c : 0x00);
		n++;
	}
	assert_int_equal(n, 17);
	/* A code that does not fit whole is not cut in two; answers overtake what waits. */
	for (int i = 0; i < 15; i++)
		key(KEY_A, true);
	key(KEY_UP, true);
	kbd(0xee);
	expect(0xee);
	for (int i = 0; i < 15; i++)
		expect(0x1c);
	EXPECT(0x00);
	/* And all is well again. */
	tap(KEY_A);
	EXPECT(0x1c, 0xf0, 0x1c);
}

/* ---- the mouse ---- */

static void mouse_on(void)
{
	command_byte(0x47);
	mouse(0xf4);
	expect(0xfa);
}

static void test_mouse_reset_and_status(void **state)
{
	mouse(0xff); /* sending enables the port */
	EXPECT(0xfa, 0xaa, 0x00);
	mouse(0xf2);
	EXPECT(0xfa, 0x00);
	mouse(0xe9);
	EXPECT(0xfa, 0x00, 0x02, 100);
	mouse(0xe8);
	expect(0xfa);
	mouse(0x03);
	expect(0xfa);
	mouse(0xf3);
	expect(0xfa);
	mouse(40);
	expect(0xfa);
	mouse(0xe7);
	expect(0xfa);
	mouse(0xf4);
	expect(0xfa);
	button(0, true);
	mouse(0xe9); /* takes the packet's place */
	EXPECT(0xfa, 0x34, 0x03, 40);
	mouse(0xf6);
	expect(0xfa);
	mouse(0xe9);
	EXPECT(0xfa, 0x04, 0x02, 100);
	mouse(0x99);
	EXPECT(0xfe);
}

static void test_mouse_packets(void **state)
{
	move(5, 5, 0); /* not enabled: lost */
	expect_none();
	mouse_on();
	mouse(0xf6);
	expect(0xfa);
	mouse_on();
	move(3, -2, 0);
	wait_byte();
	assert_int_equal(status() & 0x21, 0x21);
	assert_int_equal(mouse_irq(), 1);
	assert_int_equal(kbd_irq(), 0);
	EXPECT(0x08, 3, 2);
	move(-1, 10, 0);
	EXPECT(0x38, 0xff, 0xf6);
	button(0, true);
	button(1, true);
	button(2, true);
	EXPECT(0x09, 0, 0, 0x0b, 0, 0, 0x0f, 0, 0);
	button(0, false);
	button(1, false);
	button(2, false);
	EXPECT(0x0e, 0, 0, 0x0c, 0, 0, 0x08, 0, 0);
	button(7, true);
	move(0, 0, 5); /* it has no wheel */
	expect_none();
	/* A long way is several packets. */
	move(300, 0, 0);
	EXPECT(0x08, 127, 0, 0x08, 127, 0, 0x08, 46, 0);
}

/* Movement that finds the queue full is summed up, not lost. */
static void test_mouse_coalesces(void **state)
{
	int x = 0, packets = 0;

	mouse_on();
	for (int i = 0; i < 100; i++)
		move(1, 0, 0);
	for (;;) {
		wait_byte();
		if (!(status() & 1))
			break;
		assert_int_equal(inb(&m, 0x60), 0x08);
		wait_byte();
		x += (int8_t)inb(&m, 0x60);
		wait_byte();
		assert_int_equal(inb(&m, 0x60), 0);
		packets++;
	}
	assert_int_equal(x, 100);
	assert_true(packets < 10);
	/* Absurd deltas do not overflow. */
	for (int i = 0; i < 10; i++)
		move(INT64_MAX, INT64_MIN, 0);
	mouse(0xf5);
	expect(0xfa);
}

static void set_rates(uint8_t a, uint8_t b, uint8_t c)
{
	const uint8_t rate[3] = { a, b, c };

	for (int i = 0; i < 3; i++) {
		mouse(0xf3);
		expect(0xfa);
		mouse(rate[i]);
		expect(0xfa);
	}
}

static void test_wheel(void **state)
{
	set_rates(200, 100, 80);
	mouse(0xf2);
	EXPECT(0xfa, 0x03);
	mouse_on();
	move(1, 0, 2); /* away from the user is negative */
	EXPECT(0x08, 1, 0, 0xfe);
	move(0, 0, -1);
	EXPECT(0x08, 0, 0, 1);
	set_rates(200, 200, 80);
	mouse(0xf2);
	EXPECT(0xfa, 0x04);
	button(3, true);
	EXPECT(0x08, 0, 0, 0x10);
	button(4, true);
	move(0, 0, 1);
	EXPECT(0x08, 0, 0, 0x30, 0x08, 0, 0, 0x3f);
	mouse(0xff);
	EXPECT(0xfa, 0xaa, 0x00);
	mouse(0xf2);
	EXPECT(0xfa, 0x00);
	set_rates(200, 200, 80); /* only after the wheel */
	mouse(0xf2);
	EXPECT(0xfa, 0x00);
}

static void test_mouse_modes(void **state)
{
	mouse_on();
	mouse(0xf0); /* remote: packets on demand */
	expect(0xfa);
	move(7, 0, 0);
	expect_none();
	mouse(0xeb);
	EXPECT(0xfa, 0x08, 7, 0);
	mouse(0xeb);
	EXPECT(0xfa, 0x08, 0, 0);
	mouse(0xea);
	expect(0xfa);
	move(1, 0, 0);
	EXPECT(0x08, 1, 0);
	mouse(0xee); /* wrap: an echo */
	expect(0xfa);
	mouse(0xf2);
	EXPECT(0xf2);
	mouse(0x12);
	EXPECT(0x12);
	mouse(0xec);
	EXPECT(0xfa);
	/* 2:1 scaling of small movements. */
	mouse(0xe7);
	expect(0xfa);
	move(3, 0, 0);
	EXPECT(0x08, 3, 0);
	move(4, 0, 0);
	EXPECT(0x08, 6, 0);
	move(-5, 0, 0);
	EXPECT(0x18, 0xf7, 0);
	move(10, 0, 0);
	EXPECT(0x08, 20, 0);
}

/* The keyboard comes first, and bytes of the two never mix up their flags. */
static void test_both(void **state)
{
	mouse_on();
	tap(KEY_A);
	move(1, 1, 0);
	wait_byte();
	assert_int_equal(status() & 0x21, 0x01);
	expect(0x1e);
	wait_byte();
	assert_int_equal(status() & 0x21, 0x01);
	expect(0x9e);
	wait_byte();
	assert_int_equal(status() & 0x21, 0x21);
	EXPECT(0x28, 1, 0xff);
}

static void test_snapshot(void **state)
{
	uint64_t now;
	size_t len;
	uint8_t *buf;

	mouse_on();
	tap(KEY_UP);
	move(1, 2, 0);
	expect(0xe0);
	buf = fake_save(chip, &len);
	now = m.now_ns;
	fake_done(&m);
	chip_setup(&i8042_class);
	m.now_ns = now;
	fake_load(chip, buf, len);
	free(buf);
	EXPECT(0x48, 0xe0, 0xc8, 0x28, 1, 0xfe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_controller),
		TEST(test_outputs),
		TEST(test_write_output_buffer),
		TEST(test_one_buffer),
		TEST(test_disabled_port),
		TEST(test_kbd_commands),
		TEST(test_identify_translated),
		TEST(test_scan_sets),
		TEST(test_set3_single_key),
		TEST(test_special_keys),
		TEST(test_all_keys_set1),
		TEST(test_overrun),
		TEST(test_mouse_reset_and_status),
		TEST(test_mouse_packets),
		TEST(test_mouse_coalesces),
		TEST(test_wheel),
		TEST(test_mouse_modes),
		TEST(test_both),
		TEST(test_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
