/* SPDX-License-Identifier: Apache-2.0 */
/* Echo requests through host sockets; see flow_icmp.h. */
#include "forwarder/flow_icmp.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/csum.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "forwarder/flow_sock.h"
#include "forwarder/flow_table.h"
#include "forwarder/icmp_relay.h"
#include "forwarder/route.h"
#include "netstack/bytes.h"

LOG_MODULE("icmp");

#define DATAGRAM_MAX 65536
#define REPLIES_MAX  64 /* read from one socket at a time */

static const uint64_t age_ms[] = {FLOW_ICMP_IDLE_MS};

struct flow_icmp {
	struct flow flow; /* flow.guest.port is the guest's echo id */
	struct flow_icmp_table *table;
	struct icmp_relay relay;
	struct loop_fd *watch;
	int fd;
	bool raw; /* relay.id is the echo id on the host's side; else it is the kernel's choice */
	enum { DF_UNSET, DF_CLEAR, DF_SET } dont_fragment; /* the socket's option */
};

/* How much a guest may send now. */
struct bucket {
	uint32_t tokens;
	uint64_t filled_ms; /* 0: never */
};

struct flow_icmp_table {
	struct loop *loop;
	struct stack *stack;
	struct flow_table flows;
	struct bucket buckets[SWITCH_PORTS_MAX + 1];
	bool told_unable;
	uint16_t next_raw_id;
	uint64_t dropped;
	uint8_t buffer[DATAGRAM_MAX];
};

static void flow_icmp_free(struct flow_icmp *flow)
{
	loop_fd_free(flow->watch);
	fd_close(&flow->fd);
	free(flow);
}

static void flow_end(struct flow *flow)
{
	struct flow_icmp *icmp = container_of(flow, struct flow_icmp, flow);

	flow_table_remove(&icmp->table->flows, flow);
	flow_icmp_free(icmp);
}

/* Takes tokens, where there are enough. */
static bool bucket_take(struct bucket *bucket, uint64_t now_ms, uint32_t cost)
{
	uint64_t elapsed = bucket->filled_ms ? now_ms - bucket->filled_ms : 1000;
	uint64_t tokens = bucket->tokens + elapsed * FLOW_ICMP_RATE / 1000;

	if (elapsed >= 1000 || tokens > FLOW_ICMP_RATE)
		tokens = FLOW_ICMP_RATE;
	bucket->filled_ms = now_ms;
	bucket->tokens = (uint32_t)tokens;
	if (bucket->tokens < cost)
		return false;
	bucket->tokens -= cost;
	return true;
}

/* ---- Replies ---- */

static void input_reply(struct flow_icmp *flow, struct msghdr *msg, const uint8_t *data,
			size_t size)
{
	struct stack *stack = flow->table->stack;
	sa_family_t family = flow->flow.guest.addr.family;
	struct wire_reader r = wire_reader(data, size);
	struct flow_marks marks = flow_control_get(msg);
	struct endpoint host, seen;
	uint16_t id, sequence;
	uint8_t type;

	if (flow->raw && family == AF_INET)
		wire_skip(&r, size ? (size_t)(data[0] & 0x0f) * 4 : 0);
	type = wire_u8(&r);
	wire_skip(&r, 3);
	id = wire_be16(&r);
	sequence = wire_be16(&r);
	if (!wire_ok(&r) || type != (family == AF_INET6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY) ||
	    (flow->raw && id != flow->relay.id) ||
	    endpoint_from_sockaddr(msg->msg_name, &host) < 0 ||
	    !route_reverse_allowed(stack_conf(stack), &host.addr))
		return;
	seen = route_reverse(stack_conf(stack), &host);
	stack_send_echo_reply(stack, &seen.addr, &flow->flow.guest.addr, flow->flow.guest.port,
			      sequence, marks.ttl, marks.tos, r.pos, wire_left(&r));
}

static void on_socket(void *arg, int fd, unsigned ready)
{
	struct flow_icmp *flow = arg;
	struct flow_icmp_table *table = flow->table;

	(void)ready;
	for (int i = 0; i < REPLIES_MAX; i++) {
		struct sockaddr_storage from = {0};
		_Alignas(struct cmsghdr) uint8_t control[FLOW_CONTROL_SIZE];
		struct iovec iov = {.iov_base = table->buffer, .iov_len = sizeof(table->buffer)};
		struct msghdr msg = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t size = recvmsg(fd, &msg, MSG_DONTWAIT);

		if (size < 0) {
			/* Ready, and nothing there: it is an error that waits. */
			if (i == 0 || errno != EAGAIN)
				icmp_relay_errors(&flow->relay);
			return;
		}
		input_reply(flow, &msg, table->buffer, (size_t)size);
	}
}

/* ---- Requests ---- */

static void tell_unable(struct flow_icmp_table *table, int error)
{
	if (table->told_unable)
		return;
	table->told_unable = true;
	log_warn("guests can't ping beyond the gateway: no ICMP socket (%s). Allow ping sockets "
		 "with 'sysctl net.ipv4.ping_group_range=\"0 2147483647\"', or grant CAP_NET_RAW",
		 strerror(error));
}

static int open_socket(struct flow_icmp *flow, sa_family_t family)
{
	struct flow_icmp_table *table = flow->table;
	int r = flow_sock_ping(family, &flow->fd);

	if (r != -EACCES && r != -EPERM)
		return r;
	flow->raw = true;
	flow->relay.only_id = true;
	flow->relay.id = table->next_raw_id++;
	r = flow_sock_raw_echo(family, flow->relay.id, &flow->fd);
	if (r == -EPERM || r == -EACCES)
		tell_unable(table, -r);
	return r;
}

/* Returns 0, or -errno with everything undone. */
static int flow_open(struct flow_icmp *flow, const struct endpoint *guest, unsigned port)
{
	struct flow_icmp_table *table = flow->table;
	int r = open_socket(flow, guest->addr.family);

	/* Out of descriptors: one of the guest's own makes room. */
	if (r == -EMFILE && flow_table_evict(&table->flows, port))
		r = open_socket(flow, guest->addr.family);
	if (r < 0)
		return r;
	flow->relay.stack = table->stack;
	flow->relay.fd = flow->fd;
	flow->relay.guest = *guest;
	flow->relay.protocol = guest->addr.family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	r = loop_fd_new(table->loop, flow->fd, LOOP_READ, on_socket, flow, &flow->watch);
	if (r < 0)
		return r;
	return flow_table_add(&table->flows, &flow->flow, guest, port, 0);
}

static int flow_new(struct flow_icmp_table *table, const struct endpoint *guest, unsigned port,
		    struct flow_icmp **ret_flow)
{
	struct flow_icmp *flow;
	int r;

	flow_table_make_room(&table->flows, port);
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return -ENOMEM;
	flow->table = table;
	flow->fd = -1;
	r = flow_open(flow, guest, port);
	if (r < 0) {
		flow_icmp_free(flow);
		return r;
	}
	*ret_flow = flow;
	return 0;
}

/* Makes the socket treat requests that are too large for the path as the guest wants it. */
static void prepare_dont_fragment(struct flow_icmp *flow, bool dont_fragment)
{
	if (flow->dont_fragment == (dont_fragment ? DF_SET : DF_CLEAR))
		return;
	if (flow_sock_set_dont_fragment(flow->fd, flow->flow.guest.addr.family, dont_fragment) == 0)
		flow->dont_fragment = dont_fragment ? DF_SET : DF_CLEAR;
}

static void put_request(uint8_t header[static ICMP_HEADER_SIZE], const struct flow_icmp *flow,
			const struct stack_echo *echo)
{
	struct wire_writer w = wire_writer(header, ICMP_HEADER_SIZE);
	struct iovec iov[2] = {
		{.iov_base = header, .iov_len = ICMP_HEADER_SIZE},
		{.iov_base = (uint8_t *)(uintptr_t)echo->payload, .iov_len = echo->size},
	};
	uint16_t csum;

	wire_put_u8(&w, echo->dst.family == AF_INET6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO);
	wire_put_u8(&w, 0);
	wire_put_be16(&w, 0);
	wire_put_be16(&w, flow->relay.id);
	wire_put_be16(&w, echo->sequence);
	if (!flow->raw || echo->dst.family == AF_INET6)
		return; /* the kernel's business */
	csum = csum_fold(csum_add_iov(0, iov, 2, 0, ICMP_HEADER_SIZE + echo->size));
	store_csum(header + ICMP_AT_CSUM, csum);
}

static void send_request(struct flow_icmp *flow, const struct stack_echo *echo,
			 const struct endpoint *host)
{
	struct flow_marks marks = {.ttl = flow_ttl_next(echo->ttl), .tos = echo->tos};
	uint8_t header[ICMP_HEADER_SIZE];
	_Alignas(struct cmsghdr) uint8_t control[FLOW_CONTROL_SIZE];
	struct iovec iov[2] = {
		{.iov_base = header, .iov_len = sizeof(header)},
		{.iov_base = (uint8_t *)(uintptr_t)echo->payload, .iov_len = echo->size},
	};
	struct sockaddr_storage to;
	struct msghdr msg = {.msg_name = &to, .msg_iov = iov, .msg_iovlen = 2};
	unsigned mtu = 0;
	int error = 0;

	msg.msg_namelen = endpoint_to_sockaddr(&(struct endpoint){.addr = host->addr}, &to);
	put_request(header, flow, echo);
	flow_control_put(&msg, control, host->addr.family, &marks);
	/* The first failure may be an earlier request's. */
	for (int attempt = 0; attempt < 2; attempt++) {
		if (sendmsg(flow->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return;
		error = errno;
		mtu = icmp_relay_errors(&flow->relay);
		if (error == EMSGSIZE && mtu)
			break;
	}
	flow->table->dropped++;
	icmp_relay_failure(flow->table->stack, error, mtu, echo->ip, echo->ip_size);
}

void flow_icmp_send(struct flow_icmp_table *table, const struct stack_echo *echo,
		    const struct endpoint *host)
{
	struct endpoint guest = {.addr = echo->src, .port = echo->id};
	struct flow *found = flow_table_find(&table->flows, &guest);
	struct flow_icmp *flow;
	int r;

	if (!bucket_take(&table->buckets[echo->port], loop_now_ms(table->loop),
			 found ? 1 : FLOW_ICMP_FLOW_COST)) {
		table->dropped++;
		return;
	}
	if (found) {
		flow = container_of(found, struct flow_icmp, flow);
		flow_table_active(&table->flows, found, echo->port, 0);
	} else {
		r = flow_new(table, &guest, echo->port, &flow);
		if (r < 0) {
			table->dropped++;
			/* That we may not send is nothing that a router has said. */
			if (r != -EPERM && r != -EACCES)
				icmp_relay_failure(table->stack, -r, 0, echo->ip, echo->ip_size);
			return;
		}
	}
	icmp_relay_keep(&flow->relay, echo->ip, echo->ip_size);
	prepare_dont_fragment(flow, echo->dont_fragment);
	send_request(flow, echo, host);
}

/* ---- The table ---- */

void flow_icmp_port_gone(struct flow_icmp_table *table, unsigned port)
{
	flow_table_port_gone(&table->flows, port);
	table->buckets[port] = (struct bucket){0};
}

const struct flow_table *flow_icmp_flows(const struct flow_icmp_table *table)
{
	return &table->flows;
}

struct flow_icmp_counters flow_icmp_counters(const struct flow_icmp_table *table)
{
	return (struct flow_icmp_counters){
		.flows = table->flows.flows.count,
		.total = table->flows.total,
		.dropped = table->dropped,
	};
}

int flow_icmp_table_new(struct loop *loop, struct stack *stack, struct flow_icmp_table **ret_table)
{
	struct flow_icmp_table *table = calloc(1, sizeof(*table));
	struct flow_table_conf flows = {
		.loop = loop,
		.age_ms = age_ms,
		.ages = 1,
		.guest_max = FLOW_ICMP_GUEST_MAX,
		.total_max = FLOW_ICMP_MAX,
		.end = flow_end,
	};
	int r;

	if (!table)
		return -ENOMEM;
	table->loop = loop;
	table->stack = stack;
	r = flow_table_init(&table->flows, &flows);
	if (r < 0) {
		free(table);
		return r;
	}
	table->next_raw_id = (uint16_t)table->flows.key.words[0];
	*ret_table = table;
	return 0;
}

void flow_icmp_table_free(struct flow_icmp_table *table)
{
	if (!table)
		return;
	flow_table_destroy(&table->flows);
	free(table);
}
