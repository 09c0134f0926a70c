/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of the vhost-user protocol (QEMU's docs/interop/vhost-user.rst): bytes to structs
 * and back. vhost_session decides what they do, vhost_user moves them.
 */
#ifndef VIRTIO_VHOST_MSG_H
#define VIRTIO_VHOST_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/guest_mem.h"

#define VHOST_HEADER_SIZE       12
#define VHOST_PAYLOAD_MAX       512 /* the longest known one has 272 bytes */
#define VHOST_FDS_MAX           8
#define VHOST_TABLE_REGIONS_MAX 8 /* in SET_MEM_TABLE, by the protocol */
#define VHOST_CONFIG_MAX        256

/* Virtio features that the transport itself knows (bit numbers). */
#define VIRTIO_F_INDIRECT_DESC         28
#define VIRTIO_F_EVENT_IDX             29
#define VHOST_USER_F_PROTOCOL_FEATURES 30
#define VIRTIO_F_VERSION_1             32
#define FEATURE(BIT)                   (UINT64_C(1) << (BIT))

/* Protocol features (bit numbers). */
#define VHOST_PROTOCOL_MQ                  0
#define VHOST_PROTOCOL_RARP                2
#define VHOST_PROTOCOL_REPLY_ACK           3
#define VHOST_PROTOCOL_NET_MTU             4
#define VHOST_PROTOCOL_CONFIG              9
#define VHOST_PROTOCOL_RESET_DEVICE        13
#define VHOST_PROTOCOL_CONFIGURE_MEM_SLOTS 15

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SEND_RARP = 19,
	VHOST_NET_SET_MTU = 20,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG = 25,
	VHOST_RESET_DEVICE = 34,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG = 37,
	VHOST_REM_MEM_REG = 38,
};

/* What a payload holds; the request says which. */
enum vhost_payload {
	VHOST_PAYLOAD_NONE,
	VHOST_PAYLOAD_U64,
	VHOST_PAYLOAD_VRING_STATE,
	VHOST_PAYLOAD_VRING_ADDR,
	VHOST_PAYLOAD_MEM_TABLE,
	VHOST_PAYLOAD_MEM_REGION,
	VHOST_PAYLOAD_CONFIG,
	VHOST_PAYLOAD_UNKNOWN, /* a request that we don't know: not decoded */
};

struct vhost_header {
	uint32_t request; /* an enum vhost_request, or one that we don't know */
	bool reply;
	bool need_reply;
	uint32_t size; /* of the payload */
};

struct vhost_msg {
	struct vhost_header header;
	enum vhost_payload payload;
	union {
		uint64_t u64;
		struct {
			uint32_t index;
			uint32_t num;
		} vring_state;
		struct {
			uint32_t index;
			uint32_t flags;
			uint64_t desc_user;
			uint64_t used_user;
			uint64_t avail_user;
			uint64_t log_addr;
		} vring_addr;
		struct {
			uint32_t count;
			struct guest_region_spec regions[VHOST_TABLE_REGIONS_MAX];
		} mem_table;
		struct guest_region_spec mem_region;
		struct {
			uint32_t offset;
			uint32_t size;
			uint32_t flags;
			uint8_t data[VHOST_CONFIG_MAX];
		} config;
	};
	int fds[VHOST_FDS_MAX]; /* owned by the message: -1 where taken out */
	unsigned fd_count;
};

/* "SET_MEM_TABLE", or "an unknown request". */
const char *vhost_request_name(uint32_t request);

/* Decodes a header. Returns 0, -EPROTO (not version 1) or -EMSGSIZE (payload larger than any
 * known). */
int vhost_header_decode(const uint8_t bytes[static VHOST_HEADER_SIZE], struct vhost_header *ret);
/* Decodes the payload of ret->header.size bytes; ret's header and fds are set already. Returns 0 or
 * -EPROTO when it is not what the request calls for. Unknown requests decode, to
 * VHOST_PAYLOAD_UNKNOWN. */
int vhost_payload_decode(const uint8_t *payload, struct vhost_msg *ret);
/* Encodes header and payload, the header's size set by the payload's kind. Returns the size, at
 * most VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX, which is what `to` must hold. */
size_t vhost_msg_encode(const struct vhost_msg *msg, uint8_t *to, size_t to_size);

/* Takes an fd out of the message; -1 when it has none (left). */
int vhost_msg_take_fd(struct vhost_msg *msg, unsigned index);
void vhost_msg_close_fds(struct vhost_msg *msg);

#endif
