/* SPDX-License-Identifier: MIT */
/*
 * out.c - write JSON to a client, piece by piece, without malloc.
 *
 * Pieces are short: each fits what is kept free at the end of the buffer (out_args()), and longer
 * answers are sent as it fills. Once the client has gone, `broken` is set and writing does nothing,
 * so that callers need not look after each piece; those with long answers look, to end early.
 *
 * Text of others (names, paths, what an owner describes) goes through mhp__out_string() only: it
 * lets through valid UTF-8 and escapes the rest, so that a client always reads JSON.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "server.h"

void
mhp__out_flush(struct mhp__out *out)
{
	size_t sent = 0;
	while (sent < out->used && !out->broken) {
		ssize_t got = send(out->fd, out->text + sent, out->used - sent, MSG_NOSIGNAL);
		if (got <= 0)
			out->broken = true;
		else
			sent += (size_t)got;
	}
	out->used = 0;
}

static void
out_args(struct mhp__out *out, const char *format, va_list args)
{
	if (out->used > sizeof(out->text) - 1024)
		mhp__out_flush(out);
	int length = vsnprintf(out->text + out->used, sizeof(out->text) - out->used, format, args);
	if (length > 0)
		out->used += (size_t)length < sizeof(out->text) - out->used
			? (size_t)length : sizeof(out->text) - out->used - 1;
}

void
mhp__out(struct mhp__out *out, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	out_args(out, format, args);
	va_end(args);
}

/* Bytes of a character in UTF-8; 0: it is none. */
static unsigned
utf8_length(const unsigned char *text)
{
	unsigned length = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
	if (text[0] >= 0x80 && (text[0] < 0xc2 || text[0] > 0xf4))
		return 0;
	for (unsigned i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than needed, a surrogate, or beyond the last character. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90))
		return 0;
	return length;
}

void
mhp__out_string(struct mhp__out *out, const char *before, const char *name, const char *text)
{
	mhp__out(out, "%s\"%s\":\"", before, name);
	while (*text != 0) {
		unsigned char c = (unsigned char)*text;
		unsigned length = utf8_length((const unsigned char *)text);
		if (c == '"' || c == '\\')
			mhp__out(out, "\\%c", c);
		else if (c < ' ' || c == 127 || length == 0)
			mhp__out(out, "\\u%04x", c);
		else
			mhp__out(out, "%.*s", (int)length, text);
		text += length != 0 ? length : 1;
	}
	mhp__out(out, "\"");
}

void
mhp__out_error(struct mhp__out *out, int code, const char *format, ...)
{
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	mhp__out(out, "{\"error\":%d", code);
	mhp__out_string(out, ",", "text", text);
	mhp__out(out, "}\n");
}

bool
mhp__client_gone(int fd)
{
	struct pollfd client = { .fd = fd };
	return poll(&client, 1, 0) == 1 && (client.revents & (POLLHUP | POLLERR)) != 0;
}
