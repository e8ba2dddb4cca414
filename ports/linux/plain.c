/* SPDX-License-Identifier: MIT */
/*
 * plain.c - is memory of a region, which is to go to a device or come back, as we made it?
 *
 * view.c knows what the kernel says of the mapping. It does not say where the program has buffers
 * registered with an io_uring: their pages are written to wherever they are by then. Only how much
 * memory the process has pinned in such ways is a figure of its status. Where that is not 0, the
 * rings say in /proc/PID/fdinfo which buffers they have. Runs in the companion, whose descriptors
 * are others; so nothing here allocates.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lines.h"
#include "region.h"
#include "settle.h"

#define TRIES 100
#define RING "anon_inode:[io_uring]"

/* An entry as getdents64() fills it in. */
struct entry {
	uint64_t inode, offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static bool
is_ring(int folder, const char *name)
{
	char leads_to[sizeof(RING)];
	ssize_t length = readlinkat(folder, name, leads_to, sizeof(leads_to));
	return length == sizeof(RING) - 1 && memcmp(leads_to, RING, sizeof(RING) - 1) == 0;
}

enum answer { NO, YES, BUSY };

/* Does a buffer of this ring lie in [start, end)? A line of one is "INDEX: ADDRESS/SIZE"; there is
 * none at all while somebody has the ring's lock. */
static enum answer
ask_ring(int program, const char *name, uintptr_t start, uintptr_t end)
{
	struct mhp__lines lines = { .fd = -1 };
	unsigned long at, size;
	enum answer answer = BUSY;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.10s", program, name);
	lines.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (lines.fd < 0)
		return NO;             /* it was closed meanwhile */
	for (char *line; answer != YES && (line = mhp__lines_next(&lines)) != NULL;) {
		if (strncmp(line, "UserBufs:", 9) == 0)
			answer = NO;
		else if (sscanf(line, " %*u: %lx/%lu", &at, &size) == 2 && at < end &&
			 at + size > start)
			answer = YES;
	}
	close(lines.fd);
	return answer;
}

/* A ring that does not tell has some, for all we know. */
static bool
ring_holds(int program, const char *name, uintptr_t start, uintptr_t end)
{
	enum answer answer = BUSY;
	for (int i = 0; i < TRIES && answer == BUSY; i++)
		answer = ask_ring(program, name, start, end);
	return answer != NO;
}

static bool
rings_hold(int program, uintptr_t start, uintptr_t end)
{
	_Alignas(struct entry) char entries[1024];
	bool holds = false;
	char path[32];
	long got = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", program);
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (folder >= 0 && !holds &&
	       (got = syscall(SYS_getdents64, folder, entries, sizeof(entries))) > 0)
		for (long at = 0; at < got && !holds;) {
			const struct entry *one = (const void *)(entries + at);
			holds = is_ring(folder, one->name) &&
				ring_holds(program, one->name, start, end);
			at += one->size;
		}
	if (folder >= 0)
		close(folder);
	return holds;
}

/* Is all of it the ordinary memory that it was charged as? */
static bool
is_anonymous(uintptr_t start, uintptr_t end)
{
	struct mhp__mapping mapping;
	while (start < end && mhp__view_mapping(start, &mapping) && mapping.start <= start &&
	       !mapping.shared && mapping.inode == 0)
		start = mapping.end;
	return start >= end;
}

uint64_t
mhp__window_there(const struct mhp_region *region, uint64_t page, uint64_t nr, bool *ret_there)
{
	struct mhp__run run = mhp__run_settled(region, page, page + nr);
	uintptr_t at = mhp__page_address(region, page), end = at + (run.nr << MHP__PAGE_SHIFT);
	uintptr_t frame = (uintptr_t)mhp__frame_virt(region->space, run.pfn);
	struct mhp__mapping here, device;
	*ret_there = false;
	if (!mhp__view_mapping(at, &here) || here.start >= end)
		return run.nr;
	if (here.start > at)
		return (here.start - at) >> MHP__PAGE_SHIFT;
	*ret_there = mhp__view_mapping(frame, &device) && device.start <= frame && here.shared &&
		     here.inode == device.inode && here.device == device.device &&
		     here.offset + (at - here.start) == device.offset + (frame - device.start);
	return ((here.end < end ? here.end : end) - at) >> MHP__PAGE_SHIFT;
}

static bool
is_held(const struct mhp_pool *pool)
{
	bool held = false;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		held |= atomic_load(&pool->region[i].nr_holds) != 0;
	return held;
}

int
mhp__window_plain(struct mhp_pool *pool, const struct mhp_region *region, uint64_t page,
		  uint64_t nr, struct mhp_text *reterr)
{
	uintptr_t start = mhp__page_address(region, page);
	uintptr_t end = mhp__page_address(region, page + nr);
	int err = mhp__view_plain(&pool->view, start, end, mhp__region_huge(region, page),
				  mhp__linux_ops.now_ns(pool), reterr);
	if (is_held(pool)) /* somebody changes mappings meanwhile */
		pool->view.until_ns = 0;
	if (err == 0 && pool->view.pinned_kib != 0 &&
	    rings_hold(mhp__companion_program(), start, end))
		err = mhp__say(reterr, MHP_EBUSY, "registered with an io_uring");
	if (err == 0 && region->over && (region->entry[page] & MHP__ENTRY_SETTLED) == 0 &&
	    !is_anonymous(start, end))
		err = mhp__say(reterr, MHP_EBUSY, "mapped by the program as something else");
	return err;
}
