/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_vpnkit: guests of HyperKit and others made for VPNKit, which introduce themselves by VMN3T
 * (vmnet_wire.h) on a unix socket, and then send frames behind 16-bit lengths (link_framed.h).
 *
 * A UUID is one guest: it has the same MAC every time, which is what DHCP knows it by. When it
 * connects again, the connection of before ends.
 */
#ifndef NETSTACK_LINK_VPNKIT_H
#define NETSTACK_LINK_VPNKIT_H

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/link.h"

/* Connections that may be introducing themselves at a time, and how long each may take. */
#define LINK_VPNKIT_HANDSHAKES_MAX 64
#define LINK_VPNKIT_HANDSHAKE_MS   10000

struct link_vpnkit_listener;

struct link_vpnkit_conf {
	const char *path;
	uint32_t mtu;
	const struct link_sink *sink; /* borrowed for the listener's life */
	/* Keeps an address for the guest with that MAC. Returns 0, -EADDRINUSE when another has it,
	 * -ERANGE when it isn't one of those for guests, or another -errno. */
	int (*prefer)(void *arg, const struct mac *mac, const struct addr *preferred);
	void *arg;
};

/* Returns 0 with an owned listener, or -errno. */
int link_vpnkit_listen(struct loop *loop, const struct link_vpnkit_conf *conf,
		       struct link_vpnkit_listener **ret_listener);
/* Links that were made stay with their users. NULL is fine. */
void link_vpnkit_listener_free(struct link_vpnkit_listener *listener);

#endif
