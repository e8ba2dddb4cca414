/* SPDX-License-Identifier: MIT */
/*
 * exporter.c - memplug metrics: once to standard output, or to whoever asks for them over HTTP.
 *
 * The server is for one scraper: a request at a time, each with a bound on its time and size, GET
 * of /metrics and nothing else. Without an address it listens to this machine alone. It tells what
 * all pools of this user count, or the one of -p; one that does not answer is left out, and the
 * samples of the others come all the same.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metrics.h"

#define REQUEST_MAX 8192U
#define CLIENT_MS 2000U
#define TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* ---- the text ---- */

/* With what the command knows of the pool. */
static struct json_object *
complete(struct json_object *answer, const struct mhp__peer *pool)
{
	if (answer != NULL)
		json_object_object_add(answer, "resident_bytes", json_object_new_int64(
					       (int64_t)cli_resident(pool)));
	return answer;
}

/* The metrics of the pools that the options mean; what does not answer is left out. How many there
 * are, and how many of them answered. */
static unsigned
write_metrics(const struct cli *cli, FILE *file, unsigned *ret_answered)
{
	struct json_object *answers[METRICS_POOLS_MAX];
	struct mhp__peer *pools, one;
	unsigned nr = 1;
	if (cli->pool == NULL)
		nr = cli_pools(&pools);
	else if (!cli_choose(cli, pools = &one))
		nr = 0;
	nr = nr < METRICS_POOLS_MAX ? nr : METRICS_POOLS_MAX;
	*ret_answered = 0;
	for (unsigned i = 0; i < nr; i++) {
		answers[i] = complete(cli_ask_word(&pools[i], "metrics", CLI_LOOK_MS), &pools[i]);
		*ret_answered += answers[i] != NULL;
	}
	metrics_print(file, pools, answers, nr);
	for (unsigned i = 0; i < nr; i++)
		json_object_put(answers[i]);
	return nr;
}

/* ---- the server ---- */

/* Read up to the empty line after the head; false: not in time, or too long. */
static bool
read_request(int fd, char *text, size_t size)
{
	uint64_t end_ms = mhp__now_ms() + CLIENT_MS;
	size_t used = 0;
	while (used + 1 < size && mhp__await(fd, end_ms) == 0) {
		ssize_t got = recv(fd, text + used, size - 1 - used, MSG_DONTWAIT);
		if (got <= 0)
			return false;
		used += (size_t)got;
		text[used] = 0;
		if (strstr(text, "\r\n\r\n") != NULL || strstr(text, "\n\n") != NULL)
			return true;
	}
	return false;
}

static void
respond(int fd, const char *status, const char *type, const char *text, size_t length)
{
	struct timeval bound = { CLIENT_MS / 1000, 0 };
	char head[256];
	int used = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Type: %s\r\n"
			    "Content-Length: %zu\r\nConnection: close\r\n\r\n", status, type,
			    length);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
	if (send(fd, head, (size_t)used, MSG_NOSIGNAL | MSG_MORE) == used)
		for (ssize_t got = 0; length != 0; text += got, length -= (size_t)got) {
			got = send(fd, text, length, MSG_NOSIGNAL);
			if (got <= 0)
				break;
		}
	shutdown(fd, SHUT_WR);
}

static void
serve_one(const struct cli *cli, int fd)
{
	static const char about[] = "memplug: the metrics are at /metrics\n";
	char request[REQUEST_MAX], *text = NULL;
	size_t length = 0;
	unsigned answered;
	if (!read_request(fd, request, sizeof(request)))
		return;
	bool get = strncmp(request, "GET ", 4) == 0;
	size_t path = get ? strcspn(request + 4, " ?\r\n") : 0;
	if (!get) {
		respond(fd, "405 Method Not Allowed", "text/plain", "", 0);
	} else if (path != 8 || strncmp(request + 4, "/metrics", 8) != 0) {
		respond(fd, path == 1 ? "200 OK" : "404 Not Found", "text/plain", about,
			sizeof(about) - 1);
	} else {
		FILE *memory = open_memstream(&text, &length);
		if (memory != NULL) {
			write_metrics(cli, memory, &answered);
			fclose(memory);
			respond(fd, "200 OK", TYPE, text, length);
		}
		free(text);
	}
}

/* HOST:PORT, [HOST]:PORT, :PORT or PORT. */
static bool
split_address(const char *address, char *host, size_t size, const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	const char *end = colon != NULL ? colon : address;
	bool bracket = *address == '[' && end > address && end[-1] == ']';
	uint64_t port;
	*ret_port = colon != NULL ? colon + 1 : address;
	int length = (int)(end - address) - (bracket ? 2 : 0);
	if (length == 0)
		snprintf(host, size, "127.0.0.1");
	else if (snprintf(host, size, "%.*s", length, address + bracket) >= (int)size)
		return false;
	return mhp_number_parse(*ret_port, 65535, &port) == 0;
}

static int
open_listener(const char *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
	char host[256];
	const char *port;
	int one = 1, fd = -1;
	if (!split_address(address, host, sizeof(host), &port)) {
		errno = EINVAL;
		return -1;
	}
	if (getaddrinfo(host, port, &hints, &found) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 16) != 0)) {
		int error = errno;
		close(fd);
		errno = error;
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

/* Say where, as the port may have been 0. */
static void
announce(int fd)
{
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	char host[256], port[16];
	if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0 &&
	    getnameinfo((struct sockaddr *)&bound, size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		printf("serving http://%s%s%s:%s/metrics\n", strchr(host, ':') != NULL ? "[" : "",
		       host, strchr(host, ':') != NULL ? "]" : "", port);
	fflush(stdout);
}

static int
serve(const struct cli *cli, const char *address)
{
	int fd = open_listener(address);
	if (fd < 0) {
		cli_say("cannot listen on %s: %s", address, strerror(errno));
		return CLI_REFUSED;
	}
	announce(fd);
	for (;;) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0) {
			serve_one(cli, client);
			close(client);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			usleep(100000);
		}
	}
}

/* Once: nothing at all where nobody answers. */
static int
print_metrics(const struct cli *cli)
{
	char *text = NULL;
	size_t length = 0;
	unsigned answered, nr;
	FILE *memory = open_memstream(&text, &length);
	if (memory == NULL)
		return CLI_REFUSED;
	nr = write_metrics(cli, memory, &answered);
	fclose(memory);
	if (answered != 0)
		fwrite(text, 1, length, stdout);
	else if (nr != 0)
		cli_say("%s", nr == 1 ? "the pool does not answer"
							: "no pool answers");
	else if (cli->pool == NULL)
		cli_say("no pool is running; start a program with memplug run");
	free(text);
	return answered != 0 ? CLI_DONE : nr != 0 ? CLI_REFUSED : CLI_NO_POOL;
}

int
cli_metrics(struct cli *cli)
{
	const char *address = NULL;
	struct mhp__line line;
	int status;
	if (!CLI_OPTIONS(cli, 0, 0, { "--listen", &address, NULL }))
		return CLI_USAGE;
	if (address != NULL)
		return serve(cli, address);
	if (!cli->json)
		return print_metrics(cli);
	mhp__line_begin(&line, "metrics");
	struct json_object *answer = cli_ask(cli, &status, &line, CLI_LOOK);
	return answer != NULL ? cli_print_json(answer) : status;
}
