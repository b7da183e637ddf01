/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses that share a look-up (vcpu/back_share.c), against the interpreter: straight-line
 *programs of accesses off a few base registers, which lie around the borders of pages that are of
 *all kinds: clean, read-only, absent, MMIO, with code in them, the page tables themselves, and the
 *last page below 4 GiB. Each program is run several times, as the same translated code, with other
 *registers, other pages and the TLB as it is or flushed. After each run registers, flags, counts,
 *the bus, and memory, with accessed and dirty bits, must be the same.
 *
 *	test_share [SEED [CASES [ENGINE]]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fpu.h"
#include "harness.h"
#include "log.h"
#include "sse.h"
#include "tcache.h"
#include "tcg.h"

#define N_RUNS	 16u
#define N_PAGES	 12u		   /* of data, from VM_DATA on */
#define CODE_AT	 (VM_CODE + 0x400) /* the ends of its page are data */
#define CODE_MAX 0x800u
#define LAST_PT	 (VM_PAGES + 0x8000) /* of the last 4 MiB */
#define LAST_RAM (VM_DATA + 0x40000)
#define END	 (VM_PAGES + 0x20000) /* of all that may have changed */

static const char *const engines[] = { "tcg,thresh=0,window=off",
	"tcg,thresh=0,window=off,budget=5", "tcg,thresh=0,check" };
#define N_ENGINES (sizeof(engines) / sizeof(engines[0]))

static uint64_t rnd_state, total, looked_up, shared, faults;

static uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rnd_state >> 33) % n;
}

/* ---- programs ---- */

struct prog {
	uint8_t code[CODE_MAX];
	unsigned n;
	/* The operand in fashion. */
	unsigned base, index, scale, seg;
	int32_t disp;
};

static const uint8_t bases[] = { R_EBX, R_ESP, R_EBP, R_ESI };
static const uint8_t datas[] = { R_EAX, R_ECX, R_EDX };
#define NONE 8

static void put(struct prog *p, unsigned n, const void *bytes)
{
	must(p->n + n <= CODE_MAX);
	memcpy(p->code + p->n, bytes, n);
	p->n += n;
}

static void put8(struct prog *p, unsigned v)
{
	uint8_t b = (uint8_t)v;

	put(p, 1, &b);
}

static void put32(struct prog *p, uint32_t v)
{
	put(p, 4, &v);
}

static void put_bytes(struct prog *p, const char *text)
{
	put(p, (unsigned)strlen(text), text);
}

static void new_operand(struct prog *p)
{
	p->base = rnd(12) ? bases[rnd(4)] : NONE;
	p->index = rnd(6) ? NONE : R_EDI;
	p->scale = rnd(2);
	p->seg = rnd(8) == 0;
	p->disp = rnd(6) ? (int32_t)rnd(64) - 32 : (int32_t)rnd(8400) - 4200;
}

/* FS, if that is what is used. */
static void put_seg(struct prog *p)
{
	if (!rnd(5))
		new_operand(p);
	else if (!rnd(12))
		p->index = p->index == NONE ? R_EDI : NONE;
	else if (!rnd(8))
		p->scale ^= 1;
	if (p->seg)
		put8(p, 0x64);
}

/* ModRM of an operand near the last one. */
static void put_rm(struct prog *p, unsigned reg)
{
	int32_t disp = p->disp;

	if (p->base == NONE)
		disp += VM_DATA + 0x2000;
	disp += rnd(10) ? (int32_t)rnd(17) - 8 : (int32_t)rnd(8300) - 4150;
	if (p->base == NONE && p->index == NONE) {
		put8(p, reg << 3 | 5);
	} else if (p->base == NONE) {
		put8(p, reg << 3 | 4);
		put8(p, (p->scale + 1) << 6 | p->index << 3 | 5);
	} else if (p->index != NONE || p->base == R_ESP) {
		put8(p, 0x80 | reg << 3 | 4);
		put8(p, (p->index == NONE ? 4u << 3 : p->scale << 6 | p->index << 3) | p->base);
	} else {
		put8(p, 0x80 | reg << 3 | p->base);
	}
	put32(p, (uint32_t)disp);
}

/* An operand of an opcode of one byte. */
static void put_op(struct prog *p, unsigned opcode, unsigned reg)
{
	bool word = !rnd(6);

	put_seg(p);
	if (word && (opcode & 1))
		put8(p, 0x66);
	put8(p, opcode);
	put_rm(p, reg);
}

/* The same after 0F. */
static void put_op2(struct prog *p, unsigned opcode, unsigned reg)
{
	put_seg(p);
	put8(p, 0x0f);
	put8(p, opcode);
	put_rm(p, reg);
}

static void put_access(struct prog *p)
{
	static const uint8_t alu[] = { 0x01, 0x03, 0x29, 0x2b, 0x31, 0x33, 0x39, 0x3b, 0x11, 0x13,
		0x19, 0x1b, 0x00, 0x02, 0x38, 0x85 };
	unsigned r = datas[rnd(3)];

	switch (rnd(18)) {
	case 16: put_op(p, 0x88, r); break;
	case 17: put_op2(p, rnd(3) ? 0xb1 : 0xc1, r); break; /* CMPXCHG, XADD */
	case 0:
	case 1:
	case 2:
	case 3: put_op(p, 0x8b, r); break;
	case 4:
	case 5:
	case 6: put_op(p, 0x89, r); break;
	case 7: put_op(p, 0x8a + rnd(2) * -2u, r + rnd(2) * 4); break; /* AL..DH */
	case 8:
	case 9:
	case 10: put_op(p, alu[rnd(sizeof(alu))], r); break;
	case 11: put_op2(p, 0xb6 + 8 * rnd(2) + rnd(2), r); break; /* MOVZX, MOVSX */
	case 12: put_op(p, 0xff, rnd(2)); break;		   /* INC, DEC */
	case 13:
		put_seg(p); /* PUSH and POP of memory */
		if (rnd(2)) {
			put8(p, 0xff);
			put_rm(p, 6);
		} else {
			put8(p, 0x8f);
			put_rm(p, 0);
		}
		break;
	case 14: put_op(p, 0x8a, r); break;
	default: put_op(p, 0xd1, 4 + rnd(2)); break; /* SHL, SHR */
	}
}

/* A small one, and a larger one that begins below it, and ends behind it. */
static void put_around(struct prog *p)
{
	unsigned b = bases[rnd(4)], d = rnd(64) - 32u, load = 0x80 | b;

	put_bytes(p, rnd(2) ? "\x8a" : "\x66\x8b");
	for (unsigned i = 0; i < 2; i++) {
		put8(p, load);
		if (b == R_ESP)
			put8(p, 0x24);
		put32(p, d);
		if (!i)
			put8(p, 0x8b);
		d -= 1 + rnd(3);
	}
}

static void put_stack(struct prog *p)
{
	unsigned n = 1 + rnd(5), pops = rnd(5);

	for (unsigned i = 0; i < n; i++)
		put8(p, (rnd(3) ? 0x50 : 0x58) + datas[rnd(3)]);
	for (unsigned i = 0; i < pops; i++)
		put8(p, 0x58 + datas[rnd(3)]);
	if (pops)
		put8(p, 0x50 + datas[rnd(3)]);
	if (!rnd(4))
		put8(p, 0xc9); /* LEAVE */
}

/* Something that changes a base, or what is known of it. */
static void put_change(struct prog *p)
{
	unsigned b = bases[rnd(4)], c = bases[rnd(4)];

	switch (rnd(8)) {
	case 0:
	case 1: /* ADD, SUB */
		put8(p, 0x83);
		put8(p, (rnd(2) ? 0xc0 : 0xe8) | b);
		put8(p, rnd(24));
		break;
	case 2: put8(p, (rnd(2) ? 0x40 : 0x48) + b); break;
	case 3: /* LEA */
		put8(p, 0x8d);
		put8(p, 0x84 | b << 3);
		put8(p, 0x20 | c);
		put32(p, rnd(64) - 32);
		break;
	case 4:
		put8(p, 0x89); /* MOV */
		put8(p, 0xc0 | b << 3 | c);
		break;
	case 5:
		put8(p, 0x87); /* XCHG */
		put8(p, 0xc0 | b << 3 | c);
		break;
	case 6: /* of 16 bits, or of the index */
		if (rnd(2)) {
			put8(p, 0x66);
			put8(p, 0x83);
			put8(p, 0xc0 | b);
		} else {
			put8(p, 0x83);
			put8(p, 0xc0 | R_EDI);
		}
		put8(p, rnd(16));
		break;
	default: /* by CMOV */
		put8(p, 0x0f);
		put8(p, 0x40 | rnd(16));
		put8(p, 0xc0 | b << 3 | c);
		break;
	}
}

/* A jump over the next few, which makes a join, or over nothing much. */
static void put_jump(struct prog *p, void (*what)(struct prog *p))
{
	unsigned at = p->n;

	put8(p, 0x70 | rnd(16));
	put8(p, 0);
	what(p);
	p->code[at + 1] = (uint8_t)(p->n - at - 2);
	/* nobody asks for flags there */
	put8(p, 0x85);
	put8(p, 0xc0);
}

static void put_other(struct prog *p)
{
	unsigned r = datas[rnd(3)];

	switch (rnd(14)) {
	case 12: put8(p, rnd(2) ? 0xac : 0xad); break; /* LODS */
	case 13: put8(p, rnd(2) ? 0xa5 : 0xab); break; /* MOVS, STOS */
	case 0: put_bytes(p, "\xf7\xe1"); break;       /* MUL */
	case 1: put_bytes(p, "\x0f\xa2"); break;       /* CPUID, a call */
	case 2: put_bytes(p, "\x0f\x9c\xc1"); break;   /* SETL */
	case 3: put_bytes(p, "\x99\xf7\xf9"); break;   /* CDQ, IDIV */
	case 4: put_bytes(p, "\xd3\xe0"); break;       /* SHL by CL */
	case 5: put_bytes(p, "\x9c\x9d"); break;       /* PUSHF, POPF */
	case 6:
	case 7: /* FLD, FSTP: the first is a handler's */
		put_op(p, 0xd9, 0);
		put_op(p, 0x8b, r);
		put_op(p, rnd(2) ? 0xdd : 0xd9, rnd(2) * 3);
		put_op(p, 0x8b, r);
		put_op(p, 0xd9, 3);
		break;
	case 8:
	case 9: put_op2(p, 0x10 + rnd(2), rnd(3)); break;  /* MOVUPS */
	case 10: put_op2(p, 0x28 + rnd(2), rnd(3)); break; /* MOVAPS */
	default:
		put8(p, 0x0f); /* BSWAP */
		put8(p, 0xc8 | r);
		break;
	}
}

static void prog_make(struct prog *p)
{
	unsigned n = 4 + rnd(50);

	p->n = 0;
	new_operand(p);
	for (unsigned i = 0; i < n; i++) {
		switch (rnd(24)) {
		case 0:
		case 1:
		case 2: put_change(p); break;
		case 3:
		case 4:
		case 5: put_stack(p); break;
		case 6:
		case 7: put_other(p); break;
		case 8: put_jump(p, put_change); break;
		case 9: put_jump(p, put_access); break;
		case 10: put_around(p); break;
		default: put_access(p); break;
		}
	}
	put8(p, 0xf4);
}

/* ---- machines ---- */

/* What a run begins with. */
struct start {
	uint32_t gpr[8], fs_base;
	bool user, pages, flush;
	uint32_t pte[N_PAGES], last_pte;
};

static uint32_t random_pte(uint32_t own)
{
	uint32_t ad = rnd(3) ? 0 : rnd(2) ? 0x20 : 0x60;

	switch (rnd(20)) {
	case 0: return 0;
	case 1: return own | 5 | (ad & 0x20);
	case 2: return VM_MMIO | 7;
	case 3: return VM_CODE | 7 | ad;
	case 4: return rnd(2) ? (VM_PAGES + 0x10000) | 7 | ad : own | 3 | ad;
	case 5: return (VM_DATA + rnd(N_PAGES) * 4096) | 7 | ad; /* another one's */
	default: return own | 7 | ad;
	}
}

static uint32_t random_base(void)
{
	uint32_t page = rnd(10) ? VM_DATA + rnd(N_PAGES) * 4096 : 0;

	return page + (rnd(6) ? rnd(80) - 40 : rnd(4096));
}

static void start_make(struct start *s)
{
	s->user = rnd(8) != 0;
	s->pages = rnd(3) != 0;
	s->flush = s->pages || rnd(2);
	for (unsigned i = 0; i < 8; i++)
		s->gpr[i] = rnd(0x7fffffff);
	for (unsigned i = 0; i < 4; i++)
		s->gpr[bases[i]] = random_base();
	s->gpr[R_EDI] = rnd(40) - 20u;
	s->fs_base = rnd(4) ? rnd(64) : rnd(8192);
	for (unsigned i = 0; i < N_PAGES; i++)
		s->pte[i] = random_pte(VM_DATA + i * 4096);
	s->last_pte = random_pte(LAST_RAM);
}

static struct vm *machine(const char *engine, const struct prog *p)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint32_t *pd = (uint32_t *)(vm->ram + VM_PAGES);

	vm_set_engine(vm, engine);
	vm_asm(vm, "\xdb\xe3\xf4"); /* FNINIT: nothing of the x87 faults */
	must(vm_run(vm, 10) == VM_HLT);
	vm->cpu->cr4 |= CR4_OSFXSR;
	vm_paging(vm, false);
	pd[1023] = LAST_PT | 7;
	for (unsigned i = 0; i < 0x10000; i++)
		vm->ram[VM_DATA + i] = (uint8_t)(i * 37 + (i >> 8));
	memcpy(vm->ram + CODE_AT, p->code, p->n);
	icache_invalidate_page(vm->cpu, VM_CODE >> 12);
	return vm;
}

/* Until it halts: at the program's end, or at a fault's stub; or for a while. */
static void go(struct vm *vm)
{
	uint64_t end = vm->cpu->icount + 400;
	enum cpu_exit e;

	do
		e = vm_cpu_run(vm->cpu, end);
	while (e != CPU_EXIT_RESET && e != CPU_EXIT_HALT && vm->cpu->icount < end);
}

static void run(struct vm *vm, const struct start *s)
{
	struct cpu *cpu = vm->cpu;
	uint32_t *last = (uint32_t *)(vm->ram + LAST_PT);

	if (s->pages) {
		for (unsigned i = 0; i < N_PAGES; i++)
			*vm_pte(vm, VM_DATA + i * 4096) = s->pte[i];
		last[1023] = s->last_pte;
	}
	vm_mode_set(vm, VM_PROT32);
	cpu->cr0 |= CR0_PG | CR0_WP;
	mmu_mode_changed(cpu);
	if (s->flush)
		mmu_flush(cpu, false);
	if (s->user)
		vm_user(vm);
	cpu->seg[SEG_FS].base = s->fs_base;
	seg_update(&cpu->seg[SEG_FS]);
	seg_mode_changed(cpu);
	memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
	flags_set(cpu, 2);
	cpu->eip = CODE_AT;
	cpu->halted = false;
	vm->n_log = 0;
	go(vm);
}

/* ---- comparison ---- */

/* 1 if so. */
static unsigned differ(const char *what, uint64_t a, uint64_t b)
{
	if (a != b)
		printf("  %s: %llx by the interpreter, %llx by the translator\n", what,
			(unsigned long long)a, (unsigned long long)b);
	return a != b;
}

static unsigned logs_differ(const struct vm *a, const struct vm *b)
{
	unsigned n = differ("accesses of the bus", a->n_log, b->n_log);

	for (unsigned i = 0; !n && i < a->n_log; i++) {
		const struct vm_access *x = &a->log[i], *y = &b->log[i];

		n += differ("address", x->addr, y->addr);
		n += differ("value", x->val, y->val);
		n += differ("count", x->icount, y->icount);
		n += differ("size", x->size, y->size);
	}
	return n;
}

static unsigned cpus_differ(struct cpu *a, struct cpu *b)
{
	static const char *const names[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi",
		"edi" };
	unsigned n = differ("icount", a->icount, b->icount);

	n += differ("eip", a->eip, b->eip);
	n += differ("flags", flags_get(a), flags_get(b));
	n += differ("cr2", a->cr2, b->cr2);
	n += differ("x87", fpu_digest(a), fpu_digest(b));
	for (unsigned i = 0; i < 8; i++)
		n += differ(names[i], a->gpr[i], b->gpr[i]);
	for (unsigned i = 0; i < 3; i++)
		n += differ("xmm", 0, memcmp(&a->xmm[i], &b->xmm[i], 16) != 0);
	return n;
}

/* Address and byte. */
static unsigned ram_differs(const struct vm *a, const struct vm *b)
{
	uint32_t i = 0;

	if (!memcmp(a->ram, b->ram, END))
		return 0;
	while (a->ram[i] == b->ram[i])
		i++;
	return differ("ram", (uint64_t)i << 8 | a->ram[i], (uint64_t)i << 8 | b->ram[i]);
}

static unsigned machines_differ(struct vm *a, struct vm *b)
{
	return cpus_differ(a->cpu, b->cpu) + logs_differ(a, b) + ram_differs(a, b);
}

/* ---- cases ---- */

static bool case_differs(uint64_t seed, const char *engine)
{
	static struct prog p;
	struct vm *a, *b;
	struct start s;
	unsigned bad = 0;

	rnd_state = seed * 2654435761u + 1;
	if (!engine)
		engine = engines[seed % N_ENGINES];
	prog_make(&p);
	a = machine(NULL, &p);
	b = machine(engine, &p);
	for (unsigned i = 0; i < N_RUNS && !bad; i++) {
		start_make(&s);
		run(a, &s);
		run(b, &s);
		bad = machines_differ(a, b);
		faults += a->cpu->eip == VM_STUBS + EXCP_PF * 16 + 1;
		if (bad)
			printf("case %llu, run %u, %s: differ\n", (unsigned long long)seed, i,
				engine);
	}
	total += b->cpu->icount;
	looked_up += b->cpu->tcache->stats.looked_up;
	shared += b->cpu->tcache->stats.shared;
	vm_free(a);
	vm_free(b);
	return bad != 0;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1,
		 n = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000;
	uint64_t failed = 0;

	for (uint64_t c = first; c < first + n; c++)
		failed += case_differs(c, argc > 3 ? argv[3] : NULL);
	printf("%llu cases, %llu instructions, %llu page faults; accesses that were looked up: "
	       "%llu, "
	       "that shared: %llu; %llu differ\n",
		(unsigned long long)n, (unsigned long long)total, (unsigned long long)faults,
		(unsigned long long)looked_up, (unsigned long long)shared,
		(unsigned long long)failed);
	/* Most got somewhere, and there were groups. */
	return failed || total < n * N_RUNS * 10 || shared < looked_up / 4 || faults < n;
}
