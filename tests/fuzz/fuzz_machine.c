/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest on the whole PC: the input is a list of port and memory accesses, time steps,
 * interrupt acknowledges and events. The machine must not crash or hang; what it tells the vCPU
 * (map, DMA list, APIC messages) stays in bounds; and a second machine that is given the same does
 * the same, to the last digest.
 */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "machine.h"

#define RAM_BYTES (UINT64_C(2) << 20)
#define OPS_MAX	  400

struct pc {
	struct machine *m;
	uint8_t *ram;
	uint8_t rom[65536], bios[65536];
	struct memmap_page map;
	uint64_t credit, sent;
};

/* Ports and places where something answers. */
static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64,
	0x70, 0x71, 0x80, 0x92, 0xb2, 0xb3, 0xe9, 0xf0, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
	0x3fe, 0x3ff, 0x4d0, 0x4d1, 0x510, 0x511, 0x514, 0x518, 0x600, 0x602, 0x604, 0x608, 0xcf8,
	0xcf9, 0xcfc, 0xcfd, 0xcfe, 0xcff, 0xafe0 };
static const uint32_t places[] = { 0xfec00000, 0xfec00010, 0xfec00fff, 0xfee00000, 0xa0000,
	0xffffffff };

static void keep_credit(void *opaque, int stream, uint32_t len)
{
	((struct pc *)opaque)->credit += len;
}

static struct pc *pc_new(void)
{
	struct pc *p = calloc(1, sizeof(*p));
	struct machine_host host = { .opaque = p, .credit = keep_credit };
	struct device_spec spec[] = { { .driver = "isa-serial", .stream = 0 },
		{ .driver = "isa-debugcon", .stream = -1 } };
	struct machine_config cfg = { .ram_bytes = RAM_BYTES,
		.rom_len = sizeof(p->rom),
		.shift = 3,
		.has_rtc_base = true,
		.append = "",
		.n_streams = 1,
		.stream_name = { "serial0" } };
	struct error err = ERROR_INIT;

	if (!p || !(p->ram = calloc(1, RAM_BYTES)))
		abort();
	cfg.ram = p->ram;
	cfg.rom = p->rom;
	cfg.memmap = &p->map;
	cfg.bios = (struct blob){ p->bios, sizeof(p->bios), "bios" };
	p->m = machine_new(&cfg, &host, &err);
	FUZZ_CHECK(p->m && board_build(p->m, spec, 2, &err) == 0);
	machine_reset(p->m);
	return p;
}

static void pc_free(struct pc *p)
{
	machine_free(p->m);
	free(p->ram);
	free(p);
}

static void check_reply(const struct pc *p, const struct bus_rep *rep)
{
	const struct memmap_page *mp = &p->map;
	uint32_t end = 0;

	FUZZ_CHECK(rep->n_apic <= BUS_REP_APIC_MAX);
	FUZZ_CHECK(mp->n_dma <= DMA_LIST_MAX);
	for (uint32_t i = 0; i < mp->n_dma; i++)
		FUZZ_CHECK(mp->dma_page[i] < RAM_BYTES >> 12);
	if (!(rep->flags & BUS_F_MAP))
		return;
	FUZZ_CHECK(mp->n_entries <= MEMMAP_MAX_ENTRIES);
	for (uint32_t i = 0; i < mp->n_entries; i++) {
		const struct memmap_entry *e = &mp->entry[i];

		FUZZ_CHECK(e->gpa_page >= end && e->npages > 0);
		end = e->gpa_page + e->npages;
		FUZZ_CHECK(end <= 1u << 20);
		if (e->read_kind == MEM_RAM)
			FUZZ_CHECK(e->read_off_page + e->npages <= RAM_BYTES >> 12);
		if (e->read_kind == MEM_ROM)
			FUZZ_CHECK(e->read_off_page + e->npages <= sizeof(p->rom) >> 12);
		if (e->write_kind == MEM_RAM)
			FUZZ_CHECK(e->write_off_page + e->npages <= RAM_BYTES >> 12);
	}
}

static void event_send(struct pc *p, const uint8_t *op)
{
	struct seq_rep ev = { .arg = op[1] % SEQ_EVENT_COUNT, .a = op[2], .b = (int8_t)op[3] };
	uint32_t len = op[4] % 16;

	if (ev.arg == SEQ_EV_CHAR) {
		/* The sequencer never sends more than was granted. */
		if (p->sent + len > p->credit)
			return;
		p->sent += len;
		ev.hdr.data_len = len;
	}
	machine_event(p->m, &ev, (const uint8_t *)"0123456789abcdef", &(struct error)ERROR_INIT);
}

/* One operation of 8 bytes. Returns what a guest would have read. */
static uint64_t op_run(struct pc *p, const uint8_t *op)
{
	struct machine *m = p->m;
	unsigned size = 1u << (op[1] & 3);
	uint16_t port = ports[op[2] % (sizeof(ports) / sizeof(ports[0]))];
	uint32_t place = places[op[2] % (sizeof(places) / sizeof(places[0]))], val;
	uint8_t bulk[64];

	memcpy(&val, op + 4, 4);
	switch (op[0] % 12) {
	case 0:
	case 1:
	case 2: machine_out(m, port, size & 7 ? size : 4, val); return 0;
	case 3:
	case 4: return machine_in(m, port, size & 7 ? size : 4);
	case 5: machine_mmio_write(m, place, size, val); return 0;
	case 6: return machine_mmio_read(m, place, size);
	case 7: m->icount += val & 0xfffff; return 0;
	case 8: m->warp_ns += val; return 0; /* up to four seconds */
	case 9: return machine_intack(m);
	case 10: event_send(p, op); return 0;
	default:
		machine_eoi(m, op[2]);
		machine_ins(m, port, 1, sizeof(bulk), bulk);
		machine_outs(m, (uint16_t)val, 2, 4, op);
		return bulk[0];
	}
}

static uint64_t run(const uint8_t *data, size_t size, uint8_t *digest, size_t *ret_len)
{
	struct pc *p = pc_new();
	struct digest_writer w = { digest, 0, 32768, 0 };
	uint64_t seen = 0;

	/* A descriptor for fw_cfg's DMA, where the input says. */
	if (size >= 16)
		memcpy(p->ram, data, 16);
	for (unsigned n = 0; size >= 8 && n < OPS_MAX; n++, data += 8, size -= 8) {
		struct bus_rep rep = { 0 };

		machine_begin(p->m, p->m->icount + 1);
		machine_run_timers(p->m);
		/* None is due that has just run: the stop lies in the future. */
		FUZZ_CHECK(machine_deadline_ns(p->m) > machine_now_ns(p->m));
		seen = seen * 31 + op_run(p, data);
		machine_end(p->m, &rep);
		check_reply(p, &rep);
		p->m->board->shutdown = 0;
	}
	machine_digest(p->m, &w);
	FUZZ_CHECK(!w.overflow);
	*ret_len = w.len;
	pc_free(p);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t digest[2][32768];
	size_t len[2];
	uint64_t a = run(data, size, digest[0], &len[0]), b = run(data, size, digest[1], &len[1]);

	FUZZ_CHECK(a == b && len[0] == len[1] && memcmp(digest[0], digest[1], len[0]) == 0);
	return 0;
}
