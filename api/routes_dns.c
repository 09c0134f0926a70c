/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones of local names. In gvproxy's shapes the keys are capitalised, and an absent address is "";
 * in ours, below /v1/, what is absent is left out. The root zone is "@" in a path, where a dot
 * would be taken for a step.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "api/dns_request.h"
#include "api/routes.h"

#define ROOT_IN_PATH "@"

static void add_ip(struct json_object *object, const char *key, const struct addr *ip)
{
	char text[ADDR_TEXT_MAX];

	api_add_text(object, key, ip->family == AF_UNSPEC ? "" : addr_format(ip, text));
}

static struct json_object *record_object(const struct api_dns_record *record)
{
	struct json_object *object = json_object_new_object();

	api_add_text(object, "Name", record->name ? record->name : "");
	add_ip(object, "IP", &record->ip);
	if (record->regexp)
		api_add_text(object, "Regexp", record->regexp);
	else
		json_object_object_add(object, "Regexp", NULL);
	return object;
}

static void add_zone(void *visitor, const struct api_dns_zone *zone)
{
	struct json_object *object = json_object_new_object(), *records = json_object_new_array();

	for (size_t i = 0; i < zone->record_count; i++)
		json_object_array_add(records, record_object(&zone->records[i]));
	api_add_text(object, "Name", zone->name);
	json_object_object_add(object, "Records", records);
	add_ip(object, "DefaultIP", &zone->default_ip);
	json_object_array_add(visitor, object);
}

void route_dns_all(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct json_object *zones = json_object_new_array();

	if (backend->dns_zones)
		backend->dns_zones(backend->arg, add_zone, zones);
	http_reply_json(call->reply, 200, zones);
}

void route_dns_add(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	char error[DNS_REQUEST_ERROR_MAX] = "";
	struct dns_request request;
	int r;

	if (!backend->dns_add) {
		api_fail(call, 500, "no_service", "this network has no DNS of its own");
		return;
	}
	r = dns_request_decode(DNS_REQUEST_GVPROXY, call->request->body, call->request->body_size,
			       &request, error);
	if (r < 0) {
		api_fail(call, r == -ENOMEM ? 500 : 400, "bad_request", "%s", error);
		return;
	}
	r = backend->dns_add(backend->arg, &request.zone, error, sizeof(error));
	if (r < 0)
		api_fail(call, r == -EINVAL ? 400 : 500, "bad_zone", "%s",
			 error[0] ? error : "the zone can't be added");
	dns_request_clear(&request);
}

/* ---- /v1/ ---- */

static struct json_object *v1_record_object(const struct api_dns_record *record)
{
	struct json_object *object = json_object_new_object();
	char text[ADDR_TEXT_MAX];

	api_add_text(object, "name", record->name ? record->name : "");
	if (record->regexp)
		api_add_text(object, "regexp", record->regexp);
	api_add_text(object, "ip", addr_format(&record->ip, text));
	if (record->is_built_in)
		json_object_object_add(object, "built_in", json_object_new_boolean(true));
	return object;
}

static struct json_object *v1_zone_object(const struct api_dns_zone *zone)
{
	struct json_object *object = json_object_new_object(), *records = json_object_new_array();

	for (size_t i = 0; i < zone->record_count; i++)
		json_object_array_add(records, v1_record_object(&zone->records[i]));
	api_add_text(object, "name", zone->name);
	json_object_object_add(object, "shared", json_object_new_boolean(zone->is_shared));
	json_object_object_add(object, "records", records);
	if (zone->default_ip.family != AF_UNSPEC)
		add_ip(object, "default_ip", &zone->default_ip);
	return object;
}

static void add_v1_zone(void *visitor, const struct api_dns_zone *zone)
{
	json_object_array_add(visitor, v1_zone_object(zone));
}

void route_v1_zones(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct json_object *zones = json_object_new_array();

	if (backend->dns_zones)
		backend->dns_zones(backend->arg, add_v1_zone, zones);
	http_reply_json(call->reply, 200, zones);
}

struct search {
	const char *name;
	struct json_object *found; /* owned; NULL: none so far */
};

/* Names differ neither by case nor by a final dot. */
static bool same_zone(const char *a, const char *b)
{
	size_t a_size = strlen(a), b_size = strlen(b);

	a_size -= a_size > 1 && a[a_size - 1] == '.';
	b_size -= b_size > 1 && b[b_size - 1] == '.';
	return a_size == b_size && strncasecmp(a, b, a_size) == 0;
}

static void find_zone(void *visitor, const struct api_dns_zone *zone)
{
	struct search *search = visitor;

	if (!search->found && same_zone(zone->name, search->name))
		search->found = v1_zone_object(zone);
}

static const char *zone_name(const struct api_call *call)
{
	return strcmp(call->name, ROOT_IN_PATH) == 0 ? "." : call->name;
}

static void reply_zone(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	struct search search = {.name = zone_name(call)};

	if (backend->dns_zones)
		backend->dns_zones(backend->arg, find_zone, &search);
	if (search.found)
		http_reply_json(call->reply, 200, search.found);
	else
		api_fail(call, 404, "not_found", "there is no DNS zone \"%.255s\"", search.name);
}

void route_v1_zone(const struct api_call *call)
{
	reply_zone(call);
}

void route_v1_zone_put(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	char error[DNS_REQUEST_ERROR_MAX] = "";
	struct dns_request request;
	int r;

	if (!backend->dns_put) {
		api_fail(call, 500, "no_service", "this network has no DNS of its own");
		return;
	}
	r = dns_request_decode(DNS_REQUEST_V1, call->request->body, call->request->body_size,
			       &request, error);
	if (r < 0) {
		api_fail(call, r == -ENOMEM ? 500 : 400, "bad_request", "%s", error);
		return;
	}
	request.zone.name = zone_name(call);
	r = backend->dns_put(backend->arg, &request.zone, error, sizeof(error));
	if (r == 0)
		reply_zone(call);
	else
		api_fail(call, r == -EINVAL || r == -ENOSPC ? 400 : 500,
			 r == -ENOSPC ? "limit_reached" : "bad_zone", "%s",
			 error[0] ? error : "the zone can't be set");
	dns_request_clear(&request);
}

void route_v1_zone_delete(const struct api_call *call)
{
	const struct api_backend *backend = call->backend;
	const char *name = zone_name(call);
	int r = backend->dns_remove ? backend->dns_remove(backend->arg, name) : -ENOENT;

	if (r == -EPERM)
		api_fail(call, 403, "not_permitted", "the DNS zone \"%.255s\" is built in", name);
	else if (r == -ENOENT)
		api_fail(call, 404, "not_found", "there is no DNS zone \"%.255s\"", name);
	else if (r < 0)
		api_fail(call, 500, "failed", "the DNS zone \"%.255s\" can't be removed: %s", name,
			 strerror(-r));
}
