/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See keys.h. */
#include "keys.h"

#include <stddef.h>
#include <string.h>

static const struct key {
	uint32_t code;
	const char *qcode;
	uint32_t plain, shifted;
} keys[] = {
#define KEY(code, qcode, plain, shifted) { code, qcode, plain, shifted },
#include "keys.def"
#undef KEY
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

/* Codes behind an E0 whose number is not the Linux code: { set 1, Linux }. */
static const uint8_t e0_codes[][2] = { { 0x10, 165 }, { 0x19, 163 }, { 0x1c, 96 }, { 0x1d, 97 },
	{ 0x20, 113 }, { 0x21, 140 }, { 0x22, 164 }, { 0x24, 166 }, { 0x2e, 114 }, { 0x30, 115 },
	{ 0x32, 172 }, { 0x35, 98 }, { 0x37, 99 }, { 0x38, 100 }, { 0x46, 119 }, { 0x47, 102 },
	{ 0x48, 103 }, { 0x49, 104 }, { 0x4b, 105 }, { 0x4d, 106 }, { 0x4f, 107 }, { 0x50, 108 },
	{ 0x51, 109 }, { 0x52, 110 }, { 0x53, 111 }, { 0x5b, 125 }, { 0x5c, 126 }, { 0x5d, 127 },
	{ 0x5e, 116 }, { 0x5f, 142 }, { 0x63, 143 }, { 0x66, 156 }, { 0x67, 173 }, { 0x68, 128 },
	{ 0x69, 159 }, { 0x6a, 158 }, { 0x6b, 157 }, { 0x6c, 155 }, { 0x6d, 226 } };

uint32_t key_by_name(const char *qcode)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (!strcmp(keys[i].qcode, qcode))
			return keys[i].code;
	return 0;
}

uint32_t key_by_keysym(uint32_t keysym, bool *ret_shift)
{
	for (size_t i = 0; keysym && i < N_KEYS; i++) {
		if (keys[i].plain == keysym || keys[i].shifted == keysym) {
			*ret_shift = keys[i].plain != keysym;
			return keys[i].code;
		}
	}
	return 0;
}

uint32_t key_by_number(uint32_t number)
{
	/* Up to 58h set 1 is what Linux numbers its keys by. */
	if (number >= 1 && number <= 0x58)
		return number;
	for (size_t i = 0; i < sizeof(e0_codes) / sizeof(e0_codes[0]); i++)
		if (number == (e0_codes[i][0] | 0x80u))
			return e0_codes[i][1];
	return 0;
}
