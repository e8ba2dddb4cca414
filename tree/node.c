/* SPDX-License-Identifier: MIT */
/*
 * node.c - the shape of the tree: what an inode number means, what is in which folder.
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
#define BLOCK_PREFIX "memory"
#define NODE_PREFIX "node"
#define NODES_MAX 255U

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
		snprintf(text, size, "../../node/" NODE_PREFIX "%u", node.index);
	else if (node.kind == TREE_BLOCK_SUBSYSTEM)
		snprintf(text, size, "../../../../bus/memory");
	else if (node.kind == TREE_NODE_BLOCK)
		snprintf(text, size, "../../%s" BLOCK_PREFIX "%u", system ? "memory/" : "",
			 node.block);
	else
		snprintf(text, size, "../../../devices/system/memory/" BLOCK_PREFIX "%u",
			 node.block);
}

void
tree_request(const struct tree *tree, struct tree_node node, const char *word,
	     struct mhp__line *line)
{
	const struct tree_attr *attr = &tree->attrs[node.index % TREE_ATTRS_MAX];
	char name[96];
	mhp__line_begin(line, word);
	if (attr->place == TREE_BLOCK || attr->place == TREE_OF_NODE)
		snprintf(name, sizeof(name), "%s%u/%s",
			 attr->place == TREE_BLOCK ? BLOCK_PREFIX : NODE_PREFIX, node.block,
			 attr->path);
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

enum number { GENERATION, NODE };

/* From what is known already; 1: that has to be asked for. */
static int
known_number(struct tree_call *call, struct tree_node of, enum number which, uint32_t *ret_number)
{
	struct tree_picture *picture = tree_picture_get(call);
	if (picture == NULL)
		return 1;
	const struct tree_run *run = tree_runs_find(tree_picture_runs(picture), of.block);
	bool there = run != NULL && (of.generation == 0 || run->generation == of.generation);
	if (there)
		*ret_number = which == NODE ? run->node : run->generation;
	tree_picture_put(picture);
	return there ? 0 : -ENOENT;
}

/* A number that the pool knows of the block of a node; -ENOENT: there is no such block. */
static int
block_number(struct tree_call *call, struct tree_node of, enum number which, uint32_t *ret_number)
{
	char name[64];
	struct mhp__line line;
	struct json_object *text;
	bool answered;
	int err = known_number(call, of, which, ret_number);
	if (err <= 0)
		return err;
	snprintf(name, sizeof(name), BLOCK_PREFIX "%u/%s", of.block,
		 which == NODE ? "node" : "generation");
	mhp__line_begin(&line, "read");
	mhp__line_text(&line, MHP__F_ATTR, name);
	if (of.generation != 0)
		mhp__line_number(&line, MHP__F_AS_OF, of.generation);
	struct json_object *answer = tree_ask(call, &line, &err, &answered);
	if (answer == NULL)
		return answered ? -ENOENT : err;
	if (json_object_object_get_ex(answer, "text", &text))
		*ret_number = (uint32_t)strtoul(json_object_get_string(text), NULL, 10);
	json_object_put(answer);
	return 0;
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
	if (!parse_name(name, BLOCK_PREFIX, (1U << BLOCK_BITS) - 1, &found.block))
		return -ENOENT;
	if (!tree_is(parent, TREE_FIXED_MEMORY)) {
		int err = block_number(call, found, NODE, &node);
		found.kind = parent.kind == TREE_NODE ? TREE_NODE_BLOCK : TREE_BUS_BLOCK;
		*ret_node = found;
		return err == 0 && parent.kind == TREE_NODE && node != parent.block ? -ENOENT : err;
	}
	int err = block_number(call, found, GENERATION, &found.generation);
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
	int err = block_number(call, block, GENERATION, &generation);
	if (err != 0 || find_attr(call->tree, TREE_BLOCK, "", name, block, ret_node))
		return err;
	if (strcmp(name, "subsystem") == 0) {
		*ret_node = (struct tree_node){ TREE_BLOCK_SUBSYSTEM, 0, block.block, 0 };
		return 0;
	}
	if (!parse_name(name, NODE_PREFIX, NODES_MAX, &asked))
		return -ENOENT;
	err = block_number(call, block, NODE, &node);
	*ret_node = (struct tree_node){ TREE_BLOCK_NODE, node, block.block, 0 };
	return err == 0 && node != asked ? -ENOENT : err;
}

static int
lookup_node(struct tree_call *call, const char *name, struct tree_node *ret_node)
{
	struct tree_runs runs;
	uint32_t node;
	if (!parse_name(name, NODE_PREFIX, NODES_MAX, &node))
		return -ENOENT;
	int err = tree_runs_load(call, (int)node, &runs);
	*ret_node = (struct tree_node){ .kind = TREE_NODE, .block = node };
	if (err == 0 && runs.nr == 0)
		err = -ENOENT;
	tree_runs_free(&runs);
	return err;
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
	return parent.kind == TREE_NODE || tree_is(parent, TREE_FIXED_MEMORY) ||
			       tree_is(parent, TREE_FIXED_BUS_DEVICES)
		       ? lookup_block(call, name, parent, ret_node) : -ENOENT;
}

/* ---- listings ---- */

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
	int err = block_number(call, listing->folder, NODE, &node);
	if (err != 0)
		return err;
	add_attrs(call->tree, listing);
	add_fixed(listing, "subsystem", (struct tree_node){ TREE_BLOCK_SUBSYSTEM, 0, block, 0 });
	snprintf(name, sizeof(name), NODE_PREFIX "%u", node);
	add_fixed(listing, name, (struct tree_node){ TREE_BLOCK_NODE, node, block, 0 });
	return 0;
}

static int
list_nodes(struct tree_call *call, struct tree_listing *listing)
{
	bool there[NODES_MAX + 1] = { false };
	struct tree_runs runs;
	char name[32];
	int err = tree_runs_load(call, -1, &runs);
	for (unsigned i = 0; err == 0 && i < runs.nr; i++)
		there[runs.run[i].node & NODES_MAX] = true;
	for (uint32_t node = 0; node <= NODES_MAX; node++) {
		if (!there[node])
			continue;
		snprintf(name, sizeof(name), NODE_PREFIX "%u", node);
		add_fixed(listing, name, (struct tree_node){ .kind = TREE_NODE, .block = node });
	}
	tree_runs_free(&runs);
	return err;
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
	if (folder.kind == TREE_NODE)
		return tree_runs_load(call, (int)folder.block, &listing->runs);
	return tree_is(folder, TREE_FIXED_MEMORY) || tree_is(folder, TREE_FIXED_BUS_DEVICES)
		       ? tree_runs_load(call, -1, &listing->runs) : 0;
}

/* What a block is in a listing of blocks. */
static enum tree_kind
entry_kind(struct tree_node folder)
{
	if (folder.kind == TREE_NODE)
		return TREE_NODE_BLOCK;
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
	snprintf(name, size, BLOCK_PREFIX "%u", block);
	*ret_node = (struct tree_node){ .kind = entry_kind(listing->folder), .block = block };
	return true;
}
