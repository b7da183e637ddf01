/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The segments of proto/segments.h: shared memory, bells and open files, by name. The hub makes
 * them all once and keeps them until the end, so that a process that is restarted gets the same
 * ones back.
 */
#ifndef DEJAVM_HUB_SHM_H
#define DEJAVM_HUB_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define SHM_SEGMENTS_MAX 64

struct shm_segment {
	const char *name; /* kept by reference */
	int rw_fd;
	int ro_fd; /* the same memory, opened for reading only; -1: hand out rw_fd */
	uint64_t len;
};

struct shm {
	struct shm_segment v[SHM_SEGMENTS_MAX];
	int n;
};

/* A sealed memfd of len bytes (whole pages are made of it), all zero. 0 or -errno with *err. */
int shm_add_memory(struct shm *s, const char *name, uint64_t len, struct error *err);
/* An eventfd. */
int shm_add_bell(struct shm *s, const char *name, struct error *err);
/* An open descriptor, which becomes ours. len: bytes of the file, or 0. */
int shm_add_fd(struct shm *s, const char *name, int fd, uint64_t len, struct error *err);
/* NULL if there is no such segment. */
const struct shm_segment *shm_find(const struct shm *s, const char *name);
/* Maps a segment of shared memory for the life of the hub. NULL with *err. */
void *shm_map(const struct shm *s, const char *name, bool writable, struct error *err);
void shm_done(struct shm *s);

#endif
