/* SPDX-License-Identifier: Apache-2.0 */
/* Requests whose connection leaves HTTP, or whose reply has no end: gvproxy's /tunnel and /connect,
 * events, packets. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/http_query.h"
#include "api/live.h"
#include "api/routes.h"
#include "base/sock.h"
#include "forwarder/publish_spec.h"

#define SNAPLEN_DEFAULT 262144u /* tcpdump's; more than any frame */

/* What a connection is to become, kept until the server hands it over. */
struct handover {
	struct live *live;
	uint32_t guest_id; /* whose link it becomes; 0: at a door of the host's */
	struct endpoint guest;
	struct capture_filter filter;
	uint32_t snaplen;
};

/* Has the connection handed over to `take`, with an owned copy of `what`. */
static void hand_over(const struct api_call *call, http_take_fn *take, const struct handover *what)
{
	struct handover *copy = malloc(sizeof(*copy));

	if (!copy) {
		api_fail(call, 500, "no_memory", "out of memory");
		return;
	}
	*copy = *what;
	copy->live = call->live;
	call->reply->take = take;
	call->reply->take_arg = copy;
}

/* ---- gvproxy's ---- */

static void take_tunnel(void *arg, int fd, const void *early, size_t early_size)
{
	struct handover *what = arg;

	live_tunnel(what->live, fd, &what->guest, early, early_size);
	free(what);
}

void route_tunnel(const struct api_call *call)
{
	char ip[ADDR_TEXT_MAX], port[8];
	struct handover what = {0};
	unsigned long number;
	char *end;

	if (http_query_get(call->request->query, "ip", ip, sizeof(ip)) < 0 || !ip[0]) {
		api_fail(call, 500, "bad_request", "ip is mandatory");
		return;
	}
	if (http_query_get(call->request->query, "port", port, sizeof(port)) < 0)
		port[0] = '\0';
	number = strtoul(port, &end, 10);
	if (addr_parse(ip, &what.guest.addr) < 0 || port[0] < '0' || port[0] > '9' || *end ||
	    number < 1 || number > UINT16_MAX) {
		api_fail(call, 500, "bad_request",
			 "\"ip\" and \"port\" in the query: expected a guest's address and a port "
			 "from 1 to 65535, such as ?ip=192.168.65.2&port=22");
		return;
	}
	what.guest.port = (uint16_t)number;
	hand_over(call, take_tunnel, &what);
}

static void take_connect(void *arg, int fd, const void *early, size_t early_size)
{
	struct handover *what = arg;

	live_connect(what->live, what->guest_id, fd, early, early_size);
	free(what);
}

void route_connect(const struct api_call *call)
{
	const struct api_door *door = call->door;
	uint32_t guest_id = door->kind == API_DOOR_GUEST ? door->guest_id : 0;

	if (guest_id && !door->may_connect)
		api_fail(call, 403, "not_permitted", "links of guests come by vsock only");
	else if (guest_id && live_guest_links_full(call->live, guest_id))
		api_fail(call, 503, "too_many", "this guest has %d links by vsock already",
			 LIVE_GUEST_LINKS_MAX);
	else
		hand_over(call, take_connect, &(struct handover){.guest_id = guest_id});
}

/* ---- Events ---- */

static void take_events(void *arg, int fd, const void *early, size_t early_size)
{
	struct handover *what = arg;

	(void)early;
	(void)early_size;
	live_listen(what->live, fd);
	free(what);
}

void route_v1_events(const struct api_call *call)
{
	if (events_full(live_events(call->live))) {
		api_fail(call, 503, "too_many", "there are %u listeners already",
			 (unsigned)EVENTS_LISTENERS_MAX);
		return;
	}
	call->reply->type = "application/x-ndjson";
	if (!call->request->is_head)
		hand_over(call, take_events, &(struct handover){0});
}

/* ---- Packets ---- */

struct named_guest {
	const char *name;
	struct mac mac;
	bool found;
};

static void match_name(void *visitor, const struct api_lease *lease)
{
	struct named_guest *guest = visitor;

	if (guest->found || strcasecmp(lease->hostname, guest->name) != 0)
		return;
	guest->mac = lease->mac;
	guest->found = true;
}

/* A guest by its MAC, its address, or its name. Returns 0 or -ENOENT. */
static int find_guest(const struct api_call *call, const char *text, struct mac *ret_mac)
{
	const struct api_backend *backend = call->backend;
	struct named_guest guest = {.name = text};
	struct addr addr;

	if (mac_parse(text, ret_mac) == 0)
		return 0;
	if (addr_parse(text, &addr) == 0)
		return stack_neighbour(forwarder_stack(backend->forwarder), &addr, ret_mac)
			       ? 0
			       : -ENOENT;
	if (text[0] && backend->leases)
		backend->leases(backend->arg, match_name, &guest);
	if (!guest.found)
		return -ENOENT;
	*ret_mac = guest.mac;
	return 0;
}

/* What the guest sees of a forward: its port there, and its address where that is known. */
static int find_forward(const struct api_call *call, const char *local, const char *protocol_text,
			struct capture_filter *filter)
{
	enum publish_protocol protocol = PUBLISH_TCP;
	struct publish_info info;

	if (protocol_text[0] && strcmp(protocol_text, "udp") == 0)
		protocol = PUBLISH_UDP;
	else if (protocol_text[0] && strcmp(protocol_text, "unix") == 0)
		protocol = PUBLISH_UNIX;
	else if (protocol_text[0] && strcmp(protocol_text, "tcp") != 0)
		return -EINVAL;
	if (publish_find(call->backend->publish, local, protocol, &info) < 0)
		return -ENOENT;
	filter->protocol = protocol == PUBLISH_UDP ? IPPROTO_UDP : IPPROTO_TCP;
	filter->endpoint = info.spec->remote;
	return 0;
}

/* Returns 0, or -errno when the request has been answered with an error. */
static int read_filter(const struct api_call *call, const char *guest, const char *forward,
		       const char *protocol, struct capture_filter *filter)
{
	int r;

	if (guest[0]) {
		r = find_guest(call, guest, &filter->mac);
		filter->has_mac = r == 0;
		if (r < 0) {
			api_fail(call, 404, "not_found",
				 "there is no guest \"%.100s\": expected a MAC, an address or a "
				 "name of those in /v1/guests",
				 guest);
			return r;
		}
	}
	if (forward[0]) {
		r = find_forward(call, forward, protocol, filter);
		if (r < 0) {
			api_fail(call, r == -EINVAL ? 400 : 404,
				 r == -EINVAL ? "bad_request" : "not_found",
				 r == -EINVAL ? "\"protocol\": expected tcp, udp or unix"
					      : "nothing like that is published");
			return r;
		}
	}
	return 0;
}

static bool read_snaplen(const char *text, uint32_t *ret)
{
	unsigned long number = SNAPLEN_DEFAULT;
	char *end;

	if (text[0]) {
		number = strtoul(text, &end, 10);
		if (text[0] < '0' || text[0] > '9' || *end || number < CAPTURE_SNAPLEN_MIN)
			return false;
	}
	*ret = number < CAPTURE_SNAPLEN_MAX ? (uint32_t)number : CAPTURE_SNAPLEN_MAX;
	return true;
}

static void take_capture(void *arg, int fd, const void *early, size_t early_size)
{
	struct handover *what = arg;

	(void)early;
	(void)early_size;
	live_capture(what->live, fd, &what->filter, what->snaplen);
	free(what);
}

void route_v1_pcap(const struct api_call *call)
{
	static const char *const keys[] = {"guest", "forward", "protocol", "link", "snaplen", NULL};
	char values[5][PUBLISH_TEXT_MAX] = {{0}};
	struct handover what = {0};
	char unknown[32];

	if (http_query_unknown(call->request->query, keys, unknown, sizeof(unknown)) == 0) {
		api_fail(call, 400, "bad_request",
			 "unknown key \"%s\" in the query: expected guest, link, forward with "
			 "protocol, snaplen",
			 unknown);
		return;
	}
	for (size_t i = 0; keys[i]; i++) {
		int r = http_query_get(call->request->query, keys[i], values[i], sizeof(values[i]));

		if (r < 0 && r != -ENOENT) {
			api_fail(call, 400, "bad_request",
				 "\"%s\" in the query: it is malformed, too long, or there twice",
				 keys[i]);
			return;
		}
	}
	if (!read_snaplen(values[4], &what.snaplen)) {
		api_fail(call, 400, "bad_request", "\"snaplen\": expected a number from %d on",
			 CAPTURE_SNAPLEN_MIN);
		return;
	}
	if (read_filter(call, values[0], values[1], values[2], &what.filter) < 0)
		return;
	snprintf(what.filter.link, sizeof(what.filter.link), "%.*s", LINK_NAME_MAX - 1, values[3]);
	if (live_capture_full(call->live)) {
		api_fail(call, 503, "too_many", "there are %d captures already", LIVE_CAPTURES_MAX);
		return;
	}
	call->reply->type = "application/x-pcapng";
	if (!call->request->is_head)
		hand_over(call, take_capture, &what);
}
