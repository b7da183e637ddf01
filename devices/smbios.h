/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the PC says of itself by SMBIOS (DMTF DSP0134): a firmware takes it from fw_cfg, a kernel
 * that is booted directly finds it in ROM. */
#ifndef DEJAVM_SMBIOS_H
#define DEJAVM_SMBIOS_H

#include <stdint.h>

#define SMBIOS_ANCHOR_LEN 31
#define SMBIOS_TABLES_MAX 1024

struct smbios {
	uint8_t anchor[SMBIOS_ANCHOR_LEN]; /* entry point */
	uint8_t data[SMBIOS_TABLES_MAX];   /* structures */
	uint32_t len;
	unsigned n, longest;
};

void smbios_build(struct smbios *s, uint64_t ram_bytes);
/* The structures lie at gpa: the entry point says so, and its checksums are right. */
void smbios_link(struct smbios *s, uint32_t gpa);

#endif
