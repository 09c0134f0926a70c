/* SPDX-License-Identifier: Apache-2.0 */
/* benchtool's datagrams: sending at a rate or flat out, counting what arrives. */
#include "bench_tool.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS     1000000 /* a paced sender sends a tick's worth at a time */
#define CLOCK_EVERY 16      /* datagrams between looks at the clock, flat out */
#define QUIET_MS    300     /* nothing came for so long: nothing more will */
#define QUERIES_MAX 50

int udp_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = RCVBUF_SIZE;

	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		die("SO_RCVBUFFORCE");
	return fd;
}

static void sleep_until(uint64_t when_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(when_ns / 1000000000),
			      .tv_nsec = (long)(when_ns % 1000000000)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

struct udp_sent udp_blast(int fd, const struct sockaddr_in *to, const struct udp_message *message)
{
	static uint8_t bytes[UDP_SIZE_MAX];
	struct udp_sent sent = {0};
	uint64_t start = now_ns(), now = start;

	if (message->size < UDP_SIZE_MIN || message->size > UDP_SIZE_MAX)
		return sent;
	memcpy(bytes, message, sizeof(*message));
	while (now - start < message->duration_ns) {
		uint64_t due = message->rate * (now - start + TICK_NS) / 1000000000;
		uint64_t until = message->rate ? due : sent.count + CLOCK_EVERY;

		while (sent.count < until) {
			ssize_t n = sendto(fd, bytes, message->size, 0, (const struct sockaddr *)to,
					   to ? sizeof(*to) : 0);

			/* What the socket refused wasn't sent; a refusal from afar is told here. */
			if (n >= 0)
				sent.count++;
			else if (errno != ENOBUFS && errno != ECONNREFUSED)
				die("sendto");
			else if (now_ns() - start > message->duration_ns)
				break;
		}
		if (message->rate)
			sleep_until(now + TICK_NS);
		now = now_ns();
	}
	sent.duration_ns = now - start;
	return sent;
}

int udp_read(int fd, struct udp_message *messages, struct sockaddr_in *ret_from)
{
	struct mmsghdr headers[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	int count;

	memset(headers, 0, sizeof(headers));
	for (int i = 0; i < UDP_BATCH; i++) {
		iov[i] = (struct iovec){&messages[i], sizeof(messages[i])};
		headers[i].msg_hdr.msg_iov = &iov[i];
		headers[i].msg_hdr.msg_iovlen = 1;
		headers[i].msg_hdr.msg_name = ret_from;
		headers[i].msg_hdr.msg_namelen = sizeof(*ret_from);
	}
	count = recvmmsg(fd, headers, UDP_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		if (headers[i].msg_len < sizeof(*messages) || messages[i].magic != UDP_MAGIC)
			messages[i].kind = 0;
	return count < 0 ? 0 : count;
}

/* Reads until nothing comes for a while or an answer came; returns the data's number. */
static uint64_t count_arrivals(int fd, uint32_t id, int quiet_ms, struct udp_message *ret_answer)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct udp_message messages[UDP_BATCH];
	struct sockaddr_in from;
	uint64_t arrived = 0;

	while (poll(&pfd, 1, quiet_ms) == 1) {
		int count = udp_read(fd, messages, &from);

		if (count == 0) { /* an ICMP error; reading it clears it */
			int error;
			socklen_t size = sizeof(error);

			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		}
		for (int i = 0; i < count; i++) {
			if (messages[i].id != id)
				continue;
			arrived += messages[i].kind == UDP_DATA;
			if (messages[i].kind == UDP_ANSWER) {
				*ret_answer = messages[i];
				return arrived;
			}
		}
	}
	return arrived;
}

/* Asks the server until it says the same twice, so that what was under way has arrived. */
static struct udp_message settled_answer(int fd, const struct udp_message *message)
{
	struct udp_message query = *message, answer = {0};
	uint64_t last = UINT64_MAX;

	query.kind = UDP_QUERY;
	for (int i = 0; i < QUERIES_MAX; i++) {
		answer.magic = 0;
		if (send(fd, &query, sizeof(query), 0) < 0 && errno != ECONNREFUSED)
			die("send");
		count_arrivals(fd, message->id, QUIET_MS, &answer);
		if (answer.magic && answer.count == last)
			return answer;
		if (answer.magic)
			last = answer.count;
		sleep_until(now_ns() + QUIET_MS * 1000000 / 3);
	}
	errno = ETIMEDOUT;
	die("the server doesn't say what it counted");
}

static int print_udp(uint64_t sent, uint64_t received, uint64_t duration_ns)
{
	double lost = sent > received ? (double)(sent - received) / (double)sent : 0;

	printf("{\"sent\":%" PRIu64 ",\"received\":%" PRIu64
	       ",\"per_second\":%.1f,\"lost_percent\":%.3f}\n",
	       sent, received, (double)received / ((double)duration_ns / 1e9), lost * 100);
	return 0;
}

int measure_udp(const struct sockaddr_in *to, bool up, uint32_t size, uint64_t duration_ns,
		uint64_t rate)
{
	struct udp_message message = {.magic = UDP_MAGIC,
				      .kind = up ? UDP_DATA : UDP_START,
				      .id = (uint32_t)now_ns(),
				      .size = size,
				      .rate = rate,
				      .duration_ns = duration_ns};
	struct udp_message answer = {0};
	uint64_t received = 0;
	int fd = udp_socket();

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		die("connect");
	if (up) {
		struct udp_sent sent = udp_blast(fd, NULL, &message);

		received = settled_answer(fd, &message).count;
		return print_udp(sent.count, received, sent.duration_ns);
	}
	for (int i = 0; i < QUERIES_MAX && received == 0; i++) {
		if (send(fd, &message, sizeof(message), 0) < 0 && errno != ECONNREFUSED)
			die("send");
		received = count_arrivals(fd, message.id, QUIET_MS, &answer);
	}
	answer = settled_answer(fd, &message);
	return print_udp(answer.count, received, answer.duration_ns);
}
