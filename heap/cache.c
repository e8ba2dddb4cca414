/* SPDX-License-Identifier: MIT */
/*
 * cache.c - a thread works without a cache when there is no memory for one.
 *
 * jemalloc makes a cache for each thread at the thread's first allocation. If there is no memory
 * for it, jemalloc goes on as if there were: a thread that starts while the pool is full would end
 * the program. The linker puts this function in place of jemalloc's (__wrap_...). It does the same
 * in another order: a cache counts as there only once it has been made. A thread without one goes
 * to the arenas directly. meson.build knows for which versions of jemalloc this holds; nothing here
 * knows a pool.
 */
#include <stdbool.h>

/* The part that we use of what jemalloc keeps for a thread; this is its first field. */
struct tsd {
	bool tcache_enabled;
};

extern bool je_opt_tcache;
bool je_tsd_tcache_data_init(struct tsd *tsd); /* true: no memory */
void je_tsd_slow_update(struct tsd *tsd);
bool __wrap_je_tsd_tcache_enabled_data_init(struct tsd *tsd);

bool
__wrap_je_tsd_tcache_enabled_data_init(struct tsd *tsd)
{
	tsd->tcache_enabled = je_opt_tcache && !je_tsd_tcache_data_init(tsd);
	je_tsd_slow_update(tsd);
	return false;
}
