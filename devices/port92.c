/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 system control port A (92h: Micro Channel architecture reference,
 * "System Control Port A"; kept by every chip set since), and the ports that
 * a PC answers without doing anything visible:
 *
 *	80h		POST code: written only, and posted, so that what kernels
 *			write here for a delay costs nothing; reads give all ones
 *	F0h, F1h	clear / reset coprocessor busy; the FPU's error pin needs
 *			nothing here, so writes vanish and reads give all ones
 *
 * 92h bit 0: a change from 0 to 1 resets the processor. Bit 1: A20 gate,
 * source 0 of machine_a20(). The other bits are kept and read back.
 *
 * Lines: none.
 */
#include "device.h"

#define P92_RESET 0x01
#define P92_A20	  0x02

struct port92 {
	struct device dev;
	uint8_t ctl;
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

static uint64_t fpu_read(struct device *dev, uint64_t addr, unsigned size)
{
	return 0xff;
}

static void fpu_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
}

static const struct io_ops port92_ops = { port92_read, port92_write, .max_size = 1 };
static const struct io_ops post_ops = { .max_size = 1, .posted = true };
static const struct io_ops fpu_ops = { fpu_read, fpu_write, .max_size = 1 };

static int port92_realize(struct device *dev, struct error *err)
{
	int rc;

	rc = io_map(dev, 0x92, 1, &port92_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0x80, 1, &post_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0xf0, 2, &fpu_ops, err);
	return rc;
}

static void port92_reset(struct device *dev)
{
	struct port92 *s = (struct port92 *)dev;

	s->ctl = 0;
	machine_a20(dev, 0, 0);
}

static void port92_loaded(struct device *dev)
{
	machine_a20(dev, 0, !!(((struct port92 *)dev)->ctl & P92_A20));
}

static const struct field port92_fields[] = {
	FIELD(struct port92, ctl),
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
