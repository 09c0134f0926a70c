/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The offload state of frames that come without a virtio_net_hdr from guests that use offloads all
 * the same: libkrun lets its guests leave checksums and segmentation to the device, and drops the
 * header that says so.
 *
 * What is left of it is in the frame. A checksum that is to be completed holds the pseudo-header's
 * sum, which a complete one is only by chance; and then completing it gives what it is. A TCP
 * segment that is larger than the network's packets is a super-frame; how it is to be cut is not
 * known any more, but any guest of the network takes segments of the network's MTU.
 */
#ifndef NETSTACK_OFFLOAD_INFER_H
#define NETSTACK_OFFLOAD_INFER_H

#include <stdint.h>

#include "netstack/frame.h"

/* Fills the offload fields of an untrusted frame that has none, and whose bytes may be changed: a
 * super-frame with a complete checksum that is right gets one to be completed. `mtu` is the
 * network's. Whatever else is left as it is, for whoever ends it to check. */
void offload_infer(struct frame *frame, uint32_t mtu);

#endif
