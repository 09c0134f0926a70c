/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of a DHCP configuration: see dhcp_conf.h. */
#include "dhcp/dhcp_conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX_LENGTH_MIN 8
#define PREFIX_LENGTH_MAX 30

struct complaint {
	char *to;
	size_t size;
};

static int __attribute__((format(printf, 2, 3)))
complain(const struct complaint *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->to, c->size, format, args);
	va_end(args);
	return -EINVAL;
}

static const char *text(const struct addr *address, char to[static ADDR_TEXT_MAX])
{
	return address->family == AF_UNSPEC ? "no address" : addr_format(address, to);
}

static bool in_subnet(const struct dhcp_conf *conf, const struct addr *address)
{
	uint32_t mask = prefix_mask4(&conf->subnet);

	if (address->family != AF_INET || !prefix_contains(&conf->subnet, address))
		return false;
	uint32_t host = addr_v4(address) & ~mask;

	return host != 0 && host != ~mask;
}

bool dhcp_conf_leasable(const struct dhcp_conf *conf, const struct addr *address)
{
	return in_subnet(conf, address) && !addr_equal(address, &conf->gateway) &&
	       !addr_equal(address, &conf->host_alias);
}

static int check_subnet(const struct dhcp_conf *conf, const struct complaint *c)
{
	char subnet[PREFIX_TEXT_MAX], a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

	if (conf->subnet.addr.family != AF_INET || conf->subnet.length < PREFIX_LENGTH_MIN ||
	    conf->subnet.length > PREFIX_LENGTH_MAX)
		return complain(c, "the subnet must be an IPv4 prefix from /%d to /%d",
				PREFIX_LENGTH_MIN, PREFIX_LENGTH_MAX);
	prefix_format(&conf->subnet, subnet);
	if (addr_v4(&conf->subnet.addr) & ~prefix_mask4(&conf->subnet))
		return complain(c, "the subnet %s has bits set after its length", subnet);
	if (!in_subnet(conf, &conf->gateway))
		return complain(c, "gateway %s isn't a host address of the subnet %s",
				text(&conf->gateway, a), subnet);
	if (conf->host_alias.family != AF_UNSPEC && !in_subnet(conf, &conf->host_alias))
		return complain(c, "host alias %s isn't a host address of the subnet %s",
				text(&conf->host_alias, a), subnet);
	if (addr_equal(&conf->host_alias, &conf->gateway))
		return complain(c, "the host alias and the gateway are both %s; they must differ",
				text(&conf->gateway, a));
	const struct addr *first = &conf->pool_first, *last = &conf->pool_last;

	if ((first->family != AF_UNSPEC && !in_subnet(conf, first)) ||
	    (last->family != AF_UNSPEC && !in_subnet(conf, last)))
		return complain(c, "DHCP pool %s to %s isn't within the host addresses of %s",
				text(first, a), text(last, b), subnet);
	if (first->family == AF_INET && last->family == AF_INET && addr_v4(first) > addr_v4(last))
		return complain(c, "DHCP pool %s to %s is empty: the first is above the last",
				text(first, a), text(last, b));
	return 0;
}

static int check_addresses(const struct addr *addresses, size_t count, const char *what,
			   const struct complaint *c)
{
	if (count > DHCP_ADDRESSES_MAX)
		return complain(c, "%zu %s servers for DHCP, at most %d fit", count, what,
				DHCP_ADDRESSES_MAX);
	for (size_t i = 0; i < count; i++)
		if (addresses[i].family != AF_INET)
			return complain(
				c, "DHCP can only tell guests of %s servers with an IPv4 address",
				what);
	return 0;
}

static int check_names(const struct dhcp_conf *conf, const struct complaint *c)
{
	if (conf->domain && !dhcp_domain_valid(conf->domain))
		return complain(c, "\"%.64s\" isn't a domain name", conf->domain);
	if (conf->search_size > DHCP_SEARCH_SIZE_MAX)
		return complain(c, "too many search domains: at most %d bytes together",
				DHCP_SEARCH_SIZE_MAX);
	return 0;
}

static int check_routes(const struct dhcp_conf *conf, const struct complaint *c)
{
	char a[ADDR_TEXT_MAX];

	if (conf->route_count > DHCP_ROUTES_MAX)
		return complain(c, "%zu DHCP routes, at most %d are allowed", conf->route_count,
				DHCP_ROUTES_MAX);
	for (size_t i = 0; i < conf->route_count; i++) {
		const struct dhcp_route *route = &conf->routes[i];

		if (route->to.addr.family != AF_INET || route->to.length > 32 ||
		    route->via.family != AF_INET)
			return complain(c,
					"DHCP route %zu must be an IPv4 prefix and an IPv4 router",
					i + 1);
		if (!in_subnet(conf, &route->via) && !addr_is_any(&route->via))
			return complain(c, "DHCP route %zu: router %s isn't in the subnet", i + 1,
					text(&route->via, a));
	}
	return 0;
}

/* Codes that make a message what it is: the server's alone. */
static bool is_protocol_option(uint8_t code)
{
	switch (code) {
	case DHCP_OPT_PAD:
	case DHCP_OPT_END:
	case DHCP_OPT_HOSTNAME:
	case DHCP_OPT_REQUESTED:
	case DHCP_OPT_LEASE_TIME:
	case DHCP_OPT_OVERLOAD:
	case DHCP_OPT_TYPE:
	case DHCP_OPT_SERVER_ID:
	case DHCP_OPT_PARAMETERS:
	case DHCP_OPT_MESSAGE:
	case DHCP_OPT_SIZE_MAX:
	case DHCP_OPT_T1:
	case DHCP_OPT_T2:
	case DHCP_OPT_CLIENT_ID:
	case DHCP_OPT_RAPID_COMMIT:
	case DHCP_OPT_FQDN:
	case DHCP_OPT_RELAY:
		return true;
	default:
		return false;
	}
}

static int check_boot(const struct dhcp_conf *conf, const struct complaint *c)
{
	if (conf->boot_server.family != AF_UNSPEC && !conf->boot_file)
		return complain(c, "a boot server needs a boot file");
	if (conf->boot_server.family != AF_UNSPEC && conf->boot_server.family != AF_INET)
		return complain(c, "the boot server needs an IPv4 address");
	if (!conf->boot_file)
		return 0;
	if (!*conf->boot_file || strlen(conf->boot_file) >= DHCP_BOOT_FILE_MAX)
		return complain(c, "the boot file's name must have 1 to %d characters",
				DHCP_BOOT_FILE_MAX - 1);
	return 0;
}

static int check_extras(const struct dhcp_conf *conf, const struct complaint *c)
{
	if (conf->extra_count > DHCP_EXTRA_MAX)
		return complain(c, "%zu extra DHCP options, at most %d are allowed",
				conf->extra_count, DHCP_EXTRA_MAX);
	for (size_t i = 0; i < conf->extra_count; i++) {
		const struct dhcp_extra *extra = &conf->extras[i];

		if (is_protocol_option(extra->code))
			return complain(c, "DHCP option %u is the server's own and can't be set",
					extra->code);
		if (extra->size > DHCP_OPTION_SIZE_MAX || (extra->size && !extra->data))
			return complain(c, "DHCP option %u has %zu bytes, at most %d are allowed",
					extra->code, extra->size, DHCP_OPTION_SIZE_MAX);
	}
	return 0;
}

int dhcp_conf_check(const struct dhcp_conf *conf, char *error, size_t error_size)
{
	const struct complaint c = {.to = error, .size = error_size};

	if (check_subnet(conf, &c) < 0 || check_names(conf, &c) < 0 ||
	    check_addresses(conf->dns, conf->dns_count, "DNS", &c) < 0 ||
	    check_addresses(conf->ntp, conf->ntp_count, "NTP", &c) < 0 ||
	    check_routes(conf, &c) < 0 || check_boot(conf, &c) < 0 || check_extras(conf, &c) < 0)
		return -EINVAL;
	if (conf->lease_seconds < DHCP_LEASE_SECONDS_MIN)
		return complain(&c, "a DHCP lease of %" PRIu32 " s is too short: at least %d s",
				conf->lease_seconds, DHCP_LEASE_SECONDS_MIN);
	if (conf->mtu && conf->mtu < DHCP_MTU_MIN)
		return complain(&c, "MTU %u is too small for DHCP: at least %d", conf->mtu,
				DHCP_MTU_MIN);
	if (conf->reservation_count > DHCP_RESERVATIONS_MAX)
		return complain(&c, "%zu static DHCP leases, at most %d are allowed",
				conf->reservation_count, DHCP_RESERVATIONS_MAX);
	return 0;
}
