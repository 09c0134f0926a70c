/* SPDX-License-Identifier: Apache-2.0 */
/* An argument vector under construction: bounded, owned strings, and a sticky failure, so that a
 * builder reads as straight lines and asks args_ok() once. */
#ifndef LAUNCHER_ARGS_H
#define LAUNCHER_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#define ARGS_MAX 512

struct args {
	char *items[ARGS_MAX + 1]; /* owned; NULL-terminated: fit for exec */
	size_t count;
	bool failed; /* out of memory, or more than ARGS_MAX */
};

/* Appends one argument. */
void args_add(struct args *args, const char *text);
void args_addf(struct args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends text to the last argument: as it is, or with its commas doubled, as a value in one of
 * QEMU's "key=value,key=value" options must be. */
void args_append(struct args *args, const char *text);
void args_append_value(struct args *args, const char *text);

static inline bool args_ok(const struct args *args)
{
	return !args->failed;
}

/* The vector as one line that a POSIX shell reads back as the same arguments; owned by the caller.
 * NULL without memory. */
char *args_shell_line(const struct args *args);
void args_clear(struct args *args);

#endif
