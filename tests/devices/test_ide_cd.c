/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CD-ROM drive through the registers: PACKET by PIO and DMA, answers, sense, tray, no medium.
 */
#include "test_drive_rig.h"
#include <errno.h>
#include "bytes.h"
#include "pci.h"

#define RAM    (4u << 20)
#define BLOCKS 700
#define BM     0xc008
#define PRD    0x1000u

enum { BSY = 0x80, DRDY = 0x40, DSC = 0x10, DRQ = 8, ERR = 1 };
enum { GOOD = 0, NOT_READY = 2, MEDIUM = 3, ILLEGAL = 5, ATTENTION = 6 };

/* The CD is alone on the secondary channel. */
static int setup_with(const char *drive)
{
	const struct prop_value props[] = { { "bus", "ide.1" }, { "unit", "0" },
		{ "drive", drive } };
	const struct device_spec spec = {
		.driver = "ide-cd", .stream = -1, .props = props, .n_props = drive ? 3 : 2
	};

	d = drive_rig_new(RAM);
	r = d->r;
	drive_rig_add(d, "cd", BLOCKS * 2048, true, true);
	drive_rig_add(d, "empty", 0, true, true);
	drive_rig_build(d, &spec, 1);
	pci_config_write(r->m, 0x09, 0x20, 4, 0xc000);
	return 0;
}

static int setup(void **state)
{
	return setup_with("0");
}

static int setup_empty(void **state)
{
	return setup_with("1");
}

static int setup_none(void **state)
{
	return setup_with(NULL);
}

static int irq(void)
{
	return r->m->board->isa_sources[15] != 0;
}

static void packet_send(const uint8_t *p, unsigned features, unsigned limit)
{
	out(0x176, 0xa0);
	out(0x171, features);
	out(0x174, limit);
	out(0x175, limit >> 8);
	out(0x177, 0xa0);
	assert_int_equal(in(0x376), DRDY | DSC | DRQ);
	assert_int_equal(in(0x172), 1); /* command, to the device */
	assert_int_equal(irq(), 0);
	machine_outs(r->m, 0x170, 2, 6, p);
}

static void expect_end(unsigned key)
{
	assert_int_equal(irq(), 1);
	assert_int_equal(in(0x172), 3);
	assert_int_equal(in(0x177), key ? DRDY | ERR : DRDY);
	assert_int_equal(in(0x171) >> 4, key);
	assert_int_equal(irq(), 0);
}

/* A packet whose data come by PIO, in blocks of at most limit bytes. How many came; *ret_key: sense
 * key. */
static uint32_t packet_in(
	const uint8_t *p, uint32_t limit, uint8_t *buf, uint32_t cap, unsigned *ret_key)
{
	uint32_t n = 0;

	packet_send(p, 0, limit);
	drive_rig_settle(d);
	while (in(0x376) & DRQ) {
		uint32_t len = in(0x174) | (uint32_t)in(0x175) << 8;

		assert_int_equal(irq(), 1);
		assert_int_equal(in(0x172), 2);
		assert_true(len > 0 && len <= limit && n + len + 1 <= cap);
		in(0x177);
		machine_ins(r->m, 0x170, 2, (len + 1) / 2, buf + n);
		n += len;
		drive_rig_settle(d);
	}
	*ret_key = in(0x376) & ERR ? in(0x171) >> 4 : 0;
	expect_end(*ret_key);
	return n;
}

static unsigned run(const uint8_t *p)
{
	uint8_t buf[4096];
	unsigned key;

	packet_in(p, 0xfffe, buf, sizeof(buf), &key);
	return key;
}

static void sense(unsigned key, unsigned asc, unsigned ascq)
{
	static const uint8_t p[12] = { 0x03, 0, 0, 0, 18 };
	uint8_t a[20];
	unsigned k;

	assert_int_equal(packet_in(p, 0xfffe, a, sizeof(a), &k), 18);
	assert_int_equal(k, GOOD);
	assert_int_equal(a[0], 0x70);
	assert_int_equal(a[2], key);
	assert_int_equal(a[12], asc);
	assert_int_equal(a[13], ascq);
}

static const uint8_t ready[12] = { 0x00 }, capacity[12] = { 0x25 };

static void settle_attention(void)
{
	assert_int_equal(run(ready), ATTENTION);
	sense(ATTENTION, 0x29, 0);
}

/* ---- identity ---- */

static void test_identity(void **state)
{
	uint16_t w[256];

	assert_int_equal(in(0x177), 0);
	assert_int_equal(in(0x174), 0x14);
	assert_int_equal(in(0x175), 0xeb);
	out(0x177, 0xec);
	assert_int_equal(in(0x177), DRDY | DSC | ERR);
	assert_int_equal(in(0x174), 0x14);
	out(0x177, 0xa1);
	assert_int_equal(in(0x177), DRDY | DSC | DRQ);
	machine_ins(r->m, 0x170, 2, 256, (uint8_t *)w);
	assert_int_equal(w[0], 0x85c0);
	assert_memory_equal(&w[27], "EDAJMVC -DOR M", 14);
	assert_int_equal(in(0x177), DRDY | DSC);
}

static void test_inquiry(void **state)
{
	static const uint8_t p[12] = { 0x12, 0, 0, 0, 36 }, five[12] = { 0x12, 0, 0, 0, 5 },
			     evpd[12] = { 0x12, 1, 0, 0, 36 };
	uint8_t a[40];
	unsigned key;

	/* in spite of the unit attention, which stays */
	assert_int_equal(packet_in(p, 0xfffe, a, sizeof(a), &key), 36);
	assert_int_equal(a[0], 5);
	assert_int_equal(a[1], 0x80);
	assert_memory_equal(a + 8, "DEJAVM  DEJAVM CD-ROM   1.0 ", 28);
	memset(a, 0xee, sizeof(a));
	assert_int_equal(packet_in(five, 0xfffe, a, sizeof(a), &key), 5);
	assert_int_equal(a[4], 31);
	assert_int_equal(a[5], 0); /* half of a word */
	assert_int_equal(a[6], 0xee);
	assert_int_equal(run(evpd), ILLEGAL);
	sense(ILLEGAL, 0x24, 0);
	settle_attention();
	assert_int_equal(run(ready), GOOD);
	sense(GOOD, 0, 0);
}

/* ---- reading ---- */

static void read10(uint8_t *p, uint32_t lba, uint32_t n)
{
	memset(p, 0, 12);
	p[0] = 0x28;
	put_be32(p + 2, lba);
	put_be16(p + 7, (uint16_t)n);
}

static void test_read_pio(void **state)
{
	static const uint32_t limits[] = { 2048, 0xfffe, 4096, 5000, 512, 100, 2049 };
	uint8_t p[12], *buf = malloc(70 * 2048 + 2);
	unsigned key;

	settle_attention();
	for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		read10(p, 30 + i, 70);
		assert_int_equal(packet_in(p, limits[i], buf, 70 * 2048 + 2, &key), 70 * 2048);
		assert_int_equal(key, GOOD);
		assert_memory_equal(buf, d->media[0].bytes + (30 + i) * 2048, 70 * 2048);
	}
	/* READ(12) and READ CD */
	memset(p, 0, 12);
	p[0] = 0xa8;
	p[5] = 9;
	p[9] = 2;
	assert_int_equal(packet_in(p, 2048, buf, 70 * 2048, &key), 2 * 2048);
	assert_memory_equal(buf, d->media[0].bytes + 9 * 2048, 2 * 2048);
	memset(p, 0, 12);
	p[0] = 0xbe;
	p[5] = 10;
	p[8] = 1;
	p[9] = 0x10;
	assert_int_equal(packet_in(p, 2048, buf, 70 * 2048, &key), 2048);
	assert_memory_equal(buf, d->media[0].bytes + 10 * 2048, 2048);
	p[9] = 0xf8;
	assert_int_equal(run(p), ILLEGAL);
	free(buf);
}

static void test_read_dma(void **state)
{
	uint8_t p[12], e[8];

	settle_attention();
	put_le32(e, 0x100000);
	put_le32(e + 4, 0x80000000u | 5 * 2048);
	dma_write(machine_find(r->m, "piix3-ide"), PRD, e, 8);
	read10(p, 77, 5);
	packet_send(p, 1, 0);
	assert_int_equal(d->n_log, 0);
	machine_out(r->m, BM + 4, 4, PRD);
	out(BM, 9);
	drive_rig_settle(d);
	expect_end(GOOD);
	assert_int_equal(in(BM + 2), 4);
	assert_memory_equal(r->cfg.ram + 0x100000, d->media[0].bytes + 77 * 2048, 5 * 2048);
	/* an answer out of the buffer, which is shorter than the table */
	out(BM, 0);
	packet_send(capacity, 1, 0);
	out(BM, 9);
	expect_end(GOOD);
	assert_int_equal(in(BM + 2), 5);
	assert_int_equal(get_be32(r->cfg.ram + 0x100000), BLOCKS - 1);
}

static void test_read_errors(void **state)
{
	uint8_t p[12];

	settle_attention();
	read10(p, BLOCKS - 1, 2);
	assert_int_equal(run(p), ILLEGAL);
	sense(ILLEGAL, 0x21, 0);
	read10(p, BLOCKS, 0);
	assert_int_equal(run(p), ILLEGAL);
	read10(p, 0xffffffff, 0xffff);
	assert_int_equal(run(p), ILLEGAL);
	read10(p, 5, 0);
	assert_int_equal(run(p), GOOD);
	assert_int_equal(d->n_log, 0);
	d->media[0].fail = EIO;
	read10(p, 5, 1);
	assert_int_equal(run(p), MEDIUM);
	sense(MEDIUM, 0x11, 0);
	sense(GOOD, 0, 0);
	memset(p, 0, 12);
	p[0] = 0xff;
	assert_int_equal(run(p), ILLEGAL);
	sense(ILLEGAL, 0x20, 0);
	/* overlapped is not offered */
	out(0x171, 2);
	out(0x177, 0xa0);
	assert_int_equal(in(0x177), DRDY | DSC | ERR);
}

/* ---- what the drive and the medium are ---- */

static void test_information(void **state)
{
	static const uint8_t toc[12] = { 0x43, 2, 0, 0, 0, 0, 0, 0, 64 },
			     toc_lba[12] = { 0x43, 0, 0, 0, 0, 0, 0xaa, 0, 64 },
			     session[12] = { 0x43, 0, 1, 0, 0, 0, 0, 0, 12 },
			     full[12] = { 0x43, 0, 2, 0, 0, 0, 0, 0, 64 },
			     track2[12] = { 0x43, 0, 0, 0, 0, 0, 2, 0, 64 },
			     caps[12] = { 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 64 },
			     page9[12] = { 0x5a, 0, 0x09, 0, 0, 0, 0, 0, 64 },
			     saved[12] = { 0x5a, 0, 0xea, 0, 0, 0, 0, 0, 64 },
			     config[12] = { 0x46, 2, 0, 0, 0, 0, 0, 0, 64 },
			     disc[12] = { 0x51, 0, 0, 0, 0, 0, 0, 0, 64 },
			     mech[12] = { 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8 },
			     sub[12] = { 0x42, 0, 0x40, 1, 0, 0, 0, 0, 16 };
	uint8_t a[80];
	unsigned key;

	settle_attention();
	assert_int_equal(packet_in(capacity, 0xfffe, a, 80, &key), 8);
	assert_int_equal(get_be32(a), BLOCKS - 1);
	assert_int_equal(get_be32(a + 4), 2048);
	assert_int_equal(packet_in(toc, 0xfffe, a, 80, &key), 20);
	assert_memory_equal(a, "\0\x12\1\1\0\x14\1\0\0\0\2\0\0\x14\xaa\0\0\0\x0b\x19", 20);
	assert_int_equal(packet_in(toc_lba, 0xfffe, a, 80, &key), 12);
	assert_int_equal(get_be32(a + 8), BLOCKS);
	assert_int_equal(packet_in(session, 0xfffe, a, 80, &key), 12);
	assert_int_equal(packet_in(full, 0xfffe, a, 80, &key), 48);
	assert_int_equal(a[1], 46);
	assert_int_equal(run(track2), ILLEGAL);
	assert_int_equal(packet_in(caps, 0xfffe, a, 80, &key), 30);
	assert_int_equal(a[8], 0x2a);
	assert_int_equal(a[1], 28);
	assert_int_equal(run(page9), ILLEGAL);
	assert_int_equal(run(saved), ILLEGAL);
	sense(ILLEGAL, 0x39, 0);
	assert_int_equal(packet_in(config, 0xfffe, a, 80, &key), 20);
	assert_int_equal(get_be32(a), 16);
	assert_int_equal(a[7], 8); /* a CD */
	assert_int_equal(packet_in(disc, 0xfffe, a, 80, &key), 34);
	assert_int_equal(packet_in(mech, 0xfffe, a, 80, &key), 8);
	assert_int_equal(packet_in(sub, 0xfffe, a, 80, &key), 16);
}

static void events(unsigned event, unsigned state_byte)
{
	static const uint8_t p[12] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 };
	uint8_t a[10];
	unsigned key;

	assert_int_equal(packet_in(p, 0xfffe, a, sizeof(a), &key), 8);
	assert_int_equal(a[2], 4);
	assert_int_equal(a[4], event);
	assert_int_equal(a[5], state_byte);
}

static void test_tray(void **state)
{
	static const uint8_t eject[12] = { 0x1b, 0, 0, 0, 2 }, load[12] = { 0x1b, 0, 0, 0, 3 },
			     lock[12] = { 0x1e, 0, 0, 0, 1 }, unlock[12] = { 0x1e },
			     wait[12] = { 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8 };

	settle_attention();
	events(0, 2);
	assert_int_equal(run(wait), ILLEGAL);
	assert_int_equal(run(lock), GOOD);
	assert_int_equal(run(eject), ILLEGAL);
	sense(ILLEGAL, 0x53, 2);
	assert_int_equal(run(unlock), GOOD);
	assert_int_equal(run(eject), GOOD);
	events(3, 1);
	events(0, 1);
	assert_int_equal(run(ready), NOT_READY);
	sense(NOT_READY, 0x3a, 2);
	assert_int_equal(run(load), GOOD);
	events(2, 2);
	assert_int_equal(run(capacity), ATTENTION);
	sense(ATTENTION, 0x28, 0);
	assert_int_equal(run(capacity), GOOD);
}

static void test_no_medium(void **state)
{
	uint8_t p[12];

	settle_attention();
	assert_int_equal(run(ready), NOT_READY);
	sense(NOT_READY, 0x3a, 1);
	assert_int_equal(run(capacity), NOT_READY);
	read10(p, 0, 1);
	assert_int_equal(run(p), NOT_READY);
	events(0, 0);
	assert_int_equal(d->n_log, 0);
}

/* ---- resets ---- */

static void test_device_reset(void **state)
{
	uint8_t p[12];

	settle_attention();
	read10(p, 3, 4);
	packet_send(p, 0, 2048);
	assert_int_equal(in(0x376) & BSY, BSY);
	out(0x177, 0x08);
	assert_int_equal(in(0x376) & BSY, BSY); /* until the request is over */
	drive_rig_settle(d);
	assert_int_equal(in(0x376), 0);
	assert_int_equal(in(0x174), 0x14);
	assert_int_equal(in(0x175), 0xeb);
	assert_int_equal(run(ready), GOOD); /* no attention by that */
	read10(p, 3, 1);
	packet_send(p, 0, 2048);
	drive_rig_settle(d);
	assert_int_equal(in(0x376) & DRQ, DRQ);
	out(0x376, 4);
	out(0x376, 0);
	assert_int_equal(in(0x376), 0);
	assert_int_equal(in(0x174), 0x14);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_identity),
		TEST(test_inquiry),
		TEST(test_read_pio),
		TEST(test_read_dma),
		TEST(test_read_errors),
		TEST(test_information),
		TEST(test_tray),
		cmocka_unit_test_setup_teardown(test_no_medium, setup_empty, teardown),
		cmocka_unit_test_setup_teardown(test_no_medium, setup_none, teardown),
		TEST(test_device_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
