/* SPDX-License-Identifier: MIT */
/*
 * bad.h - pages with memory errors.
 *
 * The instance remembers them by physical address, so that they survive offline, remove and the
 * next add, whether the frame was free, used or in a reserve. Coming online skips them: a bad frame
 * is allocated to MHP_OWNER_BAD for ever.
 *
 * Context, unless a function says otherwise: takes the hotplug lock and may sleep;
 * MHP_EDEADLK from a listener, an owner's function or a trace function.
 */
#ifndef MEMPLUG_BAD_H
#define MEMPLUG_BAD_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

/**
 * Note that the frame at @pfn is bad, and take it out of use.
 *
 * A free frame is taken at once. A page in use that can move is moved away first; one that cannot
 * move is remembered, and skipped when its block next comes online. A frame of a reserve is
 * remembered too: the next add of that block does not put metadata there.
 *
 * A call for a frame that was remembered but stayed in use tries again.
 *
 * Context: takes the hotplug lock; the move has the default deadline (work.h). Return: 0 (out of
 * use now, or its block is not online), MHP_EBUSY (remembered, still in use), MHP_ECANCELED or
 * MHP_EINTR (the same, because it was stopped), MHP_EHWPOISON (known already, and out of use),
 * MHP_ENXIO (out of range), MHP_ENOSPC (the table is full; nothing has changed), MHP_EDEADLK.
 */
int mhp_bad_add(struct mhp *m, uint64_t pfn);

/**
 * Forget a bad frame, as when its DIMM was changed. It is used again after the next online.
 *
 * Return: 0, MHP_ENOENT (not known to be bad), MHP_ENXIO (out of range), MHP_EDEADLK.
 */
int mhp_bad_remove(struct mhp *m, uint64_t pfn);

/**
 * Is @pfn known to be bad?
 *
 * Context: any thread, a listener, an owner's function; does not wait for changes that take long.
 */
bool mhp_bad_test(struct mhp *m, uint64_t pfn);

/** How many bad frames are remembered in [start_pfn, end_pfn). Context: as mhp_bad_test(). */
uint32_t mhp_bad_count(struct mhp *m, uint64_t start_pfn, uint64_t end_pfn);

#ifdef __cplusplus
}
#endif
#endif
