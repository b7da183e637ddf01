/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firmware and direct boot: what lies in ROM, what a reset puts into RAM, what fw_cfg tells. See
 * docs/boot.md.
 *
 * Direct boot's ROM is 64 KiB at F0000 and at the top of 4 GiB: the RSDP at its start, SMBIOS's
 * structures, reset_stub.asm at its end.
 */
#include "boot.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "fw_cfg.h"
#include "log.h"
#include "pci.h"
#include "vga_text.h"
#include "reset_stub.h"

#define STUB_ROM_LEN	  0x10000
#define STUB_ROM_GPA	  0xf0000
#define STUB_SMBIOS	  0x100 /* entry point, and its structures */
#define STUB_SMBIOS_DATA  0x200
#define STUB_OFFSET	  0xfc00
#define STUB_PARAMS	  0xff00
#define FIRMWARE_UNIT	  0x10000
#define FIRMWARE_MAX	  (16u << 20)
#define BDA_GPA		  0x400
#define BDA_LEN		  0x100
#define BDA_EBDA	  0x0e
#define BDA_EQUIPMENT	  0x10
#define BDA_BASE_MEM	  0x13
#define BDA_VIDEO_MODE	  0x49
#define BDA_COLUMNS	  0x4a
#define BDA_PAGE_LEN	  0x4c
#define BDA_CRTC_PORT	  0x63
#define BDA_LAST_ROW	  0x84
#define BDA_CELL_HEIGHT	  0x85
#define EQUIPMENT_FPU	  0x0002
#define EQUIPMENT_MOUSE	  0x0004
#define PM_DEVFN	  0x0b
#define PM_DEVACTB3	  0x5b
#define PM_APMC_EN	  0x02
#define LOADER_SCRIPT_MAX (64 * ACPI_LOADER_ENTRY_LEN)

/* ---- pieces ---- */

void *boot_buffer(struct boot *b, size_t len, struct error *err)
{
	void *p = calloc(1, len);

	must(b->n_buffers < BOOT_BUFFERS_MAX);
	if (!p) {
		error_set(err, ENOMEM, "no memory: %zu bytes for direct boot", len);
		return NULL;
	}
	b->buffer[b->n_buffers++] = p;
	return p;
}

/* RAM that a load may use: below the EBDA, or from 1 MiB to the end of RAM. */
static bool load_in_ram(const struct boot *b, uint64_t gpa, uint64_t len)
{
	if (gpa < MACHINE_RAM_MIN)
		return gpa + len <= BOOT_LOW_END;
	return gpa <= b->ram_bytes && len <= b->ram_bytes - gpa;
}

int boot_load_add(struct boot *b, const char *what, uint64_t gpa, const uint8_t *data, uint64_t len,
	uint64_t zero_len, struct error *err)
{
	uint64_t all = len + zero_len;

	if (all == 0)
		return 0;
	if (all > MACHINE_RAM_MAX || !load_in_ram(b, gpa, all))
		return error_set(err, EINVAL,
			"kernel %s: %s: 0x%" PRIx64 " bytes at 0x%" PRIx64
			": expected within RAM, 0-0x%x or 0x%" PRIx64 "-0x%" PRIx64 " (-m?)",
			b->kernel.name, what, all, gpa, BOOT_LOW_END, MACHINE_RAM_MIN,
			b->ram_bytes);
	for (unsigned i = 0; i < b->n_loads; i++) {
		const struct boot_load *o = &b->load[i];

		if (gpa < o->gpa + o->len + o->zero_len && o->gpa < gpa + all)
			return error_set(err, EINVAL,
				"kernel %s: %s at 0x%" PRIx64
				" lies over what is loaded at 0x%" PRIx64,
				b->kernel.name, what, gpa, o->gpa);
	}
	if (b->n_loads == BOOT_LOADS_MAX)
		return error_set(err, ENOSPC, "kernel %s: %s: more than %d pieces to load",
			b->kernel.name, what, BOOT_LOADS_MAX);
	b->load[b->n_loads++] = (struct boot_load){ gpa, data, len, zero_len };
	return 0;
}

void boot_done(struct boot *b)
{
	for (unsigned i = 0; i < b->n_buffers; i++)
		free(b->buffer[i]);
	b->n_buffers = 0;
}

int boot_kernel(struct boot *b, struct error *err)
{
	int r;

	if (b->kernel.len > BOOT_KERNEL_MAX)
		return error_set(err, EFBIG, "kernel %s: %zu bytes: at most %u", b->kernel.name,
			b->kernel.len, BOOT_KERNEL_MAX);
	r = boot_linux(b, err);
	if (r == 1)
		r = boot_multiboot(b, err);
	if (r == 1)
		r = boot_vmlinux(b, err);
	if (r == 1)
		return error_set(err, ENOEXEC,
			"kernel %s: not a Linux bzImage nor a multiboot image: expected 'HdrS' at "
			"0x202, a "
			"multiboot header in the first %d bytes, or an i386 ELF file with a note "
			"of 'Linux' (vmlinux)",
			b->kernel.name, 8192);
	return r;
}

/* ---- RAM map ---- */

static void e820_add(struct boot *b, uint64_t gpa, uint64_t end, uint32_t type)
{
	uint8_t *e = b->e820_bytes + b->n_e820 * BOOT_E820_LEN;

	must(b->n_e820 < BOOT_E820_MAX);
	if (end <= gpa)
		return;
	b->e820[b->n_e820++] = (struct boot_e820){ gpa, end - gpa, type };
	put_le64(e, gpa);
	put_le64(e + 8, end - gpa);
	put_le32(e + 16, type);
}

/* A firmware splits the low part itself and takes what it needs; a kernel gets the map as it is to
 * be. */
static void e820_build(struct boot *b, bool direct, uint64_t ram_bytes)
{
	if (!direct) {
		e820_add(b, 0, ram_bytes, 1);
		return;
	}
	e820_add(b, 0, BOOT_EBDA_GPA, 1);
	e820_add(b, BOOT_EBDA_GPA, 0xa0000, 2);
	e820_add(b, 0xf0000, MACHINE_RAM_MIN, 2);
	e820_add(b, MACHINE_RAM_MIN, b->ram_top, 1);
	e820_add(b, b->ram_top, ram_bytes, 2);
}

/* ---- direct boot ---- */

/* BIOS data area: serial ports, EBDA, equipment, base memory. */
static int bda_build(struct boot *b, const struct machine *m, struct error *err)
{
	uint8_t *bda = boot_buffer(b, BDA_LEN, err), *ebda = boot_buffer(b, 1, err);
	unsigned n = 0;
	int r;

	if (!bda || !ebda)
		return -ENOMEM;
	for (const struct device *d = m->devices; d && n < 4; d = d->next)
		if (strcmp(d->cls->name, "isa-serial") == 0)
			put_le16(bda + 2 * n++, (uint16_t)device_prop(d, "iobase", 0));
	put_le16(bda + BDA_EBDA, BOOT_EBDA_GPA >> 4);
	put_le16(bda + BDA_EQUIPMENT, (uint16_t)(EQUIPMENT_FPU | EQUIPMENT_MOUSE | n << 9));
	put_le16(bda + BDA_BASE_MEM, BOOT_BASE_MEM_KIB);
	if (b->vga) {
		bda[BDA_VIDEO_MODE] = 3;
		put_le16(bda + BDA_COLUMNS, 80);
		put_le16(bda + BDA_PAGE_LEN, 4096);
		put_le16(bda + BDA_CRTC_PORT, 0x3d4);
		bda[BDA_LAST_ROW] = 24;
		bda[BDA_CELL_HEIGHT] = 16;
	}
	*ebda = 1; /* its size in KiB */
	r = boot_load_add(b, "BIOS data area", BDA_GPA, bda, BDA_LEN, 0, err);
	if (r < 0)
		return r;
	/* Not through boot_load_add(): it keeps everybody else out of the EBDA. */
	must(b->n_loads < BOOT_LOADS_MAX);
	b->load[b->n_loads++] = (struct boot_load){ BOOT_EBDA_GPA, ebda, 1, 0 };
	return 0;
}

static void stub_rom_build(struct boot *b, uint8_t *rom)
{
	const struct boot_regs *g = &b->regs;
	const uint32_t params[] = { g->entry, g->eax, g->ebx, g->ecx, g->edx, g->esi, g->edi,
		g->ebp };

	memset(rom, 0, STUB_ROM_LEN);
	memcpy(rom, b->acpi_linked.rsdp, ACPI_RSDP_LEN);
	smbios_link(&b->smbios, STUB_ROM_GPA + STUB_SMBIOS_DATA);
	memcpy(rom + STUB_SMBIOS, b->smbios.anchor, SMBIOS_ANCHOR_LEN);
	memcpy(rom + STUB_SMBIOS_DATA, b->smbios.data, b->smbios.len);
	memcpy(rom + STUB_OFFSET, reset_stub, sizeof(reset_stub));
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++)
		put_le32(rom + STUB_PARAMS + 4 * i, params[i]);
}

static int direct_setup(struct machine *m, struct boot *b, struct error *err)
{
	uint32_t acpi_gpa = (uint32_t)b->ram_top;
	int r;

	_Static_assert(
		sizeof(reset_stub) == STUB_ROM_LEN - STUB_OFFSET, "the stub fills the ROM's end");
	if (m->cfg.rom_len < STUB_ROM_LEN)
		return error_set(err, EINVAL, "the rom segment has %zu bytes: direct boot needs %d",
			m->cfg.rom_len, STUB_ROM_LEN);
	r = bda_build(b, m, err);
	if (r < 0)
		return r;
	b->acpi_linked = b->acpi;
	acpi_link(&b->acpi_linked, acpi_gpa);
	r = boot_load_add(
		b, "ACPI tables", acpi_gpa, b->acpi_linked.data, b->acpi_linked.len, 0, err);
	if (r == 0)
		r = boot_kernel(b, err);
	if (r < 0)
		return r;
	b->direct = true;
	stub_rom_build(b, m->cfg.rom);
	memmap_set_rom(m, STUB_ROM_LEN);
	return 0;
}

static int firmware_setup(struct machine *m, struct error *err)
{
	const struct blob *f = &m->cfg.bios;

	if (!f->data)
		return error_set(
			err, EINVAL, "no kernel and no firmware: expected -kernel or -bios");
	if (f->len == 0 || f->len % FIRMWARE_UNIT || f->len > FIRMWARE_MAX)
		return error_set(err, EINVAL,
			"firmware %s: %zu bytes: expected a multiple of 64 KiB, at most %u MiB",
			f->name, f->len, FIRMWARE_MAX >> 20);
	if (f->len > m->cfg.rom_len)
		return error_set(err, EINVAL, "firmware %s: %zu bytes: the rom segment has %zu",
			f->name, f->len, m->cfg.rom_len);
	memcpy(m->cfg.rom, f->data, f->len);
	memmap_set_rom(m, f->len);
	return 0;
}

/* ---- fw_cfg ---- */

static void kernel_items(struct device *fw, const struct boot *b)
{
	uint32_t initrd = b->initrd.data ? (uint32_t)b->initrd.len : 0;
	uint32_t cmdline = b->direct ? (uint32_t)strlen(b->append) + 1 : 0;
	uint32_t code = b->direct ? (uint32_t)b->kernel.len - b->setup_len : 0;

	fw_cfg_add_int(fw, FW_CFG_KERNEL_ADDR, b->kernel_gpa, 4);
	fw_cfg_add_int(fw, FW_CFG_KERNEL_SIZE, code, 4);
	fw_cfg_add_int(fw, FW_CFG_KERNEL_ENTRY, b->regs.entry, 4);
	fw_cfg_add_int(fw, FW_CFG_INITRD_ADDR, b->initrd_gpa, 4);
	fw_cfg_add_int(fw, FW_CFG_INITRD_SIZE, b->direct ? initrd : 0, 4);
	fw_cfg_add_int(fw, FW_CFG_CMDLINE_ADDR, b->cmdline_gpa, 4);
	fw_cfg_add_int(fw, FW_CFG_CMDLINE_SIZE, cmdline, 4);
	fw_cfg_add_int(fw, FW_CFG_SETUP_ADDR, b->setup_gpa, 4);
	fw_cfg_add_int(fw, FW_CFG_SETUP_SIZE, b->setup_len, 4);
	if (!b->direct)
		return;
	fw_cfg_add(fw, FW_CFG_KERNEL_DATA, b->kernel.data + b->setup_len, code);
	fw_cfg_add(fw, FW_CFG_SETUP_DATA, b->kernel.data, b->setup_len);
	fw_cfg_add(fw, FW_CFG_CMDLINE_DATA, b->append, cmdline);
	if (b->initrd.data)
		fw_cfg_add(fw, FW_CFG_INITRD_DATA, b->initrd.data, initrd);
}

static int fw_cfg_fill(struct machine *m, struct boot *b, struct error *err)
{
	struct device *fw = machine_find(m, "fw_cfg");
	static const uint8_t wait_for_ever[4] = { 0xff, 0xff, 0xff, 0xff };
	static const uint8_t uuid[16], numa[16];
	uint8_t *script = boot_buffer(b, LOADER_SCRIPT_MAX, err);
	size_t n;

	if (!script)
		return -ENOMEM;
	fw_cfg_add(fw, FW_CFG_UUID, uuid, sizeof(uuid));
	fw_cfg_add_int(fw, FW_CFG_RAM_SIZE, m->cfg.ram_bytes, 8);
	fw_cfg_add_int(fw, FW_CFG_NOGRAPHIC, 1, 2);
	fw_cfg_add_int(fw, FW_CFG_NB_CPUS, 1, 2);
	fw_cfg_add_int(fw, FW_CFG_MAX_CPUS, 1, 2);
	fw_cfg_add_int(fw, FW_CFG_MACHINE_ID, 0, 4);
	fw_cfg_add(fw, FW_CFG_NUMA, numa, sizeof(numa));
	fw_cfg_add_int(fw, FW_CFG_IRQ0_OVERRIDE, 1, 4);
	fw_cfg_add_int(fw, FW_CFG_HPET, 0, 1);
	kernel_items(fw, b);
	n = acpi_loader_script(&b->acpi, script, LOADER_SCRIPT_MAX);
	fw_cfg_add_file(fw, "etc/acpi/rsdp", b->acpi.rsdp, ACPI_RSDP_LEN);
	fw_cfg_add_file(fw, "etc/acpi/tables", b->acpi.data, b->acpi.len);
	fw_cfg_add_file(fw, "etc/boot-fail-wait", wait_for_ever, sizeof(wait_for_ever));
	fw_cfg_add_file(fw, "etc/e820", b->e820_bytes, b->n_e820 * BOOT_E820_LEN);
	fw_cfg_add_file(fw, "etc/smbios/smbios-anchor", b->smbios.anchor, SMBIOS_ANCHOR_LEN);
	fw_cfg_add_file(fw, "etc/smbios/smbios-tables", b->smbios.data, b->smbios.len);
	fw_cfg_add_file(fw, "etc/table-loader", script, (uint32_t)n);
	return boot_order_setup(m, b, err);
}

/* ---- life ---- */

int boot_setup(struct machine *m, struct error *err)
{
	bool direct = m->cfg.kernel.data != NULL;
	struct boot *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return error_set(err, ENOMEM, "no memory for boot");
	m->boot = b;
	b->kernel = m->cfg.kernel;
	b->initrd = m->cfg.initrd;
	b->append = m->cfg.append ? m->cfg.append : "";
	b->ram_bytes = m->cfg.ram_bytes;
	b->vga = vga_find(m) != NULL;
	if (!direct && (m->cfg.initrd.data || *b->append))
		return error_set(err, EINVAL, "-initrd and -append need -kernel");
	if (direct && m->cfg.bios.data)
		return error_set(err, EINVAL,
			"both a kernel and a firmware: -kernel boots directly, without -bios");
	acpi_build(&b->acpi);
	smbios_build(&b->smbios, b->ram_bytes);
	b->ram_top = (b->ram_bytes - b->acpi.len) & ~UINT64_C(0xfff);
	if (direct && b->ram_top <= MACHINE_RAM_MIN)
		return error_set(err, ENOMEM,
			"direct boot: %" PRIu64 " bytes of RAM are not enough (-m)", b->ram_bytes);
	e820_build(b, direct, m->cfg.ram_bytes);
	r = direct ? direct_setup(m, b, err) : firmware_setup(m, err);
	if (r == 0)
		r = fw_cfg_fill(m, b, err);
	return r;
}

void boot_reset(struct machine *m)
{
	struct boot *b = m->boot;

	if (!b)
		return;
	/*
	 * There is no system management mode. A firmware that finds SMIs already enabled takes it
	 * that SMM has been set up, and does not wait for one (SeaBIOS).
	 */
	pci_config_write(m, PM_DEVFN, PM_DEVACTB3, 1, PM_APMC_EN);
	if (!b->direct)
		return;
	for (unsigned i = 0; i < b->n_loads; i++) {
		const struct boot_load *l = &b->load[i];
		uint8_t *p = memmap_ram(m, l->gpa, l->len + l->zero_len);

		must(p);
		if (l->len)
			memcpy(p, l->data, l->len);
		memset(p + l->len, 0, l->zero_len);
	}
	if (vga_find(m))
		vga_text_mode(vga_find(m));
}

void boot_free(struct machine *m)
{
	if (!m->boot)
		return;
	boot_done(m->boot);
	free(m->boot);
	m->boot = NULL;
}
