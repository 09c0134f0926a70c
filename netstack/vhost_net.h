/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virtio-net says of frames and of itself (VIRTIO 1.2, 5.1): feature bits, what they mean for
 * a link, and the header in front of every frame. Pure functions; link_vhost has the queues.
 */
#ifndef NETSTACK_VHOST_NET_H
#define NETSTACK_VHOST_NET_H

#include <stdint.h>

#include "netstack/frame.h"
#include "netstack/link.h"

/* Feature bits (numbers). "GUEST" is what the guest can receive, "HOST" what it may send. */
#define VIRTIO_NET_F_CSUM       0
#define VIRTIO_NET_F_GUEST_CSUM 1
#define VIRTIO_NET_F_MTU        3
#define VIRTIO_NET_F_GUEST_TSO4 7
#define VIRTIO_NET_F_GUEST_TSO6 8
#define VIRTIO_NET_F_HOST_TSO4  11
#define VIRTIO_NET_F_HOST_TSO6  12
#define VIRTIO_NET_F_MRG_RXBUF  15
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56

#define VHOST_NET_QUEUE_TO_GUEST   0
#define VHOST_NET_QUEUE_FROM_GUEST 1

#define VHOST_NET_HEADER_MAX 12

/* Smallest and largest MTU that a front-end may tell (RFC 791, and what an IP packet can have). */
#define VHOST_NET_MTU_MIN 68
#define VHOST_NET_MTU_MAX 65535

/* What we offer. */
uint64_t vhost_net_features(void);
/* Whether a driver that accepted these takes frames that are spread over several buffers. */
bool vhost_net_mergeable(uint64_t features);
/* Bytes of the header: 12, or 10 for a legacy driver. */
unsigned vhost_net_header_size(uint64_t features);
/* What a driver that accepted `features` can receive. */
struct link_caps vhost_net_caps(uint64_t features);

/*
 * Fills the offload fields of a frame from the guest, whose iov and size are set, by the header in
 * front of it, and checks both. Returns 0 or -EBADMSG: it lies, or uses what was not negotiated.
 */
int vhost_net_decode(const uint8_t header[static VHOST_NET_HEADER_MAX], uint64_t features,
		     struct frame *frame);
/* Writes the header for a frame to the guest, which fills `buffers` of its receive buffers. */
void vhost_net_encode(const struct frame *frame, uint64_t features, uint16_t buffers,
		      uint8_t to[static VHOST_NET_HEADER_MAX]);

#endif
