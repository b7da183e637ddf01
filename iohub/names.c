/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Closest names by edit distance, and lists of names, for error messages. */
#include <stdio.h>
#include <string.h>

#include "names.h"

#define NAME_LEN_MAX 48

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance; names longer than NAME_LEN_MAX are far from everything. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[NAME_LEN_MAX + 1], la = strlen(a), lb = strlen(b);

	if (la > NAME_LEN_MAX || lb > NAME_LEN_MAX)
		return NAME_LEN_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diag = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t up = row[j];

			row[j] = min3(up + 1, row[j - 1] + 1, diag + (a[i - 1] != b[j - 1]));
			diag = up;
		}
	}
	return row[lb];
}

const char *name_closest(const char *word, const char *const *names)
{
	const char *best = NULL;
	size_t best_d = strlen(word) <= 3 ? 1 : 2;

	for (; *names; names++) {
		size_t d = edit_distance(word, *names);

		if (d <= best_d && d < strlen(*names) && (!best || d < best_d)) {
			best = *names;
			best_d = d;
		}
	}
	return best;
}

const char *names_join(char *buf, size_t cap, const char *const *names)
{
	size_t len = 0;

	buf[0] = '\0';
	for (; *names; names++) {
		size_t need = strlen(*names) + (len ? 2 : 0);

		if (len + need + 5 > cap) {
			snprintf(buf + len, cap - len, "...");
			break;
		}
		len += (size_t)snprintf(buf + len, cap - len, "%s%s", len ? ", " : "", *names);
	}
	return buf;
}
