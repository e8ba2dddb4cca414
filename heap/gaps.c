/* SPDX-License-Identifier: MIT */
/*
 * gaps.c - sets of address ranges as treaps: search trees by address that random priorities keep
 * shallow (Seidel and Aragon, 1996).
 *
 * Each node also knows the largest range below it, which finds the lowest range that is large
 * enough in one descent. Every change is made of two steps, detach() and attach(). Node 0 is nil:
 * empty, and never written. Owners change their sets at the same time, so each has nodes of its
 * own. They are never given back; unused ones are linked by left.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/mman.h>

#include "gaps.h"

#define NODES_MAX (UINT32_C(1) << 20)
/* What is in the books is bounded by the mappings that a process may have. */
#define NODES_OF_MAPS (UINT32_C(1) << 18)
#define NODES_OF_HEAP (NODES_MAX - NODES_OF_MAPS)
#define PAGE_BYTES UINT64_C(4096)

static struct node {
	uintptr_t start, size;
	uintptr_t max; /* the largest size of this node and all below it */
	uint32_t left, right, priority;
} *node;

static struct store {
	uint32_t unused; /* first of the list */
	uint32_t next;   /* of the nodes that never were in use */
	uint32_t nr, nr_used;
} stores[MHP__GAPS_OWNERS] = {
	[MHP__GAPS_OF_HEAP] = { .next = 1, .nr = NODES_OF_HEAP - 1 },
	[MHP__GAPS_OF_MAPS] = { .next = NODES_OF_HEAP, .nr = NODES_OF_MAPS },
};

bool
mhp__gaps_init(void)
{
	if (node != NULL)
		return true;
	void *store = mmap(NULL, NODES_MAX * sizeof(*node), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (store == MAP_FAILED)
		return false;
	madvise(store, NODES_MAX * sizeof(*node), MADV_NOHUGEPAGE);
	node = store;
	return true;
}

static struct store *
store_of(const struct mhp__gaps *gaps)
{
	return &stores[gaps->owner];
}

/* Can so many nodes be had? */
static bool
has(const struct store *store, uint32_t nr)
{
	return store->nr - store->nr_used >= nr;
}

static uint32_t
make(struct store *store, uintptr_t start, uintptr_t size)
{
	uint32_t n = store->unused;
	if (n != 0)
		store->unused = node[n].left;
	else
		n = store->next++;
	store->nr_used++;
	/* Knuth's multiplier, on a number that differs for each use of a node. */
	uint32_t priority = (uint32_t)(start >> 12 ^ n) * UINT32_C(2654435761);
	node[n] = (struct node){ .start = start, .size = size, .max = size, .priority = priority };
	return n;
}

static void
drop(struct store *store, uint32_t n)
{
	node[n].left = store->unused;
	store->unused = n;
	store->nr_used--;
}

static void
update(uint32_t n)
{
	uintptr_t max = node[n].size;
	if (node[node[n].left].max > max)
		max = node[node[n].left].max;
	if (node[node[n].right].max > max)
		max = node[node[n].right].max;
	node[n].max = max;
}

/* Cut a tree in two: nodes that start below key, and the others. */
static void
split(uint32_t tree, uintptr_t key, uint32_t *left, uint32_t *right)
{
	if (tree == 0) {
		*left = *right = 0;
		return;
	}
	if (node[tree].start < key) {
		split(node[tree].right, key, &node[tree].right, right);
		*left = tree;
	} else {
		split(node[tree].left, key, left, &node[tree].left);
		*right = tree;
	}
	update(tree);
}

/* Join two trees, all of left below right. */
static uint32_t
join(uint32_t left, uint32_t right)
{
	if (left == 0 || right == 0)
		return left | right;
	if (node[left].priority > node[right].priority) {
		node[left].right = join(node[left].right, right);
		update(left);
		return left;
	}
	node[right].left = join(left, node[right].left);
	update(right);
	return right;
}

/* The node that holds address, or 0. */
static uint32_t
find(const struct mhp__gaps *gaps, uintptr_t address)
{
	uint32_t n = gaps->root, below = 0;
	while (n != 0) {
		if (node[n].start <= address)
			below = n;
		n = node[n].start <= address ? node[n].right : node[n].left;
	}
	return below != 0 && address - node[below].start < node[below].size ? below : 0;
}

static void
detach(struct mhp__gaps *gaps, uint32_t n)
{
	uint32_t left, middle, right;
	split(gaps->root, node[n].start, &left, &right);
	split(right, node[n].start + 1, &middle, &right);
	gaps->root = join(left, right);
	drop(store_of(gaps), n);
}

static void
attach(struct mhp__gaps *gaps, uintptr_t start, uintptr_t size)
{
	uint32_t left, right;
	if (size == 0)
		return;
	split(gaps->root, start, &left, &right);
	gaps->root = join(join(left, make(store_of(gaps), start, size)), right);
}

bool
mhp__gaps_give(struct mhp__gaps *gaps, uintptr_t start, uintptr_t size)
{
	uint32_t below = find(gaps, start - 1), above = find(gaps, start + size);
	if (size == 0)
		return true;
	if (below == 0 && above == 0 && !has(store_of(gaps), 1))
		return false;
	if (below != 0) {
		start = node[below].start;
		size += node[below].size;
		detach(gaps, below);
	}
	if (above != 0) {
		size += node[above].size;
		detach(gaps, above);
	}
	attach(gaps, start, size);
	return true;
}

bool
mhp__gaps_take(struct mhp__gaps *gaps, uintptr_t start, uintptr_t size)
{
	uint32_t n = find(gaps, start);
	if (size == 0)
		return true;
	if (n == 0 || !has(store_of(gaps), 1))
		return false;
	struct node whole = node[n];
	uintptr_t before = start - whole.start;
	if (whole.size - before < size)
		return false;
	detach(gaps, n);
	attach(gaps, whole.start, before);
	attach(gaps, start + size, whole.size - before - size);
	return true;
}

bool
mhp__gaps_full(const struct mhp__gaps *gaps)
{
	return !has(store_of(gaps), 1);
}

uintptr_t
mhp__gaps_at(const struct mhp__gaps *gaps, uintptr_t start)
{
	uint32_t n = find(gaps, start);
	return n == 0 ? 0 : node[n].size - (start - node[n].start);
}

uintptr_t
mhp__gaps_before(const struct mhp__gaps *gaps, uintptr_t end)
{
	uint32_t n = find(gaps, end - 1);
	return n == 0 ? 0 : end - node[n].start;
}

uintptr_t
mhp__gaps_next(const struct mhp__gaps *gaps, uintptr_t address)
{
	uintptr_t next = UINTPTR_MAX;
	for (uint32_t n = gaps->root; n != 0;) {
		if (node[n].start > address)
			next = node[n].start;
		n = node[n].start > address ? node[n].left : node[n].right;
	}
	return next;
}

uintptr_t
mhp__gaps_lowest(const struct mhp__gaps *gaps, uintptr_t size, uintptr_t alignment)
{
	/* Large enough wherever it starts. */
	uintptr_t need = alignment > PAGE_BYTES ? size + alignment - PAGE_BYTES : size;
	uint32_t n = gaps->root;
	if (node[n].max < need)
		return 0;
	while (node[node[n].left].max >= need || node[n].size < need)
		n = node[node[n].left].max >= need ? node[n].left : node[n].right;
	return (node[n].start + alignment - 1) & ~(alignment - 1);
}

uintptr_t
mhp__gaps_largest(const struct mhp__gaps *gaps, uintptr_t *ret_start)
{
	uint32_t n = gaps->root;
	uintptr_t max = node[n].max;
	while (node[n].size != max)
		n = node[node[n].left].max == max ? node[n].left : node[n].right;
	*ret_start = node[n].start;
	return max;
}

uint32_t
mhp__gaps_nr(const struct mhp__gaps *gaps)
{
	return store_of(gaps)->nr_used;
}
