/* SPDX-License-Identifier: Apache-2.0 */
/* Small things about texts that several folders need. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>

/* The value of a hexadecimal digit of either case, or -1. */
static inline int text_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Writes what is wrong, cut to `size`, and returns `code`: for the last line of a check. */
int text_fail(char *error, size_t size, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
