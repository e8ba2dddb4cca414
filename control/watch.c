/* SPDX-License-Identifier: MIT */
/*
 * watch.c - the devices of a folder: which appear, which are asked back, and what is done then.
 *
 * The folder is polled, because inotify does not report the files of a DAX bus. A device is new
 * until it was reported or added, and away while somebody else has it. The caller decides what
 * adding and releasing mean: this file knows no pool and no socket. It runs in a thread of the
 * caller's, never in the companion, since it lists a folder, for which the C library calls malloc.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memplug/watch.h>

#define DEVICES_MAX 64U
#define NAME_BYTES 64U

enum state { NEW, TOLD, IN_USE, AWAY };

struct device {
	char name[NAME_BYTES];
	char backing[PATH_MAX + 8];
	uint64_t size;
	enum state state;
	bool seen;                     /* in this turn */
};

struct mhp_watch {
	struct mhp_watch_opts opts;
	char folder[PATH_MAX], requests[PATH_MAX];
	char devices[PATH_MAX];        /* where the files of a bus are */
	unsigned nr;
	struct device device[DEVICES_MAX];
};

const char *
mhp_watch_word(enum mhp_watch_event event)
{
	static const char *const words[MHP_WATCH_EVENTS] = {
		"appeared", "added", "not-added", "releasing", "released", "refused", "gone",
		"gone-in-use",
	};
	return (unsigned)event < MHP_WATCH_EVENTS ? words[event] : "?";
}

static void
tell(const struct mhp_watch *watch, enum mhp_watch_event event, const struct device *device,
     const struct mhp_text *why)
{
	static const struct mhp_text nothing;
	if (watch->opts.tell != NULL)
		watch->opts.tell(watch->opts.tell_ctx, event, device->name, device->size,
				 why != NULL ? why : &nothing);
}

static int
say(struct mhp_text *reterr, int code, const char *path)
{
	if (reterr != NULL)
		(void)snprintf(reterr->text, sizeof(reterr->text), "%.200s: %s", path,
			       strerrordesc_np(errno));
	return code;
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

/* Fill in backing and size of an entry of the folder; false: it is no device. */
static bool
look_at(const struct mhp_watch *watch, struct device *device)
{
	char path[2 * PATH_MAX];
	struct stat st;
	unsigned long long size = 0;
	snprintf(path, sizeof(path), "%s/%s/size", watch->folder, device->name);
	FILE *file = fopen(path, "re");
	if (file != NULL) {
		bool read = fscanf(file, "%llu", &size) == 1;
		fclose(file);
		snprintf(device->backing, sizeof(device->backing), "dax:%.4000s/%s",
			 watch->devices, device->name);
		device->size = size;
		return read && size != 0;
	}
	snprintf(path, sizeof(path), "%s/%s", watch->folder, device->name);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return false;
	snprintf(device->backing, sizeof(device->backing), "file:%.4000s/%s", watch->folder,
		 device->name);
	device->size = (uint64_t)st.st_size;
	return true;
}

static void
note(struct mhp_watch *watch, const char *name)
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
scan(struct mhp_watch *watch)
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

/* ---- what is done ---- */

static int
has(const struct mhp_watch *watch, const struct device *device)
{
	return watch->opts.ops->has(watch->opts.ctx, device->backing);
}

static int
add(const struct mhp_watch *watch, struct device *device)
{
	struct mhp_text why = { "" };
	int err = watch->opts.ops->add(watch->opts.ctx, device->backing, device->size, &why);
	device->state = err == 0 ? IN_USE : TOLD;
	tell(watch, err == 0 ? MHP_WATCH_ADDED : MHP_WATCH_NOT_ADDED, device, &why);
	return err;
}

/* A device that the pool does not have is free. */
static int
release(const struct mhp_watch *watch, const struct device *device, struct mhp_text *why)
{
	int there = has(watch, device);
	if (there <= 0)
		return there;
	tell(watch, MHP_WATCH_RELEASING, device, NULL);
	return watch->opts.ops->release(watch->opts.ctx, device->backing, why);
}

static bool
has_request(const struct mhp_watch *watch, const struct device *device, const char *what,
	    char path[2 * PATH_MAX])
{
	snprintf(path, 2 * PATH_MAX, "%s/%s.%s", watch->requests, device->name, what);
	return access(path, F_OK) == 0;
}

/* Somebody asked for the device: give it, and say how that went. */
static int
answer_request(const struct mhp_watch *watch, struct device *device, const char *path,
	       struct mhp_text *reterr)
{
	char answer[2 * PATH_MAX];
	struct mhp_text why = { "" };
	int err = release(watch, device, &why);
	if (err == MHP_ENODEV)
		return err;
	(void)has_request(watch, device, err == 0 ? "released" : "refused", answer);
	device->state = err == 0 ? AWAY : IN_USE;
	/* A callee may look for the answer at once. */
	int unsaid = rename(path, answer) == 0 ? 0 : say(reterr, MHP_EIO, answer);
	tell(watch, err == 0 ? MHP_WATCH_RELEASED : MHP_WATCH_REFUSED, device, &why);
	return unsaid;
}

/* MHP_ENODEV and MHP_EIO count; others were told. */
static int
turn(const struct mhp_watch *watch, struct device *device, struct mhp_text *reterr)
{
	char path[2 * PATH_MAX];
	if (has_request(watch, device, "release", path))
		return answer_request(watch, device, path, reterr);
	if (device->state == AWAY && !has_request(watch, device, "released", path))
		device->state = NEW;
	if (device->state != NEW || has_request(watch, device, "released", path))
		return 0;
	int there = has(watch, device);
	if (there < 0)
		return there;
	device->state = there != 0 ? IN_USE : TOLD;
	if (there != 0)
		return 0;
	tell(watch, MHP_WATCH_APPEARED, device, NULL);
	return watch->opts.adds ? add(watch, device) : 0;
}

/* Forget devices that are gone from the folder; when the pool has it still, that is said. */
static void
forget(struct mhp_watch *watch)
{
	for (unsigned i = watch->nr; i-- > 0;) {
		if (watch->device[i].seen)
			continue;
		tell(watch, watch->device[i].state == IN_USE ? MHP_WATCH_GONE_IN_USE
							     : MHP_WATCH_GONE,
		     &watch->device[i], NULL);
		watch->device[i] = watch->device[--watch->nr];
	}
}

int
mhp_watch_look(struct mhp_watch *watch, struct mhp_text *reterr)
{
	int failed = 0;
	if (!scan(watch))
		return say(reterr, MHP_ENOENT, watch->folder);
	for (unsigned i = 0; i < watch->nr; i++) {
		int err = watch->device[i].seen ? turn(watch, &watch->device[i], reterr) : 0;
		if (err == MHP_ENODEV)
			return err;
		failed = err == MHP_EIO ? err : failed;
	}
	forget(watch);
	return failed;
}

/* ---- begin and end ---- */

int
mhp_watch_open(const struct mhp_watch_opts *opts, struct mhp_watch **ret_watch,
	       struct mhp_text *reterr)
{
	const char *requests = opts->requests != NULL ? opts->requests : opts->folder;
	if (opts->ops == NULL || opts->folder == NULL)
		return MHP_EINVAL;
	struct mhp_watch *watch = mmap(NULL, sizeof(*watch), PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (watch == MAP_FAILED)
		return say(reterr, MHP_ENOMEM, opts->folder);
	watch->opts = *opts;
	snprintf(watch->devices, sizeof(watch->devices), "%s",
		 opts->devices != NULL ? opts->devices : "/dev");
	const char *wrong = realpath(opts->folder, watch->folder) == NULL ? opts->folder
			    : realpath(requests, watch->requests) == NULL ? requests : NULL;
	if (wrong != NULL) {
		int err = say(reterr, MHP_ENOENT, wrong);
		mhp_watch_close(watch);
		return err;
	}
	*ret_watch = watch;
	return 0;
}

void
mhp_watch_close(struct mhp_watch *watch)
{
	if (watch != NULL)
		munmap(watch, sizeof(*watch));
}
