/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as its own parts see it: set-up, dispatch of the vCPU's requests, timers, the
 * memory map, digests. Chips see device.h only. Nothing here knows processes or rings: the
 * process around it is main.c, bus_server.c and seq_client.c; unit tests bring their own.
 *
 * Time: icount and warp_ns are set by the caller at the start of each request; vclock_ns() is
 * (icount << shift) + warp_ns until the next.
 */
#ifndef DEJAVM_MACHINE_H
#define DEJAVM_MACHINE_H

#include "blk.h"
#include "bus.h"
#include "device.h"
#include "digest.h"
#include "segments.h"
#include "seq.h"

#define MACHINE_RAM_MIN	   (UINT64_C(1) << 20)
#define MACHINE_RAM_MAX	   (UINT64_C(3) << 30)
#define MACHINE_VRAM_MAX   (UINT64_C(257) << 20)
#define MACHINE_IO_RANGES  192
#define MACHINE_MMIO_MAX   32
#define MACHINE_TIMERS_MAX 512 /* more than devices that find ports */
#define MACHINE_PORTS_MAX  256 /* named line ports; likewise */
#define MACHINE_STREAMS	   256
#define MACHINE_APIC_QUEUE 64
#define MACHINE_LOW_PAGES  256 /* the first MiB, where the map is made of small pieces */
#define PCI_FUNCTIONS_MAX  16
#define ISA_IRQS	   16
#define ISA_SOURCES_MAX	   64 /* that share an ISA interrupt: bits of a word */

/* A file's contents, owned by whoever made it; name is for messages. data NULL: absent. */
struct blob {
	const uint8_t *data;
	size_t len;
	const char *name;
};

struct prop_value {
	const char *key, *value;
};

/* What -serial and -device ask for. */
struct device_spec {
	const char *driver;
	const char *id; /* NULL or "": one is made up */
	const struct prop_value *props;
	unsigned n_props;
	int stream; /* character stream, -1: none */
};

struct machine_config {
	/* ram_bytes, then vram_bytes of video memory; zeroed by whoever made the segment */
	uint8_t *ram;
	uint64_t ram_bytes, vram_bytes;
	struct display_page *display; /* NULL: nobody looks */
	uint8_t *rom;
	size_t rom_len;
	struct memmap_page *memmap;
	unsigned shift;
	bool has_rtc_base;
	int64_t rtc_base_s;
	bool no_reboot;
	struct blob kernel, initrd, bios, vgabios;
	const char *append;
	const char *boot_order, *boot_once; /* letters as of -boot; NULL, "": the default, none */
	bool boot_menu;
	unsigned n_streams;
	const char *stream_name[MACHINE_STREAMS];
	unsigned n_drives;
	struct drive_info drive[BLK_DRIVES_MAX];
	uint8_t *blkout; /* BLK_DATA_LEN bytes: what is to be written (proto/blk.h); NULL without
			    drives */
};

/* What the machine needs of the process around it. */
struct machine_host {
	void *opaque;
	void (*output)(void *opaque, int stream, const void *buf, size_t len);
	void (*credit)(void *opaque, int stream, uint32_t len);
	/* The host's clock through the sequencer, ns since 1970 UTC. */
	int64_t (*clock_host_ns)(void *opaque);
	/*
	 * A request to a drive; its bytes lie in blkout. blk_wait(): its answer, errno or 0, and
	 * for a read its bytes, to be looked at before the next call. The answer may be to come.
	 */
	void (*blk_submit)(void *opaque, const struct blk_req *rq);
	uint32_t (*blk_wait)(void *opaque, const struct blk_req *rq, const uint8_t **ret_data);
};

struct io_range {
	struct device *dev;
	const struct io_ops *ops;
	uint64_t base, len;
};

/* A named end of lines: an export (set) or an output (lines). */
struct line_port {
	struct device *dev;
	const char *name;
	void (*set)(void *opaque, int n, int level);
	struct line *lines;
	int count;
};

/* Video memory as plain memory of the guest. */
struct vram_window {
	uint32_t gpa_page, npages;
	uint32_t off_page; /* in video memory */
};

struct pci_bus {
	struct pci_function *fn[PCI_FUNCTIONS_MAX];
	struct pci_bars *bars[PCI_FUNCTIONS_MAX]; /* pci.c's own, NULL: the function has none */
	unsigned n;
	struct line pirq[4];
};

/*
 * What the machine itself remembers. It is a device ("board") so that its fields are in
 * digests and snapshots like everybody's.
 */
struct board {
	struct device dev;
	uint64_t isa_sources[ISA_IRQS]; /* a bit for each source that drives the line high */
	uint64_t pirq_sources[4];	/* a bit for each PCI function and pin */
	uint8_t intr;			/* 8259's output */
	uint8_t nmi;			/* an edge that the vCPU has not been told of */
	uint8_t a20[2];
	uint8_t reset_pending;
	uint8_t reset_by_host;
	uint8_t shutdown; /* enum shutdown_cause + 1, 0: running */
	uint8_t rtc_known;
	uint32_t exit_value; /* isa-debug-exit's status + 1, 0: none */
	int64_t rtc_base_s;
	uint32_t n_apic;
	struct apic_msg apic[MACHINE_APIC_QUEUE];
	/* page attributes of the first MiB: enum mem_kind */
	uint8_t shadow_read[MACHINE_LOW_PAGES];
	uint8_t shadow_write[MACHINE_LOW_PAGES];
};

struct machine {
	struct machine_config cfg;
	struct machine_host host;
	struct board *board;
	struct display_page *display;
	uint64_t icount, warp_ns;

	struct device *devices, **devices_tail;
	unsigned n_devices;
	struct device *pic, *ioapic; /* who answers INTACK and EOI */
	struct device *fw_cfg;
	struct drives *drives; /* drive.c */
	bool powered;	       /* the first reset is over */

	struct timer *timers[MACHINE_TIMERS_MAX];
	unsigned n_timers;
	uint64_t next_deadline_ns; /* of all timers; valid unless timers_dirty */
	bool timers_dirty;

	struct io_range io[MACHINE_IO_RANGES]; /* [0] is nobody */
	uint8_t io_byte[65536];		       /* range that answers byte accesses */
	uint8_t io_wide[65536];		       /* ... wider ones, if it can */
	struct io_range mmio[MACHINE_MMIO_MAX];
	unsigned n_mmio;

	struct line_port exports[MACHINE_PORTS_MAX], outputs[MACHINE_PORTS_MAX];
	unsigned n_exports, n_outputs;
	struct line isa_pic[ISA_IRQS], isa_ioapic[ISA_IRQS];
	uint8_t isa_n_sources[ISA_IRQS];

	struct pci_bus pci;

	struct vram_window vram_low, vram_high; /* below 1 MiB, and above RAM */
	bool map_changed, dma_told, ports_changed;
	struct line ferr_line;
	bool ferr, ignne;	/* FERR# of the present request, IGNNE# for its reply */
	uint32_t rom_low_pages; /* pages of ROM that end at 1 MiB */
	size_t rom_used;	/* bytes of the image at offset 0 of rom, mapped to end at 4 GiB */

	struct boot *boot;			 /* boot.c: what a reset puts into RAM */
	uint64_t stream_bytes[MACHINE_STREAMS];	 /* sent */
	uint64_t stream_credit[MACHINE_STREAMS]; /* granted, and not come yet */
};

/* ---- life (machine.c) ---- */

/* An empty machine: RAM, no chips. Takes a copy of *cfg; what it points to must stay. NULL with
 * *err. */
struct machine *machine_new(
	const struct machine_config *cfg, const struct machine_host *host, struct error *err);
void machine_free(struct machine *m);
/* The PC: all chips, then those of spec[]; wires them. 0 or -errno with *err. */
int board_build(
	struct machine *m, const struct device_spec *spec, unsigned n_specs, struct error *err);
/*
 * Creates and realizes one device. user: it was asked for by name, and must be user_creatable. NULL
 * with *err, which lists what exists.
 */
struct device *machine_add(
	struct machine *m, const struct device_spec *spec, bool user, struct error *err);
struct device *machine_find(struct machine *m, const char *id);
const struct device_class *machine_class(const char *name);
/* Value of a numeric property of a realized device, or dflt if it has none of that name. */
uint64_t device_prop(const struct device *dev, const char *name, uint64_t dflt);
/* Power-on, or RESET#: all devices, then what direct boot puts into RAM. */
void machine_reset(struct machine *m);

/* ---- requests (machine.c, io_space.c) ---- */

static inline uint64_t machine_now_ns(const struct machine *m)
{
	return (m->icount << m->cfg.shift) + m->warp_ns;
}
/* Starts a request: sets the time, forgets the DMA list if the vCPU has been told of it. */
void machine_begin(struct machine *m, uint64_t icount);
/* Might the vCPU have deferred this write? By the list of the last reply. */
bool machine_may_defer(const struct machine *m, uint16_t port, unsigned size, uint32_t val);
/* Then: a deferred write. False: it is to no port that may be written so. */
bool machine_deferred(struct machine *m, uint16_t port, unsigned size, uint32_t val);
/* Second step of a request of the guest: level of FERR# with it. */
void machine_ferr(struct machine *m, bool level);
/* Port and memory accesses: any address and size; what nobody answers reads all ones. */
uint32_t machine_in(struct machine *m, uint16_t port, unsigned size);
/* Do reads of this port take no time on the bus? */
bool machine_in_is_quick(const struct machine *m, uint16_t port);
/* Lists in the map's page what may be deferred and what is shown, anew if need be. */
void machine_ports_update(struct machine *m);
void machine_out(struct machine *m, uint16_t port, unsigned size, uint32_t val);
/*
 * Elements of REP INS and OUTS: the same as one request for each, the i-th at icount + i, up to the
 * first after which the vCPU has to look up. Return how many, at least 1 of n; icount is the last
 * one's then.
 */
uint32_t machine_ins(struct machine *m, uint16_t port, unsigned size, uint32_t n, uint8_t *buf);
uint32_t machine_outs(
	struct machine *m, uint16_t port, unsigned size, uint32_t n, const uint8_t *buf);
uint64_t machine_mmio_read(struct machine *m, uint64_t gpa, unsigned size);
void machine_mmio_write(struct machine *m, uint64_t gpa, unsigned size, uint64_t val);
uint8_t machine_intack(struct machine *m);
void machine_eoi(struct machine *m, uint8_t vector);
void machine_triple_fault(struct machine *m);
/* Ends a request: a pending reset is done, and rep gets flags (lines, A20, map, DMA) and APIC
 * messages. */
void machine_end(struct machine *m, struct bus_rep *rep);
/* Would a reply now tell the vCPU anything that could wake it? intr: the level it was last told. */
bool machine_wakes(const struct machine *m, bool intr);

/* One event of the log. 0, or -EINVAL with *err if the machine cannot have it (unknown stream,
 * ...). */
int machine_event(
	struct machine *m, const struct seq_rep *ev, const uint8_t *data, struct error *err);

/* ---- drives (drive.c) ---- */

/* Request id is complete: one that nobody waits for is ignored. */
void drive_event(struct machine *m, uint64_t id);
/* After fields were loaded from a snapshot, and the bytes of written requests into blkout: hands
 * what was in flight to the host again, in order. */
void drive_resubmit(struct machine *m);
/* For a snapshot: the requests in flight, at most BLK_BUFS, in order. */
unsigned drive_in_flight(const struct machine *m, struct blk_req *ret);

/* ---- timers (timer.c) ---- */

/* Runs all that are due at machine_now_ns(), in order of deadline, ties in order of creation. */
void machine_run_timers(struct machine *m);
/* The nearest deadline, TIMER_NEVER if none. */
uint64_t machine_deadline_ns(struct machine *m);
/* First icount at which virtual time is >= deadline_ns, at the present warp; BUS_NEVER for
 * TIMER_NEVER. */
uint64_t machine_icount_at(const struct machine *m, uint64_t deadline_ns);

/* ---- memory (memmap.c) ---- */

/* The image that lies at offset 0 of the rom segment ends at 4 GiB, and its last 128 KiB at 1 MiB.
 */
void memmap_set_rom(struct machine *m, size_t len);
void memmap_rebuild(struct machine *m);
/* Set-up and reset only: [gpa, gpa+len) of RAM, NULL if it is not all RAM. Marks all RAM as
 * written. */
uint8_t *memmap_ram(struct machine *m, uint64_t gpa, uint64_t len);

/* Video memory, whole, at a BAR's address; len 0: nowhere. Where RAM or ROM lies already it stays
 * MMIO. */
void memmap_vram_bar(struct machine *m, uint32_t gpa, uint32_t len);

/* ---- digests (state.c) ---- */

uint64_t device_digest(const struct device *dev);
/* An item for each device and each output stream. */
void machine_digest(struct machine *m, struct digest_writer *w);

/* ---- lines (board.c) ---- */

/* A new source of ISA interrupt irq: the level of the line is the OR of all its sources. */
struct line board_isa_line(struct machine *m, unsigned irq);
/* Connects output [i] of dev's port name; must() if there is no such. */
void board_connect(struct device *dev, const char *name, int i, struct line to);
/* The line that leads into dev's exported port; must() if there is no such. */
struct line board_input(struct device *dev, const char *name, int i);

#endif
