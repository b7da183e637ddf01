/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Direct boot: what good images put where, and what bad ones are told. */
#include "test_machine_rig.h"
#include <errno.h>
#include "boot.h"
#include "bytes.h"

#define KERNEL_LEN (5 * 512 + 8000)

/* A bzImage as small as they get: 4 setup sectors, protocol 2.15, 8000 bytes of code. */
static uint8_t *bzimage(void)
{
	uint8_t *k = calloc(1, KERNEL_LEN);

	k[0x1f1] = 4;
	put_le32(k + 0x1f4, 8000 / 16);
	put_le16(k + 0x1fe, 0xaa55);
	k[0x200] = 0xeb;
	k[0x201] = 0x66; /* header ends at 0x268 */
	memcpy(k + 0x202, "HdrS", 4);
	put_le16(k + 0x206, 0x20f);
	k[0x211] = 1;
	put_le32(k + 0x214, 0x100000);
	put_le32(k + 0x22c, 0x37ffffff);
	put_le32(k + 0x238, 2047);
	put_le32(k + 0x258, 0x100000);
	put_le32(k + 0x260, 0x40000);
	for (unsigned i = 0; i < 8000; i++)
		k[5 * 512 + i] = (uint8_t)(i * 7);
	return k;
}

static struct rig *direct_config(uint64_t ram, const uint8_t *kernel, size_t len)
{
	struct rig *r = rig_config(ram);

	r->cfg.bios = (struct blob){ 0 };
	r->cfg.kernel = (struct blob){ kernel, len, "vmlinuz" };
	r->cfg.append = "console=ttyS0 quiet";
	return r;
}

static uint32_t param(const struct rig *r, unsigned i)
{
	return get_le32(r->rom + 0xff00 + 4 * i);
}

static void test_linux(void **state)
{
	uint8_t *k = bzimage(), initrd[10000];
	struct rig *r = direct_config(UINT64_C(64) << 20, k, KERNEL_LEN);
	struct device_spec s = { .driver = "isa-serial", .stream = 0 };
	const uint8_t *ram = r->cfg.ram, *zp;
	uint32_t cmdline, at, n;
	uint64_t end = 0;

	memset(initrd, 0x42, sizeof(initrd));
	r->cfg.initrd = (struct blob){ initrd, sizeof(initrd), "initrd.img" };
	assert_int_equal(rig_build(r, &s, 1), 0);
	machine_reset(r->m);
	assert_int_equal(r->map.dma_overflow, 1);
	/* Registers of the stub: entry, ESI, and EBP, EDI, EBX zero. */
	assert_int_equal(param(r, 0), 0x100000);
	zp = ram + param(r, 5);
	assert_int_equal(param(r, 2), 0);
	assert_int_equal(param(r, 6), 0);
	assert_int_equal(param(r, 7), 0);
	assert_memory_equal(ram + 0x100000, k + 5 * 512, 8000);
	assert_memory_equal(zp + 0x202, "HdrS", 4);
	assert_int_equal(zp[0x210], 0xb0);
	assert_int_equal(zp[0x1ef], 0); /* sentinel */
	assert_int_equal(zp[0x268], 0); /* behind the header: nothing of the image */
	cmdline = get_le32(zp + 0x228);
	assert_string_equal((const char *)ram + cmdline, "console=ttyS0 quiet");
	at = get_le32(zp + 0x218);
	assert_int_equal(get_le32(zp + 0x21c), sizeof(initrd));
	assert_int_equal(at % 4096, 0);
	assert_memory_equal(ram + at, initrd, sizeof(initrd));
	/* ACPI: the RSDP in the F segment, and by boot_params. */
	assert_int_equal(get_le32(zp + 0x70), 0xf0000);
	assert_memory_equal(r->rom, "RSD PTR ", 8);
	n = get_le32(r->rom + 16);
	assert_memory_equal(ram + n, "RSDT", 4);
	/* The map: sorted, RAM is what the loads lie in, tables reserved. */
	n = zp[0x1e8];
	assert_true(n >= 4);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *e = zp + 0x2d0 + 20 * i;

		assert_true(get_le32(e) >= end);
		end = (uint64_t)get_le32(e) + get_le32(e + 8);
		if (get_le32(e + 16) != 1)
			continue;
		if (get_le32(e) == 0x100000) {
			assert_true(at + sizeof(initrd) <= end);
			assert_true(get_le32(r->rom + 16) >= end);
		}
	}
	assert_int_equal(end, 64 << 20);
	/* BIOS data area. */
	assert_int_equal(get_le16(ram + 0x400), 0x3f8);
	assert_int_equal(get_le16(ram + 0x402), 0);
	assert_int_equal(get_le16(ram + 0x413), 639);
	assert_int_equal(get_le16(ram + 0x40e), 0x9fc0);
	/* The reset vector jumps into the stub. */
	assert_int_equal(r->rom[0xfff0], 0xea);
	assert_int_equal(get_le16(r->rom + 0xfff3), 0xf000);
	/* A reset loads again what the guest has changed. */
	r->cfg.ram[0x100000] ^= 0xff;
	r->cfg.ram[0x300000] = 9;
	machine_reset(r->m);
	assert_memory_equal(ram + 0x100000, k + 5 * 512, 8000);
	assert_int_equal(ram[0x300000], 9);
	rig_free(r);
	free(k);
}

static void test_linux_initrd_max(void **state)
{
	uint8_t *k = bzimage(), initrd[4097] = { 1 };
	struct rig *r = direct_config(UINT64_C(64) << 20, k, KERNEL_LEN);

	put_le32(k + 0x22c, 0x1ffffff);
	r->cfg.initrd = (struct blob){ initrd, sizeof(initrd), "initrd.img" };
	assert_int_equal(rig_build(r, NULL, 0), 0);
	assert_int_equal(r->m->boot->initrd_gpa, 0x1ffe000);
	rig_free(r);
	free(k);
}

static void test_zimage(void **state)
{
	uint8_t *k = bzimage();
	struct rig *r = direct_config(UINT64_C(4) << 20, k, KERNEL_LEN);

	put_le16(k + 0x206, 0x202);
	k[0x211] = 0;
	assert_int_equal(rig_build(r, NULL, 0), 0);
	machine_reset(r->m);
	assert_int_equal(param(r, 0), 0x10000);
	assert_memory_equal(r->cfg.ram + 0x10000, k + 5 * 512, 8000);
	rig_free(r);
	free(k);
}

/* Builds with a changed image; the message must name the file and hold the word. */
static void linux_fails(
	void (*change)(uint8_t *k), size_t len, uint64_t ram, const char *append, const char *word)
{
	uint8_t *k = bzimage();
	struct rig *r = direct_config(ram, k, len);

	if (change)
		change(k);
	if (append)
		r->cfg.append = append;
	assert_true(rig_build(r, NULL, 0) < 0);
	if (!strstr(r->err.msg, word) || (ram > 1 << 20 && !strstr(r->err.msg, "vmlinuz")))
		fail_msg("'%s' lacks '%s'", r->err.msg, word);
	rig_free(r);
	free(k);
}

static void no_magic(uint8_t *k)
{
	k[0x202] = 'X';
}

static void no_boot_flag(uint8_t *k)
{
	k[0x1fe] = 0;
}

static void old_protocol(uint8_t *k)
{
	put_le16(k + 0x206, 0x201);
}

static void is_64_bit(uint8_t *k)
{
	k[0x236] = 1;
}

static void big_init(uint8_t *k)
{
	put_le32(k + 0x260, 0xffffffff);
}

static void test_linux_bad(void **state)
{
	char *line = malloc(3000);
	uint64_t ram = 64 << 20;

	memset(line, 'a', 2999);
	line[2999] = 0;
	linux_fails(no_magic, KERNEL_LEN, ram, NULL,
		"not a Linux bzImage nor a multiboot image: expected");
	linux_fails(no_boot_flag, KERNEL_LEN, ram, NULL, "expected 'HdrS'");
	linux_fails(NULL, 0x250, ram, NULL, "expected 'HdrS'");
	linux_fails(NULL, 4, ram, NULL, "expected 'HdrS'");
	linux_fails(old_protocol, KERNEL_LEN, ram, NULL, "2.01: expected 2.02");
	linux_fails(is_64_bit, KERNEL_LEN, ram, NULL, "64-bit");
	linux_fails(NULL, 5 * 512, ram, NULL, "cut off");
	linux_fails(NULL, KERNEL_LEN - 100, ram, NULL, "cut off");
	linux_fails(big_init, KERNEL_LEN, ram, NULL, "-m");
	linux_fails(NULL, KERNEL_LEN, 1 << 20, NULL, "-m");
	linux_fails(NULL, KERNEL_LEN, ram, line, "2999 bytes: this kernel takes 2047");
	free(line);
}

static void test_initrd_too_large(void **state)
{
	uint8_t *k = bzimage(), *initrd = calloc(1, 4 << 20);
	struct rig *r = direct_config(UINT64_C(4) << 20, k, KERNEL_LEN);

	r->cfg.initrd = (struct blob){ initrd, 4 << 20, "initrd.img" };
	assert_true(rig_build(r, NULL, 0) < 0);
	assert_non_null(strstr(r->err.msg, "initrd.img"));
	assert_non_null(strstr(r->err.msg, "do not fit"));
	rig_free(r);
	free(k);
	free(initrd);
}

static void test_what_to_boot(void **state)
{
	uint8_t *k = bzimage();
	struct rig *r = rig_config(2 << 20);

	r->cfg.bios = (struct blob){ 0 };
	assert_true(rig_build(r, NULL, 0) < 0);
	assert_non_null(strstr(r->err.msg, "no kernel and no firmware"));
	rig_free(r);
	r = direct_config(2 << 20, k, KERNEL_LEN);
	r->cfg.bios = (struct blob){ k, 65536, "bios" };
	assert_true(rig_build(r, NULL, 0) < 0);
	assert_non_null(strstr(r->err.msg, "both"));
	rig_free(r);
	r = rig_config(2 << 20);
	r->cfg.append = "x";
	assert_true(rig_build(r, NULL, 0) < 0);
	assert_non_null(strstr(r->err.msg, "need -kernel"));
	rig_free(r);
	r = rig_config(2 << 20);
	r->cfg.bios.len = 65537;
	assert_true(rig_build(r, NULL, 0) < 0);
	assert_non_null(strstr(r->err.msg, "multiple of 64 KiB"));
	rig_free(r);
	r = rig_config(2 << 20);
	r->cfg.rom_len = 65536;
	assert_true(rig_build(r, NULL, 0) < 0);
	assert_non_null(strstr(r->err.msg, "rom segment"));
	rig_free(r);
	free(k);
}

static void test_small_firmware(void **state)
{
	struct rig *r = rig_config(2 << 20);

	r->cfg.bios.len = 65536;
	r->bios[0xfff0] = 0xea;
	assert_int_equal(rig_build(r, NULL, 0), 0);
	machine_reset(r->m);
	assert_int_equal(rig_map(r, 0xf0000)->read_kind, MEM_ROM);
	assert_int_equal(rig_map(r, 0xf0000)->read_off_page, 0);
	assert_int_equal(rig_map(r, 0xe0000)->read_kind, MEM_NONE);
	assert_int_equal(rig_map(r, 0xffff0000)->gpa_page, 0xffff0);
	assert_int_equal(r->rom[0xfff0], 0xea);
	/* A firmware must not wait for a system management interrupt that never comes. */
	machine_out(r->m, 0xcf8, 4, 0x80000b58);
	assert_true(machine_in(r->m, 0xcff, 1) & 2);
	rig_free(r);
}

/* ---- multiboot ---- */

#define MB_LEN 8192

static void mb_header(uint8_t *p, uint32_t flags)
{
	put_le32(p, 0x1badb002);
	put_le32(p + 4, flags);
	put_le32(p + 8, 0u - 0x1badb002 - flags);
}

/* ELF32 with one segment: file 0x1000..0x1800 at 0x100000, 0x3000 bytes in memory, linked at 3 GiB.
 */
static uint8_t *mb_elf(void)
{
	uint8_t *k = calloc(1, MB_LEN), *ph = k + 52;

	memcpy(k, "\177ELF\1\1\1", 7);
	put_le16(k + 16, 2);
	put_le16(k + 18, 3);
	put_le32(k + 24, 0xc0100010); /* entry */
	put_le32(k + 28, 52);
	put_le16(k + 42, 32);
	put_le16(k + 44, 1);
	put_le32(ph, 1);
	put_le32(ph + 4, 0x1000);
	put_le32(ph + 8, 0xc0100000);
	put_le32(ph + 12, 0x100000);
	put_le32(ph + 16, 0x800);
	put_le32(ph + 20, 0x3000);
	mb_header(k + 0x1000, 3);
	memset(k + 0x1100, 0x33, 0x700);
	return k;
}

static void test_multiboot_elf(void **state)
{
	uint8_t *k = mb_elf(), module[100];
	struct rig *r = direct_config(UINT64_C(16) << 20, k, MB_LEN);
	const uint8_t *ram = r->cfg.ram, *mbi, *mod;
	uint32_t flags, end = 0;

	memset(module, 0x44, sizeof(module));
	r->cfg.initrd = (struct blob){ module, sizeof(module), "mod.bin" };
	memset(r->cfg.ram + 0x100000, 0xff, 0x4000);
	assert_int_equal(rig_build(r, NULL, 0), 0);
	machine_reset(r->m);
	assert_int_equal(param(r, 0), 0x100010); /* physical */
	assert_int_equal(param(r, 1), 0x2badb002);
	assert_memory_equal(ram + 0x100000, k + 0x1000, 0x800);
	assert_int_equal(ram[0x100800], 0); /* bss */
	assert_int_equal(ram[0x102fff], 0);
	mbi = ram + param(r, 2);
	flags = get_le32(mbi);
	assert_int_equal(flags, 0x24d);
	assert_int_equal(get_le32(mbi + 4), 639);
	assert_string_equal((const char *)ram + get_le32(mbi + 16), "vmlinuz console=ttyS0 quiet");
	assert_string_equal((const char *)ram + get_le32(mbi + 64), "dejavm");
	assert_int_equal(get_le32(mbi + 20), 1);
	mod = ram + get_le32(mbi + 24);
	assert_int_equal(get_le32(mod) % 4096, 0);
	assert_int_equal(get_le32(mod + 4) - get_le32(mod), sizeof(module));
	assert_memory_equal(ram + get_le32(mod), module, sizeof(module));
	assert_string_equal((const char *)ram + get_le32(mod + 8), "mod.bin");
	for (uint32_t off = 0, n = get_le32(mbi + 44); off < n;) {
		const uint8_t *e = ram + get_le32(mbi + 48) + off;

		assert_int_equal(get_le32(e), 20);
		assert_true(get_le32(e + 4) >= end);
		end = get_le32(e + 4) + get_le32(e + 12);
		off += get_le32(e) + 4;
	}
	assert_int_equal(end, 16 << 20);
	rig_free(r);
	free(k);
}

static void test_multiboot_addresses(void **state)
{
	uint8_t *k = calloc(1, MB_LEN), *h = k + 0x40;
	struct rig *r = direct_config(UINT64_C(16) << 20, k, MB_LEN);

	mb_header(h, 0x10003);
	put_le32(h + 12, 0x200040); /* header_addr */
	put_le32(h + 16, 0x200000); /* load_addr */
	put_le32(h + 20, 0x201000); /* load_end_addr */
	put_le32(h + 24, 0x205000); /* bss_end_addr */
	put_le32(h + 28, 0x200070); /* entry */
	k[0xfff] = 0x77;
	memset(r->cfg.ram + 0x200000, 0xff, 0x6000);
	assert_int_equal(rig_build(r, NULL, 0), 0);
	machine_reset(r->m);
	assert_int_equal(param(r, 0), 0x200070);
	assert_int_equal(r->cfg.ram[0x200fff], 0x77);
	assert_int_equal(r->cfg.ram[0x201000], 0);
	assert_int_equal(r->cfg.ram[0x204fff], 0);
	assert_int_equal(r->cfg.ram[0x205fff], 0xff);
	rig_free(r);
	free(k);
}

static void mb_fails(uint8_t *k, size_t len, const char *word)
{
	struct rig *r = direct_config(UINT64_C(16) << 20, k, len);

	if (rig_build(r, NULL, 0) == 0)
		fail_msg("no error, expected one with '%s'", word);
	if (!strstr(r->err.msg, word) || !strstr(r->err.msg, "vmlinuz"))
		fail_msg("'%s' lacks '%s'", r->err.msg, word);
	rig_free(r);
	free(k);
}

/* mb_elf() without its multiboot header, with a note of the owner "Linux" in a second segment
 * header. */
static uint8_t *vmlinux(void)
{
	uint8_t *k = mb_elf(), *ph = k + 84, *note = k + 0xf00;

	memset(k + 0x1000, 0x33, 12);
	put_le16(k + 44, 2);
	put_le32(ph, 4);
	put_le32(ph + 4, 0xf00);
	put_le32(ph + 16, 48);
	put_le32(note, 4); /* another owner first */
	put_le32(note + 4, 3);
	memcpy(note + 12, "GNU", 4);
	put_le32(note + 20, 6);
	memcpy(note + 32, "Linux", 6);
	return k;
}

static void test_vmlinux(void **state)
{
	uint8_t *k = vmlinux(), initrd[100];
	struct rig *r = direct_config(UINT64_C(16) << 20, k, MB_LEN);
	const uint8_t *ram = r->cfg.ram, *zp;

	memset(initrd, 0x42, sizeof(initrd));
	r->cfg.initrd = (struct blob){ initrd, sizeof(initrd), "initrd.img" };
	assert_int_equal(rig_build(r, NULL, 0), 0);
	machine_reset(r->m);
	assert_int_equal(param(r, 0), 0x100010); /* physical entry */
	zp = ram + param(r, 5);
	assert_memory_equal(ram + 0x100000, k + 0x1000, 0x800);
	assert_memory_equal(zp + 0x202, "HdrS", 4);
	assert_int_equal(zp[0x211] & 1, 1);
	assert_string_equal((const char *)ram + get_le32(zp + 0x228), "console=ttyS0 quiet");
	assert_int_equal(get_le32(zp + 0x21c), sizeof(initrd));
	assert_memory_equal(ram + get_le32(zp + 0x218), initrd, sizeof(initrd));
	assert_true(zp[0x1e8] > 0);
	rig_free(r);
	free(k);
}

static void test_vmlinux_bad(void **state)
{
	uint8_t *k = vmlinux();

	put_le32(k + 0xf00 + 20, 5); /* "Linux" without its NUL is another name */
	mb_fails(k, MB_LEN, "a note of 'Linux'");
	k = vmlinux();
	put_le32(k + 0xf00 + 4, 0xfffffff0); /* a note that reaches out of its segment */
	mb_fails(k, MB_LEN, "a note of 'Linux'");
	k = vmlinux();
	put_le32(k + 84 + 4, MB_LEN - 8);
	mb_fails(k, MB_LEN, "a note of 'Linux'");
	k = vmlinux();
	put_le32(k + 52 + 4, MB_LEN - 4);
	mb_fails(k, MB_LEN, "segment 0");
}

static void test_multiboot_bad(void **state)
{
	uint8_t *k = mb_elf();

	mb_header(k + 0x1000, 0x0b);
	mb_fails(k, MB_LEN, "demand what is not known here: 0x8");
	k = mb_elf();
	k[0x1008] ^= 1; /* the checksum: not a header then */
	mb_fails(k, MB_LEN, "not a Linux bzImage nor a multiboot image");
	k = mb_elf();
	k[4] = 2;
	mb_fails(k, MB_LEN, "ELF class 2");
	k = mb_elf();
	k[0] = 0;
	mb_fails(k, MB_LEN, "not ELF");
	k = mb_elf();
	put_le32(k + 52 + 16, 0x7001); /* filesz > memsz */
	mb_fails(k, MB_LEN, "segment 0");
	k = mb_elf();
	put_le32(k + 52 + 4, MB_LEN - 4); /* beyond the file */
	mb_fails(k, MB_LEN, "segment 0");
	k = mb_elf();
	put_le32(k + 52 + 12, 0xfffff000); /* beyond RAM */
	mb_fails(k, MB_LEN, "expected within RAM");
	k = mb_elf();
	put_le32(k + 52 + 12, 0x9f000); /* over the hole */
	mb_fails(k, MB_LEN, "expected within RAM");
	k = mb_elf();
	put_le32(k + 52 + 20, 0xffffffff);
	mb_fails(k, MB_LEN, "expected within RAM");
	k = mb_elf();
	put_le32(k + 28, 0xfffffff0); /* program headers */
	mb_fails(k, MB_LEN, "program headers");
	k = mb_elf();
	put_le16(k + 44, 0);
	mb_fails(k, MB_LEN, "without a segment");
	k = mb_elf();
	put_le16(k + 44, 2); /* the same twice */
	memcpy(k + 84, k + 52, 32);
	mb_fails(k, MB_LEN, "lies over");
	k = calloc(1, MB_LEN);
	mb_header(k, 0x10000);
	put_le32(k + 12, 0x100000);
	put_le32(k + 16, 0x100004); /* header before load address */
	mb_fails(k, MB_LEN, "do not match");
	k = calloc(1, MB_LEN);
	mb_header(k, 0x10000);
	put_le32(k + 12, 0x100000);
	put_le32(k + 16, 0x100000);
	put_le32(k + 20, 0x200000);
	mb_fails(k, MB_LEN, "load_end_addr");
	k = calloc(1, MB_LEN);
	mb_header(k, 0x10000);
	mb_fails(k, 16, "cut off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_linux_initrd_max),
		cmocka_unit_test(test_zimage),
		cmocka_unit_test(test_linux_bad),
		cmocka_unit_test(test_initrd_too_large),
		cmocka_unit_test(test_what_to_boot),
		cmocka_unit_test(test_small_firmware),
		cmocka_unit_test(test_multiboot_elf),
		cmocka_unit_test(test_multiboot_addresses),
		cmocka_unit_test(test_multiboot_bad),
		cmocka_unit_test(test_vmlinux),
		cmocka_unit_test(test_vmlinux_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
