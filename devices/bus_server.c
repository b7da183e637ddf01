/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request of the vCPU, from its time to its reply: see bus_server.h. */
#include "bus_server.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "log.h"

#define DIGEST_ITEMS_MAX (CPU_DIGEST_BLOB_MAX + 32 * 1024)

static struct trace_point tp_request = TRACE_POINT("bus_serve");

static const char *const request_names[] = {
#define X(n) #n,
	BUS_REQUESTS(X)
#undef X
};

void bus_server_init(struct bus_server *s, struct machine *m, struct seq_client *seq,
	const struct cpu_state_page *cpu, struct machine_page *page, unsigned digest_log2)
{
	memset(s, 0, sizeof(*s));
	s->m = m;
	s->seq = seq;
	s->cpu = cpu;
	s->page = page;
	s->digest_log2 = digest_log2;
	s->next_digest = UINT64_C(1) << digest_log2;
	s->last_take_icount = BUS_NEVER;
}

/* ---- what is due ---- */

static bool digest_due(const struct bus_server *s)
{
	return s->m->icount >= s->next_digest;
}

/*
 * Events are taken at most once at an icount, apart from those at a HALT: the log names a place by
 * its icount, and what the vCPU did between two takes there could not be told.
 */
static bool take_barred(const struct bus_server *s)
{
	return s->m->icount == s->last_take_icount;
}

static uint64_t stop_icount(struct bus_server *s)
{
	struct machine *m = s->m;
	uint64_t stop = machine_icount_at(m, machine_deadline_ns(m)), next = s->seq->next_icount;

	if (next <= m->icount && take_barred(s))
		next = m->icount + 1;
	if (next < stop)
		stop = next;
	if (s->next_digest < stop)
		stop = s->next_digest;
	if (m->board->shutdown && stop > m->icount)
		stop = m->icount;
	return stop;
}

/* ---- checkpoints ---- */

static int events_apply(struct bus_server *s, struct error *err)
{
	struct seq_client *c = s->seq;

	for (unsigned i = 0; i < c->n_ev; i++)
		if (machine_event(s->m, &c->ev[i], c->data + c->ev[i].hdr.data_off, err) < 0)
			return error_prefix(err, "event at icount %" PRIu64, s->m->icount);
	machine_run_timers(s->m);
	return 0;
}

static void mark_copy(const struct bus_server *s, uint32_t *mark)
{
	memcpy(mark, s->cpu->mark, CPU_MARK_COUNT * sizeof(mark[0]));
}

static void ask_digest(struct bus_server *s, struct bus_rep *rep)
{
	rep->flags |= BUS_F_DIGEST;
	s->digest_asked = true;
	if (s->m->board->shutdown) {
		rep->flags |= BUS_F_SHUTDOWN;
		s->final = true;
	}
}

static int checkpoint(struct bus_server *s, struct bus_rep *rep, struct error *err)
{
	struct machine *m = s->m;
	uint32_t mark[CPU_MARK_COUNT];
	int r;

	machine_run_timers(m);
	if ((m->icount >= s->seq->next_icount || atomic_load_acquire(&s->page->input_pending)) &&
		!take_barred(s)) {
		mark_copy(s, mark);
		s->last_take_icount = m->icount;
		r = seq_take(s->seq, mark, err);
		if (r == 0)
			r = events_apply(s, err);
		if (r < 0)
			return r;
	}
	if (m->board->shutdown || digest_due(s))
		ask_digest(s, rep);
	return 0;
}

static int halt(
	struct bus_server *s, const struct bus_req *rq, struct bus_rep *rep, struct error *err)
{
	struct machine *m = s->m;
	uint64_t deadline, now;
	uint32_t mark[CPU_MARK_COUNT];
	int r;

	machine_run_timers(m);
	if (m->board->shutdown || digest_due(s)) {
		ask_digest(s, rep);
		return 0;
	}
	/* What the CPU has not heard of yet may wake it: it has to say that it sleeps in spite of
	 * it. */
	if (machine_wakes(m, s->told_intr))
		return 0;
	deadline = machine_deadline_ns(m);
	if (rq->deadline_ns < deadline)
		deadline = rq->deadline_ns;
	if (deadline < machine_now_ns(m))
		deadline = machine_now_ns(m);
	mark_copy(s, mark);
	s->last_take_icount = m->icount;
	r = seq_halt(s->seq, mark, deadline, &now, err);
	if (r < 0)
		return r;
	m->warp_ns = now - (m->icount << m->cfg.shift);
	machine_run_timers(m);
	r = events_apply(s, err);
	if (r == 0 && m->board->shutdown)
		ask_digest(s, rep);
	return r;
}

static int digest(struct bus_server *s, struct bus_rep *rep, struct error *err)
{
	static uint8_t items[DIGEST_ITEMS_MAX];
	struct digest_writer w = { items, 0, sizeof(items), 0 };
	struct digest_item it;
	size_t pos = 0;
	int r;

	if (!s->digest_asked)
		return error_set(err, EPROTO, "vcpu sent a digest that it was not asked for");
	s->digest_asked = false;
	w.len = s->cpu->blob_len;
	if (w.len > CPU_DIGEST_BLOB_MAX)
		return error_set(err, EPROTO, "vcpu's digest has %zu bytes: at most %d", w.len,
			CPU_DIGEST_BLOB_MAX);
	memcpy(items, s->cpu->blob, w.len);
	while ((r = digest_next(items, w.len, &pos, &it)) > 0)
		;
	if (r < 0)
		return error_set(
			err, EPROTO, "vcpu's digest is malformed at byte %zu of %zu", pos, w.len);
	machine_digest(s->m, &w);
	must(!w.overflow);
	r = seq_digest(s->seq, items, (uint32_t)w.len, err);
	if (r < 0)
		return r;
	while (s->next_digest <= s->m->icount)
		s->next_digest = ((s->m->icount >> s->digest_log2) + 1) << s->digest_log2;
	if (!s->final)
		return 0;
	s->over = true;
	rep->flags |= BUS_F_SHUTDOWN;
	return seq_shutdown(s->seq, s->m->board->shutdown - 1, s->m->board->exit_value, err);
}

/* ---- accesses ---- */

static int size_check(const struct bus_req *rq, unsigned max, struct error *err)
{
	if (rq->size == 1 || rq->size == 2 || rq->size == 4 || (rq->size == 8 && max == 8))
		return 0;
	return error_set(
		err, EPROTO, "vcpu sent %s with size %u", request_names[rq->hdr.type], rq->size);
}

static int bulk_check(const struct bus_req *rq, struct error *err)
{
	if (size_check(rq, 4, err) < 0)
		return -EPROTO;
	if (rq->count > BUS_DATA_MAX / rq->size)
		return error_set(err, EPROTO,
			"vcpu sent %s of %u elements of %u bytes: at most %d bytes",
			request_names[rq->hdr.type], rq->count, rq->size, BUS_DATA_MAX);
	return 0;
}

/*
 * A read from an ISA port takes about a microsecond, and drivers count on it: they poll ports while
 * they wait for a time to pass. The guest's clock goes on by that, in a recording and in its
 * replay; without it such loops would turn a hundred times as often as on a PC, with a request
 * each.
 */
#define ISA_READ_NS 1000
#define ISA_PORTS   0x400

static int port_access(
	struct bus_server *s, const struct bus_req *rq, struct bus_rep *rep, struct error *err)
{
	if (size_check(rq, 4, err) < 0)
		return -EPROTO;
	if (rq->hdr.type == BUS_IN) {
		rep->data = machine_in(s->m, (uint16_t)rq->addr, rq->size);
		if (rq->addr < ISA_PORTS && !machine_in_is_quick(s->m, (uint16_t)rq->addr))
			s->m->warp_ns += ISA_READ_NS;
	} else {
		machine_out(s->m, (uint16_t)rq->addr, rq->size, (uint32_t)rq->data);
	}
	return 0;
}

static int memory_access(
	struct bus_server *s, const struct bus_req *rq, struct bus_rep *rep, struct error *err)
{
	if (size_check(rq, 8, err) < 0)
		return -EPROTO;
	if (rq->hdr.type == BUS_MMIO_READ)
		rep->data = machine_mmio_read(s->m, rq->addr, rq->size);
	else
		machine_mmio_write(s->m, rq->addr, rq->size, rq->data);
	return 0;
}

/* The last element was at a later icount than the request. */
static void bulk_end(struct bus_server *s)
{
	s->last_icount = s->seq->icount = s->m->icount;
	s->seq->now_ns = machine_now_ns(s->m);
}

static int bulk_access(struct bus_server *s, const struct bus_req *rq, const uint8_t *data,
	uint32_t len, struct bus_rep *rep, uint8_t *out, uint32_t *ret_len, struct error *err)
{
	if (bulk_check(rq, err) < 0)
		return -EPROTO;
	if (rq->hdr.type == BUS_INS) {
		*ret_len =
			machine_ins(s->m, (uint16_t)rq->addr, rq->size, rq->count, out) * rq->size;
		bulk_end(s);
		return 0;
	}
	if (len != rq->count * rq->size)
		return error_set(err, EPROTO,
			"vcpu sent BUS_OUTS of %u elements of %u bytes with %u bytes", rq->count,
			rq->size, len);
	rep->data = machine_outs(s->m, (uint16_t)rq->addr, rq->size, rq->count, data);
	bulk_end(s);
	return 0;
}

static int serve(struct bus_server *s, const struct bus_req *rq, const uint8_t *data, uint32_t len,
	struct bus_rep *rep, uint8_t *out, uint32_t *ret_len, struct error *err)
{
	switch (rq->hdr.type) {
	case BUS_CHECKPOINT: return checkpoint(s, rep, err);
	case BUS_HALT: return halt(s, rq, rep, err);
	case BUS_IN:
	case BUS_OUT: return port_access(s, rq, rep, err);
	case BUS_INS:
	case BUS_OUTS: return bulk_access(s, rq, data, len, rep, out, ret_len, err);
	case BUS_MMIO_READ:
	case BUS_MMIO_WRITE: return memory_access(s, rq, rep, err);
	case BUS_INTACK: rep->data = machine_intack(s->m); return 0;
	case BUS_EOI: machine_eoi(s->m, (uint8_t)rq->data); return 0;
	case BUS_TRIPLE_FAULT: machine_triple_fault(s->m); return 0;
	case BUS_FLUSH: return 0;
	case BUS_DIGEST: return digest(s, rep, err);
	}
	return error_set(err, EPROTO, "vcpu sent message %u: expected 0 to %d", rq->hdr.type,
		BUS_REQUEST_COUNT - 1);
}

/*
 * Does the guest itself make this request? Then a replay has it at the same icount. A checkpoint
 * may come because the doorbell rang, with nothing to take, so it must leave no trace.
 */
static bool is_guests(const struct bus_server *s, const struct bus_req *rq)
{
	uint16_t port = (uint16_t)rq->addr;

	switch (rq->hdr.type) {
	case BUS_CHECKPOINT:
	case BUS_DIGEST:
	case BUS_FLUSH: return false;
	/* Whether the vCPU asks may depend on doorbells, too (rules 12 and 13). */
	case BUS_IN: return rq->size != 1 || !machine_in_is_quick(s->m, port);
	case BUS_OUT: return !machine_may_defer(s->m, port, rq->size, (uint32_t)rq->data);
	default: return true;
	}
}

/* What the guest wrote since the last request, where that could wait. */
static int deferred(struct bus_server *s, const struct bus_req *rq, const uint8_t **data,
	uint32_t *len, struct error *err)
{
	struct bus_deferred d;

	if (rq->n_deferred > BUS_DEFERRED_MAX || *len < rq->n_deferred * sizeof(d))
		return error_set(err, EPROTO, "vcpu sent %u deferred writes in %u bytes",
			rq->n_deferred, *len);
	for (unsigned i = 0; i < rq->n_deferred; i++) {
		memcpy(&d, *data, sizeof(d));
		*data += sizeof(d);
		*len -= (uint32_t)sizeof(d);
		if (!machine_deferred(s->m, d.port, d.size, d.val))
			return error_set(err, EPROTO,
				"vcpu deferred a write of %u bytes, 0x%x, to port 0x%x: it must "
				"not",
				d.size, d.val, d.port);
	}
	return 0;
}

int bus_server_request(struct bus_server *s, const struct bus_req *rq, const uint8_t *data,
	uint32_t len, struct bus_rep *rep, uint8_t *out, uint32_t *ret_len, struct error *err)
{
	int r;

	memset(rep, 0, sizeof(*rep));
	*ret_len = 0;
	if (rq->hdr.type >= BUS_REQUEST_COUNT)
		return error_set(err, EPROTO, "vcpu sent message %u: expected 0 to %d",
			rq->hdr.type, BUS_REQUEST_COUNT - 1);
	trace(&tp_request, "%s icount %" PRIu64 " addr 0x%" PRIx64 " size %u data 0x%" PRIx64,
		request_names[rq->hdr.type], rq->icount, rq->addr, rq->size, rq->data);
	if (s->over)
		return error_set(err, EPROTO, "vcpu sent %s after the end of the run",
			request_names[rq->hdr.type]);
	if (rq->icount < s->last_icount)
		return error_set(err, EPROTO, "vcpu sent %s with icount %" PRIu64 " after %" PRIu64,
			request_names[rq->hdr.type], rq->icount, s->last_icount);
	if (s->digest_asked && rq->hdr.type != BUS_DIGEST)
		return error_set(err, EPROTO, "vcpu sent %s: expected BUS_DIGEST",
			request_names[rq->hdr.type]);
	s->last_icount = rq->icount;
	s->n_requests[rq->hdr.type]++;
	machine_begin(s->m, rq->icount);
	s->seq->icount = rq->icount;
	s->seq->now_ns = machine_now_ns(s->m);
	r = deferred(s, rq, &data, &len, err);
	if (r < 0)
		return r;
	if (is_guests(s, rq))
		machine_ferr(s->m, rq->flags & BUS_RF_FERR);
	r = serve(s, rq, data, len, rep, out, ret_len, err);
	if (r < 0)
		return r;
	rep->hdr.type = rq->hdr.type;
	machine_end(s->m, rep);
	rep->stop_icount = stop_icount(s);
	s->told_intr = rep->flags & BUS_F_INTR;
	return 0;
}

/* ---- snapshots ---- */

int bus_server_save(const struct bus_server *s, Dejavm__DevicesState *ret)
{
	if (s->over)
		return -EBUSY;
	ret->next_digest = s->next_digest;
	ret->has_take_icount = s->last_take_icount != BUS_NEVER;
	ret->take_icount = ret->has_take_icount ? s->last_take_icount : 0;
	ret->digest_asked = s->digest_asked;
	ret->told_intr = s->told_intr;
	return machine_save(s->m, ret);
}

int bus_server_load(struct bus_server *s, const Dejavm__DevicesState *st, struct error *err)
{
	int r = machine_load(s->m, st, err);

	if (r < 0)
		return r;
	s->last_icount = st->icount;
	s->next_digest = st->next_digest;
	s->last_take_icount = st->has_take_icount ? st->take_icount : BUS_NEVER;
	s->digest_asked = st->digest_asked;
	s->told_intr = st->told_intr;
	s->final = s->digest_asked && s->m->board->shutdown;
	s->over = false;
	s->seq->icount = st->icount;
	s->seq->now_ns = machine_now_ns(s->m);
	return 0;
}
