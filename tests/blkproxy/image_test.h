/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images in memory for the tests of the image library: files by name, each a memfd, and an opener
 * that finds them. Everything is static: one program, one set of files.
 */
#ifndef DEJAVM_IMAGE_TEST_H
#define DEJAVM_IMAGE_TEST_H

#include "../common/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

#define FILES_MAX 80

static struct mem_file {
	char name[IMAGE_NAME_MAX];
	int fd;
} mem_files[FILES_MAX];
static size_t n_mem_files;

/* The descriptor of a file by this name, made if it is not there. */
static inline int mem_file(const char *name)
{
	struct mem_file *f;

	for (size_t i = 0; i < n_mem_files; i++)
		if (strcmp(mem_files[i].name, name) == 0)
			return mem_files[i].fd;
	assert_true(n_mem_files < FILES_MAX);
	f = &mem_files[n_mem_files++];
	snprintf(f->name, sizeof(f->name), "%s", name);
	f->fd = memfd_create("image", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	return f->fd;
}

static inline void mem_files_done(void)
{
	for (size_t i = 0; i < n_mem_files; i++)
		close(mem_files[i].fd);
	n_mem_files = 0;
}

/* Opens anew (a descriptor of its own, with locks of its own), as a hub would. */
static inline int mem_open(void *opaque, const char *name, enum image_open_flags flags)
{
	char path[64];
	int fd;

	for (size_t i = 0; i < n_mem_files; i++) {
		if (strcmp(mem_files[i].name, name) != 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", mem_files[i].fd);
		fd = open(path, (flags & IMAGE_OPEN_RDWR ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	return -ENOENT;
}

static inline void mem_put(const char *name, uint64_t offset, const void *data, size_t len)
{
	assert_int_equal(pwrite(mem_file(name), data, len, (off_t)offset), (ssize_t)len);
}

static inline void mem_put_be(const char *name, uint64_t offset, unsigned n, uint64_t v)
{
	uint8_t b[8];

	for (unsigned i = n; i-- > 0; v >>= 8)
		b[i] = (uint8_t)v;
	mem_put(name, offset, b, n);
}

static inline uint64_t mem_get_be(const char *name, uint64_t offset, unsigned n)
{
	uint8_t b[8];
	uint64_t v = 0;

	assert_int_equal(pread(mem_file(name), b, n, (off_t)offset), n);
	for (unsigned i = 0; i < n; i++)
		v = v << 8 | b[i];
	return v;
}

/* All of a file; *ret_len its length. The caller's to free. */
static inline uint8_t *mem_copy(const char *name, size_t *ret_len)
{
	struct stat st;
	uint8_t *p;

	assert_int_equal(fstat(mem_file(name), &st), 0);
	p = malloc((size_t)st.st_size + 1);
	assert_non_null(p);
	assert_int_equal(pread(mem_file(name), p, (size_t)st.st_size, 0), st.st_size);
	*ret_len = (size_t)st.st_size;
	return p;
}

static inline void mem_qcow2(const char *name, const struct qcow2_how *how)
{
	struct error err = ERROR_INIT;

	if (image_create_qcow2(mem_file(name), how, &err) < 0)
		fail_msg("%s", err.msg);
}

static inline int mem_image(const char *name, bool readonly, struct image **ret, struct error *err)
{
	struct image_how how = { .name = name, .readonly = readonly, .opener = mem_open };

	return image_open(&how, ret, err);
}

static inline struct image *must_open(const char *name, bool readonly)
{
	struct error err = ERROR_INIT;
	struct image *img;

	if (mem_image(name, readonly, &img, &err) < 0)
		fail_msg("%s", err.msg);
	return img;
}

static inline void must_close(struct image *img)
{
	struct error err = ERROR_INIT;

	if (image_close(img, &err) < 0)
		fail_msg("%s", err.msg);
}

/* The call fails with this errno and says these words. */
#define assert_refused(call, code_, words)                                  \
	do {                                                                \
		struct error err = ERROR_INIT;                              \
		assert_int_equal(call, -(code_));                           \
		assert_int_equal(err.code, code_);                          \
		if (!strstr(err.msg, words))                                \
			fail_msg("'%s' does not say '%s'", err.msg, words); \
	} while (0)

#define assert_works(call)                                  \
	do {                                                \
		struct error err = ERROR_INIT;              \
		if ((call) < 0)                             \
			fail_msg("%s: %s", #call, err.msg); \
	} while (0)

#endif
