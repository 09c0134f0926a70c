/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's IP stack: it sits on the switch as the host that owns the gateway's MAC, answers
 * ARP, neighbour discovery and echo for the gateway's own addresses, reassembles fragments, and
 * hands everything else that guests send, whatever its destination, up to the forwarder: TCP as
 * connections (conn.h), UDP as datagrams, ICMP echo as requests. lwIP is behind it and shows
 * nowhere else.
 *
 * There can be one stack in a process: lwIP keeps its state in globals.
 */
#ifndef NETSTACK_STACK_H
#define NETSTACK_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/switch.h"

#define STACK_MTU_MIN 576
#define STACK_MTU_MAX 65520

struct conn;
struct stack;

struct stack_conf {
	struct mac mac;       /* the gateway's */
	struct prefix subnet; /* IPv4 */
	struct addr gateway;  /* in the subnet: ours */
	struct addr
		alias; /* in the subnet: the host alias; ARP and nothing else is answered here */
	struct prefix prefix6; /* IPv6, a /64; of length 0: there is no IPv6 but link-local */
	struct addr gateway6;  /* in prefix6: ours, besides the link-local address of our MAC */
	struct addr alias6;    /* in prefix6: the host alias, as `alias` */
	bool alias_routes; /* the alias, of both families, is what guests have as their router */
	unsigned mtu;      /* of the links; STACK_MTU_MIN to STACK_MTU_MAX */
	unsigned
		conns_max; /* most TCP connections of a guest at a time; further SYNs are refused */
	unsigned conns_total_max; /* of all guests; each gets a share of what is left, conn.c; 0: as
				     many as they may */
};

/* What guests have as their router, of that family, besides our link-local address. */
static inline const struct addr *stack_router(const struct stack_conf *conf, sa_family_t family)
{
	if (family == AF_INET6)
		return conf->alias_routes ? &conf->alias6 : &conf->gateway6;
	return conf->alias_routes ? &conf->alias : &conf->gateway;
}

/* A UDP datagram from a guest, reassembled; everything is borrowed for the call. */
struct stack_datagram {
	struct endpoint src; /* the guest's */
	struct endpoint dst; /* where the guest sent it: anywhere */
	struct mac src_mac;
	unsigned port; /* the switch port that it came in by */
	uint8_t ttl;
	uint8_t tos; /* DSCP and ECN */
	/* The guest wants to hear of a path that is too narrow: DF in IPv4; an IPv6 packet that it
	 * didn't cut itself. */
	bool dont_fragment;
	bool from_behind; /* `src` is an address of stack_expect(): only for who asked for it */
	const uint8_t *payload;
	size_t size;
	const uint8_t *ip; /* the IP packet from its header, for stack_icmp_error() */
	size_t ip_size;
};

/* An ICMP echo request to anywhere but the gateway. */
struct stack_echo {
	struct addr src;
	struct addr dst;
	unsigned port; /* the switch port that it came in by */
	uint16_t id;
	uint16_t sequence;
	uint8_t ttl;
	uint8_t tos;
	bool dont_fragment; /* as in struct stack_datagram */
	const uint8_t *payload;
	size_t size;
	const uint8_t *ip;
	size_t ip_size;
};

/* A guest says by ICMP that nobody is at a port that a datagram of ours went to. */
struct stack_refusal {
	struct endpoint guest; /* where it went: the guest's own port, or one behind it */
	struct endpoint far;   /* as whom it was sent */
	unsigned port;         /* the switch port that the message came in by */
	struct mac src_mac;
};

/* What the stack hands up. `datagram` sees all UDP, to the gateway and to broadcast too (DHCP,
 * DNS), and in IPv6 what is sent to ff02::1:2 (DHCPv6). */
struct stack_handler {
	void (*datagram)(void *arg, const struct stack_datagram *datagram);
	void (*echo)(void *arg, const struct stack_echo *echo);
	/* Where the refusal is of an address in the network, it is that guest's own word; one
	 * behind a guest is for the handler to check (stack_is_from()). Returns whether it was
	 * about something that it knows. May be NULL. */
	bool (*refused)(void *arg, const struct stack_refusal *refusal);
	/* A guest wants a connection to conn_far(conn). The handler becomes its owner: it calls
	 * conn_own() and then, at once or later, conn_accept() or conn_refuse(). */
	void (*syn)(void *arg, struct conn *conn);
	/* A guest's link has gone, and it didn't come back (away.h); its connections end by
	 * themselves (conn_ops.ended). May be NULL. */
	void (*port_gone)(void *arg, unsigned port);
	/* A link came or went; may be NULL. */
	void (*port_changed)(void *arg, unsigned port, const struct link *link, bool attached);
};

/* ICMP destination unreachable codes, RFC 792 and RFC 1122 3.2.2.1. About an IPv6 packet the stack
 * says the same in ICMPv6's words (RFC 4443, 3.1). */
enum stack_unreachable {
	STACK_UNREACH_NET = 0,
	STACK_UNREACH_HOST = 1,
	STACK_UNREACH_PROTOCOL = 2, /* of IPv4 packets only */
	STACK_UNREACH_PORT = 3,
	STACK_UNREACH_ADMIN = 13,
};

struct stack_counters {
	uint64_t rx_packets;    /* IP packets from guests */
	uint64_t rx_invalid;    /* malformed, or a wrong checksum */
	uint64_t rx_spoofed;    /* a source address outside the network, or one of ours; unless it
				   is behind the guest, and was asked for */
	uint64_t rx_unroutable; /* nowhere to go: multicast, another guest's address */
	uint64_t conns;         /* TCP connections now */
	uint64_t conns_total;
	uint64_t conns_refused_full; /* SYNs refused at conns_max */
	uint64_t conns_rx_refused; /* segments not kept: their guest's connections hold too much */
	uint64_t tx_no_neighbour;  /* packets dropped because nobody said who has the address */
	uint64_t tx_full;          /* UDP and ICMP dropped because the guest's link was full */
};

/* Returns 0 with an owned stack on a switch of its own, or -EINVAL, -ENOMEM, -EBUSY (a second one).
 * `handler` must outlive it. */
int stack_new(struct loop *loop, const struct stack_conf *conf, const struct stack_handler *handler,
	      void *arg, struct stack **ret_stack);
void stack_free(struct stack *stack);
/* Borrowed: where links attach (switch_sink()). */
struct nswitch *stack_switch(struct stack *stack);
const struct stack_conf *stack_conf(const struct stack *stack);
/* The gateway's link-local address (RFC 4291, appendix A). */
struct addr stack_link_local(const struct stack *stack);
struct stack_counters stack_counters(const struct stack *stack);

/*
 * Sends a UDP datagram to a guest; `payload` is borrowed, fragmented where it exceeds the MTU.
 * `dst` may be the broadcast address. `dst_mac`, where not NULL, is used instead of the neighbour
 * table (DHCP to a client without an address). Returns 0 (sent, or held until the guest answers
 * ARP or a neighbour solicitation), -EAGAIN (its link is full: dropped and counted), -EMSGSIZE,
 * -EINVAL (two families).
 */
int stack_send_udp(struct stack *stack, const struct endpoint *src, const struct endpoint *dst,
		   const struct mac *dst_mac, uint8_t ttl, uint8_t tos, const void *payload,
		   size_t size);
/* The same to an address behind a guest (behind.h), whose own one is `hop`. */
int stack_send_udp_behind(struct stack *stack, const struct endpoint *src,
			  const struct endpoint *dst, const struct addr *hop, uint8_t ttl,
			  uint8_t tos, const void *payload, size_t size);
/* Answers an echo request: `src` is the address that was pinged. */
int stack_send_echo_reply(struct stack *stack, const struct addr *src, const struct addr *dst,
			  uint16_t id, uint16_t sequence, uint8_t ttl, uint8_t tos,
			  const void *payload, size_t size);
/*
 * Sends an ICMP error about a packet of a guest's: `ip` is that packet from its IP header on, of
 * which as much is quoted as RFC 1812 4.3.2.3, or RFC 4443 2.4, allows. `from` is the router that
 * reports it (the gateway when NULL), of the packet's family. Limited in rate for each guest.
 * `type` and `code` are of the packet's protocol, ICMP or ICMPv6; `mtu` is for "fragmentation
 * needed" and "packet too big", else 0.
 */
void stack_send_icmp_error(struct stack *stack, const struct addr *from, uint8_t type, uint8_t code,
			   uint16_t mtu, const uint8_t *ip, size_t ip_size);
/* Destination unreachable from the gateway. */
void stack_send_unreachable(struct stack *stack, enum stack_unreachable code, const uint8_t *ip,
			    size_t ip_size);

/*
 * Datagrams from `addr`, which lies behind the guest that has `hop`, are handed up with
 * `from_behind` from now on: those that come from that guest's port, until stack_unexpect() has
 * been called as often. Returns 0, -EHOSTUNREACH (no address that may lie behind a guest), -ENOSPC
 * (BEHIND_MAX, BEHIND_HOP_MAX) or -ENOMEM.
 */
int stack_expect(struct stack *stack, const struct addr *addr, const struct addr *hop);
void stack_unexpect(struct stack *stack, const struct addr *addr, const struct addr *hop);
/* Whether what came in by that switch port, and from that MAC, came from the guest that has `hop`.
 */
bool stack_is_from(struct stack *stack, const struct addr *hop, unsigned port,
		   const struct mac *mac);

/* Tells the stack which guest has an address (from a DHCP lease), to save the first question. */
void stack_learn(struct stack *stack, const struct addr *addr, const struct mac *mac);
/* The MAC of a guest's address, if known. */
bool stack_neighbour(struct stack *stack, const struct addr *addr, struct mac *ret_mac);

#endif
