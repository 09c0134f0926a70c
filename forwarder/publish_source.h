/* SPDX-License-Identifier: Apache-2.0 */
/* As whom a guest sees a client of a published port. */
#ifndef FORWARDER_PUBLISH_SOURCE_H
#define FORWARDER_PUBLISH_SOURCE_H

#include "base/addr.h"
#include "forwarder/publish.h"
#include "netstack/stack.h"

/* Whether a guest's answer to that address would come to us, and to nobody else. */
static inline bool publish_can_answer(const struct stack_conf *conf, const struct addr *client)
{
	if (addr_is_loopback(client) || addr_is_any(client) || addr_is_multicast(client))
		return false;
	if (client->family == AF_INET6)
		return !IN6_IS_ADDR_LINKLOCAL(&client->v6) &&
		       !(conf->prefix6.length && prefix_contains(&conf->prefix6, client));
	return !prefix_contains(&conf->subnet, client);
}

/*
 * As itself, so that servers in guests log and limit by the true client. A client that the guest
 * could not answer, being on the host's loopback, of another address family than the guest, or with
 * an address that has another meaning in the guests' network, appears as the gateway; and so do all
 * where the forward wants it.
 */
static inline struct endpoint publish_source(const struct stack_conf *conf,
					     enum publish_source source, sa_family_t guest_family,
					     const struct endpoint *client)
{
	struct endpoint seen = *client;

	if (source == PUBLISH_SOURCE_GATEWAY || client->addr.family != guest_family ||
	    !publish_can_answer(conf, &client->addr))
		seen.addr = *stack_router(conf, guest_family);
	return seen;
}

#endif
