/* SPDX-License-Identifier: MIT */
/*
 * scenario.c - fuzz target: a file for `memplug sim` (R75).
 *
 * It is read, or there is a sentence about what is wrong with it; what was read keeps the bounds
 * that the rehearsal relies on: steps in the table, and each `repeat` with an `end` behind it.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include "scenario.h"

static void
look(const struct mhp__scenario *scenario)
{
	FUZZ_CHECK(scenario->nr_steps <= MHP__SCENARIO_STEPS);
	FUZZ_CHECK(scenario->block_bytes != 0 && scenario->host_bytes >= scenario->block_bytes);
	for (unsigned i = 0; i < scenario->nr_steps; i++) {
		const struct mhp__scenario_step *step = &scenario->step[i];
		if (step->kind == MHP__STEP_REPEAT)
			FUZZ_CHECK(step->other > i && step->other < scenario->nr_steps &&
				   scenario->step[step->other].kind == MHP__STEP_END &&
				   scenario->step[step->other].other == i);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mhp__scenario scenario;
	FILE *file = size != 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;

	if (file == NULL)
		return 0;
	if (mhp__scenario_read(file, &scenario))
		look(&scenario);
	else
		FUZZ_CHECK(scenario.text[0] != 0);
	fclose(file);
	return 0;
}
