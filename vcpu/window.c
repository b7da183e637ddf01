/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See window.h. */
#include "window.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "icache.h"
#include "log.h"
#include "mmu_int.h"
#include "tcache.h"
#include "tcg.h"

/* Translated code adds a displacement of 32 bits to a register of 32 bits: what it can reach lies
 * between the guards. */
#define GUARD (1ull << 31)
#define SPAN  ((1ull << 32) + 2 * GUARD)

#define RUN_MAX 256u /* pages mapped at once */

/*
 * Costs in instructions that the guest could have executed meanwhile: of a fault, of mapping a run
 * of pages. A window has to earn them: an instruction in it is worth about half of one.
 */
#define COST_FAULT 30000u
#define COST_MAP   12000u
#define PAGES_FEW  64u /* after a flush they come back by faults */
#define NEED_MIN   4000000ull
#define NEED_MAX   (1ull << 30)

/* Instructions left to the interpreter so often use the tables from then on. */
#define SITE_LIMIT 40u
#define SITES	   4096u /* power of 2 */

struct window {
	struct mmu_priv *mmu;
	uint8_t *base; /* of linear address 0 */
	bool user;
	uint32_t slot0;	    /* of page 0 in the fast tables */
	uint32_t low, high; /* pages mapped lie in [low, high); low >= high: none */
	uint32_t n_mapped;  /* as many at most */
	uint64_t mapped[TLB_PAGES / 64], writable[TLB_PAGES / 64];
	/* Use */
	bool on;
	uint64_t idle;	 /* instructions without it since it was left */
	uint64_t need;	 /* so many are asked for before it is used again */
	uint64_t earned; /* instructions with it since it was entered */
	uint64_t spent;	 /* COST_* since then */
	uint64_t entry;	 /* COST_* of entering it */
};

struct site {
	uint32_t eip, count;
};

struct windows {
	struct cpu *cpu;
	enum window_use use;
	int fd;
	bool has_gs;
	struct window w[2]; /* [user] */
	struct site site[SITES];
	struct window_stats stats;
};

static struct cpu *active; /* GS is its window's base */

static bool test_bit(const uint64_t *map, uint32_t page)
{
	return map[page / 64] >> (page % 64) & 1;
}

static void set_bit(uint64_t *map, uint32_t page, bool v)
{
	uint64_t bit = 1ull << (page % 64);

	map[page / 64] = v ? map[page / 64] | bit : map[page / 64] & ~bit;
}

/* ---- pages ---- */

static void unmap(struct window *w, uint32_t page, uint32_t n)
{
	void *p = mmap(w->base + ((size_t)page << 12), (size_t)n << 12, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	must(p != MAP_FAILED);
}

bool window_is_writable(const struct window *w, uint32_t page)
{
	return test_bit(w->writable, page);
}

void window_drop_page(struct window *w, uint32_t page)
{
	if (!test_bit(w->mapped, page))
		return;
	unmap(w, page, 1);
	set_bit(w->mapped, page, false);
	set_bit(w->writable, page, false);
	w->spent += COST_MAP;
}

static void window_drop_all(struct window *w)
{
	uint32_t first = w->low / 64, n;

	if (w->low >= w->high)
		return;
	w->spent += COST_MAP;
	unmap(w, w->low, w->high - w->low);
	n = (w->high - 1) / 64 - first + 1;
	memset(&w->mapped[first], 0, n * sizeof(w->mapped[0]));
	memset(&w->writable[first], 0, n * sizeof(w->writable[0]));
	w->low = TLB_PAGES;
	w->high = 0;
	w->n_mapped = 0;
	w->mmu->windows->stats.clears++;
}

static uint64_t entry(const struct window *w, uint32_t page, bool write)
{
	return w->mmu->pub.fast[w->slot0 + page + (write ? TLB_STRIDE : 0)];
}

/* Could page be mapped together with one whose entries are these? */
static bool is_alike(const struct window *w, uint32_t page, uint64_t rd, uint64_t wr)
{
	return entry(w, page, false) == rd && entry(w, page, true) == wr &&
	       !test_bit(w->mapped, page);
}

/* Shows page, which has an entry, and neighbours that lie beside it in RAM. False: it cannot be. */
static bool show(struct windows *ws, struct window *w, uint32_t page)
{
	uint64_t rd = entry(w, page, false), wr = entry(w, page, true), off;
	uint32_t first = page, end = page + 1;
	void *p;

	off = ((uint64_t)page << 12) - rd - (uint64_t)(uintptr_t)w->mmu->ram;
	if (!rd || (wr && wr != rd) || off >= w->mmu->ram_len)
		return false;
	while (first > 0 && page - first < RUN_MAX / 2 && is_alike(w, first - 1, rd, wr))
		first--;
	while (end < TLB_PAGES && end - page < RUN_MAX / 2 && is_alike(w, end, rd, wr))
		end++;
	off -= (uint64_t)(page - first) << 12;
	p = mmap(w->base + ((size_t)first << 12), (size_t)(end - first) << 12,
		PROT_READ | (wr ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED | MAP_POPULATE, ws->fd,
		(off_t)off);
	if (p == MAP_FAILED) {
		w->spent += NEED_MAX; /* the kernel has no room for so many pieces */
		return false;
	}
	for (uint32_t i = first; i < end; i++) {
		set_bit(w->mapped, i, true);
		set_bit(w->writable, i, wr != 0);
	}
	if (first < w->low)
		w->low = first;
	if (end > w->high)
		w->high = end;
	w->n_mapped += end - first;
	w->spent += COST_MAP;
	ws->stats.maps++;
	ws->stats.pages += end - first;
	return true;
}

/* ---- use ---- */

/*
 * Does it pay? A window that was left is entered again when as many instructions have gone by
 * without a flush as the last time has taught. It is left when flushes and faults have cost more
 * than it has earned.
 */
static void leave(struct windows *ws, struct window *w)
{
	bool paid = w->earned > 2 * (w->spent + w->entry);

	w->need = paid ? w->need / 2 : w->need * 2;
	if (w->need < NEED_MIN)
		w->need = NEED_MIN;
	if (w->need > NEED_MAX)
		w->need = NEED_MAX;
	w->on = false;
	w->idle = 0;
	window_drop_all(w);
	ws->stats.left++;
}

/* What is known already of the address space. */
static void show_known(struct windows *ws, struct window *w)
{
	for (unsigned g = 0; g < 2; g++) {
		const struct journal *j = &w->mmu->journal[g];

		for (uint32_t i = 0; i < j->n; i++) {
			uint32_t page = j->slot[i] - w->slot0;

			if (page < TLB_PAGES && entry(w, page, false) && !test_bit(w->mapped, page))
				show(ws, w, page);
		}
	}
}

static bool may_use(const struct windows *ws, const struct window *w)
{
	return ws && ws->use != WINDOW_OFF && !w->mmu->observer;
}

bool window_wanted(struct cpu *cpu, bool user)
{
	struct windows *ws = mmu_priv(cpu)->windows;
	struct window *w = ws ? &ws->w[user] : NULL;

	if (!may_use(ws, w))
		return false;
	if (ws->use == WINDOW_ALWAYS)
		return true;
	if (w->on && w->spent > w->earned / 2 + NEED_MIN)
		leave(ws, w);
	if (!w->on && w->idle >= w->need) {
		w->on = true;
		w->earned = w->spent = 0;
		ws->stats.entered++;
		show_known(ws, w);
		w->entry = w->spent;
		w->spent = 0;
	}
	return w->on;
}

void *window_base(const struct cpu *cpu, bool user)
{
	return mmu_priv(cpu)->windows->w[user].base;
}

void window_ran(struct cpu *cpu, bool user, bool with, uint64_t n)
{
	struct windows *ws = mmu_priv(cpu)->windows;

	if (!ws)
		return;
	if (with) {
		ws->w[user].earned += n;
		ws->stats.insns += n;
	} else {
		ws->w[user].idle += n;
	}
}

void windows_flush(struct windows *ws, bool global)
{
	struct window *w = &ws->w[1];
	const struct journal *j = &w->mmu->journal[0];

	if (global)
		window_drop_all(&ws->w[0]);
	else
		for (uint32_t i = 0; i < j->n; i++)
			if (j->slot[i] < TLB_PAGES)
				window_drop_page(&ws->w[0], j->slot[i]);
	if (w->on && w->n_mapped > PAGES_FEW)
		leave(ws, w);
	else
		window_drop_all(w);
}

void windows_drop(struct windows *ws)
{
	window_drop_all(&ws->w[0]);
	window_drop_all(&ws->w[1]);
}

const struct window_stats *window_stats(const struct cpu *cpu)
{
	static const struct window_stats none;
	const struct windows *ws = mmu_priv(cpu)->windows;

	return ws ? &ws->stats : &none;
}

/* ---- sites ---- */

static struct site *site_of(struct windows *ws, uint32_t eip)
{
	return &ws->site[(eip ^ eip >> 12) & (SITES - 1)];
}

bool window_site_is_slow(const struct cpu *cpu, uint32_t eip)
{
	const struct site *s = site_of(mmu_priv(cpu)->windows, eip);

	return s->eip == eip && s->count >= SITE_LIMIT;
}

/* True: this was once too often. */
static bool site_count(struct windows *ws, uint32_t eip)
{
	struct site *s = site_of(ws, eip);

	if (s->eip != eip)
		*s = (struct site){ .eip = eip };
	return ++s->count == SITE_LIMIT;
}

/* ---- faults ---- */

/* An access that has faulted at linear address lin. */
struct access {
	uint32_t lin;
	bool write, aligned; /* as in struct tb_fault */
	bool is_first;	     /* it does not begin in the page before */
};

/*
 * May the handler do for lin's page what the access would do to the TLB? If the access straddles
 * pages, its first one has to come first; the host may report either.
 */
static bool is_in_order(const struct window *w, const struct access *x)
{
	uint32_t page = x->lin >> 12;

	if (entry(w, page, x->write))
		return true;
	return x->is_first || (page && entry(w, page - 1, x->write));
}

static bool fault_in(struct windows *ws, struct window *w, const struct access *x)
{
	uint32_t page = x->lin >> 12;

	if ((x->aligned && (x->lin & 15)) || !is_in_order(w, x))
		return false;
	if (!mmu_try_host(ws->cpu, x->lin, 1, x->write))
		return false;
	if (test_bit(w->mapped, page) && (!x->write || test_bit(w->writable, page)))
		return false; /* and faults nevertheless */
	set_bit(w->mapped, page, false);
	return show(ws, w, page);
}

/* What f's instruction was about at the host's address addr. */
static struct access access_of(
	const struct window *w, const struct tb_fault *f, uintptr_t addr, const greg_t *regs)
{
	struct access x = { .lin = (uint32_t)(addr - (uintptr_t)w->base),
		.write = f->write,
		.aligned = f->aligned };

	x.is_first = (x.lin & 0xfff) || f->size == 1;
	if (f->rep) {
		x.write = regs[REG_ERR] & PF_W; /* the host's error code is the guest's */
		x.is_first = addr == (uintptr_t)regs[x.write ? REG_RDI : REG_RSI];
	}
	return x;
}

/* Where translated code goes on after a fault at code cache offset pc, reported at addr. 0: here.
 */
static uintptr_t resolve(
	struct windows *ws, struct tb *tb, uint32_t pc, uintptr_t addr, const greg_t *regs)
{
	struct cpu *cpu = ws->cpu;
	struct window *w = &ws->w[(tb->key & KEY_USER) != 0];
	const struct tb_fault *f = NULL;
	const struct tb_exit *x;
	struct access access;

	for (unsigned i = 0; i < tb->n_faults && tb->fault[i].from <= pc; i++)
		f = &tb->fault[i];
	must(f != NULL);
	w->spent += COST_FAULT;
	ws->stats.faults++;
	access = access_of(w, f, addr, regs);
	if (addr - (uintptr_t)w->base <= UINT32_MAX && fault_in(ws, w, &access))
		return 0;
	ws->stats.stepped++;
	x = (const struct tb_exit *)(cpu->tcache->mem.meta + f->id);
	if (site_count(ws, tb->insn_eip[x->insn]))
		tcache_kill(cpu->tcache, tb);
	cpu->tcg_exit = f->id | TCG_EXIT_STEP;
	return (uintptr_t)cpu->tcache->mem.rx + (f->stub ? f->stub : back_exit(cpu));
}

static bool is_in_window(const struct windows *ws, uintptr_t addr)
{
	for (unsigned u = 0; u < 2; u++)
		if (addr - (uintptr_t)ws->w[u].base + GUARD < SPAN)
			return true;
	return false;
}

bool window_fault(struct cpu *cpu, const siginfo_t *si, ucontext_t *uc)
{
	uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP], to;
	uintptr_t addr = (uintptr_t)si->si_addr;
	struct windows *ws = mmu_priv(cpu)->windows;
	struct tb *tb = ws ? tcache_at(cpu->tcache, pc) : NULL;

	/* An operand that is not aligned is reported without an address. */
	if (!tb || !tb->n_faults || !(is_in_window(ws, addr) || si->si_code == SI_KERNEL))
		return false;
	to = resolve(ws, tb, (uint32_t)(pc - (uintptr_t)cpu->tcache->mem.rx), addr,
		uc->uc_mcontext.gregs);
	if (to)
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)to;
	return true;
}

/* Nobody else on this host uses GS in user mode. False: it cannot be set. */
static bool set_gs(const struct windows *ws)
{
	return syscall(SYS_arch_prctl, ARCH_SET_GS, ws->w[1].base) == 0;
}

bool window_has_gs(const struct cpu *cpu)
{
	return mmu_priv(cpu)->windows->has_gs;
}

void window_activate(struct cpu *cpu)
{
	struct windows *ws = cpu ? mmu_priv(cpu)->windows : NULL;

	if (active != cpu && ws && ws->has_gs)
		must(set_gs(ws));
	active = cpu;
}

/* ---- life ---- */

static int reserve(struct window *w)
{
	uint8_t *p =
		mmap(NULL, SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	w->base = p + GUARD;
	return 0;
}

int window_init(struct cpu *cpu, int ram_fd, enum window_use use)
{
	struct mmu_priv *m = mmu_priv(cpu);
	struct windows *ws = calloc(1, sizeof(*ws));
	int r = ws ? 0 : -ENOMEM;

	for (unsigned u = 0; r == 0 && u < 2; u++) {
		struct window *w = &ws->w[u];

		w->mmu = m;
		w->user = u;
		w->slot0 = tlb_slot(0, u);
		w->low = TLB_PAGES;
		w->need = NEED_MIN;
		r = reserve(w);
	}
	if (r == 0) {
		ws->cpu = cpu;
		ws->fd = ram_fd;
		ws->use = use;
		m->windows = ws;
		m->window[0] = &ws->w[0];
		m->window[1] = &ws->w[1];
		ws->has_gs = set_gs(ws);
		active = cpu; /* GS is its, now */
	}
	if (r < 0 && ws && m->windows != ws)
		free(ws);
	if (r < 0)
		window_free(cpu);
	return r;
}

void window_renew(struct cpu *cpu)
{
	struct windows *ws = mmu_priv(cpu)->windows;

	if (!ws)
		return;
	windows_drop(ws);
	for (unsigned u = 0; u < 2; u++) {
		struct window *w = &ws->w[u];

		w->on = false;
		w->need = NEED_MIN;
		w->idle = w->earned = w->spent = w->entry = 0;
	}
	memset(ws->site, 0, sizeof(ws->site));
	ws->stats = (struct window_stats){ 0 };
}

void window_free(struct cpu *cpu)
{
	struct mmu_priv *m = mmu_priv(cpu);
	struct windows *ws = m->windows;

	if (!ws)
		return;
	for (unsigned u = 0; u < 2; u++)
		if (ws->w[u].base)
			munmap(ws->w[u].base - GUARD, SPAN);
	m->windows = NULL;
	m->window[0] = m->window[1] = NULL;
	if (active == cpu)
		active = NULL;
	free(ws);
}
