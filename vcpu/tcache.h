/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of translated blocks: memory for their code and metadata, and the ways to find them.
 * docs/translator.md has the picture.
 *
 * Memory is a ring of regions. When the current one is full, the oldest is emptied and becomes
 * current: what is hot and was lost is translated again, all else stays. A block that dies (its
 * code was written to) is no longer found nor linked to, but its memory stays until its region is
 * emptied, so that whoever is executing in it can leave.
 */
#ifndef DEJAVM_TCACHE_H
#define DEJAVM_TCACHE_H

#include "tb.h"

#define TCACHE_REGIONS	   8u
#define TCACHE_MIB_DEFAULT 64u
#define TCACHE_MIB_MAX	   1024u

struct tcache {
	struct tcache_mem mem;
	struct tcache_stats {
		uint64_t blocks, insns, host_bytes, meta_bytes; /* made, in all */
		uint64_t looked_up, shared;			/* accesses by the tables: tb.h */
		uint64_t killed;				/* by writes to code */
		uint64_t regions_emptied, flushes;
		uint64_t links, unlinks;
	} stats;
};

/* size_mib: of code, 1 .. TCACHE_MIB_MAX. NULL: no memory, or, with errno ENOTSUP, no back end
 * for this host. The cpu's back end is set up too. */
struct tcache *tcache_new(struct cpu *cpu, unsigned size_mib);
void tcache_free(struct tcache *tc);

/* The block at eip (of the code segment that key says), whose code lies in `page` (CODE_PAGE_*);
 * NULL: there is none. */
struct tb *tcache_find(struct tcache *tc, uint32_t page, uint32_t eip, unsigned key);

/* The block whose code is executed at host address pc, dead or alive; NULL: none. */
struct tb *tcache_at(const struct tcache *tc, uintptr_t pc);

/*
 * Making a block, only while none executes: tcache_begin() gives one with room for ir's
 * instructions, exits and edges, and *ret_at, *ret_len of code; then tcache_end() enters it, or
 * tcache_begin() again drops it. What tb says of its page and mode is the caller's to fill in.
 * tcache_next_region(): there was not enough code memory.
 */
struct tb *tcache_begin(
	struct tcache *tc, const struct ir_block *ir, uint32_t *ret_at, size_t *ret_len);
void tcache_end(struct tcache *tc, struct tb *tb);
void tcache_next_region(struct tcache *tc);
/* Metadata that lives as long as tb does; NULL: no memory left there. */
void *tcache_alloc(void *tb, size_t len);

/* e goes on in `to` directly: see back_link(). Neither may be dead. e is unlinked before if need
 * be. */
void tcache_link(struct tcache *tc, struct tb_edge *e, struct tb *to, uint32_t gen, bool global);
void tcache_unlink(struct tcache *tc, struct tb_edge *e);
/* tb is what no guest memory says any more: it is not found again. */
void tcache_kill(struct tcache *tc, struct tb *tb);

/* ---- for icache.c, which keeps the books of what code there is in RAM pages ---- */
/* Blocks that overlap len bytes at off of this page die; true if any did. cpu->look is set then. */
bool tcache_write(struct tcache *tc, uint32_t ram_page, uint32_t off, uint32_t len);
/* As icache_chunk_mask(), of all blocks of the page. */
uint64_t tcache_chunks(const struct tcache *tc, uint32_t ram_page);
/* All blocks die. */
void tcache_flush(struct tcache *tc);
/* As new; no block executes. */
void tcache_renew(struct tcache *tc);

#endif
