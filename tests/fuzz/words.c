/* SPDX-License-Identifier: MIT */
/*
 * words.c - fuzz target: numbers, seconds, sizes and lists of blocks as people write them (R67,
 * R75).
 *
 * What is taken is within its bounds, and a size that is printed reads as itself.
 */
#include <memplug/words.h>

#include "fuzz.h"

static void
blocks(const char *text)
{
	const uint64_t block_bytes = UINT64_C(128) << 20;
	const uint32_t nr_blocks = 1U << 19;
	struct mhp_blocks run;
	const char *at = text;

	/* Each turn takes a character at least. */
	while (*at != 0) {
		const char *before = at;
		if (mhp_blocks_next(&at, block_bytes, nr_blocks, &run) != 1)
			break;
		FUZZ_CHECK(at > before);
		FUZZ_CHECK(run.count >= 1 && run.first < nr_blocks &&
			   run.count <= nr_blocks - run.first);
	}
}

static void
size_of(const char *text)
{
	char printed[MHP_SIZE_TEXT];
	struct mhp_size size, again;

	if (mhp_size_parse(text, &size) != 0)
		return;
	FUZZ_CHECK(size.first <= size.bytes && size.bytes <= size.last);
	/* What is printed is rounded, and above that may not be a number of bytes any more. */
	if (size.bytes > UINT64_C(1) << 60)
		return;
	mhp_size_text(size.bytes, printed);
	FUZZ_CHECK(mhp_size_parse(printed, &again) == 0);
	FUZZ_CHECK(again.first <= size.bytes && size.bytes <= again.last);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	uint64_t number;
	uint32_t ms;

	if (mhp_number_parse(text, 1000, &number) == 0)
		FUZZ_CHECK(number <= 1000);
	if (mhp_seconds_parse(text, &ms) == 0)
		FUZZ_CHECK(ms >= 1 && ms <= 1000000000);
	size_of(text);
	blocks(text);
	free(text);
	return 0;
}
