/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line flags in the style that users of LinuxKit and gvproxy type: -flag and --flag, a
 * value after a space or after '='. A command describes its flags in a table, which serves the
 * parser and the help.
 */
#ifndef LAUNCHER_FLAGS_H
#define LAUNCHER_FLAGS_H

#include <stddef.h>
#include <stdio.h>

#include "launcher/problem.h"

/* flags_parse() returns this when the help was asked for. */
#define FLAGS_HELP 1

struct flag {
	const char *name;       /* without dashes */
	const char *value_name; /* as the help shows the value; NULL: a switch, -flag or
				   -flag=true|false */
	const char *help;       /* sentences that explain it; wrapped when printed */
	/* Takes the value: "true" or "false" for a switch. Returns 0, or -errno with the problem
	 * set. */
	int (*set)(void *target, const char *value, struct problem *problem);
};

/*
 * Parses argv[1] onwards. Flags and other arguments may be mixed; after "--" everything is an
 * argument. A flag given again replaces or adds, as its set() decides. `argument` gets each
 * argument that isn't a flag. Returns 0, FLAGS_HELP, or -errno with the problem set.
 */
int flags_parse(const struct flag *flags, size_t count, int argc, char *const *argv, void *target,
		int (*argument)(void *target, const char *text, struct problem *problem),
		struct problem *problem);

/* Prints every flag with its explanation. */
void flags_print_help(const struct flag *flags, size_t count, FILE *to);

/* The flag that a mistyped name, of `size` bytes, most likely meant; NULL when none is near. */
const struct flag *flags_nearest(const struct flag *flags, size_t count, const char *name,
				 size_t size);

#endif
