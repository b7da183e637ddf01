/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of system emulation (seg.c, excp.c, far.c, task.c, debug.c, op_*.c) share:
 * descriptors, stacks that are not yet SS:ESP, small helpers. SDM vol. 3, ch. 3, 5, 6, 7.
 */
#ifndef DEJAVM_SYS_H
#define DEJAVM_SYS_H

#include "cpu.h"

/* A descriptor as read from a table. */
struct desc {
	uint32_t lo, hi;
	uint32_t linear; /* where it lies, for the accessed and busy bits */
};

/* System descriptor types (SDM vol. 3, table 3-2) */
enum sys_type {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK_GATE = 5,
	SYS_INT16 = 6,
	SYS_TRAP16 = 7,
	SYS_TSS32 = 9,
	SYS_TSS32_BUSY = 11,
	SYS_CALL32 = 12,
	SYS_INT32 = 14,
	SYS_TRAP32 = 15,
};

#define SYS_BUSY 2u

static inline uint16_t desc_attr(const struct desc *d)
{
	return (d->hi >> 8) & 0xf0ff;
}
static inline unsigned desc_type(const struct desc *d)
{
	return (d->hi >> 8) & 15;
}
static inline unsigned desc_dpl(const struct desc *d)
{
	return (d->hi >> 13) & 3;
}
static inline bool desc_present(const struct desc *d)
{
	return (d->hi >> 15) & 1;
}
static inline bool desc_is_system(const struct desc *d)
{
	return !((d->hi >> 12) & 1);
}
static inline bool desc_is_code(const struct desc *d)
{
	return (d->hi & 0x1800) == 0x1800;
}
static inline bool desc_is_conforming(const struct desc *d) /* of a code segment */
{
	return (d->hi >> 10) & 1;
}
static inline bool desc_is_writable_data(const struct desc *d)
{
	return (d->hi & 0x1a00) == 0x1200;
}
static inline bool desc_is_readable(const struct desc *d) /* data or readable code */
{
	return (d->hi & 0x1000) && (!(d->hi & 0x800) || (d->hi & 0x200));
}
static inline uint32_t desc_base(const struct desc *d)
{
	return d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000);
}
uint32_t desc_limit(const struct desc *d);

static inline bool sel_is_null(uint16_t sel)
{
	return !(sel & ~3);
}
static inline unsigned seg_dpl(const struct segment *s)
{
	return (s->attr >> SEG_DPL_SHIFT) & 3;
}
/* A 32-bit TSS in TR? */
static inline bool tr_is_32(const struct cpu *cpu)
{
	return (cpu->tr.attr & SEG_TYPE_MASK & ~SYS_BUSY) == SYS_TSS32;
}

/* Reads the descriptor that sel names. False: null LDT, or outside the table's limit. May raise
 * #PF. */
bool desc_fetch(struct cpu *cpu, uint16_t sel, struct desc *ret);
/* The same; raises vector with sel's index and TI, or'ed with ext, when outside. */
void desc_fetch_or_raise(struct cpu *cpu, uint16_t sel, struct desc *ret, int vector, unsigned ext);
/* Sets the accessed bit of a code or data descriptor, in memory and in *d. May raise #PF. */
void desc_set_accessed(struct cpu *cpu, struct desc *d);
/* Sets or clears the busy bit of the TSS descriptor at linear. */
void desc_set_busy(struct cpu *cpu, uint32_t linear, bool busy);
/* Fills a segment from a descriptor; nothing is checked. */
void seg_from_desc(struct segment *s, uint16_t sel, const struct desc *d);
void seg_set_null(struct segment *s, uint16_t sel);
/* Hidden part for virtual-8086 mode. */
void seg_set_v86(struct segment *s, uint16_t sel);
/* Puts *s into SS and follows its B bit. */
void seg_set_ss(struct cpu *cpu, const struct segment *s);
/* May n bytes at off be accessed through s? Limits and rights only. */
bool seg_allows(
	const struct cpu *cpu, const struct segment *s, uint32_t off, unsigned size, bool write);
/* SS of an outer or inner stack (SDM vol. 2, RET, INT n): checks and reads it. vector: for all but
 * not-present (#SS). */
void seg_fetch_stack(
	struct cpu *cpu, uint16_t sel, unsigned cpl, int vector, unsigned ext, struct segment *ret);
/* After a return to an outer level: data segments that the new CPL may not use become null. */
void seg_drop_privileged(struct cpu *cpu);

/* A stack other than SS:ESP, or SS:ESP before it is committed. */
struct stack {
	struct segment seg;
	uint32_t esp; /* whole: in a 16-bit stack the high half stays as it was */
	bool user;    /* access rights: of CPL 3 */
	uint16_t err; /* error code of #SS */
};

void stack_current(struct cpu *cpu, struct stack *ret);
/* width 2 or 4; raise #SS(err), #PF */
void stack_push(struct cpu *cpu, struct stack *s, unsigned width, uint32_t val);
uint32_t stack_pop(struct cpu *cpu, struct stack *s, unsigned width);
void stack_skip(struct stack *s, int32_t n); /* moves esp by n bytes */
/* The stack for privilege level dpl, from the current TSS; raises #TS, #SS. */
void stack_from_tss(struct cpu *cpu, unsigned dpl, unsigned ext, struct stack *ret);

/* Code segment into CS: cpl, code32. sel's RPL is taken as given. */
void cs_commit(struct cpu *cpu, uint16_t sel, const struct desc *d, uint32_t eip, unsigned cpl);

/* ---- interrupts (excp.c) ---- */
/* VME's interrupt redirection: true if INT n goes to the 8086 program's own handler. */
bool v86_int_redirected(struct cpu *cpu, uint8_t vector);
void event_done(struct cpu *cpu); /* a control transfer by an event or a task switch ends STI/MOV SS
				     shadow and stepping */

/* ---- task switches (task.c) ---- */
enum task_cause { TASK_JMP, TASK_CALL, TASK_INT, TASK_IRET };

struct task_switch {
	enum task_cause cause;
	uint16_t sel;	  /* of the new TSS */
	struct desc desc; /* its descriptor, P and type checked */
	uint32_t eip;	  /* to be saved in the old TSS */
	uint32_t eflags;  /* to be saved in the old TSS */
	unsigned ext;
	bool has_err;
	uint32_t err; /* error code to be pushed */
};

void task_switch(struct cpu *cpu, const struct task_switch *ts);
/* Through a TSS descriptor that sel named (JMP, CALL), or a task gate at gate. vector's error code
 * is for bad TSS selectors. */
void task_switch_gate(struct cpu *cpu, const struct desc *gate, struct task_switch *ts);

/* Debug registers (debug.c) */
#define DR6_BD 0x00002000u
#define DR6_BS 0x00004000u
#define DR6_BT 0x00008000u
#define DR7_GD 0x00002000u

/* DR6 bits of code breakpoints at the next instruction, 0: none. */
uint32_t debug_check_code(const struct cpu *cpu);
/* A #DB with these DR6 bits is being delivered. */
void debug_enter_handler(struct cpu *cpu, uint32_t dr6_bits);
void debug_task_switched(struct cpu *cpu); /* local enables */
bool debug_has_code_breakpoint(const struct cpu *cpu);

static inline uint32_t eip_next(const struct cpu *cpu, const struct insn *in)
{
	uint32_t eip = cpu->eip + in->len;

	return cpu->code32 ? eip : eip & 0xffff;
}

#endif
