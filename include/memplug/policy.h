/* SPDX-License-Identifier: MIT */
/*
 * policy.h - choices that a caller may leave to the engine: which zone, and whether to come online.
 *
 * Both mirror Linux's knobs: online_policy, auto_movable_ratio, auto_movable_numa_aware and
 * auto_online_blocks. A knob may be changed at any time; it decides for later calls only.
 *
 * Context, unless a function says otherwise: any thread, also listeners and owners'
 * functions; waits for a change that is being committed, never for pages that move.
 */
#ifndef MEMPLUG_POLICY_H
#define MEMPLUG_POLICY_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

enum mhp_online_policy {
	MHP_POLICY_CONTIG_ZONES,   /* NORMAL, or what the neighbours of the range are */
	/* MOVABLE while the ratio to boot memory in NORMAL allows it, for all that one add has
	 * brought; else NORMAL */
	MHP_POLICY_AUTO_MOVABLE,
};

enum mhp_auto_online {
	MHP_AUTO_OFFLINE,
	MHP_AUTO_ONLINE,           /* the zone is the policy's choice */
	MHP_AUTO_ONLINE_KERNEL,
	MHP_AUTO_ONLINE_MOVABLE,
};

/** An auto-online that fails keeps the hotplug lock for about a millisecond an attempt. */
#define MHP_AUTO_ONLINE_ATTEMPTS_MAX 100U

struct mhp_policy {
	enum mhp_online_policy online_policy;
	enum mhp_auto_online auto_online;
	uint32_t auto_online_attempts; /* tries of an auto-online; 0 = 3, up to _MAX */
	uint32_t auto_movable_ratio; /* MOVABLE : NORMAL of boot blocks in per cent, e.g. 301 */
	bool auto_movable_numa_aware; /* the ratio must also hold on the node itself */
	bool strict;               /* explicit MOVABLE must keep the ratio too: MHP_EPERM */
};

/** What the engine starts with: contig-zones, auto-online off, 3 attempts, 301 %, NUMA-aware. */
#define MHP_POLICY_DEFAULT                                                                         \
	{ MHP_POLICY_CONTIG_ZONES, MHP_AUTO_OFFLINE, 3, 301, true, false }

/** Set all knobs at once. Context: takes the hotplug lock.
 * Return: 0, MHP_EINVAL (a value out of range), MHP_EDEADLK. */
MHP_MUST_CHECK int mhp_set_policy(struct mhp *m, const struct mhp_policy *policy);
/** The knobs as they are. */
void mhp_get_policy(struct mhp *m, struct mhp_policy *ret_policy);

/** What would happen if @nr_pages came online on @node; amounts are whole blocks, in pages. */
struct mhp_foresight {
	uint8_t zone;              /* what MHP_ZONE_DEFAULT would choose */
	uint64_t normal_pages;     /* boot blocks that are in NORMAL zones now */
	uint64_t movable_pages;    /* blocks that are in MOVABLE zones now */
	uint32_t ratio_after;      /* per cent if they went to MOVABLE; UINT32_MAX: no NORMAL */
	bool movable_fits;         /* the ratio would hold */
};

/**
 * Say what would happen if pages came online.
 *
 * @start_pfn: where the usable range starts. If that is in an offline block, the rest of its add
 *             counts, too.
 *
 * Cost: follows the number of ranges.
 * Return: 0, MHP_ENODEV, MHP_EINVAL (no pages), MHP_ENXIO (beyond the last block).
 */
MHP_MUST_CHECK int mhp_policy_foresee(struct mhp *m, unsigned node, uint64_t start_pfn,
				      uint64_t nr_pages, struct mhp_foresight *ret_foresight);

#ifdef __cplusplus
}
#endif
#endif
