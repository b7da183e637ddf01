/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 32-bit ELF executables (System V ABI, "Object Files"): the segments go to their physical
 * addresses. For multiboot kernels, and for Linux kernels that have been taken out of their bzImage
 * (vmlinux).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "boot.h"
#include "bytes.h"

#define ELF_HEADER_LEN 52
#define ELF_PH_LEN     32
#define ELF_NOTE_LEN   12
#define ELF_PT_LOAD    1
#define ELF_PT_NOTE    4
#define ELF_EM_386     3

/* The program headers of an image, checked against its length. */
struct elf_headers {
	const uint8_t *first;
	unsigned n, step;
};

bool boot_elf_is(const struct blob *k)
{
	return k->len >= ELF_HEADER_LEN && memcmp(k->data, "\177ELF", 4) == 0;
}

static int headers_read(const struct boot *b, struct elf_headers *h, struct error *err)
{
	const uint8_t *p = b->kernel.data;
	const char *name = b->kernel.name;
	uint32_t phoff = get_le32(p + 28);

	if (p[4] != 1 || p[5] != 1 || get_le16(p + 18) != ELF_EM_386)
		return error_set(err, EINVAL,
			"kernel %s: ELF class %u, data %u, machine %u: expected 32-bit (1), "
			"little-endian (1), i386 (3)",
			name, p[4], p[5], get_le16(p + 18));
	h->step = get_le16(p + 42);
	h->n = get_le16(p + 44);
	if (h->step < ELF_PH_LEN || phoff > b->kernel.len ||
		(uint64_t)h->step * h->n > b->kernel.len - phoff)
		return error_set(err, EINVAL,
			"kernel %s: %u ELF program headers of %u bytes at offset 0x%x are not in "
			"the file, which has 0x%zx",
			name, h->n, h->step, phoff, b->kernel.len);
	h->first = p + phoff;
	return 0;
}

static int segment_load(struct boot *b, unsigned i, const uint8_t *ph, uint32_t *entry,
	uint64_t *end, struct error *err)
{
	uint32_t off = get_le32(ph + 4), vaddr = get_le32(ph + 8), paddr = get_le32(ph + 12);
	uint32_t filesz = get_le32(ph + 16), memsz = get_le32(ph + 20);
	char what[48];

	if (memsz == 0)
		return 0;
	if (filesz > memsz || off > b->kernel.len || filesz > b->kernel.len - off)
		return error_set(err, EINVAL,
			"kernel %s: ELF segment %u: 0x%x bytes at offset 0x%x (0x%x in memory) are "
			"not in the file, "
			"which has 0x%zx",
			b->kernel.name, i, filesz, off, memsz, b->kernel.len);
	/* e_entry is a virtual address; kernels that are linked high have another physical one. */
	if (get_le32(b->kernel.data + 24) - vaddr < memsz)
		*entry = get_le32(b->kernel.data + 24) - vaddr + paddr;
	if (!b->kernel_gpa)
		b->kernel_gpa = paddr;
	if ((uint64_t)paddr + memsz > *end)
		*end = (uint64_t)paddr + memsz;
	snprintf(what, sizeof(what), "ELF segment %u", i);
	return boot_load_add(b, what, paddr, b->kernel.data + off, filesz, memsz - filesz, err);
}

int boot_elf_load(struct boot *b, uint32_t *ret_entry, uint64_t *ret_end, struct error *err)
{
	struct elf_headers h;
	uint32_t entry = get_le32(b->kernel.data + 24);
	uint64_t end = 0;
	unsigned loaded = 0;
	int r = headers_read(b, &h, err);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < h.n; i++) {
		const uint8_t *ph = h.first + (size_t)i * h.step;

		if (get_le32(ph) != ELF_PT_LOAD)
			continue;
		r = segment_load(b, i, ph, &entry, &end, err);
		if (r < 0)
			return r;
		loaded++;
	}
	if (!loaded)
		return error_set(
			err, EINVAL, "kernel %s: ELF without a segment to load", b->kernel.name);
	*ret_entry = entry;
	*ret_end = end;
	return 0;
}

static bool notes_have_owner(const uint8_t *p, size_t len, const char *owner)
{
	size_t n = strlen(owner) + 1;

	while (len >= ELF_NOTE_LEN) {
		uint64_t namesz = get_le32(p), descsz = get_le32(p + 4);
		uint64_t all = ELF_NOTE_LEN + ((namesz + 3) & ~UINT64_C(3)) +
			       ((descsz + 3) & ~UINT64_C(3));

		if (namesz == n && len - ELF_NOTE_LEN >= n &&
			memcmp(p + ELF_NOTE_LEN, owner, n) == 0)
			return true;
		if (all > len)
			return false;
		p += all;
		len -= all;
	}
	return false;
}

bool boot_elf_has_note(const struct boot *b, const char *owner)
{
	struct elf_headers h;

	if (!boot_elf_is(&b->kernel) || headers_read(b, &h, NULL) < 0)
		return false;
	for (unsigned i = 0; i < h.n; i++) {
		const uint8_t *ph = h.first + (size_t)i * h.step;
		uint32_t off = get_le32(ph + 4), len = get_le32(ph + 16);

		if (get_le32(ph) == ELF_PT_NOTE && off <= b->kernel.len &&
			len <= b->kernel.len - off &&
			notes_have_owner(b->kernel.data + off, len, owner))
			return true;
	}
	return false;
}
