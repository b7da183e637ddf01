/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single-producer single-consumer rings between two processes (see ring.h and
 * docs/ring.md; docs/atomics.md for the order).
 *
 * What is shared is only ever published from here: every index that we own lives
 * in struct chan, and the geometry too. From the peer we read its head, its tail, its sleep flag,
 * its slots and its arena, each once, and check the copy.
 */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "clock.h"
#include "log.h"

#define LINE	    64 /* a cache line, and the alignment of data in the arena */
#define SEG_ALIGN   4096u
#define SPIN_BATCH  32 /* pauses between two looks at the clock */
#define WAIT_YIELDS 4
/* More than all of these take if nobody else wants the processor, less than a peer needs to answer.
 */
#define YIELD_ALONE_NS 4000
#define ROOM_SLEEP_MIN INT64_C(20000)	/* ns between two looks for room */
#define ROOM_SLEEP_MAX INT64_C(1000000) /* ns */

/* The start of a segment. All of it is written by its owner alone. Slots follow at the next page,
 * then the arena. */
struct seg {
	_Alignas(LINE) _Atomic uint32_t head;	  /* of the ring from the owner to the peer */
	_Alignas(LINE) _Atomic uint32_t tail;	  /* of the ring from the peer to the owner */
	_Alignas(LINE) _Atomic uint32_t sleeping; /* the owner sleeps on its bell, or is about to */
};

_Static_assert(sizeof(union slot) == RING_SLOT_SIZE, "a slot is one cache line");
_Static_assert(sizeof(struct seg) <= SEG_ALIGN, "the indices fit before the slots");

static struct seg *my(const struct chan *c)
{
	return (struct seg *)c->my_seg;
}

static const struct seg *peer(const struct chan *c)
{
	return (const struct seg *)c->peer_seg;
}

/* The first violation counts; what follows it may be its consequence. */
static void __attribute__((format(printf, 2, 3), cold)) poison(struct chan *c, const char *fmt, ...)
{
	va_list ap;

	if (c->poisoned)
		return;
	c->poisoned = true;
	va_start(ap, fmt);
	vsnprintf(c->violation, sizeof(c->violation), fmt, ap);
	va_end(ap);
}

const char *chan_error(const struct chan *c)
{
	return c->poisoned ? c->violation : NULL;
}

/* ---- geometry and life cycle ---- */

static bool is_pow2(uint32_t n)
{
	return n && !(n & (n - 1));
}

static bool half_is_sane(uint32_t nslots, uint32_t arena_len)
{
	return is_pow2(nslots) && nslots >= 2 && nslots <= RING_MAX_SLOTS &&
	       (arena_len == 0 || (is_pow2(arena_len) && arena_len >= RING_MIN_ARENA_LEN &&
					  arena_len <= RING_MAX_ARENA_LEN));
}

static size_t seg_size(uint32_t nslots, uint32_t arena_len)
{
	size_t n = SEG_ALIGN + (size_t)nslots * RING_SLOT_SIZE + arena_len;

	return (n + SEG_ALIGN - 1) & ~(size_t)(SEG_ALIGN - 1);
}

size_t chan_segment_size(const struct chan_geometry *g, bool is_a)
{
	return is_a ? seg_size(g->a_nslots, g->a_arena_len) : seg_size(g->b_nslots, g->b_arena_len);
}

static uint32_t data_span(uint32_t len)
{
	return (len + LINE - 1) & ~(uint32_t)(LINE - 1);
}

/*
 * Finds out which parts of the arena the slots that a predecessor left in our ring still use. We
 * are the only writer of that memory, but a predecessor that died of its own madness may have left
 * anything.
 */
static int recover_arena(struct chan *c, struct error *err)
{
	bool any = false;

	for (uint32_t i = c->tx_tail_cache; i != c->tx_head; i++) {
		struct slot_hdr h;
		uint32_t at = i & c->tx_mask;

		memcpy(&h, c->tx_slots + (size_t)at * RING_SLOT_SIZE, sizeof(h));
		if (h.data_len > 0) {
			uint32_t span = data_span(h.data_len);

			if (h.data_len > c->tx_arena_len / 2 || h.data_off % LINE ||
				h.data_off > c->tx_arena_len - span)
				return error_set(err, EPROTO,
					"ring: slot %u that a predecessor left has data [%u, +%u) "
					"outside its arena of %u bytes",
					i, h.data_off, h.data_len, c->tx_arena_len);
			if (!any)
				c->tx_arena_head = c->tx_arena_tail = h.data_off;
			any = true;
			/* On to the next free-running position that is this offset. */
			c->tx_arena_head += (h.data_off - c->tx_arena_head) & (c->tx_arena_len - 1);
			c->tx_arena_head += span;
			if (c->tx_arena_head - c->tx_arena_tail > c->tx_arena_len)
				return error_set(err, EPROTO,
					"ring: slots that a predecessor left use more than the "
					"arena's %u bytes",
					c->tx_arena_len);
		}
		c->tx_arena_end[at] = c->tx_arena_head;
	}
	/* Slots before the first one with data end where the arena's used part begins. */
	for (uint32_t i = c->tx_tail_cache; i != c->tx_head; i++) {
		struct slot_hdr h;

		memcpy(&h, c->tx_slots + (size_t)(i & c->tx_mask) * RING_SLOT_SIZE, sizeof(h));
		if (h.data_len > 0)
			break;
		c->tx_arena_end[i & c->tx_mask] = c->tx_arena_tail;
	}
	return 0;
}

/* Goes on where a predecessor stopped: its indices are in the segments. Fresh memory is all zero.
 */
static int take_over(struct chan *c, struct error *err)
{
	uint32_t peer_tail = atomic_load_acquire(&peer(c)->tail);

	c->tx_head = atomic_read(&my(c)->head);
	c->rx_tail = atomic_read(&my(c)->tail);
	c->rx_head_cache = c->rx_tail;
	c->tx_tail_cache = peer_tail;
	if (c->tx_head - peer_tail > c->tx_mask + 1)
		return error_set(err, EPROTO,
			"ring: head %u in my segment and tail %u in the peer's do not fit a ring "
			"of %u slots",
			c->tx_head, peer_tail, c->tx_mask + 1);
	/* A predecessor may have died asleep. */
	atomic_set(&my(c)->sleeping, 0);
	return recover_arena(c, err);
}

int chan_attach(struct chan *c, bool is_a, const struct chan_geometry *g, void *my_seg,
	const void *peer_seg, int my_bell_fd, int peer_bell_fd, struct error *err)
{
	uint32_t tx_nslots = is_a ? g->a_nslots : g->b_nslots;
	uint32_t rx_nslots = is_a ? g->b_nslots : g->a_nslots;
	int r;

	*c = (struct chan){ .geo = *g,
		.is_a = is_a,
		.my_bell_fd = my_bell_fd,
		.peer_bell_fd = peer_bell_fd,
		.my_seg = my_seg,
		.peer_seg = peer_seg,
		.my_seg_len = chan_segment_size(g, is_a),
		.peer_seg_len = chan_segment_size(g, !is_a) };
	if (!half_is_sane(g->a_nslots, g->a_arena_len) ||
		!half_is_sane(g->b_nslots, g->b_arena_len))
		return error_set(err, EINVAL,
			"ring: geometry %u slots + %u bytes, %u slots + %u bytes: expected powers "
			"of two, 2..%d slots, arena 0 or %d..%d bytes",
			g->a_nslots, g->a_arena_len, g->b_nslots, g->b_arena_len, RING_MAX_SLOTS,
			RING_MIN_ARENA_LEN, RING_MAX_ARENA_LEN);
	chan_may_spin(); /* decide it now */
	c->tx_mask = tx_nslots - 1;
	c->rx_mask = rx_nslots - 1;
	c->tx_slots = c->my_seg + SEG_ALIGN;
	c->rx_slots = c->peer_seg + SEG_ALIGN;
	c->tx_arena = c->tx_slots + (size_t)tx_nslots * RING_SLOT_SIZE;
	c->rx_arena = c->rx_slots + (size_t)rx_nslots * RING_SLOT_SIZE;
	c->tx_arena_len = is_a ? g->a_arena_len : g->b_arena_len;
	c->rx_arena_len = is_a ? g->b_arena_len : g->a_arena_len;
	c->tx_arena_end = calloc(tx_nslots, sizeof(*c->tx_arena_end));
	if (!c->tx_arena_end)
		return error_set(err, ENOMEM, "ring: out of memory");
	r = take_over(c, err);
	if (r < 0) {
		free(c->tx_arena_end);
		c->tx_arena_end = NULL;
	}
	return r;
}

static void *map_segment(int fd, size_t len, bool writable, struct error *err)
{
	const char *whose = writable ? "my" : "the peer's";
	const int need = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	/* Without the seals the peer could cut the file, and our next load would be a SIGBUS. */
	if (seals < 0) {
		error_set(err, errno, "ring: %s segment is no sealed memfd: %s", whose,
			strerror(errno));
		return NULL;
	}
	if ((seals & need) != need) {
		error_set(err, EPERM,
			"ring: %s segment is not sealed against shrinking and growing (seals 0x%x, "
			"expected 0x%x)",
			whose, (unsigned int)seals, (unsigned int)need);
		return NULL;
	}
	if (fstat(fd, &st) < 0) {
		error_set(err, errno, "ring: %s segment: %s", whose, strerror(errno));
		return NULL;
	}
	if ((uint64_t)st.st_size < len) {
		error_set(err, EINVAL, "ring: %s segment has %lld bytes, expected %zu or more",
			whose, (long long)st.st_size, len);
		return NULL;
	}
	p = mmap(NULL, len, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		error_set(err, errno, "ring: cannot map %s segment (%zu bytes): %s", whose, len,
			strerror(errno));
		return NULL;
	}
	return p;
}

static int set_nonblock(int fd)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0)
		return -errno;
	if (!(fl & O_NONBLOCK) && fcntl(fd, F_SETFL, fl | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int chan_init(struct chan *c, bool is_a, const struct chan_geometry *g, int my_fd, int peer_fd,
	int my_bell_fd, int peer_bell_fd, struct error *err)
{
	size_t my_len = chan_segment_size(g, is_a), peer_len = chan_segment_size(g, !is_a);
	void *mine, *theirs;
	int r;

	/* Neither a drained bell nor one whose counter is full may ever block us. */
	r = set_nonblock(my_bell_fd);
	if (r == 0)
		r = set_nonblock(peer_bell_fd);
	if (r < 0)
		return error_set(err, -r, "ring: bell: %s", strerror(-r));
	mine = map_segment(my_fd, my_len, true, err);
	if (!mine)
		return err ? -err->code : -EINVAL;
	theirs = map_segment(peer_fd, peer_len, false, err);
	if (!theirs) {
		munmap(mine, my_len);
		return err ? -err->code : -EINVAL;
	}
	r = chan_attach(c, is_a, g, mine, theirs, my_bell_fd, peer_bell_fd, err);
	if (r < 0) {
		munmap(mine, my_len);
		munmap(theirs, peer_len);
		return r;
	}
	c->mapped = true;
	return 0;
}

void chan_done(struct chan *c)
{
	if (c->mapped) {
		munmap(c->my_seg, c->my_seg_len);
		munmap((void *)c->peer_seg, c->peer_seg_len);
	}
	free(c->tx_arena_end);
	*c = (struct chan){ .my_bell_fd = -1, .peer_bell_fd = -1, .poisoned = true };
	snprintf(c->violation, sizeof(c->violation), "the channel is closed");
}

/* ---- producer ---- */

/* Looks how far the peer has come, and frees what it has consumed. */
static bool tx_refresh(struct chan *c)
{
	/* Pairs with the store-release in chan_release(): what lay in the freed slots has been
	 * read. */
	uint32_t tail = atomic_load_acquire(&peer(c)->tail);
	uint32_t used = c->tx_head - tail;

	if (used > c->tx_head - c->tx_tail_cache) {
		poison(c, "tail moved from %u to %u, but head is %u", c->tx_tail_cache, tail,
			c->tx_head);
		return false;
	}
	if (tail != c->tx_tail_cache) {
		c->tx_arena_tail = c->tx_arena_end[(tail - 1) & c->tx_mask];
		c->tx_tail_cache = tail;
	}
	return true;
}

static bool tx_slot_is_free(const struct chan *c)
{
	return c->tx_head - c->tx_tail_cache <= c->tx_mask;
}

/* As far as we know: where could len bytes lie? */
static bool tx_arena_fits(struct chan *c, uint32_t len, uint32_t *ret_start)
{
	uint32_t span = data_span(len), mask = c->tx_arena_len - 1, start, at;

	/* With nothing in flight, start over: the fewer lines are touched, the more of them are
	 * cached. */
	if (c->tx_tail_cache == c->tx_head)
		c->tx_arena_head = c->tx_arena_tail = 0;
	start = c->tx_arena_head;
	at = start & mask;
	if (at + span > c->tx_arena_len)
		start += c->tx_arena_len - at; /* data are contiguous: leave the rest of this lap */
	if (start + span - c->tx_arena_tail > c->tx_arena_len)
		return false;
	*ret_start = start;
	return true;
}

static bool tx_fits(struct chan *c, uint32_t len, uint32_t *ret_start)
{
	return tx_slot_is_free(c) && (len == 0 || tx_arena_fits(c, len, ret_start));
}

/* Like tx_fits(), but asks the peer's tail when what we know is not enough. */
static bool tx_find_room(struct chan *c, uint32_t len, uint32_t *ret_start)
{
	if (c->poisoned)
		return false;
	return tx_fits(c, len, ret_start) || (tx_refresh(c) && tx_fits(c, len, ret_start));
}

bool chan_has_room(struct chan *c, uint32_t len)
{
	uint32_t start;

	/* A reservation holds its place: a look for room must not start the arena over. */
	if (len > c->tx_arena_len / 2 || c->tx_pending_len > 0)
		return len <= c->tx_pending_len;
	return tx_find_room(c, len, &start);
}

void *chan_reserve(struct chan *c, union slot *s, uint32_t len)
{
	uint32_t start;

	must(len >= 1 && len <= c->tx_arena_len / 2);
	c->tx_pending_len = 0;
	if (!tx_find_room(c, len, &start))
		return NULL;
	c->tx_pending_off = start & (c->tx_arena_len - 1);
	c->tx_pending_len = len;
	c->tx_pending_end = start + data_span(len);
	s->hdr.data_off = c->tx_pending_off;
	s->hdr.data_len = len;
	return c->tx_arena + c->tx_pending_off;
}

int chan_push(struct chan *c, union slot *s)
{
	_Atomic uint64_t *to;
	const uint64_t *from = (const uint64_t *)s;

	if (c->poisoned)
		return -EPROTO;
	if (!tx_slot_is_free(c) && (!tx_refresh(c) || !tx_slot_is_free(c)))
		return c->poisoned ? -EPROTO : -EAGAIN;
	if (s->hdr.data_len > 0) {
		must(s->hdr.data_len <= c->tx_pending_len && s->hdr.data_off == c->tx_pending_off);
		c->tx_arena_head = c->tx_pending_end;
	} else {
		s->hdr.data_off = 0;
	}
	c->tx_pending_len = 0;
	s->hdr.seq = c->tx_head;
	/* Word by word and atomic: nobody races with us unless the peer is mad, and then words must
	 * not be torn. */
	to = (_Atomic uint64_t *)(c->tx_slots + (size_t)(c->tx_head & c->tx_mask) * RING_SLOT_SIZE);
	for (int i = 0; i < RING_SLOT_SIZE / 8; i++)
		atomic_set(&to[i], from[i]);
	c->tx_arena_end[c->tx_head & c->tx_mask] = c->tx_arena_head;
	c->tx_head++;
	c->n_tx++;
	/* Pairs with the load-acquire in rx_refresh(): slot and data before head. */
	atomic_store_release(&my(c)->head, c->tx_head);
	return 0;
}

void chan_notify(struct chan *c)
{
	static const uint64_t one = 1;

	/*
	 * Pairs with the fence in chan_prepare_sleep(): either we see the peer's flag here, or it
	 * sees our head there. Without it both could look first and write later, and the peer would
	 * sleep on a full ring.
	 */
	smp_mb();
	if (__builtin_expect(!atomic_read(&peer(c)->sleeping), 1))
		return;
	c->n_bells++;
	/* EAGAIN: the counter is full, so the bell has been rung often enough. */
	if (write(c->peer_bell_fd, &one, sizeof(one)) < 0 && errno != EAGAIN && errno != EINTR)
		poison(c, "cannot ring the peer's bell: %s", strerror(errno));
}

static void sleep_ns(int64_t ns)
{
	struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	nanosleep(&ts, NULL);
}

/* A full ring is rare and its consumer is busy, so that a poll with growing pauses will do. */
static int wait_for_room(struct chan *c, uint32_t len, int64_t timeout_ns)
{
	int64_t deadline = host_monotonic_ns() + timeout_ns, pause_ns = ROOM_SLEEP_MIN;

	chan_notify(c); /* what we pushed before and did not ring for */
	for (int i = 0; !chan_has_room(c, len); i++) {
		int64_t left = deadline - host_monotonic_ns();

		if (c->poisoned)
			return -EPROTO;
		if (left <= 0)
			return -ETIMEDOUT;
		if (i < WAIT_YIELDS) {
			sched_yield();
			continue;
		}
		sleep_ns(pause_ns < left ? pause_ns : left);
		if (pause_ns < ROOM_SLEEP_MAX)
			pause_ns *= 2;
	}
	return 0;
}

int chan_send(struct chan *c, union slot *s, const void *data, uint32_t len, int64_t timeout_ns)
{
	int r;

	if (c->poisoned)
		return -EPROTO;
	if (len > c->tx_arena_len / 2)
		return -EMSGSIZE;
	c->tx_pending_len = 0;
	if (!chan_has_room(c, len)) {
		r = c->poisoned ? -EPROTO : wait_for_room(c, len, timeout_ns);
		if (r < 0)
			return r;
	}
	s->hdr.data_len = 0;
	if (len > 0)
		memcpy(chan_reserve(c, s, len), data, len);
	r = chan_push(c, s);
	if (r == 0)
		chan_notify(c);
	return r;
}

/* ---- consumer ---- */

/* Looks for more. False if there is nothing, or the peer's head is impossible. */
static bool rx_refresh(struct chan *c)
{
	/* Pairs with the store-release in chan_push(). */
	uint32_t head = atomic_load_acquire(&peer(c)->head);

	if (head == c->rx_tail)
		return false;
	if (head - c->rx_tail > c->rx_mask + 1) {
		poison(c, "head %u is impossible: tail is %u, and the ring has %u slots", head,
			c->rx_tail, c->rx_mask + 1);
		return false;
	}
	c->rx_head_cache = head;
	return true;
}

static bool rx_has_some(struct chan *c)
{
	return !c->poisoned && (c->rx_head_cache != c->rx_tail || rx_refresh(c));
}

bool chan_empty(struct chan *c)
{
	return !rx_has_some(c);
}

int chan_peek(struct chan *c, union slot *ret, const void **ret_data)
{
	const _Atomic uint64_t *from;
	union {
		union slot slot;
		uint64_t words[RING_SLOT_SIZE / 8];
	} copy;
	uint32_t off, len;

	if (!rx_has_some(c))
		return c->poisoned ? -EPROTO : -EAGAIN;
	from = (const _Atomic uint64_t *)(c->rx_slots +
					  (size_t)(c->rx_tail & c->rx_mask) * RING_SLOT_SIZE);
	/* Atomic loads: the compiler may not go back to the slot for a second look. */
	for (int i = 0; i < RING_SLOT_SIZE / 8; i++)
		copy.words[i] = atomic_read(&from[i]);
	off = copy.slot.hdr.data_off;
	len = copy.slot.hdr.data_len;
	if (copy.slot.hdr.seq != c->rx_tail) {
		poison(c, "slot %u says that it is number %u", c->rx_tail, copy.slot.hdr.seq);
		return -EPROTO;
	}
	if (len > c->rx_arena_len || off > c->rx_arena_len - len) {
		poison(c, "slot %u has data [%u, +%u) outside its arena of %u bytes", c->rx_tail,
			off, len, c->rx_arena_len);
		return -EPROTO;
	}
	c->rx_peeked = true;
	*ret = copy.slot;
	*ret_data = len ? c->rx_arena + off : NULL;
	return 0;
}

void chan_release(struct chan *c)
{
	if (c->poisoned)
		return;
	must(c->rx_peeked);
	c->rx_peeked = false;
	c->rx_tail++;
	c->n_rx++;
	/* Pairs with the load-acquire in tx_refresh(): the slot and its data have been read before
	 * they are reused. */
	atomic_store_release(&my(c)->tail, c->rx_tail);
}

int chan_recv(struct chan *c, union slot *ret, void *buf, uint32_t cap)
{
	const void *data;
	int r = chan_peek(c, ret, &data);

	if (r < 0)
		return r;
	if (ret->hdr.data_len > cap) {
		poison(c, "slot %u (type %u) has %u bytes of data, but at most %u are allowed",
			c->rx_tail, ret->hdr.type, ret->hdr.data_len, cap);
		return -EMSGSIZE;
	}
	if (data)
		memcpy(buf, data, ret->hdr.data_len);
	chan_release(c);
	return 0;
}

/* ---- waiting ---- */

bool chan_prepare_sleep(struct chan *c)
{
	atomic_set(&my(c)->sleeping, 1);
	/* Pairs with the fence in chan_notify(): the flag before the last look at the peer's head.
	 */
	smp_mb();
	if (c->poisoned || !chan_empty(c) || c->poisoned) {
		atomic_set(&my(c)->sleeping, 0);
		return false;
	}
	c->n_sleeps++;
	return true;
}

static void drain_bell(struct chan *c)
{
	uint64_t n;

	while (read(c->my_bell_fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

void chan_awake(struct chan *c)
{
	atomic_set(&my(c)->sleeping, 0);
	drain_bell(c);
}

bool chan_may_spin(void)
{
	static _Atomic int cores;
	int n = atomic_read(&cores);

	if (n == 0) {
		cpu_set_t set;

		n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 2;
		atomic_set(&cores, n);
	}
	return n > 1;
}

/* True if something came, or the channel was poisoned. */
static bool spin(struct chan *c, int64_t spin_ns)
{
	int64_t end = 0;

	do {
		for (int i = 0; i < SPIN_BATCH; i++) {
			if (rx_has_some(c) || c->poisoned) {
				c->n_spins++;
				return true;
			}
			cpu_relax();
		}
		if (end == 0)
			end = host_monotonic_ns() + spin_ns;
	} while (host_monotonic_ns() < end);
	return false;
}

/* Sleeps until the bell rings or extra_fd is readable, left ns at most (-1: for ever). Sets
 * *ret_extra. */
static void sleep_on_bell(struct chan *c, int64_t left, int extra_fd, bool *ret_extra)
{
	struct pollfd fds[2] = { { .fd = c->my_bell_fd, .events = POLLIN },
		{ .fd = extra_fd, .events = POLLIN } };
	struct timespec ts = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
	int n = ppoll(fds, 2, left < 0 ? NULL : &ts, NULL);

	must(n >= 0 || errno == EINTR || errno == ENOMEM);
	atomic_set(&my(c)->sleeping, 0);
	if (n > 0 && fds[0].revents)
		drain_bell(c);
	*ret_extra = n > 0 && fds[1].revents;
}

int chan_wait(struct chan *c, int64_t spin_ns, int64_t timeout_ns, int extra_fd)
{
	int64_t deadline = 0, left = -1;
	bool extra = false;

	if (rx_has_some(c))
		return 0;
	if (!c->poisoned && spin_ns > 0 && chan_may_spin() && spin(c, spin_ns))
		return c->poisoned ? -EPROTO : 0;
	if (timeout_ns >= 0)
		deadline = host_monotonic_ns() + timeout_ns;
	for (int i = 0; i < WAIT_YIELDS && !c->poisoned && timeout_ns != 0; i++) {
		int64_t start = host_monotonic_ns();

		sched_yield();
		c->yielded_ns += host_monotonic_ns() - start;
		if (rx_has_some(c))
			return 0;
	}
	while (!c->poisoned) {
		if (c->before_sleep)
			c->before_sleep(c->before_sleep_opaque);
		if (!chan_prepare_sleep(c))
			break;
		if (timeout_ns >= 0) {
			left = deadline - host_monotonic_ns();
			if (left < 0)
				left = 0;
		}
		sleep_on_bell(c, left, extra_fd, &extra);
		if (rx_has_some(c) || c->poisoned)
			break;
		if (extra)
			return 1;
		if (timeout_ns >= 0 && host_monotonic_ns() >= deadline)
			return -ETIMEDOUT;
	}
	return c->poisoned ? -EPROTO : 0;
}

int chan_wait_learning(struct chan *c, struct chan_spin *s, int64_t timeout_ns, int extra_fd)
{
	uint64_t sleeps = c->n_sleeps;
	bool pays;
	int r;

	if (!s->now_ns)
		s->now_ns = s->max_ns;
	c->yielded_ns = 0;
	r = chan_wait(c, s->now_ns, timeout_ns, extra_fd);
	/* However long we spin, a peer that needs our processor answers only when we let go. */
	pays = c->n_sleeps == sleeps && c->yielded_ns <= YIELD_ALONE_NS;
	s->now_ns = pays ? s->now_ns * 2 : s->now_ns / 2;
	if (s->now_ns < s->min_ns)
		s->now_ns = s->min_ns;
	if (s->now_ns > s->max_ns)
		s->now_ns = s->max_ns;
	return r;
}
