/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs in segments that are not flat: real and virtual-8086 mode, protected mode of 16
 * and of 32 bits; with limits within the data, segments that grow down, are read-only or not there;
 * loads of segment registers, and far jumps to the same code by another selector and offset.
 */
#include "gen.h"

#include <string.h>

#define DATA_BASE 0x40000u /* of segments of 64 KiB */
#define HANDLERS  0x4000u  /* of vector v at HANDLERS + v * 64 */
#define FRAMES	  0x3000u  /* what they return by, 48 bytes each */

/* Descriptors behind the harness's: two code segments, then data of all kinds. */
#define SEL_FIRST   0x40u
#define N_DATA	    10u
#define SEL_CODE(n) (SEL_FIRST + 8 * (n))
#define SEL_DATA(n) (SEL_FIRST + 16 + 8 * (n))

static unsigned below(struct gen *g, unsigned n)
{
	return gen_random(g) % n;
}

/* ---- descriptors ---- */

struct kind {
	uint8_t type; /* with S, P, DPL 3 */
	uint8_t flags;
	uint32_t base, limit;
};

static void put_desc(struct vm *vm, uint32_t sel, const struct kind *k)
{
	bool pages = k->limit > 0xfffff;
	uint32_t limit = pages ? k->limit >> 12 : k->limit, flags = k->flags | (pages ? 8 : 0);
	uint32_t lo = k->base << 16 | (limit & 0xffff);
	uint32_t hi = (k->base & 0xff000000) | flags << 20 | (limit & 0xf0000) |
		      (uint32_t)k->type << 8 | (k->base >> 16 & 0xff);

	memcpy(vm->ram + VM_GDT + sel, &lo, 4);
	memcpy(vm->ram + VM_GDT + sel + 4, &hi, 4);
}

static void put_gdt(struct gen *g, struct vm *vm)
{
	bool wide = g->mode == GEN_SEG32;
	uint32_t base = wide ? (below(g, 2) ? 0x1000 : 0) : DATA_BASE;
	uint32_t limit = wide ? VM_DATA + 0x20000 - 1 - below(g, 0x1000) : 0xffff;
	uint8_t big = wide ? 4 : 0;
	const struct kind data[N_DATA] = {
		{ 0xf2, big, base, limit }, { 0xf2, big, base + 0x100, limit },
		{ 0xf2, big, base, g->edge }, { 0xf0, big, base, limit }, /* read-only */
		{ 0xf6, big, base, wide ? VM_DATA : 0x2000 },		  /* grows down */
		{ 0xfa, big, base, limit },				  /* code, readable */
		{ 0xf8, big, base, limit },				  /* code, not readable */
		{ 0xf2, big, base, 7 }, { 0xf2, 4, 0, 0xffffffff },
		{ 0x72, big, base, limit }, /* not present */
	};

	vm->cpu->gdtr.limit = (uint16_t)(SEL_DATA(N_DATA) - 1);
	for (unsigned i = 0; i < 2; i++) {
		struct kind code = { 0xfa, big, g->cs_base[i], g->cs_limit[i] };

		g->cs_sel[i] = (uint16_t)(SEL_CODE(i) | (g->user ? 3 : 0));
		if (!g->user)
			code.type &= (uint8_t)~0x60; /* DPL 0 */
		put_desc(vm, SEL_CODE(i), &code);
	}
	for (unsigned i = 0; i < N_DATA; i++)
		put_desc(vm, SEL_DATA(i), &data[i]);
}

static uint16_t data_sel(struct gen *g)
{
	static const uint16_t paras[] = { 0x4000, 0x4000, 0x4800, 0x4010, 0x4fff, 0x1000, 0x7000,
		0 };

	if (g->mode <= GEN_V86)
		return below(g, 40) ? paras[below(g, 8)] : (uint16_t)gen_random(g);
	if (!below(g, 12))
		return 0;
	return (uint16_t)(SEL_DATA(below(g, 2) ? below(g, 3) : below(g, N_DATA)) |
			  (g->user ? 3 : 0));
}

/* ---- prefixes, jumps ---- */

static void new_jump(struct gen *g, unsigned size, bool is_abs, bool is_far)
{
	if (g->n_jumps == sizeof(g->jump) / sizeof(g->jump[0]))
		return;
	g->jump[g->n_jumps].at = g->at;
	g->jump[g->n_jumps].size = size;
	g->jump[g->n_jumps].is_abs = is_abs;
	g->jump[g->n_jumps++].is_far = is_far;
}

void gen_put_near(struct gen *g, unsigned size)
{
	new_jump(g, size, true, false);
	gen_put(g, 0, size);
}

void gen_put_far(struct gen *g, unsigned size)
{
	new_jump(g, size, true, true);
	gen_put(g, 0, size);
	gen_put(g, 0, 2);
}

/* MOV EBP, target; JMP or CALL EBP. Or PUSH target; RET. */
static void put_indirect(struct gen *g, unsigned size, bool by_register)
{
	gen_put(g, by_register ? 0xbd : 0x68, 1);
	gen_put_near(g, size);
	if (size != (g->code16 ? 2 : 4))
		gen_put(g, 0x66, 1);
	if (by_register)
		gen_put(g, !below(g, 2) ? 0xe5ff : 0xd5ff, 2);
	else if (!below(g, 4))
		gen_put(g, 0x0004c2, 3);
	else
		gen_put(g, 0xc3, 1);
}

/* Jumps of either operand size, in segments. */
void gen_put_jump_segs(struct gen *g)
{
	unsigned size = g->code16 ? 2 : 4, kind = below(g, 14);

	if (!below(g, 8)) {
		gen_put(g, 0x66, 1);
		size = 6 - size;
	}
	if (kind < 3) {
		gen_put(g, 0x70 + below(g, 16), 1);
	} else if (kind < 6) {
		if (!below(g, 4))
			gen_put(g, 0x67, 1);
		gen_put(g, 0xe0 + below(g, 4), 1);
	} else if (kind == 6) {
		gen_put(g, 0xeb, 1);
	} else if (kind < 10) {
		if (kind == 7)
			gen_put(g, 0x0f, 1);
		gen_put(g, kind == 7 ? 0x80 + below(g, 16) : 0xe8 + kind % 2, 1);
		new_jump(g, size, false, false);
		gen_put(g, 0, size);
		return;
	} else {
		put_indirect(g, size, kind < 12);
		return;
	}
	new_jump(g, 1, false, false);
	gen_put(g, 0, 1);
}

/* Of segment and address size. */
void gen_put_prefixes(struct gen *g)
{
	static const uint8_t segs[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

	if (!below(g, 8))
		gen_put(g, segs[gen_random(g) % sizeof(segs)], 1);
	if (!below(g, 8)) {
		gen_put(g, 0x67, 1);
		g->addr16 = !g->addr16;
	}
}

/* Offsets, under the first selector mostly, and the selector; displacements of 2 or 4 bytes. */
bool gen_patch_segs(struct gen *g, unsigned i, uint32_t to)
{
	unsigned cs = !below(g, 2);
	uint32_t at = g->jump[i].at, off = g->base + to - g->cs_base[g->jump[i].is_far ? cs : 0];
	unsigned size = g->jump[i].size;

	if (!g->segs || size == 1)
		return false;
	if (!g->jump[i].is_abs)
		off = to - (at + size);
	else if (!below(g, 2))
		off = gen_target(g, g->jump[i].is_far ? cs : 0);
	memcpy(g->code + at, &off, size);
	if (g->jump[i].is_far)
		memcpy(g->code + at + size, &g->cs_sel[cs], 2);
	return true;
}

/* ---- instructions ---- */

static void put_sel(struct gen *g)
{
	gen_put(g, 0xb8, 1); /* MOV (E)AX */
	gen_put(g, data_sel(g), g->code16 ? 2 : 4);
}

/* A far jump, call or return to an instruction, under either selector. */
static void put_far(struct gen *g)
{
	unsigned size = g->code16 ? 2 : 4;

	switch (below(g, 6)) {
	case 0: /* PUSH CS; PUSH target; RETF */
		gen_put(g, 0x680e, 2);
		gen_put_near(g, size);
		gen_put(g, 0xcb, 1);
		break;
	case 1: /* PUSHF; PUSH CS; PUSH target; IRET */
		gen_put(g, 0x680e9c, 3);
		gen_put_near(g, size);
		gen_put(g, 0xcf, 1);
		break;
	case 2: gen_put(g, 0xcd | (0x20 + below(g, 16)) << 8, 2); break;
	default:
		gen_put(g, below(g, 4) ? 0xea : 0x9a, 1);
		gen_put_far(g, size);
		break;
	}
}

void gen_put_seg(struct gen *g)
{
	static const uint16_t same[] = { 0x1f1e, 0x0706, 0x071e, 0x1f06, 0x1716 };
	static const uint16_t load[] = { 0xd88e, 0xc08e, 0xe08e, 0xe88e };
	unsigned size, seg;

	switch (below(g, 13)) {
	case 0:
	case 1: gen_put(g, same[below(g, 5)], 2); break;
	case 2: gen_put(g, 0xd08ed08c, 4); break; /* MOV EAX, SS; MOV SS, EAX */
	case 3:
		size = below(g, 2) ? 4 : 3;
		gen_put(g, below(g, 2) ? 0xa10fa00f : 0xa10f1e, size);
		break;
	case 4:
		if (below(g, 4)) {
			gen_put(g, 0x8c, 1);
		} else { /* LES, LDS: mostly of nonsense */
			gen_put(g, below(g, 2) ? 0xc4 : 0xc5, 1);
		}
		gen_put_mem(g, below(g, 6));
		break;
	case 5:
	case 6: put_far(g); break;
	case 7:
		gen_put(g, 0x8e, 1);
		seg = below(g, 2) ? SEG_DS : SEG_ES;
		gen_put(g, 0xc0 | seg << 3 | below(g, 8), 1);
		break;
	case 8: gen_put(g, below(g, 2) ? 0x9d9c : 0xd7, 2); break; /* PUSHF, POPF; XLAT */
	case 9: gen_put(g, below(g, 2) ? 0xc9 : 0x6160, 2); break; /* LEAVE; PUSHA, POPA */
	case 10: /* POP [ESP + n]; or the end of the stack: MOV SP, n */
		if (below(g, 2)) {
			gen_put(g, g->code16 ? 0x24448f67 : 0x24448f, g->code16 ? 4 : 3);
			gen_put(g, below(g, 8), 1);
		} else if (g->code16) {
			gen_put(g, 0xbc, 1);
			gen_put(g, below(g, 10) - 4, 2);
		}
		break;
	default:
		put_sel(g);
		gen_put(g, load[below(g, 4)], 2);
		break;
	}
}

/* ---- handlers: they go back into the code, with fresh segments and a fresh stack ---- */

/* Offset in a segment; where a limit lies within the code, often shortly before that. */
uint32_t gen_target(struct gen *g, unsigned cs)
{
	uint32_t first = VM_CODE - g->cs_base[cs], limit = g->cs_limit[cs], off = 0;

	if (g->cs_base[0] == g->cs_base[1] && g->cs_limit[cs ^ 1] < limit)
		limit = g->cs_limit[cs ^ 1];
	for (unsigned i = 0; i < 2000; i++) {
		off = first + g->start[below(g, g->n)];
		if (limit >= first + GEN_CODE_LEN || below(g, 40) == 0)
			break;
		if (off <= limit && limit - off < 60)
			break;
	}
	return off;
}

static unsigned put_bytes(uint8_t *p, uint64_t v, unsigned n)
{
	memcpy(p, &v, n);
	return n;
}

static void put_real_handler(struct gen *g, struct vm *vm, unsigned v)
{
	uint8_t *p = vm->ram + HANDLERS + v * 64;
	unsigned cs = below(g, 2);
	uint16_t vec[2] = { (uint16_t)(HANDLERS + v * 64), 0 };

	memcpy(vm->ram + v * 4, vec, 4);
	p += put_bytes(p, 0xb8 | (uint32_t)(DATA_BASE >> 4) << 8, 3);
	p += put_bytes(p, 0xc08ed88e, 4); /* MOV DS, AX; MOV ES, AX */
	p += put_bytes(p, 0xf000bc, 3);	  /* MOV SP, F000h */
	p += put_bytes(p, 0xea | gen_target(g, cs) << 8, 3);
	put_bytes(p, g->cs_sel[cs], 2);
}

/* By IRET to outer rings and virtual-8086 mode, by a far jump at CPL 0. */
static void put_handler(struct gen *g, struct vm *vm, unsigned v)
{
	uint32_t at = HANDLERS + v * 64, stub = VM_STUBS + v * 16, rel = at - (stub + 5);
	unsigned cs = below(g, 2);
	uint32_t data = g->mode == GEN_V86 ? DATA_BASE >> 4 : SEL_DATA(0) | (g->user ? 3u : 0);
	uint32_t eip = gen_target(g, cs), ss = g->ss_sel, esp = g->esp;
	uint32_t frame[9] = { eip, g->cs_sel[cs], g->eflags, esp, ss, data, data, data, data };
	uint8_t *p = vm->ram + at;

	vm->ram[stub] = 0xe9;
	memcpy(vm->ram + stub + 1, &rel, 4);
	memcpy(vm->ram + FRAMES + v * 48, frame, sizeof(frame));
	if (g->mode != GEN_V86) {
		p += put_bytes(p, 0xb8 | (uint64_t)data << 8, 5);
		p += put_bytes(p, 0xc08ed88e, 4);
	}
	if (g->user) {
		p += put_bytes(p, 0xbc | (uint64_t)(FRAMES + v * 48) << 8, 5);
		put_bytes(p, 0xcf, 1);
		return;
	}
	p += put_bytes(p, 0xbc | (uint64_t)esp << 8, 5);
	p += put_bytes(p, 0xea | (uint64_t)eip << 8, 5);
	put_bytes(p, g->cs_sel[cs], 2);
}

/* ---- the machine ---- */

static void load(
	struct cpu *cpu, enum seg seg, uint16_t sel, uint32_t base, uint32_t limit, uint16_t attr)
{
	cpu->seg[seg] = (struct segment){ .sel = sel, .base = base, .limit = limit, .attr = attr };
	seg_update(&cpu->seg[seg]);
}

/* Segments by their descriptors. */
static void load_by_table(struct gen *g, struct cpu *cpu)
{
	static const enum seg data[] = { SEG_DS, SEG_ES, SEG_FS, SEG_GS };
	uint16_t big = g->mode == GEN_SEG32 ? 0x4000 : 0, dpl = g->user ? 0x60 : 0;

	load(cpu, SEG_CS, g->cs_sel[0], g->cs_base[0], g->cs_limit[0],
		(uint16_t)(0x9b | big | dpl));
	cpu->cpl = g->user ? 3 : 0;
	for (unsigned i = 0; i < 4; i++)
		seg_load(cpu, data[i], (uint16_t)(SEL_DATA(below(g, 3)) | (g->user ? 3 : 0)));
}

/* The stack has a segment of its own: of either size, and of any limit; or it grows down. */
static void load_stack(struct gen *g, struct vm *vm)
{
	bool wide = g->mode == GEN_SEG32, big = below(g, 4) ? wide : !wide, down = !below(g, 8);
	uint32_t base = wide ? 0 : 0x70000, sp = wide ? VM_STACK - 0x400 : 0xf000;
	struct kind k = { down ? 0xf6 : 0xf2, big ? 4 : 0, base, wide ? VM_STACK : 0xffff };
	uint32_t sel = VM_SEL_DATA16;

	if (down)
		k.limit = wide ? VM_STACK - 0x8000 : 0x8000;
	else if (below(g, 2))
		k.limit = sp + below(g, 0x10);
	if (wide && !big) { /* SP */
		k.base = VM_STACK & 0xffff0000;
		k.limit = down ? 0x8000 : 0xffff;
		sp = (gen_random(g) & 0xffff0000) | 0xf000;
	}
	if (!g->user)
		k.type &= (uint8_t)~0x60;
	put_desc(vm, sel, &k);
	g->ss_sel = (uint16_t)(sel | (g->user ? 3 : 0));
	g->esp = sp;
	seg_load(vm->cpu, SEG_SS, g->ss_sel);
}

static void load_paras(struct gen *g, struct cpu *cpu)
{
	const uint32_t limits[] = { 0xffff, 0xffffffff, g->edge, 0xffffffff, 3 };
	bool v86 = g->mode == GEN_V86;
	uint16_t attr = v86 ? 0xf3 : 0x93;

	for (enum seg s = SEG_ES; s <= SEG_GS; s++) {
		uint32_t limit = v86 || below(g, 4) ? 0xffff : limits[below(g, 5)];
		uint16_t sel = s == SEG_SS ? 0x7000 : data_sel(g);

		if (s != SEG_CS)
			load(cpu, s, sel, (uint32_t)sel << 4, s == SEG_SS ? 0xffff : limit,
				!v86 && !below(g, 16) ? 0x97 : attr);
	}
	load(cpu, SEG_CS, g->cs_sel[0], g->cs_base[0], g->cs_limit[0], attr);
	g->ss_sel = 0x7000;
	g->esp = 0xf000;
	cpu->cpl = v86 ? 3 : 0;
}

/* Where the code's segments begin: both selectors lead to the same bytes. */
static void place_code(struct gen *g)
{
	g->edge = (g->mode == GEN_SEG32 ? VM_DATA : 0) + 0x8000 + below(g, 0x100);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t back = below(g, 2) ? below(g, 0x20) * 0x1000 : below(g, 0x2000) * 16;
		uint32_t more;

		if (g->mode <= GEN_V86) {
			back %= 0xd000;
			g->cs_sel[i] = (uint16_t)((VM_CODE - back) >> 4);
		} else if (g->mode == GEN_SEG16) {
			back %= 0xd000;
			more = below(g, 2);
			back += more * below(g, 16);
		}
		g->cs_base[i] = VM_CODE - back % VM_CODE;
	}
	if (g->mode > GEN_V86 && !below(g, 3)) /* they have the limit apart */
		g->cs_base[1] = g->cs_base[0];
	for (unsigned i = 0; i < 2; i++) {
		g->cs_limit[i] = 0xffff;
		if (g->mode == GEN_SEG32)
			g->cs_limit[i] = below(g, 2) ? 0xffffffff : 0xfffff;
		if (g->mode > GEN_V86 && !below(g, 3))
			g->cs_limit[i] = VM_CODE - g->cs_base[i] + below(g, GEN_CODE_LEN);
	}
}

void gen_choose_segs(struct gen *g, struct vm *vm)
{
	static const uint8_t modes[] = { GEN_REAL, GEN_REAL, GEN_REAL, GEN_V86, GEN_SEG16,
		GEN_SEG16, GEN_SEG32, GEN_SEG32, GEN_SEG32 };

	g->mode = modes[below(g, sizeof(modes))];
	g->code16 = g->mode != GEN_SEG32;
	g->user = g->mode == GEN_V86 || (g->mode != GEN_REAL && below(g, 2));
	vm_mode_set(vm, g->mode == GEN_REAL ? VM_REAL16 : VM_PROT32);
	place_code(g);
}

static void draw_returns(struct gen *g, uint8_t *to, uint32_t len)
{
	for (uint32_t i = 0; i < len; i += 2) {
		uint16_t v = (uint16_t)gen_target(g, 0);

		memcpy(to + i, &v, 2);
	}
}

#define RETURNS	    0x7e000u /* around the stack pointer */
#define RETURNS_LEN 0x2000u

void gen_build_segs(struct gen *g, struct vm *vm)
{
	struct cpu *cpu = vm->cpu;

	gen_bulk(g, vm->ram + DATA_BASE, 0x20000, gen_draw_words);
	/* Returns find their way. */
	gen_bulk(g, vm->ram + RETURNS, RETURNS_LEN, draw_returns);
	vm_touch(vm, DATA_BASE, 0x20000);
	vm_touch(vm, RETURNS, RETURNS_LEN);
	vm_touch(vm, FRAMES, 0x1000);
	vm_touch(vm, HANDLERS, 0x1000);
	if (g->mode != GEN_REAL && below(g, 2))
		vm_paging(vm, below(g, 2));
	g->eflags = FL_ONE;
	if (g->mode == GEN_V86)
		g->eflags |= FL_VM | (below(g, 2) ? FL_IOPL : 0);
	if (g->mode == GEN_V86) {
		flags_set(cpu, g->eflags);
		load_paras(g, cpu);
	} else if (g->mode == GEN_REAL) {
		load_paras(g, cpu);
	} else {
		put_gdt(g, vm);
		load_by_table(g, cpu);
		load_stack(g, vm);
	}
	for (unsigned v = 0; v < 48; v++) {
		if (g->mode == GEN_REAL)
			put_real_handler(g, vm, v);
		else
			put_handler(g, vm, v);
	}
	cpu->gpr[R_ESP] = g->esp;
	cpu->eip = gen_target(g, 0);
	cpu->cpl = g->user ? 3 : 0;
	cpu->code32 = !g->code16;
	cpu->stack32 = (cpu->seg[SEG_SS].attr & 0x4000) != 0;
}
