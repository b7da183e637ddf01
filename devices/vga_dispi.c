/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Bochs DISPI interface: modes beyond the VGA's by a handful of 16-bit registers. Bochs'
 * "VBE display API" (vbe_display_api.txt), interface B0C5, and QEMU docs/specs/standard-vga.
 *
 * Ports: 1CE index, 1CF (and 1D0) data, words only.
 *
 * What a guest writes is bounded when it is used: a mode whose picture does not fit into video
 * memory gets as many lines as do.
 */
#include "vga.h"

#define DISPI_ID_FIRST 0xb0c0
#define DISPI_ID_LAST  0xb0c5
#define XRES_MAX       16000u
#define YRES_MAX       12000u
#define BPP_MAX	       32u

static uint16_t min16(uint32_t a, uint32_t b)
{
	return (uint16_t)(a < b ? a : b);
}

static uint16_t bpp_valid(uint16_t bpp)
{
	switch (bpp) {
	case 4:
	case 8:
	case 15:
	case 16:
	case 24:
	case 32: return bpp;
	}
	return 8;
}

/* Bytes of video memory for n pixels of a line; in 4 bits a pixel each of the planes has an eighth.
 */
static uint32_t line_bytes(uint16_t bpp, uint32_t n)
{
	return bpp == 4 ? n / 2 : n * ((bpp + 7u) / 8);
}

/* Makes the geometry one that exists. */
static void geometry_fix(struct vga *s)
{
	uint16_t *d = s->r.dispi;
	uint32_t line, lines;

	d[DISPI_BPP] = bpp_valid(d[DISPI_BPP]);
	d[DISPI_XRES] = (uint16_t)(min16(d[DISPI_XRES], XRES_MAX) & ~7u);
	if (!d[DISPI_XRES])
		d[DISPI_XRES] = 8;
	if (d[DISPI_VIRT_WIDTH] < d[DISPI_XRES])
		d[DISPI_VIRT_WIDTH] = d[DISPI_XRES];
	d[DISPI_VIRT_WIDTH] = (uint16_t)(min16(d[DISPI_VIRT_WIDTH], XRES_MAX) & ~7u);
	line = line_bytes(d[DISPI_BPP], d[DISPI_VIRT_WIDTH]);
	lines = s->mem_len / line;
	d[DISPI_YRES] = min16(d[DISPI_YRES] ? d[DISPI_YRES] : 1, min16(lines, YRES_MAX));
	d[DISPI_VIRT_HEIGHT] = min16(lines, 0xffff);
	d[DISPI_X_OFFSET] = min16(d[DISPI_X_OFFSET], (uint32_t)d[DISPI_VIRT_WIDTH] - d[DISPI_XRES]);
	d[DISPI_Y_OFFSET] =
		min16(d[DISPI_Y_OFFSET], (uint32_t)d[DISPI_VIRT_HEIGHT] - d[DISPI_YRES]);
}

/* The VGA's own registers, as far as a program may look at them or go on from them. */
static void vga_follow(struct vga *s)
{
	const uint16_t *d = s->r.dispi;
	struct display_regs *r = &s->r;
	uint32_t h = d[DISPI_YRES] - 1u;
	bool planar = d[DISPI_BPP] == 4;

	r->gc[GC_MISC] = (uint8_t)((r->gc[GC_MISC] & ~0x0c) | 0x04 | GC_MISC_GRAPHICS);
	r->gc[GC_MODE] = (uint8_t)((r->gc[GC_MODE] & ~0x60) | (planar ? 0 : 0x40));
	r->crtc[CRTC_MODE] |= 3;
	r->crtc[CRTC_OFFSET] = (uint8_t)(line_bytes(d[DISPI_BPP], d[DISPI_VIRT_WIDTH]) >> 3);
	r->crtc[CRTC_H_DISPLAY_END] = (uint8_t)((d[DISPI_XRES] >> 3) - 1);
	r->crtc[CRTC_V_DISPLAY_END] = (uint8_t)h;
	r->crtc[CRTC_OVERFLOW] =
		(uint8_t)((r->crtc[CRTC_OVERFLOW] & ~0x42) | (h >> 7 & 0x02) | (h >> 3 & 0x40));
	/* No line compare, no double lines. */
	r->crtc[CRTC_LINE_COMPARE] = 0xff;
	r->crtc[CRTC_OVERFLOW] |= 0x10;
	r->crtc[CRTC_MAX_SCAN] = (uint8_t)((r->crtc[CRTC_MAX_SCAN] & ~0x9f) | 0x40);
	r->seq[SEQ_CLOCKING] &= (uint8_t)~8;
	r->seq[SEQ_MAP_MASK] |= 0x0f;
	if (!planar)
		r->seq[SEQ_MEMORY_MODE] |= SEQ_MEMORY_CHAIN4;
}

static void memory_clear(struct vga *s)
{
	uint64_t len = (uint64_t)line_bytes(s->r.dispi[DISPI_BPP], s->r.dispi[DISPI_VIRT_WIDTH]) *
		       s->r.dispi[DISPI_YRES];

	if (len > s->mem_len)
		len = s->mem_len;
	vga_text_leave(s); /* what is there goes with the rest */
	memset(s->mem, 0, len);
	machine_vram_written(&s->dev, 0, (uint32_t)len);
}

static void enable_write(struct vga *s, uint16_t val)
{
	bool was = s->r.dispi[DISPI_ENABLE] & DISPI_ENABLED;

	s->r.dispi[DISPI_ENABLE] =
		val & (DISPI_ENABLED | DISPI_GETCAPS | DISPI_8BIT_DAC | DISPI_LFB | DISPI_NOCLEAR);
	if (!(val & DISPI_ENABLED)) {
		s->r.dispi[DISPI_BANK] = 0;
		return;
	}
	if (was)
		return;
	s->r.dispi[DISPI_VIRT_WIDTH] = 0;
	s->r.dispi[DISPI_X_OFFSET] = s->r.dispi[DISPI_Y_OFFSET] = 0;
	s->r.dispi[DISPI_BANK] = 0;
	geometry_fix(s);
	vga_follow(s);
	if (!(val & DISPI_NOCLEAR))
		memory_clear(s);
}

void dispi_write(struct vga *s, unsigned index, uint16_t val)
{
	uint16_t *d = s->r.dispi;
	bool enabled = d[DISPI_ENABLE] & DISPI_ENABLED;

	switch (index) {
	case DISPI_ID:
		if (val >= DISPI_ID_FIRST && val <= DISPI_ID_LAST)
			d[DISPI_ID] = val;
		break;
	case DISPI_XRES:
	case DISPI_YRES:
	case DISPI_BPP:
	case DISPI_VIRT_WIDTH:
	case DISPI_X_OFFSET:
	case DISPI_Y_OFFSET:
		d[index] = val;
		if (!enabled)
			break;
		geometry_fix(s);
		vga_follow(s);
		break;
	case DISPI_BANK:
		/* In units of the window; beyond video memory it wraps. */
		d[DISPI_BANK] = (uint16_t)(val % (s->mem_len / VGA_BANK_LEN));
		break;
	case DISPI_ENABLE: enable_write(s, val); break;
	default: return; /* VIRT_HEIGHT follows from the rest; others do not exist */
	}
	display_publish(s->page, &s->r, 0, sizeof(s->r));
	vga_window_update(s);
}

uint16_t dispi_read(struct vga *s, unsigned index)
{
	const uint16_t *d = s->r.dispi;

	if (index == DISPI_VIDEO_MEMORY_64K)
		return (uint16_t)(s->mem_len / VGA_BANK_LEN);
	if (index >= DISPI_REGS)
		return 0;
	if (d[DISPI_ENABLE] & DISPI_GETCAPS) {
		switch (index) {
		case DISPI_XRES: return XRES_MAX;
		case DISPI_YRES: return YRES_MAX;
		case DISPI_BPP: return BPP_MAX;
		}
	}
	return d[index];
}

void dispi_reset(struct vga *s)
{
	memset(s->r.dispi, 0, sizeof(s->r.dispi));
	s->r.dispi[DISPI_ID] = DISPI_ID_LAST;
	s->dispi_index = 0;
}

/* addr 0: the index; 1 and 2: the data. */
static uint64_t port_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct vga *s = (struct vga *)dev;

	return addr == 0 ? s->dispi_index : addr <= 2 ? dispi_read(s, s->dispi_index) : 0xffff;
}

static void port_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct vga *s = (struct vga *)dev;

	if (addr == 0)
		s->dispi_index = (uint16_t)val;
	else if (addr <= 2)
		dispi_write(s, s->dispi_index, (uint16_t)val);
}

const struct io_ops dispi_port_ops = { port_read, port_write, .max_size = 2, .min_size = 2 };
