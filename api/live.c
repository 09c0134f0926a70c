/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, captures, tunnels and links that began as requests; see live.h. */
#include "api/live.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/stream.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "forwarder/publish_spec.h"
#include "netstack/link_framed.h"

LOG_MODULE("api");

#define LINK_KIND "connect"

struct live {
	struct loop *loop;
	const struct api_backend *backend;
	struct events *events;
	struct forwarder_watcher network;
	struct publish_watcher publish;
	struct list captures;
	struct live_counters counters;
};

struct live_capture {
	struct list in_live;
	struct live *live;
	struct stream *stream;
	struct capture *capture;
};

static struct nswitch *network_switch(struct live *live)
{
	return stack_switch(forwarder_stack(live->backend->forwarder));
}

/* ---- Events ---- */

static void add_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void on_port(void *arg, unsigned port, const struct link *link, bool attached)
{
	struct live *live = arg;
	struct json_object *fields;

	if (!events_wanted(live->events))
		return;
	fields = json_object_new_object();
	json_object_object_add(fields, "port", json_object_new_int64(port));
	add_text(fields, "link", link->name);
	add_text(fields, "kind", link->ops->kind);
	events_tell(live->events, attached ? EVENT_GUEST_ATTACHED : EVENT_GUEST_LEFT, fields);
}

static void on_lease(void *arg, const char *what, const struct addr *addr, const struct mac *mac,
		     const char *hostname)
{
	struct live *live = arg;
	char address[ADDR_TEXT_MAX], text[MAC_TEXT_MAX];
	struct json_object *fields;

	if (!events_wanted(live->events))
		return;
	fields = json_object_new_object();
	add_text(fields, "change", what);
	add_text(fields, "address", addr_format(addr, address));
	add_text(fields, "mac", mac_format(mac, text));
	add_text(fields, "hostname", hostname);
	events_tell(live->events, EVENT_LEASE, fields);
}

static void on_denied(void *arg, const struct policy_request *request)
{
	static const char *const protocols[] = {
		[POLICY_TCP] = "tcp", [POLICY_UDP] = "udp", [POLICY_ICMP] = "icmp"};
	struct live *live = arg;
	char address[ADDR_TEXT_MAX], to[ENDPOINT_TEXT_MAX];
	struct json_object *fields;

	if (!events_wanted(live->events))
		return;
	fields = json_object_new_object();
	add_text(fields, "protocol", protocols[request->protocol]);
	add_text(fields, "guest", addr_format(&request->guest, address));
	json_object_object_add(fields, "port", json_object_new_int64(request->port));
	add_text(fields, "to",
		 request->protocol == POLICY_ICMP ? addr_format(&request->to.addr, address)
						  : endpoint_format(&request->to, to));
	events_tell(live->events, EVENT_DENIED, fields);
}

static void on_forward(void *arg, const struct publish_info *info, bool added)
{
	struct live *live = arg;
	const struct publish_spec *spec = info->spec;
	struct json_object *fields;

	if (!events_wanted(live->events))
		return;
	fields = json_object_new_object();
	add_text(fields, "local", spec->local_text);
	add_text(fields, "remote", spec->remote_text);
	add_text(fields, "protocol", publish_protocol_text(spec->protocol));
	add_text(fields, "owner", publish_owner_kind_text(spec->owner.kind));
	if (spec->name[0])
		add_text(fields, "name", spec->name);
	events_tell(live->events, added ? EVENT_FORWARD_ADDED : EVENT_FORWARD_REMOVED, fields);
}

void live_listen(struct live *live, int fd)
{
	int r = events_listen(live->events, fd);

	if (r < 0)
		log_limited(LOG_LEVEL_ERROR, "events can't be shown: %s", strerror(-r));
}

/* ---- Captures ---- */

static void live_capture_free(struct live_capture *one)
{
	struct live *live = one->live;

	if (one->capture) {
		uint64_t dropped = capture_dropped(one->capture);

		live->counters.captures_dropped += dropped;
		if (dropped)
			log_info("a capture lost %" PRIu64 " packets: its client was too slow",
				 dropped);
	}
	capture_free(one->capture);
	stream_free(one->stream);
	list_remove(&one->in_live);
	live->counters.captures--;
	free(one);
}

static void on_capture_gone(void *arg)
{
	live_capture_free(arg);
}

static bool write_piece(void *arg, const void *data, size_t size)
{
	const struct live_capture *one = arg;

	return stream_write(one->stream, data, size);
}

bool live_capture_full(const struct live *live)
{
	return live->counters.captures >= LIVE_CAPTURES_MAX;
}

void live_capture(struct live *live, int fd, const struct capture_filter *filter, uint32_t snaplen)
{
	struct live_capture *one = calloc(1, sizeof(*one));
	struct capture_conf conf = {
		.filter = *filter, .snaplen = snaplen, .write = write_piece, .arg = one};
	int r;

	if (!one) {
		fd_close(&fd);
		return;
	}
	one->live = live;
	list_add_tail(&live->captures, &one->in_live);
	live->counters.captures++;
	r = stream_new(live->loop, fd, "application/x-pcapng", LIVE_CAPTURE_WAITING_MAX,
		       on_capture_gone, one, &one->stream);
	if (r == 0)
		r = capture_new(network_switch(live), &conf, &one->capture);
	if (r < 0) {
		log_limited(LOG_LEVEL_ERROR, "packets can't be shown: %s", strerror(-r));
		live_capture_free(one);
	}
}

/* ---- Connections that become something else ---- */

/* How the names of a guest's own links begin. */
static int name_guest(uint32_t guest_id, char to[static LINK_NAME_MAX])
{
	return snprintf(to, LINK_NAME_MAX, LINK_KIND " of guest %" PRIu32 " #", guest_id);
}

bool live_guest_links_full(struct live *live, uint32_t guest_id)
{
	struct switch_port_info infos[SWITCH_PORTS_MAX];
	unsigned count = switch_ports(network_switch(live), infos, SWITCH_PORTS_MAX), found = 0;
	char name[LINK_NAME_MAX];
	size_t size = (size_t)name_guest(guest_id, name);

	for (unsigned i = 0; i < count; i++)
		found += strncmp(infos[i].name, name, size) == 0;
	return found >= LIVE_GUEST_LINKS_MAX;
}

void live_connect(struct live *live, uint32_t guest_id, int fd, const void *early,
		  size_t early_size)
{
	char name[LINK_NAME_MAX];
	size_t size = 0;
	int r;

	if (guest_id)
		size = (size_t)name_guest(guest_id, name);
	snprintf(name + size, sizeof(name) - size, "%s%" PRIu64, guest_id ? "" : LINK_KIND " #",
		 ++live->counters.connected);
	r = link_framed_open(live->loop, fd, FRAMING_LE16, early, early_size, name,
			     switch_sink(network_switch(live)));
	if (r < 0)
		log_limited(LOG_LEVEL_ERROR, "%s: not attached: %s", name, strerror(-r));
}

void live_tunnel(struct live *live, int fd, const struct endpoint *guest, const void *early,
		 size_t early_size)
{
	static const char text[] = "OK";
	char to[ENDPOINT_TEXT_MAX];
	int r;

	/* A new connection's buffer has room for two bytes. */
	if (send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(text) - 1) {
		fd_close(&fd);
		return;
	}
	r = forwarder_dial(live->backend->forwarder, fd, guest, early, early_size);
	if (r < 0)
		log_limited(LOG_LEVEL_WARN, "no tunnel to %s: %s", endpoint_format(guest, to),
			    strerror(-r));
}

/* ---- Life ---- */

int live_new(struct loop *loop, const struct api_backend *backend, struct live **ret_live)
{
	struct live *live = calloc(1, sizeof(*live));
	int r;

	if (!live)
		return -ENOMEM;
	live->loop = loop;
	live->backend = backend;
	list_init(&live->captures);
	r = events_new(loop, &live->events);
	if (r < 0) {
		free(live);
		return r;
	}
	live->network = (struct forwarder_watcher){
		.port = on_port, .denied = on_denied, .lease = on_lease, .arg = live};
	live->publish = (struct publish_watcher){.fn = on_forward, .arg = live};
	forwarder_watch(backend->forwarder, &live->network);
	publish_watch(backend->publish, &live->publish);
	*ret_live = live;
	return 0;
}

void live_free(struct live *live)
{
	struct list *node;

	if (!live)
		return;
	while ((node = list_first(&live->captures)))
		live_capture_free(container_of(node, struct live_capture, in_live));
	forwarder_unwatch(&live->network);
	publish_unwatch(&live->publish);
	events_free(live->events);
	free(live);
}

struct loop *live_loop(struct live *live)
{
	return live->loop;
}

struct events *live_events(struct live *live)
{
	return live->events;
}

struct live_counters live_counters(const struct live *live)
{
	struct live_counters counters = live->counters;

	counters.events = events_counters(live->events);
	return counters;
}
