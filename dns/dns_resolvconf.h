/* SPDX-License-Identifier: Apache-2.0 */
/* The host's resolv.conf(5): whom to ask, and which domains to search. */
#ifndef DNS_DNS_RESOLVCONF_H
#define DNS_DNS_RESOLVCONF_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "dns/dns_wire.h"

#define DNS_RESOLVCONF_PATH     "/etc/resolv.conf"
#define DNS_RESOLVCONF_SIZE_MAX 65536
#define DNS_RESOLVERS_MAX       4 /* asked for one query; libc reads three */
#define DNS_SEARCH_MAX          16
/* Room for the text of a resolver, "[fe80::1%eth0]:53". */
#define DNS_RESOLVER_TEXT_MAX (ENDPOINT_TEXT_MAX + IF_NAMESIZE)

/* Somebody who answers DNS queries. */
struct dns_resolver {
	struct endpoint endpoint;
	/* The interface of a link-local IPv6 address, by name or number, else "". It is looked up
	 * whenever a query goes there: interfaces come and go, and their numbers change. */
	char scope[IF_NAMESIZE];
};

struct dns_resolvconf {
	size_t resolver_count;
	struct dns_resolver resolvers[DNS_RESOLVERS_MAX];
	size_t search_count;
	struct dns_name search[DNS_SEARCH_MAX];
	unsigned bad_line_count; /* nameserver lines that were not understood */
};

/*
 * Parses the NUL-terminated text. Never fails: as libc does, it skips what it doesn't know. The
 * last of `search` and `domain` counts. `options` are not used: how we retry is ours to decide.
 */
void dns_resolvconf_parse(const char *text, struct dns_resolvconf *ret);

/* "10.0.0.2", "10.0.0.2:5353", "fe80::1%eth0", "[fe80::1%2]:53"; port 53 unless given. Returns 0 or
 * -EINVAL. */
int dns_resolver_parse(const char *text, struct dns_resolver *ret);
const char *dns_resolver_format(const struct dns_resolver *resolver,
				char to[static DNS_RESOLVER_TEXT_MAX]);
bool dns_resolver_equal(const struct dns_resolver *a, const struct dns_resolver *b);
/* Fills *ret and returns its length, for connect(). */
socklen_t dns_resolver_sockaddr(const struct dns_resolver *resolver, struct sockaddr_storage *ret);

#endif
