/* SPDX-License-Identifier: MIT */
/*
 * pool_fixture.c - a pool with something in it that tests of the command need and no program has:
 * a pinned page in block 0, data that does not fit elsewhere, a listener that refuses.
 *
 * usage: pool_fixture NAME. One block of 16 MiB with a place, the first half of it in use, one page
 * pinned. It says "ready", then reads lines, "unpin", "fill" (use all that is free), "scatter"
 * (give three quarters of that back, so that nowhere two MiB in a row are free), "veto N" (block N
 * must not go offline) or "hold" (take a page that is never ready to move, so that an offline
 * waits), and answers "done"; it ends with its input. Asked for room, it has nothing to give back.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <memplug/control.h>

#define BLOCK (UINT64_C(16) << 20)

static void
check(int err, const struct mhp_text *text, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "pool_fixture: %s: error %d: %s\n", what, err, text->text);
	exit(2);
}

static void
give_nothing(void)
{
}

static struct mhp_pool *
make_pool(const char *name)
{
	struct mhp_text text = { "" };
	struct mhp_backing memfd = { .kind = MHP_BACKING_MEMFD };
	struct mhp_pool_opts shape = { .max_bytes = 16 * BLOCK, .block_bytes = BLOCK,
				       .trace = mhp_control_trace };
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE,
				    .zone = MHP_ZONE_MOVABLE };
	struct mhp_control_opts control = { .name = name, .backing = memfd,
					    .give_back = give_nothing };
	struct mhp_pool *pool;
	check(mhp_pool_create(&shape, &pool, &text), &text, "create");
	check(mhp_pool_add(pool, &memfd, BLOCK, &add, NULL, &text), &text, "add");
	check(mhp_control_start(pool, &control, &text), &text, "serve");
	return pool;
}

/* What is pinned before it goes to the block's place would stay out of it. */
static void
await_settled(struct mhp_pool *pool)
{
	struct mhp_pool_stats stats = { 0 };
	for (unsigned ms = 0; stats.settled_bytes == 0 && ms < 5000; ms++) {
		usleep(1000);
		mhp_pool_get_stats(pool, &stats);
	}
}

#define PIECE (UINT64_C(64) << 10)

/* Use everything, a piece at a time. Returns where that ends. */
static uint64_t
fill(struct mhp_region *region, uint64_t from)
{
	char *base = mhp_region_base(region);
	while (from + PIECE <= mhp_region_size(region) &&
	       mhp_region_commit(region, base + from, PIECE) == 0) {
		memset(base + from, 1, PIECE);
		from += PIECE;
	}
	return from;
}

/* Keep each fourth piece. */
static void
scatter(struct mhp_region *region, uint64_t from, uint64_t end)
{
	struct mhp_text text = { "" };
	char *base = mhp_region_base(region);
	for (uint64_t at = from; at < end; at += PIECE) {
		int err = MHP_EAGAIN;
		for (unsigned ms = 0; at / PIECE % 4 != 0 && err == MHP_EAGAIN && ms < 5000; ms++) {
			err = mhp_region_decommit(region, base + at, PIECE);
			usleep(err == MHP_EAGAIN ? 1000 : 0);
		}
		check(at / PIECE % 4 != 0 ? err : 0, &text, "decommit");
	}
}

static int
veto(void *ctx, const struct mhp_notice *notice)
{
	unsigned long block = *(const unsigned long *)ctx;
	return notice->kind == MHP_GOING_OFFLINE_NOTICE &&
			       notice->start_pfn / (BLOCK / 4096) == block
		? MHP_EBUSY : 0;
}

static int
never_ready(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return MHP_ETXTBSY;
}

static int
migrate_none(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx, (void)moves, (void)nr_moves;
	*ret_done = 0;
	return MHP_EBUSY;
}

static void
putback_none(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

/* Take pages that keep every offline of their blocks waiting: all that is free, or almost, of the
 * block that is next. */
static void
hold(struct mhp_pool *pool)
{
	static const struct mhp_movable_ops ops = {
		.isolate = never_ready, .migrate = migrate_none, .putback = putback_none };
	static struct mhp_page_req req = { .order = 9 };
	static uint64_t next_block;
	struct mhp *m = mhp_pool_engine(pool);
	uint64_t pfn = 0;
	struct mhp_text text = { "" };
	if (req.owner == 0)
		check(mhp_owner_register(m, "holder", &ops, NULL, &req.owner), &text, "register");
	do
		check(mhp_page_alloc(m, req, &pfn), &text, "alloc");
	while (pfn / (BLOCK / 4096) < next_block);
	next_block = pfn / (BLOCK / 4096) + 1;
}

int
main(int argc, char **argv)
{
	static unsigned long vetoed;
	uint64_t end = BLOCK / 2;
	uint16_t listener;
	char line[64];
	struct mhp_region *region;
	struct mhp_text text = { "" };
	if (argc != 2)
		return 2;
	struct mhp_pool *pool = make_pool(argv[1]);
	check(mhp_region_create(pool, "test", 32 * BLOCK, &region, &text), &text, "region");
	char *base = mhp_region_base(region);
	check(mhp_region_commit(region, base, BLOCK / 2), &text, "commit");
	memset(base, 1, BLOCK / 2);
	await_settled(pool);
	check(mhp_region_pin(region, base + 4096, 4096), &text, "pin");
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "unpin\n") == 0)
			check(mhp_region_unpin(region, base + 4096, 4096), &text, "unpin");
		else if (strcmp(line, "fill\n") == 0)
			end = fill(region, BLOCK / 2);
		else if (strcmp(line, "scatter\n") == 0)
			scatter(region, BLOCK / 2, end);
		else if (sscanf(line, "veto %lu", &vetoed) == 1)
			check(mhp_listener_add(mhp_pool_engine(pool), veto, &vetoed, 0, &listener),
			      &text, "listener");
		else if (strcmp(line, "hold\n") == 0)
			hold(pool);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
