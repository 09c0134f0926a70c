/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_packet: one message is one frame, over a connected socket that keeps their borders:
 * SOCK_SEQPACKET (bess), or SOCK_DGRAM (one end of a socketpair, as QEMU's `-netdev dgram` takes
 * the other). No offloads; the switch coalesces and cuts (caps.gro).
 */
#ifndef NETSTACK_LINK_PACKET_H
#define NETSTACK_LINK_PACKET_H

#include "base/loop.h"
#include "netstack/link.h"

/* Makes a link on a connected socket, which is taken over in any case, and hands it to `sink`.
 * Returns 0 or -errno. A SOCK_DGRAM peer that goes is noticed when something is sent to it. */
int link_packet_open(struct loop *loop, int fd, const char *name, const struct link_sink *sink);

#endif
