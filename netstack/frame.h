/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame: an Ethernet frame, or a GSO super-frame that stands for several, as a vector of buffers
 * plus what a virtio_net_hdr would say of it (VIRTIO 1.2, 5.1.6).
 *
 * Every part of the data path carries the offload state, whether or not a link offers any: a link
 * says what it can take (struct link_caps), and offload.h makes up the difference at the edge.
 */
#ifndef NETSTACK_FRAME_H
#define NETSTACK_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define ETH_HEADER_SIZE 14

/* Frames arrive with their first FRAME_LINEAR_SIZE bytes (or all, when shorter) contiguous in
 * iov[0]: enough for Ethernet, any IPv4 or TCP options, or IPv6 with a few extension headers. A
 * super-frame that GRO made has all its headers there, but may have less than that of its payload.
 */
#define FRAME_LINEAR_SIZE 192

/* Most pieces of a frame; a GRO super-frame is the largest. */
#define FRAME_IOV_MAX 72

/* Largest super-frame: Ethernet header and a full IPv4 packet. */
#define FRAME_SIZE_MAX (ETH_HEADER_SIZE + 65535)

enum frame_csum {
	FRAME_CSUM_UNKNOWN, /* the transport checksum is complete; nobody verified it */
	FRAME_CSUM_PARTIAL, /* to be completed: holds the pseudo-header's sum; see csum_start.
			     * Whoever ends such a frame has nothing to verify: it never crossed a
			     * wire */
	FRAME_CSUM_VALID,   /* complete and known good */
};

/* With a GSO type the checksum is always PARTIAL: there is none that would be right for all
 * segments. */
enum frame_gso {
	FRAME_GSO_NONE,
	FRAME_GSO_TCP4,
	FRAME_GSO_TCP6,
	FRAME_GSO_UDP, /* UDP_L4: cut into datagrams of gso_size bytes of payload */
};

struct iobuf_hold;

/*
 * Who owns the bytes of a received frame. The receiver of a frame borrows it for the call; to keep
 * bytes of it until the end of the link's batch it takes a reference, to keep them longer a hold,
 * which is a reference too. Not for other threads.
 */
struct iobuf {
	uint32_t refs;
	uint32_t size; /* bytes at data */
	uint8_t *data; /* may be NULL where the pieces lie elsewhere (guest memory) */
	void (*release)(struct iobuf *self); /* called when the last reference goes */
	struct iobuf_hold *holds;
};

/*
 * A pointer into one piece of a frame that is kept for long. The bytes may lie in a guest's memory,
 * which the guest can take away at any time; the link then copies them, and sets every pointer that
 * is held to the copy. So the pointer is read anew after every return to the event loop.
 */
struct iobuf_hold {
	struct iobuf *buf;
	unsigned piece; /* index in the frame's iov */
	void **at;      /* the pointer: into that piece, or to its end */
	struct iobuf_hold *next;
	struct iobuf_hold **prev_next;
};

static inline struct iobuf *iobuf_ref(struct iobuf *buf)
{
	buf->refs++;
	return buf;
}

static inline void iobuf_unref(struct iobuf *buf)
{
	if (buf && --buf->refs == 0)
		buf->release(buf);
}

static inline void iobuf_hold_take(struct iobuf_hold *hold, struct iobuf *buf, unsigned piece,
				   void **at)
{
	*hold = (struct iobuf_hold){.buf = iobuf_ref(buf),
				    .piece = piece,
				    .at = at,
				    .next = buf->holds,
				    .prev_next = &buf->holds};
	if (hold->next)
		hold->next->prev_next = &hold->next;
	buf->holds = hold;
}

static inline void iobuf_hold_release(struct iobuf_hold *hold)
{
	*hold->prev_next = hold->next;
	if (hold->next)
		hold->next->prev_next = hold->prev_next;
	iobuf_unref(hold->buf);
}

struct frame {
	const struct iovec *iov; /* the Ethernet header first; borrowed */
	uint16_t iov_count;
	uint32_t size;     /* bytes in all of iov */
	struct iobuf *buf; /* holds all of iov alive; NULL: valid for the call only, copy to keep */

	enum frame_csum csum;
	uint16_t csum_start;  /* PARTIAL: sum from this offset of the frame to its end ... */
	uint16_t csum_offset; /* ... and store at csum_start + csum_offset */

	enum frame_gso gso;
	uint16_t gso_size; /* payload bytes of each segment but the last; not 0 with a gso type */
	uint16_t header_size; /* with a gso type: Ethernet to transport header, repeated per segment
			       */
};

#endif
