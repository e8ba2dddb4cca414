/* SPDX-License-Identifier: MIT */
/*
 * model.c - the reference model. Whatever can be found by looking at all frames is found so.
 *
 * Verdicts do not know in which order the engine looks for what is wrong with a call: they name
 * every reason that there is, and any of them will do. The one thing kept twice is the number of
 * free frames of a block, so that large machines can be compared at each step too; a full compare
 * counts again.
 */
#include "model.h"

#include <stdlib.h>

/* ---- verdicts ---- */

void
model_must(struct model_verdict *verdict, int error)
{
	CHECK(verdict->nr_must < MODEL_ERRORS_MAX);
	verdict->must[verdict->nr_must++] = error;
}

void
model_may(struct model_verdict *verdict, int error)
{
	CHECK(verdict->nr_may < MODEL_ERRORS_MAX);
	verdict->may[verdict->nr_may++] = error;
}

static bool
is_among(const int *errors, unsigned nr, int error)
{
	for (unsigned i = 0; i < nr; i++)
		if (errors[i] == error)
			return true;
	return false;
}

void
model_judge(const struct model_verdict *verdict, const char *call, int error)
{
	if (error == 0 && verdict->nr_must == 0)
		return;
	if (is_among(verdict->must, verdict->nr_must, error) ||
	    is_among(verdict->may, verdict->nr_may, error))
		return;
	FAIL("%s returned %d (%s), the model says %s%s, %s", call, error, test_error_name(error),
	     verdict->nr_must != 0 ? "it must fail: " : "",
	     verdict->nr_must != 0 ? test_error_name(verdict->must[0]) : "it succeeds",
	     verdict->nr_may != 0 ? "or for some other reasons" : "and nothing else");
}

/* Verdict of a call that succeeds if @error is 0, else fails with it. */
static void
judge_exactly(const char *call, int returned, int error)
{
	if (returned != error)
		FAIL("%s returned %d (%s), the model says %d (%s)", call, returned,
		     test_error_name(returned), error, test_error_name(error));
}

/* ---- shape ---- */

size_t
model_bytes(const struct mhp_geometry *geo)
{
	uint64_t nr_frames = (uint64_t)geo->nr_blocks << geo->block_order;

	return sizeof(struct model) + (size_t)nr_frames * sizeof(struct model_frame);
}

static void
init_metadata(struct model *model, const struct mhp_config *config)
{
	uint64_t pageblock = UINT64_C(1) << model->geo.pageblock_order;
	uint64_t bitmap_bytes = model->block_pages / pageblock * 8 *
				(pageblock <= 64 ? 1 : pageblock / 64);
	uint64_t heads = model->block_pages / pageblock; /* their descriptors stand apart */
	uint64_t bytes = (model->block_pages + heads) * MHP_PAGE_BYTES + bitmap_bytes;

	model->metadata_pages = (uint32_t)((bytes + model->page_bytes - 1) / model->page_bytes);
	model->waste_bytes = (uint32_t)(model->metadata_pages * model->page_bytes - bytes);
	model->reserve_pages = model->metadata_pages;
	if (MHP_VMEMMAP)
		model->reserve_pages += config->caps.tables_per_block;
	model->can_self_host = model->reserve_pages < model->block_pages;
	model->granule_shift = config->caps.granule_shift;
}

void
model_init(struct model *model, const struct mhp_config *config, uint64_t external_budget)
{
	memset(model, 0, model_bytes(&config->geometry));
	CHECK(config->geometry.nr_blocks <= MODEL_BLOCKS_MAX);
	CHECK(config->geometry.nr_bad_pages <= MODEL_BAD_MAX);
	CHECK_EQ(config->caps.large_granule_shift, 0);
	model->geo = config->geometry;
	model->block_pages = UINT64_C(1) << model->geo.block_order;
	model->page_bytes = UINT64_C(1) << model->geo.page_shift;
	model->max_pfn = model->geo.nr_blocks * model->block_pages;
	model->external_budget = external_budget;
	model->memmap_switch = MHP_MEMMAP_ON;
	model->policy = (struct mhp_policy)MHP_POLICY_DEFAULT;
	init_metadata(model, config);
}

static uint32_t
block_of(const struct model *model, uint64_t pfn)
{
	return (uint32_t)(pfn / model->block_pages);
}

static uint64_t
usable_start(const struct model *model, uint32_t block)
{
	return block * model->block_pages + model->blocks[block].reserve;
}

static uint64_t
block_end(const struct model *model, uint32_t block)
{
	return (block + 1) * model->block_pages;
}

static uint64_t
usable_pages(const struct model *model, uint32_t block)
{
	return model->block_pages - model->blocks[block].reserve;
}

static bool
is_in_zone(const struct model_block *block, unsigned node, unsigned kind)
{
	return block->state == MHP_ONLINE && block->node == node && block->zone == kind;
}

int
model_blocks_check(const struct model *model, struct mhp_blocks blocks)
{
	if (blocks.count == 0)
		return MHP_EINVAL;
	return (uint64_t)blocks.first + blocks.count > model->geo.nr_blocks ? MHP_ENXIO : 0;
}

/* ---- frames ---- */

static bool
is_free(const struct model *model, uint64_t pfn)
{
	return pfn < model->max_pfn && model->blocks[block_of(model, pfn)].state == MHP_ONLINE &&
	       model->frames[pfn].kind == MODEL_FREE;
}

static bool
is_free_run(const struct model *model, uint64_t pfn, uint64_t nr_pages)
{
	for (uint64_t i = 0; i < nr_pages; i++)
		if (!is_free(model, pfn + i))
			return false;
	return true;
}

/* Make [pfn, pfn + (1 << order)) one page. */
static void
put_page(struct model *model, uint64_t pfn, unsigned order, unsigned owner, uint64_t cookie)
{
	for (uint64_t i = 0; i < UINT64_C(1) << order; i++)
		model->frames[pfn + i] = (struct model_frame){ .kind = MODEL_TAIL };
	model->frames[pfn] = (struct model_frame){ cookie, (uint16_t)owner, (uint8_t)order,
						   MODEL_HEAD };
	model->blocks[block_of(model, pfn)].nr_free -= UINT64_C(1) << order;
}

static void
clear_page(struct model *model, uint64_t pfn)
{
	uint64_t nr_pages = UINT64_C(1) << model->frames[pfn].order;

	for (uint64_t i = 0; i < nr_pages; i++)
		model->frames[pfn + i] = (struct model_frame){ .kind = MODEL_FREE };
	model->blocks[block_of(model, pfn)].nr_free += nr_pages;
}

uint64_t
model_head(const struct model *model, uint64_t pfn)
{
	if (pfn >= model->max_pfn || model->blocks[block_of(model, pfn)].state != MHP_ONLINE)
		return MHP_PFN_NONE;
	while (model->frames[pfn].kind == MODEL_TAIL)
		pfn--;
	return model->frames[pfn].kind == MODEL_HEAD ? pfn : MHP_PFN_NONE;
}

static bool
is_movable(const struct model *model, unsigned owner)
{
	return (model->movable_owners >> owner & 1) != 0;
}

static bool
is_refused(const struct model *model, const struct model_frame *frame)
{
	return model->refuses != NULL &&
	       model->refuses(model->refuses_ctx, frame->owner, frame->cookie);
}

bool
model_is_bad(const struct model *model, uint64_t pfn)
{
	for (uint32_t i = 0; i < model->nr_bad; i++)
		if (model->bad[i] == pfn)
			return true;
	return false;
}

/* Is there a free page of that order in this block, naturally aligned? */
static bool
has_free_page(const struct model *model, uint32_t block, unsigned order)
{
	uint64_t step = UINT64_C(1) << order;

	if (model->blocks[block].nr_free < step)
		return false;
	for (uint64_t pfn = block * model->block_pages; pfn < block_end(model, block); pfn += step)
		if (is_free_run(model, pfn, step))
			return true;
	return false;
}

/* ---- add ---- */

#define ALL_FLAGS                                                                                  \
	(MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_MEMMAP_ON_NODE | MHP_ADD_BOOT |           \
	 MHP_ADD_ZEROED | MHP_ADD_TEST | MHP_ADD_ONLINE | MHP_ADD_OFFLINE)

static bool
flags_contradict(uint32_t flags)
{
	bool self = (flags & MHP_MEMMAP_ON_MEMORY) != 0;

	return (flags & ~(uint32_t)ALL_FLAGS) != 0 ||
	       (!self && (flags & MHP_MEMMAP_REQUIRE) != 0) ||
	       (self && (flags & (MHP_MEMMAP_ON_NODE | MHP_ADD_BOOT)) != 0) ||
	       ((flags & MHP_ADD_ONLINE) != 0 && (flags & MHP_ADD_OFFLINE) != 0);
}

static bool
has_bad_reserve(const struct model *model, uint32_t block)
{
	for (uint32_t i = 0; i < model->nr_bad; i++)
		if (block_of(model, model->bad[i]) == block &&
		    model->bad[i] % model->block_pages < model->reserve_pages)
			return true;
	return false;
}

static enum mhp_memmap_reason
why_this_placement(const struct model *model, uint32_t block, uint32_t flags)
{
	if ((flags & MHP_ADD_BOOT) != 0)
		return MHP_MEMMAP_BOOT;
	if ((flags & MHP_MEMMAP_ON_NODE) != 0)
		return MHP_MEMMAP_NOT_ASKED;
	if ((flags & MHP_MEMMAP_ON_MEMORY) == 0 && model->memmap_switch != MHP_MEMMAP_FORCE)
		return MHP_MEMMAP_NOT_ASKED;
	if (model->memmap_switch == MHP_MEMMAP_OFF)
		return MHP_MEMMAP_SWITCHED_OFF;
	if (!model->can_self_host)
		return MHP_MEMMAP_NO_USABLE_PAGE;
	return has_bad_reserve(model, block) ? MHP_MEMMAP_BAD_PAGE : MHP_MEMMAP_OK;
}

/* How many blocks host their own metadata? */
static uint32_t
nr_self(const struct model *model, struct mhp_blocks blocks, uint32_t flags)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < blocks.count; i++)
		nr += why_this_placement(model, blocks.first + i, flags) == MHP_MEMMAP_OK;
	return nr;
}

/* Why the first of the others does not; MHP_MEMMAP_OK: there are none. */
static enum mhp_memmap_reason
why_not_all(const struct model *model, struct mhp_blocks blocks, uint32_t flags)
{
	enum mhp_memmap_reason reason = MHP_MEMMAP_OK;

	for (uint32_t i = 0; i < blocks.count && reason == MHP_MEMMAP_OK; i++)
		reason = why_this_placement(model, blocks.first + i, flags);
	return reason;
}

static enum mhp_placement
placement_of(enum mhp_memmap_reason reason, uint32_t flags)
{
	if (reason == MHP_MEMMAP_OK)
		return MHP_PLACE_SELF;
	return (flags & MHP_MEMMAP_ON_NODE) != 0 ? MHP_PLACE_NODE : MHP_PLACE_EXTERNAL;
}

/* How many runs of nr_pages frames, one behind the other, has the node's NORMAL zone? */
static uint64_t
nr_runs(const struct model *model, unsigned node, uint64_t nr_pages)
{
	uint64_t run = 0, nr = 0;

	for (uint64_t pfn = 0; pfn < model->max_pfn; pfn++) {
		const struct model_block *block = &model->blocks[block_of(model, pfn)];
		if (!is_in_zone(block, node, MHP_ZONE_NORMAL)) {
			run = 0;
			pfn = block_end(model, block_of(model, pfn)) - 1;
			continue;
		}
		run = model->frames[pfn].kind == MODEL_FREE ? run + 1 : 0;
		nr += run == nr_pages;
		run = run == nr_pages ? 0 : run;
	}
	return nr;
}

static void
metadata_verdict(const struct model *model, struct mhp_blocks blocks,
		 const struct mhp_add_opts *opts, struct model_verdict *verdict)
{
	enum mhp_memmap_reason reason = why_not_all(model, blocks, opts->flags);
	uint64_t bytes = (blocks.count - nr_self(model, blocks, opts->flags)) *
			 model->metadata_pages * model->page_bytes;

	if ((opts->flags & MHP_MEMMAP_REQUIRE) != 0 && reason != MHP_MEMMAP_OK) {
		model_must(verdict, reason == MHP_MEMMAP_SWITCHED_OFF ? MHP_EPERM :
				    reason == MHP_MEMMAP_BAD_PAGE ? MHP_EHWPOISON : MHP_EOPNOTSUPP);
	} else if (placement_of(reason, opts->flags) == MHP_PLACE_EXTERNAL) {
		if (model->external_used + bytes > model->external_budget)
			model_must(verdict, MHP_ENOMEM);
	} else if (placement_of(reason, opts->flags) == MHP_PLACE_NODE) {
		/* Where the first block's lie is up to what caches hold, and may be in the way. */
		if (nr_runs(model, opts->metadata_node, model->metadata_pages) < blocks.count)
			model_must(verdict, MHP_ENOMEM);
		else if (blocks.count > 1)
			model_may(verdict, MHP_ENOMEM);
	}
}

void
model_add_verdict(const struct model *model, struct mhp_blocks blocks,
		  const struct mhp_add_opts *opts, struct model_verdict *verdict)
{
	bool on_node = (opts->flags & MHP_MEMMAP_ON_NODE) != 0;
	int error = model_blocks_check(model, blocks);
	bool nodes_are_good = opts->node < model->geo.nr_nodes &&
			      (!on_node || opts->metadata_node < model->geo.nr_nodes);

	if (error != 0)
		model_must(verdict, error);
	if (flags_contradict(opts->flags))
		model_must(verdict, MHP_EINVAL);
	if (!nodes_are_good)
		model_must(verdict, MHP_ENODEV);
	for (uint32_t i = 0; i < blocks.count && error == 0; i++)
		if (model->blocks[blocks.first + i].state != MHP_ABSENT) {
			model_must(verdict, MHP_EEXIST);
			break;
		}
	if (verdict->nr_must == 0)
		metadata_verdict(model, blocks, opts, verdict);
}

/* Which frames did the engine take for the metadata of a block? */
static void
find_metadata(struct model *model, struct mhp *m, uint32_t block, unsigned node)
{
	uint64_t nr_found = 0, first = MHP_PFN_NONE;

	for (uint64_t pfn = 0; pfn < model->max_pfn; pfn++) {
		const struct model_block *host = &model->blocks[block_of(model, pfn)];
		if (!is_in_zone(host, node, MHP_ZONE_NORMAL) ||
		    model->frames[pfn].kind != MODEL_FREE)
			continue;
		struct mhp_frame frame = mhp_frame_peek(m, pfn);
		if (frame.state != MHP_FRAME_USED || frame.owner != MHP_OWNER_MEMMAP ||
		    frame.cookie != block)
			continue;
		first = nr_found == 0 ? pfn : first;
		CHECK_EQ(pfn, first + nr_found);
		CHECK(is_free_run(model, pfn, UINT64_C(1) << frame.order));
		put_page(model, pfn, frame.order, MHP_OWNER_MEMMAP, block);
		nr_found += UINT64_C(1) << frame.order;
	}
	CHECK_EQ(nr_found, model->metadata_pages);
}

static void
add_block(struct model *model, struct mhp *m, uint32_t block, const struct mhp_add_opts *opts)
{
	enum mhp_memmap_reason reason = why_this_placement(model, block, opts->flags);
	enum mhp_placement placement = placement_of(reason, opts->flags);
	struct model_block *slot = &model->blocks[block];

	*slot = (struct model_block){
		.state = MHP_OFFLINE,
		.node = opts->node,
		.metadata_node = opts->node,
		.placement = (uint8_t)placement,
		.boot = (opts->flags & MHP_ADD_BOOT) != 0,
		.backing = opts->backing,
		.add = model->nr_adds,
	};
	if (placement == MHP_PLACE_SELF)
		slot->reserve = model->reserve_pages;
	if (placement == MHP_PLACE_EXTERNAL)
		model->external_used += model->metadata_pages * model->page_bytes;
	for (uint32_t i = 0; i < slot->reserve; i++)
		model->frames[block * model->block_pages + i].kind = MODEL_RESERVE;
	if (placement == MHP_PLACE_NODE) {
		slot->metadata_node = opts->metadata_node;
		if (m != NULL)
			find_metadata(model, m, block, opts->metadata_node);
	}
}

void
model_pretend_add(struct model *model, struct mhp_blocks blocks, const struct mhp_add_opts *opts)
{
	int error = model_blocks_check(model, blocks);

	CHECK_EQ(error, 0);
	model->nr_adds++;
	for (uint32_t i = 0; i < blocks.count; i++)
		add_block(model, NULL, blocks.first + i, opts);
}

void
model_add_done(struct model *model, struct mhp *m, struct mhp_blocks blocks,
	       const struct mhp_add_opts *opts, const struct mhp_add_answer *answer)
{
	int error = model_blocks_check(model, blocks);
	enum mhp_memmap_reason reason = why_not_all(model, blocks, opts->flags);
	uint32_t self = nr_self(model, blocks, opts->flags);

	CHECK_EQ(error, 0);
	model->nr_adds++;
	for (uint32_t i = 0; i < blocks.count; i++)
		add_block(model, m, blocks.first + i, opts);
	if (answer == NULL)
		return;
	CHECK_EQ(answer->blocks.first, blocks.first);
	CHECK_EQ(answer->blocks.count, blocks.count);
	CHECK_EQ(answer->nr_self, self);
	CHECK_EQ(answer->placement, placement_of(reason, opts->flags));
	CHECK_EQ(answer->reason, reason);
	CHECK_EQ(answer->nr_vmemmap_pages, self != 0 ? model->reserve_pages : 0);
	CHECK_EQ(answer->metadata_node, model->blocks[blocks.first].metadata_node);
}

/* ---- zones ---- */

void
model_zone(const struct model *model, unsigned node, unsigned kind, struct mhp_zone_info *ret_info)
{
	uint64_t end = 0;

	*ret_info = (struct mhp_zone_info){ 0 };
	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		const struct model_block *block = &model->blocks[i];
		if (!is_in_zone(block, node, kind))
			continue;
		if (ret_info->nr_blocks++ == 0)
			ret_info->start_pfn = usable_start(model, i);
		end = block_end(model, i);
		ret_info->present += usable_pages(model, i);
		ret_info->managed += usable_pages(model, i);
		ret_info->free += block->nr_free;
	}
	/* A bad frame that was taken stays so when it is forgotten, but counts as managed again. */
	for (uint64_t pfn = ret_info->start_pfn; pfn < end; pfn++) {
		if (!is_in_zone(&model->blocks[block_of(model, pfn)], node, kind))
			pfn = block_end(model, block_of(model, pfn)) - 1;
		else if (model->frames[pfn].owner == MHP_OWNER_BAD && model_is_bad(model, pfn))
			ret_info->managed--;
	}
	ret_info->spanned = end - ret_info->start_pfn;
}

static unsigned
node_states(const struct model *model, unsigned node)
{
	unsigned states = 0;

	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		if (is_in_zone(&model->blocks[i], node, MHP_ZONE_NORMAL))
			states |= MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_NORMAL;
		if (is_in_zone(&model->blocks[i], node, MHP_ZONE_MOVABLE))
			states |= MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_MOVABLE;
	}
	return states;
}

/* ---- which zone? ---- */

/* Whole blocks: boot blocks in NORMAL, and MOVABLE ones; those that are planned, too. */
struct amounts {
	uint64_t early, movable;
};

static uint8_t
zone_after(const struct model *model, uint32_t block, const struct model_online *planned)
{
	if (planned->zones[block] != 0)
		return planned->zones[block];
	return model->blocks[block].state == MHP_ONLINE ? model->blocks[block].zone : 0;
}

/* node: MHP_NODES_MAX means all. */
static struct amounts
amounts_on(const struct model *model, unsigned node, const struct model_online *planned)
{
	struct amounts sum = { 0, 0 };

	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		uint8_t zone = zone_after(model, i, planned);
		if (node != MHP_NODES_MAX && model->blocks[i].node != node)
			continue;
		sum.early += zone == MHP_ZONE_NORMAL && model->blocks[i].boot;
		sum.movable += zone == MHP_ZONE_MOVABLE;
	}
	return sum;
}

static bool
keeps_ratio(const struct model *model, struct amounts now, uint64_t nr_blocks)
{
	return (now.movable + nr_blocks) * 100 <= now.early * model->policy.auto_movable_ratio;
}

static bool
movable_fits(const struct model *model, unsigned node, uint64_t nr_blocks,
	     const struct model_online *planned)
{
	return keeps_ratio(model, amounts_on(model, MHP_NODES_MAX, planned), nr_blocks) &&
	       (!model->policy.auto_movable_numa_aware ||
		keeps_ratio(model, amounts_on(model, node, planned), nr_blocks));
}

/* All blocks that one add has brought go to MOVABLE, or those that are left to NORMAL. */
static bool
group_goes_movable(const struct model *model, uint32_t block, const struct model_online *planned)
{
	uint64_t nr_left = 0;

	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		if (model->blocks[i].state == MHP_ABSENT ||
		    model->blocks[i].add != model->blocks[block].add)
			continue;
		if (zone_after(model, i, planned) == MHP_ZONE_NORMAL)
			return false;
		nr_left += zone_after(model, i, planned) != MHP_ZONE_MOVABLE;
	}
	return movable_fits(model, model->blocks[block].node, nr_left, planned);
}

static bool
is_spanned(const struct model *model, unsigned node, unsigned kind, uint32_t block)
{
	uint64_t start = UINT64_MAX, end = 0;

	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		if (!is_in_zone(&model->blocks[i], node, kind))
			continue;
		start = start == UINT64_MAX ? usable_start(model, i) : start;
		end = block_end(model, i);
	}
	return usable_start(model, block) < end && start < block_end(model, block);
}

static uint8_t
choose_zone(const struct model *model, uint32_t block, const struct model_online *planned)
{
	unsigned node = model->blocks[block].node;
	bool movable;

	if (model->policy.online_policy == MHP_POLICY_AUTO_MOVABLE)
		movable = group_goes_movable(model, block, planned);
	else
		movable = is_spanned(model, node, MHP_ZONE_MOVABLE, block) &&
			  !is_spanned(model, node, MHP_ZONE_NORMAL, block);
	return movable ? MHP_ZONE_MOVABLE : MHP_ZONE_NORMAL;
}

/* ---- online ---- */

static void
state_verdict(const struct model *model, uint32_t block, struct model_verdict *verdict)
{
	if (model->blocks[block].state == MHP_ABSENT)
		model_must(verdict, MHP_ENOENT);
	else if (model->blocks[block].state != MHP_OFFLINE)
		model_must(verdict, MHP_EBUSY);
}

static bool
has_hole(const struct model *model, uint32_t block)
{
	uint64_t start = usable_start(model, block) * model->page_bytes;
	uint64_t end = block_end(model, block) * model->page_bytes;

	return model->hole.size != 0 && model->hole.start.addr < end &&
	       start < model->hole.start.addr + model->hole.size;
}

/* Nothing is wrong with the block itself: what zone? */
static void
zone_verdict(const struct model *model, uint32_t block, unsigned zone,
	     struct model_online *planned, struct model_verdict *verdict)
{
	if (zone == MHP_ZONE_DEFAULT)
		zone = choose_zone(model, block, planned);
	else if (zone == MHP_ZONE_MOVABLE && model->policy.strict &&
		 !movable_fits(model, model->blocks[block].node, 1, planned))
		model_must(verdict, MHP_EPERM);
	planned->zones[block] = (uint8_t)zone;
}

static bool
are_in_range(const struct model *model, struct mhp_blocks blocks)
{
	return blocks.count != 0 && blocks.first < model->geo.nr_blocks &&
	       blocks.count <= model->geo.nr_blocks - blocks.first;
}

void
model_online_verdict(const struct model *model, struct mhp_blocks blocks, unsigned zone,
		     struct model_online *planned, struct model_verdict *verdict)
{
	bool good = are_in_range(model, blocks);
	struct model_verdict first = { 0 };

	if (!good)
		model_must(verdict, blocks.count == 0 ? MHP_EINVAL : MHP_ENXIO);
	if (zone > MHP_ZONE_MOVABLE)
		model_must(verdict, MHP_EINVAL);
	for (uint32_t i = 0; good && i < blocks.count && first.nr_must == 0; i++)
		state_verdict(model, blocks.first + i, &first);
	for (uint32_t i = 0; i < blocks.count && first.nr_must == 0 && verdict->nr_must == 0; i++) {
		zone_verdict(model, blocks.first + i, zone, planned, &first);
		if (has_hole(model, blocks.first + i) && first.nr_must == 0)
			model_must(&first, MHP_EINVAL);
	}
	for (unsigned i = 0; i < first.nr_must; i++)
		model_must(verdict, first.must[i]);
}

void
model_online_done(struct model *model, struct mhp_blocks blocks,
		  const struct model_online *planned)
{
	for (uint32_t i = blocks.first; i < blocks.first + blocks.count; i++) {
		struct model_block *block = &model->blocks[i];
		block->state = MHP_ONLINE;
		block->zone = planned->zones[i];
		block->nr_free = usable_pages(model, i);
		for (uint32_t k = 0; k < model->nr_bad; k++)
			if (model->bad[k] >= usable_start(model, i) &&
			    model->bad[k] < block_end(model, i))
				put_page(model, model->bad[k], 0, MHP_OWNER_BAD, 0);
	}
}

/* ---- blocks that leave ---- */

void
model_mark_leaving(struct model *model, struct mhp_blocks blocks, bool online_only,
		   struct model_verdict *verdict)
{
	if (!are_in_range(model, blocks)) {
		model_must(verdict, blocks.count == 0 ? MHP_EINVAL : MHP_ENXIO);
		return;
	}
	for (uint32_t i = 0; i < blocks.count && verdict->nr_must == 0; i++) {
		struct model_block *block = &model->blocks[blocks.first + i];
		if (block->leaving)
			model_must(verdict, MHP_EINVAL);
		else if (block->state == MHP_ABSENT)
			model_must(verdict, MHP_ENOENT);
		else if (block->state != MHP_ONLINE && online_only)
			model_must(verdict, MHP_EBUSY);
		else
			block->leaving = true;
		block->removing = block->leaving && !online_only;
	}
}

void
model_mark_present(struct model *model, struct mhp_blocks blocks, struct model_verdict *verdict)
{
	int error = model_blocks_check(model, blocks);
	bool found = false;

	if (error != 0)
		model_must(verdict, error);
	for (uint32_t i = 0; i < blocks.count && verdict->nr_must == 0; i++) {
		if (model->blocks[blocks.first + i].state == MHP_ABSENT)
			continue;
		found = true;
		model_mark_leaving(model, (struct mhp_blocks){ blocks.first + i, 1 }, false,
				   verdict);
	}
	if (!found && verdict->nr_must == 0)
		model_must(verdict, MHP_ENOENT);
}

void
model_unmark(struct model *model)
{
	for (uint32_t i = 0; i < model->geo.nr_blocks; i++)
		model->blocks[i].leaving = model->blocks[i].removing = false;
}

/* What is in the way in the marked blocks, in order of frames. */
struct obstacles {
	uint64_t nr_of_order[MHP_ORDERS];
	uint64_t nr_movable, nr_unmovable, nr_bad;
	uint64_t first;            /* blocking page */
	enum mhp_cause cause;      /* of that */
	uint64_t blocking[MHP_OWNERS_MAX]; /* frames by owner */
};

static void
see_page(const struct model *model, uint64_t pfn, struct obstacles *seen)
{
	const struct model_frame *frame = &model->frames[pfn];
	uint64_t nr_pages = UINT64_C(1) << frame->order;
	bool movable = is_movable(model, frame->owner);

	if (frame->owner == MHP_OWNER_MEMMAP && model->blocks[frame->cookie].removing)
		return; /* goes before */
	if (frame->owner == MHP_OWNER_BAD) {
		seen->nr_bad += nr_pages;
		return;
	}
	seen->nr_movable += movable ? nr_pages : 0;
	seen->nr_unmovable += movable ? 0 : nr_pages;
	seen->nr_of_order[frame->order] += movable;
	if (movable && !is_refused(model, frame))
		return;
	if (seen->first == MHP_PFN_NONE) {
		seen->first = pfn;
		seen->cause = movable ? MHP_CAUSE_REFUSED : MHP_CAUSE_UNMOVABLE;
	}
	seen->blocking[frame->owner] += nr_pages;
}

static void
look_around(const struct model *model, struct obstacles *seen)
{
	memset(seen, 0, sizeof(*seen));
	seen->first = MHP_PFN_NONE;
	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		const struct model_block *block = &model->blocks[i];
		if (!block->leaving || block->state != MHP_ONLINE)
			continue;
		for (uint64_t pfn = usable_start(model, i); pfn < block_end(model, i); pfn++)
			if (model->frames[pfn].kind == MODEL_HEAD)
				see_page(model, pfn, seen);
	}
}

/* Free pages of an order where pages may move to: in all online blocks that stay. */
static uint64_t
nr_targets(const struct model *model, unsigned order)
{
	uint64_t nr = 0, step = UINT64_C(1) << order;

	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		if (model->blocks[i].state != MHP_ONLINE || model->blocks[i].leaving)
			continue;
		for (uint64_t pfn = i * model->block_pages; pfn < block_end(model, i); pfn += step)
			nr += is_free_run(model, pfn, step);
	}
	return nr;
}

/* Largest first, any choice of targets is as good as any other, since all are naturally aligned. */
static bool
has_room(const struct model *model, const uint64_t nr_of_order[MHP_ORDERS])
{
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		uint64_t need = 0;
		for (unsigned larger = order; larger < MHP_ORDERS; larger++)
			need += nr_of_order[larger] << (larger - order);
		if (need != 0 && nr_targets(model, order) < need)
			return false;
	}
	return true;
}

void
model_leave_verdict(const struct model *model, struct model_verdict *verdict)
{
	struct obstacles seen;

	look_around(model, &seen);
	if (seen.first != MHP_PFN_NONE)
		model_must(verdict, MHP_EBUSY);
	else if (!has_room(model, seen.nr_of_order))
		model_must(verdict, MHP_ENOMEM);
}

void
model_check_why(const struct model *model, int error, const struct mhp_why *why)
{
	struct obstacles seen;
	uint64_t nr_named = 0, nr_blocking = 0;

	look_around(model, &seen);
	CHECK_EQ(why->nr_movable, seen.nr_movable);
	CHECK_EQ(why->nr_unmovable, seen.nr_unmovable);
	CHECK_EQ(why->nr_bad, seen.nr_bad);
	if (error == MHP_ENOMEM)
		CHECK_EQ(why->cause, MHP_CAUSE_ROOM);
	if (error != MHP_EBUSY)
		return;
	CHECK_EQ(why->cause, seen.cause);
	CHECK_EQ(why->pfn, seen.first);
	CHECK_EQ(why->owner, model->frames[seen.first].owner);
	CHECK_EQ(why->order, model->frames[seen.first].order);
	CHECK_EQ(why->block, block_of(model, seen.first));
	for (unsigned i = 0; i < why->nr_owners; i++) {
		CHECK_EQ(why->owners[i].nr_pages, seen.blocking[why->owners[i].owner]);
		nr_named += why->owners[i].nr_pages;
	}
	for (unsigned i = 0; i < MHP_OWNERS_MAX; i++)
		nr_blocking += seen.blocking[i];
	if (!why->more_owners)
		CHECK_EQ(nr_named, nr_blocking);
	CHECK(why->nr_owners > 0 && why->owners[0].first_pfn == seen.first);
}

/* It is empty but for bad pages. */
static void
offline_done(struct model *model, uint32_t block)
{
	struct model_block *slot = &model->blocks[block];

	for (uint64_t pfn = usable_start(model, block); pfn < block_end(model, block); pfn++) {
		struct model_frame *frame = &model->frames[pfn];
		if (frame->kind != MODEL_FREE && frame->owner != MHP_OWNER_BAD)
			FAIL("block %u went offline, but pfn %" PRIu64 " is in use", block, pfn);
		*frame = (struct model_frame){ .kind = MODEL_FREE };
	}
	slot->state = MHP_OFFLINE;
	slot->zone = MHP_ZONE_DEFAULT;
	slot->nr_free = 0;
}

void
model_remove_done(struct model *model, uint32_t block)
{
	struct model_block *slot = &model->blocks[block];
	uint64_t start = block * model->block_pages;

	if (slot->placement == MHP_PLACE_EXTERNAL)
		model->external_used -= model->metadata_pages * model->page_bytes;
	for (uint64_t pfn = start; pfn < start + model->block_pages; pfn++)
		model->frames[pfn] = (struct model_frame){ .kind = MODEL_FREE };
	*slot = (struct model_block){ 0 };
}

/* The pages that held its metadata are free. */
static void
drop_metadata(struct model *model, uint32_t block)
{
	for (uint64_t pfn = 0; pfn < model->max_pfn; pfn++)
		if (model->frames[pfn].owner == MHP_OWNER_MEMMAP &&
		    model->frames[pfn].cookie == block)
			clear_page(model, pfn);
}

void
model_leave_done(struct model *model)
{
	for (uint32_t i = 0; i < model->geo.nr_blocks; i++)
		if (model->blocks[i].removing && model->blocks[i].placement == MHP_PLACE_NODE)
			drop_metadata(model, i);
	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		struct model_block *slot = &model->blocks[i];
		if (slot->leaving && slot->state == MHP_ONLINE)
			offline_done(model, i);
		slot->leaving = false;
		if (slot->removing)
			model_remove_done(model, i);
	}
}

/* ---- pages: allocate ---- */

static bool
names_node(struct mhp_page_req req)
{
	return (req.flags & (MHP_PAGE_THIS_NODE | MHP_PAGE_NODE)) != 0;
}

static bool
req_is_valid(const struct model *model, struct mhp_page_req req, unsigned order_max)
{
	return req.owner >= MHP_OWNER_FIRST && req.owner < MHP_OWNERS_MAX &&
	       (model->owners >> req.owner & 1) != 0 && req.order <= order_max &&
	       req.node < (names_node(req) ? model->geo.nr_nodes : 1) &&
	       (req.flags & ~(MHP_PAGE_THIS_NODE | MHP_PAGE_NODE)) == 0 &&
	       (req.zero[0] | req.zero[1] | req.zero[2]) == 0;
}

/* What a request that is not valid, or asks for no pages, is answered with. */
static int
bad_req_error(const struct model *model, struct mhp_page_req req, unsigned order_max)
{
	if (req_is_valid(model, req, order_max))
		return MHP_EINVAL;
	if (names_node(req))
		req.node = 0;
	return req_is_valid(model, req, order_max) ? MHP_ENODEV : MHP_EINVAL;
}

static unsigned
preferred_node(const struct model *model, struct mhp_page_req req)
{
	return names_node(req) ? req.node : model->cpu_node;
}

/* May a page of this request lie in this block? */
static bool
may_lie_in(const struct model *model, struct mhp_page_req req, uint32_t block)
{
	const struct model_block *slot = &model->blocks[block];

	if (slot->state != MHP_ONLINE || slot->leaving)
		return false;
	if (slot->zone == MHP_ZONE_MOVABLE && !is_movable(model, req.owner))
		return false;
	return (req.flags & MHP_PAGE_THIS_NODE) == 0 || slot->node == preferred_node(model, req);
}

/* Place of the block's zone in the order of preference: nearest node, MOVABLE before NORMAL. */
static unsigned
distance(const struct model *model, struct mhp_page_req req, uint32_t block)
{
	const struct model_block *slot = &model->blocks[block];
	unsigned nr = model->geo.nr_nodes;

	return (slot->node + nr - preferred_node(model, req)) % nr * 2 +
	       (slot->zone == MHP_ZONE_NORMAL);
}

void
model_alloc(struct model *model, struct mhp_page_req req, bool exact, int error, uint64_t pfn)
{
	uint32_t at = error == 0 ? block_of(model, pfn) : 0;

	if (!req_is_valid(model, req, model->geo.pageblock_order)) {
		judge_exactly("mhp_page_alloc()", error,
			      bad_req_error(model, req, model->geo.pageblock_order));
		return;
	}
	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		bool nearer = error == 0 && exact &&
			      distance(model, req, i) < distance(model, req, at);
		if ((error != 0 || nearer) && may_lie_in(model, req, i) &&
		    has_free_page(model, i, req.order))
			FAIL("mhp_page_alloc() returned %d, pfn %" PRIu64 ", but block %u has a "
			     "page of order %u", error, pfn, i, req.order);
	}
	if (error != 0) {
		judge_exactly("mhp_page_alloc()", error, MHP_ENOMEM);
		return;
	}
	CHECK(pfn % (UINT64_C(1) << req.order) == 0);
	CHECK(is_free_run(model, pfn, UINT64_C(1) << req.order));
	CHECK(may_lie_in(model, req, at));
	put_page(model, pfn, req.order, req.owner, req.cookie);
}

static bool
is_contig(const struct model *model, struct mhp_page_req req, uint64_t pfn, uint64_t nr_pages)
{
	for (uint64_t i = 0; i < nr_pages; i++) {
		if (!is_free(model, pfn + i) || !may_lie_in(model, req, block_of(model, pfn + i)))
			return false;
		/* All in one zone. */
		if (distance(model, req, block_of(model, pfn + i)) !=
		    distance(model, req, block_of(model, pfn)))
			return false;
	}
	return true;
}

void
model_alloc_contig(struct model *model, struct mhp_page_req req, uint64_t nr_pages, int error,
		   uint64_t pfn)
{
	uint64_t align = UINT64_C(1) << (req.order < 63 ? req.order : 0);

	if (!req_is_valid(model, req, model->geo.block_order) || nr_pages == 0) {
		judge_exactly("mhp_pages_alloc_contig()", error,
			      bad_req_error(model, req, model->geo.block_order));
		return;
	}
	for (uint64_t at = 0; error != 0 && at < model->max_pfn; at += align)
		if (is_contig(model, req, at, nr_pages))
			FAIL("mhp_pages_alloc_contig() returned %d but %" PRIu64 " pages from %"
			     PRIu64 " are free", error, nr_pages, at);
	if (error != 0) {
		judge_exactly("mhp_pages_alloc_contig()", error, MHP_ENOMEM);
		return;
	}
	CHECK_EQ(pfn % align, 0);
	CHECK(is_contig(model, req, pfn, nr_pages));
	for (uint64_t end = pfn + nr_pages; pfn < end;) {
		unsigned order = model->geo.pageblock_order;
		while (pfn % (UINT64_C(1) << order) != 0 || end - pfn < UINT64_C(1) << order)
			order--;
		put_page(model, pfn, order, req.owner, req.cookie);
		pfn += UINT64_C(1) << order;
	}
}

/* ---- pages: free, change, move ---- */

/* What a call that needs the first frame of a page says to this one. */
static int
page_error(const struct model *model, uint64_t pfn)
{
	if (pfn == MHP_PFN_NONE || model_head(model, pfn) != pfn)
		return MHP_EINVAL;
	return model->frames[pfn].owner < MHP_OWNER_FIRST ? MHP_EBUSY : 0;
}

static bool
is_callers_page(const struct model *model, uint64_t pfn)
{
	return page_error(model, pfn) == 0;
}

void
model_free(struct model *model, uint64_t pfn, int error)
{
	judge_exactly("mhp_page_free()", error, page_error(model, pfn));
	if (error == 0)
		clear_page(model, pfn);
}

static int
free_contig_error(const struct model *model, uint64_t pfn, uint64_t nr_pages)
{
	if (nr_pages == 0 || pfn >= model->max_pfn || nr_pages > model->max_pfn - pfn)
		return MHP_EINVAL;
	for (uint64_t at = pfn; at < pfn + nr_pages;) {
		int error = page_error(model, at);
		if (error != 0)
			return error;
		at += UINT64_C(1) << model->frames[at].order;
		if (at > pfn + nr_pages)
			return MHP_EINVAL;
	}
	return 0;
}

void
model_free_contig(struct model *model, uint64_t pfn, uint64_t nr_pages, int error)
{
	judge_exactly("mhp_pages_free_contig()", error, free_contig_error(model, pfn, nr_pages));
	for (uint64_t at = pfn; error == 0 && at < pfn + nr_pages; at++)
		if (model->frames[at].kind == MODEL_HEAD)
			clear_page(model, at);
}

void
model_split(struct model *model, uint64_t pfn, int error)
{
	judge_exactly("mhp_page_split()", error, page_error(model, pfn));
	if (error != 0)
		return;
	struct model_frame head = model->frames[pfn];
	clear_page(model, pfn);
	for (uint64_t i = 0; i < UINT64_C(1) << head.order; i++)
		put_page(model, pfn + i, 0, head.owner, head.cookie);
}

void
model_set_cookie(struct model *model, uint64_t pfn, uint64_t cookie, int error)
{
	judge_exactly("mhp_page_set_cookie()", error, page_error(model, pfn));
	if (error == 0)
		model->frames[pfn].cookie = cookie;
}

void
model_move(struct model *model, uint64_t src_pfn, uint64_t dst_pfn, unsigned order)
{
	uint64_t nr_pages = UINT64_C(1) << order;

	CHECK(is_callers_page(model, src_pfn));
	struct model_frame head = model->frames[src_pfn];
	CHECK_EQ(head.order, order);
	CHECK(is_movable(model, head.owner));
	CHECK_EQ(dst_pfn % nr_pages, 0);
	CHECK(is_free_run(model, dst_pfn, nr_pages));
	CHECK(!model->blocks[block_of(model, dst_pfn)].leaving);
	put_page(model, dst_pfn, order, head.owner, head.cookie);
	clear_page(model, src_pfn);
	model->nr_moved += nr_pages;
}

/* ---- memory errors ---- */

static bool
is_online_frame(const struct model *model, uint64_t pfn)
{
	return model->blocks[block_of(model, pfn)].state == MHP_ONLINE;
}

/* Is there a place for a page, outside of its own pageblock? */
static bool
has_room_elsewhere(const struct model *model, uint64_t pfn, unsigned order)
{
	uint64_t step = UINT64_C(1) << order;

	for (uint64_t at = 0; at < model->max_pfn; at += step)
		if (at >> model->geo.pageblock_order != pfn >> model->geo.pageblock_order &&
		    is_free_run(model, at, step))
			return true;
	return false;
}

/* Is a frame that may be known to be bad in use, or free, all the same? */
static bool
is_left(const struct model *model, uint64_t pfn)
{
	uint64_t head = model_head(model, pfn);

	return is_online_frame(model, pfn) && model->frames[pfn].kind != MODEL_RESERVE &&
	       (head == MHP_PFN_NONE || model->frames[head].owner != MHP_OWNER_BAD);
}

void
model_bad_verdict(const struct model *model, uint64_t pfn, struct model_verdict *verdict)
{
	if (pfn >= model->max_pfn) {
		model_must(verdict, MHP_ENXIO);
	} else if (model_is_bad(model, pfn) && !is_left(model, pfn)) {
		model_must(verdict, MHP_EHWPOISON);
	} else if (!model_is_bad(model, pfn) && model->nr_bad == model->geo.nr_bad_pages) {
		model_must(verdict, MHP_ENOSPC);
	} else if (is_online_frame(model, pfn) && model->frames[pfn].kind == MODEL_RESERVE) {
		model_must(verdict, MHP_EBUSY);
	} else if (model_head(model, pfn) != MHP_PFN_NONE) {
		const struct model_frame *head = &model->frames[model_head(model, pfn)];
		bool room = has_room_elsewhere(model, pfn, head->order);
		if (head->owner == MHP_OWNER_BAD)
			return; /* forgotten, but still out of use */
		if (!is_movable(model, head->owner) || is_refused(model, head) || !room)
			model_must(verdict, MHP_EBUSY);
	}
}

void
model_bad_done(struct model *model, uint64_t pfn, int error)
{
	if (error != 0 && error != MHP_EBUSY && error != MHP_ECANCELED)
		return;
	if (!model_is_bad(model, pfn))
		model->bad[model->nr_bad++] = pfn;
	if (error == 0 && is_online_frame(model, pfn) &&
	    model->frames[pfn].owner != MHP_OWNER_BAD) {
		CHECK(is_free(model, pfn)); /* its page has moved */
		put_page(model, pfn, 0, MHP_OWNER_BAD, 0);
	}
}

void
model_bad_remove(struct model *model, uint64_t pfn, int error)
{
	judge_exactly("mhp_bad_remove()", error, pfn >= model->max_pfn ? MHP_ENXIO :
						 model_is_bad(model, pfn) ? 0 : MHP_ENOENT);
	for (uint32_t i = 0; i < model->nr_bad; i++)
		if (model->bad[i] == pfn) {
			model->bad[i] = model->bad[--model->nr_bad];
			break;
		}
}

/* ---- compare ---- */

static void
compare_zones(const struct model *model, struct mhp *m)
{
	for (unsigned node = 0; node < model->geo.nr_nodes; node++) {
		CHECK_EQ(mhp_node_states(m, node), node_states(model, node));
		for (unsigned kind = MHP_ZONE_NORMAL; kind <= MHP_ZONE_MOVABLE; kind++) {
			struct mhp_zone_info have, want;
			CHECK_OK(mhp_zone_get(m, node, (enum mhp_zone_kind)kind, &have));
			model_zone(model, node, kind, &want);
			CHECK_EQ(have.nr_blocks, want.nr_blocks);
			CHECK_EQ(have.start_pfn, want.start_pfn);
			CHECK_EQ(have.spanned, want.spanned);
			CHECK_EQ(have.present, want.present);
			CHECK_EQ(have.managed, want.managed);
			CHECK_EQ(have.free, want.free);
		}
	}
}

static void
compare_stats(const struct model *model, struct mhp *m)
{
	struct mhp_stats stats;
	uint32_t nr_present = 0, nr_online = 0;
	uint64_t metadata = 0;

	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		const struct model_block *block = &model->blocks[i];
		bool self = block->placement == MHP_PLACE_SELF;
		if (block->state == MHP_ABSENT)
			continue;
		nr_present++;
		nr_online += block->state == MHP_ONLINE;
		metadata += self ? model->reserve_pages : model->metadata_pages;
	}
	mhp_get_stats(m, &stats);
	CHECK_EQ(stats.blocks_present, nr_present);
	CHECK_EQ(stats.blocks_online, nr_online);
	CHECK_EQ(stats.metadata_bytes, metadata * model->page_bytes);
	CHECK_EQ(stats.waste_bytes, (uint64_t)nr_present * model->waste_bytes);
	CHECK_EQ(stats.bad_pages, model->nr_bad);
	CHECK_EQ(stats.pages_moved, model->nr_moved);
}

static uint32_t
nr_bad_in(const struct model *model, uint32_t block)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < model->nr_bad; i++)
		nr += block_of(model, model->bad[i]) == block;
	return nr;
}

static void
compare_metadata(const struct model *model, uint32_t block, const struct mhp_block_info *info)
{
	const struct model_block *slot = &model->blocks[block];
	bool self = slot->placement == MHP_PLACE_SELF;
	uint64_t pages = self ? model->reserve_pages : model->metadata_pages;
	uint64_t slice = model->block_pages * MHP_PAGE_BYTES;

	CHECK_EQ(info->placement, slot->placement);
	CHECK_EQ(info->metadata_node, slot->metadata_node);
	CHECK_EQ(info->metadata_bytes, pages * model->page_bytes);
	CHECK_EQ(info->nr_vmemmap_pages, slot->reserve);
	CHECK_EQ(info->waste_bytes, model->waste_bytes);
	CHECK_EQ(info->nr_large_mappings, 0);
	CHECK_EQ(info->nr_base_mappings, MHP_VMEMMAP ? slice >> model->granule_shift : 0);
	CHECK_EQ(info->altmap.base_pfn, self ? block * model->block_pages : 0);
	CHECK_EQ(info->altmap.capacity, slot->reserve);
	CHECK_EQ(info->altmap.allocated, slot->reserve);
}

static void
compare_block(const struct model *model, struct mhp *m, uint32_t block, bool drained)
{
	const struct model_block *slot = &model->blocks[block];
	uint64_t bytes = model->block_pages * model->page_bytes;
	uint64_t free_bytes = slot->nr_free * model->page_bytes, usable;
	struct mhp_block_info info;

	CHECK_OK(mhp_block_get(m, block, &info));
	CHECK_EQ(info.block, block);
	CHECK_EQ(info.span.start.addr, block * bytes);
	CHECK_EQ(info.span.size, bytes);
	CHECK_EQ(info.state, slot->state);
	CHECK_EQ(info.zone, slot->state == MHP_ONLINE ? slot->zone : MHP_ZONE_DEFAULT);
	if (slot->state == MHP_ABSENT)
		return;
	CHECK_EQ(info.node, slot->node);
	CHECK_EQ(info.backing, slot->backing);
	CHECK_EQ(info.boot, slot->boot);
	CHECK_EQ(info.nr_bad_pages, nr_bad_in(model, block));
	compare_metadata(model, block, &info);
	usable = slot->state == MHP_ONLINE ? usable_pages(model, block) * model->page_bytes : 0;
	CHECK_EQ(info.free_bytes + info.used_bytes, usable);
	if (drained)
		CHECK_EQ(info.free_bytes, free_bytes);
	else
		CHECK_CMP(info.free_bytes, <=, free_bytes);
}

static bool
are_alike(const struct model_block *a, const struct model_block *b)
{
	if (a->state == MHP_ABSENT || b->state == MHP_ABSENT)
		return a->state == b->state;
	return a->state == b->state && (a->state != MHP_ONLINE || a->zone == b->zone) &&
	       a->node == b->node && a->placement == b->placement && a->boot == b->boot &&
	       a->backing == b->backing;
}

/* R49: what is used and free in a range is what its blocks say, however it was counted. */
static void
compare_usage(struct mhp *m, struct mhp_blocks range)
{
	uint64_t used_bytes = 0, free_bytes = 0, used_sum, free_sum;
	struct mhp_block_info info;

	for (uint32_t i = 0; i < range.count; i++) {
		CHECK_OK(mhp_block_get(m, range.first + i, &info));
		used_bytes += info.used_bytes;
		free_bytes += info.free_bytes;
	}
	CHECK_OK(mhp_range_usage(m, range, &used_sum, &free_sum));
	CHECK_EQ(used_sum, used_bytes);
	CHECK_EQ(free_sum, free_bytes);
}

/* The listing by ranges must be that by blocks. */
static void
compare_ranges(const struct model *model, struct mhp *m)
{
	struct mhp_blocks range = { 0, 0 };

	for (uint32_t block = 0; block < model->geo.nr_blocks; block = range.first + range.count) {
		uint32_t end = block + 1;
		while (end < model->geo.nr_blocks &&
		       are_alike(&model->blocks[block], &model->blocks[end]))
			end++;
		CHECK_OK(mhp_range_get(m, block, &range));
		CHECK_EQ(range.first, block);
		CHECK_EQ(range.count, end - block);
		compare_usage(m, range);
	}
	CHECK_RET(mhp_range_get(m, model->geo.nr_blocks, &range), MHP_ENXIO);
}

static void
compare_frame(const struct model *model, struct mhp *m, uint64_t pfn, bool drained)
{
	const struct model_frame *want = &model->frames[pfn];
	struct mhp_frame have = mhp_frame_peek(m, pfn);
	bool same;

	if (model->blocks[block_of(model, pfn)].state != MHP_ONLINE)
		same = have.state == MHP_FRAME_ABSENT;
	else if (want->kind == MODEL_RESERVE)
		same = have.state == MHP_FRAME_METADATA;
	else if (want->kind == MODEL_TAIL)
		same = have.state == MHP_FRAME_TAIL;
	else if (want->kind == MODEL_FREE)
		same = have.state == MHP_FRAME_FREE ||
		       (!drained && have.state == MHP_FRAME_CACHED);
	else
		same = have.state == MHP_FRAME_USED && have.owner == want->owner &&
		       have.order == want->order &&
		       (want->owner == MHP_OWNER_BAD || have.cookie == want->cookie);
	if (!same || have.isolated)
		FAIL("pfn %" PRIu64 ": state %u, owner %u, order %u, cookie %#" PRIx64
		     ", isolated %d; the model: kind %u, owner %u, order %u, cookie %#" PRIx64,
		     pfn, have.state, have.owner, have.order, have.cookie, have.isolated,
		     want->kind, want->owner, want->order, want->cookie);
}

void
model_compare_frames(const struct model *model, struct mhp *m, uint64_t pfn, uint64_t end_pfn,
		     bool drained)
{
	for (; pfn < end_pfn; pfn++)
		compare_frame(model, m, pfn, drained);
}

static void
compare_free(const struct model *model, uint32_t block)
{
	uint64_t nr_free = 0;

	for (uint64_t pfn = usable_start(model, block); pfn < block_end(model, block); pfn++)
		nr_free += is_free(model, pfn);
	CHECK_EQ(model->blocks[block].nr_free, nr_free);
}

void
model_compare(const struct model *model, struct mhp *m, enum model_depth depth, bool drained)
{
	compare_stats(model, m);
	compare_zones(model, m);
	if (depth >= MODEL_BLOCKS) {
		for (uint32_t block = 0; block < model->geo.nr_blocks; block++)
			compare_block(model, m, block, drained);
		compare_ranges(model, m);
	}
	if (depth >= MODEL_FRAMES) {
		model_compare_frames(model, m, 0, model->max_pfn, drained);
		for (uint32_t block = 0; block < model->geo.nr_blocks; block++)
			compare_free(model, block);
	}
}

/* ---- hash ---- */

static uint64_t
mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0xff51afd7ed558ccd); /* odd; of MurmurHash3's finalizer */
	return hash ^ hash >> 33;
}

uint64_t
model_hash(const struct model *model)
{
	uint64_t hash = 1, bad = 0;

	for (uint32_t i = 0; i < model->nr_bad; i++)
		bad += mix(model->bad[i] + 1, 1); /* they are in no order */
	for (uint32_t i = 0; i < model->geo.nr_blocks; i++) {
		const struct model_block *block = &model->blocks[i];
		hash = mix(hash, (uint64_t)block->state | (uint64_t)block->zone << 8 |
				 (uint64_t)block->node << 16 | (uint64_t)block->placement << 24 |
				 (uint64_t)block->boot << 32 | (uint64_t)block->backing << 40);
		hash = mix(hash, block->reserve);
	}
	for (uint64_t pfn = 0; pfn < model->max_pfn; pfn++) {
		const struct model_frame *frame = &model->frames[pfn];
		if (frame->kind != MODEL_HEAD)
			continue;
		hash = mix(hash, pfn << 32 | (uint64_t)frame->owner << 16 | frame->order);
		hash = mix(hash, frame->owner == MHP_OWNER_BAD ? 0 : frame->cookie);
	}
	return mix(hash, bad);
}
