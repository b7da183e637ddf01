/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * atomic.h: values and results of every operation, and two threads that would lose updates or
 * see the forbidden outcome of store buffering if an operation were weaker than it says.
 */
#include "test.h"

#include <pthread.h>

#include "atomic.h"
#include "build.h"
#include "clock.h"

static void loads_and_stores(void **state)
{
	_Atomic uint32_t v = 1;
	_Atomic uint64_t w = 0;
	int x = 0, *_Atomic p = NULL;

	atomic_set(&v, 2u);
	assert_int_equal(atomic_read(&v), 2);
	atomic_store_release(&v, 3u);
	assert_int_equal(atomic_load_acquire(&v), 3);
	atomic_mb_set(&v, 4u);
	assert_int_equal(atomic_mb_read(&v), 4);
	atomic_set(&w, UINT64_MAX);
	assert_true(atomic_read(&w) == UINT64_MAX);
	atomic_rcu_set(&p, &x);
	assert_ptr_equal(atomic_rcu_read(&p), &x);
	barrier();
	smp_mb();
	smp_rmb();
	smp_wmb();
	smp_mb_acquire();
	smp_mb_release();
	smp_read_barrier_depends();
	smp_mb__before_rmw();
	smp_mb__after_rmw();
	cpu_relax();
}

static void read_modify_write(void **state)
{
	_Atomic uint32_t v = 10;
	_Atomic int64_t s = -1;

	assert_int_equal(atomic_xchg(&v, 12u), 10);
	assert_int_equal(atomic_cmpxchg(&v, 11u, 99u), 12);
	assert_int_equal(atomic_read(&v), 12);
	assert_int_equal(atomic_cmpxchg(&v, 12u, 99u), 12);
	assert_int_equal(atomic_read(&v), 99);
	atomic_set(&v, 12u);
	assert_int_equal(atomic_fetch_add(&v, 3), 12);
	assert_int_equal(atomic_fetch_sub(&v, 1), 15);
	assert_int_equal(atomic_fetch_inc(&v), 14);
	assert_int_equal(atomic_fetch_dec(&v), 15);
	assert_int_equal(atomic_fetch_and(&v, 6), 14);
	assert_int_equal(atomic_fetch_or(&v, 1), 6);
	assert_int_equal(atomic_fetch_xor(&v, 3), 7);
	assert_int_equal(atomic_add_fetch(&v, 2), 6);
	assert_int_equal(atomic_sub_fetch(&v, 1), 5);
	assert_int_equal(atomic_inc_fetch(&v), 6);
	assert_int_equal(atomic_dec_fetch(&v), 5);
	assert_int_equal(atomic_and_fetch(&v, 4), 4);
	assert_int_equal(atomic_or_fetch(&v, 3), 7);
	assert_int_equal(atomic_xor_fetch(&v, 2), 5);
	atomic_add(&v, 5);
	atomic_sub(&v, 1);
	atomic_inc(&v);
	atomic_dec(&v);
	atomic_or(&v, 16);
	atomic_and(&v, 24);
	atomic_xor(&v, 1);
	assert_int_equal(atomic_read(&v), 25);
	assert_true(atomic_dec_fetch(&s) == -2);
	atomic_set(&v, UINT32_MAX);
	assert_int_equal(atomic_inc_fetch(&v), 0); /* wraps in the object's type */
}

#define ROUNDS 200000

static _Atomic uint32_t counter, x, y;
static _Atomic uint32_t turn;
static uint32_t seen[2];
static int forbidden;

static void *count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		atomic_inc(&counter);
	return NULL;
}

static void increments_are_not_lost(void **state)
{
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, NULL), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(atomic_read(&counter), 2 * ROUNDS);
}

/* Both threads meet here; spins, then yields, so that it also ends on one core. */
static void meet(uint32_t round)
{
	atomic_inc(&turn);
	for (int i = 0; atomic_load_acquire(&turn) < 2 * round; i++)
		if (i < 1000)
			cpu_relax();
		else
			sched_yield();
}

/* Store buffering: x = 1; mb; r0 = y || y = 1; mb; r1 = x. r0 == r1 == 0 is forbidden. */
static void *store_buffer(void *arg)
{
	int me = arg != NULL;
	_Atomic uint32_t *mine = me ? &y : &x, *other = me ? &x : &y;

	for (uint32_t i = 0; i < ROUNDS / 10; i++) {
		meet(3 * i + 1);
		atomic_set(mine, 1u);
		smp_mb();
		seen[me] = atomic_read(other);
		meet(3 * i + 2);
		if (me == 0) {
			forbidden += !seen[0] && !seen[1];
			atomic_set(&x, 0u);
			atomic_set(&y, 0u);
		}
		meet(3 * i + 3);
	}
	return NULL;
}

static void full_barriers_forbid_store_buffering(void **state)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, store_buffer, &counter), 0);
	store_buffer(NULL);
	pthread_join(t, NULL);
	assert_int_equal(forbidden, 0);
}

static void clocks_and_build_id(void **state)
{
	int64_t a = host_monotonic_ns(), b = host_monotonic_ns();

	assert_true(a > 0 && b >= a);
	assert_true(host_realtime_ns() > INT64_C(1600000000) * 1000000000);
	assert_true(build_id()[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_stores),
		cmocka_unit_test(read_modify_write),
		cmocka_unit_test(increments_are_not_lost),
		cmocka_unit_test(full_barriers_forbid_store_buffering),
		cmocka_unit_test(clocks_and_build_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
