/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID and the CPU models. SDM vol. 2, CPUID; vol. 4 for what IA32_ARCH_CAPABILITIES means.
 * docs/cpu-model.md tells users.
 *
 * A model says what is there and nothing else: a feature whose row is missing is one that the
 * instructions do not have.
 */
#include "cpuid.h"

#include <string.h>

struct cpu_model {
	const char *name;
	const char *words;
	uint32_t signature; /* family, model, stepping */
	uint32_t max_basic, max_extended;
	uint32_t features[CPUID_WORDS];
	bool hypervisor; /* has leaf 0x40000000 */
};

#define F(name) (1u << (CPUID_F_##name & 31))

#define FEATURES_486 (F(FPU) | F(VME) | F(PSE))
#define FEATURES_PENTIUM \
	(F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(MCE) | F(CX8) | F(APIC))
#define FEATURES_PPRO \
	(FEATURES_PENTIUM | F(PAE) | F(SEP) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT))
#define FEATURES_DEJAVM32 (FEATURES_PPRO | F(PSE36) | F(FXSR))

static const struct cpu_model models[] = {
	{ "dejavm32", "i686 with all that dejavm has (default)", 0x683, 7, 0x80000008,
		{ FEATURES_DEJAVM32, F(HYPERVISOR), F(NX) }, true },
	{ "486", "Intel 80486DX4", 0x483, 1, 0, { FEATURES_486, 0, 0 }, false },
	{ "pentium", "Intel Pentium (P54C)", 0x52c, 1, 0, { FEATURES_PENTIUM, 0, 0 }, false },
	{ "pentiumpro", "Intel Pentium Pro", 0x619, 2, 0, { FEATURES_PPRO, 0, 0 }, false },
};

#define N_MODELS (sizeof(models) / sizeof(models[0]))

const char *const *cpu_models(void)
{
	static const char *names[N_MODELS + 1];

	for (unsigned i = 0; i < N_MODELS; i++)
		names[i] = models[i].name;
	return names;
}

static const struct cpu_model *model_find(const char *name)
{
	if (!name)
		return &models[0];
	for (unsigned i = 0; i < N_MODELS; i++)
		if (models[i].name == name || strcmp(models[i].name, name) == 0)
			return &models[i];
	return NULL;
}

const char *cpu_model_find(const char *name)
{
	const struct cpu_model *m = model_find(name);

	return m ? m->name : NULL;
}

const char *cpu_model_words(const char *name)
{
	const struct cpu_model *m = model_find(name);

	return m ? m->words : NULL;
}

static const struct cpu_model *model_of(const struct cpu *cpu)
{
	const struct cpu_model *m = model_find(cpu->model);

	return m ? m : &models[0];
}

bool cpuid_has(const struct cpu *cpu, unsigned feature)
{
	return model_of(cpu)->features[feature / 32] >> (feature % 32) & 1;
}

uint32_t cpuid_signature(const struct cpu *cpu)
{
	return model_of(cpu)->signature;
}

/* ---- leaves ---- */

#define APIC_BASE_ENABLE 0x800u
#define MISC_LIMIT_CPUID 0x400000u

static void put_text(uint32_t *ret, const char *text, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ret[i / 4] |= (uint32_t)(uint8_t)text[i] << (i % 4 * 8);
}

static void leaf_vendor(const struct cpu *cpu, const struct cpu_model *m, uint32_t ret[4])
{
	ret[0] = cpu->misc_enable & MISC_LIMIT_CPUID && m->max_basic > 3 ? 3 : m->max_basic;
	put_text(&ret[1], "Genu", 4);
	put_text(&ret[3], "ineI", 4);
	put_text(&ret[2], "ntel", 4);
}

static void leaf_features(const struct cpu *cpu, const struct cpu_model *m, uint32_t ret[4])
{
	ret[0] = m->signature;
	ret[1] = 1u << 16; /* one logical processor; APIC ID 0 */
	ret[2] = m->features[CPUID_1_ECX];
	ret[3] = m->features[CPUID_1_EDX];
	/* A local APIC that is switched off is not there (SDM vol. 3, 10.4.3). */
	if (!(cpu->apic_base & APIC_BASE_ENABLE))
		ret[3] &= ~F(APIC);
}

/* Descriptors: 4 KiB TLBs, 16 KiB L1 caches, 512 KiB L2 (SDM vol. 2, table 3-12). */
static void leaf_caches(uint32_t ret[4])
{
	ret[0] = 0x03020101;
	ret[3] = 0x0c040843;
}

/* Deterministic cache parameters: the same caches. */
static void leaf_cache_parameters(uint32_t sub, uint32_t ret[4])
{
	static const struct {
		uint32_t type, level, ways, sets;
	} c[] = { { 1, 1, 4, 128 }, { 2, 1, 4, 128 }, { 3, 2, 4, 4096 } };

	if (sub >= sizeof(c) / sizeof(c[0]))
		return;
	ret[0] = c[sub].type | c[sub].level << 5 | 1u << 8;
	ret[1] = 31 | (c[sub].ways - 1) << 22; /* 32-byte lines */
	ret[2] = c[sub].sets - 1;
}

static void leaf_brand(uint32_t leaf, uint32_t ret[4])
{
	static const char brand[48] = "dejavm virtual i686";

	put_text(ret, brand + (leaf - 0x80000002) * 16, 16);
}

static void leaf_hypervisor(uint32_t ret[4])
{
	ret[0] = 0x40000000;
	put_text(&ret[1], "DejaVMDejaVM", 12);
}

static void query_basic(const struct cpu *cpu, const struct cpu_model *m, uint32_t leaf,
	uint32_t sub, uint32_t ret[4])
{
	switch (leaf) {
	case 0: leaf_vendor(cpu, m, ret); break;
	case 1: leaf_features(cpu, m, ret); break;
	case 2: leaf_caches(ret); break;
	case 4: leaf_cache_parameters(sub, ret); break;
	case 7:
		if (sub == 0)
			ret[3] = 1u << 29; /* IA32_ARCH_CAPABILITIES */
		break;
	}
}

static void query_extended(const struct cpu_model *m, uint32_t leaf, uint32_t ret[4])
{
	switch (leaf) {
	case 0x80000000: ret[0] = m->max_extended; break;
	case 0x80000001: ret[3] = m->features[CPUID_81_EDX]; break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004: leaf_brand(leaf, ret); break;
	case 0x80000006: ret[2] = 512u << 16 | 4u << 12 | 32; break; /* L2 */
	case 0x80000007: ret[3] = 1u << 8; break; /* the TSC never changes its rate */
	case 0x80000008: ret[0] = 32u << 8 | 36; break;
	}
}

void cpuid_query(const struct cpu *cpu, uint32_t leaf, uint32_t sub, uint32_t ret[4])
{
	const struct cpu_model *m = model_of(cpu);

	memset(ret, 0, 4 * sizeof(ret[0]));
	if (m->hypervisor && leaf - 0x40000000u < 0x100) {
		leaf_hypervisor(ret);
		return;
	}
	if (m->max_extended && leaf >= 0x80000000 && leaf <= m->max_extended) {
		query_extended(m, leaf, ret);
		return;
	}
	/* A leaf beyond the end answers like the last basic one (SDM vol. 2). */
	if (leaf > m->max_basic)
		leaf = m->max_basic;
	query_basic(cpu, m, leaf, sub, ret);
}
