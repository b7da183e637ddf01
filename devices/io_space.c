/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dispatch of port and memory-mapped accesses to devices.
 *
 * Ports have two tables with a byte for each: who answers byte accesses and who answers wider ones.
 * An access that is too wide for its range, too narrow, or that leaves it, is split in halves, low
 * half first, as an ISA bus bridge does (82371SB data sheet, "I/O recovery and data swap logic"); a
 * byte that nobody answers reads FF.
 */
#include <errno.h>
#include <string.h>
#include "log.h"
#include "machine.h"

static uint64_t ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
}

/* ---- registration ---- */

static bool ops_take_bytes(const struct io_ops *ops)
{
	return ops->min_size <= 1;
}

static const struct device *io_conflict(
	const struct machine *m, uint32_t base, uint32_t len, const struct io_ops *ops)
{
	for (uint32_t p = base; p < base + len; p++) {
		if (ops_take_bytes(ops) && m->io_byte[p])
			return m->io[m->io_byte[p]].dev;
		if (ops->max_size > 1 && m->io_wide[p])
			return m->io[m->io_wide[p]].dev;
	}
	return NULL;
}

int io_map(struct device *dev, uint32_t base, uint32_t len, const struct io_ops *ops,
	struct error *err)
{
	struct machine *m = dev->machine;
	const struct device *other;
	unsigned i;

	must(ops->max_size == 1 || ops->max_size == 2 || ops->max_size == 4);
	must(!ops->posted || ops_take_bytes(ops));
	if (len == 0 || base > 0xffff || len > 0x10000 - base)
		return error_set(err, EINVAL, "%s: ports 0x%x-0x%llx are outside of 0-0xffff",
			dev->id, base, (unsigned long long)base + len - 1);
	other = io_conflict(m, base, len, ops);
	if (other)
		return error_set(err, EBUSY, "%s: ports 0x%x-0x%x are taken by %s", dev->id, base,
			base + len - 1, other->id);
	for (i = 1; i < MACHINE_IO_RANGES && m->io[i].dev; i++)
		;
	if (i == MACHINE_IO_RANGES)
		return error_set(err, ENOSPC,
			"%s: no room for ports 0x%x-0x%x: the machine has %d ranges", dev->id, base,
			base + len - 1, MACHINE_IO_RANGES - 1);
	m->io[i] = (struct io_range){ dev, ops, base, len };
	if (ops_take_bytes(ops))
		memset(m->io_byte + base, (int)i, len);
	if (ops->max_size > 1)
		memset(m->io_wide + base, (int)i, len);
	if (ops->posted)
		memmap_rebuild(m);
	return 0;
}

void io_unmap(struct device *dev, uint32_t base, uint32_t len)
{
	struct machine *m = dev->machine;

	for (unsigned i = 1; i < MACHINE_IO_RANGES; i++) {
		struct io_range *r = &m->io[i];
		bool posted;

		if (r->dev != dev || r->base != base || r->len != len)
			continue;
		posted = r->ops->posted;
		for (uint32_t p = base; p < base + len; p++) {
			if (m->io_byte[p] == i)
				m->io_byte[p] = 0;
			if (m->io_wide[p] == i)
				m->io_wide[p] = 0;
		}
		*r = (struct io_range){ 0 };
		if (posted)
			memmap_rebuild(m);
	}
}

int mmio_map(struct device *dev, uint64_t base, uint64_t len, const struct io_ops *ops,
	struct error *err)
{
	struct machine *m = dev->machine;

	if (len == 0 || base >= (UINT64_C(1) << 32) || len > (UINT64_C(1) << 32) - base)
		return error_set(err, EINVAL,
			"%s: memory 0x%llx, 0x%llx bytes, is outside of 4 GiB", dev->id,
			(unsigned long long)base, (unsigned long long)len);
	for (unsigned i = 0; i < m->n_mmio; i++) {
		const struct io_range *r = &m->mmio[i];

		if (base < r->base + r->len && r->base < base + len)
			return error_set(err, EBUSY, "%s: memory at 0x%llx is taken by %s", dev->id,
				(unsigned long long)base, r->dev->id);
	}
	if (m->n_mmio == MACHINE_MMIO_MAX)
		return error_set(err, ENOSPC,
			"%s: no room for memory at 0x%llx: the machine has %d ranges", dev->id,
			(unsigned long long)base, MACHINE_MMIO_MAX);
	m->mmio[m->n_mmio++] = (struct io_range){ dev, ops, base, len };
	if (base < (uint64_t)MACHINE_LOW_PAGES << 12)
		memmap_rebuild(m);
	return 0;
}

void mmio_unmap(struct device *dev, uint64_t base, uint64_t len)
{
	struct machine *m = dev->machine;

	for (unsigned i = 0; i < m->n_mmio; i++) {
		struct io_range *r = &m->mmio[i];

		if (r->dev != dev || r->base != base || r->len != len)
			continue;
		*r = m->mmio[--m->n_mmio];
		if (base < (uint64_t)MACHINE_LOW_PAGES << 12)
			memmap_rebuild(m);
		return;
	}
}

/* ---- ports ---- */

/* The range that takes an access whole, or NULL: split it. */
static const struct io_range *io_find(const struct machine *m, uint32_t port, unsigned size)
{
	const struct io_range *r;

	if (port > 0xffff)
		return NULL;
	r = &m->io[size == 1 ? m->io_byte[port] : m->io_wide[port]];
	if (!r->dev || size > r->ops->max_size || size < r->ops->min_size ||
		port + size > r->base + r->len)
		return NULL;
	return r;
}

static uint64_t io_read(struct machine *m, uint32_t port, unsigned size)
{
	const struct io_range *r = io_find(m, port, size);
	uint64_t lo;

	if (r)
		return r->ops->read ? r->ops->read(r->dev, port - r->base, size) & ones(size)
				    : ones(size);
	if (size == 1)
		return 0xff;
	size /= 2;
	lo = io_read(m, port, size);
	return lo | io_read(m, port + size, size) << 8 * size;
}

static void io_write(struct machine *m, uint32_t port, unsigned size, uint64_t val)
{
	const struct io_range *r = io_find(m, port, size);

	if (r) {
		if (r->ops->write)
			r->ops->write(r->dev, port - r->base, size, val & ones(size));
		return;
	}
	if (size == 1)
		return;
	size /= 2;
	io_write(m, port, size, val & ones(size));
	io_write(m, port + size, size, val >> 8 * size & ones(size));
}

uint32_t machine_in(struct machine *m, uint16_t port, unsigned size)
{
	return (uint32_t)io_read(m, port, size);
}

void machine_out(struct machine *m, uint16_t port, unsigned size, uint32_t val)
{
	io_write(m, port, size, val);
}

/*
 * Would the vCPU look up between two elements, had each come alone? was: the machine before the
 * first one.
 */
struct calm {
	uint8_t intr, a20[2];
	uint32_t n_apic;
};

static struct calm calm_now(const struct machine *m)
{
	const struct board *b = m->board;

	return (struct calm){ b->intr, { b->a20[0], b->a20[1] }, b->n_apic };
}

static bool is_calm(struct machine *m, const struct calm *was)
{
	const struct board *b = m->board;
	const struct memmap_page *mp = m->cfg.memmap;

	return b->intr == was->intr && b->a20[0] == was->a20[0] && b->a20[1] == was->a20[1] &&
	       b->n_apic == was->n_apic && !b->nmi && !b->reset_pending && !b->shutdown &&
	       !m->map_changed && !mp->n_dma && !mp->dma_overflow &&
	       machine_icount_at(m, machine_deadline_ns(m)) > m->icount + 1;
}

/* REP INS or OUTS. Elements lie at buf, lowest byte first. */
struct string_op {
	/* As many as the device does at once, 0: none. */
	uint32_t (*many)(
		const struct io_range *r, uint16_t port, unsigned size, uint32_t n, uint8_t *buf);
	void (*one)(struct machine *m, uint16_t port, unsigned size, uint8_t *buf);
};

static uint32_t ins_many(
	const struct io_range *r, uint16_t port, unsigned size, uint32_t n, uint8_t *buf)
{
	return r->ops->read_n ? r->ops->read_n(r->dev, port - r->base, size, n, buf) : 0;
}

static void ins_one(struct machine *m, uint16_t port, unsigned size, uint8_t *buf)
{
	uint32_t v = (uint32_t)io_read(m, port, size);

	for (unsigned b = 0; b < size; b++)
		buf[b] = (uint8_t)(v >> 8 * b);
}

static uint32_t outs_many(
	const struct io_range *r, uint16_t port, unsigned size, uint32_t n, uint8_t *buf)
{
	return r->ops->write_n ? r->ops->write_n(r->dev, port - r->base, size, n, buf) : 0;
}

static void outs_one(struct machine *m, uint16_t port, unsigned size, uint8_t *buf)
{
	uint32_t v = 0;

	for (unsigned b = 0; b < size; b++)
		v |= (uint32_t)buf[b] << 8 * b;
	io_write(m, port, size, v);
}

static const struct string_op ins = { ins_many, ins_one }, outs = { outs_many, outs_one };

/* Each element is an instruction of its own, as far as time goes. Returns how many were done. */
static uint32_t do_string(struct machine *m, const struct string_op *op, uint16_t port,
	unsigned size, uint32_t n, uint8_t *buf)
{
	const struct calm was = calm_now(m);
	const uint64_t first = m->icount;
	uint32_t i = 0;

	while (i < n) {
		const struct io_range *r = io_find(m, port, size);
		uint8_t *at = buf + (size_t)i * size;
		uint32_t k;

		m->icount = first + i;
		k = r ? op->many(r, port, size, n - i, at) : 0;
		must(k <= n - i);
		i += k;
		if (k)
			continue;
		op->one(m, port, size, at);
		i++;
		if (!is_calm(m, &was))
			break;
	}
	m->icount = i ? first + i - 1 : first;
	return i;
}

uint32_t machine_ins(struct machine *m, uint16_t port, unsigned size, uint32_t n, uint8_t *buf)
{
	return do_string(m, &ins, port, size, n, buf);
}

uint32_t machine_outs(
	struct machine *m, uint16_t port, unsigned size, uint32_t n, const uint8_t *buf)
{
	return do_string(m, &outs, port, size, n, (uint8_t *)buf); /* outs only reads it */
}

bool machine_in_is_quick(const struct machine *m, uint16_t port)
{
	return m->io[m->io_byte[port]].dev && m->io[m->io_byte[port]].ops->quick;
}

/* ---- writes that may be deferred, reads that are shown ---- */

void machine_ports_changed(struct device *dev)
{
	dev->machine->ports_changed = true;
}

/* What finds no room costs the vCPU a request, as all other ports do. */
void port_defer(struct device *dev, uint32_t port, uint32_t len, unsigned size, uint32_t mask)
{
	struct memmap_page *mp = dev->machine->cfg.memmap;

	if (mp->n_defer < DEFER_MAX)
		mp->defer[mp->n_defer++] = (struct port_defer){ .port = (uint16_t)port,
			.len = (uint16_t)len,
			.size = (uint8_t)size,
			.mask = mask };
}

void port_show(struct device *dev, uint32_t port, uint8_t val)
{
	struct memmap_page *mp = dev->machine->cfg.memmap;

	if (mp->n_shown < SHOWN_MAX)
		mp->shown[mp->n_shown++] =
			(struct port_shown){ .port = (uint16_t)port, .value = val };
}

void machine_ports_update(struct machine *m)
{
	if (!m->ports_changed)
		return;
	m->ports_changed = false;
	m->cfg.memmap->n_defer = m->cfg.memmap->n_shown = 0;
	for (struct device *d = m->devices; d; d = d->next)
		if (d->cls->ports)
			d->cls->ports(d);
}

bool machine_may_defer(const struct machine *m, uint16_t port, unsigned size, uint32_t val)
{
	const struct memmap_page *mp = m->cfg.memmap;

	for (unsigned i = 0; i < mp->n_defer; i++) {
		const struct port_defer *d = &mp->defer[i];

		if (port >= d->port && port - d->port < d->len && size == d->size &&
			!(val & d->mask))
			return true;
	}
	return false;
}

bool machine_deferred(struct machine *m, uint16_t port, unsigned size, uint32_t val)
{
	const struct board *b = m->board;
	uint8_t intr = b->intr;
	uint32_t n_apic = b->n_apic;

	if (!machine_may_defer(m, port, size, val))
		return false;
	io_write(m, port, size, val);
	must(b->intr == intr && b->n_apic == n_apic);
	return true;
}

/* ---- memory ---- */

static const struct io_range *mmio_find(const struct machine *m, uint64_t gpa, unsigned size)
{
	for (unsigned i = 0; i < m->n_mmio; i++) {
		const struct io_range *r = &m->mmio[i];

		if (gpa >= r->base && gpa - r->base < r->len)
			return size <= r->ops->max_size && gpa - r->base + size <= r->len ? r
											  : NULL;
	}
	return NULL;
}

uint64_t machine_mmio_read(struct machine *m, uint64_t gpa, unsigned size)
{
	const struct io_range *r = mmio_find(m, gpa, size);
	uint64_t lo;

	if (r)
		return r->ops->read ? r->ops->read(r->dev, gpa - r->base, size) & ones(size)
				    : ones(size);
	if (size == 1)
		return 0xff;
	size /= 2;
	lo = machine_mmio_read(m, gpa, size);
	return lo | machine_mmio_read(m, gpa + size, size) << 8 * size;
}

void machine_mmio_write(struct machine *m, uint64_t gpa, unsigned size, uint64_t val)
{
	const struct io_range *r = mmio_find(m, gpa, size);

	if (r) {
		if (r->ops->write)
			r->ops->write(r->dev, gpa - r->base, size, val & ones(size));
		return;
	}
	if (size == 1)
		return;
	size /= 2;
	machine_mmio_write(m, gpa, size, val & ones(size));
	machine_mmio_write(m, gpa + size, size, val >> 8 * size & ones(size));
}
