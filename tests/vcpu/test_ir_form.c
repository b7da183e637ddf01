/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The front end and the optimiser: what they make of given bytes; and the rules of a block's form,
 * with blocks that break them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "cpu.h"
#include "decode.h"
#include "ir.h"

#define MODE (DECODE_CODE32 | DECODE_FLAT)

/* ---- what the front end makes of given bytes ---- */

static struct ir_block blk;
static const struct ir_mode flat = { .decode = MODE, .stack32 = true, .cs_limit = UINT32_MAX };
static const struct ir_mode real = { .paras = true, .cpl0 = true, .cs_limit = 0xffff };

static void translate_in(const struct ir_mode *m, const char *bytes, size_t len)
{
	assert_true(front_translate(
		&blk, (const uint8_t *)bytes, (unsigned)len, 0x1000, m, IR_MAX_INSNS));
	assert_null(ir_check(&blk));
}
#define TRANSLATE(s)	  translate_in(&flat, s, sizeof(s) - 1)
#define TRANSLATE_REAL(s) translate_in(&real, s, sizeof(s) - 1)

static void assert_text(unsigned i, const char *want)
{
	char text[128];

	assert_true(i < blk.n_ops);
	ir_op_text(&blk.op[i], text, sizeof(text));
	assert_string_equal(text, want);
}

static void test_text(void **state)
{
	char small[8];

	(void)state;
	TRANSLATE("\x03\x44\xb3\xfc" /* add eax, [ebx+esi*4-4] */
		  "\xc3");
	assert_int_equal(blk.n_insns, 2);
	assert_text(0, "insn 0x1000");
	assert_text(1, "host.32 read [ebx+esi*4-0x4]");
	assert_text(2, "add.32 eax, eax, [h]");
	assert_text(4, "host.32 read [esp]");
	assert_text(5, "mov.32 t0, [h]");
	assert_text(6, "lea.32 esp, [esp+0x4]");
	assert_text(7, "jmpr t0 (ret)");
	ir_optimise(&blk);
	assert_text(2, "add.32 eax, eax, [h] ; exit CPAZSO");
	TRANSLATE("\x80\xfc\x05\x72\x10\x66\xd3\xe8\xcf"); /* cmp ah, 5; jb; shr ax, cl; iret */
	ir_optimise(&blk);
	assert_text(1, "cmp.8 ah, 0x5 ; use C exit CPAZSO");
	assert_text(3, "jcc.b 0x1015");
	assert_text(5, "shr.16 ax, ax, cl ; exit CPAZSO");
	assert_text(7, "callj");
	assert_int_equal(ir_op_text(&blk.op[7], small, 3), 5);
	assert_string_equal(small, "ca");
}

static void test_ends(void **state)
{
	static const uint8_t nops[70] = { [0 ... 69] = 0x90 };
	struct ir_mode big = flat;

	(void)state;
	/* Nothing to translate: half an instruction, none within the code segment. */
	assert_false(front_translate(&blk, (const uint8_t *)"\xe8\x00", 2, 0, &flat, 64));
	assert_false(front_translate(&blk, nops, 70, 0x10000, &real, 64));
	assert_false(front_translate(&blk, (const uint8_t *)"\xb8\x00\x00", 3, 0xfffe, &real, 64));
	assert_false(front_translate(&blk, nops, 70, 0, &flat, 0));
	assert_true(front_translate(&blk, nops, 70, 0xfff0, &real, 64));
	assert_int_equal(blk.n_insns, 16);

	/* As many as may be, then on. */
	translate_in(&flat, (const char *)nops, sizeof(nops));
	assert_int_equal(blk.n_insns, IR_MAX_INSNS);
	assert_text(blk.n_ops - 1, "jmp 0x1040 (jump)");
	/* Up to half an instruction. */
	TRANSLATE("\x90\x90\xb8\x00");
	assert_int_equal(blk.len, 2);
	assert_text(2, "jmp 0x1002 (jump)");
	/* Far transfers and invalid opcodes are the handler's. */
	TRANSLATE("\x90\xcb\x90");
	assert_int_equal(blk.len, 2);
	assert_text(2, "callj");
	TRANSLATE("\x0f\x0b\x90");
	assert_int_equal(blk.len, 2);
	assert_text(1, "callj");
	/* Behind other instructions of the system the block goes on. */
	TRANSLATE("\x8e\xd8\x9d\xf4"); /* mov ds, eax; popf; hlt */
	assert_text(1, "calli quiet, registers 0");
	assert_text(3, "calli sets flags");
	assert_text(6, "jmp 0x1004 (jump)");
	/* FS, which may be big. */
	TRANSLATE("\x64\x8b\x00");
	assert_text(1, "host.32 read fs:[eax] checked");
	big.big = 1u << SEG_FS;
	translate_in(&big, "\x64\x8b\x00", 3);
	assert_text(1, "host.32 read fs:[eax]");
}

static void test_16(void **state)
{
	(void)state;
	TRANSLATE_REAL("\x8b\x42\xfe"	  /* mov ax, [bp+si-2] */
		       "\x26\xa1\x34\xff" /* mov ax, es:[0xff34] */
		       "\x67\x8b\x03"	  /* mov ax, [ebx] */
		       "\x52"		  /* push dx */
		       "\x8e\xd8"	  /* mov ds, ax */
		       "\xc3");
	assert_text(1, "host.16 read ss:[ebp+esi-0x2] 16 checked");
	assert_text(2, "mov.16 ax, [h]");
	assert_text(4, "host.16 read es:[0xff34] checked");
	assert_text(7, "host.16 read ds:[ebx] checked");
	assert_text(10, "host.16 write ss:[esp-0x2] 16 checked");
	assert_text(12, "lea.16 sp, [esp-0x2]");
	assert_text(14, "setseg.16 seg 3, ax");
	assert_text(16, "host.16 read ss:[esp] 16 checked");
	assert_text(17, "mov.16 t0w, [h]");
	assert_text(18, "lea.16 sp, [esp+0x2]");
	assert_text(19, "jmpr t0 (ret)");
	/* The stack segment is the handler's. */
	TRANSLATE_REAL("\x8e\xd0\xe2\xfe\x66\xc3");
	assert_text(1, "calli quiet, registers 0");
	assert_text(3, "lea.16 cx, [ecx-0x1]");
	assert_text(4, "jnzr.16 0x1002");
	assert_text(7, "mov.32 t0, [h]");
	assert_text(8, "limit.32 t0, 0xffff");
	/* Jumps are cut to 16 bits; beyond the limit they are the handler's. */
	TRANSLATE_REAL("\xe9\xfd\xdf");
	assert_text(1, "jmp 0xf000 (jump)");
	TRANSLATE_REAL("\xe9\xfd\xef");
	assert_text(1, "jmp 0 (jump)");
	TRANSLATE_REAL("\x66\xe9\xfa\xef\x00\x00");
	assert_text(1, "callj");
}

static void test_edges(void **state)
{
	uint8_t jumps[128];

	(void)state;
	for (unsigned i = 0; i < 128; i += 2) {
		jumps[i] = i % 4 ? 0x74 : 0xe0;
		jumps[i + 1] = 0x20;
	}
	translate_in(&flat, (const char *)jumps, sizeof(jumps));
	assert_true(blk.n_insns > 10);
}

static void test_liveness(void **state)
{
	(void)state;
	/* cmp; test; jz: the first one's flags are nobody's. */
	TRANSLATE("\x39\xd8\x85\xc9\x74\x05");
	ir_optimise(&blk);
	assert_null(ir_check(&blk));
	assert_text(0, "insn 0x1000");
	assert_text(1, "insn 0x1002");
	assert_text(2, "test.32 ecx, ecx ; use Z exit CPAZSO");
	assert_false(blk.entry_flags);
	/* add; mov eax, [ebx]; sub: the load may leave. */
	TRANSLATE("\x01\xd1\x8b\x03\x29\xd1");
	ir_optimise(&blk);
	assert_text(1, "add.32 ecx, ecx, edx ; exit CPAZSO");
	/* add; inc; adc: only the carry goes through. */
	TRANSLATE("\x01\xd1\x40\x11\xd1");
	ir_optimise(&blk);
	assert_text(1, "add.32 ecx, ecx, edx ; use C");
	assert_text(3, "inc.32 eax, eax");
	assert_int_equal(blk.op[3].after_use, IRF_C);
	/* A count in CL redefines nothing for sure. */
	TRANSLATE("\xd3\xe0\x01\xc0");
	ir_optimise(&blk);
	assert_false(blk.entry_flags);
	TRANSLATE("\xd3\xe0\x90");
	ir_optimise(&blk);
	assert_true(blk.entry_flags);
}

/* ---- blocks that are wrong ---- */

static void expect_bad(const char *what)
{
	const char *said = ir_check(&blk);

	assert_non_null(said);
	assert_string_equal(said, what);
}

static void test_check(void **state)
{
	(void)state;
	TRANSLATE("\x01\x03\xc3"); /* add [ebx], eax; ret */
	blk.op[1].dst = 0;
	expect_bad("write through a pointer for reads");
	TRANSLATE("\x01\x03\xc3");
	blk.op[1].size = 2;
	expect_bad("no pointer of that size");
	TRANSLATE("\x01\x03\xc3");
	blk.op[2].a = IR_T0;
	blk.op[2].dst = IR_T0;
	expect_bad("temporary without a value");
	TRANSLATE("\x01\x03\xc3");
	blk.op[2].a = IR_EAX;
	expect_bad("dst is not a");
	TRANSLATE("\x01\x03\xc3");
	blk.op[2].b = IR_MEM;
	expect_bad("memory twice");
	TRANSLATE("\x01\x03\xc3");
	blk.op[5] = blk.op[6];
	blk.op[6] = blk.op[4];
	expect_bad("may leave after a change");
	TRANSLATE("\x01\x03\xc3");
	blk.op[2].insn = 1;
	expect_bad("index of the instruction");
	TRANSLATE("\x01\x03\xc3");
	blk.n_ops--;
	expect_bad("end");
	TRANSLATE("\xc1\xe0\x05\xc3");
	blk.op[1].imm = 32;
	expect_bad("count");
	TRANSLATE_REAL("\x8e\xd8\xc3"); /* mov ds, ax; ret */
	blk.op[1].imm = SEG_SS;
	expect_bad("segment that is loaded");
	TRANSLATE_REAL("\x8b\x07\xc3"); /* mov ax, [bx]; ret */
	blk.op[1].cond = IR_AT_16;
	expect_bad("offset of 16 bits");
	TRANSLATE_REAL("\x26\x8b\x07\xc3");
	blk.op[1].cond = 0;
	expect_bad("segment");
	TRANSLATE("\x88\xe0\xc3");
	blk.op[1].size = 4;
	expect_bad("a");
	TRANSLATE("\x88\xe0\xc3");
	blk.op[0].op = IR_N_OPS;
	expect_bad("opcode");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_16),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_liveness),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests_name("ir_form", tests, NULL, NULL);
}
