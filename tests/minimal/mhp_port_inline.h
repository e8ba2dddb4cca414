/* SPDX-License-Identifier: MIT */
/*
 * mhp_port_inline.h - the smallest inline half that a port can have: one CPU, nothing from outside.
 *
 * Nobody runs it. The core is compiled with it as it is shipped, and what that archive needs is
 * what the core itself needs: scripts/check-archive holds it to four functions and no writable
 * global. Also a place to start a port from.
 */
#ifndef MHP_PORT_INLINE_H
#define MHP_PORT_INLINE_H

#include <stddef.h>
#include <stdint.h>

static inline unsigned
mhp_port_cpu(void)
{
	return 0;
}

static inline void
mhp_port_relax(unsigned spins)
{
	(void)spins;
}

static inline uint32_t *
mhp_port_lock_ranks(void)
{
	return NULL;
}

#include <memplug/cache_locked.h>

#endif
