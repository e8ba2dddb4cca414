/* SPDX-License-Identifier: MIT */
/*
 * heap_cases.c - what a program does with its memory, case by case, and what it may expect.
 *
 * Run by heap_test.sh under `memplug run`. A case returns 0, or says what it saw on standard error
 * and ends the program with 1. Nothing here knows of pools.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "heap_cases: line %d: %s\n", __LINE__, #cond);             \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* One array grows, while small things are allocated in between. */
static void
large_array__grows__stays_in_place(void)
{
	size_t size = MIB, end = 200 * MIB;
	char *array = malloc(size), *start = array;
	memset(array, 1, size);
	while (size < end) {
		size_t more = size + size / 8;
		array = realloc(array, more);
		CHECK(array == start);
		memset(array + size, 2, more - size);
		size = more;
		void *volatile small = malloc(size / 1000);
		CHECK(small != NULL);
	}
	for (size_t i = 0; i < size; i += 4096)
		CHECK(array[i] == (i < MIB ? 1 : 2));
}

/* Memory comes and goes in all sizes: what calloc gives is zero, and nothing overlaps. */
static void
sizes_of_all_kinds__come_and_go__hold_what_was_written(void)
{
	enum { SLOTS = 2000, STEPS = 60000 };
	static struct slot {
		unsigned char *at;
		size_t size;
	} slot[SLOTS];
	srand(1);
	for (int step = 0; step < STEPS; step++) {
		struct slot *s = &slot[rand() % SLOTS];
		unsigned char mark = (unsigned char)(1 + (s - slot) % 255);
		if (s->at != NULL) {
			CHECK(s->at[0] == mark && s->at[s->size / 2] == mark &&
			      s->at[s->size - 1] == mark);
			free(s->at);
		}
		s->size = (size_t)(1 + rand() % 1000) << rand() % 11;
		s->at = calloc(1, s->size);
		CHECK(s->at != NULL);
		for (size_t i = 0; i < s->size; i += 512)
			CHECK(s->at[i] == 0);
		CHECK(s->at[s->size - 1] == 0);
		s->at[0] = s->at[s->size / 2] = s->at[s->size - 1] = mark;
	}
}

/* The loader looks for a name without a path where our own run path says: it knows its caller. */
static void
library__is_loaded_deepbind__frees_what_others_allocate(void)
{
	void *plugin = dlopen("libheap-plugin.so", RTLD_NOW | RTLD_DEEPBIND);
	CHECK(plugin != NULL);
	void (*plugin_free)(void *) = (void (*)(void *))dlsym(plugin, "plugin_free");
	void *(*plugin_malloc)(size_t) = (void *(*)(size_t))dlsym(plugin, "plugin_malloc");
	for (size_t size = 1; size < 8 * MIB; size *= 3) {
		plugin_free(malloc(size));
		plugin_free(strdup("text"));
		free(plugin_malloc(size));
	}
}

static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
#define CASE(fn) { #fn, fn }
	CASE(library__is_loaded_deepbind__frees_what_others_allocate),
	CASE(large_array__grows__stays_in_place),
	CASE(sizes_of_all_kinds__come_and_go__hold_what_was_written),
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc < 2)
			puts(cases[i].name);
		else if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].fn();
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
