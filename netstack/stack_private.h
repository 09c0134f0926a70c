/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the stack share and nobody else includes: stack.c (frames in), arp.c and
 * ip4_input.c, nd.c and ip6_input.c (packets in), packet.c and ip6_output.c (packets out), pmtu.c
 * (what guests report), and conn.c and the others of its name (TCP in lwIP: conn_private.h).
 */
#ifndef NETSTACK_STACK_PRIVATE_H
#define NETSTACK_STACK_PRIVATE_H

#include <lwip/netif.h>
#include <lwip/pbuf.h>

#include "base/loop.h"
#include "netstack/away.h"
#include "netstack/behind.h"
#include "netstack/bytes.h"
#include "netstack/conn_private.h"
#include "netstack/neigh.h"
#include "netstack/offload.h"
#include "netstack/reass.h"
#include "netstack/stack.h"
#include "netstack/switch.h"

#define IP6_MTU_MIN 1280 /* RFC 8200, section 5 */

/* At most this many ICMP errors a second to one guest, with as many at once (RFC 1812, 4.3.2.8). */
#define ICMP_ERRORS_PER_SECOND 200

/* The TTL, or hop limit, of what the stack sends for itself. */
#define STACK_TTL 64

/* ICMP, RFC 792. */
#define ICMP_ECHO_REPLY    0
#define ICMP_UNREACHABLE   3
#define ICMP_ECHO_REQUEST  8
#define ICMP_TIME_EXCEEDED 11
/* Destination unreachable; others are enum stack_unreachable's. */
#define ICMP_FRAG_NEEDED 4

/* ICMPv6, RFC 4443 and RFC 4861. */
#define ICMP6_UNREACHABLE   1
#define ICMP6_TOO_BIG       2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_PARAMETER     4
#define ICMP6_INFORMATIONAL 128 /* types from here on are no errors */
#define ICMP6_ECHO_REQUEST  128
#define ICMP6_ECHO_REPLY    129
#define ICMP6_RS            133
#define ICMP6_NS            135
#define ICMP6_NA            136
#define ICMP6_REDIRECT      137

/* Destination unreachable. */
#define ICMP6_NO_ROUTE 0
#define ICMP6_ADMIN    1
#define ICMP6_SCOPE    2 /* beyond the scope of the source address */
#define ICMP6_ADDRESS  3
#define ICMP6_PORT     4
/* Parameter problem. */
#define ICMP6_BAD_FIELD   0
#define ICMP6_NEXT_HEADER 1
#define ICMP6_BAD_OPTION  2

struct router_adv;

struct stack {
	struct loop *loop;
	struct stack_conf conf;
	const struct stack_handler *handler;
	void *handler_arg;
	struct nswitch *sw;
	struct neigh_table *neighbours;
	struct behind *behind;         /* addresses that datagrams may come from */
	struct netif netif;            /* lwIP's view of the network */
	struct router_adv *router_adv; /* router_adv_start()'s; NULL: no router of IPv6 */
	struct conn_table tcp;
	struct reass *reass;            /* fragments, of both families */
	struct loop_timer *reass_timer; /* runs while some wait */
	struct addr link_local;         /* the gateway's, made of its MAC */
	uint16_t ip_id;
	uint32_t ip6_id;
	struct {
		unsigned tokens; /* errors that may be sent now */
		uint64_t refill_ms;
	} icmp_errors[SWITCH_PORTS_MAX + 1]; /* to each guest; 0: to those not seen yet */
	struct stack_counters counters;
	struct away away;
	struct loop_timer *away_timer;      /* runs while a guest is away */
	uint8_t rx_scratch[FRAME_SIZE_MAX]; /* a packet from a guest in one piece, while it is
					       looked at */
	uint8_t tx_scratch[FRAME_SIZE_MAX]; /* a packet to a guest, while it is sent or held */
};

/* stack.c */

/* An address that the gateway answers for: its own, and the host alias. */
bool stack_is_ours(const struct stack *stack, const struct addr *addr);
/* Notes where a guest's address is. Nobody else's: neither ours nor one outside of the network. */
void stack_note_neighbour(struct stack *stack, const struct addr *addr, const struct mac *mac,
			  unsigned port);
/* Whether a packet of `protocol` from an address that is not of the network may be looked at all
 * the same, as it may have come from behind a guest: TCP segments and ICMP errors, which must be
 * about a connection to there, and datagrams that are expected. */
bool stack_may_be_behind(struct stack *stack, unsigned port, const struct frame *frame,
			 const struct addr *src, const struct addr *dst, uint8_t protocol,
			 bool is_fragment);

/* A packet that was put together, as if it had come so: it refers to itself. */
struct whole_packet {
	uint8_t *ip; /* to be freed with reass_packet_free() */
	struct iovec iov;
	struct frame frame;
	struct frame_headers headers;
};

/* Takes a fragment that came in `last`. Returns as reass_add(), *ret_whole being the packet with
 * REASS_COMPLETE. */
enum reass_result stack_reassemble(struct stack *stack, const struct reass_fragment *fragment,
				   const struct frame *last, struct whole_packet *ret_whole);

/* arp.c */

void arp_input(struct stack *stack, unsigned port, const struct frame *frame);
/* Asks who has a guest's address. */
void arp_solicit(struct stack *stack, const struct addr *target);

/* ip4_input.c: packets whose checksums are right. */

void stack_input_ip4(struct stack *stack, unsigned port, const struct frame *frame,
		     const struct frame_headers *headers);
/* The whole packet in one piece of memory, from its IP header on: where it is, or a copy in
 * rx_scratch. */
const uint8_t *stack_flatten(struct stack *stack, const struct frame *frame,
			     const struct frame_headers *headers);

/* ip6_input.c */

void stack_input_ip6(struct stack *stack, unsigned port, const struct frame *frame,
		     const struct frame_headers *headers);

/* nd.c */

/* A message of neighbour discovery that came in; the packet wasn't fragmented, and its checksum is
 * right. */
struct nd_message {
	unsigned port;
	struct mac from;
	struct addr src;
	struct addr dst;
	uint8_t hop_limit;
	const uint8_t *icmp;
	size_t size;
};

void nd_input(struct stack *stack, const struct nd_message *message);
/* Asks who has a guest's address. */
void nd_solicit(struct stack *stack, const struct addr *target);
/* The multicast address that whoever has `addr` listens to. */
struct addr nd_solicited_node(const struct addr *addr);

/* packet.c: packets to guests. */

/* 255.255.255.255, or the guests' network's own. */
bool stack_is_broadcast(const struct stack *stack, const struct addr *dst);
/* Whether an address is, or could be, a guest's: one of the network, or a link-local one. */
bool stack_on_link(const struct stack *stack, const struct addr *addr);
/* Takes a token of the limit of ICMP errors to that guest. */
bool stack_icmp_error_allowed(struct stack *stack, const struct addr *guest);

struct ip_fields {
	const struct addr *src;
	const struct addr *dst;
	const struct addr *hop; /* who is to carry it on; NULL: `dst` is a guest */
	uint8_t protocol;
	uint8_t ttl;
	uint8_t tos;
};

/* Most bytes of a transport header that is given apart from its payload. */
#define TRANSPORT_SIZE_MAX 8

/* Sends an IP packet in `iov` (iov[0] has the whole IP header, and ETH_HEADER_SIZE writable bytes
 * before it) to the guest that has `hop`, of either family. `frame` holds the offload state;
 * offsets in it count from the Ethernet header; iov and size are filled here. Returns 0, also when
 * it was held for its neighbour or dropped, or -EAGAIN. */
int stack_output(struct stack *stack, const struct addr *hop, const struct mac *dst_mac,
		 struct frame *frame, struct iovec *iov, unsigned iov_count);
/* Sends a flat packet that was held for its neighbour, from its IP header on, with complete
 * checksums. */
void stack_output_held(struct stack *stack, const struct addr *hop, void *packet, size_t size);
/* lwIP's netif->output and output_ip6. */
err_t stack_lwip_output(struct netif *netif, struct pbuf *p, const ip4_addr_t *dst);
err_t stack_lwip_output6(struct netif *netif, struct pbuf *p, const ip6_addr_t *dst);

/* ip6_output.c: packets of IPv6 to guests. */

/* Sends a transport header and payload, with complete checksums, in one packet or as fragments.
 * Returns as stack_send_udp(). */
int stack_send_ip6(struct stack *stack, const struct ip_fields *ip, const struct mac *dst_mac,
		   const uint8_t *transport, size_t transport_size, const void *payload,
		   size_t size);

/* Sends an ICMPv6 message of at least 8 bytes, from its type on; its checksum is filled in. `to`,
 * where not NULL, is used instead of the neighbour table. Fragmented where it exceeds the MTU.
 * Returns as stack_send_udp(). */
int stack_send_icmp6(struct stack *stack, const struct mac *to, const struct addr *src,
		     const struct addr *dst, uint8_t hop_limit, const void *message, size_t size);

struct icmp_fields {
	uint8_t type;
	uint8_t code;
	uint32_t rest; /* what follows the checksum */
};

/* The same for a message that isn't in one piece. */
int stack_send_icmp6_body(struct stack *stack, const struct mac *to, const struct ip_fields *ip,
			  const struct icmp_fields *icmp, const void *body, size_t size);
/* An ICMPv6 error about a packet of a guest's, as stack_send_icmp_error(); `rest` is what follows
 * the checksum: an MTU, or a pointer. */
void stack_send_icmp6_error(struct stack *stack, const struct addr *from, uint8_t type,
			    uint8_t code, uint32_t rest, const uint8_t *ip, size_t ip_size);

/* pmtu.c */

/* An ICMP, or ICMPv6, message from the guest at that switch port. One that says that our segments
 * are too large for some way makes those of their connection smaller, one that our SYN can't be
 * delivered ends the attempt, and one that nobody is at a datagram's port is handed up; others are
 * ignored. The checksum of ICMPv6 has been verified. Returns whether it was about something that is
 * known. */
bool pmtu_input4(struct stack *stack, unsigned port, const struct mac *mac, const uint8_t *icmp,
		 size_t size);
bool pmtu_input6(struct stack *stack, unsigned port, const struct mac *mac, const uint8_t *icmp,
		 size_t size);

#endif
