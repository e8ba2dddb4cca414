/* SPDX-License-Identifier: MIT */
/*
 * heap_plugin.c - a library that heap_cases loads with RTLD_DEEPBIND: its malloc and free are what
 * it finds first, and it is handed memory that others allocated. Freeing that with another malloc
 * than the one that it came from ends the program.
 */
#include <stdlib.h>

void plugin_free(void *memory);
void *plugin_malloc(size_t size);

void
plugin_free(void *memory)
{
	free(memory);
}

void *
plugin_malloc(size_t size)
{
	return malloc(size);
}
