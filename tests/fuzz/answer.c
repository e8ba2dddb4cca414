/* SPDX-License-Identifier: MIT */
/*
 * answer.c - fuzz target: what a pool, which may be hostile, answers to the command (R68, R75).
 *
 * What is read has no byte that a terminal obeys, and no access by type goes wrong.
 */
#include <json-c/json.h>

#include "../../cli/cli.h"
#include "fuzz.h"

static void
is_harmless(const char *text)
{
	for (; *text != 0; text++)
		FUZZ_CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void
look(struct json_object *object, unsigned depth)
{
	static const char *const names[] = { "blocks", "name", "error", "ranges", "state" };

	if (object == NULL)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)cli_number(object, names[i]);
		(void)cli_true(object, names[i]);
		(void)cli_has(object, names[i]);
		is_harmless(cli_string(object, names[i]));
		struct json_object *array = cli_array(object, names[i]);
		for (size_t at = 0; at < cli_length(array) && depth < 8; at++) {
			(void)cli_number_at(array, at);
			look(cli_at(array, at), depth + 1);
		}
		if (depth < 8)
			look(cli_member(object, names[i]), depth + 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct json_object *object = cli_parse(text);

	if (object != NULL)
		look(object, 0);
	json_object_put(object);
	is_harmless(cli_clean(text));
	free(text);
	return 0;
}
