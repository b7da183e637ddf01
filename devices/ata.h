/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the IDE controller, the units on its channels and their commands share. ATA/ATAPI-7
 * (INCITS 397), with LBA48 and TRIM as in ATA8-ACS; the bus master after "Programming Interface for
 * Bus Master IDE Controller", revision 1.0.
 *
 *	piix3_ide.c	the controller: ports, channels
 *	ide_busmaster.c	a channel's bus master
 *	ata_unit.c	a unit's registers, resets, interrupt
 *	ata_xfer.c	moving data between host, buffer and drive
 *	ata_cmds.c, ata_identify.c	the disk's commands ("ide-hd")
 *	atapi_cd.c, atapi_mmc.c		the CD-ROM drive's ("ide-cd")
 */
#ifndef DEJAVM_ATA_H
#define DEJAVM_ATA_H

#include "device.h"

#define ATA_SECTOR     512
#define ATA_BUF_LEN    65536 /* data that pass through the data port at once */
#define ATA_CHANNELS   2
#define ATA_UNITS      2
#define ATA_PACKET_LEN 12

/* status */
#define ATA_BSY	 0x80
#define ATA_DRDY 0x40
#define ATA_DF	 0x20
#define ATA_DSC	 0x10
#define ATA_DRQ	 0x08
#define ATA_ERR	 0x01
/* error */
#define ATA_UNC	 0x40
#define ATA_IDNF 0x10
#define ATA_ABRT 0x04
/* device control */
#define ATA_HOB	 0x80
#define ATA_SRST 0x04
#define ATA_NIEN 0x02
/* device */
#define ATA_LBA	 0x40
#define ATA_DEV1 0x10
/* interrupt reason of PACKET, in the sector count register */
#define ATA_COD 0x01 /* command, not data */
#define ATA_IO	0x02 /* to the host */

/* Registers by their offset from the command block's first port. */
enum ata_reg {
	ATA_REG_DATA,
	ATA_REG_ERROR, /* features when written */
	ATA_REG_COUNT,
	ATA_REG_LBA0,
	ATA_REG_LBA1,
	ATA_REG_LBA2,
	ATA_REG_DEVICE,
	ATA_REG_STATUS, /* command when written */
};

#define ATA_CMD_DEVICE_RESET 0x08
#define ATA_CMD_DIAGNOSTIC   0x90

/* What a unit is doing. */
enum ata_phase {
	ATA_IDLE,
	ATA_PIO_IN,  /* the host reads the buffer, or the drive fills it */
	ATA_PIO_OUT, /* the host fills the buffer, or it is being written */
	ATA_DMA_IN,
	ATA_DMA_OUT,
	ATA_WAIT,  /* a flush or discard */
	ATA_STUCK, /* the bus master has no more memory for what is left: only a reset or a new
		      command helps */
};

/* A channel: its own state is the controller's to save. */
struct ata_channel {
	struct device *controller;
	struct ata_unit *unit[ATA_UNITS];
	struct line irq;
	uint8_t n;	  /* 0: primary */
	uint8_t selected; /* unit that the device register names */
	uint8_t control;  /* device control register */
	/* bus master */
	uint8_t bm_command, bm_status;
	uint8_t bm_last; /* the present region is the table's last */
	uint32_t bm_table, bm_next, bm_addr, bm_left;
};

struct ata_unit;

/* What distinguishes a disk from a CD-ROM drive. */
struct ata_kind {
	uint8_t signature[2]; /* in the middle and high LBA registers after a reset */
	uint8_t idle_status;  /* after a reset */
	bool packet;	      /* takes DEVICE RESET */
	void (*command)(struct ata_unit *u, uint8_t command);
	/* A block of len bytes is about to be offered (or asked for) through the data port. May be
	 * NULL. */
	void (*block)(struct ata_unit *u, uint32_t len);
	void (*received)(struct ata_unit *u); /* ata_receive(): the buffer is full */
	void (*done)(struct ata_unit *u);     /* all data have been moved, or ATA_WAIT is over */
	void (*failed)(struct ata_unit *u, uint32_t error); /* the drive failed at u->offset */
};

struct ata_unit {
	struct device dev;
	const struct ata_kind *kind;
	struct ata_channel *ch;
	const struct drive_info *medium; /* NULL: none */
	/* properties */
	const char *bus, *serial, *model, *ver;
	uint32_t unit, drive, bootindex;
	/* saved: registers */
	uint8_t status, error, feature, count, lba[3], device;
	uint8_t hob_feature, hob_count, hob_lba[3]; /* what was written before */
	uint8_t intrq;
	uint8_t reset_wait; /* a reset ends when the request in flight does */
	uint8_t command;    /* the present or last one */
	/* saved: transfer */
	uint8_t phase;	    /* enum ata_phase */
	uint8_t from_drive; /* the buffer is a window on the drive */
	uint8_t short_dma;  /* the bus master had less than asked for */
	uint64_t io_id;	    /* request in flight, 0: none */
	uint64_t offset;    /* in the drive: of the buffer, or of the next piece */
	uint64_t left;	    /* bytes between drive and host, from offset on */
	uint32_t io_len;
	uint32_t block;		/* bytes of a DRQ block */
	uint32_t pos, end, len; /* in the buffer: next byte, end of the DRQ block, end of data */
	uint8_t buf[ATA_BUF_LEN];
	/* saved: disk */
	uint8_t heads, sectors; /* of the present CHS translation */
	uint8_t multiple;	/* sectors of a block, 0: MULTIPLE is disabled */
	uint8_t xfer_mode;	/* SET FEATURES 03h */
	uint8_t write_cache, look_ahead, smart, standby;
	uint8_t fua;	   /* the present write is over when it is durable */
	uint64_t trim_pos; /* next range of DATA SET MANAGEMENT in the buffer */
	/* saved: CD-ROM drive */
	uint8_t packet_wait; /* buffer takes a packet */
	uint8_t packet_dma;
	uint8_t sense_key, asc, ascq;
	uint8_t attention; /* additional sense code of a unit attention, 0: none */
	uint8_t tray_open, tray_locked, media_event;
	uint8_t packet[ATA_PACKET_LEN];
};

/* ---- piix3_ide.c ---- */

/* Puts a unit on the channel and place that its properties name, or the first free one. 0 or
 * -errno with *err. */
int ide_attach(struct ata_unit *u, struct error *err);
/* The unit at a place, or NULL. */
struct ata_unit *ide_unit(struct machine *m, unsigned channel, unsigned unit);
/* The channel's interrupt line follows its units; edge: a unit has just asserted it. */
void ide_irq_update(struct ata_channel *ch, bool edge);

/* ---- ide_busmaster.c ---- */

/* Is the bus master at work, in this direction? */
bool bm_ready(const struct ata_channel *ch, bool to_ram);
/* Move bytes between a unit and the memory that the table names. How many it took: fewer than len
 * when the table or the memory ends. */
uint32_t bm_to_ram(struct ata_channel *ch, const uint8_t *buf, uint32_t len);
uint32_t bm_from_ram(struct ata_channel *ch, uint8_t *buf, uint32_t len);
/* Its eight ports. */
uint8_t bm_reg_read(const struct ata_channel *ch, unsigned reg);
void bm_reg_write(struct ata_channel *ch, unsigned reg, uint8_t val);
/* Which of them, from base on, may be deferred and what they show: of struct device_class's ports.
 */
void bm_ports(const struct ata_channel *ch, uint32_t base);
/* The channel has asserted its interrupt. */
void bm_interrupt(struct ata_channel *ch);
void bm_reset(struct ata_channel *ch);
void bm_loaded(struct ata_channel *ch);

/* ---- ata_unit.c ---- */

uint8_t ata_reg_read(struct ata_unit *u, enum ata_reg reg, bool hob);
void ata_reg_write(struct ata_unit *u, enum ata_reg reg, uint8_t val);
void ata_command_write(struct ata_unit *u, uint8_t command);
/* Resets: begin at once, end when no request is in flight. hard: RESET#. */
void ata_reset_begin(struct ata_unit *u, bool hard);
void ata_reset_end(struct ata_unit *u);
/* Puts the signature into the registers. */
void ata_signature(struct ata_unit *u);
void ata_irq(struct ata_unit *u);
/* End of a command: status and interrupt. */
void ata_end(struct ata_unit *u);
void ata_fail(struct ata_unit *u, uint8_t error);
/* EXECUTE DEVICE DIAGNOSTIC: both units, whichever is selected. */
void ata_diagnostic(struct ata_unit *u);
extern const struct field ata_fields[];
/* The properties of both: QEMU's names. */
extern const struct prop ata_props[];
/* Common parts of the two classes. */
int ata_realize(struct ata_unit *u, const struct ata_kind *kind, struct error *err);
void ata_blk_done(
	struct device *dev, uint64_t id, uint32_t error, const uint8_t *data, uint32_t len);
void ata_loaded(struct device *dev);
/* The other unit of the channel, or NULL. */
struct ata_unit *ata_other(const struct ata_unit *u);

/* ---- ata_xfer.c: one transfer at a time ---- */

/* Drive to host and back: left bytes at offset, through the data port in blocks, or by DMA. */
void ata_read(struct ata_unit *u, uint64_t offset, uint64_t left, uint32_t block, bool dma);
void ata_write(struct ata_unit *u, uint64_t offset, uint64_t left, uint32_t block, bool dma);
/* The first len bytes of the buffer to the host; len bytes of the host into the buffer. */
void ata_send(struct ata_unit *u, uint32_t len, uint32_t block, bool dma);
void ata_receive(struct ata_unit *u, uint32_t len, uint32_t block, bool dma);
void ata_flush(struct ata_unit *u);
void ata_discard(struct ata_unit *u, uint64_t offset, uint64_t len);
/* No transfer any more. */
void ata_xfer_stop(struct ata_unit *u);
/* The bus master was started, or a piece has been moved. */
void ata_dma_go(struct ata_unit *u);
void ata_xfer_io_done(struct ata_unit *u, uint32_t error, const uint8_t *data, uint32_t len);
/* The data port: n elements of size bytes. */
void ata_data_read(struct ata_unit *u, unsigned size, uint32_t n, uint8_t *buf);
void ata_data_write(struct ata_unit *u, unsigned size, uint32_t n, const uint8_t *buf);

/* ---- ata_identify.c ---- */

/* IDENTIFY DEVICE, IDENTIFY PACKET DEVICE and SMART data: 512 bytes into the buffer. */
void ata_identify_disk(struct ata_unit *u);
void ata_identify_packet(struct ata_unit *u);
void ata_smart_data(struct ata_unit *u);
/* The translation that the disk has after power-on. */
#define ATA_HEADS   16
#define ATA_SECTORS 63
uint32_t ata_cylinders(const struct ata_unit *u);

/* ---- atapi_mmc.c ---- */

/* Executes u->packet. */
void atapi_execute(struct ata_unit *u);
/* How atapi_mmc.c ends a command. */
void atapi_good(struct ata_unit *u);
void atapi_check(struct ata_unit *u, uint8_t key, uint8_t asc, uint8_t ascq);
/* Sends the first len bytes of the buffer, at most max. */
void atapi_reply(struct ata_unit *u, uint32_t len, uint32_t max);
void atapi_read_blocks(struct ata_unit *u, uint32_t lba, uint32_t n);

#endif
