/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vCPU's share of a state digest: registers by name, hidden CPU state, and RAM (proto/digest.h
 * has the encoding). */
#ifndef DEJAVM_CPU_DIGEST_H
#define DEJAVM_CPU_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include "cpu.h"
#include "error.h"
#include "state.h"

struct ram_digest;

/*
 * ram is guest RAM of npages pages, all zero bytes as the machine starts; kept by reference.
 * NULL with *err when memory is short.
 */
struct ram_digest *ram_digest_new(const uint8_t *ram, uint32_t npages, struct error *err);
/* ram is a mapping of this file (memfd): what was never allocated there need not be read. fd is
 * borrowed. */
void ram_digest_set_file(struct ram_digest *d, int fd);
void ram_digest_free(struct ram_digest *d);

/*
 * Writes the digest items of cpu and of the RAM pages written since the last call into buf. Returns
 * the bytes used; cap of CPU_DIGEST_BLOB_MAX is always enough.
 */
size_t digest_collect(struct cpu *cpu, struct ram_digest *d, uint8_t *buf, size_t cap);

/*
 * What RAM was at the last digest, for a snapshot: the next digest says what has changed since.
 * *ret has been initialised. -ENOMEM. load: -EINVAL with *err, and nothing has changed; all pages
 * are to be marked dirty after it.
 */
int ram_digest_save(const struct ram_digest *d, Dejavm__PageSums *ret);
int ram_digest_check(const struct ram_digest *d, const Dejavm__PageSums *s, struct error *err);
int ram_digest_load(struct ram_digest *d, const Dejavm__PageSums *s, struct error *err);

#endif
