/* SPDX-License-Identifier: Apache-2.0 */
/* See vhost_front.h. Requests wait for their answers: the connection is a blocking one. */
#include "vhost_front.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/vhost_msg.h"

#include "bridge_ends.h"

static int fail(const struct vhost_msg *msg, const char *why)
{
	fprintf(stderr, "vhostbridge: %s: %s\n", vhost_request_name(msg->header.request), why);
	return -1;
}

static int send_msg(const struct vhost_front *front, const struct vhost_msg *msg)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	struct iovec iov = {bytes, vhost_msg_encode(msg, bytes, sizeof(bytes))};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * VHOST_FDS_MAX)];
	} control = {0};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};

	if (msg->fd_count) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * msg->fd_count);
		memcpy(CMSG_DATA(&control.header), msg->fds, sizeof(int) * msg->fd_count);
		hdr.msg_control = &control;
		hdr.msg_controllen = CMSG_SPACE(sizeof(int) * msg->fd_count);
	}
	if (sendmsg(front->fd, &hdr, MSG_NOSIGNAL) != (ssize_t)iov.iov_len)
		return fail(msg, "can't be sent: the back-end has gone");
	return 0;
}

/* The answer to `msg`, its u64 or its vring's base, in *ret. */
static int receive_answer(const struct vhost_front *front, const struct vhost_msg *msg,
			  uint64_t *ret)
{
	uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	struct vhost_header header;
	uint32_t vring[2];

	if (recv(front->fd, bytes, VHOST_HEADER_SIZE, MSG_WAITALL) != VHOST_HEADER_SIZE)
		return fail(msg, "the back-end closed the connection");
	if (vhost_header_decode(bytes, &header) < 0 || header.size != sizeof(*ret) ||
	    header.request != msg->header.request ||
	    recv(front->fd, bytes, header.size, MSG_WAITALL) != (ssize_t)header.size)
		return fail(msg, "the answer makes no sense");
	memcpy(ret, bytes, sizeof(*ret));
	memcpy(vring, bytes, sizeof(vring));
	if (msg->header.request == VHOST_GET_VRING_BASE)
		*ret = vring[1];
	return 0;
}

static int get(const struct vhost_front *front, uint32_t request, uint64_t *ret)
{
	struct vhost_msg msg = {.header = {.request = request}};

	return send_msg(front, &msg) < 0 ? -1 : receive_answer(front, &msg, ret);
}

/* Sends what has no answer of its own; with REPLY_ACK the back-end says whether it worked. */
static int set(const struct vhost_front *front, struct vhost_msg *msg)
{
	uint64_t status;

	msg->header.need_reply = front->protocol_features & FEATURE(VHOST_PROTOCOL_REPLY_ACK);
	if (send_msg(front, msg) < 0)
		return -1;
	if (!msg->header.need_reply)
		return 0;
	if (receive_answer(front, msg, &status) < 0)
		return -1;
	return status ? fail(msg, "the back-end says that it failed") : 0;
}

static int set_u64(const struct vhost_front *front, uint32_t request, uint64_t value, int fd)
{
	struct vhost_msg msg = {
		.header = {.request = request},
		.payload = VHOST_PAYLOAD_U64,
		.u64 = value,
		.fds = {fd},
		.fd_count = fd >= 0,
	};

	return set(front, &msg);
}

static int set_vring(const struct vhost_front *front, uint32_t request, unsigned index,
		     uint32_t value)
{
	struct vhost_msg msg = {
		.header = {.request = request},
		.payload = VHOST_PAYLOAD_VRING_STATE,
		.vring_state = {index, value},
	};

	return set(front, &msg);
}

int vhost_front_connect(struct vhost_front *front, const char *path, uint64_t wanted)
{
	uint64_t offered;

	*front = (struct vhost_front){.fd = bridge_unix_connect(path)};
	if (front->fd < 0 || get(front, VHOST_GET_FEATURES, &offered) < 0)
		return -1;
	front->features = offered & (wanted | FEATURE(VHOST_USER_F_PROTOCOL_FEATURES));
	if (offered & FEATURE(VHOST_USER_F_PROTOCOL_FEATURES)) {
		uint64_t protocol;

		if (get(front, VHOST_GET_PROTOCOL_FEATURES, &protocol) < 0)
			return -1;
		protocol &= FEATURE(VHOST_PROTOCOL_REPLY_ACK);
		if (set_u64(front, VHOST_SET_PROTOCOL_FEATURES, protocol, -1) < 0)
			return -1;
		front->protocol_features = protocol;
	}
	return set_u64(front, VHOST_SET_FEATURES, front->features, -1);
}

static int start_ring(const struct vhost_front *front, unsigned index,
		      const struct guest_ring *ring)
{
	struct vhost_msg addr = {
		.header = {.request = VHOST_SET_VRING_ADDR},
		.payload = VHOST_PAYLOAD_VRING_ADDR,
		.vring_addr = {.index = index,
			       .desc_user = (uintptr_t)ring->desc,
			       .used_user = (uintptr_t)ring->used,
			       .avail_user = (uintptr_t)ring->avail},
	};

	if (set_vring(front, VHOST_SET_VRING_NUM, index, GUEST_RING_SIZE) < 0 ||
	    set_vring(front, VHOST_SET_VRING_BASE, index, 0) < 0 || set(front, &addr) < 0 ||
	    set_u64(front, VHOST_SET_VRING_CALL, index, ring->call_fd) < 0 ||
	    set_u64(front, VHOST_SET_VRING_KICK, index, ring->kick_fd) < 0)
		return -1;
	if (!(front->features & FEATURE(VHOST_USER_F_PROTOCOL_FEATURES)))
		return 0;
	return set_vring(front, VHOST_SET_VRING_ENABLE, index, 1);
}

int vhost_front_start(struct vhost_front *front, int memory_fd, const void *memory, size_t size,
		      const struct guest_ring *rings, unsigned count)
{
	struct vhost_msg table = {
		.header = {.request = VHOST_SET_MEM_TABLE},
		.payload = VHOST_PAYLOAD_MEM_TABLE,
		.mem_table = {1, {{.size = size, .user_addr = (uintptr_t)memory}}},
		.fds = {memory_fd},
		.fd_count = 1,
	};
	struct vhost_msg owner = {.header = {.request = VHOST_SET_OWNER}};

	if (set(front, &owner) < 0 || set_u64(front, VHOST_SET_FEATURES, front->features, -1) < 0 ||
	    set(front, &table) < 0)
		return -1;
	for (unsigned i = 0; i < count; i++) {
		if (start_ring(front, i, &rings[i]) < 0)
			return -1;
	}
	return 0;
}

int vhost_front_stop(struct vhost_front *front, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct vhost_msg msg = {
			.header = {.request = VHOST_GET_VRING_BASE},
			.payload = VHOST_PAYLOAD_VRING_STATE,
			.vring_state = {.index = i},
		};
		uint64_t base;

		if (send_msg(front, &msg) < 0 || receive_answer(front, &msg, &base) < 0)
			return -1;
	}
	return 0;
}
