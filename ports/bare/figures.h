/* SPDX-License-Identifier: MIT */
/*
 * figures.h - what the engine's operations cost on this machine.
 */
#ifndef BARE_FIGURES_H
#define BARE_FIGURES_H

#include <memplug/types.h>

/*
 * Take a plugged block through remove, add, online, offline empty and offline full of 4 KiB pages,
 * and print the cycles of each; under QEMU's instruction counting those are instructions. The block
 * is offline or online; another one must be online with room for all of it. All pages of the paging
 * client are freed. MHP_EINVAL, or the error of the step that failed.
 */
MHP_MUST_CHECK int figures_print(uint32_t block);

#endif
