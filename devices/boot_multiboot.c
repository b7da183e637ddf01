/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot kernels: Multiboot Specification 0.6.96. 32-bit ELF, or any file with the address
 * fields ("a.out kludge"). An initrd becomes one module. The information structure, strings and
 * module lie behind the kernel.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "boot.h"
#include "bytes.h"

#define MB_SEARCH     8192
#define MB_MAGIC      0x1badb002u
#define MB_LOADER     0x2badb002u
#define MB_F_ALIGN    0x00000001u
#define MB_F_MEMORY   0x00000002u
#define MB_F_VIDEO    0x00000004u
#define MB_F_ADDRESS  0x00010000u
#define MB_F_REQUIRED 0x0000ffffu

#define MBI_LEN	       116
#define MBI_F_MEMORY   0x001
#define MBI_F_CMDLINE  0x004
#define MBI_F_MODULES  0x008
#define MBI_F_MMAP     0x040
#define MBI_F_LOADER   0x200
#define MMAP_ENTRY_LEN 24 /* with its size field */
#define MOD_LEN	       16

struct mb_image {
	const uint8_t *header;
	uint32_t flags;
	size_t header_off;
	uint64_t end; /* of what is loaded */
};

static const uint8_t *header_find(const struct blob *k, size_t *ret_off)
{
	size_t max = k->len < MB_SEARCH ? k->len : MB_SEARCH;

	for (size_t i = 0; i + 12 <= max; i += 4) {
		const uint8_t *p = k->data + i;

		if (get_le32(p) == MB_MAGIC &&
			get_le32(p) + get_le32(p + 4) + get_le32(p + 8) == 0) {
			*ret_off = i;
			return p;
		}
	}
	return NULL;
}

/* The address fields: load the file as one piece. */
static int address_load(struct boot *b, struct mb_image *im, struct error *err)
{
	const uint8_t *h = im->header;
	const char *name = b->kernel.name;
	uint32_t header_addr, load_addr, load_end, bss_end;
	uint64_t off, len, bss;

	if (b->kernel.len - im->header_off < 32)
		return error_set(err, EINVAL, "kernel %s: the multiboot header is cut off", name);
	header_addr = get_le32(h + 12);
	load_addr = get_le32(h + 16);
	load_end = get_le32(h + 20);
	bss_end = get_le32(h + 24);
	if (header_addr < load_addr || header_addr - load_addr > im->header_off)
		return error_set(err, EINVAL,
			"kernel %s: multiboot header_addr 0x%x and load_addr 0x%x do not match the "
			"header's place, "
			"offset 0x%zx",
			name, header_addr, load_addr, im->header_off);
	off = im->header_off - (header_addr - load_addr);
	len = load_end ? (uint64_t)load_end - load_addr : b->kernel.len - off;
	if ((load_end && load_end < load_addr) || len > b->kernel.len - off)
		return error_set(err, EINVAL,
			"kernel %s: multiboot load_end_addr 0x%x: expected 0x%x to 0x%" PRIx64,
			name, load_end, load_addr, load_addr + (b->kernel.len - off));
	if (bss_end && bss_end < load_addr + len)
		return error_set(err, EINVAL,
			"kernel %s: multiboot bss_end_addr 0x%x lies before the data's end, "
			"0x%" PRIx64,
			name, bss_end, load_addr + len);
	bss = bss_end ? bss_end - (load_addr + len) : 0;
	b->regs.entry = get_le32(h + 28);
	b->kernel_gpa = load_addr;
	im->end = load_addr + len + bss;
	return boot_load_add(b, "kernel", load_addr, b->kernel.data + off, len, bss, err);
}

/* ---- the information structure ---- */

struct mb_info {
	uint8_t *buf;
	uint32_t gpa, len, cap;
};

/* Appends bytes (NULL: zeroes) and returns their address. */
static uint32_t info_add(struct mb_info *mi, const void *data, uint32_t len)
{
	uint32_t at = mi->gpa + mi->len;

	if (data)
		memcpy(mi->buf + mi->len, data, len);
	mi->len += (len + 3) & ~3u;
	return at;
}

static void info_memory(const struct boot *b, struct mb_info *mi)
{
	uint32_t table = mi->gpa + mi->len;

	for (unsigned i = 0; i < b->n_e820; i++) {
		uint8_t e[MMAP_ENTRY_LEN];

		put_le32(e, MMAP_ENTRY_LEN - 4);
		put_le64(e + 4, b->e820[i].gpa);
		put_le64(e + 12, b->e820[i].len);
		put_le32(e + 20, b->e820[i].type);
		info_add(mi, e, sizeof(e));
	}
	put_le32(mi->buf + 4, BOOT_BASE_MEM_KIB);
	put_le32(mi->buf + 8, (uint32_t)((b->ram_top - MACHINE_RAM_MIN) >> 10));
	put_le32(mi->buf + 44, b->n_e820 * MMAP_ENTRY_LEN);
	put_le32(mi->buf + 48, table);
}

static int module_add(struct boot *b, struct mb_info *mi, uint64_t info_end, struct error *err)
{
	uint64_t gpa = (info_end + 0xfff) & ~UINT64_C(0xfff);
	uint8_t mod[MOD_LEN] = { 0 };
	uint32_t name;

	if (gpa < MACHINE_RAM_MIN)
		gpa = MACHINE_RAM_MIN;
	if (b->initrd.len > b->ram_top || gpa > b->ram_top - b->initrd.len)
		return error_set(err, ENOMEM,
			"initrd %s: %zu bytes do not fit between 0x%" PRIx64 " and 0x%" PRIx64
			": give the machine more memory (-m)",
			b->initrd.name, b->initrd.len, gpa, b->ram_top);
	name = info_add(mi, b->initrd.name, (uint32_t)strlen(b->initrd.name) + 1);
	put_le32(mod, (uint32_t)gpa);
	put_le32(mod + 4, (uint32_t)(gpa + b->initrd.len));
	put_le32(mod + 8, name);
	put_le32(mi->buf + 20, 1);
	put_le32(mi->buf + 24, info_add(mi, mod, sizeof(mod)));
	b->initrd_gpa = (uint32_t)gpa;
	return boot_load_add(b, "module", gpa, b->initrd.data, b->initrd.len, 0, err);
}

/* The command line is the kernel's name, a blank, and what -append says. */
static uint32_t info_cmdline(const struct boot *b, struct mb_info *mi)
{
	uint32_t at = mi->gpa + mi->len;
	int n = snprintf((char *)mi->buf + mi->len, mi->cap - mi->len, "%s%s%s", b->kernel.name,
		*b->append ? " " : "", b->append);

	mi->len += ((uint32_t)n + 1 + 3) & ~3u;
	return at;
}

static int info_build(struct boot *b, struct mb_image *im, struct error *err)
{
	static const char loader[] = "dejavm";
	bool module = b->initrd.data && b->initrd.len;
	uint64_t gpa = (im->end + 0xfff) & ~UINT64_C(0xfff);
	size_t names =
		strlen(b->kernel.name) + strlen(b->append) + (module ? strlen(b->initrd.name) : 0);
	struct mb_info mi = { .cap = 4096 };
	int r = 0;

	/* A kernel below 1 MiB may reach up to the hole; what follows it then lies above. */
	if (gpa < MACHINE_RAM_MIN)
		gpa = MACHINE_RAM_MIN;
	if (names > UINT16_MAX)
		return error_set(err, E2BIG,
			"kernel %s: the command line (-append) has %zu bytes: at most 60000",
			b->kernel.name, strlen(b->append));
	mi.cap += (uint32_t)names;
	if (gpa + mi.cap > b->ram_top)
		return error_set(err, ENOMEM,
			"kernel %s: no room behind it at 0x%" PRIx64
			": give the machine more memory (-m)",
			b->kernel.name, gpa);
	mi.gpa = (uint32_t)gpa;
	mi.buf = boot_buffer(b, mi.cap, err);
	if (!mi.buf)
		return -ENOMEM;
	info_add(&mi, NULL, MBI_LEN);
	info_memory(b, &mi);
	b->cmdline_gpa = info_cmdline(b, &mi);
	put_le32(mi.buf + 16, b->cmdline_gpa);
	put_le32(mi.buf + 64, info_add(&mi, loader, sizeof(loader)));
	if (module)
		r = module_add(b, &mi, gpa + mi.cap, err);
	put_le32(mi.buf, MBI_F_MEMORY | MBI_F_CMDLINE | MBI_F_MMAP | MBI_F_LOADER |
				 (module ? MBI_F_MODULES : 0));
	if (r == 0)
		r = boot_load_add(b, "multiboot information", gpa, mi.buf, mi.len, 0, err);
	b->regs.eax = MB_LOADER;
	b->regs.ebx = mi.gpa;
	return r;
}

int boot_multiboot(struct boot *b, struct error *err)
{
	struct mb_image im = { 0 };
	uint32_t unknown;
	int r;

	im.header = header_find(&b->kernel, &im.header_off);
	if (!im.header)
		return 1;
	im.flags = get_le32(im.header + 4);
	unknown = im.flags & MB_F_REQUIRED & ~(MB_F_ALIGN | MB_F_MEMORY | MB_F_VIDEO);
	if (unknown)
		return error_set(err, ENOTSUP,
			"kernel %s: multiboot header flags 0x%x demand what is not known here: "
			"0x%x",
			b->kernel.name, im.flags, unknown);
	if (im.flags & MB_F_ADDRESS)
		r = address_load(b, &im, err);
	else if (boot_elf_is(&b->kernel))
		r = boot_elf_load(b, &b->regs.entry, &im.end, err);
	else
		r = error_set(err, EINVAL,
			"kernel %s: a multiboot header without address fields in a file that is "
			"not ELF",
			b->kernel.name);
	if (r == 0)
		r = info_build(b, &im, err);
	return r;
}
