/* SPDX-License-Identifier: Apache-2.0 */
/* benchtool's TCP clients: round trips, connections a second, idle connections. */
#include "bench_tool.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SAMPLES_MAX (4 * 1024 * 1024)
#define PATIENCE_MS 5000 /* without any answer, the other side counts as dead */
#define EVENTS_MAX  256

struct samples {
	uint32_t *ns; /* SAMPLES_MAX; a longer run goes on counting without them */
	size_t used;
	uint64_t count;
};

static void samples_init(struct samples *samples)
{
	*samples = (struct samples){.ns = malloc(SAMPLES_MAX * sizeof(*samples->ns))};
	if (!samples->ns)
		die("malloc");
}

static void samples_add(struct samples *samples, uint64_t ns)
{
	samples->count++;
	if (samples->used < SAMPLES_MAX)
		samples->ns[samples->used++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(const struct samples *samples, unsigned percent)
{
	return samples->used ? samples->ns[(samples->used - 1) * percent / 100] / 1e3 : 0;
}

static int samples_print(struct samples *samples, uint64_t failed, uint64_t took_ns)
{
	qsort(samples->ns, samples->used, sizeof(*samples->ns), compare);
	printf("{\"count\":%" PRIu64 ",\"failed\":%" PRIu64
	       ",\"per_second\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
	       samples->count, failed, (double)samples->count / ((double)took_ns / 1e9),
	       percentile_us(samples, 50), percentile_us(samples, 99));
	free(samples->ns);
	return samples->count ? 0 : 1;
}

static void wait_for(int fd, short events)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	if (poll(&pfd, 1, PATIENCE_MS) == 1)
		return;
	errno = ETIMEDOUT;
	die("no answer");
}

static void start_connect(int fd, const struct sockaddr_in *to)
{
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)
		die("connect");
}

static void ask(int fd, char byte)
{
	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		die("send");
}

int measure_request_response(const struct sockaddr_in *to, uint64_t duration_ns)
{
	struct samples samples;
	int fd = tcp_socket();
	uint64_t start, now;

	samples_init(&samples);
	start_connect(fd, to);
	wait_for(fd, POLLOUT);
	start = now = now_ns();
	while (now - start < duration_ns) {
		uint64_t asked = now;
		char byte;

		ask(fd, ASK_AGAIN);
		wait_for(fd, POLLIN);
		if (recv(fd, &byte, 1, 0) != 1)
			die("recv");
		now = now_ns();
		samples_add(&samples, now - asked);
	}
	close(fd);
	return samples_print(&samples, 0, now - start);
}

/* One of the connections that measure_connects() keeps going. */
struct attempt {
	int fd;
	bool asked;
	uint64_t started;
};

static void attempt_start(struct attempt *attempt, int epoll, const struct sockaddr_in *to)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = attempt};

	attempt->fd = tcp_socket();
	attempt->asked = false;
	attempt->started = now_ns();
	start_connect(attempt->fd, to);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, attempt->fd, &event) < 0)
		die("epoll_ctl");
}

enum progress { GOES_ON, DONE, FAILED };

/* Asks when connected; is done when the server has answered and closed. */
static enum progress attempt_advance(struct attempt *attempt, int epoll)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = attempt};
	char byte = ASK_ONCE;
	ssize_t n;

	if (!attempt->asked) {
		if (send(attempt->fd, &byte, 1, MSG_NOSIGNAL) != 1)
			return FAILED;
		attempt->asked = true;
		epoll_ctl(epoll, EPOLL_CTL_MOD, attempt->fd, &event);
		return GOES_ON;
	}
	do
		n = recv(attempt->fd, &byte, 1, 0);
	while (n > 0);
	if (n == 0)
		return DONE;
	return errno == EAGAIN ? GOES_ON : FAILED;
}

int measure_connects(const struct sockaddr_in *to, uint64_t duration_ns, unsigned concurrent)
{
	struct attempt *attempts = calloc(concurrent, sizeof(*attempts));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t start = now_ns(), failed = 0;
	struct epoll_event events[EVENTS_MAX];
	struct samples samples;

	if (!attempts || epoll < 0)
		die("epoll_create1");
	samples_init(&samples);
	for (unsigned i = 0; i < concurrent; i++)
		attempt_start(&attempts[i], epoll, to);
	while (now_ns() - start < duration_ns) {
		int count = epoll_wait(epoll, events, EVENTS_MAX, PATIENCE_MS);

		if (count == 0)
			break; /* all of them hang: what was done until now counts */
		for (int i = 0; i < count; i++) {
			struct attempt *attempt = events[i].data.ptr;
			enum progress progress = attempt_advance(attempt, epoll);

			if (progress == GOES_ON)
				continue;
			if (progress == DONE)
				samples_add(&samples, now_ns() - attempt->started);
			else
				failed++;
			close(attempt->fd);
			attempt_start(attempt, epoll, to);
		}
	}
	free(attempts);
	return samples_print(&samples, failed, now_ns() - start);
}
