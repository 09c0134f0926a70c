/* SPDX-License-Identifier: Apache-2.0 */
/* Echo requests through host sockets; see flow_icmp.h. */
#include "forwarder/flow_icmp.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/csum.h"
#include "base/hmap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "forwarder/icmp_relay.h"
#include "forwarder/route.h"

LOG_MODULE("icmp");

#define ICMP_HEADER_SIZE 8
#define DATAGRAM_MAX     65536
#define REPLIES_MAX      64 /* read from one socket at a time */
#define DEFAULT_TTL      64

struct flow_icmp {
	struct hmap_node node;
	struct list link; /* in table.flows_by_use, the oldest first */
	struct flow_icmp_table *table;
	struct endpoint guest; /* the port is the guest's echo id */
	uint64_t active_ms;
	int fd;
	bool raw;    /* a raw socket: replies come with the IP header, and everybody's */
	uint16_t id; /* the echo id on the host's side; ping sockets: the kernel's choice */
	uint8_t ttl;
	struct loop_fd *watch;
};

struct flow_icmp_table {
	struct loop *loop;
	struct stack *stack;
	struct hmap flows;
	struct list by_use;
	struct hash_key key;
	struct loop_timer *timer;
	bool told_unable;
	uint16_t next_raw_id;
	struct flow_icmp_counters counters;
	uint8_t buffer[DATAGRAM_MAX];
};

static uint64_t guest_hash(const struct flow_icmp_table *table, const struct endpoint *guest)
{
	struct {
		uint32_t ip;
		uint32_t id;
	} key = {.ip = guest->addr.v4.s_addr, .id = guest->port};

	return hash_bytes(&table->key, &key, sizeof(key));
}

static struct flow_icmp *flow_find(struct flow_icmp_table *table, const struct endpoint *guest)
{
	struct hmap_node *node = hmap_find(&table->flows, guest_hash(table, guest));

	for (; node; node = hmap_find_next(node)) {
		struct flow_icmp *flow = container_of(node, struct flow_icmp, node);

		if (endpoint_equal(&flow->guest, guest))
			return flow;
	}
	return NULL;
}

static void flow_free(struct flow_icmp *flow)
{
	struct flow_icmp_table *table = flow->table;

	loop_fd_free(flow->watch);
	fd_close(&flow->fd);
	list_remove(&flow->link);
	hmap_remove(&table->flows, &flow->node);
	table->counters.flows--;
	free(flow);
}

static void on_timer(void *arg)
{
	struct flow_icmp_table *table = arg;
	uint64_t now = loop_now_ms(table->loop);

	while (!list_empty(&table->by_use)) {
		struct flow_icmp *flow = container_of(list_first(&table->by_use), struct flow_icmp,
						      link);
		uint64_t end = flow->active_ms + FLOW_ICMP_IDLE_MS;

		if (end > now) {
			loop_timer_set(table->timer, end - now);
			return;
		}
		flow_free(flow);
	}
}

/* ---- Replies ---- */

static void input_reply(struct flow_icmp *flow, const struct sockaddr_storage *from,
			const uint8_t *data, size_t size)
{
	struct wire_reader r = wire_reader(data, size);
	struct endpoint host, seen;
	uint16_t id, sequence;
	const uint8_t *payload;
	uint8_t type;

	if (flow->raw)
		wire_skip(&r, size ? (size_t)(data[0] & 0x0f) * 4 : 0);
	type = wire_u8(&r);
	wire_skip(&r, 3);
	id = wire_be16(&r);
	sequence = wire_be16(&r);
	if (!wire_ok(&r) || type != ICMP_ECHOREPLY || (flow->raw && id != flow->id) ||
	    endpoint_from_sockaddr((const struct sockaddr *)from, &host) < 0)
		return;
	payload = r.pos;
	seen = route_reverse(stack_conf(flow->table->stack), &host);
	stack_send_echo_reply(flow->table->stack, &seen.addr, &flow->guest.addr, flow->guest.port,
			      sequence, DEFAULT_TTL, 0, payload, wire_left(&r));
}

static void on_socket(void *arg, int fd, unsigned ready)
{
	struct flow_icmp *flow = arg;
	struct flow_icmp_table *table = flow->table;

	(void)ready;
	icmp_relay_errors(table->stack, fd, &flow->guest, IPPROTO_ICMP);
	for (int i = 0; i < REPLIES_MAX; i++) {
		struct sockaddr_storage from = {0};
		socklen_t from_size = sizeof(from);
		ssize_t size = recvfrom(fd, table->buffer, sizeof(table->buffer), MSG_DONTWAIT,
					(struct sockaddr *)&from, &from_size);

		if (size < 0)
			return;
		input_reply(flow, &from, table->buffer, (size_t)size);
	}
}

/* ---- Requests ---- */

static int open_raw(int *ret_fd)
{
	struct icmp_filter filter = {.data = ~(1u << ICMP_ECHOREPLY)};
	int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter));
	*ret_fd = fd;
	return 0;
}

static int open_socket(struct flow_icmp_table *table, struct flow_icmp *flow)
{
	int on = 1;
	int r = 0;

	flow->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (flow->fd < 0) {
		r = open_raw(&flow->fd);
		flow->raw = true;
		flow->id = table->next_raw_id++;
	}
	if (r < 0)
		return r;
	setsockopt(flow->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	return 0;
}

static int flow_new(struct flow_icmp_table *table, const struct endpoint *guest,
		    struct flow_icmp **ret_flow)
{
	struct flow_icmp *flow = calloc(1, sizeof(*flow));
	int r;

	if (!flow)
		return -ENOMEM;
	flow->table = table;
	flow->guest = *guest;
	list_init(&flow->link);
	r = open_socket(table, flow);
	if (r < 0) {
		free(flow);
		return r;
	}
	r = hmap_insert(&table->flows, &flow->node, guest_hash(table, guest));
	if (r < 0) {
		close(flow->fd);
		free(flow);
		return r;
	}
	table->counters.flows++;
	r = loop_fd_new(table->loop, flow->fd, LOOP_READ, on_socket, flow, &flow->watch);
	if (r < 0) {
		flow_free(flow);
		return r;
	}
	table->counters.total++;
	*ret_flow = flow;
	return 0;
}

static struct flow_icmp *flow_get(struct flow_icmp_table *table, const struct endpoint *guest)
{
	struct flow_icmp *flow = flow_find(table, guest);
	int r;

	if (flow)
		return flow;
	if (table->flows.count >= FLOW_ICMP_MAX)
		flow_free(container_of(list_first(&table->by_use), struct flow_icmp, link));
	r = flow_new(table, guest, &flow);
	if (r == 0)
		return flow;
	if (!table->told_unable) {
		table->told_unable = true;
		log_warn(
			"guests can't ping beyond the gateway: no ICMP socket (%s). Allow ping sockets with "
			"'sysctl net.ipv4.ping_group_range=\"0 2147483647\"', or grant CAP_NET_RAW",
			strerror(-r));
	}
	return NULL;
}

/* Returns 0 or -errno. */
static int send_request(struct flow_icmp *flow, const struct stack_echo *echo,
			const struct endpoint *host)
{
	uint8_t header[ICMP_HEADER_SIZE];
	struct wire_writer w = wire_writer(header, sizeof(header));
	struct iovec iov[2] = {
		{.iov_base = header, .iov_len = sizeof(header)},
		{.iov_base = (uint8_t *)(uintptr_t)echo->payload, .iov_len = echo->size},
	};
	struct sockaddr_storage to;
	struct msghdr msg = {.msg_name = &to, .msg_iov = iov, .msg_iovlen = 2};
	uint16_t csum;
	int r = -EAGAIN;

	msg.msg_namelen = endpoint_to_sockaddr(&(struct endpoint){.addr = host->addr}, &to);
	wire_put_u8(&w, ICMP_ECHO);
	wire_put_u8(&w, 0);
	wire_put_be16(&w, 0);
	wire_put_be16(&w, flow->id);
	wire_put_be16(&w, echo->sequence);
	csum = csum_fold(csum_add_iov(0, iov, 2, 0, sizeof(header) + echo->size));
	memcpy(header + 2, &csum, sizeof(csum));
	for (int attempt = 0; attempt < 2 && r < 0; attempt++) {
		r = sendmsg(flow->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
		if (r < 0) /* perhaps an earlier request's error */
			icmp_relay_errors(flow->table->stack, flow->fd, &flow->guest, IPPROTO_ICMP);
	}
	return r;
}

void flow_icmp_send(struct flow_icmp_table *table, const struct stack_echo *echo,
		    const struct endpoint *host)
{
	struct endpoint guest = {.addr = echo->src, .port = echo->id};
	struct flow_icmp *flow = flow_get(table, &guest);
	int ttl = echo->ttl > 1 ? echo->ttl - 1 : 1;
	int r;

	if (!flow) {
		table->counters.dropped++;
		return;
	}
	flow->active_ms = loop_now_ms(table->loop);
	list_remove(&flow->link);
	list_add_tail(&table->by_use, &flow->link);
	if (!loop_timer_pending(table->timer))
		loop_timer_set(table->timer, FLOW_ICMP_IDLE_MS);
	if (flow->ttl != ttl && setsockopt(flow->fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)) == 0)
		flow->ttl = (uint8_t)ttl;
	r = send_request(flow, echo, host);
	if (r == 0)
		return;
	table->counters.dropped++;
	if (r == -ENETUNREACH || r == -EHOSTUNREACH)
		stack_send_unreachable(table->stack,
				       r == -ENETUNREACH ? STACK_UNREACH_NET : STACK_UNREACH_HOST,
				       echo->ip, echo->ip_size);
}

/* ---- The table ---- */

struct flow_icmp_counters flow_icmp_counters(const struct flow_icmp_table *table)
{
	return table->counters;
}

int flow_icmp_table_new(struct loop *loop, struct stack *stack, struct flow_icmp_table **ret_table)
{
	struct flow_icmp_table *table = calloc(1, sizeof(*table));
	int r;

	if (!table)
		return -ENOMEM;
	table->loop = loop;
	table->stack = stack;
	table->key = hash_key_random();
	table->next_raw_id = (uint16_t)table->key.words[0];
	hmap_init(&table->flows);
	list_init(&table->by_use);
	r = loop_timer_new(loop, on_timer, table, &table->timer);
	if (r < 0) {
		free(table);
		return r;
	}
	*ret_table = table;
	return 0;
}

void flow_icmp_table_free(struct flow_icmp_table *table)
{
	if (!table)
		return;
	while (!list_empty(&table->by_use))
		flow_free(container_of(list_first(&table->by_use), struct flow_icmp, link));
	loop_timer_free(table->timer);
	hmap_destroy(&table->flows);
	free(table);
}
