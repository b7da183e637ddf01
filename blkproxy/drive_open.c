/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening what a drive consists of: the image, and perhaps an overlay above it (see drive.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drive.h"
#include "log.h"

typedef int opener_fn(void *opaque, const char *name, enum image_open_flags flags);

static bool has_overlay(const Dejavm__BlkDrive *cfg)
{
	return *cfg->overlay != '\0';
}

static int open_image(struct drive *d, opener_fn *opener, void *opaque, struct error *err)
{
	const Dejavm__BlkDrive *cfg = d->cfg;
	struct image_how how = { .name = cfg->file,
		.format = *cfg->format ? cfg->format : NULL,
		.readonly = cfg->readonly || has_overlay(cfg),
		.no_sync = cfg->cache == DEJAVM__BLK_CACHE__BLK_CACHE_UNSAFE,
		.tables = IMAGE_TABLES_THROUGH, /* we may be killed, and lose nothing */
		.opener = opener,
		.opaque = opaque };
	struct image_info info;
	int r = image_open(&how, &d->image, err);

	if (r < 0)
		return r;
	image_get_info(d->image, &info);
	snprintf(d->format, sizeof(d->format), "%s", info.format);
	d->cluster_len = info.cluster_len;
	d->len = info.len;
	if (!d->len)
		return error_set(
			err, EINVAL, "'%s' is empty: expected at least one sector", cfg->file);
	return 0;
}

/* What the recording kept, as it was at one of its snapshots, or before the first write. */
static int open_kept(struct drive *d, opener_fn *opener, void *opaque, struct error *err)
{
	const Dejavm__BlkDrive *cfg = d->cfg;
	/* What its header says is below it is not looked for: it may have been moved since. */
	struct image_how how = { .name = cfg->kept,
		.format = "qcow2",
		.readonly = true,
		.no_backing = true,
		.opener = opener,
		.opaque = opaque };
	struct image *img;
	int r = image_open(&how, &img, err);

	if (r < 0)
		return r;
	if (image_len(img) != d->len)
		r = error_set(err, EINVAL, "overlay '%s' has %llu bytes, the image below it %llu",
			cfg->kept, (unsigned long long)image_len(img), (unsigned long long)d->len);
	else
		r = image_snapshot_show(img, *cfg->kept_view ? cfg->kept_view : NULL, err);
	if (r < 0) {
		image_close(img, NULL);
		return r;
	}
	image_lay_over(img, d->image);
	d->image = d->kept = img;
	return 0;
}

static int open_kept_if_wanted(struct drive *d, opener_fn *opener, void *opaque, struct error *err)
{
	const Dejavm__BlkDrive *cfg = d->cfg;
	int r = *cfg->kept ? open_kept(d, opener, opaque, err) : 0;

	if (r == 0 || cfg->kept_needed || *cfg->kept_view)
		return r;
	log_warn("%s: %s; its snapshots cannot be loaded", cfg->option, err->msg);
	*err = (struct error)ERROR_INIT;
	return 0;
}

static int make_overlay(struct drive *d, opener_fn *opener, void *opaque, struct error *err)
{
	struct qcow2_how how = { .len = d->len,
		.refcount_order = -1u,
		.backing = d->cfg->backing,
		.backing_format = d->format };
	int fd = opener(opaque, d->cfg->overlay, IMAGE_OPEN_RDWR), r;

	if (fd < 0)
		return error_set(
			err, -fd, "overlay '%s': opening: %s", d->cfg->overlay, strerror(-fd));
	r = image_create_qcow2(fd, &how, err);
	close(fd);
	return r;
}

/* Over the image that is open; backing files are not looked for a second time. */
static int open_overlay(struct drive *d, opener_fn *opener, void *opaque, struct error *err)
{
	const Dejavm__BlkDrive *cfg = d->cfg;
	bool lasts = cfg->overlay_kept;
	struct image_how how = { .name = cfg->overlay,
		.format = "qcow2",
		.no_lock = !lasts,
		.no_sync = !lasts || cfg->cache == DEJAVM__BLK_CACHE__BLK_CACHE_UNSAFE,
		.tables = IMAGE_TABLES_THROUGH,
		.backing = d->image,
		.opener = opener,
		.opaque = opaque };
	struct image *img;
	int r = cfg->overlay_new ? make_overlay(d, opener, opaque, err) : 0;

	if (r == 0)
		r = image_open(&how, &img, err);
	if (r < 0)
		return r;
	d->image = img;
	if (image_len(img) != d->len)
		return error_set(err, EINVAL,
			"overlay '%s' has %llu bytes, the image below it %llu", cfg->overlay,
			(unsigned long long)image_len(img), (unsigned long long)d->len);
	return 0;
}

void drive_init(struct drive *d, const Dejavm__BlkDrive *cfg, bool replaying)
{
	*d = (struct drive){ .cfg = cfg, .replaying = replaying };
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	d->end = &d->first;
	d->injected = &d->injected_here;
	d->through = cfg->cache == DEJAVM__BLK_CACHE__BLK_CACHE_WRITETHROUGH;
}

int drive_open(struct drive *d, opener_fn *opener, void *opaque, struct error *err)
{
	int r;

	if (!*d->cfg->file)
		return 0;
	d->bounce = malloc(BLK_SECTOR);
	if (!d->bounce)
		return error_set(err, ENOMEM, "out of memory");
	r = open_image(d, opener, opaque, err);
	if (r == 0)
		r = open_kept_if_wanted(d, opener, opaque, err);
	if (r == 0 && has_overlay(d->cfg))
		r = open_overlay(d, opener, opaque, err);
	return r < 0 ? error_prefix(err, "%s", d->cfg->option) : 0;
}

int drive_close(struct drive *d, struct error *err)
{
	int r;

	drive_stop(d);
	r = image_close(d->image, err);
	d->image = NULL;
	free(d->bounce);
	d->bounce = NULL;
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
	return r;
}
