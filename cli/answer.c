/* SPDX-License-Identifier: MIT */
/*
 * answer.c - what pools answer, read so that nothing in it can do harm.
 *
 * A pool is a program of somebody: it may answer with other types, deep nesting, endless lists, or
 * texts that a terminal obeys. Everything is checked once, when it is read; after that, members
 * have the type that is asked for or count as missing.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define DEPTH_MAX 8
#define VALUES_MAX (UINT32_C(1) << 23) /* half a million blocks of a dozen members each */

/* ---- text ---- */

/* Bytes of a character that a terminal shows; 0: it is none. */
static size_t
printable(const unsigned char *text)
{
	size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc0 ? 2 : 1;
	if (length == 1)
		return text[0] >= ' ' && text[0] < 0x7f;
	if (text[0] >= 0xf5 || text[0] < 0xc2)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Controls of another kind, and what turns the direction of writing. */
	bool control = text[0] == 0xc2 && text[1] < 0xa0;
	bool turns = text[0] == 0xe2 && ((text[1] == 0x80 && text[2] >= 0xaa && text[2] <= 0xae) ||
					 (text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9));
	return control || turns ? 0 : length;
}

char *
cli_clean(char *text)
{
	unsigned char *at = (unsigned char *)text;
	while (*at != 0) {
		size_t length = printable(at);
		if (length == 0)
			*at = '?';
		at += length != 0 ? length : 1;
	}
	return text;
}

static bool
is_plain(const char *name)
{
	size_t length = 0;
	while (name[length] >= ' ' && name[length] < 0x7f && name[length] != '"' &&
	       name[length] != '\\')
		length++;
	return name[length] == 0 && length < 256;
}

/* ---- reading ---- */

static bool
clean_string(struct json_object *string)
{
	char *copy = strdup(json_object_get_string(string));
	bool done = copy != NULL && json_object_set_string(string, cli_clean(copy)) == 1;
	free(copy);
	return done;
}

/* Bound: DEPTH_MAX, as the tokener has seen to. */
static bool
clean_object(struct json_object *object) /* NOLINT(misc-no-recursion) */
{
	if (json_object_is_type(object, json_type_string))
		return clean_string(object);
	if (json_object_is_type(object, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(object); i++)
			if (!clean_object(json_object_array_get_idx(object, i)))
				return false;
	} else if (json_object_is_type(object, json_type_object)) {
		json_object_object_foreach(object, name, member)
			if (!is_plain(name) || !clean_object(member))
				return false;
	}
	return true;
}

/* Each value but the first has one of these in front of it. */
static bool
has_few_values(const char *text)
{
	uint32_t nr = 0;
	for (; *text != 0 && nr <= VALUES_MAX; text++)
		nr += *text == ',' || *text == '[' || *text == '{';
	return nr <= VALUES_MAX;
}

struct json_object *
cli_parse(const char *text)
{
	struct json_tokener *tokener;
	struct json_object *answer = NULL;
	size_t length = strlen(text);
	if (length > MHP_PROTOCOL_ANSWER_MAX || !has_few_values(text) ||
	    (tokener = json_tokener_new_ex(DEPTH_MAX)) == NULL)
		return NULL;
	answer = json_tokener_parse_ex(tokener, text, (int)length + 1);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    !json_object_is_type(answer, json_type_object) || !clean_object(answer)) {
		json_object_put(answer);
		answer = NULL;
	}
	json_tokener_free(tokener);
	return answer;
}

/* ---- members ---- */

static struct json_object *
find(struct json_object *object, const char *name, enum json_type type)
{
	struct json_object *member = NULL;
	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, name, &member) ||
	    !json_object_is_type(member, type))
		return NULL;
	return member;
}

static uint64_t
number_of(struct json_object *value)
{
	if (!json_object_is_type(value, json_type_int))
		return 0;
	int64_t number = json_object_get_int64(value);
	return number < 0 ? (uint64_t)number : json_object_get_uint64(value);
}

uint64_t
cli_number(struct json_object *object, const char *name)
{
	return number_of(find(object, name, json_type_int));
}

const char *
cli_string(struct json_object *object, const char *name)
{
	struct json_object *member = find(object, name, json_type_string);
	return member != NULL ? json_object_get_string(member) : "";
}

bool
cli_true(struct json_object *object, const char *name)
{
	return json_object_get_boolean(find(object, name, json_type_boolean)) != 0;
}

bool
cli_has(struct json_object *object, const char *name)
{
	return json_object_is_type(object, json_type_object) &&
	       json_object_object_get_ex(object, name, NULL);
}

struct json_object *
cli_member(struct json_object *object, const char *name)
{
	return find(object, name, json_type_object);
}

struct json_object *
cli_array(struct json_object *object, const char *name)
{
	return find(object, name, json_type_array);
}

size_t
cli_length(struct json_object *array)
{
	return array != NULL ? json_object_array_length(array) : 0;
}

struct json_object *
cli_at(struct json_object *array, size_t i)
{
	struct json_object *one = json_object_array_get_idx(array, i);
	return json_object_is_type(one, json_type_object) ? one : NULL;
}

uint64_t
cli_number_at(struct json_object *array, size_t i)
{
	return number_of(json_object_array_get_idx(array, i));
}

int
cli_print_json(struct json_object *answer)
{
	puts(json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(answer);
	return CLI_DONE;
}

int
cli_finish(const struct cli *cli, struct json_object *answer, int status)
{
	if (answer == NULL)
		return status;
	if (cli->json)
		return cli_print_json(answer);
	json_object_put(answer);
	return CLI_DONE;
}
