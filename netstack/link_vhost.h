/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_vhost: a guest's virtio-net device over vhost-user. Frames are read where the guest put
 * them, in its own memory, and written straight into its receive buffers; checksums and
 * segmentation are left to whoever can do without them.
 *
 * A listener serves one VMM at a time, and the next one after it has gone. Its link comes when a
 * driver first runs both queues. It stays while the driver pauses them (the VM is stopped, its
 * driver reloaded, the guest rebooted): the link is full meanwhile. It goes when the VMM does, when
 * a queue breaks, or when a driver comes back with other features; then the next link follows.
 */
#ifndef NETSTACK_LINK_VHOST_H
#define NETSTACK_LINK_VHOST_H

#include "base/loop.h"
#include "netstack/link.h"

struct link_vhost_listener;

/* Listens at `path`, as sock_listen_unix() does. `sink` is copied. Returns 0 with an owned
 * listener, or -errno. */
int link_vhost_listen(struct loop *loop, const char *path, const struct link_sink *sink,
		      struct link_vhost_listener **ret_listener);
/* Ends the VMM's connection and removes the socket; a link that was made stays with its user, and
 * tells it from the loop that it has gone. NULL is fine. */
void link_vhost_listener_free(struct link_vhost_listener *listener);

#endif
