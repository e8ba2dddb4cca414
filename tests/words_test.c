/* SPDX-License-Identifier: MIT */
/*
 * words_test.c - the parsers of what people write, and the codec of requests (R67, R75).
 *
 * Both are pure functions; so there are tables of what is taken and what is refused, every size is
 * read back as it is printed, and lines are damaged in every way that a seed makes.
 */
#include <memplug/words.h>
#include <stdlib.h>

#include "../control/fields.h"
#include "test.h"

/* ---- numbers, seconds, sizes ---- */

TEST(words__numbers__mean_what_they_look_like)
{
	static const struct {
		const char *text;
		int error;
		uint64_t number;
	} rows[] = {
		{ "0", 0, 0 }, { "15", 0, 15 }, { "0xf", 0, 15 }, { "0XfF", 0, 255 },
		{ "18446744073709551615", 0, UINT64_MAX }, { "0xffffffffffffffff", 0, UINT64_MAX },
		{ "18446744073709551616", MHP_EOVERFLOW, 0 }, { "015", MHP_EINVAL, 0 },
		{ "00", MHP_EINVAL, 0 }, { "", MHP_EINVAL, 0 }, { "-1", MHP_EINVAL, 0 },
		{ "+1", MHP_EINVAL, 0 }, { " 1", MHP_EINVAL, 0 }, { "1 ", MHP_EINVAL, 0 },
		{ "1\n", MHP_EINVAL, 0 }, { "0x", MHP_EINVAL, 0 }, { "1x", MHP_EINVAL, 0 },
		{ "0x10000000000000000", MHP_EOVERFLOW, 0 }, { "1e3", MHP_EINVAL, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t number = 7;
		test_at("'%s'", rows[i].text);
		CHECK_RET(mhp_number_parse(rows[i].text, UINT64_MAX, &number), rows[i].error);
		CHECK_EQ(number, rows[i].error == 0 ? rows[i].number : 7);
	}
	uint64_t number;
	CHECK_RET(mhp_number_parse("256", 255, &number), MHP_EOVERFLOW);
	CHECK_OK(mhp_number_parse("255", 255, &number));
}

TEST(words__seconds__decimals_but_no_words)
{
	uint32_t ms;
	CHECK_OK(mhp_seconds_parse("30", &ms));
	CHECK_EQ(ms, 30000);
	CHECK_OK(mhp_seconds_parse("0.05", &ms));
	CHECK_EQ(ms, 50);
	CHECK_OK(mhp_seconds_parse("1000000", &ms));
	CHECK_EQ(ms, 1000000000);
	static const char *const bad[] = {
		"", "0", "0.000", "-1", "1.", ".5", "1.2345", "1s", "inf", "nan", "0x10",
		"1000000.001", "1e3", "030",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_at("'%s'", bad[i]);
		CHECK_RET(mhp_seconds_parse(bad[i], &ms), MHP_EINVAL);
	}
}

TEST(words__sizes__taken_or_refused)
{
	static const struct {
		const char *text;
		uint64_t bytes;                /* 0: refused */
	} rows[] = {
		{ "512M", 512ULL << 20 }, { "1.5G", 3ULL << 29 }, { "2GiB", 2ULL << 30 },
		{ "64k", 64 << 10 }, { "4096", 4096 }, { "8T", 8ULL << 40 }, { "1P", 1ULL << 50 },
		{ "0x100000", 1 << 20 }, { "16.5M", 33 << 19 }, { "134217728", 128 << 20 },
		{ "8192B", 8192 }, { "0100M", 0 }, { "1", 0 }, { "4095", 0 }, { "1MB", 0 },
		{ "1.5", 0 }, { "M", 0 }, { "-1M", 0 }, { "1 M", 0 }, { "1M ", 0 }, { "1.M", 0 },
		{ "1.2345G", 0 }, { "0x10M", 0 }, { "99999999999999T", 0 }, { "", 0 }, { "1Mi", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mhp_size size = { 0 };
		test_at("'%s'", rows[i].text);
		int err = mhp_size_parse(rows[i].text, &size);
		CHECK_EQ(err == 0, rows[i].bytes != 0);
		CHECK_EQ(size.bytes, rows[i].bytes);
	}
	struct mhp_size size;
	CHECK_OK(mhp_size_parse("0", &size));
	CHECK_EQ(size.bytes, 0);
}

/* What a tool prints of a multiple of a block is read as it, or both neighbours are offered. */
TEST(words__sizes_as_printed__are_read_back_or_two_are_near)
{
	static const unsigned shifts[] = { 22, 24, 27, 30, 37 };
	uint64_t state = test_seed();
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t unit = UINT64_C(1) << shifts[i % 5], below, above;
		uint64_t bytes = unit * (1 + test_random(&state) % (UINT64_C(1) << (i % 14)));
		char text[MHP_SIZE_TEXT];
		struct mhp_size size;
		mhp_size_text(bytes, text);
		test_at("%s for %" PRIu64, text, bytes);
		CHECK_CMP(strlen(text), <=, 7);
		CHECK_OK(mhp_size_parse(text, &size));
		CHECK(size.first <= bytes && bytes <= size.last);
		if (mhp_size_fit(&size, unit, &below, &above)) {
			CHECK_EQ(below, above);
			CHECK(below == bytes || size.bytes == below);
		} else {
			CHECK_EQ(above, below + unit);
			CHECK(below <= size.bytes && size.bytes <= above);
		}
	}
	struct mhp_size size;
	uint64_t below, above;
	CHECK_OK(mhp_size_parse("2.8G", &size));
	CHECK(mhp_size_fit(&size, 128 << 20, &below, &above));
	CHECK_EQ(below, UINT64_C(22) * (128 << 20)); /* which is printed as 2.8G */
	CHECK_OK(mhp_size_parse("1.001K", &size));
	CHECK_EQ(size.bytes, 1024 + 2); /* a part of a byte is a whole one */
	CHECK_OK(mhp_size_parse("100M", &size));
	CHECK(!mhp_size_fit(&size, 64 << 20, &below, &above));
	CHECK_EQ(below, 64 << 20);
	CHECK_EQ(above, 128 << 20);
}

/* ---- blocks ---- */

static int
count_blocks(const char *text, uint64_t *ret_sum)
{
	struct mhp_blocks run;
	int nr = 0, more;
	*ret_sum = 0;
	while ((more = mhp_blocks_next(&text, 16 << 20, 1000, &run)) == 1) {
		nr++;
		for (uint32_t i = 0; i < run.count; i++)
			*ret_sum += run.first + i;
	}
	return more < 0 ? more : nr;
}

TEST(words__blocks__lists_of_any_length_and_nothing_else)
{
	static const char *const bad[] = {
		"x", "3,", ",3", "3-", "-3", "7-3", "3 4", "03", "3-0x4ffffff", "0x1000001",
		"0x1000000-0x1000001", "1000", "3,,4", "3-4-5", "999-1000", "3\n", "0x3e8000000",
		"99999999999999999999",
	};
	static char list[64000];
	uint64_t sum, want = 0;
	size_t used = 0;
	CHECK_EQ(count_blocks("", &sum), 0);
	CHECK_EQ(count_blocks("3-7,9", &sum), 2);
	CHECK_EQ(sum, 3 + 4 + 5 + 6 + 7 + 9);
	CHECK_EQ(count_blocks("0x1000000-0x2ffffff", &sum), 1);
	CHECK_EQ(sum, 1 + 2);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_at("'%s'", bad[i]);
		CHECK_RET(count_blocks(bad[i], &sum), MHP_EINVAL);
	}
	for (unsigned i = 0; i < 12000; i++) {
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%u",
					 i == 0 ? "" : ",", i * 7 % 1000);
		want += i * 7 % 1000;
	}
	CHECK_EQ(count_blocks(list, &sum), 12000);
	CHECK_EQ(sum, want);
}

/* ---- requests ---- */

/* A copy that ends where a page that may not be read begins would be better; malloc does. */
static const char *
decode(const char *text, size_t size, struct mhp__fields *fields, char **ret_copy)
{
	*ret_copy = malloc(size + 1);
	memcpy(*ret_copy, text, size);
	(*ret_copy)[size] = 'x'; /* what is behind the line is none of the codec's business */
	const char *wrong = mhp__fields_decode(*ret_copy, size, fields);
	CHECK_EQ((*ret_copy)[size], 'x');
	return wrong;
}

TEST(fields__all_types__come_back_as_they_were_sent)
{
	static struct mhp__line line;
	struct mhp__fields fields;
	char bytes[256], *copy;
	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (char)i;
	mhp__line_begin(&line, "set");
	mhp__line_text(&line, MHP__F_ATTR, "");
	mhp__line_bytes(&line, MHP__F_VALUE, bytes, sizeof(bytes));
	mhp__line_number(&line, MHP__F_SINCE, UINT64_MAX);
	mhp__line_number(&line, MHP__F_BLOCK, 0);
	mhp__line_flag(&line, MHP__F_DRY_RUN, true);
	mhp__line_flag(&line, MHP__F_RANGES, false);
	const char *text = mhp__line_end(&line);
	CHECK(text != NULL && strchr(text, '\n') == text + strlen(text) - 1);
	CHECK(decode(text, strlen(text), &fields, &copy) == NULL);
	CHECK_STR(mhp__text(&fields, MHP__F_REQUEST), "set");
	CHECK(mhp__has(&fields, MHP__F_ATTR) && fields.value[MHP__F_ATTR].length == 0);
	CHECK_EQ(fields.value[MHP__F_VALUE].length, sizeof(bytes));
	CHECK_MEM(fields.value[MHP__F_VALUE].text, bytes, sizeof(bytes));
	CHECK_EQ(mhp__number(&fields, MHP__F_SINCE), UINT64_MAX);
	CHECK(mhp__has(&fields, MHP__F_BLOCK) && mhp__flag(&fields, MHP__F_DRY_RUN));
	CHECK(!mhp__has(&fields, MHP__F_RANGES));
	free(copy);
}

TEST(fields__line_that_does_not_fit__is_no_line)
{
	static struct mhp__line line;
	static char value[MHP_PROTOCOL_LINE_MAX];
	memset(value, '"', sizeof(value) / 2);
	mhp__line_begin(&line, "set");
	mhp__line_text(&line, MHP__F_VALUE, value);
	CHECK(mhp__line_end(&line) == NULL);
	value[sizeof(value) / 2 - 64] = 0;
	mhp__line_begin(&line, "set");
	mhp__line_text(&line, MHP__F_VALUE, value);
	CHECK(mhp__line_end(&line) != NULL);
}

TEST(fields__malformed__refused_with_a_sentence)
{
	static const char *const bad[] = {
		"", "{", "{}", "[]", "remove 3 5 dry", "{\"request\":\"a\"", "{\"request\":\"a\"}}",
		"{\"request\":\"a\",}", "{\"request\":a}", "{\"request\":\"a\" \"b\":1}",
		"{\"request\":\"a\",\"request\":\"b\"}", "{\"request\":1}", "{\"Request\":\"a\"}",
		"{\"request\":\"a\",\"dry_run\":1}", "{\"request\":\"a\",\"dry_run\":\"true\"}",
		"{\"request\":\"a\",\"dry_run\":truex}", "{\"request\":\"a\",\"since\":-1}",
		"{\"request\":\"a\",\"since\":01}", "{\"request\":\"a\",\"since\":1.5}",
		"{\"request\":\"a\",\"since\":18446744073709551616}",
		"{\"request\":\"a\",\"since\":}",
		"{\"request\":\"a\",\"blocks\":\"\\u0000\"}", "{\"request\":\"a\\q\"}",
		"{\"request\":\"a\\u12\"}", "{\"request\":\"a\\ud800\"}", "{\"request\":\"a\n\"}",
		"{\"request\":\"a\",\"blocks\":null}", "{\"request\":\"a\",\"blocks\":[\"3\"]}",
		"{\"blocks\":\"3\"}", "{\"request\":\"a\"} {\"request\":\"b\"}", "{request:\"a\"}",
	};
	struct mhp__fields fields;
	char *copy;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		test_at("%s", bad[i]);
		CHECK(decode(bad[i], strlen(bad[i]), &fields, &copy) != NULL);
		free(copy);
	}
	CHECK(decode(" { \"request\" : \"a\" , \"since\" : 0 } \r\n", 36, &fields, &copy) == NULL);
	free(copy);
}

/* R75: whatever the bytes, nothing behind them is touched, and texts lie within them. */
TEST(fields__damaged_lines__never_leave_the_line)
{
	static const char whole[] = "{\"request\":\"remove\",\"blocks\":\"3-7,\\u0041\\n\","
				    "\"deadline_ms\":30000,\"dry_run\":true,"
				    "\"value\":\"\\\"\\\\\"}\n";
	uint64_t state = test_seed(), nr = test_ops(100000);
	for (uint64_t i = 0; i < nr; i++) {
		char line[sizeof(whole)], *copy;
		struct mhp__fields fields;
		size_t size = sizeof(whole) - 1;
		memcpy(line, whole, sizeof(whole));
		for (unsigned k = 0; k <= i % 4; k++) {
			uint64_t random = test_random(&state);
			line[random % size] = "\"\\{}:,u0t\n\0x"[random >> 32 & 11];
		}
		if (i % 3 == 0)
			size = test_random(&state) % size;
		const char *wrong = decode(line, size, &fields, &copy);
		for (unsigned f = 0; wrong == NULL && f < MHP__FIELDS; f++) {
			const char *text = fields.value[f].text;
			if (mhp__has(&fields, (enum mhp__field)f) && text != NULL && *text != 0)
				CHECK(text > copy && text + fields.value[f].length < copy + size);
		}
		free(copy);
	}
}
