/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See snapstore.h. */
#include "snapstore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diskkey.h"
#include "snapshot.pb-c.h"

#define CONFIG_PART "config"
/* With kept overlays: which of their snapshots was below when it was made. */
#define VIEW_PART "view"

/* ---- the image as a place for bytes ---- */

struct place {
	struct image *image;
	const char *snapshot;
};

static int place_read(void *opaque, uint64_t off, void *buf, size_t len, struct error *err)
{
	struct place *p = opaque;

	return image_vmstate_read(p->image, p->snapshot, off, buf, len, err);
}

static int place_write(void *opaque, uint64_t off, const void *buf, size_t len, struct error *err)
{
	struct place *p = opaque;

	return image_vmstate_write(p->image, off, buf, len, err);
}

/* ---- the machine's configuration ---- */

static uint8_t *config_pack(const Dejavm__SnapshotRequest *rq, size_t *ret_len)
{
	Dejavm__SnapshotConfig c = DEJAVM__SNAPSHOT_CONFIG__INIT;
	Dejavm__SnapshotConfigItem *items = calloc(rq->n_config + 1, sizeof(*items));
	Dejavm__SnapshotConfigItem **v = calloc(rq->n_config + 1, sizeof(*v));
	uint8_t *buf = NULL;

	for (size_t i = 0; items && v && i < rq->n_config; i++) {
		dejavm__snapshot_config_item__init(&items[i]);
		items[i].key = rq->config[i]->key;
		items[i].value = rq->config[i]->value;
		v[i] = &items[i];
	}
	c.n_items = rq->n_config;
	c.items = v;
	if (items && v) {
		*ret_len = dejavm__snapshot_config__get_packed_size(&c);
		buf = malloc(*ret_len + 1);
	}
	if (buf)
		dejavm__snapshot_config__pack(&c, buf);
	free(items);
	free(v);
	return buf;
}

static const Dejavm__Property *config_find(const Dejavm__SnapshotRequest *rq, const char *key)
{
	for (size_t i = 0; i < rq->n_config; i++)
		if (!strcmp(rq->config[i]->key, key))
			return rq->config[i];
	return NULL;
}

static bool config_has(const Dejavm__SnapshotConfig *c, const char *key)
{
	for (size_t i = 0; i < c->n_items; i++)
		if (!strcmp(c->items[i]->key, key))
			return true;
	return false;
}

/* What of a key differs, as snprintf() does. */
static size_t config_say(
	char *buf, size_t cap, const Dejavm__SnapshotConfigItem *it, const Dejavm__Property *mine)
{
	char *disk = mine && mine->n_files ? disk_key_difference("snapshot", it->value, mine->value,
						     mine->files, mine->n_files)
					   : NULL;
	int n = disk ? snprintf(buf, cap, "; %.60s: %s", it->key, disk)
		     : snprintf(buf, cap, "; %.60s: snapshot %.80s, this machine %.80s", it->key,
			       it->value, mine ? mine->value : "has none");

	free(disk);
	return (size_t)n;
}

/* Is it a snapshot of this machine? All differences are named. */
static int config_compare(
	const struct vmstate *v, const Dejavm__SnapshotRequest *rq, struct error *err)
{
	size_t len = 0;
	const uint8_t *p = vmstate_part(v, CONFIG_PART, &len);
	Dejavm__SnapshotConfig *c = p ? dejavm__snapshot_config__unpack(NULL, len, p) : NULL;
	char text[800] = "";
	size_t n = 0;

	if (!c)
		return error_set(err, EINVAL, "the VM state does not say of which machine it is");
	for (size_t i = 0; i < c->n_items && n < sizeof(text); i++) {
		const Dejavm__Property *mine = config_find(rq, c->items[i]->key);

		if (!mine || strcmp(mine->value, c->items[i]->value))
			n += config_say(text + n, sizeof(text) - n, c->items[i], mine);
	}
	for (size_t i = 0; i < rq->n_config && n < sizeof(text); i++)
		if (!config_has(c, rq->config[i]->key))
			n += (size_t)snprintf(text + n, sizeof(text) - n,
				"; %.60s: snapshot has none, this machine %.80s",
				rq->config[i]->key, rq->config[i]->value);
	dejavm__snapshot_config__free_unpacked(c, NULL);
	return n ? error_set(err, EINVAL, "it is of another machine%s", text) : 0;
}

/* ---- operations ---- */

static int delete_all(struct snapstore *s, const char *name, struct error *err)
{
	int r = -ENOENT;

	for (size_t i = 0; i < s->n_images; i++) {
		struct error e = ERROR_INIT;
		int k = image_snapshot_delete(s->image[i], name, &e);

		if (k == -ENOENT)
			continue;
		r = k;
		if (k < 0) {
			if (err)
				*err = e;
			return k;
		}
	}
	return r;
}

static int state_write(struct snapstore *s, const Dejavm__SnapshotRequest *rq, uint64_t *ret_len,
	struct error *err)
{
	struct place place = { .image = s->image[0] };
	const struct vmstate_io io = { &place, place_read, place_write };
	struct vmstate_part parts[SNAPSTORE_PARTS + 2];
	size_t n = 0, config_len = 0;
	uint8_t *config = config_pack(rq, &config_len);
	int r = config ? 0 : error_set(err, ENOMEM, "no memory for the configuration");

	parts[n++] = (struct vmstate_part){ CONFIG_PART, config, config_len };
	for (size_t i = 0; i < SNAPSTORE_PARTS && r == 0; i++) {
		uint64_t len = 0;

		for (size_t k = 0; k < rq->n_parts; k++)
			if (!strcmp(rq->parts[k]->role, s->part[i].role))
				len = rq->parts[k]->len;
		if (!len || len > s->part[i].len)
			r = error_set(err, EINVAL, "%" PRIu64 " bytes of %s's state", len,
				s->part[i].role);
		parts[n++] = (struct vmstate_part){ s->part[i].role, s->part[i].mem, len };
	}
	if (s->kept[0])
		parts[n++] = (struct vmstate_part){ VIEW_PART, (const uint8_t *)s->view,
			strlen(s->view) };
	if (r == 0)
		r = vmstate_write(&io, s->codec, &s->ram, parts, n, ret_len, err);
	free(config);
	return r;
}

static int op_save(struct snapstore *s, const Dejavm__SnapshotRequest *rq, struct error *err)
{
	const Dejavm__SnapshotInfo *in = rq->info;
	struct image_snapshot snap = { .date_s = in->date_ns / 1000000000,
		.date_ns = (uint32_t)(in->date_ns % 1000000000),
		.vm_clock_ns = in->vm_clock_ns,
		.icount = in->has_icount ? in->icount : IMAGE_NO_ICOUNT };
	int r = 0;

	snprintf(snap.name, sizeof(snap.name), "%s", in->name);
	if (!s->n_images)
		return error_set(err, ENOENT, "there is no image to keep snapshots in");
	/* One of this name is replaced, once the new one is there: its data first. */
	r = state_write(s, rq, &snap.vm_state_len, err);
	if (r == 0) {
		r = delete_all(s, in->name, err);
		r = r == -ENOENT ? 0 : r;
	}
	for (size_t i = 0; i < s->n_images && r == 0; i++) {
		r = image_snapshot_create(s->image[i], &snap, err);
		snap.vm_state_len = 0;
	}
	return r;
}

static void open_close(struct snapstore *s)
{
	if (s->is_open)
		vmstate_done(&s->open);
	s->is_open = false;
}

/* Is it in all of them? What is not there of an image is an error, and named. */
static int find_in_all(struct snapstore *s, struct image *const *images, const char *name,
	struct image_snapshot *ret, struct error *err)
{
	int r = image_snapshot_find(images[0], name, ret, err);

	for (size_t i = 1; i < s->n_images && r == 0; i++)
		r = images[i] ? image_snapshot_find(images[i], name, NULL, err)
			      : error_set(err, ENOENT,
					"it is in the overlay=FILE that a recording kept of one "
					"disk, but "
					"there is none of '%s'",
					image_name(s->image[i], 0));
	return r;
}

/* In the images; or in those that the recording kept, which are below them. */
static int snapshot_find(
	struct snapstore *s, const char *name, struct image_snapshot *ret, struct error *err)
{
	struct error in_images = ERROR_INIT;
	int r = find_in_all(s, s->image, name, ret, &in_images);

	s->open_kept = r == -ENOENT && s->kept[0];
	if (s->open_kept)
		return find_in_all(s, s->kept, name, ret, err);
	if (r < 0)
		*err = in_images;
	return r;
}

/* What has to be below the images for the snapshot that is open. */
static int view_take(struct snapstore *s, const char *name, struct error *err)
{
	size_t len = 0;
	const uint8_t *p = vmstate_part(&s->open, VIEW_PART, &len);

	*s->open_view = '\0';
	if (s->open_kept)
		snprintf(s->open_view, sizeof(s->open_view), "%s", name);
	else if (p && len < sizeof(s->open_view))
		snprintf(s->open_view, sizeof(s->open_view), "%.*s", (int)len, (const char *)p);
	if (!*s->open_view)
		return 0;
	if (!s->kept[0])
		return error_set(err, EINVAL,
			"its disks lie over snapshot '%s' of a recording's, which are not here",
			s->open_view);
	return find_in_all(s, s->kept, s->open_view, NULL, err);
}

static int snapshot_read(struct snapstore *s, const char *name, const Dejavm__SnapshotRequest *rq,
	struct image_snapshot *ret, struct error *err)
{
	struct place place = { s->image[0], name };
	const struct vmstate_io io = { &place, place_read, place_write };
	int r = snapshot_find(s, name, ret, err);

	if (r < 0)
		return r;
	if (s->open_kept)
		place.image = s->kept[0];
	if (!ret->vm_state_len)
		return error_set(err, EINVAL, "it holds no VM state, only a disk's");
	r = vmstate_read(&s->open, &io, ret->vm_state_len, err);
	s->is_open = true;
	if (r == 0)
		r = config_compare(&s->open, rq, err);
	if (r == 0)
		r = view_take(s, name, err);
	if (r == 0)
		r = vmstate_read_ram(&s->open, &io, s->codec, s->ram.npages, err);
	return r;
}

static int parts_give(struct snapstore *s, Dejavm__SnapshotReply *ret, struct error *err)
{
	ret->parts = calloc(SNAPSTORE_PARTS, sizeof(*ret->parts));
	if (!ret->parts)
		return error_set(err, ENOMEM, "no memory for a snapshot");
	for (size_t i = 0; i < SNAPSTORE_PARTS; i++) {
		size_t len = 0;
		const uint8_t *p = vmstate_part(&s->open, s->part[i].role, &len);

		if (!p || len > s->part[i].len)
			return error_set(
				err, EINVAL, "the VM state has no state of %s", s->part[i].role);
		memcpy(s->part[i].mem, p, len);
		ret->parts[i] = malloc(sizeof(**ret->parts));
		if (!ret->parts[i])
			return error_set(err, ENOMEM, "no memory for a snapshot");
		ret->n_parts++;
		dejavm__snapshot_part__init(ret->parts[i]);
		ret->parts[i]->role = strdup(s->part[i].role);
		ret->parts[i]->len = len;
	}
	return 0;
}

static int list_add(
	Dejavm__SnapshotReply *ret, const struct image_snapshot *snap, struct error *err)
{
	Dejavm__SnapshotInfo *in = malloc(sizeof(*in));
	Dejavm__SnapshotInfo **v = realloc(ret->list, (ret->n_list + 1) * sizeof(*v));

	if (v)
		ret->list = v;
	if (!in || !v) {
		free(in);
		return error_set(err, ENOMEM, "no memory for a list of snapshots");
	}
	dejavm__snapshot_info__init(in);
	in->id = strdup(snap->id);
	in->name = strdup(snap->name);
	in->vm_size = snap->vm_state_len;
	in->date_ns = snap->date_s * 1000000000 + snap->date_ns;
	in->vm_clock_ns = snap->vm_clock_ns;
	in->has_icount = snap->icount != IMAGE_NO_ICOUNT;
	in->icount = in->has_icount ? snap->icount : 0;
	v[ret->n_list++] = in;
	return 0;
}

static int op_open(struct snapstore *s, const Dejavm__SnapshotRequest *rq,
	Dejavm__SnapshotReply *ret, struct error *err)
{
	struct image_snapshot snap;
	int r;

	open_close(s);
	if (!s->n_images)
		return error_set(err, ENOENT, "there is no image that snapshots are kept in");
	r = snapshot_read(s, rq->info->name, rq, &snap, err);
	if (r == 0)
		r = parts_give(s, ret, err);
	if (r == 0)
		r = list_add(ret, &snap, err);
	if (r < 0)
		open_close(s);
	else
		snprintf(s->open_name, sizeof(s->open_name), "%s", rq->info->name);
	return r;
}

/* What the recording kept shows its snapshot, and nothing of what was written over it is left. */
static int disk_restore(struct snapstore *s, size_t i, struct error *err)
{
	int r = 0;

	if (s->kept[i])
		r = image_snapshot_show(s->kept[i], *s->open_view ? s->open_view : NULL, err);
	if (r == 0)
		r = image_snapshot_apply(s->image[i], s->open_kept ? NULL : s->open_name, err);
	return r;
}

static int op_restore(struct snapstore *s, Dejavm__SnapshotReply *ret, struct error *err)
{
	int r = 0;

	if (!s->is_open)
		return error_set(err, EINVAL, "no snapshot is open");
	for (size_t i = 0; s->disks && i < s->n_images && r == 0; i++)
		r = disk_restore(s, i, err);
	if (r == 0)
		r = ram_decode(s->codec, &s->open.blocks, s->open.ram_data, s->ram.mem,
			s->ram.npages, s->ram.fd, err);
	open_close(s);
	memcpy(s->view, s->open_view, sizeof(s->view));
	ret->kept_view = s->view;
	return r;
}

static int op_delete(struct snapstore *s, const char *name, struct error *err)
{
	int r = delete_all(s, name, err);

	if (r == -ENOENT && s->n_images && s->kept[0] &&
		image_snapshot_find(s->kept[0], name, NULL, NULL) == 0)
		return error_set(err, EROFS,
			"it is the recording's, in '%s', which a replay does not write",
			image_name(s->kept[0], 0));
	return r;
}

static int op_list(struct snapstore *s, Dejavm__SnapshotReply *ret, struct error *err)
{
	struct image_snapshot *list = NULL;
	size_t n = 0;
	int r = s->n_images ? image_snapshot_list(s->image[0], &list, &n, err) : 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = list_add(ret, &list[i], err);
	free(list);
	list = NULL;
	if (r == 0 && s->n_images && s->kept[0])
		r = image_snapshot_list(s->kept[0], &list, &n, err);
	for (size_t i = 0; list && i < n && r == 0; i++)
		r = list_add(ret, &list[i], err);
	free(list);
	return r;
}

void snapstore_serve(
	struct snapstore *s, const Dejavm__SnapshotRequest *rq, Dejavm__SnapshotReply *ret)
{
	struct error err = ERROR_INIT;
	int r = -EINVAL;

	ret->id = rq->id;
	if (rq->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_LIST)
		r = op_list(s, ret, &err);
	else if (rq->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_RESTORE)
		r = op_restore(s, ret, &err);
	else if (!rq->info || !*rq->info->name)
		error_set(&err, EINVAL, "a snapshot needs a name");
	else if (rq->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_SAVE)
		r = op_save(s, rq, &err);
	else if (rq->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_OPEN)
		r = op_open(s, rq, ret, &err);
	else if (rq->op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_DELETE)
		r = op_delete(s, rq->info->name, &err);
	if (r == -ENOENT && !err.code)
		error_set(&err, ENOENT, "there is no snapshot of this name");
	ret->ok = r == 0;
	if (r < 0)
		ret->text = strdup(err.msg);
}

void snapstore_reply_done(Dejavm__SnapshotReply *r)
{
	for (size_t i = 0; i < r->n_parts; i++)
		dejavm__snapshot_part__free_unpacked(r->parts[i], NULL);
	for (size_t i = 0; i < r->n_list; i++)
		dejavm__snapshot_info__free_unpacked(r->list[i], NULL);
	free(r->parts);
	free(r->list);
	if (!r->ok)
		free(r->text);
	dejavm__snapshot_reply__init(r);
}
