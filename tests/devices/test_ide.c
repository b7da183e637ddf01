/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IDE disks through the registers: protocols, addresses, errors, resets, bus master, selection. */
#include "test_drive_rig.h"
#include <errno.h>
#include "bytes.h"
#include "pci.h"

#define RAM	  (4u << 20)
#define DISK_LEN  (6u << 20)
#define DISK2_LEN (1u << 20)
#define SECTORS	  (DISK_LEN / 512)
#define BM	  0xc000
#define IDE_DEVFN 0x09
#define PRD	  0x1000u

enum { BSY = 0x80, DRDY = 0x40, DF = 0x20, DSC = 0x10, DRQ = 8, ERR = 1 };
enum { UNC = 0x40, IDNF = 0x10, ABRT = 4 };

/* Disks 0 and 1 on the primary channel, nothing on the secondary. */
static int setup_with(unsigned n)
{
	static const struct prop_value one[] = { { "drive", "0" } }, two[] = { { "drive", "1" } };
	const struct device_spec spec[] = {
		{ .driver = "ide-hd", .stream = -1, .props = one, .n_props = 1 },
		{ .driver = "ide-hd", .stream = -1, .props = two, .n_props = 1 },
	};

	d = drive_rig_new(RAM);
	r = d->r;
	drive_rig_add(d, "disk0", DISK_LEN, false, false);
	drive_rig_add(d, "disk1", DISK2_LEN, false, false);
	drive_rig_build(d, spec, n);
	pci_config_write(r->m, IDE_DEVFN, 0x20, 4, BM);
	return 0;
}

static int setup(void **state)
{
	return setup_with(2);
}

static int setup_one(void **state)
{
	return setup_with(1);
}

static int irq(unsigned n)
{
	return r->m->board->isa_sources[n] != 0;
}

static void lba28(uint32_t lba, unsigned count, unsigned unit)
{
	out(0x1f6, 0xe0 | unit << 4 | lba >> 24);
	out(0x1f2, count);
	out(0x1f3, lba);
	out(0x1f4, lba >> 8);
	out(0x1f5, lba >> 16);
}

static void lba48(uint64_t lba, unsigned count)
{
	out(0x1f6, 0x40);
	out(0x1f2, count >> 8);
	out(0x1f3, (uint8_t)(lba >> 24));
	out(0x1f4, (uint8_t)(lba >> 32));
	out(0x1f5, (uint8_t)(lba >> 40));
	out(0x1f2, count);
	out(0x1f3, (uint8_t)lba);
	out(0x1f4, (uint8_t)(lba >> 8));
	out(0x1f5, (uint8_t)(lba >> 16));
}

static void expect(unsigned status, unsigned error)
{
	assert_int_equal(in(0x3f6), status);
	assert_int_equal(in(0x1f1), error);
}

static void identify(uint16_t *w)
{
	out(0x1f7, 0xec);
	expect(DRDY | DSC | DRQ, 0);
	machine_ins(r->m, 0x1f0, 2, 256, (uint8_t *)w);
	expect(DRDY | DSC, 0);
}

/* ---- PIO ---- */

static void test_identify(void **state)
{
	uint16_t w[256];
	uint8_t sum = 0;

	identify(w);
	assert_int_equal(w[0] & 0x8000, 0);
	assert_int_equal(w[1], DISK_LEN / 512 / 16 / 63);
	assert_int_equal(w[3], 16);
	assert_int_equal(w[6], 63);
	assert_memory_equal(&w[27], "EDAJMVH RADDSI K", 16);
	assert_memory_equal(&w[10], "VD0000 1", 8);
	assert_int_equal(w[60] | (uint32_t)w[61] << 16, SECTORS);
	assert_int_equal(w[100], SECTORS & 0xffff);
	assert_int_equal(w[93] & 0xdf61, 0x4021); /* unit 1 is there */
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + ((uint8_t *)w)[i]);
	assert_int_equal(sum, 0);
}

static void test_read_pio(void **state)
{
	uint8_t buf[3 * 512];

	lba28(5, 3, 0);
	out(0x1f7, 0x20);
	assert_int_equal(in(0x3f6) & BSY, BSY);
	assert_int_equal(irq(14), 0);
	assert_int_equal(drive_rig_settle(d), 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(irq(14), 1);
		assert_int_equal(in(0x1f7), DRDY | DSC | DRQ);
		assert_int_equal(irq(14), 0);
		/* in pieces of words, dwords, and one byte too many asked for at the end */
		machine_ins(r->m, 0x1f0, 2, 128, buf + 512 * i);
		machine_ins(r->m, 0x1f0, 4, 64, buf + 512 * i + 256);
	}
	assert_memory_equal(buf, d->media[0].bytes + 5 * 512, sizeof(buf));
	expect(DRDY | DSC, 0);
	assert_int_equal(irq(14), 0);
	assert_int_equal(machine_in(r->m, 0x1f0, 2), 0xffff);
}

/* One by one, as IN does, is the same as REP INS. */
static void test_read_pio_single(void **state)
{
	lba28(7, 1, 0);
	out(0x1f7, 0x21);
	drive_rig_settle(d);
	for (unsigned i = 0; i < 256; i += 2) {
		uint32_t v = machine_in(r->m, 0x1f0, 2);

		assert_int_equal(v, get_le16(d->media[0].bytes + 7 * 512 + 2 * i));
		v = machine_in(r->m, 0x1f0, 1);
		assert_int_equal(v, d->media[0].bytes[7 * 512 + 2 * i + 2]);
	}
	expect(DRDY | DSC, 0);
}

/* More than the buffer holds: several requests, one after the other. */
static void test_read_pio_256(void **state)
{
	uint8_t *buf = malloc(256 * 512);

	lba28(1000, 0, 0);
	out(0x1f7, 0x20);
	assert_int_equal(d->n_log, 1);
	for (unsigned i = 0; i < 256; i++) {
		drive_rig_settle(d);
		assert_int_equal(in(0x1f7), DRDY | DSC | DRQ);
		machine_ins(r->m, 0x1f0, 2, 256, buf + 512 * i);
	}
	assert_int_equal(d->n_log, 2);
	assert_memory_equal(buf, d->media[0].bytes + 1000 * 512, 256 * 512);
	free(buf);
}

static void test_multiple(void **state)
{
	uint8_t buf[21 * 512];
	unsigned blocks = 0, done = 0;

	out(0x1f6, 0xe0);
	out(0x1f2, 3);
	out(0x1f7, 0xc6);
	expect(DRDY | DSC | ERR, ABRT);
	out(0x1f2, 8);
	out(0x1f7, 0xc6);
	expect(DRDY | DSC, 0);
	lba28(64, 21, 0);
	out(0x1f7, 0xc4);
	drive_rig_settle(d);
	while (in(0x1f7) & DRQ) {
		unsigned n = 21 - done > 8 ? 8 : 21 - done;

		assert_int_equal(irq(14), 0);
		machine_ins(r->m, 0x1f0, 4, n * 128, buf + done * 512);
		done += n;
		blocks++;
		assert_int_equal(irq(14), done < 21);
	}
	assert_int_equal(blocks, 3);
	assert_memory_equal(buf, d->media[0].bytes + 64 * 512, sizeof(buf));
	/* disabled: both commands are refused */
	out(0x1f2, 0);
	out(0x1f7, 0xc6);
	out(0x1f2, 1);
	out(0x1f7, 0xc4);
	expect(DRDY | DSC | ERR, ABRT);
	out(0x1f7, 0xc5);
	expect(DRDY | DSC | ERR, ABRT);
}

static void fill(uint8_t *buf, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 13 + seed + (i >> 8));
}

static void test_write_pio(void **state)
{
	uint8_t *buf = malloc(130 * 512), digests = 0;
	uint64_t before = device_digest(machine_find(r->m, "drives"));

	fill(buf, 130 * 512, 1);
	lba28(300, 130, 0);
	out(0x1f7, 0x30);
	assert_int_equal(irq(14), 0); /* the first block is asked for without */
	for (unsigned i = 0; i < 130; i++) {
		expect(DRDY | DSC | DRQ, 0);
		machine_outs(r->m, 0x1f0, 2, 256, buf + 512 * i);
		drive_rig_settle(d);
		assert_int_equal(irq(14), 1);
		in(0x1f7);
		assert_int_equal(irq(14), 0);
	}
	expect(DRDY | DSC, 0);
	assert_int_equal(d->n_log, 2); /* 128 and 2 */
	assert_memory_equal(d->media[0].bytes + 300 * 512, buf, 130 * 512);
	digests += before != device_digest(machine_find(r->m, "drives"));
	assert_int_equal(digests, 1);
	free(buf);
}

/* Without a write cache, and with FUA, a write ends when it is durable. */
static void test_durable(void **state)
{
	uint8_t buf[512];

	fill(buf, sizeof(buf), 9);
	out(0x1f6, 0xe0);
	out(0x1f1, 0x82);
	out(0x1f7, 0xef);
	drive_rig_settle(d);
	expect(DRDY | DSC, 0);
	assert_int_equal(d->log[0].hdr.type, BLK_FLUSH);
	lba28(9, 1, 0);
	out(0x1f7, 0x30);
	machine_outs(r->m, 0x1f0, 2, 256, buf);
	drive_rig_event(d);
	assert_true(in(0x3f6) & BSY);
	assert_int_equal(irq(14), 0);
	drive_rig_event(d);
	expect(DRDY | DSC, 0);
	assert_int_equal(irq(14), 1);
	assert_int_equal(d->log[2].hdr.type, BLK_FLUSH);
}

/* ---- addresses ---- */

static void read_one(const uint8_t *expected)
{
	uint8_t buf[512];

	assert_int_equal(drive_rig_settle(d), 1);
	assert_int_equal(in(0x1f7), DRDY | DSC | DRQ);
	machine_ins(r->m, 0x1f0, 2, 256, buf);
	assert_memory_equal(buf, expected, 512);
}

static void chs(unsigned c, unsigned h, unsigned s)
{
	out(0x1f6, 0xa0 | h);
	out(0x1f2, 1);
	out(0x1f3, s);
	out(0x1f4, c);
	out(0x1f5, c >> 8);
}

static void test_addresses(void **state)
{
	const uint8_t *m = d->media[0].bytes;

	chs(3, 5, 7);
	out(0x1f7, 0x20);
	read_one(m + ((3 * 16 + 5) * 63 + 6) * 512);
	/* another translation */
	out(0x1f6, 0xa0 | 7);
	out(0x1f2, 32);
	out(0x1f7, 0x91);
	expect(DRDY | DSC, 0);
	chs(3, 5, 7);
	out(0x1f7, 0x20);
	read_one(m + ((3 * 8 + 5) * 32 + 6) * 512);
	chs(3, 8, 7);
	out(0x1f7, 0x20);
	expect(DRDY | DSC | ERR, IDNF);
	chs(3, 5, 0);
	out(0x1f7, 0x20);
	expect(DRDY | DSC | ERR, IDNF);
	chs(3, 5, 33);
	out(0x1f7, 0x20);
	expect(DRDY | DSC | ERR, IDNF);
	lba48(SECTORS - 1, 1);
	out(0x1f7, 0x24);
	read_one(m + DISK_LEN - 512);
	lba48(SECTORS - 1, 2);
	out(0x1f7, 0x24);
	expect(DRDY | DSC | ERR, IDNF);
	lba48(UINT64_C(1) << 40, 1);
	out(0x1f7, 0x24);
	expect(DRDY | DSC | ERR, IDNF);
	lba48(0, 0); /* 65536 sectors */
	out(0x1f7, 0x24);
	expect(DRDY | DSC | ERR, IDNF);
	assert_int_equal(d->n_log, 3);
	lba28(0, 0, 0);
	out(0x1f7, 0xf8);
	assert_int_equal(in(0x1f3) | in(0x1f4) << 8 | in(0x1f5) << 16, SECTORS - 1);
	lba48(UINT64_C(0x112233445566), 0);
	out(0x1f7, 0x27);
	out(0x3f6, 0x80);
	assert_int_equal(in(0x1f3), 0);
	out(0x3f6, 0);
	assert_int_equal(in(0x1f3) | in(0x1f4) << 8, SECTORS - 1);
}

/* What was written before is behind HOB, until a register is written. */
static void test_hob(void **state)
{
	lba48(UINT64_C(0x665544332211), 0x7788);
	assert_int_equal(in(0x1f2), 0x88);
	assert_int_equal(in(0x1f5), 0x33);
	out(0x3f6, 0x80);
	assert_int_equal(in(0x1f2), 0x77);
	assert_int_equal(in(0x1f3), 0x44);
	assert_int_equal(in(0x1f5), 0x66);
	out(0x1f4, 0);
	assert_int_equal(in(0x1f5), 0x33);
}

/* ---- errors of the drive ---- */

static void test_drive_errors(void **state)
{
	uint8_t buf[512];

	d->media[0].fail = EIO;
	lba28(77, 4, 0);
	out(0x1f7, 0x20);
	drive_rig_settle(d);
	expect(DRDY | DSC | ERR, UNC);
	assert_int_equal(irq(14), 1);
	assert_int_equal(in(0x1f3), 77);
	lba28(78, 1, 0);
	out(0x1f7, 0x30);
	fill(buf, sizeof(buf), 2);
	machine_outs(r->m, 0x1f0, 2, 256, buf);
	drive_rig_settle(d);
	expect(DRDY | DSC | ERR | DF, ABRT);
	assert_int_equal(in(0x1f3), 78);
	out(0x1f7, 0xe7);
	drive_rig_settle(d);
	expect(DRDY | DSC | ERR | DF, ABRT);
	d->media[0].fail = 0;
	out(0x1f7, 0xe7);
	drive_rig_settle(d);
	expect(DRDY | DSC, 0);
}

static void test_readonly(void **state)
{
	r->m->cfg.drive[0].readonly = true;
	lba28(1, 1, 0);
	out(0x1f7, 0x30);
	expect(DRDY | DSC | ERR, ABRT);
	out(0x1f7, 0xca);
	expect(DRDY | DSC | ERR, ABRT);
}

/* ---- bus master ---- */

static void prd(unsigned n, uint32_t addr, uint32_t count, bool last)
{
	uint8_t e[8];

	put_le32(e, addr);
	put_le32(e + 4, (count & 0xffff) | (last ? 0x80000000u : 0));
	assert_int_equal(dma_write(machine_find(r->m, "piix3-ide"), PRD + 8 * n, e, 8), 0);
}

static void bm_start(bool to_ram)
{
	machine_out(r->m, BM + 4, 4, PRD);
	out(BM + 2, 6);
	out(BM, to_ram ? 8 : 0);
	out(BM, to_ram ? 9 : 1);
}

static void test_dma_read(void **state)
{
	lba28(2000, 8, 0);
	prd(0, 0x20000, 512, false);
	prd(1, 0x30002, 3072, false);
	prd(2, 0x40000, 512, true);
	out(0x1f7, 0xc8);
	assert_int_equal(d->n_log, 0); /* nothing before the start */
	bm_start(true);
	assert_int_equal(in(BM + 2), 1);
	assert_true(in(0x3f6) & BSY);
	drive_rig_settle(d);
	expect(DRDY | DSC, 0);
	assert_int_equal(in(BM + 2), 4);
	assert_int_equal(irq(14), 1);
	assert_memory_equal(r->cfg.ram + 0x20000, d->media[0].bytes + 2000 * 512, 512);
	assert_memory_equal(r->cfg.ram + 0x30002, d->media[0].bytes + 2001 * 512, 3072);
	assert_memory_equal(r->cfg.ram + 0x40000, d->media[0].bytes + 2007 * 512, 512);
	/* pages are told to the vCPU */
	assert_true(r->map.n_dma >= 3);
	out(BM, 8);
	out(BM + 2, 4);
	assert_int_equal(in(BM + 2), 0);
}

/* The start before the command; and the table's memory counts 64 KiB as 0. */
static void test_dma_write(void **state)
{
	uint8_t *ram = r->cfg.ram;

	fill(ram + 0x100000, 0x20000, 3);
	prd(0, 0x100000, 0, false);
	prd(1, 0x110000, 0, true);
	bm_start(false);
	lba48(4000, 256);
	out(0x1f7, 0x35);
	drive_rig_settle(d);
	expect(DRDY | DSC, 0);
	assert_int_equal(in(BM + 2), 4);
	assert_memory_equal(d->media[0].bytes + 4000 * 512, ram + 0x100000, 0x20000);
	assert_int_equal(d->n_log, 1);
}

/* Pieces of DRIVE_IO_MAX, in order. */
static void test_dma_long(void **state)
{
	for (unsigned i = 0; i < 40; i++)
		prd(i, 0x100000 + i * 0x10000, 0, i == 39);
	lba48(8, 40 * 128);
	out(0x1f7, 0x25);
	bm_start(true);
	drive_rig_settle(d);
	expect(DRDY | DSC, 0);
	assert_int_equal(d->n_log, 3);
	assert_int_equal(d->log[0].len, DRIVE_IO_MAX);
	assert_int_equal(d->log[1].offset, 8 * 512 + DRIVE_IO_MAX);
	assert_int_equal(d->log[2].len, 40 * 0x10000 - 2 * DRIVE_IO_MAX);
	assert_memory_equal(r->cfg.ram + 0x100000, d->media[0].bytes + 8 * 512, 40 * 0x10000);
}

static void test_dma_tables(void **state)
{
	/* longer than the command: active and interrupt */
	prd(0, 0x20000, 4096, true);
	lba28(1, 1, 0);
	out(0x1f7, 0xc8);
	bm_start(true);
	drive_rig_settle(d);
	assert_int_equal(in(BM + 2), 5);
	expect(DRDY | DSC, 0);
	out(BM, 0);
	assert_int_equal(in(BM + 2), 4);

	/* shorter: neither, and the disk waits for more */
	prd(0, 0x20000, 512, true);
	lba28(1, 2, 0);
	out(0x1f7, 0xc8);
	bm_start(true);
	drive_rig_settle(d);
	assert_int_equal(in(BM + 2), 0);
	assert_int_equal(in(0x3f6), DRDY | DSC | DRQ);
	assert_int_equal(irq(14), 0);
	out(BM, 0);

	/* memory that is not there: error */
	prd(0, 0xf0000000, 512, true);
	lba28(1, 1, 0);
	out(0x3f6, 4);
	out(0x3f6, 0);
	lba28(1, 1, 0);
	out(0x1f7, 0xc8);
	bm_start(true);
	drive_rig_settle(d);
	assert_int_equal(in(BM + 2), 2);
	out(BM, 0);

	/* the same for the table */
	out(0x3f6, 4);
	out(0x3f6, 0);
	lba28(1, 1, 0);
	out(0x1f7, 0xca);
	machine_out(r->m, BM + 4, 4, 0xf0000000);
	out(BM + 2, 6);
	out(BM, 1);
	assert_int_equal(in(BM + 2), 2);
	assert_int_equal(d->n_log, 3); /* nothing was written */
}

/* A short table for a write: the whole sectors that came are on the disk. */
static void test_dma_write_short(void **state)
{
	fill(r->cfg.ram + 0x20000, 2048, 7);
	prd(0, 0x20000, 1536, false);
	prd(1, 0x20600, 100, true);
	lba28(50, 4, 0);
	out(0x1f7, 0xca);
	bm_start(false);
	drive_rig_settle(d);
	assert_int_equal(in(BM + 2), 0);
	assert_int_equal(d->log[0].len, 1536);
	assert_memory_equal(d->media[0].bytes + 50 * 512, r->cfg.ram + 0x20000, 1536);
}

static void test_dma_direction(void **state)
{
	prd(0, 0x20000, 512, true);
	lba28(1, 1, 0);
	out(0x1f7, 0xc8);
	bm_start(false);
	assert_int_equal(d->n_log, 0);
	assert_int_equal(in(BM + 2), 1);
	out(BM, 0);
	bm_start(true);
	drive_rig_settle(d);
	assert_int_equal(in(BM + 2), 4);
}

/* Stopped while the drive is at work: the data are asked for again after the next start. */
static void test_dma_stopped(void **state)
{
	prd(0, 0x20000, 512, true);
	lba28(1, 1, 0);
	out(0x1f7, 0xc8);
	bm_start(true);
	out(BM, 8);
	memset(r->cfg.ram + 0x20000, 0, 512);
	drive_rig_settle(d);
	assert_int_equal(r->cfg.ram[0x20000], 0);
	assert_int_equal(in(0x3f6), DRDY | DSC | DRQ);
	bm_start(true);
	drive_rig_settle(d);
	expect(DRDY | DSC, 0);
	assert_memory_equal(r->cfg.ram + 0x20000, d->media[0].bytes + 512, 512);
}

/* ---- TRIM, other commands ---- */

static void test_trim(void **state)
{
	uint8_t *p = r->cfg.ram + 0x20000;

	memset(p, 0, 512);
	put_le64(p, 100 | UINT64_C(8) << 48);
	put_le64(p + 16, 1000 | UINT64_C(65) << 48);
	prd(0, 0x20000, 512, true);
	out(0x1f6, 0x40);
	out(0x1f1, 1);
	out(0x1f2, 0);
	out(0x1f2, 1);
	out(0x1f7, 0x06);
	bm_start(false);
	drive_rig_settle(d);
	expect(DRDY | DSC, 0);
	assert_int_equal(in(BM + 2), 4);
	assert_int_equal(d->n_log, 2);
	assert_int_equal(d->log[1].hdr.type, BLK_DISCARD);
	assert_int_equal(d->log[1].offset, 1000 * 512);
	assert_int_equal(d->log[1].len, 65 * 512);
	put_le64(p, SECTORS | UINT64_C(8) << 48);
	out(0x1f7, 0x06);
	bm_start(false);
	drive_rig_settle(d);
	expect(DRDY | DSC | ERR, IDNF);
}

static void test_small_commands(void **state)
{
	static const struct {
		uint8_t command, feature, count, status, error, count_after;
	} t[] = {
		{ 0x00, 0, 0, DRDY | DSC | ERR, ABRT, 0 },
		{ 0xe5, 0, 7, DRDY | DSC, 0, 0xff },
		{ 0x10, 0, 1, DRDY | DSC, 0, 1 },
		{ 0x70, 0, 1, DRDY | DSC, 0, 1 },
		{ 0x40, 0, 1, DRDY | DSC, 0, 1 },
		{ 0xef, 0x03, 0x22, DRDY | DSC, 0, 0x22 },
		{ 0xef, 0x03, 0x23, DRDY | DSC | ERR, ABRT, 0x23 },
		{ 0xef, 0x99, 0, DRDY | DSC | ERR, ABRT, 0 },
		{ 0xe1, 0, 0, DRDY | DSC, 0, 0 },
		{ 0x08, 0, 0, DRDY | DSC | ERR, ABRT, 0 },
		{ 0xa0, 0, 0, DRDY | DSC | ERR, ABRT, 0 },
		{ 0xa1, 0, 0, DRDY | DSC | ERR, ABRT, 0 },
		{ 0xff, 0, 0, DRDY | DSC | ERR, ABRT, 0 },
	};
	uint16_t w[256];

	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		lba28(1, t[i].count, 0);
		out(0x1f1, t[i].feature);
		out(0x1f7, t[i].command);
		assert_int_equal(irq(14), 1);
		expect(t[i].status, t[i].error);
		assert_int_equal(in(0x1f2), t[i].count_after);
		in(0x1f7);
	}
	identify(w);
	assert_int_equal(w[63], 0x0407);
	out(0x1f7, 0xe0);
	assert_true(in(0x3f6) & BSY);
	drive_rig_settle(d);
	out(0x1f7, 0xe5);
	assert_int_equal(in(0x1f2), 0);
}

static void smart(unsigned feature)
{
	lba28(0xc24f00, 0, 0);
	out(0x1f1, feature);
	out(0x1f7, 0xb0);
}

static void test_smart(void **state)
{
	uint8_t buf[512], sum = 0;

	smart(0xda);
	expect(DRDY | DSC, 0);
	assert_int_equal(in(0x1f4), 0x4f);
	assert_int_equal(in(0x1f5), 0xc2);
	smart(0xd0);
	machine_ins(r->m, 0x1f0, 2, 256, buf);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + buf[i]);
	assert_int_equal(sum, 0);
	smart(0xd9);
	smart(0xda);
	expect(DRDY | DSC | ERR, ABRT);
	smart(0xd8);
	expect(DRDY | DSC, 0);
	lba28(0, 0, 0);
	out(0x1f7, 0xb0);
	expect(DRDY | DSC | ERR, ABRT);
}

/* ---- selection, interrupt, resets ---- */

static void test_two_units(void **state)
{
	uint8_t buf[512];

	lba28(3, 1, 1);
	out(0x1f7, 0x20);
	drive_rig_settle(d);
	assert_int_equal(irq(14), 1);
	/* the line is the other one's with its next command, which has none */
	out(0x1f6, 0xe0);
	assert_int_equal(irq(14), 1);
	assert_int_equal(in(0x1f7), DRDY | DSC);
	out(0x3f6, 0);
	assert_int_equal(irq(14), 0);
	out(0x1f6, 0xf0);
	out(0x3f6, 0);
	assert_int_equal(irq(14), 1);
	machine_ins(r->m, 0x1f0, 2, 256, buf);
	assert_memory_equal(buf, d->media[1].bytes + 3 * 512, 512);
}

static void test_absent(void **state)
{
	lba28(0x123456, 9, 1);
	assert_int_equal(in(0x1f7), 0);
	assert_int_equal(in(0x3f6), 0);
	assert_int_equal(in(0x1f3), 0x56);
	assert_int_equal(in(0x1f6), 0xf0);
	out(0x1f7, 0x20);
	assert_int_equal(in(0x1f7), 0);
	assert_int_equal(machine_in(r->m, 0x1f0, 2), 0xffff);
	assert_int_equal(d->n_log, 0);
	/* nobody on the other channel */
	out(0x172, 0x55);
	assert_int_equal(in(0x172), 0x7f);
	assert_int_equal(in(0x177), 0x7f);
	assert_int_equal(in(0x376), 0x7f);
	out(0x177, 0xec);
	/* a diagnostic is done by unit 0, whichever is selected */
	out(0x1f7, 0x90);
	assert_int_equal(in(0x1f6), 0);
	expect(DRDY | DSC, 1);
	assert_int_equal(irq(14), 1);
}

static void test_nien(void **state)
{
	out(0x3f6, 2);
	lba28(0, 1, 0);
	out(0x1f7, 0xe5);
	assert_int_equal(irq(14), 0);
	out(0x3f6, 0);
	assert_int_equal(irq(14), 1);
	in(0x3f6);
	assert_int_equal(irq(14), 1);
	in(0x1f7);
	assert_int_equal(irq(14), 0);
}

static void signature(void)
{
	assert_int_equal(in(0x1f7), DRDY | DSC);
	assert_int_equal(in(0x1f1), 1);
	assert_int_equal(in(0x1f2), 1);
	assert_int_equal(in(0x1f3), 1);
	assert_int_equal(in(0x1f4), 0);
	assert_int_equal(in(0x1f5), 0);
	assert_int_equal(in(0x1f6), 0);
}

static void test_srst(void **state)
{
	signature();
	lba28(3, 1, 1);
	out(0x3f6, 4);
	assert_true(in(0x3f6) & BSY);
	out(0x1f3, 9);
	out(0x3f6, 0);
	signature();
}

/* A request in flight keeps the unit busy, and its data are dropped. */
static void test_srst_in_flight(void **state)
{
	lba28(3, 1, 0);
	out(0x1f7, 0x20);
	out(0x3f6, 4);
	out(0x3f6, 0);
	assert_true(in(0x3f6) & BSY);
	out(0x1f7, 0xec);
	assert_true(in(0x3f6) & BSY);
	drive_rig_settle(d);
	signature();
	assert_int_equal(irq(14), 0);
	/* the same with an event before SRST is withdrawn */
	lba28(3, 1, 0);
	out(0x1f7, 0x20);
	out(0x3f6, 4);
	drive_rig_settle(d);
	assert_true(in(0x3f6) & BSY);
	out(0x3f6, 0);
	signature();
}

static void test_machine_reset_in_flight(void **state)
{
	prd(0, 0x20000, 512, true);
	lba28(3, 1, 0);
	out(0x1f7, 0xc8);
	bm_start(true);
	machine_reset(r->m);
	assert_true(in(0x3f6) & BSY);
	memset(r->cfg.ram + 0x20000, 0, 512);
	drive_rig_settle(d);
	assert_int_equal(r->cfg.ram[0x20000], 0);
	signature();
	/* an event that nobody waits for */
	d->n_done--;
	drive_rig_settle(d);
	signature();
}

/* Registers of a unit at work hold; a command does not get through. */
static void test_busy(void **state)
{
	lba28(3, 1, 0);
	out(0x1f7, 0x20);
	out(0x1f3, 0x77);
	out(0x1f7, 0x20);
	assert_int_equal(d->n_log, 1);
	drive_rig_settle(d);
	assert_int_equal(in(0x1f3), 3);
	/* with data pending a new command takes over */
	out(0x1f7, 0xe5);
	expect(DRDY | DSC, 0);
	assert_int_equal(machine_in(r->m, 0x1f0, 2), 0xffff);
}

static void test_decode(void **state)
{
	pci_config_write(r->m, IDE_DEVFN, 0x41, 1, 0);
	assert_int_equal(in(0x1f7), 0xff);
	out(0x1f3, 9);
	pci_config_write(r->m, IDE_DEVFN, 0x41, 1, 0x80);
	signature();
	pci_config_write(r->m, IDE_DEVFN, PCI_COMMAND, 1, 0);
	assert_int_equal(in(0x1f7), 0xff);
	assert_int_equal(in(BM + 2), 0xff);
	assert_int_equal(pci_config_read(r->m, IDE_DEVFN, 0, 4), 0x70108086);
	assert_int_equal(pci_config_read(r->m, IDE_DEVFN, 8, 4), 0x01018000);
}

/* ---- set-up ---- */

static void refuse(
	const char *driver, const struct prop_value *props, unsigned n, const char *words)
{
	struct drive_rig *x = drive_rig_new(RAM);
	struct device_spec spec[5];

	drive_rig_add(x, "disk0", DISK_LEN, false, false);
	drive_rig_add(x, "cd", 2048, true, true);
	for (unsigned i = 0; i < 5; i++)
		spec[i] = (struct device_spec){
			.driver = driver, .stream = -1, .props = props, .n_props = n
		};
	assert_int_not_equal(drive_rig_try(x, spec, 5), 0);
	if (!strstr(x->r->err.msg, words))
		fail_msg("'%s' does not say '%s'", x->r->err.msg, words);
	drive_rig_free(x);
}

static void test_refused(void **state)
{
	static const struct prop_value none[] = { { "drive", "2" } }, cd[] = { { "drive", "1" } },
				       bus[] = { { "drive", "0" }, { "bus", "ide.2" } },
				       unit[] = { { "drive", "0" }, { "unit", "2" } },
				       full[] = { { "drive", "0" } },
				       same[] = { { "drive", "0" }, { "bus", "1" },
					       { "unit", "0" } };

	refuse("ide-hd", none, 1, "no such drive");
	refuse("ide-hd", cd, 1, "CD-ROM");
	refuse("ide-hd", bus, 2, "ide.0 or ide.1");
	refuse("ide-hd", unit, 2, "0 or 1");
	refuse("ide-hd", full, 1, "two units");
	refuse("ide-hd", same, 3, "ide.1 unit 0");
	refuse("ide-cd", none, 1, "no such drive");
}

#define TEST(f)	    cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_ONE(f) cmocka_unit_test_setup_teardown(f, setup_one, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_identify),
		TEST(test_read_pio),
		TEST(test_read_pio_single),
		TEST(test_read_pio_256),
		TEST(test_multiple),
		TEST(test_write_pio),
		TEST(test_durable),
		TEST(test_addresses),
		TEST(test_hob),
		TEST(test_drive_errors),
		TEST(test_readonly),
		TEST(test_dma_read),
		TEST(test_dma_write),
		TEST(test_dma_long),
		TEST(test_dma_tables),
		TEST(test_dma_write_short),
		TEST(test_dma_direction),
		TEST(test_dma_stopped),
		TEST(test_trim),
		TEST(test_small_commands),
		TEST(test_smart),
		TEST(test_two_units),
		TEST_ONE(test_absent),
		TEST(test_nien),
		TEST(test_srst),
		TEST(test_srst_in_flight),
		TEST(test_machine_reset_in_flight),
		TEST(test_busy),
		TEST(test_decode),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
