/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a tap device in any network namespace; for link_tap. */
#ifndef NETSTACK_TAP_OPEN_H
#define NETSTACK_TAP_OPEN_H

#include <stdbool.h>

/* Of the virtio_net_hdr, in the host's byte order, in front of each frame. */
#define TAP_VNET_HEADER_SIZE 10

/*
 * Opens the tap as link_tap_open() says: vnet headers, checksum offload and TSO both ways. Returns
 * 0 with an owned, non-blocking fd and whether the kernel knows UDP segmentation too; or -errno
 * with *ret_error.
 */
int tap_open(const char *ifname, const char *netns, int *ret_fd, bool *ret_uso,
	     const char **ret_error);

#endif
