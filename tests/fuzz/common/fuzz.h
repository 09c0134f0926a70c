/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets of whole modules share. */
#ifndef TESTS_FUZZ_COMMON_FUZZ_H
#define TESTS_FUZZ_COMMON_FUZZ_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a path of a file in fuzz_directory() takes up, with a short name. */
#define FUZZ_PATH_MAX 64

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

static char fuzz_directory_path[32];

static inline void fuzz_directory_remove(void)
{
	DIR *dir = opendir(fuzz_directory_path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(fuzz_directory_path);
}

/* A directory of this process's, made at the first call and removed with its files at the end; in
 * memory where there is such a place, as a fuzzer writes files all the time. */
static inline const char *fuzz_directory(void)
{
	if (!fuzz_directory_path[0]) {
		snprintf(fuzz_directory_path, sizeof(fuzz_directory_path), "%s/np-fuzz-XXXXXX",
			 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		must(mkdtemp(fuzz_directory_path) != NULL);
		atexit(fuzz_directory_remove);
	}
	return fuzz_directory_path;
}

#endif
