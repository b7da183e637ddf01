/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PC with drives whose media are memory: requests are done when they are submitted, and complete
 * at the event that the test sends. Every request is kept for the test to look at.
 */
#ifndef TEST_DRIVE_RIG_H
#define TEST_DRIVE_RIG_H

#include "test_machine_rig.h"

#define DRIVES_LOG_MAX 4096
#define PATTERN_MAX    (8u << 20)

struct media {
	uint8_t *bytes;
	uint64_t len;
	uint32_t fail;	  /* errno of all requests from now on */
	uint32_t fail_op; /* of this kind, BLK_OP_COUNT: any */
};

struct drive_rig {
	struct rig *r;
	struct media media[BLK_DRIVES_MAX];
	uint8_t *out, *in;
	struct blk_req log[DRIVES_LOG_MAX];
	uint32_t error[DRIVES_LOG_MAX];
	unsigned n_log, n_done; /* submitted, completed */
};

/* Of the test that runs: its teardown() frees them, out() and in() go to its machine. */
static struct drive_rig *d;
static struct rig *r;

static inline void drive_rig_submit(void *opaque, const struct blk_req *rq)
{
	struct drive_rig *d = opaque;
	struct media *m = &d->media[rq->drive];
	uint8_t *out = d->out + (size_t)rq->buf * BLK_BUF_LEN;
	uint8_t *in = d->in + (size_t)rq->buf * BLK_BUF_LEN;

	assert_true(d->n_log < DRIVES_LOG_MAX);
	assert_true(rq->offset + rq->len <= m->len);
	d->log[d->n_log] = *rq;
	d->error[d->n_log] =
		m->fail && (m->fail_op == rq->hdr.type || m->fail_op == BLK_OP_COUNT) ? m->fail : 0;
	if (!d->error[d->n_log++]) {
		switch (rq->hdr.type) {
		case BLK_READ: memcpy(in, m->bytes + rq->offset, rq->len); break;
		case BLK_WRITE: memcpy(m->bytes + rq->offset, out, rq->len); break;
		case BLK_DISCARD: memset(m->bytes + rq->offset, 0, rq->len); break;
		}
	}
}

static inline uint32_t drive_rig_wait(void *opaque, const struct blk_req *rq, const uint8_t **ret)
{
	struct drive_rig *d = opaque;

	for (unsigned i = 0; i < d->n_log; i++) {
		if (d->log[i].id != rq->id)
			continue;
		*ret = d->in + (size_t)rq->buf * BLK_BUF_LEN;
		return d->error[i];
	}
	fail_msg("request %llu was never submitted", (unsigned long long)rq->id);
	return 0;
}

/* Before drive_rig_build(): a medium of len bytes; the first PATTERN_MAX are a pattern. */
static inline uint32_t drive_rig_add(
	struct drive_rig *d, const char *id, uint64_t len, bool cdrom, bool readonly)
{
	uint32_t n = d->r->cfg.n_drives++;
	struct media *m = &d->media[n];

	m->len = len;
	m->bytes = calloc(1, len + 1);
	assert_non_null(m->bytes);
	m->fail_op = BLK_OP_COUNT;
	for (uint64_t i = 0; i < len && i < PATTERN_MAX; i++)
		m->bytes[i] = (uint8_t)(i * 31 + (i >> 9) * 7 + (i >> 17) + n);
	d->r->cfg.drive[n] = (struct drive_info){ id, len, readonly, cdrom };
	return n;
}

static inline struct drive_rig *drive_rig_new(uint64_t ram_bytes)
{
	struct drive_rig *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->r = rig_config(ram_bytes);
	d->out = calloc(1, BLK_DATA_LEN);
	d->in = calloc(1, BLK_DATA_LEN);
	d->r->cfg.blkout = d->out;
	return d;
}

static inline int drive_rig_try(struct drive_rig *d, const struct device_spec *spec, unsigned n)
{
	struct machine_host host = { d, NULL, NULL, NULL, drive_rig_submit, drive_rig_wait };

	d->r->cfg.has_rtc_base = true;
	d->r->m = machine_new(&d->r->cfg, &host, &d->r->err);
	if (!d->r->m)
		fail_msg("machine_new: %s", d->r->err.msg);
	return board_build(d->r->m, spec, n, &d->r->err);
}

static inline void drive_rig_build(struct drive_rig *d, const struct device_spec *spec, unsigned n)
{
	if (drive_rig_try(d, spec, n) < 0)
		fail_msg("board_build: %s", d->r->err.msg);
	machine_reset(d->r->m);
}

static inline void drive_rig_free(struct drive_rig *d)
{
	for (unsigned i = 0; i < BLK_DRIVES_MAX; i++)
		free(d->media[i].bytes);
	free(d->out);
	free(d->in);
	rig_free(d->r);
	free(d);
}

/* The event that completes the oldest request; false: there is none. */
static inline bool drive_rig_event(struct drive_rig *d)
{
	struct seq_rep ev = { .arg = SEQ_EV_BLOCK };

	if (d->n_done == d->n_log)
		return false;
	ev.b = (int64_t)d->log[d->n_done++].id;
	assert_int_equal(machine_event(d->r->m, &ev, NULL, &d->r->err), 0);
	return true;
}

/* All of them. How many. */
static inline unsigned drive_rig_settle(struct drive_rig *d)
{
	unsigned n = 0;

	while (drive_rig_event(d))
		n++;
	return n;
}

static inline int teardown(void **state)
{
	drive_rig_free(d);
	return 0;
}

static inline void out(uint16_t port, unsigned v)
{
	machine_out(r->m, port, 1, (uint8_t)v);
}

static inline uint8_t in(uint16_t port)
{
	return (uint8_t)machine_in(r->m, port, 1);
}

#endif
