/* SPDX-License-Identifier: MIT */
/*
 * trace.c - events, counters, and the words for both.
 *
 * An event gets its number, its time and its place in the counters here and nowhere else, so that
 * numbers have no gaps and event_seq is the sum of event_counts. Events are built here, too: each
 * field that nobody fills in says "none". The clock is read only while somebody listens, and no
 * decision depends on it, so a run with a listener and one without do the same.
 *
 * The words at the end are what the command, the tree and recordings show, and what a recording is
 * read by, so a word stays what it is. Must not know: what is worth an event.
 */
#include "state/trace.h"

#include "base/mem.h"

/* "None" is 0 for all fields but those for which 0 is a value: pfn 0 is a page. */
struct mhp_event
mhp__event(enum mhp_event_kind kind, struct mhp_blocks blocks)
{
	struct mhp_event event;

	MHP_ASSERT_DEBUG((unsigned)kind < MHP_EV_KINDS);
	memset(&event, 0, sizeof(event));
	event.kind = kind;
	event.block = blocks.first;
	event.nr_blocks = blocks.count;
	event.pfn = MHP_PFN_NONE;
	return event;
}

struct mhp_event
mhp__event_failed(enum mhp_event_kind kind, struct mhp_blocks blocks, int error,
		  const struct mhp_why *why)
{
	struct mhp_event event = mhp__event(kind, blocks);

	MHP_ASSERT_DEBUG(error != 0);
	event.error = error;
	event.cause = why->cause;
	event.cause_block = why->block;
	event.pfn = why->pfn;
	event.order = why->order;
	event.owner = why->owner;
	event.listener = why->listener;
	event.text = why->text;
	return event;
}

struct mhp_event
mhp__event_page(const struct mhp *m, enum mhp_event_kind kind, uint64_t pfn, int error)
{
	uint32_t block = mhp__pfn_block(m, pfn);
	struct mhp_event event = mhp__event(kind, (struct mhp_blocks){ block, 1 });

	MHP_ASSERT_DEBUG(pfn < mhp__max_pfn(m));
	event.error = error;
	event.pfn = pfn;
	event.pages = 1;
	event.node = m->blocks[block].node;
	return event;
}

void
mhp__trace(struct mhp *m, struct mhp_event *event, uint64_t started_ns)
{
	MHP_ASSERT_DEBUG(started_ns <= m->work.now_ns || started_ns == 0 || m->work.now_ns == 0);
	_Static_assert(sizeof(event->phase_ns) == sizeof(m->phase_ns), "the same phases");
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m)); /* so numbers have no gaps */
	MHP_ASSERT((unsigned)event->kind < MHP_EV_KINDS);
	/* Counted and numbered even when nobody listens: a listener that comes later sees by the
	 * number what it missed. */
	m->event_counts[event->kind]++;
	event->seq = ++m->event_seq;
	if (m->trace == NULL)
		return;
	event->time_ns = mhp__work_clock(m);
	if (started_ns != 0)
		event->took_ns = event->time_ns - started_ns;
	if (event->block < m->geo.nr_blocks)
		event->state = m->blocks[event->block].state;
	memcpy(event->phase_ns, m->phase_ns, sizeof(event->phase_ns));
	m->trace(m->trace_ctx, event);
	if (m->phase_mark_ns != 0) { /* there may be another run of this operation */
		memset(m->phase_ns, 0, sizeof(m->phase_ns));
		m->phase_mark_ns = event->time_ns;
	}
}

/* It is about no block: the index after the last one says so. */
void
mhp__trace_policy(struct mhp *m)
{
	struct mhp_event event =
		mhp__event(MHP_EV_POLICY, (struct mhp_blocks){ m->geo.nr_blocks, 0 });

	event.node = MHP_NODE_ANY;
	mhp__trace(m, &event, 0);
}

const char *
mhp_event_name(enum mhp_event_kind kind)
{
	static const char *const names[MHP_EV_KINDS] = {
		[MHP_EV_ADD] = "add",
		[MHP_EV_ADD_FAILED] = "add-failed",
		[MHP_EV_ONLINE] = "online",
		[MHP_EV_ONLINE_FAILED] = "online-failed",
		[MHP_EV_OFFLINE_START] = "offline-start",
		[MHP_EV_OFFLINE] = "offline",
		[MHP_EV_OFFLINE_FAILED] = "offline-failed",
		[MHP_EV_REMOVE] = "remove",
		[MHP_EV_BAD_PAGE] = "bad-page",
		[MHP_EV_COMPACT] = "compact",
		[MHP_EV_POLICY] = "policy",
		[MHP_EV_GOOD_PAGE] = "good-page",
		[MHP_EV_ANNOUNCE] = "announce",
		[MHP_EV_LIMIT] = "limit",
		[MHP_EV_TIER] = "tier",
		[MHP_EV_FOLLOW] = "follow",
		[MHP_EV_MOVE] = "move",
		[MHP_EV_MOVE_FAILED] = "move-failed",
	};
	return (unsigned)kind < MHP_EV_KINDS ? names[kind] : "?";
}

const char *
mhp_phase_name(enum mhp_phase phase)
{
	static const char *const names[MHP_PHASES] = {
		[MHP_PHASE_MAP] = "map",
		[MHP_PHASE_CONTENT] = "content",
		[MHP_PHASE_MEMMAP] = "memmap",
		[MHP_PHASE_NOTIFY] = "notify",
		[MHP_PHASE_ISOLATE] = "isolate",
		[MHP_PHASE_SURVEY] = "survey",
		[MHP_PHASE_ROOM] = "room",
		[MHP_PHASE_MOVE] = "move",
		[MHP_PHASE_COMMIT] = "commit",
	};
	return (unsigned)phase < MHP_PHASES ? names[phase] : "?";
}

const char *
mhp_work_name(enum mhp_work work)
{
	static const char *const names[MHP_WORK_KINDS] = {
		[MHP_WORK_NONE] = "none",
		[MHP_WORK_ADD] = "add",
		[MHP_WORK_ONLINE] = "online",
		[MHP_WORK_OFFLINE] = "offline",
		[MHP_WORK_REMOVE] = "remove",
		[MHP_WORK_PLAN] = "plan",
		[MHP_WORK_DRY_RUN] = "dry-run",
		[MHP_WORK_COMPACT] = "compact",
		[MHP_WORK_BAD_PAGE] = "bad-page",
		[MHP_WORK_MOVE] = "move",
	};
	return (unsigned)work < MHP_WORK_KINDS ? names[work] : "?";
}

const char *
mhp_cause_name(enum mhp_cause cause)
{
	static const char *const names[] = {
		[MHP_CAUSE_NONE] = "none",
		[MHP_CAUSE_STATE] = "state",
		[MHP_CAUSE_UNMOVABLE] = "unmovable",
		[MHP_CAUSE_REFUSED] = "refused",
		[MHP_CAUSE_MIGRATE] = "migrate",
		[MHP_CAUSE_ROOM] = "room",
		[MHP_CAUSE_IN_FLIGHT] = "in-flight",
		[MHP_CAUSE_LISTENER] = "listener",
		[MHP_CAUSE_DEADLINE] = "deadline",
		[MHP_CAUSE_CANCELED] = "canceled",
		[MHP_CAUSE_RAM] = "ram",
		[MHP_CAUSE_POLICY] = "policy",
		[MHP_CAUSE_INTERRUPTED] = "interrupted",
	};
	return (size_t)cause < sizeof(names) / sizeof(names[0]) ? names[cause] : "?";
}

const char *
mhp_cause_text(enum mhp_cause cause)
{
	static const char *const text[] = {
		[MHP_CAUSE_NONE] = "nothing is in the way",
		[MHP_CAUSE_STATE] = "a block is not in the state that this needs",
		[MHP_CAUSE_UNMOVABLE] = "a page belongs to an owner that cannot move it",
		[MHP_CAUSE_REFUSED] = "the owner of a page will not move it now",
		[MHP_CAUSE_MIGRATE] = "the owner of a page tried to move it and failed",
		[MHP_CAUSE_ROOM] = "there is no free page to move a page to",
		[MHP_CAUSE_IN_FLIGHT] = "a page is on its way into or out of use",
		[MHP_CAUSE_LISTENER] = "a listener refused",
		[MHP_CAUSE_DEADLINE] = "the deadline has passed",
		[MHP_CAUSE_CANCELED] = "it was cancelled",
		[MHP_CAUSE_RAM] = "the port says that this is not memory",
		[MHP_CAUSE_POLICY] = "the policy does not allow it",
		[MHP_CAUSE_INTERRUPTED] = "it gave way to something more urgent",
	};
	return (size_t)cause < sizeof(text) / sizeof(text[0]) ? text[cause] : "?";
}
