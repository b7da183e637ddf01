/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps snapshots in qcow2 images: what the hub's SnapshotRequests ask for. The VM state goes into
 * the first image, where qcow2 keeps it; of each further one a snapshot of the same name is made
 * beside it. It knows no sockets, so that a unit test, the process of machines without disks and
 * blkproxy use it alike.
 */
#ifndef DEJAVM_SNAPSTORE_H
#define DEJAVM_SNAPSTORE_H

#include "control.pb-c.h"
#include "image.h"
#include "vmstate.h"

#define SNAPSTORE_IMAGES_MAX 16
#define SNAPSTORE_PARTS	     3

struct snapstore {
	/* set by the owner */
	struct image *image[SNAPSTORE_IMAGES_MAX];
	size_t n_images;
	/* Under image[i]: the overlay that a recording kept, open for reading. It shows what it
	 * held at its snapshot `view`, or (view "") nothing. NULL: there is none. */
	struct image *kept[SNAPSTORE_IMAGES_MAX];
	char view[IMAGE_SNAPSHOT_NAME_MAX];
	bool disks; /* they are the machine's: a restore takes them back, too */
	struct ram_codec *codec;
	struct vmstate_ram ram;
	struct {
		const char *role; /* a part of a snapshot */
		uint8_t *mem;	  /* the segment in which it travels */
		size_t len;
	} part[SNAPSTORE_PARTS];
	/* private */
	struct vmstate open;
	bool is_open;
	char open_name[IMAGE_SNAPSHOT_NAME_MAX];
	bool open_kept;				 /* it is one of kept's */
	char open_view[IMAGE_SNAPSHOT_NAME_MAX]; /* what kept has to show for it */
};

/* Does rq; *ret has been initialised and is freed with snapstore_reply_done(). */
void snapstore_serve(
	struct snapstore *s, const Dejavm__SnapshotRequest *rq, Dejavm__SnapshotReply *ret);
void snapstore_reply_done(Dejavm__SnapshotReply *r);

#endif
