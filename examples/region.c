/* SPDX-License-Identifier: MIT */
/*
 * region.c - a region: plain memory with plain pointers, whose blocks leave from under it.
 *
 * A linked list lies in a region of the pool. Every block that it started on is removed while a
 * thread walks the list; no pointer changes, and the thread never finds anything wrong.
 *
 *     cc region.c -o region $(pkg-config --cflags --libs memplug)
 */
#include <memplug/linux.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK (4U << 20)
#define NODES 100000U

struct node {
	struct node *next;
	uint64_t value;
};

static struct mhp_text text;
static _Atomic int stop, started;
static _Atomic unsigned wrong;

static void
must(int err, const char *what)
{
	if (err == 0)
		return;
	printf("%s: %s: %s\n", what, mhp_error_text(err), text.text);
	exit(1);
}

static void *
walk(void *list)
{
	do {
		uint64_t nr = 0;
		for (struct node *node = list; node != NULL; node = node->next) {
			wrong += node->value != nr++;
			node->value = nr - 1; /* writes are not lost, either */
		}
		wrong += nr != NODES;
		started = 1;
	} while (!stop);
	return NULL;
}

int
main(void)
{
	struct mhp_pool_opts shape = { .block_bytes = BLOCK, .max_bytes = 16 * BLOCK };
	struct mhp_blocks first = { 0, 2 }, all = { 0, 16 };
	struct mhp_region *region;
	struct mhp_pool *pool;
	pthread_t thread;

	must(mhp_pool_create(&shape, &pool, &text), "create");
	must(mhp_pool_add(pool, NULL, 2 * BLOCK, NULL, NULL, &text), "add");
	must(mhp_region_create(pool, "list", BLOCK, &region, &text), "region");

	struct node *list = mhp_region_base(region);
	must(mhp_region_commit(region, list, BLOCK), "commit");
	for (unsigned i = 0; i < NODES; i++)
		list[i] = (struct node){ i + 1 < NODES ? &list[i + 1] : NULL, i };
	printf("a list of %u nodes lies in blocks 0-1\n", NODES);

	must(pthread_create(&thread, NULL, walk, list), "thread");
	while (!started)
		;
	must(mhp_pool_add(pool, NULL, 2 * BLOCK, NULL, NULL, &text), "add");
	must(mhp_remove(mhp_pool_engine(pool), &first, 1, NULL, NULL), "remove");
	stop = 1;
	pthread_join(thread, NULL);
	printf("blocks 0-1 left, the list is at the same address: %s, %u nodes wrong\n",
	       list == mhp_region_base(region) ? "yes" : "no", (unsigned)wrong);

	mhp_region_destroy(region);
	must(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL), "remove all");
	must(mhp_pool_destroy(pool), "destroy");
	return wrong != 0;
}
