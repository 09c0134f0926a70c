/* SPDX-License-Identifier: Apache-2.0 */
/* Values as flags have them: texts, numbers, sizes. Messages name the flag and what would be right.
 */
#ifndef LAUNCHER_OPTION_VALUES_H
#define LAUNCHER_OPTION_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "launcher/problem.h"

#define DIGITS "0123456789"

/* Replaces *to by an owned copy of `value`, which may not be empty. Returns 0 or -errno with the
 * problem set. */
int option_text(char **to, const char *flag, const char *value, struct problem *problem);
/* A decimal number in that range. */
int option_number(unsigned *to, const char *flag, const char *value, unsigned min, unsigned max,
		  struct problem *problem);
/* A size of memory: whole mebibytes within a machine's bounds. */
int option_memory(uint64_t *to, const char *flag, const char *value, struct problem *problem);

/* "512", "512M", "2G": mebibytes, or with a suffix. Returns 0 or -EINVAL. */
int size_parse(const char *text, uint64_t *ret_bytes);

#endif
