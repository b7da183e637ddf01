/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine of one's own for a test: RAM, ROM and map in private memory, a firmware of zeroes,
 * output kept. */
#ifndef TEST_MACHINE_RIG_H
#define TEST_MACHINE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "machine.h"

#define RIG_ROM_LEN (256 * 1024)

struct rig {
	struct machine *m;
	struct machine_config cfg;
	struct memmap_page map;
	uint8_t rom[RIG_ROM_LEN], bios[RIG_ROM_LEN];
	char out[8192];
	size_t out_len;
	uint32_t credit[4];
	int64_t clock_ns;
	unsigned n_clock;
	struct error err;
};

static inline void rig_output(void *opaque, int stream, const void *buf, size_t len)
{
	struct rig *r = opaque;

	assert_true(r->out_len + len <= sizeof(r->out));
	memcpy(r->out + r->out_len, buf, len);
	r->out_len += len;
}

/* REP INS of n elements, as often as the vCPU would have to look up in between. */
static inline void rig_ins(struct rig *r, uint16_t port, unsigned size, uint32_t n, uint8_t *buf)
{
	for (uint32_t k; n > 0; n -= k, buf += (size_t)k * size) {
		k = machine_ins(r->m, port, size, n, buf);
		assert_in_range(k, 1, n);
		r->m->icount++;
		machine_run_timers(r->m);
	}
}

static inline void rig_credit(void *opaque, int stream, uint32_t len)
{
	((struct rig *)opaque)->credit[stream] += len;
}

static inline int64_t rig_clock(void *opaque)
{
	((struct rig *)opaque)->n_clock++;
	return ((struct rig *)opaque)->clock_ns;
}

/* A rig with its configuration filled in, and no machine yet. */
static inline struct rig *rig_config(uint64_t ram_bytes)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->cfg = (struct machine_config){ .ram = calloc(1, ram_bytes),
		.ram_bytes = ram_bytes,
		.rom = r->rom,
		.rom_len = RIG_ROM_LEN,
		.memmap = &r->map,
		.shift = 3,
		.bios = { r->bios, RIG_ROM_LEN, "bios.bin" },
		.append = "",
		.n_streams = 2,
		.stream_name = { "serial0", "debugcon" } };
	assert_non_null(r->cfg.ram);
	r->clock_ns = 1700000000 * INT64_C(1000000000);
	return r;
}

/* Makes the machine without chips. */
static inline void rig_bare(struct rig *r)
{
	struct machine_host host = { r, rig_output, rig_credit, rig_clock, NULL, NULL };

	r->m = machine_new(&r->cfg, &host, &r->err);
	if (!r->m)
		fail_msg("machine_new: %s", r->err.msg);
}

/* Makes the PC; returns what board_build() does. */
static inline int rig_build(struct rig *r, const struct device_spec *spec, unsigned n)
{
	rig_bare(r);
	return board_build(r->m, spec, n, &r->err);
}

static inline struct rig *rig_pc(uint64_t ram_bytes, const struct device_spec *spec, unsigned n)
{
	struct rig *r = rig_config(ram_bytes);

	if (rig_build(r, spec, n) < 0)
		fail_msg("board_build: %s", r->err.msg);
	machine_reset(r->m);
	return r;
}

static inline void rig_free(struct rig *r)
{
	machine_free(r->m);
	free(r->cfg.ram);
	free(r);
}

/* The map's entry for an address; NULL: MMIO. */
static inline const struct memmap_entry *rig_map(const struct rig *r, uint32_t gpa)
{
	for (uint32_t i = 0; i < r->map.n_entries; i++) {
		const struct memmap_entry *e = &r->map.entry[i];

		if (gpa >> 12 >= e->gpa_page && gpa >> 12 < e->gpa_page + e->npages)
			return e;
	}
	return NULL;
}

#endif
