/* SPDX-License-Identifier: MIT */
/*
 * watch.h - devices that appear in a folder come into a pool, and leave it when asked back.
 *
 * A device is a file of the folder, or an entry of a DAX bus (/sys/bus/dax/devices). To get one
 * back, make a file NAME.release; it is renamed to NAME.released when the device is closed, or to
 * NAME.refused. As long as NAME.released is there, the device is left alone. `memplug watch` is
 * this from outside of the program, by the pool's socket.
 *
 * Context, unless a function says otherwise: one thread of the caller's, not a listener or an
 * owner's function; it may call malloc.
 */
#ifndef MEMPLUG_WATCH_H
#define MEMPLUG_WATCH_H

#include <memplug/linux.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mhp_watch;

/** What became of a device. */
enum mhp_watch_event {
	MHP_WATCH_APPEARED,        /* it is there, and not in the pool */
	MHP_WATCH_ADDED,
	MHP_WATCH_NOT_ADDED,       /* refused */
	MHP_WATCH_RELEASING,       /* asked back: its data moves away */
	MHP_WATCH_RELEASED,        /* it is closed, and was told so */
	MHP_WATCH_REFUSED,         /* it stays, and was told so */
	MHP_WATCH_GONE,            /* from the folder */
	MHP_WATCH_GONE_IN_USE,     /* the same, and the pool has it still */
	MHP_WATCH_EVENTS,
};

/** The word for an event, "added"; never NULL. */
const char *mhp_watch_word(enum mhp_watch_event event);

/**
 * What is done with devices; mhp_watch_pool_ops() are for a pool of this process.
 *
 * @backing: as mhp_backing_parse() reads it. @reterr: why not, for tell.
 * Return: 0 or an MHP_E*; MHP_ENODEV ends the watch, because there is no pool any more.
 */
struct mhp_watch_ops {
	int (*has)(void *ctx, const char *backing); /* 1: it is in the pool; 0: it is not */
	int (*add)(void *ctx, const char *backing, uint64_t size_bytes, struct mhp_text *reterr);
	int (*release)(void *ctx, const char *backing, struct mhp_text *reterr);
};

/** The ctx of mhp_watch_pool_ops(). */
struct mhp_watch_pool {
	struct mhp_pool *pool;
	uint32_t deadline_ms;      /* for emptying a device; 0: the engine's default */
};

/** The functions for a pool of this process: whole blocks of a device are added, online and
 * movable; all of them leave, or none. */
const struct mhp_watch_ops *mhp_watch_pool_ops(void);

struct mhp_watch_opts {
	const char *folder;        /* where devices appear */
	const char *requests;      /* where NAME.release is; NULL: there, too */
	const char *devices;       /* where the devices of a bus are; NULL: /dev */
	bool adds;                 /* add what appears; else only tell */
	const struct mhp_watch_ops *ops;
	void *ctx;                 /* of ops */
	/* Told of each event; @why is empty unless something was refused. May be NULL. */
	void (*tell)(void *ctx, enum mhp_watch_event event, const char *name, uint64_t size_bytes,
		     const struct mhp_text *why);
	void *tell_ctx;
};

/**
 * Begin to watch a folder. The strings of @opts are copied, but not ops and what belongs to it.
 * Return: 0, MHP_ENOENT (no such folder), MHP_EINVAL (no ops), MHP_ENOMEM.
 */
MHP_MUST_CHECK int mhp_watch_open(const struct mhp_watch_opts *opts, struct mhp_watch **ret_watch,
				  struct mhp_text *reterr);

/**
 * Look at the folder once, and do what is to be done. Call it again and again, twice a second for
 * instance: a folder of sysfs tells nobody of its changes. It looks after 64 devices at most.
 *
 * Return: 0, MHP_ENODEV (the pool is gone), MHP_ENOENT (the folder cannot be read), MHP_EIO (the
 * answer to a request could not be given; the rest was done).
 */
MHP_MUST_CHECK int mhp_watch_look(struct mhp_watch *watch, struct mhp_text *reterr);

/** End a watch; devices stay where they are. Does nothing for NULL. */
void mhp_watch_close(struct mhp_watch *watch);

#ifdef __cplusplus
}
#endif
#endif
