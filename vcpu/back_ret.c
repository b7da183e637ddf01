/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's return-address predictor: a guest's CALL is the host's, and a guest's RET
 * is the host's, so that the host's own predictor of returns knows where it goes.
 *
 * Translated code has a stack of its own for that. What is on it are guesses: behind each call
 * there is a pad, which compares the address that the guest has really popped (H_PTR) with the
 * one that it is for, and goes on with the block behind the guest's CALL, by an edge, or looks
 * in the jump cache, as any indirect jump does. So nothing on the stack can make the guest go
 * wrong, as long as
 *
 *  - it is an address of a pad, or of what is below it all (back_tramp.ret_empty). Memory of code
 *    is used again only after back_drop_returns(); pads of dead blocks lead to C, as their edges
 *    have no links;
 *  - the pad's edge may be followed: under the key, and the generations of links, that it was
 *    pushed under. When these change, the stack is dropped (tcg_sync_generations()).
 *
 * Calls that do not return leave their entries behind. When the stack is full, the host's CALL
 * faults below it, and begins anew on an empty one.
 */
#include "back_int.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "log.h"

#define STACK_LEN   (64u << 10) /* 8192 calls */
#define STACK_GUARD 4096u	/* bytes below it */

/* Where the mapping begins. */
static uint8_t *guard_of(const struct cpu *cpu)
{
	return cpu->ret_top + sizeof(uint64_t) - STACK_LEN - STACK_GUARD;
}

int back_ret_init(struct cpu *cpu)
{
	uint8_t *p = mmap(NULL, STACK_GUARD + STACK_LEN, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	if (mprotect(p, STACK_GUARD, PROT_NONE) < 0) {
		munmap(p, STACK_GUARD + STACK_LEN);
		return -1;
	}
	cpu->ret_top = p + STACK_GUARD + STACK_LEN - sizeof(uint64_t);
	cpu->ret_sp = cpu->ret_top;
	return 0;
}

void back_ret_free(struct cpu *cpu)
{
	if (cpu->ret_top)
		munmap(guard_of(cpu), STACK_GUARD + STACK_LEN);
	cpu->ret_top = cpu->ret_sp = NULL;
}

void back_ret_bottom(struct cpu *cpu, const uint8_t *empty)
{
	uint64_t to = (uintptr_t)empty;

	memcpy(cpu->ret_top, &to, sizeof(to));
}

void back_drop_returns(struct cpu *cpu)
{
	cpu->ret_sp = cpu->ret_top;
}

bool back_fault(struct cpu *cpu, const siginfo_t *si, ucontext_t *uc)
{
	if (!cpu->ret_top || (uintptr_t)si->si_addr - (uintptr_t)guard_of(cpu) >= STACK_GUARD)
		return false;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)cpu->ret_top;
	return true;
}

/* ---- what is emitted ---- */

/* Room for an edge that compares a generation and sets no flags: CMP, JNE, SUB, JNS, JMP. */
#define PAD_EDGE_LEN (11 + 6 + 4 + 6 + 5)

/* To be emitted right behind a call of the host's, whose return address it is. */
void emit_pad(struct back *k)
{
	uint32_t eip = k->ir->insn_eip[k->op->insn + 1];
	struct xasm *a = &k->a;
	struct tb_edge *e = edge_plain(k, eip);
	uint8_t *at;

	if (!e)
		return;
	x_alu_rm_i(a, 4, X_CMP, x_r(H_PTR), eip);
	at = x_jcc(a, X_NE);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->ret_missed);
	place_edge(k, e, PAD_EDGE_LEN);
}

/* A call to the instruction behind it is no call: it asks where it is. */
bool is_call(const struct back *k, const struct ir_op *op)
{
	if (!k->returns || op->dst != IR_CALL)
		return false;
	return op->op == IR_JMPR || op->imm != k->ir->insn_eip[op->insn + 1];
}
