/* SPDX-License-Identifier: MIT */
/*
 * device.c - a cache on the memory of a device, which gives the device back when it is asked to.
 *
 * The device is node 1 of the pool. What the cache holds can be made again, so it need not move:
 * the listener drops what lies in the range that leaves, and nothing is in the way of the removal.
 *
 *     cc device.c -o device $(pkg-config --cflags --libs memplug)
 *     ./device dax:/dev/dax0.0        (or file:PATH, for a file on any file system)
 */
#include <memplug/linux.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK (4U << 20)
#define ENTRIES 400U

static struct mhp *m;
static struct mhp_page_req req = { .node = 1, .flags = MHP_PAGE_THIS_NODE };
static uint64_t entry[ENTRIES]; /* pfn, or MHP_PFN_NONE: not in the cache */
static struct mhp_text text;

static void
must(int err, const char *what)
{
	if (err == 0)
		return;
	printf("%s: %s: %s\n", what, mhp_error_text(err), text.text);
	exit(1);
}

/* The answer for a key: from the cache, or made, and kept where there is room. */
static unsigned
look_up(unsigned key, unsigned *nr_made)
{
	if (entry[key] == MHP_PFN_NONE) {
		++*nr_made;
		req.cookie = key;
		if (mhp_page_alloc(m, req, &entry[key]) != 0) {
			entry[key] = MHP_PFN_NONE; /* no device, no cache: slower, not wrong */
			return key * key;
		}
		unsigned value = key * key;
		memcpy(mhp_pfn_to_virt(m, entry[key]), &value, sizeof(value));
	}
	unsigned value;
	memcpy(&value, mhp_pfn_to_virt(m, entry[key]), sizeof(value));
	return value;
}

/* Called before anything moves: let go of what lies there. With threads: under the cache's lock. */
static int
let_go(void *ctx, const struct mhp_notice *notice)
{
	unsigned *nr_dropped = ctx;

	if (notice->kind != MHP_GOING_OFFLINE_NOTICE)
		return 0;
	for (unsigned key = 0; key < ENTRIES; key++)
		if (entry[key] - notice->start_pfn < notice->nr_pages) {
			must(mhp_page_free_owned(m, req.owner, entry[key]), "free");
			entry[key] = MHP_PFN_NONE;
			++*nr_dropped;
		}
	return 0;
}

static void
use(const char *when)
{
	unsigned nr_made = 0, nr_wrong = 0;

	for (unsigned key = 0; key < ENTRIES; key++)
		nr_wrong += look_up(key, &nr_made) != key * key;
	printf("%s: %u answers, %u made anew, %u wrong\n", when, ENTRIES, nr_made, nr_wrong);
}

int
main(int argc, char **argv)
{
	struct mhp_pool_opts shape = { .block_bytes = BLOCK, .max_bytes = 16 * BLOCK,
				       .nr_nodes = 2 };
	struct mhp_add_opts opts = MHP_ADD_OPTS_DEFAULT;
	struct mhp_add_answer answer;
	struct mhp_backing device;
	struct mhp_pool *pool;
	unsigned nr_dropped = 0;
	uint16_t listener;

	if (argc != 2)
		return 2;
	must(mhp_backing_parse(argv[1], &device, &text), argv[1]);
	must(mhp_pool_create(&shape, &pool, &text), "create");
	m = mhp_pool_engine(pool);
	opts.node = 1;
	opts.zone = MHP_ZONE_NORMAL; /* for pages that do not move */
	must(mhp_pool_add(pool, &device, 2 * BLOCK, &opts, &answer, &text), "add");
	must(mhp_owner_register(m, "cache", NULL, NULL, &req.owner), "register");
	must(mhp_listener_add(m, let_go, &nr_dropped, 0, &listener), "listen");
	memset(entry, 0xff, sizeof(entry));
	use("cold");
	use("warm");

	/* Somebody wants it back: `memplug evacuate`, a signal, the machine's owner. */
	must(mhp_remove(m, &answer.blocks, 1, NULL, NULL), "give back");
	printf("the device is given back, %u entries were dropped\n", nr_dropped);
	use("without");
	return mhp_pool_destroy(pool) != 0;
}
