/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole DNS server between guests that ask anything and resolvers that answer anything, over
 * UDP and TCP on the host's loopback, in virtual time. The input is a list of operations: queries
 * made from its bytes or near to sensible ones, answers made of the queries that the resolvers got,
 * bytes on streams, time. Every query is answered once, with its own ID and in a size that its
 * client takes, and nothing is left at the end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "dns/dns_server.h"
#include "fuzz.h"

#define OPERATIONS_MAX 200
#define QUERIES_MAX    64
#define HEARD_MAX      8
#define MESSAGE_MAX    512
#define STREAMS        2
#define TRY_MS         1000
#define DEADLINE_MS    3000

/* A query that a guest made. */
struct asked {
	uint16_t id;
	size_t size_max; /* of the reply */
	bool answered, cancelled, tcp;
};

/* One that a resolver got: by datagram from there, or on that connection. */
struct heard {
	struct sockaddr_storage from;
	int fd; /* -1: a datagram */
	uint8_t message[MESSAGE_MAX];
	size_t size;
};

struct fuzz {
	struct loop *loop;
	struct dns_server *server;
	struct asked asked[QUERIES_MAX];
	unsigned asked_count;
	struct heard heard[HEARD_MAX];
	unsigned heard_next;
	int streams[STREAMS];     /* guests' ends; -1: none */
	int resolving[HEARD_MAX]; /* connections that the resolver accepted; -1: none */
};

/* The resolver's; kept from one input to the next. */
static int udp_fd = -1, tcp_fd = -1;
static struct dns_resolver resolver;

static void open_resolver(void)
{
	for (unsigned i = 0; udp_fd < 0; i++) {
		struct endpoint at = {.addr = addr_from_v4(INADDR_LOOPBACK)};

		must(i < 20 && sock_bind_udp(&at, &udp_fd, &at) == 0);
		if (sock_listen_tcp(&at, 16, &tcp_fd, NULL) < 0)
			fd_close(&udp_fd);
		resolver.endpoint = at;
	}
}

static void start(struct fuzz *fuzz)
{
	struct dns_conf conf = {
		.gateway4 = addr_from_v4(0xc0a84101),
		.host4 = addr_from_v4(0xc0a841fe),
		.resolvers = &resolver,
		.resolver_count = 1,
		.resolv_conf_path = "",
		.hosts_path = "",
		.try_ms = TRY_MS,
		.deadline_ms = DEADLINE_MS,
	};
	char error[256];

	*fuzz = (struct fuzz){0};
	for (unsigned i = 0; i < HEARD_MAX; i++)
		fuzz->heard[i].fd = fuzz->resolving[i] = -1;
	for (unsigned i = 0; i < STREAMS; i++)
		fuzz->streams[i] = -1;
	must(loop_new(&fuzz->loop) == 0);
	loop_use_virtual_time(fuzz->loop, 1000000);
	must(dns_server_new(fuzz->loop, &conf, error, sizeof(error), &fuzz->server) == 0);
}

static void on_reply(void *arg, const void *reply, size_t size)
{
	struct asked *asked = arg;
	struct wire_reader r = wire_reader(reply, size);

	must(!asked->answered && !asked->cancelled);
	asked->answered = true;
	if (!reply)
		return;
	must(size >= DNS_HEADER_SIZE && size <= asked->size_max && wire_be16(&r) == asked->id);
	must(wire_u8(&r) & 0x80);
}

/* A query: of one of some names, with EDNS or not; or the input's bytes. Returns its size. */
static size_t make_query(struct wire_reader *r, uint8_t to[static MESSAGE_MAX])
{
	static const char *const names[] = {"a.example.com", "gateway.internal", "x.vm.internal",
					    "2.65.168.192.in-addr.arpa"};
	static const uint8_t types[] = {1, 28, 12, 255, 252, 33, 65, 16};
	struct wire_writer w = wire_writer(to, MESSAGE_MAX);
	uint8_t shape = wire_u8(r), edns = wire_u8(r);
	struct dns_name name;
	size_t size;

	if (shape >= 0xc0) {
		size = edns < wire_left(r) ? edns : wire_left(r);
		wire_copy(r, to, size);
		return size;
	}
	must(dns_name_parse(names[shape & 3], &name) == 0);
	wire_put_be16(&w, (uint16_t)(shape << 8 | edns));
	wire_put_be16(&w, shape & 4 ? 0 : DNS_FLAG_RD);
	wire_put_be16(&w, 1);
	wire_put_be32(&w, 0);
	wire_put_be16(&w, edns & 1);
	wire_put_bytes(&w, name.wire, name.size);
	wire_put_be16(&w, types[shape >> 3 & 7]);
	wire_put_be16(&w, DNS_CLASS_IN);
	if (edns & 1) {
		wire_put_u8(&w, 0);
		wire_put_be16(&w, DNS_TYPE_OPT);
		wire_put_be16(&w, (uint16_t)(edns << 4));
		wire_put_be32(&w, 0);
		wire_put_be16(&w, 0);
	}
	return wire_written(&w);
}

static void guest_asks(struct fuzz *fuzz, struct wire_reader *r, uint8_t who)
{
	struct endpoint client = {.addr = addr_from_v4(0xc0a84102u + (who & 3)), .port = 4000};
	struct asked *asked = &fuzz->asked[fuzz->asked_count];
	uint8_t message[MESSAGE_MAX];
	struct dns_query query;
	size_t size;

	if (fuzz->asked_count == QUERIES_MAX)
		return;
	size = make_query(r, message);
	*asked = (struct asked){.tcp = who & 4, .size_max = DNS_MESSAGE_MAX};
	if (dns_query_parse(message, size, &query) == 0) {
		asked->id = query.id;
		if (!asked->tcp)
			asked->size_max = query.udp_size;
	}
	if (dns_server_query(fuzz->server, asked->tcp ? DNS_TCP : DNS_UDP, &client, message, size,
			     on_reply, asked) == 0)
		fuzz->asked_count++;
	else
		must(!asked->answered);
}

/* Bytes of a stream: messages with their length before them, or whatever. */
static void guest_streams(struct fuzz *fuzz, struct wire_reader *r, unsigned index)
{
	int *fd = &fuzz->streams[index % STREAMS], fds[2];
	uint8_t bytes[2 + MESSAGE_MAX];
	uint8_t kind = wire_u8(r);
	size_t size;

	if (*fd < 0) {
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
		*fd = fds[0];
		if (dns_server_serve_stream(fuzz->server, fds[1], NULL) < 0)
			fd_close(fd);
	}
	if (kind == 255) {
		fd_close(fd);
		return;
	}
	if (kind == 254) {
		shutdown(*fd, SHUT_WR);
		return;
	}
	size = make_query(r, bytes + 2);
	bytes[0] = (uint8_t)(size >> 8);
	bytes[1] = (uint8_t)size;
	size += 2;
	/* In two parts, or the end is missing. */
	if (kind < size) {
		(void)!send(*fd, bytes, kind, MSG_DONTWAIT | MSG_NOSIGNAL);
		loop_run_once(fuzz->loop, false);
		(void)!send(*fd, bytes + kind, kind & 1 ? size - kind : 0,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		(void)!send(*fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	while (recv(*fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static struct heard *heard_new(struct fuzz *fuzz)
{
	return &fuzz->heard[fuzz->heard_next++ % HEARD_MAX];
}

/* What has come to the resolver. */
static void resolver_hears(struct fuzz *fuzz)
{
	struct sockaddr_storage from;
	socklen_t from_size = sizeof(from);
	uint8_t bytes[2 + MESSAGE_MAX];
	struct heard *heard;
	ssize_t n;
	int fd;

	while ((n = recvfrom(udp_fd, bytes, MESSAGE_MAX, MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_size)) > 0) {
		heard = heard_new(fuzz);
		*heard = (struct heard){.from = from, .fd = -1, .size = (size_t)n};
		memcpy(heard->message, bytes, (size_t)n);
	}
	for (unsigned i = 0; sock_accept(tcp_fd, &fd, NULL) == 0; i++) {
		unsigned slot = i % HEARD_MAX;

		while (slot < HEARD_MAX - 1 && fuzz->resolving[slot] >= 0)
			slot++;
		fd_close(&fuzz->resolving[slot]);
		fuzz->resolving[slot] = fd;
	}
	for (unsigned i = 0; i < HEARD_MAX; i++) {
		n = fuzz->resolving[i] < 0
			    ? 0
			    : recv(fuzz->resolving[i], bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n <= 2)
			continue;
		heard = heard_new(fuzz);
		*heard = (struct heard){.fd = (int)i, .size = (size_t)n - 2};
		memcpy(heard->message, bytes + 2, heard->size);
	}
}

/* An answer to what was heard, made of it and of the input. */
static void resolver_answers(struct fuzz *fuzz, struct wire_reader *r, unsigned index)
{
	struct heard *heard = &fuzz->heard[index % HEARD_MAX];
	uint8_t flags = wire_u8(r), rcode = wire_u8(r), extra = wire_u8(r);
	static uint8_t bytes[2 + MESSAGE_MAX + 256 * 64];
	uint8_t *message = bytes + 2;
	size_t size = heard->size;

	if (size < DNS_HEADER_SIZE || !wire_ok(r))
		return;
	memcpy(message, heard->message, size);
	message[2] |= flags & 1 ? 0 : 0x80;
	message[2] |= flags & 2;
	message[3] = (uint8_t)(0x80 | (rcode & 15));
	if (flags & 4)
		message[7] = extra & 3;
	if (flags & 8)
		message[wire_u8(r) % size] ^= wire_u8(r);
	if (flags & 16) {
		size_t more = extra < wire_left(r) ? extra : wire_left(r);

		wire_copy(r, message + size, more);
		size += more;
	} else if (flags & 32) {
		memset(message + size, 0, extra * 64u);
		size += extra * 64u;
	} else if (flags & 64) {
		size = extra < size ? extra : size;
	}
	bytes[0] = (uint8_t)(size >> 8);
	bytes[1] = (uint8_t)size;
	if (heard->fd < 0)
		(void)!sendto(udp_fd, message, size, MSG_DONTWAIT, (struct sockaddr *)&heard->from,
			      sizeof(struct sockaddr_in));
	else if (fuzz->resolving[heard->fd] >= 0)
		(void)!send(fuzz->resolving[heard->fd], bytes, size + (flags & 128 ? 1 : 2),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Closes with a reset, so that no port waits for anything. */
static void resolver_hangs_up(int *fd)
{
	const struct linger linger = {.l_onoff = 1};

	if (*fd >= 0)
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	fd_close(fd);
}

static void operate(struct fuzz *fuzz, struct wire_reader *r)
{
	uint8_t operation = wire_u8(r);
	unsigned amount = operation >> 3;

	switch (operation & 7) {
	case 0:
	case 1:
		guest_asks(fuzz, r, (uint8_t)amount);
		break;
	case 2:
		guest_streams(fuzz, r, amount);
		break;
	case 3:
	case 4:
		resolver_answers(fuzz, r, amount);
		break;
	case 5:
		loop_advance(fuzz->loop, (uint64_t)1 << (amount % 15));
		break;
	case 6:
		if (fuzz->asked_count > 0) {
			struct asked *asked = &fuzz->asked[amount % fuzz->asked_count];

			dns_server_cancel(fuzz->server, on_reply, asked);
			asked->cancelled = !asked->answered;
		}
		break;
	case 7:
		resolver_hangs_up(&fuzz->resolving[amount % HEARD_MAX]);
		break;
	}
	loop_run_once(fuzz->loop, false);
	resolver_hears(fuzz);
	must(dns_server_stats(fuzz->server).pending <= fuzz->asked_count + OPERATIONS_MAX);
}

static void finish(struct fuzz *fuzz)
{
	loop_run_once(fuzz->loop, false);
	loop_advance(fuzz->loop, DEADLINE_MS * DNS_TCP_FACTOR + 1);
	loop_run_once(fuzz->loop, false);
	for (unsigned i = 0; i < fuzz->asked_count; i++)
		must(fuzz->asked[i].answered != fuzz->asked[i].cancelled);
	must(dns_server_stats(fuzz->server).pending == 0);
	loop_advance(fuzz->loop, 600000);
	loop_run_once(fuzz->loop, false);
	must(dns_server_stats(fuzz->server).stream_count == 0);
	for (unsigned i = 0; i < STREAMS; i++)
		fd_close(&fuzz->streams[i]);
	resolver_hears(fuzz);
	for (unsigned i = 0; i < HEARD_MAX; i++)
		resolver_hangs_up(&fuzz->resolving[i]);
	dns_server_free(fuzz->server);
	loop_free(fuzz->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	struct wire_reader r = wire_reader(data, size);

	log_set_levels("error");
	open_resolver();
	start(&fuzz);
	for (unsigned i = 0; i < OPERATIONS_MAX && wire_ok(&r) && wire_left(&r); i++)
		operate(&fuzz, &r);
	finish(&fuzz);
	return 0;
}
