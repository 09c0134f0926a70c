/* SPDX-License-Identifier: Apache-2.0 */
/* What the API's routes are made of: api.c has the table and finds the route of a request,
 * routes_*.c serve it. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/api.h"
#include "api/live.h"
#include "http/http_message.h"

/* A request with all that serving it takes; borrowed for the call. */
struct api_call {
	const struct api_backend *backend;
	const struct api_door *door;
	struct live *live;
	const struct http_request *request;
	const char *name;         /* what stands for the asterisk in the route's path */
	uint64_t lease;           /* the number of the request's connection, among all doors' */
	struct http_reply *reply; /* an empty 200 until the route says otherwise */
};

typedef void api_route_fn(const struct api_call *call);

/* Answers with an error: a line of text as gvproxy does, or below /v1/
 * {"error":{"code","message"}}. */
void api_fail(const struct api_call *call, unsigned status, const char *code, const char *format,
	      ...) __attribute__((format(printf, 4, 5)));

/* The same, with what a program can go by. */
struct api_failure {
	unsigned status;
	const char *code;
	int error;          /* an errno; 0: none */
	const char *holder; /* who has what was asked for; NULL: nobody known */
};
void api_fail_with(const struct api_call *call, const struct api_failure *failure,
		   const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether the request's connection can be held for `what`, plural, that end with it. False when the
 * request has been answered with an error. */
bool api_may_hold(const struct api_call *call, const char *what);

/* Adds a number; JSON's have a sign, so what a counter has beyond 2^63 is lost. */
void api_add_number(struct json_object *object, const char *key, uint64_t value);
void api_add_text(struct json_object *object, const char *key, const char *value);

/* routes_forwarder.c */
api_route_fn route_forwarder_all, route_forwarder_expose, route_forwarder_unexpose,
	route_v1_forwards, route_v1_forwards_add, route_v1_forwards_delete;
/* routes_network.c */
api_route_fn route_leases, route_cam, route_stats, route_v1_leases, route_v1_ports, route_v1_policy,
	route_v1_version;
/* routes_static_leases.c */
api_route_fn route_v1_static_leases, route_v1_static_leases_add, route_v1_static_leases_delete;
/* routes_guests.c */
api_route_fn route_v1_guests, route_v1_flows;
/* routes_live.c */
api_route_fn route_tunnel, route_connect, route_v1_events, route_v1_pcap;
/* routes_metrics.c */
api_route_fn route_metrics;
/* routes_dns.c */
api_route_fn route_dns_all, route_dns_add, route_v1_zones, route_v1_zone, route_v1_zone_put,
	route_v1_zone_delete;

#endif
