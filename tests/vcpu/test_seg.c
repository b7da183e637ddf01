/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment checks: the fast path's members against the slow path, and both against the manual's
 * rules written down naively (SDM vol. 3, 5.3, 5.4).
 */
#include "sys_test.h"
#include "sys.h"

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

/* Byte by byte: may byte `off` be touched? */
static bool naive_byte(const struct segment *s, uint32_t off)
{
	if (!(s->attr & SEG_CODE) && s->attr & SEG_E)
		return off > s->limit && (s->attr & SEG_DB || off <= 0xffff);
	return off <= s->limit;
}

static bool naive(const struct segment *s, uint32_t off, unsigned size, bool write)
{
	bool code = s->attr & SEG_CODE;

	if (!(s->attr & SEG_P))
		return false;
	if (write ? code || !(s->attr & SEG_W) : code && !(s->attr & SEG_W))
		return false;
	for (unsigned i = 0; i < size; i++)
		/* wrapping is allowed where the limit is 4 GiB only */
		if (!naive_byte(s, off + i) || (off + i < off && s->limit != UINT32_MAX))
			return false;
	return true;
}

static uint32_t edge(uint64_t *seed, uint32_t limit)
{
	uint64_t r = rnd64(seed);

	switch (r >> 60) {
	case 0: return (uint32_t)r;
	case 1: return 0xffff - (uint32_t)(r & 7);
	case 2: return UINT32_MAX - (uint32_t)(r & 7);
	case 3: return (uint32_t)(r & 15);
	default: return limit - 8 + (uint32_t)(r & 15);
	}
}

/* Functions of their own, so that the longjmp spares the callers' variables. */
static __attribute__((noinline)) int try_check(
	enum seg seg, uint32_t off, unsigned size, bool write)
{
	return RAISED(cpu, seg_check(cpu, seg, off, size, write));
}

static __attribute__((noinline)) int try_load(enum seg seg, uint16_t sel)
{
	return RAISED(cpu, seg_load(cpu, seg, sel));
}

static __attribute__((noinline)) int try_io(uint16_t port, unsigned size)
{
	return RAISED(cpu, cpu_check_io(cpu, port, size));
}

static void test_checks(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4, 8, 16 };
	uint64_t seed = 3;
	unsigned allowed = 0, refused = 0;

	for (int i = 0; i < 300000; i++) {
		uint64_t r = rnd64(&seed);
		struct segment *s = &cpu->seg[r & 1 ? SEG_FS : SEG_SS];
		enum seg seg = r & 1 ? SEG_FS : SEG_SS;
		struct desc d = { .lo = (uint32_t)rnd64(&seed),
			.hi = (uint32_t)rnd64(&seed) | 0x1000 };
		unsigned size = sizes[r >> 8 & 0xff ? (r >> 8) % 5 : 0];
		bool write = r & 2, ok, slow_ok;

		if (r & 4) /* small and odd limits */
			d.lo = (d.lo & 0xffff0000) | (uint32_t)(r >> 20 & 31), d.hi &= ~0x8f0000u;
		if (r & 8)
			d.hi |= 0x8000;
		seg_from_desc(s, 0x10, &d);
		uint32_t off = edge(&seed, s->limit);
		ok = naive(s, off, size, write);
		slow_ok = try_check(seg, off, size, write) == -1;
		assert_int_equal(slow_ok, ok);
		if (!ok) {
			assert_int_equal(cpu->raise_vector, seg == SEG_SS ? EXCP_SS : EXCP_GP);
			assert_int_equal(cpu->raise_err, 0);
		}
		/* the fast path never allows what is not */
		if (write ? s->wr_ok : s->rd_ok)
			if ((uint64_t)off + size <= (write ? s->wr_end : s->rd_end))
				assert_true(ok);
		if (s->flat)
			assert_true(s->base == 0 && s->limit == UINT32_MAX);
		allowed += ok;
		refused += !ok;
	}
	assert_true(allowed > 30000 && refused > 30000);
}

static void test_real(void **state)
{
	vm_mode_set(vm, VM_REAL16);
	cpu->seg[SEG_FS].limit = UINT32_MAX; /* unreal */
	seg_update(&cpu->seg[SEG_FS]);
	seg_load(cpu, SEG_FS, 0x1234);
	assert_int_equal(cpu->seg[SEG_FS].base, 0x12340);
	assert_true(cpu->seg[SEG_FS].limit == UINT32_MAX);
	seg_set_null(&cpu->seg[SEG_GS], 0);
	seg_load(cpu, SEG_GS, 0xffff);
	assert_int_equal(cpu->seg[SEG_GS].limit, 0xffff);
	assert_true(cpu->seg[SEG_GS].wr_ok);
	/* protected mode's code attributes do not survive a real-mode load of CS */
	cpu->seg[SEG_CS].attr = 0x9b;
	assert_int_equal(try_check(SEG_CS, 0, 2, true), -1);
	seg_load_real(cpu, SEG_CS, 0x100);
	assert_int_equal(cpu->seg[SEG_CS].attr, 0x93);
	assert_int_equal(cpu->cpl, 0);
	cpu->eflags |= FL_VM;
	cpu->cr0 |= CR0_PE;
	seg_load(cpu, SEG_DS, 0x8000);
	assert_int_equal(cpu->seg[SEG_DS].limit, 0xffff);
	assert_int_equal(cpu->seg[SEG_DS].attr, 0xf3);
	seg_mode_changed(cpu);
	assert_int_equal(cpu->cpl, 3);
}

/* A failing load leaves everything as it was: registers, table. */
static void test_failed_loads(void **state)
{
	uint64_t seed = 11;
	unsigned failed = 0;

	for (int i = 0; i < 20000; i++) {
		uint64_t r = rnd64(&seed), d = rnd64(&seed);
		enum seg seg = (enum seg[]){ SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS }[r % 5];
		struct segment before = cpu->seg[seg];
		uint16_t sel = (uint16_t)(r >> 16 & 0x47);
		uint64_t after;

		memcpy(vm->ram + VM_GDT + 0x20, &d, 8);
		if (r & 0x100)
			sel = 0x20 | (r >> 9 & 3);
		if (try_load(seg, sel) != -1) {
			failed++;
			assert_memory_equal(&before, &cpu->seg[seg], sizeof(before));
			memcpy(&after, vm->ram + VM_GDT + 0x20, 8);
			assert_true(after == d);
			assert_int_equal(cpu->raise_err & ~7u, sel & ~7u);
		}
		vm_mode_set(vm, VM_PROT32);
	}
	assert_in_range(failed, 5000, 19000);
}

/* The I/O permission map: each bit, each size, at both ends. */
static void test_io_map(void **state)
{
	uint8_t *tss = vm->ram + VM_TSS;
	uint64_t seed = 5;

	cpu->tr.limit = 0x68 + 64; /* ports 0-511, and the last byte */
	tss[102] = 0x68;
	tss[103] = 0;
	vm_user(vm);
	for (int i = 0; i < 64; i++)
		tss[0x68 + i] = (uint8_t)(rnd64(&seed) & rnd64(&seed));
	tss[0x68 + 64] = 0xff;
	for (unsigned port = 0; port < 0x10000; port += port < 600 ? 1 : 97) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			bool open = true;

			for (unsigned p = port; p < port + size; p++)
				open &= p < 512 && !(tss[0x68 + p / 8] >> (p % 8) & 1);
			assert_int_equal(try_io((uint16_t)port, size), open ? -1 : EXCP_GP);
		}
	}
	cpu->eflags |= FL_IOPL;
	assert_int_equal(try_io(0xffff, 4), -1);
	cpu->eflags &= ~FL_IOPL;
	cpu->tr.attr = 0x83; /* a 16-bit TSS has none */
	assert_int_equal(try_io(0, 1), EXCP_GP);
	cpu->tr.attr = 0x8b;
	cpu->tr.limit = 0x66;
	assert_int_equal(try_io(0, 1), EXCP_GP);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_checks),
		T(test_real),
		T(test_failed_loads),
		T(test_io_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
