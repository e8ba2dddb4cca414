/* SPDX-License-Identifier: MIT */
/*
 * library.c - where the library is that `memplug run` preloads.
 *
 * It is looked for beside the command, as it is built, and where it is installed. The loader takes
 * a blank or a colon in LD_PRELOAD for the end of a name: a path with one of them is reached by a
 * link in the folder of the sockets, which this user alone can write to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define LIBRARY "libmemplug-heap.so"
#define SEPARATORS " :"

static bool
find(char *path, size_t size)
{
	static const char *const places[] = {
		"", "../heap/", "../" MEMPLUG_LIBDIR "/memplug/", "../lib/",
	};
	const char *given = getenv("MEMPLUG_HEAP_LIBRARY");
	char own[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	if (given != NULL)
		return snprintf(path, size, "%s", given) < (int)size && access(path, R_OK) == 0;
	if (length <= 0)
		return false;
	own[length] = 0;
	char *slash = strrchr(own, '/');
	slash[1] = 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, size, "%s%s%s", own, places[i], LIBRARY) < (int)size &&
		    access(path, R_OK) == 0)
			return true;
	return false;
}

/* Ours, and nobody else's to write to? */
static bool
is_ours(const char *folder)
{
	struct stat st;
	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return false;
	return lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       (st.st_mode & 0022) == 0;
}

/* Make path a link to what it was, at a place without separators. It stays: the program may start
 * others with the same environment. */
static bool
replace_by_link(char *path, size_t size)
{
	char folder[80], link[128], own[160], target[PATH_MAX];
	mhp__socket_directory(folder, sizeof(folder));
	snprintf(link, sizeof(link), "%s/" LIBRARY, folder);
	snprintf(own, sizeof(own), "%s.%d", link, (int)getpid());
	if (strpbrk(link, SEPARATORS) != NULL || !is_ours(folder) ||
	    realpath(path, target) == NULL)
		return false;
	unlink(own);
	if (symlink(target, own) != 0 || rename(own, link) != 0)
		return false;
	return snprintf(path, size, "%s", link) < (int)size;
}

bool
cli_library(char *path, size_t size)
{
	if (!find(path, size)) {
		cli_say("%s is neither beside this command nor installed",
			LIBRARY);
		return false;
	}
	if (strpbrk(path, SEPARATORS) == NULL || replace_by_link(path, size))
		return true;
	cli_say("%s cannot be preloaded: there is a blank or a colon in its "
		"path", path);
	return false;
}
