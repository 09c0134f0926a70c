/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarder: carries what guests send out through ordinary host sockets, and the answers back.
 *
 * It is the stack's handler. TCP connections become flow_tcp, UDP sources flow_udp, echo requests
 * flow_icmp; some destinations are not the host's but services of the network itself (DHCP and DNS
 * on the gateway), which register here. Published ports (publish.h) come the other way.
 *
 * Where a guest's destination leads, and whether it may go there, is decided by one function,
 * route_decide() in route.h.
 */
#ifndef FORWARDER_FORWARDER_H
#define FORWARDER_FORWARDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "forwarder/policy.h"
#include "netstack/stack.h"

struct egress_conf;
struct forwarder;

struct forwarder_conf {
	struct stack_conf stack;
	bool host_access;                 /* whether the host alias leads to the host's loopback */
	const struct egress_conf *egress; /* guests' way out by a proxy; borrowed; NULL: none */
	const struct policy_rule *policy_rules; /* borrowed for forwarder_new(); see policy.h */
	size_t policy_rule_count;
	bool policy_deny_by_default;
	unsigned udp_flows_max;       /* of a guest */
	unsigned udp_flows_total_max; /* of all guests, each a descriptor; 0: as of one */
};

/* A UDP service on the gateway: called for every datagram to its port, on the gateway's address or
 * broadcast. */
typedef void forwarder_udp_service_fn(void *arg, const struct stack_datagram *datagram);

/*
 * A TCP service on the gateway. Called for every connection to its port: returns a connected stream
 * socket in *ret_fd, owned by the caller from then on (one end of a socketpair whose other end the
 * service keeps), or -errno, which refuses the connection.
 */
typedef int forwarder_tcp_service_fn(void *arg, const struct endpoint *guest, int *ret_fd);

struct forwarder_counters {
	struct stack_counters stack;
	uint64_t tcp_flows; /* now */
	uint64_t tcp_flows_total;
	uint64_t tcp_refused; /* connects that the host's side refused or could not make */
	uint64_t udp_flows;
	uint64_t udp_flows_total;
	uint64_t udp_evicted; /* flows closed early because of a maximum */
	uint64_t udp_dropped; /* datagrams that could not be sent */
	uint64_t udp_group;   /* broadcasts that no service of ours took: they stay among guests */
	uint64_t icmp_flows;
	uint64_t icmp_flows_total;
	uint64_t icmp_dropped;  /* echo requests that could not be sent, or were too many */
	uint64_t bytes_to_host; /* payload, all protocols */
	uint64_t bytes_to_guests;
};

/* Returns 0 with an owned forwarder and its stack, or -errno. */
int forwarder_new(struct loop *loop, const struct forwarder_conf *conf,
		  struct forwarder **ret_forwarder);
/* Ends every flow. */
void forwarder_free(struct forwarder *forwarder);

struct stack *forwarder_stack(struct forwarder *forwarder);
/* Borrowed: what guests may reach. */
struct policy *forwarder_policy(struct forwarder *forwarder);
struct forwarder_counters forwarder_counters(const struct forwarder *forwarder);

/* Told that an address is no guest's any more. One at a time; NULL: nobody. */
typedef void forwarder_address_gone_fn(void *arg, const struct addr *addr);
void forwarder_on_address_gone(struct forwarder *forwarder, forwarder_address_gone_fn *fn,
			       void *arg);
/* To be called when a lease has ended: the address is free, or another's next time. */
void forwarder_address_gone(struct forwarder *forwarder, const struct addr *addr);

/* Registers a service of the gateway's; -EEXIST when the port is taken, -ENOSPC at
 * FORWARDER_SERVICES_MAX. */
#define FORWARDER_SERVICES_MAX 16
int forwarder_serve_udp(struct forwarder *forwarder, uint16_t port, forwarder_udp_service_fn *fn,
			void *arg);
int forwarder_serve_tcp(struct forwarder *forwarder, uint16_t port, forwarder_tcp_service_fn *fn,
			void *arg);

#endif
