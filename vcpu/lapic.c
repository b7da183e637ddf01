/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC of the one processor. SDM vol. 3, ch. 10 (figure and section numbers below).
 * Version 14h, six LVT entries, xAPIC register layout.
 *
 * The timer counts the bus clock, 1 GHz of virtual time, so that all its arithmetic is in whole ns.
 * It is kept as the virtual time at which it reaches zero; the count is computed when it is read.
 *
 * After RESET the hardware masks all LVT entries. Here LINT0 starts as ExtINT and LINT1 as NMI,
 * virtual wire mode, as firmware leaves them (SDM 10.4.7.1 and the MP specification, 3.6.2.2):
 * guests that start without firmware need the 8259.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "log.h"
#include "cpu_state.h"
#include "sys.h"

#define APIC_BASE_BSP	 0x100u
#define APIC_BASE_ENABLE 0x800u
#define APIC_BASE_RESET	 0xfee00000u

#define VERSION 0x00050014u /* 14h, highest LVT entry 5 */

/* Register offsets (table 10-1) */
enum lapic_reg {
	REG_ID = 0x020,
	REG_VERSION = 0x030,
	REG_TPR = 0x080,
	REG_APR = 0x090,
	REG_PPR = 0x0a0,
	REG_EOI = 0x0b0,
	REG_LDR = 0x0d0,
	REG_DFR = 0x0e0,
	REG_SVR = 0x0f0,
	REG_ISR = 0x100,
	REG_TMR = 0x180,
	REG_IRR = 0x200,
	REG_ESR = 0x280,
	REG_ICR_LOW = 0x300,
	REG_ICR_HIGH = 0x310,
	REG_LVT = 0x320,
	REG_INITIAL_COUNT = 0x380,
	REG_CURRENT_COUNT = 0x390,
	REG_DIVIDE = 0x3e0,
};

/* LVT entries, in their registers' order, with the bits that can be written (figure 10-8). */
#define LVT_ENTRIES(X)         \
	X(TIMER, 0x000300ff)   \
	X(THERMAL, 0x000107ff) \
	X(PERF, 0x000107ff)    \
	X(LINT0, 0x0001a7ff)   \
	X(LINT1, 0x0001a7ff)   \
	X(ERROR, 0x000100ff)

enum lvt {
#define X(name, mask) LVT_##name,
	LVT_ENTRIES(X)
#undef X
		LVT_COUNT
};

static const uint32_t lvt_mask[LVT_COUNT] = {
#define X(name, mask) [LVT_##name] = mask,
	LVT_ENTRIES(X)
#undef X
};

#define LVT_MASKED   0x00010000u
#define LVT_PERIODIC 0x00020000u

enum delivery {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_NMI = 4,
	DELIVER_INIT,
	DELIVER_STARTUP,
	DELIVER_EXTINT
};

#define SVR_ENABLE 0x100u
#define SVR_WRITE  0x3ffu

#define ESR_SEND_VECTOR	   0x20u
#define ESR_RECEIVE_VECTOR 0x40u
#define ESR_REGISTER	   0x80u

#define ICR_LOW_WRITE 0x000ccfffu
#define ICR_LOGICAL   0x800u
#define ICR_ASSERT    0x4000u
#define ICR_LEVEL     0x8000u

struct lapic {
	uint32_t id; /* 0-255 */
	uint32_t tpr, ldr, dfr, svr;
	uint32_t isr[8], tmr[8], irr[8];
	uint32_t esr, esr_new;
	uint32_t icr_low, icr_high;
	uint32_t lvt[LVT_COUNT];
	uint32_t initial_count, divide;
	bool timer_runs;
	uint64_t timer_zero_ns; /* virtual time at which the count reaches 0 */
};

/* ---- 256-bit registers ---- */

static void bit_set(uint32_t *r, unsigned n)
{
	r[n / 32] |= 1u << (n % 32);
}

static void bit_clear(uint32_t *r, unsigned n)
{
	r[n / 32] &= ~(1u << (n % 32));
}

static bool bit_test(const uint32_t *r, unsigned n)
{
	return r[n / 32] >> (n % 32) & 1;
}

static int bit_highest(const uint32_t *r)
{
	for (int i = 7; i >= 0; i--)
		if (r[i])
			return i * 32 + 31 - __builtin_clz(r[i]);
	return -1;
}

/* ---- life ---- */

struct lapic *lapic_new(struct cpu *cpu)
{
	(void)cpu;
	return calloc(1, sizeof(struct lapic));
}

void lapic_reset(struct cpu *cpu)
{
	struct lapic *l = cpu->lapic;

	memset(l, 0, sizeof(*l));
	l->dfr = UINT32_MAX;
	l->svr = 0xff;
	for (int i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	l->lvt[LVT_LINT0] = DELIVER_EXTINT << 8;
	l->lvt[LVT_LINT1] = DELIVER_NMI << 8;
	cpu->look = true;
}

bool lapic_enabled(const struct cpu *cpu)
{
	return cpu->apic_base & APIC_BASE_ENABLE;
}

/* ---- priorities (10.8.3) ---- */

static uint32_t processor_priority(const struct lapic *l)
{
	int isrv = bit_highest(l->isr);

	if (isrv < 0 || (l->tpr & 0xf0) >= ((uint32_t)isrv & 0xf0))
		return l->tpr;
	return (uint32_t)isrv & 0xf0;
}

int lapic_pending_vector(const struct cpu *cpu)
{
	const struct lapic *l = cpu->lapic;
	int vector = bit_highest(l->irr);

	if (vector < 0 || !(l->svr & SVR_ENABLE))
		return -1;
	return ((uint32_t)vector & 0xf0) > (processor_priority(l) & 0xf0) ? vector : -1;
}

int lapic_acknowledge(struct cpu *cpu)
{
	struct lapic *l = cpu->lapic;
	int vector = lapic_pending_vector(cpu);

	if (vector < 0)
		return (int)(l->svr & 0xff);
	bit_clear(l->irr, (unsigned)vector);
	bit_set(l->isr, (unsigned)vector);
	return vector;
}

bool lapic_accepts_pic(const struct cpu *cpu)
{
	uint32_t lint0 = cpu->lapic->lvt[LVT_LINT0];

	if (!lapic_enabled(cpu))
		return true;
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT;
}

/* ---- accepting interrupts (10.8.4) ---- */

static void lvt_deliver(struct cpu *cpu, enum lvt n);

static void report_error(struct cpu *cpu, uint32_t bit)
{
	struct lapic *l = cpu->lapic;

	l->esr_new |= bit;
	/* An error vector below 16 is an error itself, reported once. */
	if (bit != ESR_RECEIVE_VECTOR || (l->lvt[LVT_ERROR] & 0xff) >= 16)
		lvt_deliver(cpu, LVT_ERROR);
}

static void accept_fixed(struct cpu *cpu, uint8_t vector, bool level)
{
	struct lapic *l = cpu->lapic;

	if (vector < 16) {
		report_error(cpu, ESR_RECEIVE_VECTOR);
		return;
	}
	bit_set(l->irr, vector);
	if (level)
		bit_set(l->tmr, vector);
	else
		bit_clear(l->tmr, vector);
	cpu->look = true;
}

static void accept(struct cpu *cpu, unsigned mode, uint8_t vector, bool level)
{
	switch (mode) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST: accept_fixed(cpu, vector, level); break;
	case DELIVER_NMI:
		cpu->nmi_pending = true;
		cpu->look = true;
		break;
	case DELIVER_INIT:
		/* For the only processor an INIT is a reset. */
		cpu->reset_request = true;
		cpu->look = true;
		break;
	default: break; /* no SMM; STARTUP needs a processor that waits for it */
	}
}

static void lvt_deliver(struct cpu *cpu, enum lvt n)
{
	uint32_t e = cpu->lapic->lvt[n];

	if (!(e & LVT_MASKED))
		accept(cpu, n == LVT_TIMER || n == LVT_ERROR ? DELIVER_FIXED : e >> 8 & 7,
			(uint8_t)e, false);
}

void lapic_nmi_line(struct cpu *cpu)
{
	if (lapic_enabled(cpu))
		lvt_deliver(cpu, LVT_LINT1);
	else
		accept(cpu, DELIVER_NMI, 0, false);
}

/* Does a destination mean us? (10.6.2) */
static bool addressed(const struct lapic *l, uint8_t dest, bool logical)
{
	uint8_t mine = (uint8_t)(l->ldr >> 24);

	if (dest == 0xff)
		return true;
	if (!logical)
		return dest == l->id;
	if (l->dfr >> 28 == 15)
		return dest & mine;
	return l->dfr >> 28 == 0 && dest >> 4 == mine >> 4 && dest & mine & 15;
}

void lapic_message(struct cpu *cpu, const struct apic_msg *m)
{
	if (lapic_enabled(cpu) && addressed(cpu->lapic, m->dest, m->level_logical & 2))
		accept(cpu, m->delivery_mode & 7, m->vector, m->level_logical & 1);
}

static void write_eoi(struct cpu *cpu)
{
	struct lapic *l = cpu->lapic;
	int vector = bit_highest(l->isr);

	if (vector < 0)
		return;
	bit_clear(l->isr, (unsigned)vector);
	cpu->look = true;
	if (bit_test(l->tmr, (unsigned)vector))
		cpu->bus->eoi(cpu, (uint8_t)vector);
}

/* ---- interprocessor interrupts (10.6.1): all others are nobody ---- */

static void write_icr_low(struct cpu *cpu, uint32_t val)
{
	struct lapic *l = cpu->lapic;
	unsigned mode = val >> 8 & 7, shorthand = val >> 18 & 3;
	uint8_t dest = (uint8_t)(l->icr_high >> 24);
	bool to_me;

	l->icr_low = val & ICR_LOW_WRITE;
	switch (shorthand) {
	case 0: to_me = addressed(l, dest, val & ICR_LOGICAL); break;
	case 3: to_me = false; break; /* all but self */
	default: to_me = true; break;
	}
	if ((mode == DELIVER_FIXED || mode == DELIVER_LOWEST) && (val & 0xff) < 16) {
		report_error(cpu, ESR_SEND_VECTOR);
		return;
	}
	/* INIT level de-assert only synchronises arbitration IDs. */
	if (mode == DELIVER_INIT && val & ICR_LEVEL && !(val & ICR_ASSERT))
		return;
	/* Shorthands that include ourselves are for fixed interrupts only (table 10-3). */
	if (to_me && (shorthand == 0 || mode == DELIVER_FIXED))
		accept(cpu, mode, (uint8_t)val, false);
}

/* ---- timer (10.5.4) ---- */

static uint32_t timer_divisor(const struct lapic *l)
{
	unsigned n = (l->divide & 3) | (l->divide >> 1 & 4);

	return n == 7 ? 1 : 2u << n;
}

static uint64_t timer_period_ns(const struct lapic *l)
{
	return (uint64_t)l->initial_count * timer_divisor(l);
}

/* Lets the timer reach the present: fires if it has passed zero (once, however often it did). */
static void timer_advance(struct cpu *cpu)
{
	struct lapic *l = cpu->lapic;
	uint64_t now = cpu_vtime_ns(cpu);

	if (!l->timer_runs || l->timer_zero_ns > now)
		return;
	if (l->lvt[LVT_TIMER] & LVT_PERIODIC) {
		uint64_t period = timer_period_ns(l);

		l->timer_zero_ns += ((now - l->timer_zero_ns) / period + 1) * period;
	} else {
		l->timer_runs = false;
	}
	lvt_deliver(cpu, LVT_TIMER);
}

static uint32_t timer_count(const struct cpu *cpu)
{
	const struct lapic *l = cpu->lapic;
	uint64_t d = timer_divisor(l);

	if (!l->timer_runs)
		return 0;
	return (uint32_t)((l->timer_zero_ns - cpu_vtime_ns(cpu) + d - 1) / d);
}

static void timer_start(struct cpu *cpu, uint32_t count)
{
	struct lapic *l = cpu->lapic;

	l->timer_runs = count != 0;
	l->timer_zero_ns = cpu_vtime_ns(cpu) + (uint64_t)count * timer_divisor(l);
	cpu->look = true;
}

static void write_divide(struct cpu *cpu, uint32_t val)
{
	struct lapic *l = cpu->lapic;
	uint32_t count = timer_count(cpu);

	l->divide = val & 0xb;
	if (l->timer_runs)
		timer_start(cpu, count);
}

uint64_t lapic_deadline_ns(const struct cpu *cpu)
{
	const struct lapic *l = cpu->lapic;

	if (!l->timer_runs || l->lvt[LVT_TIMER] & LVT_MASKED || !lapic_enabled(cpu))
		return BUS_NEVER;
	return l->timer_zero_ns;
}

uint64_t lapic_deadline_icount(const struct cpu *cpu)
{
	uint64_t ns = lapic_deadline_ns(cpu), step = UINT64_C(1) << cpu->shift;

	if (ns == BUS_NEVER)
		return BUS_NEVER;
	if (ns <= cpu_vtime_ns(cpu))
		return cpu->icount;
	return (ns - cpu->warp_ns + step - 1) >> cpu->shift;
}

void lapic_run_timer(struct cpu *cpu)
{
	if (lapic_enabled(cpu))
		timer_advance(cpu);
}

/* ---- registers (10.4.1) ---- */

static void write_svr(struct cpu *cpu, uint32_t val)
{
	struct lapic *l = cpu->lapic;

	l->svr = val & SVR_WRITE;
	if (!(val & SVR_ENABLE))
		for (int i = 0; i < LVT_COUNT; i++)
			l->lvt[i] |= LVT_MASKED;
	cpu->look = true;
}

static void write_lvt(struct cpu *cpu, unsigned n, uint32_t val)
{
	struct lapic *l = cpu->lapic;

	l->lvt[n] = val & lvt_mask[n];
	/* Software-disabled: all stay masked (10.4.7.2). */
	if (!(l->svr & SVR_ENABLE))
		l->lvt[n] |= LVT_MASKED;
	cpu->look = true;
}

uint32_t lapic_read(struct cpu *cpu, uint32_t off)
{
	struct lapic *l = cpu->lapic;

	if (off & 15)
		return 0;
	timer_advance(cpu);
	switch (off) {
	case REG_ID: return l->id << 24;
	case REG_VERSION: return VERSION;
	case REG_TPR: return l->tpr;
	case REG_APR:
	case REG_PPR: return processor_priority(l);
	case REG_EOI: return 0;
	case REG_LDR: return l->ldr;
	case REG_DFR: return l->dfr;
	case REG_SVR: return l->svr;
	case REG_ISR ... REG_ISR + 0x70: return l->isr[(off - REG_ISR) / 16];
	case REG_TMR ... REG_TMR + 0x70: return l->tmr[(off - REG_TMR) / 16];
	case REG_IRR ... REG_IRR + 0x70: return l->irr[(off - REG_IRR) / 16];
	case REG_ESR: return l->esr;
	case REG_ICR_LOW: return l->icr_low;
	case REG_ICR_HIGH: return l->icr_high;
	case REG_LVT ... REG_LVT + 0x50: return l->lvt[(off - REG_LVT) / 16];
	case REG_INITIAL_COUNT: return l->initial_count;
	case REG_CURRENT_COUNT: return timer_count(cpu);
	case REG_DIVIDE: return l->divide;
	default: report_error(cpu, ESR_REGISTER); return 0;
	}
}

void lapic_write(struct cpu *cpu, uint32_t off, uint32_t val)
{
	struct lapic *l = cpu->lapic;

	if (off & 15)
		return;
	timer_advance(cpu);
	switch (off) {
	case REG_ID: l->id = val >> 24; break;
	case REG_TPR:
		l->tpr = val & 0xff;
		cpu->look = true;
		break;
	case REG_EOI: write_eoi(cpu); break;
	case REG_LDR: l->ldr = val & 0xff000000; break;
	case REG_DFR: l->dfr = val | 0x0fffffff; break;
	case REG_SVR: write_svr(cpu, val); break;
	case REG_ESR:
		l->esr = l->esr_new;
		l->esr_new = 0;
		break;
	case REG_ICR_LOW: write_icr_low(cpu, val); break;
	case REG_ICR_HIGH: l->icr_high = val & 0xff000000; break;
	case REG_LVT ... REG_LVT + 0x50: write_lvt(cpu, (off - REG_LVT) / 16, val); break;
	case REG_INITIAL_COUNT:
		l->initial_count = val;
		timer_start(cpu, val);
		break;
	case REG_DIVIDE: write_divide(cpu, val); break;
	case REG_VERSION:
	case REG_APR:
	case REG_PPR:
	case REG_ISR ... REG_ISR + 0x70:
	case REG_TMR ... REG_TMR + 0x70:
	case REG_IRR ... REG_IRR + 0x70:
	case REG_CURRENT_COUNT: break; /* read-only */
	default: report_error(cpu, ESR_REGISTER); break;
	}
}

uint64_t lapic_digest(const struct cpu *cpu)
{
	const struct lapic *l = cpu->lapic;
	const uint32_t v[] = { l->id, l->tpr, l->ldr, l->dfr, l->svr, l->esr, l->esr_new,
		l->icr_low, l->icr_high, l->initial_count, l->divide, l->timer_runs };
	uint64_t h = hash64(0, &l->timer_zero_ns, 0);

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		h = hash_mix_(h ^ v[i]) + HASH_K0;
	for (int i = 0; i < 8; i++)
		h = hash_mix_(h ^ ((uint64_t)l->irr[i] << 32 | l->isr[i])) + (HASH_K0 ^ l->tmr[i]);
	for (int i = 0; i < LVT_COUNT; i++)
		h = hash_mix_(h ^ l->lvt[i]) + HASH_K0;
	return hash_mix_(h ^ l->timer_zero_ns);
}

/* ---- snapshots ---- */

const struct field lapic_fields[] = {
	FIELD_MAX(struct lapic, id, 255),
	FIELD_MAX(struct lapic, tpr, 255),
	FIELD(struct lapic, ldr),
	FIELD(struct lapic, dfr),
	FIELD_MAX(struct lapic, svr, SVR_WRITE),
	FIELD_ARRAY(struct lapic, isr),
	FIELD_ARRAY(struct lapic, tmr),
	FIELD_ARRAY(struct lapic, irr),
	FIELD(struct lapic, esr),
	FIELD(struct lapic, esr_new),
	FIELD(struct lapic, icr_low),
	FIELD(struct lapic, icr_high),
	FIELD_ARRAY(struct lapic, lvt),
	FIELD(struct lapic, initial_count),
	FIELD_MAX(struct lapic, divide, 11),
	FIELD_BOOL(struct lapic, timer_runs),
	FIELD(struct lapic, timer_zero_ns),
	FIELD_END,
};

int lapic_state_check(const Dejavm__StateGroup *g, struct error *err)
{
	struct lapic l;

	if (fields_load(lapic_fields, &l, g, err) < 0)
		return -EINVAL;
	/* Its period divides. */
	if (l.timer_runs && !l.initial_count)
		return error_set(err, EINVAL, "vcpu, lapic: the timer runs with a count of 0");
	return 0;
}
