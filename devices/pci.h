/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI bus inside of the machine: configuration space of functions, base address registers,
 * interrupt pins. PCI Local Bus Specification 2.1, chapter 6. Chips that are host bridges or have
 * BARs include this beside device.h.
 */
#ifndef DEJAVM_PCI_H
#define DEJAVM_PCI_H

#include "device.h"

#define PCI_VENDOR_ID	   0x00
#define PCI_DEVICE_ID	   0x02
#define PCI_COMMAND	   0x04
#define PCI_STATUS	   0x06
#define PCI_REVISION	   0x08
#define PCI_CLASS_PROG	   0x09
#define PCI_CLASS_DEVICE   0x0a
#define PCI_HEADER_TYPE	   0x0e
#define PCI_BAR0	   0x10
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d
#define PCI_COMMAND_IO	   0x1
#define PCI_COMMAND_MEMORY 0x2
#define PCI_COMMAND_MASTER 0x4
#define PCI_BARS	   7
#define PCI_BAR_ROM	   6 /* the expansion ROM's base, among the BARs */
#define PCI_ROM_BASE	   0x30
#define PCI_ROM_ENABLE	   0x1

/* Configuration cycle on bus 0. Nobody there: all ones. size 1, 2, 4, off aligned to it. */
uint32_t pci_config_read(struct machine *m, uint8_t devfn, unsigned off, unsigned size);
void pci_config_write(struct machine *m, uint8_t devfn, unsigned off, unsigned size, uint32_t val);

/* Common part of a function's identity, for realize() and reset(). */
void pci_set_ids(struct pci_function *fn, uint16_t vendor, uint16_t device, uint16_t class_code,
	uint8_t revision);

/*
 * BAR bar (0-5, or PCI_BAR_ROM) of a registered function: len bytes (a power of two, I/O from 4,
 * memory from 16, ROM from 2048) of ports or memory. It is mapped while the command register and
 * its address allow. In realize(). 0 or -errno with *err.
 */
int pci_bar_register(struct pci_function *fn, int bar, uint32_t len, bool is_io,
	const struct io_ops *ops, struct error *err);
/* Where a BAR is mapped now; 0: nowhere. */
uint32_t pci_bar_at(const struct pci_function *fn, int bar);
/* This BAR is video memory: plain memory for the vCPU where the map allows, ops elsewhere. */
void pci_bar_is_vram(struct pci_function *fn, int bar);
/* After a device wrote its own command or BAR registers (reset, load): maps what is mapped now. */
void pci_bars_update(struct pci_function *fn);

void pci_bus_done(struct machine *m);

#endif
