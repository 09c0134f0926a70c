/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_dgram: one datagram is one frame, over unix datagram sockets with paths: QEMU's `-netdev
 * dgram`, vfkit and libkrun. Everybody sends to the path that we listen on, and each address that
 * datagrams come from is a guest, with a link of its own.
 *
 * Nobody says that a guest has gone. It is noticed when something is sent to it, or when it begins
 * anew: it sends vfkit's greeting again, or from the same path by another socket.
 *
 * Theory of sockets: a client that is connected to our socket takes datagrams from that one only,
 * so all those clients share its buffer, and one that doesn't read would hold up the others.
 * Therefore the path gets a new socket as soon as such a client has been heard on the one before,
 * which goes on for it. A client that isn't connected gets a sending socket of its own.
 */
#ifndef NETSTACK_LINK_DGRAM_H
#define NETSTACK_LINK_DGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "netstack/link.h"

/* Most guests of a listener. */
#define LINK_DGRAM_PEERS_MAX 256

struct link_dgram_listener;

struct link_dgram_conf {
	const char *kind; /* in front of links' names: "vfkit"; static text */
	const char *path; /* where we listen, as sock_listen_unix() does */
	const char
		*remote; /* the one guest's path, whatever its datagrams say; NULL: as they come */
	bool vfkit;      /* a client may greet with "VFKT", and its guest uses offloads that
			    nobody announces (offload_infer.h) */
	uint32_t mtu;    /* the network's */
	const struct link_sink *sink; /* borrowed for the listener's life */
};

/* Returns 0 with an owned listener, or -errno. */
int link_dgram_listen(struct loop *loop, const struct link_dgram_conf *conf,
		      struct link_dgram_listener **ret_listener);
/* Stops listening and removes the socket file. The links made stay with their users, as full as
 * they are; they tell from the loop that they have gone. NULL is fine. */
void link_dgram_listener_free(struct link_dgram_listener *listener);

#endif
