/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Returns that are guessed (back_ret.c): right ones, and all kinds of wrong ones, with the
 * interpreter as the judge. returns.asm has the guest's side.
 *
 *	test_returns IMAGE
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "harness.h"
#include "tcache.h"
#include "tcg.h"

enum program {
	DEEP,
	LONG_JUMP,
	ELSEWHERE,
	UNPAIRED,
	SELF_MODIFYING,
	REUSE,
	REMAPPED,
	OTHER_KEY,
	WHERE_AM_I
};

#define FARM	0x400000u
#define PAGE_AT 0x500000u
#define FRAME_A 0x600000u
#define FRAME_B 0x700000u

static uint8_t image[4096];
static size_t image_len;

static const char *const engines[] = { "tcg,thresh=0,window=off", "tcg,thresh=0,window=always",
	"tcg,thresh=0,budget=7", "tcg,thresh=2", "tcg,thresh=0,one-insn-per-tb=on",
	"tcg,thresh=0,return-stack=off" };
#define N_ENGINES (sizeof(engines) / sizeof(engines[0]))

static struct vm *vm_with(const char *engine)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm_set_engine(vm, engine);
	return vm;
}

/* What has run before stays translated. */
static void run(struct vm *vm, enum program what, uint32_t ecx)
{
	if (memcmp(vm->ram + VM_CODE, image, 6) != 0)
		vm_code(vm, image, image_len);
	vm->cpu->eip = VM_CODE;
	vm->cpu->halted = false;
	vm->cpu->gpr[R_EAX] = what;
	vm->cpu->gpr[R_ECX] = ecx;
	assert_int_equal(vm_run(vm, 100000000), VM_HLT);
}

static void assert_same(const struct vm *a, const struct vm *b)
{
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(a->cpu->gpr[i], b->cpu->gpr[i]);
	assert_int_equal(a->cpu->eip, b->cpu->eip);
	assert_int_equal(a->cpu->icount, b->cpu->icount);
	assert_memory_equal(a->ram, b->ram, VM_RAM_LEN);
}

/* prepare: may be NULL. */
static void with_each(enum program what, uint32_t ecx, void (*prepare)(struct vm *vm, int arg),
	int arg, uint32_t want_ebx)
{
	for (size_t i = 0; i < N_ENGINES; i++) {
		struct vm *a = vm_with(NULL), *b = vm_with(engines[i]);

		if (prepare) {
			prepare(a, arg);
			prepare(b, arg);
		}
		run(a, what, ecx);
		run(b, what, ecx);
		assert_same(a, b);
		assert_int_equal(a->cpu->gpr[R_EBX], want_ebx);
		vm_free(a);
		vm_free(b);
	}
}

/* Of n returns, only a few are guessed wrong; without a stack of them, none is guessed. */
static void test_right(void **state)
{
	struct vm *vm = vm_with("tcg,thresh=0");

	run(vm, DEEP, 5000);
	vm->cpu->ret_missed = 0;
	run(vm, DEEP, 5000);
	assert_true(vm->cpu->ret_missed < 10);
	vm_set_engine(vm, "tcg,thresh=0");
	run(vm, ELSEWHERE, 1000);
	assert_true(vm->cpu->ret_missed >= 900);
	vm->cpu->ret_missed = 0;
	run(vm, WHERE_AM_I, 1000);
	vm->cpu->ret_missed = 0;
	run(vm, WHERE_AM_I, 1000);
	assert_true(vm->cpu->ret_missed < 10);
	vm_set_engine(vm, "tcg,thresh=0,return-stack=off");
	vm->cpu->ret_missed = 0;
	run(vm, ELSEWHERE, 1000);
	assert_int_equal(vm->cpu->ret_missed, 0);
	vm_free(vm);
	(void)state;
}

/* More calls than the stack has room for; and so many again that do not return. */
static void test_deep(void **state)
{
	with_each(DEEP, 30000, NULL, 0, 29999);
	with_each(LONG_JUMP, 20000, NULL, 0, 0);
	(void)state;
}

static void test_wrong(void **state)
{
	with_each(ELSEWHERE, 1000, NULL, 0, 0);
	with_each(UNPAIRED, 1000, NULL, 0, 2000);
	with_each(WHERE_AM_I, 100, NULL, 0, 100);
	(void)state;
}

static void test_self_modifying(void **state)
{
	with_each(SELF_MODIFYING, 200, NULL, 0, 200 * 201 / 2);
	(void)state;
}

/* Blocks "inc esi; jmp next", then RET. */
static void put_farm(struct vm *vm, int n)
{
	uint8_t *p = vm->ram + FARM;

	for (int i = 0; i < n; i++, p += 16)
		memcpy(p, "\x46\xe9\x0a\0\0", 6);
	*p = 0xc3;
}

/* The pads that the stack has addresses of are not there any more. */
static void test_reuse(void **state)
{
	static const char *const small[] = { "tcg,thresh=0,tb-size=1",
		"tcg,thresh=0,tb-size=1,window=always" };

	for (unsigned i = 0; i < 2; i++) {
		struct vm *a = vm_with(NULL), *b = vm_with(small[i]);

		put_farm(a, 15000);
		put_farm(b, 15000);
		run(a, REUSE, 5);
		run(b, REUSE, 5);
		assert_same(a, b);
		assert_int_equal(b->cpu->gpr[R_EBX], 10);
		assert_true(b->cpu->tcache->stats.regions_emptied > TCACHE_REGIONS);
		vm_free(a);
		vm_free(b);
	}
	(void)state;
}

#define BY_CR3	  1
#define GLOBALS	  2
#define STRADDLES 4 /* it returns to the next page */

/* call edi; then what differs between two frames: add ebx, imm32; then ret */
static void put_frames(struct vm *vm, int arg)
{
	static const uint8_t call[] = { 0xff, 0xd7 }, rest[] = { 0x81, 0xc3, 1, 0, 0, 0, 0xc3 };
	uint32_t at = arg & STRADDLES ? PAGE_AT - 2 : PAGE_AT;
	uint32_t off = (at + 2) & 0xfff, *pte;

	vm_paging(vm, false);
	memcpy(vm->ram + (arg & STRADDLES ? at : FRAME_A), call, 2);
	memcpy(vm->ram + FRAME_B, call, 2);
	memcpy(vm->ram + FRAME_A + off, rest, sizeof(rest));
	memcpy(vm->ram + FRAME_B + off, rest, sizeof(rest));
	vm->ram[FRAME_B + off + 3] = 1; /* 0x101 */
	pte = vm_pte(vm, PAGE_AT);
	*pte = (*pte & 0xfff) | FRAME_A;
	if (arg & GLOBALS) {
		for (uint32_t lin = 0; lin < VM_RAM_LEN; lin += 4096)
			*vm_pte(vm, lin) |= 0x100;
		vm->cpu->cr4 |= CR4_PGE;
	}
	if (arg & BY_CR3)
		*vm_pte(vm, PAGE_AT) &= ~0x100u;
	mmu_mode_changed(vm->cpu);
	mmu_flush(vm->cpu, true);
	vm->cpu->gpr[R_ESI] = arg & BY_CR3;
	vm->cpu->gpr[R_EBP] = at;
}

static void test_remapped(void **state)
{
	for (int arg = 0; arg < 8; arg++)
		with_each(REMAPPED, 200, put_frames, arg, 100 * (1 + 0x101));
	(void)state;
}

static void test_other_key(void **state)
{
	for (size_t i = 0; i < N_ENGINES; i++) {
		struct vm *vm = vm_with(engines[i]);

		for (unsigned n = 0; n < 6; n++) {
			vm_mode_set(vm, VM_PROT32);
			vm->cpu->gpr[R_EBP] = n & 1;
			vm->cpu->gpr[R_EDX] = 0xffff;
			run(vm, OTHER_KEY, 0);
			assert_int_equal(vm->cpu->gpr[R_EDX], n & 1 ? 0x10000 : 0);
		}
		vm_free(vm);
	}
	(void)state;
}

static bool read_image(const char *path)
{
	FILE *f = path ? fopen(path, "rb") : NULL;

	if (!f)
		return false;
	image_len = fread(image, 1, sizeof(image), f);
	fclose(f);
	return image_len > 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_self_modifying),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_remapped),
		cmocka_unit_test(test_other_key),
	};

	if (argc < 2 || !read_image(argv[1])) {
		fprintf(stderr, "usage: test_returns IMAGE: cannot read %s\n",
			argc > 1 ? argv[1] : "it");
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
