/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets of whole modules share. */
#ifndef TESTS_FUZZ_COMMON_FUZZ_H
#define TESTS_FUZZ_COMMON_FUZZ_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Holds in every build, as assert() doesn't. */
static inline void must(bool holds)
{
	if (!holds)
		abort();
}

/* How many descriptors are open, and one more or two, always as many: to see that none is left. */
static inline unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	must(dir != NULL);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

#endif
