/* SPDX-License-Identifier: Apache-2.0 */
/* The options of DHCP: static leases, the range, routes, boot, and what else guests are told. */
#include "netproxy/options_dhcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/options_private.h"

/* The longest value: an identifier in hex with colons, an address and a name. */
#define VALUE_MAX 1024

#define HOST_FORM                                               \
	"MAC=ADDRESS[,NAME] or id:HEX=ADDRESS[,NAME], such as " \
	"52:54:00:12:34:56=192.168.65.10,web or id:ff0102=192.168.65.11"
#define RANGE_FORM "FIRST-LAST, such as 192.168.65.100-192.168.65.199"
#define ROUTE_FORM "PREFIX=ROUTER, such as 10.0.0.0/8=192.168.65.9"
#define BOOT_FORM  "FILE[,ADDRESS], such as pxelinux.0 or boot/ipxe.efi,192.168.65.254"

/* Cuts a copy of the value at the last or first `at`. Returns what stands behind it, or NULL when
 * it isn't there or the value is too long. */
static char *cut(char copy[static VALUE_MAX], const char *value, char at, bool last)
{
	char *found;

	if (strlen(value) >= VALUE_MAX)
		return NULL;
	strcpy(copy, value);
	found = last ? strrchr(copy, at) : strchr(copy, at);
	if (!found)
		return NULL;
	*found = '\0';
	return found + 1;
}

static bool parse_v4(const char *text, struct addr *ret)
{
	return addr_parse(text, ret) == 0 && ret->family == AF_INET;
}

/* ---- Static leases ---- */

static bool parse_client(const char *text, struct dhcp_reservation *ret)
{
	int size;

	if (strncmp(text, "id:", 3) != 0) {
		ret->by_mac = true;
		return mac_parse(text, &ret->mac) == 0;
	}
	size = options_parse_hex(text + 3, ret->client_id, sizeof(ret->client_id));
	ret->client_id_size = size > 0 ? (size_t)size : 0;
	return size > 0;
}

static bool parse_host(const char *value, struct dhcp_reservation *ret)
{
	char copy[VALUE_MAX];
	char *address = cut(copy, value, '=', true);
	char *name = address ? strchr(address, ',') : NULL;

	if (!address)
		return false;
	if (name) {
		*name++ = '\0';
		if (!*name || strlen(name) >= sizeof(ret->hostname))
			return false;
		strcpy(ret->hostname, name);
	}
	return parse_client(copy, ret) && parse_v4(address, &ret->address);
}

int options_apply_dhcp_host(struct options *options, const char *value,
			    char error[static OPTIONS_ERROR_MAX])
{
	struct dhcp_reservation host = {0}, *to;

	if (!parse_host(value, &host))
		return options_complain(error, value, HOST_FORM);
	to = options_grow((void **)&options->dhcp.hosts, &options->dhcp.host_count, sizeof(host),
			  DHCP_RESERVATIONS_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = host;
	return 0;
}

int options_apply_dhcp_range(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	char copy[VALUE_MAX];
	const char *last = cut(copy, value, '-', false);
	struct addr first_addr, last_addr;

	if (!last || !parse_v4(copy, &first_addr) || !parse_v4(last, &last_addr))
		return options_complain(error, value, RANGE_FORM);
	options->dhcp.first = first_addr;
	options->dhcp.last = last_addr;
	return 0;
}

int options_apply_dhcp_max(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, 0, UINT16_MAX, &number, error);

	if (r == 0)
		options->dhcp.per_guest_max = (unsigned)number;
	return r;
}

int options_apply_dhcp_by_id(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->dhcp.by_id = true;
	return 0;
}

int options_apply_no_dhcp(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->dhcp.off = true;
	return 0;
}

/* ---- What guests are told ---- */

int options_apply_dhcp_option(struct options *options, const char *value,
			      char error[static OPTIONS_ERROR_MAX])
{
	struct dhcp_extra extra, *to;
	int r = options_parse_dhcp_option(value, &extra, error);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < options->dhcp.extra_count; i++) {
		if (options->dhcp.extras[i].code != extra.code)
			continue;
		free((void *)extra.data);
		snprintf(error, OPTIONS_ERROR_MAX,
			 "\"%.200s\": option %u is given twice: put all its values in one", value,
			 extra.code);
		return -EINVAL;
	}
	to = options_grow((void **)&options->dhcp.extras, &options->dhcp.extra_count, sizeof(extra),
			  DHCP_EXTRA_MAX, error);
	if (!to) {
		free((void *)extra.data);
		return -ENOSPC;
	}
	*to = extra;
	return 0;
}

int options_apply_dhcp_route(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	char copy[VALUE_MAX];
	const char *via = cut(copy, value, '=', false);
	struct dhcp_route route, *to;

	if (!via || prefix_parse(copy, &route.to) < 0 || route.to.addr.family != AF_INET ||
	    !parse_v4(via, &route.via))
		return options_complain(error, value, ROUTE_FORM);
	to = options_grow((void **)&options->dhcp.routes, &options->dhcp.route_count, sizeof(route),
			  DHCP_ROUTES_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = route;
	return 0;
}

int options_apply_ntp(struct options *options, const char *value,
		      char error[static OPTIONS_ERROR_MAX])
{
	struct addr addr, *to;

	if (!parse_v4(value, &addr))
		return options_complain(error, value, "an IPv4 address, such as 192.168.65.254");
	to = options_grow((void **)&options->dhcp.ntp, &options->dhcp.ntp_count, sizeof(addr),
			  DHCP_ADDRESSES_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = addr;
	return 0;
}

int options_apply_dhcp_boot(struct options *options, const char *value,
			    char error[static OPTIONS_ERROR_MAX])
{
	char copy[VALUE_MAX];
	const char *server = cut(copy, value, ',', true);
	struct addr addr = {0};

	if (server ? !parse_v4(server, &addr) : strlen(value) >= DHCP_BOOT_FILE_MAX)
		return options_complain(error, value, BOOT_FORM);
	if (options_set_text(options->dhcp.boot_file, sizeof(options->dhcp.boot_file),
			     server ? copy : value, error) < 0)
		return -EINVAL;
	options->dhcp.boot_server = addr;
	return 0;
}

/* ---- As a whole ---- */

struct addr options_first_guest(const struct options *options)
{
	const struct options_dhcp *dhcp = &options->dhcp;
	uint32_t ip = addr_v4(&options->subnet.addr) + 1;

	if (options->netns.address.family != AF_UNSPEC)
		return options->netns.address;
	if (dhcp->host_count)
		return dhcp->hosts[0].address;
	if (dhcp->first.family != AF_UNSPEC)
		ip = addr_v4(&dhcp->first);
	while (ip == addr_v4(&options->gateway) || ip == addr_v4(&options->host_alias))
		ip++;
	return addr_from_v4(ip);
}

void options_dhcp_conf(const struct options *options, struct dhcp_conf *ret_conf)
{
	const struct options_dhcp *dhcp = &options->dhcp;

	*ret_conf = (struct dhcp_conf){
		.subnet = options->subnet,
		.gateway = options->gateway,
		.host_alias = options->host_alias,
		.router = options_router(options, AF_INET),
		.pool_first = dhcp->first,
		.pool_last = dhcp->last,
		.ntp = dhcp->ntp,
		.ntp_count = dhcp->ntp_count,
		.domain = options->domain,
		.routes = dhcp->routes,
		.route_count = dhcp->route_count,
		.extras = dhcp->extras,
		.extra_count = dhcp->extra_count,
		.reservations = dhcp->hosts,
		.reservation_count = dhcp->host_count,
		.lease_seconds = options->lease_seconds,
		.mtu = (uint16_t)options->mtu,
		.boot_file = dhcp->boot_file[0] ? dhcp->boot_file : NULL,
		.boot_server = dhcp->boot_server,
		.leases_per_source_max = dhcp->per_guest_max,
		.one_per_mac = !dhcp->by_id,
		.authoritative = true,
		.rapid_commit = true,
	};
}

static int contradicts(const struct options_dhcp *dhcp, char error[static OPTIONS_ERROR_MAX])
{
	if (dhcp->off &&
	    (dhcp->host_count || dhcp->extra_count || dhcp->route_count || dhcp->ntp_count ||
	     dhcp->boot_file[0] || dhcp->by_id || dhcp->first.family != AF_UNSPEC)) {
		snprintf(error, OPTIONS_ERROR_MAX,
			 "--no-dhcp: expected no other option about DHCP beside it");
		return -EINVAL;
	}
	for (unsigned i = 0; i < dhcp->extra_count && dhcp->boot_file[0]; i++) {
		uint8_t code = dhcp->extras[i].code;

		if (code != DHCP_OPT_BOOT_SERVER && code != DHCP_OPT_BOOT_FILE)
			continue;
		snprintf(error, OPTIONS_ERROR_MAX,
			 "--dhcp-boot and --dhcp-option %u say the same: expected one of them",
			 code);
		return -EINVAL;
	}
	return 0;
}

int options_finish_dhcp(const struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	struct dhcp_server *server = NULL;
	struct dhcp_conf conf;
	char why[256] = "out of memory";

	if (contradicts(&options->dhcp, error) < 0)
		return -EINVAL;
	options_dhcp_conf(options, &conf);
	/* The server itself knows best what it can't work with. */
	if (dhcp_server_new(&conf, why, sizeof(why), &server) < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "%s", why);
		return -EINVAL;
	}
	dhcp_server_free(server);
	return 0;
}

void options_free_dhcp(struct options *options)
{
	struct options_dhcp *dhcp = &options->dhcp;

	for (unsigned i = 0; i < dhcp->extra_count; i++)
		free((void *)dhcp->extras[i].data);
	free(dhcp->hosts);
	free(dhcp->extras);
	free(dhcp->routes);
	free(dhcp->ntp);
	*dhcp = (struct options_dhcp){0};
}
