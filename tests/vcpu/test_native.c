/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions against the host's own processor: register forms that mean the same in
 * 64-bit mode, on random and corner-case operands, comparing registers and all flags that the
 * manual defines (docs/undefined.md has the others; test_alu.c tests those).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "harness.h"

struct regs {
	uint32_t gpr[4]; /* eax ecx edx ebx */
	uint64_t flags;
};

static uint8_t *page;
static sigjmp_buf on_fault;

static void handle_fpe(int sig)
{
	siglongjmp(on_fault, sig);
}

/* Runs code on the host. False: #DE. */
static bool native_run(const uint8_t *code, size_t len, struct regs *r)
{
	static const uint8_t before[] = {
		0x53,		  /* push rbx */
		0x57,		  /* push rdi */
		0xff, 0x77, 0x10, /* push [rdi + 16] */
		0x9d,		  /* popfq */
		0x8b, 0x07,	  /* mov eax, [rdi] */
		0x8b, 0x4f, 0x04, /* ecx */
		0x8b, 0x57, 0x08, /* edx */
		0x8b, 0x5f, 0x0c, /* ebx */
	};
	static const uint8_t after[] = {
		0x5f,		  /* pop rdi */
		0x9c,		  /* pushfq */
		0x8f, 0x47, 0x10, /* pop [rdi + 16] */
		0x89, 0x07, 0x89, 0x4f, 0x04, 0x89, 0x57, 0x08, 0x89, 0x5f,
		0x0c, /* mov [rdi...], ... */
		0x5b, /* pop rbx */
		0xc3, /* ret */
	};
	uint8_t *p = page;
	void (*fn)(struct regs *);

	memcpy(p, before, sizeof(before));
	memcpy(p + sizeof(before), code, len);
	memcpy(p + sizeof(before) + len, after, sizeof(after));
	memcpy(&fn, &p, sizeof(fn));
	if (sigsetjmp(on_fault, 1))
		return false;
	fn(r);
	return true;
}

static uint64_t seed = 0x123456789abcdefull;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static uint32_t next_operand(void)
{
	static const uint32_t corner[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
		0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0x80808080, 0x01010101, 31,
		32, 33, 16, 15, 9, 8 };
	uint32_t r = next_random();

	switch (r % 4) {
	case 0: return corner[next_random() % (sizeof(corner) / sizeof(corner[0]))];
	case 1: return (uint32_t)(int32_t)(int8_t)next_random();
	default: return next_random();
	}
}

/* How an instruction's undefined flags are known, by the count or operands before it. */
enum undef { U_NONE, U_LOGIC, U_SHIFT, U_ROTATE, U_DOUBLE, U_MUL, U_DIV, U_BT, U_SCAN };

#define T_BYTE	 1 /* byte operands: no 66 form */
#define T_0F	 2
#define T_GROUP	 4  /* ModRM.reg is ext */
#define T_RM8	 8  /* r/m is a byte register (MOVZX) */
#define T_NOMOD	 16 /* no ModRM */
#define T_ONLY32 32

struct template
{
	const char *name;
	uint8_t op, ext, imm; /* imm: bytes; 4: operand size */
	uint8_t flags;
	enum undef undef;
};

#define ALU(n, b, u)                                                                        \
	{ n, b, 0, 0, T_BYTE, u }, { n, b + 1, 0, 0, 0, u }, { n, b + 2, 0, 0, T_BYTE, u }, \
		{ n, b + 3, 0, 0, 0, u }, { n, b + 4, 0, 1, T_BYTE | T_NOMOD, u },          \
		{ n, b + 5, 0, 4, T_NOMOD, u }, { n, 0x80, b / 8, 1, T_BYTE | T_GROUP, u }, \
		{ n, 0x81, b / 8, 4, T_GROUP, u },                                          \
	{                                                                                   \
		n, 0x83, b / 8, 1, T_GROUP, u                                               \
	}
#define SHIFT(n, e, u)                                                                 \
	{ n, 0xc0, e, 1, T_BYTE | T_GROUP, u }, { n, 0xc1, e, 1, T_GROUP, u },         \
		{ n, 0xd0, e, 0, T_BYTE | T_GROUP, u }, { n, 0xd1, e, 0, T_GROUP, u }, \
		{ n, 0xd2, e, 0, T_BYTE | T_GROUP, u },                                \
	{                                                                              \
		n, 0xd3, e, 0, T_GROUP, u                                              \
	}
#define BT(n, op, e)                                \
	{ n, op, 0, 0, T_0F, U_BT },                \
	{                                           \
		n, 0xba, e, 1, T_0F | T_GROUP, U_BT \
	}

static const struct template templates[] = {
	ALU("add", 0x00, U_NONE),
	ALU("or", 0x08, U_LOGIC),
	ALU("adc", 0x10, U_NONE),
	ALU("sbb", 0x18, U_NONE),
	ALU("and", 0x20, U_LOGIC),
	ALU("sub", 0x28, U_NONE),
	ALU("xor", 0x30, U_LOGIC),
	ALU("cmp", 0x38, U_NONE),
	SHIFT("rol", 0, U_ROTATE),
	SHIFT("ror", 1, U_ROTATE),
	SHIFT("rcl", 2, U_ROTATE),
	SHIFT("rcr", 3, U_ROTATE),
	SHIFT("shl", 4, U_SHIFT),
	SHIFT("shr", 5, U_SHIFT),
	SHIFT("sar", 7, U_SHIFT),
	BT("bt", 0xa3, 4),
	BT("bts", 0xab, 5),
	BT("btr", 0xb3, 6),
	BT("btc", 0xbb, 7),
	{ "test", 0x84, 0, 0, T_BYTE, U_LOGIC },
	{ "test", 0x85, 0, 0, 0, U_LOGIC },
	{ "test", 0xf6, 0, 1, T_BYTE | T_GROUP, U_LOGIC },
	{ "test", 0xf7, 0, 4, T_GROUP, U_LOGIC },
	{ "not", 0xf6, 2, 0, T_BYTE | T_GROUP, U_NONE },
	{ "not", 0xf7, 2, 0, T_GROUP, U_NONE },
	{ "neg", 0xf6, 3, 0, T_BYTE | T_GROUP, U_NONE },
	{ "neg", 0xf7, 3, 0, T_GROUP, U_NONE },
	{ "inc", 0xfe, 0, 0, T_BYTE | T_GROUP, U_NONE },
	{ "inc", 0xff, 0, 0, T_GROUP, U_NONE },
	{ "dec", 0xfe, 1, 0, T_BYTE | T_GROUP, U_NONE },
	{ "dec", 0xff, 1, 0, T_GROUP, U_NONE },
	{ "mul", 0xf6, 4, 0, T_BYTE | T_GROUP, U_MUL },
	{ "mul", 0xf7, 4, 0, T_GROUP, U_MUL },
	{ "imul", 0xf6, 5, 0, T_BYTE | T_GROUP, U_MUL },
	{ "imul", 0xf7, 5, 0, T_GROUP, U_MUL },
	{ "imul", 0xaf, 0, 0, T_0F, U_MUL },
	{ "imul", 0x69, 0, 4, 0, U_MUL },
	{ "imul", 0x6b, 0, 1, 0, U_MUL },
	{ "div", 0xf6, 6, 0, T_BYTE | T_GROUP, U_DIV },
	{ "div", 0xf7, 6, 0, T_GROUP, U_DIV },
	{ "idiv", 0xf6, 7, 0, T_BYTE | T_GROUP, U_DIV },
	{ "idiv", 0xf7, 7, 0, T_GROUP, U_DIV },
	{ "shld", 0xa4, 0, 1, T_0F, U_DOUBLE },
	{ "shld", 0xa5, 0, 0, T_0F, U_DOUBLE },
	{ "shrd", 0xac, 0, 1, T_0F, U_DOUBLE },
	{ "shrd", 0xad, 0, 0, T_0F, U_DOUBLE },
	{ "bsf", 0xbc, 0, 0, T_0F, U_SCAN },
	{ "bsr", 0xbd, 0, 0, T_0F, U_SCAN },
	{ "xadd", 0xc0, 0, 0, T_0F | T_BYTE, U_NONE },
	{ "xadd", 0xc1, 0, 0, T_0F, U_NONE },
	{ "cmpxchg", 0xb0, 0, 0, T_0F | T_BYTE, U_NONE },
	{ "cmpxchg", 0xb1, 0, 0, T_0F, U_NONE },
	{ "xchg", 0x86, 0, 0, T_BYTE, U_NONE },
	{ "xchg", 0x87, 0, 0, 0, U_NONE },
	{ "mov", 0x88, 0, 0, T_BYTE, U_NONE },
	{ "mov", 0x8b, 0, 0, 0, U_NONE },
	{ "mov", 0xc6, 0, 1, T_BYTE | T_GROUP, U_NONE },
	{ "mov", 0xc7, 0, 4, T_GROUP, U_NONE },
	{ "movzx", 0xb6, 0, 0, T_0F | T_RM8, U_NONE },
	{ "movzx", 0xb7, 0, 0, T_0F, U_NONE },
	{ "movsx", 0xbe, 0, 0, T_0F | T_RM8, U_NONE },
	{ "movsx", 0xbf, 0, 0, T_0F, U_NONE },
	{ "bswap", 0xc9, 0, 0, T_0F | T_NOMOD | T_ONLY32, U_NONE },
	{ "cbw", 0x98, 0, 0, T_NOMOD, U_NONE },
	{ "cwd", 0x99, 0, 0, T_NOMOD, U_NONE },
	{ "lahf", 0x9f, 0, 0, T_NOMOD, U_NONE },
	{ "sahf", 0x9e, 0, 0, T_NOMOD, U_NONE },
	{ "cmc", 0xf5, 0, 0, T_NOMOD, U_NONE },
	{ "clc", 0xf8, 0, 0, T_NOMOD, U_NONE },
	{ "stc", 0xf9, 0, 0, T_NOMOD, U_NONE },
};

struct code {
	uint8_t bytes[16];
	unsigned len, bits, imm, rm;
};

static void put_imm(struct code *c, unsigned n)
{
	uint32_t v = next_operand();

	c->imm = v & 0xff;
	memcpy(c->bytes + c->len, &v, n);
	c->len += n;
}

static void make_code(const struct template *t, bool word, struct code *c)
{
	unsigned nregs = t->flags & T_BYTE ? 8 : 4, reg = next_random() % nregs;
	unsigned rm = next_random() % (t->flags & T_RM8 ? 8 : nregs);

	*c = (struct code){ .bits = t->flags & T_BYTE ? 8 : word ? 16 : 32, .rm = rm };
	if (word)
		c->bytes[c->len++] = 0x66;
	if (t->flags & T_0F)
		c->bytes[c->len++] = 0x0f;
	c->bytes[c->len++] = t->op;
	if (!(t->flags & T_NOMOD))
		c->bytes[c->len++] =
			(uint8_t)(0xc0 | (t->flags & T_GROUP ? t->ext : reg) << 3 | rm);
	put_imm(c, t->imm == 4 ? c->bits / 8 : t->imm);
}

static unsigned shift_count(const struct template *t, const struct code *c, const struct regs *r)
{
	if (t->imm)
		return c->imm & 31;
	return (t->flags & T_0F) || t->op >= 0xd2 ? r->gpr[1] & 31 : 1;
}

/* Flags that the manual leaves undefined for this instruction and these operands; UINT32_MAX: the
 * result too. */
static uint32_t undefined(const struct template *t, const struct code *c, const struct regs *r)
{
	unsigned n;

	switch (t->undef) {
	case U_LOGIC: return FL_AF;
	case U_MUL: return FL_SF | FL_ZF | FL_AF | FL_PF;
	case U_DIV: return FL_ARITH;
	case U_BT: return FL_OF | FL_SF | FL_AF | FL_PF | FL_ZF;
	case U_SCAN: return FL_CF | FL_OF | FL_SF | FL_AF | FL_PF;
	case U_SHIFT:
		n = shift_count(t, c, r);
		if (!n)
			return 0;
		return FL_AF | (n > 1 ? FL_OF : 0) | (n > c->bits ? FL_CF : 0) |
		       (n == c->bits && c->bits < 32 ? FL_CF : 0);
	case U_ROTATE: return shift_count(t, c, r) > 1 ? FL_OF : 0;
	case U_DOUBLE:
		n = shift_count(t, c, r);
		if (n > c->bits)
			return UINT32_MAX;
		return n ? FL_AF | (n > 1 ? FL_OF : 0) : 0;
	default: return 0;
	}
}

static void run_case(struct vm *vm, const struct template *t, const struct code *c)
{
	struct regs in = { .flags = 0x202 | (next_random() & FL_ARITH) }, out;
	struct cpu *cpu = vm->cpu;
	uint32_t undef, got;
	bool ok;
	int r;

	for (int i = 0; i < 4; i++)
		in.gpr[i] = next_operand();
	if (t->undef == U_DIV && next_random() % 2) /* often enough no overflow */
		in.gpr[R_EDX] = next_random() % 3;
	undef = undefined(t, c, &in);
	if (undef == UINT32_MAX)
		return;
	out = in;
	ok = native_run(c->bytes, c->len, &out);
	memcpy(cpu->gpr, in.gpr, sizeof(in.gpr));
	cpu->eip = VM_CODE;
	cpu->gpr[R_ESP] = VM_STACK;
	cpu->halted = false;
	flags_set(cpu, (uint32_t)in.flags & ~FL_IF);
	r = vm_run(vm, 2);
	if (!ok) {
		if (r != EXCP_DE)
			fail_msg("%s: #DE expected, run ended with %d", t->name, r);
		return;
	}
	got = flags_get(cpu);
	if (r != VM_HLT || memcmp(cpu->gpr, out.gpr, sizeof(out.gpr)) ||
		((got ^ out.flags) & FL_ARITH & ~undef))
		fail_msg("%s %02x %02x %02x %02x (%u bits): in %08x %08x %08x %08x flags %03x\n "
			 "host %08x %08x %08x %08x "
			 "flags %03x\n ours %08x %08x %08x %08x flags %03x, undefined %03x, end %d",
			t->name, c->bytes[0], c->bytes[1], c->bytes[2], c->bytes[3], c->bits,
			in.gpr[0], in.gpr[1], in.gpr[2], in.gpr[3], (unsigned)in.flags & FL_ARITH,
			out.gpr[0], out.gpr[1], out.gpr[2], out.gpr[3],
			(unsigned)out.flags & FL_ARITH, cpu->gpr[0], cpu->gpr[1], cpu->gpr[2],
			cpu->gpr[3], got & FL_ARITH, undef, r);
}

static void test_native(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	signal(SIGFPE, handle_fpe); /* after cmocka's */
	for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
		const struct template *t = &templates[i];

		for (int word = 0; word < (t->flags & (T_BYTE | T_ONLY32) ? 1 : 2); word++) {
			for (int k = 0; k < 40; k++) {
				struct code c;
				uint8_t bytes[17];

				make_code(t, word, &c);
				memcpy(bytes, c.bytes, c.len);
				bytes[c.len] = 0xf4;
				vm_code(vm, bytes, c.len + 1);
				for (int n = 0; n < 60; n++)
					run_case(vm, t, &c);
			}
		}
	}
	vm_free(vm);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_native) };

	page = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED) {
		printf("the host forbids writable code pages: skipped\n");
		return 77;
	}
	return cmocka_run_group_tests_name("native", tests, NULL, NULL);
}
