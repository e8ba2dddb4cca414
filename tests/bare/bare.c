/* SPDX-License-Identifier: MIT */
/*
 * bare.c - runs scripts against the bare-metal image under QEMU, and images of test cases (suite/).
 *
 *     bare [--show] [--wait SECONDS] [--qemu PROGRAM] --image KERNEL [--hosted PROGRAM]
 *          [--machine q35|pc|virt] SCRIPT... | --cases [OPTION | CASE]...
 *
 * A script is lines of one directive each (docs/PORTING.md lists them): what machine to start, what
 * to type on its serial console and what to wait for there, which DIMMs to plug, which events QEMU
 * must send. Both connections are socket pairs, so nothing is left in the file system; QEMU dies
 * with us. Silent on success but for the tally; a failure prints the script's line, what was
 * being waited for, the console so far, and the command that runs just this again.
 *
 * Every wait has the same long limit, which only says that nothing will come any more: machines
 * that run tests are busy. Must not know what the image prints beyond what scripts say, except for
 * the last line and the exit status.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	WAIT_SECONDS = 120,            /* unless --wait says otherwise */
	CASES_WAIT_SECONDS = 86400,    /* who started us knows better */
	TEXT_MAX = 1 << 20,
	LINE_MAX_BYTES = 1024,
	ARGS_MAX = 64,
	EXIT_PASS = 33,                /* the image's debug-exit values, as QEMU returns them */
	EXIT_FAIL = 35,
	EXIT_TRAP = 255,
};

#define CASES_MEMORY "2G"

/* What came over one connection, and how far waits have looked. */
struct channel {
	int fd;
	char *text;
	size_t length;
	size_t seen;
};

struct run {
	const char *program, *qemu, *image, *hosted, *machine, *script;
	bool show;
	int wait_seconds;
	unsigned line;
	char arguments[LINE_MAX_BYTES];
	char append[LINE_MAX_BYTES];
	pid_t pid;
	bool ended;
	struct channel console, qmp;
	size_t reply;                  /* where the last reply begins in qmp.text */
};

/* ---- ends ---- */

static void
stop_machine(struct run *run)
{
	if (run->pid > 0 && !run->ended) {
		kill(run->pid, SIGKILL);
		waitpid(run->pid, NULL, 0);
	}
	for (unsigned i = 0; run->pid > 0 && i < 2; i++) {
		int fd = i == 0 ? run->console.fd : run->qmp.fd;
		if (fd >= 0)
			close(fd);
	}
	run->pid = 0;
}

__attribute__((format(printf, 2, 3), noreturn)) static void
fail(struct run *run, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%u (%s): ", run->script, run->line, run->machine);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n--- console\n%s\n--- qmp, last\n%s\n", run->console.text,
		run->qmp.length > 2000 ? run->qmp.text + run->qmp.length - 2000 : run->qmp.text);
	fprintf(stderr, "--- again: %s --qemu %s --image %s --machine %s %s\n", run->program,
		run->qemu, run->image, run->machine, run->script);
	stop_machine(run);
	printf("0 passed, 1 failed\n");
	exit(1);
}

/* ---- connections ---- */

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
receive(struct run *run, struct channel *channel)
{
	size_t room = TEXT_MAX - 1 - channel->length;
	ssize_t got = read(channel->fd, channel->text + channel->length, room < 4096 ? room : 4096);

	if (room == 0)
		fail(run, "more output than a test should have");
	if (got < 0 && errno != ECONNRESET)
		fail(run, "read: %s", strerror(errno));
	if (got <= 0) {
		/* The other one may still hold what the machine said last. */
		close(channel->fd);
		channel->fd = -1;
		if (run->console.fd >= 0 || run->qmp.fd >= 0)
			return;
		run->ended = waitpid(run->pid, NULL, WNOHANG) == run->pid;
		fail(run, "the machine is gone");
	}
	if (run->show && channel == &run->console)
		fwrite(channel->text + channel->length, 1, (size_t)got, stdout);
	fflush(stdout);
	channel->length += (size_t)got;
	channel->text[channel->length] = '\0';
}

static void
receive_any(struct run *run, double deadline, const char *what)
{
	struct pollfd fds[] = { { run->console.fd, POLLIN, 0 }, { run->qmp.fd, POLLIN, 0 } };
	int left_ms = (int)((deadline - now()) * 1000);

	if (left_ms <= 0)
		fail(run, "waited %d seconds for: %s", run->wait_seconds, what);
	if (poll(fds, 2, left_ms) < 0)
		fail(run, "poll: %s", strerror(errno));
	if ((fds[0].revents & (POLLIN | POLLHUP)) != 0)
		receive(run, &run->console);
	if ((fds[1].revents & (POLLIN | POLLHUP)) != 0)
		receive(run, &run->qmp);
}

static void
transmit(struct run *run, struct channel *channel, const char *text)
{
	for (size_t left = strlen(text); left > 0;) {
		ssize_t sent = send(channel->fd, text + strlen(text) - left, left, MSG_NOSIGNAL);
		if (sent < 0)
			fail(run, "write: %s", strerror(errno));
		left -= (size_t)sent;
	}
}

/* Find text in a whole line at or after *from; *from moves behind that line. */
static const char *
find_line(const struct channel *channel, size_t *from, const char *const *words, unsigned nr)
{
	for (const char *line = channel->text + *from, *end; (end = strchr(line, '\n')) != NULL;
	     line = end + 1) {
		unsigned found = 0;
		for (; found < nr; found++) {
			const char *at = strstr(line, words[found]);
			if (at == NULL || at > end)
				break;
		}
		if (found == nr) {
			*from = (size_t)(end + 1 - channel->text);
			return line;
		}
	}
	return NULL;
}

static const char *
wait_line(struct run *run, struct channel *channel, size_t *from, const char *const *words,
	  unsigned nr)
{
	double deadline = now() + run->wait_seconds;
	const char *line;

	while ((line = find_line(channel, from, words, nr)) == NULL)
		receive_any(run, deadline, words[0]);
	return line;
}

/* ---- the machine ---- */

static void
split(char *text, const char **argv, unsigned *nr)
{
	for (char *word = strtok(text, " "); word != NULL && *nr < ARGS_MAX - 1;
	     word = strtok(NULL, " "))
		argv[(*nr)++] = word;
}

/*
 * How a machine is started. A PC's QEMU loads the image by PVH. The Arm machine has memory hotplug
 * only when it believes in a firmware, so there the image is that; given again as a kernel, it is
 * ignored, but the command line comes along.
 */
static const struct machine {
	const char *name, *qemu, *arguments;
	bool is_pc;
} machines[] = {
	{ "q35", "qemu-system-x86_64", "-machine q35 -device isa-debug-exit,iobase=0xf4,iosize=4",
	  true },
	{ "pc", "qemu-system-x86_64", "-machine pc -device isa-debug-exit,iobase=0xf4,iosize=4",
	  true },
	{ "virt", "qemu-system-aarch64", "-machine virt,gic-version=2 -cpu max -semihosting",
	  false },
};
enum { NR_MACHINES = sizeof(machines) / sizeof(machines[0]) };

static const struct machine *
machine_named(const char *name)
{
	for (size_t i = 0; i < NR_MACHINES; i++) {
		if (strcmp(machines[i].name, name) == 0)
			return &machines[i];
	}
	return NULL;
}

static void
exec_qemu(const struct run *run, int console_fd, int qmp_fd)
{
	const struct machine *machine = machine_named(run->machine);
	const char *argv[ARGS_MAX] = { run->qemu, "-accel", "tcg", "-display", "none",
				       "-nodefaults", "-no-reboot", "-kernel", run->image,
				       "-append", run->append };
	unsigned nr = 11;
	char console[64], qmp[64], arguments[LINE_MAX_BYTES + 256];

	if (!machine->is_pc) {
		argv[nr++] = "-bios";
		argv[nr++] = run->image;
	}

	snprintf(console, sizeof(console), "socket,id=console,fd=%d", console_fd);
	snprintf(qmp, sizeof(qmp), "socket,id=qmp,fd=%d", qmp_fd);
	snprintf(arguments, sizeof(arguments), "-chardev %s -serial chardev:console -chardev %s "
		 "-mon chardev=qmp,mode=control %s %s", console, qmp, machine->arguments,
		 run->arguments);
	split(arguments, argv, &nr);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execvp(run->qemu, (char *const *)(void *)argv);
	fprintf(stderr, "%s: %s\n", run->qemu, strerror(errno));
	_exit(127);
}

static void
start_machine(struct run *run)
{
	static const char *const greeting[] = { "\"QMP\"" };
	int console[2], qmp[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, console) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, qmp) != 0)
		fail(run, "socketpair: %s", strerror(errno));
	run->pid = fork();
	if (run->pid < 0)
		fail(run, "fork: %s", strerror(errno));
	if (run->pid == 0) {
		close(console[0]);
		close(qmp[0]);
		exec_qemu(run, console[1], qmp[1]);
	}
	close(console[1]);
	close(qmp[1]);
	run->console.fd = console[0];
	run->qmp.fd = qmp[0];
	(void)wait_line(run, &run->qmp, &run->qmp.seen, greeting, 1);
}

/* Send a QMP command and wait for what it returns. Events may come before it, and stay in the
 * text. */
static void
command(struct run *run, const char *json, const char *want)
{
	/* Replies are lines that begin with this; events begin with a timestamp. */
	const char *const words[] = { want };
	char line[LINE_MAX_BYTES * 2];
	size_t from = run->qmp.length;

	snprintf(line, sizeof(line), "%s\n", json);
	transmit(run, &run->qmp, line);
	double deadline = now() + run->wait_seconds;
	for (;;) {
		static const char *const good[] = { "{\"return\"" };
		static const char *const bad[] = { "{\"error\"" };
		size_t good_at = from, bad_at = from;
		const char *reply = find_line(&run->qmp, &good_at, good, 1);
		const char *error = find_line(&run->qmp, &bad_at, bad, 1);
		if (reply == NULL && error == NULL) {
			receive_any(run, deadline, json);
			continue;
		}
		run->reply = (size_t)((reply != NULL ? reply : error) - run->qmp.text);
		size_t again = run->reply;
		const char *line_at = run->qmp.text + run->reply;
		if (find_line(&run->qmp, &again, words, 1) != line_at)
			fail(run, "%s: answered %.200s", json, line_at);
		return;
	}
}

__attribute__((format(printf, 2, 3))) static void
commandf(struct run *run, const char *format, ...)
{
	char json[LINE_MAX_BYTES * 2];
	va_list args;

	va_start(args, format);
	vsnprintf(json, sizeof(json), format, args);
	va_end(args);
	command(run, json, "{\"return\"");
}

/* ---- directives ---- */

static void
need_machine(struct run *run)
{
	if (run->pid != 0)
		return;
	start_machine(run);
	commandf(run, "{\"execute\":\"qmp_capabilities\"}");
}

static void
do_expect(struct run *run, char *rest)
{
	const char *const words[] = { rest };

	(void)wait_line(run, &run->console, &run->console.seen, words, 1);
}

/* Is there a whole line from here on that begins with text? */
static bool
has_answer(const struct channel *channel, size_t from, const char *text)
{
	for (const char *line = channel->text + from, *end; (end = strchr(line, '\n')) != NULL;
	     line = end + 1) {
		if (strncmp(line, text, strlen(text)) == 0)
			return true;
	}
	return false;
}

/* Type a command and wait until it is done. wanted: how it must answer; NULL: it does not
 * matter. */
static void
do_type(struct run *run, const char *typed, const char *wanted)
{
	char line[LINE_MAX_BYTES];
	double deadline = now() + run->wait_seconds;
	size_t from = run->console.length;

	snprintf(line, sizeof(line), "%s\n", typed);
	run->console.seen = from;
	transmit(run, &run->console, line);
	for (;;) {
		if (wanted != NULL && has_answer(&run->console, from, wanted))
			return;
		if (has_answer(&run->console, from, "ok ") ||
		    has_answer(&run->console, from, "refused ")) {
			if (wanted == NULL)
				return;
			fail(run, "\"%s\" did not answer \"%s\"", typed, wanted);
		}
		receive_any(run, deadline, typed);
	}
}

static void
do_run(struct run *run, char *rest)
{
	do_type(run, rest, "ok ");
}

static void
do_try(struct run *run, char *rest)
{
	do_type(run, rest, NULL);
}

/* refuse REASON COMMAND */
static void
do_refuse(struct run *run, char *rest)
{
	char wanted[LINE_MAX_BYTES];
	char *space = strchr(rest, ' ');

	if (space == NULL)
		fail(run, "refuse REASON COMMAND");
	*space = '\0';
	snprintf(wanted, sizeof(wanted), "refused %s", rest);
	do_type(run, space + 1, wanted);
}

static void
do_never(struct run *run, char *rest)
{
	const char *const words[] = { rest };
	size_t from = 0;

	if (find_line(&run->console, &from, words, 1) != NULL)
		fail(run, "the console says \"%s\"", rest);
}

/* plug ID SIZE [key=value,...] */
static void
do_plug(struct run *run, char *rest)
{
	const char *id = strtok(rest, " "), *size = strtok(NULL, " ");
	char *more = strtok(NULL, " ");
	char extra[LINE_MAX_BYTES] = "";

	if (size == NULL)
		fail(run, "plug ID MEGABYTES [key=value,...]");
	for (char *pair = more != NULL ? strtok(more, ",") : NULL; pair != NULL;
	     pair = strtok(NULL, ",")) {
		char *equals = strchr(pair, '=');
		if (equals == NULL)
			fail(run, "%s: key=value", pair);
		size_t length = strlen(extra);
		snprintf(extra + length, sizeof(extra) - length, ",\"%.*s\":%llu",
			 (int)(equals - pair), pair, strtoull(equals + 1, NULL, 0));
	}
	commandf(run, "{\"execute\":\"object-add\",\"arguments\":{"
		 "\"qom-type\":\"memory-backend-ram\",\"id\":\"mem-%s\",\"size\":%llu}}", id,
		 strtoull(size, NULL, 0) << 20);
	commandf(run, "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"pc-dimm\","
		 "\"id\":\"%s\",\"memdev\":\"mem-%s\"%s}}", id, id, extra);
}

static void
do_unplug(struct run *run, char *rest)
{
	commandf(run, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"%s\"}}", rest);
}

/* gone ID: the device was deleted, and its memory can be given back to the host. */
static void
do_gone(struct run *run, char *rest)
{
	char quoted[LINE_MAX_BYTES];

	snprintf(quoted, sizeof(quoted), "\"device\": \"%s\"", rest);
	const char *const words[] = { "DEVICE_DELETED", quoted };
	(void)wait_line(run, &run->qmp, &run->qmp.seen, words, 2);
	commandf(run, "{\"execute\":\"object-del\",\"arguments\":{\"id\":\"mem-%s\"}}", rest);
}

/* event WORD...: an event that has not been waited for before, with all these words */
static void
do_event(struct run *run, char *rest)
{
	const char *words[ARGS_MAX];
	unsigned nr = 0;

	split(rest, words, &nr);
	(void)wait_line(run, &run->qmp, &run->qmp.seen, words, nr);
}

static void
do_qmp(struct run *run, char *rest)
{
	command(run, rest, "{\"return\"");
}

static void
do_reply(struct run *run, char *rest)
{
	const char *line = run->qmp.text + run->reply;
	const char *at = strstr(line, rest), *end = strchr(line, '\n');

	if (at == NULL || (end != NULL && at > end))
		fail(run, "the reply is not \"%s\": %.400s", rest, line);
}

static void
do_resize(struct run *run, char *rest)
{
	commandf(run, "{\"execute\":\"qom-set\",\"arguments\":{"
		 "\"path\":\"/machine/peripheral/vm0\","
		 "\"property\":\"requested-size\",\"value\":%llu}}",
		 strtoull(rest, NULL, 0) << 20);
}

/* Print what the console said since the start, lines with this word only. */
static void
do_print(struct run *run, char *rest)
{
	const char *const words[] = { rest };
	size_t from = 0;
	const char *line;

	while ((line = find_line(&run->console, &from, words, 1)) != NULL)
		printf("%.*s\n", (int)strcspn(line, "\r\n"), line);
}

/* What the console said about its trajectory, the hosted program must say, too. */
static void
do_same(struct run *run, char *rest)
{
	static const char *const first[] = { "trajectory: " }, *const digest[] = { "digest: " };
	char command_line[LINE_MAX_BYTES * 2], hosted[LINE_MAX_BYTES];
	size_t from = 0;
	const char *line = find_line(&run->console, &from, first, 1);
	unsigned nr = 0;

	(void)rest;
	if (line == NULL || run->hosted == NULL)
		fail(run, "no trajectory on the console, or no --hosted PROGRAM");
	line += strlen(first[0]);
	snprintf(command_line, sizeof(command_line), "%s %.*s", run->hosted,
		 (int)strcspn(line, "\r\n"), line);
	FILE *program = popen(command_line, "r");
	while (program != NULL && fgets(hosted, sizeof(hosted), program) != NULL) {
		size_t length = strcspn(hosted, "\n");
		line = find_line(&run->console, &from, digest, 1);
		if (line == NULL || strncmp(line, hosted, length) != 0)
			fail(run, "the hosted program says \"%.*s\", the console \"%.*s\": %s",
			     (int)length, hosted, line != NULL ? (int)strcspn(line, "\r\n") : 0,
			     line, command_line);
		nr++;
	}
	if (program == NULL || pclose(program) != 0 || nr == 0 ||
	    find_line(&run->console, &from, digest, 1) != NULL)
		fail(run, "the hosted program failed or stopped early: %s", command_line);
}

/* The machine has said its last line: look at how QEMU ends. */
static void
await_end(struct run *run, int wanted)
{
	int status = 0;

	double deadline = now() + run->wait_seconds;
	while (waitpid(run->pid, &status, WNOHANG) == 0) {
		if (now() > deadline)
			fail(run, "QEMU does not end");
		struct timespec tick = { 0, 2000000 };
		nanosleep(&tick, NULL);
	}
	run->ended = true;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted)
		fail(run, "QEMU ended with status 0x%x, not %d", (unsigned)status, wanted);
	stop_machine(run);
}

/* Quit, and wait for the verdict. */
static void
end_machine(struct run *run, const char *verdict, int wanted)
{
	const char *const words[] = { verdict };

	transmit(run, &run->console, "quit\n");
	(void)wait_line(run, &run->console, &run->console.seen, words, 1);
	transmit(run, &run->console, "\n");     /* the handshake */
	await_end(run, wanted);
}

static void
do_quit(struct run *run, char *rest)
{
	(void)rest;
	end_machine(run, "bare: PASS", EXIT_PASS);
}

/* Type a command that does not answer. */
static void
do_type_only(struct run *run, char *rest)
{
	char line[LINE_MAX_BYTES];

	snprintf(line, sizeof(line), "%s\n", rest);
	transmit(run, &run->console, line);
}

/* dies TEXT: the machine says that, and ends by a trap that nobody expected. */
static void
do_dies(struct run *run, char *rest)
{
	do_expect(run, rest);
	await_end(run, EXIT_TRAP);
}

/* The image found something wrong, as this script wants it to. */
static void
do_fails(struct run *run, char *rest)
{
	(void)rest;
	end_machine(run, "bare: FAIL", EXIT_FAIL);
}

static const struct directive {
	const char *name;
	void (*run)(struct run *run, char *rest);
} directives[] = {
	{ "expect", do_expect },
	{ "run", do_run },
	{ "try", do_try },
	{ "refuse", do_refuse },
	{ "never", do_never },
	{ "plug", do_plug },
	{ "unplug", do_unplug },
	{ "gone", do_gone },
	{ "event", do_event },
	{ "qmp", do_qmp },
	{ "reply", do_reply },
	{ "resize", do_resize },
	{ "print", do_print },
	{ "same", do_same },
	{ "quit", do_quit },
	{ "fails", do_fails },
	{ "type", do_type_only },
	{ "dies", do_dies },
};

static void
do_line(struct run *run, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	line += strspn(line, " \t");
	if (*line == '\0' || *line == '#')
		return;
	char *rest = line + strcspn(line, " ");
	if (*rest != '\0')
		*rest++ = '\0';
	if (strcmp(line, "machines") == 0)
		return;
	if (strcmp(line, "args") == 0 || strcmp(line, "append") == 0) {
		char *to = line[1] == 'r' ? run->arguments : run->append;
		snprintf(to, LINE_MAX_BYTES, "%s", rest);
		return;
	}
	need_machine(run);
	for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
		if (strcmp(line, directives[i].name) == 0) {
			directives[i].run(run, rest);
			return;
		}
	}
	fail(run, "no such directive: %s", line);
}

/* ---- scripts ---- */

static void
run_script(struct run *run)
{
	char line[LINE_MAX_BYTES];
	FILE *file = fopen(run->script, "r");

	if (file == NULL)
		fail(run, "%s", strerror(errno));
	run->arguments[0] = run->append[0] = '\0';
	run->line = 0;
	run->console.length = run->console.seen = run->qmp.length = run->qmp.seen = run->reply = 0;
	run->console.text[0] = run->qmp.text[0] = '\0';
	while (fgets(line, sizeof(line), file) != NULL) {
		run->line++;
		do_line(run, line);
	}
	fclose(file);
	if (run->pid != 0)
		fail(run, "the script ends without quit, fails or dies");
}

/* Does the script's "machines" line name this machine? Without one: all PCs. */
static bool
wants_machine(const struct run *run)
{
	char line[LINE_MAX_BYTES];
	bool wanted = true;
	FILE *file = fopen(run->script, "r");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "machines ", 9) == 0)
			wanted = strstr(line, run->machine) != NULL;
	}
	if (file != NULL)
		fclose(file);
	return wanted;
}

/* Is there such a program? A path, or a name to be found on PATH. */
static bool
is_program(const char *name)
{
	char path[LINE_MAX_BYTES];
	const char *list = getenv("PATH");

	if (strchr(name, '/') != NULL)
		return access(name, X_OK) == 0;
	while (list != NULL && *list != '\0') {
		size_t length = strcspn(list, ":");
		snprintf(path, sizeof(path), "%.*s/%s", (int)length, list, name);
		if (access(path, X_OK) == 0)
			return true;
		list += length + (list[length] == ':');
	}
	return false;
}

static unsigned
run_on_machines(struct run *run, const char *only)
{
	unsigned nr = 0;

	for (size_t i = 0; i < NR_MACHINES; i++) {
		run->machine = machines[i].name;
		if (only != NULL ? strcmp(only, run->machine) != 0 : !machines[i].is_pc)
			continue;
		if (!wants_machine(run))
			continue;
		run_script(run);
		nr++;
	}
	return nr;
}

/* ---- images of test cases ---- */

static void
append_word(char *line, const char *word)
{
	size_t length = strlen(line);

	snprintf(line + length, LINE_MAX_BYTES - length, " %s", word);
}

/* R47: what the cases said about digests, the hosted program with the same options says, too. */
static void
compare_digests(struct run *run, char **options)
{
	static const char *const word[] = { "digest of digests" };
	char command_line[LINE_MAX_BYTES], hosted[LINE_MAX_BYTES];
	size_t none = 0;
	unsigned nr = 0;

	if (run->hosted == NULL || find_line(&run->console, &none, word, 1) == NULL)
		return;
	snprintf(command_line, sizeof(command_line), "%s", run->hosted);
	for (; *options != NULL; options++) {
		bool is_number = strspn(*options, "0123456789") == strlen(*options);
		if (strncmp(*options, "--", 2) == 0 || is_number)
			append_word(command_line, *options);
	}
	append_word(command_line, "soak__same_seed__same_digests");
	FILE *program = popen(command_line, "r");
	while (program != NULL && fgets(hosted, sizeof(hosted), program) != NULL) {
		const char *const line[] = { hosted };
		size_t from = 0;
		hosted[strcspn(hosted, "\n")] = '\0';
		if (strstr(hosted, word[0]) == NULL)
			continue;
		if (find_line(&run->console, &from, line, 1) == NULL)
			fail(run, "the console does not say what the hosted program does: %s",
			     hosted);
		nr++;
	}
	if (program == NULL || pclose(program) != 0 || nr == 0)
		fail(run, "the hosted program failed: %s", command_line);
}

/* Print what the cases said, as a hosted program would have; how to replay one is for us to say. */
static void
print_cases(const struct run *run)
{
	static const char replay[] = "    replay: tests ";

	for (const char *at = run->console.text, *end; (end = strchr(at, '\n')) != NULL;
	     at = end + 1) {
		int length = (int)strcspn(at, "\r\n");
		int prefix = (int)sizeof(replay) - 1;
		if (strncmp(at, replay, sizeof(replay) - 1) == 0)
			printf("    replay: %s --image %s --cases %.*s\n", run->program, run->image,
			       length - prefix, at + prefix);
		else if (strncmp(at, "bare: ", 6) != 0)
			printf("%.*s\n", length, at);
	}
}

/* Run an image of cases with these options; its output is ours. */
static int
run_cases(struct run *run, char **options)
{
	static const char *const verdict[] = { "bare: " }, *const pass[] = { "bare: PASS" };
	static char words[LINE_MAX_BYTES] = "--cases";
	size_t at = 0;

	strcpy(run->append, "tests");
	for (char **option = options; *option != NULL; option++) {
		append_word(run->append, *option);
		append_word(words, *option);
	}
	run->script = words;
	run->wait_seconds = CASES_WAIT_SECONDS;
	strcpy(run->arguments, "-m " CASES_MEMORY);
	need_machine(run);
	(void)wait_line(run, &run->console, &run->console.seen, verdict, 1);
	bool passed = find_line(&run->console, &at, pass, 1) != NULL;
	transmit(run, &run->console, "\n");
	await_end(run, passed ? EXIT_PASS : EXIT_FAIL);
	if (passed)
		compare_digests(run, options);
	print_cases(run);
	return passed ? 0 : 1;
}

/* An option and its value, or --show; NULL: argv[*at] is something else. */
static const char *
option_value(char **argv, int *at, const char *name)
{
	if (strcmp(argv[*at], name) != 0 || argv[*at + 1] == NULL)
		return NULL;
	return argv[++*at];
}

static int
cases(struct run *run, char **options)
{
	if (is_program(run->qemu))
		return run_cases(run, options);
	printf("SKIPPED %s: needs program %s\n0 passed, 0 failed, 1 skipped\n", run->image,
	       run->qemu);
	return 0;
}

static unsigned
skip(const struct run *run)
{
	printf("SKIPPED %s: needs program %s\n", run->script, run->qemu);
	return 1;
}

int
main(int argc, char **argv)
{
	static char console_text[TEXT_MAX], qmp_text[TEXT_MAX];
	struct run run = { .program = argv[0], .qemu = "qemu-system-x86_64", .machine = "q35",
			   .wait_seconds = WAIT_SECONDS };
	const char *only = NULL, *value;
	unsigned passed = 0, skipped = 0;

	run.console.text = console_text;
	run.qmp.text = qmp_text;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--show") == 0)
			run.show = true;
		else if ((value = option_value(argv, &i, "--qemu")) != NULL)
			run.qemu = value;
		else if ((value = option_value(argv, &i, "--image")) != NULL)
			run.image = value;
		else if ((value = option_value(argv, &i, "--hosted")) != NULL)
			run.hosted = value;
		else if ((value = option_value(argv, &i, "--machine")) != NULL &&
			 machine_named(value) != NULL) {
			only = run.machine = value;
			run.qemu = machine_named(value)->qemu;
		}
		else if (strcmp(argv[i], "--cases") == 0 && run.image != NULL)
			return cases(&run, argv + i + 1);
		else if ((value = option_value(argv, &i, "--wait")) != NULL)
			run.wait_seconds = atoi(value);
		else if (run.image != NULL && argv[i][0] != '-') {
			run.script = argv[i];
			if (is_program(run.qemu))
				passed += run_on_machines(&run, only);
			else
				skipped += skip(&run);
		} else {
			fprintf(stderr, "usage: %s [--show] [--wait SECONDS] [--qemu PROGRAM] "
				"--image KERNEL [--hosted PROGRAM] [--machine q35|pc|virt] "
				"SCRIPT... | --cases [OPTION | CASE]...\n",
				argv[0]);
			return 2;
		}
	}
	printf("%u passed, 0 failed", passed);
	printf(skipped != 0 ? ", %u skipped\n" : "\n", skipped);
	return 0;
}
