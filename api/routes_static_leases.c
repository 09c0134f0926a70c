/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that are kept for guests, by their MACs: listed, added and taken back. */
#include <errno.h>
#include <string.h>

#include "api/routes.h"
#include "base/json.h"
#include "http/http_query.h"

#define HOSTNAME_MAX 63
#define TEXT_MAX     128

static struct json_object *lease_object(const struct api_static_lease *lease)
{
	static const char *const owners[] = {
		[API_STATIC_CONFIG] = "config",
		[API_STATIC_GUEST] = "guest",
		[API_STATIC_HOST] = "host",
	};
	struct json_object *object = json_object_new_object();
	char address[ADDR_TEXT_MAX], mac[MAC_TEXT_MAX];

	api_add_text(object, "address", addr_format(&lease->address, address));
	api_add_text(object, "mac", lease->by_mac ? mac_format(&lease->mac, mac) : "");
	api_add_text(object, "hostname", lease->hostname);
	api_add_text(object, "owner", owners[lease->owner]);
	if (lease->connection)
		api_add_text(object, "lease", "connection");
	return object;
}

static void add_lease(void *visitor, const struct api_static_lease *lease)
{
	json_object_array_add(visitor, lease_object(lease));
}

void route_v1_static_leases(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct json_object *leases = json_object_new_array();

	if (backend->static_leases)
		backend->static_leases(backend->arg, add_lease, leases);
	http_reply_json(call->reply, 200, leases);
}

static const struct {
	int error;
	unsigned status;
	const char *code;
} failures[] = {
	{EINVAL, 400, "bad_request"},   {EADDRINUSE, 409, "address_in_use"},
	{EEXIST, 409, "already_there"}, {EPERM, 403, "not_permitted"},
	{ENOENT, 404, "not_found"},     {ENOSPC, 503, "too_many"},
	{ENOTSUP, 500, "no_service"},   {ENOMEM, 500, "no_memory"},
};

static void fail(const struct api_call *call, int r, const struct api_static_failure *failure)
{
	struct api_failure what = {.status = 500, .code = "failed", .error = -r};

	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		if (failures[i].error != -r)
			continue;
		what.status = failures[i].status;
		what.code = failures[i].code;
	}
	if (failure->holder[0])
		what.holder = failure->holder;
	api_fail_with(call, &what, "%s", failure->why[0] ? failure->why : strerror(-r));
}

static bool has_service(const struct api_call *call)
{
	if (call->backend->static_leases)
		return true;
	api_fail(call, 500, "no_service", "this network gives no addresses");
	return false;
}

/* ---- Adding ---- */

/* Pure. What the texts of *ret point into is the reader's object. */
static void decode(struct json_reader *r, struct api_static_lease *ret, bool *ret_held)
{
	static const char *const keys[] = {"address", "mac", "hostname", "lease", NULL};

	json_only_keys(r, keys);
	const char *address = json_need_string(r, "address"), *mac = json_need_string(r, "mac");
	const char *lease = json_get_string(r, "lease", "");

	*ret = (struct api_static_lease){.by_mac = true,
					 .hostname = json_get_string(r, "hostname", ""),
					 .owner = API_STATIC_HOST};
	if (!json_ok(r))
		return;
	if (addr_parse(address, &ret->address) < 0 || ret->address.family != AF_INET)
		json_fail(r, "\"address\" is \"%.60s\": expected an IPv4 address", address);
	if (mac_parse(mac, &ret->mac) < 0)
		json_fail(r, "\"mac\" is \"%.60s\": expected a MAC such as 52:54:00:12:34:56", mac);
	if (strlen(ret->hostname) > HOSTNAME_MAX)
		json_fail(r, "\"hostname\" has more than %d characters", HOSTNAME_MAX);
	if (lease[0] && strcmp(lease, "connection") != 0)
		json_fail(r, "\"lease\" is \"%.60s\": expected \"connection\", or nothing", lease);
	*ret_held = lease[0] != '\0';
}

struct search {
	struct addr address;
	struct json_object *found; /* owned; NULL: none so far */
};

static void find_lease(void *visitor, const struct api_static_lease *lease)
{
	struct search *search = visitor;

	if (!search->found && addr_equal(&lease->address, &search->address))
		search->found = lease_object(lease);
}

static void add(const struct api_call *call, struct api_static_lease *lease, bool held)
{
	const struct api_backend *backend = call->backend;
	struct api_static_failure failure = {.why = ""};
	struct search search = {.address = lease->address};
	int r;

	if (held && !api_may_hold(call, "leases"))
		return;
	lease->connection = held ? call->lease : 0;
	r = backend->static_lease_add(backend->arg, lease, &failure);
	if (r < 0) {
		fail(call, r, &failure);
		return;
	}
	/* As it is there: it may have been before, and be another's. */
	backend->static_leases(backend->arg, find_lease, &search);
	http_reply_json(call->reply, 200, search.found ? search.found : lease_object(lease));
	call->reply->hold = held;
}

void route_v1_static_leases_add(const struct api_call *call)
{
	struct json_object *object;
	struct api_static_lease lease;
	bool held = false;
	char why[128];

	if (!has_service(call))
		return;
	if (json_parse(call->request->body, call->request->body_size, &object, why, sizeof(why)) <
	    0) {
		api_fail(call, 400, "bad_request", "the request's body is not JSON: %s", why);
		return;
	}
	struct json_reader r = json_reader(object, "the request's body");

	decode(&r, &lease, &held);
	if (json_ok(&r))
		add(call, &lease, held);
	else
		api_fail(call, 400, "bad_request", "%s", r.error);
	json_object_put(object);
}

/* ---- Removing ---- */

/* A value of the query; false when the request has been answered with an error. */
static bool get_value(const struct api_call *call, const char *key, char to[static TEXT_MAX])
{
	int r = http_query_get(call->request->query, key, to, TEXT_MAX);

	if (r == 0)
		return true;
	api_fail(call, 400, "bad_request", "\"%s\" in the query: %s", key,
		 r == -ENOENT ? "it is missing: expected ?address=ADDRESS&mac=MAC"
			      : "it is malformed, there twice, or too long");
	return false;
}

void route_v1_static_leases_delete(const struct api_call *call)
{
	static const char *const keys[] = {"address", "mac", NULL};
	const struct api_backend *backend = call->backend;
	char address_text[TEXT_MAX], mac_text[TEXT_MAX], unknown[32];
	struct api_static_failure failure = {.why = ""};
	struct json_object *reply;
	struct addr address;
	struct mac mac;
	int r;

	if (!has_service(call))
		return;
	if (http_query_unknown(call->request->query, keys, unknown, sizeof(unknown)) == 0) {
		api_fail(call, 400, "bad_request",
			 "unknown key \"%s\" in the query: expected address and mac", unknown);
		return;
	}
	if (!get_value(call, "address", address_text) || !get_value(call, "mac", mac_text))
		return;
	if (addr_parse(address_text, &address) < 0 || mac_parse(mac_text, &mac) < 0) {
		api_fail(call, 400, "bad_request",
			 "\"%.60s\" and \"%.60s\" aren't an address and a MAC", address_text,
			 mac_text);
		return;
	}
	r = backend->static_lease_remove(backend->arg, &address, &mac, &failure);
	if (r < 0) {
		fail(call, r, &failure);
		return;
	}
	reply = json_object_new_object();
	api_add_number(reply, "removed", 1);
	http_reply_json(call->reply, 200, reply);
}
