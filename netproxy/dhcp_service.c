/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv4 on the gateway; see dhcp_service.h. */
#include "netproxy/dhcp_service.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/wire.h"
#include "netproxy/lease_event.h"
#include "netproxy/lease_state.h"

LOG_MODULE("services");

#define SERVICE_TTL   64
#define STATE_SECTION "dhcp"

/* Where a DHCP message says which relay agent passed it on, and whose it is (RFC 2131, section 2).
 */
#define DHCP_GIADDR_OFFSET 24

struct dhcp_service {
	struct loop *loop;
	struct forwarder *forwarder;
	struct state_file *state;
	struct dns_service *dns; /* borrowed: knows what guests are to search */
	struct dhcp_server *dhcp;
	struct static_leases *static_leases; /* NULL: with --no-dhcp */
	struct loop_timer *expiry;
	uint32_t lease_seconds;
};

/* ---- Messages ---- */

static void schedule_expiry(struct dhcp_service *service)
{
	uint64_t now = loop_now_ms(service->loop);
	uint64_t next = dhcp_server_expire(service->dhcp, now);

	if (next != UINT64_MAX)
		loop_timer_set(service->expiry, next > now ? next - now : 0);
}

static void on_expiry(void *arg)
{
	schedule_expiry(arg);
}

/* A guest asks for itself only: the message must name the MAC that it came from. That leaves relay
 * agents out, which could speak in the name of every guest; on one network none is needed. */
static bool is_own_message(const struct stack_datagram *datagram)
{
	struct wire_reader r = wire_reader(datagram->payload, datagram->size);
	char text[MAC_TEXT_MAX];
	struct mac chaddr;

	wire_skip(&r, DHCP_GIADDR_OFFSET);
	bool relayed = wire_be32(&r) != 0;

	wire_copy(&r, chaddr.bytes, MAC_SIZE);
	if (!wire_ok(&r))
		return false;
	if (mac_equal(&chaddr, &datagram->src_mac))
		return true;
	log_limited(LOG_LEVEL_WARN, "%s sent a DHCP message %s: ignored",
		    mac_format(&datagram->src_mac, text),
		    relayed ? "as a relay agent, which isn't served here"
			    : "in the name of another MAC");
	return false;
}

static void on_dhcp(void *arg, const struct stack_datagram *datagram)
{
	struct dhcp_service *service = arg;
	struct stack *stack = forwarder_stack(service->forwarder);
	const struct endpoint from = {.addr = stack_conf(stack)->gateway, .port = DHCP_SERVER_PORT};
	struct dhcp_reply reply;

	if (!is_own_message(datagram))
		return;
	dns_service_look(service->dns);
	if (dhcp_server_handle(service->dhcp, datagram->payload, datagram->size, datagram->port,
			       loop_now_ms(service->loop), &reply) == 1)
		stack_send_udp(stack, &from, &reply.to,
			       reply.destination == DHCP_TO_CHADDR ? &reply.chaddr : NULL,
			       SERVICE_TTL, 0, reply.bytes, reply.size);
	schedule_expiry(service);
}

/* ---- Leases ---- */

static void on_lease(void *arg, enum dhcp_lease_event event, const struct dhcp_lease_info *lease)
{
	struct dhcp_service *service = arg;

	lease_event(service->forwarder, event, lease);
	if (event == DHCP_LEASE_RENEWED)
		state_file_changed_within(service->state, LEASE_STATE_RENEWAL_MS);
	else
		state_file_changed(service->state);
}

static struct lease_clock clocks(const struct dhcp_service *service)
{
	return (struct lease_clock){.now_ms = loop_now_ms(service->loop), .wall_s = time(NULL)};
}

static struct json_object *save_leases(void *arg)
{
	struct dhcp_service *service = arg;
	struct lease_clock clock = clocks(service);

	return lease_state_save(service->dhcp, service->lease_seconds, &clock);
}

static int load_leases(void *arg, struct json_object *section, char error[static STATE_ERROR_MAX])
{
	struct dhcp_service *service = arg;
	struct lease_clock clock = clocks(service);

	return lease_state_load(service->dhcp, service->lease_seconds, &clock, section, error,
				STATE_ERROR_MAX);
}

/* ---- Life ---- */

static int start_serving(struct dhcp_service *service, const struct prefix *subnet)
{
	const struct state_section section = {
		.name = STATE_SECTION, .save = save_leases, .load = load_leases, .arg = service};
	/* First: a lease that was kept may be on an address which only its static one makes known.
	 */
	int r = static_leases_new(service->loop, service->dhcp, subnet, service->state,
				  &service->static_leases);

	if (r == 0)
		r = state_file_add_section(service->state, &section);
	if (r == 0)
		r = forwarder_serve_udp(service->forwarder, DHCP_SERVER_PORT, on_dhcp, service);
	if (r == 0)
		schedule_expiry(service);
	return r;
}

int dhcp_service_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		     struct state_file *state, struct dns_service *dns,
		     char error[static OPTIONS_ERROR_MAX], struct dhcp_service **ret_service)
{
	struct dhcp_service *service = calloc(1, sizeof(*service));
	struct dhcp_conf conf;
	int r;

	if (!service)
		return -ENOMEM;
	service->loop = loop;
	service->forwarder = forwarder;
	service->state = state;
	service->dns = dns;
	service->lease_seconds = options->lease_seconds;
	options_dhcp_conf(options, &conf);
	conf.search = dns_service_search(dns)->wire;
	conf.search_size = dns_service_search(dns)->size;
	conf.on_lease = on_lease;
	conf.on_lease_arg = service;
	r = dhcp_server_new(&conf, error, OPTIONS_ERROR_MAX, &service->dhcp);
	if (r == 0)
		r = loop_timer_new(loop, on_expiry, service, &service->expiry);
	if (r == 0 && !options->dhcp.off)
		r = start_serving(service, &options->subnet);
	if (r < 0) {
		dhcp_service_free(service);
		return r;
	}
	*ret_service = service;
	return 0;
}

void dhcp_service_free(struct dhcp_service *service)
{
	if (!service)
		return;
	state_file_remove_section(service->state, STATE_SECTION);
	static_leases_free(service->static_leases);
	loop_timer_free(service->expiry);
	dhcp_server_free(service->dhcp);
	free(service);
}

void dhcp_service_search_changed(struct dhcp_service *service)
{
	const struct dns_service_search *search = dns_service_search(service->dns);

	if (dhcp_server_set_search(service->dhcp, search->wire, search->size) < 0)
		log_limited(LOG_LEVEL_WARN, "guests aren't told the new search domains: no memory");
}

struct dhcp_server *dhcp_service_server(struct dhcp_service *service)
{
	return service->dhcp;
}

struct static_leases *dhcp_service_static_leases(struct dhcp_service *service)
{
	return service->static_leases;
}
