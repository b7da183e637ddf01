/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transcendental instructions (SDM vol. 1, 8.3.7 to 8.3.10) while the guest's state is in the
 * host's x87: operands are popped, the result is computed by our own functions (fpu_trans.c) and
 * pushed.
 */
#include "fpu.h"
#include "fpu_host_x87.h"
#include "fpu_int.h"

#if defined(__x86_64__) && !defined(DEJAVM_PORTABLE)

#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

/*
 * Whatever the computation has flagged; C1 is not carried to the host, most likely the next
 * instruction sets it anyway. sw: as it was before.
 */
static bool done(struct fpu *f, unsigned sw, unsigned flags)
{
	if (unlikely(flags & SW_EXCPS & ~sw))
		host_set_sw(flags & SW_EXCPS);
	f->live = flags & SW_C1 ? FPU_LIVE_C1 : FPU_LIVE;
	return true;
}

/*
 * Clears C2, with room for a register: FXAM tells what class a value has in C3, C2 and C0, so there
 * is one for each that they may be (SDM vol. 1, table 8-7). sw: status word as it was.
 */
static void clear_c2(unsigned sw)
{
	struct f80 x = f80_make(false, 1, 0); /* unsupported: none of them */

	if ((sw & (SW_C3 | SW_C0)) == (SW_C3 | SW_C0)) {
		/* Empty, as is the register below the top. */
		__asm__ volatile("fdecstp\n\tfxam\n\tfincstp" : :);
		return;
	}
	if (sw & SW_C3)
		x = f80_zero(false);
	else if (sw & SW_C0)
		x = f80_indefinite();
	host_push(x);
	__asm__ volatile("fxam\n\tfstp %%st(0)" : :);
}

/* An empty register gives the indefinite, and says so. SF was clear. */
static inline bool was_empty(struct f80 x)
{
	return unlikely(f80_is_nan(x)) && (host_sw() & SW_SF);
}

/* FSIN, FCOS, F2XM1 */
static bool one_operand(struct fpu *f, unsigned modrm, unsigned sw)
{
	struct f80 x = host_pop(), r = f80_indefinite();
	struct f80_env *e = fpu_env(f);
	bool in_range = true;

	if (likely(!was_empty(x))) {
		switch (modrm) {
		case 0xf0: r = f80_2xm1(e, x); break;
		case 0xfe: in_range = f80_sincos(e, x, &r, NULL); break;
		default: in_range = f80_sincos(e, x, NULL, &r); break;
		}
	}
	if (unlikely(!in_range)) {
		host_push(x);
		return false;
	}
	if ((sw & SW_C2) && modrm != 0xf0)
		clear_c2(sw);
	host_push(r);
	return done(f, sw, e->flags);
}

/* FSINCOS, FPTAN: the second result is pushed. */
static bool one_operand_push(struct fpu *f, unsigned modrm, unsigned sw)
{
	struct f80 x = host_pop(), r0 = f80_indefinite(), r1 = r0;
	bool in_range = true, empty = was_empty(x);
	struct f80_env *e = fpu_env(f);

	if (unlikely(empty)) {
		; /* both results are indefinite, and the second is pushed, room or not */
	} else if (modrm == 0xfb) {
		in_range = f80_sincos(e, x, &r0, &r1);
	} else {
		in_range = f80_tan(e, x, &r0);
		r1 = f80_is_nan(r0) ? r0 : f80_make(false, F80_BIAS, F80_J);
	}
	if (unlikely(!in_range)) {
		host_push(x);
		return false;
	}
	if (sw & SW_C2)
		clear_c2(sw);
	host_push(r0);
	host_push(r1);
	if (unlikely(host_sw() & SW_SF)) {
		/* Perhaps there was no room and an indefinite was pushed: then the other result
		 * is one, too. */
		__asm__ volatile("fst %%st(1)" : :);
		if (!empty)
			host_set_sw(SW_C1);
		f->live = FPU_LIVE;
		return true;
	}
	return done(f, sw, e->flags);
}

/* FYL2X, FPATAN, FYL2XP1 */
static bool two_operands(struct fpu *f, unsigned modrm, unsigned sw)
{
	struct f80 x = host_pop(), y = host_pop(), r = f80_indefinite();
	struct f80_env *e = fpu_env(f);

	if (likely(!was_empty(x) && !was_empty(y))) {
		switch (modrm) {
		case 0xf1: r = f80_yl2x(e, x, y); break;
		case 0xf3: r = f80_atan2(e, y, x); break;
		default: r = f80_yl2xp1(e, x, y); break;
		}
	}
	host_push(r);
	return done(f, sw, e->flags);
}

bool fpu_trans(struct cpu *cpu, unsigned modrm)
{
	struct fpu *f = cpu_fpu(cpu);
	unsigned sw = host_sw();

	/* SF has to tell that a register was empty. */
	if (unlikely(sw & SW_SF))
		return false;
	switch (modrm) {
	case 0xf0:
	case 0xfe:
	case 0xff: return one_operand(f, modrm, sw);
	case 0xf2:
	case 0xfb: return one_operand_push(f, modrm, sw);
	default: return two_operands(f, modrm, sw);
	}
}

#else

bool fpu_trans(struct cpu *cpu, unsigned modrm)
{
	(void)cpu;
	(void)modrm;
	return false;
}

#endif
