/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID leaves, models, MSRs. */
#include "sys_test.h"
#include "cpuid.h"
#include "sse.h"

#include <errno.h>
#include <string.h>

static struct vm *vm;
static struct cpu *cpu;

static int setup(void **state)
{
	vm = vm_new(VM_PROT32);
	cpu = vm->cpu;
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

/* Functions of their own, so that the longjmp spares the callers' variables. */
static __attribute__((noinline)) int try_write(uint32_t index, uint64_t v)
{
	return RAISED(cpu, msr_write(cpu, index, v));
}

static __attribute__((noinline)) int try_read(uint32_t index, uint64_t *ret)
{
	return RAISED(cpu, msr_read(cpu, index, ret));
}

static uint64_t rd(uint32_t index)
{
	uint64_t v = 0xdead;

	assert_int_equal(try_read(index, &v), -1);
	return v;
}

static void wr(uint32_t index, uint64_t v)
{
	assert_int_equal(try_write(index, v), -1);
}

static void wr_faults(uint32_t index, uint64_t v)
{
	assert_int_equal(try_write(index, v), EXCP_GP);
	assert_int_equal(cpu->raise_err, 0);
}

static void rd_faults(uint32_t index)
{
	uint64_t v;

	assert_int_equal(try_read(index, &v), EXCP_GP);
}

/* ---- CPUID ---- */

static void test_leaves(void **state)
{
	uint32_t r[4];
	char text[49] = "";

	cpuid_query(cpu, 0, 0, r);
	assert_int_equal(r[0], 7);
	memcpy(text, &r[1], 4);
	memcpy(text + 4, &r[3], 4);
	memcpy(text + 8, &r[2], 4);
	text[12] = 0;
	assert_string_equal(text, "GenuineIntel");
	cpuid_query(cpu, 1, 0, r);
	assert_int_equal(r[0], 0x683);
	assert_int_equal(r[3], 0x0783fbff); /* SSE2; no PSN, no CLFLUSH */
	assert_int_equal(r[2], 0x80000001u);
	cpuid_query(cpu, 7, 0, r);
	assert_int_equal(r[3], 1u << 29);
	cpuid_query(cpu, 7, 1, r);
	assert_int_equal(r[3], 0);
	cpuid_query(cpu, 0x40000000, 0, r);
	memcpy(text, &r[1], 12);
	text[12] = 0;
	assert_string_equal(text, "DejaVMDejaVM");
	cpuid_query(cpu, 0x80000000, 0, r);
	assert_int_equal(r[0], 0x80000008u);
	cpuid_query(cpu, 0x80000001, 0, r);
	assert_int_equal(r[3], 1u << 20);
	for (unsigned i = 0; i < 3; i++)
		cpuid_query(cpu, 0x80000002 + i, 0, (uint32_t *)(text + i * 16));
	assert_string_equal(text, "dejavm virtual i686");
	cpuid_query(cpu, 0x80000007, 0, r);
	assert_int_equal(r[3], 0x100);
	cpuid_query(cpu, 0x80000008, 0, r);
	assert_int_equal(r[0], 0x2024);
	/* cache leaves agree: 16 KiB, 16 KiB, 512 KiB */
	static const unsigned kib[] = { 16, 16, 512 };
	for (unsigned i = 0; i < 3; i++) {
		cpuid_query(cpu, 4, i, r);
		assert_int_equal(
			((r[1] >> 22) + 1) * ((r[1] & 0xfff) + 1) * (r[2] + 1), kib[i] << 10);
	}
	cpuid_query(cpu, 4, 3, r);
	assert_int_equal(r[0], 0);
	/* beyond the last leaf: as the last one */
	cpuid_query(cpu, 0x12345678, 0, r);
	assert_int_equal(r[3], 1u << 29);
}

static void test_models(void **state)
{
	const char *const *names = cpu_models();

	assert_string_equal(names[0], "dejavm32");
	for (; *names; names++) {
		assert_int_equal(cpu_model_set(cpu, *names, NULL), 0);
		assert_string_equal(cpu->model, *names);
		assert_non_null(cpu_model_words(*names));
		assert_true(cpuid_has(cpu, CPUID_F_FPU));
		/* SSE comes with the rest of its family, and its registers with a way to save them
		 */
		assert_true(cpuid_has(cpu, CPUID_F_MMX) || !cpuid_has(cpu, CPUID_F_SSE));
		assert_true(cpuid_has(cpu, CPUID_F_FXSR) || !cpuid_has(cpu, CPUID_F_SSE));
		assert_true(cpuid_has(cpu, CPUID_F_SSE) || !cpuid_has(cpu, CPUID_F_SSE2));
		for (uint64_t leaf = 0; leaf <= UINT32_MAX; leaf += leaf < 64 ? 1 : 0x0fffff1) {
			uint32_t r[4];
			cpuid_query(cpu, (uint32_t)leaf, 0, r);
		}
	}
	assert_null(cpu_model_find("z80"));
	assert_int_equal(cpu_model_check("z80", NULL), -ENOENT);
	assert_int_equal(cpu_model_check("486,+avx", NULL), -EINVAL);
	assert_int_equal(cpu_model_check("486,sse", NULL), -EINVAL);
	assert_int_equal(cpu_model_check("486,", NULL), -EINVAL);
	assert_int_equal(cpu_model_check("486,+", NULL), -EINVAL);
	assert_int_equal(cpu_model_check("486,-fpu", NULL), -EINVAL);
	assert_int_equal(cpu_model_set(cpu, "pentium3,+sse2,-PSE36,+sse4.1", NULL), 0);
	assert_string_equal(cpu->model, "pentium3");
	assert_true(cpuid_has(cpu, CPUID_F_SSE2) && cpuid_has(cpu, CPUID_F_SSE41));
	assert_false(cpuid_has(cpu, CPUID_F_PSE36) || cpuid_has(cpu, CPUID_F_SSE3));
	assert_int_equal(cpu->isa, ISA_MMX | ISA_SSE | ISA_SSE2 | ISA_SSE41 | ISA_FXSR);
	assert_string_equal(cpu_model_find(NULL), "dejavm32");
	assert_int_equal(cpu_model_set(cpu, "486", NULL), 0);
	assert_false(cpuid_has(cpu, CPUID_F_TSC));
	assert_int_equal(cpuid_signature(cpu) >> 8, 4);
	rd_faults(0x10);
	assert_int_equal(cpu_model_set(cpu, "pentium", NULL), 0);
	assert_true(cpuid_has(cpu, CPUID_F_TSC));
	rd_faults(0x1b);
	rd_faults(0xfe);
	rd_faults(0x200);
	rd_faults(0xc0000080);
}

static void test_apic_bit(void **state)
{
	uint32_t r[4];

	wr(0x1b, 0xfee00000);
	cpuid_query(cpu, 1, 0, r);
	assert_int_equal(r[3] >> 9 & 1, 0);
	assert_false(lapic_enabled(cpu));
	wr(0x1b, 0xfee00800);
	cpuid_query(cpu, 1, 0, r);
	assert_int_equal(r[3] >> 9 & 1, 1);
	assert_true(rd(0x1b) == 0xfee00900); /* BSP is fixed */
}

static void test_limit(void **state)
{
	uint32_t r[4];

	wr(0x1a0, 1 << 22);
	cpuid_query(cpu, 0, 0, r);
	assert_int_equal(r[0], 3);
	wr(0x1a0, 0);
	cpuid_query(cpu, 0, 0, r);
	assert_int_equal(r[0], 7);
}

/* ---- MSRs ---- */

static void test_tsc(void **state)
{
	cpu->shift = 3;
	cpu->icount = 1000;
	cpu->warp_ns = 17;
	assert_true(rd(0x10) == 8017);
	wr(0x10, 5);
	assert_true(cpu_tsc(cpu) == 5);
	cpu->icount += 2;
	assert_true(cpu_tsc(cpu) == 21);
	wr(0x10, UINT64_MAX);
	cpu->icount++;
	assert_true(cpu_tsc(cpu) == 7);
}

static void test_mtrr(void **state)
{
	assert_int_equal(rd(0xfe) & 0xff, CPU_MTRR_VAR);
	assert_int_equal(rd(0xfe) >> 8, 5);
	wr(0x2ff, 0xc06);
	assert_int_equal(rd(0x2ff), 0xc06);
	wr_faults(0x2ff, 0xc02);
	wr_faults(0x2ff, 0x1006);
	wr(0x250, 0x0606060606060606);
	assert_true(rd(0x250) == 0x0606060606060606);
	wr_faults(0x250, 0x0606060606060602);
	for (uint32_t i = 0x268; i <= 0x26f; i++)
		wr(i, 0x0504060100010405 & 0x0f0f0f0f0f0f0f0f);
	rd_faults(0x270);
	rd_faults(0x251);
	rd_faults(0x25a);
	for (uint32_t i = 0; i < CPU_MTRR_VAR; i++) {
		wr(0x200 + 2 * i, 0xe0000001 + ((uint64_t)i << 20));
		wr(0x201 + 2 * i, 0xff0000800);
	}
	assert_true(rd(0x200 + 2 * 3) == 0xe0300001);
	assert_true(rd(0x20f) == 0xff0000800);
	wr_faults(0x200, 0xe0000101);
	wr_faults(0x200, 0xe0000007);
	wr_faults(0x201, UINT64_C(0x1000000800));
	rd_faults(0x200 + 2 * CPU_MTRR_VAR);
}

static void test_pat(void **state)
{
	assert_true(rd(0x277) == 0x0007040600070406);
	wr(0x277, 0x0007010600070106);
	wr_faults(0x277, 2);
	wr_faults(0x277, 3ull << 56);
	wr_faults(0x277, 8);
	assert_true(rd(0x277) == 0x0007010600070106);
}

static void test_others(void **state)
{
	wr(0x174, 0x60);
	wr(0x175, 0xc0001000);
	wr(0x176, 0xc0002000);
	assert_int_equal(rd(0x174), 0x60);
	assert_int_equal(rd(0x175), 0xc0001000);
	assert_int_equal(rd(0x176), 0xc0002000);
	assert_int_equal(rd(0x179), 0); /* no machine check banks */
	rd_faults(0x400);
	wr_faults(0x179, 0);
	wr(0x17a, 0);
	wr_faults(0x17a, 1);
	assert_int_equal(rd(0x10a) & 1, 1); /* RDCL_NO */
	wr_faults(0x10a, 0);
	wr(0x8b, 0);
	assert_true(rd(0x8b) >> 32 == 1);
	wr(0xc0000080, EFER_NXE);
	assert_true(rd(0xc0000080) == EFER_NXE);
	wr_faults(0xc0000080, EFER_NXE | 1);
	wr_faults(0xc0000080, 0x500);
	wr(0xc0000080, 0);
	wr_faults(0x1b, 1);
	wr_faults(0x1b, UINT64_C(0x1000000900));
	rd_faults(0x48);       /* no speculation controls */
	rd_faults(0x186);      /* no performance counters */
	rd_faults(0x6e0);      /* no TSC deadline */
	rd_faults(0x802);      /* no x2APIC */
	rd_faults(0xc0000081); /* no long mode */
	rd_faults(0x40000000);
	rd_faults(UINT32_MAX);
}

/* Every index with odd values: #GP or not, and nothing else. */
static void test_sweep(void **state)
{
	static const uint64_t vals[] = { 0, 1, UINT64_MAX, UINT64_C(0x8000000000000000), 0xfff };
	uint64_t digest = msr_digest(cpu);
	unsigned known = 0;

	for (uint32_t i = 0; i < 0x2000; i++) {
		uint64_t v;

		for (unsigned k = 0; k < sizeof(vals) / sizeof(vals[0]); k++) {
			int e = try_write(i, vals[k]);
			assert_true(e == -1 || e == EXCP_GP);
		}
		known += try_read(i, &v) == -1;
	}
	assert_in_range(known, 40, 60);
	assert_true(digest != msr_digest(cpu));
}

static void test_privilege(void **state)
{
	/* RDMSR; UD2 */
	vm_asm(vm, "\x0f\x32\x0f\x0b");
	cpu->gpr[R_ECX] = 0x10;
	assert_int_equal(vm_run(vm, 100), EXCP_UD);
	vm_asm(vm, "\x0f\x32\x0f\x0b");
	vm_user(vm);
	cpu->gpr[R_ESP] = VM_STACK;
	assert_int_equal(vm_run(vm, 100), EXCP_GP);
	/* RDTSC: CR4.TSD */
	vm_mode_set(vm, VM_PROT32);
	vm_asm(vm, "\x0f\x31\x0f\x0b");
	vm_user(vm);
	assert_int_equal(vm_run(vm, 100), EXCP_UD);
	vm_mode_set(vm, VM_PROT32);
	vm_asm(vm, "\x0f\x31\x0f\x0b");
	vm_user(vm);
	cpu->cr4 |= CR4_TSD;
	assert_int_equal(vm_run(vm, 100), EXCP_GP);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_leaves),
		T(test_models),
		T(test_apic_bit),
		T(test_limit),
		T(test_tsc),
		T(test_mtrr),
		T(test_pat),
		T(test_others),
		T(test_sweep),
		T(test_privilege),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
