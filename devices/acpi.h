/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables, built once as one relocatable piece: a firmware places it by etc/table-loader,
 * direct boot by acpi_link().
 */
#ifndef DEJAVM_ACPI_H
#define DEJAVM_ACPI_H

#include <stddef.h>
#include <stdint.h>

#define ACPI_TABLES_MAX	     (16 * 1024)
#define ACPI_RSDP_LEN	     20
#define ACPI_POINTERS_MAX    16
#define ACPI_TABLE_COUNT_MAX 8
#define ACPI_ALIGN	     64 /* FACS wants it; it lies at offset 0 */

struct acpi_pointer {
	uint32_t offset; /* in data */
	uint8_t size;	 /* 4 or 8; holds the offset in data of what it points to */
};

struct acpi_table {
	uint32_t offset, len; /* with the checksum in byte 9 */
};

struct acpi {
	uint8_t data[ACPI_TABLES_MAX];
	uint32_t len;
	uint8_t rsdp[ACPI_RSDP_LEN]; /* bytes 16-19: offset of the RSDT in data; checksum in byte 8
				      */
	struct acpi_pointer pointer[ACPI_POINTERS_MAX];
	unsigned n_pointers;
	struct acpi_table table[ACPI_TABLE_COUNT_MAX];
	unsigned n_tables;
};

/* Builds the tables, not yet placed: pointers are offsets, checksums are right for that. */
void acpi_build(struct acpi *a);
/* Places the tables at gpa: adds it to all pointers, and computes the checksums again. Once only.
 */
void acpi_link(struct acpi *a, uint32_t gpa);

/* The table-loader commands that make a firmware do the same; returns bytes written to buf (at most
 * cap). */
#define ACPI_LOADER_ENTRY_LEN 128
size_t acpi_loader_script(const struct acpi *a, uint8_t *buf, size_t cap);

#endif
