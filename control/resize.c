/* SPDX-License-Identifier: MIT */
/*
 * resize.c - make the pool as large as asked, all or nothing, by one call of the engine.
 *
 * The size counts whole blocks, rounded up, online or not, their own metadata included. To shrink,
 * it chooses the blocks that cost the least to take out: offline ones, then empty ones, then those
 * with the least in them, the highest first among equals. A block that holds something must pass a
 * dry run of its own; blocks that do not are skipped. The engine then says, before it moves
 * anything, whether there is room for all of them together; a block that is in the way is left out,
 * and the choice is made again. A rehearsal makes the same choice and prints it.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>

#include "leave.h"

/* The cost of a block: 0 not there, or not to be had; OFFLINE, EMPTY, then by sixteenths in use. */
enum {
	RANK_NONE = 0,
	RANK_OFFLINE = 1,
	RANK_EMPTY = 2,
	RANK_USED = 3,
	RANK_LAST = RANK_USED + 16,
};

#define CHOICES_MAX 16U                /* how often a choice is made again */

/* Scratch of one request: from mmap, because there is no malloc here. */
struct choice {
	uint32_t nr_blocks;            /* of the address range */
	uint32_t nr_want;              /* blocks to take out */
	uint32_t nr_taken;
	uint32_t nr_refused;           /* could not leave; `why` is about the first */
	int err;
	struct mhp_why why;
	unsigned nr_runs;
	struct mhp_blocks *runs;       /* [nr_want], from the highest to the lowest */
	uint8_t *rank;                 /* [nr_blocks] */
	size_t bytes;
};

static uint8_t
rank_of(struct mhp_blocks run, enum mhp_block_state state)
{
	uint64_t used_bytes, free_bytes;
	if (state == MHP_OFFLINE)
		return RANK_OFFLINE;
	if (state != MHP_ONLINE || mhp_range_usage(mhp__control.m, run, &used_bytes, &free_bytes))
		return RANK_NONE;
	if (used_bytes == 0)
		return RANK_EMPTY;
	return (uint8_t)(RANK_USED + used_bytes * 16 / (used_bytes + free_bytes));
}

/* Rank a run of like blocks: at once where they are all empty, else one by one. */
static void
rank_run(struct choice *choice, struct mhp_blocks run)
{
	struct mhp_block_info info;
	if (mhp_block_get(mhp__control.m, run.first, &info) != 0)
		return;
	uint8_t all = rank_of(run, info.state);
	for (uint32_t i = 0; i < run.count; i++) {
		struct mhp_blocks one = { run.first + i, 1 };
		choice->rank[one.first] = all < RANK_USED ? all : rank_of(one, info.state);
	}
}

static bool
open_choice(struct choice *choice, uint32_t nr_want)
{
	struct mhp_blocks run;
	uint32_t nr_blocks = mhp_get_geometry(mhp__control.m)->nr_blocks;
	*choice = (struct choice){ .nr_blocks = nr_blocks, .nr_want = nr_want };
	choice->bytes = nr_want * sizeof(choice->runs[0]) + nr_blocks;
	void *scratch = mmap(NULL, choice->bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (scratch == MAP_FAILED)
		return false;
	choice->runs = scratch;
	choice->rank = (uint8_t *)(choice->runs + nr_want);
	for (uint32_t block = 0; mhp_range_get(mhp__control.m, block, &run) == 0;
	     block = run.first + run.count)
		rank_run(choice, run);
	return true;
}

/* Could it leave if there were room? If not, remember the first of those. */
static bool
may_leave(struct choice *choice, uint32_t block)
{
	struct mhp_offline_opts dry = { .dry_run = true };
	struct mhp_blocks one = { block, 1 };
	struct mhp_why why = { .pfn = MHP_PFN_NONE };
	if (choice->rank[block] < RANK_USED)
		return true;
	int err = mhp_offline(mhp__control.m, &one, 1, &dry, &why);
	if (err == 0 || why.cause == MHP_CAUSE_ROOM)
		return true;
	if (choice->nr_refused++ == 0) {
		choice->why = why;
		choice->err = err;
	}
	return false;
}

static void
take(struct choice *choice, uint32_t block)
{
	struct mhp_blocks *last = &choice->runs[choice->nr_runs - 1];
	choice->nr_taken++;
	if (choice->nr_runs != 0 && last->first == block + 1)
		*last = (struct mhp_blocks){ block, last->count + 1 };
	else
		choice->runs[choice->nr_runs++] = (struct mhp_blocks){ block, 1 };
}

static void
choose(struct choice *choice)
{
	choice->nr_taken = choice->nr_runs = choice->nr_refused = 0;
	choice->err = 0;
	for (unsigned rank = RANK_OFFLINE; rank <= RANK_LAST; rank++)
		for (uint32_t block = choice->nr_blocks;
		     block-- > 0 && choice->nr_taken < choice->nr_want;)
			if (choice->rank[block] == rank && may_leave(choice, block))
				take(choice, block);
}

/* Too few blocks can leave: how many, and what keeps the first of the others. */
static void
out_too_few(struct mhp__out *out, const struct choice *choice)
{
	char verb[96];
	snprintf(verb, sizeof(verb), "resize, only %u of the %u blocks can leave", choice->nr_taken,
		 choice->nr_want);
	mhp__out_refusal(out, choice->err != 0 ? choice->err : MHP_EBUSY, verb,
			 &choice->why);
}

/* The size that the pool has then, in blocks, and of a rehearsal what would come or go. */
static void
out_size(struct mhp__out *out, uint32_t blocks, uint32_t nr_add, const struct choice *choice)
{
	mhp__out(out, "{\"blocks\":%u,\"add\":%u,\"remove\":[", blocks, nr_add);
	for (unsigned i = choice != NULL ? choice->nr_runs : 0; i-- > 0;)
		mhp__out(out, "{\"first\":%u,\"count\":%u}%s",
			 choice->runs[i].first, choice->runs[i].count, i != 0 ? "," : "");
	mhp__out(out, "]}\n");
}

/* Is another choice worth trying? Then without the block that was in the way. */
static bool
pass_over(struct choice *choice, int err, const struct mhp_why *why)
{
	bool bounded = err == MHP_EAGAIN || err == MHP_ETXTBSY || err == MHP_ECANCELED ||
		       err == MHP_EINTR;
	if (bounded || why->cause == MHP_CAUSE_NONE || why->block >= choice->nr_blocks ||
	    choice->rank[why->block] == RANK_NONE)
		return false;
	choice->rank[why->block] = RANK_NONE;
	return true;
}

/* Choose and take out, or rehearse it. Returns why the first choice could not leave. */
static int
leave_some(struct choice *choice, struct mhp__leave *leave, struct mhp_why *ret_why)
{
	struct mhp_why why;
	int err = MHP_EBUSY, first_err = 0;
	for (unsigned i = 0; i < CHOICES_MAX && err != 0; i++) {
		choose(choice);
		if (choice->nr_taken < choice->nr_want)
			break;
		leave->runs = choice->runs;
		leave->nr = choice->nr_runs;
		err = mhp__leave(leave, &why);
		if (err != 0 && first_err == 0) {
			*ret_why = why;
			first_err = err;
		}
		if (err != 0 && !pass_over(choice, err, &why))
			break;
	}
	return err == 0 ? 0 : first_err;
}

static void
shrink(struct mhp__out *out, uint32_t blocks, uint32_t nr, const struct mhp__fields *fields)
{
	struct mhp_why why;
	struct choice choice;
	if (!open_choice(&choice, nr)) {
		mhp__out_error(out, MHP_ENOMEM, "cannot resize: the process has no memory left");
		return;
	}
	struct mhp__leave leave = {
		.kind = MHP__LEAVE_REMOVE, .dry_run = mhp__flag(fields, MHP__F_DRY_RUN),
		.deadline_ms = mhp__deadline_ms(fields), .client_fd = out->fd,
	};
	int err = leave_some(&choice, &leave, &why);
	if (err != 0)
		mhp__out_refusal(out, err, "resize", &why);
	else if (choice.nr_taken < nr)
		out_too_few(out, &choice);
	else
		out_size(out, blocks, 0, &choice);
	munmap(choice.runs, choice.bytes);
}

static void
grow(struct mhp__out *out, uint32_t blocks, uint32_t nr, bool dry_run)
{
	struct mhp_text text = { "" };
	struct mhp_add_opts opts = {
		.flags = MHP_MEMMAP_ON_MEMORY | MHP_ADD_ONLINE, .zone = MHP_ZONE_MOVABLE,
	};
	int err = 0;
	if (!dry_run)
		err = mhp_pool_add(mhp__control.pool, &mhp__control.opts.backing,
				   nr * mhp__block_bytes(), &opts, NULL, &text);
	if (err != 0)
		mhp__out_error(out, err, "cannot resize: %s",
			       text.text[0] != 0 ? text.text : mhp__error_text(err));
	else
		out_size(out, blocks, nr, NULL);
}

void
mhp__request_resize(struct mhp__out *out, const struct mhp__fields *fields)
{
	uint64_t bytes = mhp__block_bytes(), size;
	uint32_t nr_blocks = mhp_get_geometry(mhp__control.m)->nr_blocks, want;
	bool dry_run = mhp__flag(fields, MHP__F_DRY_RUN);
	struct mhp_stats stats;
	char most[MHP__SIZE_TEXT];

	if (!mhp__size_field(fields, true, out, &size))
		return;
	want = (uint32_t)(size / bytes < UINT32_MAX ? size / bytes : UINT32_MAX);
	mhp__size_text(nr_blocks * bytes, most);
	mhp_get_stats(mhp__control.m, &stats);
	if (want > nr_blocks)
		mhp__out_error(out, MHP_ENXIO, "cannot resize: the pool's address range ends at %s",
			       most);
	else if (want > stats.blocks_present)
		grow(out, want, want - stats.blocks_present, dry_run);
	else if (want < stats.blocks_present)
		shrink(out, want, stats.blocks_present - want, fields);
	else
		out_size(out, want, 0, NULL);
}
