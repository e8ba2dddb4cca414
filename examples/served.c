/* SPDX-License-Identifier: MIT */
/*
 * served.c - a program that serves its own pool: `memplug` lists it, changes it and watches it.
 *
 *     cc served.c -o served $(pkg-config --cflags --libs memplug)
 *     ./served &
 *     memplug -p served list
 *     memplug -p served add 8M
 *     memplug -p served remove 0-1
 *     kill %1
 */
#include <memplug/control.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (4U << 20)

static volatile sig_atomic_t ended;
static struct mhp_text text;

static void
end(int number)
{
	(void)number;
	ended = 1;
}

static void
must(int err, const char *what)
{
	if (err == 0)
		return;
	printf("%s: %s: %s\n", what, mhp_error_text(err), text.text);
	exit(1);
}

int
main(void)
{
	struct mhp_pool_opts shape = { .block_bytes = BLOCK, .max_bytes = 16 * BLOCK,
				       .trace = mhp_control_trace };
	struct mhp_control_opts control = { .name = "served" };
	struct mhp_region *region;
	struct mhp_pool *pool;

	must(mhp_pool_create(&shape, &pool, &text), "create");
	must(mhp_pool_add(pool, NULL, 2 * BLOCK, NULL, NULL, &text), "add");
	must(mhp_region_create(pool, "words", BLOCK, &region, &text), "region");
	char *words = mhp_region_base(region);
	must(mhp_region_commit(region, words, BLOCK), "commit");
	memset(words, 'w', BLOCK);

	signal(SIGTERM, end);
	signal(SIGINT, end);
	must(mhp_control_start(pool, &control, &text), "serve");
	puts("served: memplug -p served list");
	fflush(stdout);
	while (!ended)
		pause();

	unsigned wrong = 0;
	for (unsigned i = 0; i < BLOCK; i++)
		wrong += words[i] != 'w';
	printf("%u of %u words are wrong\n", wrong, BLOCK);

	struct mhp_blocks all = { 0, 16 };
	must(mhp_control_stop(), "stop serving");
	mhp_region_destroy(region);
	must(mhp_remove(mhp_pool_engine(pool), &all, 1, NULL, NULL), "remove all");
	must(mhp_pool_destroy(pool), "destroy");
	return wrong != 0;
}
