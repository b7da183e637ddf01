/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two threads on one channel under ThreadSanitizer, which then checks the claim of docs/atomics.md
 * that acquire and release alone order slots and data. Both sides share one mapping: two maps of
 * the same memfd would hide every race from it. `--plant` turns the claim false on purpose, by
 * reading arena data after the release; a run of that must be reported, or this test could not fail
 * (run-tsan.sh does both).
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "ring.h"

#define N 30000

static const struct chan_geometry geo = { 4, 1024, 4, 1024 };
static uint8_t seg[2][8192] __attribute__((aligned(4096)));
static int bell[2];
static bool plant;

static void fail(const char *what)
{
	fprintf(stderr, "test_ring_tsan: %s\n", what);
	exit(1);
}

static void *run(void *arg)
{
	bool is_a = arg == NULL;
	int me = is_a ? 0 : 1;
	struct error err;
	union slot s;
	struct chan c;
	uint32_t sum = 0;

	if (chan_attach(&c, is_a, &geo, seg[me], seg[!me], bell[me], bell[!me], &err) < 0)
		fail(err.msg);
	for (uint32_t i = 0; i < N; i++) {
		uint8_t data[256];
		uint32_t len = i * 31 % sizeof(data);
		const void *got;

		memset(data, (int)i, sizeof(data));
		memset(&s, 0, sizeof(s));
		if (chan_send(&c, &s, data, len, INT64_C(20000000000)) < 0)
			fail("send");
		if (i < 2) /* some in flight */
			continue;
		if (chan_wait(&c, i % 5 ? 5000 : 0, INT64_C(20000000000), -1) != 0)
			fail("wait");
		if (chan_peek(&c, &s, &got) < 0)
			fail("peek");
		if (plant)
			chan_release(&c);
		for (uint32_t k = 0; k < s.hdr.data_len; k++)
			sum += ((const uint8_t *)got)[k];
		if (!plant)
			chan_release(&c);
	}
	chan_done(&c);
	return (void *)(uintptr_t)(sum + 1);
}

int main(int argc, char **argv)
{
	pthread_t t;
	void *ret;

	plant = argc > 1 && strcmp(argv[1], "--plant") == 0;
	for (int i = 0; i < 2; i++)
		bell[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (pthread_create(&t, NULL, run, &t) != 0)
		fail("pthread_create");
	run(NULL);
	pthread_join(t, &ret);
	printf("test_ring_tsan: %d messages each way\n", N);
	return 0;
}
