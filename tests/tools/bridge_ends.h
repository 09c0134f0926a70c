/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of a bridge: a tap in some network namespace, and a stream socket. */
#ifndef TESTS_TOOLS_BRIDGE_ENDS_H
#define TESTS_TOOLS_BRIDGE_ENDS_H

#include <stdbool.h>

/* Frames that the tap queues; 4 MiB of TCP window in frames of 1500 are 2800. */
#define TAP_QUEUE_LEN 10000

/* Opens (creating it if it isn't there) the tap `ifname` in the namespace at the path `netns`
 * (NULL: ours), non-blocking, with a virtio_net_hdr before each frame and the guest's offloads on,
 * if asked. The caller stays in its own namespace. Returns an owned fd, or -1 after telling
 * standard error why. */
int bridge_tap_open(const char *ifname, const char *netns, bool offload);
/* Connects to "unix:PATH" or "tcp:ADDR:PORT". Returns an owned, non-blocking fd, or -1 after
 * telling why. */
int bridge_stream_connect(const char *where);
/* The same for the path of a unix stream socket; blocking. */
int bridge_unix_connect(const char *path);
/* Says what failed, and errno, on standard error; returns -1. */
int bridge_fail(const char *what);

#endif
