/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A console of one port, as Bochs and QEMU have it at 0xE9: a byte written
 * goes to the stream, a read gives a constant by which a guest finds out that
 * the port is there. There is no data sheet.
 *
 * The smallest device: copy it to begin a new one.
 *
 * Properties: iobase (0xe9), readback (0xe9). Lines: none.
 */
#include "device.h"

struct debugcon {
	struct device dev;
	uint32_t iobase;
	uint32_t readback;
};

static uint64_t debugcon_read(struct device *dev, uint64_t addr, unsigned size)
{
	return (uint8_t)((struct debugcon *)dev)->readback;
}

static void debugcon_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	uint8_t c = (uint8_t)val;

	chr_write(dev, &c, 1);
}

static const struct io_ops debugcon_ops = { debugcon_read, debugcon_write, .max_size = 1 };

static int debugcon_realize(struct device *dev, struct error *err)
{
	struct debugcon *s = (struct debugcon *)dev;

	if (s->iobase > 0xffff)
		return error_set(
			err, 22, "%s: iobase %#x is not a port (0 to 0xffff)", dev->id, s->iobase);
	return io_map(dev, s->iobase, 1, &debugcon_ops, err);
}

static const struct prop debugcon_props[] = {
	{ "iobase", PROP_U32, offsetof(struct debugcon, iobase), 0xe9 },
	{ "readback", PROP_U32, offsetof(struct debugcon, readback), 0xe9 },
	PROP_END,
};

/* Nothing changes after set-up. */
static const struct field debugcon_fields[] = {
	FIELD_END,
};

const struct device_class debugcon_class = {
	.name = "isa-debugcon",
	.desc = "console of one port (0xE9)",
	.instance_size = sizeof(struct debugcon),
	.props = debugcon_props,
	.fields = debugcon_fields,
	.user_creatable = true,
	.realize = debugcon_realize,
};
