/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fake of vcpu/mem.h for the FPU's tests: memory is one array, whatever the segment; an access
 * that reaches outside raises #PF. The FPU's sources are built with this put before them
 * (-include).
 */
#ifndef DEJAVM_MEM_H
#define DEJAVM_MEM_H

#include <string.h>
#include "cpu.h"

#define FAKE_MEM_LEN 4096

extern uint8_t fake_mem[FAKE_MEM_LEN];
extern unsigned fake_writes; /* calls that wrote */

static inline uint8_t *fake_at(struct cpu *cpu, enum seg seg, uint32_t off, unsigned n)
{
	uint32_t lin = cpu->seg[seg].base + off;

	if (lin > FAKE_MEM_LEN || n > FAKE_MEM_LEN - lin)
		cpu_raise(cpu, EXCP_PF);
	return fake_mem + lin;
}

#define FAKE_ACCESS(bits)                                                                        \
	static inline uint##bits##_t seg_read##bits(struct cpu *cpu, enum seg seg, uint32_t off) \
	{                                                                                        \
		uint##bits##_t v;                                                                \
		memcpy(&v, fake_at(cpu, seg, off, bits / 8), bits / 8);                          \
		return v;                                                                        \
	}                                                                                        \
	static inline void seg_write##bits(                                                      \
		struct cpu *cpu, enum seg seg, uint32_t off, uint##bits##_t v)                   \
	{                                                                                        \
		memcpy(fake_at(cpu, seg, off, bits / 8), &v, bits / 8);                          \
		fake_writes++;                                                                   \
	}
FAKE_ACCESS(16)
FAKE_ACCESS(32)
FAKE_ACCESS(64)

static inline uint8_t *seg_host(
	struct cpu *cpu, enum seg seg, uint32_t off, unsigned size, bool write)
{
	fake_writes += write;
	return fake_at(cpu, seg, off, size);
}

static inline void seg_read_bytes(
	struct cpu *cpu, enum seg seg, uint32_t off, void *buf, unsigned n)
{
	memcpy(buf, fake_at(cpu, seg, off, n), n);
}

static inline void seg_write_bytes(
	struct cpu *cpu, enum seg seg, uint32_t off, const void *buf, unsigned n)
{
	memcpy(fake_at(cpu, seg, off, n), buf, n);
	fake_writes++;
}

static inline void seg_probe_write(struct cpu *cpu, enum seg seg, uint32_t off, unsigned n)
{
	fake_at(cpu, seg, off, n);
}

static inline uint32_t insn_ea(struct cpu *cpu, const struct insn *in)
{
	return in->disp;
}

#endif
