/* SPDX-License-Identifier: Apache-2.0 */
/* UDP flows; see flow_udp.h. What guests send goes through udp_batch.c; here are the flows, and
 * what comes back. */
#include "forwarder/flow_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "forwarder/flow_sock.h"
#include "forwarder/flow_table.h"
#include "forwarder/icmp_relay.h"
#include "forwarder/route.h"
#include "forwarder/udp_batch.h"

LOG_MODULE("udp");

#define RECV_BATCH   16
#define RECV_BATCHES 4 /* in a row from one socket, before others get their turn */
#define DATAGRAM_MAX 65536
#define DNS_PORT     53

enum flow_age { AGE_QUERY, AGE_QUERY_ANSWERED, AGE_UNANSWERED, AGE_ANSWERED, AGES };

static const uint64_t age_ms[AGES] = {
	[AGE_QUERY] = FLOW_UDP_QUERY_MS,
	[AGE_QUERY_ANSWERED] = FLOW_UDP_QUERY_ANSWERED_MS,
	[AGE_UNANSWERED] = FLOW_UDP_UNANSWERED_MS,
	[AGE_ANSWERED] = FLOW_UDP_ANSWERED_MS,
};

struct flow_udp {
	struct flow flow;
	struct flow_udp_table *table;
	struct udp_sender sender;
	struct loop_fd *watch;
	int fd;
	bool answered;
	bool queries_only;   /* all that the guest has sent went to port 53 */
	uint32_t unanswered; /* of those queries */
};

struct flow_udp_table {
	struct loop *loop;
	struct stack *stack;
	struct flow_table flows;
	struct udp_batch *batch;
	struct outbound outbound;
	flow_udp_claim_fn *claim;
	flow_udp_claim_refusal_fn *claim_refusal;
	void *claim_arg;
	uint64_t dropped;
	uint64_t bytes_to_guests;
	uint8_t *buffers; /* RECV_BATCH of DATAGRAM_MAX */
};

static void flow_udp_free(struct flow_udp *flow)
{
	loop_fd_free(flow->watch);
	fd_close(&flow->fd);
	free(flow);
}

static void flow_end(struct flow *flow)
{
	struct flow_udp *udp = container_of(flow, struct flow_udp, flow);

	udp_batch_flush(udp->table->batch, &udp->sender);
	flow_table_remove(&udp->table->flows, flow);
	flow_udp_free(udp);
}

static enum flow_age age_now(const struct flow_udp *flow)
{
	if (flow->queries_only)
		return flow->unanswered ? AGE_QUERY : AGE_QUERY_ANSWERED;
	return flow->answered ? AGE_ANSWERED : AGE_UNANSWERED;
}

/* ---- From the host ---- */

static void deliver(struct flow_udp *flow, struct msghdr *msg, const void *payload, size_t size)
{
	struct flow_udp_table *table = flow->table;
	struct flow_marks marks = flow_control_get(msg);
	struct endpoint host, seen;

	if (endpoint_from_sockaddr(msg->msg_name, &host) < 0 ||
	    !route_reverse_allowed(stack_conf(table->stack), &host.addr)) {
		table->dropped++;
		return;
	}
	seen = route_reverse(stack_conf(table->stack), &host);
	if (stack_send_udp(table->stack, &seen, &flow->flow.guest, NULL, marks.ttl, marks.tos,
			   payload, size) == 0)
		table->bytes_to_guests += size;
	else
		table->dropped++;
}

/* Reads one batch; returns how many came, or -1. */
static int receive_batch(struct flow_udp *flow)
{
	struct flow_udp_table *table = flow->table;
	struct sockaddr_storage from[RECV_BATCH];
	_Alignas(struct cmsghdr) uint8_t control[RECV_BATCH][FLOW_CONTROL_SIZE];
	struct iovec iov[RECV_BATCH];
	struct mmsghdr msgs[RECV_BATCH];
	int count;

	for (int i = 0; i < RECV_BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = table->buffers + (size_t)i * DATAGRAM_MAX,
					.iov_len = DATAGRAM_MAX};
		msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						  .msg_namelen = sizeof(from[i]),
						  .msg_iov = &iov[i],
						  .msg_iovlen = 1,
						  .msg_control = control[i],
						  .msg_controllen = sizeof(control[i])};
	}
	count = recvmmsg(flow->fd, msgs, RECV_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		deliver(flow, &msgs[i].msg_hdr, iov[i].iov_base, msgs[i].msg_len);
	return count;
}

static void on_socket(void *arg, int fd, unsigned ready)
{
	struct flow_udp *flow = arg;
	uint32_t total = 0;

	(void)fd;
	(void)ready;
	for (int i = 0; i < RECV_BATCHES; i++) {
		int count = receive_batch(flow);

		/* Ready, and nothing there: it is an error that waits. */
		if (count < 0 && i == 0)
			icmp_relay_errors(&flow->sender.relay);
		total += count > 0 ? (uint32_t)count : 0;
		if (count < RECV_BATCH)
			break;
	}
	if (!total)
		return;
	flow->answered = true;
	flow->unanswered -= total < flow->unanswered ? total : flow->unanswered;
	flow_table_active(&flow->table->flows, &flow->flow, flow->flow.port, age_now(flow));
}

/* ---- From the guest ---- */

/* Returns 0, or -errno with everything undone. */
static int flow_open(struct flow_udp *flow, const struct stack_datagram *datagram)
{
	struct flow_udp_table *table = flow->table;
	sa_family_t family = datagram->src.addr.family;
	const struct addr *from = outbound_of(&table->outbound, family);
	int r = flow_sock_udp(family, from, &flow->fd);

	/* Out of descriptors: one of the guest's own makes room. */
	if (r == -EMFILE && flow_table_evict(&table->flows, datagram->port))
		r = flow_sock_udp(family, from, &flow->fd);
	if (r < 0)
		return r;
	udp_sender_init(&flow->sender, table->stack, flow->fd, &datagram->src);
	r = loop_fd_new(table->loop, flow->fd, LOOP_READ, on_socket, flow, &flow->watch);
	if (r < 0)
		return r;
	return flow_table_add(&table->flows, &flow->flow, &datagram->src, datagram->port,
			      age_now(flow));
}

static int flow_new(struct flow_udp_table *table, const struct stack_datagram *datagram,
		    bool is_query, struct flow_udp **ret_flow)
{
	struct flow_udp *flow;
	int r;

	if (flow_table_make_room(&table->flows, datagram->port))
		log_limited(LOG_LEVEL_WARN,
			    "UDP flows are at their maximum (%u of a guest, %u in all): ended one "
			    "that was idle; --max-udp-flows allows a guest more",
			    table->flows.conf.guest_max, table->flows.conf.total_max);
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return -ENOMEM;
	flow->table = table;
	flow->fd = -1;
	flow->queries_only = is_query;
	r = flow_open(flow, datagram);
	if (r < 0) {
		flow_udp_free(flow);
		return r;
	}
	*ret_flow = flow;
	return 0;
}

void flow_udp_send(struct flow_udp_table *table, const struct stack_datagram *datagram,
		   const struct endpoint *host)
{
	struct flow *found = flow_table_find(&table->flows, &datagram->src);
	bool is_query = host->port == DNS_PORT;
	struct flow_udp *flow;
	int r;

	if (found) {
		flow = container_of(found, struct flow_udp, flow);
	} else {
		r = flow_new(table, datagram, is_query, &flow);
		if (r < 0) {
			table->dropped++;
			icmp_relay_failure(table->stack, -r, 0, datagram->ip, datagram->ip_size);
			log_limited(LOG_LEVEL_WARN, "no socket for a guest's UDP: %s",
				    strerror(-r));
			return;
		}
	}
	flow->queries_only = flow->queries_only && is_query;
	flow->unanswered++;
	flow_table_active(&table->flows, &flow->flow, datagram->port, age_now(flow));
	udp_batch_add(table->batch, &flow->sender, datagram, host);
}

/* ---- The table ---- */

bool flow_udp_refused(struct flow_udp_table *table, const struct stack_refusal *refusal)
{
	struct flow *flow;

	if (table->claim_refusal && table->claim_refusal(table->claim_arg, refusal))
		return true;
	flow = flow_table_find(&table->flows, &refusal->guest);
	if (!flow || flow->port != refusal->port)
		return false;
	if (icmp_relay_only_to(&container_of(flow, struct flow_udp, flow)->sender.relay,
			       &refusal->far))
		flow_end(flow);
	return true;
}

void flow_udp_set_claim(struct flow_udp_table *table, flow_udp_claim_fn *fn,
			flow_udp_claim_refusal_fn *refusal_fn, void *arg)
{
	table->claim = fn;
	table->claim_refusal = refusal_fn;
	table->claim_arg = arg;
}

bool flow_udp_claimed(struct flow_udp_table *table, const struct stack_datagram *datagram)
{
	return table->claim && table->claim(table->claim_arg, datagram);
}

void flow_udp_port_gone(struct flow_udp_table *table, unsigned port)
{
	flow_table_port_gone(&table->flows, port);
}

const struct flow_table *flow_udp_flows(const struct flow_udp_table *table)
{
	return &table->flows;
}

struct flow_udp_counters flow_udp_counters(const struct flow_udp_table *table)
{
	struct udp_batch_counters batch = udp_batch_counters(table->batch);

	return (struct flow_udp_counters){
		.flows = table->flows.flows.count,
		.total = table->flows.total,
		.evicted = table->flows.evicted,
		.dropped = table->dropped + batch.dropped,
		.bytes_to_host = batch.bytes,
		.bytes_to_guests = table->bytes_to_guests,
	};
}

int flow_udp_table_new(struct loop *loop, struct stack *stack, const struct flow_udp_conf *conf,
		       struct flow_udp_table **ret_table)
{
	struct flow_udp_table *table = calloc(1, sizeof(*table));
	struct flow_table_conf flows = {
		.loop = loop,
		.age_ms = age_ms,
		.ages = AGES,
		.guest_max = conf->guest_max,
		.total_max = conf->total_max,
		.end = flow_end,
	};
	int r;

	if (!table)
		return -ENOMEM;
	table->loop = loop;
	table->outbound = conf->outbound;
	table->stack = stack;
	table->buffers = malloc((size_t)RECV_BATCH * DATAGRAM_MAX);
	r = table->buffers ? udp_batch_new(loop, stack, &table->batch) : -ENOMEM;
	if (r == 0)
		r = flow_table_init(&table->flows, &flows);
	if (r < 0) {
		flow_udp_table_free(table);
		return r;
	}
	*ret_table = table;
	return 0;
}

void flow_udp_table_free(struct flow_udp_table *table)
{
	if (!table)
		return;
	flow_table_destroy(&table->flows);
	udp_batch_free(table->batch);
	free(table->buffers);
	free(table);
}
