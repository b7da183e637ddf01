/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices' end of the ring to blkproxy: answers early and late, twice, to nobody, and out of order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "blk_client.h"

#define WAIT_NS (5 * 1000 * 1000 * 1000LL)

static struct chan dev, proxy;
static struct blk_client client;
static uint8_t *in;
static struct error err;

static int segment(size_t len)
{
	int fd = memfd_create("test", MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

static int setup(void **state)
{
	/* The peer's ring has room for data here, so that it can break the rule that there are
	 * none. */
	const struct chan_geometry g = { BLK_NSLOTS, 0, BLK_NSLOTS, 4096 };
	int a_fd = segment(chan_segment_size(&g, true));
	int b_fd = segment(chan_segment_size(&g, false));
	int a_bell = eventfd(0, EFD_NONBLOCK), b_bell = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(chan_init(&dev, true, &g, a_fd, b_fd, a_bell, b_bell, &err), 0);
	assert_int_equal(chan_init(&proxy, false, &g, b_fd, a_fd, b_bell, a_bell, &err), 0);
	close(a_fd);
	close(b_fd);
	in = calloc(1, BLK_DATA_LEN);
	assert_non_null(in);
	blk_client_init(&client, &dev, in, NULL);
	return 0;
}

static int teardown(void **state)
{
	close(dev.my_bell_fd);
	close(proxy.my_bell_fd);
	chan_done(&dev);
	chan_done(&proxy);
	free(in);
	return 0;
}

static struct blk_req request(uint64_t id, uint32_t buf)
{
	return (struct blk_req){
		.hdr.type = BLK_READ, .id = id, .offset = id * 4096, .len = 4096, .buf = buf
	};
}

static void submit(uint64_t id, uint32_t buf)
{
	struct blk_req rq = request(id, buf), got;
	union slot s;

	assert_int_equal(blk_client_submit(&client, &rq, &err), 0);
	assert_int_equal(chan_recv(&proxy, &s, NULL, 0), 0);
	memcpy(&got, &s, sizeof(got));
	assert_int_equal(got.hdr.type, BLK_READ);
	assert_int_equal(got.id, id);
	assert_int_equal(got.offset, id * 4096);
	assert_int_equal(got.buf, buf);
}

static void answer(uint64_t id, uint32_t error)
{
	struct blk_rep rep = { .id = id, .error = error };
	union slot s;

	memset(&s, 0, sizeof(s));
	memcpy(&s, &rep, sizeof(rep));
	assert_int_equal(chan_send(&proxy, &s, NULL, 0, WAIT_NS), 0);
}

static void expect(uint64_t id, uint32_t buf, uint32_t error)
{
	struct blk_req rq = request(id, buf);
	const uint8_t *data = NULL;
	uint32_t e = 12345;

	assert_int_equal(blk_client_wait(&client, &rq, &e, &data, &err), 0);
	assert_int_equal(e, error);
	assert_ptr_equal(data, in + (size_t)buf * BLK_BUF_LEN);
}

static void test_in_turn(void **state)
{
	submit(1, 0);
	answer(1, 0);
	expect(1, 0, 0);
	submit(2, 0);
	answer(2, EIO);
	expect(2, 0, EIO);
}

static void test_out_of_turn(void **state)
{
	submit(1, 3);
	submit(2, 31);
	submit(3, 0);
	answer(3, 0);
	answer(1, ENOSPC);
	expect(1, 3, ENOSPC);
	answer(2, 0);
	expect(3, 0, 0);
	expect(2, 31, 0);
}

/* A blkproxy that was started again answers twice, perhaps when the buffer is another's. */
static void test_twice(void **state)
{
	submit(1, 5);
	answer(1, 0);
	answer(1, 0);
	expect(1, 5, 0);
	submit(2, 5);
	answer(1, EIO);
	answer(77, EIO);
	answer(0, EIO);
	answer(2, 0);
	expect(2, 5, 0);
	assert_int_equal(client.n_dropped, 4);
}

/* More answers than the ring holds: they are taken while requests are sent. */
static void test_many(void **state)
{
	for (uint64_t id = 1; id < 1000; id++) {
		submit(id, id % BLK_BUFS);
		answer(id, 0);
		if (id % 7 == 0)
			answer(id, 0);
		if (id % 3 == 0)
			expect(id, id % BLK_BUFS, 0);
	}
}

static void *late(void *opaque)
{
	usleep(50 * 1000);
	answer(1, 0);
	return NULL;
}

static void test_late(void **state)
{
	pthread_t t;

	submit(1, 1);
	assert_int_equal(pthread_create(&t, NULL, late, NULL), 0);
	expect(1, 1, 0);
	pthread_join(t, NULL);
}

static void test_hostile(void **state)
{
	struct blk_req rq = request(1, 1);
	const uint8_t *data;
	uint32_t e;
	union slot s;

	submit(1, 1);
	memset(&s, 0, sizeof(s));
	memcpy(&s, &(struct blk_rep){ .id = 1 }, sizeof(struct blk_rep));
	assert_int_equal(chan_send(&proxy, &s, "data", 4, WAIT_NS), 0);
	assert_true(blk_client_wait(&client, &rq, &e, &data, &err) < 0);
	assert_non_null(strstr(err.msg, "blkproxy"));
	assert_non_null(strstr(err.msg, "BLK_READ"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_turn),
		TEST(test_out_of_turn),
		TEST(test_twice),
		TEST(test_many),
		TEST(test_late),
		TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
