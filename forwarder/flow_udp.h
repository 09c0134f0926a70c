/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_udp: guests' UDP through host sockets. One socket for each guest endpoint (full cone:
 * whoever the guest has sent from it to may answer, and so may others), with the sender's true
 * address on the way back.
 *
 * Theory: a flow that got no answer yet lives FLOW_UDP_UNANSWERED_MS after the guest's last
 * datagram, a DNS query (port 53) FLOW_UDP_ONESHOT_MS, one that is answered FLOW_UDP_ANSWERED_MS
 * after the last datagram either way. At the maximum, the flow that was idle longest makes room.
 * ICMP errors that a socket reports become ICMP errors to the guest.
 */
#ifndef FORWARDER_FLOW_UDP_H
#define FORWARDER_FLOW_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/stack.h"

#define FLOW_UDP_ONESHOT_MS    10000
#define FLOW_UDP_UNANSWERED_MS 30000
#define FLOW_UDP_ANSWERED_MS   180000

struct flow_udp_table;

struct flow_udp_counters {
	uint64_t flows;
	uint64_t total;
	uint64_t evicted;
	uint64_t dropped;
	uint64_t bytes_to_host;
	uint64_t bytes_to_guests;
};

/* `stack` is borrowed and must outlive the table; `flows_max` is 1 or more. */
int flow_udp_table_new(struct loop *loop, struct stack *stack, unsigned flows_max,
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
void flow_udp_set_claim(struct flow_udp_table *table, flow_udp_claim_fn *fn, void *arg);
/* Asks that function; false when there is none. */
bool flow_udp_claimed(struct flow_udp_table *table, const struct stack_datagram *datagram);

/* Ends the flows of guests behind a switch port that has gone. */
void flow_udp_port_gone(struct flow_udp_table *table, unsigned port);
struct flow_udp_counters flow_udp_counters(const struct flow_udp_table *table);

#endif
