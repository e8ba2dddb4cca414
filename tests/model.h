/* SPDX-License-Identifier: MIT */
/*
 * model.h - the reference model: what the engine should be, in arrays and loops.
 *
 * It knows blocks, frames, bad pages and the policy, and derives all else by adding up. Where the
 * engine has a choice (which frame a page gets, where it moves to, where metadata on another node
 * lies), the model says whether the choice is allowed and follows it. It is one flat piece of
 * memory, so that a copy is a memcpy().
 *
 * The pattern of a step: ask for the verdict before the call, judge what it returned, and tell the
 * model what was done if it succeeded; then compare. Must not know: anything inside of the engine.
 */
#ifndef MEMPLUG_TEST_MODEL_H
#define MEMPLUG_TEST_MODEL_H

#include "test.h"

#define MODEL_BLOCKS_MAX 64U
#define MODEL_BAD_MAX 64U
#define MODEL_ERRORS_MAX 16U

enum model_kind {
	MODEL_FREE,                /* or its block is not online */
	MODEL_HEAD,                /* first frame of a page: owner, order, cookie */
	MODEL_TAIL,                /* another frame of one */
	MODEL_RESERVE,             /* of its own block; never changes while the block is there */
};

struct model_frame {
	uint64_t cookie;
	uint16_t owner;
	uint8_t order;
	uint8_t kind;              /* enum model_kind */
};

struct model_block {
	uint8_t state;             /* MHP_ABSENT, MHP_OFFLINE or MHP_ONLINE */
	uint8_t zone;
	uint8_t node;
	uint8_t metadata_node;
	uint8_t placement;
	bool boot;
	bool leaving;              /* a call that takes it out is under way: no page may go there */
	bool removing;             /* and it will be gone then */
	uint16_t backing;
	uint32_t reserve;          /* pages */
	uint32_t add;              /* which add brought it */
	uint64_t nr_free;          /* of an online block; held against frames[] by a full compare */
};

struct model {
	struct mhp_geometry geo;
	uint64_t block_pages, page_bytes, max_pfn;
	uint32_t metadata_pages;   /* of a block, wherever they lie */
	uint32_t reserve_pages;    /* what self-hosting takes: those and page-table pages */
	uint32_t waste_bytes;
	uint8_t granule_shift;
	bool can_self_host;
	uint64_t external_budget, external_used; /* bytes */
	uint64_t owners, movable_owners; /* bit per owner of callers */
	uint64_t nr_moved;
	enum mhp_memmap_switch memmap_switch;
	struct mhp_policy policy;
	struct mhp_span hole;      /* what the port says is no RAM; size 0: nothing */
	/* Will the owner of a movable page not let go of it? NULL: they all do. */
	bool (*refuses)(const void *ctx, uint16_t owner, uint64_t cookie);
	const void *refuses_ctx;
	uint8_t cpu_node;          /* of the CPU that calls */
	uint32_t nr_bad;
	uint64_t bad[MODEL_BAD_MAX]; /* in no order */
	uint32_t nr_adds;
	struct model_block blocks[MODEL_BLOCKS_MAX];
	struct model_frame frames[];
};

/** What a call may return. Any must: it fails with one of must or may. No must: it succeeds, or
 *  fails with one of may. */
struct model_verdict {
	int must[MODEL_ERRORS_MAX], may[MODEL_ERRORS_MAX];
	unsigned nr_must, nr_may;
};

size_t model_bytes(const struct mhp_geometry *geo);

/** A model of a fresh instance with this config, in model_bytes() of memory. */
void model_init(struct model *model, const struct mhp_config *config, uint64_t external_budget);

void model_must(struct model_verdict *verdict, int error);
void model_may(struct model_verdict *verdict, int error);

/** Fails the case unless the verdict allows that the call returned @error. */
void model_judge(const struct model_verdict *verdict, const char *call, int error);

/* ---- blocks: verdicts add to what is there; *_done() follows a call that succeeded ---- */

void model_add_verdict(const struct model *model, struct mhp_blocks blocks,
		       const struct mhp_add_opts *opts, struct model_verdict *verdict);
/** The blocks are OFFLINE. @m: to see where metadata on a node went. @answer is checked. */
void model_add_done(struct model *model, struct mhp *m, struct mhp_blocks blocks,
		    const struct mhp_add_opts *opts, const struct mhp_add_answer *answer);

/** For what a call would say after an add: the blocks are there, but for metadata on a node. Undone
 *  by model_remove_done(). */
void model_pretend_add(struct model *model, struct mhp_blocks blocks,
		       const struct mhp_add_opts *opts);

/** Blocks that come online in one call: to which zone, or 0. */
struct model_online {
	uint8_t zones[MODEL_BLOCKS_MAX];
};

/** @planned: zero before the first part of a call; says what the zones will be. */
void model_online_verdict(const struct model *model, struct mhp_blocks blocks, unsigned zone,
			  struct model_online *planned, struct model_verdict *verdict);
void model_online_done(struct model *model, struct mhp_blocks blocks,
		       const struct model_online *planned);

/** Mark a run of blocks that leave, as mhp_offline() and with @online_only false mhp_remove() (of
 *  blocks that are there) would. The marks are model->blocks[].leaving and .removing. */
void model_mark_leaving(struct model *model, struct mhp_blocks blocks, bool online_only,
			struct model_verdict *verdict);
/** Of a run with gaps, those that are there, as mhp_remove() would. */
void model_mark_present(struct model *model, struct mhp_blocks blocks,
			struct model_verdict *verdict);
void model_unmark(struct model *model);
/** Can all marked blocks be emptied? A dry run says the same. */
void model_leave_verdict(const struct model *model, struct model_verdict *verdict);
/** Hold the explanation of a failed offline against the pages that are there. */
void model_check_why(const struct model *model, int error, const struct mhp_why *why);
/** All marked blocks have left, are OFFLINE or gone, and no longer marked. */
void model_leave_done(struct model *model);
/** A block that was OFFLINE is gone. */
void model_remove_done(struct model *model, uint32_t block);

/** As every change checks a run; 0 when it is blocks of the range. */
int model_blocks_check(const struct model *model, struct mhp_blocks blocks);

/* ---- pages ---- */

/** @exact: caches are empty, so that the order of zones is binding. Follows a success. */
void model_alloc(struct model *model, struct mhp_page_req req, bool exact, int error, uint64_t pfn);
void model_alloc_contig(struct model *model, struct mhp_page_req req, uint64_t nr_pages, int error,
			uint64_t pfn);
void model_free(struct model *model, uint64_t pfn, int error);
void model_free_contig(struct model *model, uint64_t pfn, uint64_t nr_pages, int error);
void model_split(struct model *model, uint64_t pfn, int error);
void model_set_cookie(struct model *model, uint64_t pfn, uint64_t cookie, int error);
/** A page moves; called when its owner is asked to. */
void model_move(struct model *model, uint64_t src_pfn, uint64_t dst_pfn, unsigned order);

/** The page that this frame is part of; MHP_PFN_NONE when it is free or nothing. */
uint64_t model_head(const struct model *model, uint64_t pfn);
bool model_is_bad(const struct model *model, uint64_t pfn);

/** Before mhp_bad_add(); after it, whatever it returned. */
void model_bad_verdict(const struct model *model, uint64_t pfn, struct model_verdict *verdict);
void model_bad_done(struct model *model, uint64_t pfn, int error);
void model_bad_remove(struct model *model, uint64_t pfn, int error);

/* ---- looking ---- */

/** Accounting of a zone; cached is left 0. */
void model_zone(const struct model *model, unsigned node, unsigned kind,
		struct mhp_zone_info *ret_info);

enum model_depth {
	MODEL_SUMS,                /* counters, zones, nodes */
	MODEL_BLOCKS,              /* and every block */
	MODEL_FRAMES,              /* and every frame */
};

/** Fails the case where the engine differs. @drained: the caches are empty. */
void model_compare(const struct model *model, struct mhp *m, enum model_depth depth, bool drained);

/** A hash of what mhp_digest() covers: where two states have one digest, they have one hash. */
uint64_t model_hash(const struct model *model);

/** The frames in [pfn, end_pfn) alone. */
void model_compare_frames(const struct model *model, struct mhp *m, uint64_t pfn, uint64_t end_pfn,
			  bool drained);

#endif
