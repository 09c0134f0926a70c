/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts the connections that become links: see link_listener.h. */
#include "netstack/link_listener.h"

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
#include "netstack/link_packet.h"

LOG_MODULE("link");

#define ACCEPTS_PER_ROUND 16
#define ACCEPT_RETRY_MS   1000
#define LISTEN_BACKLOG    64

struct link_listener {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *retry; /* after descriptors ran out */
	struct link_listener_conf conf;
	unsigned accepted;
	char name[LINK_PLACE_MAX];
	char path[SOCK_PATH_MAX]; /* to unlink; empty: none */
};

static void accept_one(struct link_listener *listener, int fd)
{
	char name[LINK_NAME_MAX];
	int status;

	snprintf(name, sizeof(name), "%s #%u", listener->name, ++listener->accepted);
	status = listener->conf.accepted(listener->conf.arg, listener->loop, fd, name);
	if (status < 0)
		log_limited(LOG_LEVEL_ERROR, "%s: can't serve a connection: %s", listener->name,
			    strerror(-status));
}

static void on_connection(void *arg, int listen_fd, unsigned ready)
{
	struct link_listener *listener = arg;

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
	struct link_listener *listener = arg;

	loop_fd_set(listener->watch, LOOP_READ);
}

/* Takes fd over, also on failure. `path`: to be removed at the end, or NULL. */
static int listener_new(struct loop *loop, int fd, const char *path, const char *name,
			const struct link_listener_conf *conf, struct link_listener **ret_listener)
{
	struct link_listener *listener = calloc(1, sizeof(*listener));
	int status;

	if (!listener) {
		fd_close(&fd);
		if (path)
			unlink(path);
		return -ENOMEM;
	}
	listener->loop = loop;
	listener->fd = fd;
	listener->conf = *conf;
	snprintf(listener->name, sizeof(listener->name), "%s", name);
	snprintf(listener->path, sizeof(listener->path), "%s", path ? path : "");
	status = loop_timer_new(loop, accept_again, listener, &listener->retry);
	if (status == 0)
		status = loop_fd_new(loop, fd, LOOP_READ, on_connection, listener,
				     &listener->watch);
	if (status < 0) {
		link_listener_free(listener);
		return status;
	}
	*ret_listener = listener;
	return 0;
}

int link_listen_unix(struct loop *loop, const char *path, int type,
		     const struct link_listener_conf *conf, struct link_listener **ret_listener)
{
	char name[LINK_NAME_MAX];
	int fd, status = sock_listen_unix(path, type, &fd);

	if (status < 0)
		return status;
	snprintf(name, sizeof(name), "%s:%s", conf->kind, path);
	return listener_new(loop, fd, path, name, conf, ret_listener);
}

void link_keep_alive(int fd)
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

int link_listen_tcp(struct loop *loop, const struct endpoint *at,
		    const struct link_listener_conf *conf, struct link_listener **ret_listener)
{
	char text[ENDPOINT_TEXT_MAX], name[LINK_NAME_MAX];
	struct endpoint bound;
	int fd, status = sock_listen_tcp(at, LISTEN_BACKLOG, &fd, &bound);

	if (status < 0)
		return status;
	link_keep_alive(fd);
	snprintf(name, sizeof(name), "%s:tcp:%s", conf->kind, endpoint_format(&bound, text));
	return listener_new(loop, fd, NULL, name, conf, ret_listener);
}

/* ---- The kinds that are nothing but framing ---- */

static int qemu_accepted(void *arg, struct loop *loop, int fd, const char *name)
{
	return link_framed_open(loop, fd, FRAMING_QEMU, NULL, 0, name, arg);
}

int link_listen_qemu_unix(struct loop *loop, const char *path, const struct link_sink *sink,
			  struct link_listener **ret_listener)
{
	struct link_listener_conf conf = {"qemu", qemu_accepted, (void *)(uintptr_t)sink};

	return link_listen_unix(loop, path, SOCK_STREAM, &conf, ret_listener);
}

int link_listen_qemu_tcp(struct loop *loop, const struct endpoint *at, const struct link_sink *sink,
			 struct link_listener **ret_listener)
{
	struct link_listener_conf conf = {"qemu", qemu_accepted, (void *)(uintptr_t)sink};

	return link_listen_tcp(loop, at, &conf, ret_listener);
}

static int bess_accepted(void *arg, struct loop *loop, int fd, const char *name)
{
	return link_packet_open(loop, fd, name, arg);
}

int link_listen_bess(struct loop *loop, const char *path, const struct link_sink *sink,
		     struct link_listener **ret_listener)
{
	struct link_listener_conf conf = {"bess", bess_accepted, (void *)(uintptr_t)sink};

	return link_listen_unix(loop, path, SOCK_SEQPACKET, &conf, ret_listener);
}

void link_listener_free(struct link_listener *listener)
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
