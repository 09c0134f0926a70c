/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of guests and their addresses; see guests.h. */
#include "netproxy/guests.h"

#include <errno.h>

static void keep_lowest(void *arg, const struct dhcp_lease_info *info)
{
	struct addr *lowest = arg;

	if (lowest->family == AF_UNSPEC || addr_v4(&info->address) < addr_v4(lowest))
		*lowest = info->address;
}

/* A vsock device belongs to the address that its --vsock names, or else to the first guest. */
static void device_address(const struct guests *guests, uint32_t id, struct addr *ret)
{
	*ret = (struct addr){0};
	if (id > 0)
		*ret = guests->options->vsocks[id - 1].guest;
	if (ret->family == AF_UNSPEC)
		dhcp_server_for_each(services_dhcp(guests->services), keep_lowest, ret);
}

int guests_address(const struct guests *guests, uint32_t id, struct addr *ret)
{
	struct addr found;

	if (id <= guests->options->vsock_count) {
		device_address(guests, id, &found);
	} else {
		found = addr_from_v4(id);
		if (!prefix_contains(&guests->options->subnet, &found))
			return -ENOENT;
	}
	if (found.family == AF_UNSPEC)
		return -ENOENT;
	*ret = found;
	return 0;
}

bool guests_owns(const struct guests *guests, uint32_t id, const struct addr *addr)
{
	struct stack *stack = forwarder_stack(guests->forwarder);
	struct mac mac, own_mac;
	struct addr own;

	return guests_address(guests, id, &own) == 0 && stack_neighbour(stack, &own, &own_mac) &&
	       stack_neighbour(stack, addr, &mac) && mac_equal(&mac, &own_mac);
}

struct search {
	struct mac mac;
	struct addr found; /* AF_UNSPEC: nothing so far */
};

static void keep_of_mac(void *arg, const struct dhcp_lease_info *info)
{
	struct search *search = arg;

	if (mac_equal(&info->mac, &search->mac))
		keep_lowest(&search->found, info);
}

int guests_identify(const struct guests *guests, const struct addr *from, uint32_t *ret_id)
{
	struct search search = {.found = *from};

	if (from->family == AF_INET6) {
		search.found = (struct addr){0};
		if (!stack_neighbour(forwarder_stack(guests->forwarder), from, &search.mac))
			return -ENOENT;
		dhcp_server_for_each(services_dhcp(guests->services), keep_of_mac, &search);
	}
	if (search.found.family != AF_INET)
		return -ENOENT;
	for (uint32_t id = 1; id <= guests->options->vsock_count; id++) {
		struct addr own;

		device_address(guests, id, &own);
		if (addr_equal(&own, &search.found)) {
			*ret_id = id;
			return 0;
		}
	}
	*ret_id = addr_v4(&search.found);
	return 0;
}
