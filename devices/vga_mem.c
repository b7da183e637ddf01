/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VGA's memory window: how the processor's bytes get into the four planes and back. IBM PS/2
 * Hardware Interface Technical Reference, "Video Subsystem": graphics controller registers, and
 * the sequencer's map mask and memory mode.
 *
 * Deviations:
 *  - Chained addressing drops the address bits that choose the plane, so that the planes are
 *    filled from their beginning; IBM's leaves holes. A program notices only when it fills
 *    memory by one addressing and reads it by another.
 *  - Where the window is plain memory for the processor (vga_mem_linear(), vga_text_window()),
 *    reads do not load the latches. What the frame buffer shows of a text's cells is from before
 * the text mode, and comes up to date at its end.
 */
#include "vga.h"
#include "bytes.h"

/* The four planes' bits 0-3 of v as whole bytes. */
static uint32_t planes_of(unsigned v)
{
	return ((v & 1) | (v & 2) << 7 | (v & 4) << 14 | (v & 8) << 21) * 0xffu;
}

/* Where in the adapter's 128 KiB addr lies, by the memory map of the miscellaneous register. */
static bool window_decode(const struct vga *s, uint32_t *addr)
{
	static const struct {
		uint32_t base, len;
	} maps[4] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };
	unsigned map = s->r.gc[GC_MISC] >> 2 & 3;

	if (!(s->r.misc & MISC_RAM) || *addr < maps[map].base ||
		*addr - maps[map].base >= maps[map].len)
		return false;
	*addr -= maps[map].base;
	if (map <= 1 && (s->r.dispi[DISPI_ENABLE] & DISPI_ENABLED))
		*addr += (uint32_t)s->r.dispi[DISPI_BANK] * VGA_BANK_LEN;
	return true;
}

/* Which four bytes addr belongs to, as an offset into video memory, and which planes of them it can
 * reach. */
static bool cell_find(
	const struct vga *s, uint32_t addr, bool write, uint32_t *ret_off, unsigned *ret_planes)
{
	bool odd_even = write ? !(s->r.seq[SEQ_MEMORY_MODE] & SEQ_MEMORY_SEQUENTIAL)
			      : s->r.gc[GC_MODE] & GC_MODE_ODD_EVEN;

	if (s->r.seq[SEQ_MEMORY_MODE] & SEQ_MEMORY_CHAIN4) {
		*ret_off = addr & ~3u;
		*ret_planes = 1u << (addr & 3);
	} else if (odd_even) {
		*ret_off = addr >> 1 << 2;
		*ret_planes = addr & 1 ? 0xa : 0x5;
	} else {
		*ret_off = addr << 2;
		*ret_planes = 0xf;
	}
	return *ret_off < s->mem_len;
}

/* Read mode 0: the plane that the read map select register names, as far as the address leaves the
 * choice. */
static unsigned read_plane(const struct vga *s, uint32_t addr, unsigned planes)
{
	unsigned map = s->r.gc[GC_READ_MAP] & 3;

	if (s->r.seq[SEQ_MEMORY_MODE] & SEQ_MEMORY_CHAIN4)
		return addr & 3;
	return planes == 0xf ? map : (map & 2) | (addr & 1);
}

/* Read mode 1: a bit for each pixel whose colour is the compare register's in all planes that
 * matter. */
static uint8_t read_compare(const struct vga *s)
{
	uint32_t differ = (s->latch ^ planes_of(s->r.gc[GC_COLOR_COMPARE])) &
			  planes_of(s->r.gc[GC_DONT_CARE]);

	differ |= differ >> 16;
	return (uint8_t) ~(differ | differ >> 8);
}

uint8_t vga_mem_read(struct vga *s, uint32_t addr)
{
	uint32_t off;
	unsigned planes;

	if (!window_decode(s, &addr) || !cell_find(s, addr, false, &off, &planes))
		return 0xff;
	s->latch = get_le32(s->mem + off);
	if (s->r.gc[GC_MODE] & 8)
		return read_compare(s);
	return (uint8_t)(s->latch >> 8 * read_plane(s, addr, planes));
}

static uint8_t rotate_right(uint8_t v, unsigned n)
{
	return (uint8_t)(v >> n | v << (8 - n));
}

/* What the ALU makes of the processor's (or set/reset's) bytes and the latches. */
static uint32_t alu(const struct vga *s, uint32_t v)
{
	switch (s->r.gc[GC_DATA_ROTATE] >> 3 & 3) {
	case 1: return v & s->latch;
	case 2: return v | s->latch;
	case 3: return v ^ s->latch;
	}
	return v;
}

/* The 32 bits that a byte from the processor becomes; write modes 0 to 3. */
static uint32_t write_value(const struct vga *s, uint8_t val)
{
	const uint8_t *gc = s->r.gc;
	uint8_t mask = gc[GC_BIT_MASK];
	uint8_t rotated = rotate_right(val, gc[GC_DATA_ROTATE] & 7);
	uint32_t v, sr, bits;

	switch (gc[GC_MODE] & 3) {
	case 0:
		sr = planes_of(gc[GC_ENABLE_SET_RESET]);
		v = (rotated * 0x01010101u & ~sr) | (planes_of(gc[GC_SET_RESET]) & sr);
		break;
	case 1: return s->latch;
	case 2: v = planes_of(val); break;
	default:
		mask &= rotated;
		v = planes_of(gc[GC_SET_RESET]);
		break;
	}
	bits = mask * 0x01010101u;
	return (alu(s, v) & bits) | (s->latch & ~bits);
}

void vga_mem_write(struct vga *s, uint32_t addr, uint8_t val)
{
	uint32_t off, select;
	unsigned planes;

	if (!window_decode(s, &addr) || !cell_find(s, addr, true, &off, &planes))
		return;
	select = planes_of(planes & s->r.seq[SEQ_MAP_MASK]);
	if (!select)
		return;
	put_le32(s->mem + off, (write_value(s, val) & select) | (get_le32(s->mem + off) & ~select));
	machine_vram_written(&s->dev, off, 4);
}

bool vga_mem_linear(const struct vga *s, uint32_t *ret_off, uint32_t *ret_len)
{
	const uint8_t *gc = s->r.gc;
	unsigned map = gc[GC_MISC] >> 2 & 3;
	uint32_t bank = 0;

	if (!(s->r.misc & MISC_RAM) || map > 1 ||
		!(s->r.seq[SEQ_MEMORY_MODE] & SEQ_MEMORY_CHAIN4) ||
		(s->r.seq[SEQ_MAP_MASK] & 0xf) != 0xf || (gc[GC_MODE] & 0xb) ||
		gc[GC_DATA_ROTATE] & 0x1f || gc[GC_BIT_MASK] != 0xff ||
		(gc[GC_ENABLE_SET_RESET] & 0xf))
		return false;
	if (s->r.dispi[DISPI_ENABLE] & DISPI_ENABLED)
		bank = (uint32_t)s->r.dispi[DISPI_BANK] * VGA_BANK_LEN;
	*ret_len = map ? VGA_BANK_LEN : VGA_WINDOW_LEN;
	*ret_off = bank;
	return bank < s->mem_len && s->mem_len - bank >= *ret_len;
}

/* ---- text ---- */

uint32_t vga_text_window(const struct vga *s)
{
	const uint8_t *gc = s->r.gc;

	if (!(s->r.misc & MISC_RAM) || (gc[GC_MISC] & 0x09) != 0x08 || (gc[GC_READ_MAP] & 2) ||
		(gc[GC_MODE] & 0x1b) != GC_MODE_ODD_EVEN || gc[GC_DATA_ROTATE] & 0x1f ||
		gc[GC_BIT_MASK] != 0xff || (gc[GC_ENABLE_SET_RESET] & 3) ||
		(s->r.seq[SEQ_MAP_MASK] & 0xf) != 3 ||
		(s->r.seq[SEQ_MEMORY_MODE] & (SEQ_MEMORY_SEQUENTIAL | SEQ_MEMORY_CHAIN4)))
		return 0;
	return gc[GC_MISC] & 0x04 ? 0xb8000 : 0xb0000;
}

void vga_text_enter(struct vga *s)
{
	for (uint32_t i = 0; i < DISPLAY_TEXT_LEN / 2; i++) {
		s->text[2 * i] = s->mem[4 * i];
		s->text[2 * i + 1] = s->mem[4 * i + 1];
	}
	memcpy(s->text + DISPLAY_TEXT_LEN, s->text, DISPLAY_TEXT_LEN);
	machine_vram_written(&s->dev, s->text_off, DISPLAY_EXTRA_LEN);
	s->r.text = 1;
	vga_publish(s, text);
}

void vga_text_leave(struct vga *s)
{
	if (!s->r.text)
		return;
	/* What has not changed may have been written through the frame buffer meanwhile. */
	for (uint32_t i = 0; i < DISPLAY_TEXT_LEN; i++)
		if (s->text[i] != s->text[DISPLAY_TEXT_LEN + i])
			s->mem[(i & ~1u) * 2 + (i & 1)] = s->text[i];
	machine_vram_written(&s->dev, 0, 2 * DISPLAY_TEXT_LEN);
	s->r.text = 0;
	vga_publish(s, text);
}

/* ---- the window as MMIO ---- */

static uint64_t window_read(struct device *dev, uint64_t addr, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)vga_mem_read((struct vga *)dev, (uint32_t)addr + i) << 8 * i;
	return v;
}

static void window_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	for (unsigned i = 0; i < size; i++)
		vga_mem_write((struct vga *)dev, (uint32_t)addr + i, (uint8_t)(val >> 8 * i));
}

const struct io_ops vga_window_ops = { window_read, window_write, .max_size = 8 };
