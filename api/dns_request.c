/* SPDX-License-Identifier: Apache-2.0 */
/* Zones in the bodies of requests; see dns_request.h. */
#include "api/dns_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* The keys of a form. */
struct keys {
	const char *zone; /* NULL: the name isn't in the body */
	const char *records;
	const char *default_ip;
	const char *name, *regexp, *ip;
};

static const struct keys forms[] = {
	[DNS_REQUEST_GVPROXY] = {"Name", "Records", "DefaultIP", "Name", "Regexp", "IP"},
	[DNS_REQUEST_V1] = {NULL, "records", "default_ip", "name", "regexp", "ip"},
};

/* What may be in a body of form v1: what it means, and what a listing of ours adds. */
static const char *const zone_keys[] = {"records", "default_ip", "name", "shared", NULL};
static const char *const record_keys[] = {"name", "regexp", "ip", "built_in", NULL};

/* An address, or none where it is absent or "", which is how Go writes that. */
static void decode_ip(struct json_reader *r, const char *key, struct addr *ret)
{
	const char *text = json_get_string(r, key, "");

	*ret = (struct addr){.family = AF_UNSPEC};
	if (json_ok(r) && text[0] && addr_parse(text, ret) < 0)
		json_fail(r, "\"%s\" is \"%.60s\": expected an IP address", key, text);
}

static void decode_record(struct json_object *object, const struct keys *keys,
			  struct json_reader *outer, struct api_dns_record *record)
{
	char where[64];

	snprintf(where, sizeof(where), "an entry of \"%s\"", keys->records);
	struct json_reader r = json_reader(object, where);

	if (!keys->zone)
		json_only_keys(&r, record_keys);
	record->name = json_get_string(&r, keys->name, "");
	record->regexp = json_get_string(&r, keys->regexp, NULL);
	decode_ip(&r, keys->ip, &record->ip);
	if (json_ok(&r) && record->ip.family == AF_UNSPEC)
		json_fail(&r, "\"%s\" is missing", keys->ip);
	if (!json_ok(&r))
		json_fail(outer, "%s", r.error);
}

/* Of a listing, the built-in records are no part: they stay as they are. */
static bool is_built_in(struct json_object *object)
{
	struct json_object *value;

	return json_object_object_get_ex(object, "built_in", &value) &&
	       json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

static int decode_records(struct json_reader *r, const struct keys *keys,
			  struct dns_request *request)
{
	struct json_object *array = json_get_array(r, keys->records);
	size_t count = array ? json_object_array_length(array) : 0;

	if (count > DNS_REQUEST_RECORDS_MAX)
		json_fail(r, "\"%s\" has %zu entries: expected at most %d", keys->records, count,
			  DNS_REQUEST_RECORDS_MAX);
	if (!json_ok(r) || count == 0)
		return 0;
	request->records = calloc(count, sizeof(*request->records));
	if (!request->records)
		return -ENOMEM;
	request->zone.records = request->records;
	for (size_t i = 0; i < count && json_ok(r); i++) {
		struct json_object *object = json_object_array_get_idx(array, i);

		if (!keys->zone && is_built_in(object))
			continue;
		decode_record(object, keys, r, &request->records[request->zone.record_count++]);
	}
	return 0;
}

int dns_request_decode(enum dns_request_form form, const char *body, size_t size,
		       struct dns_request *ret_request, char error[static DNS_REQUEST_ERROR_MAX])
{
	const struct keys *keys = &forms[form];
	struct dns_request request = {0};
	char why[128];
	int r;

	if (json_parse(body, size, &request.object, why, sizeof(why)) < 0) {
		snprintf(error, DNS_REQUEST_ERROR_MAX, "the request's body is not JSON: %s", why);
		return -EINVAL;
	}
	struct json_reader reader = json_reader(request.object, "the request's body");
	if (keys->zone)
		request.zone.name = json_need_string(&reader, keys->zone);
	else
		json_only_keys(&reader, zone_keys);
	decode_ip(&reader, keys->default_ip, &request.zone.default_ip);
	r = decode_records(&reader, keys, &request);
	if (r < 0)
		snprintf(error, DNS_REQUEST_ERROR_MAX, "out of memory");
	if (r == 0 && !json_ok(&reader)) {
		snprintf(error, DNS_REQUEST_ERROR_MAX, "%s", reader.error);
		r = -EINVAL;
	}
	if (r < 0) {
		dns_request_clear(&request);
		return r;
	}
	*ret_request = request;
	return 0;
}

void dns_request_clear(struct dns_request *request)
{
	json_object_put(request->object);
	free(request->records);
	*request = (struct dns_request){0};
}
