/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State digests of the CPU and of RAM.
 *
 * RAM: each page contributes a hash of its content and its number; a page of zeros contributes
 * nothing, so that the digest depends on the content of RAM alone and not on which pages were ever
 * written. Only pages written since the last digest are hashed again. The sum of all contributions
 * is the item "ram"; buckets of consecutive pages tell roughly where RAM differs.
 */
#include "cpu_digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"
#include "log.h"
#include "mmu.h"
#include "digest.h"
#include "segments.h"

#define PAGE_LEN	 4096
#define BUCKETS_MAX	 256
#define BUCKET_PAGES_MIN 16

struct ram_digest {
	const uint8_t *ram;
	uint32_t npages;
	uint32_t bucket_pages; /* a power of two */
	uint64_t zero_hash;
	uint64_t sum;
	uint64_t *page;		      /* contribution of each page */
	uint32_t bucket[BUCKETS_MAX]; /* sum of the contributions of the bucket's pages */
	bool touched[BUCKETS_MAX];
	/* Pages [data, hole) of the file have been allocated, what lies before `data` and behind
	 * the page last asked about has not: as found while the present digest is made. */
	int fd;
	uint64_t data, hole;
};

struct ram_digest *ram_digest_new(const uint8_t *ram, uint32_t npages, struct error *err)
{
	static const uint8_t zeros[PAGE_LEN];
	struct ram_digest *d = calloc(1, sizeof(*d));

	if (d)
		d->page = calloc(npages, sizeof(*d->page));
	if (!d || !d->page) {
		free(d);
		error_set(err, ENOMEM, "no memory for the digests of %u RAM pages", npages);
		return NULL;
	}
	d->ram = ram;
	d->fd = -1;
	d->npages = npages;
	d->zero_hash = hash64(0, zeros, sizeof(zeros));
	d->bucket_pages = BUCKET_PAGES_MIN;
	while ((uint64_t)d->bucket_pages * BUCKETS_MAX < npages)
		d->bucket_pages *= 2;
	return d;
}

void ram_digest_free(struct ram_digest *d)
{
	if (d)
		free(d->page);
	free(d);
}

void ram_digest_set_file(struct ram_digest *d, int fd)
{
	d->fd = fd;
}

/*
 * Has nobody ever written to this page? Reading it would allocate it. At the start all of RAM
 * counts as written, but for the most part there is none yet.
 */
static bool page_is_hole(struct ram_digest *d, uint32_t page)
{
	off_t at;

	if (d->fd < 0)
		return false;
	if (page >= d->hole) {
		at = lseek(d->fd, (off_t)page * PAGE_LEN, SEEK_DATA);
		if (at < 0) {
			if (errno != ENXIO)
				return false;
			d->data = d->hole = UINT64_MAX;
			return true;
		}
		d->data = (uint64_t)at / PAGE_LEN;
		at = lseek(d->fd, at, SEEK_HOLE);
		d->hole = at < 0 ? d->data + 1 : (uint64_t)at / PAGE_LEN;
	}
	return page < d->data;
}

/* Windows tell of pages that were not written, too: only a change counts. */
static bool page_changed(void *opaque, uint32_t page)
{
	struct ram_digest *d = opaque;
	uint64_t h;
	uint32_t b;

	if (page >= d->npages || (!d->page[page] && page_is_hole(d, page)))
		return false;
	b = page / d->bucket_pages;
	h = hash64(0, d->ram + (size_t)page * PAGE_LEN, PAGE_LEN);
	h = h == d->zero_hash ? 0 : hash64(page, &h, sizeof(h));
	if (h == d->page[page])
		return false;
	d->touched[b] = true;
	d->sum += h - d->page[page];
	d->bucket[b] += (uint32_t)h - (uint32_t)d->page[page];
	d->page[page] = h;
	return true;
}

static void put_ram(struct ram_digest *d, struct cpu *cpu, struct digest_writer *w)
{
	memset(d->touched, 0, sizeof(d->touched));
	d->data = d->hole = 0;
	mmu_take_dirty(cpu, page_changed, d);
	digest_put(w, DIGEST_RAM, "ram", d->sum);
	for (uint32_t b = 0; b < BUCKETS_MAX; b++)
		if (d->touched[b])
			digest_put_bucket(w, b * d->bucket_pages, d->bucket_pages, d->bucket[b]);
}

static uint64_t hash_word(uint64_t h, uint64_t v)
{
	return hash_mix_(h ^ v) + HASH_K0;
}

static uint64_t hash_segment(uint64_t h, const struct segment *s)
{
	h = hash_word(h, (uint64_t)s->base << 32 | s->limit);
	return hash_word(h, (uint64_t)s->attr << 16 | s->sel);
}

static uint64_t segments_digest(const struct cpu *cpu)
{
	uint64_t h = 0;

	for (int i = 0; i < 6; i++)
		h = hash_segment(h, &cpu->seg[i]);
	h = hash_segment(h, &cpu->ldtr);
	h = hash_segment(h, &cpu->tr);
	h = hash_word(h, (uint64_t)cpu->gdtr.base << 16 | cpu->gdtr.limit);
	h = hash_word(h, (uint64_t)cpu->idtr.base << 16 | cpu->idtr.limit);
	for (int i = 0; i < 4; i++)
		h = hash_word(h, cpu->pdpte[i]);
	return h;
}

/* What is neither a register nor in a group of its own: delivery state and lines. */
static uint64_t run_digest(const struct cpu *cpu)
{
	/* A shadow that is over may not have been cleared yet: that depends on where the slice
	 * ended. */
	uint8_t inhibit = cpu->inhibit_icount == cpu->icount ? cpu->inhibit : 0;
	uint64_t bits = cpu->cpl | (uint64_t)cpu->halted << 2 | (uint64_t)inhibit << 3 |
			(uint64_t)cpu->intr << 8 | (uint64_t)cpu->nmi_pending << 9 |
			(uint64_t)cpu->nmi_blocked << 10 | (uint64_t)cpu->rep_again << 11 |
			(uint64_t)cpu->db_pending << 32;

	return hash_word(hash_word(0, bits), cpu->a20_mask);
}

static void put_cpu(struct cpu *cpu, struct digest_writer *w)
{
	static const char *const gpr_names[8] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi",
		"edi" };
	static const char *const xmm_names[8][2] = { /* low half, high half */
		{ "xmm0", "xmm0.high" }, { "xmm1", "xmm1.high" }, { "xmm2", "xmm2.high" },
		{ "xmm3", "xmm3.high" }, { "xmm4", "xmm4.high" }, { "xmm5", "xmm5.high" },
		{ "xmm6", "xmm6.high" }, { "xmm7", "xmm7.high" }
	};
	static const char *const seg_names[6] = { "es", "cs", "ss", "ds", "fs", "gs" };

	for (int i = 0; i < 8; i++)
		digest_put(w, DIGEST_REG, gpr_names[i], cpu->gpr[i]);
	digest_put(w, DIGEST_REG, "eip", cpu->eip);
	digest_put(w, DIGEST_REG, "eflags", flags_get(cpu));
	for (int i = 0; i < 6; i++)
		digest_put(w, DIGEST_REG, seg_names[i], cpu->seg[i].sel);
	digest_put(w, DIGEST_REG, "cr0", cpu->cr0);
	digest_put(w, DIGEST_REG, "cr2", cpu->cr2);
	digest_put(w, DIGEST_REG, "cr3", cpu->cr3);
	digest_put(w, DIGEST_REG, "cr4", cpu->cr4);
	digest_put(w, DIGEST_REG, "dr6", cpu->dr[6]);
	digest_put(w, DIGEST_REG, "dr7", cpu->dr[7]);
	for (int i = 0; i < 8; i++) {
		digest_put(w, DIGEST_REG, xmm_names[i][0], cpu->xmm[i].q[0]);
		digest_put(w, DIGEST_REG, xmm_names[i][1], cpu->xmm[i].q[1]);
	}
	digest_put(w, DIGEST_REG, "mxcsr", cpu->mxcsr);
	digest_put(w, DIGEST_CPU, "warp", cpu->warp_ns);
	digest_put(w, DIGEST_CPU, "segments", segments_digest(cpu));
	digest_put(w, DIGEST_CPU, "run", run_digest(cpu));
	digest_put(w, DIGEST_CPU, "fpu", fpu_digest(cpu));
	digest_put(w, DIGEST_CPU, "msr", msr_digest(cpu));
	digest_put(w, DIGEST_CPU, "lapic", lapic_digest(cpu));
}

size_t digest_collect(struct cpu *cpu, struct ram_digest *d, uint8_t *buf, size_t cap)
{
	struct digest_writer w = { .buf = buf, .cap = cap };

	put_cpu(cpu, &w);
	put_ram(d, cpu, &w);
	must(!w.overflow);
	return w.len;
}

/* ---- snapshots ---- */

int ram_digest_save(const struct ram_digest *d, Dejavm__PageSums *ret)
{
	size_t n = 0, runs = 0;
	uint8_t *out;

	for (uint32_t i = 0; i < d->npages; i++) {
		n += d->page[i] != 0;
		runs += d->page[i] && (!i || !d->page[i - 1]);
	}
	ret->page = calloc(runs + 1, sizeof(*ret->page));
	ret->count = calloc(runs + 1, sizeof(*ret->count));
	ret->sums.data = out = malloc(n * 8 + 1);
	if (!ret->page || !ret->count || !out)
		return -ENOMEM;
	ret->sums.len = n * 8;
	ret->n_page = ret->n_count = runs;
	runs = 0;
	for (uint32_t i = 0; i < d->npages; i++) {
		if (!d->page[i])
			continue;
		if (!i || !d->page[i - 1])
			ret->page[runs++] = i;
		ret->count[runs - 1]++;
		for (unsigned b = 0; b < 8; b++)
			*out++ = (uint8_t)(d->page[i] >> 8 * b);
	}
	return 0;
}

int ram_digest_check(const struct ram_digest *d, const Dejavm__PageSums *s, struct error *err)
{
	uint64_t n = 0, end = 0;

	if (s->n_page != s->n_count)
		return error_set(err, EINVAL, "vcpu: sums of pages: arrays of different lengths");
	for (size_t i = 0; i < s->n_page; i++) {
		if (s->page[i] < end || s->page[i] >= d->npages ||
			s->count[i] > d->npages - s->page[i])
			return error_set(err, EINVAL,
				"vcpu: sums of %u pages from %u on: expected pages in order, below "
				"%u",
				s->count[i], s->page[i], d->npages);
		end = (uint64_t)s->page[i] + s->count[i];
		n += s->count[i];
	}
	if (s->sums.len != n * 8)
		return error_set(err, EINVAL,
			"vcpu: %zu bytes of sums for %llu pages: expected 8 each", s->sums.len,
			(unsigned long long)n);
	return 0;
}

int ram_digest_load(struct ram_digest *d, const Dejavm__PageSums *s, struct error *err)
{
	const uint8_t *in = s->sums.data;
	int r = ram_digest_check(d, s, err);

	if (r < 0)
		return r;
	memset(d->page, 0, d->npages * sizeof(*d->page));
	memset(d->bucket, 0, sizeof(d->bucket));
	d->sum = 0;
	for (size_t i = 0; i < s->n_page; i++) {
		for (uint32_t page = s->page[i]; page < s->page[i] + s->count[i]; page++) {
			uint64_t h = 0;

			for (unsigned b = 0; b < 8; b++)
				h |= (uint64_t)*in++ << 8 * b;
			d->page[page] = h;
			d->sum += h;
			d->bucket[page / d->bucket_pages] += (uint32_t)h;
		}
	}
	return 0;
}
