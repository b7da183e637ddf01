/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest at the display adapter: the input is a list of accesses to its ports, BARs and
 * memory window. The map that the vCPU gets stays in bounds, what is published is what the
 * adapter holds, its picture can be drawn, and a second machine that is made from the first one's
 * fields and video memory half-way does the same from then on.
 */
#include <stdlib.h>
#include <string.h>
#include "bus.h"
#include "display.h"
#include "fuzz.h"
#include "machine.h"
#include "pci.h"
#include "screen.h"
#include "vga_text.h"

#define RAM_BYTES  (UINT64_C(1) << 20)
#define VRAM_BYTES ((UINT64_C(1) << 20) + DISPLAY_EXTRA_LEN)
#define PAGES	   ((RAM_BYTES + VRAM_BYTES) >> 12)
#define OPS_MAX	   600
#define DEVFN	   0x10
#define LFB	   0xe0000000u
#define MMIO	   0xe1000000u
#define PIXELS_MAX (1u << 20)

struct pc {
	struct machine *m;
	uint8_t *ram;
	uint8_t rom[65536], bios[65536];
	struct memmap_page map;
	struct display_page page;
};

static const uint16_t ports[] = { 0x3c0, 0x3c1, 0x3c2, 0x3c4, 0x3c5, 0x3c6, 0x3c7, 0x3c8, 0x3c9,
	0x3cc, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da, 0x3b4, 0x3b5, 0x3ba, 0x1ce, 0x1cf, 0x1d0, 0x3c4,
	0x3ce, 0x3d4, 0x1cf, 0x1cf };
static const uint8_t config[] = { PCI_COMMAND, PCI_BAR0, PCI_BAR0 + 3, PCI_BAR0 + 8, PCI_ROM_BASE,
	PCI_BAR0 + 4 };
static const uint32_t values[] = { 0, 3, 0xffffffff, LFB, MMIO, 0xd0000001, 0xa0000, 0x100000,
	0xff000000, 0xfec00000 };

static struct pc *pc_new(void)
{
	static const struct prop_value props[] = { { "vgamem_mb", "1" } };
	struct device_spec spec = { .driver = "VGA", .stream = -1, .props = props, .n_props = 1 };
	struct pc *p = calloc(1, sizeof(*p));
	struct machine_host host = { .opaque = p };
	struct machine_config cfg = { .ram_bytes = RAM_BYTES,
		.vram_bytes = VRAM_BYTES,
		.rom_len = sizeof(p->rom),
		.shift = 3,
		.has_rtc_base = true,
		.append = "" };
	struct error err = ERROR_INIT;

	if (!p || !(p->ram = calloc(1, RAM_BYTES + VRAM_BYTES)))
		abort();
	cfg.ram = p->ram;
	cfg.rom = p->rom;
	cfg.memmap = &p->map;
	cfg.display = &p->page;
	cfg.bios = (struct blob){ p->bios, sizeof(p->bios), "bios" };
	cfg.vgabios = (struct blob){ p->bios, 5000, "vgabios" };
	p->m = machine_new(&cfg, &host, &err);
	FUZZ_CHECK(p->m && board_build(p->m, &spec, 1, &err) == 0);
	machine_reset(p->m);
	return p;
}

static void pc_free(struct pc *p)
{
	machine_free(p->m);
	free(p->ram);
	free(p);
}

static struct pc *pc_clone(const struct pc *from)
{
	struct pc *to = pc_new();
	struct device *a = vga_find(from->m), *b = vga_find(to->m);

	for (const struct field *f = a->cls->fields; f->name; f++)
		memcpy((uint8_t *)b + f->offset, (uint8_t *)a + f->offset,
			(size_t)f->elem * f->count);
	memcpy(to->ram + RAM_BYTES, from->ram + RAM_BYTES, VRAM_BYTES);
	to->m->icount = from->m->icount;
	b->cls->loaded(b);
	return to;
}

static void check_map(const struct pc *p)
{
	const struct memmap_page *mp = &p->map;
	uint32_t end = 0;

	FUZZ_CHECK(mp->n_entries <= MEMMAP_MAX_ENTRIES && mp->n_dma <= DMA_LIST_MAX);
	for (uint32_t i = 0; i < mp->n_dma; i++)
		FUZZ_CHECK(mp->dma_page[i] < PAGES);
	for (uint32_t i = 0; i < mp->n_entries; i++) {
		const struct memmap_entry *e = &mp->entry[i];

		FUZZ_CHECK(e->gpa_page >= end && e->npages > 0);
		end = e->gpa_page + e->npages;
		FUZZ_CHECK(end <= 1u << 20);
		if (e->read_kind == MEM_RAM)
			FUZZ_CHECK(e->read_off_page + e->npages <= PAGES);
		if (e->write_kind == MEM_RAM)
			FUZZ_CHECK(e->write_off_page + e->npages <= PAGES);
	}
}

static void draw(const struct pc *p)
{
	static uint32_t pixels[PIXELS_MAX];
	struct display_regs regs;
	struct screen_mode m;

	FUZZ_CHECK(display_read(&p->page, &regs));
	screen_mode_find(&regs, VRAM_BYTES, &m);
	FUZZ_CHECK(m.width >= 1 && m.width <= SCREEN_SIZE_MAX);
	FUZZ_CHECK(m.height >= 1 && m.height <= SCREEN_SIZE_MAX);
	if ((uint64_t)m.width * m.height <= PIXELS_MAX)
		screen_render(&regs, &m, p->ram + RAM_BYTES, VRAM_BYTES, pixels, 3);
}

/* What a kernel's driver does: mode by DISPI, the rest by the input. */
static void preset(struct pc *p, uint8_t kind)
{
	static const uint16_t dispi[4][3] = { { 320, 200, 8 }, { 640, 480, 4 }, { 400, 300, 16 },
		{ 300, 200, 32 } };

	if (kind & 4) {
		vga_text_mode(vga_find(p->m));
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		machine_out(p->m, 0x1ce, 2, 1 + i);
		machine_out(p->m, 0x1cf, 2, i < 3 ? dispi[kind & 3][i] : 0x41);
	}
}

static uint64_t op_run(struct pc *p, const uint8_t *op)
{
	struct machine *m = p->m;
	unsigned size = 1u << (op[1] & 3);
	uint16_t port = ports[op[2] % (sizeof(ports) / sizeof(ports[0]))];
	uint32_t val, addr;

	memcpy(&val, op + 4, 4);
	addr = 0xa0000 + (val & 0x1ffff);
	switch (op[0] % 10) {
	case 0:
	case 1:
	case 2: machine_out(m, port, size > 4 ? 2 : size, val); return 0;
	case 3: return machine_in(m, port, size > 4 ? 1 : size);
	case 4:
		if (dma_write(vga_find(m), addr, op, size) < 0)
			machine_mmio_write(m, addr, size, val * UINT64_C(0x10001));
		return 0;
	case 5: return machine_mmio_read(m, addr, size);
	case 6:
		machine_mmio_write(m, (op[2] & 1 ? LFB : MMIO) + (val & 0xfffff), size, val);
		return machine_mmio_read(m, (op[2] & 1 ? LFB : MMIO) + (val & 0xfff), size);
	case 7:
		pci_config_write(m, DEVFN, config[op[2] % sizeof(config)], 1,
			values[op[3] % (sizeof(values) / sizeof(values[0]))]);
		pci_config_write(m, DEVFN, config[op[2] % sizeof(config)] & ~3u, 4,
			values[op[3] % (sizeof(values) / sizeof(values[0]))]);
		return pci_config_read(m, DEVFN, op[4] & 0xfc, 4);
	case 8: preset(p, op[2]); return 0;
	default: m->icount += val & 0xfffff; return 0;
	}
}

static uint64_t step(struct pc *p, const uint8_t *op)
{
	struct bus_rep rep = { 0 };
	uint64_t seen;

	machine_begin(p->m, p->m->icount + 1);
	seen = op_run(p, op);
	machine_end(p->m, &rep);
	check_map(p);
	return seen;
}

static void check_same(const struct pc *a, const struct pc *b)
{
	FUZZ_CHECK(device_digest(vga_find(a->m)) == device_digest(vga_find(b->m)));
	FUZZ_CHECK(!memcmp(a->ram + RAM_BYTES, b->ram + RAM_BYTES, VRAM_BYTES));
	FUZZ_CHECK(!memcmp(&a->page.regs, &b->page.regs, sizeof(a->page.regs)));
	FUZZ_CHECK(a->map.n_entries == b->map.n_entries);
	FUZZ_CHECK(!memcmp(a->map.entry, b->map.entry, a->map.n_entries * sizeof(a->map.entry[0])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned ops = size / 8 < OPS_MAX ? (unsigned)(size / 8) : OPS_MAX;
	struct pc *a = pc_new(), *b = NULL;

	for (unsigned n = 0; n < ops; n++, data += 8) {
		uint64_t seen;

		if (n == ops / 2)
			b = pc_clone(a);
		seen = step(a, data);
		if (b)
			FUZZ_CHECK(step(b, data) == seen);
		if (n % 64 == 63)
			draw(a);
	}
	draw(a);
	if (b)
		check_same(a, b);
	if (b)
		pc_free(b);
	pc_free(a);
	return 0;
}
