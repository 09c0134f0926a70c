/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in which a program in a guest may reach netproxy's API, tried in order: vsock, which
 * needs no network, and else the API's door inside the network, at the gateway's port 80.
 */
#ifndef CLIENT_API_REACH_H
#define CLIENT_API_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/api_client.h"

#define API_REACH_MAX 4
/* Longest message of api_reach_choose(): one of api_request() for each way. */
#define API_REACH_ERROR_MAX (API_REACH_MAX * (API_ERROR_MAX + 2))

struct api_way {
	bool is_gateway;          /* http:// at the gateway of the default route */
	struct api_target target; /* else this */
};

struct api_reach {
	struct api_way ways[API_REACH_MAX];
	unsigned count;
	bool chosen; /* then `target` is where the API has answered, or the only way */
	struct api_target target;
};

/* Adds a way: "gateway", or what api_target_parse() takes. Returns 0, -EINVAL (no such thing),
 * -ENAMETOOLONG, or -ENOSPC at API_REACH_MAX. */
int api_reach_add(struct api_reach *reach, const char *text, uint32_t vsock_port);

/* Settles on the first way by which the API answers, once and for all; the only one is not asked.
 * None may take so long that the others have no time. Returns 0, or the last way's -errno with a
 * message in `error` that tells of all. */
int api_reach_choose(struct api_reach *reach, uint64_t deadline_ms,
		     char error[static API_REACH_ERROR_MAX]);

/* The IPv4 gateway in the text of /proc/net/route. Returns 0 or -ENETUNREACH. */
int api_reach_parse_route(const char *text, struct addr *ret);

#endif
