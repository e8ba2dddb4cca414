/* SPDX-License-Identifier: MIT */
/*
 * huge.c - is the memory of a region to be in huge pages? What is said of it, and the words.
 *
 * The kernel keeps it as a mark of each mapping, which it shows to view.c as well. Our own mark is
 * noted in the region, so that it is not taken for the program's, and memory that takes the place
 * of other memory (from a device, in a forked child) is marked alike (region.c). No call takes such
 * a mark away, so that nobody can go back to what the kernel does by itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "huge.h"
#include "pool.h"
#include "region.h"

static const char *const huge_words[MHP_HUGE_MODES] = { "auto", "on", "off" };

static int
taken_back(struct mhp_text *reterr)
{
	return mhp__say(reterr, MHP_EOPNOTSUPP, "the kernel does not take back what it was told of "
						"huge pages: they are on or off from now on");
}

int
mhp__huge_set(struct mhp_region *region, enum mhp_huge how, uint64_t page, struct mhp_text *reterr)
{
	enum mhp_huge before = region->huge;
	if (before != MHP_HUGE_AUTO && (how == MHP_HUGE_AUTO || page > region->huge_page))
		return taken_back(reterr);
	if (how == MHP_HUGE_AUTO)
		return 0;
	if (region->over)
		return mhp__say(reterr, MHP_EOPNOTSUPP, "others map this region");
	region->huge = how;
	region->huge_page = page;
	int error = mhp__region_advise(region);
	if (error == 0)
		return 0;
	if (error != EINVAL)
		return mhp__say(reterr, MHP_ENOSPC, "the kernel has no mapping left: %s",
				strerrordesc_np(error));
	region->huge = before;
	return mhp__say(reterr, MHP_EOPNOTSUPP,
			"this kernel has no huge pages for ordinary memory");
}

int
mhp_region_set_huge(struct mhp_region *region, enum mhp_huge how, void *from,
		    struct mhp_text *reterr)
{
	uint64_t offset = from == NULL ? 0 : (uintptr_t)from - region->base;
	if ((unsigned)how >= MHP_HUGE_MODES || offset % MHP__HUGE_BYTES != 0 ||
	    offset >> MHP__PAGE_SHIFT >= region->nr_pages)
		return mhp__say(reterr, MHP_EINVAL, "huge pages are auto, on or off, for windows "
						    "of 2 MiB of a region");
	mhp__pool_lock(region->pool);
	int err = mhp__huge_set(region, how, offset >> MHP__PAGE_SHIFT, reterr);
	pthread_mutex_unlock(&region->pool->mutex);
	return err;
}

/* Region mutex held. */
static int
set_all(struct mhp_pool *pool, enum mhp_huge how, struct mhp_text *reterr)
{
	int err = 0;
	if (how == MHP_HUGE_AUTO)
		return pool->huge == MHP_HUGE_AUTO ? 0 : taken_back(reterr);
	for (unsigned i = 0; i < MHP__REGIONS_MAX && err == 0; i++)
		if (pool->region[i].live && !pool->region[i].over)
			err = mhp__huge_set(&pool->region[i], how, 0, reterr);
	if (err == 0)
		pool->huge = how;
	return err;
}

int
mhp_pool_set_huge(struct mhp_pool *pool, enum mhp_huge how, struct mhp_text *reterr)
{
	if ((unsigned)how >= MHP_HUGE_MODES)
		return mhp__say(reterr, MHP_EINVAL, "huge pages are auto, on or off");
	mhp__pool_lock(pool);
	int err = set_all(pool, how, reterr);
	pthread_mutex_unlock(&pool->mutex);
	return err;
}

enum mhp_huge
mhp_pool_get_huge(struct mhp_pool *pool)
{
	mhp__pool_lock(pool);
	enum mhp_huge how = pool->huge;
	pthread_mutex_unlock(&pool->mutex);
	return how;
}

/* ---- words ---- */

int
mhp_huge_parse(const char *words, enum mhp_huge *ret_how, struct mhp_text *reterr)
{
	size_t length = strcspn(words, "\n");
	for (unsigned how = 0; how < MHP_HUGE_MODES; how++)
		if (strlen(huge_words[how]) == length &&
		    strncmp(words, huge_words[how], length) == 0) {
			*ret_how = (enum mhp_huge)how;
			return 0;
		}
	return mhp__say(reterr, MHP_EINVAL, "huge pages are auto, on or off, not '%.60s'", words);
}

const char *
mhp_huge_word(enum mhp_huge how)
{
	return huge_words[(unsigned)how % MHP_HUGE_MODES];
}
