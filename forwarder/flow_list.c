/* SPDX-License-Identifier: Apache-2.0 */
/* All flows that there are, for people who want to see them: forwarder_flows(). */
#include "forwarder/flow_table.h"
#include "forwarder/flow_tcp_private.h"
#include "forwarder/forwarder_private.h"

typedef bool visit_fn(void *arg, const struct flow_info *info);

static const char *state_text(enum flow_state state)
{
	switch (state) {
	case FLOW_CONNECTING:
	case FLOW_TUNNELLING:
		return "connecting";
	case FLOW_OPENING:
		return "opening";
	case FLOW_OPEN:
		break;
	}
	return "open";
}

static bool visit_tcp(const struct flow_tcp *flow, visit_fn *fn, void *arg)
{
	struct flow_info info = {
		.protocol = "tcp",
		.state = state_text(flow->state),
		.inbound = flow->inbound != NULL,
		.host = flow->host,
	};

	if (flow->conn) {
		info.port = conn_port(flow->conn);
		info.guest = *conn_guest(flow->conn);
		info.far = *conn_far(flow->conn);
		info.to_guest_waiting = conn_tx_pending(flow->conn);
		info.to_host_waiting = conn_rx_size(flow->conn);
	}
	return fn(arg, &info);
}

static bool visit_table(const struct flow_table *table, const char *protocol, uint64_t now_ms,
			visit_fn *fn, void *arg)
{
	struct hmap_node *node = NULL;

	while ((node = hmap_next(&table->flows, node))) {
		const struct flow *flow = container_of(node, struct flow, node);
		struct flow_info info = {
			.protocol = protocol,
			.state = "open",
			.port = flow->port,
			.guest = flow->guest,
			.idle_ms = now_ms > flow->active_ms ? now_ms - flow->active_ms : 0,
		};

		if (!fn(arg, &info))
			return false;
	}
	return true;
}

void forwarder_flows(struct forwarder *forwarder, uint64_t now_ms, visit_fn *fn, void *arg)
{
	const struct flow_tcp_table *tcp = forwarder_tcp(forwarder);

	list_for_each (node, &tcp->flows) {
		if (!visit_tcp(container_of(node, struct flow_tcp, link), fn, arg))
			return;
	}
	if (visit_table(flow_udp_flows(forwarder_udp(forwarder)), "udp", now_ms, fn, arg))
		(void)visit_table(flow_icmp_flows(forwarder_icmp(forwarder)), "icmp", now_ms, fn,
				  arg);
}
