/* SPDX-License-Identifier: Apache-2.0 */
/* Who is there, and what they do: guests by their MAC, with their links, addresses and names; and
 * the flows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_query.h"
#include "api/live.h"
#include "api/routes.h"
#include "base/loop.h"

/* Flows in one answer: the default, and most that can be asked for. */
#define FLOWS_DEFAULT 1000
#define FLOWS_MAX     65536

/* ---- Guests ---- */

struct listing {
	struct json_object *by_mac; /* an object of objects: its texts find them fast */
	const struct switch_port_info *ports;
	unsigned port_count;
};

static struct json_object *guest_object(struct listing *listing, const struct mac *mac)
{
	struct json_object *object;
	char text[MAC_TEXT_MAX];

	mac_format(mac, text);
	if (json_object_object_get_ex(listing->by_mac, text, &object))
		return object;
	object = json_object_new_object();
	api_add_text(object, "mac", text);
	api_add_text(object, "hostname", "");
	json_object_object_add(object, "addresses", json_object_new_array());
	json_object_object_add(object, "attached", json_object_new_boolean(false));
	json_object_object_add(listing->by_mac, text, object);
	return object;
}

static void add_leased(void *visitor, const struct api_lease *lease)
{
	struct json_object *object = guest_object(visitor, &lease->mac);
	struct json_object *addresses = json_object_object_get(object, "addresses");
	char text[ADDR_TEXT_MAX];

	json_object_array_add(addresses,
			      json_object_new_string(addr_format(&lease->address, text)));
	if (lease->hostname[0])
		api_add_text(object, "hostname", lease->hostname);
}

static void add_learned(void *arg, const struct mac *mac, unsigned port)
{
	struct listing *listing = arg;
	struct json_object *object = guest_object(listing, mac);

	json_object_object_add(object, "attached", json_object_new_boolean(true));
	api_add_number(object, "port", port);
	for (unsigned i = 0; i < listing->port_count; i++) {
		if (listing->ports[i].port != port)
			continue;
		api_add_text(object, "link", listing->ports[i].name);
		api_add_text(object, "kind", listing->ports[i].kind);
	}
}

void route_v1_guests(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct nswitch *sw = stack_switch(forwarder_stack(backend->forwarder));
	struct switch_port_info ports[SWITCH_PORTS_MAX];
	struct listing listing = {
		.by_mac = json_object_new_object(),
		.ports = ports,
		.port_count = switch_ports(sw, ports, SWITCH_PORTS_MAX),
	};
	struct json_object *guests = json_object_new_array();

	if (backend->leases)
		backend->leases(backend->arg, add_leased, &listing);
	switch_addresses(sw, add_learned, &listing);
	json_object_object_foreach(listing.by_mac, mac, guest)
	{
		(void)mac;
		json_object_array_add(guests, json_object_get(guest));
	}
	json_object_put(listing.by_mac);
	http_reply_json(call->reply, 200, guests);
}

/* ---- Flows ---- */

struct flows {
	struct json_object *array;
	unsigned long left;
	struct addr guest; /* AF_UNSPEC: all guests' */
	bool truncated;
};

static void add_endpoint(struct json_object *object, const char *key,
			 const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_MAX];

	if (endpoint->addr.family != AF_UNSPEC)
		api_add_text(object, key, endpoint_format(endpoint, text));
}

static bool add_flow(void *arg, const struct flow_info *info)
{
	struct flows *flows = arg;
	struct json_object *object;

	if (flows->guest.family != AF_UNSPEC && !addr_equal(&flows->guest, &info->guest.addr))
		return true;
	if (!flows->left) {
		flows->truncated = true;
		return false;
	}
	flows->left--;
	object = json_object_new_object();
	api_add_text(object, "protocol", info->protocol);
	api_add_text(object, "direction", info->inbound ? "in" : "out");
	api_add_text(object, "state", info->state);
	api_add_number(object, "port", info->port);
	add_endpoint(object, "guest", &info->guest);
	add_endpoint(object, "far", &info->far);
	add_endpoint(object, "host", &info->host);
	if (info->far.addr.family != AF_UNSPEC) {
		api_add_number(object, "waitingToGuest", info->to_guest_waiting);
		api_add_number(object, "waitingToHost", info->to_host_waiting);
	} else {
		api_add_number(object, "idleMilliseconds", info->idle_ms);
	}
	json_object_array_add(flows->array, object);
	return true;
}

/* Returns false when the request has been answered with an error. */
static bool read_flows(const struct api_call *call, struct flows *flows)
{
	static const char *const keys[] = {"guest", "limit", NULL};
	char guest[ADDR_TEXT_MAX] = "", limit[12] = "", unknown[32], *end;

	if (http_query_unknown(call->request->query, keys, unknown, sizeof(unknown)) == 0) {
		api_fail(call, 400, "bad_request",
			 "unknown key \"%s\" in the query: expected guest or limit", unknown);
		return false;
	}
	if (http_query_get(call->request->query, "guest", guest, sizeof(guest)) != -ENOENT &&
	    addr_parse(guest, &flows->guest) < 0) {
		api_fail(call, 400, "bad_request", "\"guest\": expected an address");
		return false;
	}
	if (http_query_get(call->request->query, "limit", limit, sizeof(limit)) == -ENOENT)
		return true;
	flows->left = strtoul(limit, &end, 10);
	if (limit[0] < '0' || limit[0] > '9' || *end || flows->left > FLOWS_MAX) {
		api_fail(call, 400, "bad_request", "\"limit\": expected a number up to %d",
			 FLOWS_MAX);
		return false;
	}
	return true;
}

void route_v1_flows(const struct api_call *call)
{
	struct flows flows = {.left = FLOWS_DEFAULT};
	struct json_object *reply;

	if (!read_flows(call, &flows))
		return;
	flows.array = json_object_new_array();
	forwarder_flows(call->backend->forwarder, loop_now_ms(live_loop(call->live)), add_flow,
			&flows);
	reply = json_object_new_object();
	json_object_object_add(reply, "flows", flows.array);
	json_object_object_add(reply, "truncated", json_object_new_boolean(flows.truncated));
	http_reply_json(call->reply, 200, reply);
}
