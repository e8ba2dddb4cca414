/* SPDX-License-Identifier: MIT */
/*
 * work_test.c - everything long is one kind of thing: it can be watched, cancelled and interrupted,
 * keeps its deadline, and readers do not wait for it.
 *
 * The clock is the simulator's: it goes on by a microsecond when it is read, and by what an owner
 * says that it took. A reader is a thread of its own that must come back before the owner does: if
 * it waited for the change, the case would hang.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "ledger.h"
#include "mover.h"
#include "state/instance.h"
#include "state/seal.h"

#define SELF (MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE)
#define MS UINT64_C(1000000)

struct bed {
	struct test_pool pool;
	struct test_mover mover;
};

static void
open_bed(struct bed *bed, const char *shape, uint32_t nr, uint8_t zone)
{
	struct test_pool_opts opts = { .shape = shape };
	struct mhp_add_opts add = { .flags = SELF | MHP_ADD_ONLINE, .zone = zone };
	test_pool_open(&bed->pool, &opts);
	test_mover_open(&bed->mover, &bed->pool, 16384);
	CHECK_OK(mhp_add(bed->pool.m, (struct mhp_blocks){ 0, nr }, &add, NULL));
}

static void
close_bed(struct bed *bed)
{
	test_mover_check(&bed->mover);
	test_pool_check(&bed->pool);
	test_mover_close(&bed->mover);
	test_pool_empty_and_close(&bed->pool);
}

/* Half-used pageblocks everywhere: something to move, and room for it. */
static void
fill_half(struct bed *bed)
{
	while (test_mover_alloc(&bed->mover, 0, 0) != TEST_MOVER_NONE)
		;
	for (uint32_t slot = 0; slot < bed->mover.nr_slots; slot++)
		if (bed->mover.pages[slot].live && bed->mover.pages[slot].pfn % 2 != 0)
			test_mover_free(&bed->mover, slot);
}

/* ---- the changes ---- */

enum {
	OFFLINE, OFFLINE_DRY, REMOVE, REMOVE_DRY, PLAN, PREVIEW, COMPACT, BAD, ADD, ONLINE, CHANGES
};

static const struct {
	const char *name;
	enum mhp_work work;
	bool asks;                 /* owners are called: isolate, and migrate perhaps */
	bool moves;
} changes[CHANGES] = {
	[OFFLINE] = { "offline", MHP_WORK_OFFLINE, true, true },
	[OFFLINE_DRY] = { "dry run of an offline", MHP_WORK_DRY_RUN, true, false },
	[REMOVE] = { "remove", MHP_WORK_REMOVE, true, true },
	[REMOVE_DRY] = { "dry run of a removal", MHP_WORK_DRY_RUN, true, false },
	[PLAN] = { "plan", MHP_WORK_PLAN, true, true },
	[PREVIEW] = { "preview", MHP_WORK_DRY_RUN, true, false },
	[COMPACT] = { "compact", MHP_WORK_COMPACT, true, true },
	[BAD] = { "bad page", MHP_WORK_BAD_PAGE, true, true },
	[ADD] = { "add with a test pattern", MHP_WORK_ADD, false, false },
	[ONLINE] = { "online", MHP_WORK_ONLINE, false, false },
};

static uint64_t
first_page(const struct bed *bed)
{
	for (uint32_t slot = 0; slot < bed->mover.nr_slots; slot++)
		if (bed->mover.pages[slot].live)
			return bed->mover.pages[slot].pfn;
	return MHP_PFN_NONE;
}

/* Do it to block 0 or, if it adds, to block 8; ONLINE needs that one added before. */
static int
change(struct bed *bed, unsigned which, uint32_t deadline_ms, struct mhp_why *why)
{
	struct mhp *m = bed->pool.m;
	struct mhp_blocks blocks = { 0, 1 };
	struct mhp_add_opts add = { .flags = SELF | MHP_ADD_TEST, .deadline_ms = deadline_ms };
	struct mhp_offline_opts opts = { .deadline_ms = deadline_ms };
	struct mhp_step step = { .kind = MHP_STEP_OFFLINE, .blocks = blocks };
	struct mhp_compact_result result;
	struct mhp_plan_answer answer = { .why = { .cause = MHP_CAUSE_NONE } };
	int err = 0;
	opts.dry_run = which == OFFLINE_DRY || which == REMOVE_DRY;
	switch (which) {
	case OFFLINE:
	case OFFLINE_DRY: return mhp_block_offline(m, 0, &opts, why);
	case REMOVE:
	case REMOVE_DRY: return mhp_remove(m, &blocks, 1, &opts, why);
	case PLAN: err = mhp_plan_commit(m, &step, 1, &opts, &answer); break;
	case PREVIEW: err = mhp_plan_preview(m, &step, 1, &answer); break;
	case COMPACT: return mhp_compact(m, 0, MHP_ZONE_NORMAL, deadline_ms, &result);
	case BAD: return mhp_bad_add(m, first_page(bed));
	case ADD: return mhp_add(m, (struct mhp_blocks){ 8, 1 }, &add, NULL);
	default: return test_online(m, (struct mhp_blocks){ 8, 1 }, MHP_ZONE_NORMAL, why);
	}
	*why = answer.why;
	return err;
}

static bool
explains(unsigned which)
{
	return which != COMPACT && which != BAD && which != ADD;
}

static void
open_for(struct bed *bed, unsigned which)
{
	struct mhp_add_opts add = { .flags = SELF };
	open_bed(bed, "small", 4, MHP_ZONE_NORMAL);
	if (which == ONLINE)
		CHECK_OK(mhp_add(bed->pool.m, (struct mhp_blocks){ 8, 1 }, &add, NULL));
	fill_half(bed);
}

/* R29: whatever begins while somebody wants the lock ends at once, changes nothing, and can be done
 * again afterwards. */
TEST(work__interrupt_before_it__ends_at_once)
{
	for (unsigned which = 0; which < CHANGES; which++) {
		struct bed bed;
		struct test_ledger before;
		struct mhp_why why = { .cause = MHP_CAUSE_NONE };
		test_at("%s", changes[which].name);
		open_for(&bed, which);
		test_ledger_take(&bed.pool, &before);
		mhp_interrupt_begin(bed.pool.m);
		if (which == ONLINE) { /* a short one is done all the same */
			CHECK_OK(change(&bed, which, 0, &why));
			mhp_interrupt_end(bed.pool.m);
			close_bed(&bed);
			continue;
		}
		mhp_interrupt_begin(bed.pool.m);
		CHECK_RET(change(&bed, which, 0, &why), MHP_EINTR);
		mhp_interrupt_end(bed.pool.m);
		CHECK_RET(change(&bed, which, 0, &why), MHP_EINTR); /* one of two still wants it */
		if (explains(which))
			CHECK_EQ(why.cause, MHP_CAUSE_INTERRUPTED);
		CHECK_EQ(bed.mover.nr_migrated, 0U);
		mhp_interrupt_end(bed.pool.m);
		if (which != BAD) /* that it is bad is remembered */
			test_ledger_check(&bed.pool, &before);
		CHECK_OK(change(&bed, which, 0, &why));
		close_bed(&bed);
	}
}

/* What an owner does while it is called. */
struct caller {
	struct bed *bed;
	bool cancel;               /* else interrupt */
	struct mhp_progress progress;
	uint64_t calls;
	int answer;
};

static void
stop_it(void *ctx)
{
	struct caller *caller = ctx;
	struct mhp *m = caller->bed->pool.m;
	if (caller->calls++ != 0)
		return;
	caller->progress = mhp_progress(m);
	CHECK(!mhp_must_stop(m));
	if (caller->cancel)
		caller->answer = mhp_cancel(m, caller->progress.blocks.first);
	else
		mhp_interrupt_begin(m);
	CHECK(mhp_must_stop(m));
}

/* R29: a cancel or an interrupt ends it at the batch under way, and it says what it is. */
TEST(work__stopped_while_it_runs__ends_soon)
{
	for (unsigned i = 0; i < 2 * CHANGES; i++) {
		unsigned which = i / 2;
		struct caller caller = { .cancel = i % 2 != 0 };
		struct mhp_why why = { .cause = MHP_CAUSE_NONE };
		struct bed bed;
		if (!changes[which].asks || which == BAD) /* that is one page */
			continue;
		test_at("%s, %s", changes[which].name, caller.cancel ? "cancel" : "interrupt");
		open_for(&bed, which);
		caller.bed = &bed;
		bed.mover.on_isolate = stop_it;
		bed.mover.on_isolate_ctx = &caller;
		CHECK_RET(change(&bed, which, 0, &why), caller.cancel ? MHP_ECANCELED : MHP_EINTR);
		CHECK_EQ(caller.answer, 0);
		CHECK_EQ(caller.progress.work, changes[which].work);
		CHECK_CMP(caller.progress.blocks.count, >=, 1U);
		CHECK_CMP(bed.mover.nr_isolated, <=, 33U); /* a batch, and this one */
		CHECK_CMP(bed.mover.nr_frames_moved, <=, 33U);
		CHECK_EQ(test_block(&bed.pool, 0).state, MHP_ONLINE);
		CHECK_EQ(mhp_progress(bed.pool.m).work, MHP_WORK_NONE);
		if (!caller.cancel)
			mhp_interrupt_end(bed.pool.m);
		CHECK(!mhp_must_stop(bed.pool.m));
		CHECK_OK(change(&bed, which, 0, &why));
		close_bed(&bed);
	}
}

static void
take_a_tenth_of_a_ms(void *ctx)
{
	mhp_sim_advance(ctx, MS / 10);
}

/* R29: a deadline of a millisecond holds where the owner takes a tenth of one for each page. */
TEST(work__deadline__ends_it)
{
	for (unsigned which = 0; which < CHANGES; which++) {
		struct mhp_why why = { .cause = MHP_CAUSE_NONE };
		struct test_ledger before;
		struct bed bed;
		if (which == PREVIEW || which == BAD || which == ONLINE)
			continue; /* the default deadline; one page; a short one */
		test_at("%s", changes[which].name);
		open_for(&bed, which);
		test_ledger_take(&bed.pool, &before);
		bed.mover.on_isolate = take_a_tenth_of_a_ms;
		bed.mover.on_isolate_ctx = bed.pool.sim;
		uint64_t start = mhp_sim_ops.now_ns(bed.pool.sim);
		CHECK_RET(change(&bed, which, 1, &why), MHP_EAGAIN);
		/* A batch of pages later at most, and what the calls read of the clock. */
		CHECK_CMP(mhp_sim_ops.now_ns(bed.pool.sim) - start, <, 5 * MS);
		if (explains(which))
			CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
		if (!changes[which].moves)
			test_ledger_check(&bed.pool, &before);
		close_bed(&bed);
	}
}

static int
take_a_ms(void *ctx, const struct mhp_notice *notice)
{
	(void)notice;
	mhp_sim_advance(ctx, MS);
	return 0;
}

/* R29: taking back takes as long as coming did, and is within the deadline, too: listeners hear of
 * each block that it was cancelled. Bounds are looked at once in 64 blocks. */
TEST(work__deadline_of_an_online__keeps_time_to_take_it_back)
{
	struct mhp_geometry geo = { 12, 6, 9, 9, 1, 2, 1000, 0 };
	struct test_pool_opts opts = { .geometry = &geo, .plain = true, .no_fault = true,
				       .fill = MHP_SIM_KEEP };
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_OFFLINE };
	struct mhp_online_opts online = { .zone = MHP_ZONE_NORMAL, .deadline_ms = 400 };
	struct mhp_blocks blocks = { 0, 1000 };
	struct test_pool pool;
	struct mhp_why why;
	uint16_t listener;
	test_pool_open(&pool, &opts);
	CHECK_OK(mhp_add(pool.m, (struct mhp_blocks){ 0, 1000 }, &add, NULL));
	CHECK_OK(mhp_listener_add(pool.m, take_a_ms, pool.sim, 0, &listener));
	uint64_t start = mhp_sim_ops.now_ns(pool.sim);

	CHECK_RET(mhp_online(pool.m, &blocks, 1, &online, &why), MHP_EAGAIN);
	CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
	CHECK_CMP(mhp_sim_ops.now_ns(pool.sim) - start, <=, (400 + 2 * 64 + 1) * MS);
	CHECK_EQ(test_block(&pool, 999).state, MHP_OFFLINE);
	CHECK_OK(mhp_listener_remove(pool.m, listener));
	test_pool_empty_and_close(&pool);
}

/* ---- the deadline passes at any reading of the clock ---- */

static struct {
	const struct mhp_port_ops *ops; /* below */
	struct mhp_port_ops jumping;
	struct mhp_sim *sim;
	unsigned nr_readings, jump_at;
} jump;

static uint64_t
jumping_clock(void *port)
{
	if (++jump.nr_readings == jump.jump_at)
		mhp_sim_advance(jump.sim, 3600 * 1000 * MS);
	return jump.ops->now_ns(port);
}

/* From here on an hour passes just before reading number `at`. */
static void
jump_at(struct test_pool *pool, unsigned at)
{
	jump.ops = pool->m->ops;
	jump.jumping = *jump.ops;
	jump.jumping.now_ns = jumping_clock;
	jump.sim = pool->sim;
	jump.nr_readings = 0;
	jump.jump_at = at;
	pool->m->ops = &jump.jumping;
	pool->m->const_check = mhp__const_checksum(pool->m);
}

static void
jump_no_more(struct test_pool *pool)
{
	pool->m->ops = jump.ops;
	pool->m->const_check = mhp__const_checksum(pool->m);
}

/* Those of change(), and what has more to undo. */
enum { EMPTY = CHANGES, SCRUB, SCRUB_HOST, COME_AND_GO, COME_AND_GO_DRY, ALL_CHANGES };

static int
change_all(struct bed *bed, unsigned which, struct mhp_why *why)
{
	struct mhp *m = bed->pool.m;
	struct mhp_offline_opts opts = { .scrub = which == SCRUB || which == SCRUB_HOST };
	struct mhp_blocks all = { 0, 2 };
	struct mhp_step steps[] = {
		{ .kind = MHP_STEP_ADD, .blocks = { 8, 2 }, .add = { .flags = SELF } },
		{ .kind = MHP_STEP_ONLINE, .blocks = { 8, 2 } },
		{ .kind = MHP_STEP_REMOVE, .blocks = all },
	};
	const struct mhp_blocks hosts[] = { { 0, 4 }, { 8, 1 } };
	struct mhp_plan_answer answer;
	int err;
	switch (which) {
	case EMPTY: return mhp_empty(m, &all, 1, &opts, why);
	case SCRUB: return mhp_remove(m, &all, 1, &opts, why);
	case SCRUB_HOST: return mhp_remove(m, hosts, 2, &opts, why);
	case COME_AND_GO:
	case COME_AND_GO_DRY:
		err = which == COME_AND_GO ? mhp_plan_commit(m, steps, 3, &opts, &answer)
					   : mhp_plan_preview(m, steps, 3, &answer);
		*why = answer.why;
		return err;
	default: return change(bed, which, 0, why);
	}
}

/* SCRUB_HOST: nothing is in use but the metadata of block 8, which lies behind free frames: zeroing
 * them is stopped before it comes to the metadata. */
static void
open_for_all(struct bed *bed, unsigned which)
{
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_NODE };
	uint32_t slots[300];
	if (which != SCRUB_HOST) {
		open_for(bed, which);
		return;
	}
	open_bed(bed, "small", 4, MHP_ZONE_NORMAL);
	for (unsigned i = 0; i < 300; i++)
		slots[i] = test_mover_alloc(&bed->mover, 0, 0);
	CHECK_OK(mhp_add(bed->pool.m, (struct mhp_blocks){ 8, 1 }, &add, NULL));
	for (unsigned i = 0; i < 300; i++)
		test_mover_free(&bed->mover, slots[i]);
}

/* R29: it ends, everything is as before but for pages that have moved, and it can be done again. */
TEST(work__deadline_at_any_reading__as_before_or_done)
{
	for (unsigned which = 0; which < ALL_CHANGES; which++) {
		int err = MHP_EAGAIN;
		for (unsigned at = 2; err != 0 && at < 40; at++) {
			struct mhp_why why = { .cause = MHP_CAUSE_NONE };
			struct bed bed;
			test_at("change %u, reading %u", which, at);
			open_for_all(&bed, which);
			if (which == PREVIEW)
				why.cause = MHP_CAUSE_DEADLINE;
			jump_at(&bed.pool, at);
			err = change_all(&bed, which, &why);
			jump_no_more(&bed.pool);
			test_pool_check(&bed.pool);
			if (err != 0 && which != BAD)
				CHECK_RET(err, MHP_EAGAIN);
			if (err != 0 && which != BAD && which != COMPACT && which != ADD)
				CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
			close_bed(&bed);
		}
	}
}

/* ---- the deadline passes while room is taken ---- */

static struct {
	struct mhp *m;
	unsigned nr_readings;      /* since the survey said how much is to move */
} room;

static uint64_t
clock_jumps_behind_survey(void *port)
{
	if (atomic_load(&room.m->work.left) != 0 && ++room.nr_readings == jump.jump_at)
		mhp_sim_advance(jump.sim, 3600 * 1000 * MS);
	return jump.ops->now_ns(port);
}

/* R29: five full blocks leave into single free frames, which takes more turns than one poll is
 * for; nothing has moved, and what was taken is given back. */
TEST(work__deadline_while_room_is_taken__nothing_moved)
{
	struct mhp_blocks full = { 0, 5 };
	unsigned at = 1;
	for (bool moved = false; !moved; at++) {
		struct mhp_why why = { .cause = MHP_CAUSE_NONE };
		struct test_ledger before;
		struct bed bed;
		test_at("reading %u", at);
		open_bed(&bed, "small", 16, MHP_ZONE_NORMAL);
		bed.mover.no_contents = true;
		while (test_mover_alloc(&bed.mover, 0, 0) != TEST_MOVER_NONE)
			;
		for (uint32_t slot = 0; slot < bed.mover.nr_slots; slot++) {
			uint64_t pfn = bed.mover.pages[slot].pfn;
			if (bed.mover.pages[slot].live && pfn % 2 != 0 &&
			    pfn >= full.count * bed.pool.block_pages)
				test_mover_free(&bed.mover, slot);
		}
		test_ledger_take(&bed.pool, &before);
		jump_at(&bed.pool, at);
		jump.jumping.now_ns = clock_jumps_behind_survey;
		room.m = bed.pool.m;
		room.nr_readings = 0;
		CHECK_RET(mhp_offline(bed.pool.m, &full, 1, NULL, &why), MHP_EAGAIN);
		jump_no_more(&bed.pool);
		CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
		moved = bed.mover.nr_isolated != 0;
		if (!moved)
			test_ledger_check(&bed.pool, &before);
		close_bed(&bed);
	}
	CHECK_CMP(at, >, 3U);      /* some passed before anything moved */
}

/* ---- canceled at any poll ---- */

/* In builds with assertions a poll asks who the caller is. */
static struct {
	const struct mhp_port_ops *ops;
	struct mhp_port_ops canceling;
	struct mhp *m;
	unsigned nr_asked, cancel_at;
} canceler;

static uint64_t
canceling_self(void *port)
{
	if (++canceler.nr_asked >= canceler.cancel_at)
		(void)mhp_cancel(canceler.m, MHP_BLOCK_ANY);
	return canceler.ops->self(port);
}

static void
cancel_at(struct mhp *m, unsigned at)
{
	canceler.ops = m->ops;
	canceler.canceling = *m->ops;
	canceler.canceling.self = canceling_self;
	canceler.m = m;
	canceler.nr_asked = 0;
	canceler.cancel_at = at;
	m->ops = &canceler.canceling;
	m->const_check = mhp__const_checksum(m);
}

static void
cancel_no_more(struct mhp *m)
{
	m->ops = canceler.ops;
	m->const_check = mhp__const_checksum(m);
}

/* R29: it ends, and everything is as before but for pages that have moved. */
TEST(work__canceled_at_any_poll__as_before_or_done)
{
	for (unsigned which = 0; which < ALL_CHANGES; which++) {
		int err = MHP_ECANCELED;
		for (unsigned at = 1; err != 0 && at < 20000; at += 1 + at / 8) {
			struct mhp_why why = { .cause = MHP_CAUSE_NONE };
			struct bed bed;
			test_at("change %u, look %u", which, at);
			open_for_all(&bed, which);
			cancel_at(bed.pool.m, at);
			err = change_all(&bed, which, &why);
			cancel_no_more(bed.pool.m);
			test_pool_check(&bed.pool);
			if (err != 0)
				CHECK_RET(err, MHP_ECANCELED);
			if (err != 0 && which == COME_AND_GO_DRY)
				CHECK_EQ(why.cause, MHP_CAUSE_CANCELED);
			close_bed(&bed);
		}
		CHECK_OK(err);
	}
}

/* ---- zeroing what goes ---- */

/* R29 R34: a removal that is to zero what goes, and meets a bound while it does: all is online
 * again, and what was free is free. */
TEST(work__deadline_while_zeroing__blocks_come_back)
{
	struct mhp_offline_opts opts = { .deadline_ms = 1, .scrub = true };
	unsigned nr_late = 0, nr_done = 0;
	for (uint32_t count = 1; count <= 4; count *= 2) {
		struct mhp_why why;
		struct bed bed;
		test_at("%u blocks", count);
		open_bed(&bed, "dimm", 4, MHP_ZONE_NORMAL); /* 512 polls a block */
		struct mhp_blocks leaving = { 0, count };
		uint64_t nr_free = test_zone(&bed.pool, 0, MHP_ZONE_NORMAL).free;
		int err = mhp_remove(bed.pool.m, &leaving, 1, &opts, &why);
		if (err == 0) {
			nr_done++;
			CHECK_EQ(test_block(&bed.pool, 0).state, MHP_ABSENT);
		} else {
			CHECK_RET(err, MHP_EAGAIN);
			CHECK_EQ(why.cause, MHP_CAUSE_DEADLINE);
			for (uint32_t block = 0; block < count; block++)
				CHECK_EQ(test_block(&bed.pool, block).state, MHP_ONLINE);
			CHECK_EQ(test_zone(&bed.pool, 0, MHP_ZONE_NORMAL).free, nr_free);
			nr_late++;
		}
		close_bed(&bed);
	}
	CHECK_CMP(nr_late, >, 0U);
	CHECK_CMP(nr_done, >, 0U);
}

/* ---- readers ---- */

static void *
read_it(void *ctx)
{
	struct bed *bed = ctx;
	uint64_t used_bytes, free_bytes;
	struct mhp_blocks blocks;
	struct mhp_block_info info;
	struct mhp_policy policy;
	struct mhp_foresight foresight;
	struct mhp_stats stats;
	CHECK_OK(mhp_block_get(bed->pool.m, 1, &info));
	CHECK_EQ(info.state, MHP_ONLINE);
	CHECK_OK(mhp_block_get(bed->pool.m, 8, &info));
	CHECK_EQ(info.state, MHP_ABSENT);
	CHECK_OK(mhp_range_get(bed->pool.m, 8, &blocks));
	CHECK_EQ(blocks.first + blocks.count, bed->pool.config.geometry.nr_blocks);
	CHECK_OK(mhp_range_usage(bed->pool.m, (struct mhp_blocks){ 1, 2 }, &used_bytes,
				 &free_bytes));
	mhp_get_policy(bed->pool.m, &policy);
	CHECK_OK(mhp_policy_foresee(bed->pool.m, 0, 8 * bed->pool.block_pages,
				    bed->pool.block_pages, &foresight));
	mhp_get_stats(bed->pool.m, &stats);
	CHECK_EQ(stats.blocks_present, 4U);
	(void)mhp_bad_count(bed->pool.m, 0, 16);
	return NULL;
}

static void
read_from_a_thread(void *ctx)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, read_it, ctx) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

/* R29 R49: whoever looks while pages are asked for or moved has an answer before that ends. */
TEST(work__readers__do_not_wait_for_owners)
{
	for (unsigned which = 0; which < CHANGES; which++) {
		struct mhp_why why;
		struct bed bed;
		if (!changes[which].asks)
			continue;
		test_at("%s", changes[which].name);
		open_for(&bed, which);
		test_mover_thin_out(&bed.mover, 80); /* a thread for each page */
		bed.mover.on_isolate = read_from_a_thread;
		bed.mover.on_isolate_ctx = &bed;
		CHECK_OK(change(&bed, which, 0, &why));
		CHECK_CMP(bed.mover.nr_isolated, >, 0U);
		close_bed(&bed);
	}
}

/* A port during whose calls another thread reads. */
static struct {
	struct mhp_port_ops ops;
	const struct mhp_port_ops *next;
	struct bed *bed;
} port;

static int
reading_map(void *sim, struct mhp_phys start, uint64_t size, unsigned node)
{
	int err = port.next->map(sim, start, size, node);
	if (err == 0)
		read_from_a_thread(port.bed);
	return err;
}

static void
reading_unmap(void *sim, struct mhp_phys start, uint64_t size)
{
	read_from_a_thread(port.bed);
	port.next->unmap(sim, start, size);
}

/* R29 R49: an add shows its blocks when all of it is done, a removal hides them before it begins
 * to take them apart; nobody waits for the port. */
TEST(work__readers__do_not_wait_for_the_port)
{
	struct bed bed;
	struct mhp_why why;
	struct mhp_blocks blocks;
	open_for(&bed, ADD);
	port.next = bed.pool.m->ops;
	port.ops = *port.next;
	port.ops.map = reading_map;
	port.ops.unmap = reading_unmap;
	port.bed = &bed;
	bed.pool.m->ops = &port.ops;
	CHECK_OK(change(&bed, ADD, 0, &why));
	CHECK_EQ(test_block(&bed.pool, 8).state, MHP_OFFLINE);
	blocks = (struct mhp_blocks){ 8, 1 };
	CHECK_OK(mhp_remove(bed.pool.m, &blocks, 1, NULL, &why));
	CHECK_EQ(test_block(&bed.pool, 8).state, MHP_ABSENT);
	bed.pool.m->ops = port.next;
	close_bed(&bed);
}

/* ---- somebody who needs the lock ---- */

struct urgent {
	struct mhp *m;
	_Atomic bool done;
};

static void *
need_the_lock(void *ctx)
{
	struct urgent *urgent = ctx;
	struct mhp_policy policy;
	mhp_get_policy(urgent->m, &policy);
	for (unsigned i = 0; i < 200; i++) {
		mhp_interrupt_begin(urgent->m);
		CHECK_OK(mhp_set_policy(urgent->m, &policy)); /* takes the hotplug lock */
		mhp_interrupt_end(urgent->m);
	}
	atomic_store(&urgent->done, true);
	return NULL;
}

/* R29: one thread takes a block out of use and in again, another one interrupts it all the time:
 * each interrupted change has changed nothing, and done again it succeeds. */
TEST(work__interrupted_all_the_time__succeeds_in_the_end)
{
	struct urgent urgent = { NULL, false };
	uint64_t nr_done = 0;
	struct mhp_why why;
	pthread_t thread;
	struct bed bed;
	open_bed(&bed, "small", 4, MHP_ZONE_NORMAL);
	fill_half(&bed);
	test_mover_thin_out(&bed.mover, 60);
	urgent.m = bed.pool.m;
	CHECK(pthread_create(&thread, NULL, need_the_lock, &urgent) == 0);
	while (!atomic_load(&urgent.done) || nr_done == 0) {
		int err = mhp_block_offline(bed.pool.m, 0, NULL, &why);
		if (err != MHP_EINTR)
			CHECK_OK(err);
		else
			CHECK_EQ(why.cause, MHP_CAUSE_INTERRUPTED);
		if (err != 0)
			continue;
		nr_done++;
		do
			err = test_online(bed.pool.m, (struct mhp_blocks){ 0, 1 }, MHP_ZONE_NORMAL,
					 NULL);
		while (err == MHP_EINTR);
		CHECK_OK(err);
	}
	CHECK(pthread_join(thread, NULL) == 0);
	close_bed(&bed);
}

/* R17: names for all, and nothing to stop where nothing is under way. */
TEST(work__idle__nothing_to_stop)
{
	struct bed bed;
	open_bed(&bed, "small", 1, MHP_ZONE_NORMAL);
	CHECK_RET(mhp_cancel(bed.pool.m, 0), MHP_ENOENT);
	CHECK_RET(mhp_cancel(bed.pool.m, MHP_BLOCK_ANY), MHP_ENOENT);
	mhp_interrupt_begin(bed.pool.m);
	CHECK(!mhp_must_stop(bed.pool.m));
	mhp_interrupt_end(bed.pool.m);
	for (unsigned work = 0; work < MHP_WORK_KINDS; work++)
		CHECK(strcmp(mhp_work_name((enum mhp_work)work), "?") != 0);
	CHECK(strcmp(mhp_work_name(MHP_WORK_KINDS), "?") == 0);
	close_bed(&bed);
}

/* What a thread that died left under way is known to be cut, and nothing is under way then. */
TEST(work__lock_lost__cut_only_if_something_was_under_way)
{
	struct bed bed;
	open_bed(&bed, "small", 1, MHP_ZONE_NORMAL);
	mhp_lock_lost(bed.pool.m);
	CHECK_EQ(atomic_load(&bed.pool.m->change_lost), 0);
	atomic_fetch_add(&bed.pool.m->work.seq, 1);
	if (MHP__THREADS_DIE)
		atomic_store(&bed.pool.m->work.log.generation, mhp_generation(bed.pool.m));
	atomic_store(&bed.pool.m->work.kind, MHP_WORK_ONLINE);
	mhp_lock_lost(bed.pool.m);
	CHECK_EQ(atomic_load(&bed.pool.m->change_lost), 1);
	CHECK_RET(mhp_block_offline(bed.pool.m, 0, NULL, NULL), MHP_EOWNERDEAD);
	if (MHP__THREADS_DIE) {
		CHECK_OK(mhp_change_lost(bed.pool.m, MHP_OWNER_NONE));
	} else { /* there is no log */
		CHECK_RET(mhp_change_lost(bed.pool.m, MHP_OWNER_NONE), MHP_EOWNERDEAD);
		atomic_store(&bed.pool.m->work.kind, MHP_WORK_NONE);
		mhp_lock_lost(bed.pool.m);
		atomic_store(&bed.pool.m->change_lost, 0);
	}
	CHECK_RET(mhp_cancel(bed.pool.m, MHP_BLOCK_ANY), MHP_ENOENT);
	close_bed(&bed);
}
