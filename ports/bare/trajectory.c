/* SPDX-License-Identifier: MIT */
/*
 * trajectory.c - random allocating, freeing, adding, onlining, offlining and removing; moves
 * included.
 *
 * Compiled into the bare-metal image and into a hosted program, so it may use nothing but the
 * engine's public headers. A page's contents are one word at the start of each frame, which its
 * owner copies when it moves; the cookie of a page is its place in the table. Nothing here may
 * depend on addresses or time.
 */
#include "trajectory.h"

enum { ORDER_MAX = 9 };

static uint64_t
next_random(struct trajectory *t)
{
	uint64_t z = t->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void
note_result(struct trajectory *t, uint64_t value)
{
	t->results = (t->results ^ value) * UINT64_C(0x100000001b3);
}

static uint64_t *
word_of(const struct trajectory *t, uint64_t pfn)
{
	return mhp_pfn_to_virt(t->m, pfn);
}

/* ---- the owner that can move ---- */

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct trajectory *t = ctx;
	const struct trajectory_page *page = &t->pages[cookie];

	return page->pfn == pfn && page->order == order ? 0 : MHP_EAGAIN;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx;
	(void)pfn;
	(void)order;
	(void)cookie;
}

static void
move_page(struct trajectory *t, struct trajectory_page *page, uint64_t dst_pfn)
{
	for (uint64_t i = 0; i < UINT64_C(1) << page->order; i++)
		*word_of(t, dst_pfn + i) = *word_of(t, page->pfn + i);
	note_result(t, page->pfn << 32 ^ dst_pfn);
	page->pfn = dst_pfn;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	struct trajectory *t = ctx;

	for (const struct mhp_move *move = moves; move < moves + nr_moves; move++) {
		for (uint64_t at = 0; at < move->nr_pages;) {
			struct mhp_frame frame = mhp_frame_peek(t->m, move->src_pfn + at);
			move_page(t, &t->pages[frame.cookie], move->dst_pfn + at);
			at += UINT64_C(1) << frame.order;
		}
	}
	*ret_done = nr_moves;
	return 0;
}

static const struct mhp_movable_ops movable_ops = {
	.isolate = isolate,
	.migrate = migrate,
	.putback = putback,
};

/* ---- operations ---- */

static uint64_t
contents(const struct trajectory *t, uint32_t index, uint64_t frame)
{
	return t->seed ^ (uint64_t)index << 40 ^ frame;
}

static void
alloc_page(struct trajectory *t)
{
	uint64_t random = next_random(t);
	uint32_t index = t->nr_pages;
	struct trajectory_page *page = &t->pages[index];

	/* Mostly single frames; one in eight of any order. One in 16 cannot move. */
	page->order = random % 8 != 0 ? 0 : (uint8_t)(random / 8 % (ORDER_MAX + 1));
	page->movable = random / 128 % 16 != 0;
	if (index == TRAJECTORY_PAGES_MAX - 1)
		return;
	struct mhp_page_req req = { .cookie = index, .order = page->order };
	req.owner = page->movable ? t->movable_owner : t->fixed_owner;
	int error = mhp_page_alloc(t->m, req, &page->pfn);
	note_result(t, error == 0 ? page->pfn : (uint64_t)error);
	if (error != 0)
		return;
	for (uint64_t i = 0; i < UINT64_C(1) << page->order; i++)
		*word_of(t, page->pfn + i) = contents(t, index, i);
	t->nr_pages++;
}

/* Contents carry the index they were made for, so the last page takes the freed one's place
 * anew. */
static void
rename_page(struct trajectory *t, uint32_t from, uint32_t to)
{
	t->pages[to] = t->pages[from];
	for (uint64_t i = 0; i < UINT64_C(1) << t->pages[to].order; i++)
		*word_of(t, t->pages[to].pfn + i) = contents(t, to, i);
	note_result(t, (uint64_t)mhp_page_set_cookie(t->m, t->pages[to].pfn, to));
}

static void
check_page(struct trajectory *t, uint32_t index)
{
	const struct trajectory_page *page = &t->pages[index];

	for (uint64_t i = 0; i < UINT64_C(1) << page->order; i++) {
		if (*word_of(t, page->pfn + i) != contents(t, index, i)) {
			t->nr_wrong++;
			return;
		}
	}
}

static void
free_page(struct trajectory *t)
{
	if (t->nr_pages == 0)
		return;
	uint32_t index = (uint32_t)(next_random(t) % t->nr_pages), last = t->nr_pages - 1;

	check_page(t, index);
	check_page(t, last);
	note_result(t, (uint64_t)mhp_page_free(t->m, t->pages[index].pfn));
	if (index != last)
		rename_page(t, last, index);
	t->nr_pages--;
}

static struct mhp_blocks
random_block(struct trajectory *t)
{
	uint32_t offset = (uint32_t)(next_random(t) % t->blocks.count);

	return (struct mhp_blocks){ t->blocks.first + offset, 1 };
}

static void
add_block(struct trajectory *t)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE |
					      MHP_ADD_OFFLINE };

	note_result(t, (uint64_t)mhp_add(t->m, random_block(t), &opts, NULL));
}

static void
online_block(struct trajectory *t)
{
	struct mhp_blocks block = random_block(t);
	struct mhp_online_opts opts = { .zone = MHP_ZONE_MOVABLE };

	if (next_random(t) % 4 == 0)
		opts.zone = MHP_ZONE_NORMAL;
	note_result(t, (uint64_t)mhp_online(t->m, &block, 1, &opts, NULL));
}

static void
offline_block(struct trajectory *t)
{
	struct mhp_blocks block = random_block(t);

	note_result(t, (uint64_t)mhp_offline(t->m, &block, 1, NULL, NULL));
}

static void
remove_block(struct trajectory *t)
{
	struct mhp_blocks block = random_block(t);

	note_result(t, (uint64_t)mhp_remove(t->m, &block, 1, NULL, NULL));
}

static void
one_operation(struct trajectory *t)
{
	uint64_t choice = next_random(t) % 1000;

	if (choice < 520)
		alloc_page(t);
	else if (choice < 980)
		free_page(t);
	else if (choice < 986)
		add_block(t);
	else if (choice < 993)
		online_block(t);
	else if (choice < 997)
		offline_block(t);
	else
		remove_block(t);
}

/* ---- the whole ---- */

static int
set_up(struct trajectory *t)
{
	int error = mhp_owner_register(t->m, "moving", &movable_ops, t, &t->movable_owner);

	if (error == 0)
		error = mhp_owner_register(t->m, "fixed", NULL, NULL, &t->fixed_owner);
	t->random = t->seed;
	return error;
}

static int
take_down(struct trajectory *t)
{
	while (t->nr_pages > 0)
		free_page(t);
	int error = mhp_remove(t->m, &t->blocks, 1, NULL, NULL);
	if (error == MHP_ENOENT)
		error = 0;
	if (error == 0)
		error = mhp_owner_unregister(t->m, t->movable_owner);
	if (error == 0)
		error = mhp_owner_unregister(t->m, t->fixed_owner);
	return error;
}

int
trajectory_run(struct trajectory *t)
{
	int error = set_up(t);
	int nr_findings = 0;

	if (error != 0)
		return error;
	for (uint64_t op = 1; op <= t->nr_ops; op++) {
		one_operation(t);
		if (op % TRAJECTORY_REPORT_EVERY != 0)
			continue;
		nr_findings += mhp_check(t->m, true, NULL, NULL);
		note_result(t, mhp_digest(t->m));
		t->report(t->report_ctx, op, t->results);
	}
	error = take_down(t);
	if (error == 0 && (t->nr_wrong != 0 || nr_findings != 0))
		error = MHP_EIO;
	return error;
}
