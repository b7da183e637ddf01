/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux bzImages by the 32-bit boot protocol (Linux Documentation/x86/boot.rst and zero-page.rst).
 * The real-mode code is not run: what it would have asked the BIOS is filled in here. Also the
 *kernel that has been taken out of a bzImage (vmlinux), which begins where the bzImage's
 *decompressor would jump to, by the same protocol.
 *
 *	1000	boot_params ("zero page")
 *	2000	command line
 *	10000 or 100000	kernel	(zImage or bzImage)
 *	as high as RAM, the ACPI tables and initrd_addr_max allow: initrd
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "boot.h"
#include "bytes.h"

/* Offsets in the image's first sectors, and (from SETUP_SECTS on) in boot_params. */
#define HDR_SETUP_SECTS	    0x1f1
#define HDR_SYSSIZE	    0x1f4
#define HDR_VID_MODE	    0x1fa
#define HDR_BOOT_FLAG	    0x1fe
#define HDR_JUMP_LEN	    0x201
#define HDR_MAGIC	    0x202
#define HDR_VERSION	    0x206
#define HDR_TYPE_OF_LOADER  0x210
#define HDR_LOADFLAGS	    0x211
#define HDR_CODE32_START    0x214
#define HDR_RAMDISK_IMAGE   0x218
#define HDR_RAMDISK_SIZE    0x21c
#define HDR_CMD_LINE_PTR    0x228
#define HDR_INITRD_ADDR_MAX 0x22c
#define HDR_XLOADFLAGS	    0x236
#define HDR_CMDLINE_SIZE    0x238
#define HDR_PREF_ADDRESS    0x258
#define HDR_INIT_SIZE	    0x260
#define HDR_END_MAX	    0x290

#define LOADED_HIGH	0x01
#define XLF_KERNEL_64	0x01
#define LOADER_QEMU	0xb0
#define VID_MODE_NORMAL 0xffff
#define SECTOR		512

/* screen_info, at the beginning */
#define SCREEN_MODE   0x06
#define SCREEN_COLS   0x07
#define SCREEN_EGA_BX 0x0a
#define SCREEN_LINES  0x0e
#define SCREEN_IS_VGA 0x0f
#define SCREEN_POINTS 0x10

#define PARAMS_EXT_MEM_K  0x002
#define PARAMS_RSDP	  0x070
#define PARAMS_ALT_MEM_K  0x1e0
#define PARAMS_E820_COUNT 0x1e8
#define PARAMS_E820	  0x2d0
#define PARAMS_LEN	  4096

#define PARAMS_GPA  0x1000
#define CMDLINE_GPA 0x2000
#define CMDLINE_MAX 0xe000 /* up to where a zImage lies */

#define INITRD_MAX_OLD	 0x37ffffff /* before protocol 2.03 */
#define CMDLINE_SIZE_OLD 255	    /* before 2.06 */
/* A vmlinux has no header that says: the protocol of 3.x and later, and the limits of i386. */
#define VMLINUX_VERSION	    0x20f
#define VMLINUX_CMDLINE_MAX 2047

struct linux_image {
	unsigned version;
	uint32_t setup_len; /* boot sector and real-mode code; 0: a vmlinux, which has none */
	uint64_t code_len;
	bool high;
	uint32_t initrd_max; /* last byte's address */
	uint32_t cmdline_max;
	uint64_t init_end; /* the kernel needs RAM up to here before it looks at the map; 0: it does
			      not say */
};

static int image_read(const struct boot *b, struct linux_image *im, struct error *err)
{
	const uint8_t *p = b->kernel.data;
	const char *name = b->kernel.name;
	unsigned sects;
	uint64_t said;

	if (b->kernel.len < HDR_END_MAX || get_le16(p + HDR_BOOT_FLAG) != 0xaa55 ||
		memcmp(p + HDR_MAGIC, "HdrS", 4) != 0)
		return 1;
	im->version = get_le16(p + HDR_VERSION);
	if (im->version < 0x202)
		return error_set(err, EINVAL,
			"kernel %s: boot protocol %u.%02u: expected 2.02 or later", name,
			im->version >> 8, im->version & 0xff);
	if (im->version >= 0x20c && (get_le16(p + HDR_XLOADFLAGS) & XLF_KERNEL_64))
		return error_set(err, EINVAL,
			"kernel %s: a 64-bit kernel: expected one for i386 (Debian: "
			"linux-image-686)",
			name);
	sects = p[HDR_SETUP_SECTS] ? p[HDR_SETUP_SECTS] : 4;
	im->setup_len = (sects + 1) * SECTOR;
	if (b->kernel.len <= im->setup_len)
		return error_set(err, EINVAL,
			"kernel %s: %zu bytes, but its header says that the kernel begins at %u: "
			"cut off?",
			name, b->kernel.len, im->setup_len);
	im->code_len = b->kernel.len - im->setup_len;
	said = im->version >= 0x204 ? (uint64_t)get_le32(p + HDR_SYSSIZE) * 16 : 0;
	/* The last paragraph may be missing: the size is rounded up. */
	if (said > im->code_len + 15)
		return error_set(err, EINVAL,
			"kernel %s: %" PRIu64 " bytes of code, but its header says %" PRIu64
			": cut off?",
			name, im->code_len, said);
	im->high = p[HDR_LOADFLAGS] & LOADED_HIGH;
	im->initrd_max = im->version >= 0x203 ? get_le32(p + HDR_INITRD_ADDR_MAX) : INITRD_MAX_OLD;
	im->cmdline_max = im->version >= 0x206 ? get_le32(p + HDR_CMDLINE_SIZE) : CMDLINE_SIZE_OLD;
	im->init_end = im->version >= 0x20a ? (uint64_t)get_le32(p + HDR_PREF_ADDRESS) +
						      get_le32(p + HDR_INIT_SIZE)
					    : 0;
	return 0;
}

static void params_e820(const struct boot *b, uint8_t *zp)
{
	uint8_t *e = zp + PARAMS_E820;

	zp[PARAMS_E820_COUNT] = (uint8_t)b->n_e820;
	for (unsigned i = 0; i < b->n_e820; i++, e += BOOT_E820_LEN) {
		put_le64(e, b->e820[i].gpa);
		put_le64(e + 8, b->e820[i].len);
		put_le32(e + 16, b->e820[i].type);
	}
}

static void params_header(const struct boot *b, uint8_t *zp)
{
	const uint8_t *p = b->kernel.data;
	unsigned end = HDR_MAGIC + p[HDR_JUMP_LEN];

	if (end > HDR_END_MAX)
		end = HDR_END_MAX;
	memcpy(zp + HDR_SETUP_SECTS, p + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
	put_le16(zp + HDR_VID_MODE, VID_MODE_NORMAL);
	zp[HDR_TYPE_OF_LOADER] = LOADER_QEMU;
}

/* What the image's header would have said, for a kernel that has none. */
static void params_header_vmlinux(uint8_t *zp)
{
	put_le16(zp + HDR_BOOT_FLAG, 0xaa55);
	memcpy(zp + HDR_MAGIC, "HdrS", 4);
	put_le16(zp + HDR_VERSION, VMLINUX_VERSION);
	zp[HDR_LOADFLAGS] = LOADED_HIGH;
	put_le16(zp + HDR_VID_MODE, VID_MODE_NORMAL);
	zp[HDR_TYPE_OF_LOADER] = LOADER_QEMU;
}

/* What the real-mode code would have learned of the video BIOS: 80x25 text on a VGA. */
static void params_screen(uint8_t *zp)
{
	zp[SCREEN_MODE] = 3;
	zp[SCREEN_COLS] = 80;
	put_le16(zp + SCREEN_EGA_BX, 3);
	zp[SCREEN_LINES] = 25;
	zp[SCREEN_IS_VGA] = 1;
	put_le16(zp + SCREEN_POINTS, 16);
}

static int params_add(
	struct boot *b, const struct linux_image *im, uint8_t **ret, struct error *err)
{
	uint8_t *zp = boot_buffer(b, PARAMS_LEN, err);
	uint64_t high_kib = (b->ram_top - MACHINE_RAM_MIN) >> 10;

	if (!zp)
		return -ENOMEM;
	if (im->setup_len)
		params_header(b, zp);
	else
		params_header_vmlinux(zp);
	params_e820(b, zp);
	if (b->vga)
		params_screen(zp);
	put_le16(zp + PARAMS_EXT_MEM_K, (uint16_t)(high_kib > 0xfc00 ? 0xfc00 : high_kib));
	put_le32(zp + PARAMS_ALT_MEM_K, (uint32_t)high_kib);
	if (im->version >= 0x20e)
		put_le32(zp + PARAMS_RSDP, 0xf0000);
	*ret = zp;
	return boot_load_add(b, "boot parameters", PARAMS_GPA, zp, PARAMS_LEN, 0, err);
}

static int cmdline_add(struct boot *b, const struct linux_image *im, uint8_t *zp, struct error *err)
{
	size_t len = strlen(b->append);

	if (len > im->cmdline_max || len >= CMDLINE_MAX)
		return error_set(err, E2BIG,
			"kernel %s: the command line (-append) has %zu bytes: this kernel takes %u",
			b->kernel.name, len,
			im->cmdline_max < CMDLINE_MAX ? im->cmdline_max : CMDLINE_MAX - 1);
	put_le32(zp + HDR_CMD_LINE_PTR, CMDLINE_GPA);
	b->cmdline_gpa = CMDLINE_GPA;
	return boot_load_add(
		b, "command line", CMDLINE_GPA, (const uint8_t *)b->append, len + 1, 0, err);
}

static int initrd_add(struct boot *b, const struct linux_image *im, uint64_t kernel_end,
	uint8_t *zp, struct error *err)
{
	uint64_t top = b->ram_top, gpa;

	if (!b->initrd.data || !b->initrd.len)
		return 0;
	if (top > (uint64_t)im->initrd_max + 1)
		top = (uint64_t)im->initrd_max + 1;
	gpa = b->initrd.len <= top ? (top - b->initrd.len) & ~UINT64_C(0xfff) : 0;
	if (gpa < kernel_end)
		return error_set(err, ENOMEM,
			"initrd %s: %zu bytes do not fit between the kernel's end at 0x%" PRIx64
			" and 0x%" PRIx64 ": give the machine more memory (-m)",
			b->initrd.name, b->initrd.len, kernel_end, top);
	put_le32(zp + HDR_RAMDISK_IMAGE, (uint32_t)gpa);
	put_le32(zp + HDR_RAMDISK_SIZE, (uint32_t)b->initrd.len);
	b->initrd_gpa = (uint32_t)gpa;
	return boot_load_add(b, "initrd", gpa, b->initrd.data, b->initrd.len, 0, err);
}

int boot_linux(struct boot *b, struct error *err)
{
	struct linux_image im = { 0 };
	uint8_t *zp = NULL;
	uint64_t kernel_end;
	int r = image_read(b, &im, err);

	if (r != 0)
		return r;
	b->kernel_gpa = im.high ? 0x100000 : 0x10000;
	kernel_end = b->kernel_gpa + im.code_len;
	if (im.high && im.init_end > kernel_end)
		kernel_end = im.init_end;
	if (kernel_end > (im.high ? b->ram_top : BOOT_LOW_END))
		return error_set(err, ENOMEM,
			"kernel %s: needs RAM up to 0x%" PRIx64
			", the machine has it up to 0x%" PRIx64 ": give it more memory (-m)",
			b->kernel.name, kernel_end, im.high ? b->ram_top : (uint64_t)BOOT_LOW_END);
	r = params_add(b, &im, &zp, err);
	if (r == 0)
		r = cmdline_add(b, &im, zp, err);
	if (r == 0)
		r = boot_load_add(b, "kernel", b->kernel_gpa, b->kernel.data + im.setup_len,
			im.code_len, 0, err);
	if (r == 0)
		r = initrd_add(b, &im, kernel_end, zp, err);
	if (r < 0)
		return r;
	b->setup_gpa = PARAMS_GPA;
	b->setup_len = im.setup_len;
	/* A boot loader's hook may have changed code32_start; we have none, and load where it
	 * points by definition. */
	put_le32(zp + HDR_CODE32_START, b->kernel_gpa);
	b->regs = (struct boot_regs){ .entry = b->kernel_gpa, .esi = PARAMS_GPA };
	return 0;
}

int boot_vmlinux(struct boot *b, struct error *err)
{
	struct linux_image im = { .version = VMLINUX_VERSION,
		.high = true,
		.initrd_max = INITRD_MAX_OLD,
		.cmdline_max = VMLINUX_CMDLINE_MAX };
	uint32_t entry = 0;
	uint64_t end = 0;
	uint8_t *zp = NULL;
	int r;

	if (!boot_elf_has_note(b, "Linux"))
		return 1;
	r = boot_elf_load(b, &entry, &end, err);
	if (r == 0)
		r = params_add(b, &im, &zp, err);
	if (r == 0)
		r = cmdline_add(b, &im, zp, err);
	if (r == 0)
		r = initrd_add(b, &im, end, zp, err);
	if (r < 0)
		return r;
	b->setup_gpa = PARAMS_GPA;
	put_le32(zp + HDR_CODE32_START, entry);
	b->regs = (struct boot_regs){ .entry = entry, .esi = PARAMS_GPA };
	return 0;
}
