/* SPDX-License-Identifier: Apache-2.0 */
/* How guests come to IPv6 addresses: the option's values. */
#include <string.h>

#include "netproxy/options_private.h"

/*
 * Both is the default. DHCPv6 gives a guest an address that can be foreseen, published to and
 * named; a guest without a DHCPv6 client, Android above all, has the one that it makes itself. Who
 * can do both (systemd-networkd, NetworkManager, dhcpcd, Windows, macOS) has two addresses, which
 * does no harm: both lead here. Without the managed flag none of these would ask for an address at
 * all.
 */
int options_apply_ipv6_addresses(struct options *options, const char *value,
				 char error[static OPTIONS_ERROR_MAX])
{
	static const struct {
		const char *text;
		enum ipv6_addresses value;
	} values[] = {
		{"both", IPV6_ADDRESSES_BOTH},
		{"slaac", IPV6_ADDRESSES_SLAAC},
		{"dhcp", IPV6_ADDRESSES_DHCP},
		{"none", IPV6_ADDRESSES_NONE},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (strcmp(value, values[i].text) == 0) {
			options->ipv6_addresses = values[i].value;
			return 0;
		}
	}
	return options_complain(error, value, "both, slaac, dhcp or none");
}
