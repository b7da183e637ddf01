/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82093AA I/O APIC. Intel 82093AA data sheet (290566-001), section 3.
 *
 * Exports "irq"(24): interrupt inputs. A PC wires the 8259's INT to input 0 and
 * IRQ 0 to input 2; that is the board's business.
 *
 * Messages go to the local APIC by machine_apic_message() and are taken at
 * once, so delivery status always reads idle. EOI broadcasts come to eoi().
 *
 * What the sheet leaves open, or is done differently here:
 *  - An input is asserted when its line is 1. The polarity bit is kept and has no
 *    effect: a wire is asserted or not, and a guest that programs the polarity of
 *    its tables gets the sheet's behaviour.
 *  - Writing an entry as edge triggered clears its remote IRR (the way to end an
 *    interrupt on a chip without an EOI register).
 *  - Only 32-bit accesses to IOREGSEL (00h) and IOWIN (10h) are defined: narrower
 *    ones read a part of the register, and write the part extended with zeros.
 *  - Registers that are not there read as 0.
 */
#include "device.h"

#define IOAPIC_BASE 0xfec00000
#define IOAPIC_LEN  0x1000
#define NPINS	    24
#define VERSION	    0x11

enum { REG_ID = 0x00, REG_VER = 0x01, REG_ARB = 0x02, REG_TABLE = 0x10 };

#define ENTRY_VECTOR	 UINT64_C(0xff)
#define ENTRY_MODE_SHIFT 8
#define ENTRY_LOGICAL	 (UINT64_C(1) << 11)
#define ENTRY_STATUS	 (UINT64_C(1) << 12)
#define ENTRY_REMOTE_IRR (UINT64_C(1) << 14)
#define ENTRY_LEVEL	 (UINT64_C(1) << 15)
#define ENTRY_MASKED	 (UINT64_C(1) << 16)
#define ENTRY_DEST_SHIFT 56
#define ENTRY_READ_ONLY	 (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_DEFINED	 (UINT64_C(0x1ffff) | UINT64_C(0xff) << ENTRY_DEST_SHIFT)

enum delivery_mode { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_NMI = 4, MODE_INIT, MODE_EXTINT = 7 };

struct ioapic {
	struct device dev;
	uint64_t entry[NPINS];
	uint32_t pins; /* level of each input */
	uint8_t select;
	uint8_t id;
};

static struct trace_point tp_send = TRACE_POINT("ioapic_send");

/* SMI, NMI, INIT and ExtINT are edge triggered whatever the entry says. */
static bool entry_is_level(uint64_t e)
{
	unsigned mode = e >> ENTRY_MODE_SHIFT & 7;

	return (e & ENTRY_LEVEL) && (mode == MODE_FIXED || mode == MODE_LOWEST);
}

static void ioapic_send(struct ioapic *s, int pin)
{
	uint64_t e = s->entry[pin];

	if (entry_is_level(e))
		s->entry[pin] |= ENTRY_REMOTE_IRR;
	trace(&tp_send, "pin %d entry %#llx", pin, (unsigned long long)e);
	machine_apic_message(&s->dev, e & ENTRY_VECTOR, e >> ENTRY_MODE_SHIFT & 7,
		(uint8_t)(e >> ENTRY_DEST_SHIFT), e & ENTRY_LOGICAL, entry_is_level(e));
}

/* A level input sends while it is asserted and the last one has been ended. */
static void ioapic_eval_level(struct ioapic *s, int pin)
{
	uint64_t e = s->entry[pin];

	if (entry_is_level(e) && !(e & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) && (s->pins >> pin & 1))
		ioapic_send(s, pin);
}

static void ioapic_set_irq(void *opaque, int n, int level)
{
	struct ioapic *s = opaque;
	uint32_t bit, old;

	if (n < 0 || n >= NPINS)
		return;
	bit = UINT32_C(1) << n;
	old = s->pins;
	s->pins = level ? old | bit : old & ~bit;
	if (entry_is_level(s->entry[n]))
		ioapic_eval_level(s, n);
	else if ((s->pins & ~old & bit) && !(s->entry[n] & ENTRY_MASKED))
		ioapic_send(s, n); /* edges on a masked input are ignored */
}

static void ioapic_eoi(struct device *dev, uint8_t vector)
{
	struct ioapic *s = (struct ioapic *)dev;
	int i;

	for (i = 0; i < NPINS; i++) {
		if (!entry_is_level(s->entry[i]) || !(s->entry[i] & ENTRY_REMOTE_IRR) ||
			(s->entry[i] & ENTRY_VECTOR) != vector)
			continue;
		s->entry[i] &= ~ENTRY_REMOTE_IRR;
		ioapic_eval_level(s, i);
	}
}

static uint32_t ioapic_reg_read(const struct ioapic *s)
{
	unsigned n;

	switch (s->select) {
	case REG_ID:
	case REG_ARB: return (uint32_t)s->id << 24;
	case REG_VER: return VERSION | (NPINS - 1) << 16;
	}
	n = s->select - REG_TABLE;
	if (s->select < REG_TABLE || n >= 2 * NPINS)
		return 0;
	return (uint32_t)(s->entry[n / 2] >> (n & 1) * 32);
}

static void ioapic_entry_write(struct ioapic *s, unsigned pin, bool high, uint32_t val)
{
	uint64_t old = s->entry[pin], e;

	if (high)
		e = (uint32_t)old | (uint64_t)val << 32;
	else
		e = (old & ~UINT64_C(0xffffffff)) | val;
	e = (e & ENTRY_DEFINED & ~ENTRY_READ_ONLY) | (old & ENTRY_READ_ONLY);
	if (!entry_is_level(e))
		e &= ~ENTRY_REMOTE_IRR;
	s->entry[pin] = e;
	ioapic_eval_level(s, (int)pin);
}

static void ioapic_reg_write(struct ioapic *s, uint32_t val)
{
	unsigned n = s->select - REG_TABLE;

	if (s->select == REG_ID)
		s->id = val >> 24 & 15;
	else if (s->select >= REG_TABLE && n < 2 * NPINS)
		ioapic_entry_write(s, n / 2, n & 1, val);
}

static uint64_t ioapic_read(struct device *dev, uint64_t addr, unsigned size)
{
	const struct ioapic *s = (struct ioapic *)dev;

	/* The sheet decodes 00h and 10h; what lies between them and above is nothing. */
	switch (addr & ~UINT64_C(3)) {
	case 0x00: return (uint64_t)s->select >> (addr & 3) * 8;
	case 0x10: return ioapic_reg_read(s) >> (addr & 3) * 8;
	}
	return 0;
}

static void ioapic_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct ioapic *s = (struct ioapic *)dev;

	if (addr == 0x00)
		s->select = (uint8_t)val;
	else if (addr == 0x10)
		ioapic_reg_write(s, (uint32_t)val);
}

static const struct io_ops ioapic_ops = { ioapic_read, ioapic_write, .max_size = 4 };

static int ioapic_realize(struct device *dev, struct error *err)
{
	int rc = mmio_map(dev, IOAPIC_BASE, IOAPIC_LEN, &ioapic_ops, err);

	if (rc < 0)
		return rc;
	line_export(dev, "irq", ioapic_set_irq, NPINS);
	return 0;
}

/* Inputs are other chips' outputs: their levels outlive a reset. */
static void ioapic_reset(struct device *dev)
{
	struct ioapic *s = (struct ioapic *)dev;
	int i;

	for (i = 0; i < NPINS; i++)
		s->entry[i] = ENTRY_MASKED;
	s->select = 0;
	s->id = 0;
}

static const struct field ioapic_fields[] = {
	FIELD_ARRAY(struct ioapic, entry),
	FIELD(struct ioapic, pins),
	FIELD(struct ioapic, select),
	FIELD(struct ioapic, id),
	FIELD_END,
};

const struct device_class ioapic_class = {
	.name = "ioapic",
	.desc = "82093AA I/O APIC",
	.instance_size = sizeof(struct ioapic),
	.fields = ioapic_fields,
	.realize = ioapic_realize,
	.reset = ioapic_reset,
	.eoi = ioapic_eoi,
};
