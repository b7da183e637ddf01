/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From registers and video memory to pixels (see screen.h). IBM PS/2 Hardware Interface Technical
 * Reference, "Video Subsystem"; colours beyond 256 are converted by pixman.
 *
 * Video memory has the four planes side by side: address A of plane P is byte 4 * A + P.
 */
#include "screen.h"

#include <pixman.h>
#include <stdbool.h>

#define VRAM_MIN (256u << 10)
#define VGA_MASK (VRAM_MIN - 1) /* the VGA's own addresses wrap here */

/* Registers by the names of the reference. */
#define SEQ_CLOCKING(r) ((r)->seq[1])
#define SEQ_CHAR_MAP(r) ((r)->seq[3])
#define GC_MODE(r)	((r)->gc[5])
#define GC_MISC(r)	((r)->gc[6])
#define AC_MODE(r)	((r)->ac[0x10])
#define AC_PLANES(r)	((r)->ac[0x12])
#define AC_PANNING(r)	((r)->ac[0x13])
#define AC_COLOR_SEL(r) ((r)->ac[0x14])

#define AC_SHOWN	 0x20 /* in the index register */
#define AC_MONO		 0x02
#define AC_LINE_GRAPHICS 0x04
#define AC_BLINK	 0x08
#define AC_PAN_TOP_ONLY	 0x20
#define AC_COLOR_45	 0x80
#define CLOCKING_8_DOTS	 0x01
#define CLOCKING_HALF	 0x08
#define CLOCKING_OFF	 0x20
#define CURSOR_OFF	 0x20
#define MAX_SCAN_DOUBLE	 0x80

/* ---- colours ---- */

static uint32_t dac_color(const struct display_regs *r, unsigned index)
{
	const uint8_t *c = r->dac + 3 * (index & r->dac_mask & 0xff);
	uint32_t v = 0;

	for (int i = 0; i < 3; i++) {
		unsigned x = c[i];

		if (!(r->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC)) {
			x &= 0x3f;
			x = x << 2 | x >> 4;
		}
		v = v << 8 | x;
	}
	return v;
}

void screen_colors(const struct display_regs *r, uint32_t ret_colors[16])
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned v = r->ac[i & AC_PLANES(r)] & 0x3f;

		if (AC_MODE(r) & AC_COLOR_45)
			v = (v & 0xf) | (AC_COLOR_SEL(r) & 3u) << 4;
		ret_colors[i] = dac_color(r, v | (AC_COLOR_SEL(r) & 0xcu) << 4);
	}
}

static void palette256(const struct display_regs *r, uint32_t *ret)
{
	for (unsigned i = 0; i < 256; i++)
		ret[i] = dac_color(r, i);
}

/* ---- modes ---- */

static unsigned bounded(unsigned n)
{
	return n < 1 ? 1 : n > SCREEN_SIZE_MAX ? SCREEN_SIZE_MAX : n;
}

static void mode_dispi(const struct display_regs *r, struct screen_mode *m)
{
	const uint16_t *d = r->dispi;
	unsigned bpp = d[DISPI_BPP];

	m->kind = bpp == 4 ? SCREEN_LINEAR4 : bpp == 8 ? SCREEN_LINEAR8 : SCREEN_RGB;
	if (bpp != 4 && bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32) {
		m->kind = SCREEN_LINEAR8;
		bpp = 8;
	}
	m->width = bounded(d[DISPI_XRES]);
	m->height = bounded(d[DISPI_YRES]);
	m->bpp = bpp == 15 ? 16 : bpp;
	m->line = (d[DISPI_VIRT_WIDTH] & ~7u) * m->bpp / 8;
	m->start = m->line * d[DISPI_Y_OFFSET];
}

static void mode_text(const struct display_regs *r, struct screen_mode *m)
{
	m->kind = SCREEN_TEXT;
	m->cell_width = SEQ_CLOCKING(r) & CLOCKING_8_DOTS ? 8 : 9;
	m->cell_height = (r->crtc[9] & 0x1fu) + 1;
	m->columns = m->width / 8;
	m->width = m->columns * m->cell_width;
	m->rows = m->height / (m->cell_height << !!(r->crtc[9] & MAX_SCAN_DOUBLE));
	if (!m->rows)
		m->rows = 1;
}

static void mode_vga(const struct display_regs *r, struct screen_mode *m)
{
	unsigned ov = r->crtc[7];

	m->width = (r->crtc[1] + 1u) * 8;
	m->height = (r->crtc[0x12] | (ov & 0x02) << 7 | (ov & 0x40) << 3) + 1;
	m->start = (r->crtc[0x0c] << 8 | r->crtc[0x0d]) * 4u;
	m->line = r->crtc[0x13] * 8u;
	if (!(GC_MISC(r) & 1)) {
		mode_text(r, m);
	} else {
		static const enum screen_kind kinds[4] = { SCREEN_PLANAR, SCREEN_CGA, SCREEN_PACKED,
			SCREEN_PACKED };

		m->kind = kinds[GC_MODE(r) >> 5 & 3];
		m->bpp = m->kind == SCREEN_PACKED ? 8 : 4;
	}
	if (SEQ_CLOCKING(r) & CLOCKING_HALF)
		m->width *= 2;
}

void screen_mode_find(const struct display_regs *r, uint64_t vram_len, struct screen_mode *ret_mode)
{
	struct screen_mode m = { .kind = SCREEN_OFF };

	if (r->dispi[DISPI_ENABLE] & DISPI_ENABLED)
		mode_dispi(r, &m);
	else
		mode_vga(r, &m);
	if (!r->present || vram_len < VRAM_MIN + DISPLAY_EXTRA_LEN || !(r->ac_index & AC_SHOWN) ||
		(SEQ_CLOCKING(r) & CLOCKING_OFF))
		m.kind = SCREEN_OFF;
	/* An adapter that nobody has set up yet has no size; people expect a window. */
	if (m.kind == SCREEN_OFF && (m.width < 32 || m.height < 32)) {
		m.width = 640;
		m.height = 480;
	}
	*ret_mode = m;
}

/* ---- the VGA's lines ---- */

struct line {
	const struct display_regs *r;
	const struct screen_mode *m;
	const uint8_t *vram;
	const uint8_t *text; /* cells that are not in the planes, or NULL */
	uint32_t colors[256];
	unsigned visible;
	uint32_t addr;	   /* byte of video memory where this line's row begins */
	unsigned row_scan; /* which line of the row it is */
	unsigned pan;	   /* pixels that the row begins further left */
	unsigned shift;	   /* a source pixel is 1 << shift dots wide */
};

static void line_planar(const struct line *l, uint32_t *out)
{
	uint32_t last = UINT32_MAX, bits = 0;

	for (unsigned x = 0; x < l->m->width; x++) {
		unsigned sx = (x >> l->shift) + l->pan, b = 7 - (sx & 7);
		uint32_t at = (l->addr + (sx >> 3) * 4) & VGA_MASK;

		if (at != last) {
			memcpy(&bits, l->vram + at, 4);
			last = at;
		}
		out[x] = l->colors[(bits >> b & 1) | (bits >> (8 + b) & 1) << 1 |
				   (bits >> (16 + b) & 1) << 2 | (bits >> (24 + b) & 1) << 3];
	}
}

static void line_cga(const struct line *l, uint32_t *out)
{
	for (unsigned x = 0; x < l->m->width; x++) {
		unsigned sx = (x >> l->shift) + l->pan, b = 6 - 2 * (sx & 3);
		const uint8_t *p = l->vram + ((l->addr + (sx >> 3) * 4) & VGA_MASK) + (sx >> 2 & 1);

		out[x] = l->colors[(p[0] >> b & 3) | (p[2] >> b & 3) << 2];
	}
}

static void line_packed(const struct line *l, uint32_t *out)
{
	for (unsigned x = 0; x < l->m->width; x++) {
		unsigned sx = (x >> (l->shift + 1)) + l->pan / 2;

		out[x] = l->colors[l->vram[(l->addr + sx) & VGA_MASK]];
	}
}

/* One line of a character: its dots from the left, the ninth in the last bit. */
static unsigned glyph_bits(const struct line *l, struct screen_cell c)
{
	unsigned map = SEQ_CHAR_MAP(l->r), bank, bits;

	if (c.attr & 8)
		bank = (map >> 5 & 1) | (map >> 1 & 6);
	else
		bank = (map >> 4 & 1) | (map << 1 & 6);
	bits = l->vram[(bank * 8192 + c.ch * 32u + l->row_scan) * 4 + 2];
	if ((AC_MODE(l->r) & AC_MONO) && (c.attr & 7) == 1 &&
		l->row_scan == (l->r->crtc[0x14] & 0x1f))
		bits = 0xff;
	bits <<= 1;
	if ((AC_MODE(l->r) & AC_LINE_GRAPHICS) && c.ch >= 0xc0 && c.ch <= 0xdf)
		bits |= bits >> 1 & 1;
	return bits;
}

static bool cursor_here(const struct line *l, uint32_t at)
{
	const uint8_t *c = l->r->crtc;
	uint32_t cursor = ((c[0x0e] << 8 | c[0x0f]) * 4u) & VGA_MASK;

	return (l->visible & SCREEN_CURSOR) && !(c[0x0a] & CURSOR_OFF) && at == cursor &&
	       l->row_scan >= (c[0x0a] & 0x1fu) && l->row_scan <= (c[0x0b] & 0x1fu);
}

/* Where the cells are that have left the planes; NULL: nowhere. */
static const uint8_t *text_find(
	const struct display_regs *r, const uint8_t *vram, uint64_t vram_len)
{
	return r->text && vram_len >= VRAM_MIN + DISPLAY_EXTRA_LEN
		       ? vram + vram_len - DISPLAY_EXTRA_LEN
		       : NULL;
}

static struct screen_cell cell_read(const uint8_t *vram, const uint8_t *text, uint32_t at)
{
	if (text && at / 2 < DISPLAY_TEXT_LEN)
		return (struct screen_cell){ text[at / 2], text[at / 2 + 1] };
	return (struct screen_cell){ vram[at], vram[at + 1] };
}

/* The dots of one cell's line, and their two colours. */
static unsigned cell_bits(const struct line *l, uint32_t at, uint32_t *ret_fg, uint32_t *ret_bg)
{
	struct screen_cell c = cell_read(l->vram, l->text, at);
	bool blinks = AC_MODE(l->r) & AC_BLINK;
	unsigned bits = glyph_bits(l, c);

	*ret_fg = l->colors[c.attr & 0xf];
	*ret_bg = l->colors[c.attr >> 4 & (blinks ? 7 : 0xf)];
	if (blinks && (c.attr & 0x80) && !(l->visible & SCREEN_BLINK))
		bits = 0;
	if (cursor_here(l, at))
		bits = 0x1ff;
	return bits;
}

static void line_text(const struct line *l, uint32_t *out)
{
	unsigned w = l->m->cell_width, cell = UINT32_MAX, bits = 0;
	uint32_t fg = 0, bg = 0;

	for (unsigned x = 0; x < l->m->width; x++) {
		unsigned sx = (x >> l->shift) + l->pan;

		if (sx / w != cell) {
			cell = sx / w;
			bits = cell_bits(l, (l->addr + cell * 4) & VGA_MASK, &fg, &bg);
		}
		out[x] = bits >> (8 - sx % w) & 1 ? fg : bg;
	}
}

/* CGA and Hercules kept neighbouring lines far apart: bits of the line's number replace bits of the
 * address. */
static uint32_t line_address(const struct line *l, uint32_t addr)
{
	uint8_t mode = l->r->crtc[0x17];
	unsigned bit = mode & 0x40 ? 13 : 12;

	addr /= 4;
	if (!(mode & 1))
		addr = (addr & ~(1u << bit)) | (l->row_scan & 1) << bit;
	if (!(mode & 2))
		addr = (addr & ~(2u << bit)) | (l->row_scan & 2) << bit;
	return addr * 4;
}

static unsigned pan_start(const struct display_regs *r, const struct screen_mode *m)
{
	unsigned pan = AC_PANNING(r) & 0xf;

	if (m->kind == SCREEN_TEXT && m->cell_width == 9)
		return pan >= 8 ? 0 : pan + 1;
	return pan & 7;
}

static void render_line(struct line *l, uint32_t *out)
{
	uint32_t addr = l->addr;

	switch (l->m->kind) {
	case SCREEN_TEXT: line_text(l, out); return;
	case SCREEN_PLANAR:
	case SCREEN_CGA:
		l->addr = line_address(l, addr);
		if (l->m->kind == SCREEN_CGA)
			line_cga(l, out);
		else
			line_planar(l, out);
		l->addr = addr;
		return;
	default: line_packed(l, out); return;
	}
}

/* Walks through the lines as the CRT controller does: row scan, double scan, line compare. */
static void render_vga(struct line *l, uint32_t *pixels)
{
	const struct display_regs *r = l->r;
	unsigned compare = r->crtc[0x18] | (r->crtc[7] & 0x10u) << 4 | (r->crtc[9] & 0x40u) << 3;
	unsigned max_scan = r->crtc[9] & 0x1f, twice = !!(r->crtc[9] & MAX_SCAN_DOUBLE);

	l->addr = l->m->start;
	l->row_scan = r->crtc[8] & 0x1f;
	l->pan = pan_start(r, l->m);
	l->shift = !!(SEQ_CLOCKING(r) & CLOCKING_HALF);
	for (unsigned y = 0, seen = 0; y < l->m->height; y++) {
		render_line(l, pixels + (size_t)y * l->m->width);
		if (y == compare) {
			l->addr = 0;
			l->row_scan = seen = 0;
			if (AC_MODE(r) & AC_PAN_TOP_ONLY)
				l->pan = 0;
			continue;
		}
		if (++seen <= twice)
			continue;
		seen = 0;
		if (l->row_scan++ == max_scan || l->row_scan > 0x1f) {
			l->row_scan = 0;
			l->addr = (l->addr + l->m->line) & VGA_MASK;
		}
	}
}

/* ---- DISPI's pictures ---- */

/* How many lines of the picture lie in video memory whole. */
static unsigned lines_inside(const struct screen_mode *m, uint64_t vram_len)
{
	uint64_t n;

	if (!m->line || m->start >= vram_len)
		return 0;
	n = (vram_len - m->start) / m->line;
	return n < m->height ? (unsigned)n : m->height;
}

/* How many pixels of a line are in video memory's line, from the x offset on. */
static unsigned pixels_inside(const struct display_regs *r, const struct screen_mode *m)
{
	unsigned w = r->dispi[DISPI_VIRT_WIDTH] & ~7u, x = r->dispi[DISPI_X_OFFSET];

	if (x >= w)
		return 0;
	return w - x < m->width ? w - x : m->width;
}

static void render_rgb(const struct display_regs *r, const struct screen_mode *m,
	const uint8_t *vram, unsigned lines, uint32_t *pixels)
{
	unsigned w = r->dispi[DISPI_VIRT_WIDTH] & ~7u;
	pixman_format_code_t f = r->dispi[DISPI_BPP] == 15 ? PIXMAN_x1r5g5b5
				 : m->bpp == 16		   ? PIXMAN_r5g6b5
				 : m->bpp == 24		   ? PIXMAN_r8g8b8
							   : PIXMAN_x8r8g8b8;
	pixman_image_t *src, *dst;

	if (!w || !lines)
		return;
	src = pixman_image_create_bits_no_clear(
		f, (int)w, (int)lines, (uint32_t *)(uintptr_t)(vram + m->start), (int)m->line);
	dst = pixman_image_create_bits_no_clear(
		PIXMAN_x8r8g8b8, (int)m->width, (int)m->height, pixels, (int)m->width * 4);
	if (src && dst)
		pixman_image_composite32(PIXMAN_OP_SRC, src, NULL, dst, r->dispi[DISPI_X_OFFSET], 0,
			0, 0, 0, 0, (int)pixels_inside(r, m), (int)lines);
	if (src)
		pixman_image_unref(src);
	if (dst)
		pixman_image_unref(dst);
}

static void render_linear(const struct line *l, unsigned width, unsigned lines, uint32_t *pixels)
{
	const struct screen_mode *m = l->m;
	unsigned x0 = l->r->dispi[DISPI_X_OFFSET];

	for (unsigned y = 0; y < lines; y++) {
		const uint8_t *from = l->vram + m->start + (size_t)y * m->line;
		uint32_t *out = pixels + (size_t)y * m->width;

		for (unsigned x = 0; x < width; x++) {
			unsigned sx = x0 + x, b = 7 - (sx & 7), v = 0;

			if (m->kind == SCREEN_LINEAR8) {
				out[x] = l->colors[from[sx]];
				continue;
			}
			for (unsigned p = 0; p < 4; p++)
				v |= (from[sx / 8 * 4 + p] >> b & 1u) << p;
			out[x] = l->colors[v];
		}
	}
}

/* ---- all ---- */

void screen_render(const struct display_regs *r, const struct screen_mode *m, const uint8_t *vram,
	uint64_t vram_len, uint32_t *pixels, unsigned visible)
{
	struct line l = { .r = r, .m = m, .vram = vram, .visible = visible };

	l.text = text_find(r, vram, vram_len);
	vram_len -= vram_len < DISPLAY_EXTRA_LEN ? vram_len : DISPLAY_EXTRA_LEN;

	if (m->kind == SCREEN_PACKED || m->kind == SCREEN_LINEAR8)
		palette256(r, l.colors);
	else
		screen_colors(r, l.colors);
	switch (m->kind) {
	case SCREEN_OFF: memset(pixels, 0, (size_t)m->width * m->height * 4); break;
	case SCREEN_RGB:
		memset(pixels, 0, (size_t)m->width * m->height * 4);
		render_rgb(r, m, vram, lines_inside(m, vram_len), pixels);
		break;
	case SCREEN_LINEAR4:
	case SCREEN_LINEAR8:
		memset(pixels, 0, (size_t)m->width * m->height * 4);
		render_linear(&l, pixels_inside(r, m), lines_inside(m, vram_len), pixels);
		break;
	default: render_vga(&l, pixels); break;
	}
}

void screen_text_row(const struct display_regs *r, const struct screen_mode *m, const uint8_t *vram,
	uint64_t vram_len, unsigned row, struct screen_cell *ret_cells, int *ret_cursor)
{
	uint32_t cursor = ((r->crtc[0x0e] << 8 | r->crtc[0x0f]) * 4u) & VGA_MASK;

	*ret_cursor = -1;
	if (vram_len < VRAM_MIN + DISPLAY_EXTRA_LEN) {
		memset(ret_cells, 0, m->columns * sizeof(*ret_cells));
		return;
	}
	for (unsigned i = 0; i < m->columns; i++) {
		uint32_t at = (m->start + row * m->line + i * 4) & VGA_MASK;

		ret_cells[i] = cell_read(vram, text_find(r, vram, vram_len), at);
		if (at == cursor && !(r->crtc[0x0a] & CURSOR_OFF))
			*ret_cursor = (int)i;
	}
}
