/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of the i686 and what its parts offer each other. Manual references are to the Intel 64
 * and IA-32 Architectures Software Developer's Manual (SDM), volumes 1-3.
 *
 * Exceptions: a handler that meets a fault calls cpu_raise*(), which does not
 * return (longjmp to the engine). Until then it must not have changed
 * architectural state, so that the fault is precise. The engine then calls
 * excp_deliver(). A faulting instruction does not retire (icount is not raised).
 *
 * REP string instructions: the handler does one iteration and, if more are to
 * come, leaves cpu->eip on the instruction and sets cpu->rep_again; each iteration retires as one
 * instruction. (Bulk forms may do n iterations at once when n <= cpu_budget(), adding n - 1 to
 * icount themselves.)
 */
#ifndef DEJAVM_CPU_H
#define DEJAVM_CPU_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bus.h"
#include "insn.h"

enum reg { R_EAX, R_ECX, R_EDX, R_EBX, R_ESP, R_EBP, R_ESI, R_EDI };

/* EFLAGS (SDM vol. 1, 3.4.3) */
#define FL_CF	 0x00000001u
#define FL_ONE	 0x00000002u /* always 1 */
#define FL_PF	 0x00000004u
#define FL_AF	 0x00000010u
#define FL_ZF	 0x00000040u
#define FL_SF	 0x00000080u
#define FL_TF	 0x00000100u
#define FL_IF	 0x00000200u
#define FL_DF	 0x00000400u
#define FL_OF	 0x00000800u
#define FL_IOPL	 0x00003000u
#define FL_NT	 0x00004000u
#define FL_RF	 0x00010000u
#define FL_VM	 0x00020000u
#define FL_AC	 0x00040000u
#define FL_VIF	 0x00080000u
#define FL_VIP	 0x00100000u
#define FL_ID	 0x00200000u
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* The arithmetic flags in cpu->cc (flags.h) */
#define CC_OF	 0x0001u
#define CC_CF	 0x0100u
#define CC_PF	 0x0400u
#define CC_AF	 0x1000u
#define CC_ZF	 0x4000u
#define CC_SF	 0x8000u
#define CC_ARITH (CC_OF | CC_CF | CC_PF | CC_AF | CC_ZF | CC_SF)

#define CR0_PE 0x00000001u
#define CR0_MP 0x00000002u
#define CR0_EM 0x00000004u
#define CR0_TS 0x00000008u
#define CR0_ET 0x00000010u
#define CR0_NE 0x00000020u
#define CR0_WP 0x00010000u
#define CR0_AM 0x00040000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u

#define CR4_VME	       0x001u
#define CR4_PVI	       0x002u
#define CR4_TSD	       0x004u
#define CR4_DE	       0x008u
#define CR4_PSE	       0x010u
#define CR4_PAE	       0x020u
#define CR4_MCE	       0x040u
#define CR4_PGE	       0x080u
#define CR4_PCE	       0x100u
#define CR4_OSFXSR     0x200u
#define CR4_OSXMMEXCPT 0x400u

#define EFER_NXE 0x800u

/* Exception vectors (SDM vol. 3, table 6-1) */
enum excp {
	EXCP_DE = 0,
	EXCP_DB = 1,
	EXCP_NMI = 2,
	EXCP_BP = 3,
	EXCP_OF = 4,
	EXCP_BR = 5,
	EXCP_UD = 6,
	EXCP_NM = 7,
	EXCP_DF = 8,
	EXCP_TS = 10,
	EXCP_NP = 11,
	EXCP_SS = 12,
	EXCP_GP = 13,
	EXCP_PF = 14,
	EXCP_MF = 16,
	EXCP_AC = 17,
	EXCP_MC = 18,
	EXCP_XM = 19
};

/* Descriptor attributes as in the high word of a descriptor, bits 8-23 moved to 0-15 (like a VMCS's
 * access rights). */
#define SEG_TYPE_MASK 0x000fu
#define SEG_A	      0x0001u /* accessed */
#define SEG_W	      0x0002u /* data: writable; code: readable */
#define SEG_E	      0x0004u /* data: expand-down; code: conforming */
#define SEG_CODE      0x0008u
#define SEG_S	      0x0010u /* code or data, not system */
#define SEG_DPL_SHIFT 5
#define SEG_P	      0x0080u
#define SEG_AVL	      0x1000u
#define SEG_DB	      0x4000u
#define SEG_G	      0x8000u

/* A segment register with its hidden part. A null selector in DS..GS has attr 0: every access
 * faults. */
struct segment {
	/*
	 * Derived, by seg_update(): for the inline checks. An access of n bytes at off is surely
	 * allowed if off + n <= rd_end (read) or wr_end (write), in 64 bits; 0: take the slow path.
	 */
	uint64_t rd_end, wr_end;
	uint32_t base;
	uint32_t limit; /* in bytes, G applied: last valid offset (expand-down: last invalid one) */
	uint16_t attr;
	uint16_t sel;
	/* Derived, too: rd_end, wr_end are not 0. In this order: mem.h tests rd_ok and flat, or
	 * flat and wr_ok, with one load. */
	bool rd_ok;
	bool flat; /* base 0, limit 4 GiB - 1, expand-up */
	bool wr_ok;
};

struct desc_table {
	uint32_t base;
	uint16_t limit;
};

/* x87 and FXSR state: fpu.h */
struct fpu;
struct lapic;
struct mmu;
struct icache;
struct tcg;
struct tcache;
struct jump_entry;

#define CPU_MTRR_VAR   8
#define CPU_MTRR_FIXED 11

/* An XMM register: element 0 is the lowest. */
union xmm_reg {
	uint8_t b[16];
	uint16_t w[8];
	uint32_t d[4];
	uint64_t q[2];
	float f[4];
	double g[2];
} __attribute__((aligned(16)));

struct jump_entry;

struct cpu {
	union {
		uint32_t gpr[8];
		uint32_t gpr_z[9]; /* gpr_z[REG_NONE] is always 0: an absent base or index register
				    */
	};
	uint32_t eip;
	/*
	 * EFLAGS: the arithmetic flags (FL_ARITH) live in `cc`. They are valid in `eflags` only
	 * after flags_get(); all other bits are always valid there. Definitions in flags.h.
	 */
	uint32_t eflags;
	uint16_t cc; /* flags.h */

	/*
	 * The translator's (tb.h). fl_desc: offset of the recipe of the arithmetic flags, 0: cc has
	 * them; only while translated code runs is it another than 0.
	 */
	uint32_t fl_desc;
	uint32_t fl_slot[8];
	uint8_t fl_c;
	uint32_t tcg_exit, tcg_target;
	int64_t tcg_left;	  /* budget, as of the last exit */
	uint64_t tcg_gen;	  /* of the jump cache, in the upper half */
	uint32_t tcg_link_gen[2]; /* present generations of links: as icache's gen[] */
	struct jump_entry *jump_cache;
	uint64_t tcg_end; /* icount at which the budget is 0 */
	uint64_t tcg_tmp[4];
	struct tcg *tcg;       /* tcg.c's; NULL: no translator */
	struct tcache *tcache; /* tcache.c's, or NULL */
	uint8_t xmm_live;      /* (in translated code) the host's XMM0..7 are the guest's */
	uint8_t mxcsr_live; /* the host's MXCSR is the guest's, and newer than mxcsr: sse_park() */
	uint32_t fpu_ea[2]; /* of the x87's last memory operands, not in FDP yet */
	void *tcg_tramp;    /* back_tramp.c's */
	/* back_ret.c's: the stack of translated code, as of the last exit; empty; C's, meanwhile.
	 */
	uint8_t *ret_sp, *ret_top, *c_sp;
	bool tcg_returns;    /* to be used */
	uint64_t ret_missed; /* returns to elsewhere than was guessed */

	struct segment seg[6];
	uint8_t cpl;  /* 3 in virtual-8086 mode, 0 in real mode */
	bool code32;  /* CS.D (false in real and v86 mode unless the hidden part says so) */
	bool stack32; /* SS.B */
	bool halted;  /* after HLT: until an interrupt */
	/* No interrupt or debug trap before the next instruction has finished: after STI that set
	 * IF, MOV SS, POP SS. */
	uint8_t inhibit; /* CPU_INHIBIT_* */
	bool rep_again;	 /* see above */
	/* Set by whatever may make an interrupt, trap or mode change visible: the engine leaves its
	 * block and looks. */
	bool look;
	/*
	 * Boundaries, as icounts, so that excp_take_pending() may be called any number of times at
	 * one: where `inhibit` holds; where EFLAGS.RF was loaded (it lasts for one instruction);
	 * where EFLAGS.TF was seen (step_armed: the instruction that follows it is to be trapped).
	 */
	uint64_t inhibit_icount, rf_icount, step_icount;
	uint64_t rep_icount; /* between two iterations of a REP: that boundary */
	bool step_armed;

	uint64_t icount;      /* retired; during an instruction: without it. See cpu_icount() */
	uint64_t stop_icount; /* the engine stops between two instructions when icount gets here */
	uint64_t run_end;     /* cpu_run()'s limit */
	uint64_t run_limit;   /* engine.c: cpu_run()'s limit, or the local APIC timer's deadline if
				 that is earlier */
	/* Set by the engine before it runs code, valid while nothing marked E_SYNC has run: */
	void *tcg_base;	   /* what translated code finds memory by: run_tlb, or a window */
	uint8_t tcg_share; /* enum share_use (tb.h): may accesses of a block share look-ups? */
	uint64_t *run_tlb; /* of the CPL: table for reads, then table for writes (mem.h) */
	uint8_t run_key;   /* KEY_*, icache.h */
	uint64_t warp_ns;
	unsigned shift;

	union xmm_reg xmm[8];
	uint32_t mxcsr;
	uint32_t isa; /* ISA_* (sse.h): extensions that the model has */

	struct segment ldtr, tr; /* attr without SEG_P: null selector */
	struct desc_table gdtr, idtr;
	uint32_t cr0, cr2, cr3, cr4;
	uint32_t dr[8];	     /* dr[4], dr[5] unused; 6 and 7 with their fixed bits */
	bool dr_armed;	     /* some breakpoint of DR7 is enabled */
	uint32_t db_pending; /* DR6 bits of a debug trap to be taken after this instruction */
	uint64_t pdpte[4];   /* PAE: loaded by MOV CR3 and friends */
	uint64_t efer;
	uint32_t a20_mask; /* ~0 or ~(1 << 20) */

	/* MSRs */
	uint64_t tsc_offset; /* TSC = virtual ns * tsc_mhz / 1000 + offset, see msr.c */
	uint32_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t apic_base;
	uint64_t pat;
	uint64_t mtrr_def_type;
	uint64_t mtrr_fixed[CPU_MTRR_FIXED];
	uint64_t mtrr_base[CPU_MTRR_VAR], mtrr_mask[CPU_MTRR_VAR];
	uint64_t misc_enable;
	uint64_t mcg_status;
	const char *model;	 /* -cpu: the model's name, without added features */
	uint32_t cpuid_words[3]; /* features as CPUID tells them: enum cpuid_word (cpuid.h) */

	/* Lines from devices, as the last reply had them */
	bool intr; /* 8259 INTR */
	bool nmi_pending, nmi_blocked;
	bool reset_request;

	/* Delivery in progress, for double and triple faults (SDM vol. 3, 6.15) */
	int excp_vector; /* -1: none */
	bool delivering;
	uint64_t event_icount; /* how many events were delivered at this icount: a guest may go
				  round without retiring */
	uint32_t event_n;
	sigjmp_buf *catch_; /* where cpu_raise() goes */
	int raise_vector;
	uint32_t raise_err;
	bool raise_has_err;

	struct fpu *fpu; /* behind this struct: CPU_FPU_OFFSET, fpu.h */
	struct lapic *lapic;
	struct mmu *mmu;
	struct icache *icache;
	const struct cpu_bus *bus;
	void *bus_opaque;
	uint64_t n_excp[32], n_intr; /* counters */
};

#define CPU_INHIBIT_INTR 1 /* STI shadow: maskable interrupts */
#define CPU_INHIBIT_ALL	 2 /* MOV SS / POP SS shadow: also debug traps and NMI */

/*
 * The world outside. Calls block until devices have answered; the answer's flags, stop and warp
 * have been applied to the cpu (intr, stop_icount, warp_ns, a20_mask, ...; `look` set) on return.
 * vcpu/bus_client.c has the real one; tests bring their own.
 */
struct cpu_bus {
	uint32_t (*in)(struct cpu *cpu, uint16_t port, unsigned size);
	void (*out)(struct cpu *cpu, uint16_t port, unsigned size, uint32_t val);
	/*
	 * INS and OUTS: n elements of size bytes, the i-th at an icount of i more. Return how many
	 * were done, 1..n: fewer when something happened that has to be looked at before the next.
	 */
	uint32_t (*ins)(struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, void *buf);
	uint32_t (*outs)(
		struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, const void *buf);
	uint64_t (*mmio_read)(struct cpu *cpu, uint32_t gpa, unsigned size);
	void (*mmio_write)(struct cpu *cpu, uint32_t gpa, unsigned size, uint64_t val);
	uint8_t (*intack)(struct cpu *cpu);	      /* 8259 */
	void (*eoi)(struct cpu *cpu, uint8_t vector); /* level-triggered EOI */
	void (*triple_fault)(struct cpu *cpu);
};

/* ---- life (cpu.c) ---- */
/* model: as cpu_model_check() takes it. NULL: no memory, or that was not asked. */
struct cpu *cpu_new(const struct cpu_bus *bus, void *opaque, const char *model, unsigned shift);
void cpu_free(struct cpu *cpu);
/*
 * Makes cpu what it was before it ran: as cpu_new() makes one of this model, which must exist, with
 * its bus, physical map, code map and translator as they are. Nothing that has run is left, neither
 * in counters nor in caches; only memory is kept, which makes it much faster than a new one. Not
 * while it runs.
 */
void cpu_renew(struct cpu *cpu, const char *model);
/* RESET# (SDM vol. 3, table 9-1): CS:EIP = F000:FFF0, base FFFF0000. icount and warp go on. */
void cpu_reset(struct cpu *cpu);

/* ---- engine (engine.c): runs between checkpoints ---- */
enum cpu_exit {
	CPU_EXIT_STOP,	/* icount == stop_icount */
	CPU_EXIT_HALT,	/* halted, no deliverable interrupt */
	CPU_EXIT_RESET, /* reset_request was set (by a reply); the instruction is finished */
};
/* Runs until icount == min(limit, cpu->stop_icount as it is at each moment) or another exit. */
enum cpu_exit cpu_run(struct cpu *cpu, uint64_t limit);
/* icount as of now, inside a handler: instructions retired before this one. */
static inline uint64_t cpu_icount(const struct cpu *cpu)
{
	return cpu->icount;
}
/* Instructions (REP iterations) that this instruction may still retire, itself included: >= 1. */
uint64_t cpu_budget(const struct cpu *cpu);
static inline uint64_t cpu_vtime_ns(const struct cpu *cpu)
{
	return (cpu->icount << cpu->shift) + cpu->warp_ns;
}

/* ---- faults (excp.c) ---- */
_Noreturn void cpu_raise(struct cpu *cpu, int vector);
_Noreturn void cpu_raise_err(struct cpu *cpu, int vector, uint32_t err);
/* #PF: sets CR2. err bits: P W U RSVD I (SDM vol. 3, 4.7) */
_Noreturn void cpu_raise_pf(struct cpu *cpu, uint32_t linear, uint32_t err);
/* Delivers the exception in raise_*, with double and triple fault rules. Called by the engine after
 * a catch. */
void excp_deliver_raised(struct cpu *cpu);
/*
 * If an interrupt, NMI, debug trap or code breakpoint is due at this boundary, delivers it and
 * returns true (also wakes from HLT). To be called at a boundary when `look` is set; clears `look`,
 * or leaves it set if the next boundary needs a look as well (single step, inhibition, RF, code
 * breakpoints): then the engine runs one instruction. Catches all faults of the delivery itself.
 */
bool excp_take_pending(struct cpu *cpu);
/* Would excp_take_pending() deliver something that ends HLT now? Changes nothing. */
bool excp_wakes(const struct cpu *cpu);
/* Does an interrupt wait that is delivered once IF is set? */
bool excp_intr_waits(const struct cpu *cpu);
/* After excp_take_pending(): is EFLAGS.RF all that the next boundary is looked at for? It stays set
 * between the iterations of a REP. */
bool excp_only_rf(const struct cpu *cpu);
/* INT n, INT3, INTO, INT1: kind as below; the pushed eip is that of the next instruction. */
enum int_kind { INT_SOFT, INT_SOFT_BP /* INT3, INTO */, INT_ICEBP, INT_HARD };
void excp_software_int(struct cpu *cpu, const struct insn *in, uint8_t vector, enum int_kind kind);

/* ---- segmentation (seg.c) ---- */
void seg_update(struct segment *s); /* the derived members, from base, limit, attr */
/* Loads a data segment register or SS (not CS) by the rules of the current mode; may raise. */
void seg_load(struct cpu *cpu, enum seg seg, uint16_t sel);
/* Real and v86 mode style: base = sel << 4. */
void seg_load_real(struct cpu *cpu, enum seg seg, uint16_t sel);
/* After a change of CR0.PE, EFLAGS.VM or CS: cpl, code32, stack32, and the icache's key. */
void seg_mode_changed(struct cpu *cpu);
/* Slow path of the limit and rights check; raises #GP(0)/#SS(0) if the access is not allowed. */
void seg_check(struct cpu *cpu, enum seg seg, uint32_t off, unsigned size, bool write);
static inline bool cpu_protected(const struct cpu *cpu) /* protected mode, not v86 */
{
	return (cpu->cr0 & CR0_PE) && !(cpu->eflags & FL_VM);
}
static inline bool cpu_v86(const struct cpu *cpu)
{
	return (cpu->eflags & FL_VM) != 0;
}
static inline unsigned cpu_iopl(const struct cpu *cpu)
{
	return (cpu->eflags & FL_IOPL) >> 12;
}
/* I/O permission: IOPL and the TSS's bit map; raises #GP(0) (SDM vol. 1, 19.5). */
void cpu_check_io(struct cpu *cpu, uint16_t port, unsigned size);

/* ---- debug registers (debug.c; SDM vol. 3, ch. 17) ---- */
/* DR0-DR7 as MOV DR writes them (n 0-3, 6, 7); fixed bits applied, dr_armed updated. */
void debug_write_dr(struct cpu *cpu, unsigned n, uint32_t val);
/* To be called, while dr_armed, after a data access was done: a match becomes a trap at the next
 * boundary. */
void debug_check_data(struct cpu *cpu, uint32_t linear, unsigned size, bool write);
void debug_check_io(
	struct cpu *cpu, uint16_t port, unsigned size); /* IN, OUT, INS, OUTS, after the access */
/* A data breakpoint lies in this page: accesses to it must come to debug_check_data(). */
bool debug_watches_page(const struct cpu *cpu, uint32_t linear);

/* ---- memory (mem.h has the inline hit paths; mmu.c the rest) ---- */
/* Guest-virtual, with segment: checked, translated at the current CPL. */
/* uint8_t mem_read8(cpu, seg, off) ... see mem.h */
void mmu_flush(struct cpu *cpu, bool keep_global);
void mmu_invlpg(struct cpu *cpu, uint32_t linear);
/* After CR0/CR3/CR4/EFER/a20 writes: reloads PDPTEs where due (may raise #GP), flushes what must be
 * flushed. */
void mmu_mode_changed(struct cpu *cpu);
int mmu_load_pdptes(struct cpu *cpu, uint32_t cr3); /* -EINVAL: reserved bits set, nothing loaded */

/* ---- flags (flags.c/flags.h) ---- */
uint32_t flags_get(struct cpu *cpu);		  /* materialises: whole EFLAGS, also stored */
void flags_set(struct cpu *cpu, uint32_t eflags); /* whole EFLAGS as given (caller has masked by
						     privilege); sets look if TF/IF/VM changed */

/* ---- x87 (fpu.h, fpu*.c) ---- */
void fpu_reset(struct cpu *cpu); /* state after RESET# */
/* Executes D8..DF, FWAIT: raises #NM, #MF as due (also FERR# is not wired: CR0.NE=0 gives IRQ 13
 * through port F0 emulation in devices, docs). */
void fpu_esc(struct cpu *cpu, const struct insn *in);
/* What the interpreter calls for such an instruction: fpu_esc, or a faster form of it. */
insn_fn fpu_handler(uint8_t op, uint8_t modrm);
void fpu_wait(struct cpu *cpu, const struct insn *in);
void fpu_fxsave(struct cpu *cpu, const struct insn *in);
void fpu_fxrstor(struct cpu *cpu, const struct insn *in);
uint64_t fpu_digest(const struct cpu *cpu);

/* ---- local APIC (lapic.c) ---- */
struct lapic *lapic_new(struct cpu *cpu);
void lapic_reset(struct cpu *cpu);
uint32_t lapic_read(struct cpu *cpu, uint32_t off);
void lapic_write(struct cpu *cpu, uint32_t off, uint32_t val);
bool lapic_enabled(const struct cpu *cpu);	 /* globally, by IA32_APIC_BASE */
bool lapic_accepts_pic(const struct cpu *cpu);	 /* LINT0 unmasked as ExtINT, or APIC disabled */
int lapic_pending_vector(const struct cpu *cpu); /* highest deliverable, -1: none */
int lapic_acknowledge(struct cpu *cpu);		 /* moves it from IRR to ISR */
void lapic_message(struct cpu *cpu, const struct apic_msg *m);
uint64_t lapic_deadline_ns(const struct cpu *cpu); /* timer, BUS_NEVER if none */
uint64_t lapic_deadline_icount(
	const struct cpu *cpu);	       /* the icount at which it is reached, BUS_NEVER if none */
void lapic_run_timer(struct cpu *cpu); /* fires what is due at cpu_vtime_ns() */
void lapic_nmi_line(struct cpu *cpu);  /* an edge on LINT1: an NMI, if LINT1 says so */
uint64_t lapic_digest(const struct cpu *cpu);

/* ---- CPUID, MSRs (cpuid.c, msr.c) ---- */
void cpuid_query(const struct cpu *cpu, uint32_t leaf, uint32_t sub,
	uint32_t ret[4]);				       /* eax, ebx, ecx, edx */
bool cpuid_has(const struct cpu *cpu, unsigned feature);       /* cpuid.h names them */
void msr_read(struct cpu *cpu, uint32_t index, uint64_t *ret); /* raises #GP(0) */
void msr_write(struct cpu *cpu, uint32_t index, uint64_t val); /* raises #GP(0) */
uint64_t cpu_tsc(const struct cpu *cpu);
uint64_t msr_digest(const struct cpu *cpu);

#endif
