/* SPDX-License-Identifier: MIT */
/*
 * recovery.c - end the change that a killed thread left half done: roll it forward, or back.
 *
 * If its commit had begun it is rolled forward, else back: blocks are as after the change, or as
 * before it. First everything that can be derived is recomputed: upper levels of sets, runs,
 * checksums, what zones count. The rest is in the log, which the change wrote before each step
 * (work.h). Every step here can be repeated, because this thread may be killed as well; listeners
 * may hear of one range twice.
 *
 * When a page was moving, only its owner knows which of two frames it has. The owner that the
 * caller names has put its pages in order already; any other is asked about each page, and if it
 * cannot be asked, the change stays as it is. Must not know: who was killed.
 */
#include "blocks/block.h"
#include "memmap/memmap.h"
#include "pages/attach.h"
#include "pages/walk.h"
#include "pages/zone.h"
#include "physical/physical.h"
#include "state/hotplug.h"
#include "state/runs.h"
#include "state/seal.h"
#include "state/trace.h"

/* ---- what can be derived ---- */

/* The runs of the blocks in the log come first: without them present blocks are not found. */
static void
repair_runs(struct mhp *m)
{
	struct mhp_blocks blocks = mhp__log_blocks(&m->work.log);

	mhp__bitset_mend(&m->leaving);
	mhp__bitset_mend(&m->removing);
	mhp__bitset_mend(&m->runs);
	if (atomic_load(&m->work.log.stage) != MHP_STAGE_NONE)
		mhp__runs_update(m, blocks);
	for (uint32_t b = 0; mhp__seek_present(m, &b); b++)
		mhp__runs_update(m, (struct mhp_blocks){ b, 1 });
}

static void
repair_slots(struct mhp *m)
{
	for (uint32_t b = 0; mhp__seek_present(m, &b); b++) {
		struct mhp__block *slot = &m->blocks[b];
		struct mhp__range range = mhp__block_usable(m, b);
		if (slot->state == MHP_OFFLINE)
			slot->zone = MHP_ZONE_DEFAULT;
		mhp__block_seal(slot);
		mhp__pages_repair(m, range.start_pfn, range.nr_pages);
	}
}

/* Blocks that are about to go offline count as online until then. */
static void
count_blocks(struct mhp *m)
{
	uint32_t present = 0, online = 0;
	uint64_t meta_pages = 0;

	for (uint32_t b = 0; mhp__seek_present(m, &b); b++) {
		const struct mhp__block *slot = &m->blocks[b];
		present++;
		online += slot->state == MHP_ONLINE || slot->state == MHP_GOING_OFFLINE;
		meta_pages += slot->meta_pages;
	}
	m->blocks_present = present;
	m->blocks_online = online;
	m->meta_bytes = meta_pages << m->geo.page_shift;
	m->generation_check = mhp__generation_checksum(m);
}

static void
recount(struct mhp *m)
{
	mhp__pages_recount(m);
	count_blocks(m);
	mhp__ranges_count(m);
}

/* ---- frames that nobody has ---- */

/* Room, and metadata of a block that has not got it, or not any more. */
static bool
is_stray(const struct mhp *m, const struct mhp__chunk *chunk)
{
	if (chunk->owner == MHP_OWNER_MEMMAP)
		return m->blocks[chunk->cookie].pages == NULL;
	return chunk->owner == MHP_OWNER_ROOM;
}

static void
free_if_stray(struct mhp *m, const struct mhp__chunk *chunk)
{
	if (!is_stray(m, chunk))
		return;
	mhp__page_end(mhp__pfn_to_page(m, chunk->pfn));
	mhp__zone_give_range(m, chunk->pfn, UINT64_C(1) << chunk->order);
}

/* Only an owner whose pages were moving knows which of two frames each page has. */
static void
ask_owner(struct mhp *m, const struct mhp__chunk *chunk)
{
	const struct mhp__owner *owner = &m->owners[chunk->owner];

	if (chunk->owner == atomic_load(&m->work.log.owner))
		owner->lost(owner->ctx, chunk->pfn, chunk->order, chunk->cookie);
}

static void
for_each_page(struct mhp *m, void (*visit)(struct mhp *m, const struct mhp__chunk *chunk))
{
	for (uint32_t b = 0; mhp__seek_present(m, &b); b++) {
		struct mhp__range range = mhp__block_usable(m, b);
		const struct mhp__chunk *chunk;
		struct mhp__walk walk;
		mhp__walk_begin(&walk, range.start_pfn, range.nr_pages);
		while ((chunk = mhp__walk_next(m, &walk)) != NULL)
			visit(m, chunk);
	}
}

/* Frames of [*first, *end) without a descriptor become room: then they are found by their owner, as
 * often as it takes. */
static void
adopt(struct mhp *m, _Atomic uint64_t *first, _Atomic uint64_t *end)
{
	uint64_t pfn = atomic_load(first), end_pfn = atomic_load(end);
	const struct mhp__chunk *chunk;
	struct mhp__walk walk;

	mhp__walk_begin(&walk, pfn, end_pfn > pfn ? end_pfn - pfn : 0);
	while ((chunk = mhp__walk_next(m, &walk)) != NULL)
		if (chunk->owner == MHP_OWNER_NONE)
			mhp__page_begin(mhp__pfn_to_page(m, chunk->pfn), MHP_OWNER_ROOM, 0, 0);
	mhp__log(end, 0);
}

/* Frames of a page that has moved, and of room that was being split. */
static void
adopt_rest(struct mhp *m)
{
	struct mhp__log *log = &m->work.log;

	adopt(m, &log->giving_pfn, &log->giving_end);
	for (unsigned order = 0; order < MHP_ORDERS; order++)
		adopt(m, &log->room_pfn[order], &log->room_end[order]);
}

/* ---- roll back ---- */

static void
open_all(struct mhp *m)
{
	for (uint32_t b = 0; mhp__seek_present(m, &b); b++) {
		struct mhp__range range = mhp__block_usable(m, b);
		if (m->blocks[b].state == MHP_ONLINE)
			mhp__pages_open(m, range.start_pfn, range.nr_pages);
	}
}

/* Remove the blocks that the change has added: they are younger than it. */
static void
remove_new(struct mhp *m)
{
	uint64_t generation = atomic_load(&m->work.log.generation);

	for (uint32_t b = 0; mhp__seek_present(m, &b); b++)
		if (m->blocks[b].generation > generation)
			mhp__remove_blocks(m, (struct mhp_blocks){ b, 1 }, false);
}

static void
roll_back(struct mhp *m)
{
	mhp__leaving_roll_back(m);
	open_all(m);
	mhp__online_roll_back(m);
	remove_new(m);
}

/* ---- roll forward ---- */

static void
roll_forward(struct mhp *m)
{
	mhp__online_roll_forward(m);
	mhp__leaving_roll_forward(m);
}

/* ---- the call ---- */

static void
end_change(struct mhp *m, bool asks)
{
	struct mhp__log *log = &m->work.log;

	if (atomic_load(&m->still) != 0)
		mhp__still_end(m);
	mhp__work_resume(m);
	mhp__phase_end(m);
	repair_runs(m);
	repair_slots(m);
	recount(m);
	if (asks)
		for_each_page(m, ask_owner);
	adopt_rest(m);
	for_each_page(m, free_if_stray);
	if (atomic_load(&log->stage) == MHP_STAGE_MEMORY)
		mhp__demolish_rest(m, mhp__log_blocks(log), atomic_load(&log->scrub) != 0);
	if (atomic_load(&log->committing) != 0)
		roll_forward(m);
	else
		roll_back(m);
	mhp__leaving_clear(m);
	mhp__work_end(m);
}

int
mhp_change_lost(struct mhp *m, uint16_t owner)
{
	uint64_t moving;
	bool other;
	int err = 0;

	if (!MHP__THREADS_DIE)
		return MHP_EOWNERDEAD; /* the change wrote no log */
	if (!mhp__hotplug_take_over(m))
		return 0;
	moving = atomic_load(&m->work.log.owner);
	other = moving != MHP_OWNER_NONE && moving != owner;
	if (other && m->owners[moving].lost == NULL) {
		err = MHP_EOWNERDEAD;
	} else {
		end_change(m, other);
		atomic_store(&m->change_lost, 0);
	}
	mhp__hotplug_unlock(m);
	return err;
}
