/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer work of fixed size, as small embedded programs have it: linked lists, small matrices, a
 * state machine over text, and a CRC that binds all results together. Runs in the guest (i686) and
 * on the host (x86-64); both print the same line.
 *
 *   coremix ROUNDS [list|matrix|state|crc]      default: all four
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_LEN 120
#define DIM	 24
#define TEXT_LEN 2048

static uint32_t seed = 0x2545f491;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* ---- CRC-16/CCITT, a bit at a time ---- */

static uint16_t crc_byte(uint16_t crc, uint8_t byte)
{
	for (int i = 0; i < 8; i++) {
		unsigned int bit = (crc >> 15) ^ (byte >> 7 & 1);

		crc = (uint16_t)(crc << 1);
		if (bit)
			crc ^= 0x1021;
		byte = (uint8_t)(byte << 1);
	}
	return crc;
}

static uint16_t crc_word(uint16_t crc, uint32_t word)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		crc = crc_byte(crc, (uint8_t)(word >> shift));
	return crc;
}

/* ---- lists: find, reverse, merge sort by two keys ---- */

struct node {
	struct node *next;
	int16_t key;
	int16_t order;
};

static struct node nodes[LIST_LEN];

static struct node *list_build(void)
{
	for (int i = 0; i < LIST_LEN; i++) {
		nodes[i].key = (int16_t)next_random();
		nodes[i].order = (int16_t)i;
		nodes[i].next = i + 1 < LIST_LEN ? &nodes[i + 1] : NULL;
	}
	return nodes;
}

static struct node *list_reverse(struct node *head)
{
	struct node *done = NULL;

	while (head) {
		struct node *next = head->next;

		head->next = done;
		done = head;
		head = next;
	}
	return done;
}

static const struct node *list_find(const struct node *head, int16_t order)
{
	while (head && head->order != order)
		head = head->next;
	return head;
}

static int by_key(const struct node *a, const struct node *b)
{
	return (a->key & 0x7ff) - (b->key & 0x7ff);
}

static int by_order(const struct node *a, const struct node *b)
{
	return a->order - b->order;
}

static struct node *list_merge(
	struct node *a, struct node *b, int (*compare)(const struct node *, const struct node *))
{
	struct node *head = NULL, **tail = &head;

	while (a && b) {
		struct node **least = compare(a, b) <= 0 ? &a : &b;

		*tail = *least;
		tail = &(*least)->next;
		*least = *tail;
	}
	*tail = a ? a : b;
	return head;
}

static struct node *list_sort(
	struct node *head, int (*compare)(const struct node *, const struct node *))
{
	struct node *slow = head, *fast, *half;

	if (!head || !head->next)
		return head;
	for (fast = head->next; fast && fast->next; fast = fast->next->next)
		slow = slow->next;
	half = slow->next;
	slow->next = NULL;
	return list_merge(list_sort(head, compare), list_sort(half, compare), compare);
}

static uint16_t run_list(uint16_t crc)
{
	struct node *head = list_build();
	uint32_t found = 0;

	for (int i = 0; i < 40; i++) {
		const struct node *n = list_find(head, (int16_t)(next_random() % (LIST_LEN + 20)));

		found = found * 3 + (n ? (uint32_t)n->key : 7);
		head = list_reverse(head);
	}
	head = list_sort(head, by_key);
	for (const struct node *n = head; n; n = n->next)
		crc = crc_word(crc, (uint32_t)n->order);
	head = list_sort(head, by_order);
	for (int i = 0; head; i++, head = head->next)
		if (head->order != i)
			exit(3);
	return crc_word(crc, found);
}

/* ---- matrices of 16-bit numbers, products of 32 ---- */

static int16_t left[DIM][DIM], right[DIM][DIM];
static int32_t product[DIM][DIM];

static void matrix_fill(int16_t m[DIM][DIM], int16_t low_bits)
{
	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++)
			m[i][j] = (int16_t)((int16_t)next_random() & low_bits);
}

static void matrix_multiply(void)
{
	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++) {
			int32_t sum = 0;

			for (int k = 0; k < DIM; k++)
				sum += left[i][k] * right[k][j];
			product[i][j] = sum;
		}
}

/* Sum of bit fields of the products, as fixed-point code takes them out. */
static int32_t matrix_fields(void)
{
	int32_t sum = 0;

	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++) {
			int32_t p = product[i][j];

			sum += ((p >> 2) & 0x0f) * ((p >> 5) & 0x7f);
			sum ^= p > 1000 ? i : j;
		}
	return sum;
}

static uint16_t run_matrix(uint16_t crc)
{
	matrix_fill(left, 0x0fff);
	matrix_fill(right, 0x07ff);
	for (int i = 0; i < 4; i++) {
		matrix_multiply();
		crc = crc_word(crc, (uint32_t)matrix_fields());
		for (int j = 0; j < DIM; j++)
			for (int k = 0; k < DIM; k++)
				left[j][k] = (int16_t)(left[j][k] + product[k][j] % 17);
	}
	return crc;
}

/* ---- a state machine that sorts words of a text into kinds ---- */

#define STATES(X) \
	X(START) X(NAME) X(INT) X(HEX) X(FRACTION) X(EXPONENT) X(SIGN) X(STRING) X(ESCAPE) X(BAD)

enum state {
#define X(name) S_##name,
	STATES(X)
#undef X
		N_STATES
};

static char text[TEXT_LEN + 1];

static const char *const words[] = { "alpha", "x86", "42", "-17", "0x1fa3", "3.1415", "-2.5e8",
	"1e-9", "\"a \\\"word\\\"\"", "_tmp9", "0xzz", "12ab", "+", "7.", "\"open" };

static void text_build(void)
{
	size_t len = 0;

	for (;;) {
		const char *w = words[next_random() % (sizeof(words) / sizeof(words[0]))];
		size_t n = strlen(w);

		if (len + n + 1 > TEXT_LEN)
			break;
		memcpy(text + len, w, n);
		len += n;
		text[len++] = next_random() & 8 ? ' ' : ',';
	}
	text[len] = '\0';
}

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static enum state state_first(char c)
{
	if (is_digit(c))
		return S_INT;
	if (is_letter(c))
		return S_NAME;
	if (c == '+' || c == '-')
		return S_SIGN;
	return c == '"' ? S_STRING : S_BAD;
}

static enum state state_next(enum state s, char c, char before)
{
	switch (s) {
	case S_START: return state_first(c);
	case S_SIGN: return is_digit(c) ? S_INT : S_BAD;
	case S_NAME: return is_letter(c) || is_digit(c) ? S_NAME : S_BAD;
	case S_INT:
		if (is_digit(c))
			return S_INT;
		if (c == '.')
			return S_FRACTION;
		if (c == 'e')
			return S_EXPONENT;
		return c == 'x' && before == '0' ? S_HEX : S_BAD;
	case S_HEX: return is_digit(c) || (c >= 'a' && c <= 'f') ? S_HEX : S_BAD;
	case S_FRACTION: return is_digit(c) ? S_FRACTION : c == 'e' ? S_EXPONENT : S_BAD;
	case S_EXPONENT: return is_digit(c) || (c == '-' && before == 'e') ? S_EXPONENT : S_BAD;
	case S_STRING: return c == '\\' ? S_ESCAPE : S_STRING;
	case S_ESCAPE: return S_STRING;
	default: return S_BAD;
	}
}

static uint16_t run_state(uint16_t crc)
{
	uint32_t ends[N_STATES] = { 0 }, steps[N_STATES] = { 0 };
	enum state s = S_START;
	char before = 0;

	text_build();
	for (const char *p = text; *p; p++) {
		if (*p == ',' || (*p == ' ' && s != S_STRING)) {
			ends[s]++;
			s = S_START;
		} else {
			s = state_next(s, *p, before);
			steps[s]++;
		}
		before = *p;
	}
	for (int i = 0; i < N_STATES; i++)
		crc = crc_word(crc, ends[i] << 16 ^ steps[i]);
	return crc;
}

static uint16_t run_crc(uint16_t crc)
{
	for (int i = 0; i < TEXT_LEN; i++)
		crc = crc_byte(crc, (uint8_t)(next_random() >> 9));
	return crc;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint16_t (*run)(uint16_t crc);
	} parts[] = { { "list", run_list }, { "matrix", run_matrix }, { "state", run_state },
		{ "crc", run_crc } };
	long rounds = argc > 1 ? atol(argv[1]) : 1;
	const char *only = argc > 2 ? argv[2] : NULL;
	uint16_t crc = 0xffff;

	for (long i = 0; i < rounds; i++)
		for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++)
			if (!only || !strcmp(only, parts[p].name))
				crc = parts[p].run(crc);
	printf("coremix %ld %s %04x %08x\n", rounds, only ? only : "all", crc, (unsigned int)seed);
	return 0;
}
