/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as instructions see it: segment check, software TLB with an inline hit path, and the slow path in
 * mmu.c (page walk with accessed and dirty bits, page straddles, MMIO, ROM, pages with decoded code).
 */
#ifndef DEJAVM_MEM_H
#define DEJAVM_MEM_H

#include <string.h>
#include "cpu.h"

/*
 * The functions below raise #GP, #SS, #PF, #AC as due. seg_* take a segment and an offset; lin_* a linear address
 * and are for system structures (descriptor tables, TSS, stacks during delivery): `user` false means a supervisor
 * access whatever the CPL (implicit supervisor access, SDM vol. 3, 4.6).
 * An access that straddles a page is checked on both pages before anything is written.
 *
 * Provided inline in this header by the core's author:
 *	uint8_t  seg_read8 (struct cpu *, enum seg, uint32_t off);   also 16, 32, 64
 *	void     seg_write8(struct cpu *, enum seg, uint32_t off, uint8_t v);  also 16, 32, 64
 *	uint8_t  lin_read8 (struct cpu *, uint32_t lin, bool user);  also 16, 32, 64
 *	void     lin_write8(struct cpu *, uint32_t lin, uint8_t v, bool user);  also 16, 32
 *	void     seg_probe_write(struct cpu *, enum seg, uint32_t off, unsigned size): raises if a write would
 *	void     lin_probe(struct cpu *, uint32_t lin, unsigned size, bool write, bool user);
 *	uint32_t insn_ea(struct cpu *, const struct insn *): effective offset of the memory operand, address size applied
 *	stack:	 void push16/push32(struct cpu *, v) at the current CPL, by SS.B; pop likewise
 *	void     seg_read_bytes(struct cpu *, enum seg, uint32_t off, void *buf, unsigned n);  n <= 512, for FPU images
 *	void     seg_write_bytes(struct cpu *, enum seg, uint32_t off, const void *buf, unsigned n);  all-or-nothing on faults
 */

#endif
