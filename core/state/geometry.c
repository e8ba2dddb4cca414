/* SPDX-License-Identifier: MIT */
/*
 * geometry.c - the public calls about the shape of an instance: its geometry, the nodes of its
 * CPUs, and where a frame is in the direct map.
 *
 * The geometry is constant from init on. A CPU may change its node at any time, and a reader may
 * see either: it only decides which zones are tried first. Must not know: blocks, pages.
 */
#include "state/instance.h"

const struct mhp_geometry *
mhp_get_geometry(const struct mhp *m)
{
	return &m->geo;
}

int
mhp_set_cpu_node(struct mhp *m, unsigned cpu, unsigned node)
{
	if (cpu >= m->geo.nr_cpus)
		return MHP_EINVAL;
	if (node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	atomic_store_explicit(&m->cpu_node[cpu], (uint8_t)node, memory_order_relaxed);
	return 0;
}

void *
mhp_pfn_to_virt(const struct mhp *m, uint64_t pfn)
{
	/* By number: where memory is mapped to its own address the direct map starts at NULL. */
	return (void *)((uintptr_t)m->direct_map + (uintptr_t)mhp__pfn_phys(m, pfn).addr);
}
