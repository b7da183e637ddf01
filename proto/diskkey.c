/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See diskkey.h. */
#include "diskkey.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FILE_FORMAT " %" PRIu64 "-%" PRId64 ".%09" PRIu32 "-%016" PRIx64
#define DAY_S	    86400

void disk_key_put_file(FILE *f, const struct disk_key_file *file)
{
	fprintf(f, FILE_FORMAT, file->len, file->mtime_s, file->mtime_ns, file->head);
}

/* ---- reading ---- */

/* The next file of a value at *p, which moves on. */
static bool next_file(const char **p, struct disk_key_file *ret)
{
	char text[96];
	int n = 0;

	if (sscanf(*p, " %" SCNu64 "-%" SCNd64 ".%9" SCNu32 "-%16" SCNx64 "%n", &ret->len,
		    &ret->mtime_s, &ret->mtime_ns, &ret->head, &n) != 4 ||
		!n)
		return false;
	/* As it is written, and no other way. */
	snprintf(text, sizeof(text), FILE_FORMAT, ret->len, ret->mtime_s, ret->mtime_ns, ret->head);
	if (strlen(text) != (size_t)n || strncmp(text, *p, (size_t)n))
		return false;
	*p += n;
	return true;
}

/* The disk's length, and how many files follow. */
static bool read_all(const char *value, uint64_t *ret_len, const char **ret_files, size_t *ret_n)
{
	struct disk_key_file file;
	const char *p;
	int n = 0;

	if (sscanf(value, "%" SCNu64 "%n", ret_len, &n) != 1 || !n)
		return false;
	*ret_files = p = value + n;
	for (*ret_n = 0; *p; ++*ret_n)
		if (!next_file(&p, &file))
			return false;
	return true;
}

/* ---- words ---- */

/*
 * UTC, by arithmetic: what libc has for it wants to open files. Years begin in March here, so that
 * the leap day is the last; 400 of them have 146097 days.
 */
static void put_time(FILE *f, const struct disk_key_file *k)
{
	int64_t day = k->mtime_s / DAY_S, s = k->mtime_s % DAY_S, era, year, month;

	if (!k->mtime_s && !k->mtime_ns) {
		fputs("none (a block device)", f);
		return;
	}
	if (s < 0) {
		s += DAY_S;
		day--;
	}
	day += 719468; /* since 0000-03-01 */
	era = (day < 0 ? day - 146096 : day) / 146097;
	day -= era * 146097;
	year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	day -= 365 * year + year / 4 - year / 100;
	month = (5 * day + 2) / 153;
	fprintf(f,
		"%04" PRId64 "-%02" PRId64 "-%02" PRId64 " %02" PRId64 ":%02" PRId64 ":%02" PRId64
		".%09" PRIu32 " UTC",
		era * 400 + year + (month >= 10), month < 10 ? month + 3 : month - 9,
		day - (153 * month + 2) / 5 + 1, s / 3600, s / 60 % 60, s % 60, k->mtime_ns);
}

static void put_file_difference(FILE *f, const char *was_is, const struct disk_key_file *was,
	const struct disk_key_file *now, const char *name)
{
	const char *sep = " ";

	fprintf(f, "file '%s' has changed:", name);
	if (was->len != now->len) {
		fprintf(f, "%slength: %s %" PRIu64 " bytes, this machine %" PRIu64, sep, was_is,
			was->len, now->len);
		sep = "; ";
	}
	if (was->mtime_s != now->mtime_s || was->mtime_ns != now->mtime_ns) {
		fprintf(f, "%stime of modification: %s ", sep, was_is);
		put_time(f, was);
		fputs(", this machine ", f);
		put_time(f, now);
		sep = "; ";
	}
	fprintf(f, "%sits first 64 KiB are %s", sep,
		was->head == now->head ? "the same" : "others");
}

static void put_differences(FILE *f, const char *was_is, const char *was, const char *now,
	char *const *names, size_t n_names, size_t n)
{
	const char *sep = "";

	for (size_t i = 0; i < n; i++) {
		struct disk_key_file a, b;

		if (!next_file(&was, &a) || !next_file(&now, &b))
			return;
		if (a.len == b.len && a.mtime_s == b.mtime_s && a.mtime_ns == b.mtime_ns &&
			a.head == b.head)
			continue;
		fputs(sep, f);
		put_file_difference(f, was_is, &a, &b, i < n_names ? names[i] : "?");
		sep = "; ";
	}
}

char *disk_key_difference(
	const char *was_is, const char *was, const char *now, char *const *names, size_t n_names)
{
	const char *name = n_names ? names[0] : "?", *was_files, *now_files;
	uint64_t was_len, now_len;
	size_t n_was, n_now, size;
	char *text = NULL;
	FILE *f;

	if (!read_all(was, &was_len, &was_files, &n_was) ||
		!read_all(now, &now_len, &now_files, &n_now))
		return NULL;
	f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	if (was_len != now_len)
		fprintf(f, "disk '%s': %s %" PRIu64 " bytes, this machine %" PRIu64 "%s", name,
			was_is, was_len, now_len, n_was == n_now ? "; " : "");
	if (n_was != n_now)
		fprintf(f, "%sfiles of image '%s' and what is below it: %s %zu, this machine %zu",
			was_len != now_len ? "; " : "", name, was_is, n_was, n_now);
	else
		put_differences(f, was_is, was_files, now_files, names, n_names, n_now);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
