/* SPDX-License-Identifier: Apache-2.0 */
/* Feature bits and frame headers of virtio-net: see vhost_net.h. */
#include "netstack/vhost_net.h"

#include <errno.h>

#include "base/wire.h"
#include "netstack/offload.h"
#include "virtio/vhost_msg.h"

#define HEADER_SIZE_LEGACY 10

#define HEADER_NEEDS_CSUM 1
#define HEADER_DATA_VALID 2

#define HEADER_GSO_NONE 0
#define HEADER_GSO_TCP4 1
#define HEADER_GSO_TCP6 4
#define HEADER_GSO_UDP  5
#define HEADER_GSO_ECN  0x80 /* may be set beside a type */

uint64_t vhost_net_features(void)
{
	return FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_EVENT_IDX) |
	       FEATURE(VIRTIO_F_INDIRECT_DESC) | FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
	       FEATURE(VIRTIO_NET_F_MTU) | FEATURE(VIRTIO_NET_F_CSUM) |
	       FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6) |
	       FEATURE(VIRTIO_NET_F_HOST_USO) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) |
	       FEATURE(VIRTIO_NET_F_GUEST_TSO4) | FEATURE(VIRTIO_NET_F_GUEST_TSO6) |
	       FEATURE(VIRTIO_NET_F_GUEST_USO4) | FEATURE(VIRTIO_NET_F_GUEST_USO6);
}

bool vhost_net_mergeable(uint64_t features)
{
	return features & FEATURE(VIRTIO_NET_F_MRG_RXBUF);
}

unsigned vhost_net_header_size(uint64_t features)
{
	return features & (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_NET_F_MRG_RXBUF))
		       ? VHOST_NET_HEADER_MAX
		       : HEADER_SIZE_LEGACY;
}

struct link_caps vhost_net_caps(uint64_t features)
{
	const uint64_t uso = FEATURE(VIRTIO_NET_F_GUEST_USO4) | FEATURE(VIRTIO_NET_F_GUEST_USO6);
	const uint64_t host_tso = FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6);
	bool csum = features & FEATURE(VIRTIO_NET_F_GUEST_CSUM);

	/* A guest that can take super-frames has buffers for them, one by one or several for each;
	 * for one that can't, nobody makes any. */
	return (struct link_caps){
		.csum = csum,
		.tso4 = csum && (features & FEATURE(VIRTIO_NET_F_GUEST_TSO4)),
		.tso6 = csum && (features & FEATURE(VIRTIO_NET_F_GUEST_TSO6)),
		.uso = csum && (features & uso) == uso,
		.gro = !(features & host_tso),
		.frame_max = FRAME_SIZE_MAX,
	};
}

static int gso_from_guest(uint8_t type, uint64_t features, enum frame_gso *ret_gso)
{
	uint64_t needed;

	switch (type) {
	case HEADER_GSO_TCP4:
		*ret_gso = FRAME_GSO_TCP4;
		needed = FEATURE(VIRTIO_NET_F_HOST_TSO4);
		break;
	case HEADER_GSO_TCP6:
		*ret_gso = FRAME_GSO_TCP6;
		needed = FEATURE(VIRTIO_NET_F_HOST_TSO6);
		break;
	case HEADER_GSO_UDP:
		*ret_gso = FRAME_GSO_UDP;
		needed = FEATURE(VIRTIO_NET_F_HOST_USO);
		break;
	default:
		return -EBADMSG;
	}
	return features & needed ? 0 : -EBADMSG;
}

int vhost_net_decode(const uint8_t header[static VHOST_NET_HEADER_MAX], uint64_t features,
		     struct frame *frame)
{
	struct wire_reader r = wire_reader(header, VHOST_NET_HEADER_MAX);
	uint8_t flags = wire_u8(&r);
	uint8_t gso_type = wire_u8(&r) & (uint8_t)~HEADER_GSO_ECN;
	struct frame_headers headers;
	uint16_t gso_size;

	/* hdr_len is a hint that drivers get wrong; the headers themselves count. */
	wire_skip(&r, 2);
	gso_size = wire_le16(&r);
	frame->csum = FRAME_CSUM_UNKNOWN;
	frame->gso = FRAME_GSO_NONE;
	if (flags & HEADER_NEEDS_CSUM) {
		if (!(features & FEATURE(VIRTIO_NET_F_CSUM)))
			return -EBADMSG;
		frame->csum = FRAME_CSUM_PARTIAL;
		frame->csum_start = wire_le16(&r);
		frame->csum_offset = wire_le16(&r);
	}
	if (gso_type != HEADER_GSO_NONE) {
		if (gso_from_guest(gso_type, features, &frame->gso) < 0 ||
		    frame_parse_headers(frame, &headers) < 0)
			return -EBADMSG;
		frame->gso_size = gso_size;
		frame->header_size = headers.payload_offset;
	}
	return offload_validate(frame);
}

static uint8_t flags_to_guest(const struct frame *frame, uint64_t features)
{
	if (!(features & FEATURE(VIRTIO_NET_F_GUEST_CSUM)))
		return 0;
	switch (frame->csum) {
	case FRAME_CSUM_PARTIAL:
		return HEADER_NEEDS_CSUM;
	case FRAME_CSUM_VALID:
		return HEADER_DATA_VALID;
	case FRAME_CSUM_UNKNOWN:
		break;
	}
	return 0;
}

void vhost_net_encode(const struct frame *frame, uint64_t features, uint16_t buffers,
		      uint8_t to[static VHOST_NET_HEADER_MAX])
{
	static const uint8_t gso_types[] = {
		[FRAME_GSO_NONE] = HEADER_GSO_NONE,
		[FRAME_GSO_TCP4] = HEADER_GSO_TCP4,
		[FRAME_GSO_TCP6] = HEADER_GSO_TCP6,
		[FRAME_GSO_UDP] = HEADER_GSO_UDP,
	};
	struct wire_writer w = wire_writer(to, VHOST_NET_HEADER_MAX);
	bool partial = frame->csum == FRAME_CSUM_PARTIAL;
	bool gso = frame->gso != FRAME_GSO_NONE;

	wire_put_u8(&w, flags_to_guest(frame, features));
	wire_put_u8(&w, gso_types[frame->gso]);
	wire_put_le16(&w, gso ? frame->header_size : 0);
	wire_put_le16(&w, gso ? frame->gso_size : 0);
	wire_put_le16(&w, partial ? frame->csum_start : 0);
	wire_put_le16(&w, partial ? frame->csum_offset : 0);
	wire_put_le16(&w, buffers);
}
