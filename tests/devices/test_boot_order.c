/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a firmware is told: boot order in the CMOS RAM and in fw_cfg, disks' geometries, SMBIOS. */
#include "test_drive_rig.h"
#include <errno.h>
#include "boot.h"
#include "bytes.h"
#include "fw_cfg.h"
#include "smbios.h"

#define RAM (2u << 20)

static uint8_t cmos(struct rig *r, unsigned reg)
{
	machine_out(r->m, 0x70, 1, reg);
	return (uint8_t)machine_in(r->m, 0x71, 1);
}

/* A file of fw_cfg; NULL: there is none. */
static char *file_read(struct rig *r, const char *name, uint32_t *ret_len)
{
	uint8_t head[4], e[64];
	char *p;
	uint32_t n;

	machine_out(r->m, 0x510, 2, FW_CFG_FILE_DIR);
	machine_ins(r->m, 0x511, 1, 4, head);
	for (n = get_be32(head); n > 0; n--) {
		machine_ins(r->m, 0x511, 1, 64, e);
		if (strcmp((char *)e + 8, name) != 0)
			continue;
		*ret_len = get_be32(e);
		p = malloc(*ret_len + 1);
		machine_out(r->m, 0x510, 2, (uint32_t)(e[4] << 8 | e[5]));
		machine_ins(r->m, 0x511, 1, *ret_len, (uint8_t *)p);
		return p;
	}
	return NULL;
}

static void test_letters(void **state)
{
	assert_int_equal(boot_order_code(NULL), 0x312);
	assert_int_equal(boot_order_code(""), 0x312);
	assert_int_equal(boot_order_code("d"), 0x3);
	assert_int_equal(boot_order_code("cdn"), 0x432);
	assert_int_equal(boot_order_code("acdn"), 0x321);
}

static void test_cmos_order(void **state)
{
	struct drive_rig *d = drive_rig_new(RAM);
	struct rig *r = d->r;

	r->cfg.boot_order = "cd";
	r->cfg.boot_once = "dn";
	r->cfg.boot_menu = true;
	drive_rig_build(d, NULL, 0);
	assert_int_equal(cmos(r, 0x3d), 0x43);
	assert_int_equal(cmos(r, 0x38), 0x01);
	machine_out(r->m, 0x510, 2, FW_CFG_BOOT_MENU);
	assert_int_equal(machine_in(r->m, 0x511, 1), 1);
	machine_out(r->m, 0x510, 2, FW_CFG_BOOT_DEVICE);
	assert_int_equal(machine_in(r->m, 0x511, 1), 'c');
	/* from the first reset on, and what a guest writes afterwards stays */
	machine_reset(r->m);
	assert_int_equal(cmos(r, 0x3d), 0x32);
	machine_out(r->m, 0x70, 1, 0x3d);
	machine_out(r->m, 0x71, 1, 0x44);
	machine_reset(r->m);
	assert_int_equal(cmos(r, 0x3d), 0x44);
	drive_rig_free(d);
}

static const struct prop_value first[] = { { "drive", "0" }, { "bootindex", "7" } },
			       second[] = { { "drive", "1" }, { "bus", "ide.1" }, { "unit", "1" } },
			       cd[] = { { "bus", "1" }, { "unit", "0" }, { "bootindex", "2" } },
			       twice[] = { { "drive", "1" }, { "bootindex", "7" } };

static struct drive_rig *two_disks(const struct device_spec *spec, unsigned n, int *ret)
{
	struct drive_rig *d = drive_rig_new(RAM);

	drive_rig_add(d, "small", 3u << 20, false, false);
	drive_rig_add(d, "large", 600u << 20, false, false);
	*ret = drive_rig_try(d, spec, n);
	machine_reset(d->r->m);
	return d;
}

static void test_disks(void **state)
{
	const struct device_spec spec[] = {
		{ .driver = "ide-hd", .stream = -1, .props = first, .n_props = 2 },
		{ .driver = "ide-hd", .stream = -1, .props = second, .n_props = 3 },
		{ .driver = "ide-cd", .stream = -1, .props = cd, .n_props = 3 },
	};
	int ret;
	struct drive_rig *d = two_disks(spec, 3, &ret);
	struct rig *r = d->r;
	uint32_t len;
	char *order;

	assert_int_equal(ret, 0);
	assert_int_equal(cmos(r, 0x12), 0xf0);
	assert_int_equal(cmos(r, 0x19), 47);
	assert_int_equal(cmos(r, 0x1a), 0);
	assert_int_equal(cmos(r, 0x1b) | cmos(r, 0x1c) << 8, (3 << 11) / 16 / 63);
	assert_int_equal(cmos(r, 0x1d), 16);
	assert_int_equal(cmos(r, 0x23), 63);
	assert_int_equal(cmos(r, 0x39), 0x40); /* the large one is translated */
	order = file_read(r, "bootorder", &len);
	assert_non_null(order);
	assert_string_equal(order, "/pci@i0cf8/ide@1,1/drive@1/disk@0\n"
				   "/pci@i0cf8/ide@1,1/drive@0/disk@0");
	assert_int_equal(len, strlen(order) + 1);
	free(order);
	drive_rig_free(d);
}

static void test_no_index(void **state)
{
	const struct device_spec spec = {
		.driver = "ide-hd", .stream = -1, .props = second, .n_props = 3
	};
	int ret;
	struct drive_rig *d = two_disks(&spec, 1, &ret);
	uint32_t len;

	assert_int_equal(ret, 0);
	assert_null(file_read(d->r, "bootorder", &len));
	assert_int_equal(cmos(d->r, 0x12), 0);
	drive_rig_free(d);
}

static void test_index_twice(void **state)
{
	const struct device_spec spec[] = {
		{ .driver = "ide-hd", .stream = -1, .props = first, .n_props = 2 },
		{ .driver = "ide-hd", .stream = -1, .props = twice, .n_props = 2 },
	};
	int ret;
	struct drive_rig *d = two_disks(spec, 2, &ret);

	assert_int_equal(ret, -EINVAL);
	assert_non_null(strstr(d->r->err.msg, "bootindex=7"));
	drive_rig_free(d);
}

/* ---- SMBIOS ---- */

static uint8_t sum_of(const uint8_t *p, uint32_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

static void check_tables(const uint8_t *anchor, const uint8_t *data, uint32_t len, uint64_t ram)
{
	uint32_t at = 0, n = 0;
	unsigned last = 0, seen = 0;

	assert_int_equal(sum_of(anchor, 31), 0);
	assert_int_equal(sum_of(anchor + 16, 15), 0);
	assert_int_equal(get_le16(anchor + 0x16), len);
	while (at < len) {
		uint32_t from = at;
		const uint8_t *p = data + at;

		assert_true(at + 4 <= len && p[1] >= 4 && at + p[1] <= len);
		last = p[0];
		if (last < 32)
			seen |= 1u << last;
		if (last == 17)
			assert_int_equal(get_le16(p + 0x0c), ram >> 20);
		at += p[1];
		while (data[at] || data[at + 1])
			at++;
		at += 2;
		assert_true(at - from <= get_le16(anchor + 8));
		n++;
	}
	assert_int_equal(at, len);
	assert_int_equal(n, get_le16(anchor + 0x1c));
	assert_int_equal(last, 127);
	/* what 2.8 requires of everybody: clause 6.2 */
	assert_int_equal(seen & 0xb001b, 0xb001b);
}

static void test_smbios(void **state)
{
	struct rig *r = rig_pc(UINT64_C(96) << 20, NULL, 0);
	uint32_t n, len;
	char *anchor = file_read(r, "etc/smbios/smbios-anchor", &n);
	char *tables = file_read(r, "etc/smbios/smbios-tables", &len);

	assert_non_null(anchor);
	assert_non_null(tables);
	assert_int_equal(n, 31);
	assert_memory_equal(anchor, "_SM_", 4);
	check_tables((uint8_t *)anchor, (uint8_t *)tables, len, UINT64_C(96) << 20);
	free(anchor);
	free(tables);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_letters),
		cmocka_unit_test(test_cmos_order),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_no_index),
		cmocka_unit_test(test_index_twice),
		cmocka_unit_test(test_smbios),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
