/* SPDX-License-Identifier: Apache-2.0 */
/* Guests' connections by way of an HTTP proxy; see flow_tcp_egress.h. */
#include "forwarder/flow_tcp_egress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/sock.h"
#include "forwarder/egress_lookup.h"
#include "forwarder/http_connect.h"
#include "forwarder/tls_hello.h"

LOG_MODULE("proxy");

/* What is looked at of the guest's first bytes; less than the window that it has from the start. */
#define PEEK_SIZE_MAX 16384
#define PEEK_PIECES   64

#define TLS_HANDSHAKE 22

#define TARGET_MAX (EGRESS_NAME_MAX + 8)

enum tunnel_step {
	TUNNEL_PEEKING, /* waiting for the guest's first bytes */
	TUNNEL_ASKING,  /* waiting for the proxy's answer */
	TUNNEL_DIRECT,  /* connecting without it */
};

struct flow_tcp_tunnel {
	struct egress *egress;
	const struct egress_proxy *proxy;
	struct addr addrs[EGRESS_ADDRESSES_MAX]; /* the proxy's may change meanwhile */
	unsigned addr_count;
	struct endpoint at; /* where the proxy is */
	unsigned next_addr; /* to be tried after that one */
	enum tunnel_step step;
	char target[TARGET_MAX]; /* for CONNECT */
	size_t request_size;
	size_t request_sent;
	char request[HTTP_CONNECT_REQUEST_MAX];
};

/* ---- The proxy ---- */

static void take_next_address(struct flow_tcp_tunnel *tunnel)
{
	tunnel->at = (struct endpoint){
		.addr = tunnel->addrs[tunnel->next_addr++],
		.port = tunnel->proxy->port,
	};
}

int flow_tcp_egress_new(const struct flow_tcp_table *table, const struct endpoint *host,
			struct flow_tcp_tunnel **ret_tunnel)
{
	const struct egress_proxy *proxy = NULL;
	struct flow_tcp_tunnel *tunnel;

	/* The host's loopback, behind the host alias, is no way out. */
	if (table->egress && !addr_is_loopback(&host->addr))
		proxy = egress_use(table->egress, host);
	if (!proxy) {
		*ret_tunnel = NULL;
		return 0;
	}
	if (!proxy->addr_count) {
		log_limited(LOG_LEVEL_WARN, "the HTTP proxy %s has no address yet", proxy->host);
		return -EAGAIN;
	}
	tunnel = calloc(1, sizeof(*tunnel));
	if (!tunnel)
		return -ENOMEM;
	tunnel->egress = table->egress;
	tunnel->proxy = proxy;
	memcpy(tunnel->addrs, proxy->addrs, sizeof(tunnel->addrs));
	tunnel->addr_count = proxy->addr_count;
	take_next_address(tunnel);
	*ret_tunnel = tunnel;
	return 0;
}

void flow_tcp_egress_free(struct flow_tcp_tunnel *tunnel)
{
	free(tunnel);
}

const struct endpoint *flow_tcp_egress_at(const struct flow_tcp_tunnel *tunnel)
{
	return &tunnel->at;
}

bool flow_tcp_egress_next(struct flow_tcp_tunnel *tunnel, int error)
{
	char text[ENDPOINT_TEXT_MAX];

	log_limited(LOG_LEVEL_WARN, "the proxy %s can't be reached at %s: %s", tunnel->proxy->host,
		    endpoint_format(&tunnel->at, text), strerror(error));
	if (tunnel->next_addr >= tunnel->addr_count) {
		egress_unreachable(tunnel->egress, tunnel->proxy);
		return false;
	}
	take_next_address(tunnel);
	return true;
}

/* ---- Ends ---- */

static void tunnel_open(struct flow_tcp *flow)
{
	flow_tcp_egress_free(flow->tunnel);
	flow->tunnel = NULL;
	loop_timer_free(flow->timer);
	flow->timer = NULL;
	flow->state = FLOW_OPEN;
}

/* The guest has been accepted, so all that is left to tell it is RST. */
static void tunnel_fail(struct flow_tcp *flow)
{
	flow->table->refused++;
	flow_tcp_free(flow, true);
}

static void proxy_fail(struct flow_tcp *flow, const char *why)
{
	char text[ENDPOINT_TEXT_MAX];

	log_limited(LOG_LEVEL_WARN, "the proxy %s didn't connect to %s: %s",
		    endpoint_format(&flow->tunnel->at, text), flow->tunnel->target, why);
	tunnel_fail(flow);
}

/* ---- Connecting directly ---- */

static bool work_direct(struct flow_tcp *flow)
{
	int error;

	if (!flow->can_write)
		return false;
	error = flow_tcp_socket_error(flow->fd, LOOP_READ);
	if (error) {
		log_debug("direct connect: %s", strerror(error));
		tunnel_fail(flow);
		return false;
	}
	tunnel_open(flow);
	return true;
}

static void go_directly(struct flow_tcp *flow)
{
	int fd = -1;
	int r = flow_tcp_host_connect(flow->table, &flow->host, flow->service_class, &fd);

	if (r == 0)
		r = flow_tcp_replace_socket(flow, fd);
	if (r < 0) {
		fd_close(&fd);
		log_debug("direct connect: %s", strerror(-r));
		tunnel_fail(flow);
		return;
	}
	flow->tunnel->step = TUNNEL_DIRECT;
	loop_timer_set(flow->timer, FLOW_TCP_TUNNEL_MS);
}

/* ---- Asking the proxy ---- */

static int send_request(struct flow_tcp *flow)
{
	struct flow_tcp_tunnel *tunnel = flow->tunnel;

	while (flow->can_write && tunnel->request_sent < tunnel->request_size) {
		ssize_t sent = send(flow->fd, tunnel->request + tunnel->request_sent,
				    tunnel->request_size - tunnel->request_sent,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN)
			flow->can_write = false;
		else if (sent < 0 && errno != EINTR)
			return -errno;
		else if (sent > 0)
			tunnel->request_sent += (size_t)sent;
	}
	return 0;
}

/* Looks at the answer, and takes its head off the stream once it is there. Returns -EAGAIN when it
 * isn't; -ENODATA when it can't come any more. */
static int read_reply(struct flow_tcp *flow, struct http_connect_reply *ret)
{
	uint8_t bytes[HTTP_CONNECT_REPLY_MAX];
	ssize_t got = recv(flow->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	int r;

	if (got < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (got == 0)
		return -ENODATA;
	r = http_connect_reply(bytes, (size_t)got, ret);
	if (r < 0)
		return r;
	got = recv(flow->fd, bytes, ret->header_size, MSG_DONTWAIT);
	return got == (ssize_t)ret->header_size ? 0 : -EIO;
}

static bool work_asking(struct flow_tcp *flow)
{
	struct http_connect_reply reply = {0};
	char why[HTTP_CONNECT_REASON_MAX + 16];
	int r = send_request(flow);

	if (r < 0) {
		proxy_fail(flow, strerror(-r));
		return false;
	}
	do { /* interim answers, 1xx, may come before the answer */
		r = flow->can_read ? read_reply(flow, &reply) : -EAGAIN;
	} while (r == 0 && reply.status < 200);
	if (r == -EAGAIN) {
		/* What is there stays there: the next event says that there is more. */
		flow->can_read = false;
		return false;
	}
	if (r == -EPROTO || r == -ENODATA) {
		proxy_fail(flow, r == -EPROTO ? "its answer isn't HTTP" : "it closed");
		return false;
	}
	if (r < 0) {
		proxy_fail(flow, strerror(-r));
		return false;
	}
	if (reply.status >= 300) {
		snprintf(why, sizeof(why), "%u %s", reply.status, reply.reason);
		proxy_fail(flow, why);
		return false;
	}
	tunnel_open(flow);
	return true;
}

/* ---- What the guest says ---- */

/* Asks for the name, or for the address where it is NULL. */
static bool ask_proxy(struct flow_tcp *flow, const char *name)
{
	struct flow_tcp_tunnel *tunnel = flow->tunnel;
	char text[ENDPOINT_TEXT_MAX];

	if (name)
		snprintf(tunnel->target, sizeof(tunnel->target), "%s:%u", name, flow->host.port);
	else
		snprintf(tunnel->target, sizeof(tunnel->target), "%s",
			 endpoint_format(&flow->host, text));
	tunnel->request_size = http_connect_request(tunnel->target, tunnel->proxy->auth,
						    tunnel->request);
	tunnel->step = TUNNEL_ASKING;
	log_debug("CONNECT %s by %s", tunnel->target, endpoint_format(&tunnel->at, text));
	loop_timer_set(flow->timer, FLOW_TCP_TUNNEL_MS);
	return work_asking(flow);
}

static bool decide(struct flow_tcp *flow, const char *name)
{
	if (name && egress_exempts_name(egress_now(flow->tunnel->egress), name, flow->host.port)) {
		go_directly(flow);
		return false;
	}
	return ask_proxy(flow, name && egress_may_ask_for(name) ? name : NULL);
}

static bool work_peeking(struct flow_tcp *flow)
{
	uint8_t bytes[PEEK_SIZE_MAX];
	struct iovec iov[PEEK_PIECES];
	char name[EGRESS_NAME_MAX];
	unsigned count = conn_rx_peek(flow->conn, iov, PEEK_PIECES);
	bool full;
	size_t size = 0;
	int r;

	for (unsigned i = 0; i < count && size < sizeof(bytes); i++) {
		size_t part = iov[i].iov_len;

		if (part > sizeof(bytes) - size)
			part = sizeof(bytes) - size;
		memcpy(bytes + size, iov[i].iov_base, part);
		size += part;
	}
	if (size == 0 && !conn_rx_eof(flow->conn))
		return false;
	full = size == sizeof(bytes) || count == PEEK_PIECES || conn_rx_eof(flow->conn);
	if (size && bytes[0] == TLS_HANDSHAKE)
		r = tls_hello_name(bytes, size, name);
	else
		r = http_request_host(bytes, size, name);
	if (r == -EAGAIN && !full)
		return false;
	return decide(flow, r == 1 ? name : NULL);
}

/* ---- From the flow ---- */

void flow_tcp_egress_begin(struct flow_tcp *flow)
{
	flow->state = FLOW_TUNNELLING;
	flow->tunnel->step = TUNNEL_PEEKING;
	loop_timer_set(flow->timer, FLOW_TCP_PEEK_MS);
}

bool flow_tcp_egress_work(struct flow_tcp *flow)
{
	switch (flow->tunnel->step) {
	case TUNNEL_PEEKING:
		return work_peeking(flow);
	case TUNNEL_ASKING:
		return work_asking(flow);
	case TUNNEL_DIRECT:
		return work_direct(flow);
	}
	return false;
}

void flow_tcp_egress_timer(struct flow_tcp *flow)
{
	switch (flow->tunnel->step) {
	case TUNNEL_PEEKING:
		if (decide(flow, NULL))
			conn_schedule(flow->conn);
		break;
	case TUNNEL_ASKING:
		proxy_fail(flow, "no answer");
		break;
	case TUNNEL_DIRECT:
		tunnel_fail(flow);
		break;
	}
}
