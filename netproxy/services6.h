/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What IPv6 guests are told: router advertisements and DHCPv6, put on the network. Part of the
 * services (services.h); DNS on IPv6 is dns_service.c's.
 */
#ifndef NETPROXY_SERVICES6_H
#define NETPROXY_SERVICES6_H

#include "base/loop.h"
#include "dhcp/dhcp6_server.h"
#include "forwarder/forwarder.h"
#include "netproxy/dns_service.h"
#include "netproxy/options.h"
#include "netproxy/state_file.h"

struct services6;

/* Makes the gateway a router of IPv6 that has the addresses given out as the options say. Where
 * there is no IPv6 network, it does nothing. `options`, `dns` and `dhcp`, DHCPv4's
 * server or NULL, are borrowed for the services' life. Returns 0 with owned services on
 * `forwarder` and `state`, which must outlive them, or -errno. */
int services6_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		  struct state_file *state, struct dns_service *dns, struct dhcp_server *dhcp,
		  struct services6 **ret_services);
void services6_free(struct services6 *services);
/* Guests are told what `dns` says now. */
void services6_search_changed(struct services6 *services);
/* See services_leave(). */
void services6_leave(struct services6 *services);

/* NULL: there is none. */
const struct dhcp6_server *services6_dhcp(const struct services6 *services);

/* The DHCPv6 lease of a guest by name: that of the MAC whose IPv4 lease goes by it, or else that
 * which goes by it itself. So a name is one guest's in both families, and one that tells its name
 * in IPv4 only has an address in both. */
bool services6_by_name(const struct services6 *services, const char *name,
		       struct dhcp_lease_info *ret);
/* The name of the guest that has this address from DHCPv6, by the same rule; NULL: none. Valid
 * until something happens to a lease. */
const char *services6_name_of(const struct services6 *services, const struct addr *addr);

#endif
