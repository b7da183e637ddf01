/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware configuration device, as SeaBIOS and Linux know it (QEMU docs/specs/fw_cfg: "QEMU
 * Firmware Configuration Device").
 *
 * Ports: 510 selector (word, write), 511 data (byte), 514-51B DMA address (two big-endian dwords,
 * the second starts). Lines: none.
 *
 * Items are read-only, so that a DMA write answers with the error bit.
 */
#include "fw_cfg.h"
#include <string.h>
#include "bytes.h"
#include "log.h"

#define DMA_ERROR  0x01
#define DMA_READ   0x02
#define DMA_SKIP   0x04
#define DMA_SELECT 0x08
#define DMA_WRITE  0x10

#define ID_TRADITIONAL 0x1
#define ID_DMA	       0x2

#define KEY_ARCH_LOCAL 0x8000
#define KEY_WRITE_MASK 0x4000 /* "for writing", of old; no meaning now */
#define DIR_ENTRY_LEN  64

struct item {
	uint16_t key;
	uint32_t len;
	const uint8_t *data; /* NULL: in value */
	uint8_t value[8];
};

struct fw_cfg {
	struct device dev;
	struct item item[FW_CFG_ITEMS_MAX];
	unsigned n_items;
	uint8_t dir[4 + FW_CFG_FILES_MAX * DIR_ENTRY_LEN];
	uint32_t n_files;
	/* saved */
	uint16_t selector;
	uint32_t offset;
	uint32_t dma_high;
};

/* ---- set-up ---- */

static struct item *item_find(struct fw_cfg *s, uint16_t key)
{
	for (unsigned i = 0; i < s->n_items; i++)
		if (s->item[i].key == key)
			return &s->item[i];
	return NULL;
}

void fw_cfg_add(struct device *dev, uint16_t key, const void *data, uint32_t len)
{
	struct fw_cfg *s = (struct fw_cfg *)dev;

	must(s->n_items < FW_CFG_ITEMS_MAX && !item_find(s, key));
	s->item[s->n_items++] = (struct item){ .key = key, .len = len, .data = data };
}

void fw_cfg_add_int(struct device *dev, uint16_t key, uint64_t value, unsigned size)
{
	struct fw_cfg *s = (struct fw_cfg *)dev;

	must(size <= 8);
	fw_cfg_add(dev, key, NULL, size);
	put_le64(s->item[s->n_items - 1].value, value);
}

void fw_cfg_add_file(struct device *dev, const char *name, const void *data, uint32_t len)
{
	struct fw_cfg *s = (struct fw_cfg *)dev;
	uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + s->n_files);
	uint8_t *e = s->dir + 4 + s->n_files * DIR_ENTRY_LEN;
	struct item *dir = item_find(s, FW_CFG_FILE_DIR);

	must(s->n_files < FW_CFG_FILES_MAX && strlen(name) <= FW_CFG_NAME_MAX && dir);
	fw_cfg_add(dev, key, data, len);
	put_be32(e, len);
	put_be16(e + 4, key);
	strcpy((char *)e + 8, name);
	s->n_files++;
	put_be32(s->dir, s->n_files);
	dir->len = 4 + s->n_files * DIR_ENTRY_LEN;
}

/* ---- the guest's side ---- */

static const uint8_t *item_bytes(const struct item *it)
{
	return it->data ? it->data : it->value;
}

static void select_item(struct fw_cfg *s, uint16_t key)
{
	s->selector = key & (uint16_t)~KEY_WRITE_MASK;
	s->offset = 0;
}

/* Bytes of the selected item from the present offset, at most len; beyond its end there are zeroes.
 */
static uint32_t item_take(struct fw_cfg *s, const uint8_t **ret, uint32_t len)
{
	struct item *it = item_find(s, s->selector);
	uint32_t left = it && s->offset < it->len ? it->len - s->offset : 0;

	*ret = left ? item_bytes(it) + s->offset : NULL;
	return len < left ? len : left;
}

static void offset_advance(struct fw_cfg *s, uint32_t len)
{
	s->offset = len > UINT32_MAX - s->offset ? UINT32_MAX : s->offset + len;
}

static uint64_t data_read(struct device *dev, uint64_t addr, unsigned size)
{
	struct fw_cfg *s = (struct fw_cfg *)dev;
	const uint8_t *p;
	uint8_t v = 0;

	if (addr != 1)
		return 0;
	if (item_take(s, &p, 1)) {
		v = *p;
		offset_advance(s, 1);
	}
	return v;
}

static void selector_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	if (addr == 0 && size == 2)
		select_item((struct fw_cfg *)dev, (uint16_t)val);
}

/* Copies len bytes of the item to the guest; what lies beyond the item is zero. */
static int dma_copy_out(struct fw_cfg *s, uint64_t gpa, uint32_t len)
{
	static const uint8_t zeroes[4096];

	while (len > 0) {
		const uint8_t *p;
		uint32_t n = item_take(s, &p, len);

		if (n == 0) {
			p = zeroes;
			n = len < sizeof(zeroes) ? len : (uint32_t)sizeof(zeroes);
		}
		if (dma_write(&s->dev, gpa, p, n) < 0)
			return -1;
		offset_advance(s, n);
		gpa += n;
		len -= n;
	}
	return 0;
}

/* The descriptor, big-endian: u32 control, u32 length, u64 address. Its control word becomes the
 * result. */
static void dma_run(struct fw_cfg *s, uint64_t gpa)
{
	uint8_t desc[16], result[4];
	uint32_t control, len, out = 0;
	uint64_t address;

	if (dma_read(&s->dev, gpa, desc, sizeof(desc)) < 0)
		return;
	control = get_be32(desc);
	len = get_be32(desc + 4);
	address = (uint64_t)get_be32(desc + 8) << 32 | get_be32(desc + 12);
	if (control & DMA_SELECT)
		select_item(s, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		if (dma_copy_out(s, address, len) < 0)
			out = DMA_ERROR;
	} else if (control & DMA_WRITE) {
		out = DMA_ERROR;
	} else if (control & DMA_SKIP) {
		offset_advance(s, len);
	}
	put_be32(result, out);
	dma_write(&s->dev, gpa, result, sizeof(result));
}

static uint64_t dma_reg_read(struct device *dev, uint64_t addr, unsigned size)
{
	static const char signature[] = "QEMU CFG"; /* the protocol's */
	uint64_t v = 0;

	for (unsigned b = 0; b < size && addr + b < 8; b++)
		v |= (uint64_t)(uint8_t)signature[addr + b] << 8 * b;
	return v;
}

static void dma_reg_write(struct device *dev, uint64_t addr, unsigned size, uint64_t val)
{
	struct fw_cfg *s = (struct fw_cfg *)dev;
	uint32_t v = __builtin_bswap32((uint32_t)val);

	if (size != 4)
		return;
	if (addr == 0) {
		s->dma_high = v;
	} else if (addr == 4) {
		uint64_t gpa = (uint64_t)s->dma_high << 32 | v;

		s->dma_high = 0;
		dma_run(s, gpa);
	}
}

static const struct io_ops data_ops = { data_read, selector_write, .max_size = 2 };
static const struct io_ops dma_ops = { dma_reg_read, dma_reg_write, .max_size = 4 };

static void fw_cfg_reset(struct device *dev)
{
	struct fw_cfg *s = (struct fw_cfg *)dev;

	s->selector = 0;
	s->offset = 0;
	s->dma_high = 0;
}

static int fw_cfg_realize(struct device *dev, struct error *err)
{
	struct fw_cfg *s = (struct fw_cfg *)dev;
	int r;

	fw_cfg_add(dev, FW_CFG_SIGNATURE, "QEMU", 4);
	fw_cfg_add_int(dev, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
	fw_cfg_add(dev, FW_CFG_FILE_DIR, s->dir, 4);
	r = io_map(dev, 0x510, 2, &data_ops, err);
	if (r < 0)
		return r;
	return io_map(dev, 0x514, 8, &dma_ops, err);
}

static const struct field fw_cfg_fields[] = {
	FIELD(struct fw_cfg, selector),
	FIELD(struct fw_cfg, offset),
	FIELD(struct fw_cfg, dma_high),
	FIELD_END,
};

const struct device_class fw_cfg_class = {
	.name = "fw_cfg",
	.desc = "firmware configuration device",
	.instance_size = sizeof(struct fw_cfg),
	.fields = fw_cfg_fields,
	.realize = fw_cfg_realize,
	.reset = fw_cfg_reset,
};
