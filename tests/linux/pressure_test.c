/* SPDX-License-Identifier: MIT */
/*
 * pressure_test.c - who says that memory is short is heard (heap/pressure.c; R71).
 *
 * The ends of FIFOs and sockets that systemd would hold are held here. The kernel's pressure files,
 * and when they tell, are played by wrappers of poll and of the clock.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../../heap/pressure.h"
#include "../test.h"

#define BOUND_MS 30000
/* A file of sysfs that nobody has read yet is one whose object has changed, or is gone. */
#define GONE "/sys/kernel/mm/transparent_hugepage/enabled"

static bool kernel_tells;
static time_t played_s;                /* 0: the clock is the kernel's */

int __real_poll(struct pollfd *fds, nfds_t nr, int milliseconds);
int __wrap_poll(struct pollfd *fds, nfds_t nr, int milliseconds);
int __real_clock_gettime(clockid_t clock, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

int
__wrap_poll(struct pollfd *fds, nfds_t nr, int milliseconds)
{
	if (!kernel_tells || nr == 0)
		return __real_poll(fds, nr, milliseconds);
	fds[0].revents = POLLPRI;
	return 1;
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	if (played_s == 0)
		return __real_clock_gettime(clock, ret_now);
	*ret_now = (struct timespec){ .tv_sec = played_s };
	return 0;
}

/* Begin to listen, as the environment says. */
static void
listen_to(const char *path, const char *first)
{
	CHECK(path != NULL ? setenv("MEMORY_PRESSURE_WATCH", path, 1) == 0
			   : unsetenv("MEMORY_PRESSURE_WATCH") == 0);
	CHECK(first != NULL ? setenv("MEMORY_PRESSURE_WRITE", first, 1) == 0
			    : unsetenv("MEMORY_PRESSURE_WRITE") == 0);
	mhp__pressure_remember();
	mhp__pressure_open();
}

TEST(pressure__nobody_will_tell__nothing_is_heard)
{
	char endless[400];
	memset(endless, 'x', sizeof(endless));
	endless[0] = '/';
	endless[sizeof(endless) - 1] = 0;
	const char *paths[] = { NULL, "", "relative", "/dev/null", "/no/such/file", endless };
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		test_at("path %zu", i);
		listen_to(paths[i], NULL);
		CHECK(!mhp__pressure_wait(1));
		mhp__pressure_close();
	}
}

/* What goes into a FIFO we would read ourselves, so the first words do not. */
TEST(pressure__fifo__is_heard)
{
	char folder[] = "/tmp/pressure-test-XXXXXX", path[64];
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/fifo", folder);
	CHECK_EQ(mkfifo(path, 0600), 0);
	listen_to(path, "eA==");
	CHECK(!mhp__pressure_wait(1));
	int fd = open(path, O_WRONLY | O_NONBLOCK);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1);
	CHECK(mhp__pressure_wait(BOUND_MS));
	CHECK(!mhp__pressure_wait(1)); /* what was said is taken */
	mhp__pressure_close();
	close(fd);
	CHECK_EQ(open(path, O_WRONLY | O_NONBLOCK), -1); /* nobody reads it any more */
	unlink(path);
	rmdir(folder);
}

/* R71: the kernel told programs, as they started, of what had been before: malloc was refused. */
TEST(pressure__kernel_tells_at_once__is_heard_when_it_tells_again)
{
	char path[] = "/tmp/pressure-test-XXXXXX";
	int fd = mkstemp(path);
	CHECK(fd >= 0);
	played_s = 100;
	listen_to(path, "eA==");
	kernel_tells = true;
	CHECK(!mhp__pressure_wait(1));
	played_s = 101;
	CHECK(!mhp__pressure_wait(1));
	played_s = 102;
	CHECK(mhp__pressure_wait(1));
	kernel_tells = false;
	played_s = 0;
	mhp__pressure_close();
	close(fd);
	unlink(path);
}

static int
serve(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0);
	CHECK_EQ(listen(fd, 8), 0);
	return fd;
}

TEST(pressure__socket__gets_the_first_words_and_is_heard)
{
	static const struct { const char *base64, *words; ssize_t length; } rows[] = {
		{ "c29tZSAyMDAwMDAgMjAwMDAwMAA=", "some 200000 2000000", 20 },
		{ "+/8=", "\xfb\xff", 2 },
		{ "eHl6", "xyz", 3 },
		{ "no base64!", "", 0 },
		{ "", "", 0 },
		{ NULL, "", 0 },
	};
	char folder[] = "/tmp/pressure-test-XXXXXX", path[64];
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/socket", folder);
	int server = serve(path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[64] = "";
		test_at("row %zu", i);
		listen_to(path, rows[i].base64);
		int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		CHECK(fd >= 0);
		CHECK_EQ(recv(fd, got, sizeof(got), MSG_DONTWAIT),
			 rows[i].length != 0 ? rows[i].length : -1);
		CHECK(memcmp(got, rows[i].words, (size_t)rows[i].length) == 0);
		CHECK(!mhp__pressure_wait(1));
		CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == 1 && mhp__pressure_wait(BOUND_MS));
		close(fd);
		CHECK(mhp__pressure_wait(BOUND_MS)); /* they hung up: once more, and */
		CHECK(!mhp__pressure_wait(1));       /* then no more */
		mhp__pressure_close();
	}
	close(server);
	listen_to(path, "eA=="); /* nobody listens */
	CHECK(!mhp__pressure_wait(1));
	unlink(path);
	rmdir(folder);
}

/* A path that no address of a socket can have: it is bound through its folder. */
TEST(pressure__socket_of_a_long_path__is_not_heard)
{
	char folder[] = "/tmp/pressure-test-XXXXXX", deep[200];
	CHECK(mkdtemp(folder) != NULL);
	int length = snprintf(deep, sizeof(deep), "%s/", folder);
	memset(deep + length, 'd', 120);
	deep[length + 120] = 0;
	CHECK_EQ(mkdir(deep, 0700), 0);
	int at = open(".", O_PATH | O_CLOEXEC);
	CHECK(at >= 0 && chdir(deep) == 0);
	int server = serve("socket");
	CHECK_EQ(fchdir(at), 0);
	close(at);
	strcat(deep, "/socket");
	listen_to(deep, NULL);
	CHECK(!mhp__pressure_wait(1));
	mhp__pressure_close();
	close(server);
	unlink(deep);
	deep[length + 120] = 0;
	rmdir(deep);
	rmdir(folder);
}

TEST(pressure__what_is_watched_is_gone__is_not_heard_again_and_again)
{
	if (access(GONE, F_OK) != 0)
		test_skip("file " GONE);
	if (geteuid() != 0)
		test_skip("root");
	listen_to(GONE, NULL);
	CHECK(!mhp__pressure_wait(BOUND_MS));
	CHECK(!mhp__pressure_wait(1));
	listen_to(GONE, "bm8gc3VjaCBtb2Rl"); /* and what is refused there */
	CHECK(!mhp__pressure_wait(1));
}
