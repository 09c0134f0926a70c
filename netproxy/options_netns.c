/* SPDX-License-Identifier: Apache-2.0 */
/* Options for a network namespace as the guest, and where our services are in it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "netproxy/options_private.h"

#define DEFAULT_IFNAME "tap0"
#define FD_MAX         1048576

/* ---- One by one ---- */

int options_apply_netns(struct options *options, const char *value,
			char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->netns.netns, sizeof(options->netns.netns), value, error);
}

int options_apply_netns_attach(struct options *options, const char *value,
			       char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->netns.configure = false;
	return 0;
}

int options_apply_ifname(struct options *options, const char *value,
			 char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->netns.ifname, sizeof(options->netns.ifname), value, error);
}

int options_apply_netns_address(struct options *options, const char *value,
				char error[static OPTIONS_ERROR_MAX])
{
	if (addr_parse(value, &options->netns.address) < 0 ||
	    options->netns.address.family != AF_INET)
		return options_complain(error, value, "an IPv4 address, such as 192.168.65.2");
	return 0;
}

int options_apply_netns_mac(struct options *options, const char *value,
			    char error[static OPTIONS_ERROR_MAX])
{
	static const struct mac nobody;

	if (mac_parse(value, &options->netns.mac) < 0 || mac_is_group(&options->netns.mac) ||
	    mac_equal(&options->netns.mac, &nobody))
		return options_complain(error, value,
					"the MAC of one device, such as 52:54:00:12:34:56");
	options->netns.mac_given = true;
	return 0;
}

int options_apply_resolv_out(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->netns.resolv_out, sizeof(options->netns.resolv_out), value,
				error);
}

static int apply_fd(int *to, const char *value, char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, 0, FD_MAX, &number, error);

	if (r == 0)
		*to = (int)number;
	return r;
}

int options_apply_ready_fd(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	return apply_fd(&options->netns.ready_fd, value, error);
}

int options_apply_exit_fd(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	return apply_fd(&options->netns.exit_fd, value, error);
}

int options_apply_sandbox(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->netns.sandbox = true;
	return 0;
}

int options_apply_seccomp(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->netns.seccomp = true;
	return 0;
}

int options_apply_slirp4netns_api(struct options *options, const char *value,
				  char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->netns.slirp4netns_api,
				sizeof(options->netns.slirp4netns_api), value, error);
}

int options_apply_dns_address(struct options *options, const char *value,
			      char error[static OPTIONS_ERROR_MAX])
{
	if (addr_parse(value, &options->dns_address) < 0 || options->dns_address.family != AF_INET)
		return options_complain(error, value, "an IPv4 address, such as 10.0.2.3");
	return 0;
}

int options_apply_no_dns(struct options *options, const char *value,
			 char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->no_dns = true;
	return 0;
}

/* ---- As a whole ---- */

/* The IPv6 address that has the number of an IPv4 one within its network. */
static struct addr numbered6(const struct options *options, const struct addr *addr)
{
	uint32_t number = htonl(addr_v4(addr) & ~prefix_mask4(&options->subnet));
	struct addr addr6 = options->prefix6.addr;

	memcpy(addr6.v6.s6_addr + 12, &number, sizeof(number));
	return addr6;
}

static bool is_host_address(const struct options *options, const struct addr *addr)
{
	uint32_t number = addr_v4(addr) & ~prefix_mask4(&options->subnet);

	return prefix_contains(&options->subnet, addr) && number != 0 &&
	       number != ~prefix_mask4(&options->subnet);
}

int options_finish_dns_address(struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	const struct addr gateway = options->gateway;

	if (options->dns_address.family == AF_UNSPEC)
		return 0;
	if (!is_host_address(options, &options->dns_address) ||
	    addr_equal(&options->dns_address, &gateway)) {
		snprintf(error, OPTIONS_ERROR_MAX,
			 "--dns-address: expected an address of the guests' network that isn't "
			 "the gateway's");
		return -EINVAL;
	}
	if (options->host_alias_given && !addr_equal(&options->host_alias, &gateway)) {
		snprintf(error, OPTIONS_ERROR_MAX,
			 "--dns-address makes the gateway the host alias too: expected no other "
			 "--host-alias");
		return -EINVAL;
	}
	options->host_alias = gateway;
	options->gateway = options->dns_address;
	options->alias_routes = true;
	if (options->prefix6.length) {
		options->host_alias6 = numbered6(options, &options->host_alias);
		options->gateway6 = numbered6(options, &options->gateway);
	}
	return 0;
}

/* A MAC of our own making: of one device, and locally administered. */
static int random_mac(struct mac *ret)
{
	struct mac mac;

	if (getrandom(mac.bytes, sizeof(mac.bytes), 0) != (ssize_t)sizeof(mac.bytes))
		return -EIO;
	mac.bytes[0] = (uint8_t)((mac.bytes[0] & 0xfc) | 0x02);
	*ret = mac;
	return 0;
}

static int add_link(struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	struct link_option *link = options_grow((void **)&options->links, &options->link_count,
						sizeof(*link), OPTIONS_LINKS_MAX, error);

	if (!link)
		return -ENOSPC;
	*link = (struct link_option){.kind = LINK_OPTION_TAP};
	strcpy(link->path, options->netns.ifname);
	strcpy(link->netns, options->netns.netns);
	return 0;
}

/* So that a DHCP client inside gets what it has, and nobody else does. */
static int add_lease(struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	struct dhcp_reservation *host;

	if (options->dhcp.off)
		return 0;
	host = options_grow((void **)&options->dhcp.hosts, &options->dhcp.host_count, sizeof(*host),
			    DHCP_RESERVATIONS_MAX, error);
	if (!host)
		return -ENOSPC;
	*host = (struct dhcp_reservation){
		.by_mac = true,
		.mac = options->netns.mac,
		.address = options->netns.address,
	};
	return 0;
}

static int complain_alone(const struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	const struct netns_option *netns = &options->netns;
	const char *alone = netns->ifname[0]                     ? "ifname"
			    : netns->address.family != AF_UNSPEC ? "netns-address"
			    : netns->mac_given                   ? "netns-mac"
			    : netns->resolv_out[0]               ? "resolv-out"
			    : !netns->configure                  ? "netns-attach"
								 : NULL;

	if (!alone)
		return 0;
	snprintf(error, OPTIONS_ERROR_MAX,
		 "--%s is about a network namespace: expected --netns, too", alone);
	return -EINVAL;
}

int options_finish_netns(struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	struct netns_option *netns = &options->netns;
	int r;

	if (!netns->netns[0])
		return complain_alone(options, error);
	if (!netns->ifname[0])
		strcpy(netns->ifname, DEFAULT_IFNAME);
	r = add_link(options, error);
	if (r < 0)
		return r;
	if (netns->address.family == AF_UNSPEC)
		netns->address = options_first_guest(options);
	if (!is_host_address(options, &netns->address) ||
	    addr_equal(&netns->address, &options->gateway) ||
	    addr_equal(&netns->address, &options->host_alias)) {
		snprintf(error, OPTIONS_ERROR_MAX,
			 "--netns-address: expected an address of the guests' network that is "
			 "neither the gateway's nor the host alias'");
		return -EINVAL;
	}
	if (options->prefix6.length)
		netns->address6 = numbered6(options, &netns->address);
	if (!netns->configure)
		return 0;
	if (!netns->mac_given && random_mac(&netns->mac) < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "no random numbers for a MAC");
		return -EIO;
	}
	return add_lease(options, error);
}
