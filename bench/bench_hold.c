/* SPDX-License-Identifier: Apache-2.0 */
/* benchtool's idle connections: made, kept, and asked now and then whether they still work. */
#include "bench_tool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 5000 /* without any answer, the other side counts as dead */
#define PENDING_MAX 64   /* connections being made at a time */
#define SAMPLE_MAX  125  /* connections that are asked at a time */
#define EVENTS_MAX  256

struct holder {
	int epoll;
	int *fds; /* of those held */
	unsigned held;
	unsigned pending;
};

static void hold_start(struct holder *holder, const struct sockaddr_in *to)
{
	int fd = tcp_socket();
	struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(holder->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	holder->pending++;
}

/* Each is asked one byte, to know that it reaches the server. */
static void hold_advance(struct holder *holder, const struct epoll_event *event)
{
	struct epoll_event answer = {.events = EPOLLIN, .data.fd = event->data.fd};
	int fd = event->data.fd;
	char byte = ASK_AGAIN;

	if (event->events & EPOLLOUT && send(fd, &byte, 1, MSG_NOSIGNAL) == 1) {
		epoll_ctl(holder->epoll, EPOLL_CTL_MOD, fd, &answer);
		return;
	}
	holder->pending--;
	if (event->events & EPOLLIN && recv(fd, &byte, 1, 0) == 1) {
		epoll_ctl(holder->epoll, EPOLL_CTL_DEL, fd, NULL);
		holder->fds[holder->held++] = fd;
	} else {
		close(fd);
	}
}

static void hold_open(struct holder *holder, const struct sockaddr_in *to, unsigned count,
		      uint64_t patience_ns)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t start = now_ns();
	unsigned started = 0;

	while ((started < count || holder->pending) && now_ns() - start <= patience_ns) {
		int n;

		while (started < count && holder->pending < PENDING_MAX) {
			hold_start(holder, to);
			started++;
		}
		n = epoll_wait(holder->epoll, events, EVENTS_MAX, PATIENCE_MS);
		if (n == 0)
			break;
		for (int i = 0; i < n; i++)
			hold_advance(holder, &events[i]);
	}
	printf("{\"held\":%u,\"failed\":%u,\"seconds\":%.3f}\n", holder->held, count - holder->held,
	       (double)(now_ns() - start) / 1e9);
	fflush(stdout);
}

/* Whether the byte comes back, and nothing else. */
static bool answers(int fd, char byte)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char got[2];

	return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && poll(&pfd, 1, PATIENCE_MS) == 1 &&
	       recv(fd, got, sizeof(got), 0) == 1 && got[0] == byte;
}

/* Asks SAMPLE_MAX of them, chosen at random, a byte each. */
static void hold_ask(const struct holder *holder)
{
	unsigned asked = 0, answered = 0, seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("getrandom");
	srandom(seed);
	/* The first ones of an order that is being shuffled: none is asked twice. */
	while (asked < SAMPLE_MAX && asked < holder->held && asked == answered) {
		unsigned other = asked + (unsigned)random() % (holder->held - asked);
		int fd = holder->fds[other];

		holder->fds[other] = holder->fds[asked];
		holder->fds[asked++] = fd;
		answered += answers(fd, (char)('a' + asked % 26));
	}
	printf("{\"asked\":%u,\"answered\":%u}\n", asked, answered);
	fflush(stdout);
}

int hold_connections(const struct sockaddr_in *to, unsigned count, uint64_t patience_ns)
{
	struct holder holder = {.epoll = epoll_create1(EPOLL_CLOEXEC),
				.fds = calloc(count, sizeof(*holder.fds))};
	sigset_t wanted;
	int number;

	if (holder.epoll < 0 || !holder.fds)
		die("epoll_create1");
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGUSR1);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	hold_open(&holder, to, count, patience_ns);
	while (sigwait(&wanted, &number) == 0 && number == SIGUSR1)
		hold_ask(&holder);
	free(holder.fds);
	return 0;
}
