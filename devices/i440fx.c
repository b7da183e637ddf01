/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82441FX (440FX) PCI and memory controller: configuration mechanism #1 and the host bridge
 * function 0:0. Intel 440FX PCIset 82441FX data sheet (290549), chapter 3: CONFADD/CONFDATA 3.1,
 * PAM 3.2.18, SMRAM 3.2.21.
 *
 * Ports: CF8 (dword only), CFC-CFF. Lines: none.
 *
 * Of the DRAM controller only what moves the address map acts: PAM0-6 (59-5F) and SMRAM (72). The
 * other registers hold what is written. SMM does not exist in this machine: SMRAM can be opened and
 * locked, and closed hides it.
 */
#include <string.h>
#include "pci.h"
#include "segments.h"

#define PAM0	     0x59
#define PAM_LEN	     7
#define SMRAM	     0x72
#define SMRAM_OPEN   0x40
#define SMRAM_CLOSED 0x20
#define SMRAM_LOCK   0x10
#define SMRAM_ENABLE 0x08

struct i440fx {
	struct device dev;
	struct pci_function fn;
	uint32_t address; /* CONFADD */
};

/* PAM register attributes (table 3-2): read enable, write enable. */
static void pam_apply(struct i440fx *s, uint32_t gpa, uint32_t len, unsigned attr)
{
	machine_shadow(
		&s->dev, gpa, len, attr & 1 ? MEM_RAM : MEM_ROM, attr & 2 ? MEM_RAM : MEM_NONE);
}

static void map_update(struct i440fx *s)
{
	const uint8_t *pam = s->fn.config + PAM0;
	uint8_t smram = s->fn.config[SMRAM];
	bool open = (smram & SMRAM_ENABLE) && (smram & SMRAM_OPEN);

	pam_apply(s, 0xf0000, 0x10000, pam[0] >> 4);
	for (unsigned i = 0; i < 2 * (PAM_LEN - 1); i++)
		pam_apply(s, 0xc0000 + 0x4000 * i, 0x4000, pam[1 + i / 2] >> (i & 1 ? 4 : 0));
	machine_shadow(
		&s->dev, 0xa0000, 0x20000, open ? MEM_RAM : MEM_NONE, open ? MEM_RAM : MEM_NONE);
}

static void i440fx_config_written(struct device *dev, unsigned off, unsigned len)
{
	struct i440fx *s = (struct i440fx *)dev;

	if (off <= SMRAM && off + len > SMRAM) {
		uint8_t *v = &s->fn.config[SMRAM];

		/* The lock makes itself, D_OPEN and the enable read-only until reset. */
		if (*v & SMRAM_LOCK) {
			*v &= (uint8_t)~SMRAM_OPEN;
			s->fn.wmask[SMRAM] = SMRAM_CLOSED;
		}
	}
	map_update(s);
}

static uint64_t address_read(struct device *dev, uint64_t addr, unsigned size)
{
	return ((struct i440fx *)dev)->address;
}

static void address_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	((struct i440fx *)dev)->address = (uint32_t)val & 0x80fffffc;
}

/* CONFADD as a place on bus 0; false: disabled or another bus. */
static bool address_decode(
	const struct i440fx *s, uint64_t addr, uint8_t *ret_devfn, unsigned *ret_off)
{
	*ret_devfn = (uint8_t)(s->address >> 8);
	*ret_off = (s->address & 0xfc) + (unsigned)addr;
	return (s->address & 0x80000000) && !(s->address & 0xff0000);
}

static uint64_t data_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct i440fx *s = (struct i440fx *)dev;
	uint8_t devfn;
	unsigned off;

	if (!address_decode(s, addr, &devfn, &off))
		return UINT64_MAX;
	return pci_config_read(dev->machine, devfn, off, size);
}

static void data_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct i440fx *s = (struct i440fx *)dev;
	uint8_t devfn;
	unsigned off;

	if (address_decode(s, addr, &devfn, &off))
		pci_config_write(dev->machine, devfn, off, size, (uint32_t)val);
}

static const struct io_ops address_ops = { address_read, address_write, .max_size = 4,
	.min_size = 4 };
static const struct io_ops data_ops = { data_read, data_write, .max_size = 4, .min_size = 1 };

static void i440fx_reset(struct device *dev)
{
	struct i440fx *s = (struct i440fx *)dev;
	uint8_t *c = s->fn.config;

	s->address = 0;
	memset(c, 0, sizeof(s->fn.config));
	pci_set_ids(&s->fn, 0x8086, 0x1237, 0x0600, 0x02);
	c[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	c[PCI_STATUS] = 0x80;
	c[PCI_STATUS + 1] = 0x02;
	c[SMRAM] = 0x02;
	memset(s->fn.wmask + 0x40, 0xff, 0xc0);
	s->fn.wmask[SMRAM] = SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
	map_update(s);
}

static void i440fx_loaded(struct device *dev)
{
	map_update((struct i440fx *)dev);
}

static int i440fx_realize(struct device *dev, struct error *err)
{
	struct i440fx *s = (struct i440fx *)dev;
	int r;

	s->fn.config_written = i440fx_config_written;
	r = pci_register(dev, &s->fn, 0x00, err);
	if (r < 0)
		return r;
	r = io_map(dev, 0xcf8, 4, &address_ops, err);
	if (r < 0)
		return r;
	return io_map(dev, 0xcfc, 4, &data_ops, err);
}

static const struct field i440fx_fields[] = {
	FIELD(struct i440fx, address),
	FIELD_ARRAY(struct i440fx, fn.config),
	FIELD_ARRAY(struct i440fx, fn.wmask),
	FIELD_END,
};

const struct device_class i440fx_class = {
	.name = "i440FX",
	.desc = "82441FX PCI and memory controller",
	.instance_size = sizeof(struct i440fx),
	.fields = i440fx_fields,
	.realize = i440fx_realize,
	.reset = i440fx_reset,
	.loaded = i440fx_loaded,
};
