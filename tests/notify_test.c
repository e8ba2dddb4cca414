/* SPDX-License-Identifier: MIT */
/*
 * notify_test.c - listeners: order, refusal, pairing, and what they may call.
 *
 * A listener here writes down what it hears in a log that all share, and keeps count of GOING
 * events that have not come to their end. R24 is that count: 0 after every call, whoever refused.
 */
#include "test.h"

#define LOG_MAX 256U

struct heard {
	unsigned listener;
	struct mhp_notice notice;
};

struct log {
	struct mhp *m;
	struct heard heard[LOG_MAX];
	unsigned nr;
};

struct listener {
	struct log *log;
	unsigned number;
	uint16_t id;
	int answer;                    /* to notices of this kind */
	enum mhp_notice_kind kind;
	unsigned after;                /* how many of that kind are answered with 0 before */
	unsigned nr_open;              /* GOING without an end */
	uint64_t open_pages;
};

static bool
is_going(enum mhp_notice_kind kind)
{
	return kind == MHP_GOING_ONLINE_NOTICE || kind == MHP_GOING_OFFLINE_NOTICE;
}

static bool
is_end(enum mhp_notice_kind kind)
{
	return !is_going(kind) && kind < MHP_NODE_FIRST_NOTICE;
}

static int
listen(void *ctx, const struct mhp_notice *notice)
{
	struct listener *self = ctx;
	struct log *log = self->log;

	CHECK(log->nr < LOG_MAX);
	log->heard[log->nr++] = (struct heard){ self->number, *notice };
	if (is_going(notice->kind)) {
		self->nr_open++;
		self->open_pages += notice->nr_pages;
	} else if (is_end(notice->kind)) {
		CHECK_NE(self->nr_open, 0); /* else it never saw the beginning */
		self->nr_open--;
		self->open_pages -= notice->nr_pages;
	}
	if (self->answer == 0 || notice->kind != self->kind)
		return 0;
	if (self->after > 0) {
		self->after--;
		return 0;
	}
	return self->answer;
}

static void
listeners_open(struct mhp *m, struct log *log, struct listener *listeners, unsigned nr,
	       const int *priorities)
{
	log->m = m;
	log->nr = 0;
	for (unsigned i = 0; i < nr; i++) {
		listeners[i] = (struct listener){ .log = log, .number = i };
		CHECK_OK(mhp_listener_add(m, listen, &listeners[i], priorities[i],
					  &listeners[i].id));
	}
}

/* Every GOING has come to its end. */
static void
all_closed(const struct listener *listeners, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		CHECK_EQ(listeners[i].nr_open, 0);
		CHECK_EQ(listeners[i].open_pages, 0);
	}
}

static void
add_offline(struct test_pool *pool, uint32_t first, uint32_t count, unsigned node)
{
	struct mhp_add_opts opts = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_OFFLINE,
				     .node = (uint8_t)node };
	CHECK_OK(mhp_add(pool->m, (struct mhp_blocks){ first, count }, &opts, NULL));
}

static void
check_heard(const struct log *log, unsigned at, unsigned listener, enum mhp_notice_kind kind)
{
	test_at("notice %u", at);
	CHECK_CMP(at, <, log->nr);
	CHECK_EQ(log->heard[at].notice.kind, kind);
	CHECK_EQ(log->heard[at].listener, listener);
}

/* R24: priorities. R16: the notice is exactly the usable part. */
TEST(notify__priorities__called_from_high_to_low)
{
	static const int priorities[4] = { 0, INT_MIN, INT_MAX, 0 };
	static const unsigned order[4] = { 2, 0, 3, 1 };
	struct mhp_blocks first = { 0, 1 };
	struct mhp_block_info info;
	struct listener listeners[4];
	struct test_pool pool;
	struct log log;

	test_pool_open(&pool, NULL);
	listeners_open(pool.m, &log, listeners, 4, priorities);
	add_offline(&pool, 0, 1, 1);
	CHECK_OK(test_online(pool.m, first, MHP_ZONE_MOVABLE, NULL));
	CHECK_OK(mhp_block_get(pool.m, 0, &info));
	for (unsigned i = 0; i < 4; i++) {
		const struct mhp_notice *notice = &log.heard[i].notice;

		check_heard(&log, i, order[i], MHP_GOING_ONLINE_NOTICE);
		check_heard(&log, 4 + i, order[i], MHP_ONLINE_NOTICE);
		check_heard(&log, 8 + i, order[i], MHP_NODE_FIRST_NOTICE);
		CHECK_EQ(notice->start_pfn, info.nr_vmemmap_pages);
		CHECK_EQ(notice->nr_pages, pool.block_pages - info.nr_vmemmap_pages);
		CHECK_EQ(notice->node, 1);
		CHECK_EQ(notice->zone, MHP_ZONE_MOVABLE);
	}
	CHECK_EQ(log.nr, 12);
	all_closed(listeners, 4);
	test_pool_empty_and_close(&pool);
}

static void
check_refusal(const struct log *log, enum mhp_notice_kind going, enum mhp_notice_kind cancel)
{
	check_heard(log, 0, 0, going);
	check_heard(log, 1, 1, going); /* refuses */
	check_heard(log, 2, 1, cancel);
	check_heard(log, 3, 0, cancel);
	CHECK_EQ(log->nr, 4); /* the third one never heard of it */
}

/* R24 */
TEST(notify__refused__who_saw_it_sees_cancel)
{
	static const int priorities[3] = { 3, 2, 1 };
	struct mhp_blocks first = { 0, 1 };
	struct listener listeners[3];
	struct test_pool pool;
	struct mhp_why why;
	struct log log;
	uint64_t digest;

	test_pool_open(&pool, NULL);
	add_offline(&pool, 0, 1, 0);
	listeners_open(pool.m, &log, listeners, 3, priorities);
	listeners[1].kind = MHP_GOING_ONLINE_NOTICE;
	listeners[1].answer = MHP_EIO;
	digest = mhp_digest(pool.m);
	CHECK_RET(test_online(pool.m, first, MHP_ZONE_NORMAL, &why), MHP_EIO);
	check_refusal(&log, MHP_GOING_ONLINE_NOTICE, MHP_CANCEL_ONLINE_NOTICE);
	CHECK_EQ(why.cause, MHP_CAUSE_LISTENER);
	CHECK_EQ(why.listener, listeners[1].id);
	CHECK_EQ(mhp_digest(pool.m), digest);
	test_pool_check(&pool);

	listeners[1].kind = MHP_GOING_OFFLINE_NOTICE;
	listeners[1].answer = 1; /* not an error, but no consent either */
	CHECK_OK(test_online(pool.m, first, MHP_ZONE_NORMAL, NULL));
	digest = mhp_digest(pool.m);
	log.nr = 0;
	CHECK_CMP(mhp_offline(pool.m, &first, 1, NULL, &why), <, 0);
	check_refusal(&log, MHP_GOING_OFFLINE_NOTICE, MHP_CANCEL_OFFLINE_NOTICE);
	CHECK_EQ(why.cause, MHP_CAUSE_LISTENER);
	CHECK_EQ(mhp_digest(pool.m), digest);
	all_closed(listeners, 3);
	listeners[1].answer = 0;
	test_pool_empty_and_close(&pool);
}

static int
online_or_offline(struct mhp *m, bool online)
{
	struct mhp_blocks four = { 0, 4 };

	return online ? test_online(m, four, MHP_ZONE_MOVABLE, NULL) :
			mhp_offline(m, &four, 1, NULL, NULL);
}

/* R24, R26: whichever listener refuses whichever of several ranges, all is as before. */
TEST(notify__refused_in_the_middle__every_going_has_its_end)
{
	static const int priorities[3] = { 1, 1, 1 };
	struct listener listeners[3];
	struct test_pool pool;
	struct log log;

	test_pool_open(&pool, NULL);
	add_offline(&pool, 0, 4, 0);
	listeners_open(pool.m, &log, listeners, 3, priorities);
	for (unsigned i = 0; i < 24; i++) {
		struct listener *refuser = &listeners[i % 3];
		bool online = i < 12;
		uint64_t digest = mhp_digest(pool.m);

		test_at("round %u", i);
		log.nr = 0;
		refuser->kind = online ? MHP_GOING_ONLINE_NOTICE : MHP_GOING_OFFLINE_NOTICE;
		refuser->answer = MHP_EBUSY;
		refuser->after = i / 3 % 4;
		CHECK_RET(online_or_offline(pool.m, online), MHP_EBUSY);
		all_closed(listeners, 3);
		CHECK_EQ(mhp_digest(pool.m), digest);
		refuser->answer = 0;
		if (i == 11)
			CHECK_OK(online_or_offline(pool.m, true));
	}
	test_pool_check(&pool);
	test_pool_empty_and_close(&pool);
}

/* ---- calling back ---- */

static int
refuses_all(struct mhp *m)
{
	struct mhp_policy policy = MHP_POLICY_DEFAULT;
	struct mhp_blocks blocks = { 0, 1 };
	struct mhp_compact_result result;
	uint16_t id;

	CHECK_RET(mhp_add(m, blocks, NULL, NULL), MHP_EDEADLK);
	CHECK_RET(test_online(m, blocks, MHP_ZONE_NORMAL, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_offline(m, &blocks, 1, NULL, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_remove(m, &blocks, 1, NULL, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_listener_add(m, listen, NULL, 0, &id), MHP_EDEADLK);
	CHECK_RET(mhp_listener_remove(m, 0), MHP_EDEADLK);
	CHECK_RET(mhp_owner_register(m, "o", NULL, NULL, &id), MHP_EDEADLK);
	CHECK_RET(mhp_owner_unregister(m, MHP_OWNER_FIRST), MHP_EDEADLK);
	CHECK_RET(mhp_set_policy(m, &policy), MHP_EDEADLK);
	CHECK_RET(mhp_set_memmap_on_memory(m, MHP_MEMMAP_OFF), MHP_EDEADLK);
	CHECK_RET(mhp_bad_add(m, 0), MHP_EDEADLK);
	CHECK_RET(mhp_bad_remove(m, 0), MHP_EDEADLK);
	CHECK_RET(mhp_compact(m, 0, MHP_ZONE_NORMAL, 0, &result), MHP_EDEADLK);
	CHECK_RET(mhp_check(m, true, NULL, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_fini(m), MHP_EDEADLK);
	CHECK_RET(mhp_plan_preview(m, NULL, 0, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_plan_commit(m, NULL, 0, NULL, NULL), MHP_EDEADLK);
	CHECK_RET(mhp_block_announce(m, 0, 0), MHP_EDEADLK);
	CHECK_RET(mhp_between_events(m, NULL, NULL), MHP_EDEADLK);
	return 0;
}

/* What only looks works from a listener, too. */
static int
looks(void *ctx, const struct mhp_notice *notice)
{
	struct log *log = ctx;
	struct mhp_zone_info zone;
	struct mhp_foresight foresight;
	struct mhp_policy policy;
	struct mhp_blocks run;
	struct mhp_stats stats;

	log->nr++;
	mhp_get_stats(log->m, &stats);
	CHECK_EQ(stats.blocks_present, 1);
	mhp_get_policy(log->m, &policy);
	CHECK_EQ(policy.auto_movable_ratio, 301);
	CHECK_OK(mhp_zone_get(log->m, 0, MHP_ZONE_NORMAL, &zone));
	CHECK_OK(mhp_range_get(log->m, 0, &run));
	CHECK_EQ(run.count, 1);
	CHECK_OK(mhp_policy_foresee(log->m, 0, notice->start_pfn, notice->nr_pages, &foresight));
	CHECK(!mhp_bad_test(log->m, 1));
	CHECK_EQ(mhp_bad_count(log->m, 0, UINT64_MAX), 0);
	(void)mhp_digest(log->m);
	return refuses_all(log->m);
}

/* R24: an error, not a deadlock. */
TEST(notify__listener_calls_back__edeadlk)
{
	struct mhp_blocks first = { 0, 1 };
	struct test_pool pool;
	struct log log = { .nr = 0 };
	uint16_t id;

	test_pool_open(&pool, NULL);
	log.m = pool.m;
	add_offline(&pool, 0, 1, 0);
	CHECK_OK(mhp_listener_add(pool.m, looks, &log, 0, &id));
	CHECK_OK(test_online(pool.m, first, MHP_ZONE_NORMAL, NULL));
	CHECK_EQ(log.nr, 3);
	test_pool_check(&pool);
	CHECK_OK(mhp_listener_remove(pool.m, id));
	test_pool_empty_and_close(&pool);
}

/* ---- nodes, and the table ---- */

static unsigned
count_heard(struct log *log, enum mhp_notice_kind kind)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < log->nr; i++)
		nr += log->heard[i].notice.kind == kind;
	log->nr = 0;
	return nr;
}

/* R24: node first and last memory; R16: node states. */
TEST(notify__first_and_last_block_of_a_node__said_once)
{
	static const int priority = 0;
	struct mhp_blocks two = { 2, 2 }, one = { 2, 1 };
	struct listener listener;
	struct test_pool pool;
	struct log log;

	test_pool_open(&pool, NULL);
	listeners_open(pool.m, &log, &listener, 1, &priority);
	add_offline(&pool, 2, 2, 1);
	CHECK_EQ(mhp_node_states(pool.m, 1), 0);
	CHECK_OK(test_online(pool.m, two, MHP_ZONE_MOVABLE, NULL));
	CHECK_EQ(mhp_node_states(pool.m, 1), MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_MOVABLE);
	CHECK_EQ(count_heard(&log, MHP_NODE_FIRST_NOTICE), 1);
	CHECK_OK(mhp_offline(pool.m, &one, 1, NULL, NULL));
	CHECK_EQ(count_heard(&log, MHP_NODE_LAST_NOTICE), 0);
	CHECK_OK(test_online(pool.m, one, MHP_ZONE_NORMAL, NULL));
	CHECK_EQ(mhp_node_states(pool.m, 1),
		 MHP_NODE_HAS_MEMORY | MHP_NODE_HAS_NORMAL | MHP_NODE_HAS_MOVABLE);
	CHECK_EQ(count_heard(&log, MHP_NODE_FIRST_NOTICE), 0);
	CHECK_OK(mhp_offline(pool.m, &two, 1, NULL, NULL));
	CHECK_EQ(mhp_node_states(pool.m, 1), 0);
	CHECK_EQ(mhp_node_states(pool.m, 0), 0);
	CHECK_EQ(mhp_node_states(pool.m, 2), 0);
	CHECK_EQ(count_heard(&log, MHP_NODE_LAST_NOTICE), 1);
	all_closed(&listener, 1);
	test_pool_empty_and_close(&pool);
}

/* R17 */
TEST(notify__table__typed_errors)
{
	uint16_t ids[MHP_LISTENERS_MAX], id = 77;
	struct test_pool pool;
	struct log log = { .nr = 0 };
	struct listener listener = { .log = &log };

	test_pool_open(&pool, NULL);
	CHECK_RET(mhp_listener_add(pool.m, NULL, NULL, 0, &id), MHP_EINVAL);
	CHECK_RET(mhp_listener_add(pool.m, listen, NULL, 0, NULL), MHP_EINVAL);
	CHECK_RET(mhp_listener_remove(pool.m, 0), MHP_ENOENT);
	for (unsigned i = 0; i < MHP_LISTENERS_MAX; i++)
		CHECK_OK(mhp_listener_add(pool.m, listen, &listener, 0, &ids[i]));
	CHECK_RET(mhp_listener_add(pool.m, listen, &listener, 0, &id), MHP_ENOSPC);
	CHECK_EQ(id, 77);
	CHECK_OK(mhp_listener_remove(pool.m, ids[5]));
	CHECK_RET(mhp_listener_remove(pool.m, ids[5]), MHP_ENOENT);
	CHECK_RET(mhp_listener_remove(pool.m, MHP_LISTENERS_MAX), MHP_ENOENT);
	CHECK_OK(mhp_listener_add(pool.m, listen, &listener, 0, &id));
	test_pool_check(&pool);
	test_pool_close(&pool);
}

TEST(notify__refusal_of_a_named_listener__says_its_name) /* R30 */
{
	static const int priority = 0;
	struct mhp_blocks first = { 0, 1 };
	struct listener listener;
	struct test_pool pool;
	struct mhp_why why;
	struct log log;

	test_pool_open(&pool, NULL);
	add_offline(&pool, 0, 1, 0);
	listeners_open(pool.m, &log, &listener, 1, &priority);
	CHECK_STR(mhp_listener_name(pool.m, listener.id), "?");
	CHECK_OK(mhp_listener_set_name(pool.m, listener.id, "the backup"));
	CHECK_STR(mhp_listener_name(pool.m, listener.id), "the backup");
	CHECK_RET(mhp_listener_set_name(pool.m, listener.id, ""), MHP_EINVAL);
	CHECK_RET(mhp_listener_set_name(pool.m, listener.id,
					"a name that has thirty-two letters"), MHP_EINVAL);
	CHECK_RET(mhp_listener_set_name(pool.m, MHP_LISTENERS_MAX, "nobody"), MHP_ENOENT);
	CHECK_STR(mhp_listener_name(pool.m, MHP_LISTENERS_MAX), "?");
	test_pool_check(&pool);

	listener.kind = MHP_GOING_ONLINE_NOTICE;
	listener.answer = MHP_EBUSY;
	CHECK_RET(test_online(pool.m, first, MHP_ZONE_NORMAL, &why), MHP_EBUSY);
	CHECK_EQ(why.cause, MHP_CAUSE_LISTENER);
	CHECK_STR(why.text, "the backup");
	listener.kind = MHP_GOING_OFFLINE_NOTICE;
	CHECK_OK(test_online(pool.m, first, MHP_ZONE_NORMAL, NULL));
	why.text[0] = '\0';
	CHECK_RET(mhp_offline(pool.m, &first, 1, NULL, &why), MHP_EBUSY);
	CHECK_STR(why.text, "the backup");
	listener.answer = 0;
	test_pool_empty_and_close(&pool);
}

/* ---- owners: the other table of callers ---- */

static int
no_isolate(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
	return MHP_EBUSY;
}

static int
no_migrate(void *ctx, const struct mhp_move *moves, unsigned nr_moves, unsigned *ret_done)
{
	(void)ctx, (void)moves, (void)nr_moves, (void)ret_done;
	return MHP_EBUSY;
}

static void
no_putback(void *ctx, uint64_t pfn, unsigned order, uint64_t cookie)
{
	(void)ctx, (void)pfn, (void)order, (void)cookie;
}

TEST(page_free_owned__page_of_another_owner__eperm_and_nothing_changed) /* R17 */
{
	struct mhp_page_req req = { .cookie = 0 };
	struct test_pool pool;
	uint16_t mine, theirs;
	uint64_t pfn, digest;

	test_pool_open(&pool, NULL);
	add_offline(&pool, 0, 1, 0);
	CHECK_OK(test_online(pool.m, (struct mhp_blocks){ 0, 1 }, MHP_ZONE_NORMAL, NULL));
	CHECK_OK(mhp_owner_register(pool.m, "mine", NULL, NULL, &mine));
	CHECK_OK(mhp_owner_register(pool.m, "theirs", NULL, NULL, &theirs));
	req.owner = theirs;
	CHECK_OK(mhp_page_alloc(pool.m, req, &pfn));
	digest = mhp_digest(pool.m);
	CHECK_RET(mhp_page_free_owned(pool.m, mine, pfn), MHP_EPERM);
	CHECK_EQ(mhp_digest(pool.m), digest);
	CHECK_OK(mhp_page_free_owned(pool.m, theirs, pfn));
	CHECK_RET(mhp_page_free_owned(pool.m, theirs, pfn), MHP_EINVAL);
	CHECK_RET(mhp_page_free_owned(pool.m, theirs, MHP_PFN_NONE), MHP_EINVAL);
	CHECK_OK(mhp_owner_unregister(pool.m, mine));
	CHECK_OK(mhp_owner_unregister(pool.m, theirs));
	test_pool_empty_and_close(&pool);
}

/* Only pages that can move may be on their way at a kill. */
TEST(owner_set_lost__owners_of_all_kinds__typed_errors)
{
	static const struct mhp_movable_ops ops = { no_isolate, no_migrate, no_putback, NULL };
	struct test_pool pool;
	uint16_t moves, stays;

	test_pool_open(&pool, NULL);
	CHECK_OK(mhp_owner_register(pool.m, "moves", &ops, NULL, &moves));
	CHECK_OK(mhp_owner_register(pool.m, "stays", NULL, NULL, &stays));
	CHECK_OK(mhp_owner_set_lost(pool.m, moves, no_putback));
	test_pool_check(&pool);
	CHECK_OK(mhp_owner_set_lost(pool.m, moves, NULL));
	CHECK_OK(mhp_owner_set_lost(pool.m, moves, no_putback));
	CHECK_RET(mhp_owner_set_lost(pool.m, stays, no_putback), MHP_EINVAL);
	CHECK_OK(mhp_owner_unregister(pool.m, moves));
	CHECK_RET(mhp_owner_set_lost(pool.m, moves, no_putback), MHP_ENOENT);
	CHECK_RET(mhp_owner_set_lost(pool.m, MHP_OWNER_BAD, no_putback), MHP_ENOENT);
	CHECK_RET(mhp_owner_set_lost(pool.m, UINT16_MAX, no_putback), MHP_ENOENT);
	test_pool_check(&pool);
	test_pool_close(&pool);
}

TEST(owner__table__typed_errors)
{
	static const struct mhp_movable_ops incomplete[] = {
		{ NULL, no_migrate, no_putback, NULL },
		{ no_isolate, NULL, no_putback, NULL },
		{ no_isolate, no_migrate, NULL, NULL },
	};
	char long_name[] = "123456789012345678901234567890123";
	uint16_t id = 77, ids[MHP_OWNERS_MAX];
	struct test_pool pool;

	test_pool_open(&pool, NULL);
	CHECK_RET(mhp_owner_register(pool.m, NULL, NULL, NULL, &id), MHP_EINVAL);
	CHECK_RET(mhp_owner_register(pool.m, "", NULL, NULL, &id), MHP_EINVAL);
	CHECK_RET(mhp_owner_register(pool.m, "o", NULL, NULL, NULL), MHP_EINVAL);
	for (unsigned i = 0; i < 3; i++)
		CHECK_RET(mhp_owner_register(pool.m, "o", &incomplete[i], NULL, &id), MHP_EINVAL);
	long_name[MHP_OWNER_NAME_MAX + 1] = '\0';
	CHECK_RET(mhp_owner_register(pool.m, long_name, NULL, NULL, &id), MHP_EINVAL);
	long_name[MHP_OWNER_NAME_MAX] = '\0';
	CHECK_EQ(id, 77);
	for (unsigned i = MHP_OWNER_FIRST; i < MHP_OWNERS_MAX; i++)
		CHECK_OK(mhp_owner_register(pool.m, long_name, NULL, NULL, &ids[i]));
	CHECK_RET(mhp_owner_register(pool.m, "o", NULL, NULL, &id), MHP_ENOSPC);
	CHECK_STR(mhp_owner_name(pool.m, ids[9]), long_name);
	CHECK_OK(mhp_owner_unregister(pool.m, ids[9]));
	CHECK_STR(mhp_owner_name(pool.m, ids[9]), "?");
	CHECK_STR(mhp_owner_name(pool.m, UINT16_MAX), "?");
	CHECK_STR(mhp_owner_name(pool.m, MHP_OWNER_MEMMAP), "memmap");
	CHECK_RET(mhp_owner_unregister(pool.m, ids[9]), MHP_ENOENT);
	CHECK_RET(mhp_owner_unregister(pool.m, MHP_OWNER_ROOM), MHP_ENOENT);
	CHECK_RET(mhp_owner_unregister(pool.m, UINT16_MAX), MHP_ENOENT);
	test_pool_check(&pool);
	test_pool_close(&pool);
}
