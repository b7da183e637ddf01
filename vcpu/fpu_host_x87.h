/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's x87 by hand: single instructions for the files that keep the guest's state there
 * (fpu_live.c). Not while that state is at home.
 */
#ifndef DEJAVM_FPU_HOST_X87_H
#define DEJAVM_FPU_HOST_X87_H

#include "fpu_arith.h"

#if defined(__x86_64__) && !defined(DEJAVM_PORTABLE)

/* FNSTENV's image (SDM vol. 1, figure 8-9) */
struct env {
	uint32_t cw, sw, tags, ip, ip_sel, dp, dp_sel;
};

/* ORs bits into the host's status word. */
static inline void host_set_sw(unsigned bits)
{
	struct env e;

	__asm__ volatile("fnstenv %0" : "=m"(e));
	e.sw |= bits;
	__asm__ volatile("fldenv %0" : : "m"(e));
}

static inline unsigned host_sw(void)
{
	uint16_t sw;

	__asm__ volatile("fnstsw %0" : "=a"(sw));
	return sw;
}

static inline void host_push(struct f80 x)
{
	uint64_t m = x.m;
	uint16_t se = x.se;
	struct f80 in;

	/* Stored as it is loaded, in two parts: a copy as a whole would have to wait for them. */
	__asm__("" : "+r"(m), "+r"(se));
	in.m = m;
	in.se = se;
	__asm__ volatile("fldt %0" : : "m"(in));
}

/* A real indefinite, IE and SF if the register is empty. */
static inline struct f80 host_pop(void)
{
	struct f80 x;

	__asm__ volatile("fstpt %0" : "=m"(x));
	return x;
}

#endif
#endif
