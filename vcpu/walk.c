/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page walk (SDM vol. 3, ch. 4): 32-bit paging with PSE and PSE-36, PAE with NX.
 */
#include <errno.h>

#include "icache.h"
#include "mmu_int.h"

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

bool walk_try(struct cpu *cpu, uint32_t lin, uint32_t access, struct walk *ret)
{
	int r = walk_any(cpu, lin, ret);

	ret->err = access;
	if (!((cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NXE)))
		ret->err &= ~PF_I; /* the bit is defined with NX only */
	if (r == WALK_NOT_PRESENT)
		return false;
	ret->err |= PF_P;
	if (r == WALK_RESERVED) {
		ret->err |= PF_RSVD;
		return false;
	}
	ret->gpa = a20(cpu, ret->gpa);
	ret->may_write = ret->writable || (!(access & PF_U) && !(cpu->cr0 & CR0_WP));
	return !(((access & PF_U) && !ret->user) || ((access & PF_W) && !ret->may_write) ||
		 ((access & PF_I) && ret->nx));
}

static bool marks_dir(const struct walk *w)
{
	return w->dir_gpa && !(w->dir & PTE_A);
}

static uint32_t marked_leaf(uint32_t access, const struct walk *w)
{
	return w->leaf | PTE_A | (access & PF_W ? PTE_D : 0);
}

static bool is_code(const struct cpu *cpu, uint64_t gpa)
{
	struct target t = target_find(cpu, a20(cpu, gpa));

	return t.write_kind == MEM_RAM && icache_page_has_code(cpu, t.write_page);
}

bool walk_changes_code(const struct cpu *cpu, uint32_t access, const struct walk *w)
{
	if (!(cpu->cr0 & CR0_PG))
		return false;
	return (marks_dir(w) && is_code(cpu, w->dir_gpa)) ||
	       (marked_leaf(access, w) != w->leaf && is_code(cpu, w->leaf_gpa));
}

struct xlate walk_commit(struct cpu *cpu, uint32_t access, const struct walk *w)
{
	struct xlate x = { .gpa_page = (uint32_t)(w->gpa >> 12) & 0xffffffu };
	bool paging = cpu->cr0 & CR0_PG;
	uint32_t leaf = w->leaf;

	if (paging) {
		if (marks_dir(w))
			phys_write32(cpu, w->dir_gpa, w->dir | PTE_A);
		leaf = marked_leaf(access, w);
		if (leaf != w->leaf)
			phys_write32(cpu, w->leaf_gpa, leaf);
	}
	if (w->may_write && (leaf & PTE_D))
		x.flags |= XLATE_WRITE;
	if (paging && (leaf & PTE_G) && (cpu->cr4 & CR4_PGE))
		x.flags |= XLATE_GLOBAL;
	if (w->large)
		x.flags |= XLATE_LARGE;
	mmu_priv(cpu)->stats.walks++;
	return x;
}

struct xlate walk_access(struct cpu *cpu, uint32_t lin, uint32_t access)
{
	struct walk w;

	if (!walk_try(cpu, lin, access, &w))
		cpu_raise_pf(cpu, lin, w.err);
	return walk_commit(cpu, access, &w);
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
