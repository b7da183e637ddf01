/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See host_fault.h. */
#include "host_fault.h"

#include <errno.h>
#include <signal.h>
#include <ucontext.h>

#include "tcache.h"
#include "window.h"

/* What the kernel saves there of the processor's state is some kilobytes, and what we do takes
 * little; more under sanitizers. */
#define ALT_STACK_LEN (256u << 10)

static struct cpu *active;
static struct sigaction old_action;

void host_fault_cpu(struct cpu *cpu)
{
	active = cpu;
}

void host_fault_forget(const struct cpu *cpu)
{
	if (active == cpu)
		active = NULL;
}

/* What is not ours is fatal: the instruction is executed again, with the signal's former action. */
static void on_segv(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	struct cpu *cpu = active;

	if (!cpu || (!back_fault(cpu, si, uc) && !window_fault(cpu, si, uc)))
		sigaction(sig, &old_action, NULL);
}

static int have_alt_stack(void)
{
	static _Alignas(16) char memory[ALT_STACK_LEN];
	stack_t s;

	if (sigaltstack(NULL, &s) < 0)
		return -errno;
	if (!(s.ss_flags & SS_DISABLE))
		return 0;
	s = (stack_t){ .ss_sp = memory, .ss_size = sizeof(memory) };
	return sigaltstack(&s, NULL) < 0 ? -errno : 0;
}

int host_fault_catch(void)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction old;
	int r = have_alt_stack();

	if (r < 0)
		return r;
	if (sigaction(SIGSEGV, &sa, &old) < 0)
		return -errno;
	if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != on_segv)
		old_action = old;
	return 0;
}
