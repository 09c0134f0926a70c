/* SPDX-License-Identifier: Apache-2.0 */
/* The body of /services/dns/add; see dns_request.h. */
#include "api/dns_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* An address, or none where it is absent or "", which is how Go writes that. */
static void decode_ip(struct json_reader *r, const char *key, struct addr *ret)
{
	const char *text = json_get_string(r, key, "");

	*ret = (struct addr){.family = AF_UNSPEC};
	if (json_ok(r) && text[0] && addr_parse(text, ret) < 0)
		json_fail(r, "\"%s\" is \"%.60s\": expected an IP address", key, text);
}

static void decode_record(struct json_object *object, struct json_reader *outer,
			  struct api_dns_record *record)
{
	struct json_reader r = json_reader(object, "an entry of \"Records\"");

	record->name = json_get_string(&r, "Name", "");
	record->regexp = json_get_string(&r, "Regexp", NULL);
	decode_ip(&r, "IP", &record->ip);
	if (json_ok(&r) && record->ip.family == AF_UNSPEC)
		json_fail(&r, "\"IP\" is missing");
	if (!json_ok(&r))
		json_fail(outer, "%s", r.error);
}

static int decode_records(struct json_reader *r, struct dns_request *request)
{
	struct json_object *array = json_get_array(r, "Records");
	size_t count = array ? json_object_array_length(array) : 0;

	if (count > DNS_REQUEST_RECORDS_MAX)
		json_fail(r, "\"Records\" has %zu entries: expected at most %d", count,
			  DNS_REQUEST_RECORDS_MAX);
	if (!json_ok(r) || count == 0)
		return 0;
	request->records = calloc(count, sizeof(*request->records));
	if (!request->records)
		return -ENOMEM;
	for (size_t i = 0; i < count && json_ok(r); i++)
		decode_record(json_object_array_get_idx(array, i), r, &request->records[i]);
	request->zone.records = request->records;
	request->zone.record_count = count;
	return 0;
}

int dns_request_decode(const char *body, size_t size, struct dns_request *ret_request,
		       char error[static DNS_REQUEST_ERROR_MAX])
{
	struct dns_request request = {0};
	char why[128];
	int r;

	if (json_parse(body, size, &request.object, why, sizeof(why)) < 0) {
		snprintf(error, DNS_REQUEST_ERROR_MAX, "the request's body is not JSON: %s", why);
		return -EINVAL;
	}
	struct json_reader reader = json_reader(request.object, "the request's body");
	request.zone.name = json_need_string(&reader, "Name");
	decode_ip(&reader, "DefaultIP", &request.zone.default_ip);
	r = decode_records(&reader, &request);
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
