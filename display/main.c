/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dejavm-display: set-up from Welcome, then one of the back ends. See show.h. */
#include "show.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

/* On the control thread. */
static void on_control(void *opaque, const Dejavm__Control *msg)
{
	struct show *s = opaque;

	if (msg->msg_case == DEJAVM__CONTROL__MSG_QUIT) {
		curses_restore();
		_exit(0);
	}
	if (msg->msg_case == DEJAVM__CONTROL__MSG_SET_PASSWORD) {
		pthread_mutex_lock(&s->lock);
		memset(s->password, 0, sizeof(s->password));
		strncpy(s->password, msg->set_password->text, SHOW_PASSWORD_MAX);
		pthread_mutex_unlock(&s->lock);
	}
}

static void on_hub_death(void *opaque)
{
	curses_restore();
}

static void setup(struct show *s)
{
	const Dejavm__MachineConfig *mc = s->proc.welcome->machine;
	struct error err = ERROR_INIT;
	uint8_t *ram;

	s->cfg = s->proc.welcome->display;
	if (!mc || !s->cfg)
		proc_fatal(&s->proc, "the hub sent no configuration");
	if (mc->ram_bytes > SIZE_MAX / 2 || mc->vram_bytes > SIZE_MAX / 2)
		proc_fatal(&s->proc, "more memory than there can be");
	s->page = proc_map_min(&s->proc, "display", false, sizeof(*s->page), &err);
	ram = s->page ? proc_map_min(&s->proc, "ram", false, mc->ram_bytes + mc->vram_bytes, &err)
		      : NULL;
	if (!ram)
		proc_fatal(&s->proc, "%s", err.msg);
	/* The guest's RAM is not ours to look at. */
	s->vram = ram + mc->ram_bytes;
	s->vram_len = mc->vram_bytes;
	munmap(ram, mc->ram_bytes);
	pthread_mutex_init(&s->lock, NULL);
	if ((strcmp(s->cfg->kind, "curses") ? vnc_open(s, &err) : curses_open(s, &err)) < 0)
		proc_fatal(&s->proc, "%s", err.msg);
}

int main(int argc, char **argv)
{
	static struct show s;
	struct error err = ERROR_INIT;

	if (proc_start(&s.proc, "display", argc, argv, &err) < 0)
		log_fatal("%s", err.msg);
	s.proc.on_hub_death = on_hub_death;
	setup(&s);
	if (proc_run_control(&s.proc, on_control, &s) < 0)
		proc_fatal(&s.proc, "cannot start the control thread");
	if (proc_sandbox(&s.proc, &err) < 0)
		proc_fatal(&s.proc, "%s", err.msg);
	proc_ready(&s.proc);
	if (strcmp(s.cfg->kind, "curses"))
		vnc_run(&s);
	else
		curses_run(&s);
	return 0;
}
