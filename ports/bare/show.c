/* SPDX-License-Identifier: MIT */
/*
 * show.c - the engine's state as text, through its public functions only.
 *
 * The picture has one row a block and one character a pageblock, so that one sees where metadata
 * lies, what is full, and what an offline emptied.
 */
#include "show.h"

#include "bootmem.h"
#include "console.h"
#include "mmu.h"
#include "port.h"
#include "smp.h"
#include "string.h"

static const char *
state_text(enum mhp_block_state state)
{
	static const char *const text[] = { "absent", "offline", "going-online", "online",
					    "going-offline" };

	return text[state];
}

static const char *
zone_text(const struct mhp_block_info *info)
{
	if (info->zone == MHP_ZONE_DEFAULT)
		return "-";
	return info->zone == MHP_ZONE_MOVABLE ? "Movable" : "Normal";
}

static const char *
memmap_text(enum mhp_placement placement)
{
	static const char *const text[] = { "self", "node", "external" };

	return text[placement];
}

static void
show_range(struct mhp *m, struct mhp_blocks blocks, const struct mhp_block_info *first)
{
	struct mhp_block_info info;
	uint64_t used = 0, size = 0;

	for (uint32_t i = 0; i < blocks.count; i++) {
		if (mhp_block_get(m, blocks.first + i, &info) != 0)
			return;
		used += info.used_bytes;
		size += info.span.size;
	}
	say("0x%010lx %5luM %s %s node %u blocks %u+%u memmap %s reserve %u mappings %u+%u "
	    "used %luK\n",
	    first->span.start.addr, size >> 20, state_text(first->state), zone_text(first),
	    first->node, blocks.first, blocks.count, memmap_text(first->placement),
	    first->nr_vmemmap_pages, first->nr_large_mappings, first->nr_base_mappings, used >> 10);
}

void
show_list(void)
{
	struct mhp *m = port_instance();
	struct mhp_blocks blocks;
	struct mhp_block_info info;

	for (uint32_t at = 0; mhp_range_get(m, at, &blocks) == 0;
	     at = blocks.first + blocks.count) {
		if (mhp_block_get(m, blocks.first, &info) == 0 && info.state != MHP_ABSENT)
			show_range(m, blocks, &info);
	}
}

/* One character for a pageblock: how many of its frames are what. */
static char
pageblock_char(struct mhp *m, uint64_t pfn, uint64_t nr)
{
	uint64_t used = 0, metadata = 0, isolated = 0;

	for (uint64_t end = pfn + nr; pfn < end;) {
		struct mhp_frame frame = mhp_frame_peek(m, pfn);
		uint64_t step = frame.state == MHP_FRAME_USED ? UINT64_C(1) << frame.order : 1;
		used += frame.state == MHP_FRAME_USED ? step : 0;
		metadata += frame.state == MHP_FRAME_METADATA;
		isolated += frame.isolated;
		pfn += step;
	}
	if (isolated != 0)
		return 'x';
	if (used == 0)
		return metadata != 0 ? 'm' : '.';
	return used + metadata == nr ? '#' : used * 2 >= nr ? '+' : '-';
}

static void
show_block(struct mhp *m, const struct mhp_block_info *info)
{
	const struct mhp_geometry *geometry = mhp_get_geometry(m);
	uint64_t start = (uint64_t)info->block << geometry->block_order;
	uint64_t nr = UINT64_C(1) << geometry->pageblock_order;
	unsigned nr_pageblocks = 1U << (geometry->block_order - geometry->pageblock_order);

	say("%4u %c%c [", info->block, info->zone == MHP_ZONE_MOVABLE ? 'M' :
	    info->zone == MHP_ZONE_NORMAL ? 'N' : '-', (int)('0' + info->node % 10));
	for (unsigned i = 0; i < nr_pageblocks; i++) {
		if (i > 0 && i % 64 == 0)
			say("\n         ");
		say("%c", info->state == MHP_ONLINE ? pageblock_char(m, start + i * nr, nr) : ' ');
	}
	say("] %s\n", info->state == MHP_ONLINE ? "" : state_text(info->state));
}

void
show_map(void)
{
	struct mhp *m = port_instance();
	struct mhp_blocks blocks;
	struct mhp_block_info info;

	say("block zone+node; a character is 2M: m metadata, # full, + more than half, - less, "
	    ". free\n");
	for (uint32_t at = 0; mhp_range_get(m, at, &blocks) == 0;
	     at = blocks.first + blocks.count) {
		for (uint32_t i = 0; i < blocks.count; i++) {
			if (mhp_block_get(m, blocks.first + i, &info) != 0 ||
			    info.state == MHP_ABSENT)
				break;
			show_block(m, &info);
		}
	}
}

static uint64_t
get_block_size(const struct mhp_stats *stats)
{
	(void)stats;
	return port_block_bytes();
}

static uint64_t
get_blocks_present(const struct mhp_stats *stats)
{
	return stats->blocks_present;
}

static uint64_t
get_blocks_online(const struct mhp_stats *stats)
{
	return stats->blocks_online;
}

static uint64_t
get_metadata(const struct mhp_stats *stats)
{
	return stats->metadata_bytes;
}

static uint64_t
get_waste(const struct mhp_stats *stats)
{
	return stats->waste_bytes;
}

static uint64_t
get_footprint(const struct mhp_stats *stats)
{
	return stats->footprint_bytes;
}

static uint64_t
get_moved(const struct mhp_stats *stats)
{
	return stats->pages_moved;
}

static uint64_t
get_tables(const struct mhp_stats *stats)
{
	(void)stats;
	return mmu_nr_tables() * PAGE_BYTES;
}

static uint64_t
get_boot_used(const struct mhp_stats *stats)
{
	(void)stats;
	return bootmem_nr_used() * PAGE_BYTES;
}

static uint64_t
get_cpus(const struct mhp_stats *stats)
{
	(void)stats;
	return smp_nr_cpus();
}

static uint64_t
get_nodes(const struct mhp_stats *stats)
{
	(void)stats;
	return mhp_get_geometry(port_instance())->nr_nodes;
}

bool
show_attributes(const char *name)
{
	static const struct {
		const char *name;
		uint64_t (*show)(const struct mhp_stats *stats);
	} attributes[] = {
		{ "block_size_bytes", get_block_size },
		{ "blocks_present", get_blocks_present },
		{ "blocks_online", get_blocks_online },
		{ "metadata_bytes", get_metadata },
		{ "waste_bytes", get_waste },
		{ "footprint_bytes", get_footprint },
		{ "page_table_bytes", get_tables },
		{ "boot_memory_used_bytes", get_boot_used },
		{ "pages_moved", get_moved },
		{ "cpus", get_cpus },
		{ "nodes", get_nodes },
	};
	struct mhp_stats stats;
	bool found = false;

	mhp_get_stats(port_instance(), &stats);
	for (unsigned i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		if (name != NULL && !text_equal(name, attributes[i].name))
			continue;
		say("%s %lu\n", attributes[i].name, attributes[i].show(&stats));
		found = true;
	}
	return found;
}
