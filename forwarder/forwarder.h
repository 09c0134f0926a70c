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
#include "base/list.h"
#include "base/loop.h"
#include "forwarder/outbound.h"
#include "forwarder/policy.h"
#include "netstack/stack.h"

struct egress_conf;
struct forwarder;

struct forwarder_conf {
	struct stack_conf stack;
	struct outbound outbound;
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

/*
 * Told of what happens; embedded in whoever wants to hear it, which must not end flows or links in
 * the callbacks. Each may be NULL.
 */
struct forwarder_watcher {
	/* A guest's link came (attached) or went. */
	void (*port)(void *arg, unsigned port, const struct link *link, bool attached);
	/* The policy kept a guest from something. */
	void (*denied)(void *arg, const struct policy_request *request);
	/* A lease was granted, renewed, released or has expired, which `what` says. */
	void (*lease)(void *arg, const char *what, const struct addr *addr, const struct mac *mac,
		      const char *hostname);
	void *arg;
	struct list link;
};
void forwarder_watch(struct forwarder *forwarder, struct forwarder_watcher *watcher);
void forwarder_unwatch(struct forwarder_watcher *watcher);
/* Tells the watchers of a lease. */
void forwarder_tell_lease(struct forwarder *forwarder, const char *what, const struct addr *addr,
			  const struct mac *mac, const char *hostname);

/*
 * Connects a stream socket with a guest's TCP port, whose client appears as the gateway. `fd` is
 * taken over, also on failure; `early` are bytes that the client has sent already, at most
 * FLOW_TCP_PREAMBLE_MAX. A guest that refuses shows as a reset. Returns 0, or what conn_connect()
 * says.
 */
int forwarder_dial(struct forwarder *forwarder, int fd, const struct endpoint *guest,
		   const void *early, size_t early_size);

/* A flow that there is; all borrowed for the visit. */
struct flow_info {
	const char *protocol;      /* "tcp", "udp" or "icmp" */
	const char *state;         /* "connecting", "opening", "open"; of datagrams "open" */
	bool inbound;              /* through a published port */
	unsigned port;             /* the switch port of the guest; 0: not known */
	struct endpoint guest;     /* of icmp, the port is the echo id */
	struct endpoint far;       /* TCP: as the guest sees it; else AF_UNSPEC: anybody */
	struct endpoint host;      /* TCP out: where it really leads; AF_UNSPEC: nowhere else */
	uint64_t to_guest_waiting; /* bytes, of TCP */
	uint64_t to_host_waiting;
	uint64_t idle_ms; /* of datagrams */
};
/* Visits the flows until `fn` returns false: TCP's, the oldest first, then UDP's and ICMP's. `fn`
 * must not end any. */
void forwarder_flows(struct forwarder *forwarder, uint64_t now_ms,
		     bool (*fn)(void *arg, const struct flow_info *info), void *arg);

/* Registers a service of the gateway's; -EEXIST when the port is taken, -ENOSPC at
 * FORWARDER_SERVICES_MAX. */
#define FORWARDER_SERVICES_MAX 16
int forwarder_serve_udp(struct forwarder *forwarder, uint16_t port, forwarder_udp_service_fn *fn,
			void *arg);
int forwarder_serve_tcp(struct forwarder *forwarder, uint16_t port, forwarder_tcp_service_fn *fn,
			void *arg);

#endif
