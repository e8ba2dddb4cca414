/* SPDX-License-Identifier: MIT */
/*
 * mount.c - memplug mount: the pool as a tree of files, for tools that know the kernel's.
 *
 * The tree is served by a process of its own, in the background unless it is told to stay.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "../tree/tree.h"
#include "cli.h"

int
cli_mount(struct cli *cli)
{
	struct tree_opts opts = { .root = TREE_ROOT_MEMORY };
	struct mhp__peer pool;
	struct stat st;
	bool sysroot = false;
	if (!CLI_OPTIONS(cli, 1, 1, { "-f", NULL, &opts.foreground },
			 { "--foreground", NULL, &opts.foreground },
			 { "--sysroot", NULL, &sysroot }))
		return CLI_USAGE;
	if (stat(cli->argv[0], &st) != 0 || !S_ISDIR(st.st_mode)) {
		cli_say("cannot mount on %s: it is no folder", cli->argv[0]);
		return CLI_REFUSED;
	}
	if (sysroot)
		opts.root = TREE_ROOT_SYSTEM;
	if (!cli_choose(cli, &pool))
		return CLI_NO_POOL;
	struct json_object *info = cli_ask_word(&pool, "info", CLI_LOOK_MS);
	if (info == NULL) {
		cli_say("pool '%s' (%d) does not answer", pool.name, pool.pid);
		return CLI_REFUSED;
	}
	json_object_put(info);
	return tree_mount(&pool, cli->argv[0], &opts) == 0 ? CLI_DONE : CLI_REFUSED;
}
