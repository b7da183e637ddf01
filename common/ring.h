/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single-producer single-consumer rings between two processes.
 *
 * A *channel* joins two processes, A and B, by two rings. Each side owns one
 * shared segment (a sealed memfd), which it alone maps writable and the peer
 * maps read-only:
 *
 *   A's segment: head of ring A->B, its slots and arena | tail of ring B->A, sleep flag of A
 *   B's segment: head of ring B->A, its slots and arena | tail of ring A->B, sleep flag of B
 *
 * Slots are 64 bytes; indices are 32 bits, free-running, on cache lines of
 * their own. Bulk data lie in the arena beside the slots: the producer gets
 * space with ring_reserve(), and the consumer sees them by offset and length,
 * valid until it releases the slot.
 *
 * Order: the producer publishes with a store-release of head, which pairs
 * with the consumer's load-acquire; the consumer frees with a store-release
 * of tail, which pairs with the producer's load-acquire. The one full fence on
 * each side sits where a wake-up is decided (docs/atomics.md).
 *
 * Nothing read from the peer's segment is believed before it has been copied
 * and checked: a violation poisons the channel (chan_error()) and every later
 * call returns -EPROTO.
 *
 * Lifetime: chan_init() maps; chan_done() unmaps. One thread per channel side.
 */
#ifndef DEJAVM_RING_H
#define DEJAVM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

#define RING_SLOT_SIZE 64

#define RING_MAX_SLOTS	   65536
#define RING_MIN_ARENA_LEN 64
#define RING_MAX_ARENA_LEN (64 * 1024 * 1024)

/* The geometry of both rings of a channel: powers of two, nslots 2..65536, arena 0 (none) or 64
 * bytes..64 MiB. */
struct chan_geometry {
	uint32_t a_nslots, a_arena_len; /* ring A->B (A is the side with is_a) */
	uint32_t b_nslots, b_arena_len; /* ring B->A */
};

/* Bytes of the segment that side A (or B) owns; a multiple of 4096. */
size_t chan_segment_size(const struct chan_geometry *g, bool is_a);

/* A message in a slot: every slot starts with this header; the rest is the protocol's. */
struct slot_hdr {
	uint16_t type;	   /* protocol's message type */
	uint16_t flags;	   /* protocol's */
	uint32_t seq;	   /* set by chan_push(): sequence number of the slot in its ring */
	uint32_t data_off; /* bulk data in the arena; 0 when data_len == 0 */
	uint32_t data_len;
};

union slot {
	struct slot_hdr hdr;
	uint8_t bytes[RING_SLOT_SIZE];
	uint64_t align_;
};

struct chan {
	/* constant after chan_init() */
	struct chan_geometry geo;
	bool is_a;
	int my_bell_fd;	  /* eventfd that the peer rings to wake me */
	int peer_bell_fd; /* eventfd that I ring to wake the peer */
	uint8_t *my_seg;
	const uint8_t *peer_seg;
	size_t my_seg_len, peer_seg_len;
	/* producer side, private */
	uint32_t tx_mask, tx_head, tx_tail_cache;
	uint8_t *tx_slots, *tx_arena;
	uint32_t tx_arena_len, tx_arena_head, tx_arena_tail; /* free-running */
	uint32_t *tx_arena_end; /* per slot: arena head after the slot's data */
	uint32_t tx_pending_off, tx_pending_len, tx_pending_end; /* chan_reserve()'s; len 0: none */
	/* consumer side, private */
	uint32_t rx_mask, rx_tail, rx_head_cache;
	const uint8_t *rx_slots, *rx_arena;
	uint32_t rx_arena_len;
	bool rx_peeked; /* chan_peek() has returned the slot at rx_tail */
	/* state */
	bool poisoned;
	char violation[128]; /* what the peer did, in words, when poisoned */
	bool mapped;	     /* by chan_init(), so chan_done() unmaps */
	/* Counters: slots sent and received, bells rung, sleeps begun, waits that ended while
	 * spinning. */
	uint64_t n_tx, n_rx, n_bells, n_sleeps, n_spins;
	int64_t yielded_ns; /* that others had the processor in the last chan_wait_learning() */
	/*
	 * Called by chan_wait() just before it goes to sleep (after the spin ran
	 * out): a place to flush what was batched. May be NULL.
	 */
	void (*before_sleep)(void *opaque);
	void *before_sleep_opaque;
};

/*
 * Maps both segments. my_fd must be writable, peer_fd may be read-only. Both
 * must have at least chan_segment_size() bytes and the seals F_SEAL_SHRINK and
 * F_SEAL_GROW. bell descriptors are kept, not owned. 0 or -errno with *err.
 * Indices found in the segments are taken over, so that a restarted process
 * goes on where its predecessor stopped.
 */
int chan_init(struct chan *c, bool is_a, const struct chan_geometry *g, int my_fd, int peer_fd,
	int my_bell_fd, int peer_bell_fd, struct error *err);
/*
 * The same over memory that is mapped already (and stays the caller's): for tests, in which both
 * sides must share one mapping for ThreadSanitizer to see them.
 */
int chan_attach(struct chan *c, bool is_a, const struct chan_geometry *g, void *my_seg,
	const void *peer_seg, int my_bell_fd, int peer_bell_fd, struct error *err);
/* Unmaps. Leaves the indices where they are, for a successor. */
void chan_done(struct chan *c);

/* Producer: room for one slot with len bytes of data? */
bool chan_has_room(struct chan *c, uint32_t len);
/*
 * Producer: space for len bytes (1..arena_len/2, 64-byte aligned) of the next slot's data,
 * contiguous, or NULL if there is no room now (or the channel is poisoned). Filled in by the
 * caller, published by the next chan_push() with that hdr.data_off/data_len, which this sets in *s;
 * data_len may be made smaller. A second reserve before the push takes the place of the first.
 */
void *chan_reserve(struct chan *c, union slot *s, uint32_t len);
/*
 * Producer: publishes a copy of *s (hdr.seq is set). hdr.data_len must be 0 or come from
 * chan_reserve(). 0, -EAGAIN if full, -EPROTO if poisoned. Does not ring.
 */
int chan_push(struct chan *c, union slot *s);
/* Producer: makes sure that the peer will look: full fence, then the bell if the peer said it
 * sleeps. */
void chan_notify(struct chan *c);
/* chan_reserve + copy + chan_push + chan_notify, waiting up to timeout_ns for room. 0, -ETIMEDOUT,
 * -EPROTO, -EMSGSIZE. */
int chan_send(struct chan *c, union slot *s, const void *data, uint32_t len, int64_t timeout_ns);

/*
 * Consumer: copies the next slot into *ret. If it has data, *ret_data points into the
 * read-only arena (the peer may still change it: copy before you check) until
 * chan_release(). 0, -EAGAIN if empty, -EPROTO on a violation (bad index, bad offset).
 */
int chan_peek(struct chan *c, union slot *ret, const void **ret_data);
/* Consumer: frees the slot that chan_peek() returned. */
void chan_release(struct chan *c);
/* chan_peek, copy of at most cap bytes of data, chan_release. -EMSGSIZE poisons if data_len > cap.
 */
int chan_recv(struct chan *c, union slot *ret, void *buf, uint32_t cap);
/* Nothing to receive now? True for a poisoned channel. */
bool chan_empty(struct chan *c);

/*
 * Waits until the receive ring is not empty: spins spin_ns (0 on a one-CPU machine), yields a few
 * times, then sleeps on the bell, until timeout_ns from now (-1: for ever, only for idle servers).
 * extra_fd (or -1) also ends the wait when readable (or hung up). Returns 0 (something to receive),
 * 1 (extra_fd is readable), -ETIMEDOUT, -EPROTO. Of the threads of a process only one may sleep on
 * the process's bell, but it may do so for several channels.
 */
int chan_wait(struct chan *c, int64_t spin_ns, int64_t timeout_ns, int extra_fd);

/*
 * chan_wait() with a spinning time that learns: where answers come while we spin it grows to
 * max_ns; where they do not (the peer has no processor of its own at the moment, and spinning only
 * keeps it from having ours) it shrinks to min_ns. An answer that is there when we come back from a
 * long yield came because we let go. now_ns: 0 at first.
 */
struct chan_spin {
	int64_t min_ns, max_ns, now_ns;
};
int chan_wait_learning(struct chan *c, struct chan_spin *s, int64_t timeout_ns, int extra_fd);

/*
 * Does spinning pay? Not on a machine with one core, where it keeps the peer from running. Decided
 * once a process, at its first channel, from the cores that it may run on then (so that `taskset`
 * of the whole group counts, and later pinning does not).
 */
bool chan_may_spin(void);

/*
 * For processes with an event loop: say that I am about to sleep on my bell. Returns true if it is
 * safe to sleep; false if something came in meanwhile (or the channel is poisoned; look at
 * chan_error()), and nothing has to be withdrawn. After the sleep chan_awake() withdraws it and
 * drains the eventfd; then look at each channel of that bell.
 */
bool chan_prepare_sleep(struct chan *c);
void chan_awake(struct chan *c);

/* Why the channel is poisoned, or NULL. */
const char *chan_error(const struct chan *c);

#endif
