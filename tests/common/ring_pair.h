/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of a channel, over sealed memfds as the hub makes them. For tests and benchmarks. */
#ifndef DEJAVM_RING_PAIR_H
#define DEJAVM_RING_PAIR_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

/* Offsets in a segment, as docs/ring.md says. */
#define SEG_HEAD     0
#define SEG_TAIL     64
#define SEG_SLEEPING 128
#define SEG_SLOTS    4096

struct ring_pair {
	struct chan_geometry geo;
	int seg_fd[2], bell_fd[2]; /* of side A, of side B */
	uint8_t *seg[2];	   /* writable maps of both, for tests that meddle */
};

static inline void pair_init(struct ring_pair *p, const struct chan_geometry *g)
{
	p->geo = *g;
	for (int i = 0; i < 2; i++) {
		size_t len = chan_segment_size(g, i == 0);

		p->seg_fd[i] = memfd_create("ring-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		p->bell_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (p->seg_fd[i] < 0 || p->bell_fd[i] < 0 ||
			ftruncate(p->seg_fd[i], (off_t)len) < 0 ||
			fcntl(p->seg_fd[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
			perror("pair_init");
			exit(1);
		}
		p->seg[i] = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, p->seg_fd[i], 0);
		if (p->seg[i] == MAP_FAILED) {
			perror("pair_init");
			exit(1);
		}
	}
}

static inline void pair_done(struct ring_pair *p)
{
	for (int i = 0; i < 2; i++) {
		munmap(p->seg[i], chan_segment_size(&p->geo, i == 0));
		close(p->seg_fd[i]);
		close(p->bell_fd[i]);
	}
}

static inline int pair_open(struct ring_pair *p, struct chan *c, bool is_a, struct error *err)
{
	int me = is_a ? 0 : 1;

	return chan_init(c, is_a, &p->geo, p->seg_fd[me], p->seg_fd[!me], p->bell_fd[me],
		p->bell_fd[!me], err);
}

#endif
