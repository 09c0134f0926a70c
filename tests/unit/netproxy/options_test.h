/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the options share: reading a command line. */
#ifndef TESTS_UNIT_NETPROXY_OPTIONS_TEST_H
#define TESTS_UNIT_NETPROXY_OPTIONS_TEST_H

#include <stdlib.h>
#include <string.h>

#include "netproxy/options.h"
#include "unit.h"

#define ARGS_MAX 24

static char error[OPTIONS_ERROR_MAX];
static struct options options;

/* Reads a command line of words with a space between them. */
static inline enum options_result parse(const char *line)
{
	char *argv[ARGS_MAX + 1] = {(char *)"netproxy"};
	char *copy = strdup(line), *rest = copy, *word;
	int argc = 1;

	while ((word = strsep(&rest, " ")) && argc < ARGS_MAX)
		argv[argc++] = word;
	error[0] = '\0';
	enum options_result result = options_parse(argc, argv, &options, error);
	free(copy);
	return result;
}

static inline void teardown(void)
{
	options_free(&options);
}

#endif
