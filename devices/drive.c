/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of devices to drives (device.h, "drives"): the table of those in flight, and what has
 * been written so far. They are a pseudo-device, "drives", so that its fields are in digests and
 * snapshots like everybody's.
 *
 * A request's row is also its buffer in blkout and blkin. The bytes of a written one stay in blkout
 * until its row is free, which is what a snapshot takes them from; so that digests need not read
 * them, each drive has a running hash of all that was ever written to it, in order.
 *
 * Bytes that are read are passed on at the event that completes the request, and at no other time.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "hash.h"
#include "log.h"
#include "drive_state.h"
#include "machine.h"

static struct trace_point tp_submit = TRACE_POINT("drive_submit");
static struct trace_point tp_done = TRACE_POINT("drive_done");

_Static_assert(DRIVE_REQUESTS_MAX *BLK_DRIVES_MAX <= BLK_BUFS, "a row for each request");
_Static_assert(DRIVE_IO_MAX == BLK_BUF_LEN, "a buffer for each request");

static const char *const op_names[] = {
#define X(n) #n,
	BLK_OPS(X)
#undef X
};

struct drives {
	struct device dev;
	/* saved */
	uint64_t next_id;
	/* rows; id 0: free */
	uint64_t id[BLK_BUFS], offset[BLK_BUFS], len[BLK_BUFS];
	uint32_t op[BLK_BUFS], drive[BLK_BUFS];
	uint32_t owner[BLK_BUFS]; /* the device's place in the machine's list */
	uint64_t written[BLK_DRIVES_MAX];
	/* after a load, until drive_resubmit() */
	bool claimed[BLK_BUFS];
};

const struct drive_info *drive_info(const struct device *dev, uint32_t drive)
{
	const struct machine_config *cfg = &dev->machine->cfg;

	return drive < cfg->n_drives ? &cfg->drive[drive] : NULL;
}

/* ---- rows ---- */

static uint32_t device_place(const struct device *dev)
{
	uint32_t n = 0;

	for (const struct device *d = dev->machine->devices; d != dev; d = d->next, n++)
		must(d);
	return n;
}

static struct device *device_at(struct machine *m, uint32_t place)
{
	struct device *d = m->devices;

	for (; d && place > 0; place--)
		d = d->next;
	return d;
}

static struct blk_req row_request(const struct drives *s, unsigned row)
{
	return (struct blk_req){ .hdr.type = (uint16_t)s->op[row],
		.id = s->id[row],
		.offset = s->offset[row],
		.len = s->len[row],
		.drive = s->drive[row],
		.buf = row };
}

static unsigned row_unused(struct drives *s, uint32_t drive)
{
	unsigned free = BLK_BUFS, used = 0;

	for (unsigned i = BLK_BUFS; i-- > 0;) {
		if (!s->id[i])
			free = i;
		else if (s->drive[i] == drive)
			used++;
	}
	must(free < BLK_BUFS && used < DRIVE_REQUESTS_MAX);
	return free;
}

static void row_clear(struct drives *s, unsigned row)
{
	s->id[row] = s->offset[row] = s->len[row] = 0;
	s->op[row] = s->drive[row] = s->owner[row] = 0;
}

/* ---- requests ---- */

static void written_note(struct drives *s, const struct blk_req *rq, const void *buf)
{
	uint64_t head[3] = { rq->hdr.type, rq->offset, rq->len };
	uint8_t bytes[sizeof(head)];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(head[i / 8] >> 8 * (i % 8));
	s->written[rq->drive] = hash64(s->written[rq->drive], bytes, sizeof(bytes));
	if (buf)
		s->written[rq->drive] = hash64(s->written[rq->drive], buf, rq->len);
}

static uint8_t *row_buffer(struct machine *m, unsigned row)
{
	return m->cfg.blkout + (size_t)row * BLK_BUF_LEN;
}

uint8_t *drive_buffer(struct device *dev, uint32_t drive)
{
	struct machine *m = dev->machine;

	return row_buffer(m, row_unused(m->drives, drive));
}

static uint64_t submit(struct device *dev, enum blk_op op, uint32_t drive, uint64_t offset,
	uint64_t len, const void *buf)
{
	struct machine *m = dev->machine;
	struct drives *s = m->drives;
	const struct drive_info *info = drive_info(dev, drive);
	struct blk_req rq;
	unsigned row;

	must(info && m->host.blk_submit && dev->cls->blk_done);
	must(offset % BLK_SECTOR == 0 && len % BLK_SECTOR == 0);
	must(offset <= info->len && len <= info->len - offset);
	must(op != BLK_READ || (len > 0 && len <= DRIVE_IO_MAX));
	must(op != BLK_WRITE || (len > 0 && len <= DRIVE_IO_MAX));
	row = row_unused(s, drive);
	s->id[row] = s->next_id++;
	s->op[row] = op;
	s->drive[row] = drive;
	s->offset[row] = offset;
	s->len[row] = len;
	s->owner[row] = device_place(dev);
	rq = row_request(s, row);
	if (op == BLK_WRITE || op == BLK_DISCARD)
		written_note(s, &rq, buf);
	if (buf && buf != row_buffer(m, row))
		memcpy(row_buffer(m, row), buf, len);
	trace(&tp_submit,
		"%s id %" PRIu64 " drive %u offset %" PRIu64 " len %" PRIu64 " at icount %" PRIu64,
		op_names[op], rq.id, drive, offset, len, m->icount);
	m->host.blk_submit(m->host.opaque, &rq);
	return rq.id;
}

uint64_t drive_read(struct device *dev, uint32_t drive, uint64_t offset, uint32_t len)
{
	return submit(dev, BLK_READ, drive, offset, len, NULL);
}

uint64_t drive_write(
	struct device *dev, uint32_t drive, uint64_t offset, const void *buf, uint32_t len)
{
	return submit(dev, BLK_WRITE, drive, offset, len, buf);
}

uint64_t drive_flush(struct device *dev, uint32_t drive)
{
	return submit(dev, BLK_FLUSH, drive, 0, 0, NULL);
}

uint64_t drive_discard(struct device *dev, uint32_t drive, uint64_t offset, uint64_t len)
{
	return submit(dev, BLK_DISCARD, drive, offset, len, NULL);
}

void drive_event(struct machine *m, uint64_t id)
{
	struct drives *s = m->drives;
	struct device *owner;
	struct blk_req rq;
	const uint8_t *data = NULL;
	uint32_t error;
	unsigned row;

	for (row = 0; row < BLK_BUFS && (s->id[row] != id || id == 0); row++)
		;
	if (row == BLK_BUFS)
		return;
	rq = row_request(s, row);
	owner = device_at(m, s->owner[row]);
	must(owner && owner->cls->blk_done);
	error = m->host.blk_wait(m->host.opaque, &rq, &data);
	trace(&tp_done, "%s id %" PRIu64 " error %u at icount %" PRIu64, op_names[rq.hdr.type], id,
		error, m->icount);
	must(error || rq.hdr.type != BLK_READ || data);
	/* The owner may ask for more at once: its place is free for that. */
	row_clear(s, row);
	owner->cls->blk_done(owner, id, error, rq.hdr.type == BLK_READ && !error ? data : NULL,
		rq.hdr.type == BLK_READ && !error ? (uint32_t)rq.len : 0);
}

/* ---- snapshots ---- */

static const struct field drives_fields[] = {
	FIELD(struct drives, next_id),
	FIELD_ARRAY(struct drives, id),
	FIELD_ARRAY(struct drives, offset),
	FIELD_ARRAY(struct drives, len),
	FIELD_ARRAY(struct drives, op),
	FIELD_ARRAY(struct drives, drive),
	FIELD_ARRAY(struct drives, owner),
	FIELD_ARRAY(struct drives, written),
	FIELD_END,
};

unsigned drive_in_flight(const struct machine *m, struct blk_req *ret)
{
	const struct drives *s = m->drives;
	unsigned n = 0;

	for (unsigned i = 0; i < BLK_BUFS; i++) {
		unsigned at = n;

		if (!s->id[i])
			continue;
		for (; at > 0 && ret[at - 1].id > s->id[i]; at--)
			ret[at] = ret[at - 1];
		ret[at] = row_request(s, i);
		n++;
	}
	return n;
}

int drive_state_check(const struct machine *m, const Dejavm__StateGroup *g, struct error *err)
{
	static struct drives s;
	int r = fields_load(drives_fields, &s, g, err);

	for (unsigned i = 0; i < BLK_BUFS && r == 0; i++) {
		const struct device *owner = device_at((struct machine *)m, s.owner[i]);
		const struct drive_info *info =
			s.drive[i] < m->cfg.n_drives ? &m->cfg.drive[s.drive[i]] : NULL;
		bool data = s.op[i] == BLK_READ || s.op[i] == BLK_WRITE;

		if (!s.id[i])
			continue;
		if (s.id[i] >= s.next_id || s.op[i] >= BLK_OP_COUNT || !info || !owner ||
			!owner->cls->blk_done || s.offset[i] % BLK_SECTOR ||
			s.len[i] % BLK_SECTOR || s.offset[i] > info->len ||
			s.len[i] > info->len - s.offset[i] ||
			(data && (!s.len[i] || s.len[i] > DRIVE_IO_MAX)))
			r = error_set(err, EINVAL,
				"request %" PRIu64 " of drive %u (%u, %" PRIu64 " bytes at %" PRIu64
				") is none that a device could have made",
				s.id[i], s.drive[i], s.op[i], s.len[i], s.offset[i]);
	}
	return r;
}

bool drive_claim(struct device *dev, uint64_t id)
{
	struct drives *s = dev->machine->drives;

	for (unsigned i = 0; id && i < BLK_BUFS; i++) {
		if (s->id[i] != id || s->claimed[i] || device_at(dev->machine, s->owner[i]) != dev)
			continue;
		s->claimed[i] = true;
		return true;
	}
	return false;
}

/* What is loaded may come from anywhere: a request must be one that could have been made. */
static bool row_is_sane(const struct drives *s, unsigned row)
{
	const struct drive_info *info = drive_info(&s->dev, s->drive[row]);
	uint64_t max = s->op[row] == BLK_DISCARD ? UINT64_MAX : DRIVE_IO_MAX;

	if (!info || s->op[row] >= BLK_OP_COUNT || s->id[row] >= s->next_id)
		return false;
	if (s->op[row] == BLK_FLUSH)
		return s->offset[row] == 0 && s->len[row] == 0;
	return s->offset[row] % BLK_SECTOR == 0 && s->len[row] % BLK_SECTOR == 0 &&
	       s->len[row] <= max && s->offset[row] <= info->len &&
	       s->len[row] <= info->len - s->offset[row];
}

static void drives_loaded(struct device *dev)
{
	struct drives *s = (struct drives *)dev;

	memset(s->claimed, 0, sizeof(s->claimed));
	if (s->next_id == 0)
		s->next_id = 1;
	for (unsigned i = 0; i < BLK_BUFS; i++)
		if (!s->id[i] || !row_is_sane(s, i))
			row_clear(s, i);
}

void drive_resubmit(struct machine *m)
{
	struct blk_req rq[BLK_BUFS];
	unsigned n;

	for (unsigned i = 0; i < BLK_BUFS; i++)
		if (!m->drives->claimed[i])
			row_clear(m->drives, i);
	n = drive_in_flight(m, rq);
	for (unsigned i = 0; i < n; i++)
		m->host.blk_submit(m->host.opaque, &rq[i]);
}

/* ---- the pseudo-device ---- */

static int drives_realize(struct device *dev, struct error *err)
{
	struct drives *s = (struct drives *)dev;

	s->next_id = 1;
	dev->machine->drives = s;
	return 0;
}

const struct device_class drives_class = {
	.name = "drives",
	.desc = "requests to drives, and what was written",
	.instance_size = sizeof(struct drives),
	.fields = drives_fields,
	.realize = drives_realize,
	.loaded = drives_loaded,
};
