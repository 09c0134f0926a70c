/* SPDX-License-Identifier: Apache-2.0 */
/* Where guests' destinations lead; see route.h. */
#include "forwarder/route.h"

/* 240.0.0.0/4, and 0.0.0.0/8 (RFC 6890). In IPv6, IPv4 addresses in disguise: a socket would take
 * ::ffff:127.0.0.1 for the host's loopback. */
static bool is_reserved(const struct addr *addr)
{
	uint32_t ip;

	if (addr->family == AF_INET6)
		return IN6_IS_ADDR_V4MAPPED(&addr->v6) || IN6_IS_ADDR_V4COMPAT(&addr->v6) ||
		       addr_is_any(addr);
	ip = addr_v4(addr);
	return ip >> 28 == 0xf || ip >> 24 == 0;
}

/* fe80::/10. */
static bool is_link_local6(const struct addr *addr)
{
	return addr->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&addr->v6);
}

static struct addr loopback_of(sa_family_t family)
{
	return family == AF_INET6 ? addr_from_in6(&in6addr_loopback)
				  : addr_from_v4(INADDR_LOOPBACK);
}

enum route_kind route_lookup(const struct stack_conf *conf, const struct endpoint *dst,
			     struct endpoint *ret_host)
{
	if (addr_equal(&dst->addr, &conf->gateway) ||
	    (conf->prefix6.length && addr_equal(&dst->addr, &conf->gateway6)) ||
	    is_link_local6(&dst->addr))
		return ROUTE_SERVICE; /* the stack brings no link-local address but the gateway's */
	if (addr_equal(&dst->addr, &conf->alias) ||
	    (conf->prefix6.length && addr_equal(&dst->addr, &conf->alias6))) {
		*ret_host = (struct endpoint){.addr = loopback_of(dst->addr.family),
					      .port = dst->port};
		return ROUTE_HOST;
	}
	/* The host's loopback is reached through the alias only: 127.0.0.1 in a packet is a mistake
	 * or an attack. */
	if (addr_is_loopback(&dst->addr) || addr_is_multicast(&dst->addr) ||
	    prefix_contains(&conf->subnet, &dst->addr) ||
	    (conf->prefix6.length && prefix_contains(&conf->prefix6, &dst->addr)) ||
	    is_reserved(&dst->addr))
		return ROUTE_NOWHERE;
	*ret_host = *dst;
	return ROUTE_HOST;
}

enum route_kind route_decide(const struct stack_conf *conf, struct policy *policy,
			     const struct policy_request *request, struct endpoint *ret_host)
{
	struct endpoint host;
	enum route_kind kind = route_lookup(conf, &request->to, &host);

	if (kind != ROUTE_HOST)
		return kind;
	if (!policy_allows(policy, request))
		return ROUTE_DENIED;
	*ret_host = host;
	return ROUTE_HOST;
}

struct endpoint route_reverse(const struct stack_conf *conf, const struct endpoint *host)
{
	struct endpoint seen = *host;

	if (addr_is_loopback(&host->addr))
		seen.addr = host->addr.family == AF_INET6 ? conf->alias6 : conf->alias;
	return seen;
}

bool route_reverse_allowed(const struct stack_conf *conf, const struct addr *host)
{
	if (host->family == AF_INET6)
		return !is_link_local6(host) &&
		       !(conf->prefix6.length && prefix_contains(&conf->prefix6, host));
	return !prefix_contains(&conf->subnet, host);
}
