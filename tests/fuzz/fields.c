/* SPDX-License-Identifier: MIT */
/*
 * fields.c - fuzz target: a line that a client sends (control/fields.h; R67, R75).
 *
 * Whatever the bytes, decoding takes the line or says what is wrong with it; and what was taken,
 * composed and decoded again, is the same request.
 */
#include "../../control/fields.h"
#include "fuzz.h"

static const char *
compose(struct mhp__line *line, const struct mhp__fields *fields, const uint8_t *types)
{
	mhp__line_begin(line, mhp__text(fields, MHP__F_REQUEST));
	for (unsigned i = 0; i < MHP__FIELDS; i++) {
		const struct mhp__value *value = &fields->value[i];
		if (i == MHP__F_REQUEST || !mhp__has(fields, (enum mhp__field)i))
			continue;
		if (types[i] == MHP__TEXT)
			mhp__line_bytes(line, (enum mhp__field)i, value->text, value->length);
		else if (types[i] == MHP__NUMBER)
			mhp__line_number(line, (enum mhp__field)i, value->number);
		else
			mhp__line_flag(line, (enum mhp__field)i, value->number != 0);
	}
	return mhp__line_end(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
#define TYPE(name, NAME, type) MHP__##type,
	static const uint8_t types[MHP__FIELDS] = { MHP__FIELD_TABLE(TYPE) };
#undef TYPE
	static struct mhp__line line;
	static char again[MHP_PROTOCOL_LINE_MAX];
	struct mhp__fields first, second;
	char *text = fuzz_text(data, size);

	if (mhp__fields_decode(text, size, &first) == NULL &&
	    mhp__has(&first, MHP__F_REQUEST) && compose(&line, &first, types) != NULL) {
		memcpy(again, line.text, line.used);
		FUZZ_CHECK(mhp__fields_decode(again, line.used, &second) == NULL);
		for (unsigned i = 0; i < MHP__FIELDS; i++) {
			enum mhp__field field = (enum mhp__field)i;
			if (types[i] == MHP__FLAG) {
				FUZZ_CHECK(mhp__flag(&first, field) == mhp__flag(&second, field));
				continue;
			}
			FUZZ_CHECK(mhp__has(&first, field) == mhp__has(&second, field));
			FUZZ_CHECK(mhp__number(&first, field) == mhp__number(&second, field));
			const char *text_again = mhp__text(&second, field);
			FUZZ_CHECK(strcmp(mhp__text(&first, field), text_again) == 0);
		}
	}
	free(text);
	return 0;
}
