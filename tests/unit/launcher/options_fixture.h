/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the command line share: files to name, and words to take. */
#ifndef TESTS_UNIT_LAUNCHER_OPTIONS_FIXTURE_H
#define TESTS_UNIT_LAUNCHER_OPTIONS_FIXTURE_H

#include <stddef.h>

#include "launcher/options.h"

/* Where everything else is right. */
#define OK "-kernel kernel -initrd initrd -qemu /bin/true -netproxy /bin/true "

void fixture_put(const char *name, const char *content, size_t size);
/* The files that the tables name, in a directory that is the current one. */
void fixture_setup(void);
void fixture_teardown(void);
/* Parses `line`, cut at blanks ('~' stands for a blank within a word), and completes it. */
int fixture_take(const char *line, struct run_options *options, struct problem *problem);

#endif
