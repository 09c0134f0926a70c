/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: listing, adding and removing them, at gvproxy's paths with gvproxy's words, and
 * at ours. What a guest may is less than what the host may: its own addresses, its own forwards. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/forward_request.h"
#include "http/http_query.h"
#include "api/port_holder.h"
#include "api/routes.h"
#include "forwarder/publish_spec.h"
#include "netstack/behind.h"

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

static struct json_object *detailed_object(const struct publish_info *info)
{
	struct json_object *object = forward_request_encode(FORWARD_REQUEST_V1, info->spec);
	char bound[ENDPOINT_TEXT_MAX];

	if (info->spec->protocol != PUBLISH_UNIX)
		api_add_text(object, "bound", endpoint_format(&info->bound, bound));
	api_add_text(object, "owner", publish_owner_kind_text(info->spec->owner.kind));
	if (info->spec->owner.kind == PUBLISH_OWNER_GUEST)
		api_add_number(object, "guest", info->spec->owner.id);
	if (info->spec->owner.lease)
		api_add_text(object, "lease", "connection");
	api_add_number(object, "connections", info->connections);
	api_add_number(object, "refused", info->refused);
	api_add_number(object, "active", info->active);
	api_add_number(object, "bytesToGuest", info->bytes_to_guest);
	api_add_number(object, "bytesToHost", info->bytes_to_host);
	return object;
}

static void list_forward(void *arg, const struct publish_info *info)
{
	struct listing *listing = arg;

	if (!may_see(listing->call->door, &info->spec->owner))
		return;
	json_object_array_add(
		listing->array,
		listing->detailed ? detailed_object(info)
				  : forward_request_encode(FORWARD_REQUEST_GVPROXY, info->spec));
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

/* ---- Whose port it is ---- */

static bool owns(const struct api_call *call, const struct addr *own, const struct addr *named)
{
	const struct api_backend *backend = call->backend;

	return addr_equal(own, named) ||
	       (backend->guest_owns &&
		backend->guest_owns(backend->arg, call->door->guest_id, named));
}

/* A guest that names somebody means itself, or who is behind it: every address that isn't of the
 * network. Returns false when the request has been answered with an error. */
static bool settle_for_guest(const struct api_call *call, const struct addr *own,
			     struct publish_spec *spec)
{
	const struct stack_conf *conf = stack_conf(forwarder_stack(call->backend->forwarder));
	char own_text[ADDR_TEXT_MAX];

	addr_format(own, own_text);
	if (spec->via_name[0] || (spec->via.family && !owns(call, own, &spec->via))) {
		api_fail(call, 403, "not_permitted",
			 "a guest can only publish what is behind itself: \"via\" can be %s",
			 own_text);
		return false;
	}
	if (!spec->guest[0] && behind_address_ok(conf, &spec->remote.addr)) {
		spec->via = *own;
		return true;
	}
	if (spec->guest[0] || !owns(call, own, &spec->remote.addr)) {
		api_fail(
			call, 403, "not_permitted",
			"a guest can only publish ports of its own: \"remote\" can be :%u or %s:%u",
			spec->remote.port, own_text, spec->remote.port);
		return false;
	}
	return true;
}

/* Settles whose port it is. Returns false when the request has been answered with an error. */
static bool resolve_remote(const struct api_call *call, struct publish_spec *spec)
{
	const struct api_backend *backend = call->backend;
	bool is_guest = call->door->kind == API_DOOR_GUEST;
	bool is_named = spec->remote.addr.family != AF_UNSPEC || spec->guest[0];
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
	if (is_named)
		return settle_for_guest(call, &own, spec);
	spec->remote.addr = own;
	endpoint_format(&spec->remote, spec->remote_text);
	return true;
}

/* ---- What went wrong ---- */

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
	case ENOTSOCK:
		return " (there is a file of that name, and it is not a socket)";
	case EMFILE:
	case ENFILE:
		return " (raise the limit of open files, ulimit -n)";
	default:
		return "";
	}
}

static const struct {
	int error;
	unsigned status; /* below /v1/ */
	const char *code;
} failures[] = {
	{EEXIST, 409, "already_running"},
	{EADDRINUSE, 409, "address_in_use"},
	{EHOSTUNREACH, 400, "no_guest_address"},
	{EPERM, 403, "not_permitted"},
	{ENOSPC, 503, "too_many"},
	{EINVAL, 400, "bad_request"},
	{ENAMETOOLONG, 400, "bad_request"},
	{EADDRNOTAVAIL, 400, "bind_failed"},
	{EAFNOSUPPORT, 400, "bind_failed"},
	{EACCES, 403, "bind_failed"},
	{ENOTSOCK, 409, "bind_failed"},
	{ENOENT, 400, "bind_failed"},
	{ENOMEM, 500, "no_memory"},
};

static void failure_message(const struct publish_spec *spec, const struct publish_failure *failure,
			    int error, char *to, size_t size)
{
	const char *protocol = publish_protocol_text(spec->protocol);
	char text[80];

	switch (error) {
	case EEXIST:
		snprintf(to, size, "%s %s is published already", protocol, spec->local_text);
		break;
	case EPERM:
		snprintf(to, size, "%s", failure->why);
		break;
	case EHOSTUNREACH:
		snprintf(to, size, "\"remote\" is %s: %s", spec->remote_text, failure->why);
		break;
	case EINVAL:
	case ENAMETOOLONG:
		snprintf(to, size, "%s %s: %s", protocol, spec->local_text, failure->why);
		break;
	case ENOSPC:
		snprintf(to, size,
			 "there are too many forwards: at most %d, %d of one guest, and of all "
			 "guests a %dth of netproxy's file descriptors",
			 PUBLISH_FORWARDS_MAX, PUBLISH_OWNER_MAX, PUBLISH_GUESTS_FD_SHARE);
		break;
	case ENOMEM:
		snprintf(to, size, "out of memory");
		break;
	default:
		snprintf(to, size, "listen %s %s: bind: %s", protocol, spec->local_text,
			 errno_text(error, text, sizeof(text)));
		break;
	}
}

/* At gvproxy's paths, in its words. */
static void fail_gvproxy(const struct api_call *call, const struct publish_spec *spec,
			 const struct publish_failure *failure, int error)
{
	char message[512];

	failure_message(spec, failure, error, message, sizeof(message));
	api_fail(call, error == EPERM ? 403 : 500, "", "%s",
		 error == EEXIST ? "proxy already running" : message);
}

_Static_assert(PORT_HOLDER_TEXT_MAX <= PUBLISH_OWNER_WORDS_MAX, "a holder is either");

static void fail_v1(const struct api_call *call, const struct publish_spec *spec,
		    const struct publish_failure *failure, int error)
{
	char message[512], holder[PUBLISH_OWNER_WORDS_MAX] = "";
	struct api_failure what = {.status = 500, .code = "bind_failed", .error = error};
	size_t size;

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		if (failures[i].error != error)
			continue;
		what.status = failures[i].status;
		what.code = failures[i].code;
	}
	/* A guest's share is its own affair, not the service's. */
	if (error == ENOSPC && call->door->kind == API_DOOR_GUEST)
		what.status = 403;
	failure_message(spec, failure, error, message, sizeof(message));
	size = strlen(message);
	snprintf(message + size, sizeof(message) - size, "%s", bind_hint(error));
	if (failure->holder)
		publish_owner_words(&failure->holder->owner, holder);
	else if (error == EADDRINUSE && call->door->kind == API_DOOR_HOST &&
		 spec->protocol != PUBLISH_UNIX)
		/* What runs on the host is none of a guest's business. */
		(void)port_holder_find(&spec->local, spec->protocol == PUBLISH_UDP, holder);
	if (holder[0])
		what.holder = holder;
	api_fail_with(call, &what, "%s%s%s", message, holder[0] ? ": it belongs to " : "", holder);
}

/* ---- Adding ---- */

void route_forwarder_expose(const struct api_call *call)
{
	char error[FORWARD_REQUEST_ERROR_MAX];
	struct publish_failure failure;
	struct forward_request request;
	struct publish_owner owner;
	int r = forward_request_decode(FORWARD_REQUEST_GVPROXY, call->request->body,
				       call->request->body_size, &request, error);

	if (r < 0) {
		api_fail(call, r == -ENOTSUP ? 500 : 400, "bad_request", "%s", error);
		return;
	}
	if (!resolve_remote(call, &request.spec))
		return;
	owner = owner_of(call->door);
	memcpy(owner.text, request.spec.owner.text, sizeof(owner.text));
	request.spec.owner = owner;
	r = publish_add(call->backend->publish, &request.spec, 1, 0, &failure);
	if (r < 0)
		fail_gvproxy(call, &request.spec, &failure, -r);
}

static void reply_added(const struct api_call *call, const struct publish_spec *specs,
			unsigned count)
{
	struct json_object *array = json_object_new_array();
	struct publish_info info;

	for (unsigned i = 0; i < count; i++) {
		if (publish_find(call->backend->publish, specs[i].local_text, specs[i].protocol,
				 &info) == 0)
			json_object_array_add(array, detailed_object(&info));
	}
	http_reply_json(call->reply, 200, array);
}

static void add_all(const struct api_call *call, const struct forward_request *request)
{
	struct publish_failure failure = {0};
	struct publish_spec *specs;
	unsigned count;
	int r = publish_expand(&request->spec, request->ports, request->tcp_and_udp, &specs, &count,
			       failure.why);

	if (r < 0) {
		fail_v1(call, &request->spec, &failure, -r);
		return;
	}
	r = publish_add(call->backend->publish, specs, count, PUBLISH_AGAIN_OK, &failure);
	if (r < 0) {
		fail_v1(call, &specs[failure.index], &failure, -r);
	} else {
		reply_added(call, specs, count);
		call->reply->hold = request->connection_lease;
	}
	free(specs);
}

void route_v1_forwards_add(const struct api_call *call)
{
	char error[FORWARD_REQUEST_ERROR_MAX];
	struct forward_request request;
	struct publish_owner owner = owner_of(call->door);
	int r = forward_request_decode(FORWARD_REQUEST_V1, call->request->body,
				       call->request->body_size, &request, error);

	if (r < 0) {
		api_fail(call, 400, "bad_request", "%s", error);
		return;
	}
	if (!resolve_remote(call, &request.spec) ||
	    (request.connection_lease && !api_may_hold(call, "forwards")))
		return;
	if (request.connection_lease)
		owner.lease = call->lease;
	memcpy(owner.text, request.spec.owner.text, sizeof(owner.text));
	request.spec.owner = owner;
	add_all(call, &request);
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
	memcpy(owner.text, spec.owner.text, sizeof(owner.text));
	r = publish_remove(call->backend->publish, spec.local_text, spec.protocol, &owner);
	/* For a guest, what isn't its own doesn't exist, as in the list that it gets. */
	if (r < 0)
		api_fail(call, 500, "not_found", "proxy not found");
}

/* What a removal names. */
struct removal {
	char local[PUBLISH_TEXT_MAX];
	char protocol[8];
	char name[PUBLISH_NAME_MAX];
	char owner_text[PUBLISH_NAME_MAX];
};

/* Returns how many it got, or -1 when the request has been answered with an error. */
static int read_removal(const struct api_call *call, struct removal *ret)
{
	static const char *const keys[] = {"local", "protocol", "name", "for", NULL};
	const struct {
		char *to;
		size_t size;
	} values[] = {
		{ret->local, sizeof(ret->local)},
		{ret->protocol, sizeof(ret->protocol)},
		{ret->name, sizeof(ret->name)},
		{ret->owner_text, sizeof(ret->owner_text)},
	};
	char unknown[32];
	int count = 0;

	if (http_query_unknown(call->request->query, keys, unknown, sizeof(unknown)) == 0) {
		api_fail(
			call, 400, "bad_request",
			"unknown key \"%s\" in the query: expected local and protocol, name, or for",
			unknown);
		return -1;
	}
	for (size_t i = 0; keys[i]; i++) {
		int r = http_query_get(call->request->query, keys[i], values[i].to, values[i].size);

		if (r < 0 && r != -ENOENT) {
			api_fail(call, 400, "bad_request", "\"%s\" in the query: %s", keys[i],
				 r == -EINVAL ? "it is malformed, or there twice"
					      : "it is too long for any forward");
			return -1;
		}
		if (r == 0 && i != 1)
			count++;
	}
	return count;
}

void route_v1_forwards_delete(const struct api_call *call)
{
	struct publish_owner by = owner_of(call->door);
	struct publish *publish = call->backend->publish;
	struct removal removal = {0};
	enum publish_protocol protocol;
	struct json_object *reply;
	unsigned removed = 0;
	int count = read_removal(call, &removal);

	if (count < 0)
		return;
	if (count != 1 || forward_protocol_parse(removal.protocol, &protocol) < 0) {
		api_fail(call, 400, "bad_request",
			 "expected one of: ?local=ADDRESS:PORT&protocol=tcp|udp|unix, ?name=NAME, "
			 "?for=OWNER");
		return;
	}
	if (removal.local[0]) {
		removed = publish_remove(publish, removal.local, protocol, &by) == 0;
	} else if (removal.name[0]) {
		removed = publish_remove_name(publish, removal.name, &by);
	} else if (removal.owner_text[0]) {
		memcpy(by.text, removal.owner_text, sizeof(by.text));
		removed = publish_remove_owner(publish, &by);
	}
	if (!removed) {
		api_fail(call, 404, "not_found", "nothing like that is published");
		return;
	}
	reply = json_object_new_object();
	api_add_number(reply, "removed", removed);
	http_reply_json(call->reply, 200, reply);
}
