/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371SB (PIIX3) IDE controller, function 1:1: two channels at their legacy addresses and the bus
 * master. Intel 82371SB data sheet (290550), 2.3 (registers), 3.7 (IDE); "Programming Interface for
 * Bus Master IDE Controller", revision 1.0.
 *
 *	ports 1F0-1F7, 3F6 (IRQ 14) and 170-177, 376 (IRQ 15), while PCI command bit 0 and the
 *		channel's IDETIM bit 15 allow
 *	BAR 4	16 ports: 0 command, 2 status, 4-7 descriptor table of the primary channel; 8, A,
 *C-F of the secondary
 *
 * Lines: outputs "irq14", "irq15". Timings are kept without effect. After a reset both channels are
 * enabled, as a PC's firmware leaves them.
 *
 * A channel without units reads 7F, by the pull-down of DD7.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ata.h"
#include "bytes.h"
#include "log.h"
#include "machine.h"
#include "pci.h"

#define IDE_DEVFN     0x09
#define IDETIM	      0x40 /* two bytes for each channel */
#define IDETIM_ENABLE 0x80 /* in the higher one */
#define BM_BAR	      4
#define BM_LEN	      16
#define FLOATING      0x7f

struct piix3_ide {
	struct device dev;
	struct pci_function fn;
	struct ata_channel ch[ATA_CHANNELS];
};

static struct piix3_ide *ide_of(const struct ata_channel *ch)
{
	return (struct piix3_ide *)ch->controller;
}

/* ---- interrupt ---- */

void ide_irq_update(struct ata_channel *ch, bool edge)
{
	const struct ata_unit *u = ch->unit[ch->selected];
	bool level = u && u->intrq && !(ch->control & ATA_NIEN);

	if (level && edge)
		bm_interrupt(ch);
	line_set(&ch->irq, level);
}

/* ---- bus master (ide_busmaster.c) ---- */

static uint64_t bm_read(struct device *dev, uint64_t addr, unsigned size)
{
	const struct piix3_ide *s = (struct piix3_ide *)dev;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++, addr++)
		v |= (uint64_t)bm_reg_read(&s->ch[addr >> 3 & 1], addr & 7) << 8 * i;
	return v;
}

static void bm_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct piix3_ide *s = (struct piix3_ide *)dev;

	for (unsigned i = 0; i < size; i++, addr++)
		bm_reg_write(&s->ch[addr >> 3 & 1], addr & 7, (uint8_t)(val >> 8 * i));
}

static const struct io_ops bm_ops = { bm_read, bm_write, .max_size = 4 };

/* ---- legacy ports ---- */

static void changed(struct ata_channel *ch)
{
	machine_ports_changed(ch->controller);
}

static bool channel_on(const struct ata_channel *ch)
{
	const uint8_t *c = ide_of(ch)->fn.config;

	return (c[PCI_COMMAND] & PCI_COMMAND_IO) && (c[IDETIM + 2 * ch->n + 1] & IDETIM_ENABLE);
}

/* Who answers: unit 0 stands in for a unit 1 that is absent. NULL: nobody. */
static struct ata_unit *unit_answering(const struct ata_channel *ch)
{
	return ch->unit[ch->selected] ? ch->unit[ch->selected] : ch->unit[0];
}

static uint8_t reg_read(struct ata_channel *ch, enum ata_reg reg, bool alternate)
{
	struct ata_unit *u = unit_answering(ch);

	if (!channel_on(ch))
		return 0xff;
	if (!u)
		return FLOATING;
	if (reg != ATA_REG_STATUS)
		return ata_reg_read(u, reg, ch->control & ATA_HOB);
	if (u != ch->unit[ch->selected])
		return 0;
	if (!alternate && u->intrq) {
		u->intrq = 0;
		changed(ch);
		ide_irq_update(ch, false);
	}
	return u->status;
}

static void command_write(struct ata_channel *ch, uint8_t val)
{
	struct ata_unit *u = ch->unit[ch->selected];

	/* Both execute a diagnostic, and unit 0 reports it, whichever is selected. */
	if (val == ATA_CMD_DIAGNOSTIC)
		u = unit_answering(ch);
	if (u)
		ata_command_write(u, val);
}

static void reg_write(struct ata_channel *ch, enum ata_reg reg, uint8_t val)
{
	if (!channel_on(ch) || (ch->control & ATA_SRST))
		return;
	changed(ch);
	ch->control &= (uint8_t)~ATA_HOB;
	if (reg == ATA_REG_STATUS) {
		command_write(ch, val);
		return;
	}
	for (unsigned i = 0; i < ATA_UNITS; i++)
		if (ch->unit[i])
			ata_reg_write(ch->unit[i], reg, val);
	/* The interrupt line follows with the next command: this write may be deferred. */
	if (reg == ATA_REG_DEVICE)
		ch->selected = (val & ATA_DEV1) != 0;
}

static void control_write(struct ata_channel *ch, uint8_t val)
{
	uint8_t was = ch->control;

	if (!channel_on(ch))
		return;
	changed(ch);
	ch->control = val & (ATA_HOB | ATA_SRST | ATA_NIEN);
	for (unsigned i = 0; i < ATA_UNITS; i++) {
		if (!ch->unit[i])
			continue;
		if (val & ~was & ATA_SRST)
			ata_reset_begin(ch->unit[i], false);
		if (was & ~val & ATA_SRST)
			ata_reset_end(ch->unit[i]);
	}
	if (val & ~was & ATA_SRST)
		ch->selected = 0;
	ide_irq_update(ch, false);
}

/*
 * The data port. A byte's access moves a whole word, as the bus does. Wider accesses to the other
 * registers are single bytes.
 */
static void data_read_n(
	struct ata_channel *ch, uint64_t reg, unsigned size, uint32_t n, uint8_t *buf)
{
	struct ata_unit *u = ch->unit[ch->selected];

	if (reg == ATA_REG_DATA && channel_on(ch) && u) {
		ata_data_read(u, size, n, buf);
		changed(ch);
		return;
	}
	for (uint32_t i = 0; i < n * size; i++)
		buf[i] = reg == ATA_REG_DATA ? 0xff
					     : reg_read(ch, (enum ata_reg)(reg + i % size), false);
}

static void data_write_n(
	struct ata_channel *ch, uint64_t reg, unsigned size, uint32_t n, const uint8_t *buf)
{
	struct ata_unit *u = ch->unit[ch->selected];

	if (reg == ATA_REG_DATA) {
		if (channel_on(ch) && u) {
			ata_data_write(u, size, n, buf);
			changed(ch);
		}
		return;
	}
	for (uint32_t i = 0; i < n * size; i++)
		reg_write(ch, (enum ata_reg)(reg + i % size), buf[i]);
}

/* Elements of n that lie within the DRQ block and do not end it. */
static uint32_t quiet(
	const struct ata_channel *ch, uint64_t reg, enum ata_phase phase, unsigned size, uint32_t n)
{
	const struct ata_unit *u = ch->unit[ch->selected];
	uint32_t k;

	if (reg != ATA_REG_DATA || !channel_on(ch) || !u || u->phase != phase ||
		!(u->status & ATA_DRQ) || u->end <= u->pos)
		return 0;
	k = (u->end - u->pos - 1) / size;
	return k < n ? k : n;
}

/* The same handlers for both channels, which the device structure does not tell apart: the ops
 * do. */
#define CHANNEL_PORTS(name, index)                                                                \
	static uint64_t name##_reg_read(struct device *dev, uint64_t addr, unsigned size)         \
	{                                                                                         \
		struct ata_channel *ch = &((struct piix3_ide *)dev)->ch[index];                   \
		uint8_t word[2];                                                                  \
                                                                                                  \
		if (addr != ATA_REG_DATA)                                                         \
			return reg_read(ch, (enum ata_reg)addr, false);                           \
		data_read_n(ch, addr, 2, 1, word);                                                \
		return word[0];                                                                   \
	}                                                                                         \
	static void name##_reg_write(                                                             \
		struct device *dev, uint64_t addr, unsigned size, uint64_t val)                   \
	{                                                                                         \
		struct ata_channel *ch = &((struct piix3_ide *)dev)->ch[index];                   \
		const uint8_t word[2] = { (uint8_t)val, 0 };                                      \
                                                                                                  \
		if (addr != ATA_REG_DATA)                                                         \
			reg_write(ch, (enum ata_reg)addr, (uint8_t)val);                          \
		else                                                                              \
			data_write_n(ch, addr, 2, 1, word);                                       \
	}                                                                                         \
	static uint64_t name##_data_read(struct device *dev, uint64_t addr, unsigned size)        \
	{                                                                                         \
		uint8_t b[4] = { 0 };                                                             \
                                                                                                  \
		data_read_n(&((struct piix3_ide *)dev)->ch[index], addr, size, 1, b);             \
		return get_le32(b);                                                               \
	}                                                                                         \
	static void name##_data_write(                                                            \
		struct device *dev, uint64_t addr, unsigned size, uint64_t val)                   \
	{                                                                                         \
		uint8_t b[4];                                                                     \
                                                                                                  \
		put_le32(b, (uint32_t)val);                                                       \
		data_write_n(&((struct piix3_ide *)dev)->ch[index], addr, size, 1, b);            \
	}                                                                                         \
	static uint32_t name##_data_read_n(                                                       \
		struct device *dev, uint64_t addr, unsigned size, uint32_t n, uint8_t *buf)       \
	{                                                                                         \
		struct ata_channel *ch = &((struct piix3_ide *)dev)->ch[index];                   \
                                                                                                  \
		n = quiet(ch, addr, ATA_PIO_IN, size, n);                                         \
		if (n)                                                                            \
			data_read_n(ch, addr, size, n, buf);                                      \
		return n;                                                                         \
	}                                                                                         \
	static uint32_t name##_data_write_n(                                                      \
		struct device *dev, uint64_t addr, unsigned size, uint32_t n, const uint8_t *buf) \
	{                                                                                         \
		struct ata_channel *ch = &((struct piix3_ide *)dev)->ch[index];                   \
                                                                                                  \
		n = quiet(ch, addr, ATA_PIO_OUT, size, n);                                        \
		if (n)                                                                            \
			data_write_n(ch, addr, size, n, buf);                                     \
		return n;                                                                         \
	}                                                                                         \
	static uint64_t name##_control_read(struct device *dev, uint64_t addr, unsigned size)     \
	{                                                                                         \
		return reg_read(&((struct piix3_ide *)dev)->ch[index], ATA_REG_STATUS, true);     \
	}                                                                                         \
	static void name##_control_write(                                                         \
		struct device *dev, uint64_t addr, unsigned size, uint64_t val)                   \
	{                                                                                         \
		control_write(&((struct piix3_ide *)dev)->ch[index], (uint8_t)val);               \
	}                                                                                         \
	static const struct io_ops name##_reg_ops = { name##_reg_read, name##_reg_write,          \
		.quick = true, .max_size = 1 };                                                   \
	static const struct io_ops name##_data_ops = { name##_data_read, name##_data_write,       \
		.read_n = name##_data_read_n, .write_n = name##_data_write_n, .max_size = 4,      \
		.min_size = 2 };                                                                  \
	static const struct io_ops name##_control_ops = { name##_control_read,                    \
		name##_control_write, .quick = true, .max_size = 1 }

CHANNEL_PORTS(primary, 0);
CHANNEL_PORTS(secondary, 1);

static const struct {
	uint16_t base, control;
	const struct io_ops *reg_ops, *data_ops, *control_ops;
	const char *line;
} ports[ATA_CHANNELS] = {
	{ 0x1f0, 0x3f6, &primary_reg_ops, &primary_data_ops, &primary_control_ops, "irq14" },
	{ 0x170, 0x376, &secondary_reg_ops, &secondary_data_ops, &secondary_control_ops, "irq15" },
};

/*
 * A driver writes a dozen registers for each command, and looks at as many. Of these nothing shows
 * until the command, and where nothing is pending the status has no side effect.
 */
static void channel_ports(struct ata_channel *ch, uint32_t bm)
{
	const struct ata_unit *u = ch->unit[ch->selected];

	if (channel_on(ch)) {
		port_defer(ch->controller, ports[ch->n].base + ATA_REG_ERROR, ATA_REG_DEVICE, 1, 0);
		port_show(ch->controller, ports[ch->n].control, reg_read(ch, ATA_REG_STATUS, true));
		if (!u || !u->intrq)
			port_show(ch->controller, ports[ch->n].base + ATA_REG_STATUS,
				reg_read(ch, ATA_REG_STATUS, true));
	}
	if (bm)
		bm_ports(ch, bm + 8u * ch->n);
}

static void ide_ports(struct device *dev)
{
	struct piix3_ide *s = (struct piix3_ide *)dev;

	for (unsigned i = 0; i < ATA_CHANNELS; i++)
		channel_ports(&s->ch[i], pci_bar_at(&s->fn, BM_BAR));
}

static void ide_config_written(struct device *dev, unsigned off, unsigned len)
{
	machine_ports_changed(dev);
}

/* ---- units ---- */

/* "0", "1", or as QEMU names the channels; -1: none is named, -2: neither. */
static int bus_number(const char *s)
{
	if (!s)
		return -1;
	if (strncmp(s, "ide.", 4) == 0)
		s += 4;
	return (s[0] == '0' || s[0] == '1') && !s[1] ? s[0] - '0' : -2;
}

int ide_attach(struct ata_unit *u, struct error *err)
{
	struct piix3_ide *s = (struct piix3_ide *)machine_find(u->dev.machine, "piix3-ide");
	int bus = bus_number(u->bus);

	must(s);
	if (bus == -2)
		return error_set(
			err, EINVAL, "%s: bus=%s: expected ide.0 or ide.1", u->dev.id, u->bus);
	if (u->unit != UINT32_MAX && u->unit >= ATA_UNITS)
		return error_set(err, EINVAL, "%s: unit=%u: expected 0 or 1", u->dev.id, u->unit);
	for (unsigned i = 0; i < ATA_CHANNELS * ATA_UNITS; i++) {
		struct ata_channel *ch = &s->ch[i / ATA_UNITS];
		uint32_t unit = i % ATA_UNITS;

		if ((bus >= 0 && ch->n != bus) || (u->unit != UINT32_MAX && unit != u->unit) ||
			ch->unit[unit])
			continue;
		u->unit = unit;
		u->ch = ch;
		ch->unit[unit] = u;
		return 0;
	}
	return error_set(err, EBUSY, "%s: no free place on %s%s: an IDE channel holds two units",
		u->dev.id,
		bus < 0 ? "ide.0 and ide.1"
		: bus	? "ide.1"
			: "ide.0",
		u->unit == UINT32_MAX ? ""
		: u->unit	      ? " unit 1"
				      : " unit 0");
}

struct ata_unit *ide_unit(struct machine *m, unsigned channel, unsigned unit)
{
	struct piix3_ide *s = (struct piix3_ide *)machine_find(m, "piix3-ide");

	return s->ch[channel].unit[unit];
}

/* ---- the function ---- */

static void ide_reset(struct device *dev)
{
	struct piix3_ide *s = (struct piix3_ide *)dev;
	uint8_t *c = s->fn.config;

	memset(c, 0, sizeof(s->fn.config));
	pci_set_ids(&s->fn, 0x8086, 0x7010, 0x0101, 0x00);
	c[PCI_CLASS_PROG] = 0x80; /* bus master; channels at their legacy addresses */
	c[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MASTER;
	c[PCI_STATUS] = 0x80;
	c[PCI_STATUS + 1] = 0x02;
	c[PCI_BAR0 + 4 * BM_BAR] = 1;
	c[IDETIM + 1] = c[IDETIM + 3] = IDETIM_ENABLE;
	pci_bars_update(&s->fn);
	for (unsigned i = 0; i < ATA_CHANNELS; i++) {
		struct ata_channel *ch = &s->ch[i];

		ch->selected = ch->control = 0;
		bm_reset(ch);
		line_set(&ch->irq, 0);
	}
	machine_ports_changed(dev);
}

static void ide_loaded(struct device *dev)
{
	struct piix3_ide *s = (struct piix3_ide *)dev;

	for (unsigned i = 0; i < ATA_CHANNELS; i++) {
		s->ch[i].selected &= 1;
		bm_loaded(&s->ch[i]);
	}
	pci_bars_update(&s->fn);
	machine_ports_changed(dev);
}

static int ide_realize(struct device *dev, struct error *err)
{
	struct piix3_ide *s = (struct piix3_ide *)dev;
	int r = pci_register(dev, &s->fn, IDE_DEVFN, err);

	if (r == 0)
		r = pci_bar_register(&s->fn, BM_BAR, BM_LEN, true, &bm_ops, err);
	s->fn.config_written = ide_config_written;
	s->fn.wmask[PCI_COMMAND] |= PCI_COMMAND_IO | PCI_COMMAND_MASTER;
	s->fn.wmask[0x0d] = 0xf0; /* latency timer */
	memset(s->fn.wmask + IDETIM, 0xff, 5);
	for (unsigned i = 0; r == 0 && i < ATA_CHANNELS; i++) {
		struct ata_channel *ch = &s->ch[i];

		ch->controller = dev;
		ch->n = (uint8_t)i;
		line_output(dev, ports[i].line, &ch->irq, 1);
		r = io_map(dev, ports[i].base, 8, ports[i].reg_ops, err);
		if (r == 0)
			r = io_map(dev, ports[i].base, 4, ports[i].data_ops, err);
		if (r == 0)
			r = io_map(dev, ports[i].control, 1, ports[i].control_ops, err);
	}
	return r;
}

#define CHANNEL_FIELDS(i)                                                                         \
	FIELD(struct piix3_ide, ch[i].selected), FIELD(struct piix3_ide, ch[i].control),          \
		FIELD(struct piix3_ide, ch[i].bm_command),                                        \
		FIELD(struct piix3_ide, ch[i].bm_status), FIELD(struct piix3_ide, ch[i].bm_last), \
		FIELD(struct piix3_ide, ch[i].bm_table), FIELD(struct piix3_ide, ch[i].bm_next),  \
		FIELD(struct piix3_ide, ch[i].bm_addr), FIELD(struct piix3_ide, ch[i].bm_left)

static const struct field ide_fields[] = {
	FIELD_ARRAY(struct piix3_ide, fn.config),
	CHANNEL_FIELDS(0),
	CHANNEL_FIELDS(1),
	FIELD_END,
};

const struct device_class piix3_ide_class = {
	.name = "piix3-ide",
	.desc = "82371SB IDE controller",
	.instance_size = sizeof(struct piix3_ide),
	.fields = ide_fields,
	.realize = ide_realize,
	.reset = ide_reset,
	.loaded = ide_loaded,
	.ports = ide_ports,
};
