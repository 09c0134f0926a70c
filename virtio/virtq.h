/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of a split virtqueue (virtio 1.2, section 2.7), with indirect descriptors and
 * both ways to suppress notifications (flags and EVENT_IDX).
 *
 * The driver is hostile: descriptors are copied out of shared memory once, and then checked. A
 * loop, a chain that is too long, an address outside the guest's memory, more chains than the ring
 * has room for: each breaks the queue, for good, with a reason; nothing else happens.
 *
 * A chain that was popped may be held as long as its owner likes and be pushed in any order (but
 * only in the order of popping can a VMM go on after our death, from the used index). Pushed chains
 * reach the driver together, at the next virtq_notify().
 *
 * Kicks: with EVENT_IDX the driver kicks only past an index that we publish. So whoever drained a
 * queue calls virtq_kicks_on(), and looks again when it says so.
 */
#ifndef VIRTIO_VIRTQ_H
#define VIRTIO_VIRTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "virtio/guest_mem.h"

#define VIRTQ_SIZE_MAX 32768

/* Enough for 64 KiB in separate pages with headers: what drivers put into one chain. */
#define VIRTQ_CHAIN_IOV 80

struct virtq_conf {
	uint16_t size;      /* descriptors, a power of two */
	uint16_t base;      /* index of the next available entry to read */
	uint64_t desc_user; /* where the three parts lie, addresses of the front-end */
	uint64_t avail_user;
	uint64_t used_user;
	bool event_idx; /* negotiated: VIRTIO_F_EVENT_IDX */
	bool indirect;  /* negotiated: VIRTIO_F_INDIRECT_DESC */
	int call_fd;    /* eventfd that interrupts the driver, borrowed; -1: none */
};

struct virtq_desc;
struct virtq_avail;
struct virtq_used;

/* Owned by whoever drives the front-end; read only for its users, but for call_fd. */
struct virtq {
	const struct guest_mem *mem;   /* borrowed */
	const struct virtq_desc *desc; /* in shared memory, as are the next two */
	const struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t size;
	uint16_t last_avail; /* next available entry to read */
	uint16_t avail_seen; /* the driver's index when last read */
	uint16_t used_next;  /* next used entry to write */
	uint16_t used_told;  /* index that the driver can see */
	uint16_t held;       /* chains popped and not pushed yet */
	bool event_idx;
	bool indirect;
	bool kicks;         /* the driver is asked to kick */
	bool call_always;   /* nothing was signalled yet: there is no index to compare with */
	const char *broken; /* why it broke, or NULL */
	int call_fd;        /* borrowed, -1: none */
};

/* One request of the driver: what the device reads, then what it may write. */
struct virtq_chain {
	struct iovec *iov; /* the caller's array: out_count + in_count pieces, none of them empty */
	unsigned iov_max;  /* its capacity */
	unsigned out_count; /* pieces to read */
	unsigned in_count;  /* pieces to write */
	size_t out_size;    /* bytes to read */
	size_t in_size;     /* bytes that may be written */
	uint16_t head;      /* names it in virtq_push() */
	uint16_t descs;     /* descriptors of the ring that it takes up until it is pushed */
};

/* Starts a queue on `mem` (borrowed; must not change until the queue's end). Returns 0, or -EINVAL
 * with *ret_reason, a static text, and `vq` untouched. It needs no end: forget it. */
int virtq_start(struct virtq *vq, const struct guest_mem *mem, const struct virtq_conf *conf,
		const char **ret_reason);

/* Takes the next chain: sets all of *chain but iov and iov_max. Returns 1, 0 when there is none, or
 * -EIO when the queue is broken (vq->broken says why). */
int virtq_pop(struct virtq *vq, struct virtq_chain *chain);
/* Gives back the `count` chains popped last, as if they had not been popped. */
void virtq_unpop(struct virtq *vq, unsigned count);
/* Returns a chain, of which `written` bytes were filled in. The driver sees it after
 * virtq_notify(). */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t written);
/* Shows the driver what was pushed. Returns whether it wants an interrupt; virtq_notify() sends it.
 */
bool virtq_publish(struct virtq *vq);
void virtq_notify(struct virtq *vq);
/* Interrupts the driver, whether or not it wants that: for what it was shown by another before us
 * and may not have been told. */
void virtq_call(struct virtq *vq);

/* Asks for kicks. Returns true when something is available already: no kick will come for that. */
bool virtq_kicks_on(struct virtq *vq);
/* The same for who could not do with what is available: asks for kicks when more comes than
 * virtq_pop() has seen, and returns true when it came already. */
bool virtq_kicks_on_more(struct virtq *vq);
/* Asks for no kicks, while a queue is being worked on or can't be. A hint: they may still come. */
void virtq_kicks_off(struct virtq *vq);

/* Breaks the queue for a reason of its user's, a static text. Returns -EIO. */
int virtq_break(struct virtq *vq, const char *reason);

#endif
