/* SPDX-License-Identifier: MIT */
/*
 * attr.h - an attribute: a knob, a counter or an order that has a name, and who knows its value.
 *
 * The table is four arrays: of the pool (and of what the kernel keeps as module parameters), of
 * each block, of each node, and of each block that firmware has. Names, modes, words, formats and
 * errors are those of the kernel's memory blocks in sysfs where it has such a file; what is ours
 * has names that the kernel does not use.
 */
#ifndef MHP_CONTROL_ATTR_H
#define MHP_CONTROL_ATTR_H

#include "server.h"

/* Where the tree has it. */
enum mhp__place {
	MHP__PLACE_POOL,               /* beside the blocks */
	MHP__PLACE_PARAMETER,          /* in a folder of its own, as of a module */
	MHP__PLACE_BLOCK,              /* in the folder of each block */
	MHP__PLACE_NODE,               /* in the folder of each node */
	MHP__PLACE_NODES,              /* beside the nodes */
	MHP__PLACE_HWPOISON,           /* where debugfs has it */
	MHP__PLACE_VM,                 /* among the sysctls */
	MHP__PLACE_ACTIONS,            /* where debugfs has errors on purpose */
	MHP__PLACE_FIRMWARE,           /* where firmware has blocks, those that are absent, too */
};

/* The object whose attribute is read or written. */
struct mhp__subject {
	struct mhp_block_info info;    /* of a block; firmware's may be absent */
	unsigned node;                 /* a node that is there */
	bool as_file;                  /* as the kernel writes and reads it, where that differs */
	bool is_cut;                   /* more was written, after a zero byte */
	int client_fd;
};

#define MHP__ATTR_TEXT 2048U

struct mhp__attr {
	const char *name;              /* may lie in a folder: power/control */
	enum mhp__place place;
	unsigned mode;                 /* of the file; set may change more than that */
	/* Write the value, without a newline. Both return 0 or a negative errno. */
	int (*show)(const struct mhp__subject *subject, char *text, size_t size);
	/* *reterr may say more than the error does. NULL: it cannot be set. */
	int (*store)(const struct mhp__subject *subject, const char *value,
		     struct mhp_text *reterr);
	size_t offset;                 /* of a counter of struct mhp_pool_stats; show is NULL */
};

extern const struct mhp__attr mhp__pool_attrs[], mhp__block_attrs[], mhp__node_attrs[],
	mhp__firmware_attrs[];
extern const size_t mhp__nr_pool_attrs, mhp__nr_block_attrs, mhp__nr_node_attrs,
	mhp__nr_firmware_attrs;

/* ---- blocks that the pool has or could have (firmware.c) ---- */

/* How many: they begin at block 0. */
uint32_t mhp__firmware_blocks(void);
int mhp__show_firmware_blocks(const struct mhp__subject *subject, char *text, size_t size);

/* ---- which nodes have what (attr_node.c): lists like 0-1,3 ---- */

int mhp__show_nodes(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_nodes_possible(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_nodes_cpu(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_nodes_memory(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_nodes_normal(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_nodes_none(const struct mhp__subject *subject, char *text, size_t size);

/* ---- pages with memory errors (poison.c) ---- */

int mhp__store_soft_offline(const struct mhp__subject *subject, const char *value,
			    struct mhp_text *reterr);
int mhp__store_look_for_poison(const struct mhp__subject *subject, const char *value,
			       struct mhp_text *reterr);
int mhp__store_hard_offline(const struct mhp__subject *subject, const char *value,
			    struct mhp_text *reterr);
int mhp__store_unpoison(const struct mhp__subject *subject, const char *value,
			struct mhp_text *reterr);
int mhp__store_corrupt_pfn(const struct mhp__subject *subject, const char *value,
			   struct mhp_text *reterr);
int mhp__store_unpoison_pfn(const struct mhp__subject *subject, const char *value,
			    struct mhp_text *reterr);
int mhp__show_soft_offline(const struct mhp__subject *subject, char *text, size_t size);
int mhp__store_enable_soft_offline(const struct mhp__subject *subject, const char *value,
				   struct mhp_text *reterr);
int mhp__show_failures(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_failures_recovered(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_failures_failed(const struct mhp__subject *subject, char *text, size_t size);

/* ---- errors on purpose (inject.c) ---- */

int mhp__show_inject_online(const struct mhp__subject *subject, char *text, size_t size);
int mhp__store_inject_online(const struct mhp__subject *subject, const char *value,
			     struct mhp_text *reterr);
int mhp__show_inject_offline(const struct mhp__subject *subject, char *text, size_t size);
int mhp__store_inject_offline(const struct mhp__subject *subject, const char *value,
			      struct mhp_text *reterr);

/* ---- words (attr_words.c): what the kernel takes, with one newline after it or none ---- */

/* The index of `value` in words, or -1. */
int mhp__word_index(const char *const *words, int nr, const char *value);
/* The kernel's switch words, of which it looks at the first letters only; -1: none of them. */
int mhp__word_switch(const char *value);
/* A number, 0, MHP_EINVAL, or -ERANGE: written to a file in C's notation, 017 being 15, as the
 * kernel takes it; else as people write numbers, and then 017 is none. */
int mhp__word_number(const struct mhp__subject *subject, const char *value, uint64_t max,
		     uint64_t *ret_number);

/* ---- files that both a pool and a block have (attr_words.c) ---- */

int mhp__show_empty(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_zero(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_eio(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_disabled(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_auto(const struct mhp__subject *subject, char *text, size_t size);
int mhp__show_unsupported(const struct mhp__subject *subject, char *text, size_t size);
int mhp__store_eio(const struct mhp__subject *subject, const char *value, struct mhp_text *reterr);
int mhp__store_async(const struct mhp__subject *subject, const char *value,
		     struct mhp_text *reterr);
int mhp__store_control(const struct mhp__subject *subject, const char *value,
		       struct mhp_text *reterr);
/* Read what is written to a uevent file (announce.c): the index of its first word in
 * mhp__announce_words[], or -1; *ret_rest: the UUID and what follows it, or "". */
int mhp__uevent_parse(const char *value, const char **ret_rest);
/* Announce it: 0, MHP_EINVAL, MHP_ENOMEM (it is too long to keep), or as mhp_block_announce(). */
int mhp__announce(uint32_t block, const char *value);

/* A device's files, at a place; the kernel's power management has nothing to do for memory. */
#define MHP__POWER_ATTRS(place)                                                                    \
	{ "power/async", place, 0644, mhp__show_disabled, mhp__store_async, 0 },                   \
	{ "power/autosuspend_delay_ms", place, 0644, mhp__show_eio, mhp__store_eio, 0 },           \
	{ "power/control", place, 0644, mhp__show_auto, mhp__store_control, 0 },                   \
	{ "power/runtime_active_kids", place, 0444, mhp__show_zero, NULL, 0 },                     \
	{ "power/runtime_active_time", place, 0444, mhp__show_zero, NULL, 0 },                     \
	{ "power/runtime_enabled", place, 0444, mhp__show_disabled, NULL, 0 },                     \
	{ "power/runtime_status", place, 0444, mhp__show_unsupported, NULL, 0 },                   \
	{ "power/runtime_suspended_time", place, 0444, mhp__show_zero, NULL, 0 },                  \
	{ "power/runtime_usage", place, 0444, mhp__show_zero, NULL, 0 }

#endif
