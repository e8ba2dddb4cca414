/* SPDX-License-Identifier: MIT */
/*
 * bad.h - frames of devices that the kernel knows to be bad are taken out of use.
 */
#ifndef MHP_LINUX_BAD_H
#define MHP_LINUX_BAD_H

#include "pool.h"

/* Those of blocks [first, first + count), which have their slots. How many are new; MHP_ENOSPC. */
MHP_MUST_CHECK int mhp__bad_take(struct mhp_pool *pool, uint32_t first, uint32_t count,
				 uint64_t *ret_new, struct mhp_text *reterr);

#endif
