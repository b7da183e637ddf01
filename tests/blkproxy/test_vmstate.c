/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots in an image: what was saved under a name comes back, a new one of the same name takes
 * the old one's place, several images move together, and another machine's is refused by its keys.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "snapstore.h"

#define NPAGES	 300u
#define RAM_LEN	 (NPAGES * RAM_PAGE_LEN)
#define DISK_LEN (1u << 20)

static int files[4]; /* 2 and 3: what a recording kept */

static int open_file(void *opaque, const char *name, enum image_open_flags flags)
{
	(void)opaque;
	(void)flags;
	return dup(files[name[0] - '0']);
}

static struct snapstore store;
static uint8_t *ram, parts[3][64];

static void set_up(void)
{
	static const char *const roles[] = { "vcpu", "devices", "replaylog" };
	static const char *const names[] = { "0", "1" };

	memset(&store, 0, sizeof(store));
	for (int i = 0; i < 2; i++) {
		struct image_how how = { .name = names[i], .format = "qcow2", .opener = open_file };
		struct qcow2_how fresh = { .len = DISK_LEN, .refcount_order = 4 };

		files[i] = memfd_create("image", MFD_CLOEXEC);
		assert_int_equal(image_create_qcow2(files[i], &fresh, NULL), 0);
		assert_int_equal(image_open(&how, &store.image[i], NULL), 0);
	}
	store.n_images = 2;
	store.disks = true;
	store.codec = ram_codec_new(2);
	ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	store.ram = (struct vmstate_ram){ ram, NPAGES, -1 };
	for (int i = 0; i < 3; i++) {
		store.part[i].role = roles[i];
		store.part[i].mem = parts[i];
		store.part[i].len = sizeof(parts[i]);
	}
}

static void tear_down(void)
{
	for (int i = 0; i < 2; i++) {
		struct image_check check;

		assert_int_equal(image_check(store.image[i], false, &check, NULL), 0);
		assert_int_equal(check.errors, 0);
		assert_int_equal(check.leaks, 0);
		image_close(store.image[i], NULL);
		close(files[i]);
	}
	ram_codec_free(store.codec);
	munmap(ram, RAM_LEN);
}

static void machine_ram_be(uint8_t what)
{
	for (uint32_t i = 0; i < RAM_LEN; i++)
		ram[i] = i / RAM_PAGE_LEN % 3 == what % 3 ? 0 : (uint8_t)(i / 7 * what);
	for (int i = 0; i < 3; i++)
		memset(parts[i], what + i, sizeof(parts[i]));
}

/* The machine is what `what` says. */
static void machine_be(uint8_t what)
{
	machine_ram_be(what);
	for (int i = 0; i < 2; i++) {
		uint8_t disk[512];

		memset(disk, what * 2 + i, sizeof(disk));
		assert_int_equal(image_write(store.image[i], 4096, disk, 512, NULL), 0);
	}
}

static void disks_are(uint8_t what)
{
	for (int i = 0; i < 2; i++) {
		uint8_t disk[512];

		assert_int_equal(image_read(store.image[i], 4096, disk, 512, NULL), 0);
		assert_int_equal(disk[511], what * 2 + i);
	}
}

static void machine_is(uint8_t what)
{
	for (uint32_t i = 0; i < RAM_LEN; i++)
		if (ram[i] != (i / RAM_PAGE_LEN % 3 == what % 3 ? 0 : (uint8_t)(i / 7 * what)))
			fail_msg("RAM at %u is not that of %u", i, what);
	disks_are(what);
}

static const char *config_ram = "64M";

/* Returns the text of the error, "" if it went well. */
static const char *ask(Dejavm__SnapshotOp op, const char *name, uint64_t *ret)
{
	static char text[700];
	Dejavm__SnapshotRequest rq = DEJAVM__SNAPSHOT_REQUEST__INIT;
	Dejavm__SnapshotReply r = DEJAVM__SNAPSHOT_REPLY__INIT;
	Dejavm__SnapshotInfo info = DEJAVM__SNAPSHOT_INFO__INIT;
	Dejavm__SnapshotPart part[3], *pp[3];
	Dejavm__Property key = DEJAVM__PROPERTY__INIT, *kp = &key;

	for (int i = 0; i < 3; i++) {
		dejavm__snapshot_part__init(&part[i]);
		part[i].role = (char *)store.part[i].role;
		part[i].len = 10 + (unsigned)i;
		pp[i] = &part[i];
	}
	key.key = (char *)"ram";
	key.value = (char *)config_ram;
	rq.id = 5;
	rq.op = op;
	info.name = (char *)name;
	rq.info = &info;
	rq.parts = pp;
	rq.n_parts = 3;
	rq.config = &kp;
	rq.n_config = 1;
	snapstore_serve(&store, &rq, &r);
	assert_int_equal(r.id, 5);
	snprintf(text, sizeof(text), "%s", r.ok ? "" : r.text);
	assert_true(r.ok || *text);
	if (ret && op == DEJAVM__SNAPSHOT_OP__SNAPSHOT_LIST)
		*ret = r.n_list;
	else if (ret)
		*ret = r.n_parts == 3 ? r.parts[2]->len : 0;
	snapstore_reply_done(&r);
	return text;
}

#define ASK(op, name, ret) ask(DEJAVM__SNAPSHOT_OP__SNAPSHOT_##op, name, ret)

static void test_there_and_back(void **state)
{
	uint64_t n;

	set_up();
	assert_string_equal(ASK(LIST, "", &n), "");
	assert_int_equal(n, 0);
	machine_be(1);
	assert_string_equal(ASK(SAVE, "one", NULL), "");
	machine_be(2);
	assert_string_equal(ASK(SAVE, "two", NULL), "");
	machine_be(3);
	assert_string_equal(ASK(OPEN, "one", &n), "");
	assert_int_equal(n, 12);
	machine_is(3); /* nothing is touched yet */
	assert_int_equal(parts[1][10], 2);
	assert_int_equal(parts[1][11], 4); /* only as much as was saved */
	assert_string_equal(ASK(RESTORE, "", NULL), "");
	machine_is(1);
	assert_non_null(strstr(ASK(RESTORE, "", NULL), "no snapshot is open"));
	assert_string_equal(ASK(OPEN, "two", NULL), "");
	assert_string_equal(ASK(RESTORE, "", NULL), "");
	machine_is(2);
	/* in the place of the old one */
	machine_be(4);
	assert_string_equal(ASK(SAVE, "one", NULL), "");
	assert_string_equal(ASK(LIST, "", &n), "");
	assert_int_equal(n, 2);
	machine_be(5);
	assert_string_equal(ASK(OPEN, "one", NULL), "");
	assert_string_equal(ASK(RESTORE, "", NULL), "");
	machine_is(4);
	assert_string_equal(ASK(DELETE, "one", NULL), "");
	assert_non_null(strstr(ASK(OPEN, "one", NULL), "'one'"));
	assert_non_null(strstr(ASK(DELETE, "one", NULL), "no snapshot"));
	assert_non_null(strstr(ASK(SAVE, "", NULL), "name"));
	tear_down();
	(void)state;
}

static void test_refused(void **state)
{
	struct image_snapshot disk_only = { .name = "disk", .icount = IMAGE_NO_ICOUNT };

	set_up();
	machine_be(1);
	assert_string_equal(ASK(SAVE, "one", NULL), "");
	config_ram = "128M";
	assert_non_null(strstr(ASK(OPEN, "one", NULL), "ram: snapshot 64M, this machine 128M"));
	config_ram = "64M";
	store.ram.npages--;
	assert_non_null(strstr(ASK(OPEN, "one", NULL), "300 pages"));
	store.ram.npages++;
	store.part[2].role = "nobody";
	assert_non_null(strstr(ASK(OPEN, "one", NULL), "nobody"));
	store.part[2].role = "replaylog";
	store.part[0].len = 4;
	assert_non_null(strstr(ASK(SAVE, "two", NULL), "vcpu"));
	store.part[0].len = sizeof(parts[0]);
	/* of the first disk only */
	assert_int_equal(image_snapshot_delete(store.image[1], "one", NULL), 0);
	assert_non_null(strstr(ASK(OPEN, "one", NULL), "'one'"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(image_snapshot_create(store.image[i], &disk_only, NULL), 0);
	assert_non_null(strstr(ASK(OPEN, "disk", NULL), "no VM state"));
	machine_is(1);
	tear_down();
	(void)state;
}

/* What was recorded becomes what lies below new images. */
static void keep(void)
{
	static const char *const names[] = { "2", "3", "0", "1" };

	for (int i = 0; i < 2; i++) {
		struct image_how kept = {
			.name = names[i], .format = "qcow2", .readonly = true, .opener = open_file
		};
		struct image_how above = { .name = names[2 + i],
			.format = "qcow2",
			.no_backing = true,
			.opener = open_file };
		struct qcow2_how fresh = { .len = DISK_LEN, .refcount_order = 4 };

		assert_int_equal(image_close(store.image[i], NULL), 0);
		files[2 + i] = files[i];
		files[i] = memfd_create("image", MFD_CLOEXEC);
		assert_int_equal(image_create_qcow2(files[i], &fresh, NULL), 0);
		assert_int_equal(image_open(&kept, &store.kept[i], NULL), 0);
		assert_int_equal(image_snapshot_show(store.kept[i], NULL, NULL), 0);
		assert_int_equal(image_open(&above, &store.image[i], NULL), 0);
		image_lay_over(store.image[i], store.kept[i]);
	}
}

static void goes_to(const char *name, uint8_t what)
{
	assert_string_equal(ASK(OPEN, name, NULL), "");
	assert_string_equal(ASK(RESTORE, "", NULL), "");
	machine_is(what);
}

/* Replaying: to the recording's snapshots and our own, in any order. */
static void test_kept(void **state)
{
	struct image *second;
	uint64_t n;

	set_up();
	machine_be(1);
	assert_string_equal(ASK(SAVE, "one", NULL), "");
	machine_be(2);
	assert_string_equal(ASK(SAVE, "two", NULL), "");
	machine_be(3);
	keep();
	goes_to("two", 2);
	assert_string_equal(store.view, "two");
	machine_be(4);
	goes_to("one", 1);
	machine_ram_be(5); /* disks are still those of one, below */
	assert_string_equal(ASK(SAVE, "mine", NULL), "");
	goes_to("two", 2);
	assert_string_equal(ASK(OPEN, "mine", NULL), "");
	assert_string_equal(ASK(RESTORE, "", NULL), "");
	assert_string_equal(store.view, "one");
	disks_are(1);
	goes_to("one", 1);
	assert_string_equal(ASK(LIST, "", &n), "");
	assert_int_equal(n, 3);
	assert_non_null(strstr(ASK(DELETE, "one", NULL), "does not write"));
	assert_non_null(strstr(ASK(OPEN, "three", NULL), "no snapshot 'three'"));
	/* A disk of which the recording kept nothing. */
	second = store.kept[1];
	store.kept[1] = NULL;
	assert_non_null(strstr(ASK(OPEN, "two", NULL), "there is none of '1'"));
	store.kept[1] = second;
	tear_down();
	close(files[2]);
	close(files[3]);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
