/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the ring costs, between two processes, beside the least that two cores can do:
 *
 *	raw cache-line ping-pong	two words on two lines, nothing else
 *	ring round trip, spinning	request and reply through chan_send/chan_wait/chan_recv
 *	ring round trip, sleeping	the same with no spinning at all: two bells, two context
 *switches one-way throughput		64-byte records; records with arena data
 *
 *	ring [--quick] [--max-ratio R]
 *
 * With --max-ratio the exit status is 1 if a spinning round trip costs more than R times the raw
 *one. The two are measured in turns, and the median of the turns' ratios counts, so that a busy
 *moment of the host spoils one turn and not the result.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

#include "../common/ring_pair.h"
#include "atomic.h"
#include "clock.h"

#define TURNS	   9
#define TIMEOUT_NS INT64_C(10000000000)
#define SPIN_NS	   INT64_C(50000000)

static const struct chan_geometry geo = { 1024, 1 << 20, 1024, 1 << 20 };

struct raw {
	_Alignas(64) _Atomic uint32_t ping;
	_Alignas(64) _Atomic uint32_t pong;
	_Alignas(64) _Atomic uint32_t child_is_up;
};

static struct raw *raw;
static struct ring_pair pair;
static int cores;
static uint32_t n_spin = 100000, n_sleep = 5000, n_oneway = 1000000;

static void fail(const char *what, int r)
{
	fprintf(stderr, "ring: %s: %s\n", what, strerror(-r));
	exit(2);
}

static void pin(int core)
{
	cpu_set_t set;

	if (cores < 2)
		return;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof(set), &set); /* best effort */
}

/* Runs body(arg) in a second process on core 1 while the caller goes on on core 0. */
static pid_t start_child(void (*body)(uint32_t), uint32_t arg)
{
	pid_t pid;

	atomic_set(&raw->child_is_up, 0u);
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		fail("fork", -errno);
	if (pid == 0) {
		alarm(120);
		pin(1);
		atomic_store_release(&raw->child_is_up, 1u);
		body(arg);
		_exit(0);
	}
	pin(0);
	while (!atomic_load_acquire(&raw->child_is_up))
		sched_yield();
	return pid;
}

static void join_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "ring: the second process failed (status %d)\n", status);
		exit(2);
	}
}

static void relax(void)
{
	if (cores < 2)
		sched_yield();
	else
		cpu_relax();
}

/* With or without a pause in the loop, whichever is faster here. */
static bool raw_pauses;

static void raw_relax(void)
{
	if (cores < 2)
		sched_yield();
	else if (raw_pauses)
		cpu_relax();
}

static void raw_child(uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++) {
		while (atomic_load_acquire(&raw->ping) != i)
			raw_relax();
		atomic_store_release(&raw->pong, i);
	}
}

static double raw_round_trip(uint32_t n, bool pauses)
{
	int64_t t0;
	pid_t pid;

	raw_pauses = pauses;
	atomic_set(&raw->ping, 0u);
	atomic_set(&raw->pong, 0u);
	pid = start_child(raw_child, n);
	t0 = host_monotonic_ns();
	for (uint32_t i = 1; i <= n; i++) {
		atomic_store_release(&raw->ping, i);
		while (atomic_load_acquire(&raw->pong) != i)
			raw_relax();
	}
	t0 = host_monotonic_ns() - t0;
	join_child(pid);
	return (double)t0 / n;
}

static void open_side(struct chan *c, bool is_a)
{
	struct error err = ERROR_INIT;

	if (pair_open(&pair, c, is_a, &err) < 0) {
		fprintf(stderr, "ring: %s\n", err.msg);
		exit(2);
	}
}

static int64_t spin_ns; /* 0: sleep at once */

/* What chan_wait() does after its spins and yields, which on two idle cores would always be enough.
 */
static int wait_asleep(struct chan *c)
{
	struct pollfd pfd = { .fd = c->my_bell_fd, .events = POLLIN };

	while (chan_prepare_sleep(c)) {
		if (poll(&pfd, 1, (int)(TIMEOUT_NS / 1000000)) == 0)
			return -ETIMEDOUT;
		chan_awake(c);
	}
	return chan_error(c) ? -EPROTO : 0;
}

static void get_one(struct chan *c, union slot *s)
{
	int r = spin_ns ? chan_wait(c, spin_ns, TIMEOUT_NS, -1) : wait_asleep(c);

	if (r == 0)
		r = chan_recv(c, s, NULL, 0);
	if (r < 0)
		fail(chan_error(c) ? chan_error(c) : "receive", r);
}

static void put_one(struct chan *c, union slot *s)
{
	int r = chan_send(c, s, NULL, 0, TIMEOUT_NS);

	if (r < 0)
		fail(chan_error(c) ? chan_error(c) : "send", r);
}

static void echo_child(uint32_t n)
{
	struct chan c;
	union slot s;

	open_side(&c, false);
	while (n-- > 0) {
		get_one(&c, &s);
		put_one(&c, &s);
	}
	chan_done(&c);
}

static double ring_round_trip(uint32_t n, int64_t spin, uint64_t *ret_bells)
{
	struct chan c;
	union slot s;
	int64_t t0;
	pid_t pid;

	spin_ns = spin;
	pair_init(&pair, &geo);
	open_side(&c, true);
	pid = start_child(echo_child, n);
	t0 = host_monotonic_ns();
	for (uint32_t i = 0; i < n; i++) {
		memset(&s, 0, sizeof(s));
		memcpy(s.bytes + sizeof(s.hdr), &i, sizeof(i));
		put_one(&c, &s);
		get_one(&c, &s);
		if (memcmp(s.bytes + sizeof(s.hdr), &i, sizeof(i)) != 0)
			fail("a reply is not the request's", -EPROTO);
	}
	t0 = host_monotonic_ns() - t0;
	*ret_bells = c.n_bells;
	join_child(pid);
	chan_done(&c);
	pair_done(&pair);
	return (double)t0 / n;
}

static uint32_t data_len;
static uint8_t data_buf[65536];

static void sink_child(uint32_t n)
{
	static uint8_t buf[65536];
	struct chan c;
	union slot s;
	int r;

	open_side(&c, false);
	for (uint32_t i = 0; i < n; i++) {
		r = chan_empty(&c) ? chan_wait(&c, spin_ns, TIMEOUT_NS, -1) : 0;
		if (r == 0)
			r = chan_recv(&c, &s, buf, sizeof(buf));
		if (r < 0)
			fail(chan_error(&c) ? chan_error(&c) : "receive", r);
		if (s.hdr.data_len != data_len || s.hdr.seq != i)
			fail("a record is not the next", -EPROTO);
	}
	memset(&s, 0, sizeof(s));
	put_one(&c, &s);
	chan_done(&c);
}

/* ns a record */
static double one_way(uint32_t n, uint32_t len)
{
	struct chan c;
	union slot s;
	int64_t t0;
	pid_t pid;

	spin_ns = SPIN_NS;
	data_len = len;
	pair_init(&pair, &geo);
	open_side(&c, true);
	pid = start_child(sink_child, n);
	t0 = host_monotonic_ns();
	memset(&s, 0, sizeof(s));
	for (uint32_t i = 0; i < n; i++) {
		int r;

		for (int k = 0; !chan_has_room(&c, len) && k < 2000; k++)
			relax();
		r = chan_send(&c, &s, data_buf, len, TIMEOUT_NS);
		if (r < 0)
			fail(chan_error(&c) ? chan_error(&c) : "send", r);
	}
	get_one(&c, &s);
	t0 = host_monotonic_ns() - t0;
	join_child(pid);
	chan_done(&c);
	pair_done(&pair);
	return (double)t0 / n;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return v[n / 2];
}

int main(int argc, char **argv)
{
	double raw_ns[TURNS], ring_ns[TURNS], ratio[TURNS], max_ratio = 0, r, t;
	uint64_t bells, all_bells = 0;
	cpu_set_t set;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			n_spin = 20000;
			n_sleep = 1000;
			n_oneway = 200000;
		} else if (strcmp(argv[i], "--max-ratio") == 0 && i + 1 < argc) {
			max_ratio = atof(argv[++i]);
		} else {
			fprintf(stderr, "Usage: ring [--quick] [--max-ratio R]\n");
			return 2;
		}
	}
	alarm(300);
	cores = sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_ISSET(0, &set) &&
				CPU_ISSET(1, &set)
			? CPU_COUNT(&set)
			: 1;
	chan_may_spin(); /* before we pin ourselves */
	raw = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (raw == MAP_FAILED)
		fail("mmap", -errno);
	printf("cores: %d%s\n", cores,
		cores < 2 ? " (waiters do not spin; the ratio means nothing)" : "");
	for (int i = 0; i < TURNS; i++) {
		t = raw_round_trip(n_spin, false);
		raw_ns[i] = raw_round_trip(n_spin, true);
		if (t < raw_ns[i])
			raw_ns[i] = t;
		ring_ns[i] = ring_round_trip(n_spin, SPIN_NS, &bells);
		ratio[i] = ring_ns[i] / raw_ns[i];
		all_bells += bells;
	}
	r = median(ratio, TURNS);
	printf("raw cache-line ping-pong      %8.1f ns a round trip (median of %d)\n",
		median(raw_ns, TURNS), TURNS);
	printf("ring, spinning                %8.1f ns a round trip, %llu bells\n",
		median(ring_ns, TURNS), (unsigned long long)all_bells);
	printf("ratio                         %8.2f    (median; from %.2f to %.2f)\n", r, ratio[0],
		ratio[TURNS - 1]);
	t = ring_round_trip(n_sleep, 0, &bells);
	printf("ring, sleeping                %8.1f ns a round trip, %.2f bells each way\n", t,
		(double)bells / n_sleep);
	t = one_way(n_oneway, 0);
	printf("one way, 64-byte records      %8.1f ns a record, %.1f M records/s\n", t, 1e3 / t);
	t = one_way(n_oneway / 2, 64);
	printf("one way, + 64 bytes of data   %8.1f ns a record, %.1f M records/s\n", t, 1e3 / t);
	t = one_way(n_oneway / 20, 4096);
	printf("one way, + 4096 bytes of data %8.1f ns a record, %.2f GB/s\n", t, 4096 / t);
	if (max_ratio > 0 && cores >= 2 && r > max_ratio) {
		printf("FAILED: ratio %.2f, expected %.2f at most\n", r, max_ratio);
		return 1;
	}
	return 0;
}
