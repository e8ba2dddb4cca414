/* SPDX-License-Identifier: MIT */
/*
 * trajectory.h - a seeded sequence of operations on any instance, on any port: the same seed,
 * geometry and blocks give the same results and the same digests, hosted or not (R47).
 */
#ifndef BARE_TRAJECTORY_H
#define BARE_TRAJECTORY_H

#include <memplug/mhp.h>

enum { TRAJECTORY_PAGES_MAX = 4096, TRAJECTORY_REPORT_EVERY = 1000 };

struct trajectory_page {
	uint64_t pfn;
	uint8_t order;
	bool movable;
};

struct trajectory {
	/* Filled in by the caller; the rest is zero. */
	struct mhp *m;
	struct mhp_blocks blocks;      /* all absent, and so they are afterwards */
	uint64_t seed;
	uint64_t nr_ops;
	void (*report)(void *ctx, uint64_t op, uint64_t digest);
	void *report_ctx;

	struct trajectory_page pages[TRAJECTORY_PAGES_MAX];
	uint32_t nr_pages;             /* live: pages[0] to pages[nr_pages - 1] */
	uint16_t movable_owner, fixed_owner;
	uint64_t random;
	uint64_t results;              /* a hash over everything that the engine answered */
	uint64_t nr_wrong;             /* pages whose contents were not theirs */
};

/*
 * Run it. Nobody else may be in the engine. Every TRAJECTORY_REPORT_EVERY operations, report gets a
 * hash of the instance's digest and of all results so far.
 * Return: 0, MHP_EIO (contents or an invariant were broken), or an error of setting up.
 */
MHP_MUST_CHECK int trajectory_run(struct trajectory *t);

#endif
