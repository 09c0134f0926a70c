/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relays the ICMP errors that a host socket reports on its error queue (IP_RECVERR, IPV6_RECVERR)
 * to the guest whose packet caused them, from the router or host that reported them and quoting the
 * packet as the guest sent it: what `traceroute`, path MTU discovery and a refused datagram look
 * like must not change on the way through us.
 *
 * A socket gives back only what the reporter quoted of a packet's payload. The headers in front of
 * it are those of the packet itself as long as it is among the last ICMP_RELAY_KEPT of its flow,
 * and are made up with the right addresses and ports for older ones.
 */
#ifndef FORWARDER_ICMP_RELAY_H
#define FORWARDER_ICMP_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "netstack/stack.h"

#define ICMP_RELAY_KEPT 4
/* Of each: an IPv6 header, a transport header, and some payload to tell it by. */
#define ICMP_RELAY_KEPT_SIZE 80

/* The packets that a flow's socket is to report errors about; embedded in the flow. */
struct icmp_relay {
	struct stack *stack;
	int fd;
	struct endpoint guest; /* whose packets; for echo requests the port is the guest's id */
	uint8_t protocol;      /* IPPROTO_UDP, IPPROTO_ICMP or IPPROTO_ICMPV6 */
	bool only_id;          /* a raw socket, which hears of everybody's echo requests: ... */
	uint16_t id;           /* ... take errors about this id's */
	uint8_t next;          /* in kept */
	struct {
		uint8_t size; /* 0: none */
		uint8_t ip[ICMP_RELAY_KEPT_SIZE];
	} kept[ICMP_RELAY_KEPT];
};

/* Notes a packet that the guest sent, from its IP header on. */
void icmp_relay_keep(struct icmp_relay *relay, const uint8_t *ip, size_t size);
/* Whether that is where the packets went that were noted last, all of them. */
bool icmp_relay_only_to(const struct icmp_relay *relay, const struct endpoint *dst);
/*
 * Drains the error queue. Errors that are no router's or host's word but this host's own become
 * nothing here: the caller of sendmsg() had them as errno. Returns the path's MTU where one of them
 * was that a packet exceeds it, else 0.
 */
unsigned icmp_relay_errors(const struct icmp_relay *relay);

/*
 * Tells a guest that its packet (`ip`, as it sent it) could not be sent: the ICMP error that a
 * router in our place would send for that errno, from the gateway. `mtu` goes with EMSGSIZE, 0
 * where it isn't known. What says nothing about the way (ENOBUFS, ...) is not told.
 */
void icmp_relay_failure(struct stack *stack, int error, unsigned mtu, const uint8_t *ip,
			size_t ip_size);

#endif
