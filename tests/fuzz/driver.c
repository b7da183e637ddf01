/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small stand-alone driver for fuzz targets: no coverage feedback, but it builds with any
 *compiler and runs in every test run.
 *
 *	fuzz_X [--seconds N] [--seed S] [--max-len L] [--corpus DIR]	mutate for N seconds
 *	fuzz_X FILE...							run these inputs once
 *
 * Deterministic: iteration I of seed S is always the same input. An input that crashes or takes
 *longer than 10 s is left in crash-SEED-ITERATION.bin, and the command that repeats it is printed.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INPUT_TIMEOUT_S 10
#define MAX_SEEDS	4096
#define MAX_LEN		(1 << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

struct input {
	uint8_t *data;
	size_t len;
};

static struct input seeds[MAX_SEEDS];
static size_t n_seeds;
static struct input current;
static uint64_t seed = 1, iteration, rng;
static const char *program;
static volatile sig_atomic_t dying;

static uint64_t next_random(void)
{
	/* splitmix64 */
	uint64_t z = rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return n ? (size_t)(next_random() % n) : 0;
}

static void on_crash(int sig)
{
	char name[96], text[400];
	int fd, n;

	if (dying)
		_exit(1);
	dying = 1;
	snprintf(name, sizeof(name), "crash-%llu-%llu.bin", (unsigned long long)seed,
		(unsigned long long)iteration);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0) {
		if (write(fd, current.data, current.len) < 0)
			name[0] = '\0';
		close(fd);
	}
	n = snprintf(text, sizeof(text),
		"%s: %s at seed %llu, iteration %llu, %zu bytes; again: %s %s\n", program,
		sig == SIGALRM ? "an input takes too long" : strsignal(sig),
		(unsigned long long)seed, (unsigned long long)iteration, current.len, program,
		name);
	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		_exit(1);
	signal(SIGABRT, SIG_DFL);
	abort();
}

static bool add_seed(const void *data, size_t len)
{
	uint8_t *copy;

	if (n_seeds == MAX_SEEDS || len > MAX_LEN)
		return false;
	copy = malloc(len ? len : 1);
	if (!copy)
		return false;
	if (len)
		memcpy(copy, data, len);
	seeds[n_seeds++] = (struct input){ copy, len };
	return true;
}

static int read_file(const char *path, uint8_t *buf, size_t cap, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	while (len < cap && (n = read(fd, buf + len, cap - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (n < 0)
		return -EIO;
	*ret_len = len;
	return 0;
}

static void read_corpus(const char *dir, uint8_t *buf)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d) {
		fprintf(stderr, "%s: %s: %s\n", program, dir, strerror(errno));
		exit(2);
	}
	while ((e = readdir(d))) {
		char path[4096];
		size_t len = 0;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (read_file(path, buf, MAX_LEN, &len) == 0)
			add_seed(buf, len);
	}
	closedir(d);
}

/* ---- mutation ---- */

static void remove_some(struct input *in)
{
	size_t at = below(in->len), n = 1 + below(below(8) ? 8 : in->len);

	if (!in->len)
		return;
	if (n > in->len - at)
		n = in->len - at;
	memmove(in->data + at, in->data + at + n, in->len - at - n);
	in->len -= n;
}

static void insert_some(struct input *in, size_t max_len)
{
	size_t at = below(in->len + 1), n = 1 + below(below(8) ? 8 : 256);
	bool same = below(2);
	uint8_t fill = (uint8_t)next_random();

	if (n > max_len - in->len)
		n = max_len - in->len;
	memmove(in->data + at + n, in->data + at, in->len - at);
	for (size_t i = 0; i < n; i++)
		in->data[at + i] = same ? fill : (uint8_t)next_random();
	in->len += n;
}

static void splice_in(struct input *in, size_t max_len)
{
	const struct input *other = &seeds[below(n_seeds)];
	size_t from = below(other->len), at = below(in->len + 1), n = below(other->len - from + 1);

	if (n > max_len - at)
		n = max_len - at;
	if (n == 0)
		return;
	memcpy(in->data + at, other->data + from, n);
	if (at + n > in->len)
		in->len = at + n;
}

/* A number that parsers trip over, in one of four widths and two byte orders. */
static void put_edge(struct input *in)
{
	static const uint64_t edges[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
		0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, INT64_MAX, UINT64_MAX };
	size_t width = (size_t)1 << below(4), at;
	uint64_t v = edges[below(sizeof(edges) / sizeof(edges[0]))];
	bool big = below(2);

	if (in->len < width)
		return;
	at = below(in->len - width + 1);
	v += below(3) - 1;
	for (size_t i = 0; i < width; i++)
		in->data[at + (big ? width - 1 - i : i)] = (uint8_t)(v >> 8 * i);
}

static void mutate(struct input *in, size_t max_len)
{
	for (size_t n = 1 + below(1 + below(8)); n > 0; n--) {
		switch (below(8)) {
		case 0:
		case 1:
			if (in->len)
				in->data[below(in->len)] ^= (uint8_t)(1u << below(8));
			break;
		case 2:
		case 3:
			if (in->len)
				in->data[below(in->len)] = (uint8_t)next_random();
			break;
		case 4: put_edge(in); break;
		case 5: remove_some(in); break;
		case 6: insert_some(in, max_len); break;
		default: splice_in(in, max_len); break;
		}
	}
}

static void make_input(size_t max_len)
{
	rng = seed * UINT64_C(0x2545f4914f6cdd1d) + iteration * UINT64_C(0xd1342543de82ef95);
	current.len = 0;
	if (below(16) == 0) { /* noise */
		current.len = below(below(2) ? 64 : max_len + 1);
		for (size_t i = 0; i < current.len; i++)
			current.data[i] = (uint8_t)next_random();
		return;
	}
	const struct input *s = &seeds[below(n_seeds)];

	current.len = s->len < max_len ? s->len : max_len;
	memcpy(current.data, s->data, current.len);
	mutate(&current, max_len);
}

static void run_current(void)
{
	/* An exact copy on the heap, so that a sanitizer sees each byte too many. */
	uint8_t *exact = malloc(current.len ? current.len : 1);

	if (!exact)
		exit(2);
	memcpy(exact, current.data, current.len);
	alarm(INPUT_TIMEOUT_S);
	LLVMFuzzerTestOneInput(exact, current.len);
	alarm(0);
	free(exact);
}

static void run_for(double seconds, size_t max_len)
{
	struct timespec t0, t;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	/* The seeds as they are come first. */
	for (size_t i = 0; i < n_seeds; i++) {
		current.len = seeds[i].len;
		memcpy(current.data, seeds[i].data, current.len);
		run_current();
	}
	for (iteration = 1;; iteration++) {
		make_input(max_len);
		run_current();
		clock_gettime(CLOCK_MONOTONIC, &t);
		if ((double)(t.tv_sec - t0.tv_sec) + (double)(t.tv_nsec - t0.tv_nsec) / 1e9 >=
			seconds)
			break;
	}
	printf("%s: seed %llu: %llu inputs from %zu seeds, no crash\n", program,
		(unsigned long long)seed, (unsigned long long)iteration, n_seeds);
}

static void usage(void)
{
	fprintf(stderr,
		"Usage: %s [--seconds N] [--seed S] [--max-len L] [--corpus DIR] | FILE...\n",
		program);
	exit(2);
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM };
	double seconds = 3;
	size_t max_len = 4096;
	int i = 1;

	program = argv[0];
	current.data = malloc(MAX_LEN);
	if (!current.data)
		return 2;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
		if (i + 1 == argc)
			usage();
		if (strcmp(argv[i], "--seconds") == 0)
			seconds = atof(argv[i + 1]);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--max-len") == 0)
			max_len = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--corpus") == 0)
			read_corpus(argv[i + 1], current.data);
		else
			usage();
	}
	if (max_len < 1 || max_len > MAX_LEN)
		usage();
	for (size_t s = 0; s < sizeof(signals) / sizeof(signals[0]); s++)
		signal(signals[s], on_crash);
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (i < argc) {
		for (; i < argc; i++) {
			int r = read_file(argv[i], current.data, MAX_LEN, &current.len);

			if (r < 0) {
				fprintf(stderr, "%s: %s: %s\n", program, argv[i], strerror(-r));
				return 2;
			}
			run_current();
			printf("%s: %s: no crash\n", program, argv[i]);
		}
		return 0;
	}
	if (fuzz_seeds)
		for (const struct fuzz_seed *s = fuzz_seeds; s->data; s++)
			add_seed(s->data, s->len);
	if (n_seeds == 0)
		add_seed("", 0);
	run_for(seconds, max_len);
	return 0;
}
