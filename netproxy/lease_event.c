/* SPDX-License-Identifier: Apache-2.0 */
/* What every lease means to the network; see lease_event.h. */
#include "netproxy/lease_event.h"

#include <errno.h>

#include "base/log.h"

LOG_MODULE("services");

static const char *event_text(enum dhcp_lease_event event)
{
	switch (event) {
	case DHCP_LEASE_GRANTED:
		return "granted";
	case DHCP_LEASE_RENEWED:
		return "renewed";
	case DHCP_LEASE_RELEASED:
		return "released";
	case DHCP_LEASE_EXPIRED:
		return "expired";
	}
	return "changed";
}

void lease_event(struct forwarder *forwarder, enum dhcp_lease_event event,
		 const struct dhcp_lease_info *lease)
{
	struct stack *stack = forwarder_stack(forwarder);
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	if (event == DHCP_LEASE_GRANTED || event == DHCP_LEASE_RENEWED) {
		if (switch_lease(stack_switch(stack), &lease->address, &lease->mac,
				 lease->source) != -EADDRINUSE)
			stack_learn(stack, &lease->address, &lease->mac);
	} else {
		switch_unlease(stack_switch(stack), &lease->address);
		forwarder_address_gone(forwarder, &lease->address);
	}
	forwarder_tell_lease(forwarder, event_text(event), &lease->address, &lease->mac,
			     lease->hostname);
	if (event != DHCP_LEASE_RENEWED)
		log_limited(LOG_LEVEL_INFO, "lease %s: %s to %s %s", event_text(event),
			    addr_format(&lease->address, address), mac_format(&lease->mac, mac),
			    lease->hostname);
}
