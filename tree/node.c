/* SPDX-License-Identifier: MIT */
/*
 * node.c - the shape of the tree: what an inode number means, and what has which name.
 *
 * A number is the kind, an index and a block; but the root has the number that the kernel wants. A
 * name is looked for among the folders that are always there (folders.c), in the pool's own list of
 * attributes, and among its blocks and nodes.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree.h"

#define ROOT_INO 1U
#define FIRMWARE_PREFIX "firmware/" TREE_BLOCK_PREFIX

/* Of an inode number: kind, index, generation, block. */
#define BLOCK_BITS 24U
#define GENERATION_BITS 27U
#define INDEX_BITS 8U
#define GENERATION_MAX ((UINT32_C(1) << GENERATION_BITS) - 1)

_Static_assert(TREE_ATTRS_MAX <= 1U << INDEX_BITS, "an index has its bits");

uint64_t
tree_ino(const struct tree *tree, struct tree_node node)
{
	if (tree_is(node, tree_fixed_root(tree)))
		return ROOT_INO;
	/* Beyond what has room, it is whichever block is there. */
	uint64_t generation = node.generation <= GENERATION_MAX ? node.generation : 0;
	return (((uint64_t)node.kind << INDEX_BITS | node.index) << GENERATION_BITS | generation)
		       << BLOCK_BITS | node.block;
}

struct tree_node
tree_node_of(const struct tree *tree, uint64_t ino)
{
	struct tree_node node = { .block = ino & ((1U << BLOCK_BITS) - 1) };
	if (ino == ROOT_INO)
		return (struct tree_node){ .kind = TREE_FIXED, .index = tree_fixed_root(tree) };
	ino >>= BLOCK_BITS;
	node.generation = ino & GENERATION_MAX;
	ino >>= GENERATION_BITS;
	node.index = ino & ((1U << INDEX_BITS) - 1);
	node.kind = (enum tree_kind)(ino >> INDEX_BITS);
	return node;
}

unsigned
tree_mode(const struct tree *tree, struct tree_node node)
{
	if (node.kind >= TREE_BLOCK_NODE)
		return S_IFLNK | 0777;
	if (node.kind == TREE_NO_ZONES)
		return S_IFREG | 0444;
	if (node.kind == TREE_ATTR)
		return S_IFREG | tree->attrs[node.index % TREE_ATTRS_MAX].mode;
	return S_IFDIR | 0755;
}

void
tree_link(const struct tree *tree, struct tree_node node, char *text, size_t size)
{
	bool system = tree->opts.root == TREE_ROOT_SYSTEM;
	if (node.kind == TREE_BLOCK_NODE)
		snprintf(text, size, "../../node/" TREE_NODE_PREFIX "%u", node.index);
	else if (node.kind == TREE_BLOCK_SUBSYSTEM)
		snprintf(text, size, "../../../../bus/memory");
	else if (node.kind == TREE_NODE_BLOCK)
		snprintf(text, size, "../../%s" TREE_BLOCK_PREFIX "%u", system ? "memory/" : "",
			 node.block);
	else
		snprintf(text, size, "../../../devices/system/memory/" TREE_BLOCK_PREFIX "%u",
			 node.block);
}

void
tree_request(const struct tree *tree, struct tree_node node, const char *word,
	     struct mhp__line *line)
{
	const struct tree_attr *attr = &tree->attrs[node.index % TREE_ATTRS_MAX];
	const char *prefix = attr->place == TREE_BLOCK ? TREE_BLOCK_PREFIX
			   : attr->place == TREE_OF_NODE ? TREE_NODE_PREFIX
			   : attr->place == TREE_OF_FIRMWARE ? FIRMWARE_PREFIX : NULL;
	char name[96];
	mhp__line_begin(line, word);
	if (prefix != NULL)
		snprintf(name, sizeof(name), "%s%u/%s", prefix, node.block, attr->path);
	else
		snprintf(name, sizeof(name), "%s", attr->path);
	mhp__line_text(line, MHP__F_ATTR, name);
	if (node.generation != 0)
		mhp__line_number(line, MHP__F_AS_OF, node.generation);
}

/* ---- names ---- */

/* PREFIX and a number as one writes it. */
static bool
parse_name(const char *name, const char *prefix, uint32_t max, uint32_t *ret_number)
{
	size_t length = strlen(prefix);
	char *end;
	if (strncmp(name, prefix, length) != 0 || !isdigit((unsigned char)name[length]) ||
	    (name[length] == '0' && name[length + 1] != 0))
		return false;
	unsigned long long number = strtoull(name + length, &end, 10);
	*ret_number = (uint32_t)number;
	return *end == 0 && number <= max;
}

/* From what is known already; 1: that has to be asked for. */
static int
known_number(struct tree_call *call, struct tree_node of, enum tree_number which,
	     uint32_t *ret_number)
{
	struct tree_picture *picture = tree_picture_get(call);
	if (picture == NULL)
		return 1;
	const struct tree_run *run = tree_runs_find(tree_picture_runs(picture), of.block);
	bool there = run != NULL && (of.generation == 0 || run->generation == of.generation);
	if (there)
		*ret_number = which == TREE_NUMBER_NODE ? run->node : run->generation;
	tree_picture_put(picture);
	return there ? 0 : -ENOENT;
}

int
tree_ask_number(struct tree_call *call, const char *name, uint32_t generation, uint32_t *ret_number)
{
	struct mhp__line line;
	struct json_object *text;
	bool answered;
	int err;
	mhp__line_begin(&line, "read");
	mhp__line_text(&line, MHP__F_ATTR, name);
	if (generation != 0)
		mhp__line_number(&line, MHP__F_AS_OF, generation);
	struct json_object *answer = tree_ask(call, &line, &err, &answered);
	if (answer == NULL)
		return answered ? -ENOENT : err;
	if (json_object_object_get_ex(answer, "text", &text))
		*ret_number = (uint32_t)strtoul(json_object_get_string(text), NULL, 10);
	json_object_put(answer);
	return 0;
}

int
tree_block_number(struct tree_call *call, struct tree_node of, enum tree_number which,
		  uint32_t *ret_number)
{
	char name[64];
	int err = known_number(call, of, which, ret_number);
	if (err <= 0)
		return err;
	snprintf(name, sizeof(name), TREE_BLOCK_PREFIX "%u/%s", of.block,
		 which == TREE_NUMBER_NODE ? "node" : "generation");
	return tree_ask_number(call, name, of.generation, ret_number);
}

static bool
find_attr(const struct tree *tree, enum tree_place place, const char *folder, const char *name,
	  struct tree_node parent, struct tree_node *ret_node)
{
	unsigned index = tree_find(tree, place, folder, name, 0);
	enum tree_kind kind = TREE_ATTR;
	if (index == tree->nr_attrs && *folder == 0) { /* or is it a folder itself? */
		index = tree_find(tree, place, name, NULL, 0);
		kind = TREE_FOLDER;
	}
	*ret_node = (struct tree_node){ kind, index, parent.block, parent.generation };
	return index != tree->nr_attrs;
}

/* A block by its name, where its folder, or a link to it, may be. */
static int
lookup_block(struct tree_call *call, const char *name, struct tree_node parent,
	     struct tree_node *ret_node)
{
	struct tree_node found = { .kind = TREE_BLOCK_FOLDER };
	uint32_t node = 0;
	if (!parse_name(name, TREE_BLOCK_PREFIX, (1U << BLOCK_BITS) - 1, &found.block))
		return -ENOENT;
	if (!tree_is(parent, TREE_FIXED_MEMORY)) {
		int err = tree_block_number(call, found, TREE_NUMBER_NODE, &node);
		found.kind = parent.kind == TREE_NODE ? TREE_NODE_BLOCK : TREE_BUS_BLOCK;
		*ret_node = found;
		return err == 0 && parent.kind == TREE_NODE && node != parent.block ? -ENOENT : err;
	}
	int err = tree_block_number(call, found, TREE_NUMBER_GENERATION, &found.generation);
	/* chmem and lsmem look for block 0 to learn whether there are zones at all. */
	if (err == -ENOENT && found.block == 0) {
		found.kind = TREE_NO_BLOCK;
		err = 0;
	}
	*ret_node = found;
	return err;
}

static int
lookup_in_block(struct tree_call *call, struct tree_node block, const char *name,
		struct tree_node *ret_node)
{
	uint32_t asked, node = 0, generation;
	/* The folder of a block that is gone has nothing in it. */
	int err = tree_block_number(call, block, TREE_NUMBER_GENERATION, &generation);
	if (err != 0 || find_attr(call->tree, TREE_BLOCK, "", name, block, ret_node))
		return err;
	if (strcmp(name, "subsystem") == 0) {
		*ret_node = (struct tree_node){ TREE_BLOCK_SUBSYSTEM, 0, block.block, 0 };
		return 0;
	}
	if (!parse_name(name, TREE_NODE_PREFIX, TREE_NODES_MAX, &asked))
		return -ENOENT;
	err = tree_block_number(call, block, TREE_NUMBER_NODE, &node);
	*ret_node = (struct tree_node){ TREE_BLOCK_NODE, node, block.block, 0 };
	return err == 0 && node != asked ? -ENOENT : err;
}

static int
lookup_node(struct tree_call *call, const char *name, struct tree_node *ret_node)
{
	struct tree_runs runs;
	uint32_t node;
	if (!parse_name(name, TREE_NODE_PREFIX, TREE_NODES_MAX, &node))
		return -ENOENT;
	int err = tree_runs_load(call, (int)node, &runs);
	*ret_node = (struct tree_node){ .kind = TREE_NODE, .block = node };
	if (err == 0 && runs.nr == 0)
		err = -ENOENT;
	tree_runs_free(&runs);
	return err;
}

/* A block that firmware has, whether it is there or not. */
static int
lookup_firmware(struct tree_call *call, const char *name, struct tree_node *ret_node)
{
	uint32_t nr = 0;
	*ret_node = (struct tree_node){ .kind = TREE_FIRMWARE };
	if (!parse_name(name, TREE_BLOCK_PREFIX, (1U << BLOCK_BITS) - 1, &ret_node->block))
		return -ENOENT;
	int err = tree_ask_number(call, TREE_FIRMWARE_BLOCKS, 0, &nr);
	return err == 0 && ret_node->block >= nr ? -ENOENT : err;
}

int
tree_lookup(struct tree_call *call, struct tree_node parent, const char *name,
	    struct tree_node *ret_node)
{
	const struct tree *tree = call->tree;
	enum tree_fixed fixed = tree_fixed_find(tree, parent, name);
	char within[64];
	*ret_node = (struct tree_node){ .kind = TREE_FIXED, .index = fixed };
	if (fixed != TREE_FIXED_NONE)
		return 0;
	if (parent.kind == TREE_BLOCK_FOLDER)
		return lookup_in_block(call, parent, name, ret_node);
	if (find_attr(tree, tree_folder_attrs(tree, parent, within, sizeof(within)), within, name,
		      parent, ret_node))
		return 0;
	if (parent.kind == TREE_NO_BLOCK) {
		*ret_node = (struct tree_node){ .kind = TREE_NO_ZONES };
		return strcmp(name, "valid_zones") == 0 ? 0 : -ENOENT;
	}
	if (tree_is(parent, TREE_FIXED_NODES))
		return lookup_node(call, name, ret_node);
	if (tree_is(parent, TREE_FIXED_FIRMWARE_MEMORY))
		return lookup_firmware(call, name, ret_node);
	return parent.kind == TREE_NODE || tree_is(parent, TREE_FIXED_MEMORY) ||
			       tree_is(parent, TREE_FIXED_BUS_DEVICES)
		       ? lookup_block(call, name, parent, ret_node) : -ENOENT;
}
