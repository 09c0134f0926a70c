/* SPDX-License-Identifier: Apache-2.0 */
/* What there is in the network: leases, learned addresses, links, counters. */
#include <errno.h>
#include <string.h>

#include "api/routes.h"

/* ---- Leases ---- */

static void add_lease(void *visitor, const struct api_lease *lease)
{
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

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
	api_add_number(object, "sendDropped", info->counters.tx_dropped + info->tx_dropped);
	api_add_number(object, "flooded", info->flooded);
	api_add_number(object, "spoofedReceived", info->rx_refused);
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
}

/* BytesSent and BytesReceived as gvproxy names them: from the network's view, so "sent" is to the
 * guests. */
void route_stats(const struct api_call *call)
{
	struct forwarder_counters counters = forwarder_counters(call->backend->forwarder);
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
	section = add_section(stats, "ICMP");
	api_add_number(section, "Flows", counters.icmp_flows);
	api_add_number(section, "FlowsTotal", counters.icmp_flows_total);
	section = add_section(stats, "Publish");
	api_add_number(section, "Forwards", publish_count(call->backend->publish));
	http_reply_json(call->reply, 200, stats);
}

void route_v1_version(const struct api_call *call)
{
	struct json_object *object = json_object_new_object();
	const struct stack_conf *conf = stack_conf(forwarder_stack(call->backend->forwarder));
	char text[PREFIX_TEXT_MAX], address[ADDR_TEXT_MAX];

	api_add_text(object, "version", NETPROXY_VERSION);
	api_add_number(object, "api", 1);
	api_add_text(object, "subnet", prefix_format(&conf->subnet, text));
	api_add_text(object, "gateway", addr_format(&conf->gateway, address));
	if (!addr_is_any(&conf->alias))
		api_add_text(object, "host", addr_format(&conf->alias, address));
	api_add_number(object, "mtu", conf->mtu);
	http_reply_json(call->reply, 200, object);
}
