/* SPDX-License-Identifier: MIT */
/*
 * trace.c - the engine's trace callback: a record for the ring, and a count for the metrics.
 *
 * It runs under the hotplug lock, on any thread, perhaps inside of malloc: it copies, counts, and
 * at most wakes one sleeper; it never waits. The pointers of an event are valid only during the
 * call, so the record keeps copies.
 */
#define _GNU_SOURCE
#include <string.h>

#include "events.h"

/* The engine is known from the first event on, before the pool is: it is the only one. */
void
mhp_control_trace(void *trace_ctx, const struct mhp_event *event)
{
	struct mhp *m = mhp__control.m;
	struct mhp__record record = { .event = *event };
	(void)trace_ctx;

	record.event.text = NULL;
	if (event->text != NULL)
		memcpy(record.text, event->text, strnlen(event->text, MHP_WHY_TEXT - 1));
	if (event->kind == MHP_EV_ANNOUNCE)
		strcpy(record.text, mhp__announced_text(event->flags));
	if (m != NULL && event->pfn != MHP_PFN_NONE && event->cause != MHP_CAUSE_NONE) {
		const char *owner = mhp_owner_name(m, event->owner);
		memcpy(record.owner, owner, strnlen(owner, MHP_OWNER_NAME_MAX));
	}
	if (m != NULL && event->kind == MHP_EV_POLICY) {
		mhp_get_policy(m, &record.policy);
		record.memmap_switch = (uint8_t)mhp_get_memmap_on_memory(m);
		record.has_policy = true;
	}
	mhp__events_put(&record);
	mhp__metrics_count(event);
	mhp__changes_count();
	mhp__events_ring();
}
