/* SPDX-License-Identifier: MIT */
/*
 * outside.c - what of the process is not in the pool, and why.
 *
 * The kernel's list of mappings says what there is (smaps), the regions say what of it is theirs.
 * Of a mapping that is charged in part, what is resident counts as outside as far as it can be. It
 * is a picture of many moments: nobody is held up while the list is read, but for the address space
 * itself, which the kernel locks for a mapping at a time. Must not know: how memory comes into a
 * region.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "pool.h"

/* A line that begins a mapping. */
struct mapping {
	uintptr_t start, end;
	char rights[8];
	int name;                      /* where in the line its name begins */
};

static bool
read_mapping(const char *line, struct mapping *ret)
{
	ret->name = 0;
	return sscanf(line, "%lx-%lx %7s %*x %*x:%*x %*u %n", &ret->start, &ret->end, ret->rights,
		      &ret->name) == 3 && ret->name != 0;
}

static enum mhp_outside_kind
kind_of(const struct mapping *mapping, const char *name)
{
	bool writable = mapping->rights[1] == 'w';
	if (mapping->rights[3] == 's' && writable)
		return MHP_OUTSIDE_SHARED;
	if (name[0] == '/' || strncmp(name, "[v", 2) == 0) /* [vdso], [vvar] */
		return MHP_OUTSIDE_FILE;
	if (mapping->rights[2] == 'x')
		return MHP_OUTSIDE_CODE;
	return strcmp(name, "[stack]") == 0 ? MHP_OUTSIDE_STACK : MHP_OUTSIDE_PRIVATE;
}

/* Bytes of [start, end) that are a region's table, which has as many addresses as it may need. */
static uint64_t
bytes_of_tables(const struct mhp_pool *pool, uintptr_t start, uintptr_t end)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++) {
		const struct mhp_region *region = &pool->region[i];
		uintptr_t from = (uintptr_t)region->entry, to = from + mhp__table_bytes(region);
		from = from > start ? from : start;
		to = to < end ? to : end;
		if (region->live && from < to)
			sum += to - from;
	}
	return sum;
}

/* Bytes of [start, end) that are the pool's. Region mutex held. */
static uint64_t
bytes_inside(struct mhp_pool *pool, uintptr_t start, uintptr_t end)
{
	const struct mhp__space *space = &pool->space;
	uintptr_t map = (uintptr_t)space->direct_map;
	const struct mhp_region *region = mhp__region_find(pool, start);
	uint64_t inside = bytes_of_tables(pool, start, end);
	if (start >= map && end <= map + space->max_bytes)
		return end - start;
	if (region == NULL || !region->over)
		return region == NULL ? inside : end - start;
	uint64_t page = (start - region->base) >> MHP__PAGE_SHIFT;
	uint64_t last = (end - region->base) >> MHP__PAGE_SHIFT;
	last = last < region->top ? last : region->top;
	for (uint64_t nr; page < last; page += nr) {
		nr = mhp__table_span(region, page, last - page, MHP__ENTRY_COMMITTED);
		if ((region->entry[page] & MHP__ENTRY_COMMITTED) != 0)
			inside += nr << MHP__PAGE_SHIFT;
	}
	return inside;
}

static void
count(struct mhp_pool *pool, const struct mapping *mapping, uint64_t resident,
      struct mhp_outside *one)
{
	mhp__pool_lock(pool);
	uint64_t inside = bytes_inside(pool, mapping->start, mapping->end);
	pthread_mutex_unlock(&pool->mutex);
	uint64_t size = mapping->end - mapping->start - inside;
	if (size == 0)
		return;
	one->nr_mappings++;
	one->resident_bytes += resident < size ? resident : size;
	if (mapping->rights[0] == 'r' || mapping->rights[1] == 'w') /* else it is reserved only */
		one->size_bytes += size;
}

static const char *
why(struct mhp_pool *pool, enum mhp_outside_kind kind)
{
	static const char *const words[MHP_OUTSIDE_KINDS] = {
		[MHP_OUTSIDE_SHARED] = "shared: other processes may map it, too",
		[MHP_OUTSIDE_FILE] = "files: programs, libraries, and what else is mapped of them",
		[MHP_OUTSIDE_CODE] = "code that the program makes: it must not move",
		[MHP_OUTSIDE_STACK] = "the stack of the first thread: the kernel lets it grow",
		[MHP_OUTSIDE_PRIVATE] = "mapped by the program itself: run --mmap takes large ones",
	};
	bool over = false;
	mhp__pool_lock(pool);
	for (unsigned i = 0; i < MHP__REGIONS_MAX; i++)
		over |= pool->region[i].live && pool->region[i].over;
	pthread_mutex_unlock(&pool->mutex);
	return kind == MHP_OUTSIDE_PRIVATE && over
		? "small mappings, stacks of threads, malloc's own tables" : words[kind];
}

int
mhp_pool_outside(struct mhp_pool *pool, struct mhp_outside ret[MHP_OUTSIDE_KINDS])
{
	struct mhp__lines lines = { .fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC) };
	struct mapping mapping = { 0 };
	enum mhp_outside_kind kind = MHP_OUTSIDE_PRIVATE;
	memset(ret, 0, MHP_OUTSIDE_KINDS * sizeof(*ret));
	if (lines.fd < 0)
		return MHP_EPERM;
	for (char *line; (line = mhp__lines_next(&lines)) != NULL;) {
		if (strncmp(line, "Rss:", 4) == 0)
			count(pool, &mapping, strtoull(line + 4, NULL, 10) * 1024, &ret[kind]);
		else if (read_mapping(line, &mapping))
			kind = kind_of(&mapping, line + mapping.name);
	}
	close(lines.fd);
	for (unsigned i = 0; i < MHP_OUTSIDE_KINDS; i++)
		ret[i].why = why(pool, (enum mhp_outside_kind)i);
	return 0;
}

const char *
mhp_outside_name(enum mhp_outside_kind kind)
{
	static const char *const words[MHP_OUTSIDE_KINDS] = {
		"shared", "file", "code", "stack", "private",
	};
	return (unsigned)kind < MHP_OUTSIDE_KINDS ? words[kind] : "unknown";
}
