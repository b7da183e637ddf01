/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of keys: Linux codes, QMP's names and X's keysyms (keys.def). */
#ifndef DEJAVM_KEYS_H
#define DEJAVM_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEY_LEFT_CTRL	29
#define KEY_LEFT_SHIFT	42
#define KEY_RIGHT_SHIFT 54
#define KEY_LEFT_ALT	56
#define KEY_CAPS_LOCK	58

/* The key of QMP's name; 0: there is none. */
uint32_t key_by_name(const char *qcode);
/* The key that has this keysym on a US keyboard; 0: none. *ret_shift: it needs Shift. */
uint32_t key_by_keysym(uint32_t keysym, bool *ret_shift);
/*
 * QMP's numbers: the scan code of set 1 (as the PC's first keyboards had it), plus 80h for those
 * behind an E0. 0: there is no such key.
 */
uint32_t key_by_number(uint32_t number);

#endif
