/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a corpus through a fuzz target, in builds without libFuzzer: every file of every
 * directory (or every file) named on the command line, in the order of their names.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0;

	if (!file) {
		perror(path);
		return -1;
	}
	for (;;) {
		data = realloc(data, size + 4096);
		if (!data)
			abort();
		size_t got = fread(data + size, 1, 4096, file);
		size += got;
		if (got < 4096)
			break;
	}
	fclose(file);
	/* An allocation of the exact size lets the address sanitizer see a read past the end. */
	uint8_t *exact = malloc(size ? size : 1);
	if (!exact)
		abort();
	memcpy(exact, data, size);
	free(data);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return 0;
}

static int replay(const char *path)
{
	struct stat st;
	struct dirent **entries;
	int failed = 0;

	if (stat(path, &st) < 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path) < 0 ? -1 : 1;
	int count = scandir(path, &entries, NULL, alphasort);
	int replayed = 0;
	for (int i = 0; i < count; i++) {
		char name[4096];

		if (entries[i]->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
			if (replay_file(name) < 0)
				failed = 1;
			else
				replayed++;
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return failed ? -1 : replayed;
}

int main(int argc, char **argv)
{
	int replayed = 0;

	for (int i = 1; i < argc; i++) {
		int n = replay(argv[i]);

		if (n < 0)
			return 1;
		replayed += n;
	}
	if (replayed == 0) {
		fprintf(stderr, "%s: no inputs found: name corpus files or directories\n", argv[0]);
		return 1;
	}
	printf("%d inputs replayed\n", replayed);
	return 0;
}
