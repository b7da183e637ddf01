/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID and the CPU models. SDM vol. 2, CPUID; vol. 4 for what IA32_ARCH_CAPABILITIES means.
 * docs/cpu-model.md tells users.
 *
 * A model says what is there and nothing else: a feature whose row is missing is one that the
 * instructions do not have.
 */
#include "cpuid.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "sse.h"

struct cpu_model {
	const char *name;
	const char *words;
	uint32_t signature; /* family, model, stepping */
	uint32_t max_basic, max_extended;
	uint32_t features[CPUID_WORDS];
};

#define F(name) (1u << (CPUID_F_##name & 31))

#define FEATURES_486 (F(FPU) | F(VME) | F(PSE))
#define FEATURES_PENTIUM \
	(F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(MCE) | F(CX8) | F(APIC))
#define FEATURES_PPRO \
	(FEATURES_PENTIUM | F(PAE) | F(SEP) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT))
#define FEATURES_P2	  (FEATURES_PPRO | F(PSE36) | F(FXSR) | F(MMX))
#define FEATURES_P3	  (FEATURES_P2 | F(SSE))
#define FEATURES_DEJAVM32 (FEATURES_P3 | F(SSE2))
/* As QEMU has it. */
#define FEATURES_QEMU32                                                                            \
	(F(FPU) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | F(MCE) | F(CX8) | F(APIC) | F(SEP) | \
		F(PGE) | F(CMOV) | F(PAT) | F(FXSR) | F(MMX) | F(SSE) | F(SSE2))
#define FEATURES_MAX_ECX (F(SSE3) | F(SSSE3) | F(SSE41) | F(SSE42) | F(POPCNT) | F(HYPERVISOR))

static const struct cpu_model models[] = {
	{ "dejavm32", "i686 with SSE3 (default)", 0x683, 7, 0x80000008,
		{ FEATURES_DEJAVM32, F(SSE3) | F(HYPERVISOR), F(NX) } },
	{ "486", "Intel 80486DX4", 0x483, 1, 0, { FEATURES_486, 0, 0 } },
	{ "pentium", "Intel Pentium (P54C)", 0x52c, 1, 0, { FEATURES_PENTIUM, 0, 0 } },
	{ "pentiumpro", "Intel Pentium Pro", 0x619, 2, 0, { FEATURES_PPRO, 0, 0 } },
	{ "pentium2", "Intel Pentium II: MMX", 0x652, 2, 0, { FEATURES_P2, 0, 0 } },
	{ "pentium3", "Intel Pentium III: SSE", 0x673, 2, 0, { FEATURES_P3, 0, 0 } },
	{ "qemu32", "what QEMU's qemu32 shows: SSE3", 0x663, 4, 0x80000004,
		{ FEATURES_QEMU32, F(SSE3) | F(HYPERVISOR), 0 } },
	{ "max", "all that dejavm has: SSE4.2, POPCNT", 0x106a3, 7, 0x80000008,
		{ FEATURES_DEJAVM32 | F(CLFSH), FEATURES_MAX_ECX, F(NX) } },
};

#define N_MODELS (sizeof(models) / sizeof(models[0]))

/* What the features mean for the instructions. */
static const struct {
	uint16_t feature, isa;
} isa_rows[] = {
	{ CPUID_F_MMX, ISA_MMX },
	{ CPUID_F_SSE, ISA_SSE },
	{ CPUID_F_SSE2, ISA_SSE2 },
	{ CPUID_F_SSE3, ISA_SSE3 },
	{ CPUID_F_SSSE3, ISA_SSSE3 },
	{ CPUID_F_SSE41, ISA_SSE41 },
	{ CPUID_F_SSE42, ISA_SSE42 },
	{ CPUID_F_POPCNT, ISA_POPCNT },
	{ CPUID_F_FXSR, ISA_FXSR },
	{ CPUID_F_CLFSH, ISA_CLFSH },
};

const char *const *cpu_models(void)
{
	static const char *names[N_MODELS + 1];

	for (unsigned i = 0; i < N_MODELS; i++)
		names[i] = models[i].name;
	return names;
}

/* The first n characters of name. */
static const struct cpu_model *model_find(const char *name, size_t n)
{
	for (unsigned i = 0; i < N_MODELS; i++)
		if (strlen(models[i].name) == n && !memcmp(models[i].name, name, n))
			return &models[i];
	return NULL;
}

const char *cpu_model_find(const char *name)
{
	const struct cpu_model *m = name ? model_find(name, strlen(name)) : &models[0];

	return m ? m->name : NULL;
}

const char *cpu_model_words(const char *name)
{
	const struct cpu_model *m = model_find(name, strlen(name));

	return m ? m->words : NULL;
}

/* ---- models with features added or taken away ---- */

/* Like the table's names, in any case, with dots or underscores where people write them. */
static bool same_feature(const char *ours, const char *name, size_t n)
{
	for (; n; n--, name++) {
		if (*name == '.' || *name == '_')
			continue;
		if (tolower((unsigned char)*ours++) != tolower((unsigned char)*name))
			return false;
	}
	return *ours == '\0';
}

/* Its number, or -1. The FPU and the local APIC are always there. */
static int feature_find(const char *name, size_t n)
{
#define X(f, word, bit)                                                  \
	if (CPUID_F_##f != CPUID_F_FPU && CPUID_F_##f != CPUID_F_APIC && \
		same_feature(#f, name, n))                               \
		return CPUID_F_##f;
	CPUID_FEATURES(X)
#undef X
	return -1;
}

static uint32_t isa_of(const uint32_t words[CPUID_WORDS])
{
	uint32_t isa = 0;

	for (unsigned i = 0; i < sizeof(isa_rows) / sizeof(isa_rows[0]); i++)
		if (words[isa_rows[i].feature / 32] >> (isa_rows[i].feature % 32) & 1)
			isa |= isa_rows[i].isa;
	return isa;
}

static int model_parse(const char *spec, const struct cpu_model **ret_model,
	uint32_t ret_words[CPUID_WORDS], struct error *err)
{
	size_t n = strcspn(spec, ",");
	const struct cpu_model *m = model_find(spec, n);
	uint32_t words[CPUID_WORDS];

	if (!m)
		return error_set(err, ENOENT, "there is no CPU model '%.*s'", (int)n, spec);
	memcpy(words, m->features, sizeof(words));
	for (const char *p = spec + n; *p; p += n) {
		bool add = p[1] == '+';
		int f;

		p++;
		n = strcspn(p, ",");
		f = add || *p == '-' ? feature_find(p + 1, n - 1) : -1;
		if (f < 0)
			return error_set(err, EINVAL,
				"CPU '%s': '%.*s' is not +FEATURE or -FEATURE of one that dejavm "
				"has",
				spec, (int)n, p);
		words[f / 32] &= ~(1u << (f % 32));
		words[f / 32] |= (uint32_t)add << (f % 32);
	}
	if (!sse_host_has(isa_of(words)))
		return error_set(err, ENOTSUP,
			"CPU '%s' has instructions that this host cannot execute; take a lesser "
			"one",
			spec);
	*ret_model = m;
	memcpy(ret_words, words, sizeof(words));
	return 0;
}

int cpu_model_check(const char *spec, struct error *err)
{
	const struct cpu_model *m;
	uint32_t words[CPUID_WORDS];

	return model_parse(spec, &m, words, err);
}

int cpu_model_set(struct cpu *cpu, const char *spec, struct error *err)
{
	const struct cpu_model *m;
	int r = model_parse(spec ? spec : models[0].name, &m, cpu->cpuid_words, err);

	_Static_assert(sizeof(cpu->cpuid_words) == CPUID_WORDS * sizeof(uint32_t), "cpu.h");
	if (r < 0)
		return r;
	cpu->model = m->name;
	cpu->isa = isa_of(cpu->cpuid_words);
	return 0;
}

static const struct cpu_model *model_of(const struct cpu *cpu)
{
	return model_find(cpu->model, strlen(cpu->model));
}

bool cpuid_has(const struct cpu *cpu, unsigned feature)
{
	return cpu->cpuid_words[feature / 32] >> (feature % 32) & 1;
}

uint32_t cpuid_signature(const struct cpu *cpu)
{
	return model_of(cpu)->signature;
}

/* ---- leaves ---- */

#define APIC_BASE_ENABLE 0x800u
#define MISC_LIMIT_CPUID 0x400000u
#define LINE_LEN	 32u /* of the caches */

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
	if (cpuid_has(cpu, CPUID_F_CLFSH))
		ret[1] |= LINE_LEN / 8 << 8;
	ret[2] = cpu->cpuid_words[CPUID_1_ECX];
	ret[3] = cpu->cpuid_words[CPUID_1_EDX];
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
	ret[1] = (LINE_LEN - 1) | (c[sub].ways - 1) << 22;
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

static void query_extended(
	const struct cpu *cpu, const struct cpu_model *m, uint32_t leaf, uint32_t ret[4])
{
	switch (leaf) {
	case 0x80000000: ret[0] = m->max_extended; break;
	case 0x80000001: ret[3] = cpu->cpuid_words[CPUID_81_EDX]; break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004: leaf_brand(leaf, ret); break;
	case 0x80000006: ret[2] = 512u << 16 | 4u << 12 | LINE_LEN; break; /* L2 */
	case 0x80000007: ret[3] = 1u << 8; break; /* the TSC never changes its rate */
	case 0x80000008: ret[0] = 32u << 8 | 36; break;
	}
}

void cpuid_query(const struct cpu *cpu, uint32_t leaf, uint32_t sub, uint32_t ret[4])
{
	const struct cpu_model *m = model_of(cpu);

	memset(ret, 0, 4 * sizeof(ret[0]));
	if (cpuid_has(cpu, CPUID_F_HYPERVISOR) && leaf - 0x40000000u < 0x100) {
		leaf_hypervisor(ret);
		return;
	}
	if (m->max_extended && leaf >= 0x80000000 && leaf <= m->max_extended) {
		query_extended(cpu, m, leaf, ret);
		return;
	}
	/* A leaf beyond the end answers like the last basic one (SDM vol. 2). */
	if (leaf > m->max_basic)
		leaf = m->max_basic;
	query_basic(cpu, m, leaf, sub, ret);
}
