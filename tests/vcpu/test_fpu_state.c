/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FPU's gates and images: #NM, #UD, #MF and FERR#, unmasked exceptions, faults of memory
 * operands, environments in all four layouts, reset and digest. No host x87 needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "fpu_host.h"
#include "sse.h"
#include "fpu_fake_mem.h"

#define ONE f80_make(false, F80_BIAS, F80_J)

static struct cpu *cpu;
static struct fpu *f;

static int run(unsigned op, unsigned modrm)
{
	struct insn in;

	sim_insn(&in, (uint8_t)op, (uint8_t)modrm);
	return sim_catch(fpu_esc, &in);
}

static int run_wait(void)
{
	struct insn in;

	sim_insn(&in, 0x9b, 0xc0);
	return sim_catch(fpu_wait, &in);
}

static int setup(void **state)
{
	cpu = test_cpu;
	f = cpu->fpu;
	cpu->cr0 = CR0_PE | CR0_NE | CR0_MP;
	cpu->eflags = 0;
	cpu->eip = 0x1000;
	cpu->rep_again = cpu->halted = cpu->look = false;
	memset(cpu->seg, 0, sizeof(cpu->seg));
	memset(fake_mem, 0, sizeof(fake_mem));
	fake_writes = 0;
	fpu_reset(cpu);
	assert_int_equal(run(0xdb, 0xe3), -1); /* FNINIT */
	return 0;
}

static void put16(unsigned v)
{
	memcpy(fake_mem + MEM_BASE, &v, 2);
}

static void set_cw(unsigned v)
{
	put16(v);
	assert_int_equal(run(0xd9, 0x2e), -1);
}

static void test_reset(void **state)
{
	fpu_reset(cpu);
	assert_int_equal(f->cw, 0x0040);
	assert_int_equal(fpu_status(f), 0);
	assert_int_equal(fpu_tags(f), 0x5555);
	assert_int_equal(run(0xdb, 0xe3), -1);
	assert_int_equal(f->cw, 0x037f);
	assert_int_equal(fpu_tags(f), 0xffff);
}

/* SDM vol. 3, table 9-3, and FWAIT */
static void test_nm(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned em = i & 1, ts = i >> 1 & 1, mp = i >> 2 & 1;
		struct insn in;

		cpu->cr0 = CR0_PE | CR0_NE | em * CR0_EM | ts * CR0_TS | mp * CR0_MP;
		assert_int_equal(run(0xd9, 0xe8), em || ts ? EXCP_NM : -1);
		assert_int_equal(run(0xdb, 0xe3), em || ts ? EXCP_NM : -1);
		/* #NM comes before #UD */
		assert_int_equal(run(0xd9, 0xd1), em || ts ? EXCP_NM : EXCP_UD);
		assert_int_equal(run_wait(), ts && mp ? EXCP_NM : -1);
		sim_insn(&in, 0xae, 0x06);
		assert_int_equal(sim_catch(fpu_fxsave, &in), em || ts ? EXCP_NM : -1);
		assert_int_equal(sim_catch(fpu_fxrstor, &in), em || ts ? EXCP_NM : -1);
	}
}

static unsigned count_ud(unsigned op, unsigned from, unsigned to)
{
	unsigned n = 0;

	for (unsigned m = from; m <= to; m++) {
		setup(NULL);
		n += run(op, m) == EXCP_UD;
	}
	return n;
}

static void test_ud(void **state)
{
	/* register forms: what the opcode maps leave empty */
	assert_int_equal(count_ud(0xd8, 0xc0, 0xff), 0);
	assert_int_equal(count_ud(0xd9, 0xc0, 0xff), 7 + 5);
	assert_int_equal(count_ud(0xda, 0xc0, 0xff), 31);
	assert_int_equal(count_ud(0xdb, 0xc0, 0xff), 3 + 8);
	assert_int_equal(count_ud(0xdc, 0xc0, 0xff), 0);
	assert_int_equal(count_ud(0xdd, 0xc0, 0xff), 16);
	assert_int_equal(count_ud(0xde, 0xc0, 0xff), 7);
	assert_int_equal(count_ud(0xdf, 0xc0, 0xff), 7 + 8);
	/* memory forms: FISTTP is SSE3's */
	for (unsigned i = 0; i < 2 * 64; i++) {
		unsigned op = 0xd8 + i / 8 % 8, reg = i % 8;
		bool sse3 = i >= 64, hole = (op & 1) && reg == 1 && (op == 0xd9 || !sse3);

		hole |= op == 0xdb && (reg == 4 || reg == 6);
		hole |= op == 0xdd && reg == 5;
		setup(NULL);
		cpu->isa = sse3 ? ISA_SSE3 : 0;
		assert_int_equal(run(op, reg << 3 | 6), hole ? EXCP_UD : -1);
	}
	cpu->isa = ISA_FXSR;
}

/* An unmasked exception: result withheld, #MF at the next waiting instruction, its pointers those
 * of the culprit. */
static void test_unmasked(void **state)
{
	struct f80 st0;

	set_cw(0x037b); /* ZM clear */
	run(0xd9, 0xee);
	run(0xd9, 0xe8);
	st0 = f->reg[f->top];
	cpu->eip = 0x2000;
	assert_int_equal(run(0xd8, 0xf1), -1); /* 1 / 0 */
	assert_memory_equal(&st0.m, &f->reg[f->top].m, 8);
	assert_int_equal(fpu_status(f) & 0xff, SW_ZE | SW_ES);
	assert_true(f->sw & SW_B);
	assert_int_equal(f->fip, 0x2000);

	cpu->eip = 0x2002;
	/* These do not wait. */
	assert_int_equal(run(0xdf, 0xe0), -1);
	assert_int_equal(run(0xdd, 0x3e), -1);
	assert_int_equal(run(0xd9, 0x3e), -1);
	assert_int_equal(run(0xdb, 0xe0), -1);
	assert_int_equal(run(0xdb, 0xe1), -1);
	assert_int_equal(run(0xdb, 0xe4), -1);
	/* These do, and leave everything alone. */
	assert_int_equal(run_wait(), EXCP_MF);
	assert_int_equal(run(0xd8, 0xc1), EXCP_MF);
	assert_int_equal(run(0xd9, 0x2e), EXCP_MF);
	assert_int_equal(run(0xd9, 0xd0), EXCP_MF);
	assert_int_equal(run(0xdd, 0x26), EXCP_MF);
	assert_int_equal(f->fip, 0x2000);
	assert_false(fpu_ferr(cpu));

	assert_int_equal(run(0xdb, 0xe2), -1); /* FNCLEX */
	assert_int_equal(run_wait(), -1);
	assert_int_equal(run(0xd8, 0xc1), -1);
	assert_int_equal(f->fip, 0x2002);
}

/* Unmasking a flag that is set already makes it pending. */
static void test_unmask_later(void **state)
{
	run(0xd9, 0xee);
	run(0xd9, 0xe8);
	run(0xd8, 0xf1);
	assert_int_equal(run_wait(), -1);
	set_cw(0x037b);
	assert_true(f->sw & SW_ES);
	assert_int_equal(run_wait(), EXCP_MF);
	/* FNSTENV masks again. */
	assert_int_equal(run(0xd9, 0x36), -1);
	assert_int_equal(run_wait(), -1);
	assert_int_equal(f->cw, 0x037f);
}

static void test_store_unmasked(void **state)
{
	unsigned top;

	run(0xd9, 0xeb); /* pi: inexact as single */
	set_cw(0x035f);	 /* PM clear: the store happens all the same */
	fake_writes = 0;
	run(0xd9, 0x1e);
	assert_int_equal(fake_writes, 1);
	assert_int_equal(fpu_tags(f), 0xffff);
	assert_true(f->sw & SW_ES);
	run(0xdb, 0xe3);

	/* -0.0 / 0 is a NaN; to a 16-bit integer with IM clear: nothing happens */
	run(0xd9, 0xee);
	run(0xd8, 0xf0);
	set_cw(0x037e);
	run(0xdb, 0xe2);
	fake_writes = 0;
	top = f->top;
	run(0xdf, 0x1e);
	assert_int_equal(fake_writes, 0);
	assert_int_equal(f->top, top);
	assert_int_equal(fpu_status(f) & 0xff, SW_IE | SW_ES);
}

/* CR0.NE clear: FERR# instead of #MF; the processor waits on the instruction for the interrupt. */
static void test_ferr(void **state)
{
	cpu->cr0 &= ~CR0_NE;
	run(0xd9, 0xee);
	run(0xd9, 0xe8);
	set_cw(0x037b);
	assert_false(fpu_ferr(cpu));
	run(0xd8, 0xf1);
	assert_true(fpu_ferr(cpu));
	assert_false(cpu->halted);
	assert_int_equal(run_wait(), -1);
	assert_true(cpu->halted && cpu->rep_again && cpu->look);
	/* The handler writes port F0, which asserts IGNNE#: FNSTENV and waiting ones execute. */
	cpu->halted = cpu->rep_again = false;
	fpu_set_ignne(cpu, true);
	assert_int_equal(run(0xd9, 0xe8), -1);
	assert_false(cpu->halted);
	run(0xdb, 0xe2);
	assert_false(fpu_ferr(cpu));
	assert_false(f->ignne);
}

/* A memory operand that faults leaves all as it was. */
static void test_memory_faults(void **state)
{
	static const uint8_t forms[][2] = { { 0xd9, 0x06 }, { 0xd9, 0x1e }, { 0xdd, 0x1e },
		{ 0xdb, 0x3e }, { 0xdf, 0x36 }, { 0xd8, 0x06 }, { 0xde, 0x3e }, { 0xd9, 0x26 },
		{ 0xd9, 0x36 }, { 0xdd, 0x26 }, { 0xdd, 0x36 }, { 0xd9, 0x2e }, { 0xd8, 0x1e },
		{ 0xdf, 0x26 }, { 0xdd, 0x3e } };

	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct fpu before;
		struct insn in;

		run(0xd9, 0xeb);
		before = *f;
		before.env.flags = 0;
		cpu->eip = 0x5555;
		sim_insn(&in, forms[i][0], forms[i][1]);
		in.disp = FAKE_MEM_LEN - 1;
		assert_int_equal(sim_catch(fpu_esc, &in), EXCP_PF);
		f->env.flags = 0;
		assert_memory_equal(&before, f, sizeof(before));
		setup(NULL);
	}
}

static void fill(void)
{
	f->fip = 0x12345678;
	f->fcs = 0xabcd;
	f->fdp = 0x9abcdef0;
	f->fds = 0x1357;
	f->fop = 0x5a5;
}

static void expect_env(unsigned opsize, const uint8_t *want)
{
	unsigned len = opsize == 4 ? 28 : 14;
	struct insn in;
	struct fpu saved = *f;

	sim_insn(&in, 0xd9, 0x36);
	in.opsize = opsize & 7;
	assert_int_equal(sim_catch(fpu_esc, &in), -1);
	assert_memory_equal(fake_mem + MEM_BASE, want, len);
	/* And back: the same image comes out again. */
	run(0xdb, 0xe3);
	memcpy(fake_mem + MEM_BASE, want, len);
	in.modrm = 0x26;
	assert_int_equal(sim_catch(fpu_esc, &in), -1);
	memset(fake_mem + MEM_BASE, 0, 64);
	in.modrm = 0x36;
	assert_int_equal(sim_catch(fpu_esc, &in), -1);
	assert_memory_equal(fake_mem + MEM_BASE, want, len);
	*f = saved;
}

/* SDM vol. 1, figures 8-9 to 8-12 */
static void test_env_layouts(void **state)
{
	static const uint8_t prot32[28] = { 0x7f, 0x03, 0xff, 0xff, 0x00, 0x38, 0xff, 0xff, 0xff,
		0x3f, 0xff, 0xff, 0x78, 0x56, 0x34, 0x12, 0xcd, 0xab, 0xa5, 0x05, 0xf0, 0xde, 0xbc,
		0x9a, 0x57, 0x13, 0xff, 0xff };
	static const uint8_t prot16[14] = { 0x7f, 0x03, 0x00, 0x38, 0xff, 0x3f, 0x78, 0x56, 0xcd,
		0xab, 0xf0, 0xde, 0x57, 0x13 };
	/* linear: 12345678 + abcd0 = 123f1348; 9abcdef0 + 13570 = 9abe1460 */
	static const uint8_t real32[28] = { 0x7f, 0x03, 0xff, 0xff, 0x00, 0x38, 0xff, 0xff, 0xff,
		0x3f, 0xff, 0xff, 0x48, 0x13, 0xff, 0xff, 0xa5, 0xf5, 0x23, 0x01, 0x60, 0x14, 0xff,
		0xff, 0x00, 0xe0, 0xab, 0x09 };
	static const uint8_t real16[14] = { 0x7f, 0x03, 0x00, 0x38, 0xff, 0x3f, 0x48, 0x13, 0xa5,
		0xf5, 0x60, 0x14, 0x00, 0xe0 };

	run(0xd9, 0xe8);
	fill();
	expect_env(4, prot32);
	expect_env(2, prot16);
	cpu->cr0 &= ~CR0_PE;
	expect_env(4, real32);
	expect_env(2, real16);
	cpu->cr0 |= CR0_PE;
	cpu->eflags |= FL_VM;
	expect_env(4, real32);
	expect_env(2, real16);
}

static void test_save(void **state)
{
	for (unsigned opsize = 2; opsize <= 4; opsize += 2) {
		unsigned len = opsize == 4 ? 28 : 14;
		struct fpu saved;
		struct insn in;

		run(0xd9, 0xeb);
		run(0xd9, 0xe8);
		saved = *f;
		sim_insn(&in, 0xdd, 0x36);
		in.opsize = opsize & 7;
		assert_int_equal(sim_catch(fpu_esc, &in), -1);
		/* ST0 comes first, whatever TOP */
		assert_memory_equal(fake_mem + MEM_BASE + len, "\0\0\0\0\0\0\0\x80\xff\x3f", 10);
		assert_memory_equal(fake_mem + MEM_BASE + len + 10,
			"\x35\xc2\x68\x21\xa2\xda\x0f\xc9\0\x40", 10);
		assert_int_equal(fake_mem[MEM_BASE + len + 80], 0);
		assert_int_equal(fpu_tags(f), 0xffff);
		assert_int_equal(f->fip | f->fop | f->cw << 16, 0x037f0000);
		in.modrm = 0x26;
		assert_int_equal(sim_catch(fpu_esc, &in), -1);
		assert_int_equal(f->top, saved.top);
		assert_int_equal(f->empty, saved.empty);
		assert_memory_equal(f->reg, saved.reg, sizeof(f->reg));
		setup(NULL);
	}
}

static void test_fxsave_faults(void **state)
{
	struct insn in;

	sim_insn(&in, 0xae, 0x06);
	in.disp = MEM_BASE + 8;
	assert_int_equal(sim_catch(fpu_fxsave, &in), EXCP_GP);
	assert_int_equal(sim_catch(fpu_fxrstor, &in), EXCP_GP);
	/* It is the linear address that counts. */
	cpu->seg[SEG_DS].base = 8;
	assert_int_equal(sim_catch(fpu_fxsave, &in), -1);
	cpu->seg[SEG_DS].base = 0;
	/* All 512 bytes must be there. */
	in.disp = FAKE_MEM_LEN - 496;
	assert_int_equal(sim_catch(fpu_fxsave, &in), EXCP_PF);
	/* Pending exceptions do not stop either. */
	run(0xd9, 0xee);
	run(0xd9, 0xe8);
	set_cw(0x037b);
	run(0xd8, 0xf1);
	in.disp = MEM_BASE;
	assert_int_equal(sim_catch(fpu_fxsave, &in), -1);
	assert_int_equal(sim_catch(fpu_fxrstor, &in), -1);
	assert_int_equal(run_wait(), EXCP_MF);
}

/* FDP and FDS by the operand's segment; register forms leave them. */
static void test_pointers(void **state)
{
	struct insn in;

	cpu->seg[SEG_CS].sel = 0x10;
	cpu->seg[SEG_ES].sel = 0x23;
	cpu->eip = 0x777;
	sim_insn(&in, 0xd9, 0x06);
	in.seg = SEG_ES;
	assert_int_equal(sim_catch(fpu_esc, &in), -1);
	assert_int_equal(f->fip, 0x777);
	assert_int_equal(f->fcs, 0x10);
	assert_int_equal(f->fdp, MEM_BASE);
	assert_int_equal(f->fds, 0x23);
	assert_int_equal(f->fop, 0x106);
	cpu->eip = 0x888;
	run(0xde, 0xc1);
	assert_int_equal(f->fop, 0x6c1);
	assert_int_equal(f->fdp, MEM_BASE);
	assert_int_equal(f->fds, 0x23);
	/* Control instructions leave all of them. */
	cpu->eip = 0x999;
	run(0xd9, 0x3e);
	run(0xd9, 0x2e);
	run(0xdf, 0xe0);
	run(0xdb, 0xe2);
	run_wait();
	assert_int_equal(f->fip, 0x888);
}

static void test_digest(void **state)
{
	uint64_t d0 = fpu_digest(cpu), d;

#define DIFFERS(change)               \
	do {                          \
		struct fpu keep = *f; \
		change;               \
		d = fpu_digest(cpu);  \
		*f = keep;            \
		assert_true(d != d0); \
	} while (0)
	DIFFERS(f->reg[3].m ^= 1);
	DIFFERS(f->reg[7].se ^= 0x8000);
	DIFFERS(f->cw ^= 1);
	DIFFERS(f->sw ^= SW_C3);
	DIFFERS(f->top ^= 1);
	DIFFERS(f->empty ^= 0x80);
	DIFFERS(f->fop ^= 1);
	DIFFERS(f->fip ^= 1);
	DIFFERS(f->fdp ^= 1);
	DIFFERS(f->fcs ^= 1);
	DIFFERS(f->fds ^= 1);
	DIFFERS(f->ignne ^= 1);
	assert_true(fpu_digest(cpu) == d0);
}

int main(void)
{
#define TEST(n) cmocka_unit_test_setup(n, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_reset),
		TEST(test_nm),
		TEST(test_ud),
		TEST(test_unmasked),
		TEST(test_unmask_later),
		TEST(test_store_unmasked),
		TEST(test_ferr),
		TEST(test_memory_faults),
		TEST(test_env_layouts),
		TEST(test_save),
		TEST(test_fxsave_faults),
		TEST(test_pointers),
		TEST(test_digest),
	};

	host_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
