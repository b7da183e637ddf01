/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APIC: what guests cannot see of it, or not exactly: deadlines, messages of the I/O APIC,
 * lines. */
#include "sys_test.h"

#define TIMER	 0x320
#define LINT0	 0x350
#define LINT1	 0x360
#define INITIAL	 0x380
#define CURRENT	 0x390
#define DIVIDE	 0x3e0
#define SVR	 0xf0
#define EOI	 0xb0
#define LDR	 0xd0
#define DFR	 0xe0
#define MASKED	 0x10000
#define PERIODIC 0x20000

static struct vm *vm;
static struct cpu *cpu;
static int eoi_vector;

static void note_eoi(struct cpu *c, uint8_t vector)
{
	eoi_vector = vector;
}

static int setup(void **state)
{
	static struct cpu_bus bus;

	vm = vm_new(VM_PROT32);
	cpu = vm->cpu;
	bus = *cpu->bus;
	bus.eoi = note_eoi;
	cpu->bus = &bus;
	eoi_vector = -1;
	lapic_write(cpu, SVR, 0x1ff);
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	return 0;
}

static unsigned irr_bit(unsigned vector)
{
	return lapic_read(cpu, 0x200 + vector / 32 * 16) >> (vector % 32) & 1;
}

static void message(uint8_t vector, uint8_t mode, uint8_t dest, uint8_t level_logical)
{
	const struct apic_msg m = { vector, mode, dest, level_logical };

	lapic_message(cpu, &m);
}

/* ---- reset ---- */

static void test_reset(void **state)
{
	cpu_reset(cpu);
	assert_true(lapic_enabled(cpu));
	assert_int_equal(lapic_read(cpu, 0x30), 0x50014);
	assert_int_equal(lapic_read(cpu, SVR), 0xff);
	assert_int_equal(lapic_read(cpu, TIMER), MASKED);
	assert_true(lapic_deadline_ns(cpu) == BUS_NEVER);
	assert_true(lapic_deadline_icount(cpu) == BUS_NEVER);
	assert_int_equal(lapic_pending_vector(cpu), -1);
	/* virtual wire */
	assert_true(lapic_accepts_pic(cpu));
	lapic_nmi_line(cpu);
	assert_true(cpu->nmi_pending);
}

static void test_pic_path(void **state)
{
	lapic_write(cpu, LINT0, 0x10700);
	assert_false(lapic_accepts_pic(cpu));
	lapic_write(cpu, LINT0, 0x00700);
	assert_true(lapic_accepts_pic(cpu));
	lapic_write(cpu, LINT0, 0x00030); /* fixed: not the 8259's vector */
	assert_false(lapic_accepts_pic(cpu));
	cpu->apic_base &= ~UINT64_C(0x800);
	assert_true(lapic_accepts_pic(cpu));
	lapic_write(cpu, LINT1, 0x10400);
	cpu->nmi_pending = false;
	lapic_nmi_line(cpu); /* globally disabled: straight through */
	assert_true(cpu->nmi_pending);
	cpu->apic_base |= 0x800;
	cpu->nmi_pending = false;
	lapic_nmi_line(cpu); /* masked */
	assert_false(cpu->nmi_pending);
}

/* ---- messages ---- */

static void test_destinations(void **state)
{
	lapic_write(cpu, LDR, 0x42000000);
	lapic_write(cpu, DFR, 0xffffffff);
	message(0x40, 0, 0, 0);
	message(0x41, 0, 1, 0); /* another's ID */
	message(0x42, 0, 0xff, 0);
	message(0x43, 1, 0x02, 2); /* lowest priority, logical flat */
	message(0x44, 0, 0x81, 2);
	assert_int_equal(lapic_read(cpu, 0x220), 0xd);
	lapic_write(cpu, DFR, 0x0fffffff); /* clusters: number 4, member 2 */
	message(0x45, 0, 0x42, 2);
	message(0x46, 0, 0x52, 2);
	message(0x47, 0, 0x41, 2);
	message(0x48, 0, 0x4f, 2);
	assert_int_equal(lapic_read(cpu, 0x220), 0xd | 1 << 5 | 1 << 8);
}

static void test_modes(void **state)
{
	message(0, 4, 0, 0);
	assert_true(cpu->nmi_pending);
	message(0, 2, 0, 0); /* SMI: nobody */
	assert_false(cpu->reset_request);
	message(0, 5, 0, 0);
	assert_true(cpu->reset_request);
	message(3, 0, 0, 0); /* illegal vector: an error */
	lapic_write(cpu, 0x280, 0);
	assert_int_equal(lapic_read(cpu, 0x280), 0x40);
	cpu->apic_base &= ~UINT64_C(0x800);
	message(0x50, 0, 0, 0);
	cpu->apic_base |= 0x800;
	assert_int_equal(irr_bit(0x50), 0);
}

static void test_level(void **state)
{
	message(0x61, 0, 0, 1);
	message(0x52, 0, 0, 0);
	assert_int_equal(lapic_read(cpu, 0x180 + 0x30), 2);
	assert_int_equal(lapic_acknowledge(cpu), 0x61);
	assert_int_equal(lapic_pending_vector(cpu), -1);
	lapic_write(cpu, EOI, 0);
	assert_int_equal(eoi_vector, 0x61);
	eoi_vector = -1;
	assert_int_equal(lapic_acknowledge(cpu), 0x52);
	lapic_write(cpu, EOI, 0);
	assert_int_equal(eoi_vector, -1);
	lapic_write(cpu, EOI, 0); /* nothing in service */
	assert_int_equal(eoi_vector, -1);
	/* the same vector again, now by edge */
	message(0x61, 0, 0, 0);
	assert_int_equal(lapic_acknowledge(cpu), 0x61);
	lapic_write(cpu, EOI, 0);
	assert_int_equal(eoi_vector, -1);
}

static void test_spurious(void **state)
{
	lapic_write(cpu, SVR, 0x1ef);
	assert_int_equal(lapic_acknowledge(cpu), 0xef);
}

/* ---- timer ---- */

static void test_deadline(void **state)
{
	for (unsigned shift = 0; shift <= 10; shift++) {
		cpu->shift = shift;
		cpu->icount = 1000;
		cpu->warp_ns = 12345;
		lapic_write(cpu, DIVIDE, 0); /* 2 */
		lapic_write(cpu, TIMER, 0x30);
		lapic_write(cpu, INITIAL, 777);
		uint64_t at = (UINT64_C(1000) << shift) + 12345 + 2 * 777;
		assert_true(lapic_deadline_ns(cpu) == at);
		uint64_t ic = lapic_deadline_icount(cpu);
		/* the first icount at which that time has come */
		assert_true((ic << shift) + 12345 >= at);
		assert_true(((ic - 1) << shift) + 12345 < at);
		cpu->icount = ic - 1;
		lapic_run_timer(cpu);
		assert_int_equal(irr_bit(0x30), 0);
		assert_true(lapic_read(cpu, CURRENT) > 0);
		cpu->icount = ic;
		lapic_run_timer(cpu);
		assert_int_equal(irr_bit(0x30), 1);
		assert_int_equal(lapic_read(cpu, CURRENT), 0);
		assert_true(lapic_deadline_ns(cpu) == BUS_NEVER);
		assert_int_equal(lapic_acknowledge(cpu), 0x30);
		lapic_write(cpu, EOI, 0);
	}
}

/* A sleep brings the time forward: the icount of the deadline comes nearer, or is now. */
static void test_warp(void **state)
{
	lapic_write(cpu, DIVIDE, 0xb);
	lapic_write(cpu, TIMER, 0x30);
	lapic_write(cpu, INITIAL, 1000);
	assert_true(lapic_deadline_icount(cpu) == cpu->icount + 1000);
	cpu->warp_ns += 400;
	assert_true(lapic_deadline_icount(cpu) == cpu->icount + 600);
	cpu->warp_ns += 5000;
	assert_true(lapic_deadline_icount(cpu) == cpu->icount);
	lapic_run_timer(cpu);
	assert_int_equal(lapic_pending_vector(cpu), 0x30);
}

static void test_periodic(void **state)
{
	uint64_t start = cpu_vtime_ns(cpu);

	lapic_write(cpu, DIVIDE, 0xb);
	lapic_write(cpu, TIMER, PERIODIC | 0x30);
	lapic_write(cpu, INITIAL, 100);
	for (int i = 1; i <= 5; i++) {
		assert_true(lapic_deadline_ns(cpu) == start + 100u * (unsigned)i);
		cpu->icount = lapic_deadline_icount(cpu);
		lapic_run_timer(cpu);
		assert_int_equal(lapic_acknowledge(cpu), 0x30);
		lapic_write(cpu, EOI, 0);
	}
	/* periods that were slept through come as one interrupt, and the phase stays */
	cpu->warp_ns += 1000000000050;
	lapic_run_timer(cpu);
	assert_int_equal(lapic_acknowledge(cpu), 0x30);
	assert_true(lapic_deadline_ns(cpu) > cpu_vtime_ns(cpu));
	assert_true((lapic_deadline_ns(cpu) - start) % 100 == 0);
	assert_int_equal(lapic_read(cpu, CURRENT), lapic_deadline_ns(cpu) - cpu_vtime_ns(cpu));
	lapic_write(cpu, INITIAL, 0);
	assert_true(lapic_deadline_ns(cpu) == BUS_NEVER);
}

/* Count and deadline against a count that is decremented step by step. */
static void test_count_model(void **state)
{
	static const uint8_t divide[] = { 0xb, 0, 1, 2, 3, 8, 9, 10 };
	static const unsigned divisor[] = { 1, 2, 4, 8, 16, 32, 64, 128 };
	uint64_t seed = 42;

	for (int round = 0; round < 2000; round++) {
		unsigned d = rnd64(&seed) % 8;
		uint32_t initial = 1 + (uint32_t)(rnd64(&seed) % 5000);
		uint64_t passed = rnd64(&seed) % (6000 * (uint64_t)divisor[d]);
		uint64_t ticks = passed / divisor[d];
		bool periodic = rnd64(&seed) & 1;
		uint32_t want;

		lapic_write(cpu, DIVIDE, divide[d]);
		lapic_write(cpu, TIMER, (periodic ? PERIODIC : 0) | MASKED | 0x30);
		lapic_write(cpu, INITIAL, initial);
		cpu->icount += passed;
		want = periodic		 ? initial - (uint32_t)(ticks % initial)
		       : ticks < initial ? initial - (uint32_t)ticks
					 : 0;
		assert_int_equal(lapic_read(cpu, CURRENT), want);
		assert_int_equal(irr_bit(0x30), 0);
	}
}

static void test_digest(void **state)
{
	uint64_t a = lapic_digest(cpu);

	assert_true(a == lapic_digest(cpu));
	lapic_write(cpu, INITIAL, 5000);
	uint64_t b = lapic_digest(cpu);
	assert_true(a != b);
	message(0x40, 0, 0, 0);
	assert_true(b != lapic_digest(cpu));
	/* reading registers leaves no trace */
	b = lapic_digest(cpu);
	for (uint32_t off = 0x20; off < 0x400; off += 16)
		if (off != 0x40 && off != 0x50)
			(void)lapic_read(cpu, off);
	for (uint32_t off = 0; off < 0x1000; off++)
		if (off & 15)
			(void)lapic_read(cpu, off);
	/* ... but an access to a reserved one is an error */
	lapic_reset(cpu);
	b = lapic_digest(cpu);
	(void)lapic_read(cpu, 0x40);
	assert_true(b != lapic_digest(cpu));
}

/* Any write of any value to any register: nothing breaks, deadlines stay in order. */
static void test_storm(void **state)
{
	uint64_t seed = 7;

	for (int i = 0; i < 200000; i++) {
		uint32_t off = (uint32_t)(rnd64(&seed) % 0x40) * 16;

		if (rnd64(&seed) % 4)
			lapic_write(cpu, off, (uint32_t)rnd64(&seed));
		else
			(void)lapic_read(cpu, off);
		cpu->icount += rnd64(&seed) % 100;
		if (i % 3 == 0)
			lapic_run_timer(cpu);
		if (i % 7 == 0)
			cpu->warp_ns += rnd64(&seed) % 1000;
		int v = lapic_pending_vector(cpu);
		assert_in_range(v + 1, 0, 256);
		if (v >= 0)
			assert_int_equal(lapic_acknowledge(cpu), v);
		uint64_t ns = lapic_deadline_ns(cpu);
		if (ns != BUS_NEVER)
			assert_true(ns > cpu_vtime_ns(cpu) || i % 3);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_reset),
		T(test_pic_path),
		T(test_destinations),
		T(test_modes),
		T(test_level),
		T(test_spurious),
		T(test_deadline),
		T(test_warp),
		T(test_periodic),
		T(test_count_model),
		T(test_digest),
		T(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
