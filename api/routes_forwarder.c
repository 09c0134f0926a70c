/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: listing, adding and removing them. What a guest may is less than what the host
 * may: its own address, its own forwards. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/forward_request.h"
#include "api/routes.h"
#include "base/json.h"

static struct publish_owner owner_of(const struct api_door *door)
{
	if (door->kind == API_DOOR_GUEST)
		return (struct publish_owner){.kind = PUBLISH_OWNER_GUEST, .id = door->guest_id};
	return (struct publish_owner){.kind = PUBLISH_OWNER_HOST};
}

/* ---- Listing ---- */

struct listing {
	const struct api_call *call;
	struct json_object *array;
	bool detailed;
};

static bool may_see(const struct api_door *door, const struct publish_owner *owner)
{
	return door->kind == API_DOOR_HOST ||
	       (owner->kind == PUBLISH_OWNER_GUEST && owner->id == door->guest_id);
}

static const char *owner_text(enum publish_owner_kind kind)
{
	switch (kind) {
	case PUBLISH_OWNER_CONFIG:
		return "config";
	case PUBLISH_OWNER_HOST:
		return "host";
	case PUBLISH_OWNER_GUEST:
		return "guest";
	}
	return "unknown";
}

static void add_details(struct json_object *object, const struct publish_info *info)
{
	char bound[ENDPOINT_TEXT_MAX];

	api_add_text(object, "bound", endpoint_format(&info->bound, bound));
	api_add_text(object, "owner", owner_text(info->spec->owner.kind));
	if (info->spec->owner.kind == PUBLISH_OWNER_GUEST)
		api_add_number(object, "guest", info->spec->owner.id);
	api_add_number(object, "connections", info->connections);
	api_add_number(object, "refused", info->refused);
}

static void list_forward(void *arg, const struct publish_info *info)
{
	struct listing *listing = arg;
	struct json_object *object;

	if (!may_see(listing->call->door, &info->spec->owner))
		return;
	object = json_object_new_object();
	api_add_text(object, "local", info->spec->local_text);
	api_add_text(object, "remote", info->spec->remote_text);
	api_add_text(object, "protocol", forward_protocol_text(info->spec->protocol));
	if (listing->detailed)
		add_details(object, info);
	json_object_array_add(listing->array, object);
}

static void list(const struct api_call *call, bool detailed)
{
	struct listing listing = {
		.call = call, .array = json_object_new_array(), .detailed = detailed};

	publish_for_each(call->backend->publish, list_forward, &listing);
	http_reply_json(call->reply, 200, listing.array);
}

void route_forwarder_all(const struct api_call *call)
{
	list(call, false);
}

void route_v1_forwards(const struct api_call *call)
{
	list(call, true);
}

/* ---- Adding ---- */

/* Settles whose port it is. Returns false when the request has been answered with an error. */
static bool resolve_remote(const struct api_call *call, struct publish_spec *spec)
{
	const struct api_backend *backend = call->backend;
	bool is_guest = call->door->kind == API_DOOR_GUEST;
	bool is_named = spec->remote.addr.family != AF_UNSPEC;
	char own_text[ADDR_TEXT_MAX];
	struct addr own;

	if (is_named && !is_guest)
		return true;
	if (backend->guest_addr(backend->arg, is_guest ? call->door->guest_id : 0, &own) < 0) {
		api_fail(
			call, 500, "no_address",
			is_guest
				? "this guest has no address yet: it gets one by DHCP"
				: "no guest has an address yet: start one, or say a guest's address in \"remote\"");
		return false;
	}
	if (is_named && !addr_equal(&own, &spec->remote.addr)) {
		api_fail(
			call, 500, "not_permitted",
			"a guest can only publish ports of its own: \"remote\" can be :%u or %s:%u",
			spec->remote.port, addr_format(&own, own_text), spec->remote.port);
		return false;
	}
	spec->remote.addr = own;
	endpoint_format(&spec->remote, spec->remote_text);
	return true;
}

/* An errno's text as Go writes it: "address already in use". */
static const char *errno_text(int error, char *to, size_t size)
{
	snprintf(to, size, "%s", strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error");
	to[0] = (char)tolower((unsigned char)to[0]);
	return to;
}

/* What helps a user beyond the errno; "" where there is nothing. */
static const char *bind_hint(int error)
{
	switch (error) {
	case EACCES:
		return " (ports below net.ipv4.ip_unprivileged_port_start need privileges)";
	case EADDRNOTAVAIL:
		return " (the host has no such address)";
	case EMFILE:
	case ENFILE:
		return " (raise the limit of open files, ulimit -n)";
	default:
		return "";
	}
}

static void fail_add(const struct api_call *call, const struct publish_spec *spec,
		     const struct publish_spec *holder, int error)
{
	const char *protocol = forward_protocol_text(spec->protocol);
	char text[80];

	switch (error) {
	case EEXIST:
		api_fail(call, 500, "already_running",
			 "proxy already running for %s on %s (published by the %s)", protocol,
			 spec->local_text,
			 holder && holder->owner.kind == PUBLISH_OWNER_GUEST    ? "guest"
			 : holder && holder->owner.kind == PUBLISH_OWNER_CONFIG ? "configuration"
										: "host");
		break;
	case EHOSTUNREACH:
		api_fail(call, 500, "no_guest_address",
			 "\"remote\" is %s: expected an address of a guest, in the guests' network",
			 spec->remote_text);
		break;
	case ENOSPC:
		api_fail(call, 500, "too_many",
			 "there are too many forwards: at most %d, and %d of one guest",
			 PUBLISH_FORWARDS_MAX, PUBLISH_OWNER_MAX);
		break;
	case ENOMEM:
		api_fail(call, 500, "no_memory", "out of memory");
		break;
	default:
		api_fail(call, 500, error == EADDRINUSE ? "address_in_use" : "bind_failed",
			 "listen %s %s: bind: %s%s", protocol, spec->local_text,
			 errno_text(error, text, sizeof(text)), bind_hint(error));
		break;
	}
}

void route_forwarder_expose(const struct api_call *call)
{
	char error[FORWARD_REQUEST_ERROR_MAX];
	struct publish_failure failure;
	struct publish_spec spec;
	int r = forward_request_decode(call->request->body, call->request->body_size, &spec, error);

	if (r < 0) {
		api_fail(call, r == -ENOTSUP ? 500 : 400, "bad_request", "%s", error);
		return;
	}
	if (!resolve_remote(call, &spec))
		return;
	spec.owner = owner_of(call->door);
	r = publish_add(call->backend->publish, &spec, 1, 0, &failure);
	if (r < 0)
		fail_add(call, &spec, failure.holder, -r);
}

/* ---- Removing ---- */

void route_forwarder_unexpose(const struct api_call *call)
{
	struct publish_owner owner = owner_of(call->door);
	char error[FORWARD_REQUEST_ERROR_MAX];
	struct publish_spec spec;
	int r = forward_request_decode_removal(call->request->body, call->request->body_size, &spec,
					       error);

	if (r < 0) {
		api_fail(call, r == -ENOTSUP ? 500 : 400, "bad_request", "%s", error);
		return;
	}
	r = publish_remove(call->backend->publish, spec.local_text, spec.protocol, &owner);
	/* For a guest, what isn't its own doesn't exist, as in the list that it gets. */
	if (r < 0)
		api_fail(call, 500, "not_found", "proxy not found");
}
