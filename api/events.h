/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens in the network, for those who listen (GET /v1/events): one JSON object a line,
 * {"time":"2026-01-02T03:04:05.678Z","type":"lease",...}.
 *
 * A listener that doesn't read is cut off when EVENTS_WAITING_MAX bytes wait for it, and so knows
 * that it has missed something. Guests cause most events, so no more than EVENTS_RATE of a type are
 * told in a second; the next one of that type says how many were "missed".
 */
#ifndef API_EVENTS_H
#define API_EVENTS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

#define EVENTS_LISTENERS_MAX 32
#define EVENTS_WAITING_MAX   (256 * 1024)
#define EVENTS_RATE          1000

enum event_type {
	EVENT_SUBSCRIBED, /* the first that a listener hears */
	EVENT_GUEST_ATTACHED,
	EVENT_GUEST_LEFT,
	EVENT_LEASE,
	EVENT_FORWARD_ADDED,
	EVENT_FORWARD_REMOVED,
	EVENT_DENIED,
	EVENT_TYPES
};

struct events;

struct events_counters {
	uint64_t told;   /* to anybody */
	uint64_t missed; /* by the limit of the rate */
	uint64_t cut;    /* listeners that didn't read */
	unsigned listeners;
};

int events_new(struct loop *loop, struct events **ret_events);
void events_free(struct events *events);

/* Whether anybody listens: else there is no need to put an event together. */
bool events_wanted(const struct events *events);
/* Tells all listeners; takes `fields`, an object with what there is besides time and type. */
void events_tell(struct events *events, enum event_type type, struct json_object *fields);
/* Takes a client's socket, also on failure. Returns 0, -ENOSPC at EVENTS_LISTENERS_MAX, or -errno.
 */
int events_listen(struct events *events, int fd);
bool events_full(const struct events *events);
struct events_counters events_counters(const struct events *events);

#endif
