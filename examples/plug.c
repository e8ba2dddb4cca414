/* SPDX-License-Identifier: MIT */
/*
 * plug.c - the engine in one sitting, on simulated memory: what `make run` shows.
 *
 * A small key-value store keeps its values in movable pages. Blocks are plugged under it while not
 * one page is free, one of them refuses to leave and says why, then every block that the store
 * started on is removed, and all values are read back. Exits 0 only if nothing was lost.
 */
#include <inttypes.h>
#include <memplug/mhp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define NR_VALUES 60000U
#define BLOCK_BYTES (UINT64_C(128) << 20)

struct store {
	struct mhp *m;
	uint16_t owner;
	uint64_t pfn[NR_VALUES];   /* where value i lives now; the page's cookie is i */
	uint64_t moved;
};

static uint64_t
value_of(uint64_t key, unsigned word)
{
	return (key + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ word;
}

/* ---- the store as an owner of movable pages ---- */

static int
store_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	const struct store *store = ctx;

	(void)order;
	return cookie < NR_VALUES && store->pfn[cookie] == pfn ? 0 : MHP_EAGAIN;
}

static int
store_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct store *store = ctx;

	for (unsigned i = 0; i < nr_moves; i++) {
		memcpy(mhp_pfn_to_virt(store->m, moves[i].dst_pfn),
		       mhp_pfn_to_virt(store->m, moves[i].src_pfn), moves[i].nr_pages << 12);
		for (uint64_t page = 0; page < moves[i].nr_pages; page++) {
			uint64_t src_pfn = moves[i].src_pfn + page;
			uint64_t key = mhp_frame_peek(store->m, src_pfn).cookie;
			store->pfn[key] = moves[i].dst_pfn + page;
		}
		store->moved += moves[i].nr_pages;
	}
	*ret_done = nr_moves;
	return 0;
}

static void
store_putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static void
store_describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	(void)ctx, (void)pfn;
	snprintf(text, size, "value %" PRIu64 " of the store", cookie);
}

static const struct mhp_movable_ops store_ops = {
	.isolate = store_isolate,
	.migrate = store_migrate,
	.putback = store_putback,
	.describe = store_describe,
};

static void
store_fill(struct store *store)
{
	for (uint64_t key = 0; key < NR_VALUES; key++) {
		struct mhp_page_req req = { .cookie = key, .owner = store->owner };
		uint64_t *words;
		if (mhp_page_alloc(store->m, req, &store->pfn[key]) != 0) {
			printf("no page for value %" PRIu64 "\n", key);
			exit(1);
		}
		words = mhp_pfn_to_virt(store->m, store->pfn[key]);
		for (unsigned i = 0; i < 512; i += 64)
			words[i] = value_of(key, i);
	}
}

static unsigned
store_lost(const struct store *store)
{
	unsigned lost = 0;

	for (uint64_t key = 0; key < NR_VALUES; key++) {
		const uint64_t *words = mhp_pfn_to_virt(store->m, store->pfn[key]);
		for (unsigned i = 0; i < 512; i += 64)
			lost += words[i] != value_of(key, i);
	}
	return lost;
}

/* ---- showing ---- */

static void
draw(struct mhp *m, const char *title)
{
	static const char *const state[] = { "absent", "offline", "going-online", "online",
					     "going-offline" };
	struct mhp_block_info info;

	printf("\n%s\n", title);
	for (uint32_t block = 0; mhp_block_get(m, block, &info) == 0; block++) {
		unsigned filled;
		if (info.state == MHP_ABSENT)
			continue;
		filled = (unsigned)(info.used_bytes * 40 / info.span.size);
		printf("  block %2u  %-8s %-8s [%.*s%.*s] %3" PRIu64 " MiB used, metadata %s"
		       " (%" PRIu64 " KiB)\n",
		       block, state[info.state],
		       info.zone == MHP_ZONE_MOVABLE ? "Movable" : "Normal",
		       (int)filled, "########################################", (int)(40 - filled),
		       "........................................", info.used_bytes >> 20,
		       info.placement == MHP_PLACE_SELF ? "in the block" : "outside",
		       info.metadata_bytes >> 10);
	}
}

static void
must(int err, const char *what)
{
	if (err == 0)
		return;
	printf("%s failed: %d\n", what, err);
	exit(1);
}

static void
plug(struct mhp *m, uint32_t first, uint32_t count, uint8_t zone)
{
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_ADD_ZEROED |
			 MHP_ADD_ONLINE,
		.zone = zone,
	};

	must(mhp_add(m, (struct mhp_blocks){ first, count }, &opts, NULL), "mhp_add");
}

static struct mhp *
bring_up(struct mhp_sim **ret_sim)
{
	struct mhp_sim_opts opts = {
		.geometry = { .page_shift = 12, .pageblock_order = 9, .section_order = 15,
			      .block_order = 15, .nr_nodes = 1, .nr_cpus = 1, .nr_blocks = 16 },
		.fill = MHP_SIM_ZERO,
	};
	struct mhp_config config;
	struct mhp *m;
	size_t bytes;

	must(mhp_sim_create(&opts, ret_sim), "mhp_sim_create");
	must(mhp_footprint(&opts.geometry, &bytes), "mhp_footprint");
	mhp_sim_config(*ret_sim, &config);
	must(mhp_init(mhp_sim_instance_memory(*ret_sim, bytes), bytes, &config, &m), "mhp_init");
	printf("an instance for 2 GiB takes %zu KiB, and not a byte more for any block\n",
	       bytes >> 10);
	return m;
}

/* An unmovable page keeps its block from leaving, and the answer says so. */
static void
show_refusal(struct mhp *m)
{
	struct mhp_page_req req = { .cookie = 0 };
	struct mhp_block_info info;
	struct mhp_why why;
	uint64_t pfn;
	int err;

	must(mhp_owner_register(m, "a driver's ring buffer", NULL, NULL, &req.owner), "register");
	must(mhp_page_alloc(m, req, &pfn), "mhp_page_alloc");
	must(mhp_block_get(m, (uint32_t)(pfn >> 15), &info), "mhp_block_get");
	err = mhp_remove(m, &(struct mhp_blocks){ info.block, 1 }, 1, NULL, &why);
	printf("\nremove block %u: refused (%d): %s, pfn 0x%" PRIx64 ": %s\n", info.block, err,
	       mhp_cause_text(why.cause), why.pfn, why.text);
	if (err != MHP_EBUSY || why.pfn != pfn)
		exit(1);
	must(mhp_page_free(m, pfn), "mhp_page_free");
	must(mhp_owner_unregister(m, req.owner), "unregister");
}

int
main(void)
{
	static struct store store;
	struct mhp_blocks leaving = { 0, 3 };
	struct mhp_why why;
	struct mhp_sim *sim;
	unsigned lost;

	store.m = bring_up(&sim);
	must(mhp_owner_register(store.m, "store", &store_ops, &store, &store.owner), "register");
	plug(store.m, 0, 1, MHP_ZONE_NORMAL);
	plug(store.m, 1, 2, MHP_ZONE_MOVABLE);
	store_fill(&store);
	draw(store.m, "a store of 60,000 values on three blocks:");
	show_refusal(store.m);

	plug(store.m, 8, 3, MHP_ZONE_MOVABLE);
	draw(store.m, "three more, plugged from nothing but themselves:");

	must(mhp_remove(store.m, &leaving, 1, NULL, &why), "mhp_remove");
	draw(store.m, "all blocks that the store started on are gone:");

	lost = store_lost(&store);
	printf("\n%" PRIu64 " pages moved, %u lost\n", store.moved, lost);
	must(mhp_check(store.m, true, NULL, NULL), "mhp_check");
	mhp_sim_destroy(sim);
	return lost == 0 ? 0 : 1;
}
