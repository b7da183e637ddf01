/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sealed memfds, eventfds and files, kept by name (see shm.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "shm.h"

#define PAGE_SIZE 4096u

static struct shm_segment *add(struct shm *s, const char *name, int rw_fd, int ro_fd, uint64_t len)
{
	must(s->n < SHM_SEGMENTS_MAX);
	must(!shm_find(s, name));
	s->v[s->n] = (struct shm_segment){ name, rw_fd, ro_fd, len };
	return &s->v[s->n++];
}

int shm_add_memory(struct shm *s, const char *name, uint64_t len, struct error *err)
{
	char path[48], label[64];
	int fd, ro, r;

	len = (len + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
	snprintf(label, sizeof(label), "dejavm-%s", name);
	fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_set(err, errno, "segment '%s': cannot make shared memory: %s", name,
			strerror(errno));
	/* Sealed against a change of size: a peer cannot make our mapping fault. */
	if (ftruncate(fd, (off_t)len) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = error_set(err, errno,
			"segment '%s': cannot make %llu bytes of shared memory: %s", name,
			(unsigned long long)len, strerror(errno));
		close(fd);
		return r;
	}
	/* A second open file, so that a reader's descriptor cannot be mapped writable. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	if (ro < 0) {
		r = error_set(err, errno, "segment '%s': cannot open it for reading through %s: %s",
			name, path, strerror(errno));
		close(fd);
		return r;
	}
	add(s, name, fd, ro, len);
	return 0;
}

int shm_add_bell(struct shm *s, const char *name, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_set(err, errno, "segment '%s': cannot make an eventfd: %s", name,
			strerror(errno));
	add(s, name, fd, -1, 0);
	return 0;
}

int shm_add_fd(struct shm *s, const char *name, int fd, uint64_t len, struct error *err)
{
	add(s, name, fd, -1, len);
	return 0;
}

const struct shm_segment *shm_find(const struct shm *s, const char *name)
{
	for (int i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].name, name))
			return &s->v[i];
	return NULL;
}

void *shm_map(const struct shm *s, const char *name, bool writable, struct error *err)
{
	const struct shm_segment *g = shm_find(s, name);
	void *m;

	must(g);
	m = mmap(NULL, g->len, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
		writable ? g->rw_fd : g->ro_fd, 0);
	if (m == MAP_FAILED) {
		error_set(err, errno, "segment '%s': cannot map %llu bytes: %s", name,
			(unsigned long long)g->len, strerror(errno));
		return NULL;
	}
	return m;
}

void shm_done(struct shm *s)
{
	for (int i = 0; i < s->n; i++) {
		close(s->v[i].rw_fd);
		if (s->v[i].ro_fd >= 0)
			close(s->v[i].ro_fd);
	}
	s->n = 0;
}
