/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The display adapter's parts among themselves: a VGA with the Bochs DISPI extension on PCI.
 *
 *	vga.c		the device: PCI function, memory windows, expansion ROM, life
 *	vga_regs.c	the VGA's ports, and its timing
 *	vga_mem.c	A0000-BFFFF: write modes, read modes, latches
 *	vga_dispi.c	the DISPI registers
 *
 * Video memory is kept with the four planes' bytes side by side: plane P of address A is byte
 * 4 * A + P. So what a chained (256 colour) mode sees is linear, and so is the frame buffer.
 */
#ifndef DEJAVM_VGA_H
#define DEJAVM_VGA_H

#include "device.h"
#include "display.h"

#define VGA_WINDOW_GPA 0xa0000
#define VGA_WINDOW_LEN 0x20000
#define VGA_BANK_LEN   0x10000

/* Numbers of the registers that are spoken of by name. */
enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_CHAR_MAP, SEQ_MEMORY_MODE };
enum {
	GC_SET_RESET,
	GC_ENABLE_SET_RESET,
	GC_COLOR_COMPARE,
	GC_DATA_ROTATE,
	GC_READ_MAP,
	GC_MODE,
	GC_MISC,
	GC_DONT_CARE,
	GC_BIT_MASK
};
enum {
	CRTC_H_TOTAL = 0x00,
	CRTC_H_DISPLAY_END = 0x01,
	CRTC_V_TOTAL = 0x06,
	CRTC_OVERFLOW = 0x07,
	CRTC_MAX_SCAN = 0x09,
	CRTC_V_SYNC_START = 0x10,
	CRTC_V_SYNC_END = 0x11,
	CRTC_V_DISPLAY_END = 0x12,
	CRTC_OFFSET = 0x13,
	CRTC_MODE = 0x17,
	CRTC_LINE_COMPARE = 0x18
};
#define SEQ_MEMORY_SEQUENTIAL 0x04 /* not odd/even */
#define SEQ_MEMORY_CHAIN4     0x08
#define GC_MODE_ODD_EVEN      0x10
#define GC_MISC_GRAPHICS      0x01
#define MISC_COLOR	      0x01
#define MISC_RAM	      0x02
#define CRTC_PROTECT	      0x80 /* in CRTC_V_SYNC_END */

enum dac_state { DAC_WRITING = 0, DAC_READING = 3 };

struct vga {
	struct device dev;
	struct pci_function fn;
	uint32_t vgamem_mb; /* property */
	uint8_t *mem;
	uint32_t mem_len;
	uint8_t *text;	    /* DISPLAY_EXTRA_LEN bytes (display.h) */
	uint32_t text_off;  /* where they are, from mem on */
	const uint8_t *rom; /* may be NULL */
	uint32_t rom_len;
	struct display_page *page;
	/* What the BAR and the low window show now; derived. */
	uint32_t low_gpa, low_off, low_len;
	/* saved */
	struct display_regs r;
	uint8_t seq_index, crtc_index, gc_index;
	uint8_t ac_data; /* the attribute controller's next write is data */
	uint8_t dac_state, dac_write, dac_read, dac_component;
	uint8_t dac_latch[3]; /* a colour that is being written */
	uint8_t feature;
	uint16_t dispi_index;
	uint32_t latch; /* plane 0 in the low byte */
	uint32_t big_endian;
};

/* ---- vga_regs.c ---- */

/* addr: the port's offset from 3C0h. Ports of CRTC and status are at 14h, 15h and 1Ah in either
 * emulation. */
uint8_t vga_port_read(struct vga *s, unsigned addr);
void vga_port_write(struct vga *s, unsigned addr, uint8_t val);
void vga_regs_reset(struct vga *s);
extern const struct io_ops vga_port_ops, vga_mono_ops, vga_color_ops;

/* ---- vga_mem.c ---- */

/* addr: offset from A0000. */
uint8_t vga_mem_read(struct vga *s, uint32_t addr);
void vga_mem_write(struct vga *s, uint32_t addr, uint8_t val);
/* Whether the window is plain memory with the present registers: *ret_off, *ret_len of it, from
 * A0000 on. */
bool vga_mem_linear(const struct vga *s, uint32_t *ret_off, uint32_t *ret_len);
extern const struct io_ops vga_window_ops;

/*
 * Text: where B0000 or B8000 is a list of cells, characters and attributes side by side, it is
 * plain memory, too: the cells of the window leave planes 0 and 1 for a place of their own, until
 * registers make the window something else. s->r.text says that they have left.
 */
/* The window's address, if registers are such; else 0. */
uint32_t vga_text_window(const struct vga *s);
void vga_text_enter(struct vga *s);
/* Cells that have changed go back; nothing if none has left. */
void vga_text_leave(struct vga *s);

/* ---- vga_dispi.c ---- */

uint16_t dispi_read(struct vga *s, unsigned index);
void dispi_write(struct vga *s, unsigned index, uint16_t val);
void dispi_reset(struct vga *s);
extern const struct io_ops dispi_port_ops;

/* ---- vga.c ---- */

extern const struct device_class vga_class;

/* Registers that decide what A0000 shows have changed. */
void vga_window_update(struct vga *s);

/* A register or a block of them has changed. */
#define vga_publish(s, member) \
	display_publish(       \
		(s)->page, &(s)->r, offsetof(struct display_regs, member), sizeof((s)->r.member))

#endif
