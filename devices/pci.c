/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration space, base address registers and interrupt pins: see pci.h. */
#include "pci.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "machine.h"

/* Where a BAR is mapped now; derived from config space, so it is no saved state. */
struct pci_bar {
	const struct io_ops *ops;
	uint32_t len;
	bool is_io, is_vram, mapped;
	uint32_t at;
};

struct pci_bars {
	struct pci_bar bar[PCI_BARS];
};

static int function_index(const struct machine *m, uint8_t devfn)
{
	for (unsigned i = 0; i < m->pci.n; i++)
		if (m->pci.fn[i]->devfn == devfn)
			return (int)i;
	return -1;
}

int pci_register(struct device *dev, struct pci_function *fn, uint8_t devfn, struct error *err)
{
	struct machine *m = dev->machine;
	int i = function_index(m, devfn);

	if (i >= 0)
		return error_set(err, EBUSY, "%s: PCI slot %u.%u is taken by %s", dev->id,
			devfn >> 3, devfn & 7, m->pci.fn[i]->dev->id);
	if (m->pci.n == PCI_FUNCTIONS_MAX)
		return error_set(err, ENOSPC, "%s: the PCI bus holds %d functions", dev->id,
			PCI_FUNCTIONS_MAX);
	fn->dev = dev;
	fn->devfn = devfn;
	m->pci.fn[m->pci.n++] = fn;
	return 0;
}

void pci_set_ids(struct pci_function *fn, uint16_t vendor, uint16_t device, uint16_t class_code,
	uint8_t revision)
{
	uint8_t *c = fn->config;

	c[PCI_VENDOR_ID] = (uint8_t)vendor;
	c[PCI_VENDOR_ID + 1] = (uint8_t)(vendor >> 8);
	c[PCI_DEVICE_ID] = (uint8_t)device;
	c[PCI_DEVICE_ID + 1] = (uint8_t)(device >> 8);
	c[PCI_REVISION] = revision;
	c[PCI_CLASS_DEVICE] = (uint8_t)class_code;
	c[PCI_CLASS_DEVICE + 1] = (uint8_t)(class_code >> 8);
}

/* ---- base address registers ---- */

static uint32_t config_dword(const struct pci_function *fn, unsigned off)
{
	const uint8_t *c = fn->config + off;

	return c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;
}

static unsigned bar_offset(int bar)
{
	return bar == PCI_BAR_ROM ? PCI_ROM_BASE : PCI_BAR0 + 4 * (unsigned)bar;
}

int pci_bar_register(struct pci_function *fn, int bar, uint32_t len, bool is_io,
	const struct io_ops *ops, struct error *err)
{
	struct machine *m = fn->dev->machine;
	int i = function_index(m, fn->devfn);
	uint32_t mask, low = is_io ? 4 : bar == PCI_BAR_ROM ? 2048 : 16;

	must(i >= 0 && m->pci.fn[i] == fn && bar >= 0 && bar < PCI_BARS);
	must(len && !(len & (len - 1)) && len >= low);
	if (!m->pci.bars[i])
		m->pci.bars[i] = calloc(1, sizeof(struct pci_bars));
	if (!m->pci.bars[i])
		return error_set(err, ENOMEM, "%s: no memory for BARs", fn->dev->id);
	m->pci.bars[i]->bar[bar] = (struct pci_bar){ .ops = ops, .len = len, .is_io = is_io };
	mask = ~(len - 1);
	if (bar == PCI_BAR_ROM)
		mask |= PCI_ROM_ENABLE;
	for (unsigned b = 0; b < 4; b++, mask >>= 8)
		fn->wmask[bar_offset(bar) + b] = (uint8_t)mask;
	fn->config[bar_offset(bar)] = is_io ? 1 : 0;
	fn->wmask[PCI_COMMAND] |= is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	return 0;
}

uint32_t pci_bar_at(const struct pci_function *fn, int bar)
{
	const struct machine *m = fn->dev->machine;
	const struct pci_bar *b = &m->pci.bars[function_index(m, fn->devfn)]->bar[bar];

	return b->mapped ? b->at : 0;
}

void pci_bar_is_vram(struct pci_function *fn, int bar)
{
	struct machine *m = fn->dev->machine;

	m->pci.bars[function_index(m, fn->devfn)]->bar[bar].is_vram = true;
}

/* Where a BAR should be mapped by config space; false: nowhere. */
static bool bar_wanted(
	const struct pci_function *fn, const struct pci_bar *b, int n, uint32_t *ret_at)
{
	uint32_t reg = config_dword(fn, bar_offset(n)), at = reg & ~(b->len - 1);
	unsigned on = b->is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;

	*ret_at = at;
	if (!(fn->config[PCI_COMMAND] & on) || at == 0)
		return false;
	if (n == PCI_BAR_ROM && !(reg & PCI_ROM_ENABLE))
		return false;
	return b->is_io ? at <= 0x10000 - b->len : at <= UINT32_MAX - b->len + 1;
}

static void bar_unmap(struct pci_function *fn, struct pci_bar *b)
{
	if (b->is_io)
		io_unmap(fn->dev, b->at, b->len);
	else
		mmio_unmap(fn->dev, b->at, b->len);
	if (b->is_vram)
		memmap_vram_bar(fn->dev->machine, 0, 0);
	b->mapped = false;
}

static void bar_map(struct pci_function *fn, struct pci_bar *b, uint32_t at)
{
	int r;

	if (b->is_io)
		r = io_map(fn->dev, at, b->len, b->ops, NULL);
	else
		r = mmio_map(fn->dev, at, b->len, b->ops, NULL);
	b->mapped = r == 0;
	b->at = at;
	if (b->is_vram && b->mapped)
		memmap_vram_bar(fn->dev->machine, at, b->len);
}

/* Unmaps, or maps, what is not as config space has it. Whether there was such a BAR. */
static bool bars_pass(struct pci_function *fn, struct pci_bars *bars, bool map, bool all)
{
	bool found = false;

	for (int n = 0; bars && n < PCI_BARS; n++) {
		struct pci_bar *b = &bars->bar[n];
		uint32_t at;
		bool wanted = b->len && bar_wanted(fn, b, n, &at);

		if (b->mapped && !map && (all || !wanted || b->at != at)) {
			bar_unmap(fn, b);
			found = true;
		} else if (!b->mapped && wanted) {
			if (map)
				bar_map(fn, b, at);
			found = true;
		}
	}
	return found;
}

/*
 * A guest may put two BARs at one place: the first one (in order of functions and numbers) has it.
 * So that this depends on config space alone, and not on who came first, a change maps all of them
 * anew.
 */
void pci_bars_update(struct pci_function *fn)
{
	struct machine *m = fn->dev->machine;
	bool changed = false;

	for (unsigned i = 0; i < m->pci.n; i++)
		changed |= bars_pass(m->pci.fn[i], m->pci.bars[i], false, false);
	for (unsigned i = 0; i < m->pci.n && changed; i++)
		bars_pass(m->pci.fn[i], m->pci.bars[i], false, true);
	for (unsigned i = 0; i < m->pci.n && changed; i++)
		bars_pass(m->pci.fn[i], m->pci.bars[i], true, true);
	m->ports_changed |= changed;
}

void pci_bus_done(struct machine *m)
{
	for (unsigned i = 0; i < PCI_FUNCTIONS_MAX; i++) {
		free(m->pci.bars[i]);
		m->pci.bars[i] = NULL;
	}
}

/* ---- configuration cycles ---- */

uint32_t pci_config_read(struct machine *m, uint8_t devfn, unsigned off, unsigned size)
{
	int i = function_index(m, devfn);
	uint32_t v = 0;

	if (i < 0 || off + size > PCI_CONFIG_SIZE)
		return size >= 4 ? UINT32_MAX : (1u << 8 * size) - 1;
	for (unsigned b = 0; b < size; b++)
		v |= (uint32_t)m->pci.fn[i]->config[off + b] << 8 * b;
	return v;
}

void pci_config_write(struct machine *m, uint8_t devfn, unsigned off, unsigned size, uint32_t val)
{
	int i = function_index(m, devfn);
	struct pci_function *fn;

	if (i < 0 || off + size > PCI_CONFIG_SIZE)
		return;
	fn = m->pci.fn[i];
	for (unsigned b = 0; b < size; b++) {
		uint8_t v = (uint8_t)(val >> 8 * b), *c = &fn->config[off + b];

		*c = (uint8_t)((*c & ~fn->wmask[off + b]) | (v & fn->wmask[off + b]));
		*c &= (uint8_t) ~(v & fn->w1cmask[off + b]);
	}
	if (off < PCI_ROM_BASE + 4 && off + size > PCI_COMMAND)
		pci_bars_update(fn);
	if (fn->config_written)
		fn->config_written(fn->dev, off, size);
}

/* ---- interrupt pins ---- */

void pci_set_irq(struct device *dev, struct pci_function *fn, int pin, int level)
{
	struct machine *m = dev->machine;
	int i = function_index(m, fn->devfn), pirq;
	uint64_t *sources, bit;

	must(i >= 0 && pin >= 0 && pin < 4);
	/* The board's wiring: slot 1's INTA is PIRQA, each further slot is rotated by one. dsdt.asl
	 * says the same. */
	pirq = (pin + (fn->devfn >> 3) + 3) & 3;
	sources = &m->board->pirq_sources[pirq];
	bit = UINT64_C(1) << (4 * i + pin);
	*sources = level ? *sources | bit : *sources & ~bit;
	line_set(&m->pci.pirq[pirq], *sources != 0);
}
