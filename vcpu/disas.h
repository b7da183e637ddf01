/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disassembly for people (-d in_asm, monitors), by Zydis. Not used for execution. */
#ifndef DEJAVM_DISAS_H
#define DEJAVM_DISAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the instruction at bytes, as if at eip, to buf (always terminated). Returns its length, 0
 * if it is invalid or cut off. */
unsigned disas_insn(
	const uint8_t *bytes, size_t len, bool code32, uint32_t eip, char *buf, size_t cap);
/* The same for 64-bit code, as the translator makes it. */
unsigned disas_x64(const uint8_t *bytes, size_t len, uint64_t ip, char *buf, size_t cap);

#endif
