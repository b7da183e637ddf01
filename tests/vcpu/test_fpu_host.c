/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FPU against the host's own x87: each of the 512 register forms and 64 memory forms of D8..DF,
 * from random states (all operand classes, precisions, roundings, masks, full and empty registers),
 * the whole state compared afterwards.
 *
 * DEJAVM_FPU_N is the number of states for each instruction, DEJAVM_FPU_SEED the seed.
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

static unsigned long env_number(const char *name, unsigned long def)
{
	const char *v = getenv(name);

	return v ? strtoul(v, NULL, 0) : def;
}

static bool host_is_amd(void)
{
	return __builtin_cpu_is("amd");
}

static bool is_transcendental(unsigned op, unsigned modrm)
{
	return op == 0xd9 && ((modrm >= 0xf0 && modrm <= 0xf3) || modrm == 0xf9 || modrm == 0xfb ||
				     modrm >= 0xfe);
}

/* Not defined by the manual and different between makers: the status bits to leave out
 * (docs/x87.md). */
static unsigned sw_ignored(unsigned op, unsigned modrm)
{
	bool comi = (op == 0xdb || op == 0xdf) && modrm >= 0xe8;
	bool fcmov = (op & ~1u) == 0xda && modrm >= 0xc0 && modrm < 0xe0;
	bool ffree = (op == 0xdd || op == 0xdf) && modrm >= 0xc0 && modrm < 0xc8;

	/* Some set PE for exact results, too; AMD leaves C1 alone in FCOMI, where the SDM says 0,
	 * and in FCMOV, where it is 0 here. */
	if (is_transcendental(op, modrm))
		return SW_C1 | SW_PE | SW_ES | SW_B;
	if (comi || fcmov || (!host_is_amd() && ffree))
		return SW_C1;
	return 0;
}

/* Values as integers whose difference is in units in the last place */
static bool near(struct f80 a, struct f80 b)
{
	__int128 d;

	if ((a.se ^ b.se) & 0x8000)
		return false;
	d = (((__int128)f80_exp(a) << 63) + (int64_t)(a.m & ~F80_J)) -
	    (((__int128)f80_exp(b) << 63) + (int64_t)(b.m & ~F80_J));
	return d >= -1 && d <= 1;
}

/* The word that holds FOP, in the image of 28 bytes that begins with the control word. */
#define IMAGE_FOP 18

/* Does the host set FDP at unmasked exceptions only (SDM vol. 1, 8.1.8)? CPUID.7.0:EBX[6] */
static bool fdp_is_rare(void)
{
	static int is = -1;

	if (is < 0) {
		uint32_t a = 0, b, c = 0, d;

		__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
		is = 0;
		if (a >= 7) {
			a = 7;
			c = 0;
			__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
			is = b >> 6 & 1;
		}
	}
	return is;
}

/*
 * Makes equal in h what may differ from v. s0: what both started from. Some makers set FOP with
 * each instruction, others only at unmasked exceptions (SDM vol. 1, 8.1.9.1); what ours is, is
 * test_fpu_state.c's.
 */
static void forgive(struct fpu_state *h, const struct fpu_state *v, const struct fpu_state *s0,
	unsigned op, unsigned modrm)
{
	unsigned ignored = sw_ignored(op, modrm);
	bool env = modrm == 0x36 && (op == 0xd9 || op == 0xdd);

	/* With PE for a result that is exact goes UE for one that is tiny as well. */
	if (is_transcendental(op, modrm) && f80_exp(image_st(v, 0)) == 0)
		ignored |= SW_UE;
	image_set_word(h, 1, (image_word(h, 1) & ~ignored) | (image_word(v, 1) & ignored));
	if (is_transcendental(op, modrm)) {
		for (unsigned i = 0; i < 2; i++)
			if (near(image_st(h, i), image_st(v, i)))
				image_set_st(h, i, image_st(v, i));
		if (near(image_st(h, 0), image_st(v, 0)) && near(image_st(h, 1), image_st(v, 1)))
			image_set_word(h, 2, image_word(v, 2));
	}
	/* FIP and FDP have been judged as fip_rel and fdp_rel; selectors are not kept everywhere.
	 */
	if (!memcmp(h->image + IMAGE_FOP, s0->image + IMAGE_FOP, 2))
		memcpy(h->image + IMAGE_FOP, v->image + IMAGE_FOP, 2);
	memcpy(h->image + 12, v->image + 12, 6);
	memcpy(h->image + 20, v->image + 20, 8);
	if (env) {
		memcpy(h->mem + 16, v->mem + 16, 2);
		memcpy(h->mem + 24, v->mem + 24, 2);
	}
	if (modrm >= 0xc0 || env || (fdp_is_rare() && !(image_word(h, 1) & SW_ES)))
		h->fdp_rel = v->fdp_rel;
	if (env)
		h->fip_rel = v->fip_rel;
}

/* A memory operand that is more than noise */
static void rnd_operand(struct fpu_state *s, unsigned op, unsigned reg)
{
	struct f80_env e = { .masks = SW_EXCPS, .prec = 64, .rc = rnd() & 3 };
	struct f80 x = rnd_f80();

	if (rnd() % 3 == 0)
		return;
	if (op == 0xd8 || (op == 0xd9 && reg == 0)) {
		uint32_t v = f80_to_m32(&e, x) ^ (rnd() % 4 == 0);

		memcpy(s->mem, &v, 4);
	} else if (op == 0xdc || (op == 0xdd && reg == 0)) {
		uint64_t v = f80_to_m64(&e, x) ^ (rnd() % 4 == 0);

		memcpy(s->mem, &v, 8);
	} else if (op == 0xdb) {
		memcpy(s->mem, &x.m, 8);
		memcpy(s->mem + 8, &x.se, 2);
	} else if (op == 0xdf && reg == 4) {
		for (unsigned i = 0; i < 9; i++)
			s->mem[i] = (uint8_t)(rnd() % 10 << 4 | rnd() % 10);
	}
}

static void rnd_case(struct fpu_state *s, unsigned op, unsigned modrm)
{
	unsigned tags, top;

	rnd_state(s, rnd() % 8 == 0 ? 4 : rnd() % 2 ? 7 : 8);
	tags = image_word(s, 2);
	top = image_word(s, 1) >> 11 & 7;
	/* Room to push, and something there, more often than chance has it */
	if (rnd() % 4) {
		tags &= ~(3u << 2 * top);
		if (rnd() % 4)
			tags |= 3u << 2 * ((top + 7) & 7);
		image_set_word(s, 2, tags);
	}
	if (modrm < 0xc0)
		rnd_operand(s, op, modrm >> 3 & 7);
}

/*
 * FSCALE, FPREM and FPREM1 that leave a denormal as it is, underflow unmasked: AMD's processors
 * raise UE, as we do, Intel's do not. h: what the host made of s.
 */
static bool makers_differ(
	const struct fpu_state *s, const struct fpu_state *h, unsigned op, unsigned modrm)
{
	struct f80 x = image_st(s, 0), y = image_st(h, 0);

	return op == 0xd9 && (modrm == 0xfd || modrm == 0xf8 || modrm == 0xf5) &&
	       !(image_word(s, 0) & SW_UE) && f80_exp(x) == 0 && x.se == y.se && x.m == y.m;
}

/* One state through both. False: they differ, or one of them raised #UD and the other did not. */
static bool same(const struct fpu_state *s0, unsigned op, unsigned modrm, bool verbose)
{
	struct fpu_state h = *s0, v = *s0;
	bool ok = host_run(&h, (uint8_t)op, (uint8_t)modrm);

	sim_run(&v, (uint8_t)op, (uint8_t)modrm);
	if (!ok || v.vector >= 0) {
		if (verbose)
			print_error("host %s, here vector %d\n", ok ? "runs it" : "#UD", v.vector);
		return !ok && v.vector == EXCP_UD;
	}
	if (makers_differ(s0, &h, op, modrm))
		return true;
	forgive(&h, &v, s0, op, modrm);
	if (!memcmp(&h, &v, sizeof(h)))
		return true;
	if (verbose) {
		state_print("before", s0);
		state_print("host", &h);
		state_print("here", &v);
	}
	return false;
}

static void check_insn(unsigned op, unsigned modrm, unsigned long n)
{
	struct fpu_state s;

	for (unsigned long i = 0; i < n; i++) {
		bool ok = false;

		rnd_case(&s, op, modrm);
		/*
		 * Hosts may lose FIP, FDP and FOP when they switch tasks between the instruction
		 * and FNSAVE. What really differs differs each time.
		 */
		for (unsigned try = 0; try < 4 && !ok; try++)
			ok = same(&s, op, modrm, false);
		if (!ok) {
			print_error("%02x %02x, state %lu:\n", op, modrm, i);
			same(&s, op, modrm, true);
			fail();
		}
	}
}

static void test_all(void **state)
{
	unsigned long n = env_number("DEJAVM_FPU_N", 400);

	host_catch();
	rnd_seed(env_number("DEJAVM_FPU_SEED", 1));
	for (unsigned op = 0xd8; op <= 0xdf; op++) {
		for (unsigned reg = 0; reg < 8; reg++)
			check_insn(op, reg << 3 | 6, 4 * n);
		for (unsigned modrm = 0xc0; modrm <= 0xff; modrm++)
			check_insn(op, modrm, n);
	}
}

/* All precisions and roundings of the operations that take them, one after the other. */
static void test_rounding(void **state)
{
	static const uint8_t ops[][2] = { { 0xd8, 0xc1 }, { 0xd8, 0xc9 }, { 0xd8, 0xe1 },
		{ 0xd8, 0xf1 }, { 0xd9, 0xfa }, { 0xd9, 0xfc }, { 0xd9, 0xfd }, { 0xd9, 0xe8 },
		{ 0xd9, 0xe9 }, { 0xd9, 0xea }, { 0xd9, 0xeb }, { 0xd9, 0xec }, { 0xd9, 0xed },
		{ 0xd9, 0x1e }, { 0xdd, 0x1e }, { 0xdf, 0x1e }, { 0xdb, 0x1e }, { 0xdf, 0x3e },
		{ 0xdf, 0x36 }, { 0xd9, 0xf8 }, { 0xd9, 0xf5 } };
	unsigned long n = env_number("DEJAVM_FPU_N", 400) / 4 + 1;

	host_catch();
	rnd_seed(2);
	for (unsigned i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		for (unsigned pcrc = 0; pcrc < 16; pcrc++)
			for (unsigned long k = 0; k < n; k++) {
				struct fpu_state s;

				rnd_state(&s, 8);
				if (ops[i][1] >= 0xe8 && ops[i][1] < 0xef)
					image_set_word(&s, 2, 0xffff);
				image_set_word(&s, 0, 0x40 | pcrc << 8 | (k & 1 ? 0x3f : 0x0f));
				image_set_word(&s, 1, image_word(&s, 1) & ~0xffu);
				if (same(&s, ops[i][0], ops[i][1], false) ||
					same(&s, ops[i][0], ops[i][1], false))
					continue;
				print_error("%02x %02x\n", ops[i][0], ops[i][1]);
				same(&s, ops[i][0], ops[i][1], true);
				fail();
			}
}

/*
 * Operands at the borders of the formats' exponents with significands at the borders of rounding,
 * by all roundings and precisions: overflow, underflow, and tiny results that round up to normal
 * ones.
 */
static void test_borders(void **state)
{
	static const uint16_t exps[] = { 0, 1, 2, 0x3f69, 0x3f6a, 0x3f80, 0x3f81, 0x3bcc, 0x3bcd,
		0x3c00, 0x3c01, 0x407e, 0x407f, 0x43fe, 0x43ff, 0x7ffd, 0x7ffe, 0x400d, 0x400e,
		0x401d, 0x401e, 0x403d, 0x403e, 0x3ffe, 0x3ffd };
	static const uint64_t sigs[] = { F80_J, UINT64_MAX, UINT64_MAX << 40, UINT64_MAX << 39,
		(UINT64_MAX << 39) - 1, UINT64_MAX << 11, UINT64_MAX << 10, (UINT64_MAX << 10) - 1,
		UINT64_MAX >> 1, F80_J + 1, F80_J | UINT64_C(1) << 39, F80_J | UINT64_C(1) << 10,
		UINT64_C(1) << 62, 1 };
	static const uint8_t ops[][2] = { { 0xd8, 0xc1 }, { 0xd8, 0xc9 }, { 0xd8, 0xf1 },
		{ 0xd9, 0xfd }, { 0xd9, 0x1e }, { 0xdd, 0x1e }, { 0xdf, 0x1e }, { 0xdb, 0x1e },
		{ 0xdf, 0x3e }, { 0xd9, 0xfc }, { 0xd9, 0xfa } };
	static const uint8_t masks[] = { 0x3f, 0x0f, 0x37, 0x2f };
	struct fpu_state s;

	host_catch();
	rnd_seed(4);
	rnd_state(&s, 8);
	image_set_word(&s, 1, 0);
	image_set_word(&s, 2, 0);
	for (unsigned i = 0; i < sizeof(exps) / sizeof(exps[0]) * 2; i++)
		for (unsigned k = 0; k < sizeof(sigs) / sizeof(sigs[0]); k++)
			for (unsigned o = 0; o < sizeof(ops) / sizeof(ops[0]); o++) {
				unsigned pcrc = (unsigned)rnd() & 15;
				/* 1 leaves the operand to the rounding; 0 for FADD and FSCALE */
				bool zero = ops[o][1] == 0xc1 || ops[o][1] == 0xfd;

				image_set_st(&s, 0, f80_make(i & 1, exps[i / 2], sigs[k]));
				image_set_st(&s, 1,
					zero ? f80_zero(false) : f80_make(false, F80_BIAS, F80_J));
				for (unsigned m = 0; m < 4; m++, pcrc = (pcrc + 4) & 15) {
					image_set_word(&s, 0, 0x40 | pcrc << 8 | masks[m]);
					if (same(&s, ops[o][0], ops[o][1], false) ||
						same(&s, ops[o][0], ops[o][1], false))
						continue;
					print_error("%02x %02x\n", ops[o][0], ops[o][1]);
					same(&s, ops[o][0], ops[o][1], true);
					fail();
				}
			}
}

static void run_fxsave(const struct fpu_state *s, uint8_t *img)
{
	uint8_t regs[108];

	memcpy(regs, s->image, 108);
	__asm__ volatile("frstor %1\n\tfxsave %0\n\tfninit"
			 : "+m"(*(uint8_t(*)[512])img)
			 : "m"(regs));
}

static void run_fxrstor(uint8_t *img, struct fpu_state *s)
{
	__asm__ volatile("fxrstor %1\n\tfnsave %0"
			 : "=m"(*(uint8_t(*)[108])s->image)
			 : "m"(*(uint8_t(*)[512])img));
}

static void sim_fx(uint8_t *img, void (*fn)(struct cpu *, const struct insn *))
{
	struct insn in;

	memcpy(fake_mem + MEM_BASE, img, 512);
	sim_insn(&in, 0xae, 0x06);
	assert_int_equal(sim_catch(fn, &in), -1);
	memcpy(img, fake_mem + MEM_BASE, 512);
}

static void test_fxsave(void **state)
{
	static uint8_t h[512] __attribute__((aligned(16))), v[512] __attribute__((aligned(16)));
	static uint8_t host_mxcsr[8];

	rnd_seed(3);
	for (unsigned i = 0; i < 2000; i++) {
		struct fpu_state s, t;
		bool pending;

		rnd_state(&s, 6);
		/* AMD's FXSAVE and FXRSTOR care for the pointers only while an exception is
		 * pending. */
		pending = i & 1;
		if (pending) {
			image_set_word(&s, 0, image_word(&s, 0) & ~SW_ZE);
			image_set_word(&s, 1, image_word(&s, 1) | SW_ZE | SW_ES | SW_B);
		}
		memset(h, 0xaa, 512);
		run_fxsave(&s, h);
		memcpy(host_mxcsr, h + 24, 8);
		sim_load(&s);
		memset(v, 0xaa, 512);
		sim_fx(v, fpu_fxsave);
		/* No SSE here: MXCSR is zero, XMM are not written. */
		for (unsigned k = 24; k < 32; k++)
			assert_int_equal(v[k], 0);
		for (unsigned k = 160; k < 512; k++)
			assert_int_equal(v[k], 0xaa);
		memset(h + 24, 0, 8);
		memcpy(h + 12, v + 12, 2); /* selectors */
		memcpy(h + 20, v + 20, 2);
		if (!pending)
			memcpy(h + 6, v + 6, 18);
		assert_memory_equal(h, v, 160);

		/* Back, with any contents */
		for (unsigned k = 0; k < 160; k++)
			if (rnd() % 4 == 0)
				v[k] = (uint8_t)rnd();
		memcpy(h, v, 160);
		memset(h + 160, 0, 352);
		memcpy(h + 24, host_mxcsr, 8);
		run_fxrstor(h, &t);
		sim_fx(v, fpu_fxrstor);
		sim_store(&s);
		memcpy(t.image + 16, s.image + 16, 2);
		memcpy(t.image + 24, s.image + 24, 4);
		if (!(image_word(&s, 1) & SW_ES))
			memcpy(t.image + 12, s.image + 12, 16);
		if (memcmp(t.image, s.image, 108)) {
			s.vector = t.vector = -1;
			state_print("host", &t);
			state_print("here", &s);
			fail();
		}
	}
}

static int setup(void **state)
{
	host_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_rounding),
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_fxsave),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
