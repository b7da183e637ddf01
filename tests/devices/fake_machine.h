/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for chip tests: device.h's services with the time under the test's
 * control, and everything that a chip does to its surroundings recorded.
 *
 *	struct machine m;
 *	fake_init(&m);
 *	struct device *pic = fake_add(&m, &i8259_pic_class, NULL);
 *	outb(&m, 0x20, 0x11);
 *	fake_drive(pic, "irq", 3, 1);
 *	assert_int_equal(fake_level(pic, "intr", 0), 1);
 *	fake_done(&m);
 */
#ifndef DEJAVM_TESTS_FAKE_MACHINE_H
#define DEJAVM_TESTS_FAKE_MACHINE_H

#include "device.h"

#define FAKE_MAX 64

struct fake_range {
	struct device *dev;
	uint64_t base, len;
	const struct io_ops *ops;
	bool mmio;
};

/* An output line: its level, and how often it rose. */
struct fake_wire {
	struct machine *m;
	struct device *dev;
	const char *name;
	int index;
	int level;
	unsigned rises;
	uint64_t rise_ns; /* when it rose last */
	struct line to;	  /* where fake_connect() sent it on */
};

struct fake_input {
	struct device *dev;
	const char *name;
	void (*set)(void *opaque, int n, int level);
	int count;
};

struct fake_apic_msg {
	uint8_t vector, mode, dest;
	bool logical, level;
};

struct machine {
	uint64_t now_ns;
	uint64_t ram_bytes;
	int64_t rtc_base_s;
	uint64_t late_ns; /* timers fire this late */
	struct device *devices[FAKE_MAX];
	unsigned n_devices;
	struct timer *timers[FAKE_MAX];
	unsigned n_timers;
	uint64_t n_fired;
	struct fake_range ranges[FAKE_MAX];
	unsigned n_ranges;
	struct fake_wire wires[FAKE_MAX];
	unsigned n_wires;
	struct fake_input inputs[FAKE_MAX];
	unsigned n_inputs;
	/* what chips did */
	uint8_t out[65536]; /* characters sent, all streams */
	unsigned out_len;
	uint32_t credit;
	int a20[2];
	unsigned n_requests[3]; /* by enum machine_request */
	unsigned n_exits, exit_status;
	unsigned n_nmi, n_ignne;
	struct fake_apic_msg apic[256];
	unsigned n_apic;
	struct pci_function *pci;
	/* sum of all that was observed, for comparing two machines */
	uint64_t trace_hash;
};

struct fake_prop {
	const char *name;
	uint64_t value;
};

void fake_init(struct machine *m);
void fake_done(struct machine *m);
/* Makes a device with properties (ended by a NULL name; NULL: none), realizes and resets it. Aborts
 * with the error. */
struct device *fake_add(
	struct machine *m, const struct device_class *cls, const struct fake_prop *props);
/* The same, without reset; NULL with *err when realize() refuses. */
struct device *fake_try_add(struct machine *m, const struct device_class *cls,
	const struct fake_prop *props, struct error *err);
void fake_reset(struct machine *m);

/* Port and memory accesses as the vCPU makes them: wider ones are split for byte ranges. */
uint32_t fake_in(struct machine *m, uint32_t port, unsigned size);
void fake_out(struct machine *m, uint32_t port, unsigned size, uint32_t val);
uint64_t fake_mmio_read(struct machine *m, uint64_t gpa, unsigned size);
void fake_mmio_write(struct machine *m, uint64_t gpa, unsigned size, uint64_t val);
static inline uint8_t inb(struct machine *m, uint32_t port)
{
	return (uint8_t)fake_in(m, port, 1);
}
static inline void outb(struct machine *m, uint32_t port, uint8_t val)
{
	fake_out(m, port, 1, val);
}

/* A guest's write to the configuration space of the PCI function. */
void fake_pci_write(struct machine *m, unsigned off, uint8_t val);

/* Moves time on, firing timers on their way at their deadlines (plus late_ns). Aborts when one
 * never stops. */
void fake_advance(struct machine *m, uint64_t ns);
void fake_advance_to(struct machine *m, uint64_t ns);

struct fake_wire *fake_wire(struct device *dev, const char *name, int i);
int fake_level(struct device *dev, const char *name, int i);
unsigned fake_rises(struct device *dev, const char *name, int i);
void fake_drive(struct device *dev, const char *name, int n, int level);
void fake_connect(struct device *from, const char *output, int i, struct device *to,
	const char *input, int n);

/* A device's fields as a snapshot has them: save returns malloc()ed bytes. */
uint8_t *fake_save(const struct device *dev, size_t *ret_len);
void fake_load(struct device *dev, const uint8_t *buf, size_t len);

extern const struct device_class i8259_pic_class, i8254_class, mc146818_class, ns16550_class,
	i8042_class, ioapic_class, piix4_pm_class, debugcon_class, debug_exit_class, port92_class;

#endif
