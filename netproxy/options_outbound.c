/* SPDX-License-Identifier: Apache-2.0 */
/* Options for the host's own addresses that connections out come from. */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "netproxy/options_private.h"

/* The interface's first address of that family which is valid beyond its link. */
static int address_of(const char *ifname, sa_family_t family, struct addr *ret)
{
	struct ifaddrs *all;
	int r = -ENOENT;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *one = all; r < 0 && one; one = one->ifa_next) {
		if (!one->ifa_addr || one->ifa_addr->sa_family != family ||
		    strcmp(one->ifa_name, ifname) != 0)
			continue;
		if (family == AF_INET) {
			struct sockaddr_in in;

			memcpy(&in, one->ifa_addr, sizeof(in));
			*ret = addr_from_v4(ntohl(in.sin_addr.s_addr));
			r = 0;
		} else {
			struct sockaddr_in6 in6;

			memcpy(&in6, one->ifa_addr, sizeof(in6));
			if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
				continue;
			*ret = addr_from_in6(&in6.sin6_addr);
			r = 0;
		}
	}
	freeifaddrs(all);
	return r;
}

static int apply(struct addr *to, sa_family_t family, const char *value,
		 char error[static OPTIONS_ERROR_MAX])
{
	struct addr addr;

	if (addr_parse(value, &addr) == 0 ? addr.family != family || addr_is_any(&addr)
					  : address_of(value, family, &addr) < 0)
		return options_complain(error, value,
					family == AF_INET6
						? "an IPv6 address of this host's, or an interface "
						  "that has one"
						: "an IPv4 address of this host's, or an interface "
						  "that has one");
	*to = addr;
	return 0;
}

int options_apply_outbound_address(struct options *options, const char *value,
				   char error[static OPTIONS_ERROR_MAX])
{
	return apply(&options->outbound.v4, AF_INET, value, error);
}

int options_apply_outbound_address6(struct options *options, const char *value,
				    char error[static OPTIONS_ERROR_MAX])
{
	return apply(&options->outbound.v6, AF_INET6, value, error);
}
