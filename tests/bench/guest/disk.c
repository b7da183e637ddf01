/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes of a disk, past the page cache (O_DIRECT).
 *
 *   disk WHAT DEVICE COUNT
 *
 * WHAT: seq-read, seq-write (128 KiB each, one after the other), rand-read, rand-write (4 KiB each,
 * places by a fixed generator). Writes end in an fsync. COUNT requests; the device is gone round as
 * often as that takes. Prints a checksum of what was read, or written, so that a run that did
 * something else shows.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

#define BIG   (128u << 10)
#define SMALL 4096u

static uint32_t seed = 12345;

static uint32_t next_random(void)
{
	seed = seed * 1103515245u + 12345;
	return seed >> 8;
}

static int die(const char *what)
{
	fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
	return 1;
}

/* A few words of each request: the disk is what is measured, not the sum. */
static uint32_t sum(uint32_t s, const uint32_t *p, size_t len)
{
	for (size_t i = 0; i < len / 4; i += 509)
		s = s * 33 + p[i];
	return s;
}

int main(int argc, char **argv)
{
	unsigned long long bytes = 0, pieces, n;
	uint32_t *buf = NULL, result = 0;
	int writing, random, fd;
	size_t len;

	if (argc != 4)
		return 2;
	random = !strncmp(argv[1], "rand-", 5);
	writing = !strcmp(strchr(argv[1], '-') ? strchr(argv[1], '-') : "", "-write");
	len = random ? SMALL : BIG;
	n = strtoull(argv[3], NULL, 0);
	fd = open(argv[2], (writing ? O_WRONLY : O_RDONLY) | O_DIRECT);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return die(argv[2]);
	if (posix_memalign((void **)&buf, 4096, len))
		return die("memory");
	for (size_t i = 0; i < len / 4; i++)
		buf[i] = next_random();
	pieces = bytes / len;
	for (unsigned long long i = 0; i < n; i++) {
		off_t at = (off_t)((random ? next_random() : i) % pieces * len);
		ssize_t r;

		buf[0] = (uint32_t)i;
		r = writing ? pwrite(fd, buf, len, at) : pread(fd, buf, len, at);
		if (r != (ssize_t)len)
			return die(argv[1]);
		result = sum(result, buf, len);
	}
	if (writing && fsync(fd) < 0)
		return die("fsync");
	printf("%s %llu %08x\n", argv[1], n, (unsigned int)result);
	return 0;
}
