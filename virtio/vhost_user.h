/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back-end of vhost-user devices: listens on a unix socket, serves one front-end (a VMM, such
 * as QEMU) at a time, and again after that one has gone, for as long as the device lives.
 *
 * vhost_user moves the messages, vhost_session (internal) holds what one front-end has set up, and
 * the device says by its vtable what it offers and what happens in its queues:
 *
 *	SET_FEATURES, SET_MEM_TABLE, SET_VRING_*, ENABLE	queue_started, queue_kicked
 *	the driver's kicks					queue_kicked
 *	GET_VRING_BASE, ENABLE 0, a change of the memory,
 *	a reset, the front-end's death				queue_stopped
 *
 * A guest goes through that several times: the firmware's driver, the kernel's, a reloaded one.
 */
#ifndef VIRTIO_VHOST_USER_H
#define VIRTIO_VHOST_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "virtio/vhost_msg.h"
#include "virtio/virtq.h"

#define VHOST_QUEUES_MAX 32

struct vhost_user;

/*
 * All are called from the loop, with the `arg` of struct vhost_conf. None may free the vhost_user.
 * NULL members are fine where it says optional.
 */
struct vhost_device_ops {
	/* The queue works from now on, `vq` until queue_stopped. queue_kicked follows at once. */
	void (*queue_started)(void *arg, unsigned index, struct virtq *vq);
	/* There may be something in it (or not). Bounded work only: go on in a loop_task where
	 * there is more. */
	void (*queue_kicked)(void *arg, unsigned index);
	/*
	 * The queue stops: when this returns, nothing may point into the guest's memory any more.
	 * Every chain that is held must be pushed or be lost; pushing is still allowed here (not
	 * where the queue is broken), and is shown to the driver afterwards.
	 */
	void (*queue_stopped)(void *arg, unsigned index);

	/* Reads `size` bytes of the configuration space. Returns 0 or -EINVAL. Optional: no such
	 * space. */
	int (*config_read)(void *arg, uint32_t offset, uint32_t size, uint8_t *to);
	/* The driver's features are settled. Optional. */
	void (*features_set)(void *arg, uint64_t features);
	/* Requests of the device's kind: NET_SET_MTU, SEND_RARP. Returns 0 or -errno. Optional. */
	int (*message)(void *arg, const struct vhost_msg *msg);
	/* A front-end has come; it has gone (every queue was stopped before). Optional. */
	void (*attached)(void *arg);
	void (*detached)(void *arg);
};

struct vhost_conf {
	const char *name;  /* for the log: "vsock"; borrowed for the life of the vhost_user */
	uint64_t features; /* virtio features offered; PROTOCOL_FEATURES is added */
	uint64_t protocol_features; /* of the device's kind (NET_MTU, RARP), added to the
				       transport's own */
	unsigned queue_count;       /* virtqueues, at most VHOST_QUEUES_MAX */
	unsigned queue_num;         /* what GET_QUEUE_NUM tells: queues, or pairs for virtio-net */
	const struct vhost_device_ops *ops; /* borrowed */
	void *arg;
};

struct vhost_counters {
	uint64_t front_ends; /* connections served */
	uint64_t refused;    /* connections refused while another front-end was there */
	uint64_t queues_broken;
};

/* Listens at `path` (copied) and waits for a front-end. Returns 0, or what sock_listen_unix()
 * returns. */
int vhost_user_new(struct loop *loop, const char *path, const struct vhost_conf *conf,
		   struct vhost_user **ret);
/* Stops the queues (calling the device), closes everything, removes the socket. NULL is fine. */
void vhost_user_free(struct vhost_user *vu);

/* Virtio features that the driver accepted; 0 while there is none. */
uint64_t vhost_user_features(const struct vhost_user *vu);
bool vhost_user_attached(const struct vhost_user *vu);
struct vhost_counters vhost_user_counters(const struct vhost_user *vu);

/*
 * To be called once when virtq_pop() said -EIO (or after virtq_break()): logs the reason, tells the
 * front-end, and ends the kicks. The queue stays broken until it is set up anew; queue_stopped
 * still comes.
 */
void vhost_user_queue_broken(struct vhost_user *vu, unsigned index);

#endif
