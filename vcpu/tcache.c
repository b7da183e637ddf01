/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory and books of translated blocks. See tcache.h.
 *
 * No page is ever writable and executable: one memfd is mapped twice, at different addresses, and
 * the executable mapping is never given to anything that writes.
 */
#include "tcache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "icache.h"
#include "log.h"

#define HASH_SIZE   (1u << 18)
#define RAM_PAGES   (1u << 20)
#define TRAMP_LEN   4096u
#define CODE_ALIGN  16u
#define META_FACTOR 2u /* bytes of metadata for a byte of code: about one is used */

struct region {
	uint8_t *meta;				  /* all of the arena: what offsets count from */
	uint32_t code_start, code_end, code_used; /* offsets */
	uint32_t meta_start, meta_end;
	uint32_t meta_low, meta_high; /* blocks grow up from the start, recipes down from the end */
	struct tb_own *first;
	struct tb_own **by_code; /* all of them, in the order of their code */
	uint32_t n;
};

/* What a block is to us. */
struct tb_own {
	struct tb tb; /* first */
	struct region *region;
	struct tb_own *region_next;
};

struct tcache_priv {
	struct tcache pub; /* first */
	struct cpu *cpu;
	size_t code_len, meta_len, by_code_len;
	struct tb_own **by_code; /* the regions' */
	struct region region[TCACHE_REGIONS];
	unsigned current;
	struct tb_own *making; /* between tcache_begin() and tcache_end() */
	uint32_t meta_mark;    /* meta_low before it */
	bool reset_wanted;     /* all blocks are dead: start anew when none executes */
	struct tb *hash[HASH_SIZE];
	struct tb **page;  /* [RAM_PAGES] blocks of a page */
	struct tb **page2; /* [RAM_PAGES] blocks that go on in a page */
	uint32_t *swept;   /* [RAM_PAGES] number of the sweep that saw it last */
	uint32_t sweep;
};

static struct tcache_priv *priv(const struct tcache *tc)
{
	return (struct tcache_priv *)tc;
}

static struct tb_own *own(struct tb *tb)
{
	return (struct tb_own *)tb;
}

static unsigned hash_index(uint32_t page, uint32_t eip, unsigned key)
{
	uint32_t h = (page * 0x9e3779b1u) ^ (eip * 0x85ebca6bu) ^ (key << 13);

	return (h ^ h >> 16) & (HASH_SIZE - 1);
}

/* ---- life ---- */

static int code_memfd(size_t len)
{
#ifdef MFD_EXEC
	int fd = memfd_create("dejavm-code", MFD_CLOEXEC | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("dejavm-code", MFD_CLOEXEC);
#else
	int fd = memfd_create("dejavm-code", MFD_CLOEXEC);
#endif
	if (fd >= 0 && ftruncate(fd, (off_t)len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *map_or_null(size_t len, int prot, int flags, int fd)
{
	void *p = mmap(NULL, len, prot, flags, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool map_memory(struct tcache_priv *tc)
{
	struct tcache_mem *m = &tc->pub.mem;
	int fd = code_memfd(tc->code_len);

	if (fd < 0)
		return false;
	m->rw = map_or_null(tc->code_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	m->rx = map_or_null(tc->code_len, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
	close(fd);
	m->meta = map_or_null(tc->meta_len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	tc->by_code_len = tc->code_len / CODE_ALIGN * sizeof(*tc->by_code);
	tc->by_code = map_or_null(tc->by_code_len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	return m->rw && m->rx && m->meta && tc->by_code;
}

static void region_reset(struct region *r)
{
	r->code_used = r->code_start;
	r->meta_low = r->meta_start;
	r->meta_high = r->meta_end;
	r->first = NULL;
	r->n = 0;
}

static void regions_init(struct tcache_priv *tc)
{
	size_t code = tc->code_len / TCACHE_REGIONS, meta = tc->meta_len / TCACHE_REGIONS;

	for (unsigned i = 0; i < TCACHE_REGIONS; i++) {
		struct region *r = &tc->region[i];

		r->meta = tc->pub.mem.meta;
		r->by_code = tc->by_code + i * code / CODE_ALIGN;
		r->code_start = (uint32_t)(i * code);
		r->code_end = (uint32_t)((i + 1) * code);
		r->meta_start = (uint32_t)(i * meta);
		r->meta_end = (uint32_t)((i + 1) * meta - CODE_ALIGN);
		if (i == 0) {
			r->code_start += TRAMP_LEN;
			r->meta_start += TCACHE_META_ZERO;
		}
		region_reset(r);
	}
}

struct tcache *tcache_new(struct cpu *cpu, unsigned size_mib)
{
	struct tcache_priv *tc = calloc(1, sizeof(*tc));

	must(size_mib >= 1 && size_mib <= TCACHE_MIB_MAX);
	if (!tc)
		return NULL;
	tc->cpu = cpu;
	tc->code_len = (size_t)size_mib << 20;
	tc->meta_len = tc->code_len * META_FACTOR;
	tc->page = calloc(RAM_PAGES, sizeof(*tc->page));
	tc->page2 = calloc(RAM_PAGES, sizeof(*tc->page2));
	tc->swept = calloc(RAM_PAGES, sizeof(*tc->swept));
	cpu->jump_cache = calloc(1u << JUMP_CACHE_BITS, sizeof(*cpu->jump_cache));
	if (!tc->page || !tc->page2 || !tc->swept || !cpu->jump_cache || !map_memory(tc)) {
		tcache_free(&tc->pub);
		return NULL;
	}
	regions_init(tc);
	if (!back_init(cpu, &tc->pub.mem, 0, TRAMP_LEN)) {
		tcache_free(&tc->pub);
		errno = ENOTSUP;
		return NULL;
	}
	return &tc->pub;
}

void tcache_free(struct tcache *pub)
{
	struct tcache_priv *tc = priv(pub);

	if (!tc)
		return;
	if (pub->mem.rw)
		munmap(pub->mem.rw, tc->code_len);
	if (pub->mem.rx)
		munmap((void *)(uintptr_t)pub->mem.rx, tc->code_len);
	if (pub->mem.meta)
		munmap(pub->mem.meta, tc->meta_len);
	if (tc->by_code)
		munmap(tc->by_code, tc->by_code_len);
	back_free(tc->cpu);
	free(tc->cpu->jump_cache);
	tc->cpu->jump_cache = NULL;
	free(tc->page);
	free(tc->page2);
	free(tc->swept);
	free(tc);
}

/* ---- links ---- */

static void edge_detach(struct tb_edge *e)
{
	struct tb_edge **at = &e->to->in;

	while (*at != e)
		at = &(*at)->next_in;
	*at = e->next_in;
	e->to = NULL;
	e->next_in = NULL;
}

void tcache_unlink(struct tcache *tc, struct tb_edge *e)
{
	if (!e->to)
		return;
	edge_detach(e);
	back_unlink(priv(tc)->cpu, &tc->mem, e);
	tc->stats.unlinks++;
}

/* Linking anew takes the same memory again: nobody's flags are described by it now. */
static void *link_alloc(void *opaque, size_t len)
{
	struct tb_edge *e = opaque;
	uint8_t *meta = own(e->from)->region->meta, *p;

	if (e->copy)
		return meta + e->copy;
	p = tcache_alloc(e->from, len);
	if (p)
		e->copy = (uint32_t)(p - meta);
	return p;
}

void tcache_link(struct tcache *tc, struct tb_edge *e, struct tb *to, uint32_t gen, bool global)
{
	must(!e->from->dead && !to->dead && e->from->key == to->key);
	if (e->to == to && gen && back_relink(&tc->mem, e, gen, global))
		return;
	if (e->to != to) {
		tcache_unlink(tc, e);
		e->to = to;
		e->next_in = to->in;
		to->in = e;
	}
	back_link(priv(tc)->cpu, &tc->mem, e, to, gen, global, link_alloc, e);
	tc->stats.links++;
}

/* ---- death ---- */

/* Nothing finds tb any more; links are not touched. */
static void tb_forget(struct tcache_priv *tc, struct tb *tb)
{
	struct tb **at = &tc->hash[hash_index(tb->page, tb->eip, tb->key)];
	struct jump_entry *j = &tc->cpu->jump_cache[jump_cache_index(tb->eip)];

	while (*at != tb)
		at = &(*at)->hash_next;
	*at = tb->hash_next;
	if (tb->page < RAM_PAGES) {
		at = &tc->page[tb->page];
		while (*at != tb)
			at = &(*at)->page_next;
		*at = tb->page_next;
	}
	if (tb->page2 < RAM_PAGES) {
		at = &tc->page2[tb->page2];
		while (*at != tb)
			at = &(*at)->page2_next;
		*at = tb->page2_next;
	}
	if (j->code == tc->pub.mem.rx + tb->indirect)
		*j = (struct jump_entry){ 0 };
	tb->dead = true;
}

/* Takes back all links from and to tb. */
static void tb_cut(struct tcache_priv *tc, struct tb *tb)
{
	while (tb->in)
		tcache_unlink(&tc->pub, tb->in);
	for (unsigned i = 0; i < tb->n_edges; i++)
		tcache_unlink(&tc->pub, &tb->edge[i]);
}

/* Bytes of tb in its page, and in the next. */
static uint32_t len_here(const struct tb *tb)
{
	uint32_t off = tb->lin & 0xfff;

	return off + tb->len > 4096 ? 4096 - off : tb->len;
}

static uint32_t len_behind(const struct tb *tb)
{
	return tb->len - len_here(tb);
}

static void tb_die(struct tcache_priv *tc, struct tb *tb)
{
	tb_forget(tc, tb);
	tb_cut(tc, tb);
	tc->pub.stats.killed++;
}

void tcache_kill(struct tcache *pub, struct tb *tb)
{
	struct tcache_priv *tc = priv(pub);

	tb_die(tc, tb);
	if (tb->page < RAM_PAGES)
		icache_page_recount(tc->cpu, tb->page);
	if (tb->page2 < RAM_PAGES)
		icache_page_recount(tc->cpu, tb->page2);
}

bool tcache_write(struct tcache *pub, uint32_t ram_page, uint32_t off, uint32_t len)
{
	struct tcache_priv *tc = priv(pub);
	bool any = false;

	for (struct tb *tb = tc->page[ram_page], *next; tb; tb = next) {
		uint32_t at = tb->lin & 0xfff;

		next = tb->page_next;
		if (at < off + len && off < at + len_here(tb)) {
			tb_die(tc, tb);
			if (tb->page2 < RAM_PAGES && tb->page2 != ram_page)
				icache_page_recount(tc->cpu, tb->page2);
			any = true;
		}
	}
	for (struct tb *tb = tc->page2[ram_page], *next; tb; tb = next) {
		next = tb->page2_next;
		if (off < len_behind(tb)) {
			tb_die(tc, tb);
			if (tb->page < RAM_PAGES && tb->page != ram_page)
				icache_page_recount(tc->cpu, tb->page);
			any = true;
		}
	}
	if (any)
		tc->cpu->look = true;
	return any;
}

uint64_t tcache_chunks(const struct tcache *pub, uint32_t ram_page)
{
	uint64_t m = 0;

	for (const struct tb *tb = priv(pub)->page[ram_page]; tb; tb = tb->page_next)
		m |= icache_chunk_mask(tb->lin & 0xfff, len_here(tb));
	for (const struct tb *tb = priv(pub)->page2[ram_page]; tb; tb = tb->page2_next)
		m |= icache_chunk_mask(0, len_behind(tb));
	return m;
}

static void list_drop_dead(struct tb **at, size_t next_off)
{
	while (*at) {
		struct tb **next = (struct tb **)((uint8_t *)*at + next_off);

		if ((*at)->dead)
			*at = *next;
		else
			at = next;
	}
}

/* Edges between o, which lives, and blocks of r, which do not. */
static void drop_edges(struct tcache_priv *tc, struct tb_own *o, const struct region *r)
{
	struct tb_edge **at = &o->tb.in;

	while (*at) {
		if (own((*at)->from)->region == r)
			*at = (*at)->next_in;
		else
			at = &(*at)->next_in;
	}
	for (unsigned i = 0; i < o->tb.n_edges; i++) {
		struct tb_edge *e = &o->tb.edge[i];

		if (e->to && own(e->to)->region == r) {
			e->to = NULL;
			e->next_in = NULL;
			back_unlink(tc->cpu, &tc->pub.mem, e);
		}
	}
}

static void page_sweep(struct tcache_priv *tc, uint32_t page)
{
	if (page >= RAM_PAGES || tc->swept[page] == tc->sweep)
		return;
	tc->swept[page] = tc->sweep;
	list_drop_dead(&tc->page[page], offsetof(struct tb, page_next));
	list_drop_dead(&tc->page2[page], offsetof(struct tb, page2_next));
	icache_page_recount(tc->cpu, page);
}

static void page_clear(struct tcache_priv *tc, uint32_t page)
{
	if (page >= RAM_PAGES || (!tc->page[page] && !tc->page2[page]))
		return;
	tc->page[page] = tc->page2[page] = NULL;
	icache_page_recount(tc->cpu, page);
}

/* All blocks of r go, and what leads to them from others. Sweeps over everything, each in one go:
 * taking tens of thousands of blocks out of lists one by one takes far longer. */
static void region_empty(struct tcache_priv *tc, struct region *r)
{
	for (struct tb_own *o = r->first; o; o = o->region_next)
		o->tb.dead = true;
	for (unsigned i = 0; i < HASH_SIZE; i++)
		list_drop_dead(&tc->hash[i], offsetof(struct tb, hash_next));
	tc->sweep++;
	for (struct tb_own *o = r->first; o; o = o->region_next) {
		page_sweep(tc, o->tb.page);
		page_sweep(tc, o->tb.page2);
	}
	for (unsigned i = 0; i < TCACHE_REGIONS; i++)
		if (&tc->region[i] != r)
			for (struct tb_own *o = tc->region[i].first; o; o = o->region_next)
				drop_edges(tc, o, r);
	memset(tc->cpu->jump_cache, 0, sizeof(*tc->cpu->jump_cache) << JUMP_CACHE_BITS);
	back_drop_returns(tc->cpu);
	region_reset(r);
}

void tcache_next_region(struct tcache *pub)
{
	struct tcache_priv *tc = priv(pub);

	if (tc->making)
		tc->region[tc->current].meta_low = tc->meta_mark;
	tc->making = NULL;
	tc->current = (tc->current + 1) % TCACHE_REGIONS;
	if (tc->region[tc->current].first) {
		region_empty(tc, &tc->region[tc->current]);
		pub->stats.regions_emptied++;
	}
}

static bool has_blocks(const struct tcache_priv *tc)
{
	for (unsigned i = 0; i < TCACHE_REGIONS; i++)
		if (tc->region[i].first)
			return true;
	return false;
}

void tcache_flush(struct tcache *pub)
{
	struct tcache_priv *tc = priv(pub);

	if (!has_blocks(tc))
		return;
	for (unsigned i = 0; i < TCACHE_REGIONS; i++)
		for (struct tb_own *o = tc->region[i].first; o; o = o->region_next)
			if (!o->tb.dead)
				tb_cut(tc, &o->tb);
	for (unsigned i = 0; i < TCACHE_REGIONS; i++) {
		for (struct tb_own *o = tc->region[i].first; o; o = o->region_next) {
			o->tb.dead = true;
			tc->hash[hash_index(o->tb.page, o->tb.eip, o->tb.key)] = NULL;
			tc->cpu->jump_cache[jump_cache_index(o->tb.eip)] = (struct jump_entry){ 0 };
			page_clear(tc, o->tb.page);
			page_clear(tc, o->tb.page2);
		}
	}
	tc->reset_wanted = true;
	pub->stats.flushes++;
	tc->cpu->look = true;
}

/* ---- finding and making ---- */

struct tb *tcache_find(struct tcache *pub, uint32_t page, uint32_t eip, unsigned key)
{
	struct tb *tb = priv(pub)->hash[hash_index(page, eip, key)];

	while (tb && (tb->eip != eip || tb->page != page || tb->key != key))
		tb = tb->hash_next;
	return tb;
}

struct tb *tcache_at(const struct tcache *pub, uintptr_t pc)
{
	const struct tcache_priv *tc = priv(pub);
	uint64_t off = pc - (uintptr_t)pub->mem.rx;
	const struct region *r;
	uint32_t low = 0, high;
	struct tb *tb;

	if (off >= tc->code_len)
		return NULL;
	r = &tc->region[off / (tc->code_len / TCACHE_REGIONS)];
	high = r->n;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (r->by_code[mid]->tb.code <= off)
			low = mid;
		else
			high = mid;
	}
	tb = high ? &r->by_code[low]->tb : NULL;
	return tb && off - tb->code < tb->code_len ? tb : NULL;
}

static void *take(struct region *r, size_t len)
{
	void *p = r->meta + r->meta_low;

	len = (len + 7) & ~(size_t)7;
	must(r->meta_high - r->meta_low >= len);
	r->meta_low += (uint32_t)len;
	return memset(p, 0, len);
}

void *tcache_alloc(void *tb, size_t len)
{
	struct region *r = own(tb)->region;

	len = (len + 7) & ~(size_t)7;
	if (r->meta_high - r->meta_low < len)
		return NULL;
	r->meta_high -= (uint32_t)len;
	return memset(r->meta + r->meta_high, 0, len);
}

static unsigned count_edges(const struct ir_block *ir)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ir->n_ops; i++)
		n += (ir_props(&ir->op[i]) & IRO_EDGE) != 0;
	return n + 1; /* to where a CALL returns */
}

#define MAX_META                                                                      \
	(sizeof(struct tb_own) + IR_MAX_INSNS * (sizeof(struct insn) + 4) +           \
		TB_MAX_EDGES * (sizeof(struct tb_edge) + 2 * sizeof(struct recipe)) + \
		TB_MAX_EXITS * (sizeof(struct tb_exit) + sizeof(struct recipe)) +     \
		2 * IR_MAX_INSNS * sizeof(struct tb_fault) + 256)

/* Starts anew after a flush. */
static void reset_all(struct tcache_priv *tc)
{
	for (unsigned i = 0; i < TCACHE_REGIONS; i++)
		region_reset(&tc->region[i]);
	tc->current = 0;
	tc->making = NULL;
	tc->reset_wanted = false;
	back_drop_returns(tc->cpu);
}

void tcache_renew(struct tcache *pub)
{
	tcache_flush(pub);
	reset_all(priv(pub));
	pub->stats = (struct tcache_stats){ 0 };
}

struct tb *tcache_begin(
	struct tcache *pub, const struct ir_block *ir, uint32_t *ret_at, size_t *ret_len)
{
	struct tcache_priv *tc = priv(pub);
	struct region *r;
	struct tb_own *o;

	if (tc->reset_wanted)
		reset_all(tc);
	r = &tc->region[tc->current];
	if (tc->making)
		r->meta_low = tc->meta_mark;
	tc->making = NULL;
	if (r->meta_high - r->meta_low < MAX_META || r->code_end - r->code_used < 1024) {
		tcache_next_region(pub);
		r = &tc->region[tc->current];
	}
	tc->meta_mark = r->meta_low;
	o = take(r, sizeof(*o));
	o->region = r;
	o->tb.insn = take(r, ir->n_insns * sizeof(*o->tb.insn));
	o->tb.insn_eip = take(r, (ir->n_insns + 1) * sizeof(*o->tb.insn_eip));
	memcpy(o->tb.insn, ir->insn, ir->n_insns * sizeof(*o->tb.insn));
	memcpy(o->tb.insn_eip, ir->insn_eip, (ir->n_insns + 1) * sizeof(*o->tb.insn_eip));
	o->tb.edge = take(r, count_edges(ir) * sizeof(*o->tb.edge));
	o->tb.exit = take(r, TB_MAX_EXITS * sizeof(*o->tb.exit)); /* last: tcache_end() trims */
	tc->making = o;
	o->tb.eip = ir->eip;
	o->tb.len = ir->len;
	o->tb.page2 = CODE_PAGE_NONE;
	o->tb.n_insns = (uint16_t)ir->n_insns;
	*ret_at = r->code_used;
	*ret_len = r->code_end - r->code_used;
	return &o->tb;
}

void tcache_end(struct tcache *pub, struct tb *tb)
{
	struct tcache_priv *tc = priv(pub);
	struct tb_own *o = own(tb);
	struct region *r = o->region;
	struct tb **hash = &tc->hash[hash_index(tb->page, tb->eip, tb->key)];

	must(o == tc->making && tb->n_exits <= TB_MAX_EXITS);
	must(&tb->edge[tb->n_edges] <= (struct tb_edge *)tb->exit);
	must(tb->code == r->code_used && tb->code_len <= r->code_end - r->code_used);
	tc->making = NULL;
	r->meta_low = (uint32_t)((uint8_t *)&tb->exit[tb->n_exits] - r->meta);
	r->meta_low = (r->meta_low + 7) & ~7u;
	r->code_used += (tb->code_len + CODE_ALIGN - 1) & ~(CODE_ALIGN - 1);
	if (r->code_used > r->code_end)
		r->code_used = r->code_end;
	o->region_next = r->first;
	r->first = o;
	r->by_code[r->n++] = o;
	tb->hash_next = *hash;
	*hash = tb;
	if (tb->page < RAM_PAGES) {
		tb->page_next = tc->page[tb->page];
		tc->page[tb->page] = tb;
		icache_code_added(tc->cpu, tb->page, tb->lin & 0xfff, len_here(tb));
	}
	if (tb->page2 < RAM_PAGES) {
		tb->page2_next = tc->page2[tb->page2];
		tc->page2[tb->page2] = tb;
		icache_code_added(tc->cpu, tb->page2, 0, len_behind(tb));
	}
	pub->stats.blocks++;
	pub->stats.insns += tb->n_insns;
	pub->stats.host_bytes += tb->code_len;
	pub->stats.looked_up += tb->n_looked_up;
	pub->stats.shared += tb->n_shared;
	pub->stats.meta_bytes += r->meta_low - tc->meta_mark;
}
