/* SPDX-License-Identifier: Apache-2.0 */
/* The packet header of the virtio socket device (virtio 1.2, section 5.10.6). */
#ifndef VIRTIO_VSOCK_PACKET_H
#define VIRTIO_VSOCK_PACKET_H

#include <stdint.h>

#define VSOCK_HEADER_SIZE 44
#define VSOCK_CID_HOST    2 /* what a guest calls its host */
#define VSOCK_TYPE_STREAM 1

enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE = 2,
	VSOCK_OP_RST = 3,
	VSOCK_OP_SHUTDOWN = 4,
	VSOCK_OP_RW = 5,
	VSOCK_OP_CREDIT_UPDATE = 6,
	VSOCK_OP_CREDIT_REQUEST = 7,
};

/* Flags of VSOCK_OP_SHUTDOWN. */
#define VSOCK_SHUT_RECEIVE 0x1u /* the sender will receive no more */
#define VSOCK_SHUT_SEND    0x2u /* the sender will send no more */
#define VSOCK_SHUT_BOTH    0x3u

struct vsock_header {
	uint64_t src_cid;
	uint64_t dst_cid;
	uint32_t src_port;
	uint32_t dst_port;
	uint32_t size; /* of the payload that follows, bytes */
	uint16_t type;
	uint16_t op; /* an enum vsock_op, or anything else from a guest */
	uint32_t flags;
	uint32_t buf_alloc; /* the sender's receive buffer, bytes */
	uint32_t fwd_cnt;   /* bytes that it has taken out of there since the start, mod 2^32 */
};

struct vsock_header vsock_header_decode(const uint8_t bytes[static VSOCK_HEADER_SIZE]);
void vsock_header_encode(const struct vsock_header *header, uint8_t to[static VSOCK_HEADER_SIZE]);

#endif
