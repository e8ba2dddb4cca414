/* SPDX-License-Identifier: MIT */
/*
 * print.c - the printf family, on the port's console and in memory, and one file to read.
 *
 * All formatting goes through one sink: text that goes to the console is collected in lines, text
 * for memory is cut at its end but counted in full. A child (test_signal_of) is silent.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "space.h"
#include "suite.h"

#define LINE_BYTES 512

struct suite_file {
	bool readable;
};

static FILE console, statm;
FILE *const stdout = &console, *const stderr = &console;

struct sink {
	char *text;                /* NULL: the console */
	size_t size, length;
};

/* How one conversion is to look. */
struct spec {
	bool left, zero, alternate, plus;
	int width, precision;      /* precision -1: none given */
	char size;                 /* 'l' for 64 bits, 'h', 'H' (hh), 0 */
};

static struct {
	char text[LINE_BYTES];
	size_t length;
	bool silent;
} line;

void
suite_silence(bool silent)
{
	line.silent = silent;
}

static void
flush_line(void)
{
	line.text[line.length] = '\0';
	if (!line.silent)
		suite_say(line.text);
	line.length = 0;
}

static void
put(struct sink *sink, char c)
{
	if (sink->text != NULL && sink->length + 1 < sink->size)
		sink->text[sink->length] = c;
	sink->length++;
	if (sink->text != NULL || sink->size != 0)
		return;
	line.text[line.length++] = c;
	if (c == '\n' || line.length == LINE_BYTES - 1)
		flush_line();
}

static void
put_filled(struct sink *sink, char c, int nr)
{
	for (; nr > 0; nr--)
		put(sink, c);
}

/* A prefix (sign, 0x), zeros, digits, in a field. */
static void
put_field(struct sink *sink, const struct spec *spec, const char *prefix, const char *digits,
	  int nr_digits, int nr_zeros)
{
	int nr = (int)strlen(prefix) + nr_digits + nr_zeros;
	bool zero = spec->zero && !spec->left;

	if (!spec->left && !zero)
		put_filled(sink, ' ', spec->width - nr);
	for (; *prefix != '\0'; prefix++)
		put(sink, *prefix);
	if (zero)
		put_filled(sink, '0', spec->width - nr);
	put_filled(sink, '0', nr_zeros);
	for (int i = 0; i < nr_digits; i++)
		put(sink, digits[i]);
	if (spec->left)
		put_filled(sink, ' ', spec->width - nr);
}

static void
put_number(struct sink *sink, struct spec spec, uint64_t value, unsigned base, const char *prefix)
{
	char digits[24];
	int at = (int)sizeof(digits);

	for (; value != 0; value /= base)
		digits[--at] = "0123456789abcdef"[value % base];
	if (at == (int)sizeof(digits) && spec.precision != 0)
		digits[--at] = '0';
	int nr = (int)sizeof(digits) - at;
	int nr_zeros = spec.precision > nr ? spec.precision - nr : 0;
	spec.zero = spec.zero && spec.precision < 0;
	put_field(sink, &spec, prefix, digits + at, nr, nr_zeros);
}

static void
put_text(struct sink *sink, struct spec spec, const char *text)
{
	int nr = 0;

	while (text[nr] != '\0' && (spec.precision < 0 || nr < spec.precision))
		nr++;
	spec.zero = false;
	put_field(sink, &spec, "", text, nr, 0);
}

/* Good for what tests print: times and rates. */
static void
put_real(struct sink *sink, const struct spec *spec, double value)
{
	int nr_places = spec->precision < 0 ? 6 : spec->precision;
	struct spec plain = { .precision = -1 };
	uint64_t unit = 1;

	for (int i = 0; i < nr_places; i++)
		unit *= 10;
	uint64_t all = (uint64_t)((value < 0 ? -value : value) * (double)unit + 0.5);
	put_number(sink, plain, all / unit, 10, value < 0 ? "-" : "");
	if (nr_places == 0)
		return;
	put(sink, '.');
	plain.precision = nr_places;
	put_number(sink, plain, all % unit, 10, "");
}

static const char *
read_spec(const char *format, struct spec *spec, va_list *args)
{
	*spec = (struct spec){ .precision = -1 };
	for (; *format != '\0' && memchr("-0#+ ", *format, 5) != NULL; format++) {
		spec->left |= *format == '-';
		spec->zero |= *format == '0';
		spec->alternate |= *format == '#';
		spec->plus |= *format == '+';
	}
	if (*format == '*') {
		spec->width = va_arg(*args, int);
		format++;
	}
	for (; *format >= '0' && *format <= '9'; format++)
		spec->width = spec->width * 10 + *format - '0';
	if (*format == '.') {
		spec->precision = 0;
		if (*++format == '*') {
			spec->precision = va_arg(*args, int);
			format++;
		}
	}
	for (; spec->precision >= 0 && *format >= '0' && *format <= '9'; format++)
		spec->precision = spec->precision * 10 + *format - '0';
	for (; *format != '\0' && memchr("hlzjt", *format, 5) != NULL; format++)
		spec->size = *format == 'h' ? (spec->size == 'h' ? 'H' : 'h') : 'l';
	return format;
}

static uint64_t
read_unsigned(const struct spec *spec, va_list *args)
{
	if (spec->size == 'l')
		return va_arg(*args, uint64_t);
	unsigned value = va_arg(*args, unsigned);
	return spec->size == 'h' ? (uint16_t)value : spec->size == 'H' ? (uint8_t)value : value;
}

static void
put_signed(struct sink *sink, const struct spec *spec, va_list *args)
{
	int64_t value = spec->size == 'l' ? va_arg(*args, int64_t) : va_arg(*args, int);
	uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	put_number(sink, *spec, size, 10, value < 0 ? "-" : spec->plus ? "+" : "");
}

static void
convert(struct sink *sink, const struct spec *spec, char kind, va_list *args)
{
	uint64_t value;

	switch (kind) {
	case 'd':
	case 'i':
		put_signed(sink, spec, args);
		break;
	case 'u':
		put_number(sink, *spec, read_unsigned(spec, args), 10, "");
		break;
	case 'x':
		value = read_unsigned(spec, args);
		put_number(sink, *spec, value, 16, spec->alternate && value != 0 ? "0x" : "");
		break;
	case 'p':
		put_number(sink, *spec, va_arg(*args, uint64_t), 16, "0x");
		break;
	case 's':
		put_text(sink, *spec, va_arg(*args, const char *));
		break;
	case 'c':
		put(sink, (char)va_arg(*args, int));
		break;
	case 'f':
		put_real(sink, spec, va_arg(*args, double));
		break;
	default:
		put(sink, kind);
		break;
	}
}

static int
format_to(struct sink *sink, const char *format, va_list args)
{
	va_list rest;

	va_copy(rest, args);
	while (*format != '\0') {
		struct spec spec;
		if (*format != '%') {
			put(sink, *format++);
			continue;
		}
		format = read_spec(format + 1, &spec, &rest);
		if (*format != '\0')
			convert(sink, &spec, *format++, &rest);
	}
	va_end(rest);
	return (int)sink->length;
}

int
vsnprintf(char *text, size_t size, const char *format, va_list args)
{
	char none[1];
	struct sink sink = { .text = size != 0 ? text : none, .size = size != 0 ? size : 1 };
	int length = format_to(&sink, format, args);

	sink.text[sink.length < sink.size ? sink.length : sink.size - 1] = '\0';
	return length;
}

int
snprintf(char *text, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vsnprintf(text, size, format, args);
	va_end(args);
	return length;
}

int
vprintf(const char *format, va_list args)
{
	struct sink sink = { .text = NULL };

	return format_to(&sink, format, args);
}

int
vfprintf(FILE *file, const char *format, va_list args)
{
	(void)file;
	return vprintf(format, args);
}

int
printf(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vprintf(format, args);
	va_end(args);
	return length;
}

int
fprintf(FILE *file, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vfprintf(file, format, args);
	va_end(args);
	return length;
}

int
putchar(int c)
{
	struct sink sink = { .text = NULL };

	put(&sink, (char)c);
	return c;
}

int
fputc(int c, FILE *file)
{
	(void)file;
	return putchar(c);
}

int
fputs(const char *text, FILE *file)
{
	return fprintf(file, "%s", text);
}

int
puts(const char *text)
{
	return printf("%s\n", text);
}

int
fflush(FILE *file)
{
	(void)file;
	flush_line();
	return 0;
}

/* ---- the made-up file ---- */

FILE *
fopen(const char *path, const char *mode)
{
	(void)mode;
	if (strcmp(path, "/proc/self/statm") != 0)
		return NULL;
	statm.readable = true;
	return &statm;
}

/* "%*u %llu": the size, which is nobody's business, and the pages that are there. */
int
fscanf(FILE *file, const char *format, ...)
{
	va_list args;

	if (strcmp(format, "%*u %llu") != 0 || !file->readable)
		return 0;
	va_start(args, format);
	*va_arg(args, unsigned long long *) = space_nr_resident();
	va_end(args);
	return 1;
}

int
fclose(FILE *file)
{
	file->readable = false;
	return 0;
}
