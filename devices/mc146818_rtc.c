/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818A real-time clock and CMOS RAM, ports 70h and 71h.
 * Motorola MC146818A data sheet (ADI856R2); the PC's use of the RAM as in the IBM
 * PC/AT technical reference and as firmware expects it.
 *
 * Outputs "irq"(1): IRQ (1: asserted); "nmi-mask"(1): port 70h bit 7, 1 disables NMI.
 *
 * Properties: boot-order, nibbles from the lowest: first, second, third boot
 * device (1 floppy, 2 disk, 3 CD-ROM, 4 network); boot-once, the same for the time
 * from power-on to the first reset (0: as boot-order).
 *
 * The time is never counted: base_s is the calendar's second that began at virtual
 * time base_ns, and registers and flags are computed when somebody looks. There is
 * a timer only for an interrupt that is enabled and not yet pending.
 *
 * What the sheet leaves open is defined so:
 *  - The time base is 32.768 kHz. Divider settings 0 to 2 run, 3 to 7 hold the clock;
 *    when the divider is released the first update follows after 500 ms.
 *  - An update cycle takes the 1984 us before the second changes, UIP is set 244 us
 *    before that. Reads during the cycle give the old time.
 *  - A write to a time register without SET takes effect at once; the second goes on.
 *  - Times that do not exist (61 s, 31 February) are carried over when the clock runs.
 *  - Register 32h is the century and is kept up to date. SQW is not connected.
 *  - A machine reset is the chip's RESET pin: time and RAM go on.
 *  - Reads of port 70h give all ones.
 */
#include "cmos.h"
#include "log.h"

#define UIP_NS	   UINT64_C(2228000) /* 244 us + 1984 us */
#define HALF_S_NS  (NS_PER_S / 2)
#define XTAL_HZ	   32768
#define DAY_S	   86400
#define CMOS_LEN   128
#define FIRST_FREE 0x10 /* of what is plain memory */
#define EPOCH_WDAY 4	/* 1970-01-01 was a Thursday; 0 is Sunday */

enum {
	REG_SEC,
	REG_SEC_ALARM,
	REG_MIN,
	REG_MIN_ALARM,
	REG_HOUR,
	REG_HOUR_ALARM,
	REG_WDAY,
	REG_MDAY,
	REG_MONTH,
	REG_YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	REG_CENTURY = 0x32,
};

#define A_UIP	0x80
#define A_RATE	0x0f
#define B_SET	0x80
#define B_PIE	0x40
#define B_AIE	0x20
#define B_UIE	0x10
#define B_SQWE	0x08
#define B_DM	0x04 /* binary, else BCD */
#define B_24H	0x02
#define C_IRQF	0x80
#define C_PF	0x40 /* the flags lie where register B has their enables */
#define C_AF	0x20
#define C_UF	0x10
#define D_VRT	0x80
#define HOUR_PM 0x80

enum { POWERED_ONCE = 1, POWERED_AGAIN };

struct rtc {
	struct device dev;
	uint32_t boot_order, boot_once;
	/* set by cmos_preset() before power-on */
	uint8_t preset[CMOS_LEN], is_preset[CMOS_LEN];
	struct line irq;
	struct line nmi_mask;
	struct timer timer;
	uint64_t base_s;   /* signed: seconds since 1970 in the clock's calendar at base_ns */
	uint64_t base_ns;  /* when that second began */
	uint64_t phase_ns; /* origin of the divider chain; may lie before 0 */
	uint64_t sync_ns;  /* flags are evaluated up to here */
	uint8_t cmos[CMOS_LEN];
	uint8_t index;	  /* port 70h with the NMI bit */
	uint8_t wday_off; /* days that the day-of-week register is ahead of the calendar */
	uint8_t powered;  /* 0: not yet, 1: no reset since, 2 */
};

/* ---- the calendar: proleptic Gregorian, no leap seconds ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of the first day of a month (1..12). */
static int64_t days_of_month_start(int64_t year, int month)
{
	/* Years that begin in March, so that the leap day is the last. */
	int64_t y = month > 2 ? year : year - 1;
	int m = month > 2 ? month - 3 : month + 9;
	int64_t days = 365 * y + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400);

	return days + (153 * m + 2) / 5 - 719468; /* 0000-03-01 to 1970-01-01 */
}

static void date_of_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_mday)
{
	int64_t d = days + 719468, era = floor_div(d, 146097), doe = d - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int m = (int)(5 * doy + 2) / 153;

	*ret_mday = (int)doy - (153 * m + 2) / 5 + 1;
	*ret_month = m < 10 ? m + 3 : m - 9;
	*ret_year = era * 400 + yoe + (m >= 10);
}

/* ---- registers' formats ---- */

static uint8_t reg_encode(const struct rtc *s, unsigned v)
{
	v %= 100;
	return (uint8_t)(s->cmos[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static unsigned reg_decode(const struct rtc *s, uint8_t v)
{
	return s->cmos[REG_B] & B_DM ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t hour_encode(const struct rtc *s, unsigned hour)
{
	if (s->cmos[REG_B] & B_24H)
		return reg_encode(s, hour);
	return reg_encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned hour_decode(const struct rtc *s, uint8_t v)
{
	unsigned h;

	if (s->cmos[REG_B] & B_24H)
		return reg_decode(s, v);
	h = reg_decode(s, v & ~HOUR_PM);
	return (h == 12 ? 0 : h) + (v & HOUR_PM ? 12 : 0);
}

/* ---- the clock ---- */

static bool divider_runs(const struct rtc *s)
{
	return (s->cmos[REG_A] >> 4 & 7) <= 2;
}

static bool clock_runs(const struct rtc *s)
{
	return divider_runs(s) && !(s->cmos[REG_B] & B_SET);
}

static uint64_t xtal_ticks(const struct rtc *s, uint64_t ns)
{
	return muldiv64(ns - s->phase_ns, XTAL_HZ, NS_PER_S);
}

/* Crystal ticks between two periodic interrupts; 0: none. */
static uint32_t periodic_ticks(const struct rtc *s)
{
	unsigned rate = s->cmos[REG_A] & A_RATE;

	if (rate == 0 || !divider_runs(s))
		return 0;
	return rate < 3 ? UINT32_C(1) << (rate + 6) : UINT32_C(1) << (rate - 1);
}

/* Puts the time at second k after base into the registers. */
static void clock_store(struct rtc *s, uint64_t k)
{
	int64_t now_s = (int64_t)(s->base_s + k), days = floor_div(now_s, DAY_S), year;
	unsigned sod = (unsigned)(now_s - days * DAY_S);
	int month, mday;

	date_of_days(days, &year, &month, &mday);
	s->cmos[REG_SEC] = reg_encode(s, sod % 60);
	s->cmos[REG_MIN] = reg_encode(s, sod / 60 % 60);
	s->cmos[REG_HOUR] = hour_encode(s, sod / 3600);
	s->cmos[REG_WDAY] = (uint8_t)((days % 7 + 7 + EPOCH_WDAY + s->wday_off) % 7 + 1);
	s->cmos[REG_MDAY] = reg_encode(s, (unsigned)mday);
	s->cmos[REG_MONTH] = reg_encode(s, (unsigned)month);
	s->cmos[REG_YEAR] = reg_encode(s, (unsigned)(year - floor_div(year, 100) * 100));
	s->cmos[REG_CENTURY] =
		reg_encode(s, (unsigned)(floor_div(year, 100) - floor_div(year, 10000) * 100));
}

/* Takes the registers for the time of the second that began at base_ns. */
static void clock_parse(struct rtc *s)
{
	unsigned month =
		reg_decode(s, s->cmos[REG_MONTH]) + 11; /* December of the year before: 11 */
	int64_t year = reg_decode(s, s->cmos[REG_CENTURY]) * 100 + reg_decode(s, s->cmos[REG_YEAR]);
	int64_t days, s_of_day;

	year += (int64_t)(month / 12) - 1;
	days = days_of_month_start(year, (int)(month % 12) + 1) +
	       (int64_t)reg_decode(s, s->cmos[REG_MDAY]) - 1;
	s_of_day = (int64_t)hour_decode(s, s->cmos[REG_HOUR]) * 3600 +
		   reg_decode(s, s->cmos[REG_MIN]) * 60 + reg_decode(s, s->cmos[REG_SEC]);
	s->base_s = (uint64_t)(days * DAY_S + s_of_day);
	days = floor_div((int64_t)s->base_s, DAY_S);
	s->wday_off = (uint8_t)((s->cmos[REG_WDAY] + 6 + 14 - EPOCH_WDAY - (days % 7 + 7) % 7) % 7);
}

static uint64_t clock_k(const struct rtc *s, uint64_t ns)
{
	return (ns - s->base_ns) / NS_PER_S;
}

/* ---- flags and interrupts ---- */

static bool alarm_matches(uint8_t alarm, uint8_t value)
{
	return (alarm & 0xc0) == 0xc0 || alarm == value;
}

/* Seconds from a second of the day (0..86399) to the next that the alarm matches; -1: never. */
static int alarm_distance(const struct rtc *s, unsigned from)
{
	unsigned t = from, sod;

	while (t < from + DAY_S) {
		sod = t % DAY_S;
		if (!alarm_matches(s->cmos[REG_HOUR_ALARM], hour_encode(s, sod / 3600)))
			t += 3600 - sod % 3600;
		else if (!alarm_matches(s->cmos[REG_MIN_ALARM], reg_encode(s, sod / 60 % 60)))
			t += 60 - sod % 60;
		else if (!alarm_matches(s->cmos[REG_SEC_ALARM], reg_encode(s, sod % 60)))
			t++;
		else
			return (int)(t - from);
	}
	return -1;
}

/* As above, from second k after base. */
static int alarm_distance_k(const struct rtc *s, uint64_t k)
{
	int64_t from = (int64_t)(s->base_s + k);

	return alarm_distance(s, (unsigned)(from - floor_div(from, DAY_S) * DAY_S));
}

/* Sets the flags of all that happened since the last time. */
static void rtc_sync(struct rtc *s)
{
	uint64_t now = vclock_ns(&s->dev), k0, k1;
	uint32_t period = periodic_ticks(s);
	int distance;

	if (period && xtal_ticks(s, now) / period != xtal_ticks(s, s->sync_ns) / period)
		s->cmos[REG_C] |= C_PF;
	if (clock_runs(s)) {
		k0 = clock_k(s, s->sync_ns);
		k1 = clock_k(s, now);
		if (k1 != k0) {
			s->cmos[REG_C] |= C_UF;
			distance = alarm_distance_k(s, k0 + 1);
			if (distance >= 0 && (uint64_t)distance < k1 - k0)
				s->cmos[REG_C] |= C_AF;
		}
	}
	s->sync_ns = now;
}

/* When the next interrupt that is enabled and not yet pending comes. */
static uint64_t rtc_next_ns(const struct rtc *s)
{
	uint8_t want = s->cmos[REG_B] & ~s->cmos[REG_C];
	uint32_t period = periodic_ticks(s);
	uint64_t next = TIMER_NEVER, ns, tick, k = clock_k(s, s->sync_ns) + 1;
	int distance;

	if ((want & B_PIE) && period) {
		tick = (xtal_ticks(s, s->sync_ns) / period + 1) * period;
		next = s->phase_ns +
		       (uint64_t)(((unsigned __int128)tick * NS_PER_S + XTAL_HZ - 1) / XTAL_HZ);
	}
	if (!clock_runs(s))
		return next;
	if (want & B_UIE) {
		ns = s->base_ns + k * NS_PER_S;
		next = ns < next ? ns : next;
	}
	if (want & B_AIE) {
		distance = alarm_distance_k(s, k);
		ns = distance < 0 ? TIMER_NEVER : s->base_ns + (k + (unsigned)distance) * NS_PER_S;
		next = ns < next ? ns : next;
	}
	return next;
}

/* After rtc_sync() and whatever changed: the IRQ pin and the timer. */
static void rtc_update(struct rtc *s)
{
	if (s->cmos[REG_C] & s->cmos[REG_B] & (C_PF | C_AF | C_UF))
		s->cmos[REG_C] |= C_IRQF;
	else
		s->cmos[REG_C] &= ~C_IRQF;
	line_set(&s->irq, !!(s->cmos[REG_C] & C_IRQF));
	timer_arm(&s->timer, rtc_next_ns(s));
}

static void rtc_fire(struct device *dev)
{
	struct rtc *s = (struct rtc *)dev;

	rtc_sync(s);
	rtc_update(s);
}

/* ---- ports ---- */

static bool is_time_reg(unsigned reg)
{
	return reg == REG_SEC || reg == REG_MIN || reg == REG_HOUR ||
	       (reg >= REG_WDAY && reg <= REG_YEAR) || reg == REG_CENTURY;
}

/* Starts the calendar from the registers; seconds go with the divider chain. */
static void clock_start(struct rtc *s)
{
	uint64_t now = vclock_ns(&s->dev);

	s->base_ns = now - (now - s->phase_ns) % NS_PER_S;
	clock_parse(s);
}

static void rtc_write_control(struct rtc *s, unsigned reg, uint8_t val)
{
	uint64_t now = vclock_ns(&s->dev);
	bool ran = clock_runs(s), divided = divider_runs(s);

	if (ran)
		clock_store(s, clock_k(s, now)); /* in the old format */
	if (reg == REG_A) {
		s->cmos[REG_A] = val & ~A_UIP;
		if (!divided && divider_runs(s))
			s->phase_ns = now - HALF_S_NS;
	} else {
		/* The format changes, the time does not, unless the guest wants to set it. */
		if (val & B_SET)
			val &= ~B_UIE;
		s->cmos[REG_B] = val;
		if (ran && !(val & B_SET))
			clock_store(s, clock_k(s, now));
	}
	if (!ran && clock_runs(s))
		clock_start(s);
}

static uint8_t rtc_reg_read(struct rtc *s, unsigned reg)
{
	uint64_t now = vclock_ns(&s->dev);
	uint8_t v;

	switch (reg) {
	case REG_A:
		v = s->cmos[REG_A];
		if (clock_runs(s) && NS_PER_S - (now - s->base_ns) % NS_PER_S <= UIP_NS)
			v |= A_UIP;
		return v;
	case REG_C:
		rtc_sync(s);
		rtc_update(s);
		v = s->cmos[REG_C];
		s->cmos[REG_C] = 0;
		rtc_update(s);
		return v;
	}
	if (is_time_reg(reg) && clock_runs(s))
		clock_store(s, clock_k(s, now));
	return s->cmos[reg];
}

static void rtc_reg_write(struct rtc *s, unsigned reg, uint8_t val)
{
	rtc_sync(s);
	switch (reg) {
	case REG_A:
	case REG_B: rtc_write_control(s, reg, val); break;
	case REG_C:
	case REG_D: break; /* read-only */
	default:
		if (is_time_reg(reg) && clock_runs(s)) {
			clock_store(s, clock_k(s, s->sync_ns));
			s->cmos[reg] = val;
			clock_start(s);
		} else {
			s->cmos[reg] = val;
		}
	}
	rtc_update(s);
}

static uint64_t rtc_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct rtc *s = (struct rtc *)dev;

	return addr == 0 ? 0xff : rtc_reg_read(s, s->index & (CMOS_LEN - 1));
}

static void rtc_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct rtc *s = (struct rtc *)dev;

	if (addr == 0) {
		s->index = (uint8_t)val;
		line_set(&s->nmi_mask, s->index >> 7);
	} else {
		rtc_reg_write(s, s->index & (CMOS_LEN - 1), (uint8_t)val);
	}
}

static const struct io_ops rtc_ops = { rtc_read, rtc_write, .max_size = 1 };

static int rtc_realize(struct device *dev, struct error *err)
{
	struct rtc *s = (struct rtc *)dev;
	int rc = io_map(dev, 0x70, 2, &rtc_ops, err);

	if (rc < 0)
		return rc;
	timer_init(dev, &s->timer, rtc_fire);
	line_output(dev, "irq", &s->irq, 1);
	line_output(dev, "nmi-mask", &s->nmi_mask, 1);
	return 0;
}

/* ---- power-on: what a PC's set-up program has written ---- */

static void cmos_put16(struct rtc *s, unsigned reg, uint64_t v)
{
	if (v > 0xffff)
		v = 0xffff;
	s->cmos[reg] = (uint8_t)v;
	s->cmos[reg + 1] = (uint8_t)(v >> 8);
}

void cmos_preset(struct device *rtc, unsigned reg, uint8_t val)
{
	struct rtc *s = (struct rtc *)rtc;

	must(reg >= FIRST_FREE && reg < CMOS_LEN && !s->powered);
	s->preset[reg] = val;
	s->is_preset[reg] = 1;
}

static void boot_order_put(struct rtc *s, uint32_t order)
{
	s->cmos[0x3d] = (uint8_t)order;			       /* second and first device */
	s->cmos[0x38] = (uint8_t)((order >> 8 & 15) << 4 | 1); /* third; no floppy check */
}

static void cmos_power_on(struct rtc *s)
{
	uint64_t ram = machine_ram_bytes(&s->dev), low = ram, high = 0;
	unsigned i, sum = 0;

	if (ram > UINT64_C(1) << 32) {
		low = UINT64_C(1) << 32;
		high = ram - low;
	}
	s->cmos[0x14] = 0x06;	  /* equipment: FPU, PS/2 mouse; no floppy drive */
	cmos_put16(s, 0x15, 640); /* KiB below 1 MiB */
	cmos_put16(s, 0x17, low > 1 << 20 ? (low >> 10) - 1024 : 0);
	cmos_put16(s, 0x30, low > 1 << 20 ? (low >> 10) - 1024 : 0);
	cmos_put16(s, 0x34, low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0);
	s->cmos[0x5b] = (uint8_t)(high >> 16);
	s->cmos[0x5c] = (uint8_t)(high >> 24);
	s->cmos[0x5d] = (uint8_t)(high >> 32);
	boot_order_put(s, s->boot_once ? s->boot_once : s->boot_order);
	for (i = FIRST_FREE; i < CMOS_LEN; i++)
		if (s->is_preset[i])
			s->cmos[i] = s->preset[i];
	for (i = 0x10; i <= 0x2d; i++)
		sum += s->cmos[i];
	s->cmos[0x2e] = (uint8_t)(sum >> 8);
	s->cmos[0x2f] = (uint8_t)sum;
}

static void rtc_power_on(struct rtc *s)
{
	s->cmos[REG_A] = 0x26; /* 32.768 kHz, 1024 Hz */
	s->cmos[REG_B] = B_24H;
	s->cmos[REG_D] = D_VRT;
	s->base_s = (uint64_t)machine_rtc_base_s(&s->dev);
	s->base_ns = vclock_ns(&s->dev);
	s->phase_ns = s->base_ns;
	s->sync_ns = s->base_ns;
	cmos_power_on(s);
}

static void rtc_reset(struct device *dev)
{
	struct rtc *s = (struct rtc *)dev;

	if (!s->powered)
		rtc_power_on(s);
	else if (s->powered == POWERED_ONCE && s->boot_once)
		boot_order_put(s, s->boot_order);
	s->powered = s->powered ? POWERED_AGAIN : POWERED_ONCE;
	rtc_sync(s);
	s->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
	s->cmos[REG_C] = 0;
	s->index = 0;
	line_set(&s->nmi_mask, 0);
	rtc_update(s);
}

static const struct prop rtc_props[] = {
	{ "boot-order", PROP_U32, offsetof(struct rtc, boot_order), 0x312 },
	{ "boot-once", PROP_U32, offsetof(struct rtc, boot_once), 0 },
	PROP_END,
};

static const struct field rtc_fields[] = {
	FIELD_TIMER(struct rtc, timer),
	FIELD(struct rtc, base_s),
	FIELD(struct rtc, base_ns),
	FIELD(struct rtc, phase_ns),
	FIELD(struct rtc, sync_ns),
	FIELD_ARRAY(struct rtc, cmos),
	FIELD(struct rtc, index),
	FIELD(struct rtc, wday_off),
	FIELD(struct rtc, powered),
	FIELD_END,
};

const struct device_class mc146818_class = {
	.name = "mc146818",
	.desc = "MC146818 real-time clock and CMOS RAM",
	.instance_size = sizeof(struct rtc),
	.props = rtc_props,
	.fields = rtc_fields,
	.realize = rtc_realize,
	.reset = rtc_reset,
};
