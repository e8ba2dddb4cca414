/* SPDX-License-Identifier: MIT */
/*
 * no_top.c - memplug top where the build found no terminal library.
 *
 * It says what is missing and what does nearly the same; the rest of the command needs no
 * terminal library.
 */
#include <stdio.h>

#include "cli.h"

int
cli_top(struct cli *cli)
{
	(void)cli;
	cli_say("this memplug was built without top (libncurses-dev was not "
			"there); memplug map prints a picture");
	return CLI_REFUSED;
}
