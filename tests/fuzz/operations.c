/* SPDX-License-Identifier: MIT */
/*
 * operations.c - fuzz target: a stream of operations on a small machine (R17, R47, R75).
 *
 * Two bytes choose an operation: they are the random state that the generator of tests/replay.c
 * goes on from, so the fuzzer composes the stream instead of following one seed. The generator
 * keeps the pages that it was given and knows what must be in them; the verifier looks at the rest
 * now and then, and at the end everything has to leave.
 */
#include "../replay.h"
#include "fuzz.h"
#include "sim.h"

enum { LOOK_EVERY = 16 };

static struct mhp *
make_machine(struct mhp_sim **ret_sim)
{
	const struct mhp_sim_opts opts = {
		.geometry = { 12, 2, 3, 3, 2, 2, 8, 8 }, .fill = MHP_SIM_GARBAGE, .seed = 1,
		.meta_bytes = 1 << 20,
	};
	struct mhp_config config;
	struct mhp *m = NULL;
	size_t size;

	FUZZ_CHECK(mhp_sim_create(&opts, ret_sim) == 0);
	mhp_sim_config(*ret_sim, &config);
	FUZZ_CHECK(mhp_footprint(&config.geometry, &size) == 0);
	FUZZ_CHECK(mhp_init(mhp_sim_instance_memory(*ret_sim, size), size, &config, &m) == 0);
	mhp_sim_cpu = 0;
	return m;
}

static void
found(void *ctx, const struct mhp_finding *finding)
{
	(void)ctx;
	fprintf(stderr, "INV %u at %#llx, %s\n", finding->invariant,
		(unsigned long long)finding->where, finding->what);
}

static void
remove_all(struct mhp *m)
{
	const struct mhp_geometry *geo = mhp_get_geometry(m);
	bool left = true;

	/* Blocks that hold metadata of others go last. */
	for (uint32_t pass = 0; left && pass <= geo->nr_blocks; pass++) {
		left = false;
		for (uint32_t block = 0; block < geo->nr_blocks; block++) {
			struct mhp_blocks one = { block, 1 };
			int error = mhp_remove(m, &one, 1, NULL, NULL);
			left |= error != 0 && error != MHP_ENOENT;
		}
	}
	FUZZ_CHECK(!left && mhp_fini(m) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct replay replay;
	struct mhp_sim *sim;
	struct mhp *m = make_machine(&sim);
	struct replay_op op;

	replay_open(&replay, m, 0, REPLAY_EXTERNAL | REPLAY_TROUBLE | REPLAY_NONSENSE, NULL);
	for (size_t i = 0; i + 1 < size && replay.broken == NULL; i += 2) {
		replay.random = (uint64_t)data[i] << 8 | data[i + 1];
		replay_next(&replay, &op);
		replay_do(&replay, &op);
		if (i / 2 % LOOK_EVERY == LOOK_EVERY - 1)
			FUZZ_CHECK(mhp_check(m, true, found, NULL) == 0);
	}
	replay_check(&replay);
	FUZZ_CHECK(mhp_check(m, true, found, NULL) == 0);
	replay_close(&replay);
	if (replay.broken != NULL)
		fprintf(stderr, "%s, pfn %llu\n", replay.broken,
			(unsigned long long)replay.broken_at);
	FUZZ_CHECK(replay.broken == NULL);
	remove_all(m);
	mhp_sim_destroy(sim);
	return 0;
}
