/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests that call parts of the CPU directly: what a call raised.
 *
 *	assert_int_equal(RAISED(vm->cpu, msr_write(vm->cpu, 0x277, 2)), EXCP_GP);
 */
#ifndef DEJAVM_SYS_TEST_H
#define DEJAVM_SYS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "harness.h"

/* The vector that statement raised in c, or -1. The error code is in c->raise_err. */
#define RAISED(c, ...)                               \
	({                                           \
		sigjmp_buf here_;                    \
		volatile int vector_ = -1;           \
		(c)->catch_ = &here_;                \
		if (sigsetjmp(here_, 0))             \
			vector_ = (c)->raise_vector; \
		else                                 \
			__VA_ARGS__;                 \
		(c)->catch_ = NULL;                  \
		(int)vector_;                        \
	})

/* splitmix64 */
static inline uint64_t rnd64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#endif
