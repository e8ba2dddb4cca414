/* SPDX-License-Identifier: MIT */
/*
 * mount.c - memplug mount: the pool as a tree of files, for tools that know the kernel's.
 *
 * The tree is served by a process of its own, in the background unless it is told to stay.
 */
#include "../tree/tree.h"
#include "cli.h"

int
cli_mount(struct cli *cli)
{
	struct tree_opts opts = { .root = TREE_ROOT_MEMORY };
	struct mhp__peer pool;
	opts.foreground = cli_option(cli, "-f", NULL) || cli_option(cli, "--foreground", NULL);
	if (cli_option(cli, "--sysroot", NULL))
		opts.root = TREE_ROOT_SYSTEM;
	if (cli->argc != 1 || cli->argv[0][0] == '-')
		return cli_usage("mount [--sysroot] [-f|--foreground] DIR");
	if (!cli_choose(cli, &pool))
		return CLI_NO_POOL;
	return tree_mount(&pool, cli->argv[0], &opts) == 0 ? CLI_DONE : CLI_REFUSED;
}
