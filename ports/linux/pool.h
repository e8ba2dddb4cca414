/* SPDX-License-Identifier: MIT */
/*
 * pool.h - struct mhp_pool, for the files that compose the others.
 *
 * Locks, outermost first: the engine's hotplug mutex, the region mutex, the engine's allocator
 * locks. The region mutex guards every table of every region; its holder touches no memory of a
 * region. A mover lets go of it while a window is on its way: only commit, decommit and purge get
 * it then, which the program's malloc must not wait for, and they leave that window alone. All
 * memory here comes from mmap, none of it from malloc or from a region, and all of it is private: a
 * forked child has its own copy of the pool.
 */
#ifndef MHP_LINUX_POOL_H
#define MHP_LINUX_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "budget.h"
#include "guard.h"
#include "journal.h"
#include "labels.h"
#include "pins.h"
#include "room.h"
#include "stage.h"
#include "table.h"
#include "tiering.h"
#include "view.h"

#define MHP__POOLS_MAX 16U
#define MHP__REGIONS_MAX 64U
#define MHP__JOB_MOVES 64U

/* A job for the companion: in the pool, since the caller's stack may be on its way. Hotplug
 * mutex. */
struct mhp__job {
	struct mhp_move moves[MHP__JOB_MOVES];
	unsigned nr_moves, nr_done;
	struct mhp_backing backing;
	uint32_t count, first;
	uint16_t file;
	struct mhp_text text;
};

/* A copy of memory that a forked child shall find at `start`; it lies after this page. */
struct mhp__copy {
	struct mhp__copy *next;
	unsigned char *start;
	uint64_t size;
	int rights;                    /* of the parent there: PROT_...; -1: as ever */
};

/* Why memory of a region did not come back; an end of 0: none. */
struct mhp__busy {
	uintptr_t start, end;
	uint64_t pfn;                  /* the first frame of the moves that it was one of */
	struct mhp_text why;
};

struct mhp_pool {
	struct mhp *m;
	unsigned index;                /* in the process's list of pools */
	_Atomic unsigned nr_holders;   /* who needs it: it cannot be destroyed */

	/* const */
	uint64_t granule;
	uint64_t reserve_bytes;        /* of a block that hosts its own metadata */
	void *instance;
	size_t instance_bytes;
	uint16_t owner;

	pthread_mutex_t hotplug;
	_Atomic uint64_t hotplug_holder; /* the thread that the engine has it locked for; 0: none */
	atomic_bool change_lost;       /* its holder was killed, and nobody has mended that yet */
	_Atomic uint64_t mender;       /* the thread that does; 0: none */
	struct mhp__space space;
	_Atomic uint64_t gone_start, gone_end; /* blocks that left, to be unmapped as one piece */
	struct mhp__job job;
	struct mhp__copy *copies;      /* of the fork under way */
	bool fork_in_change;           /* it is a listener's */

	pthread_mutex_t mutex;         /* the region mutex */
	struct mhp_region region[MHP__REGIONS_MAX];
	struct mhp_spread spread;
	enum mhp_huge huge;            /* of regions to come */
	struct mhp__labels labels;     /* of the window that moves */
	struct mhp__pins pins;
	struct mhp__budget budget;
	struct mhp__guard guard;
	struct mhp__stage stage;       /* of the mover, like the next */
	struct mhp__room_look room;    /* for what comes back */
	struct mhp__room_look room_there; /* for what goes: it says nothing of a later way back */
	struct mhp__view view;
	struct mhp__journal journal;
	atomic_bool wanted;            /* somebody waits for the region mutex */
	struct mhp__busy busy;         /* the last */
	struct mhp__busy first_busy;   /* of the moves that the engine asks for now */
	struct mhp_pool_stats stats;
	struct mhp__tiering tiering;

	atomic_bool settle_wanted;     /* something may go to a device */
	atomic_bool settle_refused;    /* something of that cannot just now, and nobody will tell */
	_Atomic int settler;           /* the companion in which it runs, or 0 */
	atomic_bool settler_stop;
	atomic_bool forking;           /* nothing may, and nobody begins a change */
};

/* ---- leader.c ---- */

/* The process that the companion is beside. In the companion. */
int mhp__companion_program(void);

/* ---- locks.c ---- */

void mhp__pool_init_locks(struct mhp_pool *pool);
/* The region mutex, when no window is on its way. Its mover may have been killed: then it is
 * brought to an end first. */
void mhp__pool_lock(struct mhp_pool *pool);
/* The same at once: for hooks, and for who brings a window to an end. */
void mhp__pool_lock_now(struct mhp_pool *pool);
/* Between windows: let go of the mutex, and let those have it who wait for it. */
void mhp__pool_give_way(struct mhp_pool *pool);
/* The hotplug mutex, when no change is cut; if nobody can mend it, the engine says so to the
 * holder (MHP_EOWNERDEAD). */
void mhp__pool_lock_hotplug(struct mhp_pool *pool);
/* The same, if nobody has it. */
MHP_MUST_CHECK bool mhp__pool_try_hotplug(struct mhp_pool *pool);
/* Was a holder killed, and nobody has mended that yet? */
bool mhp__pool_change_lost(struct mhp_pool *pool);

/* ---- mend.c ---- */

/* In the companion that comes after one that was killed: the change of blocks that it cut. */
void mhp__pool_mend(struct mhp_pool *pool);
/* Slots that a companion which was killed had filled in, if the next one is there; hotplug mutex
 * held. */
void mhp__pool_free_orphans(struct mhp_pool *pool);

/* ---- recover.c ---- */

/* For mhp_companion_next(). */
void mhp__recover_all(void *fresh);

/* ---- ops.c ---- */

extern const struct mhp_port_ops mhp__linux_ops;
/* Close the files of devices that no block uses. Hotplug mutex held. */
void mhp__pool_close_unused(struct mhp_pool *pool);

/* ---- regions.c: region mutex held ---- */

struct mhp_region *mhp__region_find(struct mhp_pool *pool, uintptr_t address);
/* Kernel mappings that all regions take. */
uint64_t mhp__regions_mappings(const struct mhp_pool *pool);

/* ---- move.c ---- */

extern const struct mhp_movable_ops mhp__region_ops;
/* For mhp_change_lost(): no page is held any more, and none has two frames. */
void mhp__region_set_right(struct mhp_pool *pool);

/* ---- fork.c ---- */

/* The pools of this process, for the fork handlers. */
extern struct mhp_pool *mhp__pools[MHP__POOLS_MAX];

#endif
