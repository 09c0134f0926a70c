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

/* Serves a bound UDP socket, which is taken over, also on failure. `clients` counts up for each new
 * client; borrowed for the port's life. */
int publish_udp_port_new(struct publish_udp *udp, int fd, const struct endpoint *remote,
			 uint64_t *clients, struct publish_udp_port **ret_port);
/* Ends its flows too. */
void publish_udp_port_free(struct publish_udp_port *port);

#endif
