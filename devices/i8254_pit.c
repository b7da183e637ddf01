/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8254 programmable interval timer and system control port B (61h).
 * Intel 8254 data sheet (231164-005); port 61h as in the 82371AB (PIIX4) data
 * sheet, section 4.2.7.1 (NMI status and control).
 *
 * Outputs "irq"(1): OUT of counter 0. Counters 0 and 1 have their gates tied
 * high, counter 2's gate is port 61h bit 0.
 *
 * The counters run at 1193182 Hz. Time is counted in ticks, tick =
 * floor(ns * 1193182 / 10^9), so nothing drifts; counts are computed from the
 * tick at which the counting element was loaded, when somebody looks. Only
 * counter 0 has a timer, and only while an edge of its OUT lies ahead.
 *
 * What the sheet leaves open is defined so:
 *  - After a machine reset the counters are as a PC's firmware leaves them:
 *    mode 3, count 65536, gate 2 low.
 *  - A count of 1 is illegal in modes 2 and 3: it counts as 2.
 *  - BCD digits above 9 count for their value (0x1A is 20).
 *  - While no count has been written, reads give the last value of the counting
 *    element.
 *  - A count that is read in the clock between its write and its load is the new
 *    one. No program has seen the old one on a PC, where each access to the chip
 *    takes longer than a clock (838 ns); here an instruction may take 1 ns. Linux's
 *    quick_pit_calibrate() relies on it. OUT and the null count bit keep to the
 *    sheet.
 *  - A read of port 43h gives all ones.
 *  - The one-clock low pulse of modes 2 and 4 reaches the "irq" line when it
 *    ends, as a low and a high level: the PIC looks at the rising edge only.
 *  - Port 61h bit 4 (refresh request) toggles every 18 ticks (15.09 us), whatever
 *    counter 1 is programmed to. Bits 6 and 7 (parity, channel check) are 0.
 */
#include "device.h"

#define PIT_HZ	      UINT64_C(1193182)
#define REFRESH_TICKS 18
#define TICK_NEVER    UINT64_MAX

/* Access modes of the control word. */
enum { RW_LATCH, RW_LSB, RW_MSB, RW_BOTH };

#define P61_GATE2   0x01
#define P61_WRITE   0x0f
#define P61_REFRESH 0x10
#define P61_OUT2    0x20

#define CHAN_STATE(X)                                                                      \
	X(uint64_t, start)     /* tick at which the counting element held n */             \
	X(uint64_t, frozen_e)  /* ticks counted when the gate stopped us */                \
	X(uint64_t, switch_at) /* modes 2, 3: tick at which a pending count is loaded */   \
	X(uint32_t, n)	       /* count in use, 0: none loaded */                          \
	X(uint32_t, cr)	       /* count register, 0: not written since the control word */ \
	X(uint16_t, ce_hold)   /* what reads see until a count is written */               \
	X(uint16_t, latch)                                                                 \
	X(uint8_t, mode)                                                                   \
	X(uint8_t, bcd)                                                                    \
	X(uint8_t, rw)                                                                     \
	X(uint8_t, gate)                                                                   \
	X(uint8_t, pending)	 /* cr waits for the end of a cycle or for a trigger */    \
	X(uint8_t, stalled)	 /* mode 0: the first of two bytes was written */          \
	X(uint8_t, out_hold)	 /* mode 1: OUT until tick start */                        \
	X(uint8_t, write_msb)	 /* the next byte written is the second of two */          \
	X(uint8_t, write_low)	 /* the first of two */                                    \
	X(uint8_t, read_msb)	 /* the next byte read is the second of two */             \
	X(uint8_t, latched)	 /* bytes of latch that wait to be read */                 \
	X(uint8_t, status_ready) /* status waits to be read */                             \
	X(uint8_t, status)

struct pit_chan {
#define X(type, member) type member;
	CHAN_STATE(X)
#undef X
};

struct i8254 {
	struct device dev;
	struct pit_chan chan[3];
	uint8_t port61;
	uint64_t edge;	    /* tick for which the timer is armed */
	struct timer timer; /* the next edge of counter 0's OUT */
	struct line irq;
};

static uint64_t tick_now(const struct i8254 *s)
{
	return muldiv64(vclock_ns(&s->dev), PIT_HZ, NS_PER_S);
}

/* The first ns that belongs to a tick. */
static uint64_t tick_ns(uint64_t tick)
{
	return (uint64_t)(((unsigned __int128)tick * NS_PER_S + PIT_HZ - 1) / PIT_HZ);
}

/* ---- the counting element ---- */

static bool chan_counts(const struct pit_chan *c)
{
	if (c->mode == 1 || c->mode == 5)
		return true;
	return c->gate && !c->stalled;
}

/* Ticks since the load; negative until it has happened. */
static int64_t chan_elapsed(const struct pit_chan *c, uint64_t t)
{
	return (int64_t)(chan_counts(c) ? t - c->start : c->frozen_e);
}

/* Ticks of the high part of a mode 3 cycle of n ticks. */
static uint32_t mode3_high(uint32_t n)
{
	return (n + 1) / 2;
}

/* Loads what came due and moves start to the present cycle, so that nothing below sees a long time.
 */
static void chan_sync(struct pit_chan *c, uint64_t t)
{
	uint32_t high;

	if ((c->mode != 2 && c->mode != 3) || c->n == 0 || !c->gate || (int64_t)(t - c->start) < 0)
		return;
	if (c->pending && (int64_t)(t - c->switch_at) >= 0) {
		high = mode3_high(c->n);
		if (c->mode == 3 && c->switch_at - c->start == high)
			c->start = c->switch_at - mode3_high(c->cr); /* the low part comes next */
		else
			c->start = c->switch_at;
		c->n = c->cr;
		c->pending = 0;
	}
	c->start += (t - c->start) / c->n * c->n;
}

static uint32_t mode3_value(const struct pit_chan *c, uint32_t e)
{
	uint32_t high = mode3_high(c->n);

	if (e >= high)
		e -= high;
	/* Odd counts: n - 1 is loaded, and the high part counts down to 0. */
	return (c->n & ~1u) - 2 * e;
}

/* The counting element as a reader sees it, 16 bits. */
static uint16_t chan_count(const struct pit_chan *c, uint64_t t)
{
	uint32_t wrap = c->bcd ? 10000 : 65536, v;
	int64_t e = chan_elapsed(c, t);

	if (c->n == 0)
		return c->ce_hold;
	if (e < 0)
		e = 0;
	switch (c->mode) {
	case 2: v = c->n - (uint32_t)(e % c->n); break;
	case 3: v = mode3_value(c, (uint32_t)(e % c->n)); break;
	default: v = c->n % wrap + wrap - (uint32_t)(e % wrap);
	}
	v %= wrap;
	if (c->bcd)
		v = v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
	return (uint16_t)v;
}

static int chan_out(const struct pit_chan *c, uint64_t t)
{
	int64_t e = chan_elapsed(c, t);

	if (c->n == 0 || c->stalled)
		return c->mode != 0;
	switch (c->mode) {
	case 0: return e >= (int64_t)c->n;
	case 1: return e < 0 ? c->out_hold : e >= (int64_t)c->n;
	case 2: return !c->gate || e < 0 || e % c->n != c->n - 1;
	case 3: return !c->gate || e < 0 || e % c->n < mode3_high(c->n);
	default: return e != (int64_t)c->n;
	}
}

/* The count register goes to the counting element with the next clock. */
static void chan_load(struct pit_chan *c, uint64_t t)
{
	c->out_hold = (uint8_t)chan_out(c, t);
	c->n = c->cr;
	c->start = t + 1;
	c->frozen_e = 0;
	c->pending = 0;
	c->stalled = 0;
}

/* The tick of the next edge of OUT that the "irq" line shall see; gate is high. */
static uint64_t chan_next_edge(const struct pit_chan *c, uint64_t t)
{
	int64_t e = chan_elapsed(c, t);
	uint32_t high;

	if (c->n == 0 || c->stalled)
		return TICK_NEVER;
	switch (c->mode) {
	case 0: return e < (int64_t)c->n ? c->start + c->n : TICK_NEVER;
	case 2: return c->start + (e < 0 ? 1 : e / c->n + 1) * c->n;
	case 3:
		high = mode3_high(c->n);
		if (e < 0)
			return c->start + high;
		return c->start + e / c->n * c->n + (e % c->n < high ? high : c->n);
	case 4: return e <= (int64_t)c->n ? c->start + c->n + 1 : TICK_NEVER;
	default: return TICK_NEVER; /* the gate of counter 0 never rises */
	}
}

/* ---- counter 0's line ---- */

static void pit_arm(struct i8254 *s)
{
	uint64_t t = tick_now(s);

	chan_sync(&s->chan[0], t);
	s->edge = chan_next_edge(&s->chan[0], t);
	if (s->edge == TICK_NEVER)
		timer_cancel(&s->timer);
	else
		timer_arm(&s->timer, tick_ns(s->edge));
}

/* The level that the line shows: modes 2, 4 and 5 pulse it at the end of the low clock instead. */
static void pit_drive(struct i8254 *s)
{
	const struct pit_chan *c = &s->chan[0];

	line_set(&s->irq, c->mode == 0 || c->mode == 3 ? chan_out(c, tick_now(s)) : 1);
}

static void pit_fire(struct device *dev)
{
	struct i8254 *s = (struct i8254 *)dev;
	struct pit_chan *c = &s->chan[0];
	uint64_t edge = s->edge;

	/* This may come late, by whole cycles even: a rise that lies behind us must still be one.
	 */
	chan_sync(c, edge);
	line_set(&s->irq, 0);
	if (c->mode != 3 || chan_out(c, edge) || chan_next_edge(c, edge) <= tick_now(s))
		line_set(&s->irq, 1);
	chan_sync(c, tick_now(s));
	pit_drive(s);
	pit_arm(s);
}

/* An edge that lies before this access, but whose timer has not run yet, comes first. */
static void pit_catch_up(struct i8254 *s)
{
	if (s->timer.deadline_ns <= vclock_ns(&s->dev))
		pit_fire(&s->dev);
}

/* ---- programming ---- */

static uint32_t count_decode(const struct pit_chan *c, uint16_t raw)
{
	uint32_t v = raw;

	if (c->bcd) {
		v = (raw >> 12) * 1000u + (raw >> 8 & 15) * 100u + (raw >> 4 & 15) * 10u +
		    (raw & 15);
		if (v == 0)
			v = 10000;
	} else if (v == 0) {
		v = 65536;
	}
	if (v == 1 && (c->mode == 2 || c->mode == 3))
		v = 2;
	return v;
}

static void chan_new_count(struct pit_chan *c, uint64_t t, uint16_t raw)
{
	uint32_t high;

	chan_sync(c, t);
	c->cr = count_decode(c, raw);
	if (c->mode == 0 || c->mode == 4) {
		chan_load(c, t);
	} else if (c->mode == 1 || c->mode == 5) {
		c->pending = 1; /* until the trigger */
	} else if (c->n == 0) {
		chan_load(c, t);
	} else if (c->gate && (int64_t)(t - c->start) < 0) {
		c->n = c->cr; /* the clock that loads has not come yet */
	} else {
		/* At the end of the cycle, in mode 3 of the half-cycle; or by a trigger. */
		high = mode3_high(c->n);
		c->pending = 1;
		c->switch_at = c->start + c->n;
		if (c->mode == 3 && t - c->start < high)
			c->switch_at = c->start + high;
	}
}

static void chan_gate(struct pit_chan *c, uint64_t t, int level)
{
	int64_t e;

	chan_sync(c, t);
	if (level == c->gate)
		return;
	e = chan_elapsed(c, t);
	if (c->mode == 1 || c->mode == 5) {
		c->gate = (uint8_t)level;
		if (level && c->cr)
			chan_load(c, t);
	} else if (!level) {
		c->frozen_e = e < 0 ? 0 : (uint64_t)e;
		c->gate = 0;
	} else if (c->mode == 0 || c->mode == 4) {
		c->gate = 1;
		c->start = t - c->frozen_e;
	} else {
		if (c->cr)
			chan_load(c, t);
		c->gate = 1;
	}
}

static void chan_control(struct pit_chan *c, uint64_t t, uint8_t val)
{
	uint8_t mode = val >> 1 & 7;
	uint16_t hold;

	chan_sync(c, t);
	hold = chan_count(c, t);
	*c = (struct pit_chan){ .gate = c->gate, .ce_hold = hold };
	c->mode = mode > 5 ? mode & 3 : mode;
	c->bcd = val & 1;
	c->rw = val >> 4 & 3;
}

static void chan_latch_count(struct pit_chan *c, uint64_t t)
{
	if (c->latched)
		return; /* held until it is read */
	chan_sync(c, t);
	c->latch = chan_count(c, t);
	c->latched = c->rw == RW_BOTH ? 2 : 1;
	c->read_msb = 0;
}

static void chan_latch_status(struct pit_chan *c, uint64_t t)
{
	bool null_count;

	if (c->status_ready)
		return;
	chan_sync(c, t);
	null_count = c->n == 0 || c->pending || chan_elapsed(c, t) < 0;
	c->status = (uint8_t)(chan_out(c, t) << 7 | null_count << 6 | c->rw << 4 | c->mode << 1 |
			      c->bcd);
	c->status_ready = 1;
}

static uint8_t chan_read(struct pit_chan *c, uint64_t t)
{
	uint16_t v;

	if (c->status_ready) {
		c->status_ready = 0;
		return c->status;
	}
	if (c->latched) {
		c->latched--;
		if (c->rw == RW_MSB || (c->rw == RW_BOTH && c->latched == 0))
			return c->latch >> 8;
		return (uint8_t)c->latch;
	}
	chan_sync(c, t);
	v = chan_count(c, t);
	if (c->rw == RW_MSB)
		return v >> 8;
	if (c->rw == RW_BOTH) {
		c->read_msb ^= 1;
		if (!c->read_msb)
			return v >> 8;
	}
	return (uint8_t)v;
}

static void chan_write(struct pit_chan *c, uint64_t t, uint8_t val)
{
	int64_t e;

	if (c->rw == RW_LSB) {
		chan_new_count(c, t, val);
	} else if (c->rw == RW_MSB) {
		chan_new_count(c, t, (uint16_t)(val << 8));
	} else if (!c->write_msb) {
		c->write_msb = 1;
		c->write_low = val;
		if (c->mode == 0 && !c->stalled) {
			/* The first byte stops the counter and sets OUT low. */
			e = chan_elapsed(c, t);
			c->frozen_e = e < 0 ? 0 : (uint64_t)e;
			c->stalled = 1;
		}
	} else {
		c->write_msb = 0;
		chan_new_count(c, t, (uint16_t)(val << 8 | c->write_low));
	}
}

static void pit_write_control(struct i8254 *s, uint8_t val)
{
	uint64_t t = tick_now(s);
	unsigned i, n = val >> 6;

	if (n == 3) { /* read-back */
		for (i = 0; i < 3; i++) {
			if (!(val & 2u << i))
				continue;
			if (!(val & 0x20))
				chan_latch_count(&s->chan[i], t);
			if (!(val & 0x10))
				chan_latch_status(&s->chan[i], t);
		}
	} else if ((val >> 4 & 3) == RW_LATCH) {
		chan_latch_count(&s->chan[n], t);
	} else {
		chan_control(&s->chan[n], t, val);
	}
}

static uint64_t pit_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct i8254 *s = (struct i8254 *)dev;

	pit_catch_up(s);
	return addr == 3 ? 0xff : chan_read(&s->chan[addr & 3], tick_now(s));
}

static void pit_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct i8254 *s = (struct i8254 *)dev;

	pit_catch_up(s);
	if (addr == 3)
		pit_write_control(s, (uint8_t)val);
	else
		chan_write(&s->chan[addr & 3], tick_now(s), (uint8_t)val);
	pit_drive(s);
	pit_arm(s);
}

static uint64_t port61_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct i8254 *s = (struct i8254 *)dev;
	uint64_t t = tick_now(s);
	uint8_t v = s->port61;

	chan_sync(&s->chan[2], t);
	if (t / REFRESH_TICKS & 1)
		v |= P61_REFRESH;
	if (chan_out(&s->chan[2], t))
		v |= P61_OUT2;
	return v;
}

static void port61_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct i8254 *s = (struct i8254 *)dev;

	s->port61 = (uint8_t)val & P61_WRITE;
	chan_gate(&s->chan[2], tick_now(s), s->port61 & P61_GATE2);
}

static const struct io_ops pit_ops = { pit_read, pit_write, .max_size = 1 };
static const struct io_ops port61_ops = { port61_read, port61_write, .max_size = 1 };

static int pit_realize(struct device *dev, struct error *err)
{
	struct i8254 *s = (struct i8254 *)dev;
	int rc;

	rc = io_map(dev, 0x40, 4, &pit_ops, err);
	if (rc == 0)
		rc = io_map(dev, 0x61, 1, &port61_ops, err);
	if (rc < 0)
		return rc;
	timer_init(dev, &s->timer, pit_fire);
	line_output(dev, "irq", &s->irq, 1);
	return 0;
}

static void pit_reset(struct device *dev)
{
	struct i8254 *s = (struct i8254 *)dev;
	uint64_t t = tick_now(s);
	int i;

	s->port61 = 0;
	for (i = 0; i < 3; i++) {
		s->chan[i] = (struct pit_chan){ .gate = i != 2, .mode = 3, .rw = RW_BOTH };
		chan_new_count(&s->chan[i], t, 0);
	}
	pit_drive(s);
	pit_arm(s);
}

#define X0(type, member) FIELD(struct i8254, chan[0].member),
#define X1(type, member) FIELD(struct i8254, chan[1].member),
#define X2(type, member) FIELD(struct i8254, chan[2].member),
static const struct field pit_fields[] = {
	CHAN_STATE(X0) CHAN_STATE(X1) CHAN_STATE(X2) FIELD(struct i8254, port61),
	FIELD(struct i8254, edge),
	FIELD_TIMER(struct i8254, timer),
	FIELD_END,
};

const struct device_class i8254_class = {
	.name = "i8254",
	.desc = "8254 interval timer and port 61h",
	.instance_size = sizeof(struct i8254),
	.fields = pit_fields,
	.realize = pit_realize,
	.reset = pit_reset,
};
