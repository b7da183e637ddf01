/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Help with names that do not exist: lists of those that do, and the one that was probably meant.
 */
#ifndef DEJAVM_HUB_NAMES_H
#define DEJAVM_HUB_NAMES_H

#include <stddef.h>

/* The name of the NULL-terminated list that is closest to word, or NULL when none is close. */
const char *name_closest(const char *word, const char *const *names);
/* Writes "a, b, c" into buf (always terminated; cut with "..." when it does not fit). Returns buf.
 */
const char *names_join(char *buf, size_t cap, const char *const *names);

#endif
