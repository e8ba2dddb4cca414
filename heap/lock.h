/* SPDX-License-Identifier: MIT */
/*
 * lock.h - what mlockall() locks, and what it leaves alone.
 */
#ifndef MHP_HEAP_LOCK_H
#define MHP_HEAP_LOCK_H

#include <stdbool.h>
#include <stddef.h>

/* From now on, what our library maps large is the pool's own; or not any more. */
void mhp__lock_note(bool on);
/* Our library has mapped something, or unmaps it. */
void mhp__lock_mapped(const void *start, size_t size);
void mhp__lock_unmapped(const void *start, size_t size);

/* May the program have locked memory? Not by a system call of its own. */
bool mhp__lock_ever(void);

#endif
