/* SPDX-License-Identifier: MIT */
/*
 * fields.c - the codec of requests: a flat JSON object to fields, and fields to a line.
 *
 * The decoder is one pass over the line with a bound; a decoded text is never longer than its
 * encoding, so it is written over it. It reads JSON's escapes; \u stands for the UTF-8 of a
 * character below the surrogates. Bytes from 0x80 on pass as they are, both ways.
 */
#include <string.h>

#include "fields.h"

static const struct {
	const char *name;
	enum mhp__type type;
} table[MHP__FIELDS] = {
#define ROW(name, NAME, type) { #name, MHP__##type },
	MHP__FIELD_TABLE(ROW)
#undef ROW
};

const char *
mhp__field_name(enum mhp__field field)
{
	return table[field].name;
}

/* ---- decoding ---- */

struct cursor {
	char *at, *end;
};

static void
skip_blanks(struct cursor *cursor)
{
	while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) != NULL &&
	       *cursor->at != 0)
		cursor->at++;
}

/* Take this character, and blanks around it. */
static bool
take(struct cursor *cursor, char c)
{
	skip_blanks(cursor);
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	skip_blanks(cursor);
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u, to UTF-8 at *to. */
static bool
take_unicode(struct cursor *cursor, char **to)
{
	unsigned code = 0;
	if (cursor->end - cursor->at < 4)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		int digit = hex_digit(*cursor->at++);
		if (digit < 0)
			return false;
		code = code << 4 | (unsigned)digit;
	}
	if (code >= 0xd800 && code < 0xe000)
		return false;
	if (code < 0x80) {
		*(*to)++ = (char)code;
	} else if (code < 0x800) {
		*(*to)++ = (char)(0xc0 | code >> 6);
		*(*to)++ = (char)(0x80 | (code & 0x3f));
	} else {
		*(*to)++ = (char)(0xe0 | code >> 12);
		*(*to)++ = (char)(0x80 | (code >> 6 & 0x3f));
		*(*to)++ = (char)(0x80 | (code & 0x3f));
	}
	return true;
}

static bool
take_escape(struct cursor *cursor, char **to)
{
	static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	if (cursor->at == cursor->end)
		return false;
	char c = *cursor->at++;
	if (c == 'u')
		return take_unicode(cursor, to);
	const char *found = c != 0 ? strchr(names, c) : NULL;
	if (found != NULL)
		*(*to)++ = meant[found - names];
	return found != NULL;
}

/* A string, decoded over itself. The zero byte after it falls on the quote at the latest. */
static bool
take_string(struct cursor *cursor, const char **ret_text, size_t *ret_length)
{
	if (cursor->at == cursor->end || *cursor->at != '"')
		return false;
	char *to = ++cursor->at;
	*ret_text = to;
	while (cursor->at < cursor->end) {
		unsigned char c = (unsigned char)*cursor->at++;
		if (c == '"') {
			*to = 0;
			*ret_length = (size_t)(to - *ret_text);
			return true;
		}
		if (c < ' ' || (c == '\\' && !take_escape(cursor, &to)))
			return false;
		if (c != '\\')
			*to++ = (char)c;
	}
	return false;
}

static bool
take_number(struct cursor *cursor, uint64_t *ret_number)
{
	char *start = cursor->at;
	uint64_t value = 0;
	for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++) {
		unsigned digit = (unsigned)(*cursor->at - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_number = value;
	return cursor->at - start == 1 || (cursor->at != start && *start != '0');
}

static bool
take_flag(struct cursor *cursor, uint64_t *ret_flag)
{
	static const char *const words[] = { "false", "true" };
	for (unsigned i = 0; i < 2; i++) {
		size_t length = strlen(words[i]);
		if ((size_t)(cursor->end - cursor->at) < length ||
		    memcmp(cursor->at, words[i], length) != 0)
			continue;
		cursor->at += length;
		*ret_flag = i;
		return true;
	}
	return false;
}

static const char *
take_value(struct cursor *cursor, enum mhp__field field, struct mhp__value *value)
{
	*value = (struct mhp__value){ .text = "" };
	switch (table[field].type) {
	case MHP__TEXT:
		if (!take_string(cursor, &value->text, &value->length))
			return "a text is not in quotes";
		if (field != MHP__F_VALUE && strlen(value->text) != value->length)
			return "a text contains a zero byte";
		return NULL;
	case MHP__NUMBER:
		return take_number(cursor, &value->number)
			? NULL : "a number is not one from 0 to 2^64 - 1";
	default:
		return take_flag(cursor, &value->number)
			? NULL : "a flag is neither true nor false";
	}
}

static const char *
take_field(struct cursor *cursor, struct mhp__fields *ret)
{
	const char *name;
	size_t length;
	unsigned field = 0;
	if (!take_string(cursor, &name, &length) || !take(cursor, ':'))
		return "a field is not \"NAME\":VALUE";
	while (field < MHP__FIELDS && (strlen(table[field].name) != length ||
				       memcmp(table[field].name, name, length) != 0))
		field++;
	if (field == MHP__FIELDS)
		return "a field has a name that this pool does not know";
	if (mhp__has(ret, (enum mhp__field)field))
		return "a field occurs twice";
	ret->there |= UINT32_C(1) << field;
	return take_value(cursor, (enum mhp__field)field, &ret->value[field]);
}

const char *
mhp__fields_decode(char *line, size_t size, struct mhp__fields *ret)
{
	struct cursor cursor = { line, line + size };
	const char *wrong = NULL;
	ret->there = 0;
	if (!take(&cursor, '{'))
		return "a request is a JSON object on one line";
	do
		wrong = take_field(&cursor, ret);
	while (wrong == NULL && take(&cursor, ','));
	if (wrong == NULL && (!take(&cursor, '}') || cursor.at != cursor.end))
		wrong = "the line goes on after the object";
	if (wrong == NULL && !mhp__has(ret, MHP__F_REQUEST))
		wrong = "there is no field \"request\"";
	return wrong;
}

/* ---- composing ---- */

static void
put(struct mhp__line *line, const char *text, size_t length)
{
	if (line->full || length >= sizeof(line->text) - line->used) {
		line->full = true;
		return;
	}
	memcpy(line->text + line->used, text, length);
	line->used += length;
}

static void
put_name(struct mhp__line *line, enum mhp__field field)
{
	put(line, line->used == 0 ? "{\"" : ",\"", 2);
	put(line, table[field].name, strlen(table[field].name));
	put(line, "\":", 2);
}

void
mhp__line_bytes(struct mhp__line *line, enum mhp__field field, const char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	put_name(line, field);
	put(line, "\"", 1);
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];
		char escaped[6] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };
		if (c == '"' || c == '\\')
			put(line, "\\", 1);
		put(line, c < ' ' ? escaped : &bytes[i], c < ' ' ? sizeof(escaped) : 1);
	}
	put(line, "\"", 1);
}

void
mhp__line_text(struct mhp__line *line, enum mhp__field field, const char *text)
{
	mhp__line_bytes(line, field, text, strlen(text));
}

void
mhp__line_begin(struct mhp__line *line, const char *request)
{
	line->used = 0;
	line->full = false;
	mhp__line_text(line, MHP__F_REQUEST, request);
}

void
mhp__line_number(struct mhp__line *line, enum mhp__field field, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);
	put_name(line, field);
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	put(line, digits + at, sizeof(digits) - at);
}

void
mhp__line_flag(struct mhp__line *line, enum mhp__field field, bool flag)
{
	if (!flag)
		return;
	put_name(line, field);
	put(line, "true", 4);
}

const char *
mhp__line_end(struct mhp__line *line)
{
	put(line, "}\n", 2);
	if (line->full)
		return NULL;
	line->text[line->used] = 0;
	return line->text;
}
