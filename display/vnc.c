/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VNC (RFC 6143) by libvncserver. Clients come through a socket that the hub listens on.
 *
 * The library waits for the rest of a message that a client has begun, for at most
 * CLIENT_WAIT_MS: that is one of the reasons why this is a process of its own.
 */
#include "show.h"

#include <errno.h>
#include <poll.h>
#include <rfb/rfb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define CLIENTS_MAX    8
#define CLIENT_WAIT_MS 2000
#define FRAME_NS       INT64_C(33000000)
#define FRAME_IDLE_NS  INT64_C(100000000)
#define IDLE_AFTER     30 /* frames without a change */
#define NOBODY_MS      1000
#define TILE_W	       64u
#define TILE_H	       16u

struct vnc {
	struct show *show;
	rfbScreenInfoPtr screen;
	int listen_fd;
	unsigned n_clients;
	uint32_t *last; /* the picture that clients have or will get */
	unsigned width, height;
	/* pointer */
	bool seen;
	int x, y, buttons;
};

static struct vnc vnc;

/* ---- from clients ---- */

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr cl)
{
	show_keysym(vnc.show, keysym, down);
}

/* The machine has a mouse: positions become movements. */
static void on_pointer(int mask, int x, int y, rfbClientPtr cl)
{
	static const uint8_t buttons[3] = { 0, 2, 1 }; /* VNC: left, middle, right */
	struct vnc *v = &vnc;
	int changed = mask ^ v->buttons;

	if (v->seen) {
		show_move(v->show, 0, x - v->x);
		show_move(v->show, 1, y - v->y);
	}
	v->seen = true;
	v->x = x;
	v->y = y;
	v->buttons = mask;
	for (unsigned i = 0; i < 3; i++)
		if (changed & 1 << i)
			show_button(v->show, buttons[i], mask >> i & 1);
	if (changed & mask & 8)
		show_move(v->show, 2, 1);
	if (changed & mask & 16)
		show_move(v->show, 2, -1);
}

static void on_gone(rfbClientPtr cl)
{
	struct vnc *v = &vnc;

	v->n_clients--;
	show_release_all(v->show);
	for (unsigned i = 0; i < 3; i++)
		if (v->buttons >> i & 1)
			on_pointer(0, v->x, v->y, cl);
	if (!v->n_clients)
		v->seen = false;
	show_flush(v->show);
}

static enum rfbNewClientAction on_client(rfbClientPtr cl)
{
	vnc.n_clients++;
	cl->clientGoneHook = on_gone;
	return RFB_CLIENT_ACCEPT;
}

/* The challenge of RFC 6143, 7.2.2. */
static rfbBool check_password(rfbClientPtr cl, const char *response, int len)
{
	unsigned char want[CHALLENGESIZE];
	char password[SHOW_PASSWORD_MAX + 1];
	int differ = 0;

	pthread_mutex_lock(&vnc.show->lock);
	memcpy(password, vnc.show->password, sizeof(password));
	pthread_mutex_unlock(&vnc.show->lock);
	if (!*password || len != CHALLENGESIZE)
		return FALSE;
	memcpy(want, cl->authChallenge, sizeof(want));
	rfbEncryptBytes(want, password);
	for (int i = 0; i < CHALLENGESIZE; i++)
		differ |= want[i] ^ (unsigned char)response[i];
	return !differ;
}

static void accept_clients(struct vnc *v)
{
	int fd;

	while ((fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (v->n_clients >= CLIENTS_MAX) {
			close(fd);
			continue;
		}
		/* It answers, or the connection is closed: either way it is the library's. */
		rfbNewClient(v->screen, fd);
	}
}

/* ---- the picture ---- */

/* The library's pixels have red in the low byte. */
static uint32_t pixel(uint32_t v)
{
	return (v & 0xff00) | (v >> 16 & 0xff) | (v & 0xff) << 16;
}

static bool resize(struct vnc *v)
{
	struct show *s = v->show;
	size_t n = (size_t)s->mode.width * s->mode.height;
	uint32_t *last = calloc(n, sizeof(*last)), *fb = calloc(n, sizeof(*fb));
	char *old = v->screen->frameBuffer;

	if (!last || !fb) {
		free(last);
		free(fb);
		return false;
	}
	free(v->last);
	v->last = last;
	v->width = s->mode.width;
	v->height = s->mode.height;
	rfbNewFramebuffer(v->screen, (char *)fb, (int)v->width, (int)v->height, 8, 3, 4);
	free(old);
	return true;
}

/* Copies a tile if it has changed. */
static bool tile_update(struct vnc *v, unsigned x, unsigned y)
{
	unsigned w = v->width - x < TILE_W ? v->width - x : TILE_W;
	unsigned h = v->height - y < TILE_H ? v->height - y : TILE_H;
	const uint32_t *from = v->show->pixels + (size_t)y * v->width + x;
	uint32_t *last = v->last + (size_t)y * v->width + x;
	uint32_t *to = (uint32_t *)(void *)v->screen->frameBuffer + (size_t)y * v->width + x;
	bool changed = false;

	for (unsigned i = 0; i < h; i++, from += v->width, last += v->width, to += v->width) {
		if (!memcmp(from, last, w * sizeof(*from)))
			continue;
		changed = true;
		memcpy(last, from, w * sizeof(*from));
		for (unsigned k = 0; k < w; k++)
			to[k] = pixel(from[k]);
	}
	if (changed)
		rfbMarkRectAsModified(v->screen, (int)x, (int)y, (int)(x + w), (int)(y + h));
	return changed;
}

static bool picture_update(struct vnc *v)
{
	struct show *s = v->show;
	bool changed = false;

	if (!show_render(s))
		return false;
	if ((s->mode.width != v->width || s->mode.height != v->height) && !resize(v))
		return false;
	for (unsigned y = 0; y < v->height; y += TILE_H)
		for (unsigned x = 0; x < v->width; x += TILE_W)
			changed |= tile_update(v, x, y);
	return changed;
}

/* ---- life ---- */

static void library_log(const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("vnc: %s", text);
}

int vnc_open(struct show *s, struct error *err)
{
	static char no_list;
	struct vnc *v = &vnc;

	rfbLog = rfbErr = library_log;
	v->show = s;
	v->listen_fd = proc_segment_fd(&s->proc, "vnc-listen");
	if (v->listen_fd < 0)
		return error_set(err, ENOENT, "the hub gave no socket to listen on");
	show_look(s);
	v->screen = rfbGetScreen(NULL, NULL, (int)s->mode.width, (int)s->mode.height, 8, 3, 4);
	if (!v->screen)
		return error_set(err, ENOMEM, "no memory for a VNC server");
	v->screen->desktopName = s->cfg->name;
	v->screen->alwaysShared = TRUE;
	v->screen->autoPort = FALSE;
	v->screen->port = v->screen->ipv6port = 0;
	v->screen->cursor = NULL;
	v->screen->maxClientWait = CLIENT_WAIT_MS;
	v->screen->kbdAddEvent = on_key;
	v->screen->ptrAddEvent = on_pointer;
	v->screen->newClientHook = on_client;
	if (s->cfg->password) {
		v->screen->authPasswdData = &no_list; /* not NULL: ask for one */
		v->screen->passwordCheck = check_password;
	}
	if (!resize(v))
		return error_set(err, ENOMEM, "no memory for the picture");
	rfbInitServer(v->screen);
	return 0;
}

void vnc_run(struct show *s)
{
	struct vnc *v = &vnc;
	unsigned still = 0;
	int64_t next = 0;

	for (;;) {
		struct pollfd pf = { .fd = v->listen_fd, .events = POLLIN };

		if (!v->n_clients) {
			poll(&pf, 1, NOBODY_MS);
			next = 0;
			still = 0;
		}
		accept_clients(v);
		if (!v->n_clients)
			continue;
		if (host_monotonic_ns() >= next) {
			still = picture_update(v) ? 0 : still + 1;
			next = host_monotonic_ns() +
			       (still > IDLE_AFTER ? FRAME_IDLE_NS : FRAME_NS);
		}
		rfbProcessEvents(v->screen, 10000);
		if (s->n_input)
			still = 0;
		show_flush(s);
	}
}
