/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recipes of flags against the interpreter's handlers: each instruction is executed by its handler
 * with random operands, then its flags are made anew from what the translator would have kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "decode.h"
#include "harness.h"
#include "sse.h"
#include "tb.h"

/* Where a recipe's operand comes from: EAX or EDX (or part) before or after the instruction; CF and
 * ZF that came out. */
enum from { F_NO, F_OLD_A, F_OLD_D, F_NEW_A, F_NEW_D, F_COUNT, F_CZ, F_AH };

static const struct row {
	const char *name, *code;
	uint8_t op, size;
	uint8_t a, b, c; /* enum from */
} rows[] = {
#define SIZES3(name, code8, code16, code32, op, a, b, c)                            \
	{ name "8", code8, op, 1, a, b, c }, { name "16", code16, op, 2, a, b, c }, \
	{                                                                           \
		name "32", code32, op, 4, a, b, c                                   \
	}
	SIZES3("add", "\x00\xd0", "\x66\x01\xd0", "\x01\xd0", RCP_ADD, F_NEW_A, F_OLD_D, F_NO),
	SIZES3("sub", "\x28\xd0", "\x66\x29\xd0", "\x29\xd0", RCP_SUB, F_NEW_A, F_OLD_D, F_NO),
	SIZES3("cmp", "\x38\xd0", "\x66\x39\xd0", "\x39\xd0", RCP_CMP, F_OLD_A, F_OLD_D, F_NO),
	SIZES3("and", "\x20\xd0", "\x66\x21\xd0", "\x21\xd0", RCP_LOGIC, F_NEW_A, F_NO, F_NO),
	SIZES3("or", "\x08\xd0", "\x66\x09\xd0", "\x09\xd0", RCP_LOGIC, F_NEW_A, F_NO, F_NO),
	SIZES3("xor", "\x30\xd0", "\x66\x31\xd0", "\x31\xd0", RCP_LOGIC, F_NEW_A, F_NO, F_NO),
	SIZES3("test", "\x84\xd0", "\x66\x85\xd0", "\x85\xd0", RCP_TEST, F_OLD_A, F_OLD_D, F_NO),
	SIZES3("inc", "\xfe\xc0", "\x66\xff\xc0", "\xff\xc0", RCP_INC, F_NEW_A, F_NO, F_NO),
	SIZES3("dec", "\xfe\xc8", "\x66\xff\xc8", "\xff\xc8", RCP_DEC, F_NEW_A, F_NO, F_NO),
	SIZES3("neg", "\xf6\xd8", "\x66\xf7\xd8", "\xf7\xd8", RCP_NEG, F_NEW_A, F_NO, F_NO),
	SIZES3("adc", "\x10\xd0", "\x66\x11\xd0", "\x11\xd0", RCP_ADC, F_OLD_A, F_OLD_D, F_NEW_A),
	SIZES3("sbb", "\x18\xd0", "\x66\x19\xd0", "\x19\xd0", RCP_SBB, F_OLD_A, F_OLD_D, F_NEW_A),
	SIZES3("shl", "\xd2\xe0", "\x66\xd3\xe0", "\xd3\xe0", RCP_SHL, F_OLD_A, F_COUNT, F_NO),
	SIZES3("shr", "\xd2\xe8", "\x66\xd3\xe8", "\xd3\xe8", RCP_SHR, F_OLD_A, F_COUNT, F_NO),
	SIZES3("sar", "\xd2\xf8", "\x66\xd3\xf8", "\xd3\xf8", RCP_SAR, F_OLD_A, F_COUNT, F_NO),
	SIZES3("rol", "\xd2\xc0", "\x66\xd3\xc0", "\xd3\xc0", RCP_ROL, F_NEW_A, F_COUNT, F_NO),
	SIZES3("ror", "\xd2\xc8", "\x66\xd3\xc8", "\xd3\xc8", RCP_ROR, F_NEW_A, F_COUNT, F_NO),
	{ "shld16", "\x66\x0f\xa5\xd0", RCP_SHLD, 2, F_OLD_A, F_COUNT, F_OLD_D },
	{ "shld32", "\x0f\xa5\xd0", RCP_SHLD, 4, F_OLD_A, F_COUNT, F_OLD_D },
	{ "shrd16", "\x66\x0f\xad\xd0", RCP_SHRD, 2, F_OLD_A, F_COUNT, F_OLD_D },
	{ "shrd32", "\x0f\xad\xd0", RCP_SHRD, 4, F_OLD_A, F_COUNT, F_OLD_D },
	{ "imul16", "\x66\x0f\xaf\xc2", RCP_IMUL, 2, F_OLD_A, F_OLD_D, F_NO },
	{ "imul32", "\x0f\xaf\xc2", RCP_IMUL, 4, F_OLD_A, F_OLD_D, F_NO },
	{ "mul", "\xf7\xe2", RCP_MULX, 4, F_NEW_A, F_NEW_D, F_NO },
	{ "mul16", "\x66\xf7\xe2", RCP_MULX, 2, F_NEW_A, F_NEW_D, F_NO },
	{ "imul", "\xf7\xea", RCP_IMULX, 4, F_NEW_A, F_NEW_D, F_NO },
	{ "imul16", "\x66\xf7\xea", RCP_IMULX, 2, F_NEW_A, F_NEW_D, F_NO },
	{ "bt", "\x0f\xa3\xd0", RCP_BT, 4, F_NO, F_NO, F_NO },
	{ "bts", "\x0f\xab\xd0", RCP_BT, 4, F_NO, F_NO, F_NO },
	{ "sahf", "\x9e", RCP_SAHF, 1, F_AH, F_NO, F_NO },
	{ "comiss", "\x0f\x2f\xc1", RCP_COMI, 4, F_CZ, F_NO, F_NO },
	{ "ptest", "\x66\x0f\x38\x17\xc1", RCP_PTEST, 4, F_CZ, F_NO, F_NO },
	{ "nop", "\x90", RCP_CC, 4, F_NO, F_NO, F_NO },
};

static uint64_t seed = 88172645463325252ull;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

/* Values at the edges more often than chance would have them. */
static uint32_t next_operand(void)
{
	static const uint32_t edge[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
		0x80000000, 0xffffffff };

	return next_random() % 2 ? edge[next_random() % 11] : next_random();
}

struct state {
	uint32_t old_a, old_d, new_a, new_d, count, cz;
};

/* Puts the operand into some place that a recipe may name; a free register each. */
static uint8_t place(struct cpu *cpu, struct recipe *r, const struct state *s, unsigned from,
	unsigned index, bool *imm_used)
{
	uint32_t v;

	switch (from) {
	case F_OLD_A: v = s->old_a; break;
	case F_OLD_D: v = s->old_d; break;
	case F_NEW_A: v = s->new_a; break;
	case F_NEW_D: v = s->new_d; break;
	case F_COUNT: v = s->count; break;
	case F_CZ: v = s->cz; break;
	case F_AH: v = s->old_a >> 8; break;
	default: return RCP_NO;
	}
	switch (next_random() % 4) {
	case 0:
		if (!*imm_used) {
			*imm_used = true;
			r->imm = v;
			return RCP_IMM;
		}
		/* fallthrough */
	case 1:
		if (r->size == 1) { /* AH, CH, DH */
			cpu->gpr[index] = v << 8 | (next_random() & 0xffff00ff);
			return (uint8_t)(IR_AH + index);
		}
		/* fallthrough */
	case 2: cpu->fl_slot[index + 2] = v; return (uint8_t)RCP_SLOT(index + 2);
	default: break;
	}
	if (r->size == 1) {
		cpu->fl_slot[index + 5] = v << 8 | (next_random() & 0xff);
		return (uint8_t)RCP_SLOT_HI(index + 5);
	}
	cpu->gpr[R_EBX + index] = v;
	return (uint8_t)(IR_EBX + index);
}

/* Equal, below, above, and what is not ordered. */
static void set_xmm(struct cpu *cpu)
{
	static const uint32_t v[] = { 0, 0x3f800000, 0xbf800000, 0x7fc00000 };

	for (unsigned i = 0; i < 2; i++)
		for (unsigned j = 0; j < 4; j++)
			cpu->xmm[i].d[j] = v[next_random() % 4];
}

static bool takes_rotate(unsigned op)
{
	return op != RCP_CC && op != RCP_INC && op != RCP_DEC && op != RCP_BT && op != RCP_ROL &&
	       op != RCP_ROR && op != RCP_SAHF;
}

/* A rotate of ESI on top of r; returns the flags that it leaves. */
static uint16_t rotate(struct cpu *cpu, struct recipe *r, uint16_t cc)
{
	bool right = next_random() % 2, narrow = next_random() % 2;
	uint8_t code[4] = { 0x66, 0xc1, right ? 0xce : 0xc6, (uint8_t)(1 + next_random() % 31) };
	struct insn in;

	assert_int_equal(decode_insn(code + !narrow, 3 + narrow, DECODE_CODE32 | DECODE_FLAT, &in),
		DECODE_OK);
	cpu->gpr[R_ESI] = next_operand();
	cpu->cc = cc;
	in.fn(cpu, &in);
	r->over = right ? RCP_ROR : RCP_ROL;
	r->over_size = narrow ? 2 : 4;
	r->over_a = IR_ESI;
	if (next_random() % 2) {
		cpu->fl_slot[1] = cpu->gpr[R_ESI];
		r->over_a = RCP_SLOT(1);
		cpu->gpr[R_ESI] = 0;
	}
	return cpu->cc;
}

static void check_row(struct cpu *cpu, const struct row *row)
{
	struct recipe r = { .op = row->op, .size = row->size };
	uint16_t before = (uint16_t)(next_random() & CC_ARITH), want;
	struct state s;
	struct insn in;
	bool imm_used = false;

	assert_int_equal(
		decode_insn((const uint8_t *)row->code, 5, DECODE_CODE32 | DECODE_FLAT, &in),
		DECODE_OK);
	s.old_a = cpu->gpr[R_EAX] = next_operand();
	s.old_d = cpu->gpr[R_EDX] = next_operand();
	s.count = cpu->gpr[R_ECX] = next_random();
	set_xmm(cpu);
	cpu->cc = before;
	in.fn(cpu, &in);
	want = cpu->cc;
	s.cz = (want & CC_CF ? 1 : 0) | (want & CC_ZF ? 0x100 : 0);
	s.new_a = cpu->gpr[R_EAX];
	s.new_d = cpu->gpr[R_EDX];
	/* INC, DEC: the carry before; BT: the carry it made. Both are the one after. */
	cpu->fl_c = want >> 8 & 1;
	cpu->cc = before;
	if (row->op == RCP_ADD || row->op == RCP_ADC || row->op == RCP_SBB || row->op == RCP_IMUL)
		cpu->cc = (uint16_t)next_random() & CC_ARITH; /* all are defined anew */
	if (takes_rotate(row->op) && next_random() % 2)
		want = rotate(cpu, &r, want);
	cpu->cc = row->op == RCP_COMI ? (uint16_t)next_random() & CC_ARITH : before;
	r.a = place(cpu, &r, &s, row->a, 0, &imm_used);
	r.b = place(cpu, &r, &s, row->b, 1, &imm_used);
	r.c = place(cpu, &r, &s, row->c, 2, &imm_used);
	recipe_eval(cpu, &r);
	if (cpu->cc != want)
		fail_msg("%s a %x d %x count %x, flags %x: %x, not %x", row->name, s.old_a, s.old_d,
			s.count & 31, before, cpu->cc, want);
}

static void test_handlers(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	(void)state;
	vm->cpu->cr4 |= CR4_OSFXSR;
	vm->cpu->isa |= ISA_SSE | ISA_SSE2 | ISA_SSE41;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (unsigned n = 0; n < 20000; n++)
			check_row(vm->cpu, &rows[i]);
	vm_free(vm);
}

/* Each op has a row above. */
static void test_complete(void **state)
{
	(void)state;
	for (unsigned op = RCP_CC; op < RCP_N; op++) {
		unsigned found = op == RCP_ENTRY;

		for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			found |= rows[i].op == op;
		assert_true(found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handlers),
		cmocka_unit_test(test_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
