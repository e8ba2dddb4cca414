/* SPDX-License-Identifier: MIT */
/*
 * metrics.h - OpenMetrics text of what pools answered.
 */
#ifndef MHP_CLI_METRICS_H
#define MHP_CLI_METRICS_H

#include <stdio.h>

#include "cli.h"

#define METRICS_POOLS_MAX 128U

/* Write the samples of `nr` pools; answers that are NULL are left out. One at a time. */
void metrics_print(FILE *file, const struct mhp__peer *pools, struct json_object **answers,
		   unsigned nr);

#endif
