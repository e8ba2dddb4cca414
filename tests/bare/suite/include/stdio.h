/* SPDX-License-Identifier: MIT */
/*
 * stdio.h - printing on the console, formatting into memory, and reading one file that is made up
 * (print.c). Every stream but that file is the console.
 */
#ifndef SUITE_STDIO_H
#define SUITE_STDIO_H

#include <stdarg.h>
#include <stddef.h>

typedef struct suite_file FILE;
extern FILE *const stdout, *const stderr;

int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int vprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
int fprintf(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
int vfprintf(FILE *file, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
int snprintf(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int vsnprintf(char *text, size_t size, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));
int fputs(const char *text, FILE *file);
int fputc(int c, FILE *file);
int putchar(int c);
int puts(const char *text);
int fflush(FILE *file);
/* "/proc/self/statm" only. */
FILE *fopen(const char *path, const char *mode);
int fscanf(FILE *file, const char *format, ...) __attribute__((format(scanf, 2, 3)));
int fclose(FILE *file);

#endif
