/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs one guest test in this process: a CPU, RAM, a firmware ROM and a bus that knows ports E9h
 *(text), F4h (exit status) and 92h. No other process, no devices, no host clock: what a guest test
 *does here is a function of its image.
 *
 *	run_guest [-c MODEL] [-s SHIFT] [-n MAX-INSTRUCTIONS] [-k SLICE] [-a ENGINE] IMAGE
 *
 * IMAGE: a multiboot kernel (ELF32) or a firmware image of 64 or 128 KiB. Status: what the guest
 *wrote to port F4h (0: passed), 2: the guest hung, reset, or halted for ever, 3: usage. With
 *-a, the image runs a second time, with that engine ("tcg,thresh=0,budget=7"), and must end at the
 *same instruction with the same registers and RAM, else: status 4.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#undef PF_W /* a page fault's, below; not a program header's */

#include "cpu.h"
#include "cpuid.h"
#include "engine_text.h"
#include "flags.h"
#include "mmu.h"

#define RAM_LEN	       (16u << 20)
#define ROM_MAX	       (128u << 10)
#define IMAGE_MAX      (1u << 20)
#define MULTIBOOT      0x2badb002u
#define ICOUNT_MAX     50000000u
#define STATUS_HUNG    2
#define STATUS_BAD     3
#define STATUS_DIFFERS 4

struct machine {
	int ram_fd; /* of what ram is a mapping of */
	uint8_t *ram, *rom;
	uint32_t rom_len;
	bool done;
	int status;
	struct memmap_page map;
	struct cpu *cpu;
};

/* ---- the bus ---- */

static uint32_t bus_in(struct cpu *cpu, uint16_t port, unsigned size)
{
	if (port == 0x92)
		return 2;
	return size == 4 ? UINT32_MAX : (1u << (size * 8)) - 1;
}

static void bus_out(struct cpu *cpu, uint16_t port, unsigned size, uint32_t val)
{
	struct machine *m = cpu->bus_opaque;

	if (port == 0xe9) {
		putchar((int)(val & 0xff));
	} else if (port == 0xf4) {
		m->done = true;
		m->status = (int)val;
		cpu->stop_icount = cpu->icount;
		cpu->look = true;
	}
}

static uint32_t bus_ins(struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, void *buf)
{
	memset(buf, 0xff, (size_t)n * size);
	return n;
}

static uint32_t bus_outs(struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, const void *buf)
{
	const uint8_t *p = buf;

	for (uint32_t i = 0; i < n && port == 0xe9; i++)
		putchar(p[i * size]);
	return n;
}

static uint64_t bus_mmio_read(struct cpu *cpu, uint32_t gpa, unsigned size)
{
	return UINT64_MAX;
}

static void bus_mmio_write(struct cpu *cpu, uint32_t gpa, unsigned size, uint64_t val)
{
}

static uint8_t bus_intack(struct cpu *cpu)
{
	return 0xff;
}

static void bus_eoi(struct cpu *cpu, uint8_t vector)
{
}

static void bus_triple_fault(struct cpu *cpu)
{
	struct machine *m = cpu->bus_opaque;

	fprintf(stderr, "run_guest: triple fault at icount %" PRIu64 ", cs:eip %04x:%08x\n",
		cpu->icount, cpu->seg[SEG_CS].sel, cpu->eip);
	m->done = true;
	m->status = STATUS_HUNG;
	cpu->stop_icount = cpu->icount;
}

static const struct cpu_bus bus = {
	.in = bus_in,
	.out = bus_out,
	.ins = bus_ins,
	.outs = bus_outs,
	.mmio_read = bus_mmio_read,
	.mmio_write = bus_mmio_write,
	.intack = bus_intack,
	.eoi = bus_eoi,
	.triple_fault = bus_triple_fault,
};

/* ---- loading ---- */

static void add_range(struct machine *m, uint32_t gpa, uint32_t len, enum mem_kind read,
	enum mem_kind write, uint32_t off)
{
	m->map.entry[m->map.n_entries++] = (struct memmap_entry){
		.gpa_page = gpa >> 12,
		.npages = len >> 12,
		.read_kind = (uint8_t)read,
		.write_kind = (uint8_t)write,
		.read_off_page = off >> 12,
		.write_off_page = off >> 12,
	};
}

static int set_map(struct machine *m)
{
	add_range(m, 0, RAM_LEN, MEM_RAM, MEM_RAM, 0);
	if (m->rom_len)
		add_range(m, 0u - m->rom_len, m->rom_len, MEM_ROM, MEM_NONE, 0);
	return mmu_set_map(m->cpu, &m->map, m->ram, RAM_LEN, m->rom, m->rom_len);
}

static void set_flat(struct segment *s, uint16_t sel, uint16_t attr)
{
	*s = (struct segment){ .sel = sel, .limit = UINT32_MAX, .attr = attr };
	seg_update(s);
}

/* The state that the multiboot specification (3.2) promises. */
static void enter_multiboot(struct cpu *cpu, uint32_t entry)
{
	cpu->cr0 |= CR0_PE;
	for (int i = 0; i < 6; i++)
		set_flat(&cpu->seg[i], 16, 0xc093);
	set_flat(&cpu->seg[SEG_CS], 8, 0xc09b);
	cpu->gpr[R_EAX] = MULTIBOOT;
	cpu->gpr[R_EBX] = 0;
	cpu->eip = entry;
	seg_mode_changed(cpu);
	mmu_mode_changed(cpu);
}

static bool load_elf(struct machine *m, const uint8_t *img, size_t len, uint32_t *ret_entry)
{
	Elf32_Ehdr eh;

	memcpy(&eh, img, sizeof(eh));
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf32_Phdr ph;
		size_t at = eh.e_phoff + (size_t)i * sizeof(ph);

		if (at + sizeof(ph) > len)
			return false;
		memcpy(&ph, img + at, sizeof(ph));
		if (ph.p_type != PT_LOAD)
			continue;
		if ((uint64_t)ph.p_offset + ph.p_filesz > len ||
			(uint64_t)ph.p_paddr + ph.p_filesz > RAM_LEN)
			return false;
		memcpy(m->ram + ph.p_paddr, img + ph.p_offset, ph.p_filesz);
	}
	*ret_entry = eh.e_entry;
	return true;
}

static uint8_t *read_image(const char *path, size_t *ret_len)
{
	uint8_t *img = malloc(IMAGE_MAX);
	FILE *f = fopen(path, "rb");

	if (!f || !img) {
		fprintf(stderr, "run_guest: cannot read %s: %s\n", path, strerror(errno));
		exit(STATUS_BAD);
	}
	*ret_len = fread(img, 1, IMAGE_MAX, f);
	fclose(f);
	return img;
}

static void load(struct machine *m, const char *path)
{
	size_t len;
	uint8_t *img = read_image(path, &len);
	uint32_t entry = 0;
	bool elf = len > sizeof(Elf32_Ehdr) && memcmp(img, ELFMAG, SELFMAG) == 0;

	if (elf ? !load_elf(m, img, len, &entry) : len != 64 << 10 && len != ROM_MAX) {
		fprintf(stderr,
			"run_guest: %s is neither a multiboot ELF file nor an image of 64 or 128 "
			"KiB\n",
			path);
		exit(STATUS_BAD);
	}
	if (!elf) {
		memcpy(m->rom, img, len);
		m->rom_len = (uint32_t)len;
	}
	if (set_map(m) < 0)
		abort();
	if (elf)
		enter_multiboot(m->cpu, entry);
	free(img);
}

/* ---- running ---- */

/* HLT: time goes on to the local APIC's deadline, as devices would let it. False: nothing will ever
 * come. */
static bool sleep_on(struct cpu *cpu)
{
	uint64_t ns = lapic_deadline_ns(cpu);

	if (ns == BUS_NEVER)
		return false;
	if (ns > cpu_vtime_ns(cpu))
		cpu->warp_ns += ns - cpu_vtime_ns(cpu);
	lapic_run_timer(cpu);
	return true;
}

static int run(struct machine *m, uint64_t max, uint64_t slice)
{
	struct cpu *cpu = m->cpu;

	while (!m->done && cpu->icount < max) {
		uint64_t limit = cpu->icount + slice, apic;
		enum cpu_exit e;

		lapic_run_timer(cpu);
		apic = lapic_deadline_icount(cpu);
		e = cpu_run(cpu, apic < limit && apic > cpu->icount ? apic : limit);
		if (e == CPU_EXIT_RESET || (e == CPU_EXIT_HALT && !m->done && !sleep_on(cpu))) {
			fprintf(stderr, "run_guest: %s at icount %" PRIu64 ", cs:eip %04x:%08x\n",
				e == CPU_EXIT_RESET ? "reset" : "halted for ever", cpu->icount,
				cpu->seg[SEG_CS].sel, cpu->eip);
			return STATUS_HUNG;
		}
	}
	if (!m->done) {
		fprintf(stderr,
			"run_guest: no end after %" PRIu64 " instructions, cs:eip %04x:%08x\n",
			cpu->icount, cpu->seg[SEG_CS].sel, cpu->eip);
		return STATUS_HUNG;
	}
	return m->status;
}

/* ---- twice ---- */

static bool differs(const char *what, uint64_t a, uint64_t b)
{
	if (a != b)
		fprintf(stderr,
			"run_guest: %s is %" PRIx64 " by the interpreter, %" PRIx64
			" by the other engine\n",
			what, a, b);
	return a != b;
}

static bool machines_differ(const struct machine *x, const struct machine *y)
{
	static const char *const names[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi",
		"edi" };
	bool d = differs("icount", x->cpu->icount, y->cpu->icount);

	d |= differs("status", (unsigned)x->status, (unsigned)y->status);
	d |= differs("eip", x->cpu->eip, y->cpu->eip);
	for (unsigned i = 0; i < 8; i++)
		d |= differs(names[i], x->cpu->gpr[i], y->cpu->gpr[i]);
	d |= differs("eflags", flags_get(x->cpu), flags_get(y->cpu));
	d |= differs("the x87's digest", fpu_digest(x->cpu), fpu_digest(y->cpu));
	for (uint32_t i = 0; i < RAM_LEN; i += 4096)
		if (memcmp(x->ram + i, y->ram + i, 4096))
			d |= differs("a RAM page differs, at", i, i + 1);
	return d;
}

struct setting {
	const char *model, *image, *engine;
	unsigned shift;
	uint64_t max, slice;
};

static int machine_run(struct machine *m, const struct setting *s, const char *engine)
{
	memset(m, 0, sizeof(*m));
	m->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	if (m->ram_fd < 0 || ftruncate(m->ram_fd, RAM_LEN) < 0)
		exit(STATUS_BAD);
	m->ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, m->ram_fd, 0);
	m->rom = aligned_alloc(4096, ROM_MAX);
	m->cpu = cpu_new(&bus, m, s->model, s->shift);
	if (m->ram == MAP_FAILED || !m->rom || !m->cpu)
		exit(STATUS_BAD);
	engine_text_set(m->cpu, m->ram_fd, engine);
	load(m, s->image);
	return run(m, s->max, s->slice);
}

static void machine_free(struct machine *m)
{
	cpu_free(m->cpu);
	munmap(m->ram, RAM_LEN);
	close(m->ram_fd);
	free(m->rom);
}

static int usage(void)
{
	fprintf(stderr, "usage: run_guest [-c MODEL] [-s SHIFT] [-n MAX-INSTRUCTIONS] [-k SLICE] "
			"[-a ENGINE] IMAGE\n");
	return STATUS_BAD;
}

int main(int argc, char **argv)
{
	struct setting s = {
		.model = cpu_model_find(NULL), .shift = 1, .max = ICOUNT_MAX, .slice = 50000
	};
	static struct machine m, again;
	int c, status;

	while ((c = getopt(argc, argv, "c:s:n:k:a:")) != -1) {
		switch (c) {
		case 'c': s.model = cpu_model_find(optarg); break;
		case 's': s.shift = (unsigned)atoi(optarg); break;
		case 'n': s.max = strtoull(optarg, NULL, 0); break;
		case 'k': s.slice = strtoull(optarg, NULL, 0); break;
		case 'a': s.engine = optarg; break;
		default: return usage();
		}
	}
	if (optind + 1 != argc || !s.model || s.shift > 20 || !s.slice)
		return usage();
	s.image = argv[optind];
	status = machine_run(&m, &s, NULL);
	if (s.engine) {
		machine_run(&again, &s, s.engine);
		if (machines_differ(&m, &again))
			status = STATUS_DIFFERS;
		machine_free(&again);
	}
	machine_free(&m);
	return status;
}
