/* SPDX-License-Identifier: MIT */
/*
 * watch.c - devices of a folder come into a pool, and leave it when they are asked back.
 *
 * A device is a file of the folder, or an entry of a DAX bus (/sys/bus/dax/devices, whose files no
 * inotify tells of): the folder is looked at again and again. Who wants a device back makes a file
 * NAME.release; it is renamed to NAME.released once the device is closed, or to NAME.refused. As
 * long as NAME.released is there, the device is left alone. What happens is a line on standard
 * output, reasons of refusals are on standard error as always.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define DEVICES_MAX 64U
#define NAME_BYTES 64U
#define ADD_MS 600000U
#define TURN_MS 500L
#define POISON_TURNS 10U               /* so often the kernel is asked what went bad */

enum state { NEW, TOLD, IN_USE, AWAY };

struct device {
	char name[NAME_BYTES];
	char words[PATH_MAX + 8];      /* as a backing */
	uint64_t size;
	enum state state;
	bool seen;                     /* in this turn */
};

struct watch {
	struct cli *cli;
	char folder[PATH_MAX], requests[PATH_MAX];
	const char *devices;           /* where the files of a bus are */
	bool adds;
	uint32_t deadline_ms;
	uint64_t block_bytes;
	unsigned nr;
	struct device device[DEVICES_MAX];
};

static void
tell(const struct watch *watch, const char *event, const struct device *device)
{
	if (watch->cli->json)
		printf("{\"event\":\"%s\",\"device\":\"%s\",\"size\":%llu}\n", event, device->name,
		       (unsigned long long)device->size);
	else
		printf("%s %s\n", event, device->name);
	fflush(stdout);
}

/* ---- what is there ---- */

static bool
plain_name(const char *name)
{
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       strlen(name) &&
	       strlen(name) < NAME_BYTES && *name != '.' && strstr(name, ".release") == NULL &&
	       strstr(name, ".refused") == NULL;
}

/* Fill in words and size of an entry of the folder; false: it is no device. */
static bool
look_at(const struct watch *watch, struct device *device)
{
	char path[2 * PATH_MAX];
	struct stat st;
	unsigned long long size = 0;
	snprintf(path, sizeof(path), "%s/%s/size", watch->folder, device->name);
	FILE *file = fopen(path, "r");
	if (file != NULL) {
		bool read = fscanf(file, "%llu", &size) == 1;
		fclose(file);
		snprintf(device->words, sizeof(device->words), "dax:%.4000s/%s", watch->devices,
			 device->name);
		device->size = size;
		return read && size != 0;
	}
	snprintf(path, sizeof(path), "%s/%s", watch->folder, device->name);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return false;
	snprintf(device->words, sizeof(device->words), "file:%.4000s/%s", watch->folder,
		 device->name);
	device->size = (uint64_t)st.st_size;
	return true;
}

static void
note(struct watch *watch, const char *name)
{
	struct device found = { .state = NEW, .seen = true };
	for (unsigned i = 0; i < watch->nr; i++)
		if (strcmp(watch->device[i].name, name) == 0) {
			watch->device[i].seen = true;
			return;
		}
	snprintf(found.name, sizeof(found.name), "%s", name);
	if (watch->nr < DEVICES_MAX && look_at(watch, &found))
		watch->device[watch->nr++] = found;
}

static bool
scan(struct watch *watch)
{
	DIR *folder = opendir(watch->folder);
	const struct dirent *entry;
	if (folder == NULL)
		return false;
	for (unsigned i = 0; i < watch->nr; i++)
		watch->device[i].seen = false;
	while ((entry = readdir(folder)) != NULL)
		if (plain_name(entry->d_name))
			note(watch, entry->d_name);
	closedir(folder);
	return true;
}

/* ---- what the pool has ---- */

/* The node of the pool that is this device; -1: none. *ret_status: CLI_NO_POOL at its end. */
static long
find_node(const struct watch *watch, const struct device *device, int *ret_status)
{
	struct mhp__line line;
	long found = -1;
	mhp__line_begin(&line, "nodes");
	struct json_object *answer = cli_ask(watch->cli, ret_status, &line, CLI_LOOK);
	struct json_object *nodes = cli_array(answer, "nodes");
	for (size_t i = 0; i < cli_length(nodes); i++)
		if (strcmp(cli_string(cli_at(nodes, i), "place"), device->words) == 0)
			found = (long)cli_number(cli_at(nodes, i), "node");
	json_object_put(answer);
	return found;
}

static int
add(struct watch *watch, struct device *device)
{
	char size[32];
	struct mhp__line line;
	int status;
	snprintf(size, sizeof(size), "%llu", (unsigned long long)(device->size /
		 watch->block_bytes * watch->block_bytes));
	mhp__line_begin(&line, "add");
	mhp__line_text(&line, MHP__F_SIZE, size);
	mhp__line_text(&line, MHP__F_BACKING, device->words);
	mhp__line_text(&line, MHP__F_ZONE, "movable");
	struct json_object *answer = cli_ask(watch->cli, &status, &line, CLI_CHANGE(ADD_MS));
	tell(watch, answer != NULL ? "added" : "not-added", device);
	device->state = answer != NULL ? IN_USE : TOLD;
	json_object_put(answer);
	return status;
}

static int
release(struct watch *watch, struct device *device)
{
	struct mhp__line line;
	int status;
	long node = find_node(watch, device, &status);
	if (status != CLI_DONE || node < 0)
		return status; /* the pool does not have it: so it is free */
	tell(watch, "releasing", device);
	mhp__line_begin(&line, "evacuate");
	mhp__line_number(&line, MHP__F_NODE, (uint64_t)node);
	mhp__line_number(&line, MHP__F_DEADLINE_MS, watch->deadline_ms);
	struct json_object *answer =
		cli_ask(watch->cli, &status, &line, CLI_CHANGE(watch->deadline_ms));
	json_object_put(answer);
	return status;
}

/* ---- turns ---- */

static bool
has_request(const struct watch *watch, const struct device *device, const char *what,
	    char path[2 * PATH_MAX])
{
	snprintf(path, 2 * PATH_MAX, "%s/%s.%s", watch->requests, device->name, what);
	return access(path, F_OK) == 0;
}

/* Somebody asked for the device: give it, and say how that went. */
static int
answer_request(struct watch *watch, struct device *device, const char *path)
{
	char answer[2 * PATH_MAX];
	int status = release(watch, device);
	bool done = status == CLI_DONE;
	if (status == CLI_NO_POOL)
		return status;
	(void)has_request(watch, device, done ? "released" : "refused", answer);
	device->state = done ? AWAY : IN_USE;
	tell(watch, done ? "released" : "refused", device);
	if (rename(path, answer) != 0)
		perror(answer);
	return CLI_DONE;
}

static int
turn(struct watch *watch, struct device *device)
{
	char path[2 * PATH_MAX];
	int status = CLI_DONE;
	if (has_request(watch, device, "release", path))
		return answer_request(watch, device, path);
	if (device->state == AWAY && !has_request(watch, device, "released", path))
		device->state = NEW;
	if (device->state != NEW || has_request(watch, device, "released", path))
		return CLI_DONE;
	device->state = find_node(watch, device, &status) >= 0 ? IN_USE : TOLD;
	if (device->state == IN_USE || status != CLI_DONE)
		return status;
	tell(watch, "appeared", device);
	return watch->adds ? add(watch, device) : CLI_DONE;
}

/* What is gone from the folder is forgotten; when the pool has it still, that is said. */
static void
forget(struct watch *watch)
{
	for (unsigned i = watch->nr; i-- > 0;) {
		if (watch->device[i].seen)
			continue;
		tell(watch, watch->device[i].state == IN_USE ? "gone-in-use" : "gone",
		     &watch->device[i]);
		watch->device[i] = watch->device[--watch->nr];
	}
}

static int
watch_on(struct watch *watch)
{
	struct timespec pause = { 0, TURN_MS * 1000000L };
	/* Bound: the life of the pool. */
	for (unsigned turns = 1;; turns++) {
		if (!scan(watch)) {
			perror(watch->folder);
			return CLI_REFUSED;
		}
		for (unsigned i = 0; i < watch->nr; i++)
			if (watch->device[i].seen &&
			    turn(watch, &watch->device[i]) == CLI_NO_POOL)
				return CLI_DONE; /* the program has ended */
		forget(watch);
		if (turns % POISON_TURNS == 0 && cli_look_for_poison(watch->cli) == CLI_NO_POOL)
			return CLI_DONE;
		nanosleep(&pause, NULL);
		struct mhp__peer pool;
		if (!cli_choose(watch->cli, &pool))
			return CLI_DONE;
	}
}

int
cli_watch(struct cli *cli)
{
	static struct watch watch;
	const char *deadline = NULL, *policy = "say", *requests = NULL;
	struct mhp__line line;
	int status;
	watch = (struct watch){ .cli = cli, .devices = "/dev" };
	if (!CLI_OPTIONS(cli, 1, 1, { "--deadline", &deadline, NULL },
			 { "--policy", &policy, NULL }, { "--requests", &requests, NULL },
			 { "--devices", &watch.devices, NULL }) ||
	    !cli_deadline(cli, deadline, &watch.deadline_ms))
		return CLI_USAGE;
	watch.adds = strcmp(policy, "add") == 0;
	if (!watch.adds && strcmp(policy, "say") != 0)
		return cli_usage(cli, "--policy %s: it is add or say", policy);
	if (realpath(cli->argv[0], watch.folder) == NULL ||
	    realpath(requests != NULL ? requests : cli->argv[0], watch.requests) == NULL) {
		perror(requests != NULL ? requests : cli->argv[0]);
		return CLI_REFUSED;
	}
	mhp__line_begin(&line, "info");
	struct json_object *info = cli_ask(cli, &status, &line, CLI_LOOK);
	watch.block_bytes = cli_number(info, "block_size_bytes");
	json_object_put(info);
	if (status != CLI_DONE || watch.block_bytes == 0)
		return status != CLI_DONE ? status : CLI_REFUSED;
	return watch_on(&watch);
}
