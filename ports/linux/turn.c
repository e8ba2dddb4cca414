/* SPDX-License-Identifier: MIT */
/*
 * turn.c - the task that looks at windows, decides which of them move, and moves them.
 *
 * A turn takes some windows of the nearest node and as many of the others, round and round; has the
 * kernel forget what it knows of them, and asks again a moment later (sample.c); compares them
 * (tier.c); and moves what was chosen (window.c), one window at a time. Turns are as far apart as
 * the share of a CPU that looking may cost demands, and moves stay within the limit. Nothing waits
 * for this task; what was decommitted, moved or forked meanwhile is left alone, and a window that
 * cannot move stays where it is. Where a policy says which nodes a region's pages belong to
 * (interleave, bind), they stay there.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "sample.h"
#include "window.h"

#define TURN_NS UINT64_C(250000000)
#define NAP_NS UINT64_C(20000000)      /* how soon it notices that it is to end */
#define SCAN_MAX 8192U                 /* windows that a turn goes through to find some */

/* What a turn knows of a window. */
struct seen {
	struct mhp_region *region;
	uint64_t window, pfn;
	bool settled;
	unsigned node;
};

struct turn {
	struct mhp_pool *pool;
	unsigned nr;
	struct seen seen[MHP__TIER_WINDOWS];
	struct mhp__look look[MHP__TIER_WINDOWS];
	struct mhp__tier_window window[MHP__TIER_WINDOWS];
	struct mhp__tier_move move[MHP__TIER_WINDOWS];
	struct mhp__tier_node node[MHP__TIER_NODES];
};

_Static_assert(MHP__TIER_NODES == MHP_POOL_NODES, "the policy knows all nodes of a pool");

static uint64_t
cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* ---- which windows ---- */

static bool
has_windows(const struct mhp_region *region)
{
	return region->live && !region->over && region->top != 0 &&
	       region->spread->mode != MHP_SPREAD_INTERLEAVE &&
	       region->spread->mode != MHP_SPREAD_BIND;
}

/* The heat of all windows of a region; NULL: there is no memory for it. */
static struct mhp__heat *
heat_of(struct mhp_region *region)
{
	if (region->heat != NULL)
		return region->heat;
	void *heat = mmap(NULL, mhp__region_heat_bytes(region), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return region->heat = heat == MAP_FAILED ? NULL : heat;
}

/* How many pages of the window, from its first on, are in use and lie in one way. */
static uint64_t
span_of(const struct mhp_region *region, uint64_t page)
{
	uint64_t max = region->nr_pages - page < MHP__HUGE_PAGES ? region->nr_pages - page
								 : MHP__HUGE_PAGES;
	max = mhp__table_span(region, page, max, MHP__ENTRY_COMMITTED);
	return mhp__table_span(region, page, max, MHP__ENTRY_SETTLED);
}

static void
take_window(struct turn *turn, struct mhp_region *region, uint64_t window)
{
	uint64_t page = window * MHP__HUGE_PAGES, nr = span_of(region, page);
	mhp__entry entry = region->entry[page];
	bool settled = (entry & MHP__ENTRY_SETTLED) != 0;
	unsigned node = mhp__frame_node(region->space, mhp__entry_pfn(entry));
	turn->seen[turn->nr] = (struct seen){
		region, window, mhp__entry_pfn(entry), settled, node };
	turn->look[turn->nr] = (struct mhp__look){
		.start = mhp__page_address(region, page), .size = nr << MHP__PAGE_SHIFT,
		.shared = settled };
	turn->window[turn->nr++] = (struct mhp__tier_window){
		.heat = &region->heat[window], .pages = nr, .node = (uint8_t)node };
}

/* A window of which the first page is in use. */
static bool
in_use(const struct mhp_region *region, uint64_t window)
{
	return (region->entry[window * MHP__HUGE_PAGES] & MHP__ENTRY_COMMITTED) != 0;
}

/* Go on to the next window that is in use. False: the next region has to be looked at first. */
static bool
advance(struct mhp_pool *pool, struct mhp__tier_cursor *at, unsigned *scanned)
{
	struct mhp_region *region = &pool->region[at->region % MHP__REGIONS_MAX];
	if (has_windows(region) && heat_of(region) != NULL)
		for (; at->window * MHP__HUGE_PAGES < region->top && *scanned < SCAN_MAX;
		     at->window++, ++*scanned)
			if (in_use(region, at->window))
				return true;
	if (*scanned < SCAN_MAX)
		*at = (struct mhp__tier_cursor){ (at->region + 1) % MHP__REGIONS_MAX, 0 };
	*scanned += SCAN_MAX / MHP__REGIONS_MAX / 2; /* each region once, and more */
	return false;
}

/* Take up to max windows of the nearest node, or of the others, each once. Region mutex held. */
static void
take_windows(struct turn *turn, struct mhp__tier_cursor *at, bool near, unsigned max)
{
	struct mhp_pool *pool = turn->pool;
	unsigned nearest = atomic_load(&pool->space.order) & 0xf, scanned = 0, first = turn->nr;
	while (turn->nr - first < max && scanned < SCAN_MAX) {
		if (!advance(pool, at, &scanned))
			continue;
		struct mhp_region *region = &pool->region[at->region];
		if (turn->nr > first && turn->seen[first].region == region &&
		    turn->seen[first].window == at->window)
			return;
		uint64_t pfn = mhp__entry_pfn(region->entry[at->window * MHP__HUGE_PAGES]);
		if ((mhp__frame_node(region->space, pfn) == nearest) == near)
			take_window(turn, region, at->window);
		at->window++;
		scanned++;
	}
}

/* Is the window still what the turn knows of it? Region mutex held. */
static bool
is_same(const struct turn *turn, unsigned i)
{
	const struct seen *seen = &turn->seen[i];
	const struct mhp_region *region = seen->region;
	uint64_t page = seen->window * MHP__HUGE_PAGES;
	if (!has_windows(region) || page >= region->top || atomic_load(&turn->pool->forking))
		return false;
	mhp__entry entry = region->entry[page];
	return (entry & MHP__ENTRY_COMMITTED) != 0 && mhp__entry_pfn(entry) == seen->pfn &&
	       ((entry & MHP__ENTRY_SETTLED) != 0) == seen->settled &&
	       mhp__page_address(region, page) == turn->look[i].start &&
	       span_of(region, page) << MHP__PAGE_SHIFT == turn->look[i].size;
}

/* ---- looking ---- */

static void
forget(struct turn *turn)
{
	for (unsigned i = 0; i < turn->nr; i++) {
		mhp__pool_lock(turn->pool);
		if (is_same(turn, i))
			(void)mhp__sample_forget(&turn->look[i]);
		pthread_mutex_unlock(&turn->pool->mutex);
	}
}

/* Note what was seen, and drop the windows of which nothing is known. Region mutex held. */
static void
note(struct turn *turn)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < turn->nr; i++) {
		const struct mhp__look *look = &turn->look[i];
		if (look->forgot_ns == 0 || look->over_ns == 0 || !is_same(turn, i))
			continue;
		mhp__tier_note(turn->window[i].heat, look->used, look->parts, look->over_ns);
		turn->seen[kept] = turn->seen[i];
		turn->look[kept] = turn->look[i];
		turn->window[kept++] = turn->window[i];
	}
	turn->nr = kept;
}

static void
look(struct turn *turn)
{
	struct mhp_pool *pool = turn->pool;
	struct mhp__tiering *tiering = &pool->tiering;
	mhp__pool_lock(pool);
	turn->nr = 0;
	take_windows(turn, &tiering->near, true, MHP__TIER_WINDOWS / 2);
	take_windows(turn, &tiering->far, false, MHP__TIER_WINDOWS / 2);
	pthread_mutex_unlock(&pool->mutex);
	forget(turn);
	mhp__linux_ops.pause(pool, tiering->wait_ns);
	mhp__sample_see(turn->look, turn->nr);
	mhp__pool_lock(pool);
	note(turn);
	if (turn->nr != 0)
		tiering->wait_ns = mhp__tier_wait(turn->window, turn->nr, tiering->wait_ns);
	tiering->stats.looks += turn->nr;
	pthread_mutex_unlock(&pool->mutex);
}

/* ---- moving ---- */

static void
look_at_nodes(struct turn *turn)
{
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		struct mhp_node_info info;
		turn->node[node] = (struct mhp__tier_node){ 0 };
		if (mhp_node_states(turn->pool->m, node) == 0 ||
		    mhp_pool_node_get(turn->pool, node, &info) != 0)
			continue;
		turn->node[node] = (struct mhp__tier_node){
			.rank = info.rank,
			.pages = (info.used_bytes + info.free_bytes) >> MHP__PAGE_SHIFT,
			.free_pages = info.free_bytes >> MHP__PAGE_SHIFT };
	}
}

/* How many pages may move now: what the limit gives for the time that has gone, up to a second. */
static uint64_t
due_pages(struct mhp__tiering *tiering, uint64_t now_ns)
{
	uint64_t limit = atomic_load(&tiering->limit_bytes) >> MHP__PAGE_SHIFT;
	uint64_t ms = (now_ns - tiering->paid_ns) / 1000000;
	tiering->due_pages += limit * (ms < 1000 ? ms : 1000) / 1000;
	tiering->due_pages = tiering->due_pages < limit ? tiering->due_pages : limit;
	tiering->paid_ns = now_ns;
	return tiering->due_pages;
}

/* What came of the moves with one reason between two nodes. */
struct outcome {
	uint64_t windows, pages;
	unsigned from, to, reason;
	int error;
	struct mhp_text why;
};

static bool
move_window(struct turn *turn, const struct mhp__tier_move *move, struct outcome *outcome)
{
	struct mhp_pool *pool = turn->pool;
	const struct seen *seen = &turn->seen[move->window];
	uint64_t moved = 0, started = cpu_ns();
	int err = MHP_EAGAIN;
	mhp__pool_lock(pool);
	if (is_same(turn, move->window)) {
		err = mhp__window_move(pool, seen->region, seen->window, move->node, &moved,
				       &outcome->why);
		mhp__guard_close(&pool->guard);
	}
	if (err == 0) {
		mhp__tier_moved(&seen->region->heat[seen->window]);
		pool->tiering.stats.moved_pages += moved;
		outcome->windows++;
		outcome->pages += moved;
	} else if (err != MHP_EAGAIN) {
		pool->tiering.stats.refused++;
		mhp__tier_refused(&seen->region->heat[seen->window]);
		outcome->error = err;
	}
	pool->tiering.stats.move_cpu_ns += cpu_ns() - started;
	pthread_mutex_unlock(&pool->mutex);
	pool->tiering.due_pages -= moved < pool->tiering.due_pages ? moved
								   : pool->tiering.due_pages;
	return err == 0;
}

static void
tell(struct mhp_pool *pool, const struct outcome *outcome)
{
	struct mhp_text text;
	const char *reason = mhp__tier_reason_text((enum mhp__tier_reason)outcome->reason);
	if (outcome->windows != 0) {
		mhp__say(&text, 0, "%llu windows from node %u: %s",
			 (unsigned long long)outcome->windows, outcome->from, reason);
		(void)!mhp_tier_announce(pool->m, outcome->to, outcome->pages, 0, text.text);
	}
	if (outcome->error != 0) {
		mhp__say(&text, 0, "a window stays on node %u: %s", outcome->from,
			 outcome->why.text);
		(void)!mhp_tier_announce(pool->m, outcome->to, 0, outcome->error, text.text);
	}
}

/* Make the moves of a reason between two nodes that begin with move `first`; each has one event. */
static void
move_all(struct turn *turn, unsigned nr_moves)
{
	struct outcome outcome[MHP__TIER_REASONS] = { 0 };
	bool done = true;
	for (unsigned i = 0; i < nr_moves && atomic_load(&turn->pool->tiering.on); i++) {
		const struct mhp__tier_move *move = &turn->move[i];
		struct outcome *of = &outcome[move->reason];
		unsigned from = turn->window[move->window].node;
		if (move->follows && !done)
			continue;
		if (of->windows + (of->error != 0) != 0 &&
		    (of->from != from || of->to != move->node)) {
			tell(turn->pool, of);
			*of = (struct outcome){ 0 };
		}
		of->from = from;
		of->to = move->node;
		of->reason = move->reason;
		done = move_window(turn, move, of);
	}
	for (unsigned reason = 0; reason < MHP__TIER_REASONS; reason++)
		tell(turn->pool, &outcome[reason]);
}

/* ---- turns ---- */

static void
take_turn(struct turn *turn)
{
	struct mhp_pool *pool = turn->pool;
	struct mhp__tiering *tiering = &pool->tiering;
	uint64_t started = mhp__linux_ops.now_ns(pool), cpu = cpu_ns();
	uint32_t permille = atomic_load(&tiering->look_permille);
	look(turn);
	look_at_nodes(turn);
	unsigned nr_moves = mhp__tier_choose(turn->window, turn->nr, turn->node,
					     due_pages(tiering, mhp__linux_ops.now_ns(pool)),
					     turn->move);
	cpu = cpu_ns() - cpu;
	mhp__pool_lock(pool);
	tiering->stats.look_cpu_ns += cpu;
	pthread_mutex_unlock(&pool->mutex);
	move_all(turn, nr_moves);
	uint64_t turn_ns = cpu * 1000 / (permille != 0 ? permille : 1);
	uint64_t end = started + (turn_ns > TURN_NS ? turn_ns : TURN_NS);
	while (atomic_load(&tiering->on) && mhp__linux_ops.now_ns(pool) < end)
		mhp__linux_ops.pause(pool, NAP_NS);
}

void
mhp__tiering_run(struct mhp_pool *pool)
{
	struct turn *turn = mmap(NULL, sizeof(*turn), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (turn == MAP_FAILED)
		return;
	turn->pool = pool;
	while (atomic_load(&pool->tiering.on))
		take_turn(turn);
	munmap(turn, sizeof(*turn));
}
