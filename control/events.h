/* SPDX-License-Identifier: MIT */
/*
 * events.h - the events of a pool as the server keeps them: a ring of records, and what reads it.
 *
 * There is one ring, as there is one pool that is served. Its only writer is the engine's trace
 * callback, under the hotplug lock; it never waits for a reader. A reader that is too late finds
 * its record gone, and is told so.
 */
#ifndef MHP_CONTROL_EVENTS_H
#define MHP_CONTROL_EVENTS_H

#include "server.h"

#define MHP__EVENTS 4096U              /* how far back the ring goes */
#define MHP__EVENT_TEXT 256U
_Static_assert(MHP__EVENT_TEXT >= MHP_WHY_TEXT, "what the engine says fits");

/* An event with everything that it points to or that was true at that moment. */
struct mhp__record {
	struct mhp_event event;
	struct mhp_policy policy;      /* POLICY: after it */
	uint8_t memmap_switch;         /* POLICY: enum mhp_memmap_switch */
	bool has_policy;               /* not before the pool was served */
	char owner[MHP_OWNER_NAME_MAX + 1U]; /* of the page at pfn; or "" */
	char text[MHP__EVENT_TEXT];    /* of the page; ANNOUNCE: what came with the word */
};

/* ---- events.c ---- */

/* The next event; the callback of the engine is the only one that puts any. */
void mhp__events_put(const struct mhp__record *record);
/* The number of the last event; 0: there was none yet. */
uint64_t mhp__events_last(void);
/* The first event that the ring still has. */
uint64_t mhp__events_oldest(void);
/* Read event seq; false: it is gone. */
bool mhp__events_read(uint64_t seq, struct mhp__record *ret_record);
/* Read the bell, look at everything, then sleep until it has rung since, or the time is over (0:
 * there is no bound). Every event rings it. */
uint32_t mhp__events_bell(void);
void mhp__events_wait(uint32_t bell, unsigned timeout_ms);
void mhp__events_ring(void);

/* ---- event_text.c ---- */

/* One line of JSON, with its newline; it is shorter than what makes `out` send. */
void mhp__event_line(struct mhp__out *out, const struct mhp__record *record);
/* "policy":{...} */
void mhp__event_policy(struct mhp__out *out, const struct mhp_policy *policy,
		       unsigned memmap_switch);
const char *mhp__event_zone(unsigned zone);
extern const char *const mhp__event_places[3]; /* by enum mhp_placement */
#define MHP__ANNOUNCE_WORDS 8U
extern const char *const mhp__announce_words[MHP__ANNOUNCE_WORDS]; /* by flags of ANNOUNCE */

/* ---- changes.c ---- */

/* In the companion, while it serves. */
void mhp__changes_begin(void);
void mhp__changes_end(void);
/* Something has changed; under the engine's lock. */
void mhp__changes_count(void);

/* ---- announce.c ---- */

/* The text that came with the word, by flags of ANNOUNCE; only during the engine's callback. */
const char *mhp__announced_text(uint32_t flags);
void mhp__announced_members(struct mhp__out *out, const char *text);
/* Nobody announces. */
void mhp__announce_reset(void);

/* ---- monitor.c ---- */

/* There are no listeners. */
void mhp__monitor_reset(void);
/* Close the connections of listeners that nobody serves any more. */
void mhp__monitor_drop(void);
/* Let go of all listeners. */
void mhp__monitor_end(void);

/* ---- metrics.c ---- */

/* Count an event; called by the trace callback. */
void mhp__metrics_count(const struct mhp_event *event);
/* Blocks that are there now. */
uint32_t mhp__metrics_blocks(void);

#endif
