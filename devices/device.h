/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that a chip may know. A device is one file with tables of its ports,
 * properties and saved fields, and one line in machine_list.def. It includes
 * this header and nothing of other chips; it does not allocate after set-up, has no globals that
 * change, uses no floating point, and sees no clock but vclock_ns().
 *
 * To add a device, copy debugcon.c, the smallest.
 */
#ifndef DEJAVM_DEVICE_H
#define DEJAVM_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "fields.h"
#include "trace.h"

#define TIMER_NEVER UINT64_MAX

struct machine; /* opaque to chips */
struct device;

/* ---- interrupt and other single-bit lines ---- */

struct line {
	void (*set)(void *opaque, int n, int level);
	void *opaque;
	int n;
};
/* Drives a line; an unconnected one (set == NULL) is ignored. */
static inline void line_set(const struct line *l, int level)
{
	if (l->set)
		l->set(l->opaque, l->n, level);
}
static inline void line_pulse(const struct line *l)
{
	line_set(l, 1);
	line_set(l, 0);
}

/* ---- virtual time ---- */

struct timer {
	struct device *dev;
	void (*fire)(struct device *dev);
	uint64_t deadline_ns; /* TIMER_NEVER when not armed; a saved field */
	uint32_t order;	      /* position in the machine's list: ties fire in this order */
	struct timer *next;   /* machine's list, private */
};

/* Virtual time in ns since the machine started. Constant during a request. */
uint64_t vclock_ns(const struct device *dev);
/* In realize() only. fire runs at the first checkpoint at or after the deadline, with vclock_ns()
 * >= deadline. */
void timer_init(struct device *dev, struct timer *t, void (*fire)(struct device *dev));
void timer_arm(struct timer *t, uint64_t deadline_ns);
void timer_cancel(struct timer *t);

/* a * b / c without overflow in between (128 bits); for clock conversions. */
static inline uint64_t muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}
#define NS_PER_S UINT64_C(1000000000)

/* ---- ports and memory-mapped registers ---- */

/*
 * size is 1, 2 or 4 (8 for MMIO), addr the offset from the range's base. A range whose ops take
 * bytes only (max_size 1) gets wider accesses split, low byte first. Reads of what nothing answers
 * give all ones.
 */
struct io_ops {
	uint64_t (*read)(struct device *dev, uint64_t addr, unsigned size);
	void (*write)(struct device *dev, uint64_t addr, unsigned size, uint64_t val);
	unsigned max_size;
	/*
	 * Ports only, may be NULL: accesses of REP INS or OUTS at once, elements in buf
	 * little-endian. At most n, and none that does more than to move data: where a line, a
	 * timer, DMA, or the time might come in, read() and write() do it. Returns how many it did.
	 */
	uint32_t (*read_n)(
		struct device *dev, uint64_t addr, unsigned size, uint32_t n, uint8_t *buf);
	uint32_t (*write_n)(
		struct device *dev, uint64_t addr, unsigned size, uint32_t n, const uint8_t *buf);
	/*
	 * Ports only: narrower accesses are not for this range (0 and 1: all are). What they
	 * mean is another range's: 0xCF9 lies in the middle of the dword register 0xCF8.
	 */
	unsigned min_size;
	/*
	 * Ports only: a byte written here has no effect at all, no state, no DMA, no line, nothing
	 * that a read tells. The vCPU need not send it (docs/architecture.md, rule 10 of the bus),
	 * so write() may never be called. At most POSTED_MAX ports of the machine.
	 */
	bool posted;
	/* Ports only: reads take no time on the bus. For ports that are shown (port_show()). */
	bool quick;
};
/* Handles for ranges that move (PCI BARs, PM base): io_unmap by the same handle. Return 0 or
 * -EBUSY/-ENOSPC with *err. */
int io_map(struct device *dev, uint32_t base, uint32_t len, const struct io_ops *ops,
	struct error *err);
void io_unmap(struct device *dev, uint32_t base, uint32_t len);
int mmio_map(struct device *dev, uint64_t base, uint64_t len, const struct io_ops *ops,
	struct error *err);
void mmio_unmap(struct device *dev, uint64_t base, uint64_t len);

/*
 * What saves the vCPU requests (docs/architecture.md, rules 12 and 13 of the bus). In
 * class->ports() only, which runs before the next reply after machine_ports_changed().
 *
 * port_defer(): writes of size bytes to these ports, without any bit of mask in the value, change
 * nothing but the device's own registers: no line, no DMA, no timer, no request to a drive, no map;
 * and they do not depend on time. They may come later, but before whatever comes next.
 *
 * port_show(): a byte's read of this port gives val and has no effect.
 */
void port_defer(struct device *dev, uint32_t port, uint32_t len, unsigned size, uint32_t mask);
void port_show(struct device *dev, uint32_t port, uint8_t val);
void machine_ports_changed(struct device *dev);

/* ---- DMA: guest-physical memory, while the vCPU waits ---- */

/* 0, or -EFAULT when [gpa, gpa+len) is not all RAM (reads also take ROM); then nothing was copied.
 */
int dma_read(struct device *dev, uint64_t gpa, void *buf, size_t len);
int dma_write(struct device *dev, uint64_t gpa, const void *buf, size_t len);

/* ---- video memory: the machine's memory beside RAM, for one display adapter ---- */

struct display_page; /* proto/display.h */
/* Its bytes, *ret_len of them; NULL when the machine has none. It keeps what is in it over a
 * reset. */
uint8_t *machine_vram(struct device *dev, uint64_t *ret_len);
/* The device has written [off, off+len): the vCPU is told, as after DMA. */
void machine_vram_written(struct device *dev, uint32_t off, uint32_t len);
/*
 * Makes [gpa, gpa+len), whole pages between A0000 and BFFFF, plain memory: that from off (a whole
 * page) on. It replaces what was mapped so before; len 0: nothing is. A BAR is mapped by
 * pci_bar_is_vram().
 */
void machine_vram_map(struct device *dev, uint32_t gpa, uint32_t len, uint32_t off);
/* Where to publish registers; never NULL. */
struct display_page *machine_display(struct device *dev);
/* The video BIOS, *ret_len bytes; NULL: none. */
const uint8_t *machine_vga_rom(struct device *dev, uint32_t *ret_len);

/* ---- character streams ---- */

/* Sends bytes to the stream that the device was given (none: they vanish). Never blocks the guest's
 * time. */
void chr_write(struct device *dev, const void *buf, size_t len);
/*
 * Input comes to class->chr_receive(). A stream may send at most as many bytes as the device has
 * granted: devices start with chr_credit(dev, n) in reset of the machine (once) and grant again
 * what they consumed.
 */
void chr_credit(struct device *dev, uint32_t len);

/* ---- drives: what is behind a device's property "drive" ---- */

struct drive_info {
	const char *id; /* for messages */
	uint64_t len;	/* bytes, a multiple of 512; 0: no medium */
	bool readonly, cdrom;
};
/* NULL: there is no such drive. Constant while the machine lives. */
const struct drive_info *drive_info(const struct device *dev, uint32_t drive);

#define DRIVE_IO_MAX	   (1024 * 1024) /* bytes of a read or write */
#define DRIVE_REQUESTS_MAX 4		 /* of one drive in flight */
/*
 * Start a request; its number (never 0, never used again) comes back with class->blk_done(), at the
 * event of the log that says that it is complete: never before this function has returned. offset
 * and len are multiples of 512 within the drive (must()); a written buffer is copied at once. Of
 * requests in flight, each is the machine's to save: a device keeps the number as a field. A device
 * that is reset meanwhile keeps its slot until blk_done() comes, as a disk does.
 */
uint64_t drive_read(struct device *dev, uint32_t drive, uint64_t offset, uint32_t len);
uint64_t drive_write(
	struct device *dev, uint32_t drive, uint64_t offset, const void *buf, uint32_t len);
/* DRIVE_IO_MAX bytes in which the next drive_write() may find its bytes without a copy: until any
 * request is made. */
uint8_t *drive_buffer(struct device *dev, uint32_t drive);
uint64_t drive_flush(struct device *dev, uint32_t drive);
/* In loaded(), for each request that the device waits for: is it really in flight? One that no
 * device claims so is forgotten. */
bool drive_claim(struct device *dev, uint64_t id);
uint64_t drive_discard(struct device *dev, uint32_t drive, uint64_t offset, uint64_t len);

/* ---- requests to the machine ---- */

enum machine_request {
	MACHINE_RESET,	  /* guest asks for a reset (0xCF9, 8042, port 92, triple fault) */
	MACHINE_SHUTDOWN, /* guest powers off (ACPI S5) */
	MACHINE_PANIC,
};
void machine_request(struct device *dev, enum machine_request r);
/* isa-debug-exit: ends the run; the group exits with status. */
void machine_exit(struct device *dev, unsigned status);
/* The A20 gate, OR of its sources: source 0 port 92, 1 the keyboard controller. */
void machine_a20(struct device *dev, int source, int level);
/* NMI edge to the CPU. */
void machine_nmi(struct device *dev);
/* Asserts IGNNE#, if FERR# is; the CPU withdraws it when FERR# goes. */
void machine_ignne(struct device *dev);
/* The RTC's start: seconds since 1970 UTC, from -rtc base= or from one sequenced clock event. */
int64_t machine_rtc_base_s(struct device *dev);
/* RAM size in bytes. */
uint64_t machine_ram_bytes(const struct device *dev);
/* An interrupt message to the local APIC (fields as in proto/bus.h struct apic_msg). */
void machine_apic_message(struct device *dev, uint8_t vector, uint8_t delivery_mode, uint8_t dest,
	bool logical, bool level);
/* Shadowing of [gpa, gpa+len) (PAM, SMRAM): where reads and writes go. Values of enum mem_kind
 * (proto/segments.h). */
void machine_shadow(struct device *dev, uint32_t gpa, uint32_t len, int read_kind, int write_kind);

/* ---- a device's class ---- */

enum prop_type { PROP_U32, PROP_U64, PROP_BOOL, PROP_STR };

struct prop {
	const char *name; /* QEMU's name of the property */
	enum prop_type type;
	size_t offset; /* in the instance; PROP_STR is a const char * that lives as long as the
			  machine */
	uint64_t dflt; /* default of numbers */
};
#define PROP_END                     \
	{                            \
		NULL, PROP_U32, 0, 0 \
	}

/* Saved fields are tables (fields.h): digests and snapshots are made from them. */
#define FIELD_TIMER(type, member)                                    \
	{                                                            \
#member, offsetof(type, member.deadline_ns), 8, 1, 0 \
	}

struct device_class {
	const char *name; /* QEMU's driver name where it has one: "isa-serial" */
	const char *desc;
	size_t instance_size; /* the instance starts with a struct device */
	const struct prop *props;
	const struct field *fields;
	bool user_creatable; /* may be given with -device */
	/* Set-up, once: maps ports, inits timers. 0 or -errno with *err. May be NULL. */
	int (*realize)(struct device *dev, struct error *err);
	/* Power-on and machine reset. */
	void (*reset)(struct device *dev);
	/* After fields were loaded from a snapshot: derive what is derived. May be NULL. */
	void (*loaded)(struct device *dev);
	/* Says port_defer() and port_show(), by the device's present state. May be NULL. */
	void (*ports)(struct device *dev);
	/* Inputs; NULL where it does not take them. */
	void (*chr_receive)(struct device *dev, const uint8_t *buf, size_t len);
	void (*chr_break)(struct device *dev);
	void (*key)(struct device *dev, uint32_t evdev_code, bool down);
	void (*pointer_rel)(struct device *dev, uint32_t axis, int64_t delta);
	void (*pointer_btn)(struct device *dev, uint32_t button, bool down);
	void (*input_sync)(struct device *dev);
	void (*powerdown)(struct device *dev);
	/*
	 * A request of drive_read() and its like is complete. error: errno, 0: it went well; data:
	 * what a read brought, until the call returns or asks for more.
	 */
	void (*blk_done)(
		struct device *dev, uint64_t id, uint32_t error, const uint8_t *data, uint32_t len);
	/* 8259 pair only: interrupt acknowledge cycle, returns the vector. */
	uint8_t (*intack)(struct device *dev);
	/* I/O APIC only: EOI broadcast of the local APIC. */
	void (*eoi)(struct device *dev, uint8_t vector);
};

struct device {
	const struct device_class *cls;
	struct machine *machine;
	const char *id; /* unique name in the machine: "serial0", "i8254" */
	int stream;	/* character stream, -1: none */
	struct device *next;
};

/* ---- how the board wires chips: named lines, found at set-up only ---- */

/* Declares that dev takes n input lines under name ("irq" of the 8259 pair, "gate2" of the PIT
 * ...). In realize(). */
void line_export(struct device *dev, const char *name, void (*set)(void *opaque, int n, int level),
	int count);
/* Declares an output that the board may connect: name as seen in board.c. In realize(). */
void line_output(struct device *dev, const char *name, struct line *lines, int count);

/* ---- PCI functions ---- */

#define PCI_CONFIG_SIZE 256
struct pci_function {
	struct device *dev;
	uint8_t config[PCI_CONFIG_SIZE];  /* a saved field */
	uint8_t wmask[PCI_CONFIG_SIZE];	  /* bits that a guest may write */
	uint8_t w1cmask[PCI_CONFIG_SIZE]; /* bits that a guest clears by writing 1 */
	uint8_t devfn;
	/* Called after a guest's configuration write changed [off, off+len). May be NULL. */
	void (*config_written)(struct device *dev, unsigned off, unsigned len);
};
/* Puts a function on bus 0. 0 or -EBUSY with *err. In realize(). */
int pci_register(struct device *dev, struct pci_function *fn, uint8_t devfn, struct error *err);
/* Interrupt pins INTA..INTD (0..3) of a function: routed by PIIX3's PIRQ registers. */
void pci_set_irq(struct device *dev, struct pci_function *fn, int pin, int level);

#endif
