/* SPDX-License-Identifier: MIT */
/*
 * seal.c - checksums of what has no other witness.
 *
 * Nothing else in an instance implies what constants, tables that only calls change, and the slots
 * of blocks hold, so a flipped bit in them would go unnoticed. Their writers store a sum before
 * they give the hotplug lock back (INV 1, 4, 20), and the verifier compares. Must not know: what
 * the fields mean.
 */
#include "state/seal.h"

_Static_assert(sizeof(struct mhp_geometry) == 16, "no padding in what is summed as bytes");
_Static_assert(sizeof(struct mhp_port_caps) == 4, "no padding in what is summed as bytes");

/* Does a part lie inside of the footprint? A flipped pointer must not be followed. */
static bool
in_footprint(const struct mhp *m, const void *part, size_t size)
{
	uintptr_t base = (uintptr_t)m, at = (uintptr_t)part;

	return at >= base && at - base <= m->footprint_bytes &&
	       size <= m->footprint_bytes - (at - base);
}

/* The address and the shape of a set, which never change; its bits are checked by what they say. */
static uint32_t
sum_bitset(uint32_t sum, const struct mhp__bitset *set)
{
	sum = mhp__sum_word(mhp__sum_word(sum, set->nr_bits), set->nr_levels);
	for (unsigned k = 0; k < MHP_BITSET_LEVELS; k++)
		sum = mhp__sum_ptr(sum, set->level[k]);
	return sum;
}

static uint32_t
sum_parts(uint32_t sum, const struct mhp *m)
{
	sum = mhp__sum_ptr(sum, m->blocks);
	sum = mhp__sum_ptr(sum, m->arenas);
	sum = mhp__sum_ptr(sum, m->vmemmap);
	sum = mhp__sum_ptr(sum, m->caches);
	sum = mhp__sum_ptr(sum, m->zones);
	sum = mhp__sum_ptr(sum, m->direct_map);
	sum = mhp__sum_ptr(sum, m->zonelist);
	sum = mhp__sum_ptr(sum, m->bad);
	sum = mhp__sum_ptr(sum, m->cpu_node);
	sum = sum_bitset(sum, &m->runs);
	sum = sum_bitset(sum, &m->leaving);
	return sum_bitset(sum, &m->removing);
}

uint32_t
mhp__const_checksum(const struct mhp *m)
{
	size_t zonelist_bytes = (size_t)m->nr_zones * m->nr_zones;
	uint32_t sum = mhp__sum_bytes(0, &m->geo, sizeof(m->geo));

	sum = mhp__sum_word(sum, (uint32_t)m->arena_order << 24 |
					 (uint32_t)m->pageblock_words_shift << 16 | m->nr_zones);
	sum = mhp__sum_word(sum, m->nr_arenas);
	sum = mhp__sum_u64(sum, m->block_mask);
	sum = mhp__sum_u64(sum, m->arena_mask);
	sum = mhp__sum_u64(sum, m->zone_caches_bytes);
	sum = sum_parts(sum, m);
	sum = mhp__sum_ptr(sum, m->ops);
	sum = mhp__sum_ptr(sum, m->port);
	sum = mhp__sum_bytes(sum, &m->caps, sizeof(m->caps));
	sum = mhp__sum_u64(sum, (uint64_t)(uintptr_t)m->trace);
	sum = mhp__sum_ptr(sum, m->trace_ctx);
	sum = mhp__sum_u64(sum, m->footprint_bytes);
	sum = mhp__sum_word(sum, m->block_meta_pages);
	if (in_footprint(m, m->zonelist, zonelist_bytes))
		sum = mhp__sum_bytes(sum, m->zonelist, zonelist_bytes);
	return sum;
}

uint32_t
mhp__tables_checksum(const struct mhp *m)
{
	const struct mhp_policy *policy = &m->policy;
	uint32_t nr_bad = m->nr_bad < m->geo.nr_bad_pages ? m->nr_bad : m->geo.nr_bad_pages;
	uint32_t sum = mhp__sum_bytes(0, m->owners, sizeof(m->owners));

	sum = mhp__sum_bytes(sum, m->listeners, sizeof(m->listeners));
	sum = mhp__sum_word(sum, m->listener_seq);
	sum = mhp__sum_word(sum, m->nr_listeners);
	sum = mhp__sum_word(sum, (uint32_t)policy->online_policy);
	sum = mhp__sum_word(sum, (uint32_t)policy->auto_online);
	sum = mhp__sum_word(sum, policy->auto_online_attempts);
	sum = mhp__sum_word(sum, policy->auto_movable_ratio);
	/* As bytes: a bool that is neither 0 nor 1 must not be read as one. */
	sum = mhp__sum_bytes(sum, &policy->auto_movable_numa_aware, 1);
	sum = mhp__sum_bytes(sum, &policy->strict, 1);
	sum = mhp__sum_word(sum, m->memmap_switch);
	sum = mhp__sum_word(sum, m->nr_bad);
	return mhp__sum_bytes(sum, m->bad, nr_bad * sizeof(m->bad[0]));
}

/* Field by field: padding is nobody's, and the sum itself is one of the fields. */
uint32_t
mhp__block_checksum(const struct mhp__block *slot)
{
	uint32_t sum = 0;

	sum = mhp__sum_ptr(sum, slot->pages);
	sum = mhp__sum_ptr(sum, slot->bitmap);
	sum = mhp__sum_u64(sum, slot->altmap.base_pfn);
	sum = mhp__sum_word(sum, slot->altmap.capacity);
	sum = mhp__sum_word(sum, slot->altmap.allocated);
	sum = mhp__sum_u64(sum, slot->meta_addr);
	sum = mhp__sum_word(sum, slot->generation);
	sum = mhp__sum_word(sum, slot->meta_pages);
	sum = mhp__sum_word(sum, (uint32_t)slot->node << 8 | slot->meta_node);
	sum = mhp__sum_word(sum, (uint32_t)slot->placement << 24 | (uint32_t)slot->flags << 16 |
					 slot->backing);
	sum = mhp__sum_word(sum, slot->nr_large_maps);
	return sum ^ mhp__block_state_sum(slot);
}

uint32_t
mhp__generation_checksum(const struct mhp *m)
{
	return mhp__sum_word(0, atomic_load_explicit(&m->generation, memory_order_relaxed));
}
