/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a log and a snapshot keep of a disk (docs/hub.md, key drive.N): the disk's length and, for
 * each file of its image's chain, what tells whether it has changed since.
 *
 *	8388608 8388608-1700000000.123456789-0123456789abcdef
 */
#ifndef DEJAVM_DISKKEY_H
#define DEJAVM_DISKKEY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct disk_key_file {
	uint64_t len;	 /* bytes */
	int64_t mtime_s; /* since 1970; with mtime_ns 0: a block device, which has none */
	uint32_t mtime_ns;
	uint64_t head; /* hash64 of the first 64 KiB */
};

/* Appends a file to a value. */
void disk_key_put_file(FILE *f, const struct disk_key_file *file);
/*
 * How two values differ, in words: the files by the names that this machine calls them by (names,
 * in the value's order), what of each is not the same, and both values where they say something.
 * was_is: who has the first value ("log"). A string to free; NULL: one of them is no such value, or
 * there is no memory.
 */
char *disk_key_difference(
	const char *was_is, const char *was, const char *now, char *const *names, size_t n_names);

#endif
