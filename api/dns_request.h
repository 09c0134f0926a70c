/* SPDX-License-Identifier: Apache-2.0 */
/* The body of /services/dns/add, decoded and checked: a zone as gvproxy writes it. Pure. */
#ifndef API_DNS_REQUEST_H
#define API_DNS_REQUEST_H

#include <stddef.h>

#include "api/api.h"

#define DNS_REQUEST_RECORDS_MAX 1024
#define DNS_REQUEST_ERROR_MAX   512

struct dns_request {
	struct api_dns_zone zone;
	struct json_object *object; /* owned: the zone's strings are in it */
	struct api_dns_record *records;
};

/* {"Name","Records":[{"Name","IP","Regexp"}],"DefaultIP"}. What names may look like is for the
 * zones to say. Returns 0 with an owned request, or -EINVAL or -ENOMEM with a message in `error`.
 */
int dns_request_decode(const char *body, size_t size, struct dns_request *ret_request,
		       char error[static DNS_REQUEST_ERROR_MAX]);
void dns_request_clear(struct dns_request *request);

#endif
