/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions: what test_native.c cannot compare. Flags that docs/undefined.md defines,
 * decimal adjustment, memory and stack forms, address forms, conditional instructions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "harness.h"

#define DATA 0x400000u

static struct vm *vm;
static struct cpu *cpu;

static int setup32(void **state)
{
	(void)state;
	vm = vm_new(VM_PROT32);
	cpu = vm->cpu;
	return 0;
}

static int setup16(void **state)
{
	(void)state;
	vm = vm_new(VM_REAL16);
	cpu = vm->cpu;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_free(vm);
	return 0;
}

static uint32_t *data(uint32_t off)
{
	return (uint32_t *)(vm->ram + DATA + off);
}

/* Runs code and a HLT; the arithmetic flags after it, or UINT32_MAX and the vector in *data(0xff0).
 */
static uint32_t run(const char *code, size_t len, uint32_t flags)
{
	char buf[64];
	int r;

	memcpy(buf, code, len);
	buf[len] = '\xf4';
	vm_code(vm, buf, len + 1);
	flags_set(cpu, flags);
	r = vm_run(vm, 1000);
	if (r != VM_HLT) {
		*data(0xff0) = (uint32_t)r;
		return UINT32_MAX;
	}
	return flags_get(cpu) & FL_ARITH;
}
#define run_asm(code, flags) run(code, sizeof(code) - 1, flags)

/* ---- docs/undefined.md ---- */

static void test_undefined_shifts(void **state)
{
	(void)state;
	/* OF by the formula of the 1-bit form; AF 0; CF 0 once everything is shifted out */
	cpu->gpr[R_EAX] = 0x40000001;
	assert_int_equal(run_asm("\xc1\xe0\x02", FL_AF),
		FL_CF | FL_OF); /* shl eax, 2: 4, CF 1, OF = 0 ^ 1 */
	assert_int_equal(cpu->gpr[R_EAX], 4);
	cpu->gpr[R_EAX] = 0x80000000;
	assert_int_equal(run_asm("\xc1\xe8\x02", FL_AF | FL_OF), FL_PF); /* shr eax, 2 */
	cpu->gpr[R_EAX] = 0xff;
	assert_int_equal(run_asm("\xc0\xe0\x09", 0), FL_ZF | FL_PF); /* shl al, 9 */
	cpu->gpr[R_EAX] = 0xff;
	assert_int_equal(run_asm("\xc0\xe0\x08", 0), FL_ZF | FL_PF | FL_CF | FL_OF); /* shl al, 8 */
	cpu->gpr[R_EAX] = 0x80;
	assert_int_equal(run_asm("\xc0\xf8\x1f", 0), FL_CF | FL_SF | FL_PF); /* sar al, 31 */
	/* A count of 0 changes nothing, 32 is 0. */
	assert_int_equal(run_asm("\xc1\xe0\x20", FL_ARITH), FL_ARITH);
	/* Rotates leave SF, ZF, AF, PF. ROL by 8 of 8 bits: the value stays, CF is its bit 0. */
	cpu->gpr[R_EAX] = 0x01;
	assert_int_equal(run_asm("\xc0\xc0\x08", FL_SF | FL_AF), FL_SF | FL_AF | FL_CF | FL_OF);
	assert_int_equal(cpu->gpr[R_EAX], 1);
	/* RCL by 9 of 8 bits and the carry: nothing happens. */
	assert_int_equal(run_asm("\xc0\xd0\x09", FL_CF | FL_OF), FL_CF | FL_OF);
	/* SHLD of 16 bits by more than 16: the operands go round. */
	cpu->gpr[R_EAX] = 0x1234;
	cpu->gpr[R_EBX] = 0xabcd;
	run_asm("\x66\x0f\xa4\xd8\x14", 0); /* shld ax, bx, 20: (1234 abcd 1234) << 20 */
	assert_int_equal(cpu->gpr[R_EAX], 0xbcd1);
	cpu->gpr[R_EAX] = 0x1234;
	run_asm("\x66\x0f\xac\xd8\x14", 0); /* shrd: (1234 abcd 1234) >> 20 */
	assert_int_equal(cpu->gpr[R_EAX], 0x4abc);
}

static void test_undefined_others(void **state)
{
	(void)state;
	/* MUL: SF, ZF, PF of the low half, AF 0 */
	cpu->gpr[R_EAX] = 0x10000;
	cpu->gpr[R_EBX] = 0x10000;
	assert_int_equal(run_asm("\xf7\xe3", FL_AF | FL_SF), FL_CF | FL_OF | FL_ZF | FL_PF);
	/* DIV changes no flag. */
	cpu->gpr[R_EAX] = 7;
	cpu->gpr[R_EDX] = 0;
	cpu->gpr[R_EBX] = 2;
	assert_int_equal(run_asm("\xf7\xf3", FL_ARITH), FL_ARITH);
	/* BSF, BSR: flags of the source as by TEST; of 0 the destination stays */
	cpu->gpr[R_EBX] = 0x80000000;
	assert_int_equal(run_asm("\x0f\xbc\xc3", FL_ARITH), FL_SF | FL_PF);
	assert_int_equal(cpu->gpr[R_EAX], 31);
	cpu->gpr[R_EBX] = 0;
	assert_int_equal(run_asm("\x0f\xbd\xc3", 0), FL_ZF | FL_PF);
	assert_int_equal(cpu->gpr[R_EAX], 31);
	/* BT changes CF only. */
	cpu->gpr[R_EBX] = 2;
	assert_int_equal(run_asm("\x0f\xba\xe3\x01", FL_ARITH & ~FL_CF), FL_ARITH);
	/* Logic: AF 0 */
	assert_int_equal(run_asm("\x09\xdb", FL_AF) & FL_AF, 0);
	/* BSWAP of 16 bits: 0 */
	cpu->gpr[R_EAX] = 0x12345678;
	run_asm("\x66\x0f\xc8", 0);
	assert_int_equal(cpu->gpr[R_EAX], 0x12340000);
}

/* ---- decimal adjustment, by the manual's pseudo-code written down again ---- */

static void daa_model(uint8_t *al, uint32_t *fl, bool sub)
{
	uint8_t old = *al;
	bool cf = *fl & FL_CF, out = false;

	if ((old & 15) > 9 || (*fl & FL_AF)) {
		int v = sub ? old - 6 : old + 6;

		out = cf || v < 0 || v > 255;
		*al = (uint8_t)v;
		*fl |= FL_AF;
	} else {
		*fl &= ~FL_AF;
	}
	if (old > 0x99 || cf) {
		*al = (uint8_t)(sub ? *al - 0x60 : *al + 0x60);
		out = true;
	}
	*fl = (*fl & ~FL_CF) | (out ? FL_CF : 0);
}

static void test_decimal(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 256 * 4; i++) {
		for (int sub = 0; sub < 2; sub++) {
			uint32_t fl = (i & 256 ? FL_CF : 0) | (i & 512 ? FL_AF : 0), want = fl, got;
			uint8_t al = (uint8_t)i;

			daa_model(&al, &want, sub);
			cpu->gpr[R_EAX] = 0xabcd0000 | (i & 0xff);
			got = sub ? run_asm("\x2f", fl) : run_asm("\x27", fl);
			assert_int_equal(cpu->gpr[R_EAX], 0xabcd0000 | al);
			assert_int_equal(got & (FL_CF | FL_AF), want);
			assert_int_equal(!!(got & FL_ZF), al == 0);
			assert_int_equal(!!(got & FL_SF), al >> 7);
			assert_int_equal(!!(got & FL_PF), !__builtin_parity(al));
		}
	}
	cpu->gpr[R_EAX] = 0x010f;
	assert_int_equal(run_asm("\x37", 0) & (FL_CF | FL_AF), FL_CF | FL_AF); /* aaa */
	assert_int_equal(cpu->gpr[R_EAX], 0x0205);
	cpu->gpr[R_EAX] = 0x01fa;
	run_asm("\x37", 0);
	assert_int_equal(
		cpu->gpr[R_EAX], 0x0300); /* the carry of AL + 6 goes to AH, as since the 286 */
	cpu->gpr[R_EAX] = 0x0205;
	assert_int_equal(run_asm("\x3f", FL_AF) & (FL_CF | FL_AF), FL_CF | FL_AF); /* aas */
	assert_int_equal(cpu->gpr[R_EAX], 0x000f);
	cpu->gpr[R_EAX] = 63;
	run_asm("\xd4\x0a", 0); /* aam */
	assert_int_equal(cpu->gpr[R_EAX], 0x0603);
	run_asm("\xd5\x0a", 0); /* aad */
	assert_int_equal(cpu->gpr[R_EAX], 63);
	assert_int_equal(run_asm("\xd4\x00", 0), UINT32_MAX);
	assert_int_equal(*data(0xff0), EXCP_DE);
}

/* ---- memory forms ---- */

static void test_memory_forms(void **state)
{
	(void)state;
	cpu->gpr[R_EBX] = DATA;
	*data(0) = 0xfffffff0;
	cpu->gpr[R_EAX] = 0x20;
	assert_int_equal(run_asm("\x01\x03", 0), FL_CF); /* add [ebx], eax */
	assert_int_equal(*data(0), 0x10);
	assert_int_equal(run_asm("\x80\x2b\x11", 0),
		FL_CF | FL_AF | FL_SF | FL_PF); /* sub byte [ebx], 11h */
	assert_int_equal(*data(0), 0xff);
	assert_int_equal(run_asm("\x66\xf7\x13", FL_CF), FL_CF); /* not word [ebx] */
	assert_int_equal(*data(0), 0xff00);
	*data(0) = 5;
	cpu->gpr[R_ECX] = 7;
	run_asm("\xf0\x0f\xc1\x0b", 0); /* lock xadd [ebx], ecx */
	assert_int_equal(*data(0), 12);
	assert_int_equal(cpu->gpr[R_ECX], 5);
	cpu->gpr[R_EAX] = 12;
	assert_int_equal(run_asm("\xf0\x0f\xb1\x0b", 0), FL_ZF | FL_PF); /* lock cmpxchg */
	assert_int_equal(*data(0), 5);
	assert_int_equal(run_asm("\x0f\xb1\x0b", 0) & FL_ZF, 0);
	assert_int_equal(cpu->gpr[R_EAX], 5);
	/* cmpxchg8b changes ZF only */
	*data(0) = 1;
	*data(4) = 2;
	cpu->gpr[R_EAX] = 1;
	cpu->gpr[R_EDX] = 2;
	cpu->gpr[R_ECX] = 4;
	cpu->gpr[R_ESI] = DATA;
	cpu->gpr[R_EBX] = 3;
	assert_int_equal(run_asm("\x0f\xc7\x0e", FL_ARITH & ~FL_ZF), FL_ARITH);
	assert_int_equal(*data(0), 3);
	assert_int_equal(*data(4), 4);
	assert_int_equal(run_asm("\x0f\xc7\x0e", FL_ARITH), FL_ARITH & ~FL_ZF);
	assert_int_equal(cpu->gpr[R_EAX], 3);
	assert_int_equal(cpu->gpr[R_EDX], 4);
}

static void test_bit_strings(void **state)
{
	(void)state;
	memset(vm->ram + DATA, 0, 64);
	cpu->gpr[R_EBX] = DATA + 32;
	cpu->gpr[R_ECX] = (uint32_t)-3;
	assert_int_equal(run_asm("\x0f\xab\x0b", 0), 0); /* bts [ebx], ecx */
	assert_int_equal(*data(28), 1u << 29);
	assert_int_equal(run_asm("\x0f\xa3\x0b", 0), FL_CF); /* bt */
	cpu->gpr[R_ECX] = 100;
	run_asm("\x0f\xbb\x0b", 0); /* btc */
	assert_int_equal(*data(32 + 12), 1u << 4);
	cpu->gpr[R_ECX] = 0xffff8000; /* 16 bits: -32768 bits = -4096 bytes */
	cpu->gpr[R_EBX] = DATA + 4096;
	*data(0) = 1;
	assert_int_equal(run_asm("\x66\x0f\xb3\x0b", 0), FL_CF); /* btr [ebx], cx */
	assert_int_equal(*data(0), 0);
	/* An immediate stays within the operand. */
	*data(4096) = 0;
	run_asm("\x0f\xba\x2b\x21", 0); /* bts dword [ebx], 33 */
	assert_int_equal(*data(4096), 2);
}

static void test_conditions(void **state)
{
	(void)state;
	for (unsigned fl = 0; fl < 32; fl++) {
		uint32_t f = (fl & 1 ? FL_CF : 0) | (fl & 2 ? FL_ZF : 0) | (fl & 4 ? FL_SF : 0) |
			     (fl & 8 ? FL_OF : 0) | (fl & 16 ? FL_PF : 0);
		bool c = f & FL_CF, z = f & FL_ZF, s = f & FL_SF, o = f & FL_OF, p = f & FL_PF;
		const bool want[8] = { o, c, z, c || z, s, p, s != o, z || s != o };

		for (unsigned cc = 0; cc < 16; cc++) {
			bool w = want[cc / 2] != (cc & 1);
			char set[] = "\x0f\x90\xc0", cmov[] = "\x0f\x40\xcb",
			     jcc[] = "\x70\x01\x42";
			char jnear[] = "\x0f\x80\x01\x00\x00\x00\x42";

			set[1] = (char)(0x90 + cc);
			cmov[1] = (char)(0x40 + cc);
			jcc[0] = (char)(0x70 + cc);
			jnear[1] = (char)(0x80 + cc);
			cpu->gpr[R_EAX] = 0x55;
			assert_int_equal(run(set, 3, f), f);
			assert_int_equal(cpu->gpr[R_EAX], w);
			cpu->gpr[R_ECX] = 1;
			cpu->gpr[R_EBX] = 2;
			run(cmov, 3, f);
			assert_int_equal(cpu->gpr[R_ECX], w ? 2 : 1);
			cpu->gpr[R_EDX] = 0;
			run(jcc, 3, f);
			assert_int_equal(cpu->gpr[R_EDX], !w);
			cpu->gpr[R_EDX] = 0;
			run(jnear, 7, f);
			assert_int_equal(cpu->gpr[R_EDX], !w);
			flags_set_arith(cpu, f);
			assert_int_equal(flags_cond(cpu, cc), w);
		}
	}
	/* CMOV reads its memory operand even if the condition is false. */
	vm_paging(vm, false);
	*vm_pte(vm, DATA) = 0;
	cpu->gpr[R_EBX] = DATA;
	assert_int_equal(run_asm("\x0f\x44\x03", 0), UINT32_MAX);
	assert_int_equal(*data(0xff0), EXCP_PF);
}

static void test_stack(void **state)
{
	uint32_t *top = (uint32_t *)(vm->ram + VM_STACK);

	(void)state;
	cpu->gpr[R_ESP] = VM_STACK;
	run_asm("\x54", 0); /* push esp: the old value */
	assert_int_equal(top[-1], VM_STACK);
	run_asm("\x5c", 0); /* pop esp: the value popped */
	assert_int_equal(cpu->gpr[R_ESP], VM_STACK);
	run_asm("\x6a\xff\x66\x6a\x7f", 0); /* push -1; push word 7fh */
	assert_int_equal(top[-1], 0xffffffff);
	assert_int_equal(cpu->gpr[R_ESP], VM_STACK - 6);
	/* pop dword [esp + 4]: with the new ESP */
	cpu->gpr[R_ESP] = VM_STACK - 8;
	top[-2] = 0x1234;
	run_asm("\x8f\x44\x24\x04", 0);
	assert_int_equal(top[0], 0x1234);
	assert_int_equal(cpu->gpr[R_ESP], VM_STACK - 4);
	/* pusha, popa */
	cpu->gpr[R_ESP] = VM_STACK;
	for (unsigned i = 0; i < 8; i++)
		if (i != R_ESP)
			cpu->gpr[i] = 0x100 + i;
	run_asm("\x60", 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(top[-1 - (int)i], i == R_ESP ? VM_STACK : 0x100 + i);
	top[-5] = 0xdead; /* ESP's place is skipped */
	memset(cpu->gpr, 0, 16);
	run_asm("\x61", 0);
	assert_int_equal(cpu->gpr[R_ESP], VM_STACK);
	assert_int_equal(cpu->gpr[R_EBX], 0x103);
	/* enter 16, 2; leave */
	cpu->gpr[R_EBP] = VM_STACK + 0x100;
	*(uint32_t *)(vm->ram + VM_STACK + 0xfc) = 0xaaaa;
	run_asm("\xc8\x10\x00\x02", 0);
	assert_int_equal(top[-1], VM_STACK + 0x100);
	assert_int_equal(top[-2], 0xaaaa);
	assert_int_equal(top[-3], VM_STACK - 4);
	assert_int_equal(cpu->gpr[R_EBP], VM_STACK - 4);
	assert_int_equal(cpu->gpr[R_ESP], VM_STACK - 12 - 16);
	run_asm("\xc9", 0);
	assert_int_equal(cpu->gpr[R_ESP], VM_STACK);
	assert_int_equal(cpu->gpr[R_EBP], VM_STACK + 0x100);
}

static void test_calls(void **state)
{
	(void)state;
	cpu->gpr[R_ESP] = VM_STACK;
	/* call l; hlt... ; l: inc eax; ret 8 */
	cpu->gpr[R_EAX] = 0;
	run_asm("\xe8\x03\x00\x00\x00\xf4\x90\x90\x40\xc2\x08\x00", 0);
	assert_int_equal(cpu->gpr[R_EAX], 1);
	assert_int_equal(cpu->gpr[R_ESP], VM_STACK + 8);
	/* loop, loope, loopne, jecxz */
	cpu->gpr[R_ECX] = 5;
	cpu->gpr[R_EAX] = 0;
	assert_int_equal(run_asm("\x40\xe2\xfd", FL_CF) & FL_CF, FL_CF); /* inc eax; loop */
	assert_int_equal(cpu->gpr[R_EAX], 5);
	cpu->gpr[R_ECX] = 0x10001; /* loop with CX: 67h */
	cpu->gpr[R_EAX] = 0;
	run_asm("\x40\x67\xe2\xfc", 0);
	assert_int_equal(cpu->gpr[R_EAX], 1);
	assert_int_equal(cpu->gpr[R_ECX], 0x10000);
	cpu->gpr[R_ECX] = 0;
	cpu->gpr[R_EAX] = 0;
	run_asm("\xe3\x01\x40", 0);
	assert_int_equal(cpu->gpr[R_EAX], 0);
	run_asm("\x67\xe3\x01\x40", 0);
	assert_int_equal(cpu->gpr[R_EAX], 0);
	cpu->gpr[R_ECX] = 9;
	run_asm("\xe1\xfe", 0); /* loope to itself, ZF clear: ends */
	assert_int_equal(cpu->gpr[R_ECX], 8);
	run_asm("\xe0\xfe", 0); /* loopne: goes on */
	assert_int_equal(cpu->gpr[R_ECX], 0);
}

static void test_misc(void **state)
{
	(void)state;
	vm->ram[DATA + 0x81] = 0x77;
	cpu->gpr[R_EBX] = DATA;
	cpu->gpr[R_EAX] = 0x81;
	run_asm("\xd7", 0); /* xlat */
	assert_int_equal(cpu->gpr[R_EAX], 0x77);
	/* bound: signed, both ends inclusive */
	*data(0) = (uint32_t)-5;
	*data(4) = 10;
	for (int i = -7; i < 13; i++) {
		cpu->gpr[R_EAX] = (uint32_t)i;
		cpu->gpr[R_ESP] = VM_STACK;
		if (i < -5 || i > 10) {
			assert_int_equal(run_asm("\x62\x03", 0), UINT32_MAX);
			assert_int_equal(*data(0xff0), EXCP_BR);
			assert_int_equal(vm->frame[0], VM_CODE);
		} else {
			assert_int_equal(run_asm("\x62\x03", 0), 0);
		}
	}
	/* lea with scale, index, displacement; 16-bit forms */
	cpu->gpr[R_EBX] = 0x1000;
	cpu->gpr[R_ESI] = 0x10;
	run_asm("\x8d\x84\xb3\x78\x56\x34\x12", 0); /* lea eax, [ebx + esi * 4 + 12345678h] */
	assert_int_equal(cpu->gpr[R_EAX], 0x12345678 + 0x1040);
	cpu->gpr[R_EBX] = 0xfffff;
	run_asm("\x67\x8d\x40\x05", 0); /* lea eax, [bx + si + 5] */
	assert_int_equal(cpu->gpr[R_EAX], 0x14);
	/* int3's neighbours: undefined opcodes */
	assert_int_equal(run_asm("\x0f\x0b", 0), UINT32_MAX);
	assert_int_equal(*data(0xff0), EXCP_UD);
	assert_int_equal(run_asm("\xf0\x90", 0), UINT32_MAX);
	assert_int_equal(*data(0xff0), EXCP_UD);
	/* salc, lahf, sahf */
	run_asm("\xd6", FL_CF);
	assert_int_equal(cpu->gpr[R_EAX] & 0xff, 0xff);
	assert_int_equal(run_asm("\x9f", FL_ARITH), FL_ARITH);
	assert_int_equal(cpu->gpr[R_EAX] >> 8 & 0xff, 0xd7);
	cpu->gpr[R_EAX] = 0xff00;
	assert_int_equal(run_asm("\x9e", 0), FL_ARITH & ~FL_OF);
}

/* DIV's faults leave the registers alone, and the return address is the instruction's. */
static void test_divide_fault(void **state)
{
	(void)state;
	cpu->gpr[R_EAX] = 0;
	cpu->gpr[R_EDX] = 0x80000000;
	cpu->gpr[R_EBX] = 0xffffffff;
	cpu->gpr[R_ESP] = VM_STACK;
	assert_int_equal(run_asm("\xf7\xfb", FL_CF), UINT32_MAX); /* idiv ebx: INT64_MIN / -1 */
	assert_int_equal(*data(0xff0), EXCP_DE);
	assert_int_equal(vm->frame[0], VM_CODE);
	assert_int_equal(vm->frame[2] & FL_ARITH, FL_CF);
	assert_int_equal(cpu->gpr[R_EDX], 0x80000000);
}

/* 16-bit code: addressing, wrapping, 32-bit operands by prefix, stack of 16 bits. */
static void test_real_mode(void **state)
{
	uint8_t *ds = vm->ram + cpu->seg[SEG_DS].base, *ss = vm->ram + cpu->seg[SEG_SS].base;

	(void)state;
	ds[0x0012] = 0x34;
	ds[0x0013] = 0x12;
	cpu->gpr[R_EBX] = 0xffff0010;
	cpu->gpr[R_ESI] = 0xabcd0002;
	run_asm("\x8b\x00", 0); /* mov ax, [bx + si] */
	assert_int_equal(cpu->gpr[R_EAX] & 0xffff, 0x1234);
	cpu->gpr[R_ESI] = 0xfff2;
	cpu->gpr[R_EBX] = 0x20;
	run_asm("\x66\x8b\x00", 0); /* mov eax, [bx + si]: wraps to 12h */
	assert_int_equal(cpu->gpr[R_EAX] & 0xffff, 0x1234);
	/* bp: stack segment */
	ss[0x100] = 0x5a;
	cpu->gpr[R_EBP] = 0x100;
	run_asm("\x8a\x46\x00", 0);
	assert_int_equal(cpu->gpr[R_EAX] & 0xff, 0x5a);
	/* push with SP 0 wraps to FFFE */
	cpu->gpr[R_ESP] = 0x77770000;
	cpu->gpr[R_EAX] = 0xbeef;
	run_asm("\x50", 0);
	assert_int_equal(cpu->gpr[R_ESP], 0x7777fffe);
	assert_int_equal(ss[0xfffe] | ss[0xffff] << 8, 0xbeef);
	assert_int_equal(
		run_asm("\x66\x58", 0), UINT32_MAX); /* pop eax at FFFE: crosses the limit */
	assert_int_equal(*data(0xff0), EXCP_SS);
	assert_int_equal(cpu->gpr[R_EAX], 0xbeef);
}

int main(void)
{
#define T32(f) cmocka_unit_test_setup_teardown(f, setup32, teardown)
	const struct CMUnitTest tests[] = { T32(test_undefined_shifts), T32(test_undefined_others),
		T32(test_decimal), T32(test_memory_forms), T32(test_bit_strings),
		T32(test_conditions), T32(test_stack), T32(test_calls), T32(test_misc),
		T32(test_divide_fault),
		cmocka_unit_test_setup_teardown(test_real_mode, setup16, teardown) };

	return cmocka_run_group_tests_name("alu", tests, NULL, NULL);
}
