/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See rig.h. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "digest.h"
#include "log.h"

#define WAIT_NS INT64_C(5000000000)

static int segment(const struct chan_geometry *g, bool is_a)
{
	int fd = memfd_create("segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	must(fd >= 0);
	must(ftruncate(fd, (off_t)chan_segment_size(g, is_a)) == 0);
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

static void join(struct chan *a, struct chan *b, int *fds, uint32_t nslots, uint32_t arena,
	int bell_a, int bell_b)
{
	struct chan_geometry g = { nslots, arena, nslots, arena };
	struct error err = ERROR_INIT;

	fds[0] = segment(&g, true);
	fds[1] = segment(&g, false);
	must(chan_init(a, true, &g, fds[0], fds[1], bell_a, bell_b, &err) == 0);
	must(chan_init(b, false, &g, fds[1], fds[0], bell_b, bell_a, &err) == 0);
}

static void *run(void *opaque)
{
	struct rig *r = opaque;

	sequencer_run(&r->s);
	atomic_store_release(&r->ended, true);
	return NULL;
}

bool rig_start(struct rig *r, struct sequencer_conf conf)
{
	struct error err = ERROR_INIT;

	memset(r, 0, sizeof(*r));
	for (int i = 0; i < 3; i++)
		r->bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	join(&r->dev, &r->seq, r->fds, SEQ_NSLOTS, SEQ_ARENA_LEN, r->bells[0], r->bells[1]);
	join(&r->hub, &r->host, r->fds + 2, HOSTIO_NSLOTS, HOSTIO_ARENA_LEN, r->bells[2],
		r->bells[1]);
	r->machine = aligned_alloc(MACHINE_LINE, sizeof(*r->machine));
	memset(r->machine, 0, sizeof(*r->machine));
	r->tail = aligned_alloc(MACHINE_LINE, sizeof(*r->tail));
	memset(r->tail, 0, sizeof(*r->tail));
	r->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	conf.seq = &r->seq;
	conf.host = &r->host;
	conf.machine = r->machine;
	conf.tail = r->tail;
	conf.wake_fd = r->wake_fd;
	if (!conf.file_name)
		conf.file_name = "test.log";
	must(sequencer_init(&r->s, &conf, &err) == 0);
	r->opened = sequencer_open(&r->s) == 0;
	if (!r->opened)
		return false;
	must(pthread_create(&r->thread, NULL, run, r) == 0);
	r->running = true;
	return true;
}

void rig_send(struct rig *r, struct seq_req rq, const void *data, uint32_t len)
{
	union slot slot = { 0 };

	memcpy(&slot, &rq, sizeof(rq));
	must(chan_send(&r->dev, &slot, data, len, WAIT_NS) == 0);
}

bool rig_wait(struct rig *r)
{
	int64_t until = host_monotonic_ns() + WAIT_NS;

	r->n_ev = 0;
	for (;;) {
		struct rig_event *e = &r->ev[r->n_ev];
		union slot slot;
		int ret = chan_recv(&r->dev, &slot, e->data, sizeof(e->data));

		must(ret == 0 || ret == -EAGAIN);
		if (ret == 0) {
			memcpy(&e->rep, &slot, sizeof(e->rep));
			e->len = slot.hdr.data_len;
			if (e->rep.hdr.type == SEQ_DONE) {
				r->done = e->rep;
				return true;
			}
			must(e->rep.hdr.type == SEQ_EVENT);
			must(++r->n_ev < RIG_EVENTS_MAX);
			continue;
		}
		if (atomic_load_acquire(&r->ended) && chan_empty(&r->dev))
			return false;
		must(host_monotonic_ns() < until);
		chan_wait(&r->dev, 0, 10000000, -1);
	}
}

bool rig_request(struct rig *r, struct seq_req rq, const void *data, uint32_t len)
{
	rig_send(r, rq, data, len);
	return rig_wait(r);
}

void rig_mark(uint32_t mark[CPU_MARK_COUNT], uint64_t icount)
{
	for (int i = 0; i < CPU_MARK_COUNT; i++)
		mark[i] = (uint32_t)icount * 16 + (uint32_t)i;
}

bool rig_take(struct rig *r, uint64_t icount, uint64_t now)
{
	uint32_t mark[CPU_MARK_COUNT];

	rig_mark(mark, icount);
	return rig_request(r,
		(struct seq_req){ .hdr.type = SEQ_TAKE, .icount = icount, .now_ns = now }, mark,
		sizeof(mark));
}

bool rig_halt(struct rig *r, uint64_t icount, uint64_t now, uint64_t deadline)
{
	uint32_t mark[CPU_MARK_COUNT];

	rig_mark(mark, icount);
	return rig_request(r,
		(struct seq_req){ .hdr.type = SEQ_HALT,
			.icount = icount,
			.now_ns = now,
			.deadline_ns = deadline },
		mark, sizeof(mark));
}

void rig_output(struct rig *r, uint64_t icount, uint32_t stream, const char *text)
{
	rig_send(r, (struct seq_req){ .hdr.type = SEQ_OUTPUT, .icount = icount, .arg = stream },
		text, (uint32_t)strlen(text));
}

bool rig_digest(struct rig *r, uint64_t icount, uint64_t now, uint64_t eip)
{
	uint8_t buf[64];
	struct digest_writer w = { buf, 0, sizeof(buf), 0 };

	digest_put(&w, DIGEST_REG, "eip", eip);
	digest_put(&w, DIGEST_DEVICE, "i8254", 77);
	return rig_request(r,
		(struct seq_req){ .hdr.type = SEQ_DIGEST, .icount = icount, .now_ns = now }, buf,
		(uint32_t)w.len);
}

bool rig_shutdown(struct rig *r, uint64_t icount, uint64_t now, uint32_t cause)
{
	return rig_request(r,
		(struct seq_req){
			.hdr.type = SEQ_SHUTDOWN, .icount = icount, .now_ns = now, .arg = cause },
		NULL, 0);
}

void rig_input(struct rig *r, struct hostio_msg m, const void *data, uint32_t len)
{
	union slot slot = { 0 };

	memcpy(&slot, &m, sizeof(m));
	must(chan_send(&r->hub, &slot, data, len, WAIT_NS) == 0);
}

void rig_type(struct rig *r, uint32_t stream, const char *text)
{
	rig_input(r,
		(struct hostio_msg){
			.hdr.type = HOSTIO_INPUT, .event = SEQ_EV_CHAR, .dev = stream },
		text, (uint32_t)strlen(text));
}

void rig_settle(struct rig *r)
{
	int64_t until = host_monotonic_ns() + WAIT_NS;

	while (!atomic_load_acquire(&r->machine->input_pending)) {
		must(host_monotonic_ns() < until);
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	}
	/* What was sent together is queued together, or nearly so. */
	nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
}

struct sequencer_result rig_finish(struct rig *r)
{
	struct sequencer_result res;
	int64_t until = host_monotonic_ns() + WAIT_NS;

	if (r->running) {
		while (!atomic_load_acquire(&r->ended)) {
			must(host_monotonic_ns() < until);
			nanosleep(&(struct timespec){ 0, 100000 }, NULL);
		}
		pthread_join(r->thread, NULL);
	}
	sequencer_done(&r->s);
	res = r->s.result;
	chan_done(&r->dev);
	chan_done(&r->seq);
	chan_done(&r->hub);
	chan_done(&r->host);
	for (int i = 0; i < 4; i++)
		close(r->fds[i]);
	for (int i = 0; i < 3; i++)
		close(r->bells[i]);
	close(r->wake_fd);
	free(r->machine);
	free(r->tail);
	return res;
}
