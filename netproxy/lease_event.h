/* SPDX-License-Identifier: Apache-2.0 */
/* What every lease means to the network, whichever DHCP gave it. */
#ifndef NETPROXY_LEASE_EVENT_H
#define NETPROXY_LEASE_EVENT_H

#include "dhcp/dhcp_server.h"
#include "forwarder/forwarder.h"

/* Tells the switch whose address it is, and the stack where it is found; writes it to the log. */
void lease_event(struct forwarder *forwarder, enum dhcp_lease_event event,
		 const struct dhcp_lease_info *lease);

#endif
