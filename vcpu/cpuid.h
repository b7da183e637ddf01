/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models and their features, as CPUID tells them (SDM vol. 2, CPUID).
 */
#ifndef DEJAVM_CPUID_H
#define DEJAVM_CPUID_H

#include <stdbool.h>
#include "cpu.h"
#include "error.h"

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
	X(CLFSH, 1_EDX, 19)      \
	X(MMX, 1_EDX, 23)        \
	X(FXSR, 1_EDX, 24)       \
	X(SSE, 1_EDX, 25)        \
	X(SSE2, 1_EDX, 26)       \
	X(SSE3, 1_ECX, 0)        \
	X(SSSE3, 1_ECX, 9)       \
	X(SSE41, 1_ECX, 19)      \
	X(SSE42, 1_ECX, 20)      \
	X(POPCNT, 1_ECX, 23)     \
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
/* The model's own copy of name, or NULL if there is no such model. NULL name: the default. */
const char *cpu_model_find(const char *name);
/*
 * May a CPU be made of this: a model, and features that are added to it or taken from it, as
 * "pentium3,+sse2,-pse36"? -ENOENT: no such model, -EINVAL: no such feature, -ENOTSUP: this host
 * cannot execute what the model has.
 */
int cpu_model_check(const char *spec, struct error *err);
/* Makes cpu what cpu_model_check() has allowed. To be followed by a reset. */
int cpu_model_set(struct cpu *cpu, const char *spec, struct error *err);
/* One line about a model, for -cpu help. */
const char *cpu_model_words(const char *name);
/* EDX after RESET: type, family, model, stepping (SDM vol. 3, 9.1.1). */
uint32_t cpuid_signature(const struct cpu *cpu);

#endif
