/* SPDX-License-Identifier: MIT */
/*
 * sim_memmap.c - the simulator's vmemmap, and its pool of external metadata.
 *
 * The vmemmap is a stretch of addresses with nothing behind it. Mapping a slice shows the frames
 * of the backing there, the very same bytes as in the direct map. A block whose mapping takes
 * page-table pages gets them from its altmap when its first granule is mapped and gives them back
 * after its last; they are written with a pattern, so that whoever else uses them is found out.
 *
 * The pool is first fit, aligned to the granule of the memmap where the size calls for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "sim_private.h"

/* ---- page-table pages ---- */

static uint64_t
table_word(uint64_t addr)
{
	return (addr ^ UINT64_C(0x7ab1e5)) * UINT64_C(0x9e3779b97f4a7c15);
}

static int
take_tables(struct mhp_sim *sim, struct sim_tables *tables, struct mhp_altmap *altmap)
{
	uint32_t nr = sim->opts.caps.tables_per_block;
	if (altmap == NULL || nr == 0 || tables->nr_granules != 0)
		return 0;
	int error = mhp_altmap_alloc(altmap, nr, &tables->pfn);
	if (error != 0)
		return error;
	tables->nr = nr;
	uint64_t addr = tables->pfn * sim->page_bytes;
	for (uint64_t end = addr + nr * sim->page_bytes; addr < end; addr += sizeof(uint64_t)) {
		uint64_t word = table_word(addr);
		memcpy(sim->backdoor + addr, &word, sizeof(word));
	}
	return 0;
}

static void
give_tables(struct mhp_sim *sim, struct sim_tables *tables, struct mhp_altmap *altmap)
{
	if (tables->nr == 0 || tables->nr_granules != 0)
		return;
	uint64_t addr = tables->pfn * sim->page_bytes;
	for (uint64_t end = addr + tables->nr * sim->page_bytes; addr < end; addr += 8) {
		uint64_t word;
		memcpy(&word, sim->backdoor + addr, sizeof(word));
		if (word != table_word(addr))
			mhp__sim_die("the page-table page at %#" PRIx64 " was overwritten", addr);
	}
	if (altmap == NULL)
		mhp__sim_die("tables of pfn %" PRIu64 " are not given back", tables->pfn);
	mhp_altmap_free(altmap, tables->nr);
	*tables = (struct sim_tables){ 0 };
}

/* ---- vmemmap ---- */

bool
mhp__sim_view_memmap(struct mhp_sim *sim, unsigned char *virt, uint64_t addr1, uint64_t size)
{
	int shown = MAP_FIXED | MAP_SHARED;
	int hidden = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *at = addr1 == 0 ? mmap(virt, size, PROT_NONE, hidden, -1, 0) :
				mmap(virt, size, PROT_READ | PROT_WRITE, shown, sim->memfd,
				     (off_t)(addr1 - 1));
	return at != MAP_FAILED;
}

/* A slice that a call names. */
struct slice {
	unsigned char *virt;
	uint64_t size;
	uint64_t first, end;       /* base granules */
	struct sim_tables *tables; /* of its block */
};

static struct slice
find_slice(struct mhp_sim *sim, void *virt, uint64_t nr, unsigned granule_shift)
{
	const struct mhp_geometry *geo = &sim->opts.geometry;
	unsigned base = sim->opts.caps.granule_shift;
	uint64_t offset = (uint64_t)((unsigned char *)virt - sim->vmemmap);
	uint64_t size = nr << granule_shift;
	if (!sim->opts.vmemmap || offset % (UINT64_C(1) << granule_shift) != 0 || size == 0 ||
	    granule_shift < base || offset + size > sim->vmemmap_bytes)
		mhp__sim_die("memmap slice %p+%#" PRIx64 " is not in the vmemmap", virt, size);
	uint64_t block = offset / sim->opts.descriptor_bytes >> geo->block_order;
	return (struct slice){ virt, size, offset >> base, (offset + size) >> base,
			       &sim->tables[block] };
}

int
mhp__sim_memmap_map(void *port, void *virt, struct mhp_phys backing, uint64_t nr,
		    unsigned granule_shift, struct mhp_altmap *altmap)
{
	struct mhp_sim *sim = port;
	struct slice slice = find_slice(sim, virt, nr, granule_shift);
	if (backing.addr % (UINT64_C(1) << granule_shift) != 0 ||
	    backing.addr + slice.size > sim->total_bytes)
		mhp__sim_die("memmap backing %#" PRIx64 " is no memory", backing.addr);
	for (uint64_t i = slice.first; i < slice.end; i++)
		if (sim->granules[i] != 0)
			mhp__sim_die("memmap granule %" PRIu64 " is mapped already", i);
	int error = take_tables(sim, slice.tables, altmap);
	if (error != 0)
		return error;
	if (!mhp__sim_view_memmap(sim, slice.virt, backing.addr + 1, slice.size)) {
		give_tables(sim, slice.tables, altmap);
		return MHP_ENOMEM;
	}
	for (uint64_t i = slice.first; i < slice.end; i++)
		sim->granules[i] = backing.addr + 1 +
				   ((i - slice.first) << sim->opts.caps.granule_shift);
	slice.tables->nr_granules += (uint32_t)(slice.end - slice.first);
	sim->state->nr_granules += slice.end - slice.first;
	return 0;
}

void
mhp__sim_memmap_unmap(void *port, void *virt, uint64_t nr, unsigned granule_shift,
		      struct mhp_altmap *altmap)
{
	struct mhp_sim *sim = port;
	struct slice slice = find_slice(sim, virt, nr, granule_shift);
	for (uint64_t i = slice.first; i < slice.end; i++) {
		if (sim->granules[i] == 0)
			mhp__sim_die("memmap granule %" PRIu64 " is not mapped", i);
		sim->granules[i] = 0;
	}
	if (!mhp__sim_view_memmap(sim, slice.virt, 0, slice.size))
		mhp__sim_die("mmap: %s", strerror(errno));
	slice.tables->nr_granules -= (uint32_t)(slice.end - slice.first);
	sim->state->nr_granules -= slice.end - slice.first;
	give_tables(sim, slice.tables, altmap);
}

/* ---- external metadata ---- */

/* The first run of nr free pages of the pool at a multiple of align, or MHP_PFN_NONE. */
static uint64_t
find_run(const struct mhp_sim *sim, uint64_t nr, uint64_t align)
{
	uint64_t end = sim->pool_bytes / sim->page_bytes;
	uint64_t run = 0;
	for (uint64_t i = sim->state->meta_first; i < end;) {
		if (sim->lengths[i] != 0) {
			i += sim->lengths[i];
			run = 0;
			continue;
		}
		run = run != 0 || i % align == 0 ? run + 1 : 0;
		i++;
		if (run == nr)
			return i - nr;
	}
	return MHP_PFN_NONE;
}

static uint8_t
nearest_node(const struct mhp_sim *sim, unsigned node)
{
	uint64_t nodes = sim->opts.meta_nodes;
	if (nodes == 0)
		return (uint8_t)(node < sim->opts.geometry.nr_nodes ? node : 0);
	if (node < MHP_NODES_MAX && (nodes >> node & 1) != 0)
		return (uint8_t)node;
	return (uint8_t)__builtin_ctzll(nodes);
}

int
mhp__sim_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	struct mhp_sim *sim = port;
	struct sim_state *state = sim->state;
	if (size == 0 || size % sim->page_bytes != 0)
		mhp__sim_die("external metadata of %" PRIu64 " bytes, not whole pages", size);
	if (size > state->budget || state->meta_used > state->budget - size)
		return MHP_ENOMEM;
	uint64_t base = UINT64_C(1) << sim->opts.caps.granule_shift;
	uint64_t align = (size >= sim->large_bytes ? sim->large_bytes : base) / sim->page_bytes;
	uint64_t nr = size / sim->page_bytes;
	uint64_t page = find_run(sim, nr, align);
	if (page == MHP_PFN_NONE)
		return MHP_ENOMEM;
	sim->lengths[page] = (uint32_t)nr;
	state->meta_used += size;
	if (page == state->meta_first)
		state->meta_first = page + nr;
	uint64_t addr = sim->pool_start + page * sim->page_bytes;
	if (page < state->meta_high)
		memset(sim->backdoor + addr, 0, size);
	if (page + nr > state->meta_high)
		state->meta_high = page + nr;
	if (sim->unmaps)
		mhp__sim_view(sim, addr, addr, size, true);
	*ret_meta = (struct mhp_meta){ .virt = sim->direct_map + addr,
				       .phys = { addr },
				       .size = size,
				       .node = nearest_node(sim, node) };
	return 0;
}

void
mhp__sim_meta_free(void *port, const struct mhp_meta *meta)
{
	struct mhp_sim *sim = port;
	uint64_t page = (meta->phys.addr - sim->pool_start) / sim->page_bytes;
	if (page >= sim->pool_bytes / sim->page_bytes || sim->lengths[page] == 0 ||
	    sim->lengths[page] * sim->page_bytes != meta->size)
		mhp__sim_die("external metadata at %#" PRIx64 " is not out", meta->phys.addr);
	sim->lengths[page] = 0;
	sim->state->meta_used -= meta->size;
	if (page < sim->state->meta_first)
		sim->state->meta_first = page;
	if (sim->opts.fill == MHP_SIM_GARBAGE)
		mhp__sim_garbage(sim, meta->phys.addr, meta->size);
	if (sim->unmaps)
		mhp__sim_view(sim, meta->phys.addr, meta->phys.addr, meta->size, false);
}
