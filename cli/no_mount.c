/* SPDX-License-Identifier: MIT */
/*
 * no_mount.c - memplug mount, where this was built without libfuse.
 *
 * It says what is missing; the rest of the command needs no file system.
 */
#include <stdio.h>

#include "cli.h"

int
cli_mount(struct cli *cli)
{
	(void)cli;
	cli_say("this was built without libfuse: install libfuse3-dev and build "
			"it again");
	return CLI_REFUSED;
}
