/* SPDX-License-Identifier: MIT */
/*
 * lost_test.c - a change of blocks whose thread is killed anywhere is rolled back or forward (R37).
 *
 * A change is made again and again from the same state, and its thread dies each time one step
 * later: in each call of the port, a listener, an owner or the trace; and, on x86-64, any number of
 * instructions after that (the processor traps after each one). A dead thread leaves everything as
 * it is. After recovery blocks are as before the change or as after it, every page is its owner's,
 * no frame is lost, the verifier finds nothing, listeners heard the end of what they were told of,
 * and the change can be made.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "pages/arena.h"
#include "test.h"

#if defined(__x86_64__) && defined(__linux__) && !TEST_ASAN && !TEST_TSAN
#define CAN_STEP 1
#include <ucontext.h>
#else
#define CAN_STEP 0
#endif

#define NR_BLOCKS 9U
#define NR_PAGES 120U
#define NR_LISTENERS 2U
#define STRIDE 151U                    /* instructions */
#define LOST_MAX 2U                    /* frames that a kill in the allocator may cost */

struct page {
	uint64_t pfn;
	bool held;
};

/* What a change may change apart from the instance and the memory; saved and restored with them. */
static struct {
	struct page page[NR_PAGES];
	bool open[NR_LISTENERS][NR_BLOCKS]; /* was told GOING, and no end of it yet */
} seen;

static struct {
	struct test_pool pool;
	struct mhp *m;
	struct mhp_port_ops ops;
	const struct mhp_port_ops *sim;
	uint16_t owner;
	int refuses;                   /* which listener refuses; -1: none */
	void *snapshot;
	__typeof__(seen) seen;         /* as it was when the snapshot was made */
	bool locked;                   /* the port's lock is taken */
} bed;

/* ---- dying ---- */

static sigjmp_buf dead;
static volatile uint64_t nr_steps, dies_at; /* at which step it dies; 0: never */
static volatile uint64_t instructions; /* how many more it executes after that step */
static volatile bool stepping, in_port;
static volatile bool stepped;          /* in these it came to the next step */

static void
die(void)
{
	stepping = false;
	siglongjmp(dead, 1);
}

#if CAN_STEP
static void
trap(bool on)
{
	if (on)
		__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
	else
		__asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

static void
on_trap(int signal, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	(void)signal, (void)info;
	if (!stepping)
		at->uc_mcontext.gregs[REG_EFL] &= ~0x100LL;
	else if (!in_port && --instructions == 0)
		die();
}

static void
catch_traps(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
}
#else
static void
trap(bool on)
{
	(void)on;
}

static void
catch_traps(void)
{
#ifdef __x86_64__
	test_skip("needs plain-build");
#else
	test_skip("needs x86-64");
#endif
}
#endif

static void
step(void)
{
	stepped |= stepping;
	if (stepping || ++nr_steps != dies_at)
		return;
	if (instructions == 0)
		die();
	stepping = true;
	trap(true);
}

/* ---- the port: each call is a step on its way in and out; what is inside is done as one ---- */

static void
enter(void)
{
	step();
	in_port = true;
}

static void
leave(void)
{
	in_port = false;
	step();
}

static int
step_map(void *port, struct mhp_phys start, uint64_t size, unsigned node)
{
	enter();
	int err = bed.sim->map(port, start, size, node);
	leave();
	return err;
}

/* Recovery may unmap a section a second time. */
static void
step_unmap(void *port, struct mhp_phys start, uint64_t size)
{
	enter();
	if (mhp_sim_is_mapped(bed.pool.sim, start))
		bed.sim->unmap(port, start, size);
	leave();
}

static int
step_meta_alloc(void *port, uint64_t size, unsigned node, struct mhp_meta *ret_meta)
{
	enter();
	int err = bed.sim->meta_alloc(port, size, node, ret_meta);
	leave();
	return err;
}

static void
step_meta_free(void *port, const struct mhp_meta *meta)
{
	enter();
	bed.sim->meta_free(port, meta);
	leave();
}

static void
step_lock(void *port)
{
	enter();
	bed.sim->lock(port);
	bed.locked = true;
	leave();
}

static void
step_unlock(void *port)
{
	enter();
	bed.locked = false;
	bed.sim->unlock(port);
	leave();
}

static uint64_t
step_now_ns(void *port)
{
	enter();
	uint64_t now = bed.sim->now_ns(port);
	leave();
	return now;
}

static void
step_pause(void *port, uint64_t ns)
{
	enter();
	bed.sim->pause(port, ns);
	leave();
}

static void
on_event(void *ctx, const struct mhp_event *event)
{
	(void)ctx, (void)event;
	step();
}

/* ---- the owner ---- */

static int
isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	struct page *page = &seen.page[cookie];
	(void)ctx, (void)order;
	step();
	CHECK(page->pfn == pfn && !page->held);
	page->held = true;
	step();
	return 0;
}

static int
migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx;
	for (*ret_done = 0; *ret_done < nr_moves; ++*ret_done) {
		const struct mhp_move *move = &moves[*ret_done];
		for (uint64_t i = 0; i < move->nr_pages; i++) {
			step();
			struct page *page =
				&seen.page[mhp_frame_peek(bed.m, move->src_pfn + i).cookie];
			CHECK(page->held && page->pfn == move->src_pfn + i);
			page->pfn = move->dst_pfn + i;
			step();
			page->held = false;
		}
	}
	step();
	return 0;
}

static void
putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order;
	step();
	seen.page[cookie].held = false;
	step();
}

/* The owner is asked about one page; set_pages_right() does the same for all at once. */
static void
lost(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)order;
	step();
	seen.page[cookie].held = false;
	if (seen.page[cookie].pfn != pfn)
		CHECK_OK(mhp_page_free(bed.m, pfn));
	step();
}

static const struct mhp_movable_ops movable = { isolate, migrate, putback, NULL };

/* Let go of all pages, and free one of two frames of a page that was moving. */
static void
set_pages_right(void)
{
	for (unsigned i = 0; i < NR_PAGES; i++)
		seen.page[i].held = false;
	for (uint64_t pfn = 0; pfn < NR_BLOCKS * bed.pool.block_pages; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(bed.m, pfn);
		if (frame.state == MHP_FRAME_USED && frame.owner == bed.owner &&
		    seen.page[frame.cookie].pfn != pfn)
			CHECK_OK(mhp_page_free(bed.m, pfn));
	}
}

/* ---- listeners ---- */

static int
listen(void *ctx, const struct mhp_notice *notice)
{
	unsigned id = (unsigned)(uintptr_t)ctx;
	uint32_t block = (uint32_t)(notice->start_pfn / bed.pool.block_pages);
	step();
	if (notice->kind == MHP_GOING_ONLINE_NOTICE || notice->kind == MHP_GOING_OFFLINE_NOTICE)
		seen.open[id][block] = true;
	else
		seen.open[id][block] = false;
	step();
	return seen.open[id][block] && bed.refuses == (int)id ? MHP_EBUSY : 0;
}

/* ---- the state from which each change begins: blocks 0 to 3 are online and used, 4 is offline,
 * 5 has its metadata in 0, and is online; 8 is all that node 1 has, and online. Of 4 and 8 a frame
 * is bad ---- */

static void
wrap_port(void)
{
	static const struct mhp_port_ops wrapped = {
		.map = step_map, .unmap = step_unmap, .meta_alloc = step_meta_alloc,
		.meta_free = step_meta_free, .lock = step_lock, .unlock = step_unlock,
		.now_ns = step_now_ns, .pause = step_pause,
	};
	struct mhp_config config = bed.pool.config;
	bed.sim = config.ops;
	bed.ops = wrapped;
	bed.ops.check_ram = bed.sim->check_ram;
	bed.ops.memmap_map = bed.sim->memmap_map;
	bed.ops.memmap_unmap = bed.sim->memmap_unmap;
	bed.ops.self = bed.sim->self;
	config.ops = &bed.ops;
	config.trace = on_event;
	size_t size = bed.pool.m->footprint_bytes;
	void *memory = bed.pool.m;
	CHECK_OK(mhp_fini(bed.pool.m));
	memset(memory, 0, size);
	CHECK_OK(mhp_init(memory, size, &config, &bed.pool.m));
	bed.m = bed.pool.m;
}

static void
use_pages(void)
{
	for (unsigned i = 0; i < NR_PAGES; i++) {
		struct mhp_page_req req = { .owner = bed.owner, .cookie = i };
		CHECK_OK(mhp_page_alloc(bed.m, req, &seen.page[i].pfn));
	}
	mhp_drain_caches(bed.m);
}

static void
open_bed(void)
{
	/* Two arenas a block. */
	static const struct mhp_geometry geometry = {
		.page_shift = 12, .pageblock_order = 1, .section_order = 7, .block_order = 8,
		.nr_nodes = 2, .nr_cpus = 2, .nr_blocks = NR_BLOCKS, .nr_bad_pages = 8,
	};
	struct test_pool_opts opts = { .geometry = &geometry, .plain = true, .no_fault = true,
				       .meta_bytes = 1 << 20, .meta_nodes = 1 };
	struct mhp_add_opts add = { .flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY,
				    .zone = MHP_ZONE_NORMAL };
	static void *const number[] = { (void *)0, (void *)1 };
	uint16_t id;
	memset(&seen, 0, sizeof(seen));
	bed.refuses = -1;
	test_pool_open(&bed.pool, &opts);
	wrap_port();
	CHECK_OK(mhp_owner_register(bed.m, "lost", &movable, NULL, &bed.owner));
	for (unsigned i = 0; i < NR_LISTENERS; i++)
		CHECK_OK(mhp_listener_add(bed.m, listen, number[i], 0, &id));
	CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ 0, 1 }, &add, NULL));
	add.zone = MHP_ZONE_MOVABLE;
	add.flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_NODE;
	CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ 5, 1 }, &add, NULL));
	add.flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY;
	CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ 1, 3 }, &add, NULL));
	add.flags = MHP_ADD_OFFLINE | MHP_MEMMAP_ON_MEMORY;
	CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ 4, 1 }, &add, NULL));
	use_pages();
	add.flags = MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY;
	add.node = 1;
	CHECK_OK(mhp_add(bed.m, (struct mhp_blocks){ 8, 1 }, &add, NULL));
	CHECK_OK(mhp_bad_add(bed.m, 5 * bed.pool.block_pages - 1));
	CHECK_OK(mhp_bad_add(bed.m, 9 * bed.pool.block_pages - 1));
	CHECK_OK(mhp_check(bed.m, true, NULL, NULL));
	bed.snapshot = malloc(test_pool_snapshot_size(&bed.pool));
	CHECK(bed.snapshot != NULL);
	test_pool_save(&bed.pool, bed.snapshot);
	bed.seen = seen;
}

static void
close_bed(void)
{
	free(bed.snapshot);
	test_pool_discard(&bed.pool);
}

static void
begin_again(void)
{
	if (bed.locked)
		bed.sim->unlock(bed.pool.config.port);
	bed.locked = in_port = false;
	test_pool_restore(&bed.pool, bed.snapshot);
	seen = bed.seen;
}

/* ---- the changes ---- */

static int
offline(void)
{
	struct mhp_blocks blocks = { 1, 2 };
	return mhp_offline(bed.m, &blocks, 1, NULL, NULL);
}

static int
online(void)
{
	return mhp_block_online(bed.m, 4, &(struct mhp_online_opts){ .zone = MHP_ZONE_MOVABLE },
				NULL);
}

static int
offline_node(void)
{
	struct mhp_blocks blocks = { 8, 1 };
	return mhp_offline(bed.m, &blocks, 1, NULL, NULL);
}

static int
online_node(void)
{
	return mhp_block_online(bed.m, 8, &(struct mhp_online_opts){ .zone = MHP_ZONE_MOVABLE },
				NULL);
}

static int
take_out(uint32_t first, uint32_t count, bool scrub)
{
	struct mhp_offline_opts opts = { .scrub = scrub };
	struct mhp_blocks blocks = { first, count };
	return mhp_remove(bed.m, &blocks, 1, &opts, NULL);
}

static int
remove_two(void)
{
	return take_out(2, 3, false);
}

static int
remove_scrubbed(void)
{
	return take_out(1, 1, true);
}

/* One of them has the metadata of the other. */
static int
remove_host(void)
{
	struct mhp_blocks sets[] = { { 0, 1 }, { 5, 1 } };
	return mhp_remove(bed.m, sets, 2, NULL, NULL);
}

static int
empty(void)
{
	struct mhp_blocks blocks = { 1, 1 };
	return mhp_empty(bed.m, &blocks, 1, NULL, NULL);
}

static int
add(uint32_t flags)
{
	struct mhp_add_opts opts = { .flags = flags, .zone = MHP_ZONE_MOVABLE };
	return mhp_add(bed.m, (struct mhp_blocks){ 6, 2 }, &opts, NULL);
}

static int
add_self(void)
{
	return add(MHP_ADD_ONLINE | MHP_MEMMAP_ON_MEMORY);
}

static int
add_on_node(void)
{
	return add(MHP_ADD_OFFLINE | MHP_MEMMAP_ON_NODE);
}

static int
add_external(void)
{
	return add(MHP_ADD_ONLINE);
}

static int
plan(void)
{
	const struct mhp_step steps[] = {
		{ .kind = MHP_STEP_ADD, .blocks = { 6, 1 },
		  .add = { .flags = MHP_ADD_OFFLINE | MHP_MEMMAP_ON_MEMORY } },
		{ .kind = MHP_STEP_ONLINE, .blocks = { 6, 1 },
		  .zone = MHP_ZONE_MOVABLE },
		{ .kind = MHP_STEP_ONLINE, .blocks = { 4, 1 },
		  .zone = MHP_ZONE_MOVABLE },
		{ .kind = MHP_STEP_OFFLINE, .blocks = { 1, 1 } },
		{ .kind = MHP_STEP_REMOVE, .blocks = { 2, 1 } },
	};
	return mhp_plan_commit(bed.m, steps, 5, NULL, NULL);
}

static int
compact(void)
{
	struct mhp_compact_result result;
	return mhp_compact(bed.m, 0, MHP_ZONE_MOVABLE, 0, &result);
}

static int
refused(int (*change)(void))
{
	bed.refuses = 1;
	int err = change();
	bed.refuses = -1;
	return err == MHP_EBUSY ? 0 : MHP_EIO;
}

static int
offline_refused(void)
{
	return refused(offline);
}

static int
add_refused(void)
{
	return refused(add_self);
}

static int
plan_refused(void)
{
	return refused(plan);
}

/* ---- one death ---- */

struct state {
	uint8_t block[NR_BLOCKS];
};

static struct state
state_now(void)
{
	struct state state;
	for (uint32_t b = 0; b < NR_BLOCKS; b++) {
		struct mhp_block_info info;
		CHECK_OK(mhp_block_get(bed.m, b, &info));
		state.block[b] = (uint8_t)info.state;
	}
	return state;
}

/* Make the change, or die so many instructions after a step of it. Return: it came to its end. */
static bool
survives(int (*change)(void), uint64_t at, uint64_t nr_instructions)
{
	volatile bool done = false;
	nr_steps = 0;
	stepped = false;
	dies_at = at;
	instructions = nr_instructions;
	if (sigsetjmp(dead, 1) == 0) {
		mhp_sim_mortal = true;
		int err = change();
		trap(stepping = false);
		dies_at = 0;
		CHECK_OK(err);
		done = true;
	}
	stepping = in_port = false;
	dies_at = 0;
	bed.refuses = -1;
	mhp_sim_mortal = false;
	mhp_sim_ranks = 0;
	return done;
}

/* As the port does it for the next thread that takes the lock. */
static void
take_lock(void)
{
	mhp_threads_lost(bed.m);
	if (bed.locked) {
		mhp_lock_lost(bed.m);
		bed.locked = false;
		bed.sim->unlock(bed.pool.config.port);
	}
}

static void
take_over(void)
{
	take_lock();
	set_pages_right();
	CHECK_OK(mhp_change_lost(bed.m, bed.owner));
}

static int
ask_to_end(void)
{
	take_lock();
	return mhp_change_lost(bed.m, MHP_OWNER_NONE);
}

static void
check_pages(void)
{
	for (unsigned i = 0; i < NR_PAGES; i++) {
		struct mhp_frame frame = mhp_frame_peek(bed.m, seen.page[i].pfn);
		CHECK(frame.state == MHP_FRAME_USED && frame.owner == bed.owner &&
		      frame.cookie == i && !seen.page[i].held);
	}
	for (unsigned id = 0; id < NR_LISTENERS; id++)
		for (uint32_t b = 0; b < NR_BLOCKS; b++)
			CHECK(!seen.open[id][b]);
}

static void
show(void *ctx, const struct mhp_finding *finding)
{
	(void)ctx;
	test_say("INV %u at %#" PRIx64 ", %s: %#" PRIx64 ", not %#" PRIx64, finding->invariant,
		 finding->where, finding->what, finding->have, finding->want);
}

static void
check_mended(const struct state *before, const struct state *after, bool exact)
{
	struct state now = state_now();
	mhp_drain_caches(bed.m);
	CHECK_OK(mhp_check(bed.m, exact, show, NULL));
	CHECK(memcmp(&now, before, sizeof(now)) == 0 || memcmp(&now, after, sizeof(now)) == 0);
	check_pages();
}

/* How many steps a change has, and the states before it and after. */
static uint64_t
begin_change(int (*change)(void), struct state *ret_before, struct state *ret_after)
{
	begin_again();
	*ret_before = state_now();
	CHECK(survives(change, 0, 0));
	uint64_t end = nr_steps;
	*ret_after = state_now();
	return end;
}

static void
kill_at_each_step(const char *name, int (*change)(void))
{
	struct state before, after;
	uint64_t end = begin_change(change, &before, &after);
	CHECK_CMP(end, >, 4);
	for (uint64_t at = 1; at <= end; at++) {
		begin_again();
		test_at("%s dies at step %" PRIu64, name, at);
		CHECK(!survives(change, at, 0));
		take_over();
		check_mended(&before, &after, true);
		struct state now = state_now();
		if (memcmp(&now, &before, sizeof(now)) == 0)
			CHECK_OK(change());
	}
}

/* Each change by its name. */
#define CHANGE(fn) { #fn, fn }

static const struct {
	const char *name;
	int (*fn)(void);
} changes[] = {
	CHANGE(online), CHANGE(offline), CHANGE(offline_node), CHANGE(remove_two),
	CHANGE(remove_scrubbed), CHANGE(remove_host), CHANGE(empty), CHANGE(add_self),
	CHANGE(add_on_node),
	CHANGE(add_external), CHANGE(plan), CHANGE(compact), CHANGE(offline_refused),
	CHANGE(add_refused), CHANGE(plan_refused),
};

TEST(lost__a_change_dies_at_any_step__it_is_rolled_back_or_forward)
{
	open_bed();
	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		kill_at_each_step(changes[i].name, changes[i].fn);
	close_bed();
}

/* ---- between two stores ---- */

/* Make it look as if a chunk of room was being split: the log has it, and (begun) its descriptor is
 * gone. Return: there is such room, and a free place in the log. */
static bool
open_some(bool begun)
{
	struct mhp__log *log = &bed.m->work.log;
	unsigned slot = 0;
	while (slot < MHP_ORDERS &&
	       atomic_load(&log->room_pfn[slot]) < atomic_load(&log->room_end[slot]))
		slot++;
	for (uint64_t pfn = 0; pfn < NR_BLOCKS * bed.pool.block_pages && slot < MHP_ORDERS; pfn++) {
		struct mhp_frame frame = mhp_frame_peek(bed.m, pfn);
		if (frame.state != MHP_FRAME_USED || frame.owner != MHP_OWNER_ROOM ||
		    frame.order == 0)
			continue;
		atomic_store(&log->room_pfn[slot], pfn);
		atomic_store(&log->room_end[slot], pfn + (UINT64_C(1) << frame.order));
		if (begun)
			mhp__page_end(mhp__pfn_to_page(bed.m, pfn));
		return true;
	}
	return false;
}

/* R37 */
TEST(lost__room_dies_while_it_is_split__all_of_it_is_free)
{
	struct state before, after;
	unsigned nr_opened[2] = { 0, 0 };
	open_bed();
	uint64_t end = begin_change(remove_host, &before, &after);
	for (uint64_t i = 0; i < 2 * end; i++) {
		begin_again();
		test_at("remove_host dies at step %" PRIu64, i / 2 + 1);
		CHECK(!survives(remove_host, i / 2 + 1, 0));
		nr_opened[i % 2] += open_some(i % 2 != 0);
		take_over();
		check_mended(&before, &after, true);
	}
	CHECK_CMP(nr_opened[0], >, 0);
	CHECK_CMP(nr_opened[1], >, 0);
	close_bed();
}

/* A target has its owner's descriptor, but the log still has it as room. Return: there is one. */
static bool
untake_target(void)
{
	struct mhp__log *log = &bed.m->work.log;
	uint64_t pfn = atomic_load(&log->room_pfn[0]) - 1;
	struct mhp_frame frame;
	if (atomic_load(&log->room_end[0]) <= pfn || pfn >= NR_BLOCKS * bed.pool.block_pages)
		return false;
	frame = mhp_frame_peek(bed.m, pfn);
	if (frame.state != MHP_FRAME_USED || frame.owner != bed.owner ||
	    seen.page[frame.cookie].pfn == pfn)
		return false;
	atomic_store(&log->room_pfn[0], pfn);
	return true;
}

/* R37: its owner frees it, and so it must not be freed as room, too. */
TEST(lost__a_target_is_taken__it_is_free_once)
{
	struct state before, after;
	unsigned nr_untaken = 0;
	open_bed();
	uint64_t end = begin_change(remove_host, &before, &after);
	for (uint64_t at = 1; at <= end; at++) {
		begin_again();
		test_at("remove_host dies at step %" PRIu64, at);
		CHECK(!survives(remove_host, at, 0));
		nr_untaken += untake_target();
		take_over();
		check_mended(&before, &after, true);
	}
	CHECK_CMP(nr_untaken, >, 0);
	close_bed();
}

/* R37 */
TEST(lost__a_change_dies_while_it_gives_frames_back__they_are_free)
{
	struct mhp_page_req req = { .cookie = NR_PAGES, .order = 1 };
	struct state before, after;
	uint64_t pfn;
	open_bed();
	uint64_t end = begin_change(offline, &before, &after);
	begin_again();
	req.owner = bed.owner;
	CHECK_OK(mhp_page_alloc(bed.m, req, &pfn));
	CHECK(!survives(offline, end / 2, 0));
	mhp__page_end(mhp__pfn_to_page(bed.m, pfn));
	atomic_store(&bed.m->work.log.giving_pfn, pfn);
	atomic_store(&bed.m->work.log.giving_end, pfn + 2);
	take_over();
	check_mended(&before, &after, true);
	for (uint64_t i = 0; i < 2; i++)
		CHECK_EQ(mhp_frame_peek(bed.m, pfn + i).state, MHP_FRAME_FREE);
	close_bed();
}

/* An owner that can be asked puts its pages in order, whoever calls; that thread may die, too. */
TEST(lost__pages_of_an_owner_that_is_asked__the_change_ends)
{
	struct state before, after;
	unsigned nr_moved = 0;
	open_bed();
	CHECK_OK(mhp_owner_set_lost(bed.m, bed.owner, lost));
	test_pool_save(&bed.pool, bed.snapshot);
	uint64_t end = begin_change(remove_host, &before, &after);
	for (uint64_t at = 1; at <= end; at++) {
		begin_again();
		test_at("step %" PRIu64, at);
		CHECK(!survives(remove_host, at, 0));
		nr_moved += atomic_load(&bed.m->work.log.owner) == bed.owner;
		for (uint64_t again = 1; !survives(ask_to_end, again, 0); again++)
			CHECK_CMP(again, <, 10 * end);
		check_mended(&before, &after, true);
	}
	CHECK_CMP(nr_moved, >, 0);
	close_bed();
}

/* Only an owner knows where its page is when the kill came while it moved (R37). */
TEST(lost__pages_of_another_owner_moved__the_change_stays_half_done)
{
	struct state before, after;
	unsigned nr_moved = 0;
	open_bed();
	uint64_t end = begin_change(remove_host, &before, &after);
	for (uint64_t at = 1; at <= end && nr_moved == 0; at++) {
		begin_again();
		CHECK(!survives(remove_host, at, 0));
		if (atomic_load(&bed.m->work.log.owner) != bed.owner)
			continue;
		nr_moved++;
		take_lock();
		CHECK_EQ(mhp_change_lost(bed.m, (uint16_t)(bed.owner + 1)), MHP_EOWNERDEAD);
		CHECK_EQ(mhp_owner_set_lost(bed.m, bed.owner, lost), MHP_EOWNERDEAD);
		take_over();
		check_mended(&before, &after, true);
	}
	CHECK_EQ(nr_moved, 1);
	close_bed();
}

/* ---- at any instruction ---- */

/* Frames that the allocator had in its hands when it was killed. */
static uint64_t
nr_lost(void)
{
	uint64_t nr = 0;
	for (uint64_t pfn = 0; pfn < NR_BLOCKS * bed.pool.block_pages; pfn++)
		nr += mhp_frame_peek(bed.m, pfn).state == MHP_FRAME_CACHED;
	return nr;
}

static void
kill_between(const char *name, int (*change)(void), uint64_t *random)
{
	struct state before, after;
	uint64_t end = begin_change(change, &before, &after);
	for (uint64_t i = 0; i < test_ops(20); i++) {
		uint64_t at = 1 + test_random(random) % end;
		uint64_t more = 1 + test_random(random) % 1000;
		begin_again();
		test_at("%s dies %" PRIu64 " instructions behind step %" PRIu64, name, more, at);
		if (survives(change, at, more))
			continue;
		take_over();
		check_mended(&before, &after, false);
		CHECK_CMP(nr_lost(), <=, LOST_MAX);
	}
}

TEST(lost__a_change_dies_at_any_instruction__it_is_rolled_back_or_forward)
{
	uint64_t random = test_seed();
	catch_traps();
	open_bed();
	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		kill_between(changes[i].name, changes[i].fn, &random);
	close_bed();
}

/* Not at random: every so many instructions from each step to one of the commit, so also
 * between two arenas of a block that comes into use, or goes out of it. */
static void
kill_all_along(const char *name, int (*change)(void))
{
	struct state before, after;
	uint64_t end = begin_change(change, &before, &after);
	for (uint64_t at = 1; at < end; at++) {
		begin_again();
		CHECK(!survives(change, at + 1, 0));
		stepped = atomic_load(&bed.m->work.log.committing) == 0;
		for (uint64_t more = STRIDE; !stepped; more += STRIDE) {
			begin_again();
			test_at("%s dies %" PRIu64 " instructions behind step %" PRIu64, name, more,
				at);
			if (survives(change, at, more))
				break;
			take_over();
			check_mended(&before, &after, false);
			CHECK_CMP(nr_lost(), <=, LOST_MAX);
		}
	}
}

/* R37 */
TEST(lost__ranges_come_and_go_in_part__the_rest_follows)
{
	catch_traps();
	open_bed();
	kill_all_along("online", online);
	kill_all_along("offline_node", offline_node);
	begin_again();
	CHECK_OK(offline_node());
	test_pool_save(&bed.pool, bed.snapshot);
	bed.seen = seen;
	kill_all_along("online_node", online_node);
	close_bed();
}
