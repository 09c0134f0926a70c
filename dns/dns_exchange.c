/* SPDX-License-Identifier: Apache-2.0 */
/* Sends a query to a resolver and waits for the reply, over UDP or TCP (RFC 7766). */
#include "dns/dns_exchange.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/sock.h"

#define ID_SIZE     2
#define LENGTH_SIZE 2 /* in front of each message on TCP */
/* Datagrams read in one go; a flood of forged ones must not keep the loop from everything else. */
#define DATAGRAM_BATCH_MAX 16

struct dns_exchange {
	enum dns_transport transport;
	int fd;
	struct loop_fd *watch;
	const struct dns_query *query;
	const uint8_t *message;
	size_t size;
	uint16_t id;
	uint8_t *scratch;
	dns_exchange_fn *fn;
	void *arg;
	unsigned mismatch_count;
	/* TCP */
	size_t sent; /* bytes of length, ID and the rest that are out */
	uint8_t length[LENGTH_SIZE];
	uint8_t *reply; /* owned; NULL until its length is known */
	size_t reply_size;
	size_t received; /* of length and reply */
};

static uint16_t random_id(void)
{
	uint16_t id;

	/* Up to 256 bytes are never cut short, and the kernel's pool was seeded at boot. */
	while (getrandom(&id, sizeof(id), 0) != sizeof(id))
		;
	return id;
}

static int send_datagram(struct dns_exchange *x)
{
	uint8_t id[ID_SIZE] = {(uint8_t)(x->id >> 8), (uint8_t)x->id};
	struct iovec iov[] = {{id, sizeof(id)},
			      {(void *)(x->message + ID_SIZE), x->size - ID_SIZE}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	if (sendmsg(x->fd, &msg, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

/* Drops the first `skip` bytes of a vector. */
static void iov_advance(struct iovec *iov, size_t count, size_t skip)
{
	for (size_t i = 0; i < count && skip > 0; i++) {
		size_t n = skip < iov[i].iov_len ? skip : iov[i].iov_len;

		iov[i].iov_base = (uint8_t *)iov[i].iov_base + n;
		iov[i].iov_len -= n;
		skip -= n;
	}
}

/* Sends what is left. Returns 1 when all is out, 0 when the socket is full or connecting, or
 * -errno. */
static int send_stream(struct dns_exchange *x)
{
	uint8_t head[LENGTH_SIZE + ID_SIZE] = {
		(uint8_t)(x->size >> 8),
		(uint8_t)x->size,
		(uint8_t)(x->id >> 8),
		(uint8_t)x->id,
	};
	size_t total = LENGTH_SIZE + x->size;

	while (x->sent < total) {
		struct iovec iov[] = {{head, sizeof(head)},
				      {(void *)(x->message + ID_SIZE), x->size - ID_SIZE}};
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

		iov_advance(iov, 2, x->sent);
		ssize_t n = sendmsg(x->fd, &msg, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINPROGRESS ? 0 : -errno;
		x->sent += (size_t)n;
	}
	return 1;
}

/* Reads until the reply is whole: 1, or needs more: 0, or -errno. */
static int receive_stream(struct dns_exchange *x)
{
	for (;;) {
		bool in_length = x->received < LENGTH_SIZE;
		uint8_t *to = in_length ? x->length + x->received
					: x->reply + (x->received - LENGTH_SIZE);
		size_t wanted = (in_length ? LENGTH_SIZE : LENGTH_SIZE + x->reply_size) -
				x->received;
		ssize_t n = recv(x->fd, to, wanted, 0);

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return -ECONNRESET;
		x->received += (size_t)n;
		if ((size_t)n < wanted)
			continue;
		if (!in_length)
			return 1;
		x->reply_size = (size_t)x->length[0] << 8 | x->length[1];
		if (x->reply_size < DNS_HEADER_SIZE)
			return -EBADMSG;
		x->reply = malloc(x->reply_size);
		if (!x->reply)
			return -ENOMEM;
	}
}

/* Errors of the socket that say something about the resolver; the others are about one datagram. */
static bool is_fatal(int error)
{
	return error != EAGAIN && error != EINTR && error != EMSGSIZE;
}

static void on_datagram(void *arg, int fd, unsigned ready)
{
	struct dns_exchange *x = arg;

	(void)ready;
	for (int i = 0; i < DATAGRAM_BATCH_MAX; i++) {
		ssize_t n = recv(fd, x->scratch, DNS_MESSAGE_MAX, 0);

		if (n < 0) {
			if (is_fatal(errno))
				x->fn(x->arg, -errno, NULL, 0);
			return;
		}
		if (dns_reply_matches(x->query, x->id, x->scratch, (size_t)n)) {
			x->fn(x->arg, 0, x->scratch, (size_t)n);
			return;
		}
		x->mismatch_count++;
	}
}

static void on_stream(void *arg, int fd, unsigned ready)
{
	struct dns_exchange *x = arg;
	int r;

	(void)fd;
	(void)ready;
	r = send_stream(x);
	if (r > 0) {
		loop_fd_set(x->watch, LOOP_READ);
		r = receive_stream(x);
	}
	if (r == 0)
		return;
	if (r > 0 && !dns_reply_matches(x->query, x->id, x->reply, x->reply_size))
		r = -EBADMSG;
	if (r < 0)
		x->fn(x->arg, r, NULL, 0);
	else
		x->fn(x->arg, 0, x->reply, x->reply_size);
}

/* Connects; returns 0, also when that is still under way, or -errno. */
static int start(struct dns_exchange *x, struct loop *loop, const struct dns_resolver *resolver)
{
	bool is_udp = x->transport == DNS_UDP;
	struct sockaddr_storage sa;
	socklen_t sa_size = dns_resolver_sockaddr(resolver, &sa);
	int r;

	x->fd = socket(sa.ss_family,
		       (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return -errno;
	if (connect(x->fd, (struct sockaddr *)&sa, sa_size) < 0 && errno != EINPROGRESS)
		return -errno;
	r = is_udp ? send_datagram(x) : 0;
	if (r < 0)
		return r;
	return loop_fd_new(loop, x->fd, is_udp ? LOOP_READ : LOOP_READ | LOOP_WRITE,
			   is_udp ? on_datagram : on_stream, x, &x->watch);
}

int dns_exchange_new(struct loop *loop, enum dns_transport transport,
		     const struct dns_resolver *resolver, const struct dns_query *query,
		     const void *message, size_t size, uint8_t *scratch, dns_exchange_fn *fn,
		     void *arg, struct dns_exchange **ret_exchange)
{
	struct dns_exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->transport = transport;
	x->fd = -1;
	x->query = query;
	x->message = message;
	x->size = size;
	x->id = random_id();
	x->scratch = scratch;
	x->fn = fn;
	x->arg = arg;
	int r = start(x, loop, resolver);
	if (r < 0) {
		dns_exchange_free(x);
		return r;
	}
	*ret_exchange = x;
	return 0;
}

void dns_exchange_resend(struct dns_exchange *x)
{
	/* An error shows on the socket, or it will be the timeout's. */
	if (x->transport == DNS_UDP)
		send_datagram(x);
}

void dns_exchange_free(struct dns_exchange *x)
{
	if (!x)
		return;
	loop_fd_free(x->watch);
	fd_close(&x->fd);
	free(x->reply);
	free(x);
}

unsigned dns_exchange_mismatches(const struct dns_exchange *x)
{
	return x->mismatch_count;
}
