/* SPDX-License-Identifier: MIT */
/*
 * client.c - find the pools of this user and talk to one of them.
 *
 * A pool is a socket named PID-NAME.sock. One that refuses connections belongs to a process that
 * is gone; whoever looks removes it. On an interrupt while a block leaves, the pool is told to
 * cancel, and the answer is awaited.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../control/protocol.h"
#include "cli.h"

#define POOLS_MAX 256U

static volatile sig_atomic_t interrupted;

static void
directory(char *path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	if (geteuid() == 0)
		snprintf(path, size, "%s", MHP_PROTOCOL_DIR_ROOT);
	else if (runtime != NULL && runtime[0] == '/')
		snprintf(path, size, MHP_PROTOCOL_DIR_USER, runtime);
	else
		snprintf(path, size, MHP_PROTOCOL_DIR_ELSE, (unsigned)geteuid());
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = errno;
		close(fd);
		if (error == ECONNREFUSED)
			unlink(path);
		return -1;
	}
	return fd;
}

/* PID-NAME.sock */
static bool
parse_name(const char *file, struct cli_pool *pool)
{
	char *end;
	size_t suffix = strlen(MHP_PROTOCOL_SUFFIX), length = strlen(file);
	pool->pid = (int)strtol(file, &end, 10);
	if (pool->pid <= 0 || *end != '-' || length < suffix ||
	    strcmp(file + length - suffix, MHP_PROTOCOL_SUFFIX) != 0)
		return false;
	snprintf(pool->name, sizeof(pool->name), "%.*s",
		 (int)(length - suffix - (size_t)(end + 1 - file)), end + 1);
	return true;
}

unsigned
cli_pools(struct cli_pool *pools, unsigned max)
{
	char path[80];
	unsigned nr = 0;
	directory(path, sizeof(path));
	DIR *dir = opendir(path);
	if (dir == NULL)
		return 0;
	for (struct dirent *entry; nr < max && (entry = readdir(dir)) != NULL;) {
		struct cli_pool *pool = &pools[nr];
		size_t room = sizeof(pool->path);
		if (!parse_name(entry->d_name, pool) ||
		    snprintf(pool->path, room, "%s/%s", path, entry->d_name) >= (int)room)
			continue;
		int fd = connect_to(pool->path);
		if (fd < 0)
			continue;
		close(fd);
		nr++;
	}
	closedir(dir);
	return nr;
}

static void
on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static void
send_cancel(const struct cli_pool *pool)
{
	char text[256];
	int fd = connect_to(pool->path);
	if (fd < 0)
		return;
	if (send(fd, "cancel\n", 7, MSG_NOSIGNAL) == 7)
		(void)!read(fd, text, sizeof(text));
	close(fd);
}

struct json_object *
cli_ask_pool(const struct cli_pool *pool, const char *line)
{
	struct sigaction action = { .sa_handler = on_interrupt };
	char *text = NULL;
	size_t used = 0, room = 0;
	int fd = connect_to(pool->path);

	if (fd < 0)
		return NULL;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
		close(fd);
		return NULL;
	}
	for (;;) {
		if (room - used < 4096) {
			room = room * 2 + 8192;
			char *larger = realloc(text, room);
			if (larger == NULL)
				break;
			text = larger;
		}
		ssize_t got = recv(fd, text + used, room - used - 1, 0);
		if (got < 0 && errno == EINTR && interrupted) {
			interrupted = 0;
			send_cancel(pool);
			continue;
		}
		if (got <= 0)
			break;
		used += (size_t)got;
	}
	close(fd);
	struct json_object *answer = NULL;
	if (used != 0) {
		text[used] = 0;
		answer = json_tokener_parse(text);
	}
	free(text);
	return answer;
}

static bool
choose(const struct cli *cli, struct cli_pool *ret_pool)
{
	static struct cli_pool pools[POOLS_MAX];
	unsigned nr = cli_pools(pools, POOLS_MAX), found = 0;
	for (unsigned i = 0; i < nr; i++) {
		char number[16];
		snprintf(number, sizeof(number), "%d", pools[i].pid);
		if (cli->pool != NULL && strcmp(cli->pool, number) != 0 &&
		    strcmp(cli->pool, pools[i].name) != 0)
			continue;
		*ret_pool = pools[i];
		found++;
	}
	if (found == 1)
		return true;
	if (found == 0 && cli->pool != NULL)
		fprintf(stderr, "memplug: no pool '%s' runs; see memplug ps\n", cli->pool);
	else if (found == 0)
		fprintf(stderr, "memplug: no pool runs; start a program with memplug run\n");
	else
		fprintf(stderr, "memplug: %u pools run; say which one with -p (see memplug ps)\n",
			found);
	return false;
}

struct json_object *
cli_ask(const struct cli *cli, int *ret_status, const char *format, ...)
{
	struct cli_pool pool;
	char line[MHP_PROTOCOL_LINE_MAX];
	va_list args;

	*ret_status = CLI_NO_POOL;
	if (!choose(cli, &pool))
		return NULL;
	va_start(args, format);
	int length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	*ret_status = CLI_USAGE;
	if (length >= (int)sizeof(line)) {
		fprintf(stderr, "memplug: the words are too long\n");
		return NULL;
	}
	struct json_object *answer = cli_ask_pool(&pool, line);
	*ret_status = CLI_REFUSED;
	if (answer == NULL) {
		fprintf(stderr, "memplug: the program ended before it answered\n");
		return NULL;
	}
	if (json_object_object_get_ex(answer, "error", NULL)) {
		fprintf(stderr, "memplug: %s\n", cli_string(answer, "text"));
		json_object_put(answer);
		return NULL;
	}
	*ret_status = CLI_DONE;
	return answer;
}
