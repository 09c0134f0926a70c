/* SPDX-License-Identifier: Apache-2.0 */
/* See problem.h. */
#include "launcher/problem.h"

#include <stdarg.h>
#include <stdio.h>

int problem_set(struct problem *problem, int error, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(problem->text, sizeof(problem->text), format, list);
	va_end(list);
	return error;
}
