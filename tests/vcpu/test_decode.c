/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder against Zydis: random bytes and every opcode with every ModRM byte. What Zydis
 * decodes to an instruction of this CPU must come out with the same length and mnemonic; what it
 * refuses, or what is of later extensions, must be #UD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <Zydis/Zydis.h>

#include "cpu.h"
#include "decode.h"

static uint64_t seed = 88172645463325252ull;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Extensions that this CPU has not. */
static bool is_extension(const ZydisDecodedInstruction *z)
{
	static const ZydisISASet ours[] = { ZYDIS_ISA_SET_I86, ZYDIS_ISA_SET_I186,
		ZYDIS_ISA_SET_I286PROTECTED, ZYDIS_ISA_SET_I286REAL, ZYDIS_ISA_SET_I386,
		ZYDIS_ISA_SET_I486, ZYDIS_ISA_SET_I486REAL, ZYDIS_ISA_SET_PENTIUMREAL,
		ZYDIS_ISA_SET_PENTIUMMMX, ZYDIS_ISA_SET_PPRO, ZYDIS_ISA_SET_CMOV,
		ZYDIS_ISA_SET_FCMOV, ZYDIS_ISA_SET_X87, ZYDIS_ISA_SET_FXSAVE, ZYDIS_ISA_SET_FAT_NOP,
		ZYDIS_ISA_SET_PREFETCH_NOP, ZYDIS_ISA_SET_LAHF, ZYDIS_ISA_SET_RDPMC,
		ZYDIS_ISA_SET_CMPXCHG16B, ZYDIS_ISA_SET_SSE, ZYDIS_ISA_SET_SSE2,
		ZYDIS_ISA_SET_SSE2MMX, ZYDIS_ISA_SET_SSE3, ZYDIS_ISA_SET_SSE3X87,
		ZYDIS_ISA_SET_SSSE3, ZYDIS_ISA_SET_SSSE3MMX, ZYDIS_ISA_SET_SSE4,
		ZYDIS_ISA_SET_SSE42, ZYDIS_ISA_SET_SSEMXCSR, ZYDIS_ISA_SET_SSE_PREFETCH,
		ZYDIS_ISA_SET_CLFSH, ZYDIS_ISA_SET_PAUSE, ZYDIS_ISA_SET_POPCNT };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (z->meta.isa_set == ours[i])
			return false;
	return true;
}

/* Zydis names each operand size; we name the operation. Pairs: theirs, ours. */
static const char *const same[][2] = {
#define SIZES(n)                    \
	{ n "b", n }, { n "w", n }, \
	{                           \
		n "d", n            \
	}
	SIZES("movs"),
	SIZES("cmps"),
	SIZES("stos"),
	SIZES("lods"),
	SIZES("scas"),
	SIZES("ins"),
	SIZES("outs"),
	{ "insb", "ins" },
	{ "insw", "ins" },
	{ "insd", "ins" },
	{ "outsb", "outs" },
	{ "outsw", "outs" },
	{ "outsd", "outs" },
	{ "cwde", "cbw" },
	{ "cdq", "cwd" },
	{ "pushad", "pusha" },
	{ "popad", "popa" },
	{ "pushfd", "pushf" },
	{ "popfd", "popf" },
	{ "iretd", "iret" },
	{ "jecxz", "jcxz" },
	{ "pause", "nop" },
	{ "sal", "shl" },
	{ "loopnz", "loopne" },
	{ "loopz", "loope" },
	{ "movhlps", "movlps" },
	{ "movlhps", "movhps" },
	{ "clflush", "sfence" },
};

static bool same_name(const char *zydis, const char *ours)
{
	size_t n = strlen(zydis);

	if (!strcmp(zydis, ours))
		return true;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (!strcmp(zydis, same[i][0]) && !strcmp(ours, same[i][1]))
			return true;
	/* "ret far" and "ret": Zydis tells far by attribute */
	return !strncmp(zydis, ours, n) && !strcmp(ours + n, " far");
}

static bool has_attribute(const ZydisDecodedInstruction *z, ZyanU64 a)
{
	return (z->attributes & a) != 0;
}

struct counts {
	unsigned same, ud, extension, sse;
};

_Noreturn static void differ(const uint8_t *p, bool code32, const char *what, const char *zydis,
	unsigned zlen, const struct insn *in, enum decode_result r)
{
	char hex[64] = "";

	for (unsigned i = 0; i < 15; i++)
		sprintf(hex + strlen(hex), "%02x ", p[i]);
	fail_msg("%s%d: %s: Zydis %s, %u bytes; ours result %d %s, %u bytes", hex, code32 ? 32 : 16,
		what, zydis, zlen, r, insn_name(in), in->len);
	for (;;)
		;
}

static bool is_nop_hint(const uint8_t *p, const struct insn *in)
{
	(void)p;
	return !strcmp(insn_name(in), "nop") || !strcmp(insn_name(in), "prefetch");
}

static void check(const ZydisDecoder *dec, bool code32, const uint8_t *p, struct counts *n)
{
	ZydisDecodedInstruction z;
	ZyanStatus st = ZydisDecoderDecodeInstruction(dec, NULL, p, 15, &z);
	struct insn in;
	enum decode_result r = decode_insn(p, 15, code32, &in);
	const char *name = ZYAN_SUCCESS(st) ? ZydisMnemonicGetString(z.mnemonic) : "(bad)";

	if (r == DECODE_LONG) {
		if (ZYAN_SUCCESS(st))
			differ(p, code32, "too long", name, z.length, &in, r);
		return;
	}
	if (r != DECODE_OK)
		differ(p, code32, "wants more", name, 0, &in, r);
	if (!ZYAN_SUCCESS(st)) {
		/* Zydis refuses some that are #UD or #GP when executed only, and a few that are
		 * defined: */
		if (in.id == INSN_UD || insn_enc(&in) & E_ESC)
			return;
		/* CR1, DR4, segment 6, MOV CS: #UD in the handler */
		if (in.id == INSN_1_8C || in.id == INSN_1_8E ||
			(in.id >= INSN_2_20 && in.id <= INSN_2_23))
			return;
		if (is_nop_hint(p, &in))
			return;
		differ(p, code32, "only ours", name, 0, &in, r);
	}
	if (in.id == INSN_UD) {
		if (!is_extension(&z) && z.mnemonic != ZYDIS_MNEMONIC_UD0 &&
			z.mnemonic != ZYDIS_MNEMONIC_UD1 && z.mnemonic != ZYDIS_MNEMONIC_UD2)
			differ(p, code32, "missing", name, z.length, &in, r);
		n->ud++;
		return;
	}
	if (is_extension(&z) && !(insn_enc(&in) & E_ESC) && !is_nop_hint(p, &in) &&
		z.mnemonic != ZYDIS_MNEMONIC_TZCNT && z.mnemonic != ZYDIS_MNEMONIC_LZCNT &&
		strcmp(name, insn_name(&in))) {
		/* Instructions that older processors execute as something else: F3 0F BC, hints in
		 * NOP space. */
		differ(p, code32, "an extension", name, z.length, &in, r);
	}
	if (z.length != in.len)
		differ(p, code32, "length", name, z.length, &in, r);
	if (insn_enc(&in) & E_ESC || !strcmp(insn_name(&in), "fwait") || is_nop_hint(p, &in) ||
		is_extension(&z)) {
		n->extension++;
		return;
	}
	if (!same_name(name, insn_name(&in)))
		differ(p, code32, "name", name, z.length, &in, r);
	if (in.opsize > 1 && z.operand_width && (insn_enc(&in) & E_JZ) &&
		in.opsize * 8 != z.operand_width)
		differ(p, code32, "operand size", name, z.length, &in, r);
	if ((insn_enc(&in) & E_M) && !(insn_enc(&in) & E_REG) &&
		has_attribute(&z, ZYDIS_ATTRIB_HAS_MODRM) && in.mem != (z.raw.modrm.mod != 3))
		differ(p, code32, "memory form", name, z.length, &in, r);
	n->same++;
	n->sse += (insn_enc(&in) & E_SSE) != 0;
}

static void decoder_init(ZydisDecoder *d, bool code32)
{
	assert_true(ZYAN_SUCCESS(ZydisDecoderInit(d,
		code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
		code32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16)));
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_LZCNT, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

static void test_random(void **state)
{
	for (int mode = 0; mode < 2; mode++) {
		struct counts n = { 0 };
		ZydisDecoder d;

		decoder_init(&d, mode);
		for (int i = 0; i < 1000000; i++) {
			uint64_t r[2] = { next_random(), next_random() };

			check(&d, mode, (const uint8_t *)r, &n);
		}
		/* The comparison has compared. */
		assert_true(n.same > 500000);
	}
	(void)state;
}

static void test_all_opcodes(void **state)
{
	static const char *const prefixes[] = { "", "\x66", "\x67", "\xf2", "\xf3", "\xf0", "\x64",
		"\x66\xf2", "\xf3\x66", "\xf2\xf3", "\xf3\xf2", "\xf0\x66" };
	static const char *const maps[] = { "", "\x0f", "\x0f\x38", "\x0f\x3a" };

	for (int mode = 0; mode < 2; mode++) {
		struct counts n = { 0 };
		ZydisDecoder d;

		decoder_init(&d, mode);
		for (unsigned op = 0; op < 1024; op++) {
			for (unsigned modrm = 0; modrm < 256; modrm++) {
				for (unsigned k = 0; k < sizeof(prefixes) / sizeof(prefixes[0]);
					k++) {
					uint8_t p[16] = { 0 };
					unsigned at = (unsigned)sprintf(
						(char *)p, "%s%s", prefixes[k], maps[op >> 8]);

					p[at++] = (uint8_t)op;
					p[at++] = (uint8_t)modrm;
					p[at++] = 0x24; /* SIB: ESP */
					check(&d, mode, p, &n);
				}
			}
		}
		assert_true(n.same > 100000);
		/* more than 300 SSE instructions, most with all ModRM bytes and two prefixes */
		assert_true(n.sse > 120000);
	}
	(void)state;
}

/* Fewer bytes than the instruction has: always DECODE_MORE, never a guess, never a read beyond. */
static void test_cut(void **state)
{
	for (int i = 0; i < 200000; i++) {
		uint64_t r[2] = { next_random(), next_random() };
		struct insn whole, part;
		uint8_t buf[15];

		if (decode_insn((const uint8_t *)r, 15, i & 1, &whole) != DECODE_OK)
			continue;
		for (unsigned n = 0; n < whole.len; n++) {
			memset(buf, 0xf4, sizeof(buf));
			memcpy(buf, r, n);
			assert_int_equal(decode_insn(buf, n, i & 1, &part), DECODE_MORE);
		}
	}
	(void)state;
}

static void test_length_limit(void **state)
{
	uint8_t p[16];
	struct insn in;

	memset(p, 0x66, sizeof(p));
	p[14] = 0x90;
	assert_int_equal(decode_insn(p, 15, true, &in), DECODE_OK);
	assert_int_equal(in.len, 15);
	p[14] = 0x66;
	assert_int_equal(decode_insn(p, 15, true, &in), DECODE_LONG);
	(void)state;
}

static void test_lock(void **state)
{
	struct insn in;

	/* lock add [eax], ecx */
	assert_int_equal(decode_insn((const uint8_t *)"\xf0\x01\x08", 3, true, &in), DECODE_OK);
	assert_true(in.id != INSN_UD);
	/* lock add eax, ecx; lock cmp [eax], ecx; lock mov [eax], ecx; lock bt [eax], ecx */
	static const char *const bad[] = { "\xf0\x01\xc8", "\xf0\x39\x08", "\xf0\x89\x08",
		"\xf0\x0f\xa3\x08" };

	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(
			decode_insn((const uint8_t *)bad[i], (unsigned)strlen(bad[i]), true, &in),
			DECODE_OK);
		assert_int_equal(in.id, INSN_UD);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random),
		cmocka_unit_test(test_all_opcodes), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_length_limit), cmocka_unit_test(test_lock) };

	return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
