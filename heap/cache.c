/* SPDX-License-Identifier: MIT */
/*
 * cache.c - a thread for whose cache there is no memory has none.
 *
 * jemalloc gives each thread a cache when it allocates for the first time, and when there is no
 * memory for it goes on as if it were there: a thread that starts while the pool is full would end
 * the program. The linker puts this in place of jemalloc's function (__wrap_...), which does the
 * same in another order: the cache is said to be there once it is. Without one a thread goes to
 * the arenas directly. meson.build knows for which versions of jemalloc this holds; nothing here
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
