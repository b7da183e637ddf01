/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that draws pictures, one after the other, in modes that it sets by registers alone: for
 * comparing what display adapters show (tests/system/test_pictures.py). A multiboot kernel, flat
 * 32-bit code, no interrupts.
 *
 * On COM1 it sends 'P' and the picture's letter when one is ready, and waits for a byte; '.' at the
 * end. Register values: IBM PS/2 Hardware Interface Technical Reference, the table of BIOS modes;
 * mode X is the well-known variation of mode 13h.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

__asm__(".section .multiboot,\"a\"\n"
	".long 0x1badb002, 0, -0x1badb002\n"
	".text\n"
	".globl _start\n"
	"_start: mov $stack_end, %esp\n"
	"	call pictures\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	".bss\n"
	".skip 16384\n"
	"stack_end:\n"
	".text\n");

void pictures(void);

static void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static void outw(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static void outl(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static u8 inb(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static u32 inl(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

/* ---- serial ---- */

static void putch(u8 c)
{
	while (!(inb(0x3fd) & 0x20))
		;
	outb(0x3f8, c);
}

static void ready(char name)
{
	putch('P');
	putch((u8)name);
	while (!(inb(0x3fd) & 1))
		;
	inb(0x3f8);
}

/* ---- modes ---- */

struct mode {
	u8 misc, seq[5], crtc[25], gc[9], ac[21];
};

#define AC16                                                                                      \
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, \
		0x3f
#define AC256 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15

static const struct mode mode_13 = { 0x63, { 3, 1, 15, 0, 14 },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e,
		0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
	{ 0, 0, 0, 0, 0, 0x40, 5, 15, 0xff }, { AC256, 0x41, 0, 15, 0, 0 } };
static const struct mode mode_x = { 0xe3, { 3, 1, 15, 0, 6 },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0d, 0x3e, 0, 0x41, 0, 0, 0, 0, 0, 0, 0xea, 0xac,
		0xdf, 0x28, 0, 0xe7, 0x06, 0xe3, 0xff },
	{ 0, 0, 0, 0, 0, 0x40, 5, 15, 0xff }, { AC256, 0x41, 0, 15, 0, 0 } };
static const struct mode mode_12 = { 0xe3, { 3, 1, 15, 0, 6 },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c,
		0xdf, 0x28, 0, 0xe7, 0x04, 0xe3, 0xff },
	{ 0, 0, 0, 0, 0, 0, 5, 15, 0xff }, { AC16, 1, 0, 15, 0, 0 } };
static const struct mode mode_0d = { 0x63, { 3, 9, 15, 0, 6 },
	{ 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e,
		0x8f, 0x14, 0, 0x96, 0xb9, 0xe3, 0xff },
	{ 0, 0, 0, 0, 0, 0, 5, 15, 0xff }, { AC16, 1, 0, 15, 0, 0 } };
static const struct mode mode_3 = { 0x67, { 3, 0, 3, 0, 2 },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x2d, 0x0e, 0, 0, 0, 0, 0x9c,
		0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
	{ 0, 0, 0, 0, 0, 0x10, 14, 15, 0xff }, { AC16, 0x04, 0, 15, 8, 0 } };
static const struct mode mode_4 = { 0x63, { 3, 9, 3, 0, 2 },
	{ 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e,
		0x8f, 0x14, 0, 0x96, 0xb9, 0xa2, 0xff },
	{ 0, 0, 0, 0, 0, 0x30, 15, 15, 0xff },
	{ 0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 3,
		0, 0 } };
static const struct mode mode_6 = { 0x63, { 3, 1, 1, 0, 6 },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e,
		0x8f, 0x28, 0, 0x96, 0xb9, 0xc2, 0xff },
	{ 0, 0, 0, 0, 0, 0, 13, 15, 0xff },
	{ 0, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17,
		0x17, 1, 0, 1, 0, 0 } };

static void reg(u16 port, u8 index, u8 v)
{
	outw(port, (u16)(v << 8 | index));
}

static void dac_set(void)
{
	outb(0x3c6, 0xff);
	outb(0x3c8, 0);
	for (u32 i = 0; i < 256; i++) {
		outb(0x3c9, (u8)(i >> 2));
		outb(0x3c9, (u8)((i * 7) & 63));
		outb(0x3c9, (u8)((i * 13 >> 1) & 63));
	}
}

static void mode_set(const struct mode *m)
{
	outw(0x1ce, 4);
	outw(0x1cf, 0);
	outb(0x3c2, m->misc);
	for (u8 i = 0; i < 5; i++)
		reg(0x3c4, i, m->seq[i]);
	reg(0x3d4, 0x11, 0);
	for (u8 i = 0; i < 25; i++)
		reg(0x3d4, i, m->crtc[i]);
	for (u8 i = 0; i < 9; i++)
		reg(0x3ce, i, m->gc[i]);
	inb(0x3da);
	for (u8 i = 0; i < 21; i++) {
		outb(0x3c0, i);
		outb(0x3c0, m->ac[i]);
	}
	outb(0x3c0, 0x20);
	dac_set();
}

static volatile u8 *const window = (u8 *)0xa0000;

/* All four planes, from the beginning. */
static void clear(void)
{
	u8 map = 0;

	outb(0x3c4, 2);
	map = inb(0x3c5);
	reg(0x3c4, 2, 15);
	for (u32 i = 0; i < 65536; i++)
		window[i] = 0;
	reg(0x3c4, 2, map);
}

/* ---- pictures ---- */

static void picture_13(void)
{
	mode_set(&mode_13);
	clear();
	for (u32 i = 0; i < 64000; i++)
		window[i] = (u8)((i % 320) ^ (i / 320));
	ready('a');
	/* A start address. */
	reg(0x3d4, 0x0d, 0x50);
	ready('b');
}

static void picture_x(void)
{
	mode_set(&mode_x);
	clear();
	for (u32 p = 0; p < 4; p++) {
		reg(0x3c4, 2, (u8)(1 << p));
		for (u32 i = 0; i < 80 * 240; i++)
			window[i] = (u8)(i % 80 * 4 + p + i / 80 * 3);
	}
	ready('c');
	/* Latches: the upper part into the second page, which is shown. */
	reg(0x3c4, 2, 15);
	reg(0x3ce, 5, 0x41);
	for (u32 i = 0; i < 80 * 240; i++) {
		(void)window[i];
		window[80 * 240 + 80 * (239 - i / 80) + i % 80] = 0x55;
	}
	reg(0x3d4, 0x0c, 80 * 240 >> 8);
	reg(0x3d4, 0x0d, (80 * 240) & 255);
	ready('d');
}

static void box(u32 x, u32 y, u32 w, u32 h, u8 v, u32 read)
{
	for (u32 j = y; j < y + h; j++)
		for (u32 i = x; i < x + w; i++) {
			if (read)
				(void)window[j * 80 + i];
			window[j * 80 + i] = v;
		}
}

static void picture_12(void)
{
	mode_set(&mode_12);
	clear();
	/* Write mode 0: planes by the map mask. */
	for (u8 p = 0; p < 4; p++) {
		reg(0x3c4, 2, (u8)(1 << p));
		for (u32 y = 0; y < 480; y++)
			for (u32 x = 0; x < 80; x++)
				window[y * 80 + x] = (u8)((x * 3 + y) >> p);
	}
	reg(0x3c4, 2, 15);
	ready('e');
	/* Set/reset in some planes, a bit mask, a rotation. */
	reg(0x3ce, 0, 0x5);
	reg(0x3ce, 1, 0x7);
	reg(0x3ce, 8, 0x7e);
	reg(0x3ce, 3, 3);
	box(4, 20, 20, 100, 0x9c, 1);
	/* The ALU: and, or, exclusive or. */
	for (u8 f = 1; f < 4; f++) {
		reg(0x3ce, 3, (u8)(f << 3));
		box(28u + 12 * f, 20, 10, 100, 0x3c, 1);
	}
	reg(0x3ce, 1, 0);
	/* Write mode 2, 3 and 1. */
	reg(0x3ce, 3, 0);
	reg(0x3ce, 5, 2);
	box(4, 140, 20, 100, 0x0b, 1);
	reg(0x3ce, 5, 3);
	reg(0x3ce, 0, 0xe);
	reg(0x3ce, 8, 0xff);
	box(28, 140, 20, 100, 0x66, 1);
	reg(0x3ce, 3, 0x1a);
	box(52, 140, 20, 100, 0x66, 1);
	reg(0x3ce, 3, 0);
	reg(0x3ce, 5, 1);
	(void)window[30 * 80 + 5];
	box(4, 260, 30, 60, 0, 0);
	/* What read mode 1 says becomes a picture. */
	for (u32 i = 0; i < 40 * 100; i++) {
		u8 v;

		reg(0x3ce, 5, 8);
		reg(0x3ce, 2, (u8)(i >> 8));
		reg(0x3ce, 7, 0xb);
		v = window[(i / 40) * 80 + i % 40];
		reg(0x3ce, 5, 0);
		reg(0x3ce, 8, 0xff);
		window[(350 + i / 40) * 80 + 38 + i % 40] = v;
	}
	ready('f');
	/* Split at line 300, the upper part scrolled. */
	reg(0x3d4, 0x18, 300 & 255);
	reg(0x3d4, 7, 0x3e); /* bit 4: 256 of it */
	reg(0x3d4, 9, 0);
	reg(0x3d4, 0x0c, 0x08);
	ready('g');
}

static void picture_0d(void)
{
	mode_set(&mode_0d);
	clear();
	for (u8 p = 0; p < 4; p++) {
		reg(0x3c4, 2, (u8)(1 << p));
		for (u32 i = 0; i < 40 * 200; i++)
			window[i] = (u8)(i * (p + 3) >> 2);
	}
	ready('h');
}

/* A font of our own, in plane 2. */
static void font_load(void)
{
	reg(0x3c4, 2, 4);
	reg(0x3c4, 4, 6);
	reg(0x3ce, 4, 2);
	reg(0x3ce, 5, 0);
	reg(0x3ce, 6, 4);
	for (u32 c = 0; c < 512; c++)
		for (u32 y = 0; y < 16; y++) {
			u32 v = c >> 8 ? c * 5 + y * 3 : c ^ (y << 4) ^ y;

			/* Whether B0-BF have a ninth dot is where adapters differ. */
			if ((c & 0xf0) == 0xb0)
				v &= ~1u;
			window[(c >> 8) * 0x4000 + (c & 255) * 32 + y] = (u8)v;
		}
	reg(0x3c4, 2, 3);
	reg(0x3c4, 4, 2);
	reg(0x3ce, 4, 0);
	reg(0x3ce, 5, 0x10);
	reg(0x3ce, 6, 14);
}

static void picture_text(void)
{
	volatile u16 *text = (u16 *)0xb8000;

	mode_set(&mode_3);
	font_load();
	for (u32 i = 0; i < 2000; i++)
		text[i] = (u16)((i * 37 & 0xff) << 8 | (i & 0xff));
	ready('i');
	/* The second font for bright characters; the cursor, of a size. */
	reg(0x3c4, 3, 0x04);
	reg(0x3d4, 0x0d, 40);
	ready('j');
	/* Eight dots. */
	reg(0x3c4, 1, 1);
	ready('k');
	reg(0x3c4, 3, 0);
}

static void picture_cga(void)
{
	volatile u8 *cga = (u8 *)0xb8000;

	mode_set(&mode_4);
	for (u32 i = 0; i < 16384; i++)
		cga[i] = (u8)(i * 5 + (i >> 13) * 77);
	ready('l');
	mode_set(&mode_6);
	for (u32 i = 0; i < 16384; i++)
		cga[i] = (u8)((i * 3) ^ ((i >> 13) * 0x5a));
	ready('m');
}

/* ---- DISPI ---- */

static void dispi(u16 index, u16 v)
{
	outw(0x1ce, index);
	outw(0x1cf, v);
}

static u8 *frame_buffer(void)
{
	outl(0xcf8, 0x80001010);
	return (u8 *)(inl(0xcfc) & ~15u);
}

static void picture_dispi(u16 bpp, char name)
{
	volatile u8 *fb = frame_buffer();
	u32 bytes = (bpp + 7u) / 8, line = 704 * bytes;

	dispi(4, 0);
	dispi(1, 640);
	dispi(2, 400);
	dispi(3, bpp);
	dispi(4, 0x41);
	dispi(6, 704);
	dac_set();
	inb(0x3da);
	outb(0x3c0, 0x20);
	for (u32 i = 0; i < line * 420; i++)
		fb[i] = (u8)((i % line) * 3 / bytes + i / line * 5 + i % bytes * 64);
	ready(name);
	dispi(8, 16);
	dispi(9, 20);
	ready((char)(name - 32));
}

/* The frame buffer through the window, bank by bank. */
static void picture_banks(void)
{
	dispi(4, 0);
	dispi(1, 800);
	dispi(2, 600);
	dispi(3, 8);
	dispi(4, 1);
	for (u16 b = 0; b < 8; b++) {
		dispi(5, b);
		for (u32 i = 0; i < 65536; i++)
			window[i] = (u8)((i >> 8) ^ i ^ (b * 32u));
	}
	ready('z');
	dispi(4, 0);
}

void pictures(void)
{
	outb(0x3fb, 0x03);
	outb(0x3f9, 0);
	outb(0x3fa, 0);
	outb(0x3fc, 3);
	picture_13();
	picture_x();
	picture_12();
	picture_0d();
	picture_text();
	picture_cga();
	picture_13(); /* what came before leaves nothing behind */
	picture_dispi(8, 'n');
	picture_dispi(15, 'o');
	picture_dispi(16, 'p');
	picture_dispi(24, 'q');
	picture_dispi(32, 'r');
	picture_banks();
	picture_text();
	putch('.');
}
