/* SPDX-License-Identifier: MIT */
/*
 * maps.h - the books of what the program maps itself, as far as it is in the pool (--mmap).
 *
 * Safe from signal handlers and in forked children, as mmap() is. A handler may map, too, or jump
 * out of the call: so what takes the lock is called between mhp__maps_enter() and
 * mhp__maps_leave() only.
 */
#ifndef MHP_HEAP_MAPS_H
#define MHP_HEAP_MAPS_H

#include <signal.h>

#include <memplug/linux.h>

#include "gaps.h"

/* Fork handlers: between those of malloc, which come first, and those of the pool. */
void mhp__maps_fork_init(void);
/* From now on, mappings of least bytes and more are in the pool. */
MHP_MUST_CHECK int mhp__maps_start(struct mhp_pool *pool, uint64_t least, struct mhp_text *reterr);
/* Signals wait from here on, and are as before again. */
void mhp__maps_enter(sigset_t *ret_before);
void mhp__maps_leave(const sigset_t *before);
/* A mapping with these arguments is of the kind that belongs in the pool, or would if it grew. */
bool mhp__maps_kind(int protection, int flags, int fd);
bool mhp__maps_large(uintptr_t size);
/* May any of the range be in the books? Takes no lock. */
bool mhp__maps_any(uintptr_t start, uintptr_t size);
/* Is any page of it charged? Takes no lock. */
bool mhp__maps_charged(uintptr_t start, uintptr_t size);
/* Is all of the range in the books? */
bool mhp__maps_all(uintptr_t start, uintptr_t size);
/* Put a range into the books, without a charge for what is not in them yet. */
void mhp__maps_add(uintptr_t start, uintptr_t size);
/* Charge the pool for what of the range is in the books. MHP_ENOMEM: full, nothing changed. */
MHP_MUST_CHECK int mhp__maps_charge(uintptr_t start, uintptr_t size);
/* Give back what was charged for the range, whose memory is gone; keep: it stays in the books. */
void mhp__maps_drop(uintptr_t start, uintptr_t size, bool keep);

/*
 * Before a call that changes mappings: what of the range is in the books is ordinary memory until
 * mhp__maps_release(), wherever it was. Its data is lost if that is not wanted. False and errno
 * (ENOMEM): it cannot come back, nothing is held. Without a device this waits for nothing. Takes no
 * lock of the books.
 */
bool mhp__maps_hold(uintptr_t start, uintptr_t size, bool wanted);
void mhp__maps_release(void);

/* The entry of the books for a range, kept while the kernel is asked. */
struct mhp__charge {
	uintptr_t start, size;
	struct mhp__gaps booked, pieces; /* what is in the books, and what of that is charged */
};

/* Remember what the books say of the range; mhp__maps_forget() must follow. */
void mhp__maps_note(struct mhp__charge *charge);
/* The kernel has refused: let the books say again of the range what was noted. */
void mhp__maps_restore(const struct mhp__charge *noted);
void mhp__maps_forget(struct mhp__charge *charge);

/* May a range grow by more bytes at its end, as far as that is charged and malloc is bounded? */
bool mhp__maps_may_grow(uintptr_t start, uintptr_t size, uintptr_t more);
/* Note a range, take it out of the books and give back its charge. */
void mhp__maps_lift(struct mhp__charge *charge);
/* Put the range into the books at start, with size bytes, and charge what was charged of it, which
 * no bound refuses, and its growth. False: the pool is full; it is not in the books then. */
bool mhp__maps_lay(const struct mhp__charge *lifted, uintptr_t start, uintptr_t size);

#endif
