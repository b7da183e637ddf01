/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to devices and their answers. One request at a time; whoever breaks that poisons the
 * channel. An answer is applied before the instruction that asked goes on, and `cpu->look` makes
 * the engine leave its block when it changed what the CPU must notice at the next boundary.
 */
#include "bus_client.h"

#include <errno.h>
#include <string.h>

#include "flags.h"
#include "fpu.h"
#include "icache.h"
#include "log.h"
#include "mmu.h"
#include "trace.h"

static struct trace_point tp_request = TRACE_POINT("bus_request");
static struct trace_point tp_reply = TRACE_POINT("bus_reply");
static struct trace_point tp_posted = TRACE_POINT("bus_posted");
static struct trace_point tp_deferred = TRACE_POINT("bus_deferred");
static struct trace_point tp_shown = TRACE_POINT("bus_shown");

#define SPIN_MAX_NS   (200 * 1000)
#define SPIN_MIN_NS   (2 * 1000)
#define WAIT_STEP_NS  (1000 * 1000 * 1000LL)
#define WAITS_TO_WARN 10
/* Elements that fit one message: a quarter of the arena, so that there is always room for two. */
#define BULK_MAX (BUS_ARENA_LEN / 4)

static const char *const request_names[] = {
#define X(n) #n,
	BUS_REQUESTS(X)
#undef X
};

_Noreturn static void bus_broken(struct bus_client *b, int err)
{
	const char *why = chan_error(&b->chan);

	log_fatal("bus to devices: %s at icount %llu", why ? why : strerror(-err),
		(unsigned long long)b->cpu->icount);
}

/* Waits for the answer. Gives up only when the group ends. */
static void wait_reply(struct bus_client *b, const struct bus_req *rq)
{
	/* A halt waits for the world, a checkpoint perhaps for a disk: they learn apart from
	 * accesses. */
	static struct chan_spin access = { .min_ns = SPIN_MIN_NS, .max_ns = SPIN_MAX_NS };
	static struct chan_spin world = { .min_ns = SPIN_MIN_NS, .max_ns = SPIN_MAX_NS };
	bool waits = rq->hdr.type == BUS_HALT || rq->hdr.type == BUS_CHECKPOINT;

	for (int n = 1;; n++) {
		int r = chan_wait_learning(&b->chan, waits ? &world : &access, WAIT_STEP_NS, -1);

		if (r == 0)
			return;
		if (r != -ETIMEDOUT)
			bus_broken(b, r);
		if (atomic_load_acquire(&b->machine->run_state) == RUN_QUIT && b->quit)
			siglongjmp(*b->quit, 1);
		if (n == WAITS_TO_WARN && rq->hdr.type != BUS_HALT)
			log_info("waiting for devices to answer %s at icount %llu",
				request_names[rq->hdr.type], (unsigned long long)rq->icount);
	}
}

/* The list is copied and bounded once, so that the peer cannot change it under us. */
static void posted_read(struct bus_client *b)
{
	uint32_t n = b->memmap->n_posted;

	if (n > POSTED_MAX)
		log_fatal("devices sent a list of %u posted ports: at most %d", n, POSTED_MAX);
	memcpy(b->posted_port, b->memmap->posted_port, n * sizeof(b->posted_port[0]));
	b->n_posted = n;
}

static bool is_posted(const struct bus_client *b, uint16_t port)
{
	for (uint32_t i = 0; i < b->n_posted; i++)
		if (b->posted_port[i] == port)
			return true;
	return false;
}

/* Keeps a write that may go along with the next request. Devices look at the list again. */
static bool defer(struct bus_client *b, uint16_t port, unsigned size, uint32_t val)
{
	uint32_t n = b->memmap->n_defer < DEFER_MAX ? b->memmap->n_defer : DEFER_MAX;

	if (b->n_deferred == BUS_DEFERRED_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct port_defer *d = &b->memmap->defer[i];

		if ((uint32_t)port - d->port >= d->len || size != d->size || (val & d->mask))
			continue;
		b->deferred[b->n_deferred++] =
			(struct bus_deferred){ .port = port, .size = (uint8_t)size, .val = val };
		b->n_deferred_writes++;
		trace(&tp_deferred, "port 0x%x size %u data 0x%x icount %llu", port, size, val,
			(unsigned long long)cpu_icount(b->cpu));
		return true;
	}
	return false;
}

/* A register that devices have shown, unless a write on its way could change it. */
static bool shown(struct bus_client *b, uint16_t port, uint32_t *ret)
{
	uint32_t n = b->memmap->n_shown < SHOWN_MAX ? b->memmap->n_shown : SHOWN_MAX;

	for (uint32_t i = 0; i < n && !b->n_deferred; i++) {
		const struct port_shown *s = &b->memmap->shown[i];

		if (s->port != port)
			continue;
		*ret = s->value;
		b->n_shown_reads++;
		trace(&tp_shown, "port 0x%x data 0x%02x icount %llu", port, *ret,
			(unsigned long long)cpu_icount(b->cpu));
		return true;
	}
	return false;
}

static void apply_memory(struct bus_client *b, uint32_t flags)
{
	struct cpu *cpu = b->cpu;

	if (flags & BUS_F_MAP) {
		int r = mmu_set_map(cpu, b->memmap, b->ram, b->ram_len, b->rom, b->rom_len);

		if (r < 0)
			log_fatal("devices sent a bad memory map: %s", strerror(-r));
		posted_read(b);
	}
	if (flags & BUS_F_DMA) {
		uint32_t n = b->memmap->n_dma;

		if (b->memmap->dma_overflow || n > DMA_LIST_MAX) {
			mmu_mark_dirty_all(cpu);
			icache_flush(cpu);
		} else {
			for (uint32_t i = 0; i < n; i++) {
				uint32_t page = b->memmap->dma_page[i];

				if ((uint64_t)page << 12 >= b->ram_len)
					continue;
				mmu_mark_dirty(cpu, page);
				icache_invalidate_page(cpu, page);
			}
		}
		cpu->look = true;
	}
}

static void apply_reply(struct bus_client *b, const struct bus_rep *rep)
{
	struct cpu *cpu = b->cpu;
	uint32_t a20 = rep->flags & BUS_F_A20 ? ~0u : ~(1u << 20);
	bool intr = (rep->flags & BUS_F_INTR) != 0;

	if (rep->n_apic > BUS_REP_APIC_MAX)
		log_fatal("devices sent %u APIC messages in one reply, at most %d fit", rep->n_apic,
			BUS_REP_APIC_MAX);
	if (intr != cpu->intr || rep->stop_icount < cpu->stop_icount || rep->n_apic ||
		rep->warp_ns != cpu->warp_ns ||
		(rep->flags &
			(BUS_F_NMI | BUS_F_RESET | BUS_F_DIGEST | BUS_F_SHUTDOWN | BUS_F_MORE)))
		cpu->look = true;
	cpu->intr = intr;
	cpu->stop_icount = rep->stop_icount;
	cpu->warp_ns = rep->warp_ns;
	if (rep->flags & BUS_F_NMI)
		lapic_nmi_line(cpu);
	cpu->reset_request |= (rep->flags & BUS_F_RESET) != 0;
	if (rep->flags & BUS_F_IGNNE)
		fpu_set_ignne(cpu, true);
	b->want_digest |= (rep->flags & BUS_F_DIGEST) != 0;
	b->want_checkpoint |= (rep->flags & BUS_F_MORE) != 0;
	b->shut_down |= (rep->flags & BUS_F_SHUTDOWN) != 0;
	apply_memory(b, rep->flags);
	if (a20 != cpu->a20_mask) {
		cpu->a20_mask = a20;
		mmu_mode_changed(cpu);
	}
	for (uint32_t i = 0; i < rep->n_apic; i++)
		lapic_message(cpu, &rep->apic[i]);
}

/*
 * One request and its answer. data: len bytes that go along; buf: room for cap bytes that come
 * back. Returns the answer's data word.
 */
static int send(struct bus_client *b, struct bus_req *rq, const void *data, uint32_t len)
{
	uint8_t all[sizeof(b->deferred) + BULK_MAX];
	uint32_t n = (uint32_t)(b->n_deferred * sizeof(b->deferred[0]));
	union slot s;

	rq->n_deferred = (uint8_t)b->n_deferred;
	b->n_deferred = 0;
	memset(&s, 0, sizeof(s));
	memcpy(&s, rq, sizeof(*rq));
	if (n) {
		must(len <= BULK_MAX);
		memcpy(all, b->deferred, n);
		if (len)
			memcpy(all + n, data, len);
		data = all;
		len += n;
	}
	return chan_send(&b->chan, &s, data, len, WAIT_STEP_NS);
}

static uint64_t transact(struct bus_client *b, struct bus_req *rq, const void *data, uint32_t len,
	void *buf, uint32_t cap)
{
	union slot s;
	struct bus_rep rep;
	int r;

	must(!b->open);
	b->open = true;
	rq->icount = cpu_icount(b->cpu);
	rq->deadline_ns = lapic_deadline_ns(b->cpu);
	rq->flags = fpu_ferr(b->cpu) && !b->cpu->fpu->ignne ? BUS_RF_FERR : 0;
	b->n_requests[rq->hdr.type]++;
	trace(&tp_request, "%s icount %llu addr 0x%llx size %u data 0x%llx",
		request_names[rq->hdr.type], (unsigned long long)rq->icount,
		(unsigned long long)rq->addr, rq->size, (unsigned long long)rq->data);
	r = send(b, rq, data, len);
	if (r < 0)
		bus_broken(b, r);
	wait_reply(b, rq);
	r = chan_recv(&b->chan, &s, buf, cap);
	if (r < 0)
		bus_broken(b, r);
	memcpy(&rep, &s, sizeof(rep));
	if (rep.hdr.type != rq->hdr.type)
		log_fatal("devices answered request %u with a reply to %u", rq->hdr.type,
			rep.hdr.type);
	b->open = false;
	b->ret_len = rep.hdr.data_len;
	trace(&tp_reply, "data 0x%llx flags 0x%x stop %llu warp %llu", (unsigned long long)rep.data,
		rep.flags, (unsigned long long)rep.stop_icount, (unsigned long long)rep.warp_ns);
	apply_reply(b, &rep);
	return rep.data;
}

static uint64_t access(
	struct bus_client *b, enum bus_request type, uint64_t addr, unsigned size, uint64_t data)
{
	struct bus_req rq = { .hdr.type = type, .addr = addr, .size = (uint8_t)size, .data = data };

	return transact(b, &rq, NULL, 0, NULL, 0);
}

static uint32_t bus_in(struct cpu *cpu, uint16_t port, unsigned size)
{
	uint32_t v;

	if (size == 1 && shown(cpu->bus_opaque, port, &v))
		return v;
	return (uint32_t)access(cpu->bus_opaque, BUS_IN, port, size, 0);
}

static void bus_out(struct cpu *cpu, uint16_t port, unsigned size, uint32_t val)
{
	struct bus_client *b = cpu->bus_opaque;

	if (size == 1 && is_posted(b, port)) {
		b->n_posted_writes++;
		trace(&tp_posted, "port 0x%x data 0x%02x icount %llu", port, val & 0xff,
			(unsigned long long)cpu_icount(cpu));
		return;
	}
	if (!defer(b, port, size, val))
		access(b, BUS_OUT, port, size, val);
}

static uint32_t bus_ins(struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, void *buf)
{
	struct bus_client *b = cpu->bus_opaque;
	struct bus_req rq = { .hdr.type = BUS_INS, .addr = port, .size = (uint8_t)size };

	rq.count = n < BULK_MAX / size ? n : BULK_MAX / size;
	transact(b, &rq, NULL, 0, buf, rq.count * size);
	n = b->ret_len / size;
	if (n < 1 || n > rq.count || b->ret_len % size)
		log_fatal("devices answered %s of %u elements of %u bytes with %u bytes",
			request_names[BUS_INS], rq.count, size, b->ret_len);
	return n;
}

static uint32_t bus_outs(struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, const void *buf)
{
	struct bus_req rq = { .hdr.type = BUS_OUTS, .addr = port, .size = (uint8_t)size };
	uint64_t done;

	rq.count = n < BULK_MAX / size ? n : BULK_MAX / size;
	done = transact(cpu->bus_opaque, &rq, buf, rq.count * size, NULL, 0);
	if (done < 1 || done > rq.count)
		log_fatal("devices answered %s of %u elements with %llu done",
			request_names[BUS_OUTS], rq.count, (unsigned long long)done);
	return (uint32_t)done;
}

static uint64_t bus_mmio_read(struct cpu *cpu, uint32_t gpa, unsigned size)
{
	return access(cpu->bus_opaque, BUS_MMIO_READ, gpa, size, 0);
}

static void bus_mmio_write(struct cpu *cpu, uint32_t gpa, unsigned size, uint64_t val)
{
	access(cpu->bus_opaque, BUS_MMIO_WRITE, gpa, size, val);
}

static uint8_t bus_intack(struct cpu *cpu)
{
	return (uint8_t)access(cpu->bus_opaque, BUS_INTACK, 0, 1, 0);
}

static void bus_eoi(struct cpu *cpu, uint8_t vector)
{
	access(cpu->bus_opaque, BUS_EOI, 0, 1, vector);
}

static void bus_triple_fault(struct cpu *cpu)
{
	access(cpu->bus_opaque, BUS_TRIPLE_FAULT, 0, 0, 0);
}

const struct cpu_bus bus_client_ops = {
	.in = bus_in,
	.out = bus_out,
	.ins = bus_ins,
	.outs = bus_outs,
	.mmio_read = bus_mmio_read,
	.mmio_write = bus_mmio_write,
	.intack = bus_intack,
	.eoi = bus_eoi,
	.triple_fault = bus_triple_fault,
};

/* Publishes the registers that go with a checkpoint. Read by devices after the request, in the
 * ring's order. */
static void publish_mark(struct bus_client *b)
{
	struct cpu *cpu = b->cpu;

	memcpy(b->state->mark, cpu->gpr, sizeof(cpu->gpr));
	b->state->mark[CPU_MARK_eip] = cpu->eip;
	b->state->mark[CPU_MARK_eflags] = flags_get(cpu);
}

void bus_client_checkpoint(struct bus_client *b)
{
	publish_mark(b);
	b->want_checkpoint = false;
	access(b, BUS_CHECKPOINT, 0, 0, 0);
}

void bus_client_halt(struct bus_client *b)
{
	publish_mark(b);
	atomic_store_release(&b->machine->vcpu_parked, 2);
	access(b, BUS_HALT, 0, 0, 0);
	atomic_store_release(&b->machine->vcpu_parked, 0);
}

void bus_client_digest(struct bus_client *b)
{
	b->want_digest = false;
	access(b, BUS_DIGEST, 0, 0, 0);
}

void bus_client_flush(struct bus_client *b)
{
	if (b->n_deferred)
		access(b, BUS_FLUSH, 0, 0, 0);
}

void bus_client_map(struct bus_client *b)
{
	must(!b->open);
	apply_memory(b, BUS_F_MAP);
}
