/* SPDX-License-Identifier: MIT */
/*
 * supply.h - adding by hand: memory that is there and that the engine does not have.
 */
#ifndef BARE_SUPPLY_H
#define BARE_SUPPLY_H

#include <memplug/mhp.h>

/* Add these blocks, if somebody has brought memory for them. Says what happened. */
MHP_MUST_CHECK int supply_add(struct mhp_blocks blocks);
/* Add or remove blocks until the engine has size_bytes, whole blocks. Says why it stops early. */
MHP_MUST_CHECK int supply_resize(uint64_t size_bytes);
/* Blocks were removed by hand: what nobody uses any more goes back to who brought it. */
void supply_release(void);

#endif
