/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses that guests asked for when they attached (link_vpnkit.h), as static leases. */
#ifndef NETPROXY_LINK_ADDRESSES_H
#define NETPROXY_LINK_ADDRESSES_H

#include "base/addr.h"
#include "base/loop.h"
#include "dhcp/dhcp_server.h"

/* Guests that have asked for one. */
#define LINK_ADDRESSES_MAX 256

struct link_addresses {
	struct loop *loop;
	struct dhcp_server *dhcp; /* borrowed */
	struct {
		struct mac mac;
		struct addr address;
	} given[LINK_ADDRESSES_MAX];
	unsigned count;
};

/* Makes it the MAC's static lease, instead of one that it asked for before:
 * link_vpnkit_conf.prefer. Returns 0, -EADDRINUSE, -ERANGE, -ENOSPC or -ENOMEM. */
int link_addresses_prefer(void *arg, const struct mac *mac, const struct addr *preferred);

#endif
