/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DHCP leases as JSON, for the state file; of IPv6 in the same form:
 *
 *	{"lease-time": 3600, "leases": [{"address": "192.168.65.2", "mac": "52:54:00:12:34:56",
 *	  "client-id": "01525400123456", "hostname": "web", "expires": 1790000000}, ...]}
 *
 * `expires` is the wall clock's, in seconds: absent for a lease without an end, 0 for one that has
 * ended but whose client shall have its address again.
 */
#ifndef NETPROXY_LEASE_STATE_H
#define NETPROXY_LEASE_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "dhcp/dhcp6_server.h"
#include "dhcp/dhcp_server.h"

/* How soon a renewal is written down: lost with the process it costs its client little, who asks
 * again. */
#define LEASE_STATE_RENEWAL_MS 30000

struct json_object;

/* Two clocks at one moment: the server's, and the wall's since 1970. */
struct lease_clock {
	uint64_t now_ms;
	int64_t wall_s;
};

/* Returns an owned object, or NULL without memory. */
struct json_object *lease_state_save(const struct dhcp_server *server, uint32_t lease_seconds,
				     const struct lease_clock *clock);
struct json_object *lease_state_save6(const struct dhcp6_server *server, uint32_t lease_seconds,
				      const struct lease_clock *clock);

/* Puts the leases into the server. One that ran out meanwhile is only remembered; one that doesn't
 * fit the configuration is left out, with a line in the log. No lease lasts longer than the longest
 * that was or is given, wherever the wall clock jumped. Returns 0, or -EINVAL with a message in
 * `error`; what stood before the mistake has been taken. */
int lease_state_load(struct dhcp_server *server, uint32_t lease_seconds,
		     const struct lease_clock *clock, struct json_object *section, char *error,
		     size_t error_size);
int lease_state_load6(struct dhcp6_server *server, uint32_t lease_seconds,
		      const struct lease_clock *clock, struct json_object *section, char *error,
		      size_t error_size);

#endif
