/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disas.h"

#include <stdio.h>
#include <Zydis/Zydis.h>

unsigned disas_insn(
	const uint8_t *bytes, size_t len, bool code32, uint32_t eip, char *buf, size_t cap)
{
	ZydisDisassembledInstruction d;
	ZydisMachineMode mode =
		code32 ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16;

	if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, eip, bytes, len, &d))) {
		snprintf(buf, cap, "(bad)");
		return 0;
	}
	snprintf(buf, cap, "%s", d.text);
	return d.info.length;
}
