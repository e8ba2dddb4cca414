/* SPDX-License-Identifier: MIT */
/*
 * refusal.c - from what the engine says was in the way to one sentence for a person.
 *
 * The sentence names the block, what keeps it, and where there is something to be done about it,
 * what that is. The numbers behind it go along for programs.
 */
#define _GNU_SOURCE
#include <stdio.h>

#include "leave.h"

const char *
mhp__error_text(int code)
{
	switch (code) {
	case MHP_EPERM: return "the policy forbids it";
	case MHP_ENOENT: return "there is no such block";
	case MHP_EINTR: return "it gave way to something more urgent; the pool is as before";
	case MHP_ENXIO: return "that is beyond the pool's address range";
	case MHP_EAGAIN: return "it took too long; the pool is as before";
	case MHP_ENOMEM: return "there is not enough room in the other blocks";
	case MHP_EBUSY: return "a block is in use, or not in the state that this needs";
	case MHP_EEXIST: return "that memory is there already";
	case MHP_EINVAL: return "a block is named twice, or none is named";
	case MHP_ECANCELED: return "it was cancelled; the pool is as before";
	default: return "the engine refused";
	}
}

/* Is it about a block? A deadline may pass before the first one was looked at. */
static bool
names_block(const struct mhp_why *why)
{
	return why->cause != MHP_CAUSE_NONE && why->cause != MHP_CAUSE_CANCELED &&
	       why->cause != MHP_CAUSE_INTERRUPTED &&
	       (why->cause != MHP_CAUSE_DEADLINE || why->pfn != MHP_PFN_NONE);
}

/* A block is not in the state that the call needs: say in which it is. */
static void
state_text(int code, uint32_t block, char *text, size_t size)
{
	struct mhp_block_info info;
	if (code == MHP_EINVAL)
		snprintf(text, size, "it is named twice");
	else if (code == MHP_ENODEV)
		snprintf(text, size, "it is gone, and another block has taken its place");
	else if (mhp_block_get(mhp__control.m, block, &info) != 0 || info.state == MHP_ABSENT)
		snprintf(text, size, "it is not there");
	else
		snprintf(text, size, "it is %s", mhp__state_name(info.state));
}

static void
room_text(const struct mhp_why *why, char *text, size_t size)
{
	const struct mhp_geometry *geo = mhp_get_geometry(mhp__control.m);
	char room[MHP__SIZE_TEXT], piece[MHP__SIZE_TEXT];
	mhp__size_text(why->room_missing << geo->page_shift, room);
	mhp__size_text(UINT64_C(1) << (why->order + geo->page_shift), piece);
	snprintf(text, size, "there is not enough room in the other blocks for the data: "
		 "they lack at least %s in pieces of %s; add memory first", room, piece);
}

void
mhp__reason_text(int code, const struct mhp_why *why, char *text, size_t size)
{
	if (!names_block(why))
		snprintf(text, size, "%s", mhp__error_text(code));
	else if (why->cause == MHP_CAUSE_STATE)
		state_text(code, why->block, text, size);
	else if (why->cause == MHP_CAUSE_ROOM)
		room_text(why, text, size);
	else
		snprintf(text, size, "%s%s%s", mhp_cause_text(why->cause),
			 why->text[0] != 0 ? ": " : "", why->text);
}

void
mhp__out_why(struct mhp__out *out, const struct mhp_why *why)
{
	mhp__out(out, "\"block\":%u,\"pfn\":%lld,\"order\":%u,\"nr_movable\":%llu,"
		 "\"nr_unmovable\":%llu,\"nr_bad\":%llu,\"room_missing\":%llu", why->block,
		 why->pfn == MHP_PFN_NONE ? -1LL : (long long)why->pfn, why->order,
		 (unsigned long long)why->nr_movable, (unsigned long long)why->nr_unmovable,
		 (unsigned long long)why->nr_bad, (unsigned long long)why->room_missing);
	mhp__out_string(out, ",", "cause", mhp_cause_text(why->cause));
	mhp__out_string(out, ",", "what", why->text);
	mhp__out(out, ",\"owners\":[");
	for (unsigned i = 0; i < why->nr_owners && i < MHP_WHY_OWNERS; i++) {
		mhp__out_string(out, i == 0 ? "{" : ",{", "owner",
				mhp_owner_name(mhp__control.m, why->owners[i].owner));
		mhp__out(out, ",\"nr_pages\":%llu,\"first_pfn\":%llu}",
			 (unsigned long long)why->owners[i].nr_pages,
			 (unsigned long long)why->owners[i].first_pfn);
	}
	mhp__out(out, "]");
}

void
mhp__out_refusal(struct mhp__out *out, int code, const char *verb, const struct mhp_why *why)
{
	char reason[MHP__REASON_BYTES], text[MHP__REASON_BYTES + 64];
	mhp__reason_text(code, why, reason, sizeof(reason));
	if (!names_block(why))
		snprintf(text, sizeof(text), "cannot %s: %s", verb, reason);
	else
		snprintf(text, sizeof(text), "cannot %s: block %u: %s", verb, why->block, reason);
	mhp__out(out, "{\"error\":%d,", code);
	mhp__out_string(out, "", "text", text);
	mhp__out(out, ",");
	mhp__out_why(out, why);
	mhp__out(out, "}\n");
}
