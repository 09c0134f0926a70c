/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports on stream sockets, TCP and unix: clients are accepted and led to the guest; see
 * publish.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "forwarder/forwarder_private.h"
#include "forwarder/proxy_header.h"
#include "forwarder/publish_private.h"
#include "forwarder/publish_source.h"

LOG_MODULE("publish");

#define LISTEN_BACKLOG 1024
#define ACCEPTS_MAX    64 /* from one listener before others get their turn */
/* How long a listener rests when the host has no more fds. */
#define ACCEPT_PAUSE_MS 100

/* ---- Clients ---- */

static void on_opened(void *arg, bool accepted)
{
	struct forward *forward = arg;

	if (!accepted)
		forward->refused++;
}

static void on_closed(void *arg)
{
	struct forward *forward = arg;

	forward->active--;
	forward_unref(forward);
}

/* The header that tells of the client, if the forward wants one. */
static size_t proxy_header(const struct forward *forward, int fd, const struct endpoint *client,
			   uint8_t to[static PROXY_HEADER_MAX])
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	struct endpoint at = {0};

	if (!forward->spec.proxy_v2)
		return 0;
	/* Of a unix socket there is nothing to tell, nor when the client is gone already. */
	if (getsockname(fd, (struct sockaddr *)&sa, &size) == 0)
		(void)endpoint_from_sockaddr((struct sockaddr *)&sa, &at);
	return proxy_header_write(client, &at, false, to);
}

static int dial(struct forward *forward, int fd, const struct endpoint *client)
{
	struct publish *publish = forward->publish;
	struct stack *stack = forwarder_stack(publish->forwarder);
	uint8_t header[PROXY_HEADER_MAX];
	struct endpoint guest, from;
	struct addr hop;
	struct flow_tcp_inbound inbound = {
		.fd = fd,
		.from = &from,
		.guest = &guest,
		.preamble = header,
		.traffic = &forward->traffic,
		.opened = on_opened,
		.closed = on_closed,
		.arg = forward,
	};
	int r = forward_resolve(forward, client->addr.family, &guest, &hop);

	if (r < 0)
		return r;
	if (hop.family)
		inbound.hop = &hop;
	inbound.preamble_size = proxy_header(forward, fd, client, header);
	from = publish_source(stack_conf(stack), forward->spec.source, guest.addr.family, client);
	return flow_tcp_in(forwarder_tcp(publish->forwarder), stack, &inbound);
}

static void serve_client(struct forward *forward, int fd, const struct endpoint *client)
{
	struct linger abort_it = {.l_onoff = 1};
	int r;

	forward->connections++;
	forward->active++;
	forward->refs++;
	r = dial(forward, fd, client);
	if (r == 0)
		return;
	forward->refused++;
	on_closed(forward);
	log_limited(LOG_LEVEL_WARN, "a client of the published port %s was turned away: %s",
		    forward->spec.local_text,
		    r == -ENOENT ? "there is no guest of that name" : strerror(-r));
	/* As a guest that refuses: with a reset. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	fd_close(&fd);
}

/* ---- Listening ---- */

static void on_pause_over(void *arg)
{
	struct forward *forward = arg;

	loop_fd_set(forward->watch, LOOP_READ);
}

static void on_listener(void *arg, int fd, unsigned ready)
{
	struct forward *forward = arg;

	(void)ready;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct endpoint client = {0};
		int client_fd;
		int r = sock_accept(fd, &client_fd, &client);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			log_limited(LOG_LEVEL_ERROR, "published port %s can't accept: %s",
				    forward->spec.local_text, strerror(-r));
			loop_fd_set(forward->watch, 0);
			loop_timer_set(forward->pause, ACCEPT_PAUSE_MS);
			return;
		}
		serve_client(forward, client_fd, &client);
	}
}

static int listen_unix(struct forward *forward)
{
	struct stat st;
	int r = sock_listen_unix(forward->spec.local_text, SOCK_STREAM, &forward->listen_fd);

	if (r == -EEXIST)
		return -ENOTSOCK; /* -EEXIST is about forwards */
	if (r == 0 && lstat(forward->spec.local_text, &st) == 0) {
		forward->device = st.st_dev;
		forward->inode = st.st_ino;
	}
	return r;
}

int forward_listen(struct forward *forward)
{
	struct loop *loop = forward->publish->loop;
	int r;

	if (forward->spec.protocol == PUBLISH_UNIX)
		r = listen_unix(forward);
	else
		r = sock_listen_tcp(&forward->spec.local, LISTEN_BACKLOG, &forward->listen_fd,
				    &forward->bound);
	if (r == 0)
		r = loop_timer_new(loop, on_pause_over, forward, &forward->pause);
	if (r == 0)
		r = loop_fd_new(loop, forward->listen_fd, LOOP_READ, on_listener, forward,
				&forward->watch);
	return r;
}

void forward_unlisten(struct forward *forward)
{
	struct stat st;

	loop_fd_free(forward->watch);
	loop_timer_free(forward->pause);
	forward->watch = NULL;
	forward->pause = NULL;
	fd_close(&forward->listen_fd);
	/* The file may be somebody else's by now. */
	if (forward->inode && lstat(forward->spec.local_text, &st) == 0 &&
	    st.st_dev == forward->device && st.st_ino == forward->inode)
		unlink(forward->spec.local_text);
	forward->inode = 0;
}
