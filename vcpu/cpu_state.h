/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU in a snapshot: everything that a guest can notice, its TLB included
 * (docs/architecture.md, "Translations"), and nothing of what an engine keeps beside it. Saving
 * changes nothing. To be called between two instructions, on the thread that runs the CPU.
 */
#ifndef DEJAVM_CPU_STATE_H
#define DEJAVM_CPU_STATE_H

#include "cpu.h"
#include "state.h"

#define VCPU_STATE_VERSION 1
#define STATE_TRANSLATIONS 4 /* TranslationRuns of a VcpuState */

/* Puts groups, translations and what identifies the CPU into *ret, which has been initialised; what
 * it points to is freed with dejavm__vcpu_state__free_unpacked(). 0 or -ENOMEM. */
int cpu_state_save(struct cpu *cpu, Dejavm__VcpuState *ret);
/* Could it be loaded? -EINVAL with *err. Changes nothing. */
int cpu_state_check(struct cpu *cpu, const Dejavm__VcpuState *s, struct error *err);
/*
 * The CPU becomes what s says. The memory map must be set already and guest RAM hold what belongs
 * to it: all that was decoded or translated is dropped. -EINVAL with *err: not a state of this CPU,
 * nothing has changed; -ENOMEM.
 */
int cpu_state_load(struct cpu *cpu, const Dejavm__VcpuState *s, struct error *err);

/* ---- its parts ---- */

extern const struct field lapic_fields[]; /* of *cpu->lapic */
int lapic_state_check(const Dejavm__StateGroup *g, struct error *err);
int mmu_state_save(struct cpu *cpu, Dejavm__VcpuState *ret); /* translations; -ENOMEM */
int mmu_state_check(const Dejavm__VcpuState *s, struct error *err);
void mmu_state_load(struct cpu *cpu, const Dejavm__VcpuState *s); /* one that was checked */

#endif
