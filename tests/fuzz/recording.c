/* SPDX-License-Identifier: MIT */
/*
 * recording.c - fuzz target: a file for `memplug replay` (R75).
 *
 * Whatever is in it, it is the same, differs or is malformed; the engine that replays it is the
 * real one, on simulated memory, with its assertions.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include "replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mhp__replay_result result = { 0 };
	FILE *file = size != 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;

	if (file == NULL)
		return 0;
	enum mhp__replay_verdict verdict = mhp__replay(file, &result);
	FUZZ_CHECK(verdict == MHP__REPLAY_SAME || result.text[0] != 0);
	json_object_put(result.ranges);
	fclose(file);
	return 0;
}
