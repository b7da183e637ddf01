/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the machine starts with: a firmware image, or a kernel that is put into RAM at each reset
 * together with a small ROM that jumps to it. The vCPU knows nothing of it: it always starts at
 * F000:FFF0.
 */
#ifndef DEJAVM_BOOT_H
#define DEJAVM_BOOT_H

#include "acpi.h"
#include "machine.h"
#include "smbios.h"

#define BOOT_LOADS_MAX	  80
#define BOOT_BUFFERS_MAX  16
#define BOOT_E820_MAX	  16
#define BOOT_E820_LEN	  20
#define BOOT_BASE_MEM_KIB 639
#define BOOT_EBDA_GPA	  0x9fc00
#define BOOT_LOW_END	  BOOT_EBDA_GPA
#define BOOT_KERNEL_MAX	  (256u << 20)

/* A piece of RAM that a reset fills: len bytes of data, then zeroes. data is the image's or a
 * buffer of struct boot. */
struct boot_load {
	uint64_t gpa;
	const uint8_t *data;
	uint64_t len, zero_len;
};

struct boot_regs {
	uint32_t entry, eax, ebx, ecx, edx, esi, edi, ebp;
};

struct boot_e820 {
	uint64_t gpa, len;
	uint32_t type; /* 1 RAM, 2 reserved */
};

/* What a kernel image asks for, in a machine with ram_bytes of RAM; filled by boot_linux() or
 * boot_multiboot(). */
struct boot {
	/* given */
	uint64_t ram_bytes;
	struct blob kernel, initrd;
	const char *append;
	struct boot_e820 e820[BOOT_E820_MAX];
	unsigned n_e820;
	uint64_t ram_top; /* end of the RAM that a kernel may use: the ACPI tables lie above */
	/* wanted */
	struct boot_load load[BOOT_LOADS_MAX];
	unsigned n_loads;
	struct boot_regs regs;
	bool direct;
	bool vga; /* there is a display adapter: it will be in text mode */
	uint32_t kernel_gpa, initrd_gpa, setup_gpa, cmdline_gpa; /* for fw_cfg's kernel items */
	uint32_t setup_len; /* bytes of the image that are real-mode code */
	/* owned */
	void *buffer[BOOT_BUFFERS_MAX];
	unsigned n_buffers;
	struct acpi acpi;	 /* as the firmware gets it: not linked */
	struct acpi acpi_linked; /* as direct boot places it */
	struct smbios smbios;	 /* likewise */
	uint8_t e820_bytes[BOOT_E820_MAX * BOOT_E820_LEN];
};

/* Zeroed memory that lives as long as b; NULL with *err. */
void *boot_buffer(struct boot *b, size_t len, struct error *err);
/* Adds a load. -ENOSPC/-EINVAL with *err: too many, not in RAM that may be used, or over another
 * one (what names it in words). */
int boot_load_add(struct boot *b, const char *what, uint64_t gpa, const uint8_t *data, uint64_t len,
	uint64_t zero_len, struct error *err);
void boot_done(struct boot *b);

/* Does the image begin as an ELF file? */
bool boot_elf_is(const struct blob *k);
/*
 * Adds a load for each segment of the ELF kernel (boot_elf_is()). *ret_entry: physical address of
 * the entry; *ret_end: end of what is loaded. 0 or -errno with *err.
 */
int boot_elf_load(struct boot *b, uint32_t *ret_entry, uint64_t *ret_end, struct error *err);
/* Is the kernel an i386 ELF file with a note whose owner is this? */
bool boot_elf_has_note(const struct boot *b, const char *owner);

/*
 * Reads the image and plans the loads and registers. 1: it is not an image of this kind; 0: done;
 * -errno with *err, which begins with the file's name.
 */
int boot_linux(struct boot *b, struct error *err);
/* A Linux kernel out of its bzImage: an ELF file with a note of owner "Linux". */
int boot_vmlinux(struct boot *b, struct error *err);
int boot_multiboot(struct boot *b, struct error *err);
/* Both, and the message when it is neither. */
int boot_kernel(struct boot *b, struct error *err);

/* The first three letters of -boot order= (NULL, "": the default) as the CMOS RAM has them. */
uint32_t boot_order_code(const char *letters);
/* Part of boot_setup(): what the firmware boots from. 0 or -errno with *err. */
int boot_order_setup(struct machine *m, struct boot *b, struct error *err);

/* Part of board_build(): firmware or kernel, fw_cfg items. 0 or -errno with *err. */
int boot_setup(struct machine *m, struct error *err);
/* Part of machine_reset(): fills RAM for direct boot. */
void boot_reset(struct machine *m);
void boot_free(struct machine *m);

#endif
