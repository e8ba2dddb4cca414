/* SPDX-License-Identifier: MIT */
/*
 * limit.c - how much memory the process may have, so that a pool does not grow until it is killed.
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

/* One line, ID:CONTROLLERS:PATH. */
static uint64_t
limit_of_line(char *line, const char *root)
{
	char memory_root[PATH_MAX];
	char *list = strchr(line, ':'), *path = list != NULL ? strchr(list + 1, ':') : NULL;
	if (path == NULL)
		return UINT64_MAX;
	*path++ = 0;
	list++;
	if (strcmp(path, "/") == 0)
		path++;
	if (*list == 0)
		return least_above(root, path, "memory.max");
	if (!lists(list, "memory") ||
	    snprintf(memory_root, sizeof(memory_root), "%s/memory", root) >=
		    (int)sizeof(memory_root))
		return UINT64_MAX;
	return least_above(memory_root, path, "memory.limit_in_bytes");
}

uint64_t
mhp__cgroup_limit(const char *self, const char *root)
{
	char text[FILE_BYTES], *rest = NULL;
	uint64_t least = UINT64_MAX;
	if (!read_file(self, text, sizeof(text)))
		return UINT64_MAX;
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		uint64_t limit = limit_of_line(line, root);
		least = limit < least ? limit : least;
	}
	return least;
}

uint64_t
mhp__memory_limit(void)
{
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t cgroup = mhp__cgroup_limit("/proc/self/cgroup", "/sys/fs/cgroup");
	return cgroup < machine ? cgroup : machine;
}
