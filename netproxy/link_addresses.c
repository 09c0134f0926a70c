/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that guests asked for: see link_addresses.h. */
#include "netproxy/link_addresses.h"

#include <errno.h>

#include "netproxy/static_leases.h"

/* Whose it is: the index, or -1. */
static int find(const struct link_addresses *addresses, const struct mac *mac)
{
	for (unsigned i = 0; i < addresses->count; i++) {
		if (mac_equal(&addresses->given[i].mac, mac))
			return (int)i;
	}
	return -1;
}

static int reserve(struct link_addresses *addresses, const struct mac *mac,
		   const struct addr *address)
{
	struct dhcp_reservation reservation = {
		.by_mac = true, .mac = *mac, .address = *address, .owner = STATIC_LEASE_GUEST};
	int r = dhcp_server_reserve(addresses->dhcp, &reservation, loop_now_ms(addresses->loop));

	switch (r) {
	case -EINVAL:
		return -ERANGE;
	case -EEXIST:
		return -EADDRINUSE;
	default:
		return r;
	}
}

int link_addresses_prefer(void *arg, const struct mac *mac, const struct addr *preferred)
{
	struct link_addresses *addresses = arg;
	int before = find(addresses, mac), r;

	if (before >= 0 && addr_equal(&addresses->given[before].address, preferred))
		return 0;
	if (before < 0 && addresses->count == LINK_ADDRESSES_MAX)
		return -ENOSPC;
	if (before >= 0)
		dhcp_server_unreserve(addresses->dhcp, &addresses->given[before].address);
	r = reserve(addresses, mac, preferred);
	if (r < 0) {
		if (before >= 0)
			reserve(addresses, mac, &addresses->given[before].address);
		return r;
	}
	if (before < 0) {
		before = (int)addresses->count++;
		addresses->given[before].mac = *mac;
	}
	addresses->given[before].address = *preferred;
	return 0;
}
