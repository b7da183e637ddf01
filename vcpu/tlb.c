/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of the software TLB: translations, which the guest can notice (SDM vol. 3, 4.10), and
 * the inline entries that are derived from them (mem.h). All are indexed by linear page, so nothing
 * displaces anything.
 *
 * A flush of translations is a new generation number. Inline entries carry none, so they are
 * cleared one by one; the journals list them, those of global translations apart. Each was made by
 * an access that took the slow path, which costs far more than to clear it.
 */
#include <sys/mman.h>

#include "log.h"
#include "mmu_int.h"

#define DROP_LIST_MAX 32768u /* more entries than that: giving back the memory is faster */

/* ---- generations ---- */

/* All numbers are used up: counts anew, from the translations that are valid now. */
static void gen_renumber(struct mmu_priv *m)
{
	struct xlate *const tables[] = { m->data[0], m->data[1], m->fetch[0], m->fetch[1] };

	for (unsigned t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (uint32_t i = 0; i < TLB_PAGES; i++) {
			struct xlate *x = &tables[t][i];

			if (x->gen)
				x->gen = xlate_valid(m, x) ? 1 + (x->flags & XLATE_GLOBAL) : 0;
		}
	}
	for (unsigned u = 0; u < 2; u++)
		for (unsigned i = 0; i < CODE_TLB_SIZE; i++)
			m->code[u][i].gen = 0;
	m->gen[0] = 1;
	m->gen[1] = m->gen_last = 2;
}

static void gen_renew(struct mmu_priv *m, bool global)
{
	if (unlikely(m->gen_last == UINT32_MAX))
		gen_renumber(m);
	m->gen[global] = ++m->gen_last;
}

/* ---- inline entries ---- */

static void slot_clear(struct mmu_priv *m, uint32_t slot)
{
	m->pub.fast[slot] = 0;
	m->pub.fast[slot + TLB_STRIDE] = 0;
}

/* The slot's page is not shown by a window any more. */
static void slot_hide(struct mmu_priv *m, uint32_t slot)
{
	if (m->windows)
		window_drop_page(m->window[slot >> (TLB_STRIDE_SHIFT + 1)], slot & (TLB_PAGES - 1));
}

/* A window shows it for writing. */
static bool slot_is_shown(const struct mmu_priv *m, uint32_t slot)
{
	return m->windows && m->pub.fast[slot + TLB_STRIDE] &&
	       window_is_writable(
		       m->window[slot >> (TLB_STRIDE_SHIFT + 1)], slot & (TLB_PAGES - 1));
}

/* Where its writes go. */
static uint32_t slot_ram_page(const struct mmu_priv *m, uint32_t slot)
{
	uint64_t host = ((uint64_t)(slot & (TLB_PAGES - 1)) << 12) - m->pub.fast[slot + TLB_STRIDE];

	return (uint32_t)((host - (uint64_t)(uintptr_t)m->ram) >> 12);
}

static void slot_drop(struct mmu_priv *m, uint32_t slot)
{
	slot_clear(m, slot);
	slot_hide(m, slot);
}

static void journal_drop(struct mmu_priv *m, bool global)
{
	struct journal *j = &m->journal[global];

	if (m->windows)
		windows_flush(m->windows, global);
	for (uint32_t i = 0; i < j->n; i++)
		slot_clear(m, j->slot[i]);
	m->stats.drops += j->n;
	j->n = 0;
}

void tlb_drop_all(struct mmu_priv *m)
{
	if (m->windows)
		windows_drop(m->windows);
	if (m->journal[0].n + m->journal[1].n > DROP_LIST_MAX) {
		must(madvise(m->pub.fast, sizeof(m->pub.fast), MADV_DONTNEED) == 0);
		m->journal[0].n = m->journal[1].n = 0;
		return;
	}
	journal_drop(m, false);
	journal_drop(m, true);
}

void tlb_drop_writes(struct mmu_priv *m)
{
	for (unsigned g = 0; g < 2; g++) {
		for (uint32_t i = 0; i < m->journal[g].n; i++) {
			uint32_t slot = m->journal[g].slot[i], page;

			if (slot_is_shown(m, slot)) {
				page = slot_ram_page(m, slot);
				m->kept[page / 64] |= 1ull << (page % 64);
			} else {
				m->pub.fast[slot + TLB_STRIDE] = 0;
			}
		}
	}
}

void tlb_drop_kept(struct mmu_priv *m)
{
	for (unsigned g = 0; g < 2; g++) {
		for (uint32_t i = 0; i < m->journal[g].n; i++) {
			uint32_t slot = m->journal[g].slot[i], page;

			if (!slot_is_shown(m, slot))
				continue;
			page = slot_ram_page(m, slot);
			if (!(m->kept[page / 64] >> (page % 64) & 1))
				continue;
			m->pub.fast[slot + TLB_STRIDE] = 0;
			slot_hide(m, slot);
		}
	}
	memset(m->kept, 0, m->dirty_words * sizeof(*m->kept));
}

static uint64_t slot_entry(uint32_t slot, const uint8_t *host)
{
	uint64_t lin = (uint64_t)(slot & (TLB_PAGES - 1)) << 12;

	return lin - (uint64_t)(uintptr_t)host;
}

static bool slot_writes_to(const struct mmu_priv *m, uint32_t slot, uint32_t ram_page)
{
	return m->pub.fast[slot + TLB_STRIDE] ==
	       slot_entry(slot, m->ram + ((size_t)ram_page << 12));
}

/*
 * rmap[page] covers all write entries to the page: it names the only one, or says RMAP_MANY. It is
 * not kept when entries go, so it may name one that is not any more.
 */
static void rmap_note(struct mmu_priv *m, uint32_t ram_page, uint32_t slot)
{
	uint32_t *r = &m->rmap[ram_page];

	if (*r == slot + 1 || *r == RMAP_MANY)
		return;
	if (*r && slot_writes_to(m, *r - 1, ram_page))
		*r = RMAP_MANY;
	else
		*r = slot + 1;
}

void tlb_drop_writes_to(struct mmu_priv *m, uint32_t ram_page)
{
	uint32_t r = m->rmap[ram_page];

	m->rmap[ram_page] = 0;
	if (r && r != RMAP_MANY) {
		if (slot_writes_to(m, r - 1, ram_page)) {
			m->pub.fast[r - 1 + TLB_STRIDE] = 0;
			slot_hide(m, r - 1);
		}
		return;
	}
	if (!r)
		return;
	m->stats.rmap_scans++;
	for (unsigned g = 0; g < 2; g++) {
		for (uint32_t i = 0; i < m->journal[g].n; i++) {
			uint32_t slot = m->journal[g].slot[i];

			if (!slot_writes_to(m, slot, ram_page))
				continue;
			m->pub.fast[slot + TLB_STRIDE] = 0;
			slot_hide(m, slot);
		}
	}
}

void tlb_set(struct mmu_priv *m, uint32_t slot, bool global, const uint8_t *read,
	const uint8_t *write, uint32_t ram_page)
{
	uint64_t *e = &m->pub.fast[slot], rd = read ? slot_entry(slot, read) : 0,
		 wr = write ? slot_entry(slot, write) : 0;
	struct journal *j = &m->journal[global];

	if (!e[0] && !e[TLB_STRIDE]) {
		if (!read && !write)
			return;
		if (unlikely(j->n == JOURNAL_LEN))
			tlb_drop_all(m);
		j->slot[j->n++] = slot;
	}
	if (unlikely((e[0] && e[0] != rd) || (e[TLB_STRIDE] && e[TLB_STRIDE] != wr)))
		slot_hide(m, slot);
	e[0] = rd;
	e[TLB_STRIDE] = wr;
	if (write)
		rmap_note(m, ram_page, slot);
	m->stats.fills++;
}

/* ---- translations ---- */

static void xlate_set(struct mmu_priv *m, struct xlate *at, uint32_t lin, struct xlate x)
{
	*at = x;
	at->gen = m->gen[x.flags & XLATE_GLOBAL];
	if (x.flags & XLATE_LARGE)
		m->large_seen[lin >> 22 >> 6] |= 1ull << (lin >> 22 & 63);
}

void xlate_set_data(struct mmu_priv *m, uint32_t lin, bool user, struct xlate x)
{
	struct xlate *at = &m->data[user][lin >> 12];

	/* A first write found another kind of entry: its slot belongs in the other journal. */
	if ((at->flags ^ x.flags) & XLATE_GLOBAL)
		slot_drop(m, tlb_slot(lin, user));
	xlate_set(m, at, lin, x);
}

void xlate_put_back(struct mmu_priv *m, uint32_t lin, bool user, struct xlate old)
{
	slot_drop(m, tlb_slot(lin, user));
	m->data[user][lin >> 12] = old;
}

void xlate_set_fetch(struct mmu_priv *m, uint32_t lin, bool user, struct xlate x)
{
	xlate_set(m, &m->fetch[user][lin >> 12], lin, x);
}

void xlate_flush(struct mmu_priv *m, bool keep_global)
{
	m->stats.flushes++;
	gen_renew(m, false);
	journal_drop(m, false);
	if (keep_global)
		return;
	gen_renew(m, true);
	journal_drop(m, true);
	memset(m->large_seen, 0, sizeof(m->large_seen));
}

static void xlate_drop_page(struct mmu_priv *m, uint32_t page, bool user, enum fetched *f)
{
	struct xlate *x = &m->fetch[user][page];

	if (xlate_valid(m, x)) {
		if (x->flags & XLATE_GLOBAL)
			*f = FETCHED_GLOBAL;
		else if (*f == FETCHED_NOT)
			*f = FETCHED_LOCAL;
	}
	x->gen = 0;
	m->data[user][page].gen = 0;
	slot_drop(m, tlb_slot(page << 12, user));
}

static bool xlate_is_large(const struct mmu_priv *m, const struct xlate *x)
{
	return xlate_valid(m, x) && (x->flags & XLATE_LARGE);
}

static void xlate_drop_large(struct mmu_priv *m, uint32_t lin, enum fetched *f)
{
	uint32_t first = (lin >> 22) << 10;

	for (uint32_t page = first; page < first + 1024; page++)
		for (unsigned u = 0; u < 2; u++)
			if (xlate_is_large(m, &m->data[u][page]) ||
				xlate_is_large(m, &m->fetch[u][page]))
				xlate_drop_page(m, page, u, f);
}

enum fetched xlate_drop(struct mmu_priv *m, uint32_t lin)
{
	enum fetched f = FETCHED_NOT;

	xlate_drop_page(m, lin >> 12, false, &f);
	xlate_drop_page(m, lin >> 12, true, &f);
	if (m->large_seen[lin >> 22 >> 6] >> (lin >> 22 & 63) & 1)
		xlate_drop_large(m, lin, &f);
	return f;
}
