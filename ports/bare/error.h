/* SPDX-License-Identifier: MIT */
/*
 * error.h - errors and reasons in words.
 */
#ifndef BARE_ERROR_H
#define BARE_ERROR_H

#include <memplug/mhp.h>

/* The name of an error ("EBUSY"). */
const char *error_text(int error);
/* One line: "refused EBUSY: ..." and what the engine knows about it. */
void error_say(int error, const struct mhp_why *why);

#endif
