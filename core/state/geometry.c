/* SPDX-License-Identifier: MIT */
/*
 * geometry.c - the shape of an instance: its geometry, which numbers are blocks of it, the nodes of
 * its CPUs, and where a frame is in the direct map.
 *
 * The geometry is constant from init on. A CPU may change its node at any time, and a reader may
 * see either: it only decides which zones are tried first. Must not know: which blocks are there,
 * pages.
 */
#include "state/instance.h"

const struct mhp_geometry *
mhp_get_geometry(const struct mhp *m)
{
	return &m->geo;
}

int
mhp__blocks_check(const struct mhp *m, struct mhp_blocks blocks)
{
	if (blocks.count == 0)
		return MHP_EINVAL;
	if (blocks.first >= m->geo.nr_blocks || blocks.count > m->geo.nr_blocks - blocks.first)
		return MHP_ENXIO;
	return 0;
}

int
mhp_span_blocks(const struct mhp *m, struct mhp_span span, struct mhp_blocks *ret_blocks)
{
	unsigned shift = m->geo.block_order + m->geo.page_shift;
	uint64_t mask = (UINT64_C(1) << shift) - 1;
	uint64_t first = span.start.addr >> shift, count = span.size >> shift;

	if (span.size == 0 || ((span.start.addr | span.size) & mask) != 0)
		return MHP_EINVAL;
	if (span.start.addr + span.size < span.start.addr &&
	    span.start.addr + span.size != 0)
		return MHP_EOVERFLOW;
	if (first >= m->geo.nr_blocks || count > m->geo.nr_blocks - first)
		return MHP_ENXIO;
	*ret_blocks = (struct mhp_blocks){ (uint32_t)first, (uint32_t)count };
	return 0;
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
