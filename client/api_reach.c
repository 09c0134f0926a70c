/* SPDX-License-Identifier: Apache-2.0 */
/* Which way to the API works. */
#include "client/api_reach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <net/route.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "base/json.h"

#define GATEWAY_TEXT "gateway"
#define GATEWAY_PORT 80
#define ROUTE_FILE   "/proc/net/route"
#define ROUTE_SIZE   16384
#define HTTP_OK      200
/* What every door answers, and nobody else in this form. */
#define PATH_PROBE "/services/forwarder/all"

int api_reach_add(struct api_reach *reach, const char *text, uint32_t vsock_port)
{
	struct api_way way = {.is_gateway = strcmp(text, GATEWAY_TEXT) == 0};
	int r = way.is_gateway ? 0 : api_target_parse(text, vsock_port, &way.target);

	if (r < 0)
		return r;
	if (reach->count == API_REACH_MAX)
		return -ENOSPC;
	reach->ways[reach->count++] = way;
	return 0;
}

int api_reach_parse_route(const char *text, struct addr *ret)
{
	const char *line = strchr(text, '\n');

	/* Below the titles: Iface Destination Gateway Flags RefCnt Use Metric Mask ..., whose
	 * addresses are hexadecimal numbers of the machine's byte order, and bytes of the wire's.
	 */
	while (line && line[1]) {
		unsigned destination, gateway, flags, mask;

		line++;
		if (sscanf(line, "%*31s %x %x %x %*d %*u %*d %x", &destination, &gateway, &flags,
			   &mask) == 4 &&
		    destination == 0 && mask == 0 && gateway != 0 && (flags & RTF_UP) &&
		    (flags & RTF_GATEWAY)) {
			*ret = addr_from_in((struct in_addr){.s_addr = gateway});
			return 0;
		}
		line = strchr(line, '\n');
	}
	return -ENETUNREACH;
}

static int find_gateway(struct api_target *ret, char *error)
{
	struct api_target target = {.transport = API_TCP, .tcp.port = GATEWAY_PORT};
	char text[ROUTE_SIZE];
	FILE *file = fopen(ROUTE_FILE, "re");
	size_t size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[size] = '\0';
	int r = api_reach_parse_route(text, &target.tcp.addr);
	if (r < 0)
		snprintf(error, API_ERROR_MAX,
			 "there is no gateway to ask: this machine has no default route of IPv4");
	else
		*ret = target;
	return r;
}

/* Whether netproxy answers there. */
static int probe(const struct api_target *target, uint64_t deadline_ms, char *error)
{
	struct json_object *list = NULL;
	struct http_response response;
	char where[SOCK_PATH_MAX + 32], why[64];
	int r = api_request(target, "GET", PATH_PROBE, NULL, deadline_ms, &response, error);

	if (r < 0)
		return r;
	if (response.status != HTTP_OK ||
	    json_parse(response.body, response.body_size, &list, why, sizeof(why)) < 0 ||
	    !json_object_is_type(list, json_type_array)) {
		snprintf(error, API_ERROR_MAX,
			 "what answers at %s is not netproxy (HTTP status %d)",
			 api_target_describe(target, where, sizeof(where)), response.status);
		r = -EBADMSG;
	}
	json_object_put(list);
	http_response_clear(&response);
	return r;
}

static int try_way(const struct api_way *way, bool is_only, uint64_t deadline_ms,
		   struct api_target *ret, char *error)
{
	struct api_target target = way->target;
	int r = way->is_gateway ? find_gateway(&target, error) : 0;

	if (r == 0 && !is_only)
		r = probe(&target, deadline_ms, error);
	if (r == 0)
		*ret = target;
	return r;
}

int api_reach_choose(struct api_reach *reach, uint64_t deadline_ms,
		     char error[static API_REACH_ERROR_MAX])
{
	size_t size = 0;
	int r = -EINVAL;

	if (reach->chosen)
		return 0;
	for (unsigned i = 0; i < reach->count; i++) {
		uint64_t now_ms = clock_ms();
		uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
		/* As much again is for what the API is wanted for. */
		uint64_t share_ms = left_ms / (reach->count - i + 1);
		char why[API_ERROR_MAX] = "";

		r = try_way(&reach->ways[i], reach->count == 1, now_ms + share_ms, &reach->target,
			    why);
		if (r == 0) {
			reach->chosen = true;
			return 0;
		}
		size += (size_t)snprintf(error + size, API_REACH_ERROR_MAX - size, "%s%s",
					 i ? "; " : "", why);
	}
	return r;
}
