/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest-physical address map and DMA.
 *
 *	0		640 KiB		RAM
 *	A0000-BFFFF	MMIO or memory of a display adapter, or nothing; RAM while SMRAM is open
 *	C0000-FFFFF	ROM or RAM for reads, RAM or nothing for writes: the PAM registers
 *(82441FX, 4.1.18) 1 MiB - top	RAM
 *	...		frame buffer of a display adapter
 *	... - 4 GiB	firmware image
 *
 * vcpu reads the map from a page of shared memory when a reply tells it so. What no entry names is
 *MMIO.
 */
#include <errno.h>
#include <string.h>
#include "log.h"
#include "machine.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1u << PAGE_SHIFT)
#define GIB4_PAGES (1u << 20)
#define VGA_PAGE   0xa0
#define PAM_PAGE   0xc0

static bool page_is_mmio(const struct machine *m, uint32_t page)
{
	for (unsigned i = 0; i < m->n_mmio; i++) {
		const struct io_range *r = &m->mmio[i];
		uint64_t gpa = (uint64_t)page << PAGE_SHIFT;

		if (gpa + PAGE_SIZE > r->base && gpa < r->base + r->len)
			return true;
	}
	return false;
}

static uint32_t rom_pages(const struct machine *m)
{
	return (uint32_t)(m->rom_used >> PAGE_SHIFT);
}

static uint32_t ram_pages(const struct machine *m)
{
	return (uint32_t)(m->cfg.ram_bytes >> PAGE_SHIFT);
}

static bool window_has(const struct vram_window *w, uint32_t page)
{
	return page >= w->gpa_page && page - w->gpa_page < w->npages;
}

/* Video memory follows RAM in the segment. */
static struct memmap_entry window_entry(const struct machine *m, const struct vram_window *w)
{
	return (struct memmap_entry){ .gpa_page = w->gpa_page,
		.npages = w->npages,
		.read_kind = MEM_RAM,
		.write_kind = MEM_RAM,
		.read_off_page = ram_pages(m) + w->off_page,
		.write_off_page = ram_pages(m) + w->off_page };
}

/* A page of such an entry. */
static struct memmap_entry window_page(
	const struct machine *m, const struct vram_window *w, uint32_t page)
{
	struct memmap_entry e = window_entry(m, w);

	e.read_off_page += page - e.gpa_page;
	e.write_off_page = e.read_off_page;
	e.gpa_page = page;
	e.npages = 1;
	return e;
}

/* What page of the first MiB reads and writes. */
static struct memmap_entry low_page(const struct machine *m, uint32_t page)
{
	struct memmap_entry e = {
		.gpa_page = page, .npages = 1, .read_off_page = page, .write_off_page = page
	};
	uint32_t rom_start = MACHINE_LOW_PAGES - m->rom_low_pages;

	e.read_kind = m->board->shadow_read[page];
	e.write_kind = m->board->shadow_write[page];
	if (e.read_kind == MEM_ROM) {
		if (page >= rom_start)
			e.read_off_page = rom_pages(m) - (MACHINE_LOW_PAGES - page);
		else
			e.read_kind = MEM_NONE;
	}
	if (e.write_kind == MEM_ROM)
		e.write_kind = MEM_NONE;
	if (e.read_kind != MEM_RAM && window_has(&m->vram_low, page))
		return window_page(m, &m->vram_low, page);
	if (e.read_kind != MEM_RAM && page_is_mmio(m, page))
		e.read_kind = e.write_kind = MEM_MMIO;
	if (e.read_kind == MEM_MMIO || e.read_kind == MEM_NONE)
		e.read_off_page = 0;
	if (e.write_kind != MEM_RAM)
		e.write_off_page = 0;
	return e;
}

static bool continues(const struct memmap_entry *a, const struct memmap_entry *b)
{
	return a->gpa_page + a->npages == b->gpa_page && a->read_kind == b->read_kind &&
	       a->write_kind == b->write_kind &&
	       (!b->read_off_page || a->read_off_page + a->npages == b->read_off_page) &&
	       (!b->write_off_page || a->write_off_page + a->npages == b->write_off_page);
}

static void entry_add(struct memmap_page *mp, const struct memmap_entry *e)
{
	struct memmap_entry *last = mp->n_entries ? &mp->entry[mp->n_entries - 1] : NULL;

	if (e->read_kind == MEM_MMIO && e->write_kind == MEM_MMIO)
		return;
	if (last && continues(last, e)) {
		last->npages += e->npages;
		return;
	}
	must(mp->n_entries < MEMMAP_MAX_ENTRIES);
	mp->entry[mp->n_entries++] = *e;
}

/* Ports that find no room are sent like all others. */
static void posted_collect(struct machine *m)
{
	struct memmap_page *mp = m->cfg.memmap;

	mp->n_posted = 0;
	for (unsigned i = 1; i < MACHINE_IO_RANGES; i++) {
		const struct io_range *r = &m->io[i];

		if (!r->dev || !r->ops->posted)
			continue;
		for (uint32_t k = 0; k < r->len && mp->n_posted < POSTED_MAX; k++)
			mp->posted_port[mp->n_posted++] = (uint16_t)(r->base + k);
	}
}

void memmap_rebuild(struct machine *m)
{
	struct memmap_page *mp = m->cfg.memmap;

	mp->n_entries = 0;
	for (uint32_t p = 0; p < MACHINE_LOW_PAGES; p++) {
		struct memmap_entry e = low_page(m, p);

		entry_add(mp, &e);
	}
	if (ram_pages(m) > MACHINE_LOW_PAGES) {
		struct memmap_entry e = { .gpa_page = MACHINE_LOW_PAGES,
			.npages = ram_pages(m) - MACHINE_LOW_PAGES,
			.read_kind = MEM_RAM,
			.write_kind = MEM_RAM,
			.read_off_page = MACHINE_LOW_PAGES,
			.write_off_page = MACHINE_LOW_PAGES };

		entry_add(mp, &e);
	}
	if (m->vram_high.npages) {
		struct memmap_entry e = window_entry(m, &m->vram_high);

		entry_add(mp, &e);
	}
	if (m->rom_used) {
		struct memmap_entry e = { .gpa_page = GIB4_PAGES - rom_pages(m),
			.npages = rom_pages(m),
			.read_kind = MEM_ROM,
			.write_kind = MEM_NONE };

		entry_add(mp, &e);
	}
	posted_collect(m);
	mp->generation++;
	m->map_changed = true;
}

void memmap_set_rom(struct machine *m, size_t len)
{
	must(len <= m->cfg.rom_len && len % PAGE_SIZE == 0);
	m->rom_used = len;
	m->rom_low_pages = len < 0x20000 ? (uint32_t)(len >> PAGE_SHIFT) : 0x20;
	memmap_rebuild(m);
}

void machine_shadow(struct device *dev, uint32_t gpa, uint32_t len, int read_kind, int write_kind)
{
	struct machine *m = dev->machine;
	uint32_t first = gpa >> PAGE_SHIFT, n = len >> PAGE_SHIFT;
	bool changed = false;

	must(!(gpa % PAGE_SIZE) && !(len % PAGE_SIZE) && first >= VGA_PAGE &&
		first + n <= MACHINE_LOW_PAGES);
	for (uint32_t p = first; p < first + n; p++) {
		changed |= m->board->shadow_read[p] != read_kind ||
			   m->board->shadow_write[p] != write_kind;
		m->board->shadow_read[p] = (uint8_t)read_kind;
		m->board->shadow_write[p] = (uint8_t)write_kind;
	}
	if (changed)
		memmap_rebuild(m);
}

/* ---- video memory ---- */

void memmap_vram_bar(struct machine *m, uint32_t gpa, uint32_t len)
{
	struct vram_window w = { gpa >> PAGE_SHIFT, len >> PAGE_SHIFT, 0 };

	if (!len || gpa < m->cfg.ram_bytes || w.gpa_page < MACHINE_LOW_PAGES ||
		w.gpa_page + w.npages > GIB4_PAGES - rom_pages(m))
		w = (struct vram_window){ 0 };
	if (memcmp(&w, &m->vram_high, sizeof(w)) == 0)
		return;
	m->vram_high = w;
	memmap_rebuild(m);
}

void machine_vram_map(struct device *dev, uint32_t gpa, uint32_t len, uint32_t off)
{
	struct machine *m = dev->machine;

	must(!(gpa % PAGE_SIZE) && !(len % PAGE_SIZE) && !(off % PAGE_SIZE));
	must(off <= m->cfg.vram_bytes && len <= m->cfg.vram_bytes - off);
	must(gpa >= VGA_PAGE << PAGE_SHIFT && gpa + len <= PAM_PAGE << PAGE_SHIFT);
	m->vram_low =
		(struct vram_window){ gpa >> PAGE_SHIFT, len >> PAGE_SHIFT, off >> PAGE_SHIFT };
	memmap_rebuild(m);
}

uint8_t *machine_vram(struct device *dev, uint64_t *ret_len)
{
	const struct machine_config *c = &dev->machine->cfg;

	*ret_len = c->vram_bytes;
	return c->vram_bytes ? c->ram + c->ram_bytes : NULL;
}

/* ---- DMA ---- */

/*
 * Host address of a page for reading or writing; NULL when it is neither RAM nor (reading) ROM.
 * *ret_page: where it lies in the segment, if it is RAM.
 */
static uint8_t *page_host(const struct machine *m, uint32_t page, bool write, uint32_t *ret_page)
{
	struct memmap_entry e = { .read_kind = MEM_MMIO, .write_kind = MEM_MMIO };

	if (page < MACHINE_LOW_PAGES)
		e = low_page(m, page);
	else if (page < ram_pages(m))
		e = (struct memmap_entry){ .read_kind = MEM_RAM,
			.write_kind = MEM_RAM,
			.read_off_page = page,
			.write_off_page = page };
	else if (window_has(&m->vram_high, page))
		e = window_page(m, &m->vram_high, page);
	else if (page >= GIB4_PAGES - rom_pages(m))
		e = (struct memmap_entry){ .read_kind = MEM_ROM,
			.write_kind = MEM_NONE,
			.read_off_page = page - (GIB4_PAGES - rom_pages(m)) };
	if (!write && e.read_kind == MEM_ROM)
		return m->cfg.rom + ((size_t)e.read_off_page << PAGE_SHIFT);
	if ((write ? e.write_kind : e.read_kind) != MEM_RAM)
		return NULL;
	*ret_page = write ? e.write_off_page : e.read_off_page;
	return m->cfg.ram + ((size_t)*ret_page << PAGE_SHIFT);
}

static bool range_ok(const struct machine *m, uint64_t gpa, size_t len, bool write)
{
	uint64_t last;
	uint32_t page;

	if (gpa >> 32 || len > (UINT64_C(1) << 32) - gpa)
		return false;
	last = gpa + len - 1;
	if (gpa >= MACHINE_RAM_MIN && last < m->cfg.ram_bytes)
		return true;
	for (uint64_t p = gpa >> PAGE_SHIFT; p <= last >> PAGE_SHIFT; p++)
		if (!page_host(m, (uint32_t)p, write, &page))
			return false;
	return true;
}

/* The vCPU learns which pages were written, so that it can drop what it decoded from them. */
static void dma_mark(struct machine *m, uint32_t page)
{
	struct memmap_page *mp = m->cfg.memmap;

	if (mp->dma_overflow)
		return;
	for (uint32_t i = mp->n_dma; i > 0 && i + 8 > mp->n_dma; i--)
		if (mp->dma_page[i - 1] == page)
			return;
	if (mp->n_dma == DMA_LIST_MAX) {
		mp->dma_overflow = 1;
		return;
	}
	mp->dma_page[mp->n_dma++] = page;
}

void machine_vram_written(struct device *dev, uint32_t off, uint32_t len)
{
	struct machine *m = dev->machine;
	uint32_t first = off >> PAGE_SHIFT, last = (off + len - 1) >> PAGE_SHIFT;

	if (!len)
		return;
	must(off < m->cfg.vram_bytes && len <= m->cfg.vram_bytes - off);
	for (uint32_t p = first; p <= last; p++)
		dma_mark(m, ram_pages(m) + p);
}

static void dma_copy(struct machine *m, uint64_t gpa, uint8_t *buf, size_t len, bool write)
{
	while (len > 0) {
		uint32_t page = 0, off = gpa % PAGE_SIZE;
		size_t n = PAGE_SIZE - off < len ? PAGE_SIZE - off : len;
		uint8_t *host = page_host(m, (uint32_t)(gpa >> PAGE_SHIFT), write, &page);

		if (write) {
			memcpy(host + off, buf, n);
			dma_mark(m, page);
		} else {
			memcpy(buf, host + off, n);
		}
		gpa += n;
		buf += n;
		len -= n;
	}
}

int dma_read(struct device *dev, uint64_t gpa, void *buf, size_t len)
{
	if (len == 0)
		return 0;
	if (!range_ok(dev->machine, gpa, len, false))
		return -EFAULT;
	dma_copy(dev->machine, gpa, buf, len, false);
	return 0;
}

int dma_write(struct device *dev, uint64_t gpa, const void *buf, size_t len)
{
	if (len == 0)
		return 0;
	if (!range_ok(dev->machine, gpa, len, true))
		return -EFAULT;
	dma_copy(dev->machine, gpa, (uint8_t *)(uintptr_t)buf, len, true);
	return 0;
}

uint8_t *memmap_ram(struct machine *m, uint64_t gpa, uint64_t len)
{
	if (gpa > m->cfg.ram_bytes || len > m->cfg.ram_bytes - gpa)
		return NULL;
	/* Not below the hole: that would be RAM under a ROM that nobody sees. */
	if (gpa < MACHINE_RAM_MIN && gpa + len > (uint64_t)VGA_PAGE << PAGE_SHIFT)
		return NULL;
	m->cfg.memmap->dma_overflow = 1;
	return m->cfg.ram + gpa;
}
