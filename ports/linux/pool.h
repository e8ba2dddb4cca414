/* SPDX-License-Identifier: MIT */
/*
 * pool.h - struct mhp_pool and struct mhp_region: everything the Linux port owns.
 *
 * Locks, outermost first: the engine's hotplug mutex, the region mutex, the engine's allocator
 * locks. The region mutex guards every table of every region and is what keeps fork, moves and
 * commits apart; nobody touches memory of a region while holding it, because a page of a region
 * may be write-protected until its holder is done. All memory here comes from mmap, none of it
 * from malloc or from a region.
 */
#ifndef MHP_LINUX_POOL_H
#define MHP_LINUX_POOL_H

#include <memplug/linux.h>
#include <pthread.h>
#include <stdatomic.h>

#define MHP__PAGE_SHIFT 12U
#define MHP__PAGE_BYTES (UINT64_C(1) << MHP__PAGE_SHIFT)
#define MHP__HUGE_ORDER 9U
#define MHP__HUGE_BYTES (MHP__PAGE_BYTES << MHP__HUGE_ORDER)

#define MHP__POOLS_MAX 16U
#define MHP__FILES_MAX 64U
#define MHP__REGIONS_MAX 64U
#define MHP__PINS_MAX 1024U
#define MHP__CHILDREN_MAX 1024U
#define MHP__DESCENDANTS_MAX 4096U

/* Where the epoch starts in an entry of a region's table (table.h). */
#define MHP__ENTRY_EPOCH_SHIFT 44U

/* The largest batch of moves; pool->batch_weight says how large it may be for writers' sake. */
#define MHP__BATCH_PIECES 64U
#define MHP__BATCH_PAGES 512U
/* A piece costs about as much as so many pages of it. */
#define MHP__PIECE_WEIGHT 16U
#define MHP__WEIGHT_MIN (4U * MHP__PIECE_WEIGHT)
#define MHP__WEIGHT_MAX (MHP__BATCH_PAGES + MHP__BATCH_PIECES * MHP__PIECE_WEIGHT)
/* Mappings kept in hand, so that a batch that was begun can always be finished. */
#define MHP__SPARE_MAPPINGS (2U * MHP__BATCH_PIECES + 16U)

/* An open file that blocks are pieces of. */
struct mhp__file {
	struct mhp_backing backing;
	int fd;                        /* -1: slot is free */
	uint64_t dev, ino;             /* what fd must still be: programs close descriptors */
	uint64_t size;                 /* DAX and FILE: bytes it has; else UINT64_MAX */
	uint64_t granule;              /* bytes; offsets and lengths of mappings are multiples */
	uint32_t nr_blocks;            /* blocks in use */
	uint64_t *used;                /* DAX and FILE: a bit for each block of the file */
	bool by_address;               /* offset in the file == physical address */
	bool can_punch;                /* blocks can be given back, and read as zeros then */
	bool sparse; /* so can single pages, and SEEK_DATA tells which were touched */
	bool can_protect;              /* userfaultfd can write-protect mappings of it */
};

/* Where a block's memory is; all-zero: absent. */
struct mhp__slot {
	uint32_t offset_blocks;        /* offset in the file, in blocks */
	uint16_t file1;                /* file index + 1 */
	uint16_t zero;
};

/* One page of a region. See table.h for the bits. */
typedef uint64_t mhp__entry;

struct mhp_region {
	struct mhp_pool *pool;
	uintptr_t base;
	uint64_t nr_pages;
	mhp__entry *entry;             /* one for each page */
	uint64_t top;                  /* no page from here on was ever committed */
	uint64_t nr_committed;         /* pages */
	uint64_t nr_runs;              /* pieces that the kernel cannot merge: mappings */
	char name[32];
	bool live;
};

struct mhp__pin {
	uintptr_t start, end;
	uint32_t count;                /* 0: free */
};

/* A piece of a batch: pages that are contiguous at their address and on both sides of the move. */
struct mhp__piece {
	struct mhp_region *region;
	uint64_t page;                 /* index in the region */
	uint64_t src_pfn, dst_pfn;
	uint64_t nr;
	/* set by the batch itself */
	bool hole;                     /* nobody may read it either */
	uint32_t at;                   /* index of its first page in touched */
};

struct mhp__batch {
	struct mhp__piece piece[MHP__BATCH_PIECES];
	uint8_t by_address[MHP__BATCH_PIECES]; /* their numbers in order of address */
	unsigned char touched[MHP__BATCH_PAGES]; /* by piece and page: it has data to copy */
	unsigned nr_pieces;
	bool keep_src;                 /* the old frames are somebody's still */
	bool must;                     /* whatever it costs: a part of a move is taken back */
	uint64_t nr_pages;
};

/* A forked child that may still see our frames. */
struct mhp__child {
	uint32_t epoch;                /* its number; 0: slot is free */
	int pipe_fd;                   /* end of file: it has no descriptor of ours any more */
	int32_t pid;                   /* who made himself known first; 0: nobody yet */
	bool lost;                     /* there was no room to note one that did: kept for ever */
	bool silent;                   /* the pipe is closed, but it may still see frames */
	uint64_t quarantine;           /* first page kept for it + 1, linked by cookies; 0: none */
	uint64_t nr_quarantined;       /* pages */
};

/* A process that inherited the view of a forked child: it, and children of its own. */
struct mhp__descendant {
	uint32_t epoch;                /* the child's */
	int32_t pid;
};

struct mhp_pool {
	struct mhp *m;
	unsigned index;                /* in the process's list of pools */
	bool is_child;                 /* we are a forked copy: hands off */

	/* const */
	unsigned char *direct_map;
	uint64_t max_bytes, block_bytes, granule;
	uint32_t nr_blocks;
	void *instance;
	size_t instance_bytes;
	uint16_t owner;
	int uffd;                      /* -1: pages cannot move; uffd_why says why not */
	struct mhp_text uffd_why;
	bool private_map; /* regions are MAP_PRIVATE: the kernel does fork, nothing moves */
	int hole_uffd;	  /* for files that cannot be protected; -1 until there is one */
	unsigned char *scratch;        /* NULL until then */
	pthread_t hole_reader;         /* with it */

	/* hotplug mutex */
	pthread_mutex_t hotplug;
	struct mhp__slot *slot;        /* [nr_blocks] */
	struct mhp__file file[MHP__FILES_MAX];
	uint64_t gone_start, gone_end; /* physical range to give back at the unlock */
	uint32_t first_free;           /* no absent block lies before it */
	unsigned huge_pause;           /* moves that are made without asking for huge pages */

	/* region mutex */
	pthread_mutex_t mutex;
	pthread_cond_t settled;        /* pages ceased to be isolated */
	struct mhp_region region[MHP__REGIONS_MAX];
	struct mhp__pin pin[MHP__PINS_MAX];
	unsigned nr_pins;              /* highest used + 1 */
	struct mhp__batch batch;
	const struct mhp__file *checked_file; /* found to be valid at the start of this batch */
	uint64_t batch_weight;         /* of the largest batch that keeps writers but a moment */
	bool in_run;                   /* a run is moved in part: no fork now */
	uint64_t run_start, run_end;   /* where the part of it is that has moved; pfns */
	unsigned char *spare;          /* mappings in hand */
	bool spare_there;
	uint64_t map_limit;
	uint64_t map_foreign;          /* mappings of the process that are not a region's */
	uint64_t map_counted_ns;
	struct mhp_pool_stats stats;

	/* fork; region mutex */
	uint32_t epoch;                /* number of the last fork */
	uint32_t newest_child;         /* largest number of a living child; 0: none lives */
	uint32_t untracked;            /* number of the last child that there was no slot for */
	uint32_t nr_children;
	struct mhp__child child[MHP__CHILDREN_MAX];
	struct mhp__descendant descendant[MHP__DESCENDANTS_MAX];
	uint32_t nr_descendants;
	int fork_pipe[2];              /* of the fork under way; in a child [1] is its own */
	uint64_t fork_pipe_ino;        /* in a child: what fork_pipe[1] must still be */
	bool detached;                 /* in a child: it has copies of everything */
	bool fork_tracked;             /* the fork under way shares frames, or copies them */
	bool fork_eager;               /* it copies all: the parent could not be protected */

	/* service thread */
	int wake_fd;                   /* eventfd: it must look; -1: there is no such thread */
	pthread_t service;
	_Atomic bool service_stop;
	bool (*grow)(void *grow_ctx);  /* more memory, please; const after mhp_pool_set_grow() */
	void *grow_ctx;
};

/* ---- text.c ---- */

/* Format a sentence; NULL is fine. Returns code, so that callers can end with it. */
int mhp__say(struct mhp_text *text, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* MHP_E* for an errno. */
int mhp__errno(int error);

/* ---- fd.c ---- */

/* Read a number from a small file; 0 when it cannot be read. */
uint64_t mhp__read_number(const char *path);

/* ---- file.c: hotplug mutex ---- */

MHP_MUST_CHECK int mhp__file_open(struct mhp_pool *pool, const struct mhp_backing *backing,
				  uint16_t *ret_file, struct mhp_text *reterr);
/* Close files that no block uses. */
void mhp__file_put_unused(struct mhp_pool *pool);
/* A free piece, one block long, of a DAX device or file; and back. */
bool mhp__file_take(struct mhp_pool *pool, struct mhp__file *file, uint32_t *ret_block);
void mhp__file_give(struct mhp__file *file, uint32_t block);
/* Is the descriptor still ours? */
bool mhp__file_valid(const struct mhp__file *file);
/* Make holes of [offset, offset + size): memory goes back. */
void mhp__file_punch(const struct mhp__file *file, uint64_t offset, uint64_t size);
/* The first byte at or after offset that was ever touched; false: there is none before its end. */
bool mhp__file_data(const struct mhp__file *file, uint64_t offset, uint64_t size,
		    uint64_t *ret_start);

/* ---- space.c: physical addresses ---- */

extern const struct mhp_port_ops mhp__linux_ops;

/* File and offset behind a frame that is in use (so its block cannot go). */
const struct mhp__file *mhp__frame_file(const struct mhp_pool *pool, uint64_t pfn,
					uint64_t *ret_offset);
/* Do frames a and a + 1 lie next to each other in one file? */
bool mhp__frames_adjoin(const struct mhp_pool *pool, uint64_t pfn);
static inline unsigned char *
mhp__frame_virt(const struct mhp_pool *pool, uint64_t pfn)
{
	return pool->direct_map + (pfn << MHP__PAGE_SHIFT);
}
/* Can mappings of this frame be write-protected? */
static inline bool
mhp__frame_protectable(const struct mhp_pool *pool, uint64_t pfn)
{
	uint64_t offset;
	return mhp__frame_file(pool, pfn, &offset)->can_protect;
}
/* Make frames hold zeros. */
void mhp__frames_zero(struct mhp_pool *pool, uint64_t pfn, uint64_t nr);
/* Their contents are of no use any more: give their memory back where single pages can be. */
void mhp__frames_release(struct mhp_pool *pool, uint64_t pfn, uint64_t nr);

/* ---- uffd.c ---- */

/* A userfaultfd that also holds up system calls; -1 and a sentence when there is none. */
int mhp__uffd_open(uint64_t features, bool blocking, struct mhp_text *reterr);
/* On error part of the range may be protected; what was, still is. */
MHP_MUST_CHECK int mhp__uffd_protect(const struct mhp_pool *pool, uintptr_t start, uint64_t size);
/* Lift protection and wake whoever waits. */
void mhp__uffd_release(const struct mhp_pool *pool, uintptr_t start, uint64_t size);
/* Lift the protection of what a child no longer sees; stays registered. */
void mhp__uffd_unprotect(const struct mhp_pool *pool, uintptr_t start, uint64_t size);
void mhp__uffd_wake(const struct mhp_pool *pool, uintptr_t start, uint64_t size);

/* ---- hole.c ---- */

/* Be able to make holes: hotplug mutex. */
MHP_MUST_CHECK int mhp__hole_start(struct mhp_pool *pool, struct mhp_text *reterr);
/*
 * From now on every access to the range waits, until something is mapped there and woken. On
 * error the first part may be a hole: map what was there.
 */
MHP_MUST_CHECK int mhp__hole_make(const struct mhp_pool *pool, uintptr_t start, uint64_t size);
void mhp__hole_wake(const struct mhp_pool *pool, uintptr_t start, uint64_t size);
/* The pool ends: no more holes. */
void mhp__hole_stop(struct mhp_pool *pool);

/* ---- vma.c: region mutex ---- */

/* May nr more mappings be made, leaving the program its share? */
bool mhp__mappings_fit(struct mhp_pool *pool, uint64_t nr);
void mhp__spare_take(struct mhp_pool *pool);
/* Let go of the mappings in hand: the next MHP__SPARE_MAPPINGS ones will succeed. */
void mhp__spare_drop(struct mhp_pool *pool);

/* ---- region.c ---- */

struct mhp_region *mhp__region_find(struct mhp_pool *pool, uintptr_t address);
/* Put frames behind pages of a region: one mmap for each piece of one file. Errno, or 0. */
MHP_MUST_CHECK int mhp__region_map(const struct mhp_region *region, uint64_t page, uint64_t pfn,
				   uint64_t nr);
/* The same for the first piece of *nr pages; *nr becomes its length, also when it fails. */
MHP_MUST_CHECK int mhp__region_map_part(const struct mhp_region *region, uint64_t page,
					uint64_t pfn, uint64_t *nr);
/* Back to reserved addresses. */
MHP_MUST_CHECK int mhp__region_unmap(const struct mhp_region *region, uint64_t page, uint64_t nr);

/* ---- move.c ---- */

extern const struct mhp_movable_ops mhp__region_ops;

/* ---- huge.c ---- */

/* Before these moves: make huge pages of the targets that they will fill. No mutex. */
void mhp__huge_targets(struct mhp_pool *pool, const struct mhp_move *moves, unsigned nr_moves);

/* ---- batch.c ---- */

/* For the negative control of the write-loss test only: leaves the protection out. */
extern bool mhp__test_no_protect;
/* For tests only: so many mappings of a move, protections at a fork, or runs half-way, fail. */
extern unsigned mhp__test_fail_remaps, mhp__test_fail_protects, mhp__test_fail_runs;
static inline uint64_t
mhp__batch_weight(uint64_t nr_pages, uint64_t nr_pieces)
{
	return nr_pages + nr_pieces * MHP__PIECE_WEIGHT;
}
/*
 * Move the pieces of pool->batch, all or nothing; the tables follow. The old frames keep their
 * memory: the caller releases them.
 */
MHP_MUST_CHECK int mhp__batch_run(struct mhp_pool *pool);

/* ---- pin.c: region mutex ---- */

bool mhp__pinned(const struct mhp_pool *pool, uintptr_t start, uintptr_t end);

/* ---- fork.c: copy-on-write for forked children ---- */

MHP_MUST_CHECK int mhp__service_start(struct mhp_pool *pool);
void mhp__service_stop(struct mhp_pool *pool);
/* Make the service thread look around. */
void mhp__service_wake(struct mhp_pool *pool);

/* Region mutex, from here on. Does a living child see this page? */
static inline bool
mhp__shared(const struct mhp_pool *pool, mhp__entry entry)
{
	return (uint32_t)(entry >> MHP__ENTRY_EPOCH_SHIFT) < pool->newest_child;
}

/* ---- children.c ---- */

/* Note the child of the fork under way. */
void mhp__child_add(struct mhp_pool *pool);
/* Read what children say, and find out who is gone. True: somebody must be looked at again soon. */
bool mhp__children_look(struct mhp_pool *pool);
/* Keep the page at pfn, which was put in place at epoch, for the children that see it. */
void mhp__quarantine(struct mhp_pool *pool, uint64_t pfn, uint32_t epoch);
/* Is this the cookie of a page that is kept for a child? */
bool mhp__quarantine_cookie(uint64_t cookie, uint32_t *ret_epoch);
/* The pid of a living child that sees pages of epoch; 0 when unknown. */
int32_t mhp__child_pid(const struct mhp_pool *pool, uint32_t epoch);

/* ---- cow.c ---- */

/* A write to address waits: give the writer a page of its own, or let it go on. */
void mhp__cow_resolve(struct mhp_pool *pool, uintptr_t address);
/* Call fn for each piece of a region that is committed and alike: protectable or not. */
void mhp__cow_each(struct mhp_pool *pool, bool protectable,
		   void (*fn)(const struct mhp_region *region, uint64_t page, uint64_t nr));
/* Protect all that is committed, or keep everybody from it; and undo it. Sets fork_eager. */
void mhp__cow_protect(struct mhp_pool *pool);
/* Everybody may go on: the child has its copy of what cannot be protected. */
void mhp__cow_fill_holes(struct mhp_pool *pool);
void mhp__cow_release(struct mhp_pool *pool);

/* The pools of this process, for the fork handlers. */
extern struct mhp_pool *mhp__pools[MHP__POOLS_MAX];

#endif
