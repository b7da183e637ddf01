/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 system control port A (92h: Micro Channel architecture reference,
 * "System Control Port A"; kept by every chip set since), and the ports that
 * a PC answers without doing anything visible:
 *
 *	80h		POST code: written only, and posted, so that what kernels
 *			write here for a delay costs nothing; reads give all ones
 *	F0h		coprocessor error (82371AB data sheet, 4.2.7): a write ends
 *			IRQ 13 and asserts IGNNE# if FERR# is asserted; reads give
 *			all ones
 *	F1h		reset coprocessor: the bus cannot reset a P6's FPU, so
 *			writes vanish
 *
 * 92h bit 0: a change from 0 to 1 resets the processor. Bit 1: A20 gate,
 * source 0 of machine_a20(). The other bits are kept and read back.
 *
 * Exports "ferr"(1): FERR# of the CPU, while IGNNE# does not answer it. Outputs
 * "irq"(1): IRQ 13. FERR# sets it, and it stays until F0h is written: the latch
 * of the PC AT. So it needs no edge of FERR#: the CPU withdraws "ferr" with the
 * very write that ends IRQ 13, and "ferr" is the next error's when it comes
 * back, however few accesses there were in between.
 */
#include "device.h"

#define P92_RESET 0x01
#define P92_A20	  0x02

struct port92 {
	struct device dev;
	uint8_t ctl;
	uint8_t error; /* level of "irq" */
	struct line irq;
};

static uint64_t port92_read(struct device *dev, uint64_t addr, unsigned size)
{
	return ((struct port92 *)dev)->ctl;
}

static void port92_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct port92 *s = (struct port92 *)dev;
	uint8_t old = s->ctl;

	s->ctl = (uint8_t)val;
	machine_a20(dev, 0, !!(val & P92_A20));
	if (~old & val & P92_RESET)
		machine_request(dev, MACHINE_RESET);
}

static void error_set_level(struct port92 *s, uint8_t level)
{
	if (level == s->error)
		return;
	s->error = level;
	line_set(&s->irq, level);
}

static void ferr_set(void *opaque, int n, int level)
{
	if (level)
		error_set_level(opaque, 1);
}

static void fpu_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	if (addr != 0)
		return;
	error_set_level((struct port92 *)dev, 0);
	machine_ignne(dev);
}

static const struct io_ops port92_ops = { port92_read, port92_write, .max_size = 1 };
static const struct io_ops post_ops = { .max_size = 1, .posted = true };
static const struct io_ops fpu_ops = { NULL, fpu_write, .max_size = 1 };

static int port92_realize(struct device *dev, struct error *err)
{
	struct port92 *s = (struct port92 *)dev;
	int rc;

	rc = io_map(dev, 0x92, 1, &port92_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0x80, 1, &post_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0xf0, 2, &fpu_ops, err);
	if (rc < 0)
		return rc;
	line_export(dev, "ferr", ferr_set, 1);
	line_output(dev, "irq", &s->irq, 1);
	return 0;
}

static void port92_reset(struct device *dev)
{
	struct port92 *s = (struct port92 *)dev;

	s->ctl = 0;
	s->error = 0;
	line_set(&s->irq, 0);
	machine_a20(dev, 0, 0);
}

static void port92_loaded(struct device *dev)
{
	machine_a20(dev, 0, !!(((struct port92 *)dev)->ctl & P92_A20));
}

static const struct field port92_fields[] = {
	FIELD(struct port92, ctl),
	FIELD(struct port92, error),
	FIELD_END,
};

const struct device_class port92_class = {
	.name = "port92",
	.desc = "system control port A, POST and coprocessor ports",
	.instance_size = sizeof(struct port92),
	.fields = port92_fields,
	.realize = port92_realize,
	.reset = port92_reset,
	.loaded = port92_loaded,
};
