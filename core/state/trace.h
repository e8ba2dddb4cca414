/* SPDX-License-Identifier: MIT */
/*
 * trace.h - numbering, counting and handing out events; hotplug lock held.
 */
#ifndef MHP_CORE_TRACE_H
#define MHP_CORE_TRACE_H

#include "state/instance.h"

/* ---- phases: what the time of the operation under way goes to ----
 * The time since the last mark belongs to the phase that the next mark names. The clock is read
 * only while somebody listens, and no decision depends on these times. Giving the hotplug lock back
 * ends the phase, so between operations all of this is 0. */

static inline void
mhp__phase_begin(struct mhp *m)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	if (m->trace == NULL)
		return;
	for (unsigned i = 0; i < MHP_PHASES; i++)
		m->phase_ns[i] = 0;
	m->phase_mark_ns = m->ops->now_ns(m->port);
}

static inline void
mhp__phase(struct mhp *m, enum mhp_phase phase)
{
	uint64_t now_ns;

	MHP_ASSERT_DEBUG((unsigned)phase < MHP_PHASES);
	if (m->phase_mark_ns == 0)
		return;
	now_ns = m->ops->now_ns(m->port);
	m->phase_ns[phase] += now_ns - m->phase_mark_ns;
	m->phase_mark_ns = now_ns;
}

static inline void
mhp__phase_end(struct mhp *m)
{
	if (m->phase_mark_ns == 0)
		return;
	for (unsigned i = 0; i < MHP_PHASES; i++)
		m->phase_ns[i] = 0;
	m->phase_mark_ns = 0;
}

/* ---- events ---- */

/* An event about blocks; no page, no cause, the zone left open. */
struct mhp_event mhp__event(enum mhp_event_kind kind, struct mhp_blocks blocks);
/* It failed, and why says what was in the way. */
struct mhp_event mhp__event_failed(enum mhp_event_kind kind, struct mhp_blocks blocks, int error,
				   const struct mhp_why *why);
/* An event about one page. */
struct mhp_event mhp__event_page(const struct mhp *m, enum mhp_event_kind kind, uint64_t pfn,
				 int error);
/* Fill in seq, time_ns, state and phases, count, and call config.trace. took_ns is computed from
 * started_ns unless that is 0. */
void mhp__trace(struct mhp *m, struct mhp_event *event, uint64_t started_ns);
/* A knob has changed. */
void mhp__trace_policy(struct mhp *m);

#endif
