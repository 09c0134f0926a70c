/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offloads in software, for links that lack them: checksum completion and verification,
 * segmentation of super-frames (GSO), and coalescing of a flow's consecutive segments (GRO). Pure
 * functions over frames; no I/O. What comes from a guest is validated here before anyone trusts it.
 */
#ifndef NETSTACK_OFFLOAD_H
#define NETSTACK_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "netstack/frame.h"

/* Most segments that one super-frame is cut into: as many as a full one has at Linux's smallest
 * MSS, 88. A smaller gso_size is fine where it makes no more of them. */
#define OFFLOAD_GSO_SIZE_MIN 88
#define OFFLOAD_SEGMENTS_MAX (65535 / OFFLOAD_GSO_SIZE_MIN + 1)

/* Where the headers of a TCP or UDP frame lie; offsets from the Ethernet header. */
struct frame_headers {
	uint8_t ip_version; /* 4 or 6 */
	uint8_t protocol;   /* of the transport header; 0 when it isn't there (a fragment, other
			       EtherType) */
	bool fragment;      /* an IPv4 or IPv6 fragment */
	uint16_t ip_offset;
	uint16_t transport_offset;
	uint16_t payload_offset; /* TCP and UDP only */
	uint32_t ip_end;         /* end of the IP packet; Ethernet padding may follow */
};

/* Reads the headers of an untrusted frame; every offset that it returns lies within the linear
 * part. Returns 0, -EBADMSG (malformed or truncated), or -EPROTONOSUPPORT (neither IPv4 nor IPv6).
 */
int frame_parse_headers(const struct frame *frame, struct frame_headers *ret_headers);
/* The IP addresses of a frame whose headers were parsed; bytes that a family doesn't use are zero.
 */
void frame_addresses(const struct frame *frame, const struct frame_headers *headers,
		     struct addr *ret_src, struct addr *ret_dst);

/* Checks an untrusted frame's offload fields against its headers: csum_start and csum_offset of
 * PARTIAL, gso type, size and header size (which must be what frame_parse_headers() found, not a
 * guest's hint). Returns 0 or -EBADMSG. A link calls it for frames whose offload state came from
 * the guest. */
int offload_validate(const struct frame *frame);

/* Whether the IPv4 header checksum, and the TCP, UDP or ICMP checksum of a frame with
 * FRAME_CSUM_UNKNOWN, are right. `headers` come from frame_parse_headers(). UDP over IPv4 without
 * checksum is right, and so is what can't be told: fragments, other protocols. */
bool offload_csum_ok(const struct frame *frame, const struct frame_headers *headers);

/* Scratch space for offload_segment(): headers and vectors of the segments. Some 200 KiB; allocate
 * one per switch. */
struct offload_scratch;
struct offload_scratch *offload_scratch_new(void);
void offload_scratch_free(struct offload_scratch *scratch);

/*
 * Cuts a GSO frame into frames without GSO, with complete checksums (csum VALID), or completes the
 * checksum of a single frame with FRAME_CSUM_PARTIAL. The results borrow the payload from `frame`
 * and their headers and vectors from `scratch`: valid until its next use. TCP: sequence numbers
 * advance, FIN and PSH stay on the last segment only, CWR on the first, IPv4 IDs count up. Returns
 * the number of frames in *ret_frames, or -EBADMSG.
 */
int offload_segment(struct offload_scratch *scratch, const struct frame *frame,
		    const struct frame **ret_frames);

/*
 * GRO: coalesces consecutive TCP segments of a flow, found in one batch, into GSO frames. A segment
 * joins when it follows directly (sequence number), has the same headers (addresses, ports, ACK
 * number and window of the latest win, same options), no flags but ACK and PSH, a good checksum,
 * and the size of those before it (a shorter one ends the frame). Anything else goes straight
 * through, after what was held of its flow, so the order within a flow never changes. Holds at most
 * GRO_FLOWS_MAX flows and FRAME_IOV_MAX pieces each; frames of one GSO frame share their iobuf or
 * are not merged.
 */
#define GRO_FLOWS_MAX 8

struct gro;
typedef void gro_deliver_fn(void *arg, const struct frame *frame);

int gro_new(gro_deliver_fn *deliver, void *arg, struct gro **ret_gro);
void gro_free(struct gro *gro);
/* Takes a frame (borrowed; a frame that is held keeps a reference to its iobuf; frames without an
 * iobuf are passed straight on). */
void gro_receive(struct gro *gro, const struct frame *frame);
/* Delivers everything that is held; at the end of a batch. */
void gro_flush(struct gro *gro);

#endif
