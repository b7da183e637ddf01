/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The picture as a file: PPM (P6), or PNG by libpng. */
#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub.h"
#include "log.h"
#include "screen.h"

#define HOLD_MS 500

struct picture {
	unsigned width, height;
	uint32_t *pixels;
};

/* The guest stands still only while its memory is read. */
static int picture_take(struct hub *hub, struct picture *p, struct error *err)
{
	const struct display *d = &hub->display;
	struct display_regs regs;
	struct screen_mode mode;
	bool held = life_hold(hub, HOLD_MS);
	bool whole = display_read(d->page, &regs);

	screen_mode_find(&regs, d->vram_len, &mode);
	p->width = mode.width;
	p->height = mode.height;
	p->pixels = calloc((size_t)p->width * p->height, sizeof(*p->pixels));
	if (p->pixels)
		screen_render(&regs, &mode, d->vram, d->vram_len, p->pixels,
			SCREEN_CURSOR | SCREEN_BLINK);
	life_release(hub);
	if (!p->pixels)
		return error_set(
			err, ENOMEM, "no memory for a picture of %ux%u", p->width, p->height);
	if (!held || !whole)
		log_warn(
			"screendump: the guest did not come to a checkpoint; the picture may be of "
			"two moments");
	return 0;
}

static void line_bytes(const struct picture *p, unsigned y, uint8_t *out)
{
	for (unsigned x = 0; x < p->width; x++) {
		uint32_t v = p->pixels[(size_t)y * p->width + x];

		*out++ = (uint8_t)(v >> 16);
		*out++ = (uint8_t)(v >> 8);
		*out++ = (uint8_t)v;
	}
}

static bool write_ppm(const struct picture *p, FILE *f, uint8_t *line)
{
	fprintf(f, "P6\n%u %u\n255\n", p->width, p->height);
	for (unsigned y = 0; y < p->height; y++) {
		line_bytes(p, y, line);
		fwrite(line, 3, p->width, f);
	}
	return !ferror(f);
}

static bool write_png(const struct picture *p, FILE *f, uint8_t *line)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		return false;
	}
	png_init_io(png, f);
	png_set_IHDR(png, info, p->width, p->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
		PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (unsigned y = 0; y < p->height; y++) {
		line_bytes(p, y, line);
		png_write_row(png, line);
	}
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	return true;
}

static int picture_write(
	const struct picture *p, const char *path, enum screendump_format format, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
	uint8_t *line = malloc((size_t)p->width * 3);
	bool good;

	if (!f || !line) {
		free(line);
		if (fd >= 0)
			close(fd);
		return error_set(err, errno, "failed to open file '%s': %s", path, strerror(errno));
	}
	errno = EIO;
	good = format == SCREENDUMP_PNG ? write_png(p, f, line) : write_ppm(p, f, line);
	free(line);
	if (fclose(f) != 0 || !good)
		return error_set(
			err, errno, "cannot write the picture to '%s': %s", path, strerror(errno));
	return 0;
}

int screendump(struct hub *hub, const char *path, enum screendump_format format, struct error *err)
{
	struct picture p = { 0 };
	int r;

	if (!hub->display.vram)
		return error_set(
			err, ENODEV, "There is no display adapter to get the picture from");
	r = picture_take(hub, &p, err);
	if (r == 0)
		r = picture_write(&p, path, format, err);
	free(p.pixels);
	return r;
}
