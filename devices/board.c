/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board: which chips a PC has, and how they are wired. The lines' names are in the head comment
 *of each chip.
 *
 *	8259 pair  intr  -> CPU
 *	ISA IRQ n: every source ORed -> 8259 input n and I/O APIC pin n (IRQ 0: pin 2)
 *	CPU  FERR# -> port92 ferr
 *	i8254 irq -> 0   port92 irq -> 13   i8042 kbd-irq -> 1, mouse-irq -> 12   mc146818 irq -> 8
 *	PIIX4 PM sci -> 9   PIIX3 IDE irq14 -> 14, irq15 -> 15   isa-serial irq -> its property PCI
 *pins -> PIRQA-D -> PIIX3 -> ISA IRQ
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "boot.h"
#include "log.h"
#include "machine.h"

/* The chips of every PC, in the order of their creation and reset: who is driven before who drives.
 */
static const char *const fixed_chips[] = {
	"i8259",
	"ioapic",
	"i440FX",
	"PIIX3",
	"PIIX4_PM",
	"i8254",
	"mc146818",
	"i8042",
	"port92",
	"fw_cfg",
	"drives",
	"piix3-ide",
};

struct wire {
	const char *driver, *output;
	unsigned irq;
};

static const struct wire isa_wires[] = {
	{ "i8254", "irq", 0 },
	{ "i8042", "kbd-irq", 1 },
	{ "i8042", "mouse-irq", 12 },
	{ "mc146818", "irq", 8 },
	{ "PIIX4_PM", "sci", 9 },
	{ "port92", "irq", 13 },
	{ "piix3-ide", "irq14", 14 },
	{ "piix3-ide", "irq15", 15 },
};

/* ---- named lines ---- */

void line_export(struct device *dev, const char *name, void (*set)(void *opaque, int n, int level),
	int count)
{
	struct machine *m = dev->machine;

	must(m->n_exports < MACHINE_PORTS_MAX && count > 0);
	m->exports[m->n_exports++] = (struct line_port){ dev, name, set, NULL, count };
}

void line_output(struct device *dev, const char *name, struct line *lines, int count)
{
	struct machine *m = dev->machine;

	must(m->n_outputs < MACHINE_PORTS_MAX && count > 0);
	m->outputs[m->n_outputs++] = (struct line_port){ dev, name, NULL, lines, count };
}

static struct line_port *port_find(
	struct line_port *p, unsigned n, const struct device *dev, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (p[i].dev == dev && strcmp(p[i].name, name) == 0)
			return &p[i];
	return NULL;
}

void board_connect(struct device *dev, const char *name, int i, struct line to)
{
	struct machine *m = dev->machine;
	struct line_port *p = port_find(m->outputs, m->n_outputs, dev, name);

	must(p && i >= 0 && i < p->count);
	p->lines[i] = to;
}

struct line board_input(struct device *dev, const char *name, int i)
{
	struct machine *m = dev->machine;
	struct line_port *p = port_find(m->exports, m->n_exports, dev, name);

	must(p && i >= 0 && i < p->count);
	return (struct line){ p->set, dev, i };
}

/* ---- ISA interrupts: wired OR ---- */

static void isa_source_set(void *opaque, int n, int level)
{
	struct machine *m = opaque;
	unsigned irq = (unsigned)n & 15;
	uint64_t *sources = &m->board->isa_sources[irq], bit = UINT64_C(1) << (n >> 4);

	*sources = level ? *sources | bit : *sources & ~bit;
	line_set(&m->isa_pic[irq], *sources != 0);
	line_set(&m->isa_ioapic[irq], *sources != 0);
}

struct line board_isa_line(struct machine *m, unsigned irq)
{
	unsigned source;

	must(irq < ISA_IRQS);
	source = m->isa_n_sources[irq]++;
	must(source < ISA_SOURCES_MAX);
	return (struct line){ isa_source_set, m, (int)(source << 4 | irq) };
}

static void cpu_intr_set(void *opaque, int n, int level)
{
	((struct machine *)opaque)->board->intr = level != 0;
}

static void wire_fixed(struct machine *m)
{
	struct device *piix3 = machine_find(m, "PIIX3");

	for (int i = 0; i < ISA_IRQS; i++) {
		/* IRQ 2 is the cascade of the 8259s; the 8254 is on the I/O APIC's pin 2 instead.
		 */
		m->isa_pic[i] = board_input(m->pic, "irq", i);
		if (i != 2)
			m->isa_ioapic[i] = board_input(m->ioapic, "irq", i == 0 ? 2 : i);
	}
	board_connect(m->pic, "intr", 0, (struct line){ cpu_intr_set, m, 0 });
	m->ferr_line = board_input(machine_find(m, "port92"), "ferr", 0);
	for (size_t i = 0; i < sizeof(isa_wires) / sizeof(isa_wires[0]); i++) {
		const struct wire *w = &isa_wires[i];

		board_connect(machine_find(m, w->driver), w->output, 0, board_isa_line(m, w->irq));
	}
	for (int i = 0; i < 4; i++)
		m->pci.pirq[i] = board_input(piix3, "pirq", i);
	for (int i = 3; i < ISA_IRQS; i++)
		if (i != 8 && i != 13)
			board_connect(piix3, "isa-irq", i, board_isa_line(m, (unsigned)i));
}

/* ---- devices that the user adds ---- */

static bool spec_has(const struct device_spec *spec, const char *key)
{
	for (unsigned i = 0; i < spec->n_props; i++)
		if (strcmp(spec->props[i].key, key) == 0)
			return true;
	return false;
}

/* A serial port that is not told which it is becomes the next one. */
static struct device *serial_add(
	struct machine *m, const struct device_spec *spec, unsigned *next_index, struct error *err)
{
	struct prop_value props[16];
	struct device_spec s = *spec;
	struct device *dev;
	char index[16], id[32];
	uint64_t n;

	if (spec->n_props > 12) {
		error_set(err, EINVAL, "device isa-serial: too many properties");
		return NULL;
	}
	if (spec->n_props)
		memcpy(props, spec->props, spec->n_props * sizeof(props[0]));
	s.props = props;
	snprintf(index, sizeof(index), "%u", *next_index);
	if (!spec_has(spec, "index"))
		props[s.n_props++] = (struct prop_value){ "index", index };
	snprintf(id, sizeof(id), "serial%u", *next_index);
	if ((!s.id || !*s.id) && !machine_find(m, id))
		s.id = id;
	dev = machine_add(m, &s, true, err);
	if (!dev)
		return NULL;
	n = device_prop(dev, "index", *next_index);
	*next_index = (unsigned)(n < 1000 ? n : *next_index) + 1;
	return dev;
}

static int user_wire(struct machine *m, struct device *dev, struct error *err)
{
	uint64_t irq = device_prop(dev, "irq", ISA_IRQS);

	if (!port_find(m->outputs, m->n_outputs, dev, "irq"))
		return 0;
	if (irq >= ISA_IRQS || irq == 2)
		return error_set(err, EINVAL,
			"device %s: irq=%llu: expected an ISA IRQ, 0-15 but not 2", dev->id,
			(unsigned long long)irq);
	if (m->isa_n_sources[irq] == ISA_SOURCES_MAX)
		return error_set(err, ENOSPC, "device %s: irq=%llu is shared by %d devices already",
			dev->id, (unsigned long long)irq, ISA_SOURCES_MAX);
	board_connect(dev, "irq", 0, board_isa_line(m, (unsigned)irq));
	return 0;
}

static int fixed_add(struct machine *m, const char *driver, struct error *err)
{
	char order[16], once[16];
	const struct prop_value props[] = { { "boot-order", order }, { "boot-once", once } };
	struct device_spec s = { .driver = driver, .id = driver, .stream = -1 };

	if (strcmp(driver, "mc146818") == 0) {
		const char *letters = m->cfg.boot_once;

		snprintf(order, sizeof(order), "%u", boot_order_code(m->cfg.boot_order));
		snprintf(once, sizeof(once), "%u",
			letters && *letters ? boot_order_code(letters) : 0);
		s.props = props;
		s.n_props = 2;
	}
	return machine_add(m, &s, false, err) ? 0 : -err->code;
}

int board_build(
	struct machine *m, const struct device_spec *spec, unsigned n_specs, struct error *err)
{
	unsigned next_serial = 0;

	for (size_t i = 0; i < sizeof(fixed_chips) / sizeof(fixed_chips[0]); i++)
		if (fixed_add(m, fixed_chips[i], err) < 0)
			return -err->code;
	wire_fixed(m);
	for (unsigned i = 0; i < n_specs; i++) {
		struct device *dev;

		if (strcmp(spec[i].driver, "isa-serial") == 0)
			dev = serial_add(m, &spec[i], &next_serial, err);
		else
			dev = machine_add(m, &spec[i], true, err);
		if (!dev || user_wire(m, dev, err) < 0)
			return -err->code;
	}
	return boot_setup(m, err);
}

/* ---- the board's own state ---- */

static void board_reset(struct device *dev)
{
	struct board *b = (struct board *)dev;

	memset(b->isa_sources, 0, sizeof(b->isa_sources));
	memset(b->pirq_sources, 0, sizeof(b->pirq_sources));
	b->intr = b->nmi = 0;
	b->a20[0] = 0;
	b->a20[1] = 1; /* the keyboard controller's output port is all ones after reset */
	b->n_apic = 0;
	memset(b->apic, 0, sizeof(b->apic));
	memset(b->shadow_read, MEM_RAM, 0xa0);
	memset(b->shadow_write, MEM_RAM, 0xa0);
	memset(b->shadow_read + 0xa0, MEM_NONE, 0x20);
	memset(b->shadow_write + 0xa0, MEM_NONE, 0x20);
	memset(b->shadow_read + 0xc0, MEM_ROM, 0x40);
	memset(b->shadow_write + 0xc0, MEM_NONE, 0x40);
}

static const struct field board_fields[] = {
	FIELD_ARRAY(struct board, isa_sources),
	FIELD_ARRAY(struct board, pirq_sources),
	FIELD(struct board, intr),
	FIELD(struct board, nmi),
	FIELD_ARRAY(struct board, a20),
	FIELD(struct board, reset_pending),
	FIELD(struct board, reset_by_host),
	FIELD_MAX(struct board, shutdown, SHUTDOWN_COUNT),
	FIELD(struct board, rtc_known),
	FIELD(struct board, exit_value),
	FIELD(struct board, rtc_base_s),
	FIELD_MAX(struct board, n_apic, MACHINE_APIC_QUEUE),
	{ "apic", offsetof(struct board, apic), 1, sizeof(((struct board *)0)->apic), 0 },
	FIELD_ARRAY_MAX(struct board, shadow_read, MEM_NONE),
	FIELD_ARRAY_MAX(struct board, shadow_write, MEM_NONE),
	FIELD_END,
};

const struct device_class board_class = {
	.name = "board",
	.desc = "what the machine itself remembers",
	.instance_size = sizeof(struct board),
	.fields = board_fields,
	.reset = board_reset,
};
