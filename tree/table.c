/* SPDX-License-Identifier: MIT */
/*
 * table.c - the attributes of a pool and where the tree has them.
 *
 * The pool lists them once, when the tree is mounted: what a build of memplug offers does not
 * change while it runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tree.h"

/* The pool's words for places; one that is not known here is nowhere. */
static enum tree_place
place_of(const char *word)
{
	static const char *const words[] = {
		[TREE_POOL] = "pool", [TREE_PARAMETER] = "parameter", [TREE_BLOCK] = "block",
		[TREE_OF_NODE] = "node", [TREE_OF_NODES] = "nodes",
		[TREE_OF_HWPOISON] = "hwpoison", [TREE_OF_VM] = "vm",
		[TREE_OF_ACTIONS] = "actions", [TREE_OF_FIRMWARE] = "firmware",
	};
	for (unsigned i = TREE_POOL; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], word) == 0)
			return (enum tree_place)i;
	return TREE_NOWHERE;
}

static const char *
member(struct json_object *object, const char *name)
{
	struct json_object *value;
	return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : "";
}

static void
append(struct tree *tree, struct json_object *said)
{
	struct tree_attr *attr = &tree->attrs[tree->nr_attrs];
	struct json_object *mode;
	char folder[sizeof(attr->path)];
	*attr = (struct tree_attr){ .place = place_of(member(said, "place")) };
	if (attr->place == TREE_NOWHERE)
		return;
	snprintf(attr->path, sizeof(attr->path), "%s", member(said, "name"));
	const char *slash = strchr(attr->path, '/');
	attr->folder_length = slash != NULL ? (size_t)(slash - attr->path) : 0;
	if (json_object_object_get_ex(said, "mode", &mode))
		attr->mode = (unsigned)json_object_get_int(mode) & 0666;
	tree_attr_folder(attr, folder, sizeof(folder));
	attr->opens_folder = slash != NULL && tree_find(tree, attr->place, folder, NULL, 0) ==
						      tree->nr_attrs;
	tree->nr_attrs++;
}

int
tree_load(struct tree *tree)
{
	struct tree_call call;
	struct json_object *list;
	bool answered;
	int err;
	tree_call_begin(&call, tree, -1);
	struct mhp__line line;
	mhp__line_begin(&line, "attrs");
	struct json_object *answer = tree_ask(&call, &line, &err, &answered);
	tree_call_end(&call);
	if (answer == NULL)
		return err;
	if (!json_object_object_get_ex(answer, "attrs", &list))
		err = -EPROTO;
	for (size_t i = 0; err == 0 && i < json_object_array_length(list); i++)
		if (tree->nr_attrs < TREE_ATTRS_MAX)
			append(tree, json_object_array_get_idx(list, i));
	json_object_put(answer);
	return err;
}

const char *
tree_attr_name(const struct tree_attr *attr)
{
	return attr->path + attr->folder_length + (attr->folder_length != 0);
}

void
tree_attr_folder(const struct tree_attr *attr, char *folder, size_t size)
{
	snprintf(folder, size, "%.*s", (int)attr->folder_length, attr->path);
}

unsigned
tree_nr_folders(const struct tree *tree, struct tree_node node)
{
	unsigned nr = 0;
	for (unsigned i = 0; node.kind == TREE_BLOCK_FOLDER && i < tree->nr_attrs; i++)
		nr += tree->attrs[i].place == TREE_BLOCK && tree->attrs[i].opens_folder;
	return nr;
}

unsigned
tree_find(const struct tree *tree, enum tree_place place, const char *folder, const char *name,
	  unsigned from)
{
	size_t length = strlen(folder);
	for (; from < tree->nr_attrs; from++) {
		const struct tree_attr *attr = &tree->attrs[from];
		if (attr->place == place && attr->folder_length == length &&
		    memcmp(attr->path, folder, length) == 0 &&
		    (name == NULL || strcmp(tree_attr_name(attr), name) == 0))
			break;
	}
	return from;
}
