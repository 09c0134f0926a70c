/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one front-end has set up: features, memory, rings; and what each of its messages changes
 * there. Message in, reply out: vhost_user feeds it from a socket, tests and fuzzers directly.
 *
 * A ring runs while it is started (it got a kick fd), enabled, and complete (size and addresses).
 * Whatever changes one of these goes through vring_update(), the one place that starts and stops
 * rings.
 */
#ifndef VIRTIO_VHOST_SESSION_H
#define VIRTIO_VHOST_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "virtio/vhost_user.h"

struct vhost_session;

struct vhost_vring {
	struct vhost_session *session;
	unsigned index;
	int kick_fd; /* owned; -1: not started */
	int call_fd; /* owned; -1: none */
	int err_fd;  /* owned; -1: none */
	struct loop_fd *kick_watch;
	uint16_t size;
	uint16_t base; /* next available entry, while it doesn't run */
	uint64_t desc_user;
	uint64_t avail_user;
	uint64_t used_user;
	bool addresses_set;
	bool enabled;
	bool running; /* the device has it */
	struct virtq vq;
};

struct vhost_session {
	struct loop *loop;
	const struct vhost_conf *conf;
	uint64_t features;          /* accepted by the driver */
	uint64_t protocol_features; /* accepted by the front-end */
	struct guest_mem mem;
	struct vhost_vring vrings[VHOST_QUEUES_MAX];
	struct vhost_counters counters; /* over all front-ends */
};

/* `loop` and `conf` are borrowed for the session's life. */
void vhost_session_init(struct vhost_session *s, struct loop *loop, const struct vhost_conf *conf);
/* Back to what it was after init: stops the rings, closes and unmaps everything. */
void vhost_session_clear(struct vhost_session *s);

/*
 * Acts on a message. Takes its fds: all are closed or kept. Returns 1 with a reply to send, 0 when
 * none is due, or -errno when the connection has to end: the request failed, the front-end can't be
 * told, and would go on with a dead device.
 */
int vhost_session_handle(struct vhost_session *s, struct vhost_msg *msg,
			 struct vhost_msg *ret_reply);

void vhost_session_queue_broken(struct vhost_session *s, unsigned index);

#endif
