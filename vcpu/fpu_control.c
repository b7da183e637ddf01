/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 control: the control, status and tag words, environments and whole states in their memory
 * layouts (SDM vol. 1, 8.1, figures 8-9 to 8-12; FXSAVE: vol. 2 and vol. 1, 10.5).
 */
#include <string.h>
#include "fpu_int.h"
#include "hash.h"
#include "mem.h"
#include "sse.h"

#define FXSAVE_LEN 512
/* What is written of it. Without CR4.OSFXSR the XMM registers are left out (SDM vol. 3, 2.5). */
#define FXSAVE_X87 160
#define FXSAVE_XMM (FXSAVE_X87 + 8 * 16)

uint16_t fpu_status(const struct fpu *f)
{
	return (uint16_t)(f->sw | f->top << 11);
}

uint16_t fpu_tags(const struct fpu *f)
{
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		unsigned tag = 2; /* special */

		if (f->empty >> i & 1)
			tag = 3;
		else if (f80_is_zero(f->reg[i]))
			tag = 1;
		else if (f80_is_normal(f->reg[i]))
			tag = 0;
		tags |= tag << 2 * i;
	}
	return (uint16_t)tags;
}

/* Only "empty" is kept of a tag word: the other tags follow the contents. */
static void set_tags(struct fpu *f, unsigned tags)
{
	f->empty = 0;
	for (unsigned i = 0; i < 8; i++)
		if ((tags >> 2 * i & 3) == 3)
			f->empty |= (uint8_t)(1u << i);
}

/* ES and B are a summary of the others. */
static void update_summary(struct fpu *f)
{
	f->sw &= (uint16_t) ~(SW_ES | SW_B);
	if (fpu_unmasked(f, f->sw, SW_EXCPS))
		f->sw |= SW_ES | SW_B;
	else
		f->ignne = false; /* the board withdraws it when FERR# goes */
}

void fpu_set_cw(struct fpu *f, uint16_t cw)
{
	/* The reserved precision 01 means extended. */
	static const uint8_t prec[4] = { 24, 64, 53, 64 };

	f->cw = (cw & 0x1f3f) | 0x0040;
	f->env.masks = f->cw & SW_EXCPS;
	f->env.rc = f->cw >> 10 & 3;
	f->env.prec = prec[f->cw >> 8 & 3];
	update_summary(f);
}

void fpu_set_status(struct fpu *f, uint16_t sw)
{
	f->top = sw >> 11 & 7;
	f->sw = sw & (uint16_t)~0x3800u;
	update_summary(f);
}

static void init(struct fpu *f)
{
	fpu_set_status(f, 0);
	fpu_set_cw(f, 0x037f);
	f->empty = 0xff;
	f->fop = f->fcs = f->fds = 0;
	f->fip = f->fdp = 0;
}

void fpu_op_fninit(struct fpu_op *op)
{
	init(op->f);
}

void fpu_op_fnclex(struct fpu_op *op)
{
	op->f->sw &= (uint16_t) ~(SW_EXCPS | SW_SF);
	update_summary(op->f);
}

void fpu_op_fldcw(struct fpu_op *op)
{
	fpu_set_cw(op->f, seg_read16(op->cpu, op->in->seg, op->ea));
}

void fpu_op_fnstcw(struct fpu_op *op)
{
	seg_write16(op->cpu, op->in->seg, op->ea, op->f->cw);
}

void fpu_op_fnstsw(struct fpu_op *op)
{
	seg_write16(op->cpu, op->in->seg, op->ea, fpu_status(op->f));
}

void fpu_op_fnstsw_ax(struct fpu_op *op)
{
	uint32_t *eax = &op->cpu->gpr[R_EAX];

	*eax = (*eax & 0xffff0000) | fpu_status(op->f);
}

/* arg: FENI, FDISI, FSETPM, which are control instructions and change nothing at all */
void fpu_op_fnop(struct fpu_op *op)
{
	if (!op->arg)
		fpu_note(op);
}

void fpu_op_ffree(struct fpu_op *op)
{
	struct fpu *f = op->f;

	fpu_note(op);
	fpu_commit(f, 0);
	f->empty |= (uint8_t)(1u << fpu_phys(f, op->rm));
	if (op->arg)
		fpu_pop(f);
}

void fpu_op_fstp(struct fpu_op *op)
{
	struct fpu *f = op->f;

	fpu_note(op);
	fpu_commit(f, 0);
	f->top = (op->rm == 6 ? f->top - 1 : f->top + 1) & 7;
}

/* ---- environments ---- */
static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v);
	put16(p + 2, v >> 16);
}

static unsigned get16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static unsigned env_len(const struct fpu_op *op)
{
	return op->in->opsize == 4 ? 28 : 14;
}

static void env_pack16(const struct fpu_op *op, uint8_t *b)
{
	const struct fpu *f = op->f;

	put16(b, f->cw);
	put16(b + 2, fpu_status(f));
	put16(b + 4, fpu_tags(f));
	if (cpu_protected(op->cpu)) {
		put16(b + 6, f->fip);
		put16(b + 8, f->fcs);
		put16(b + 10, f->fdp);
		put16(b + 12, f->fds);
	} else {
		uint32_t ip = f->fip + ((uint32_t)f->fcs << 4);
		uint32_t dp = f->fdp + ((uint32_t)f->fds << 4);

		put16(b + 6, ip);
		put16(b + 8, (ip >> 4 & 0xf000) | f->fop);
		put16(b + 10, dp);
		put16(b + 12, dp >> 4 & 0xf000);
	}
}

static void env_pack32(const struct fpu_op *op, uint8_t *b)
{
	const struct fpu *f = op->f;

	put32(b, 0xffff0000 | f->cw);
	put32(b + 4, 0xffff0000 | fpu_status(f));
	put32(b + 8, 0xffff0000 | fpu_tags(f));
	if (cpu_protected(op->cpu)) {
		put32(b + 12, f->fip);
		put32(b + 16, (uint32_t)f->fop << 16 | f->fcs);
		put32(b + 20, f->fdp);
		put32(b + 24, 0xffff0000 | f->fds);
	} else {
		uint32_t ip = f->fip + ((uint32_t)f->fcs << 4);
		uint32_t dp = f->fdp + ((uint32_t)f->fds << 4);

		put32(b + 12, 0xffff0000 | (ip & 0xffff));
		put32(b + 16, (ip >> 16) << 12 | f->fop);
		put32(b + 20, 0xffff0000 | (dp & 0xffff));
		put32(b + 24, (dp >> 16) << 12);
	}
}

static void env_unpack16(const struct fpu_op *op, const uint8_t *b)
{
	struct fpu *f = op->f;

	fpu_set_cw(f, (uint16_t)get16(b));
	fpu_set_status(f, (uint16_t)get16(b + 2));
	set_tags(f, get16(b + 4));
	if (cpu_protected(op->cpu)) {
		f->fip = get16(b + 6);
		f->fcs = (uint16_t)get16(b + 8);
		f->fdp = get16(b + 10);
		f->fds = (uint16_t)get16(b + 12);
		f->fop = 0;
	} else {
		f->fip = get16(b + 6) | (get16(b + 8) & 0xf000) << 4;
		f->fop = get16(b + 8) & 0x7ff;
		f->fdp = get16(b + 10) | (get16(b + 12) & 0xf000) << 4;
		f->fcs = f->fds = 0;
	}
}

static void env_unpack32(const struct fpu_op *op, const uint8_t *b)
{
	struct fpu *f = op->f;

	fpu_set_cw(f, (uint16_t)get16(b));
	fpu_set_status(f, (uint16_t)get16(b + 4));
	set_tags(f, get16(b + 8));
	if (cpu_protected(op->cpu)) {
		f->fip = get32(b + 12);
		f->fcs = (uint16_t)get16(b + 16);
		f->fop = get16(b + 18) & 0x7ff;
		f->fdp = get32(b + 20);
		f->fds = (uint16_t)get16(b + 24);
	} else {
		f->fip = get16(b + 12) | (get32(b + 16) & 0x0ffff000) << 4;
		f->fop = get16(b + 16) & 0x7ff;
		f->fdp = get16(b + 20) | (get32(b + 24) & 0x0ffff000) << 4;
		f->fcs = f->fds = 0;
	}
}

static void env_pack(const struct fpu_op *op, uint8_t *b)
{
	if (op->in->opsize == 4)
		env_pack32(op, b);
	else
		env_pack16(op, b);
}

static void env_unpack(const struct fpu_op *op, const uint8_t *b)
{
	if (op->in->opsize == 4)
		env_unpack32(op, b);
	else
		env_unpack16(op, b);
}

void fpu_op_fnstenv(struct fpu_op *op)
{
	uint8_t b[28];

	env_pack(op, b);
	seg_write_bytes(op->cpu, op->in->seg, op->ea, b, env_len(op));
	fpu_set_cw(op->f, op->f->cw | SW_EXCPS);
}

void fpu_op_fldenv(struct fpu_op *op)
{
	uint8_t b[28];

	seg_read_bytes(op->cpu, op->in->seg, op->ea, b, env_len(op));
	env_unpack(op, b);
}

/* Registers in stack order, 10 bytes each at a stride */
static void regs_pack(const struct fpu *f, uint8_t *b, unsigned stride)
{
	for (unsigned i = 0; i < 8; i++, b += stride) {
		struct f80 x = fpu_st(f, i);

		put32(b, (uint32_t)x.m);
		put32(b + 4, (uint32_t)(x.m >> 32));
		put16(b + 8, x.se);
	}
}

static void regs_unpack(struct fpu *f, const uint8_t *b, unsigned stride)
{
	for (unsigned i = 0; i < 8; i++, b += stride) {
		struct f80 *x = &f->reg[fpu_phys(f, i)];

		x->m = get32(b) | (uint64_t)get32(b + 4) << 32;
		x->se = (uint16_t)get16(b + 8);
	}
}

void fpu_op_fnsave(struct fpu_op *op)
{
	unsigned len = env_len(op);
	uint8_t b[108];

	env_pack(op, b);
	regs_pack(op->f, b + len, 10);
	seg_write_bytes(op->cpu, op->in->seg, op->ea, b, len + 80);
	init(op->f);
}

void fpu_op_frstor(struct fpu_op *op)
{
	unsigned len = env_len(op);
	uint8_t b[108];

	seg_read_bytes(op->cpu, op->in->seg, op->ea, b, len + 80);
	env_unpack(op, b);
	regs_unpack(op->f, b + len, 10);
}

/* ---- FXSAVE, FXRSTOR ---- */
static uint32_t fx_address(struct cpu *cpu, const struct insn *in)
{
	uint32_t ea;

	if (!(cpu->isa & ISA_FXSR))
		cpu_raise(cpu, EXCP_UD);
	if (cpu->cr0 & (CR0_EM | CR0_TS))
		cpu_raise(cpu, EXCP_NM);
	ea = insn_ea(cpu, in);
	/* Of the linear address; a descriptor's base need not be aligned. */
	if ((cpu->seg[in->seg].base + ea) & 15)
		cpu_raise_err(cpu, EXCP_GP, 0);
	return ea;
}

static bool fx_has_xmm(const struct cpu *cpu)
{
	return (cpu->isa & ISA_SSE) && (cpu->cr4 & CR4_OSFXSR);
}

void fpu_fxsave(struct cpu *cpu, const struct insn *in)
{
	uint32_t ea = fx_address(cpu, in);
	struct fpu *f = cpu->fpu;
	unsigned len = FXSAVE_X87;
	uint8_t b[FXSAVE_XMM] = { 0 };

	/* The operand has 512 bytes, whatever of it is written. */
	seg_probe_write(cpu, in->seg, ea, FXSAVE_LEN);
	fpu_park(f);
	put16(b, f->cw);
	put16(b + 2, fpu_status(f));
	b[4] = (uint8_t)~f->empty;
	put16(b + 6, f->fop);
	put32(b + 8, f->fip);
	put16(b + 12, f->fcs);
	put32(b + 16, f->fdp);
	put16(b + 20, f->fds);
	regs_pack(f, b + 32, 16);
	/* MXCSR and its mask (24..31) are zero without SSE. */
	if (fx_has_xmm(cpu)) {
		sse_park(cpu);
		put32(b + 24, cpu->mxcsr);
		put32(b + 28, sse_mxcsr_mask(cpu));
		memcpy(b + FXSAVE_X87, cpu->xmm, sizeof(cpu->xmm));
		len = FXSAVE_XMM;
	}
	seg_write_bytes(cpu, in->seg, ea, b, len);
}

void fpu_fxrstor(struct cpu *cpu, const struct insn *in)
{
	uint32_t ea = fx_address(cpu, in);
	struct fpu *f = cpu->fpu;
	uint8_t b[FXSAVE_LEN];

	seg_read_bytes(cpu, in->seg, ea, b, sizeof(b));
	if (fx_has_xmm(cpu)) {
		sse_check_mxcsr(cpu, get32(b + 24));
		sse_park(cpu);
		cpu->mxcsr = get32(b + 24);
		memcpy(cpu->xmm, b + FXSAVE_X87, sizeof(cpu->xmm));
	}
	fpu_park(f);
	fpu_set_cw(f, (uint16_t)get16(b));
	fpu_set_status(f, (uint16_t)get16(b + 2));
	f->empty = (uint8_t)~b[4];
	f->fop = get16(b + 6) & 0x7ff;
	f->fip = get32(b + 8);
	f->fcs = (uint16_t)get16(b + 12);
	f->fdp = get32(b + 16);
	f->fds = (uint16_t)get16(b + 20);
	regs_unpack(f, b + 32, 16);
}

uint64_t fpu_digest(const struct cpu *cpu)
{
	struct fpu *f = cpu->fpu;
	uint8_t b[8 * 10 + 20];
	uint8_t *p = b + 80;

	fpu_park(f);
	for (unsigned i = 0; i < 8; i++) {
		put32(b + 10 * i, (uint32_t)f->reg[i].m);
		put32(b + 10 * i + 4, (uint32_t)(f->reg[i].m >> 32));
		put16(b + 10 * i + 8, f->reg[i].se);
	}
	put16(p, f->cw);
	put16(p + 2, fpu_status(f));
	p[4] = f->empty;
	p[5] = f->ignne;
	put16(p + 6, f->fop);
	put32(p + 8, f->fip);
	put32(p + 12, f->fdp);
	put16(p + 16, f->fcs);
	put16(p + 18, f->fds);
	return hash64(0, b, sizeof(b));
}
