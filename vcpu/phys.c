/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest-physical memory: the map of RAM, ROM and MMIO (proto/segments.h), the local APIC's page,
 * and which RAM pages were written.
 */
#include <errno.h>
#include <stdlib.h>

#include "icache.h"
#include "log.h"
#include "mmu_int.h"

/* ---- where an address leads ---- */

static const struct region *region_find(struct mmu_priv *m, uint64_t gpa)
{
	uint64_t page = gpa >> 12;
	unsigned lo = 0, hi = m->n_regions;

	if (m->last_region < hi && page >= m->region[m->last_region].first &&
		page <= m->region[m->last_region].last)
		return &m->region[m->last_region];
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (page > m->region[mid].last)
			lo = mid + 1;
		else if (page < m->region[mid].first)
			hi = mid;
		else
			return &m->region[m->last_region = mid];
	}
	return NULL;
}

struct target target_find(const struct cpu *cpu, uint64_t gpa)
{
	struct mmu_priv *m = mmu_priv(cpu);
	const struct region *r;
	struct target t = { .read_kind = MEM_MMIO, .write_kind = MEM_MMIO };
	uint32_t n;

	if (unlikely(gpa >> 12 == cpu->apic_base >> 12) && lapic_enabled(cpu)) {
		t.apic = true;
		return t;
	}
	if (unlikely(gpa >> 32)) {
		t.read_kind = t.write_kind = MEM_NONE;
		return t;
	}
	r = region_find(m, gpa);
	if (!r)
		return t;
	n = (uint32_t)(gpa >> 12) - r->first;
	t.read_kind = r->read_kind;
	t.write_kind = r->write_kind;
	t.read = r->read ? r->read + ((size_t)n << 12) : NULL;
	t.write = r->write ? r->write + ((size_t)n << 12) : NULL;
	t.read_page = r->read_page + n;
	t.write_page = r->write_page + n;
	return t;
}

/* ---- accesses ---- */

static void ram_write(
	struct cpu *cpu, const struct target *t, uint32_t off, const void *src, unsigned n)
{
	dirty_set(mmu_priv(cpu), t->write_page);
	memcpy(t->write + off, src, n);
	if (icache_page_has_code(cpu, t->write_page))
		icache_write(cpu, t->write_page, off, n);
}

static uint64_t apic_read(struct cpu *cpu, uint32_t off, unsigned size)
{
	uint64_t v = lapic_read(cpu, off & ~3u);

	if (size == 8)
		return v | (uint64_t)lapic_read(cpu, (off & ~3u) + 4) << 32;
	return v >> (off & 3) * 8;
}

static uint64_t mmio_read(struct cpu *cpu, const struct target *t, uint64_t gpa, unsigned size)
{
	uint64_t v;

	if (t->apic)
		return apic_read(cpu, gpa & 0xfff, size);
	if (size < 8)
		return cpu->bus->mmio_read(cpu, (uint32_t)gpa, size);
	v = cpu->bus->mmio_read(cpu, (uint32_t)gpa, 4) & 0xffffffffu;
	return v | cpu->bus->mmio_read(cpu, (uint32_t)gpa + 4, 4) << 32;
}

static void mmio_write(
	struct cpu *cpu, const struct target *t, uint64_t gpa, unsigned size, uint64_t val)
{
	if (t->apic) {
		/* Other than aligned doublewords are undefined (SDM vol. 3, 10.4.1): they vanish.
		 */
		if (size == 4 && !(gpa & 3)) {
			lapic_write(cpu, gpa & 0xfff, (uint32_t)val);
			cpu->look = true;
		}
		return;
	}
	if (size < 8) {
		cpu->bus->mmio_write(cpu, (uint32_t)gpa, size, val);
		return;
	}
	cpu->bus->mmio_write(cpu, (uint32_t)gpa, 4, val & 0xffffffffu);
	cpu->bus->mmio_write(cpu, (uint32_t)gpa + 4, 4, val >> 32);
}

/* An access within one page. */
uint64_t phys_access_read(struct cpu *cpu, uint64_t gpa, unsigned size)
{
	struct target t = target_find(cpu, gpa);
	uint64_t v = 0;

	switch (t.read_kind) {
	case MEM_RAM:
	case MEM_ROM: memcpy(&v, t.read + (gpa & 0xfff), size); return v;
	case MEM_MMIO: v = mmio_read(cpu, &t, gpa, size); break;
	default: v = UINT64_MAX; break;
	}
	return size == 8 ? v : v & ((1ull << size * 8) - 1);
}

void phys_access_write(struct cpu *cpu, uint64_t gpa, unsigned size, uint64_t val)
{
	struct target t = target_find(cpu, gpa);

	if (t.write_kind == MEM_RAM && unlikely(mmu_priv(cpu)->observer != NULL))
		mmu_priv(cpu)->observer(cpu, t.write + (gpa & 0xfff), size);
	if (t.write_kind == MEM_RAM)
		ram_write(cpu, &t, gpa & 0xfff, &val, size);
	else if (t.write_kind == MEM_MMIO)
		mmio_write(cpu, &t, gpa, size, size == 8 ? val : val & ((1ull << size * 8) - 1));
}

static uint64_t phys_read_n(struct cpu *cpu, uint64_t gpa, unsigned n)
{
	struct target t = target_find(cpu, gpa);
	uint64_t v = UINT64_MAX;

	if (t.read_kind == MEM_RAM || t.read_kind == MEM_ROM)
		memcpy(&v, t.read + (gpa & 0xfff), n);
	return v;
}

uint32_t phys_read32(struct cpu *cpu, uint64_t gpa)
{
	return (uint32_t)phys_read_n(cpu, a20(cpu, gpa), 4);
}

uint64_t phys_read64(struct cpu *cpu, uint64_t gpa)
{
	return phys_read_n(cpu, a20(cpu, gpa), 8);
}

void phys_write32(struct cpu *cpu, uint64_t gpa, uint32_t val)
{
	struct target t;

	gpa = a20(cpu, gpa);
	t = target_find(cpu, gpa);
	if (t.write_kind != MEM_RAM)
		return;
	if (unlikely(mmu_priv(cpu)->observer != NULL))
		mmu_priv(cpu)->observer(cpu, t.write + (gpa & 0xfff), 4);
	ram_write(cpu, &t, gpa & 0xfff, &val, 4);
}

/* ---- dirty pages ---- */

void mmu_take_dirty(struct cpu *cpu, mmu_dirty_fn *fn, void *opaque)
{
	struct mmu_priv *m = mmu_priv(cpu);
	bool idle = false;

	tlb_drop_writes(m);
	for (size_t w = 0; w < m->dirty_words; w++) {
		uint64_t bits = m->dirty[w];

		for (m->dirty[w] = 0; bits; bits &= bits - 1) {
			unsigned i = (unsigned)__builtin_ctzll(bits);
			uint64_t bit = 1ull << i;

			if (fn(opaque, (uint32_t)(w * 64) + i) && (m->kept[w] & bit)) {
				m->kept[w] &= ~bit;
				m->dirty[w] |= bit;
			}
		}
		idle |= m->kept[w] != 0;
	}
	if (idle)
		tlb_drop_kept(m);
}

void mmu_mark_dirty(struct cpu *cpu, uint32_t ram_page)
{
	struct mmu_priv *m = mmu_priv(cpu);

	if (ram_page < m->ram_len >> 12)
		dirty_set(m, ram_page);
}

void mmu_mark_dirty_all(struct cpu *cpu)
{
	struct mmu_priv *m = mmu_priv(cpu);

	for (uint32_t page = 0; page < m->ram_len >> 12; page++)
		dirty_set(m, page);
}

/* ---- the map ---- */

static int region_make(struct region *r, const struct memmap_entry *e, uint8_t *ram, size_t ram_len,
	const uint8_t *rom, size_t rom_len)
{
	uint64_t n = e->npages, read_end = e->read_off_page + n, write_end = e->write_off_page + n;

	if (!n || e->gpa_page + n > 1u << 20 || read_end > 1u << 20 || write_end > 1u << 20)
		return -EINVAL;
	if (e->read_kind > MEM_NONE || e->write_kind > MEM_NONE || e->write_kind == MEM_ROM)
		return -EINVAL;
	if ((e->read_kind == MEM_RAM && read_end > ram_len >> 12) ||
		(e->read_kind == MEM_ROM && read_end > rom_len >> 12) ||
		(e->write_kind == MEM_RAM && write_end > ram_len >> 12))
		return -EINVAL;
	*r = (struct region){ .first = e->gpa_page,
		.last = e->gpa_page + (uint32_t)n - 1,
		.read_kind = e->read_kind,
		.write_kind = e->write_kind,
		.read_page = e->read_off_page,
		.write_page = e->write_off_page };
	if (e->read_kind == MEM_RAM)
		r->read = ram + ((size_t)e->read_off_page << 12);
	if (e->read_kind == MEM_ROM) /* never written through: XLATE_WRITE needs read == write */
		r->read = (uint8_t *)(uintptr_t)rom + ((size_t)e->read_off_page << 12);
	if (e->write_kind == MEM_RAM)
		r->write = ram + ((size_t)e->write_off_page << 12);
	return 0;
}

/* What there is for each RAM page. */
static int pages_resize(struct mmu_priv *m, size_t ram_len)
{
	size_t words = (ram_len / PAGE_SIZE + 63) / 64;
	uint64_t *d = calloc(words ? words : 1, sizeof(*d));
	uint64_t *k = calloc(words ? words : 1, sizeof(*k));
	uint32_t *r = calloc(words ? words : 1, 64 * sizeof(*r));

	if (!d || !k || !r) {
		free(d);
		free(k);
		free(r);
		return -ENOMEM;
	}
	tlb_drop_all(m);
	free(m->dirty);
	free(m->kept);
	free(m->rmap);
	m->dirty = d;
	m->kept = k;
	m->rmap = r;
	m->dirty_words = words;
	m->ram_len = ram_len;
	return 0;
}

int mmu_set_map(struct cpu *cpu, const struct memmap_page *map, uint8_t *ram, size_t ram_len,
	const uint8_t *rom, size_t rom_len)
{
	struct mmu_priv *m = mmu_priv(cpu);
	struct region region[MEMMAP_MAX_ENTRIES];
	uint32_t n = map->n_entries;

	/* What makes an inline entry's subtraction borrow (mem.h). */
	must(!ram_len || (uintptr_t)ram >> 32);
	must(!rom_len || (uintptr_t)rom >> 32);
	if (n > MEMMAP_MAX_ENTRIES || ram_len % PAGE_SIZE || rom_len % PAGE_SIZE)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		struct memmap_entry e = map->entry[i];
		int r;

		/* The page is shared: believe the copy, and do not let the compiler read again. */
		__asm__ volatile("" : : : "memory");
		r = region_make(&region[i], &e, ram, ram_len, rom, rom_len);
		if (r < 0)
			return r;
		if (i && region[i].first <= region[i - 1].last)
			return -EINVAL;
	}
	if (ram_len != m->ram_len || !m->dirty) {
		int r = pages_resize(m, ram_len);

		if (r < 0)
			return r;
		icache_flush(cpu);
	} else if (ram != m->ram || rom != m->rom) {
		icache_flush(cpu);
	}
	memcpy(m->region, region, n * sizeof(region[0]));
	m->n_regions = n;
	m->last_region = 0;
	m->ram = ram;
	m->rom = rom;
	m->rom_len = rom_len;
	tlb_map_changed(cpu);
	return 0;
}
