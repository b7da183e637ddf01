/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a firmware is to boot from: order of kinds of devices and the disks' geometries in the CMOS
 * RAM, order of single devices (bootindex) in fw_cfg's file "bootorder", as SeaBIOS reads them
 * (SeaBIOS docs/Runtime_config: "Bootorder"; CMOS 38h, 3Dh, 39h; disks in 12h, 19h-2Ch as in the
 * IBM PC AT's set-up).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ata.h"
#include "boot.h"
#include "cmos.h"
#include "fw_cfg.h"
#include "log.h"

#define ORDER_MAX     3 /* that the CMOS RAM holds */
#define ORDER_DEFAULT "cad"
#define PATH_MAX_LEN  64

#define CMOS_DISK_TYPES	   0x12
#define CMOS_DISK_TYPE_EXT 0x19 /* and 1A */
#define CMOS_DISK_GEOMETRY 0x1b /* 9 bytes each */
#define CMOS_TRANSLATION   0x39 /* two bits for each unit */
#define DISK_TYPE_EXTENDED 0xf
#define DISK_TYPE_USER	   47
#define TRANSLATION_LBA	   1
#define CHS_CYLINDERS_MAX  1024

/* Nibbles, the first device lowest: 1 floppy, 2 hard disk, 3 CD-ROM, 4 network. */
uint32_t boot_order_code(const char *letters)
{
	static const char all[] = "acdn";
	uint32_t code = 0;

	if (!letters || !*letters)
		letters = ORDER_DEFAULT;
	for (unsigned i = 0; i < ORDER_MAX && letters[i]; i++) {
		const char *p = strchr(all, letters[i]);

		if (p)
			code |= (uint32_t)(p - all + 1) << 4 * i;
	}
	return code;
}

/* ---- CMOS ---- */

static bool is_disk(const struct ata_unit *u)
{
	return u && strcmp(u->dev.cls->name, "ide-hd") == 0;
}

static void geometry_preset(struct device *rtc, unsigned unit, const struct ata_unit *u)
{
	uint32_t cylinders = ata_cylinders(u);
	const uint8_t bytes[9] = { (uint8_t)cylinders, (uint8_t)(cylinders >> 8), ATA_HEADS, 0xff,
		0xff, 0xc8, (uint8_t)cylinders, (uint8_t)(cylinders >> 8), ATA_SECTORS };

	cmos_preset(rtc, CMOS_DISK_TYPE_EXT + unit, DISK_TYPE_USER);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		cmos_preset(rtc, CMOS_DISK_GEOMETRY + 9 * unit + i, bytes[i]);
}

static void disks_preset(struct machine *m, struct device *rtc)
{
	uint8_t types = 0, translation = 0;

	for (unsigned i = 0; i < ATA_CHANNELS * ATA_UNITS; i++) {
		const struct ata_unit *u = ide_unit(m, i / ATA_UNITS, i % ATA_UNITS);

		if (!is_disk(u))
			continue;
		if (ata_cylinders(u) > CHS_CYLINDERS_MAX)
			translation |= (uint8_t)(TRANSLATION_LBA << 2 * i);
		if (i >= ATA_UNITS)
			continue;
		types |= (uint8_t)(DISK_TYPE_EXTENDED << (i ? 0 : 4));
		geometry_preset(rtc, i, u);
	}
	cmos_preset(rtc, CMOS_DISK_TYPES, types);
	cmos_preset(rtc, CMOS_TRANSLATION, translation);
}

/* ---- bootindex ---- */

/* Devices with a bootindex, the lowest first. How many, or -EINVAL with *err: a number twice. */
static int indexed_list(struct machine *m, const struct ata_unit **list, struct error *err)
{
	int n = 0;

	for (unsigned i = 0; i < ATA_CHANNELS * ATA_UNITS; i++) {
		const struct ata_unit *u = ide_unit(m, i / ATA_UNITS, i % ATA_UNITS);
		int at = n;

		if (!u || u->bootindex == UINT32_MAX)
			continue;
		for (; at > 0 && list[at - 1]->bootindex >= u->bootindex; at--) {
			if (list[at - 1]->bootindex == u->bootindex)
				return error_set(err, EINVAL,
					"bootindex=%u: both %s and %s have it", u->bootindex,
					list[at - 1]->dev.id, u->dev.id);
			list[at] = list[at - 1];
		}
		list[at] = u;
		n++;
	}
	return n;
}

static int index_file_add(struct machine *m, struct boot *b, struct error *err)
{
	const struct ata_unit *list[ATA_CHANNELS * ATA_UNITS];
	int n = indexed_list(m, list, err), len = 0;
	char *text;

	if (n <= 0)
		return n;
	text = boot_buffer(b, (size_t)n * PATH_MAX_LEN, err);
	if (!text)
		return -ENOMEM;
	for (int i = 0; i < n; i++)
		len += snprintf(text + len, PATH_MAX_LEN, "%s/pci@i0cf8/ide@1,1/drive@%u/disk@%u",
			i ? "\n" : "", list[i]->ch->n, list[i]->unit);
	fw_cfg_add_file(machine_find(m, "fw_cfg"), "bootorder", text, (uint32_t)len + 1);
	return 0;
}

int boot_order_setup(struct machine *m, struct boot *b, struct error *err)
{
	struct device *fw = machine_find(m, "fw_cfg");
	const char *order = m->cfg.boot_order;

	disks_preset(m, machine_find(m, "mc146818"));
	fw_cfg_add_int(
		fw, FW_CFG_BOOT_DEVICE, (uint8_t)(order && *order ? order : ORDER_DEFAULT)[0], 2);
	fw_cfg_add_int(fw, FW_CFG_BOOT_MENU, m->cfg.boot_menu, 2);
	return index_file_add(m, b, err);
}
