/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens at boundaries: pending events and their order, and faults in the middle of a
 * delivery. */
#include "sys_test.h"

#include <string.h>

static struct vm *vm;
static struct cpu *cpu;

static int setup(void **state)
{
	vm = vm_new(VM_PROT32);
	cpu = vm->cpu;
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

static int stub_of(uint32_t eip)
{
	return eip >= VM_STUBS ? (int)(eip - VM_STUBS) / 16 : -1;
}

/* Looks at the boundary; the vector whose handler is entered, or -1. */
static int take(void)
{
	uint32_t eip = cpu->eip;

	cpu->look = true;
	if (!excp_take_pending(cpu)) {
		assert_int_equal(cpu->eip, eip);
		return -1;
	}
	return stub_of(cpu->eip);
}

static void retire(void)
{
	cpu->icount++;
}

/* ---- order (SDM vol. 3, table 6-2) ---- */

static void test_order(void **state)
{
	cpu->eip = VM_CODE;
	cpu->icount = 100;
	cpu->eflags |= FL_IF;
	cpu->intr = true;
	cpu->nmi_pending = true;
	cpu->db_pending = 1 << 14;
	assert_int_equal(take(), EXCP_DB);
	assert_int_equal(cpu->dr[6] & 0x4000, 0x4000);
	assert_int_equal(take(), EXCP_NMI);
	assert_true(cpu->nmi_blocked);
	assert_int_equal(take(), -1); /* the gates cleared IF */
	cpu->eflags |= FL_IF;
	assert_int_equal(take(), 0x20); /* the harness's INTACK */
	/* a second NMI waits for IRET */
	cpu->nmi_pending = true;
	assert_int_equal(take(), -1);
	cpu->nmi_blocked = false;
	assert_int_equal(take(), EXCP_NMI);
	assert_int_equal(cpu->n_excp[EXCP_NMI], 2);
	assert_int_equal(cpu->n_intr, 1);
}

static void test_reset_first(void **state)
{
	cpu->nmi_pending = true;
	cpu->reset_request = true;
	assert_int_equal(take(), -1);
	assert_true(cpu->look);
	assert_true(cpu->nmi_pending);
}

static void test_apic_before_pic(void **state)
{
	cpu->eip = VM_CODE;
	cpu->eflags |= FL_IF;
	lapic_write(cpu, 0xf0, 0x1ff);
	lapic_write(cpu, 0x350, 0x700);
	lapic_write(cpu, 0x300, 0x40021);
	cpu->intr = true;
	assert_int_equal(take(), 0x21);
	cpu->eflags |= FL_IF;
	assert_int_equal(take(), 0x20);
	lapic_write(cpu, 0x350, 0x10700); /* LINT0 masked: the 8259 is not heard */
	cpu->eflags |= FL_IF;
	assert_int_equal(take(), -1);
	assert_false(cpu->look);
}

/* ---- inhibition ---- */

static void test_inhibit(void **state)
{
	cpu->eip = VM_CODE;
	cpu->icount = 10;
	cpu->eflags |= FL_IF;
	cpu->intr = true;
	cpu->inhibit = CPU_INHIBIT_INTR;
	cpu->inhibit_icount = 10;
	for (int i = 0; i < 3; i++) { /* any number of looks at one boundary */
		assert_int_equal(take(), -1);
		assert_true(cpu->look);
	}
	cpu->nmi_pending = true; /* STI does not hold back NMIs */
	assert_int_equal(take(), EXCP_NMI);
	assert_int_equal(cpu->inhibit, 0);
	cpu->nmi_blocked = false;
	cpu->eflags |= FL_IF;
	cpu->inhibit = CPU_INHIBIT_ALL;
	cpu->inhibit_icount = 10;
	cpu->nmi_pending = true;
	cpu->db_pending = 1;
	assert_int_equal(take(), -1);
	retire();
	assert_int_equal(take(), EXCP_DB);
	assert_int_equal(take(), EXCP_NMI);
}

/* ---- single step and RF ---- */

static void test_step(void **state)
{
	cpu->eip = VM_CODE;
	cpu->icount = 10;
	cpu->eflags |= FL_TF;
	for (int i = 0; i < 3; i++)
		assert_int_equal(take(), -1);
	assert_true(cpu->look);
	retire();
	assert_int_equal(take(), EXCP_DB);
	assert_int_equal(cpu->eflags & FL_TF, 0);
	assert_false(cpu->step_armed);
	/* TF that is cleared by the stepped instruction still traps */
	cpu->eflags |= FL_TF;
	assert_int_equal(take(), -1);
	cpu->eflags &= ~FL_TF;
	retire();
	assert_int_equal(take(), EXCP_DB);
	/* MOV SS swallows it */
	cpu->eflags |= FL_TF;
	assert_int_equal(take(), -1);
	retire();
	cpu->inhibit = CPU_INHIBIT_ALL;
	cpu->inhibit_icount = cpu->icount;
	assert_int_equal(take(), -1);
	retire();
	assert_int_equal(take(), EXCP_DB);
}

static void test_rf(void **state)
{
	cpu->eip = VM_CODE;
	cpu->icount = 10;
	debug_write_dr(cpu, 0, VM_CODE);
	debug_write_dr(cpu, 7, 2);
	assert_int_equal(take(), EXCP_DB);
	cpu->eip = VM_CODE;
	cpu->eflags |= FL_RF;
	cpu->rf_icount = 10;
	assert_int_equal(take(), -1);
	assert_int_equal(take(), -1);
	retire(); /* between iterations RF lasts */
	cpu->rep_icount = cpu->icount;
	assert_int_equal(take(), -1);
	retire();
	assert_int_equal(take(), EXCP_DB);
	assert_int_equal(cpu->dr[6] & 15, 1);
}

/* ---- double and triple faults (SDM vol. 3, table 6-5) ---- */

enum { CONTRIBUTORY = 1, PAGE = 2 };

static int class_of(int v)
{
	if (v == EXCP_PF)
		return PAGE;
	return v == EXCP_DE || v == EXCP_TS || v == EXCP_NP || v == EXCP_SS || v == EXCP_GP
		       ? CONTRIBUTORY
		       : 0;
}

static void gate_present(int vector, bool present)
{
	uint8_t *p = vm->ram + VM_IDT + vector * 8 + 5;

	*p = present ? *p | 0x80 : *p & 0x7f;
}

static void raise(int vector)
{
	cpu->raise_vector = vector;
	cpu->raise_has_err = vector == EXCP_DF || (vector >= EXCP_TS && vector <= EXCP_PF);
	cpu->raise_err = 0;
	cpu->eip = VM_CODE;
	cpu->gpr[R_ESP] = VM_STACK;
	cpu->eflags |= FL_IF;
	excp_deliver_raised(cpu);
}

/* The first's gate is not present: the second is #NP. */
static void test_double(void **state)
{
	static const uint8_t firsts[] = { 0, 1, 3, 4, 5, 6, 7, 10, 12, 13, 14, 16, 17, 18, 19 };

	for (unsigned i = 0; i < sizeof(firsts); i++) {
		int first = firsts[i];

		gate_present(first, false);
		raise(first);
		assert_int_equal(stub_of(cpu->eip), class_of(first) ? EXCP_DF : EXCP_NP);
		uint32_t err;
		memcpy(&err, vm->ram + cpu->gpr[R_ESP], 4);
		assert_int_equal(err, class_of(first) ? 0 : (uint32_t)first * 8 + 3);
		gate_present(first, true);
		assert_false(vm->shutdown);
		assert_int_equal(cpu->excp_vector, -1);
		assert_false(cpu->delivering);
	}
}

static void test_triple(void **state)
{
	gate_present(EXCP_GP, false);
	gate_present(EXCP_DF, false);
	raise(EXCP_GP);
	assert_true(vm->shutdown);
	assert_true(cpu->reset_request);
}

/* An interrupt whose delivery faults is not contributory: the fault itself is delivered, with EXT.
 */
static void test_interrupt_fault(void **state)
{
	uint32_t err;

	gate_present(0x20, false);
	cpu->eip = VM_CODE;
	cpu->eflags |= FL_IF;
	cpu->intr = true;
	assert_int_equal(take(), EXCP_NP);
	memcpy(&err, vm->ram + cpu->gpr[R_ESP], 4);
	assert_int_equal(err, 0x20 * 8 + 3);
	/* outside of the IDT */
	cpu->idtr.limit = 0x20 * 8;
	cpu->eflags |= FL_IF;
	assert_int_equal(take(), EXCP_GP);
}

/* Page faults during delivery: on the stack, on the IDT */
static void test_page_faults(void **state)
{
	vm_paging(vm, false);
	*vm_pte(vm, VM_STACK - 4) &= ~1u;
	mmu_flush(cpu, false);
	raise(EXCP_UD); /* benign, then #PF: on the same bad stack a double and a triple fault */
	assert_true(vm->shutdown);
	vm->shutdown = false;
	cpu->reset_request = false;
	/* from ring 3 the stack is another */
	vm_user(vm);
	cpu->raise_vector = EXCP_UD;
	cpu->raise_has_err = false;
	cpu->eip = VM_CODE;
	excp_deliver_raised(cpu);
	assert_int_equal(stub_of(cpu->eip), EXCP_UD);
	assert_int_equal(cpu->cpl, 0);
	vm_mode_set(vm, VM_PROT32);
	*vm_pte(vm, VM_STACK - 4) |= 1;
	*vm_pte(vm, VM_IDT) &= ~1u;
	mmu_flush(cpu, false);
	raise(EXCP_DE);
	assert_true(vm->shutdown);
	assert_int_equal(cpu->cr2 >> 12, VM_IDT >> 12);
}

/* #AC on the way to the handler of #AC, for ever: a shutdown, not a hang. */
static void test_endless(void **state)
{
	static const uint64_t conforming = 0x00cf9f000000ffff;
	static const uint8_t vectors[] = { EXCP_UD, EXCP_AC };

	memcpy(vm->ram + VM_GDT + VM_SEL_CODE16, &conforming, 8);
	for (int i = 0; i < 2; i++)
		vm->ram[VM_IDT + vectors[i] * 8 + 2] = VM_SEL_CODE16;
	vm_asm(vm, "\x0f\x0b");
	vm_user(vm);
	cpu->cr0 |= CR0_AM;
	cpu->gpr[R_ESP] = VM_STACK - 3;
	/* Without AC the same works: the handler's HLT is reached, in ring 3. */
	assert_int_equal(vm_run(vm, 10), EXCP_GP);
	assert_int_equal(vm->frame[1], VM_STUBS + EXCP_UD * 16);
	assert_int_equal(vm->frame[2], VM_SEL_CODE16 | 3);
	vm_asm(vm, "\x0f\x0b");
	vm_user(vm);
	cpu->gpr[R_ESP] = VM_STACK - 3;
	flags_set(cpu, cpu->eflags | FL_AC);
	assert_int_equal(vm_run(vm, 10), VM_SHUTDOWN);
	assert_true(vm->shutdown);
}

/* Handlers that never retire an instruction. */
static void test_standstill(void **state)
{
	/* the handler of #UD is UD2; its stack is ROM-like: nothing is mapped there */
	memcpy(vm->ram + VM_STUBS + EXCP_UD * 16, "\x0f\x0b", 2);
	vm_asm(vm, "\x0f\x0b");
	cpu->gpr[R_ESP] = 0xc0000000;
	assert_int_equal(vm_run(vm, 1000), VM_SHUTDOWN);
	cpu->reset_request = vm->shutdown = false;
	/* a code breakpoint on the handler of #DB */
	vm_asm(vm, "\x90\x90");
	debug_write_dr(cpu, 0, VM_CODE + 1);
	debug_write_dr(cpu, 1, VM_STUBS + EXCP_DB * 16);
	debug_write_dr(cpu, 7, 0xa);
	assert_int_equal(vm_run(vm, 1000), VM_SHUTDOWN);
	assert_true(vm->shutdown);
}

/* ---- HLT ---- */

static void test_wake(void **state)
{
	vm_asm(vm, "\xfb\xf4\x90"); /* STI; HLT; NOP */
	assert_int_equal(vm_run(vm, 10), VM_HLT);
	assert_true(cpu->halted);
	assert_false(excp_wakes(cpu));
	cpu->intr = true;
	assert_true(excp_wakes(cpu));
	cpu->look = true;
	assert_int_equal(vm_run(vm, 10), 0x20);
	assert_int_equal(vm->frame[0], VM_CODE + 2);
}

/* excp_wakes() says exactly what excp_take_pending() then does, whatever the state. */
static void test_wakes_agrees(void **state)
{
	uint64_t seed = 1;
	unsigned woken = 0;

	for (int i = 0; i < 20000; i++) {
		uint64_t r = rnd64(&seed);
		bool wakes, taken;

		vm_mode_set(vm, VM_PROT32);
		cpu->eip = VM_CODE;
		cpu->halted = true;
		cpu->icount = 1000;
		cpu->eflags =
			FL_ONE | (r & 1 ? FL_IF : 0) | (r & 2 ? FL_TF : 0) | (r & 4 ? FL_RF : 0);
		cpu->intr = r & 8;
		cpu->nmi_pending = r & 16;
		cpu->nmi_blocked = r & 32;
		cpu->inhibit = r >> 6 & 3;
		cpu->inhibit_icount = r & 256 ? 1000 : 999;
		cpu->step_armed = r & 512;
		cpu->step_icount = r & 1024 ? 1000 : 999;
		cpu->db_pending = (r >> 11 & 3) == 3 ? 2 : 0;
		cpu->rf_icount = r & 0x4000 ? 1000 : 999;
		lapic_reset(cpu);
		lapic_write(cpu, 0x350, r & 0x8000 ? 0x10700 : 0x700);
		if (r & 0x10000) {
			lapic_write(cpu, 0xf0, 0x1ff);
			lapic_write(cpu, 0x350, r & 0x8000 ? 0x10700 : 0x700);
		}
		if ((r >> 17 & 3) == 3)
			lapic_write(cpu, 0x300, 0x40025);
		wakes = excp_wakes(cpu);
		taken = excp_take_pending(cpu);
		assert_int_equal(wakes, taken);
		assert_int_equal(cpu->halted, !taken);
		/* no look is wanted when nothing can come by itself */
		if (!taken && cpu->look)
			assert_true(cpu->inhibit || cpu->eflags & (FL_TF | FL_RF) ||
				    cpu->step_armed || cpu->db_pending);
		woken += taken;
	}
	assert_in_range(woken, 5000, 19000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_order),
		T(test_reset_first),
		T(test_apic_before_pic),
		T(test_inhibit),
		T(test_step),
		T(test_rf),
		T(test_double),
		T(test_triple),
		T(test_interrupt_fault),
		T(test_page_faults),
		T(test_endless),
		T(test_standstill),
		T(test_wake),
		T(test_wakes_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
