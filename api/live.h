/* SPDX-License-Identifier: Apache-2.0 */
/* What of the API outlives a request: who listens to events, and captures that run. */
#ifndef API_LIVE_H
#define API_LIVE_H

#include "api/api.h"
#include "api/events.h"
#include "netstack/capture.h"

/* Links that a guest makes by its own door. */
#define LIVE_GUEST_LINKS_MAX 4
#define LIVE_CAPTURES_MAX    8
/* Bytes of a capture that wait for its client; what comes beyond is dropped and counted. */
#define LIVE_CAPTURE_WAITING_MAX (4 * 1024 * 1024)

struct live;

struct live_counters {
	struct events_counters events;
	unsigned captures;
	uint64_t captures_dropped; /* packets */
	uint64_t connected;        /* guests that came by /connect */
};

/* Returns 0 with an owned object on `backend`, which is borrowed, or -errno. */
int live_new(struct loop *loop, const struct api_backend *backend, struct live **ret_live);
/* Ends them all. NULL is fine. */
void live_free(struct live *live);
struct loop *live_loop(struct live *live);
struct events *live_events(struct live *live);

/* These take the socket, also on failure. */

/* Shows events. */
void live_listen(struct live *live, int fd);
/* Shows packets; there must be room (live_capture_full()). */
void live_capture(struct live *live, int fd, const struct capture_filter *filter, uint32_t snaplen);
bool live_capture_full(const struct live *live);
/* Makes the connection a guest's link, of frames behind a 16-bit little-endian length each.
 * `guest_id` is 0 at the host's doors. */
void live_connect(struct live *live, uint32_t guest_id, int fd, const void *early,
		  size_t early_size);
/* Whether the guest of that id has as many links by its door as it may. */
bool live_guest_links_full(struct live *live, uint32_t guest_id);
/* Leads the connection to a guest's TCP port. */
void live_tunnel(struct live *live, int fd, const struct endpoint *guest, const void *early,
		 size_t early_size);

struct live_counters live_counters(const struct live *live);

#endif
