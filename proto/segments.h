/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared memory of the group: names under which the hub hands descriptors out
 * (Welcome.segments), and the layout of what lies in them. Little-endian host layout: all
 * processes of a group run on one host.
 *
 *   name        owner (writer)     who maps it             what
 *   ram         vcpu, devices      vcpu rw, devices rw     guest RAM, offset == guest-physical
 * address rom         devices            devices rw, vcpu ro     firmware image, mapped as struct
 * memmap says machine     see the struct     all rw                  struct machine_page cpustate
 * vcpu               vcpu rw, devices ro     struct cpu_state_page memmap      devices devices rw,
 * vcpu ro     struct memmap_page codemap     vcpu               vcpu rw, devices ro     a bit for
 * each RAM page that holds translated code chan-bus-vcpu, chan-bus-devices        the segments of
 * the vcpu(A)/devices(B) channel chan-seq-devices, chan-seq-replaylog   the devices(A)/replaylog(B)
 * channel chan-host-hub, chan-host-replaylog     the hub(A)/replaylog(B) channel (each side gets
 * its own segment writable and the peer's read-only) logtail     replaylog          replaylog rw,
 * hub ro    struct logtail: the log's bytes not yet in the file bell-hub, bell-vcpu, bell-devices,
 * bell-replaylog      eventfds logfile     replaylog          the log, opened by the hub (write
 * when recording, read when replaying) kernel, initrd, bios           devices    files, opened
 * read-only by the hub qmp-listen  qmpd               a listening socket
 *
 *   ram is followed by video memory (MachineConfig.vram_bytes); codemap has bits for it, too
 *   display          devices            devices rw, hub and display ro     struct display_page
 *   vgabios          devices            the video BIOS, a file
 *   vnc-listen       display            a listening socket
 *   terminal         display            the hub's terminal (-display curses)
 *   blkout           devices            devices rw, blkproxy ro: bytes to write (proto/blk.h)
 *   blkin            blkproxy           blkproxy rw, devices ro: bytes that were read
 *   blkflight        blkproxy           blkproxy rw: struct blk_flight
 *   chan-blk-devices, chan-blk-blkproxy        the devices(A)/blkproxy(B) channel
 *   chan-blkseq-blkproxy, chan-blkseq-replaylog   the blkproxy(A)/replaylog(B) channel
 *   bell-blkproxy    an eventfd
 *   state-vcpu, state-devices, state-replaylog   a process's state on its way into a snapshot or
 * out of it (proto/stateport.h): its own and whoever keeps snapshots rw snapfile         snapstore
 * the file of snapshots of a machine without disks
 */
#ifndef DEJAVM_SEGMENTS_H
#define DEJAVM_SEGMENTS_H

#include <stdint.h>
#include "atomic.h"

#define CONTROL_PROTOCOL_VERSION 1

#define MACHINE_LINE 64

enum run_state {
	RUN_PRELAUNCH, /* -S, or not yet started */
	RUN_RUNNING,
	RUN_PAUSED,
	RUN_SHUTDOWN, /* guest has shut down and -no-shutdown holds the group */
	RUN_QUIT,     /* everybody leaves */
};

enum proc_index {
	PROC_HUB,
	PROC_VCPU,
	PROC_DEVICES,
	PROC_REPLAYLOG,
	PROC_QMPD,
	PROC_BLKPROXY,
	PROC_NETPROXY,
	PROC_DISPLAY,
	PROC_SNAPSTORE,
	PROC_COUNT
};

/* Every word has one writer, and a cache line of its own. */
struct machine_page {
	/* Written by the hub; futex word: vcpu sleeps on it while it is not RUN_RUNNING or
	 * RUN_QUIT. */
	_Alignas(MACHINE_LINE) _Atomic uint32_t run_state;
	/* Doorbell word: written by replaylog. Not 0: input is queued, come to a checkpoint. */
	_Alignas(MACHINE_LINE) _Atomic uint32_t input_pending;
	/* Written by vcpu: 1 while it is parked because of run_state, 2 while it waits in HALT, 0
	 * while it runs. */
	_Alignas(MACHINE_LINE) _Atomic uint32_t vcpu_parked;
	/* Written by vcpu between slices; for people and for watchdogs only. */
	_Alignas(MACHINE_LINE) _Atomic uint64_t icount_now;
	/* Beats: each process adds 1 to its own at least every 500 ms while it lives and does its
	 * work. */
	struct {
		_Alignas(MACHINE_LINE) _Atomic uint64_t beat;
	} heart[PROC_COUNT];
};

/* Registers that go with each checkpoint; the order is the order of the CPU mark event. */
#define CPU_MARK_REGS(X) X(eax) X(ecx) X(edx) X(ebx) X(esp) X(ebp) X(esi) X(edi) X(eip) X(eflags)
enum {
#define X(n) CPU_MARK_##n,
	CPU_MARK_REGS(X)
#undef X
		CPU_MARK_COUNT
};

#define CPU_DIGEST_BLOB_MAX 16384

struct cpu_state_page {
	uint32_t mark[CPU_MARK_COUNT]; /* valid during BUS_CHECKPOINT and BUS_HALT */
	uint32_t blob_len; /* valid during BUS_DIGEST: digest items (proto/digest.h) of CPU and RAM
			    */
	uint8_t blob[CPU_DIGEST_BLOB_MAX];
};

/* The guest-physical address map below 4 GiB. Ranges are whole 4 KiB pages, sorted, without
 * overlap; what no entry names is MMIO. */
enum mem_kind {
	MEM_MMIO,
	MEM_RAM,
	MEM_ROM,
	MEM_NONE /* reads all ones, writes vanish, without asking devices */
};

struct memmap_entry {
	uint32_t gpa_page; /* first page */
	uint32_t npages;
	uint8_t read_kind;  /* enum mem_kind */
	uint8_t write_kind; /* MEM_RAM, MEM_MMIO or MEM_NONE */
	uint16_t pad_;
	uint32_t read_off_page;	 /* page in segment ram or rom */
	uint32_t write_off_page; /* page in segment ram */
};

#define MEMMAP_MAX_ENTRIES 64
#define DMA_LIST_MAX	   1022
#define POSTED_MAX	   16
#define DEFER_MAX	   16
#define SHOWN_MAX	   16

struct memmap_page {
	/* Read when a reply carries BUS_F_MAP. */
	uint32_t generation;
	uint32_t n_entries;
	struct memmap_entry entry[MEMMAP_MAX_ENTRIES];
	/* RAM pages that devices have written since their last reply; read when a reply carries
	 * BUS_F_DMA. */
	uint32_t n_dma;
	uint32_t dma_overflow; /* 1: any page may have been written */
	uint32_t dma_page[DMA_LIST_MAX];
	/* Ports to which a byte written does nothing that anything in the machine could notice;
	 * read with the map. The vCPU does not send such a write. */
	uint32_t n_posted;
	uint16_t posted_port[POSTED_MAX];
	/*
	 * Both lists are valid until the next request is sent. Writes of size bytes to ports
	 * [port, port + len), without any bit of mask, may come along with the next request.
	 */
	uint32_t n_defer;
	struct port_defer {
		uint16_t port, len;
		uint8_t size, pad_[3];
		uint32_t mask;
	} defer[DEFER_MAX];
	/* What a byte's read gives, as long as no write has been deferred. */
	uint32_t n_shown;
	struct port_shown {
		uint16_t port;
		uint8_t value, pad_;
	} shown[SHOWN_MAX];
};

/*
 * The log's bytes that are not yet in the file, and where whole chunks end in it, so that the hub
 * can finish the log when replaylog has been killed, at whatever instant (proto/logtail.h). Two
 * banks: `current` collects; the other is prepared while its chunk is being written, and one store
 * of `current` makes "the chunk is in the file" and "a new one begins" one fact.
 */
#define LOGTAIL_BANK_MAX (512u * 1024)

struct logtail_bank {
	_Atomic uint64_t head; /* raw event bytes in data[] that are valid: whole events only */
	uint64_t start_icount; /* of the chunk being collected in data[] */
	uint64_t start_event;
	uint64_t file_len; /* bytes of header and whole chunks in the file before this chunk */
	uint8_t data[LOGTAIL_BANK_MAX];
};

struct logtail {
	_Alignas(MACHINE_LINE) _Atomic uint64_t state; /* enum logtail_state */
	uint64_t encoding;	      /* the header's reserved field: 0 plain, 1 chunks */
	_Atomic uint64_t last_icount; /* where a log that ends now ends */
	_Atomic uint32_t current;     /* bank[current & 1] collects */
	struct logtail_bank bank[2];
};

enum logtail_state { LOGTAIL_NONE, LOGTAIL_RECORDING, LOGTAIL_CLOSED /* END is in the file */ };

#endif
