/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses by linear address (SDM vol. 3, ch. 4) behind the inline fast path of mem.h, and what may
 * not go fast.
 *
 * The *translations* (struct xlate) are the TLB that the guest can notice: each lasts from the
 * access that made it until the guest flushes it, and is never displaced. The *inline entries* of
 * mem.h say which of these may be used without coming here; they come and go (dirty tracking, code
 * in pages, breakpoints) without any effect that a guest could see. That keeps accessed and dirty
 * bits a function of the guest's own accesses.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "icache.h"
#include "log.h"
#include "mmu_int.h"

/* ---- translations and inline entries ---- */

static bool page_is_watched(const struct cpu *cpu, uint32_t lin)
{
	return cpu->dr_armed && debug_watches_page(cpu, lin);
}

static bool page_may_go_fast(const struct cpu *cpu, uint32_t lin, bool user)
{
	return !(user && mmu_priv(cpu)->align_check) && !page_is_watched(cpu, lin);
}

static bool target_reads_fast(const struct target *t)
{
	return t->read_kind == MEM_RAM || t->read_kind == MEM_ROM;
}

static bool target_writes_fast(const struct cpu *cpu, const struct target *t)
{
	return t->write_kind == MEM_RAM && t->read == t->write &&
	       !icache_page_has_code(cpu, t->write_page);
}

/* Derives the inline entries of a translation. `write`: a write is about to happen, so the page may
 * be marked dirty. */
static void set_fast(struct cpu *cpu, uint32_t lin, const struct xlate *x, bool user, bool write)
{
	struct mmu_priv *m = mmu_priv(cpu);
	const uint8_t *to_read = NULL, *to_write = NULL;
	struct target t = target_find(cpu, xlate_gpa(x));

	if (page_may_go_fast(cpu, lin, user)) {
		if (target_reads_fast(&t))
			to_read = t.read;
		if ((x->flags & XLATE_WRITE) && target_writes_fast(cpu, &t)) {
			if (write)
				dirty_set(m, t.write_page);
			if (!m->observer && m->dirty[t.write_page / 64] >> (t.write_page % 64) & 1)
				to_write = t.write;
		}
	}
	tlb_set(m, tlb_slot(lin, user), x->flags & XLATE_GLOBAL, to_read, to_write, t.write_page);
}

static bool xlate_allows(const struct mmu_priv *m, const struct xlate *x, bool write)
{
	return xlate_valid(m, x) && (!write || (x->flags & XLATE_WRITE));
}

static uint32_t data_access(bool write, bool user)
{
	return (write ? PF_W : 0) | (user ? PF_U : 0);
}

/* Returns the guest-physical address of the page. */
static uint64_t translate(struct cpu *cpu, uint32_t lin, bool write, bool user)
{
	struct mmu_priv *m = mmu_priv(cpu);
	const struct xlate *x = &m->data[user][lin >> 12];

	if (!xlate_allows(m, x, write))
		xlate_set_data(m, lin, user, walk_access(cpu, lin, data_access(write, user)));
	set_fast(cpu, lin, x, user, write);
	return xlate_gpa(x);
}

static void observe_learning(struct cpu *cpu, uint32_t lin, bool user)
{
	struct mmu_priv *m = mmu_priv(cpu);
	uint64_t old;

	_Static_assert(sizeof(old) == sizeof(struct xlate), "it is handed out as a number");
	memcpy(&old, &m->data[user][lin >> 12], sizeof(old));
	m->learn_observer(cpu, lin, user, old);
}

void mmu_unlearn(struct cpu *cpu, uint32_t lin, bool user, uint64_t old)
{
	struct xlate x;

	memcpy(&x, &old, sizeof(x));
	xlate_put_back(mmu_priv(cpu), lin, user, x);
}

uint8_t *mmu_try_host(struct cpu *cpu, uint32_t lin, unsigned size, bool write)
{
	struct mmu_priv *m = mmu_priv(cpu);
	bool user = mem_user(cpu), walked = false;
	const uint64_t *tlb = mem_tlb(cpu, user, write);
	const struct xlate *x = &m->data[user][lin >> 12];
	uint32_t access = data_access(write, user);
	uint64_t gpa = xlate_gpa(x);
	struct target t;
	struct walk w;

	if ((lin & 0xfff) + size > PAGE_SIZE)
		return NULL;
	if (tlb[lin >> 12])
		return tlb_host(tlb, lin, size);
	if (!page_may_go_fast(cpu, lin, user))
		return NULL;
	if (!xlate_allows(m, x, write)) {
		if (!walk_try(cpu, lin, access, &w) || walk_changes_code(cpu, access, &w))
			return NULL;
		walked = true;
		gpa = w.gpa;
	}
	t = target_find(cpu, gpa);
	if (write ? !target_writes_fast(cpu, &t) : !target_reads_fast(&t))
		return NULL;
	if (walked && unlikely(m->observer != NULL))
		observe_learning(cpu, lin, user);
	if (walked)
		xlate_set_data(m, lin, user, walk_commit(cpu, access, &w));
	set_fast(cpu, lin, x, user, write);
	if (unlikely(write && m->observer)) {
		m->observer(cpu, t.write + (lin & 0xfff), size);
		return t.write + (lin & 0xfff);
	}
	return tlb_host(tlb, lin, size);
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
	uint64_t gpa = translate(cpu, lin, false, user) | (lin & 0xfff), gpa2 = 0, v = 0;

	if (unlikely(n < size))
		gpa2 = translate(cpu, lin + n, false, user);
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
	uint64_t gpa = translate(cpu, lin, true, user) | (lin & 0xfff), gpa2 = 0;

	if (unlikely(n < size))
		gpa2 = translate(cpu, lin + n, true, user);
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
		translate(cpu, (lin + size - 1) & PAGE_MASK, write, user);
}

/* For writes while they are observed: bulk goes on being bulk. */
static uint8_t *host_unlisted(struct cpu *cpu, uint32_t lin, bool user)
{
	struct target t = target_find(cpu, translate(cpu, lin, true, user));

	if (!page_may_go_fast(cpu, lin, user) || !target_writes_fast(cpu, &t))
		return NULL;
	return t.write + (lin & 0xfff);
}

uint8_t *mmu_host(struct cpu *cpu, uint32_t lin, bool write, bool user)
{
	const uint64_t *tlb = mem_tlb(cpu, user, write);

	if (unlikely(write && mmu_priv(cpu)->observer))
		return host_unlisted(cpu, lin, user);
	if (!tlb[lin >> 12])
		translate(cpu, lin, write, user);
	return tlb_host(tlb, lin, 1);
}

void mem_rmw_slow(struct cpu *cpu, struct mem_rmw *m, unsigned size)
{
	bool user = mem_user(cpu);

	lin_probe(cpu, m->lin, size, true, user);
	align_check(cpu, m->lin, size, user);
	m->host = tlb_host(mem_tlb(cpu, user, true), m->lin, size);
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

static const struct xlate *translate_fetch(struct cpu *cpu, uint32_t lin, bool user)
{
	struct mmu_priv *m = mmu_priv(cpu);
	const struct xlate *x = &m->fetch[user][lin >> 12];

	if (!xlate_valid(m, x))
		xlate_set_fetch(m, lin, user, walk_access(cpu, lin, PF_I | (user ? PF_U : 0)));
	return x;
}

const struct code_page *mmu_code(struct cpu *cpu, uint32_t lin)
{
	struct mmu_priv *m = mmu_priv(cpu);
	bool user = mem_user(cpu);
	struct code_page *c = &m->code[user][lin >> 12 & (CODE_TLB_SIZE - 1)];

	if (c->lin != (lin & PAGE_MASK) || c->gen != m->gen[c->global]) {
		const struct xlate *x = translate_fetch(cpu, lin, user);
		struct target t = target_find(cpu, xlate_gpa(x));

		*c = (struct code_page){ .lin = lin & PAGE_MASK,
			.gen = x->gen,
			.global = x->flags & XLATE_GLOBAL,
			.id = CODE_PAGE_MMIO };
		if (target_reads_fast(&t)) {
			c->host = t.read;
			c->id = t.read_page | (t.read_kind == MEM_ROM ? CODE_PAGE_ROM : 0);
		}
	}
	return c;
}

const struct code_page *mmu_code_known(struct cpu *cpu, uint32_t lin)
{
	struct mmu_priv *m = mmu_priv(cpu);

	return xlate_valid(m, &m->fetch[mem_user(cpu)][lin >> 12]) ? mmu_code(cpu, lin) : NULL;
}

uint8_t mmu_fetch_byte(struct cpu *cpu, uint32_t lin)
{
	const struct code_page *c = mmu_code(cpu, lin);
	const struct xlate *x;

	if (c->host)
		return c->host[lin & 0xfff];
	x = translate_fetch(cpu, lin, mem_user(cpu));
	return (uint8_t)phys_access_read(cpu, xlate_gpa(x) | (lin & 0xfff), 1);
}

/* ---- flushes ---- */

/* What was found by fetch translations is void. */
static void code_drop(struct cpu *cpu, bool global_too)
{
	struct mmu_priv *m = mmu_priv(cpu);

	for (unsigned u = 0; u < 2; u++)
		for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
			m->code[u][i].gen = 0;
	icache_unlink(cpu, global_too);
}

void mmu_flush(struct cpu *cpu, bool keep_global)
{
	keep_global = keep_global && (cpu->cr4 & CR4_PGE);
	xlate_flush(mmu_priv(cpu), keep_global);
	icache_unlink(cpu, !keep_global);
	cpu->look = true; /* the next instruction is fetched anew */
}

void mmu_invlpg(struct cpu *cpu, uint32_t lin)
{
	enum fetched f = xlate_drop(mmu_priv(cpu), lin);

	if (f == FETCHED_NOT)
		return;
	code_drop(cpu, f == FETCHED_GLOBAL);
	cpu->look = true;
}

void tlb_map_changed(struct cpu *cpu)
{
	tlb_drop_all(mmu_priv(cpu));
	code_drop(cpu, true);
	cpu->look = true;
}

#define CR0_WATCHED (CR0_PG | CR0_WP | CR0_PE)
#define CR4_WATCHED (CR4_PSE | CR4_PAE | CR4_PGE)

/* Notes the mode as the one that translations are made for. False: it is already. */
bool mmu_adopt_mode(struct cpu *cpu)
{
	struct mmu_priv *m = mmu_priv(cpu);
	uint32_t cr0 = cpu->cr0 & CR0_WATCHED, cr4 = cpu->cr4 & CR4_WATCHED;
	uint32_t efer = (uint32_t)cpu->efer & EFER_NXE;

	if (cr0 == m->cr0 && cr4 == m->cr4 && efer == m->efer && cpu->a20_mask == m->a20_mask)
		return false;
	m->cr0 = cr0;
	m->cr4 = cr4;
	m->efer = efer;
	m->a20_mask = cpu->a20_mask;
	return true;
}

void mmu_mode_changed(struct cpu *cpu)
{
	if (mmu_adopt_mode(cpu))
		mmu_flush(cpu, false);
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
		code_drop(cpu, true);
	}
	if (unlikely(fast))
		tlb_drop_all(m);
}

/* ---- pages with code ---- */

void mmu_code_page_added(struct cpu *cpu, uint32_t ram_page)
{
	struct mmu_priv *m = mmu_priv(cpu);

	if (ram_page / 8 < m->codemap_len)
		m->codemap[ram_page / 8] |= (uint8_t)(1u << (ram_page % 8));
	tlb_drop_writes_to(m, ram_page);
}

void mmu_code_page_removed(struct cpu *cpu, uint32_t ram_page)
{
	struct mmu_priv *m = mmu_priv(cpu);

	if (ram_page / 8 < m->codemap_len)
		m->codemap[ram_page / 8] &= (uint8_t) ~(1u << (ram_page % 8));
}

void mmu_observe(struct cpu *cpu, mmu_write_fn *write, mmu_learn_fn *learn)
{
	mmu_priv(cpu)->observer = write;
	mmu_priv(cpu)->learn_observer = learn;
	tlb_drop_all(mmu_priv(cpu));
}

void mmu_set_codemap(struct cpu *cpu, uint8_t *codemap, size_t len)
{
	struct mmu_priv *m = mmu_priv(cpu);

	m->codemap = codemap;
	m->codemap_len = len;
}

/* ---- life ---- */

const struct mmu_stats *mmu_stats(const struct cpu *cpu)
{
	return &mmu_priv(cpu)->stats;
}

struct mmu *mmu_new(void)
{
	struct mmu_priv *m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	m->dirty = calloc(1, sizeof(*m->dirty));
	m->kept = calloc(1, sizeof(*m->kept));
	m->rmap = calloc(1, sizeof(*m->rmap));
	if (!m->dirty || !m->kept || !m->rmap) {
		mmu_free(&m->pub);
		return NULL;
	}
	m->a20_mask = ~0u;
	m->gen[0] = 1;
	m->gen[1] = m->gen_last = 2;
	return &m->pub;
}

/* Translations stay in the tables, under generations that are over. */
void mmu_renew(struct cpu *cpu)
{
	struct mmu_priv *m = mmu_priv(cpu);

	tlb_map_changed(cpu);
	xlate_flush(m, false);
	memset(m->dirty, 0, m->dirty_words * sizeof(*m->dirty));
	memset(m->kept, 0, m->dirty_words * sizeof(*m->kept));
	memset(m->rmap, 0, m->dirty_words * 64 * sizeof(*m->rmap));
	m->last_region = 0;
	m->cr0 = m->cr4 = m->efer = 0;
	m->a20_mask = ~0u;
	m->dr7 = 0;
	memset(m->dr, 0, sizeof(m->dr));
	m->apic_base = 0;
	m->align_check = false;
	m->observer = NULL;
	m->stats = (struct mmu_stats){ 0 };
}

void mmu_free(struct mmu *mmu)
{
	struct mmu_priv *m = (struct mmu_priv *)mmu;

	if (!m)
		return;
	free(m->dirty);
	free(m->kept);
	free(m->rmap);
	must(munmap(m, sizeof(*m)) == 0);
}
