/* SPDX-License-Identifier: Apache-2.0 */
/* A small file of the host's that may change while we run (resolv.conf, hosts): looked at when a
 * query needs it, and at most once in DNS_FILE_CHECK_MS, so that an idle process never wakes for
 * it. */
#ifndef DNS_DNS_FILE_H
#define DNS_DNS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define DNS_FILE_CHECK_MS 1000

struct dns_file {
	char *path;
	size_t size_max; /* of what is read; more is cut off at the last whole line */
	bool was_checked;
	bool exists;
	uint64_t checked_ms;
	struct stat seen; /* what the file was when it was read */
};

/* Returns 0 or -ENOMEM. */
int dns_file_init(struct dns_file *file, const char *path, size_t size_max);
void dns_file_destroy(struct dns_file *file);
/*
 * Returns 1 with the owned, NUL-terminated text in *ret_text when the file is another one than last
 * time (a file that is not there, or can't be read, counts as an empty one); 0 when it is the same
 * or it isn't time to look yet; -ENOMEM.
 */
int dns_file_poll(struct dns_file *file, uint64_t now_ms, char **ret_text);

#endif
