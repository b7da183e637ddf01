/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VGA's ports. IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem".
 *
 *	3C0 3C1		attribute controller	3C2 3CC		miscellaneous output, status 0
 *	3C4 3C5		sequencer		3C6 - 3C9	DAC
 *	3CE 3CF		graphics controller	3CA xDA		feature control, status 1
 *	xD4 xD5		CRT controller; x is 3B or 3D, by the miscellaneous output register
 *
 * The beam's position, for status 1, is computed from virtual time and the CRT controller's
 * registers. The vertical retrace interrupt is not wired, as on most boards.
 */
#include "vga.h"

#define STATUS1_BLANK	0x01
#define STATUS1_RETRACE 0x08
#define STATUS0_SENSE	0x10

#define CLOCKING_8_DOTS 0x01
#define CLOCKING_HALF	0x08

/* ---- the beam ---- */

struct timing {
	uint64_t hz; /* dots a second */
	uint32_t h_total, h_active, v_total, v_active, v_sync, v_sync_end;
};

static struct timing timing_dispi(const struct vga *s)
{
	uint32_t w = s->r.dispi[DISPI_XRES], h = s->r.dispi[DISPI_YRES];
	struct timing t = { .h_total = w + 160,
		.h_active = w,
		.v_total = h + 45,
		.v_active = h,
		.v_sync = h + 10,
		.v_sync_end = h + 12 };

	/* There is no register for it: a monitor's usual rate. */
	t.hz = (uint64_t)t.h_total * t.v_total * 60;
	return t;
}

static struct timing timing_find(const struct vga *s)
{
	static const uint32_t clocks[4] = { 25175000, 28322000, 25175000, 25175000 };
	const uint8_t *c = s->r.crtc;
	unsigned ov = c[CRTC_OVERFLOW], dots = s->r.seq[SEQ_CLOCKING] & CLOCKING_8_DOTS ? 8 : 9;
	struct timing t;

	if (s->r.dispi[DISPI_ENABLE] & DISPI_ENABLED)
		return timing_dispi(s);
	t.hz = clocks[s->r.misc >> 2 & 3];
	if (s->r.seq[SEQ_CLOCKING] & CLOCKING_HALF)
		t.hz /= 2;
	t.h_total = (c[CRTC_H_TOTAL] + 5u) * dots;
	t.h_active = (c[CRTC_H_DISPLAY_END] + 1u) * dots;
	t.v_total = (c[CRTC_V_TOTAL] | (ov & 0x01) << 8 | (ov & 0x20) << 4) + 2u;
	t.v_active = (c[CRTC_V_DISPLAY_END] | (ov & 0x02) << 7 | (ov & 0x40) << 3) + 1u;
	t.v_sync = c[CRTC_V_SYNC_START] | (ov & 0x04) << 6 | (ov & 0x80) << 2;
	t.v_sync_end = t.v_sync + ((c[CRTC_V_SYNC_END] - t.v_sync) & 0xf);
	return t;
}

static uint8_t status1(const struct vga *s)
{
	struct timing t = timing_find(s);
	uint64_t dot =
		muldiv64(vclock_ns(&s->dev), t.hz, NS_PER_S) % ((uint64_t)t.h_total * t.v_total);
	uint32_t line = (uint32_t)(dot / t.h_total), x = (uint32_t)(dot % t.h_total);
	uint8_t v = 0;

	if (line >= t.v_active || x >= t.h_active)
		v |= STATUS1_BLANK;
	if (line >= t.v_sync && line < t.v_sync_end)
		v |= STATUS1_RETRACE;
	return v;
}

/* ---- attribute controller ---- */

static void ac_write(struct vga *s, uint8_t val)
{
	unsigned i = s->r.ac_index & 0x1f;

	s->ac_data = !s->ac_data;
	if (s->ac_data) { /* it was an index */
		s->r.ac_index = val & 0x3f;
		vga_publish(s, ac_index);
		return;
	}
	if (i >= VGA_AC_REGS)
		return;
	if (i < 16)
		val &= 0x3f;
	else if (i == 0x10)
		val &= 0xef;
	else if (i == 0x12)
		val &= 0x3f;
	else if (i > 0x12)
		val &= 0x0f;
	s->r.ac[i] = val;
	vga_publish(s, ac);
}

static uint8_t ac_read(const struct vga *s)
{
	unsigned i = s->r.ac_index & 0x1f;

	return i < VGA_AC_REGS ? s->r.ac[i] : 0;
}

/* ---- DAC ---- */

static void dac_data_write(struct vga *s, uint8_t val)
{
	bool wide = s->r.dispi[DISPI_ENABLE] & DISPI_8BIT_DAC;

	s->dac_latch[s->dac_component] = wide ? val : val & 0x3f;
	if (++s->dac_component < 3)
		return;
	memcpy(s->r.dac + 3 * s->dac_write, s->dac_latch, 3);
	display_publish(s->page, &s->r, offsetof(struct display_regs, dac) + 3u * s->dac_write, 3);
	s->dac_component = 0;
	s->dac_write++;
}

static uint8_t dac_data_read(struct vga *s)
{
	uint8_t v = s->r.dac[3 * s->dac_read + s->dac_component];

	if (++s->dac_component == 3) {
		s->dac_component = 0;
		s->dac_read++;
	}
	return v;
}

static void dac_begin(struct vga *s, uint8_t index, enum dac_state state)
{
	s->dac_state = (uint8_t)state;
	s->dac_component = 0;
	if (state == DAC_READING)
		s->dac_read = index;
	else
		s->dac_write = index;
}

/* ---- sequencer, graphics controller, CRT controller ---- */

static void seq_write(struct vga *s, uint8_t val)
{
	static const uint8_t mask[VGA_SEQ_REGS] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };

	if (s->seq_index >= VGA_SEQ_REGS)
		return;
	s->r.seq[s->seq_index] = val & mask[s->seq_index];
	vga_publish(s, seq);
	vga_window_update(s);
}

static void gc_write(struct vga *s, uint8_t val)
{
	static const uint8_t mask[VGA_GC_REGS] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f,
		0xff };

	if (s->gc_index >= VGA_GC_REGS)
		return;
	s->r.gc[s->gc_index] = val & mask[s->gc_index];
	vga_publish(s, gc);
	vga_window_update(s);
}

static void crtc_write(struct vga *s, uint8_t val)
{
	unsigned i = s->crtc_index;
	bool protected = s->r.crtc[CRTC_V_SYNC_END] & CRTC_PROTECT;

	if (i >= VGA_CRTC_REGS)
		return;
	/* The protection leaves out the line compare bit. */
	if (protected && i == CRTC_OVERFLOW)
		val = (uint8_t)((s->r.crtc[i] & ~0x10) | (val & 0x10));
	else if (protected && i < CRTC_OVERFLOW)
		return;
	s->r.crtc[i] = val;
	vga_publish(s, crtc);
}

/* ---- ports ---- */

/* Whether a port of CRTC and status is at the place that the miscellaneous output chose. */
static bool emulation_is(const struct vga *s, bool color)
{
	return !!(s->r.misc & MISC_COLOR) == color;
}

uint8_t vga_port_read(struct vga *s, unsigned addr)
{
	switch (addr) {
	case 0x00: return s->ac_data ? ac_read(s) : s->r.ac_index;
	case 0x01: return ac_read(s);
	case 0x02: return STATUS0_SENSE;
	case 0x04: return s->seq_index;
	case 0x05: return s->seq_index < VGA_SEQ_REGS ? s->r.seq[s->seq_index] : 0;
	case 0x06: return s->r.dac_mask;
	case 0x07: return s->dac_state;
	case 0x08: return s->dac_write;
	case 0x09: return dac_data_read(s);
	case 0x0a: return s->feature;
	case 0x0c: return s->r.misc;
	case 0x0e: return s->gc_index;
	case 0x0f: return s->gc_index < VGA_GC_REGS ? s->r.gc[s->gc_index] : 0;
	case 0x14: return s->crtc_index;
	case 0x15: return s->crtc_index < VGA_CRTC_REGS ? s->r.crtc[s->crtc_index] : 0;
	case 0x1a: s->ac_data = 0; return status1(s);
	}
	return 0xff;
}

void vga_port_write(struct vga *s, unsigned addr, uint8_t val)
{
	switch (addr) {
	case 0x00: ac_write(s, val); break;
	case 0x02:
		s->r.misc = val & 0xef;
		vga_publish(s, misc);
		vga_window_update(s);
		break;
	case 0x04: s->seq_index = val & 7; break;
	case 0x05: seq_write(s, val); break;
	case 0x06:
		s->r.dac_mask = val;
		vga_publish(s, dac_mask);
		break;
	case 0x07: dac_begin(s, val, DAC_READING); break;
	case 0x08: dac_begin(s, val, DAC_WRITING); break;
	case 0x09: dac_data_write(s, val); break;
	case 0x0e: s->gc_index = val & 0x0f; break;
	case 0x0f: gc_write(s, val); break;
	case 0x14: s->crtc_index = val & 0x3f; break;
	case 0x15: crtc_write(s, val); break;
	case 0x1a: s->feature = val & 0x10; break;
	}
}

static uint64_t port_read(struct device *dev, uint64_t addr, unsigned size)
{
	return vga_port_read((struct vga *)dev, (unsigned)addr);
}

static void port_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	vga_port_write((struct vga *)dev, (unsigned)addr, (uint8_t)val);
}

/* 3B0-3BB and 3D0-3DB; only one of them answers. Even ports below 8 are the CRTC's index, odd ones
 * its data, as on the adapters before. */
static unsigned crtc_port(uint64_t addr)
{
	return addr < 8 ? 0x14 + (addr & 1) : 0x10 + (unsigned)addr;
}

static uint64_t emulated_read(struct vga *s, bool color, uint64_t addr)
{
	return emulation_is(s, color) ? vga_port_read(s, crtc_port(addr)) : 0xff;
}

static void emulated_write(struct vga *s, bool color, uint64_t addr, uint64_t val)
{
	if (emulation_is(s, color))
		vga_port_write(s, crtc_port(addr), (uint8_t)val);
}

static uint64_t mono_read(struct device *dev, uint64_t addr, unsigned size)
{
	return emulated_read((struct vga *)dev, false, addr);
}

static void mono_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	emulated_write((struct vga *)dev, false, addr, val);
}

static uint64_t color_read(struct device *dev, uint64_t addr, unsigned size)
{
	return emulated_read((struct vga *)dev, true, addr);
}

static void color_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	emulated_write((struct vga *)dev, true, addr, val);
}

const struct io_ops vga_port_ops = { port_read, port_write, .max_size = 1 };
const struct io_ops vga_mono_ops = { mono_read, mono_write, .max_size = 1 };
const struct io_ops vga_color_ops = { color_read, color_write, .max_size = 1 };

void vga_regs_reset(struct vga *s)
{
	struct display_regs *r = &s->r;

	memset(r, 0, sizeof(*r));
	r->present = 1;
	r->dac_mask = 0xff;
	s->seq_index = s->crtc_index = s->gc_index = 0;
	s->ac_data = 0;
	s->dac_state = s->dac_write = s->dac_read = s->dac_component = 0;
	memset(s->dac_latch, 0, sizeof(s->dac_latch));
	s->feature = 0;
	s->latch = 0;
}
