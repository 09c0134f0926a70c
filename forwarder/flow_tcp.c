/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP flows; see flow_tcp.h.
 *
 * States: CONNECTING (out: the host's side is connecting, the guest's SYN is held), OPENING (the
 * guest's handshake), OPEN. The host's socket is watched edge-triggered: its events only note that
 * it may be read or written again, and all work is done in work(), once per round for whatever came
 * together.
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

LOG_MODULE("tcp");

/* Pieces in one recvmsg() and one sendmsg(). */
#define RECV_PIECES 4
#define SEND_PIECES 64
/* What one flow may move in each direction before others get their turn. */
#define ROUND_BYTES (1024 * 1024)
/* A first write of this size or less can't be held back by Nagle's algorithm. */
#define FIRST_WRITE_SMALL 512
/* A flow that has sent this much to the host is worth a look at where it leads. */
#define BULK_BYTES (256 * 1024)

enum flow_state { FLOW_CONNECTING, FLOW_OPENING, FLOW_OPEN };

/* What only flows of published ports have. */
struct inbound {
	struct flow_tcp_traffic *traffic;
	void (*opened)(void *arg, bool accepted);
	void (*closed)(void *arg);
	void *arg;
	bool told;             /* `opened` has been called */
	uint8_t preamble_size; /* what is left to send of it */
	uint8_t preamble[FLOW_TCP_PREAMBLE_MAX];
};

struct flow_tcp {
	struct list link;
	struct flow_tcp_table *table;
	struct conn *conn;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *connect_timer; /* while CONNECTING */
	enum flow_state state;
	bool can_read : 1;  /* the host's socket may have something for us */
	bool can_write : 1; /* ... may take something */
	bool host_eof : 1;  /* has nothing more for us */
	bool host_shut : 1; /* has been told that there is nothing more */
	bool has_sent : 1;
	bool no_delay : 1;       /* TCP_NODELAY is set */
	bool is_bulk : 1;        /* tune_bulk() has been here */
	uint32_t sent;           /* bytes to the host, until is_bulk */
	struct inbound *inbound; /* owned; NULL for a guest's own connections */
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

/* Frees the flow. `reset`: close the host's socket with RST. The connection goes as conn_free()
 * decides. */
static void flow_free(struct flow_tcp *flow, bool reset)
{
	loop_fd_free(flow->watch);
	loop_timer_free(flow->connect_timer);
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
		flow_free(container_of(list_first(&table->flows), struct flow_tcp, link), false);
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

	while (inbound && inbound->preamble_size) {
		struct iovec iov;
		size_t size = inbound->preamble_size;

		if (!conn_tx_reserve(flow->conn, &iov, 1))
			return false;
		if (size > iov.iov_len)
			size = iov.iov_len;
		memcpy(iov.iov_base, inbound->preamble, size);
		conn_tx_commit(flow->conn, size);
		inbound->preamble_size -= (uint8_t)size;
		memmove(inbound->preamble, inbound->preamble + size, inbound->preamble_size);
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

static void on_work(void *arg)
{
	struct flow_tcp *flow = arg;
	int r;

	if (flow->state != FLOW_OPEN)
		return;
	r = move_to_host(flow);
	if (r == 0)
		r = move_to_guest(flow);
	if (r < 0) {
		/* The host's side was reset or timed out: so is the guest's. */
		log_debug("a connection's host side ended: %s", strerror(-r));
		flow_free(flow, true);
		return;
	}
	if (flow->host_eof && flow->host_shut)
		flow_free(flow, false);
}

static void on_ended(void *arg, enum conn_end why)
{
	struct flow_tcp *flow = arg;

	if (flow->state == FLOW_OPENING)
		flow->table->refused++;
	/* What the guest sent before its reset has been passed on by on_work(), as far as the
	 * socket took it. */
	(void)why;
	flow_free(flow, true);
}

static void on_connected(void *arg)
{
	struct flow_tcp *flow = arg;

	flow->state = FLOW_OPEN;
	flow_opened(flow, true);
}

static const struct conn_ops flow_ops = {
	.connected = on_connected,
	.work = on_work,
	.ended = on_ended,
};

/* ---- The host's socket ---- */

static enum conn_refusal refusal_for(int error)
{
	switch (error) {
	case ENETUNREACH:
	case ENETDOWN:
		return CONN_REFUSE_NET;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ETIMEDOUT:
		return CONN_REFUSE_HOST;
	case EACCES:
	case EPERM:
		return CONN_REFUSE_ADMIN;
	default:
		return CONN_REFUSE_RESET;
	}
}

/* The connect to the host's side failed: the guest learns how, as a router or the far side would
 * say it. */
static void flow_refuse(struct flow_tcp *flow, int error)
{
	char text[ENDPOINT_TEXT_MAX];
	struct conn *conn = flow->conn;

	log_debug("connect to %s: %s", endpoint_format(conn_far(conn), text), strerror(error));
	flow->table->refused++;
	flow->conn = NULL;
	conn_refuse(conn, refusal_for(error));
	flow_free(flow, false);
}

static void flow_host_connected(struct flow_tcp *flow)
{
	flow->state = FLOW_OPENING;
	flow->can_read = flow->can_write = true;
	loop_timer_free(flow->connect_timer);
	flow->connect_timer = NULL;
	conn_accept(flow->conn);
}

static void on_host_event(void *arg, int fd, unsigned ready)
{
	struct flow_tcp *flow = arg;
	int error = 0;
	socklen_t size = sizeof(error);

	if (flow->state == FLOW_CONNECTING) {
		if (!(ready & LOOP_WRITE))
			return;
		/* An error, or a hang-up, makes a socket readable too. So do bytes: only then ask.
		 */
		if ((ready & LOOP_READ) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
			error = errno;
		if (error)
			flow_refuse(flow, error);
		else
			flow_host_connected(flow);
		return;
	}
	if (ready & LOOP_READ)
		flow->can_read = true;
	if (ready & LOOP_WRITE)
		flow->can_write = true;
	conn_schedule(flow->conn);
}

static void on_connect_timeout(void *arg)
{
	flow_refuse(arg, ETIMEDOUT);
}

/* Makes a flow of a socket, which is taken over only on success; the connection is not yet its own.
 */
static int flow_new(struct flow_tcp_table *table, int fd, enum flow_state state,
		    struct flow_tcp **ret_flow)
{
	struct flow_tcp *flow = calloc(1, sizeof(*flow));
	int r;

	if (!flow)
		return -ENOMEM;
	flow->table = table;
	flow->fd = fd;
	flow->state = state;
	flow->can_read = flow->can_write = state != FLOW_CONNECTING;
	list_add_tail(&table->flows, &flow->link);
	table->count++;
	table->total++;
	r = loop_fd_new(table->loop, fd, LOOP_READ | LOOP_WRITE | LOOP_EDGE, on_host_event, flow,
			&flow->watch);
	if (r < 0) {
		flow->fd = -1;
		flow_free(flow, false);
		return r;
	}
	*ret_flow = flow;
	return 0;
}

/* Returns 0 with a socket that is connected or connecting. */
static int host_connect(const struct endpoint *host, int *ret_fd)
{
	struct sockaddr_storage sa;
	socklen_t size = endpoint_to_sockaddr(host, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, size) < 0 && errno != EINPROGRESS) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

void flow_tcp_out(struct flow_tcp_table *table, struct conn *conn, const struct endpoint *host)
{
	struct flow_tcp *flow;
	int fd = -1;
	int r = host_connect(host, &fd);

	if (r == 0)
		r = flow_new(table, fd, FLOW_CONNECTING, &flow);
	if (r < 0) {
		fd_close(&fd);
		table->refused++;
		if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
			log_limited(LOG_LEVEL_ERROR, "no socket for a guest's connection: %s",
				    strerror(-r));
		conn_refuse(conn, refusal_for(-r));
		return;
	}
	flow->conn = conn;
	conn_own(conn, &flow_ops, flow);
	r = loop_timer_new(table->loop, on_connect_timeout, flow, &flow->connect_timer);
	if (r == 0)
		loop_timer_set(flow->connect_timer, FLOW_TCP_CONNECT_TIMEOUT_MS);
}

void flow_tcp_out_fd(struct flow_tcp_table *table, struct conn *conn, int fd)
{
	struct flow_tcp *flow;
	int r = flow_new(table, fd, FLOW_OPENING, &flow);

	if (r < 0) {
		fd_close(&fd);
		conn_refuse(conn, CONN_REFUSE_RESET);
		return;
	}
	flow->conn = conn;
	conn_own(conn, &flow_ops, flow);
	conn_accept(conn);
}

static int inbound_new(const struct flow_tcp_inbound *from, struct inbound **ret)
{
	struct inbound *inbound;

	if (from->preamble_size > FLOW_TCP_PREAMBLE_MAX)
		return -EINVAL;
	inbound = calloc(1, sizeof(*inbound));
	if (!inbound)
		return -ENOMEM;
	inbound->traffic = from->traffic;
	inbound->opened = from->opened;
	inbound->closed = from->closed;
	inbound->arg = from->arg;
	inbound->preamble_size = (uint8_t)from->preamble_size;
	if (from->preamble_size)
		memcpy(inbound->preamble, from->preamble, from->preamble_size);
	*ret = inbound;
	return 0;
}

int flow_tcp_in(struct flow_tcp_table *table, struct stack *stack,
		const struct flow_tcp_inbound *from)
{
	struct inbound *inbound;
	struct flow_tcp *flow;
	int r = inbound_new(from, &inbound);

	if (r < 0)
		return r;
	r = flow_new(table, from->fd, FLOW_OPENING, &flow);
	if (r < 0) {
		free(inbound);
		return r;
	}
	r = conn_connect(stack, from->from, from->guest, &flow_ops, flow, &flow->conn);
	if (r < 0) {
		loop_fd_free(flow->watch);
		flow->watch = NULL;
		flow->fd = -1;
		flow_free(flow, false);
		free(inbound);
		return r;
	}
	flow->inbound = inbound;
	return 0;
}
