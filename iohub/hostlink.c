/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hostio channel's side A, and the streams that it joins to back ends (see hostlink.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostio.h"
#include "hostlink.h"
#include "hub.h"
#include "log.h"
#include "seq.h"

#define RETRY_MS 2

struct hostlink_pending {
	struct hostlink_pending *next;
	struct hostio_msg msg;
	uint32_t len;
	uint8_t data[];
};

/* ---- to replaylog ---- */

static int try_send(
	struct hostlink *h, const struct hostio_msg *msg, const void *data, uint32_t len)
{
	union slot s;
	int r;

	memset(&s, 0, sizeof(s));
	memcpy(&s, msg, sizeof(*msg));
	if (!chan_has_room(&h->chan, len))
		return chan_error(&h->chan) ? -EPROTO : -EAGAIN;
	if (len) {
		void *p = chan_reserve(&h->chan, &s, len);

		if (!p)
			return -EAGAIN;
		memcpy(p, data, len);
	}
	r = chan_push(&h->chan, &s);
	if (!r) {
		chan_notify(&h->chan);
		h->n_in++;
	}
	return r;
}

static void arm_retry(struct hostlink *h)
{
	struct timeval tv = { .tv_usec = RETRY_MS * 1000 };

	if (h->retry_ev && !event_pending(h->retry_ev, EV_TIMEOUT, NULL))
		event_add(h->retry_ev, &tv);
}

/* Sends, or keeps for later what does not fit or would overtake what is kept. */
static void send_or_keep(
	struct hostlink *h, const struct hostio_msg *msg, const void *data, uint32_t len)
{
	struct hostlink_pending *p;

	if (!h->open)
		return;
	if (!h->pending && try_send(h, msg, data, len) != -EAGAIN)
		return;
	p = malloc(sizeof(*p) + len);
	must(p);
	*p = (struct hostlink_pending){ .msg = *msg, .len = len };
	if (len)
		memcpy(p->data, data, len);
	*h->pending_end = p;
	h->pending_end = &p->next;
	arm_retry(h);
}

static void flush_pending(struct hostlink *h)
{
	struct hostlink_pending *p;

	while ((p = h->pending)) {
		if (try_send(h, &p->msg, p->data, p->len) == -EAGAIN) {
			arm_retry(h);
			return;
		}
		h->pending = p->next;
		if (!h->pending)
			h->pending_end = &h->pending;
		free(p);
	}
}

void hostlink_input(struct hub *hub, unsigned event, unsigned dev, uint32_t a, int64_t b,
	const void *data, size_t len)
{
	struct hostio_msg m = {
		.hdr.type = HOSTIO_INPUT, .event = event, .dev = dev, .a = a, .b = b
	};

	must(len <= SEQ_CHAR_MAX);
	send_or_keep(&hub->hostlink, &m, data, (uint32_t)len);
}

void hostlink_pause(struct hub *hub, bool freeze)
{
	struct hostio_msg m = { .hdr.type = HOSTIO_PAUSE, .value = freeze };

	send_or_keep(&hub->hostlink, &m, NULL, 0);
}

/* ---- streams: the consumers of back ends' input ---- */

static size_t stream_room(void *opaque)
{
	struct stream *s = opaque;

	/* Behind kept messages there is no hurry: they go first. */
	if (s->hub->hostlink.pending || s->hub->hostlink.frozen)
		return 0;
	return s->credit < SEQ_CHAR_MAX ? s->credit : SEQ_CHAR_MAX;
}

static void stream_input(void *opaque, const uint8_t *data, size_t len)
{
	struct stream *s = opaque;

	must(len <= s->credit);
	s->credit -= len;
	hostlink_input(s->hub, SEQ_EV_CHAR, s->number, 0, 0, data, len);
}

static void stream_break(void *opaque)
{
	struct stream *s = opaque;

	hostlink_input(s->hub, SEQ_EV_BREAK, s->number, s->number, 0, NULL, 0);
}

static void on_stream_writable(void *opaque)
{
	hostlink_drain(((struct stream *)opaque)->hub);
}

static void on_mux_writable(void *opaque)
{
	hostlink_drain(((struct mux *)opaque)->opaque);
}

/* One that the start waited for (wait=on) may be there now. */
static void on_stream_connected(void *opaque)
{
	life_try_start(((struct stream *)opaque)->hub);
}

static void on_mux_connected(void *opaque)
{
	life_try_start(((struct mux *)opaque)->opaque);
}

static void on_mux_quit(void *opaque)
{
	life_request_end(opaque, END_BY_UI, 0);
}

/* The streams' room has changed: what waits in a mux goes on, and back ends may read again. */
static void kick(struct stream *s)
{
	if (s->mux)
		mux_flush(s->mux);
	chardev_kick(s->chr);
}

static void kick_all(struct hostlink *h)
{
	for (size_t i = 0; i < h->n_streams; i++)
		kick(&h->streams[i]);
}

/* ---- from replaylog ---- */

static void peer_violation(struct hub *hub, const char *what)
{
	struct hostlink *h = &hub->hostlink;

	if (!h->open)
		return;
	h->open = false;
	life_broken(hub, "replaylog broke the rules of the hostio ring: %s", what);
}

/* One message. False: it has to wait until its back end has room. */
static bool take(struct hub *hub, const struct hostio_msg *m, const void *data, uint32_t len)
{
	struct hostlink *h = &hub->hostlink;
	struct stream *s;

	if (m->hdr.type == HOSTIO_RESTORED) {
		for (size_t i = 0; i < h->n_streams; i++)
			h->streams[i].credit = 0;
		h->frozen = false;
		return true;
	}
	if (m->dev >= h->n_streams ||
		(m->hdr.type != HOSTIO_OUTPUT && m->hdr.type != HOSTIO_CREDIT)) {
		peer_violation(hub, m->dev >= h->n_streams ? "a stream that does not exist"
							   : "a message of an unknown type");
		return false;
	}
	s = &h->streams[m->dev];
	if (m->hdr.type == HOSTIO_CREDIT) {
		if (hub->opt.rr == RR_DO_REPLAY)
			return true;
		if (m->value > UINT32_MAX - s->credit) {
			peer_violation(hub, "more credit than any device can have");
			return false;
		}
		s->credit += m->value;
		kick(s);
		return true;
	}
	if (len > 0) {
		if (!chardev_room(s->chr))
			return false;
		chardev_write(s->chr, data, len);
	}
	return true;
}

void hostlink_drain(struct hub *hub)
{
	struct hostlink *h = &hub->hostlink;
	union slot slot;
	const void *data;
	int r = -EAGAIN;

	while (h->open) {
		struct hostio_msg m;

		while (h->open && (r = chan_peek(&h->chan, &slot, &data)) == 0) {
			memcpy(&m, &slot, sizeof(m));
			if (!take(hub, &m, data, slot.hdr.data_len))
				return; /* goes on when the back end is writable */
			chan_release(&h->chan);
			h->n_out++;
		}
		if (r == -EPROTO)
			peer_violation(hub, chan_error(&h->chan));
		if (r != -EAGAIN || chan_prepare_sleep(&h->chan))
			return;
	}
}

static void on_bell(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;

	chan_awake(&hub->hostlink.chan);
	flush_pending(&hub->hostlink);
	hostlink_drain(hub);
}

static void on_retry(evutil_socket_t fd, short what, void *opaque)
{
	struct hub *hub = opaque;

	flush_pending(&hub->hostlink);
	if (!hub->hostlink.pending)
		kick_all(&hub->hostlink);
}

/* Characters that could not be sent yet were on that credit. */
static void drop_pending_characters(struct hostlink *h)
{
	struct hostlink_pending **at = &h->pending, *p;

	while ((p = *at)) {
		if (p->msg.hdr.type != HOSTIO_INPUT || p->msg.event != SEQ_EV_CHAR) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		free(p);
	}
	h->pending_end = at;
}

void hostlink_freeze(struct hub *hub)
{
	hub->hostlink.frozen = true;
	drop_pending_characters(&hub->hostlink);
}

/* ---- set-up and end ---- */

static bool monitor_only(const struct options *o, size_t chardev)
{
	for (size_t i = 0; i < o->n_monitors; i++)
		if (o->monitors[i].chardev == (int)chardev && !o->chardevs[chardev].mux)
			return true;
	return false;
}

/* A back end for each spec. When replaying, one that cannot be opened is replaced by none. */
static int open_chardevs(struct hub *hub, struct error *err)
{
	struct hostlink *h = &hub->hostlink;
	const struct options *o = &hub->opt;
	bool replaying = o->rr == RR_DO_REPLAY;

	for (size_t i = 0; i < o->n_chardevs; i++) {
		/* A monitor is heard in a replay, too. */
		bool deaf = replaying && !monitor_only(o, i);
		struct chardev *c = chardev_new(&o->chardevs[i], hub->base, deaf);
		int r;

		h->chardevs[h->n_chardevs++] = c;
		r = chardev_open(c, err);
		if (r < 0 && !deaf)
			return r;
		if (r < 0)
			log_warn("%s; the replay goes on without it", err->msg);
		if (!o->chardevs[i].mux)
			continue;
		h->muxes[i] = calloc(1, sizeof(struct mux));
		must(h->muxes[i]);
		h->muxes[i]->chr = c;
		h->muxes[i]->quit = on_mux_quit;
		h->muxes[i]->opaque = hub;
		h->muxes[i]->discard = replaying;
	}
	return 0;
}

static int join_stream(struct hub *hub, const struct device_spec *d, struct error *err)
{
	struct hostlink *h = &hub->hostlink;
	struct stream *s = &h->streams[d->stream];

	*s = (struct stream){ .hub = hub,
		.number = (unsigned)d->stream,
		.name = d->stream_name,
		.chr = h->chardevs[d->chardev],
		.mux = h->muxes[d->chardev] };
	if (!s->mux) {
		chardev_set_front(s->chr, &(struct chardev_front){ .room = stream_room,
						  .input = stream_input,
						  .writable = on_stream_writable,
						  .connected = on_stream_connected,
						  .opaque = s });
		return 0;
	}
	if (mux_add(s->mux, &(struct mux_user){ .name = s->name,
				    .room = stream_room,
				    .input = stream_input,
				    .send_break = stream_break,
				    .opaque = s }) < 0)
		return error_set(err, ENOSPC, "character back end '%s': more than %d users",
			s->chr->spec->id, MUX_USERS);
	return 0;
}

static int join_monitor(struct hub *hub, size_t chardev, struct error *err)
{
	struct hostlink *h = &hub->hostlink;
	struct hmp *m = hmp_new(hub, h->chardevs[chardev], h->muxes[chardev]);

	if (!m)
		return error_set(err, ENOSPC, "character back end '%s': more than %d users",
			h->chardevs[chardev]->spec->id, MUX_USERS);
	h->monitors[h->n_monitors++] = m;
	return 0;
}

/* Those of -monitor, and of mon:... */
static int join_monitors(struct hub *hub, struct error *err)
{
	const struct options *o = &hub->opt;
	int r = 0;

	for (size_t i = 0; i < o->n_monitors && !r; i++)
		r = join_monitor(hub, (size_t)o->monitors[i].chardev, err);
	for (size_t i = 0; i < o->n_chardevs && !r; i++)
		if (o->chardevs[i].monitor)
			r = join_monitor(hub, i, err);
	return r;
}

static void open_muxes(struct hostlink *h)
{
	for (size_t i = 0; i < h->n_chardevs; i++)
		if (h->muxes[i])
			chardev_set_front(h->chardevs[i], &(struct chardev_front){ .room = mux_room,
								  .input = mux_input,
								  .writable = on_mux_writable,
								  .connected = on_mux_connected,
								  .opaque = h->muxes[i] });
}

static int open_channel(struct hub *hub, struct error *err)
{
	static const struct chan_geometry geo = { HOSTIO_NSLOTS, HOSTIO_ARENA_LEN, HOSTIO_NSLOTS,
		HOSTIO_ARENA_LEN };
	struct hostlink *h = &hub->hostlink;
	const struct shm_segment *mine = shm_find(&hub->shm, "chan-host-hub");
	const struct shm_segment *theirs = shm_find(&hub->shm, "chan-host-replaylog");
	int my_bell = shm_find(&hub->shm, "bell-hub")->rw_fd;
	int r = chan_init(&h->chan, true, &geo, mine->rw_fd, theirs->ro_fd, my_bell,
		shm_find(&hub->shm, "bell-replaylog")->rw_fd, err);

	if (r < 0)
		return r;
	h->open = true;
	h->bell_ev = event_new(hub->base, my_bell, EV_READ | EV_PERSIST, on_bell, hub);
	h->retry_ev = evtimer_new(hub->base, on_retry, hub);
	must(h->bell_ev && h->retry_ev);
	event_add(h->bell_ev, NULL);
	hostlink_drain(hub);
	return 0;
}

int hostlink_open(struct hub *hub, struct error *err)
{
	struct hostlink *h = &hub->hostlink;
	const struct options *o = &hub->opt;
	int r;

	h->pending_end = &h->pending;
	h->n_streams = o->n_streams;
	r = open_chardevs(hub, err);
	for (size_t i = 0; i < o->n_devices && !r; i++)
		if (o->devices[i].stream >= 0)
			r = join_stream(hub, &o->devices[i], err);
	if (!r)
		r = join_monitors(hub, err);
	if (r < 0)
		return r;
	open_muxes(h);
	return open_channel(hub, err);
}

bool hostlink_waiting(const struct hub *hub)
{
	for (size_t i = 0; i < hub->hostlink.n_chardevs; i++)
		if (hub->hostlink.chardevs[i]->waiting)
			return true;
	return false;
}

void hostlink_say_waiting(const struct hub *hub)
{
	for (size_t i = 0; i < hub->hostlink.n_chardevs; i++) {
		const struct chardev *c = hub->hostlink.chardevs[i];

		if (c->waiting)
			fprintf(stderr, "dejavm: info: waiting for a connection on %s (%s)\n",
				c->name, c->spec->id);
	}
}

size_t hostlink_unsent(const struct hub *hub)
{
	size_t n = 0;

	for (size_t i = 0; i < hub->hostlink.n_chardevs; i++)
		n += chardev_pending(hub->hostlink.chardevs[i]);
	return n;
}

bool hostlink_flushed(struct hub *hub)
{
	hostlink_drain(hub);
	return (!hub->hostlink.open || chan_empty(&hub->hostlink.chan)) && !hostlink_unsent(hub);
}

void hostlink_close(struct hub *hub)
{
	struct hostlink *h = &hub->hostlink;
	struct hostlink_pending *p;

	h->open = false;
	for (size_t i = 0; i < h->n_chardevs; i++) {
		chardev_free(h->chardevs[i]);
		free(h->muxes[i]);
	}
	while (h->n_monitors > 0)
		hmp_free(h->monitors[--h->n_monitors]);
	h->n_chardevs = h->n_streams = 0;
	if (h->bell_ev) {
		event_free(h->bell_ev);
		event_free(h->retry_ev);
		chan_done(&h->chan);
	}
	h->bell_ev = h->retry_ev = NULL;
	while ((p = h->pending)) {
		h->pending = p->next;
		free(p);
	}
}
