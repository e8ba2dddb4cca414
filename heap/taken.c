/* SPDX-License-Identifier: MIT */
/*
 * taken.c - how much of the pool's memory the program has in its hands, and how much it may have.
 *
 * A program may touch memory that it was given at any time, without asking. So all of that must fit
 * below a limit (follow.c sets the bound). Memory that is committed and ready for the next extent
 * costs nothing yet; it counts once it is handed out. Small pieces may use room that large ones may
 * not: a program that asks for much can often do with less, while one that is refused a small piece
 * often ends. Knows sums only, neither addresses nor what a limit is.
 */
#include "taken.h"

#include <stdatomic.h>

#define LARGE (UINT64_C(64) << 10)     /* beyond what jemalloc takes small objects from */

static _Atomic uint64_t taken;
static _Atomic uint64_t bound = UINT64_MAX, bound_large = UINT64_MAX;
static _Atomic bool refused;

bool
mhp__taken_more(uint64_t bytes)
{
	uint64_t most = atomic_load_explicit(bytes < LARGE ? &bound : &bound_large,
					     memory_order_relaxed);
	uint64_t had = atomic_load_explicit(&taken, memory_order_relaxed);
	do {
		if (had > most || bytes > most - had) {
			atomic_store_explicit(&refused, true, memory_order_relaxed);
			return false;
		}
	/* Untaken: another thread has to take between the two. */
	} while (!atomic_compare_exchange_weak(&taken, &had, had + bytes));
	return true;
}

void
mhp__taken_again(uint64_t bytes)
{
	atomic_fetch_add(&taken, bytes);
}

void
mhp__taken_less(uint64_t bytes)
{
	atomic_fetch_sub(&taken, bytes);
}

uint64_t
mhp__taken_bytes(void)
{
	return atomic_load(&taken);
}

void
mhp__taken_bound(uint64_t bytes, uint64_t large_bytes)
{
	atomic_store(&bound, bytes);
	atomic_store(&bound_large, large_bytes);
}

bool
mhp__taken_was_refused(void)
{
	return atomic_exchange(&refused, false);
}
