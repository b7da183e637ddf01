/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest at the disks: the input is a list of accesses to the IDE controller's ports, its
 * bus master, packets, descriptor tables, and of events that complete requests. The machine asks
 * its drives for what they have and nothing else, holds no more requests than it may, and a second
 * machine that is made from the first one's fields and memory half-way, with requests in flight,
 * does the same from then on. That one defers the writes that may be; what is shown is what a read
 * gives.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "fuzz.h"
#include "machine.h"
#include "pci.h"

#define RAM_BYTES (UINT64_C(2) << 20)
#define OPS_MAX	  500
#define OP_LEN	  8
#define DRIVES	  3
#define BM	  0xc000u
#define PRD_GPA	  0x8000u
#define DEVFN	  0x09
#define BULK_MAX  4096

static const uint32_t media_len[DRIVES] = { 3u << 20, 64 * 512, 300 * 2048 };

/* What is submitted is done at once, and answered when the machine asks. */
struct answer {
	uint64_t id;
	uint32_t error;
};

struct pc {
	struct machine *m;
	uint8_t *ram, *media[DRIVES], *out, *in;
	uint8_t rom[65536], bios[65536];
	struct memmap_page map;
	struct answer answer[BLK_BUFS];
	uint64_t last_id;
	unsigned in_flight;
	bool lazy; /* defers */
	struct bus_deferred deferred[BUS_DEFERRED_MAX];
	unsigned n_deferred;
};

static void host_submit(void *opaque, const struct blk_req *rq)
{
	struct pc *p = opaque;
	uint8_t *at = p->media[rq->drive] + rq->offset;

	FUZZ_CHECK(rq->drive < DRIVES && rq->buf < BLK_BUFS && rq->id);
	FUZZ_CHECK(rq->offset <= media_len[rq->drive]);
	FUZZ_CHECK(rq->len <= media_len[rq->drive] - rq->offset);
	FUZZ_CHECK(p->answer[rq->buf].id == 0);
	FUZZ_CHECK(p->in_flight++ < DRIVES);
	p->last_id = rq->id;
	/* Some fail, by their number, so that it is the same ones in both machines. */
	p->answer[rq->buf] = (struct answer){ rq->id, rq->id % 7 == 5 ? EIO : 0 };
	if (p->answer[rq->buf].error)
		return;
	if (rq->hdr.type == BLK_READ)
		memcpy(p->in + (size_t)rq->buf * BLK_BUF_LEN, at, rq->len);
	else if (rq->hdr.type == BLK_WRITE)
		memcpy(at, p->out + (size_t)rq->buf * BLK_BUF_LEN, rq->len);
	else if (rq->hdr.type == BLK_DISCARD)
		memset(at, 0, rq->len);
}

static uint32_t host_wait(void *opaque, const struct blk_req *rq, const uint8_t **ret_data)
{
	struct pc *p = opaque;
	struct answer *a = &p->answer[rq->buf];

	FUZZ_CHECK(a->id == rq->id);
	a->id = 0;
	p->in_flight--;
	*ret_data = p->in + (size_t)rq->buf * BLK_BUF_LEN;
	return a->error;
}

static void *zeroes(size_t len)
{
	void *mem = calloc(1, len);

	if (!mem)
		abort();
	return mem;
}

static struct pc *pc_new(void)
{
	static const struct prop_value p0[] = { { "drive", "0" } }, p1[] = { { "drive", "1" } },
				       p2[] = { { "drive", "2" } };
	static const struct device_spec spec[DRIVES] = {
		{ .driver = "ide-hd", .stream = -1, .props = p0, .n_props = 1 },
		{ .driver = "ide-hd", .stream = -1, .props = p1, .n_props = 1 },
		{ .driver = "ide-cd", .stream = -1, .props = p2, .n_props = 1 },
	};
	struct pc *p = zeroes(sizeof(*p));
	struct machine_host host = {
		.opaque = p, .blk_submit = host_submit, .blk_wait = host_wait
	};
	struct machine_config cfg = { .ram_bytes = RAM_BYTES,
		.rom_len = sizeof(p->rom),
		.shift = 3,
		.has_rtc_base = true,
		.append = "",
		.n_drives = DRIVES };
	struct error err = ERROR_INIT;

	p->ram = cfg.ram = zeroes(RAM_BYTES);
	p->out = cfg.blkout = zeroes(BLK_DATA_LEN);
	p->in = zeroes(BLK_DATA_LEN);
	for (unsigned i = 0; i < DRIVES; i++) {
		p->media[i] = zeroes(media_len[i]);
		for (uint32_t k = 0; k < media_len[i]; k += 64)
			p->media[i][k] = (uint8_t)(k * 7 + (k >> 9) + i);
		cfg.drive[i] = (struct drive_info){ "drive", media_len[i], false, i == 2 };
	}
	cfg.rom = p->rom;
	cfg.memmap = &p->map;
	cfg.bios = (struct blob){ p->bios, sizeof(p->bios), "bios" };
	p->m = machine_new(&cfg, &host, &err);
	FUZZ_CHECK(p->m && board_build(p->m, spec, DRIVES, &err) == 0);
	machine_reset(p->m);
	pci_config_write(p->m, DEVFN, PCI_BAR0 + 16, 4, BM);
	return p;
}

static void pc_free(struct pc *p)
{
	machine_free(p->m);
	for (unsigned i = 0; i < DRIVES; i++)
		free(p->media[i]);
	free(p->ram);
	free(p->out);
	free(p->in);
	free(p);
}

/* What a snapshot takes: fields, RAM, the bytes of writes in flight, and the media. */
static struct pc *pc_clone(const struct pc *from)
{
	struct pc *to = pc_new();
	struct device *a = from->m->devices, *b = to->m->devices;

	memcpy(to->ram, from->ram, RAM_BYTES);
	for (unsigned i = 0; i < DRIVES; i++)
		memcpy(to->media[i], from->media[i], media_len[i]);
	for (unsigned i = 0; i < BLK_BUFS; i++)
		if (from->answer[i].id)
			memcpy(to->out + (size_t)i * BLK_BUF_LEN,
				from->out + (size_t)i * BLK_BUF_LEN, BLK_BUF_LEN);
	to->m->icount = from->m->icount;
	for (; a; a = a->next, b = b->next)
		for (const struct field *f = a->cls->fields; f && f->name; f++)
			memcpy((uint8_t *)b + f->offset, (uint8_t *)a + f->offset,
				(size_t)f->elem * f->count);
	for (b = to->m->devices; b; b = b->next)
		if (b->cls->loaded)
			b->cls->loaded(b);
	to->m->timers_dirty = true;
	machine_ports_update(to->m);
	/* The vCPU has been told all this. */
	to->m->map_changed = false;
	to->map.n_dma = to->map.dma_overflow = 0;
	drive_resubmit(to->m);
	FUZZ_CHECK(to->in_flight == from->in_flight);
	return to;
}

/* ---- the vCPU's side of deferred writes ---- */

static void flush(struct pc *p)
{
	for (unsigned i = 0; i < p->n_deferred; i++)
		FUZZ_CHECK(machine_deferred(
			p->m, p->deferred[i].port, p->deferred[i].size, p->deferred[i].val));
	p->n_deferred = 0;
}

static bool may_defer(const struct pc *p, uint32_t port, unsigned size, uint32_t val)
{
	for (uint32_t i = 0; i < p->map.n_defer; i++) {
		const struct port_defer *d = &p->map.defer[i];

		if (port - d->port < d->len && size == d->size && !(val & d->mask))
			return true;
	}
	return false;
}

static void out(struct pc *p, uint32_t port, unsigned size, uint32_t val)
{
	val &= UINT32_MAX >> (32 - 8 * size);
	if (p->lazy && p->n_deferred < BUS_DEFERRED_MAX && may_defer(p, port, size, val)) {
		p->deferred[p->n_deferred++] = (struct bus_deferred){
			.port = (uint16_t)port, .size = (uint8_t)size, .val = val
		};
		return;
	}
	flush(p);
	machine_out(p->m, (uint16_t)port, size, val);
	/* The reply. */
	machine_ports_update(p->m);
}

static uint64_t disk_state(const struct pc *p)
{
	uint64_t h = 0;

	for (const struct device *d = p->m->devices; d; d = d->next)
		h = h * 31 + device_digest(d);
	return h;
}

static void check_shown(struct pc *p)
{
	struct machine *m = p->m;
	uint64_t before = disk_state(p);

	FUZZ_CHECK(p->map.n_defer <= DEFER_MAX && p->map.n_shown <= SHOWN_MAX);
	for (uint32_t i = 0; i < p->map.n_shown; i++) {
		FUZZ_CHECK(machine_in_is_quick(m, p->map.shown[i].port) ||
			   p->map.shown[i].port >= 0x400);
		FUZZ_CHECK(machine_in(m, p->map.shown[i].port, 1) == p->map.shown[i].value);
	}
	FUZZ_CHECK(disk_state(p) == before);
}

/* ---- one operation ---- */

static const uint8_t commands[] = { 0x00, 0x06, 0x08, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35,
	0x39, 0x3d, 0x40, 0x42, 0x90, 0x91, 0xa0, 0xa1, 0xa0, 0xa0, 0xb0, 0xc4, 0xc5, 0xc6, 0xc8,
	0xca, 0xce, 0xe0, 0xe5, 0xe7, 0xea, 0xec, 0xef, 0xf8, 0x27 };
static const uint8_t features[] = { 0x00, 0x01, 0x02, 0x03, 0x55, 0xaa, 0x82, 0x66, 0xd0, 0xd1,
	0xd8, 0xd9, 0xda, 0xd2 };
static const uint8_t packets[] = { 0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x46,
	0x4a, 0x51, 0x52, 0x5a, 0xa8, 0xbd, 0xbe };

static uint16_t base_of(const uint8_t *op)
{
	return op[1] & 0x80 ? 0x170 : 0x1f0;
}

/* Registers for a command that may well be right: address and count by the input. */
static void command_run(struct pc *p, const uint8_t *op)
{
	uint16_t base = base_of(op);

	out(p, base + 6, 1, 0xa0 | (op[2] & 0x5f));
	for (unsigned i = 0; i < 2; i++) {
		out(p, base + 1, 1, i ? features[op[3] % sizeof(features)] : 0);
		out(p, base + 2, 1, i ? op[4] & 0x0f : op[4] >> 7);
		out(p, base + 3, 1, i ? op[5] : 0);
		out(p, base + 4, 1, i ? op[6] & 0x1f : 0);
		out(p, base + 5, 1, i ? op[6] >> 7 : 0);
	}
	if (commands[op[7] % sizeof(commands)] == 0xb0 && (op[4] & 1))
		out(p, base + 4, 2, 0xc24f);
	out(p, base + 7, 1, commands[op[7] % sizeof(commands)]);
}

/* A command with a bus master that is ready for it, and memory that may pass for ranges to trim. */
static void dma_run(struct pc *p, const uint8_t *op)
{
	uint16_t bm = (uint16_t)(BM + (op[1] & 0x80 ? 8 : 0));

	put_le32(p->ram + PRD_GPA, 0x100000);
	put_le32(p->ram + PRD_GPA + 4, 0x80000000u | (op[4] & 0x40 ? 0x200 : 0));
	put_le64(p->ram + 0x100000 + 8 * (op[5] & 63), op[6] | (uint64_t)op[3] << 48);
	out(p, bm, 1, 0);
	out(p, bm + 4, 4, PRD_GPA);
	out(p, bm, 1, op[1] & 8);
	out(p, bm, 1, 1 | (op[1] & 8));
	command_run(p, op);
}

static void packet_run(struct pc *pc, const uint8_t *op)
{
	uint16_t base = base_of(op);
	uint8_t p[12] = { packets[op[2] % sizeof(packets)] };

	memcpy(p + 1, op + 3, 5);
	if (op[1] & 1)
		memset(p + 2, 0, 3);
	p[8] = op[7];
	p[9] = op[3] & 0x10;
	out(pc, base + 6, 1, op[1] & 0x10);
	out(pc, base + 1, 1, op[1] >> 1 & 1);
	out(pc, base + 4, 2, op[1] & 4 ? 2048 : op[3]);
	out(pc, base + 7, 1, 0xa0);
	flush(pc);
	machine_outs(pc->m, base, 2, 6, p);
}

static void table_put(struct pc *p, const uint8_t *op)
{
	uint8_t *e = p->ram + PRD_GPA + 8 * (op[1] & 7);

	put_le32(e, (uint32_t)(op[2] << 16 | op[3] << 8 | op[4]) << (op[5] & 1 ? 8 : 0));
	put_le32(e + 4, (uint32_t)(op[6] << 8 | op[7]) | (op[5] & 2 ? 0x80000000u : 0));
}

static uint64_t bulk(struct machine *m, const uint8_t *op)
{
	static uint8_t buf[BULK_MAX * 4];
	unsigned size = 1u << (op[2] % 3);
	uint32_t n = (uint32_t)(op[3] << 4 | (op[4] & 15)) % BULK_MAX;
	uint16_t port = base_of(op) + (op[7] & 8 ? 2 : 0);
	uint64_t sum = 0;

	memset(buf, op[6], sizeof(buf));
	for (uint32_t i = 0; i < n;) {
		if (op[5] & 1)
			i += machine_outs(m, port, size, n - i, buf + (size_t)i * size);
		else
			i += machine_ins(m, port, size, n - i, buf + (size_t)i * size);
	}
	for (uint32_t i = 0; i < n * size; i++)
		sum = sum * 31 + buf[i];
	return sum;
}

static void event(struct pc *p, const uint8_t *op)
{
	struct seq_rep ev = { .arg = SEQ_EV_BLOCK };
	struct error err = ERROR_INIT;
	struct blk_req rq[BLK_BUFS];
	unsigned n = drive_in_flight(p->m, rq);

	/* Any of those in flight, one that is long over, or none. */
	ev.b = n ? (int64_t)rq[op[1] % n].id : op[1] & 1 ? (int64_t)p->last_id : 0;
	if (op[2] == 0xff)
		ev.b = -1;
	FUZZ_CHECK(machine_event(p->m, &ev, NULL, &err) == 0);
}

static uint64_t op_run(struct pc *p, const uint8_t *op)
{
	struct machine *m = p->m;
	uint32_t val = get_le32(op + 4);
	unsigned size = 1u << (op[2] % 3);

	if (op[0] % 16 > 1 && op[0] % 16 != 9)
		flush(p);
	switch (op[0] % 16) {
	case 0:
	case 1: out(p, base_of(op) + (op[1] & 7), size, val); return 0;
	case 2: return machine_in(m, base_of(op) + (op[1] & 7), size);
	case 3:
	case 4: command_run(p, op); return 0;
	case 5:
	case 6: packet_run(p, op); return 0;
	case 7: table_put(p, op); return 0;
	case 8:
		out(p, BM + (op[1] & 8) + 4, 4, PRD_GPA + 8 * (op[3] & 3));
		out(p, BM + (op[1] & 8), 1, op[2] & 9);
		return 0;
	case 9: out(p, BM + (op[1] & 15), size, val); return 0;
	case 10: return machine_in(m, (uint16_t)(BM + (op[1] & 15)), size);
	case 11: return bulk(m, op);
	case 12:
	case 13: event(p, op); return 0;
	case 14:
		if (op[2] > 8) {
			out(p, base_of(op) + 0x206, 1, op[1]);
			return machine_in(m, base_of(op) + 0x206, 1);
		}
		pci_config_write(m, DEVFN, op[3] & 0xfc, 4, val);
		return pci_config_read(m, DEVFN, op[4] & 0xfc, 4);
	default:
		if (op[1] == 0)
			machine_reset(m);
		else
			dma_run(p, op);
		return 0;
	}
}

static uint64_t step(struct pc *p, const uint8_t *op)
{
	struct bus_rep rep = { 0 };
	uint64_t seen;

	machine_begin(p->m, p->m->icount + 1);
	seen = op_run(p, op);
	machine_end(p->m, &rep);
	if (!p->lazy)
		check_shown(p);
	return seen * 3 + (rep.flags & BUS_F_INTR);
}

static void check_same(const struct pc *a, const struct pc *b)
{
	const struct device *x = a->m->devices, *y = b->m->devices;

	for (; x; x = x->next, y = y->next) {
		for (const struct field *f = x->cls->fields; f && f->name; f++)
			if (memcmp((const uint8_t *)x + f->offset, (const uint8_t *)y + f->offset,
				    (size_t)f->elem * f->count))
				fprintf(stderr, "%s: %s differs\n", x->id, f->name);
		FUZZ_CHECK(device_digest(x) == device_digest(y));
	}
	FUZZ_CHECK(!memcmp(a->ram, b->ram, RAM_BYTES));
	for (unsigned i = 0; i < DRIVES; i++)
		FUZZ_CHECK(!memcmp(a->media[i], b->media[i], media_len[i]));
}

/* A snapshot that nobody made: fields with any values, and then the same guest again. */
static void run_forged(struct pc *p, const uint8_t *data, unsigned ops)
{
	unsigned at = 0;

	for (struct device *d = p->m->devices; d; d = d->next) {
		if (!d->cls->ports && !d->cls->blk_done && strcmp(d->id, "drives") != 0)
			continue;
		for (const struct field *f = d->cls->fields; f->name; f++) {
			const uint8_t *op = data + OP_LEN * (at++ % ops);
			uint32_t len = f->elem * f->count;

			if (op[0] & 1)
				((uint8_t *)d)[f->offset + get_le16(op + 1) % len] = op[3];
			if ((op[0] & 6) == 6 && len >= 4)
				memset((uint8_t *)d + f->offset, op[4] & 1 ? 0xff : 0, 4);
		}
	}
	memset(p->answer, 0, sizeof(p->answer));
	p->in_flight = 0;
	for (struct device *d = p->m->devices; d; d = d->next)
		if (d->cls->loaded)
			d->cls->loaded(d);
	p->lazy = false;
	machine_ports_update(p->m);
	drive_resubmit(p->m);
	for (unsigned n = 0; n < ops; n++)
		step(p, data + OP_LEN * n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned ops = size / OP_LEN < OPS_MAX ? (unsigned)(size / OP_LEN) : OPS_MAX;
	struct pc *a = pc_new(), *b = NULL;

	for (unsigned n = 0; n < ops; n++, data += OP_LEN) {
		uint64_t seen;

		if (n == ops / 2) {
			b = pc_clone(a);
			b->lazy = true;
		}
		seen = step(a, data);
		if (b)
			FUZZ_CHECK(step(b, data) == seen);
	}
	if (b) {
		flush(b);
		check_same(a, b);
		run_forged(b, data - OP_LEN * ops, ops);
		pc_free(b);
	}
	pc_free(a);
	return 0;
}
