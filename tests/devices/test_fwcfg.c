/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg through its ports and by DMA, and that its table-loader script makes the tables that
 * acpi_link() makes. */
#include "test_machine_rig.h"
#include <errno.h>
#include "acpi.h"
#include "bytes.h"
#include "fw_cfg.h"

static void item_select(struct rig *r, uint16_t key)
{
	machine_out(r->m, 0x510, 2, key);
}

static void item_bytes(struct rig *r, uint16_t key, void *buf, size_t len)
{
	item_select(r, key);
	rig_ins(r, 0x511, 1, (uint32_t)len, buf);
}

/* A file's key and length; 0: it is not in the directory. */
static uint16_t file_find(struct rig *r, const char *name, uint32_t *ret_len)
{
	uint8_t head[4], e[64];
	uint32_t n;

	item_bytes(r, FW_CFG_FILE_DIR, head, 4);
	n = get_be32(head);
	assert_true(n > 0 && n <= FW_CFG_FILES_MAX);
	while (n--) {
		rig_ins(r, 0x511, 1, 64, e);
		if (strcmp((char *)e + 8, name) == 0) {
			*ret_len = get_be32(e);
			return (uint16_t)(e[4] << 8 | e[5]);
		}
	}
	return 0;
}

static uint8_t *file_read(struct rig *r, const char *name, uint32_t *ret_len)
{
	uint16_t key = file_find(r, name, ret_len);
	uint8_t *p;

	assert_true(key >= FW_CFG_FILE_FIRST);
	p = malloc(*ret_len);
	item_bytes(r, key, p, *ret_len);
	return p;
}

static void test_ports(void **state)
{
	struct rig *r = rig_pc(UINT64_C(48) << 20, NULL, 0);
	uint8_t b[10];

	item_bytes(r, FW_CFG_SIGNATURE, b, 6);
	assert_memory_equal(b, "QEMU\0\0", 6); /* beyond the end: zeroes */
	item_bytes(r, FW_CFG_ID, b, 4);
	assert_int_equal(get_le32(b), 3);
	item_bytes(r, FW_CFG_RAM_SIZE, b, 8);
	assert_int_equal(get_le32(b), 48 << 20);
	item_bytes(r, FW_CFG_NB_CPUS, b, 2);
	assert_int_equal(b[0], 1);
	item_bytes(r, 0x1234, b, 2); /* nobody's */
	assert_int_equal(b[0], 0);
	/* The old "for writing" bit selects the same; bytes at the selector do nothing. */
	item_select(r, FW_CFG_SIGNATURE | 0x4000);
	machine_out(r->m, 0x510, 1, 5);
	machine_out(r->m, 0x511, 1, 5);
	assert_int_equal(machine_in(r->m, 0x511, 1), 'Q');
	assert_int_equal(machine_in(r->m, 0x514, 4), 0x554d4551); /* "QEMU" */
	assert_int_equal(machine_in(r->m, 0x518, 4), 0x47464320); /* " CFG" */
	rig_free(r);
}

static void test_files(void **state)
{
	struct rig *r = rig_pc(UINT64_C(48) << 20, NULL, 0);
	uint32_t len;
	uint8_t *e820 = file_read(r, "etc/e820", &len);

	assert_int_equal(len, 20);
	assert_int_equal(get_le32(e820 + 8), 48 << 20);
	assert_int_equal(get_le32(e820 + 16), 1);
	free(e820);
	assert_int_equal(file_find(r, "etc/nothing", &len), 0);
	rig_free(r);
}

/* ---- DMA ---- */

#define DESC 0x6000
#define DEST 0x7000

static uint32_t dma(struct rig *r, uint32_t control, uint32_t len, uint64_t gpa)
{
	uint8_t *d = r->cfg.ram + DESC;

	put_be32(d, control);
	put_be32(d + 4, len);
	put_be32(d + 8, (uint32_t)(gpa >> 32));
	put_be32(d + 12, (uint32_t)gpa);
	machine_out(r->m, 0x514, 4, 0);
	machine_out(r->m, 0x518, 4, __builtin_bswap32(DESC));
	return get_be32(d);
}

static void test_dma(void **state)
{
	struct rig *r = rig_pc(UINT64_C(2) << 20, NULL, 0);
	uint8_t *dest = r->cfg.ram + DEST;

	memset(dest, 0xee, 16);
	assert_int_equal(dma(r, FW_CFG_SIGNATURE << 16 | 8 | 2, 3, DEST), 0);
	assert_memory_equal(dest, "QEM\xee", 4);
	/* It goes on where it was; what is beyond the item is zero. */
	assert_int_equal(dma(r, 2, 4, DEST), 0);
	assert_memory_equal(dest, "U\0\0\0\xee", 5);
	/* Select and skip. */
	assert_int_equal(dma(r, FW_CFG_SIGNATURE << 16 | 8 | 4, 2, 0), 0);
	assert_int_equal(dma(r, 2, 1, DEST), 0);
	assert_int_equal(*dest, 'M');
	/* Writing is refused, as is memory that is none. */
	assert_int_equal(dma(r, 0x10, 4, DEST), 1);
	assert_int_equal(dma(r, FW_CFG_SIGNATURE << 16 | 8 | 2, 4, 0xfffffff0), 1);
	assert_int_equal(dma(r, FW_CFG_SIGNATURE << 16 | 8 | 2, 4, UINT64_C(0x100007000)), 1);
	assert_int_equal(dma(r, FW_CFG_SIGNATURE << 16 | 8 | 2, 0xffffffff, DEST), 1);
	assert_int_equal(dma(r, 4, 0xffffffff, 0), 0);
	assert_int_equal(dma(r, 4, 0xffffffff, 0), 0); /* the offset does not wrap */
	assert_int_equal(dma(r, 2, 1, DEST), 0);
	assert_int_equal(*dest, 0);
	/* A descriptor in no memory: nothing happens. */
	machine_out(r->m, 0x518, 4, __builtin_bswap32(0xfff00000));
	machine_out(r->m, 0x514, 4, 0xffffffff);
	machine_out(r->m, 0x518, 4, 0);
	/* The vCPU is told. */
	assert_true(r->map.n_dma > 0);
	rig_free(r);
}

/* ---- the loader script, run as a firmware would ---- */

static void run_loader(
	const uint8_t *script, size_t len, uint8_t *tables, uint8_t *rsdp, uint32_t gpa)
{
	assert_int_equal(len % ACPI_LOADER_ENTRY_LEN, 0);
	for (const uint8_t *e = script; e < script + len; e += ACPI_LOADER_ENTRY_LEN) {
		const char *name = (const char *)e + 4;
		uint8_t *file = strcmp(name, "etc/acpi/rsdp") == 0 ? rsdp : tables, sum = 0;
		uint32_t a, start, n;

		switch (get_le32(e)) {
		case 1: break;
		case 2:
			assert_string_equal(name + 56, "etc/acpi/tables");
			a = get_le32(e + 4 + 112);
			put_le32(file + a, get_le32(file + a) + gpa);
			break;
		case 3:
			a = get_le32(e + 4 + 56);
			start = get_le32(e + 4 + 60);
			n = get_le32(e + 4 + 64);
			file[a] = 0;
			for (uint32_t i = 0; i < n; i++)
				sum = (uint8_t)(sum + file[start + i]);
			file[a] = (uint8_t)-sum;
			break;
		default: fail_msg("loader command %u", get_le32(e));
		}
	}
}

static uint8_t sum_of(const uint8_t *p, uint32_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

static void test_table_loader(void **state)
{
	struct rig *r = rig_pc(UINT64_C(2) << 20, NULL, 0);
	uint32_t tables_len, rsdp_len, script_len, gpa = 0x1f0000;
	uint8_t *tables = file_read(r, "etc/acpi/tables", &tables_len);
	uint8_t *rsdp = file_read(r, "etc/acpi/rsdp", &rsdp_len);
	uint8_t *script = file_read(r, "etc/table-loader", &script_len);
	static struct acpi direct;

	acpi_build(&direct);
	assert_int_equal(tables_len, direct.len);
	assert_memory_equal(tables, direct.data, tables_len);
	run_loader(script, script_len, tables, rsdp, gpa);
	acpi_link(&direct, gpa);
	assert_memory_equal(tables, direct.data, tables_len);
	assert_memory_equal(rsdp, direct.rsdp, ACPI_RSDP_LEN);
	free(tables);
	free(rsdp);
	free(script);
	rig_free(r);
}

static void test_tables(void **state)
{
	static struct acpi a;
	uint32_t gpa = 0x3f00000, rsdt, fadt, madt;
	const uint8_t *p;

	acpi_build(&a);
	acpi_link(&a, gpa);
	assert_int_equal(sum_of(a.rsdp, 20), 0);
	assert_memory_equal(a.rsdp, "RSD PTR ", 8);
	rsdt = get_le32(a.rsdp + 16) - gpa;
	p = a.data + rsdt;
	assert_memory_equal(p, "RSDT", 4);
	assert_int_equal(sum_of(p, get_le32(p + 4)), 0);
	fadt = get_le32(p + 36) - gpa;
	madt = get_le32(p + 40) - gpa;
	p = a.data + fadt;
	assert_memory_equal(p, "FACP", 4);
	assert_int_equal(sum_of(p, get_le32(p + 4)), 0);
	assert_memory_equal(a.data + get_le32(p + 36) - gpa, "FACS", 4);
	assert_int_equal(get_le32(p + 36) % 64, 0);
	assert_memory_equal(a.data + get_le32(p + 40) - gpa, "DSDT", 4);
	assert_int_equal(get_le32(p + 40), get_le32(p + 140));
	p = a.data + get_le32(p + 40) - gpa;
	assert_int_equal(sum_of(p, get_le32(p + 4)), 0);
	p = a.data + madt;
	assert_memory_equal(p, "APIC", 4);
	assert_int_equal(sum_of(p, get_le32(p + 4)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_table_loader),
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
