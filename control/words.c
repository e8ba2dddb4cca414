/* SPDX-License-Identifier: MIT */
/*
 * words.c - from words of people to numbers, sizes, times and runs of blocks, and back.
 *
 * A word is taken whole or refused: anything after a number is an error and never ignored. A size
 * that is printed rounded (2.8G) can be typed again: it means each size that is printed so, and the
 * one multiple of the block size among them.
 *
 * Nothing here allocates, waits or looks at a pool: it also runs in the process that owns one.
 */
#include <memplug/words.h>

static const char units[] = "BKMGTP";

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c = lower(c);
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

static bool
is_hex(const char *text)
{
	return text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
}

/* The number at *at, moved past it. */
static int
scan(const char **at, uint64_t max, uint64_t *ret_number)
{
	unsigned base = is_hex(*at) ? 16 : 10;
	const char *text = base == 16 ? *at + 2 : *at;
	uint64_t value = 0;
	if (digit_of(*text) >= base || (base == 10 && *text == '0' && digit_of(text[1]) < 10))
		return MHP_EINVAL;
	for (; digit_of(*text) < base; text++) {
		unsigned digit = digit_of(*text);
		if (value > (UINT64_MAX - digit) / base)
			return MHP_EOVERFLOW;
		value = value * base + digit;
	}
	*at = text;
	*ret_number = value;
	return value <= max ? 0 : MHP_EOVERFLOW;
}

int
mhp_number_parse(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t value;
	int err = scan(&text, max, &value);
	if (err == 0 && *text != 0)
		err = MHP_EINVAL;
	if (err == 0)
		*ret_number = value;
	return err;
}

/* ---- decimals ---- */

/* Up to `max` digits after a point, as `max` digits: .5 is 500. *ret_nr: how many there were. */
static int
scan_decimals(const char **at, unsigned max, uint64_t *ret_value, unsigned *ret_nr)
{
	const char *text = *at;
	*ret_value = 0;
	*ret_nr = 0;
	if (*text != '.')
		return 0;
	for (text++; digit_of(*text) < 10 && *ret_nr < max; text++, (*ret_nr)++)
		*ret_value = *ret_value * 10 + digit_of(*text);
	for (unsigned i = *ret_nr; i < max; i++)
		*ret_value *= 10;
	*at = text;
	return *ret_nr != 0 ? 0 : MHP_EINVAL;
}

int
mhp_seconds_parse(const char *text, uint32_t *ret_ms)
{
	uint64_t seconds, ms;
	unsigned nr;
	if (is_hex(text) || scan(&text, 1000000, &seconds) != 0 ||
	    scan_decimals(&text, 3, &ms, &nr) != 0 || *text != 0)
		return MHP_EINVAL;
	ms += seconds * 1000;
	if (ms == 0 || ms > 1000000000)
		return MHP_EINVAL;
	*ret_ms = (uint32_t)ms;
	return 0;
}

/* ---- sizes ---- */

/* The shift of a unit, moved past it: "", M, MiB. */
static int
scan_unit(const char **at, unsigned *ret_shift)
{
	const char *text = *at;
	*ret_shift = 0;
	if (*text == 0)
		return 0;
	for (unsigned i = 0; units[i] != 0; i++) {
		if (lower(*text) != lower(units[i]))
			continue;
		text++;
		if (i != 0 && text[0] == 'i' && text[1] == 'B')
			text += 2;
		*at = text;
		*ret_shift = 10 * i;
		return 0;
	}
	return MHP_EINVAL;
}

int
mhp_size_parse(const char *text, struct mhp_size *ret_size)
{
	enum { DECIMALS = 3, ONE = 1000 };
	uint64_t whole, parts, half = ONE / 2;
	unsigned shift, nr;
	bool hex = is_hex(text), unit;
	int err = scan(&text, UINT64_MAX, &whole);
	if (err == 0)
		err = scan_decimals(&text, DECIMALS, &parts, &nr);
	unit = *text != 0;
	if (err == 0)
		err = scan_unit(&text, &shift);
	if (err != 0)
		return err;
	if (*text != 0 || (hex && unit) || (nr != 0 && shift == 0) ||
	    (!unit && whole != 0 && whole < 4096))
		return MHP_EINVAL;
	if (whole >= UINT64_MAX >> shift)
		return MHP_EOVERFLOW;
	ret_size->bytes = (whole << shift) + (((parts << shift) + ONE - 1) / ONE);
	for (unsigned i = 0; i < nr; i++)
		half /= 10;
	/* Half of the last decimal to each side, and what division left over. */
	uint64_t slack = nr == 0 ? 0 : ((half != 0 ? half : 1) << shift) / ONE + 2;
	ret_size->first = ret_size->bytes > slack ? ret_size->bytes - slack : 0;
	ret_size->last = ret_size->bytes + slack;
	return 0;
}

bool
mhp_size_fit(const struct mhp_size *size, uint64_t unit, uint64_t *ret_below, uint64_t *ret_above)
{
	uint64_t first = size->first / unit + (size->first % unit != 0), last = size->last / unit;
	uint64_t below = size->bytes / unit;
	if (size->bytes % unit == 0)
		first = last = below;
	*ret_below = first == last ? first * unit : below * unit;
	*ret_above = first == last || below == UINT64_MAX / unit ? *ret_below : *ret_below + unit;
	return first == last;
}

void
mhp_size_text(uint64_t bytes, char text[MHP_SIZE_TEXT])
{
	unsigned unit = 0, nr = 0;
	char digits[8];
	while (unit < 5 && bytes >> (10 * (unit + 1)) != 0)
		unit++;
	uint64_t whole = bytes >> (10 * unit), rest = bytes - (whole << (10 * unit));
	/* Rounded once, from all of it: it must read as itself. */
	uint64_t half = unit == 0 ? 0 : UINT64_C(1) << (10 * unit - 1);
	uint64_t tenths = (rest * 10 + half) >> (10 * unit);
	bool is_whole = rest == 0;
	whole += tenths / 10;
	do {
		digits[nr++] = (char)('0' + whole % 10);
		whole /= 10;
	} while (whole != 0);
	while (nr > 0)
		*text++ = digits[--nr];
	if (!is_whole) {
		*text++ = '.';
		*text++ = (char)('0' + tenths % 10);
	}
	*text++ = units[unit];
	*text = 0;
}

/* ---- blocks ---- */

/* One end of a run: an index, or an address of the first or last byte of a block. */
static int
scan_block(const char **at, bool is_last, uint64_t block_bytes, uint64_t *ret_block)
{
	bool address = is_hex(*at);
	uint64_t value;
	if (scan(at, UINT64_MAX, &value) != 0)
		return MHP_EINVAL;
	if (address && (value + is_last) % block_bytes != 0)
		return MHP_EINVAL;
	*ret_block = address ? value / block_bytes : value;
	return 0;
}

int
mhp_blocks_next(const char **at, uint64_t block_bytes, uint32_t nr_blocks,
		struct mhp_blocks *ret_run)
{
	uint64_t first, last;
	const char *text = *at;
	bool address = is_hex(text);
	if (*text == 0)
		return 0;
	if (scan_block(&text, false, block_bytes, &first) != 0)
		return MHP_EINVAL;
	last = first;
	if (*text == '-') {
		text++;
		if (is_hex(text) != address || scan_block(&text, true, block_bytes, &last) != 0)
			return MHP_EINVAL;
	}
	if (last < first || last >= nr_blocks)
		return MHP_EINVAL;
	if (*text == ',' && text[1] != 0)
		text++;
	else if (*text != 0)
		return MHP_EINVAL;
	*ret_run = (struct mhp_blocks){ (uint32_t)first, (uint32_t)(last - first + 1) };
	*at = text;
	return 1;
}
