/* SPDX-License-Identifier: MIT */
/*
 * folders.c - the folders that are always there, and which attributes are files of which folder.
 *
 * A tree begins at the folder of the memory blocks, or at a root that has everything where a
 * machine has it. Folders that a machine has elsewhere are beside the blocks in the first kind of
 * tree. Pure functions of a table; which blocks and nodes there are is not known here.
 */
#include <string.h>

#include "tree.h"

#define NO_FOLDER TREE_FIXED_NONE

/* The folder that each is in, for both kinds of tree, and its attributes: those of a place that
 * lie in the folder `within` of their names. */
static const struct {
	const char *name;
	enum tree_fixed in_system, in_memory;
	enum tree_place place;
	const char *within;
} folders[TREE_FIXED_FOLDERS] = {
	[TREE_FIXED_ROOT] = { "", NO_FOLDER, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_SYS] = { "sys", TREE_FIXED_ROOT, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_BUS] = { "bus", TREE_FIXED_SYS, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_DEVICES] = { "devices", TREE_FIXED_SYS, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_MODULE] = { "module", TREE_FIXED_SYS, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_SYSTEM] = { "system", TREE_FIXED_DEVICES, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_MEMORY] = { "memory", TREE_FIXED_SYSTEM, NO_FOLDER, TREE_POOL, "" },
	[TREE_FIXED_NODES] = { "node", TREE_FIXED_SYSTEM, TREE_FIXED_MEMORY, TREE_OF_NODES,
			       "node" },
	[TREE_FIXED_BUS_MEMORY] = { "memory", TREE_FIXED_BUS, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_BUS_DEVICES] = { "devices", TREE_FIXED_BUS_MEMORY, NO_FOLDER, TREE_NOWHERE,
				     "" },
	[TREE_FIXED_MODULE_MEMORY] = { "memory_hotplug", TREE_FIXED_MODULE, NO_FOLDER,
				       TREE_NOWHERE, "" },
	[TREE_FIXED_PARAMETERS] = { "parameters", TREE_FIXED_MODULE_MEMORY, TREE_FIXED_MEMORY,
				    TREE_PARAMETER, "" },
	[TREE_FIXED_KERNEL] = { "kernel", TREE_FIXED_SYS, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_DEBUG] = { "debug", TREE_FIXED_KERNEL, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_HWPOISON] = { "hwpoison", TREE_FIXED_DEBUG, TREE_FIXED_MEMORY,
				  TREE_OF_HWPOISON, "hwpoison" },
	[TREE_FIXED_INJECT] = { "notifier-error-inject", TREE_FIXED_DEBUG, TREE_FIXED_MEMORY,
				TREE_NOWHERE, "" },
	[TREE_FIXED_INJECT_MEMORY] = { "memory", TREE_FIXED_INJECT, TREE_FIXED_INJECT,
				       TREE_NOWHERE, "" },
	[TREE_FIXED_ACTIONS] = { "actions", TREE_FIXED_INJECT_MEMORY, TREE_FIXED_INJECT_MEMORY,
				 TREE_OF_ACTIONS, "" },
	[TREE_FIXED_FIRMWARE] = { "firmware", TREE_FIXED_SYS, TREE_FIXED_MEMORY, TREE_NOWHERE, "" },
	[TREE_FIXED_FIRMWARE_MEMORY] = { "memory", TREE_FIXED_FIRMWARE, TREE_FIXED_FIRMWARE,
					 TREE_NOWHERE, "" },
	[TREE_FIXED_PROC] = { "proc", TREE_FIXED_ROOT, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_PROC_SYS] = { "sys", TREE_FIXED_PROC, NO_FOLDER, TREE_NOWHERE, "" },
	[TREE_FIXED_VM] = { "vm", TREE_FIXED_PROC_SYS, TREE_FIXED_MEMORY, TREE_OF_VM, "vm" },
};

enum tree_fixed
tree_fixed_root(const struct tree *tree)
{
	return tree->opts.root == TREE_ROOT_MEMORY ? TREE_FIXED_MEMORY : TREE_FIXED_ROOT;
}

enum tree_fixed
tree_fixed_next(const struct tree *tree, struct tree_node parent, enum tree_fixed after,
		const char **ret_name)
{
	unsigned i = after + 1U;
	if (parent.kind != TREE_FIXED)
		return TREE_FIXED_NONE;
	for (; i < TREE_FIXED_FOLDERS; i++) {
		enum tree_fixed in = tree->opts.root == TREE_ROOT_MEMORY ? folders[i].in_memory
									  : folders[i].in_system;
		if (in == parent.index)
			break;
	}
	if (i == TREE_FIXED_FOLDERS)
		return TREE_FIXED_NONE;
	*ret_name = folders[i].name;
	return (enum tree_fixed)i;
}

enum tree_fixed
tree_fixed_find(const struct tree *tree, struct tree_node parent, const char *name)
{
	const char *has = "";
	enum tree_fixed at = TREE_FIXED_NONE;
	do
		at = tree_fixed_next(tree, parent, at, &has);
	while (at != TREE_FIXED_NONE && strcmp(has, name) != 0);
	return at;
}

enum tree_place
tree_folder_attrs(const struct tree *tree, struct tree_node folder, char *within, size_t size)
{
	const struct tree_attr *attr = &tree->attrs[folder.index % TREE_ATTRS_MAX];
	*within = 0;
	switch (folder.kind) {
	case TREE_FIXED:
		strncat(within, folders[folder.index % TREE_FIXED_FOLDERS].within, size - 1);
		return folders[folder.index % TREE_FIXED_FOLDERS].place;
	case TREE_FOLDER:
		tree_attr_folder(attr, within, size);
		return attr->place;
	case TREE_NODE:
		return TREE_OF_NODE;
	case TREE_FIRMWARE:
		return TREE_OF_FIRMWARE;
	case TREE_BLOCK_FOLDER:
		return TREE_BLOCK;
	default:
		return TREE_NOWHERE;
	}
}
