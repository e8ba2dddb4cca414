/* SPDX-License-Identifier: MIT */
/*
 * supply.c - the verbs add and resize, on bare metal.
 *
 * Memory comes from the machine: nobody can add what no DIMM, no virtio-mem device and no boot
 * memory has brought. An add can bring the part of it that was removed by hand while the rest
 * stayed, such as one block of a DIMM. A DIMM none of whose blocks is left is ejected.
 */
#include "supply.h"

#include "boot_blocks.h"
#include "console.h"
#include "error.h"
#include "hotplug.h"
#include "port.h"
#include "ram.h"
#include "resize.h"

static struct mhp_span
span_of(struct mhp_blocks blocks)
{
	uint64_t bytes = port_block_bytes();

	return (struct mhp_span){ { blocks.first * bytes }, blocks.count * bytes };
}

int
supply_add(struct mhp_blocks blocks)
{
	struct mhp_span span = span_of(blocks);
	const struct ram *ram = ram_find(span.start.addr, span.size);

	if (ram == NULL) {
		say("refused ENODEV: the machine has no memory there; plug a DIMM, or ask the "
		    "virtio-mem device for more\n");
		return MHP_ENODEV;
	}
	return hotplug_add(span, ram->node, ram->backing);
}

void
supply_release(void)
{
	hotplug_release();
	resize_release();
	boot_blocks_release();
}

static uint64_t
present_bytes(void)
{
	struct mhp_stats stats;

	mhp_get_stats(port_instance(), &stats);
	return stats.blocks_present * port_block_bytes();
}

/* The lowest block that there is memory for and that the engine does not have. */
static bool
find_spare(struct mhp_blocks *ret_block)
{
	uint64_t bytes = port_block_bytes(), lowest = UINT64_MAX;
	const struct ram *ram;

	for (unsigned at = 0; (ram = ram_next(&at)) != NULL;) {
		for (uint64_t offset = 0; offset < ram->span.size; offset += bytes) {
			struct mhp_span span = { { ram->span.start.addr + offset }, bytes };
			if (span.start.addr < lowest && !hotplug_present(span))
				lowest = span.start.addr;
		}
	}
	*ret_block = (struct mhp_blocks){ (uint32_t)(lowest / bytes), 1 };
	return lowest != UINT64_MAX;
}

static int
grow(uint64_t size_bytes)
{
	struct mhp_blocks block;
	int error = 0;

	while (error == 0 && present_bytes() < size_bytes) {
		if (!find_spare(&block)) {
			say("refused ENODEV: there is memory for %luM only; plug a DIMM, or ask "
			    "the virtio-mem device for more\n", present_bytes() >> 20);
			return MHP_ENODEV;
		}
		error = supply_add(block);
	}
	return error;
}

/* From the highest block, passing over what cannot leave. */
static int
shrink(uint64_t size_bytes)
{
	int error = 0;

	for (uint32_t block = mhp_get_geometry(port_instance())->nr_blocks;
	     block > 0 && present_bytes() > size_bytes; block--) {
		struct mhp_span span = span_of((struct mhp_blocks){ block - 1, 1 });
		if (hotplug_present(span)) {
			int one = hotplug_remove(span);
			error = one != 0 ? one : error;
		}
	}
	supply_release();
	return present_bytes() > size_bytes ? error : 0;
}

int
supply_resize(uint64_t size_bytes)
{
	uint64_t bytes = port_block_bytes();
	uint64_t wanted = (size_bytes + bytes - 1) / bytes * bytes;

	return present_bytes() < wanted ? grow(wanted) : shrink(wanted);
}
