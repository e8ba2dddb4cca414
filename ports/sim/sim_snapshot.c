/* SPDX-License-Identifier: MIT */
/*
 * sim_snapshot.c - the simulator as a flat run of bytes, and back.
 *
 * In this order: the state with its arrays, the instance memory, the whole memory through the
 * backdoor. Views are not copied: restoring compares the mappings that are with those that were
 * and changes only what differs, so that it costs no system call where nothing is ever unmapped.
 */
#include <errno.h>
#include <string.h>

#include "sim_private.h"

size_t
mhp_sim_snapshot_size(const struct mhp_sim *sim)
{
	return sim->state_bytes + sim->instance_bytes + sim->total_bytes;
}

void
mhp_sim_save(struct mhp_sim *sim, void *ret_snapshot)
{
	unsigned char *to = ret_snapshot;
	memcpy(to, sim->state, sim->state_bytes);
	to += sim->state_bytes;
	if (sim->instance != NULL)
		memcpy(to, sim->instance, sim->instance_bytes);
	to += sim->instance_bytes;
	memcpy(to, sim->backdoor, sim->total_bytes);
}

static void
show_sections(struct mhp_sim *sim, const uint64_t *was)
{
	for (uint64_t i = 0; i < sim->nr_sections; i++) {
		uint64_t differs = sim->mapped[i / 64] ^ was[i / 64];
		if ((differs >> i % 64 & 1) != 0)
			mhp__sim_view_section(sim, i, (was[i / 64] >> i % 64 & 1) != 0);
	}
}

static void
show_memmap(struct mhp_sim *sim, const uint64_t *was)
{
	unsigned shift = sim->opts.caps.granule_shift;
	for (uint64_t i = 0; i < sim->vmemmap_bytes >> shift; i++)
		if (sim->granules[i] != was[i] &&
		    !mhp__sim_view_memmap(sim, sim->vmemmap + (i << shift), was[i],
					  UINT64_C(1) << shift))
			mhp__sim_die("mmap: %s", strerror(errno));
}

static void
show_pool(struct mhp_sim *sim, const uint32_t *was)
{
	if (!sim->unmaps || sim->pool_bytes == 0)
		return;
	mhp__sim_view(sim, sim->pool_start, sim->pool_start, sim->pool_bytes, false);
	for (uint64_t i = 0; i < sim->pool_bytes / sim->page_bytes; i++) {
		uint64_t addr = sim->pool_start + i * sim->page_bytes;
		if (was[i] != 0)
			mhp__sim_view(sim, addr, addr, was[i] * sim->page_bytes, true);
	}
}

/* Where an array of the flat state is in a snapshot. */
static const void *
array_of(const struct mhp_sim *sim, const void *array, const void *snapshot)
{
	size_t offset = (size_t)((const unsigned char *)array - (const unsigned char *)sim->state);
	return (const unsigned char *)snapshot + offset;
}

void
mhp_sim_restore(struct mhp_sim *sim, const void *snapshot)
{
	const unsigned char *from = snapshot;
	show_sections(sim, array_of(sim, sim->mapped, snapshot));
	show_memmap(sim, array_of(sim, sim->granules, snapshot));
	show_pool(sim, array_of(sim, sim->lengths, snapshot));
	memcpy(sim->state, from, sim->state_bytes);
	from += sim->state_bytes;
	if (sim->instance != NULL)
		memcpy(sim->instance, from, sim->instance_bytes);
	from += sim->instance_bytes;
	memcpy(sim->backdoor, from, sim->total_bytes);
}
