/* SPDX-License-Identifier: Apache-2.0 */
/*
 * benchtool's relay: what any program in user space costs that passes connections on, without a
 * network stack and without frames. The most that a proxy can be expected to do on a machine.
 */
#include "bench_tool.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define PIECE_SIZE (256 * 1024)
#define EVENTS     (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* One end of a connection that is passed on, or a listener. */
struct end {
	int fd;
	struct sockaddr_in to; /* of a listener: where its connections lead */
	struct end *other;     /* NULL: a listener */
	bool eof;              /* no more comes from it */
	char *rest;            /* owned: what the other one didn't take yet, NULL: nothing */
	size_t rest_start;
	size_t rest_size;
	struct end *next_dead; /* freed after the round, whose events may name it still */
	bool dead;
};

struct relay {
	int epoll;
	struct end *dead;
	char piece[PIECE_SIZE];
};

static int watch(const struct relay *relay, struct end *end, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = end};

	return epoll_ctl(relay->epoll, EPOLL_CTL_ADD, end->fd, &event);
}

static void bury(struct relay *relay, struct end *end)
{
	close(end->fd);
	end->dead = true;
	end->next_dead = relay->dead;
	relay->dead = end;
}

static void end_pair(struct relay *relay, struct end *end)
{
	bury(relay, end->other);
	bury(relay, end);
}

static void free_dead(struct relay *relay)
{
	while (relay->dead) {
		struct end *end = relay->dead;

		relay->dead = end->next_dead;
		free(end->rest);
		free(end);
	}
}

static int send_all(int fd, const char *bytes, size_t size, size_t *ret_sent)
{
	ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	*ret_sent = n > 0 ? (size_t)n : 0;
	return n < 0 && errno != EAGAIN ? -errno : 0;
}

/* Keeps what the other end didn't take. */
static int keep_rest(struct end *end, const char *bytes, size_t size)
{
	end->rest = malloc(size);
	if (!end->rest)
		return -ENOMEM;
	memcpy(end->rest, bytes, size);
	end->rest_start = 0;
	end->rest_size = size;
	return 0;
}

/* Returns 0 when nothing is kept any more, -EAGAIN while there is something, another -errno when
 * the connection is broken. */
static int send_rest(struct end *end)
{
	size_t sent;
	int r;

	if (!end->rest)
		return 0;
	r = send_all(end->other->fd, end->rest + end->rest_start, end->rest_size, &sent);
	if (r < 0)
		return r;
	end->rest_start += sent;
	end->rest_size -= sent;
	if (end->rest_size)
		return -EAGAIN;
	free(end->rest);
	end->rest = NULL;
	return 0;
}

/* Moves what has come from an end to the other one. `closing`: the end of what it says may have
 * come with the bytes, which no further event tells. Returns 0, or -errno when it is broken. */
static int pump(struct relay *relay, struct end *end, bool closing)
{
	size_t sent;
	int r = send_rest(end);

	while (r == 0 && !end->eof) {
		ssize_t n = recv(end->fd, relay->piece, sizeof(relay->piece), MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0) {
			end->eof = true;
			shutdown(end->other->fd, SHUT_WR);
			break;
		}
		r = send_all(end->other->fd, relay->piece, (size_t)n, &sent);
		if (r == 0 && sent < (size_t)n)
			r = keep_rest(end, relay->piece + sent, (size_t)n - sent);
		if (end->rest || (n < PIECE_SIZE && !closing))
			break;
	}
	return r == -EAGAIN ? 0 : r;
}

static struct end *end_new(int fd)
{
	static const char without_pacing[] = "reno"; /* as netproxy within a host */
	struct end *end = calloc(1, sizeof(*end));
	int one = 1;

	if (!end)
		abort();
	end->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, without_pacing, sizeof(without_pacing) - 1);
	return end;
}

static void accept_all(struct relay *relay, const struct end *listener)
{
	for (;;) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct end *near, *far;

		if (fd < 0)
			return;
		near = end_new(fd);
		far = end_new(tcp_socket());
		near->other = far;
		far->other = near;
		if ((connect(far->fd, (const struct sockaddr *)&listener->to,
			     sizeof(listener->to)) < 0 &&
		     errno != EINPROGRESS) ||
		    watch(relay, near, EVENTS) < 0 || watch(relay, far, EVENTS) < 0)
			end_pair(relay, near);
	}
}

static void end_handle(struct relay *relay, struct end *end, uint32_t events)
{
	bool closing = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	int r = 0;

	if (end->dead)
		return;
	if (events & ~(uint32_t)EPOLLOUT)
		r = pump(relay, end, closing);
	if (r == 0 && (events & EPOLLOUT) && end->other->rest)
		r = pump(relay, end->other, true);
	if (r < 0 || (end->eof && end->other->eof && !end->rest && !end->other->rest))
		end_pair(relay, end);
}

/* Leads the port, shifted by `offset`, to the port itself. */
static struct end *listener_new(const struct sockaddr_in *at, uint16_t port, uint16_t offset)
{
	struct sockaddr_in here = *at;
	struct end *listener = end_new(tcp_socket());
	int one = 1;

	listener->to = *at;
	listener->to.sin_port = htons(port);
	here.sin_port = htons((uint16_t)(port + offset));
	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener->fd, (const struct sockaddr *)&here, sizeof(here)) < 0 ||
	    listen(listener->fd, 4096) < 0)
		die("listen");
	return listener;
}

int relay_ports(const struct sockaddr_in *at, uint16_t offset, const uint16_t *ports,
		unsigned count)
{
	static struct relay relay;
	struct epoll_event events[EVENTS_MAX];

	relay.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (relay.epoll < 0)
		die("epoll_create1");
	for (unsigned i = 0; i < count; i++)
		if (watch(&relay, listener_new(at, ports[i], offset), EPOLLIN) < 0)
			die("epoll_ctl");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(relay.epoll, events, EVENTS_MAX, -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct end *end = events[i].data.ptr;

			if (end->other)
				end_handle(&relay, end, events[i].events);
			else
				accept_all(&relay, end);
		}
		free_dead(&relay);
	}
}
