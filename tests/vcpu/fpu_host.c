/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fpu_host.h. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "fpu_host.h"
#include "sse.h"
#include "fpu_fake_mem.h"
#include "log.h"

uint8_t fake_mem[FAKE_MEM_LEN];
unsigned fake_writes;
struct cpu *test_cpu;

static uint8_t *code;
static sigjmp_buf catch_buf;
static int caught;

/* ---- what the rest of the CPU provides ---- */
void cpu_raise(struct cpu *cpu, int vector)
{
	caught = vector;
	siglongjmp(catch_buf, 1);
}

void cpu_raise_err(struct cpu *cpu, int vector, uint32_t err)
{
	cpu_raise(cpu, vector);
}

/* ---- the host ---- */
static sigjmp_buf ill_buf;

static void on_signal(int sig)
{
	siglongjmp(ill_buf, sig);
}

void host_catch(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
}

void host_init(void)
{
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	must(code != MAP_FAILED);
	test_cpu = aligned_alloc(CPU_ALIGN, CPU_ALLOC_LEN);
	must(test_cpu != NULL);
	memset(test_cpu, 0, CPU_ALLOC_LEN);
	test_cpu->fpu = cpu_fpu(test_cpu);
	test_cpu->isa = ISA_FXSR | ISA_SSE3;
	test_cpu->cr0 = CR0_PE | CR0_NE | CR0_MP;
}

bool host_run(struct fpu_state *s, uint8_t op, uint8_t modrm)
{
	static uint8_t mem[MEM_LEN] __attribute__((aligned(64)));
	static uint8_t image[108] __attribute__((aligned(64)));
	uint8_t *p = code;
	uint32_t insn, fip, fdp;
	uint64_t (*fn)(void *image, void *mem, uint64_t flags, uint64_t rax);
	static volatile int sig;

	/* push rdx; popfq; mov rax, rcx; frstor [rdi]; op; fnsave [rdi]; mov [rdi + 108], eax;
	 * pushfq; pop rax; ret */
	static const uint8_t head[] = { 0x52, 0x9d, 0x48, 0x89, 0xc8, 0xdd, 0x27 };
	static const uint8_t tail[] = { 0xdd, 0x37, 0x89, 0x06, 0x9c, 0x58, 0xc3 };
	static const uint8_t tail_mem[] = { 0xdd, 0x37, 0x9c, 0x58, 0xc3 };

	memcpy(p, head, sizeof(head));
	p += sizeof(head);
	insn = (uint32_t)(uintptr_t)p;
	*p++ = op;
	*p++ = modrm;
	if (modrm < 0xc0)
		memcpy(p, tail_mem, sizeof(tail_mem));
	else
		memcpy(p, tail, sizeof(tail));
	memcpy(mem, s->mem, MEM_LEN);
	memcpy(image, s->image, 108);
	memcpy(&fn, &code, sizeof(fn));
	sig = sigsetjmp(ill_buf, 1);
	if (sig) {
		__asm__ volatile("fninit");
		return false;
	}
	s->eflags = (uint32_t)fn(image, mem, s->eflags, s->eax) & FL_ARITH;
	if (modrm >= 0xc0)
		memcpy(&s->eax, mem, 4);
	else
		memcpy(s->mem, mem, MEM_LEN);
	memcpy(s->image, image, 108);
	memcpy(&fip, image + 12, 4);
	memcpy(&fdp, image + 20, 4);
	s->fip_rel = fip != insn;
	s->fdp_rel = fdp != (uint32_t)(uintptr_t)mem;
	s->vector = -1;
	return true;
}

/* ---- the FPU under test ---- */
int sim_catch(void (*fn)(struct cpu *, const struct insn *), const struct insn *in)
{
	caught = -1;
	if (!sigsetjmp(catch_buf, 0))
		fn(test_cpu, in);
	return caught;
}

void sim_insn(struct insn *in, uint8_t op, uint8_t modrm)
{
	*in = (struct insn){
		.imm2 = op,
		.modrm = modrm,
		.reg = modrm >> 3 & 7,
		.rm = modrm & 7,
		.mem = modrm < 0xc0,
		.disp = MEM_BASE,
		.seg = SEG_DS,
		.opsize = 4,
		.addrsize = 4,
		.len = 2,
	};
}

static void sim_image(bool load)
{
	struct insn in;

	sim_insn(&in, 0xdd, load ? 0x26 : 0x36);
	must(sim_catch(fpu_esc, &in) < 0);
}

void sim_load(const struct fpu_state *s)
{
	memcpy(fake_mem + MEM_BASE, s->image, 108);
	sim_image(true);
	memcpy(fake_mem + MEM_BASE, s->mem, MEM_LEN);
	test_cpu->gpr[R_EAX] = s->eax;
	flags_set_arith(test_cpu, s->eflags);
}

void sim_store(struct fpu_state *s)
{
	memcpy(s->mem, fake_mem + MEM_BASE, MEM_LEN);
	s->eax = test_cpu->gpr[R_EAX];
	s->eflags = flags_get_arith(test_cpu);
	s->fip_rel = test_cpu->fpu->fip != test_cpu->eip;
	s->fdp_rel = test_cpu->fpu->fdp != MEM_BASE;
	sim_image(false);
	memcpy(s->image, fake_mem + MEM_BASE, 108);
}

void sim_run(struct fpu_state *s, uint8_t op, uint8_t modrm)
{
	struct insn in;

	sim_load(s);
	sim_insn(&in, op, modrm);
	test_cpu->eip = 0x12345678;
	s->vector = sim_catch(fpu_esc, &in);
	sim_store(s);
}

/* ---- random states ---- */
static uint64_t rnd_state_;

void rnd_seed(uint64_t seed)
{
	rnd_state_ = seed;
}

/* splitmix64 */
uint64_t rnd(void)
{
	uint64_t z = rnd_state_ += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Significands with long runs, ties of 24 and 53 bits, borders of integers */
static uint64_t rnd_sig(void)
{
	uint64_t m = rnd();

	switch (rnd() % 8) {
	case 0: m = ~UINT64_C(0) << rnd() % 64; break;
	case 1: m = ~UINT64_C(0) >> rnd() % 64; break;
	case 2: m &= ~UINT64_C(0) << 40; break;
	case 3: m = (m & ~UINT64_C(0) << 40) | UINT64_C(1) << 39; break;
	case 4: m = (m & ~UINT64_C(0) << 11) | UINT64_C(1) << 10; break;
	case 5: m = UINT64_C(1) << rnd() % 64; break;
	default: break;
	}
	return m;
}

struct f80 rnd_f80(void)
{
	static const uint16_t exps[] = { 0, 1, 2, 3, 10, 63, 64, 65, 0x3f80, 0x3f81, 0x3f69, 0x3c00,
		0x3c01, 0x3bcd, 0x3fbe, 0x3ffe, 0x3fff, 0x4000, 0x400d, 0x400e, 0x401d, 0x401e,
		0x403a, 0x403b, 0x403d, 0x403e, 0x403f, 0x407e, 0x407f, 0x43fe, 0x43ff, 0x5fff,
		0x7ffd, 0x7ffe, 0x1fff, 0x2000 };
	unsigned exp;
	uint64_t m = rnd_sig();
	unsigned sign = rnd() & 1;

	switch (rnd() % 16) {
	case 0: return f80_zero(sign);
	case 1: return f80_inf(sign);
	case 2: return f80_make(sign, F80_EMAX, m | F80_J | F80_Q);
	case 3: return f80_make(sign, F80_EMAX, ((m | F80_J) & ~F80_Q) | 1);
	case 4: return f80_make(sign, 0, m);
	case 5: return f80_make(sign, rnd() & F80_EMAX, m & ~F80_J);
	case 6: exp = rnd() & F80_EMAX; break;
	case 7:
	case 8: exp = exps[rnd() % (sizeof(exps) / sizeof(exps[0]))]; break;
	default: exp = F80_BIAS + (unsigned)(rnd() % 140) - 70; break;
	}
	return f80_make(sign, exp, m | F80_J);
}

unsigned image_word(const struct fpu_state *s, unsigned i)
{
	return s->image[4 * i] | s->image[4 * i + 1] << 8;
}

void image_set_word(struct fpu_state *s, unsigned i, unsigned v)
{
	s->image[4 * i] = (uint8_t)v;
	s->image[4 * i + 1] = (uint8_t)(v >> 8);
	s->image[4 * i + 2] = s->image[4 * i + 3] = 0xff;
}

struct f80 image_st(const struct fpu_state *s, unsigned i)
{
	struct f80 x;

	memcpy(&x.m, s->image + 28 + 10 * i, 8);
	memcpy(&x.se, s->image + 36 + 10 * i, 2);
	return x;
}

void image_set_st(struct fpu_state *s, unsigned i, struct f80 v)
{
	memcpy(s->image + 28 + 10 * i, &v.m, 8);
	memcpy(s->image + 36 + 10 * i, &v.se, 2);
}

void rnd_state(struct fpu_state *s, unsigned full)
{
	unsigned cw = 0x40 | (unsigned)(rnd() & 0xf3f), sw, tags = 0;

	if (rnd() & 1)
		cw |= 0x3f;
	if (rnd() % 4 == 0)
		cw |= 0x300;
	memset(s, 0, sizeof(*s));
	/* Sticky flags, none of them pending */
	sw = (unsigned)rnd() & 0xffff & ~(SW_ES | SW_B);
	sw &= ~(~cw & SW_EXCPS);
	if (!(sw & SW_IE))
		sw &= ~SW_SF;
	for (unsigned i = 0; i < 8; i++)
		if (rnd() % 8 >= full)
			tags |= 3u << 2 * i;
	image_set_word(s, 0, cw);
	image_set_word(s, 1, sw);
	image_set_word(s, 2, tags);
	/* FIP, FOP, FDP; the selectors are left out: processors may not keep them */
	for (unsigned i = 0; i < 4; i++) {
		s->image[12 + i] = (uint8_t)rnd();
		s->image[20 + i] = (uint8_t)rnd();
	}
	s->image[18] = (uint8_t)rnd();
	s->image[19] = (uint8_t)(rnd() & 7);
	for (unsigned i = 0; i < 8; i++)
		image_set_st(s, i, rnd_f80());
	/* Related operands now and then */
	if (rnd() % 4 == 0) {
		struct f80 x = image_st(s, 0);

		x.m += rnd() % 3 - 1;
		x.se ^= rnd() % 4 ? 0 : 0x8000;
		image_set_st(s, 1 + rnd() % 7, x);
	}
	for (unsigned i = 0; i < MEM_LEN; i++)
		s->mem[i] = (uint8_t)rnd();
	s->eflags = (uint32_t)rnd() & FL_ARITH;
	s->eax = (uint32_t)rnd();
}

void state_print(const char *title, const struct fpu_state *s)
{
	fprintf(stderr,
		"%s: cw %04x sw %04x tags %04x fop %03x fip %d fdp %d eflags %03x eax %08x vec "
		"%d\n",
		title, image_word(s, 0), image_word(s, 1), image_word(s, 2),
		(s->image[18] | s->image[19] << 8) & 0xffff, s->fip_rel, s->fdp_rel, s->eflags,
		s->eax, s->vector);
	for (unsigned i = 0; i < 8; i++) {
		struct f80 x = image_st(s, i);

		fprintf(stderr, "  st%u %04x %016lx%s", i, x.se, (unsigned long)x.m,
			i % 4 == 3 ? "\n" : "");
	}
	fprintf(stderr, "  mem");
	for (unsigned i = 0; i < 16; i++)
		fprintf(stderr, " %02x", s->mem[i]);
	fprintf(stderr, "\n");
}

/* Tests that link the x87's files alone have no SSE to park. */
__attribute__((weak)) void sse_park_now(struct cpu *cpu)
{
	cpu->mxcsr_live = 0;
}
