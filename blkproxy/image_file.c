/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file under an image: whole reads and writes, holes, durability, locks.
 *
 * Locks are open file description locks on single bytes, in the layout that QEMU uses (its
 * file-posix driver), because its users' tools have to see ours and we theirs: byte 100 + P is held
 * (shared) by who does P, byte 200 + P by who does not want others to do P. Nobody locks
 * exclusively; one looks whether another holds the byte that stands against what one wants.
 */
#include "image_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTE_DOES    100
#define BYTE_REFUSES 200

/* What a process may do to a file: bits of the layout above. */
enum {
	PERM_READ = 0, /* relies on what it reads */
	PERM_WRITE = 1,
	PERM_RESIZE = 3,
};

static int watch(
	struct image_file *f, enum image_file_op op, uint64_t offset, const void *data, size_t len)
{
	return f->hook ? f->hook(f->hook_opaque, f->depth, op, offset, data, len) : 0;
}

static int failed(
	struct image_file *f, const char *what, uint64_t offset, int code, struct error *err)
{
	return error_set(err, code, "'%s': %s at byte %llu: %s", f->name, what,
		(unsigned long long)offset, strerror(code));
}

int image_file_read(struct image_file *f, uint64_t offset, void *buf, size_t len, struct error *err)
{
	uint8_t *p = buf;
	int r = watch(f, IMAGE_FILE_READ, offset, NULL, len);

	while (r == 0 && len > 0) {
		ssize_t n = pread(f->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n == 0) {
			memset(p, 0, len);
			break;
		}
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			offset += (size_t)n;
		}
	}
	return r < 0 ? failed(f, "reading", offset, -r, err) : 0;
}

int image_file_write(
	struct image_file *f, uint64_t offset, const void *buf, size_t len, struct error *err)
{
	const uint8_t *p = buf;
	int r = watch(f, IMAGE_FILE_WRITE, offset, buf, len);

	while (r == 0 && len > 0) {
		ssize_t n = pwrite(f->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -ENOSPC;
			break;
		}
		p += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return r < 0 ? failed(f, "writing", offset, -r, err) : 0;
}

int image_file_zero(struct image_file *f, uint64_t offset, uint64_t len, struct error *err)
{
	static const uint8_t zeros[65536];

	while (len > 0) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);
		int r = image_file_write(f, offset, zeros, n, err);

		if (r < 0)
			return r;
		offset += n;
		len -= n;
	}
	return 0;
}

int image_file_sync(struct image_file *f, struct error *err)
{
	int r;

	if (f->no_sync)
		return 0;
	r = watch(f, IMAGE_FILE_SYNC, 0, NULL, 0);
	while (r == 0 && fdatasync(f->fd) < 0) {
		/* A file that has nowhere to be flushed to is as durable as it gets. */
		if (errno == EINVAL || errno == EROFS)
			break;
		if (errno != EINTR)
			r = -errno;
	}
	return r < 0 ? error_set(err, -r, "'%s': flushing: %s", f->name, strerror(-r)) : 0;
}

int image_file_punch(struct image_file *f, uint64_t offset, uint64_t len)
{
	int r;

	if (f->no_punch)
		return -EOPNOTSUPP;
	r = watch(f, IMAGE_FILE_PUNCH, offset, NULL, (size_t)len);
	while (r == 0 && fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				 (off_t)len) < 0) {
		if (errno == EINTR)
			continue;
		r = -errno;
		if (errno == ENOSYS || errno == EINVAL || errno == ENODEV)
			r = -EOPNOTSUPP;
		if (r == -EOPNOTSUPP)
			f->no_punch = true;
	}
	return r;
}

int image_file_truncate(struct image_file *f, uint64_t len, struct error *err)
{
	int r = watch(f, IMAGE_FILE_TRUNCATE, len, NULL, 0);

	/* A block device has the length it has. */
	if (r == 0 && ftruncate(f->fd, (off_t)len) < 0)
		r = errno == EINVAL ? -ENOSPC : -errno;
	return r < 0 ? error_set(err, -r, "'%s': setting its length to %llu: %s", f->name,
			       (unsigned long long)len, strerror(-r))
		     : 0;
}

int image_file_len(struct image_file *f, uint64_t *ret_len, struct error *err)
{
	off_t end = lseek(f->fd, 0, SEEK_END); /* of a block device, too */

	if (end < 0)
		return error_set(
			err, errno, "'%s': finding its length: %s", f->name, strerror(errno));
	if ((uint64_t)end >= IMAGE_FILE_MAX)
		return error_set(err, EFBIG, "'%s': %llu bytes are too long", f->name,
			(unsigned long long)end);
	*ret_len = (uint64_t)end;
	return 0;
}

/* ---- locks ---- */

static int lock_byte(int fd, int cmd, short type, int byte, struct flock *fl)
{
	*fl = (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	return fcntl(fd, cmd, fl) < 0 ? -errno : 0;
}

static bool held_by_other(int fd, int byte)
{
	struct flock fl;

	return lock_byte(fd, F_OFD_GETLK, F_WRLCK, byte, &fl) == 0 && fl.l_type != F_UNLCK;
}

static const struct lock_row {
	int bit;
	bool reader_does, writer_does, refused;
	const char *does, *refuses;
} lock_table[] = {
	{ PERM_READ, true, true, false, "reads it", "wants it for itself" },
	{ PERM_WRITE, false, true, true, "writes to it", "allows no other to write" },
	{ PERM_RESIZE, false, true, true, "may change its length",
		"allows no other to change its length" },
};

#define N_LOCKS (sizeof(lock_table) / sizeof(lock_table[0]))

static int in_use(struct image_file *f, bool writer, const char *why, struct error *err)
{
	return error_set(err, EAGAIN, "'%s' is in use: cannot %s while another process %s", f->name,
		writer ? "write" : "read", why);
}

int image_file_lock(struct image_file *f, bool writer, struct error *err)
{
	struct flock fl;
	int r;

	/* Take first, look afterwards: of two who come at once, at least one sees the other. */
	for (size_t i = 0; i < N_LOCKS; i++) {
		const struct lock_row *l = &lock_table[i];

		if (writer ? l->writer_does : l->reader_does) {
			r = lock_byte(f->fd, F_OFD_SETLK, F_RDLCK, BYTE_DOES + l->bit, &fl);
			/* Without locks in the file system there is nobody to conflict with. */
			if (r == -EINVAL || r == -ENOLCK || r == -EOPNOTSUPP)
				return 0;
			if (r < 0)
				return in_use(f, writer, "holds it exclusively", err);
		}
		if (l->refused &&
			lock_byte(f->fd, F_OFD_SETLK, F_RDLCK, BYTE_REFUSES + l->bit, &fl) < 0)
			return in_use(f, writer, "holds it exclusively", err);
	}
	for (size_t i = 0; i < N_LOCKS; i++) {
		const struct lock_row *l = &lock_table[i];

		if ((writer ? l->writer_does : l->reader_does) &&
			held_by_other(f->fd, BYTE_REFUSES + l->bit))
			return in_use(f, writer, l->refuses, err);
		if (l->refused && held_by_other(f->fd, BYTE_DOES + l->bit))
			return in_use(f, writer, l->does, err);
	}
	return 0;
}
