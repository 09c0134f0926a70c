/* SPDX-License-Identifier: Apache-2.0 */
/* Connects to QEMUs that listen: see link_connector.h. */
#include "netstack/link_connector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/sock.h"
#include "netstack/link_framed.h"
#include "netstack/link_listener.h"

LOG_MODULE("link");

/* It waits for the timer, for the connection to be made, or for the link to end. */
struct link_connector {
	struct loop *loop;
	struct endpoint at;
	char path[SOCK_PATH_MAX]; /* "": TCP */
	const struct link_sink *sink;
	struct loop_timer *retry;
	int fd; /* being connected; -1: none */
	struct loop_fd *watch;
	struct link *link; /* NULL: none */
	unsigned connected;
	bool complained; /* since it was connected last */
	char name[LINK_PLACE_MAX];
};

static void connect_later(struct link_connector *connector, int status)
{
	loop_fd_free(connector->watch);
	connector->watch = NULL;
	fd_close(&connector->fd);
	if (status < 0 && !connector->complained) {
		log_info("%s: not connected: %s: trying again every second", connector->name,
			 strerror(-status));
		connector->complained = true;
	}
	loop_timer_set(connector->retry, LINK_CONNECT_RETRY_MS);
}

static void on_link_ended(void *arg)
{
	struct link_connector *connector = arg;

	connector->link = NULL;
	connect_later(connector, 0);
}

static void make_link(struct link_connector *connector)
{
	char name[LINK_NAME_MAX];
	struct link_framed_conf conf = {
		.framing = FRAMING_QEMU,
		.name = name,
		.fd = connector->fd,
		.out_fd = -1,
	};
	struct link *link;
	int status;

	loop_fd_free(connector->watch);
	connector->watch = NULL;
	connector->fd = -1;
	if (!connector->path[0])
		link_keep_alive(conf.fd);
	snprintf(name, sizeof(name), "%s #%u", connector->name, ++connector->connected);
	status = link_framed_new(connector->loop, &conf, &link);
	if (status < 0) {
		connect_later(connector, status);
		return;
	}
	connector->complained = false;
	connector->link = link;
	link->ended = on_link_ended;
	link->ended_arg = connector;
	connector->sink->attached(connector->sink->arg, link);
}

static void on_connected(void *arg, int fd, unsigned ready)
{
	struct link_connector *connector = arg;
	socklen_t size = sizeof(int);
	int error = 0;

	(void)ready;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error)
		connect_later(connector, -error);
	else
		make_link(connector);
}

static int connect_tcp(const struct endpoint *at, int *ret_fd)
{
	struct sockaddr_storage to;
	socklen_t size = endpoint_to_sockaddr(at, &to);
	int fd = socket(at->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int status;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&to, size) < 0 && errno != EINPROGRESS) {
		status = -errno;
		fd_close(&fd);
		return status;
	}
	*ret_fd = fd;
	return 0;
}

static void connect_now(void *arg)
{
	struct link_connector *connector = arg;
	int status = connector->path[0]
			     ? sock_connect_unix(connector->path, SOCK_STREAM, &connector->fd)
			     : connect_tcp(&connector->at, &connector->fd);

	if (status == 0)
		status = loop_fd_new(connector->loop, connector->fd, LOOP_WRITE, on_connected,
				     connector, &connector->watch);
	if (status < 0)
		connect_later(connector, status);
}

int link_connector_new(struct loop *loop, const char *path, const struct endpoint *at,
		       const struct link_sink *sink, struct link_connector **ret_connector)
{
	struct link_connector *connector;
	char text[ENDPOINT_TEXT_MAX];
	int status;

	if (path && strlen(path) >= SOCK_PATH_MAX)
		return -ENAMETOOLONG;
	connector = calloc(1, sizeof(*connector));
	if (!connector)
		return -ENOMEM;
	connector->loop = loop;
	connector->sink = sink;
	connector->fd = -1;
	if (path)
		strcpy(connector->path, path);
	else
		connector->at = *at;
	snprintf(connector->name, sizeof(connector->name), "qemu:connect:%s%s",
		 path ? "" : "tcp:", path ? path : endpoint_format(at, text));
	status = loop_timer_new(loop, connect_now, connector, &connector->retry);
	if (status < 0) {
		free(connector);
		return status;
	}
	connect_now(connector);
	*ret_connector = connector;
	return 0;
}

void link_connector_free(struct link_connector *connector)
{
	if (!connector)
		return;
	if (connector->link)
		connector->link->ended = NULL;
	loop_timer_free(connector->retry);
	loop_fd_free(connector->watch);
	fd_close(&connector->fd);
	free(connector);
}
