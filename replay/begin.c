/* SPDX-License-Identifier: MIT */
/*
 * begin.c - the pool that the first line of a recording describes, made on the simulator.
 *
 * It gets the geometry, the blocks, the bad pages and the policy of that line. What cannot be made
 * is refused in one sentence.
 */
#include <inttypes.h>
#include <stdarg.h>

#include "replaying.h"
#include "sim.h"

/* Which pages of the node the metadata took depends on what was in use. Here it lies outside, as
 * that of a boot block; where it kept a block from leaving, a stand-in does. */
static bool
on_node(uint32_t flags)
{
	return (flags & MHP_MEMMAP_ON_NODE) != 0;
}

static uint32_t
flags_of_add(uint32_t flags)
{
	/* Coming online has an event of its own. Testing would touch all memory, for nothing. */
	flags &= ~(uint32_t)(MHP_ADD_ONLINE | MHP_ADD_TEST);
	flags &= ~(uint32_t)MHP_MEMMAP_ON_NODE;
	return flags | MHP_ADD_OFFLINE | MHP_ADD_ZEROED;
}

/* Metadata that lies on a node is elsewhere here, whatever the switch says of that. */
int
mhp__replay_add(struct mhp__replaying *replay, struct mhp_blocks blocks, struct mhp_add_opts opts)
{
	enum mhp_memmap_switch now = mhp_get_memmap_on_memory(replay->m);
	bool elsewhere = on_node(opts.flags);
	int err = elsewhere ? mhp_set_memmap_on_memory(replay->m, MHP_MEMMAP_OFF) : 0;
	opts.flags = flags_of_add(opts.flags);
	replay->nr_told = 0;
	if (err == 0)
		err = mhp_add(replay->m, blocks, &opts, NULL);
	if (elsewhere && mhp_set_memmap_on_memory(replay->m, now) != 0)
		return MHP_EINVAL;
	return err;
}

bool
mhp__replay_set_policy(struct mhp__replaying *replay, const struct mhp_policy *policy,
		       enum mhp_memmap_switch value)
{
	return mhp_set_policy(replay->m, policy) == 0 &&
	       mhp_set_memmap_on_memory(replay->m, value) == 0;
}

static void
tell(void *ctx, const struct mhp_event *event)
{
	struct mhp__replaying *replay = ctx;
	if (event->kind == MHP_EV_OFFLINE_START)
		return;
	if (replay->nr_told++ == 0)
		replay->told = *event;
}

static bool cannot_start(struct mhp__replaying *replay, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool
cannot_start(struct mhp__replaying *replay, const char *format, ...)
{
	char what[200];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(replay->result->text, MHP__REPLAY_TEXT, "line 1: %s", what);
	return false;
}

static bool
make_pool(struct mhp__replaying *replay)
{
	const struct mhp_geometry *geo = &replay->reader.geometry;
	struct mhp_config config;
	size_t size = 0;
	/* Metadata of every block, and more: pages of 1 % of the memory. */
	struct mhp_sim_opts opts = { .geometry = *geo };

	if (mhp_footprint(geo, &size) != 0)
		return cannot_start(replay, "no pool has this geometry");
	opts.meta_bytes = ((uint64_t)geo->nr_blocks << (geo->block_order + geo->page_shift)) / 100;
	if (mhp_sim_create(&opts, &replay->sim) != 0)
		return cannot_start(replay, "the simulator has no room for this geometry");
	mhp_sim_config(replay->sim, &config);
	config.trace = tell;
	config.trace_ctx = replay;
	void *memory = mhp_sim_instance_memory(replay->sim, size);
	if (memory == NULL || mhp_init(memory, size, &config, &replay->m) != 0)
		return cannot_start(replay, "no pool has this geometry");
	return mhp__standin_init(&replay->standin, replay->m, replay->sim) == 0 ||
	       cannot_start(replay, "the engine has no room for the stand-ins");
}

static bool
make_range(struct mhp__replaying *replay, const struct mhp__replay_range *range)
{
	static const uint32_t flags[] = {
		[MHP_PLACE_SELF] = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE,
		[MHP_PLACE_NODE] = MHP_MEMMAP_ON_NODE,
		[MHP_PLACE_EXTERNAL] = 0,
	};
	struct mhp_add_opts opts = {
		.flags = flags[range->placement] | (range->boot ? MHP_ADD_BOOT : 0U),
		.node = (uint8_t)range->node,
		.metadata_node = (uint8_t)range->metadata_node,
		.backing = (uint16_t)range->backing,
	};
	struct mhp_online_opts to = { .zone = (uint8_t)range->zone };
	int err = mhp__replay_add(replay, range->blocks, opts);
	if (err == 0 && range->state == MHP_ONLINE)
		err = mhp_online(replay->m, &range->blocks, 1, &to, NULL);
	return err == 0 ||
	       cannot_start(replay, "there cannot be blocks %u-%u as it lists them (error %d)",
			    range->blocks.first, range->blocks.first + range->blocks.count - 1,
			    err);
}

static bool
make_ranges(struct mhp__replaying *replay)
{
	struct mhp__replay_range range;
	bool more = true;
	for (size_t i = 0; more; i++) {
		if (!mhp__replay_read_range(&replay->reader, i, &more, &range))
			return false;
		if (more && !make_range(replay, &range))
			return false;
	}
	replay->first_generation = mhp_generation(replay->m) + 1;
	return true;
}

static bool
make_bad_pages(struct mhp__replaying *replay)
{
	uint64_t pfn = 0;
	bool more = true;
	for (size_t i = 0; more; i++) {
		if (!mhp__replay_read_bad(&replay->reader, i, &more, &pfn))
			return false;
		int err = more ? mhp_bad_add(replay->m, pfn) : 0;
		if (err != 0 && err != MHP_EBUSY)
			return cannot_start(replay, "page %" PRIu64 " cannot be bad (error %d)",
					    pfn, err);
	}
	return true;
}

bool
mhp__replay_begin(struct mhp__replaying *replay)
{
	return mhp__replay_read_first(&replay->reader) && make_pool(replay) &&
	       make_ranges(replay) && make_bad_pages(replay) &&
	       (mhp__replay_set_policy(replay, &replay->reader.policy,
				       replay->reader.memmap_switch) ||
		cannot_start(replay, "the engine refuses its policy"));
}
