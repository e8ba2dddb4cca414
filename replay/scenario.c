/* SPDX-License-Identifier: MIT */
/*
 * scenario.c - the words of a scenario file.
 *
 * A line is a word and what belongs to it; # begins a comment. Everything is checked before the
 * first step is done, and what is wrong is said with its line.
 */
#define _GNU_SOURCE
#include "scenario.h"

#include <inttypes.h>
#include <memplug/words.h>
#include <stdarg.h>
#include <string.h>

#define HOST_BYTES (UINT64_C(1) << 40)
#define BLOCK_BYTES (UINT64_C(128) << 20)
#define REPEAT_MAX 100000U
#define WORDS_MAX 5U

struct reader {
	struct mhp__scenario *scenario;
	unsigned line;
	unsigned open[8], nr_open;     /* REPEATs without their END yet */
	char *word[WORDS_MAX];
	unsigned nr_words;
};

static bool wrong(struct reader *reader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool
wrong(struct reader *reader, const char *format, ...)
{
	char what[180];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(reader->scenario->text, MHP__SCENARIO_TEXT, "line %u: %s", reader->line, what);
	return false;
}

static bool
take_size(struct reader *reader, unsigned at, uint64_t *ret_bytes)
{
	struct mhp_size size;
	if (at >= reader->nr_words)
		return wrong(reader, "'%s' needs a size", reader->word[0]);
	if (mhp_size_parse(reader->word[at], &size) != 0 || size.bytes == 0)
		return wrong(reader, "'%s' is no size", reader->word[at]);
	*ret_bytes = size.bytes;
	return true;
}

static bool
take_number(struct reader *reader, uint64_t max, uint64_t *ret_number)
{
	if (reader->nr_words != 2)
		return wrong(reader, "'%s' needs one number", reader->word[0]);
	return mhp_number_parse(reader->word[1], max, ret_number) == 0 ||
	       wrong(reader, "'%s' is no number up to %" PRIu64, reader->word[1], max);
}

/* A size, or per cent. */
static bool
take_amount(struct reader *reader, struct mhp__scenario_step *step)
{
	char *word = reader->nr_words > 1 ? reader->word[1] : NULL;
	size_t length = word != NULL ? strlen(word) : 0;
	if (length == 0 || word[length - 1] != '%')
		return take_size(reader, 1, &step->amount);
	word[length - 1] = 0;
	step->per_cent = true;
	return mhp_number_parse(word, 100, &step->amount) == 0 ||
	       wrong(reader, "'%s%%' is no share", word);
}

/* node=1, where it means something; false: it is no such word, or no such node. */
static bool
take_node(struct reader *reader, struct mhp__scenario_step *step, const char *word)
{
	uint64_t node;
	if (step->kind == MHP__STEP_FREE || strncmp(word, "node=", 5) != 0)
		return wrong(reader, "'%s' means nothing here", word);
	if (mhp_number_parse(word + 5, reader->scenario->nr_nodes - 1, &node) != 0)
		return wrong(reader, "'%s' is no node: there are %u, from 0", word,
			     reader->scenario->nr_nodes);
	step->has_node = true;
	step->node = (unsigned)node;
	return true;
}

/* movable, kernel, small, huge and node=, where they mean something. */
static bool
take_kinds(struct reader *reader, struct mhp__scenario_step *step, bool pages)
{
	for (unsigned i = 2; i < reader->nr_words; i++) {
		const char *word = reader->word[i];
		if (strcmp(word, "kernel") == 0)
			step->kernel = true;
		else if (pages && strcmp(word, "small") == 0)
			step->order = 0;
		else if (strcmp(word, "movable") != 0 &&
			 (!pages || strcmp(word, "huge") != 0) && !take_node(reader, step, word))
			return false;
	}
	return true;
}

static struct mhp__scenario_step *
new_step(struct reader *reader, enum mhp__step_kind kind)
{
	struct mhp__scenario *scenario = reader->scenario;
	struct mhp__scenario_step *step = &scenario->step[scenario->nr_steps];
	if (scenario->nr_steps == MHP__SCENARIO_STEPS) {
		wrong(reader, "a scenario has at most %u steps", MHP__SCENARIO_STEPS);
		return NULL;
	}
	*step = (struct mhp__scenario_step){ .kind = kind, .line = reader->line, .order = 9 };
	scenario->nr_steps++;
	return step;
}

static bool
read_repeat(struct reader *reader, struct mhp__scenario_step *step)
{
	if (reader->nr_open == sizeof(reader->open) / sizeof(reader->open[0]))
		return wrong(reader, "so many repeats lie in one another");
	reader->open[reader->nr_open++] = reader->scenario->nr_steps - 1;
	return take_number(reader, REPEAT_MAX, &step->amount);
}

static bool
read_end(struct reader *reader, struct mhp__scenario_step *step)
{
	if (reader->nr_open == 0)
		return wrong(reader, "there is no repeat for this end");
	step->other = reader->open[--reader->nr_open];
	reader->scenario->step[step->other].other = reader->scenario->nr_steps - 1;
	return true;
}

static bool
read_step(struct reader *reader)
{
	static const char *const names[] = { "add", "use", "free", "remove", "repeat", "end" };
	unsigned kind = 0;
	while (kind <= MHP__STEP_END && strcmp(names[kind], reader->word[0]) != 0)
		kind++;
	if (kind > MHP__STEP_END)
		return wrong(reader, "'%s' is no step: there are host, block, nodes, memmap, seed, "
			     "add, use, free, remove, repeat and end", reader->word[0]);
	struct mhp__scenario_step *step = new_step(reader, (enum mhp__step_kind)kind);
	if (step == NULL)
		return false;
	if (kind == MHP__STEP_REPEAT)
		return read_repeat(reader, step);
	if (kind == MHP__STEP_END)
		return read_end(reader, step);
	if (kind == MHP__STEP_ADD)
		return take_size(reader, 1, &step->amount) && take_kinds(reader, step, false);
	return take_amount(reader, step) && take_kinds(reader, step, kind == MHP__STEP_USE);
}

static bool
read_nodes(struct reader *reader)
{
	uint64_t nodes = 0;
	if (!take_number(reader, MHP__SCENARIO_NODES, &nodes))
		return false;
	reader->scenario->nr_nodes = (unsigned)nodes;
	return nodes != 0 || wrong(reader, "there is one node at least");
}

static bool
read_words(struct reader *reader)
{
	struct mhp__scenario *scenario = reader->scenario;
	const char *first = reader->word[0];
	bool head = strcmp(first, "host") == 0 || strcmp(first, "block") == 0 ||
		    strcmp(first, "nodes") == 0 || strcmp(first, "memmap") == 0 ||
		    strcmp(first, "seed") == 0;
	if (head && scenario->nr_steps != 0)
		return wrong(reader, "'%s' comes before the first step", first);
	if (strcmp(first, "host") == 0)
		return take_size(reader, 1, &scenario->host_bytes);
	if (strcmp(first, "block") == 0)
		return take_size(reader, 1, &scenario->block_bytes);
	if (strcmp(first, "nodes") == 0)
		return read_nodes(reader);
	if (strcmp(first, "seed") == 0)
		return take_number(reader, UINT64_MAX, &scenario->seed);
	if (strcmp(first, "memmap") != 0)
		return read_step(reader);
	scenario->external = reader->nr_words == 2 && strcmp(reader->word[1], "external") == 0;
	return scenario->external ||
	       (reader->nr_words == 2 && strcmp(reader->word[1], "self") == 0) ||
	       wrong(reader, "memmap is self or external");
}

static bool
read_line(struct reader *reader, char *line)
{
	char *rest = NULL;
	line[strcspn(line, "#\n")] = 0;
	reader->nr_words = 0;
	for (char *word = strtok_r(line, " \t\r", &rest); word != NULL;
	     word = strtok_r(NULL, " \t\r", &rest)) {
		if (reader->nr_words == WORDS_MAX)
			return wrong(reader, "there are too many words");
		reader->word[reader->nr_words++] = word;
	}
	return reader->nr_words == 0 || read_words(reader);
}

static bool
check(struct reader *reader)
{
	struct mhp__scenario *scenario = reader->scenario;
	uint64_t block = scenario->block_bytes;
	if (reader->nr_open != 0) {
		reader->line = scenario->step[reader->open[0]].line;
		return wrong(reader, "this repeat has no end");
	}
	if (scenario->nr_steps == 0)
		return wrong(reader, "there is no step");
	if ((block & (block - 1)) != 0 || block < (UINT64_C(4) << 20) ||
	    block > scenario->host_bytes)
		return wrong(reader, "a block is a power of two from 4M to the size of the host");
	return true;
}

bool
mhp__scenario_read(FILE *file, struct mhp__scenario *ret_scenario)
{
	struct reader reader = { .scenario = ret_scenario };
	char line[256];
	*ret_scenario = (struct mhp__scenario){
		.host_bytes = HOST_BYTES, .block_bytes = BLOCK_BYTES, .seed = 1,
		.nr_nodes = 1,
	};
	while (fgets(line, sizeof(line), file) != NULL) {
		reader.line++;
		if (strchr(line, '\n') == NULL && !feof(file))
			return wrong(&reader, "the line is too long");
		if (!read_line(&reader, line))
			return false;
	}
	return check(&reader);
}
