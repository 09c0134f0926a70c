/* SPDX-License-Identifier: Apache-2.0 */
/* Names that a guest chose, in log lines: each message must stay one line of printable text. */
#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

LOG_MODULE("fuzz");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What log_write() makes of `text`, taken from standard error. */
static size_t logged(const char *text, char *to, size_t to_size)
{
	int saved = dup(STDERR_FILENO);
	int fds[2];
	ssize_t got;

	/* Keeps lines apart, and takes each in whole. */
	assert(saved >= 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	dup2(fds[1], STDERR_FILENO);
	log_error("%s", text);
	dup2(saved, STDERR_FILENO);
	got = recv(fds[0], to, to_size, MSG_DONTWAIT);
	close(fds[0]);
	close(fds[1]);
	close(saved);
	assert(got > 0);
	return (size_t)got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[8192];
	char *text = malloc(size + 1);
	size_t line_size;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	log_set_levels(text);
	log_set_levels("info");
	line_size = logged(text, line, sizeof(line));
	assert(line[line_size - 1] == '\n');
	for (size_t i = 0; i + 1 < line_size; i++) {
		unsigned char c = (unsigned char)line[i];

		assert(c >= 0x20 && c != 0x7f);
		assert(c != 0xc2 || (unsigned char)line[i + 1] >= 0xa0);
	}
	free(text);
	return 0;
}
