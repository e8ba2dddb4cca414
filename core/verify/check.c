/* SPDX-License-Identifier: MIT */
/*
 * check.c - the verifier: entry, the instance's own fields, and the order of things.
 *
 * docs/INVARIANTS.md numbers what is checked and lists the fields that are exempt. Constants come
 * first, before the lock that is reached through them: with one of them wrong nothing else can be
 * looked at. The other stages form a chain, as verify.h says. Fields that nothing else implies
 * (tables that callers fill, constants) are compared with checksums, everything else with what it
 * was derived from. The verifier writes nothing but locks, and its cost is bounded by the size
 * of the instance and of what is online.
 */
#include "verify/check.h"

#include <memplug/check.h>

#include "state/hotplug.h"
#include "state/seal.h"
#include "tables/owner.h"
#include "verify/verify.h"

/* ---- constants (INV 1) ---- */

static void
check_const(struct mhp__check *c)
{
	(void)mhp__check_eq(c, 1, "checksum of constants", 0, c->m->const_check,
			    mhp__const_checksum(c->m));
}

/* ---- tables (INV 16 to 18, 20) ---- */

static void
check_bad(struct mhp__check *c)
{
	const struct mhp *m = c->m;

	if (!mhp__check_that(c, 16, "number of bad frames", m->nr_bad,
			     m->nr_bad <= m->geo.nr_bad_pages))
		return;
	for (uint32_t i = 0; i < m->nr_bad; i++)
		(void)mhp__check_that(c, 16, "order and range of a bad frame (index)", i,
				      m->bad[i] < mhp__max_pfn(m) &&
					      (i == 0 || m->bad[i - 1] < m->bad[i]));
	for (uint32_t i = m->nr_bad; i < m->geo.nr_bad_pages; i++)
		(void)mhp__check_eq(c, 16, "entry behind the last bad frame (index)", i, m->bad[i],
				    0);
}

/* The allocator trusts the masks without a look at the entries, so they are derived again here. */
static void
check_owners(struct mhp__check *c)
{
	const struct mhp *m = c->m;
	uint64_t live = 0, movable = 0;

	for (unsigned id = 0; id < MHP_OWNERS_MAX; id++) {
		bool named = m->owners[id].name[0] != '\0';
		bool moves = m->owners[id].ops != NULL;

		(void)mhp__check_that(c, 17, "an owner that moves pages without a name", id,
				      named || !moves);
		(void)mhp__check_that(c, 17, "an owner to be asked that moves no pages", id,
				      moves || m->owners[id].lost == NULL);
		(void)mhp__check_that(c, 17, "the engine's own owner", id,
				      id >= MHP_OWNER_FIRST || (named && !moves));
		if (id < MHP_OWNER_FIRST)
			continue;
		live |= (uint64_t)named << id;
		movable |= (uint64_t)moves << id;
	}
	(void)mhp__check_eq(c, 17, "mask of live owners", 0, atomic_load(&m->owners_live), live);
	(void)mhp__check_eq(c, 17, "mask of movable owners", 0, atomic_load(&m->owners_movable),
			    movable);
}

/* An entry without a function is free, and blank, as removal leaves it. Numbers of registration
 * wrap, so "earlier" is a distance. */
static void
check_listeners(struct mhp__check *c)
{
	const struct mhp *m = c->m;
	unsigned nr = 0;

	for (unsigned id = 0; id < MHP_LISTENERS_MAX; id++) {
		const struct mhp__listener *listener = &m->listeners[id];
		bool blank = listener->ctx == NULL && listener->priority == 0 &&
			     listener->order == 0;

		(void)mhp__check_that(c, 18, "a listener that is not there", id,
				      listener->fn != NULL || blank);
		(void)mhp__check_that(c, 18, "order of registration of a listener", id,
				      listener->fn == NULL || (int32_t)(m->listener_seq -
									listener->order) > 0);
		nr += listener->fn != NULL;
	}
	(void)mhp__check_eq(c, 18, "number of listeners", 0, m->nr_listeners, nr);
}

static void
check_tables(struct mhp__check *c)
{
	check_bad(c);
	check_owners(c);
	check_listeners(c);
	(void)mhp__check_eq(c, 20, "checksum of tables", 0, c->m->tables_check,
			    mhp__tables_checksum(c->m));
	for (unsigned cpu = 0; cpu < c->m->geo.nr_cpus; cpu++)
		(void)mhp__check_that(c, 20, "node of a CPU", cpu,
				      c->m->cpu_node[cpu] < c->m->geo.nr_nodes);
}

/* ---- counters and progress (INV 5, 19) ---- */

static void
check_events(struct mhp__check *c)
{
	uint64_t sum = 0;

	for (unsigned kind = 0; kind < MHP_EV_KINDS; kind++)
		sum += c->m->event_counts[kind];
	(void)mhp__check_eq(c, 19, "number of the last event against counts of events", 0,
			    c->m->event_seq, sum);
	(void)mhp__check_eq(c, 19, "checksum of the number of the last add", 0,
			    c->m->generation_check, mhp__generation_checksum(c->m));
}

static uint64_t
log_of(const struct mhp__log *log)
{
	uint64_t room = 0;

	for (unsigned order = 0; order < MHP_ORDERS; order++)
		room |= atomic_load(&log->room_pfn[order]) | atomic_load(&log->room_end[order]);
	return room | atomic_load(&log->committing) | atomic_load(&log->scrub) |
	       atomic_load(&log->generation) | atomic_load(&log->owner) | atomic_load(&log->stage) |
	       atomic_load(&log->first) | atomic_load(&log->count) | atomic_load(&log->nr_told) |
	       atomic_load(&log->giving_pfn) | atomic_load(&log->giving_end) |
	       atomic_load(&log->telling_pfn1) | atomic_load(&log->nr_listeners) |
	       atomic_load(&log->arena1) | atomic_load(&log->zone) |
	       atomic_load(&log->nr_uncounted);
}

/* Each operation leaves these as it found them: a deadline that stayed would end the next one
 * early, and progress that stayed would be shown for ever. */
static void
check_idle(struct mhp__check *c)
{
	struct mhp *m = c->m;
	const struct mhp__work *work = &m->work;
	uint64_t progress = atomic_load(&work->kind) | atomic_load(&work->first) |
			    atomic_load(&work->count) | atomic_load(&work->moved) |
			    atomic_load(&work->left) | atomic_load(&work->start_ns);

	(void)mhp__check_eq(c, 5, "progress of no change", 0, progress, 0);
	(void)mhp__check_eq(c, 5, "bounds of no change", 0,
			    work->leaving_ns | work->to_nodes | work->deadline_ns | work->undo_ns |
				    work->doing_ns | work->now_ns | work->nr_unclocked |
				    work->nr_polls | (work->stopped != 0) |
				    (atomic_load(&work->seq) & 1U),
			    0);
	(void)mhp__check_eq(c, 5, "log of no change", 0, log_of(&work->log), 0);
	(void)mhp__check_eq(c, 5, "still, without an offline", 0, atomic_load(&m->still), 0);
	if (c->quiescent)
		(void)mhp__check_eq(c, 5, "readers and interrupts, with nobody here", 0,
				    mhp__has_readers(m) | atomic_load(&m->between) |
					    atomic_load(&m->nest.held) |
					    atomic_load(&work->interrupts), 0);
	(void)mhp__check_eq(c, 5, "start of a phase of no operation", 0, m->phase_mark_ns, 0);
	for (unsigned i = 0; i < MHP_PHASES; i++)
		(void)mhp__check_eq(c, 5, "a phase of no operation", i, m->phase_ns[i], 0);
}

/* ---- all of it; hotplug lock held ---- */

static void
check_all(struct mhp__check *c)
{
	/* A stage relies on what the stages before it found right; without that it would follow
	 * wrong pointers. */
	check_tables(c);
	check_events(c);
	if (!c->inside)
		check_idle(c);
	mhp__check_slots(c);
	if (c->findings == 0)
		mhp__check_zones(c);
	if (c->findings == 0 && c->quiescent)
		mhp__check_hosts(c);
}

int
mhp__check_inside(struct mhp *m, bool quiescent,
		  void (*report)(void *ctx, const struct mhp_finding *finding), void *ctx)
{
	struct mhp__check c = { .m = m, .quiescent = quiescent, .inside = true,
				.report = report, .report_ctx = ctx };

	check_const(&c);
	if (c.findings == 0)
		check_all(&c);
	return c.findings;
}

int
mhp_check(struct mhp *m, bool quiescent,
	  void (*report)(void *ctx, const struct mhp_finding *finding), void *ctx)
{
	struct mhp__check c = { .m = m, .quiescent = quiescent, .report = report,
				.report_ctx = ctx };
	uint64_t holder;
	int err;

	check_const(&c);
	if (c.findings != 0)
		return c.findings;
	/* Taking the lock writes lock_owner, so it is read before. */
	holder = atomic_load_explicit(&m->lock_owner, memory_order_relaxed);
	if (quiescent && holder != m->ops->self(m->port))
		(void)mhp__check_eq(&c, 5, "holder of the hotplug lock", 0, holder, 0);
	err = mhp__hotplug_lock(m);
	if (err != 0)
		return err;
	check_all(&c);
	mhp__hotplug_unlock(m);
	return c.findings;
}
