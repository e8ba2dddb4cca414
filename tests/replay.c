/* SPDX-License-Identifier: MIT */
/*
 * replay.c - the generator: pages and their contents, owners, listeners, choosing, carrying out.
 *
 * A page is a slot of pages[]; its cookie says which, so that an owner's function finds it again.
 * Each frame carries a word that follows from a stamp at both of its ends: a page that was not
 * copied, or was given to two, does not have it. What is chosen follows from the random state and
 * from answers of the engine that depend on nothing but the calls before.
 */
#include "replay.h"

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);

/* ---- random ---- */

/* splitmix64 (Steele et al. 2014). */
static uint64_t
draw(struct replay *r)
{
	uint64_t z = r->random += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t
below(struct replay *r, uint64_t n)
{
	return draw(r) % n;
}

static bool
chance(struct replay *r, unsigned percent)
{
	return below(r, 100) < percent;
}

static void
broke(struct replay *r, const char *what, uint64_t at)
{
	if (r->broken != NULL)
		return;
	r->broken = what;
	r->broken_at = at;
}

/* ---- shape ---- */

static uint64_t
block_pages(const struct replay *r)
{
	return UINT64_C(1) << r->geo->block_order;
}

static uint64_t
block_bytes(const struct replay *r)
{
	return block_pages(r) << r->geo->page_shift;
}

static uint64_t
max_pfn(const struct replay *r)
{
	return r->geo->nr_blocks * block_pages(r);
}

/* ---- contents ---- */

static uint64_t
word_for(uint64_t stamp)
{
	return (stamp ^ UINT64_C(0x5bd1e995)) * UINT64_C(0x9e3779b97f4a7c15);
}

static volatile uint64_t *
frame_words(const struct replay *r, uint64_t pfn)
{
	return mhp_pfn_to_virt(r->m, pfn);
}

static void
fill(struct replay *r, const struct replay_page *page)
{
	size_t last = (size_t)(UINT64_C(1) << r->geo->page_shift) / sizeof(uint64_t) - 1;

	for (uint64_t i = 0; i < UINT64_C(1) << page->order; i++) {
		volatile uint64_t *words = frame_words(r, page->pfn + i);
		words[0] = words[last] = word_for(page->stamp + i);
	}
}

static void
check_contents(struct replay *r, const struct replay_page *page)
{
	size_t last = (size_t)(UINT64_C(1) << r->geo->page_shift) / sizeof(uint64_t) - 1;

	for (uint64_t i = 0; i < UINT64_C(1) << page->order; i++) {
		volatile uint64_t *words = frame_words(r, page->pfn + i);
		if (words[0] != word_for(page->stamp + i) || words[last] != words[0])
			broke(r, "contents of a frame are lost", page->pfn + i);
	}
}

/* ---- the table of pages ---- */

static struct replay_page *
page_by_cookie(struct replay *r, uint64_t cookie)
{
	struct replay_page *page = &r->pages[(uint32_t)cookie % REPLAY_PAGES];

	return page->live && page->cookie == cookie ? page : NULL;
}

/* Our page that starts at pfn, or NULL. */
static struct replay_page *
page_at(struct replay *r, uint64_t pfn)
{
	struct mhp_frame frame = mhp_frame_peek(r->m, pfn);
	struct replay_page *page;

	if (frame.state != MHP_FRAME_USED || frame.owner < MHP_OWNER_FIRST)
		return NULL;
	page = page_by_cookie(r, frame.cookie);
	if (page == NULL || page->pfn != pfn || page->order != frame.order ||
	    page->owner != frame.owner) {
		broke(r, "a page is not what its owner thinks", pfn);
		return NULL;
	}
	return page;
}

static uint64_t
next_cookie(struct replay *r, uint32_t index)
{
	return (draw(r) << 32 | index) & MHP_COOKIE_MAX;
}

/* The slot that the next page will have; there must be one. */
static uint32_t
free_slot(const struct replay *r)
{
	return r->live[r->nr_live];
}

static struct replay_page *
enter(struct replay *r, uint64_t pfn, unsigned order, uint16_t owner, uint64_t cookie,
      uint64_t stamp)
{
	struct replay_page *page = &r->pages[free_slot(r)];

	*page = (struct replay_page){ .pfn = pfn, .stamp = stamp, .cookie = cookie, .owner = owner,
				      .order = (uint8_t)order, .live = true,
				      .place = r->nr_live++ };
	return page;
}

static void
leave(struct replay *r, struct replay_page *page)
{
	uint32_t index = (uint32_t)(page - r->pages), last = r->live[--r->nr_live];

	if (page->held)
		broke(r, "a page went while it was held", page->pfn);
	r->live[page->place] = last;
	r->pages[last].place = page->place;
	r->live[r->nr_live] = index;
	page->live = false;
}

static struct replay_page *
any_page(struct replay *r)
{
	return r->nr_live == 0 ? NULL : &r->pages[r->live[below(r, r->nr_live)]];
}

/* ---- pages: calls, watched ---- */

static int
alloc_page(struct replay *r, struct mhp_page_req req)
{
	uint64_t pfn = MHP_PFN_NONE;
	int error;

	if (r->nr_live == REPLAY_PAGES)
		return 0;
	req.cookie = next_cookie(r, free_slot(r));
	error = mhp_page_alloc(r->m, req, &pfn);
	if (r->hooks.allocated != NULL)
		r->hooks.allocated(r->hooks.ctx, req, error, pfn);
	if (error == 0) {
		fill(r, enter(r, pfn, req.order, req.owner, req.cookie, r->next_stamp));
		r->next_stamp += UINT64_C(1) << req.order;
	}
	return error;
}

static int
free_page(struct replay *r, uint64_t pfn)
{
	struct replay_page *page = page_at(r, pfn);
	int error;

	if (page != NULL)
		check_contents(r, page);
	error = mhp_page_free(r->m, pfn);
	if (r->hooks.freed != NULL)
		r->hooks.freed(r->hooks.ctx, pfn, error);
	if ((error == 0) != (page != NULL))
		broke(r, "free says what cannot be", pfn);
	if (error == 0 && page != NULL)
		leave(r, page);
	return error;
}

static int
set_cookie(struct replay *r, uint64_t pfn, uint64_t cookie)
{
	int error = mhp_page_set_cookie(r->m, pfn, cookie);

	if (r->hooks.cookie != NULL)
		r->hooks.cookie(r->hooks.ctx, pfn, cookie, error);
	return error;
}

/* Pages that came without a cookie of their own: give each one. */
static void
adopt(struct replay *r, uint64_t pfn, uint64_t end_pfn, uint64_t stamp)
{
	while (pfn < end_pfn) {
		struct mhp_frame frame = mhp_frame_peek(r->m, pfn);
		uint64_t nr_pages = UINT64_C(1) << frame.order;
		uint64_t cookie = next_cookie(r, free_slot(r));
		if (frame.state != MHP_FRAME_USED || set_cookie(r, pfn, cookie) != 0) {
			broke(r, "a frame just allocated is not in use", pfn);
			return;
		}
		(void)enter(r, pfn, frame.order, frame.owner, cookie, stamp);
		stamp += nr_pages;
		pfn += nr_pages;
	}
}

static int
alloc_contig(struct replay *r, struct mhp_page_req req, uint64_t nr_pages)
{
	uint64_t pfn = MHP_PFN_NONE, stamp = r->next_stamp;
	int error;

	if (REPLAY_PAGES - r->nr_live < nr_pages && nr_pages <= max_pfn(r))
		return 0; /* as many pages as frames, at worst */
	error = mhp_pages_alloc_contig(r->m, req, nr_pages, &pfn);
	if (r->hooks.allocated_contig != NULL)
		r->hooks.allocated_contig(r->hooks.ctx, req, nr_pages, error, pfn);
	if (error != 0)
		return error;
	r->next_stamp += nr_pages;
	for (uint64_t i = 0; i < nr_pages; i++) {
		struct replay_page frame = { .pfn = pfn + i, .stamp = stamp + i };
		fill(r, &frame);
	}
	adopt(r, pfn, pfn + nr_pages, stamp);
	return 0;
}

static int
free_contig(struct replay *r, uint64_t pfn, uint64_t nr_pages)
{
	uint32_t slots[64], nr = 0;
	int error;

	for (uint64_t at = pfn; at < pfn + nr_pages && at < max_pfn(r) && nr < 64;) {
		struct replay_page *page = page_at(r, at);
		if (page == NULL)
			break;
		check_contents(r, page);
		slots[nr++] = (uint32_t)(page - r->pages);
		at += UINT64_C(1) << page->order;
	}
	if (nr == 64)
		return 0; /* more than we can keep in mind */
	error = mhp_pages_free_contig(r->m, pfn, nr_pages);
	if (r->hooks.freed_contig != NULL)
		r->hooks.freed_contig(r->hooks.ctx, pfn, nr_pages, error);
	for (uint32_t i = 0; error == 0 && i < nr; i++)
		leave(r, &r->pages[slots[i]]);
	return error;
}

static int
split_page(struct replay *r, uint64_t pfn)
{
	struct replay_page *page = page_at(r, pfn), was = { 0 };
	int error;

	if (page != NULL) {
		was = *page;
		if (REPLAY_PAGES - r->nr_live < UINT64_C(1) << was.order)
			return 0;
	}
	error = mhp_page_split(r->m, pfn, 0, NULL);
	if (r->hooks.split != NULL)
		r->hooks.split(r->hooks.ctx, pfn, error);
	if (error == 0 && page != NULL) {
		leave(r, page);
		adopt(r, pfn, pfn + (UINT64_C(1) << was.order), was.stamp);
	}
	return error;
}

/* ---- callbacks ---- */

/* Count down to trouble. */
static bool
strikes(uint32_t *at)
{
	return *at != 0 && --*at == 0;
}

/* What owners and listeners may and may not do in the middle of a call. */
static void
meddle(struct replay *r)
{
	struct mhp_blocks any = { 0, 1 };
	struct mhp_page_req req = { .owner = r->owners[below(r, REPLAY_OWNERS)] };

	if (mhp_online(r->m, &any, 1, NULL, NULL) != MHP_EDEADLK ||
	    mhp_check(r->m, true, NULL, NULL) != MHP_EDEADLK ||
	    mhp_bad_remove(r->m, 0) != MHP_EDEADLK)
		broke(r, "a call from a callback was not refused", 0);
	if (strikes(&r->op->cancel_at)) {
		struct mhp_progress progress = mhp_progress(r->m);
		r->op->nr_canceled += mhp_cancel(r->m, progress.blocks.first) == 0;
	}
	if (!strikes(&r->op->nest_at))
		return;
	r->op->nr_nested++;
	(void)alloc_page(r, req);
}

static void
enter_callback(struct replay *r)
{
	if (r->hooks.inside != NULL)
		r->hooks.inside(r->hooks.ctx);
	if (r->op != NULL)
		meddle(r);
}

static int
hold(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct replay *r = ctx;
	struct replay_page *page = page_by_cookie(r, cookie);

	enter_callback(r);
	if (page == NULL || page->pfn != pfn || page->order != order || page->held) {
		broke(r, "isolate() of what is not a page", pfn);
		return MHP_EAGAIN;
	}
	if (page->pinned)
		return MHP_EBUSY;
	if (r->op != NULL && strikes(&r->op->isolate_at)) {
		r->op->nr_refused++;
		return r->op->isolate_error;
	}
	page->held = true;
	return 0;
}

static void
put_back(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct replay *r = ctx;
	struct replay_page *page = page_by_cookie(r, cookie);

	if (page == NULL || page->pfn != pfn || page->order != order || !page->held)
		broke(r, "putback() of what is not held", pfn);
	else
		page->held = false;
}

static void
move_run(struct replay *r, const struct mhp_move *move)
{
	uint64_t done = 0;

	while (done < move->nr_pages) {
		struct replay_page *page = page_at(r, move->src_pfn + done);
		if (page == NULL || !page->held) {
			broke(r, "migrate() of what is not held", move->src_pfn + done);
			return;
		}
		check_contents(r, page);
		if (r->hooks.moved != NULL)
			r->hooks.moved(r->hooks.ctx, page->pfn, move->dst_pfn + done, page->order);
		memcpy(mhp_pfn_to_virt(r->m, move->dst_pfn + done),
		       mhp_pfn_to_virt(r->m, page->pfn),
		       (size_t)(UINT64_C(1) << page->order) << r->geo->page_shift);
		page->pfn = move->dst_pfn + done;
		page->held = false;
		done += UINT64_C(1) << page->order;
	}
	if (done != move->nr_pages)
		broke(r, "migrate() of a part of a page", move->src_pfn);
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct replay *r = ctx;

	enter_callback(r);
	for (*ret_done = 0; *ret_done < nr_moves; ++*ret_done) {
		if (r->op != NULL && strikes(&r->op->migrate_at)) {
			r->op->nr_broken++;
			return REPLAY_BROKEN;
		}
		move_run(r, &moves[*ret_done]);
	}
	return 0;
}

static void
describe(void *ctx, uint64_t pfn, uint64_t cookie, char *text, size_t size)
{
	struct replay *r = ctx;

	if (page_by_cookie(r, cookie) == NULL)
		broke(r, "describe() of what is not a page", pfn);
	for (size_t i = 0; i < size; i++) /* a hostile one: all of it, and no end */
		text[i] = 'x';
}

static const struct mhp_movable_ops mover_ops = { hold, migrate, put_back, describe };
static const struct mhp_movable_ops other_ops = { hold, migrate, put_back, NULL };

static int
listen(void *ctx, const struct mhp_notice *notice)
{
	struct replay_listener *listener = ctx;
	struct replay *r = listener->replay;
	bool going = notice->kind == MHP_GOING_ONLINE_NOTICE ||
		     notice->kind == MHP_GOING_OFFLINE_NOTICE;
	int error = 0;

	if (going)
		enter_callback(r);
	if (r->op != NULL && going && strikes(&r->op->veto_at)) {
		r->op->nr_vetoes++;
		error = REPLAY_VETO;
	}
	if (r->hooks.noticed != NULL)
		r->hooks.noticed(r->hooks.ctx, (unsigned)(listener - r->listeners), notice, error);
	return error;
}

bool
replay_refuses(const void *replay, uint16_t owner, uint64_t cookie)
{
	const struct replay *r = replay;

	(void)owner;
	return r->pages[(uint32_t)cookie % REPLAY_PAGES].pinned;
}

/* ---- choosing ---- */

static struct mhp_blocks
any_blocks(struct replay *r, uint32_t nr_max)
{
	uint32_t first = (uint32_t)below(r, r->geo->nr_blocks);
	uint32_t left = r->geo->nr_blocks - first;

	nr_max = nr_max < left ? nr_max : left;
	return (struct mhp_blocks){ first, 1 + (uint32_t)below(r, nr_max) };
}

static enum mhp_block_state
state_of(struct replay *r, uint32_t block)
{
	struct mhp_block_info info;

	return mhp_block_get(r->m, block, &info) == 0 ? info.state : MHP_ABSENT;
}

/* A run of up to nr_max blocks that are in this state, if a few looks find one. */
static struct mhp_blocks
blocks_in(struct replay *r, enum mhp_block_state state, uint32_t nr_max)
{
	struct mhp_blocks blocks = { 0, 1 };

	for (unsigned looks = 0; looks < 8; looks++) {
		blocks = any_blocks(r, nr_max);
		if (state_of(r, blocks.first) == state)
			break;
	}
	for (uint32_t i = 1; i < blocks.count; i++)
		if (state_of(r, blocks.first + i) != state)
			blocks.count = i;
	return blocks;
}

static unsigned
any_zone(struct replay *r)
{
	static const uint8_t zones[] = { MHP_ZONE_NORMAL, MHP_ZONE_MOVABLE, MHP_ZONE_MOVABLE,
					 MHP_ZONE_DEFAULT };
	return zones[below(r, sizeof(zones))];
}

/* Where metadata goes: only what every port can do, unless there is external memory. */
static uint32_t
any_placement(struct replay *r)
{
	bool external = (r->features & REPLAY_EXTERNAL) != 0;

	switch (below(r, external ? 8 : 4)) {
	case 0:
		return MHP_MEMMAP_ON_NODE;
	case 5:
		return MHP_MEMMAP_ON_MEMORY;
	case 6:
		return 0;
	case 7:
		return MHP_ADD_BOOT;
	default:
		return MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE;
	}
}

static struct mhp_add_opts
any_add(struct replay *r)
{
	struct mhp_add_opts add = { .flags = any_placement(r) };

	add.node = (uint8_t)below(r, r->geo->nr_nodes);
	add.metadata_node = (uint8_t)below(r, r->geo->nr_nodes);
	add.zone = (uint8_t)any_zone(r);
	add.backing = (uint16_t)below(r, 3);
	if ((r->features & REPLAY_ZEROED) != 0 && chance(r, 50))
		add.flags |= MHP_ADD_ZEROED;
	if ((r->features & REPLAY_SPARSE) == 0 && chance(r, 10))
		add.flags |= MHP_ADD_TEST;
	if (chance(r, 30))
		add.flags |= MHP_ADD_ONLINE;
	else if (chance(r, 30))
		add.flags |= MHP_ADD_OFFLINE;
	return add;
}

static struct mhp_offline_opts
any_offline(struct replay *r)
{
	struct mhp_offline_opts opts = { .attempts_max = (uint32_t)below(r, 3),
					 .dry_run = chance(r, 20) };

	opts.scrub = (r->features & REPLAY_SPARSE) == 0 && chance(r, 20);
	if ((r->features & REPLAY_CLOCK) != 0 && chance(r, 10))
		opts.deadline_ms = 1;
	return opts;
}

static void
choose_trouble(struct replay *r, struct replay_op *op)
{
	if ((r->features & REPLAY_TROUBLE) == 0 || !chance(r, 25))
		return;
	switch (below(r, 6)) {
	case 0:
		op->veto_at = 1 + (uint32_t)below(r, 4);
		break;
	case 1:
		op->isolate_at = 1 + (uint32_t)below(r, 6);
		op->isolate_error = chance(r, 50) ? MHP_EBUSY : MHP_EAGAIN;
		break;
	case 2:
		op->migrate_at = 1 + (uint32_t)below(r, 6);
		break;
	case 3:
		op->cancel_at = 1 + (uint32_t)below(r, 8);
		break;
	default:
		op->nest_at = 1 + (uint32_t)below(r, 8);
		break;
	}
}

static void
choose_runs(struct replay *r, struct replay_op *op)
{
	op->nr = chance(r, 70) ? 1 : 1 + (unsigned)below(r, REPLAY_RUNS);
	for (unsigned i = 0; i < op->nr; i++) {
		bool any = op->kind == REPLAY_REMOVE && chance(r, 40);
		op->runs[i] = any ? any_blocks(r, 4) : blocks_in(r, MHP_ONLINE, 3);
	}
	op->offline = any_offline(r);
}

static void
choose_steps(struct replay *r, struct replay_op *op)
{
	op->nr = 1 + (unsigned)below(r, REPLAY_STEPS);
	op->offline = any_offline(r);
	op->offline.dry_run = false;
	for (unsigned i = 0; i < op->nr; i++) {
		struct mhp_step *step = &op->steps[i];
		enum mhp_block_state state;
		step->kind = (enum mhp_step_kind)below(r, 4);
		step->add = any_add(r);
		step->add.flags &= ~(uint32_t)(MHP_ADD_ONLINE | MHP_ADD_OFFLINE);
		step->zone = (uint8_t)any_zone(r);
		state = step->kind == MHP_STEP_ADD ? MHP_ABSENT :
			step->kind == MHP_STEP_ONLINE ? MHP_OFFLINE : MHP_ONLINE;
		step->blocks = blocks_in(r, state, 2);
		if (step->kind == MHP_STEP_ONLINE && i > 0 && chance(r, 60))
			step->blocks = op->steps[i - 1].blocks;
	}
}

static void
choose_req(struct replay *r, struct replay_op *op)
{
	unsigned who = (unsigned)below(r, 20), order_max = r->geo->pageblock_order;

	op->req.owner = r->owners[who < 12 ? REPLAY_MOVER :
				  who < 19 ? REPLAY_OTHER : REPLAY_STAYER];
	op->req.order = chance(r, 60) ? 0 : (uint8_t)below(r, order_max + 1U);
	op->req.node = 0;
	op->req.flags = 0;
	if (chance(r, 50)) {
		op->req.node = (uint8_t)below(r, r->geo->nr_nodes);
		op->req.flags = chance(r, 20) ? MHP_PAGE_THIS_NODE : MHP_PAGE_NODE;
	}
	op->nr_pages = 1 + below(r, UINT64_C(3) << (order_max < 5 ? order_max : 5));
	if (op->kind == REPLAY_CONTIG)
		op->req.order = (uint8_t)below(r, 4 < r->geo->block_order ?
						  4 : r->geo->block_order);
}

static uint64_t
any_pfn(struct replay *r)
{
	struct replay_page *page = any_page(r), *other = any_page(r);

	/* Pages that cannot move are in the way of everything: rather one of those. */
	if (other != NULL && other->owner == r->owners[REPLAY_STAYER])
		page = other;
	return page != NULL && chance(r, 90) ? page->pfn : below(r, max_pfn(r));
}

/* Pages of ours that lie behind each other. */
static void
choose_contig_free(struct replay *r, struct replay_op *op)
{
	struct replay_page *page = any_page(r);
	unsigned nr = 1 + (unsigned)below(r, 6);

	op->pfn = page != NULL ? page->pfn : 0;
	op->nr_pages = 0;
	while (nr-- > 0 && page != NULL) {
		op->nr_pages += UINT64_C(1) << page->order;
		page = page_at(r, op->pfn + op->nr_pages);
	}
}

static void
choose_policy(struct replay *r, struct replay_op *op)
{
	op->policy.online_policy = (enum mhp_online_policy)below(r, 2);
	op->policy.auto_online = chance(r, 60) ? MHP_AUTO_OFFLINE :
						 (enum mhp_auto_online)below(r, 4);
	op->policy.auto_online_attempts = (uint32_t)below(r, 4);
	/* Round ones are met exactly, with blocks of one size. */
	op->policy.auto_movable_ratio = chance(r, 50) ? 100 * (uint32_t)below(r, 5) :
							 (uint32_t)below(r, 500);
	op->policy.auto_movable_numa_aware = chance(r, 50);
	op->policy.strict = chance(r, 20);
}

/* Does it go against what we are about? */
static bool
is_out_of_season(const struct replay *r, enum replay_kind kind)
{
	if (kind == REPLAY_ADD || kind == REPLAY_ONLINE)
		return !r->filling;
	return (kind == REPLAY_OFFLINE || kind == REPLAY_REMOVE) && r->filling;
}

/* How often each kind comes, of 1000; ALLOC and FREE share what is left by how full we want it. */
static enum replay_kind
any_kind(struct replay *r)
{
	static const uint16_t share[REPLAY_KINDS] = {
		[REPLAY_ADD] = 60, [REPLAY_ONLINE] = 60, [REPLAY_OFFLINE] = 60,
		[REPLAY_REMOVE] = 60, [REPLAY_PREVIEW] = 10, [REPLAY_COMMIT] = 40,
		[REPLAY_COMPACT] = 10, [REPLAY_BAD_ADD] = 10, [REPLAY_BAD_REMOVE] = 10,
		[REPLAY_POLICY] = 10, [REPLAY_SWITCH] = 5, [REPLAY_CPU_NODE] = 5,
		[REPLAY_CONTIG] = 15, [REPLAY_CONTIG_FREE] = 15, [REPLAY_SPLIT] = 15,
		[REPLAY_COOKIE] = 10, [REPLAY_PIN] = 15, [REPLAY_DRAIN] = 10,
		[REPLAY_LISTENER] = 5, [REPLAY_OWNER] = 3,
	};
	uint64_t at = below(r, 1000);

	for (unsigned kind = 0; kind < REPLAY_KINDS; kind++) {
		bool fits = at < share[kind];
		if (fits && (!is_out_of_season(r, (enum replay_kind)kind) || chance(r, 30)))
			return (enum replay_kind)kind;
		if (fits)
			break;
		at -= share[kind];
	}
	return chance(r, r->filling ? 70 : 35) ? REPLAY_ALLOC : REPLAY_FREE;
}

/* ---- nonsense ---- */

static struct mhp_blocks
spoil_blocks(struct replay *r, struct mhp_blocks blocks)
{
	switch (below(r, 4)) {
	case 0:
		blocks.count = 0;
		break;
	case 1:
		blocks.first = r->geo->nr_blocks;
		break;
	case 2:
		blocks.count = UINT32_MAX;
		break;
	default:
		blocks.first = UINT32_MAX;
		break;
	}
	return blocks;
}

static void
spoil_add(struct replay *r, struct mhp_add_opts *add)
{
	switch (below(r, 4)) {
	case 0:
		add->flags |= 1U << (8 + below(r, 24));
		break;
	case 1:
		add->flags |= MHP_MEMMAP_ON_NODE | MHP_MEMMAP_ON_MEMORY;
		break;
	case 2:
		add->node = MHP_NODE_ANY;
		break;
	default:
		add->flags |= MHP_ADD_ONLINE | MHP_ADD_OFFLINE;
		break;
	}
}

static void
spoil_req(struct replay *r, struct mhp_page_req *req)
{
	switch (below(r, 6)) {
	case 0:
		req->order = 200;
		break;
	case 1:
		req->owner = (uint16_t)below(r, MHP_OWNER_FIRST);
		break;
	case 2:
		req->owner = (uint16_t)(MHP_OWNERS_MAX - 1U + below(r, 60000));
		break;
	case 3:
		req->node = 200;
		break;
	case 4:
		req->flags |= 128;
		break;
	default:
		req->zero[below(r, 3)] = 1;
		break;
	}
}

static uint64_t
spoil_pfn(struct replay *r, uint64_t pfn)
{
	switch (below(r, 4)) {
	case 0:
		return max_pfn(r);
	case 1:
		return MHP_PFN_NONE;
	case 2:
		return below(r, max_pfn(r));
	default:
		return pfn + 1;
	}
}

static void
spoil(struct replay *r, struct replay_op *op)
{
	unsigned step = op->nr != 0 ? (unsigned)below(r, op->nr) : 0;
	unsigned which = step % REPLAY_RUNS;

	if (chance(r, 50))
		op->pfn = spoil_pfn(r, op->pfn);
	op->nr_pages = chance(r, 70) ? op->nr_pages - 1 : draw(r);
	spoil_req(r, &op->req);
	op->runs[which] = spoil_blocks(r, op->runs[which]);
	op->steps[step].blocks = spoil_blocks(r, op->steps[step].blocks);
	if (chance(r, 30))
		op->steps[step].kind = (enum mhp_step_kind)7;
	if (chance(r, 50)) {
		spoil_add(r, &op->add);
		op->zone = 77;
		op->node = 99;
		op->value = 99;
		op->policy.auto_online = (enum mhp_auto_online)9;
		if (chance(r, 50))
			op->nr = 0;
	}
}

/* ---- the next operation ---- */

static void
choose_blocks_op(struct replay *r, struct replay_op *op)
{
	switch (op->kind) {
	case REPLAY_ADD:
		op->nr = 1;
		op->runs[0] = blocks_in(r, MHP_ABSENT, 3);
		op->add = any_add(r);
		break;
	case REPLAY_ONLINE:
		op->nr = 1;
		op->runs[0] = blocks_in(r, MHP_OFFLINE, 3);
		op->zone = any_zone(r);
		break;
	case REPLAY_OFFLINE:
	case REPLAY_REMOVE:
		choose_runs(r, op);
		break;
	case REPLAY_PREVIEW:
	case REPLAY_COMMIT:
		choose_steps(r, op);
		break;
	default:
		op->node = (unsigned)below(r, r->geo->nr_nodes);
		op->zone = MHP_ZONE_NORMAL + (unsigned)below(r, 2);
		op->value = (unsigned)below(r, 3);
		break;
	}
}

/* One of the frames that are known to be bad, found by bisection; 0 when there is none. */
static uint64_t
any_bad_pfn(struct replay *r)
{
	uint64_t low = 0, high = max_pfn(r);
	uint32_t nr = mhp_bad_count(r->m, 0, high);
	uint64_t which = nr != 0 ? below(r, nr) : 0;

	/* The first pfn that has more than so many at or below it. */
	while (nr != 0 && high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		if (mhp_bad_count(r->m, 0, middle) > which)
			high = middle;
		else
			low = middle;
	}
	return low;
}

static void
choose_pages_op(struct replay *r, struct replay_op *op)
{
	op->pfn = any_pfn(r);
	op->cookie = draw(r) & MHP_COOKIE_MAX;
	if (op->kind == REPLAY_BAD_ADD || op->kind == REPLAY_BAD_REMOVE)
		op->pfn = chance(r, 40) ? op->pfn : below(r, max_pfn(r));
	if (op->kind == REPLAY_BAD_REMOVE && chance(r, 80))
		op->pfn = any_bad_pfn(r);
	choose_req(r, op);
	if (op->kind == REPLAY_CONTIG_FREE)
		choose_contig_free(r, op);
	if (op->kind == REPLAY_POLICY)
		choose_policy(r, op);
}

void
replay_next(struct replay *r, struct replay_op *op)
{
	if (r->nr_done++ % 256 == 0)
		r->filling = !r->filling;
	memset(op, 0, sizeof(*op));
	op->kind = any_kind(r);
	choose_blocks_op(r, op);
	choose_pages_op(r, op);
	choose_trouble(r, op);
	if ((r->features & REPLAY_NONSENSE) != 0 && chance(r, 5))
		spoil(r, op);
}

/* ---- carrying out ---- */

static int
toggle_listener(struct replay *r)
{
	struct replay_listener *listener = &r->listeners[below(r, REPLAY_LISTENERS)];
	int error;

	if (listener->there) {
		error = mhp_listener_remove(r->m, listener->id);
		if (mhp_listener_remove(r->m, listener->id) != MHP_ENOENT)
			broke(r, "a listener was removed twice", listener->id);
	} else {
		error = mhp_listener_add(r->m, listen, listener, (int)(listener - r->listeners) / 2,
					 &listener->id);
	}
	listener->there = !listener->there;
	return error;
}

static int
toggle_owner(struct replay *r)
{
	int error;

	if (r->extra_owner == 0)
		return mhp_owner_register(r->m, "extra", NULL, NULL, &r->extra_owner);
	error = mhp_owner_unregister(r->m, r->extra_owner);
	if (mhp_owner_unregister(r->m, r->extra_owner) != MHP_ENOENT)
		broke(r, "an owner was forgotten twice", r->extra_owner);
	r->extra_owner = 0;
	return error;
}

static int
toggle_pin(struct replay *r, uint64_t pfn)
{
	struct replay_page *page = page_at(r, pfn);

	if (page != NULL && page->owner != r->owners[REPLAY_STAYER])
		page->pinned = !page->pinned && chance(r, 50);
	return 0;
}

static int
new_cookie(struct replay *r, const struct replay_op *op)
{
	struct replay_page *page = page_at(r, op->pfn);
	uint64_t cookie = op->cookie;
	int error;

	if (page != NULL)
		cookie = (cookie << 32 | (uint32_t)(page - r->pages)) & MHP_COOKIE_MAX;
	error = set_cookie(r, op->pfn, cookie);
	if (error == 0 && page != NULL)
		page->cookie = cookie;
	return error;
}

static int
do_blocks_op(struct replay *r, struct replay_op *op)
{
	struct mhp_online_opts online = { .zone = (uint8_t)op->zone };

	switch (op->kind) {
	case REPLAY_ADD:
		return mhp_add(r->m, op->runs[0], &op->add, &op->answer);
	case REPLAY_ONLINE:
		return mhp_online(r->m, op->runs, 1, &online, &op->why);
	case REPLAY_OFFLINE:
		return mhp_offline(r->m, op->runs, op->nr, &op->offline, &op->why);
	case REPLAY_REMOVE:
		return mhp_remove(r->m, op->runs, op->nr, &op->offline, &op->why);
	case REPLAY_PREVIEW:
		return mhp_plan_preview(r->m, op->steps, op->nr, &op->plan);
	case REPLAY_COMMIT:
		return mhp_plan_commit(r->m, op->steps, op->nr, &op->offline, &op->plan);
	case REPLAY_COMPACT:
		return mhp_compact(r->m, op->node, (enum mhp_zone_kind)op->zone, 0, &op->compact);
	case REPLAY_BAD_ADD:
		return mhp_bad_add(r->m, op->pfn);
	case REPLAY_BAD_REMOVE:
		return mhp_bad_remove(r->m, op->pfn);
	case REPLAY_POLICY:
		return mhp_set_policy(r->m, &op->policy);
	case REPLAY_SWITCH:
		return mhp_set_memmap_on_memory(r->m, (enum mhp_memmap_switch)op->value);
	default:
		return mhp_set_cpu_node(r->m, 0, op->node);
	}
}

static int
do_pages_op(struct replay *r, struct replay_op *op)
{
	switch (op->kind) {
	case REPLAY_ALLOC:
		return alloc_page(r, op->req);
	case REPLAY_FREE:
		return free_page(r, op->pfn);
	case REPLAY_CONTIG:
		return alloc_contig(r, op->req, op->nr_pages);
	case REPLAY_CONTIG_FREE:
		return free_contig(r, op->pfn, op->nr_pages);
	case REPLAY_SPLIT:
		return split_page(r, op->pfn);
	case REPLAY_COOKIE:
		return new_cookie(r, op);
	case REPLAY_PIN:
		return toggle_pin(r, op->pfn);
	case REPLAY_LISTENER:
		return toggle_listener(r);
	case REPLAY_OWNER:
		return toggle_owner(r);
	default:
		mhp_drain_caches(r->m);
		return 0;
	}
}

void
replay_do(struct replay *r, struct replay_op *op)
{
	r->op = op;
	op->error = op->kind < REPLAY_ALLOC ? do_blocks_op(r, op) : do_pages_op(r, op);
	r->op = NULL;
}

/* ---- life ---- */

void
replay_open(struct replay *r, struct mhp *m, uint64_t seed, unsigned features,
	    const struct replay_hooks *hooks)
{
	static const char *const names[REPLAY_OWNERS] = { "mover", "other", "stayer" };
	static const struct mhp_movable_ops *const ops[REPLAY_OWNERS] = { &mover_ops, &other_ops,
									  NULL };
	int error = 0;

	memset(r, 0, sizeof(*r));
	r->m = m;
	r->geo = mhp_get_geometry(m);
	r->random = seed;
	r->features = features;
	if (hooks != NULL)
		r->hooks = *hooks;
	for (uint32_t i = 0; i < REPLAY_PAGES; i++)
		r->live[i] = i;
	for (unsigned i = 0; i < REPLAY_OWNERS; i++)
		error |= mhp_owner_register(m, names[i], ops[i], r, &r->owners[i]);
	for (unsigned i = 0; i < REPLAY_LISTENERS; i++) {
		r->listeners[i] = (struct replay_listener){ .replay = r, .there = true };
		error |= mhp_listener_add(m, listen, &r->listeners[i], (int)i / 2,
					  &r->listeners[i].id);
	}
	if (error != 0)
		broke(r, "owners and listeners do not fit", 0);
}

void
replay_check(struct replay *r)
{
	for (uint32_t i = 0; i < r->nr_live; i++) {
		struct replay_page *page = &r->pages[r->live[i]];
		if (page->held)
			broke(r, "a page is held for ever", page->pfn);
		if (page_at(r, page->pfn) != page)
			broke(r, "a page is not in use", page->pfn);
		else
			check_contents(r, page);
	}
}

void
replay_free_all(struct replay *r)
{
	/* A page that cannot be freed has broken it, and stays: stop there. */
	while (r->nr_live > 0 && r->broken == NULL)
		(void)free_page(r, r->pages[r->live[r->nr_live - 1]].pfn);
}

void
replay_close(struct replay *r)
{
	int error = 0;

	replay_free_all(r);
	for (unsigned i = 0; i < REPLAY_LISTENERS; i++)
		if (r->listeners[i].there)
			error |= mhp_listener_remove(r->m, r->listeners[i].id);
	for (unsigned i = 0; i < REPLAY_OWNERS; i++)
		error |= mhp_owner_unregister(r->m, r->owners[i]);
	if (r->extra_owner != 0)
		error |= mhp_owner_unregister(r->m, r->extra_owner);
	if (error != 0)
		broke(r, "owners and listeners do not go", 0);
}

/* Blocks that hold metadata of others go last. */
static int
remove_all(struct replay *r)
{
	int error = MHP_EBUSY;

	for (uint32_t pass = 0; pass < r->geo->nr_blocks && error == MHP_EBUSY; pass++) {
		error = 0;
		for (uint32_t block = 0; block < r->geo->nr_blocks; block++) {
			struct mhp_blocks one_block = { block, 1 };
			int one = mhp_remove(r->m, &one_block, 1, NULL, NULL);
			error = one != 0 && one != MHP_ENOENT ? one : error;
		}
	}
	return error;
}

uint64_t
mhp_replay(struct mhp *m, uint64_t seed, uint64_t ops,
	   void (*every_1000)(void *ctx, uint64_t op, uint64_t digest), void *ctx)
{
	static struct replay replay;
	unsigned features = REPLAY_TROUBLE | REPLAY_NONSENSE;
	struct replay_op op;
	uint64_t digest;

	replay.geo = mhp_get_geometry(m);
	if (block_bytes(&replay) > UINT64_C(1) << 20)
		features |= REPLAY_SPARSE;
	replay_open(&replay, m, seed, features, NULL);
	for (uint64_t i = 1; i <= ops && replay.broken == NULL; i++) {
		replay_next(&replay, &op);
		replay_do(&replay, &op);
		if (i % 1000 == 0 && every_1000 != NULL)
			every_1000(ctx, i, mhp_digest(m));
	}
	replay_check(&replay);
	digest = mhp_digest(m);
	replay_close(&replay);
	if (remove_all(&replay) != 0)
		broke(&replay, "what is empty cannot be removed", 0);
	return replay.broken == NULL ? digest : 0;
}
