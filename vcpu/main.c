/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dejavm-vcpu: the process that executes the guest. Set-up, and the loop that alternates slices of
 * execution with checkpoints (docs/architecture.md, "Rules of the bus").
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "bus_client.h"
#include "control.pb-c.h"
#include "cpu.h"
#include "cpu_digest.h"
#include "cpuid.h"
#include "insn_trace.h"
#include "log.h"
#include "mmu.h"
#include "proc.h"
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

/* ---- run state ---- */

/* Says that the vCPU is parked, and sleeps until the run state is another than `state`, or a moment
 * has passed. */
static void park(struct machine_page *m, uint32_t state)
{
	struct timespec ts = { .tv_nsec = 200 * 1000 * 1000 };

	atomic_store_release(&m->vcpu_parked, 1);
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
		park(m, s);
	}
}

/* After the guest's end: nothing more to do until the hub says quit. */
static void wait_quit(struct vcpu *v)
{
	struct machine_page *m = v->bus.machine;
	uint32_t s;

	while ((s = atomic_load_acquire(&m->run_state)) != RUN_QUIT)
		park(m, s);
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
	uint64_t limit = cpu->icount + v->slice, apic = lapic_deadline_icount(cpu);

	if (apic < limit)
		limit = apic;
	if (cpu->stop_icount < limit)
		limit = cpu->stop_icount;
	if (limit > cpu->icount)
		cpu_run(cpu, limit);
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
		signal(SIGUSR1, on_usr1);
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
