/* SPDX-License-Identifier: MIT */
/*
 * physical.h - the physical layer: make address ranges exist, with their metadata, or not exist.
 *
 * Hotplug lock held in all. It leaves blocks OFFLINE and finds them OFFLINE; what happens in
 * between is none of its business.
 */
#ifndef MHP_CORE_PHYSICAL_H
#define MHP_CORE_PHYSICAL_H

#include "state/instance.h"

/* mhp_add() without coming online. */
MHP_MUST_CHECK int mhp__add_memory(struct mhp *m, struct mhp_blocks blocks,
				   const struct mhp_add_opts *opts, struct mhp_add_answer *answer);
/* The answer that mhp__add_memory() would give, without asking the port. Fills in answer. */
MHP_MUST_CHECK int mhp__add_memory_foresee(struct mhp *m, struct mhp_blocks blocks,
					   const struct mhp_add_opts *opts,
					   struct mhp_add_answer *answer);
/* For the add as a whole: how many blocks host their own metadata, where that of the others goes,
 * and why. Return: 0, or that REQUIRE is not possible. */
MHP_MUST_CHECK int mhp__choose_placement(const struct mhp *m, struct mhp_blocks blocks,
					 const struct mhp_add_opts *opts,
					 struct mhp_add_answer *answer);
/* The reserve of a block of that add, in pages; 0 if its metadata goes elsewhere. */
uint32_t mhp__add_reserve(const struct mhp *m, uint32_t block, const struct mhp_add_answer *answer);
/* Remove blocks that are OFFLINE; cannot fail. scrub: zero the frames that held their metadata;
 * mhp__scrub() has zeroed the rest. */
void mhp__remove_blocks(struct mhp *m, struct mhp_blocks blocks, bool scrub);

/* For recovery: take apart what is left of those of the blocks that are absent. */
void mhp__demolish_rest(struct mhp *m, struct mhp_blocks blocks, bool scrub);

/* ---- content.c ---- */

/* Test the pages of a block that are not known to be bad; leaves zeros. answer: which blocks the
 * add is about; gets the page that failed. Return: 0, MHP_EIO, or what mhp__work_stop() says. */
MHP_MUST_CHECK int mhp__test_block(struct mhp *m, uint32_t block, struct mhp_add_answer *answer);
/* Overwrite frames with zeros, but for those that are known to be bad. */
void mhp__zero_frames(struct mhp *m, uint64_t pfn, uint64_t end);
/* Zero frames that nobody uses. Return: 0, or what mhp__work_stop() says. */
MHP_MUST_CHECK int mhp__scrub(struct mhp *m, uint64_t start_pfn, uint64_t nr_pages);

#endif
