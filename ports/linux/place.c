/* SPDX-License-Identifier: MIT */
/*
 * place.c - the nodes of a pool: which memory is on which, and how near it is.
 *
 * A node is memory of one place: RAM, or a device. RAM has the number that the kernel gives it, and
 * what is not bound is node 0; a device is never on a node of RAM. An add may name node and rank;
 * what is not said is asked from the kernel. Distances there are 10 for what is local: the rank is
 * how many tens that is beyond the first, one more for a device, two for a file. Hotplug mutex
 * held, but for the order, which is one word. Knows no pool and no region.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "space.h"

#define DISTANCE_LOCAL 10
#define NUMA_MAX 1024
#define NODES_PATH "devices/system/node/node"

_Static_assert(MHP_POOL_NODES * 4 == 64, "the order of all nodes is one word");

/* Huge pages that are bound to no NUMA node are a place of their own: what goes there is copied. */
static bool
is_ram(const struct mhp__file *file)
{
	const struct mhp_backing *backing = &file->backing;
	return backing->kind == MHP_BACKING_RAM || backing->kind == MHP_BACKING_MEMFD ||
	       (backing->bind && backing->path[0] == 0);
}

/* ---- what the kernel says ---- */

static bool
numa_exists(int numa)
{
	char path[64];
	snprintf(path, sizeof(path), NODES_PATH "%d", numa);
	int fd = numa < 0 ? -1 : mhp__open_sysfs(path, O_PATH);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A number that may be negative, as those of nodes are; -1: there is none. */
static int
read_node(const char *path)
{
	char text[16] = "";
	int fd = mhp__open_sysfs(path, O_RDONLY);
	ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	return got <= 0 ? -1 : atoi(text);
}

/* How far NUMA node to is from NUMA node from; a row has only those that are there. */
static int
distance(int from, int to)
{
	char path[64], row[1024] = "", *next = row;
	snprintf(path, sizeof(path), NODES_PATH "%d/distance", from);
	int fd = mhp__open_sysfs(path, O_RDONLY);
	ssize_t got = fd < 0 ? 0 : read(fd, row, sizeof(row) - 1);
	if (fd >= 0)
		close(fd);
	for (int numa = 0; got > 0 && numa <= to && numa < NUMA_MAX; numa++) {
		if (!numa_exists(numa))
			continue;
		long found = strtol(next, &next, 10);
		if (numa == to && found > 0)
			return (int)found;
	}
	return DISTANCE_LOCAL;
}

/* Where a device or file says that it is: the node that its memory would be, or one near it. */
static int
device_node(const struct mhp__file *file, const char *attribute)
{
	char path[96];
	struct stat st;
	if (fstat(file->fd, &st) != 0)
		return -1;
	if (file->backing.kind == MHP_BACKING_DAX)
		snprintf(path, sizeof(path), "dev/char/%u:%u/%s", major(st.st_rdev),
			 minor(st.st_rdev), attribute);
	else
		snprintf(path, sizeof(path), "dev/block/%u:%u/device/%s", major(st.st_dev),
			 minor(st.st_dev), attribute);
	return read_node(path);
}

static int
usual_rank(const struct mhp__file *file)
{
	unsigned here = 0;
	(void)syscall(SYS_getcpu, NULL, &here, NULL);
	int far = file->numa < 0 ? DISTANCE_LOCAL : distance((int)here, file->numa);
	int rank = (far + DISTANCE_LOCAL - 1) / DISTANCE_LOCAL - 1;
	if (file->backing.kind == MHP_BACKING_DAX)
		rank += 1;
	if (file->backing.kind == MHP_BACKING_FILE)
		rank += 2;
	return rank > MHP_POOL_RANK_MAX ? MHP_POOL_RANK_MAX : rank;
}

/* ---- what is on a node ---- */

/* The files of a node, one after the other from *at on; NULL: no more. */
static const struct mhp__file *
next_file(const struct mhp__space *space, unsigned node, unsigned *at)
{
	while (*at < MHP__FILES_MAX) {
		const struct mhp__file *file = &space->file[(*at)++];
		if (file->live && file->node == node)
			return file;
	}
	return NULL;
}

int
mhp__place_kind(const struct mhp__space *space, unsigned node)
{
	unsigned at = 0;
	const struct mhp__file *file = next_file(space, node, &at);
	return file == NULL ? -1 : is_ram(file) ? 0 : 1;
}

uint64_t
mhp__place_granule(const struct mhp__space *space, unsigned node)
{
	uint64_t granule = mhp__kernel_page();
	const struct mhp__file *file;
	for (unsigned at = 0; (file = next_file(space, node, &at)) != NULL;)
		if (file->granule > granule)
			granule = file->granule;
	return granule;
}

/* "hugetlb-2M of NUMA node 1"; returns how long it is. */
static size_t
name_place(const struct mhp__file *file, char *text, size_t size)
{
	const struct mhp_backing *backing = &file->backing;
	bool bound = is_ram(file) && backing->bind;
	int length = bound
		? snprintf(text, size, "%s of NUMA node %d", mhp_backing_name(backing->kind),
			   backing->node)
		: snprintf(text, size, "%s%s%s", mhp_backing_name(backing->kind),
			   backing->path[0] != 0 ? ":" : "", backing->path);
	return (size_t)length < size ? (size_t)length : size - 1;
}

void
mhp__place_describe(const struct mhp__space *space, unsigned node, struct mhp_node_info *ret_info)
{
	unsigned at = 0, more = 0;
	const struct mhp__file *file = next_file(space, node, &at);
	ret_info->rank = space->rank[node];
	ret_info->numa = -1;
	ret_info->granule_bytes = mhp__place_granule(space, node);
	if (file == NULL) {
		snprintf(ret_info->place, sizeof(ret_info->place), "ram");
		return;
	}
	ret_info->device = !is_ram(file);
	ret_info->numa = file->numa;
	size_t used = name_place(file, ret_info->place, sizeof(ret_info->place));
	while (next_file(space, node, &at) != NULL)
		more++;
	if (more != 0)
		snprintf(ret_info->place + used, sizeof(ret_info->place) - used, " and %u more",
			 more);
}

/* ---- choosing ---- */

/* Node 0 is RAM even when there is none. */
static bool
takes_device(const struct mhp__space *space, int node)
{
	return node > 0 && node < (int)MHP_POOL_NODES &&
	       mhp__place_kind(space, (unsigned)node) != 0;
}

/* The first node with nothing on it that is no NUMA node either; else the last one of devices. */
static int
find_node(const struct mhp__space *space)
{
	int last = -1;
	for (int node = 1; node < (int)MHP_POOL_NODES; node++) {
		int kind = mhp__place_kind(space, (unsigned)node);
		if (kind < 0 && !numa_exists(node))
			return node;
		if (kind == 1)
			last = node;
	}
	return last;
}

static int
choose_for_device(const struct mhp__space *space, const struct mhp__file *file, int *ret_node,
		  struct mhp_text *reterr)
{
	const struct mhp_backing *backing = &file->backing;
	int own = backing->kind == MHP_BACKING_DAX ? device_node(file, "target_node") : -1;
	if (!backing->bind) {
		*ret_node = takes_device(space, own) ? own : find_node(space);
		return *ret_node >= 0 ? 0 : mhp__say(reterr, MHP_ENOSPC, "a pool has %u nodes, and "
						     "all are in use", MHP_POOL_NODES);
	}
	*ret_node = backing->node;
	if (own >= 0 && own != backing->node && numa_exists(backing->node))
		return mhp__say(reterr, MHP_EINVAL, "%s is on NUMA node %d, not on node %d",
				backing->path, own, backing->node);
	if (!takes_device(space, backing->node))
		return mhp__say(reterr, MHP_EINVAL,
				"node %d is no node for %s: a device has one of 1 to %u that has "
				"no RAM of the pool", backing->node, backing->path,
				MHP_POOL_NODES - 1);
	return 0;
}

static int
choose_for_ram(const struct mhp__space *space, const struct mhp__file *file, int *ret_node,
	       struct mhp_text *reterr)
{
	const struct mhp_backing *backing = &file->backing;
	*ret_node = backing->bind ? backing->node : 0;
	if (*ret_node >= (int)MHP_POOL_NODES && !numa_exists(*ret_node))
		return mhp__say(reterr, MHP_ENOENT,
				"this machine has no NUMA node %d; see /sys/devices/system/node",
				*ret_node);
	if (*ret_node >= (int)MHP_POOL_NODES)
		return mhp__say(reterr, MHP_EINVAL, "a pool has RAM of NUMA nodes 0 to %u only",
				MHP_POOL_NODES - 1);
	if (mhp__place_kind(space, (unsigned)*ret_node) == 1)
		return mhp__say(reterr, MHP_EBUSY,
				"node %d of the pool is a device already; add that with another "
				"node=", *ret_node);
	return 0;
}

/* Nodes by rank, those alike by number. */
static void
sort(struct mhp__space *space)
{
	unsigned node[MHP_POOL_NODES];
	uint64_t order = 0;
	for (unsigned i = 0; i < MHP_POOL_NODES; i++) {
		unsigned at = i;
		for (; at > 0 && space->rank[node[at - 1]] > space->rank[i]; at--)
			node[at] = node[at - 1];
		node[at] = i;
	}
	for (unsigned i = MHP_POOL_NODES; i-- > 0;)
		order = order << 4 | node[i];
	atomic_store(&space->order, order);
}

int
mhp__place_choose(struct mhp__space *space, struct mhp__file *file, struct mhp_text *reterr)
{
	const struct mhp_backing *backing = &file->backing;
	int node, err;
	file->live = false; /* it is on no node yet */
	if (is_ram(file)) {
		err = choose_for_ram(space, file, &node, reterr);
		file->numa = backing->bind ? backing->node : -1;
	} else {
		err = choose_for_device(space, file, &node, reterr);
		file->numa = device_node(file, "numa_node");
	}
	if (err == 0) {
		bool first = mhp__place_kind(space, (unsigned)node) < 0;
		file->node = (uint8_t)node;
		if (backing->ranked || first)
			space->rank[node] =
				(uint8_t)(backing->ranked ? backing->rank : usual_rank(file));
		sort(space);
	}
	file->live = true;
	return err;
}

int
mhp__place_again(struct mhp__space *space, const struct mhp__file *file,
		 const struct mhp_backing *backing, struct mhp_text *reterr)
{
	if (backing->bind && backing->node != file->node)
		return mhp__say(reterr, MHP_EBUSY, "%s is node %d already",
				backing->path[0] != 0 ? backing->path :
				mhp_backing_name(backing->kind), file->node);
	if (backing->ranked) {
		space->rank[file->node] = (uint8_t)backing->rank;
		sort(space);
	}
	return 0;
}
