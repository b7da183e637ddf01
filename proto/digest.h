/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Digest items: what a state digest is made of, so that a replay that differs can say by name what
 *differs. A digest is a sequence of items, big-endian on the wire:
 *
 *	u8 kind, u8 name length, name, u64 value
 *
 * RAM buckets are many, so they are packed: kind DIGEST_RAM_BUCKET, u8 0, u32 first page, u32
 *npages, u32 hash.
 */
#ifndef DEJAVM_DIGEST_H
#define DEJAVM_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* The numbers are the log's. */
enum digest_kind {
	DIGEST_REG = 1,	       /* value of a CPU register, by name */
	DIGEST_CPU = 2,	       /* hash of a part of the CPU: "fpu", "msr", "lapic", "segments" */
	DIGEST_DEVICE = 3,     /* hash of a device's saved fields, by the device's name */
	DIGEST_RAM = 4,	       /* hash of all RAM: name "ram" */
	DIGEST_RAM_BUCKET = 5, /* hash of a range of pages written since the last digest */
	DIGEST_OUTPUT = 6,     /* bytes sent so far on an output stream, by name */
};

#define DIGEST_NAME_MAX 32

struct digest_item {
	uint8_t kind;
	char name[DIGEST_NAME_MAX + 1]; /* empty for buckets */
	uint64_t value;			/* hash for buckets */
	uint32_t first_page, npages;	/* buckets */
};

struct digest_writer {
	uint8_t *buf;
	size_t len, cap;
	int overflow; /* an item did not fit; it was left out */
};

void digest_put(struct digest_writer *w, enum digest_kind kind, const char *name, uint64_t value);
void digest_put_bucket(
	struct digest_writer *w, uint32_t first_page, uint32_t npages, uint32_t hash);
/* Reads the item at *pos and moves *pos behind it. 1: an item, 0: the end, -EINVAL: malformed. */
int digest_next(const uint8_t *buf, size_t len, size_t *pos, struct digest_item *ret);
/* Words for an item, as in messages: "register eip", "device i8254", "RAM pages 0x100-0x13f". */
void digest_item_words(const struct digest_item *it, char *buf, size_t cap);

#endif
