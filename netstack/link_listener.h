/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_listener: where the guests' side connects to us, over a unix or TCP socket. It serves any
 * number of guests, one connection and so one link each, and goes on accepting when a guest has
 * gone.
 */
#ifndef NETSTACK_LINK_LISTENER_H
#define NETSTACK_LINK_LISTENER_H

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/link.h"

struct link_listener;

struct link_listener_conf {
	const char *kind; /* in front of links' names: "qemu"; static text */
	/* A connection came: `fd` is taken over in any case, and `name` is for the link that it
	 * becomes. Returns 0 or -errno, which is logged. */
	int (*accepted)(void *arg, struct loop *loop, int fd, const char *name);
	void *arg;
};

/* Listens on a unix socket at `path` (sock_listen_unix() says how stale files are treated) of type
 * SOCK_STREAM or SOCK_SEQPACKET, or on TCP. `conf` is copied. Returns 0 with an owned listener, or
 * -errno. */
int link_listen_unix(struct loop *loop, const char *path, int type,
		     const struct link_listener_conf *conf, struct link_listener **ret_listener);
int link_listen_tcp(struct loop *loop, const struct endpoint *at,
		    const struct link_listener_conf *conf, struct link_listener **ret_listener);
/* Stops listening and removes the socket file; links made stay with their users. NULL is fine. */
void link_listener_free(struct link_listener *listener);

/* The same for the framing of QEMU's `-netdev stream` and `-netdev socket`. `sink` is borrowed for
 * the listener's life. */
int link_listen_qemu_unix(struct loop *loop, const char *path, const struct link_sink *sink,
			  struct link_listener **ret_listener);
int link_listen_qemu_tcp(struct loop *loop, const struct endpoint *at, const struct link_sink *sink,
			 struct link_listener **ret_listener);
/* For bess: SOCK_SEQPACKET, one record is one frame. */
int link_listen_bess(struct loop *loop, const char *path, const struct link_sink *sink,
		     struct link_listener **ret_listener);

/* Has the kernel ask a TCP peer whether it is there: one whose machine has vanished shall be
 * noticed, though nothing is sent to it, as nobody gets its guest's addresses until its link goes
 * (guard.h). What is accepted inherits this from a listener. */
void link_keep_alive(int fd);

#endif
