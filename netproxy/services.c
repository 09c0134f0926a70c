/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP and DNS on the gateway; see services.h. */
#include "netproxy/services.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wire.h"
#include "netproxy/dns_service.h"

LOG_MODULE("services");

#define DHCP_SERVER_PORT 67
#define SERVICE_TTL      64

/* Where a DHCP message says whose it is (RFC 2131, section 2). */
#define DHCP_CHADDR_OFFSET 28

struct services {
	struct loop *loop;
	struct forwarder *forwarder;
	struct dhcp_server *dhcp;
	unsigned dhcp_port; /* the switch port of the message that is being handled; 0: none */
	struct loop_timer *expiry;
	struct dns_service *dns;
};

/* ---- DHCP ---- */

static struct endpoint gateway_port(const struct services *services, uint16_t port)
{
	return (struct endpoint){
		.addr = stack_conf(forwarder_stack(services->forwarder))->gateway,
		.port = port,
	};
}

static void schedule_expiry(struct services *services)
{
	uint64_t now = loop_now_ms(services->loop);
	uint64_t next = dhcp_server_expire(services->dhcp, now);

	if (next != UINT64_MAX)
		loop_timer_set(services->expiry, next > now ? next - now : 0);
}

static void on_expiry(void *arg)
{
	schedule_expiry(arg);
}

/* A guest asks for itself only: the message must name the MAC that it came from. */
static bool is_own_message(const struct stack_datagram *datagram)
{
	struct wire_reader r = wire_reader(datagram->payload, datagram->size);
	struct mac chaddr;

	wire_skip(&r, DHCP_CHADDR_OFFSET);
	wire_copy(&r, chaddr.bytes, MAC_SIZE);
	return wire_ok(&r) && mac_equal(&chaddr, &datagram->src_mac);
}

static void on_dhcp(void *arg, const struct stack_datagram *datagram)
{
	struct services *services = arg;
	struct endpoint from = gateway_port(services, DHCP_SERVER_PORT);
	struct dhcp_reply reply;

	if (!is_own_message(datagram)) {
		log_limited(LOG_LEVEL_WARN,
			    "a guest sent a DHCP message in the name of another MAC: ignored");
		return;
	}
	services->dhcp_port = datagram->port;
	if (dhcp_server_handle(services->dhcp, datagram->payload, datagram->size, datagram->port,
			       loop_now_ms(services->loop), &reply) == 1)
		stack_send_udp(forwarder_stack(services->forwarder), &from, &reply.to,
			       reply.destination == DHCP_TO_CHADDR ? &reply.chaddr : NULL,
			       SERVICE_TTL, 0, reply.bytes, reply.size);
	services->dhcp_port = 0;
	schedule_expiry(services);
}

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

static void on_lease(void *arg, enum dhcp_lease_event event, const struct dhcp_lease_info *lease)
{
	struct services *services = arg;
	struct stack *stack = forwarder_stack(services->forwarder);
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	if (event == DHCP_LEASE_GRANTED || event == DHCP_LEASE_RENEWED) {
		switch_lease(stack_switch(stack), &lease->address, &lease->mac,
			     services->dhcp_port);
		stack_learn(stack, &lease->address, &lease->mac);
	} else {
		switch_unlease(stack_switch(stack), &lease->address);
	}
	if (event == DHCP_LEASE_RENEWED)
		return;
	addr_format(&lease->address, address);
	log_info("lease %s: %s to %s %s", event_text(event), address, mac_format(&lease->mac, mac),
		 lease->hostname);
}

/* The domains that DHCP tells guests to search, as texts. */
struct search_list {
	char texts[DHCP_SEARCH_MAX][DNS_NAME_TEXT_MAX];
	const char *domains[DHCP_SEARCH_MAX + 1]; /* NULL-terminated */
};

static void fill_search_list(struct services *services, const struct options *options,
			     struct search_list *ret)
{
	struct dns_service_search search;
	size_t i;

	dns_service_fill_search(services->dns, options, &search);
	for (i = 0; i < search.count && i < DHCP_SEARCH_MAX; i++)
		ret->domains[i] = dns_name_format(&search.names[i], ret->texts[i]);
	ret->domains[i] = NULL;
}

static int start_dhcp(struct services *services, const struct options *options,
		      char error[static OPTIONS_ERROR_MAX])
{
	struct search_list search;
	struct dhcp_conf conf = {
		.subnet = options->subnet,
		.gateway = options->gateway,
		.host_alias = options->host_alias,
		.domain = options->domain,
		.search = search.domains,
		.lease_seconds = options->lease_seconds,
		.mtu = (uint16_t)options->mtu,
		.authoritative = true,
		.rapid_commit = true,
		.on_lease = on_lease,
		.on_lease_arg = services,
	};
	int r;

	fill_search_list(services, options, &search);
	r = dhcp_server_new(&conf, error, OPTIONS_ERROR_MAX, &services->dhcp);
	if (r == 0)
		r = loop_timer_new(services->loop, on_expiry, services, &services->expiry);
	if (r == 0)
		r = forwarder_serve_udp(services->forwarder, DHCP_SERVER_PORT, on_dhcp, services);
	return r;
}

/* ---- Names of guests ---- */

static int guest_addr_of(void *arg, const char *name, sa_family_t family, struct addr *ret)
{
	struct services *services = arg;
	struct dhcp_lease_info lease;

	if (!dhcp_server_by_hostname(services->dhcp, name, &lease))
		return -ENOENT;
	*ret = family == AF_INET ? lease.address : (struct addr){0};
	return 0;
}

static int guest_name_of(void *arg, const struct addr *addr, char to[static DNS_LABEL_MAX + 1])
{
	struct services *services = arg;
	struct dhcp_lease_info lease;

	if (!dhcp_server_by_address(services->dhcp, addr, &lease) || !lease.hostname[0])
		return -ENOENT;
	snprintf(to, DNS_LABEL_MAX + 1, "%s", lease.hostname);
	return 0;
}

/* ---- Life ---- */

int services_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		 char error[static OPTIONS_ERROR_MAX], struct services **ret_services)
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
	r = dns_service_new(loop, options, forwarder, &guests, error, &services->dns);
	if (r == 0)
		r = start_dhcp(services, options, error);
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
	loop_timer_free(services->expiry);
	dhcp_server_free(services->dhcp);
	free(services);
}

struct dhcp_server *services_dhcp(struct services *services)
{
	return services->dhcp;
}

struct dns_server *services_dns(struct services *services)
{
	return dns_service_server(services->dns);
}
