/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port by which a test program ends the run: the group exits with status
 * (value << 1) | 1, as QEMU's isa-debug-exit does, so that status 0 is never
 * a guest's doing. Reads give 0. There is no data sheet.
 *
 * An exit status has 8 bits: the value's bits above 6 are lost.
 *
 * Properties: iobase (0x501), iosize (2). Lines: none.
 */
#include "device.h"

struct debug_exit {
	struct device dev;
	uint32_t iobase;
	uint32_t iosize;
};

static uint64_t debug_exit_read(struct device *dev, uint64_t addr, unsigned size)
{
	return 0;
}

static void debug_exit_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	machine_exit(dev, (unsigned)(val << 1 | 1) & 0xff);
}

static const struct io_ops debug_exit_ops = { debug_exit_read, debug_exit_write, .max_size = 4 };

static int debug_exit_realize(struct device *dev, struct error *err)
{
	struct debug_exit *s = (struct debug_exit *)dev;

	if (s->iosize < 1 || s->iosize > 4 || s->iobase > 0x10000 - s->iosize)
		return error_set(err, 22,
			"%s: iobase %#x with iosize %u: expected 1 to 4 ports below 0x10000",
			dev->id, s->iobase, s->iosize);
	return io_map(dev, s->iobase, s->iosize, &debug_exit_ops, err);
}

static const struct prop debug_exit_props[] = {
	{ "iobase", PROP_U32, offsetof(struct debug_exit, iobase), 0x501 },
	{ "iosize", PROP_U32, offsetof(struct debug_exit, iosize), 2 },
	PROP_END,
};

/* Nothing changes after set-up. */
static const struct field debug_exit_fields[] = {
	FIELD_END,
};

const struct device_class debug_exit_class = {
	.name = "isa-debug-exit",
	.desc = "port that ends the run with an exit status",
	.instance_size = sizeof(struct debug_exit),
	.props = debug_exit_props,
	.fields = debug_exit_fields,
	.user_creatable = true,
	.realize = debug_exit_realize,
};
