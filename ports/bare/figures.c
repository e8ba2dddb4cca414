/* SPDX-License-Identifier: MIT */
/*
 * figures.c - cycles of each operation on one block, core and port, nothing else.
 *
 * Each figure is of the engine's call: it includes the port's page tables and, for the offline of a
 * full block, the copying and remapping by the paging client; it includes no ACPI and no console.
 * Three rounds: the first one touches what was never touched before and finds the caches empty; the
 * last two must agree where cycles are instructions (figures=exact on the command line). The
 * neighbour is offline while the block is filled, so that all its pages are in use.
 */
#include "figures.h"

#include "bootmem.h"
#include "console.h"
#include "pager.h"
#include "port.h"
#include "string.h"
#include "cpu.h"

enum { ROUNDS = 3 };

enum figure {
	FIGURE_REMOVE,
	FIGURE_ADD,
	FIGURE_ONLINE,
	FIGURE_OFFLINE_EMPTY,
	FIGURE_OFFLINE_FULL,
	FIGURE_PAGES_MOVED,
	FIGURES,
};

struct bench {
	struct mhp *m;
	uint32_t block;
	struct mhp_blocks neighbour;
	uint64_t overhead;             /* cycles of measuring nothing */
	uint64_t figures[ROUNDS][FIGURES];
};

static int
go_online(const struct bench *bench, uint64_t *ret_cycles)
{
	struct mhp_online_opts opts = { .zone = MHP_ZONE_MOVABLE };
	uint64_t start = cpu_cycles();
	int error = mhp_block_online(bench->m, bench->block, &opts, NULL);

	*ret_cycles = cpu_cycles() - start - bench->overhead;
	return error;
}

static int
go_offline(const struct bench *bench, uint64_t *ret_cycles)
{
	uint64_t start = cpu_cycles();
	int error = mhp_block_offline(bench->m, bench->block, NULL, NULL);

	*ret_cycles = cpu_cycles() - start - bench->overhead;
	return error;
}

static int
remove_and_add(const struct bench *bench, uint64_t *figures)
{
	uint32_t flags = MHP_MEMMAP_ON_MEMORY | MHP_MEMMAP_REQUIRE | MHP_ADD_OFFLINE;
	struct mhp_blocks block = { bench->block, 1 };
	struct mhp_block_info info;
	int error = mhp_block_get(bench->m, bench->block, &info);

	if (error != 0)
		return error;
	struct mhp_add_opts opts = { .flags = flags, .node = info.node,
				     .backing = info.backing };
	uint64_t start = cpu_cycles();
	error = mhp_remove(bench->m, &block, 1, NULL, NULL);
	figures[FIGURE_REMOVE] = cpu_cycles() - start - bench->overhead;
	if (error != 0)
		return error;
	start = cpu_cycles();
	error = mhp_add(bench->m, block, &opts, NULL);
	figures[FIGURE_ADD] = cpu_cycles() - start - bench->overhead;
	return error;
}

/* All of the block's pages in use, and its neighbour back. */
static int
fill_block(const struct bench *bench)
{
	struct mhp_block_info info;
	struct mhp_online_opts opts = { .zone = MHP_ZONE_MOVABLE };
	int error = mhp_offline(bench->m, &bench->neighbour, 1, NULL, NULL);

	if (error == 0)
		error = mhp_block_get(bench->m, bench->block, &info);
	if (error == 0)
		error = pager_fill(info.free_bytes >> PAGE_SHIFT);
	if (error == 0)
		error = mhp_online(bench->m, &bench->neighbour, 1, &opts, NULL);
	return error;
}

static int
one_round(const struct bench *bench, uint64_t *figures)
{
	uint64_t again;
	int error = remove_and_add(bench, figures);

	if (error == 0)
		error = go_online(bench, &figures[FIGURE_ONLINE]);
	if (error == 0)
		error = go_offline(bench, &figures[FIGURE_OFFLINE_EMPTY]);
	if (error == 0)
		error = go_online(bench, &again);
	if (error == 0)
		error = fill_block(bench);
	if (error != 0)
		return error;
	figures[FIGURE_PAGES_MOVED] = pager_nr_pages();
	error = go_offline(bench, &figures[FIGURE_OFFLINE_FULL]);
	if (error == 0 && pager_verify() != 0)
		error = MHP_EIO;
	pager_empty();
	return error;
}

static int
print(const struct bench *bench)
{
	static const char *const names[FIGURES] = { "remove", "add", "online", "offline-empty",
						    "offline-full", "pages-moved" };
	bool exact = text_equal(bootmem_option("figures", ""), "exact");
	int error = 0;

	for (unsigned i = 0; i < FIGURES; i++) {
		uint64_t last = bench->figures[ROUNDS - 1][i];
		uint64_t before = bench->figures[ROUNDS - 2][i];
		say("figure: %13s %9lu, first time %9lu\n", names[i], last, bench->figures[0][i]);
		if (exact && last != before) {
			say("figure: %s was %lu the time before\n", names[i], before);
			error = MHP_EIO;
		}
	}
	return error;
}

int
figures_print(uint32_t block)
{
	struct bench bench = { .m = port_instance(), .block = block,
			       .neighbour = { block + 1, 1 } };
	struct mhp_block_info info;
	uint64_t start = cpu_cycles();

	bench.overhead = cpu_cycles() - start;
	pager_empty();
	int error = mhp_block_get(bench.m, block, &info);
	if (error == 0 && info.state == MHP_ONLINE)
		error = mhp_block_offline(bench.m, block, NULL, NULL);
	for (unsigned i = 0; error == 0 && i < ROUNDS; i++)
		error = one_round(&bench, bench.figures[i]);
	return error != 0 ? error : print(&bench);
}
