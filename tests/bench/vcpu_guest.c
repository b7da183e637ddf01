/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What vcpu_mips runs: a freestanding 32-bit program of the kinds of work that general benchmarks
 * mix: linked lists, a small matrix product, a state machine over text, CRC, a hash table with
 * calls through pointers. It never returns.
 */
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

struct node {
	struct node *next;
	int key;
};

#define N_NODES 256
#define DIM	16

static struct node nodes[N_NODES];
static int mat_a[DIM * DIM], mat_b[DIM * DIM], mat_c[DIM * DIM];
static u8 text[512];
static u32 table[1024];
volatile u32 result;

static u32 next_random(u32 *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 8;
}

static struct node *list_merge(struct node *a, struct node *b)
{
	struct node head, *tail = &head;

	while (a && b) {
		struct node **least = a->key <= b->key ? &a : &b;

		tail->next = *least;
		tail = *least;
		*least = (*least)->next;
	}
	tail->next = a ? a : b;
	return head.next;
}

static struct node *list_sort(struct node *l, int n)
{
	struct node *second = l;
	struct node *last;

	if (n < 2) {
		l->next = 0;
		return l;
	}
	for (int i = 0; i < n / 2 - 1; i++)
		second = second->next;
	last = second;
	second = second->next;
	last->next = 0;
	return list_merge(list_sort(l, n / 2), list_sort(second, n - n / 2));
}

static u32 work_list(u32 *seed)
{
	u32 sum = 0, at = 0;
	struct node *l;

	for (int i = 0; i < N_NODES; i++) {
		nodes[i].key = (int)(next_random(seed) & 0xffff);
		nodes[i].next = i + 1 < N_NODES ? &nodes[i + 1] : 0;
	}
	for (l = list_sort(nodes, N_NODES); l; l = l->next)
		sum += (u32)l->key * ++at;
	return sum;
}

static u32 work_matrix(u32 *seed)
{
	u32 sum = 0;

	for (int i = 0; i < DIM * DIM; i++) {
		mat_a[i] = (int)(next_random(seed) & 0xff);
		mat_b[i] = (int)(next_random(seed) & 0xff);
	}
	for (int i = 0; i < DIM; i++) {
		for (int j = 0; j < DIM; j++) {
			int s = 0;

			for (int k = 0; k < DIM; k++)
				s += mat_a[i * DIM + k] * mat_b[k * DIM + j];
			mat_c[i * DIM + j] = s;
			sum ^= (u32)s;
		}
	}
	return sum;
}

enum state { START, INT, FLOAT, EXP, BAD };

static enum state step(enum state s, u8 c)
{
	switch (s) {
	case START: return c >= '0' && c <= '9' ? INT : c == '.' ? FLOAT : BAD;
	case INT: return c >= '0' && c <= '9' ? INT : c == '.' ? FLOAT : c == 'e' ? EXP : BAD;
	case FLOAT: return c >= '0' && c <= '9' ? FLOAT : c == 'e' ? EXP : BAD;
	case EXP: return c >= '0' && c <= '9' ? EXP : BAD;
	default: return c == ',' ? START : BAD;
	}
}

static u32 work_states(u32 *seed)
{
	static const u8 alphabet[] = "0123456789.e,,";
	u32 count[5] = { 0 };
	enum state s = START;

	for (u32 i = 0; i < sizeof(text); i++)
		text[i] = alphabet[next_random(seed) % 14];
	for (u32 i = 0; i < sizeof(text); i++) {
		s = step(s, text[i]);
		count[s]++;
	}
	return count[0] ^ count[1] << 8 ^ count[2] << 16 ^ count[3] << 20 ^ count[4] << 4;
}

static u16 crc16(const u8 *p, u32 n)
{
	u16 crc = 0xffff;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
	}
	return crc;
}

static u32 mix_add(u32 a, u32 b)
{
	return a + b;
}
static u32 mix_xor(u32 a, u32 b)
{
	return a ^ (b << 3 | b >> 29);
}
static u32 mix_mul(u32 a, u32 b)
{
	return a * 31 + b;
}

static u32 work_hash(u32 *seed)
{
	static u32 (*const mix[4])(u32, u32) = { mix_add, mix_xor, mix_mul, mix_xor };
	u32 h = 0;

	for (int i = 0; i < 1000; i++) {
		u32 k = next_random(seed);

		h = mix[k & 3](h, k);
		table[h & 1023] += k % 1000;
	}
	return h;
}

void __attribute__((section(".start"))) _start(void)
{
	u32 seed = 1;

	for (;;) {
		result += work_list(&seed);
		result += work_matrix(&seed);
		result += work_states(&seed);
		result += crc16(text, sizeof(text));
		result += work_hash(&seed);
	}
}
