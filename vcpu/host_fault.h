/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of the host (SIGSEGV) that translated code means to meet: accesses by a window
 * (window.h), and a stack of return addresses that is full (back_ret.c).
 */
#ifndef DEJAVM_HOST_FAULT_H
#define DEJAVM_HOST_FAULT_H

struct cpu;

/*
 * Takes SIGSEGV over for this thread, on an alternate signal stack, which it provides if the thread
 * has none: translated code has no stack that a handler could run on. Called again, it takes over
 * once more, if somebody else has taken it since. -errno.
 */
int host_fault_catch(void);
/* From now on this cpu's translated code runs on this thread; NULL: none. */
void host_fault_cpu(struct cpu *cpu);
/* No more of cpu's code runs. */
void host_fault_forget(const struct cpu *cpu);

#endif
