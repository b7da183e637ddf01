/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hub's part in disks: it opens the files of images for blkproxy, and keeps them, so that
 * blkproxy's next life gets the same open files (locks, and overlays without a name, last as long
 * as they); and it makes of them what the log says of the disks.
 */
#ifndef DEJAVM_HUB_DISKS_H
#define DEJAVM_HUB_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "blk.h"
#include "control.pb-c.h"
#include "error.h"
#include "options.h"

struct hub;

struct disk_file {
	unsigned drive;
	char *name; /* as blkproxy asks for it */
	bool write, overlay;
	int fd;
};

struct disks {
	Dejavm__BlkConfig config;
	Dejavm__BlkDrive drives[BLK_DRIVES_MAX], *drive_ptrs[BLK_DRIVES_MAX];
	Dejavm__BlkInject inject[BLK_DRIVES_MAX][DRIVE_INJECTS_MAX],
		*inject_ptrs[BLK_DRIVES_MAX][DRIVE_INJECTS_MAX];
	char *backing[BLK_DRIVES_MAX], *overlay[BLK_DRIVES_MAX];
	char *kept_view;	      /* drives' kept_view, or NULL */
	bool created[BLK_DRIVES_MAX]; /* the overlay has a name, and we made it */
	struct disk_file *files;      /* in the order in which they were opened */
	size_t n_files;
	bool opened; /* blkproxy has opened all; no other file is opened from then on */
	struct {
		uint64_t len;
		char format[16];
		uint32_t cluster_len;
	} info[BLK_DRIVES_MAX];
};

/* What blkproxy is told; makes overlays. Before any process is started. 0 or -errno with *err. */
int disks_open(struct hub *hub, struct error *err);
/* blkproxy is about to be welcomed. */
void disks_before_welcome(struct hub *hub);
/* blkproxy's messages. */
void disks_on_open(struct hub *hub, const Dejavm__OpenImage *m);
void disks_on_opened(struct hub *hub, const Dejavm__DrivesOpened *m);
/* A snapshot was loaded: blkproxy's next life has to show the same. */
void disks_on_restored(struct hub *hub, const char *kept_view);
/* The disk and its files in the words of the log's configuration; the caller frees it. */
char *disks_describe(const struct hub *hub, unsigned drive);
/* The names of the files that it describes, which are ours; the caller frees the list. */
char **disks_described_names(const struct hub *hub, unsigned drive, size_t *ret_n);
void disks_close(struct hub *hub);

#endif
