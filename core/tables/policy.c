/* SPDX-License-Identifier: MIT */
/*
 * policy.c - which zone memory goes to when the caller leaves it open, and what that would mean.
 *
 * Two policies, after Linux's online_policy. "contig-zones" keeps zones in one piece: a range goes
 * to MOVABLE when the node's MOVABLE zone spans around it and its NORMAL zone does not, else to
 * NORMAL, so never a MOVABLE range amid NORMAL ones. "auto-movable" goes by amounts, as Linux 7.3
 * does (R70): MOVABLE as long as MOVABLE : NORMAL stays within auto_movable_ratio, on the whole
 * and, when asked, on the node, where only boot memory counts as NORMAL: later memory may
 * be taken out again, so nothing may rely on it. The blocks of one add go alike: to MOVABLE if the
 * rest of them fits too, to NORMAL if some of them are there.
 *
 * Amounts are whole blocks, their own descriptors included, plus what the same call has decided
 * about already. Nothing here changes anything but m->policy.
 */
#include "tables/policy.h"

#include "base/mem.h"
#include "state/hotplug.h"
#include "state/runs.h"
#include "state/seal.h"
#include "state/trace.h"

/* ---- amounts ---- */

static bool
is_online(const struct mhp__block *slot)
{
	return slot->state == MHP_ONLINE || slot->state == MHP_GOING_OFFLINE;
}

/* NORMAL memory that came later counts for neither side: it may leave again, so nothing may rely
 * on it, and it relies on nothing itself. */
static void
add_pages(struct mhp__planned_pages *planned, const struct mhp__block *slot, uint64_t pages)
{
	MHP_ASSERT_DEBUG(slot->node < MHP_NODES_MAX);
	MHP_ASSERT_DEBUG(mhp__zone_exists(slot->zone));
	if (slot->zone == MHP_ZONE_MOVABLE)
		planned->movable[slot->node] += pages;
	else if ((slot->flags & MHP_BLOCK_BOOT) != 0)
		planned->early[slot->node] += pages;
}

/* By runs: like blocks count as one, so a decision costs as much as there are ranges. */
static void
count(const struct mhp *m, struct mhp__planned_pages *planned)
{
	uint32_t next;

	memset(planned->early, 0, m->geo.nr_nodes * sizeof(planned->early[0]));
	memset(planned->movable, 0, m->geo.nr_nodes * sizeof(planned->movable[0]));
	memset(planned->groups, 0, sizeof(planned->groups));
	for (uint32_t b = 0; mhp__seek_present(m, &b); b = next) {
		next = mhp__run_end(m, b);
		if (is_online(&m->blocks[b]))
			add_pages(planned, &m->blocks[b], (next - b) * mhp__block_pages(m));
	}
	planned->counted = true;
}

/* Would nr_pages more of MOVABLE keep the ratio? Pages are below 2^57, so times 100 still fits;
 * times the ratio they might not. */
static bool
keeps_ratio(const struct mhp *m, uint64_t early, uint64_t movable, uint64_t nr_pages)
{
	uint64_t ratio = m->policy.auto_movable_ratio, percents = (movable + nr_pages) * 100U;

	MHP_ASSERT_DEBUG(movable < UINT64_C(1) << 57);
	MHP_ASSERT_DEBUG(nr_pages < UINT64_C(1) << 57);
	return ratio != 0 && (percents + ratio - 1U) / ratio <= early;
}

static uint64_t
sum(const struct mhp *m, const uint64_t *by_node)
{
	uint64_t all = 0;

	for (unsigned node = 0; node < m->geo.nr_nodes; node++)
		all += by_node[node];
	return all;
}

static bool
movable_fits(const struct mhp *m, unsigned node, uint64_t nr_pages,
	     const struct mhp__planned_pages *planned)
{
	MHP_ASSERT_DEBUG(planned->counted);
	MHP_ASSERT_DEBUG(node < m->geo.nr_nodes);
	MHP_ASSERT_DEBUG(nr_pages != 0);
	if (!keeps_ratio(m, sum(m, planned->early), sum(m, planned->movable), nr_pages))
		return false;
	return !m->policy.auto_movable_numa_aware ||
	       keeps_ratio(m, planned->early[node], planned->movable[node], nr_pages);
}

/* ---- groups ---- */

/* May blocks of the group lie from this one on? It came to free addresses, so that what is older
 * was outside of it. */
static bool
is_inside(const struct mhp *m, uint32_t block, uint32_t generation)
{
	return m->blocks[block].state == MHP_ABSENT || m->blocks[block].generation >= generation;
}

static void
add_to_group(const struct mhp *m, uint32_t block, struct mhp__group *group)
{
	const struct mhp__block *slot = &m->blocks[block];
	uint64_t pages = mhp__block_pages(m);

	if (slot->state == MHP_ABSENT || slot->generation != group->generation)
		return;
	group->pages += pages;
	group->normal += slot->zone == MHP_ZONE_NORMAL ? pages : 0;
	group->movable += slot->zone == MHP_ZONE_MOVABLE ? pages : 0;
}

/* A gap of absent blocks is one step. */
static struct mhp__group
count_group(const struct mhp *m, uint32_t block)
{
	struct mhp__group group = { .generation = m->blocks[block].generation };
	uint32_t end = m->geo.nr_blocks, at = block;

	MHP_ASSERT_DEBUG(m->blocks[block].state != MHP_ABSENT);
	while (at < end && is_inside(m, at, group.generation)) {
		add_to_group(m, at, &group);
		at = m->blocks[at].state == MHP_ABSENT ? mhp__run_end(m, at) : at + 1;
	}
	at = block;
	while (at > 0 && is_inside(m, at - 1, group.generation)) {
		at = m->blocks[at - 1].state == MHP_ABSENT ? mhp__run_start(m, at - 1) : at - 1;
		add_to_group(m, at, &group);
	}
	MHP_ASSERT_DEBUG(group.pages != 0);
	MHP_ASSERT_DEBUG(group.normal + group.movable <= group.pages);
	return group;
}

/* It is counted once, unless another has taken its place meanwhile. */
static struct mhp__group *
group_of(const struct mhp *m, const struct mhp__candidate *candidate,
	 struct mhp__planned_pages *planned)
{
	bool coming = candidate->coming.generation != 0;
	uint32_t generation = coming ? candidate->coming.generation
				     : m->blocks[candidate->block].generation;
	struct mhp__group *group = &planned->groups[generation % MHP_GROUPS_PLANNED];

	MHP_ASSERT_DEBUG(planned->counted);
	MHP_ASSERT_DEBUG(generation != 0);
	if (group->generation != generation)
		*group = coming ? candidate->coming : count_group(m, candidate->block);
	return group;
}

/* ---- choosing ---- */

static bool
spans(const struct mhp__zone *zone, uint64_t start_pfn, uint64_t nr_pages)
{
	MHP_ASSERT_DEBUG(zone->start_pfn <= zone->end_pfn);
	return start_pfn < zone->end_pfn && zone->start_pfn < start_pfn + nr_pages;
}

static uint8_t
choose(const struct mhp *m, const struct mhp__candidate *candidate,
       struct mhp__planned_pages *planned)
{
	uint64_t start = candidate->start_pfn, nr = candidate->nr_pages;
	bool movable;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m) || mhp__has_readers(m));
	if (m->policy.online_policy == MHP_POLICY_AUTO_MOVABLE) {
		const struct mhp__group *group = group_of(m, candidate, planned);
		movable = group->normal == 0 &&
			  movable_fits(m, candidate->node, group->pages - group->movable, planned);
	} else {
		movable = spans(mhp__zone(m, candidate->node, MHP_ZONE_MOVABLE), start, nr) &&
			  !spans(mhp__zone(m, candidate->node, MHP_ZONE_NORMAL), start, nr);
	}
	return movable ? MHP_ZONE_MOVABLE : MHP_ZONE_NORMAL;
}

void
mhp__planned_none(struct mhp__planned_pages *planned, bool together)
{
	planned->counted = false;
	planned->together = together;
}

/* The next block of the same call must be decided about as if this one were online already. */
static void
plan(const struct mhp *m, const struct mhp__candidate *candidate, uint8_t zone,
     struct mhp__planned_pages *planned)
{
	struct mhp__group *group = group_of(m, candidate, planned);
	uint64_t pages = mhp__block_pages(m);

	MHP_ASSERT_DEBUG(group->normal + group->movable < group->pages);
	if (zone == MHP_ZONE_MOVABLE) {
		planned->movable[candidate->node] += pages;
		group->movable += pages;
	} else {
		planned->early[candidate->node] += candidate->boot ? pages : 0;
		group->normal += pages;
	}
}

int
mhp__policy_zone(struct mhp *m, unsigned zone, const struct mhp__candidate *candidate,
		 struct mhp__planned_pages *planned, uint8_t *ret_zone)
{
	bool counts = m->policy.strict || m->policy.online_policy == MHP_POLICY_AUTO_MOVABLE;

	MHP_ASSERT(candidate->node < m->geo.nr_nodes);
	if (counts && !planned->counted)
		count(m, planned);
	if (zone == MHP_ZONE_DEFAULT)
		zone = choose(m, candidate, planned);
	else if (!mhp__zone_exists(zone))
		return MHP_EINVAL;
	else if (zone == MHP_ZONE_MOVABLE && m->policy.strict &&
		 !movable_fits(m, candidate->node, mhp__block_pages(m), planned))
		return MHP_EPERM;
	*ret_zone = (uint8_t)zone;
	if (counts)
		plan(m, candidate, *ret_zone, planned);
	return 0;
}

/* Enums are compared as unsigned, since a caller may have put any number there. */
static bool
sensible(const struct mhp_policy *policy)
{
	return policy != NULL && (unsigned)policy->online_policy <= MHP_POLICY_AUTO_MOVABLE &&
	       (unsigned)policy->auto_online <= MHP_AUTO_ONLINE_MOVABLE &&
	       policy->auto_online_attempts <= MHP_AUTO_ONLINE_ATTEMPTS_MAX;
}

int
mhp_set_policy(struct mhp *m, const struct mhp_policy *policy)
{
	int err = mhp__hotplug_lock(m);

	if (err != 0)
		return err;
	if (!sensible(policy)) {
		mhp__hotplug_unlock(m);
		return MHP_EINVAL;
	}
	m->policy = *policy;
	if (m->policy.auto_online_attempts == 0)
		m->policy.auto_online_attempts = 3;
	MHP_ASSERT_DEBUG(m->policy.auto_online_attempts != 0);
	mhp__tables_seal(m);
	mhp__trace_policy(m);
	mhp__hotplug_unlock(m);
	return 0;
}

void
mhp_get_policy(struct mhp *m, struct mhp_policy *ret_policy)
{
	enum mhp__reader reader = mhp__reader_begin(m);

	*ret_policy = m->policy;
	mhp__reader_end(m, reader);
}

/* In per cent; UINT32_MAX only where there is no NORMAL memory to compare with. */
static uint32_t
ratio_of(uint64_t movable, uint64_t normal)
{
	uint64_t ratio;

	if (normal == 0)
		return UINT32_MAX;
	MHP_ASSERT_DEBUG(movable <= UINT64_MAX / 100U);
	ratio = movable * 100U / normal;
	/* Untaken: it takes 40 million blocks of MOVABLE to one of NORMAL. */
	return ratio < UINT32_MAX ? (uint32_t)ratio : UINT32_MAX - 1U;
}

int
mhp_policy_foresee(struct mhp *m, unsigned node, uint64_t start_pfn, uint64_t nr_pages,
		   struct mhp_foresight *ret_foresight)
{
	struct mhp__candidate candidate = { .start_pfn = start_pfn, .nr_pages = nr_pages,
					    .node = node };
	uint64_t max_pfn = mhp__max_pfn(m), movable;
	struct mhp__planned_pages now;
	enum mhp__reader reader;

	if (node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	if (nr_pages == 0)
		return MHP_EINVAL;
	if (start_pfn >= max_pfn || nr_pages > max_pfn - start_pfn)
		return MHP_ENXIO;
	candidate.block = (uint32_t)(start_pfn >> m->geo.block_order);
	reader = mhp__reader_begin(m);
	count(m, &now);
	/* A block that waits is part of its group; anything else is a group of its own. */
	if (m->blocks[candidate.block].state != MHP_OFFLINE)
		candidate.coming = (struct mhp__group){ .generation = UINT32_MAX,
							.pages = nr_pages };
	ret_foresight->zone = choose(m, &candidate, &now);
	movable = sum(m, now.movable);
	ret_foresight->normal_pages = sum(m, now.early);
	ret_foresight->movable_pages = movable;
	ret_foresight->ratio_after = ratio_of(movable + nr_pages, ret_foresight->normal_pages);
	ret_foresight->movable_fits = movable_fits(m, node, nr_pages, &now);
	mhp__reader_end(m, reader);
	return 0;
}
