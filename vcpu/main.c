/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-vcpu: the process that executes the guest. Set-up, and the loop that alternates slices of
 * execution with checkpoints (docs/architecture.md, "Rules of the bus").
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "bus_client.h"
#include "control.pb-c.h"
#include "cpu.h"
#include "cpu_digest.h"
#include "cpu_state.h"
#include "cpuid.h"
#include "insn_trace.h"
#include "log.h"
#include "mmu.h"
#include "proc.h"
#include "stateport.h"
#include "tcache.h"
#include "tcg.h"
#include "trace.h"
#include "window.h"

#define SLICE_DEFAULT 50000

struct vcpu {
	struct proc proc;
	struct bus_client bus;
	struct cpu *cpu;
	struct ram_digest *ram_digest;
	struct state_port port;
	uint64_t slice;
	uint64_t checkpoint_icount; /* of the last checkpoint; UINT64_MAX: none yet */
};

/* ---- counters ---- */

static struct trace_point tp_stats = TRACE_POINT("vcpu_stats");
static volatile sig_atomic_t stats_asked;

static void on_usr1(int sig)
{
	(void)sig;
	stats_asked = 1;
}

/* Translated code has no stack for it. */
static void catch_usr1(void)
{
	struct sigaction sa = { .sa_handler = on_usr1, .sa_flags = SA_ONSTACK | SA_RESTART };

	sigaction(SIGUSR1, &sa, NULL);
}

static void line_stats(void *opaque, const char *text)
{
	(void)opaque;
	trace(&tp_stats, "%s", text);
}

/* Other threads may do this: numbers can be a little old. */
static void print_stats(const struct vcpu *v)
{
	if (v->cpu->tcg && tp_stats.on)
		tcg_stats_print(v->cpu, line_stats, NULL);
}

/* ---- snapshots: only while the vCPU is parked ---- */

static int state_save(struct vcpu *v, Dejavm__VcpuState *m)
{
	m->want_digest = v->bus.want_digest;
	m->want_checkpoint = v->bus.want_checkpoint;
	m->has_checkpoint_icount = v->checkpoint_icount != UINT64_MAX;
	m->checkpoint_icount = m->has_checkpoint_icount ? v->checkpoint_icount : 0;
	m->page_sums = malloc(sizeof(*m->page_sums));
	if (!m->page_sums)
		return -ENOMEM;
	dejavm__page_sums__init(m->page_sums);
	return ram_digest_save(v->ram_digest, m->page_sums) < 0 ? -ENOMEM
								: cpu_state_save(v->cpu, m);
}

static void serve_save(struct vcpu *v, const struct state_rq *rq)
{
	Dejavm__VcpuState *m = malloc(sizeof(*m));

	if (!m) {
		state_port_fail(&v->port, rq, "vcpu: no memory for its state");
		return;
	}
	dejavm__vcpu_state__init(m);
	if (state_save(v, m) < 0)
		state_port_fail(&v->port, rq, "vcpu: no memory for its state");
	else
		state_port_done(&v->port, rq, &m->base, v->cpu->icount, cpu_vtime_ns(v->cpu));
	dejavm__vcpu_state__free_unpacked(m, NULL);
}

static int state_load(
	struct vcpu *v, const Dejavm__VcpuState *m, bool check_only, struct error *err)
{
	int r = m->page_sums ? cpu_state_check(v->cpu, m, err)
			     : error_set(err, EINVAL, "vcpu: the sums of pages are missing");

	if (r == 0)
		r = ram_digest_check(v->ram_digest, m->page_sums, err);
	if (r < 0 || check_only)
		return r;
	/* Devices have made the map that belongs to it. */
	bus_client_map(&v->bus);
	must(cpu_state_load(v->cpu, m, err) == 0);
	must(ram_digest_load(v->ram_digest, m->page_sums, err) == 0);
	v->bus.want_digest = m->want_digest;
	v->bus.want_checkpoint = m->want_checkpoint;
	v->bus.shut_down = false;
	v->checkpoint_icount = m->has_checkpoint_icount ? m->checkpoint_icount : UINT64_MAX;
	atomic_set(&v->bus.machine->icount_now, v->cpu->icount);
	return 0;
}

static void serve_load(struct vcpu *v, const struct state_rq *rq)
{
	struct error err = ERROR_INIT;
	ProtobufCMessage *m =
		state_port_message(&v->port, rq, &dejavm__vcpu_state__descriptor, &err);

	if (!m || state_load(v, (Dejavm__VcpuState *)m, rq->op == DEJAVM__STATE_OP__STATE_CHECK,
			  &err) < 0)
		state_port_fail(&v->port, rq, err.msg);
	else
		state_port_done(&v->port, rq, NULL, v->cpu->icount, cpu_vtime_ns(v->cpu));
	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
}

static void serve_state(struct vcpu *v)
{
	struct state_rq rq;

	if (!state_port_take(&v->port, &rq))
		return;
	if (v->bus.shut_down) {
		state_port_fail(&v->port, &rq, "the run is over");
		return;
	}
	switch (rq.op) {
	case DEJAVM__STATE_OP__STATE_SAVE: serve_save(v, &rq); break;
	case DEJAVM__STATE_OP__STATE_CHECK:
	case DEJAVM__STATE_OP__STATE_LOAD: serve_load(v, &rq); break;
	default: state_port_done(&v->port, &rq, NULL, v->cpu->icount, cpu_vtime_ns(v->cpu)); break;
	}
}

/* On the control thread. The vCPU sleeps on the run state's futex, perhaps just now. */
static void wake_for_state(struct vcpu *v)
{
	const struct timespec nap = { .tv_nsec = 100 * 1000 };

	for (int i = 0; i < 1000 && state_port_waiting(&v->port); i++) {
		syscall(SYS_futex, &v->bus.machine->run_state, FUTEX_WAKE, 1, NULL, NULL, 0);
		nanosleep(&nap, NULL);
	}
}

/* ---- run state ---- */

/* Says that the vCPU is parked, and sleeps until the run state is another than `state`, or a moment
 * has passed. */
static void park(struct vcpu *v, uint32_t state)
{
	struct timespec ts = { .tv_nsec = 200 * 1000 * 1000 };
	struct machine_page *m = v->bus.machine;

	atomic_store_release(&m->vcpu_parked, 1);
	serve_state(v);
	syscall(SYS_futex, &m->run_state, FUTEX_WAIT, state, &ts, NULL, 0);
}

/* Sleeps while the hub has the group paused. False: the group ends. */
static bool wait_runnable(struct vcpu *v)
{
	struct machine_page *m = v->bus.machine;

	for (;;) {
		uint32_t s = atomic_load_acquire(&m->run_state);

		if (s == RUN_QUIT)
			return false;
		if (s == RUN_RUNNING) {
			atomic_store_release(&m->vcpu_parked, 0);
			return true;
		}
		bus_client_flush(&v->bus);
		park(v, s);
	}
}

/* After the guest's end: nothing more to do until the hub says quit. */
static void wait_quit(struct vcpu *v)
{
	struct machine_page *m = v->bus.machine;
	uint32_t s;

	while ((s = atomic_load_acquire(&m->run_state)) != RUN_QUIT)
		park(v, s);
}

/* ---- the loop ---- */

/* Halted, and nothing at this boundary would wake it: a function of the machine's state alone. */
static bool cpu_asleep(const struct cpu *cpu)
{
	return cpu->halted && !excp_wakes(cpu);
}

static void make_digest(struct vcpu *v)
{
	v->bus.state->blob_len = (uint32_t)digest_collect(
		v->cpu, v->ram_digest, v->bus.state->blob, sizeof(v->bus.state->blob));
	bus_client_digest(&v->bus);
}

/* Everything that is due between two instructions. Returns false when the guest's run is over. */
static bool run_boundary(struct vcpu *v)
{
	struct cpu *cpu = v->cpu;
	struct bus_client *b = &v->bus;
	bool rung;

	if (b->want_digest)
		make_digest(v);
	if (b->shut_down)
		return false;
	if (cpu->reset_request) {
		cpu->reset_request = false;
		cpu_reset(cpu);
	}
	lapic_run_timer(cpu);
	if (cpu_asleep(cpu)) {
		bus_client_halt(b);
		return true;
	}
	rung = atomic_load_acquire(&b->machine->input_pending) &&
	       cpu->icount != v->checkpoint_icount;
	if (cpu->icount >= cpu->stop_icount || b->want_checkpoint || rung) {
		v->checkpoint_icount = cpu->icount;
		bus_client_checkpoint(b);
	}
	return true;
}

static void run_slice(struct vcpu *v)
{
	struct cpu *cpu = v->cpu;

	/* stop_icount and the local APIC's timer are cpu_run()'s own ends. */
	cpu_run(cpu, cpu->icount + v->slice);
	atomic_set(&v->bus.machine->icount_now, cpu->icount);
	if (stats_asked) {
		stats_asked = 0;
		print_stats(v);
	}
}

static void run(struct vcpu *v)
{
	struct bus_client *b = &v->bus;
	sigjmp_buf quit;

	if (sigsetjmp(quit, 0))
		return;
	b->quit = &quit;
	while (wait_runnable(v)) {
		if (!run_boundary(v)) {
			wait_quit(v);
			return;
		}
		if (!b->want_digest && !v->cpu->reset_request && !cpu_asleep(v->cpu))
			run_slice(v);
	}
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

static void on_control(void *opaque, const Dejavm__Control *msg)
{
	if (msg->msg_case == DEJAVM__CONTROL__MSG_STATE_REQUEST) {
		struct vcpu *v = opaque;

		state_port_post(&v->port, msg->state_request);
		wake_for_state(v);
	}
	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		print_stats(opaque);
	/* There is nothing here that must be saved: end in the middle of whatever it is. */
	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT)
		_exit(0);
}

/* Without them it is slower, and nothing else. */
static void setup_windows(struct vcpu *v, bool always)
{
	const struct proc_segment *ram = proc_segment(&v->proc, "ram");
	int r = ram ? window_init(v->cpu, ram->fd, always ? WINDOW_ALWAYS : WINDOW_AUTO) : -ENOENT;

	if (r < 0)
		log_info("no windows on guest memory: %s", strerror(-r));
}

static void setup_engine(struct vcpu *v, const Dejavm__MachineConfig *mc)
{
	const Dejavm__EngineConfig *e = mc->accel;
	struct tcg_config c = { .thresh = TCG_THRESH_DEFAULT };
	int r;

	if (!mc->engine || !strcmp(mc->engine, "interp"))
		return;
	if (e) {
		if (e->has_thresh)
			c.thresh = e->thresh;
		c.budget = e->budget;
		c.tb_size = e->tb_size_mib;
		c.one_insn = e->one_insn;
		c.perf = e->perf;
		c.no_returns = e->no_returns;
		c.no_share = e->no_share;
	}
	c.check = !strcmp(mc->engine, "check");
	if (c.tb_size > TCACHE_MIB_MAX)
		c.tb_size = TCACHE_MIB_MAX;
	r = tcg_init(v->cpu, &c);
	if (r == -ENOTSUP)
		log_info("no translator for this host: interpreting");
	else if (r < 0)
		proc_fatal(&v->proc, "cannot start the translator: %s", strerror(-r));
	if (v->cpu->tcg && trace_match(&tp_stats))
		catch_usr1();
	if (v->cpu->tcg && !c.check && !(e && e->no_window))
		setup_windows(v, e && e->window_always);
}

static void setup(struct vcpu *v)
{
	const Dejavm__MachineConfig *mc = v->proc.welcome->machine;
	const struct chan_geometry geo = { BUS_NSLOTS, BUS_ARENA_LEN, BUS_NSLOTS, BUS_ARENA_LEN };
	struct bus_client *b = &v->bus;
	struct error err = ERROR_INIT;
	size_t code_len;
	uint8_t *codemap;

	if (!mc)
		proc_fatal(&v->proc, "the hub sent no machine configuration");
	/* Video memory lies behind RAM, and is memory like it. */
	b->ram_len = mc->ram_bytes + mc->vram_bytes;
	code_len = (b->ram_len >> 12) / 8;
	b->rom_len = proc_segment(&v->proc, "rom") ? proc_segment(&v->proc, "rom")->len : 0;
	b->machine = map_or_die(&v->proc, "machine", true, sizeof(*b->machine));
	b->state = map_or_die(&v->proc, "cpustate", true, sizeof(*b->state));
	b->memmap = map_or_die(&v->proc, "memmap", false, sizeof(*b->memmap));
	b->ram = map_or_die(&v->proc, "ram", true, b->ram_len);
	b->rom = map_or_die(&v->proc, "rom", false, b->rom_len);
	codemap = map_or_die(&v->proc, "codemap", true, code_len);
	if (state_port_open(&v->port, &v->proc, &err) < 0)
		proc_fatal(&v->proc, "%s", err.msg);
	if (proc_chan(&v->proc, &b->chan, "bus", true, &geo, "vcpu", "devices", &err) < 0)
		proc_fatal(&v->proc, "%s", err.msg);
	if (cpu_model_check(mc->cpu_model, &err) < 0)
		proc_fatal(&v->proc, "%s", err.msg);
	v->cpu = cpu_new(&bus_client_ops, b, mc->cpu_model, mc->shift);
	if (!v->cpu)
		proc_fatal(&v->proc, "cannot make a CPU of model '%s'", mc->cpu_model);
	b->cpu = v->cpu;
	setup_engine(v, mc);
	insn_trace_start(v->cpu);
	mmu_set_codemap(v->cpu, codemap, code_len);
	v->ram_digest = ram_digest_new(b->ram, (uint32_t)(b->ram_len >> 12), &err);
	if (v->ram_digest && proc_segment(&v->proc, "ram"))
		ram_digest_set_file(v->ram_digest, proc_segment(&v->proc, "ram")->fd);
	if (!v->ram_digest)
		proc_fatal(&v->proc, "%s", err.msg);
	v->slice = mc->slice ? mc->slice : SLICE_DEFAULT;
	v->checkpoint_icount = UINT64_MAX;
	/* Nothing is mapped and the first checkpoint is due at once: its reply brings the memory
	 * map. */
	v->cpu->stop_icount = 0;
	cpu_reset(v->cpu);
}

int main(int argc, char **argv)
{
	static struct vcpu v;
	struct error err = ERROR_INIT;

	if (proc_start(&v.proc, "vcpu", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	setup(&v);
	if (proc_run_control(&v.proc, on_control, &v) < 0)
		proc_fatal(&v.proc, "cannot start the control thread");
	if (proc_sandbox(&v.proc, &err) < 0)
		proc_fatal(&v.proc, "%s", err.msg);
	proc_ready(&v.proc);
	run(&v);
	return 0;
}
