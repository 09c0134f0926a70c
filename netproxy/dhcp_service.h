/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DHCPv4 on the gateway: the options become the server's configuration, datagrams to port 67 its
 * messages, and its leases the stack's neighbours and a section of the state file.
 */
#ifndef NETPROXY_DHCP_SERVICE_H
#define NETPROXY_DHCP_SERVICE_H

#include "base/loop.h"
#include "dhcp/dhcp_server.h"
#include "forwarder/forwarder.h"
#include "netproxy/dns_service.h"
#include "netproxy/options.h"
#include "netproxy/state_file.h"
#include "netproxy/static_leases.h"

struct dhcp_service;

/* Returns 0 with an owned service on `forwarder`, `state` and `dns`, which must outlive it, or
 * -errno, perhaps with a message. With --no-dhcp it has a server that nobody asks. */
int dhcp_service_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		     struct state_file *state, struct dns_service *dns,
		     char error[static OPTIONS_ERROR_MAX], struct dhcp_service **ret_service);
/* Writes the leases to the state file. */
void dhcp_service_free(struct dhcp_service *service);

/* Guests are told what `dns` says now. */
void dhcp_service_search_changed(struct dhcp_service *service);

struct dhcp_server *dhcp_service_server(struct dhcp_service *service);
/* NULL with --no-dhcp. */
struct static_leases *dhcp_service_static_leases(struct dhcp_service *service);

#endif
