/* SPDX-License-Identifier: MIT */
/*
 * trace.h - numbering, counting and handing out events; hotplug lock held.
 */
#ifndef MHP_CORE_TRACE_H
#define MHP_CORE_TRACE_H

#include "instance.h"

/* Fill in seq and time_ns, count, and call config.trace. took_ns is computed from started_ns unless
 * that is 0. */
void mhp__trace(struct mhp *m, struct mhp_event event, uint64_t started_ns);

#endif
