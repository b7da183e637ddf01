/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration mechanism #1, host bridge (PAM, SMRAM), PIIX3 (steering, reset), BARs of a made-up
 * function. */
#include "test_machine_rig.h"
#include <errno.h>
#include "pci.h"

static uint32_t cfg_addr(unsigned devfn, unsigned off)
{
	return 0x80000000 | devfn << 8 | (off & 0xfc);
}

static uint32_t cfg_read(struct rig *r, unsigned devfn, unsigned off, unsigned size)
{
	machine_out(r->m, 0xcf8, 4, cfg_addr(devfn, off));
	return machine_in(r->m, (uint16_t)(0xcfc + (off & 3)), size);
}

static void cfg_write(struct rig *r, unsigned devfn, unsigned off, unsigned size, uint32_t v)
{
	machine_out(r->m, 0xcf8, 4, cfg_addr(devfn, off));
	machine_out(r->m, (uint16_t)(0xcfc + (off & 3)), size, v);
}

static void test_who_is_there(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);

	assert_int_equal(cfg_read(r, 0x00, 0, 4), 0x12378086);
	assert_int_equal(cfg_read(r, 0x08, 0, 4), 0x70008086);
	assert_int_equal(cfg_read(r, 0x0b, 0, 4), 0x71138086);
	assert_int_equal(cfg_read(r, 0x00, 0x0a, 2), 0x0600);
	assert_int_equal(cfg_read(r, 0x08, 0x0a, 2), 0x0601);
	assert_int_equal(cfg_read(r, 0x08, 0x0e, 1), 0x80);
	assert_int_equal(cfg_read(r, 0x09, 0, 4), 0x70108086);
	assert_int_equal(cfg_read(r, 0x0a, 0, 4), 0xffffffff);
	assert_int_equal(cfg_read(r, 0xf8, 0x3e, 2), 0xffff);
	/* Another bus, and with the enable bit off. */
	machine_out(r->m, 0xcf8, 4, 0x80010000);
	assert_int_equal(machine_in(r->m, 0xcfc, 4), 0xffffffff);
	machine_out(r->m, 0xcf8, 4, 0);
	assert_int_equal(machine_in(r->m, 0xcfc, 4), 0xffffffff);
	machine_out(r->m, 0xcfc, 4, 0);
	/* The address register reads back what it implements; bytes and words are not for it. */
	machine_out(r->m, 0xcf8, 4, 0xffffffff);
	assert_int_equal(machine_in(r->m, 0xcf8, 4), 0x80fffffc);
	machine_out(r->m, 0xcf8, 1, 0);
	machine_out(r->m, 0xcfa, 2, 0);
	assert_int_equal(machine_in(r->m, 0xcf8, 4), 0x80fffffc);
	/* An access that would leave the dword is split by the bus and stays in range. */
	machine_out(r->m, 0xcf8, 4, cfg_addr(0, 0xfc));
	assert_int_equal(machine_in(r->m, 0xcff, 4) >> 8, 0xffffff);
	rig_free(r);
}

static void test_identity_is_read_only(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);

	cfg_write(r, 0, 0, 4, 0);
	cfg_write(r, 8, 0x0a, 2, 0);
	assert_int_equal(cfg_read(r, 0, 0, 4), 0x12378086);
	assert_int_equal(cfg_read(r, 8, 0x0a, 2), 0x0601);
	rig_free(r);
}

static void shadow_is(struct rig *r, uint32_t gpa, int read, int write)
{
	const struct memmap_entry *e = rig_map(r, gpa);

	assert_non_null(e);
	assert_int_equal(e->read_kind, read);
	assert_int_equal(e->write_kind, write);
}

static void test_pam(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct device *d = &r->m->board->dev;
	uint8_t b = 0x77;

	r->rom[RIG_ROM_LEN - 0x10000] = 0x11; /* F0000 in ROM */
	shadow_is(r, 0xf0000, MEM_ROM, MEM_NONE);
	cfg_write(r, 0, 0x59, 1, 0x20); /* write RAM, read ROM */
	shadow_is(r, 0xf0000, MEM_ROM, MEM_RAM);
	shadow_is(r, 0xfffff, MEM_ROM, MEM_RAM);
	shadow_is(r, 0xeffff, MEM_ROM, MEM_NONE);
	assert_int_equal(dma_write(d, 0xf0000, &b, 1), 0);
	assert_int_equal(dma_read(d, 0xf0000, &b, 1), 0);
	assert_int_equal(b, 0x11);
	cfg_write(r, 0, 0x59, 1, 0x10); /* read RAM, write-protected */
	shadow_is(r, 0xf0000, MEM_RAM, MEM_NONE);
	assert_int_equal(dma_read(d, 0xf0000, &b, 1), 0);
	assert_int_equal(b, 0x77);
	assert_int_equal(dma_write(d, 0xf0000, &b, 1), -EFAULT);
	cfg_write(r, 0, 0x59, 1, 0x30);
	shadow_is(r, 0xf0000, MEM_RAM, MEM_RAM);
	/* PAM1 low nibble: C0000-C3FFF, high: C4000; PAM6 high: EC000. Nothing but RAM is there
	 * below E0000. */
	cfg_write(r, 0, 0x5a, 1, 0x03);
	shadow_is(r, 0xc3fff, MEM_RAM, MEM_RAM);
	shadow_is(r, 0xc4000, MEM_NONE, MEM_NONE);
	cfg_write(r, 0, 0x5a, 1, 0x10);
	shadow_is(r, 0xc0000, MEM_NONE, MEM_NONE);
	shadow_is(r, 0xc4000, MEM_RAM, MEM_NONE);
	cfg_write(r, 0, 0x5f, 1, 0x30);
	shadow_is(r, 0xec000, MEM_RAM, MEM_RAM);
	shadow_is(r, 0xe8000, MEM_ROM, MEM_NONE);
	machine_reset(r->m);
	shadow_is(r, 0xec000, MEM_ROM, MEM_NONE);
	shadow_is(r, 0xf0000, MEM_ROM, MEM_NONE);
	rig_free(r);
}

static void test_pam_map_fits(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);

	/* The worst the registers can do: every 16 KiB different from its neighbours. */
	for (unsigned i = 0; i < 7; i++)
		cfg_write(r, 0, 0x59 + i, 1, i & 1 ? 0x12 : 0x21);
	assert_true(r->map.n_entries <= MEMMAP_MAX_ENTRIES);
	cfg_write(r, 0, 0x72, 1, 0x48);
	assert_true(r->map.n_entries <= MEMMAP_MAX_ENTRIES);
	rig_free(r);
}

static void test_smram(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);

	assert_int_equal(cfg_read(r, 0, 0x72, 1), 0x02);
	shadow_is(r, 0xa0000, MEM_NONE, MEM_NONE);
	cfg_write(r, 0, 0x72, 1, 0x4a);
	shadow_is(r, 0xa0000, MEM_RAM, MEM_RAM);
	cfg_write(r, 0, 0x72, 1, 0x0a);
	shadow_is(r, 0xa0000, MEM_NONE, MEM_NONE);
	cfg_write(r, 0, 0x72, 1, 0x5a); /* locked: open is cleared and stays so */
	shadow_is(r, 0xa0000, MEM_NONE, MEM_NONE);
	cfg_write(r, 0, 0x72, 1, 0x4a);
	assert_int_equal(cfg_read(r, 0, 0x72, 1), 0x1a);
	machine_reset(r->m);
	assert_int_equal(cfg_read(r, 0, 0x72, 1), 0x02);
	cfg_write(r, 0, 0x72, 1, 0x4a);
	shadow_is(r, 0xa0000, MEM_RAM, MEM_RAM);
	rig_free(r);
}

/* ---- a function of our own ---- */

struct nic {
	struct device dev;
	struct pci_function fn;
	unsigned n_written, off, len;
};

static void nic_written(struct device *dev, unsigned off, unsigned len)
{
	struct nic *n = (struct nic *)dev;

	n->n_written++;
	n->off = off;
	n->len = len;
}

static uint64_t nic_read(struct device *dev, uint64_t addr, unsigned size)
{
	return 0x40 + addr;
}

static const struct io_ops nic_ops = { nic_read, NULL, .max_size = 4, .min_size = 0 };

static void nic_init(struct nic *n, struct rig *r, uint8_t devfn)
{
	memset(n, 0, sizeof(*n));
	n->dev.machine = r->m;
	n->dev.id = "nic";
	n->fn.config_written = nic_written;
	assert_int_equal(pci_register(&n->dev, &n->fn, devfn, &r->err), 0);
	pci_set_ids(&n->fn, 0x10ec, 0x8139, 0x0200, 0x20);
	assert_int_equal(pci_bar_register(&n->fn, 0, 0x100, true, &nic_ops, &r->err), 0);
	assert_int_equal(pci_bar_register(&n->fn, 1, 0x1000, false, &nic_ops, &r->err), 0);
}

static void test_bars(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct nic n, twin;

	nic_init(&n, r, 0x18);
	/* Sizing. */
	cfg_write(r, 0x18, 0x10, 4, 0xffffffff);
	cfg_write(r, 0x18, 0x14, 4, 0xffffffff);
	cfg_write(r, 0x18, 0x18, 4, 0xffffffff);
	assert_int_equal(cfg_read(r, 0x18, 0x10, 4), 0xffffff01);
	assert_int_equal(cfg_read(r, 0x18, 0x14, 4), 0xfffff000);
	assert_int_equal(cfg_read(r, 0x18, 0x18, 4), 0);
	/* Set, but not enabled. */
	cfg_write(r, 0x18, 0x10, 4, 0xc000);
	cfg_write(r, 0x18, 0x14, 4, 0xf0000000);
	assert_int_equal(machine_in(r->m, 0xc004, 1), 0xff);
	cfg_write(r, 0x18, 4, 2, PCI_COMMAND_IO);
	assert_int_equal(machine_in(r->m, 0xc004, 1), 0x44);
	assert_int_equal(machine_mmio_read(r->m, 0xf0000008, 1), 0xff);
	cfg_write(r, 0x18, 4, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_int_equal(machine_mmio_read(r->m, 0xf0000008, 1), 0x48);
	/* Moved. */
	cfg_write(r, 0x18, 0x10, 4, 0xd000);
	assert_int_equal(machine_in(r->m, 0xc004, 1), 0xff);
	assert_int_equal(machine_in(r->m, 0xd004, 1), 0x44);
	/* Over another one: it waits until the place is free. */
	nic_init(&twin, r, 0x20);
	cfg_write(r, 0x20, 0x10, 4, 0xd000);
	cfg_write(r, 0x20, 4, 2, PCI_COMMAND_IO);
	assert_int_equal(machine_in(r->m, 0xd004, 1), 0x44);
	cfg_write(r, 0x18, 4, 2, 0);
	assert_int_equal(machine_mmio_read(r->m, 0xf0000008, 1), 0xff);
	assert_int_equal(machine_in(r->m, 0xd004, 1), 0x44); /* the twin's */
	cfg_write(r, 0x20, 4, 2, 0);
	assert_int_equal(machine_in(r->m, 0xd004, 1), 0xff);
	/* At the very top, and at addresses beyond ports. */
	cfg_write(r, 0x18, 0x14, 4, 0xfffff000);
	cfg_write(r, 0x18, 0x10, 4, 0xffffff00);
	cfg_write(r, 0x18, 4, 2, 3);
	assert_int_equal(machine_mmio_read(r->m, 0xffffffff, 1), 0x3f);
	assert_int_equal(n.off, 4);
	assert_true(n.n_written >= 5);
	rig_free(r);
}

static void test_slot_taken(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct nic n = { .dev = { .machine = r->m, .id = "nic" } };

	assert_int_equal(pci_register(&n.dev, &n.fn, 0x08, &r->err), -EBUSY);
	assert_non_null(strstr(r->err.msg, "PIIX3"));
	rig_free(r);
}

/* ---- interrupts ---- */

static unsigned irr(struct rig *r)
{
	unsigned v;

	machine_out(r->m, 0x20, 1, 0x0a);
	machine_out(r->m, 0xa0, 1, 0x0a);
	v = machine_in(r->m, 0x20, 1);
	return v | machine_in(r->m, 0xa0, 1) << 8;
}

static void test_steering(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct nic a, b;

	nic_init(&a, r, 0x18);		   /* slot 3: INTA is PIRQC */
	nic_init(&b, r, 0x38);		   /* slot 7: the same */
	machine_out(r->m, 0x4d1, 1, 0x0c); /* 10 and 11 are level */
	assert_int_equal(cfg_read(r, 8, 0x62, 1), 0x80);
	pci_set_irq(&a.dev, &a.fn, 0, 1);
	assert_int_equal(irr(r) & 0xfffe, 0); /* steered nowhere */
	cfg_write(r, 8, 0x62, 1, 11);
	assert_int_equal(irr(r) & 0xfffe & ~4u, 1u << 11);
	pci_set_irq(&b.dev, &b.fn, 0, 1);
	pci_set_irq(&a.dev, &a.fn, 0, 0);
	assert_true(irr(r) & 1u << 11); /* shared */
	cfg_write(r, 8, 0x62, 1, 10);
	assert_int_equal(irr(r) & 0xc00, 1u << 10);
	pci_set_irq(&b.dev, &b.fn, 0, 0);
	assert_int_equal(irr(r) & 0xc00, 0);
	/* INTB of slot 1 is PIRQB; IRQ 8 cannot be steered to. */
	cfg_write(r, 8, 0x61, 1, 8);
	pci_set_irq(&b.dev, &b.fn, 3, 1); /* slot 7 INTD: PIRQB */
	assert_int_equal(irr(r) & 0x100, 0);
	cfg_write(r, 8, 0x61, 1, 0x7b); /* bits 4-6 are not there */
	assert_int_equal(cfg_read(r, 8, 0x61, 1), 0x0b);
	assert_true(irr(r) & 1u << 11);
	rig_free(r);
}

static void test_reset_control(void **state)
{
	struct rig *r = rig_pc(2 << 20, NULL, 0);
	struct bus_rep rep = { 0 };

	machine_out(r->m, 0xcf9, 1, 0x02);
	assert_int_equal(machine_in(r->m, 0xcf9, 1), 0x02);
	machine_end(r->m, &rep);
	assert_false(rep.flags & BUS_F_RESET);
	cfg_write(r, 0, 0x59, 1, 0x30);
	machine_out(r->m, 0xcf9, 1, 0x06);
	machine_end(r->m, &rep);
	assert_true(rep.flags & BUS_F_RESET);
	assert_int_equal(cfg_read(r, 0, 0x59, 1), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_there),
		cmocka_unit_test(test_identity_is_read_only),
		cmocka_unit_test(test_pam),
		cmocka_unit_test(test_pam_map_fits),
		cmocka_unit_test(test_smram),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_slot_taken),
		cmocka_unit_test(test_steering),
		cmocka_unit_test(test_reset_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
