/* SPDX-License-Identifier: MIT */
/*
 * migrate.h - moving pages: room taken first, then batches of moves.
 *
 * Room is a set of free pages taken before anything moves. It needs no memory to be kept: each
 * chunk is an allocated page of MHP_OWNER_ROOM whose cookie links it to the next.
 */
#ifndef MHP_CORE_MIGRATE_H
#define MHP_CORE_MIGRATE_H

#include "pages/walk.h"
#include "state/instance.h"

/* Chunks for targets of one order, each as large as that or larger. */
struct mhp__room_list {
	uint64_t first_pfn;            /* MHP_PFN_NONE: empty */
	uint64_t last_pfn;
	uint64_t cut_pfn, cut_end;     /* what is left of the chunk that is being split */
};

struct mhp__room {
	struct mhp__room_list list[MHP_ORDERS]; /* targets of each order */
	uint64_t nodes;                /* where they may be; 0: anywhere */
};

/* How a move went wrong. */
struct mhp__move_error {
	enum mhp_cause cause;
	int err;                       /* what the call returns when nothing helps */
	struct mhp__chunk chunk;
};

/* A move of everything in use in some range. */
struct mhp__mover {
	struct mhp *m;
	struct mhp__room room;
	uint8_t node;                  /* whose pages move: where missing room is looked for */
	bool may_fill;                 /* take more room when it runs out */
	uint64_t total;                /* frames that were to move when it began */
	uint64_t moved;                /* so far */
	struct mhp__move_error error;  /* of the first page that stayed, in the pass under way */
	/* Pages that stay and are no obstacle (ranges.h); NULL: there are none. */
	bool (*excepts)(const struct mhp *m, unsigned owner, uint64_t cookie);
};

/* Frames left to move, of those that there were when it began. */
static inline uint64_t
mhp__mover_left(const struct mhp__mover *mover)
{
	return mover->total > mover->moved ? mover->total - mover->moved : 0;
}

void mhp__room_init(struct mhp__room *room);
/* Add room for nr pages of order; large chunks first, so that targets are contiguous. False: not
 * enough, or the work must stop; what was got stays in room. */
bool mhp__room_fill(struct mhp *m, struct mhp__room *room, unsigned node, unsigned order,
		    uint64_t nr, uint64_t *ret_missing);
/* One target for page: a page like it, of the same owner. False: none left. */
bool mhp__room_take(struct mhp *m, struct mhp__room *room, const struct mhp__chunk *page,
		    uint64_t *ret_pfn);
/* Put an unused target back. */
void mhp__room_put(struct mhp *m, struct mhp__room *room, unsigned order, uint64_t pfn);
/* Add how many free pages of each order an arena has, if it is the zone's: a page of order 1 counts
 * as one of order 1 and as two of order 0. */
void mhp__room_count(struct mhp *m, const struct mhp__zone *zone, uint32_t arena,
		     uint64_t ret_nr[MHP_ORDERS]);
/* Free what is left. */
void mhp__room_empty(struct mhp *m, struct mhp__room *room);

/* Move what is in use in a range once over, as far as it goes. Return: frames that are still in use
 * there, those in flight included, as far as the pass went; mover->error says what was in the way
 * of the first of them. The range is isolated. */
uint64_t mhp__move_pass(struct mhp__mover *mover, uint64_t start_pfn, uint64_t nr_pages);

#endif
