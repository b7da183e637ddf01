/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile peer: the input is a script of what the peer writes into its segment and of what we
 * do with the channel meanwhile. Allowed are -EPROTO, -EAGAIN and copies that lie within the
 * geometry; never a look outside the segments (they lie against guard pages), never an assertion,
 * never an endless wait.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

static const struct chan_geometry geo = { 4, 1024, 8, 4096 };

/* Scripts that an honest peer could have written, as start points: see LLVMFuzzerTestOneInput(). */
#define START(n)       (n) & 255, (n) >> 8 & 255, (n) >> 16 & 255, (n) >> 24 & 255
#define SLOT(off, len) 0, 5, (off)&255, (off) >> 8, (len)&255, (len) >> 8
#define RECV	       3, 1
#define PEEK	       3, 0
#define SEND(len)      4, (len)&255, (len) >> 8
#define FREED(behind)  0, 3, (behind)
#define RESTART	       7, 0
static const uint8_t s0[] = { START(0), SLOT(0, 100), RECV, SLOT(128, 0), PEEK, SLOT(4000, 96),
	PEEK, SLOT(0, 4096), PEEK, SEND(64), FREED(0), SEND(500), FREED(1), RECV, 5, 6 };
static const uint8_t s1[] = { START(0xfffffffe), SEND(512), SEND(400), FREED(1), SEND(300), SEND(0),
	SEND(100), FREED(0), SEND(512), SEND(10), RESTART, SEND(512), FREED(0), SEND(512) };
static const uint8_t s2[] = { START(0x7ffffffd), 0, 4, 1, SEND(1), SLOT(64, 600), PEEK,
	SLOT(64, 601), RECV, RESTART, SLOT(1, 1), RECV, 7, 1, 0, 0, 1, 0, 0, 0, SEND(3) };

const struct fuzz_seed fuzz_seeds[] = { { s0, sizeof(s0) }, { s1, sizeof(s1) }, { s2, sizeof(s2) },
	{ NULL, 0 } };

static uint8_t *segs[2]; /* ours (side A), the peer's */
static size_t lens[2];
static int bells[2];

/* A mapping that ends at a guard page. */
static uint8_t *map_guarded(size_t len)
{
	uint8_t *p = mmap(NULL, len + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	FUZZ_CHECK(p != MAP_FAILED && len % 4096 == 0);
	FUZZ_CHECK(mprotect(p + 4096, len, PROT_READ | PROT_WRITE) == 0);
	return p + 4096;
}

static void init_once(void)
{
	if (segs[0])
		return;
	for (int i = 0; i < 2; i++) {
		lens[i] = chan_segment_size(&geo, i == 0);
		segs[i] = map_guarded(lens[i]);
		bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		FUZZ_CHECK(bells[i] >= 0);
	}
}

struct script {
	const uint8_t *p, *end;
};

static uint32_t take(struct script *s, int n)
{
	uint32_t v = 0;

	for (int i = 0; i < n && s->p < s->end; i++)
		v |= (uint32_t)*s->p++ << 8 * i;
	return v;
}

static void put32(uint8_t *seg, size_t len, size_t off, uint32_t v)
{
	if (off <= len - 4)
		memcpy(seg + off, &v, 4);
}

/* What the peer writes. Offsets: head 0, tail 64, sleep flag 128, slots from 4096, 64 bytes each.
 */
static void peer_writes(const struct chan *c, struct script *s)
{
	uint8_t *seg = segs[1];
	size_t slot = 4096 + (size_t)(c->rx_tail & c->rx_mask) * RING_SLOT_SIZE;

	switch (take(s, 1) % 8) {
	case 0: put32(seg, lens[1], 0, take(s, 4)); break;
	case 1: put32(seg, lens[1], 0, c->rx_tail + take(s, 1) % 10); break; /* mostly in order */
	case 2: put32(seg, lens[1], 64, take(s, 4)); break;
	case 3: put32(seg, lens[1], 64, c->tx_head - take(s, 1) % 6); break;
	case 4: put32(seg, lens[1], 128, take(s, 1) % 2); break;
	case 5: /* a slot in order, with data that may be anywhere */
		put32(seg, lens[1], slot + 4, c->rx_tail);
		put32(seg, lens[1], slot + 8, take(s, 2));
		put32(seg, lens[1], slot + 12, take(s, 2));
		put32(seg, lens[1], 0, c->rx_tail + 1);
		break;
	case 6:
		put32(seg, lens[1], slot + 4, c->rx_tail);
		put32(seg, lens[1], slot + 8, take(s, 4));
		put32(seg, lens[1], slot + 12, take(s, 4));
		put32(seg, lens[1], 0, c->rx_tail + 1);
		break;
	default: put32(seg, lens[1], take(s, 2), take(s, 4)); break;
	}
}

static void check_result(const struct chan *c, int r)
{
	FUZZ_CHECK(r == 0 || r == -EAGAIN || r == -EPROTO || r == -EMSGSIZE || r == -ETIMEDOUT ||
		   r == 1);
	FUZZ_CHECK((r == -EPROTO) <= (chan_error(c) != NULL));
	if (chan_error(c))
		FUZZ_CHECK(chan_error(c)[0]);
}

static uint32_t sink;

static void we_consume(struct chan *c, struct script *s)
{
	bool was_poisoned = chan_error(c) != NULL;
	uint8_t buf[600];
	union slot slot;
	const void *data;
	int r;

	if (take(s, 1) & 1) {
		r = chan_recv(c, &slot, buf, sizeof(buf));
		if (r == 0)
			FUZZ_CHECK(slot.hdr.data_len <= sizeof(buf));
	} else {
		r = chan_peek(c, &slot, &data);
		if (r == 0) {
			FUZZ_CHECK((data != NULL) == (slot.hdr.data_len > 0));
			FUZZ_CHECK(slot.hdr.data_len <= geo.b_arena_len);
			for (uint32_t i = 0; i < slot.hdr.data_len; i++)
				sink += ((const uint8_t *)data)[i];
			chan_release(c);
		}
	}
	check_result(c, r);
	FUZZ_CHECK(!was_poisoned || r == -EPROTO);
}

static void we_produce(struct chan *c, struct script *s)
{
	bool was_poisoned = chan_error(c) != NULL;
	uint32_t len = take(s, 2) % (geo.a_arena_len + 10);
	uint8_t data[2048];
	union slot slot = { .hdr = { .type = 7 } };
	int r;

	memset(data, 0x5a, sizeof(data));
	if (len > geo.a_arena_len / 2) {
		FUZZ_CHECK(
			chan_send(c, &slot, data, len, 0) == (was_poisoned ? -EPROTO : -EMSGSIZE));
		return;
	}
	r = chan_send(c, &slot, len ? data : NULL, len, 0);
	check_result(c, r);
	FUZZ_CHECK(r != -EAGAIN && (!was_poisoned || r == -EPROTO));
}

static int open_channel(struct chan *c)
{
	struct error err = ERROR_INIT;
	int r = chan_attach(c, true, &geo, segs[0], segs[1], bells[0], bells[1], &err);

	FUZZ_CHECK(r == 0 || (r == -EPROTO && err.msg[0]));
	return r;
}

/* A restart: over what we left ourselves, or over what a mad predecessor left. */
static int restart(struct chan *c, struct script *s)
{
	chan_done(c);
	for (uint32_t n = take(s, 1) % 4; n > 0; n--)
		put32(segs[0], lens[0], take(s, 2) % lens[0], take(s, 4));
	return open_channel(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct script s = { input, input + size };
	struct chan c;
	uint32_t start;

	init_once();
	for (int i = 0; i < 2; i++)
		memset(segs[i], 0, lens[i]);
	/* Any starting point: indices are free-running. */
	start = take(&s, 4);
	for (int i = 0; i < 2; i++) {
		put32(segs[i], lens[i], 0, start);
		put32(segs[i], lens[i], 64, start);
	}
	if (open_channel(&c) < 0)
		FUZZ_CHECK(!"fresh segments were refused");
	while (s.p < s.end) {
		switch (take(&s, 1) % 8) {
		case 0:
		case 1:
		case 2: peer_writes(&c, &s); break;
		case 3: we_consume(&c, &s); break;
		case 4: we_produce(&c, &s); break;
		case 5: check_result(&c, chan_wait(&c, 0, 0, -1)); break;
		case 6:
			if (chan_prepare_sleep(&c))
				chan_awake(&c);
			break;
		default:
			if (restart(&c, &s) < 0)
				return 0;
			break;
		}
	}
	chan_done(&c);
	return 0;
}
