/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_stream: where QEMU's `-netdev stream` and `-netdev socket` connect over a unix or TCP
 * stream. The links are those of link_framed.h.
 *
 * A listener serves any number of guests, one connection and so one link each, and goes on
 * accepting when a guest has gone.
 */
#ifndef NETSTACK_LINK_STREAM_H
#define NETSTACK_LINK_STREAM_H

#include "base/addr.h"
#include "base/loop.h"
#include "netstack/link.h"

struct link_stream_listener;

/* Listens on a unix socket at `path` (sock_listen_unix() says how stale files are treated), or on
 * TCP. `sink` is copied. Returns 0 with an owned listener, or -errno. */
int link_stream_listen_unix(struct loop *loop, const char *path, const struct link_sink *sink,
			    struct link_stream_listener **ret_listener);
int link_stream_listen_tcp(struct loop *loop, const struct endpoint *at,
			   const struct link_sink *sink,
			   struct link_stream_listener **ret_listener);
/* Stops listening and removes the socket file; links made stay with their users. */
void link_stream_listener_free(struct link_stream_listener *listener);

#endif
