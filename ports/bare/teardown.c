/* SPDX-License-Identifier: MIT */
/*
 * teardown.c - plays the removal of a block through in either order, with nothing but mappings.
 *
 * A section that goes takes with it what is mapped onto it: for the one that holds the descriptors
 * of all, that is the memmap. The engine goes from the last section to the first and looks at no
 * descriptor later than that; in the other order the look at the second section finds nothing
 * mapped any more (R27). Only an offline block is touched, whose memory stays, so that all can be
 * mapped again. Must not know what the engine keeps in a reserve beyond the descriptors.
 */
#include "teardown.h"

#include "mmu.h"
#include "port.h"
#include "traps.h"

struct plan {
	uint64_t start, section_bytes;
	unsigned nr_sections;
	uint64_t memmap, memmap_bytes; /* virtual */
	uint64_t backing;              /* physical */
	enum mmu_level level;          /* of the memmap's mappings */
};

static int
make_plan(uint32_t block, struct plan *plan)
{
	const struct mhp_geometry *geo = mhp_get_geometry(port_instance());
	struct mhp_block_info info;
	int error = mhp_block_get(port_instance(), block, &info);

	if (error != 0)
		return error;
	plan->start = info.span.start.addr;
	plan->section_bytes = UINT64_C(1) << (geo->section_order + PAGE_SHIFT);
	plan->nr_sections = 1U << (geo->block_order - geo->section_order);
	plan->memmap_bytes = (uint64_t)DESCRIPTOR_BYTES << geo->block_order;
	plan->memmap = port_memmap_address(plan->start);
	plan->level = info.nr_large_mappings != 0 ? MMU_LARGE : MMU_BASE;
	_Atomic uint64_t *entry = mmu_entry(plan->memmap, plan->level);
	if (info.state != MHP_OFFLINE || info.placement != MHP_PLACE_SELF || entry == NULL ||
	    plan->nr_sections == 1 || (info.nr_large_mappings != 0 && info.nr_base_mappings != 0))
		return MHP_EINVAL;
	plan->backing = *entry & PTE_ADDRESS;
	return 0;
}

static bool
section_holds_memmap(const struct plan *plan, unsigned section)
{
	uint64_t start = plan->start + section * plan->section_bytes;

	return plan->backing >= start && plan->backing < start + plan->section_bytes;
}

static void
take_section(const struct plan *plan, unsigned section)
{
	/* The memmap first: its page tables may be in this section, too. */
	if (section_holds_memmap(plan, section))
		mmu_unmap(plan->memmap, plan->memmap_bytes, plan->level, NULL);
	mmu_unmap(DIRECT_MAP + plan->start + section * plan->section_bytes, plan->section_bytes,
		  MMU_DIRECT, NULL);
}

static int
put_all_back(const struct plan *plan)
{
	uint64_t size = plan->nr_sections * plan->section_bytes;
	int error = mmu_map(DIRECT_MAP + plan->start, plan->start, size, MMU_DATA, MMU_DIRECT,
			    NULL);

	if (error != 0)
		return error;
	return mmu_map(plan->memmap, plan->backing, plan->memmap_bytes, MMU_DATA, plan->level,
		       NULL);
}

int
teardown_try(uint32_t block, bool forward, unsigned *ret_nr_faults)
{
	struct plan plan;
	int error = make_plan(block, &plan);

	if (error != 0)
		return error;
	*ret_nr_faults = 0;
	for (unsigned i = 0; i < plan.nr_sections; i++) {
		unsigned section = forward ? i : plan.nr_sections - 1 - i;
		uint64_t descriptors = plan.memmap_bytes / plan.nr_sections;
		uint64_t first = plan.memmap + section * descriptors;
		*ret_nr_faults += !trap_probe_read((const volatile void *)first);
		take_section(&plan, section);
	}
	return put_all_back(&plan);
}
