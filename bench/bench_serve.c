/* SPDX-License-Identifier: Apache-2.0 */
/* benchtool's server: answers bytes on TCP, counts and sends datagrams on UDP. */
#include "bench_tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256

struct server {
	int epoll;
	int listener;
	int udp;
	uint32_t udp_id; /* the run that is being counted */
	struct udp_sent udp_sent;
	uint64_t udp_received;
};

static void watch(const struct server *server, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void accept_all(const struct server *server)
{
	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		watch(server, fd);
	}
}

static void answer(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || byte == ASK_ONCE)
		close(fd);
}

static void udp_handle(struct server *server, const struct udp_message *message,
		       const struct sockaddr_in *from)
{
	struct udp_message reply = *message;

	if (message->id != server->udp_id && message->kind != UDP_QUERY) {
		server->udp_id = message->id;
		server->udp_received = 0;
		server->udp_sent = (struct udp_sent){0};
		if (message->kind == UDP_START) {
			reply.kind = UDP_DATA;
			server->udp_sent = udp_blast(server->udp, from, &reply);
		}
	}
	if (message->kind == UDP_DATA) {
		server->udp_received++;
	} else if (message->kind == UDP_QUERY) {
		bool current = message->id == server->udp_id;

		reply.kind = UDP_ANSWER;
		reply.duration_ns = current ? server->udp_sent.duration_ns : 0;
		reply.count = current ? server->udp_received + server->udp_sent.count : 0;
		sendto(server->udp, &reply, sizeof(reply), 0, (const struct sockaddr *)from,
		       sizeof(*from));
	}
}

static void udp_drain(struct server *server)
{
	struct udp_message messages[UDP_BATCH];
	struct sockaddr_in from;
	int count = udp_read(server->udp, messages, &from);

	/* Only one client measures at a time, so all come from the same one. */
	for (int i = 0; i < count; i++)
		if (messages[i].kind)
			udp_handle(server, &messages[i], &from);
}

static void server_open(struct server *server, const struct sockaddr_in *at)
{
	int one = 1;

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->listener = tcp_socket();
	server->udp = udp_socket();
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (server->epoll < 0 ||
	    bind(server->listener, (const struct sockaddr *)at, sizeof(*at)) < 0 ||
	    listen(server->listener, 4096) < 0 ||
	    bind(server->udp, (const struct sockaddr *)at, sizeof(*at)) < 0)
		die("listen");
	watch(server, server->listener);
	watch(server, server->udp);
}

int serve(const struct sockaddr_in *at)
{
	struct server server = {0};
	struct epoll_event events[EVENTS_MAX];

	server_open(&server, at);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(server.epoll, events, EVENTS_MAX, -1);

		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == server.listener)
				accept_all(&server);
			else if (events[i].data.fd == server.udp)
				udp_drain(&server);
			else
				answer(events[i].data.fd);
		}
	}
}
