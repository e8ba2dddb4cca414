/* SPDX-License-Identifier: MIT */
/*
 * resize.c - the second provider: whole blocks of a virtio-mem region come and go with its
 * requested size.
 *
 * Up: the lowest blocks that are not plugged. Down: from the highest, passing over what cannot
 * leave. A request is worked on once; what could not be done waits for the next one, or for blocks
 * to be removed by hand, which are given back at once. A block is the device's memory exactly while
 * the engine has it.
 */
#include "resize.h"

#include "console.h"
#include "error.h"
#include "hotplug.h"
#include "port.h"
#include "ram.h"
#include "smp.h"
#include "virtio_mem.h"

static bool active;
static uint64_t last_requested;

static bool
is_plugged(uint64_t start)
{
	struct mhp_block_info info;

	return mhp_block_get(port_instance(), (uint32_t)(start / port_block_bytes()), &info) == 0 &&
	       info.state != MHP_ABSENT;
}

static int
grow_by_one(uint64_t start, unsigned node)
{
	struct mhp_span span = { { start }, port_block_bytes() };
	int error = virtio_mem_plug(start, span.size);

	if (error != 0)
		return error;
	say("virtio-mem: 0x%lx+%luM: ", start, span.size >> 20);
	error = ram_came(span, node, RAM_OF_VIRTIO_MEM);
	if (error == 0)
		error = hotplug_add(span, node, RAM_OF_VIRTIO_MEM);
	if (error == 0)
		return 0;
	ram_gone(span);
	if (virtio_mem_unplug(start, span.size) != 0)
		say("virtio-mem: 0x%lx could not be given back\n", start);
	return error;
}

/* The engine does not have it any more. */
static int
give_back(struct mhp_span span)
{
	ram_gone(span);
	int error = virtio_mem_unplug(span.start.addr, span.size);
	if (error == 0)
		say("virtio-mem: 0x%lx given back\n", span.start.addr);
	return error;
}

static int
shrink_by_one(uint64_t start)
{
	struct mhp_span span = { { start }, port_block_bytes() };
	int error = hotplug_remove(span);

	return error != 0 ? error : give_back(span);
}

static void
follow(const struct virtio_mem_config *config)
{
	uint64_t block = port_block_bytes();
	uint64_t first = (config->start + block - 1) & ~(block - 1);
	uint64_t end = (config->start + config->usable_bytes) & ~(block - 1);
	uint64_t plugged = config->plugged_bytes, wanted = config->requested_bytes;

	for (uint64_t at = first; at < end && plugged + block <= wanted; at += block) {
		if (!is_plugged(at) && grow_by_one(at, config->node) == 0)
			plugged += block;
	}
	end = (config->start + config->region_bytes) & ~(block - 1);
	for (uint64_t at = end; at > first && plugged > wanted; at -= block) {
		if (is_plugged(at - block) && shrink_by_one(at - block) == 0)
			plugged -= block;
	}
	say("virtio-mem: %luM of %luM requested\n", plugged >> 20, wanted >> 20);
}

void
resize_init(void)
{
	int error = virtio_mem_init();

	active = error == 0;
	if (active)
		smp_tick_start();       /* to look at the requested size now and then */
	else if (error != MHP_ENODEV)
		say("virtio-mem: %s\n", error_text(error));
}

bool
resize_poll(void)
{
	if (!active)
		return false;
	struct virtio_mem_config config = virtio_mem_read();
	if (config.requested_bytes == last_requested)
		return false;
	last_requested = config.requested_bytes;
	follow(&config);
	return true;
}

void
resize_release(void)
{
	const struct ram *ram;

	for (unsigned at = 0; (ram = ram_next(&at)) != NULL;) {
		struct mhp_span span = ram->span;
		if (ram->backing != RAM_OF_VIRTIO_MEM || hotplug_present(span))
			continue;
		int error = give_back(span);
		if (error != 0)
			say("virtio-mem: 0x%lx: %s\n", span.start.addr, error_text(error));
		at = 0;                     /* the list has changed */
	}
}
