/* SPDX-License-Identifier: MIT */
/*
 * ranges.h - the range layer: put ranges of pages into use, take them out of use.
 *
 * A range is (start_pfn, nr_pages, node, zone) and means exactly those pages: the zone's choice,
 * node states, notices, the check for RAM and the accounting of present and managed pages are all
 * taken on it. Why it starts where it starts is none of this layer's business (R14).
 *
 * Both directions come in two halves, so that several ranges can come or go as one: prepare may
 * fail and leaves everything as it was; what follows it cannot fail.
 * Files: ranges.c (into use, out of use), survey.c (what is in use, and what is in the way),
 * foresee.c (the dry run), offline.c (isolate, ask, empty), empty.c (room, then passes), migrate.c
 * and room.c (one pass); carve.c and compact.c move pages for reasons of their own.
 */
#ifndef MHP_CORE_RANGES_H
#define MHP_CORE_RANGES_H

#include "state/instance.h"

struct mhp__range {
	uint64_t start_pfn;
	uint64_t nr_pages;
	uint8_t node;
	uint8_t zone;                  /* enum mhp_zone_kind */
};

/* Pages that the ranges need not be empty of until they are committed: the caller sees to them. */
typedef bool mhp__except_fn(const struct mhp *m, unsigned owner, uint64_t cookie);

/* The ranges of one call: next(cursor) yields them in address order. The caller keeps them in
 * whatever form it likes; nothing is allocated for them. */
struct mhp__range_iter {
	bool (*next)(struct mhp *m, void *set, uint32_t *cursor, struct mhp__range *ret_range);
	void *set;
	mhp__except_fn *excepts;      /* NULL: nothing */
};

/* The notice of a range for listeners. */
struct mhp_notice mhp__range_notice(const struct mhp__range *range, enum mhp_notice_kind kind);

/* Hotplug lock held in all. */
MHP_MUST_CHECK int mhp__online_pages_prepare(struct mhp *m, const struct mhp__range *range,
					     struct mhp_why *reterr_why);
/* zeroed: the range has never been used and its descriptors are known to be zero. */
void mhp__online_pages_commit(struct mhp *m, const struct mhp__range *range, bool zeroed);
void mhp__online_pages_abort(struct mhp *m, const struct mhp__range *range);
/* For recovery: do the rest of a commit in which a thread was killed. */
void mhp__online_pages_redo(struct mhp *m, const struct mhp__range *range, bool zeroed);
void mhp__offline_pages_redo(struct mhp *m, const struct mhp__range *range);
/* For recovery: has the commit that takes the range out of use begun? */
bool mhp__offline_pages_begun(const struct mhp *m, const struct mhp__range *range);
/* For recovery: recompute what zones and nodes say of their ranges. */
void mhp__ranges_count(struct mhp *m);

MHP_MUST_CHECK int mhp__offline_pages_prepare(struct mhp *m, const struct mhp__range_iter *ranges,
					      const struct mhp_offline_opts *opts,
					      struct mhp_why *reterr_why);
/* Undo what prepare did. */
void mhp__offline_pages_abort(struct mhp *m, const struct mhp__range_iter *ranges);
/* For recovery: tell listeners CANCEL of each range that they were told of, by the log. */
void mhp__offline_pages_cancel(struct mhp *m, const struct mhp__range_iter *ranges);
/* Is nothing in use in a range but frames with memory errors? */
bool mhp__range_is_empty(struct mhp *m, const struct mhp__range *range);
/* False: it still holds an excepted page; nothing has changed. */
MHP_MUST_CHECK bool mhp__offline_pages_commit(struct mhp *m, const struct mhp__range *range);
/* The dry run: what prepare would say, without listeners. to_nodes: as in mhp_offline_opts. */
MHP_MUST_CHECK int mhp__offline_pages_foresee(struct mhp *m, const struct mhp__range_iter *ranges,
					      uint64_t to_nodes, struct mhp_why *reterr_why);
/* Move everything out of ranges that are isolated, and that something is in use in. Return: 0,
 * MHP_EBUSY, MHP_ENOMEM, what mhp__work_stop() says, or an owner's error. */
MHP_MUST_CHECK int mhp__ranges_empty(struct mhp *m, const struct mhp__range_iter *ranges,
				     const struct mhp_offline_opts *opts, struct mhp_why *why);
/* Move everything out of ranges that stay in use; listeners are not asked. */
MHP_MUST_CHECK int mhp__empty_pages(struct mhp *m, const struct mhp__range_iter *ranges,
				    const struct mhp_offline_opts *opts,
				    struct mhp_why *reterr_why);

#endif
