/* SPDX-License-Identifier: Apache-2.0 */
/* Clients for tests; see peer.h. */
#include "peer.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"

#define TIMEOUT_MS 20000

int peer_connect(const char *path)
{
	int fd;

	ck_assert_int_eq(sock_connect_unix(path, SOCK_STREAM, &fd), 0);
	return fd;
}

void peer_settle(struct loop *loop)
{
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(loop_run_once(loop, false), 0);
}

/* Lets the server work until `fd` is ready. */
static void wait_for(struct loop *loop, int fd, short events)
{
	uint64_t deadline_ms = clock_ms() + TIMEOUT_MS;
	struct pollfd poller = {.fd = fd, .events = events};

	for (;;) {
		ck_assert_int_eq(loop_run_once(loop, false), 0);
		if (poll(&poller, 1, 1) > 0)
			return;
		ck_assert_msg(clock_ms() < deadline_ms, "the server says nothing");
	}
}

bool peer_send(struct loop *loop, int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			wait_for(loop, fd, POLLOUT);
			continue;
		}
		if (n < 0)
			return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

/* Appends what comes. Returns 0 at the end of the stream. */
static ssize_t read_more(struct loop *loop, int fd, char **text, size_t *size)
{
	char chunk[65536];
	ssize_t n;

	wait_for(loop, fd, POLLIN);
	n = recv(fd, chunk, sizeof(chunk), 0);
	if (n < 0)
		n = 0; /* a reset is an end too */
	*text = realloc(*text, *size + (size_t)n + 1);
	ck_assert_ptr_nonnull(*text);
	memcpy(*text + *size, chunk, (size_t)n);
	*size += (size_t)n;
	(*text)[*size] = '\0';
	return n;
}

char *peer_read_all(struct loop *loop, int fd, size_t *ret_size)
{
	char *text = NULL;
	size_t size = 0;

	while (read_more(loop, fd, &text, &size) > 0)
		;
	close(fd);
	if (ret_size)
		*ret_size = size;
	return text;
}

char *peer_read_until(struct loop *loop, int fd, const char *end)
{
	char *text = NULL;
	size_t size = 0, end_size = strlen(end);

	do {
		ck_assert_msg(read_more(loop, fd, &text, &size) > 0, "ended after: %s", text);
	} while (size < end_size || strcmp(text + size - end_size, end) != 0);
	return text;
}

char *peer_exchange(struct loop *loop, const char *path, const char *data, size_t size)
{
	int fd = peer_connect(path);

	peer_send(loop, fd, data, size);
	shutdown(fd, SHUT_WR);
	return peer_read_all(loop, fd, NULL);
}
