/* SPDX-License-Identifier: Apache-2.0 */
/* A zone in a request's body, decoded and checked: as gvproxy writes it, or as we do. Pure. */
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

/* How a zone is written. */
enum dns_request_form {
	/* {"Name","Records":[{"Name","IP","Regexp"}],"DefaultIP"}, and what else there may be. */
	DNS_REQUEST_GVPROXY,
	/* {"records":[{"name","ip","regexp"}],"default_ip"}, and what our listings say besides,
	 * which changes nothing. The name is the caller's to set. */
	DNS_REQUEST_V1,
};

/* What names may look like is for the zones to say. Returns 0 with an owned request, or -EINVAL or
 * -ENOMEM with a message in `error`. */
int dns_request_decode(enum dns_request_form form, const char *body, size_t size,
		       struct dns_request *ret_request, char error[static DNS_REQUEST_ERROR_MAX]);
void dns_request_clear(struct dns_request *request);

#endif
