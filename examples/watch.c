/* SPDX-License-Identifier: MIT */
/*
 * watch.c - a program that takes devices in as they appear in a folder, and gives them back when
 * they are asked for.
 *
 * It plays both sides: a file that it makes stands in for a device, and its region for a program's
 * data. The data goes to the device, the device is asked back, and the data comes home. With
 * /sys/bus/dax/devices as the folder it is real devices that come and go.
 *
 *     cc watch.c -o watch $(pkg-config --cflags --libs memplug)
 *     ./watch /tmp/devices             (a folder that it makes)
 */
#include <fcntl.h>
#include <memplug/watch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (4U << 20)
#define DATA (BLOCK / 2)

static struct mhp_text text;

static void
must(int err, const char *what)
{
	if (err == 0)
		return;
	printf("%s: %s: %s\n", what, mhp_error_text(err), text.text);
	exit(1);
}

/* Called for each event; why is empty unless something was refused. */
static void
tell(void *ctx, enum mhp_watch_event event, const char *name, uint64_t size_bytes,
     const struct mhp_text *why)
{
	(void)ctx;
	printf("%s: %s, %u MiB%s%s\n", name, mhp_watch_word(event), (unsigned)(size_bytes >> 20),
	       why->text[0] != 0 ? ": " : "", why->text);
}

static void
make_file(const char *folder, const char *name, off_t size)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, size) != 0) {
		perror(path);
		exit(1);
	}
	close(fd);
}

/* Everything goes to the device, which is node 1; MHP_EAGAIN: some of it moves just now. */
static void
move_there(struct mhp_region *region, char *data)
{
	int err = MHP_EAGAIN;
	for (unsigned ms = 0; err == MHP_EAGAIN && ms < 10000; ms++) {
		err = mhp_region_move(region, data, DATA, 1, NULL, &text);
		usleep(1000);
	}
	must(err, "move");
}

static void
check(const char *data, struct mhp_pool *pool)
{
	unsigned nr_wrong = 0;
	struct mhp_pool_stats stats;
	for (unsigned i = 0; i < DATA; i++)
		nr_wrong += data[i] != 'd';
	mhp_pool_get_stats(pool, &stats);
	printf("%u KiB of the data on a device, %u bytes wrong\n",
	       (unsigned)(stats.settled_bytes >> 10), nr_wrong);
}

int
main(int argc, char **argv)
{
	struct mhp_pool_opts shape = { .block_bytes = BLOCK, .max_bytes = 16 * BLOCK };
	struct mhp_watch_pool devices = { .deadline_ms = 60000 };
	struct mhp_watch_opts opts = { .adds = true, .ops = mhp_watch_pool_ops(), .ctx = &devices,
				       .tell = tell };
	struct mhp_blocks first = { 0, 1 };
	struct mhp_region *region;
	struct mhp_watch *watch;

	if (argc != 2)
		return 2;
	opts.folder = argv[1];
	mkdir(argv[1], 0700);
	must(mhp_pool_create(&shape, &devices.pool, &text), "create");
	must(mhp_pool_add(devices.pool, NULL, BLOCK, NULL, NULL, &text), "add");
	must(mhp_region_create(devices.pool, "data", BLOCK, &region, &text), "region");
	char *data = mhp_region_base(region);
	must(mhp_region_commit(region, data, DATA), "commit");
	memset(data, 'd', DATA);
	must(mhp_watch_open(&opts, &watch, &text), "watch");

	/* A program calls this twice a second, or so; here it is called when there is something. */
	make_file(argv[1], "card", 2 * BLOCK);
	must(mhp_watch_look(watch, &text), "look");
	move_there(region, data);
	check(data, devices.pool);

	/* Somebody wants it back. */
	make_file(argv[1], "card.release", 0);
	must(mhp_watch_look(watch, &text), "look");
	check(data, devices.pool);

	mhp_watch_close(watch);
	mhp_region_destroy(region);
	must(mhp_remove(mhp_pool_engine(devices.pool), &first, 1, NULL, NULL), "remove");
	return mhp_pool_destroy(devices.pool) != 0;
}
