/* SPDX-License-Identifier: MIT */
/*
 * listener.c - a listener that may say no, and a plan: several changes, all or none.
 *
 * While a backup reads memory, nothing may leave. A plan that brings a new block online and removes
 * two old ones is refused as a whole, by name; when the backup is done, it goes through.
 *
 *     cc listener.c -o listener $(pkg-config --cflags --libs memplug)
 */
#include <inttypes.h>
#include <memplug/linux.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK (4U << 20)

static bool backup_runs = true;

/* Only a GOING event may be refused; each is followed by what became of it. */
static int
listen(void *ctx, const struct mhp_notice *notice)
{
	static const char *const words[] = {
		[MHP_GOING_ONLINE_NOTICE] = "coming", [MHP_CANCEL_ONLINE_NOTICE] = "did not come",
		[MHP_ONLINE_NOTICE] = "came",         [MHP_GOING_OFFLINE_NOTICE] = "leaving",
		[MHP_CANCEL_OFFLINE_NOTICE] = "stays", [MHP_OFFLINE_NOTICE] = "left",
	};
	(void)ctx;
	if (notice->kind <= MHP_OFFLINE_NOTICE)
		printf("  block %" PRIu64 " %s\n", notice->start_pfn * 4096 / BLOCK,
		       words[notice->kind]);
	return notice->kind == MHP_GOING_OFFLINE_NOTICE && backup_runs ? MHP_EBUSY : 0;
}

static void
must(int err, const char *what)
{
	if (err == 0)
		return;
	printf("%s: %s\n", what, mhp_error_text(err));
	exit(1);
}

static void
list(struct mhp *m)
{
	struct mhp_stats stats;
	mhp_get_stats(m, &stats);
	printf("%u blocks, %u of them online\n", stats.blocks_present, stats.blocks_online);
}

int
main(void)
{
	struct mhp_pool_opts shape = { .block_bytes = BLOCK, .max_bytes = 16 * BLOCK };
	struct mhp_add_opts offline = MHP_ADD_OPTS_DEFAULT;
	struct mhp_blocks all = { 0, 16 };
	struct mhp_step steps[] = {
		{ .kind = MHP_STEP_ONLINE, .blocks = { 2, 1 }, .zone = MHP_ZONE_MOVABLE },
		{ .kind = MHP_STEP_REMOVE, .blocks = { 0, 2 } },
	};
	struct mhp_plan_answer answer;
	struct mhp_pool *pool;
	uint16_t listener;

	offline.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_OFFLINE;
	must(mhp_pool_create(&shape, &pool, NULL), "create");
	struct mhp *m = mhp_pool_engine(pool);
	must(mhp_pool_add(pool, NULL, 2 * BLOCK, NULL, NULL, NULL), "add");
	must(mhp_pool_add(pool, NULL, BLOCK, &offline, NULL, NULL), "add offline");
	must(mhp_listener_add(m, listen, NULL, 0, &listener), "listen");
	must(mhp_listener_set_name(m, listener, "the nightly backup"), "name");
	list(m);

	int err = mhp_plan_commit(m, steps, 2, NULL, &answer);
	printf("step %u: %s: %s: %s\n", answer.failed_step, mhp_error_text(err),
	       mhp_cause_text(answer.why.cause), answer.why.text);
	list(m);

	backup_runs = false;
	must(mhp_plan_commit(m, steps, 2, NULL, &answer), "plan");
	list(m);

	must(mhp_listener_remove(m, listener), "stop listening");
	must(mhp_remove(m, &all, 1, NULL, NULL), "remove all");
	must(mhp_pool_destroy(pool), "destroy");
	return 0;
}
