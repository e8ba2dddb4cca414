/* SPDX-License-Identifier: MIT */
/*
 * bootmem.h - what the machine was started with: memory, command line, and pages of that memory.
 */
#ifndef BARE_BOOTMEM_H
#define BARE_BOOTMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

enum { BOOT_RAM = 1, BOOT_RANGES_MAX = 32, BOOT_COMMAND_LINE_MAX = 1024 };

struct boot_range {
	uint64_t start;
	uint64_t size;
	uint32_t type;
};

/* The machine had this at boot; what there is no room to note is not used. Call before init. */
void bootmem_add_range(uint64_t start, uint64_t size, uint32_t type);
/* Copy the command line (NULL: there is none), and start the allocator. */
void bootmem_init(const char *text);
/* Memory the machine had at boot; *ret_nr ranges. */
const struct boot_range *bootmem_ranges(unsigned *ret_nr);
/* All of it, cut after 1023 characters; the caller may write to it when nobody asks for options. */
char *bootmem_command_line(void);
/* The value of KEY= on the command line, or fallback; "1" for a KEY without a value. */
const char *bootmem_option(const char *key, const char *fallback);
uint64_t bootmem_option_number(const char *key, uint64_t fallback);

/* nr_pages zero-filled pages aligned to align_bytes; NULL when there is no such run. Not for
 * traps. */
void *bootmem_alloc(uint64_t nr_pages, uint64_t align_bytes);
void bootmem_free(void *pages, uint64_t nr_pages);
/* Pages that are handed out now. */
uint64_t bootmem_nr_used(void);

static inline void *
phys_to_virt(uint64_t phys)
{
	return (void *)(DIRECT_MAP + phys);
}

static inline uint64_t
virt_to_phys(const void *virt)
{
	return (uint64_t)virt - DIRECT_MAP;
}

#endif
