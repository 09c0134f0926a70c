/* SPDX-License-Identifier: Apache-2.0 */
/* The guests' IPv6 network: how they come to addresses, and what the network needs. */
#include <errno.h>
#include <stdio.h>
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

/* The address of the prefix with that last byte. */
static struct addr host6(const struct prefix *prefix, uint8_t last)
{
	struct addr addr = prefix->addr;

	addr.v6.s6_addr[15] = last;
	return addr;
}

int options_finish_ipv6(struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	struct prefix *prefix = &options->prefix6;

	if (prefix->length && options->mtu < OPTIONS_IP6_MTU_MIN) {
		if (options->prefix6_given) {
			snprintf(
				error, OPTIONS_ERROR_MAX,
				"--mtu %u: IPv6 needs %d or more: expected that, or --prefix6 none",
				options->mtu, OPTIONS_IP6_MTU_MIN);
			return -EINVAL;
		}
		*prefix = (struct prefix){0};
	}
	if (prefix->length) {
		options->gateway6 = host6(prefix, 0x01);
		options->host_alias6 = host6(prefix, 0xfe);
	}
	return 0;
}
