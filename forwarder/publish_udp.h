/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UDP side of published ports: one flow for each client of a published UDP port, so that the
 * guest's answers find their way back to the client that they are for, from the address that it
 * sent to.
 */
#ifndef FORWARDER_PUBLISH_UDP_H
#define FORWARDER_PUBLISH_UDP_H

#include "base/addr.h"
#include "base/loop.h"
#include "forwarder/forwarder.h"

#define PUBLISH_UDP_CLIENTS_MAX 4096 /* of all UDP forwards together */
#define PUBLISH_UDP_IDLE_MS     180000

struct publish_udp;      /* all of them */
struct publish_udp_port; /* one published port */

int publish_udp_new(struct loop *loop, struct forwarder *forwarder, struct publish_udp **ret_udp);
void publish_udp_free(struct publish_udp *udp);

struct forward;

/* Serves the bound UDP socket of a forward, which it borrows; the socket is taken over, also on
 * failure. */
int publish_udp_port_new(struct publish_udp *udp, int fd, struct forward *forward,
			 struct publish_udp_port **ret_port);
/* Ends its flows too. */
void publish_udp_port_free(struct publish_udp_port *port);

#endif
