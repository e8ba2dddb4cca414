/* SPDX-License-Identifier: MIT */
/*
 * sample.h - which parts of some windows were used between two moments.
 *
 * Nobody is held up and no data is touched: what the page tables know of a window is forgotten, and
 * a moment later they are asked what they have learnt. Told addresses, knows no pool. Needs no
 * privilege; reads /proc, so run it in the companion.
 */
#ifndef MHP_LINUX_SAMPLE_H
#define MHP_LINUX_SAMPLE_H

#include <memplug/linux.h>

/* A window of 2 MiB has 32 pieces of 64 KiB: bit n of a set of them is piece n. */
#define MHP__PIECES 32U
#define MHP__PIECE_BYTES (MHP__HUGE_BYTES / MHP__PIECES)
#define MHP__PIECE_PAGES (MHP__HUGE_PAGES / MHP__PIECES)

/* A window, and what was seen of it. */
struct mhp__look {
	uintptr_t start;               /* set by the caller, like the next three */
	uint32_t ordinary;             /* the pieces to look at that are ordinary memory */
	uint32_t shared;               /* those that are a shared mapping of a file or device */
	bool fine;                     /* tell ordinary pieces apart, too: costs a mapping each */
	uint64_t forgot_ns;            /* when; 0: it cannot be looked at */
	uint64_t over_ns;              /* from then until it was looked at */
	uint64_t over_shared_ns;       /* the same of what is shared */
	unsigned parts, used;          /* pages, pieces, or a large page; parts 0: nothing known */
	uint32_t known, seen;          /* pieces: of which it is known; which were used */
};

/*
 * Have the kernel forget what it knows of the uses of some windows, which are in the order of their
 * addresses, wait, and see what was used since. Windows that it does not let us look at, or that
 * are not what they were, have no parts. begin says whether window i still is what it was.
 */
struct mhp__sampler {
	void *ctx;
	bool (*begin)(void *ctx, unsigned i); /* true: it may be looked at; until end() it stays */
	void (*end)(void *ctx);
	void (*wait)(void *ctx);
};
void mhp__sample(struct mhp__look *look, unsigned nr, const struct mhp__sampler *sampler);
/* Is the window, all of it, mapped by one entry? */
bool mhp__sample_is_huge(uintptr_t start);

/* The next run of pieces of a set at or after *piece; its length, or 0: there is none. */
static inline unsigned
mhp__pieces_next(uint32_t set, unsigned *piece)
{
	unsigned nr = 0;
	while (*piece < MHP__PIECES && (set >> *piece & 1) == 0)
		++*piece;
	while (*piece + nr < MHP__PIECES && (set >> (*piece + nr) & 1) != 0)
		nr++;
	return nr;
}

#endif
