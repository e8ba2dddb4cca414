/* SPDX-License-Identifier: MIT */
/*
 * room.c - what limits how much memory a process gets: RLIMIT_AS and RLIMIT_DATA, its memory
 * cgroups (both versions, and all above it), strict overcommit, and the machine.
 *
 * Taking the last page of a cgroup or of the machine gets somebody killed; so it is asked before,
 * and some is left for page tables and for others. File pages that were read count as free, as they
 * are for the kernel. This file knows no pool.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "room.h"

#define SPARE_BYTES (UINT64_C(4) << 20)
#define TEXT_MAX 8192U
/* "/sys/fs/cgroup/memory/memory.limit_in_bytes"; and with its figure. */
#define PATH_SAID_MAX 43U
#define WHAT_MAX 80U
/* How much a look asks for beyond what is needed now, and how long it holds. */
#define AHEAD_BYTES (UINT64_C(128) << 20)
#define HOLDS_NS UINT64_C(100000000)

/* All of a small file, or as much as there is room for. False: it cannot be read. */
static bool
read_text(const char *path, char text[TEXT_MAX])
{
	size_t used = 0;
	ssize_t got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (used + 1 < TEXT_MAX && (got = read(fd, text + used, TEXT_MAX - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	MHP__ASSERT(used < TEXT_MAX);
	text[used] = 0;
	return used != 0;
}

/* The number after a word that begins a line; 0: it is not there. */
static uint64_t
field(const char *text, const char *word)
{
	size_t length = strlen(word);
	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, word, length) == 0)
			return strtoull(line + length, NULL, 10);
		if (*line == 0)
			break;
	}
	return 0;
}

static int
check(const char *what, uint64_t limit, uint64_t used, uint64_t bytes, struct mhp_text *reterr)
{
	uint64_t left = limit > used ? limit - used : 0;
	if (bytes == 0 || left >= bytes)
		return 0;
	return mhp__say(reterr, MHP_ENOMEM,
			"%s leaves %llu MiB, %llu MiB are needed", what,
			(unsigned long long)(left >> 20),
			(unsigned long long)((bytes + (1 << 20) - 1) >> 20));
}

/* The process's limit, and ours, who map memory for it. */
static int
check_rlimit(int pid, __rlimit_resource_t resource, const char *what, uint64_t used,
	     uint64_t bytes, struct mhp_text *reterr)
{
	struct rlimit its = { RLIM_INFINITY, 0 }, ours = { RLIM_INFINITY, 0 };
	(void)prlimit(pid, resource, NULL, &its);
	(void)getrlimit(resource, &ours);
	rlim_t limit = its.rlim_cur < ours.rlim_cur ? its.rlim_cur : ours.rlim_cur;
	return limit == RLIM_INFINITY ? 0 : check(what, limit, used, bytes, reterr);
}

static int
check_rlimits(int pid, uint64_t bytes, uint64_t more_bytes, struct mhp_text *reterr)
{
	char text[TEXT_MAX];
	if (!read_text("/proc/self/status", text))
		return 0;
	int err = check_rlimit(pid, RLIMIT_AS, "the limit of addresses (RLIMIT_AS)",
			       field(text, "VmSize:") << 10, more_bytes, reterr);
	return err != 0 ? err : check_rlimit(pid, RLIMIT_DATA, "the limit of data (RLIMIT_DATA)",
					     field(text, "VmData:") << 10, bytes, reterr);
}

static int
check_machine(uint64_t bytes, struct mhp_text *reterr)
{
	char text[TEXT_MAX];
	uint64_t strict = mhp__read_number("/proc/sys/vm/overcommit_memory");
	if (!read_text("/proc/meminfo", text))
		return 0;
	int err = strict != 2 ? 0 : check("strict overcommit (vm.overcommit_memory is 2)",
					  field(text, "CommitLimit:") << 10,
					  field(text, "Committed_AS:") << 10, bytes, reterr);
	uint64_t free = (field(text, "MemAvailable:") + field(text, "SwapFree:")) << 10;
	return err != 0 ? err : check("the machine", free, 0, bytes, reterr);
}

/* Names of files, by version of the interface. */
static const struct version {
	const char *limit, *used, *inactive, *active;
} versions[] = {
	{ "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ",
	  "total_active_file " },
	{ "memory.max", "memory.current", "inactive_file ", "active_file " },
};

/* A path of which only the end is said if it is long: the figures behind it must fit a reason. */
static void
say_limit(char what[WHAT_MAX], const char *path, uint64_t limit)
{
	size_t length = strlen(path);
	bool cut = length > PATH_SAID_MAX;
	snprintf(what, WHAT_MAX, "%s%.*s, %llu MiB,", cut ? "..." : "", (int)PATH_SAID_MAX,
		 cut ? path + length - (PATH_SAID_MAX - 3) : path,
		 (unsigned long long)(limit >> 20));
}

/* One cgroup. A limit that is not a number ("max") is none. */
static int
check_cgroup(const struct version *version, const char *folder, uint64_t bytes,
	     struct mhp_text *reterr)
{
	char path[512], text[TEXT_MAX], what[WHAT_MAX];
	snprintf(path, sizeof(path), "%s/%s", folder, version->limit);
	uint64_t limit = mhp__read_number(path);
	if (limit == 0)
		return 0;
	say_limit(what, path, limit);
	snprintf(path, sizeof(path), "%s/%s", folder, version->used);
	uint64_t used = mhp__read_number(path);
	if (used + bytes <= limit) /* most often: no need for what could be dropped */
		return 0;
	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	uint64_t files = read_text(path, text) ? field(text, version->inactive) +
						 field(text, version->active) : 0;
	return check(what, limit, used > files ? used - files : 0, bytes, reterr);
}

/* A cgroup and all above it. In a container the path may be one that only the machine has: then the
 * root is ours. */
static int
check_path(const struct version *version, const char *root, char *path, uint64_t bytes,
	   struct mhp_text *reterr)
{
	char folder[400];
	size_t length = strlen(root);
	int err = 0;
	snprintf(folder, sizeof(folder), "%s%s", root, path);
	if (access(folder, X_OK) != 0)
		folder[length] = 0;
	for (char *slash; err == 0; *slash = 0) {
		err = check_cgroup(version, folder, bytes, reterr);
		slash = strrchr(folder, '/');
		MHP__ASSERT(slash != NULL); /* the root has one */
		if (slash < folder + length)
			break;
	}
	return err;
}

/* Lines are hierarchy:controllers:path; the newer version has 0 and no controllers. */
static int
check_cgroups(int pid, uint64_t bytes, struct mhp_text *reterr)
{
	char name[32], text[TEXT_MAX], *rest;
	int err = 0;
	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	if (!read_text(name, text))
		return 0;
	for (char *line = strtok_r(text, "\n", &rest); line != NULL && err == 0;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *controllers = strchr(line, ':');
		char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
		if (path == NULL)
			continue;
		*path++ = 0;
		if (strstr(controllers, ":memory") != NULL || strstr(controllers, ",memory"))
			err = check_path(&versions[0], "/sys/fs/cgroup/memory", path, bytes,
					 reterr);
		else if (strcmp(line, "0:") == 0)
			err = check_path(&versions[1], "/sys/fs/cgroup", path, bytes, reterr);
	}
	return err;
}

static int
check_all(int pid, uint64_t bytes, uint64_t data_bytes, uint64_t more_bytes,
	  struct mhp_text *reterr)
{
	int err = check_rlimits(pid, data_bytes, more_bytes, reterr);
	if (err == 0)
		err = check_cgroups(pid, bytes + SPARE_BYTES, reterr);
	return err != 0 ? err : check_machine(bytes + SPARE_BYTES, reterr);
}

int
mhp__room_check(int pid, uint64_t bytes, uint64_t more_bytes, struct mhp_text *reterr)
{
	return check_all(pid, bytes, bytes, more_bytes, reterr);
}

static int
check_look(const struct mhp__room_look *look, int pid, uint64_t bytes, struct mhp_text *reterr)
{
	return check_all(pid, bytes, look->shared ? 0 : bytes, 0, reterr);
}

int
mhp__room_check_some(struct mhp__room_look *look, int pid, uint64_t bytes, uint64_t now_ns,
		     struct mhp_text *reterr)
{
	if (now_ns >= look->until_ns || bytes > look->left) {
		look->left = 0;
		if (check_look(look, pid, bytes + AHEAD_BYTES, NULL) != 0)
			return check_look(look, pid, bytes, reterr);
		look->left = bytes + AHEAD_BYTES;
		look->until_ns = now_ns + HOLDS_NS;
	}
	MHP__ASSERT(look->left >= bytes);
	look->left -= bytes;
	return 0;
}
