/* SPDX-License-Identifier: MIT */
/*
 * hosted.c - the trajectory of the bare-metal image on the simulator, for comparison (R47).
 *
 *     hosted PAGE_SHIFT PAGEBLOCK SECTION BLOCK NODES CPUS BLOCKS BAD FIRST COUNT SEED OPS
 *
 * Takes what the image prints before its own run, and prints the same digests if all is well.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../ports/bare/trajectory.h"
#include "sim.h"

/* Owners that the image has registered before; their numbers are part of the state. */
enum { NR_ARGUMENTS = 12, NR_OWNERS = 2 };

static void
print_digest(void *ctx, uint64_t op, uint64_t digest)
{
	(void)ctx;
	printf("digest: %" PRIu64 " %016" PRIx64 "\n", op, digest);
}

static int
start(struct mhp_sim **ret_sim, const struct mhp_geometry *geometry, struct mhp **ret_m)
{
	struct mhp_sim_opts opts = { .geometry = *geometry, .vmemmap = MHP_VMEMMAP != 0,
				     .fill = MHP_SIM_KEEP };
	struct mhp_config config;
	size_t bytes;
	int error = mhp_sim_create(&opts, ret_sim);

	if (error != 0)
		return error;
	mhp_sim_config(*ret_sim, &config);
	error = mhp_footprint(geometry, &bytes);
	if (error != 0)
		return error;
	error = mhp_init(mhp_sim_instance_memory(*ret_sim, bytes), bytes, &config, ret_m);
	for (unsigned i = 0; error == 0 && i < NR_OWNERS; i++) {
		uint16_t owner;
		error = mhp_owner_register(*ret_m, "of the image", NULL, NULL, &owner);
	}
	return error;
}

int
main(int argc, char **argv)
{
	static struct trajectory t;
	uint64_t n[NR_ARGUMENTS];
	struct mhp_sim *sim = NULL;

	if (argc != NR_ARGUMENTS + 1) {
		fprintf(stderr, "%s: %d numbers, as the image prints them\n", argv[0],
			NR_ARGUMENTS);
		return 2;
	}
	for (int i = 0; i < NR_ARGUMENTS; i++)
		n[i] = strtoull(argv[i + 1], NULL, 0);
	struct mhp_geometry geometry = {
		(uint8_t)n[0], (uint8_t)n[1], (uint8_t)n[2], (uint8_t)n[3],
		(uint16_t)n[4], (uint16_t)n[5], (uint32_t)n[6], (uint32_t)n[7],
	};
	t.blocks = (struct mhp_blocks){ (uint32_t)n[8], (uint32_t)n[9] };
	t.seed = n[10];
	t.nr_ops = n[11];
	t.report = print_digest;
	int error = start(&sim, &geometry, &t.m);
	if (error == 0)
		error = trajectory_run(&t);
	if (error != 0)
		fprintf(stderr, "%s: error %d\n", argv[0], error);
	mhp_sim_destroy(sim);
	return error != 0;
}
