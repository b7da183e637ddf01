/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MMX and SSE against the host's own processor: every row of sse.def, in its register and memory
 * form, from random states (operands of all classes, rounding, flush-to-zero, denormals-are-zeros,
 * exception masks), the whole state compared afterwards. The same bytes run on both.
 *
 * DEJAVM_SSE_N is the number of states for each form, DEJAVM_SSE_SEED the seed.
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
#include <ucontext.h>
#include <cmocka.h>

#include "cpuid.h"
#include "decode.h"
#include "fpu.h"
#include "harness.h"
#include "sse.h"

#define MEM_LEN 64
#define MEM_AT	16 /* of the operand in mem[] */

/* What FXSAVE stores, as far as it is used here. */
struct image {
	uint16_t cw, sw;
	uint8_t tags, pad;
	uint16_t fop;
	uint32_t fip[2], fdp[2];
	uint32_t mxcsr, mask;
	struct {
		uint64_t m;
		uint16_t se, pad[3];
	} st[8];
	union xmm_reg xmm[16];
	uint8_t rest[96];
};

_Static_assert(sizeof(struct image) == 512, "FXSAVE");

struct state {
	struct image fx;
	uint64_t gpr[8];
	uint64_t flags;
	int vector; /* -1: none */
	uint8_t mem[MEM_LEN] __attribute__((aligned(16)));
};

_Static_assert(offsetof(struct state, gpr) == 512 && offsetof(struct state, flags) == 576, "below");

static struct vm *vm;
static uint8_t *page;
static sigjmp_buf on_fault;
static struct state *running;

/* void host_call(struct state *s, const void *code): ESI and EDI come as pointers */
__asm__(".text\n"
	"host_call:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rdi, %r15; mov %rsi, %r14\n"
	"	fxrstor (%r15)\n"
	"	mov 512(%r15), %rax; mov 520(%r15), %rcx; mov 528(%r15), %rdx; mov 536(%r15), "
	"%rbx\n"
	"	mov 552(%r15), %rbp; mov 560(%r15), %rsi; mov 568(%r15), %rdi\n"
	"	push 576(%r15); popfq\n"
	"	call *%r14\n"
	"	pushfq; pop 576(%r15)\n"
	"	mov %rax, 512(%r15); mov %rcx, 520(%r15); mov %rdx, 528(%r15); mov %rbx, "
	"536(%r15)\n"
	"	mov %rbp, 552(%r15)\n"
	"	fxsave (%r15)\n"
	"	fninit\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");
void host_call(struct state *s, const void *code);

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed >> 8;
}

static unsigned long env_number(const char *name, unsigned long def)
{
	const char *v = getenv(name);

	return v ? strtoul(v, NULL, 0) : def;
}

static void set_mxcsr(uint32_t v)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(v));
}

static void on_signal(int sig, siginfo_t *info, void *uc_)
{
	ucontext_t *uc = uc_;

	memcpy(&running->fx, uc->uc_mcontext.fpregs, sizeof(running->fx));
	running->vector = sig == SIGFPE ? EXCP_XM : sig == SIGILL ? EXCP_UD : EXCP_GP;
	siglongjmp(on_fault, 1);
	(void)info;
}

static void host_run(struct state *s, const uint8_t *code, unsigned len)
{
	memcpy(page, code, len);
	page[len] = 0xc3;
	running = s;
	s->gpr[R_ESI] = s->gpr[R_EDI] = (uintptr_t)s->mem + MEM_AT;
	if (!sigsetjmp(on_fault, 1))
		host_call(s, page);
	set_mxcsr(MXCSR_RESET);
}

#define GUEST_MEM VM_DATA

static void guest_run(struct state *s, const uint8_t *code, unsigned len)
{
	struct cpu *cpu = vm->cpu;
	struct fpu *f = cpu->fpu;
	uint8_t with_hlt[16];
	int r;

	vm_mode_set(vm, VM_PROT32);
	memcpy(with_hlt, code, len);
	with_hlt[len] = 0xf4;
	vm_code(vm, with_hlt, len + 1);
	for (unsigned i = 0; i < 8; i++) {
		if (i != R_ESP)
			cpu->gpr[i] = (uint32_t)s->gpr[i];
		cpu->xmm[i] = s->fx.xmm[i];
	}
	cpu->gpr[R_ESI] = cpu->gpr[R_EDI] = GUEST_MEM + MEM_AT;
	flags_set_arith(cpu, (uint32_t)s->flags);
	memcpy(vm->ram + GUEST_MEM, s->mem, MEM_LEN);
	cpu->mxcsr = s->fx.mxcsr;
	fpu_set_cw(f, s->fx.cw);
	fpu_set_status(f, s->fx.sw);
	f->empty = (uint8_t)~s->fx.tags;
	for (unsigned i = 0; i < 8; i++)
		f->reg[(f->top + i) & 7] = (struct f80){ .m = s->fx.st[i].m, .se = s->fx.st[i].se };
	r = vm_run(vm, 10);
	s->vector = r == VM_HLT ? -1 : r;
	for (unsigned i = 0; i < 8; i++) {
		struct f80 x = f->reg[(f->top + i) & 7];

		s->gpr[i] = cpu->gpr[i];
		s->fx.xmm[i] = cpu->xmm[i];
		s->fx.st[i].m = x.m;
		s->fx.st[i].se = x.se;
	}
	if (s->vector < 0)
		s->flags = flags_get_arith(cpu);
	memcpy(s->mem, vm->ram + GUEST_MEM, MEM_LEN);
	s->fx.mxcsr = cpu->mxcsr;
	s->fx.sw = fpu_status(f);
	s->fx.tags = (uint8_t)~f->empty;
}

/* ---- random operands ---- */

static uint32_t rnd_f32(void)
{
	static const uint32_t special[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
		0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xff8abcde, 0x7fc12345, 1,
		0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff,
		0x3f000000, 0x3fc00000, 0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001, 0x3effffff,
		0x4b000000, 0x4affffff };
	uint32_t r = (uint32_t)rnd();

	switch (rnd() % 6) {
	case 0: return special[rnd() % (sizeof(special) / sizeof(special[0]))];
	case 1: return r & 0x807fffff; /* denormal */
	case 2: return (r & 0x807fffff) | (uint32_t)(110 + rnd() % 50) << 23;
	case 3: return (r & 0x80700000) | (uint32_t)(127 + rnd() % 4) << 23; /* exact */
	case 4:
		return (r & 0x807fffff) | (uint32_t)(rnd() % 2 ? 1 + rnd() % 40 : 215 + rnd() % 40)
						  << 23;
	default: return r;
	}
}

static uint64_t rnd_f64(void)
{
	static const uint64_t special[] = { 0, UINT64_C(1) << 63, 0x3ff0000000000000,
		0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
		0xfff8000000000000, 0x7ff0000000000001, 0xfff123456789abcd, 1, 0x000fffffffffffff,
		0x0010000000000000, 0x7fefffffffffffff, 0x41dfffffffc00000, 0x41e0000000000000,
		0xc1e0000000000000, 0xc1e0000000200000, 0x3fe0000000000000, 0x47efffffe0000000,
		0x36a0000000000000, 0x3810000000000000, 0x380fffffffffffff };
	uint64_t r = rnd() << 32 ^ rnd() << 8 ^ rnd();

	switch (rnd() % 6) {
	case 0: return special[rnd() % (sizeof(special) / sizeof(special[0]))];
	case 1: return r & 0x800fffffffffffff;
	case 2: return (r & 0x800fffffffffffff) | (1000 + rnd() % 60) << 52;
	case 3: return (r & 0x800e000000000000) | (1023 + rnd() % 4) << 52;
	case 4:
		return (r & 0x800fffffffffffff) | (rnd() % 2 ? 1 + rnd() % 60 : 1980 + rnd() % 66)
							  << 52;
	default: return (r & 0x800fffffffffffff) | (870 + rnd() % 300) << 52; /* narrow to f32 */
	}
}

static void rnd_bytes(void *p, size_t n)
{
	for (uint8_t *b = p; n; n--)
		*b++ = (uint8_t)rnd();
}

static union xmm_reg rnd_xmm(unsigned class)
{
	static const uint8_t corner[] = { 0, 0, 1, 0x7f, 0x80, 0xff, 0xff, 0x81, 8, 0x10 };
	union xmm_reg v;

	rnd_bytes(&v, sizeof(v));
	switch (class) {
	case 0:
		for (unsigned i = 0; i < 4; i++)
			v.d[i] = rnd_f32();
		break;
	case 1:
		for (unsigned i = 0; i < 2; i++)
			v.q[i] = rnd_f64();
		break;
	case 2:
		for (unsigned i = 0; i < 16; i++)
			v.b[i] = corner[rnd() % sizeof(corner)];
		break;
	case 3: /* a shift count, a short string */
		v.q[1] = rnd() % 2 ? 0 : v.q[1];
		v.q[0] = rnd() % 70;
		break;
	case 4:
		for (unsigned i = 0; i < 16; i++)
			v.b[i] &= 3;
		break;
	}
	return v;
}

/* unmask: also exceptions that are not masked */
static uint32_t rnd_mxcsr(bool unmask)
{
	uint32_t v = MXCSR_MASKS | ((uint32_t)rnd() & MXCSR_RC);

	if (rnd() % 4 == 0)
		v |= MXCSR_FZ;
	if (rnd() % 4 == 0)
		v |= MXCSR_DAZ;
	if (rnd() % 4 == 0)
		v |= (uint32_t)rnd() & MXCSR_FLAGS;
	if (unmask)
		v &= ~((uint32_t)rnd() & (uint32_t)rnd() & MXCSR_MASKS);
	return v;
}

static void rnd_state(struct state *s, bool unmask)
{
	unsigned class = rnd() % 6;

	memset(s, 0, sizeof(*s));
	s->fx.cw = 0x37f;
	s->fx.sw = (uint16_t)((rnd() & 7) << 11);
	s->fx.tags = (uint8_t)rnd();
	s->fx.mxcsr = rnd_mxcsr(unmask);
	for (unsigned i = 0; i < 8; i++) {
		s->fx.xmm[i] = rnd_xmm(class);
		s->fx.st[i].m = rnd_xmm(class).q[0];
		s->fx.st[i].se = (uint16_t)rnd();
		s->gpr[i] = rnd() % 2 ? (uint32_t)rnd() : (uint32_t)(int32_t)(int8_t)rnd();
	}
	for (unsigned i = 0; i < MEM_LEN; i += 16) {
		union xmm_reg v = rnd_xmm(class);

		memcpy(s->mem + i, &v, 16);
	}
	if (rnd() % 4 == 0) /* equal operands */
		memcpy(s->mem + MEM_AT, &s->fx.xmm[rnd() % 8], 16);
	s->flags = FL_ONE | (rnd() & FL_ARITH);
	s->vector = -1;
}

/* ---- comparison ---- */

static void print_state(const char *what, const struct state *s)
{
	print_error("%s: vector %d mxcsr %04x flags %03x sw %04x tags %02x\n", what, s->vector,
		s->fx.mxcsr, (unsigned)s->flags & FL_ARITH, s->fx.sw, s->fx.tags);
	for (unsigned i = 0; i < 8; i++)
		print_error("  xmm%u %016llx %016llx  st%u %04x %016llx  gpr %08x\n", i,
			(unsigned long long)s->fx.xmm[i].q[1],
			(unsigned long long)s->fx.xmm[i].q[0], i, s->fx.st[i].se,
			(unsigned long long)s->fx.st[i].m, (unsigned)s->gpr[i]);
	for (unsigned i = 0; i < MEM_LEN; i += 16) {
		uint64_t q[2];

		memcpy(q, s->mem + i, 16);
		print_error("  mem %016llx %016llx\n", (unsigned long long)q[1],
			(unsigned long long)q[0]);
	}
}

static bool same(const struct state *h, const struct state *g)
{
	for (unsigned i = 0; i < 8; i++) {
		if (memcmp(&h->fx.xmm[i], &g->fx.xmm[i], 16))
			return false;
		if (h->fx.st[i].m != g->fx.st[i].m || h->fx.st[i].se != g->fx.st[i].se)
			return false;
		if (h->vector < 0 && i != R_ESP && i != R_ESI && i != R_EDI &&
			(uint32_t)h->gpr[i] != (uint32_t)g->gpr[i])
			return false;
	}
	if (h->vector < 0 && ((h->flags ^ g->flags) & FL_ARITH))
		return false;
	return h->vector == g->vector && h->fx.mxcsr == g->fx.mxcsr &&
	       !((h->fx.sw ^ g->fx.sw) & 0x3800) && h->fx.tags == g->fx.tags &&
	       !memcmp(h->mem, g->mem, MEM_LEN);
}

/* ---- the rows ---- */

struct form {
	uint8_t code[16];
	unsigned at_modrm, len; /* without imm8 */
	struct insn in;
	const struct sse_desc *d;
};

/* Bytes of a row, with the ModRM byte given. False: there is no such form. */
static bool form_make(struct form *f, unsigned prefix, unsigned map, unsigned op, uint8_t modrm)
{
	static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned n = 0;

	memset(f, 0, sizeof(*f));
	if (!map && (op == 0x38 || op == 0x3a))
		return false; /* the other maps */
	if (prefix)
		f->code[n++] = prefixes[prefix];
	f->code[n++] = 0x0f;
	if (map)
		f->code[n++] = map == 1 ? 0x38 : 0x3a;
	f->code[n++] = (uint8_t)op;
	f->at_modrm = n;
	f->code[n++] = modrm;
	if (decode_insn(f->code, 15, DECODE_CODE32, &f->in) != DECODE_OK || f->in.id == INSN_UD ||
		!(insn_enc(&f->in) & E_SSE))
		return false;
	f->len = f->in.len;
	f->d = sse_desc(&f->in);
	return true;
}

/* Registers at random, but for ESP, ESI and EDI. */
static void form_vary(struct form *f)
{
	uint8_t *modrm = &f->code[f->at_modrm];
	unsigned reg = rnd() & 7, rm = rnd() & 7;

	if (f->d->flags & S_NOMODRM)
		return;
	if ((f->d->reg & S_KIND) == S_G && (reg == 4 || reg >= 6))
		reg = 1;
	if ((f->d->rm & S_KIND) == S_G && (rm == 4 || rm >= 6))
		rm = 3;
	/* CRC32 with AH..DH works; its others are the same */
	if (f->in.mem)
		rm = 6;
	*modrm =
		(uint8_t)((*modrm & 0xc0) | (f->d->ext >= 0 ? (unsigned)f->d->ext : reg) << 3 | rm);
	if (f->d->imask)
		f->code[f->len - 1] = (uint8_t)rnd();
}

_Noreturn static void differ(
	const struct form *f, const struct state *s0, const struct state *h, const struct state *g)
{
	for (unsigned i = 0; i < f->len; i++)
		print_error("%02x ", f->code[i]);
	print_error("%s\n", insn_name(&f->in));
	print_state("before", s0);
	print_state("host", h);
	print_state("here", g);
	fail();
	abort();
}

static void check_form(struct form *f, unsigned long n, bool unmask)
{
	for (unsigned long i = 0; i < n; i++) {
		struct state s0, h, g;

		rnd_state(&s0, unmask);
		form_vary(f);
		h = g = s0;
		host_run(&h, f->code, f->len);
		guest_run(&g, f->code, f->len);
		if (h.vector >= 0 && sse_enters_mmx(f->d, &f->in)) {
			/* docs/sse.md: a fault leaves the x87 state alone; AMD's has become MMX's
			 */
			assert_int_equal(g.fx.sw & 0x3800, s0.fx.sw & 0x3800);
			assert_int_equal(g.fx.tags, s0.fx.tags);
			memcpy(h.fx.st, g.fx.st, sizeof(h.fx.st));
			h.fx.sw = g.fx.sw;
			h.fx.tags = g.fx.tags;
		}
		if (h.vector == EXCP_XM &&
			(h.fx.mxcsr & ~(s0.fx.mxcsr >> MXCSR_MASK_SHIFT) & (MXCSR_OE | MXCSR_UE)))
			h.fx.mxcsr |= g.fx.mxcsr & MXCSR_PE; /* docs/sse.md */
		if (h.vector == EXCP_XM && f->d->map == SSE_MAP_0F3A && (f->d->op | 1) == 0x41)
			h.fx.mxcsr = g.fx.mxcsr; /* DPPS: flags of the steps before the one that
						    faults */
		if (!same(&h, &g))
			differ(f, &s0, &h, &g);
	}
}

static bool is_approximation(const struct sse_desc *d)
{
	return (d->op == 0x52 || d->op == 0x53) && (d->flags & S_SOFT);
}

/* cmocka has handlers of its own in each test. */
static void catch_signals(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

/* Calls check_form() for all rows whose flags have those asked for; the number of forms. */
static unsigned check_rows(unsigned long n, bool unmask, unsigned flags)
{
	unsigned forms = 0;

	catch_signals();
	for (unsigned prefix = 0; prefix < SSE_PREFIXES; prefix++)
		for (unsigned map = 0; map < SSE_MAPS; map++)
			for (unsigned op = 0; op < 256; op++)
				for (unsigned modrm = 6; modrm < 256; modrm += 8) {
					struct form f;

					/* mod 0 and 3; ModRM.reg only where it selects */
					if ((modrm >= 0x40 && modrm < 0xc0) ||
						!form_make(&f, prefix, map, op, (uint8_t)modrm))
						continue;
					if ((modrm & 0x38) && f.d->ext < 0)
						continue;
					if ((f.d->flags & flags) != flags || is_approximation(f.d))
						continue;
					check_form(&f, n, unmask);
					forms++;
				}
	return forms;
}

static void test_all(void **state)
{
	/* 367 rows, most with two forms */
	assert_true(check_rows(env_number("DEJAVM_SSE_N", 200), false, 0) > 600);
	(void)state;
}

static void test_floating_point(void **state)
{
	assert_true(check_rows(env_number("DEJAVM_SSE_N", 200) * 2, false, S_FP) > 100);
	(void)state;
}

static void test_unmasked(void **state)
{
	assert_true(check_rows(env_number("DEJAVM_SSE_N", 200), true, S_FP) > 100);
	(void)state;
}

static int setup(void **state)
{
	seed = env_number("DEJAVM_SSE_SEED", 1) * 0x9e3779b97f4a7c15ull + 1;
	if (!sse_host_has(ISA_SSE3 | ISA_SSSE3 | ISA_SSE41 | ISA_SSE42))
		return -1;
	page = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -1;
	vm = vm_new(VM_PROT32);
	cpu_model_set(vm->cpu, "max", NULL);
	vm->cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
	(void)state;
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	munmap(page, 4096);
	(void)state;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_all),
		cmocka_unit_test(test_floating_point), cmocka_unit_test(test_unmasked) };

	return cmocka_run_group_tests_name("sse host", tests, setup, teardown);
}
