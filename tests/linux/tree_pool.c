/* SPDX-License-Identifier: MIT */
/*
 * tree_pool.c - a pool that looks like the machine of tree_table.tsv, or a large one, for tests of
 * the tree: it holds pages that cannot move or only slowly, and says what the library knows.
 *
 * usage: tree_pool NAME machine|TERABYTES. A machine has blocks 0 to 3 from the start and 32 to 37
 * plugged and offline, of 128 MiB each, their descriptors elsewhere; with TERABYTES all of that is
 * plugged. It says "ready", then reads lines and answers each with one: unmovable BLOCK, slow
 * BLOCK (to be moved, a page at a time), stubborn BLOCK (always about to be movable), unhold, list,
 * check; stand (slow pages wait where they are) and go.
 */
#define _GNU_SOURCE
#include <memplug/control.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK (UINT64_C(128) << 20)
#define BLOCKS_AT_BOOT 4U
#define FIRST_PLUGGED 32U
#define END_PLUGGED 38U
#define TIB (UINT64_C(1) << 40)
#define HELD_MAX 1024U
#define SLOW_NS 100000000L
#define STUBBORN_NS 20000000L

static struct mhp_pool *pool;
static struct mhp *m;
static uint16_t unmovable, slow, stubborn;
static uint64_t held[HELD_MAX];
static _Atomic unsigned nr_held;
static atomic_bool stands;

static void
check(int err, const struct mhp_text *text, const char *what)
{
	if (err == 0)
		return;
	fprintf(stderr, "tree_pool: %s: error %d: %s\n", what, err, text->text);
	exit(2);
}

/* ---- pages that take their time ---- */

static void
pause_ns(long ns)
{
	struct timespec pause = { 0, ns };
	nanosleep(&pause, NULL);
}

static int
isolate_slow(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	do
		pause_ns(SLOW_NS);
	while (atomic_load(&stands));
	return 0;
}

static int
isolate_stubborn(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	pause_ns(STUBBORN_NS);
	return MHP_EAGAIN;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx;
	for (unsigned i = 0; i < nr_moves; i++)
		for (unsigned k = 0; k < nr_held; k++)
			if (held[k] - moves[i].src_pfn < moves[i].nr_pages)
				held[k] += moves[i].dst_pfn - moves[i].src_pfn;
	*ret_done = nr_moves;
	return 0;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static const struct mhp_movable_ops slow_ops = { isolate_slow, migrate, putback, NULL };
static const struct mhp_movable_ops stubborn_ops = { isolate_stubborn, migrate, putback, NULL };

/* The first half of a block stays free of them. */
static bool
is_wanted(uint64_t pfn, uint32_t block)
{
	unsigned order = mhp_get_geometry(m)->block_order;
	return pfn >> order == block && (pfn >> (order - 1) & 1) != 0;
}

/* Take pages of an owner until one lies where it is wanted; keep that; of slow ones, all there. */
static int
hold(uint16_t owner, uint32_t block)
{
	struct mhp_page_req req = { .owner = owner, .order = 9 };
	uint64_t others[HELD_MAX];
	unsigned nr_others = 0, nr_kept = 0;
	uint64_t pfn;
	while (nr_others < HELD_MAX && nr_held < HELD_MAX && mhp_page_alloc(m, req, &pfn) == 0) {
		if (!is_wanted(pfn, block)) {
			others[nr_others++] = pfn;
			continue;
		}
		held[nr_held] = pfn;
		nr_held++;
		nr_kept++;
		if (owner != slow)
			break;
	}
	while (nr_others > 0)
		(void)!mhp_page_free(m, others[--nr_others]);
	mhp_drain_caches(m);
	return nr_kept != 0 ? 0 : MHP_ENOMEM;
}

static int
unhold(void)
{
	int err = 0;
	while (nr_held > 0 && err == 0)
		err = mhp_page_free(m, held[--nr_held]);
	mhp_drain_caches(m);
	return err;
}

/* ---- what the library knows: STATE ZONE NODE USED FREE of each block that is there ---- */

static void
list(void)
{
	struct mhp_block_info info;
	printf("[");
	for (uint32_t block = 0, nr = 0; mhp_block_get(m, block, &info) == 0; block++) {
		if (info.state == MHP_ABSENT)
			continue;
		printf("%s[%u,%u,%u,%u,%llu,%llu]", nr++ == 0 ? "" : ",", block, info.state,
		       info.zone, info.node, (unsigned long long)info.used_bytes,
		       (unsigned long long)info.free_bytes);
	}
	printf("]\n");
}

static void
report(void *ctx, const struct mhp_finding *finding)
{
	(void)ctx;
	fprintf(stderr, "tree_pool: invariant %u: %s at %llu: %llu, not %llu\n",
		finding->invariant, finding->what, (unsigned long long)finding->where,
		(unsigned long long)finding->have, (unsigned long long)finding->want);
}

static void
answer(char *line)
{
	char *number = strchr(line, ' ');
	uint32_t block = number != NULL ? (uint32_t)strtoul(number, NULL, 10) : 0;
	int err = MHP_EINVAL;
	if (strncmp(line, "list", 4) == 0) {
		list();
		return;
	}
	if (strncmp(line, "unmovable", 9) == 0)
		err = hold(unmovable, block);
	else if (strncmp(line, "slow", 4) == 0)
		err = hold(slow, block);
	else if (strncmp(line, "stubborn", 8) == 0)
		err = hold(stubborn, block);
	else if (strncmp(line, "stand", 5) == 0 || strncmp(line, "go", 2) == 0)
		atomic_store(&stands, line[0] == 's'), err = 0;
	else if (strncmp(line, "unhold", 6) == 0)
		err = unhold();
	else if (strncmp(line, "check", 5) == 0)
		err = mhp_check(m, false, report, NULL);
	printf("%d\n", err);
}

/* ---- the pool ---- */

static void
plug(uint64_t size, uint32_t flags, uint8_t zone)
{
	struct mhp_text text = { "" };
	struct mhp_backing memfd = { .kind = MHP_BACKING_RAM };
	struct mhp_add_opts opts = { .flags = flags, .zone = zone };
	check(mhp_pool_add(pool, &memfd, size, &opts, NULL, &text), &text, "plug");
}

static void
make_machine(void)
{
	struct mhp_blocks gap = { BLOCKS_AT_BOOT, FIRST_PLUGGED - BLOCKS_AT_BOOT };
	struct mhp_text none = { "" };
	plug(BLOCKS_AT_BOOT * BLOCK, MHP_ADD_BOOT | MHP_ADD_ONLINE, MHP_ZONE_NORMAL);
	plug(gap.count * BLOCK, MHP_ADD_OFFLINE, MHP_ZONE_DEFAULT);
	plug((END_PLUGGED - FIRST_PLUGGED) * BLOCK, MHP_ADD_OFFLINE, MHP_ZONE_DEFAULT);
	check(mhp_remove(m, &gap, 1, NULL, NULL), &none, "make a gap");
}

int
main(int argc, char **argv)
{
	char line[64];
	struct mhp_text text = { "" };
	uint64_t size = argc == 3 ? strtoull(argv[2], NULL, 10) * TIB : 0;
	struct mhp_pool_opts shape = { .max_bytes = size != 0 ? size : 64 * BLOCK,
				       .block_bytes = BLOCK, .trace = mhp_control_trace };
	struct mhp_control_opts control = {
		.name = argc == 3 ? argv[1] : NULL,
		.backing = { .kind = MHP_BACKING_RAM },
	};
	if (argc != 3) {
		fprintf(stderr, "usage: tree_pool NAME machine|TERABYTES\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	check(mhp_pool_create(&shape, &pool, &text), &text, "make a pool");
	m = mhp_pool_engine(pool);
	check(mhp_owner_register(m, "unmovable", NULL, NULL, &unmovable), &text, "owner");
	check(mhp_owner_register(m, "slow", &slow_ops, NULL, &slow), &text, "owner");
	check(mhp_owner_register(m, "stubborn", &stubborn_ops, NULL, &stubborn), &text, "owner");
	if (size != 0)
		plug(size, MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, MHP_ZONE_MOVABLE);
	else
		make_machine();
	check(mhp_control_start(pool, &control, &text), &text, "serve");
	puts("ready");
	while (fgets(line, sizeof(line), stdin) != NULL)
		answer(line);
	return 0;
}
