/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_tap: a tap device, made in the caller's or another network namespace, with a virtio_net_hdr
 * before each frame (IFF_VNET_HDR), checksum offload and TSO. The kernel on the other side of the
 * tap is the guest.
 */
#ifndef NETSTACK_LINK_TAP_H
#define NETSTACK_LINK_TAP_H

#include "base/loop.h"
#include "netstack/link.h"

/*
 * Opens (creating it if it isn't there) the tap `ifname` in the network namespace `netns`: a path
 * such as /run/netns/x, the decimal pid of a process, or NULL for our own. Does not set addresses
 * or bring it up: the guest does that. Returns 0 with an owned link, or -errno; on failure
 * *ret_error, borrowed static text, says which step failed.
 */
int link_tap_open(struct loop *loop, const char *ifname, const char *netns, struct link **ret_link,
		  const char **ret_error);

/* The same on an open tap's descriptor, which is taken over in any case. It must have vnet headers.
 */
int link_tap_adopt(struct loop *loop, int fd, const char *name, struct link **ret_link,
		   const char **ret_error);

#endif
