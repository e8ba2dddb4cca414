/* SPDX-License-Identifier: MIT */
/*
 * hooks_test.c - the hooks that jemalloc gets, called as jemalloc calls them (R57, R58).
 *
 * The cases are jemalloc, of a kind whose answers they choose: mallctl() is theirs, and its own
 * hooks only write down that they were called. The pool is a real one. A process has one heap, so
 * each case is in a child.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "../../heap/heap.h"
#include "../../heap/taken.h"
#include "fixture.h"

#define MIB (UINT64_C(1) << 20)
#define BLOCK (UINT64_C(16) << 20)
#define PAGE UINT64_C(4096)
#define ARENAS 3U

/* ---- jemalloc ---- */

static struct {
	const char *fails;             /* the name that mallctl() does not know */
	unsigned fails_after;          /* so many calls with it */
	extent_hooks_t *hooks[ARENAS];
	const char *called;            /* the last of its own hooks */
} jemalloc;

static bool
own(const char *name)
{
	jemalloc.called = name;
	return true;
}

static void *
own_alloc(extent_hooks_t *hooks, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
	  unsigned arena)
{
	(void)hooks, (void)at, (void)size, (void)alignment, (void)zero, (void)commit, (void)arena;
	own("alloc");
	return &jemalloc;
}

static bool
own_dalloc(extent_hooks_t *hooks, void *at, size_t size, bool committed, unsigned arena)
{
	(void)hooks, (void)at, (void)size, (void)committed, (void)arena;
	return own("dalloc");
}

static void
own_destroy(extent_hooks_t *hooks, void *at, size_t size, bool committed, unsigned arena)
{
	(void)hooks, (void)at, (void)size, (void)committed, (void)arena;
	own("destroy");
}

#define OWN_PART(name)                                                                             \
	static bool own_##name(extent_hooks_t *hooks, void *at, size_t size, size_t offset,        \
			       size_t length, unsigned arena)                                      \
	{                                                                                          \
		(void)hooks, (void)at, (void)size, (void)offset, (void)length, (void)arena;        \
		return own(#name);                                                                 \
	}

OWN_PART(commit)
OWN_PART(decommit)
OWN_PART(purge_lazy)
OWN_PART(purge_forced)

static bool
own_split(extent_hooks_t *hooks, void *at, size_t size, size_t a, size_t b, bool committed,
	  unsigned arena)
{
	(void)hooks, (void)at, (void)size, (void)a, (void)b, (void)committed, (void)arena;
	return own("split");
}

static bool
own_merge(extent_hooks_t *hooks, void *a, size_t size_a, void *b, size_t size_b, bool committed,
	  unsigned arena)
{
	(void)hooks, (void)a, (void)size_a, (void)b, (void)size_b, (void)committed, (void)arena;
	return own("merge");
}

static extent_hooks_t own_hooks = {
	own_alloc, own_dalloc, own_destroy, own_commit, own_decommit, own_purge_lazy,
	own_purge_forced, own_split, own_merge,
};

int
mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
{
	unsigned arena;
	if (jemalloc.fails != NULL && strcmp(name, jemalloc.fails) == 0 &&
	    jemalloc.fails_after-- == 0)
		return 2;
	if (strcmp(name, "arenas.narenas") == 0) {
		CHECK(old != NULL && *old_size == sizeof(unsigned));
		*(unsigned *)old = ARENAS;
		return 0;
	}
	CHECK(sscanf(name, "arena.%u.extent_hooks", &arena) == 1 && arena < ARENAS);
	if (old != NULL)
		*(extent_hooks_t **)old = &own_hooks;
	CHECK(new == NULL || new_size == sizeof(extent_hooks_t *));
	if (new != NULL)
		jemalloc.hooks[arena] = *(extent_hooks_t **)new;
	return 0;
}

/* ---- a heap ---- */

static unsigned nr_took;

static void
took(void)
{
	nr_took++;
}

static struct mhp_pool *
start(const struct mhp_heap_opts *opts)
{
	struct mhp_pool_opts shape = { .block_bytes = BLOCK, .max_bytes = 64 * BLOCK };
	struct mhp_pool *pool = fixture_pool(&shape);
	struct mhp_add_opts add = { .flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE,
				    .zone = MHP_ZONE_MOVABLE };
	fixture_add(pool, NULL, BLOCK, &add);
	if (opts != NULL)
		CHECK_OK(mhp_heap_start(pool, opts, NULL));
	return pool;
}

static void *
take(size_t size)
{
	bool zero = false, committed = false;
	void *at = mhp__heap_hooks.alloc(NULL, NULL, size, PAGE, &zero, &committed, 0);
	CHECK(at == NULL || (zero && committed) || at == &jemalloc);
	return at;
}

/* ---- cases ---- */

static void
refuse_all(void)
{
	static const struct { const char *name; unsigned after; } rows[] = {
		{ "arenas.narenas", 0 }, { "arena.0.extent_hooks", 0 },
		{ "arena.0.extent_hooks", 1 }, { "arena.2.extent_hooks", 0 },
	};
	struct mhp_heap_opts opts = { .max_bytes = 4 * BLOCK };
	struct mhp_pool *pool = start(NULL);
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct mhp_text why = { "" }, *said = i % 2 == 0 ? &why : NULL;
		jemalloc.fails = rows[i / 2].name;
		jemalloc.fails_after = rows[i / 2].after;
		test_at("%s, call %u", jemalloc.fails, jemalloc.fails_after);
		CHECK_RET(mhp_heap_start(pool, &opts, said), MHP_EOPNOTSUPP);
		CHECK(said == NULL || strstr(why.text, "not a jemalloc that takes hooks") != NULL);
		for (unsigned arena = 0; arena < ARENAS; arena++)
			CHECK(jemalloc.hooks[arena] != &mhp__heap_hooks);
	}
	jemalloc.fails = NULL;
	opts.address_bytes = UINT64_C(1) << 47; /* no region is so large */
	CHECK(mhp_heap_start(pool, &opts, NULL) != 0);
	opts.address_bytes = 0;
	CHECK_OK(mhp_heap_start(pool, &opts, NULL));
	for (unsigned arena = 0; arena < ARENAS; arena++)
		CHECK(jemalloc.hooks[arena] == &mhp__heap_hooks);
	CHECK_RET(mhp_heap_start(pool, &opts, NULL), MHP_EBUSY);
}

static void
call_with_memory_of_others(void)
{
	extent_hooks_t *hooks = &mhp__heap_hooks;
	char *at = malloc(64);
	(void)start(&(struct mhp_heap_opts){ .max_bytes = 4 * BLOCK, .no_huge = true });
	CHECK(hooks->dalloc(NULL, at, 64, true, 0) && strcmp(jemalloc.called, "dalloc") == 0);
	hooks->destroy(NULL, at, 64, true, 0);
	CHECK(strcmp(jemalloc.called, "destroy") == 0);
	CHECK(hooks->commit(NULL, at, 64, 0, 64, 0) && strcmp(jemalloc.called, "commit") == 0);
	CHECK(hooks->decommit(NULL, at, 64, 0, 64, 0) && strcmp(jemalloc.called, "decommit") == 0);
	CHECK(hooks->purge_lazy(NULL, at, 64, 0, 64, 0) &&
	      strcmp(jemalloc.called, "purge_lazy") == 0);
	CHECK(hooks->purge_forced(NULL, at, 64, 0, 64, 0) &&
	      strcmp(jemalloc.called, "purge_forced") == 0);
	CHECK(hooks->split(NULL, at, 64, 32, 32, true, 0) &&
	      strcmp(jemalloc.called, "split") == 0);
	CHECK(hooks->merge(NULL, at, 32, at + 32, 32, true, 0) &&
	      strcmp(jemalloc.called, "merge") == 0);
	/* Never one of theirs with one of ours. */
	char *ours = take(MIB);
	jemalloc.called = NULL;
	CHECK(hooks->merge(NULL, at, 64, ours, MIB, true, 0) && jemalloc.called == NULL);
	CHECK(hooks->merge(NULL, ours, MIB, at, 64, true, 0) && jemalloc.called == NULL);
}

static void
call_with_memory_of_ours(void)
{
	extent_hooks_t *hooks = &mhp__heap_hooks;
	(void)start(&(struct mhp_heap_opts){ .max_bytes = BLOCK, .took = took });
	char *at = take(4 * MIB);
	CHECK(at != NULL && nr_took == 1 && jemalloc.called == NULL);
	memset(at, 1, 4 * MIB);
	CHECK(!hooks->split(NULL, at, 4 * MIB, 2 * MIB, 2 * MIB, true, 0));
	CHECK(!hooks->merge(NULL, at, 2 * MIB, at + 2 * MIB, 2 * MIB, true, 0));
	CHECK(hooks->purge_lazy(NULL, at, 4 * MIB, 0, 4 * MIB, 0)); /* not lazily */
	CHECK_EQ(at[0], 1);
	CHECK(!hooks->purge_forced(NULL, at, 4 * MIB, 0, PAGE, 0));
	CHECK(at[0] == 0 && at[PAGE] == 1);
	CHECK(hooks->decommit(NULL, at, 4 * MIB, 0, PAGE, 0)); /* too little to be worth it */
	CHECK(!hooks->decommit(NULL, at, 4 * MIB, 2 * MIB, 2 * MIB, 0));
	CHECK(hooks->purge_forced(NULL, at, 4 * MIB, 0, 4 * MIB, 0)); /* not all is memory */
	CHECK(!hooks->commit(NULL, at, 4 * MIB, 2 * MIB, 2 * MIB, 0));
	CHECK_EQ(at[2 * MIB], 0);
	CHECK(hooks->commit(NULL, at, 4 * MIB, 2 * MIB, 2 * MIB, 0)); /* it is there */
	CHECK(!hooks->decommit(NULL, at, 4 * MIB, 0, 4 * MIB, 0));
	CHECK(hooks->dalloc(NULL, at, 4 * MIB, false, 0)); /* jemalloc keeps the addresses */
	hooks->destroy(NULL, at, 4 * MIB, false, 0);
	CHECK(!hooks->commit(NULL, at, 4 * MIB, 0, 4 * MIB, 0));
	CHECK(!hooks->dalloc(NULL, at, 4 * MIB, true, 0));
	at = take(4 * MIB);
	hooks->destroy(NULL, at, 4 * MIB, true, 0);
	CHECK_EQ(mhp__taken_bytes(), 0);
}

/* R71: what jemalloc has of ours counts until it is given back, however that is done. */
static void
reach_the_bound(void)
{
	extent_hooks_t *hooks = &mhp__heap_hooks;
	(void)start(&(struct mhp_heap_opts){ .max_bytes = 2 * BLOCK, .took = took });
	char *first = take(MIB), *second = take(MIB);
	CHECK(mhp__taken_bytes() == 2 * MIB && !mhp__taken_was_refused());
	mhp__taken_bound(2 * MIB + 3 * PAGE, 2 * MIB);
	CHECK(take(MIB) == NULL && take(64 << 10) == NULL && nr_took == 4);
	CHECK(mhp__taken_was_refused() && !mhp__taken_was_refused());
	char *small = take(2 * PAGE);
	CHECK(small != NULL && take(2 * PAGE) == NULL && jemalloc.called == NULL);
	CHECK(!hooks->dalloc(NULL, first, MIB, true, 0));
	CHECK_EQ(mhp__taken_bytes(), MIB + 2 * PAGE);
	CHECK(!hooks->decommit(NULL, second, MIB, 0, MIB, 0));
	first = take(MIB);
	CHECK(first != NULL && hooks->commit(NULL, second, MIB, 0, MIB, 0));
	hooks->destroy(NULL, first, MIB, true, 0);
	CHECK(!hooks->commit(NULL, second, MIB, 0, MIB, 0));
	mhp__taken_bound(0, 0); /* below what it has */
	CHECK(take(PAGE) == NULL);
	mhp__taken_bound(UINT64_MAX, UINT64_MAX);
	CHECK(take(MIB) != NULL);
	CHECK_EQ(mhp__taken_bytes(), 2 * MIB + 2 * PAGE);
}

/* R58: what cannot be had is refused, or comes from outside where one would have to wait. */
static void
fill_the_pool(void)
{
	extent_hooks_t *hooks = &mhp__heap_hooks;
	bool zero, committed;
	(void)start(&(struct mhp_heap_opts){ .max_bytes = 2 * BLOCK });
	char *first = take(4 * MIB), *at = NULL, *last = first;
	CHECK(hooks->alloc(NULL, first, MIB, PAGE, &zero, &committed, 0) == NULL); /* in use */
	for (unsigned i = 0; (at = take(4 * MIB)) != NULL; i++) {
		CHECK(i < 2 * BLOCK / (4 * MIB) && at != (void *)&jemalloc);
		last = at;
	}
	CHECK(jemalloc.called == NULL);
	CHECK(!hooks->dalloc(NULL, last, 4 * MIB, true, 0) && take(4 * MIB) != NULL);
	mhp_heap_set_max(3 * BLOCK);
	CHECK_EQ(mhp_heap_get_max(), 3 * BLOCK);
	CHECK(take(4 * MIB) != NULL && jemalloc.called == NULL);
	mhp__heap.closed = true; /* as while arenas are made */
	CHECK(take(MIB) == (void *)&jemalloc && strcmp(jemalloc.called, "alloc") == 0);
	CHECK(hooks->alloc(NULL, first, MIB, PAGE, &zero, &committed, 0) == NULL);
}

static void
in_a_child(void (*fn)(void))
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		fn();
		_exit(0);
	}
	fixture_join(child);
}

TEST(heap__malloc_takes_no_hooks__all_is_as_before)
{
	in_a_child(refuse_all);
}

TEST(hooks__memory_of_others__goes_to_jemallocs_own)
{
	in_a_child(call_with_memory_of_others);
}

TEST(hooks__memory_of_ours__answers_as_jemalloc_expects)
{
	in_a_child(call_with_memory_of_ours);
}

TEST(hooks__bound_is_reached__refused_until_it_is_given_back)
{
	in_a_child(reach_the_bound);
}

TEST(hooks__pool_is_full__refused_until_the_bound_rises)
{
	in_a_child(fill_the_pool);
}
