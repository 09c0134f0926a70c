/* SPDX-License-Identifier: Apache-2.0 */
/*
 * benchtool: the small measures of bench/run, for which a Python program would itself be what is
 * measured: round trips, connections, datagrams.
 */
#include "bench_tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static const char usage_text[] =
	"usage: benchtool serve ADDRESS PORT\n"
	"       benchtool relay ADDRESS OFFSET PORT...             PORT + OFFSET leads to PORT\n"
	"       benchtool rr ADDRESS PORT SECONDS                  round trips on one connection\n"
	"       benchtool crr ADDRESS PORT SECONDS CONCURRENT      connect, ask, be closed\n"
	"       benchtool hold ADDRESS PORT COUNT [SECONDS]        connections, made in so many seconds (20)\n"
	"                                                          and kept until SIGTERM; SIGUSR1 tries some\n"
	"       benchtool udp-up|udp-down ADDRESS PORT SECONDS SIZE RATE\n"
	"                                                          RATE 0: as fast as it goes\n";

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void die(const char *what)
{
	fprintf(stderr, "benchtool: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Raises the number of files to what CONNECTIONS_MAX sockets need, or as far as it goes. */
static void raise_file_limit(void)
{
	struct rlimit limit;
	rlim_t want = CONNECTIONS_MAX + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("getrlimit");
	if (limit.rlim_cur >= want)
		return;
	if (limit.rlim_max < want) {
		struct rlimit more = {want, want};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
		want = limit.rlim_max;
	}
	limit.rlim_cur = want;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("setrlimit");
}

int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static double number(const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max)) {
		fprintf(stderr, "benchtool: '%s': want a number from %g to %g\n", text, min, max);
		exit(2);
	}
	return value;
}

static uint64_t seconds(const char *text)
{
	return (uint64_t)(number(text, 0.001, 3600) * 1e9);
}

static int run_relay(const struct sockaddr_in *at, const char *offset, char **texts, int count)
{
	uint16_t ports[RELAY_PORTS_MAX];
	uint16_t shift = (uint16_t)number(offset, 1, UINT16_MAX - 1);

	for (int i = 0; i < count; i++)
		ports[i] = (uint16_t)number(texts[i], 1, UINT16_MAX - shift);
	return relay_ports(at, shift, ports, (unsigned)count);
}

static int usage(void)
{
	fputs(usage_text, stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	const char *verb = argc > 1 ? argv[1] : "";

	if (argc < 4)
		return usage();
	if (inet_pton(AF_INET, argv[2], &at.sin_addr) != 1) {
		fprintf(stderr, "benchtool: '%s': want an IPv4 address\n", argv[2]);
		return 2;
	}
	at.sin_port = htons((uint16_t)number(argv[3], 1, UINT16_MAX));
	raise_file_limit();
	if (argc == 4 && !strcmp(verb, "serve"))
		return serve(&at);
	if (argc >= 5 && argc <= 4 + RELAY_PORTS_MAX && !strcmp(verb, "relay"))
		return run_relay(&at, argv[3], argv + 4, argc - 4);
	if (argc == 5 && !strcmp(verb, "rr"))
		return measure_request_response(&at, seconds(argv[4]));
	if (argc == 6 && !strcmp(verb, "crr"))
		return measure_connects(&at, seconds(argv[4]), (unsigned)number(argv[5], 1, 1024));
	if ((argc == 5 || argc == 6) && !strcmp(verb, "hold"))
		return hold_connections(&at, (unsigned)number(argv[4], 1, CONNECTIONS_MAX),
					seconds(argc == 6 ? argv[5] : "20"));
	if (argc == 7 && (!strcmp(verb, "udp-up") || !strcmp(verb, "udp-down")))
		return measure_udp(&at, !strcmp(verb, "udp-up"),
				   (uint32_t)number(argv[5], UDP_SIZE_MIN, UDP_SIZE_MAX),
				   seconds(argv[4]), (uint64_t)number(argv[6], 0, 1e9));
	return usage();
}
