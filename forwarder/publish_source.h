/* SPDX-License-Identifier: Apache-2.0 */
/* As whom a guest sees a client of a published port. */
#ifndef FORWARDER_PUBLISH_SOURCE_H
#define FORWARDER_PUBLISH_SOURCE_H

#include <stdint.h>
#include <sys/random.h>

#include "base/addr.h"
#include "netstack/stack.h"

/*
 * As itself, so that servers in guests log and limit by the true client. A client that the guest
 * could not answer, being on the host's loopback, of another address family, or with an address
 * inside the guests' network, appears as the gateway.
 */
static inline struct endpoint publish_source(const struct stack_conf *conf,
					     const struct endpoint *client)
{
	struct endpoint seen = *client;

	if (client->addr.family != AF_INET || addr_is_loopback(&client->addr) ||
	    addr_is_any(&client->addr) || prefix_contains(&conf->subnet, &client->addr))
		seen.addr = conf->gateway;
	return seen;
}

/* A port for a client whose own is taken: from the dynamic range (RFC 6335). */
static inline uint16_t publish_random_port(void)
{
	uint16_t bits = 0;

	if (getrandom(&bits, sizeof(bits), 0) < 0)
		bits = 0;
	return (uint16_t)(49152 + bits % 16384);
}

#endif
