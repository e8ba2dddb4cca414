/* SPDX-License-Identifier: MIT */
/*
 * leave.h - blocks that leave: one call of the engine, repeated until it succeeds or may not.
 */
#ifndef MHP_CONTROL_LEAVE_H
#define MHP_CONTROL_LEAVE_H

#include "server.h"

enum mhp__leave_kind {
	MHP__LEAVE_REMOVE,             /* they go offline, and are gone */
	MHP__LEAVE_OFFLINE,
	MHP__LEAVE_EMPTY,              /* they stay online, only their pages leave */
};

struct mhp__leave {
	enum mhp__leave_kind kind;
	const struct mhp_blocks *runs; /* [nr], in any order */
	unsigned nr;
	uint64_t to_nodes;             /* as in mhp_offline_opts */
	bool dry_run;
	uint64_t deadline_ms;
	uint64_t as_of;                /* blocks that were added later are not meant */
	int client_fd;                 /* who asks, and so may cancel it */
};

/* Take the blocks out. On error *ret_why says why not, and the pool is as before. */
MHP_MUST_CHECK int mhp__leave(const struct mhp__leave *leave, struct mhp_why *ret_why);

/* Nothing runs. */
void mhp__leave_reset(void);

/* The deadline of a request; the engine's default if it has none. */
uint64_t mhp__deadline_ms(const struct mhp__fields *fields);

/* ---- refusal.c ---- */

#define MHP__REASON_BYTES 512U

/* The obstacle, in words that follow "block 3: " in a sentence. */
void mhp__reason_text(int code, const struct mhp_why *why, char *text, size_t size);
/* The members of an object that say why; no braces. */
void mhp__out_why(struct mhp__out *out, const struct mhp_why *why);
/* An error that says "cannot VERB: block N: " and why. */
void mhp__out_refusal(struct mhp__out *out, int code, const char *verb, const struct mhp_why *why);
const char *mhp__error_text(int code);

#endif
