/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator as an engine: it runs in nearly every mode (tcg_mode.c), and the interpreter does
 * all else. docs/translator.md has the picture.
 *
 * Nothing of the configuration is visible to a guest.
 */
#ifndef DEJAVM_TCG_H
#define DEJAVM_TCG_H

#include "tb.h"

#define TCG_THRESH_DEFAULT 24u

struct tcg_config {
	unsigned thresh;  /* executions of a block by the interpreter before it is translated */
	unsigned budget;  /* not 0: enter translated code for at most 1..budget instructions, at
			     random; for tests */
	unsigned tb_size; /* MiB of code; 0: default */
	bool one_insn;	  /* blocks of one instruction each */
	bool no_returns;  /* returns by the jump cache, as other indirect jumps */
	bool check;	  /* do everything twice and compare: check.h */
	bool no_share;	  /* each access is looked up by itself: back_share.c */
	bool perf;	  /* tell perf where code is: /tmp/perf-PID.map */
};

struct tcg_stats {
	uint64_t exits[8];		  /* by enum tcg_exit */
	uint64_t insns;			  /* retired by translated code and what it calls */
	uint64_t insns_16, insns_seg;	  /* of these: of 16-bit code; of 32-bit code where a data
					     segment is not flat */
	uint64_t relinked;		  /* stale links whose target had not changed */
	uint64_t indirect;		  /* targets that the jump cache had lost */
	uint64_t rejected;		  /* code that only the interpreter can do */
	uint64_t host_calls, host_failed; /* accesses that the inline path did not do */
	uint64_t insn_calls;		  /* instructions by their handlers */
	uint64_t entered;
};

/* To be called before the CPU runs, and before the sandbox; takes over SIGSEGV (host_fault.h).
 * -ENOTSUP: no back end for this host; -errno. */
int tcg_init(struct cpu *cpu, const struct tcg_config *config);
void tcg_free(struct cpu *cpu);
/* As new, with the same configuration, except for the code cache: icache_renew(). For cpu_renew().
 */
void tcg_renew(struct cpu *cpu);

/* Runs until something is to be looked at, or the boundary engine_end() is reached. False: nothing
 * was done, the interpreter must do it. May raise. */
bool tcg_run(struct cpu *cpu);

const struct tcg_stats *tcg_stats(const struct cpu *cpu);
/* Counters as text, a line each. */
void tcg_stats_print(
	const struct cpu *cpu, void (*line)(void *opaque, const char *text), void *opaque);

#endif
