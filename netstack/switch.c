/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch between links and the gateway's stack: see switch.h. The learning table is in
 * switch_table.c.
 */
#include "netstack/switch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "netstack/offload.h"
#include "netstack/switch_table.h"

LOG_MODULE("switch");

struct port {
	struct nswitch *sw;
	struct link *link;
	unsigned number;
	struct gro *gro;       /* NULL: the link's frames come as they are */
	struct list in_ports;  /* in the order of attachment */
	struct list in_dirty;  /* sent to since the last flush; unlinked otherwise */
	bool local_waits;      /* switch_send() was refused because of this port */
	unsigned flood_tokens; /* frames that may be flooded until the next refill */
	uint64_t flood_refill_ms;
	struct switch_counters counters;
};

struct nswitch {
	struct loop *loop;
	struct mac gateway;
	const struct switch_local *local;
	void *local_arg;
	struct link_sink sink;
	struct switch_table *table;
	struct guard *guard; /* NULL: off */
	bool is_isolated;
	struct switch_counters gone; /* of ports that have gone */
	struct offload_scratch *scratch;
	struct loop_task flush_task;
	struct list ports;
	struct list taps;
	unsigned port_count;
	struct list dirty;
	unsigned last_number; /* numbers are given in turn, so that one isn't reused at once */
	struct port *by_number[SWITCH_PORTS_MAX + 1];
};

/* --- To a port --- */

static bool link_takes(const struct link_caps *caps, const struct frame *frame)
{
	switch (frame->gso) {
	case FRAME_GSO_NONE:
		return caps->csum || frame->csum != FRAME_CSUM_PARTIAL;
	case FRAME_GSO_TCP4:
		return caps->tso4 && frame->size <= caps->frame_max;
	case FRAME_GSO_TCP6:
		return caps->tso6 && frame->size <= caps->frame_max;
	case FRAME_GSO_UDP:
		return caps->uso && frame->size <= caps->frame_max;
	}
	return false;
}

static void show(const struct port *port, bool to_guest, const struct frame *frame)
{
	list_for_each_safe (node, &port->sw->taps) {
		struct switch_tap *tap = container_of(node, struct switch_tap, in_switch);

		tap->fn(tap->arg, port->number, port->link, to_guest, frame);
	}
}

static void mark_dirty(struct port *port)
{
	struct nswitch *sw = port->sw;

	if (!list_empty(&port->in_dirty))
		return;
	if (list_empty(&sw->dirty))
		loop_task_schedule(sw->loop, &sw->flush_task);
	list_add_tail(&sw->dirty, &port->in_dirty);
}

/* Returns 0 when the frame was taken or can never be, -EAGAIN when the link is full. */
static int port_send(struct port *port, const struct frame *frame)
{
	const struct frame *frames = frame;
	int count = 1, status;

	if (!link_takes(&port->link->caps, frame))
		count = offload_segment(port->sw->scratch, frame, &frames);
	status = count < 0 ? count : link_send(port->link, frames, (unsigned)count);
	if (status == -EAGAIN)
		return status;
	if (status < 0) {
		port->counters.dropped++;
		return 0;
	}
	mark_dirty(port);
	/* Pieces of a super-frame are written as such, when they are what the link got. */
	for (int i = 0; i < count && !list_empty(&port->sw->taps); i++)
		show(port, true, &frames[i]);
	return 0;
}

static void port_send_or_drop(struct port *port, const struct frame *frame)
{
	if (port_send(port, frame) == -EAGAIN)
		port->counters.dropped++;
}

/* To every port but `from`, which may be NULL. */
static void flood(struct nswitch *sw, const struct port *from, const struct frame *frame)
{
	list_for_each (node, &sw->ports) {
		struct port *port = container_of(node, struct port, in_ports);

		if (port != from)
			port_send_or_drop(port, frame);
	}
}

/* --- From a port --- */

static void frame_macs(const struct frame *frame, struct mac *ret_dst, struct mac *ret_src)
{
	const uint8_t *bytes = frame->iov[0].iov_base;

	memcpy(ret_dst->bytes, bytes, MAC_SIZE);
	memcpy(ret_src->bytes, bytes + MAC_SIZE, MAC_SIZE);
}

/* 01:80:c2:00:00:00 to 0f: for the neighbour on the wire, not to be forwarded (IEEE
 * 802.1D, 7.12.6). */
static bool is_link_local_group(const struct mac *mac)
{
	static const uint8_t group[] = {0x01, 0x80, 0xc2, 0x00, 0x00};

	return memcmp(mac->bytes, group, sizeof(group)) == 0 && mac->bytes[5] <= 0x0f;
}

static unsigned at_least(unsigned value, unsigned min)
{
	return value < min ? min : value;
}

/* Takes a token of the port's flood limit. */
static bool may_flood(struct port *from)
{
	const struct nswitch *sw = from->sw;
	uint64_t now = loop_now_ms(sw->loop), passed = now - from->flood_refill_ms;
	unsigned others = sw->port_count > 1 ? sw->port_count - 1 : 1;
	unsigned rate = at_least(SWITCH_FLOOD_COPIES / others, SWITCH_FLOOD_FRAMES_MIN);
	unsigned burst = at_least(rate / SWITCH_FLOOD_BURST_PART, SWITCH_FLOOD_FRAMES_MIN);
	uint64_t tokens = from->flood_tokens;

	/* A port that has never flooded has had a second and more, too. */
	tokens += passed < 1000 ? rate * passed / 1000 : burst;
	from->flood_refill_ms = now;
	from->flood_tokens = (unsigned)(tokens < burst ? tokens : burst);
	if (!from->flood_tokens)
		return false;
	from->flood_tokens--;
	return true;
}

static void forward_flood(struct port *from, const struct frame *frame)
{
	if (from->sw->is_isolated) {
		from->counters.isolated++;
	} else if (may_flood(from)) {
		from->counters.flooded++;
		flood(from->sw, from, frame);
	} else {
		from->counters.flood_limited++;
		log_limited(LOG_LEVEL_WARN,
			    "port %u: %s: floods the network: frames for all or for unknown "
			    "addresses are dropped",
			    from->number, from->link->name);
	}
}

static void forward_unicast(struct port *from, const struct mac *dst, const struct frame *frame)
{
	struct nswitch *sw = from->sw;
	unsigned number = switch_table_lookup(sw->table, dst, loop_now_ms(sw->loop));

	if (!number)
		forward_flood(from, frame);
	else if (number != from->number && sw->is_isolated)
		from->counters.isolated++;
	else if (number != from->number)
		port_send_or_drop(sw->by_number[number], frame);
}

/* Asks the guard, and says what it thought. */
static bool guard_passes(struct port *from, const struct mac *src, const struct frame *frame)
{
	struct nswitch *sw = from->sw;
	char mac[MAC_TEXT_MAX], address[ADDR_TEXT_MAX], owner[32] = "";
	struct guard_report report;
	enum guard_verdict verdict;

	if (!sw->guard)
		return true;
	verdict = guard_check(sw->guard, from->number, frame, loop_now_ms(sw->loop), &report);
	if (verdict == GUARD_PASS)
		return true;
	from->counters.guarded[verdict]++;
	if (report.owner)
		snprintf(owner, sizeof(owner), ", which is port %u's", report.owner);
	addr_format(&report.addr, address);
	log_limited(LOG_LEVEL_WARN, "port %u: %s: refused from %s: %s%s%s%s", from->number,
		    from->link->name, mac_format(src, mac), guard_verdict_text(verdict),
		    address[0] ? ": " : "", address, owner);
	return false;
}

static void forward(void *arg, const struct frame *frame)
{
	struct port *from = arg;
	struct nswitch *sw = from->sw;
	struct mac dst, src;

	if (!frame->iov_count || frame->iov[0].iov_len < ETH_HEADER_SIZE) {
		from->counters.refused++;
		return;
	}
	frame_macs(frame, &dst, &src);
	if (mac_is_group(&src) || mac_equal(&src, &sw->gateway)) {
		from->counters.refused++;
		return;
	}
	if (!guard_passes(from, &src, frame))
		return;
	switch_table_learn(sw->table, &src, from->number, loop_now_ms(sw->loop));
	if (mac_equal(&dst, &sw->gateway)) {
		sw->local->receive(sw->local_arg, from->number, frame);
	} else if (!mac_is_group(&dst)) {
		forward_unicast(from, &dst, frame);
	} else if (!is_link_local_group(&dst)) {
		forward_flood(from, frame);
		/* Last: it may change the frame in place. */
		sw->local->receive(sw->local_arg, from->number, frame);
	}
}

static void on_receive(void *arg, const struct frame *frame)
{
	struct port *port = arg;

	if (!list_empty(&port->sw->taps))
		show(port, false, frame);
	if (port->gro)
		gro_receive(port->gro, frame);
	else
		forward(port, frame);
}

static void on_batch_end(void *arg)
{
	struct port *port = arg;

	if (port->gro)
		gro_flush(port->gro);
}

static void on_writable(void *arg)
{
	struct port *port = arg;

	if (!port->local_waits)
		return;
	port->local_waits = false;
	port->sw->local->writable(port->sw->local_arg);
}

/* --- Coming and going --- */

static void add_counters(struct switch_counters *to, const struct switch_counters *counters)
{
	to->flooded += counters->flooded;
	to->flood_limited += counters->flood_limited;
	to->isolated += counters->isolated;
	to->refused += counters->refused;
	for (int i = 0; i < GUARD_VERDICTS; i++)
		to->guarded[i] += counters->guarded[i];
	to->dropped += counters->dropped;
}

/* Frees the port and its link; nobody is told. */
static void port_free(struct port *port)
{
	struct nswitch *sw = port->sw;

	add_counters(&sw->gone, &port->counters);
	sw->by_number[port->number] = NULL;
	sw->port_count--;
	if (sw->guard)
		guard_port_gone(sw->guard, port->number);
	switch_table_forget_port(sw->table, port->number);
	list_remove(&port->in_ports);
	list_remove(&port->in_dirty);
	gro_free(port->gro);
	link_destroy(port->link);
	free(port);
}

static void on_gone(void *arg, const char *reason)
{
	struct port *port = arg;
	struct nswitch *sw = port->sw;
	bool local_waits = port->local_waits;

	log_info("port %u: %s: gone: %s", port->number, port->link->name, reason);
	if (sw->local->port_changed)
		sw->local->port_changed(sw->local_arg, port->number, port->link, false);
	port_free(port);
	/* What the gateway holds for it needs another look: there is nobody to wait for any more.
	 */
	if (local_waits)
		sw->local->writable(sw->local_arg);
}

static const struct link_user port_user = {
	.receive = on_receive,
	.batch_end = on_batch_end,
	.writable = on_writable,
	.gone = on_gone,
};

/* A free port number, or 0. */
static unsigned next_number(const struct nswitch *sw)
{
	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
		unsigned number = (sw->last_number + i) % SWITCH_PORTS_MAX + 1;

		if (!sw->by_number[number])
			return number;
	}
	return 0;
}

static int port_new(struct nswitch *sw, struct link *link, struct port **ret_port)
{
	unsigned number = next_number(sw);
	struct port *port;

	if (!number)
		return -ENOSPC;
	port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	if (link->caps.gro && gro_new(forward, port, &port->gro) < 0) {
		free(port);
		return -ENOMEM;
	}
	port->sw = sw;
	port->link = link;
	port->number = number;
	list_init(&port->in_dirty);
	*ret_port = port;
	return 0;
}

static void on_attached(void *arg, struct link *link)
{
	struct nswitch *sw = arg;
	struct port *port;
	int status = port_new(sw, link, &port);

	if (status < 0) {
		if (status == -ENOSPC)
			log_limited(LOG_LEVEL_ERROR,
				    "%s: not attached: all %d ports of the switch are taken",
				    link->name, SWITCH_PORTS_MAX);
		else
			log_limited(LOG_LEVEL_ERROR, "%s: not attached: out of memory", link->name);
		link_destroy(link);
		return;
	}
	sw->last_number = port->number;
	sw->by_number[port->number] = port;
	list_add_tail(&sw->ports, &port->in_ports);
	sw->port_count++;
	link->user = &port_user;
	link->user_arg = port;
	log_info("port %u: %s: attached (%s)", port->number, link->name, link->ops->kind);
	if (sw->local->port_changed)
		sw->local->port_changed(sw->local_arg, port->number, link, true);
}

static void flush_ports(void *arg)
{
	switch_flush(arg);
}

int switch_new(struct loop *loop, const struct mac *gateway, const struct switch_local *local,
	       void *arg, struct nswitch **ret_switch)
{
	struct nswitch *sw = calloc(1, sizeof(*sw));
	int status = sw ? switch_table_new(SWITCH_ENTRIES_MAX, SWITCH_PORTS_MAX, SWITCH_AGE_MS,
					   &sw->table)
			: -ENOMEM;

	if (status == 0) {
		sw->scratch = offload_scratch_new();
		status = sw->scratch ? 0 : -ENOMEM;
	}
	if (status < 0) {
		if (sw)
			switch_table_free(sw->table);
		free(sw);
		return status;
	}
	sw->loop = loop;
	sw->gateway = *gateway;
	sw->local = local;
	sw->local_arg = arg;
	sw->sink = (struct link_sink){.attached = on_attached, .arg = sw};
	sw->flush_task = (struct loop_task){.fn = flush_ports, .arg = sw};
	list_init(&sw->ports);
	list_init(&sw->taps);
	list_init(&sw->dirty);
	*ret_switch = sw;
	return 0;
}

void switch_free(struct nswitch *sw)
{
	if (!sw)
		return;
	while (!list_empty(&sw->ports))
		port_free(container_of(list_first(&sw->ports), struct port, in_ports));
	loop_task_cancel(sw->loop, &sw->flush_task);
	offload_scratch_free(sw->scratch);
	switch_table_free(sw->table);
	guard_free(sw->guard);
	free(sw);
}

const struct link_sink *switch_sink(struct nswitch *sw)
{
	return &sw->sink;
}

/* --- Between guests --- */

int switch_guard(struct nswitch *sw, const struct guard_conf *conf)
{
	struct guard_conf ours = *conf;

	assert(!sw->guard && list_empty(&sw->ports));
	ours.ports_max = SWITCH_PORTS_MAX;
	return guard_new(&ours, &sw->guard);
}

void switch_isolate(struct nswitch *sw)
{
	sw->is_isolated = true;
}

int switch_lease(struct nswitch *sw, const struct addr *addr, const struct mac *mac, unsigned port)
{
	char address[ADDR_TEXT_MAX], text[MAC_TEXT_MAX];
	int status = sw->guard ? guard_lease(sw->guard, addr, mac, port, loop_now_ms(sw->loop)) : 0;

	if (status == -EADDRINUSE)
		log_limited(LOG_LEVEL_WARN,
			    "port %u: %s was leased %s, which another guest that is there has a "
			    "lease on: it stays with that one",
			    port, mac_format(mac, text), addr_format(addr, address));
	return status;
}

void switch_unlease(struct nswitch *sw, const struct addr *addr)
{
	if (sw->guard)
		guard_unlease(sw->guard, addr);
}

/* --- The gateway's side --- */

int switch_send(struct nswitch *sw, const struct frame *frame)
{
	struct mac dst, src;
	unsigned number;

	assert(frame->iov_count && frame->iov[0].iov_len >= ETH_HEADER_SIZE);
	frame_macs(frame, &dst, &src);
	number = mac_is_group(&dst) ? 0
				    : switch_table_lookup(sw->table, &dst, loop_now_ms(sw->loop));
	if (!number) {
		flood(sw, NULL, frame);
		return 0;
	}
	if (port_send(sw->by_number[number], frame) == 0)
		return 0;
	sw->by_number[number]->local_waits = true;
	return -EAGAIN;
}

void switch_flush(struct nswitch *sw)
{
	struct list *node;

	while ((node = list_first(&sw->dirty)) != NULL) {
		struct port *port = container_of(node, struct port, in_dirty);

		list_remove(node);
		link_flush(port->link);
	}
	loop_task_cancel(sw->loop, &sw->flush_task);
}

const struct link_caps *switch_port_caps(const struct nswitch *sw, unsigned port)
{
	return port <= SWITCH_PORTS_MAX && sw->by_number[port] ? &sw->by_number[port]->link->caps
							       : NULL;
}

unsigned switch_ports(const struct nswitch *sw, struct switch_port_info *infos, unsigned max)
{
	unsigned count = 0;

	list_for_each (node, &sw->ports) {
		const struct port *port = container_of(node, struct port, in_ports);

		if (count < max)
			infos[count] = (struct switch_port_info){
				.port = port->number,
				.name = port->link->name,
				.kind = port->link->ops->kind,
				.counters = port->link->counters,
				.switching = port->counters,
			};
		count++;
	}
	return count;
}

struct switch_counters switch_counters(const struct nswitch *sw)
{
	struct switch_counters counters = sw->gone;

	list_for_each (node, &sw->ports)
		add_counters(&counters, &container_of(node, struct port, in_ports)->counters);
	return counters;
}

void switch_tap_add(struct nswitch *sw, struct switch_tap *tap)
{
	list_add_tail(&sw->taps, &tap->in_switch);
}

void switch_tap_remove(struct switch_tap *tap)
{
	list_remove(&tap->in_switch);
}

void switch_addresses(const struct nswitch *sw,
		      void (*fn)(void *arg, const struct mac *mac, unsigned port), void *arg)
{
	switch_table_for_each(sw->table, loop_now_ms(sw->loop), fn, arg);
}
