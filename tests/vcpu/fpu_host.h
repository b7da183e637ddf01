/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs one x87 instruction twice from the same state: on the FPU under test and on the host's own
 * x87, by FRSTOR, the instruction, FNSAVE in a page of machine code. For tests only; x86-64 hosts
 * only.
 */
#ifndef DEJAVM_TEST_FPU_HOST_H
#define DEJAVM_TEST_FPU_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include "cpu.h"
#include "flags.h"
#include "fpu.h"

#define MEM_LEN	 128
#define MEM_BASE 256 /* where the operand lies in fake_mem */

/* What an instruction reads and writes. */
struct fpu_state {
	uint8_t image[108]; /* FNSAVE, 32-bit protected format */
	uint8_t mem[MEM_LEN];
	uint32_t eflags;
	uint32_t eax;
	uint32_t fip_rel; /* after: 0 if FIP is the instruction's, else 1 */
	uint32_t fdp_rel; /* after: 0 if FDP is the operand's, else 1 */
	int vector;	  /* exception raised, -1: none */
};

extern struct cpu *test_cpu;

void host_init(void);
/* To be called in each test that uses host_run(): cmocka takes the signals for itself. */
void host_catch(void);
/* modrm of a memory form: mod 0, rm 6. false: the host has no such instruction (SIGILL) */
bool host_run(struct fpu_state *s, uint8_t op, uint8_t modrm);
void sim_run(struct fpu_state *s, uint8_t op, uint8_t modrm);
/* Runs fn under a catch; the vector raised or -1. */
int sim_catch(void (*fn)(struct cpu *, const struct insn *), const struct insn *in);
void sim_insn(struct insn *in, uint8_t op, uint8_t modrm);
void sim_load(const struct fpu_state *s);
void sim_store(struct fpu_state *s);

uint64_t rnd(void);
void rnd_seed(uint64_t seed);
struct f80 rnd_f80(void); /* of all classes */
/* Random control word, status, tags, registers. full: the share of full registers, in 8ths */
void rnd_state(struct fpu_state *s, unsigned full);
struct f80 image_st(const struct fpu_state *s, unsigned i);
void image_set_st(struct fpu_state *s, unsigned i, struct f80 v);
unsigned image_word(const struct fpu_state *s, unsigned i); /* 0 CW, 1 SW, 2 tags */
void image_set_word(struct fpu_state *s, unsigned i, unsigned v);
void state_print(const char *title, const struct fpu_state *s);

#endif
