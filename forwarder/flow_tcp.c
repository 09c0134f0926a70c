/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP flows; see flow_tcp.h.
 *
 * The host's socket is watched edge-triggered: its events only note that it may be read or written
 * again, and all work is done in work(), once per round for whatever came together. How the host's
 * side is reached is in flow_tcp_connect.c.
 */
#include "forwarder/flow_tcp.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "forwarder/flow_tcp_egress.h"
#include "forwarder/flow_tcp_private.h"
#include "forwarder/random_port.h"

LOG_MODULE("tcp");

/* Pieces in one recvmsg() and one sendmsg(). */
#define RECV_PIECES 4
#define SEND_PIECES 256
/* What one flow may move in each direction before others get their turn. */
#define ROUND_BYTES (1024 * 1024)
/* A first write of this size or less can't be held back by Nagle's algorithm. */
#define FIRST_WRITE_SMALL 512
/* A flow that has sent this much to the host is worth a look at where it leads. */
#define BULK_BYTES (256 * 1024)
/* A flow that lives longer gets keepalive on its host's socket; most don't, and need none. */
#define KEEPALIVE_AFTER_MS 60000
/* Ports tried for a client that a guest is dialled for. */
#define PORT_ATTEMPTS 16

/* What only flows of published ports have. */
struct inbound {
	struct flow_tcp_traffic *traffic;
	void (*opened)(void *arg, bool accepted);
	void (*closed)(void *arg);
	void *arg;
	bool told; /* `opened` has been called */
	size_t preamble_size;
	size_t preamble_sent;
	uint8_t preamble[];
};

void flow_tcp_table_init(struct flow_tcp_table *table, struct loop *loop)
{
	*table = (struct flow_tcp_table){.loop = loop};
	list_init(&table->flows);
}

static void flow_opened(struct flow_tcp *flow, bool accepted)
{
	struct inbound *inbound = flow->inbound;

	if (!inbound || inbound->told)
		return;
	inbound->told = true;
	inbound->opened(inbound->arg, accepted);
}

/* Tells whoever still waits to hear. */
static void flow_closed(struct flow_tcp *flow)
{
	struct inbound *inbound = flow->inbound;

	if (!inbound)
		return;
	flow_opened(flow, false);
	inbound->closed(inbound->arg);
	free(inbound);
	flow->inbound = NULL;
}

void flow_tcp_free(struct flow_tcp *flow, bool reset)
{
	loop_fd_free(flow->watch);
	loop_timer_free(flow->timer);
	flow_tcp_egress_free(flow->tunnel);
	if (reset && flow->fd >= 0) {
		struct linger abort_it = {.l_onoff = 1};

		setsockopt(flow->fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it));
	}
	fd_close(&flow->fd);
	flow_closed(flow);
	conn_free(flow->conn);
	list_remove(&flow->link);
	flow->table->count--;
	free(flow);
}

void flow_tcp_table_destroy(struct flow_tcp_table *table)
{
	while (!list_empty(&table->flows))
		flow_tcp_free(container_of(list_first(&table->flows), struct flow_tcp, link),
			      false);
	loop_timer_free(table->keepalive_timer);
	table->keepalive_timer = NULL;
}

/* ---- The socket's options, each set when it begins to matter ---- */

/* Segments come from a TCP that has already decided to send them. Fails on unix sockets, which need
 * none. A connection that asks one small question never gets here. */
static void tune_before_write(struct flow_tcp *flow, size_t size)
{
	int on = 1;

	if (flow->no_delay || (!flow->has_sent && size <= FIRST_WRITE_SMALL))
		return;
	flow->no_delay = true;
	setsockopt(flow->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Whether the socket's peer is on this host. */
static bool is_local(int fd)
{
	struct sockaddr_storage sa;
	struct endpoint peer, own;
	socklen_t size = sizeof(sa);

	if (getpeername(fd, (struct sockaddr *)&sa, &size) < 0 ||
	    endpoint_from_sockaddr((struct sockaddr *)&sa, &peer) < 0)
		return false;
	size = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &size) < 0 ||
	    endpoint_from_sockaddr((struct sockaddr *)&sa, &own) < 0)
		return false;
	return addr_is_loopback(&peer.addr) || addr_equal(&peer.addr, &own.addr);
}

/* The host's default congestion control is the administrator's choice for networks. Within the host
 * there is none to congest, but BBR would pace: it costs twice the processor time of what the
 * kernel always offers. */
static void tune_bulk(struct flow_tcp *flow, size_t sent)
{
	static const char without_pacing[] = "reno";

	flow->sent += (uint32_t)sent;
	if (flow->is_bulk || flow->sent < BULK_BYTES)
		return;
	flow->is_bulk = true;
	if (is_local(flow->fd))
		setsockopt(flow->fd, IPPROTO_TCP, TCP_CONGESTION, without_pacing,
			   sizeof(without_pacing) - 1);
}

/* An urgent byte stays where it is in the stream; the kernel would put it aside, and lose it to the
 * next one. */
static void tune_urgent(int fd)
{
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

/* So that a peer that has vanished is found, after the times that the host is set to (Linux: two
 * hours). */
static void tune_keepalive(struct flow_tcp *flow)
{
	int on = 1;

	flow->has_keepalive = true;
	setsockopt(flow->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* The youngest flows are last in the list. */
static void on_keepalive_timer(void *arg)
{
	struct flow_tcp_table *table = arg;

	for (struct list *node = table->flows.prev; node != &table->flows; node = node->prev) {
		struct flow_tcp *flow = container_of(node, struct flow_tcp, link);

		if (flow->is_old)
			break;
		flow->is_old = true;
		if (!flow->has_keepalive)
			tune_keepalive(flow);
	}
}

/* The guest sends keepalive probes, which end here: what keeps its way open (in a NAT router) must
 * be sent on the host's side, as often. */
static void pass_keepalive_on(struct flow_tcp *flow, unsigned seconds)
{
	int idle_s = (int)seconds;

	tune_keepalive(flow);
	setsockopt(flow->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(flow->fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle_s, sizeof(idle_s));
	flow->keepalive_s = seconds;
}

/* Ssh, for one, asks for another class once it knows what it is used for. */
static void pass_service_class_on(struct flow_tcp *flow)
{
	flow->service_class = conn_service_class(flow->conn);
	flow_tcp_set_service_class(flow->fd, flow->service_class);
}

/* ---- Moving bytes ---- */

/* From the guest to the host's socket. Returns 0, or -errno when the host's side is broken. */
static int move_to_host(struct flow_tcp *flow)
{
	size_t moved = 0;

	while (flow->can_write && conn_rx_size(flow->conn) && moved < ROUND_BYTES) {
		struct iovec iov[SEND_PIECES];
		struct msghdr msg = {.msg_iov = iov};
		ssize_t sent;

		msg.msg_iovlen = conn_rx_peek(flow->conn, iov, SEND_PIECES);
		tune_before_write(flow, conn_rx_size(flow->conn));
		sent = sendmsg(flow->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			return -errno;
		if (sent < 0) {
			flow->can_write = false;
			break;
		}
		flow->has_sent = true;
		conn_rx_consume(flow->conn, (size_t)sent);
		moved += (size_t)sent;
	}
	flow->table->bytes_to_host += moved;
	if (flow->inbound)
		flow->inbound->traffic->to_host += moved;
	if (moved && !flow->is_bulk)
		tune_bulk(flow, moved);
	if (flow->can_write && conn_rx_size(flow->conn))
		conn_schedule(flow->conn);
	if (conn_rx_eof(flow->conn) && !flow->host_shut) {
		flow->host_shut = true;
		if (flow->host_eof)
			return 0; /* over in both directions: closing says it, too */
		if (shutdown(flow->fd, SHUT_WR) < 0 && errno != ENOTCONN)
			return -errno;
	}
	return 0;
}

/* What the guest gets before anything of the client's. Returns whether it has all of it. */
static bool send_preamble(struct flow_tcp *flow)
{
	struct inbound *inbound = flow->inbound;

	while (inbound && inbound->preamble_sent < inbound->preamble_size) {
		struct iovec iov;
		size_t size = inbound->preamble_size - inbound->preamble_sent;

		if (!conn_tx_reserve(flow->conn, &iov, 1))
			return false;
		if (size > iov.iov_len)
			size = iov.iov_len;
		memcpy(iov.iov_base, inbound->preamble + inbound->preamble_sent, size);
		conn_tx_commit(flow->conn, size);
		inbound->preamble_sent += size;
	}
	return true;
}

/* From the host's socket to the guest. Returns 0, or -errno when the host's side is broken. */
static int move_to_guest(struct flow_tcp *flow)
{
	size_t moved = 0;

	if (!send_preamble(flow))
		return 0; /* work() comes again when there is room */
	while (flow->can_read && !flow->host_eof && moved < ROUND_BYTES) {
		struct iovec iov[RECV_PIECES];
		struct msghdr msg = {.msg_iov = iov};
		ssize_t got;

		msg.msg_iovlen = conn_tx_reserve(flow->conn, iov, RECV_PIECES);
		if (!msg.msg_iovlen)
			break; /* full: work() comes again when the guest has taken something */
		got = recvmsg(flow->fd, &msg, MSG_DONTWAIT);
		conn_tx_commit(flow->conn, got > 0 ? (size_t)got : 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != EAGAIN)
			return -errno;
		if (got < 0) {
			flow->can_read = false;
			break;
		}
		if (got == 0) {
			flow->host_eof = true;
			flow->can_read = false;
			conn_tx_shutdown(flow->conn);
			break;
		}
		moved += (size_t)got;
	}
	flow->table->bytes_to_guests += moved;
	if (flow->inbound)
		flow->inbound->traffic->to_guest += moved;
	if (moved >= ROUND_BYTES)
		conn_schedule(flow->conn);
	return 0;
}

/* The host's side has closed; it may still be reset, as the answer to what the guest sent to it.
 * Who reads no more must ask. */
static int error_after_end(struct flow_tcp *flow)
{
	socklen_t size = sizeof(int);
	int error = 0;

	if (!flow->host_eof || !flow->can_read)
		return 0;
	flow->can_read = false;
	return getsockopt(flow->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

static void on_work(void *arg)
{
	struct flow_tcp *flow = arg;
	int r;

	if (flow->state == FLOW_TUNNELLING && !flow_tcp_egress_work(flow))
		return; /* it may be gone */
	if (flow->state != FLOW_OPEN)
		return;
	if (conn_guest_keepalive_s(flow->conn) != flow->keepalive_s)
		pass_keepalive_on(flow, conn_guest_keepalive_s(flow->conn));
	if (conn_service_class(flow->conn) != flow->service_class)
		pass_service_class_on(flow);
	r = move_to_host(flow);
	if (r == 0)
		r = move_to_guest(flow);
	if (r == 0)
		r = error_after_end(flow);
	if (r < 0) {
		/* The host's side was reset or timed out: so is the guest's. */
		log_debug("a connection's host side ended: %s", strerror(-r));
		flow_tcp_free(flow, true);
		return;
	}
	if (flow->host_eof && flow->host_shut)
		flow_tcp_free(flow, false);
}

static void on_ended(void *arg, enum conn_end why)
{
	struct flow_tcp *flow = arg;

	if (flow->state == FLOW_OPENING)
		flow->table->refused++;
	/* What the guest sent before its reset has been passed on by on_work(), as far as the
	 * socket took it. */
	(void)why;
	flow_tcp_free(flow, true);
}

static void on_connected(void *arg)
{
	struct flow_tcp *flow = arg;

	if (flow->tunnel) {
		flow_tcp_egress_begin(flow);
		return;
	}
	flow->state = FLOW_OPEN;
	flow_opened(flow, true);
}

static const struct conn_ops flow_ops = {
	.connected = on_connected,
	.work = on_work,
	.ended = on_ended,
};

/* ---- The host's socket ---- */

static void on_host_event(void *arg, int fd, unsigned ready)
{
	struct flow_tcp *flow = arg;

	if (flow->state == FLOW_CONNECTING) {
		flow_tcp_connect_event(flow, fd, ready);
		return;
	}
	if (ready & LOOP_READ)
		flow->can_read = true;
	if (ready & LOOP_WRITE)
		flow->can_write = true;
	conn_schedule(flow->conn);
}

static int flow_alloc(struct flow_tcp_table *table, int fd, enum flow_state state,
		      struct flow_tcp **ret_flow)
{
	struct flow_tcp *flow;
	int r = 0;

	if (!table->keepalive_timer)
		r = loop_timer_new(table->loop, on_keepalive_timer, table, &table->keepalive_timer);
	if (r < 0)
		return r;
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return -ENOMEM;
	flow->table = table;
	flow->fd = fd;
	flow->state = state;
	flow->can_read = flow->can_write = state != FLOW_CONNECTING;
	list_add_tail(&table->flows, &flow->link);
	table->count++;
	table->total++;
	if (!loop_timer_pending(table->keepalive_timer))
		loop_timer_set(table->keepalive_timer, KEEPALIVE_AFTER_MS);
	*ret_flow = flow;
	return 0;
}

static int flow_watch(struct flow_tcp *flow)
{
	int r = loop_fd_new(flow->table->loop, flow->fd, LOOP_READ | LOOP_WRITE | LOOP_EDGE,
			    on_host_event, flow, &flow->watch);

	if (r == 0)
		tune_urgent(flow->fd);
	return r;
}

int flow_tcp_new(struct flow_tcp_table *table, int fd, enum flow_state state,
		 struct flow_tcp **ret_flow)
{
	struct flow_tcp *flow;
	int r = flow_alloc(table, fd, state, &flow);

	if (r < 0)
		return r;
	r = flow_watch(flow);
	if (r < 0) {
		flow->fd = -1;
		flow_tcp_free(flow, false);
		return r;
	}
	*ret_flow = flow;
	return 0;
}

int flow_tcp_replace_socket(struct flow_tcp *flow, int fd)
{
	struct loop_fd *watch;
	int r = loop_fd_new(flow->table->loop, fd, LOOP_READ | LOOP_WRITE | LOOP_EDGE,
			    on_host_event, flow, &watch);

	if (r < 0)
		return r;
	loop_fd_free(flow->watch);
	fd_close(&flow->fd);
	flow->watch = watch;
	flow->fd = fd;
	flow->can_read = flow->can_write = false;
	tune_urgent(fd);
	if (flow->has_keepalive)
		tune_keepalive(flow);
	return 0;
}

void flow_tcp_own(struct flow_tcp *flow, struct conn *conn)
{
	flow->conn = conn;
	conn_own(conn, &flow_ops, flow);
}

void flow_tcp_out_fd(struct flow_tcp_table *table, struct conn *conn, int fd,
		     const struct endpoint *host)
{
	struct flow_tcp *flow;

	if (flow_alloc(table, fd, FLOW_OPENING, &flow) < 0) {
		fd_close(&fd);
		conn_refuse(conn, CONN_REFUSE_RESET);
		return;
	}
	if (host)
		flow->host = *host;
	flow_tcp_own(flow, conn);
	/* First of all: the guest waits for this, and for nothing of the rest. */
	conn_accept(conn);
	if (flow_watch(flow) < 0)
		flow_tcp_free(flow, true);
}

static int inbound_new(const struct flow_tcp_inbound *from, struct inbound **ret)
{
	struct inbound *inbound;

	if (from->preamble_size > FLOW_TCP_PREAMBLE_MAX)
		return -EINVAL;
	inbound = calloc(1, sizeof(*inbound) + from->preamble_size);
	if (!inbound)
		return -ENOMEM;
	inbound->traffic = from->traffic;
	inbound->opened = from->opened;
	inbound->closed = from->closed;
	inbound->arg = from->arg;
	inbound->preamble_size = from->preamble_size;
	if (from->preamble_size)
		memcpy(inbound->preamble, from->preamble, from->preamble_size);
	*ret = inbound;
	return 0;
}

/* Other clients with this address and port may be known to the guest as the same one: then it is
 * dialled from another port. */
static int dial(struct flow_tcp *flow, struct stack *stack, const struct flow_tcp_inbound *inbound)
{
	struct endpoint from = *inbound->from;
	int r = -EADDRINUSE;

	for (int i = 0; i < PORT_ATTEMPTS && r == -EADDRINUSE; i++) {
		if (i > 0 || !from.port)
			from.port = random_port();
		r = conn_connect(stack, &from, inbound->guest, inbound->hop, &flow_ops, flow,
				 &flow->conn);
	}
	return r;
}

int flow_tcp_in(struct flow_tcp_table *table, struct stack *stack,
		const struct flow_tcp_inbound *from)
{
	struct inbound *inbound;
	struct flow_tcp *flow;
	int r = inbound_new(from, &inbound);

	if (r < 0)
		return r;
	r = flow_tcp_new(table, from->fd, FLOW_OPENING, &flow);
	if (r < 0) {
		free(inbound);
		return r;
	}
	r = dial(flow, stack, from);
	if (r < 0) {
		loop_fd_free(flow->watch);
		flow->watch = NULL;
		flow->fd = -1;
		flow_tcp_free(flow, false);
		free(inbound);
		return r;
	}
	flow->inbound = inbound;
	return 0;
}
