/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models and their features, as CPUID tells them (SDM vol. 2, CPUID).
 */
#ifndef DEJAVM_CPUID_H
#define DEJAVM_CPUID_H

#include <stdbool.h>
#include "cpu.h"

/*
 * Features: row = name, leaf index (enum cpuid_word), bit. What no row names is not there.
 */
enum cpuid_word { CPUID_1_EDX, CPUID_1_ECX, CPUID_81_EDX, CPUID_WORDS };

#define CPUID_FEATURES(X)        \
	X(FPU, 1_EDX, 0)         \
	X(VME, 1_EDX, 1)         \
	X(DE, 1_EDX, 2)          \
	X(PSE, 1_EDX, 3)         \
	X(TSC, 1_EDX, 4)         \
	X(MSR, 1_EDX, 5)         \
	X(PAE, 1_EDX, 6)         \
	X(MCE, 1_EDX, 7)         \
	X(CX8, 1_EDX, 8)         \
	X(APIC, 1_EDX, 9)        \
	X(SEP, 1_EDX, 11)        \
	X(MTRR, 1_EDX, 12)       \
	X(PGE, 1_EDX, 13)        \
	X(MCA, 1_EDX, 14)        \
	X(CMOV, 1_EDX, 15)       \
	X(PAT, 1_EDX, 16)        \
	X(PSE36, 1_EDX, 17)      \
	X(MMX, 1_EDX, 23)        \
	X(FXSR, 1_EDX, 24)       \
	X(SSE, 1_EDX, 25)        \
	X(SSE2, 1_EDX, 26)       \
	X(HYPERVISOR, 1_ECX, 31) \
	X(NX, 81_EDX, 20)

/* For cpuid_has(): CPUID_F_FPU and so on. Number: word * 32 + bit. */
enum cpuid_feature {
#define X(name, word, bit) CPUID_F_##name = CPUID_##word * 32 + bit,
	CPUID_FEATURES(X)
#undef X
};

/* Names of the models that -cpu knows, the default first; NULL-terminated, static. */
const char *const *cpu_models(void);
/* The model's own copy of name (for cpu->model), or NULL if there is no such model. NULL name: the
 * default. */
const char *cpu_model_find(const char *name);
/* One line about a model, for -cpu help. */
const char *cpu_model_words(const char *name);
/* EDX after RESET: type, family, model, stepping (SDM vol. 3, 9.1.1). */
uint32_t cpuid_signature(const struct cpu *cpu);

#endif
