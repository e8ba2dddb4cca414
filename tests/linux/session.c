/* SPDX-License-Identifier: MIT */
/*
 * session.c - a pool that does everything that can be recorded, from a seed, and then waits.
 *
 * usage: session NAME SEED STEPS
 *
 * It has owners whose pages refuse, fail to move or cannot move, a listener that objects, bad
 * pages, plans, two nodes and changing policies: what a program under `memplug run` would not do by
 * itself. It says "half" half-way and "ready" at the end, and waits each time for a byte of
 * standard input.
 */
#define _GNU_SOURCE
#include <memplug/control.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../online.h"

#define BLOCK (UINT64_C(4) << 20)
#define BLOCK_PAGES (BLOCK / 4096)
#define NR_BLOCKS 48U
#define NR_PAGES 400U

static struct mhp_pool *pool;
static struct mhp *m;
static uint64_t seed;
static uint16_t owners[2];             /* one whose pages can move, and one whose cannot */
static uint64_t pages[2][NR_PAGES];    /* pfn + 1 */
static int isolate_error, migrate_error, listener_error;

static unsigned
pick(unsigned below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(seed >> 33) % below;
}

static void
need(int err, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "session: %s: error %d\n", what, err);
	exit(1);
}

/* ---- pages that are in the way ---- */

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return isolate_error;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx;
	for (*ret_done = 0; *ret_done < nr_moves; ++*ret_done) {
		const struct mhp_move *move = &moves[*ret_done];
		if (migrate_error != 0 && pick(4) == 0)
			return migrate_error;
		for (unsigned i = 0; i < NR_PAGES; i++)
			if (pages[0][i] != 0 && pages[0][i] - 1 - move->src_pfn < move->nr_pages)
				pages[0][i] = pages[0][i] - move->src_pfn + move->dst_pfn;
	}
	return 0;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static const struct mhp_movable_ops ops = {
	.isolate = isolate, .migrate = migrate, .putback = putback,
};

static void
use_pages(void)
{
	unsigned kind = pick(16) == 0, at = pick(NR_PAGES);
	struct mhp_page_req req = { .owner = owners[kind],
				    .order = (uint8_t)(pick(3) == 0 ? 9 : pick(4)) };
	uint64_t pfn;
	if (pages[kind][at] != 0)
		need(mhp_page_free(m, pages[kind][at] - 1), "free");
	pages[kind][at] = 0;
	if (pick(2) == 0 && mhp_page_alloc(m, req, &pfn) == 0)
		pages[kind][at] = pfn + 1;
}

static int
listen(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx, (void)notice;
	return listener_error != 0 && pick(2) == 0 ? listener_error : 0;
}

/* ---- steps ---- */

static struct mhp_blocks
some_blocks(void)
{
	uint32_t first = pick(NR_BLOCKS), count = 1 + pick(pick(3) + 1);
	return (struct mhp_blocks){ first, first + count > NR_BLOCKS ? 1 : count };
}

static unsigned
some_zone(void)
{
	static const unsigned zones[] = { MHP_ZONE_NORMAL, MHP_ZONE_MOVABLE, MHP_ZONE_DEFAULT };
	return zones[pick(3)];
}

static void
add(void)
{
	static const uint32_t places[] = {
		0, MHP_MEMMAP_ON_MEMORY, MHP_MEMMAP_ON_MEMORY, MHP_MEMMAP_ON_NODE,
		MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE, MHP_ADD_BOOT,
	};
	static const uint32_t hows[] = { 0, MHP_ADD_ONLINE, MHP_ADD_OFFLINE };
	struct mhp_backing backing = { .kind = MHP_BACKING_RAM };
	struct mhp_add_opts opts = {
		.flags = places[pick(6)] | hows[pick(3)], .node = (uint8_t)pick(2),
		.metadata_node = (uint8_t)pick(2), .zone = (uint8_t)some_zone(),
	};
	(void)!mhp_pool_add(pool, &backing, BLOCK * (1 + pick(3)), &opts, NULL, NULL);
}

static struct mhp_offline_opts
some_bounds(void)
{
	bool short_of_time = pick(3) == 0;
	return (struct mhp_offline_opts){ .deadline_ms = short_of_time ? 1 : 1000,
					  .attempts_max = short_of_time ? 1000 : 2,
					  .dry_run = pick(8) == 0 };
}

static void
leave(void)
{
	struct mhp_blocks sets[2] = { some_blocks(), some_blocks() };
	struct mhp_offline_opts opts = some_bounds();
	unsigned nr = 1 + pick(2);
	if (pick(2) == 0)
		(void)!mhp_offline(m, sets, nr, &opts, NULL);
	else
		(void)!mhp_remove(m, sets, nr, &opts, NULL);
}

static void
plan(void)
{
	static const enum mhp_step_kind kinds[] = {
		MHP_STEP_ONLINE, MHP_STEP_ONLINE, MHP_STEP_OFFLINE, MHP_STEP_REMOVE,
	};
	struct mhp_offline_opts opts = some_bounds();
	struct mhp_step steps[3];
	unsigned nr = 1 + pick(3);
	for (unsigned i = 0; i < nr; i++)
		steps[i] = (struct mhp_step){ .kind = kinds[pick(4)],
					      .blocks = { pick(NR_BLOCKS), 1 },
					      .zone = (uint8_t)some_zone() };
	(void)!mhp_plan_commit(m, steps, nr, &opts, NULL);
}

static void
change_policy(void)
{
	static const uint32_t ratios[] = { 50, 301, 1000 };
	struct mhp_policy policy = {
		.online_policy = (enum mhp_online_policy)pick(2),
		.auto_online = (enum mhp_auto_online)pick(4), .auto_online_attempts = 1,
		.auto_movable_ratio = ratios[pick(3)], .auto_movable_numa_aware = pick(2) != 0,
		.strict = pick(3) == 0,
	};
	need(mhp_set_policy(m, &policy), "policy");
	need(mhp_set_memmap_on_memory(m, (enum mhp_memmap_switch)pick(3)), "switch");
}

static void
change_bad_page(void)
{
	static uint64_t bad[32];
	unsigned at = pick(32);
	/* Often in a reserve. */
	uint64_t pfn = pick(NR_BLOCKS) * BLOCK_PAGES + (pick(3) == 0 ? pick(5) : pick(1024));
	if (bad[at] != 0) {
		(void)mhp_bad_remove(m, bad[at]);
		bad[at] = 0;
	} else if (mhp_bad_add(m, pfn) != MHP_EHWPOISON) {
		bad[at] = pfn;
	}
}

static void
step(void)
{
	static const int errors[] = { MHP_EBUSY, MHP_EAGAIN, MHP_EPERM, MHP_EIO };
	struct mhp_compact_result result;
	isolate_error = pick(4) == 0 ? errors[pick(4)] : 0;
	migrate_error = pick(4) == 0 ? errors[pick(4)] : 0;
	listener_error = pick(10) == 0 ? errors[pick(4)] : 0;
	switch (pick(14)) {
	case 0: case 1: case 2: add(); break;
	case 3: case 4: case 5: (void)!test_online(m, some_blocks(), some_zone(), NULL); break;
	case 6: case 7: case 8: leave(); break;
	case 9: plan(); break;
	case 10: change_policy(); break;
	case 11: change_bad_page(); break;
	case 12: (void)!mhp_block_announce(m, pick(NR_BLOCKS), pick(8)); break;
	default:
		(void)!mhp_compact(m, pick(2), (enum mhp_zone_kind)(1 + pick(2)), 100, &result);
		break;
	}
	for (unsigned i = pick(40); i > 0; i--)
		use_pages();
}

/* Wait for a byte on standard input, or its end. */
static void
say_and_wait(const char *word)
{
	char byte;
	printf("%s\n", word);
	fflush(stdout);
	(void)!read(0, &byte, 1);
}

int
main(int argc, char **argv)
{
	struct mhp_pool_opts opts = { .max_bytes = NR_BLOCKS * BLOCK, .block_bytes = BLOCK,
				      .nr_nodes = 2, .trace = mhp_control_trace };
	struct mhp_control_opts control = { .name = argc == 4 ? argv[1] : NULL };
	struct mhp_text text = { "" };
	int nr_steps = argc == 4 ? atoi(argv[3]) : 0;
	uint16_t listener;

	if (argc != 4)
		return 2;
	seed = strtoull(argv[2], NULL, 0);
	need(mhp_pool_create(&opts, &pool, &text), text.text);
	need(mhp_control_start(pool, &control, &text), text.text);
	m = mhp_pool_engine(pool);
	need(mhp_owner_register(m, "session", &ops, NULL, &owners[0]), "owner");
	need(mhp_owner_register(m, "fixed", NULL, NULL, &owners[1]), "owner");
	need(mhp_listener_add(m, listen, NULL, 0, &listener), "listener");
	for (int i = 0; i < nr_steps; i++) {
		if (i == nr_steps / 2)
			say_and_wait("half");
		step();
	}
	int found = mhp_check(m, true, NULL, NULL);
	need(found, "check");
	say_and_wait("ready");
	return 0;
}
