/* SPDX-License-Identifier: MIT */
/*
 * run.c - memplug run: start a program with its heap in a pool.
 *
 * Everything is said through the environment, to libmemplug-heap.so, which is preloaded. The
 * library is looked for beside the command, as it is built, and where it is installed (library.c).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "program.h"

/* Smaller mappings of the program stay outside of the pool; V8 maps its heap in pieces of this. */
#define MMAP_LEAST "256K"
/* With --follow blocks are small, so that they come and go easily, and freed memory is not kept. */
#define FOLLOW_BLOCK "16M"
#define FOLLOW_CONF "dirty_decay_ms:0,muzzy_decay_ms:0"
#define CGROUPS "/sys/fs/cgroup"

static void
set_preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char *all = NULL;
	if (others != NULL && *others != 0 && asprintf(&all, "%s:%s", library, others) > 0)
		setenv("LD_PRELOAD", all, 1);
	else
		setenv("LD_PRELOAD", library, 1);
	free(all);
}

/* Why these words are no size of at least one byte, or NULL. */
static const char *
size_fault(const char *words)
{
	struct mhp_size size;
	int err = mhp_size_parse(words, &size);
	if (err == MHP_EOVERFLOW)
		return "that is more than any pool can have";
	if (err == 0 && size.bytes != 0)
		return NULL;
	return "a size is a number followed by K, M, G or T";
}

static const struct setting {
	const char *option, *variable, *otherwise;
	bool size;
} settings[] = {
	{ "--name", "MEMPLUG_NAME", NULL, false },
	{ "--boot", "MEMPLUG_BOOT", "128M", true },
	{ "--max", "MEMPLUG_MAX", NULL, true },
	{ "--block-size", "MEMPLUG_BLOCK_SIZE", NULL, true },
	{ "--backing", "MEMPLUG_BACKING", "ram", false },
	{ "--grow", "MEMPLUG_GROW", "auto", false },
	{ "--children", "MEMPLUG_CHILDREN", "pool", false },
	{ "--huge", "MEMPLUG_HUGE", "auto", false },
	{ "--placement", "MEMPLUG_PLACEMENT", "local", false },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* Options that stand alone or with a size: --mmap, or --mmap=256K. */
static const struct flag {
	const char *option, *variable, *otherwise;
} flags[] = {
	{ "--mmap", "MEMPLUG_MMAP", MMAP_LEAST },
	{ "--tier", "MEMPLUG_TIERING", "on" },
};

static const struct flag *
find_flag(const char *word)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strlen(flags[i].option) == strcspn(word, "=") &&
		    strncmp(flags[i].option, word, strlen(flags[i].option)) == 0)
			return &flags[i];
	return NULL;
}

/* False: what is after the = is no size, and it was said. */
static bool
take_flag(const struct cli *cli, const struct flag *flag, const char *word)
{
	const char *size = strchr(word, '=');
	const char *fault = size != NULL ? size_fault(size + 1) : NULL;
	if (fault != NULL) {
		cli_usage(cli, "%s: %s", word, fault);
		return false;
	}
	setenv(flag->variable, size != NULL ? size + 1 : flag->otherwise, 1);
	return true;
}

/* --follow, or --follow=DIR, where the cgroups are. */
static bool
take_follow(const struct cli *cli, const char *word)
{
	const char *conf = getenv("MALLOC_CONF");
	bool named = word[sizeof("--follow") - 1] == '=';
	const char *root = named ? word + sizeof("--follow") : CGROUPS;
	char all[1024] = FOLLOW_CONF;
	if (named && access(root, X_OK) != 0) {
		cli_usage(cli, "%s: %s", word, strerror(errno));
		return false;
	}
	setenv("MEMPLUG_FOLLOW", root, 1);
	setenv("MEMPLUG_BLOCK_SIZE", FOLLOW_BLOCK, 0);
	if (conf != NULL && *conf != 0)
		snprintf(all, sizeof(all), FOLLOW_CONF ",%s", conf);
	setenv("MALLOC_CONF", all, 1);
	return true;
}

static bool
is_follow(const char *word)
{
	return strcmp(word, "--follow") == 0 || strncmp(word, "--follow=", sizeof("--follow")) == 0;
}

/* The setting that a word sets, --boot or --boot=64M; *ret_value: what is after the =, or NULL. */
static const struct setting *
find_setting(const char *word, const char **ret_value)
{
	size_t length = strcspn(word, "=");
	*ret_value = word[length] == '=' ? word + length + 1 : NULL;
	for (size_t i = 0; i < SETTINGS; i++)
		if (strlen(settings[i].option) == length &&
		    strncmp(settings[i].option, word, length) == 0)
			return &settings[i];
	return NULL;
}

/* Take the setting at word *i, and its value, which may be the next word; moves *i to the last of
 * them. False: something is wrong, and it was said. */
static bool
take_setting(const struct cli *cli, int *i)
{
	const char *word = cli->argv[*i], *value;
	const struct setting *setting = find_setting(word, &value);
	if (setting == NULL) {
		cli_usage(cli, "there is no option %s", word);
		return false;
	}
	if (value == NULL && *i + 1 < cli->argc)
		value = cli->argv[++*i];
	if (value == NULL) {
		cli_usage(cli, "%s needs a value", word);
		return false;
	}
	const char *fault = *value == 0 ? "that is an empty word ('')"
		: setting->size ? size_fault(value) : NULL;
	if (fault != NULL) {
		cli_usage(cli, "%s %s: %s", setting->option, value, fault);
		return false;
	}
	setenv(setting->variable, value, 1);
	return true;
}

/* Put the options into the environment. The index of the program, or -1 and a message. */
static int
take_options(const struct cli *cli)
{
	int i = 0;
	for (; i < cli->argc && cli->argv[i][0] == '-' && strcmp(cli->argv[i], "--") != 0; i++) {
		const char *word = cli->argv[i];
		const struct flag *flag = find_flag(word);
		bool taken = flag != NULL ? take_flag(cli, flag, word)
			: is_follow(word) ? take_follow(cli, word) : take_setting(cli, &i);
		if (!taken)
			return -1;
	}
	if (i < cli->argc && strcmp(cli->argv[i], "--") == 0)
		i++;
	if (i < cli->argc)
		return i;
	cli_usage(cli, "a program is missing");
	return -1;
}

/* The value of a variable is one of two words. */
static bool
is_one_of(const char *variable, const char *a, const char *b)
{
	const char *word = getenv(variable);
	return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/*
 * Set the environment for the program and all that it starts, beside the options. The sanitizers'
 * run time wants to be the first library of all, which we are in programs that the program starts;
 * it is told to do without until our library has left (heap/preload.c).
 */
static void
prepare_start(const char *program)
{
	const char *outside = cli_program_outside(program), *asan = getenv("ASAN_OPTIONS");
	char text[1024];
	if (outside != NULL)
		cli_say("%s %s: its heap is not in a pool", program, outside);
	setenv("MEMPLUG_STRICT", "1", 1);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("MEMPLUG_FIRST", text, 1);
	if (snprintf(text, sizeof(text), "%s%sverify_asan_link_order=0",
		     asan != NULL ? asan : "", asan != NULL ? ":" : "") < (int)sizeof(text))
		setenv("ASAN_OPTIONS", text, 1);
}

int
cli_run(struct cli *cli)
{
	char library[PATH_MAX];
	int i = take_options(cli);

	if (i < 0)
		return CLI_USAGE;
	for (size_t k = 0; k < SETTINGS; k++)
		if (settings[k].otherwise != NULL)
			setenv(settings[k].variable, settings[k].otherwise, 0);
	if (!is_one_of("MEMPLUG_GROW", "auto", "none"))
		return cli_usage(cli, "--grow %s: it must be auto or none", getenv("MEMPLUG_GROW"));
	if (!is_one_of("MEMPLUG_CHILDREN", "pool", "none"))
		return cli_usage(cli, "--children %s: it must be pool or none",
				 getenv("MEMPLUG_CHILDREN"));
	if (!is_one_of("MEMPLUG_HUGE", "large", "none") &&
	    !is_one_of("MEMPLUG_HUGE", "on", "off") && !is_one_of("MEMPLUG_HUGE", "auto", "auto"))
		return cli_usage(cli, "--huge %s: it must be auto, large, none, on or off",
				 getenv("MEMPLUG_HUGE"));
	prepare_start(cli->argv[i]);
	if (!cli_library(library, sizeof(library)))
		return CLI_REFUSED;
	set_preload(library);
	execvp(cli->argv[i], cli->argv + i);
	int status = errno == ENOENT || errno == ENOTDIR ? 127 : 126; /* as a shell says it */
	cli_say("cannot run %s: %s", cli->argv[i], strerror(errno));
	return status;
}
