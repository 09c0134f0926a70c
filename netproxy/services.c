/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP and DNS on the gateway; see services.h. */
#include "netproxy/services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/dhcp_service.h"
#include "netproxy/dns_service.h"
#include "netproxy/services6.h"

struct services {
	struct loop *loop;
	struct forwarder *forwarder;
	struct dhcp_service *dhcp;
	struct dns_service *dns;
	struct services6 *v6;
};

static void on_search(void *arg)
{
	struct services *services = arg;

	dhcp_service_search_changed(services->dhcp);
	services6_search_changed(services->v6);
}

static int start_dhcp(struct services *services, const struct options *options,
		      struct state_file *state, char error[static OPTIONS_ERROR_MAX])
{
	int r = dhcp_service_new(services->loop, options, services->forwarder, state, services->dns,
				 error, &services->dhcp);

	if (r == 0)
		r = services6_new(services->loop, options, services->forwarder, state,
				  services->dns, services_dhcp(services), &services->v6);
	if (r == 0)
		dns_service_on_search(services->dns, on_search, services);
	return r;
}

/* ---- Names of guests ---- */

static int guest_addr_of(void *arg, const char *name, sa_family_t family, struct addr *ret)
{
	struct services *services = arg;
	struct dhcp_lease_info four, six;
	bool has_four = dhcp_server_by_hostname(services_dhcp(services), name, &four);
	bool has_six = services6_by_name(services->v6, name, &six);

	if (!has_four && !has_six)
		return -ENOENT;
	*ret = (struct addr){0};
	if (family == AF_INET && has_four)
		*ret = four.address;
	if (family == AF_INET6 && has_six)
		*ret = six.address;
	return 0;
}

static int guest_name_of(void *arg, const struct addr *addr, char to[static DNS_LABEL_MAX + 1])
{
	struct services *services = arg;
	struct dhcp_lease_info lease;
	const char *name = NULL;

	if (addr->family == AF_INET6)
		name = services6_name_of(services->v6, addr);
	else if (dhcp_server_by_address(services_dhcp(services), addr, &lease))
		name = lease.hostname;
	if (!name || !name[0])
		return -ENOENT;
	snprintf(to, DNS_LABEL_MAX + 1, "%s", name);
	return 0;
}

/* ---- Life ---- */

int services_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		 struct state_file *state, char error[static OPTIONS_ERROR_MAX],
		 struct services **ret_services)
{
	struct services *services = calloc(1, sizeof(*services));
	const struct dns_guest_lookup guests = {
		.addr_of = guest_addr_of, .name_of = guest_name_of, .arg = services};
	int r;

	if (!services)
		return -ENOMEM;
	services->loop = loop;
	services->forwarder = forwarder;
	error[0] = '\0';
	/* DNS first: it knows the host's search domains, which DHCP hands out. */
	r = dns_service_new(loop, options, forwarder, state, &guests, error, &services->dns);
	if (r == 0)
		r = start_dhcp(services, options, state, error);
	if (r < 0) {
		if (!error[0])
			snprintf(error, OPTIONS_ERROR_MAX, "DHCP and DNS can't start: %s",
				 strerror(-r));
		services_free(services);
		return r;
	}
	*ret_services = services;
	return 0;
}

void services_free(struct services *services)
{
	if (!services)
		return;
	dns_service_free(services->dns);
	services6_free(services->v6);
	dhcp_service_free(services->dhcp);
	free(services);
}

int services_guest_addr(struct services *services, const char *name, sa_family_t family,
			struct addr *ret)
{
	sa_family_t other = family == AF_INET6 ? AF_INET : AF_INET6;
	struct addr addr;
	int r = guest_addr_of(services, name, family == AF_INET6 ? AF_INET6 : AF_INET, &addr);

	if (r == 0 && addr.family == AF_UNSPEC)
		r = guest_addr_of(services, name, family == AF_UNSPEC ? AF_INET6 : other, &addr);
	if (r == 0)
		*ret = addr;
	return r;
}

void services_leave(struct services *services)
{
	services6_leave(services->v6);
}

struct dhcp_server *services_dhcp(struct services *services)
{
	return dhcp_service_server(services->dhcp);
}

struct static_leases *services_static_leases(struct services *services)
{
	return dhcp_service_static_leases(services->dhcp);
}

int services_guest_name(struct services *services, const struct addr *addr,
			char to[static DNS_LABEL_MAX + 1])
{
	return guest_name_of(services, addr, to);
}

const struct dhcp6_server *services_dhcp6(struct services *services)
{
	return services6_dhcp(services->v6);
}

struct dns_server *services_dns(struct services *services)
{
	return dns_service_server(services->dns);
}

void services_zones_changed(struct services *services)
{
	dns_service_zones_changed(services->dns);
}
