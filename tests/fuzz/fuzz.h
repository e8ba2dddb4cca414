/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what a fuzz target is: one function that is given bytes and must not go wrong.
 *
 * The same source is a target of libFuzzer (scripts/fuzz) and, with driver.c, a test that gives it
 * every file of its corpus again. What must hold is said by FUZZ_CHECK; sanitizers say the rest.
 */
#ifndef MEMPLUG_FUZZ_H
#define MEMPLUG_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0; the name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* A copy of the input as text, with a zero byte behind it; the caller frees it. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	FUZZ_CHECK(text != NULL);
	memcpy(text, data, size);
	text[size] = 0;
	return text;
}

#endif
