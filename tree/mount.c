/* SPDX-License-Identifier: MIT */
/*
 * mount.c - mount the tree of a pool and serve it until it is unmounted or we are told to end.
 *
 * A process has one tree and one session, because signal handlers take no argument. Any end of the
 * session unmounts it; only a process that is killed leaves a dead mount behind.
 */
#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct fuse_session *session;   /* one a process, as its signal handlers are */

static bool
is_ending(void)
{
	return session != NULL && fuse_session_exited(session) != 0;
}

static int
serve(const struct tree_opts *opts)
{
	if (fuse_daemonize(opts->foreground) != 0)
		return -1;
	int err = tree_loop(session);
	if (err != 0)
		fprintf(stderr, "memplug: cannot serve the tree: %s\n", strerror(-err));
	return err;
}

static int
mount_and_serve(const struct tree *tree, const char *folder)
{
	int status = -1;
	if (fuse_set_signal_handlers(session) != 0)
		return -1;
	if (fuse_session_mount(session, folder) == 0) {
		status = serve(&tree->opts);
		fuse_session_unmount(session);
	} else {
		fprintf(stderr, "memplug: cannot mount on %s\n", folder);
	}
	fuse_remove_signal_handlers(session);
	return status;
}

static int
prepare(struct tree *tree, const struct mhp__peer *peer, const struct tree_opts *opts)
{
	*tree = (struct tree){ .peer = *peer, .opts = *opts, .is_ending = is_ending,
				.will_wait = tree_loop_will_wait };
	clock_gettime(CLOCK_REALTIME_COARSE, &tree->mounted);
	tree->uid = getuid();
	tree->gid = getgid();
	/* Without it, a pool that dies is noticed when it is asked. */
	tree->pidfd = (int)syscall(SYS_pidfd_open, peer->pid, 0);
	int err = tree_pictures_open(tree);
	if (err == 0)
		err = tree_load(tree);
	if (err != 0)
		fprintf(stderr, "memplug: the pool '%s' does not answer: %s\n", peer->name,
			strerror(-err));
	return err;
}

int
tree_mount(const struct mhp__peer *peer, const char *folder, const struct tree_opts *opts)
{
	static struct tree tree;
	char name[128], path[PATH_MAX];
	char *words[] = { (char[]){ "memplug" }, (char[]){ "-o" }, name, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(3, words);
	/* The daemon changes its folder. */
	/* Untaken: the command has seen a folder there a moment ago. */
	if (realpath(folder, path) == NULL) {
		fprintf(stderr, "memplug: cannot mount on %s: %s\n", folder, strerror(errno));
		return -1;
	}
	if (prepare(&tree, peer, opts) != 0)
		return -1;
	snprintf(name, sizeof(name), "fsname=memplug:%d,subtype=memplug", peer->pid);
	session = fuse_session_new(&args, &tree_ops, sizeof(tree_ops), &tree);
	if (session == NULL) {
		fprintf(stderr, "memplug: cannot start a file system\n");
		return -1;
	}
	int status = mount_and_serve(&tree, path);
	struct fuse_session *ended = session;
	session = NULL;
	fuse_session_destroy(ended);
	return status;
}
