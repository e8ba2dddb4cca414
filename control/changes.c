/* SPDX-License-Identifier: MIT */
/*
 * changes.c - a counter of changes that clients can read, so that they know when what they remember
 * is out of date.
 *
 * The counter is in a page of shared memory. Every event adds one, under the lock that keeps
 * readers out until the change is done. A client gets a descriptor of the page and reads the
 * counter without asking anybody: a picture of all blocks (request files) is good while the counter
 * stays. It also gets the end of a pipe, which hangs up when the companion is gone and nobody
 * counts any more. Only the companion has these descriptors; the page is in the program, where
 * events happen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attr.h"
#include "events.h"

#define PAGE_BYTES 4096U

static struct {
	_Atomic(_Atomic uint64_t *) counter; /* NULL: nobody could look */
	int memory_fd, pipe_fd[2];           /* in the companion; -1 */
} shared = { .memory_fd = -1, .pipe_fd = { -1, -1 } };

/* In the place of the page of an earlier companion, which somebody may be adding to. */
static bool
map_page(void)
{
	void *old = atomic_load(&shared.counter);
	if (shared.memory_fd < 0 || ftruncate(shared.memory_fd, PAGE_BYTES) != 0 ||
	    fcntl(shared.memory_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
		return false;
	void *page = mmap(old, PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_SHARED | (old != NULL ? MAP_FIXED : 0), shared.memory_fd, 0);
	if (page == MAP_FAILED)
		return false;
	atomic_store(&shared.counter, page);
	/* Those who look cannot write. */
	return fcntl(shared.memory_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0;
}

void
mhp__changes_end(void)
{
	int *fds[] = { &shared.memory_fd, &shared.pipe_fd[0], &shared.pipe_fd[1] };
	for (unsigned i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

void
mhp__changes_begin(void)
{
	shared.pipe_fd[0] = shared.pipe_fd[1] = -1;
	shared.memory_fd = memfd_create("memplug-changes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (!map_page() || pipe2(shared.pipe_fd, O_CLOEXEC) != 0)
		mhp__changes_end();
}

void
mhp__changes_count(void)
{
	_Atomic uint64_t *counter = atomic_load_explicit(&shared.counter, memory_order_relaxed);
	if (counter != NULL)
		atomic_fetch_add(counter, 1);
}

void
mhp__request_watch(struct mhp__out *out, const struct mhp__fields *fields)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	int fds[2] = { shared.memory_fd, shared.pipe_fd[0] };
	char text[] = "{}\n";
	struct iovec part = { text, sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	(void)fields;
	if (fds[0] < 0 || fds[1] < 0 || mhp__events_last() == 0) {
		mhp__out_error(out, MHP_EOPNOTSUPP, "the program does not report changes");
		return;
	}
	memset(&control, 0, sizeof(control));
	control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fds)),
					   .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	out->broken = sendmsg(out->fd, &message, MSG_NOSIGNAL) < 0;
}

/* ---- files ---- */

/* The attributes that like blocks have in common, and those that only online blocks have. */
static const char *const common[] = {
	"state", "online", "removable", "valid_zones", "phys_device", "node",
};
#define NR_COMMON (sizeof(common) / sizeof(common[0]))

static void
out_file(struct mhp__out *out, const char *name, const struct mhp__subject *subject,
	 const char *comma)
{
	char text[MHP__ATTR_TEXT];
	for (size_t i = 0; i < mhp__nr_block_attrs; i++)
		if (strcmp(mhp__block_attrs[i].name, name) == 0 &&
		    mhp__block_attrs[i].show(subject, text, sizeof(text)) == 0)
			mhp__out_string(out, comma, name, text);
}

static void
out_run(struct mhp__out *out, struct mhp_blocks run, const struct mhp_block_info *info,
	const char *comma)
{
	struct mhp__subject subject = { .info = *info, .as_file = true };
	mhp__out(out, "%s{\"first\":%u,\"count\":%u,\"node\":%u,\"generation\":%u,\"files\":{",
		 comma, run.first, run.count, info->node, info->generation);
	for (size_t i = 0; i < NR_COMMON && info->state == MHP_ONLINE; i++)
		out_file(out, common[i], &subject, i == 0 ? "" : ",");
	mhp__out(out, "}}");
}

/* The blocks from the first of a run on that one add has brought. */
static uint32_t
count_like(struct mhp_blocks run, uint32_t generation)
{
	struct mhp_block_info info;
	uint32_t count = 1;
	while (count < run.count && mhp_block_get(mhp__control.m, run.first + count, &info) == 0 &&
	       info.generation == generation)
		count++;
	return count;
}

void
mhp__request_files(struct mhp__out *out, const struct mhp__fields *fields)
{
	struct mhp_block_info info;
	struct mhp_blocks run;
	const char *comma = "";
	uint32_t cursor = 0;
	(void)fields;
	mhp__out(out, "{\"ranges\":[");
	while (!out->broken && mhp__next_run(&cursor, &run, &info)) {
		run.count = count_like(run, info.generation);
		cursor = run.first + run.count;
		out_run(out, run, &info, comma);
		comma = ",";
	}
	mhp__out(out, "]}\n");
}
