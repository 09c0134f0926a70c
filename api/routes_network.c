/* SPDX-License-Identifier: Apache-2.0 */
/* What there is in the network: leases, learned addresses, links, counters. */
#include <errno.h>
#include <string.h>

#include "api/routes.h"

/* ---- Leases ---- */

/* Those who know this list expect IPv4 addresses in it. */
static void add_lease(void *visitor, const struct api_lease *lease)
{
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	if (lease->address.family != AF_INET)
		return;
	api_add_text(visitor, addr_format(&lease->address, address), mac_format(&lease->mac, mac));
}

void route_leases(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct json_object *leases = json_object_new_object();

	if (backend->leases)
		backend->leases(backend->arg, add_lease, leases);
	http_reply_json(call->reply, 200, leases);
}

static void add_v1_lease(void *visitor, const struct api_lease *lease)
{
	struct json_object *object = json_object_new_object();
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	api_add_text(object, "address", addr_format(&lease->address, address));
	api_add_text(object, "mac", mac_format(&lease->mac, mac));
	api_add_text(object, "hostname", lease->hostname);
	if (lease->expires_s == API_LEASE_NEVER_ENDS)
		json_object_object_add(object, "expiresSeconds", NULL);
	else
		api_add_number(object, "expiresSeconds", lease->expires_s);
	json_object_array_add(visitor, object);
}

void route_v1_leases(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct json_object *leases = json_object_new_array();

	if (backend->leases)
		backend->leases(backend->arg, add_v1_lease, leases);
	http_reply_json(call->reply, 200, leases);
}

/* ---- The switch ---- */

static struct nswitch *network_switch(const struct api_call *call)
{
	return stack_switch(forwarder_stack(call->backend->forwarder));
}

static void add_address(void *arg, const struct mac *mac, unsigned port)
{
	char text[MAC_TEXT_MAX];

	api_add_number(arg, mac_format(mac, text), port);
}

void route_cam(const struct api_call *call)
{
	struct json_object *addresses = json_object_new_object();

	switch_addresses(network_switch(call), add_address, addresses);
	http_reply_json(call->reply, 200, addresses);
}

static uint64_t guarded(const struct switch_counters *counters)
{
	uint64_t sum = 0;

	for (int i = 0; i < GUARD_VERDICTS; i++)
		sum += counters->guarded[i];
	return sum;
}

static struct json_object *port_object(const struct switch_port_info *info)
{
	struct json_object *object = json_object_new_object();

	api_add_number(object, "port", info->port);
	api_add_text(object, "link", info->name);
	api_add_text(object, "kind", info->kind);
	api_add_number(object, "framesReceived", info->counters.rx_frames);
	api_add_number(object, "bytesReceived", info->counters.rx_bytes);
	api_add_number(object, "invalidReceived", info->counters.rx_invalid);
	api_add_number(object, "framesSent", info->counters.tx_frames);
	api_add_number(object, "bytesSent", info->counters.tx_bytes);
	api_add_number(object, "sendFull", info->counters.tx_full);
	api_add_number(object, "sendDropped", info->counters.tx_dropped + info->switching.dropped);
	api_add_number(object, "flooded", info->switching.flooded);
	api_add_number(object, "floodLimited", info->switching.flood_limited);
	api_add_number(object, "isolated", info->switching.isolated);
	api_add_number(object, "spoofedReceived",
		       info->switching.refused + guarded(&info->switching));
	return object;
}

void route_v1_ports(const struct api_call *call)
{
	struct switch_port_info infos[SWITCH_PORTS_MAX];
	unsigned count = switch_ports(network_switch(call), infos, SWITCH_PORTS_MAX);
	struct json_object *ports = json_object_new_array();

	for (unsigned i = 0; i < count && i < SWITCH_PORTS_MAX; i++)
		json_object_array_add(ports, port_object(&infos[i]));
	http_reply_json(call->reply, 200, ports);
}

/* ---- Counters ---- */

static struct json_object *add_section(struct json_object *object, const char *key)
{
	struct json_object *section = json_object_new_object();

	json_object_object_add(object, key, section);
	return section;
}

static void add_stack_counters(struct json_object *ip, struct json_object *tcp,
			       const struct stack_counters *counters)
{
	api_add_number(ip, "PacketsReceived", counters->rx_packets);
	api_add_number(ip, "Malformed", counters->rx_invalid);
	api_add_number(ip, "Spoofed", counters->rx_spoofed);
	api_add_number(ip, "Unroutable", counters->rx_unroutable);
	api_add_number(ip, "NoNeighbour", counters->tx_no_neighbour);
	api_add_number(ip, "LinkFull", counters->tx_full);
	api_add_number(tcp, "Connections", counters->conns);
	api_add_number(tcp, "ConnectionsTotal", counters->conns_total);
	api_add_number(tcp, "RefusedFull", counters->conns_refused_full);
	api_add_number(tcp, "SegmentsRefused", counters->conns_rx_refused);
}

static void add_switch_counters(struct json_object *section, const struct switch_counters *counters)
{
	api_add_number(section, "Flooded", counters->flooded);
	api_add_number(section, "FloodLimited", counters->flood_limited);
	api_add_number(section, "Isolated", counters->isolated);
	api_add_number(section, "Refused", counters->refused);
	api_add_number(section, "Dropped", counters->dropped);
}

static void add_guard_counters(struct json_object *section, const struct switch_counters *counters)
{
	static const char *const names[GUARD_VERDICTS] = {
		[GUARD_MAC] = "MAC",
		[GUARD_IP] = "IP",
		[GUARD_ARP] = "ARP",
		[GUARD_ND] = "NeighbourDiscovery",
		[GUARD_RA] = "RouterAdvertisement",
		[GUARD_DHCP] = "DHCP",
		[GUARD_MALFORMED] = "Malformed",
	};

	for (int i = 0; i < GUARD_VERDICTS; i++) {
		if (names[i])
			api_add_number(section, names[i], counters->guarded[i]);
	}
}

static void add_policy_counters(struct json_object *section, const struct policy_counters *counters)
{
	api_add_number(section, "Allowed", counters->allowed);
	api_add_number(section, "Denied", counters->denied);
}

/* BytesSent and BytesReceived as gvproxy names them: from the network's view, so "sent" is to the
 * guests. */
void route_stats(const struct api_call *call)
{
	struct forwarder_counters counters = forwarder_counters(call->backend->forwarder);
	struct policy_counters policy = policy_counters(forwarder_policy(call->backend->forwarder));
	struct switch_counters switching = switch_counters(network_switch(call));
	struct json_object *stats = json_object_new_object(), *tcp, *section;

	api_add_number(stats, "BytesSent", counters.bytes_to_guests);
	api_add_number(stats, "BytesReceived", counters.bytes_to_host);
	section = add_section(stats, "IP");
	tcp = add_section(stats, "TCP");
	add_stack_counters(section, tcp, &counters.stack);
	api_add_number(tcp, "Flows", counters.tcp_flows);
	api_add_number(tcp, "FlowsTotal", counters.tcp_flows_total);
	api_add_number(tcp, "Refused", counters.tcp_refused);
	section = add_section(stats, "UDP");
	api_add_number(section, "Flows", counters.udp_flows);
	api_add_number(section, "FlowsTotal", counters.udp_flows_total);
	api_add_number(section, "Evicted", counters.udp_evicted);
	api_add_number(section, "Dropped", counters.udp_dropped);
	api_add_number(section, "Group", counters.udp_group);
	section = add_section(stats, "ICMP");
	api_add_number(section, "Flows", counters.icmp_flows);
	api_add_number(section, "FlowsTotal", counters.icmp_flows_total);
	api_add_number(section, "Dropped", counters.icmp_dropped);
	add_switch_counters(add_section(stats, "Switch"), &switching);
	add_guard_counters(add_section(stats, "Guard"), &switching);
	add_policy_counters(add_section(stats, "Policy"), &policy);
	section = add_section(stats, "Publish");
	api_add_number(section, "Forwards", publish_count(call->backend->publish));
	http_reply_json(call->reply, 200, stats);
}

/* ---- What guests may reach ---- */

void route_v1_policy(const struct api_call *call)
{
	const struct policy *policy = forwarder_policy(call->backend->forwarder);
	struct json_object *rules = json_object_new_array();

	for (size_t i = 0; i < policy_rule_count(policy); i++) {
		struct policy_rule_info info = policy_rule_at(policy, i);
		struct json_object *object = json_object_new_object();

		api_add_text(object, "rule", info.text);
		api_add_text(object, "from", info.built_in ? "built-in" : "configuration");
		api_add_number(object, "hits", info.hits);
		json_object_array_add(rules, object);
	}
	http_reply_json(call->reply, 200, rules);
}

void route_v1_version(const struct api_call *call)
{
	struct json_object *object = json_object_new_object();
	const struct stack_conf *conf = stack_conf(forwarder_stack(call->backend->forwarder));
	char text[PREFIX_TEXT_MAX], address[ADDR_TEXT_MAX];

	api_add_text(object, "version", NETPROXY_VERSION);
	api_add_number(object, "api", 1);
	api_add_text(object, "subnet", prefix_format(&conf->subnet, text));
	api_add_text(object, "gateway", addr_format(stack_router(conf, AF_INET), address));
	if (!addr_is_any(&conf->alias))
		api_add_text(object, "host", addr_format(&conf->alias, address));
	api_add_number(object, "mtu", conf->mtu);
	http_reply_json(call->reply, 200, object);
}
