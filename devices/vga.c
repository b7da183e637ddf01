/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The display adapter: a VGA with the Bochs DISPI extension as PCI function 0:2.0, 1234:1111, class
 * 0300 (QEMU docs/specs/standard-vga: "QEMU Standard VGA").
 *
 *	ports 3B0-3BB, 3C0-3DB, 1CE-1D0		and memory A0000-BFFFF, always
 *	BAR 0	frame buffer: plain memory for the processor
 *	BAR 2	4 KiB of registers: 0 (no EDID), 400 ports from 3C0 on, 500 DISPI registers, 600
 *		size of the extended registers, 604 byte order (kept; the picture is little-endian)
 *	ROM	the video BIOS, if the machine has one
 *
 * Properties: vgamem_mb (16): video memory, a power of two from 1 to 256.
 *
 * The state after a reset is the chip's: nothing is shown until a BIOS has set a mode. A kernel
 * that is started without one finds what it would have left (vga_text_mode()).
 */
#include "vga_text.h"
#include <errno.h>
#include "bytes.h"
#include "pci.h"
#include "vga.h"

#define VGA_DEVFN	  0x10
#define PCI_REVISION_REGS 2 /* there are the extended registers of BAR 2 */
#define MMIO_LEN	  0x1000
#define MMIO_PORTS	  0x400
#define MMIO_DISPI	  0x500
#define MMIO_EXT	  0x600
#define EXT_LEN		  8
#define ENDIAN_LITTLE	  0x1e1e1e1e
#define ENDIAN_BIG	  0xbebebebe
#define ROM_LEN_MAX	  (256u << 10)

/* ---- windows ---- */

static void window_map(struct vga *s)
{
	uint32_t gpa = VGA_WINDOW_GPA, off = 0, len = 0;

	if (s->r.text) {
		gpa = vga_text_window(s);
		off = s->text_off;
		len = DISPLAY_TEXT_LEN;
	} else if (!vga_mem_linear(s, &off, &len)) {
		off = len = 0;
	}
	if (off == s->low_off && len == s->low_len && gpa == s->low_gpa)
		return;
	s->low_gpa = gpa;
	s->low_off = off;
	s->low_len = len;
	machine_vram_map(&s->dev, gpa, len, off);
}

void vga_window_update(struct vga *s)
{
	bool text = vga_text_window(s) != 0;

	if (text && !s->r.text)
		vga_text_enter(s);
	else if (!text)
		vga_text_leave(s);
	window_map(s);
}

/* ---- the frame buffer, where it cannot be plain memory ---- */

static uint64_t lfb_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct vga *s = (struct vga *)dev;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)s->mem[addr + i] << 8 * i;
	return v;
}

static void lfb_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct vga *s = (struct vga *)dev;

	for (unsigned i = 0; i < size; i++)
		s->mem[addr + i] = (uint8_t)(val >> 8 * i);
	machine_vram_written(dev, (uint32_t)addr, size);
}

static const struct io_ops lfb_ops = { lfb_read, lfb_write, .max_size = 8 };

/* ---- BAR 2 ---- */

static uint64_t ext_read(const struct vga *s, uint64_t addr, unsigned size)
{
	uint8_t regs[EXT_LEN];
	uint64_t v = 0;

	put_le32(regs, EXT_LEN);
	put_le32(regs + 4, s->big_endian ? ENDIAN_BIG : ENDIAN_LITTLE);
	for (unsigned i = 0; i < size && addr + i < EXT_LEN; i++)
		v |= (uint64_t)regs[addr + i] << 8 * i;
	return v;
}

static uint64_t mmio_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct vga *s = (struct vga *)dev;
	uint64_t v = 0;

	if (addr >= MMIO_PORTS && addr < MMIO_PORTS + 0x20) {
		for (unsigned i = 0; i < size; i++)
			v |= (uint64_t)vga_port_read(s, (unsigned)(addr - MMIO_PORTS) + i) << 8 * i;
		return v;
	}
	if (addr >= MMIO_DISPI && addr < MMIO_DISPI + 2 * (DISPI_REGS + 1)) {
		v = dispi_read(s, (unsigned)(addr - MMIO_DISPI) / 2);
		return addr & 1 ? v >> 8 : v;
	}
	if (addr >= MMIO_EXT && addr < MMIO_EXT + EXT_LEN)
		return ext_read(s, addr - MMIO_EXT, size);
	return 0;
}

static void mmio_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct vga *s = (struct vga *)dev;

	if (addr >= MMIO_PORTS && addr < MMIO_PORTS + 0x20) {
		for (unsigned i = 0; i < size; i++)
			vga_port_write(
				s, (unsigned)(addr - MMIO_PORTS) + i, (uint8_t)(val >> 8 * i));
	} else if (addr >= MMIO_DISPI && addr < MMIO_DISPI + 2 * DISPI_REGS) {
		if (size == 2 && !(addr & 1))
			dispi_write(s, (unsigned)(addr - MMIO_DISPI) / 2, (uint16_t)val);
	} else if (addr == MMIO_EXT + 4 && size == 4) {
		if (val == ENDIAN_LITTLE || val == ENDIAN_BIG)
			s->big_endian = val == ENDIAN_BIG;
	}
}

static const struct io_ops mmio_ops = { mmio_read, mmio_write, .max_size = 4 };

/* ---- the ROM ---- */

static uint64_t rom_read(struct device *dev, uint64_t addr, unsigned size)
{
	const struct vga *s = (const struct vga *)dev;
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)(addr + i < s->rom_len ? s->rom[addr + i] : 0xff) << 8 * i;
	return v;
}

static const struct io_ops rom_ops = { rom_read, NULL, .max_size = 8 };

/* ---- life ---- */

static void vga_reset(struct device *dev)
{
	struct vga *s = (struct vga *)dev;
	uint8_t *c = s->fn.config;

	memset(c, 0, sizeof(s->fn.config));
	pci_set_ids(&s->fn, 0x1234, 0x1111, 0x0300, PCI_REVISION_REGS);
	c[PCI_BAR0] = 0x08; /* prefetchable */
	pci_bars_update(&s->fn);
	s->big_endian = 0;
	vga_text_leave(s);
	vga_regs_reset(s);
	dispi_reset(s);
	display_publish(s->page, &s->r, 0, sizeof(s->r));
	vga_window_update(s);
}

static void vga_loaded(struct device *dev)
{
	struct vga *s = (struct vga *)dev;

	/* Indices that a snapshot brought are bounded as if they had been written. */
	s->seq_index &= 7;
	s->gc_index &= 0x0f;
	s->crtc_index &= 0x3f;
	s->dac_component %= 3;
	s->r.dispi[DISPI_BANK] %= (uint16_t)(s->mem_len / VGA_BANK_LEN);
	/* Cells are where the registers say that they are: memory was restored with them. */
	s->r.present = 1;
	s->r.text = vga_text_window(s) != 0;
	pci_bars_update(&s->fn);
	display_publish(s->page, &s->r, 0, sizeof(s->r));
	window_map(s);
}

/* Picks up what the machine has for a display adapter. */
static int memory_find(struct vga *s, struct error *err)
{
	uint64_t len = (uint64_t)s->vgamem_mb << 20, have;

	s->mem = machine_vram(&s->dev, &have);
	if (!s->vgamem_mb || s->vgamem_mb > 256 || (s->vgamem_mb & (s->vgamem_mb - 1)))
		return error_set(err, EINVAL,
			"%s: vgamem_mb=%u: expected a power of two from 1 to 256", s->dev.id,
			s->vgamem_mb);
	if (have < len + DISPLAY_EXTRA_LEN)
		return error_set(err, EINVAL,
			"%s: vgamem_mb=%u: the machine has %llu bytes of video memory", s->dev.id,
			s->vgamem_mb, (unsigned long long)have);
	s->mem_len = (uint32_t)len;
	s->text = s->mem + have - DISPLAY_EXTRA_LEN;
	s->text_off = (uint32_t)(have - DISPLAY_EXTRA_LEN);
	s->page = machine_display(&s->dev);
	s->rom = machine_vga_rom(&s->dev, &s->rom_len);
	if (s->rom_len > ROM_LEN_MAX)
		return error_set(err, EINVAL, "%s: a video BIOS of %u bytes: expected at most %u",
			s->dev.id, s->rom_len, ROM_LEN_MAX);
	return 0;
}

static int bars_register(struct vga *s, struct error *err)
{
	uint32_t rom_bar = 2048;
	int r = pci_bar_register(&s->fn, 0, s->mem_len, false, &lfb_ops, err);

	if (r == 0) {
		pci_bar_is_vram(&s->fn, 0);
		r = pci_bar_register(&s->fn, 2, MMIO_LEN, false, &mmio_ops, err);
	}
	while (rom_bar < s->rom_len)
		rom_bar *= 2;
	if (r == 0 && s->rom_len)
		r = pci_bar_register(&s->fn, PCI_BAR_ROM, rom_bar, false, &rom_ops, err);
	s->fn.wmask[PCI_COMMAND] |= PCI_COMMAND_IO | PCI_COMMAND_MASTER;
	s->fn.wmask[PCI_INTERRUPT_LINE] = 0xff;
	return r;
}

static int vga_realize(struct device *dev, struct error *err)
{
	struct vga *s = (struct vga *)dev;
	int r = memory_find(s, err);

	if (r == 0)
		r = pci_register(dev, &s->fn, VGA_DEVFN, err);
	if (r == 0)
		r = bars_register(s, err);
	if (r == 0)
		r = io_map(dev, 0x3b0, 12, &vga_mono_ops, err);
	if (r == 0)
		r = io_map(dev, 0x3c0, 16, &vga_port_ops, err);
	if (r == 0)
		r = io_map(dev, 0x3d0, 12, &vga_color_ops, err);
	if (r == 0)
		r = io_map(dev, 0x1ce, 4, &dispi_port_ops, err);
	if (r == 0)
		r = mmio_map(dev, VGA_WINDOW_GPA, VGA_WINDOW_LEN, &vga_window_ops, err);
	return r;
}

static const struct prop vga_props[] = {
	{ "vgamem_mb", PROP_U32, offsetof(struct vga, vgamem_mb), 16 },
	PROP_END,
};

static const struct field vga_fields[] = {
	FIELD_ARRAY(struct vga, fn.config),
	FIELD(struct vga, r.misc),
	FIELD_ARRAY(struct vga, r.seq),
	FIELD_ARRAY(struct vga, r.crtc),
	FIELD_ARRAY(struct vga, r.gc),
	FIELD_ARRAY(struct vga, r.ac),
	FIELD(struct vga, r.ac_index),
	FIELD(struct vga, r.dac_mask),
	FIELD_ARRAY(struct vga, r.dac),
	FIELD_ARRAY(struct vga, r.dispi),
	FIELD(struct vga, seq_index),
	FIELD(struct vga, crtc_index),
	FIELD(struct vga, gc_index),
	FIELD(struct vga, ac_data),
	FIELD(struct vga, dac_state),
	FIELD(struct vga, dac_write),
	FIELD(struct vga, dac_read),
	FIELD(struct vga, dac_component),
	FIELD_ARRAY(struct vga, dac_latch),
	FIELD(struct vga, feature),
	FIELD(struct vga, dispi_index),
	FIELD(struct vga, latch),
	FIELD(struct vga, big_endian),
	FIELD_END,
};

const struct device_class vga_class = {
	.name = "VGA",
	.desc = "VGA with Bochs DISPI extension (PCI)",
	.instance_size = sizeof(struct vga),
	.props = vga_props,
	.fields = vga_fields,
	.user_creatable = true,
	.realize = vga_realize,
	.reset = vga_reset,
	.loaded = vga_loaded,
};
