/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine: device creation by class name and properties, reset, requests of chips to it, events
 * of the log, and what a reply tells the vCPU. Wiring is in board.c, accesses in io_space.c, time
 * in timer.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "boot.h"
#include "display.h"
#include "log.h"
#include "machine.h"
#include "pci.h"

static struct trace_point tp_request = TRACE_POINT("machine_request");
static struct trace_point tp_reset = TRACE_POINT("machine_reset");
static struct trace_point tp_event = TRACE_POINT("machine_event");

#define DEVICE(c) extern const struct device_class c;
#include "machine_list.def"
#undef DEVICE

static const struct device_class *const classes[] = {
#define DEVICE(c) &c,
#include "machine_list.def"
#undef DEVICE
};
#define N_CLASSES (sizeof(classes) / sizeof(classes[0]))

/* A heap object that lives as long as the machine: device instances and strings. */
struct owned {
	struct owned *next;
	_Alignas(16) uint8_t bytes[];
};

struct machine_full {
	struct machine m;
	struct owned *owned;
	struct display_page no_display; /* what is published when nobody looks */
};

static void *own(struct machine *m, size_t len)
{
	struct machine_full *f = (struct machine_full *)m;
	struct owned *o = calloc(1, sizeof(*o) + len);

	if (!o)
		return NULL;
	o->next = f->owned;
	f->owned = o;
	return o->bytes;
}

static const char *own_string(struct machine *m, const char *s)
{
	char *p = own(m, strlen(s) + 1);

	return p ? strcpy(p, s) : NULL;
}

/* ---- life ---- */

static int config_check(const struct machine_config *cfg, struct error *err)
{
	if (cfg->ram_bytes < MACHINE_RAM_MIN || cfg->ram_bytes > MACHINE_RAM_MAX)
		return error_set(err, EINVAL,
			"RAM size %" PRIu64 " bytes: expected %" PRIu64 " MiB to %" PRIu64
			" MiB (-m)",
			cfg->ram_bytes, MACHINE_RAM_MIN >> 20, MACHINE_RAM_MAX >> 20);
	if (cfg->ram_bytes % 4096)
		return error_set(err, EINVAL,
			"RAM size %" PRIu64 " bytes: expected whole 4 KiB pages", cfg->ram_bytes);
	if (cfg->vram_bytes % 4096 || cfg->vram_bytes > MACHINE_VRAM_MAX)
		return error_set(err, EINVAL,
			"video memory of %" PRIu64
			" bytes: expected whole 4 KiB pages, at most %" PRIu64 " MiB",
			cfg->vram_bytes, MACHINE_VRAM_MAX >> 20);
	if (cfg->shift > 20)
		return error_set(err, EINVAL, "icount shift %u: expected 0 to 20", cfg->shift);
	if (cfg->n_streams > MACHINE_STREAMS)
		return error_set(err, EINVAL, "%u character streams: at most %d", cfg->n_streams,
			MACHINE_STREAMS);
	if (cfg->n_drives > BLK_DRIVES_MAX)
		return error_set(
			err, EINVAL, "%u drives: at most %d", cfg->n_drives, BLK_DRIVES_MAX);
	for (unsigned i = 0; i < cfg->n_drives; i++)
		if (cfg->drive[i].len % BLK_SECTOR)
			return error_set(err, EINVAL,
				"drive %s: %" PRIu64 " bytes: expected a multiple of %d",
				cfg->drive[i].id, cfg->drive[i].len, BLK_SECTOR);
	return 0;
}

struct machine *machine_new(
	const struct machine_config *cfg, const struct machine_host *host, struct error *err)
{
	struct machine_full *f;
	struct machine *m;
	struct device_spec board = { .driver = "board", .id = "board", .stream = -1 };

	if (config_check(cfg, err) < 0)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f) {
		error_set(err, ENOMEM, "no memory for the machine");
		return NULL;
	}
	m = &f->m;
	m->cfg = *cfg;
	m->host = *host;
	m->display = cfg->display ? cfg->display : &f->no_display;
	m->devices_tail = &m->devices;
	m->next_deadline_ns = TIMER_NEVER;
	m->board = (struct board *)machine_add(m, &board, false, err);
	if (!m->board) {
		machine_free(m);
		return NULL;
	}
	m->board->dev.cls->reset(&m->board->dev);
	return m;
}

void machine_free(struct machine *m)
{
	struct machine_full *f = (struct machine_full *)m;
	struct owned *next;

	if (!m)
		return;
	boot_free(m);
	pci_bus_done(m);
	for (struct owned *o = f->owned; o; o = next) {
		next = o->next;
		free(o);
	}
	free(f);
}

/* ---- properties ---- */

const struct device_class *machine_class(const char *name)
{
	for (size_t i = 0; i < N_CLASSES; i++)
		if (strcmp(classes[i]->name, name) == 0)
			return classes[i];
	return NULL;
}

/* Appends to a list of words for a message; what does not fit is cut off. */
static void list_add(char *buf, size_t cap, const char *word)
{
	size_t n = strlen(buf);

	snprintf(buf + n, cap - n, "%s%s", n ? ", " : "", word);
}

static int prop_number(const struct device_class *cls, const struct prop *p, const char *text,
	uint64_t max, uint64_t *ret, struct error *err)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (!*text || *end || errno || strchr(text, '-') || v > max)
		return error_set(err, EINVAL,
			"device %s: property %s=%s: expected a number from 0 to %" PRIu64,
			cls->name, p->name, text, max);
	*ret = v;
	return 0;
}

static int prop_bool(const struct device_class *cls, const struct prop *p, const char *text,
	bool *ret, struct error *err)
{
	static const char *const on[] = { "on", "yes", "true" }, *const off[] = { "off", "no",
		"false" };

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, on[i]) == 0 || strcmp(text, off[i]) == 0) {
			*ret = strcmp(text, on[i]) == 0;
			return 0;
		}
	}
	return error_set(err, EINVAL, "device %s: property %s=%s: expected on or off", cls->name,
		p->name, text);
}

static int prop_set(struct device *dev, const struct prop *p, const char *text, struct error *err)
{
	uint8_t *at = (uint8_t *)dev + p->offset;
	uint64_t v = 0;
	int r;

	switch (p->type) {
	case PROP_U32:
		r = prop_number(dev->cls, p, text, UINT32_MAX, &v, err);
		if (r == 0)
			*(uint32_t *)at = (uint32_t)v;
		return r;
	case PROP_U64:
		r = prop_number(dev->cls, p, text, UINT64_MAX, &v, err);
		if (r == 0)
			*(uint64_t *)at = v;
		return r;
	case PROP_BOOL: return prop_bool(dev->cls, p, text, (bool *)at, err);
	case PROP_STR:
		*(const char **)at = own_string(dev->machine, text);
		return *(const char **)at ? 0 : error_set(err, ENOMEM, "no memory");
	}
	return 0;
}

static void prop_default(struct device *dev, const struct prop *p)
{
	uint8_t *at = (uint8_t *)dev + p->offset;

	switch (p->type) {
	case PROP_U32: *(uint32_t *)at = (uint32_t)p->dflt; break;
	case PROP_U64: *(uint64_t *)at = p->dflt; break;
	case PROP_BOOL: *(bool *)at = p->dflt != 0; break;
	case PROP_STR: break;
	}
}

static int props_apply(struct device *dev, const struct device_spec *spec, struct error *err)
{
	const struct prop *props = dev->cls->props, *p;
	char known[512] = "";

	for (p = props; p && p->name; p++) {
		prop_default(dev, p);
		list_add(known, sizeof(known), p->name);
	}
	for (unsigned i = 0; i < spec->n_props; i++) {
		const char *key = spec->props[i].key;

		for (p = props; p && p->name && strcmp(p->name, key) != 0; p++)
			;
		if (!p || !p->name)
			return error_set(err, EINVAL, "device %s has no property '%s'; it has: %s",
				dev->cls->name, key, *known ? known : "none");
		if (prop_set(dev, p, spec->props[i].value, err) < 0)
			return -EINVAL;
	}
	return 0;
}

uint64_t device_prop(const struct device *dev, const char *name, uint64_t dflt)
{
	for (const struct prop *p = dev->cls->props; p && p->name; p++) {
		const uint8_t *at = (const uint8_t *)dev + p->offset;

		if (strcmp(p->name, name) != 0)
			continue;
		switch (p->type) {
		case PROP_U32: return *(const uint32_t *)at;
		case PROP_U64: return *(const uint64_t *)at;
		case PROP_BOOL: return *(const bool *)at;
		case PROP_STR: return dflt;
		}
	}
	return dflt;
}

/* ---- devices ---- */

static void class_unknown(const char *driver, bool user, struct error *err)
{
	char known[768] = "";

	for (size_t i = 0; i < N_CLASSES; i++)
		if (!user || classes[i]->user_creatable)
			list_add(known, sizeof(known), classes[i]->name);
	error_set(err, EINVAL, "'%s' is not a device %s; there are: %s", driver,
		user ? "that can be added" : "of this machine", *known ? known : "none");
}

static const char *device_id(struct machine *m, const struct device_spec *spec, struct error *err)
{
	char buf[128];

	if (spec->id && *spec->id) {
		if (!machine_find(m, spec->id))
			return own_string(m, spec->id);
		error_set(err, EEXIST, "device %s: id '%s' is used twice", spec->driver, spec->id);
		return NULL;
	}
	for (unsigned i = 0;; i++) {
		snprintf(buf, sizeof(buf), i ? "%s.%u" : "%s", spec->driver, i);
		if (!machine_find(m, buf))
			return own_string(m, buf);
	}
}

struct device *machine_add(
	struct machine *m, const struct device_spec *spec, bool user, struct error *err)
{
	const struct device_class *cls = machine_class(spec->driver);
	struct device *dev;

	if (!cls || (user && !cls->user_creatable)) {
		class_unknown(spec->driver, user, err);
		return NULL;
	}
	must(cls->instance_size >= sizeof(struct device));
	dev = own(m, cls->instance_size);
	if (!dev) {
		error_set(err, ENOMEM, "no memory for device %s", cls->name);
		return NULL;
	}
	dev->cls = cls;
	dev->machine = m;
	dev->stream = spec->stream;
	dev->id = device_id(m, spec, err);
	if (!dev->id)
		return NULL;
	if (dev->stream >= (int)m->cfg.n_streams) {
		error_set(err, EINVAL, "device %s: character stream %d: the machine has %u",
			dev->id, dev->stream, m->cfg.n_streams);
		return NULL;
	}
	if (props_apply(dev, spec, err) < 0)
		return NULL;
	if (cls->realize && cls->realize(dev, err) < 0)
		return NULL;
	*m->devices_tail = dev;
	m->devices_tail = &dev->next;
	m->n_devices++;
	if (cls->intack)
		m->pic = dev;
	if (cls->eoi)
		m->ioapic = dev;
	return dev;
}

struct device *machine_find(struct machine *m, const char *id)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (strcmp(d->id, id) == 0)
			return d;
	return NULL;
}

void machine_reset(struct machine *m)
{
	trace(&tp_reset, "icount %" PRIu64, m->icount);
	for (struct device *d = m->devices; d; d = d->next)
		if (d->cls->reset)
			d->cls->reset(d);
	memmap_rebuild(m);
	boot_reset(m);
	m->powered = true;
}

/* ---- what chips ask for ---- */

void chr_write(struct device *dev, const void *buf, size_t len)
{
	struct machine *m = dev->machine;

	if (dev->stream < 0 || len == 0)
		return;
	m->stream_bytes[dev->stream] += len;
	if (m->host.output)
		m->host.output(m->host.opaque, dev->stream, buf, len);
}

void chr_credit(struct device *dev, uint32_t len)
{
	struct machine *m = dev->machine;

	if (dev->stream < 0 || len == 0)
		return;
	m->stream_credit[dev->stream] += len;
	if (m->host.credit)
		m->host.credit(m->host.opaque, dev->stream, len);
}

static void shutdown_request(struct machine *m, enum shutdown_cause cause)
{
	if (!m->board->shutdown)
		m->board->shutdown = (uint8_t)cause + 1;
}

void machine_request(struct device *dev, enum machine_request r)
{
	static const char *const names[] = { "reset", "shutdown", "panic" };
	struct machine *m = dev->machine;

	trace(&tp_request, "%s asks for %s at icount %" PRIu64, dev->id, names[r], m->icount);
	switch (r) {
	case MACHINE_RESET: m->board->reset_pending = 1; break;
	case MACHINE_SHUTDOWN: shutdown_request(m, SHUTDOWN_GUEST_SHUTDOWN); break;
	case MACHINE_PANIC: shutdown_request(m, SHUTDOWN_GUEST_PANIC); break;
	}
}

void machine_exit(struct device *dev, unsigned status)
{
	struct machine *m = dev->machine;

	if (!m->board->shutdown)
		m->board->exit_value = status + 1;
	shutdown_request(m, SHUTDOWN_GUEST_SHUTDOWN);
}

void machine_a20(struct device *dev, int source, int level)
{
	must(source == 0 || source == 1);
	dev->machine->board->a20[source] = level != 0;
}

void machine_nmi(struct device *dev)
{
	dev->machine->board->nmi = 1;
}

void machine_ignne(struct device *dev)
{
	struct machine *m = dev->machine;

	m->ignne = m->ferr;
}

int64_t machine_rtc_base_s(struct device *dev)
{
	struct machine *m = dev->machine;
	struct board *b = m->board;

	if (!b->rtc_known) {
		if (m->cfg.has_rtc_base)
			b->rtc_base_s = m->cfg.rtc_base_s;
		else if (m->host.clock_host_ns)
			b->rtc_base_s = m->host.clock_host_ns(m->host.opaque) / (int64_t)NS_PER_S;
		b->rtc_known = 1;
	}
	return b->rtc_base_s;
}

uint64_t machine_ram_bytes(const struct device *dev)
{
	return dev->machine->cfg.ram_bytes;
}

struct display_page *machine_display(struct device *dev)
{
	return dev->machine->display;
}

const uint8_t *machine_vga_rom(struct device *dev, uint32_t *ret_len)
{
	const struct blob *b = &dev->machine->cfg.vgabios;

	*ret_len = b->data && b->len <= UINT32_MAX ? (uint32_t)b->len : 0;
	return *ret_len ? b->data : NULL;
}

void machine_apic_message(struct device *dev, uint8_t vector, uint8_t delivery_mode, uint8_t dest,
	bool logical, bool level)
{
	struct board *b = dev->machine->board;
	struct apic_msg msg = { vector, delivery_mode, dest,
		(uint8_t)((level ? 1 : 0) | (logical ? 2 : 0)) };

	/* The local APIC's IRR holds one of a kind, so that a second one says nothing new. */
	for (uint32_t i = 0; i < b->n_apic; i++)
		if (memcmp(&b->apic[i], &msg, sizeof(msg)) == 0)
			return;
	if (b->n_apic < MACHINE_APIC_QUEUE)
		b->apic[b->n_apic++] = msg;
}

/* ---- requests ---- */

void machine_begin(struct machine *m, uint64_t icount)
{
	m->icount = icount;
	m->ferr = m->ignne = false;
	if (m->dma_told) {
		m->cfg.memmap->n_dma = 0;
		m->cfg.memmap->dma_overflow = 0;
		m->dma_told = false;
	}
}

void machine_ferr(struct machine *m, bool level)
{
	m->ferr = level;
	line_set(&m->ferr_line, level);
}

uint8_t machine_intack(struct machine *m)
{
	/* Nobody drives the bus: a spurious interrupt of the master. */
	return m->pic ? m->pic->cls->intack(m->pic) : 7;
}

void machine_eoi(struct machine *m, uint8_t vector)
{
	if (m->ioapic)
		m->ioapic->cls->eoi(m->ioapic, vector);
}

void machine_triple_fault(struct machine *m)
{
	machine_request(&m->board->dev, MACHINE_RESET);
}

bool machine_wakes(const struct machine *m, bool intr)
{
	const struct board *b = m->board;

	return (b->intr && !intr) || b->nmi || b->n_apic || b->reset_pending || b->shutdown;
}

static void reset_if_asked(struct machine *m, struct bus_rep *rep)
{
	struct board *b = m->board;
	bool by_host = b->reset_by_host;

	if (!b->reset_pending)
		return;
	b->reset_pending = 0;
	b->reset_by_host = 0;
	if (m->cfg.no_reboot) {
		shutdown_request(m, by_host ? SHUTDOWN_HOST_QMP : SHUTDOWN_GUEST_RESET);
		return;
	}
	machine_reset(m);
	rep->flags |= BUS_F_RESET;
}

void machine_end(struct machine *m, struct bus_rep *rep)
{
	struct board *b = m->board;
	struct memmap_page *mp = m->cfg.memmap;
	uint32_t n;

	reset_if_asked(m, rep);
	machine_ports_update(m);
	if (b->intr)
		rep->flags |= BUS_F_INTR;
	if (b->nmi)
		rep->flags |= BUS_F_NMI;
	b->nmi = 0;
	if (b->a20[0] || b->a20[1])
		rep->flags |= BUS_F_A20;
	if (m->ignne)
		rep->flags |= BUS_F_IGNNE;
	if (m->map_changed)
		rep->flags |= BUS_F_MAP;
	m->map_changed = false;
	if (mp->n_dma || mp->dma_overflow) {
		rep->flags |= BUS_F_DMA;
		m->dma_told = true;
	}
	n = b->n_apic < BUS_REP_APIC_MAX ? b->n_apic : BUS_REP_APIC_MAX;
	memcpy(rep->apic, b->apic, n * sizeof(b->apic[0]));
	memmove(b->apic, b->apic + n, (b->n_apic - n) * sizeof(b->apic[0]));
	memset(b->apic + b->n_apic - n, 0, n * sizeof(b->apic[0]));
	b->n_apic -= n;
	rep->n_apic = n;
	if (b->n_apic)
		rep->flags |= BUS_F_MORE;
	rep->warp_ns = m->warp_ns;
}

/* ---- events ---- */

static struct device *stream_device(struct machine *m, uint32_t stream)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (d->stream >= 0 && (uint32_t)d->stream == stream)
			return d;
	return NULL;
}

static int event_stream(
	struct machine *m, const struct seq_rep *ev, const uint8_t *data, struct error *err)
{
	struct device *d = stream_device(m, ev->arg == SEQ_EV_CHAR ? ev->dev : ev->a);

	if (!d)
		return error_set(err, EINVAL,
			"an event for character stream %u: no device of this machine has it",
			ev->arg == SEQ_EV_CHAR ? ev->dev : ev->a);
	if (ev->arg == SEQ_EV_CHAR) {
		uint64_t *credit = &m->stream_credit[d->stream];

		*credit -= ev->hdr.data_len < *credit ? ev->hdr.data_len : *credit;
	}
	if (ev->arg == SEQ_EV_CHAR && d->cls->chr_receive)
		d->cls->chr_receive(d, data, ev->hdr.data_len);
	else if (ev->arg == SEQ_EV_BREAK && d->cls->chr_break)
		d->cls->chr_break(d);
	return 0;
}

#define FOR_EACH_WITH(m, d, method)                           \
	for (struct device *d = (m)->devices; d; d = d->next) \
		if (d->cls->method)

int machine_event(
	struct machine *m, const struct seq_rep *ev, const uint8_t *data, struct error *err)
{
	trace(&tp_event, "kind %u dev %u a %u b %" PRId64 " len %u at icount %" PRIu64, ev->arg,
		ev->dev, ev->a, ev->b, ev->hdr.data_len, m->icount);
	switch (ev->arg) {
	case SEQ_EV_CHAR:
	case SEQ_EV_BREAK: return event_stream(m, ev, data, err);
	case SEQ_EV_KEY:
		FOR_EACH_WITH(m, d, key)
		d->cls->key(d, ev->a, ev->b != 0);
		return 0;
	case SEQ_EV_REL:
		FOR_EACH_WITH(m, d, pointer_rel)
		d->cls->pointer_rel(d, ev->a, ev->b);
		return 0;
	case SEQ_EV_BTN:
		FOR_EACH_WITH(m, d, pointer_btn)
		d->cls->pointer_btn(d, ev->a, ev->b != 0);
		return 0;
	case SEQ_EV_INPUT_SYNC:
		FOR_EACH_WITH(m, d, input_sync)
		d->cls->input_sync(d);
		return 0;
	case SEQ_EV_SHUTDOWN:
		if (ev->a >= SHUTDOWN_COUNT)
			return error_set(err, EINVAL,
				"a shutdown event with cause %u: expected 0 to %d", ev->a,
				SHUTDOWN_COUNT - 1);
		shutdown_request(m, ev->a);
		return 0;
	case SEQ_EV_RESET:
		m->board->reset_pending = 1;
		m->board->reset_by_host = 1;
		return 0;
	case SEQ_EV_POWERDOWN:
		FOR_EACH_WITH(m, d, powerdown)
		d->cls->powerdown(d);
		return 0;
	case SEQ_EV_NMI: m->board->nmi = 1; return 0;
	case SEQ_EV_BLOCK: drive_event(m, (uint64_t)ev->b); return 0;
	}
	return error_set(err, EINVAL, "an event of unknown kind %u: expected 0 to %d", ev->arg,
		SEQ_EVENT_COUNT - 1);
}
