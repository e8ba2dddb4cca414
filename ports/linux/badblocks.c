/* SPDX-License-Identifier: MIT */
/*
 * badblocks.c - the kernel's lists of bad sectors of persistent memory.
 *
 * A DAX device has no list of its own: it is a part of a region of the machine's addresses, which
 * has one, by sectors of 512 bytes from the region's start. Both say where they start, to root
 * only. The region is a folder above the device's. A bad sector costs its whole page of 4 KiB:
 * nothing smaller can be taken out of use. A list has a page of text at most.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "badblocks.h"
#include "lines.h"

#define SECTOR_BYTES UINT64_C(512)
/* How far above the device its region is: older kernels have folders of a class in between. */
#define FOLDERS_MAX 4
#define LINES_MAX 4096

const char *mhp__test_sysfs;

static int
open_device(const struct mhp__file *file)
{
	const int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	struct stat st;
	char path[80];
	if (!mhp__file_valid(file) || fstat(file->fd, &st) != 0)
		return -1;
	snprintf(path, sizeof(path), "dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (mhp__test_sysfs == NULL)
		return mhp__open_sysfs(path, flags);
	int root = open(mhp__test_sysfs, flags);
	int fd = openat(root, path, flags);
	close(root);
	return fd;
}

/* Where a device or a region starts, as addresses of the machine. */
static bool
read_start(int folder, uint64_t *ret_start)
{
	char text[32] = "";
	int fd = openat(folder, "resource", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	*ret_start = got > 0 ? strtoull(text, NULL, 0) : 0;
	return *ret_start != 0;
}

/* The list of the region around the device, and where in the region the device begins; -1: there is
 * none. */
static int
open_list(const struct mhp__file *file, uint64_t *ret_offset)
{
	uint64_t start, region_start;
	int folder = open_device(file), list = -1;
	bool known = folder >= 0 && read_start(folder, &start);
	for (unsigned i = 0; known && list < 0 && folder >= 0 && i < FOLDERS_MAX; i++) {
		int above = openat(folder, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(folder);
		folder = above;
		list = openat(folder, "badblocks", O_RDONLY | O_CLOEXEC);
	}
	known = list >= 0 && read_start(folder, &region_start) && start >= region_start;
	if (folder >= 0)
		close(folder);
	if (known) {
		*ret_offset = start - region_start;
		return list;
	}
	if (list >= 0)
		close(list);
	return -1;
}

struct found {
	const struct mhp__space *space;
	uint16_t file1;
	uint32_t first, count;
	uint64_t *pfn, nr, max;
};

/* Bytes of the file; sectors that share a page are next to each other in the list. */
static void
add_range(struct found *found, uint64_t start, uint64_t end)
{
	const uint64_t frames = found->space->block_bytes >> MHP__PAGE_SHIFT;
	uint64_t bad = start >> MHP__PAGE_SHIFT;
	uint64_t bad_end = (end + MHP__PAGE_BYTES - 1) >> MHP__PAGE_SHIFT;
	for (uint32_t block = found->first; block < found->first + found->count; block++) {
		const struct mhp__slot *slot = &found->space->slot[block];
		if (slot->file1 != found->file1)
			continue;
		uint64_t at = slot->offset_blocks * frames, at_end = at + frames;
		uint64_t low = bad > at ? bad : at, high = bad_end < at_end ? bad_end : at_end;
		for (; low < high; low++) {
			uint64_t pfn = block * frames + (low - at);
			if (found->nr != 0 && found->nr <= found->max &&
			    found->pfn[found->nr - 1] == pfn)
				continue;
			if (found->nr++ < found->max)
				found->pfn[found->nr - 1] = pfn;
		}
	}
}

uint64_t
mhp__badblocks_find(const struct mhp__space *space, const struct mhp__file *file, uint32_t first,
		    uint32_t count, uint64_t *pfn, uint64_t max)
{
	struct found found = { .space = space, .file1 = (uint16_t)(file - space->file + 1),
			       .first = first, .count = count, .pfn = pfn, .max = max };
	uint64_t offset = 0;
	struct mhp__lines lines = { .fd = open_list(file, &offset) };
	if (lines.fd < 0)
		return 0;
	char *line;
	for (unsigned i = 0; i < LINES_MAX && (line = mhp__lines_next(&lines)) != NULL; i++) {
		unsigned long long sector, nr;
		if (sscanf(line, "%llu %llu", &sector, &nr) != 2)
			continue;
		uint64_t start = sector * SECTOR_BYTES, end = start + nr * SECTOR_BYTES;
		if (end > offset)
			add_range(&found, start > offset ? start - offset : 0, end - offset);
	}
	close(lines.fd);
	return found.nr;
}
