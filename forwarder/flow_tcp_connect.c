/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest's connection reaches the host's side: the guest's SYN is held until the host's
 * connect has ended, one way or another. Any number of connects may be under way; each has its own
 * time, and ends when its guest has given up.
 */
#include "forwarder/flow_tcp_connect.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "forwarder/flow_tcp_egress.h"
#include "forwarder/flow_tcp_private.h"

LOG_MODULE("tcp");

/* ---- Decisions ---- */

enum conn_refusal flow_tcp_refusal(int error, sa_family_t family)
{
	switch (error) {
	case ENETUNREACH:
	case ENETDOWN:
	case ENODEV:
	case EAFNOSUPPORT: /* a host without IPv6 */
	case EPFNOSUPPORT:
	case EPROTONOSUPPORT:
	case ESOCKTNOSUPPORT:
	case EINVAL: /* an address that no route leads to */
		return CONN_REFUSE_NET;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENONET:
	case EOPNOTSUPP: /* ICMP: a source route failed */
		return CONN_REFUSE_HOST;
	case EACCES: /* a route that prohibits, ICMPv6 prohibited */
	case EPERM:  /* the host's own packet filter */
		return CONN_REFUSE_ADMIN;
	case EADDRNOTAVAIL:
		/* IPv6: the host has no address of that scope. IPv4: no port is left for now. */
		return family == AF_INET6 ? CONN_REFUSE_NET : CONN_REFUSE_SILENTLY;
	case ETIMEDOUT: /* nobody said a word */
	case EAGAIN:
	case EADDRINUSE:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case ENOSPC:
	case ENOSR:
	case EINTR:
		return CONN_REFUSE_SILENTLY;
	default:
		/* ECONNREFUSED, ECONNRESET, ENOPROTOOPT (ICMP: no such protocol), ...: there is
		 * somebody, who won't. */
		return CONN_REFUSE_RESET;
	}
}

bool flow_tcp_is_shortage(int error, sa_family_t family)
{
	return error != ETIMEDOUT && flow_tcp_refusal(error, family) == CONN_REFUSE_SILENTLY;
}

uint64_t flow_tcp_waits_until(uint64_t last_ms, uint64_t gap_ms)
{
	/* The next one comes after at most twice the gap. It, too, may get lost. */
	uint64_t patience_ms = gap_ms * 3;

	if (patience_ms < FLOW_TCP_GIVEN_UP_MS)
		patience_ms = FLOW_TCP_GIVEN_UP_MS;
	return last_ms + patience_ms;
}

/* ---- Connecting ---- */

/* The port is chosen on connect, when the far side is known: else there are few of them. */
static int bind_outbound(int fd, const struct outbound *outbound, const struct endpoint *host)
{
	struct endpoint from = {.addr = *outbound_of(outbound, host->addr.family)};
	struct sockaddr_storage sa;
	int one = 1;

	if (from.addr.family == AF_UNSPEC || addr_is_loopback(&host->addr))
		return 0;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&sa, endpoint_to_sockaddr(&from, &sa)) < 0 ? -errno : 0;
}

/* Of IPv4, of IPv6, or of both on a socket that is for both. */
void flow_tcp_set_service_class(int fd, uint8_t service_class)
{
	int tos = service_class;

	setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

int flow_tcp_host_connect(const struct flow_tcp_table *table, const struct endpoint *host,
			  uint8_t service_class, int *ret_fd)
{
	struct sockaddr_storage sa;
	socklen_t size = endpoint_to_sockaddr(host, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (service_class)
		flow_tcp_set_service_class(fd, service_class);
	r = bind_outbound(fd, &table->outbound, host);
	if (r == 0 && connect(fd, (struct sockaddr *)&sa, size) < 0 && errno != EINPROGRESS)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* Whether a connect that was just begun is over, as it is within the host unless the service is
 * busy: 1, 0 or -errno. Waiting to be told would only take time. */
static int connected_at_once(int fd, const struct endpoint *host)
{
	struct sockaddr_storage sa;
	socklen_t size = endpoint_to_sockaddr(host, &sa);

	if (!addr_is_loopback(&host->addr))
		return 0;
	if (connect(fd, (struct sockaddr *)&sa, size) == 0 || errno == EISCONN)
		return 1;
	return errno == EALREADY || errno == EINPROGRESS ? 0 : -errno;
}

int flow_tcp_socket_error(int fd, unsigned ready)
{
	int error = 0;
	socklen_t size = sizeof(error);

	/* An error, or a hang-up, makes a socket readable too. So do bytes: only then ask. */
	if ((ready & LOOP_READ) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	return error;
}

/* Tells the guest that there will be no connection, and its host's user if that is this host's own
 * fault. */
static void refuse(struct flow_tcp_table *table, struct conn *conn, const struct endpoint *host,
		   int error)
{
	char text[ENDPOINT_TEXT_MAX];

	log_debug("connect to %s: %s", endpoint_format(host, text), strerror(error));
	if (flow_tcp_is_shortage(error, host->addr.family))
		log_limited(LOG_LEVEL_ERROR, "no connect to %s is possible for now: %s",
			    endpoint_format(host, text), strerror(error));
	table->refused++;
	conn_refuse(conn, flow_tcp_refusal(error, host->addr.family));
}

static void flow_refuse(struct flow_tcp *flow, int error)
{
	struct conn *conn = flow->conn;

	flow->conn = NULL;
	refuse(flow->table, conn, flow->tunnel ? flow_tcp_egress_at(flow->tunnel) : &flow->host,
	       error);
	flow_tcp_free(flow, false);
}

/* Connects to the proxy's addresses until one of them doesn't fail at once. */
static int tunnel_connect(const struct flow_tcp_table *table, struct flow_tcp_tunnel *tunnel,
			  uint8_t service_class, int *ret_fd)
{
	int r;

	do {
		r = flow_tcp_host_connect(table, flow_tcp_egress_at(tunnel), service_class, ret_fd);
	} while (r < 0 && flow_tcp_egress_next(tunnel, -r));
	return r;
}

/* The connect failed. A proxy may have further addresses. */
static void connect_failed(struct flow_tcp *flow, int error)
{
	int fd = -1;
	int r;

	if (!flow->tunnel || !flow_tcp_egress_next(flow->tunnel, error)) {
		flow_refuse(flow, error);
		return;
	}
	r = tunnel_connect(flow->table, flow->tunnel, flow->service_class, &fd);
	if (r == 0)
		r = flow_tcp_replace_socket(flow, fd);
	if (r < 0) {
		fd_close(&fd);
		flow_refuse(flow, -r);
	}
}

void flow_tcp_connect_event(struct flow_tcp *flow, int fd, unsigned ready)
{
	int error;

	if (!(ready & LOOP_WRITE))
		return;
	error = flow_tcp_socket_error(fd, ready);
	if (error) {
		connect_failed(flow, error);
		return;
	}
	flow->state = FLOW_OPENING;
	flow->can_read = flow->can_write = true;
	loop_timer_cancel(flow->timer);
	if (!flow->tunnel) {
		loop_timer_free(flow->timer);
		flow->timer = NULL;
	}
	conn_accept(flow->conn);
}

static uint64_t waits_until(const struct flow_tcp *flow)
{
	uint64_t last_ms, gap_ms;

	conn_held_syn(flow->conn, &last_ms, &gap_ms);
	return flow_tcp_waits_until(last_ms, gap_ms);
}

static void set_connect_timer(struct flow_tcp *flow, uint64_t now_ms)
{
	uint64_t until_ms = waits_until(flow);

	if (until_ms > flow->deadline_ms)
		until_ms = flow->deadline_ms;
	loop_timer_set(flow->timer, until_ms > now_ms ? until_ms - now_ms : 0);
}

static void on_timer(void *arg)
{
	struct flow_tcp *flow = arg;
	uint64_t now_ms = loop_now_ms(flow->table->loop);

	if (flow->state == FLOW_TUNNELLING)
		flow_tcp_egress_timer(flow);
	else if (now_ms >= flow->deadline_ms || now_ms >= waits_until(flow))
		flow_refuse(flow, ETIMEDOUT);
	else
		set_connect_timer(flow, now_ms);
}

void flow_tcp_out(struct flow_tcp_table *table, struct conn *conn, const struct endpoint *host)
{
	uint8_t service_class = conn_service_class(conn);
	struct flow_tcp_tunnel *tunnel = NULL;
	struct flow_tcp *flow;
	int fd = -1;
	int r = flow_tcp_egress_new(table, host, &tunnel);

	if (r == -EAGAIN) {
		/* Where the proxy is will be known when the guest tries again. */
		conn_refuse(conn, CONN_REFUSE_SILENTLY);
		return;
	}
	if (r == 0)
		r = tunnel ? tunnel_connect(table, tunnel, service_class, &fd)
			   : flow_tcp_host_connect(table, host, service_class, &fd);
	if (r == 0 && !tunnel)
		r = connected_at_once(fd, host);
	if (r > 0) {
		flow_tcp_out_fd(table, conn, fd, host);
		return;
	}
	if (r == 0)
		r = flow_tcp_new(table, fd, FLOW_CONNECTING, &flow);
	if (r < 0) {
		fd_close(&fd);
		refuse(table, conn, tunnel ? flow_tcp_egress_at(tunnel) : host, -r);
		flow_tcp_egress_free(tunnel);
		return;
	}
	flow->host = *host;
	flow->tunnel = tunnel;
	flow->service_class = service_class;
	flow_tcp_own(flow, conn);
	r = loop_timer_new(table->loop, on_timer, flow, &flow->timer);
	if (r < 0) {
		flow_refuse(flow, -r);
		return;
	}
	flow->deadline_ms = loop_now_ms(table->loop) + FLOW_TCP_CONNECT_TIMEOUT_MS;
	set_connect_timer(flow, loop_now_ms(table->loop));
}
