/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying and filling of fixed size.
 *
 *   mem rep ROUNDS      rep movs and rep stos, of doublewords and bytes, aligned and not
 *   mem libc ROUNDS     memcpy, memset, memcmp and strlen of libc, in small, middle and large
 * pieces
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MB (1u << 20)

static uint8_t from[MB + 64], to[MB + 64];
static uint32_t seed = 99;

static uint32_t next_random(void)
{
	seed = seed * 1103515245u + 12345;
	return seed >> 8;
}

static void rep_movsd(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

static void rep_movsb(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

static void rep_stosd(void *dst, uint32_t value, size_t n)
{
	__asm__ volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(value) : "memory");
}

static void rep_stosb(void *dst, uint32_t value, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(value) : "memory");
}

static uint32_t sample(void)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < MB; i += 4099)
		sum = sum * 31 + to[i];
	return sum;
}

static uint32_t rep_round(uint32_t r)
{
	rep_movsd(to, from, MB / 4);
	rep_stosd(to + MB / 2, r * 0x01010101u, MB / 16);
	for (unsigned int i = 0; i < 16; i++) {
		uint32_t at = next_random() % (MB - 8192);

		rep_movsb(to + at, from + at + 1, 4096 + i);
		rep_stosb(to + at, r + i, 256 + i);
		rep_movsd(to + at + 4, from, 8);
		rep_stosd(to + at + 64, i, 4);
	}
	return sample();
}

static uint32_t libc_round(uint32_t r)
{
	uint32_t sum = 0;

	memcpy(to, from, MB);
	memset(to + MB / 2, (int)r, MB / 4);
	for (unsigned int i = 0; i < 64; i++) {
		uint32_t at = next_random() % (MB - 8192);

		memcpy(to + at, from + at + (i & 15), 4096);
		sum += (uint32_t)(memcmp(to + at, from + at + (i & 15), 4096) != 0);
	}
	for (unsigned int i = 0; i < 4096; i++) {
		uint32_t at = next_random() % (MB - 64);
		size_t n = next_random() % 63 + 1;

		memcpy(to + at, from + (at ^ 1), n);
		memset(to + (at ^ 0x800) % MB, (int)i, n / 2);
		to[at + n] = 0;
		sum += (uint32_t)strlen((char *)to + at);
	}
	return sum * 31 + sample();
}

int main(int argc, char **argv)
{
	uint32_t (*round)(uint32_t) = NULL;
	long rounds = argc > 2 ? atol(argv[2]) : 1;
	uint32_t sum = 0;

	if (argc > 1 && !strcmp(argv[1], "rep"))
		round = rep_round;
	else if (argc > 1 && !strcmp(argv[1], "libc"))
		round = libc_round;
	else
		return 2;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(next_random() | 1);
	for (long r = 0; r < rounds; r++)
		sum = sum * 33 + round((uint32_t)r);
	printf("%s %ld %08x\n", argv[1], rounds, (unsigned int)sum);
	return 0;
}
