/* SPDX-License-Identifier: MIT */
/*
 * text.c - sizes, times and sentences for people.
 *
 * The parser of sizes takes back everything that is printed here: a size that is copied from a
 * listing means what it was printed for. Sentences break between words where they are longer than a
 * line of the terminal; elsewhere, in a file or a pipe, each is one line.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

const char *
cli_size(uint64_t bytes)
{
	static char buffers[8][MHP_SIZE_TEXT];
	static unsigned next;
	char *text = buffers[next++ % 8];
	mhp_size_text(bytes, text);
	return text;
}

const char *
cli_duration(uint64_t ns)
{
	static char buffers[4][24];
	static unsigned next;
	char *text = buffers[next++ % 4];
	if (ns < 1000000)
		snprintf(text, sizeof(buffers[0]), "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, sizeof(buffers[0]), "%.1f ms", (double)ns / 1e6);
	else
		snprintf(text, sizeof(buffers[0]), "%.2f s", (double)ns / 1e9);
	return text;
}

unsigned
cli_columns(FILE *file)
{
	struct winsize size;
	int fd = fileno(file);
	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* How much of a text fits into so many columns: up to a blank, or a whole word that is too long. */
static size_t
fitting(const char *text, unsigned columns)
{
	size_t blank = 0, i = 0;
	for (unsigned nr = 0; text[i] != 0; i++) {
		if (text[i] == ' ')
			blank = i;
		nr += ((unsigned char)text[i] & 0xc0) != 0x80; /* the first byte of a character */
		if (nr > columns && blank != 0)
			return blank;
	}
	return i;
}

void
cli_sentence(FILE *file, const char *text)
{
	unsigned columns = cli_columns(file), indent = 0;
	while (*text != 0) {
		size_t length = columns > 2 * CLI_INDENT ? fitting(text, columns - indent)
							  : strlen(text);
		fprintf(file, "%*s%.*s\n", (int)indent, "", (int)length, text);
		text += length;
		text += *text == ' ';
		indent = CLI_INDENT;
	}
}

void
cli_say(const char *format, ...)
{
	char text[CLI_SENTENCE] = "memplug: ";
	size_t used = strlen(text);
	va_list args;
	va_start(args, format);
	vsnprintf(text + used, sizeof(text) - used, format, args);
	va_end(args);
	cli_sentence(stderr, text);
}
