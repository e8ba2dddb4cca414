/* SPDX-License-Identifier: MIT */
/*
 * notify.h - listeners hear when memory comes and goes, and may object.
 *
 * After each GOING event that a listener saw, it gets exactly one of the matching DONE (ONLINE,
 * OFFLINE) or CANCEL, also when it refused the GOING event itself. No other event can be
 * refused.
 *
 * Context, unless a function says otherwise: takes the hotplug lock and may sleep;
 * MHP_EDEADLK from a listener, an owner's function or a trace function.
 */
#ifndef MEMPLUG_NOTIFY_H
#define MEMPLUG_NOTIFY_H

#include <memplug/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp;

#define MHP_LISTENERS_MAX 32U

enum mhp_notice_kind {
	MHP_GOING_ONLINE_NOTICE,
	MHP_CANCEL_ONLINE_NOTICE,
	MHP_ONLINE_NOTICE,
	MHP_GOING_OFFLINE_NOTICE,
	MHP_CANCEL_OFFLINE_NOTICE,
	MHP_OFFLINE_NOTICE,
	MHP_NODE_FIRST_NOTICE,     /* a node has got its first memory; after ONLINE */
	MHP_NODE_LAST_NOTICE,      /* a node has lost its last memory; after OFFLINE */
};

/** One event: exactly the usable pages that come or go. */
struct mhp_notice {
	enum mhp_notice_kind kind;
	uint64_t start_pfn;
	uint64_t nr_pages;
	uint8_t node;
	uint8_t zone;              /* enum mhp_zone_kind */
};

/**
 * A listener. Called under the hotplug lock; may sleep, allocate and free pages; mhp_block_*() and
 * the like return MHP_EDEADLK. Return 0, or an error: it refuses a GOING, and is ignored otherwise.
 */
typedef int mhp_listener_fn(void *ctx, const struct mhp_notice *notice);

/**
 * Add a listener.
 *
 * @priority: higher is called first; equal ones in order of registration.
 * @ret_listener: its id.
 * Return: 0, MHP_EINVAL, MHP_ENOSPC (MHP_LISTENERS_MAX), MHP_EDEADLK.
 */
MHP_MUST_CHECK int mhp_listener_add(struct mhp *m, mhp_listener_fn *fn, void *ctx, int priority,
				    uint16_t *ret_listener);

/**
 * Give a listener a name, up to 31 characters, copied: what people read when it refuses, in the
 * text of struct mhp_why. Return: 0, MHP_ENOENT, MHP_EINVAL (empty or too long), MHP_EDEADLK.
 */
int mhp_listener_set_name(struct mhp *m, uint16_t listener, const char *name);

/** The name of a listener, or "?" when it has none. Lives until it is renamed or removed.
 * Context: any thread. */
const char *mhp_listener_name(const struct mhp *m, uint16_t listener);

/** Remove a listener. Return: 0, MHP_ENOENT, MHP_EDEADLK. */
int mhp_listener_remove(struct mhp *m, uint16_t listener);

#ifdef __cplusplus
}
#endif
#endif
