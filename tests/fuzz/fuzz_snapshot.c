/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM state of a snapshot, as it is read from an image that may be anybody's: it is refused with
 * a sentence, or it is RAM of the right size and parts of which devices and vCPU's tables make what
 * they can. Nothing crashes, nothing is written outside of RAM, and the machine that comes out of a
 * state that devices took answers accesses.
 *
 * CRCs would keep nearly every input from getting far: the first byte says which of them are made
 * right before it is read. Inputs are without the gap between the table and the data.
 */
#include "fuzz.h"

#include <errno.h>
#include <libdeflate.h>
#include <string.h>

#include "machine_state.h"
#include "vmstate.h"

#define NPAGES	 9u
#define HEADER	 672u	    /* with the table */
#define DATA_OFF 65536u	    /* in the file */
#define RAM_LEN	 (1u << 20) /* of the machine: the least that there is */
#define FILE_MAX (256u * 1024)

#define SEED_LEN 20000u

static uint8_t seed[SEED_LEN];
const struct fuzz_seed fuzz_seeds[] = { { seed, SEED_LEN }, { NULL, 0 } };

static uint8_t file[FILE_MAX];
static size_t file_len;
static struct ram_codec *codec;
static uint8_t guard[RAM_PAGE_LEN], ram[(NPAGES + 2) * RAM_PAGE_LEN];

static int file_read(void *opaque, uint64_t off, void *buf, size_t len, struct error *err)
{
	(void)opaque;
	if (off > file_len || len > file_len - off)
		return error_set(err, EIO, "beyond the end");
	memcpy(buf, file + off, len);
	return 0;
}

static int file_write(void *opaque, uint64_t off, const void *buf, size_t len, struct error *err)
{
	(void)opaque;
	if (off > FILE_MAX || len > FILE_MAX - off)
		return error_set(err, ENOSPC, "no room");
	memcpy(file + off, buf, len);
	if (off + len > file_len)
		file_len = off + len;
	return 0;
}

static const struct vmstate_io io = { NULL, file_read, file_write };

/* ---- a machine for the devices' part ---- */

static struct machine *machine;
static uint8_t machine_ram[RAM_LEN + (2u << 20)], rom[256 * 1024], bios[256 * 1024];
static struct memmap_page map;

static void machine_make(void)
{
	static const struct prop_value vga[] = { { "vgamem_mb", "1" } };
	static const struct device_spec specs[] = { { .driver = "isa-serial", .stream = 0 },
		{ .driver = "VGA", .stream = -1, .props = vga, .n_props = 1 } };
	const struct machine_config cfg = { .ram = machine_ram,
		.ram_bytes = RAM_LEN,
		.vram_bytes = 2u << 20,
		.rom = rom,
		.rom_len = sizeof(rom),
		.memmap = &map,
		.shift = 3,
		.has_rtc_base = true,
		.bios = { bios, sizeof(bios), "bios" },
		.append = "",
		.n_streams = 1,
		.stream_name = { "serial0" } };
	const struct machine_host host = { 0 };
	struct error err = ERROR_INIT;

	machine = machine_new(&cfg, &host, &err);
	FUZZ_CHECK(machine && board_build(machine, specs, 2, &err) == 0);
	machine_reset(machine);
}

static void machine_use(const uint8_t *data, size_t len)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0x40, 0x43, 0x60, 0x64, 0x70, 0x71, 0x3f8,
		0x3fa, 0x3fd, 0x3c0, 0x3c4, 0x3c5, 0x3ce, 0x3d4, 0x3d5, 0x3c9, 0x1ce, 0x1d0, 0xcf8,
		0xcfc, 0x510, 0x511, 0x608 };
	struct bus_rep rep = { 0 };
	uint64_t icount = machine->icount;

	for (size_t i = 0; i + 1 < len && i < 200; i += 2) {
		uint16_t port = ports[data[i] % (sizeof(ports) / sizeof(ports[0]))];

		machine_begin(machine, icount += 100);
		if (data[i] & 0x80)
			machine_out(machine, port, 1, data[i + 1]);
		else
			machine_in(machine, port, 1);
		machine_mmio_write(machine, 0xa0000 + data[i + 1] * 16u, 1, data[i]);
		machine_intack(machine);
		machine_run_timers(machine);
		machine_end(machine, &rep);
	}
}

static void devices_take(const uint8_t *part, size_t len, const uint8_t *data, size_t size)
{
	Dejavm__DevicesState *s = dejavm__devices_state__unpack(NULL, len, part);
	struct error err = ERROR_INIT;

	if (!s)
		return;
	machine_free(machine);
	machine_make();
	if (machine_load(machine, s, &err) == 0)
		machine_use(data, size);
	else
		FUZZ_CHECK(*err.msg);
	dejavm__devices_state__free_unpacked(s, NULL);
}

/* ---- seeds ---- */

static int make_seed(void)
{
	Dejavm__DevicesState *m = malloc(sizeof(*m));
	struct vmstate_part parts[2] = { { "config", (const uint8_t *)"abc", 3 },
		{ "devices", NULL, 0 } };
	const struct vmstate_ram r = { ram + RAM_PAGE_LEN, NPAGES, -1 };
	uint64_t len;
	uint8_t *buf;

	codec = ram_codec_new(1);
	FUZZ_CHECK(codec && m);
	machine_make();
	dejavm__devices_state__init(m);
	FUZZ_CHECK(machine_save(machine, m) == 0);
	parts[1].len = dejavm__devices_state__get_packed_size(m);
	parts[1].data = buf = malloc(parts[1].len);
	dejavm__devices_state__pack(m, buf);
	for (unsigned i = 0; i < NPAGES * RAM_PAGE_LEN; i++)
		r.mem[i] = i / 9000 & 1 ? (uint8_t)(i >> 9) : 0;
	FUZZ_CHECK(vmstate_write(&io, codec, &r, parts, 2, &len, NULL) == 0);
	seed[0] = 0xff;
	FUZZ_CHECK(1 + HEADER + len - DATA_OFF <= SEED_LEN);
	memcpy(seed + 1, file, HEADER);
	memcpy(seed + 1 + HEADER, file + DATA_OFF, len - DATA_OFF);
	dejavm__devices_state__free_unpacked(m, NULL);
	free(buf);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make_seed();
	return 0;
}

/* ---- inputs ---- */

static uint64_t get(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned b = 0; b < n; b++)
		v |= (uint64_t)p[b] << 8 * b;
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (unsigned b = 0; b < 4; b++)
		p[b] = (uint8_t)(v >> 8 * b);
}

/* Sections' CRCs, blocks' CRCs, then the header's. */
static void make_right(unsigned which)
{
	uint8_t *ix = NULL;
	uint64_t data_off = 0, data_len = 0, ix_len = 0;

	for (unsigned i = 0; i < VMSTATE_SECTIONS_MAX; i++) {
		uint8_t *e = file + 32 + i * 40;
		uint64_t off = get(e + 16, 8), len = get(e + 24, 8);

		if (off > file_len || len > file_len - off)
			continue;
		if (!memcmp(e, "ram.data", 8))
			data_off = off, data_len = len;
		else if (!memcmp(e, "ram.index", 9))
			ix = file + off, ix_len = len;
	}
	for (uint64_t at = 0; (which & 4) && ix && ix_len >= 16; ix += 16, ix_len -= 16) {
		uint32_t n = (uint32_t)get(ix + 8, 4);

		if (n > data_len - at)
			break;
		put32(ix + 12, libdeflate_crc32(0, file + data_off + at, n));
		at += n;
	}
	for (unsigned i = 0; (which & 2) && i < VMSTATE_SECTIONS_MAX; i++) {
		uint8_t *e = file + 32 + i * 40;
		uint64_t off = get(e + 16, 8), len = get(e + 24, 8);

		if (off <= file_len && len <= file_len - off && off >= HEADER)
			put32(e + 32, libdeflate_crc32(0, file + off, len));
	}
	if (which & 1) {
		put32(file + 28, 0);
		put32(file + 28, libdeflate_crc32(0, file, HEADER));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct vmstate v = { 0 };
	const uint8_t *part;
	size_t len;
	int r;

	if (size < 1 + HEADER || size > FILE_MAX - DATA_OFF)
		return 0;
	memset(file, 0, DATA_OFF);
	file_len = DATA_OFF + size - 1 - HEADER;
	memcpy(file, data + 1, HEADER);
	memcpy(file + DATA_OFF, data + 1 + HEADER, size - 1 - HEADER);
	make_right(data[0]);
	memset(ram, 0xa5, sizeof(ram));
	memset(guard, 0xa5, sizeof(guard));
	r = vmstate_read(&v, &io, file_len, &err);
	part = r == 0 ? vmstate_part(&v, "devices", &len) : NULL;
	if (part)
		devices_take(part, len, data, size);
	if (r == 0)
		r = vmstate_read_ram(&v, &io, codec, NPAGES, &err);
	if (r == 0)
		r = ram_decode(codec, &v.blocks, v.ram_data, ram + RAM_PAGE_LEN, NPAGES, -1, &err);
	FUZZ_CHECK(r == 0 || *err.msg);
	vmstate_done(&v);
	FUZZ_CHECK(!memcmp(ram, guard, RAM_PAGE_LEN));
	FUZZ_CHECK(!memcmp(ram + (NPAGES + 1) * RAM_PAGE_LEN, guard, RAM_PAGE_LEN));
	return 0;
}
