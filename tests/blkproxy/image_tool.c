/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives the image library from a script: commands on stdin, answers on stdout.
 *
 *	image_tool create FILE LEN [version=N] [cluster_bits=N] [refcount_order=N] [lazy=1]
 *		[backing=NAME] [backing_format=F]
 *	image_tool open FILE [readonly=1] [format=F] [back=1] [no_lock=1] [no_backing=1]
 *[trace=FILE] [kill=N] [fail=N:ERRNO]
 *
 * Each command of an open image is a line, for some with data behind it; each answer is a line "ok
 *LEN" with LEN bytes behind it, or "error CODE TEXT".
 *
 *	read OFFSET LEN			write OFFSET LEN + data		discard OFFSET LEN
 *flush vmread NAME|- OFFSET LEN	vmwrite OFFSET LEN + data create NAME VMLEN ICOUNT
 *apply NAME	delete NAME	list info				check		repair
 *close
 *
 * trace= writes each change of the file to a log that a test can replay up to any point: records of
 *op (1 byte: W, S, P, T), offset and length (8 bytes each, little-endian), and a W's data; "A" with
 *offset N when the N-th command has been answered. kill=N ends the process with SIGKILL in the
 *middle of the N-th write or sync. fail=N:ERRNO fails the N-th.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"

#define DATA_MAX  (64u << 20)
#define WORDS_MAX (1u << 16)

static struct {
	FILE *trace;
	unsigned long long n, kill_at, fail_at;
	int fail_code;
	struct image *img;
} tool;

/* Grows as commands need it: a test starts this program some thousand times. */
static uint8_t *data;
static size_t data_size;

static void record(char op, uint64_t offset, uint64_t len, const void *bytes)
{
	if (!tool.trace)
		return;
	fputc(op, tool.trace);
	fwrite(&offset, 8, 1, tool.trace);
	fwrite(&len, 8, 1, tool.trace);
	if (bytes)
		fwrite(bytes, 1, len, tool.trace);
}

static int on_access(void *opaque, unsigned depth, enum image_file_op op, uint64_t offset,
	const void *bytes, size_t len)
{
	static const char letters[] = { [IMAGE_FILE_WRITE] = 'W',
		[IMAGE_FILE_SYNC] = 'S',
		[IMAGE_FILE_PUNCH] = 'P',
		[IMAGE_FILE_TRUNCATE] = 'T' };

	if (op == IMAGE_FILE_READ)
		return 0;
	if (++tool.n == tool.fail_at)
		return -tool.fail_code;
	if (tool.n == tool.kill_at) {
		/* A part of the write, as a cut may leave it. */
		if (op == IMAGE_FILE_WRITE && len > 1024 && tool.img &&
			pwrite(image_fd(tool.img, depth), bytes, len / 2 & ~(size_t)511,
				(off_t)offset) < 0)
			_exit(3);
		kill(getpid(), SIGKILL);
	}
	record(letters[op], offset, len, op == IMAGE_FILE_WRITE ? bytes : NULL);
	return 0;
}

static int open_file(void *opaque, const char *name, enum image_open_flags flags)
{
	int fd = open(name, (flags & IMAGE_OPEN_RDWR ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static const char *option(char **args, const char *name)
{
	size_t n = strlen(name);

	for (; *args; args++)
		if (strncmp(*args, name, n) == 0 && (*args)[n] == '=')
			return *args + n + 1;
	return NULL;
}

static unsigned long long number(char **args, const char *name, unsigned long long otherwise)
{
	const char *v = option(args, name);

	return v ? strtoull(v, NULL, 0) : otherwise;
}

static int fail(const struct error *err)
{
	fprintf(stderr, "%s\n", err->msg);
	return 1;
}

static int do_create(char **argv)
{
	struct qcow2_how how = { .len = argv[1] ? strtoull(argv[1], NULL, 0) : 0,
		.version = (unsigned)number(argv, "version", 3),
		.cluster_bits = (unsigned)number(argv, "cluster_bits", 16),
		.refcount_order = (unsigned)number(argv, "refcount_order", 4),
		.lazy_refcounts = number(argv, "lazy", 0),
		.backing = option(argv, "backing"),
		.backing_format = option(argv, "backing_format") };
	struct error err = ERROR_INIT;
	int fd = open(argv[0], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r;

	if (fd < 0) {
		perror(argv[0]);
		return 2;
	}
	r = image_create_qcow2(fd, &how, &err);
	close(fd);
	return r < 0 ? fail(&err) : 0;
}

/* ---- commands ---- */

static void answer(int r, const struct error *err, const void *bytes, size_t len)
{
	if (r < 0) {
		printf("error %d %s\n", -r, err->msg);
	} else {
		printf("ok %zu\n", len);
		if (len)
			fwrite(bytes, 1, len, stdout);
	}
	fflush(stdout);
}

static size_t list_words(char *text, size_t size, struct error *err, int *ret)
{
	struct image_snapshot *list;
	size_t n, at = 0;

	*ret = image_snapshot_list(tool.img, &list, &n, err);
	if (*ret < 0)
		return 0;
	for (size_t i = 0; i < n && at < size - 600; i++)
		at += (size_t)snprintf(text + at, size - at, "%s\t%s\t%llu\t%llu\t%llu\n",
			list[i].id, list[i].name, (unsigned long long)list[i].vm_state_len,
			(unsigned long long)list[i].disk_len, (unsigned long long)list[i].icount);
	free(list);
	return at;
}

static size_t info_words(char *text, size_t size)
{
	struct image_info i;

	image_get_info(tool.img, &i);
	return (size_t)snprintf(text, size,
		"format=%s\nlen=%llu\ncluster=%u\nversion=%u\nrefcount_bits=%u\nlazy=%d\ndirty=%d\n"
		"corrupt=%d\ncompression=%s\nsnapshots=%u\ndepth=%u\nbacking=%s\nbacking_format=%"
		"s\n",
		i.format, (unsigned long long)i.len, i.cluster_len, i.version, i.refcount_bits,
		i.lazy_refcounts, i.dirty, i.corrupt, i.compression ? i.compression : "-",
		i.n_snapshots, i.depth, i.backing, i.backing_format);
}

static size_t check_words(bool repair, char *text, size_t size, struct error *err, int *ret)
{
	struct image_check c;

	*ret = image_check(tool.img, repair, &c, err);
	return *ret < 0 ? 0
			: (size_t)snprintf(text, size,
				  "leaks=%llu\nerrors=%llu\nfixed=%llu\nfirst=%s\n",
				  (unsigned long long)c.leaks, (unsigned long long)c.errors,
				  (unsigned long long)c.fixed, c.first);
}

static size_t room(unsigned long long len)
{
	if (len > DATA_MAX)
		len = 0;
	if (len > data_size) {
		data = realloc(data, len);
		data_size = len;
		if (!data)
			_exit(2);
	}
	return (size_t)len;
}

static bool take_data(unsigned long long len)
{
	return room(len) == len && fread(data, 1, len, stdin) == len;
}

/* False: the end. */
static bool command(char *line)
{
	char verb[16] = "", name[300] = "";
	unsigned long long a = 0, b = 0;
	struct error err = ERROR_INIT;
	struct image *img = tool.img;
	size_t len = 0;
	int r = 0;

	sscanf(line, "%15s %llu %llu", verb, &a, &b);
	if (!strcmp(verb, "read")) {
		len = room(b);
		r = image_read(img, a, data, len, &err);
	} else if (!strcmp(verb, "write")) {
		if (!take_data(b))
			return false;
		r = image_write(img, a, data, b, &err);
	} else if (!strcmp(verb, "discard")) {
		r = image_discard(img, a, b, &err);
	} else if (!strcmp(verb, "flush")) {
		r = image_flush(img, &err);
	} else if (!strcmp(verb, "vmwrite")) {
		if (!take_data(b))
			return false;
		r = image_vmstate_write(img, a, data, b, &err);
	} else if (!strcmp(verb, "vmread")) {
		sscanf(line, "%*s %299s %llu %llu", name, &a, &b);
		len = room(b);
		r = image_vmstate_read(img, strcmp(name, "-") ? name : NULL, a, data, len, &err);
	} else if (!strcmp(verb, "create")) {
		struct image_snapshot s = { .date_s = 1600000000, .vm_clock_ns = 3661000000000ULL };
		unsigned long long icount = IMAGE_NO_ICOUNT;

		sscanf(line, "%*s %255s %llu %llu", s.name, &a, &icount);
		s.vm_state_len = a;
		s.icount = icount;
		r = image_snapshot_create(img, &s, &err);
	} else if (!strcmp(verb, "apply") || !strcmp(verb, "delete")) {
		sscanf(line, "%*s %255s", name);
		r = verb[0] == 'a' ? image_snapshot_apply(img, name, &err)
				   : image_snapshot_delete(img, name, &err);
	} else if (!strcmp(verb, "list")) {
		len = list_words((char *)data, WORDS_MAX, &err, &r);
	} else if (!strcmp(verb, "info")) {
		len = info_words((char *)data, WORDS_MAX);
	} else if (!strcmp(verb, "check") || !strcmp(verb, "repair")) {
		len = check_words(verb[0] == 'r', (char *)data, WORDS_MAX, &err, &r);
	} else if (!strcmp(verb, "close")) {
		tool.img = NULL;
		r = image_close(img, &err);
		answer(r, &err, NULL, 0);
		return false;
	} else {
		r = error_set(&err, EINVAL, "no such command: %s", verb);
	}
	answer(r, &err, data, len);
	return true;
}

static int do_open(char **argv)
{
	struct image_how how = { .name = argv[0],
		.format = option(argv, "format"),
		.readonly = number(argv, "readonly", 0),
		.no_backing = number(argv, "no_backing", 0),
		.no_lock = number(argv, "no_lock", 0),
		.tables = number(argv, "back", 0) ? IMAGE_TABLES_BACK : IMAGE_TABLES_THROUGH,
		.opener = open_file,
		.hook = on_access };
	const char *trace = option(argv, "trace"), *failing = option(argv, "fail");
	struct error err = ERROR_INIT;
	unsigned long long n = 0;
	char line[1024];

	tool.kill_at = number(argv, "kill", 0);
	if (failing && sscanf(failing, "%llu:%d", &tool.fail_at, &tool.fail_code) != 2)
		return 2;
	if (trace)
		tool.trace = fopen(trace, "we");
	room(WORDS_MAX);
	if (trace && !tool.trace)
		return 2;
	if (image_open(&how, &tool.img, &err) < 0)
		return fail(&err);
	printf("ok 0\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && command(line)) {
		record('A', ++n, 0, NULL);
		if (tool.trace)
			fflush(tool.trace);
	}
	image_close(tool.img, NULL);
	if (tool.trace)
		fclose(tool.trace);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "create") == 0)
		return do_create(argv + 2);
	if (argc >= 3 && strcmp(argv[1], "open") == 0)
		return do_open(argv + 2);
	fprintf(stderr,
		"Usage: image_tool create FILE LEN [NAME=VALUE...] | open FILE [NAME=VALUE...]\n");
	return 2;
}
