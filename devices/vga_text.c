/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mode 3 without a video BIOS: register values as in IBM's table of VGA modes (IBM PS/2 Hardware
 * Interface Technical Reference, "BIOS modes"), the EGA's 64 colours in the DAC, and the font out
 * of the expansion ROM's image.
 */
#include "vga_text.h"
#include "bytes.h"
#include "machine.h"
#include "pci.h"
#include "vga.h"

#define FONT_CHARS  256
#define FONT_HEIGHT 16
#define FONT_LEN    (FONT_CHARS * FONT_HEIGHT)
#define TEXT_CELLS  (80 * 25)
#define LFB_MAX_LEN 0x2000000u /* up to the I/O APIC's neighbourhood */

static const uint8_t mode3_seq[VGA_SEQ_REGS] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
static const uint8_t mode3_crtc[VGA_CRTC_REGS] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f,
	0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9,
	0xa3, 0xff };
static const uint8_t mode3_gc[VGA_GC_REGS] = { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff };
static const uint8_t mode3_ac[VGA_AC_REGS] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38,
	0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00 };

/* Bits of an EGA colour: blue, green, red at two thirds, then at one third. */
static void dac_fill(struct display_regs *r)
{
	for (unsigned i = 0; i < 64; i++)
		for (unsigned k = 0; k < 3; k++)
			r->dac[3 * i + k] = (uint8_t)((i >> (2 - k) & 1 ? 0x2a : 0) +
						      (i >> (5 - k) & 1 ? 0x15 : 0));
}

/*
 * The 8x16 font in a video BIOS: its second character is the PC's smiling face, and each BIOS has
 * it with these outlines.
 */
static const uint8_t *font_find(const uint8_t *rom, uint32_t len)
{
	static const uint8_t head[32] = {
		[18] = 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e
	};

	for (uint32_t i = 0; len >= FONT_LEN && i <= len - FONT_LEN; i++)
		if (!memcmp(rom + i, head, sizeof(head)))
			return rom + i;
	return NULL;
}

static void memory_fill(struct vga *s)
{
	const uint8_t *font = font_find(s->rom, s->rom_len);

	for (uint32_t i = 0; i < TEXT_CELLS; i++) {
		s->mem[4 * i] = ' ';
		s->mem[4 * i + 1] = 0x07;
	}
	for (uint32_t c = 0; font && c < FONT_CHARS; c++)
		for (uint32_t y = 0; y < FONT_HEIGHT; y++)
			s->mem[4 * (32 * c + y) + 2] = font[FONT_HEIGHT * c + y];
	machine_vram_written(&s->dev, 0, 4 * 32 * FONT_CHARS);
}

static void bars_place(struct vga *s)
{
	struct machine *m = s->dev.machine;

	if (machine_ram_bytes(&s->dev) > VGA_LFB_GPA || s->mem_len > LFB_MAX_LEN / 2)
		return; /* the kernel will find a place */
	pci_config_write(m, s->fn.devfn, PCI_BAR0, 4, VGA_LFB_GPA & ~(s->mem_len - 1));
	pci_config_write(m, s->fn.devfn, PCI_BAR0 + 8, 4, VGA_MMIO_GPA);
	pci_config_write(m, s->fn.devfn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

struct device *vga_find(struct machine *m)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (d->cls == &vga_class)
			return d;
	return NULL;
}

void vga_text_mode(struct device *dev)
{
	struct vga *s = (struct vga *)dev;
	struct display_regs *r = &s->r;

	r->misc = 0x67;
	memcpy(r->seq, mode3_seq, sizeof(r->seq));
	memcpy(r->crtc, mode3_crtc, sizeof(r->crtc));
	memcpy(r->gc, mode3_gc, sizeof(r->gc));
	memcpy(r->ac, mode3_ac, sizeof(r->ac));
	r->ac_index = 0x20;
	dac_fill(r);
	memory_fill(s);
	bars_place(s);
	display_publish(s->page, r, 0, sizeof(*r));
	vga_window_update(s);
}
