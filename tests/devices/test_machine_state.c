/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of the machine: one that is saved as bytes and loaded into another, made by the same
 * configuration, answers every access as the first does, and the digests of both stay the same.
 */
#include <errno.h>
#include "test_machine_rig.h"

#include "machine_state.h"

#define RAM  (4u << 20)
#define VRAM ((1u << 20) + (1u << 20))
#define OPS  600

static const struct prop_value vga_props[] = { { "vgamem_mb", "1" } };
static const struct device_spec specs[] = {
	{ .driver = "isa-serial", .stream = 0 },
	{ .driver = "isa-debugcon", .stream = 1 },
	{ .driver = "VGA", .stream = -1, .props = vga_props, .n_props = 1 },
};

static struct rig *pc(void)
{
	struct rig *r = rig_config(RAM + VRAM);

	r->cfg.ram_bytes = RAM;
	r->cfg.vram_bytes = VRAM;
	if (rig_build(r, specs, 3) < 0)
		fail_msg("board_build: %s", r->err.msg);
	machine_reset(r->m);
	return r;
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* One access, timer or input; its outcome. */
static uint64_t poke(struct rig *r, uint32_t *seed, uint64_t icount)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x43, 0x61, 0x60, 0x64,
		0x70, 0x71, 0x92, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3c0, 0x3c4, 0x3c5,
		0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3c8, 0x3c9, 0x1ce, 0x1d0, 0xcf8, 0xcfc, 0x510, 0x511,
		0xe9, 0x608, 0x4d0 };
	uint32_t what = next(seed), val = next(seed);
	uint16_t port = ports[next(seed) % (sizeof(ports) / sizeof(ports[0]))];
	struct bus_rep rep = { 0 };
	uint64_t v = 0;
	uint8_t c = (uint8_t)val;

	machine_begin(r->m, icount);
	switch (what % 9) {
	case 0:
	case 1:
	case 2: machine_out(r->m, port, 1, val & 0xff); break;
	case 3: machine_out(r->m, port, port == 0xcf8 ? 4 : 2, val); break;
	case 4: v = machine_in(r->m, port, 1); break;
	case 5: machine_run_timers(r->m); break;
	case 6: machine_mmio_write(r->m, 0xa0000 + val % 0x20000, 1, what >> 4); break;
	case 7: v = machine_mmio_read(r->m, 0xfec00010, 4); break;
	case 8: {
		struct seq_rep ev = { .arg = SEQ_EV_CHAR, .dev = 0, .hdr.data_len = 1 };

		if (r->m->stream_credit[0])
			machine_event(r->m, &ev, &c, NULL);
		break;
	}
	}
	if (!(what & 0x700))
		v ^= machine_intack(r->m);
	machine_end(r->m, &rep);
	return v << 8 | (rep.flags & (BUS_F_INTR | BUS_F_A20 | BUS_F_RESET));
}

static void digest_of(struct rig *r, uint8_t *buf, size_t *len)
{
	struct digest_writer w = { .buf = buf, .cap = 8192 };

	machine_digest(r->m, &w);
	assert_false(w.overflow);
	*len = w.len;
}

static uint8_t *save(struct rig *r, size_t *ret_len)
{
	Dejavm__DevicesState *m = malloc(sizeof(*m));
	uint8_t *buf;

	dejavm__devices_state__init(m);
	assert_int_equal(machine_save(r->m, m), 0);
	*ret_len = dejavm__devices_state__get_packed_size(m);
	buf = malloc(*ret_len);
	dejavm__devices_state__pack(m, buf);
	dejavm__devices_state__free_unpacked(m, NULL);
	return buf;
}

static void check_same(struct rig *a, struct rig *b)
{
	uint8_t da[8192], db[8192];
	size_t la, lb;

	digest_of(a, da, &la);
	digest_of(b, db, &lb);
	assert_int_equal(la, lb);
	assert_memory_equal(da, db, la);
	assert_int_equal(a->map.n_entries, b->map.n_entries);
	assert_memory_equal(a->map.entry, b->map.entry, a->map.n_entries * sizeof(a->map.entry[0]));
	assert_int_equal(machine_deadline_ns(a->m), machine_deadline_ns(b->m));
	assert_memory_equal(a->m->stream_credit, b->m->stream_credit, sizeof(a->m->stream_credit));
}

static void clone_check(uint32_t seed)
{
	struct rig *a = pc(), *b = pc();
	uint64_t icount = 0;
	uint32_t other = seed + 7;
	Dejavm__DevicesState *m;
	uint8_t *buf;
	size_t len;

	for (int i = 0; i < OPS; i++)
		poke(a, &seed, icount += 1 + next(&seed) % 2000);
	/* b has lived, too. */
	for (int i = 0; i < OPS / 2; i++)
		poke(b, &other, (uint64_t)i * 50);
	buf = save(a, &len);
	m = dejavm__devices_state__unpack(NULL, len, buf);
	assert_non_null(m);
	memcpy(b->cfg.ram, a->cfg.ram, RAM + VRAM);
	if (machine_load(b->m, m, &b->err) < 0)
		fail_msg("%s", b->err.msg);
	dejavm__devices_state__free_unpacked(m, NULL);
	free(buf);
	check_same(a, b);
	for (int i = 0; i < OPS; i++) {
		uint32_t sb = seed;
		uint64_t va, vb;

		icount += 1 + next(&seed) % 3000;
		sb = seed;
		va = poke(a, &seed, icount);
		vb = poke(b, &sb, icount);
		if (va != vb)
			fail_msg("operation %d: 0x%llx and 0x%llx", i, (unsigned long long)va,
				(unsigned long long)vb);
		if (i % 50 == 0)
			check_same(a, b);
	}
	check_same(a, b);
	assert_memory_equal(a->cfg.ram, b->cfg.ram, RAM + VRAM);
	rig_free(a);
	rig_free(b);
}

static void test_clone(void **state)
{
	for (uint32_t seed = 1; seed <= 40; seed++)
		clone_check(seed * 7919);
	(void)state;
}

/* ---- refused ---- */

static void harm(Dejavm__DevicesState *m, int how)
{
	Dejavm__StateGroup *board = m->devices[0], *last = m->devices[m->n_devices - 1];

	switch (how) {
	case 0: m->version++; break;
	case 1: m->ram_bytes *= 2; break;
	case 2: m->n_devices--; break;
	case 3: board->id[0] = 'x'; break;
	case 4: board->version = 0; break;
	case 5: board->fields[0]->name[0]++; break;
	case 6: last->fields[0]->data.len--; break;
	case 7: last->n_fields--; break;
	case 8:
		for (size_t i = 0; i < board->n_fields; i++)
			if (!strcmp(board->fields[i]->name, "n_apic"))
				board->fields[i]->data.data[0] = 65;
		break;
	case 9: m->streams[0]->credit = UINT64_MAX; break;
	}
}

static void test_refused(void **state)
{
	static const char *const words[] = { "version", "bytes of RAM", "devices:", "board",
		"version 0", "missing", "bytes in elements", "missing", "'n_apic' is 65",
		"credit" };
	struct rig *a = pc();
	uint8_t before[8192], after[8192];
	size_t len, la, lb;
	uint8_t *buf = save(a, &len);

	digest_of(a, before, &la);
	for (int how = 0; how < 10; how++) {
		Dejavm__DevicesState *m = dejavm__devices_state__unpack(NULL, len, buf);
		Dejavm__DevicesState keep = *m;
		Dejavm__StateGroup *last = m->devices[m->n_devices - 1];
		size_t n = last->n_fields;
		struct error err = ERROR_INIT;

		harm(m, how);
		assert_int_equal(machine_load(a->m, m, &err), -EINVAL);
		if (!strstr(err.msg, words[how]))
			fail_msg("'%s' does not say '%s'", err.msg, words[how]);
		m->n_devices = keep.n_devices;
		last->n_fields = n;
		dejavm__devices_state__free_unpacked(m, NULL);
	}
	digest_of(a, after, &lb);
	assert_int_equal(la, lb);
	assert_memory_equal(before, after, la);
	free(buf);
	rig_free(a);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
