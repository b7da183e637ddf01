/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ctrl-A keys: what reaches whom, and that nothing is lost while a user takes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "mux.h"

struct user {
	char got[16384];
	size_t len, room;
	int breaks;
};

static struct user users[2];
static int quits;

static size_t user_room(void *opaque)
{
	return ((struct user *)opaque)->room;
}

static void user_input(void *opaque, const uint8_t *data, size_t len)
{
	struct user *u = opaque;

	assert_true(len <= u->room);
	u->room -= len;
	memcpy(u->got + u->len, data, len);
	u->len += len;
}

static void user_break(void *opaque)
{
	((struct user *)opaque)->breaks++;
}

static void on_quit(void *opaque)
{
	quits++;
}

static void start(struct mux *m, int n)
{
	static const struct chardev_spec spec = { .id = (char *)"test", .kind = CHARDEV_NULL };
	static struct event_base *base;

	if (!base)
		base = event_base_new();
	memset(users, 0, sizeof(users));
	quits = 0;
	*m = (struct mux){ .chr = chardev_new(&spec, base, false), .quit = on_quit };
	for (int i = 0; i < n; i++) {
		users[i].room = 10000;
		assert_int_equal(mux_add(m, &(struct mux_user){ .name = "u",
						    .room = user_room,
						    .input = user_input,
						    .send_break = user_break,
						    .opaque = &users[i] }),
			0);
	}
}

static void type(struct mux *m, const char *text, size_t len)
{
	mux_input(m, (const uint8_t *)text, len);
}

static void test_keys(void **state)
{
	struct mux m;

	start(&m, 1);
	type(&m, "ab\001\001c\001hd\001ce\001zf", 14);
	assert_int_equal(users[0].len, 7);
	assert_memory_equal(users[0].got, "ab\001cdef", 7);
	assert_int_equal(quits, 0);
	/* The key may come in another read than its Ctrl-A. */
	type(&m, "\001", 1);
	type(&m, "x", 1);
	assert_int_equal(quits, 1);
	type(&m, "\001b", 2);
	assert_int_equal(users[0].breaks, 1);
	chardev_free(m.chr);
}

static void test_focus(void **state)
{
	struct mux m;

	start(&m, 2);
	type(&m, "one\001ctwo\001cthree", 15);
	assert_memory_equal(users[0].got, "onethree", 8);
	assert_memory_equal(users[1].got, "two", 3);
	assert_int_equal(users[1].len, 3);
	chardev_free(m.chr);
}

static void test_kept_until_there_is_room(void **state)
{
	struct mux m;
	char text[MUX_BUFFER];

	memset(text, 'x', sizeof(text));
	start(&m, 2);
	users[0].room = 0;
	assert_int_equal(mux_room(&m), MUX_BUFFER);
	type(&m, text, MUX_BUFFER - 2);
	assert_int_equal(mux_room(&m), 2);
	/* A key still gets through. */
	type(&m, "\001x", 2);
	assert_int_equal(quits, 1);
	type(&m, "yz", 2);
	assert_int_equal(mux_room(&m), 0);
	users[0].room = 5;
	mux_flush(&m);
	assert_int_equal(users[0].len, 5);
	users[0].room = 10000;
	mux_flush(&m);
	assert_int_equal(users[0].len, MUX_BUFFER);
	assert_memory_equal(users[0].got + MUX_BUFFER - 2, "yz", 2);
	assert_int_equal(mux_room(&m), MUX_BUFFER);
	chardev_free(m.chr);
}

static void test_replay_discards(void **state)
{
	struct mux m;

	start(&m, 1);
	m.discard = true;
	users[0].room = 0;
	for (int i = 0; i < 10000; i++) {
		assert_true(mux_room(&m) > 0);
		type(&m, "a", 1);
	}
	type(&m, "\001b\001x", 4);
	assert_int_equal(users[0].len, 0);
	assert_int_equal(users[0].breaks, 0);
	assert_int_equal(quits, 1);
	chardev_free(m.chr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_focus),
		cmocka_unit_test(test_kept_until_there_is_room),
		cmocka_unit_test(test_replay_discards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
