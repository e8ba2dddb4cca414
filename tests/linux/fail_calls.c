/* SPDX-License-Identifier: MIT */
/*
 * fail_calls.c - run a program one or two of whose system calls fail (R74).
 *
 * usage: fail-calls once|ever|signal NUMBER[,NUMBER] NAMES LOG PROGRAM [ARG...]. The kernel asks us
 * about each system call of the table that the program, its libraries, threads and children make
 * (SECCOMP_RET_USER_NOTIF). Those of NAMES ("all", or with commas) are numbered from the end of the
 * dynamic linker's work on, and their names go to LOG, a line each. Call NUMBER fails as such a
 * call fails on a machine that is short of something; with "ever" so does each later call of its
 * name; with "signal" only waits are counted, and this one ends as if a signal had come. A brk()
 * that fails gives no error but a break that is not what was asked for; one that only asks never
 * fails. Once the program writes what it has counted of its branches (scripts/coverage), at its
 * end, nothing fails. The exit status is the program's, or 128 and the signal that ended it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct known {
	int nr;
	const char *name;
	int error;                     /* 0: it never fails for want of something */
	bool waits;                    /* a signal can end it */
} calls[] = {
#define CALL(name, error, waits) { SYS_##name, #name, error, waits }
	CALL(openat, EMFILE, true), CALL(read, EIO, true), CALL(pread64, EIO, false),
	CALL(write, ENOSPC, true), CALL(writev, EIO, true), CALL(socket, EMFILE, false),
	CALL(connect, ENOMEM, true), CALL(bind, EADDRINUSE, false),
	CALL(listen, EADDRINUSE, false), CALL(accept4, EMFILE, true),
	CALL(sendto, EPIPE, true), CALL(recvfrom, ECONNRESET, true),
	CALL(getsockopt, ENOBUFS, false), CALL(setsockopt, ENOBUFS, false),
	CALL(ppoll, ENOMEM, true), CALL(wait4, ECHILD, true), CALL(ioctl, ENOMEM, true),
	CALL(mmap, ENOMEM, false), CALL(mprotect, ENOMEM, false), CALL(munmap, ENOMEM, false),
	CALL(mremap, ENOMEM, false), CALL(brk, ENOMEM, false), CALL(newfstatat, EIO, false),
	CALL(statfs, EIO, false), CALL(getdents64, EIO, false), CALL(readlinkat, EIO, false),
	CALL(clone3, EAGAIN, false), CALL(clone, EAGAIN, false), CALL(pidfd_open, EMFILE, false),
	CALL(eventfd2, EMFILE, false), CALL(pipe2, EMFILE, false), CALL(dup3, EMFILE, false),
	CALL(fcntl, EMFILE, false), CALL(unlinkat, EROFS, false), CALL(mkdirat, ENOSPC, false),
	CALL(mount, EPERM, false), CALL(umount2, EBUSY, false), CALL(chdir, EACCES, false),
	CALL(setsid, EPERM, false), CALL(execve, ENOMEM, false), CALL(uname, EFAULT, false),
	CALL(clock_nanosleep, 0, true), CALL(splice, EIO, true),
	CALL(timerfd_create, EMFILE, false),
	CALL(signalfd4, EMFILE, false), CALL(epoll_create1, EMFILE, false),
#ifdef SYS_open /* not on machines that came later */
	CALL(open, EMFILE, true), CALL(poll, ENOMEM, true), CALL(stat, EIO, false),
	CALL(lstat, EIO, false), CALL(access, EIO, false), CALL(readlink, EIO, false),
	CALL(unlink, EROFS, false), CALL(mkdir, ENOSPC, false), CALL(pipe, EMFILE, false),
	CALL(dup2, EMFILE, false), CALL(fork, EAGAIN, false), CALL(vfork, EAGAIN, false),
#endif
	CALL(fstat, EIO, false), CALL(prlimit64, 0, false),
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

static bool ever, interrupts;
static long chosen[2], number;
static const struct known *failed;     /* what fails from now on, with ever */
static bool begun;                     /* the dynamic linker has asked for the size of stacks */
static bool counts;                    /* the program writes counts of branches */
static FILE *list;
static const char *names;

static _Noreturn void
give_up(const char *what)
{
	fprintf(stderr, "fail-calls: %s: %s\n", what, strerror(errno));
	_exit(126);
}

/* In the child. Return: a descriptor that tells of its calls. */
static int
watch_calls(void)
{
	const struct sock_filter load = BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_filter ask = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	struct sock_filter code[NR_CALLS + 3];
	struct sock_fprog program = { .len = NR_CALLS + 3, .filter = code };
	code[0] = load;
	for (unsigned i = 0; i < NR_CALLS; i++)
		code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			(unsigned)calls[i].nr, (unsigned char)(NR_CALLS - i), 0);
	code[NR_CALLS + 1] = allow;
	code[NR_CALLS + 2] = ask;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		give_up("no new privileges");
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			  &program);
	if (fd < 0)
		give_up("seccomp");
	return (int)fd;
}

/* One descriptor over a socket; -1: receive it. sendmsg() is not in the table. */
static int
pass(int socket, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = room,
				  .msg_controllen = sizeof(room) };
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);
	if (fd >= 0) {
		*control = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
					     .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(control), &fd, sizeof(fd));
		return sendmsg(socket, &message, 0) == 1 ? fd : -1;
	}
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 ||
	    message.msg_controllen < sizeof(room))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static bool
is_asked_for(const char *name)
{
	size_t length = strlen(name);
	for (const char *at = names; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == 0))
			return true;
	}
	return strcmp(names, "all") == 0;
}

/* Does it open a file of counts, whose name ends in .gcda? */
static bool
opens_counts(pid_t pid, const struct seccomp_data *data)
{
	char path[512];
	struct iovec here = { path, sizeof(path) - 1 };
	struct iovec there = { (void *)(uintptr_t)data->args[1], sizeof(path) - 1 };
	if (data->nr != SYS_openat)
		return false;
	ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
	path[got > 0 ? got : 0] = 0;
	return strstr(path, ".gcda") != NULL;
}

/* The error of this call, or 0. */
static int
judge(const struct seccomp_data *data)
{
	const struct known *call = calls;
	bool asks = data->nr == SYS_brk && data->args[0] == 0;
	while (call->nr != data->nr)
		call++;
	if (!begun || asks || (interrupts ? !call->waits : call->error == 0)) {
		begun = begun || data->nr == SYS_prlimit64;
		return 0;
	}
	if (!is_asked_for(call->name))
		return 0;
	fprintf(list, "%s\n", call->name);
	fflush(list);
	bool is_chosen = number == chosen[0] || number == chosen[1];
	number++;
	if (is_chosen)
		failed = call;
	else if (!ever || failed != call)
		return 0;
	return interrupts ? EINTR : call->error;
}

/* Until nobody is left whose calls are watched. */
static void
answer(int fd)
{
	struct pollfd events = { .fd = fd, .events = POLLIN };
	for (;;) {
		struct seccomp_notif call = { 0 };
		if (poll(&events, 1, -1) < 0 || (events.revents & POLLIN) == 0)
			return;
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
			continue; /* it was killed, or heard a signal, meanwhile */
		counts = counts || opens_counts((pid_t)call.pid, &call.data);
		int error = counts ? 0 : judge(&call.data);
		struct seccomp_notif_resp reply = { .id = call.id,
			.error = call.data.nr == SYS_brk ? 0 : -error,
			.flags = error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0 };
		(void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &reply);
	}
}

int
main(int argc, char **argv)
{
	int sockets[2], status = 0;
	char *second;
	if (argc < 6)
		return 2;
	ever = strcmp(argv[1], "ever") == 0;
	interrupts = strcmp(argv[1], "signal") == 0;
	chosen[0] = strtol(argv[2], &second, 10);
	chosen[1] = *second == ',' ? atol(second + 1) : chosen[0];
	names = argv[3];
	list = fopen(argv[4], "we");
	if (list == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		give_up(argv[4]);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pass(sockets[1], watch_calls());
		execv(argv[5], argv + 5);
		_exit(126);
	}
	close(sockets[1]);
	int fd = pass(sockets[0], -1);
	if (fd < 0)
		give_up("the program's calls");
	answer(fd);
	if (waitpid(child, &status, 0) != child)
		give_up("wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
