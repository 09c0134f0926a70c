/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_sock: host sockets that carry guests' datagrams and echo requests, of both address families:
 * how they are made, and what goes with a datagram besides its bytes (hop limit and service class,
 * the will to be fragmented), which IPv4 and IPv6 name differently.
 */
#ifndef FORWARDER_FLOW_SOCK_H
#define FORWARDER_FLOW_SOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/addr.h"

/* TTL or hop limit, and DSCP with ECN. */
struct flow_marks {
	uint8_t ttl;
	uint8_t tos;
};

/* Room for all control messages of a datagram that is sent, or received; to be aligned for a struct
 * cmsghdr. */
#define FLOW_CONTROL_SIZE (2 * CMSG_SPACE(sizeof(int)))

/*
 * Sockets of AF_INET or AF_INET6 alone, non-blocking, owned by the caller, that report errors on
 * their error queue and the marks of what they receive. All return 0 or -errno.
 */
/* On a port of the kernel's choice, and with the host's address `from`; AF_UNSPEC: any. */
int flow_sock_udp(sa_family_t family, const struct addr *from, int *ret_fd);
/* A ping socket: sends echo requests under an id of the kernel's choice, receives their replies,
 * both from the ICMP header on; the kernel fills the checksums. -EACCES: not allowed here. */
int flow_sock_ping(sa_family_t family, int *ret_fd);
/* A raw socket that receives the echo replies with this id: from the IP header on in IPv4, from the
 * ICMPv6 header on in IPv6. Sends from the ICMP header on; in IPv4 with the checksum that is there.
 */
int flow_sock_raw_echo(sa_family_t family, uint16_t id, int *ret_fd);

/* Sets what every datagram gets that has no marks of its own. */
int flow_sock_set_marks(int fd, sa_family_t family, const struct flow_marks *marks);
/* Whether datagrams that don't fit the path are refused (-EMSGSIZE, and ICMP errors are reported)
 * or fragmented. Without a call it is as the host's administrator has it. */
int flow_sock_set_dont_fragment(int fd, sa_family_t family, bool dont_fragment);

/* Adds marks to a message that has none yet: writes control messages to `control`, which the
 * message refers to from then on. */
void flow_control_put(struct msghdr *msg, uint8_t control[static FLOW_CONTROL_SIZE],
		      sa_family_t family, const struct flow_marks *marks);
/* The marks of a received message as they are to be passed on, one hop further. */
struct flow_marks flow_control_get(struct msghdr *msg);
/* What is left of a hop limit behind us. */
static inline uint8_t flow_ttl_next(int ttl)
{
	return (uint8_t)(ttl > 1 ? ttl - 1 : 1);
}

#endif
