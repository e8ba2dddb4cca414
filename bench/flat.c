/* SPDX-License-Identifier: MIT */
/*
 * flat.c - what one more page or block costs where there are 1 to 500,000 blocks already.
 *
 * Two tables. In the first, all blocks but one are in use by a zone and untouched, and one call is
 * measured at a time. In the second, the metadata of new blocks goes to a node whose memory is in
 * pieces: no run of its first blocks is long enough, so the first add has to search past them, and
 * those after it must not. CPU time of the thread, less what its clock takes, on simulated memory:
 * the core's own work.
 */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>

#define ROUNDS 65U
#define PIECE_ORDER 5U /* two in a row are shorter than the metadata of a block */
#define ROOM_BLOCKS 4U

enum { PAGE, COME, GO, ON_NODE, COLUMNS };

/* What reading the clock twice takes. */
static uint64_t overhead;

static uint64_t
timed(int err, uint64_t start, const char *what)
{
	uint64_t took = bench_thread_ns() - start;

	if (err < 0)
		bench_die(what);
	return took > overhead ? took - overhead : 0;
}

static void
measure_overhead(void)
{
	double ns[ROUNDS];

	overhead = 0;
	for (unsigned i = 0; i < ROUNDS; i++)
		ns[i] = (double)timed(0, bench_thread_ns(), "nothing");
	overhead = (uint64_t)bench_median(ns, ROUNDS);
}

static void
add_in_use(struct mhp *m, uint32_t first, uint32_t count)
{
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ZEROED | MHP_ADD_ONLINE,
		.zone = MHP_ZONE_NORMAL,
	};

	if (mhp_add(m, (struct mhp_blocks){ first, count }, &opts, NULL) != 0)
		bench_die("mhp_add");
}

static struct mhp_page_req
request(struct mhp *m, unsigned order)
{
	struct mhp_page_req req = { .order = (uint8_t)order };

	if (mhp_owner_register(m, "bench", NULL, NULL, &req.owner) != 0)
		bench_die("mhp_owner_register");
	return req;
}

/* A page of 32 KiB past the caches, there and back. */
static uint64_t
one_page(struct mhp *m, struct mhp_page_req req)
{
	uint64_t pfn, start = bench_thread_ns();
	int err = mhp_pages_alloc(m, req, 1, &pfn);

	if (err > 0)
		err = mhp_pages_free(m, &pfn, 1);
	return timed(err, start, "a page");
}

static uint64_t
come(struct mhp *m, uint32_t block, uint32_t flags)
{
	struct mhp_add_opts opts = { .flags = flags, .zone = MHP_ZONE_NORMAL };
	uint64_t start = bench_thread_ns();

	return timed(mhp_add(m, (struct mhp_blocks){ block, 1 }, &opts, NULL), start, "mhp_add");
}

static uint64_t
go(struct mhp *m, uint32_t block)
{
	struct mhp_blocks blocks = { block, 1 };
	uint64_t start = bench_thread_ns();

	return timed(mhp_remove(m, &blocks, 1, NULL, NULL), start, "mhp_remove");
}

static void
row(uint32_t nr_blocks)
{
	double ns[COLUMNS][ROUNDS];
	struct bench_pool pool;
	struct mhp_page_req req;

	bench_pool_open(&pool, nr_blocks + 1);
	add_in_use(pool.m, 0, nr_blocks);
	req = request(pool.m, 3);
	for (unsigned i = 0; i < ROUNDS; i++) {
		ns[PAGE][i] = (double)one_page(pool.m, req);
		ns[COME][i] = (double)come(pool.m, nr_blocks,
					   MHP_MEMMAP_ON_MEMORY | MHP_ADD_ZEROED | MHP_ADD_ONLINE);
		ns[GO][i] = (double)go(pool.m, nr_blocks);
		ns[ON_NODE][i] = (double)come(pool.m, nr_blocks,
					      MHP_MEMMAP_ON_NODE | MHP_ADD_OFFLINE);
		(void)go(pool.m, nr_blocks);
	}
	bench_pool_close(&pool);
	printf("%8u", nr_blocks);
	for (unsigned column = 0; column < COLUMNS; column++)
		printf("%13.0f", bench_median(ns[column], ROUNDS));
	printf("\n");
}

/* Leave only every other piece of the first blocks free. */
static void
break_up(struct mhp *m)
{
	struct mhp_page_req req = request(m, PIECE_ORDER);
	uint64_t pfn;

	while (mhp_page_alloc(m, req, &pfn) == 0)
		;
	for (pfn = 0; mhp_frame_peek(m, pfn).state != MHP_FRAME_ABSENT; pfn += 1U << PIECE_ORDER)
		if ((pfn >> PIECE_ORDER) % 2 == 0 &&
		    mhp_frame_peek(m, pfn).state == MHP_FRAME_USED && mhp_page_free(m, pfn) != 0)
			bench_die("mhp_page_free");
	mhp_drain_caches(m);
}

static void
broken_row(uint32_t nr_blocks)
{
	double ns[ROUNDS], first = 0;
	struct bench_pool pool;

	bench_pool_open(&pool, nr_blocks + ROOM_BLOCKS + ROUNDS + 1);
	add_in_use(pool.m, 0, nr_blocks);
	break_up(pool.m);
	add_in_use(pool.m, nr_blocks, ROOM_BLOCKS);
	for (uint32_t i = 0; i <= ROUNDS; i++) {
		double took = (double)come(pool.m, nr_blocks + ROOM_BLOCKS + i,
					   MHP_MEMMAP_ON_NODE | MHP_ADD_OFFLINE);
		if (i == 0)
			first = took;
		else
			ns[i - 1] = took;
	}
	printf("%8u%13.0f%13.0f\n", nr_blocks, first, bench_median(ns, ROUNDS));
	bench_pool_close(&pool);
}

void
bench_flat(void)
{
	static const uint32_t all[] = { 1, 16, 1000, 64000, 500000 };
	static const uint32_t broken[] = { 1, 16, 256, 1024 };

	measure_overhead();
	printf("\none more page or block: ns of CPU time, median of %u\n", ROUNDS);
	printf("%8s%13s%13s%13s%13s\n", "blocks", "page", "add, online", "remove", "on-node add");
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		row(all[i]);
	printf("\nmetadata to a node whose blocks are in pieces: ns, the first add and the next\n");
	printf("%8s%13s%13s\n", "blocks", "first", "next");
	for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		broken_row(broken[i]);
}
