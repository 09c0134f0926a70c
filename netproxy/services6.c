/* SPDX-License-Identifier: Apache-2.0 */
/* Router advertisements and DHCPv6 on the gateway; see services6.h. */
#include "netproxy/services6.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "netproxy/lease_event.h"
#include "netproxy/lease_state.h"
#include "netstack/router_adv.h"

LOG_MODULE("services");

#define SERVICE_HOPS  64
#define STATE_SECTION "dhcp6"

struct services6 {
	struct loop *loop;
	struct forwarder *forwarder;
	struct dhcp_server *dhcp4;   /* borrowed; NULL: none */
	struct dhcp6_server *server; /* NULL: none */
	struct state_file *state;
	struct dns_service *dns; /* borrowed: knows what guests are to search */
	const struct options *options;
	struct loop_timer *expiry;
};

/* ---- DHCPv6 ---- */

static void schedule_expiry(struct services6 *services)
{
	uint64_t now = loop_now_ms(services->loop);
	uint64_t next = dhcp6_server_expire(services->server, now);

	if (next != UINT64_MAX)
		loop_timer_set(services->expiry, next > now ? next - now : 0);
}

static void on_expiry(void *arg)
{
	schedule_expiry(arg);
}

/* A guest's IPv4 address: that of its lease, or that which it will have. AF_UNSPEC: unknown. */
static struct addr ipv4_of(const struct services6 *services, const struct mac *mac)
{
	const struct options_dhcp *conf = &services->options->dhcp;
	struct dhcp_lease_info lease;

	if (services->dhcp4 && dhcp_server_by_mac(services->dhcp4, mac, &lease))
		return lease.address;
	for (unsigned i = 0; i < conf->host_count; i++) {
		if (conf->hosts[i].by_mac && mac_equal(&conf->hosts[i].mac, mac))
			return conf->hosts[i].address;
	}
	return (struct addr){.family = AF_UNSPEC};
}

/* The number of that address in its network, which the guest's IPv6 address shall have too. */
static uint32_t ipv4_host(const struct services6 *services, const struct mac *mac)
{
	struct addr addr = ipv4_of(services, mac);

	if (addr.family != AF_INET)
		return 0;
	return addr_v4(&addr) & ~prefix_mask4(&services->options->subnet);
}

/* From an address of the scope that the guest asked from (RFC 6724, rule 2). */
static struct endpoint reply_source(const struct services6 *services, const struct addr *to)
{
	struct stack *stack = forwarder_stack(services->forwarder);
	bool local = IN6_IS_ADDR_LINKLOCAL(&to->v6);

	return (struct endpoint){
		.addr = local ? stack_link_local(stack) : stack_conf(stack)->gateway6,
		.port = DHCP6_SERVER_PORT,
	};
}

static void on_dhcp6(void *arg, const struct stack_datagram *datagram)
{
	struct services6 *services = arg;
	struct dhcp6_sender sender = {
		.mac = datagram->src_mac,
		.multicast = addr_is_multicast(&datagram->dst.addr),
		.source = datagram->port,
	};
	struct endpoint to = {.addr = datagram->src.addr, .port = DHCP6_CLIENT_PORT};
	struct dhcp6_reply reply;
	struct endpoint from;

	if (datagram->src.addr.family != AF_INET6 || addr_is_any(&datagram->src.addr))
		return;
	dns_service_look(services->dns);
	sender.host = ipv4_host(services, &datagram->src_mac);
	if (dhcp6_server_handle(services->server, &sender, datagram->payload, datagram->size,
				loop_now_ms(services->loop), &reply) == 1) {
		from = reply_source(services, &to.addr);
		stack_send_udp(forwarder_stack(services->forwarder), &from, &to, &datagram->src_mac,
			       SERVICE_HOPS, 0, reply.bytes, reply.size);
	}
	schedule_expiry(services);
}

static void on_lease(void *arg, enum dhcp_lease_event event, const struct dhcp_lease_info *lease)
{
	struct services6 *services = arg;

	lease_event(services->forwarder, event, lease);
	if (event == DHCP_LEASE_RENEWED)
		state_file_changed_within(services->state, LEASE_STATE_RENEWAL_MS);
	else
		state_file_changed(services->state);
}

static struct lease_clock clocks(const struct services6 *services)
{
	return (struct lease_clock){.now_ms = loop_now_ms(services->loop), .wall_s = time(NULL)};
}

static struct json_object *save_leases(void *arg)
{
	struct services6 *services = arg;
	struct lease_clock clock = clocks(services);

	return lease_state_save6(services->server, services->options->lease_seconds, &clock);
}

static int load_leases(void *arg, struct json_object *section, char error[static STATE_ERROR_MAX])
{
	struct services6 *services = arg;
	struct lease_clock clock = clocks(services);

	return lease_state_load6(services->server, services->options->lease_seconds, &clock,
				 section, error, STATE_ERROR_MAX);
}

static size_t ipv6_of(const struct addr *addrs, unsigned count, struct addr *to, size_t room)
{
	size_t kept = 0;

	for (unsigned i = 0; i < count && kept < room; i++) {
		if (addrs[i].family == AF_INET6)
			to[kept++] = addrs[i];
	}
	return kept;
}

static int start_dhcp6(struct services6 *services, const struct options *options,
		       const struct dns_service_search *search)
{
	const struct stack_conf *stack = stack_conf(forwarder_stack(services->forwarder));
	struct addr ntp[DHCP_ADDRESSES_MAX];
	struct dhcp6_conf conf = {
		.mac = stack->mac,
		.prefix = stack->prefix6,
		.gateway = stack->gateway6,
		.host_alias = stack->alias6,
		.ntp = ntp,
		.ntp_count = ipv6_of(options->dhcp.ntp, options->dhcp.ntp_count, ntp,
				     DHCP_ADDRESSES_MAX),
		.domain = options->domain,
		.search = search->wire,
		.search_size = search->size,
		.lease_seconds = options->lease_seconds,
		.leases_per_source_max = options->dhcp.per_guest_max,
		.rapid_commit = true,
		.on_lease = on_lease,
		.on_lease_arg = services,
	};
	const struct state_section section = {
		.name = STATE_SECTION, .save = save_leases, .load = load_leases, .arg = services};
	int r = dhcp6_server_new(&conf, &services->server);

	if (r == 0)
		r = loop_timer_new(services->loop, on_expiry, services, &services->expiry);
	if (r == 0)
		r = state_file_add_section(services->state, &section);
	if (r == 0)
		r = forwarder_serve_udp(services->forwarder, DHCP6_SERVER_PORT, on_dhcp6, services);
	if (r == 0)
		schedule_expiry(services);
	return r;
}

/* ---- Router advertisements ---- */

/* What the advertisements say of addresses. */
static int start_router(struct services6 *services, const struct options *options,
			const struct dns_service_search *search)
{
	enum ipv6_addresses from = options->ipv6_addresses;
	bool served = services->server != NULL;
	struct router_adv_conf conf = {
		.autonomous = from == IPV6_ADDRESSES_BOTH || from == IPV6_ADDRESSES_SLAAC,
		.managed = served && from != IPV6_ADDRESSES_SLAAC,
		.other = served,
		.search = search->wire,
		.search_size = search->size,
	};

	return router_adv_start(forwarder_stack(services->forwarder), &conf);
}

/* ---- Life ---- */

int services6_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		  struct state_file *state, struct dns_service *dns, struct dhcp_server *dhcp,
		  struct services6 **ret_services)
{
	struct services6 *services = calloc(1, sizeof(*services));
	const struct dns_service_search *search = dns_service_search(dns);
	int r = 0;

	if (!services)
		return -ENOMEM;
	services->loop = loop;
	services->forwarder = forwarder;
	services->dhcp4 = dhcp;
	services->state = state;
	services->options = options;
	services->dns = dns;
	if (options->prefix6.length) {
		if (options->ipv6_addresses != IPV6_ADDRESSES_NONE && !options->dhcp.off)
			r = start_dhcp6(services, options, search);
		if (r == 0)
			r = start_router(services, options, search);
	} else if (!options->prefix6_given) {
		log_info("no IPv6 for guests: it needs an MTU of %d or more, and this is %u",
			 OPTIONS_IP6_MTU_MIN, options->mtu);
	}
	if (r < 0) {
		services6_free(services);
		return r;
	}
	*ret_services = services;
	return 0;
}

void services6_free(struct services6 *services)
{
	if (!services)
		return;
	if (services->server)
		state_file_remove_section(services->state, STATE_SECTION);
	loop_timer_free(services->expiry);
	dhcp6_server_free(services->server);
	free(services);
}

void services6_search_changed(struct services6 *services)
{
	const struct dns_service_search *search = dns_service_search(services->dns);

	if (services->server)
		dhcp6_server_set_search(services->server, search->wire, search->size);
	router_adv_set_search(forwarder_stack(services->forwarder), search->wire, search->size);
}

void services6_leave(struct services6 *services)
{
	router_adv_stop(forwarder_stack(services->forwarder));
}

/* ---- Queries ---- */

const struct dhcp6_server *services6_dhcp(const struct services6 *services)
{
	return services->server;
}

bool services6_by_name(const struct services6 *services, const char *name,
		       struct dhcp_lease_info *ret)
{
	struct dhcp_lease_info four;

	if (!services->server)
		return false;
	if (services->dhcp4 && dhcp_server_by_hostname(services->dhcp4, name, &four))
		return dhcp6_server_by_mac(services->server, &four.mac, ret);
	return dhcp6_server_by_hostname(services->server, name, ret);
}

const char *services6_name_of(const struct services6 *services, const struct addr *addr)
{
	struct dhcp_lease_info lease, four;

	if (!services->server || !dhcp6_server_by_address(services->server, addr, &lease))
		return NULL;
	if (services->dhcp4 && dhcp_server_by_mac(services->dhcp4, &lease.mac, &four) &&
	    four.hostname[0])
		return four.hostname;
	if (services->dhcp4 && dhcp_server_by_hostname(services->dhcp4, lease.hostname, &four) &&
	    !mac_equal(&four.mac, &lease.mac))
		return NULL; /* another guest's */
	return lease.hostname[0] ? lease.hostname : NULL;
}
