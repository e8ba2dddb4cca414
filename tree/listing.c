/* SPDX-License-Identifier: MIT */
/*
 * listing.c - what is in a folder: names that are always there, then blocks.
 *
 * Names other than those of blocks are stored when a reader begins at entry 0. Blocks, of which
 * there may be many, are stored as runs, and each entry is made from them when it is read. So one
 * pass over a folder shows one moment, whatever comes and goes meanwhile, and an offset keeps its
 * meaning.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>

#include "tree.h"

static void
add_fixed(struct tree_listing *listing, const char *name, struct tree_node node)
{
	if (listing->nr_fixed == TREE_ATTRS_MAX)
		return;
	snprintf(listing->fixed[listing->nr_fixed].name, sizeof(listing->fixed[0].name), "%s",
		 name);
	listing->fixed[listing->nr_fixed++].node = node;
}

/* The attributes of the folder, and the folders that others of them lie in. */
static void
add_attrs(const struct tree *tree, struct tree_listing *listing)
{
	uint32_t block = listing->folder.block, generation = listing->folder.generation;
	char folder[64], name[64];
	enum tree_place place = tree_folder_attrs(tree, listing->folder, folder, sizeof(folder));
	if (place == TREE_NOWHERE)
		return;
	for (unsigned i = 0; (i = tree_find(tree, place, folder, NULL, i)) < tree->nr_attrs; i++)
		add_fixed(listing, tree_attr_name(&tree->attrs[i]),
			  (struct tree_node){ TREE_ATTR, i, block, generation });
	for (unsigned i = 0; *folder == 0 && i < tree->nr_attrs; i++) {
		if (tree->attrs[i].place != place || !tree->attrs[i].opens_folder)
			continue;
		tree_attr_folder(&tree->attrs[i], name, sizeof(name));
		add_fixed(listing, name, (struct tree_node){ TREE_FOLDER, i, block, generation });
	}
}

static int
list_block(struct tree_call *call, struct tree_listing *listing)
{
	uint32_t node = 0, block = listing->folder.block;
	char name[32];
	int err = tree_block_number(call, listing->folder, TREE_NUMBER_NODE, &node);
	if (err != 0)
		return err;
	add_attrs(call->tree, listing);
	add_fixed(listing, "subsystem", (struct tree_node){ TREE_BLOCK_SUBSYSTEM, 0, block, 0 });
	snprintf(name, sizeof(name), TREE_NODE_PREFIX "%u", node);
	add_fixed(listing, name, (struct tree_node){ TREE_BLOCK_NODE, node, block, 0 });
	return 0;
}

static int
list_nodes(struct tree_call *call, struct tree_listing *listing)
{
	bool there[TREE_NODES_MAX + 1] = { false };
	struct tree_runs runs;
	char name[32];
	int err = tree_runs_load(call, -1, &runs);
	for (unsigned i = 0; err == 0 && i < runs.nr; i++)
		there[runs.run[i].node & TREE_NODES_MAX] = true;
	for (uint32_t node = 0; node <= TREE_NODES_MAX; node++) {
		if (!there[node])
			continue;
		snprintf(name, sizeof(name), TREE_NODE_PREFIX "%u", node);
		add_fixed(listing, name, (struct tree_node){ .kind = TREE_NODE, .block = node });
	}
	tree_runs_free(&runs);
	return err;
}

static int
list_firmware(struct tree_call *call, struct tree_listing *listing)
{
	uint32_t nr = 0;
	int err = tree_ask_number(call, TREE_FIRMWARE_BLOCKS, 0, &nr);
	return err != 0 ? err : tree_runs_all(nr, &listing->runs);
}

static void
add_folders(const struct tree *tree, struct tree_listing *listing)
{
	const char *name;
	for (enum tree_fixed at = TREE_FIXED_NONE;
	     (at = tree_fixed_next(tree, listing->folder, at, &name)) != TREE_FIXED_NONE;)
		add_fixed(listing, name, (struct tree_node){ .kind = TREE_FIXED, .index = at });
}

int
tree_list(struct tree_call *call, struct tree_node folder, struct tree_listing *listing)
{
	const struct tree *tree = call->tree;
	tree_runs_free(&listing->runs);
	listing->folder = folder;
	listing->nr_fixed = 0;
	if (folder.kind == TREE_BLOCK_FOLDER)
		return list_block(call, listing);
	add_folders(tree, listing);
	add_attrs(tree, listing);
	if (folder.kind == TREE_NO_BLOCK)
		add_fixed(listing, "valid_zones", (struct tree_node){ .kind = TREE_NO_ZONES });
	if (tree_is(folder, TREE_FIXED_NODES))
		return list_nodes(call, listing);
	if (tree_is(folder, TREE_FIXED_FIRMWARE_MEMORY))
		return list_firmware(call, listing);
	if (folder.kind == TREE_NODE)
		return tree_runs_load(call, (int)folder.block, &listing->runs);
	return tree_is(folder, TREE_FIXED_MEMORY) || tree_is(folder, TREE_FIXED_BUS_DEVICES)
		       ? tree_runs_load(call, -1, &listing->runs) : 0;
}

/* The kind of a block's entry in a listing of blocks. */
static enum tree_kind
entry_kind(struct tree_node folder)
{
	if (folder.kind == TREE_NODE)
		return TREE_NODE_BLOCK;
	if (tree_is(folder, TREE_FIXED_FIRMWARE_MEMORY))
		return TREE_FIRMWARE;
	return tree_is(folder, TREE_FIXED_MEMORY) ? TREE_BLOCK_FOLDER : TREE_BUS_BLOCK;
}

bool
tree_listing_at(const struct tree_listing *listing, uint64_t at, char *name, size_t size,
		struct tree_node *ret_node)
{
	uint32_t block;
	if (at < listing->nr_fixed) {
		snprintf(name, size, "%s", listing->fixed[at].name);
		*ret_node = listing->fixed[at].node;
		return true;
	}
	const struct tree_run *run = tree_runs_at(&listing->runs, at - listing->nr_fixed, &block);
	if (run == NULL)
		return false;
	snprintf(name, size, TREE_BLOCK_PREFIX "%u", block);
	*ret_node = (struct tree_node){ .kind = entry_kind(listing->folder), .block = block };
	return true;
}
