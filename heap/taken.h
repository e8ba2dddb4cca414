/* SPDX-License-Identifier: MIT */
/*
 * taken.h - how much of the pool's memory the program has in its hands, and how much it may have.
 */
#ifndef MHP_HEAP_TAKEN_H
#define MHP_HEAP_TAKEN_H

#include <stdbool.h>
#include <stdint.h>

/* Call it before memory is handed out. False: the program would have more than it may. */
bool mhp__taken_more(uint64_t bytes);
/* Memory that was given back for a moment is in the program's hands again. */
void mhp__taken_again(uint64_t bytes);
/* Call it when memory was given back and is not resident any more. */
void mhp__taken_less(uint64_t bytes);
uint64_t mhp__taken_bytes(void);

/* How much the program may have: up to large_bytes in pieces of any size, up to bytes in small
 * ones. UINT64_MAX: no bound. */
void mhp__taken_bound(uint64_t bytes, uint64_t large_bytes);
/* Was anything refused since the last call? */
bool mhp__taken_was_refused(void);

#endif
