/* SPDX-License-Identifier: MIT */
/*
 * empty.c - blocks whose pages move elsewhere, and which stay.
 *
 * Like an offline that ends before its commit: the blocks are isolated while their pages move, so
 * that what has left stays away, and open again afterwards. Their state does not change, so no
 * listener is asked. The marks are those of leaving.c.
 */
#include "blocks/block.h"
#include "state/hotplug.h"
#include "state/trace.h"

static int
empty_locked(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	     const struct mhp_offline_opts *opts, struct mhp_why *why)
{
	int err = nr_sets == 0 ? MHP_EINVAL : 0;

	mhp__work_begin(m, opts->dry_run ? MHP_WORK_DRY_RUN : MHP_WORK_MOVE, opts->deadline_ms);
	for (unsigned i = 0; i < nr_sets && err == 0; i++)
		err = mhp__leaving_add(m, sets[i], false, opts->as_of, why);
	if (err == 0)
		err = opts->dry_run ? mhp__leaving_foresee(m, opts->to_nodes, why)
				    : mhp__leaving_empty(m, opts, why);
	mhp__leaving_clear(m);
	mhp__work_end(m);
	return err;
}

int
mhp_empty(struct mhp *m, const struct mhp_blocks *sets, unsigned nr_sets,
	  const struct mhp_offline_opts *opts, struct mhp_why *reterr_why)
{
	static const struct mhp_offline_opts none;
	struct mhp_why why;
	int err = mhp__hotplug_lock(m);

	mhp__why_clear(&why);
	if (err == 0) {
		err = empty_locked(m, sets, nr_sets, opts != NULL ? opts : &none, &why);
		mhp__hotplug_unlock(m);
	}
	if (err != 0 && reterr_why != NULL)
		*reterr_why = why;
	return err;
}
