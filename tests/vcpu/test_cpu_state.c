/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of the CPU: a run that is saved, loaded into another CPU and continued there ends like
 * one that was never interrupted, digest by digest, whatever the engines; and what a snapshot may
 * not bring is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu_digest.h"
#include "cpu_state.h"
#include "harness.h"

struct subject {
	struct vm *vm;
	struct ram_digest *rd;
};

static struct subject subject_new(const char *engine)
{
	struct subject s = { .vm = vm_new(VM_PROT32) };
	struct error err = ERROR_INIT;

	vm_set_engine(s.vm, engine);
	s.rd = ram_digest_new(s.vm->ram, VM_RAM_LEN >> 12, &err);
	assert_non_null(s.rd);
	return s;
}

static void subject_free(struct subject *s)
{
	ram_digest_free(s->rd);
	vm_free(s->vm);
}

/*
 * A program that uses what a snapshot must hold: the x87 and SSE, a REP that may be cut, code that
 * writes itself, and translations that have gone stale (a page table entry is changed and not
 * flushed, then read and written through).
 *
 *	fninit; mov esi, 40
 * l:	fld1; fldpi; faddp; fstp qword [0x100000]
 *	movd xmm1, esi; paddd xmm0, xmm1; movdqu [0x100010], xmm0
 *	mov edi, 0x102000; mov eax, esi; mov ecx, 300; cld; rep stosd
 *	inc byte [self + 1]
 * self: mov al, 0
 *	add [0x100020], eax
 *	xor dword [PTE of 0x104000], 0x3000	(0x104000 <-> 0x107000: stale from the 2nd turn on)
 *	add dword [0x104000], esi
 *	test esi, 3; jnz m
 *	invlpg [0x104000]
 * m:	dec esi; jnz l
 *	hlt
 */
static const uint8_t program[] = {
	0xdb,
	0xe3,
	0xbe,
	40,
	0,
	0,
	0, /* fninit; mov esi, 40 */
	0xd9,
	0xe8,
	0xd9,
	0xeb,
	0xde,
	0xc1, /* 7: fld1; fldpi; faddp */
	0xdd,
	0x1d,
	0x00,
	0x00,
	0x10,
	0x00, /* fstp qword */
	0x66,
	0x0f,
	0x6e,
	0xce, /* movd xmm1, esi */
	0x66,
	0x0f,
	0xfe,
	0xc1, /* paddd xmm0, xmm1 */
	0xf3,
	0x0f,
	0x7f,
	0x05,
	0x10,
	0x00,
	0x10,
	0x00, /* movdqu */
	0xbf,
	0x00,
	0x20,
	0x10,
	0x00,
	0x89,
	0xf0, /* mov edi; mov eax, esi */
	0xb9,
	0x2c,
	0x01,
	0x00,
	0x00,
	0xfc,
	0xf3,
	0xab, /* mov ecx, 300; cld; rep stosd */
	0xfe,
	0x05,
	0x39,
	0x00,
	0x01,
	0x00, /* 50: inc byte [VM_CODE + 57] */
	0xb0,
	0x00, /* 56: mov al, 0 */
	0x01,
	0x05,
	0x20,
	0x00,
	0x10,
	0x00, /* add [0x100020], eax */
	0x81,
	0x35,
	0x10,
	0x04,
	0x21,
	0x00,
	0x00,
	0x30,
	0x00,
	0x00, /* xor dword [PTE], 0x3000 */
	0x01,
	0x35,
	0x00,
	0x40,
	0x10,
	0x00, /* add [0x104000], esi */
	0xf7,
	0xc6,
	0x03,
	0x00,
	0x00,
	0x00,
	0x75,
	0x07, /* test esi, 3; jnz */
	0x0f,
	0x01,
	0x3d,
	0x00,
	0x40,
	0x10,
	0x00, /* invlpg */
	0x4e,
	0x75,
	0xa5, /* dec esi; jnz l */
	0xf4,
};

static void start(struct subject *s)
{
	struct cpu *cpu = s->vm->cpu;

	cpu->cr4 |= CR4_OSFXSR;
	vm_paging(s->vm, false);
	vm_code(s->vm, program, sizeof(program));
	mmu_mark_dirty_all(cpu);
	cpu->gpr[R_ESP] = VM_STACK;
}

static void digest(struct subject *s, uint8_t *buf, size_t *ret_len)
{
	*ret_len = digest_collect(s->vm->cpu, s->rd, buf, CPU_DIGEST_BLOB_MAX);
}

/* As bytes, so that nothing but what is in them gets across. */
static uint8_t *save(struct subject *s, size_t *ret_len)
{
	Dejavm__VcpuState m = DEJAVM__VCPU_STATE__INIT;
	Dejavm__PageSums sums = DEJAVM__PAGE_SUMS__INIT;
	Dejavm__VcpuState *heap = malloc(sizeof(*heap));
	uint8_t *buf;

	*heap = m;
	assert_int_equal(cpu_state_save(s->vm->cpu, heap), 0);
	heap->page_sums = malloc(sizeof(sums));
	*heap->page_sums = sums;
	assert_int_equal(ram_digest_save(s->rd, heap->page_sums), 0);
	*ret_len = dejavm__vcpu_state__get_packed_size(heap);
	buf = malloc(*ret_len);
	dejavm__vcpu_state__pack(heap, buf);
	dejavm__vcpu_state__free_unpacked(heap, NULL);
	return buf;
}

static int load(struct subject *s, const uint8_t *buf, size_t len, struct error *err)
{
	Dejavm__VcpuState *m = dejavm__vcpu_state__unpack(NULL, len, buf);
	int r;

	assert_non_null(m);
	r = cpu_state_load(s->vm->cpu, m, err);
	if (r == 0)
		r = ram_digest_load(s->rd, m->page_sums, err);
	dejavm__vcpu_state__free_unpacked(m, NULL);
	return r;
}

static void run_to(struct subject *s, uint64_t icount)
{
	while (s->vm->cpu->icount < icount && !s->vm->cpu->halted)
		vm_run(s->vm, icount - s->vm->cpu->icount);
}

#define END 14000u /* behind the program's HLT */

/* a runs to `at`, and then through, with a digest at `mid`; b goes on from a's snapshot. */
static void check_one(const char *engine_a, const char *engine_b, uint64_t at)
{
	struct subject a = subject_new(engine_a), b = subject_new(engine_b);
	static uint8_t da[CPU_DIGEST_BLOB_MAX], db[CPU_DIGEST_BLOB_MAX];
	size_t la, lb, len;
	uint8_t *buf;

	start(&a);
	/* b has been something else: nothing of that may shine through. */
	start(&b);
	run_to(&b, 777);
	run_to(&a, at / 2);
	digest(&a, da, &la);
	run_to(&a, at);
	buf = save(&a, &len);
	memcpy(b.vm->ram, a.vm->ram, VM_RAM_LEN);
	assert_int_equal(load(&b, buf, len, NULL), 0);
	assert_int_equal(b.vm->cpu->icount, a.vm->cpu->icount);
	free(buf);
	for (uint64_t to = at + 500;; to = to < END ? END : UINT64_MAX) {
		run_to(&a, to < END ? to : END);
		run_to(&b, to < END ? to : END);
		digest(&a, da, &la);
		digest(&b, db, &lb);
		assert_int_equal(la, lb);
		assert_memory_equal(da, db, la);
		if (to >= END)
			break;
	}
	assert_true(a.vm->cpu->halted && b.vm->cpu->halted);
	assert_memory_equal(a.vm->ram, b.vm->ram, VM_RAM_LEN);
	subject_free(&a);
	subject_free(&b);
}

static void test_resume(void **state)
{
	static const char *const engines[] = { NULL, "tcg,thresh=0", "tcg,thresh=2,budget=9" };

	for (unsigned i = 0; i < 18; i++)
		check_one(engines[i % 3], engines[i / 3 % 3], 1 + i * 701 + i * i % 13);
	(void)state;
}

/* Saving leaves no trace: with and without, the same. */
static void test_no_trace(void **state)
{
	struct subject a = subject_new(NULL), b = subject_new("tcg,thresh=0");
	static uint8_t da[CPU_DIGEST_BLOB_MAX], db[CPU_DIGEST_BLOB_MAX];
	size_t la, lb, len;

	start(&a);
	start(&b);
	for (uint64_t to = 250; to < END; to += 250) {
		run_to(&a, to);
		run_to(&b, to);
		free(save(&b, &len));
	}
	digest(&a, da, &la);
	digest(&b, db, &lb);
	assert_int_equal(la, lb);
	assert_memory_equal(da, db, la);
	subject_free(&a);
	subject_free(&b);
	(void)state;
}

/* The program does have translations that page tables do not say any more. */
static void test_stale_is_used(void **state)
{
	struct subject a = subject_new(NULL);
	uint32_t x, y;

	start(&a);
	run_to(&a, END);
	memcpy(&x, a.vm->ram + 0x104000, 4);
	memcpy(&y, a.vm->ram + 0x107000, 4);
	assert_int_equal(x + y, 40 * 41 / 2);
	assert_int_not_equal(x, 0);
	assert_int_not_equal(y, 0);
	/* Without stale ones each second addition would go to the other page. */
	assert_int_not_equal(x < y ? x : y, 20 * 20);
	subject_free(&a);
	(void)state;
}

/* ---- refused ---- */

typedef void harm_fn(Dejavm__VcpuState *m);

/* Whatever a guest may leave, and what it does not use in program[]. */
static void disturb(struct cpu *cpu)
{
	cpu->a20_mask = ~(1u << 20);
	cpu->cr0 |= CR0_AM;
	cpu->eflags |= FL_AC;
	mmu_mode_changed(cpu);
	debug_write_dr(cpu, 0, VM_DATA);
	debug_write_dr(cpu, 7, 0x000d0002);
	msr_write(cpu, 0x174, VM_SEL_CODE32);
	msr_write(cpu, 0x277, 0);
	lapic_write(cpu, 0xf0, 0x1ff);
	lapic_write(cpu, 0x320, 0x20021);
	lapic_write(cpu, 0x380, 20);
	cpu->intr = cpu->nmi_pending = true;
	cpu->warp_ns = 12345;
	cpu->stop_icount = 1;
}

/* a was used, and has been renewed: it is what b, a new one, is, and stays so. */
static void check_renewed(const char *engine)
{
	struct subject a = subject_new(engine), b;
	static uint8_t da[CPU_DIGEST_BLOB_MAX], db[CPU_DIGEST_BLOB_MAX];
	uint8_t *state_a, *state_b;
	size_t la, lb;

	start(&a);
	vm_touch(a.vm, VM_CODE, 4096);
	run_to(&a, 3333);
	disturb(a.vm->cpu);
	vm_cpu_run(a.vm->cpu, 4444);
	vm_renew(a.vm, VM_PROT32);
	ram_digest_free(a.rd);
	a.rd = ram_digest_new(a.vm->ram, VM_RAM_LEN >> 12, NULL);
	b = subject_new(engine);
	state_a = save(&a, &la);
	state_b = save(&b, &lb);
	assert_int_equal(la, lb);
	assert_memory_equal(state_a, state_b, la);
	assert_memory_equal(a.vm->ram, b.vm->ram, VM_RAM_LEN);
	start(&a);
	start(&b);
	for (uint64_t to = 0; to < END; to += 1000) {
		run_to(&a, to);
		run_to(&b, to);
		digest(&a, da, &la);
		digest(&b, db, &lb);
		assert_int_equal(la, lb);
		assert_memory_equal(da, db, la);
	}
	free(state_a);
	free(state_b);
	subject_free(&a);
	subject_free(&b);
}

static void test_renewed(void **state)
{
	check_renewed(NULL);
	check_renewed("tcg,thresh=0");
	check_renewed("tcg,thresh=2,budget=9,window=always");
	(void)state;
}

static Dejavm__StateField *field(Dejavm__VcpuState *m, int group, const char *name)
{
	for (size_t i = 0; i < m->groups[group]->n_fields; i++)
		if (!strcmp(m->groups[group]->fields[i]->name, name))
			return m->groups[group]->fields[i];
	fail_msg("no field %s", name);
	return NULL;
}

static void harm_version(Dejavm__VcpuState *m)
{
	m->version = 7;
}
static void harm_shift(Dejavm__VcpuState *m)
{
	m->shift = 5;
}
static void harm_icount(Dejavm__VcpuState *m)
{
	m->icount++;
}
static void harm_top(Dejavm__VcpuState *m)
{
	field(m, 1, "top")->data.data[0] = 8;
}
static void harm_mxcsr(Dejavm__VcpuState *m)
{
	field(m, 0, "mxcsr")->data.data[2] = 1;
}
static void harm_mode(Dejavm__VcpuState *m)
{
	field(m, 0, "cr0")->data.data[0] &= 0xfe;
}
static void harm_a20(Dejavm__VcpuState *m)
{
	field(m, 0, "a20_mask")->data.data[0] = 0;
}
static void harm_timer(Dejavm__VcpuState *m)
{
	field(m, 2, "timer_runs")->data.data[0] = 1;
}
static void harm_bool(Dejavm__VcpuState *m)
{
	field(m, 0, "halted")->data.data[0] = 2;
}
static void harm_length(Dejavm__VcpuState *m)
{
	field(m, 0, "gpr")->data.len -= 4;
}
static void harm_name(Dejavm__VcpuState *m)
{
	field(m, 0, "eip")->name[0] = 'f';
}
static void harm_page(Dejavm__VcpuState *m)
{
	m->translations[0]->page[0] = 1u << 20;
}
static void harm_count(Dejavm__VcpuState *m)
{
	m->translations[0]->count[0] = UINT32_MAX;
}
static void harm_gpa(Dejavm__VcpuState *m)
{
	m->translations[2]->gpa_page[0] = UINT32_MAX;
}
static void harm_runs(Dejavm__VcpuState *m)
{
	m->translations[0]->n_flags--;
}

static void test_refused(void **state)
{
	static const struct {
		harm_fn *fn;
		const char *word;
	} harms[] = { { harm_version, "version 7" }, { harm_shift, "shift" },
		{ harm_icount, "icount" }, { harm_top, "'top' is 8" }, { harm_mxcsr, "'mxcsr'" },
		{ harm_mode, "no mode" }, { harm_a20, "A20" }, { harm_timer, "count of 0" },
		{ harm_bool, "'halted' is 2" }, { harm_length, "'gpr' has 28 bytes" },
		{ harm_name, "'eip' is missing" }, { harm_page, "out of range" },
		{ harm_count, "out of range" }, { harm_gpa, "out of range" },
		{ harm_runs, "different lengths" } };
	struct subject a = subject_new(NULL);
	static uint8_t before[CPU_DIGEST_BLOB_MAX], after[CPU_DIGEST_BLOB_MAX];
	size_t la, lb, len;
	uint8_t *buf;

	start(&a);
	run_to(&a, 3000);
	buf = save(&a, &len);
	digest(&a, before, &la);
	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		Dejavm__VcpuState *m = dejavm__vcpu_state__unpack(NULL, len, buf);
		struct error err = ERROR_INIT;

		harms[i].fn(m);
		assert_int_equal(cpu_state_load(a.vm->cpu, m, &err), -EINVAL);
		if (!strstr(err.msg, harms[i].word))
			fail_msg("'%s' does not say '%s'", err.msg, harms[i].word);
		/* harm_length and harm_runs shorten what is freed by pointer: fine */
		dejavm__vcpu_state__free_unpacked(m, NULL);
	}
	/* Nothing has changed. */
	mmu_mark_dirty_all(a.vm->cpu);
	digest(&a, after, &lb);
	run_to(&a, END);
	assert_true(a.vm->cpu->halted);
	assert_int_equal(memcmp(before, after, 200), 0);
	free(buf);
	subject_free(&a);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_no_trace),
		cmocka_unit_test(test_stale_is_used),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_renewed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
