/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The services of the gateway, DHCP (dhcp_service.c) and DNS (dns_service.c), put on the network:
 * they know messages, the forwarder knows datagrams and connections, and this brings the two
 * together, and DHCP's leases to DNS, the stack and the API.
 */
#ifndef NETPROXY_SERVICES_H
#define NETPROXY_SERVICES_H

#include "base/loop.h"
#include "dhcp/dhcp6_server.h"
#include "dhcp/dhcp_server.h"
#include "dns/dns_server.h"
#include "forwarder/forwarder.h"
#include "netproxy/options.h"
#include "netproxy/state_file.h"
#include "netproxy/static_leases.h"

struct services;

/* Returns 0 with owned services on `forwarder` and `state`, which must outlive them, or -errno with
 * a message. */
int services_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		 struct state_file *state, char error[static OPTIONS_ERROR_MAX],
		 struct services **ret_services);
void services_free(struct services *services);
/* We are about to end: tells guests so, while their links are still there. */
void services_leave(struct services *services);

/* The address of the guest of that name, of `family` if it has one of it, else of the other.
 * Returns 0 or -ENOENT. */
int services_guest_addr(struct services *services, const char *name, sa_family_t family,
			struct addr *ret);
struct dhcp_server *services_dhcp(struct services *services);
/* NULL with --no-dhcp. */
struct static_leases *services_static_leases(struct services *services);
/* The name of the guest with that address, in either family: 0 or -ENOENT. */
int services_guest_name(struct services *services, const struct addr *addr,
			char to[static DNS_LABEL_MAX + 1]);

/* NULL: there is no DHCPv6. */
const struct dhcp6_server *services_dhcp6(struct services *services);
struct dns_server *services_dns(struct services *services);
/* The API has changed a zone of DNS. */
void services_zones_changed(struct services *services);

#endif
