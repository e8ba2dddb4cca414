/* SPDX-License-Identifier: MIT */
/*
 * room.h - is there ordinary memory for what comes from a device, or is copied?
 */
#ifndef MHP_LINUX_ROOM_H
#define MHP_LINUX_ROOM_H

#include "text.h"

/*
 * Can a process get `bytes` more of ordinary memory, `more_bytes` of them at addresses that it does
 * not use yet, without meeting a limit or the OOM killer? Limits that cannot be read do not count.
 * Run it in the companion: it reads /proc and /sys.
 * Return: 0, or MHP_ENOMEM and a sentence that names the limit, what is left, and what is needed.
 */
MHP_MUST_CHECK int mhp__room_check(int pid, uint64_t bytes, uint64_t more_bytes,
				   struct mhp_text *reterr);

/* A look that found more than was asked for, and until when that holds. All-zero: none. */
struct mhp__room_look {
	uint64_t until_ns, left;
	bool shared;                   /* const: memory of a file, which is no data (RLIMIT_DATA) */
};

/* The same for callers that ask for a little again and again: while there is much, one look does
 * for many calls. */
MHP_MUST_CHECK int mhp__room_check_some(struct mhp__room_look *look, int pid, uint64_t bytes,
					uint64_t now_ns, struct mhp_text *reterr);

#endif
