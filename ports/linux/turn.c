/* SPDX-License-Identifier: MIT */
/*
 * turn.c - the task that looks at windows, decides which of them move, and moves them.
 *
 * A turn takes some windows of the nearest node and some of the others, round and round (seen.c);
 * has the kernel forget what it knows of them, and asks again a moment later (sample.c); compares
 * them, or their pieces (tier.c); and moves what was chosen (window.c), one after the other. Turns
 * are as far apart as the share of a CPU that looking may cost demands, and moves stay within the
 * limit. Nothing waits for this task; what was decommitted, moved or forked meanwhile is left
 * alone, and what cannot move stays where it is. Pieces have mappings of their own where they lie
 * on a device, so that there are none once half of the kernel's limit is taken.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "seen.h"
#include "window.h"

#define TURN_NS UINT64_C(250000000)
#define TURN_MAX_S 8U
#define NAP_NS UINT64_C(20000000)      /* how soon it notices that it is to end */

struct turn {
	struct mhp_pool *pool;
	bool pieces;                   /* may windows be told apart? */
	struct mhp__seen_set set;
	struct mhp__tier_move move[MHP__TIER_UNITS];
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

/* ---- looking ---- */

static void
look_at_nodes(struct turn *turn)
{
	struct mhp_pool *pool = turn->pool;
	mhp__pool_lock(pool);
	turn->pieces = pool->granule <= MHP__PIECE_BYTES &&
		       mhp__budget_fits(&pool->budget, mhp__regions_mappings(pool),
					pool->budget.limit / 2);
	pthread_mutex_unlock(&pool->mutex);
	for (unsigned node = 0; node < MHP_POOL_NODES; node++) {
		struct mhp_node_info info;
		turn->node[node] = (struct mhp__tier_node){ 0 };
		if (mhp_node_states(pool->m, node) == 0 ||
		    mhp_pool_node_get(pool, node, &info) != 0)
			continue;
		turn->pieces &= info.granule_bytes <= MHP__PIECE_BYTES;
		turn->node[node] = (struct mhp__tier_node){
			.rank = info.rank,
			.pages = (info.used_bytes + info.free_bytes) >> MHP__PAGE_SHIFT,
			.free_pages = info.free_bytes >> MHP__PAGE_SHIFT };
	}
}

/* For the sampler: nothing happens to a window while it is forgotten. */
static bool
begin_look(void *ctx, unsigned i)
{
	struct turn *turn = ctx;
	mhp__pool_lock(turn->pool);
	return mhp__seen_is_same(&turn->set, i, UINT32_MAX);
}

static void
end_look(void *ctx)
{
	struct turn *turn = ctx;
	pthread_mutex_unlock(&turn->pool->mutex);
}

static void
wait(void *ctx)
{
	struct turn *turn = ctx;
	mhp__linux_ops.pause(turn->pool, turn->pool->tiering.wait_ns);
}

static void
look(struct turn *turn)
{
	struct mhp_pool *pool = turn->pool;
	struct mhp__seen_set *set = &turn->set;
	struct mhp__tiering *tiering = &pool->tiering;
	mhp__pool_lock(pool);
	mhp__seen_take(set, pool, turn->pieces);
	pthread_mutex_unlock(&pool->mutex);
	mhp__sample(set->look, set->nr,
		    &(struct mhp__sampler){ turn, begin_look, end_look, wait });
	mhp__pool_lock(pool);
	mhp__seen_note(set, turn->pieces);
	MHP__ASSERT(set->nr <= MHP__SEEN_WINDOWS && set->nr_units <= MHP__TIER_UNITS);
	tiering->stats.looks += set->nr;
	pthread_mutex_unlock(&pool->mutex);
}

/* ---- moving ---- */

/* Pages that may move now: what the limit gives for the time that has gone, of a second at most. */
static uint64_t
due_pages(struct mhp__tiering *tiering, uint64_t now_ns)
{
	uint64_t limit = atomic_load(&tiering->limit_bytes) >> MHP__PAGE_SHIFT;
	uint64_t ms = (now_ns - tiering->paid_ns) / 1000000;
	tiering->due_pages += limit * (ms < 1000 ? ms : 1000) / 1000;
	tiering->due_pages = tiering->due_pages < limit ? tiering->due_pages : limit;
	tiering->paid_ns += ms * 1000000;
	return tiering->due_pages;
}

/* Pages that may move until the turn after the next: turns are far apart where looks cost much. */
static uint64_t
turn_pages(struct mhp__tiering *tiering, uint64_t now_ns)
{
	uint64_t limit = atomic_load(&tiering->limit_bytes) >> MHP__PAGE_SHIFT;
	uint64_t seconds = tiering->turn_ns / 1000000000;
	uint64_t due = due_pages(tiering, now_ns);
	return seconds == 0 ? due : limit * (seconds < TURN_MAX_S ? seconds : TURN_MAX_S);
}

/* Wait until so many pages may move. */
static void
await_due(struct mhp_pool *pool, uint64_t pages)
{
	struct mhp__tiering *tiering = &pool->tiering;
	while (atomic_load(&tiering->on) &&
	       due_pages(tiering, mhp__linux_ops.now_ns(pool)) < pages &&
	       tiering->due_pages < atomic_load(&tiering->limit_bytes) >> MHP__PAGE_SHIFT)
		mhp__linux_ops.pause(pool, NAP_NS);
}

/* The outcome of the moves with one reason between two nodes. */
struct outcome {
	uint64_t windows, pieces, pages;
	unsigned from, to, reason;
	int error;
	struct mhp_text why;
};

/* Move part of a window, run by run. Region mutex held. */
static int
move_part(struct turn *turn, const struct mhp__seen_part *part, unsigned node, uint64_t *moved,
	  struct mhp_text *reterr)
{
	const struct mhp__seen *seen = &turn->set.seen[part->seen];
	uint64_t first = seen->window * MHP__HUGE_PAGES;
	int err = 0;
	MHP__ASSERT((part->pieces & ~seen->pieces) == 0);
	if (part->pieces == seen->pieces) /* and what is no whole piece */
		return mhp__window_move(turn->pool, seen->region, first, MHP__HUGE_PAGES, node,
					moved, reterr);
	for (unsigned piece = 0, nr; err == 0 && (nr = mhp__pieces_next(part->pieces, &piece)) != 0;
	     piece += nr)
		err = mhp__window_move(turn->pool, seen->region, first + piece * MHP__PIECE_PAGES,
				       nr * MHP__PIECE_PAGES, node, moved, reterr);
	return err;
}

static void
note_moved(struct turn *turn, const struct mhp__tier_move *move, uint64_t moved,
	   struct outcome *outcome)
{
	const struct mhp__seen_part *part = &turn->set.part[move->unit];
	bool whole = part->pieces == turn->set.seen[part->seen].pieces;
	MHP__ASSERT(moved <= MHP__HUGE_PAGES);
	mhp__heat_moved(turn->set.unit[move->unit].heat);
	turn->pool->tiering.stats.moved_pages += moved;
	outcome->windows += whole;
	outcome->pieces += !whole;
	outcome->pages += moved;
}

static void
move_unit(struct turn *turn, const struct mhp__tier_move *move, struct outcome *outcome)
{
	struct mhp_pool *pool = turn->pool;
	const struct mhp__seen_part *part = &turn->set.part[move->unit];
	int err = MHP_EAGAIN;
	uint64_t moved = 0, started = cpu_ns();
	MHP__ASSERT(move->unit < turn->set.nr_units && move->node < MHP_POOL_NODES);
	mhp__pool_lock(pool);
	if (mhp__seen_is_same(&turn->set, part->seen, part->pieces)) {
		err = move_part(turn, part, move->node, &moved, &outcome->why);
		mhp__guard_close(&pool->guard);
	}
	if (err == 0) {
		note_moved(turn, move, moved, outcome);
	} else if (err != MHP_EAGAIN && err != MHP_ENOMEM) {
		pool->tiering.stats.refused++;
		mhp__heat_refused(turn->set.unit[move->unit].heat);
		outcome->error = err;
	}
	pool->tiering.stats.move_cpu_ns += cpu_ns() - started;
	pthread_mutex_unlock(&pool->mutex);
	pool->tiering.due_pages -= moved < pool->tiering.due_pages ? moved
								   : pool->tiering.due_pages;
}

static void
tell(struct mhp_pool *pool, const struct outcome *outcome)
{
	struct mhp_text text;
	const char *reason = mhp__tier_reason_text((enum mhp__tier_reason)outcome->reason);
	if (outcome->windows + outcome->pieces != 0) {
		mhp__say(&text, 0, "%llu windows and %llu pieces of 64K from node %u: %s",
			 (unsigned long long)outcome->windows, (unsigned long long)outcome->pieces,
			 outcome->from, reason);
		(void)!mhp_tier_announce(pool->m, outcome->to, outcome->pages, 0, text.text);
	}
	if (outcome->error != 0) {
		mhp__say(&text, 0, "a window stays on node %u: %s", outcome->from,
			 outcome->why.text);
		(void)!mhp_tier_announce(pool->m, outcome->to, 0, outcome->error, text.text);
	}
}

/* Make some moves; those with a reason between two nodes have one event. */
static void
move_some(struct turn *turn, const struct mhp__tier_move *moves, unsigned nr)
{
	struct outcome outcome[MHP__TIER_REASONS] = { 0 };
	for (unsigned i = 0; i < nr && atomic_load(&turn->pool->tiering.on); i++) {
		const struct mhp__tier_move *move = &moves[i];
		MHP__ASSERT(move->reason < MHP__TIER_REASONS);
		struct outcome *of = &outcome[move->reason];
		unsigned from = turn->set.unit[move->unit].node;
		if (of->windows + of->pieces + (of->error != 0) != 0 &&
		    (of->from != from || of->to != move->node)) {
			tell(turn->pool, of);
			*of = (struct outcome){ 0 };
		}
		of->from = from;
		of->to = move->node;
		of->reason = move->reason;
		move_unit(turn, move, of);
	}
	for (unsigned reason = 0; reason < MHP__TIER_REASONS; reason++)
		tell(turn->pool, &outcome[reason]);
}

/* As many at a time as find room while what leaves and what comes are both there. */
static void
move_all(struct turn *turn, unsigned nr_moves)
{
	for (unsigned first = 0, nr; first < nr_moves; first += nr) {
		struct mhp__tier_move *moves = &turn->move[first];
		uint64_t pages;
		nr = mhp__tier_batch(turn->set.unit, moves, nr_moves - first, &pages);
		MHP__ASSERT(nr != 0 && nr <= nr_moves - first);
		await_due(turn->pool, pages);
		move_some(turn, moves, nr);
	}
}

/* ---- turns ---- */

static void
take_turn(struct turn *turn)
{
	struct mhp_pool *pool = turn->pool;
	struct mhp__tiering *tiering = &pool->tiering;
	uint64_t started = mhp__linux_ops.now_ns(pool), cpu = cpu_ns();
	uint32_t permille = atomic_load(&tiering->look_permille);
	float boundary;
	look_at_nodes(turn);
	look(turn);
	unsigned nr_moves = mhp__tier_choose(turn->set.unit, turn->set.nr_units, turn->node,
					     turn_pages(tiering, started), turn->move,
					     &boundary);
	if (turn->set.nr_units != 0)
		tiering->wait_ns = mhp__tier_wait(boundary, tiering->wait_ns);
	cpu = cpu_ns() - cpu;
	mhp__pool_lock(pool);
	tiering->stats.look_cpu_ns += cpu;
	pthread_mutex_unlock(&pool->mutex);
	move_all(turn, nr_moves);
	uint64_t turn_ns = cpu * 1000 / (permille != 0 ? permille : 1);
	uint64_t end = started + (turn_ns > TURN_NS ? turn_ns : TURN_NS);
	tiering->turn_ns = end - started;
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
