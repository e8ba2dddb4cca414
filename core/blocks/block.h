/* SPDX-License-Identifier: MIT */
/*
 * block.h - what the files of the block layer share; hotplug lock held in all.
 *
 * block.c: one block, its state and its reserve. add.c: the call that adds blocks. online.c: blocks
 * come into use. leave.c: the calls by which blocks leave; leaving.c: the steps of those. plan.c:
 * several changes as one. recovery.c: the end of a change whose thread was killed. look.c: reading.
 */
#ifndef MHP_CORE_BLOCK_H
#define MHP_CORE_BLOCK_H

#include "ranges/ranges.h"
#include "tables/policy.h"

/* ---- block.c ---- */

/* The part of a block that may be used: all of it but the reserve at its start. */
struct mhp__range mhp__block_part(const struct mhp *m, uint32_t block, uint32_t nr_vmemmap_pages,
				  unsigned node);
/* The usable part of a block that is there, by its record, with its zone. */
struct mhp__range mhp__block_usable(const struct mhp *m, uint32_t block);
/* zone: DEFAULT with OFFLINE, else the one that it is in, or on its way to. */
void mhp__block_set_state(struct mhp *m, uint32_t block, enum mhp_block_state state, unsigned zone);
/* Was it there when the caller looked (struct mhp_offline_opts)? */
bool mhp__block_is_meant(const struct mhp *m, uint32_t block, uint64_t as_of);
/* The state of a block is in the way; returns error. */
int mhp__why_state(struct mhp_why *why, uint32_t block, int error);
/* mhp__work_stop() said so at this block; returns error. */
int mhp__why_bound(struct mhp_why *why, uint32_t block, int error);

/* ---- leaving.c: those that leave are marked in m->leaving, and those of them that are removed in
 * m->removing, too; both are empty between calls ---- */

/* Mark blocks that go offline and so must be ONLINE, or (remove) that are removed then and must be
 * present at all; none of them younger than as_of. On error nothing new is marked and why says
 * which block. Return: 0, MHP_EINVAL (twice), MHP_ENXIO, MHP_ENOENT, MHP_ENODEV, MHP_EBUSY, or what
 * mhp__work_stop() says. */
MHP_MUST_CHECK int mhp__leaving_add(struct mhp *m, struct mhp_blocks blocks, bool remove,
				    uint64_t as_of, struct mhp_why *why);
void mhp__leaving_clear(struct mhp *m);
/* Empty all marked blocks that are online; they are GOING_OFFLINE afterwards, or ONLINE again on
 * error. Metadata that goes with a block that is removed may stay. */
MHP_MUST_CHECK int mhp__leaving_prepare(struct mhp *m, const struct mhp_offline_opts *opts,
					struct mhp_why *why);
/* The prepared blocks become OFFLINE, and those that are marked for it are removed: a block that
 * holds metadata of others after them. */
void mhp__leaving_commit(struct mhp *m, bool scrub);
/* The answer that mhp__leaving_prepare() would give, with the same to_nodes. */
MHP_MUST_CHECK int mhp__leaving_foresee(struct mhp *m, uint64_t to_nodes, struct mhp_why *why);
/* The same as prepare, but they stay as they are. */
MHP_MUST_CHECK int mhp__leaving_empty(struct mhp *m, const struct mhp_offline_opts *opts,
				      struct mhp_why *why);

/* For recovery: blocks that were marked are ONLINE again; or, after the commit, have left. */
void mhp__leaving_roll_back(struct mhp *m);
void mhp__leaving_roll_forward(struct mhp *m);

/* ---- online.c ---- */

/* For recovery: blocks GOING_ONLINE are OFFLINE again; or, after the commit, ONLINE. */
void mhp__online_roll_back(struct mhp *m);
void mhp__online_roll_forward(struct mhp *m);

/* One call that brings blocks online. */
struct mhp__arrival {
	uint64_t started_ns;
	uint64_t as_of;                /* struct mhp_online_opts */
	struct mhp__planned_pages planned; /* what it has prepared so far */
};
/* Bring OFFLINE blocks to GOING_ONLINE, all or none, and count them as planned. Traces a failure,
 * but for blocks that the caller does not mean. */
MHP_MUST_CHECK int mhp__online_prepare(struct mhp *m, struct mhp_blocks blocks, unsigned zone,
				       struct mhp__arrival *arrival, struct mhp_why *why);
void mhp__online_abort(struct mhp *m, struct mhp_blocks blocks);
/* zone: what was asked for, or MHP_ZONE_TOGETHER; for the events. */
void mhp__online_commit(struct mhp *m, struct mhp_blocks blocks, unsigned zone,
			uint64_t started_ns);
/* Both, for sets of blocks. */
MHP_MUST_CHECK int mhp__online_locked(struct mhp *m, const struct mhp_blocks *sets,
				      unsigned nr_sets, unsigned zone, uint64_t as_of,
				      struct mhp_why *why);
/* Are all of them OFFLINE, and those that the caller means? Return: 0, MHP_EINVAL (none, or on
 * their way in this call), MHP_ENXIO, MHP_ENOENT, MHP_ENODEV, MHP_EBUSY. */
MHP_MUST_CHECK int mhp__online_check(const struct mhp *m, struct mhp_blocks blocks, uint64_t as_of,
				     struct mhp_why *why);
/* A block that the plan under way will have added. */
struct mhp__coming {
	uint32_t nr_vmemmap_pages;
	uint8_t node;
	bool boot;
	struct mhp__group group;       /* what it will come with; no other's generation */
};
/* Ask the policy about a block that is OFFLINE, or (coming) will be; planned is added to. */
MHP_MUST_CHECK int mhp__online_foresee(struct mhp *m, uint32_t block,
				       const struct mhp__coming *coming, unsigned zone,
				       struct mhp__planned_pages *planned, struct mhp_why *why);

#endif
