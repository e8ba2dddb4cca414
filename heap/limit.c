/* SPDX-License-Identifier: MIT */
/*
 * limit.c - how much memory the process may have, and what is left of it, so that a pool does not
 * grow until it is killed.
 *
 * A cgroup is bounded by its own limit and by those of all that it is in. Where a container shows
 * only its own part of the tree, its path there leads nowhere; then what is at the root counts. It
 * runs before there is a heap, so nothing here calls malloc.
 */
#define _GNU_SOURCE
#include "limit.h"

#include <fcntl.h>
#include <limits.h>
#include <memplug/words.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES 8192U
#define NO_LIMIT (UINT64_C(1) << 62)

/* A file as a string; false: there is none. */
static bool
read_file(const char *path, uint64_t offset, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? pread(fd, text, size - 1, (off_t)offset) : -1;
	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = 0;
	return got > 0;
}

/* A cgroup's folder, to which the names of its files are appended. A program may have little stack
 * (ulimit -s), so there is one. */
struct folder {
	char path[PATH_MAX];
	size_t length, root_length;
};

static bool
append(struct folder *folder, size_t length, const char *text)
{
	int room = (int)(sizeof(folder->path) - length);
	return snprintf(folder->path + length, (size_t)room, "%s", text) < room;
}

/* On to the one above it; false: this was the root. */
static bool
go_up(struct folder *folder)
{
	folder->path[folder->length] = 0;
	char *slash = strrchr(folder->path, '/');
	if (slash == NULL || folder->length <= folder->root_length)
		return false;
	folder->length = (size_t)(slash - folder->path);
	return true;
}

static bool
read_in(struct folder *folder, const char *file, char *text, size_t size)
{
	return append(folder, folder->length, file) && read_file(folder->path, 0, text, size);
}

/* The number in a file; "max", no file and nonsense are no limit, nor is what version 1 says where
 * there is none, which is all that a signed number holds. */
static uint64_t
limit_in(struct folder *folder, const char *file)
{
	char text[64];
	uint64_t bytes;
	if (!read_in(folder, file, text, sizeof(text)))
		return UINT64_MAX;
	text[strcspn(text, "\n")] = 0;
	return mhp_number_parse(text, NO_LIMIT, &bytes) == 0 ? bytes : UINT64_MAX;
}

/* Is `name` one of the words of a list like "cpu,memory"? */
static bool
lists(const char *list, const char *name)
{
	size_t length = strlen(name);
	for (; *list != 0; list += strcspn(list, ","), list += *list == ',')
		if (strncmp(list, name, length) == 0 &&
		    (list[length] == 0 || list[length] == ','))
			return true;
	return false;
}

/* The names of the files in one version of cgroups. */
struct names {
	const char *max, *high, *current, *inactive, *active;
};
static const struct names version_2 = {
	"/memory.max", "/memory.high", "/memory.current", "inactive_file ", "active_file ",
};
static const struct names version_1 = {
	"/memory.limit_in_bytes", NULL, "/memory.usage_in_bytes", "total_inactive_file ",
	"total_active_file ",
};

/* A line, ID:CONTROLLERS:PATH, that says where memory is counted, and that folder; else NULL. Of
 * version 1 there is a folder for it below root. */
static const struct names *
read_line(char *line, const char *root, struct folder *ret_folder)
{
	char *list = strchr(line, ':'), *path = list != NULL ? strchr(list + 1, ':') : NULL;
	if (path == NULL)
		return NULL;
	*path++ = 0;
	bool version2 = *++list == 0;
	if (strcmp(path, "/") == 0)
		path++;
	if ((!version2 && !lists(list, "memory")) || !append(ret_folder, 0, root) ||
	    !append(ret_folder, strlen(root), version2 ? "" : "/memory"))
		return NULL;
	ret_folder->root_length = strlen(ret_folder->path);
	if (!append(ret_folder, ret_folder->root_length, path))
		return NULL;
	ret_folder->length = strlen(ret_folder->path);
	return version2 ? &version_2 : &version_1;
}

typedef void level_fn(const struct names *names, struct folder *folder, void *ctx);

/* For each cgroup that counts our memory, from the innermost. Bound: the lines of `self`, and the
 * length of a path. */
static void
each_level(const char *self, const char *root, level_fn *fn, void *ctx)
{
	char line[PATH_MAX];
	struct folder folder;
	for (uint64_t offset = 0; read_file(self, offset, line, sizeof(line));) {
		size_t length = strcspn(line, "\n");
		offset += length + 1;
		line[length] = 0;
		const struct names *names = read_line(line, root, &folder);
		if (names == NULL)
			continue;
		do
			fn(names, &folder, ctx);
		while (go_up(&folder));
	}
}

static void
add_limit(const struct names *names, struct folder *folder, void *ctx)
{
	uint64_t *least = ctx, limit = limit_in(folder, names->max);
	*least = limit < *least ? limit : *least;
}

uint64_t
mhp__cgroup_limit(const char *self, const char *root)
{
	uint64_t least = UINT64_MAX;
	each_level(self, root, add_limit, &least);
	return least;
}

/* ---- room ---- */

/* The number after a word at the start of a line. */
static uint64_t
number_after(const char *text, const char *word)
{
	size_t length = strlen(word);
	for (; text != NULL; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (strncmp(text, word, length) == 0)
			return strtoull(text + length, NULL, 10);
	}
	return 0;
}

/* The memory of a cgroup that the kernel cannot just drop; UINT64_MAX: it does not say. */
static uint64_t
used_in(struct folder *folder, const struct names *names)
{
	char text[FILE_BYTES];
	uint64_t used = limit_in(folder, names->current), cache;
	if (used == UINT64_MAX || !read_in(folder, "/memory.stat", text, sizeof(text)))
		return used;
	cache = number_after(text, names->inactive) + number_after(text, names->active);
	return used > cache ? used - cache : 0;
}

static uint32_t
pressure_in(struct folder *folder)
{
	char text[256];
	unsigned whole = 0, part = 0;
	if (!read_in(folder, "/memory.pressure", text, sizeof(text)) ||
	    sscanf(text, "some avg10=%u.%2u", &whole, &part) != 2)
		return 0;
	return whole * 100 + part;
}

static void
add_level(const struct names *names, struct folder *folder, void *ctx)
{
	struct mhp__room *room = ctx;
	uint64_t limit = limit_in(folder, names->max), used = used_in(folder, names);
	uint64_t high = names->high != NULL ? limit_in(folder, names->high) : UINT64_MAX;
	limit = high < limit ? high : limit;
	if (room->used_bytes == UINT64_MAX) {
		room->used_bytes = used;
		room->pressure = pressure_in(folder);
	}
	if (limit == UINT64_MAX || used == UINT64_MAX)
		return;
	uint64_t left = limit > used ? limit - used : 0;
	room->limit_bytes = limit < room->limit_bytes ? limit : room->limit_bytes;
	room->room_bytes = left < room->room_bytes ? left : room->room_bytes;
}

void
mhp__cgroup_room(const char *self, const char *root, struct mhp__room *ret_room)
{
	*ret_room = (struct mhp__room){ UINT64_MAX, UINT64_MAX, UINT64_MAX, 0 };
	each_level(self, root, add_level, ret_room);
	if (ret_room->used_bytes == UINT64_MAX)
		ret_room->used_bytes = 0;
}

uint64_t
mhp__resident_bytes(const char *status)
{
	char text[FILE_BYTES];
	if (!read_file(status, 0, text, sizeof(text)) || strstr(text, "\nRssAnon:") == NULL)
		return UINT64_MAX;
	return number_after(text, "RssAnon:") << 10;
}

uint64_t
mhp__memory_limit(void)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t cgroup = mhp__cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup");
	return cgroup < machine ? cgroup : machine;
}
