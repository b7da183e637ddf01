/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: tables of what is accepted and what it means, and of what is refused and in
 * which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "display.h"
#include "log.h"
#include "names.h"
#include "options.h"

#define ARGV_MAX 24

/* Splits words at spaces; '_' in a word stands for a space. */
static int parse(struct options *o, const char *words, struct error *err)
{
	static char copy[1024];
	char *argv[ARGV_MAX] = { (char *)"dejavm" }, *save = NULL;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_in_range(argc, 1, ARGV_MAX - 1);
		argv[argc++] = w;
	}
	*err = (struct error)ERROR_INIT;
	return options_parse(o, argc, argv, err);
}

static void parse_ok(struct options *o, const char *words)
{
	struct error err;

	if (parse(o, words, &err) != 0)
		fail_msg("'%s' was refused: %s", words, err.msg);
}

/* ---- what is refused ---- */

static const struct {
	const char *words;
	const char *says[3];
} refused[] = {
	{ "--bogus", { "'--bogus'", "machine", "serial" } },
	{ "-seriall stdio", { "did you mean '-serial'?" } },
	{ "-", { "'-'" } },
	{ "-kernel", { "-kernel", "missing" } },
	{ "-M q35", { "'q35'", "there are: pc" } },
	{ "-machine pc,usb=on", { "'usb'", "type" } },
	{ "-M pc,accel=kvm", { "'kvm'", "interp" } },
	{ "-accel tgc", { "'tgc'", "interp" } },
	{ "-accel kvm", { "'kvm'", "tcg" } },
	{ "-accel tcg,tb-size=0", { "tb-size", "from 1" } },
	{ "-accel tcg,tb-size=2000", { "tb-size", "to 1024" } },
	{ "-accel tcg,thread=multi", { "thread=multi", "one CPU" } },
	{ "-accel tcg,foo=1", { "'foo'", "thresh" } },
	{ "-accel interp,thresh=1", { "'thresh'" } },
	{ "-accel thresh=1", { "name is missing" } },
	{ "-d out", { "'out'", "out_asm" } },
	{ "-cpu dejavm33", { "did you mean 'dejavm32'" } },
	{ "-cpu dejavm33,+sse", { "did you mean 'dejavm32'" } },
	{ "-cpu dejavm32,sse", { "features", "+sse4.1" } },
	{ "-cpu dejavm32,+", { "features" } },
	{ "-smp 2", { "one CPU" } },
	{ "-m 0", { "from 1M to 3G" } },
	{ "-m 4G", { "from 1M to 3G" } },
	{ "-m 1025K", { "whole pages" } },
	{ "-m lots", { "lots" } },
	{ "-m 64,slots=2", { "'slots'", "size" } },
	{ "-icount shift=11", { "shift", "from 0 to 10" } },
	{ "-icount shift=-1", { "shift" } },
	{ "-icount foo=1", { "'foo'", "rrfile" } },
	{ "-icount rr=play,rrfile=x", { "rr=play", "'replay'" } },
	{ "-icount rr=record", { "rrfile=FILE is missing" } },
	{ "-icount rrfile=x", { "rr=record or rr=replay" } },
	{ "-icount rrdigest=20", { "rrdigest" } },
	{ "-icount rr=record,rrfile=x,rrdigest=2", { "rrdigest" } },
	{ "-icount rr=record,rrfile=x,rrmarks=most", { "rrmarks=most", "'all'" } },
	{ "-icount rr=record,rrfile=x,replay-speed=realtime", { "rr=replay" } },
	{ "-icount rr=record,rrfile=x -rtc base=localtime", { "localtime", "time zone" } },
	{ "-rtc base=yesterday", { "base=yesterday", "localtime" } },
	{ "-rtc base=2026-02-30", { "2026-02-30" } },
	{ "-rtc base=2026-13-01", { "2026-13-01" } },
	{ "-rtc base=2026-01-01T25:00:00", { "T25" } },
	{ "-rtc clock=host", { "clock=host", "clock=vm" } },
	{ "-rtc drift=1", { "'drift'", "base" } },
	{ "-display gtk", { "'gtk'", "none" } },
	{ "-display curse", { "did you mean 'curses'" } },
	{ "-display curses -nographic", { "both want the terminal" } },
	{ "-display curses -vga none", { "no display adapter" } },
	{ "-vnc :0 -nodefaults", { "no display adapter" } },
	{ "-vnc 5900", { "[HOST]:NUMBER" } },
	{ "-vnc :x", { "[HOST]:NUMBER" } },
	{ "-vnc :-1", { "[HOST]:NUMBER" } },
	{ "-vnc :60000", { "[HOST]:NUMBER" } },
	{ "-vnc unix:", { "path" } },
	{ "-vnc :1,tls=on", { "'tls'", "password" } },
	{ "-display vnc=:1,password=maybe", { "password" } },
	{ "-vga cirrus", { "'cirrus'", "std" } },
	{ "-device VGA -device VGA", { "one display adapter" } },
	{ "-vga std -device VGA", { "one display adapter" } },
	{ "-device VGA,vgamem_mb=512", { "vgamem_mb", "256" } },
	{ "-net user", { "'user'", "none" } },
	{ "-nic user", { "'user'" } },
	{ "-parallel stdio", { "'stdio'", "none" } },
	{ "-monitor bogus", { "'bogus'", "stdio" } },
	{ "-monitor stdio -serial stdio", { "standard input", "monitor" } },
	{ "-monitor null -monitor pty -monitor pty -monitor pty -monitor pty -monitor pty",
		{ "more than 4" } },
	{ "-icount rrsnapshot=x", { "rrsnapshot=x", "rr=record" } },
	{ "-icount rr=record,rrfile=f -loadvm x", { "-loadvm x", "rrsnapshot=NAME" } },
	{ "-icount rr=replay,rrfile=f,rrsnapshot=y -loadvm x", { "one place" } },
	{ "-boot order=x", { "'x'", "c (hard disk)" } },
	{ "-initrd x", { "needs -kernel" } },
	{ "-append x", { "needs -kernel" } },
	{ "-serial bogus", { "'bogus'", "file:PATH" } },
	{ "-serial mon:bogus", { "'bogus'" } },
	{ "-serial null -serial null -serial null -serial null -serial null", { "only 4" } },
	{ "-serial file:", { "file:PATH" } },
	{ "-serial tcp:localhost", { "no port" } },
	{ "-serial tcp:localhost:http", { "'http'" } },
	{ "-serial tcp:localhost:70000", { "'70000'" } },
	{ "-serial tcp:localhost:1,foo=2", { "'foo'", "server" } },
	{ "-serial unix:/x,path=/y", { "path= has no place" } },
	{ "-serial unix:/x,wait=on", { "server=on" } },
	{ "-serial unix:", { "path" } },
	{ "-serial stdio -debugcon stdio", { "one user", "serial0", "debugcon" } },
	{ "-serial chardev:x", { "id=x" } },
	{ "-chardev null,id=aaaa -serial chardev:aaab", { "'aaab'", "did you mean 'aaaa'" } },
	{ "-chardev null,id=a -chardev null,id=a", { "'a' is taken" } },
	{ "-chardev null,id=a", { "no device uses it" } },
	{ "-chardev null", { "id= is missing" } },
	{ "-chardev id=x", { "-chardev id=x", "KIND" } },
	{ "-chardev vc,id=a", { "'vc'", "socket" } },
	{ "-chardev null,id=a,path=x", { "'path'", "mux" } },
	{ "-chardev file,id=a", { "path=" } },
	{ "-chardev socket,id=a", { "path=PATH or host=HOST" } },
	{ "-chardev socket,id=a,path=/x,host=h,port=1", { "either" } },
	{ "-chardev socket,id=a,host=h", { "port=" } },
	{ "-chardev null,id=a -serial chardev:a -debugcon chardev:a",
		{ "used by serial0", "mux=on" } },
	{ "-device foo", { "'foo'", "isa-debugcon" } },
	{ "-device isa-debug-exi", { "did you mean 'isa-debug-exit'" } },
	{ "-device isa-serial", { "chardev=ID is missing" } },
	{ "-device isa-debug-exit,iobase=0x10000", { "iobase" } },
	{ "-device isa-debug-exit,size=4", { "'size'", "iosize" } },
	{ "-device isa-debug-exit,id=a -device isa-debug-exit,id=a", { "'a' is taken" } },
	{ "-chardev null,id=a -device isa-serial,chardev=a,index=4", { "index" } },
	{ "-serial null -chardev null,id=a -device isa-serial,chardev=a,index=0", { "index=0" } },
	{ "-drive format=raw", { "file=FILE is missing" } },
	{ "-drive if=none,id=a,file=x", { "no device uses it", "drive=a" } },
	{ "-drive if=virtio,file=x", { "'virtio'", "there are: ide, none" } },
	{ "-drive file=x,format=vmdk", { "'vmdk'", "raw, qcow2" } },
	{ "-drive file=x,driver=blkrepaly", { "did you mean 'blkreplay'" } },
	{ "-drive file=x,driver=blkreplay", { "no file=", "image=ID" } },
	{ "-drive driver=blkreplay", { "image=ID is missing" } },
	{ "-drive file=x,image=y", { "image= belongs to" } },
	{ "-drive file=x,format=raw,driver=raw", { "both" } },
	{ "-drive file=x,index=4", { "index" } },
	{ "-drive file=x,bus=2", { "bus" } },
	{ "-drive file=x,index=1,unit=0", { "cannot be used with" } },
	{ "-drive file=x,if=none,id=a,unit=0 -device ide-hd,drive=a", { "if=none" } },
	{ "-drive file=x,media=floppy", { "'floppy'", "disk, cdrom" } },
	{ "-drive file=x,cache=fast", { "'fast'", "writethrough" } },
	{ "-drive file=x,discard=never", { "'never'", "unmap" } },
	{ "-drive file=x,werror=stop", { "'stop'", "report" } },
	{ "-drive file=x,fiel=y", { "'fiel'", "file" } },
	{ "-drive file=", { "file= is empty" } },
	{ "-drive file=x,overlay=y,snapshot=on", { "snapshot=on", "overlay=" } },
	{ "-snapshot -drive file=x,overlay=y", { "contradict" } },
	{ "-drive file=x,readonly=on", { "no write protection" } },
	{ "-drive file=x,media=cdrom,readonly=off", { "readonly=off" } },
	{ "-drive file=x,media=cdrom,overlay=y", { "CD-ROM is never written" } },
	{ "-drive if=ide", { "a hard disk needs an image" } },
	{ "-hda x -hda y", { "-hda y", "ide.0 unit 0", "-hda x" } },
	{ "x y", { "disk image y", "taken by disk image x" } },
	{ "-hdc x -cdrom y", { "-cdrom y", "ide.1 unit 0" } },
	{ "-hda a -hdb b -hdc c -hdd d -drive file=e", { "file=e", "no place left" } },
	{ "-hda a -drive file=b,if=none,id=b -device ide-hd,drive=b,bus=ide.0,unit=0",
		{ "drive=b", "ide.0 unit 0 is taken by -hda a" } },
	{ "-hda a -hdb b -drive file=c,if=none,id=c -device ide-hd,drive=c,bus=ide.0",
		{ "no place left on ide.0" } },
	{ "-device ide-hd", { "drive=ID is missing" } },
	{ "-device ide-hd,drive=a", { "id=a", "none with an id" } },
	{ "-drive if=none,file=x,id=abcd -device ide-hd,drive=abce", { "did you mean 'abcd'" } },
	{ "-drive if=none,file=x,id=a -device ide-hd,drive=a -device ide-hd,drive=a",
		{ "used by -device ide-hd,drive=a already" } },
	{ "-drive if=none,file=x,id=a -device ide-hd,drive=a,bus=ide.2", { "ide.0, ide.1" } },
	{ "-drive if=none,file=x,id=a -device ide-hd,drive=a,unit=2", { "unit" } },
	{ "-drive if=none,file=x,id=a -device ide-hd,drive=a,serial=123456789012345678901",
		{ "21 characters", "20" } },
	{ "-drive if=none,file=x,id=a -drive file=y,id=a", { "'a' is taken" } },
	{ "-drive if=none,file=x,id=a -drive file=y,node-name=a", { "'a' is taken" } },
	{ "-hda x -drive driver=blkreplay,image=ide0-hd0,id=b,if=none -device ide-hd,drive=b",
		{ "id 'ide0-hd0'" } },
	{ "-drive file=x,id=a -drive driver=blkreplay,image=a,if=none,id=b -device ide-hd,drive=b",
		{ "needs if=none" } },
	{ "-drive driver=blkreplay,image=b,if=none,id=a -drive "
	  "driver=blkreplay,image=a,if=none,id=b -device ide-hd,drive=b",
		{ "circle" } },
	{ "-drive file=x,inject-error.0.event=read", { "blkdebug" } },
	{ "-drive driver=blkdebug,image=a,inject-error.x.event=read", { "inject-error.N" } },
	{ "-drive driver=blkdebug,image=a,inject-error.0.errno=5", { "event= is missing" } },
	{ "-drive driver=blkdebug,image=a,inject-error.0.event=l2_load",
		{ "'l2_load'", "discard" } },
	{ "-boot order=cc", { "'c' is given twice" } },
	{ "-boot once=", { "once= is empty" } },
	{ "-boot menu=maybe", { "menu" } },
	{ "-boot oder=c", { "'oder'", "order" } },
	{ "-qmp stdio", { "expected unix:PATH" } },
	{ "-qmp unix:/x", { "server=on is missing" } },
	{ "-qmp unix:/x,server=on -qmp unix:/y,server=on", { "one" } },
	{ "-d nonsense", { "'nonsense'", "info" } },
	{ "--wrap gdb", { "PROCESS=COMMAND" } },
	{ "--wrap cpu=gdb", { "'cpu'", "did you mean 'vcpu'" } },
};

static void test_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct options o;
		struct error err;

		if (parse(&o, refused[i].words, &err) >= 0)
			fail_msg("'%s' was accepted", refused[i].words);
		for (int k = 0; k < 3 && refused[i].says[k]; k++)
			if (!strstr(err.msg, refused[i].says[k]))
				fail_msg("'%s': the message lacks \"%s\": %s", refused[i].words,
					refused[i].says[k], err.msg);
		options_done(&o);
	}
}

/* ---- what is accepted ---- */

static uint64_t prop(const struct device_spec *d, const char *key)
{
	uint64_t v = ~UINT64_C(0);

	assert_true(device_spec_get(d, key, &v));
	return v;
}

/* Where disks are, what is behind them, and whether it is written. */
static const struct {
	const char *words;
	unsigned n;
	struct {
		unsigned bus, unit;
		const char *driver, *id, *file, *overlay;
		bool temporary, readonly;
	} disk[4];
} disks_accepted[] = {
	{ "x", 1, { { 0, 0, "ide-hd", "ide0-hd0", "x", NULL, false, false } } },
	{ "-cdrom c -hda a -hdd d", 3,
		{ { 0, 0, "ide-hd", "ide0-hd0", "a", NULL, false, false },
			{ 1, 0, "ide-cd", "ide1-cd0", "c", NULL, false, true },
			{ 1, 1, "ide-hd", "ide1-hd1", "d", NULL, false, false } } },
	{ "-drive file=a -drive file=b,index=0 -drive file=c,id=c", 3,
		{ { 0, 0, "ide-hd", "ide0-hd0", "b", NULL, false, false },
			{ 0, 1, "ide-hd", "ide0-hd1", "a", NULL, false, false },
			{ 1, 0, "ide-hd", "c", "c", NULL, false, false } } },
	{ "-drive file=a,snapshot=on -drive file=b,overlay=o", 2,
		{ { 0, 0, "ide-hd", "ide0-hd0", "a", NULL, true, false },
			{ 0, 1, "ide-hd", "ide0-hd1", "b", "o", false, false } } },
	{ "-snapshot -hda a -drive file=b,snapshot=off -cdrom c", 3,
		{ { 0, 0, "ide-hd", "ide0-hd0", "a", NULL, true, false },
			{ 0, 1, "ide-hd", "ide0-hd1", "b", NULL, false, false },
			{ 1, 0, "ide-cd", "ide1-cd0", "c", NULL, false, true } } },
	{ "-icount rr=record,rrfile=f -hda a -cdrom c -drive file=b,overlay=o", 3,
		{ { 0, 0, "ide-hd", "ide0-hd0", "a", NULL, true, false },
			{ 0, 1, "ide-hd", "ide0-hd1", "b", "o", false, false },
			{ 1, 0, "ide-cd", "ide1-cd0", "c", NULL, false, true } } },
	{ "-icount rr=replay,rrfile=f -drive file=b,overlay=o", 1,
		{ { 0, 0, "ide-hd", "ide0-hd0", "b", NULL, true, false } } },
	{ "-icount rr=replay,rrfile=f -drive file=a.qcow2,if=none,id=img-direct -drive "
	  "driver=blkreplay,if=none,image=img-direct,id=img-blkreplay -device "
	  "ide-hd,drive=img-blkreplay",
		1, { { 0, 0, "ide-hd", "img-blkreplay", "a.qcow2", NULL, true, false } } },
	{ "-device ide-cd", 1, { { 0, 0, "ide-cd", "ide0-cd0", NULL, NULL, false, false } } },
	{ "-drive media=cdrom", 1, { { 0, 0, "ide-cd", "ide0-cd0", NULL, NULL, false, false } } },
	{ "-drive file=x,if=none,node-name=n -device ide-cd,drive=n,bus=ide.1,unit=1", 1,
		{ { 1, 1, "ide-cd", "n", "x", NULL, false, true } } },
};

static void test_disks(void **state)
{
	for (size_t i = 0; i < sizeof(disks_accepted) / sizeof(disks_accepted[0]); i++) {
		const struct device_spec *d;
		struct options o;
		unsigned n = 0;

		parse_ok(&o, disks_accepted[i].words);
		assert_int_equal(o.n_drives, disks_accepted[i].n);
		for (d = o.devices; d < o.devices + o.n_devices; d++) {
			const struct drive_plan *p = &o.drives[n];

			if (!(d->type->flags & DEVICE_DISK))
				continue;
			assert_int_equal(d->drive, n);
			assert_int_equal(p->index, n);
			assert_int_equal(prop(d, "bus"), disks_accepted[i].disk[n].bus);
			assert_int_equal(prop(d, "unit"), disks_accepted[i].disk[n].unit);
			assert_string_equal(d->type->driver, disks_accepted[i].disk[n].driver);
			assert_string_equal(p->id, disks_accepted[i].disk[n].id);
			if (disks_accepted[i].disk[n].file)
				assert_string_equal(p->image->file, disks_accepted[i].disk[n].file);
			else
				assert_null(p->image);
			if (disks_accepted[i].disk[n].overlay)
				assert_string_equal(p->overlay, disks_accepted[i].disk[n].overlay);
			else
				assert_null(p->overlay);
			assert_int_equal(p->temporary, disks_accepted[i].disk[n].temporary);
			assert_int_equal(p->readonly, disks_accepted[i].disk[n].readonly);
			n++;
		}
		assert_int_equal(n, o.n_drives);
		options_done(&o);
	}
}

static void test_drive_details(void **state)
{
	struct options o;

	parse_ok(&o,
		"-drive file=a,format=qcow2,if=none,id=a,cache=unsafe,discard=ignore,aio=native,"
		"werror=report -drive "
		"driver=blkdebug,image=a,if=none,id=b,inject-error.3.event=write,"
		"inject-error.3.sector=7,inject-error.1.event=read_aio,inject-error.1.errno=28,"
		"inject-error.1.once=on -drive driver=blkreplay,image=b,id=c,if=none,cache=none "
		"-device ide-hd,drive=c,serial=S-1,bootindex=2,bus=ide.1");
	assert_int_equal(o.n_drives, 1);
	assert_string_equal(o.drives[0].image->format, "qcow2");
	/* What is said nearest to the disk counts. */
	assert_int_equal(o.drives[0].cache, DRIVE_WRITEBACK);
	assert_true(o.drives[0].ignore_discard);
	assert_int_equal(o.drives[0].n_inject, 2);
	assert_int_equal(o.drives[0].inject[0].event, BLK_READ);
	assert_int_equal(o.drives[0].inject[0].error, 28);
	assert_true(o.drives[0].inject[0].once);
	assert_false(o.drives[0].inject[0].has_sector);
	assert_int_equal(o.drives[0].inject[1].event, BLK_WRITE);
	assert_int_equal(o.drives[0].inject[1].error, 5);
	assert_int_equal(o.drives[0].inject[1].sector, 7);
	for (size_t i = 0; i < o.n_devices; i++) {
		const struct device_spec *d = &o.devices[i];

		if (!(d->type->flags & DEVICE_DISK))
			continue;
		assert_int_equal(prop(d, "bootindex"), 2);
		assert_int_equal(prop(d, "bus"), 1);
		assert_int_equal(prop(d, "unit"), 0);
		assert_string_equal(d->props[1].key, "serial");
		assert_string_equal(d->props[1].text, "S-1");
	}
	options_done(&o);
	parse_ok(&o, "-boot dc,once=n,menu=on");
	assert_string_equal(o.boot_order, "dc");
	assert_string_equal(o.boot_once, "n");
	assert_true(o.boot_menu);
	options_done(&o);
	parse_ok(&o, "-boot menu=off");
	assert_null(o.boot_order);
	options_done(&o);
}

static void test_defaults(void **state)
{
	struct options o;

	parse_ok(&o, "");
	assert_string_equal(o.machine, "pc");
	assert_string_equal(o.cpu_model, "dejavm32");
	assert_string_equal(o.engine, "tcg");
	assert_int_equal(o.ram_bytes, 128u << 20);
	assert_int_equal(o.shift, -1);
	assert_true(o.sleep);
	assert_int_equal(o.rr, RR_OFF);
	assert_false(o.qmp);
	/* One serial port, connected to nothing, and a display adapter that nobody looks at. */
	assert_int_equal(o.n_devices, 2);
	assert_string_equal(o.devices[1].type->driver, "VGA");
	assert_int_equal(options_vram_bytes(&o), (16 << 20) + DISPLAY_EXTRA_LEN);
	assert_int_equal(o.display, DISPLAY_DEFAULT);
	assert_int_equal(o.n_streams, 1);
	assert_string_equal(o.devices[0].type->driver, "isa-serial");
	assert_string_equal(o.devices[0].stream_name, "serial0");
	assert_int_equal(o.chardevs[o.devices[0].chardev].kind, CHARDEV_NULL);
	options_done(&o);
	parse_ok(&o, "-nodefaults");
	assert_int_equal(o.n_devices, 0);
	options_done(&o);
	assert_int_equal(options_vram_bytes(&o), 0);
	parse_ok(&o, "-serial none -vga none");
	assert_int_equal(o.n_devices, 0);
	options_done(&o);
}

static void test_display(void **state)
{
	struct options o;

	parse_ok(&o, "-vnc :3,password=on");
	assert_int_equal(o.display, DISPLAY_VNC);
	assert_string_equal(o.vnc_spec.host, "");
	assert_string_equal(o.vnc_spec.port, "5903");
	assert_true(o.vnc_password);
	options_done(&o);
	parse_ok(&o, "-display none -display vnc=[::1]:0 -device VGA,vgamem_mb=32 -nodefaults");
	assert_string_equal(o.vnc_spec.host, "::1");
	assert_string_equal(o.vnc_spec.port, "5900");
	assert_int_equal(options_vram_bytes(&o), (32 << 20) + DISPLAY_EXTRA_LEN);
	options_done(&o);
	parse_ok(&o, "-vnc unix:/tmp/v -vga std -nodefaults");
	assert_string_equal(o.vnc_spec.path, "/tmp/v");
	assert_false(o.vnc_password);
	options_done(&o);
	parse_ok(&o, "-vnc :1 -vnc none");
	assert_int_equal(o.display, DISPLAY_NONE);
	options_done(&o);
	parse_ok(&o, "-display curses");
	assert_int_equal(o.display, DISPLAY_CURSES);
	options_done(&o);
}

static void test_values(void **state)
{
	struct options o;

	parse_ok(&o, "--machine pc,accel=interp -m size=1G -cpu dejavm32 -kernel k -initrd i "
		     "-append a,b "
		     "-icount "
		     "7,sleep=off,rr=record,rrfile=a,,b.bin,rrmarks=all,rrdigest=20,rrformat=raw "
		     "-name n -S -no-reboot -no-shutdown");
	assert_int_equal(o.ram_bytes, 1u << 30);
	assert_string_equal(o.append, "a,b");
	assert_int_equal(o.shift, 7);
	assert_false(o.sleep);
	assert_int_equal(o.rr, RR_DO_RECORD);
	assert_string_equal(o.rr_file, "a,b.bin");
	assert_true(o.rr_marks_all && o.rr_raw && o.start_paused && o.no_reboot && o.no_shutdown);
	assert_int_equal(o.digest_log2, 20);
	assert_string_equal(o.engine, "interp");
	options_done(&o);
	parse_ok(&o, "-accel tcg,thresh=0,budget=7,tb-size=32,one-insn-per-tb=on,thread=single "
		     "-d in,host");
	assert_string_equal(o.engine, "tcg");
	assert_true(o.accel.has_thresh && o.accel.one_insn && o.accel.window && !o.accel.perf);
	assert_true(o.accel.return_stack && o.accel.share);
	assert_int_equal(o.accel.thresh, 0);
	assert_int_equal(o.accel.budget, 7);
	assert_int_equal(o.accel.tb_size, 32);
	assert_int_equal(o.n_trace, 2);
	assert_string_equal(o.trace[1], "vcpu_tb_host");
	options_done(&o);
	parse_ok(&o, "-accel tcg,return-stack=off,window=off");
	assert_false(o.accel.return_stack || o.accel.window);
	options_done(&o);
	parse_ok(&o, "-cpu pentium3,+sse2,-pse36");
	assert_string_equal(o.cpu_model, "pentium3,+sse2,-pse36");
	options_done(&o);
	parse_ok(&o, "-icount shift=auto -m 64 -m 32M");
	assert_int_equal(o.shift, -1);
	assert_int_equal(o.ram_bytes, 32u << 20);
	options_done(&o);
	parse_ok(&o, "-rtc base=2026-01-02T03:04:05,clock=vm");
	assert_int_equal(o.rtc, RTC_DATE);
	assert_int_equal(o.rtc_s, 1767323045);
	options_done(&o);
	parse_ok(&o, "-rtc base=2024-02-29");
	assert_int_equal(o.rtc_s, 1709164800);
	options_done(&o);
	parse_ok(&o, "-trace i8259* -d trace:pit*,debug --wrap vcpu=gdb=x --wrap qmpd=none -qmp "
		     "unix:/tmp/q,server,nowait");
	assert_int_equal(o.n_trace, 2);
	assert_string_equal(o.trace[1], "pit*");
	assert_int_equal(o.log_level, LOG_LVL_DEBUG);
	assert_string_equal(o.wrap[PROC_VCPU], "gdb=x");
	assert_string_equal(o.wrap[PROC_QMPD], "none");
	assert_true(o.qmp && o.qmp_spec.server && !o.qmp_spec.wait);
	assert_string_equal(o.qmp_spec.path, "/tmp/q");
	options_done(&o);
}

static const struct chardev_case {
	const char *text;
	enum chardev_kind kind;
	const char *path, *host, *port;
	bool server, wait, mux, signal;
} chardev_cases[] = {
	{ "null", CHARDEV_NULL, NULL, NULL, NULL, 0, 0, 0, 1 },
	{ "stdio", CHARDEV_STDIO, NULL, NULL, NULL, 0, 0, 0, 1 },
	{ "mon:stdio", CHARDEV_STDIO, NULL, NULL, NULL, 0, 0, 1, 0 },
	{ "pty", CHARDEV_PTY, NULL, NULL, NULL, 0, 0, 0, 1 },
	{ "file:/a,b=c", CHARDEV_FILE, "/a,b=c", NULL, NULL, 0, 0, 0, 1 },
	{ "unix:/a", CHARDEV_SOCKET, "/a", NULL, NULL, 0, 0, 0, 1 },
	{ "unix:/a,,b,server=on", CHARDEV_SOCKET, "/a,b", NULL, NULL, 1, 1, 0, 1 },
	{ "unix:/a,server=on,wait=off", CHARDEV_SOCKET, "/a", NULL, NULL, 1, 0, 0, 1 },
	{ "unix:/a,server,nowait", CHARDEV_SOCKET, "/a", NULL, NULL, 1, 0, 0, 1 },
	{ "tcp:localhost:4444", CHARDEV_SOCKET, NULL, "localhost", "4444", 0, 0, 0, 1 },
	{ "tcp::4444,server=on", CHARDEV_SOCKET, NULL, "", "4444", 1, 1, 0, 1 },
	{ "tcp:[::1]:4444,server=on,wait=off", CHARDEV_SOCKET, NULL, "::1", "4444", 1, 0, 0, 1 },
	{ "mon:unix:/a,server=on", CHARDEV_SOCKET, "/a", NULL, NULL, 1, 1, 1, 0 },
};

static void same_text(const char *a, const char *b)
{
	assert_string_equal(a ? a : "(none)", b ? b : "(none)");
}

static void test_short_chardevs(void **state)
{
	for (size_t i = 0; i < sizeof(chardev_cases) / sizeof(chardev_cases[0]); i++) {
		const struct chardev_case *c = &chardev_cases[i];
		struct chardev_spec s;
		struct error err = ERROR_INIT;

		if (chardev_spec_parse_short(&s, "-serial", c->text, "serial0", &err) < 0)
			fail_msg("'%s': %s", c->text, err.msg);
		assert_int_equal(s.kind, c->kind);
		same_text(s.path, c->path);
		same_text(s.host, c->host);
		same_text(s.port, c->port);
		if (c->kind == CHARDEV_SOCKET) {
			assert_int_equal(s.server, c->server);
			assert_int_equal(s.wait, c->wait);
		}
		assert_int_equal(s.mux, c->mux);
		assert_int_equal(s.signal, c->signal);
		chardev_spec_done(&s);
	}
}

/* The long form means the same as the short one. */
static void test_long_chardevs(void **state)
{
	struct chardev_spec s;
	struct error err = ERROR_INIT;

	assert_int_equal(chardev_spec_parse(&s, "socket,id=a,path=/x,server=on", &err), 0);
	assert_true(s.server && s.wait && !s.mux);
	chardev_spec_done(&s);
	assert_int_equal(chardev_spec_parse(&s, "stdio,id=a,mux=on", &err), 0);
	assert_true(s.mux && !s.signal);
	chardev_spec_done(&s);
	assert_int_equal(chardev_spec_parse(&s, "stdio,id=a,mux=on,signal=on", &err), 0);
	assert_true(s.mux && s.signal);
	chardev_spec_done(&s);
	assert_int_equal(chardev_spec_parse(&s, "file,id=a,path=x,append=on", &err), 0);
	assert_true(s.append);
	chardev_spec_done(&s);
}

static void check_stream(const struct options *o, int n, const char *name, const char *driver)
{
	for (size_t i = 0; i < o->n_devices; i++) {
		if (o->devices[i].stream != n)
			continue;
		assert_string_equal(o->devices[i].stream_name, name);
		assert_string_equal(o->devices[i].type->driver, driver);
		return;
	}
	fail_msg("there is no stream %d", n);
}

static void test_streams(void **state)
{
	struct options o;
	uint64_t index;

	/* Serial ports first, whatever the order of the options; an index stays where "none" left a
	 * gap. */
	parse_ok(&o, "-debugcon null -device isa-debug-exit -chardev null,id=c -device "
		     "isa-debugcon,chardev=c "
		     "-serial none -serial null -chardev null,id=s -device isa-serial,chardev=s");
	assert_int_equal(o.n_streams, 4);
	assert_int_equal(o.n_devices, 6);
	check_stream(&o, 0, "serial1", "isa-serial");
	check_stream(&o, 1, "serial0", "isa-serial");
	check_stream(&o, 2, "debugcon", "isa-debugcon");
	check_stream(&o, 3, "debugcon1", "isa-debugcon");
	assert_true(device_spec_get(&o.devices[0], "index", &index));
	assert_int_equal(index, 1);
	options_done(&o);
	/* Users of one back end. */
	parse_ok(&o, "-chardev stdio,id=c,mux=on -serial chardev:c -serial chardev:c -debugcon "
		     "chardev:c");
	assert_int_equal(o.n_chardevs, 1);
	assert_int_equal(o.chardevs[0].n_users, 3);
	options_done(&o);
	/* -nographic is a terminal with keys, unless -serial says otherwise. */
	parse_ok(&o, "-nographic");
	assert_true(o.chardevs[0].mux && o.chardevs[0].kind == CHARDEV_STDIO);
	options_done(&o);
	parse_ok(&o, "-nographic -serial stdio");
	assert_false(o.chardevs[0].mux);
	assert_int_equal(o.n_devices, 2);
	options_done(&o);
}

static void test_names(void **state)
{
	static const char *const names[] = { "isa-serial", "isa-debugcon", "pc", NULL };
	char buf[24];

	assert_string_equal(name_closest("isa-seriel", names), "isa-serial");
	assert_string_equal(name_closest("isa_debugcom", names), "isa-debugcon");
	assert_null(name_closest("rtl8139", names));
	assert_null(name_closest("x", names));
	assert_string_equal(names_join(buf, sizeof(buf), names), "isa-serial...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_display),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_drive_details),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_short_chardevs),
		cmocka_unit_test(test_long_chardevs),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
