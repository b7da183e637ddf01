/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of the ring's publish/sleep protocol (common/ring.c), for spin(1); run-spin.sh runs it.
 *
 * The machine is TSO (x86): each process has a store buffer, first in, first out, which drains to memory at any time; its loads look into its
 * own buffer first; a full fence waits until it is empty. Releases and acquires cost nothing there. With -DPSO stores
 * to different words may also drain out of order, except that a release waits for all that were buffered before it: that is weaker
 * than any machine on which release is a release.
 *
 * What is modelled: a producer that pushes MSGS messages and calls chan_notify() after each; a consumer that drains the ring, and sleeps on its bell by
 * chan_prepare_sleep(), poll and chan_awake(). The bell is an eventfd: write and read are system calls, atomic and ordered.
 *
 * Checked: the slot that the consumer reads is the one that was published (assert); the ring never overflows (assert); the consumer gets
 * all (no invalid end state: a lost wake-up leaves it asleep for ever).
 *
 *	-DNO_FENCE_PRODUCER	leaves out the fence in chan_notify()
 *	-DNO_FENCE_CONSUMER	leaves out the fence in chan_prepare_sleep()
 *	-DNO_RECHECK		sleeps without the second look at head
 *	-DNO_RELEASE		publishes head with a plain store (only matters with -DPSO)
 *
 * Each of them must make the check fail.
 */
#ifndef MSGS
#define MSGS 3
#endif
#define NSLOTS 2

/* Words of memory. */
#define HEAD  0
#define TAIL  1
#define SLEEP 2
#define SLOT  3 /* .. SLOT + NSLOTS - 1 */
#define NWORDS 5

byte mem[NWORDS];

/* Store buffers: process 0 the producer, 1 the consumer. */
#define BUF 4
typedef buffer {
	byte addr[BUF];
	byte val[BUF];
	bit rel[BUF];
	byte n
};
buffer sb[2];

byte bell; /* the eventfd's counter, 0 or 1 */

inline store(p, a, v, release)
{
	atomic {
		sb[p].n < BUF; /* a full buffer stalls the core */
		sb[p].addr[sb[p].n] = a;
		sb[p].val[sb[p].n] = v;
		sb[p].rel[sb[p].n] = release;
		sb[p].n++
	}
}

/* The newest buffered value of the word, or memory's. */
inline load(p, a, ret)
{
	d_step {
		ret = mem[a];
		li = 0;
		do
		:: li < sb[p].n ->
			if
			:: sb[p].addr[li] == a -> ret = sb[p].val[li]
			:: else
			fi;
			li++
		:: else -> break
		od;
		li = 0
	}
}

inline fence(p)
{
	sb[p].n == 0
}

/* Takes entry k out of the buffer of p, into memory. */
inline drain(p, k)
{
	mem[sb[p].addr[k]] = sb[p].val[k];
	di = k;
	do
	:: di + 1 < sb[p].n ->
		sb[p].addr[di] = sb[p].addr[di + 1];
		sb[p].val[di] = sb[p].val[di + 1];
		sb[p].rel[di] = sb[p].rel[di + 1];
		di++
	:: else -> break
	od;
	sb[p].n--;
	sb[p].addr[sb[p].n] = 0;
	sb[p].val[sb[p].n] = 0;
	sb[p].rel[sb[p].n] = 0;
	di = 0
}

/* The memory system. */
proctype drainer(byte p)
{
	byte di;
end:	do
	:: atomic { sb[p].n > 0 -> drain(p, 0) }
#ifdef PSO
	/* The second may overtake the first: not to the same word, and not if it is a release. */
	:: atomic { sb[p].n > 1 && !sb[p].rel[1] && sb[p].addr[0] != sb[p].addr[1] -> drain(p, 1) }
#endif
	od
}

#ifdef NO_RELEASE
#define REL 0
#else
#define REL 1
#endif

active proctype producer()
{
	byte i, v, li;

	do
	:: i < MSGS ->
		/* chan_push(): wait for room (tx_refresh: load-acquire of tail) */
		do
		:: load(0, TAIL, v);
			if
			:: i - v < NSLOTS -> break
			:: else -> mem[TAIL] != v /* poll again once it has moved */
			fi
		od;
		store(0, SLOT + (i % NSLOTS), i + 1, 0);
		store(0, HEAD, i + 1, REL);
		i++;
		/* chan_notify() */
#ifndef NO_FENCE_PRODUCER
		fence(0);
#endif
		load(0, SLEEP, v);
		if
		:: v -> bell = 1
		:: else
		fi
	:: else -> break
	od
}

active proctype consumer()
{
	byte t, h, v, li;

	do
	:: t == MSGS -> break
	:: else ->
		load(1, HEAD, h);
		if
		:: h != t ->
			assert(h - t <= NSLOTS);
			/* chan_peek(), chan_release() */
			load(1, SLOT + (t % NSLOTS), v);
			assert(v == t + 1);
			t++;
			store(1, TAIL, t, 1)
		:: else ->
			/* chan_prepare_sleep() */
			store(1, SLEEP, 1, 0);
#ifndef NO_FENCE_CONSUMER
			fence(1);
#endif
#ifdef NO_RECHECK
			h = t;
#else
			load(1, HEAD, h);
#endif
			if
			:: h != t -> store(1, SLEEP, 0, 0)
			:: else ->
				bell == 1;		 /* poll() */
				store(1, SLEEP, 0, 0);	 /* chan_awake() */
				bell = 0
			fi
		fi
	od
}

init {
	atomic { run drainer(0); run drainer(1) }
}
