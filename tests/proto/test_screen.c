/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pictures against a model that asks for one pixel at a time, in every kind of mode with odd
 * settings; and any registers at all, which may not lead outside of video memory or the picture.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "screen.h"

#define PICTURE (1u << 20)
#define VRAM	(PICTURE + DISPLAY_EXTRA_LEN)

static uint8_t *vram; /* ends at a page that may not be touched */
static struct display_regs regs;
static uint32_t rng = 1;

static uint32_t next_random(void)
{
	rng = rng * 1664525 + 1013904223;
	return rng >> 8;
}

static void fill(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)next_random();
}

static int setup(void **state)
{
	uint8_t *m =
		mmap(NULL, VRAM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED || mprotect(m + VRAM, 4096, PROT_NONE) < 0)
		return -1;
	vram = m;
	fill(vram, VRAM);
	return 0;
}

static void regs_init(void)
{
	memset(&regs, 0, sizeof(regs));
	regs.present = 1;
	regs.ac_index = 0x20;
	regs.dac_mask = 0xff;
	fill(regs.dac, sizeof(regs.dac));
	for (unsigned i = 0; i < 16; i++)
		regs.ac[i] = (uint8_t)(next_random() & 0x3f);
	regs.ac[0x12] = 0x0f;
	regs.crtc[0x17] = 0xa3;
	regs.crtc[0x18] = 0xff;
	regs.crtc[7] = 0x10;
	regs.crtc[9] = 0x40;
}

/* ---- the model ---- */

static uint32_t dac(unsigned i)
{
	uint32_t v = 0;

	for (unsigned k = 0; k < 3; k++) {
		unsigned c = regs.dac[3 * i + k];

		v = v * 256 +
		    (regs.dispi[DISPI_ENABLE] & DISPI_8BIT_DAC ? c : (c & 63) * 4 + (c & 63) / 16);
	}
	return v;
}

static uint32_t color16(unsigned c)
{
	unsigned v = regs.ac[c & regs.ac[0x12]] & 0x3f;

	if (regs.ac[0x10] & 0x80)
		v = (v & 15) + (regs.ac[0x14] & 3) * 16;
	return dac((v + (regs.ac[0x14] >> 2 & 3) * 64) & regs.dac_mask);
}

static unsigned plane_byte(uint32_t addr, unsigned plane)
{
	return vram[(addr * 4 + plane) % 0x40000];
}

/* The address of the row and the line in it, by walking down from the top. */
static void walk(unsigned y, uint32_t *addr, unsigned *scan, bool *below)
{
	unsigned compare =
		regs.crtc[0x18] + (regs.crtc[7] & 0x10 ? 256 : 0) + (regs.crtc[9] & 0x40 ? 512 : 0);
	unsigned max = regs.crtc[9] & 31, twice = regs.crtc[9] & 0x80 ? 2 : 1;
	unsigned from = y, first = regs.crtc[8] & 31;

	*addr = regs.crtc[0x0c] * 256u + regs.crtc[0x0d];
	*below = y > compare;
	if (*below) {
		*addr = 0;
		first = 0;
		from = y - compare - 1;
	}
	*scan = first;
	for (unsigned n = from / twice; n > 0; n--) {
		if (*scan == max || *scan == 31) {
			*scan = 0;
			*addr += regs.crtc[0x13] * 2u;
		} else {
			++*scan;
		}
	}
}

static uint32_t model_text(unsigned x, unsigned y)
{
	unsigned w = regs.seq[1] & 1 ? 8 : 9, pan = regs.ac[0x13] & 15, scan, ch, attr, map, dots;
	uint32_t addr, at, cursor = regs.crtc[0x0e] * 256u + regs.crtc[0x0f];
	bool below, on;

	walk(y, &addr, &scan, &below);
	pan = w == 9 ? (pan > 7 ? 0 : pan + 1) : pan & 7;
	if (below && (regs.ac[0x10] & 0x20))
		pan = 0;
	if (regs.seq[1] & 8)
		x /= 2;
	x += pan;
	at = addr + x / w;
	ch = plane_byte(at, 0);
	attr = plane_byte(at, 1);
	if (regs.text && at % 0x10000 < DISPLAY_TEXT_LEN / 2) {
		ch = vram[PICTURE + at % 0x10000 * 2];
		attr = vram[PICTURE + at % 0x10000 * 2 + 1];
	}
	map = regs.seq[3];
	map = attr & 8 ? (map & 0x20 ? 1 : 0) + (map >> 2 & 3) * 2
		       : (map & 0x10 ? 1 : 0) + (map & 3) * 2;
	dots = plane_byte(map * 8192 + ch * 32 + scan, 2);
	if ((regs.ac[0x10] & 2) && (attr & 7) == 1 && scan == (regs.crtc[0x14] & 31))
		dots = 255;
	x %= w;
	if (x < 8)
		on = dots >> (7 - x) & 1;
	else
		on = (regs.ac[0x10] & 4) && ch >= 0xc0 && ch <= 0xdf && (dots & 1);
	if (at % 0x10000 == cursor && !(regs.crtc[0x0a] & 0x20) &&
		scan >= (regs.crtc[0x0a] & 31u) && scan <= (regs.crtc[0x0b] & 31u))
		on = true;
	return color16(on ? attr & 15 : attr >> 4 & (regs.ac[0x10] & 8 ? 7 : 15));
}

static uint32_t model_graphics(unsigned x, unsigned y)
{
	unsigned pan = regs.ac[0x13] & 7, scan, shift = regs.gc[5] >> 5 & 3, c = 0;
	uint32_t addr;
	bool below;

	walk(y, &addr, &scan, &below);
	if (below && (regs.ac[0x10] & 0x20))
		pan = 0;
	if (regs.seq[1] & 8)
		x /= 2;
	if (shift >= 2) {
		x = x / 2 + pan / 2;
		return dac(plane_byte(addr + x / 4, x % 4) & regs.dac_mask);
	}
	x += pan;
	if (!(regs.crtc[0x17] & 1)) {
		unsigned n = regs.crtc[0x17] & 0x40 ? 8192 : 4096;

		addr = (addr & ~n) + (scan & 1) * n;
	}
	if (!(regs.crtc[0x17] & 2)) {
		unsigned n = regs.crtc[0x17] & 0x40 ? 16384 : 8192;

		addr = (addr & ~n) + (scan >> 1 & 1) * n;
	}
	addr += x / 8;
	if (shift == 0)
		for (unsigned p = 0; p < 4; p++)
			c += (plane_byte(addr, p) >> (7 - x % 8) & 1) << p;
	else
		c = (plane_byte(addr, x % 8 / 4) >> (6 - x % 4 * 2) & 3) +
		    (plane_byte(addr, x % 8 / 4 + 2) >> (6 - x % 4 * 2) & 3) * 4;
	return color16(c);
}

static unsigned grow(unsigned v, unsigned bits)
{
	v <<= 8 - bits;
	return v | v >> bits;
}

static uint32_t model_dispi(unsigned x, unsigned y)
{
	const uint16_t *d = regs.dispi;
	unsigned bpp = d[DISPI_BPP], bytes = (bpp + 7) / 8, c = 0;
	uint64_t at;

	x += d[DISPI_X_OFFSET];
	y += d[DISPI_Y_OFFSET];
	if (x >= d[DISPI_VIRT_WIDTH])
		return 0;
	if (bpp == 4) {
		if ((uint64_t)(y + 1) * d[DISPI_VIRT_WIDTH] / 2 > PICTURE)
			return 0;
		for (unsigned p = 0; p < 4; p++)
			c += (vram[y * (d[DISPI_VIRT_WIDTH] / 2) + x / 8 * 4 + p] >> (7 - x % 8) &
				     1)
			     << p;
		return color16(c);
	}
	if ((uint64_t)(y + 1) * d[DISPI_VIRT_WIDTH] * bytes > PICTURE)
		return 0;
	at = ((uint64_t)y * d[DISPI_VIRT_WIDTH] + x) * bytes;
	for (unsigned i = 0; i < bytes; i++)
		c += (unsigned)vram[at + i] << 8 * i;
	switch (bpp) {
	case 8: return dac(c & regs.dac_mask);
	case 15: return grow(c >> 10 & 31, 5) << 16 | grow(c >> 5 & 31, 5) << 8 | grow(c & 31, 5);
	case 16: return grow(c >> 11 & 31, 5) << 16 | grow(c >> 5 & 63, 6) << 8 | grow(c & 31, 5);
	}
	return c & 0xffffff;
}

static void compare(uint32_t (*model)(unsigned, unsigned), unsigned w, unsigned h)
{
	struct screen_mode m;
	uint32_t *p;

	screen_mode_find(&regs, VRAM, &m);
	assert_int_equal(m.width, w);
	assert_int_equal(m.height, h);
	p = calloc((size_t)w * h, 4);
	assert_non_null(p);
	screen_render(&regs, &m, vram, VRAM, p, SCREEN_CURSOR | SCREEN_BLINK);
	for (unsigned y = 0; y < h; y++)
		for (unsigned x = 0; x < w; x++)
			if ((p[y * w + x] & 0xffffff) != model(x, y))
				fail_msg("pixel %u,%u of %ux%u: %06x, the model has %06x", x, y, w,
					h, p[y * w + x] & 0xffffff, model(x, y));
	free(p);
}

/* Width in characters, height in lines. */
static void set_size(unsigned chars, unsigned lines)
{
	regs.crtc[1] = (uint8_t)(chars - 1);
	regs.crtc[0x12] = (uint8_t)(lines - 1);
	regs.crtc[7] = (uint8_t)((regs.crtc[7] & ~0x42) | ((lines - 1) >> 7 & 2) |
				 ((lines - 1) >> 3 & 0x40));
}

static void set_compare(unsigned line)
{
	regs.crtc[0x18] = (uint8_t)line;
	regs.crtc[7] = (uint8_t)((regs.crtc[7] & ~0x10) | (line >> 4 & 0x10));
	regs.crtc[9] = (uint8_t)((regs.crtc[9] & ~0x40) | (line >> 3 & 0x40));
}

static void test_text(void **state)
{
	regs_init();
	set_size(80, 400);
	regs.crtc[9] |= 15;
	regs.crtc[0x13] = 40;
	regs.crtc[0x0a] = 13;
	regs.crtc[0x0b] = 14;
	regs.crtc[0x0f] = 85;
	regs.ac[0x10] = 0x0c;
	regs.ac[0x13] = 8;
	compare(model_text, 720, 400);
	/* Cells that have left the planes, and their end. */
	regs.text = 1;
	compare(model_text, 720, 400);
	regs.crtc[0x0c] = 0x3f;
	compare(model_text, 720, 400);
	regs.crtc[0x0c] = 0;
	regs.text = 0;
	/* Eight dots, forty columns, two fonts, scrolled and panned, split. */
	regs.seq[1] = 0x09;
	regs.seq[3] = 0x2d;
	regs.crtc[0x13] = 20;
	regs.crtc[8] = 5;
	regs.crtc[0x0d] = 7;
	regs.ac[0x10] = 0x20;
	regs.ac[0x13] = 3;
	set_size(40, 350);
	set_compare(200);
	compare(model_text, 640, 350);
	/* Monochrome, underlined; the colour select register. */
	regs.ac[0x10] = 0x82;
	regs.ac[0x14] = 0x0e;
	regs.crtc[0x14] = 12;
	regs.crtc[0x0a] = 0x20;
	compare(model_text, 640, 350);
}

static void test_graphics(void **state)
{
	regs_init();
	regs.gc[6] = 5;
	regs.crtc[0x13] = 40;
	set_size(80, 480);
	compare(model_graphics, 640, 480);
	regs.ac[0x12] = 0x07;
	regs.ac[0x13] = 5;
	regs.ac[0x10] = 0x21;
	regs.crtc[0x0c] = 0x12;
	regs.crtc[9] |= 0x80;
	set_compare(300);
	compare(model_graphics, 640, 480);
	regs.seq[1] = 8;
	regs.crtc[0x13] = 21;
	set_size(40, 400);
	compare(model_graphics, 640, 400);
}

static void test_packed(void **state)
{
	regs_init();
	regs.gc[6] = 5;
	regs.gc[5] = 0x40;
	regs.crtc[0x13] = 40;
	regs.crtc[9] |= 1;
	set_size(80, 400);
	compare(model_graphics, 640, 400);
	regs.dac_mask = 0x3f;
	regs.crtc[0x0c] = 0xfe; /* wraps */
	regs.ac[0x13] = 2;
	compare(model_graphics, 640, 400);
}

static void test_cga(void **state)
{
	regs_init();
	regs.gc[6] = 0x0f;
	regs.gc[5] = 0x30;
	regs.seq[1] = 9;
	regs.crtc[0x13] = 20;
	regs.crtc[0x17] = 0xa2;
	regs.crtc[9] |= 0x81;
	set_size(40, 400);
	compare(model_graphics, 640, 400);
	/* Two colours, in byte mode; four banks, as Hercules has them. */
	regs.gc[5] = 0;
	regs.seq[1] = 1;
	regs.crtc[0x13] = 40;
	regs.crtc[0x17] = 0xc0;
	regs.crtc[9] = 0x43;
	set_size(80, 348);
	compare(model_graphics, 640, 348);
}

static void test_dispi(void **state)
{
	static const unsigned bpps[] = { 4, 8, 15, 16, 24, 32 };

	for (size_t i = 0; i < sizeof(bpps) / sizeof(bpps[0]); i++) {
		regs_init();
		regs.dispi[DISPI_ENABLE] = DISPI_ENABLED | (i & 1 ? DISPI_8BIT_DAC : 0);
		regs.dispi[DISPI_BPP] = (uint16_t)bpps[i];
		regs.dispi[DISPI_XRES] = 320;
		regs.dispi[DISPI_YRES] = 100;
		regs.dispi[DISPI_VIRT_WIDTH] = 344;
		regs.dispi[DISPI_X_OFFSET] = 13;
		regs.dispi[DISPI_Y_OFFSET] = 50;
		compare(model_dispi, 320, 100);
		/* Beyond the line, and beyond memory. */
		regs.dispi[DISPI_X_OFFSET] = 100;
		regs.dispi[DISPI_Y_OFFSET] =
			(uint16_t)(PICTURE / (344 * (bpps[i] == 4 ? 1 : (bpps[i] + 7) / 8)) *
					   (bpps[i] == 4 ? 2 : 1) -
				   20);
		compare(model_dispi, 320, 100);
	}
}

static void test_off(void **state)
{
	struct screen_mode m;
	uint32_t p[640];

	regs_init();
	set_size(80, 1);
	regs.ac_index = 0;
	screen_mode_find(&regs, VRAM, &m);
	assert_int_equal(m.kind, SCREEN_OFF);
	assert_int_equal(m.width, 640);
	memset(&regs, 0, sizeof(regs));
	screen_mode_find(&regs, VRAM, &m);
	assert_int_equal(m.width, 640);
	assert_int_equal(m.height, 480);
	regs_init();
	set_size(80, 1);
	regs.seq[1] = 0x20;
	screen_mode_find(&regs, VRAM, &m);
	assert_int_equal(m.kind, SCREEN_OFF);
	m.width = 640;
	m.height = 1;
	memset(p, 0xff, sizeof(p));
	screen_render(&regs, &m, vram, VRAM, p, 0);
	for (unsigned i = 0; i < 640; i++)
		assert_int_equal(p[i], 0);
}

static void test_text_row(void **state)
{
	struct screen_mode m;
	struct screen_cell c[256];
	uint8_t saved[8];
	int cursor;

	regs_init();
	set_size(80, 400);
	regs.crtc[9] |= 15;
	regs.crtc[0x13] = 40;
	regs.crtc[0x0f] = 81;
	screen_mode_find(&regs, VRAM, &m);
	assert_int_equal(m.columns, 80);
	assert_int_equal(m.rows, 25);
	memcpy(saved, vram + 80 * 4, 8);
	memcpy(vram + 80 * 4, "H\x17..i\x21", 7);
	screen_text_row(&regs, &m, vram, VRAM, 1, c, &cursor);
	assert_int_equal(c[0].ch, 'H');
	assert_int_equal(c[0].attr, 0x17);
	assert_int_equal(c[1].ch, 'i');
	assert_int_equal(cursor, 1);
	screen_text_row(&regs, &m, vram, VRAM, 2, c, &cursor);
	assert_int_equal(cursor, -1);
	memcpy(vram + 80 * 4, saved, 8);
	regs.text = 1;
	memcpy(vram + PICTURE + 80 * 2, "T\x07", 2);
	screen_text_row(&regs, &m, vram, VRAM, 1, c, &cursor);
	assert_int_equal(c[0].ch, 'T');
	assert_int_equal(c[0].attr, 7);
}

/* Registers as a mad devices process might publish them. */
static void test_any(void **state)
{
	for (unsigned i = 0; i < 400; i++) {
		struct screen_mode m;
		struct screen_cell cells[256];
		size_t n;
		uint8_t *p;
		int cursor;

		fill(&regs, sizeof(regs));
		regs.present = 1;
		regs.ac_index |= 0x20;
		regs.seq[1] &= 0x1f;
		if (i % 2)
			regs.dispi[DISPI_ENABLE] &= (uint16_t)~DISPI_ENABLED;
		if (i % 3)
			regs.dispi[DISPI_XRES] %= 1024;
		if (i % 40) /* few that are as large as can be */
			regs.dispi[DISPI_YRES] %= 256;
		screen_mode_find(&regs, VRAM, &m);
		assert_in_range(m.width, 1, SCREEN_SIZE_MAX);
		assert_in_range(m.height, 1, SCREEN_SIZE_MAX);
		n = (size_t)m.width * m.height * 4;
		p = mmap(NULL, (n + 4095) / 4096 * 4096 + 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		assert_true(p != MAP_FAILED);
		mprotect(p + (n + 4095) / 4096 * 4096, 4096, PROT_NONE);
		screen_render(&regs, &m, vram, VRAM,
			(uint32_t *)(void *)(p + (n + 4095) / 4096 * 4096 - n), i);
		if (m.kind == SCREEN_TEXT)
			for (unsigned y = 0; y < m.rows; y++)
				screen_text_row(&regs, &m, vram, VRAM, y, cells, &cursor);
		munmap(p, (n + 4095) / 4096 * 4096 + 4096);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_graphics),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_cga),
		cmocka_unit_test(test_dispi),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_text_row),
		cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
