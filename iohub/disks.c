/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of disk images (see disks.h).
 *
 * Whose names are opened: the user's, as he wrote them, for writing if the drive is; and names of
 * backing files, which are those of whoever made the image, for reading only, and only until all
 * images are open. Nothing but regular files, and block devices if the user named them.
 */
#include "disks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diskkey.h"
#include "hash.h"
#include "hub.h"
#include "log.h"

#define FILES_MAX  1024
#define HEADER_LEN 65536 /* bytes of a file that its digest is about */

/* ---- the files ---- */

static int keep_file(struct hub *hub, unsigned drive, const char *name, bool write, bool overlay,
	int fd, struct error *err)
{
	struct disks *d = &hub->disks;
	struct disk_file *v = realloc(d->files, (d->n_files + 1) * sizeof(*v));

	must(v);
	d->files = v;
	if (d->n_files == FILES_MAX) {
		close(fd);
		return error_set(err, EMFILE, "more than %d files of images", FILES_MAX);
	}
	v[d->n_files] = (struct disk_file){ drive, strdup(name), write, overlay, fd };
	must(v[d->n_files].name);
	d->n_files++;
	return fd;
}

static int find_file(const struct disks *d, unsigned drive, const char *name, bool write)
{
	for (size_t i = 0; i < d->n_files; i++) {
		const struct disk_file *f = &d->files[i];

		if (f->drive == drive && f->write == write && !strcmp(f->name, name))
			return f->fd;
	}
	return -ENOENT;
}

/* Another drive that writes this file, or that has it while we want to write. */
static const struct disk_file *other_user(
	const struct disks *d, unsigned drive, const struct stat *st, bool write)
{
	for (size_t i = 0; i < d->n_files; i++) {
		const struct disk_file *f = &d->files[i];
		struct stat other;

		if (f->drive != drive && (f->write || write) && fstat(f->fd, &other) == 0 &&
			other.st_dev == st->st_dev && other.st_ino == st->st_ino)
			return f;
	}
	return NULL;
}

static int open_file(
	struct hub *hub, unsigned drive, const char *name, bool write, struct error *err)
{
	struct disks *d = &hub->disks;
	bool users = !strcmp(name, d->drives[drive].file);
	const struct disk_file *other;
	struct stat st;
	int fd = open(name, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return error_set(err, errno, "%s", "");
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		close(fd);
		return error_set(err, EINVAL, "it is neither a file nor a block device");
	}
	if (!users && !S_ISREG(st.st_mode)) {
		close(fd);
		return error_set(
			err, EACCES, "an image may not name a block device as its backing file");
	}
	other = other_user(d, drive, &st, write);
	if (other) {
		close(fd);
		return error_set(err, EBUSY, "drive '%s' has it open%s",
			hub->opt.drives[other->drive].id, other->write ? " for writing" : "");
	}
	/* The overlay of a recording is not part of what it began with. */
	return keep_file(hub, drive, name, write, !strcmp(name, d->drives[drive].kept), fd, err);
}

static int get_file(struct hub *hub, const Dejavm__OpenImage *m, struct error *err)
{
	struct disks *d = &hub->disks;
	const struct drive_plan *plan;
	int fd;

	if (m->drive >= hub->opt.n_drives)
		return error_set(err, ENOENT, "there is no such drive");
	plan = &hub->opt.drives[m->drive];
	fd = find_file(d, m->drive, m->name, m->write);
	if (fd >= 0)
		return fd;
	if (d->opened)
		return error_set(err, ESTALE, "all images have been opened before, without it");
	if (m->write && (!plan->image || strcmp(m->name, plan->image->file) || plan->readonly ||
				*d->drives[m->drive].overlay))
		return error_set(err, EACCES, "it may only be read");
	return open_file(hub, m->drive, m->name, m->write, err);
}

void disks_on_open(struct hub *hub, const Dejavm__OpenImage *m)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__OpenedImage r = DEJAVM__OPENED_IMAGE__INIT;
	struct error err = ERROR_INIT;
	int fd = get_file(hub, m, &err);

	if (fd < 0) {
		r.error = (uint32_t)-fd;
		r.text = err.msg;
	}
	c.msg_case = DEJAVM__CONTROL__MSG_OPENED_IMAGE;
	c.opened_image = &r;
	process_send_fd(&hub->proc[PROC_BLKPROXY], &c, fd);
}

/* ---- overlays ---- */

static int make_kept(struct hub *hub, const struct drive_plan *plan, struct error *err)
{
	int fd = open(plan->overlay, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0644);

	if (fd < 0 && errno == EEXIST)
		return error_set(err, EEXIST,
			"%s: overlay=%s: it exists, and is not overwritten: it may be the disk of "
			"another recording",
			plan->image->option, plan->overlay);
	if (fd < 0)
		return error_set(err, errno, "%s: overlay=%s: cannot make it: %s",
			plan->image->option, plan->overlay, strerror(errno));
	hub->disks.created[plan->index] = true;
	return fd;
}

/* A file without a name, in a folder that is likely to have room. */
static int make_temporary(
	struct hub *hub, const struct drive_plan *plan, char **ret_name, struct error *err)
{
	const char *tmpdir = getenv("TMPDIR");
	const char *dirs[] = { tmpdir && *tmpdir ? tmpdir : NULL,
		hub->rundir.keep ? hub->rundir.path : NULL, "/var/tmp", "/tmp", hub->rundir.path };
	int fd = -1;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && fd < 0; i++) {
		if (!dirs[i])
			continue;
		free(*ret_name);
		must(asprintf(ret_name, "%s/dejavm-overlay-%u-XXXXXX", dirs[i], plan->index) > 0);
		fd = mkostemp(*ret_name, O_CLOEXEC);
		if (fd >= 0)
			unlink(*ret_name);
		if (fd < 0 && dirs[i] == tmpdir)
			break; /* the user's word */
	}
	if (fd < 0)
		return error_set(err, errno, "%s: cannot make the temporary overlay '%s': %s",
			plan->image->option, *ret_name, strerror(errno));
	return fd;
}

static int make_overlay(struct hub *hub, const struct drive_plan *plan, struct error *err)
{
	struct disks *d = &hub->disks;
	Dejavm__BlkDrive *b = &d->drives[plan->index];
	int fd;

	if (plan->kept)
		fprintf(stderr, "dejavm: info: %s: overlay=%s is not written by a replay\n",
			plan->image->option, plan->kept);
	if (!plan->overlay && !plan->temporary)
		return 0;
	if (plan->overlay) {
		fd = make_kept(hub, plan, err);
		d->overlay[plan->index] = strdup(plan->overlay);
	} else {
		fd = make_temporary(hub, plan, &d->overlay[plan->index], err);
	}
	if (fd < 0)
		return fd;
	must(d->overlay[plan->index]);
	b->overlay = d->overlay[plan->index];
	b->overlay_new = true;
	b->overlay_kept = plan->overlay != NULL;
	/* What the overlay says is below it has to hold from wherever it is looked at. */
	d->backing[plan->index] = realpath(b->file, NULL);
	b->backing = d->backing[plan->index] ? d->backing[plan->index] : b->file;
	fd = keep_file(hub, plan->index, b->overlay, true, true, fd, err);
	return fd < 0 ? fd : 0;
}

void disks_before_welcome(struct hub *hub)
{
	struct disks *d = &hub->disks;

	/* Whatever a blkproxy that died half way made of them is no overlay. */
	for (size_t i = 0; i < d->n_files && !d->opened; i++)
		if (d->files[i].overlay && d->files[i].write && ftruncate(d->files[i].fd, 0) < 0)
			log_warn("overlay '%s': cannot empty it: %s", d->files[i].name,
				strerror(errno));
}

/* ---- set-up ---- */

static void tell_injects(struct disks *d, const struct drive_plan *plan)
{
	for (size_t i = 0; i < plan->n_inject; i++) {
		Dejavm__BlkInject *k = &d->inject[plan->index][i];

		dejavm__blk_inject__init(k);
		k->op = plan->inject[i].event;
		k->error = (uint32_t)plan->inject[i].error;
		k->has_sector = plan->inject[i].has_sector;
		k->sector = plan->inject[i].sector;
		k->once = plan->inject[i].once;
		d->inject_ptrs[plan->index][i] = k;
	}
	d->drives[plan->index].inject = d->inject_ptrs[plan->index];
	d->drives[plan->index].n_inject = plan->n_inject;
}

/* For its snapshots. A replay that does not begin with one can do without. */
static void tell_kept(Dejavm__BlkDrive *b, const struct drive_plan *plan, const struct options *o)
{
	b->kept_needed = o->rr_snapshot || o->loadvm;
	if (plan->kept && (b->kept_needed || access(plan->kept, F_OK) == 0))
		b->kept = (char *)plan->kept;
}

static void tell_drive(struct disks *d, const struct drive_plan *plan, const struct options *o)
{
	static const Dejavm__BlkCache caches[] = {
		[DRIVE_WRITEBACK] = DEJAVM__BLK_CACHE__BLK_CACHE_WRITEBACK,
		[DRIVE_WRITETHROUGH] = DEJAVM__BLK_CACHE__BLK_CACHE_WRITETHROUGH,
		[DRIVE_UNSAFE] = DEJAVM__BLK_CACHE__BLK_CACHE_UNSAFE,
	};
	Dejavm__BlkDrive *b = &d->drives[plan->index];

	dejavm__blk_drive__init(b);
	b->index = plan->index;
	b->id = plan->id;
	if (plan->image) {
		b->option = plan->image->option;
		b->file = plan->image->file;
		if (plan->image->format)
			b->format = plan->image->format;
	}
	b->readonly = plan->readonly;
	b->cache = caches[plan->cache];
	b->ignore_discard = plan->ignore_discard;
	tell_kept(b, plan, o);
	tell_injects(d, plan);
	d->drive_ptrs[plan->index] = b;
}

int disks_open(struct hub *hub, struct error *err)
{
	struct disks *d = &hub->disks;
	int r = 0;

	dejavm__blk_config__init(&d->config);
	for (size_t i = 0; i < hub->opt.n_drives && r == 0; i++) {
		tell_drive(d, &hub->opt.drives[i], &hub->opt);
		r = make_overlay(hub, &hub->opt.drives[i], err);
	}
	d->config.drives = d->drive_ptrs;
	d->config.n_drives = hub->opt.n_drives;
	d->config.replaying = hub->opt.rr == RR_DO_REPLAY;
	return r;
}

/* All images are open: the machine is known, and everybody else may start. */
void disks_on_opened(struct hub *hub, const Dejavm__DrivesOpened *m)
{
	struct disks *d = &hub->disks;
	struct error err = ERROR_INIT;

	if (*m->text || m->n_drives != hub->opt.n_drives) {
		life_refused(hub, *m->text ? m->text : "blkproxy did not open all drives");
		return;
	}
	if (d->opened)
		return; /* its next life */
	for (size_t i = 0; i < m->n_drives; i++) {
		d->info[i].len = m->drives[i]->len;
		d->info[i].cluster_len = m->drives[i]->cluster_len;
		snprintf(d->info[i].format, sizeof(d->info[i].format), "%s", m->drives[i]->format);
		d->drives[i].overlay_new = false;
	}
	d->opened = true;
	config_add_drives(hub);
	if (config_clear_log(&hub->opt, &hub->shm, &err) < 0 || processes_start_rest(hub, &err) < 0)
		life_refused(hub, err.msg);
}

void disks_on_restored(struct hub *hub, const char *kept_view)
{
	struct disks *d = &hub->disks;

	free(d->kept_view);
	d->kept_view = strdup(kept_view);
	must(d->kept_view);
	for (size_t i = 0; i < hub->opt.n_drives; i++)
		d->drives[i].kept_view = d->kept_view;
}

/* ---- what the log says ---- */

static void describe_file(FILE *f, int fd)
{
	static uint8_t head[HEADER_LEN];
	off_t len = lseek(fd, 0, SEEK_END);
	ssize_t n = pread(fd, head, sizeof(head), 0);
	struct disk_key_file file = { .len = (uint64_t)len,
		.head = hash64(0, head, n > 0 ? (size_t)n : 0) };
	struct stat st = { 0 };

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		file.mtime_s = st.st_mtim.tv_sec;
		file.mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	}
	disk_key_put_file(f, &file);
}

/*
 * Is it one of the files that the log and snapshots keep something of? What the machine itself
 * writes changes, and takes its snapshots along: it is not.
 */
static bool is_described(const struct disk_file *f, unsigned drive)
{
	return f->drive == drive && !f->overlay && !f->write;
}

char *disks_describe(const struct hub *hub, unsigned drive)
{
	const struct disks *d = &hub->disks;
	char *text = NULL;
	size_t len;
	FILE *f;

	if (!hub->opt.drives[drive].image)
		return strdup("none");
	f = open_memstream(&text, &len);
	must(f);
	fprintf(f, "%llu", (unsigned long long)d->info[drive].len);
	for (size_t i = 0; i < d->n_files; i++)
		if (is_described(&d->files[i], drive))
			describe_file(f, d->files[i].fd);
	fclose(f);
	return text;
}

char **disks_described_names(const struct hub *hub, unsigned drive, size_t *ret_n)
{
	const struct disks *d = &hub->disks;
	char **names = calloc(d->n_files + 1, sizeof(*names));

	must(names);
	*ret_n = 0;
	for (size_t i = 0; i < d->n_files; i++)
		if (is_described(&d->files[i], drive))
			names[(*ret_n)++] = d->files[i].name;
	return names;
}

void disks_close(struct hub *hub)
{
	struct disks *d = &hub->disks;

	for (size_t i = 0; i < d->n_files; i++) {
		close(d->files[i].fd);
		free(d->files[i].name);
	}
	free(d->files);
	for (unsigned i = 0; i < BLK_DRIVES_MAX; i++) {
		/* A run that did not begin leaves nothing behind. */
		if (d->created[i] && !d->opened)
			unlink(d->overlay[i]);
		free(d->overlay[i]);
		free(d->backing[i]);
	}
	free(d->kept_view);
	memset(d, 0, sizeof(*d));
}
