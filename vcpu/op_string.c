/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions (SDM vol. 1, 7.3.9; vol. 2, REP). Each iteration retires as one instruction;
 * a REP that is not finished leaves eip where it is. Within a page and within cpu_budget() several
 * iterations are done at once, with the same outcome as one by one.
 *
 * An iteration's faults are precise: registers change after its memory accesses.
 */
#include "operand.h"

/* ---- registers of a string instruction ---- */

static inline uint32_t addr_mask(const struct insn *in)
{
	return in->addrsize == 4 ? 0xffffffffu : 0xffffu;
}

static inline void reg_advance(struct cpu *cpu, const struct insn *in, unsigned r, uint32_t delta)
{
	if (likely(in->addrsize == 4))
		cpu->gpr[r] += delta;
	else
		reg_set16(cpu, r, (uint16_t)(cpu->gpr[r] + delta));
}

static inline int32_t step(const struct cpu *cpu, unsigned size)
{
	return cpu->eflags & FL_DF ? -(int32_t)size : (int32_t)size;
}

/* n iterations are done: counts them; true if more are to come, as far as the count says. */
static bool rep_count(struct cpu *cpu, const struct insn *in, uint32_t n)
{
	reg_advance(cpu, in, R_ECX, 0u - n);
	cpu->icount += n - 1;
	return cpu->gpr[R_ECX] & addr_mask(in);
}

/* Iterations that REP asks for; 0: none at all. Without REP: 1. */
static inline uint32_t rep_wanted(const struct cpu *cpu, const struct insn *in)
{
	return in->rep == REP_NONE ? 1 : cpu->gpr[R_ECX] & addr_mask(in);
}

/*
 * A run of elements in one page of host memory. How many of at most n elements of `size` bytes at
 * seg:off, going in the direction of DF, lie in one page, within the segment, without wrapping: 0
 * if it must be done one by one. Raises what the first element's access raises, if that is a page
 * fault.
 */
static uint32_t run_length(struct cpu *cpu, const struct insn *in, enum seg seg, uint32_t off,
	unsigned size, uint32_t n, bool write, uint8_t **ret_host)
{
	const struct segment *s = &cpu->seg[seg];
	uint64_t end = write ? s->wr_end : s->rd_end;
	uint32_t room, lin, span;

	if (off > addr_mask(in) - (size - 1) || (uint64_t)off + size > end)
		return 0;
	lin = s->base + off;
	room = cpu->eflags & FL_DF ? (lin & 0xfff) / size + 1 : (PAGE_SIZE - (lin & 0xfff)) / size;
	if ((lin & 0xfff) > PAGE_SIZE - size || !room)
		return 0;
	if (n > room)
		n = room;
	span = (n - 1) * size;
	if (cpu->eflags & FL_DF) {
		if (span > off)
			n = off / size + 1;
	} else {
		uint32_t last = end <= addr_mask(in) ? (uint32_t)end - 1 : addr_mask(in);

		if (span > last - off - (size - 1))
			n = (last - off - (size - 1)) / size + 1;
	}
	*ret_host = mmu_host(cpu, lin, write, mem_user(cpu));
	return *ret_host ? n : 0;
}

static inline uint32_t bulk_limit(const struct cpu *cpu, uint32_t n)
{
	uint64_t budget = cpu_budget(cpu);

	return n < budget ? n : (uint32_t)budget;
}

/* ---- MOVS ---- */

/* Elements one after the other, as the processor does: an overlap repeats the pattern. */
static void copy_run(uint8_t *dst, const uint8_t *src, unsigned size, uint32_t n, int32_t delta)
{
	size_t bytes = (size_t)n * size;

	if (delta > 0 && (dst + bytes <= src || src + bytes <= dst)) {
		memcpy(dst, src, bytes);
		return;
	}
	for (; n; n--, dst += delta, src += delta)
		memmove(dst, src, size);
}

static uint32_t movs_bulk(struct cpu *cpu, const struct insn *in, unsigned size, uint32_t want)
{
	uint32_t n = bulk_limit(cpu, want);
	uint8_t *src, *dst;

	if (n < 2)
		return 0;
	n = run_length(cpu, in, in->seg, cpu->gpr[R_ESI] & addr_mask(in), size, n, false, &src);
	if (n)
		n = run_length(
			cpu, in, SEG_ES, cpu->gpr[R_EDI] & addr_mask(in), size, n, true, &dst);
	if (n)
		copy_run(dst, src, size, n, step(cpu, size));
	return n;
}

#define MOVS_(bits, type, stype)                                                       \
	static void movs_##bits(struct cpu *cpu, const struct insn *in)                \
	{                                                                              \
		uint32_t n, want = rep_wanted(cpu, in), mask = addr_mask(in);          \
		if (!want)                                                             \
			return;                                                        \
		n = in->rep == REP_NONE ? 0 : movs_bulk(cpu, in, bits / 8, want);      \
		if (!n) {                                                              \
			type v = seg_read##bits(cpu, in->seg, cpu->gpr[R_ESI] & mask); \
			seg_write##bits(cpu, SEG_ES, cpu->gpr[R_EDI] & mask, v);       \
			n = 1;                                                         \
		}                                                                      \
		reg_advance(cpu, in, R_ESI, n *(uint32_t)step(cpu, bits / 8));         \
		reg_advance(cpu, in, R_EDI, n *(uint32_t)step(cpu, bits / 8));         \
		if (in->rep != REP_NONE)                                               \
			cpu->rep_again = rep_count(cpu, in, n);                        \
	}
SIZES(MOVS_)
OP_SIZED(movs);

/* ---- STOS, LODS ---- */

static void fill_run(uint8_t *dst, unsigned size, uint32_t v, uint32_t n, int32_t delta)
{
	if (delta < 0)
		dst -= (size_t)(n - 1) * size;
	if (size == 1) {
		memset(dst, (int)v, n);
		return;
	}
	for (; n; n--, dst += size)
		memcpy(dst, &v, size);
}

static uint32_t stos_bulk(struct cpu *cpu, const struct insn *in, unsigned size, uint32_t want)
{
	uint32_t n = bulk_limit(cpu, want);
	uint8_t *dst;

	if (n < 2)
		return 0;
	n = run_length(cpu, in, SEG_ES, cpu->gpr[R_EDI] & addr_mask(in), size, n, true, &dst);
	if (n)
		fill_run(dst, size, cpu->gpr[R_EAX], n, step(cpu, size));
	return n;
}

#define STOS_(bits, type, stype)                                                                 \
	static void stos_##bits(struct cpu *cpu, const struct insn *in)                          \
	{                                                                                        \
		uint32_t n, want = rep_wanted(cpu, in), mask = addr_mask(in);                    \
		if (!want)                                                                       \
			return;                                                                  \
		n = in->rep == REP_NONE ? 0 : stos_bulk(cpu, in, bits / 8, want);                \
		if (!n) {                                                                        \
			seg_write##bits(                                                         \
				cpu, SEG_ES, cpu->gpr[R_EDI] & mask, reg_get##bits(cpu, R_EAX)); \
			n = 1;                                                                   \
		}                                                                                \
		reg_advance(cpu, in, R_EDI, n *(uint32_t)step(cpu, bits / 8));                   \
		if (in->rep != REP_NONE)                                                         \
			cpu->rep_again = rep_count(cpu, in, n);                                  \
	}                                                                                        \
	static void lods_##bits(struct cpu *cpu, const struct insn *in)                          \
	{                                                                                        \
		uint32_t want = rep_wanted(cpu, in), mask = addr_mask(in);                       \
		if (!want)                                                                       \
			return;                                                                  \
		reg_set##bits(cpu, R_EAX, seg_read##bits(cpu, in->seg, cpu->gpr[R_ESI] & mask)); \
		reg_advance(cpu, in, R_ESI, (uint32_t)step(cpu, bits / 8));                      \
		if (in->rep != REP_NONE)                                                         \
			cpu->rep_again = rep_count(cpu, in, 1);                                  \
	}
SIZES(STOS_)
OP_SIZED(stos);
OP_SIZED(lods);

/* ---- CMPS, SCAS: end also when ZF is not as the prefix wants ---- */

static inline bool rep_goes_on(const struct cpu *cpu, const struct insn *in)
{
	return !(cpu->cc & CC_ZF) == (in->rep == REP_REPNE);
}

#define CMPS_(bits, type, stype)                                                                   \
	/* Counts how many elements are compared: up to and including the one that ends it. */     \
	static uint32_t cmps_bulk##bits(                                                           \
		struct cpu *cpu, const struct insn *in, uint32_t want, type *ret_a, type *ret_b)   \
	{                                                                                          \
		uint32_t n = bulk_limit(cpu, want), i;                                             \
		int32_t delta = step(cpu, bits / 8);                                               \
		bool until_equal = in->rep == REP_REPNE;                                           \
		uint8_t *src, *dst;                                                                \
		if (n < 2)                                                                         \
			return 0;                                                                  \
		n = run_length(cpu, in, in->seg, cpu->gpr[R_ESI] & addr_mask(in), bits / 8, n,     \
			false, &src);                                                              \
		if (n)                                                                             \
			n = run_length(cpu, in, SEG_ES, cpu->gpr[R_EDI] & addr_mask(in), bits / 8, \
				n, false, &dst);                                                   \
		for (i = 0; i < n; i++, src += delta, dst += delta) {                              \
			memcpy(ret_a, src, sizeof(type));                                          \
			memcpy(ret_b, dst, sizeof(type));                                          \
			if ((*ret_a == *ret_b) == until_equal)                                     \
				return i + 1;                                                      \
		}                                                                                  \
		return n;                                                                          \
	}                                                                                          \
	static void cmps_##bits(struct cpu *cpu, const struct insn *in)                            \
	{                                                                                          \
		uint32_t n = 0, want = rep_wanted(cpu, in), mask = addr_mask(in);                  \
		type a, b;                                                                         \
		if (!want)                                                                         \
			return;                                                                    \
		if (in->rep != REP_NONE)                                                           \
			n = cmps_bulk##bits(cpu, in, want, &a, &b);                                \
		if (!n) {                                                                          \
			a = seg_read##bits(cpu, in->seg, cpu->gpr[R_ESI] & mask);                  \
			b = seg_read##bits(cpu, SEG_ES, cpu->gpr[R_EDI] & mask);                   \
			n = 1;                                                                     \
		}                                                                                  \
		alu_sub##bits(cpu, a, b);                                                          \
		reg_advance(cpu, in, R_ESI, n *(uint32_t)step(cpu, bits / 8));                     \
		reg_advance(cpu, in, R_EDI, n *(uint32_t)step(cpu, bits / 8));                     \
		if (in->rep != REP_NONE)                                                           \
			cpu->rep_again = rep_count(cpu, in, n) && rep_goes_on(cpu, in);            \
	}                                                                                          \
	static uint32_t scas_bulk##bits(                                                           \
		struct cpu *cpu, const struct insn *in, uint32_t want, type *ret_b)                \
	{                                                                                          \
		uint32_t n = bulk_limit(cpu, want), i;                                             \
		int32_t delta = step(cpu, bits / 8);                                               \
		bool until_equal = in->rep == REP_REPNE;                                           \
		type a = reg_get##bits(cpu, R_EAX);                                                \
		uint8_t *dst;                                                                      \
		if (n < 2)                                                                         \
			return 0;                                                                  \
		n = run_length(cpu, in, SEG_ES, cpu->gpr[R_EDI] & addr_mask(in), bits / 8, n,      \
			false, &dst);                                                              \
		for (i = 0; i < n; i++, dst += delta) {                                            \
			memcpy(ret_b, dst, sizeof(type));                                          \
			if ((a == *ret_b) == until_equal)                                          \
				return i + 1;                                                      \
		}                                                                                  \
		return n;                                                                          \
	}                                                                                          \
	static void scas_##bits(struct cpu *cpu, const struct insn *in)                            \
	{                                                                                          \
		uint32_t n = 0, want = rep_wanted(cpu, in), mask = addr_mask(in);                  \
		type b;                                                                            \
		if (!want)                                                                         \
			return;                                                                    \
		if (in->rep != REP_NONE)                                                           \
			n = scas_bulk##bits(cpu, in, want, &b);                                    \
		if (!n) {                                                                          \
			b = seg_read##bits(cpu, SEG_ES, cpu->gpr[R_EDI] & mask);                   \
			n = 1;                                                                     \
		}                                                                                  \
		alu_sub##bits(cpu, reg_get##bits(cpu, R_EAX), b);                                  \
		reg_advance(cpu, in, R_EDI, n *(uint32_t)step(cpu, bits / 8));                     \
		if (in->rep != REP_NONE)                                                           \
			cpu->rep_again = rep_count(cpu, in, n) && rep_goes_on(cpu, in);            \
	}
SIZES(CMPS_)
OP_SIZED(cmps);
OP_SIZED(scas);

/* ---- INS, OUTS: permission, then memory, then the port ---- */

/*
 * In bulk only forward and within a page. How many go at once is seen by nobody: each element has
 * its own icount, and devices stop where one by one would be looked at. INS is never an IN, which
 * takes time on the bus. The memory is looked up again after the bus has answered: devices may have
 * changed the map.
 */
static uint32_t ins_bulk(
	struct cpu *cpu, const struct insn *in, uint16_t port, unsigned size, uint32_t want)
{
	uint32_t n = bulk_limit(cpu, want), edi = cpu->gpr[R_EDI] & addr_mask(in), lin;
	uint8_t buf[PAGE_SIZE], *dst;

	if (n < 2 || (cpu->eflags & FL_DF))
		return 0;
	n = run_length(cpu, in, SEG_ES, edi, size, n, true, &dst);
	if (n < 2)
		return 0;
	n = cpu->bus->ins(cpu, port, size, n, buf);
	lin = cpu->seg[SEG_ES].base + edi;
	dst = mmu_host(cpu, lin, true, mem_user(cpu));
	if (dst) {
		memcpy(dst, buf, (size_t)n * size);
	} else {
		for (uint32_t i = 0; i < n * size; i++)
			lin_write8(cpu, lin + i, buf[i], mem_user(cpu));
	}
	return n;
}

static uint32_t outs_bulk(
	struct cpu *cpu, const struct insn *in, uint16_t port, unsigned size, uint32_t want)
{
	uint32_t n = bulk_limit(cpu, want);
	uint8_t buf[PAGE_SIZE], *src;

	if (n < 2 || (cpu->eflags & FL_DF))
		return 0;
	n = run_length(cpu, in, in->seg, cpu->gpr[R_ESI] & addr_mask(in), size, n, false, &src);
	if (n < 2)
		return 0;
	memcpy(buf, src, (size_t)n * size);
	return cpu->bus->outs(cpu, port, size, n, buf);
}

static void watch_io(struct cpu *cpu, uint16_t port, unsigned size)
{
	if (unlikely(cpu->dr_armed))
		debug_check_io(cpu, port, size);
}

#define INS_(bits, type, stype)                                                         \
	static void ins_##bits(struct cpu *cpu, const struct insn *in)                  \
	{                                                                               \
		uint32_t n = 0, want = rep_wanted(cpu, in), mask = addr_mask(in);       \
		uint16_t port = reg_get16(cpu, R_EDX);                                  \
		type v;                                                                 \
		if (!want)                                                              \
			return;                                                         \
		cpu_check_io(cpu, port, bits / 8);                                      \
		if (in->rep != REP_NONE && !cpu->dr_armed)                              \
			n = ins_bulk(cpu, in, port, bits / 8, want);                    \
		if (!n) {                                                               \
			seg_probe_write(cpu, SEG_ES, cpu->gpr[R_EDI] & mask, bits / 8); \
			cpu->bus->ins(cpu, port, bits / 8, 1, &v);                      \
			seg_write##bits(cpu, SEG_ES, cpu->gpr[R_EDI] & mask, v);        \
			watch_io(cpu, port, bits / 8);                                  \
			n = 1;                                                          \
		}                                                                       \
		reg_advance(cpu, in, R_EDI, n *(uint32_t)step(cpu, bits / 8));          \
		if (in->rep != REP_NONE)                                                \
			cpu->rep_again = rep_count(cpu, in, n);                         \
	}                                                                               \
	static void outs_##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                               \
		uint32_t n = 0, want = rep_wanted(cpu, in), mask = addr_mask(in);       \
		uint16_t port = reg_get16(cpu, R_EDX);                                  \
		if (!want)                                                              \
			return;                                                         \
		cpu_check_io(cpu, port, bits / 8);                                      \
		if (in->rep != REP_NONE && !cpu->dr_armed)                              \
			n = outs_bulk(cpu, in, port, bits / 8, want);                   \
		if (!n) {                                                               \
			type v = seg_read##bits(cpu, in->seg, cpu->gpr[R_ESI] & mask);  \
			cpu->bus->out(cpu, port, bits / 8, v);                          \
			watch_io(cpu, port, bits / 8);                                  \
			n = 1;                                                          \
		}                                                                       \
		reg_advance(cpu, in, R_ESI, n *(uint32_t)step(cpu, bits / 8));          \
		if (in->rep != REP_NONE)                                                \
			cpu->rep_again = rep_count(cpu, in, n);                         \
	}
SIZES(INS_)
OP_SIZED(ins);
OP_SIZED(outs);
