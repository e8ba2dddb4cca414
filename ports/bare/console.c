/* SPDX-License-Identifier: MIT */
/*
 * console.c - a small printf and line input over the machine's serial port (uart.h).
 *
 * Any CPU may print: a line of output is kept together by a lock, which also makes this usable
 * from a trap handler as long as that trap did not come out of say() itself. Must not know who
 * prints, and nothing of memory.
 */
#include "console.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

#include "cpu.h"
#include "uart.h"

static atomic_flag busy = ATOMIC_FLAG_INIT;
static size_t line_length;

static void
put(char c)
{
	if (c == '\n')
		put('\r');
	uart_put(c);
}

static void
put_number(uint64_t value, unsigned base, bool negative, unsigned width, char fill)
{
	char digits[24];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	if (negative)
		digits[n++] = '-';
	for (; width > n; width--)
		put(fill);
	while (n > 0)
		put(digits[--n]);
}

static void
put_text(const char *text, unsigned width)
{
	unsigned n = 0;

	for (; text[n] != '\0'; n++)
		put(text[n]);
	for (; n < width; n++)
		put(' ');
}

static void
put_signed(int64_t value, unsigned width)
{
	put_number(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, value < 0, width, ' ');
}

/* One conversion; format is after the '%'. Returns what follows it. */
static const char *
convert(const char *format, va_list *args)
{
	char fill = *format == '0' ? '0' : ' ';
	unsigned width = 0;
	bool wide = false;

	for (; *format >= '0' && *format <= '9'; format++)
		width = width * 10 + (unsigned)(*format - '0');
	for (; *format == 'l' || *format == 'z'; format++)
		wide = true;
	switch (*format) {
	case 's':
		put_text(va_arg(*args, const char *), width);
		break;
	case 'c':
		put((char)va_arg(*args, int));
		break;
	case 'd':
		put_signed(wide ? va_arg(*args, int64_t) : va_arg(*args, int), width);
		break;
	case 'u':
	case 'x':
		put_number(wide ? va_arg(*args, uint64_t) : va_arg(*args, unsigned),
			   *format == 'x' ? 16 : 10, false, width, fill);
		break;
	default:
		put(*format);
		break;
	}
	return format + 1;
}

void
say(const char *format, ...)
{
	va_list args;
	uint64_t flags = irq_save();

	while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		cpu_pause();
	va_start(args, format);
	while (*format != '\0') {
		if (*format == '%')
			format = convert(format + 1, &args);
		else
			put(*format++);
	}
	va_end(args);
	atomic_flag_clear_explicit(&busy, memory_order_release);
	irq_restore(flags);
}

bool
console_line(char *line, size_t size, bool echo)
{
	for (int c = uart_read(); c >= 0; c = uart_read()) {
		bool erase = c == '\b' || c == 0x7f;
		if (c == '\r' || c == '\n') {
			if (echo)
				put('\n');
			line[line_length] = '\0';
			line_length = 0;
			return true;
		}
		if (erase && line_length > 0) {
			line_length--;
			if (echo)
				put_text("\b \b", 0);
		} else if (!erase && line_length + 1 < size) {
			line[line_length++] = (char)c;
			if (echo)
				put((char)c);
		}
	}
	return false;
}
