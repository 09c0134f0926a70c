/* SPDX-License-Identifier: Apache-2.0 */
/* What slirp4netns' API requests mean, and their answers; for slirp4netns_api.c, which has the
 * socket. */
#ifndef NETPROXY_SLIRP4NETNS_REQUEST_H
#define NETPROXY_SLIRP4NETNS_REQUEST_H

#include <json-c/json.h>

#include "base/addr.h"
#include "forwarder/publish.h"

#define SLIRP4NETNS_FORWARDS_MAX 4096

struct slirp4netns_forward {
	int64_t id;
	enum publish_protocol protocol;
	char host_addr[ADDR_TEXT_MAX]; /* as the client wrote them */
	char guest_addr[ADDR_TEXT_MAX];
	uint16_t host_port;
	uint16_t guest_port;
};

struct slirp4netns_forwards {
	struct publish *publish; /* borrowed */
	struct addr guest;       /* where a forward leads that names no guest */
	struct slirp4netns_forward *entries;
	unsigned count;
	int64_t last_id; /* ids are never used twice */
};

/* The JSON value that the text begins with, owned; NULL: there is no whole one. What stands behind
 * it is ignored, as slirp4netns does. */
struct json_object *slirp4netns_request_parse(const char *text, size_t size);
/* Does what is asked for. Returns an owned answer, or NULL without memory. */
struct json_object *slirp4netns_request_answer(struct slirp4netns_forwards *forwards,
					       const char *text, size_t size);
/* "bad request: " and the text. */
struct json_object *slirp4netns_request_error(const char *text);
void slirp4netns_forwards_destroy(struct slirp4netns_forwards *forwards);

#endif
