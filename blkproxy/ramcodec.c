/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ramcodec.h. RFC 1951 for the deflated blocks. */
#include "ramcodec.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atomic.h"

#define THREADS_MAX 8
#define LEVEL	    1
#define ITEM_PAGES  1024u /* of RAM that one thread encodes at a time */
#define ITEM_AHEAD  64u	  /* items encoded and not yet put */

/* ---- index ---- */

void ram_index_free(struct ram_index *ix)
{
	free(ix->v);
	*ix = (struct ram_index){ 0 };
}

static int index_add(struct ram_index *ix, const struct ram_block *b)
{
	if (ix->n == ix->cap) {
		size_t cap = ix->cap ? ix->cap * 2 : 64;
		struct ram_block *v = realloc(ix->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		ix->v = v;
		ix->cap = cap;
	}
	ix->v[ix->n++] = *b;
	ix->data_len += b->stored_len;
	return 0;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned b = 0; b < 4; b++)
		p[b] = (uint8_t)(v >> 8 * b);
}

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void ram_index_encode(const struct ram_index *ix, uint8_t *buf)
{
	for (size_t i = 0; i < ix->n; i++, buf += RAM_BLOCK_ENTRY_LEN) {
		put32(buf, ix->v[i].page);
		put32(buf + 4, ix->v[i].npages);
		put32(buf + 8, ix->v[i].stored_len);
		put32(buf + 12, ix->v[i].crc);
	}
}

int ram_index_decode(struct ram_index *ix, const uint8_t *buf, size_t len, uint32_t npages,
	uint64_t data_len, struct error *err)
{
	uint64_t end = 0;

	*ix = (struct ram_index){ 0 };
	if (len % RAM_BLOCK_ENTRY_LEN)
		return error_set(err, EINVAL,
			"RAM: an index of %zu bytes: expected %u for each block", len,
			RAM_BLOCK_ENTRY_LEN);
	for (const uint8_t *p = buf; p < buf + len; p += RAM_BLOCK_ENTRY_LEN) {
		struct ram_block b = { get32(p), get32(p + 4), get32(p + 8), get32(p + 12) };

		if (b.page < end || !b.npages || b.npages > RAM_BLOCK_PAGES || b.page >= npages ||
			b.npages > npages - b.page || !b.stored_len ||
			b.stored_len > b.npages * RAM_PAGE_LEN) {
			ram_index_free(ix);
			return error_set(err, EINVAL,
				"RAM: a block of %u pages from %u on in %u bytes: expected 1 to %u "
				"pages, in order, below page %u",
				b.npages, b.page, b.stored_len, RAM_BLOCK_PAGES, npages);
		}
		end = (uint64_t)b.page + b.npages;
		if (index_add(ix, &b) < 0) {
			ram_index_free(ix);
			return error_set(err, ENOMEM, "no memory for the index of RAM");
		}
	}
	if (ix->data_len != data_len) {
		uint64_t sum = ix->data_len;

		ram_index_free(ix);
		return error_set(err, EINVAL, "RAM: blocks of %llu bytes: there are %llu",
			(unsigned long long)sum, (unsigned long long)data_len);
	}
	return 0;
}

/* ---- threads ---- */

struct ram_codec {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	pthread_t thread[THREADS_MAX];
	struct worker {
		struct ram_codec *codec;
		struct libdeflate_compressor *deflater;
		struct libdeflate_decompressor *inflater;
	} worker[THREADS_MAX];
	unsigned n_threads;
	bool quit;
	/* The job: item(w, i) for i below n_items, each once, in order of starting. */
	void (*item)(struct worker *w, unsigned i);
	unsigned n_items, next_item, n_running;
	unsigned limit; /* items from here on may not begin yet */
	/* its subject */
	const uint8_t *ram;
	uint8_t *ram_out;
	uint32_t npages;
	int fd;
	struct encoded {
		bool ready;
		uint8_t *buf;
		size_t len, cap;
		struct ram_index index;
		int failed;
	} * out;
	const struct ram_index *index;
	const uint8_t *data;
	const uint64_t *offset; /* of each item's first block in data */
	size_t blocks_per_item;
	_Atomic uint32_t bad; /* 1 + number of a block that is bad */
};

static void *thread_main(void *opaque)
{
	struct worker *w = opaque;
	struct ram_codec *c = w->codec;

	pthread_mutex_lock(&c->lock);
	while (!c->quit) {
		unsigned i = c->next_item;

		if (i >= c->n_items || i >= c->limit) {
			pthread_cond_wait(&c->work, &c->lock);
			continue;
		}
		c->next_item++;
		c->n_running++;
		pthread_mutex_unlock(&c->lock);
		c->item(w, i);
		pthread_mutex_lock(&c->lock);
		c->n_running--;
		if (c->out)
			c->out[i].ready = true;
		pthread_cond_broadcast(&c->done);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void job_begin(
	struct ram_codec *c, void (*item)(struct worker *, unsigned), unsigned n, unsigned limit)
{
	pthread_mutex_lock(&c->lock);
	c->item = item;
	c->n_items = n;
	c->next_item = 0;
	c->limit = limit;
	pthread_cond_broadcast(&c->work);
	pthread_mutex_unlock(&c->lock);
}

static void job_end(struct ram_codec *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->n_running || c->next_item < c->n_items)
		pthread_cond_wait(&c->done, &c->lock);
	c->n_items = c->next_item = 0;
	pthread_mutex_unlock(&c->lock);
}

struct ram_codec *ram_codec_new(unsigned threads)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct ram_codec *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	if (!threads)
		threads = cpus > THREADS_MAX ? THREADS_MAX : cpus < 1 ? 1 : (unsigned)cpus;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	pthread_cond_init(&c->done, NULL);
	for (unsigned i = 0; i < threads && i < THREADS_MAX; i++) {
		struct worker *w = &c->worker[i];

		w->codec = c;
		w->deflater = libdeflate_alloc_compressor(LEVEL);
		w->inflater = libdeflate_alloc_decompressor();
		if (!w->deflater || !w->inflater ||
			pthread_create(&c->thread[i], NULL, thread_main, w) != 0)
			break;
		c->n_threads++;
	}
	if (c->n_threads)
		return c;
	ram_codec_free(c);
	return NULL;
}

void ram_codec_free(struct ram_codec *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->quit = true;
	pthread_cond_broadcast(&c->work);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->n_threads; i++)
		pthread_join(c->thread[i], NULL);
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		if (c->worker[i].deflater)
			libdeflate_free_compressor(c->worker[i].deflater);
		if (c->worker[i].inflater)
			libdeflate_free_decompressor(c->worker[i].inflater);
	}
	free(c);
}

/* ---- encoding ---- */

static bool page_is_zero(const uint8_t *p)
{
	const uint64_t *q = (const uint64_t *)p;
	uint64_t or = 0;

	for (unsigned i = 0; i < RAM_PAGE_LEN / 8; i += 64) {
		for (unsigned k = 0; k < 64; k++)
			or |= q[i + k];
		if (or)
			return false;
	}
	return true;
}

static int encode_block(struct worker *w, struct encoded *e, uint32_t page, uint32_t npages)
{
	size_t raw_len = (size_t)npages * RAM_PAGE_LEN;
	const uint8_t *raw = w->codec->ram + (size_t)page * RAM_PAGE_LEN;
	struct ram_block b = { page, npages, (uint32_t)raw_len, 0 };
	size_t n;

	if (e->cap - e->len < raw_len) {
		size_t cap = e->cap * 2 > e->len + raw_len ? e->cap * 2 : e->len + raw_len;
		uint8_t *p = realloc(e->buf, cap);

		if (!p)
			return -ENOMEM;
		e->buf = p;
		e->cap = cap;
	}
	n = libdeflate_deflate_compress(
		w->deflater, raw, raw_len, e->buf + e->len, raw_len - raw_len / 16);
	if (n)
		b.stored_len = (uint32_t)n;
	else
		memcpy(e->buf + e->len, raw, raw_len);
	b.crc = libdeflate_crc32(0, e->buf + e->len, b.stored_len);
	e->len += b.stored_len;
	return index_add(&e->index, &b);
}

/* Pages [page, end) that have been allocated in the file. */
static void encode_range(struct worker *w, struct encoded *e, uint32_t page, uint32_t end)
{
	const uint8_t *ram = w->codec->ram;

	while (page < end && !e->failed) {
		uint32_t first = page;

		while (page < end && page - first < RAM_BLOCK_PAGES &&
			!page_is_zero(ram + (size_t)page * RAM_PAGE_LEN))
			page++;
		if (page > first)
			e->failed = encode_block(w, e, first, page - first);
		else
			page++;
	}
}

static void encode_item(struct worker *w, unsigned i)
{
	const struct ram_codec *c = w->codec;
	struct encoded *e = &c->out[i];
	uint32_t page = i * ITEM_PAGES, end = page + ITEM_PAGES;

	if (end > c->npages)
		end = c->npages;
	while (page < end && !e->failed) {
		off_t data = (off_t)page * RAM_PAGE_LEN, hole = (off_t)end * RAM_PAGE_LEN;

		if (c->fd >= 0) {
			data = lseek(c->fd, data, SEEK_DATA);
			if (data < 0 && errno == ENXIO)
				return;
			if (data >= hole)
				return;
			if (data < 0)
				data = (off_t)page * RAM_PAGE_LEN;
			else
				hole = lseek(c->fd, data, SEEK_HOLE);
			if (hole < 0 || hole > (off_t)end * RAM_PAGE_LEN)
				hole = (off_t)end * RAM_PAGE_LEN;
		}
		page = (uint32_t)((hole + RAM_PAGE_LEN - 1) / RAM_PAGE_LEN);
		encode_range(w, e, (uint32_t)(data / RAM_PAGE_LEN), page);
	}
}

/* Waits for item i and hands it on. */
static int encoded_put(struct ram_codec *c, unsigned i,
	int (*put)(void *opaque, const uint8_t *data, size_t len), void *opaque,
	struct ram_index *ret)
{
	struct encoded *e = &c->out[i];
	int r;

	pthread_mutex_lock(&c->lock);
	while (!e->ready)
		pthread_cond_wait(&c->done, &c->lock);
	c->limit = i + 1 + ITEM_AHEAD;
	pthread_cond_broadcast(&c->work);
	pthread_mutex_unlock(&c->lock);
	r = e->failed;
	for (size_t k = 0; k < e->index.n && r == 0; k++)
		r = index_add(ret, &e->index.v[k]);
	if (r == 0 && e->len)
		r = put(opaque, e->buf, e->len);
	free(e->buf);
	e->buf = NULL;
	return r;
}

int ram_encode(struct ram_codec *c, const uint8_t *ram, uint32_t npages, int fd,
	int (*put)(void *opaque, const uint8_t *data, size_t len), void *opaque,
	struct ram_index *ret, struct error *err)
{
	unsigned n = (npages + ITEM_PAGES - 1) / ITEM_PAGES;
	int r = 0;

	*ret = (struct ram_index){ 0 };
	c->out = calloc(n + 1, sizeof(*c->out));
	if (!c->out)
		return error_set(err, ENOMEM, "no memory to store RAM");
	c->ram = ram;
	c->npages = npages;
	c->fd = fd;
	job_begin(c, encode_item, n, ITEM_AHEAD);
	for (unsigned i = 0; i < n; i++) {
		int e = encoded_put(c, i, put, opaque, ret);

		if (r == 0 && e < 0)
			r = e;
	}
	job_end(c);
	for (unsigned i = 0; i < n; i++) {
		free(c->out[i].buf);
		ram_index_free(&c->out[i].index);
	}
	free(c->out);
	c->out = NULL;
	if (r == -ENOMEM)
		error_set(err, ENOMEM, "no memory to store RAM");
	if (r < 0)
		ram_index_free(ret);
	return r;
}

/* ---- decoding ---- */

/* Calls item for all blocks, a few at a time. */
static int blocks_each(struct ram_codec *c, const struct ram_index *ix, const uint8_t *data,
	void (*item)(struct worker *w, unsigned i), struct error *err)
{
	size_t per = 16, n = (ix->n + per - 1) / per;
	uint64_t *offset = calloc(n + 1, sizeof(*offset)), at = 0;

	if (!offset)
		return error_set(err, ENOMEM, "no memory to restore RAM");
	for (size_t i = 0; i < ix->n; i++) {
		if (i % per == 0)
			offset[i / per] = at;
		at += ix->v[i].stored_len;
	}
	c->index = ix;
	c->data = data;
	c->offset = offset;
	c->blocks_per_item = per;
	atomic_set(&c->bad, 0);
	job_begin(c, item, (unsigned)n, (unsigned)n);
	job_end(c);
	free(offset);
	return 0;
}

static void verify_item(struct worker *w, unsigned i)
{
	struct ram_codec *c = w->codec;
	const uint8_t *p = c->data + c->offset[i];
	size_t k = i * c->blocks_per_item;

	for (size_t end = k + c->blocks_per_item; k < end && k < c->index->n; k++) {
		const struct ram_block *b = &c->index->v[k];

		if (libdeflate_crc32(0, p, b->stored_len) != b->crc)
			c->bad = (uint32_t)k + 1;
		p += b->stored_len;
	}
}

int ram_verify(
	struct ram_codec *c, const struct ram_index *ix, const uint8_t *data, struct error *err)
{
	int r = blocks_each(c, ix, data, verify_item, err);

	if (r == 0 && c->bad)
		return error_set(err, EINVAL, "RAM: the CRC of the block of page %u is wrong",
			ix->v[c->bad - 1].page);
	return r;
}

static void decode_item(struct worker *w, unsigned i)
{
	struct ram_codec *c = w->codec;
	const uint8_t *p = c->data + c->offset[i];
	size_t k = i * c->blocks_per_item;

	for (size_t end = k + c->blocks_per_item; k < end && k < c->index->n; k++) {
		const struct ram_block *b = &c->index->v[k];
		uint8_t *to = c->ram_out + (size_t)b->page * RAM_PAGE_LEN;
		size_t len = (size_t)b->npages * RAM_PAGE_LEN;

		if (b->stored_len == len)
			memcpy(to, p, len);
		else if (libdeflate_deflate_decompress(
				 w->inflater, p, b->stored_len, to, len, NULL) != 0)
			c->bad = (uint32_t)k + 1;
		p += b->stored_len;
	}
}

/* Pages [page, end) become zero. */
static void clear(uint8_t *ram, uint32_t page, uint32_t end, int fd)
{
	off_t at = (off_t)page * RAM_PAGE_LEN;
	size_t len = (size_t)(end - page) * RAM_PAGE_LEN;

	if (page >= end)
		return;
	if (fd < 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)len) < 0)
		memset(ram + at, 0, len);
}

int ram_decode(struct ram_codec *c, const struct ram_index *ix, const uint8_t *data, uint8_t *ram,
	uint32_t npages, int fd, struct error *err)
{
	uint32_t page = 0;
	int r;

	for (size_t i = 0; i < ix->n; i++) {
		clear(ram, page, ix->v[i].page, fd);
		page = ix->v[i].page + ix->v[i].npages;
	}
	clear(ram, page, npages, fd);
	c->ram_out = ram;
	r = blocks_each(c, ix, data, decode_item, err);
	if (r == 0 && c->bad)
		return error_set(err, EINVAL, "RAM: the block of page %u does not inflate",
			ix->v[c->bad - 1].page);
	return r;
}
