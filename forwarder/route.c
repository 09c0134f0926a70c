/* SPDX-License-Identifier: Apache-2.0 */
/* Where guests' destinations lead; see route.h. */
#include "forwarder/route.h"

/* 240.0.0.0/4, and 0.0.0.0/8 (RFC 6890). */
static bool is_reserved(uint32_t ip)
{
	return ip >> 28 == 0xf || ip >> 24 == 0;
}

enum route_kind route_lookup(const struct stack_conf *conf, bool host_access,
			     const struct endpoint *dst, struct endpoint *ret_host)
{
	if (addr_equal(&dst->addr, &conf->gateway))
		return ROUTE_SERVICE;
	if (addr_equal(&dst->addr, &conf->alias)) {
		if (!host_access)
			return ROUTE_DENIED;
		*ret_host = (struct endpoint){.addr = addr_from_v4(INADDR_LOOPBACK),
					      .port = dst->port};
		return ROUTE_HOST;
	}
	/* The host's loopback is reached through the alias only: 127.0.0.1 in a packet is a mistake
	 * or an attack. */
	if (addr_is_loopback(&dst->addr) || addr_is_multicast(&dst->addr) ||
	    prefix_contains(&conf->subnet, &dst->addr) ||
	    (dst->addr.family == AF_INET && is_reserved(addr_v4(&dst->addr))))
		return ROUTE_NOWHERE;
	*ret_host = *dst;
	return ROUTE_HOST;
}

struct endpoint route_reverse(const struct stack_conf *conf, const struct endpoint *host)
{
	struct endpoint seen = *host;

	if (addr_is_loopback(&host->addr))
		seen.addr = conf->alias;
	return seen;
}
