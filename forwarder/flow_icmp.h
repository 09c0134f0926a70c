/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_icmp: guests' echo requests, ICMP and ICMPv6, through the host's ping sockets (or raw
 * sockets where those aren't allowed and we may), so that an answer to the guest means that the far
 * side answered. Nothing is forged: where the host can send no echo, the guest gets none, and the
 * log says once what to allow (net.ipv4.ping_group_range, which is for IPv6 too).
 *
 * One socket for each (guest address, echo id), closed FLOW_ICMP_IDLE_MS after its last request.
 * The host's side has an id of its own; the guest sees the one that it chose. Hop limit and service
 * class are carried both ways, and errors that come back (unreachable, time exceeded, too big) are
 * relayed with their true source.
 *
 * What a guest can cost is bounded twice: in flows (flow_table.h), and in time by a bucket of
 * FLOW_ICMP_RATE tokens, refilled in a second, of which a request takes one and one that needs a
 * socket FLOW_ICMP_FLOW_COST. That is more than `ping -f` sends over any real distance.
 */
#ifndef FORWARDER_FLOW_ICMP_H
#define FORWARDER_FLOW_ICMP_H

#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/stack.h"

#define FLOW_ICMP_IDLE_MS   30000
#define FLOW_ICMP_GUEST_MAX 256
#define FLOW_ICMP_MAX       1024
#define FLOW_ICMP_RATE      10000
#define FLOW_ICMP_FLOW_COST 20

struct flow_table;
struct flow_icmp_table;

struct flow_icmp_counters {
	uint64_t flows;
	uint64_t total;
	uint64_t dropped;
};

int flow_icmp_table_new(struct loop *loop, struct stack *stack, struct flow_icmp_table **ret_table);
void flow_icmp_table_free(struct flow_icmp_table *table);

/* Sends a guest's echo request on to `host` (the port is unused). */
void flow_icmp_send(struct flow_icmp_table *table, const struct stack_echo *echo,
		    const struct endpoint *host);
/* Ends the flows of guests behind a switch port that has gone. */
void flow_icmp_port_gone(struct flow_icmp_table *table, unsigned port);
/* Borrowed, for looking at. */
const struct flow_table *flow_icmp_flows(const struct flow_icmp_table *table);
struct flow_icmp_counters flow_icmp_counters(const struct flow_icmp_table *table);

#endif
