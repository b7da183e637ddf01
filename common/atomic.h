/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Atomic operations and memory barriers: the vocabulary of the kernel-style
 * atomics document over C11 atomics. docs/atomics.md says what each orders, what it does
 * not, how they pair, and which to take when.
 *
 * Every pointer is to an `_Atomic` object of 1, 2, 4 or 8 bytes. In short:
 *
 *	atomic_read, atomic_set				no order at all
 *	atomic_load_acquire, atomic_store_release	one-way; the usual choice
 *	atomic_mb_read, atomic_mb_set			sequentially consistent among themselves
 *	atomic_fetch_*, atomic_xchg, atomic_cmpxchg ...	sequentially consistent
 *	smp_mb, smp_rmb, smp_wmb, smp_mb_acquire ...	barriers, always in pairs
 *
 * atomic_fetch_add, _sub, _and, _or and _xor are those of <stdatomic.h>, which mean just what we
 *want.
 */
#ifndef DEJAVM_ATOMIC_H
#define DEJAVM_ATOMIC_H

#include <stdatomic.h>

/* The compiler may not move memory accesses across; the processor may. */
#define barrier() atomic_signal_fence(memory_order_seq_cst)

/* Barriers. Each line of code that has one names its partner. */
#define smp_mb()	 atomic_thread_fence(memory_order_seq_cst)
#define smp_mb_acquire() atomic_thread_fence(memory_order_acquire)
#define smp_mb_release() atomic_thread_fence(memory_order_release)
/* Load-load and store-store. C11 has nothing weaker than acquire and release for them. */
#define smp_rmb() smp_mb_acquire()
#define smp_wmb() smp_mb_release()
/*
 * Before a load through a pointer (or index) that was read with atomic_read(). Costs nothing on any
 * machine that we run on, but keeps the compiler from guessing the pointer.
 */
#define smp_read_barrier_depends() barrier()
/* Around a read-modify-write that must also order plain accesses: full, because C11's seq_cst RMW
 * is not a fence. */
#define smp_mb__before_rmw() smp_mb()
#define smp_mb__after_rmw()  smp_mb()

/* A plain access that is not torn, not repeated and not left out. */
#define atomic_read(ptr)     atomic_load_explicit((ptr), memory_order_relaxed)
#define atomic_set(ptr, val) atomic_store_explicit((ptr), (val), memory_order_relaxed)

/* What follows the load in program order happens after it. */
#define atomic_load_acquire(ptr) atomic_load_explicit((ptr), memory_order_acquire)
/* What precedes the store in program order happens before it. */
#define atomic_store_release(ptr, val) atomic_store_explicit((ptr), (val), memory_order_release)

/* Sequentially consistent with each other: all threads see all of them in one order. */
#define atomic_mb_read(ptr)	atomic_load_explicit((ptr), memory_order_seq_cst)
#define atomic_mb_set(ptr, val) ((void)atomic_exchange_explicit((ptr), (val), memory_order_seq_cst))

/* Publish and follow a pointer: release, and a load that orders what is reached through it. */
#define atomic_rcu_read(ptr)	 atomic_load_explicit((ptr), memory_order_consume)
#define atomic_rcu_set(ptr, val) atomic_store_release((ptr), (val))

/* Read-modify-write, all sequentially consistent. These return the old value ... */
#define atomic_xchg(ptr, val) atomic_exchange_explicit((ptr), (val), memory_order_seq_cst)
#define atomic_fetch_inc(ptr) atomic_fetch_add((ptr), 1)
#define atomic_fetch_dec(ptr) atomic_fetch_sub((ptr), 1)
/*
 * If *ptr is old, makes it new. Returns what *ptr was: the exchange took place if that equals old.
 */
#define atomic_cmpxchg(ptr, old, new)                                                     \
	__extension__({                                                                   \
		__typeof__(atomic_read(ptr)) old_ = (old);                                \
		(void)atomic_compare_exchange_strong_explicit(                            \
			(ptr), &old_, (new), memory_order_seq_cst, memory_order_seq_cst); \
		old_;                                                                     \
	})
/* ... these the new one ... */
#define atomic_add_fetch(ptr, n) (atomic_fetch_add((ptr), (n)) + (n))
#define atomic_sub_fetch(ptr, n) (atomic_fetch_sub((ptr), (n)) - (n))
#define atomic_and_fetch(ptr, n) (atomic_fetch_and((ptr), (n)) & (n))
#define atomic_or_fetch(ptr, n)	 (atomic_fetch_or((ptr), (n)) | (n))
#define atomic_xor_fetch(ptr, n) (atomic_fetch_xor((ptr), (n)) ^ (n))
#define atomic_inc_fetch(ptr)	 atomic_add_fetch((ptr), 1)
#define atomic_dec_fetch(ptr)	 atomic_sub_fetch((ptr), 1)
/* ... and these nothing. */
#define atomic_add(ptr, n) ((void)atomic_fetch_add((ptr), (n)))
#define atomic_sub(ptr, n) ((void)atomic_fetch_sub((ptr), (n)))
#define atomic_and(ptr, n) ((void)atomic_fetch_and((ptr), (n)))
#define atomic_or(ptr, n)  ((void)atomic_fetch_or((ptr), (n)))
#define atomic_xor(ptr, n) ((void)atomic_fetch_xor((ptr), (n)))
#define atomic_inc(ptr)	   atomic_add((ptr), 1)
#define atomic_dec(ptr)	   atomic_sub((ptr), 1)

/* Tells the core that this is a spin loop. Orders nothing. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#else
	barrier();
#endif
}

#endif
