/* SPDX-License-Identifier: GPL-2.0-or-later */
/* EFLAGS as a whole: flags.h has the arithmetic ones. */
#include "flags.h"

/* A change of these may make a trap due, or change what the engine assumes; one of IF makes an
 * interrupt due if one waits. */
#define FL_WATCHED (FL_TF | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP)

uint32_t flags_get(struct cpu *cpu)
{
	cpu->eflags = (cpu->eflags & ~FL_ARITH) | flags_from_cc(cpu->cc) | FL_ONE;
	return cpu->eflags;
}

void flags_set(struct cpu *cpu, uint32_t eflags)
{
	uint32_t changed = cpu->eflags ^ eflags;

	if ((changed & FL_WATCHED) || (eflags & (FL_TF | FL_RF)) ||
		((changed & eflags & FL_IF) && excp_intr_waits(cpu)))
		cpu->look = true;
	cpu->eflags = eflags | FL_ONE;
	cpu->cc = flags_to_cc(eflags);
}
