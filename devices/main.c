/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-devices: the process around the machine. Set-up from Welcome, and the loop that serves the
 * bus.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "blk_client.h"
#include "bus_server.h"
#include "control.pb-c.h"
#include "display.h"
#include "log.h"
#include "proc.h"
#include "stateport.h"

/* A spin round trip costs a third of a microsecond, a sleeping one twenty: spinning pays while the
 * vCPU is quick to ask again. */
#define SPIN_MAX_NS  (50 * 1000)
#define SPIN_MIN_NS  (2 * 1000)
#define WAIT_STEP_NS (1000 * 1000 * 1000LL)

struct devices {
	struct proc proc;
	struct chan bus_chan, seq_chan, blk_chan;
	struct seq_client seq;
	struct blk_client blk; /* if there are drives */
	struct bus_server server;
	struct machine *machine;
	struct machine_config cfg;
	struct chan_spin spin;
	struct state_port port;
	int wake_fd; /* an eventfd: there is something in port */
	uint8_t in[BUS_DATA_MAX], out[BUS_DATA_MAX];
};

/* ---- what the machine needs of the process ---- */

static void host_output(void *opaque, int stream, const void *buf, size_t len)
{
	struct devices *d = opaque;
	struct error err = ERROR_INIT;

	if (seq_output(&d->seq, (unsigned)stream, buf, len, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
}

static void host_credit(void *opaque, int stream, uint32_t len)
{
	struct devices *d = opaque;
	struct error err = ERROR_INIT;

	if (seq_credit(&d->seq, (unsigned)stream, len, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
}

static int64_t host_clock_ns(void *opaque)
{
	struct devices *d = opaque;
	struct error err = ERROR_INIT;
	int64_t ns = 0;

	/* It may be read by a later element of a REP INS. */
	d->seq.icount = d->machine->icount;
	d->seq.now_ns = machine_now_ns(d->machine);
	if (seq_clock(&d->seq, SEQ_CLOCK_HOST, &ns, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	return ns;
}

static void host_blk_submit(void *opaque, const struct blk_req *rq)
{
	struct devices *d = opaque;
	struct error err = ERROR_INIT;

	if (blk_client_submit(&d->blk, rq, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
}

static uint32_t host_blk_wait(void *opaque, const struct blk_req *rq, const uint8_t **ret_data)
{
	struct devices *d = opaque;
	struct error err = ERROR_INIT;
	uint32_t error = 0;

	if (blk_client_wait(&d->blk, rq, &error, ret_data, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	return error;
}

/* The vCPU takes its time: let go of what we kept back. */
static void before_sleep(void *opaque)
{
	struct devices *d = opaque;
	struct error err = ERROR_INIT;

	if (seq_flush(&d->seq, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
}

/* ---- set-up ---- */

static void *map_or_die(struct proc *p, const char *name, bool writable, size_t need)
{
	struct error err = ERROR_INIT;
	void *m = proc_map_min(p, name, writable, need, &err);

	if (!m)
		proc_fatal(p, "%s", err.msg);
	return m;
}

/*
 * A file's bytes, copied: what a mapping shows may change under our feet, and a reset must load the
 * same again. An absent segment is an absent file.
 */
static struct blob read_file(struct proc *p, const char *segment, const char *name)
{
	int fd = proc_segment_fd(p, segment);
	struct blob b = { .name = name && *name ? name : segment };
	struct stat st;
	uint8_t *buf;

	if (fd < 0)
		return b;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)MACHINE_RAM_MAX)
		proc_fatal(p, "%s %s: expected a regular file of less than 3 GiB", segment, b.name);
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		proc_fatal(p, "%s %s: no memory for %lld bytes", segment, b.name,
			(long long)st.st_size);
	while (b.len < (size_t)st.st_size) {
		ssize_t n = pread(fd, buf + b.len, (size_t)st.st_size - b.len, (off_t)b.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			proc_fatal(p, "%s %s: read %zu bytes of %lld: %s", segment, b.name, b.len,
				(long long)st.st_size, n < 0 ? strerror(errno) : "end of file");
		b.len += (size_t)n;
	}
	b.data = buf;
	return b;
}

static void drives_fill(struct devices *d, const Dejavm__MachineConfig *mc)
{
	struct machine_config *c = &d->cfg;
	struct proc *p = &d->proc;

	if (mc->n_drives > BLK_DRIVES_MAX)
		proc_fatal(p, "%zu drives: at most %d", mc->n_drives, BLK_DRIVES_MAX);
	for (size_t i = 0; i < mc->n_drives; i++) {
		const Dejavm__DriveConfig *dc = mc->drives[i];

		if (dc->index != i)
			proc_fatal(p, "drive %s has number %u: expected %zu", dc->id, dc->index, i);
		c->drive[i] = (struct drive_info){ dc->id, dc->len, dc->readonly, dc->cdrom };
	}
	c->n_drives = (unsigned)mc->n_drives;
	if (c->n_drives)
		c->blkout = map_or_die(p, "blkout", true, BLK_DATA_LEN);
}

static void config_fill(struct devices *d, const Dejavm__MachineConfig *mc)
{
	struct machine_config *c = &d->cfg;
	struct proc *p = &d->proc;
	const struct proc_segment *rom = proc_segment(p, "rom");

	c->ram_bytes = mc->ram_bytes;
	c->vram_bytes = mc->vram_bytes;
	if (c->vram_bytes > MACHINE_VRAM_MAX || c->ram_bytes > MACHINE_RAM_MAX)
		proc_fatal(p, "more memory than a machine can have");
	c->ram = map_or_die(p, "ram", true, c->ram_bytes + c->vram_bytes);
	if (c->vram_bytes)
		c->display = map_or_die(p, "display", true, sizeof(struct display_page));
	c->rom_len = rom ? rom->len : 0;
	c->rom = map_or_die(p, "rom", true, c->rom_len);
	c->memmap = map_or_die(p, "memmap", true, sizeof(*c->memmap));
	c->shift = mc->shift;
	c->has_rtc_base = mc->has_rtc_base;
	c->rtc_base_s = mc->rtc_base_s;
	c->no_reboot = mc->no_reboot;
	c->append = mc->append;
	c->boot_order = mc->boot_order;
	c->boot_once = mc->boot_once;
	c->boot_menu = mc->boot_menu;
	drives_fill(d, mc);
	c->kernel = read_file(p, "kernel", mc->kernel_name);
	c->initrd = read_file(p, "initrd", mc->initrd_name);
	c->bios = read_file(p, "bios", mc->bios_name);
	c->vgabios = read_file(p, "vgabios", mc->vgabios_name);
	for (size_t i = 0; i < mc->n_streams; i++) {
		const Dejavm__StreamConfig *s = mc->streams[i];

		if (s->number >= MACHINE_STREAMS)
			proc_fatal(
				p, "character stream %u: at most %d", s->number, MACHINE_STREAMS);
		c->stream_name[s->number] = s->name;
		if (s->number >= c->n_streams)
			c->n_streams = s->number + 1;
	}
	for (unsigned i = 0; i < c->n_streams; i++)
		if (!c->stream_name[i])
			proc_fatal(p, "character stream %u is missing from the configuration", i);
}

static struct device_spec *specs_make(struct proc *p, const Dejavm__MachineConfig *mc)
{
	struct device_spec *specs = calloc(mc->n_devices + 1, sizeof(*specs));

	for (size_t i = 0; specs && i < mc->n_devices; i++) {
		const Dejavm__DeviceConfig *dc = mc->devices[i];
		struct prop_value *props = calloc(dc->n_props + 1, sizeof(*props));

		if (!props)
			proc_fatal(p, "no memory");
		for (size_t k = 0; k < dc->n_props; k++)
			props[k] = (struct prop_value){ dc->props[k]->key, dc->props[k]->value };
		specs[i] = (struct device_spec){ dc->driver, dc->id, props, (unsigned)dc->n_props,
			(int)dc->stream - 1 };
	}
	if (!specs)
		proc_fatal(p, "no memory");
	return specs;
}

static void channels_open(struct devices *d, struct machine_page *page)
{
	const struct chan_geometry bus = { BUS_NSLOTS, BUS_ARENA_LEN, BUS_NSLOTS, BUS_ARENA_LEN };
	const struct chan_geometry seq = { SEQ_NSLOTS, SEQ_ARENA_LEN, SEQ_NSLOTS, SEQ_ARENA_LEN };
	struct proc *p = &d->proc;
	struct error err = ERROR_INIT;

	if (proc_chan(p, &d->bus_chan, "bus", false, &bus, "devices", "vcpu", &err) < 0 ||
		proc_chan(p, &d->seq_chan, "seq", true, &seq, "devices", "replaylog", &err) < 0 ||
		seq_client_init(&d->seq, &d->seq_chan, page, d->cfg.n_streams, &err) < 0)
		proc_fatal(p, "%s", err.msg);
	d->bus_chan.before_sleep = before_sleep;
	d->bus_chan.before_sleep_opaque = d;
	if (d->cfg.n_drives) {
		const struct chan_geometry blk = { BLK_NSLOTS, 0, BLK_NSLOTS, 0 };

		if (proc_chan(p, &d->blk_chan, "blk", true, &blk, "devices", "blkproxy", &err) < 0)
			proc_fatal(p, "%s", err.msg);
		blk_client_init(
			&d->blk, &d->blk_chan, map_or_die(p, "blkin", false, BLK_DATA_LEN), page);
	}
	d->spin = (struct chan_spin){ .min_ns = SPIN_MIN_NS, .max_ns = SPIN_MAX_NS };
}

static void setup(struct devices *d)
{
	const Dejavm__MachineConfig *mc = d->proc.welcome->machine;
	struct machine_host host = { d, host_output, host_credit, host_clock_ns, host_blk_submit,
		host_blk_wait };
	struct machine_page *page = map_or_die(&d->proc, "machine", true, sizeof(*page));
	struct cpu_state_page *cpu = map_or_die(&d->proc, "cpustate", false, sizeof(*cpu));
	struct error err = ERROR_INIT;
	struct device_spec *specs;

	if (!mc)
		proc_fatal(&d->proc, "the hub sent no machine configuration");
	if (mc->digest_log2 < 10 || mc->digest_log2 > 62)
		proc_fatal(&d->proc, "a digest each 2^%u instructions: expected 2^10 to 2^62",
			mc->digest_log2);
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0 || state_port_open(&d->port, &d->proc, &err) < 0)
		proc_fatal(&d->proc, "%s", err.code ? err.msg : "cannot make an eventfd");
	config_fill(d, mc);
	channels_open(d, page);
	specs = specs_make(&d->proc, mc);
	d->machine = machine_new(&d->cfg, &host, &err);
	if (!d->machine || board_build(d->machine, specs, (unsigned)mc->n_devices, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	bus_server_init(&d->server, d->machine, &d->seq, cpu, page, mc->digest_log2);
}

/* Talks to the sequencer, so that it comes after Ready: replaylog may be waiting for its own peers.
 */
static void power_on(struct devices *d)
{
	struct error err = ERROR_INIT;

	if (seq_init(&d->seq, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	machine_reset(d->machine);
}

/* ---- snapshots: only between two requests of the vCPU ---- */

static void serve_save(struct devices *d, const struct state_rq *rq)
{
	Dejavm__DevicesState *m = malloc(sizeof(*m));
	struct error err = ERROR_INIT;
	int r = m ? 0 : -ENOMEM;

	if (m)
		dejavm__devices_state__init(m);
	/* What the guest has sent goes on its way: it is not part of the machine any more. */
	if (seq_flush(&d->seq, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	if (r == 0)
		r = bus_server_save(&d->server, m);
	if (r < 0)
		state_port_fail(&d->port, rq,
			r == -EBUSY ? "the run is over" : "devices: no memory for their state");
	else
		state_port_done(
			&d->port, rq, &m->base, d->machine->icount, machine_now_ns(d->machine));
	if (m)
		dejavm__devices_state__free_unpacked(m, NULL);
}

/* The sequencer has gone to its place in the log, and says where the next stop is. */
static void load(struct devices *d, const Dejavm__DevicesState *m)
{
	struct error err = ERROR_INIT;

	if (seq_flush(&d->seq, &err) < 0 || bus_server_load(&d->server, m, &err) < 0 ||
		seq_resume(&d->seq, d->machine->stream_credit, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	if (!d->cfg.n_drives)
		return;
	if (blk_client_reset(&d->blk, &err) < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	drive_resubmit(d->machine);
}

static void serve_load(struct devices *d, const struct state_rq *rq)
{
	struct error err = ERROR_INIT;
	ProtobufCMessage *m =
		state_port_message(&d->port, rq, &dejavm__devices_state__descriptor, &err);

	if (!m || machine_load_check(d->machine, (Dejavm__DevicesState *)m, &err) < 0) {
		state_port_fail(&d->port, rq, err.msg);
	} else {
		if (rq->op == DEJAVM__STATE_OP__STATE_LOAD)
			load(d, (Dejavm__DevicesState *)m);
		state_port_done(&d->port, rq, NULL, d->machine->icount, machine_now_ns(d->machine));
	}
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
}

static void serve_state(struct devices *d)
{
	struct state_rq rq;
	uint64_t n;

	if (read(d->wake_fd, &n, sizeof(n)) < 0)
		log_debug("cannot read the wake descriptor: %s", strerror(errno));
	if (!state_port_take(&d->port, &rq))
		return;
	switch (rq.op) {
	case DEJAVM__STATE_OP__STATE_SAVE: serve_save(d, &rq); break;
	case DEJAVM__STATE_OP__STATE_CHECK:
	case DEJAVM__STATE_OP__STATE_LOAD: serve_load(d, &rq); break;
	default: state_port_done(&d->port, &rq, NULL, 0, 0); break;
	}
}

/* ---- the loop ---- */

static void bus_fail(struct devices *d, int r)
{
	const char *why = chan_error(&d->bus_chan);

	proc_fatal(&d->proc, "bus to vcpu: %s", why ? why : strerror(-r));
}

static void wait_request(struct devices *d)
{
	int r;

	/* Time-outs only so that the wait is never for ever; a dead vCPU is the hub's to notice. */
	do {
		r = chan_wait_learning(&d->bus_chan, &d->spin, WAIT_STEP_NS, d->wake_fd);
		if (r == 1)
			serve_state(d);
	} while (r == -ETIMEDOUT || r == 1);
	if (r < 0)
		bus_fail(d, r);
}

static void reply_send(struct devices *d, const struct bus_rep *rep, uint32_t len)
{
	union slot s;
	int r;

	memset(&s, 0, sizeof(s));
	memcpy(&s, rep, sizeof(*rep));
	r = chan_send(&d->bus_chan, &s, d->out, len, WAIT_STEP_NS);
	if (r < 0)
		bus_fail(d, r);
}

static void serve_one(struct devices *d)
{
	struct error err = ERROR_INIT;
	struct bus_req rq;
	struct bus_rep rep;
	union slot s;
	uint32_t len;
	int r;

	wait_request(d);
	r = chan_recv(&d->bus_chan, &s, d->in, sizeof(d->in));
	if (r < 0)
		bus_fail(d, r);
	memcpy(&rq, &s, sizeof(rq));
	if (!chan_empty(&d->bus_chan))
		proc_fatal(&d->proc, "vcpu sent a request while one was open");
	r = bus_server_request(&d->server, &rq, d->in, rq.hdr.data_len, &rep, d->out, &len, &err);
	if (r < 0)
		proc_fatal(&d->proc, "%s", err.msg);
	reply_send(d, &rep, len);
}

static void on_control(void *opaque, const Dejavm__Control *msg)
{
	struct devices *d = opaque;
	uint64_t one = 1;

	if (msg->msg_case == DEJAVM__CONTROL__MSG_STATE_REQUEST) {
		state_port_post(&d->port, msg->state_request);
		if (write(d->wake_fd, &one, sizeof(one)) < 0)
			log_debug("cannot wake the machine: %s", strerror(errno));
	}
	/* All that must not be lost has been sent: the log is replaylog's, and output goes before
	 * the end is told. */
	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		_exit(0);
}

int main(int argc, char **argv)
{
	static struct devices d;
	struct error err = ERROR_INIT;

	if (proc_start(&d.proc, "devices", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	setup(&d);
	if (proc_run_control(&d.proc, on_control, &d) < 0)
		proc_fatal(&d.proc, "cannot start the control thread");
	if (proc_sandbox(&d.proc, &err) < 0)
		proc_fatal(&d.proc, "%s", err.msg);
	power_on(&d);
	proc_ready(&d.proc);
	for (;;)
		serve_one(&d);
}
