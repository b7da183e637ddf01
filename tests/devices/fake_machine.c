/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fake_machine.h. Tests are small: arrays, and an abort where one is too short. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_machine.h"
#include "hash.h"
#include "log.h"

/* More timer firings than this in one fake_advance() is a timer that does not let time go on. */
#define FIRE_MAX 4000000u

static void observe(struct machine *m, uint64_t what, uint64_t a, uint64_t b)
{
	uint64_t v[4] = { m->now_ns, what, a, b };

	m->trace_hash = hash64(m->trace_hash, v, sizeof(v));
}

/* ---- life ---- */

void fake_init(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	m->ram_bytes = UINT64_C(128) << 20;
	m->rtc_base_s = 1000000000; /* 2001-09-09 01:46:40, a Sunday */
}

void fake_done(struct machine *m)
{
	for (unsigned i = 0; i < m->n_devices; i++)
		free(m->devices[i]);
	memset(m, 0, sizeof(*m));
}

static void prop_set(struct device *dev, const struct prop *p, uint64_t v)
{
	uint8_t *at = (uint8_t *)dev + p->offset;
	uint32_t v32 = (uint32_t)v;
	bool b = v != 0;

	switch (p->type) {
	case PROP_U32: memcpy(at, &v32, 4); break;
	case PROP_U64: memcpy(at, &v, 8); break;
	case PROP_BOOL: memcpy(at, &b, sizeof(b)); break;
	case PROP_STR: must(!"no strings here");
	}
}

struct device *fake_try_add(struct machine *m, const struct device_class *cls,
	const struct fake_prop *props, struct error *err)
{
	struct device *dev = calloc(1, cls->instance_size);
	const struct prop *p;
	bool known;

	must(dev && m->n_devices < FAKE_MAX);
	dev->cls = cls;
	dev->machine = m;
	dev->id = cls->name;
	dev->stream = 0;
	for (p = cls->props; p && p->name; p++)
		prop_set(dev, p, p->dflt);
	for (; props && props->name; props++) {
		known = false;
		for (p = cls->props; p && p->name; p++) {
			if (strcmp(p->name, props->name) == 0) {
				prop_set(dev, p, props->value);
				known = true;
			}
		}
		must(known);
	}
	m->devices[m->n_devices++] = dev;
	if (cls->realize && cls->realize(dev, err) < 0)
		return NULL;
	return dev;
}

struct device *fake_add(
	struct machine *m, const struct device_class *cls, const struct fake_prop *props)
{
	struct error err = ERROR_INIT;
	struct device *dev = fake_try_add(m, cls, props, &err);

	if (!dev) {
		fprintf(stderr, "%s: %s\n", cls->name, err.msg);
		abort();
	}
	if (cls->reset)
		cls->reset(dev);
	return dev;
}

void fake_reset(struct machine *m)
{
	for (unsigned i = 0; i < m->n_devices; i++)
		if (m->devices[i]->cls->reset)
			m->devices[i]->cls->reset(m->devices[i]);
}

/* ---- time ---- */

uint64_t vclock_ns(const struct device *dev)
{
	return dev->machine->now_ns;
}

void timer_init(struct device *dev, struct timer *t, void (*fire)(struct device *dev))
{
	struct machine *m = dev->machine;

	must(m->n_timers < FAKE_MAX);
	t->dev = dev;
	t->fire = fire;
	t->deadline_ns = TIMER_NEVER;
	t->order = m->n_timers;
	m->timers[m->n_timers++] = t;
}

void timer_arm(struct timer *t, uint64_t deadline_ns)
{
	must(t->fire);
	t->deadline_ns = deadline_ns;
}

void timer_cancel(struct timer *t)
{
	must(t->fire);
	t->deadline_ns = TIMER_NEVER;
}

static struct timer *timer_nearest(struct machine *m)
{
	struct timer *best = NULL;

	for (unsigned i = 0; i < m->n_timers; i++)
		if (m->timers[i]->deadline_ns != TIMER_NEVER &&
			(!best || m->timers[i]->deadline_ns < best->deadline_ns))
			best = m->timers[i];
	return best;
}

void fake_advance_to(struct machine *m, uint64_t ns)
{
	struct timer *t;
	unsigned n = 0;
	uint64_t at;

	while ((t = timer_nearest(m)) && t->deadline_ns + m->late_ns <= ns) {
		at = t->deadline_ns + m->late_ns;
		if (at > m->now_ns)
			m->now_ns = at;
		t->deadline_ns = TIMER_NEVER;
		m->n_fired++;
		must(n++ < FIRE_MAX);
		t->fire(t->dev);
	}
	if (ns > m->now_ns)
		m->now_ns = ns;
}

void fake_advance(struct machine *m, uint64_t ns)
{
	fake_advance_to(m, m->now_ns + ns);
}

/* ---- ranges ---- */

static int range_add(struct device *dev, uint64_t base, uint64_t len, const struct io_ops *ops,
	bool mmio, struct error *err)
{
	struct machine *m = dev->machine;

	must(m->n_ranges < FAKE_MAX && len > 0);
	for (unsigned i = 0; i < m->n_ranges; i++) {
		const struct fake_range *r = &m->ranges[i];

		if (r->mmio == mmio && base < r->base + r->len && r->base < base + len)
			return error_set(
				err, 16, "%s: %#llx is taken", dev->id, (unsigned long long)base);
	}
	m->ranges[m->n_ranges++] = (struct fake_range){ dev, base, len, ops, mmio };
	return 0;
}

static void range_del(struct device *dev, uint64_t base, uint64_t len, bool mmio)
{
	struct machine *m = dev->machine;

	for (unsigned i = 0; i < m->n_ranges; i++) {
		const struct fake_range *r = &m->ranges[i];

		if (r->dev == dev && r->base == base && r->len == len && r->mmio == mmio) {
			m->ranges[i] = m->ranges[--m->n_ranges];
			return;
		}
	}
	must(!"a range that is mapped");
}

int io_map(struct device *dev, uint32_t base, uint32_t len, const struct io_ops *ops,
	struct error *err)
{
	if ((uint64_t)base + len > 0x10000)
		return error_set(err, 28, "%s: port %#x is out of range", dev->id, base);
	return range_add(dev, base, len, ops, false, err);
}

void io_unmap(struct device *dev, uint32_t base, uint32_t len)
{
	range_del(dev, base, len, false);
}

int mmio_map(struct device *dev, uint64_t base, uint64_t len, const struct io_ops *ops,
	struct error *err)
{
	return range_add(dev, base, len, ops, true, err);
}

void mmio_unmap(struct device *dev, uint64_t base, uint64_t len)
{
	range_del(dev, base, len, true);
}

static const struct fake_range *range_find(struct machine *m, uint64_t addr, bool mmio)
{
	for (unsigned i = 0; i < m->n_ranges; i++)
		if (m->ranges[i].mmio == mmio && addr - m->ranges[i].base < m->ranges[i].len)
			return &m->ranges[i];
	return NULL;
}

static uint64_t ones(unsigned size)
{
	return size == 8 ? UINT64_MAX : (UINT64_C(1) << size * 8) - 1;
}

static uint64_t access_read(struct machine *m, uint64_t addr, unsigned size, bool mmio)
{
	const struct fake_range *r = range_find(m, addr, mmio);
	uint64_t v = 0;

	if (r && size <= r->ops->max_size && addr - r->base + size <= r->len) {
		v = ones(size);
		if (r->ops->read)
			v &= r->ops->read(r->dev, addr - r->base, size);
	} else if (size == 1) {
		v = 0xff;
	} else {
		for (unsigned i = 0; i < size; i++)
			v |= access_read(m, addr + i, 1, mmio) << i * 8;
		return v;
	}
	observe(m, 1, addr, v);
	return v;
}

static void access_write(struct machine *m, uint64_t addr, unsigned size, uint64_t val, bool mmio)
{
	const struct fake_range *r = range_find(m, addr, mmio);

	if (r && size <= r->ops->max_size && addr - r->base + size <= r->len) {
		if (r->ops->write)
			r->ops->write(r->dev, addr - r->base, size, val & ones(size));
	} else if (size > 1) {
		for (unsigned i = 0; i < size; i++)
			access_write(m, addr + i, 1, val >> i * 8, mmio);
	}
}

uint32_t fake_in(struct machine *m, uint32_t port, unsigned size)
{
	return (uint32_t)access_read(m, port, size, false);
}

void fake_out(struct machine *m, uint32_t port, unsigned size, uint32_t val)
{
	access_write(m, port, size, val, false);
}

uint64_t fake_mmio_read(struct machine *m, uint64_t gpa, unsigned size)
{
	return access_read(m, gpa, size, true);
}

void fake_mmio_write(struct machine *m, uint64_t gpa, unsigned size, uint64_t val)
{
	access_write(m, gpa, size, val, true);
}

/* ---- lines ---- */

static void wire_set(void *opaque, int n, int level)
{
	struct fake_wire *w = opaque;

	if (level && !w->level) {
		w->rises++;
		w->rise_ns = w->m->now_ns;
	}
	if (level != w->level)
		observe(w->m, 2, (uint64_t)n, (uint64_t)level);
	w->level = level;
	line_set(&w->to, level);
}

void line_output(struct device *dev, const char *name, struct line *lines, int count)
{
	struct machine *m = dev->machine;

	for (int i = 0; i < count; i++) {
		must(m->n_wires < FAKE_MAX);
		m->wires[m->n_wires] =
			(struct fake_wire){ .m = m, .dev = dev, .name = name, .index = i };
		lines[i] = (struct line){ wire_set, &m->wires[m->n_wires], (int)m->n_wires };
		m->n_wires++;
	}
}

void line_export(struct device *dev, const char *name, void (*set)(void *opaque, int n, int level),
	int count)
{
	struct machine *m = dev->machine;

	must(m->n_inputs < FAKE_MAX);
	m->inputs[m->n_inputs++] = (struct fake_input){ dev, name, set, count };
}

struct fake_wire *fake_wire(struct device *dev, const char *name, int i)
{
	struct machine *m = dev->machine;

	for (unsigned k = 0; k < m->n_wires; k++)
		if (m->wires[k].dev == dev && strcmp(m->wires[k].name, name) == 0 &&
			m->wires[k].index == i)
			return &m->wires[k];
	must(!"an output of this name");
	return NULL;
}

int fake_level(struct device *dev, const char *name, int i)
{
	return fake_wire(dev, name, i)->level;
}

unsigned fake_rises(struct device *dev, const char *name, int i)
{
	return fake_wire(dev, name, i)->rises;
}

static const struct fake_input *input_find(struct device *dev, const char *name, int n)
{
	struct machine *m = dev->machine;

	for (unsigned k = 0; k < m->n_inputs; k++)
		if (m->inputs[k].dev == dev && strcmp(m->inputs[k].name, name) == 0 &&
			n < m->inputs[k].count)
			return &m->inputs[k];
	must(!"an input of this name");
	return NULL;
}

void fake_drive(struct device *dev, const char *name, int n, int level)
{
	input_find(dev, name, n)->set(dev, n, level);
}

void fake_connect(
	struct device *from, const char *output, int i, struct device *to, const char *input, int n)
{
	fake_wire(from, output, i)->to = (struct line){ input_find(to, input, n)->set, to, n };
}

/* ---- the rest of device.h ---- */

void chr_write(struct device *dev, const void *buf, size_t len)
{
	struct machine *m = dev->machine;

	observe(m, 3, hash64(0, buf, len), len);
	for (size_t i = 0; i < len && m->out_len < sizeof(m->out); i++)
		m->out[m->out_len++] = ((const uint8_t *)buf)[i];
}

void chr_credit(struct device *dev, uint32_t len)
{
	dev->machine->credit += len;
}

void machine_request(struct device *dev, enum machine_request r)
{
	observe(dev->machine, 4, r, 0);
	dev->machine->n_requests[r]++;
}

void machine_exit(struct device *dev, unsigned status)
{
	observe(dev->machine, 5, status, 0);
	dev->machine->n_exits++;
	dev->machine->exit_status = status;
}

void machine_a20(struct device *dev, int source, int level)
{
	must(source == 0 || source == 1);
	dev->machine->a20[source] = level;
}

void machine_ignne(struct device *dev)
{
	dev->machine->n_ignne++;
	observe(dev->machine, 8, 0, 0);
}

void machine_nmi(struct device *dev)
{
	dev->machine->n_nmi++;
}

int64_t machine_rtc_base_s(struct device *dev)
{
	return dev->machine->rtc_base_s;
}

uint64_t machine_ram_bytes(const struct device *dev)
{
	return dev->machine->ram_bytes;
}

void machine_apic_message(struct device *dev, uint8_t vector, uint8_t delivery_mode, uint8_t dest,
	bool logical, bool level)
{
	struct machine *m = dev->machine;

	observe(m, 6, vector, delivery_mode | dest << 8 | logical << 16 | level << 17);
	m->apic[m->n_apic++ % 256] =
		(struct fake_apic_msg){ vector, delivery_mode, dest, logical, level };
}

int pci_register(struct device *dev, struct pci_function *fn, uint8_t devfn, struct error *err)
{
	must(!dev->machine->pci);
	fn->devfn = devfn;
	dev->machine->pci = fn;
	return 0;
}

void pci_set_irq(struct device *dev, struct pci_function *fn, int pin, int level)
{
	observe(dev->machine, 7, (uint64_t)pin, (uint64_t)level);
}

void fake_pci_write(struct machine *m, unsigned off, uint8_t val)
{
	struct pci_function *fn = m->pci;
	uint8_t *c = &fn->config[off & 255];

	*c = (uint8_t)((*c & ~fn->wmask[off & 255]) | (val & fn->wmask[off & 255]));
	*c &= ~(val & fn->w1cmask[off & 255]);
	if (fn->config_written)
		fn->config_written(fn->dev, off & 255, 1);
}

/* ---- snapshots ---- */

uint8_t *fake_save(const struct device *dev, size_t *ret_len)
{
	const struct field *f;
	size_t len = 0;
	uint8_t *buf;

	for (f = dev->cls->fields; f->name; f++)
		len += (size_t)f->elem * f->count;
	buf = malloc(len + 1);
	must(buf);
	*ret_len = len;
	len = 0;
	for (f = dev->cls->fields; f->name; f++) {
		must(f->elem == 1 || f->elem == 2 || f->elem == 4 || f->elem == 8);
		must(f->offset + (size_t)f->elem * f->count <= dev->cls->instance_size);
		memcpy(buf + len, (const uint8_t *)dev + f->offset, (size_t)f->elem * f->count);
		len += (size_t)f->elem * f->count;
	}
	return buf;
}

void fake_load(struct device *dev, const uint8_t *buf, size_t len)
{
	const struct field *f;
	size_t at = 0;

	for (f = dev->cls->fields; f->name; f++) {
		must(at + (size_t)f->elem * f->count <= len);
		memcpy((uint8_t *)dev + f->offset, buf + at, (size_t)f->elem * f->count);
		at += (size_t)f->elem * f->count;
	}
	must(at == len);
	if (dev->cls->loaded)
		dev->cls->loaded(dev);
}
