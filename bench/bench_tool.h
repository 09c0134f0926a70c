/* SPDX-License-Identifier: Apache-2.0 */
/*
 * benchtool's parts: one server for every measure, and the clients that measure. Both ends are this
 * program on one machine, so what they say to each other is in host order.
 */
#ifndef BENCH_BENCH_TOOL_H
#define BENCH_BENCH_TOOL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* TCP: one byte asks, the same byte answers. */
#define ASK_AGAIN 'R' /* the connection stays open for more */
#define ASK_ONCE  'C' /* the server closes after its answer */

#define UDP_SIZE_MIN    64
#define UDP_SIZE_MAX    65507
#define UDP_BATCH       64
#define RCVBUF_SIZE     (256 * 1024 * 1024) /* what arrived isn't lost for want of a buffer */
#define CONNECTIONS_MAX 100000
#define RELAY_PORTS_MAX 16

enum udp_kind {
	UDP_DATA = 1, /* counted by who gets it */
	UDP_START,    /* asks the server to send `size` bytes, at `rate`, for `duration_ns` */
	UDP_QUERY,    /* asks what the server has counted (or sent) for `id` */
	UDP_ANSWER,
};

struct udp_message {
	uint32_t magic;
	uint32_t kind;
	uint32_t id; /* of the run: what belongs to another one isn't counted */
	uint32_t size;
	uint64_t rate;        /* datagrams a second, 0: as fast as the socket takes them */
	uint64_t count;       /* of UDP_ANSWER: received, or sent */
	uint64_t duration_ns; /* of UDP_ANSWER: how long sending took */
};
#define UDP_MAGIC 0x6e706231

struct udp_sent {
	uint64_t count;
	uint64_t duration_ns;
};

/* Seconds are given as decimals on the command line, and kept as this. */
uint64_t now_ns(void);
/* Says what failed, with errno, and ends the program. */
_Noreturn void die(const char *what);
int tcp_socket(void);

/* Serves TCP and UDP at `at` until the process is ended. */
int serve(const struct sockaddr_in *at);

/* Passes connections to each port, shifted by `offset`, on to the port itself, until the process is
 * ended. */
int relay_ports(const struct sockaddr_in *at, uint16_t offset, const uint16_t *ports,
		unsigned count);

/* The clients print one line of JSON; they return an exit status. */
int measure_request_response(const struct sockaddr_in *to, uint64_t duration_ns);
int measure_connects(const struct sockaddr_in *to, uint64_t duration_ns, unsigned concurrent);
/* Keeps the connections until SIGTERM; those that aren't made within `patience_ns` count as failed.
 * On SIGUSR1 it asks a sample of them whether they work, and says so on another line. */
int hold_connections(const struct sockaddr_in *to, unsigned count, uint64_t patience_ns);
int measure_udp(const struct sockaddr_in *to, bool up, uint32_t size, uint64_t duration_ns,
		uint64_t rate);

/* Sends datagrams of `message->size` bytes that begin with `*message` (to the connected peer when
 * `to` is NULL) for `message->duration_ns`. */
struct udp_sent udp_blast(int fd, const struct sockaddr_in *to, const struct udp_message *message);
/* Reads at most UDP_BATCH datagrams without waiting; returns how many, with what each begins with
 * in `messages` (kind 0: not ours) and the last one's source in `*ret_from`. */
int udp_read(int fd, struct udp_message *messages, struct sockaddr_in *ret_from);
int udp_socket(void);

#endif
