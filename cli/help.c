/* SPDX-License-Identifier: MIT */
/*
 * help.c - what each command says about itself: memplug help COMMAND, memplug COMMAND --help.
 *
 * docs/memplug.1 says the same at more length; a test holds the names of the two together.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct {
	const char *name, *usage, *text;
} helps[] = {
	{ "run", "run [OPTION...] -- PROGRAM [ARG...]",
	"Start PROGRAM with its heap in a pool of memory blocks, which the other commands\n"
	"show and change. The command becomes PROGRAM: same process, same status.\n\n"
	"  --name N           what -p finds it by; the name of the program\n"
	"  --boot SIZE        memory to start on; 128M\n"
	"  --max SIZE         how far the heap grows the pool; the cgroup's limit, or\n"
	"                     all memory of the machine\n"
	"  --block-size SIZE  4M to 4T; 128M, or an eighth of a smaller limit\n"
	"  --backing KIND     ram, memfd, hugetlb:2M, dax:DEVICE or file:PATH, with\n"
	"                     ,node=N and ,rank=N if wanted; ram\n"
	"  --grow none        do not grow: a full pool gives the program an error\n"
	"  --follow[=DIR]     shrink and grow with the memory limit of the cgroup, with\n"
	"                     blocks of 16M. DIR is where cgroups are: /sys/fs/cgroup\n"
	"  --mmap[=SIZE]      also hold what the program maps itself, from SIZE on; 256K\n"
	"  --children none    what it starts has no pool, instead of one each, NAME.PID\n"
	"  --huge WHEN        huge pages for large allocations: large, none, auto (none\n"
	"                     where the host takes free memory back); for all: on, off\n"
	"  --placement WORDS  which node fresh pages come from: local, 'prefer 1',\n"
	"                     'interleave 0=3,1' or 'bind 1'; local\n"
	"  --tier[=SIZE]      move memory near or far as it is used, SIZE a second; 64M\n" },
	{ "ps", "ps [--json]",
	"List the pools of this user; for root, of all users. USED is what is not free in\n"
	"the blocks, RESIDENT what the process has in memory, NODES the numbers of its\n"
	"nodes (memplug nodes says what they are). A pool that does not answer, such as\n"
	"that of a stopped program, is listed as not answering.\n" },
	{ "status", "status [--json]",
	"Show the state of a pool on one screen: its size, what is used, how much of the\n"
	"program is in it, and what needs attention. Exit status 1: something does.\n" },
	{ "list", "list [--all] [--json]",
	"List the memory of a pool, blocks that are alike in one range. USED counts pages\n"
	"that belong to the program or wait in caches.\n\n"
	"  --all              each block on a line of its own; then what of the process\n"
	"                     is outside of the pool, and why\n"
	"  --json             every block as JSON\n" },
	{ "map", "map [--svg FILE] [--json]",
	"Draw all blocks: what is online, offline or on its way, and how full. Where\n"
	"there are more blocks than room, a cell stands for several; the legend says for\n"
	"how many.\n\n"
	"  --svg FILE         write a picture to FILE\n" },
	{ "top", "top [--interval SECONDS]", "Watch a pool live. q quits.\n" },
	{ "add",
	"add SIZE [--backing KIND] [--memmap self|external|auto]\n"
	"                   [--zone movable|kernel] [--offline]",
	"Plug SIZE of memory in, a multiple of the block size, and bring it online. SIZE\n"
	"is like 512M, 1.5G, or bytes.\n\n"
	"  --backing KIND     as for run; the one that the pool was started on\n"
	"  --memmap WHERE     page descriptors: self, in the block itself; external, in\n"
	"                     memory of the process; auto, self if possible\n"
	"  --zone ZONE        movable, for data that can leave again, or kernel; movable\n"
	"  --offline          plug in only; memplug online puts it into use\n" },
	{ "online", "online BLOCKS [--zone movable|kernel]",
	"Put offline blocks into use, all or none. BLOCKS are like 3  3-7  3,5-6, or\n"
	"addresses, 0x80000000-0x8fffffff.\n" },
	{ "offline", "offline BLOCKS [--deadline SECONDS] [--dry-run]",
	"Take blocks out of use, all or none: their data moves to other blocks. They stay\n"
	"plugged in.\n\n"
	"  --deadline SECONDS give up after that time; 30\n"
	"  --dry-run          only say whether it would work, and if not, why\n"
	"An interrupt (Ctrl-C) cancels; then the pool is as before.\n" },
	{ "remove", "remove BLOCKS [--deadline SECONDS] [--dry-run]",
	"Take blocks out and give their memory back, all or none. Online blocks go\n"
	"offline first.\n\n"
	"  --deadline SECONDS give up after that time; 30\n"
	"  --dry-run          only say whether it would work, and if not, why\n"
	"An interrupt (Ctrl-C) cancels; then the pool is as before.\n" },
	{ "resize", "resize SIZE [--deadline SECONDS] [--dry-run]",
	"Add or remove blocks until the pool has SIZE, rounded up to whole blocks, online\n"
	"or not, their metadata included; all or nothing. Offline blocks are removed\n"
	"first, then empty ones, then those with the least in them, the highest first;\n"
	"blocks that cannot leave are skipped.\n\n"
	"  --deadline SECONDS give up after that time; 30\n"
	"  --dry-run          only say which blocks would come or go, or why not\n"
	"An interrupt (Ctrl-C) cancels; then the pool is as before.\n" },
	{ "nodes", "nodes [--json]",
	"List the nodes of a pool: RAM of the machine and devices, each with its rank (0\n"
	"is the nearest), and how pages are placed (memplug set placement). HOT and COLD\n"
	"are what tiering has found used and unused (memplug set tiering).\n" },
	{ "move", "move BLOCKS --to NODE [--deadline SECONDS] [--dry-run]",
	"Move all pages of BLOCKS to other blocks, on NODE. The blocks stay in use.\n\n"
	"  --to NODE          a number that memplug nodes lists\n"
	"  --deadline SECONDS give up after that time; 30\n"
	"  --dry-run          only say whether it would work, and how long it may take\n"
	"An interrupt (Ctrl-C) cancels; what has moved by then stays there.\n" },
	{ "evacuate", "evacuate NODE [--to NODE] [--deadline SECONDS] [--dry-run]",
	"Move all pages of NODE to other nodes, remove its blocks, all or none, and close\n"
	"its devices, so that others can use them.\n\n"
	"  --to NODE          only this node takes the pages\n"
	"  --deadline SECONDS give up after that time; 30\n"
	"  --dry-run          only say whether it would work, and how long it may take\n"
	"An interrupt (Ctrl-C) cancels; then all blocks are in use.\n" },
	{ "watch", "watch FOLDER [--policy add|say] [--requests FOLDER]\n"
	"                   [--devices FOLDER] [--deadline SECONDS] [--json]",
	"Watch FOLDER for devices until the program ends: files, or the entries of a DAX\n"
	"bus (/sys/bus/dax/devices). To ask for a device back, make a file NAME.release;\n"
	"it is renamed to NAME.released when the device is empty and closed, else to\n"
	"NAME.refused. While NAME.released exists, the device is left alone.\n\n"
	"  --policy add       add what appears to the pool; say, the default: report it\n"
	"  --requests FOLDER  where NAME.release is; FOLDER itself\n"
	"  --devices FOLDER   where the devices of a bus are; /dev\n"
	"  --deadline SECONDS how long emptying a device may take; 30\n" },
	{ "why", "why BLOCKS... [--json]",
	"Say what keeps each block from leaving by itself and, where there are several,\n"
	"what keeps them from leaving together.\n" },
	{ "get", "get [ATTR] [--json]",
	"Print an attribute of the pool (max_bytes), of a block (memory3/state) or of a\n"
	"node (node1/meminfo), or all of the pool, a block (memory3) or a node (node1).\n" },
	{ "set", "set ATTR VALUE", "Change an attribute; it applies from now on.\n" },
	{ "poison", "poison [--look | [--forget] ADDRESS] [--json]",
	"List the pages that are known to have memory errors. With ADDRESS, take that\n"
	"page out of use: its data moves first, and the page is remembered even when its\n"
	"block is removed and comes back.\n\n"
	"  --look             ask the kernel first what it knows of DAX devices; this is\n"
	"                     also done when one is added, and by watch\n"
	"  --forget           the memory is good again: the page is used when its block\n"
	"                     next comes online\n" },
	{ "check", "check [--json]",
	"Run the verifier over all structures of the pool while the program runs. The\n"
	"exit status is 1 when it finds something.\n" },
	{ "monitor", "monitor [--since NUMBER] [--json]",
	"Print events as they happen, numbered, with the reason of each refusal and where\n"
	"the time went. With --json each event is a line of JSON, which memplug\n"
	"replay and memplug sim --from read.\n\n"
	"  --since NUMBER     begin with this event; the pool remembers the last 4096\n" },
	{ "metrics", "metrics [--listen ADDRESS] [--json]",
	"Print counters, gauges and histograms of all pools of this user, or of one, as\n"
	"OpenMetrics text. With --json print those of one pool as the pool reports them.\n\n"
	"  --listen ADDRESS   serve them at http://ADDRESS/metrics until interrupted:\n"
	"                     PORT, which this machine alone can reach, or HOST:PORT\n" },
	{ "sim", "sim SCENARIO [--svg FILE] [--json]   or   sim --from PLACE",
	"Rehearse the steps of a file on simulated memory, and report how many blocks\n"
	"could leave, what was moved for that, how much metadata there is and how\n"
	"scattered memory is. No pool is needed. A scenario has one step a line:\n\n"
	"  host SIZE          addresses for memory; 1T       block SIZE   128M\n"
	"  memmap external    descriptors in memory of others; self\n"
	"  nodes N            1 to 16; 1                     seed N       of frees; 1\n"
	"  add SIZE [kernel] [node=K]  plug in, for movable data or for anything\n"
	"  use N [kernel] [small] [node=K]  fill N, a size or per cent of what is free,\n"
	"                     with pages of 2M or 4K, which can move, or (kernel) cannot\n"
	"  free N             give some of them back, a size or per cent of what is used\n"
	"  remove N [node=K]  take blocks out, the least used first\n"
	"  repeat N ... end   the steps between them N times\n\n"
	"  --svg FILE         write a picture of it over time to FILE\n"
	"  --from PLACE       print a scenario made of /sys/devices/system/memory or a\n"
	"                     copy, a mounted pool, or a file of memplug monitor --json\n" },
	{ "replay", "replay FILE [--json]",
	"Repeat a recording of memplug monitor --json on simulated memory, and report\n"
	"where the engine now acts differently. No pool is needed.\n" },
	{ "mount", "mount [--sysroot] [-f|--foreground] DIR",
	"Show the pool in DIR as a tree of files like /sys/devices/system/memory, for\n"
	"lsmem, chmem and other tools that read it. fusermount3 -u DIR unmounts it.\n\n"
	"  --sysroot          DIR is a root, with sys/devices/system/memory below it\n"
	"  -f, --foreground   stay in the foreground\n" },
};

const char *
cli_help_usage(const char *name)
{
	for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++)
		if (strcmp(helps[i].name, name) == 0)
			return helps[i].usage;
	return "";
}

bool
cli_help(const char *name)
{
	for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++) {
		if (strcmp(helps[i].name, name) != 0)
			continue;
		printf("usage: memplug %s\n\n", helps[i].usage);
		fputs(helps[i].text, stdout);
		return true;
	}
	return false;
}
