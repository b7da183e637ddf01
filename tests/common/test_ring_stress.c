/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two processes on one channel: every message arrives once, in order, with its data, whatever mix
 *of spinning, sleeping, data lengths, batches and restarts. And a peer that goes mad while we read.
 *
 *	test_ring_stress [seconds-per-case] [seed]
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "clock.h"
#include "ring_pair.h"

#define TIMEOUT_NS INT64_C(20000000000)
#define SECOND_NS  INT64_C(1000000000)

static const struct chan_geometry geo = { 8, 4096, 16, 8192 };
static struct ring_pair pair;
static uint64_t rng;
/*
 * The longest data are this part of the arena. 2: senders find it full all the time. When both
 * sides send, what both may have in flight has to fit, or each would wait for the other to read.
 */
static uint32_t max_data_part = 2;

#define CHECK(cond)                                                                               \
	do {                                                                                      \
		if (!(cond)) {                                                                    \
			fprintf(stderr, "pid %d: %s:%d: %s\n", (int)getpid(), __FILE__, __LINE__, \
				#cond);                                                           \
			kill(0, SIGTERM);                                                         \
			_exit(1);                                                                 \
		}                                                                                 \
	} while (0)

static uint32_t rnd(uint32_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(rng >> 33) % n;
}

static void nap(void)
{
	struct timespec ts = { .tv_nsec = rnd(200000) };

	nanosleep(&ts, NULL);
}

/* Message i has a length and bytes that follow from i. */
static uint32_t len_of(uint32_t i, uint32_t max)
{
	uint32_t h = i * 2654435761u;

	return h >> 30 ? (h >> 8) % max : 0;
}

static void open_side(struct chan *c, bool is_a)
{
	struct error err = ERROR_INIT;

	if (pair_open(&pair, c, is_a, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		CHECK(!"pair_open");
	}
}

static void send_one(struct chan *c, uint32_t i, bool notify)
{
	uint32_t max = c->tx_arena_len / max_data_part, len = len_of(i, max);
	union slot s = { .hdr = { .type = (uint16_t)i } };
	uint8_t data[8192];

	memset(data, (int)(i * 7), len);
	memcpy(s.bytes + sizeof(s.hdr), &i, sizeof(i));
	if (notify || !chan_has_room(c, len)) {
		CHECK(chan_send(c, &s, data, len, TIMEOUT_NS) == 0);
		return;
	}
	if (len)
		memcpy(chan_reserve(c, &s, len), data, len);
	CHECK(chan_push(c, &s) == 0);
}

static void recv_one(struct chan *c, uint32_t i)
{
	uint32_t n, len = len_of(i, c->rx_arena_len / max_data_part);
	uint8_t data[8192];
	union slot s;
	int r;

	r = chan_wait(c, rnd(4) ? rnd(20000) : 0, TIMEOUT_NS, -1);
	if (r < 0)
		fprintf(stderr, "wait for %u: %s, %s\n", i, strerror(-r),
			chan_error(c) ? chan_error(c) : "-");
	CHECK(r == 0);
	CHECK(chan_recv(c, &s, data, sizeof(data)) == 0);
	memcpy(&n, s.bytes + sizeof(s.hdr), sizeof(n));
	CHECK(n == i && s.hdr.type == (uint16_t)i && s.hdr.data_len == len);
	for (uint32_t k = 0; k < len; k++)
		CHECK(data[k] == (uint8_t)(i * 7));
}

/* One side: sends and receives in bursts; the peer does the same with the same total. restarts: now
 * and then, a successor. */
static void run_side(bool is_a, uint32_t total, bool restarts)
{
	struct chan c;
	uint32_t sent = 0, got = 0;

	open_side(&c, is_a);
	while (sent < total || got < total) {
		/* Never more in flight than both rings take, or the two would wait for each other's
		 * room. */
		uint32_t room = got + 4 - sent,
			 n = sent < total && room > 0 && room <= 4 ? rnd(room) + 1 : 0;

		for (; n > 0 && sent < total; n--, sent++)
			send_one(&c, sent, rnd(2));
		chan_notify(&c);
		if (rnd(64) == 0)
			nap();
		while (got < total && (got < sent || !chan_empty(&c)) &&
			(sent == total || got + 1 <= sent)) {
			recv_one(&c, got++);
			if (rnd(3) == 0)
				break;
		}
		if (restarts && rnd(50) == 0) {
			chan_done(&c);
			open_side(&c, is_a);
		}
	}
	chan_done(&c);
}

static pid_t start(
	void (*body)(bool, uint32_t, bool), bool is_a, uint32_t total, bool restarts, uint64_t seed)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		rng = seed;
		alarm(60);
		body(is_a, total, restarts);
		_exit(0);
	}
	return pid;
}

static int join(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void two_honest_processes(int64_t seconds, bool restarts, uint64_t seed)
{
	int64_t end = host_monotonic_ns() + seconds * SECOND_NS;
	uint64_t n = 0;

	max_data_part = 8;
	do {
		pid_t p, q;

		pair_init(&pair, &geo);
		p = start(run_side, true, 5000, restarts, seed++);
		q = start(run_side, false, 5000, restarts, seed++);
		CHECK(join(p) == 0);
		CHECK(join(q) == 0);
		pair_done(&pair);
		n += 10000;
	} while (host_monotonic_ns() < end);
	max_data_part = 2;
	printf("two processes%s: %llu messages\n", restarts ? " that restart" : "",
		(unsigned long long)n);
}

static void poke(volatile uint8_t *seg, size_t off, uint32_t v)
{
	*(volatile uint32_t *)(seg + off) = v;
}

/*
 * The mad peer: mostly messages in order, with data that may lie anywhere and that change while
 * they are read; between them it writes anything anywhere in its segment, and rings the bell for
 * nothing.
 */
static void go_mad(bool is_a, uint32_t total, bool restarts)
{
	size_t len = chan_segment_size(&geo, is_a);
	volatile uint8_t *mine = pair.seg[is_a ? 0 : 1], *theirs = pair.seg[is_a ? 1 : 0];
	uint64_t one = 1;

	for (;;) {
		uint32_t t = *(volatile uint32_t *)(theirs + SEG_TAIL);
		size_t slot = SEG_SLOTS + (t & (geo.a_nslots - 1)) * RING_SLOT_SIZE;

		poke(mine, SEG_TAIL, *(volatile uint32_t *)(theirs + SEG_HEAD));
		poke(mine, slot + 4, t);
		poke(mine, slot + 8, rnd(4096));
		poke(mine, slot + 12, rnd(4) ? rnd(256) : rnd(5000));
		poke(mine, SEG_HEAD, t + 1 + rnd(100) / 97);
		if (rnd(50) == 0)
			poke(mine, (rnd(3) ? rnd(SEG_SLOTS + 8 * 64) : rnd((uint32_t)len)) & ~3u,
				rnd(2) ? rnd(32) : rnd(UINT32_MAX));
		if (rnd(100) == 0 && write(pair.bell_fd[is_a ? 1 : 0], &one, sizeof(one)) < 0)
			continue;
	}
}

static void mad_peer(int64_t seconds, uint64_t seed)
{
	int64_t end = host_monotonic_ns() + seconds * SECOND_NS;
	uint64_t poisoned = 0, received = 0, sent = 0;
	struct error err = ERROR_INIT;
	pid_t peer;

	pair_init(&pair, &geo);
	rng = seed;
	peer = start(go_mad, true, 0, false, seed + 1);
	while (host_monotonic_ns() < end) {
		struct chan c;
		uint8_t data[4096];
		union slot s;

		/* A moment of sanity, as after a restart of the peer, or we would never get past
		 * the door. */
		memset(pair.seg[1], 0, SEG_SLOTS);
		memset(pair.seg[0], 0, SEG_SLOTS + 8 * RING_SLOT_SIZE);
		if (pair_open(&pair, &c, false, &err) < 0)
			continue;
		while (!chan_error(&c)) {
			int r = chan_wait(&c, 1000, 100000, -1);

			CHECK(r == 0 || r == -ETIMEDOUT || r == -EPROTO);
			r = chan_recv(&c, &s, data, sizeof(data));
			CHECK(r == 0 || r == -EAGAIN || r == -EPROTO || r == -EMSGSIZE);
			CHECK(r || s.hdr.data_len <= sizeof(data));
			received += r == 0;
			memset(&s, 0, sizeof(s));
			r = chan_send(&c, &s, data, rnd(4096), 1000);
			CHECK(r == 0 || r == -ETIMEDOUT || r == -EPROTO);
			sent += r == 0;
			if (host_monotonic_ns() >= end)
				break;
		}
		CHECK(!chan_error(&c) || chan_error(&c)[0]);
		poisoned += chan_error(&c) != NULL;
		chan_done(&c);
	}
	kill(peer, SIGKILL);
	join(peer);
	CHECK(poisoned > 0 && received > 0 && sent > 0);
	printf("mad peer: %llu times poisoned, %llu received, %llu sent\n",
		(unsigned long long)poisoned, (unsigned long long)received,
		(unsigned long long)sent);
	pair_done(&pair);
}

/* kill -9 in the middle of it, again and again: what the dead had released is not sent twice, and
 * nothing else is lost. */
static void killed_consumer_body(bool is_a, uint32_t total, bool restarts)
{
	struct chan c;
	uint32_t n, next = UINT32_MAX;
	uint8_t data[8192];
	union slot s;

	open_side(&c, is_a);
	for (;;) {
		CHECK(chan_wait(&c, 1000, TIMEOUT_NS, -1) == 0);
		CHECK(chan_recv(&c, &s, data, sizeof(data)) == 0);
		memcpy(&n, s.bytes + sizeof(s.hdr), sizeof(n));
		CHECK(next == UINT32_MAX || n == next);
		CHECK(n == s.hdr.seq); /* its place in the ring: nothing lost, nothing twice */
		next = n + 1;
		if (next == total)
			_exit(0);
	}
}

static void killed_consumer(int64_t seconds, uint64_t seed)
{
	int64_t end = host_monotonic_ns() + seconds * SECOND_NS;
	uint32_t sent = 0, kills = 0;
	struct chan c;
	pid_t peer;

	pair_init(&pair, &geo);
	rng = seed;
	open_side(&c, true);
	peer = start(killed_consumer_body, false, UINT32_MAX, false, seed + 1);
	while (host_monotonic_ns() < end) {
		for (uint32_t n = rnd(400); n > 0; n--)
			send_one(&c, sent++, true);
		kill(peer, SIGKILL);
		CHECK(WIFSIGNALED(join(peer)));
		kills++;
		peer = start(killed_consumer_body, false, UINT32_MAX, false, seed + 1);
	}
	/* And to its end. */
	send_one(&c, sent++, true);
	kill(peer, SIGKILL);
	CHECK(WIFSIGNALED(join(peer)));
	/* If the dead one got that far, something must be left for the last, which ends by reaching
	 * it. */
	if (chan_has_room(&c, 2048))
		send_one(&c, sent++, true);
	peer = start(killed_consumer_body, false, sent, false, seed + 1);
	CHECK(join(peer) == 0);
	printf("killed consumer: %u messages over %u kills\n", sent, kills);
	chan_done(&c);
	pair_done(&pair);
}

int main(int argc, char **argv)
{
	int64_t seconds = argc > 1 ? atoi(argv[1]) : 1;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	setpgid(0, 0);
	setvbuf(stdout, NULL, _IONBF, 0); /* nothing for children to print twice */
	two_honest_processes(seconds, false, seed);
	two_honest_processes(seconds, true, seed + 1000);
	killed_consumer(seconds, seed + 2000);
	mad_peer(seconds, seed + 3000);
	return 0;
}
