/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's x87 state in the host's x87: registers, tags, TOP, status. An instruction of the
 * guest is then the same instruction of the host, its operand in memory replaced, and the sticky
 * flags, the condition codes and masked stack faults come of themselves (SDM vol. 1, chapter 8).
 *
 * The state goes there with the first instruction that can use it and comes home (fpu_leave())
 * with the first that cannot, or when the CPU stops running. Only while every exception is masked:
 * else the portable code is in charge, as it is of all that is not exactly defined, where
 * processors differ (docs/x87.md). Compiled code for x86-64 keeps its hands off the x87 as long as
 * there is no long double in it; signal handlers find a fresh one and must return, not jump.
 *
 * Where the state is can never be seen by the guest: both ways give the same bits.
 */
#include "fpu_host_x87.h"
#include "fpu_int.h"
#include "flags.h"
#include "mem.h"
#include "sse.h"

#if defined(__x86_64__) && !defined(DEJAVM_PORTABLE)

#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

/* Whose state is in this thread's x87. */
static __thread struct fpu *owner;

/* FNSAVE's image (SDM vol. 1, figure 8-9) */
struct image {
	uint32_t cw, sw, tags, ip, ip_sel, dp, dp_sel;
	uint8_t st[8][10];
};

_Static_assert(sizeof(struct image) == 108, "as in the manual");

/* The reserved precision 01 is extended here; the host is not asked. */
static uint16_t host_cw(uint16_t cw)
{
	return (cw >> 8 & 3) == 1 ? cw | 0x300 : cw;
}

static void take_over(struct fpu *f)
{
	struct image im = { .cw = host_cw(f->cw), .sw = fpu_status(f) };

	for (unsigned i = 0; i < 8; i++) {
		const struct f80 *x = &f->reg[fpu_phys(f, i)];

		/* Of the other tags the processor makes its own. */
		im.tags |= (f->empty >> i & 1) * (3u << 2 * i);
		memcpy(im.st[i], &x->m, 8);
		memcpy(im.st[i] + 8, &x->se, 2);
	}
	fpu_vacate();
	__asm__ volatile("frstor %0" : : "m"(im));
	owner = f;
	f->live = FPU_LIVE;
}

void fpu_vacate(void)
{
	if (owner)
		fpu_leave(owner);
}

void fpu_leave(struct fpu *f)
{
	struct image im;

	/* FNSAVE leaves the x87 as compiled code expects it. */
	__asm__ volatile("fnsave %0" : "=m"(im));
	f->top = im.sw >> 11 & 7;
	f->sw = (uint16_t)(im.sw & ~0x3800u);
	if (f->live == FPU_LIVE_C1)
		f->sw |= SW_C1;
	f->empty = 0;
	for (unsigned i = 0; i < 8; i++) {
		struct f80 *x = &f->reg[fpu_phys(f, i)];

		f->empty |= (uint8_t)((im.tags >> 2 * i & 3) == 3) << i;
		memcpy(&x->m, im.st[i], 8);
		memcpy(&x->se, im.st[i] + 8, 2);
	}
	f->live = FPU_HOME;
	owner = NULL;
	fpu_set_cw(f, f->cw); /* translated code has not kept all that follows from it */
}

bool fpu_enter(struct cpu *cpu, bool sets_c1)
{
	struct fpu *f = cpu->fpu;

	if ((cpu->cr0 & (CR0_EM | CR0_TS)) || (f->cw & SW_EXCPS) != SW_EXCPS)
		return false;
	if (f->live == FPU_HOME)
		take_over(f);
	if (f->live == FPU_LIVE_C1) {
		if (!sets_c1)
			host_set_sw(SW_C1);
		f->live = FPU_LIVE;
	}
	return true;
}

/* May the instruction run on the host? All that may determine C1. */
static inline bool ready(struct cpu *cpu, const struct fpu *f)
{
	if (likely(f->live == FPU_LIVE && !(cpu->cr0 & (CR0_EM | CR0_TS))))
		return true;
	return fpu_enter(cpu, true);
}

/*
 * One function for each instruction: 4 bytes each for D8 C0 to DF FF; for D8 /0 to DF /7 with the
 * operand at the first argument; 8 bytes each for FCOMI and its kin, DB and DF E8 to F7, which
 * return AH as LAHF leaves it; 16 bytes for FCMOV ST(0), ST(i) if the first argument is not zero;
 * 16 for each control word, by its bits 8 to 11 (PC 01 is extended): processors predict that an
 * FLDCW loads what it loaded last time, and take 60 ns if it does not; 8 for FFREE ST(i). D9 F6, D9
 * F7 (FDECSTP, FINCSTP) are there to clear C1 where processors differ.
 */
__asm__(".pushsection .text\n"
	".balign 16\n"
	"fpu_host_reg:\n"
	".set fpu_op, 0xd8\n"
	".rept 8\n"
	".set fpu_rm, 0xc0\n"
	".rept 64\n"
	".byte fpu_op, fpu_rm, 0xc3, 0x90\n"
	".set fpu_rm, fpu_rm + 1\n"
	".endr\n"
	".set fpu_op, fpu_op + 1\n"
	".endr\n"
	"fpu_host_mem:\n"
	".set fpu_op, 0xd8\n"
	".rept 8\n"
	".set fpu_rm, 0x07\n"
	".rept 8\n"
	".byte fpu_op, fpu_rm, 0xc3, 0x90\n"
	".set fpu_rm, fpu_rm + 8\n"
	".endr\n"
	".set fpu_op, fpu_op + 1\n"
	".endr\n"
	"fpu_host_comi:\n"
	".set fpu_op, 0xdb\n"
	".rept 2\n"
	".set fpu_rm, 0xe8\n"
	".rept 16\n"
	".byte 0xd9, 0xf6, 0xd9, 0xf7, fpu_op, fpu_rm, 0x9f, 0xc3\n"
	".set fpu_rm, fpu_rm + 1\n"
	".endr\n"
	".set fpu_op, fpu_op + 4\n"
	".endr\n"
	"fpu_host_cmov:\n"
	".set fpu_rm, 0xc8\n"
	".rept 8\n"
	"test %edi, %edi\n"
	".byte 0xdb, fpu_rm, 0xd9, 0xf6, 0xd9, 0xf7\n"
	"ret\n"
	".balign 16\n"
	".set fpu_rm, fpu_rm + 1\n"
	".endr\n"
	"fpu_host_cw:\n"
	".set fpu_cw, 0x07f\n"
	".rept 16\n"
	"fldcw 1f(%rip)\n"
	"ret\n"
	"1: .short fpu_cw | (((fpu_cw & 0x300) == 0x100) & 0x300)\n"
	".balign 16\n"
	".set fpu_cw, fpu_cw + 0x100\n"
	".endr\n"
	"fpu_host_free:\n"
	".set fpu_rm, 0xc0\n"
	".rept 8\n"
	".byte 0xdd, fpu_rm, 0xd9, 0xf6, 0xd9, 0xf7, 0xc3, 0x90\n"
	".set fpu_rm, fpu_rm + 1\n"
	".endr\n"
	".popsection\n");

extern const uint8_t fpu_host_reg[8][64][4], fpu_host_mem[8][8][4], fpu_host_comi[2][16][8],
	fpu_host_cmov[8][16], fpu_host_cw[16][16], fpu_host_free[8][8];

/* ISO C has no conversion for it. */
#define CALL(type, code, ...)              \
	({                                 \
		union {                    \
			const uint8_t *p;  \
			type;              \
		} call_ = { .p = (code) }; \
		call_.fn(__VA_ARGS__);     \
	})

static inline void host_reg(const struct insn *in)
{
	CALL(void (*fn)(void), fpu_host_reg[in->imm2 & 7][in->modrm & 63]);
}

static inline void host_mem(const struct insn *in, void *p)
{
	CALL(void (*fn)(void *), fpu_host_mem[in->imm2 & 7][in->modrm >> 3 & 7], p);
}

/* FIP, FOP; once nothing can fault any more */
static inline void note(struct cpu *cpu, struct fpu *f, const struct insn *in)
{
	f->fop = (uint16_t)((in->imm2 & 7u) << 8 | in->modrm);
	f->fip = cpu->eip;
	f->fcs = cpu->seg[SEG_CS].sel;
}

static inline void note_mem(struct cpu *cpu, struct fpu *f, const struct insn *in, uint32_t ea)
{
	note(cpu, f, in);
	f->fdp = ea;
	f->fds = cpu->seg[in->seg].sel;
}

static void live_reg(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu_fpu(cpu);

	if (unlikely(!ready(cpu, f))) {
		fpu_esc(cpu, in);
		return;
	}
	host_reg(in);
	note(cpu, f, in);
}

/* An operand that is not in one page of plain memory, by the general functions. */
static void fetch_slow(
	struct cpu *cpu, enum seg seg, uint32_t ea, unsigned size, uint8_t ret_buf[10])
{
	uint64_t v;

	switch (size) {
	case 2: v = seg_read16(cpu, seg, ea); break;
	case 4: v = seg_read32(cpu, seg, ea); break;
	case 8: v = seg_read64(cpu, seg, ea); break;
	default: seg_read_bytes(cpu, seg, ea, ret_buf, size); return;
	}
	memcpy(ret_buf, &v, 8);
}

static inline void live_read(struct cpu *cpu, const struct insn *in, unsigned size)
{
	struct fpu *f = cpu_fpu(cpu);
	uint8_t buf[10];
	uint32_t ea;
	void *p;

	if (unlikely(!ready(cpu, f))) {
		fpu_esc(cpu, in);
		return;
	}
	ea = insn_ea(cpu, in);
	p = seg_host(cpu, in->seg, ea, size, false);
	if (unlikely(!p)) {
		fetch_slow(cpu, in->seg, ea, size, buf);
		p = buf;
	}
	host_mem(in, p);
	note_mem(cpu, f, in, ea);
}

/* A store cannot be taken back when it faults: what might is tried first. */
static void store_slow(struct cpu *cpu, const struct insn *in, uint32_t ea, unsigned size)
{
	uint8_t buf[10];
	uint64_t v;

	/* #AC is not among what a probe raises. */
	if (cpu->eflags & FL_AC) {
		fpu_esc(cpu, in);
		return;
	}
	seg_probe_write(cpu, in->seg, ea, size);
	host_mem(in, buf);
	memcpy(&v, buf, 8);
	switch (size) {
	case 2: seg_write16(cpu, in->seg, ea, (uint16_t)v); break;
	case 4: seg_write32(cpu, in->seg, ea, (uint32_t)v); break;
	case 8: seg_write64(cpu, in->seg, ea, v); break;
	default: seg_write_bytes(cpu, in->seg, ea, buf, size); break;
	}
	note_mem(cpu, cpu_fpu(cpu), in, ea);
}

static inline void live_write(struct cpu *cpu, const struct insn *in, unsigned size)
{
	struct fpu *f = cpu_fpu(cpu);
	uint32_t ea;
	void *p;

	if (unlikely(!ready(cpu, f))) {
		fpu_esc(cpu, in);
		return;
	}
	ea = insn_ea(cpu, in);
	p = seg_host(cpu, in->seg, ea, size, true);
	if (unlikely(!p)) {
		store_slow(cpu, in, ea, size);
		return;
	}
	host_mem(in, p);
	note_mem(cpu, f, in, ea);
}

#define LIVE_MEM(size)                                                       \
	static void live_read##size(struct cpu *cpu, const struct insn *in)  \
	{                                                                    \
		live_read(cpu, in, size);                                    \
	}                                                                    \
	static void live_write##size(struct cpu *cpu, const struct insn *in) \
	{                                                                    \
		live_write(cpu, in, size);                                   \
	}
LIVE_MEM(2)
LIVE_MEM(4)
LIVE_MEM(8)
LIVE_MEM(10)

#define LIVE_FISTTP(size)                                                     \
	static void live_fisttp##size(struct cpu *cpu, const struct insn *in) \
	{                                                                     \
		if (unlikely(!(cpu->isa & ISA_SSE3)))                         \
			fpu_esc(cpu, in);                                     \
		else                                                          \
			live_write(cpu, in, size);                            \
	}
LIVE_FISTTP(2)
LIVE_FISTTP(4)
LIVE_FISTTP(8)

static void live_comi(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu_fpu(cpu);
	uint16_t ax;

	if (unlikely(!ready(cpu, f))) {
		fpu_esc(cpu, in);
		return;
	}
	ax = CALL(uint16_t(*fn)(void), fpu_host_comi[in->imm2 == 0xdf][in->modrm - 0xe8]);
	flags_set_arith(cpu, ax >> 8 & (FL_ZF | FL_PF | FL_CF));
	note(cpu, f, in);
}

static void live_cmov(struct cpu *cpu, const struct insn *in)
{
	static const uint32_t bits[4] = { FL_CF, FL_ZF, FL_CF | FL_ZF, FL_PF };
	struct fpu *f = cpu_fpu(cpu);
	bool set;

	if (unlikely(!ready(cpu, f))) {
		fpu_esc(cpu, in);
		return;
	}
	set = (flags_get_arith(cpu) & bits[in->modrm >> 3 & 3]) != 0;
	CALL(void (*fn)(unsigned), fpu_host_cmov[in->modrm & 7], set != (in->imm2 & 1));
	note(cpu, f, in);
}

static void live_free(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu_fpu(cpu);

	if (unlikely(!ready(cpu, f))) {
		fpu_esc(cpu, in);
		return;
	}
	CALL(void (*fn)(void), fpu_host_free[in->modrm & 7]);
	note(cpu, f, in);
}

/* FPREM, FPREM1: how far one that remains partial goes is up to the processor. */
static void live_rem(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu_fpu(cpu);
	struct f80 x;
	unsigned sw;

	if (unlikely(!ready(cpu, f) || ((sw = host_sw()) & SW_SF))) {
		fpu_esc(cpu, in);
		return;
	}
	x = host_pop();
	host_push(x);
	if (unlikely(host_sw() & SW_SF)) {
		/* ST0 was empty: as if nothing had been. */
		fpu_leave(f);
		fpu_set_status(f, (uint16_t)sw);
		f->empty |= (uint8_t)(1u << f->top);
		fpu_esc(cpu, in);
		return;
	}
	host_reg(in);
	if (unlikely(host_sw() & SW_C2)) {
		host_pop();
		host_push(x);
		fpu_esc(cpu, in);
		return;
	}
	note(cpu, f, in);
}

/* ---- control: no FIP and FOP; those that start with N do not look at ES ---- */
static void live_fldcw(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu_fpu(cpu);
	uint16_t cw;

	if (unlikely(f->live == FPU_HOME || (cpu->cr0 & (CR0_EM | CR0_TS)))) {
		fpu_esc(cpu, in);
		return;
	}
	cw = seg_read16(cpu, in->seg, insn_ea(cpu, in));
	if ((cw & SW_EXCPS) != SW_EXCPS)
		fpu_park(f);
	fpu_set_cw(f, cw);
	if (f->live)
		CALL(void (*fn)(void), fpu_host_cw[f->cw >> 8 & 15]);
}

static void live_fnstcw(struct cpu *cpu, const struct insn *in)
{
	if (unlikely(cpu->cr0 & (CR0_EM | CR0_TS)))
		cpu_raise(cpu, EXCP_NM);
	seg_write16(cpu, in->seg, insn_ea(cpu, in), cpu_fpu(cpu)->cw);
}

/* The state has to be in the host. */
static inline uint16_t live_sw(const struct fpu *f)
{
	return (uint16_t)(host_sw() | (f->live == FPU_LIVE_C1 ? SW_C1 : 0));
}

static void live_fnstsw(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu_fpu(cpu);

	if (unlikely(f->live == FPU_HOME || (cpu->cr0 & (CR0_EM | CR0_TS)))) {
		fpu_esc(cpu, in);
		return;
	}
	if (in->mem)
		seg_write16(cpu, in->seg, insn_ea(cpu, in), live_sw(f));
	else
		cpu->gpr[R_EAX] = (cpu->gpr[R_EAX] & 0xffff0000) | live_sw(f);
}

static void live_fnclex(struct cpu *cpu, const struct insn *in)
{
	const struct fpu *f = cpu_fpu(cpu);

	if (unlikely(f->live == FPU_HOME || (cpu->cr0 & (CR0_EM | CR0_TS)))) {
		fpu_esc(cpu, in);
		return;
	}
	__asm__ volatile("fnclex");
}

/* ---- transcendentals: our own, on the host's stack ---- */
static void live_trans(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu_fpu(cpu);

	if (!ready(cpu, f) || !fpu_trans(cpu, in->modrm))
		fpu_esc(cpu, in);
	else
		note(cpu, f, in);
}

void fpu_done(struct fpu *f)
{
	fpu_park(f);
}

/* Memory forms: [opcode & 7][ModRM.reg]; NULL: the portable code */
static const insn_fn mem_handlers[8][8] = {
	{ live_read4, live_read4, live_read4, live_read4, live_read4, live_read4, live_read4,
		live_read4 },
	{ live_read4, NULL, live_write4, live_write4, NULL, live_fldcw, NULL, live_fnstcw },
	{ live_read4, live_read4, live_read4, live_read4, live_read4, live_read4, live_read4,
		live_read4 },
	{ live_read4, live_fisttp4, live_write4, live_write4, NULL, live_read10, NULL,
		live_write10 },
	{ live_read8, live_read8, live_read8, live_read8, live_read8, live_read8, live_read8,
		live_read8 },
	{ live_read8, live_fisttp8, live_write8, live_write8, NULL, NULL, NULL, live_fnstsw },
	{ live_read2, live_read2, live_read2, live_read2, live_read2, live_read2, live_read2,
		live_read2 },
	{ live_read2, live_fisttp2, live_write2, live_write2, NULL, live_read8, NULL, live_write8 },
};

/* Register forms, by groups of eight: what is not here may be in ones[]. */
static const insn_fn reg_handlers[8][8] = {
	{ live_reg, live_reg, live_reg, live_reg, live_reg, live_reg, live_reg, live_reg },
	{ live_reg, live_reg },
	{ live_cmov, live_cmov, live_cmov, live_cmov },
	{ live_cmov, live_cmov, live_cmov, live_cmov, NULL, live_comi, live_comi },
	{ live_reg, live_reg, NULL, NULL, live_reg, live_reg, live_reg, live_reg },
	{ live_free, NULL, live_reg, live_reg, live_reg, live_reg },
	{ live_reg, live_reg, NULL, NULL, live_reg, live_reg, live_reg, live_reg },
	{ NULL, NULL, NULL, NULL, NULL, live_comi, live_comi },
};

/* D9 E0 to D9 FF */
static const insn_fn d9_handlers[32] = {
	live_reg, live_reg, NULL, NULL, live_reg, live_reg, NULL, NULL, /* FCHS FABS FTST FXAM */
	live_reg, live_reg, live_reg, live_reg, live_reg, live_reg, live_reg, NULL, /* constants */
	live_trans,								    /* F2XM1 */
	live_trans,								    /* FYL2X */
	live_trans,								    /* FPTAN */
	live_trans,								    /* FPATAN */
	live_reg,								    /* FXTRACT */
	live_rem,								    /* FPREM1 */
	live_reg,								    /* FDECSTP */
	live_reg,								    /* FINCSTP */
	live_rem,								    /* FPREM */
	live_trans,								    /* FYL2XP1 */
	live_reg,								    /* FSQRT */
	live_trans,								    /* FSINCOS */
	live_reg,								    /* FRNDINT */
	live_reg,								    /* FSCALE */
	live_trans,								    /* FSIN */
	live_trans,								    /* FCOS */
};

insn_fn fpu_handler(uint8_t op, uint8_t modrm)
{
	insn_fn fn;

	if (modrm < 0xc0 && (modrm >> 3 & 7) == 1 && !__builtin_cpu_supports("sse3"))
		fn = (op & 1) ? NULL : mem_handlers[op & 7][1]; /* no FISTTP */
	else if (modrm < 0xc0)
		fn = mem_handlers[op & 7][modrm >> 3 & 7];
	else if (op == 0xd9 && modrm >= 0xe0)
		fn = d9_handlers[modrm & 31];
	else if ((op == 0xda && modrm == 0xe9) || (op == 0xde && modrm == 0xd9))
		fn = live_reg; /* FUCOMPP, FCOMPP */
	else if (op == 0xdb && modrm == 0xe2)
		fn = live_fnclex;
	else if (op == 0xdf && modrm == 0xe0)
		fn = live_fnstsw;
	else
		fn = reg_handlers[op & 7][modrm >> 3 & 7];
	return fn ? fn : fpu_esc;
}

enum fpu_form fpu_form(uint8_t op, uint8_t modrm, unsigned *ret_size)
{
	static const struct {
		insn_fn fn;
		enum fpu_form form;
		unsigned size;
	} forms[] = {
		{ live_reg, FPU_FORM_REG, 0 },
		{ live_read2, FPU_FORM_READ, 2 },
		{ live_read4, FPU_FORM_READ, 4 },
		{ live_read8, FPU_FORM_READ, 8 },
		{ live_write2, FPU_FORM_WRITE, 2 },
		{ live_write4, FPU_FORM_WRITE, 4 },
		{ live_write8, FPU_FORM_WRITE, 8 },
		{ live_read10, FPU_FORM_READ, 10 },
		{ live_write10, FPU_FORM_WRITE, 10 },
		{ live_comi, FPU_FORM_COMI, 0 },
		{ live_cmov, FPU_FORM_CMOV, 0 },
		{ live_free, FPU_FORM_FREE, 0 },
		{ live_trans, FPU_FORM_CALL, 0 },
		{ live_fldcw, FPU_FORM_LDCW, 2 },
		{ live_fnstcw, FPU_FORM_STCW, 2 },
		{ live_fnstsw, FPU_FORM_STSW, 2 },
	};
	insn_fn fn = fpu_handler(op, modrm);

	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (forms[i].fn == fn) {
			if (forms[i].size)
				*ret_size = forms[i].size;
			return forms[i].form;
		}
	}
	return FPU_FORM_NONE;
}

#else

enum fpu_form fpu_form(uint8_t op, uint8_t modrm, unsigned *ret_size)
{
	return FPU_FORM_NONE;
}

bool fpu_enter(struct cpu *cpu, bool sets_c1)
{
	return false;
}

void fpu_vacate(void)
{
}

void fpu_leave(struct fpu *f)
{
}

void fpu_done(struct fpu *f)
{
}

insn_fn fpu_handler(uint8_t op, uint8_t modrm)
{
	return fpu_esc;
}

#endif
