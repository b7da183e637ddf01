/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables of the PC: RSDP, RSDT, FADT, FACS, MADT, and the DSDT that iasl made from dsdt.asl.
 * ACPI Specification 2.0c, chapter 5. Addresses of the PM block: piix4_pm.c. No HPET; GPE block:
 * none.
 */
#include "acpi.h"
#include <string.h>
#include "bytes.h"
#include "dsdt.h"
#include "log.h"

#define PM_BASE	     0x600
#define SMI_CMD	     0xb2
#define ACPI_ENABLE  0xf1
#define ACPI_DISABLE 0xf0
#define SCI_IRQ	     9
#define CMOS_CENTURY 0x32
#define RESET_PORT   0xcf9
#define RESET_VALUE  0x06
#define LAPIC_GPA    0xfee00000
#define IOAPIC_GPA   0xfec00000

#define FADT_LEN       244
#define FACS_LEN       64
#define SDT_HEADER_LEN 36

/* FADT flags (table 5-5) */
#define FADT_WBINVD	     (1u << 0)
#define FADT_PROC_C1	     (1u << 2)
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_FIX_RTC	     (1u << 6)
#define FADT_RESET_REG	     (1u << 10)
/* IAPC_BOOT_ARCH: ISA devices, 8042, no VGA to probe for */
#define FADT_BOOT_ARCH 0x0007

/* MADT interrupt source override flags: active high, level. */
#define ISO_LEVEL_HIGH 0x000d

static uint8_t byte_sum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return sum;
}

static void checksum(uint8_t *p, size_t len, unsigned at)
{
	p[at] = 0;
	p[at] = (uint8_t)-byte_sum(p, len);
}

static void checksum_all(struct acpi *a)
{
	for (unsigned i = 0; i < a->n_tables; i++)
		checksum(a->data + a->table[i].offset, a->table[i].len, 9);
	checksum(a->rsdp, ACPI_RSDP_LEN, 8);
}

/* Room for a table of len bytes, with its header. */
static uint8_t *table_new(struct acpi *a, const char *sig, uint8_t revision, uint32_t len)
{
	uint8_t *p;

	a->len = (a->len + 15) & ~15u;
	must(a->len + len <= ACPI_TABLES_MAX && a->n_tables < ACPI_TABLE_COUNT_MAX);
	p = a->data + a->len;
	memcpy(p, sig, 4);
	put_le32(p + 4, len);
	p[8] = revision;
	memcpy(p + 10, "DEJAVM", 6);
	memcpy(p + 16, "DEJAVMPC", 8);
	put_le32(p + 24, 1);
	memcpy(p + 28, "DJVM", 4);
	put_le32(p + 32, 1);
	a->table[a->n_tables++] = (struct acpi_table){ a->len, len };
	a->len += len;
	return p;
}

static uint32_t offset_of(const struct acpi *a, const uint8_t *p)
{
	return (uint32_t)(p - a->data);
}

static void pointer_add(struct acpi *a, uint8_t *at, uint8_t size, uint32_t target)
{
	must(a->n_pointers < ACPI_POINTERS_MAX);
	put_le32(at, target);
	a->pointer[a->n_pointers++] = (struct acpi_pointer){ offset_of(a, at), size };
}

/* Generic address structure: an I/O port. */
static void gas_io(uint8_t *p, uint8_t bits, uint8_t access, uint32_t port)
{
	p[0] = 1;
	p[1] = bits;
	p[2] = 0;
	p[3] = access;
	put_le64(p + 4, port);
}

static void facs_build(struct acpi *a)
{
	uint8_t *p = a->data + a->len;

	memcpy(p, "FACS", 4);
	put_le32(p + 4, FACS_LEN);
	p[32] = 1;
	a->len += FACS_LEN;
}

static uint32_t dsdt_build(struct acpi *a)
{
	uint32_t off;

	a->len = (a->len + 15) & ~15u;
	must(a->len + sizeof(dsdt_aml) <= ACPI_TABLES_MAX);
	off = a->len;
	memcpy(a->data + off, dsdt_aml, sizeof(dsdt_aml));
	a->table[a->n_tables++] = (struct acpi_table){ off, sizeof(dsdt_aml) };
	a->len += (uint32_t)sizeof(dsdt_aml);
	return off;
}

static uint32_t fadt_build(struct acpi *a, uint32_t facs, uint32_t dsdt)
{
	uint8_t *p = table_new(a, "FACP", 3, FADT_LEN);

	pointer_add(a, p + 36, 4, facs);
	pointer_add(a, p + 40, 4, dsdt);
	p[45] = 1; /* preferred profile: desktop */
	put_le16(p + 46, SCI_IRQ);
	put_le32(p + 48, SMI_CMD);
	p[52] = ACPI_ENABLE;
	p[53] = ACPI_DISABLE;
	put_le32(p + 56, PM_BASE);
	put_le32(p + 64, PM_BASE + 4);
	put_le32(p + 76, PM_BASE + 8);
	p[88] = 4;		 /* PM1_EVT_LEN */
	p[89] = 2;		 /* PM1_CNT_LEN */
	p[91] = 4;		 /* PM_TMR_LEN */
	put_le16(p + 96, 0xfff); /* no C2 */
	put_le16(p + 98, 0xfff); /* no C3 */
	p[108] = CMOS_CENTURY;
	put_le16(p + 109, FADT_BOOT_ARCH);
	put_le32(p + 112,
		FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_FIX_RTC | FADT_RESET_REG);
	gas_io(p + 116, 8, 1, RESET_PORT);
	p[128] = RESET_VALUE;
	pointer_add(a, p + 140, 8, dsdt);
	gas_io(p + 148, 32, 2, PM_BASE);
	gas_io(p + 172, 16, 2, PM_BASE + 4);
	gas_io(p + 208, 32, 3, PM_BASE + 8);
	return offset_of(a, p);
}

static uint8_t *iso_put(uint8_t *p, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	p[0] = 2;
	p[1] = 10;
	p[2] = 0; /* ISA */
	p[3] = irq;
	put_le32(p + 4, gsi);
	put_le16(p + 8, flags);
	return p + 10;
}

static uint32_t madt_build(struct acpi *a)
{
	static const uint8_t level_irqs[] = { 5, 9, 10, 11 };
	uint32_t len = SDT_HEADER_LEN + 8 + 8 + 12 + 10 * (1 + sizeof(level_irqs)) + 6;
	uint8_t *t = table_new(a, "APIC", 1, len), *p = t + SDT_HEADER_LEN;

	put_le32(p, LAPIC_GPA);
	put_le32(p + 4, 1); /* the 8259s are there too */
	p += 8;
	p[1] = 8; /* type 0: local APIC, processor 0, id 0, enabled */
	put_le32(p + 4, 1);
	p += 8;
	p[0] = 1; /* I/O APIC, id 0, interrupts from 0 */
	p[1] = 12;
	put_le32(p + 4, IOAPIC_GPA);
	p += 12;
	p = iso_put(p, 0, 2, 0);
	for (size_t i = 0; i < sizeof(level_irqs); i++)
		p = iso_put(p, level_irqs[i], level_irqs[i], ISO_LEVEL_HIGH);
	p[0] = 4; /* NMI on LINT1 of all processors */
	p[1] = 6;
	p[2] = 0xff;
	p[5] = 1;
	must(p + 6 == t + len);
	return offset_of(a, t);
}

void acpi_build(struct acpi *a)
{
	uint32_t dsdt, fadt, madt;
	uint8_t *rsdt;

	memset(a, 0, sizeof(*a));
	facs_build(a);
	dsdt = dsdt_build(a);
	fadt = fadt_build(a, 0, dsdt);
	madt = madt_build(a);
	rsdt = table_new(a, "RSDT", 1, SDT_HEADER_LEN + 2 * 4);
	pointer_add(a, rsdt + SDT_HEADER_LEN, 4, fadt);
	pointer_add(a, rsdt + SDT_HEADER_LEN + 4, 4, madt);
	memcpy(a->rsdp, "RSD PTR ", 8);
	memcpy(a->rsdp + 9, "DEJAVM", 6);
	put_le32(a->rsdp + 16, offset_of(a, rsdt));
	checksum_all(a);
}

void acpi_link(struct acpi *a, uint32_t gpa)
{
	for (unsigned i = 0; i < a->n_pointers; i++) {
		uint8_t *p = a->data + a->pointer[i].offset;

		put_le32(p, get_le32(p) + gpa);
	}
	put_le32(a->rsdp + 16, get_le32(a->rsdp + 16) + gpa);
	checksum_all(a);
}

/* ---- etc/table-loader: entries of 128 bytes, u32 command and its arguments; file names are 56
 * bytes ---- */

#define LOADER_ALLOCATE	    1
#define LOADER_ADD_POINTER  2
#define LOADER_ADD_CHECKSUM 3
#define LOADER_ZONE_HIGH    1
#define LOADER_ZONE_FSEG    2
#define LOADER_NAME_LEN	    56

static const char file_tables[] = "etc/acpi/tables";
static const char file_rsdp[] = "etc/acpi/rsdp";

struct script {
	uint8_t *buf;
	size_t len, cap;
};

static uint8_t *script_add(struct script *s, uint32_t command)
{
	uint8_t *p = s->buf + s->len;

	must(s->len + ACPI_LOADER_ENTRY_LEN <= s->cap);
	memset(p, 0, ACPI_LOADER_ENTRY_LEN);
	put_le32(p, command);
	s->len += ACPI_LOADER_ENTRY_LEN;
	return p + 4;
}

static void script_allocate(struct script *s, const char *file, uint32_t align, uint8_t zone)
{
	uint8_t *p = script_add(s, LOADER_ALLOCATE);

	strcpy((char *)p, file);
	put_le32(p + LOADER_NAME_LEN, align);
	p[LOADER_NAME_LEN + 4] = zone;
}

static void script_pointer(struct script *s, const char *in, uint32_t offset, uint8_t size)
{
	uint8_t *p = script_add(s, LOADER_ADD_POINTER);

	strcpy((char *)p, in);
	strcpy((char *)p + LOADER_NAME_LEN, file_tables);
	put_le32(p + 2 * LOADER_NAME_LEN, offset);
	p[2 * LOADER_NAME_LEN + 4] = size;
}

static void script_checksum(
	struct script *s, const char *in, uint32_t at, uint32_t start, uint32_t len)
{
	uint8_t *p = script_add(s, LOADER_ADD_CHECKSUM);

	strcpy((char *)p, in);
	put_le32(p + LOADER_NAME_LEN, at);
	put_le32(p + LOADER_NAME_LEN + 4, start);
	put_le32(p + LOADER_NAME_LEN + 8, len);
}

size_t acpi_loader_script(const struct acpi *a, uint8_t *buf, size_t cap)
{
	struct script s = { buf, 0, cap };

	script_allocate(&s, file_rsdp, 16, LOADER_ZONE_FSEG);
	script_allocate(&s, file_tables, ACPI_ALIGN, LOADER_ZONE_HIGH);
	for (unsigned i = 0; i < a->n_pointers; i++)
		script_pointer(&s, file_tables, a->pointer[i].offset, a->pointer[i].size);
	for (unsigned i = 0; i < a->n_tables; i++)
		script_checksum(&s, file_tables, a->table[i].offset + 9, a->table[i].offset,
			a->table[i].len);
	script_pointer(&s, file_rsdp, 16, 4);
	script_checksum(&s, file_rsdp, 8, 0, ACPI_RSDP_LEN);
	return s.len;
}
