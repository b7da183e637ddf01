/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of the system instructions, I/O, flags and far transfers (SDM vol. 2, vol. 3 ch. 2, 5,
 * 6, 7). Rows of insn.def name them. Handlers marked "sets eip" are control transfers in the sense
 * of insn.h; all others let the engine add in->len.
 */
#ifndef DEJAVM_OP_SYSTEM_H
#define DEJAVM_OP_SYSTEM_H

#include "cpu.h"

/* Segment registers. op_push_seg, op_pop_seg: in->imm2 = enum seg; mov: in->reg = enum seg, ModRM
 * r/m is the operand. */
void op_push_seg(struct cpu *cpu, const struct insn *in);
void op_pop_seg(struct cpu *cpu, const struct insn *in);
void op_mov_from_seg(struct cpu *cpu, const struct insn *in); /* 8C: r/m from Sreg */
void op_mov_to_seg(struct cpu *cpu, const struct insn *in);   /* 8E: Sreg from r/m */
void op_lds(struct cpu *cpu, const struct insn *in); /* LDS LES LSS LFS LGS; in->imm2 = enum seg */

/* Far transfers: set eip. in->imm offset, in->imm2 selector; mem: insn_ea(). ret_far_imm: in->imm
 * bytes. */
void op_jmp_far_imm(struct cpu *cpu, const struct insn *in);
void op_jmp_far_mem(struct cpu *cpu, const struct insn *in);
void op_call_far_imm(struct cpu *cpu, const struct insn *in);
void op_call_far_mem(struct cpu *cpu, const struct insn *in);
void op_ret_far(struct cpu *cpu, const struct insn *in);
void op_ret_far_imm(struct cpu *cpu, const struct insn *in);
void op_iret(struct cpu *cpu, const struct insn *in);

/* Software interrupts: set eip. INT n: in->imm & 0xff. */
void op_int3(struct cpu *cpu, const struct insn *in);
void op_int_n(struct cpu *cpu, const struct insn *in);
void op_into(struct cpu *cpu, const struct insn *in);
void op_icebp(struct cpu *cpu, const struct insn *in);
void op_ud(struct cpu *cpu, const struct insn *in); /* always #UD */

/* Flags, halt. */
void op_pushf(struct cpu *cpu, const struct insn *in);
void op_popf(struct cpu *cpu, const struct insn *in);
void op_cli(struct cpu *cpu, const struct insn *in);
void op_sti(struct cpu *cpu, const struct insn *in);
void op_hlt(struct cpu *cpu, const struct insn *in); /* halts after it has retired */

/* Port I/O: in->opsize 1, 2, 4. imm forms: port in->imm & 0xff. (INS and OUTS: string ops, with
 * cpu_check_io.) */
void op_in_imm(struct cpu *cpu, const struct insn *in);
void op_in_dx(struct cpu *cpu, const struct insn *in);
void op_out_imm(struct cpu *cpu, const struct insn *in);
void op_out_dx(struct cpu *cpu, const struct insn *in);

/* Descriptor tables and system registers. */
void op_lgdt(struct cpu *cpu, const struct insn *in);
void op_lidt(struct cpu *cpu, const struct insn *in);
void op_sgdt(struct cpu *cpu, const struct insn *in);
void op_sidt(struct cpu *cpu, const struct insn *in);
void op_sldt(struct cpu *cpu, const struct insn *in);
void op_str(struct cpu *cpu, const struct insn *in);
void op_lldt(struct cpu *cpu, const struct insn *in);
void op_ltr(struct cpu *cpu, const struct insn *in);
void op_verr(struct cpu *cpu, const struct insn *in);
void op_verw(struct cpu *cpu, const struct insn *in);
void op_lar(struct cpu *cpu, const struct insn *in);
void op_lsl(struct cpu *cpu, const struct insn *in);
void op_arpl(struct cpu *cpu, const struct insn *in);
void op_smsw(struct cpu *cpu, const struct insn *in);
void op_lmsw(struct cpu *cpu, const struct insn *in);
void op_clts(struct cpu *cpu, const struct insn *in);
void op_invlpg(struct cpu *cpu, const struct insn *in);
/* in->reg = control/debug register, in->rm = general register, whatever ModRM.mod says */
void op_mov_from_cr(struct cpu *cpu, const struct insn *in);
void op_mov_to_cr(struct cpu *cpu, const struct insn *in);
void op_mov_from_dr(struct cpu *cpu, const struct insn *in);
void op_mov_to_dr(struct cpu *cpu, const struct insn *in);
void op_invd(struct cpu *cpu, const struct insn *in);
void op_wbinvd(struct cpu *cpu, const struct insn *in);

/* Processor identity, MSRs, counters, fast calls. sysenter, sysexit, rsm set eip. */
void op_cpuid(struct cpu *cpu, const struct insn *in);
void op_rdmsr(struct cpu *cpu, const struct insn *in);
void op_wrmsr(struct cpu *cpu, const struct insn *in);
void op_rdtsc(struct cpu *cpu, const struct insn *in);
void op_rdpmc(struct cpu *cpu, const struct insn *in);
void op_rsm(struct cpu *cpu, const struct insn *in);
void op_sysenter(struct cpu *cpu, const struct insn *in);
void op_sysexit(struct cpu *cpu, const struct insn *in);

#endif
