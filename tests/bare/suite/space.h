/* SPDX-License-Identifier: MIT */
/*
 * space.h - the test program's address space: page faults, and what a child does to it.
 *
 * The functions of <sys/mman.h> and of memory files are here, too, under their own names.
 */
#ifndef SUITE_SPACE_H
#define SUITE_SPACE_H

#include <stdbool.h>
#include <stdint.h>

/* Is there to be memory at this address? Then there is now. For the page-fault handler. */
bool space_fault(uint64_t address, uint64_t error);
/* Pages of memory that are in use. */
uint64_t space_nr_resident(void);

/* Remember all private memory and what is mapped where. */
void space_fork(void);
/* Back to that; memory files stay as they are, as they would after a real fork. */
void space_join(void);

#endif
