/* SPDX-License-Identifier: MIT */
/*
 * replay.h - a program of random operations that follows from a seed, and how to run it anywhere.
 *
 * The generator chooses an operation from the seed and from what the engine says about itself, and
 * carries it out; it keeps the pages that it allocated, can move them when asked, and checks that
 * their contents came along. With the same seed and geometry every port goes through the same
 * states: mhp_replay() reports their digests (R47). Freestanding: nothing but the engine, memcpy
 * and memset. Must not know: who watches (the model, by hooks), what port it runs on.
 */
#ifndef MEMPLUG_TEST_REPLAY_H
#define MEMPLUG_TEST_REPLAY_H

#include <memplug/mhp.h>

#define REPLAY_PAGES 4096U
#define REPLAY_RUNS 3U
#define REPLAY_STEPS 4U
#define REPLAY_LISTENERS 3U
/* Only known bits may be set, and no error looks like one of the engine's own by chance. */
#define REPLAY_VETO (-71)
#define REPLAY_BROKEN (-72)

/**
 * Run @ops operations on a fresh instance: only what no port decides differently. The calling
 * thread is CPU 0 (mhp_port_cpu()), and nobody else is in the engine. Not reentrant.
 *
 * @every_1000: told of the digest after each 1000 operations; may be NULL.
 * Return: the digest after the last one, or 0 when something was wrong. All is removed again.
 */
uint64_t mhp_replay(struct mhp *m, uint64_t seed, uint64_t ops,
		    void (*every_1000)(void *ctx, uint64_t op, uint64_t digest), void *ctx);

/* ---- the parts, for who watches more closely ---- */

/** What the generator may use beyond what is the same on all ports. */
enum {
	REPLAY_EXTERNAL = 1U << 0, /* there is external metadata: boot blocks, fallbacks */
	REPLAY_ZEROED = 1U << 1,   /* memory comes as zeros: MHP_ADD_ZEROED is true */
	REPLAY_CLOCK = 1U << 2,    /* short deadlines */
	REPLAY_TROUBLE = 1U << 3,  /* owners and listeners that say no */
	REPLAY_NONSENSE = 1U << 4, /* arguments that cannot be */
	REPLAY_SPARSE = 1U << 5,   /* a large machine: do not write to whole blocks */
};

enum replay_kind {
	REPLAY_ADD,
	REPLAY_ONLINE,
	REPLAY_OFFLINE,
	REPLAY_REMOVE,
	REPLAY_PREVIEW,
	REPLAY_COMMIT,
	REPLAY_COMPACT,
	REPLAY_BAD_ADD,
	REPLAY_BAD_REMOVE,
	REPLAY_POLICY,
	REPLAY_SWITCH,
	REPLAY_CPU_NODE,
	REPLAY_ALLOC,
	REPLAY_FREE,
	REPLAY_CONTIG,
	REPLAY_CONTIG_FREE,
	REPLAY_SPLIT,
	REPLAY_COOKIE,
	REPLAY_PIN,                /* a page will not move until it is unpinned */
	REPLAY_DRAIN,
	REPLAY_LISTENER,           /* one comes or goes */
	REPLAY_OWNER,              /* likewise */
	REPLAY_KINDS,
};

/** An operation: what was chosen, and what came of it. */
struct replay_op {
	enum replay_kind kind;
	struct mhp_blocks runs[REPLAY_RUNS]; /* ONLINE: the first; OFFLINE */
	struct mhp_step steps[REPLAY_STEPS];
	unsigned nr;               /* runs or steps */
	struct mhp_add_opts add;
	struct mhp_offline_opts offline;
	struct mhp_page_req req;
	struct mhp_policy policy;
	uint64_t pfn, nr_pages, cookie;
	unsigned zone, node, value;

	/* trouble: at which call, 0 = never */
	uint32_t veto_at, isolate_at, migrate_at, cancel_at, nest_at;
	int isolate_error;

	int error;                 /* what it returned */
	struct mhp_add_answer answer;
	struct mhp_plan_answer plan;
	struct mhp_why why;
	struct mhp_compact_result compact;
	/* what came true of the trouble */
	unsigned nr_vetoes, nr_refused, nr_broken, nr_canceled, nr_nested;
};

/** Who watches; any may be NULL. Called after the call of the engine, or in the middle of it. */
struct replay_hooks {
	void *ctx;
	void (*allocated)(void *ctx, struct mhp_page_req req, int error, uint64_t pfn);
	void (*allocated_contig)(void *ctx, struct mhp_page_req req, uint64_t nr_pages, int error,
				 uint64_t pfn);
	void (*freed)(void *ctx, uint64_t pfn, int error);
	void (*freed_contig)(void *ctx, uint64_t pfn, uint64_t nr_pages, int error);
	void (*split)(void *ctx, uint64_t pfn, int error);
	void (*cookie)(void *ctx, uint64_t pfn, uint64_t cookie, int error);
	void (*moved)(void *ctx, uint64_t src_pfn, uint64_t dst_pfn, unsigned order);
	void (*noticed)(void *ctx, unsigned listener, const struct mhp_notice *notice, int error);
	/* In a callback of the engine, before anything else. */
	void (*inside)(void *ctx);
};

struct replay_page {
	uint64_t pfn;
	uint64_t stamp;            /* of its first frame; the next one's is one more */
	uint64_t cookie;           /* index in the low half, anything in the high half */
	uint16_t owner;
	uint8_t order;
	bool live, held, pinned;
	uint32_t place;            /* in live[] */
};

enum replay_owner {
	REPLAY_MOVER,
	REPLAY_OTHER,              /* moves its pages, too */
	REPLAY_STAYER,
	REPLAY_OWNERS,
};

struct replay_listener {
	struct replay *replay;
	bool there;
	uint16_t id;
};

struct replay {
	struct mhp *m;
	const struct mhp_geometry *geo;
	uint64_t random, nr_done;
	unsigned features;
	struct replay_hooks hooks;
	struct replay_op *op;      /* under way */
	const char *broken;        /* what was wrong first; NULL: nothing */
	uint64_t broken_at;        /* a pfn, as it says */
	uint16_t owners[REPLAY_OWNERS];
	uint16_t extra_owner;      /* 0: not registered */
	struct replay_listener listeners[REPLAY_LISTENERS];
	uint64_t next_stamp;
	bool filling;              /* rather allocate than free */
	uint32_t nr_live;
	uint32_t live[REPLAY_PAGES]; /* indexes of pages that are, then of those that are not */
	struct replay_page pages[REPLAY_PAGES];
};

void replay_open(struct replay *replay, struct mhp *m, uint64_t seed, unsigned features,
		 const struct replay_hooks *hooks);
/** Choose. */
void replay_next(struct replay *replay, struct replay_op *ret_op);
/** Carry out. */
void replay_do(struct replay *replay, struct replay_op *op);
/** Every page is there with its contents; else replay->broken says what is not. */
void replay_check(struct replay *replay);
/** Free all pages. */
void replay_free_all(struct replay *replay);
/** Free all pages, forget owners and listeners; blocks stay. */
void replay_close(struct replay *replay);

/** Will this owner let go of the page with that cookie? The model asks. */
bool replay_refuses(const void *replay, uint16_t owner, uint64_t cookie);

#endif
