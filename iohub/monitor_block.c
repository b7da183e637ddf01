/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP about disks. The shape is QEMU's; what this machine does not have (throttling, jobs) says so
 * with zeros. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <json.h>

#include "atomic.h"
#include "hub.h"

static void put_string(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static void put_number(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void put_bool(struct json_object *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

/* The answer, or QEMU's kind of error when it is too long for one. */
static const char *give(struct json_object *v, char *ret, size_t cap)
{
	int n = snprintf(ret, cap, "%s", json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));

	json_object_put(v);
	if ((size_t)n < cap)
		return NULL;
	strcpy(ret, "{}");
	return "The answer is too long";
}

static const struct device_spec *device_of(const struct hub *hub, unsigned drive)
{
	for (size_t i = 0; i < hub->opt.n_devices; i++) {
		const struct device_spec *d = &hub->opt.devices[i];

		if ((d->type->flags & DEVICE_DISK) && d->drive == (int)drive)
			return d;
	}
	return NULL;
}

static void put_qdev(struct json_object *o, const struct hub *hub, unsigned drive)
{
	const struct device_spec *d = device_of(hub, drive);
	uint64_t bus = 0, unit = 0;
	char path[64];

	if (d && d->id) {
		put_string(o, "qdev", d->id);
		return;
	}
	if (d) {
		device_spec_get(d, "bus", &bus);
		device_spec_get(d, "unit", &unit);
	}
	snprintf(path, sizeof(path), "ide.%u/unit.%u", (unsigned)bus, (unsigned)unit);
	put_string(o, "qdev", path);
}

/* ---- what is in a drive ---- */

static void put_image(struct json_object *o, const struct hub *hub, unsigned drive,
	const struct disk_file *f, bool top)
{
	struct json_object *image = json_object_new_object();
	const struct disks *d = &hub->disks;
	struct stat st = { 0 };

	fstat(f->fd, &st);
	put_string(image, "filename", f->name);
	put_string(image, "format", f->overlay ? "qcow2" : top ? d->info[drive].format : "file");
	put_number(image, "virtual-size", d->info[drive].len);
	put_number(image, "actual-size", (uint64_t)st.st_blocks * 512);
	if (!f->overlay && top && d->info[drive].cluster_len)
		put_number(image, "cluster-size", d->info[drive].cluster_len);
	put_bool(image, "dirty-flag", false);
	if (f->overlay) {
		put_string(image, "backing-filename", hub->opt.drives[drive].image->file);
		put_string(image, "full-backing-filename", d->drives[drive].backing);
		put_string(image, "backing-filename-format", d->info[drive].format);
	}
	json_object_object_add(o, "image", image);
}

static struct json_object *cache_of(const struct drive_plan *plan)
{
	struct json_object *c = json_object_new_object();

	put_bool(c, "writeback", plan->cache != DRIVE_WRITETHROUGH);
	put_bool(c, "direct", false);
	put_bool(c, "no-flush", plan->cache == DRIVE_UNSAFE || plan->temporary);
	return c;
}

/* A node of QEMU's block layer: here, a file of a drive. depth: files below it. */
static struct json_object *node(
	const struct hub *hub, unsigned drive, size_t file, bool top, unsigned depth)
{
	static const char *const zeros[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd",
		"iops_wr", "write_threshold" };
	const struct drive_plan *plan = &hub->opt.drives[drive];
	const struct disk_file *f = &hub->disks.files[file];
	struct json_object *o = json_object_new_object();
	char name[48];

	snprintf(name, sizeof(name), "#drive%u.%zu", drive, file);
	put_string(o, "file", f->name);
	put_string(o, "node-name",
		!f->overlay && top && plan->image->node_name ? plan->image->node_name : name);
	put_string(o, "drv", f->overlay ? "qcow2" : top ? hub->disks.info[drive].format : "file");
	put_bool(o, "ro", !f->write);
	put_bool(o, "encrypted", false);
	put_number(o, "backing_file_depth", depth);
	if (f->overlay)
		put_string(o, "backing_file", plan->image->file);
	json_object_object_add(o, "cache", cache_of(plan));
	put_string(o, "detect_zeroes", "off");
	for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++)
		put_number(o, zeros[i], 0);
	put_image(o, hub, drive, f, top);
	return o;
}

/* Files of a drive, in the order in which requests meet them: the overlay, which was there before
 * the image was opened, comes first. */
static unsigned files_of(const struct hub *hub, unsigned drive, size_t *ret, unsigned max)
{
	unsigned n = 0;

	for (size_t i = 0; i < hub->disks.n_files && n < max; i++)
		if (hub->disks.files[i].drive == drive)
			ret[n++] = i;
	return n;
}

#define FILES_SHOWN 80

const char *cmd_query_block(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < hub->opt.n_drives; i++) {
		const struct drive_plan *plan = &hub->opt.drives[i];
		struct json_object *o = json_object_new_object();
		size_t files[FILES_SHOWN];
		unsigned n = files_of(hub, i, files, FILES_SHOWN);

		put_string(o, "device", plan->id);
		put_qdev(o, hub, i);
		put_string(o, "type", "unknown");
		put_bool(o, "removable", plan->cdrom);
		put_bool(o, "locked", false);
		put_string(o, "io-status", "ok");
		if (plan->cdrom)
			put_bool(o, "tray_open", false);
		if (n)
			json_object_object_add(o, "inserted", node(hub, i, files[0], true, n - 1));
		json_object_array_add(list, o);
	}
	return give(list, ret, cap);
}

const char *cmd_query_named_block_nodes(
	struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < hub->opt.n_drives; i++) {
		size_t files[FILES_SHOWN];
		unsigned n = files_of(hub, i, files, FILES_SHOWN);
		bool over = n && hub->disks.files[files[0]].overlay;

		for (unsigned k = 0; k < n; k++)
			json_object_array_add(list, node(hub, i, files[k], k <= over, n - 1 - k));
	}
	return give(list, ret, cap);
}

/* ---- what it did ---- */

static struct json_object *stats_of(const struct hub *hub, unsigned drive)
{
	static const struct {
		unsigned op;
		const char *n, *bytes, *failed, *ns, *merged, *invalid;
	} rows[] = {
		{ BLK_READ, "rd_operations", "rd_bytes", "failed_rd_operations", "rd_total_time_ns",
			"rd_merged", "invalid_rd_operations" },
		{ BLK_WRITE, "wr_operations", "wr_bytes", "failed_wr_operations",
			"wr_total_time_ns", "wr_merged", "invalid_wr_operations" },
		{ BLK_FLUSH, "flush_operations", NULL, "failed_flush_operations",
			"flush_total_time_ns", NULL, "invalid_flush_operations" },
		{ BLK_DISCARD, "unmap_operations", "unmap_bytes", "failed_unmap_operations",
			"unmap_total_time_ns", "unmap_merged", "invalid_unmap_operations" },
	};
	const struct blk_stats *s = &hub->blkflight->stats[drive];
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned op = rows[i].op;

		put_number(o, rows[i].n, atomic_read(&s->n[op]));
		if (rows[i].bytes)
			put_number(o, rows[i].bytes, atomic_read(&s->bytes[op]));
		put_number(o, rows[i].failed, atomic_read(&s->failed[op]));
		put_number(o, rows[i].ns, atomic_read(&s->ns[op]));
		if (rows[i].merged)
			put_number(o, rows[i].merged, 0);
		put_number(o, rows[i].invalid, 0);
	}
	put_bool(o, "account_invalid", true);
	put_bool(o, "account_failed", true);
	json_object_object_add(o, "timed_stats", json_object_new_array());
	return o;
}

const char *cmd_query_blockstats(struct hub *hub, struct json_object *args, char *ret, size_t cap)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < hub->opt.n_drives; i++) {
		struct json_object *o = json_object_new_object();

		put_string(o, "device", hub->opt.drives[i].id);
		put_qdev(o, hub, i);
		json_object_object_add(o, "stats", stats_of(hub, i));
		json_object_array_add(list, o);
	}
	return give(list, ret, cap);
}
