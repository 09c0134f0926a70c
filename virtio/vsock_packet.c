/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding and encoding of vsock packet headers. */
#include "virtio/vsock_packet.h"

#include "base/wire.h"

struct vsock_header vsock_header_decode(const uint8_t bytes[static VSOCK_HEADER_SIZE])
{
	struct wire_reader r = wire_reader(bytes, VSOCK_HEADER_SIZE);
	struct vsock_header h;

	h.src_cid = wire_le64(&r);
	h.dst_cid = wire_le64(&r);
	h.src_port = wire_le32(&r);
	h.dst_port = wire_le32(&r);
	h.size = wire_le32(&r);
	h.type = wire_le16(&r);
	h.op = wire_le16(&r);
	h.flags = wire_le32(&r);
	h.buf_alloc = wire_le32(&r);
	h.fwd_cnt = wire_le32(&r);
	return h;
}

void vsock_header_encode(const struct vsock_header *header, uint8_t to[static VSOCK_HEADER_SIZE])
{
	struct wire_writer w = wire_writer(to, VSOCK_HEADER_SIZE);

	wire_put_le64(&w, header->src_cid);
	wire_put_le64(&w, header->dst_cid);
	wire_put_le32(&w, header->src_port);
	wire_put_le32(&w, header->dst_port);
	wire_put_le32(&w, header->size);
	wire_put_le16(&w, header->type);
	wire_put_le16(&w, header->op);
	wire_put_le32(&w, header->flags);
	wire_put_le32(&w, header->buf_alloc);
	wire_put_le32(&w, header->fwd_cnt);
}
