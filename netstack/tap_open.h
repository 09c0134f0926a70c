/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a tap device in any network namespace; for link_tap. */
#ifndef NETSTACK_TAP_OPEN_H
#define NETSTACK_TAP_OPEN_H

#include <stdbool.h>

/* Of the virtio_net_hdr, in the host's byte order, in front of each frame. */
#define TAP_VNET_HEADER_SIZE 10

struct tap_features {
	bool uso;              /* the kernel knows UDP segmentation */
	unsigned queue_frames; /* how many frames wait for us before some are dropped; 0: unknown */
};

/*
 * Opens the tap as link_tap_open() says: vnet headers, checksum offload and TSO both ways. Returns
 * 0 with an owned, non-blocking fd and what the tap can do; or -errno with *ret_error.
 */
int tap_open(const char *ifname, const char *netns, int *ret_fd, struct tap_features *ret_features,
	     const char **ret_error);

/* Sets an open tap (IFF_TAP, IFF_VNET_HDR) up likewise; `fd` is borrowed. Returns 0, or -errno with
 * *ret_error. */
int tap_adopt(int fd, struct tap_features *ret_features, const char **ret_error);

#endif
