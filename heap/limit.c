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

/* A file as a string; false: there is none. */
static bool
read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, size - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = 0;
	return got > 0;
}

/* What a file says; "max", no file and nonsense are no limit. */
static uint64_t
limit_in(const char *folder, const char *file)
{
	char path[PATH_MAX], text[64];
	uint64_t bytes;
	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path) ||
	    !read_file(path, text, sizeof(text)))
		return UINT64_MAX;
	text[strcspn(text, "\n")] = 0;
	return mhp_number_parse(text, UINT64_MAX, &bytes) == 0 ? bytes : UINT64_MAX;
}

/* The least limit from root/path up to root. Bound: the length of the path. */
static uint64_t
least_above(const char *root, const char *path, const char *file)
{
	char folder[PATH_MAX];
	uint64_t least = UINT64_MAX;
	if (snprintf(folder, sizeof(folder), "%s%s", root, path) >= (int)sizeof(folder))
		return UINT64_MAX;
	for (;;) {
		uint64_t limit = limit_in(folder, file);
		char *slash = strrchr(folder, '/');
		least = limit < least ? limit : least;
		if (slash == NULL || strlen(folder) <= strlen(root))
			return least;
		*slash = 0;
	}
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

/* What the files of a version of cgroups are called. */
struct names {
	const char *max, *high, *current, *inactive, *active;
};
static const struct names version_2 = {
	"memory.max", "memory.high", "memory.current", "inactive_file ", "active_file ",
};
static const struct names version_1 = {
	"memory.limit_in_bytes", NULL, "memory.usage_in_bytes", "total_inactive_file ",
	"total_active_file ",
};

/* A line, ID:CONTROLLERS:PATH, that says where memory is counted; else NULL. *ret_path: inside of
 * root, to which the folder of version 1 is added. */
static const struct names *
names_of_line(char *line, char *root, size_t size, const char **ret_path)
{
	size_t used = strlen(root);
	char *list = strchr(line, ':'), *path = list != NULL ? strchr(list + 1, ':') : NULL;
	if (path == NULL)
		return NULL;
	*path++ = 0;
	*ret_path = strcmp(path, "/") == 0 ? path + 1 : path;
	if (*++list == 0)
		return &version_2;
	if (!lists(list, "memory") || used + sizeof("/memory") > size)
		return NULL;
	strcpy(root + used, "/memory");
	return &version_1;
}

typedef void level_fn(const struct names *names, const char *root, const char *path, void *ctx);

/* For each line of `self` that counts memory. */
static void
each_line(const char *self, const char *root, level_fn *fn, void *ctx)
{
	char text[FILE_BYTES], *rest = NULL;
	if (!read_file(self, text, sizeof(text)))
		return;
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char where[PATH_MAX];
		const char *path;
		snprintf(where, sizeof(where), "%s", root);
		const struct names *names = names_of_line(line, where, sizeof(where), &path);
		if (names != NULL)
			fn(names, where, path, ctx);
	}
}

static void
add_limit(const struct names *names, const char *root, const char *path, void *ctx)
{
	uint64_t *least = ctx, limit = least_above(root, path, names->max);
	*least = limit < *least ? limit : *least;
}

uint64_t
mhp__cgroup_limit(const char *self, const char *root)
{
	uint64_t least = UINT64_MAX;
	each_line(self, root, add_limit, &least);
	return least;
}

/* ---- room ---- */

/* The number behind a word at the start of a line. */
static uint64_t
number_behind(const char *text, const char *word)
{
	size_t length = strlen(word);
	for (; text != NULL; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (strncmp(text, word, length) == 0)
			return strtoull(text + length, NULL, 10);
	}
	return 0;
}

/* What a cgroup uses that the kernel cannot just drop; UINT64_MAX: it does not say. */
static uint64_t
used_in(const char *folder, const struct names *names)
{
	char path[PATH_MAX], text[FILE_BYTES];
	uint64_t used = limit_in(folder, names->current), cache;
	if (used == UINT64_MAX ||
	    snprintf(path, sizeof(path), "%s/memory.stat", folder) >= (int)sizeof(path) ||
	    !read_file(path, text, sizeof(text)))
		return used;
	cache = number_behind(text, names->inactive) + number_behind(text, names->active);
	return used > cache ? used - cache : 0;
}

static uint32_t
pressure_in(const char *folder)
{
	char path[PATH_MAX], text[256];
	unsigned whole = 0, part = 0;
	if (snprintf(path, sizeof(path), "%s/memory.pressure", folder) >= (int)sizeof(path) ||
	    !read_file(path, text, sizeof(text)) ||
	    sscanf(text, "some avg10=%u.%2u", &whole, &part) != 2)
		return 0;
	return whole * 100 + part;
}

static void
add_level(struct mhp__room *room, const struct names *names, const char *folder)
{
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

/* Bound: the length of the path. */
static void
add_levels(const struct names *names, const char *root, const char *path, void *ctx)
{
	char folder[PATH_MAX];
	if (snprintf(folder, sizeof(folder), "%s%s", root, path) >= (int)sizeof(folder))
		return;
	for (;;) {
		char *slash = strrchr(folder, '/');
		add_level(ctx, names, folder);
		if (slash == NULL || strlen(folder) <= strlen(root))
			return;
		*slash = 0;
	}
}

void
mhp__cgroup_room(const char *self, const char *root, struct mhp__room *ret_room)
{
	*ret_room = (struct mhp__room){ UINT64_MAX, UINT64_MAX, UINT64_MAX, 0 };
	each_line(self, root, add_levels, ret_room);
	if (ret_room->used_bytes == UINT64_MAX)
		ret_room->used_bytes = 0;
}

uint64_t
mhp__memory_limit(void)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t cgroup = mhp__cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup");
	return cgroup < machine ? cgroup : machine;
}
