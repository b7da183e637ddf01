/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transcendentals to some 74 bits, in half the time of the full precision (fpu_fast.c). They return
 * false if that does not tell how the exact value rounds, or if the operands are special: then
 * nothing has happened. If they return true, result and flags are those of fpu_trans.c.
 */
#ifndef DEJAVM_FPU_FAST_H
#define DEJAVM_FPU_FAST_H

#include "fpu_arith.h"

bool fast_sincos(struct f80_env *e, struct f80 x, struct f80 *ret_sin, struct f80 *ret_cos);
bool fast_tan(struct f80_env *e, struct f80 x, struct f80 *ret);
bool fast_atan2(struct f80_env *e, struct f80 y, struct f80 x, struct f80 *ret);
bool fast_2xm1(struct f80_env *e, struct f80 x, struct f80 *ret);
bool fast_yl2x(struct f80_env *e, struct f80 x, struct f80 y, struct f80 *ret);

#endif
