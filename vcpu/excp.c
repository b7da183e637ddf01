/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions and interrupts: raising, delivery through the IVT or the IDT, double and triple
 * faults, and what is due between two instructions. SDM vol. 3, ch. 6 (delivery), 17.3 (debug
 * exceptions), 20.1.4 (real mode), 20.3 (virtual-8086 mode, VME); vol. 2, INT n.
 *
 * A delivery commits nothing before all its checks and pushes have succeeded, so that a fault in
 * the middle of it finds the state from before. Task gates are the exception that the manual makes
 * too: see task.c.
 */
#include "sys.h"

#include "flags.h"
#include "log.h"
#include "mem.h"

enum event_kind {
	EV_FAULT /* and NMI */,
	EV_INTR,
	EV_TRAP /* #DB between instructions */,
	EV_SOFT,
	EV_SOFT_BP,
	EV_ICEBP
};

struct event {
	uint8_t vector;
	uint8_t kind; /* enum event_kind */
	bool has_err;
	uint32_t err;
	uint32_t eip; /* to return to */
	uint32_t dr6; /* of a #DB */
};

/* ---- raising ---- */

_Noreturn static void raise_now(struct cpu *cpu, int vector, bool has_err, uint32_t err)
{
	cpu->raise_vector = vector;
	cpu->raise_has_err = has_err;
	cpu->raise_err = err;
	must(cpu->catch_);
	siglongjmp(*cpu->catch_, 1);
}

_Noreturn void cpu_raise(struct cpu *cpu, int vector)
{
	raise_now(cpu, vector, false, 0);
}

_Noreturn void cpu_raise_err(struct cpu *cpu, int vector, uint32_t err)
{
	raise_now(cpu, vector, true, err & 0xffff);
}

_Noreturn void cpu_raise_pf(struct cpu *cpu, uint32_t linear, uint32_t err)
{
	cpu->cr2 = linear;
	raise_now(cpu, EXCP_PF, true, err);
}

/* ---- delivery ---- */

static bool event_is_soft(const struct event *ev)
{
	return ev->kind == EV_SOFT || ev->kind == EV_SOFT_BP;
}

/* At this boundary a REP string instruction has more to do. (An iteration has retired: the icount
 * is not 0.) */
static bool between_iterations(const struct cpu *cpu)
{
	return cpu->rep_icount && cpu->rep_icount == cpu->icount;
}

/* The EFLAGS image to be pushed: RF by SDM vol. 3, 17.3.1.1. */
static uint32_t event_flags(struct cpu *cpu, const struct event *ev)
{
	uint32_t fl = flags_get(cpu);

	/* A code breakpoint is the one fault that leaves RF as it is: the handler decides. */
	if (ev->kind == EV_FAULT && ev->vector != EXCP_NMI &&
		!(ev->vector == EXCP_DB && !(ev->dr6 & DR6_BD)))
		fl |= FL_RF;
	/* Between two iterations of a string instruction. */
	if ((ev->kind == EV_INTR || ev->kind == EV_TRAP || ev->vector == EXCP_NMI) &&
		between_iterations(cpu))
		fl |= FL_RF;
	return fl;
}

void event_done(struct cpu *cpu)
{
	cpu->inhibit = 0;
	cpu->step_armed = false;
	cpu->rep_icount = 0;
	cpu->look = true;
}

/* Through an interrupt vector table of the 8086 at linear base. */
static void enter_8086(
	struct cpu *cpu, const struct event *ev, uint32_t base, uint32_t flags, uint32_t clear)
{
	struct stack st;
	uint16_t ip, cs;

	stack_current(cpu, &st);
	ip = lin_read16(cpu, base + ev->vector * 4u, false);
	cs = lin_read16(cpu, base + ev->vector * 4u + 2, false);
	stack_push(cpu, &st, 2, flags & 0xffff);
	stack_push(cpu, &st, 2, cpu->seg[SEG_CS].sel);
	stack_push(cpu, &st, 2, ev->eip & 0xffff);
	cpu->gpr[R_ESP] = st.esp;
	flags_set(cpu, flags_get(cpu) & ~clear);
	seg_load_real(cpu, SEG_CS, cs);
	cpu->eip = ip;
}

static void deliver_real(struct cpu *cpu, const struct event *ev)
{
	if (ev->vector * 4u + 3 > cpu->idtr.limit)
		cpu_raise_err(cpu, EXCP_GP, ev->vector * 8u + 2);
	enter_8086(cpu, ev, cpu->idtr.base, event_flags(cpu, ev), FL_IF | FL_TF | FL_AC | FL_RF);
}

/* A descriptor of the target code segment of a gate, checked (SDM vol. 2, INT n). */
static void fetch_gate_code(struct cpu *cpu, uint16_t sel, unsigned ext, struct desc *d)
{
	uint32_t err = (sel & ~3u) | ext;

	if (sel_is_null(sel))
		cpu_raise_err(cpu, EXCP_GP, ext);
	desc_fetch_or_raise(cpu, sel, d, EXCP_GP, ext);
	if (!desc_is_code(d) || desc_dpl(d) > cpu->cpl)
		cpu_raise_err(cpu, EXCP_GP, err);
	if (!desc_present(d))
		cpu_raise_err(cpu, EXCP_NP, err);
	if (cpu_v86(cpu) && (desc_is_conforming(d) || desc_dpl(d) != 0))
		cpu_raise_err(cpu, EXCP_GP, err);
}

static void push_v86_segments(struct cpu *cpu, struct stack *st, unsigned w)
{
	stack_push(cpu, st, w, cpu->seg[SEG_GS].sel);
	stack_push(cpu, st, w, cpu->seg[SEG_FS].sel);
	stack_push(cpu, st, w, cpu->seg[SEG_DS].sel);
	stack_push(cpu, st, w, cpu->seg[SEG_ES].sel);
}

/* Interrupt and trap gates, 16 and 32 bits wide, to the same or an inner level. */
static void deliver_gate(
	struct cpu *cpu, const struct event *ev, const struct desc *gate, unsigned ext)
{
	unsigned type = desc_type(gate), w = type & 8 ? 4 : 2, cpl;
	uint16_t sel = gate->lo >> 16;
	uint32_t eip = (gate->lo & 0xffff) | (w == 4 ? gate->hi & 0xffff0000 : 0);
	uint32_t fl = event_flags(cpu, ev), clear = FL_TF | FL_VM | FL_RF | FL_NT;
	bool inner, v86 = cpu_v86(cpu);
	struct desc d;
	struct stack st;

	fetch_gate_code(cpu, sel, ext, &d);
	inner = !desc_is_conforming(&d) && desc_dpl(&d) < cpu->cpl;
	cpl = inner ? desc_dpl(&d) : cpu->cpl;
	if (inner) {
		stack_from_tss(cpu, cpl, ext, &st);
		if (v86)
			push_v86_segments(cpu, &st, w);
		stack_push(cpu, &st, w, cpu->seg[SEG_SS].sel);
		stack_push(cpu, &st, w, cpu->gpr[R_ESP]);
	} else {
		stack_current(cpu, &st);
		st.err = (uint16_t)ext;
	}
	stack_push(cpu, &st, w, fl);
	stack_push(cpu, &st, w, cpu->seg[SEG_CS].sel);
	stack_push(cpu, &st, w, ev->eip);
	if (ev->has_err)
		stack_push(cpu, &st, w, ev->err);
	if (eip > desc_limit(&d))
		cpu_raise_err(cpu, EXCP_GP, ext);
	desc_set_accessed(cpu, &d);

	if (type == SYS_INT16 || type == SYS_INT32)
		clear |= FL_IF;
	flags_set(cpu, flags_get(cpu) & ~clear);
	cs_commit(cpu, (uint16_t)((sel & ~3u) | cpl), &d, eip, cpl);
	cpu->gpr[R_ESP] = st.esp;
	if (inner)
		cpu->seg[SEG_SS] = st.seg;
	if (v86) {
		seg_set_null(&cpu->seg[SEG_GS], 0);
		seg_set_null(&cpu->seg[SEG_FS], 0);
		seg_set_null(&cpu->seg[SEG_DS], 0);
		seg_set_null(&cpu->seg[SEG_ES], 0);
	}
	seg_mode_changed(cpu);
}

static void deliver_task_gate(
	struct cpu *cpu, const struct event *ev, const struct desc *gate, unsigned ext)
{
	struct task_switch ts = {
		.cause = TASK_INT,
		.eip = ev->eip,
		.eflags = event_flags(cpu, ev),
		.ext = ext,
		.has_err = ev->has_err,
		.err = ev->err,
	};

	task_switch_gate(cpu, gate, &ts);
}

static void deliver_protected(struct cpu *cpu, const struct event *ev)
{
	unsigned ext = event_is_soft(ev) ? 0 : 1, idt_err = ev->vector * 8u + 2;
	struct desc gate;

	if (ev->vector * 8u + 7 > cpu->idtr.limit)
		cpu_raise_err(cpu, EXCP_GP, idt_err + ext);
	gate.linear = cpu->idtr.base + ev->vector * 8u;
	gate.lo = lin_read32(cpu, gate.linear, false);
	gate.hi = lin_read32(cpu, gate.linear + 4, false);
	if (!desc_is_system(&gate))
		cpu_raise_err(cpu, EXCP_GP, idt_err + ext);
	switch (desc_type(&gate)) {
	case SYS_TASK_GATE:
	case SYS_INT16:
	case SYS_TRAP16:
	case SYS_INT32:
	case SYS_TRAP32: break;
	default: cpu_raise_err(cpu, EXCP_GP, idt_err + ext);
	}
	if (event_is_soft(ev) && desc_dpl(&gate) < cpu->cpl)
		cpu_raise_err(cpu, EXCP_GP, idt_err);
	if (!desc_present(&gate))
		cpu_raise_err(cpu, EXCP_NP, idt_err + ext);
	if (desc_type(&gate) == SYS_TASK_GATE)
		deliver_task_gate(cpu, ev, &gate, ext);
	else
		deliver_gate(cpu, ev, &gate, ext);
}

bool v86_int_redirected(struct cpu *cpu, uint8_t vector)
{
	uint32_t map;

	if (!tr_is_32(cpu) || cpu->tr.limit < 103)
		cpu_raise_err(cpu, EXCP_GP, 0);
	map = lin_read16(cpu, cpu->tr.base + 102, false);
	/* The 32 bytes below the I/O map (SDM vol. 3, figure 20-5); a set bit means: not
	 * redirected. */
	if (map < 32 || map - 32 + vector / 8u > cpu->tr.limit)
		cpu_raise_err(cpu, EXCP_GP, 0);
	return !(lin_read8(cpu, cpu->tr.base + map - 32 + vector / 8u, false) >> (vector & 7) & 1);
}

/* INT n in virtual-8086 mode (SDM vol. 3, table 20-2). True: done, by the 8086 program's own
 * handler. */
static bool deliver_v86_soft(struct cpu *cpu, const struct event *ev)
{
	uint32_t fl = event_flags(cpu, ev), clear = FL_TF | FL_RF | FL_AC;
	bool iopl3 = cpu_iopl(cpu) == 3;

	if (cpu->cr4 & CR4_VME && v86_int_redirected(cpu, ev->vector)) {
		if (iopl3) {
			clear |= FL_IF;
		} else {
			fl = (fl & ~FL_IF) | FL_IOPL | (fl & FL_VIF ? FL_IF : 0);
			clear |= FL_VIF;
		}
		/* AC stays with its owner: the 16-bit image cannot bring it back. */
		enter_8086(cpu, ev, 0, fl, clear & ~FL_AC);
		return true;
	}
	if (!iopl3)
		cpu_raise_err(cpu, EXCP_GP, 0);
	return false;
}

static void deliver(struct cpu *cpu, const struct event *ev)
{
	if (!(cpu->cr0 & CR0_PE))
		deliver_real(cpu, ev);
	else if (!(ev->kind == EV_SOFT && cpu_v86(cpu) && deliver_v86_soft(cpu, ev)))
		deliver_protected(cpu, ev);
	event_done(cpu);
	cpu->halted = false;
	if (ev->vector == EXCP_NMI && ev->kind == EV_FAULT)
		cpu->nmi_blocked = true;
}

/* ---- faults during delivery (SDM vol. 3, 6.15, tables 6-4 and 6-5) ---- */

enum excp_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE };

static enum excp_class excp_class(int vector)
{
	switch (vector) {
	case EXCP_DE:
	case EXCP_TS:
	case EXCP_NP:
	case EXCP_SS:
	case EXCP_GP: return CLASS_CONTRIBUTORY;
	case EXCP_PF: return CLASS_PAGE_FAULT;
	case EXCP_DF: return CLASS_DOUBLE;
	default: return CLASS_BENIGN;
	}
}

static void event_from_raise(struct cpu *cpu, struct event *ev)
{
	*ev = (struct event){
		.vector = (uint8_t)cpu->raise_vector,
		.kind = EV_FAULT,
		/* Real mode pushes no error codes. */
		.has_err = cpu->raise_has_err,
		.err = cpu->raise_err,
		.eip = cpu->eip,
	};
}

/*
 * What a fault (raise_*) during the delivery of `first` becomes: false for a shutdown. #DB is no
 * fault here: the general-detect fault cannot come during a delivery.
 */
static bool event_combine(struct cpu *cpu, int first_vector, bool first_is_excp, struct event *ret)
{
	enum excp_class first = first_is_excp ? excp_class(first_vector) : CLASS_BENIGN;
	enum excp_class second = excp_class(cpu->raise_vector);
	bool serious = second == CLASS_CONTRIBUTORY || second == CLASS_PAGE_FAULT;

	event_from_raise(cpu, ret);
	if (first == CLASS_DOUBLE && serious)
		return false;
	if ((first == CLASS_CONTRIBUTORY && second == CLASS_CONTRIBUTORY) ||
		(first == CLASS_PAGE_FAULT && serious)) {
		ret->vector = EXCP_DF;
		ret->has_err = true;
		ret->err = 0;
	}
	return true;
}

/* One attempt. False: a fault came, it is in raise_*. */
static bool try_deliver(struct cpu *cpu, const struct event *ev)
{
	sigjmp_buf here;

	cpu->catch_ = &here;
	if (sigsetjmp(here, 0))
		return false;
	deliver(cpu, ev);
	return true;
}

static void count_event(struct cpu *cpu, const struct event *ev)
{
	if (ev->kind == EV_INTR)
		cpu->n_intr++;
	else if (ev->vector < 32)
		cpu->n_excp[ev->vector]++;
}

/*
 * Faults in a row that one event may become. Benign ones could go on for ever: an #AC whose
 * handler, in a conforming segment, runs on the same misaligned stack. Processors hang then, until
 * an NMI; here it is a shutdown.
 */
#define CHAIN_MAX 8

/*
 * Events without an instruction between them: a handler whose first instruction faults, a code
 * breakpoint on the handler of #DB. Time stands still meanwhile, nothing else would end it.
 */
#define EVENTS_MAX (1u << 20)

static bool events_go_on(struct cpu *cpu)
{
	if (cpu->event_icount != cpu->icount) {
		cpu->event_icount = cpu->icount;
		cpu->event_n = 0;
	}
	return ++cpu->event_n < EVENTS_MAX;
}

/* Delivers the event, or what comes of it. Does not raise. */
static void event_deliver(struct cpu *cpu, const struct event *first)
{
	sigjmp_buf *outer = cpu->catch_;
	struct event ev = *first;
	unsigned chain = 0;
	bool ok = events_go_on(cpu);

	cpu->delivering = true;
	cpu->excp_vector = ev.vector;
	count_event(cpu, &ev);
	if (ev.vector == EXCP_DB && ev.kind != EV_INTR && !event_is_soft(&ev) &&
		ev.kind != EV_ICEBP)
		debug_enter_handler(cpu, ev.dr6);
	while (ok && !try_deliver(cpu, &ev)) {
		bool is_excp = ev.kind == EV_FAULT && ev.vector != EXCP_NMI;

		ok = event_combine(cpu, ev.vector, is_excp, &ev) && ++chain < CHAIN_MAX;
		cpu->excp_vector = ev.vector;
		if (ok)
			count_event(cpu, &ev);
	}
	cpu->catch_ = outer;
	cpu->delivering = false;
	cpu->excp_vector = -1;
	if (!ok) {
		/* Shutdown: the chip set resets us. Until it does so, stay where we are. */
		event_done(cpu);
		cpu->bus->triple_fault(cpu);
		if (!cpu->reset_request)
			cpu->halted = true;
	}
}

void excp_deliver_raised(struct cpu *cpu)
{
	struct event ev;

	event_from_raise(cpu, &ev);
	/* Data breakpoints of an instruction that faults are lost: it will meet them again. */
	cpu->db_pending = 0;
	/* The only #DB that an instruction raises by itself is general detect. */
	if (ev.vector == EXCP_DB)
		ev.dr6 = DR6_BD;
	event_deliver(cpu, &ev);
}

void excp_software_int(struct cpu *cpu, const struct insn *in, uint8_t vector, enum int_kind kind)
{
	static const uint8_t kinds[] = {
		[INT_SOFT] = EV_SOFT,
		[INT_SOFT_BP] = EV_SOFT_BP,
		[INT_ICEBP] = EV_ICEBP,
		[INT_HARD] = EV_INTR,
	};
	struct event ev = { .vector = vector, .kind = kinds[kind], .eip = eip_next(cpu, in) };

	/* A fault in here is one of this instruction: it goes to the engine like any other. */
	deliver(cpu, &ev);
	if (kind == INT_HARD)
		cpu->n_intr++;
	else if (vector < 32)
		cpu->n_excp[vector]++;
}

/* ---- between two instructions (SDM vol. 3, table 6-2) ---- */

static bool inhibited(const struct cpu *cpu, uint8_t what)
{
	return cpu->inhibit & what && cpu->inhibit_icount == cpu->icount;
}

static bool intr_open(const struct cpu *cpu)
{
	return cpu->eflags & FL_IF && !inhibited(cpu, CPU_INHIBIT_INTR | CPU_INHIBIT_ALL);
}

static bool nmi_due(const struct cpu *cpu)
{
	return cpu->nmi_pending && !cpu->nmi_blocked && !inhibited(cpu, CPU_INHIBIT_ALL);
}

static bool apic_due(const struct cpu *cpu)
{
	return lapic_enabled(cpu) && lapic_pending_vector(cpu) >= 0;
}

static bool pic_due(const struct cpu *cpu)
{
	return cpu->intr && lapic_accepts_pic(cpu);
}

bool excp_intr_waits(const struct cpu *cpu)
{
	return apic_due(cpu) || pic_due(cpu);
}

/* Ends what lasts for one instruction only, once that has passed. */
static void expire(struct cpu *cpu)
{
	if (cpu->inhibit && cpu->inhibit_icount != cpu->icount)
		cpu->inhibit = 0;
	if (cpu->eflags & FL_RF && cpu->rf_icount != cpu->icount && !between_iterations(cpu))
		cpu->eflags &= ~FL_RF;
}

/* The single-step trap of the instruction that has just retired. MOV SS and POP SS swallow it. */
static uint32_t step_trap(struct cpu *cpu)
{
	if (!cpu->step_armed || cpu->icount == cpu->step_icount)
		return 0;
	cpu->step_armed = false;
	return inhibited(cpu, CPU_INHIBIT_ALL) ? 0 : DR6_BS;
}

static void deliver_between(struct cpu *cpu, enum event_kind kind, uint8_t vector, uint32_t dr6)
{
	struct event ev = { .vector = vector, .kind = kind, .eip = cpu->eip, .dr6 = dr6 };

	event_deliver(cpu, &ev);
}

static bool take_trap(struct cpu *cpu)
{
	uint32_t dr6;

	cpu->db_pending |= step_trap(cpu);
	if (!cpu->db_pending || inhibited(cpu, CPU_INHIBIT_ALL))
		return false;
	dr6 = cpu->db_pending;
	cpu->db_pending = 0;
	deliver_between(cpu, EV_TRAP, EXCP_DB, dr6);
	return true;
}

static bool take_interrupt(struct cpu *cpu)
{
	int vector;

	if (nmi_due(cpu)) {
		cpu->nmi_pending = false;
		deliver_between(cpu, EV_FAULT, EXCP_NMI, 0);
		return true;
	}
	if (!intr_open(cpu))
		return false;
	if (apic_due(cpu))
		vector = lapic_acknowledge(cpu);
	else if (pic_due(cpu))
		vector = cpu->bus->intack(cpu);
	else
		return false;
	deliver_between(cpu, EV_INTR, (uint8_t)vector, 0);
	return true;
}

static bool take_code_breakpoint(struct cpu *cpu)
{
	uint32_t dr6;

	if (cpu->halted || !cpu->dr_armed || cpu->eflags & FL_RF || inhibited(cpu, CPU_INHIBIT_ALL))
		return false;
	dr6 = debug_check_code(cpu);
	if (!dr6)
		return false;
	deliver_between(cpu, EV_FAULT, EXCP_DB, dr6);
	return true;
}

/* VIF and VIP both set before an instruction of CPL 3: the monitor has an interrupt to deliver (SDM
 * vol. 3, 20.3.2, 20.4). */
static bool take_virtual_interrupt(struct cpu *cpu)
{
	struct event ev = { .vector = EXCP_GP, .kind = EV_FAULT, .has_err = true, .eip = cpu->eip };

	if ((cpu->eflags & (FL_VIF | FL_VIP)) != (FL_VIF | FL_VIP) || cpu->cpl != 3 ||
		!(cpu->cr4 & (cpu_v86(cpu) ? CR4_VME : CR4_PVI)))
		return false;
	event_deliver(cpu, &ev);
	return true;
}

/* Must all boundaries be looked at, those between iterations of a REP too? */
static bool look_at_all(const struct cpu *cpu)
{
	return cpu->reset_request || cpu->inhibit || cpu->eflags & FL_TF || cpu->step_armed ||
	       cpu->db_pending || (cpu->dr_armed && debug_has_code_breakpoint(cpu)) ||
	       nmi_due(cpu) || (intr_open(cpu) && (apic_due(cpu) || pic_due(cpu)));
}

/* Must the next boundary be looked at? */
static bool look_again(const struct cpu *cpu)
{
	return cpu->eflags & FL_RF || look_at_all(cpu);
}

bool excp_only_rf(const struct cpu *cpu)
{
	return cpu->eflags & FL_RF && !look_at_all(cpu);
}

bool excp_take_pending(struct cpu *cpu)
{
	bool taken = false;

	if (!cpu->reset_request) {
		expire(cpu);
		taken = take_trap(cpu) || take_interrupt(cpu) || take_code_breakpoint(cpu) ||
			take_virtual_interrupt(cpu);
	}
	if (!taken && cpu->eflags & FL_TF && !cpu->step_armed) {
		cpu->step_armed = true;
		cpu->step_icount = cpu->icount;
	}
	cpu->look = look_again(cpu);
	return taken;
}

bool excp_wakes(const struct cpu *cpu)
{
	bool step = cpu->step_armed && cpu->icount != cpu->step_icount;

	return cpu->reset_request || nmi_due(cpu) ||
	       ((cpu->db_pending || step) && !inhibited(cpu, CPU_INHIBIT_ALL)) ||
	       (intr_open(cpu) && (apic_due(cpu) || pic_due(cpu)));
}
