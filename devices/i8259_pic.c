/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two cascaded 8259A interrupt controllers of a PC, as one device.
 * Intel 8259A data sheet (231468-003); edge/level control registers as in the
 * 82371AB (PIIX4) data sheet (290562-001), section 4.2.5.3.
 *
 * Exports "irq"(16): request inputs 0..15; input 2 is the cascade and is not
 * connected. Outputs "intr"(1): INT of the master.
 *
 * What the sheets leave open or a PC does differently is defined so:
 *  - LTIM of ICW1 is ignored, as on every PIIX: ELCR says which input is level
 *    triggered. Inputs 0, 1, 2, 8 and 13 are always edge triggered.
 *  - ICW1 clears IRR's edges and ISR; level requests stay.
 *  - The slave answers to any identity in its ICW3. Only IR2 of the master has
 *    a slave, and only if the master's ICW3 says so and ICW1 is not "single".
 *  - MCS-80 mode (ICW4 bit 0 clear) delivers the same vectors as 8086 mode.
 *  - A request that goes away before its acknowledge gives level 7 without an
 *    ISR bit (the sheet's "default IR7"), on either chip.
 */
#include "device.h"

#define ICW1_INIT   0x10
#define ICW1_SINGLE 0x02
#define ICW1_IC4    0x01
#define ICW4_AEOI   0x02
#define ICW4_SFNM   0x10
#define OCW3_SELECT 0x08
#define OCW3_POLL   0x04
#define CASCADE_LVL 2
#define ELCR_MASTER 0xf8 /* 0, 1 and 2 are edge triggered */
#define ELCR_SLAVE  0xde /* 8 and 13 are edge triggered */

/* Which command word a write to the odd port is. */
enum pic_expect { EXPECT_OCW1, EXPECT_ICW2, EXPECT_ICW3, EXPECT_ICW4 };

#define PIC_STATE(X)                                           \
	X(irr) /* requests: latched edges and active levels */ \
	X(imr)                                                 \
	X(isr)                                                 \
	X(pins)	  /* level of each input */                    \
	X(elcr)	  /* 1: level triggered */                     \
	X(expect) /* enum pic_expect */                        \
	X(icw1)                                                \
	X(base) /* ICW2, bits 7..3 */                          \
	X(icw3)                                                \
	X(icw4)                                                \
	X(lowest)   /* the level with the lowest priority */   \
	X(read_isr) /* even port reads ISR, not IRR */         \
	X(poll)	    /* the next read is a poll */              \
	X(special_mask)                                        \
	X(rotate) /* rotate in automatic EOI mode */           \
	X(int_out)

struct pic {
#define X(n) uint8_t n;
	PIC_STATE(X)
#undef X
};

struct i8259 {
	struct device dev;
	struct pic chip[2]; /* master, slave */
	struct line intr;
};

static struct trace_point tp_ack = TRACE_POINT("i8259_intack");

static unsigned pic_prio(const struct pic *p, unsigned level)
{
	return (level - p->lowest - 1) & 7; /* 0 is the highest */
}

/* The highest-priority level of set; -1 if it is empty. */
static int pic_highest(const struct pic *p, uint8_t set)
{
	unsigned i, level;

	for (i = 0; i < 8; i++) {
		level = (p->lowest + 1 + i) & 7;
		if (set & 1u << level)
			return (int)level;
	}
	return -1;
}

/* The level that the chip requests the CPU for, or -1. */
static int pic_request(const struct pic *p, bool master)
{
	uint8_t in_service = p->isr;
	int req = pic_highest(p, p->irr & ~p->imr);
	int cur;

	if (req < 0 || p->expect != EXPECT_OCW1)
		return -1;
	if (p->special_mask)
		in_service &= ~p->imr;
	cur = pic_highest(p, in_service);
	if (cur < 0 || pic_prio(p, (unsigned)req) < pic_prio(p, (unsigned)cur))
		return req;
	/* Special fully nested: the slave may interrupt itself at its own level. */
	if (master && (p->icw4 & ICW4_SFNM) && req == cur && req == CASCADE_LVL)
		return req;
	return -1;
}

static void pic_pin(struct pic *p, unsigned level, int value)
{
	uint8_t bit = (uint8_t)(1u << level);

	if (value) {
		if ((p->elcr & bit) || !(p->pins & bit))
			p->irr |= bit;
		p->pins |= bit;
	} else {
		/* The edge sense latch is cleared by the low input, too. */
		p->irr &= ~bit;
		p->pins &= ~bit;
	}
}

static void pic_update(struct i8259 *s)
{
	struct pic *m = &s->chip[0], *sl = &s->chip[1];
	int out;

	sl->int_out = pic_request(sl, false) >= 0;
	pic_pin(m, CASCADE_LVL, sl->int_out);
	out = pic_request(m, true) >= 0;
	if (out != m->int_out) {
		m->int_out = (uint8_t)out;
		line_set(&s->intr, out);
	}
}

static void pic_set_irq(void *opaque, int n, int level)
{
	struct i8259 *s = opaque;

	if (n < 0 || n > 15 || n == CASCADE_LVL)
		return;
	pic_pin(&s->chip[n >> 3], (unsigned)n & 7, level);
	pic_update(s);
}

/* The acknowledge of one chip: freezes the choice, returns the level. */
static unsigned pic_ack(struct pic *p, bool master, bool *ret_spurious)
{
	int level = pic_request(p, master);
	uint8_t bit;

	*ret_spurious = level < 0;
	if (level < 0)
		return 7;
	bit = (uint8_t)(1u << level);
	if (!(p->elcr & bit))
		p->irr &= ~bit;
	if (!(p->icw4 & ICW4_AEOI))
		p->isr |= bit;
	else if (p->rotate)
		p->lowest = (uint8_t)level;
	return (unsigned)level;
}

/* INT goes inactive for the acknowledge, so that the slave's next request is an edge for the
 * master. */
static void pic_drop_slave_int(struct i8259 *s)
{
	s->chip[1].int_out = 0;
	pic_pin(&s->chip[0], CASCADE_LVL, 0);
}

static uint8_t pic_intack(struct device *dev)
{
	struct i8259 *s = (struct i8259 *)dev;
	struct pic *m = &s->chip[0], *sl = &s->chip[1];
	bool spurious, slave_spurious = false;
	unsigned level = pic_ack(m, true, &spurious);
	uint8_t vector = (uint8_t)(m->base | level);

	if (!spurious && level == CASCADE_LVL && !(m->icw1 & ICW1_SINGLE) &&
		(m->icw3 & 1u << CASCADE_LVL)) {
		level = pic_ack(sl, false, &slave_spurious);
		vector = (uint8_t)(sl->base | level);
		level += 8;
		pic_drop_slave_int(s);
	}
	trace(&tp_ack, "irq %u vector %#x%s", level, vector,
		spurious || slave_spurious ? " spurious" : "");
	pic_update(s);
	return vector;
}

static void pic_write_icw1(struct pic *p, uint8_t val)
{
	p->icw1 = val;
	p->imr = 0;
	p->isr = 0;
	p->irr = p->pins & p->elcr;
	p->lowest = 7;
	p->special_mask = 0;
	p->read_isr = 0;
	p->poll = 0;
	p->rotate = 0;
	if (!(val & ICW1_IC4))
		p->icw4 = 0;
	p->expect = EXPECT_ICW2;
}

static void pic_write_ocw2(struct pic *p, uint8_t val)
{
	uint8_t level = val & 7;
	uint8_t in_service = p->isr;
	int cur;

	/* In special mask mode a non-specific EOI does not see masked levels. */
	if (p->special_mask)
		in_service &= ~p->imr;
	cur = pic_highest(p, in_service);
	switch (val >> 5) { /* R SL EOI */
	case 0: p->rotate = 0; break;
	case 1: /* non-specific EOI */
	case 5: /* ... with rotation */
		if (cur < 0)
			break;
		p->isr &= ~(1u << cur);
		if (val & 0x80)
			p->lowest = (uint8_t)cur;
		break;
	case 2: break;
	case 3: p->isr &= ~(1u << level); break;
	case 4: p->rotate = 1; break;
	case 6: p->lowest = level; break;
	case 7:
		p->isr &= ~(1u << level);
		p->lowest = level;
		break;
	}
}

static void pic_write_ocw3(struct pic *p, uint8_t val)
{
	if (val & 0x40)
		p->special_mask = !!(val & 0x20);
	if (val & OCW3_POLL)
		p->poll = 1;
	else if (val & 2)
		p->read_isr = val & 1;
}

/* A write to the odd port: the next ICW of a sequence, else OCW1. */
static void pic_write_data(struct pic *p, uint8_t val)
{
	switch (p->expect) {
	case EXPECT_ICW2:
		p->base = val & 0xf8;
		if (!(p->icw1 & ICW1_SINGLE))
			p->expect = EXPECT_ICW3;
		else
			p->expect = p->icw1 & ICW1_IC4 ? EXPECT_ICW4 : EXPECT_OCW1;
		break;
	case EXPECT_ICW3:
		p->icw3 = val;
		p->expect = p->icw1 & ICW1_IC4 ? EXPECT_ICW4 : EXPECT_OCW1;
		break;
	case EXPECT_ICW4:
		p->icw4 = val;
		p->expect = EXPECT_OCW1;
		break;
	default: p->imr = val;
	}
}

static void pic_write(struct i8259 *s, int n, uint64_t addr, uint8_t val)
{
	struct pic *p = &s->chip[n];

	if (addr & 1)
		pic_write_data(p, val);
	else if (val & ICW1_INIT)
		pic_write_icw1(p, val);
	else if (val & OCW3_SELECT)
		pic_write_ocw3(p, val);
	else
		pic_write_ocw2(p, val);
	pic_update(s);
}

static uint8_t pic_read_poll(struct i8259 *s, int n)
{
	bool spurious;
	unsigned level = pic_ack(&s->chip[n], n == 0, &spurious);

	s->chip[n].poll = 0;
	if (n == 1)
		pic_drop_slave_int(s);
	pic_update(s);
	return spurious ? 0 : (uint8_t)(0x80 | level);
}

static uint8_t pic_read(struct i8259 *s, int n, uint64_t addr)
{
	const struct pic *p = &s->chip[n];

	if (p->poll)
		return pic_read_poll(s, n);
	if (addr & 1)
		return p->imr;
	return p->read_isr ? p->isr : p->irr;
}

static uint64_t master_read(struct device *dev, uint64_t addr, unsigned size)
{
	return pic_read((struct i8259 *)dev, 0, addr);
}

static void master_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	pic_write((struct i8259 *)dev, 0, addr, (uint8_t)val);
}

static uint64_t slave_read(struct device *dev, uint64_t addr, unsigned size)
{
	return pic_read((struct i8259 *)dev, 1, addr);
}

static void slave_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	pic_write((struct i8259 *)dev, 1, addr, (uint8_t)val);
}

static uint64_t elcr_read(struct device *dev, uint64_t addr, unsigned size)
{
	return ((struct i8259 *)dev)->chip[addr & 1].elcr;
}

static void elcr_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct i8259 *s = (struct i8259 *)dev;
	struct pic *p = &s->chip[addr & 1];

	p->elcr = (uint8_t)val & (addr & 1 ? ELCR_SLAVE : ELCR_MASTER);
	p->irr |= p->pins & p->elcr;
	pic_update(s);
}

static const struct io_ops master_ops = { master_read, master_write, .max_size = 1 };
static const struct io_ops slave_ops = { slave_read, slave_write, .max_size = 1 };
static const struct io_ops elcr_ops = { elcr_read, elcr_write, .max_size = 1 };

static int pic_realize(struct device *dev, struct error *err)
{
	struct i8259 *s = (struct i8259 *)dev;
	int rc;

	rc = io_map(dev, 0x20, 2, &master_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0xa0, 2, &slave_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0x4d0, 2, &elcr_ops, err);
	if (rc < 0)
		return rc;
	line_export(dev, "irq", pic_set_irq, 16);
	line_output(dev, "intr", &s->intr, 1);
	return 0;
}

/*
 * The sheet leaves power-on open until ICW1. Inputs are other chips' outputs,
 * so their levels outlive a reset; vectors and masks are zero.
 */
static void pic_reset(struct device *dev)
{
	struct i8259 *s = (struct i8259 *)dev;
	int i;

	for (i = 0; i < 2; i++) {
		s->chip[i] = (struct pic){ .pins = s->chip[i].pins };
		s->chip[i].lowest = 7;
	}
	line_set(&s->intr, 0);
	pic_update(s);
}

static void pic_loaded(struct device *dev)
{
	struct i8259 *s = (struct i8259 *)dev;

	line_set(&s->intr, s->chip[0].int_out);
}

#define X0(n) FIELD(struct i8259, chip[0].n),
#define X1(n) FIELD(struct i8259, chip[1].n),
static const struct field pic_fields[] = { PIC_STATE(X0) PIC_STATE(X1) FIELD_END };

const struct device_class i8259_pic_class = {
	.name = "i8259",
	.desc = "pair of 8259A interrupt controllers",
	.instance_size = sizeof(struct i8259),
	.fields = pic_fields,
	.realize = pic_realize,
	.reset = pic_reset,
	.loaded = pic_loaded,
	.intack = pic_intack,
};
