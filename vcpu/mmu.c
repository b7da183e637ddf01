/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging (SDM vol. 3, ch. 4) and guest-physical memory: 32-bit paging with PSE and PSE-36, PAE with
 * NX, the translation cache behind the inline fast path of mem.h, and what may not go fast.
 *
 * Two arrays share an index. The *translations* (struct xlate) are the TLB that the guest can
 * notice: what is in them is found without a walk, until it is flushed or displaced. The *fast
 * tags* of mem.h say which of these may be used inline; they come and go (dirty tracking, code in
 * pages, breakpoints) without any effect that a guest could see. That keeps accessed and dirty bits
 * a function of the guest's own accesses.
 */
#include "mmu.h"

#include <errno.h>
#include <stdlib.h>

#include "icache.h"
#include "log.h"

#define XLATE_WRITE  0x01u /* writes are allowed, and the dirty bit is set */
#define XLATE_GLOBAL 0x02u
#define XLATE_LARGE  0x04u

struct xlate {
	uint32_t lin; /* page, or an invalid tag */
	uint32_t flags;
	uint64_t gpa;
};

#define CODE_TLB_SIZE 256u
#define BLOOM_BITS    4096u

/* A range of guest-physical pages, with host addresses instead of offsets. */
struct region {
	uint32_t first, last; /* pages */
	uint8_t read_kind, write_kind;
	uint8_t *read, *write; /* host address of the first page */
	uint32_t read_page, write_page;
};

struct mmu_priv {
	struct mmu pub; /* first: mem.h finds it by cpu->mmu */
	struct xlate xlate[2][TLB_SIZE];
	struct code_page code[2][CODE_TLB_SIZE];
	uint64_t code_seen[2][BLOOM_BITS / 64]; /* pages given out by mmu_code() since the last
						   unlink; [1] global ones */
	uint64_t large_seen[1024 / 64];		/* 4 MiB regions with XLATE_LARGE entries */
	struct region region[MEMMAP_MAX_ENTRIES];
	unsigned n_regions, last_region;
	uint8_t *ram;
	const uint8_t *rom;
	size_t ram_len, rom_len;
	uint64_t *dirty; /* a bit for each RAM page */
	size_t dirty_words;
	uint8_t *codemap;
	size_t codemap_len;
	/* What the present contents of the arrays were made for. */
	uint32_t cr0, cr4, efer, a20_mask;
	uint32_t dr7, dr[4];
	uint64_t apic_base;
	bool align_check;
};

static struct mmu_priv *priv(const struct cpu *cpu)
{
	return (struct mmu_priv *)cpu->mmu;
}

/* A tag that no address with this index can match. */
static uint32_t invalid_tag(unsigned index)
{
	return (index ^ 1) << 12;
}

static uint64_t a20(const struct cpu *cpu, uint64_t gpa)
{
	return gpa & (cpu->a20_mask | ~0xffffffffull);
}

static unsigned tlb_index(uint32_t lin)
{
	return lin >> 12 & (TLB_SIZE - 1);
}

/* ---- physical memory ---- */

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

/* Where an access to a physical page goes. */
struct target {
	enum mem_kind read_kind, write_kind;
	uint8_t *read, *write; /* host page; ROM is never written through it */
	uint32_t read_page, write_page;
	bool apic;
};

static struct target target_find(const struct cpu *cpu, uint64_t gpa)
{
	struct mmu_priv *m = priv(cpu);
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

static void dirty_set(struct mmu_priv *m, uint32_t page)
{
	m->dirty[page / 64] |= 1ull << (page % 64);
}

static void ram_write(
	struct cpu *cpu, const struct target *t, uint32_t off, const void *src, unsigned n)
{
	dirty_set(priv(cpu), t->write_page);
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
static uint64_t phys_access_read(struct cpu *cpu, uint64_t gpa, unsigned size)
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

static void phys_access_write(struct cpu *cpu, uint64_t gpa, unsigned size, uint64_t val)
{
	struct target t = target_find(cpu, gpa);

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
	if (t.write_kind == MEM_RAM)
		ram_write(cpu, &t, gpa & 0xfff, &val, 4);
}

/* ---- the page walk ---- */

/* What an address means, before rights are looked at; entries seen on the way. */
struct walk {
	uint64_t gpa; /* of the page */
	uint64_t dir_gpa,
		leaf_gpa; /* where the entries lie; dir_gpa 0 if the directory entry is the leaf */
	uint32_t dir, leaf; /* low halves */
	bool user, writable, nx, large;
};

#define PTE_P  0x001u
#define PTE_W  0x002u
#define PTE_U  0x004u
#define PTE_A  0x020u
#define PTE_D  0x040u
#define PTE_PS 0x080u
#define PTE_G  0x100u

#define PHYS_BITS	 36
#define PAE_ADDR_MASK	 0x0000000ffffff000ull
#define PAE_RESERVED	 0x7ffffff000000000ull /* bits 62:36 */
#define PAE_NX		 (1ull << 63)
#define PDPTE_RESERVED	 (PAE_RESERVED | PAE_NX | 0x1e6ull)
#define WALK_NOT_PRESENT 1
#define WALK_RESERVED	 2

static int walk_32(struct cpu *cpu, uint32_t lin, struct walk *w)
{
	uint64_t at = (cpu->cr3 & PAGE_MASK) + (lin >> 22) * 4;
	uint32_t e = phys_read32(cpu, at), f;

	if (!(e & PTE_P))
		return WALK_NOT_PRESENT;
	if ((e & PTE_PS) && (cpu->cr4 & CR4_PSE)) {
		/* PSE-36: bits 16:13 are address bits 35:32, 21:17 reserved (SDM vol. 3, 4.3). */
		if (e & 0x003e0000u)
			return WALK_RESERVED;
		w->gpa = (e & 0xffc00000u) | (uint64_t)(e >> 13 & 15) << 32 | (lin & 0x3ff000u);
		w->leaf = e;
		w->leaf_gpa = at;
		w->user = e & PTE_U;
		w->writable = e & PTE_W;
		w->large = true;
		return 0;
	}
	w->dir = e;
	w->dir_gpa = at;
	at = (e & PAGE_MASK) + (lin >> 12 & 0x3ff) * 4;
	f = phys_read32(cpu, at);
	if (!(f & PTE_P))
		return WALK_NOT_PRESENT;
	w->leaf = f;
	w->leaf_gpa = at;
	w->gpa = f & PAGE_MASK;
	w->user = e & f & PTE_U;
	w->writable = e & f & PTE_W;
	return 0;
}

static int walk_pae(struct cpu *cpu, uint32_t lin, struct walk *w)
{
	uint64_t top = cpu->pdpte[lin >> 30], e, f, at;
	uint64_t reserved = PAE_RESERVED | (cpu->efer & EFER_NXE ? 0 : PAE_NX);

	if (!(top & PTE_P))
		return WALK_NOT_PRESENT;
	at = (top & PAE_ADDR_MASK) + (lin >> 21 & 0x1ff) * 8;
	e = phys_read64(cpu, at);
	if (!(e & PTE_P))
		return WALK_NOT_PRESENT;
	if (e & reserved)
		return WALK_RESERVED;
	if (e & PTE_PS) {
		if (e & 0x1fe000u) /* bits 20:13; 12 is PAT */
			return WALK_RESERVED;
		w->gpa = (e & PAE_ADDR_MASK & ~0x1fffffull) | (lin & 0x1ff000u);
		w->leaf = (uint32_t)e;
		w->leaf_gpa = at;
		w->user = e & PTE_U;
		w->writable = e & PTE_W;
		w->nx = e >> 63;
		w->large = true;
		return 0;
	}
	w->dir = (uint32_t)e;
	w->dir_gpa = at;
	at = (e & PAE_ADDR_MASK) + (lin >> 12 & 0x1ff) * 8;
	f = phys_read64(cpu, at);
	if (!(f & PTE_P))
		return WALK_NOT_PRESENT;
	if (f & reserved)
		return WALK_RESERVED;
	w->leaf = (uint32_t)f;
	w->leaf_gpa = at;
	w->gpa = f & PAE_ADDR_MASK;
	w->user = e & f & PTE_U;
	w->writable = e & f & PTE_W;
	w->nx = (e | f) >> 63;
	return 0;
}

static int walk_any(struct cpu *cpu, uint32_t lin, struct walk *w)
{
	memset(w, 0, sizeof(*w));
	if (!(cpu->cr0 & CR0_PG)) {
		w->gpa = lin & PAGE_MASK;
		w->user = w->writable = true;
		w->leaf = PTE_D;
		return 0;
	}
	return cpu->cr4 & CR4_PAE ? walk_pae(cpu, lin, w) : walk_32(cpu, lin, w);
}

/*
 * Translates lin for an access (PF_W, PF_U, PF_I); raises #PF. Sets accessed bits, and the dirty
 * bit for a write. Bits are set only when the access succeeds.
 */
static struct xlate walk_access(struct cpu *cpu, uint32_t lin, uint32_t access)
{
	struct xlate x = { .lin = lin & PAGE_MASK };
	bool paging = cpu->cr0 & CR0_PG, may_write;
	uint32_t err = access, leaf;
	struct walk w;
	int r;

	if (!((cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NXE)))
		err &= ~PF_I; /* the bit is defined with NX only */
	r = walk_any(cpu, lin, &w);
	if (r == WALK_NOT_PRESENT)
		cpu_raise_pf(cpu, lin, err);
	if (r == WALK_RESERVED)
		cpu_raise_pf(cpu, lin, err | PF_P | PF_RSVD);
	may_write = w.writable || (!(access & PF_U) && !(cpu->cr0 & CR0_WP));
	if (((access & PF_U) && !w.user) || ((access & PF_W) && !may_write) ||
		((access & PF_I) && w.nx))
		cpu_raise_pf(cpu, lin, err | PF_P);
	if (paging) {
		if (w.dir_gpa && !(w.dir & PTE_A))
			phys_write32(cpu, w.dir_gpa, w.dir | PTE_A);
		leaf = w.leaf | PTE_A | (access & PF_W ? PTE_D : 0);
		if (leaf != w.leaf)
			phys_write32(cpu, w.leaf_gpa, leaf);
		w.leaf = leaf;
	}
	x.gpa = a20(cpu, w.gpa);
	if (may_write && (w.leaf & PTE_D))
		x.flags |= XLATE_WRITE;
	if (paging && (w.leaf & PTE_G) && (cpu->cr4 & CR4_PGE))
		x.flags |= XLATE_GLOBAL;
	if (w.large)
		x.flags |= XLATE_LARGE;
	return x;
}

bool mmu_peek(struct cpu *cpu, uint32_t lin, uint64_t *ret_gpa)
{
	struct walk w;

	if (walk_any(cpu, lin, &w))
		return false;
	*ret_gpa = a20(cpu, w.gpa) | (lin & 0xfff);
	return true;
}

size_t mmu_peek_bytes(struct cpu *cpu, uint32_t lin, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		uint32_t at = lin + (uint32_t)done, n = PAGE_SIZE - (at & 0xfff);
		struct target t;
		uint64_t gpa;

		if (n > len - done)
			n = (uint32_t)(len - done);
		if (!mmu_peek(cpu, at, &gpa))
			break;
		t = target_find(cpu, gpa);
		if (t.read_kind != MEM_RAM && t.read_kind != MEM_ROM)
			break;
		memcpy((uint8_t *)buf + done, t.read + (gpa & 0xfff), n);
		done += n;
	}
	return done;
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
	struct mmu_priv *m = priv(cpu);
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
	struct mmu_priv *m = priv(cpu);
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
	if (user && priv(cpu)->align_check && (lin & (size - 1)))
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
	struct mmu_priv *m = priv(cpu);
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
	struct mmu_priv *m = priv(cpu);

	memset(m->code_seen[0], 0, sizeof(m->code_seen[0]));
	if (global_too)
		memset(m->code_seen[1], 0, sizeof(m->code_seen[1]));
	icache_unlink(cpu, global_too);
}

void mmu_flush(struct cpu *cpu, bool keep_global)
{
	struct mmu_priv *m = priv(cpu);

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
	struct mmu_priv *m = priv(cpu);
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

#define CR0_WATCHED (CR0_PG | CR0_WP | CR0_PE)
#define CR4_WATCHED (CR4_PSE | CR4_PAE | CR4_PGE)

void mmu_mode_changed(struct cpu *cpu)
{
	struct mmu_priv *m = priv(cpu);
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

int mmu_load_pdptes(struct cpu *cpu, uint32_t cr3)
{
	uint64_t e[4];

	for (unsigned i = 0; i < 4; i++) {
		e[i] = phys_read64(cpu, (cr3 & 0xffffffe0u) + i * 8);
		if ((e[i] & PTE_P) && (e[i] & PDPTE_RESERVED))
			return -EINVAL;
	}
	memcpy(cpu->pdpte, e, sizeof(e));
	return 0;
}

void mmu_sync(struct cpu *cpu)
{
	struct mmu_priv *m = priv(cpu);
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

/* ---- dirty pages and pages with code ---- */

static void fast_write_drop_all(struct mmu_priv *m)
{
	for (unsigned u = 0; u < 2; u++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			m->pub.tlb[u][i].wr = invalid_tag(i);
}

void mmu_take_dirty(struct cpu *cpu, void (*fn)(void *opaque, uint32_t ram_page), void *opaque)
{
	struct mmu_priv *m = priv(cpu);

	fast_write_drop_all(m);
	for (size_t w = 0; w < m->dirty_words; w++) {
		uint64_t bits = m->dirty[w];

		for (m->dirty[w] = 0; bits; bits &= bits - 1)
			fn(opaque, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits));
	}
}

void mmu_mark_dirty(struct cpu *cpu, uint32_t ram_page)
{
	struct mmu_priv *m = priv(cpu);

	if (ram_page < m->ram_len >> 12)
		dirty_set(m, ram_page);
}

void mmu_mark_dirty_all(struct cpu *cpu)
{
	struct mmu_priv *m = priv(cpu);

	for (uint32_t page = 0; page < m->ram_len >> 12; page++)
		dirty_set(m, page);
}

void mmu_code_page_added(struct cpu *cpu, uint32_t ram_page)
{
	struct mmu_priv *m = priv(cpu);
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
	struct mmu_priv *m = priv(cpu);

	if (ram_page / 8 < m->codemap_len)
		m->codemap[ram_page / 8] &= (uint8_t) ~(1u << (ram_page % 8));
}

void mmu_set_codemap(struct cpu *cpu, uint8_t *codemap, size_t len)
{
	struct mmu_priv *m = priv(cpu);

	m->codemap = codemap;
	m->codemap_len = len;
}

/* ---- the map ---- */

static int region_make(struct region *r, const struct memmap_entry *e, uint8_t *ram, size_t ram_len,
	const uint8_t *rom, size_t rom_len)
{
	uint64_t n = e->npages, read_end = e->read_off_page + n, write_end = e->write_off_page + n;

	if (!n || e->gpa_page + n > 1u << 20)
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

static int dirty_resize(struct mmu_priv *m, size_t ram_len)
{
	size_t words = (ram_len / PAGE_SIZE + 63) / 64;
	uint64_t *d = calloc(words ? words : 1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	free(m->dirty);
	m->dirty = d;
	m->dirty_words = words;
	m->ram_len = ram_len;
	return 0;
}

int mmu_set_map(struct cpu *cpu, const struct memmap_page *map, uint8_t *ram, size_t ram_len,
	const uint8_t *rom, size_t rom_len)
{
	struct mmu_priv *m = priv(cpu);
	struct region region[MEMMAP_MAX_ENTRIES];
	uint32_t n = map->n_entries;

	if (n > MEMMAP_MAX_ENTRIES || ram_len % PAGE_SIZE || rom_len % PAGE_SIZE)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		/* The page is shared: copy what is to be believed. */
		struct memmap_entry e = map->entry[i];
		int r = region_make(&region[i], &e, ram, ram_len, rom, rom_len);

		if (r < 0)
			return r;
		if (i && region[i].first <= region[i - 1].last)
			return -EINVAL;
	}
	if (ram_len != m->ram_len || !m->dirty) {
		int r = dirty_resize(m, ram_len);

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
	/* Translations stay; where they lead has changed. */
	fast_drop_all(m);
	for (unsigned u = 0; u < 2; u++)
		for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
			code_drop(m, u, i);
	code_unlink(cpu, true);
	cpu->look = true;
	return 0;
}

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
