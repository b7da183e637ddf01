/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translation cache behind the inline fast path of mem.h, and what may not go fast.
 *
 * Two arrays share an index. The *translations* (struct xlate) are the TLB that the guest can
 * notice: what is in them is found without a walk, until it is flushed or displaced. The *fast
 * tags* of mem.h say which of these may be used inline; they come and go (dirty tracking, code in
 * pages, breakpoints) without any effect that a guest could see. That keeps accessed and dirty bits
 * a function of the guest's own accesses.
 */
#include <stdlib.h>

#include "icache.h"
#include "mmu_int.h"

static unsigned tlb_index(uint32_t lin)
{
	return lin >> 12 & (TLB_SIZE - 1);
}

/* ---- translations and fast tags ---- */

static bool page_is_watched(const struct cpu *cpu, uint32_t lin)
{
	return cpu->dr_armed && debug_watches_page(cpu, lin);
}

/* Derives the fast tags of an entry. `write`: a write is about to happen, so the page may be marked
 * dirty. */
static void tlb_set_fast(struct cpu *cpu, const struct xlate *x, bool user, bool write)
{
	struct mmu_priv *m = mmu_priv(cpu);
	unsigned i = tlb_index(x->lin);
	struct tlb_entry *e = &m->pub.tlb[user][i];
	struct target t = target_find(cpu, x->gpa);

	e->rd = e->wr = invalid_tag(i);
	if ((user && m->align_check) || page_is_watched(cpu, x->lin))
		return;
	if (t.read_kind == MEM_RAM || t.read_kind == MEM_ROM) {
		e->addend = (uintptr_t)t.read - x->lin;
		e->rd = x->lin;
	}
	if (t.write_kind == MEM_RAM && (x->flags & XLATE_WRITE) && t.read == t.write &&
		!icache_page_has_code(cpu, t.write_page)) {
		if (write)
			dirty_set(m, t.write_page);
		if (m->dirty[t.write_page / 64] >> (t.write_page % 64) & 1)
			e->wr = x->lin;
	}
}

static const struct xlate *translate(struct cpu *cpu, uint32_t lin, bool write, bool user)
{
	struct mmu_priv *m = mmu_priv(cpu);
	struct xlate *x = &m->xlate[user][tlb_index(lin)];

	if (x->lin != (lin & PAGE_MASK) || (write && !(x->flags & XLATE_WRITE))) {
		*x = walk_access(cpu, lin, (write ? PF_W : 0) | (user ? PF_U : 0));
		if (x->flags & XLATE_LARGE)
			m->large_seen[lin >> 22 >> 6] |= 1ull << (lin >> 22 & 63);
	}
	tlb_set_fast(cpu, x, user, write);
	return x;
}

static void align_check(struct cpu *cpu, uint32_t lin, unsigned size, bool user)
{
	if (user && mmu_priv(cpu)->align_check && (lin & (size - 1)))
		cpu_raise_err(cpu, EXCP_AC, 0);
}

static void watch(struct cpu *cpu, uint32_t lin, unsigned size, bool write)
{
	if (cpu->dr_armed)
		debug_check_data(cpu, lin, size, write);
}

uint64_t mmu_read(struct cpu *cpu, uint32_t lin, unsigned size, bool user)
{
	unsigned n = PAGE_SIZE - (lin & 0xfff);
	uint64_t gpa = translate(cpu, lin, false, user)->gpa | (lin & 0xfff), gpa2 = 0, v = 0;

	if (unlikely(n < size))
		gpa2 = translate(cpu, lin + n, false, user)->gpa;
	align_check(cpu, lin, size, user);
	if (likely(n >= size)) {
		v = phys_access_read(cpu, gpa, size);
	} else {
		for (unsigned i = 0; i < size; i++)
			v |= phys_access_read(cpu, i < n ? gpa + i : gpa2 + i - n, 1) << i * 8;
	}
	watch(cpu, lin, size, false);
	return v;
}

void mmu_write(struct cpu *cpu, uint32_t lin, unsigned size, uint64_t val, bool user)
{
	unsigned n = PAGE_SIZE - (lin & 0xfff);
	uint64_t gpa = translate(cpu, lin, true, user)->gpa | (lin & 0xfff), gpa2 = 0;

	if (unlikely(n < size))
		gpa2 = translate(cpu, lin + n, true, user)->gpa;
	align_check(cpu, lin, size, user);
	if (likely(n >= size)) {
		phys_access_write(cpu, gpa, size, val);
	} else {
		for (unsigned i = 0; i < size; i++)
			phys_access_write(
				cpu, i < n ? gpa + i : gpa2 + i - n, 1, val >> i * 8 & 0xff);
	}
	watch(cpu, lin, size, true);
}

void lin_probe(struct cpu *cpu, uint32_t lin, unsigned size, bool write, bool user)
{
	translate(cpu, lin, write, user);
	if (size && (lin & 0xfff) + size > PAGE_SIZE)
		translate(cpu, lin + size - 1, write, user);
}

uint8_t *mmu_host(struct cpu *cpu, uint32_t lin, bool write, bool user)
{
	const struct tlb_entry *e = mem_tlb(cpu, lin, user);

	if (((lin ^ (write ? e->wr : e->rd)) & PAGE_MASK)) {
		translate(cpu, lin, write, user);
		if (((lin ^ (write ? e->wr : e->rd)) & PAGE_MASK))
			return NULL;
	}
	return (uint8_t *)(e->addend + lin);
}

void mem_rmw_slow(struct cpu *cpu, struct mem_rmw *m, unsigned size)
{
	bool user = mem_user(cpu);

	lin_probe(cpu, m->lin, size, true, user);
	align_check(cpu, m->lin, size, user);
	m->host = NULL;
	if ((m->lin & 0xfff) + size <= PAGE_SIZE) {
		const struct tlb_entry *e = mem_tlb(cpu, m->lin, user);

		if (!((m->lin ^ e->wr) & PAGE_MASK))
			m->host = (uint8_t *)(e->addend + m->lin);
	}
}

void seg_read_bytes(struct cpu *cpu, enum seg seg, uint32_t off, void *buf, unsigned n)
{
	uint32_t lin = seg_linear_read(cpu, seg, off, n);
	bool user = mem_user(cpu);
	uint8_t *p = buf;

	lin_probe(cpu, lin, n, false, user);
	for (; n >= 4; n -= 4, lin += 4, p += 4) {
		uint32_t v = lin_read32(cpu, lin, user);

		memcpy(p, &v, 4);
	}
	for (; n; n--)
		*p++ = lin_read8(cpu, lin++, user);
}

void seg_write_bytes(struct cpu *cpu, enum seg seg, uint32_t off, const void *buf, unsigned n)
{
	uint32_t lin = seg_linear_write(cpu, seg, off, n);
	bool user = mem_user(cpu);
	const uint8_t *p = buf;

	lin_probe(cpu, lin, n, true, user);
	for (; n >= 4; n -= 4, lin += 4, p += 4) {
		uint32_t v;

		memcpy(&v, p, 4);
		lin_write32(cpu, lin, v, user);
	}
	for (; n; n--)
		lin_write8(cpu, lin++, *p++, user);
}

/* ---- instruction fetch ---- */

static void code_seen_set(struct mmu_priv *m, uint32_t lin, bool global)
{
	unsigned i = lin >> 12 & (BLOOM_BITS - 1);

	m->code_seen[global][i / 64] |= 1ull << (i % 64);
}

static bool code_seen(const struct mmu_priv *m, uint32_t lin, bool global)
{
	unsigned i = lin >> 12 & (BLOOM_BITS - 1);

	return m->code_seen[global][i / 64] >> (i % 64) & 1;
}

const struct code_page *mmu_code(struct cpu *cpu, uint32_t lin)
{
	struct mmu_priv *m = mmu_priv(cpu);
	bool user = mem_user(cpu);
	struct code_page *c = &m->code[user][lin >> 12 & (CODE_TLB_SIZE - 1)];

	if (c->lin != (lin & PAGE_MASK)) {
		struct xlate x = walk_access(cpu, lin, PF_I | (user ? PF_U : 0));
		struct target t = target_find(cpu, x.gpa);

		c->lin = x.lin;
		c->global = x.flags & XLATE_GLOBAL;
		c->host = NULL;
		c->id = CODE_PAGE_MMIO;
		if (t.read_kind == MEM_RAM || t.read_kind == MEM_ROM) {
			c->host = t.read;
			c->id = t.read_page | (t.read_kind == MEM_ROM ? CODE_PAGE_ROM : 0);
		}
		if (x.flags & XLATE_LARGE)
			m->large_seen[lin >> 22 >> 6] |= 1ull << (lin >> 22 & 63);
	}
	code_seen_set(m, lin, c->global);
	return c;
}

uint8_t mmu_fetch_byte(struct cpu *cpu, uint32_t lin)
{
	const struct code_page *c = mmu_code(cpu, lin);
	struct xlate x;

	if (c->host)
		return c->host[lin & 0xfff];
	x = walk_access(cpu, lin, PF_I | (mem_user(cpu) ? PF_U : 0));
	return (uint8_t)phys_access_read(cpu, x.gpa | (lin & 0xfff), 1);
}

/* ---- flushes ---- */

static void xlate_drop(struct mmu_priv *m, unsigned user, unsigned i)
{
	m->xlate[user][i].lin = invalid_tag(i);
	m->pub.tlb[user][i].rd = m->pub.tlb[user][i].wr = invalid_tag(i);
}

static void code_drop(struct mmu_priv *m, unsigned user, unsigned i)
{
	m->code[user][i].lin = (i ^ 1) << 12;
}

static void fast_drop_all(struct mmu_priv *m)
{
	for (unsigned u = 0; u < 2; u++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			m->pub.tlb[u][i].rd = m->pub.tlb[u][i].wr = invalid_tag(i);
}

static void code_unlink(struct cpu *cpu, bool global_too)
{
	struct mmu_priv *m = mmu_priv(cpu);

	memset(m->code_seen[0], 0, sizeof(m->code_seen[0]));
	if (global_too)
		memset(m->code_seen[1], 0, sizeof(m->code_seen[1]));
	icache_unlink(cpu, global_too);
}

void mmu_flush(struct cpu *cpu, bool keep_global)
{
	struct mmu_priv *m = mmu_priv(cpu);

	keep_global = keep_global && (cpu->cr4 & CR4_PGE);
	for (unsigned u = 0; u < 2; u++) {
		for (unsigned i = 0; i < TLB_SIZE; i++)
			if (!keep_global || !(m->xlate[u][i].flags & XLATE_GLOBAL))
				xlate_drop(m, u, i);
		for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
			if (!keep_global || !m->code[u][i].global)
				code_drop(m, u, i);
	}
	if (!keep_global)
		memset(m->large_seen, 0, sizeof(m->large_seen));
	code_unlink(cpu, !keep_global);
}

static void large_invalidate(struct mmu_priv *m, uint32_t lin)
{
	for (unsigned u = 0; u < 2; u++) {
		for (unsigned i = 0; i < TLB_SIZE; i++)
			if ((m->xlate[u][i].flags & XLATE_LARGE) &&
				!((m->xlate[u][i].lin ^ lin) >> 22))
				xlate_drop(m, u, i);
		for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
			if (!((m->code[u][i].lin ^ lin) >> 22))
				code_drop(m, u, i);
	}
}

void mmu_invlpg(struct cpu *cpu, uint32_t lin)
{
	struct mmu_priv *m = mmu_priv(cpu);
	unsigned i = tlb_index(lin), c = lin >> 12 & (CODE_TLB_SIZE - 1);
	bool large = m->large_seen[lin >> 22 >> 6] >> (lin >> 22 & 63) & 1;

	for (unsigned u = 0; u < 2; u++) {
		if (m->xlate[u][i].lin == (lin & PAGE_MASK))
			xlate_drop(m, u, i);
		if (m->code[u][c].lin == (lin & PAGE_MASK))
			code_drop(m, u, c);
	}
	if (large)
		large_invalidate(m, lin);
	if (large || code_seen(m, lin, true))
		code_unlink(cpu, true);
	else if (code_seen(m, lin, false))
		code_unlink(cpu, false);
}

void tlb_map_changed(struct cpu *cpu)
{
	struct mmu_priv *m = mmu_priv(cpu);

	fast_drop_all(m);
	for (unsigned u = 0; u < 2; u++)
		for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
			code_drop(m, u, i);
	code_unlink(cpu, true);
	cpu->look = true;
}

#define CR0_WATCHED (CR0_PG | CR0_WP | CR0_PE)
#define CR4_WATCHED (CR4_PSE | CR4_PAE | CR4_PGE)

void mmu_mode_changed(struct cpu *cpu)
{
	struct mmu_priv *m = mmu_priv(cpu);
	uint32_t cr0 = cpu->cr0 & CR0_WATCHED, cr4 = cpu->cr4 & CR4_WATCHED;
	uint32_t efer = (uint32_t)cpu->efer & EFER_NXE;

	if (cr0 != m->cr0 || cr4 != m->cr4 || efer != m->efer || cpu->a20_mask != m->a20_mask) {
		m->cr0 = cr0;
		m->cr4 = cr4;
		m->efer = efer;
		m->a20_mask = cpu->a20_mask;
		mmu_flush(cpu, false);
	}
	mmu_sync(cpu);
}

void mmu_sync(struct cpu *cpu)
{
	struct mmu_priv *m = mmu_priv(cpu);
	bool ac = (cpu->cr0 & CR0_AM) && (cpu->eflags & FL_AC);
	uint64_t apic = lapic_enabled(cpu) ? cpu->apic_base : 0;
	bool fast = false;

	if (unlikely(ac != m->align_check)) {
		m->align_check = ac;
		fast = true;
	}
	if (unlikely(cpu->dr[7] != m->dr7 ||
		     (cpu->dr_armed && memcmp(cpu->dr, m->dr, sizeof(m->dr))))) {
		m->dr7 = cpu->dr[7];
		memcpy(m->dr, cpu->dr, sizeof(m->dr));
		fast = true;
	}
	if (unlikely(apic != m->apic_base)) {
		m->apic_base = apic;
		fast = true;
		for (unsigned u = 0; u < 2; u++)
			for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
				code_drop(m, u, i);
		code_unlink(cpu, true);
	}
	if (unlikely(fast))
		fast_drop_all(m);
}

/* ---- pages with code ---- */

void mmu_code_page_added(struct cpu *cpu, uint32_t ram_page)
{
	struct mmu_priv *m = mmu_priv(cpu);
	uintptr_t host = (uintptr_t)m->ram + ((uintptr_t)ram_page << 12);

	if (ram_page / 8 < m->codemap_len)
		m->codemap[ram_page / 8] |= (uint8_t)(1u << (ram_page % 8));
	for (unsigned u = 0; u < 2; u++) {
		for (unsigned i = 0; i < TLB_SIZE; i++) {
			struct tlb_entry *e = &m->pub.tlb[u][i];

			if (e->wr != invalid_tag(i) && e->addend + e->wr == host)
				e->wr = invalid_tag(i);
		}
	}
}

void mmu_code_page_removed(struct cpu *cpu, uint32_t ram_page)
{
	struct mmu_priv *m = mmu_priv(cpu);

	if (ram_page / 8 < m->codemap_len)
		m->codemap[ram_page / 8] &= (uint8_t) ~(1u << (ram_page % 8));
}

void mmu_set_codemap(struct cpu *cpu, uint8_t *codemap, size_t len)
{
	struct mmu_priv *m = mmu_priv(cpu);

	m->codemap = codemap;
	m->codemap_len = len;
}

/* ---- life ---- */

struct mmu *mmu_new(void)
{
	struct mmu_priv *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->dirty = calloc(1, sizeof(*m->dirty));
	if (!m->dirty) {
		free(m);
		return NULL;
	}
	m->a20_mask = ~0u;
	for (unsigned u = 0; u < 2; u++) {
		for (unsigned i = 0; i < TLB_SIZE; i++)
			xlate_drop(m, u, i);
		for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
			code_drop(m, u, i);
	}
	return &m->pub;
}

void mmu_free(struct mmu *mmu)
{
	struct mmu_priv *m = (struct mmu_priv *)mmu;

	if (m)
		free(m->dirty);
	free(m);
}
