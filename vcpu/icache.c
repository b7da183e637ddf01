/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of decoded blocks. See icache.h.
 *
 * A block is found in three ways, from fast to slow: by the link of the block before it (engine.c),
 * by linear address in a direct-mapped table, by the identity of its memory in a hash table. The
 * first two hold a generation number and die as a whole when translations change.
 */
#include "icache.h"

#include <stdlib.h>

#include "decode.h"
#include "engine.h"
#include "log.h"
#include "tcache.h"

#define HASH_SIZE (1u << 16)
#define JUMP_SIZE (1u << 12)
#define RAM_PAGES (1u << 20) /* more than fit below 4 GiB there are not */

struct jump {
	uint32_t lin, gen;
	struct block *to;
};

struct icache_priv {
	struct icache pub; /* first */
	uint8_t *arena;
	size_t len, used;
	bool flush_wanted;
	uint32_t gen_counter;
	struct block *hash[HASH_SIZE];
	struct jump jump[JUMP_SIZE];
	/* By RAM page; large, but touched only where there is code. */
	uint64_t *chunks;     /* of blocks here and of the translator's */
	struct block **first; /* blocks with bytes in the page */
};

static struct icache_priv *priv(const struct cpu *cpu)
{
	return (struct icache_priv *)cpu->icache;
}

static bool page_is_ram(uint32_t id)
{
	return id < RAM_PAGES;
}

static unsigned hash_index(uint32_t page, uint32_t off, unsigned key)
{
	uint32_t h = (page * 0x9e3779b1u) ^ (off * 0x85ebca6bu) ^ (key << 13);

	return (h ^ h >> 16) & (HASH_SIZE - 1);
}

static unsigned jump_index(uint32_t lin)
{
	return (lin ^ lin >> 12) & (JUMP_SIZE - 1);
}

/* ---- life ---- */

static void gen_start(struct icache_priv *ic)
{
	ic->pub.gen[0] = 1;
	ic->pub.gen[1] = 2;
	ic->gen_counter = 2;
}

struct icache *icache_new(size_t arena_len)
{
	struct icache_priv *ic = calloc(1, sizeof(*ic));

	must(arena_len >= 65536);
	if (!ic)
		return NULL;
	ic->arena = malloc(arena_len);
	ic->chunks = calloc(RAM_PAGES, sizeof(*ic->chunks));
	ic->first = calloc(RAM_PAGES, sizeof(*ic->first));
	if (!ic->arena || !ic->chunks || !ic->first) {
		icache_free(&ic->pub);
		return NULL;
	}
	ic->len = arena_len;
	gen_start(ic);
	return &ic->pub;
}

void icache_free(struct icache *icache)
{
	struct icache_priv *ic = (struct icache_priv *)icache;

	if (!ic)
		return;
	free(ic->arena);
	free(ic->chunks);
	free(ic->first);
	free(ic);
}

static size_t block_size(unsigned n)
{
	return (sizeof(struct block) + n * sizeof(struct insn) + 31) & ~(size_t)31;
}

static uint32_t next_gen(struct icache_priv *ic)
{
	if (++ic->gen_counter % ICACHE_GEN_TAG)
		return ic->gen_counter;
	/* After a wrap an old number could seem valid: forget everything that carries one. */
	if (ic->gen_counter++ == 0) {
		ic->flush_wanted = true;
		memset(ic->jump, 0, sizeof(ic->jump));
	}
	return ic->gen_counter;
}

void icache_unlink(struct cpu *cpu, bool global_too)
{
	struct icache_priv *ic = priv(cpu);

	ic->pub.gen[0] = next_gen(ic);
	if (global_too)
		ic->pub.gen[1] = next_gen(ic);
	ic->pub.stats.unlinks++;
}

void icache_flush(struct cpu *cpu)
{
	struct icache_priv *ic = priv(cpu);

	icache_unlink(cpu, true);
	ic->flush_wanted = true;
	if (cpu->tcache)
		tcache_flush(cpu->tcache);
	cpu->look = true;
}

/* Only between blocks: nothing may be executing in the arena. */
static void arena_empty(struct cpu *cpu)
{
	struct icache_priv *ic = priv(cpu);

	for (size_t at = 0; at < ic->used;) {
		struct block *b = (struct block *)(ic->arena + at);
		uint32_t page[2] = { b->page, b->page2 };

		for (unsigned i = 0; i < 2; i++) {
			if (page_is_ram(page[i]) && ic->first[page[i]]) {
				ic->first[page[i]] = NULL;
				icache_page_recount(cpu, page[i]);
			}
		}
		/* (A dead one is not there, and has another index.) */
		ic->hash[hash_index(b->page, b->off, b->key)] = NULL;
		at += block_size(b->n);
	}
	if (ic->used)
		memset(ic->jump, 0, sizeof(ic->jump));
	ic->used = 0;
	ic->flush_wanted = false;
	ic->pub.epoch++;
	ic->pub.stats.arena_flushes++;
	icache_unlink(cpu, true);
}

void icache_renew(struct cpu *cpu)
{
	struct icache_priv *ic = priv(cpu);

	if (cpu->tcache)
		tcache_renew(cpu->tcache);
	arena_empty(cpu);
	memset(ic->jump, 0, sizeof(ic->jump));
	gen_start(ic);
	ic->pub.found_gen = 0;
	ic->pub.hot = NULL;
	ic->pub.epoch = 0;
	ic->pub.stats = (struct icache_stats){ 0 };
}

/* ---- pages with code ---- */

static uint32_t len_in_first(const struct block *b)
{
	return b->off + b->len > PAGE_SIZE ? PAGE_SIZE - b->off : b->len;
}

static uint64_t block_chunks(const struct block *b, uint32_t page)
{
	uint64_t m = 0;

	if (b->page == page)
		m |= icache_chunk_mask(b->off, len_in_first(b));
	if (b->page2 == page)
		m |= icache_chunk_mask(0, b->len - len_in_first(b));
	return m;
}

static bool block_overlaps(const struct block *b, uint32_t page, uint32_t off, uint32_t len)
{
	if (b->page == page && b->off < off + len && off < b->off + len_in_first(b))
		return true;
	return b->page2 == page && off < b->len - len_in_first(b);
}

static struct block **page_link(struct block *b, uint32_t page)
{
	return &b->page_next[b->page == page ? 0 : 1];
}

static void page_add(struct cpu *cpu, struct block *b, uint32_t page)
{
	struct icache_priv *ic = priv(cpu);

	if (!ic->chunks[page])
		mmu_code_page_added(cpu, page);
	ic->chunks[page] |= block_chunks(b, page);
	*page_link(b, page) = ic->first[page];
	ic->first[page] = b;
}

static void page_remove(struct cpu *cpu, struct block *b, uint32_t page)
{
	struct icache_priv *ic = priv(cpu);
	struct block **at = &ic->first[page];

	while (*at != b)
		at = page_link(*at, page);
	*at = *page_link(b, page);
}

void icache_page_recount(struct cpu *cpu, uint32_t page)
{
	struct icache_priv *ic = priv(cpu);
	uint64_t m = cpu->tcache ? tcache_chunks(cpu->tcache, page) : 0;

	for (struct block *b = ic->first[page]; b; b = *page_link(b, page))
		m |= block_chunks(b, page);
	if (ic->chunks[page] && !m)
		mmu_code_page_removed(cpu, page);
	ic->chunks[page] = m;
}

void icache_code_added(struct cpu *cpu, uint32_t page, uint32_t off, uint32_t len)
{
	struct icache_priv *ic = priv(cpu);

	if (!ic->chunks[page])
		mmu_code_page_added(cpu, page);
	ic->chunks[page] |= icache_chunk_mask(off, len);
}

static void block_kill(struct cpu *cpu, struct block *b)
{
	struct icache_priv *ic = priv(cpu);
	struct block **at = &ic->hash[hash_index(b->page, b->off, b->key)];

	while (*at != b)
		at = &(*at)->hash_next;
	*at = b->hash_next;
	if (page_is_ram(b->page))
		page_remove(cpu, b, b->page);
	if (page_is_ram(b->page2) && b->page2 != b->page) {
		page_remove(cpu, b, b->page2);
		icache_page_recount(cpu, b->page2);
	}
	b->key = KEY_DEAD;
	ic->pub.stats.invalidated++;
	/* It may be the one that is executing. */
	cpu->look = true;
}

bool icache_page_has_code(const struct cpu *cpu, uint32_t ram_page)
{
	return priv(cpu)->chunks[ram_page] != 0;
}

void icache_write(struct cpu *cpu, uint32_t ram_page, uint32_t off, uint32_t len)
{
	struct icache_priv *ic = priv(cpu);
	bool any = false;

	ic->pub.stats.writes_to_code++;
	if (!(ic->chunks[ram_page] & icache_chunk_mask(off, len)))
		return;
	for (struct block *b = ic->first[ram_page], *next; b; b = next) {
		next = *page_link(b, ram_page);
		if (block_overlaps(b, ram_page, off, len)) {
			uint32_t first = b->page;

			block_kill(cpu, b);
			any = true;
			if (first != ram_page && page_is_ram(first))
				icache_page_recount(cpu, first);
		}
	}
	if (cpu->tcache && tcache_write(cpu->tcache, ram_page, off, len))
		any = true;
	if (any)
		icache_page_recount(cpu, ram_page);
}

void icache_invalidate_page(struct cpu *cpu, uint32_t ram_page)
{
	if (ram_page < RAM_PAGES && icache_page_has_code(cpu, ram_page))
		icache_write(cpu, ram_page, 0, PAGE_SIZE);
}

/* ---- decoding ---- */

void icache_fetch_one(struct cpu *cpu, struct insn *ret)
{
	const struct segment *cs = &cpu->seg[SEG_CS];
	uint8_t buf[INSN_LEN_MAX];

	/* Byte by byte: a byte that the instruction does not need is not touched. */
	for (unsigned n = 0; n < INSN_LEN_MAX; n++) {
		uint32_t off = cpu->eip + n;
		enum decode_result r;

		if (off > cs->limit || off < cpu->eip)
			cpu_raise_err(cpu, EXCP_GP, 0);
		buf[n] = mmu_fetch_byte(cpu, cs->base + off);
		r = decode_insn(buf, n + 1, cpu->run_key, ret);
		if (r == DECODE_OK)
			return;
		if (r == DECODE_LONG)
			break;
	}
	cpu_raise_err(cpu, EXCP_GP, 0);
}

enum block_end icache_insn_end(const struct insn *in)
{
	uint32_t enc = insn_enc(in);

	if (enc & E_JMP)
		return BLOCK_END_JUMP;
	return (enc & E_STR) && in->rep != REP_NONE ? BLOCK_END_REP : BLOCK_END_NEXT;
}

static void block_set_end(struct block *b)
{
	const struct insn *last = &b->insn[b->n - 1];

	b->end = icache_insn_end(last);
	b->sync = insn_enc(last) & E_SYNC;
}

static bool insn_ends_block(const struct insn *in)
{
	return icache_insn_end(in) != BLOCK_END_NEXT || (insn_enc(in) & E_SYNC);
}

/* An instruction at cs:eip may meet the CS limit. */
static bool cs_limit_is_near(const struct cpu *cpu)
{
	uint32_t limit = cpu->seg[SEG_CS].limit;

	return cpu->eip > limit || limit - cpu->eip < INSN_LEN_MAX;
}

/* An only instruction that goes on in the next page. False: it cannot be cached. */
static bool decode_straddling(struct cpu *cpu, struct block *b, uint32_t lin, const uint8_t *host)
{
	uint8_t buf[INSN_LEN_MAX];
	uint32_t here = PAGE_SIZE - b->off;
	const struct code_page *c2;

	/* Faults must come in order: what may meet the CS limit is stepped. */
	if (cs_limit_is_near(cpu))
		return false;
	c2 = mmu_code(cpu, lin + here);
	if (!c2->host)
		return false;
	memcpy(buf, host + b->off, here);
	memcpy(buf + here, c2->host, INSN_LEN_MAX - here);
	if (decode_insn(buf, INSN_LEN_MAX, cpu->run_key, &b->insn[0]) != DECODE_OK)
		return false;
	b->n = 1;
	b->len = b->insn[0].len;
	b->page2 = c2->id;
	return true;
}

static bool decode_block(struct cpu *cpu, struct block *b, uint32_t lin, const uint8_t *host)
{
	uint32_t off = b->off;

	while (b->n < BLOCK_MAX_INSNS && off < PAGE_SIZE) {
		uint32_t avail = PAGE_SIZE - off;
		struct insn *in = &b->insn[b->n];
		enum decode_result r;

		if (avail > INSN_LEN_MAX)
			avail = INSN_LEN_MAX;
		r = decode_insn(host + off, avail, cpu->run_key, in);
		if (r == DECODE_MORE && !b->n)
			return decode_straddling(cpu, b, lin, host);
		if (r != DECODE_OK)
			break;
		b->n++;
		off += in->len;
		if (insn_ends_block(in))
			break;
	}
	b->len = (uint16_t)(off - b->off);
	return b->n > 0;
}

static struct block *block_build(struct cpu *cpu, uint32_t lin, uint32_t page, const uint8_t *host)
{
	struct icache_priv *ic = priv(cpu);
	struct block *b;
	unsigned h;

	if (ic->len - ic->used < block_size(BLOCK_MAX_INSNS))
		arena_empty(cpu);
	b = (struct block *)(ic->arena + ic->used);
	memset(b, 0, sizeof(*b));
	b->key = cpu->run_key;
	b->heat = ic->pub.heat;
	b->page = page;
	b->off = lin & 0xfff;
	b->page2 = CODE_PAGE_NONE;
	if (!decode_block(cpu, b, lin, host))
		return NULL;
	block_set_end(b);
	ic->used += block_size(b->n);
	h = hash_index(page, b->off, b->key);
	b->hash_next = ic->hash[h];
	ic->hash[h] = b;
	if (page_is_ram(page))
		page_add(cpu, b, page);
	if (page_is_ram(b->page2) && b->page2 != page)
		page_add(cpu, b, b->page2);
	ic->pub.stats.blocks++;
	ic->pub.stats.insns += b->n;
	if (ic->pub.trace && ic->pub.trace->block)
		ic->pub.trace->block(ic->pub.trace->opaque, cpu, lin, b->len, b->n);
	return b;
}

static struct block *hash_find(
	const struct icache_priv *ic, uint32_t page, uint32_t off, uint8_t key)
{
	struct block *b = ic->hash[hash_index(page, off, key)];

	while (b && (b->page != page || b->off != off || b->key != key))
		b = b->hash_next;
	return b;
}

struct block *icache_lookup(struct cpu *cpu, uint32_t lin)
{
	struct icache_priv *ic = priv(cpu);
	struct jump *j = &ic->jump[jump_index(lin)];
	uint8_t key = cpu->run_key;
	const struct code_page *c;
	struct block *b;
	uint32_t page;
	bool global;

	if (unlikely(ic->flush_wanted))
		arena_empty(cpu);
	if (likely(j->lin == lin && j->to && j->to->key == key &&
		    (j->gen == ic->pub.gen[0] || j->gen == ic->pub.gen[1]))) {
		ic->pub.found_gen = j->gen;
		return j->to;
	}
	ic->pub.stats.lookups++;
	c = mmu_code(cpu, lin);
	if (!c->host)
		return NULL;
	page = c->id;
	global = c->global;
	b = hash_find(ic, page, lin & 0xfff, key);
	if (b && b->page2 != CODE_PAGE_NONE) {
		const struct code_page *c2;

		if (cs_limit_is_near(cpu)) /* as if it had to be decoded */
			return NULL;
		/* The second half is where this linear address says, which may have changed. */
		c2 = mmu_code(cpu, (lin & PAGE_MASK) + PAGE_SIZE);
		if (c2->id != b->page2) {
			block_kill(cpu, b);
			if (page_is_ram(page))
				icache_page_recount(cpu, page);
			b = NULL;
		}
	}
	if (!b)
		b = block_build(cpu, lin, page, c->host);
	if (!b)
		return NULL;
	ic->pub.found_gen = 0;
	if (b->page2 == CODE_PAGE_NONE) {
		ic->pub.found_gen = ic->pub.gen[global];
		*j = (struct jump){ .lin = lin, .gen = ic->pub.gen[global], .to = b };
	}
	return b;
}
