/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_udp: guests' UDP through host sockets, IPv4 and IPv6. One socket for each guest endpoint
 * (full cone: RFC 4787's endpoint-independent mapping and filtering), with the sender's true
 * address on the way back, and hop limit, DSCP and ECN in both directions.
 *
 * A datagram whose guest wants it unfragmented (DF; IPv6) is refused where the host's route or a
 * router says that it is too large, and the guest gets "fragmentation needed" or "packet too big"
 * with the MTU, so that its own path MTU discovery works. Other ICMP errors reach it with their
 * true source. Broadcast and multicast of guests stay among guests: they never come here.
 *
 * Theory of the times: RFC 4787 (REQ-5) wants a mapping to live for two minutes at least, counted
 * from the last outbound packet (REQ-6): an answered one does. One that nobody ever answered ends
 * after FLOW_UDP_UNANSWERED_MS without a datagram from the guest. That is short of the letter, and
 * costs only whoever waits longer than that for a first answer to a single datagram; but it is what
 * keeps a port scan, or a peer-to-peer client that knocks at a thousand dead addresses, from
 * holding a thousand descriptors. For well-known ports REQ-5a allows times of their own: a flow
 * that asks port 53 only is done when every query has its answer, and closing it early leaves a
 * forger less time to guess at.
 */
#ifndef FORWARDER_FLOW_UDP_H
#define FORWARDER_FLOW_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "forwarder/outbound.h"
#include "netstack/stack.h"

/* Resolvers give up after 5 s (resolv.conf(5), `timeout`) and ask anew. */
#define FLOW_UDP_QUERY_MS 6000
/* For a second query from the same port (A and AAAA), or a doubled answer. */
#define FLOW_UDP_QUERY_ANSWERED_MS 2000
#define FLOW_UDP_UNANSWERED_MS     10000
/* Above REQ-5's two minutes, and above the keepalives of those who reckon with them. */
#define FLOW_UDP_ANSWERED_MS 180000

struct flow_table;
struct flow_udp_table;

struct flow_udp_conf {
	unsigned guest_max; /* most flows of one guest, 1 or more; see flow_table.h */
	unsigned total_max; /* of all guests, 1 or more */
	struct outbound outbound;
};

struct flow_udp_counters {
	uint64_t flows;
	uint64_t total;
	uint64_t evicted;
	uint64_t dropped;
	uint64_t bytes_to_host;
	uint64_t bytes_to_guests;
};

/* `stack` is borrowed and must outlive the table. */
int flow_udp_table_new(struct loop *loop, struct stack *stack, const struct flow_udp_conf *conf,
		       struct flow_udp_table **ret_table);
void flow_udp_table_free(struct flow_udp_table *table);

/* Sends a guest's datagram to `host` (see route.h) from its flow's socket, which is made if it
 * isn't there. Errors become ICMP to the guest, or are counted. */
void flow_udp_send(struct flow_udp_table *table, const struct stack_datagram *datagram,
		   const struct endpoint *host);
/*
 * The way back through a published port (publish.h): when a guest at `guest` sends to `client` (its
 * 4-tuple's far side as the guest sees it), the datagram belongs to the publish side rather than to
 * a flow of the guest's own. publish registers a function that is asked first: it returns true when
 * it took the datagram.
 */
typedef bool flow_udp_claim_fn(void *arg, const struct stack_datagram *datagram);
/* The same for a guest's word that nobody is at a port: true when it was about such a datagram. */
typedef bool flow_udp_claim_refusal_fn(void *arg, const struct stack_refusal *refusal);
void flow_udp_set_claim(struct flow_udp_table *table, flow_udp_claim_fn *fn,
			flow_udp_claim_refusal_fn *refusal_fn, void *arg);
/* Asks that function; false when there is none. */
bool flow_udp_claimed(struct flow_udp_table *table, const struct stack_datagram *datagram);

/*
 * The guest has closed the port that an answer went to: ends its flow, so that the host says to
 * whoever sends there what the guest would. Not where the guest speaks with others on it, too: a
 * socket that is connected refuses all but one, which is what full cone lets through. Returns
 * whether it was about a flow, or a published port's client.
 */
bool flow_udp_refused(struct flow_udp_table *table, const struct stack_refusal *refusal);

/* Ends the flows of guests behind a switch port that has gone. */
void flow_udp_port_gone(struct flow_udp_table *table, unsigned port);
/* Borrowed, for looking at. */
const struct flow_table *flow_udp_flows(const struct flow_udp_table *table);
struct flow_udp_counters flow_udp_counters(const struct flow_udp_table *table);

#endif
