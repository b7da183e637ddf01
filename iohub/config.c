/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From options to what the processes are told (see config.h). */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "hash.h"
#include "hub.h"
#include "log.h"

#define BIOS_DEFAULT	"/usr/share/seabios/bios-256k.bin"
#define BIOS_MAX_LEN	(16u << 20)
#define VGABIOS_DEFAULT "/usr/share/seabios/vgabios-stdvga.bin"
#define VGABIOS_MAX_LEN (256u << 10)

extern char **environ;

/* ---- files ---- */

/* Opens a file for reading as a segment and digests it. */
static int open_file(struct shm *shm, const char *segment, const char *option, const char *path,
	uint64_t max_len, uint64_t *ret_hash, uint64_t *ret_len, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	void *m;

	if (fd < 0)
		return error_set(
			err, errno, "%s %s: cannot open it: %s", option, path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
		(uint64_t)st.st_size > max_len) {
		close(fd);
		return error_set(err, EINVAL, "%s %s: expected a regular file of 1 to %llu bytes",
			option, path, (unsigned long long)max_len);
	}
	m = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (m == MAP_FAILED) {
		int r = error_set(
			err, errno, "%s %s: cannot map it: %s", option, path, strerror(errno));

		close(fd);
		return r;
	}
	*ret_len = (uint64_t)st.st_size;
	*ret_hash = hash64(0, m, (size_t)st.st_size);
	munmap(m, (size_t)st.st_size);
	return shm_add_fd(shm, segment, fd, *ret_len, err);
}

static int open_boot_files(
	struct config *c, const struct options *o, struct shm *shm, struct error *err)
{
	const uint64_t max = UINT64_C(3) << 30;
	int r = 0;

	if (o->kernel)
		r = open_file(shm, "kernel", "-kernel", o->kernel, max, &c->kernel.hash,
			&c->kernel.len, err);
	if (!r && o->initrd)
		r = open_file(shm, "initrd", "-initrd", o->initrd, max, &c->initrd.hash,
			&c->initrd.len, err);
	if (r || (o->kernel && !o->bios))
		return r;
	if (!o->bios && access(BIOS_DEFAULT, F_OK) < 0)
		return error_set(err, ENOENT,
			"there is no -kernel, and the firmware that starts otherwise, %s, is not "
			"installed (Debian's "
			"package seabios has it); -bios FILE names another",
			BIOS_DEFAULT);
	c->bios_name = strdup(o->bios ? o->bios : BIOS_DEFAULT);
	must(c->bios_name);
	return open_file(
		shm, "bios", "-bios", c->bios_name, BIOS_MAX_LEN, &c->bios.hash, &c->bios.len, err);
}

/* Not there: a kernel by -kernel, or a firmware of one's own, does without. */
static int open_vgabios(
	struct config *c, const struct options *o, struct shm *shm, struct error *err)
{
	if (!options_vram_bytes(o) || access(VGABIOS_DEFAULT, F_OK) < 0)
		return 0;
	return open_file(shm, "vgabios", "-vga std:", VGABIOS_DEFAULT, VGABIOS_MAX_LEN,
		&c->vgabios.hash, &c->vgabios.len, err);
}

static int open_log(const struct options *o, struct shm *shm, struct error *err)
{
	bool record = o->rr == RR_DO_RECORD;
	struct stat st;
	int fd;

	if (o->rr == RR_OFF)
		return 0;
	fd = open(o->rr_file, (record ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return error_set(err, errno, "-icount rrfile=%s: cannot open the log for %s: %s",
			o->rr_file, record ? "writing" : "reading", strerror(errno));
	/* Two recordings into one file would destroy each other. */
	if (record && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return error_set(err, EBUSY,
			"-icount rrfile=%s: another recording is writing this log", o->rr_file);
	}
	if (record && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return error_set(err, EINVAL,
			"-icount rrfile=%s: expected a regular file to write the log to",
			o->rr_file);
	}
	return shm_add_fd(shm, "logfile", fd, 0, err);
}

int config_clear_log(const struct options *o, const struct shm *shm, struct error *err)
{
	const struct shm_segment *log = shm_find(shm, "logfile");

	if (o->rr == RR_DO_RECORD && ftruncate(log->rw_fd, 0) < 0)
		return error_set(err, errno, "-icount rrfile=%s: cannot empty it: %s", o->rr_file,
			strerror(errno));
	return 0;
}

/* ---- what the log knows ---- */

static void take_log_line(struct config *c, const struct options *o, char *line)
{
	char *eq = strchr(line, '='), *end;
	unsigned long v;

	if (!eq)
		return;
	*eq = '\0';
	v = strtoul(eq + 1, &end, 10);
	if (end == eq + 1 || (*end && *end != '\n'))
		return;
	if (!strcmp(line, "shift") && o->shift < 0 && v <= ICOUNT_SHIFT_MAX)
		c->shift = (uint32_t)v;
	if (!strcmp(line, "digest.log2") && o->digest_log2 < 0 && v >= DIGEST_LOG2_MIN &&
		v <= DIGEST_LOG2_MAX)
		c->digest_log2 = (uint32_t)v;
}

/*
 * shift=auto when replaying is the log's shift. The log is read by the tool that knows logs; when
 * it cannot, replaylog will say what is wrong with the log, better than we could.
 */
static void ask_log(struct config *c, const struct options *o)
{
	posix_spawn_file_actions_t fa;
	struct error ignored = ERROR_INIT;
	char path[600], line[4096];
	char *argv[] = { path, "info", "--config", o->rr_file, NULL };
	struct stat st;
	int fds[2];
	pid_t pid;
	FILE *f;

	if (stat(o->rr_file, &st) < 0 || !S_ISREG(st.st_mode) ||
		program_find("dejavm-log", "replaylog", path, sizeof(path), &ignored) < 0 ||
		pipe2(fds, O_CLOEXEC) < 0)
		return;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawn(&pid, path, &fa, NULL, argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&fa);
	close(fds[1]);
	f = fdopen(fds[0], "r");
	must(f);
	while (pid > 0 && fgets(line, sizeof(line), f))
		take_log_line(c, o, line);
	fclose(f);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* ---- the canonical configuration ---- */

static Dejavm__Property *key_add(struct config *c, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static Dejavm__Property *key_add(struct config *c, const char *key, const char *fmt, ...)
{
	Dejavm__Property *p = &c->keys[c->n_keys];
	va_list ap;

	must(c->n_keys < CONFIG_KEYS_MAX);
	dejavm__property__init(p);
	p->key = strdup(key);
	va_start(ap, fmt);
	if (vasprintf(&p->value, fmt, ap) < 0)
		p->value = NULL;
	va_end(ap);
	must(p->key && p->value);
	c->key_ptrs[c->n_keys++] = p;
	return p;
}

static void key_add_digest(struct config *c, const char *key, uint64_t hash, uint64_t len)
{
	if (len)
		key_add(c, key, "%016llx-%llu", (unsigned long long)hash, (unsigned long long)len);
	else
		key_add(c, key, "none");
}

static void key_add_devices(struct config *c, const struct options *o)
{
	unsigned n_serial = 0;
	char streams[DEVICES_MAX * 36] = "", key[40], text[256];

	for (size_t i = 0; i < o->n_devices; i++) {
		const struct device_spec *d = &o->devices[i];
		int n = snprintf(text, sizeof(text), "%s", d->type->driver);

		for (size_t k = 0; k < d->n_props; k++)
			n += d->props[k].text ? snprintf(text + n, sizeof(text) - (size_t)n,
							",%s=%s", d->props[k].key, d->props[k].text)
					      : snprintf(text + n, sizeof(text) - (size_t)n,
							",%s=%llu", d->props[k].key,
							(unsigned long long)d->props[k].value);
		if (d->type->flags & DEVICE_DISK)
			snprintf(text + n, sizeof(text) - (size_t)n, ",drive=%d", d->drive);
		snprintf(key, sizeof(key), "device.%02zu", i);
		key_add(c, key, "%s", text);
		n_serial += !!(d->type->flags & DEVICE_SERIAL);
		if (d->stream >= 0) {
			if (*streams)
				strcat(streams, ",");
			strcat(streams, d->stream_name);
		}
	}
	key_add(c, "serial.count", "%u", n_serial);
	key_add(c, "streams", "%s", *streams ? streams : "none");
}

static int key_compare(const void *a, const void *b)
{
	const Dejavm__Property *const *pa = a, *const *pb = b;

	return strcmp((*pa)->key, (*pb)->key);
}

/*
 * All that the guest can see, or that decides at which instruction something happens. Not sleep=: a
 * replay never waits. Not the engine: all of them do the same. Not names of files: their contents
 * count.
 */
static void build_keys(struct config *c, const struct options *o)
{
	bool whole_mib = o->ram_bytes % (1u << 20) == 0;

	key_add(c, "append", "%s", o->append ? o->append : "");
	key_add_digest(c, "bios.digest", c->bios.hash, c->bios.len);
	if (o->boot_order || o->boot_once || o->boot_menu)
		key_add(c, "boot", "order=%s,once=%s,menu=%s", o->boot_order ? o->boot_order : "",
			o->boot_once ? o->boot_once : "", o->boot_menu ? "on" : "off");
	key_add(c, "cpu", "%s", o->cpu_model);
	key_add(c, "digest.log2", "%u", c->digest_log2);
	key_add_digest(c, "initrd.digest", c->initrd.hash, c->initrd.len);
	key_add_digest(c, "kernel.digest", c->kernel.hash, c->kernel.len);
	key_add(c, "machine", "%s", o->machine);
	key_add(c, "no-reboot", "%s", o->no_reboot ? "on" : "off");
	key_add(c, "ram", "%llu%s", (unsigned long long)(o->ram_bytes >> (whole_mib ? 20 : 10)),
		whole_mib ? "M" : "K");
	if (c->machine.has_rtc_base)
		key_add(c, "rtc.base", "%lld", (long long)c->machine.rtc_base_s);
	else
		key_add(c, "rtc.base", "host");
	key_add(c, "shift", "%u", c->shift);
	if (options_vram_bytes(o))
		key_add_digest(c, "vgabios.digest", c->vgabios.hash, c->vgabios.len);
	key_add_devices(c, o);
	qsort(c->key_ptrs, c->n_keys, sizeof(c->key_ptrs[0]), key_compare);
}

/* ---- messages ---- */

static void add_prop(struct config *c, size_t device, size_t i, const char *key, const char *text,
	uint64_t value)
{
	Dejavm__Property *p = &c->props[device][i];

	dejavm__property__init(p);
	p->key = (char *)key;
	if (text)
		p->value = strdup(text);
	else if (asprintf(&p->value, "%llu", (unsigned long long)value) < 0)
		p->value = NULL;
	must(p->value);
	c->prop_ptrs[device][i] = p;
}

static void build_devices(struct config *c, const struct options *o)
{
	Dejavm__MachineConfig *m = &c->machine;

	for (size_t i = 0; i < o->n_devices; i++) {
		const struct device_spec *d = &o->devices[i];
		Dejavm__DeviceConfig *dc = &c->devices[i];

		dejavm__device_config__init(dc);
		dc->driver = (char *)d->type->driver;
		if (d->id)
			dc->id = d->id;
		for (size_t k = 0; k < d->n_props; k++)
			add_prop(c, i, k, d->props[k].key, d->props[k].text, d->props[k].value);
		dc->n_props = d->n_props;
		if (d->type->flags & DEVICE_DISK)
			add_prop(c, i, dc->n_props++, "drive", NULL, (uint64_t)d->drive);
		dc->props = c->prop_ptrs[i];
		dc->stream = (uint32_t)(d->stream + 1);
		c->device_ptrs[i] = dc;
		if (d->stream < 0)
			continue;
		dejavm__stream_config__init(&c->streams[d->stream]);
		c->streams[d->stream].number = (uint32_t)d->stream;
		c->streams[d->stream].name = (char *)d->stream_name;
		c->stream_ptrs[d->stream] = &c->streams[d->stream];
	}
	m->devices = c->device_ptrs;
	m->n_devices = o->n_devices;
	m->streams = c->stream_ptrs;
	m->n_streams = o->n_streams;
}

static void build_rtc(Dejavm__MachineConfig *m, const struct options *o)
{
	time_t now = time(NULL);
	struct tm tm;

	if (o->rtc == RTC_DATE) {
		m->has_rtc_base = true;
		m->rtc_base_s = o->rtc_s;
	} else if (o->rtc == RTC_LOCALTIME) {
		m->has_rtc_base = true;
		m->rtc_base_s = now + (localtime_r(&now, &tm) ? tm.tm_gmtoff : 0);
	}
}

static void build_accel(struct config *c, const struct options *o)
{
	Dejavm__EngineConfig *e = &c->accel;

	dejavm__engine_config__init(e);
	e->has_thresh = o->accel.has_thresh;
	e->thresh = (uint32_t)o->accel.thresh;
	e->budget = (uint32_t)o->accel.budget;
	e->tb_size_mib = (uint32_t)o->accel.tb_size;
	e->one_insn = o->accel.one_insn;
	e->perf = o->accel.perf;
	e->no_window = !o->accel.window;
	e->no_returns = !o->accel.return_stack;
	e->window_always = o->accel.window_always;
	e->no_share = !o->accel.share;
	c->machine.accel = e;
}

static void build_machine(struct config *c, const struct options *o)
{
	Dejavm__MachineConfig *m = &c->machine;

	m->ram_bytes = o->ram_bytes;
	m->vram_bytes = options_vram_bytes(o);
	m->vgabios_name = (char *)VGABIOS_DEFAULT;
	m->shift = c->shift;
	m->sleep = o->sleep;
	m->cpu_model = (char *)o->cpu_model;
	build_rtc(m, o);
	m->no_reboot = o->no_reboot;
	m->direct_boot = o->kernel != NULL;
	if (o->append)
		m->append = o->append;
	build_devices(c, o);
	m->digest_log2 = c->digest_log2;
	m->engine = (char *)o->engine;
	build_accel(c, o);
	if (o->debug_items)
		m->debug_items = o->debug_items;
	if (o->kernel)
		m->kernel_name = o->kernel;
	if (o->initrd)
		m->initrd_name = o->initrd;
	if (c->bios_name)
		m->bios_name = c->bios_name;
	if (o->boot_order)
		m->boot_order = o->boot_order;
	if (o->boot_once)
		m->boot_once = o->boot_once;
	m->boot_menu = o->boot_menu;
}

void config_add_drives(struct hub *hub)
{
	struct config *c = &hub->config;

	for (unsigned i = 0; i < hub->opt.n_drives; i++) {
		const struct drive_plan *d = &hub->opt.drives[i];
		char *text = disks_describe(hub, i), key[32];
		Dejavm__Property *p;

		dejavm__drive_config__init(&c->drives[i]);
		c->drives[i].index = i;
		c->drives[i].id = d->id;
		c->drives[i].len = hub->disks.info[i].len;
		c->drives[i].readonly = d->readonly;
		c->drives[i].cdrom = d->cdrom;
		c->drive_ptrs[i] = &c->drives[i];
		snprintf(key, sizeof(key), "drive.%u", i);
		must(text);
		p = key_add(c, key, "%s", text);
		p->files = disks_described_names(hub, i, &p->n_files);
		free(text);
	}
	c->machine.drives = c->drive_ptrs;
	c->machine.n_drives = hub->opt.n_drives;
	qsort(c->key_ptrs, c->n_keys, sizeof(c->key_ptrs[0]), key_compare);
	c->replay.n_config = c->n_keys;
}

static void build_replay(struct config *c, const struct options *o)
{
	Dejavm__ReplayConfig *r = &c->replay;

	r->mode = o->rr == RR_DO_RECORD	  ? DEJAVM__REPLAY_MODE__RR_RECORD
		  : o->rr == RR_DO_REPLAY ? DEJAVM__REPLAY_MODE__RR_REPLAY
					  : DEJAVM__REPLAY_MODE__RR_NONE;
	if (o->rr_file)
		r->file_name = o->rr_file;
	r->marks_all = o->rr_marks_all;
	r->raw = o->rr_raw;
	r->config = c->key_ptrs;
	r->n_config = c->n_keys;
	r->sleep = o->sleep;
	r->shift = c->shift;
	r->realtime = o->replay_realtime;
}

int config_build(struct config *c, struct options *o, struct shm *shm, struct error *err)
{
	int r;

	memset(c, 0, sizeof(*c));
	dejavm__machine_config__init(&c->machine);
	dejavm__replay_config__init(&c->replay);
	dejavm__log_config__init(&c->log);
	c->shift = o->shift >= 0 ? (uint32_t)o->shift : ICOUNT_SHIFT_AUTO;
	c->digest_log2 = o->digest_log2 >= 0 ? (uint32_t)o->digest_log2 : DIGEST_LOG2;
	if ((r = open_boot_files(c, o, shm, err)) || (r = open_vgabios(c, o, shm, err)) ||
		(r = open_log(o, shm, err)))
		return r;
	if (o->rr == RR_DO_REPLAY && (o->shift < 0 || o->digest_log2 < 0))
		ask_log(c, o);
	build_machine(c, o);
	build_keys(c, o);
	build_replay(c, o);
	c->log.level = o->log_level >= 0 ? (uint32_t)o->log_level : LOG_LVL_WARN;
	c->log.trace = o->trace;
	c->log.n_trace = o->n_trace;
	c->log.sandbox = !o->no_sandbox;
	return 0;
}

void config_done(struct config *c)
{
	for (size_t i = 0; i < c->n_keys; i++) {
		free(c->keys[i].key);
		free(c->keys[i].value);
		free(c->keys[i].files);
	}
	for (size_t i = 0; i < c->machine.n_devices; i++)
		for (size_t k = 0; k < c->devices[i].n_props; k++)
			free(c->props[i][k].value);
	free(c->bios_name);
	memset(c, 0, sizeof(*c));
}
