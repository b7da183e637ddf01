/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hub's part in showing the picture: what the display process gets, what comes back from it,
 * and for the hub's own use (screendump) the registers and video memory, read-only.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hub.h"
#include "log.h"
#include "seq.h"

static int map_picture(struct hub *hub, struct error *err)
{
	struct display *d = &hub->display;
	const uint8_t *ram;

	d->vram_len = options_vram_bytes(&hub->opt);
	if (!d->vram_len)
		return 0;
	d->page = shm_map(&hub->shm, "display", false, err);
	ram = d->page ? shm_map(&hub->shm, "ram", false, err) : NULL;
	if (!ram)
		return -err->code;
	/* The guest's RAM is not ours to look at. */
	d->vram = ram + hub->opt.ram_bytes;
	munmap((void *)(uintptr_t)ram, hub->opt.ram_bytes);
	return 0;
}

static int open_vnc(struct hub *hub, struct error *err)
{
	struct display *d = &hub->display;
	int fd = chardev_listen(&hub->opt.vnc_spec, d->name, sizeof(d->name), err);

	if (fd < 0)
		return error_prefix(err, "-vnc");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return shm_add_fd(&hub->shm, "vnc-listen", fd, 0, err);
}

static int open_terminal(struct hub *hub, struct error *err)
{
	int fd = isatty(0) && isatty(1) ? open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY) : -1;

	if (fd < 0 || tcgetattr(fd, &hub->display.terminal) < 0)
		return error_set(err, ENOTTY,
			"-display curses: standard input and output are not a terminal");
	snprintf(hub->display.name, sizeof(hub->display.name), "this terminal");
	hub->display.terminal_fd = fd;
	return shm_add_fd(&hub->shm, "terminal", fd, 0, err);
}

int display_open(struct hub *hub, struct error *err)
{
	struct display *d = &hub->display;
	int r = map_picture(hub, err);

	dejavm__display_config__init(&d->config);
	if (!r && hub->opt.display == DISPLAY_VNC)
		r = open_vnc(hub, err);
	if (!r && hub->opt.display == DISPLAY_CURSES)
		r = open_terminal(hub, err);
	d->config.kind = (char *)(hub->opt.display == DISPLAY_VNC ? "vnc" : "curses");
	d->config.name = hub->opt.name ? hub->opt.name : (char *)"dejavm";
	d->config.password = hub->opt.vnc_password;
	d->config.input = hub->opt.rr != RR_DO_REPLAY;
	return r;
}

void display_close(struct hub *hub)
{
	struct display *d = &hub->display;

	if (hub->opt.display == DISPLAY_VNC && hub->opt.vnc_spec.path && *d->name)
		unlink(hub->opt.vnc_spec.path);
	if (hub->opt.display == DISPLAY_CURSES && d->terminal_fd > 0)
		tcsetattr(d->terminal_fd, TCSADRAIN, &d->terminal);
	if (d->release_ev)
		event_free(d->release_ev);
	d->release_ev = NULL;
	if (d->vram)
		munmap((void *)(uintptr_t)d->vram, d->vram_len);
	d->vram = NULL;
}

void display_on_inputs(struct hub *hub, const Dejavm__UserInputs *in)
{
	if (monitor_no_input(hub))
		return;
	for (size_t i = 0; i < in->n_v; i++) {
		const Dejavm__UserInput *v = in->v[i];

		/* Keys and pointers are all that a display may give. */
		if (v->kind == SEQ_EV_KEY || v->kind == SEQ_EV_REL || v->kind == SEQ_EV_BTN ||
			v->kind == SEQ_EV_INPUT_SYNC)
			hostlink_input(hub, v->kind, 0, v->a, v->b, NULL, 0);
	}
}

void display_set_password(struct hub *hub, const char *text)
{
	Dejavm__Control c = DEJAVM__CONTROL__INIT;
	Dejavm__SetPassword p = DEJAVM__SET_PASSWORD__INIT;

	if (text != hub->display.password)
		snprintf(hub->display.password, sizeof(hub->display.password), "%s", text);
	p.text = hub->display.password;
	c.msg_case = DEJAVM__CONTROL__MSG_SET_PASSWORD;
	c.set_password = &p;
	process_send(&hub->proc[PROC_DISPLAY], &c);
}

void display_on_ready(struct hub *hub)
{
	/* One that was started again does not know it. */
	if (*hub->display.password)
		display_set_password(hub, hub->display.password);
}
