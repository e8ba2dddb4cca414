/* SPDX-License-Identifier: MIT */
/*
 * heap.c - malloc: power-of-two sizes, each with a list of free pieces, cut off one long area.
 *
 * A piece begins with a header that holds its size. Large pieces are areas of their own, so that
 * what is freed goes back to the machine. The lists are in the area that they manage: when a child
 * is over (space_join), they are again what they were.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define AREA_BYTES (UINT64_C(1) << 32)
#define HEADER_BYTES 64U           /* pieces are aligned to it */
#define LARGE_SHIFT 17U
#define LARGE_BYTES (UINT64_C(1) << LARGE_SHIFT)

struct piece {
	uint64_t size;             /* header included */
	struct piece *next;        /* while free */
};

static struct heap {
	struct piece *free[LARGE_SHIFT + 1];
	unsigned char *rest, *end;
} *heap;

int errno;

static void *
new_area(uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at != MAP_FAILED ? at : NULL;
}

static int
heap_start(void)
{
	if (heap == NULL) {
		heap = new_area(AREA_BYTES);
		if (heap != NULL) {
			heap->rest = (unsigned char *)heap + 4096;
			heap->end = (unsigned char *)heap + AREA_BYTES;
		}
	}
	return heap != NULL;
}

static struct piece *
small_piece(unsigned shift)
{
	struct piece *piece = heap->free[shift];
	uint64_t size = UINT64_C(1) << shift;

	if (piece != NULL) {
		heap->free[shift] = piece->next;
		return piece;
	}
	if ((uint64_t)(heap->end - heap->rest) < size)
		return NULL;
	piece = (struct piece *)(void *)heap->rest;
	heap->rest += size;
	piece->size = size;
	return piece;
}

static struct piece *
large_piece(uint64_t size)
{
	struct piece *piece = new_area(size);

	if (piece != NULL)
		piece->size = size;
	return piece;
}

void *
malloc(size_t size)
{
	uint64_t whole = (uint64_t)size + HEADER_BYTES;
	struct piece *piece;

	if (whole < size || !heap_start())
		return NULL;
	unsigned shift = 64U - (unsigned)__builtin_clzll(whole - 1);
	if (whole > LARGE_BYTES)
		piece = large_piece((whole + 4095) & ~UINT64_C(4095));
	else
		piece = small_piece(shift);
	if (piece == NULL)
		errno = ENOMEM;
	return piece != NULL ? (unsigned char *)piece + HEADER_BYTES : NULL;
}

static struct piece *
piece_of(void *at)
{
	return (struct piece *)(void *)((unsigned char *)at - HEADER_BYTES);
}

void
free(void *at)
{
	if (at == NULL)
		return;
	struct piece *piece = piece_of(at);
	if (piece->size > LARGE_BYTES) {
		munmap(piece, piece->size);
		return;
	}
	unsigned shift = 63U - (unsigned)__builtin_clzll(piece->size);
	piece->next = heap->free[shift];
	heap->free[shift] = piece;
}

void *
calloc(size_t nr, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(nr, size, &bytes))
		return NULL;
	void *at = malloc(bytes);
	/* A large piece is an area that has just been made. */
	if (at != NULL && piece_of(at)->size <= LARGE_BYTES)
		memset(at, 0, bytes);
	return at;
}

void *
realloc(void *at, size_t size)
{
	void *to = malloc(size);

	if (to != NULL && at != NULL) {
		uint64_t had = piece_of(at)->size - HEADER_BYTES;
		memcpy(to, at, had < size ? had : size);
		free(at);
	}
	return to;
}

void *
aligned_alloc(size_t align, size_t size)
{
	if (align > HEADER_BYTES) {
		errno = EINVAL;
		return NULL;
	}
	return malloc(size);
}
