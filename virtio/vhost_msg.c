/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding and encoding of vhost-user messages. Integers are in the host's byte order on a unix
 * socket: little-endian on every machine that QEMU's x86 and ARM guests run on, and that is what we
 * read. */
#include "virtio/vhost_msg.h"

#include <assert.h>
#include <errno.h>

#include "base/sock.h"
#include "base/wire.h"

#define FLAG_VERSION_MASK 0x3u
#define FLAG_VERSION      0x1u
#define FLAG_REPLY        0x4u
#define FLAG_NEED_REPLY   0x8u

static const struct {
	const char *name;
	enum vhost_payload payload; /* what the request carries */
} requests[] = {
	[VHOST_GET_FEATURES] = {"GET_FEATURES", VHOST_PAYLOAD_NONE},
	[VHOST_SET_FEATURES] = {"SET_FEATURES", VHOST_PAYLOAD_U64},
	[VHOST_SET_OWNER] = {"SET_OWNER", VHOST_PAYLOAD_NONE},
	[VHOST_RESET_OWNER] = {"RESET_OWNER", VHOST_PAYLOAD_NONE},
	[VHOST_SET_MEM_TABLE] = {"SET_MEM_TABLE", VHOST_PAYLOAD_MEM_TABLE},
	[VHOST_SET_VRING_NUM] = {"SET_VRING_NUM", VHOST_PAYLOAD_VRING_STATE},
	[VHOST_SET_VRING_ADDR] = {"SET_VRING_ADDR", VHOST_PAYLOAD_VRING_ADDR},
	[VHOST_SET_VRING_BASE] = {"SET_VRING_BASE", VHOST_PAYLOAD_VRING_STATE},
	[VHOST_GET_VRING_BASE] = {"GET_VRING_BASE", VHOST_PAYLOAD_VRING_STATE},
	[VHOST_SET_VRING_KICK] = {"SET_VRING_KICK", VHOST_PAYLOAD_U64},
	[VHOST_SET_VRING_CALL] = {"SET_VRING_CALL", VHOST_PAYLOAD_U64},
	[VHOST_SET_VRING_ERR] = {"SET_VRING_ERR", VHOST_PAYLOAD_U64},
	[VHOST_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", VHOST_PAYLOAD_NONE},
	[VHOST_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", VHOST_PAYLOAD_U64},
	[VHOST_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", VHOST_PAYLOAD_NONE},
	[VHOST_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", VHOST_PAYLOAD_VRING_STATE},
	[VHOST_SEND_RARP] = {"SEND_RARP", VHOST_PAYLOAD_U64},
	[VHOST_NET_SET_MTU] = {"NET_SET_MTU", VHOST_PAYLOAD_U64},
	[VHOST_GET_CONFIG] = {"GET_CONFIG", VHOST_PAYLOAD_CONFIG},
	[VHOST_SET_CONFIG] = {"SET_CONFIG", VHOST_PAYLOAD_CONFIG},
	[VHOST_RESET_DEVICE] = {"RESET_DEVICE", VHOST_PAYLOAD_NONE},
	[VHOST_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", VHOST_PAYLOAD_NONE},
	[VHOST_ADD_MEM_REG] = {"ADD_MEM_REG", VHOST_PAYLOAD_MEM_REGION},
	[VHOST_REM_MEM_REG] = {"REM_MEM_REG", VHOST_PAYLOAD_MEM_REGION},
};

#define REQUESTS_COUNT (sizeof(requests) / sizeof(requests[0]))

static bool request_known(uint32_t request)
{
	return request < REQUESTS_COUNT && requests[request].name;
}

const char *vhost_request_name(uint32_t request)
{
	return request_known(request) ? requests[request].name : "an unknown request";
}

int vhost_header_decode(const uint8_t bytes[static VHOST_HEADER_SIZE], struct vhost_header *ret)
{
	struct wire_reader r = wire_reader(bytes, VHOST_HEADER_SIZE);
	uint32_t request = wire_le32(&r);
	uint32_t flags = wire_le32(&r);
	uint32_t size = wire_le32(&r);

	if ((flags & FLAG_VERSION_MASK) != FLAG_VERSION)
		return -EPROTO;
	if (size > VHOST_PAYLOAD_MAX)
		return -EMSGSIZE;
	*ret = (struct vhost_header){
		.request = request,
		.reply = flags & FLAG_REPLY,
		.need_reply = flags & FLAG_NEED_REPLY,
		.size = size,
	};
	return 0;
}

static struct guest_region_spec region_decode(struct wire_reader *r)
{
	struct guest_region_spec spec;

	spec.guest_addr = wire_le64(r);
	spec.size = wire_le64(r);
	spec.user_addr = wire_le64(r);
	spec.file_offset = wire_le64(r);
	return spec;
}

static void mem_table_decode(struct wire_reader *r, struct vhost_msg *ret)
{
	ret->mem_table.count = wire_le32(r);
	wire_skip(r, 4);
	if (ret->mem_table.count > VHOST_TABLE_REGIONS_MAX) {
		r->failed = true;
		return;
	}
	for (uint32_t i = 0; i < ret->mem_table.count; i++)
		ret->mem_table.regions[i] = region_decode(r);
	/* Some front-ends send the array at its full length always. */
	wire_skip(r, wire_left(r));
}

static void config_decode(struct wire_reader *r, struct vhost_msg *ret)
{
	ret->config.offset = wire_le32(r);
	ret->config.size = wire_le32(r);
	ret->config.flags = wire_le32(r);
	if (ret->config.size > VHOST_CONFIG_MAX || ret->config.size > wire_left(r)) {
		r->failed = true;
		return;
	}
	wire_copy(r, ret->config.data, ret->config.size);
	wire_skip(r, wire_left(r));
}

static void vring_addr_decode(struct wire_reader *r, struct vhost_msg *ret)
{
	ret->vring_addr.index = wire_le32(r);
	ret->vring_addr.flags = wire_le32(r);
	ret->vring_addr.desc_user = wire_le64(r);
	ret->vring_addr.used_user = wire_le64(r);
	ret->vring_addr.avail_user = wire_le64(r);
	ret->vring_addr.log_addr = wire_le64(r);
}

int vhost_payload_decode(const uint8_t *payload, struct vhost_msg *ret)
{
	struct wire_reader r = wire_reader(payload, ret->header.size);

	ret->payload = request_known(ret->header.request) ? requests[ret->header.request].payload
							  : VHOST_PAYLOAD_UNKNOWN;
	switch (ret->payload) {
	case VHOST_PAYLOAD_NONE:
		break;
	case VHOST_PAYLOAD_U64:
		ret->u64 = wire_le64(&r);
		break;
	case VHOST_PAYLOAD_VRING_STATE:
		ret->vring_state.index = wire_le32(&r);
		ret->vring_state.num = wire_le32(&r);
		break;
	case VHOST_PAYLOAD_VRING_ADDR:
		vring_addr_decode(&r, ret);
		break;
	case VHOST_PAYLOAD_MEM_TABLE:
		mem_table_decode(&r, ret);
		break;
	case VHOST_PAYLOAD_MEM_REGION:
		wire_skip(&r, 8);
		ret->mem_region = region_decode(&r);
		break;
	case VHOST_PAYLOAD_CONFIG:
		config_decode(&r, ret);
		break;
	case VHOST_PAYLOAD_UNKNOWN:
		return 0;
	}
	return wire_ok(&r) && wire_left(&r) == 0 ? 0 : -EPROTO;
}

static void region_encode(struct wire_writer *w, const struct guest_region_spec *spec)
{
	wire_put_le64(w, spec->guest_addr);
	wire_put_le64(w, spec->size);
	wire_put_le64(w, spec->user_addr);
	wire_put_le64(w, spec->file_offset);
}

static void vring_addr_encode(struct wire_writer *w, const struct vhost_msg *msg)
{
	wire_put_le32(w, msg->vring_addr.index);
	wire_put_le32(w, msg->vring_addr.flags);
	wire_put_le64(w, msg->vring_addr.desc_user);
	wire_put_le64(w, msg->vring_addr.used_user);
	wire_put_le64(w, msg->vring_addr.avail_user);
	wire_put_le64(w, msg->vring_addr.log_addr);
}

static void payload_encode(struct wire_writer *w, const struct vhost_msg *msg)
{
	switch (msg->payload) {
	case VHOST_PAYLOAD_NONE:
	case VHOST_PAYLOAD_UNKNOWN:
		break;
	case VHOST_PAYLOAD_U64:
		wire_put_le64(w, msg->u64);
		break;
	case VHOST_PAYLOAD_VRING_STATE:
		wire_put_le32(w, msg->vring_state.index);
		wire_put_le32(w, msg->vring_state.num);
		break;
	case VHOST_PAYLOAD_VRING_ADDR:
		vring_addr_encode(w, msg);
		break;
	case VHOST_PAYLOAD_MEM_TABLE:
		wire_put_le32(w, msg->mem_table.count);
		wire_put_le32(w, 0);
		for (uint32_t i = 0; i < msg->mem_table.count; i++)
			region_encode(w, &msg->mem_table.regions[i]);
		break;
	case VHOST_PAYLOAD_MEM_REGION:
		wire_put_le64(w, 0);
		region_encode(w, &msg->mem_region);
		break;
	case VHOST_PAYLOAD_CONFIG:
		wire_put_le32(w, msg->config.offset);
		wire_put_le32(w, msg->config.size);
		wire_put_le32(w, msg->config.flags);
		wire_put_bytes(w, msg->config.data, msg->config.size);
		break;
	}
}

size_t vhost_msg_encode(const struct vhost_msg *msg, uint8_t *to, size_t to_size)
{
	struct wire_writer w = wire_writer(to, to_size);
	struct wire_writer header;
	uint8_t *header_bytes = wire_put_space(&w, VHOST_HEADER_SIZE);

	payload_encode(&w, msg);
	assert(wire_fits(&w));
	header = wire_writer(header_bytes, VHOST_HEADER_SIZE);
	wire_put_le32(&header, msg->header.request);
	wire_put_le32(&header, FLAG_VERSION | (msg->header.reply ? FLAG_REPLY : 0) |
				       (msg->header.need_reply ? FLAG_NEED_REPLY : 0));
	wire_put_le32(&header, (uint32_t)(wire_written(&w) - VHOST_HEADER_SIZE));
	return wire_written(&w);
}

int vhost_msg_take_fd(struct vhost_msg *msg, unsigned index)
{
	int fd = -1;

	if (index < msg->fd_count) {
		fd = msg->fds[index];
		msg->fds[index] = -1;
	}
	return fd;
}

void vhost_msg_close_fds(struct vhost_msg *msg)
{
	for (unsigned i = 0; i < msg->fd_count; i++)
		fd_close(&msg->fds[i]);
	msg->fd_count = 0;
}
