/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM in a snapshot: blocks of consecutive pages that are not zero, deflated each for itself,
 * so that all processors work on it and each block inflates straight to its place. What no block
 * names is zero. docs/snapshots.md has the format.
 *
 * Reading believes nothing: ram_index_check() before the rest is used.
 */
#ifndef DEJAVM_RAMCODEC_H
#define DEJAVM_RAMCODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define RAM_PAGE_LEN	    4096u
#define RAM_BLOCK_PAGES	    64u
#define RAM_BLOCK_LEN	    (RAM_BLOCK_PAGES * RAM_PAGE_LEN)
#define RAM_BLOCK_ENTRY_LEN 16u /* of the index in the file: page, npages, stored_len, crc */

struct ram_block {
	uint32_t page, npages;
	uint32_t stored_len; /* npages * RAM_PAGE_LEN: as it is, not deflated */
	uint32_t crc;	     /* CRC-32 of the stored bytes */
};

struct ram_index {
	struct ram_block *v;
	size_t n, cap;
	uint64_t data_len; /* sum of stored_len */
};

void ram_index_free(struct ram_index *ix);
/* 16 bytes an entry, little-endian; buf has n * RAM_BLOCK_ENTRY_LEN bytes. */
void ram_index_encode(const struct ram_index *ix, uint8_t *buf);
/* Decodes and checks: blocks in order, within npages, of possible lengths that add up to data_len.
 * -EINVAL with *err, -ENOMEM. */
int ram_index_decode(struct ram_index *ix, const uint8_t *buf, size_t len, uint32_t npages,
	uint64_t data_len, struct error *err);

struct ram_codec; /* threads, and what they work with */

/* threads: 0: as many as there are processors, at most 8. NULL: no memory, no threads. To be made
 * before a sandbox that forbids threads. */
struct ram_codec *ram_codec_new(unsigned threads);
void ram_codec_free(struct ram_codec *c);

/*
 * Encodes ram (npages). fd: the file that it is a mapping of, so that pages that were never
 * allocated need not be read; -1: none. put is called in order, on this thread, while others go on
 * deflating: pieces of the data. *ret is the index, to be freed. 0, put's failure, -ENOMEM.
 */
int ram_encode(struct ram_codec *c, const uint8_t *ram, uint32_t npages, int fd,
	int (*put)(void *opaque, const uint8_t *data, size_t len), void *opaque,
	struct ram_index *ret, struct error *err);
/* Are the stored bytes what the index says? -EINVAL with *err, which names the page. */
int ram_verify(
	struct ram_codec *c, const struct ram_index *ix, const uint8_t *data, struct error *err);
/*
 * Inflates data to ram, and makes all other pages zero, giving their memory back through fd (-1:
 * by writing zeroes). -EINVAL with *err: a block does not inflate; RAM is spoilt.
 */
int ram_decode(struct ram_codec *c, const struct ram_index *ix, const uint8_t *data, uint8_t *ram,
	uint32_t npages, int fd, struct error *err);

#endif
