/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest: random port and memory accesses, inputs and time steps over all chips of the
 * fake machine, wired as the board wires them. Nothing may crash, no timer may fire for
 * ever, and, the reason why there are two machines: a machine made from the first one's saved
 * fields must behave as the first from then on. That holds only if every chip's field table is
 * complete and nothing else changes.
 *
 * An input is a sequence of operations: u8 kind, then its arguments; what is missing is 0.
 */
#include <string.h>
#include "fake_machine.h"
#include "fuzz.h"

#define IOAPIC	  0xfec00000
#define OPS_MAX	  2000
#define TIME_MAX  (UINT64_C(1) << 61)
#define STORM_MAX 4096 /* timers that may fire at one moment */

struct input {
	const uint8_t *p;
	size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes && in->left > 0; i++, in->left--)
		v |= (uint32_t)*in->p++ << i * 8;
	return v;
}

enum {
	DEV_PIC,
	DEV_IOAPIC,
	DEV_PM,
	DEV_PIT,
	DEV_RTC,
	DEV_KBC,
	DEV_P92,
	DEV_COM1,
	DEV_COM2,
	DEV_CON,
	DEV_EXIT,
	DEV_COUNT
};

static const struct device_class *const classes[DEV_COUNT] = {
	[DEV_PIC] = &i8259_pic_class,
	[DEV_IOAPIC] = &ioapic_class,
	[DEV_PM] = &piix4_pm_class,
	[DEV_PIT] = &i8254_class,
	[DEV_RTC] = &mc146818_class,
	[DEV_KBC] = &i8042_class,
	[DEV_P92] = &port92_class,
	[DEV_COM1] = &ns16550_class,
	[DEV_COM2] = &ns16550_class,
	[DEV_CON] = &debugcon_class,
	[DEV_EXIT] = &debug_exit_class,
};

/* Output, and the PIC's input it goes to. */
static const struct {
	int dev;
	const char *output;
	int irq;
} wires[] = {
	{ DEV_PIT, "irq", 0 },
	{ DEV_KBC, "kbd-irq", 1 },
	{ DEV_KBC, "mouse-irq", 12 },
	{ DEV_RTC, "irq", 8 },
	{ DEV_PM, "sci", 9 },
	{ DEV_P92, "irq", 13 },
	{ DEV_COM1, "irq", 4 },
	{ DEV_COM2, "irq", 3 },
};

static const uint16_t ports[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1,			/* PIC */
	0x40, 0x41, 0x42, 0x43, 0x61, 0x40, 0x42, 0x43,		/* PIT */
	0x60, 0x64, 0x60, 0x64, 0x92, 0x80, 0xf0, 0xe9, 0x501,	/* controller and the small ones */
	0x70, 0x71, 0x70, 0x71,					/* RTC */
	0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, /* COM1 */
	0x2f8, 0x2f9, 0x2fa, 0x2fb, 0x2fc, 0x2fd,		/* COM2 */
	0x600, 0x602, 0x604, 0x608, 0x60c, 0x610, 0x628, 0x63e, 0xb2, 0xb3, 0xafe0, 0xafe2, 0x700,
	0x702, /* PM */
};

static struct machine machine[2];
static struct device *dev[2][DEV_COUNT];

static void machine_make(int i)
{
	const struct fake_prop second[] = { { "index", 1 }, { NULL, 0 } };
	struct machine *m = &machine[i];
	struct device **d = dev[i];

	fake_done(m);
	fake_init(m);
	for (int k = 0; k < DEV_COUNT; k++)
		d[k] = fake_add(m, classes[k], k == DEV_COM2 ? second : NULL);
	for (size_t k = 0; k < sizeof(wires) / sizeof(wires[0]); k++)
		fake_connect(d[wires[k].dev], wires[k].output, 0, d[DEV_PIC], "irq", wires[k].irq);
	fake_connect(d[DEV_PIC], "intr", 0, d[DEV_IOAPIC], "irq", 0);
}

/* The second machine becomes what the first one's fields say. */
static void machine_clone(void)
{
	struct machine *from = &machine[0], *to = &machine[1];
	uint8_t *buf;
	size_t len;

	machine_make(1);
	to->now_ns = from->now_ns;
	for (int k = 0; k < DEV_COUNT; k++) {
		buf = fake_save(dev[0][k], &len);
		fake_load(dev[1][k], buf, len);
		free(buf);
	}
	/* What the surroundings hold. */
	for (unsigned k = 0; k < from->n_wires; k++)
		to->wires[k].level = from->wires[k].level;
	to->credit = from->credit;
	to->trace_hash = from->trace_hash;
}

static void check_outside(void)
{
	const struct machine *a = &machine[0], *b = &machine[1];

	FUZZ_CHECK(a->trace_hash == b->trace_hash);
	FUZZ_CHECK(a->credit == b->credit);
	FUZZ_CHECK(a->a20[0] == b->a20[0] && a->a20[1] == b->a20[1]);
	for (unsigned i = 0; i < a->n_wires; i++)
		FUZZ_CHECK(a->wires[i].level == b->wires[i].level);
}

static void check_same(void)
{
	uint8_t *a, *b;
	size_t len_a, len_b;

	check_outside();
	for (int k = 0; k < DEV_COUNT; k++) {
		a = fake_save(dev[0][k], &len_a);
		b = fake_save(dev[1][k], &len_b);
		FUZZ_CHECK(len_a == len_b && memcmp(a, b, len_a) == 0);
		free(a);
		free(b);
	}
}

/* Time passes without a checkpoint, as in a long instruction: timers come late. */
static void jump(struct machine *m, uint64_t ns)
{
	uint64_t fired = m->n_fired;

	m->now_ns += ns;
	fake_advance(m, 0);
	FUZZ_CHECK(m->n_fired - fired < STORM_MAX);
}

static void receive(struct machine *m, struct device *d, uint32_t len, uint8_t first)
{
	uint8_t buf[256];

	if (len > m->credit)
		len = m->credit;
	for (unsigned i = 0; i < len; i++)
		buf[i] = (uint8_t)(first + i);
	m->credit -= len;
	if (len > 0)
		ns16550_class.chr_receive(d, buf, len);
}

struct op {
	uint8_t kind;
	uint32_t a, b;
};

static struct op op_take(struct input *in)
{
	struct op op = { .kind = (uint8_t)(take(in, 1) % 25) };

	op.a = take(in, 2);
	op.b = take(in, op.kind < 8 ? 1 : 2);
	return op;
}

static uint16_t op_port(uint32_t a)
{
	return ports[(a >> 2) % (sizeof(ports) / sizeof(ports[0]))];
}

static void op_run(int i, const struct op *op)
{
	struct machine *m = &machine[i];
	struct device **d = dev[i];
	unsigned size = op->a & 3 ? 1 : 1u << (op->b & 1 ? 2 : 1);

	switch (op->kind) {
	case 0 ... 7:
		fake_out(m, op_port(op->a), size, op->b | (op->a & 0xff00) | op->b << 16);
		break;
	case 8 ... 11: fake_in(m, op_port(op->a), size); break;
	case 12: fake_advance(m, op->a); break;
	case 13: fake_advance(m, op->a * UINT64_C(300)); break;
	case 14: jump(m, op->b * UINT64_C(1000) << (op->a & 31)); break;
	case 15:
		if (op->a & 0x40)
			fake_mmio_write(m, IOAPIC, 4, op->a & 0x3f);
		if (op->a & 0x80)
			fake_mmio_write(m, IOAPIC + 0x10, 4, op->b | op->b << 16);
		fake_mmio_read(m, IOAPIC + (op->a >> 8 & 0x13), 1u << (op->a >> 14));
		break;
	case 16:
		if (fake_level(d[DEV_PIC], "intr", 0))
			m->trace_hash += i8259_pic_class.intack(d[DEV_PIC]);
		break;
	case 17: ioapic_class.eoi(d[DEV_IOAPIC], (uint8_t)op->a); break;
	case 18: receive(m, d[op->b & 1 ? DEV_COM1 : DEV_COM2], op->a & 255, op->a >> 8); break;
	case 19: ns16550_class.chr_break(d[DEV_COM1]); break;
	case 20: i8042_class.key(d[DEV_KBC], op->a & 0x1ff, op->b & 1); break;
	case 21:
		i8042_class.pointer_rel(d[DEV_KBC], op->a & 3, (int16_t)op->b);
		i8042_class.pointer_btn(d[DEV_KBC], op->a >> 8 & 7, op->a & 4);
		i8042_class.input_sync(d[DEV_KBC]);
		break;
	case 22: fake_pci_write(m, op->a & 0xff, (uint8_t)op->b); break;
	case 23:
		if (op->b & 7)
			piix4_pm_class.powerdown(d[DEV_PM]);
		else
			fake_reset(m);
		break;
	case 24:
		fake_drive(d[DEV_IOAPIC], "irq", (int)(op->a % 24), op->b & 1);
		fake_drive(d[DEV_P92], "ferr", 0, op->b >> 1 & 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned clone_at = size % 50; /* another place for each input */
	bool cloned = false;
	struct op op;

	machine_make(0);
	for (unsigned n = 0; n < OPS_MAX && in.left > 0 && machine[0].now_ns < TIME_MAX; n++) {
		/* A clone in the middle and a new one later: the state of any moment is complete.
		 */
		if (n % 50 == clone_at) {
			machine_clone();
			cloned = true;
		}
		op = op_take(&in);
		op_run(0, &op);
		if (!cloned)
			continue;
		op_run(1, &op);
		check_outside();
		if (n % 50 == 49)
			check_same();
	}
	if (cloned)
		check_same();
	fake_done(&machine[0]);
	fake_done(&machine[1]);
	return 0;
}

/* A firmware's beginning: PICs, PIT, UART, keyboard, RTC interrupts. */
#define OUT(index, val)	  0, (uint8_t)((index) << 2 | 1), (index) >> 6, val
#define IN(index)	  8, (uint8_t)((index) << 2 | 1), (index) >> 6, 0, 0
#define WAIT(lo, hi)	  13, lo, hi, 0, 0 /* of 300 ns */
#define KEY(code, down)	  20, code, 0, down, 0
#define PCI(off, val)	  22, off, 0, val, 0
#define RECEIVE(n)	  18, n, 0x61, 1, 0
#define APIC(select, low) 15, 0xc0 | (select), 0, low, 0
#define PIN(n, level)	  24, n, 0, level, 0
#define ACK		  16, 0, 0, 0, 0

static const uint8_t seed_init[] = {
	OUT(0, 0x11),
	OUT(1, 0x20),
	OUT(1, 0x04),
	OUT(1, 0x01),
	OUT(2, 0x11),
	OUT(3, 0x28),
	OUT(3, 0x02),
	OUT(3, 0x01),
	OUT(9, 0x34),
	OUT(6, 0x10),
	OUT(6, 0x00),
	OUT(15, 0x60),
	OUT(14, 0x47),
	OUT(15, 0xd4),
	OUT(14, 0xf4),
	OUT(23, 0x0b),
	OUT(24, 0x72),
	WAIT(0xff, 0xff),
	ACK,
	OUT(0, 0x20),
	WAIT(0xff, 0xff),
	ACK,
	14,
	10,
	0,
	0xff,
	0,
	ACK,
};
static const uint8_t seed_serial[] = {
	OUT(30, 0x80),
	OUT(27, 0x01),
	OUT(28, 0x00),
	OUT(30, 0x03),
	OUT(29, 0xc1),
	OUT(31, 0x0b),
	OUT(28, 0x0f),
	RECEIVE(40),
	WAIT(0x80, 0x10),
	IN(29),
	IN(32),
	IN(27),
	IN(27),
	IN(27),
	19,
	0,
	0,
	0,
	0,
	RECEIVE(3),
	WAIT(0x00, 0x08),
	IN(27),
	IN(27),
	WAIT(0x00, 0x04),
	IN(29),
	IN(32),
	WAIT(0x00, 0x08),
	IN(29),
	OUT(31, 0x1b),
	OUT(27, 0x55),
	IN(32),
	IN(33),
	OUT(31, 0x0b),
};
static const uint8_t seed_input[] = {
	OUT(15, 0x60),
	OUT(14, 0x47),
	KEY(30, 1),
	KEY(30, 0),
	WAIT(0xff, 0x01),
	OUT(15, 0x20),
	IN(14),
	IN(14),
	WAIT(0xff, 0x01),
	IN(14),
	OUT(15, 0xd4),
	OUT(14, 0xf4),
	21,
	0,
	0,
	5,
	0,
	WAIT(0xff, 0x01),
	OUT(15, 0xd3),
	OUT(14, 0x12),
	OUT(15, 0xd2),
	OUT(14, 0x34),
	IN(14),
	IN(15),
	IN(14),
	OUT(15, 0xdd),
	OUT(15, 0xd0),
	IN(14),
	KEY(103, 1),
	WAIT(0xff, 0x01),
	IN(14),
};
static const uint8_t seed_pm[] = {
	PCI(0x91, 0x07),
	PCI(0xd2, 0x09),
	PCI(0x04, 0x01),
	OUT(54, 0x48),
	IN(53),
	IN(54),
	OUT(53, 0x04),
	OUT(49, 0xf1),
	OUT(42, 0x01),
	WAIT(0xff, 0xff),
	IN(41),
	IN(44),
	OUT(41, 0x01),
	OUT(43, 0x24),
};
static const uint8_t seed_apic[] = {
	APIC(0x12, 0x31),
	APIC(0x14, 0x32),
	APIC(0x00, 0x05),
	PIN(1, 1),
	PIN(2, 1),
	PIN(1, 0),
	15,
	0x40 | 0x12,
	0,
	0,
	0,
	15,
	0,
	0x10,
	0,
	0,
	17,
	0x32,
	0,
	0,
	0,
	PIN(1, 1),
	15,
	0x80,
	0x10,
	0x77,
	0,
};

#define SEED(s)              \
	{                    \
		s, sizeof(s) \
	}
const struct fuzz_seed fuzz_seeds[] = {
	SEED(seed_init),
	SEED(seed_serial),
	SEED(seed_input),
	SEED(seed_pm),
	SEED(seed_apic),
	{ NULL, 0 },
};
