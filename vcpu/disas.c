/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disas.h"

#include <stdio.h>
#include <Zydis/Zydis.h>

static unsigned disas(
	ZydisMachineMode mode, const uint8_t *bytes, size_t len, uint64_t ip, char *buf, size_t cap)
{
	ZydisDisassembledInstruction d;

	if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, ip, bytes, len, &d))) {
		snprintf(buf, cap, "(bad)");
		return 0;
	}
	snprintf(buf, cap, "%s", d.text);
	return d.info.length;
}

unsigned disas_insn(
	const uint8_t *bytes, size_t len, bool code32, uint32_t eip, char *buf, size_t cap)
{
	return disas(code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16, bytes,
		len, eip, buf, cap);
}

unsigned disas_x64(const uint8_t *bytes, size_t len, uint64_t ip, char *buf, size_t cap)
{
	return disas(ZYDIS_MACHINE_MODE_LONG_64, bytes, len, ip, buf, cap);
}
