/* SPDX-License-Identifier: Apache-2.0 */
/* Relays to the loopback; see relay.h. */
#include "agent/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("relay");

#define BUFFER_SIZE 16384
#define BACKLOG     128

struct relay {
	struct list in_relays;
	struct relays *relays;
	struct endpoint to;
	struct endpoint at;
	int fd;
	uint32_t inode;
	struct loop_fd *watch;
};

struct relays {
	struct loop *loop;
	struct list all;
	unsigned count;
	struct list connections;
	unsigned connection_count;
};

/* One way through a connection. */
struct direction {
	size_t size; /* bytes that wait, ... */
	size_t sent; /* ... of which so many are written */
	bool ended;  /* there is nothing more to read */
	bool closed; /* and the other side knows */
	char data[BUFFER_SIZE];
};

struct connection {
	struct list in_relays;
	struct relays *relays;
	int fds[2]; /* the client's, the service's */
	struct loop_fd *watches[2];
	bool connecting;
	struct direction from[2]; /* from that one to the other */
};

/* ---- Connections ---- */

static void connection_free(struct connection *c)
{
	for (int i = 0; i < 2; i++) {
		loop_fd_free(c->watches[i]);
		fd_close(&c->fds[i]);
	}
	list_remove(&c->in_relays);
	c->relays->connection_count--;
	free(c);
}

/* Reads into an empty buffer. Returns 0 or -errno; -EAGAIN when nothing has come. */
static int fill(int fd, struct direction *d)
{
	ssize_t n = recv(fd, d->data, sizeof(d->data), 0);

	if (n < 0)
		return -errno;
	d->size = (size_t)n;
	d->sent = 0;
	d->ended = n == 0;
	return 0;
}

static int drain(int fd, struct direction *d)
{
	while (d->sent < d->size) {
		ssize_t n = send(fd, d->data + d->sent, d->size - d->sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EINTR ? 0 : -errno;
		d->sent += (size_t)n;
	}
	d->size = d->sent = 0;
	if (d->ended && !d->closed) {
		shutdown(fd, SHUT_WR);
		d->closed = true;
	}
	return 0;
}

/* Moves what can be moved that way, a bufferful at a time so that others have their turn. */
static int move(struct connection *c, int side)
{
	struct direction *d = &c->from[side];
	int r = drain(c->fds[!side], d);

	if (r == 0 && d->size == 0 && !d->ended) {
		r = fill(c->fds[side], d);
		if (r == 0)
			r = drain(c->fds[!side], d);
	}
	return r == -EAGAIN || r == -EINTR ? 0 : r;
}

static int watch(struct connection *c)
{
	int r = 0;

	for (int side = 0; r == 0 && side < 2; side++) {
		unsigned events = 0;

		if (!c->connecting && c->from[side].size == 0 && !c->from[side].ended)
			events |= LOOP_READ;
		if (c->from[!side].size > 0 || (c->connecting && side == 1))
			events |= LOOP_WRITE;
		r = loop_fd_set(c->watches[side], events);
	}
	return r;
}

static int finish_connect(struct connection *c)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(c->fds[1], SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	c->connecting = false;
	return -error;
}

/* So that the client sees a reset, as it would from the service itself. */
static void reset(struct connection *c)
{
	const struct linger linger = {.l_onoff = 1};

	setsockopt(c->fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	connection_free(c);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct connection *c = arg;
	int r = 0;

	if (c->connecting && fd == c->fds[1] && (ready & LOOP_WRITE))
		r = finish_connect(c);
	if (r == 0 && !c->connecting)
		r = move(c, 0);
	if (r == 0 && !c->connecting)
		r = move(c, 1);
	if (r == 0)
		r = watch(c);
	if (r < 0)
		reset(c);
	else if (c->from[0].closed && c->from[1].closed)
		connection_free(c);
}

static int connection_open(struct connection *c, const struct endpoint *to)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(to, &address);
	int r;

	c->fds[1] = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fds[1] < 0)
		return -errno;
	if (connect(c->fds[1], (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
		return -errno;
	c->connecting = true;
	r = loop_fd_new(c->relays->loop, c->fds[0], 0, on_ready, c, &c->watches[0]);
	if (r == 0)
		r = loop_fd_new(c->relays->loop, c->fds[1], LOOP_WRITE, on_ready, c,
				&c->watches[1]);
	return r;
}

static void on_accept(void *arg, int listen_fd, unsigned ready)
{
	struct relay *relay = arg;
	struct relays *relays = relay->relays;
	struct connection *c;
	int fd;

	(void)ready;
	if (sock_accept(listen_fd, &fd, NULL) < 0)
		return;
	c = relays->connection_count < RELAY_CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		log_limited(LOG_LEVEL_WARN, "too many connections: %u are relayed already",
			    relays->connection_count);
		fd_close(&fd);
		return;
	}
	c->relays = relays;
	c->fds[0] = fd;
	c->fds[1] = -1;
	list_add_tail(&relays->connections, &c->in_relays);
	relays->connection_count++;
	if (connection_open(c, &relay->to) < 0)
		reset(c);
}

/* ---- Relays ---- */

/* The address from which this machine speaks to others. */
static int own_address(struct addr *ret)
{
	struct endpoint elsewhere = {.addr = addr_from_v4(0xc0000201), .port = 9}; /* 192.0.2.1 */
	struct sockaddr_storage address;
	socklen_t size = endpoint_to_sockaddr(&elsewhere, &address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct endpoint own;
	int r = -EADDRNOTAVAIL;

	if (fd < 0)
		return -errno;
	/* Nothing is sent: it only chooses a route. */
	if (connect(fd, (struct sockaddr *)&address, size) == 0) {
		size = sizeof(address);
		if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
		    endpoint_from_sockaddr((struct sockaddr *)&address, &own) == 0 &&
		    !addr_is_any(&own.addr)) {
			*ret = own.addr;
			r = 0;
		}
	}
	fd_close(&fd);
	return r;
}

static void relay_free(struct relay *relay)
{
	loop_fd_free(relay->watch);
	fd_close(&relay->fd);
	list_remove(&relay->in_relays);
	relay->relays->count--;
	free(relay);
}

static struct relay *find(const struct relays *relays, uint16_t port)
{
	list_for_each (node, &relays->all) {
		struct relay *relay = container_of(node, struct relay, in_relays);

		if (relay->to.port == port)
			return relay;
	}
	return NULL;
}

static int relay_open(struct relay *relay)
{
	struct endpoint at = {0};
	struct stat st;
	int r = own_address(&at.addr);

	if (r == 0)
		r = sock_listen_tcp(&at, BACKLOG, &relay->fd, &relay->at);
	if (r == 0 && fstat(relay->fd, &st) < 0)
		r = -errno;
	if (r == 0) {
		relay->inode = (uint32_t)st.st_ino;
		r = loop_fd_new(relay->relays->loop, relay->fd, LOOP_READ, on_accept, relay,
				&relay->watch);
	}
	return r;
}

int relays_start(struct relays *relays, const struct endpoint *to, struct endpoint *ret_at)
{
	struct relay *relay = find(relays, to->port);
	int r;

	if (relay) {
		*ret_at = relay->at;
		return 0;
	}
	if (relays->count == RELAYS_MAX)
		return -ENOSPC;
	relay = calloc(1, sizeof(*relay));
	if (!relay)
		return -ENOMEM;
	relay->relays = relays;
	relay->to = *to;
	relay->fd = -1;
	list_add_tail(&relays->all, &relay->in_relays);
	relays->count++;
	r = relay_open(relay);
	if (r < 0)
		relay_free(relay);
	else
		*ret_at = relay->at;
	return r;
}

void relays_stop(struct relays *relays, uint16_t port)
{
	struct relay *relay = find(relays, port);

	if (relay)
		relay_free(relay);
}

void relays_stop_all(struct relays *relays)
{
	struct list *node;

	while ((node = list_first(&relays->all)))
		relay_free(container_of(node, struct relay, in_relays));
}

bool relays_own(const struct relays *relays, uint32_t inode)
{
	list_for_each (node, &relays->all) {
		if (container_of(node, struct relay, in_relays)->inode == inode)
			return true;
	}
	return false;
}

int relays_new(struct loop *loop, struct relays **ret_relays)
{
	struct relays *relays = calloc(1, sizeof(*relays));

	if (!relays)
		return -ENOMEM;
	relays->loop = loop;
	list_init(&relays->all);
	list_init(&relays->connections);
	*ret_relays = relays;
	return 0;
}

void relays_free(struct relays *relays)
{
	struct list *node;

	if (!relays)
		return;
	relays_stop_all(relays);
	while ((node = list_first(&relays->connections)))
		connection_free(container_of(node, struct connection, in_relays));
	free(relays);
}
