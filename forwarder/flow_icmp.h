/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_icmp: guests' echo requests through the host's ping sockets (or raw sockets where those
 * aren't allowed and we may), so that an answer to the guest means that the far side answered.
 * Nothing is forged: where the host can send no echo, the guest gets none, and the log says once
 * what to allow (net.ipv4.ping_group_range).
 *
 * One socket for each (guest address, echo id), closed FLOW_ICMP_IDLE_MS after its last request; at
 * FLOW_ICMP_MAX the one that was idle longest makes room. Errors that come back (unreachable, time
 * exceeded) are relayed with their true source.
 */
#ifndef FORWARDER_FLOW_ICMP_H
#define FORWARDER_FLOW_ICMP_H

#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/stack.h"

#define FLOW_ICMP_IDLE_MS 30000
#define FLOW_ICMP_MAX     256

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
struct flow_icmp_counters flow_icmp_counters(const struct flow_icmp_table *table);

#endif
