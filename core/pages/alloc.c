/* SPDX-License-Identifier: MIT */
/*
 * alloc.c - the public calls about single pages: allocate, free, split.
 *
 * The hot path is a pop or a push of the CPU's cache and one descriptor: allocating writes it,
 * freeing checks and clears it. A frame whose descriptor has an owner is the first of an allocated
 * page (INV 9), and that is how a free is checked: a frame that is free, a tail, or in a cache has
 * no owner. Descriptors of pageblocks that were never used must not be believed; the arena's slot
 * says which those are (virgin), and counts the frames before the first usable one among them.
 *
 * Between a cache and a descriptor a frame is on its way: taken, with owner 0. Emptying a range
 * waits for such frames. Must not know: blocks' states, why frames below nr_unmanaged are not the
 * allocator's.
 */
#include "pages/alloc.h"

#include "memmap/memmap.h"
#include "pages/arena.h"
#include "pages/cache.h"
#include "pages/poison.h"
#include "pages/zone.h"

_Static_assert(MHP_ZONE_MOVABLE == MHP_ZONE_NORMAL + 1, "zones of a node");

/* ---- zones in order of preference ---- */

static __attribute__((noinline)) unsigned
home_node(const struct mhp *m)
{
	return atomic_load_explicit(&m->cpu_node[mhp_port_cpu() % m->geo.nr_cpus],
				    memory_order_relaxed);
}

static inline const uint8_t *
zonelist(const struct mhp *m, unsigned node, bool movable)
{
	MHP_ASSERT_DEBUG(node < m->geo.nr_nodes);
	return m->zonelist + (size_t)(node * 2U + movable) * m->nr_zones;
}

/* The first zone of the list from *at on that has memory, or NULL; moves *at past it. */
static inline struct mhp__zone *
zone_next(const struct mhp *m, const uint8_t *list, unsigned *at)
{
	while (*at < m->nr_zones && list[*at] != UINT8_MAX) {
		struct mhp__zone *zone = &m->zones[list[(*at)++]];
		MHP_ASSERT_DEBUG(mhp__zone_id(m, zone) < m->nr_zones);
		MHP_ASSERT_DEBUG(mhp__zone_exists(zone->kind));
		if (MHP_LIKELY(atomic_load_explicit(&zone->managed, memory_order_relaxed) != 0))
			return zone;
	}
	return NULL;
}

/* mhp__zone_caches() without the zone: nothing of it need be read. */
static inline struct mhp_cache *
caches_of(const struct mhp *m, unsigned id)
{
	MHP_ASSERT_DEBUG(id < m->nr_zones);
	return (void *)((unsigned char *)m->caches + id * m->zone_caches_bytes);
}

/* ---- requests ---- */

/* All of a request but the cookie, as one word, the same for any byte order. Compilers see that it
 * is the register in which the calling convention passes these bytes. Measured: mhp_page_alloc() is
 * 99 instructions this way and 171 with memcpy(), a call in a freestanding core (gcc 12,
 * x86-64). */
static inline uint64_t
tail_of(struct mhp_page_req req)
{
	return (uint64_t)req.zero[2] << 56 | (uint64_t)req.zero[1] << 48 |
	       (uint64_t)req.zero[0] << 40 | (uint64_t)req.flags << 32 |
	       (uint64_t)req.node << 24 | (uint64_t)req.order << 16 | req.owner;
}

static inline unsigned
tail_owner(uint64_t tail)
{
	return (unsigned)(tail & 0xffff);
}

static inline unsigned
tail_order(uint64_t tail)
{
	return (unsigned)(tail >> 16 & 0xff);
}

static inline unsigned
tail_node(uint64_t tail)
{
	return (unsigned)(tail >> 24 & 0xff);
}

static inline unsigned
tail_flags(uint64_t tail)
{
	return (unsigned)(tail >> 32 & 0xff);
}

/* The flags by which a request names a node. */
#define PAGE_FLAGS (MHP_PAGE_THIS_NODE | MHP_PAGE_NODE)
#define TAIL_FLAGS ((uint64_t)PAGE_FLAGS << 32)
#define TAIL_NODE (UINT64_C(0xff) << 24)
#define TAIL_ZERO                                                                                  \
	(~UINT64_C(0) << 40 | (uint64_t)(0xffU & ~PAGE_FLAGS) << 32 |                              \
	 (0xffffU & ~(MHP_OWNERS_MAX - 1U)))
_Static_assert((MHP_OWNERS_MAX & (MHP_OWNERS_MAX - 1U)) == 0, "an owner is so many bits");

static inline bool
is_valid(const struct mhp *m, uint64_t tail)
{
	uint64_t live = atomic_load_explicit(&m->owners_live, memory_order_relaxed);

	/* The engine's own owners are never live. */
	if ((tail & TAIL_ZERO) != 0 || (live >> tail_owner(tail) % MHP_OWNERS_MAX & 1) == 0)
		return false;
	if ((tail & TAIL_FLAGS) == 0)
		return (tail & TAIL_NODE) == 0;
	return tail_node(tail) < m->geo.nr_nodes;
}

int
mhp__page_req_check(const struct mhp *m, struct mhp_page_req req, unsigned order_max)
{
	bool order_fits = req.order <= order_max;

	if (is_valid(m, tail_of(req)) && order_fits)
		return req.cookie <= MHP_COOKIE_MAX ? 0 : MHP_EOVERFLOW;
	if ((req.flags & PAGE_FLAGS) != 0)
		req.node = 0; /* is it the node alone? */
	return is_valid(m, tail_of(req)) && order_fits ? MHP_ENODEV : MHP_EINVAL;
}

static inline bool
is_movable(const struct mhp *m, unsigned owner)
{
	MHP_ASSERT_DEBUG(owner < MHP_OWNERS_MAX);
	return (atomic_load_explicit(&m->owners_movable, memory_order_relaxed) >> owner & 1) != 0;
}

struct mhp_page_req
mhp__page_req_home(const struct mhp *m, struct mhp_page_req req)
{
	if ((req.flags & PAGE_FLAGS) == 0)
		req.node = (uint8_t)home_node(m);
	MHP_ASSERT_DEBUG(req.node < m->geo.nr_nodes);
	req.flags |= MHP_PAGE_NODE;
	return req;
}

struct mhp__zone *
mhp__page_req_zone(struct mhp *m, struct mhp_page_req req, unsigned *at)
{
	const uint8_t *list = zonelist(m, req.node, is_movable(m, req.owner));
	struct mhp__zone *zone;

	MHP_ASSERT_DEBUG(req.node < m->geo.nr_nodes);
	do
		zone = zone_next(m, list, at);
	while (zone != NULL && (req.flags & MHP_PAGE_THIS_NODE) != 0 && zone->node != req.node);
	MHP_ASSERT_DEBUG(*at <= m->nr_zones);
	return zone;
}

void
mhp__page_req_drain(struct mhp *m, struct mhp_page_req req)
{
	struct mhp__zone *zone;

	for (unsigned at = 0; (zone = mhp__page_req_zone(m, req, &at)) != NULL;)
		mhp__cache_drain(m, zone);
}

/* ---- allocate ---- */

/* home: the zone whose cache had none. False needs a proof: what is left may sit in other caches,
 * be part of a larger page there, or be on its way between cache and bitmaps. */
static bool
take_slowly(struct mhp *m, struct mhp_page_req req, unsigned home, uint64_t *ret_pfn)
{
	struct mhp__zone *zone;

	MHP_ASSERT_DEBUG(req.node == m->zones[home].node);
	for (unsigned at = 0; (zone = mhp__page_req_zone(m, req, &at)) != NULL;) {
		if (mhp__zone_id(m, zone) != home &&
		    mhp_port_cache_pop(mhp__zone_caches(m, zone), m->geo.nr_cpus, req.order,
				       ret_pfn))
			return true;
		if (mhp__cache_refill(m, zone, req.order, ret_pfn))
			return true;
	}
	for (unsigned at = 0; (zone = mhp__page_req_zone(m, req, &at)) != NULL;)
		if (mhp__cache_take_last(m, zone, req.order, ret_pfn))
			return true;
	return false;
}

/* word: the descriptor that the page gets. */
static inline int
begin(struct mhp *m, uint64_t word, uint64_t pfn, uint64_t *ret_pfn)
{
	MHP_ASSERT_DEBUG((pfn & ((UINT64_C(1) << mhp__word_order(word)) - 1)) == 0);
	MHP_ASSERT_DEBUG(mhp__page_word(mhp__pfn_to_page(m, pfn)) == 0); /* INV 9 */
	mhp__unpoison(m, pfn, UINT64_C(1) << mhp__word_order(word), true);
	mhp__page_write(mhp__pfn_to_page(m, pfn), word);
	*ret_pfn = pfn;
	return 0;
}

/* The cache of the first zone had none, perhaps because there is no such zone. All that is left to
 * do is here, so that the caller has nothing to keep but the descriptor, which says it all. */
static __attribute__((noinline)) int
alloc_slowly(struct mhp *m, uint64_t word, unsigned flags, unsigned home, uint64_t *ret_pfn)
{
	const struct mhp__zone *zone = &m->zones[home];
	const struct mhp_page_req req = { .cookie = mhp__word_cookie(word),
					  .owner = (uint16_t)mhp__word_owner(word),
					  .order = (uint8_t)mhp__word_order(word),
					  .flags = (uint8_t)flags,
					  /* "any" is this one now, wherever the thread goes */
					  .node = zone->node };
	uint64_t pfn;

	MHP_ASSERT_DEBUG(home < m->nr_zones);
	/* Instances without a MOVABLE zone are common. */
	if (zone->kind == MHP_ZONE_MOVABLE &&
	    atomic_load_explicit(&zone->managed, memory_order_relaxed) == 0) {
		home -= 1U; /* to NORMAL */
		if (mhp_port_cache_pop(caches_of(m, home), m->geo.nr_cpus, req.order, &pfn))
			return begin(m, word, pfn, ret_pfn);
	}
	if (!take_slowly(m, req, home, &pfn))
		return MHP_ENOMEM;
	return begin(m, word, pfn, ret_pfn);
}

static inline __attribute__((always_inline)) int
alloc_on(struct mhp *m, uint64_t tail, uint64_t cookie, uint64_t *ret_pfn)
{
	uint64_t word = mhp__word_make(tail_owner(tail), tail_order(tail), cookie), pfn;
	/* Every list starts with the node's own zone of that kind; without memory its caches are
	 * empty, too. */
	unsigned id = tail_node(tail) * MHP_NODE_ZONES + is_movable(m, tail_owner(tail));

	MHP_ASSERT_DEBUG(tail_owner(tail) >= MHP_OWNER_FIRST); /* the engine's own are never live */
	MHP_ASSERT_DEBUG(id == zonelist(m, tail_node(tail), is_movable(m, tail_owner(tail)))[0]);
	if (MHP_UNLIKELY(!mhp_port_cache_pop(caches_of(m, id), m->geo.nr_cpus, tail_order(tail),
					     &pfn)))
		return alloc_slowly(m, word, tail_flags(tail), id, ret_pfn);
	return begin(m, word, pfn, ret_pfn);
}

/* Does the request say no more than owner, order and cookie, and are these right? */
static inline __attribute__((always_inline)) bool
is_plain(const struct mhp *m, uint64_t tail, uint64_t cookie, unsigned order_max)
{
	uint64_t live = atomic_load_explicit(&m->owners_live, memory_order_relaxed);
	uint64_t tail_max = (uint64_t)order_max << 16 | (MHP_OWNERS_MAX - 1U);

	return tail <= tail_max && tail_owner(tail) < MHP_OWNERS_MAX &&
	       (live >> tail_owner(tail) & 1) != 0 && cookie <= MHP_COOKIE_MAX &&
	       m->geo.nr_nodes == 1;
}

/* Requests that name a node, are wrong, or come to an instance of several nodes. */
static __attribute__((noinline)) int
alloc_as_asked(struct mhp *m, struct mhp_page_req req, uint64_t *ret_pfn)
{
	int err = mhp__page_req_check(m, req, MHP_PAGEBLOCK_ORDER(m));

	if (err != 0)
		return err;
	return alloc_on(m, tail_of(mhp__page_req_home(m, req)), req.cookie, ret_pfn);
}

static __attribute__((noinline)) int
alloc_large(struct mhp *m, struct mhp_page_req req, uint64_t *ret_pfn)
{
	if (!is_plain(m, tail_of(req), req.cookie, MHP_PAGEBLOCK_ORDER(m)))
		return alloc_as_asked(m, req, ret_pfn);
	return alloc_on(m, tail_of(req), req.cookie, ret_pfn);
}

/* Single frames here, all else apart: the compiler then has one kind of pop to keep registers for,
 * and knows the order (measured: a sixth of the time of a pair). */
int
mhp_page_alloc(struct mhp *m, struct mhp_page_req req, uint64_t *ret_pfn)
{
	if (!is_plain(m, tail_of(req), req.cookie, 0))
		return alloc_large(m, req, ret_pfn);
	return alloc_on(m, tail_of(req), req.cookie, ret_pfn);
}

unsigned
mhp__pages_take(struct mhp *m, struct mhp__nodes nodes, unsigned order, unsigned nr_max,
		uint64_t *ret_pfns)
{
	const uint8_t *list = zonelist(m, nodes.first, true);
	struct mhp__zone *zone;
	unsigned nr = 0;

	MHP_ASSERT_DEBUG(nr_max != 0);
	for (unsigned at = 0; nr == 0 && (zone = zone_next(m, list, &at)) != NULL;)
		nr = !mhp__nodes_have(nodes, zone->node) ? 0 :
		     mhp__zone_take(m, zone, order, nr_max, NULL, ret_pfns);
	MHP_ASSERT_DEBUG(nr <= nr_max);
	for (unsigned i = 0; i < nr; i++)
		mhp__unpoison(m, ret_pfns[i], UINT64_C(1) << order, true);
	return nr;
}

bool
mhp__pages_take_last(struct mhp *m, struct mhp__nodes nodes, unsigned order, uint64_t *ret_pfn)
{
	const uint8_t *list = zonelist(m, nodes.first, true);
	struct mhp__zone *zone;
	bool taken = false;

	MHP_ASSERT_DEBUG(order <= MHP_PAGEBLOCK_ORDER(m));
	for (unsigned at = 0; !taken && (zone = zone_next(m, list, &at)) != NULL;)
		taken = mhp__nodes_have(nodes, zone->node) &&
			mhp__cache_take_last(m, zone, order, ret_pfn);
	MHP_ASSERT_DEBUG(!taken || (*ret_pfn & ((UINT64_C(1) << order) - 1)) == 0);
	if (taken)
		mhp__unpoison(m, *ret_pfn, UINT64_C(1) << order, true);
	return taken;
}

/* ---- free ---- */

/* The first frame of an allocated page. */
struct head {
	struct mhp__arena *arena;
	struct mhp__page *page;
	uint64_t bit;                  /* its pageblock's */
	unsigned owner, order;
};

/* Find the caller's page that starts at pfn. The caller owns it, so nothing that is read here
 * changes meanwhile. If the caller does not, the answer may be wrong, but only memory of the
 * instance and of blocks that are online is read. */
static inline __attribute__((always_inline)) int
find_head(const struct mhp *m, uint64_t pfn, struct head *head)
{
	uint64_t index = pfn >> m->arena_order, word;

	if (MHP_UNLIKELY(index >= m->nr_arenas))
		return MHP_EINVAL;
	head->arena = &m->arenas[index];
	head->bit = mhp__pageblock_bit(m, pfn);
	/* Frames that are not the allocator's are in a pageblock that is virgin, or zero. */
	if (MHP_UNLIKELY(head->arena->zone_id1 == 0 ||
			 (atomic_load_explicit(&head->arena->virgin, memory_order_relaxed) &
			  head->bit) != 0))
		return MHP_EINVAL;
	head->page = mhp__pfn_to_page(m, pfn);
	word = mhp__page_word(head->page);
	head->owner = mhp__word_owner(word);
	head->order = mhp__word_order(word);
	if (MHP_UNLIKELY(head->owner < MHP_OWNER_FIRST))
		return head->owner == MHP_OWNER_NONE ? MHP_EINVAL : MHP_EBUSY;
	return 0;
}

static __attribute__((noinline)) int
spill(struct mhp *m, uint64_t pfn, unsigned order)
{
	unsigned id = m->arenas[mhp__pfn_arena(m, pfn)].zone_id1 - 1U;

	MHP_ASSERT_DEBUG(id < m->nr_zones);
	mhp__cache_spill(m, &m->zones[id], pfn, order);
	return 0;
}

static inline __attribute__((always_inline)) int
release(struct mhp *m, uint64_t pfn, const struct head *head, unsigned order)
{
	unsigned id = head->arena->zone_id1 - 1U;

	MHP_ASSERT_DEBUG(id < m->nr_zones);
	MHP_ASSERT_DEBUG(&m->arenas[mhp__pfn_arena(m, pfn)] == head->arena);
	MHP_ASSERT_DEBUG(mhp__pfn_to_page(m, pfn) == head->page);
	MHP_ASSERT(order <= MHP_PAGEBLOCK_ORDER(m));
	mhp__poison(m, pfn, UINT64_C(1) << order);
	mhp__page_end(head->page);
	if (MHP_UNLIKELY(!mhp_port_cache_push(caches_of(m, id), m->geo.nr_cpus, order, pfn,
					      &head->arena->isolated, head->bit)))
		return spill(m, pfn, order);
	return 0;
}

/* Apart for the same reason as alloc_large(). */
static __attribute__((noinline)) int
release_large(struct mhp *m, uint64_t pfn, struct mhp__arena *arena, struct mhp__page *page,
	      unsigned order)
{
	const struct head head = { .arena = arena, .page = page,
				   .bit = mhp__pageblock_bit(m, pfn) };

	return release(m, pfn, &head, order);
}

int
mhp_page_free(struct mhp *m, uint64_t pfn)
{
	struct head head;
	int err = find_head(m, pfn, &head);

	if (MHP_UNLIKELY(err != 0))
		return err;
	if (head.order != 0)
		return release_large(m, pfn, head.arena, head.page, head.order);
	return release(m, pfn, &head, 0);
}

int
mhp_page_free_owned(struct mhp *m, uint16_t owner, uint64_t pfn)
{
	struct head head;
	int err = find_head(m, pfn, &head);

	if (err == 0 && head.owner != owner)
		err = MHP_EPERM;
	return err != 0 ? err : release(m, pfn, &head, head.order);
}

void
mhp__page_release(struct mhp *m, uint64_t pfn, unsigned order)
{
	struct head head = { .arena = &m->arenas[mhp__pfn_arena(m, pfn)],
			     .page = mhp__pfn_to_page(m, pfn),
			     .bit = mhp__pageblock_bit(m, pfn) };

	MHP_ASSERT_DEBUG(mhp__word_owner(mhp__page_word(head.page)) != MHP_OWNER_NONE);
	MHP_ASSERT_DEBUG(mhp__word_order(mhp__page_word(head.page)) == order);
	(void)release(m, pfn, &head, order);
}

int
mhp__page_order(const struct mhp *m, uint64_t pfn, unsigned *ret_order)
{
	struct head head;
	int err = find_head(m, pfn, &head);

	if (err == 0)
		*ret_order = head.order;
	return err;
}

void
mhp_drain_caches(struct mhp *m)
{
	for (unsigned id = 0; id < m->nr_zones; id++)
		if (atomic_load_explicit(&m->zones[id].managed, memory_order_relaxed) != 0)
			mhp__cache_drain(m, &m->zones[id]);
}

/* ---- change and look ---- */

int
mhp_page_split(struct mhp *m, uint64_t pfn, unsigned order, const uint64_t *cookies)
{
	struct head head;
	int err = find_head(m, pfn, &head);

	if (err != 0)
		return err;
	if (order > head.order)
		return MHP_EINVAL;
	for (uint64_t i = 0; cookies != NULL && i < UINT64_C(1) << (head.order - order); i++)
		if (cookies[i] > MHP_COOKIE_MAX)
			return MHP_EOVERFLOW;
	MHP_ASSERT_DEBUG(head.order <= MHP_PAGEBLOCK_ORDER(m));
	mhp__spin_lock(&head.arena->lock, MHP_RANK_ARENA); /* for walkers: all at once */
	uint64_t cookie = mhp__word_cookie(mhp__page_word(head.page));
	/* The head last: until then the page is as before for whoever comes after a kill. */
	for (uint64_t i = UINT64_C(1) << (head.order - order); i-- > 0;)
		mhp__page_begin(mhp__pfn_to_page(m, pfn + (i << order)), head.owner, order,
				cookies != NULL ? cookies[i] : cookie);
	mhp__spin_unlock(&head.arena->lock, MHP_RANK_ARENA);
	return 0;
}

int
mhp_page_set_cookie(struct mhp *m, uint64_t pfn, uint64_t cookie)
{
	struct head head;
	int err = find_head(m, pfn, &head);

	if (err != 0)
		return err;
	if (cookie > MHP_COOKIE_MAX)
		return MHP_EOVERFLOW;
	mhp__page_begin(head.page, head.owner, head.order, cookie);
	return 0;
}
