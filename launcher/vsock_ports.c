/* SPDX-License-Identifier: Apache-2.0 */
/* See vsock_ports.h. */
#include "launcher/vsock_ports.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "launcher/machine.h"

LOG_MODULE("vsock");

#define ACCEPTS_PER_ROUND 16
#define ANSWER_MAX        32 /* "OK 4294967295\n" has 14 bytes */

/* One direction: bytes read from one end and not written to the other yet. */
struct way {
	char data[VSOCK_PORTS_BUFFER];
	size_t start, end;
	bool ended, end_passed; /* nothing more comes; and the other side was told */
};

struct side {
	int fd;
	struct loop_fd *watch;
};

struct relay {
	struct list link;
	struct vsock_ports *ports;
	struct side client, guest; /* who connected here, and netproxy's vsock socket */
	struct way to_guest, to_client;
	char answer[ANSWER_MAX];
	size_t answer_size;
	bool open; /* the guest has taken the connection */
};

struct listener {
	struct vsock_ports *ports;
	uint32_t port;
	int fd;
	struct loop_fd *watch;
	char path[SOCK_PATH_MAX], link[SOCK_PATH_MAX];
};

struct vsock_ports {
	struct loop *loop;
	char connect_path[SOCK_PATH_MAX];
	struct list relays;
	size_t relay_count;
	struct listener listeners[MACHINE_VSOCK_PORTS_MAX];
	size_t count;
};

int vsock_ports_answer(const char *line, size_t size)
{
	static const char word[] = "OK ";
	size_t compared = size < sizeof(word) - 1 ? size : sizeof(word) - 1;

	if (memcmp(line, word, compared) != 0)
		return -EPROTO;
	if (size > 0 && line[size - 1] == '\n')
		return size > sizeof(word) ? 1 : -EPROTO;
	return size < ANSWER_MAX ? 0 : -EPROTO;
}

static void relay_free(struct relay *r)
{
	loop_fd_free(r->client.watch);
	loop_fd_free(r->guest.watch);
	fd_close(&r->client.fd);
	fd_close(&r->guest.fd);
	list_remove(&r->link);
	r->ports->relay_count--;
	free(r);
}

static void way_write(struct way *way, int to, int *ret_error)
{
	while (way->start < way->end) {
		ssize_t n = send(to, way->data + way->start, way->end - way->start,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			*ret_error = -errno;
			return;
		}
		way->start += (size_t)n;
	}
	way->start = way->end = 0;
	if (way->ended && !way->end_passed) {
		way->end_passed = true;
		shutdown(to, SHUT_WR);
	}
}

static void way_read(struct way *way, int from, int *ret_error)
{
	ssize_t n;

	if (way->ended || way->end > 0)
		return;
	n = recv(from, way->data, sizeof(way->data), MSG_DONTWAIT);
	if (n > 0)
		way->end = (size_t)n;
	else if (n == 0)
		way->ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		*ret_error = -errno;
}

static unsigned wanted(const struct way *in, const struct way *out)
{
	return (!in->ended && in->end == 0 ? LOOP_READ : 0) | (out->end > 0 ? LOOP_WRITE : 0);
}

/* Carries what can be carried, and waits for the rest. */
static void relay_go_on(struct relay *r)
{
	int error = 0;

	way_read(&r->to_guest, r->client.fd, &error);
	way_write(&r->to_guest, r->guest.fd, &error);
	way_read(&r->to_client, r->guest.fd, &error);
	way_write(&r->to_client, r->client.fd, &error);
	if (error == 0 && !(r->to_guest.end_passed && r->to_client.end_passed))
		error = loop_fd_set(r->client.watch, wanted(&r->to_guest, &r->to_client));
	else
		error = -EPIPE;
	if (error == 0)
		error = loop_fd_set(r->guest.watch, wanted(&r->to_client, &r->to_guest));
	if (error < 0)
		relay_free(r);
}

/* Reads the device's answer byte by byte, as the guest's first words may follow at once. */
static void read_answer(struct relay *r)
{
	int result = 0;

	while (result == 0) {
		ssize_t n = recv(r->guest.fd, r->answer + r->answer_size, 1, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0)
			break;
		r->answer_size++;
		result = vsock_ports_answer(r->answer, r->answer_size);
	}
	/* Nobody listens in the guest, or it doesn't run: the client sees the end. */
	if (result <= 0) {
		relay_free(r);
		return;
	}
	r->open = true;
	relay_go_on(r);
}

static void on_relay(void *arg, int fd, unsigned ready)
{
	struct relay *r = arg;

	(void)ready;
	if (r->open)
		relay_go_on(r);
	else if (fd == r->guest.fd)
		read_answer(r);
}

/* Connects to the device and asks for the port; a request fits any socket's buffer. */
static int relay_ask(struct relay *r, uint32_t port)
{
	char request[32];
	int size = snprintf(request, sizeof(request), "CONNECT %u\n", port);
	int result = sock_connect_unix(r->ports->connect_path, SOCK_STREAM, &r->guest.fd);

	if (result == 0 && send(r->guest.fd, request, (size_t)size, MSG_NOSIGNAL) != size)
		result = -EIO;
	if (result == 0)
		result = loop_fd_new(r->ports->loop, r->guest.fd, LOOP_READ, on_relay, r,
				     &r->guest.watch);
	if (result == 0)
		result = loop_fd_new(r->ports->loop, r->client.fd, 0, on_relay, r,
				     &r->client.watch);
	return result;
}

/* Takes fd. */
static void relay_new(struct listener *l, int fd)
{
	struct relay *r = NULL;
	int result = -EMFILE;

	if (l->ports->relay_count < VSOCK_PORTS_CONNECTIONS)
		r = calloc(1, sizeof(*r));
	if (!r) {
		log_limited(LOG_LEVEL_WARN, "%s: a connection was refused: there are %d already",
			    l->path, VSOCK_PORTS_CONNECTIONS);
		fd_close(&fd);
		return;
	}
	r->ports = l->ports;
	r->client.fd = fd;
	r->guest.fd = -1;
	list_add_tail(&l->ports->relays, &r->link);
	l->ports->relay_count++;
	result = relay_ask(r, l->port);
	if (result < 0) {
		log_limited(LOG_LEVEL_WARN, "%s: a connection was refused: %s", l->path,
			    strerror(-result));
		relay_free(r);
	}
}

static void on_connection(void *arg, int listen_fd, unsigned ready)
{
	struct listener *l = arg;

	(void)ready;
	for (unsigned i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int fd;

		if (sock_accept(listen_fd, &fd, NULL) < 0)
			return;
		relay_new(l, fd);
	}
}

/* The device looks for the host's program at its own name for the port. */
static int make_link(struct listener *l, const char *dir, const char *device)
{
	char target[32];

	snprintf(target, sizeof(target), VSOCK_PORTS_HOST, l->port);
	if (snprintf(l->link, sizeof(l->link), "%s/%s_%u", dir, device, l->port) >=
	    (int)sizeof(l->link)) {
		l->link[0] = '\0';
		return -ENAMETOOLONG;
	}
	if (symlink(target, l->link) == 0)
		return 0;
	if (errno == EEXIST && readlink(l->link, target, sizeof(target)) > 0)
		return 0;
	/* A program listens there under that name: that serves as well. */
	l->link[0] = '\0';
	return errno == EINVAL ? 0 : -errno;
}

static int listen_port(struct vsock_ports *p, const char *dir, const char *device, uint32_t port)
{
	struct listener *l = &p->listeners[p->count];
	int r = 0;

	*l = (struct listener){.ports = p, .port = port, .fd = -1};
	if (snprintf(l->path, sizeof(l->path), "%s/" VSOCK_PORTS_GUEST, dir, port) >=
	    (int)sizeof(l->path))
		return -ENAMETOOLONG;
	r = sock_listen_unix(l->path, SOCK_STREAM, &l->fd);
	if (r < 0)
		return r;
	p->count++;
	r = loop_fd_new(p->loop, l->fd, LOOP_READ, on_connection, l, &l->watch);
	return r < 0 ? r : make_link(l, dir, device);
}

int vsock_ports_new(struct loop *loop, const char *dir, const char *device, const uint32_t *ports,
		    size_t count, struct vsock_ports **ret_ports, struct problem *problem)
{
	struct vsock_ports *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return problem_set(problem, -ENOMEM, "out of memory");
	p->loop = loop;
	list_init(&p->relays);
	if (snprintf(p->connect_path, sizeof(p->connect_path), "%s/%s_connect", dir, device) >=
	    (int)sizeof(p->connect_path))
		r = problem_set(problem, -ENAMETOOLONG, "-vsock-ports: %s: the path is too long",
				dir);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = listen_port(p, dir, device, ports[i]);
		if (r < 0)
			problem_set(problem, r,
				    "-vsock-ports: can't listen at %s/" VSOCK_PORTS_GUEST ": %s",
				    dir, ports[i], strerror(-r));
	}
	if (r < 0) {
		vsock_ports_free(p);
		return r;
	}
	*ret_ports = p;
	return 0;
}

void vsock_ports_free(struct vsock_ports *ports)
{
	if (!ports)
		return;
	list_for_each_safe (link, &ports->relays)
		relay_free(container_of(link, struct relay, link));
	for (size_t i = 0; i < ports->count; i++) {
		struct listener *l = &ports->listeners[i];

		loop_fd_free(l->watch);
		fd_close(&l->fd);
		unlink(l->path);
		if (l->link[0])
			unlink(l->link);
	}
	free(ports);
}
