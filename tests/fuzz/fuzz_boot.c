/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel images: whatever the file says, each load lies in RAM, reads only bytes that exist, and
 * lies over no other; and what is refused is refused with a sentence. The first byte chooses RAM
 * size and whether there is an initrd.
 */
#include <stdlib.h>
#include <string.h>
#include "boot.h"
#include "bytes.h"
#include "fuzz.h"

static uint8_t linux_seed[4096 + 1], elf_seed[1024 + 1], aout_seed[512 + 1], note_seed[1024 + 1];

const struct fuzz_seed fuzz_seeds[] = {
	{ linux_seed, sizeof(linux_seed) },
	{ elf_seed, sizeof(elf_seed) },
	{ aout_seed, sizeof(aout_seed) },
	{ note_seed, sizeof(note_seed) },
	{ NULL, 0 },
};

static void mb_header(uint8_t *p, uint32_t flags)
{
	put_le32(p, 0x1badb002);
	put_le32(p + 4, flags);
	put_le32(p + 8, 0u - 0x1badb002 - flags);
}

__attribute__((constructor)) static void seeds_make(void)
{
	uint8_t *k = linux_seed + 1;

	k[0x1f1] = 1;
	put_le32(k + 0x1f4, (4096 - 1024) / 16);
	put_le16(k + 0x1fe, 0xaa55);
	k[0x201] = 0x66;
	memcpy(k + 0x202, "HdrS", 4);
	put_le16(k + 0x206, 0x20f);
	k[0x211] = 1;
	put_le32(k + 0x22c, 0x37ffffff);
	put_le32(k + 0x238, 2047);
	put_le32(k + 0x258, 0x100000);
	put_le32(k + 0x260, 0x10000);
	k = elf_seed + 1;
	memcpy(k, "\177ELF\1\1\1", 7);
	put_le16(k + 18, 3);
	put_le32(k + 24, 0x100000);
	put_le32(k + 28, 52);
	put_le16(k + 42, 32);
	put_le16(k + 44, 2);
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t *ph = k + 52 + 32 * i;

		put_le32(ph, 1);
		put_le32(ph + 4, 256 + 256 * i);
		put_le32(ph + 8, 0x100000 + 0x1000 * i);
		put_le32(ph + 12, 0x100000 + 0x1000 * i);
		put_le32(ph + 16, 256);
		put_le32(ph + 20, 0x800);
	}
	mb_header(k + 256, 3);
	/* The same as a vmlinux: the second segment a note of Linux's instead, no multiboot header.
	 */
	memcpy(note_seed, elf_seed, sizeof(note_seed));
	k = note_seed + 1;
	k[256] = 0;
	put_le32(k + 84, 4);
	put_le32(k + 512, 6);
	put_le32(k + 516, 4);
	memcpy(k + 524, "Linux", 6);
	k = aout_seed + 1;
	mb_header(k + 16, 0x10003);
	put_le32(k + 28, 0x100010);
	put_le32(k + 32, 0x100000);
	put_le32(k + 36, 0x100200);
	put_le32(k + 40, 0x100400);
	put_le32(k + 44, 0x100020);
}

static bool within(const uint8_t *p, uint64_t len, const uint8_t *base, uint64_t base_len)
{
	return p >= base && len <= base_len && (uint64_t)(p - base) <= base_len - len;
}

static void check_loads(const struct boot *b, const uint8_t *append, size_t append_len)
{
	for (unsigned i = 0; i < b->n_loads; i++) {
		const struct boot_load *l = &b->load[i];
		uint64_t end = l->gpa + l->len + l->zero_len;
		uint8_t sum = 0;

		FUZZ_CHECK(end > l->gpa && end <= b->ram_bytes);
		FUZZ_CHECK(end <= 0x9fc00 || l->gpa >= 0x100000);
		for (unsigned k = 0; k < i; k++)
			FUZZ_CHECK(end <= b->load[k].gpa ||
				   b->load[k].gpa + b->load[k].len + b->load[k].zero_len <= l->gpa);
		/* From the image, the initrd or the command line; else one of our own buffers:
		 * touch it for the sanitizer. */
		if (!within(l->data, l->len, b->kernel.data, b->kernel.len) &&
			!within(l->data, l->len, b->initrd.data, b->initrd.len) &&
			!within(l->data, l->len, append, append_len))
			for (uint64_t n = 0; n < l->len; n++)
				sum ^= l->data[n];
		FUZZ_CHECK(sum || !sum);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char append[] = "console=ttyS0";
	static uint8_t initrd[5000];
	struct error err = ERROR_INIT;
	struct boot *b;
	uint8_t *copy;
	int r;

	if (size < 1)
		return 0;
	b = calloc(1, sizeof(*b));
	copy = malloc(size); /* exactly as long as it is, for the sanitizer */
	if (!b || !copy)
		abort();
	memcpy(copy, data + 1, size - 1);
	b->ram_bytes = (UINT64_C(1) << 20) << (data[0] & 7);
	b->ram_top = b->ram_bytes - 0x2000;
	b->kernel = (struct blob){ copy, size - 1, "kernel" };
	if (data[0] & 8)
		b->initrd = (struct blob){ initrd, sizeof(initrd), "initrd" };
	b->append = append;
	b->e820[0] = (struct boot_e820){ 0, 0x9fc00, 1 };
	b->n_e820 = 1;
	r = boot_kernel(b, &err);
	if (r == 0)
		check_loads(b, (const uint8_t *)append, sizeof(append));
	else
		FUZZ_CHECK(r < 0 && err.code > 0 && strlen(err.msg) > 10);
	boot_done(b);
	free(b);
	free(copy);
	return 0;
}
