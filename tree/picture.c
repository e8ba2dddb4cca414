/* SPDX-License-Identifier: MIT */
/*
 * picture.c - a picture of all blocks, from which tools that read a file of each block are
 * answered.
 *
 * The pool is asked once for all blocks, and the picture is good until the counter of changes,
 * which the pool shares with us (request watch), has moved. After that each question is asked by
 * itself, until so many have come that a new picture is worth its cost. A write through the tree
 * needs nothing more: the counter has moved by the time that the write is answered. Readers share a
 * picture, and it goes with the last of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree.h"

#define PAGE_BYTES 4096U
#define RUNS_A_QUESTION 64U            /* as dear as one question */
#define WATCH_MS 1000U
#define REFUSED_RUNS 65536U            /* ask again after so many runs' worth of questions */

struct tree_picture {
	_Atomic unsigned users;
	uint64_t at;                   /* what the counter was */
	struct tree_runs runs;
	struct json_object *answer;
	struct json_object *ranges;    /* of it, a run each */
};

struct tree_pictures {
	pthread_mutex_t mutex;
	const _Atomic uint64_t *counter; /* NULL: nobody counts */
	int end_fd;                    /* hangs up when nobody counts any more */
	struct tree_picture *last;     /* NULL: none */
	unsigned asked;                /* questions since it went out of date */
	unsigned nr_runs;              /* that the last one had */
};

int
tree_pictures_open(struct tree *tree)
{
	tree->pictures = calloc(1, sizeof(*tree->pictures));
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	if (tree->pictures == NULL)
		return -ENOMEM;
	pthread_mutex_init(&tree->pictures->mutex, NULL);
	tree->pictures->end_fd = -1;
	return 0;
}

void
tree_picture_put(struct tree_picture *picture)
{
	if (picture == NULL || atomic_fetch_sub(&picture->users, 1) != 1)
		return;
	tree_runs_free(&picture->runs);
	json_object_put(picture->answer);
	free(picture);
}

/* ---- the counter ---- */

static void
unwatch(struct tree_pictures *all)
{
	if (all->counter != NULL)
		munmap((void *)(uintptr_t)all->counter, PAGE_BYTES);
	if (all->end_fd >= 0)
		close(all->end_fd);
	all->counter = NULL;
	all->end_fd = -1;
	tree_picture_put(all->last);
	all->last = NULL;
}

/* Two descriptors and an answer; false: nobody counts. */
static bool
receive(int fd, int fds[2])
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	char text[64];
	struct iovec part = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) <= 0)
		return false;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header == NULL || header->cmsg_level != SOL_SOCKET ||
	    header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return false;
	memcpy(fds, CMSG_DATA(header), 2 * sizeof(int));
	return true;
}

/* A page that is there, and can neither shrink under us nor be made of something else. */
static void
map_counter(struct tree_pictures *all, const int fds[2])
{
	struct stat st;
	int seals = fcntl(fds[0], F_GET_SEALS);
	void *page = seals >= 0 && (seals & F_SEAL_SHRINK) != 0 &&
				     fstat(fds[0], &st) == 0 && st.st_size >= PAGE_BYTES
		? mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fds[0], 0) : MAP_FAILED;
	close(fds[0]);
	if (page == MAP_FAILED) {
		close(fds[1]);
		return;
	}
	all->counter = page;
	all->end_fd = fds[1];
}

static void
watch(const struct tree *tree)
{
	struct mhp__line line;
	int fds[2], fd = mhp__connect(&tree->peer);
	if (fd < 0)
		return;
	mhp__line_begin(&line, "watch");
	if (mhp__send_line(fd, mhp__line_end(&line)) == 0 &&
	    mhp__await(fd, mhp__now_ms() + WATCH_MS) == 0 && receive(fd, fds))
		map_counter(tree->pictures, fds);
	close(fd);
}

static bool
is_counted(struct tree *tree)
{
	struct tree_pictures *all = tree->pictures;
	struct pollfd fds[2] = { { .fd = all->end_fd }, { .fd = tree->pidfd, .events = POLLIN } };
	if (all->counter != NULL && poll(fds, 2, 0) > 0)
		unwatch(all);
	return all->counter != NULL;
}

/* ---- pictures ---- */

/* Ask the pool; NULL: it went wrong, or something has changed meanwhile. */
static struct tree_picture *
take(struct tree_call *call, struct tree_pictures *all)
{
	struct tree_picture *picture = calloc(1, sizeof(*picture));
	uint64_t at = atomic_load(all->counter);
	struct mhp__line line;
	bool answered;
	int err = -ENOMEM;
	/* Untaken: no limit of these tests refuses a mount some bytes. */
	if (picture == NULL)
		return NULL;
	*picture = (struct tree_picture){ .users = 1, .at = at };
	mhp__line_begin(&line, "files");
	picture->answer = tree_ask(call, &line, &err, &answered);
	if (picture->answer != NULL &&
	    json_object_object_get_ex(picture->answer, "ranges", &picture->ranges))
		err = tree_runs_read(picture->ranges, -1, &picture->runs);
	if (picture->ranges == NULL || err != 0 || atomic_load(all->counter) != at) {
		tree_picture_put(picture);
		return NULL;
	}
	all->nr_runs = picture->runs.nr;
	return picture;
}

/* Is another picture worth it? */
static bool
is_due(struct tree_pictures *all)
{
	tree_picture_put(all->last);
	all->last = NULL;
	return ++all->asked > all->nr_runs / RUNS_A_QUESTION;
}

struct tree_picture *
tree_picture_get(struct tree_call *call)
{
	struct tree *tree = (struct tree *)(uintptr_t)call->tree;
	struct tree_pictures *all = tree->pictures;
	struct tree_picture *picture = NULL;
	if (pthread_mutex_trylock(&all->mutex) != 0)
		return NULL; /* taking one may last long, and could not be interrupted */
	bool counted = is_counted(tree);
	if (counted && all->last != NULL && all->last->at == atomic_load(all->counter)) {
		picture = all->last;
	} else if (is_due(all)) {
		all->asked = 0;
		tree->will_wait();
		if (!counted)
			watch(tree);
		if (all->counter == NULL)
			all->nr_runs = REFUSED_RUNS;
		if (all->counter != NULL)
			picture = all->last = take(call, all);
	}
	if (picture != NULL)
		atomic_fetch_add(&picture->users, 1);
	pthread_mutex_unlock(&all->mutex);
	return picture;
}

const struct tree_runs *
tree_picture_runs(const struct tree_picture *picture)
{
	return &picture->runs;
}

const char *
tree_picture_text(const struct tree_picture *picture, uint32_t block, const char *name)
{
	struct json_object *range, *files, *text;
	const struct tree_run *run = tree_runs_find(&picture->runs, block);
	/* Untaken: whoever asks has found the block in it. */
	if (run == NULL)
		return NULL;
	range = json_object_array_get_idx(picture->ranges, (size_t)(run - picture->runs.run));
	if (!json_object_object_get_ex(range, "files", &files) ||
	    !json_object_object_get_ex(files, name, &text))
		return NULL;
	return json_object_get_string(text);
}
