/* SPDX-License-Identifier: MIT */
/*
 * seal.h - checksums of what has no other witness (INV 1, 4, 20). Hotplug lock held.
 *
 * A writer seals what it wrote before it gives the lock back.
 */
#ifndef MHP_CORE_SEAL_H
#define MHP_CORE_SEAL_H

#include "base/sum.h"
#include "state/instance.h"

/* The checksum of all const fields of the instance, and of the zone lists; init stores it in
 * const_check. */
uint32_t mhp__const_checksum(const struct mhp *m);

/* The checksum of what only calls change: owners, listeners, policy, switch, bad frames. */
uint32_t mhp__tables_checksum(const struct mhp *m);
static inline void
mhp__tables_seal(struct mhp *m)
{
	m->tables_check = mhp__tables_checksum(m);
}

/* The checksum of the number of the last add. */
uint32_t mhp__generation_checksum(const struct mhp *m);

/* The checksum of the slot of a block. */
uint32_t mhp__block_checksum(const struct mhp__block *slot);
static inline void
mhp__block_seal(struct mhp__block *slot)
{
	slot->check = mhp__block_checksum(slot);
}

/* The part of it that changes between add and remove. */
static inline uint32_t
mhp__block_state_sum(const struct mhp__block *slot)
{
	return mhp__sum_word(0, (uint32_t)slot->state << 8 | slot->zone);
}

/* Change that part alone. A bit that has flipped elsewhere in the slot still shows, which a new sum
 * of everything would hide. */
static inline void
mhp__block_seal_state(struct mhp__block *slot, enum mhp_block_state state, unsigned zone)
{
	slot->check ^= mhp__block_state_sum(slot);
	slot->state = (uint8_t)state;
	slot->zone = (uint8_t)zone;
	slot->check ^= mhp__block_state_sum(slot);
}

#endif
