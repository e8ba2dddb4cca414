/* SPDX-License-Identifier: MIT */
/*
 * attr_node.c - the attributes of a node, as numactl and numastat read them, and of all nodes.
 *
 * Lines and columns are those of Linux 7.3. Kinds of memory that a pool does not have (page cache,
 * slab, swap) are 0 there: all that is in use counts as anonymous memory. The CPUs of a node of RAM
 * are those of the machine's node with its number, and devices have none. How far nodes are from
 * each other follows from their ranks, each of which stands for ten of the kernel's units.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attr.h"

#define DISTANCE_LOCAL 10
#define CPUS_MAX 8192U
#define WORD_BITS 32U

/* Appends, as far as there is room. */
static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t size, const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;
	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static int
node_info(unsigned node, struct mhp_node_info *ret_info)
{
	return mhp_pool_node_get(mhp__control.pool, node, ret_info);
}

/* ---- amounts ---- */

/* The lines of meminfo; those of used and free memory are filled in. */
static const char *const meminfo_lines[] = {
	"SwapCached", "Active", "Inactive", "Active(anon)", "Inactive(anon)", "Active(file)",
	"Inactive(file)", "Unevictable", "Mlocked", "Dirty", "Writeback", "FilePages", "Mapped",
	"AnonPages", "Shmem", "KernelStack", "PageTables", "SecPageTables", "NFS_Unstable",
	"Bounce", "WritebackTmp", "KReclaimable", "Slab", "SReclaimable", "SUnreclaim",
	"AnonHugePages", "ShmemHugePages", "ShmemPmdMapped", "FileHugePages", "FilePmdMapped",
};

static bool
is_in_use(const char *line)
{
	return strcmp(line, "Active") == 0 || strcmp(line, "Active(anon)") == 0 ||
	       strcmp(line, "AnonPages") == 0;
}

static void
meminfo_line(char *text, size_t size, unsigned node, const char *name, uint64_t bytes)
{
	int width = 15 - (int)strlen(name);
	append(text, size, "Node %u %s:%*s%8" PRIu64 " kB\n", node, name, width > 0 ? width : 0, "",
	       bytes >> 10);
}

static int
show_meminfo(const struct mhp__subject *subject, char *text, size_t size)
{
	struct mhp_node_info info;
	unsigned node = subject->node;
	int err = node_info(node, &info);
	*text = 0;
	if (err != 0)
		return err;
	meminfo_line(text, size, node, "MemTotal", info.used_bytes + info.free_bytes);
	meminfo_line(text, size, node, "MemFree", info.free_bytes);
	meminfo_line(text, size, node, "MemUsed", info.used_bytes);
	for (size_t i = 0; i < sizeof(meminfo_lines) / sizeof(meminfo_lines[0]); i++)
		meminfo_line(text, size, node, meminfo_lines[i],
			     is_in_use(meminfo_lines[i]) ? info.used_bytes : 0);
	append(text, size, "Node %u HugePages_Total: %5u\nNode %u HugePages_Free:  %5u\n"
	       "Node %u HugePages_Surp:  %5u", node, 0, node, 0, node, 0);
	return 0;
}

/* Allocations are not counted by the node that asked. */
static int
show_numastat(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	snprintf(text, size, "numa_hit 0\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\n"
		 "local_node 0\nother_node 0");
	return 0;
}

static int
show_vmstat(const struct mhp__subject *subject, char *text, size_t size)
{
	struct mhp_node_info info;
	unsigned shift = mhp_get_geometry(mhp__control.m)->page_shift;
	int err = node_info(subject->node, &info);
	if (err == 0)
		snprintf(text, size, "nr_free_pages %" PRIu64 "\nnr_active_anon %" PRIu64
			 "\nnr_anon_pages %" PRIu64, info.free_bytes >> shift,
			 info.used_bytes >> shift, info.used_bytes >> shift);
	return err;
}

static int
show_distance(const struct mhp__subject *subject, char *text, size_t size)
{
	struct mhp_node_info here, there;
	int err = node_info(subject->node, &here);
	*text = 0;
	for (unsigned node = 0; err == 0 && node < MHP_POOL_NODES; node++) {
		if (node_info(node, &there) != 0)
			continue;
		int ranks = here.rank > there.rank ? here.rank : there.rank;
		if (node != subject->node && ranks == 0)
			ranks = 1;
		append(text, size, "%s%d", *text != 0 ? " " : "",
		       DISTANCE_LOCAL * (node == subject->node ? 1 : 1 + ranks));
	}
	return err;
}

/* ---- CPUs ---- */

/* Not through a mount: somebody may have put a tree of ours over the machine's, and that one would
 * ask us. */
static bool
read_sysfs(const char *path, char *text, size_t size)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV };
	int sys = open("/sys", O_PATH | O_CLOEXEC);
	long fd = sys < 0 ? -1 : syscall(SYS_openat2, sys, path, &how, sizeof(how));
	ssize_t got = fd < 0 ? -1 : read((int)fd, text, size - 1);
	if (fd >= 0)
		close((int)fd);
	if (sys >= 0)
		close(sys);
	text[got > 0 ? got : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	return got > 0;
}

static int
show_cpulist(const struct mhp__subject *subject, char *text, size_t size)
{
	struct mhp_node_info info;
	char path[64];
	int err = node_info(subject->node, &info);
	*text = 0;
	if (err != 0 || info.device)
		return err;
	snprintf(path, sizeof(path), "devices/system/node/node%u/cpulist", subject->node);
	/* A machine may have no nodes. */
	if (!read_sysfs(path, text, size) && subject->node == 0)
		(void)!read_sysfs("devices/system/cpu/online", text, size);
	return 0;
}

/* A list like 0-1,3 as bits; the number of words that have some. */
static unsigned
read_bits(const char *list, uint32_t *words, unsigned nr_words)
{
	unsigned used = 0;
	while (*list >= '0' && *list <= '9') {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (unsigned long cpu = first; cpu <= last && cpu / WORD_BITS < nr_words; cpu++) {
			words[cpu / WORD_BITS] |= UINT32_C(1) << cpu % WORD_BITS;
			used = (unsigned)(cpu / WORD_BITS) + 1;
		}
		list = *end == ',' ? end + 1 : end;
	}
	return used;
}

static int
show_cpumap(const struct mhp__subject *subject, char *text, size_t size)
{
	uint32_t words[CPUS_MAX / WORD_BITS] = { 0 };
	int err = show_cpulist(subject, text, size);
	unsigned used = err == 0 ? read_bits(text, words, CPUS_MAX / WORD_BITS) : 0;
	*text = 0;
	for (unsigned i = used > 0 ? used : 1; i-- > 0;)
		append(text, size, "%s%08" PRIx32, *text != 0 ? "," : "", words[i]);
	return err;
}

/* ---- all nodes ---- */

/* Those for which `has` says so; NULL: all that are there. */
static int
list_nodes(char *text, size_t size, bool (*has)(unsigned node, const struct mhp_node_info *info))
{
	bool before = false;
	unsigned first = 0;
	*text = 0;
	for (unsigned node = 0; node <= MHP_POOL_NODES; node++) {
		struct mhp_node_info info;
		bool now = node < MHP_POOL_NODES && node_info(node, &info) == 0 &&
			   (has == NULL || has(node, &info));
		if (now && !before)
			first = node;
		if (before && !now)
			append(text, size, "%s%u", *text != 0 ? "," : "", first);
		if (before && !now && first + 1 < node)
			append(text, size, "-%u", node - 1);
		before = now;
	}
	return 0;
}

int
mhp__show_nodes(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return list_nodes(text, size, NULL);
}

int
mhp__show_nodes_possible(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	snprintf(text, size, "0-%u", MHP_POOL_NODES - 1);
	return 0;
}

static bool
has_cpu(unsigned node, const struct mhp_node_info *info)
{
	struct mhp__subject subject = { .node = node };
	char text[MHP__ATTR_TEXT];
	(void)info;
	return show_cpulist(&subject, text, sizeof(text)) == 0 && *text != 0;
}

int
mhp__show_nodes_cpu(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return list_nodes(text, size, has_cpu);
}

static bool
has_memory(unsigned node, const struct mhp_node_info *info)
{
	(void)node;
	return info->nr_online != 0;
}

int
mhp__show_nodes_memory(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return list_nodes(text, size, has_memory);
}

/* Is a block of the node online for anything, not only for what can move? */
static bool
has_normal(unsigned node, const struct mhp_node_info *ignored)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	uint32_t cursor = 0;
	(void)ignored;
	while (mhp__next_run(&cursor, &run, &info))
		if (info.state == MHP_ONLINE && info.zone == MHP_ZONE_NORMAL && info.node == node)
			return true;
	return false;
}

int
mhp__show_nodes_normal(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject;
	return list_nodes(text, size, has_normal);
}

int
mhp__show_nodes_none(const struct mhp__subject *subject, char *text, size_t size)
{
	(void)subject, (void)size;
	*text = 0;
	return 0;
}

#define NODE MHP__PLACE_NODE

const struct mhp__attr mhp__node_attrs[] = {
	{ "meminfo", NODE, 0444, show_meminfo, NULL, 0 },
	{ "numastat", NODE, 0444, show_numastat, NULL, 0 },
	{ "vmstat", NODE, 0444, show_vmstat, NULL, 0 },
	{ "distance", NODE, 0444, show_distance, NULL, 0 },
	{ "cpulist", NODE, 0444, show_cpulist, NULL, 0 },
	{ "cpumap", NODE, 0444, show_cpumap, NULL, 0 },
	{ "memory_failure/total", NODE, 0444, mhp__show_failures, NULL, 0 },
	{ "memory_failure/recovered", NODE, 0444, mhp__show_failures_recovered, NULL, 0 },
	{ "memory_failure/failed", NODE, 0444, mhp__show_failures_failed, NULL, 0 },
	{ "memory_failure/ignored", NODE, 0444, mhp__show_zero, NULL, 0 },
	{ "memory_failure/delayed", NODE, 0444, mhp__show_zero, NULL, 0 },
	MHP__POWER_ATTRS(NODE),
};
const size_t mhp__nr_node_attrs = sizeof(mhp__node_attrs) / sizeof(mhp__node_attrs[0]);
