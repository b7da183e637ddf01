/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine without chips and with: timers, port splitting, memory map, DMA, lines, properties,
 * requests, digests. */
#include "test_machine_rig.h"
#include <errno.h>
#include <stdio.h>

/* ---- timers ---- */

struct ticker {
	struct device dev;
	struct timer t;
	int tag;
	uint64_t fired_at;
	uint64_t again_ns;
	unsigned n;
};

static char order[32];

static void tick(struct device *dev)
{
	struct ticker *k = (struct ticker *)dev;
	size_t n = strlen(order);

	order[n] = (char)k->tag;
	k->fired_at = vclock_ns(dev);
	k->n++;
	if (k->again_ns)
		timer_arm(&k->t, k->fired_at + k->again_ns);
}

static void ticker_init(struct ticker *k, struct rig *r, int tag)
{
	memset(k, 0, sizeof(*k));
	k->dev.machine = r->m;
	k->dev.id = "ticker";
	k->tag = tag;
	timer_init(&k->dev, &k->t, tick);
}

static void test_timer_order(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct ticker a, b, c;

	rig_bare(r);
	ticker_init(&a, r, 'a');
	ticker_init(&b, r, 'b');
	ticker_init(&c, r, 'c');
	memset(order, 0, sizeof(order));
	assert_true(machine_deadline_ns(r->m) == TIMER_NEVER);
	timer_arm(&c.t, 800);
	timer_arm(&b.t, 800); /* a tie: in order of creation, not of arming */
	timer_arm(&a.t, 801);
	assert_int_equal(machine_deadline_ns(r->m), 800);
	machine_begin(r->m, 99); /* 792 ns */
	machine_run_timers(r->m);
	assert_string_equal(order, "");
	machine_begin(r->m, 100);
	machine_run_timers(r->m);
	assert_string_equal(order, "bc");
	assert_int_equal(machine_deadline_ns(r->m), 801);
	machine_begin(r->m, 101);
	machine_run_timers(r->m);
	assert_string_equal(order, "bca");
	assert_true(machine_deadline_ns(r->m) == TIMER_NEVER);
	rig_free(r);
}

static void test_timer_late(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct ticker a, b;

	rig_bare(r);
	ticker_init(&a, r, 'a');
	ticker_init(&b, r, 'b');
	memset(order, 0, sizeof(order));
	/* Both overdue: the earlier deadline first, and one that is armed for the past by the other
	 * runs too. */
	timer_arm(&a.t, 30);
	timer_arm(&b.t, 20);
	machine_begin(r->m, 1000);
	machine_run_timers(r->m);
	assert_string_equal(order, "ba");
	assert_int_equal(a.fired_at, 8000);
	timer_arm(&a.t, 9000);
	timer_arm(&b.t, 9500);
	timer_cancel(&a.t);
	assert_int_equal(machine_deadline_ns(r->m), 9500);
	timer_arm(&b.t, 20000); /* moved away */
	assert_int_equal(machine_deadline_ns(r->m), 20000);
	rig_free(r);
}

static void test_icount_at(void **state)
{
	struct rig *r = rig_config(1 << 20);

	rig_bare(r);
	assert_true(machine_icount_at(r->m, TIMER_NEVER) == BUS_NEVER);
	assert_int_equal(machine_icount_at(r->m, 0), 0);
	assert_int_equal(machine_icount_at(r->m, 1), 1);
	assert_int_equal(machine_icount_at(r->m, 8), 1);
	assert_int_equal(machine_icount_at(r->m, 9), 2);
	r->m->warp_ns = 5;
	assert_int_equal(machine_icount_at(r->m, 5), 0);
	assert_int_equal(machine_icount_at(r->m, 6), 1);
	assert_int_equal(machine_icount_at(r->m, 13), 1);
	assert_int_equal(machine_icount_at(r->m, 14), 2);
	rig_free(r);
}

/* ---- ports ---- */

struct probe {
	struct device dev;
	char log[256];
};

static uint64_t probe_read(struct device *dev, uint64_t addr, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (0x10 + addr + i) << 8 * i;
	return v | UINT64_C(0xff) << 56; /* junk above the size must not show */
}

static void probe_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct probe *p = (struct probe *)dev;
	size_t n = strlen(p->log);

	snprintf(p->log + n, sizeof(p->log) - n, "%u@%x=%llx ", size, (unsigned)addr,
		(unsigned long long)val);
}

static const struct io_ops bytes_ops = { probe_read, probe_write, .max_size = 1, .min_size = 0 };
static const struct io_ops words_ops = { probe_read, probe_write, .max_size = 2, .min_size = 0 };
static const struct io_ops dwords_ops = { probe_read, probe_write, .max_size = 4, .min_size = 0 };
static const struct io_ops only_dwords_ops = { probe_read, probe_write, .max_size = 4,
	.min_size = 4 };
static const struct io_ops qwords_ops = { probe_read, probe_write, .max_size = 8, .min_size = 0 };

static void probe_init(struct probe *p, struct rig *r, const char *id)
{
	memset(p, 0, sizeof(*p));
	p->dev.machine = r->m;
	p->dev.id = id;
}

static void test_io_split(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct probe a, b;

	rig_bare(r);
	probe_init(&a, r, "a");
	probe_init(&b, r, "b");
	assert_int_equal(io_map(&a.dev, 0x100, 4, &bytes_ops, &r->err), 0);
	assert_int_equal(io_map(&b.dev, 0x104, 6, &words_ops, &r->err), 0);
	assert_int_equal(machine_in(r->m, 0x100, 1), 0x10);
	assert_int_equal(machine_in(r->m, 0x100, 4), 0x13121110);
	assert_int_equal(machine_in(r->m, 0x102, 4), 0x11101312); /* two devices */
	assert_int_equal(machine_in(r->m, 0x108, 4), 0xffff1514); /* the end */
	assert_int_equal(machine_in(r->m, 0x200, 2), 0xffff);
	machine_out(r->m, 0x102, 4, 0xddccbbaa);
	assert_string_equal(a.log, "1@2=aa 1@3=bb ");
	assert_string_equal(b.log, "2@0=ddcc ");
	/* Beyond the last port there is nothing; it does not wrap. */
	assert_int_equal(machine_in(r->m, 0xffff, 4), 0xffffffff);
	machine_out(r->m, 0xfffe, 4, 0);
	rig_free(r);
}

static void test_io_min_size(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct probe a, b;

	rig_bare(r);
	probe_init(&a, r, "a");
	probe_init(&b, r, "b");
	assert_int_equal(io_map(&a.dev, 0xcf8, 4, &only_dwords_ops, &r->err), 0);
	assert_int_equal(io_map(&b.dev, 0xcf9, 1, &bytes_ops, &r->err), 0);
	machine_out(r->m, 0xcf8, 4, 0x80000000);
	machine_out(r->m, 0xcf9, 1, 6);
	machine_out(r->m, 0xcf8, 1, 1);
	machine_out(r->m, 0xcf8, 2, 0x0400); /* its high byte is CF9's */
	assert_string_equal(a.log, "4@0=80000000 ");
	assert_string_equal(b.log, "1@0=6 1@0=4 ");
	rig_free(r);
}

static bool rig_posted(const struct rig *r, unsigned port)
{
	for (uint32_t i = 0; i < r->map.n_posted; i++)
		if (r->map.posted_port[i] == port)
			return true;
	return false;
}

/* The vCPU is told which byte writes it need not send, and when that changes. */
static void test_io_posted(void **state)
{
	static const struct io_ops posted_ops = { .max_size = 1, .posted = true };
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct bus_rep rep = { 0 };
	struct probe a;

	machine_end(r->m, &rep);
	assert_int_equal(r->map.n_posted, 1);
	assert_true(rig_posted(r, 0x80));
	assert_int_equal(machine_in(r->m, 0x80, 1), 0xff);
	probe_init(&a, r, "a");
	assert_int_equal(io_map(&a.dev, 0x1000, 2, &posted_ops, &r->err), 0);
	assert_int_equal(r->map.n_posted, 3);
	assert_true(rig_posted(r, 0x80) && rig_posted(r, 0x1000) && rig_posted(r, 0x1001));
	rep.flags = 0;
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_MAP);
	/* What has no room in the list is an ordinary port. */
	assert_int_equal(io_map(&a.dev, 0x2000, 100, &posted_ops, &r->err), 0);
	assert_int_equal(r->map.n_posted, POSTED_MAX);
	io_unmap(&a.dev, 0x2000, 100);
	io_unmap(&a.dev, 0x1000, 2);
	assert_int_equal(r->map.n_posted, 1);
	assert_false(rig_posted(r, 0x1000));
	rep.flags = 0;
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_MAP);
	rig_free(r);
}

static void test_io_map_errors(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct probe a, b;

	rig_bare(r);
	probe_init(&a, r, "first");
	probe_init(&b, r, "second");
	assert_int_equal(io_map(&a.dev, 0x100, 8, &bytes_ops, &r->err), 0);
	assert_int_equal(io_map(&b.dev, 0x107, 8, &bytes_ops, &r->err), -EBUSY);
	assert_non_null(strstr(r->err.msg, "first"));
	assert_non_null(strstr(r->err.msg, "0x107-0x10e"));
	assert_int_equal(io_map(&b.dev, 0xffff, 2, &bytes_ops, &r->err), -EINVAL);
	assert_int_equal(io_map(&b.dev, 0x1000, 0, &bytes_ops, &r->err), -EINVAL);
	io_unmap(&b.dev, 0x100, 8); /* not its own: nothing happens */
	assert_int_equal(machine_in(r->m, 0x107, 1), 0x17);
	io_unmap(&a.dev, 0x100, 8);
	assert_int_equal(machine_in(r->m, 0x107, 1), 0xff);
	assert_int_equal(io_map(&b.dev, 0x107, 8, &bytes_ops, &r->err), 0);
	for (unsigned i = 0; i < MACHINE_IO_RANGES; i++)
		if (io_map(&b.dev, 0x2000 + i, 1, &bytes_ops, &r->err) < 0)
			break;
	assert_int_equal(r->err.code, ENOSPC);
	rig_free(r);
}

static void test_ins_outs(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct probe a;
	uint8_t buf[8];

	rig_bare(r);
	probe_init(&a, r, "a");
	assert_int_equal(io_map(&a.dev, 0x100, 4, &dwords_ops, &r->err), 0);
	machine_ins(r->m, 0x100, 4, 2, buf);
	assert_memory_equal(buf, "\x10\x11\x12\x13\x10\x11\x12\x13", 8);
	machine_outs(r->m, 0x102, 2, 2, (const uint8_t *)"\x01\x02\x03\x04");
	assert_string_equal(a.log, "2@2=201 2@2=403 ");
	rig_free(r);
}

static void test_mmio(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct probe a;

	rig_bare(r);
	probe_init(&a, r, "a");
	assert_int_equal(mmio_map(&a.dev, 0xfec00000, 0x1000, &dwords_ops, &r->err), 0);
	assert_int_equal(mmio_map(&a.dev, 0xfec00fff, 1, &dwords_ops, &r->err), -EBUSY);
	assert_int_equal(mmio_map(&a.dev, 0xfffff000, 0x2000, &dwords_ops, &r->err), -EINVAL);
	assert_true(machine_mmio_read(r->m, 0xfec00010, 8) == UINT64_C(0x2726252423222120));
	assert_true(machine_mmio_read(r->m, 0xfed00000, 8) == UINT64_MAX);
	machine_mmio_write(r->m, 0xfec00ffe, 4, 0x44332211); /* half is outside */
	assert_string_equal(a.log, "2@ffe=2211 ");
	machine_mmio_write(r->m, UINT64_MAX - 3, 8, 0);
	mmio_unmap(&a.dev, 0xfec00000, 0x1000);
	assert_int_equal(machine_mmio_read(r->m, 0xfec00010, 1), 0xff);
	assert_int_equal(mmio_map(&a.dev, 0xe0000000, 16, &qwords_ops, &r->err), 0);
	a.log[0] = 0;
	machine_mmio_write(r->m, 0xe0000008, 8, UINT64_C(0x1122334455667788));
	assert_string_equal(a.log, "8@8=1122334455667788 ");
	rig_free(r);
}

/* ---- memory ---- */

static void test_memmap(void **state)
{
	struct rig *r = rig_pc(UINT64_C(64) << 20, NULL, 0);
	const struct memmap_entry *e, *last;
	struct device *d = &r->m->board->dev;

	e = rig_map(r, 0);
	assert_int_equal(e->read_kind, MEM_RAM);
	assert_int_equal(e->npages, 0xa0);
	assert_int_equal(rig_map(r, 0xa0000)->read_kind, MEM_NONE);
	/* The last 128 KiB of a 256 KiB image at 1 MiB, all of it at 4 GiB. */
	e = rig_map(r, 0xe0000);
	assert_int_equal(e->read_kind, MEM_ROM);
	assert_int_equal(e->write_kind, MEM_NONE);
	assert_int_equal(e->gpa_page, 0xe0);
	assert_int_equal(e->read_off_page, 0x20);
	assert_int_equal(rig_map(r, 0xd0000)->read_kind, MEM_NONE);
	e = rig_map(r, 0xfffff000);
	assert_int_equal(e->read_kind, MEM_ROM);
	assert_int_equal(e->gpa_page, 0xfffc0);
	assert_int_equal(e->npages, 0x40);
	assert_null(rig_map(r, 64u << 20));
	assert_null(rig_map(r, 0xfec00000));
	e = rig_map(r, (64u << 20) - 1);
	assert_int_equal(e->gpa_page, 0x100);
	/* Sorted, without overlap. */
	last = NULL;
	for (uint32_t i = 0; i < r->map.n_entries; i++) {
		e = &r->map.entry[i];
		assert_true(e->npages > 0);
		if (last)
			assert_true(last->gpa_page + last->npages <= e->gpa_page);
		last = e;
	}
	machine_shadow(d, 0xf0000, 0x10000, MEM_ROM, MEM_RAM);
	e = rig_map(r, 0xf0000);
	assert_int_equal(e->read_kind, MEM_ROM);
	assert_int_equal(e->read_off_page, 0x30);
	assert_int_equal(e->write_kind, MEM_RAM);
	assert_int_equal(e->write_off_page, 0xf0);
	rig_free(r);
}

static void test_memmap_mmio_in_hole(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct probe a;
	struct bus_rep rep = { 0 };

	machine_end(r->m, &rep);
	probe_init(&a, r, "vga");
	assert_int_equal(mmio_map(&a.dev, 0xb8000, 0x8000, &dwords_ops, &r->err), 0);
	assert_null(rig_map(r, 0xb8000));
	assert_int_equal(rig_map(r, 0xb7fff)->read_kind, MEM_NONE);
	rep.flags = 0;
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_MAP);
	/* SMRAM, when open, hides the adapter. */
	machine_shadow(&r->m->board->dev, 0xa0000, 0x20000, MEM_RAM, MEM_RAM);
	assert_int_equal(rig_map(r, 0xb8000)->read_kind, MEM_RAM);
	rig_free(r);
}

static void test_dma(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct device *d = &r->m->board->dev;
	struct bus_rep rep = { 0 };
	uint8_t buf[8192];

	machine_begin(r->m, 1);
	machine_end(r->m, &rep);
	machine_begin(r->m, 2);
	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(dma_write(d, 0x1ff0, buf, 32), 0);
	assert_int_equal(r->cfg.ram[0x200f], 0x5a);
	assert_int_equal(r->map.n_dma, 2);
	assert_int_equal(r->map.dma_page[1], 2);
	assert_int_equal(dma_write(d, 0x2100, buf, 1), 0);
	assert_int_equal(r->map.n_dma, 2); /* a page once */
	memset(&rep, 0, sizeof(rep));
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_DMA);
	machine_begin(r->m, 3);
	assert_int_equal(r->map.n_dma, 0);
	/* Not RAM: nothing is copied, not even the part that is. */
	memset(buf, 0xa5, sizeof(buf));
	assert_int_equal(dma_write(d, 0x9f000, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(r->cfg.ram[0x9f000], 0);
	assert_int_equal(dma_write(d, 0xf0000, buf, 1), -EFAULT);
	assert_int_equal(dma_write(d, (2 << 20) - 1, buf, 2), -EFAULT);
	assert_int_equal(dma_read(d, UINT64_MAX, buf, 2), -EFAULT);
	assert_int_equal(dma_read(d, UINT64_C(1) << 32, buf, 1), -EFAULT);
	assert_int_equal(dma_read(d, 0xfffff000, buf, 4096), 0); /* ROM can be read */
	assert_int_equal(dma_read(d, 0xfffff000, buf, 4097), -EFAULT);
	assert_int_equal(dma_read(d, UINT64_MAX, buf, 0), 0);
	assert_int_equal(r->map.n_dma, 0);
	rig_free(r);
}

static void test_dma_overflow(void **state)
{
	struct rig *r = rig_pc(UINT64_C(8) << 20, NULL, 0);
	struct device *d = &r->m->board->dev;
	struct bus_rep rep = { 0 };
	uint8_t b = 1;

	for (unsigned i = 0; i < DMA_LIST_MAX; i++)
		assert_int_equal(dma_write(d, 0x100000 + i * 4096, &b, 1), 0);
	assert_int_equal(r->map.dma_overflow, 0);
	assert_int_equal(dma_write(d, 0x100000 + DMA_LIST_MAX * 4096, &b, 1), 0);
	assert_int_equal(r->map.dma_overflow, 1);
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_DMA);
	machine_begin(r->m, 1);
	assert_int_equal(r->map.dma_overflow, 0);
	rig_free(r);
}

static void test_ram_limits(void **state)
{
	struct rig *r = rig_config(1 << 20);
	struct machine_host host = { 0 };

	r->cfg.ram_bytes = (1 << 20) - 4096;
	assert_null(machine_new(&r->cfg, &host, &r->err));
	assert_non_null(strstr(r->err.msg, "1 MiB to 3072 MiB"));
	r->cfg.ram_bytes = (UINT64_C(3) << 30) + 4096;
	assert_null(machine_new(&r->cfg, &host, &r->err));
	r->cfg.ram_bytes = (1 << 20) + 1;
	assert_null(machine_new(&r->cfg, &host, &r->err));
	r->cfg.ram_bytes = 1 << 20;
	rig_bare(r);
	rig_free(r);
}

/* ---- lines ---- */

static void test_isa_or(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct line a = board_isa_line(r->m, 5), b = board_isa_line(r->m, 5);
	struct bus_rep rep = { 0 };

	/* Program the 8259s: level is seen, edge mode; unmask IRQ 5. */
	machine_out(r->m, 0x20, 1, 0x11);
	machine_out(r->m, 0x21, 1, 0x20);
	machine_out(r->m, 0x21, 1, 4);
	machine_out(r->m, 0x21, 1, 1);
	machine_out(r->m, 0x21, 1, 0xdf);
	line_set(&a, 1);
	assert_true(machine_wakes(r->m, false));
	assert_false(machine_wakes(r->m, true));
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_INTR);
	assert_int_equal(machine_intack(r->m), 0x25);
	machine_out(r->m, 0x20, 1, 0x20);
	/* A second source while the line is high makes no new edge; nor does the first one's
	 * leaving. */
	line_set(&b, 1);
	line_set(&a, 0);
	memset(&rep, 0, sizeof(rep));
	machine_end(r->m, &rep);
	assert_false(rep.flags & BUS_F_INTR);
	line_set(&b, 0);
	line_set(&b, 1);
	memset(&rep, 0, sizeof(rep));
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_INTR);
	rig_free(r);
}

/* ---- properties and devices ---- */

static void build_fails(const struct device_spec *spec, const char *word, const char *word2)
{
	struct rig *r = rig_config(2 << 20);

	assert_true(rig_build(r, spec, 1) < 0);
	if (!strstr(r->err.msg, word) || !strstr(r->err.msg, word2))
		fail_msg("'%s' lacks '%s' or '%s'", r->err.msg, word, word2);
	rig_free(r);
}

static void test_properties(void **state)
{
	struct prop_value unknown = { "colour", "1" }, word = { "iobase", "far" },
			  neg = { "irq", "-1" }, big = { "iobase", "0x100000000" },
			  irq = { "irq", "2" };
	struct device_spec s = {
		.driver = "isa-serial", .props = &unknown, .n_props = 1, .stream = -1
	};

	build_fails(&s, "colour", "iobase");
	s.props = &word;
	build_fails(&s, "iobase=far", "number");
	s.props = &neg;
	build_fails(&s, "irq=-1", "number");
	s.props = &big;
	build_fails(&s, "iobase", "4294967295");
	s.props = &irq;
	build_fails(&s, "irq", "not 2");
	s = (struct device_spec){ .driver = "rtl8139", .stream = -1 };
	build_fails(&s, "rtl8139", "isa-serial");
	s = (struct device_spec){ .driver = "i8259", .stream = -1 };
	build_fails(&s, "i8259", "can be added");
	s = (struct device_spec){ .driver = "isa-serial", .id = "i8254", .stream = -1 };
	build_fails(&s, "i8254", "twice");
	s = (struct device_spec){ .driver = "isa-serial", .stream = 7 };
	build_fails(&s, "stream 7", "2");
}

static void test_serial_indices(void **state)
{
	struct prop_value third = { "index", "2" };
	struct device_spec s[3] = { { .driver = "isa-serial", .stream = 0 },
		{ .driver = "isa-serial", .props = &third, .n_props = 1, .stream = 1 },
		{ .driver = "isa-serial", .stream = -1 } };
	struct rig *r = rig_pc(2 << 20, s, 3);

	assert_int_equal(device_prop(machine_find(r->m, "serial0"), "iobase", 0), 0x3f8);
	/* Scratch registers tell who is there. */
	machine_out(r->m, 0x3ff, 1, 0x11);
	machine_out(r->m, 0x3ef, 1, 0x22);
	machine_out(r->m, 0x2ef, 1, 0x33);
	assert_int_equal(machine_in(r->m, 0x3ff, 1), 0x11);
	assert_int_equal(machine_in(r->m, 0x3ef, 1), 0x22);
	assert_int_equal(machine_in(r->m, 0x2ef, 1), 0x33);
	assert_int_equal(machine_in(r->m, 0x2ff, 1), 0xff);
	machine_out(r->m, 0x3f8, 1, 'x');
	assert_int_equal(r->out_len, 1);
	assert_int_equal(r->m->stream_bytes[0], 1);
	rig_free(r);
}

/* More devices than there is room for are refused in words, whatever runs out first. */
static void test_many_devices(void **state)
{
	static struct device_spec s[250];
	static struct prop_value props[250][1];
	static char base[250][16];
	struct rig *r = rig_config(2 << 20);

	for (unsigned i = 0; i < 250; i++) {
		snprintf(base[i], sizeof(base[i]), "0x%x", 0x4000 + 8 * i);
		props[i][0] = (struct prop_value){ "iobase", base[i] };
		s[i] = (struct device_spec){
			.driver = "isa-debugcon", .props = props[i], .n_props = 1, .stream = -1
		};
	}
	assert_true(rig_build(r, s, 250) < 0);
	assert_int_equal(r->err.code, ENOSPC);
	rig_free(r);
	r = rig_config(2 << 20);
	rig_bare(r);
	r->m->isa_n_sources[5] = ISA_SOURCES_MAX - 1; /* PIIX3 takes the last */
	props[0][0] = (struct prop_value){ "irq", "5" };
	s[0] = (struct device_spec){
		.driver = "isa-serial", .props = props[0], .n_props = 1, .stream = -1
	};
	assert_true(board_build(r->m, s, 1, &r->err) < 0);
	assert_non_null(strstr(r->err.msg, "shared by 64"));
	rig_free(r);
}

/* ---- requests, events ---- */

static void test_reset_request(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct bus_rep rep = { 0 };

	r->cfg.ram[0x5000] = 7;
	machine_begin(r->m, 5);
	machine_out(r->m, 0xcf9, 1, 2);
	machine_end(r->m, &rep);
	assert_false(rep.flags & BUS_F_RESET);
	machine_out(r->m, 0xcf9, 1, 6);
	assert_true(machine_wakes(r->m, true));
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_RESET);
	assert_int_equal(r->cfg.ram[0x5000], 7);
	assert_false(machine_wakes(r->m, true));
	machine_triple_fault(r->m);
	memset(&rep, 0, sizeof(rep));
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_RESET);
	rig_free(r);
}

static void test_no_reboot(void **state)
{
	struct rig *r = rig_config(2 << 20);
	struct bus_rep rep = { 0 };
	struct seq_rep ev = { .arg = SEQ_EV_RESET };

	r->cfg.no_reboot = true;
	assert_int_equal(rig_build(r, NULL, 0), 0);
	machine_reset(r->m);
	machine_triple_fault(r->m);
	machine_end(r->m, &rep);
	assert_false(rep.flags & BUS_F_RESET);
	assert_int_equal(r->m->board->shutdown, SHUTDOWN_GUEST_RESET + 1);
	r->m->board->shutdown = 0;
	assert_int_equal(machine_event(r->m, &ev, NULL, &r->err), 0);
	machine_end(r->m, &rep);
	assert_int_equal(r->m->board->shutdown, SHUTDOWN_HOST_QMP + 1);
	rig_free(r);
}

static void test_events(void **state)
{
	struct device_spec s = { .driver = "isa-serial", .stream = 0 };
	struct rig *r = rig_pc(2 << 20, &s, 1);
	struct seq_rep ev = { .arg = SEQ_EV_CHAR, .dev = 0, .hdr.data_len = 1 };
	struct bus_rep rep = { 0 };

	assert_true(r->credit[0] > 0);
	machine_out(r->m, 0x3fb, 1, 3); /* eight bits */
	assert_int_equal(machine_event(r->m, &ev, (const uint8_t *)"q", &r->err), 0);
	machine_begin(r->m, 1000000); /* 8 ms: more than a character at any speed above 1200 */
	machine_run_timers(r->m);
	assert_true(machine_in(r->m, 0x3fd, 1) & 1);
	assert_int_equal(machine_in(r->m, 0x3f8, 1), 'q');
	ev.dev = 1; /* nobody's */
	assert_int_equal(machine_event(r->m, &ev, (const uint8_t *)"q", &r->err), -EINVAL);
	assert_non_null(strstr(r->err.msg, "stream 1"));
	ev = (struct seq_rep){ .arg = SEQ_EVENT_COUNT };
	assert_int_equal(machine_event(r->m, &ev, NULL, &r->err), -EINVAL);
	ev = (struct seq_rep){ .arg = SEQ_EV_SHUTDOWN, .a = SHUTDOWN_COUNT };
	assert_int_equal(machine_event(r->m, &ev, NULL, &r->err), -EINVAL);
	ev = (struct seq_rep){ .arg = SEQ_EV_NMI };
	assert_int_equal(machine_event(r->m, &ev, NULL, &r->err), 0);
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_NMI);
	ev = (struct seq_rep){ .arg = SEQ_EV_SHUTDOWN, .a = SHUTDOWN_HOST_SIGNAL };
	assert_int_equal(machine_event(r->m, &ev, NULL, &r->err), 0);
	assert_int_equal(r->m->board->shutdown, SHUTDOWN_HOST_SIGNAL + 1);
	rig_free(r);
}

static void test_apic_messages(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct device *d = &r->m->board->dev;
	struct bus_rep rep = { 0 };

	for (unsigned i = 0; i < 5; i++)
		machine_apic_message(d, (uint8_t)(0x30 + i), 0, 0, true, false);
	machine_apic_message(d, 0x30, 0, 0, true, false); /* again: nothing new */
	machine_end(r->m, &rep);
	assert_int_equal(rep.n_apic, 3);
	assert_int_equal(rep.apic[0].vector, 0x30);
	assert_int_equal(rep.apic[0].level_logical, 2);
	assert_true(rep.flags & BUS_F_MORE);
	memset(&rep, 0, sizeof(rep));
	machine_end(r->m, &rep);
	assert_int_equal(rep.n_apic, 2);
	assert_int_equal(rep.apic[1].vector, 0x34);
	assert_false(rep.flags & BUS_F_MORE);
	/* More than the queue holds is dropped, not written elsewhere. */
	for (unsigned i = 0; i < 300; i++)
		machine_apic_message(d, (uint8_t)i, (uint8_t)(i >> 8), 0, false, false);
	assert_int_equal(r->m->board->n_apic, MACHINE_APIC_QUEUE);
	rig_free(r);
}

static void test_rtc_base(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct device *d = &r->m->board->dev;

	assert_int_equal(machine_rtc_base_s(d), 1700000000);
	assert_int_equal(machine_rtc_base_s(d), 1700000000);
	assert_true(r->n_clock <= 1); /* one clock event in a life */
	machine_reset(r->m);
	machine_rtc_base_s(d);
	assert_int_equal(r->n_clock, 1);
	rig_free(r);
	r = rig_config(2 << 20);
	r->cfg.has_rtc_base = true;
	r->cfg.rtc_base_s = -5;
	assert_int_equal(rig_build(r, NULL, 0), 0);
	machine_reset(r->m);
	assert_int_equal(machine_rtc_base_s(&r->m->board->dev), -5);
	assert_int_equal(r->n_clock, 0);
	rig_free(r);
}

static void test_a20(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct device *d = &r->m->board->dev;
	struct bus_rep rep = { 0 };

	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_A20);
	machine_a20(d, 0, 0);
	machine_a20(d, 1, 0);
	rep.flags = 0;
	machine_end(r->m, &rep);
	assert_false(rep.flags & BUS_F_A20);
	machine_a20(d, 0, 1);
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_A20);
	rig_free(r);
}

/* ---- digests ---- */

static void test_digest_sees_every_field(void **state)
{
	struct device_spec s = { .driver = "isa-serial", .stream = 0 };
	struct rig *r = rig_pc(2 << 20, &s, 1);
	unsigned n = 0;

	for (struct device *d = r->m->devices; d; d = d->next) {
		uint64_t was = device_digest(d);

		for (const struct field *f = d->cls->fields; f && f->name; f++) {
			/* The first, the last and a middle byte of each field. */
			size_t len = (size_t)f->elem * f->count, at[3] = { 0, len / 2, len - 1 };

			for (int i = 0; i < 3; i++) {
				uint8_t *p = (uint8_t *)d + f->offset + at[i];

				*p ^= 0x40;
				if (device_digest(d) == was)
					fail_msg("%s: %s byte %zu is not in the digest", d->id,
						f->name, at[i]);
				*p ^= 0x40;
				n++;
			}
		}
		assert_true(device_digest(d) == was);
	}
	assert_true(n > 100);
	rig_free(r);
}

static void test_digest_items(void **state)
{
	struct device_spec s = { .driver = "isa-serial", .stream = 0 };
	struct rig *r = rig_pc(2 << 20, &s, 1);
	static uint8_t buf[32768];
	struct digest_writer w = { buf, 0, sizeof(buf), 0 };
	struct digest_item it;
	size_t pos = 0;
	unsigned serial = 0, output = 0;

	machine_out(r->m, 0x3f8, 1, 'x');
	machine_digest(r->m, &w);
	assert_false(w.overflow);
	while (digest_next(buf, w.len, &pos, &it) > 0) {
		serial += it.kind == DIGEST_DEVICE && strcmp(it.name, "serial0") == 0;
		if (it.kind == DIGEST_OUTPUT && strcmp(it.name, "serial0") == 0) {
			assert_int_equal(it.value, 1);
			output++;
		}
	}
	assert_int_equal(pos, w.len);
	assert_int_equal(serial, 1);
	assert_int_equal(output, 1);
	rig_free(r);
}

/* The same machine twice has the same digests: nothing of the heap or the host is in them. */
static void test_digest_repeats(void **state)
{
	static uint8_t buf[2][32768];
	size_t len[2];

	for (int i = 0; i < 2; i++) {
		struct rig *r = rig_pc(2 << 20, NULL, 0);
		struct digest_writer w = { buf[i], 0, sizeof(buf[i]), 0 };

		machine_begin(r->m, 123456);
		machine_run_timers(r->m);
		machine_digest(r->m, &w);
		len[i] = w.len;
		rig_free(r);
	}
	assert_int_equal(len[0], len[1]);
	assert_memory_equal(buf[0], buf[1], len[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_order),
		cmocka_unit_test(test_timer_late),
		cmocka_unit_test(test_icount_at),
		cmocka_unit_test(test_io_split),
		cmocka_unit_test(test_io_min_size),
		cmocka_unit_test(test_io_map_errors),
		cmocka_unit_test(test_io_posted),
		cmocka_unit_test(test_ins_outs),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_memmap),
		cmocka_unit_test(test_memmap_mmio_in_hole),
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_dma_overflow),
		cmocka_unit_test(test_ram_limits),
		cmocka_unit_test(test_isa_or),
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_serial_indices),
		cmocka_unit_test(test_many_devices),
		cmocka_unit_test(test_reset_request),
		cmocka_unit_test(test_no_reboot),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_apic_messages),
		cmocka_unit_test(test_rtc_base),
		cmocka_unit_test(test_a20),
		cmocka_unit_test(test_digest_sees_every_field),
		cmocka_unit_test(test_digest_items),
		cmocka_unit_test(test_digest_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
