/* SPDX-License-Identifier: MIT */
/*
 * online.h - bring one run of blocks online to a zone, as most tests do.
 *
 * Everything else that mhp_online() can (several runs, deadlines) is called by its own name.
 */
#ifndef MEMPLUG_TEST_ONLINE_H
#define MEMPLUG_TEST_ONLINE_H

#include <memplug/block.h>

MHP_MUST_CHECK static inline int
test_online(struct mhp *m, struct mhp_blocks blocks, unsigned zone, struct mhp_why *reterr_why)
{
	struct mhp_online_opts opts = { .zone = (uint8_t)zone };

	return mhp_online(m, &blocks, 1, &opts, reterr_why);
}

#endif
