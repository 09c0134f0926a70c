/* SPDX-License-Identifier: Apache-2.0 */
/* The forwarder: hands what the stack brings to the flows and services it belongs to; see
 * forwarder.h. */
#include "forwarder/forwarder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forwarder/egress_lookup.h"
#include "forwarder/flow_icmp.h"
#include "forwarder/flow_tcp.h"
#include "forwarder/flow_udp.h"
#include "forwarder/forwarder_private.h"
#include "forwarder/route.h"
#include "netstack/conn.h"

struct service {
	uint16_t port;
	forwarder_udp_service_fn *udp;
	forwarder_tcp_service_fn *tcp;
	void *arg;
};

struct forwarder {
	struct stack *stack;
	struct policy *policy;
	struct flow_tcp_table tcp;
	struct flow_udp_table *udp;
	struct flow_icmp_table *icmp;
	struct service services[FORWARDER_SERVICES_MAX];
	unsigned service_count;
	uint64_t udp_group;
	forwarder_address_gone_fn *address_gone;
	void *address_gone_arg;
	struct list watchers;
};

static const struct service *service_find(const struct forwarder *forwarder, uint16_t port,
					  bool tcp)
{
	for (unsigned i = 0; i < forwarder->service_count; i++) {
		const struct service *service = &forwarder->services[i];

		if (service->port == port && (tcp ? service->tcp != NULL : service->udp != NULL))
			return service;
	}
	return NULL;
}

static int service_add(struct forwarder *forwarder, const struct service *service)
{
	if (service_find(forwarder, service->port, service->tcp != NULL))
		return -EEXIST;
	if (forwarder->service_count == FORWARDER_SERVICES_MAX)
		return -ENOSPC;
	forwarder->services[forwarder->service_count++] = *service;
	return 0;
}

int forwarder_serve_udp(struct forwarder *forwarder, uint16_t port, forwarder_udp_service_fn *fn,
			void *arg)
{
	return service_add(forwarder, &(struct service){.port = port, .udp = fn, .arg = arg});
}

int forwarder_serve_tcp(struct forwarder *forwarder, uint16_t port, forwarder_tcp_service_fn *fn,
			void *arg)
{
	return service_add(forwarder, &(struct service){.port = port, .tcp = fn, .arg = arg});
}

/* ---- From the stack ---- */

static void tell_denied(struct forwarder *forwarder, const struct policy_request *request)
{
	list_for_each_safe (node, &forwarder->watchers) {
		struct forwarder_watcher *watcher = container_of(node, struct forwarder_watcher,
								 link);

		if (watcher->denied)
			watcher->denied(watcher->arg, request);
	}
}

/* Where a guest's SYN, datagram or echo request goes. `mac` is the guest's, or NULL where the
 * neighbour table knows. */
static enum route_kind route_of(struct forwarder *forwarder, enum policy_protocol protocol,
				const struct addr *guest, const struct mac *mac, unsigned port,
				const struct endpoint *to, struct endpoint *ret_host)
{
	struct policy_request request = {
		.protocol = protocol, .guest = *guest, .port = port, .to = *to};
	enum route_kind kind;

	if (mac)
		request.mac = *mac;
	else if (policy_wants_mac(forwarder->policy))
		stack_neighbour(forwarder->stack, guest, &request.mac);
	kind = route_decide(stack_conf(forwarder->stack), forwarder->policy, &request, ret_host);
	if (kind == ROUTE_DENIED)
		tell_denied(forwarder, &request);
	return kind;
}

static void serve_syn(struct forwarder *forwarder, struct conn *conn)
{
	const struct service *service = service_find(forwarder, conn_far(conn)->port, true);
	int fd;
	int r = service ? service->tcp(service->arg, conn_guest(conn), &fd) : -ECONNREFUSED;

	if (r < 0)
		conn_refuse(conn, CONN_REFUSE_RESET);
	else
		flow_tcp_out_fd(&forwarder->tcp, conn, fd, NULL);
}

static void on_syn(void *arg, struct conn *conn)
{
	struct forwarder *forwarder = arg;
	struct endpoint host;

	switch (route_of(forwarder, POLICY_TCP, &conn_guest(conn)->addr, NULL, conn_port(conn),
			 conn_far(conn), &host)) {
	case ROUTE_HOST:
		flow_tcp_out(&forwarder->tcp, conn, &host);
		break;
	case ROUTE_SERVICE:
		serve_syn(forwarder, conn);
		break;
	case ROUTE_DENIED:
		conn_refuse(conn, CONN_REFUSE_ADMIN);
		break;
	case ROUTE_NOWHERE:
		conn_refuse(conn, CONN_REFUSE_NET);
		break;
	}
}

/* Whether all guests and the gateway hear what is sent there, and we are one of many. */
static bool is_group(const struct forwarder *forwarder, const struct addr *addr)
{
	const struct prefix *subnet = &stack_conf(forwarder->stack)->subnet;
	uint32_t ip;

	if (addr->family != AF_INET)
		return addr_is_multicast(addr); /* ff02::1:2, for DHCPv6 servers */
	ip = addr_v4(addr);
	return ip == INADDR_BROADCAST || ip == (addr_v4(&subnet->addr) | ~prefix_mask4(subnet));
}

static void serve_datagram(struct forwarder *forwarder, const struct stack_datagram *datagram)
{
	const struct service *service = service_find(forwarder, datagram->dst.port, false);

	if (service)
		service->udp(service->arg, datagram);
	else if (is_group(forwarder, &datagram->dst.addr))
		forwarder->udp_group++; /* RFC 1122, 3.2.2: no error about it */
	else
		stack_send_unreachable(forwarder->stack, STACK_UNREACH_PORT, datagram->ip,
				       datagram->ip_size);
}

static void on_datagram(void *arg, const struct stack_datagram *datagram)
{
	struct forwarder *forwarder = arg;
	struct endpoint host;

	if (datagram->from_behind) {
		/* An answer that came too late is nobody's. */
		(void)flow_udp_claimed(forwarder->udp, datagram);
		return;
	}
	if (is_group(forwarder, &datagram->dst.addr)) {
		serve_datagram(forwarder, datagram);
		return;
	}
	if (flow_udp_claimed(forwarder->udp, datagram))
		return;
	switch (route_of(forwarder, POLICY_UDP, &datagram->src.addr, &datagram->src_mac,
			 datagram->port, &datagram->dst, &host)) {
	case ROUTE_HOST:
		flow_udp_send(forwarder->udp, datagram, &host);
		break;
	case ROUTE_SERVICE:
		serve_datagram(forwarder, datagram);
		break;
	case ROUTE_DENIED:
		stack_send_unreachable(forwarder->stack, STACK_UNREACH_ADMIN, datagram->ip,
				       datagram->ip_size);
		break;
	case ROUTE_NOWHERE:
		stack_send_unreachable(forwarder->stack, STACK_UNREACH_NET, datagram->ip,
				       datagram->ip_size);
		break;
	}
}

static void on_echo(void *arg, const struct stack_echo *echo)
{
	struct forwarder *forwarder = arg;
	struct endpoint dst = {.addr = echo->dst};
	struct endpoint host;

	switch (route_of(forwarder, POLICY_ICMP, &echo->src, NULL, echo->port, &dst, &host)) {
	case ROUTE_HOST:
		flow_icmp_send(forwarder->icmp, echo, &host);
		break;
	case ROUTE_SERVICE:
		break; /* the stack answers for the gateway */
	case ROUTE_DENIED:
		stack_send_unreachable(forwarder->stack, STACK_UNREACH_ADMIN, echo->ip,
				       echo->ip_size);
		break;
	case ROUTE_NOWHERE:
		stack_send_unreachable(forwarder->stack, STACK_UNREACH_NET, echo->ip,
				       echo->ip_size);
		break;
	}
}

static bool on_refused(void *arg, const struct stack_refusal *refusal)
{
	struct forwarder *forwarder = arg;

	return flow_udp_refused(forwarder->udp, refusal);
}

static void on_port_gone(void *arg, unsigned port)
{
	struct forwarder *forwarder = arg;

	flow_udp_port_gone(forwarder->udp, port);
	flow_icmp_port_gone(forwarder->icmp, port);
}

static void on_port_changed(void *arg, unsigned port, const struct link *link, bool attached)
{
	struct forwarder *forwarder = arg;

	policy_port_changed(forwarder->policy, port, link->name, attached);
	list_for_each_safe (node, &forwarder->watchers) {
		struct forwarder_watcher *watcher = container_of(node, struct forwarder_watcher,
								 link);

		if (watcher->port)
			watcher->port(watcher->arg, port, link, attached);
	}
}

static const struct stack_handler handler = {
	.datagram = on_datagram,
	.echo = on_echo,
	.refused = on_refused,
	.syn = on_syn,
	.port_gone = on_port_gone,
	.port_changed = on_port_changed,
};

/* ---- Life ---- */

int forwarder_new(struct loop *loop, const struct forwarder_conf *conf,
		  struct forwarder **ret_forwarder)
{
	struct forwarder *forwarder = calloc(1, sizeof(*forwarder));
	struct flow_udp_conf udp = {
		.guest_max = conf->udp_flows_max,
		.total_max = conf->udp_flows_total_max ? conf->udp_flows_total_max
						       : conf->udp_flows_max,
		.outbound = conf->outbound,
	};
	int r;

	if (!forwarder)
		return -ENOMEM;
	list_init(&forwarder->watchers);
	flow_tcp_table_init(&forwarder->tcp, loop);
	forwarder->tcp.outbound = conf->outbound;
	r = policy_new(
		&(struct policy_conf){
			.rules = conf->policy_rules,
			.rule_count = conf->policy_rule_count,
			.deny_by_default = conf->policy_deny_by_default,
			.host_access = conf->host_access,
			.alias = conf->stack.alias,
			.alias6 = conf->stack.alias6,
		},
		&forwarder->policy);
	if (r == 0 && conf->egress)
		r = egress_new(loop, conf->egress, &forwarder->tcp.egress);
	if (r == 0)
		r = stack_new(loop, &conf->stack, &handler, forwarder, &forwarder->stack);
	if (r == 0)
		r = flow_udp_table_new(loop, forwarder->stack, &udp, &forwarder->udp);
	if (r == 0)
		r = flow_icmp_table_new(loop, forwarder->stack, &forwarder->icmp);
	if (r < 0) {
		forwarder_free(forwarder);
		return r;
	}
	*ret_forwarder = forwarder;
	return 0;
}

void forwarder_free(struct forwarder *forwarder)
{
	if (!forwarder)
		return;
	flow_tcp_table_destroy(&forwarder->tcp);
	egress_free(forwarder->tcp.egress);
	flow_icmp_table_free(forwarder->icmp);
	flow_udp_table_free(forwarder->udp);
	stack_free(forwarder->stack);
	policy_free(forwarder->policy);
	free(forwarder);
}

void forwarder_on_address_gone(struct forwarder *forwarder, forwarder_address_gone_fn *fn,
			       void *arg)
{
	forwarder->address_gone = fn;
	forwarder->address_gone_arg = arg;
}

void forwarder_address_gone(struct forwarder *forwarder, const struct addr *addr)
{
	if (forwarder->address_gone)
		forwarder->address_gone(forwarder->address_gone_arg, addr);
}

void forwarder_watch(struct forwarder *forwarder, struct forwarder_watcher *watcher)
{
	list_add_tail(&forwarder->watchers, &watcher->link);
}

void forwarder_unwatch(struct forwarder_watcher *watcher)
{
	list_remove(&watcher->link);
}

void forwarder_tell_lease(struct forwarder *forwarder, const char *what, const struct addr *addr,
			  const struct mac *mac, const char *hostname)
{
	list_for_each_safe (node, &forwarder->watchers) {
		struct forwarder_watcher *watcher = container_of(node, struct forwarder_watcher,
								 link);

		if (watcher->lease)
			watcher->lease(watcher->arg, what, addr, mac, hostname);
	}
}

struct stack *forwarder_stack(struct forwarder *forwarder)
{
	return forwarder->stack;
}

struct policy *forwarder_policy(struct forwarder *forwarder)
{
	return forwarder->policy;
}

struct flow_tcp_table *forwarder_tcp(struct forwarder *forwarder)
{
	return &forwarder->tcp;
}

struct flow_udp_table *forwarder_udp(struct forwarder *forwarder)
{
	return forwarder->udp;
}

struct flow_icmp_table *forwarder_icmp(struct forwarder *forwarder)
{
	return forwarder->icmp;
}

struct forwarder_counters forwarder_counters(const struct forwarder *forwarder)
{
	struct flow_udp_counters udp = flow_udp_counters(forwarder->udp);
	struct flow_icmp_counters icmp = flow_icmp_counters(forwarder->icmp);

	return (struct forwarder_counters){
		.stack = stack_counters(forwarder->stack),
		.tcp_flows = forwarder->tcp.count,
		.tcp_flows_total = forwarder->tcp.total,
		.tcp_refused = forwarder->tcp.refused,
		.udp_flows = udp.flows,
		.udp_flows_total = udp.total,
		.udp_evicted = udp.evicted,
		.udp_dropped = udp.dropped,
		.udp_group = forwarder->udp_group,
		.icmp_flows = icmp.flows,
		.icmp_flows_total = icmp.total,
		.icmp_dropped = icmp.dropped,
		.bytes_to_host = forwarder->tcp.bytes_to_host + udp.bytes_to_host,
		.bytes_to_guests = forwarder->tcp.bytes_to_guests + udp.bytes_to_guests,
	};
}
