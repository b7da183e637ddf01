/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules for SSE: what the host may do with its own instruction (docs/sse.md). */
#include "front_int.h"
#include "sse.h"

static bool kind_is(unsigned o, unsigned kind)
{
	return (o & S_KIND) == kind;
}

static bool has_kind(const struct sse_desc *d, const struct insn *in, unsigned kind)
{
	return kind_is(d->reg, kind) || (kind_is(d->rm, kind) && !in->mem);
}

/*
 * Operands in registers of one kind, in general registers and in memory, and no effect besides but
 * flags.
 */
static bool is_regular(const struct sse_desc *d, const struct insn *in)
{
	const unsigned can = S_A | S_FP | S_FL | S_MO | S_RO | S_LD | S_X0;

	if (!SSE_HOST || (d->flags & ~can) || (!d->reg && d->ext < 0))
		return false;
	if (has_kind(d, in, S_X) == has_kind(d, in, S_M))
		return false;
	if (has_kind(d, in, S_M) && (d->flags & S_FP)) /* CVTPS2PI of memory, and its kin */
		return false;
	return !in->mem || (d->mem && !(d->mem & (d->mem - 1)) && d->mem <= 16);
}

bool front_sse(struct front *f, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);
	unsigned dst = IR_NONE, size = in->mem ? d->mem : 4;
	bool write;

	if (!is_regular(d, in))
		return false;
	write = in->mem && (d->rm & S_W); /* none reads memory and writes it */
	front_op(f, IR_SSEGATE, 0, IR_NONE, IR_NONE, IR_NONE);
	if (in->mem)
		front_host(f, in, size, write);
	if (kind_is(d->reg, S_G) && (d->reg & S_W))
		dst = in->reg;
	else if (!in->mem && kind_is(d->rm, S_G) && (d->rm & S_W))
		dst = in->rm;
	front_op(f, d->flags & S_FL ? IR_SSEFL : IR_SSE, size, dst, in->mem ? IR_MEM : IR_NONE,
		IR_NONE);
	return true;
}
