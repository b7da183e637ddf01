/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front end and the optimiser: random instructions, executed by the interpreter's handlers one
 * by one and, on a twin, through the intermediate representation (ir_run.c): registers, flags,
 * memory and instruction counts must be the same wherever the block is left.
 *
 *	test_vcpu_ir [SEED [CASES]]
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "decode.h"
#include "fpu.h"
#include "harness.h"
#include "ir_run.h"

#define MODE	 (DECODE_CODE32 | DECODE_FLAT)
#define AT	 (VM_CODE + 0x800)
#define FS_BASE	 (VM_DATA + 0x800)
#define N_PLACES 4 /* pages of data */

static uint64_t seed = 1;
static uint64_t n_cases = 120000;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static unsigned below(unsigned n)
{
	return next_random() % n;
}

static struct ir_block blk;
static struct ir_mode mode; /* of the case */

/* ---- random instructions ---- */

struct machine {
	struct vm *vm;
	int raised; /* vector, or -1 */
};

static struct machine a, b;
static struct ir_runner runner = { .random = next_random };
static uint64_t n_done, n_inline, n_faults, n_left, n_jumped;

/* A memory operand that mostly hits the data; returns its length. */
static unsigned put_modrm(uint8_t *p, bool addr16)
{
	unsigned mod = below(4), reg = below(8), n = 1;
	static const uint8_t bases[] = { 3, 5, 6, 7, 3, 5, 6, 7, 4, 4, 0, 1 };
	unsigned rm = mod == 3 ? below(8) : bases[below(sizeof(bases))];
	uint32_t disp = below(64) - 32;

	p[0] = (uint8_t)(mod << 6 | reg << 3 | rm);
	if (mod == 3 || addr16)
		return 1;
	if (rm == 4) {
		unsigned base = bases[below(sizeof(bases))];

		/* the index is 4 (none) or a small number, ECX */
		p[n++] = (uint8_t)(below(4) << 6 | (below(2) ? 4 : 1) << 3 | base);
		rm = base;
	}
	if (mod == 0 && rm == 5)
		disp += VM_DATA + below(N_PLACES * 4096);
	if (mod == 2 || (mod == 0 && rm == 5)) {
		memcpy(p + n, &disp, 4);
		n += 4;
	} else if (mod == 1) {
		p[n++] = (uint8_t)disp;
	}
	return n;
}

static const uint8_t one_byte[] = { 0x69, 0x6b, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
	0x89, 0x8a, 0x8b, 0x8d, 0x8f, 0x98, 0x99, 0xa0, 0xa1, 0xa2, 0xa3, 0xa8, 0xa9, 0xc0, 0xc1,
	0xc6, 0xc7, 0xc9, 0xd0, 0xd1, 0xd2, 0xd3, 0xe0, 0xe1, 0xe2, 0xe3, 0xf5, 0xf6, 0xf7, 0xf8,
	0xf9, 0xfe, 0xff, 0xff, 0xf7, 0xf7, 0xc1, 0xd3, 0x06, 0x1e, 0x8c, 0x9c, 0xfa, 0xfb, 0xfc,
	0xfd, 0x07, 0x1f, 0x8e, 0xc4, 0xc5, 0xd7, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad,
	0xae, 0xaf };
static const uint8_t two_byte[] = { 0xa3, 0xab, 0xb3, 0xbb, 0xba, 0xa4, 0xa5, 0xac, 0xad, 0xaf,
	0xb0, 0xb1, 0xb6, 0xb7, 0xbe, 0xbf, 0xbc, 0xbd, 0xc0, 0xc1, 0xc8, 0xc7, 0x1f, 0x31, 0xa0,
	0xa8 };

static unsigned put_opcode(uint8_t *p)
{
	unsigned n = 0;

	switch (below(12)) {
	case 0: p[n++] = (uint8_t)next_random(); break;
	case 1: p[n++] = (uint8_t)(0x40 + below(0x20)); break; /* INC, DEC, PUSH, POP */
	case 2: p[n++] = (uint8_t)(0x70 + below(16)); break;
	case 3:
		p[n++] = 0x0f;
		p[n++] = (uint8_t)((below(2) ? 0x40 : 0x90) + below(16)); /* CMOV, SET */
		break;
	case 4:
	case 5:
		p[n++] = 0x0f;
		p[n++] = two_byte[below(sizeof(two_byte))];
		break;
	case 6: p[n++] = (uint8_t)(0x90 + below(8)); break;
	case 7:
	case 8: p[n++] = (uint8_t)(below(8) << 3 | below(6)); break; /* ALU */
	default: p[n++] = one_byte[below(sizeof(one_byte))]; break;
	}
	return n;
}

/* One instruction that exists, at most 15 bytes. */
static unsigned put_insn(uint8_t *p)
{
	for (;;) {
		unsigned n = 0;
		bool addr16 = false;
		struct insn in;

		if (!below(6))
			p[n++] = 0x66;
		if (!below(24)) {
			p[n++] = 0x67;
			addr16 = true;
		}
		if (!below(16))
			p[n++] = 0xf0;
		if (!below(24))
			p[n++] = (uint8_t)(0xf2 + below(2));
		if (!below(12))
			p[n++] = "\x26\x2e\x36\x3e\x64\x65"[below(6)];
		n += put_opcode(p + n);
		if (p[n - 1] >= 0xa0 && p[n - 1] <= 0xa3 && !addr16) {
			uint32_t off = VM_DATA + below(N_PLACES * 4096);

			memcpy(p + n, &off, 4);
		} else {
			unsigned len = put_modrm(p + n, addr16);

			for (unsigned i = n + len; i < 16; i++)
				p[i] = (uint8_t)(below(2) ? next_random() : below(4));
		}
		if (decode_insn(p, 15, mode.decode, &in) == DECODE_OK && in.id != INSN_UD)
			return in.len;
	}
}

static uint32_t random_value(void)
{
	switch (below(6)) {
	case 0: return next_random();
	case 1: return below(4);
	case 2: return 0x7fffffff + below(3);
	case 3: return (uint32_t) - (int32_t)below(4);
	default: return VM_DATA + below(N_PLACES * 4096);
	}
}

static void set_state(struct cpu *cpu, const uint32_t *gpr, uint32_t eflags, bool user)
{
	memcpy(cpu->gpr, gpr, sizeof(cpu->gpr));
	cpu->eflags = FL_ONE | (eflags & FL_DF) | (user ? FL_IOPL : 0);
	flags_set_arith(cpu, eflags);
	cpu->eip = AT;
	cpu->halted = cpu->look = false;
	cpu->inhibit = 0;
	cpu->db_pending = 0;
	cpu->n_intr = 0;
	cpu->run_key = icache_key(cpu);
	cpu->run_tlb = cpu->mmu->fast + (mem_user(cpu) ? 2 * TLB_STRIDE : 0);
	cpu->run_limit = cpu->icount + 400;
}

/* ---- modes ---- */

static void set_segment(enum seg seg, uint32_t base, uint32_t limit, uint16_t attr)
{
	struct vm *vms[] = { a.vm, b.vm };

	for (unsigned i = 0; i < 2; i++) {
		struct segment *s = &vms[i]->cpu->seg[seg];

		*s = (struct segment){ .base = base, .limit = limit, .attr = attr };
		seg_update(s);
	}
}

/* What ends behind the data, or within; and what is not for inline checks. */
static void set_limited(enum seg seg, uint32_t base, bool real_mode)
{
	static const uint16_t attrs[] = { 0xf3, 0xf3, 0xf3, 0xf1, 0xf7, 0xfb, 0 };
	uint32_t end = VM_DATA + N_PLACES * 4096 - base;
	uint16_t attr = attrs[below(4) ? 0 : below(7)];

	if (base && below(2))
		end = 0x10000;
	set_segment(seg, base, end - 1 - (below(2) ? 0 : below(0x1800)), real_mode ? 0xf3 : attr);
}

static void set_mode(bool can_be_real)
{
	bool code32 = below(3), is_real = !code32 && can_be_real && below(2);
	uint32_t base = code32 ? 0 : VM_DATA - (below(2) ? 0 : 0x200);
	struct vm *vms[] = { a.vm, b.vm };

	mode = (struct ir_mode){ .stack32 = true, .cs_limit = UINT32_MAX };
	mode.cpl0 = a.vm->cpu->cpl == 0;
	set_segment(SEG_CS, 0, UINT32_MAX, 0xc0fb);
	if (code32 && below(3)) {
		mode.decode = MODE;
		mode.big = below(2) << SEG_FS | below(2) << SEG_GS;
		for (enum seg s = SEG_ES; s <= SEG_GS; s++)
			if (s != SEG_CS)
				set_segment(s, s < SEG_FS ? 0 : FS_BASE, UINT32_MAX, 0xc0f3);
	} else {
		mode.decode = code32 ? DECODE_CODE32 : 0;
		mode.stack32 = !is_real && below(2);
		mode.paras = is_real;
		mode.cs_limit = AT + (below(3) ? 0xfff : below(200));
		for (enum seg s = SEG_ES; s <= SEG_GS; s++)
			set_limited(s, s < SEG_FS ? base : FS_BASE, is_real);
		set_segment(SEG_CS, 0, mode.cs_limit, 0xfb);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct cpu *cpu = vms[i]->cpu;

		cpu->cr0 = is_real ? cpu->cr0 & ~CR0_PE : cpu->cr0 | CR0_PE;
		cpu->code32 = code32;
		cpu->stack32 = mode.stack32;
	}
}

static void build_case(void)
{
	uint8_t code[512];
	unsigned n = 0, count = 1 + below(10);
	uint32_t gpr[8], eflags = next_random();
	bool user = a.vm->cpu->cpl == 3;

	set_mode(!(a.vm->cpu->cr0 & CR0_PG));
	while (count-- && n < sizeof(code) - 16)
		n += put_insn(code + n);
	code[n++] = 0xf4;
	for (unsigned i = 0; i < 8; i++)
		gpr[i] = random_value();
	gpr[R_ESP] = VM_DATA + below(N_PLACES * 4096);
	for (unsigned i = 0; i < 3; i++)
		gpr[5 + i] = VM_DATA + below(N_PLACES * 4096);
	for (unsigned i = 0; i < 8 && !(mode.decode & DECODE_CODE32); i++)
		gpr[i] = below(4) ? gpr[i] - VM_DATA : gpr[i] + 0x10000 * below(3);
	if (below(2))
		gpr[R_ECX] = below(8);
	memcpy(a.vm->ram + AT, code, n);
	memcpy(b.vm->ram + AT, code, n);
	set_state(a.vm->cpu, gpr, eflags, user);
	set_state(b.vm->cpu, gpr, eflags, user);
}

/* Loads of segment registers that blocks do themselves. */
static bool is_setseg(const struct insn *in)
{
	if (!mode.paras)
		return false;
	switch (in->id) {
	case INSN_1_8E: return in->reg < SEG_NONE && in->reg != SEG_CS && in->reg != SEG_SS;
	case INSN_1_07:
	case INSN_1_1F:
	case INSN_2_A1:
	case INSN_2_A9:
	case INSN_1_C4:
	case INSN_1_C5:
	case INSN_2_B4:
	case INSN_2_B5: return true;
	default: return false;
	}
}

/* One instruction by its handler; its faults become m->raised. */
static void step(struct machine *m)
{
	struct cpu *cpu = m->vm->cpu;
	struct insn in;
	sigjmp_buf here;
	uint32_t enc;

	m->raised = -1;
	cpu->catch_ = &here;
	if (sigsetjmp(here, 0)) {
		cpu->rep_again = false;
		m->raised = cpu->raise_vector;
		return;
	}
	assert_true(cpu->eip < VM_RAM_LEN - 16);
	if (decode_insn(m->vm->ram + cpu->eip, 15, mode.decode, &in) != DECODE_OK) {
		m->raised = 1000;
		return;
	}
	enc = insn_enc(&in);
	if (enc & E_SYNC &&
		!is_setseg(&in)) { /* would change the mode that the next case counts on */
		m->raised = 1001;
		return;
	}
	in.fn(cpu, &in);
	if (!(enc & E_JMP) && !cpu->rep_again)
		cpu->eip += in.len;
	cpu->icount++;
	cpu->rep_again = false;
}

static uint8_t dirty[VM_RAM_LEN >> 12];

static bool note_page(void *opaque, uint32_t page)
{
	(void)opaque;
	dirty[page] = 1;
	return true;
}

static void print_case(uint64_t n)
{
	const struct ir_block *p = &blk;
	char text[128];

	printf("case %llu\n", (unsigned long long)n);
	for (unsigned i = 0; i < p->len; i++)
		printf("%02x ", b.vm->ram[AT + i]);
	printf("\n");
	for (unsigned i = 0; i < p->n_ops; i++) {
		ir_op_text(&p->op[i], text, sizeof(text));
		printf("%s\n", text);
	}
}

static bool same(const char *what, uint32_t x, uint32_t y)
{
	if (x != y)
		printf("%s: %#x by the interpreter, %#x by the block\n", what, x, y);
	return x == y;
}

static bool compare_memory(void)
{
	bool ok = true;

	mmu_take_dirty(a.vm->cpu, note_page, NULL);
	mmu_take_dirty(b.vm->cpu, note_page, NULL);
	for (uint32_t page = 0; page < VM_RAM_LEN >> 12; page++) {
		uint32_t at = page << 12;

		if (!dirty[page])
			continue;
		dirty[page] = 0;
		if (memcmp(a.vm->ram + at, b.vm->ram + at, 4096))
			ok = same("memory of page", at, 0);
	}
	return ok;
}

static bool compare(void)
{
	static const char *const names[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi",
		"edi" };
	struct cpu *x = a.vm->cpu, *y = b.vm->cpu;
	bool ok = same("vector", (uint32_t)a.raised, (uint32_t)b.raised);

	for (unsigned i = 0; i < 8; i++)
		ok &= same(names[i], x->gpr[i], y->gpr[i]);
	ok &= same("eip", x->eip, y->eip);
	ok &= same("eflags", x->eflags & ~FL_ARITH, y->eflags & ~FL_ARITH);
	ok &= same("flags", flags_get_arith(x), flags_get_arith(y));
	ok &= same("icount", (uint32_t)x->icount, (uint32_t)y->icount);
	for (unsigned i = 0; i < 6; i++) {
		ok &= same("selector", x->seg[i].sel, y->seg[i].sel);
		ok &= same("base", x->seg[i].base, y->seg[i].base);
	}
	ok &= same("fpu", (uint32_t)fpu_digest(x), (uint32_t)fpu_digest(y));
	return compare_memory() && ok;
}

static const char *run_case(void)
{
	struct cpu *x = a.vm->cpu, *y = b.vm->cpu;
	unsigned max = 1 + below(IR_MAX_INSNS);
	const uint8_t *code = b.vm->ram + AT;
	enum ir_outcome o;
	const char *bad;

	if (!front_translate(&blk, code, 4096 - AT % 4096, AT, &mode, max))
		return NULL;
	if ((bad = ir_check(&blk)))
		return bad;
	if (below(8))
		ir_optimise(&blk);
	else /* as it is, everything is wanted */
		for (unsigned i = 0; i < blk.n_ops; i++)
			blk.op[i].after_use = blk.op[i].after_exit = IRF_ALL;
	if ((bad = ir_check(&blk)))
		return bad;
	runner.code = code;
	runner.leave_odds = below(2) ? 0 : 16;
	o = ir_run(&runner, y, &blk);
	b.raised = o == IR_FAULTED ? y->raise_vector : -1;
	x->run_limit = y->icount;
	a.raised = -1;
	while (x->icount < y->icount && a.raised < 0)
		step(&a);
	n_done += blk.n_insns;
	if (o == IR_FAULTED) {
		x->run_limit = x->icount + 1;
		step(&a);
		n_faults++;
	} else if (o == IR_LEFT && y->eip < VM_RAM_LEN - 16 && a.raised < 0) {
		/* The interpreter goes on. */
		x->run_limit = y->run_limit = y->icount + 1;
		step(&a);
		step(&b);
		n_left++;
	} else {
		n_jumped++;
	}
	return compare() ? NULL : "different";
}

static void count_inline(void)
{
	for (unsigned i = 0; i < blk.n_ops; i++)
		n_inline += blk.op[i].op == IR_INSN && blk.op[i + 1].op != IR_CALLI;
}

static struct vm *build_vm(bool paging, bool user)
{
	struct vm *vm = vm_new(VM_PROT32);

	if (paging) {
		vm_paging(vm, false);
		*vm_pte(vm, VM_DATA + 0x2000) &= ~2u;
		*vm_pte(vm, VM_DATA + 0x3000) &= ~1u;
	}
	if (user)
		vm_user(vm);
	mmu_mark_dirty_all(vm->cpu);
	mmu_take_dirty(vm->cpu, note_page, NULL);
	memset(dirty, 0, sizeof(dirty));
	for (unsigned i = 0; i < N_PLACES * 4096; i++)
		vm->ram[VM_DATA + i] = (uint8_t)(i * 37 ^ i >> 5);
	return vm;
}

static void run_cases(bool paging, bool user, uint64_t n)
{
	a.vm = build_vm(paging, user);
	b.vm = build_vm(paging, user);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t was = seed;
		const char *bad;

		build_case();
		bad = run_case();
		if (bad) {
			print_case(i);
			printf("seed %llu, paging %d, user %d: %s\n", (unsigned long long)was,
				paging, user, bad);
			fail();
		}
		count_inline();
	}
	vm_free(a.vm);
	vm_free(b.vm);
}

static void test_random(void **state)
{
	(void)state;
	run_cases(false, false, n_cases / 2);
	run_cases(true, false, n_cases / 4);
	run_cases(true, true, n_cases / 4);
	printf("%llu instructions translated, %llu of them inline; %llu blocks left, %llu went on, "
	       "%llu faulted\n",
		(unsigned long long)n_done, (unsigned long long)n_inline,
		(unsigned long long)n_left, (unsigned long long)n_jumped,
		(unsigned long long)n_faults);
	for (unsigned op = 0; op < IR_N_OPS; op++)
		if (!runner.executed[op] && op != IR_SSE && op != IR_FPUFL && op != IR_SSEFL &&
			op != IR_SSEGATE && op != IR_PAGE2)
			fail_msg("never executed: %s", ir_op_names[op]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15ull | 1;
	if (argc > 2)
		n_cases = strtoull(argv[2], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
