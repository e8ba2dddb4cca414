/* SPDX-License-Identifier: MIT */
/*
 * check_test.c - does the verifier see what is wrong, and only that?
 *
 * A small instance is brought into a state in which every kind of thing occurs: blocks of all
 * placements in all resting states, both zones, pages of all orders, full, mixed, free and virgin
 * pageblocks, filled caches, bad frames. Then every bit of its structural metadata is flipped in
 * turn. A flip that goes unreported must be in a field of exempt(), which is the list in
 * docs/INVARIANTS.md, and no entry of that list may be without need. The other direction: in the
 * middle of operations, and with other threads allocating, nothing may be reported.
 */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>

#include "verify/check.h"
#include "memmap/memmap.h"
#include "mover.h"
#include "pages/arena.h"
#include "state/runs.h"
#include "state/seal.h"

#define NR_PAGES_MAX 4096U
#define NR_BLOCKS 8U

/* ---- a state with everything in it ---- */

struct scene {
	struct test_pool pool;
	struct mhp *m;
	uint16_t pinned, loose;        /* owners: cannot move, can move */
	uint64_t pages[NR_PAGES_MAX];
	unsigned nr_pages;
};

static int
stay(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return MHP_EBUSY;
}

static int
fail_to_move(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx, (void)moves, (void)nr_moves;
	*ret_done = 0;
	return MHP_EBUSY;
}

static void
put_back(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

static int
deaf(void *ctx, const struct mhp_notice *notice)
{
	(void)ctx, (void)notice;
	return 0;
}

static void
say_finding(void *ctx, const struct mhp_finding *finding)
{
	(void)ctx;
	fprintf(stderr, "  INV %u: %s: at %" PRIu64 ": have %" PRIu64 ", want %" PRIu64 "\n",
		finding->invariant, finding->what, finding->where, finding->have, finding->want);
}

static void
check_holds(struct mhp *m)
{
	CHECK_RET(mhp_check(m, true, say_finding, NULL), 0);
}

static void
add(struct scene *s, uint32_t block, uint32_t flags, unsigned node, unsigned zone)
{
	struct mhp_add_opts opts = { .flags = flags, .node = (uint8_t)node,
				     .zone = (uint8_t)zone, .backing = (uint16_t)(block / 2) };
	CHECK_OK(mhp_add(s->m, (struct mhp_blocks){ block, 1 }, &opts, NULL));
}

static void
take(struct scene *s, uint16_t owner, unsigned order, unsigned node, unsigned nr)
{
	struct mhp_page_req req = { .cookie = 0x1234, .owner = owner, .order = (uint8_t)order,
				    TEST_NEAR(node) };

	while (nr-- > 0) {
		CHECK(s->nr_pages < NR_PAGES_MAX);
		if (mhp_page_alloc(s->m, req, &s->pages[s->nr_pages]) != 0)
			return;
		req.cookie++;
		s->nr_pages++;
	}
}

/* Free every step-th of the pages from first on, keeping the others in order. */
static void
give(struct scene *s, unsigned first, unsigned step)
{
	unsigned kept = first;

	for (unsigned i = first; i < s->nr_pages; i++) {
		if ((i - first) % step == 0)
			CHECK_OK(mhp_page_free(s->m, s->pages[i]));
		else
			s->pages[kept++] = s->pages[i];
	}
	s->nr_pages = kept;
}

static void
scene_blocks(struct scene *s)
{
	struct mhp_blocks used = { 6, 1 };

	add(s, 0, MHP_ADD_BOOT | MHP_ADD_ONLINE, 0, MHP_ZONE_NORMAL);
	add(s, 1, MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, 0, MHP_ZONE_NORMAL);
	add(s, 2, MHP_MEMMAP_ON_MEMORY | MHP_ADD_TEST | MHP_ADD_ONLINE, 0, MHP_ZONE_MOVABLE);
	add(s, 3, MHP_ADD_ONLINE, 1, MHP_ZONE_MOVABLE);
	add(s, 4, MHP_MEMMAP_ON_NODE | MHP_ADD_ONLINE, 1, MHP_ZONE_NORMAL);
	add(s, 5, MHP_MEMMAP_ON_MEMORY | MHP_ADD_TEST | MHP_ADD_OFFLINE, 1, 0);
	add(s, 6, MHP_ADD_ONLINE, 0, MHP_ZONE_MOVABLE);
	CHECK_OK(mhp_offline(s->m, &used, 1, NULL, NULL));
}

static void
scene_pages(struct scene *s)
{
	unsigned top = s->pool.config.geometry.pageblock_order;

	for (unsigned node = 0; node < 2; node++) {
		take(s, s->pinned, 0, node, 12);
		take(s, s->loose, 0, node, 10);
		for (unsigned order = 1; order <= top; order++) {
			take(s, s->pinned, order, node, 1);
			take(s, s->loose, order, node, 1);
		}
	}
	give(s, 0, 3);
	mhp_drain_caches(s->m);
}

static uint64_t
free_frame(struct scene *s, uint32_t block)
{
	uint64_t pfn = mhp__block_start(s->m, block + 1);

	while (pfn-- > mhp__block_start(s->m, block))
		if (mhp_frame_peek(s->m, pfn).state == MHP_FRAME_FREE)
			return pfn;
	FAIL("block %u has no free frame", block);
}

static void
scene_bad(struct scene *s)
{
	uint64_t forgotten = free_frame(s, 4);

	CHECK_OK(mhp_bad_add(s->m, mhp__block_start(s->m, 7) + 3)); /* not there */
	CHECK_OK(mhp_bad_add(s->m, free_frame(s, 0)));
	CHECK_OK(mhp_bad_add(s->m, forgotten));
	CHECK_OK(mhp_bad_remove(s->m, forgotten)); /* but still out of use */
}

/* Refilling takes whatever a small zone has; so one zone is refilled, in others pages are freed. */
static void
scene_caches(struct scene *s)
{
	take(s, s->loose, 0, 1, 3);
	give(s, 1, 5);
}

static void
scene_open(struct scene *s, const struct mhp_geometry *geometry)
{
	static const struct mhp_movable_ops movable = { stay, fail_to_move, put_back, NULL };
	struct test_pool_opts opts = { .geometry = geometry, .plain = true,
				       .fill = MHP_SIM_GARBAGE, .meta_bytes = 1U << 22 };
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	uint16_t listener;

	memset(s, 0, sizeof(*s));
	test_pool_open(&s->pool, &opts);
	s->m = s->pool.m;
	CHECK_OK(mhp_owner_register(s->m, "pinned", NULL, s, &s->pinned));
	CHECK_OK(mhp_owner_register(s->m, "loose", &movable, s, &s->loose));
	CHECK_OK(mhp_listener_add(s->m, deaf, s, -1, &listener));
	CHECK_OK(mhp_listener_add(s->m, deaf, s, 7, &listener));
	policy.auto_movable_ratio = 400;
	CHECK_OK(mhp_set_policy(s->m, &policy));
	scene_blocks(s);
	scene_pages(s);
	scene_bad(s);
	scene_caches(s);
	check_holds(s->m);
}

static void
scene_close(struct scene *s)
{
	struct mhp_blocks hosted = { 4, 1 }; /* its host cannot leave before it */

	give(s, 0, 1);
	CHECK_EQ(s->nr_pages, 0);
	CHECK_OK(mhp_remove(s->m, &hosted, 1, NULL, NULL));
	test_pool_empty_and_close(&s->pool);
}

/* ---- flipping ---- */

/* What kind of memory a region is. */
enum kind {
	INSTANCE, ZONE, CACHE, BLOCK, ARENA, ZONELIST, BAD, BITSET, CPU_NODE, BITMAP, DESCRIPTORS,
	HEADS,
};

static const char *const kind_names[] = {
	"instance", "zone", "cache", "block slot", "arena slot", "zonelist", "bad", "bitset",
	"cpu_node", "bitmap of block", "descriptors of block", "heads of block",
};

struct region {
	enum kind kind;
	uint32_t index;                /* of the zone, cache, ... */
	unsigned char *start;
	size_t size;
};

/* Why a flip may go unreported; each is a line of docs/INVARIANTS.md. */
enum exemption {
	NONE,
	PADDING,
	STATISTICS,
	LATE_CANCEL,
	CPU_NODES,
	LIST_HEAD,
	HINT,
	FREE_VIRGIN,
	FULL_MIXED,
	UNUSED_SLOT,
	ABSENT_SLOT,
	UNUSED_BITMAP,
	UNUSED_DESCRIPTOR,
	EXEMPTIONS,
};

static const char *const exemption_names[EXEMPTIONS] = {
	"", "padding", "statistics", "cancel", "cpu_node", "first of a list", "hints",
	"virgin of a free pageblock", "mixed of a full pageblock", "cache slots above the count",
	"slots of absent blocks",
	"bitmap of a pageblock that is not mixed", "descriptors that are not read",
};

struct flips {
	struct scene *scene;
	uint64_t nr, nr_reported, nr_unread, nr_exempt[EXEMPTIONS], nr_silent[EXEMPTIONS];
};

#define WITHIN(at, type, field)                                                                    \
	((at) >= offsetof(type, field) &&                                                          \
	 (at) < offsetof(type, field) + sizeof(((type *)NULL)->field))
#define BETWEEN(at, type, field, next)                                                             \
	((at) >= offsetof(type, field) + sizeof(((type *)NULL)->field) &&                          \
	 (at) < offsetof(type, next))

static enum exemption
exempt_instance(const struct mhp *m, size_t at)
{
	if (BETWEEN(at, struct mhp, caps, trace) || BETWEEN(at, struct mhp, nr_bad, bad) ||
	    BETWEEN(at, struct mhp, blocks_online, meta_bytes) ||
	    BETWEEN(at, struct mhp, node_states, work) ||
	    BETWEEN(at, struct mhp, policy.strict, memmap_switch) ||
	    at >= offsetof(struct mhp, work.stopped) + sizeof(m->work.stopped))
		return PADDING;
	if (WITHIN(at, struct mhp, pages_moved) || WITHIN(at, struct mhp, auto_online_retries))
		return STATISTICS;
	if (WITHIN(at, struct mhp, work.cancel) || WITHIN(at, struct mhp, work.seq))
		return LATE_CANCEL; /* a cancel of a change that is over, or will be */
	return NONE;
}

/* After the flip: does the first name a member of its list? Then it is as good as before. */
static enum exemption
exempt_zone(const struct mhp *m, const struct region *region, size_t at)
{
	const struct mhp__zone *zone = &m->zones[region->index];
	unsigned list = (unsigned)((at - offsetof(struct mhp__zone, first)) / sizeof(uint32_t));
	uint32_t id;

	if (BETWEEN(at, struct mhp__zone, first, nr_free) ||
	    BETWEEN(at, struct mhp__zone, nr_free, managed) ||
	    at >= offsetof(struct mhp__zone, zero) + sizeof(zone->zero))
		return PADDING;
	if (WITHIN(at, struct mhp__zone, next_pfn))
		return HINT;
	if (!WITHIN(at, struct mhp__zone, first))
		return NONE;
	id = zone->first[list];
	if (id == 0 || id > m->nr_arenas || m->arenas[id - 1].next == 0)
		return NONE;
	return m->arenas[id - 1].zone_id1 == region->index + 1 &&
	       m->arenas[id - 1].list == list ? LIST_HEAD : NONE;
}

static enum exemption
exempt_cache(const struct mhp *m, const struct region *region, size_t at)
{
	const struct mhp_cache *cache = &m->caches[region->index];
	unsigned slot = (unsigned)((at - offsetof(struct mhp_cache, slot)) / sizeof(uint64_t));

	if (WITHIN(at, struct mhp_cache, hint))
		return HINT;
	if (BETWEEN(at, struct mhp_cache, draining, slot) ||
	    at >= offsetof(struct mhp_cache, slot) + sizeof(cache->slot))
		return PADDING;
	if (!WITHIN(at, struct mhp_cache, slot))
		return NONE;
	for (unsigned order = 0; order < MHP_ORDERS; order++) {
		unsigned bottom = mhp_cache_bottom(order);
		if (slot >= bottom && slot < bottom + mhp_cache_depth(order))
			return slot - bottom >= cache->count[order] ? UNUSED_SLOT : NONE;
	}
	return NONE;
}

static enum exemption
exempt_arena(const struct mhp *m, const struct region *region, size_t at, unsigned bit)
{
	const struct mhp__arena *arena = &m->arenas[region->index];
	uint64_t mask = UINT64_C(1) << (at % 8 * 8 + bit);

	if (m->blocks[region->index >> (m->geo.block_order - m->arena_order)].state == MHP_ABSENT)
		return ABSENT_SLOT;
	if (arena->zone_id1 == 0)
		return NONE;
	if (WITHIN(at, struct mhp__arena, claimed))
		return HINT;
	if (WITHIN(at, struct mhp__arena, poisoned))
		return (mask & mhp__arena_mask(m)) != 0 ? HINT : NONE;
	if (WITHIN(at, struct mhp__arena, virgin))
		return (mask & mhp__arena_mask(m) & ~(arena->full | arena->mixed)) != 0 ?
			       FREE_VIRGIN : NONE;
	if (WITHIN(at, struct mhp__arena, mixed))
		return (mask & arena->full) != 0 ? FULL_MIXED : NONE;
	return NONE;
}

/* The arena of a block's frame, and which of its pageblocks the frame is in. */
static const struct mhp__arena *
frame_arena(const struct mhp *m, uint64_t pfn, uint64_t *ret_bit)
{
	*ret_bit = UINT64_C(1) << ((pfn & (mhp__arena_pages(m) - 1)) >> MHP_PAGEBLOCK_ORDER(m));
	return &m->arenas[mhp__pfn_arena(m, pfn)];
}

/* In the array of all, the descriptor of a pageblock's first frame is not used. */
static bool
is_place_of_head(const struct mhp *m, uint64_t at)
{
	uint64_t pageblock = at >> MHP_PAGEBLOCK_ORDER(m) << MHP_PAGEBLOCK_ORDER(m);

	return mhp__pfn_place(m, pageblock) == at;
}

static enum exemption
exempt_metadata(const struct mhp *m, const struct region *region, size_t at)
{
	const struct mhp__block *slot = &m->blocks[region->index];
	uint64_t pfn = mhp__block_start(m, region->index), bit;
	const struct mhp__arena *arena;

	if (region->kind == BITMAP) {
		pfn += (uint64_t)at / 8 >> m->pageblock_words_shift << MHP_PAGEBLOCK_ORDER(m);
		arena = frame_arena(m, pfn, &bit);
		return (arena->mixed & bit) == 0 ? UNUSED_BITMAP : NONE;
	}
	if (region->kind == HEADS) /* the last pageblock's is the first */
		pfn += mhp__block_pages(m) -
		       ((at / sizeof(struct mhp__page) + 1) << MHP_PAGEBLOCK_ORDER(m));
	else
		pfn += at / sizeof(struct mhp__page);
	if (at % sizeof(struct mhp__page) >= 8 ||
	    (region->kind == DESCRIPTORS && is_place_of_head(m, pfn)))
		return UNUSED_DESCRIPTOR;
	if (slot->state == MHP_OFFLINE)
		return (slot->flags & MHP_BLOCK_ZEROED) == 0 ? UNUSED_DESCRIPTOR : NONE;
	arena = frame_arena(m, pfn, &bit);
	return arena->zone_id1 == 0 || (arena->virgin & bit) != 0 ? UNUSED_DESCRIPTOR : NONE;
}

/* May this flip, which has been made, go unreported? */
static enum exemption
exempt(const struct mhp *m, const struct region *region, size_t at, unsigned bit)
{
	switch (region->kind) {
	case INSTANCE:
		return exempt_instance(m, at);
	case ZONE:
		return exempt_zone(m, region, at);
	case CACHE:
		return exempt_cache(m, region, at);
	case BLOCK:
		return m->blocks[region->index].state == MHP_ABSENT ? ABSENT_SLOT : NONE;
	case ARENA:
		return exempt_arena(m, region, at, bit);
	case CPU_NODE:
		return m->cpu_node[at] < m->geo.nr_nodes ? CPU_NODES : NONE;
	case BITMAP:
	case DESCRIPTORS:
	case HEADS:
		return exempt_metadata(m, region, at);
	default:
		return NONE;
	}
}

/* Is this flip worth a look? Of what nobody reads, a few will do. */
static bool
worth_it(struct flips *flips, enum exemption why)
{
	return why < UNUSED_SLOT || flips->nr_unread++ % 16 == 0;
}

static void
flip(struct flips *flips, const struct region *region, size_t at, unsigned bit)
{
	struct mhp *m = flips->scene->m;
	unsigned char saved = region->start[at];
	enum exemption why = exempt(m, region, at, bit);
	int findings;

	region->start[at] = (unsigned char)(saved ^ 1U << bit);
	if (region->kind == ZONE || region->kind == CPU_NODE)
		why = exempt(m, region, at, bit); /* it depends on what it is now */
	findings = worth_it(flips, why) ? mhp_check(m, true, NULL, NULL) : -1;
	region->start[at] = saved;

	flips->nr += findings >= 0;
	flips->nr_reported += findings > 0;
	flips->nr_exempt[why] += findings >= 0;
	flips->nr_silent[why] += findings == 0;
	if (why == NONE && findings == 0)
		FAIL("bit %u of byte %zu of %s %u was flipped, and the verifier did not see it",
		     bit, at, kind_names[region->kind], region->index);
}

/* Flip every step-th bit. */
static void
flip_region(struct flips *flips, const struct region *region, unsigned step)
{
	for (size_t bit = region->index % step; bit < region->size * 8; bit += step)
		flip(flips, region, bit / 8, bit % 8);
}

static void
flip_array(struct flips *flips, enum kind kind, void *start, uint32_t nr, size_t size,
	   unsigned step)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct region region = { kind, i, (unsigned char *)start + i * size, size };
		flip_region(flips, &region, step);
	}
}

static void
flip_instance(struct flips *flips, unsigned step, unsigned cache_step)
{
	struct mhp *m = flips->scene->m;
	size_t set_bytes = (size_t)((unsigned char *)m->leaving.level[0] -
				    (unsigned char *)m->runs.level[0]);

	flip_array(flips, INSTANCE, m, 1, sizeof(*m), step);
	flip_array(flips, ZONE, m->zones, m->nr_zones, sizeof(m->zones[0]), step);
	flip_array(flips, CACHE, m->caches, m->nr_zones * m->geo.nr_cpus, sizeof(m->caches[0]),
		   cache_step);
	flip_array(flips, BLOCK, m->blocks, m->geo.nr_blocks, sizeof(m->blocks[0]), step);
	flip_array(flips, ARENA, m->arenas, m->nr_arenas, sizeof(m->arenas[0]), step);
	flip_array(flips, ZONELIST, m->zonelist, 1, (size_t)m->nr_zones * m->nr_zones, step);
	flip_array(flips, BAD, m->bad, 1, m->geo.nr_bad_pages * sizeof(m->bad[0]), step);
	/* One level of one word; what follows is there to fill the cache line. */
	CHECK(m->runs.nr_levels == 1 && set_bytes >= sizeof(uint64_t));
	flip_array(flips, BITSET, m->runs.level[0], 1, sizeof(uint64_t), step);
	flip_array(flips, BITSET, m->leaving.level[0], 1, sizeof(uint64_t), step);
	flip_array(flips, BITSET, m->removing.level[0], 1, sizeof(uint64_t), step);
	flip_array(flips, CPU_NODE, m->cpu_node, 1, m->geo.nr_cpus, step);
}

static void
flip_metadata(struct flips *flips, unsigned step)
{
	struct mhp *m = flips->scene->m;
	uint64_t nr_pageblocks = mhp__block_pages(m) >> MHP_PAGEBLOCK_ORDER(m);

	for (uint32_t block = 0; block < m->geo.nr_blocks; block++) {
		struct mhp__block *slot = &m->blocks[block];
		struct region bitmap = { BITMAP, block, (unsigned char *)slot->bitmap,
					 nr_pageblocks * 8 << m->pageblock_words_shift };
		struct region pages = { DESCRIPTORS, block, (unsigned char *)slot->pages,
					mhp__block_pages(m) * sizeof(struct mhp__page) };
		struct region heads = { HEADS, block, NULL, mhp__heads_bytes(m) };

		if (slot->state == MHP_ABSENT)
			continue;
		heads.start = bitmap.start - heads.size;
		flip_region(flips, &bitmap, step);
		flip_region(flips, &pages, step);
		flip_region(flips, &heads, step);
	}
}

/* Pages as small as the build allows, so that there are few bits to flip. */
static struct mhp_geometry
geometry(unsigned pageblock_order, unsigned block_order)
{
	struct mhp_geometry geo = { .page_shift = 6, .pageblock_order = (uint8_t)pageblock_order,
				    .nr_nodes = 2, .nr_cpus = 2, .nr_blocks = NR_BLOCKS,
				    .nr_bad_pages = 4 };

	if (MHP_VMEMMAP || MHP_PAGE_BYTES > 8)
		geo.page_shift = 12;
	while (MHP_VMEMMAP && (uint64_t)MHP_PAGE_BYTES << block_order < 4096)
		block_order++;
	geo.section_order = geo.block_order = (uint8_t)block_order;
	return geo;
}

/* Flip every bit of what is small, and about nr_max of the bits of caches and metadata. */
static void
flip_all(const struct mhp_geometry *geo, uint64_t nr_max, struct flips *sum)
{
	static struct scene scene;
	struct flips flips = { .scene = &scene };
	uint64_t nr_bits = (sizeof(struct mhp__page) * 8 + 8) * NR_BLOCKS << geo->block_order;
	unsigned step = (unsigned)(nr_bits / nr_max) | 1U; /* odd: all bits of bytes */

	scene_open(&scene, geo);
	flip_instance(&flips, nr_max < 50000 ? 7 : 1, step);
	flip_metadata(&flips, step);
	check_holds(scene.m);
	scene_close(&scene);
	for (unsigned i = 0; i < EXEMPTIONS; i++) {
		sum->nr_exempt[i] += flips.nr_exempt[i];
		sum->nr_silent[i] += flips.nr_silent[i];
	}
	sum->nr += flips.nr;
	sum->nr_reported += flips.nr_reported;
}

static void
say_flips(const struct flips *flips)
{
	test_say("%" PRIu64 " bits flipped, %" PRIu64 " reported, the others exempt", flips->nr,
		 flips->nr_reported);
	for (unsigned i = 1; i < EXEMPTIONS && getenv("V") != NULL; i++)
		test_say("    %s: %" PRIu64 " exempt, %" PRIu64 " not reported",
			 exemption_names[i], flips->nr_exempt[i], flips->nr_silent[i]);
}

/* Issue point 7; R1: each frame has its one descriptor. */
TEST(check__any_bit_flipped__reported)
{
	static const uint8_t orders[][2] = { { 2, 5 }, { 3, 4 }, { 1, 9 }, { 7, 9 } };
	struct flips sum = { 0 };

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		struct mhp_geometry geo = geometry(orders[i][0], orders[i][1]);
		test_at("pageblock order %u, block order %u", orders[i][0], orders[i][1]);
		flip_all(&geo, test_ops(TEST_ASAN || TEST_TSAN ? 20000 : 250000), &sum);
	}
	say_flips(&sum);
	/* A quick run may have jumped over the only bit of a rare entry. */
	bool thorough = test_ops(20) >= 20 && !TEST_ASAN && !TEST_TSAN;
	for (unsigned i = 1; i < EXEMPTIONS; i++)
		if (thorough && sum.nr_silent[i] == 0)
			FAIL("\"%s\" is exempt without need", exemption_names[i]);
}

/* ---- slots that carry the right checksum and the wrong contents ---- */

static void
note_invariant(void *ctx, const struct mhp_finding *finding)
{
	*(uint64_t *)ctx |= UINT64_C(1) << finding->invariant;
}

static uint64_t
findings_of(struct mhp *m)
{
	uint64_t invariants = 0;

	(void)mhp_check(m, true, note_invariant, &invariants);
	return invariants;
}

/* Let the metadata of a block lie elsewhere: all that follows from it, too. */
static void
point_to(struct mhp *m, struct mhp__block *slot, uint64_t pfn)
{
	unsigned char *virt = m->direct_map + (pfn << m->geo.page_shift);

	slot->meta_addr = pfn << m->geo.page_shift;
	slot->bitmap = (uint64_t *)(void *)(virt + mhp__heads_bytes(m) +
					    mhp__block_pages(m) * sizeof(struct mhp__page));
	if (!MHP_VMEMMAP)
		slot->pages = (struct mhp__page *)(void *)virt;
}

/* Block 0 hosts itself and block 1, which is offline, as is block 2; there is no block 3. Return:
 * which block was spoilt, or -1 when there are no more ways. */
static int
spoil(struct mhp *m, unsigned how)
{
	struct mhp__block *self = &m->blocks[0], *served = &m->blocks[1], *offline = &m->blocks[2];
	uint64_t block_pages = mhp__block_pages(m);

	switch (how) {
	case 0:
		self->altmap.allocated = self->altmap.capacity + 1;
		return 0;
	case 1:
		self->altmap.allocated = 0;
		return 0;
	case 2:
		self->meta_node ^= 1;
		return 0;
	case 3:
		self->flags |= MHP_BLOCK_BOOT;
		return 0;
	case 4:
		self->zone = MHP_ZONE_MOVABLE + 1;
		return 0;
	case 5:
		offline->zone = MHP_ZONE_MOVABLE;
		return 2;
	case 6:
		served->meta_node = 200;
		return 1;
	case 7: /* metadata beyond the end, in itself, where nothing is, and in nobody's page */
		point_to(m, served, mhp__max_pfn(m));
		return 1;
	case 8:
		point_to(m, served, block_pages);
		return 1;
	case 9:
		point_to(m, served, 3 * block_pages);
		return 1;
	case 10:
		point_to(m, served, block_pages - m->block_meta_pages);
		return 1;
	case 11: /* of no add, and of one to come */
		offline->generation = 0;
		return 2;
	case 12:
		offline->generation = mhp_generation(m) + 1;
		return 2;
	default:
		return -1;
	}
}

TEST(check__slot_sealed_with_nonsense__reported)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE,
				     .zone = MHP_ZONE_NORMAL };
	struct test_pool pool;
	int block = 0;

	test_pool_open(&pool, &(struct test_pool_opts){ .shape = "tiny8" });
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &opts, NULL));
	opts.flags = MHP_MEMMAP_ON_NODE;
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 1, 1 }, &opts, NULL));
	opts.flags = MHP_MEMMAP_ON_MEMORY;
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 2, 1 }, &opts, NULL));
	check_holds(pool.m);
	for (unsigned how = 0; block != -1; how++) {
		struct mhp__block before[3];

		test_at("way %u", how);
		memcpy(before, pool.m->blocks, sizeof(before));
		block = spoil(pool.m, how);
		if (block >= 0)
			mhp__block_seal(&pool.m->blocks[block]);
		uint64_t found = findings_of(pool.m);
		CHECK_EQ((found & (1U << 2 | 1U << 4 | 1U << 21)) != 0, block >= 0);
		memcpy(pool.m->blocks, before, sizeof(before));
	}
	check_holds(pool.m);
	test_pool_empty_and_close(&pool);
}

/* A change of state must not seal over a bit that flipped in another field before (INV 4). */
TEST(check__bit_flipped_before_a_change_of_state__still_reported)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE,
				     .zone = MHP_ZONE_NORMAL };
	struct test_pool pool;

	test_pool_open(&pool, &(struct test_pool_opts){ .shape = "tiny8" });
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &opts, NULL));
	pool.m->blocks[0].nr_large_maps ^= 1U << 20;
	CHECK_OK(mhp_block_offline(pool.m, 0, NULL, NULL));
	CHECK_OK(mhp_block_online(pool.m, 0, NULL, NULL));
	CHECK((findings_of(pool.m) & 1U << 4) != 0);
	pool.m->blocks[0].nr_large_maps ^= 1U << 20;
	check_holds(pool.m);
	test_pool_empty_and_close(&pool);
}

/* Two cached frames that are not those which are taken, but add up to the same. */
TEST(check__cached_frames_exchanged_for_others__reported)
{
	struct mhp_page_req req = { .cookie = 0 };
	struct test_pool pool;
	uint64_t pfn;

	test_pool_open(&pool, &(struct test_pool_opts){ .shape = "small" });
	CHECK_OK(mhp_owner_register(pool.m, "o", NULL, NULL, &req.owner));
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE };
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1 }, &opts, NULL));
	CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
	CHECK_OK(mhp_page_free(pool.m, pfn));
	struct mhp_cache *cache = &pool.m->caches[0];
	_Atomic uint64_t *slots = &cache->slot[mhp_cache_bottom(0)];
	CHECK_CMP(cache->count[0], >, 1U);
	slots[0]++;
	slots[1]--;
	CHECK_EQ(findings_of(pool.m), UINT64_C(1) << 13);
	slots[0]--;
	slots[1]++;
	check_holds(pool.m);
	test_pool_empty_and_close(&pool);
}

static void
count_findings(void *ctx, const struct mhp_finding *finding)
{
	(void)finding;
	++*(unsigned *)ctx;
}

/* However much is wrong: all of it counts, 64 are told, and nobody need listen. */
TEST(check__much_is_wrong__bounded_reports)
{
	struct mhp__owner before[MHP_OWNERS_MAX];
	struct test_pool pool;
	unsigned nr_told = 0;

	test_pool_open(&pool, NULL);
	memcpy(before, pool.m->owners, sizeof(before));
	for (unsigned id = 0; id < MHP_OWNERS_MAX; id++) {
		static const struct mhp_movable_ops none;
		pool.m->owners[id].ops = &none;
		pool.m->owners[id].name[0] = '\0';
	}
	int nr = mhp_check(pool.m, true, count_findings, &nr_told);
	CHECK_CMP(nr, >, 64);
	CHECK_EQ(nr_told, 64U);
	CHECK_RET(mhp_check(pool.m, true, NULL, NULL), nr);
	memcpy(pool.m->owners, before, sizeof(before));
	check_holds(pool.m);
	pool.m->const_check++;
	CHECK_RET(mhp__check_inside(pool.m, true, NULL, NULL), 1);
	pool.m->const_check--;
	test_pool_close(&pool);
}

/* R20: spans that end at a block whose reserve is longer than an arena. */
TEST(check__reserve_of_whole_arenas__zone_shrinks_to_its_end)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE };
	struct mhp_geometry geo = geometry(1, 9);
	struct test_pool pool;
	struct mhp_zone_info zone;

	test_pool_open(&pool, &(struct test_pool_opts){ .geometry = &geo, .plain = true,
							.meta_bytes = 1U << 22 });
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 1, 3 }, &opts, NULL));
	for (uint32_t block = 1; block <= 3; block += 2) {
		struct mhp_blocks edge = { block, 1 };

		CHECK_OK(mhp_offline(pool.m, &edge, 1, NULL, NULL));
		check_holds(pool.m);
	}
	CHECK_OK(mhp_zone_get(pool.m, 0, MHP_ZONE_NORMAL, &zone));
	CHECK_EQ(zone.spanned, zone.present);
	test_pool_empty_and_close(&pool);
}

/* ---- nothing is wrong in the middle of things ---- */

struct inside {
	struct mhp *m;
	unsigned kinds;                /* bit per kind of notice that was seen */
	unsigned nr_migrations;
	int refuse;                    /* a kind of notice to refuse, or -1 */
	bool cancel;                   /* at the first migration */
	uint32_t block;                /* cancels the offline of */
};

static void
check_inside(struct mhp *m)
{
	CHECK_RET(mhp_check(m, true, NULL, NULL), MHP_EDEADLK);
	CHECK_RET(mhp__check_inside(m, true, say_finding, NULL), 0);
	CHECK_RET(mhp__check_inside(m, false, say_finding, NULL), 0);
}

static int
look_inside(void *ctx, const struct mhp_notice *notice)
{
	struct inside *inside = ctx;

	inside->kinds |= 1U << notice->kind;
	check_inside(inside->m);
	return (int)notice->kind == inside->refuse ? MHP_EBUSY : 0;
}

static void
look_at_migration(void *ctx)
{
	struct inside *inside = ctx;

	inside->nr_migrations++;
	check_inside(inside->m);
	if (inside->cancel)
		CHECK_OK(mhp_cancel(inside->m, inside->block));
}

static void
offline_and_check(struct mhp *m, struct mhp_blocks blocks, int want)
{
	int err = mhp_offline(m, &blocks, 1, NULL, NULL);

	CHECK_EQ(err, want);
	check_holds(m);
}

static void
inside_open(struct inside *inside, struct test_pool *pool, struct test_mover *mover)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE,
				     .zone = MHP_ZONE_MOVABLE };
	uint16_t listener;

	test_pool_open(pool, &(struct test_pool_opts){ .meta_bytes = 1U << 20 });
	*inside = (struct inside){ .m = pool->m, .refuse = -1, .block = 1 };
	CHECK_OK(mhp_listener_add(pool->m, look_inside, inside, 1, &listener));
	CHECK_OK(mhp_listener_add(pool->m, look_inside, inside, 0, &listener));
	CHECK_OK(mhp_add(pool->m, (struct mhp_blocks){ 0, 3 }, &opts, NULL));
	opts.node = 1;
	CHECK_OK(mhp_add(pool->m, (struct mhp_blocks){ 4, 2 }, &opts, NULL));
	test_mover_open(mover, pool, 4096);
	mover->on_migrate = look_at_migration;
	mover->on_migrate_ctx = inside;
	for (unsigned node = 0; node < 2; node++)
		CHECK(test_mover_fill(mover, pool->block_pages, 2, node));
	check_holds(pool->m);
}

/* Issue point 7: isolated, half-cancelled, and from a listener's point of view; R24: EDEADLK. */
TEST(check__in_callbacks__holds)
{
	static struct test_mover mover;
	struct mhp_blocks two = { 0, 2 };
	struct mhp_compact_result result;
	struct test_pool pool;
	struct inside inside;

	inside_open(&inside, &pool, &mover);
	inside.refuse = MHP_GOING_OFFLINE_NOTICE;
	offline_and_check(pool.m, two, MHP_EBUSY);
	inside.refuse = -1;
	mover.migrate_error = MHP_EIO;
	mover.migrate_times = 1; /* so that there is something left to cancel */
	inside.cancel = true;
	offline_and_check(pool.m, two, MHP_ECANCELED);
	inside.cancel = false;
	mover.migrate_times = 3;
	offline_and_check(pool.m, two, 0);
	inside.refuse = MHP_GOING_ONLINE_NOTICE;
	CHECK_RET(test_online(pool.m, two, MHP_ZONE_NORMAL, NULL), MHP_EBUSY);
	check_holds(pool.m);
	inside.refuse = -1;
	CHECK_OK(test_online(pool.m, two, MHP_ZONE_NORMAL, NULL));
	test_mover_thin_out(&mover, 50);
	CHECK_OK(mhp_compact(pool.m, 1, MHP_ZONE_MOVABLE, 0, &result));
	check_holds(pool.m);
	CHECK_NE(inside.nr_migrations, 0);
	test_mover_check(&mover);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
	CHECK_EQ(inside.kinds, (1U << (MHP_NODE_LAST_NOTICE + 1)) - 1);
}

/* R24: what a preview holds for blocks that are not there breaks nothing; nobody is told of it. */
TEST(check__in_callbacks_of_a_preview__holds)
{
	static struct test_mover mover;
	struct mhp_step steps[2] = { { .kind = MHP_STEP_ADD }, { .kind = MHP_STEP_REMOVE } };
	struct mhp_add_opts normal = { .flags = MHP_ADD_ONLINE, .zone = MHP_ZONE_NORMAL };
	struct test_pool pool;
	struct inside inside;

	inside_open(&inside, &pool, &mover);
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 3, 1 }, &normal, NULL));
	steps[0].blocks = (struct mhp_blocks){ 6, 2 };
	steps[0].add.flags = MHP_MEMMAP_ON_NODE;
	steps[1].blocks = (struct mhp_blocks){ 0, 1 };
	mover.on_isolate = look_at_migration;
	mover.on_isolate_ctx = &inside;
	inside.kinds = 0;
	CHECK_OK(mhp_plan_preview(pool.m, steps, 2, NULL));
	CHECK_NE(inside.nr_migrations, 0);
	CHECK_EQ(inside.kinds, 0);
	check_holds(pool.m);
	CHECK_OK(mhp_plan_commit(pool.m, steps, 2, NULL, NULL));
	CHECK_NE(inside.kinds, 0);
	check_holds(pool.m);
	test_mover_check(&mover);
	mover.on_isolate = NULL;
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
}

struct busy {
	struct mhp *m;
	uint16_t owner;
	unsigned cpu;
	uint64_t rounds;
};

static void *
be_busy(void *ctx)
{
	const struct busy *busy = ctx;
	struct mhp_page_req req = { .owner = busy->owner };
	uint64_t random = busy->cpu, pfns[8];

	mhp_sim_cpu = busy->cpu;
	for (uint64_t i = 0; i < busy->rounds; i++) {
		unsigned nr = 0;
		req.order = (uint8_t)(test_random(&random) % 3);
		while (nr < 8 && mhp_page_alloc(busy->m, req, &pfns[nr]) == 0)
			nr++;
		while (nr-- > 0)
			CHECK_OK(mhp_page_free(busy->m, pfns[nr]));
	}
	return NULL;
}

static void
change_and_check(struct mhp *m, uint64_t rounds)
{
	struct mhp_blocks last = { 3, 1 };

	for (uint64_t i = 0; i < rounds; i++) {
		CHECK_RET(mhp_check(m, false, say_finding, NULL), 0);
		if (i % 8 == 0)
			CHECK_OK(test_online(m, last, MHP_ZONE_MOVABLE, NULL));
		else if (i % 8 == 4)
			CHECK_OK(mhp_offline(m, &last, 1, NULL, NULL));
	}
}

TEST(check__others_allocate__holds)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE };
	uint64_t rounds = test_ops(4000);
	struct busy busy[2];
	pthread_t threads[2];
	struct test_pool pool;
	uint16_t owner;

	test_pool_open(&pool, &(struct test_pool_opts){ .shape = "small" });
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 3 }, &opts, NULL));
	opts.flags = MHP_MEMMAP_ON_MEMORY;
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 3, 1 }, &opts, NULL));
	CHECK_OK(mhp_owner_register(pool.m, "busy", NULL, NULL, &owner));
	for (unsigned i = 0; i < 2; i++) {
		busy[i] = (struct busy){ pool.m, owner, i, rounds };
		CHECK_EQ(pthread_create(&threads[i], NULL, be_busy, &busy[i]), 0);
	}
	change_and_check(pool.m, test_ops(160) / 8 * 8);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	check_holds(pool.m);
	test_pool_empty_and_close(&pool);
}

/* ---- the digest ---- */

struct history {
	uint64_t digest[64];
	unsigned nr;
};

/* This state is like none before. */
static void
is_new(struct history *history, struct mhp *m)
{
	uint64_t digest = mhp_digest(m);

	for (unsigned i = 0; i < history->nr; i++)
		CHECK_NE(history->digest[i], digest);
	history->digest[history->nr++] = digest;
}

/* This state is that of nr states ago, which are forgotten. */
static void
is_old(struct history *history, struct mhp *m, unsigned nr)
{
	history->nr -= nr;
	CHECK_EQ(mhp_digest(m), history->digest[history->nr - 1]);
}

TEST(digest__what_a_caller_sees__counts)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_OFFLINE };
	struct mhp_page_req req = { .cookie = 5 };
	struct mhp_blocks first = { 0, 1 };
	struct history history = { .nr = 0 };
	struct mhp_blocks blocks;
	struct test_pool pool;
	uint64_t pfn, last;

	test_pool_open(&pool, &(struct test_pool_opts){ .meta_bytes = 1U << 20 });
	CHECK_OK(mhp_owner_register(pool.m, "owner", NULL, NULL, &req.owner));
	blocks = (struct mhp_blocks){ 0, 1 };
	last = pool.block_pages - 1;
	is_new(&history, pool.m);
	CHECK_OK(mhp_add(pool.m, blocks, &opts, NULL));
	is_new(&history, pool.m);
	CHECK_OK(test_online(pool.m, first, MHP_ZONE_MOVABLE, NULL));
	is_new(&history, pool.m);
	CHECK_OK(mhp_offline(pool.m, &first, 1, NULL, NULL));
	is_old(&history, pool.m, 1);
	CHECK_OK(test_online(pool.m, first, MHP_ZONE_NORMAL, NULL));
	is_new(&history, pool.m);
	CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
	is_new(&history, pool.m);
	CHECK_OK(mhp_page_set_cookie(pool.m, pfn, 6));
	is_new(&history, pool.m);
	CHECK_OK(mhp_page_free(pool.m, pfn));
	is_old(&history, pool.m, 2);
	mhp_drain_caches(pool.m); /* they held that frame, and more */
	is_old(&history, pool.m, 0);
	CHECK_OK(mhp_bad_add(pool.m, last));
	is_new(&history, pool.m);
	CHECK_OK(mhp_remove(pool.m, &blocks, 1, NULL, NULL));
	is_new(&history, pool.m);
	CHECK_OK(mhp_bad_remove(pool.m, last));
	is_old(&history, pool.m, 4);
	test_pool_close(&pool);
}

static uint64_t
digest_of_life(enum mhp_sim_fill fill, uint64_t seed)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE };
	static struct test_mover mover;
	struct test_pool pool;
	uint64_t digest;

	test_pool_open(&pool, &(struct test_pool_opts){ .fill = fill, .seed = seed });
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 4 }, &opts, NULL));
	test_mover_open(&mover, &pool, 4096);
	mover.random = 1;
	CHECK(test_mover_fill(&mover, pool.block_pages, 2, 0));
	test_mover_thin_out(&mover, 30);
	digest = mhp_digest(pool.m);
	test_mover_close(&mover);
	test_pool_empty_and_close(&pool);
	return digest;
}

TEST(digest__same_calls_other_memory__equal)
{
	uint64_t zeros = digest_of_life(MHP_SIM_ZERO, 1);

	CHECK_EQ(digest_of_life(MHP_SIM_ZERO, 2), zeros);
	CHECK_EQ(digest_of_life(MHP_SIM_GARBAGE, 3), zeros);
}
