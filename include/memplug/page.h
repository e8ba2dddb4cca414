/* SPDX-License-Identifier: MIT */
/*
 * page.h - pages and who owns them: allocate, free, register an owner, look at a pfn.
 *
 * A page is 1 << order frames, naturally aligned, handed out under an owner. An owner that can
 * move its pages gives functions for that, and its pages may lie in movable zones. An owner that
 * cannot move them gives only a name, which explains why a block cannot leave.
 *
 * Context, unless a function says otherwise: any thread, also listeners and owners'
 * functions, not a signal handler; takes allocator locks for a bounded time, never the hotplug
 * lock.
 */
#ifndef MEMPLUG_PAGE_H
#define MEMPLUG_PAGE_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

#define MHP_OWNERS_MAX 64U
/**
 * A cookie is a number of up to 53 bits, so that it shares a word with owner and order. Any index,
 * any pfn and any address of a user program with 48-bit addresses fits. Owners of memory at higher
 * addresses give an offset, or shift out the bits that are always 0.
 */
#define MHP_COOKIE_BITS 53U
#define MHP_COOKIE_MAX ((UINT64_C(1) << MHP_COOKIE_BITS) - 1U)
#define MHP_OWNER_NAME_MAX 31U
/** Owners that the engine has itself; callers' owners start at MHP_OWNER_FIRST. */
enum {
	MHP_OWNER_NONE = 0,        /* nobody: a free frame, or one on its way into use */
	MHP_OWNER_BAD = 1,         /* a frame with a memory error: allocated for ever */
	MHP_OWNER_MEMMAP = 2,      /* metadata of another block (placement "node") */
	MHP_OWNER_ROOM = 3,        /* reserved as the target of a move that is under way */
	MHP_OWNER_FIRST = 4,
};

/** One contiguous move: whole pages of one owner, [src, src + nr_pages) to [dst, ...). */
struct mhp_move {
	uint64_t src_pfn;
	uint64_t dst_pfn;
	uint64_t nr_pages;
};

/**
 * How the pages of an owner are moved. Called by the thread that takes memory out, one page or
 * batch at a time, without locks of the allocator held; may sleep, may allocate and free other
 * pages, must not call mhp_block_*(), mhp_add(), mhp_remove() (they return MHP_EDEADLK).
 *
 * A page on its way, as its owner sees it:
 *
 *             isolate: 0               migrate: done
 *   IN USE ----------------> HELD -----------------------> IN USE, at its target
 *     ^  ^                   |  |                          (the source is the engine's again)
 *     |  +-- isolate: error  |  | migrate: not done,
 *     |      (nothing is     |  | no room, canceled
 *     |      held)           |  |
 *     +----------------------+--+ putback
 *
 * Each isolate that returns 0 is followed by exactly one of two things: migrate does a run with its
 * page, or putback is called. While a page is HELD, its owner reads and writes it as before, but
 * neither frees it nor hands it on; it waits, or marks it to be freed once it is IN USE again.
 */
struct mhp_movable_ops {
	/**
	 * Hold page @pfn still: until migrate or putback its owner neither frees nor moves it.
	 * @cookie was read without a lock: check under your own lock that the page still has this
	 * cookie.
	 * Return: 0, MHP_EBUSY (cannot move now: pinned, in use), MHP_ETXTBSY (the same, because
	 * of another process), MHP_EAGAIN (gone or changing; look again later).
	 */
	int (*isolate)(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie);
	/**
	 * Copy the contents of @nr_moves runs and make everything that pointed to a source point to
	 * its target. Runs are done in order, each wholly or not at all.
	 *
	 * A run is made of whole pages; mhp_frame_peek() of its first frame, at either end, says
	 * the order and the cookie of the first, and so on by 1 << order. A target has the owner,
	 * order and cookie of its page before this is called, and may be freed as soon as something
	 * points to it. Free no source: those of the runs done are the engine's when this returns.
	 * @ret_done: how many runs were done, from the first; putback is called for the rest.
	 * Return: 0, or an error when *ret_done < nr_moves, which mhp_offline() returns.
	 */
	int (*migrate)(void *ctx, const struct mhp_move *moves, unsigned nr_moves,
		       unsigned *ret_done);
	/** Undo isolate: the page stays where it is. */
	void (*putback)(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie);
	/** Say in up to @size bytes (NUL included) what this page is. NULL: the owner's name. */
	void (*describe)(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size);
};

/**
 * Register an owner.
 *
 * @name:      up to MHP_OWNER_NAME_MAX characters; copied.
 * @ops:       NULL for an owner whose pages cannot move; else isolate, migrate and putback are
 *             required and @ops must outlive the owner.
 * @ret_owner: its id, for struct mhp_page_req.
 *
 * Context: takes the hotplug lock. Return: 0, MHP_EINVAL, MHP_ENOSPC (MHP_OWNERS_MAX), MHP_EDEADLK.
 */
MHP_MUST_CHECK int mhp_owner_register(struct mhp *m, const char *name,
				      const struct mhp_movable_ops *ops, void *ctx,
				      uint16_t *ret_owner);

/**
 * Settle which frame a page uses, after the thread that moved it was killed.
 *
 * Two frames may have the same cookie then, and only the owner knows which of them the page uses.
 * The engine calls this for each page of the owner that is in use, once or more often. If the page
 * with @cookie is at @pfn, note that it is IN USE again. Otherwise the page has left this frame, or
 * never got it: free the frame, in here, with mhp_page_free(). Do nothing else to pages of the
 * owner.
 *
 * Context: mhp_change_lost(), with the hotplug lock held; calls that take it return MHP_EDEADLK.
 * The dead thread may hold locks that isolate, migrate and putback take: take none of them. The
 * caller may be killed, too; then the engine asks about all pages again.
 */
typedef void mhp_owner_lost_fn(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie);

/**
 * Give an owner a function that says where its pages are. It is called when a thread was killed
 * while it moved them, so that the change can be rolled back or forward. Only ports whose threads
 * may be killed while others go on (MHP_PORT_MORTAL(), cache.h) ever call it.
 *
 * @owner: one whose pages can move.
 * @lost:  see mhp_owner_lost_fn; it gets the owner's ctx. NULL, the state after
 *         mhp_owner_register(): the pool refuses every change after such a kill.
 *
 * Context: takes the hotplug lock. New in 0.2.1.
 * Return: 0, MHP_ENOENT (no such owner of a caller's), MHP_EINVAL (its pages cannot move),
 * MHP_EDEADLK; MHP_EOWNERDEAD (a killed thread's change has not ended yet: mhp_lock_lost()).
 */
MHP_MUST_CHECK int mhp_owner_set_lost(struct mhp *m, uint16_t owner, mhp_owner_lost_fn *lost);

/** Forget an owner. The caller has freed all its pages. Context: takes the hotplug lock.
 * Return: 0, MHP_ENOENT (no such owner of a caller's), MHP_EDEADLK. */
MHP_MUST_CHECK int mhp_owner_unregister(struct mhp *m, uint16_t owner);

/** The name of an owner, or "?" when there is none. Lives as long as the owner. */
const char *mhp_owner_name(const struct mhp *m, uint16_t owner);

/**
 * What to allocate. Sixteen bytes, passed by value. A caller who allocates a lot builds it once.
 * Bytes that are stored one by one right before the call have not reached the cache when they are
 * loaded as words, and that stall (15 ns measured) takes longer than the allocation.
 */
struct mhp_page_req {
	uint64_t cookie;           /* the owner's own number for this page, to MHP_COOKIE_MAX */
	uint16_t owner;            /* whose page it becomes; decides whether it may be moved */
	uint8_t order;             /* 0 to pageblock_order */
	uint8_t node;              /* by MHP_PAGE_NODE or MHP_PAGE_THIS_NODE; else 0 */
	uint8_t flags;             /* MHP_PAGE_* */
	uint8_t zero[3];           /* must be 0 */
};

/* Where the page may lie; none of them: near the CPU, else anywhere. */
#define MHP_PAGE_THIS_NODE 1U      /* on .node only */
#define MHP_PAGE_NODE 2U           /* near .node, else anywhere */

/**
 * Allocate a page.
 *
 * @req:     see struct mhp_page_req. Pages of movable owners come from MOVABLE zones first.
 * @ret_pfn: the first frame; contents undefined.
 *
 * Context: any thread, a listener, an owner's function; takes spin locks of the allocator for a
 * bounded time, never the hotplug lock. Not from a signal handler, nor from an interrupt handler
 * that may have interrupted a call of the engine on its CPU. The same holds for every call about
 * pages in this file.
 * Cost: a per-CPU cache hit is one descriptor write; a miss refills a batch under one lock
 * (the layout follows LLFree, USENIX ATC'23, and the caches tcmalloc's per-CPU mode).
 * Return: 0, MHP_ENOMEM (no such page free, caches of all CPUs included), MHP_EINVAL (order, owner
 * or flags out of range, a node without a flag), MHP_ENODEV (no such node), MHP_EOVERFLOW (the
 * cookie is above MHP_COOKIE_MAX).
 */
MHP_MUST_CHECK int mhp_page_alloc(struct mhp *m, struct mhp_page_req req, uint64_t *ret_pfn);

/**
 * Free the page that starts at @pfn. The order is remembered.
 *
 * Return: 0, or MHP_EINVAL (not the first frame of an allocated page: freed already, a tail, an
 * offline or absent pfn), MHP_EBUSY (it belongs to the engine). On error nothing has changed.
 */
int mhp_page_free(struct mhp *m, uint64_t pfn);

/**
 * mhp_page_free() of a page that must be @owner's. A library that shares a pool with others calls
 * this one, so that a stale pfn, whose frame has another owner by now, does no harm.
 *
 * Return: what mhp_page_free() returns, or MHP_EPERM (it is another owner's). On error nothing has
 * changed.
 */
int mhp_page_free_owned(struct mhp *m, uint16_t owner, uint64_t pfn);

/**
 * Allocate @nr_pages contiguous frames, as separate pages.
 *
 * The range is cut at natural alignment into pages of at most pageblock_order, each with
 * @req.owner and @req.cookie, each freed or moved by itself. @req.order is the alignment of the
 * start (log2 pages, up to block_order). Slow: O(blocks of the zones searched); it does not move
 * anything to make room. Return: 0, or what mhp_page_alloc() returns; MHP_EINVAL also for no pages.
 */
MHP_MUST_CHECK int mhp_pages_alloc_contig(struct mhp *m, struct mhp_page_req req,
					  uint64_t nr_pages, uint64_t *ret_pfn);

/**
 * mhp_pages_alloc_contig() of frames in [start_pfn, end_pfn), for callers who need memory at a
 * certain place, or one certain frame.
 *
 * Cost: O(pageblocks of the range).
 *
 * Return: 0, or what mhp_pages_alloc_contig() returns; MHP_ENOMEM (nothing that long is free in the
 * range), MHP_EINVAL (also: the range ends before it starts), MHP_ENXIO (it ends beyond the last
 * block).
 */
MHP_MUST_CHECK int mhp_pages_alloc_within(struct mhp *m, struct mhp_page_req req,
					  uint64_t nr_pages, uint64_t start_pfn, uint64_t end_pfn,
					  uint64_t *ret_pfn);

/** Free all pages in [pfn, pfn + nr_pages), or none: MHP_EINVAL when a frame there is not
 * allocated, or a page reaches beyond; MHP_EBUSY when one belongs to the engine. */
int mhp_pages_free_contig(struct mhp *m, uint64_t pfn, uint64_t nr_pages);

/**
 * Allocate many pages alike.
 *
 * @nr:       1 to INT_MAX.
 * @ret_pfns: room for @nr; their first frames, mostly in ascending order.
 *
 * Each page has @req's owner and cookie and is freed or moved by itself. Cost: a lock for each 64
 * pages, and two writes a page.
 * Return: how many, fewer than @nr if no more are free; or what mhp_page_alloc() returns:
 * MHP_ENOMEM (none), MHP_EINVAL (also: @nr), MHP_ENODEV, MHP_EOVERFLOW.
 */
MHP_MUST_CHECK int mhp_pages_alloc(struct mhp *m, struct mhp_page_req req, unsigned nr,
				   uint64_t *ret_pfns);

/**
 * Free many pages, of any orders and owners, in the order given, up to the first one that
 * mhp_page_free() would refuse.
 *
 * Return: how many were freed, or, when the first is refused, what mhp_page_free() returns.
 */
int mhp_pages_free(struct mhp *m, const uint64_t *pfns, unsigned nr);

/**
 * Cut an allocated page into pages of a lower order, each with the owner of the whole.
 *
 * @order:   of the parts, up to that of the page.
 * @cookies: one for each part, 1 << (the page's order - @order) of them; NULL: that of the whole.
 *
 * Return: 0, MHP_EINVAL (not the first frame of an allocated page, or @order is above its order),
 * MHP_EBUSY (it belongs to the engine), MHP_EOVERFLOW (a cookie is above MHP_COOKIE_MAX).
 */
int mhp_page_split(struct mhp *m, uint64_t pfn, unsigned order, const uint64_t *cookies);

/** Change the cookie of an allocated page.
 * Return: 0, MHP_EINVAL (not the first frame of a page), MHP_EBUSY (it belongs to the engine),
 * MHP_EOVERFLOW (above MHP_COOKIE_MAX). */
int mhp_page_set_cookie(struct mhp *m, uint64_t pfn, uint64_t cookie);

/** What is at a pfn. */
enum mhp_frame_state {
	MHP_FRAME_ABSENT,          /* no block here, or it is not online */
	MHP_FRAME_METADATA,        /* a frame of the block's reserve */
	MHP_FRAME_FREE,
	MHP_FRAME_CACHED,          /* free, in a per-CPU cache or on its way into or out of use */
	MHP_FRAME_USED,            /* first frame of an allocated page */
	MHP_FRAME_TAIL,            /* another frame of an allocated page */
};

struct mhp_frame {
	enum mhp_frame_state state;
	uint16_t owner;            /* USED only, like the next two */
	uint8_t order;
	uint64_t cookie;
	bool isolated;             /* its pageblock is on its way out of use */
};

/**
 * Look at a pfn. This is safe at any time, also while its block is removed: it is ABSENT then.
 *
 * A walker steps from head to head, 1 << order frames at a time.
 * Context: any thread, a listener, an owner's function. Takes a spin lock of the allocator: not
 * from a signal or interrupt handler that may have interrupted a call of the engine. The answer is
 * a snapshot.
 */
struct mhp_frame mhp_frame_peek(struct mhp *m, uint64_t pfn);

/** Give the frames in all per-CPU caches back to the bitmaps. Context: any thread. */
void mhp_drain_caches(struct mhp *m);

/** Bounds and result of mhp_compact(). */
struct mhp_compact_result {
	uint64_t nr_moved;         /* frames moved */
	uint64_t nr_huge;          /* pageblocks that became wholly free */
};

/**
 * Compact the movable pages of a zone until no further pageblock can be emptied.
 *
 * @deadline_ms: bounds the call; 0: MHP_DEADLINE_MS_DEFAULT.
 *
 * Context: takes the hotplug lock; owners are called as in offlining. Pages that cannot move stay.
 * Return: 0, MHP_EAGAIN (deadline; what was done is in the result), MHP_ECANCELED or MHP_EINTR (the
 * same), MHP_ENODEV, MHP_EINVAL, MHP_EDEADLK.
 */
MHP_MUST_CHECK int mhp_compact(struct mhp *m, unsigned node, enum mhp_zone_kind kind,
			       uint32_t deadline_ms, struct mhp_compact_result *ret_result);

#ifdef __cplusplus
}
#endif
#endif
