/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relays the ICMP errors that a host socket reports on its error queue (IP_RECVERR) to the guest
 * whose packet caused them, with their true source: what `traceroute` and a refused datagram look
 * like must not change on the way through us.
 */
#ifndef FORWARDER_ICMP_RELAY_H
#define FORWARDER_ICMP_RELAY_H

#include <stdint.h>

#include "base/addr.h"
#include "netstack/stack.h"

/*
 * Drains `fd`'s error queue. `guest` is the endpoint whose traffic the socket carries; `protocol`
 * is IPPROTO_UDP, or IPPROTO_ICMP for echo requests, where guest->port is the echo id that the
 * guest uses. Errors that were made on this host and have no ICMP form are dropped.
 */
void icmp_relay_errors(struct stack *stack, int fd, const struct endpoint *guest, uint8_t protocol);

#endif
