/* SPDX-License-Identifier: MIT */
/*
 * tree.h - a pool as a file system with the names, modes and errors of the kernel's memory blocks.
 *
 * It runs in a process of its own and knows a pool by its socket alone: which attributes there are
 * it learns from the pool, and it keeps nothing of what they say. Every inode number says by itself
 * what it is, so there is no table of inodes, and nothing to go stale but what the pool has.
 */
#ifndef MHP_TREE_TREE_H
#define MHP_TREE_TREE_H

#include <json-c/json.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "../control/client.h"
#include "../control/fields.h"

/* Where the tree's root is: in the folder of the memory blocks, or in all that is around it. */
enum tree_root {
	TREE_ROOT_MEMORY,
	TREE_ROOT_SYSTEM,
};

struct tree_opts {
	enum tree_root root;
	bool foreground;
};

/*
 * Mount the tree of a pool on a folder and serve it: in the background, once it is mounted, or
 * until it is unmounted or told to end. Returns 0, or -1 when that was not to be; what was in the
 * way is printed.
 */
int tree_mount(const struct mhp__peer *peer, const char *folder, const struct tree_opts *opts);

/* ---- table.c: the attributes, as the pool lists them ---- */

enum tree_place {
	TREE_NOWHERE,
	TREE_POOL,
	TREE_PARAMETER,
	TREE_BLOCK,
	TREE_OF_NODE,
	TREE_OF_NODES,                 /* of all of them */
	TREE_OF_HWPOISON,
	TREE_OF_VM,
	TREE_OF_ACTIONS,
	TREE_OF_FIRMWARE,              /* of a block that is there or could be */
};

struct tree_attr {
	char path[64];                 /* in its place; may lie in a folder */
	size_t folder_length;          /* of the folder's name in path; 0: it lies in none */
	bool opens_folder;             /* the first one that lies in its folder stands for that */
	enum tree_place place;
	unsigned mode;
};

#define TREE_ATTRS_MAX 256U

struct tree {
	struct mhp__peer peer;
	int pidfd;                     /* readable once the pool's process has ended; or -1 */
	struct tree_opts opts;
	struct timespec mounted;
	unsigned uid, gid;             /* of those who mounted it */
	bool (*is_ending)(void);       /* shall those who wait give up? */
	void (*will_wait)(void);       /* told before somebody waits */
	struct tree_pictures *pictures;
	unsigned nr_attrs;
	struct tree_attr attrs[TREE_ATTRS_MAX];
};

/* Read the list; 0 or a negative errno. */
int tree_load(struct tree *tree);
/*
 * The attribute `name` of a folder ("" or "power"), from index `from` on; nr_attrs when there is
 * none. name NULL: the next one that is a file of it.
 */
unsigned tree_find(const struct tree *tree, enum tree_place place, const char *folder,
		   const char *name, unsigned from);
/* The part after the folder, and the folder; "" where there is none. */
const char *tree_attr_name(const struct tree_attr *attr);
void tree_attr_folder(const struct tree_attr *attr, char *folder, size_t size);

/* ---- ask.c: requests that end when the caller no longer wants them ---- */

/* Somebody waits for the pool. */
struct tree_call {
	_Atomic int wake;              /* an eventfd, once the pool is asked; else -1 */
	_Atomic bool interrupted;      /* the caller has had enough; then wake is readable, too */
	int fd;                        /* to the pool, while it has not answered; else -1 */
	long block;                    /* what is to be cancelled then; -1: nothing */
	const struct tree *tree;
	char *text;
	size_t used;
};

/* A call may be interrupted by tree_interrupt(), from another thread, between begin and end. */
void tree_call_begin(struct tree_call *call, const struct tree *tree, long block);
void tree_interrupt(struct tree_call *call);
/*
 * Ask; the caller puts the answer. NULL: *ret_err is a negative errno, -ENODEV where there is no
 * pool any more, -EINTR where the wait was interrupted, or what the pool answered, and then
 * *ret_answered is set.
 */
struct json_object *tree_ask(struct tree_call *call, struct mhp__line *line, int *ret_err,
			     bool *ret_answered);
/* Ends what was not awaited, too: that may take as long as the pool needs to give it up. */
void tree_call_end(struct tree_call *call);
/* Has the pool's process ended? */
bool tree_is_dead(const struct tree *tree);

/* ---- runs.c: which blocks are there ---- */

struct tree_run {
	uint32_t first, count, node;
	uint32_t generation;           /* of all of them; 0: not asked for */
	uint64_t rank;                 /* how many blocks are before it */
};

struct tree_runs {
	unsigned nr;
	uint64_t nr_blocks;
	struct tree_run *run;
};

/* 0 or a negative errno. node: of this node only; negative: all. */
int tree_runs_load(struct tree_call *call, int node, struct tree_runs *runs);
/* All of that many blocks, on no node. */
int tree_runs_all(uint32_t nr_blocks, struct tree_runs *runs);
/* The same from an answer. */
int tree_runs_read(struct json_object *ranges, int node, struct tree_runs *runs);
void tree_runs_free(struct tree_runs *runs);
/* The run that a block is in; NULL: there is none. */
const struct tree_run *tree_runs_find(const struct tree_runs *runs, uint32_t block);
/* The block that has `rank` blocks before it. */
const struct tree_run *tree_runs_at(const struct tree_runs *runs, uint64_t rank,
				    uint32_t *ret_block);

/* ---- picture.c: all blocks as they were a moment ago, as long as nothing has changed ---- */

struct tree_picture;

/* The server may start to remember; it does where the pool tells of changes. */
int tree_pictures_open(struct tree *tree);
/* A picture that holds now, to be put; NULL: ask the pool. */
struct tree_picture *tree_picture_get(struct tree_call *call);
void tree_picture_put(struct tree_picture *picture);
const struct tree_runs *tree_picture_runs(const struct tree_picture *picture);
/* The text of a file of a block that is there; NULL: that has to be asked for. */
const char *tree_picture_text(const struct tree_picture *picture, uint32_t block,
			      const char *name);

/* ---- node.c: what an inode is, and what is in it ---- */

enum tree_kind {
	TREE_NONE,
	TREE_FIXED,                    /* a folder that is always there; index: which (folders.c) */
	/* folders of the pool */
	TREE_FOLDER,                   /* index: the attribute that opens it; block, if of one */
	TREE_BLOCK_FOLDER,
	TREE_NO_BLOCK,                 /* stands for block 0 when it is absent */
	TREE_NODE,                     /* block: the number of the node */
	TREE_FIRMWARE,                 /* of a block that may be absent */
	/* files */
	TREE_ATTR,                     /* index; block: the block or the node, if of one */
	TREE_NO_ZONES,
	/* links */
	TREE_BLOCK_NODE,               /* index: the node */
	TREE_BLOCK_SUBSYSTEM,
	TREE_NODE_BLOCK,
	TREE_BUS_BLOCK,
};

struct tree_node {
	enum tree_kind kind;
	uint32_t index;
	uint32_t block;
	/* Of the block that was there when it was looked up: what is opened there means that block
	 * for ever, and no other that comes in its place. 0: whichever is there. */
	uint32_t generation;
};

/* ---- folders.c: folders that are always there ---- */

enum tree_fixed {
	TREE_FIXED_NONE,
	TREE_FIXED_ROOT, TREE_FIXED_SYS, TREE_FIXED_BUS, TREE_FIXED_DEVICES, TREE_FIXED_MODULE,
	TREE_FIXED_SYSTEM, TREE_FIXED_MEMORY, TREE_FIXED_NODES, TREE_FIXED_BUS_MEMORY,
	TREE_FIXED_BUS_DEVICES, TREE_FIXED_MODULE_MEMORY, TREE_FIXED_PARAMETERS,
	TREE_FIXED_KERNEL, TREE_FIXED_DEBUG, TREE_FIXED_HWPOISON, TREE_FIXED_PROC,
	TREE_FIXED_PROC_SYS, TREE_FIXED_VM, TREE_FIXED_INJECT, TREE_FIXED_INJECT_MEMORY,
	TREE_FIXED_ACTIONS, TREE_FIXED_FIRMWARE, TREE_FIXED_FIRMWARE_MEMORY,
	TREE_FIXED_FOLDERS
};

/* The one that is the root of this tree. */
enum tree_fixed tree_fixed_root(const struct tree *tree);
/* The next one in a folder, TREE_FIXED_NONE being before the first and after the last. */
enum tree_fixed tree_fixed_next(const struct tree *tree, struct tree_node parent,
				enum tree_fixed after, const char **ret_name);
enum tree_fixed tree_fixed_find(const struct tree *tree, struct tree_node parent,
				const char *name);
/* Which attributes are files of a folder: the place, and the folder in their names. */
enum tree_place tree_folder_attrs(const struct tree *tree, struct tree_node folder, char *within,
				  size_t size);

/* ---- node.c again ---- */

#define TREE_BLOCK_PREFIX "memory"
#define TREE_NODE_PREFIX "node"
#define TREE_NODES_MAX 255U
/* The attribute that says how many blocks firmware has. */
#define TREE_FIRMWARE_BLOCKS "firmware_blocks"

static inline bool
tree_is(struct tree_node node, enum tree_fixed folder)
{
	return node.kind == TREE_FIXED && node.index == (uint32_t)folder;
}

uint64_t tree_ino(const struct tree *tree, struct tree_node node);
struct tree_node tree_node_of(const struct tree *tree, uint64_t ino);
/* Folders in that of a block (table.c); of others nobody counts them. */
unsigned tree_nr_folders(const struct tree *tree, struct tree_node node);
/* S_IFMT and permissions. */
unsigned tree_mode(const struct tree *tree, struct tree_node node);
/* Where a link points. */
void tree_link(const struct tree *tree, struct tree_node node, char *text, size_t size);
/* Begin a request about an attribute: `read` or `write`. */
void tree_request(const struct tree *tree, struct tree_node node, const char *word,
		  struct mhp__line *line);
/* A number in an attribute; -ENOENT: the pool refuses to say it. */
int tree_ask_number(struct tree_call *call, const char *name, uint32_t generation,
		    uint32_t *ret_number);

/* A number that the pool knows of the block of a node; -ENOENT: there is no such block. */
enum tree_number { TREE_NUMBER_GENERATION, TREE_NUMBER_NODE };
int tree_block_number(struct tree_call *call, struct tree_node of, enum tree_number which,
		      uint32_t *ret_number);
/* Find `name` in a folder; 0, -ENOENT, or the pool is gone. */
int tree_lookup(struct tree_call *call, struct tree_node parent, const char *name,
		struct tree_node *ret_node);

/* ---- listing.c ---- */

/* A folder as it was when it was opened. */
struct tree_listing {
	struct tree_node folder;
	struct tree_runs runs;
	unsigned nr_fixed;
	struct {
		char name[64];
		struct tree_node node;
	} fixed[TREE_ATTRS_MAX];
};

int tree_list(struct tree_call *call, struct tree_node folder, struct tree_listing *listing);
/* Entry number `at`; false: there are no more. */
bool tree_listing_at(const struct tree_listing *listing, uint64_t at, char *name, size_t size,
		     struct tree_node *ret_node);

#endif
