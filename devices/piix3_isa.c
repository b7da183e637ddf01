/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371SB (PIIX3) PCI-to-ISA bridge, function 1:0: PCI interrupt steering and reset control.
 * Intel 82371SB data sheet (290550): PIRQRC[A:D] 2.2.9, RC (0xCF9) 2.5.3.2.
 *
 * Ports: CF9. Lines: takes "pirq" (4); outputs "isa-irq" (16), of which the steerable ones are
 * driven.
 */
#include <string.h>
#include "pci.h"

#define PIRQRC	     0x60
#define PIRQ_DISABLE 0x80
#define RC_FULL	     0x02 /* hard reset, not only the CPU's */
#define RC_GO	     0x04 /* 0 to 1 resets */
/* IRQ 3-7, 9-12, 14, 15: the ones that PIRQRC can name. */
#define STEERABLE 0xdef8u

struct piix3_isa {
	struct device dev;
	struct pci_function fn;
	uint8_t pirq_level[4];
	uint8_t rc;
	struct line isa_irq[16];
};

static void route_update(struct piix3_isa *s)
{
	unsigned up = 0;

	for (int i = 0; i < 4; i++) {
		uint8_t r = s->fn.config[PIRQRC + i];

		if (s->pirq_level[i] && !(r & PIRQ_DISABLE))
			up |= 1u << (r & 15);
	}
	for (int i = 0; i < 16; i++)
		if (STEERABLE >> i & 1)
			line_set(&s->isa_irq[i], up >> i & 1);
}

static void pirq_set(void *opaque, int n, int level)
{
	struct piix3_isa *s = opaque;

	s->pirq_level[n] = level != 0;
	route_update(s);
}

static void piix3_config_written(struct device *dev, unsigned off, unsigned len)
{
	if (off < PIRQRC + 4 && off + len > PIRQRC)
		route_update((struct piix3_isa *)dev);
}

static uint64_t rc_read(struct device *dev, uint64_t addr, unsigned size)
{
	return ((struct piix3_isa *)dev)->rc;
}

static void rc_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct piix3_isa *s = (struct piix3_isa *)dev;

	/* A CPU-only reset loses nothing that a hard one would keep, for a PC that starts from its
	 * reset vector either way. */
	if (val & RC_GO)
		machine_request(dev, MACHINE_RESET);
	s->rc = (uint8_t)val & RC_FULL;
}

static const struct io_ops rc_ops = { rc_read, rc_write, .max_size = 1, .min_size = 1 };

static void piix3_reset(struct device *dev)
{
	struct piix3_isa *s = (struct piix3_isa *)dev;
	uint8_t *c = s->fn.config;

	memset(c, 0, sizeof(s->fn.config));
	pci_set_ids(&s->fn, 0x8086, 0x7000, 0x0601, 0x00);
	c[PCI_COMMAND] = 0x07;
	c[PCI_STATUS + 1] = 0x02;
	c[PCI_HEADER_TYPE] = 0x80; /* more functions follow */
	c[0x4c] = 0x4d;
	c[0x4e] = 0x03;
	c[0x69] = 0x02;
	c[0x70] = 0x80;
	c[0x76] = c[0x77] = 0x0c;
	c[0x78] = 0x02;
	memset(c + PIRQRC, PIRQ_DISABLE, 4);
	s->rc = 0;
	memset(s->pirq_level, 0, sizeof(s->pirq_level));
	route_update(s);
}

static int piix3_realize(struct device *dev, struct error *err)
{
	struct piix3_isa *s = (struct piix3_isa *)dev;
	int r;

	memset(s->fn.wmask + 0x40, 0xff, 0xc0);
	memset(s->fn.wmask + PIRQRC, 0x8f, 4);
	s->fn.config_written = piix3_config_written;
	r = pci_register(dev, &s->fn, 0x08, err);
	if (r < 0)
		return r;
	line_export(dev, "pirq", pirq_set, 4);
	line_output(dev, "isa-irq", s->isa_irq, 16);
	return io_map(dev, 0xcf9, 1, &rc_ops, err);
}

static const struct field piix3_fields[] = {
	FIELD_ARRAY(struct piix3_isa, fn.config),
	FIELD_ARRAY(struct piix3_isa, pirq_level),
	FIELD(struct piix3_isa, rc),
	FIELD_END,
};

const struct device_class piix3_isa_class = {
	.name = "PIIX3",
	.desc = "82371SB PCI-to-ISA bridge",
	.instance_size = sizeof(struct piix3_isa),
	.fields = piix3_fields,
	.realize = piix3_realize,
	.reset = piix3_reset,
};
