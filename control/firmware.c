/* SPDX-License-Identifier: MIT */
/*
 * firmware.c - the blocks that a pool could have, as firmware offers them: config adds and removes
 * one, memmap_on_memory says whether it will hold its own descriptors.
 *
 * Words and errors are those of /sys/firmware/memory of Linux 7.3 (drivers/s390/char/sclp_mem.c).
 * The state that was asked of a block is a bit that outlives the block; the bits take memory from
 * the first one on that is set. Memory that config adds is ordinary memory, whatever the pool's
 * backing.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "attr.h"
#include "leave.h"

#define WORD_BITS (sizeof(unsigned long) * CHAR_BIT)

/* A bit for each block that shall not hold its own descriptors; NULL: there is none. */
static _Atomic(_Atomic unsigned long *) elsewhere;

static bool
is_elsewhere(uint32_t block)
{
	_Atomic unsigned long *words = atomic_load(&elsewhere);
	return words != NULL && (atomic_load(&words[block / WORD_BITS]) >> block % WORD_BITS & 1);
}

/* The bits, made where they are missing; NULL: no memory. */
static _Atomic unsigned long *
take_words(void)
{
	size_t size = (mhp_get_geometry(mhp__control.m)->nr_blocks / WORD_BITS + 1) *
		      sizeof(unsigned long);
	_Atomic unsigned long *there = atomic_load(&elsewhere);
	if (there != NULL)
		return there;
	void *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fresh == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(&elsewhere, &there, fresh))
		return fresh;
	munmap(fresh, size);
	return there;
}

static int
set_elsewhere(uint32_t block, bool on)
{
	unsigned long bit = 1UL << block % WORD_BITS;
	_Atomic unsigned long *words = on ? take_words() : atomic_load(&elsewhere);
	if (words == NULL)
		return on ? MHP_ENOMEM : 0;
	if (on)
		atomic_fetch_or(&words[block / WORD_BITS], bit);
	else
		atomic_fetch_and(&words[block / WORD_BITS], ~bit);
	return 0;
}

/* The end of the last block that is there. */
static uint32_t
end_of_blocks(void)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	uint32_t end = 0, cursor = 0;
	while (mhp__next_run(&cursor, &run, &info))
		end = cursor;
	return end;
}

/* As far as the pool may grow by itself; where it does not, as far as its addresses go. */
uint32_t
mhp__firmware_blocks(void)
{
	uint32_t all = mhp_get_geometry(mhp__control.m)->nr_blocks;
	uint64_t max = mhp__control.opts.get_max != NULL ? mhp__control.opts.get_max() : 0;
	uint64_t wanted = max / mhp__block_bytes();
	uint32_t end = end_of_blocks();
	if (max == 0 || wanted >= all)
		return all;
	return end > wanted ? end : (uint32_t)wanted;
}

int
mhp__show_firmware_blocks(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	snprintf(text, size, "%u", mhp__firmware_blocks());
	return 0;
}

/* ---- config ---- */

static int
show_config(const struct mhp__subject *subject, char *text, size_t size)
{
	snprintf(text, size, "%d", subject->info.state != MHP_ABSENT);
	return 0;
}

static int
configure(uint32_t block, struct mhp_text *reterr)
{
	struct mhp_add_opts opts = { .flags = is_elsewhere(block) ? 0 : MHP_MEMMAP_ON_MEMORY };
	int err = mhp_add(mhp__control.m, (struct mhp_blocks){ block, 1 }, &opts, NULL);
	if (err == MHP_EEXIST)
		return 0; /* somebody was faster */
	if (err != 0)
		snprintf(reterr->text, sizeof(reterr->text), "cannot add block %u: %s", block,
			 mhp__error_text(err));
	return err;
}

static int
deconfigure(const struct mhp_block_info *info, struct mhp_text *reterr)
{
	struct mhp_blocks run = { info->block, 1 };
	struct mhp_offline_opts opts = { .as_of = info->generation, .offline_only = true };
	char reason[MHP__REASON_BYTES];
	struct mhp_why why = { .pfn = MHP_PFN_NONE };
	int err = mhp_remove(mhp__control.m, &run, 1, &opts, &why);
	if (err == MHP_ENOENT || err == MHP_ENODEV)
		return 0;
	if (err != 0) {
		mhp__reason_text(err, &why, reason, sizeof(reason));
		snprintf(reterr->text, sizeof(reterr->text), "cannot remove block %u: %.200s",
			 info->block, reason);
	}
	return err;
}

static int
store_config(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	bool there = subject->info.state != MHP_ABSENT;
	int on = mhp__word_switch(value);
	if (on < 0)
		return MHP_EINVAL;
	if (there == (on == 1))
		return 0;
	return there ? deconfigure(&subject->info, reterr)
		     : configure(subject->info.block, reterr);
}

/* ---- memmap_on_memory ---- */

/* Of a block that is there: what came of it. Else what will, as far as the pool lets it. */
static int
show_memmap(const struct mhp__subject *subject, char *text, size_t size)
{
	bool on = subject->info.state != MHP_ABSENT
		? subject->info.placement == MHP_PLACE_SELF
		: !is_elsewhere(subject->info.block) &&
		  mhp_get_memmap_on_memory(mhp__control.m) != MHP_MEMMAP_OFF;
	snprintf(text, size, "%d", on);
	return 0;
}

static int
store_memmap(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr)
{
	int on = mhp__word_switch(value);
	if (on < 0)
		return MHP_EINVAL;
	if (subject->info.state == MHP_ABSENT)
		return set_elsewhere(subject->info.block, on == 0);
	snprintf(reterr->text, sizeof(reterr->text), "block %u is there; its descriptors stay "
		 "where they are", subject->info.block);
	return MHP_EBUSY;
}

const struct mhp__attr mhp__firmware_attrs[] = {
	{ "config", MHP__PLACE_FIRMWARE, 0644, show_config, store_config, 0 },
	{ "memmap_on_memory", MHP__PLACE_FIRMWARE, 0644, show_memmap, store_memmap, 0 },
};
const size_t mhp__nr_firmware_attrs = sizeof(mhp__firmware_attrs) / sizeof(mhp__firmware_attrs[0]);
