/* SPDX-License-Identifier: MIT */
/*
 * rehearse.c - a pool on the simulator goes through a scenario.
 *
 * The engine is the real one; what is simulated is the memory, which nobody touches, and who uses
 * it: a list of pages, of which those that shall be freed are drawn by the seed. A page's cookie is
 * its place in the list, so that whoever moves it can say where it is now. To remove, blocks are
 * tried one by one, those with the least in them first, as `memplug resize` does.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"
#include "sim.h"

#define PAGE_SHIFT 12U
#define PAGEBLOCK_ORDER 9U
#define SECTION_SHIFT 27U
#define SAMPLES_MAX 200000U
#define TRIES 4U                       /* blocks tried for each that shall leave */

struct page {
	uint64_t pfn;
	uint32_t order;
};

struct rehearsal {
	const struct mhp__scenario *scenario;
	struct mhp__rehearsal *result;
	struct mhp_sim *sim;
	struct mhp *m;
	uint16_t movable, unmovable;
	struct page *page;             /* in use */
	size_t nr_pages, room;
	uint64_t random, asked, left, moved_pages;
	uint32_t next_block;           /* where the next add may begin to look */
};

/* ---- pages in use ---- */

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return 0;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct rehearsal *all = ctx;
	for (unsigned i = 0; i < nr_moves; i++) {
		for (uint64_t at = 0; at < moves[i].nr_pages;) {
			struct mhp_frame frame = mhp_frame_peek(all->m, moves[i].src_pfn + at);
			all->page[frame.cookie].pfn = moves[i].dst_pfn + at;
			at += UINT64_C(1) << frame.order;
		}
		all->moved_pages += moves[i].nr_pages;
	}
	*ret_done = nr_moves;
	return 0;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static const struct mhp_movable_ops ops = { isolate, migrate, putback, NULL };

/* xorshift */
static uint64_t
draw(struct rehearsal *all, uint64_t below)
{
	all->random ^= all->random << 13;
	all->random ^= all->random >> 7;
	all->random ^= all->random << 17;
	return all->random % below;
}

static bool
has_room(struct rehearsal *all)
{
	if (all->nr_pages < all->room)
		return true;
	size_t room = all->room * 2 + 4096;
	struct page *larger = realloc(all->page, room * sizeof(larger[0]));
	if (larger == NULL)
		return false;
	all->page = larger;
	all->room = room;
	return true;
}

/* ---- looking ---- */

/* The blocks that are there, by node. */
static void
look_at_nodes(struct rehearsal *all)
{
	struct mhp__rehearsal *result = all->result;
	struct mhp_block_info info;
	result->nr_nodes = all->scenario->nr_nodes;
	for (uint32_t block = 0; mhp_block_get(all->m, block, &info) == 0; block++) {
		struct mhp__scenario_node *node = &result->node[info.node];
		if (info.state == MHP_ABSENT)
			continue;
		node->plugged_bytes += info.span.size;
		node->used_bytes += info.used_bytes;
		node->empty_bytes += info.used_bytes == 0 ? info.span.size : 0;
	}
}

static void
look(struct rehearsal *all, struct mhp__scenario_sample *sample)
{
	uint64_t block = all->scenario->block_bytes, used, unused;
	struct mhp_stats stats;
	struct mhp_blocks run;
	mhp_drain_caches(all->m);
	mhp_get_stats(all->m, &stats);
	*sample = (struct mhp__scenario_sample){
		.plugged_bytes = stats.blocks_present * block,
		.metadata_bytes = stats.metadata_bytes,
		.moved_bytes = all->moved_pages << PAGE_SHIFT,
		.asked_blocks = all->asked, .left_blocks = all->left,
	};
	for (uint32_t b = 0; mhp_range_get(all->m, b, &run) == 0; b = run.first + run.count) {
		struct mhp_block_info info;
		if (mhp_block_get(all->m, run.first, &info) != 0 || info.state != MHP_ONLINE)
			continue;
		for (uint32_t i = run.first; i < run.first + run.count; i++) {
			struct mhp_blocks one = { i, 1 };
			if (mhp_range_usage(all->m, one, &used, &unused) != 0)
				continue;
			sample->used_bytes += used;
			sample->empty_bytes += used == 0 ? block : 0;
		}
	}
}

static bool
keep_sample(struct rehearsal *all, unsigned line)
{
	struct mhp__rehearsal *result = all->result;
	if (result->nr_samples % 1024 == 0) {
		struct mhp__scenario_sample *larger =
			realloc(result->sample, (result->nr_samples + 1024) * sizeof(larger[0]));
		if (larger == NULL)
			return false;
		result->sample = larger;
	}
	look(all, &result->sample[result->nr_samples]);
	result->sample[result->nr_samples++].line = line;
	return true;
}

/* Ask how much is plugged on a node, and how much of it is free. */
static void
look_at_node(struct rehearsal *all, unsigned node, uint64_t *ret_plugged, uint64_t *ret_free)
{
	struct mhp_block_info info;
	*ret_plugged = *ret_free = 0;
	for (uint32_t block = 0; mhp_block_get(all->m, block, &info) == 0; block++) {
		bool there = info.state != MHP_ABSENT && info.node == node;
		*ret_plugged += there ? info.span.size : 0;
		*ret_free += there ? info.free_bytes : 0;
	}
}

/* ---- steps: an error is the engine's ---- */

/* The first gap of the address range that is long enough. */
static bool
find_gap(struct rehearsal *all, uint64_t nr, uint32_t *ret_first)
{
	struct mhp_blocks run;
	for (uint32_t b = 0; mhp_range_get(all->m, b, &run) == 0; b = run.first + run.count) {
		struct mhp_block_info info;
		if (run.count >= nr && mhp_block_get(all->m, run.first, &info) == 0 &&
		    info.state == MHP_ABSENT) {
			*ret_first = run.first;
			return true;
		}
	}
	return false;
}

static int
do_add(struct rehearsal *all, const struct mhp__scenario_step *step)
{
	uint64_t block = all->scenario->block_bytes, nr = (step->amount + block - 1) / block;
	uint32_t first;
	struct mhp_add_opts opts = {
		.flags = MHP_ADD_ONLINE | (all->scenario->external ? 0 : MHP_MEMMAP_ON_MEMORY),
		.zone = step->kernel ? MHP_ZONE_NORMAL : MHP_ZONE_MOVABLE,
		.node = (uint8_t)step->node,
	};
	if (!find_gap(all, nr, &first))
		return MHP_ENXIO;
	return mhp_add(all->m, (struct mhp_blocks){ first, (uint32_t)nr }, &opts, NULL);
}

static uint64_t
amount_of(const struct mhp__scenario_step *step, uint64_t whole)
{
	return step->per_cent ? whole / 100 * step->amount + whole % 100 * step->amount / 100
			      : step->amount;
}

static int
do_use(struct rehearsal *all, const struct mhp__scenario_step *step)
{
	struct mhp_stats stats;
	mhp_get_stats(all->m, &stats);
	uint64_t size = UINT64_C(1) << (PAGE_SHIFT + step->order);
	uint64_t unused = stats.free_pages << PAGE_SHIFT, plugged;
	if (step->has_node)
		look_at_node(all, step->node, &plugged, &unused);
	uint64_t left = amount_of(step, unused) / size;
	for (; left > 0; left--) {
		struct mhp_page_req req = {
			.cookie = all->nr_pages, .order = (uint8_t)step->order,
			.owner = step->kernel ? all->unmovable : all->movable,
			.node = (uint8_t)step->node,
			.flags = step->has_node ? MHP_PAGE_NODE : 0,
		};
		uint64_t pfn;
		if (!has_room(all))
			return MHP_ENOMEM;
		int err = mhp_page_alloc(all->m, req, &pfn);
		if (err == MHP_ENOMEM)
			break;
		if (err != 0)
			return err;
		all->page[all->nr_pages++] = (struct page){ pfn, step->order };
	}
	all->result->missing_bytes += left * size;
	return 0;
}

/* The last of the list takes the place of the one that goes. */
static int
free_one(struct rehearsal *all, uint64_t *ret_bytes)
{
	size_t at = draw(all, all->nr_pages);
	*ret_bytes = UINT64_C(1) << (PAGE_SHIFT + all->page[at].order);
	int err = mhp_page_free(all->m, all->page[at].pfn);
	struct page last = all->page[--all->nr_pages];
	if (err != 0 || at == all->nr_pages)
		return err;
	all->page[at] = last;
	return mhp_page_set_cookie(all->m, last.pfn, at);
}

static int
do_free(struct rehearsal *all, const struct mhp__scenario_step *step)
{
	struct mhp__scenario_sample now;
	look(all, &now);
	uint64_t left = amount_of(step, now.used_bytes);
	while (left > 0 && all->nr_pages != 0) {
		uint64_t bytes;
		int err = free_one(all, &bytes);
		if (err != 0)
			return err;
		left -= left < bytes ? left : bytes;
	}
	return 0;
}

struct candidate {
	uint64_t used;
	uint32_t block;
};

static int
by_use(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->used != y->used)
		return x->used < y->used ? -1 : 1;
	return x->block > y->block ? -1 : 1;
}

static uint32_t
list_candidates(struct rehearsal *all, const struct mhp__scenario_step *step,
		struct candidate *list)
{
	uint32_t nr = 0;
	struct mhp_block_info info;
	for (uint32_t block = 0; mhp_block_get(all->m, block, &info) == 0; block++)
		if (info.state == MHP_ONLINE && info.zone == MHP_ZONE_MOVABLE &&
		    (!step->has_node || info.node == step->node))
			list[nr++] = (struct candidate){ info.used_bytes, block };
	qsort(list, nr, sizeof(list[0]), by_use);
	return nr;
}

static int
do_remove(struct rehearsal *all, const struct mhp__scenario_step *step)
{
	uint64_t block = all->scenario->block_bytes;
	struct mhp_stats stats;
	mhp_get_stats(all->m, &stats);
	uint64_t whole = stats.blocks_present * block, unused;
	if (step->has_node)
		look_at_node(all, step->node, &whole, &unused);
	uint64_t want = amount_of(step, whole) / block, left = want;
	struct candidate *list = calloc(stats.blocks_present + 1U, sizeof(list[0]));
	if (list == NULL)
		return MHP_ENOMEM;
	mhp_drain_caches(all->m);
	uint32_t nr = list_candidates(all, step, list);
	all->asked += want;
	for (uint32_t i = 0; i < nr && left > 0 && i < want * TRIES; i++) {
		struct mhp_blocks one = { list[i].block, 1 };
		struct mhp_why why = { .pfn = MHP_PFN_NONE };
		if (mhp_remove(all->m, &one, 1, NULL, &why) == 0)
			left--;
		else
			all->result->refused[why.cause]++;
	}
	all->left += want - left;
	free(list);
	return 0;
}

/* ---- all of it ---- */

static bool
went_wrong(struct rehearsal *all, unsigned line, int err)
{
	snprintf(all->result->text, MHP__SCENARIO_TEXT, "line %u: %s", line,
		 err == MHP_ENXIO ? "the host has no addresses left for that"
				  : mhp_error_text(err));
	return false;
}

static bool
do_steps(struct rehearsal *all)
{
	static int (*const fns[])(struct rehearsal *, const struct mhp__scenario_step *) = {
		do_add, do_use, do_free, do_remove,
	};
	const struct mhp__scenario *scenario = all->scenario;
	uint64_t turns[MHP__SCENARIO_STEPS] = { 0 };
	for (unsigned i = 0; i < scenario->nr_steps; i++) {
		const struct mhp__scenario_step *step = &scenario->step[i];
		if (step->kind == MHP__STEP_REPEAT) {
			turns[i] = step->amount;
			i = step->amount == 0 ? step->other : i;
			continue;
		}
		if (step->kind == MHP__STEP_END) {
			i = --turns[step->other] != 0 ? step->other : i;
			continue;
		}
		int err = fns[step->kind](all, step);
		if (err == 0 && (all->result->nr_samples == SAMPLES_MAX ||
				 !keep_sample(all, step->line)))
			err = MHP_ENOMEM;
		if (err != 0)
			return went_wrong(all, step->line, err);
	}
	return true;
}

static int
make_pool(struct rehearsal *all)
{
	const struct mhp__scenario *scenario = all->scenario;
	uint64_t block = scenario->block_bytes;
	struct mhp_sim_opts opts = { .geometry = {
		.page_shift = PAGE_SHIFT, .pageblock_order = PAGEBLOCK_ORDER,
		.block_order = (uint8_t)(__builtin_ctzll(block) - (int)PAGE_SHIFT),
		.nr_nodes = (uint16_t)scenario->nr_nodes, .nr_cpus = 1,
		.nr_blocks = (uint32_t)(scenario->host_bytes / block),
	} };
	struct mhp_config config;
	size_t size = 0;
	opts.geometry.section_order = opts.geometry.block_order < SECTION_SHIFT - PAGE_SHIFT
		? opts.geometry.block_order : (uint8_t)(SECTION_SHIFT - PAGE_SHIFT);
	opts.meta_bytes = scenario->host_bytes / 100;
	int err = mhp_footprint(&opts.geometry, &size);
	if (err == 0)
		err = mhp_sim_create(&opts, &all->sim);
	if (err != 0)
		return err;
	mhp_sim_config(all->sim, &config);
	void *memory = mhp_sim_instance_memory(all->sim, size);
	err = memory == NULL ? MHP_ENOMEM : mhp_init(memory, size, &config, &all->m);
	if (err == 0)
		err = mhp_owner_register(all->m, "movable", &ops, all, &all->movable);
	if (err == 0)
		err = mhp_owner_register(all->m, "kernel", NULL, NULL, &all->unmovable);
	return err;
}

bool
mhp__rehearse(const struct mhp__scenario *scenario, struct mhp__rehearsal *ret_rehearsal)
{
	struct rehearsal all = { .scenario = scenario, .result = ret_rehearsal,
				 .random = scenario->seed * 2 + 1 };
	*ret_rehearsal = (struct mhp__rehearsal){ 0 };
	int err = make_pool(&all);
	bool done = err == 0 && do_steps(&all);
	if (err != 0)
		snprintf(ret_rehearsal->text, MHP__SCENARIO_TEXT, "no such host can be made: %s",
			 mhp_error_text(err));
	if (done)
		look_at_nodes(&all);
	free(all.page);
	mhp_sim_destroy(all.sim);
	return done;
}

void
mhp__rehearsal_close(struct mhp__rehearsal *rehearsal)
{
	free(rehearsal->sample);
}
