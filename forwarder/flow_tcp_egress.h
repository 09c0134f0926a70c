/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's connection by way of an HTTP proxy (egress.h). The order is another one than elsewhere,
 * as whom the guest talks to is known only from what it says first:
 *
 *   1. the proxy is connected (flow_tcp_connect.c); if that fails, the guest's connect fails so,
 *   2. the guest is accepted,
 *   3. its first bytes are looked at, and stay where they are: TLS and HTTP name a host. One that
 *      says nothing for a moment waits for the server, and gets it by its address;
 *   4. a name that is an exception: the proxy is left, and the destination connected directly,
 *   5. otherwise the proxy is asked to CONNECT to the name; what it answers but success resets the
 *      guest's connection, and is logged.
 *
 * Used by the other files of TCP flows only.
 */
#ifndef FORWARDER_FLOW_TCP_EGRESS_H
#define FORWARDER_FLOW_TCP_EGRESS_H

#include <stdbool.h>

#include "forwarder/egress.h"
#include "forwarder/flow_tcp_private.h"

/* How long a guest has to say whom it wants. */
#define FLOW_TCP_PEEK_MS 300
/* How long the proxy has to answer CONNECT, and a direct connect in its place to succeed. */
#define FLOW_TCP_TUNNEL_MS 75000

/* Returns 0 with what a flow to `host` needs to go by a proxy, owned, and NULL where it goes
 * directly; or -ENOMEM, or -EAGAIN while nobody knows where the proxy is. */
int flow_tcp_egress_new(const struct flow_tcp_table *table, const struct endpoint *host,
			struct flow_tcp_tunnel **ret_tunnel);
/* NULL is fine. */
void flow_tcp_egress_free(struct flow_tcp_tunnel *tunnel);

/* The proxy's address that is to be connected, or is connected; borrowed. */
const struct endpoint *flow_tcp_egress_at(const struct flow_tcp_tunnel *tunnel);
/* That address failed: goes on to the proxy's next one. False when there is none. */
bool flow_tcp_egress_next(struct flow_tcp_tunnel *tunnel, int error);

/* The guest has been accepted: the flow becomes TUNNELLING. */
void flow_tcp_egress_begin(struct flow_tcp *flow);
/* While TUNNELLING: something happened to either side. May free the flow, or make it OPEN; returns
 * whether it is OPEN. */
bool flow_tcp_egress_work(struct flow_tcp *flow);
/* While TUNNELLING: the flow's timer. May free the flow. */
void flow_tcp_egress_timer(struct flow_tcp *flow);

#endif
