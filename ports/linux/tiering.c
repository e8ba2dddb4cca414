/* SPDX-License-Identifier: MIT */
/*
 * tiering.c - tiering on and off, its limits, and what it has found.
 *
 * The task (turn.c) runs in the companion while tiering is on. It reads the limits each turn, so
 * that they can change at any time. The records of windows stay when tiering ends.
 *
 * `on` says what is wanted, `runner` in which companion the task runs. So a task whose companion
 * was killed counts as ended, and a forked child, which has no companion, has none. Must not know:
 * how windows are looked at, and which of them move.
 */
#include <memplug/companion.h>

#include "pool.h"
#include "sample.h"

#define LIMIT_BYTES (UINT64_C(64) << 20)
#define LOOK_PERMILLE 15U

/* In the companion, as long as it is wanted. */
static void
tierer(void *arg)
{
	struct mhp_pool *pool = arg;
	mhp__tiering_run(pool);
	atomic_store(&pool->tiering.runner, 0);
}

/* Somebody may have killed the companion that the task was in. */
static bool
runs(struct mhp__tiering *tiering)
{
	int runner = atomic_load(&tiering->runner);
	return runner != 0 && runner == mhp_companion_pid();
}

static int
start(void *arg)
{
	struct mhp_pool *pool = arg;
	struct mhp__tiering *tiering = &pool->tiering;
	atomic_store(&tiering->on, true);
	if (runs(tiering))
		return 0;
	atomic_store(&tiering->runner, mhp_companion_pid());
	tiering->wait_ns = MHP__TIER_WAIT_MIN_NS * 4;
	tiering->paid_ns = mhp__linux_ops.now_ns(pool);
	int err = mhp_companion_thread(tierer, pool);
	if (err != 0) {
		atomic_store(&tiering->on, false);
		atomic_store(&tiering->runner, 0);
	}
	return err;
}

static int
await_end(void *arg)
{
	struct mhp_pool *pool = arg;
	while (runs(&pool->tiering)) /* bound: it looks every few milliseconds */
		mhp__linux_ops.pause(pool, 1000000);
	return 0;
}

void
mhp__tiering_stop(struct mhp_pool *pool)
{
	atomic_store(&pool->tiering.on, false);
	if (runs(&pool->tiering))
		(void)!mhp_companion_call(await_end, pool, NULL);
}

void
mhp__tiering_forget(struct mhp__tiering *tiering)
{
	atomic_store(&tiering->on, false);
	atomic_store(&tiering->runner, 0);
}

int
mhp_pool_set_tiering(struct mhp_pool *pool, const struct mhp_tiering *how, struct mhp_text *reterr)
{
	struct mhp__tiering *tiering = &pool->tiering;
	if (how->look_permille > 1000)
		return mhp__say(reterr, MHP_EINVAL, "looking can take 1000 thousandths of a CPU");
	atomic_store(&tiering->limit_bytes, how->bytes_per_s != 0 ? how->bytes_per_s : LIMIT_BYTES);
	atomic_store(&tiering->look_permille,
		     how->look_permille != 0 ? how->look_permille : LOOK_PERMILLE);
	if (how->on)
		return mhp_companion_call(start, pool, reterr);
	mhp__tiering_stop(pool);
	return 0;
}

void
mhp_pool_get_tiering(struct mhp_pool *pool, struct mhp_tiering *ret_how)
{
	struct mhp__tiering *tiering = &pool->tiering;
	uint64_t limit = atomic_load(&tiering->limit_bytes);
	uint32_t permille = atomic_load(&tiering->look_permille);
	*ret_how = (struct mhp_tiering){
		.on = atomic_load(&tiering->on),
		.bytes_per_s = limit != 0 ? limit : LIMIT_BYTES,
		.look_permille = permille != 0 ? permille : LOOK_PERMILLE };
}

/* ---- what is known ---- */

/* Add the heat of pages that lie together and are looked at together. */
static void
add_heat_of(const struct mhp_region *region, const struct mhp__heat *heat, uint64_t page,
	    uint64_t max, struct mhp_tiering_stats *stats)
{
	mhp__entry entry = region->entry[page];
	if ((entry & MHP__ENTRY_COMMITTED) == 0 || heat->looks == 0)
		return;
	unsigned node = mhp__frame_node(region->space, mhp__entry_pfn(entry));
	uint64_t bytes = mhp__table_span(region, page, max, MHP__ENTRY_COMMITTED)
			 << MHP__PAGE_SHIFT;
	if (heat->idle == 0)
		stats->node[node].hot_bytes += bytes;
	else
		stats->node[node].cold_bytes += bytes;
	stats->node[node].uses_per_s += (uint64_t)mhp__heat_rate(heat);
}

static void
add_heat(const struct mhp_region *region, struct mhp_tiering_stats *stats)
{
	for (uint64_t window = 0; window * MHP__HUGE_PAGES < region->top; window++) {
		const struct mhp__heat *heat = mhp__region_heat(region, window);
		uint64_t page = window * MHP__HUGE_PAGES;
		if (!mhp__heat_uneven(&region->pool->tiering.book, heat + 1)) {
			add_heat_of(region, heat, page, MHP__HUGE_PAGES, stats);
			continue;
		}
		for (unsigned piece = 0; piece < MHP__PIECES; piece++)
			add_heat_of(region, &heat[1 + piece], page + piece * MHP__PIECE_PAGES,
				    MHP__PIECE_PAGES, stats);
	}
}

void
mhp_pool_get_tiering_stats(struct mhp_pool *pool, struct mhp_tiering_stats *ret_stats)
{
	mhp__pool_lock(pool);
	struct mhp_tiering_stats stats = pool->tiering.stats;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		if (pool->region[i].live && pool->region[i].heat != NULL)
			add_heat(&pool->region[i], &stats);
	pthread_mutex_unlock(&pool->mutex);
	*ret_stats = stats;
}
