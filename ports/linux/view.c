/* SPDX-License-Identifier: MIT */
/*
 * view.c - before memory goes to a device or comes back, the kernel is asked what it knows of it.
 *
 * /proc/self/smaps has a line of flags for each mapping. Only those that memory of a region has by
 * itself are let through, on a device or not; any other was set by the program (locked, not for
 * forked children, wiped there, mergeable, watched by a userfaultfd of its own), and would be
 * forgotten if something else were mapped there. Reading the file costs as much as there is memory
 * before the range. So one look also takes in the mappings around the range, and is good for a
 * while: the longer it took, the longer, or a large process on a busy machine would do nothing
 * else. Meanwhile the kernel is asked for the one mapping (PROCMAP_QUERY, Linux 6.11), whose edges
 * and rights show whether a part of the range has changed, and for the amount of locked memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lines.h"
#include "view.h"

/* How much is looked at on either side of a range, and how long that holds. */
#define AROUND (UINT64_C(1) << 30)
#define HOLDS_NS UINT64_C(100000000)
#define HOLDS_TIMES 8U                 /* as long as it took */
#define HOLDS_MAX_NS UINT64_C(1000000000)

/* struct procmap_query of newer kernels. */
struct query {
	uint64_t size, flags, address, start, end, rights, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define QUERY _IOWR('f', 17, struct query)
#define QUERY_OR_NEXT 0x10U
#define RIGHTS_READ_WRITE 3U           /* as PROT_... */
#define RIGHTS_EXEC 4U
#define RIGHTS_SHARED 8U

/* Of an entry of pagemap. */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_PROTECTED (UINT64_C(1) << 57)

/* The first flag that we did not set, in words; NULL: there is none. */
static const char *
strange_flag(const char *flags, enum mhp_huge told)
{
	static const struct {
		char flag[3];
		const char *words; /* NULL: ours */
	} known[] = {
		{ "rd", NULL }, { "wr", NULL }, { "mr", NULL }, { "mw", NULL }, { "me", NULL },
		{ "ms", NULL }, { "sh", NULL }, { "nr", NULL }, { "sd", NULL }, { "hg", NULL },
		{ "ac", NULL }, { "ht", NULL }, { "de", NULL }, { "mm", NULL },
		{ "rr", NULL }, { "sr", NULL }, /* means nothing here; sample.c's for a moment */
		{ "lo", "locked by mlock" }, { "wf", "marked MADV_WIPEONFORK" },
		{ "dc", "marked MADV_DONTFORK" }, { "nh", "marked MADV_NOHUGEPAGE" },
		{ "dd", "marked MADV_DONTDUMP" }, { "mg", "marked MADV_MERGEABLE" },
		{ "ex", "executable" },
		{ "um", "watched by a userfaultfd" }, { "uw", "watched by a userfaultfd" },
	};
	bool shared = strstr(flags, "sh") != NULL;
	for (; flags[0] != 0 && flags[1] != 0; flags += flags[2] == ' ' ? 3 : 2) {
		size_t i = 0;
		while (i < sizeof(known) / sizeof(known[0]) &&
		       strncmp(known[i].flag, flags, 2) != 0)
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return "marked in a way that we do not know";
		/* Mappings of a device are shared, and hidden from children by us. */
		bool ours = (strncmp(flags, "dc", 2) == 0 && shared) ||
			    (strncmp(flags, "nh", 2) == 0 && told == MHP_HUGE_OFF);
		if (known[i].words != NULL && !ours)
			return known[i].words;
	}
	return NULL;
}

/* One mapping; its line begins with its addresses and its rights. */
static const char *
strange_mapping(struct mhp__lines *lines, const char *rights, enum mhp_huge told)
{
	if (strncmp(rights, "rw", 2) != 0)
		return rights[0] == '-' ? "made inaccessible by mprotect"
					: "made read-only by mprotect";
	for (char *line; (line = mhp__lines_next(lines)) != NULL;)
		if (strncmp(line, "VmFlags: ", 9) == 0)
			return strange_flag(line + 9, told);
	return "of unknown state";
}

/* Find view->start and view->end: the plain memory around start, no more of it than from low up to
 * high. What comes after it, in words; NULL: nothing that we know of. */
static const char *
look(struct mhp__view *view, uintptr_t low, uintptr_t start, uintptr_t high)
{
	struct mhp__lines lines = { .fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC) };
	const char *strange = lines.fd < 0 ? "of unknown state" : NULL;
	MHP__ASSERT(low <= start && start < high);
	view->start = low;
	view->end = lines.fd < 0 ? start : low;
	for (char *line; view->end < high && (line = mhp__lines_next(&lines)) != NULL;) {
		unsigned long from, to;
		char rights[8];
		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || to <= view->end)
			continue;
		strange = from > view->end && from > start ? "unmapped" : NULL;
		if (strange == NULL && from > view->end)
			view->start = from;
		if (strange == NULL)
			strange = strange_mapping(&lines, rights, view->told);
		if (strange != NULL && to > start)
			break;
		if (strange != NULL)
			view->start = to;
		view->end = to;
	}
	if (lines.fd >= 0)
		close(lines.fd);
	return strange;
}

/* The errno of the kernel's answer, or 0. */
static int
ask(struct query *query)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int error = fd < 0 || ioctl(fd, QUERY, query) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return error;
}

/* One readable and writable mapping around all of it? False, too, where the kernel cannot say. */
static bool
is_one_mapping(uintptr_t start, uintptr_t end)
{
	struct query query = { .size = sizeof(query), .address = start };
	return ask(&query) == 0 && query.start <= start && query.end >= end &&
	       (query.rights & (RIGHTS_READ_WRITE | RIGHTS_EXEC)) == RIGHTS_READ_WRITE;
}

/* How much memory of the process is locked; that changes with every mlock() and munlock(). Pinned
 * pages are noted. */
static uint64_t
locked_kib(struct mhp__view *view)
{
	struct mhp__lines lines = { .fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC) };
	uint64_t locked = UINT64_MAX;
	view->pinned_kib = UINT64_MAX;
	if (lines.fd < 0)
		return locked;
	for (char *line;
	     view->pinned_kib == UINT64_MAX && (line = mhp__lines_next(&lines)) != NULL;)
		if (strncmp(line, "VmLck:", 6) == 0)
			locked = strtoull(line + 6, NULL, 10);
		else if (strncmp(line, "VmPin:", 6) == 0) /* the next line */
			view->pinned_kib = strtoull(line + 6, NULL, 10);
	close(lines.fd);
	return locked;
}

static uint64_t
clock_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int
mhp__view_plain(struct mhp__view *view, uintptr_t start, uintptr_t end, enum mhp_huge told,
		uint64_t now_ns, struct mhp_text *reterr)
{
	uint64_t changes = atomic_load(&view->changes);
	if (now_ns < view->until_ns && told == view->told && changes == view->seen &&
	    start >= view->start && end <= view->end && is_one_mapping(start, end) &&
	    locked_kib(view) == view->locked_kib)
		return 0;
	uint64_t began_ns = clock_ns();
	view->locked_kib = locked_kib(view);
	view->seen = changes;
	view->told = told;
	const char *strange = look(view, start > AROUND ? start - AROUND : 0, start, end + AROUND);
	uint64_t took_ns = clock_ns() - began_ns, holds_ns = took_ns * HOLDS_TIMES;
	holds_ns = holds_ns < HOLDS_NS ? HOLDS_NS : holds_ns;
	view->until_ns = now_ns + took_ns + (holds_ns < HOLDS_MAX_NS ? holds_ns : HOLDS_MAX_NS);
	if (view->end >= end)
		return 0;
	return mhp__say(reterr, MHP_EBUSY, "%s", strange != NULL ? strange : "unmapped");
}

/* Where the kernel cannot be asked for one: the list of all. */
static bool
find_mapping(uintptr_t address, struct mhp__mapping *ret_mapping)
{
	struct mhp__lines lines = { .fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC) };
	struct mhp__mapping found = { .end = 0 };
	unsigned major = 0, minor = 0;
	char rights[8] = "";
	for (char *line; found.end <= address && (line = mhp__lines_next(&lines)) != NULL;)
		if (sscanf(line, "%lx-%lx %7s %lx %x:%x %lu", &found.start, &found.end, rights,
			   &found.offset, &major, &minor, &found.inode) != 7)
			found.end = 0;
	if (lines.fd >= 0)
		close(lines.fd);
	found.shared = rights[3] == 's';
	found.device = (uint64_t)major << 32 | minor;
	*ret_mapping = found;
	return found.end > address;
}

bool
mhp__view_mapping(uintptr_t address, struct mhp__mapping *ret_mapping)
{
	struct query query = { .size = sizeof(query), .address = address,
			       .flags = QUERY_OR_NEXT };
	int error = ask(&query);
	if (error != 0)
		return error != ENOENT && find_mapping(address, ret_mapping);
	*ret_mapping = (struct mhp__mapping){
		.start = query.start, .end = query.end, .offset = query.offset,
		.shared = (query.rights & RIGHTS_SHARED) != 0, .inode = query.inode,
		.device = (uint64_t)query.major << 32 | query.minor };
	return true;
}

int
mhp__view_rights(uintptr_t address, uintptr_t *ret_end)
{
	struct query query = { .size = sizeof(query), .address = address };
	if (ask(&query) != 0)
		return -1;
	*ret_end = query.end;
	return (int)query.rights & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

bool
mhp__view_shared(uintptr_t address)
{
	struct mhp__mapping mapping;
	return find_mapping(address, &mapping) && mapping.start <= address && mapping.shared;
}

uint64_t
mhp__view_in_use(uintptr_t start, uintptr_t end)
{
	const uintptr_t page = mhp__kernel_page();
	uint64_t bytes = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	MHP__ASSERT(((start | end) & (page - 1)) == 0);
	for (uint64_t entry; start < end; start += page)
		if (pread(fd, &entry, sizeof(entry), (off_t)(start / page * sizeof(entry))) ==
			    sizeof(entry) &&
		    (entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) != 0 &&
		    (entry & ENTRY_PROTECTED) == 0)
			bytes += page;
	if (fd >= 0)
		close(fd);
	return bytes;
}
