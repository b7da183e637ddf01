/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture that a monitor would show, from what devices publish (display.h) and video memory.
 * Both may change while they are read, and neither is to be believed: every mode is bounded, and
 * what lies outside of video memory is black.
 *
 *	struct screen_mode mode;
 *
 *	screen_mode_find(&regs, vram_len, &mode);
 *	pixels = calloc(mode.width * mode.height, 4);
 *	screen_render(&regs, &mode, vram, vram_len, pixels, SCREEN_CURSOR | SCREEN_BLINK);
 */
#ifndef DEJAVM_SCREEN_H
#define DEJAVM_SCREEN_H

#include <stddef.h>
#include <stdint.h>
#include "display.h"

#define SCREEN_SIZE_MAX 8192 /* either way; what is beyond is not shown */

enum screen_kind {
	SCREEN_OFF,	/* nothing is shown: black */
	SCREEN_TEXT,	/* characters and attributes */
	SCREEN_PLANAR,	/* a bit in each of four planes */
	SCREEN_CGA,	/* two bits in each of two planes */
	SCREEN_PACKED,	/* a byte a pixel, from all planes in turn */
	SCREEN_LINEAR8, /* DISPI: the same, without the VGA's addressing */
	SCREEN_LINEAR4, /* DISPI: planes */
	SCREEN_RGB,	/* DISPI: 15, 16, 24, 32 bits */
};

struct screen_mode {
	enum screen_kind kind;
	unsigned width, height; /* pixels, 1 to SCREEN_SIZE_MAX */
	unsigned bpp;		/* bits of video memory a pixel; 0: text */
	uint32_t start;		/* byte of video memory where the picture begins */
	uint32_t line;		/* bytes from one line (of text: row) to the next */
	/* text */
	unsigned columns, rows, cell_width, cell_height;
};

/* What of blinking things is visible now. */
#define SCREEN_CURSOR 1
#define SCREEN_BLINK  2

struct screen_cell {
	uint8_t ch, attr;
};

/* Any registers give a mode. vram_len: video memory and what is behind it (display.h), at least 320
 * KiB, else nothing is shown. */
void screen_mode_find(
	const struct display_regs *r, uint64_t vram_len, struct screen_mode *ret_mode);
/* width * height pixels 00RRGGBB; visible: SCREEN_CURSOR and SCREEN_BLINK. */
void screen_render(const struct display_regs *r, const struct screen_mode *m, const uint8_t *vram,
	uint64_t vram_len, uint32_t *pixels, unsigned visible);
/*
 * Text: the characters of row, mode->columns of them. *ret_cursor: the cursor's column, or -1 when
 * it is off or in another row.
 */
void screen_text_row(const struct display_regs *r, const struct screen_mode *m, const uint8_t *vram,
	uint64_t vram_len, unsigned row, struct screen_cell *ret_cells, int *ret_cursor);
/* The sixteen colours of text as 00RRGGBB. */
void screen_colors(const struct display_regs *r, uint32_t ret_colors[16]);

#endif
