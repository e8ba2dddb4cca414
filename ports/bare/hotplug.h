/* SPDX-License-Identifier: MIT */
/*
 * hotplug.h - memory that comes and goes by itself: from a provider to the engine and back.
 */
#ifndef BARE_HOTPLUG_H
#define BARE_HOTPLUG_H

#include <memplug/mhp.h>

/* Take in what is there already, and be told of what comes (hotplug=poll|irq on the command
 * line). */
void hotplug_init(void);
/* Look whether something came or is to go, and deal with it. Returns false when there was
 * nothing. */
bool hotplug_poll(void);
/* Would it find something? */
bool hotplug_pending(void);
/* Blocks were removed by somebody else: eject DIMMs that have no block left. */
void hotplug_release(void);

/* Does the engine have any block of the span? */
bool hotplug_present(struct mhp_span span);
/* Add or remove a span of a provider's memory (ram.h); says what happened on the console. */
MHP_MUST_CHECK int hotplug_add(struct mhp_span span, unsigned node, uint16_t backing);
MHP_MUST_CHECK int hotplug_remove(struct mhp_span span);

#endif
