/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of the bus: bus_server.c and seq_client.c over a real ring, with a thread that plays
 * the sequencer from a script. What the sequencer was sent is written down as text and compared.
 */
#include "test_machine_rig.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>
#include "bus_server.h"
#include "pci.h"

#define WAIT_NS (5 * 1000 * 1000 * 1000LL)

/* An answer of the sequencer: events, then DONE. */
struct answer {
	struct seq_rep ev[4];
	const char *data[4];
	unsigned n_ev;
	uint64_t next, value;
	unsigned bad_type; /* instead of DONE */
};

struct bed {
	struct rig *rig;
	struct chan dev, log; /* both ends of the seq channel */
	struct seq_client seq;
	struct bus_server s;
	struct cpu_state_page cpu;
	struct machine_page page;
	pthread_t thread;
	struct answer script[16];
	unsigned n_script;
	char said[4096]; /* what the sequencer heard; read after bed_free_thread() or between
			    requests */
	_Atomic bool stop;
	uint8_t out[BUS_DATA_MAX];
	uint32_t out_len;
	struct bus_rep rep;
	struct error err;
};

static void said(struct bed *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void said(struct bed *b, const char *fmt, ...)
{
	size_t n = strlen(b->said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->said + n, sizeof(b->said) - n, fmt, ap);
	va_end(ap);
}

static void note(struct bed *b, const struct seq_req *rq, const void *data)
{
	static const char *const names[] = { "init", "take", "halt", "clock", "digest", "shutdown",
		"resume", "out", "credit" };

	if (rq->hdr.type >= 9)
		abort();
	said(b, "%s@%" PRIu64, names[rq->hdr.type], rq->icount);
	if (rq->hdr.type == SEQ_HALT)
		said(b, "-%" PRId64, (int64_t)rq->deadline_ns);
	if (rq->hdr.type == SEQ_OUTPUT)
		said(b, ":%u:%.*s", rq->arg, (int)rq->hdr.data_len, (const char *)data);
	if (rq->hdr.type == SEQ_SHUTDOWN)
		said(b, ":%u:%" PRIu64, rq->arg, rq->value);
	said(b, " ");
}

static void answer_send(struct bed *b, const struct answer *a)
{
	union slot s;

	for (unsigned i = 0; i < a->n_ev; i++) {
		memset(&s, 0, sizeof(s));
		memcpy(&s, &a->ev[i], sizeof(a->ev[i]));
		s.hdr.type = SEQ_EVENT;
		chan_send(&b->log, &s, a->data[i], a->data[i] ? (uint32_t)strlen(a->data[i]) : 0,
			WAIT_NS);
	}
	memset(&s, 0, sizeof(s));
	memcpy(&s, &(struct seq_rep){ .next_icount = a->next, .value = a->value },
		sizeof(struct seq_rep));
	s.hdr.type = a->bad_type ? (uint16_t)a->bad_type : SEQ_DONE;
	chan_send(&b->log, &s, NULL, 0, WAIT_NS);
}

static void *sequencer(void *opaque)
{
	struct bed *b = opaque;
	static uint8_t data[SEQ_ARENA_LEN];
	unsigned at = 0;

	while (!b->stop) {
		union slot s;
		struct seq_req rq;

		if (chan_wait(&b->log, 0, 20 * 1000 * 1000, -1) != 0)
			continue;
		if (chan_recv(&b->log, &s, data, sizeof(data)) < 0)
			break;
		memcpy(&rq, &s, sizeof(rq));
		note(b, &rq, data);
		if (rq.hdr.type == SEQ_OUTPUT || rq.hdr.type == SEQ_CREDIT)
			continue;
		if (at < b->n_script) {
			answer_send(b, &b->script[at++]);
		} else {
			struct answer none = { .next = SEQ_NEVER, .value = rq.deadline_ns };

			answer_send(b, &none);
		}
	}
	return NULL;
}

static int segment(size_t len)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

static void bed_channel(struct bed *b)
{
	const struct chan_geometry g = { SEQ_NSLOTS, SEQ_ARENA_LEN, SEQ_NSLOTS, SEQ_ARENA_LEN };
	int a_fd = segment(chan_segment_size(&g, true)),
	    b_fd = segment(chan_segment_size(&g, false));
	int a_bell = eventfd(0, EFD_NONBLOCK), b_bell = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(chan_init(&b->dev, true, &g, a_fd, b_fd, a_bell, b_bell, &b->err), 0);
	assert_int_equal(chan_init(&b->log, false, &g, b_fd, a_fd, b_bell, a_bell, &b->err), 0);
	close(a_fd);
	close(b_fd);
}

static void bed_output(void *opaque, int stream, const void *buf, size_t len)
{
	struct bed *b = opaque;

	assert_int_equal(seq_output(&b->seq, (unsigned)stream, buf, len, &b->err), 0);
}

/* A PC with a serial port and a debug console, shift 3, a digest each 2^16 instructions. */
static struct bed *bed_new(void)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct machine_host host = { .opaque = b, .output = bed_output };
	struct prop_value iobase = { "iobase", "0x501" };
	struct device_spec spec[] = { { .driver = "isa-serial", .stream = 0 },
		{ .driver = "isa-debugcon", .stream = 1 },
		{ .driver = "isa-debug-exit", .props = &iobase, .n_props = 1, .stream = -1 } };

	b->rig = rig_config(2 << 20);
	b->rig->cfg.has_rtc_base = true;
	bed_channel(b);
	assert_int_equal(seq_client_init(&b->seq, &b->dev, &b->page, 2, &b->err), 0);
	b->rig->m = machine_new(&b->rig->cfg, &host, &b->err);
	assert_non_null(b->rig->m);
	if (board_build(b->rig->m, spec, 3, &b->err) < 0)
		fail_msg("%s", b->err.msg);
	machine_reset(b->rig->m);
	/* What the counters do before somebody programs them is nobody's business here. */
	machine_out(b->rig->m, 0x21, 1, 0xff);
	bus_server_init(&b->s, b->rig->m, &b->seq, &b->cpu, &b->page, 16);
	return b;
}

static void bed_start(struct bed *b)
{
	assert_int_equal(pthread_create(&b->thread, NULL, sequencer, b), 0);
}

static void bed_free(struct bed *b)
{
	b->stop = true;
	pthread_join(b->thread, NULL);
	seq_client_done(&b->seq);
	for (int i = 0; i < 2; i++) {
		struct chan *c = i ? &b->log : &b->dev;

		close(c->my_bell_fd);
		chan_done(c);
	}
	rig_free(b->rig);
	free(b);
}

static int request(struct bed *b, struct bus_req rq)
{
	return bus_server_request(&b->s, &rq, NULL, 0, &b->rep, b->out, &b->out_len, &b->err);
}

static void ok(struct bed *b, struct bus_req rq)
{
	if (request(b, rq) < 0)
		fail_msg("%s", b->err.msg);
}

static void out_port(struct bed *b, uint64_t icount, unsigned port, unsigned val)
{
	ok(b, (struct bus_req){ .hdr.type = BUS_OUT,
		      .icount = icount,
		      .addr = port,
		      .size = 1,
		      .data = val,
		      .deadline_ns = BUS_NEVER });
}

static void checkpoint(struct bed *b, uint64_t icount)
{
	ok(b, (struct bus_req){
		      .hdr.type = BUS_CHECKPOINT, .icount = icount, .deadline_ns = BUS_NEVER });
}

static void halt(struct bed *b, uint64_t icount, uint64_t deadline_ns)
{
	ok(b, (struct bus_req){
		      .hdr.type = BUS_HALT, .icount = icount, .deadline_ns = deadline_ns });
}

static void heard(struct bed *b, const char *text)
{
	assert_string_equal(b->said, text);
	b->said[0] = 0;
}

/* ---- tests ---- */

static void test_first_reply(void **state)
{
	struct bed *b = bed_new();

	bed_start(b);
	checkpoint(b, 0);
	assert_true(b->rep.flags & BUS_F_MAP);
	assert_true(b->rep.flags & BUS_F_A20);
	assert_false(b->rep.flags & (BUS_F_INTR | BUS_F_RESET | BUS_F_DIGEST | BUS_F_SHUTDOWN));
	assert_true(b->rep.stop_icount > 0 && b->rep.stop_icount <= 1 << 16);
	checkpoint(b, 1);
	assert_false(b->rep.flags & (BUS_F_MAP | BUS_F_DMA));
	heard(b, ""); /* nothing queued: nobody is asked */
	bed_free(b);
}

static void test_take(void **state)
{
	struct bed *b = bed_new();

	b->script[0] = (struct answer){ .ev = { { .arg = SEQ_EV_CHAR, .dev = 0 } },
		.data = { "hi" },
		.n_ev = 1,
		.next = SEQ_NEVER };
	b->n_script = 1;
	bed_start(b);
	checkpoint(b, 10);
	b->page.input_pending = 1;
	checkpoint(b, 11);
	/* The doorbell still rings, but the same place is not taken twice. */
	checkpoint(b, 11);
	heard(b, "take@11 ");
	checkpoint(b, 12);
	heard(b, "take@12 ");
	bed_free(b);
}

static void test_replay_stops(void **state)
{
	struct bed *b = bed_new();

	b->seq.next_icount = 500;
	b->script[0] = (struct answer){ .n_ev = 0, .next = 500 }; /* a log that does not move on */
	b->n_script = 1;
	bed_start(b);
	checkpoint(b, 0);
	assert_int_equal(b->rep.stop_icount, 500);
	heard(b, "");
	checkpoint(b, 500);
	heard(b, "take@500 ");
	/* It would come at once for ever; instead one instruction goes by. */
	assert_int_equal(b->rep.stop_icount, 501);
	bed_free(b);
}

static void test_timer_is_a_stop(void **state)
{
	struct bed *b = bed_new();
	uint64_t stop;

	bed_start(b);
	/* Counter 0 of the 8254, mode 0, 1193 ticks: a millisecond, which are 125000 instructions;
	 * a digest is nearer. */
	out_port(b, 100, 0x43, 0x30);
	out_port(b, 100, 0x40, 1193 & 0xff);
	out_port(b, 100, 0x40, 1193 >> 8);
	assert_int_equal(b->rep.stop_icount, 1 << 16);
	out_port(b, 100, 0x40, 119);
	out_port(b, 100, 0x40, 0);
	stop = b->rep.stop_icount; /* about 99.7 us: 12467 instructions later */
	assert_in_range(stop, 100 + 12450, 100 + 12500);
	/* Unmask IRQ 0: at the stop, and not before, INTR rises. */
	out_port(b, 101, 0x20, 0x11);
	out_port(b, 101, 0x21, 0x20);
	out_port(b, 101, 0x21, 0x04);
	out_port(b, 101, 0x21, 0x01);
	out_port(b, 101, 0x21, 0xfe);
	assert_int_equal(b->rep.stop_icount, stop);
	checkpoint(b, stop - 1);
	assert_false(b->rep.flags & BUS_F_INTR);
	checkpoint(b, stop);
	assert_true(b->rep.flags & BUS_F_INTR);
	ok(b, (struct bus_req){ .hdr.type = BUS_INTACK, .icount = stop, .deadline_ns = BUS_NEVER });
	assert_int_equal(b->rep.data, 0x20);
	assert_false(b->rep.flags & BUS_F_INTR);
	bed_free(b);
}

static void test_digest(void **state)
{
	struct bed *b = bed_new();
	struct digest_writer w = { b->cpu.blob, 0, sizeof(b->cpu.blob), 0 };

	digest_put(&w, DIGEST_REG, "eax", 1);
	b->cpu.blob_len = (uint32_t)w.len;
	bed_start(b);
	out_port(b, 5, 0xe9, 'A');
	checkpoint(b, 1 << 16);
	assert_true(b->rep.flags & BUS_F_DIGEST);
	/* Nothing else is taken before it. */
	assert_true(request(b, (struct bus_req){
				       .hdr.type = BUS_IN, .icount = 1 << 16, .size = 1 }) < 0);
	assert_non_null(strstr(b->err.msg, "expected BUS_DIGEST"));
	ok(b, (struct bus_req){ .hdr.type = BUS_DIGEST, .icount = 1 << 16 });
	assert_true(b->rep.stop_icount > 1 << 16 && b->rep.stop_icount <= 2 << 16);
	heard(b, "out@65536:1:A digest@65536 ");
	/* One that was not asked for, and one that is rubbish. */
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_DIGEST, .icount = 1 << 16 }) < 0);
	checkpoint(b, 2 << 16);
	b->cpu.blob[0] = 99;
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_DIGEST, .icount = 2 << 16 }) < 0);
	assert_non_null(strstr(b->err.msg, "malformed"));
	b->s.digest_asked = true;
	b->cpu.blob_len = CPU_DIGEST_BLOB_MAX + 1;
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_DIGEST, .icount = 2 << 16 }) < 0);
	bed_free(b);
}

/* Not on the dot: an access was in the way. The next one is where it would have been all the same.
 */
static void test_digest_late(void **state)
{
	struct bed *b = bed_new();

	bed_start(b);
	checkpoint(b, (1 << 16) + 7);
	assert_true(b->rep.flags & BUS_F_DIGEST);
	ok(b, (struct bus_req){ .hdr.type = BUS_DIGEST, .icount = (1 << 16) + 7 });
	assert_int_equal(b->s.next_digest, 2 << 16);
	bed_free(b);
}

static void test_halt(void **state)
{
	struct bed *b = bed_new();

	b->script[0] = (struct answer){ .ev = { { .arg = SEQ_EV_CHAR, .dev = 0 } },
		.data = { "x" },
		.n_ev = 1,
		.next = SEQ_NEVER,
		.value = 5000 };
	b->script[1] = (struct answer){ .next = SEQ_NEVER, .value = 9000 };
	b->n_script = 2;
	bed_start(b);
	/* 100 instructions are 800 ns; the local APIC's deadline is nearer than any of ours. */
	out_port(b, 90, 0xe9, 'Z');
	halt(b, 100, 9000);
	heard(b, "out@100:1:Z halt@100-9000 ");
	assert_int_equal(b->rep.warp_ns, 5000 - 800);
	halt(b, 100, 9000);
	assert_int_equal(b->rep.warp_ns, 9000 - 800);
	heard(b, "halt@100-9000 ");
	assert_int_equal(machine_now_ns(b->rig->m), 9000);
	bed_free(b);
}

/* What the vCPU has not heard of might wake it. */
static void test_halt_wakes_first(void **state)
{
	struct bed *b = bed_new();

	bed_start(b);
	machine_nmi(&b->rig->m->board->dev);
	halt(b, 10, BUS_NEVER);
	assert_true(b->rep.flags & BUS_F_NMI);
	heard(b, "");
	machine_apic_message(&b->rig->m->board->dev, 0x31, 0, 0, false, false);
	halt(b, 10, BUS_NEVER);
	assert_int_equal(b->rep.n_apic, 1);
	heard(b, "");
	b->rig->m->board->intr = 1;
	halt(b, 10, 500);
	assert_true(b->rep.flags & BUS_F_INTR);
	heard(b, "");
	/* It was told, and sleeps all the same: interrupts are off. */
	halt(b, 10, 500);
	heard(b, "halt@10-500 ");
	bed_free(b);
}

/* FERR# with what the guest asks is IRQ 13, on the 8259s and on the I/O APIC. */
static void test_ferr(void **state)
{
	static const uint16_t init[][2] = { { 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, 0x20 },
		{ 0xa1, 0x28 }, { 0x21, 4 }, { 0xa1, 2 }, { 0x21, 1 }, { 0xa1, 1 }, { 0x21, 0xfb },
		{ 0xa1, 0xdf } };
	struct bus_req rq = { .icount = 20, .deadline_ns = BUS_NEVER, .flags = BUS_RF_FERR };
	struct bed *b = bed_new();

	bed_start(b);
	for (unsigned i = 0; i < sizeof(init) / sizeof(init[0]); i++)
		out_port(b, 10, init[i][0], init[i][1]);
	machine_mmio_write(b->rig->m, 0xfec00000, 4, 0x10 + 2 * 13);
	machine_mmio_write(b->rig->m, 0xfec00010, 4, 0x55);
	/* A checkpoint may be one that the replay does not have. */
	rq.hdr.type = BUS_CHECKPOINT;
	ok(b, rq);
	assert_false(b->rep.flags & BUS_F_INTR);
	assert_int_equal(b->rep.n_apic, 0);
	/* The halt of a CPU that stands still does not sleep. */
	rq.hdr.type = BUS_HALT;
	ok(b, rq);
	assert_true(b->rep.flags & BUS_F_INTR);
	assert_int_equal(b->rep.n_apic, 1);
	assert_int_equal(b->rep.apic[0].vector, 0x55);
	heard(b, "");
	rq.hdr.type = BUS_INTACK;
	ok(b, rq);
	assert_int_equal(b->rep.data, 0x2d);
	assert_false(b->rep.flags & BUS_F_IGNNE);
	rq.hdr.type = BUS_OUT;
	rq.size = 1;
	rq.addr = 0xf0;
	ok(b, rq);
	assert_true(b->rep.flags & BUS_F_IGNNE);
	checkpoint(b, 20);
	assert_false(b->rep.flags & BUS_F_IGNNE);
	/* Without FERR# there is nothing to ignore. */
	out_port(b, 21, 0xf0, 0);
	assert_false(b->rep.flags & BUS_F_IGNNE);
	bed_free(b);
}

static void test_halt_out_of_bounds(void **state)
{
	struct bed *b = bed_new();

	b->script[0] = (struct answer){ .next = SEQ_NEVER, .value = 9001 };
	b->n_script = 1;
	bed_start(b);
	assert_true(
		request(b, (struct bus_req){
				   .hdr.type = BUS_HALT, .icount = 1, .deadline_ns = 9000 }) < 0);
	assert_non_null(strstr(b->err.msg, "ended at 9001"));
	bed_free(b);
}

static void test_guest_exit(void **state)
{
	struct bed *b = bed_new();

	bed_start(b);
	out_port(b, 10, 0x501, 21);
	assert_int_equal(b->rep.stop_icount, 10); /* at once */
	checkpoint(b, 11);
	assert_true(b->rep.flags & BUS_F_SHUTDOWN);
	assert_true(b->rep.flags & BUS_F_DIGEST);
	ok(b, (struct bus_req){ .hdr.type = BUS_DIGEST, .icount = 11 });
	assert_true(b->rep.flags & BUS_F_SHUTDOWN);
	/* (21 << 1 | 1) + 1 */
	heard(b, "digest@11 shutdown@11:5:44 ");
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_CHECKPOINT, .icount = 12 }) < 0);
	assert_non_null(strstr(b->err.msg, "after the end"));
	bed_free(b);
}

static void test_shutdown_event_at_halt(void **state)
{
	struct bed *b = bed_new();

	b->script[0] =
		(struct answer){ .ev = { { .arg = SEQ_EV_SHUTDOWN, .a = SHUTDOWN_HOST_SIGNAL } },
			.n_ev = 1,
			.next = SEQ_NEVER,
			.value = 4000 };
	b->n_script = 1;
	bed_start(b);
	halt(b, 100, 9000);
	assert_true(b->rep.flags & BUS_F_SHUTDOWN);
	ok(b, (struct bus_req){ .hdr.type = BUS_DIGEST, .icount = 100 });
	heard(b, "halt@100-9000 digest@100 shutdown@100:3:0 ");
	bed_free(b);
}

static void test_bulk(void **state)
{
	struct bed *b = bed_new();
	struct bus_req rq = {
		.hdr.type = BUS_OUTS, .icount = 1, .addr = 0xe9, .size = 1, .count = 5
	};

	bed_start(b);
	out_port(b, 0, 0x80, 0); /* its reply tells of the map */
	assert_int_equal(bus_server_request(&b->s, &rq, (const uint8_t *)"hello", 5, &b->rep,
				 b->out, &b->out_len, &b->err),
		0);
	assert_int_equal(b->out_len, 0);
	rq.count = 6; /* more than came along */
	assert_true(bus_server_request(&b->s, &rq, (const uint8_t *)"hello", 5, &b->rep, b->out,
			    &b->out_len, &b->err) < 0);
	rq = (struct bus_req){
		.hdr.type = BUS_INS, .icount = 6, .addr = 0xe9, .size = 1, .count = 3
	};
	ok(b, rq);
	assert_int_equal(b->out_len, 3);
	assert_memory_equal(b->out, "\xe9\xe9\xe9", 3);
	rq.count = BUS_DATA_MAX + 1;
	assert_true(request(b, rq) < 0);
	rq.count = 0x80000001;
	rq.size = 2;
	assert_true(request(b, rq) < 0);
	checkpoint(b, 9);
	assert_int_equal(seq_flush(&b->seq, &b->err), 0);
	assert_int_equal(
		seq_init(&b->seq, &b->err), 0); /* answered: all before it has been heard */
	heard(b, "out@9:1:hello init@9 ");
	bed_free(b);
}

/* Programs the PIT's counter 0 and reads its status and count by REP INSB, in pieces of at most
 * piece elements. */
static void read_pit(uint8_t *buf, uint32_t n, uint32_t piece)
{
	struct bed *b = bed_new();
	uint64_t at = 10;

	bed_start(b);
	out_port(b, at, 0x43, 0x34);
	out_port(b, at, 0x40, 0xff);
	out_port(b, at, 0x40, 0xff);
	while (n > 0) {
		uint32_t k = n < piece ? n : piece;

		ok(b, (struct bus_req){ .hdr.type = BUS_INS,
			      .icount = at,
			      .addr = 0x40,
			      .size = 1,
			      .count = k,
			      .deadline_ns = BUS_NEVER });
		assert_in_range(b->out_len, 1, k);
		memcpy(buf, b->out, b->out_len);
		buf += b->out_len;
		at += b->out_len;
		n -= b->out_len;
		if (b->rep.stop_icount <= at)
			checkpoint(b, at);
	}
	bed_free(b);
}

/* Where a REP INS is cut is seen by nobody: each element is read at its own time. */
static void test_bulk_in_pieces(void **state)
{
	uint8_t whole[3000], pieces[3000];

	read_pit(whole, sizeof(whole), sizeof(whole));
	assert_memory_not_equal(whole, whole + 2000, 1000); /* time does pass */
	for (uint32_t piece = 1; piece < 1000; piece = piece * 3 + 1) {
		read_pit(pieces, sizeof(pieces), piece);
		assert_memory_equal(whole, pieces, sizeof(whole));
	}
}

/* A REP OUTS ends with the element that raises an interrupt. */
static void test_bulk_ends_at_an_interrupt(void **state)
{
	/* IER of the first serial port: nothing, transmitter empty, nothing... */
	static const uint8_t ier[] = { 0, 0, 2, 0, 2, 0 };
	struct bus_req rq = {
		.hdr.type = BUS_OUTS, .icount = 20, .addr = 0x3f9, .size = 1, .count = 6
	};
	struct bed *b = bed_new();

	bed_start(b);
	for (unsigned i = 0; i < 4; i++) /* the 8259s: ICW1 to ICW4, then all unmasked */
		out_port(b, 1 + i, i ? 0x21 : 0x20, (uint8_t[]){ 0x11, 0x20, 0x04, 0x01 }[i]);
	out_port(b, 6, 0x21, 0);
	out_port(b, 7, 0x3fc, 8); /* OUT2 lets the interrupt out */
	assert_int_equal(
		bus_server_request(&b->s, &rq, ier, 6, &b->rep, b->out, &b->out_len, &b->err), 0);
	assert_int_equal(b->rep.data, 3);
	assert_true(b->rep.flags & BUS_F_INTR);
	bed_free(b);
}

/* Bytes of one stream stay in order, in records of at most SEQ_CHAR_MAX. */
static void test_output_batches(void **state)
{
	struct bed *b = bed_new();
	static char want[9000], expect[9500];
	size_t n;

	bed_start(b);
	for (unsigned i = 0; i < 4100; i++) {
		want[i] = (char)('a' + i % 26);
		out_port(b, 7, 0xe9, (unsigned char)want[i]);
	}
	assert_int_equal(seq_init(&b->seq, &b->err), 0);
	/* said[] is shorter than the record: the head will do */
	n = (size_t)snprintf(expect, sizeof(expect), "out@7:1:%.4096s", want);
	assert_true(n > 4000);
	assert_memory_equal(b->said, expect, 4000);
	assert_int_equal(b->rig->m->stream_bytes[1], 4100);
	bed_free(b);
}

static void test_bad_vcpu(void **state)
{
	struct bed *b = bed_new();

	bed_start(b);
	checkpoint(b, 100);
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_CHECKPOINT, .icount = 99 }) < 0);
	assert_non_null(strstr(b->err.msg, "icount 99 after 100"));
	assert_true(request(b, (struct bus_req){ .hdr.type = 77, .icount = 100 }) < 0);
	assert_true(
		request(b, (struct bus_req){ .hdr.type = BUS_IN, .icount = 100, .size = 3 }) < 0);
	assert_true(
		request(b, (struct bus_req){ .hdr.type = BUS_IN, .icount = 100, .size = 8 }) < 0);
	assert_true(request(b, (struct bus_req){
				       .hdr.type = BUS_MMIO_READ, .icount = 100, .size = 0 }) < 0);
	bed_free(b);
}

static void test_bad_sequencer(void **state)
{
	struct bed *b = bed_new();

	b->script[0] = (struct answer){ .bad_type = SEQ_TAKE };
	b->script[1] = (struct answer){ .ev = { { .arg = 200 } }, .n_ev = 1 };
	b->script[2] = (struct answer){
		.ev = { { .arg = SEQ_EV_CHAR, .dev = 9 } }, .data = { "x" }, .n_ev = 1
	};
	b->script[3] = (struct answer){ .ev = { { .arg = SEQ_EV_NMI } }, .n_ev = 1 };
	b->n_script = 4;
	bed_start(b);
	b->page.input_pending = 1;
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_CHECKPOINT, .icount = 1 }) < 0);
	assert_non_null(strstr(b->err.msg, "expected EVENT or DONE"));
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_CHECKPOINT, .icount = 2 }) < 0);
	assert_non_null(strstr(b->err.msg, "unknown kind 200"));
	assert_true(request(b, (struct bus_req){ .hdr.type = BUS_CHECKPOINT, .icount = 3 }) < 0);
	assert_non_null(strstr(b->err.msg, "stream 9"));
	assert_true(seq_init(&b->seq, &b->err) < 0); /* events belong to TAKE and HALT */
	assert_non_null(strstr(b->err.msg, "an event in answer"));
	bed_free(b);
}

/* ---- deferred writes, shown registers ---- */

static int deferred(struct bed *b, struct bus_req rq, const struct bus_deferred *d, unsigned n)
{
	rq.n_deferred = (uint8_t)n;
	return bus_server_request(&b->s, &rq, (const uint8_t *)d, (uint32_t)(n * sizeof(*d)),
		&b->rep, b->out, &b->out_len, &b->err);
}

static bool is_shown(const struct bed *b, unsigned port, unsigned value)
{
	for (uint32_t i = 0; i < b->rig->map.n_shown; i++)
		if (b->rig->map.shown[i].port == port)
			return b->rig->map.shown[i].value == value;
	return false;
}

/* The IDE controller's bus master at C000. */
static struct bed *bed_bus_master(void)
{
	struct bed *b = bed_new();

	bed_start(b);
	pci_config_write(b->rig->m, 0x09, PCI_BAR0 + 16, 4, 0xc000);
	checkpoint(b, 0);
	return b;
}

static void test_deferred(void **state)
{
	static const struct bus_deferred d[] = { { 0xc004, 4, 0, 0x12345678 },
		{ 0xc000, 1, 0, 0x08 }, { 0xc004, 4, 0, 0x00abcdec } };
	const struct bus_req table = { .hdr.type = BUS_IN, .icount = 5, .addr = 0xc004, .size = 4 };
	struct bed *b = bed_bus_master();

	assert_true(is_shown(b, 0xc000, 0));
	/* all of them, in order, before the request */
	assert_int_equal(deferred(b, table, d, 3), 0);
	assert_int_equal(b->rep.data, 0x00abcdec);
	assert_true(is_shown(b, 0xc000, 8));
	assert_int_equal(
		deferred(b, (struct bus_req){ .hdr.type = BUS_FLUSH, .icount = 6 }, d, 1), 0);
	ok(b, (struct bus_req){ .hdr.type = BUS_IN, .icount = 7, .addr = 0xc004, .size = 4 });
	assert_int_equal(b->rep.data, 0x12345678);
	bed_free(b);
}

static void test_deferred_refused(void **state)
{
	static const struct bus_deferred bad[] = {
		{ 0xc000, 1, 0, 0x01 }, /* starts the bus master */
		{ 0xc004, 1, 0, 0 },	/* another size */
		{ 0x3f6, 1, 0, 4 },	/* resets */
		{ 0xcf8, 4, 0, 0 },	/* another's */
		{ 0x1f7, 1, 0, 0xec },	/* a command */
		{ 0x1f0, 1, 0, 0 },
	};
	const struct bus_req rq = { .hdr.type = BUS_FLUSH, .icount = 1 };
	struct bed *b = bed_bus_master();
	struct bus_req more = rq;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(deferred(b, rq, &bad[i], 1), -EPROTO);
		assert_non_null(strstr(b->err.msg, "must not"));
	}
	more.n_deferred = 2; /* of which there is no second */
	assert_int_equal(bus_server_request(&b->s, &more, (const uint8_t *)bad, sizeof(bad[0]),
				 &b->rep, b->out, &b->out_len, &b->err),
		-EPROTO);
	more.n_deferred = BUS_DEFERRED_MAX + 1;
	assert_int_equal(bus_server_request(&b->s, &more, b->out, BUS_DATA_MAX, &b->rep, b->out,
				 &b->out_len, &b->err),
		-EPROTO);
	bed_free(b);
}

/* A register that may be shown costs no time, whether it was read from devices or not. */
static void test_quick_ports(void **state)
{
	struct bed *b = bed_bus_master();

	assert_true(is_shown(b, 0x3f6, 0x7f));
	assert_true(is_shown(b, 0x177, 0x7f));
	ok(b, (struct bus_req){ .hdr.type = BUS_IN, .icount = 1, .addr = 0x3f6, .size = 1 });
	assert_int_equal(b->rep.data, 0x7f);
	assert_int_equal(b->rep.warp_ns, 0);
	ok(b, (struct bus_req){ .hdr.type = BUS_IN, .icount = 2, .addr = 0x61, .size = 1 });
	assert_int_equal(b->rep.warp_ns, 1000);
	/* gone with the address */
	pci_config_write(b->rig->m, 0x09, PCI_COMMAND, 1, 0);
	checkpoint(b, 3);
	assert_int_equal(b->rig->map.n_shown, 0);
	assert_int_equal(b->rig->map.n_defer, 0);
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_deferred_refused),
		cmocka_unit_test(test_quick_ports),
		cmocka_unit_test(test_first_reply),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_replay_stops),
		cmocka_unit_test(test_timer_is_a_stop),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_digest_late),
		cmocka_unit_test(test_halt),
		cmocka_unit_test(test_halt_wakes_first),
		cmocka_unit_test(test_ferr),
		cmocka_unit_test(test_halt_out_of_bounds),
		cmocka_unit_test(test_guest_exit),
		cmocka_unit_test(test_shutdown_event_at_halt),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_bulk_in_pieces),
		cmocka_unit_test(test_bulk_ends_at_an_interrupt),
		cmocka_unit_test(test_output_batches),
		cmocka_unit_test(test_bad_vcpu),
		cmocka_unit_test(test_bad_sequencer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
