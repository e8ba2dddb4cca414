/* SPDX-License-Identifier: MIT */
/*
 * text.c - sizes and times for people.
 *
 * What is printed here is taken back by the parser of sizes: a size that is copied from a listing
 * means what it was printed for.
 */
#include <stdio.h>

#include "cli.h"

const char *
cli_size(uint64_t bytes)
{
	static char buffers[8][MHP_SIZE_TEXT];
	static unsigned next;
	char *text = buffers[next++ % 8];
	mhp_size_text(bytes, text);
	return text;
}

const char *
cli_duration(uint64_t ns)
{
	static char buffers[4][24];
	static unsigned next;
	char *text = buffers[next++ % 4];
	if (ns < 1000000)
		snprintf(text, sizeof(buffers[0]), "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, sizeof(buffers[0]), "%.1f ms", (double)ns / 1e6);
	else
		snprintf(text, sizeof(buffers[0]), "%.2f s", (double)ns / 1e9);
	return text;
}
