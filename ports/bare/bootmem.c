/* SPDX-License-Identifier: MIT */
/*
 * bootmem.c - the memory that was there at boot, and an allocator of its pages.
 *
 * Everything the port itself needs comes from here: the instance's footprint, page tables that
 * several blocks share, external metadata, stacks. It is the "existing memory" of which an add
 * with its metadata in the block takes none, so it counts: bootmem_nr_used() before and after must
 * agree. The loader's tables lie in memory that is called usable, so the machine copies them
 * (bootmem_add_range, bootmem_init) before anything is handed out, and nothing below the image ever
 * is. First fit on one bit a page, under a lock.
 */
#include "bootmem.h"

#include <stdatomic.h>

#include "string.h"
#include "cpu.h"

extern char image_end[];

static struct boot_range ranges[BOOT_RANGES_MAX];
static unsigned nr_ranges;
static char command_line[BOOT_COMMAND_LINE_MAX];

static atomic_flag busy = ATOMIC_FLAG_INIT;
static uint64_t pool_start;         /* physical */
static uint64_t pool_pages;
static uint64_t used_pages;
static uint64_t lowest_free;        /* all pages below are used */
static uint8_t *pool_bits;          /* the pool's first pages */

static bool
page_used(uint64_t page)
{
	return (pool_bits[page / 8] >> (page % 8) & 1) != 0;
}

static void
mark_pages(uint64_t page, uint64_t nr, bool used)
{
	for (uint64_t end = page + nr; page < end; page++) {
		uint8_t bit = (uint8_t)(1U << (page % 8));
		pool_bits[page / 8] = (uint8_t)(used ? pool_bits[page / 8] | bit
						      : pool_bits[page / 8] & ~bit);
	}
	used_pages = used ? used_pages + nr : used_pages - nr;
	if (used && page - nr <= lowest_free && page > lowest_free)
		lowest_free = page;
	if (!used && page - nr < lowest_free)
		lowest_free = page - nr;
}

/* The pool is the largest piece of RAM below 4 GiB, less what the image covers. */
static void
pool_init(void)
{
	uint64_t image = ((uint64_t)image_end + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
	uint64_t end = 0;

	for (unsigned i = 0; i < nr_ranges; i++) {
		uint64_t start = ranges[i].start;
		uint64_t stop = start + ranges[i].size;
		if (ranges[i].type != BOOT_RAM || stop > UINT64_C(1) << 32 || stop <= image)
			continue;
		start = start < image ? image : start;
		if (stop - start > end - pool_start) {
			pool_start = start;
			end = stop;
		}
	}
	pool_pages = (end - pool_start) / PAGE_BYTES;
	pool_bits = phys_to_virt(pool_start);
	uint64_t bits_pages = (pool_pages / 8 + PAGE_BYTES) / PAGE_BYTES;
	memset(pool_bits, 0, bits_pages * PAGE_BYTES);
	mark_pages(0, bits_pages, true);
}

void
bootmem_add_range(uint64_t start, uint64_t size, uint32_t type)
{
	if (nr_ranges < BOOT_RANGES_MAX)
		ranges[nr_ranges++] = (struct boot_range){ start, size, type };
}

void
bootmem_init(const char *text)
{
	size_t length = text != NULL ? strlen(text) : 0;

	length = length < sizeof(command_line) ? length : sizeof(command_line) - 1;
	memcpy(command_line, text, length);
	pool_init();
}

const struct boot_range *
bootmem_ranges(unsigned *ret_nr)
{
	*ret_nr = nr_ranges;
	return ranges;
}

char *
bootmem_command_line(void)
{
	return command_line;
}

const char *
bootmem_option(const char *key, const char *fallback)
{
	static char value[BOOT_COMMAND_LINE_MAX];
	char *rest = value;
	size_t length = strlen(key);

	memcpy(value, command_line, sizeof(value));
	for (char *word = text_word(&rest); word != NULL; word = text_word(&rest)) {
		if (strlen(word) < length || memcmp(word, key, length) != 0)
			continue;
		if (word[length] == '=')
			return word + length + 1;
		if (word[length] == '\0')
			return "1";
	}
	return fallback;
}

uint64_t
bootmem_option_number(const char *key, uint64_t fallback)
{
	const char *text = bootmem_option(key, "");
	uint64_t value;

	return text_number(&text, &value) ? value : fallback;
}

/* The first run of nr free pages whose address is aligned, or pool_pages. */
static uint64_t
find_run(uint64_t nr, uint64_t align_bytes)
{
	uint64_t step = align_bytes / PAGE_BYTES;
	uint64_t page = (align_bytes - pool_start % align_bytes) % align_bytes / PAGE_BYTES;

	if (page < lowest_free)
		page += (lowest_free - page) / step * step;
	for (; page + nr <= pool_pages; page += step) {
		uint64_t i = 0;
		while (i < nr && !page_used(page + i))
			i++;
		if (i == nr)
			return page;
		page += i / step * step;    /* the used page is beyond: skip to its step */
	}
	return pool_pages;
}

static uint64_t
lock(void)
{
	uint64_t flags = irq_save();

	while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		cpu_pause();
	return flags;
}

static void
unlock(uint64_t flags)
{
	atomic_flag_clear_explicit(&busy, memory_order_release);
	irq_restore(flags);
}

void *
bootmem_alloc(uint64_t nr_pages, uint64_t align_bytes)
{
	uint64_t flags = lock();
	uint64_t page = find_run(nr_pages, align_bytes);
	bool found = page < pool_pages;

	if (found)
		mark_pages(page, nr_pages, true);
	unlock(flags);
	if (!found)
		return NULL;
	return memset(phys_to_virt(pool_start + page * PAGE_BYTES), 0, nr_pages * PAGE_BYTES);
}

void
bootmem_free(void *pages, uint64_t nr_pages)
{
	uint64_t flags = lock();

	mark_pages((virt_to_phys(pages) - pool_start) / PAGE_BYTES, nr_pages, false);
	unlock(flags);
}

uint64_t
bootmem_nr_used(void)
{
	return used_pages;
}
