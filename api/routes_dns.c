/* SPDX-License-Identifier: Apache-2.0 */
/* Zones of local names, in gvproxy's shapes: the keys are capitalised, an absent address is "". */
#include <errno.h>

#include "api/dns_request.h"
#include "api/routes.h"

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
	r = dns_request_decode(call->request->body, call->request->body_size, &request, error);
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
