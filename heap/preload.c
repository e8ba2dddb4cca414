/* SPDX-License-Identifier: MIT */
/*
 * preload.c - what makes libmemplug-heap.so work under LD_PRELOAD: a constructor.
 *
 * Everything that the program starts inherits the preload, whatever it is: so this decides who gets
 * a pool (setup.c makes it), and must do no harm to anybody else. Only what `memplug run` itself
 * executes ends when it cannot have its pool (MEMPLUG_STRICT).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "maps.h"

/*
 * How jemalloc is set up, unless the environment says otherwise: it returns addresses instead of
 * retaining them, so that extents can grow in place; very large extents are kept for a while after
 * they are freed, like all others; and its own tables, of which little is touched, take no huge
 * pages where the kernel gives them to all. (Of the pool's memory the pool decides that.)
 */
const char *malloc_conf = "retain:false,oversize_threshold:0,thp:never";

typedef void fork_fn(void);
int __real_pthread_atfork(fork_fn *prepare, fork_fn *parent, fork_fn *child);
int __wrap_pthread_atfork(fork_fn *prepare, fork_fn *parent, fork_fn *child);

/*
 * The linker makes pthread_atfork() of everything inside this library, jemalloc's too, this. Locks
 * are taken from the outermost in before a fork, by handlers that run last registered first.
 */
int
__wrap_pthread_atfork(fork_fn *prepare, fork_fn *parent, fork_fn *child)
{
	static bool ours;
	if (!ours) {
		ours = true;
		mhp_fork_init();
		mhp__extents_fork_init();
		mhp__maps_fork_init();
	}
	return __real_pthread_atfork(prepare, parent, child);
}

/* The one that `memplug run` turned into; not what that one starts. */
static bool
is_first(void)
{
	const char *first = getenv("MEMPLUG_FIRST");
	return first != NULL && atol(first) == (long)getpid();
}

/* Must we have a pool? Asked once: what is executed next finds another answer. */
static bool
take_strict(void)
{
	char *word = getenv("MEMPLUG_STRICT");
	if (word == NULL || *word != '1')
		return false;
	*word = '0';
	return true;
}

/*
 * Is malloc not ours? Its address does not tell: in a program that is linked to a fixed address and
 * takes it, that is a place in the program. So it is called, and jemalloc asked whether it noticed.
 * One that has no memory is taken for ours: the pool says why it does not start.
 */
static bool
malloc_is_of_others(void)
{
	void *(*found)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
	void (*give_back)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
	uint64_t *allocated;
	size_t size = sizeof(allocated);
	if (found == NULL || give_back == NULL ||
	    mallctl("thread.allocatedp", &allocated, &size, NULL, 0) != 0)
		return true;
	uint64_t before = *allocated;
	void *it = found(1);
	bool noticed = it == NULL || *allocated != before;
	give_back(it);
	return !noticed;
}

static void
say(const struct mhp_text *text, const char *otherwise)
{
	fprintf(stderr, "memplug: %s\n", text->text[0] != 0 ? text->text : otherwise);
}

/*
 * The first program says what is wrong, and ends if it cannot have its pool. Programs that it
 * starts get a pool if one is wanted and can be had, and otherwise say nothing.
 */
__attribute__((constructor)) static void
preload(void)
{
	struct mhp_text text = { "" }, unserved = { "" };
	const char *children = getenv("MEMPLUG_CHILDREN"), *given = getenv("MEMPLUG_NAME");
	char name[64];
	if (getenv("MEMPLUG_BOOT") == NULL)
		return;
	bool strict = take_strict(), first = is_first();
	if (malloc_is_of_others() && getenv("MEMPLUG_MMAP") == NULL)
		return;
	if (!first && children != NULL && strcmp(children, "none") == 0)
		return;
	if (!first && given != NULL)
		snprintf(name, sizeof(name), "%s.%d", given, (int)getpid());
	int err = mhp__setup(first || given == NULL ? given : name, first, &unserved, &text);
	if (first && err != 0)
		say(&text, "the pool did not start");
	else if (first && unserved.text[0] != 0)
		say(&unserved, "the pool cannot be served");
	if (strict && err != 0)
		_exit(1);
}
