/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Would a return-address predictor pay? The code that the translator makes of a guest's recursive
 * fib(20), written down twice (returns_asm.S): with returns through the jump cache, as they are,
 * and with the host's CALL and RET around the guest's, where the host predicts the return and the
 * block behind the call compares the guest's return address.
 *
 * Prints nanoseconds a call for both.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define FIB_CALLS 21891 /* of fib(20) */
#define ROUNDS	  3000

struct jump_entry {
	uint64_t tag;
	const void *code;
};

/* At R14, as the translator's struct cpu. */
static struct {
	uint64_t gen;
	struct jump_entry *cache;
	uint64_t fl_desc;
} cpu;

void returns_by_cache(void *guest, void *state, long rounds);
void returns_by_host(void *guest, void *state, long rounds);
extern const char after_first[], after_second[], after_all[];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void cache_add(uint32_t eip, const void *code)
{
	cpu.cache[eip & 0xffff] = (struct jump_entry){ cpu.gen + eip, code };
}

static double measure(void (*fn)(void *guest, void *state, long rounds), void *guest)
{
	double best = 1e9;

	for (int i = 0; i < 5; i++) {
		double t = now();

		fn(guest, &cpu, ROUNDS);
		t = (now() - t) / ROUNDS / FIB_CALLS;
		best = t < best ? t : best;
	}
	return best * 1e9;
}

int main(void)
{
	void *guest =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double by_cache, by_host;

	cpu.gen = 0x12345600000000;
	cpu.cache = aligned_alloc(64, 65536 * sizeof(cpu.cache[0]));
	if (guest == MAP_FAILED || !cpu.cache) {
		fprintf(stderr, "returns: out of memory\n");
		return 1;
	}
	for (unsigned i = 0; i < 65536; i++)
		cpu.cache[i] = (struct jump_entry){ 0, NULL };
	cache_add(0x1010, after_first);
	cache_add(0x1020, after_second);
	cache_add(0x3000, after_all);
	by_cache = measure(returns_by_cache, guest);
	by_host = measure(returns_by_host, guest);
	printf("returns through the jump cache %.2f ns a call, by the host's RET %.2f ns: %.2f\n",
		by_cache, by_host, by_cache / by_host);
	return 0;
}
