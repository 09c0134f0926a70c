/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts the connections that become links of QEMUs: see link_stream.h. */
#include "netstack/link_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "netstack/link_framed.h"

LOG_MODULE("link");

#define ACCEPTS_PER_ROUND 16
#define ACCEPT_RETRY_MS   1000
#define LISTEN_BACKLOG    64

struct link_stream_listener {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *retry; /* after descriptors ran out */
	struct link_sink sink;
	unsigned accepted;
	char name[LINK_NAME_MAX - 14]; /* a whole path, and room for " #4294967295" behind it */
	char path[SOCK_PATH_MAX];      /* to unlink; empty: none */
};

static void accept_one(struct link_stream_listener *listener, int fd)
{
	char name[LINK_NAME_MAX];
	int status;

	snprintf(name, sizeof(name), "%s #%u", listener->name, ++listener->accepted);
	status = link_framed_open(listener->loop, fd, FRAMING_QEMU, NULL, 0, name, &listener->sink);
	if (status < 0)
		log_limited(LOG_LEVEL_ERROR, "%s: can't serve a connection: %s", listener->name,
			    strerror(-status));
}

static void on_connection(void *arg, int listen_fd, unsigned ready)
{
	struct link_stream_listener *listener = arg;

	(void)ready;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int fd, status = sock_accept(listen_fd, &fd, NULL);

		if (status == -EAGAIN)
			return;
		if (status < 0) {
			/* Out of descriptors or memory: the connection stays in the queue, and
			 * asking again at once would only burn CPU. */
			log_limited(LOG_LEVEL_ERROR, "%s: can't accept a connection: %s",
				    listener->name, strerror(-status));
			loop_fd_set(listener->watch, 0);
			loop_timer_set(listener->retry, ACCEPT_RETRY_MS);
			return;
		}
		accept_one(listener, fd);
	}
}

static void accept_again(void *arg)
{
	struct link_stream_listener *listener = arg;

	loop_fd_set(listener->watch, LOOP_READ);
}

/* Takes fd over, also on failure. `path`: to be removed at the end, or NULL. */
static int listener_new(struct loop *loop, int fd, const char *path, const char *name,
			const struct link_sink *sink, struct link_stream_listener **ret_listener)
{
	struct link_stream_listener *listener = calloc(1, sizeof(*listener));
	int status;

	if (!listener) {
		fd_close(&fd);
		return -ENOMEM;
	}
	listener->loop = loop;
	listener->fd = fd;
	listener->sink = *sink;
	snprintf(listener->name, sizeof(listener->name), "%s", name);
	snprintf(listener->path, sizeof(listener->path), "%s", path ? path : "");
	status = loop_timer_new(loop, accept_again, listener, &listener->retry);
	if (status == 0)
		status = loop_fd_new(loop, fd, LOOP_READ, on_connection, listener,
				     &listener->watch);
	if (status < 0) {
		link_stream_listener_free(listener);
		return status;
	}
	*ret_listener = listener;
	return 0;
}

int link_stream_listen_unix(struct loop *loop, const char *path, const struct link_sink *sink,
			    struct link_stream_listener **ret_listener)
{
	char name[LINK_NAME_MAX];
	int fd, status = sock_listen_unix(path, SOCK_STREAM, &fd);

	if (status < 0)
		return status;
	snprintf(name, sizeof(name), "qemu:%s", path);
	return listener_new(loop, fd, path, name, sink, ret_listener);
}

/* A peer whose machine has vanished shall be noticed, though nothing is sent to it: until its link
 * goes, nobody gets its guest's addresses (guard.h). What is accepted inherits this. */
static void keep_alive(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 15},
		{IPPROTO_TCP, TCP_KEEPINTVL, 5},
		{IPPROTO_TCP, TCP_KEEPCNT, 4},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value,
			   sizeof(options[i].value));
}

int link_stream_listen_tcp(struct loop *loop, const struct endpoint *at,
			   const struct link_sink *sink, struct link_stream_listener **ret_listener)
{
	char text[ENDPOINT_TEXT_MAX], name[LINK_NAME_MAX];
	struct endpoint bound;
	int fd, status = sock_listen_tcp(at, LISTEN_BACKLOG, &fd, &bound);

	if (status < 0)
		return status;
	keep_alive(fd);
	snprintf(name, sizeof(name), "qemu:tcp:%s", endpoint_format(&bound, text));
	return listener_new(loop, fd, NULL, name, sink, ret_listener);
}

void link_stream_listener_free(struct link_stream_listener *listener)
{
	if (!listener)
		return;
	loop_timer_free(listener->retry);
	loop_fd_free(listener->watch);
	fd_close(&listener->fd);
	if (listener->path[0])
		unlink(listener->path);
	free(listener);
}
