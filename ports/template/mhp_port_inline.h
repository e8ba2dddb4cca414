/* SPDX-License-Identifier: MIT */
/*
 * mhp_port_inline.h - template of a port's hot half (docs/PORTING.md, step 1; contract in cache.h).
 *
 * Replace everything that is marked TEMPLATE. The caches here take a real lock each, which is right
 * on any machine; replace them by sections under disabled interrupts (ports/x86_64), or restartable
 * ones (ports/linux), when the rest works.
 */
#ifndef MHP_PORT_INLINE_H
#define MHP_PORT_INLINE_H

#include <stddef.h>
#include <stdint.h>

/* TEMPLATE: the CPU that we run on. A thread may be moved right after; that costs speed only. */
static inline unsigned
mhp_port_cpu(void)
{
	return 0;
}

/* TEMPLATE: pause; where threads are scheduled, yield now and then. */
static inline void
mhp_port_relax(unsigned spins)
{
	(void)spins;
}

/* TEMPLATE: a word of this thread, in which debug builds note the locks it holds. NULL: none. */
static inline uint32_t *
mhp_port_lock_ranks(void)
{
	return NULL;
}

#include <memplug/cache_locked.h>

#endif
