/* SPDX-License-Identifier: MIT */
/*
 * physical.c - add memory and remove memory: address ranges, sections, metadata.
 *
 * placement.c decides where metadata goes, once for an add, and the block's slot records it until
 * the block goes. All undoing, be it of a failed add of block k of n or a removal years later,
 * follows that record and never asks the global switch again (R6, R8, R28).
 *
 * A block comes section by section from the first, and goes from the last (R27): the first
 * sections hold the descriptors of all.
 */
#include "physical/physical.h"

#include "base/mem.h"
#include "memmap/memmap.h"
#include "physical/metadata.h"
#include "state/hotplug.h"
#include "state/runs.h"
#include "state/seal.h"
#include "state/trace.h"
#include "tables/bad.h"

#define ADD_FLAGS                                                                                  \
	(MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_MEMMAP_ON_NODE | MHP_ADD_BOOT |           \
	 MHP_ADD_ZEROED | MHP_ADD_TEST | MHP_ADD_ONLINE | MHP_ADD_OFFLINE)

static struct mhp_span
blocks_span(const struct mhp *m, uint32_t first, uint32_t end)
{
	struct mhp_span span;

	MHP_ASSERT_DEBUG(first < end);
	MHP_ASSERT_DEBUG(end <= m->geo.nr_blocks);
	span.start = mhp__pfn_phys(m, mhp__block_start(m, first));
	span.size = (uint64_t)(end - first) << (m->geo.block_order + m->geo.page_shift);
	return span;
}

/* ---- validation ---- */

/* Flags that contradict each other are refused, not ranked: whichever won, some callers would be
 * surprised. An unknown flag may mean something to a later version, so it is refused, too. */
static int
check_opts(const struct mhp *m, const struct mhp_add_opts *opts)
{
	uint32_t flags = opts->flags;

	if ((flags & ~(uint32_t)ADD_FLAGS) != 0)
		return MHP_EINVAL;
	if ((flags & MHP_MEMMAP_REQUIRE) != 0 && (flags & MHP_MEMMAP_ON_MEMORY) == 0)
		return MHP_EINVAL;
	if ((flags & MHP_MEMMAP_ON_MEMORY) != 0 &&
	    (flags & (MHP_MEMMAP_ON_NODE | MHP_ADD_BOOT)) != 0)
		return MHP_EINVAL;
	if ((flags & MHP_ADD_ONLINE) != 0 && (flags & MHP_ADD_OFFLINE) != 0)
		return MHP_EINVAL;
	if (opts->node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	if ((flags & MHP_MEMMAP_ON_NODE) != 0 && opts->metadata_node >= m->geo.nr_nodes)
		return MHP_ENODEV;
	return 0;
}

/* Absent runs are skipped whole, so a large add costs no look at each of its blocks. */
static int
check_conflict(const struct mhp *m, struct mhp_blocks blocks, struct mhp_add_answer *answer)
{
	uint32_t end = blocks.first + blocks.count;
	uint32_t there = mhp__next_present(m, blocks.first, end);
	uint32_t there_end = there;

	MHP_ASSERT_DEBUG(blocks.count != 0);
	MHP_ASSERT_DEBUG(end <= m->geo.nr_blocks);
	if (there == end)
		return 0;
	while (there_end < end && m->blocks[there_end].state != MHP_ABSENT)
		there_end = mhp__run_end(m, there_end);
	answer->conflict = blocks_span(m, there, there_end < end ? there_end : end);
	return MHP_EEXIST;
}

int
mhp__add_memory_foresee(struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
			struct mhp_add_answer *answer)
{
	int err = mhp__blocks_check(m, blocks);

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	memset(answer, 0, sizeof(*answer));
	if (err != 0)
		return err;
	answer->blocks = blocks;
	err = check_opts(m, opts);
	if (err == 0)
		err = check_conflict(m, blocks, answer);
	if (err == 0)
		err = mhp__choose_placement(m, blocks, opts, answer);
	return err;
}

/* ---- sections ---- */

static uint32_t
nr_sections(const struct mhp *m)
{
	return 1U << (m->geo.block_order - m->geo.section_order);
}

static uint64_t
section_bytes(const struct mhp *m)
{
	return mhp__section_pages(m) << m->geo.page_shift;
}

static struct mhp_phys
section_phys(const struct mhp *m, uint32_t block, uint32_t section)
{
	MHP_ASSERT_DEBUG(section < nr_sections(m));
	return mhp__pfn_phys(m, mhp__block_start(m, block) + section * mhp__section_pages(m));
}

/* Unmap sections [0, nr) of a block, last first. */
static void
unmap_sections(struct mhp *m, uint32_t block, uint32_t nr)
{
	MHP_ASSERT_DEBUG(m->blocks[block].state == MHP_ABSENT);
	while (nr-- > 0)
		m->ops->unmap(m->port, section_phys(m, block, nr), section_bytes(m));
}

static int
map_sections(struct mhp *m, uint32_t block, unsigned node)
{
	MHP_ASSERT_DEBUG(m->blocks[block].state == MHP_ABSENT);
	for (uint32_t section = 0; section < nr_sections(m); section++) {
		int err = m->ops->map(m->port, section_phys(m, block, section), section_bytes(m),
				      node);
		if (err != 0) {
			unmap_sections(m, block, section);
			return err;
		}
	}
	return 0;
}

/* ---- one block ---- */

/* Counted by the record and not by the shape, so that what an add counted is what its removal takes
 * back. */
static void
account(struct mhp *m, const struct mhp__block *slot, bool add)
{
	uint64_t bytes = (uint64_t)slot->meta_pages << m->geo.page_shift;

	MHP_ASSERT_DEBUG(slot->state == MHP_OFFLINE);
	MHP_ASSERT_DEBUG(add || m->meta_bytes >= bytes);
	m->blocks_present += add ? 1U : -1U;
	m->meta_bytes += add ? bytes : -bytes;
	MHP_ASSERT_DEBUG(m->blocks_present <= m->geo.nr_blocks);
}

/* Fill in what an add decides about a block. Boot blocks have no reserve: their memory was in use
 * before there was anybody to reserve in it, so their metadata lies elsewhere, nr_vmemmap_pages is
 * 0, and every later step treats them like any other block with 0 (R11). */
static void
record(struct mhp__block *slot, const struct mhp_add_opts *opts,
       const struct mhp_add_answer *answer, enum mhp_placement placement)
{
	MHP_ASSERT_DEBUG(slot->state == MHP_ABSENT);
	MHP_ASSERT_DEBUG(slot->pages == NULL);
	slot->node = opts->node; /* all else is 0: the block is absent */
	slot->meta_node = answer->metadata_node;
	slot->placement = (uint8_t)placement;
	slot->backing = opts->backing;
	if ((opts->flags & MHP_ADD_BOOT) != 0)
		slot->flags |= MHP_BLOCK_BOOT;
	if (placement == MHP_PLACE_EXTERNAL ||
	    (placement == MHP_PLACE_SELF &&
	     (opts->flags & (MHP_ADD_ZEROED | MHP_ADD_TEST)) != 0))
		slot->flags |= MHP_BLOCK_ZEROED;
}

/* Zero the frames that hold the block's metadata, if it lies there. Nobody reads it any more.
 * External memory is the port's to zero. */
static void
scrub_metadata(struct mhp *m, const struct mhp__block *slot, enum mhp_placement there)
{
	uint64_t pfn = slot->meta_addr >> m->geo.page_shift;

	MHP_ASSERT_DEBUG(there != MHP_PLACE_EXTERNAL);
	if (slot->placement != (uint8_t)there)
		return;
	mhp__zero_frames(m, pfn, pfn + slot->meta_pages);
	mhp__phase(m, MHP_PHASE_CONTENT);
}

/* Others read the state meanwhile, and nothing else of a block that is absent. */
static void
clear_record(struct mhp__block *slot)
{
	unsigned char *bytes = (unsigned char *)slot;
	size_t state = offsetof(struct mhp__block, state);

	MHP_ASSERT(slot->state == MHP_ABSENT);
	memset(bytes, 0, state);
	memset(bytes + state + 1, 0, sizeof(*slot) - state - 1);
}

/* Take apart what build_block() made, by the block's own record; nobody finds the block any more.
 * The metadata may fill several sections: its last reader is done before it goes, and all of it
 * goes before the first section does (R27). It may be done once more after a kill: the record says
 * what is left. */
static void
demolish_block(struct mhp *m, uint32_t block, bool scrub)
{
	struct mhp__block *slot = &m->blocks[block];

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(slot->state == MHP_ABSENT);
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 1);
	if (slot->pages != NULL) {
		for (uint32_t section = nr_sections(m); section-- > 0;)
			mhp__memmap_retire_section(m, block, section);
		if (scrub) /* before others can have the frames */
			scrub_metadata(m, slot, MHP_PLACE_NODE);
		mhp__memmap_destroy(m, block);
	}
	mhp__phase(m, MHP_PHASE_MEMMAP);
	if (scrub && slot->meta_pages != 0) /* after the last use of the port's tables there */
		scrub_metadata(m, slot, MHP_PLACE_SELF);
	slot->meta_pages = 0;
	unmap_sections(m, block, nr_sections(m));
	mhp__phase(m, MHP_PHASE_MAP);
	clear_record(slot);
}

/* Do all of an add that can fail. The block stays absent. */
static int
build_block(struct mhp *m, uint32_t block, const struct mhp_add_opts *opts,
	    struct mhp_add_answer *answer)
{
	struct mhp__block *slot = &m->blocks[block];
	int err = map_sections(m, block, opts->node);

	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 1);
	mhp__phase(m, MHP_PHASE_MAP);
	if (err != 0)
		return err;
	/* First the record: the metadata goes where it says, and so does all undoing. */
	record(slot, opts, answer,
	       mhp__add_reserve(m, block, answer) != 0 ? MHP_PLACE_SELF : answer->placement);
	if ((opts->flags & MHP_ADD_TEST) != 0) {
		mhp__work_undoable(m, false);
		err = mhp__test_block(m, block, answer);
		mhp__work_undoable(m, true);
		mhp__phase(m, MHP_PHASE_CONTENT);
	}
	if (err == 0)
		err = mhp__memmap_create(m, block);
	mhp__phase(m, MHP_PHASE_MEMMAP);
	if (err != 0) {
		clear_record(slot);
		unmap_sections(m, block, nr_sections(m));
		return err;
	}
	return 0;
}

/* All of them, or none. */
static int
build_all(struct mhp *m, const struct mhp_add_opts *opts, struct mhp_add_answer *answer)
{
	struct mhp_blocks blocks = answer->blocks;
	uint32_t nr = 0;
	int err = 0;

	while (nr < blocks.count && err == 0) {
		err = mhp__work_stop_at(m, nr);
		if (err == 0)
			err = build_block(m, blocks.first + nr, opts, answer);
		nr += err == 0;
	}
	MHP_ASSERT_DEBUG(err != 0 || nr == blocks.count);
	while (err != 0 && nr-- > 0)
		demolish_block(m, blocks.first + nr, false);
	return err;
}

/* Blocks published between two looks at the clock; not bounded by anything, so nothing polls. */
#define PUBLISH_READING 1024U

/* From here others find them. */
static void
publish(struct mhp *m, struct mhp_blocks blocks)
{
	uint32_t generation = atomic_fetch_add(&m->generation, 1) + 1;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 0);
	m->generation_check = mhp__generation_checksum(m);
	for (uint32_t i = 0; i < blocks.count; i++) {
		struct mhp__block *slot = &m->blocks[blocks.first + i];
		MHP_ASSERT_DEBUG(slot->state == MHP_ABSENT);
		MHP_ASSERT_DEBUG(slot->pages != NULL);
		slot->generation = generation;
		slot->state = MHP_OFFLINE;
		mhp__block_seal(slot);
		account(m, slot, true);
		if (i % PUBLISH_READING == PUBLISH_READING - 1)
			(void)mhp__work_clock(m); /* undoing it takes as long */
	}
	mhp__runs_update(m, blocks);
}

/* From here nobody finds them. */
static void
unpublish(struct mhp *m, struct mhp_blocks blocks)
{
	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(atomic_load(&m->still) == 0);
	for (uint32_t i = 0; i < blocks.count; i++) {
		struct mhp__block *slot = &m->blocks[blocks.first + i];
		MHP_ASSERT(slot->state == MHP_OFFLINE);
		MHP_ASSERT_DEBUG(m->blocks_present != 0);
		account(m, slot, false);
		slot->state = MHP_ABSENT;
	}
	mhp__runs_update(m, blocks);
}

/* No reader finds a block before all of them are built, so readers need not wait meanwhile. */
static int
add_all(struct mhp *m, const struct mhp_add_opts *opts, struct mhp_add_answer *answer)
{
	int err;

	mhp__work_about(m, answer->blocks);
	mhp__log_stage(&m->work.log, MHP_STAGE_MEMORY, answer->blocks);
	mhp__work_undoable(m, true); /* by itself, or when it cannot come online */
	mhp__still_begin(m);
	err = build_all(m, opts, answer);
	mhp__still_end(m);
	if (err == 0)
		publish(m, answer->blocks);
	mhp__log_stage_end(&m->work.log);
	mhp__work_undoable(m, false);
	return err;
}

static struct mhp_event
blocks_event(const struct mhp *m, enum mhp_event_kind kind, struct mhp_blocks blocks, unsigned node)
{
	struct mhp_event event = mhp__event(kind, blocks);

	event.pages = (uint64_t)blocks.count << m->geo.block_order;
	event.node = (uint8_t)node;
	return event;
}

/* A replay has nothing but the event, so it has every option that decided something. */
static struct mhp_event
add_event(const struct mhp *m, enum mhp_event_kind kind, struct mhp_blocks blocks,
	  const struct mhp_add_opts *opts, const struct mhp_add_answer *answer)
{
	struct mhp_event event = blocks_event(m, kind, blocks, opts->node);

	event.flags = opts->flags;
	event.backing = opts->backing;
	event.placement = (uint8_t)answer->placement;
	event.reason = (uint8_t)answer->reason;
	event.metadata_node = answer->metadata_node;
	event.nr_vmemmap_pages = answer->nr_vmemmap_pages;
	return event;
}

/* An event for each run of blocks whose metadata is placed alike. */
static void
trace_added(struct mhp *m, const struct mhp_add_opts *opts, const struct mhp_add_answer *answer,
	    uint64_t started_ns)
{
	uint32_t end = answer->blocks.first + answer->blocks.count;

	for (uint32_t b = answer->blocks.first; b < end;) {
		const struct mhp__block *slot = &m->blocks[b];
		struct mhp_blocks run = { b, 0 };
		struct mhp_event event;
		while (b < end && m->blocks[b].placement == slot->placement &&
		       m->blocks[b].meta_node == slot->meta_node)
			b++;
		run.count = b - run.first;
		event = add_event(m, MHP_EV_ADD, run, opts, answer);
		event.placement = slot->placement;
		event.metadata_node = slot->meta_node;
		event.nr_vmemmap_pages = slot->altmap.capacity;
		if (slot->placement == MHP_PLACE_SELF)
			event.reason = MHP_MEMMAP_OK;
		mhp__trace(m, &event, started_ns);
	}
}

int
mhp__add_memory(struct mhp *m, struct mhp_blocks blocks, const struct mhp_add_opts *opts,
		struct mhp_add_answer *answer)
{
	uint64_t started_ns = mhp__work_now(m);
	struct mhp_event event;
	int err;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	mhp__phase_begin(m);
	err = mhp__add_memory_foresee(m, blocks, opts, answer);
	if (err == 0)
		err = add_all(m, opts, answer);
	if (err == 0) {
		answer->metadata_node = m->blocks[answer->blocks.first].meta_node;
		trace_added(m, opts, answer, started_ns);
	} else {
		event = add_event(m, MHP_EV_ADD_FAILED, answer->blocks, opts, answer);
		event.error = err;
		mhp__trace(m, &event, started_ns);
	}
	return err;
}

void
mhp__remove_blocks(struct mhp *m, struct mhp_blocks blocks, bool scrub)
{
	uint64_t started_ns = mhp__work_now(m);
	unsigned node = m->blocks[blocks.first].node;
	struct mhp_event event;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	MHP_ASSERT_DEBUG(blocks.count != 0);
	mhp__phase_begin(m);
	mhp__log_stage(&m->work.log, MHP_STAGE_MEMORY, blocks);
	/* All of them vanish at once; readers that come later need not wait for the port. */
	unpublish(m, blocks);
	mhp__still_begin(m);
	for (uint32_t i = blocks.count; i-- > 0;)
		demolish_block(m, blocks.first + i, scrub);
	mhp__still_end(m);
	event = blocks_event(m, MHP_EV_REMOVE, blocks, node);
	mhp__trace(m, &event, started_ns);
	mhp__log_stage_end(&m->work.log);
}

/* ---- recovery ---- */

/* Others may have found these blocks, so an event says that they are gone: also those that were
 * taken apart before the kill. */
static void
trace_demolished(struct mhp *m, uint32_t first, uint32_t end, unsigned node)
{
	struct mhp_event event = blocks_event(
		m, MHP_EV_REMOVE, (struct mhp_blocks){ first, end - first }, node);

	mhp__trace(m, &event, 0);
}

void
mhp__demolish_rest(struct mhp *m, struct mhp_blocks blocks, bool scrub)
{
	uint32_t first = blocks.first, end = first;
	unsigned node = m->blocks[first].node;
	bool known = m->blocks[first].generation != 0;

	MHP_ASSERT_DEBUG(mhp__hotplug_is_mine(m));
	/* An add shows its first block first, and a removal hides it first; both take apart from
	 * the last. */
	while (end < first + blocks.count && m->blocks[end].state == MHP_ABSENT)
		end++;
	mhp__still_begin(m);
	for (uint32_t b = first + blocks.count; b-- > first;)
		if (m->blocks[b].state == MHP_ABSENT)
			demolish_block(m, b, scrub);
	mhp__still_end(m);
	if (known && end != first)
		trace_demolished(m, first, end, node);
}
