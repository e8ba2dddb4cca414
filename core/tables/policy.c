/* SPDX-License-Identifier: MIT */
/*
 * policy.c - which zone a range goes to when the caller leaves it open, and what that would mean.
 *
 * Two policies, after Linux's online_policy. "contig-zones" keeps zones in one piece: a range goes
 * to MOVABLE when the node's MOVABLE zone spans around it and its NORMAL zone does not, else to
 * NORMAL, so never a MOVABLE range amid NORMAL ones. "auto-movable" goes by amounts: MOVABLE as
 * long as MOVABLE : NORMAL stays within auto_movable_ratio, on the whole and, when asked, on the
 * node. A node without NORMAL memory of its own (memory behind a device, say) has no ratio of its
 * own: judging it by one would send all of its memory to NORMAL, so only the whole counts there.
 *
 * Amounts are pages present in zones, plus what the same call has decided about already. Nothing
 * here changes anything but m->policy, and nothing knows what a block is.
 */
#include "tables/policy.h"

#include "base/mem.h"
#include "state/hotplug.h"
#include "state/seal.h"
#include "state/trace.h"

/* Pages of both kinds, of one node or of all. */
struct amounts {
	uint64_t normal, movable;
};

static void
add_node(const struct mhp *m, unsigned node, const struct mhp__planned_pages *planned,
	 struct amounts *sum)
{
	MHP_ASSERT_DEBUG(node < m->geo.nr_nodes);
	sum->normal += mhp__zone(m, node, MHP_ZONE_NORMAL)->present;
	sum->movable += mhp__zone(m, node, MHP_ZONE_MOVABLE)->present;
	if (planned != NULL) {
		sum->normal += planned->normal[node];
		sum->movable += planned->movable[node];
	}
}

static struct amounts
count(const struct mhp *m, unsigned first_node, unsigned end_node,
      const struct mhp__planned_pages *planned)
{
	struct amounts sum = { 0, 0 };

	MHP_ASSERT_DEBUG(first_node < end_node);
	MHP_ASSERT_DEBUG(end_node <= m->geo.nr_nodes);
	for (unsigned node = first_node; node < end_node; node++)
		add_node(m, node, planned, &sum);
	return sum;
}

/* Would nr_pages more of MOVABLE keep the ratio? Pages are below 2^57, so times 100 still fits. */
static bool
keeps_ratio(const struct mhp *m, struct amounts now, uint64_t nr_pages)
{
	uint64_t allowed;

	MHP_ASSERT_DEBUG(now.movable < UINT64_C(1) << 57);
	MHP_ASSERT_DEBUG(nr_pages < UINT64_C(1) << 57);
	if (__builtin_mul_overflow(now.normal, (uint64_t)m->policy.auto_movable_ratio, &allowed))
		return true;
	return (now.movable + nr_pages) * 100U <= allowed;
}

static bool
movable_fits(const struct mhp *m, unsigned node, uint64_t nr_pages,
	     const struct mhp__planned_pages *planned)
{
	struct amounts there;

	MHP_ASSERT_DEBUG(node < m->geo.nr_nodes);
	MHP_ASSERT_DEBUG(nr_pages != 0);
	if (!keeps_ratio(m, count(m, 0, m->geo.nr_nodes, planned), nr_pages))
		return false;
	there = count(m, node, node + 1, planned);
	if (!m->policy.auto_movable_numa_aware || there.normal == 0)
		return true;
	return keeps_ratio(m, there, nr_pages);
}

static bool
spans(const struct mhp__zone *zone, uint64_t start_pfn, uint64_t nr_pages)
{
	MHP_ASSERT_DEBUG(zone->start_pfn <= zone->end_pfn);
	return start_pfn < zone->end_pfn && zone->start_pfn < start_pfn + nr_pages;
}

static uint8_t
choose(const struct mhp *m, unsigned node, uint64_t start_pfn, uint64_t nr_pages,
       const struct mhp__planned_pages *planned)
{
	bool movable;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m) || atomic_load(&m->readers) != 0);
	if (m->policy.online_policy == MHP_POLICY_AUTO_MOVABLE)
		movable = movable_fits(m, node, nr_pages, planned);
	else
		movable = spans(mhp__zone(m, node, MHP_ZONE_MOVABLE), start_pfn, nr_pages) &&
			  !spans(mhp__zone(m, node, MHP_ZONE_NORMAL), start_pfn, nr_pages);
	return movable ? MHP_ZONE_MOVABLE : MHP_ZONE_NORMAL;
}

void
mhp__planned_none(const struct mhp *m, struct mhp__planned_pages *planned, bool together)
{
	memset(planned->normal, 0, m->geo.nr_nodes * sizeof(planned->normal[0]));
	memset(planned->movable, 0, m->geo.nr_nodes * sizeof(planned->movable[0]));
	planned->together = together;
}

int
mhp__policy_zone(struct mhp *m, unsigned zone, unsigned node, uint64_t start_pfn, uint64_t nr_pages,
		 const struct mhp__planned_pages *planned, uint8_t *ret_zone)
{
	MHP_ASSERT(node < m->geo.nr_nodes);
	if (zone == MHP_ZONE_DEFAULT) {
		*ret_zone = choose(m, node, start_pfn, nr_pages, planned);
		return 0;
	}
	if (!mhp__zone_exists(zone))
		return MHP_EINVAL;
	if (zone == MHP_ZONE_MOVABLE && m->policy.strict &&
	    !movable_fits(m, node, nr_pages, planned))
		return MHP_EPERM;
	*ret_zone = (uint8_t)zone;
	return 0;
}

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
	return ratio < UINT32_MAX ? (uint32_t)ratio : UINT32_MAX - 1U;
}

int
mhp_policy_foresee(struct mhp *m, unsigned node, uint64_t start_pfn, uint64_t nr_pages,
		   struct mhp_foresight *ret_foresight)
{
	uint64_t max_pfn = mhp__max_pfn(m);
	struct amounts now;
	enum mhp__reader reader;

	if (node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	if (nr_pages == 0)
		return MHP_EINVAL;
	if (start_pfn >= max_pfn || nr_pages > max_pfn - start_pfn)
		return MHP_ENXIO;
	reader = mhp__reader_begin(m);
	now = count(m, 0, m->geo.nr_nodes, NULL);
	ret_foresight->zone = choose(m, node, start_pfn, nr_pages, NULL);
	ret_foresight->normal_pages = now.normal;
	ret_foresight->movable_pages = now.movable;
	ret_foresight->ratio_after = ratio_of(now.movable + nr_pages, now.normal);
	ret_foresight->movable_fits = movable_fits(m, node, nr_pages, NULL);
	mhp__reader_end(m, reader);
	return 0;
}
