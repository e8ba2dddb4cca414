/* SPDX-License-Identifier: MIT */
/*
 * teardown.h - what the order in which a block is taken down is for, shown on real page tables.
 */
#ifndef BARE_TEARDOWN_H
#define BARE_TEARDOWN_H

#include <memplug/mhp.h>

/*
 * Take the mappings of an offline block away section by section, looking at the descriptors of each
 * section before it goes, then put them all back. ret_nr_faults: how many of the looks faulted.
 * Return: 0, MHP_EINVAL (not an offline block of several sections with its descriptors in it).
 */
MHP_MUST_CHECK int teardown_try(uint32_t block, bool forward, unsigned *ret_nr_faults);

#endif
