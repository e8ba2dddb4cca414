/* SPDX-License-Identifier: MIT */
/*
 * string.h - bytes and text. The first five are the machine's own (its string.c), the rest
 * is in text.c.
 */
#ifndef SUITE_STRING_H
#define SUITE_STRING_H

#include <stddef.h>

void *memcpy(void *dst, const void *src, size_t size);
void *memmove(void *dst, const void *src, size_t size);
void *memset(void *dst, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
void *memchr(const void *at, int byte, size_t size);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);
char *strstr(const char *text, const char *words);
char *strerror(int error);
char *strsignal(int number);

#endif
