/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The display adapter on the real machine: registers, the memory window against a model that works
 * bit by bit, DISPI, PCI and the memory map, the state that a kernel without firmware finds, and
 * what is published.
 */
#include "test_machine_rig.h"
#include <errno.h>
#include "display.h"
#include "pci.h"
#include "vga_text.h"

#define RAM   (2u << 20)
#define VRAM  (16u << 20)
#define LFB   0xe0000000u
#define MMIO  0xe1000000u
#define DEVFN 0x10

static struct display_page page;
static uint8_t rom[40000];

/* Video memory for a machine of `vram` bytes. */
static struct rig *rig_vga(uint64_t vram, struct prop_value *props, unsigned n_props)
{
	const struct device_spec spec = {
		.driver = "VGA", .stream = -1, .props = props, .n_props = n_props
	};
	struct rig *r = rig_config(RAM);

	free(r->cfg.ram);
	r->cfg.ram = calloc(1, RAM + vram + DISPLAY_EXTRA_LEN);
	assert_non_null(r->cfg.ram);
	r->cfg.vram_bytes = vram + DISPLAY_EXTRA_LEN;
	r->cfg.display = &page;
	r->cfg.vgabios = (struct blob){ rom, sizeof(rom), "vgabios" };
	if (rig_build(r, &spec, 1) == 0)
		machine_reset(r->m);
	return r;
}

static struct rig *rig_std(void)
{
	struct rig *r;

	for (size_t i = 0; i < sizeof(rom); i++)
		rom[i] = (uint8_t)(i * 7 + (i >> 8));
	r = rig_vga(VRAM, NULL, 0);
	if (r->err.code)
		fail_msg("%s", r->err.msg);
	return r;
}

static uint8_t *vram(struct rig *r)
{
	return r->cfg.ram + RAM;
}

static void out(struct rig *r, uint16_t port, uint8_t v)
{
	machine_out(r->m, port, 1, v);
}

static uint8_t in(struct rig *r, uint16_t port)
{
	return (uint8_t)machine_in(r->m, port, 1);
}

/* An index and its data, by one word as programs do. */
static void reg(struct rig *r, uint16_t port, uint8_t index, uint8_t v)
{
	machine_out(r->m, port, 2, (uint32_t)(v << 8 | index));
}

static uint8_t get(struct rig *r, uint16_t port, uint8_t index)
{
	out(r, port, index);
	return in(r, (uint16_t)(port + 1));
}

static void dispi(struct rig *r, unsigned index, uint16_t v)
{
	machine_out(r->m, 0x1ce, 2, index);
	machine_out(r->m, 0x1cf, 2, v);
}

static uint16_t dispi_get(struct rig *r, unsigned index)
{
	machine_out(r->m, 0x1ce, 2, index);
	return (uint16_t)machine_in(r->m, 0x1d0, 2);
}

static uint32_t cfg_read(struct rig *r, unsigned off)
{
	return pci_config_read(r->m, DEVFN, off, 4);
}

static void cfg_write(struct rig *r, unsigned off, uint32_t v)
{
	pci_config_write(r->m, DEVFN, off, 4, v);
}

static void bars_on(struct rig *r)
{
	cfg_write(r, PCI_BAR0, LFB);
	cfg_write(r, PCI_BAR0 + 8, MMIO);
	pci_config_write(r->m, DEVFN, PCI_COMMAND, 2, 3);
}

/* ---- registers ---- */

static void test_registers(void **state)
{
	struct rig *r = rig_std();

	/* Which of 3Bx and 3Dx answers is bit 0 of the miscellaneous output. */
	out(r, 0x3c2, 0x00);
	assert_int_equal(in(r, 0x3cc), 0x00);
	reg(r, 0x3b4, 0x0e, 0x55);
	assert_int_equal(get(r, 0x3b4, 0x0e), 0x55);
	assert_int_equal(in(r, 0x3d5), 0xff);
	out(r, 0x3c2, 0x67);
	assert_int_equal(in(r, 0x3b5), 0xff);
	assert_int_equal(get(r, 0x3d4, 0x0e), 0x55);
	/* What the registers do not have reads as 0. */
	reg(r, 0x3c4, 1, 0xff);
	assert_int_equal(get(r, 0x3c4, 1), 0x3d);
	reg(r, 0x3ce, 1, 0xff);
	assert_int_equal(get(r, 0x3ce, 1), 0x0f);
	assert_int_equal(get(r, 0x3ce, 9), 0);
	/* CRTC 0-7 are protected by bit 7 of 11, but for the line compare bit. */
	reg(r, 0x3d4, 0x11, 0x00);
	reg(r, 0x3d4, 0x00, 0x5f);
	reg(r, 0x3d4, 0x07, 0x02);
	reg(r, 0x3d4, 0x11, 0x80);
	reg(r, 0x3d4, 0x00, 0x00);
	reg(r, 0x3d4, 0x07, 0xff);
	assert_int_equal(get(r, 0x3d4, 0x00), 0x5f);
	assert_int_equal(get(r, 0x3d4, 0x07), 0x12);
	rig_free(r);
}

static void test_attribute_and_dac(void **state)
{
	struct rig *r = rig_std();

	out(r, 0x3c2, 0x01);
	/* Index and data take turns; reading status 1 begins with an index. */
	in(r, 0x3da);
	out(r, 0x3c0, 0x05);
	out(r, 0x3c0, 0xff);
	out(r, 0x3c0, 0x20);
	assert_int_equal(in(r, 0x3c1), page.regs.ac[0]);
	in(r, 0x3da);
	out(r, 0x3c0, 0x05);
	assert_int_equal(in(r, 0x3c1), 0x3f);
	in(r, 0x3da);
	assert_int_equal(in(r, 0x3c0), 0x05);
	/* DAC: three bytes make a colour, not before; six bits. */
	out(r, 0x3c8, 10);
	out(r, 0x3c9, 0xff);
	out(r, 0x3c9, 0x11);
	assert_int_equal(page.regs.dac[30], 0);
	out(r, 0x3c9, 0x22);
	assert_int_equal(page.regs.dac[30], 0x3f);
	assert_int_equal(in(r, 0x3c8), 11);
	assert_int_equal(in(r, 0x3c7), 0);
	out(r, 0x3c7, 10);
	assert_int_equal(in(r, 0x3c7), 3);
	assert_int_equal(in(r, 0x3c9), 0x3f);
	assert_int_equal(in(r, 0x3c9), 0x11);
	assert_int_equal(in(r, 0x3c9), 0x22);
	/* Eight bits by DISPI. */
	dispi(r, DISPI_ENABLE, DISPI_8BIT_DAC);
	out(r, 0x3c8, 255);
	out(r, 0x3c9, 0xfe);
	out(r, 0x3c9, 0);
	out(r, 0x3c9, 1);
	assert_int_equal(page.regs.dac[765], 0xfe);
	assert_int_equal(in(r, 0x3c8), 0);
	rig_free(r);
}

/* Status 1 is the beam's: in a 640x480 mode 31.47 kHz, 59.94 Hz. */
static void test_beam(void **state)
{
	static const uint8_t crtc[] = { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e };
	struct rig *r = rig_std();
	unsigned retraces = 0, blanks = 0, edges = 0, was = 0, n = 100000;

	out(r, 0x3c2, 0xe3);
	reg(r, 0x3c4, 1, 1);
	reg(r, 0x3d4, 0x11, 0);
	for (unsigned i = 0; i < sizeof(crtc); i++)
		reg(r, 0x3d4, (uint8_t)i, crtc[i]);
	reg(r, 0x3d4, 0x10, 0xea);
	reg(r, 0x3d4, 0x11, 0x0c);
	reg(r, 0x3d4, 0x12, 0xdf);
	for (unsigned i = 0; i < n; i++) { /* a second in steps of 10 us */
		uint8_t v;

		r->m->icount = (uint64_t)i * 1250;
		r->m->warp_ns = 0;
		v = in(r, 0x3da);
		retraces += v >> 3 & 1;
		blanks += v & 1;
		edges += (v & 8) && !was;
		was = v & 8;
	}
	assert_in_range(edges, 59, 61);
	/* 2 of 525 lines, and all but 640x480 of 800x525. */
	assert_in_range(retraces, n * 2 / 525 - 60, n * 2 / 525 + 60);
	assert_in_range(blanks, n * 26 / 100, n * 28 / 100);
	rig_free(r);
}

/* ---- the memory window against a model ---- */

struct model {
	uint8_t plane[4][65536 * 2];
	uint8_t latch[4];
	/* what the test wrote to the registers */
	uint8_t map_mask, seq_mode, set_reset, enable_sr, compare, rotate, read_map, mode, misc,
		dont_care, bit_mask;
};

static struct model model;

static unsigned bit(unsigned v, unsigned n)
{
	return v >> n & 1;
}

/* Where a window offset leads; false: nowhere. planes: those that can be reached. */
static bool model_decode(uint32_t *a, bool write, unsigned *planes)
{
	switch (model.misc >> 2 & 3) {
	case 1:
		if (*a >= 0x10000)
			return false;
		break;
	case 2:
		if (*a < 0x10000 || *a >= 0x18000)
			return false;
		*a -= 0x10000;
		break;
	case 3:
		if (*a < 0x18000)
			return false;
		*a -= 0x18000;
		break;
	}
	*planes = 15;
	if (model.seq_mode & 8) {
		*planes = 1u << *a % 4;
		*a /= 4;
	} else if (write ? !(model.seq_mode & 4) : model.mode & 0x10) {
		*planes = *a % 2 ? 10 : 5;
		*a /= 2;
	}
	return true;
}

static void model_write(uint32_t a, uint8_t val)
{
	unsigned planes, wm = model.mode & 3, rot = model.rotate & 7;

	if (!model_decode(&a, true, &planes))
		return;
	for (unsigned p = 0; p < 4; p++) {
		uint8_t old = model.plane[p][a], res = 0;

		for (unsigned b = 0; b < 8; b++) {
			unsigned rotated = bit(val, (b + rot) % 8), lat = bit(model.latch[p], b), x;
			unsigned mask = bit(model.bit_mask, b);

			if (wm == 0)
				x = bit(model.enable_sr, p) ? bit(model.set_reset, p) : rotated;
			else if (wm == 2)
				x = bit(val, p);
			else
				x = bit(model.set_reset, p);
			if (wm == 3)
				mask &= rotated;
			switch (model.rotate >> 3 & 3) {
			case 1: x &= lat; break;
			case 2: x |= lat; break;
			case 3: x ^= lat; break;
			}
			if (wm == 1 || !mask)
				x = lat;
			res |= (uint8_t)(x << b);
		}
		model.plane[p][a] = bit(planes, p) && bit(model.map_mask, p) ? res : old;
	}
}

static uint8_t model_read(uint32_t a)
{
	uint32_t whole = a;
	unsigned planes;
	uint8_t v = 0;

	if (!model_decode(&a, false, &planes))
		return 0xff;
	for (unsigned p = 0; p < 4; p++)
		model.latch[p] = model.plane[p][a];
	if (model.mode & 8) {
		for (unsigned b = 0; b < 8; b++) {
			bool same = true;

			for (unsigned p = 0; p < 4; p++)
				if (bit(model.dont_care, p) &&
					bit(model.latch[p], b) != bit(model.compare, p))
					same = false;
			v |= (uint8_t)(same << b);
		}
		return v;
	}
	if (model.seq_mode & 8)
		return model.latch[whole % 4];
	if (planes != 15)
		return model.latch[(model.read_map & 2) + whole % 2];
	return model.latch[model.read_map];
}

static uint32_t rng;

static uint32_t next_random(void)
{
	rng = rng * 1664525 + 1013904223;
	return rng >> 8;
}

static void random_register(struct rig *r)
{
	static const struct {
		uint16_t port;
		uint8_t index, mask;
		uint8_t *to;
	} regs[] = {
		{ 0x3c4, 2, 0x0f, &model.map_mask },
		{ 0x3c4, 4, 0x0e, &model.seq_mode },
		{ 0x3ce, 0, 0x0f, &model.set_reset },
		{ 0x3ce, 1, 0x0f, &model.enable_sr },
		{ 0x3ce, 2, 0x0f, &model.compare },
		{ 0x3ce, 3, 0x1f, &model.rotate },
		{ 0x3ce, 4, 0x03, &model.read_map },
		{ 0x3ce, 5, 0x7b, &model.mode },
		{ 0x3ce, 6, 0x0f, &model.misc },
		{ 0x3ce, 7, 0x0f, &model.dont_care },
		{ 0x3ce, 8, 0xff, &model.bit_mask },
	};
	unsigned i = next_random() % (sizeof(regs) / sizeof(regs[0]));
	uint8_t v = (uint8_t)next_random();

	*regs[i].to = v & regs[i].mask;
	reg(r, regs[i].port, regs[i].index, v);
}

/* Text or chain 4 as they are usually set, so that plain memory has its share. */
static void preset(struct rig *r, bool text)
{
	model.map_mask = text ? 3 : 15;
	model.seq_mode = text ? 2 : 14;
	model.enable_sr = model.rotate = model.read_map = 0;
	model.mode = text ? 0x10 : 0x40;
	model.misc = text ? 14 : 5;
	model.bit_mask = 0xff;
	reg(r, 0x3c4, 2, model.map_mask);
	reg(r, 0x3c4, 4, model.seq_mode);
	reg(r, 0x3ce, 1, 0);
	reg(r, 0x3ce, 3, 0);
	reg(r, 0x3ce, 4, 0);
	reg(r, 0x3ce, 5, model.mode);
	reg(r, 0x3ce, 6, model.misc);
	reg(r, 0x3ce, 8, 0xff);
}

static void check_planes(struct rig *r)
{
	for (uint32_t a = 0; a < sizeof(model.plane[0]); a++)
		for (unsigned p = 0; p < 4; p++)
			if (vram(r)[4 * a + p] != model.plane[p][a])
				fail_msg("plane %u, address %x: %02x, the model has %02x", p, a,
					vram(r)[4 * a + p], model.plane[p][a]);
}

static void test_window(void **state)
{
	struct rig *r = rig_std();
	struct memmap_page *mp = &r->map;
	unsigned n_plain = 0, hold = 0;

	memset(&model, 0, sizeof(model));
	out(r, 0x3c2, 0x67);
	rng = 1;
	for (unsigned i = 0; i < 300000; i++) {
		uint32_t a = next_random() % 0x20000;
		const struct memmap_entry *e = NULL;
		uint8_t v = (uint8_t)next_random();

		if (hold > 0)
			hold--;
		else if (next_random() % 4 == 0)
			random_register(r);
		if (next_random() % 1000 == 0) {
			preset(r, next_random() % 2);
			hold = 50;
		}
		/* Few addresses, so that they meet again. */
		a &= next_random() % 2 ? 0x1003f : 0x1803f;
		e = rig_map(r, 0xa0000 + (a & ~0xfffu));
		machine_begin(r->m, i);
		if (e && e->read_kind == MEM_RAM) {
			/* Plain memory does the same, but for the latches. */
			uint8_t *p = r->cfg.ram + (((size_t)e->read_off_page - e->gpa_page) << 12) +
				     0xa0000 + a;
			uint8_t latch[4];

			n_plain++;
			if (next_random() % 2) {
				*p = v;
				model_write(a, v);
				continue;
			}
			memcpy(latch, model.latch, 4);
			assert_int_equal(*p, model_read(a));
			memcpy(model.latch, latch, 4);
			continue;
		}
		if (next_random() % 2) {
			machine_mmio_write(r->m, 0xa0000 + a, 1, v);
			model_write(a, v);
		} else {
			uint64_t got = machine_mmio_read(r->m, 0xa0000 + a, 1);
			uint8_t want = model_read(a);

			if (got != want)
				fail_msg("step %u, address %x: read %02x, the model says %02x", i,
					a, (unsigned)got, want);
		}
		mp->n_dma = 0;
	}
	/* Text's cells go back into the planes. */
	reg(r, 0x3ce, 6, 0x05);
	check_planes(r);
	assert_true(n_plain > 1000);
	rig_free(r);
}

/* Wide accesses are bytes in order. */
static void test_wide(void **state)
{
	struct rig *r = rig_std();

	out(r, 0x3c2, 0x67);
	reg(r, 0x3c4, 2, 0x0f);
	reg(r, 0x3c4, 4, 0x06);
	reg(r, 0x3ce, 6, 0x05);
	reg(r, 0x3ce, 8, 0xff);
	machine_begin(r->m, 0);
	r->map.n_dma = 0;
	machine_mmio_write(r->m, 0xa0002, 4, 0x44434241);
	assert_memory_equal(vram(r) + 8, "AAAABBBBCCCCDDDD", 16);
	assert_int_equal(machine_mmio_read(r->m, 0xa0002, 2), 0x4241);
	assert_int_equal(machine_mmio_read(r->m, 0xb0000, 2), 0xffff);
	/* The vCPU hears of it as of DMA, at the page behind RAM. */
	assert_int_equal(r->map.n_dma, 1);
	assert_int_equal(r->map.dma_page[0], RAM >> 12);
	/* With RAM switched off nothing answers. */
	out(r, 0x3c2, 0x65);
	assert_int_equal(machine_mmio_read(r->m, 0xa0000, 1), 0xff);
	rig_free(r);
}

static void test_text_window(void **state)
{
	struct rig *r = rig_std();
	const struct memmap_entry *e;
	uint8_t *text = vram(r) + VRAM;

	out(r, 0x3c2, 0x67);
	memcpy(vram(r), "A\x17..B\x18..", 8);
	preset(r, true);
	e = rig_map(r, 0xb8000);
	assert_non_null(e);
	assert_int_equal(e->gpa_page, 0xb8);
	assert_int_equal(e->npages, 8);
	assert_int_equal(e->read_off_page, (RAM + VRAM) >> 12);
	assert_null(rig_map(r, 0xb0000));
	assert_memory_equal(text,
		"A\x17"
		"B\x18",
		4);
	assert_int_equal(page.regs.text, 1);
	/* A cell by the window, another one through the frame buffer. */
	text[2] = 'C';
	vram(r)[1] = 0x70;
	/* The monochrome place; the same cells. */
	reg(r, 0x3ce, 6, 0x0a);
	assert_null(rig_map(r, 0xb8000));
	assert_int_equal(rig_map(r, 0xb0000)->read_off_page, (RAM + VRAM) >> 12);
	assert_int_equal(page.regs.text, 1);
	/* A font is loaded: the planes have it all. */
	reg(r, 0x3c4, 2, 4);
	assert_null(rig_map(r, 0xb0000));
	assert_int_equal(page.regs.text, 0);
	assert_memory_equal(vram(r), "A\x70..C\x18..", 8);
	reg(r, 0x3c4, 2, 3);
	assert_memory_equal(text,
		"A\x70"
		"C\x18",
		4);
	/* A mode by DISPI clears the memory, and text does not come back over it. */
	text[0] = 'X';
	dispi(r, DISPI_XRES, 640);
	dispi(r, DISPI_YRES, 480);
	dispi(r, DISPI_BPP, 32);
	dispi(r, DISPI_ENABLE, DISPI_ENABLED);
	assert_int_equal(page.regs.text, 0);
	assert_int_equal(vram(r)[0], 0);
	/* A reset leaves the cells in the planes. */
	dispi(r, DISPI_ENABLE, 0);
	preset(r, true);
	text[0] = 'Z';
	machine_reset(r->m);
	assert_int_equal(vram(r)[0], 'Z');
	assert_null(rig_map(r, 0xb8000));
	rig_free(r);
}

/* ---- plain memory ---- */

static void mode13(struct rig *r)
{
	out(r, 0x3c2, 0x63);
	reg(r, 0x3c4, 2, 0x0f);
	reg(r, 0x3c4, 4, 0x0e);
	reg(r, 0x3ce, 5, 0x40);
	reg(r, 0x3ce, 6, 0x05);
	reg(r, 0x3ce, 8, 0xff);
}

static void test_linear_window(void **state)
{
	struct rig *r = rig_std();
	const struct memmap_entry *e;
	uint8_t b;

	assert_null(rig_map(r, 0xa0000));
	mode13(r);
	e = rig_map(r, 0xa0000);
	assert_non_null(e);
	assert_int_equal(e->gpa_page, 0xa0);
	assert_int_equal(e->npages, 16);
	assert_int_equal(e->read_kind, MEM_RAM);
	assert_int_equal(e->write_kind, MEM_RAM);
	assert_int_equal(e->read_off_page, RAM >> 12);
	assert_null(rig_map(r, 0xb0000));
	/* DMA goes there, too. */
	assert_int_equal(dma_write(&r->m->board->dev, 0xa0005, "x", 1), 0);
	assert_int_equal(vram(r)[5], 'x');
	assert_int_equal(r->map.dma_page[r->map.n_dma - 1], RAM >> 12);
	/* Each register that changes what a byte means ends it. */
	reg(r, 0x3ce, 8, 0x7f);
	assert_null(rig_map(r, 0xa0000));
	assert_int_equal(dma_read(&r->m->board->dev, 0xa0005, &b, 1), -EFAULT);
	reg(r, 0x3ce, 8, 0xff);
	assert_non_null(rig_map(r, 0xa0000));
	reg(r, 0x3c4, 2, 0x07);
	assert_null(rig_map(r, 0xa0000));
	mode13(r);
	reg(r, 0x3c4, 4, 0x06); /* mode X */
	assert_null(rig_map(r, 0xa0000));
	mode13(r);
	/* SMRAM, opened, lies before it. */
	pci_config_write(r->m, 0, 0x72, 1, 0x48);
	e = rig_map(r, 0xa0000);
	assert_int_equal(e->read_off_page, e->gpa_page);
	pci_config_write(r->m, 0, 0x72, 1, 0x02);
	assert_int_equal(rig_map(r, 0xa0000)->read_off_page, RAM >> 12);
	/* A bank of DISPI's. */
	dispi(r, DISPI_XRES, 640);
	dispi(r, DISPI_YRES, 480);
	dispi(r, DISPI_BPP, 8);
	dispi(r, DISPI_ENABLE, DISPI_ENABLED);
	dispi(r, DISPI_BANK, 3);
	assert_int_equal(rig_map(r, 0xa0000)->read_off_page, (RAM + 3 * 65536) >> 12);
	dispi(r, DISPI_BANK, 0xffff);
	assert_int_equal(dispi_get(r, DISPI_BANK), 255);
	assert_int_equal(rig_map(r, 0xa0000)->read_off_page, (RAM + 255 * 65536) >> 12);
	dispi(r, DISPI_ENABLE, 0);
	assert_int_equal(rig_map(r, 0xa0000)->read_off_page, RAM >> 12);
	machine_reset(r->m);
	assert_null(rig_map(r, 0xa0000));
	rig_free(r);
}

static void test_pci(void **state)
{
	struct rig *r = rig_std();
	const struct memmap_entry *e;

	assert_int_equal(cfg_read(r, 0), 0x11111234);
	assert_int_equal(cfg_read(r, 8) >> 8, 0x030000);
	cfg_write(r, PCI_BAR0, 0xffffffff);
	assert_int_equal(cfg_read(r, PCI_BAR0), 0xff000008);
	cfg_write(r, PCI_BAR0 + 8, 0xffffffff);
	assert_int_equal(cfg_read(r, PCI_BAR0 + 8), 0xfffff000);
	cfg_write(r, PCI_ROM_BASE, 0xfffffffe);
	assert_int_equal(cfg_read(r, PCI_ROM_BASE), 0xffff0000);
	bars_on(r);
	e = rig_map(r, LFB);
	assert_non_null(e);
	assert_int_equal(e->npages, VRAM >> 12);
	assert_int_equal(e->read_off_page, RAM >> 12);
	assert_int_equal(dma_write(&r->m->board->dev, LFB + VRAM - 2, "yz", 2), 0);
	assert_int_equal(vram(r)[VRAM - 1], 'z');
	assert_int_equal(dma_write(&r->m->board->dev, LFB + VRAM - 1, "yz", 2), -EFAULT);
	/* Over RAM it is not mapped; beside the firmware it is not, either. */
	cfg_write(r, PCI_BAR0, 0x1000000);
	assert_non_null(rig_map(r, 0x1000000));
	cfg_write(r, PCI_BAR0, 0xff000000);
	assert_int_equal(rig_map(r, 0xfffff000)->read_kind, MEM_ROM);
	assert_null(rig_map(r, 0xff000000));
	/* There it is MMIO, which does the same. */
	machine_begin(r->m, 5);
	machine_mmio_write(r->m, 0xff000010, 8, 0x1122334455667788);
	assert_int_equal(vram(r)[0x10], 0x88);
	assert_int_equal(machine_mmio_read(r->m, 0xff000014, 4), 0x11223344);
	/* The ROM. */
	assert_int_equal(machine_mmio_read(r->m, 0xd0000000, 4), 0xffffffff);
	cfg_write(r, PCI_ROM_BASE, 0xd0000000);
	assert_int_equal(machine_mmio_read(r->m, 0xd0000000, 4), 0xffffffff);
	cfg_write(r, PCI_ROM_BASE, 0xd0000001);
	assert_int_equal(machine_mmio_read(r->m, 0xd0000001, 1), rom[1]);
	assert_int_equal(machine_mmio_read(r->m, 0xd0000000 + sizeof(rom) - 1, 2),
		0xff00 | rom[sizeof(rom) - 1]);
	pci_config_write(r->m, DEVFN, PCI_COMMAND, 2, 0);
	assert_int_equal(machine_mmio_read(r->m, 0xd0000001, 1), 0xff);
	rig_free(r);
}

static void test_mmio(void **state)
{
	struct rig *r = rig_std();

	bars_on(r);
	/* 3C2, 3C4 by BAR 2; DISPI; the extended registers. */
	machine_mmio_write(r->m, MMIO + 0x402, 1, 0x67);
	assert_int_equal(in(r, 0x3cc), 0x67);
	machine_mmio_write(r->m, MMIO + 0x404, 2, 0x0502);
	assert_int_equal(get(r, 0x3c4, 2), 5);
	assert_int_equal(machine_mmio_read(r->m, MMIO + 0x500, 2), 0xb0c5);
	machine_mmio_write(r->m, MMIO + 0x502, 2, 800);
	assert_int_equal(dispi_get(r, DISPI_XRES), 800);
	assert_int_equal(machine_mmio_read(r->m, MMIO + 0x514, 2), 256);
	assert_int_equal(machine_mmio_read(r->m, MMIO + 0x600, 4), 8);
	assert_int_equal(machine_mmio_read(r->m, MMIO + 0x604, 4), 0x1e1e1e1e);
	machine_mmio_write(r->m, MMIO + 0x604, 4, 0xbebebebe);
	assert_int_equal(machine_mmio_read(r->m, MMIO + 0x604, 4), 0xbebebebe);
	assert_int_equal(machine_mmio_read(r->m, MMIO, 4), 0);
	rig_free(r);
}

/* ---- DISPI ---- */

static void test_dispi(void **state)
{
	struct rig *r = rig_std();

	assert_int_equal(dispi_get(r, DISPI_ID), 0xb0c5);
	dispi(r, DISPI_ID, 0xb0c2);
	assert_int_equal(dispi_get(r, DISPI_ID), 0xb0c2);
	dispi(r, DISPI_ID, 0x1234);
	assert_int_equal(dispi_get(r, DISPI_ID), 0xb0c2);
	assert_int_equal(dispi_get(r, DISPI_VIDEO_MEMORY_64K), 256);
	dispi(r, DISPI_ENABLE, DISPI_GETCAPS);
	assert_int_equal(dispi_get(r, DISPI_XRES), 16000);
	assert_int_equal(dispi_get(r, DISPI_BPP), 32);
	dispi(r, DISPI_ENABLE, 0);
	memset(vram(r), 0x5a, VRAM);
	dispi(r, DISPI_XRES, 1024);
	dispi(r, DISPI_YRES, 768);
	dispi(r, DISPI_BPP, 32);
	dispi(r, DISPI_ENABLE, DISPI_ENABLED | DISPI_LFB);
	assert_int_equal(vram(r)[0], 0);
	assert_int_equal(vram(r)[1024 * 768 * 4 - 1], 0);
	assert_int_equal(vram(r)[1024 * 768 * 4], 0x5a);
	assert_int_equal(dispi_get(r, DISPI_VIRT_WIDTH), 1024);
	assert_int_equal(dispi_get(r, DISPI_VIRT_HEIGHT), 4096);
	dispi(r, DISPI_VIRT_WIDTH, 2048);
	assert_int_equal(dispi_get(r, DISPI_VIRT_HEIGHT), 2048);
	dispi(r, DISPI_Y_OFFSET, 5000);
	assert_int_equal(dispi_get(r, DISPI_Y_OFFSET), 2048 - 768);
	dispi(r, DISPI_X_OFFSET, 30);
	assert_int_equal(dispi_get(r, DISPI_X_OFFSET), 30);
	/* The published registers are the same. */
	assert_memory_equal(page.regs.dispi + DISPI_XRES, ((uint16_t[]){ 1024, 768, 32 }),
		3 * sizeof(uint16_t));
	/* Pictures that cannot be are made ones that can. */
	dispi(r, DISPI_ENABLE, 0);
	dispi(r, DISPI_XRES, 0xffff);
	dispi(r, DISPI_YRES, 0xffff);
	dispi(r, DISPI_BPP, 17);
	dispi(r, DISPI_ENABLE, DISPI_ENABLED | DISPI_NOCLEAR);
	assert_int_equal(dispi_get(r, DISPI_BPP), 8);
	assert_int_equal(dispi_get(r, DISPI_XRES), 16000);
	assert_int_equal(dispi_get(r, DISPI_YRES), VRAM / 16000);
	dispi(r, DISPI_XRES, 0);
	dispi(r, DISPI_YRES, 0);
	assert_int_equal(dispi_get(r, DISPI_XRES), 8);
	assert_int_equal(dispi_get(r, DISPI_YRES), 1);
	/* Bytes are not for these ports. */
	machine_out(r->m, 0x1cf, 1, 0);
	assert_int_equal(machine_in(r->m, 0x1cf, 1), 0xff);
	rig_free(r);
}

/* ---- what a kernel without firmware finds ---- */

static void test_text_mode(void **state)
{
	static const uint8_t head[32] = {
		[18] = 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e
	};
	struct rig *r = rig_std();
	struct device *d = vga_find(r->m);

	assert_non_null(d);
	memcpy(rom + 1000, head, sizeof(head));
	memset(rom + 1000 + 'A' * 16, 0x3c, 16);
	vga_text_mode(d);
	assert_int_equal(get(r, 0x3d4, 0x12), 0x8f);
	assert_int_equal(vram(r)[VRAM], ' ');
	assert_int_equal(vram(r)[VRAM + 2 * 1999 + 1], 7);
	assert_int_equal(rig_map(r, 0xb8000)->read_off_page, (RAM + VRAM) >> 12);
	assert_int_equal(vram(r)[4 * (32 * 'A') + 2], 0x3c);
	assert_int_equal(vram(r)[4 * (32 * 1 + 2) + 2], 0x7e);
	assert_int_equal(cfg_read(r, PCI_BAR0) & ~15u, VGA_LFB_GPA);
	assert_non_null(rig_map(r, VGA_LFB_GPA));
	/* Brown, the colour that is not where the rule has it. */
	assert_memory_equal(page.regs.dac + 3 * 0x14, ((uint8_t[]){ 0x2a, 0x15, 0 }), 3);
	rig_free(r);
}

static void test_refused(void **state)
{
	struct prop_value odd = { "vgamem_mb", "3" }, big = { "vgamem_mb", "32" };
	struct rig *r = rig_vga(VRAM, &odd, 1);

	assert_non_null(strstr(r->err.msg, "power of two"));
	rig_free(r);
	r = rig_vga(VRAM, &big, 1);
	assert_non_null(strstr(r->err.msg, "video memory"));
	rig_free(r);
}

/* A second machine, loaded with the first one's fields, shows and maps the same. */
static void test_loaded(void **state)
{
	struct rig *a = rig_std(), *b = rig_std();
	struct device *from = vga_find(a->m), *to = vga_find(b->m);

	bars_on(a);
	mode13(a);
	dispi(a, DISPI_XRES, 320);
	dispi(a, DISPI_YRES, 200);
	dispi(a, DISPI_BPP, 8);
	dispi(a, DISPI_ENABLE, DISPI_ENABLED);
	dispi(a, DISPI_BANK, 7);
	for (const struct field *f = from->cls->fields; f->name; f++)
		memcpy((uint8_t *)to + f->offset, (uint8_t *)from + f->offset,
			(size_t)f->elem * f->count);
	memset(&page, 0, sizeof(page));
	to->cls->loaded(to);
	assert_int_equal(device_digest(from), device_digest(to));
	assert_int_equal(page.regs.dispi[DISPI_XRES], 320);
	assert_int_equal(rig_map(b, 0xa0000)->read_off_page, (RAM + 7 * 65536) >> 12);
	assert_non_null(rig_map(b, LFB));
	rig_free(a);
	rig_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_attribute_and_dac),
		cmocka_unit_test(test_beam),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_text_window),
		cmocka_unit_test(test_linear_window),
		cmocka_unit_test(test_pci),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_dispi),
		cmocka_unit_test(test_text_mode),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
