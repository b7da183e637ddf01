/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firmware configuration device: what boot.c puts in. */
#ifndef DEJAVM_FW_CFG_H
#define DEJAVM_FW_CFG_H

#include "device.h"

/* Keys that are not files. */
#define FW_CFG_KEYS(X)           \
	X(SIGNATURE, 0x00)       \
	X(ID, 0x01)              \
	X(UUID, 0x02)            \
	X(RAM_SIZE, 0x03)        \
	X(NOGRAPHIC, 0x04)       \
	X(NB_CPUS, 0x05)         \
	X(MACHINE_ID, 0x06)      \
	X(KERNEL_ADDR, 0x07)     \
	X(KERNEL_SIZE, 0x08)     \
	X(KERNEL_CMDLINE, 0x09)  \
	X(INITRD_ADDR, 0x0a)     \
	X(INITRD_SIZE, 0x0b)     \
	X(BOOT_DEVICE, 0x0c)     \
	X(NUMA, 0x0d)            \
	X(BOOT_MENU, 0x0e)       \
	X(MAX_CPUS, 0x0f)        \
	X(KERNEL_ENTRY, 0x10)    \
	X(KERNEL_DATA, 0x11)     \
	X(INITRD_DATA, 0x12)     \
	X(CMDLINE_ADDR, 0x13)    \
	X(CMDLINE_SIZE, 0x14)    \
	X(CMDLINE_DATA, 0x15)    \
	X(SETUP_ADDR, 0x16)      \
	X(SETUP_SIZE, 0x17)      \
	X(SETUP_DATA, 0x18)      \
	X(FILE_DIR, 0x19)        \
	X(IRQ0_OVERRIDE, 0x8002) \
	X(HPET, 0x8004)

enum fw_cfg_key {
#define X(name, value) FW_CFG_##name = value,
	FW_CFG_KEYS(X)
#undef X
};

#define FW_CFG_FILE_FIRST 0x20
#define FW_CFG_FILES_MAX  32
#define FW_CFG_ITEMS_MAX  64
#define FW_CFG_NAME_MAX	  55

/* data stays the caller's and must live as long as the device; small integers are kept by value. At
 * set-up only. */
void fw_cfg_add(struct device *dev, uint16_t key, const void *data, uint32_t len);
void fw_cfg_add_int(struct device *dev, uint16_t key, uint64_t value, unsigned size);
void fw_cfg_add_file(struct device *dev, const char *name, const void *data, uint32_t len);

#endif
