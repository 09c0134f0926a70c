/* SPDX-License-Identifier: Apache-2.0 */
/* Notices that one of the host's files changed, and reads it. */
#include "dns/dns_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int dns_file_init(struct dns_file *file, const char *path, size_t size_max)
{
	*file = (struct dns_file){.path = strdup(path), .size_max = size_max};
	return file->path ? 0 : -ENOMEM;
}

void dns_file_destroy(struct dns_file *file)
{
	free(file->path);
	file->path = NULL;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

/* Up to `size_max` bytes of the file. A line that was cut is dropped: half an address may be
 * another one. */
static int read_text(int fd, size_t size_max, char **ret_text)
{
	char *text = malloc(size_max + 1);
	size_t size = 0;

	if (!text)
		return -ENOMEM;
	while (size < size_max) {
		ssize_t n = read(fd, text + size, size_max - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	if (size == size_max) {
		while (size > 0 && text[size - 1] != '\n')
			size--;
	}
	text[size] = '\0';
	/* size_max is generous; most files are not. */
	char *fitted = realloc(text, size + 1);
	*ret_text = fitted ? fitted : text;
	return 0;
}

int dns_file_poll(struct dns_file *file, uint64_t now_ms, char **ret_text)
{
	struct stat st = {0};
	bool exists;
	int r;

	if (file->was_checked && now_ms - file->checked_ms < DNS_FILE_CHECK_MS)
		return 0;
	exists = stat(file->path, &st) == 0 && S_ISREG(st.st_mode);
	if (file->was_checked && exists == file->exists && (!exists || is_same(&st, &file->seen))) {
		file->checked_ms = now_ms;
		return 0;
	}

	/* Non-blocking: the path may have become a FIFO meanwhile. */
	int fd = exists ? open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (fd >= 0) {
		/* Taken before reading: a change while we read is then seen at the next look. */
		if (fstat(fd, &st) < 0)
			st = (struct stat){0};
		r = read_text(fd, file->size_max, ret_text);
		close(fd);
	} else {
		*ret_text = strdup("");
		r = *ret_text ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	file->was_checked = true;
	file->checked_ms = now_ms;
	file->exists = exists;
	file->seen = st;
	return 1;
}
