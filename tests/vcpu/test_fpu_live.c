/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the interpreter runs (fpu_handler(): on an x86-64 host, most of it on the host's x87)
 * against the portable code: each instruction alone from random states, then random sequences, in
 * which the state moves to the host and back. The same bits everywhere, memory, flags and pointers
 * included.
 *
 * DEJAVM_FPU_N: states for each instruction; DEJAVM_FPU_SEED: the seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fpu_host.h"
#include "fpu_fake_mem.h"

#define MAX_SEQ 24

static unsigned long env_number(const char *name, unsigned long def)
{
	const char *v = getenv(name);

	return v ? strtoul(v, NULL, 0) : def;
}

/* An instruction of the sequence; memory forms at MEM_BASE + disp */
struct step {
	uint8_t op, modrm, disp;
};

/* Runs n instructions; s->vector: of the last one that raised something. */
static void run(struct fpu_state *s, const struct step *st, unsigned n, bool portable)
{
	s->vector = -1;
	sim_load(s);
	for (unsigned i = 0; i < n; i++) {
		struct insn in;
		int v;

		sim_insn(&in, st[i].op, st[i].modrm);
		in.disp += st[i].disp;
		test_cpu->eip = 0x1000 + i;
		v = sim_catch(portable ? fpu_esc : fpu_handler(st[i].op, st[i].modrm), &in);
		if (v >= 0)
			s->vector = v;
	}
	sim_store(s);
	s->fip_rel = test_cpu->fpu->fip;
	s->fdp_rel = test_cpu->fpu->fdp;
}

static void check(const struct fpu_state *s0, const struct step *st, unsigned n)
{
	struct fpu_state a = *s0, b = *s0;

	run(&a, st, n, true);
	run(&b, st, n, false);
	if (!memcmp(&a, &b, sizeof(a)))
		return;
	for (unsigned i = 0; i < n; i++)
		print_error("%02x %02x +%u\n", st[i].op, st[i].modrm, st[i].disp);
	state_print("before", s0);
	state_print("portable", &a);
	state_print("live", &b);
	fail();
}

static void rnd_masked(struct fpu_state *s, unsigned full)
{
	rnd_state(s, full);
	if (rnd() % 8)
		image_set_word(s, 0, image_word(s, 0) | 0x3f);
	/* Operands as they are in life, and the odd ones */
	if (rnd() & 1) {
		struct f80_env e = { .masks = SW_EXCPS, .prec = 64 };
		struct f80 x = rnd_f80();
		uint64_t d = f80_to_m64(&e, x);
		uint32_t f = f80_to_m32(&e, x);

		memcpy(s->mem, &d, 8);
		if (rnd() & 1)
			memcpy(s->mem, &f, 4);
		else if (rnd() & 1)
			memcpy(s->mem, &x.m, 8), memcpy(s->mem + 8, &x.se, 2);
	}
}

static void test_each(void **state)
{
	unsigned long n = env_number("DEJAVM_FPU_N", 400);

	for (unsigned op = 0xd8; op < 0xe0; op++) {
		for (unsigned m = 0; m < 64 + 8; m++) {
			struct step st = { (uint8_t)op,
				(uint8_t)(m < 64 ? 0xc0 + m : (m - 64) << 3 | 6), 0 };

			for (unsigned long i = 0; i < n; i++) {
				struct fpu_state s;

				rnd_masked(&s, rnd() % 4 ? 7 : 4);
				check(&s, &st, 1);
			}
		}
	}
}

/* All instructions, those alike in life's proportions more often */
static struct step rnd_step(void)
{
	struct step st = { (uint8_t)(0xd8 + rnd() % 8), (uint8_t)rnd(),
		(uint8_t)(rnd() % 4 ? 0 : rnd() % 16) };

	if (st.modrm < 0xc0)
		st.modrm = (st.modrm & 0x38) | 6;
	/* Environments: mostly not, they end what is interesting. */
	if (st.modrm < 0xc0 && (st.op == 0xd9 || st.op == 0xdd) && (st.modrm & 0x20) && rnd() % 8) {
		st.op = 0xdf;
		st.modrm = 0xe0;
	}
	if (st.op == 0xdb && st.modrm == 0xe3 && rnd() % 4)
		st.modrm = 0xe2;
	return st;
}

static void test_sequences(void **state)
{
	unsigned long n = env_number("DEJAVM_FPU_N", 400) * 100;

	for (unsigned long i = 0; i < n; i++) {
		struct step st[MAX_SEQ];
		struct fpu_state s;
		unsigned len = 2 + rnd() % (MAX_SEQ - 1);

		for (unsigned j = 0; j < len; j++)
			st[j] = rnd_step();
		rnd_masked(&s, rnd() % 2 ? 4 : 6);
		check(&s, st, len);
	}
}

/* The gate: what forbids the FPU forbids it wherever the state is. */
static void test_gates(void **state)
{
	static const struct step ops[] = { { 0xd8, 0xc1, 0 }, { 0xdc, 0x06, 0 }, { 0xdd, 0x1e, 0 },
		{ 0xdb, 0xf1, 0 }, { 0xda, 0xc9, 0 }, { 0xdd, 0xc1, 0 }, { 0xd9, 0xf8, 0 },
		{ 0xd9, 0x2e, 0 }, { 0xd9, 0x3e, 0 }, { 0xdf, 0xe0, 0 }, { 0xdd, 0x3e, 0 },
		{ 0xdb, 0xe2, 0 }, { 0xd9, 0xfe, 0 }, { 0xd9, 0xfb, 0 }, { 0xd9, 0xf1, 0 } };

	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		for (unsigned bit = 0; bit < 2; bit++) {
			struct fpu_state s, after;
			struct insn in;
			uint64_t digest;

			rnd_state(&s, 8);
			image_set_word(&s, 0, 0x37f);
			sim_load(&s);
			sim_insn(&in, 0xd9, 0xc9);
			assert_int_equal(sim_catch(fpu_handler(0xd9, 0xc9), &in), -1);
			sim_insn(&in, ops[i].op, ops[i].modrm);
			test_cpu->cr0 |= bit ? CR0_EM : CR0_TS;
			assert_int_equal(
				sim_catch(fpu_handler(ops[i].op, ops[i].modrm), &in), EXCP_NM);
			test_cpu->cr0 &= ~(CR0_EM | CR0_TS);
			digest = fpu_digest(test_cpu);
			/* Nothing has changed but for FXCH. */
			sim_load(&s);
			sim_insn(&in, 0xd9, 0xc9);
			assert_int_equal(sim_catch(fpu_esc, &in), -1);
			assert_true(digest == fpu_digest(test_cpu));
			sim_store(&after);
		}
	}
}

/* An operand that faults leaves everything as it was. */
static void test_faults(void **state)
{
	static const struct step ops[] = { { 0xd8, 0x06, 0 }, { 0xdd, 0x06, 0 }, { 0xdd, 0x1e, 0 },
		{ 0xd9, 0x16, 0 }, { 0xdb, 0x3e, 0 }, { 0xdb, 0x2e, 0 }, { 0xdf, 0x3e, 0 },
		{ 0xd9, 0x2e, 0 }, { 0xd9, 0x3e, 0 }, { 0xdd, 0x3e, 0 }, { 0xdf, 0x1e, 0 } };

	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		struct fpu_state s;
		struct insn in;
		uint64_t digest;

		rnd_state(&s, 7);
		image_set_word(&s, 0, 0x37f);
		sim_load(&s);
		sim_insn(&in, 0xd9, 0xe1);
		assert_int_equal(sim_catch(fpu_handler(0xd9, 0xe1), &in), -1);
		digest = fpu_digest(test_cpu);
		assert_int_equal(sim_catch(fpu_handler(0xd9, 0xd0), &in), -1);
		sim_insn(&in, 0xd9, 0xe1);
		sim_load(&s);
		assert_int_equal(sim_catch(fpu_handler(0xd9, 0xe1), &in), -1);
		sim_insn(&in, ops[i].op, ops[i].modrm);
		in.disp = FAKE_MEM_LEN - 1;
		assert_int_equal(sim_catch(fpu_handler(ops[i].op, ops[i].modrm), &in), EXCP_PF);
		assert_true(digest == fpu_digest(test_cpu));
	}
}

/* Two CPUs in one thread: one x87. */
static void test_two(void **state)
{
	struct cpu *one = test_cpu, *two = aligned_alloc(CPU_ALIGN, CPU_ALLOC_LEN);
	struct fpu_state s, a, b;
	struct insn in;

	assert_non_null(two);
	memset(two, 0, CPU_ALLOC_LEN);
	two->fpu = cpu_fpu(two);
	two->cr0 = one->cr0;
	two->eip = one->eip;
	rnd_state(&s, 8);
	image_set_word(&s, 0, 0x37f);
	for (unsigned i = 0; i < 2; i++) {
		test_cpu = i ? two : one;
		sim_load(&s);
	}
	for (unsigned i = 0; i < 8; i++) {
		test_cpu = i & 1 ? two : one;
		sim_insn(&in, 0xd8, 0xc1 + i / 2);
		assert_int_equal(sim_catch(fpu_handler(0xd8, 0xc1), &in), -1);
	}
	a = b = s;
	test_cpu = one;
	sim_store(&a);
	test_cpu = two;
	sim_store(&b);
	test_cpu = one;
	assert_memory_equal(a.image, b.image, sizeof(a.image));
	fpu_done(two->fpu);
	free(two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_gates),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_two),
	};

	rnd_seed(env_number("DEJAVM_FPU_SEED", 1));
	host_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
