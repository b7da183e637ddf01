/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translations in a snapshot: those that are valid, as runs. The inline entries that were derived
 * from them are not saved; they come back one by one, unseen.
 */
#include "cpu_state.h"

#include <errno.h>
#include <stdlib.h>

#include "icache.h"
#include "mmu_int.h"

#define XLATE_ALL (XLATE_GLOBAL | XLATE_WRITE | XLATE_LARGE)
#define GPA_PAGES (1u << 24)

static const struct xlate *table(const struct mmu_priv *m, unsigned n)
{
	return n < 2 ? m->data[n] : m->fetch[n - 2];
}

/* ---- saving ---- */

struct runs {
	Dejavm__TranslationRuns *m;
	size_t cap;
};

static int run_add(struct runs *r, uint32_t page, const struct xlate *x)
{
	Dejavm__TranslationRuns *m = r->m;
	size_t n = m->n_page;

	if (n && m->page[n - 1] + m->count[n - 1] == page && m->flags[n - 1] == x->flags &&
		m->gpa_page[n - 1] + m->count[n - 1] == x->gpa_page) {
		m->count[n - 1]++;
		return 0;
	}
	if (n == r->cap) {
		uint32_t **arrays[] = { &m->page, &m->count, &m->gpa_page, &m->flags };

		r->cap = n ? n * 2 : 256;
		for (unsigned i = 0; i < 4; i++) {
			uint32_t *p = realloc(*arrays[i], r->cap * sizeof(*p));

			if (!p)
				return -ENOMEM;
			*arrays[i] = p;
		}
	}
	m->page[n] = page;
	m->count[n] = 1;
	m->gpa_page[n] = x->gpa_page;
	m->flags[n] = x->flags;
	m->n_page = m->n_count = m->n_gpa_page = m->n_flags = n + 1;
	return 0;
}

static int table_save(
	const struct mmu_priv *m, const struct xlate *t, Dejavm__TranslationRuns *runs)
{
	struct runs r = { .m = runs };

	for (uint32_t page = 0; page < TLB_PAGES; page++) {
		int e;

		/* Generations start at 1: what nobody touched is 0. */
		if (!t[page].gen || !xlate_valid(m, &t[page]))
			continue;
		e = run_add(&r, page, &t[page]);
		if (e < 0)
			return e;
	}
	return 0;
}

int mmu_state_save(struct cpu *cpu, Dejavm__VcpuState *ret)
{
	const struct mmu_priv *m = mmu_priv(cpu);

	ret->translations = calloc(STATE_TRANSLATIONS, sizeof(*ret->translations));
	if (!ret->translations)
		return -ENOMEM;
	for (unsigned n = 0; n < STATE_TRANSLATIONS; n++) {
		Dejavm__TranslationRuns *r = malloc(sizeof(*r));
		int e;

		if (!r)
			return -ENOMEM;
		dejavm__translation_runs__init(r);
		ret->translations[ret->n_translations++] = r;
		e = table_save(m, table(m, n), r);
		if (e < 0)
			return e;
	}
	return 0;
}

/* ---- loading ---- */

static int runs_check(const Dejavm__TranslationRuns *r, struct error *err)
{
	uint64_t end = 0;

	if (r->n_count != r->n_page || r->n_gpa_page != r->n_page || r->n_flags != r->n_page)
		return error_set(err, EINVAL, "vcpu: translations: arrays of different lengths");
	for (size_t i = 0; i < r->n_page; i++) {
		if (r->page[i] < end || !r->count[i] || r->page[i] >= TLB_PAGES ||
			r->count[i] > TLB_PAGES - r->page[i] || r->gpa_page[i] >= GPA_PAGES ||
			r->count[i] > GPA_PAGES - r->gpa_page[i] || r->flags[i] & ~XLATE_ALL)
			return error_set(err, EINVAL,
				"vcpu: translations: %u pages from 0x%x to 0x%x with flags 0x%x: "
				"out of range or order",
				r->count[i], r->page[i], r->gpa_page[i], r->flags[i]);
		end = (uint64_t)r->page[i] + r->count[i];
	}
	return 0;
}

int mmu_state_check(const Dejavm__VcpuState *s, struct error *err)
{
	if (s->n_translations != STATE_TRANSLATIONS)
		return error_set(err, EINVAL, "vcpu: %zu kinds of translations: expected %d",
			s->n_translations, STATE_TRANSLATIONS);
	for (unsigned n = 0; n < STATE_TRANSLATIONS; n++)
		if (runs_check(s->translations[n], err) < 0)
			return -EINVAL;
	return 0;
}

static void runs_load(struct mmu_priv *m, const Dejavm__TranslationRuns *r, unsigned n)
{
	for (size_t i = 0; i < r->n_page; i++) {
		for (uint32_t k = 0; k < r->count[i]; k++) {
			struct xlate x = { .gpa_page = r->gpa_page[i] + k,
				.flags = (uint8_t)r->flags[i] };
			uint32_t lin = (r->page[i] + k) << 12;

			if (n < 2)
				xlate_set_data(m, lin, n & 1, x);
			else
				xlate_set_fetch(m, lin, n & 1, x);
		}
	}
}

void mmu_state_load(struct cpu *cpu, const Dejavm__VcpuState *s)
{
	struct mmu_priv *m = mmu_priv(cpu);

	mmu_adopt_mode(cpu);
	mmu_flush(cpu, false);
	mmu_sync(cpu);
	for (unsigned n = 0; n < STATE_TRANSLATIONS; n++)
		runs_load(m, s->translations[n], n);
}
