/* SPDX-License-Identifier: MIT */
/*
 * space.c - mmap and its like on the machine's own page tables, one page at a time.
 *
 * The lower half of the address space is the test program's. An area is a run of it of one kind,
 * in a sorted table that is kept short by joining neighbours. A page gets its memory when it is
 * first touched, so that 64 TiB cost what is used of them. A memory file is an area that nobody is
 * told of (AREA_FILE): its page-table entries say which page of the file is where, and the entries
 * of views are copies of them. Invariants: a page of memory belongs to one AREA_PRIVATE or
 * AREA_FILE; what is not in a table entry faults, so that a simulator that unmaps really does.
 *
 * There is one CPU, and traps do not come in here but for page faults of the program itself.
 */
#include "space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bootmem.h"
#include "mmu.h"
#include "smp.h"

#define SPACE_START UINT64_C(0x0000010000000000)
#define SPACE_END UINT64_C(0x00007ff000000000)
#define PAGE ((uint64_t)PAGE_BYTES)

enum {
	AREAS_MAX = 1 << 15,
	FILES_MAX = 256,
	SAVED_MAX = 1 << 17,
	CHUNK_PAGES = (4 << 20) / PAGE_BYTES,
	FIRST_FD = 3,
	INDEX_BITS = PAGE_SHIFT - 3,   /* of an address, for each level of tables */
};

enum kind { AREA_HIDDEN, AREA_PRIVATE, AREA_VIEW, AREA_FILE };

struct area {
	uint64_t start, end;
	uint64_t offset;           /* AREA_VIEW: in the file */
	enum kind kind;
	int fd;                    /* AREA_VIEW, AREA_FILE */
};

static struct table {
	struct area areas[AREAS_MAX];
	unsigned nr;
} table, saved_table;

static struct {
	bool used;
	uint64_t start;            /* of its AREA_FILE; 0 until it has a size */
} files[FILES_MAX];

/* Pages of memory: those that were given back, then those of a chunk that were never used. */
static struct {
	uint64_t first_free;       /* physical; a free page holds the next one */
	uint64_t chunk;
	uint64_t nr_left;          /* of the chunk */
	uint64_t nr_resident;
} pages;

static struct {
	struct {
		uint64_t virt, phys;
	} pages[SAVED_MAX];
	unsigned nr;
} saved;

/* ---- pages ---- */

/* A page of zeros. */
static uint64_t
page_alloc(void)
{
	uint64_t phys = pages.first_free;

	pages.nr_resident++;
	if (phys != 0) {
		uint64_t *words = phys_to_virt(phys);
		pages.first_free = words[0];
		memset(words, 0, PAGE_BYTES);
		return phys;
	}
	if (pages.nr_left == 0) {
		void *chunk = bootmem_alloc(CHUNK_PAGES, PAGE_BYTES);
		if (chunk == NULL) {
			fputs("the machine has too little memory\n", stderr);
			abort();
		}
		pages.chunk = virt_to_phys(chunk);
		pages.nr_left = CHUNK_PAGES;
	}
	pages.nr_left--;
	return pages.chunk + pages.nr_left * PAGE;
}

static void
page_free(uint64_t phys)
{
	*(uint64_t *)phys_to_virt(phys) = pages.first_free;
	pages.first_free = phys;
	pages.nr_resident--;
}

uint64_t
space_nr_resident(void)
{
	return pages.nr_resident;
}

/* ---- page-table entries ---- */

static void
set_entry(uint64_t virt, uint64_t phys)
{
	if (mmu_reserve(virt, PAGE, MMU_BASE) != 0)
		abort();
	*mmu_entry(virt, MMU_BASE) = phys | MMU_DATA;
	cpu_publish_tables();
}

/* What is mapped at virt, or 0. */
static uint64_t
entry_of(uint64_t virt)
{
	const _Atomic uint64_t *entry = mmu_entry(virt, MMU_BASE);

	return entry != NULL ? *entry & PTE_ADDRESS : 0;
}

/* The first page at or after virt that is mapped, or end: absent tables are stepped over. */
static uint64_t
next_mapped(uint64_t virt, uint64_t end)
{
	while (virt < end) {
		unsigned level = MMU_BASE;
		const _Atomic uint64_t *entry;
		while ((entry = mmu_entry(virt, (enum mmu_level)level)) == NULL)
			level++;
		if (level == MMU_BASE && *entry != 0)
			return virt;
		uint64_t step = UINT64_C(1) << (PAGE_SHIFT + INDEX_BITS * (level - 1));
		virt = (virt & ~(step - 1)) + step;
	}
	return end;
}

/* Nothing of [start, end) is mapped afterwards. owned: its memory goes, too. */
static void
drop(uint64_t start, uint64_t end, bool owned)
{
	uint64_t nr = 0, first = 0, last = 0;

	for (uint64_t at = next_mapped(start, end); at < end; at = next_mapped(at + PAGE, end)) {
		_Atomic uint64_t *entry = mmu_entry(at, MMU_BASE);
		if (owned)
			page_free(*entry & PTE_ADDRESS);
		*entry = 0;
		first = nr++ == 0 ? at : first;
		last = at;
	}
	if (nr != 0)
		smp_flush(first, (last - first) / PAGE + 1);
}

/* ---- areas ---- */

static bool
is_owner(const struct area *area)
{
	return area->kind == AREA_PRIVATE || area->kind == AREA_FILE;
}

/* The first area that ends behind virt. */
static unsigned
find(uint64_t virt)
{
	unsigned low = 0, high = table.nr;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		if (table.areas[middle].end > virt)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void
make_room(unsigned at)
{
	if (table.nr == AREAS_MAX) {
		fputs("more areas than the table has room for\n", stderr);
		abort();
	}
	memmove(&table.areas[at + 1], &table.areas[at], (table.nr - at) * sizeof(table.areas[0]));
	table.nr++;
}

static void
take_out(unsigned at)
{
	table.nr--;
	memmove(&table.areas[at], &table.areas[at + 1], (table.nr - at) * sizeof(table.areas[0]));
}

/* Afterwards no area spans virt. */
static void
split(uint64_t virt)
{
	unsigned at = find(virt);

	if (at == table.nr || table.areas[at].start >= virt)
		return;
	make_room(at);
	table.areas[at].end = virt;
	table.areas[at + 1].start = virt;
	table.areas[at + 1].offset += virt - table.areas[at].start;
}

static void
cut(uint64_t start, uint64_t end)
{
	split(start);
	split(end);
	for (unsigned at = find(start); at < table.nr && table.areas[at].start < end;) {
		const struct area *area = &table.areas[at];
		drop(area->start, area->end, is_owner(area));
		take_out(at);
	}
}

static bool
may_join(const struct area *a, const struct area *b)
{
	return a->end == b->start && a->kind == b->kind && a->fd == b->fd &&
	       (a->kind != AREA_VIEW || a->offset + (a->end - a->start) == b->offset);
}

/* The place is free. */
static void
insert(struct area area)
{
	unsigned at = find(area.start);

	if (at < table.nr && may_join(&area, &table.areas[at])) {
		area.end = table.areas[at].end;
		take_out(at);
	}
	if (at > 0 && may_join(&table.areas[at - 1], &area)) {
		table.areas[at - 1].end = area.end;
		return;
	}
	make_room(at);
	table.areas[at] = area;
}

/* Where size bytes are free, a page apart from what is there: 0 when nowhere. */
static uint64_t
find_place(uint64_t size)
{
	uint64_t at = SPACE_START;

	for (unsigned i = 0; i < table.nr; i++) {
		if (table.areas[i].start >= at && table.areas[i].start - at >= size + PAGE)
			return at;
		at = table.areas[i].end + PAGE;
	}
	return SPACE_END - at >= size ? at : 0;
}

/* ---- faults ---- */

/* The page of a file at offset, made if need be. */
static uint64_t
file_page(int fd, uint64_t offset)
{
	uint64_t home = files[fd].start + offset;
	uint64_t phys = entry_of(home);

	if (phys == 0) {
		phys = page_alloc();
		set_entry(home, phys);
	}
	return phys;
}

bool
space_fault(uint64_t address, uint64_t error)
{
	uint64_t virt = address & ~(PAGE - 1);
	unsigned at = find(address);

	(void)error;
	if (at == table.nr || table.areas[at].start > address || entry_of(virt) != 0)
		return false;
	const struct area *area = &table.areas[at];
	switch (area->kind) {
	case AREA_PRIVATE:
		set_entry(virt, page_alloc());
		return true;
	case AREA_VIEW:
		set_entry(virt, file_page(area->fd, area->offset + (virt - area->start)));
		return true;
	default:
		return false;
	}
}

/* ---- <sys/mman.h> ---- */

static uint64_t
whole_pages(uint64_t size)
{
	return (size + PAGE - 1) & ~(PAGE - 1);
}

static bool
is_file(int fd)
{
	return fd >= FIRST_FD && fd < FIRST_FD + FILES_MAX && files[fd - FIRST_FD].used;
}

void *
mmap(void *at, size_t size, int prot, int flags, int fd, long offset)
{
	bool anonymous = (flags & MAP_ANONYMOUS) != 0;
	uint64_t start = (uint64_t)at, bytes = whole_pages(size);

	if ((flags & MAP_FIXED) == 0)
		start = find_place(bytes);
	if (size == 0 || start == 0 || (!anonymous && !is_file(fd))) {
		errno = size == 0 ? EINVAL : ENOMEM;
		return MAP_FAILED;
	}
	cut(start, start + bytes);
	struct area area = { .start = start, .end = start + bytes, .fd = -1 };
	if (prot != PROT_NONE && anonymous) {
		area.kind = AREA_PRIVATE;
	} else if (prot != PROT_NONE) {
		area.kind = AREA_VIEW;
		area.fd = fd - FIRST_FD;
		area.offset = (uint64_t)offset;
	}
	insert(area);
	return (void *)start;
}

int
munmap(void *at, size_t size)
{
	cut((uint64_t)at, (uint64_t)at + whole_pages(size));
	return 0;
}

int
mprotect(void *at, size_t size, int prot)
{
	void *same = mmap(at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return same == at ? 0 : -1;
}

int
madvise(void *at, size_t size, int advice)
{
	uint64_t start = (uint64_t)at, end = start + whole_pages(size);

	if (advice != MADV_DONTNEED)
		return -1;
	for (unsigned i = find(start); i < table.nr && table.areas[i].start < end; i++) {
		const struct area *area = &table.areas[i];
		drop(area->start > start ? area->start : start, area->end < end ? area->end : end,
		     area->kind == AREA_PRIVATE);
	}
	return 0;
}

int
mincore(void *at, size_t size, unsigned char *ret_seen)
{
	uint64_t start = (uint64_t)at;

	for (uint64_t i = 0; i < size / PAGE; i++) {
		uint64_t virt = start + i * PAGE;
		const struct area *area = &table.areas[find(virt)];
		if (area->kind == AREA_VIEW && area->start <= virt)
			virt = files[area->fd].start + area->offset + (virt - area->start);
		ret_seen[i] = entry_of(virt) != 0;
	}
	return 0;
}

/* ---- memory files ---- */

int
memfd_create(const char *name, unsigned flags)
{
	(void)name;
	(void)flags;
	for (int i = 0; i < FILES_MAX; i++) {
		if (files[i].used)
			continue;
		files[i].used = true;
		files[i].start = 0;
		return FIRST_FD + i;
	}
	return -1;
}

/* Once for each file. */
int
ftruncate(int fd, long size)
{
	uint64_t bytes = whole_pages((uint64_t)size), start = find_place(bytes);

	if (!is_file(fd) || start == 0)
		return -1;
	fd -= FIRST_FD;
	files[fd].start = start;
	insert((struct area){ .start = start, .end = start + bytes, .kind = AREA_FILE, .fd = fd });
	return 0;
}

/* Views that were not unmapped before have lost their memory. */
int
close(int fd)
{
	if (!is_file(fd))
		return -1;
	fd -= FIRST_FD;
	files[fd].used = false;
	for (unsigned i = 0; i < table.nr;) {
		const struct area *area = &table.areas[i];
		if (area->kind == AREA_FILE && area->fd == fd)
			cut(area->start, area->end);
		else
			i++;
	}
	return 0;
}

/* Take what is in [start, end) of the file out of a view of it. */
static void
hide(const struct area *view, uint64_t start, uint64_t end)
{
	uint64_t first = view->offset, last = first + (view->end - view->start);

	start = start > first ? start : first;
	end = end < last ? end : last;
	if (start < end)
		drop(view->start + (start - first), view->start + (end - first), false);
}

int
fallocate(int fd, int mode, long offset, long size)
{
	uint64_t start = (uint64_t)offset, end = start + (uint64_t)size;

	if (!is_file(fd) || mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return -1;
	fd -= FIRST_FD;
	for (unsigned i = 0; i < table.nr; i++) {
		if (table.areas[i].kind == AREA_VIEW && table.areas[i].fd == fd)
			hide(&table.areas[i], start, end);
	}
	drop(files[fd].start + start, files[fd].start + end, true);
	return 0;
}

/* ---- children ---- */

void
space_fork(void)
{
	saved_table.nr = table.nr;
	memcpy(saved_table.areas, table.areas, table.nr * sizeof(table.areas[0]));
	saved.nr = 0;
	for (unsigned i = 0; i < table.nr; i++) {
		const struct area *area = &table.areas[i];
		if (area->kind != AREA_PRIVATE)
			continue;
		for (uint64_t at = next_mapped(area->start, area->end); at < area->end;
		     at = next_mapped(at + PAGE, area->end)) {
			uint64_t copy = page_alloc();
			memcpy(phys_to_virt(copy), (const void *)at, PAGE_BYTES);
			if (saved.nr == SAVED_MAX)
				abort();
			saved.pages[saved.nr].virt = at;
			saved.pages[saved.nr++].phys = copy;
		}
	}
}

/* The copies take the place of what the child worked on. */
void
space_join(void)
{
	for (unsigned i = 0; i < table.nr; i++) {
		const struct area *area = &table.areas[i];
		if (area->kind != AREA_FILE)
			drop(area->start, area->end, area->kind == AREA_PRIVATE);
	}
	table.nr = saved_table.nr;
	memcpy(table.areas, saved_table.areas, table.nr * sizeof(table.areas[0]));
	for (unsigned i = 0; i < saved.nr; i++)
		set_entry(saved.pages[i].virt, saved.pages[i].phys);
	smp_flush_all();
}
